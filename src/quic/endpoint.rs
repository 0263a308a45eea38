//! All connections of one shard, without I/O: datagrams and the time go in, events and datagrams come out.
//!
//! A turn of its driver: [`Endpoint::handle_datagram`] for all that came, [`Endpoint::handle_timeout`], then
//! [`Endpoint::poll_event`] and what the sessions make of each event through [`Endpoint::link`], then
//! [`Endpoint::transmit`] until nothing is left, and sleep until [`Endpoint::deadline_us`].
//!
//! **Invariants worth naming.** A datagram is forwarded once at most: one that came by forwarding is handled where it
//! is. A connection has one grant of admission, from its first datagram until QUIC has forgotten it. What somebody can
//! make the endpoint hold without showing that its address is its own is bounded by the number of handshakes.

use super::{
    Event, Lost,
    batch::Batch,
    cid::{Route, route},
    connection::{Clock, ConnKey, Connection, EndpointLink, Events, Phase},
    counts::Counts,
    settings::Shared,
    slots::Slots,
};
use crate::admission::{Grant, Refused};
use bytes::BytesMut;
use quinn_proto::{
    ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointEvent, Incoming, Transmit,
};
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tutti_shards::ShardId;

/// Datagrams that one system call may send of a connection (GSO): more, and others would wait for it.
const SEGMENTS_MAX: usize = 10;

/// A datagram as it came, with what IP said about it. IPv4 addresses are never mapped ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Its bytes.
    pub bytes: Box<[u8]>,
    /// Who sent it.
    pub from: SocketAddr,
    /// Which of our addresses it came to, where that is known.
    pub to: Option<IpAddr>,
    /// The mark of its IP header.
    pub ecn: Option<EcnCodepoint>,
    /// When it came, microseconds on the monotonic clock.
    pub at_us: u64,
}

/// All QUIC connections of a shard.
pub struct Endpoint {
    shared: Arc<Shared>,
    me: u8,
    shards: u16,
    clock: Clock,
    proto: quinn_proto::Endpoint,
    /// By the handles of `proto`.
    conns: Slots<Connection>,
    generation: u32,
    handshakes: u32,
    timers: super::timers::Timers,
    events: Events,
    /// Connections that may have something to tell, and to send.
    tellers: VecDeque<u32>,
    senders: VecDeque<u32>,
    /// Answers of the endpoint itself.
    replies: VecDeque<(Transmit, Vec<u8>)>,
    forwards: VecDeque<(ShardId, Arrival)>,
    segments_max: usize,
    counts: Counts,
    stopping: bool,
    is_full: bool,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("me", &self.me).finish_non_exhaustive()
    }
}

/// What becomes of a client that knocks.
enum Answer {
    Accept(Grant),
    Retry,
    Refuse,
    Ignore,
}

impl Endpoint {
    /// The endpoint of one shard. `seed` decides all that is random in it, for each start anew.
    ///
    /// # Panics
    /// With more than 256 shards, which no configuration has.
    #[must_use]
    pub fn new(shared: Arc<Shared>, me: ShardId, shards: u16, now_us: u64, seed: [u8; 32]) -> Self {
        let me = u8::try_from(me.0).expect("at most 256 shards");
        let start = *seed.first_chunk().expect("32 bytes have four");
        let config = shared.endpoint_config(me, start);
        let server = Some(shared.server.clone());
        // Sockets that quinn-udp has set up do not let IP split datagrams.
        let may_probe_mtu = true;
        Endpoint {
            proto: quinn_proto::Endpoint::new(config, server, may_probe_mtu, Some(seed)),
            shared,
            me,
            shards,
            clock: Clock::starting_at(now_us),
            conns: Slots::default(),
            generation: 0,
            handshakes: 0,
            timers: super::timers::Timers::default(),
            events: Events::default(),
            tellers: VecDeque::new(),
            senders: VecDeque::new(),
            replies: VecDeque::new(),
            forwards: VecDeque::new(),
            segments_max: 1,
            counts: Counts::default(),
            stopping: false,
            is_full: false,
        }
    }

    /// How many datagrams of one connection the socket sends at once.
    pub fn set_segments_max(&mut self, segments: usize) {
        self.segments_max = segments.clamp(1, SEGMENTS_MAX);
    }

