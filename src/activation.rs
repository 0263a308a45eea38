//! Listening sockets that the service manager opened and hands over (systemd's socket activation).
//!
//! They stand in place of `listen`. The manager keeps them open while the server restarts, so connections that come
//! meanwhile wait in the kernel instead of being refused, and the server itself needs no right to a low port.
//!
//! **One socket serves all shards**: each shard watches a duplicate of it, with `EPOLLEXCLUSIVE` so that a connection
//! does not wake them all. Siblings with `SO_REUSEPORT` of our own would spread connections more evenly, but the kernel
//! lets only sockets of one user share a port, and the manager's belong to root; and what waits in a sibling's queue
//! would be reset at a restart. Evenness of accepting matters little here: connections move to their channel's shard.
#![allow(unsafe_code)]

use crate::config::Config;
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// What was handed over cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The variables do not fit the descriptors that there are.
    #[error("LISTEN_FDS: {0}; start it without LISTEN_PID and LISTEN_FDS, or from a socket unit")]
    Environment(io::Error),
    /// A descriptor is no listening TCP socket.
    #[error(
        "descriptor {number} from the service manager {what}; use ListenStream=ADDRESS:PORT and Accept=no in the socket unit"
    )]
    NotListening {
        /// Which.
        number: i32,
        /// What it is instead.
        what: String,
    },
}

/// The sockets that were handed over; none when the server was started in another way.
#[derive(Debug, Default)]
pub struct Passed(Vec<(OwnedFd, SocketAddr)>);

impl Passed {
    /// Takes them. To be called once: it owns the descriptors that `LISTEN_FDS` counts.
    ///
    /// # Errors
    /// When they are not what the variables say, or not TCP sockets that listen.
    pub fn take() -> Result<Self, ActivationError> {
        // Checks that LISTEN_PID is this process, that each descriptor is open, and marks them close-on-exec.
        let numbers = sd_notify::listen_fds().map_err(ActivationError::Environment)?;
        let mut passed = Vec::new();
        for number in numbers {
            // SAFETY: the descriptor is open, as was just checked, and LISTEN_PID says that it was opened for this
            // process. Nothing else here knows its number, and this is called once, so it has one owner.
            let socket = unsafe { OwnedFd::from_raw_fd(number) };
            let address = examine(socket.as_fd())
                .map_err(|what| ActivationError::NotListening { number, what })?;
            passed.push((socket, address));
        }
        Ok(Passed(passed))
    }

    /// Whether none were handed over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts their addresses in the place of those that the configuration names.
    pub fn stand_for_listen(&self, config: &mut Config) {
        if !self.is_empty() {
            config.listen = self.0.iter().map(|(_, address)| *address).collect();
        }
    }

    /// The sockets.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(socket, _)| socket.as_fd())
    }
}

/// The address of a listening TCP socket, or what the descriptor is instead.
fn examine(socket: BorrowedFd<'_>) -> Result<SocketAddr, String> {
    let failed = |error: rustix::io::Errno| format!("is no socket ({error})");
    let kind = sockopt::socket_type(socket).map_err(failed)?;
    let family = sockopt::socket_domain(socket).map_err(failed)?;
    if kind != SocketType::STREAM || ![AddressFamily::INET, AddressFamily::INET6].contains(&family)
    {
        return Err("is no TCP socket".to_owned());
    }
    if !sockopt::socket_acceptconn(socket).map_err(failed)? {
        return Err("does not listen".to_owned());
    }
    let address = rustix::net::getsockname(socket).map_err(failed)?;
    SocketAddr::try_from(address).map_err(|_| "has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn only_listening_tcp_sockets_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(examine(listener.as_fd()), Ok(address));
        let connected = TcpStream::connect(address).unwrap();
        assert_eq!(examine(connected.as_fd()), Err("does not listen".into()));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(examine(udp.as_fd()), Err("is no TCP socket".into()));
        let unix = std::os::unix::net::UnixListener::bind(
            std::env::temp_dir().join(format!("tutti-activation-{}", std::process::id())),
        );
        let path = std::env::temp_dir().join(format!("tutti-activation-{}", std::process::id()));
        assert_eq!(examine(unix.unwrap().as_fd()), Err("is no TCP socket".into()));
        std::fs::remove_file(path).unwrap();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(examine(file.as_fd()).unwrap_err().contains("no socket"));
    }

    #[test]
    fn without_the_variables_nothing_is_taken() {
        assert!(Passed::take().unwrap().is_empty());
    }
}
