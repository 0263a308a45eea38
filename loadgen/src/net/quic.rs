//! QUIC connections without a task each: one endpoint a thread, and a UDP socket for each source address.
//!
//! [`Quic::receive`] and [`Quic::expire`] take what the network and the time bring, [`Quic::collect`] says what it
//! means for whom, and every write is sent at once. Streams carry frames: a type, a length, a payload.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ReadableError, StreamEvent, StreamId, TransportConfig, VarInt,
};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::trust;

/// Bytes of a frame before its payload.
pub(crate) const HEAD: usize = 5;
/// Longest payload that is taken, in bytes.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Most bytes that one receive may join to one buffer.
const JOINED_BYTES: usize = 64 << 10;
/// Receives of one socket before the others have their turn.
const RECEIVES_IN_A_ROW: usize = 16;
/// What the kernel keeps for each socket, both ways.
const SOCKET_BYTES: usize = 4 << 20;
/// Datagrams sent in one call.
const SEGMENTS_MAX: usize = 10;
/// Streams that a server may open at once.
const STREAMS_MAX: u32 = 64;
/// A connection that says nothing ends after so long.
const IDLE: Duration = Duration::from_secs(300);
/// What waits because the server does not take it.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// A connection, by its place.
pub(crate) type Handle = usize;

/// Which of the client's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The first bidirectional one.
    Control = 0,
    /// The unidirectional one of commands.
    Commands = 1,
}

/// What has happened to a connection.
#[derive(Debug)]
pub(crate) enum News {
    /// Its handshake is done.
    Connected,
    /// A whole frame, header included: its place in the bytes of [`Heard`].
    Frame(Range<usize>),
    /// It is over.
    Lost(String),
}

/// Everything that was heard since the last time, in order.
#[derive(Default)]
pub(crate) struct Heard {
    /// Whose (the token it was connected with), when it reached this machine, and what.
    pub(crate) news: Vec<(u64, Option<u64>, News)>,
    /// Frames, one after the other.
    pub(crate) bytes: Vec<u8>,
}

/// One connection.
struct Link {
    connection: Connection,
    token: u64,
    socket: usize,
    /// Whether it is on the list of those to look at.
    touched: bool,
    /// When its next timer fires, as it stands on the agenda.
    deadline: Option<Instant>,
    streams: [Option<StreamId>; 2],
    /// What a stream did not take yet.
    waiting: [Vec<u8>; 2],
    /// Starts of unfinished frames, by stream.
    rests: HashMap<StreamId, Vec<u8>, ahash::RandomState>,
    /// When the last datagram reached this machine, in microseconds since 1970.
    at_us: Option<u64>,
}

struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    ip: IpAddr,
}

/// All connections of a thread.
pub(crate) struct Quic {
    server: SocketAddr,
    config: ClientConfig,
    endpoint: Endpoint,
    sockets: Vec<Socket>,
    by_source: HashMap<IpAddr, usize, ahash::RandomState>,
    links: Vec<Option<Link>>,
    touched: Vec<Handle>,
    agenda: BinaryHeap<Reverse<(Instant, Handle)>>,
    scratch: Vec<u8>,
    output: Vec<u8>,
}

