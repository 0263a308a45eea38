//! One shard's UDP socket: many datagrams a system call in both directions.
//!
//! Received are up to [`RECEIVES`] buffers a call, each of which may hold several datagrams of one peer that the kernel
//! has joined (GRO). Sent are either several datagrams of one peer as one (GSO), or one datagram each to many peers
//! (`sendmmsg`), which is what a busy room looks like. Such a call cannot say which mark each datagram bears, so that
//! those of one mark go out together, with the mark that the socket was given for them.

use super::{
    Endpoint,
    batch::{Batch, Item},
};
use quinn_proto::EcnCodepoint;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::{
    io::Errno,
    net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, addr::SocketAddrArg as _},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

/// Buffers that one call fills.
const RECEIVES: usize = 32;
/// Bytes of each: the longest that UDP knows, so that nothing the kernel joins is cut off.
const RECEIVE_BYTES: usize = 64 << 10;
/// Calls that receive in one turn: what comes faster waits in the kernel, and others have their turn.
const CALLS: usize = 4;
/// Peers of which it is remembered from which address the system sends to them, and for how long.
const SOURCES_MAX: usize = 4096;
const SOURCES_US: u64 = 60_000_000;

/// What a socket has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UdpCounts {
    /// System calls that sent.
    pub send_calls: u64,
    /// System calls that received.
    pub receive_calls: u64,
    /// Transmits that the system would not take; QUIC repairs that.
    pub send_failures: u64,
    /// Times that the socket had no room for more.
    pub send_blocked: u64,
}

/// The socket of one shard.
pub struct UdpSocket {
    socket: Socket,
    state: UdpSocketState,
    buffers: Box<[u8]>,
    is_v6: bool,
    /// The mark of datagrams that go out many at once (RFC 3168).
    mark: Option<EcnCodepoint>,
    /// For a socket that listens on all addresses: which the system would send from.
    sources: Option<Sources>,
    counts: UdpCounts,
}

impl std::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl UdpSocket {
    /// A socket that shares its address with those of the other shards. The wildcard of IPv6 stands for both families.
    /// The buffers are as large as the system allows, up to what is asked for.
    ///
    /// # Errors
    /// What the system says; a port in use by another user among it.
    pub fn bind(
        address: SocketAddr,
        receive_buffer: usize,
        send_buffer: usize,
    ) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
        socket.set_reuse_port(true)?;
        let is_v6 = address.is_ipv6();
        if is_v6 {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_recv_buffer_size(receive_buffer)?;
        socket.set_send_buffer_size(send_buffer)?;
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(UdpSocket {
            socket,
            state,
            buffers: vec![0; RECEIVES * RECEIVE_BYTES].into_boxed_slice(),
            is_v6,
            mark: None,
            sources: address.ip().is_unspecified().then(Sources::default),
            counts: UdpCounts::default(),
        })
    }

    /// Whether nobody listens at an address yet. The sockets of a server share theirs, and so would those of a second
    /// server of the same user, which would then get a part of the first one's clients.
    ///
    /// # Errors
    /// What the system says; a port in use among it.
    pub fn check_free(address: SocketAddr) -> io::Result<()> {
        let socket =
            Socket::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?.as_socket();
        address.ok_or_else(|| io::Error::other("a socket without an address"))
    }