    /// Takes a datagram that the socket has received. One that belongs to another shard waits to be taken by
    /// [`Endpoint::poll_forward`].
    pub fn handle_datagram(
        &mut self,
        now_us: u64,
        from: SocketAddr,
        to: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        bytes: &[u8],
    ) {
        self.counts.datagrams_received += 1;
        match route(&self.shared.secrets.ids, self.me, self.shards, bytes) {
            Route::Here => self.handle(now_us, from, to, ecn, bytes),
            Route::To(home) => {
                let arrival = Arrival { bytes: bytes.into(), from, to, ecn, at_us: now_us };
                self.forwards.push_back((ShardId(home.into()), arrival));
            }
            Route::Nowhere => self.counts.datagrams_foreign += 1,
        }
    }

    /// Takes a datagram that another shard has forwarded.
    pub fn handle_forwarded(&mut self, arrival: &Arrival) {
        self.counts.forwards_received += 1;
        let Arrival { bytes, from, to, ecn, at_us } = arrival;
        self.handle(*at_us, *from, *to, *ecn, bytes);
    }

    /// The next datagram for another shard. Its taker says by [`Endpoint::forwarded`] what became of it.
    pub fn poll_forward(&mut self) -> Option<(ShardId, Arrival)> {
        self.forwards.pop_front()
    }

    /// Counts a datagram that was sent on to its shard, or could not be because too many wait; QUIC repairs that.
    pub fn forwarded(&mut self, sent: bool) {
        let count =
            if sent { &mut self.counts.forwards_sent } else { &mut self.counts.forwards_dropped };
        *count += 1;
    }

