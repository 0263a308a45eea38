//! One connection: quinn-proto's state machine, what the endpoint knows besides, and the link that sessions act
//! through.

use super::{Event, FLUSH_US_MAX, Link, Lost, Read, StreamId, WriteFault, trim::Trim};
use crate::admission::Grant;
use bytes::Bytes;
use quinn_proto::{
    ConnectionError, ConnectionEvent, Dir, ReadError, ReadableError, SendStream, StreamEvent,
    Transmit, VarInt, WriteError,
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Names a connection of one shard's endpoint, for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnKey {
    /// Its place, which another connection may have after it.
    pub slot: u32,
    /// Tells those apart that had one place.
    pub generation: u32,
}

/// How many datagrams are kept that overtook the end of the handshake, and how long those may be, bytes.
const AHEAD_MAX: usize = 8;
const AHEAD_BYTES_MAX: usize = 1_500;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The handshake has to be complete by then, microseconds.
    Handshake { until_us: u64 },
    /// It is complete.
    Live,
    /// The session was told that it is lost; QUIC still answers what comes late.
    Closed,
}

/// The last word of a connection is on its way.
#[derive(Clone, Copy, Debug)]
struct LastWord {
    stream: StreamId,
    code: u32,
    until_us: u64,
}

/// An address other than the client's from which something came: the client may have moved there, or tries whether it
/// could, and has not shown yet that it hears us there.
#[derive(Clone, Copy, Debug)]
struct Elsewhere {
    at: SocketAddr,
    came: u64,
    went: u64,
    /// Answers to challenges that had come before.
    responses: u64,
    /// Whether something came from there since everything was sent.
    is_new: bool,
}

pub(super) struct Connection {
    pub(super) proto: quinn_proto::Connection,
    pub(super) key: ConnKey,
    pub(super) phase: Phase,
    pub(super) grant: Grant,
    /// When its timer rings, if one is set.
    pub(super) armed_us: Option<u64>,
    /// Whether it waits in the endpoint's queue of those that may have something to tell.
    pub(super) may_tell: bool,
    /// The same for something to send.
    pub(super) may_send: bool,
    /// What came and went while the client has not shown that its address is its own.
    unproven: Option<Unproven>,
    address: SocketAddr,
    heard_us: u64,
    /// Of several the one that the client has moved to, else the last; the others are sent nothing.
    elsewhere: Option<Box<Elsewhere>>,
    /// `None` with keys that know no trimming, which ours always do.
    trim: Option<Arc<Trim>>,
    last_word: Option<LastWord>,
    /// What came before its keys were there.
    ahead: Vec<ConnectionEvent>,
}

/// Bytes of a handshake in both directions.
#[derive(Clone, Copy, Debug)]
struct Unproven {
    came: u64,
    went: u64,
}

/// The clock of an endpoint: quinn-proto takes the library's instants, and we give it the time since one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    zero: Instant,
    zero_us: u64,
}

impl Clock {
    pub(super) fn starting_at(zero_us: u64) -> Self {
        Clock { zero: Instant::now(), zero_us }
    }

    pub(super) fn instant(&self, us: u64) -> Instant {
        self.zero + Duration::from_micros(us.saturating_sub(self.zero_us))
    }

    /// Rounded up, so that what is due then is due.
    pub(super) fn us(&self, instant: Instant) -> u64 {
        let nanos = instant.saturating_duration_since(self.zero).as_nanos();
        self.zero_us.saturating_add(nanos.div_ceil(1_000) as u64)
    }
}

impl Connection {
    pub(super) fn new(
        proto: quinn_proto::Connection,
        key: ConnKey,
        grant: Grant,
        now_us: u64,
        handshake_us: u64,
        unproven_bytes: Option<u64>,
    ) -> Self {
        Connection {
            unproven: unproven_bytes.map(|came| Unproven { came, went: 0 }),
            address: proto.remote_address(),
            key,
            phase: Phase::Handshake { until_us: now_us + handshake_us },
            grant,
            armed_us: None,
            may_tell: false,
            may_send: false,
            heard_us: now_us,
            elsewhere: None,
            trim: trim_of(&proto),
            proto,
            last_word: None,
            ahead: Vec::new(),
        }
    }

