//! One wire for the core: each event goes to the encoder of the door whose format it is.

use super::mpp::MppWire;
use tutti_shards::{ChannelView, Event, Format, UserId};

/// The encoders of all doors.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    mpp: MppWire,
}

impl Wire {
    /// Puts them together.
    #[must_use]
    pub fn new(mpp: MppWire) -> Self {
        Wire { mpp }
    }

    /// The encoder of a format.
    fn of(&self, _format: Format) -> &MppWire {
        &self.mpp
    }
}

impl tutti_shards::Wire for Wire {
    fn encode(&self, format: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        self.of(format).encode(format, events, out);
    }

    fn encode_unaddressed(
        &self,
        format: Format,
        view: ChannelView<'_>,
        out: &mut Vec<u8>,
    ) -> usize {
        self.of(format).encode_unaddressed(format, view, out)
    }

    fn address(&self, format: Format, encoded: &mut [u8], hole: usize, me: UserId) {
        self.of(format).address(format, encoded, hole, me);
    }

    fn ping(&self, format: Format, out: &mut Vec<u8>) {
        self.of(format).ping(format, out);
    }
}