impl Quic {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(server: SocketAddr) -> Result<Self> {
        let tls = QuicClientConfig::try_from(trust::anybody()?).context("TLS for QUIC")?;
        let mut config = ClientConfig::new(Arc::new(tls));
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
            .max_idle_timeout(Some(IDLE.try_into().context("an idle timeout")?));
        config.transport_config(Arc::new(transport));
        Ok(Self {
            server,
            config,
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None),
            sockets: Vec::new(),
            by_source: HashMap::default(),
            links: Vec::new(),
            touched: Vec::new(),
            agenda: BinaryHeap::new(),
            scratch: vec![0; JOINED_BYTES * BATCH_SIZE],
            output: Vec::new(),
        })
    }

    /// Begins a connection from `source`, or from where the kernel chooses. News of it carry `token`.
    ///
    /// Returns its handle, and the socket that has to be polled when it is a new one.
    ///
    /// # Errors
    /// When the address cannot be bound, or no descriptor is left.
    pub(crate) fn connect(
        &mut self,
        source: Option<IpAddr>,
        token: u64,
    ) -> io::Result<(Handle, Option<usize>)> {
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let source = source.unwrap_or(any);
        let mut made = None;
        let socket = match self.by_source.get(&source) {
            Some(&socket) => socket,
            None => {
                let socket = UdpSocket::bind((source, 0))?;
                let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
                for size in
                    [UdpSocketState::set_send_buffer_size, UdpSocketState::set_recv_buffer_size]
                {
                    // What the host does not allow is cut, and costs retransmissions.
                    let _ = size(&state, UdpSockRef::from(&socket), SOCKET_BYTES);
                }
                let place = self.sockets.len();
                self.sockets.push(Socket { socket, state, ip: source });
                self.by_source.insert(source, place);
                *made.insert(place)
            }
        };
        let config = self.config.clone();
        let connected = self.endpoint.connect(Instant::now(), config, self.server, "localhost");
        let (handle, connection) = connected.map_err(io::Error::other)?;
        let link = Link {
            connection,
            token,
            socket,
            touched: false,
            deadline: None,
            streams: [None; 2],
            waiting: [Vec::new(), Vec::new()],
            rests: HashMap::default(),
            at_us: None,
        };
        if self.links.len() <= handle.0 {
            self.links.resize_with(handle.0 + 1, || None);
        }
        self.links[handle.0] = Some(link);
        self.transmit(handle.0);
        Ok((handle.0, made))
    }

    /// The socket in this place, to be polled.
    pub(crate) fn socket(&self, place: usize) -> &UdpSocket {
        &self.sockets[place].socket
    }

    /// Takes what a socket has. Whether there may be more.
    ///
    /// # Errors
    /// What the kernel says, but for a server that is not there, which connections find out by themselves.
    pub(crate) fn receive(&mut self, place: usize) -> io::Result<bool> {
        let Some(Socket { socket, state, ip }) = self.sockets.get(place) else { return Ok(false) };
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut done = Ok(true);
        for _ in 0..RECEIVES_IN_A_ROW {
            let mut meta = [RecvMeta::default(); BATCH_SIZE];
            let mut buffers = scratch.chunks_mut(JOINED_BYTES).map(IoSliceMut::new);
            let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| buffers.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let received = match state.recv(UdpSockRef::from(socket), &mut buffers, &mut meta) {
                Ok(received) => received,
                Err(error) => {
                    let nothing = matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::ConnectionRefused
                            | io::ErrorKind::ConnectionReset
                    );
                    done = if nothing { Ok(false) } else { Err(error) };
                    break;
                }
            };
            let now = Instant::now();
            let local = (!ip.is_unspecified()).then_some(*ip);
            for (meta, buffer) in meta.iter().zip(&buffers).take(received) {
                let at_us = meta.timestamp.map(|since| since.as_micros() as u64);
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    self.output.clear();
                    let event = self.endpoint.handle(
                        now,
                        meta.addr,
                        local.or(meta.dst_ip),
                        meta.ecn.and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8)),
                        BytesMut::from(datagram),
                        &mut self.output,
                    );
                    let Some(DatagramEvent::ConnectionEvent(ConnectionHandle(handle), event)) =
                        event
                    else {
                        continue;
                    };
                    let Some(link) = self.links.get_mut(handle).and_then(Option::as_mut) else {
                        continue;
                    };
                    link.at_us = at_us.or(link.at_us);
                    link.connection.handle_event(event);
                    touch(&mut self.touched, handle, link);
                }
            }
        }
        self.scratch = scratch;
        done
    }

    /// Fires the timers that are due.
    pub(crate) fn expire(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((at, handle))) = self.agenda.peek() {
            if at > now {
                return;
            }
            self.agenda.pop();
            let Some(link) = self.links.get_mut(handle).and_then(Option::as_mut) else { continue };
            // An entry that is not the connection's next timer any more was put off.
            if link.deadline == Some(at) {
                link.deadline = None;
                link.connection.handle_timeout(now);
                touch(&mut self.touched, handle, link);
            }
        }
    }

    /// When the next timer fires.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.agenda.peek().map(|Reverse((at, _))| *at)
    }

    /// Says what has happened to those that were touched, and answers for them as the transport has to.
    pub(crate) fn collect(&mut self, heard: &mut Heard) {
        let mut touched = std::mem::take(&mut self.touched);
        for handle in touched.drain(..) {
            let Some(link) = self.links[handle].as_mut() else { continue };
            link.touched = false;
            while let Some(event) = link.connection.poll() {
                link.take(event, heard);
            }
            self.transmit(handle);
        }
        if self.touched.is_empty() {
            self.touched = touched;
        }
    }

    /// Writes to one of the client's streams, which it opens when it has to, and sends, now or with [`Self::flush`].
    /// `false` when more waits than a server that reads would leave.
    pub(crate) fn write(&mut self, handle: Handle, lane: Lane, bytes: &[u8], now: bool) -> bool {
        let Some(link) = self.links.get_mut(handle).and_then(Option::as_mut) else { return true };
        link.waiting[lane as usize].extend_from_slice(bytes);
        link.write_waiting(lane);
        let fits = link.waiting[lane as usize].len() <= WAITING_BYTES_MAX;
        match now {
            true => self.transmit(handle),
            false => touch(&mut self.touched, handle, link),
        }
        fits
    }

    /// Sends what was written and not sent.
    pub(crate) fn flush(&mut self) {
        for at in 0..self.touched.len() {
            self.transmit(self.touched[at]);
        }
    }

    /// Ends a connection. Nothing is heard of it any more.
    pub(crate) fn close(&mut self, handle: Handle) {
        let Some(link) = self.links.get_mut(handle).and_then(Option::as_mut) else { return };
        link.token = NOBODY;
        link.connection.close(Instant::now(), VarInt::from_u32(0), Bytes::new());
        self.transmit(handle);
    }

    /// Ends all connections and forgets them, sockets and all.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn reset(&mut self) -> Result<()> {
        for handle in 0..self.links.len() {
            self.close(handle);
        }
        *self = Self::new(self.server)?;
        Ok(())
    }

    /// Sends what a connection has to send, and notes when it wants to be looked at again.
    fn transmit(&mut self, handle: Handle) {
        let Some(link) = self.links.get_mut(handle).and_then(Option::as_mut) else { return };
        let Socket { socket, state, .. } = &self.sockets[link.socket];
        let now = Instant::now();
        let most = state.max_gso_segments().clamp(1, SEGMENTS_MAX);
        loop {
            self.output.clear();
            let Some(told) = link.connection.poll_transmit(now, most, &mut self.output) else {
                break;
            };
            let transmit = Transmit {
                destination: told.destination,
                ecn: told.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
                contents: &self.output[..told.size],
                segment_size: told.segment_size,
                src_ip: told.src_ip,
            };
            // What the kernel does not take is lost, which QUIC repairs.
            let _ = state.try_send(UdpSockRef::from(socket), &transmit);
        }
        while let Some(event) = link.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(ConnectionHandle(handle), event) {
                link.connection.handle_event(event);
                touch(&mut self.touched, handle, link);
            }
        }
        if link.connection.is_drained() {
            self.links[handle] = None;
            return;
        }
        let next = link.connection.poll_timeout();
        if next != link.deadline {
            link.deadline = next;
            self.agenda.extend(next.map(|at| Reverse((at, handle))));
        }
    }
}

