//! An edge-triggered epoll with nanosecond timeouts.
//!
//! Edge-triggered, because a socket that was read until it had nothing more then costs nothing in the
//! next wait; with level triggering the kernel looks at each of them a second time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};

/// How many events one wait may return.
const EVENTS_MAX: usize = 1024;

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// The token that the socket was added with.
    pub(crate) token: u64,
    /// There is something to read, or the end of the stream, or an error that a read will tell.
    pub(crate) readable: bool,
    /// Nothing more will come than what is there.
    pub(crate) ended: bool,
    /// The send buffer has room, or a connect has finished.
    pub(crate) writable: bool,
}

/// An epoll instance with its event buffer.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

impl Poller {
    /// Opens an epoll instance.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let none = libc::epoll_event { events: 0, u64: 0 };
        Ok(Self { epoll, events: vec![none; EVENTS_MAX], ready: 0 })
    }

    /// Tells of `fd` whenever it becomes writable, and readable as well when `read` is set.
    ///
    /// # Errors
    /// What `epoll_ctl` says.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64, read: bool) -> io::Result<()> {
        let mut flags = EventFlags::OUT | EventFlags::ET;
        flags.set(EventFlags::IN | EventFlags::RDHUP, read);
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), flags)?)
    }

    /// Waits for events, at most `timeout_ns` nanoseconds, and says how many there are. Calls
    /// `epoll_pwait2` itself: a timeout rounded up to milliseconds would send open-loop load in clumps.
    ///
    /// # Errors
    /// What `epoll_pwait2` says; an interrupted wait returns 0 events instead.
    pub(crate) fn wait(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
        };
        let events = self.events.as_mut_ptr();
        // SAFETY: `events` points to EVENTS_MAX initialised entries that this struct owns, the timeout is
        // a live timespec, and a null signal mask leaves the mask alone.
        let found = unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                events,
                EVENTS_MAX as i32,
                &timeout,
                std::ptr::null(),
            )
        };
        self.ready = match usize::try_from(found) {
            Ok(found) => found,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
        Ok(self.ready)
    }

    /// The `i`-th event of the last wait, `0 <= i <` what the wait returned.
    #[inline]
    pub(crate) fn ready(&self, i: usize) -> Ready {
        let event = self.events[..self.ready][i];
        let bits = event.events as i32;
        let gone = libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLRDHUP;
        Ready {
            token: event.u64,
            readable: bits & (libc::EPOLLIN | gone) != 0,
            ended: bits & gone != 0,
            writable: bits & libc::EPOLLOUT != 0,
        }
    }

    /// Whether the last wait may have left events behind.
    pub(crate) fn is_full(&self) -> bool {
        self.ready == EVENTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn one_edge_is_told_once() {
        let (mut near, mut far) = UnixStream::pair().expect("a pair");
        let mut poller = Poller::new().expect("an epoll");
        poller.add(&near, 7, true).expect("added");
        assert_eq!(poller.wait(0).expect("waited"), 1);
        assert!(poller.ready(0).writable && !poller.ready(0).readable);
        assert_eq!(poller.wait(0).expect("waited"), 0);
        far.write_all(b"x").expect("written");
        assert_eq!(poller.wait(1_000_000_000).expect("waited"), 1);
        assert!(poller.ready(0).readable && poller.ready(0).token == 7);
        near.read_exact(&mut [0]).expect("read");
        assert_eq!(poller.wait(0).expect("waited"), 0);
    }
}