    /// Bytes that the kernel keeps of what has come, as it counts them: with what it knows about each datagram, which
    /// is why Linux says twice what was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        self.socket.recv_buffer_size()
    }

    /// How many datagrams of one peer are sent as one.
    #[must_use]
    pub fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> UdpCounts {
        self.counts
    }

    /// Gives the endpoint what has come, up to a budget; how many datagrams. What is left makes the socket readable
    /// again.
    ///
    /// # Errors
    /// What the system says. Errors of earlier datagrams, which it may tell here, are passed over.
    pub fn receive(&mut self, now_us: u64, endpoint: &mut Endpoint) -> io::Result<usize> {
        let mut datagrams = 0;
        for _ in 0..CALLS {
            let mut metas = [RecvMeta::default(); RECEIVES];
            let mut parts = self.buffers.chunks_exact_mut(RECEIVE_BYTES);
            let mut slices: [IoSliceMut<'_>; RECEIVES] = std::array::from_fn(|_| {
                IoSliceMut::new(parts.next().expect("there are as many parts as slices"))
            });
            self.counts.receive_calls += 1;
            let filled =
                match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
                    Ok(filled) => filled,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // A peer that is gone answers with ICMP, which is told to the next that asks.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                    Err(error) => return Err(error),
                };
            for (meta, buffer) in metas.iter().zip(&slices).take(filled) {
                let from = canonical(meta.addr);
                let to = meta.dst_ip.map(|ip| ip.to_canonical());
                let ecn = meta.ecn.and_then(|mark| EcnCodepoint::from_bits(mark as u8));
                let bytes = buffer.get(..meta.len).unwrap_or(&[]);
                for datagram in bytes.chunks(meta.stride.max(1)) {
                    endpoint.handle_datagram(now_us, from, to, ecn, datagram);
                    datagrams += 1;
                }
            }
            if filled < RECEIVES {
                break;
            }
        }
        Ok(datagrams)
    }

    /// Sends what the batch holds. What the socket has no room for stays in it, and the socket becomes writable once
    /// there is room; then `false` is returned.
    pub fn send(&mut self, now_us: u64, batch: &mut Batch) -> bool {
        batch.sort_by_mark();
        while !batch.is_empty() {
            let alike = self.plain_at_front(now_us, batch);
            let sent = if alike > 1 {
                self.mark_as_front(batch).and_then(|()| self.send_many(batch, alike))
            } else {
                self.send_one(batch, alike == 1).map(|()| 1)
            };
            self.counts.send_calls += 1;
            match sent {
                Ok(count) => batch.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.counts.send_blocked += 1;
                    return false;
                }
                Err(_) => {
                    // Datagrams get lost; a probe that is too long is meant to.
                    self.counts.send_failures += 1;
                    batch.advance(1);
                }
            }
        }
        true
    }

    /// How many at the front are single datagrams of one mark, that leave from the address which the system takes:
    /// those need no words about them.
    fn plain_at_front(&mut self, now_us: u64, batch: &Batch) -> usize {
        let sources = &mut self.sources;
        let mark = batch.waiting().first().and_then(|item| item.ecn);
        let is_plain = |item: &&Item| {
            item.segment.is_none()
                && item.ecn == mark
                && match (item.from, &mut *sources) {
                    (Some(from), Some(sources)) => sources.of(now_us, item.to) == Some(from),
                    _ => true,
                }
        };
        batch.waiting().iter().take_while(is_plain).count()
    }

    /// Gives the socket the mark of what is at the front.
    fn mark_as_front(&mut self, batch: &Batch) -> io::Result<()> {
        let mark = batch.waiting().first().and_then(|item| item.ecn);
        if mark == self.mark {
            return Ok(());
        }
        let bits = mark.map_or(0, |mark| mark as u32);
        if self.is_v6 {
            self.socket.set_tclass_v6(bits)?;
        }
        // The wildcard of IPv6 sends to both families.
        if !self.is_v6 || self.sources.is_some() {
            self.socket.set_tos_v4(bits)?;
        }
        self.mark = mark;
        Ok(())
    }

    fn send_many(&self, batch: &Batch, count: usize) -> io::Result<usize> {
        let items = batch.waiting().get(..count).unwrap_or(&[]);
        let addresses: Vec<SocketAddrAny> =
            items.iter().map(|item| self.as_family(item.to).as_any()).collect();
        let slices: Vec<[IoSlice<'_>; 1]> =
            items.iter().map(|item| [IoSlice::new(&item.bytes)]).collect();
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
            items.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<MMsgHdr<'_>> = addresses
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|((address, slice), control)| MMsgHdr::new_with_addr(address, slice, control))
            .collect();
        loop {
            match rustix::net::sendmmsg(&self.socket, &mut messages, SendFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                sent => return Ok(sent?),
            }
        }
    }

    fn send_one(&self, batch: &Batch, is_plain: bool) -> io::Result<()> {
        let Some(item) = batch.waiting().first() else { return Ok(()) };
        let transmit = Transmit {
            destination: self.as_family(item.to),
            ecn: item.ecn.and_then(|mark| quinn_udp::EcnCodepoint::from_bits(mark as u8)),
            contents: &item.bytes,
            segment_size: item.segment,
            src_ip: item.from.filter(|_| self.sources.is_some() && !is_plain),
        };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }

    /// The address as this socket's family writes it.
    fn as_family(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.is_v6 => {
                let ip: Ipv6Addr = v4.ip().to_ipv6_mapped();
                SocketAddr::new(ip.into(), v4.port())
            }
            other => other,
        }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Without the mapping of IPv4 into IPv6: with it, each change of a client's port would look like another network to
/// QUIC, which begins anew with its estimates there.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// From which of our addresses the system sends to a peer, if nobody says which. Where that is the one which the peer
/// wrote to, as on nearly every host, no datagram needs to say so, and many go out in one call.
#[derive(Debug, Default)]
struct Sources {
    by_peer: HashMap<IpAddr, Option<IpAddr>, ahash::RandomState>,
    since_us: u64,
}

impl Sources {
    fn of(&mut self, now_us: u64, peer: SocketAddr) -> Option<IpAddr> {
        if self.by_peer.len() >= SOURCES_MAX || now_us > self.since_us + SOURCES_US {
            self.by_peer.clear();
            self.since_us = now_us;
        }
        *self.by_peer.entry(peer.ip()).or_insert_with(|| ask(peer).ok())
    }
}

/// Asks the routing table, by a socket that sends nothing.
fn ask(peer: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip().to_canonical())
}