    fn handle(
        &mut self,
        now_us: u64,
        from: SocketAddr,
        to: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        bytes: &[u8],
    ) {
        let mut reply = Vec::new();
        let now = self.clock.instant(now_us);
        match self.proto.handle(now, from, to, ecn, BytesMut::from(bytes), &mut reply) {
            None => {}
            Some(DatagramEvent::Response(transmit)) => {
                self.counts.replies += 1;
                self.replies.push_back((transmit, reply));
            }
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let slot = handle.0 as u32;
                let Some(conn) = self.conn(slot) else { return };
                conn.handle_datagram(event, bytes[0], bytes.len());
                if conn.heard(now_us, from, bytes.len()) {
                    self.challenge(now_us, slot);
                }
                self.touch(slot);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.knock(now_us, incoming, bytes.len());
            }
        }
    }

    /// Asks a new address whether it hears us before the session writes anything: what is sent together with that may
    /// be more than the address may be sent.
    fn challenge(&mut self, now_us: u64, slot: u32) {
        let now = self.clock.instant(now_us);
        let mut bytes = Vec::new();
        while let Some(transmit) = self.poll_transmit(now, slot, 1, &mut bytes) {
            self.counts.datagrams_sent += 1;
            self.replies.push_back((transmit, std::mem::take(&mut bytes)));
        }
    }

    /// What a connection sends next, in place of what is in `into`.
    fn poll_transmit(
        &mut self,
        now: Instant,
        slot: u32,
        segments: usize,
        into: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let conn = self.conns.get_mut(slot)?;
        let before = conn.address();
        let withheld = &mut self.counts.datagrams_withheld;
        let transmit = conn.poll_transmit(now, segments, into, withheld);
        let address = conn.address();
        if address != before {
            conn.grant.move_to(address.ip());
            self.counts.moves += 1;
            self.events.push(conn.key, Event::Moved { address });
        }
        transmit
    }

    fn knock(&mut self, now_us: u64, incoming: Incoming, bytes: usize) {
        let mut reply = Vec::new();
        let unproven = (!incoming.remote_address_validated()).then_some(bytes as u64);
        let transmit = match self.judge(now_us, &incoming) {
            Answer::Accept(grant) => {
                let now = self.clock.instant(now_us);
                match self.proto.accept(incoming, now, &mut reply, None) {
                    Ok((handle, proto)) => {
                        self.arrive(now_us, handle, proto, grant, unproven);
                        None
                    }
                    Err(error) => {
                        self.counts.handshakes_failed += 1;
                        error.response
                    }
                }
            }
            Answer::Retry => {
                self.counts.retries += 1;
                match self.proto.retry(incoming, &mut reply) {
                    Ok(transmit) => Some(transmit),
                    Err(error) => Some(self.proto.refuse(error.into_incoming(), &mut reply)),
                }
            }
            Answer::Refuse => {
                self.counts.refused += 1;
                Some(self.proto.refuse(incoming, &mut reply))
            }
            Answer::Ignore => {
                self.counts.ignored += 1;
                self.proto.ignore(incoming);
                None
            }
        };
        if let Some(transmit) = transmit {
            self.replies.push_back((transmit, reply));
        }
    }

    fn judge(&self, now_us: u64, incoming: &Incoming) -> Answer {
        let settings = &self.shared.settings;
        if self.stopping || self.is_full {
            return Answer::Refuse;
        }
        if self.handshakes >= settings.ignore_above {
            return Answer::Ignore;
        }
        let is_its_own = incoming.remote_address_validated();
        if self.handshakes >= settings.retry_above && !is_its_own {
            return Answer::Retry;
        }
        let now = Duration::from_micros(now_us);
        let address = incoming.remote_address().ip();
        // Whoever writes from addresses that are not its own must not keep their owners out: those may show who they
        // are.
        match self.shared.admission.knock(address, is_its_own, now) {
            Ok(()) => {}
            Err(Refused::Banned) => return Answer::Refuse,
            Err(_) if !is_its_own => return Answer::Retry,
            Err(_) => return Answer::Refuse,
        }
        match self.shared.admission.admit() {
            Ok(grant) => Answer::Accept(grant),
            Err(_) => Answer::Refuse,
        }
    }

    fn arrive(
        &mut self,
        now_us: u64,
        handle: ConnectionHandle,
        proto: quinn_proto::Connection,
        grant: Grant,
        unproven: Option<u64>,
    ) {
        self.generation = self.generation.wrapping_add(1).max(1);
        let key = ConnKey { slot: handle.0 as u32, generation: self.generation };
        let handshake_us = self.shared.settings.handshake.as_micros() as u64;
        let conn = Connection::new(proto, key, grant, now_us, handshake_us, unproven);
        let address = conn.address();
        self.conns.insert(key.slot, conn);
        self.handshakes += 1;
        self.counts.handshakes += 1;
        self.events.push(key, Event::Arrived { address });
        self.touch(key.slot);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now_us: u64) {
        while let Some(slot) = self.timers.pop(now_us) {
            let clock = self.clock;
            let Some(conn) = self.conns.get_mut(slot) else {
                continue;
            };
            conn.armed_us = None;
            if conn.handle_timeout(&clock, now_us, &mut self.events) {
                self.counts.handshakes_slow += 1;
                self.forget(slot, Some(Lost::Silence));
                continue;
            }
            self.touch(slot);
        }
    }

    /// When there is something to do even if nothing comes.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        if self.has_work() { Some(0) } else { self.timers.first() }
    }

    /// The same, apart from what waits to be taken.
    #[must_use]
    pub fn timer_us(&self) -> Option<u64> {
        self.timers.first()
    }

    /// Whether events or datagrams wait to be taken.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.has_news() || self.has_output()
    }

    /// Whether events wait to be taken, or datagrams of other shards.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !(self.events.0.is_empty() && self.tellers.is_empty() && self.forwards.is_empty())
    }

    /// Whether there may be something to send.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !(self.senders.is_empty() && self.replies.is_empty())
    }

    /// What happened next, and to which connection.
    pub fn poll_event(&mut self, now_us: u64) -> Option<(ConnKey, Event)> {
        loop {
            if let Some(event) = self.events.0.pop_front() {
                return Some(event);
            }
            let slot = self.tellers.pop_front()?;
            self.tell(now_us, slot);
        }
    }

    /// The connection, for its session; `None` when it is lost.
    pub fn link(&mut self, now_us: u64, key: ConnKey) -> Option<EndpointLink<'_>> {
        let conn = self.conn(key.slot)?;
        if conn.key != key || conn.phase == Phase::Closed {
            return None;
        }
        self.touch(key.slot);
        let conn = self.conns.get_mut(key.slot)?;
        Some(EndpointLink::new(conn, &mut self.events, self.clock, now_us))
    }

    /// Gathers datagrams that are to be sent, until there are none or the batch is full; whether there may be more.
    pub fn transmit(&mut self, now_us: u64, batch: &mut Batch) -> bool {
        while !batch.is_full() {
            if let Some((transmit, bytes)) = self.replies.pop_front() {
                batch.push(&transmit, bytes);
                continue;
            }
            let Some(slot) = self.senders.pop_front() else { return false };
            self.transmit_one(now_us, slot, batch);
        }
        true
    }

    fn transmit_one(&mut self, now_us: u64, slot: u32, batch: &mut Batch) {
        let (now, clock) = (self.clock.instant(now_us), self.clock);
        let Some(conn) = self.conns.get_mut(slot) else { return };
        if !conn.may_send {
            return;
        }
        while !batch.is_full() {
            let mut bytes = batch.buffer();
            let transmit = self.poll_transmit(now, slot, self.segments_max, &mut bytes);
            let Some(conn) = self.conns.get_mut(slot) else {
                return;
            };
            let Some(transmit) = transmit else {
                batch.give_back(bytes);
                conn.may_send = false;
                if self.stopping && conn.phase == Phase::Closed {
                    // The client has been told, and nobody will be here to answer what comes late.
                    return self.forget(slot, None);
                }
                let wanted = conn.deadline_us(&clock);
                self.timers.arm(slot, &mut conn.armed_us, wanted);
                // Sending can end a connection, or ask for ids.
                return self.tell(now_us, slot);
            };
            self.counts.datagrams_sent += match transmit.segment_size {
                Some(size) => transmit.size.div_ceil(size) as u64,
                None => 1,
            };
            batch.push(&transmit, bytes);
        }
        self.senders.push_front(slot);
    }

    /// Whether the shard can take on no more for the moment.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Takes no new connections from now on.
    pub fn stop(&mut self) {
        self.stopping = true;
        for slot in 0..self.conns.end() {
            if self.conn(slot).is_some_and(|conn| matches!(conn.phase, Phase::Handshake { .. })) {
                self.forget(slot, Some(Lost::ByUs));
            }
        }
    }

    /// Connections that QUIC knows of, those that end included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.proto.open_connections()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.len() as u64,
            handshakes_now: self.handshakes.into(),
            ..self.counts
        }
    }

    fn conn(&mut self, slot: u32) -> Option<&mut Connection> {
        self.conns.get_mut(slot)
    }

    /// Something has happened to a connection: it may have something to tell and to send.
    fn touch(&mut self, slot: u32) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        if !std::mem::replace(&mut conn.may_tell, true) {
            self.tellers.push_back(slot);
        }
        if !std::mem::replace(&mut conn.may_send, true) {
            self.senders.push_back(slot);
        }
    }

    fn tell(&mut self, now_us: u64, slot: u32) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.may_tell = false;
        let was_handshake = matches!(conn.phase, Phase::Handshake { .. });
        conn.tell(&self.clock, now_us, &mut self.events);
        if was_handshake && !matches!(conn.phase, Phase::Handshake { .. }) {
            self.handshakes -= 1;
            if conn.phase == Phase::Live {
                self.counts.connected += 1;
                let address = conn.address().ip();
                if conn.grant.charge_known(address).is_err() {
                    // Others of this address were faster.
                    self.counts.refused += 1;
                    let (clock, events) = (self.clock, &mut self.events);
                    let mut link = EndpointLink::new(conn, events, clock, now_us);
                    super::Link::close(&mut link, super::CLOSE_LIMIT, "too many connections");
                }
            } else {
                self.counts.handshakes_failed += 1;
            }
        }
        while let Some(event) = conn.proto.poll_endpoint_events() {
            let is_over = event.is_drained();
            let answer = self.proto.handle_event(ConnectionHandle(slot as usize), event);
            if let Some(answer) = answer {
                conn.proto.handle_event(answer);
                if !std::mem::replace(&mut conn.may_send, true) {
                    self.senders.push_back(slot);
                }
            }
            if is_over {
                return self.remove(slot);
            }
        }
    }

    /// Forgets a connection without a word to the client.
    fn forget(&mut self, slot: u32, lost: Option<Lost>) {
        let Some(conn) = self.conn(slot) else { return };
        let key = conn.key;
        if let Some(lost) = lost {
            self.events.push(key, Event::Lost(lost));
        }
        let handle = ConnectionHandle(slot as usize);
        self.proto.handle_event(handle, EndpointEvent::drained());
        self.remove(slot);
    }

    /// Drops what QUIC has forgotten.
    fn remove(&mut self, slot: u32) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        if matches!(conn.phase, Phase::Handshake { .. }) {
            self.handshakes -= 1;
        }
        self.timers.disarm(slot, &mut conn.armed_us);
        self.conns.remove(slot);
    }
}
