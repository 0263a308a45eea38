//! The connections of a run: a few thousand sockets in one thread, cheap enough per received message
//! that the server is what is measured.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Socket, Type};
use tutti_perf::poller::{Poller, monotonic_ns, wall_ns};
use tutti_perf::ws;

/// Bytes read from one socket at once. Large enough that a saturated server is read in few calls,
/// small enough to stay in the second-level cache.
const READ_BYTES: usize = 256 << 10;
/// Handshakes under way at once. Below any sane listen backlog.
const IN_FLIGHT: usize = 128;
/// The key and its accept value from RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Takes the text messages that joined peers receive.
pub(crate) trait Sink {
    /// One text frame for `peer`, read from its socket at `now_us` (see [`Clock`]).
    fn frame(&mut self, peer: usize, payload: &[u8], now_us: u64);
}

/// A sink for times when nobody counts.
pub(crate) struct Discard;

impl Sink for Discard {
    fn frame(&mut self, _: usize, _: &[u8], _: u64) {}
}

/// Microseconds since 1970 that never jump: the wall clock at start, carried on by the monotonic one.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    offset_ns: u64,
}

impl Clock {
    fn new() -> Self {
        Self { offset_ns: wall_ns() - monotonic_ns() }
    }

    #[inline]
    pub(crate) fn now_us(self) -> u64 {
        (monotonic_ns() + self.offset_ns) / 1000
    }
}

/// Where to connect, and from how many addresses.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
    /// How many loopback addresses connections come from; 0 leaves the choice to the kernel.
    pub(crate) sources: usize,
    pub(crate) prefix: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Connecting,
    Upgrading,
    Greeting,
    Joining,
    Joined,
    Closed,
}

struct Peer {
    fd: Option<OwnedFd>,
    state: State,
    channel: u32,
    wants_write: bool,
    /// The participant id that the server gave.
    id: Box<[u8]>,
    /// The start of an unfinished frame.
    rest: Vec<u8>,
    /// What the socket did not take yet.
    output: Vec<u8>,
}

pub(crate) struct Fleet {
    pub(crate) clock: Clock,
    target: Target,
    poller: Poller,
    peers: Vec<Peer>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    /// Peers with output that [`Fleet::flush`] has to send.
    queued: Vec<usize>,
    random: u64,
    /// Raised with every [`Fleet::reset`], so that a new fleet meets fresh channels.
    generation: u32,
    in_flight: usize,
    joined: usize,
    /// Connections that ended although we wanted them, by close code (0: without one).
    pub(crate) closed: BTreeMap<u16, u64>,
    pub(crate) pings: u64,
    last_refusal: String,
}

impl Fleet {
    pub(crate) fn new(target: Target) -> Result<Self> {
        Ok(Self {
            clock: Clock::new(),
            target,
            poller: Poller::new()?,
            peers: Vec::new(),
            buffer: vec![0; READ_BYTES * 2],
            scratch: Vec::new(),
            queued: Vec::new(),
            random: wall_ns() | 1,
            generation: 0,
            in_flight: 0,
            joined: 0,
            closed: BTreeMap::new(),
            pings: 0,
            last_refusal: String::new(),
        })
    }

    /// Connects as many more peers as needed for `total`, spread over channels by `channel_of`, and
    /// waits until all of them have joined.
    pub(crate) fn grow(
        &mut self,
        total: usize,
        channel_of: impl Fn(usize) -> usize,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let mut progress_us = self.clock.now_us();
        let mut seen = self.joined;
        while self.joined < total {
            while self.peers.len() < total && self.in_flight < IN_FLIGHT {
                let index = self.peers.len();
                self.connect(index, channel_of(index) as u32)?;
            }
            self.poll(self.clock.now_us() + 100_000, sink)?;
            let now_us = self.clock.now_us();
            if self.joined != seen {
                (seen, progress_us) = (self.joined, now_us);
            }
            if !self.closed.is_empty() || now_us - progress_us > 10_000_000 {
                bail!(
                    "{} of {total} peers joined, {} on the way; closed by code: {:?} {}",
                    self.joined,
                    self.in_flight,
                    self.closed,
                    self.last_refusal
                );
            }
        }
        Ok(())
    }

    /// Drops every connection at once and forgets it.
    pub(crate) fn reset(&mut self) {
        self.peers.clear();
        self.queued.clear();
        self.closed.clear();
        self.joined = 0;
        self.in_flight = 0;
        self.generation += 1;
    }

    /// The participant id of a joined peer.
    pub(crate) fn id(&self, peer: usize) -> &[u8] {
        &self.peers[peer].id
    }

    pub(crate) fn n_peers(&self) -> usize {
        self.peers.len()
    }