/// The token of a connection that nobody asks for any more.
const NOBODY: u64 = u64::MAX;

fn touch(touched: &mut Vec<Handle>, handle: Handle, link: &mut Link) {
    if !std::mem::replace(&mut link.touched, true) {
        touched.push(handle);
    }
}

impl Link {
    fn take(&mut self, event: Event, heard: &mut Heard) {
        match event {
            Event::Connected => self.tell(heard, News::Connected),
            Event::ConnectionLost { reason } => self.tell(heard, News::Lost(reason.to_string())),
            Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                while let Some(id) = self.connection.streams().accept(Dir::Uni) {
                    self.read(id, heard);
                }
            }
            Event::Stream(StreamEvent::Readable { id }) => self.read(id, heard),
            Event::Stream(StreamEvent::Writable { .. } | StreamEvent::Available { .. }) => {
                self.write_waiting(Lane::Control);
                self.write_waiting(Lane::Commands);
            }
            _ => {}
        }
    }

    fn tell(&self, heard: &mut Heard, news: News) {
        if self.token != NOBODY {
            heard.news.push((self.token, self.at_us, news));
        }
    }

    /// Reads a stream to its end and hands whole frames on.
    fn read(&mut self, id: StreamId, heard: &mut Heard) {
        let begin = heard.bytes.len();
        heard.bytes.append(&mut self.rests.remove(&id).unwrap_or_default());
        let mut stream = self.connection.recv_stream(id);
        match stream.read(true) {
            Ok(mut chunks) => {
                while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                    heard.bytes.extend_from_slice(&chunk.bytes);
                }
                // Credit goes out with the transmission that follows.
                let _ = chunks.finalize();
            }
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {}
        }
        let mut at = begin;
        while let Some(head) = heard.bytes.get(at..at + HEAD) {
            let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if len > PAYLOAD_BYTES_MAX {
                self.tell(heard, News::Lost("a frame of more than 16 MiB".to_owned()));
                break;
            }
            let end = at + HEAD + len;
            if end > heard.bytes.len() {
                break;
            }
            self.tell(heard, News::Frame(at..end));
            at = end;
        }
        if at < heard.bytes.len() {
            self.rests.insert(id, heard.bytes.split_off(at));
        }
    }

    /// Writes what waits for a stream, as far as it is taken.
    fn write_waiting(&mut self, lane: Lane) {
        let waiting = &mut self.waiting[lane as usize];
        if waiting.is_empty() {
            return;
        }
        let dir = if lane == Lane::Control { Dir::Bi } else { Dir::Uni };
        let stream = &mut self.streams[lane as usize];
        if stream.is_none() {
            *stream = self.connection.streams().open(dir);
        }
        let Some(id) = *stream else { return };
        // A stream that the server stopped takes nothing; the connection's end says why.
        let taken = self.connection.send_stream(id).write(waiting).unwrap_or(0);
        waiting.drain(..taken);
    }
}
