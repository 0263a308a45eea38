//! Client sockets, and when the kernel received what they hold.
//!
//! Latency ends when the kernel of this side has the message, not when a busy load generator gets round
//! to reading it. So the reader may read in turns, which makes it cheap, and still measures the server.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Bytes; 0 is the end of the stream.
    pub(crate) bytes: usize,
    /// When the last of them reached this machine, Unix time; `None` where the kernel does not say.
    pub(crate) at_us: Option<u64>,
}

/// A socket that connects to `to` without waiting; a writable edge tells when it has.
///
/// # Errors
/// No descriptor, no port left at `from`, or an address that cannot be reached at all.
pub(crate) fn connect(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<OwnedFd> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(from) = from {
        // Without this the kernel reserves a port here, for all destinations at once.
        set_option(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket.bind(&from.into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// Lets the kernel acknowledge the next message late, as it does for interactive connections.
///
/// Otherwise every read of a small message sends an acknowledgement, and on loopback the reader pays for
/// its way into the server's socket as well: more than for the read itself. The kernel falls back to that
/// after 40 ms, so this is said again with each read.
#[inline]
pub(crate) fn acknowledge_late(socket: &OwnedFd) {
    let _ = set_option(socket, libc::IPPROTO_TCP, libc::TCP_QUICKACK, 0);
}

/// Asks for receive times. Where that is refused, reads simply bring none.
pub(crate) fn ask_for_times(socket: &OwnedFd) {
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
}

/// Makes the kernel keep little for this socket, so that a peer that does not read is felt soon.
///
/// # Errors
/// What `setsockopt` says.
pub(crate) fn keep_little(socket: &OwnedFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 4096)
}

fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, a live i32, which all these options take.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if failed != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Room for one control message with a time, and to spare.
type Control = [u64; 16];

/// Reads what there is, up to the length of `into`, without waiting.
///
/// # Errors
/// What `recvmsg` says; `WouldBlock` when there is nothing.
#[inline]
pub(crate) fn receive(socket: &OwnedFd, into: &mut [u8]) -> io::Result<Received> {
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut control = MaybeUninit::<Control>::uninit();
    // SAFETY: all fields of a msghdr are integers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    // SAFETY: `message` points to `part` and `control`, which live until the call returns; `part`
    // describes `into`, to which the caller has given unique access.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let bytes = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    Ok(Received { bytes, at_us: time_of(&message) })
}

fn time_of(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: the kernel has filled `message`; its control pointer and length describe valid memory.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref()? };
    if header.cmsg_level != libc::SOL_SOCKET || header.cmsg_type != libc::SCM_TIMESTAMPNS {
        return None;
    }
    // SAFETY: the kernel puts a timespec behind the header of this type of message.
    let time: libc::timespec =
        unsafe { std::ptr::read_unaligned(libc::CMSG_DATA(header).cast_const().cast()) };
    Some(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::Clock;
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::time::Duration;

    #[test]
    fn bytes_come_with_the_time_of_their_arrival() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("bound");
        let near =
            connect(to, Some("127.0.0.9:0".parse().expect("an address"))).expect("connected");
        ask_for_times(&near);
        let (mut far, from) = listener.accept().expect("accepted");
        assert_eq!(from.ip().to_string(), "127.0.0.9");
        let mut buffer = [0; 64];
        let none = receive(&near, &mut buffer).expect_err("nothing was sent");
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        let clock = Clock::new();
        // The first packets after the option is set may not have been stamped.
        for _ in 0..50 {
            let before_us = clock.now_us();
            far.write_all(b"hello").expect("written");
            std::thread::sleep(Duration::from_millis(20));
            let received = receive(&near, &mut buffer).expect("it is there");
            assert_eq!(received.bytes, 5);
            if let Some(at_us) = received.at_us {
                let late_us = at_us as i64 + clock.behind_wall_us() - before_us as i64;
                assert!((-1000..15_000).contains(&late_us), "{late_us} us, but slept 20 ms");
                return;
            }
        }
        panic!("no time in 50 reads");
    }
}