    /// Waits until something arrives or `until_us` has come, and handles what arrived.
    pub(crate) fn poll(&mut self, until_us: u64, sink: &mut impl Sink) -> Result<()> {
        let wait_us = until_us.saturating_sub(self.clock.now_us());
        let found = self.poller.wait(Some(wait_us * 1000))?;
        for i in 0..found {
            let ready = self.poller.ready(i);
            let index = ready.token as usize;
            if index >= self.peers.len() {
                continue;
            }
            if ready.writable {
                self.writable(index)?;
            }
            if ready.readable {
                self.read(index, sink)?;
            }
        }
        Ok(())
    }

    /// Keeps receiving (and answering pings) for `seconds`.
    pub(crate) fn linger(&mut self, seconds: f64, sink: &mut impl Sink) -> Result<()> {
        let until_us = self.clock.now_us() + (seconds * 1e6) as u64;
        while self.clock.now_us() < until_us {
            self.poll(until_us, sink)?;
        }
        Ok(())
    }

    /// Sends one text message; what the socket does not take is kept and sent when it does.
    pub(crate) fn send(&mut self, index: usize, payload: &[u8]) -> Result<()> {
        self.send_frame(index, ws::TEXT, payload)
    }

    /// Keeps one text message for the next [`Fleet::flush`].
    pub(crate) fn queue(&mut self, index: usize, payload: &[u8]) {
        let key = self.mask_key();
        let peer = &mut self.peers[index];
        // Output that waits for room in the socket leaves when there is some.
        if peer.output.is_empty() && !peer.wants_write {
            self.queued.push(index);
        }
        ws::put_masked(&mut peer.output, ws::TEXT, payload, key);
    }

