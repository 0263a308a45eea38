//! Readiness of all of a shard's descriptors, and the one wait of its loop.
//!
//! The descriptors are in an epoll set, and the set itself is watched through the executor's ring. So an idle
//! connection costs neither a task nor a pending operation, one call brings up to [`EVENTS`] ready descriptors, and
//! the executor still sleeps in one place, where everything else that it runs can wake it.
//!
//! Going to sleep on the ring and waking up cost some eight system calls (measured: six or seven `io_uring_enter` and a
//! `membarrier`), waiting in `epoll_wait` one. So while there is traffic the loop waits there, and sleeps on the ring
//! only after a moment that brought nothing.

use glommio::io::PollableFd;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    },
};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Ready descriptors taken at once. More are taken in the next turn.
pub(super) const EVENTS: usize = 1024;

/// What a registration is called by when it is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// Another shard, or the process, has written.
    Mesh,
    /// The time that was set has come.
    Timer,
    /// The socket of datagrams has some, or has room for some.
    Datagrams,
    /// The n-th listener has connections.
    Listener(u32),
    /// A peer; the generation tells those apart that had the same place one after the other.
    Peer { idx: u32, generation: u32 },
}

impl Token {
    /// Generation 0 is no peer's.
    fn pack(self) -> u64 {
        match self {
            Token::Mesh => 0,
            Token::Timer => 1,
            Token::Datagrams => 2,
            Token::Listener(n) => 3 + u64::from(n),
            Token::Peer { idx, generation } => u64::from(generation) << 32 | u64::from(idx),
        }
    }

    fn unpack(packed: u64) -> Self {
        match (packed >> 32) as u32 {
            0 => match packed {
                0 => Token::Mesh,
                1 => Token::Timer,
                2 => Token::Datagrams,
                n => Token::Listener((n - 3) as u32),
            },
            generation => Token::Peer { idx: packed as u32, generation },
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interest {
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Interest {
    pub(super) const READ: Interest = Interest { read: true, write: false };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags
    }
}

/// One ready descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) token: Token,
    /// Something can be read, or the peer is gone, which reading will tell.
    pub(super) readable: bool,
    pub(super) writable: bool,
}

pub(super) struct Poller {
    set: PollableFd<OwnedFd>,
    timer: OwnedFd,
    /// When the timer rings, if it is set.
    timer_us: Option<u64>,
    events: Box<[MaybeUninit<Event>]>,
}

impl Poller {
    /// An empty set. To be made on the executor that waits for it.
    pub(super) fn new() -> io::Result<Self> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let set = PollableFd::new(set).map_err(io::Error::other)?;
        let events = vec![MaybeUninit::uninit(); EVENTS].into_boxed_slice();
        let poller = Poller { set, timer, timer_us: None, events };
        poller.add(poller.timer.as_fd(), Token::Timer, Interest::READ)?;
        Ok(poller)
    }

    pub(super) fn add(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        Ok(epoll::add(self.set.get_ref(), fd, EventData::new_u64(token.pack()), interest.flags())?)
    }

    /// Watches a listener. One that several shards share wakes one of those that block in [`Poller::ready`], and all
    /// that are in [`Poller::sleep`].
    pub(super) fn add_listener(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        Ok(epoll::add(self.set.get_ref(), fd, EventData::new_u64(token.pack()), flags)?)
    }

    pub(super) fn modify(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            self.set.get_ref(),
            fd,
            EventData::new_u64(token.pack()),
            interest.flags(),
        )?)
    }

    pub(super) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(self.set.get_ref(), fd)?)
    }

    /// Appends what is ready. With `block` waits until there is something, which is at the latest when the time comes
    /// that [`Poller::set_timer`] was given; it blocks the executor's thread meanwhile.
    pub(super) fn ready(&mut self, block: bool, out: &mut Vec<Ready>) -> io::Result<()> {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if block { None } else { Some(&none) };
        let events = match epoll::wait(self.set.get_ref(), &mut *self.events, timeout) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        out.extend(events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                token: Token::unpack(event.data.u64()),
                readable: flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP),
                writable: flags.contains(EventFlags::OUT),
            }
        }));
        Ok(())
    }

    /// Sleeps on the ring until something is ready, the timer among it.
    pub(super) async fn sleep(&mut self) -> io::Result<()> {
        self.set.readable().await.map_err(io::Error::other)
    }

    /// Makes the timer ring at `at_us` on the monotonic clock, or before.
    ///
    /// One that rings earlier is left alone: it costs a turn in which nothing happens, now and then. Setting it costs a
    /// system call, and in a virtual machine an exit, which is dearer than all the rest of a turn.
    pub(super) fn set_timer(&mut self, at_us: u64) -> io::Result<()> {
        if self.timer_us.is_some_and(|set| set <= at_us) {
            return Ok(());
        }
        self.timer_us = Some(at_us);
        // A time of zero would switch the timer off.
        let value = Itimerspec { it_interval: timespec(0), it_value: timespec(at_us.max(1)) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value)?;
        Ok(())
    }

    /// Takes the ring of the timer back.
    pub(super) fn hush_timer(&mut self) {
        self.timer_us = None;
        let _ = rustix::io::read(&self.timer, &mut [0u8; 8]);
    }
}

fn timespec(us: u64) -> Timespec {
    Timespec { tv_sec: (us / 1_000_000) as i64, tv_nsec: (us % 1_000_000 * 1_000) as _ }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        let peer = Token::Peer { idx: u32::MAX, generation: 1 };
        let shared = [Token::Mesh, Token::Timer, Token::Datagrams];
        for token in shared.into_iter().chain([Token::Listener(0), Token::Listener(900), peer]) {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