    /// Takes a datagram, whose first byte and length are given.
    ///
    /// What a client says right behind its handshake may overtake the end of that. quinn-proto would drop it, and the
    /// client would say it again when it has given up waiting, which can be seconds later: it is kept until the keys
    /// are there (RFC 9001, section 5.7).
    pub(super) fn handle_datagram(&mut self, event: ConnectionEvent, first: u8, bytes: usize) {
        let is_long = first & 0x80 != 0;
        if !is_long && self.proto.is_handshaking() {
            if self.ahead.len() < AHEAD_MAX && bytes <= AHEAD_BYTES_MAX {
                self.ahead.push(event);
            }
            return;
        }
        self.proto.handle_event(event);
        // At once, and not when the session is told: in a burst what follows would be kept as well, or dropped.
        if !self.ahead.is_empty() && !self.proto.is_handshaking() {
            for event in std::mem::take(&mut self.ahead) {
                self.proto.handle_event(event);
            }
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Notes that a datagram came and was handled; whether the client seems to have moved to another IP address.
    pub(super) fn heard(&mut self, now_us: u64, from: SocketAddr, bytes: usize) -> bool {
        self.heard_us = now_us;
        if let Some(unproven) = &mut self.unproven {
            unproven.came += bytes as u64;
        }
        if from == self.address || self.phase != Phase::Live {
            return false;
        }
        let remote = self.proto.remote_address();
        if self.elsewhere.as_ref().is_none_or(|known| known.at != from && known.at != remote) {
            let responses = self.proto.stats().frame_rx.path_response;
            let new = Elsewhere { at: from, came: 0, went: 0, responses, is_new: true };
            self.elsewhere = Some(Box::new(new));
        }
        let elsewhere = self.elsewhere.as_mut().filter(|elsewhere| elsewhere.at == from);
        let Some(elsewhere) = elsewhere else { return false };
        elsewhere.came += bytes as u64;
        elsewhere.is_new = true;
        remote == from && remote.ip() != self.address.ip() && elsewhere.went == 0
    }

    /// The next datagrams that may be sent, at most `max` as one, in place of what is in `into`.
    ///
    /// An address that has not shown that it hears us is sent at most three times what came from there (RFC 9000,
    /// section 8): what is more is counted in `withheld` and lost, which QUIC repairs. quinn-proto by itself stops when
    /// three times as much *has been* sent, which is up to a datagram more. Another port of the client's address is as
    /// good as proven: it is the same host, or one behind the same NAT, and most are rebindings, which nobody should
    /// notice.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        max: usize,
        into: &mut Vec<u8>,
        withheld: &mut u64,
    ) -> Option<Transmit> {
        loop {
            into.clear();
            if let Some(Unproven { came, went }) = &mut self.unproven {
                if *went + u64::from(self.proto.current_mtu()) > 3 * *came {
                    return None;
                }
                let transmit = self.proto.poll_transmit(now, 1, into)?;
                *went += transmit.size as u64;
                return Some(transmit);
            }
            let Some(elsewhere) = &mut self.elsewhere else {
                return self.proto.poll_transmit(now, max, into);
            };
            let (at, remote) = (elsewhere.at, self.proto.remote_address());
            let is_near = remote.ip() == self.address.ip();
            let is_cut = !is_near || (elsewhere.is_new && at.ip() != self.address.ip());
            // Until it is validated, quinn-proto challenges a path with all that it sends there, but for what probes
            // how long datagrams may be.
            let challenges = |proto: &quinn_proto::Connection| {
                (remote == at).then(|| {
                    let stats = proto.stats();
                    stats.frame_tx.path_challenge + stats.path.sent_plpmtud_probes
                })
            };
            let before = challenges(&self.proto);
            let (transmit, length) = match &self.trim {
                Some(trim) if is_cut => trim.during(|| self.proto.poll_transmit(now, 1, into)),
                _ => (self.proto.poll_transmit(now, max, into), usize::MAX),
            };
            let Some(mut transmit) = transmit else {
                elsewhere.is_new &= !is_near;
                return None;
            };
            transmit.size = transmit.size.min(length);
            let to = transmit.destination;
            if to == at
                && before.is_some()
                && challenges(&self.proto) == before
                && self.proto.stats().frame_rx.path_response > elsewhere.responses
            {
                self.address = to;
                self.elsewhere = None;
                return Some(transmit);
            }
            if to.ip() == self.address.ip() {
                return Some(transmit);
            }
            let went = elsewhere.went + transmit.size as u64;
            if to != at || went > 3 * elsewhere.came {
                *withheld += 1;
                continue;
            }
            elsewhere.went = went;
            return Some(transmit);
        }
    }

    /// When it wants to be looked at.
    pub(super) fn deadline_us(&mut self, clock: &Clock) -> Option<u64> {
        let own = match (self.phase, &self.last_word) {
            (Phase::Handshake { until_us }, _) => Some(until_us),
            (Phase::Live, Some(word)) => Some(word.until_us),
            _ => None,
        };
        self.proto.poll_timeout().map(|at| clock.us(at)).into_iter().chain(own).min()
    }

    /// Lets time pass; whether the handshake has taken too long.
    pub(super) fn handle_timeout(&mut self, clock: &Clock, now_us: u64, out: &mut Events) -> bool {
        if let Phase::Handshake { until_us } = self.phase
            && until_us <= now_us
        {
            return true;
        }
        let now = clock.instant(now_us);
        if self.proto.poll_timeout().is_some_and(|at| at <= now) {
            self.proto.handle_timeout(now);
        }
        if let Some(word) = self.last_word
            && word.until_us <= now_us
        {
            self.close_now(clock, now_us, word.code, "", out);
        }
        false
    }

    /// Says what QUIC has to say.
    pub(super) fn tell(&mut self, clock: &Clock, now_us: u64, out: &mut Events) {
        while let Some(event) = self.proto.poll() {
            if self.phase == Phase::Closed {
                continue;
            }
            let told = match event {
                quinn_proto::Event::Connected => {
                    self.phase = Phase::Live;
                    self.unproven = None;
                    Event::Connected
                }
                quinn_proto::Event::ConnectionLost { reason } => {
                    self.phase = Phase::Closed;
                    out.push(self.key, Event::Lost(lost(&reason)));
                    continue;
                }
                quinn_proto::Event::Stream(event) => {
                    self.tell_of_stream(event, clock, now_us, out);
                    continue;
                }
                quinn_proto::Event::DatagramReceived => {
                    if !matches!(self.phase, Phase::Live) {
                        // Nobody vouches for what is not repeated and may be a replay (protocol page, section 16).
                        while self.proto.datagrams().recv().is_some() {}
                        continue;
                    }
                    Event::Datagrams
                }
                quinn_proto::Event::HandshakeDataReady | quinn_proto::Event::DatagramsUnblocked => {
                    continue;
                }
            };
            self.push(told, out);
        }
    }

    fn tell_of_stream(&mut self, event: StreamEvent, clock: &Clock, now_us: u64, out: &mut Events) {
        match event {
            StreamEvent::Opened { dir } => {
                while let Some(stream) = self.proto.streams().accept(dir) {
                    let stream = ours(stream);
                    self.push(Event::Opened(stream), out);
                    self.push(Event::Readable(stream), out);
                }
            }
            StreamEvent::Readable { id } => self.push(Event::Readable(ours(id)), out),
            StreamEvent::Writable { id } => self.push(Event::Writable(ours(id)), out),
            StreamEvent::Finished { id } => {
                self.word_is_over(ours(id), clock, now_us, out);
                self.push(Event::Delivered(ours(id)), out);
            }
            StreamEvent::Stopped { id, error_code } => {
                self.word_is_over(ours(id), clock, now_us, out);
                self.push(Event::Stopped { stream: ours(id), code: error_code.into() }, out);
            }
            StreamEvent::Available { dir: Dir::Uni } => self.push(Event::Credit, out),
            StreamEvent::Available { dir: Dir::Bi } => {}
        }
    }

    fn push(&self, event: Event, out: &mut Events) {
        if self.phase != Phase::Closed && (self.last_word.is_none() || event == Event::Connected) {
            out.push(self.key, event);
        }
    }

    fn word_is_over(&mut self, stream: StreamId, clock: &Clock, now_us: u64, out: &mut Events) {
        if let Some(word) = self.last_word
            && word.stream == stream
        {
            self.close_now(clock, now_us, word.code, "", out);
        }
    }

    fn close_now(&mut self, clock: &Clock, now_us: u64, code: u32, reason: &str, out: &mut Events) {
        if self.phase != Phase::Closed {
            let reason = Bytes::copy_from_slice(reason.as_bytes());
            self.proto.close(clock.instant(now_us), code.into(), reason);
            self.phase = Phase::Closed;
            out.push(self.key, Event::Lost(Lost::ByUs));
        }
    }
}

/// Events that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Events(pub(super) VecDeque<(ConnKey, Event)>);

impl Events {
    pub(super) fn push(&mut self, key: ConnKey, event: Event) {
        self.0.push_back((key, event));
    }
}

/// A connection of an endpoint, for its session to act on.
pub struct EndpointLink<'a> {
    conn: &'a mut Connection,
    events: &'a mut Events,
    clock: Clock,
    now_us: u64,
    datagram_bytes_max: Option<usize>,
}