    /// Sends what was queued, one call a socket.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let mut queued = std::mem::take(&mut self.queued);
        for index in queued.drain(..) {
            let mut output = std::mem::take(&mut self.peers[index].output);
            self.write(index, &output)?;
            if self.peers[index].output.is_empty() {
                output.clear();
                self.peers[index].output = output;
            }
        }
        self.queued = queued;
        Ok(())
    }

    /// A xorshift step: mask keys only have to differ, so that nobody can skip the unmasking.
    fn mask_key(&mut self) -> [u8; 4] {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random as u32).to_ne_bytes()
    }

    fn send_frame(&mut self, index: usize, opcode: u8, payload: &[u8]) -> Result<()> {
        let key = self.mask_key();
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        ws::put_masked(&mut frame, opcode, payload, key);
        let result = self.write(index, &frame);
        self.scratch = frame;
        result
    }

    fn write(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let peer = &mut self.peers[index];
        let Some(fd) = &peer.fd else { return Ok(()) };
        let mut sent = 0;
        if peer.output.is_empty() {
            match rustix::net::send(fd, bytes, SendFlags::NOSIGNAL) {
                Ok(taken) => sent = taken,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => {
                    self.close(index, 0);
                    return Ok(());
                }
            }
        }
        if sent < bytes.len() {
            peer.output.extend_from_slice(&bytes[sent..]);
            self.watch_writes(index, true)?;
        }
        Ok(())
    }

    fn watch_writes(&mut self, index: usize, on: bool) -> Result<()> {
        let peer = &mut self.peers[index];
        if let Some(fd) = &peer.fd
            && peer.wants_write != on
        {
            peer.wants_write = on;
            self.poller.modify(fd, index as u64, on)?;
        }
        Ok(())
    }

    fn writable(&mut self, index: usize) -> Result<()> {
        let peer = &mut self.peers[index];
        let Some(fd) = &peer.fd else { return Ok(()) };
        if peer.state == State::Connecting {
            if let Err(error) = rustix::net::sockopt::socket_error(fd)? {
                bail!("cannot connect to {}: {error}", self.target.address);
            }
            peer.state = State::Upgrading;
            self.watch_writes(index, false)?;
            let request = format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
                self.target.path, self.target.host
            );
            return self.write(index, request.as_bytes());
        }
        let output = std::mem::take(&mut peer.output);
        self.watch_writes(index, false)?;
        self.write(index, &output)
    }

    fn connect(&mut self, index: usize, channel: u32) -> Result<()> {
        let address = self.target.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)
            .context("a socket for a peer")?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if self.target.sources > 0 && address.is_ipv4() && address.ip().is_loopback() {
            let source = index % self.target.sources;
            let source = Ipv4Addr::new(127, 0, (1 + source / 250) as u8, (1 + source % 250) as u8);
            socket.bind(&SocketAddr::new(source.into(), 0).into()).context("a source address")?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error).with_context(|| format!("connect to {address}")),
        }
        let fd = OwnedFd::from(socket);
        self.poller.add(&fd, index as u64, true)?;
        self.in_flight += 1;
        self.peers.push(Peer {
            fd: Some(fd),
            state: State::Connecting,
            channel,
            wants_write: true,
            id: Box::default(),
            rest: Vec::new(),
            output: Vec::new(),
        });
        Ok(())
    }

    fn close(&mut self, index: usize, code: u16) {
        let peer = &mut self.peers[index];
        match peer.state {
            State::Closed => return,
            State::Joined => self.joined -= 1,
            _ => self.in_flight -= 1,
        }
        peer.state = State::Closed;
        peer.fd = None;
        *self.closed.entry(code).or_default() += 1;
    }

    /// Reads a socket once and walks the frames. The loop over a saturated peer's frames looks at two
    /// bytes of each and hands it on, so that a message costs nanoseconds.
    fn read(&mut self, index: usize, sink: &mut impl Sink) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_into(index, &mut buffer, sink);
        self.buffer = buffer;
        result
    }

    fn read_into(
        &mut self,
        index: usize,
        buffer: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let peer = &mut self.peers[index];
        let Some(fd) = &peer.fd else { return Ok(()) };
        let kept = peer.rest.len();
        if buffer.len() < kept + READ_BYTES {
            buffer.resize(kept + READ_BYTES, 0);
        }
        buffer[..kept].copy_from_slice(&peer.rest);
        let space = &mut buffer[kept..kept + READ_BYTES];
        let read = match rustix::net::recv(fd, space, RecvFlags::empty()) {
            Ok((0, _)) => {
                self.close(index, 0);
                return Ok(());
            }
            Ok((read, _)) => read,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(_) => {
                self.close(index, 0);
                return Ok(());
            }
        };
        peer.rest.clear();
        let filled = &buffer[..kept + read];
        let now_us = self.clock.now_us();
        let mut at = 0;
        if self.peers[index].state == State::Upgrading {
            let Some(end) = ws::find(filled, b"\r\n\r\n") else {
                self.peers[index].rest.extend_from_slice(filled);
                return Ok(());
            };
            let response = &filled[..end];
            if !response.starts_with(b"HTTP/1.1 101") || ws::find(response, ACCEPT).is_none() {
                self.last_refusal = String::from_utf8_lossy(&response[..end.min(300)]).into_owned();
                self.close(index, 0);
                return Ok(());
            }
            self.peers[index].state = State::Greeting;
            self.send(index, br#"[{"m":"hi"}]"#)?;
            at = end + 4;
        }
        while let Some(&[first, second]) = filled.get(at..at + 2) {
            // A short, whole, unmasked text frame for a seated peer: nearly all there are.
            if first == 0x81 && second < 126 && self.peers[index].state == State::Joined {
                let end = at + 2 + usize::from(second);
                let Some(payload) = filled.get(at + 2..end) else { break };
                sink.frame(index, payload, now_us);
                at = end;
                continue;
            }
            let Some(head) = ws::header(&filled[at..]) else { break };
            if head.len > ws::FRAME_BYTES_MAX {
                bail!("the server announced a frame of {} bytes", head.len);
            }
            let Some(payload) = filled[at..].get(head.head..head.head + head.len) else { break };
            at += head.head + head.len;
            match (head.opcode, self.peers[index].state) {
                (ws::TEXT, State::Joined) => sink.frame(index, payload, now_us),
                (ws::TEXT, _) => self.setup_message(index, payload)?,
                (ws::PING, _) => {
                    self.pings += 1;
                    self.send_frame(index, ws::PONG, payload)?;
                }
                (ws::CLOSE, _) => {
                    let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                    self.last_refusal =
                        String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
                    self.close(index, code);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.peers[index].rest.extend_from_slice(&filled[at..]);
        Ok(())
    }

    /// Goes one step further towards a seat in the channel.
    fn setup_message(&mut self, index: usize, payload: &[u8]) -> Result<()> {
        match self.peers[index].state {
            State::Greeting if ws::find(payload, br#"{"m":"hi""#).is_some() => {
                self.peers[index].state = State::Joining;
                let (prefix, generation) = (&self.target.prefix, self.generation);
                let channel = self.peers[index].channel;
                let join = format!(r#"[{{"m":"ch","_id":"{prefix}-{generation}-{channel}"}}]"#);
                self.send(index, join.as_bytes())
            }
            State::Joining if payload.starts_with(br#"[{"m":"ch""#) => {
                // The receiver's own id is the `p` in front of the channel or behind the people.
                let id = ws::find(payload, br#""p":""#).and_then(|at| {
                    let rest = &payload[at + 5..];
                    Some(&rest[..rest.iter().position(|&b| b == b'"')?])
                });
                let Some(id) = id else { bail!("a `ch` without the receiver's own id") };
                self.peers[index].id = id.into();
                self.peers[index].state = State::Joined;
                self.in_flight -= 1;
                self.joined += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
