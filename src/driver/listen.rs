//! Listening sockets: one of each address for every shard, among which the kernel spreads connections.

use rustix::{io::Errno, net::SocketFlags};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

/// Bytes that the kernel takes for a connection before it has sent the earlier ones: what one who does not read can
/// hold of kernel memory, besides what is on its way.
const UNSENT_BYTES_MAX: u32 = 128 << 10;

/// A listening socket, and where it leads.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: OwnedFd,
    pub(super) protocol: crate::doors::Protocol,
}

/// A listener that shares its address with those of the other shards.
///
/// # Errors
/// What the system says; a port in use by another process among it.
pub(super) fn listener(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_cloexec(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted connections inherit these, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Lets the kernel find out that peers of this listener are gone, who are not expected to say anything for days: after
/// a minute of silence it probes them every quarter of one, four times; what is not acknowledged for one ends them.
///
/// # Errors
/// What the system says.
pub(super) fn watch_silent(listener: &OwnedFd) -> io::Result<()> {
    let socket = SockRef::from(listener);
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    // Accepted connections inherit these.
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(60)))
}

/// A shard's own descriptor of a listener that the service manager opened, with the options that [`listener`] sets.
///
/// # Errors
/// What the system says.
pub(super) fn adopt(passed: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let socket = Socket::from(passed.try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    Ok(socket.into())
}

/// What accepting brought.
pub(super) enum Accepted {
    /// A connection.
    Peer(OwnedFd, IpAddr),
    /// No more at the moment.
    Nobody,
    /// One that ended before it was accepted.
    Lost,
    /// The process or the host has no descriptors or memory left.
    Exhausted(Errno),
}

/// Accepts one connection. Never waits.
pub(super) fn accept(listener: &OwnedFd) -> Accepted {
    match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok((socket, address)) => {
            let address = address.and_then(|address| SocketAddr::try_from(address).ok());
            match address {
                Some(address) => Accepted::Peer(socket, address.ip().to_canonical()),
                None => Accepted::Lost,
            }
        }
        Err(Errno::AGAIN) => Accepted::Nobody,
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
            Accepted::Exhausted(error)
        }
        Err(_) => Accepted::Lost,
    }
}
