//! How long notes, cursors and chat may wait for a fuller send.
//!
//! Messages per send are what a busy shard's cost hangs on. An idle shard sends at once; the busier it was lately, the
//! longer what can wait does, up to the configured time.

use std::time::Duration;

/// The stretch over which busyness is measured, microseconds.
const WINDOW_US: u64 = 20_000;

/// Shares of a window, in 1024ths, from which on a shard waits at all, and over which the wait grows to its whole.
const BUSY_FROM: u64 = 512;
const BUSY_SPAN: u64 = 307;

/// Busyness of a shard, and the delay that follows from it.
#[derive(Debug)]
pub(super) struct Pace {
    delay_max_us: u64,
    window_start_us: u64,
    slept_us: u64,
    /// Parts of the last window, in 1024ths, in which the shard was awake.
    share: u64,
    flushed_us: u64,
}

impl Pace {
    pub(super) fn new(delay_max: Duration) -> Self {
        Pace {
            delay_max_us: delay_max.as_micros() as u64,
            window_start_us: 0,
            slept_us: 0,
            share: 0,
            flushed_us: 0,
        }
    }

    /// From now on what can wait does so for this long at most.
    pub(super) fn set_delay_max(&mut self, delay_max: Duration) {
        self.delay_max_us = delay_max.as_micros() as u64;
    }

    /// The shard waited for something to do.
    pub(super) fn waited(&mut self, from_us: u64, until_us: u64) {
        self.slept_us += until_us.saturating_sub(from_us);
        let window = until_us.saturating_sub(self.window_start_us);
        if window >= WINDOW_US {
            let awake = window.saturating_sub(self.slept_us);
            self.share = awake * 1024 / window;
            self.window_start_us = until_us;
            self.slept_us = 0;
        }
    }

    /// How long what can wait does now: not at all up to half a busy shard, and the whole time from four fifths on.
    fn delay_us(&self) -> u64 {
        self.delay_max_us * self.share.saturating_sub(BUSY_FROM).min(BUSY_SPAN) / BUSY_SPAN
    }

    /// When what waits goes out.
    pub(super) fn flush_at_us(&self) -> u64 {
        self.flushed_us + self.delay_us()
    }

    /// Whether what can wait should.
    pub(super) fn may_delay(&self, now_us: u64) -> bool {
        now_us < self.flush_at_us()
    }

    /// Everything was flushed.
    pub(super) fn flushed(&mut self, now_us: u64) {
        self.flushed_us = now_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_shard_sends_at_once_and_a_busy_one_waits() {
        let mut pace = Pace::new(Duration::from_millis(4));
        let mut now = 1_000_000;
        for _ in 0..10 {
            pace.waited(now, now + 5_000);
            now += 6_000;
        }
        pace.flushed(now);
        assert!(!pace.may_delay(now + 1));
        for _ in 0..10 {
            pace.waited(now, now + 1);
            now += 6_000;
        }
        pace.flushed(now);
        assert!(pace.may_delay(now + 3_900));
        assert!(!pace.may_delay(now + 4_000));
    }
}
