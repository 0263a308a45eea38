//! The one clock of a run, and what CPU time has been used.

use rustix::time::{ClockId, clock_gettime};

/// Wall time that cannot jump: the monotonic clock plus what it lacked to Unix time at the start.
///
/// Intended times travel in messages, and servers replace those that are far from their own time. So they
/// are Unix times, and still differences of two of them are those of the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    offset_ns: u64,
}

impl Clock {
    /// To be made once a process and copied to its threads.
    pub(crate) fn new() -> Self {
        Self { offset_ns: nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Monotonic) }
    }

    /// Microseconds since 1970.
    #[inline]
    pub(crate) fn now_us(self) -> u64 {
        (nanoseconds(ClockId::Monotonic) + self.offset_ns) / 1000
    }

    /// What has to be added to a time of the kernel's wall clock to make it one of this clock, in
    /// microseconds. Not zero once somebody has set the wall clock.
    #[inline]
    pub(crate) fn behind_wall_us(self) -> i64 {
        self.now_us() as i64 - (nanoseconds(ClockId::Realtime) / 1000) as i64
    }
}

/// CPU time that the calling thread has used so far.
pub(crate) fn thread_cpu_ns() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

#[inline]
fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
