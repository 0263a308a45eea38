//! A level-triggered epoll with nanosecond timeouts, and the wall clock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{ClockId, clock_gettime};

/// How many events one wait may return.
const EVENTS_MAX: usize = 1024;

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The token that the socket was added with.
    pub token: u64,
    /// There is something to read, or the end of the stream, or an error that a read will tell.
    pub readable: bool,
    /// The send buffer has room, or a connect has finished.
    pub writable: bool,
}

/// An epoll instance with its event buffer.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

impl Poller {
    /// Opens an epoll instance.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX],
            ready: 0,
        })
    }

    /// Watches `fd` for reading, and for writing too when `write` is set.
    ///
    /// # Errors
    /// What `epoll_ctl` says.
    pub fn add(&self, fd: impl AsFd, token: u64, write: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), flags(write))?)
    }

    /// Switches watching for writing on or off.
    ///
    /// # Errors
    /// What `epoll_ctl` says.
    pub fn modify(&self, fd: impl AsFd, token: u64, write: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags(write))?)
    }

    /// Waits for events, at most `timeout_ns` nanoseconds, for ever when it is `None`. Returns how
    /// many there are; [`Poller::ready`] reads them. Calls `epoll_pwait2` itself: a timeout rounded
    /// up to milliseconds would send open-loop load in clumps.
    ///
    /// # Errors
    /// What `epoll_pwait2` says; an interrupted wait returns 0 events instead.
    pub fn wait(&mut self, timeout_ns: Option<u64>) -> io::Result<usize> {
        let timeout = timeout_ns.map(|ns| libc::timespec {
            tv_sec: (ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (ns % 1_000_000_000) as libc::c_long,
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let events = self.events.as_mut_ptr();
        // SAFETY: `events` points to EVENTS_MAX initialised entries that this struct owns, the
        // timeout is null or a live timespec, and a null signal mask leaves the mask alone.
        let found = unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                events,
                EVENTS_MAX as i32,
                timeout,
                std::ptr::null(),
            )
        };
        self.ready = match usize::try_from(found) {
            Ok(found) => found,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
                0
            }
        };
        Ok(self.ready)
    }

    /// The `i`-th event of the last wait, `0 <= i <` what the wait returned.
    #[inline]
    pub fn ready(&self, i: usize) -> Ready {
        let event = self.events[..self.ready][i];
        let bits = event.events as i32;
        Ready {
            token: event.u64,
            readable: bits & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) != 0,
            writable: bits & libc::EPOLLOUT != 0,
        }
    }
}

fn flags(write: bool) -> EventFlags {
    if write { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