impl std::fmt::Debug for EndpointLink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointLink").field("conn", &self.conn.key).finish_non_exhaustive()
    }
}

impl Link for EndpointLink<'_> {
    fn read(&mut self, stream: StreamId, max: usize, into: &mut Vec<u8>) -> Read {
        let Some(id) = theirs(stream).filter(|_| stream.is_of_client()) else { return Read::Gone };
        let mut stream = self.conn.proto.recv_stream(id);
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {
                return Read::Gone;
            }
        };
        let mut left = max;
        let read = loop {
            if left == 0 {
                break Read::More;
            }
            match chunks.next(left) {
                Ok(Some(chunk)) => {
                    left -= chunk.bytes.len();
                    into.extend_from_slice(&chunk.bytes);
                }
                Ok(None) => break Read::Finished,
                Err(ReadError::Blocked) => break Read::Blocked,
                Err(ReadError::Reset(code)) => break Read::Reset(code.into()),
            }
        };
        // What it gives back to the client is sent with the rest of the turn.
        let _ = chunks.finalize();
        read
    }

    fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Result<usize, WriteFault> {
        self.give(stream, bytes.len(), |stream, written| stream.write(&bytes[written..]))
    }

    fn write_shared(&mut self, stream: StreamId, bytes: &Bytes) -> Result<usize, WriteFault> {
        self.give(stream, bytes.len(), |stream, written| {
            Ok(stream.write_chunks(&mut [bytes.slice(written..)])?.bytes)
        })
    }

    fn open_one_way(&mut self) -> Option<StreamId> {
        self.conn.proto.streams().open(Dir::Uni).map(ours)
    }

    fn finish(&mut self, stream: StreamId) {
        if let Some(id) = self.sending(stream) {
            let _ = self.conn.proto.send_stream(id).finish();
        }
    }

    fn reset(&mut self, stream: StreamId, code: u32) {
        if let Some(id) = self.sending(stream) {
            let _ = self.conn.proto.send_stream(id).reset(code.into());
        }
    }

    fn stop(&mut self, stream: StreamId, code: u32) {
        if let Some(id) = theirs(stream).filter(|_| stream.is_of_client()) {
            let _ = self.conn.proto.recv_stream(id).stop(code.into());
        }
    }

    fn set_priority(&mut self, stream: StreamId, priority: u8) {
        if let Some(id) = self.sending(stream) {
            let _ = self.conn.proto.send_stream(id).set_priority(priority.into());
        }
    }

    fn send_datagram(&mut self, bytes: &[u8]) -> bool {
        self.conn.proto.datagrams().send(Bytes::copy_from_slice(bytes), true).is_ok()
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        self.datagram_bytes_max
    }

    fn receive_datagram(&mut self, into: &mut Vec<u8>) -> bool {
        into.clear();
        let Some(datagram) = self.conn.proto.datagrams().recv() else { return false };
        into.extend_from_slice(&datagram);
        true
    }

    fn close(&mut self, code: u32, reason: &str) {
        self.conn.close_now(&self.clock, self.now_us, code, reason, self.events);
    }

    fn close_after(&mut self, stream: StreamId, code: u32) {
        if self.conn.last_word.is_some() {
            return;
        }
        self.finish(stream);
        // One that was finished before may still be on its way; one that is not there any more has arrived.
        let waits = self
            .sending(stream)
            .is_some_and(|id| self.conn.proto.send_stream(id).priority().is_ok());
        if waits {
            let until_us = self.now_us + FLUSH_US_MAX;
            self.conn.last_word = Some(LastWord { stream, code, until_us });
        } else {
            self.close(code, "");
        }
    }

    fn is_connected(&self) -> bool {
        self.conn.phase == Phase::Live
    }

    fn address(&self) -> SocketAddr {
        self.conn.address
    }

    fn heard_us(&self) -> u64 {
        self.conn.heard_us
    }
}

