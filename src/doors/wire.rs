//! One wire for the core: each event goes to the encoder of the door whose format it is.

use super::{line::LineWire, mpp::MppWire, quic::wire::QuicWire};
use tutti_shards::{ChannelView, Event, Format, UserId};

/// The encoders of all doors.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    mpp: MppWire,
    line: LineWire,
    quic: QuicWire,
}

impl Wire {
    /// Puts them together.
    #[must_use]
    pub fn new(mpp: MppWire, line: LineWire, quic: QuicWire) -> Self {
        Wire { mpp, line, quic }
    }
}

impl tutti_shards::Wire for Wire {
    fn encode(&self, format: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        match format {
            Format::QUIC => self.quic.encode(format, events, out),
            format if format.is_line() => self.line.encode(format, events, out),
            _ => self.mpp.encode(format, events, out),
        }
    }

    fn encode_unaddressed(
        &self,
        format: Format,
        view: ChannelView<'_>,
        out: &mut Vec<u8>,
    ) -> usize {
        match format.is_line() {
            false => self.mpp.encode_unaddressed(format, view, out),
            true => self.line.encode_unaddressed(format, view, out),
        }
    }

    fn address(&self, format: Format, encoded: &mut [u8], hole: usize, me: UserId) {
        match format.is_line() {
            false => self.mpp.address(format, encoded, hole, me),
            true => self.line.address(format, encoded, hole, me),
        }
    }

    fn ping(&self, format: Format, out: &mut Vec<u8>) {
        match format {
            Format::QUIC => self.quic.ping(format, out),
            format if format.is_line() => self.line.ping(format, out),
            _ => self.mpp.ping(format, out),
        }
    }
}
