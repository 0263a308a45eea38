//! The process's clocks. The only place that reads them for the core.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tutti_shards::Now;

/// What the clocks say.
pub(super) fn now() -> Now {
    let mono = clock_gettime(ClockId::Monotonic);
    let wall = clock_gettime(ClockId::Realtime);
    Now {
        mono_us: mono.tv_sec as u64 * 1_000_000 + mono.tv_nsec as u64 / 1_000,
        wall_ms: wall.tv_sec as u64 * 1_000 + wall.tv_nsec as u64 / 1_000_000,
    }
}

/// A moment as the time since the clock's zero.
pub(super) fn since_zero(now: Now) -> Duration {
    Duration::from_micros(now.mono_us)
}