impl<'a> EndpointLink<'a> {
    pub(super) fn new(
        conn: &'a mut Connection,
        events: &'a mut Events,
        clock: Clock,
        now_us: u64,
    ) -> Self {
        let datagram_bytes_max = conn.proto.datagrams().max_size();
        EndpointLink { conn, events, clock, now_us, datagram_bytes_max }
    }

    /// Gives a stream so many bytes with `some`, which is told how many it has taken, and how many it took in all.
    fn give(
        &mut self,
        stream: StreamId,
        length: usize,
        some: impl Fn(&mut SendStream<'_>, usize) -> Result<usize, WriteError>,
    ) -> Result<usize, WriteFault> {
        let id = self.sending(stream).ok_or(WriteFault::Gone)?;
        let mut written = 0;
        // Until it says that it is blocked, without which it would not say that it no longer is.
        while written < length {
            match some(&mut self.conn.proto.send_stream(id), written) {
                Ok(count) => written += count,
                Err(WriteError::Blocked) => break,
                Err(WriteError::Stopped(code)) => return Err(WriteFault::Stopped(code.into())),
                Err(WriteError::ClosedStream) => return Err(WriteFault::Gone),
            }
        }
        Ok(written)
    }

    /// The stream as one that we may send on.
    fn sending(&self, stream: StreamId) -> Option<quinn_proto::StreamId> {
        theirs(stream).filter(|_| !(stream.is_of_client() && stream.is_one_way()))
    }
}

/// What the keys of a connection are told about padding.
fn trim_of(proto: &quinn_proto::Connection) -> Option<Arc<Trim>> {
    Some((*proto.crypto_session().handshake_data()?.downcast::<Arc<Trim>>().ok()?).clone())
}

fn ours(stream: quinn_proto::StreamId) -> StreamId {
    StreamId(VarInt::from(stream).into())
}

fn theirs(stream: StreamId) -> Option<quinn_proto::StreamId> {
    VarInt::from_u64(stream.0).ok().map(quinn_proto::StreamId::from)
}

fn lost(reason: &ConnectionError) -> Lost {
    match reason {
        ConnectionError::ApplicationClosed(close) => Lost::ByPeer(close.error_code.into()),
        ConnectionError::ConnectionClosed(close) => Lost::Transport(close.error_code.into()),
        ConnectionError::TransportError(error) => Lost::Transport(error.code.into()),
        ConnectionError::TimedOut => Lost::Silence,
        ConnectionError::Reset => Lost::Reset,
        ConnectionError::LocallyClosed => Lost::ByUs,
        // Neither happens to a server with ids of eight bytes.
        ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => Lost::Transport(1),
    }
}
