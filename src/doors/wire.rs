//! One wire for the core: each event goes to the encoder of the door whose format it is.

use super::{line::LineWire, mpp::MppWire};
use tutti_shards::{ChannelView, Event, Format, UserId};

/// The encoders of all doors.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    mpp: MppWire,
    line: LineWire,
}

impl Wire {
    /// Puts them together.
    #[must_use]
    pub fn new(mpp: MppWire, line: LineWire) -> Self {
        Wire { mpp, line }
    }
}

impl tutti_shards::Wire for Wire {
    fn encode(&self, format: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        match format.is_line() {
            false => self.mpp.encode(format, events, out),
            true => self.line.encode(format, events, out),
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
        match format.is_line() {
            false => self.mpp.ping(format, out),
            true => self.line.ping(format, out),
        }
    }
}
