//! Time, as it is passed in. Nothing here or elsewhere in the crate reads a clock.

use serde::{Deserialize, Serialize};

/// A moment, as the caller read it from its clocks.
///
/// `mono` never goes back and drives every deadline; `wall` is what peers see.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Now {
    /// Microseconds on a monotonic clock that all shards of the process share.
    pub mono_us: u64,
    /// Milliseconds since 1970, as peers are told.
    pub wall_ms: u64,
}

impl Now {
    /// Whole milliseconds on the monotonic clock.
    #[must_use]
    pub fn mono_ms(self) -> u64 {
        self.mono_us / 1000
    }
}
