//! Waking a shard that sleeps, at no cost when it does not. The one piece of lock-free code that is our own.
//!
//! The receiver arms the flag, looks at its queue once more, and only then sleeps. A sender puts its message into
//! the queue first and looks at the flag afterwards. So either the sender sees the flag and writes to the event, or
//! the receiver sees the message; with both fences in place it cannot happen that neither does.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering, fence},
};

/// The bell of one shard.
#[derive(Debug)]
pub(super) struct Bell {
    armed: AtomicBool,
    event: OwnedFd,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell { armed: AtomicBool::new(false), event })
    }

    /// Rings when the receiver may be asleep; whether it did. To be called after the message is in the queue.
    pub(super) fn ring(&self) -> bool {
        // Pairs with the fence in `arm`: of message and flag, one side sees what the other wrote.
        fence(Ordering::SeqCst);
        // A plain look first: a busy receiver's cache line is not written to.
        if !self.armed.load(Ordering::Relaxed) || !self.armed.swap(false, Ordering::Relaxed) {
            return false;
        }
        // The counter can only be full when it has been rung two to the 64 times; it wakes either way.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        true
    }

    /// The receiver is about to sleep, and has to look at its queue once more after this.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The receiver is awake.
    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Takes the ring back, after the event was seen to be readable.
    pub(super) fn hush(&self) {
        let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, thread, time::Duration};

    /// A lost wake-up leaves the receiver asleep for the whole poll and fails the test.
    #[test]
    fn no_wake_up_is_lost() {
        let bell = Arc::new(Bell::new().unwrap());
        let (sender, receiver) = crossbeam_channel::bounded(4);
        let ringer = bell.clone();
        let rings = thread::spawn(move || {
            let mut rings = 0;
            for n in 0..50_000u32 {
                sender.send(n).unwrap();
                rings += u32::from(ringer.ring());
                if n % 7 == 0 {
                    thread::yield_now();
                }
            }
            rings
        });
        let mut expected = 0;
        while expected < 50_000 {
            while let Ok(n) = receiver.try_recv() {
                assert_eq!(n, expected);
                expected += 1;
            }
            bell.arm();
            if receiver.is_empty() && expected < 50_000 {
                let mut fds = [rustix::event::PollFd::new(&*bell, rustix::event::PollFlags::IN)];
                let timeout = Duration::from_secs(10).try_into().unwrap();
                let ready = rustix::event::poll(&mut fds, Some(&timeout)).unwrap();
                assert_eq!(ready, 1, "slept although {expected} was sent");
                bell.hush();
            }
            bell.disarm();
        }
        assert!(rings.join().unwrap() <= 50_000);
    }
}
