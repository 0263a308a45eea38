//! Any frames, and any bytes, on any streams of a few QUIC clients, at any time, against the sessions and shards behind
//! them: all invariants hold after each step.
//!
//! Input: the number of shards and whether rates hold, then steps of one byte that says what happens and the bytes that
//! say to whom. What clients are sent has to be whole frames, each event of a room once and in order within its stream;
//! at the end, when everything has arrived, without a gap. When all are gone nothing of them is left.
#![no_main]

#[path = "../input.rs"]
mod input;

use bytes::Bytes;
use input::Input;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::IoSlice,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tutti::{
    config::{Config, HostCpus, Origin, RawConfig},
    doors::{
        Wire,
        line::LineWire,
        mpp::MppWire,
        quic::{
            host::{Host, Links},
            session::SessionConfig,
            wire::QuicWire,
        },
    },
    quic::{Event, Link, Lost, Read, StreamId, WriteFault},
};
use tutti_shards::{
    ChannelName, Key, MeshMessage, Now, NumberKey, Output, Seeds, Sent, Shard, ShardId, Transport,
};

/// Most clients of one run. More find nothing that these do not.
const CLIENTS_MAX: usize = 6;
/// Rounds in which sessions and shards have to have answered each other.
const ROUNDS_MAX: usize = 2_000;
/// Messages whose numbers a client knows.
const SAID_KEPT: usize = 8;
const KEY: NumberKey = NumberKey([3, 5]);

const HELLO: u8 = 0x00;
const AUTH: u8 = 0x02;
const AUTH_OK: u8 = 0x03;
const SEND_MESSAGE: u8 = 0x10;
const JOIN_ROOM: u8 = 0x15;
const ROOM_MESSAGE: u8 = 0x30;
const ROOM_INIT: u8 = 0x37;
const ROOM_CLOSE: u8 = 0x38;
const ROOM_HISTORY: u8 = 0x3b;
const STREAM_OPEN: u8 = 0x53;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let first = input.next();
    let mut world = World::new(1 + u16::from(first) % 2, first & 0x80 == 0);
    while !input.0.is_empty() {
        world.step(&mut input);
    }
    world.settle();
    world.compare();
    world.end();
});

impl<'a> Input<'a> {
    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.next()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}

/// What a client's stream brings that was not read.
#[derive(Default)]
struct Incoming {
    bytes: VecDeque<u8>,
    end: Option<Result<(), u64>>,
}

/// What of a stream of the server has come.
#[derive(Default)]
struct Outgoing {
    /// The beginning of a frame.
    rest: Vec<u8>,
    frames: usize,
    /// The last event of each room.
    last: BTreeMap<u64, u64>,
    finished: bool,
}

/// What a client knows of a room, by the rules of the protocol page (section 12.3).
#[derive(Default)]
struct Room {
    seen: BTreeSet<u64>,
    /// The first event that has to be there.
    next: u64,
    membership: u64,
    closed: u64,
}

/// A connection with both of its ends.
struct Client {
    shard: usize,
    incoming: BTreeMap<StreamId, Incoming>,
    outgoing: BTreeMap<StreamId, Outgoing>,
    /// The client's streams by their places in the input, of both kinds.
    places: BTreeMap<(bool, usize), StreamId>,
    /// How many streams of each kind the client has opened.
    opened: [u64; 2],
    /// How many the server has, and may.
    lanes: u64,
    lanes_max: u64,
    /// Bytes that the client still takes; `None` for any.
    room: Option<usize>,
    blocked: BTreeSet<StreamId>,
    /// Streams whose end has not been told to have arrived.
    undelivered: Vec<StreamId>,
    datagrams: VecDeque<Vec<u8>>,
    closed: bool,
    connected: bool,
    heard_us: u64,
    rooms: BTreeMap<u64, Room>,
    /// Its number, once it is in; 0 before.
    user: u64,
    /// Numbers of messages that it was told last.
    said: VecDeque<u64>,
}

impl Client {
    /// Takes the whole frames that have come on a stream.
    fn receive(&mut self, stream: StreamId, bytes: &[u8]) {
        let outgoing = self.outgoing.entry(stream).or_default();
        assert!(!outgoing.finished, "nothing follows the end");
        outgoing.rest.extend_from_slice(bytes);
        let mut rest = outgoing.rest.as_slice();
        while let [kind, a, b, c, d, behind @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let max = if matches!(*kind, ROOM_INIT | ROOM_HISTORY) { 256 << 10 } else { 64 << 10 };
            assert!(length <= max, "a frame {kind:#04x} of {length} bytes");
            let Some((payload, behind)) = behind.split_at_checked(length) else { break };
            let payload: Value = serde_json::from_slice(payload).expect("payloads are JSON");
            assert!(payload.is_object());
            rest = behind;
            outgoing.frames += 1;
            let number = |key: &str| payload[key].as_u64();
            if let Some(message) = number("message_id") {
                self.said.push_back(message);
                self.said.truncate(SAID_KEPT);
            }
            if stream.0 == 0 {
                if *kind == AUTH_OK {
                    self.user = number("user_id").expect("it says who that is");
                }
                assert!(!(ROOM_MESSAGE..=ROOM_HISTORY).contains(kind), "{kind:#04x} on control");
                continue;
            }
            assert_eq!(outgoing.frames == 1, *kind == STREAM_OPEN, "which says what it is first");
            let Some(id) = number("room_id") else { continue };
            let room = self.rooms.entry(id).or_default();
            match *kind {
                STREAM_OPEN | ROOM_HISTORY => {}
                ROOM_INIT => {
                    let membership = number("membership").expect("it is counted");
                    // A hot stream may be ahead of a lane, so they come in any order here.
                    room.membership = room.membership.max(membership);
                    let seq = number("seq").expect("it says where it stands");
                    room.next = room.next.max(seq + 1);
                }
                ROOM_CLOSE => {
                    let membership = number("membership").expect("it is counted");
                    assert!(membership > room.closed, "closed once");
                    room.closed = membership;
                }
                _ => {
                    let seq = number("seq").expect("events of rooms are numbered");
                    let last = outgoing.last.insert(id, seq).unwrap_or(0);
                    assert!(last < seq, "{seq} behind {last} on one stream");
                    assert!(room.seen.insert(seq), "{seq} comes once");
                }
            }
        }
        let taken = outgoing.rest.len() - rest.len();
        outgoing.rest.drain(..taken);
    }
}

impl Link for Client {
    fn read(&mut self, stream: StreamId, max: usize, into: &mut Vec<u8>) -> Read {
        let Some(incoming) = self.incoming.get_mut(&stream) else { return Read::Gone };
        if let Some(Err(code)) = incoming.end {
            self.incoming.remove(&stream);
            return Read::Reset(code);
        }
        let n = incoming.bytes.len().min(max);
        into.extend(incoming.bytes.drain(..n));
        match (incoming.bytes.is_empty(), incoming.end) {
            (false, _) => Read::More,
            (true, None) => Read::Blocked,
            (true, Some(_)) => {
                self.incoming.remove(&stream);
                Read::Finished
            }
        }
    }

    fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Result<usize, WriteFault> {
        if self.closed || self.outgoing.get(&stream).is_some_and(|one| one.finished) {
            return Err(WriteFault::Gone);
        }
        let taken = bytes.len().min(self.room.unwrap_or(usize::MAX));
        if let Some(room) = &mut self.room {
            *room -= taken;
        }
        if taken < bytes.len() {
            self.blocked.insert(stream);
        }
        self.receive(stream, &bytes[..taken]);
        Ok(taken)
    }

    fn write_shared(&mut self, stream: StreamId, bytes: &Bytes) -> Result<usize, WriteFault> {
        self.write(stream, bytes)
    }

    fn open_one_way(&mut self) -> Option<StreamId> {
        if self.closed || self.lanes >= self.lanes_max {
            return None;
        }
        self.lanes += 1;
        Some(StreamId((self.lanes - 1) * 4 + 3))
    }

    fn finish(&mut self, stream: StreamId) {
        self.outgoing.entry(stream).or_default().finished = true;
        self.undelivered.push(stream);
    }

    fn reset(&mut self, _: StreamId, _: u32) {}

    fn stop(&mut self, stream: StreamId, _: u32) {
        self.incoming.remove(&stream);
        self.places.retain(|_, place| *place != stream);
    }

    fn set_priority(&mut self, _: StreamId, _: u8) {}

    fn send_datagram(&mut self, bytes: &[u8]) -> bool {
        assert!(bytes.len() <= 1_150);
        true
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        // Every other client takes some.
        (self.lanes_max % 2 == 0).then_some(1_150)
    }

    fn receive_datagram(&mut self, into: &mut Vec<u8>) -> bool {
        let datagram = self.datagrams.pop_front();
        let came = datagram.is_some();
        *into = datagram.unwrap_or_default();
        came
    }

    fn close(&mut self, _: u32, _: &str) {
        self.closed = true;
    }

    fn close_after(&mut self, stream: StreamId, _: u32) {
        self.finish(stream);
        self.closed = true;
    }

    fn is_connected(&self) -> bool {
        self.connected
    }

    fn address(&self) -> SocketAddr {
        ([192, 0, 2, 1], 5_000).into()
    }

    fn heard_us(&self) -> u64 {
        self.heard_us
    }
}

/// The clients of all shards.
struct Clients(BTreeMap<u32, Client>);

impl Links<u32> for Clients {
    fn with(&mut self, key: u32, act: &mut dyn FnMut(&mut dyn Link)) {
        if let Some(client) = self.0.get_mut(&key) {
            act(client);
        }
    }
}

/// Takes what the core sends to seats and sessions.
struct Taker<'a>(&'a mut Host<u32>);

impl Transport for Taker<'_> {
    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        assert!(self.0.owns(key), "nobody else is here");
        self.0.take(key, slices);
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }
}

struct Node {
    core: Shard<Wire>,
    host: Host<u32>,
}

/// Everything.
struct World {
    nodes: Vec<Node>,
    mesh: VecDeque<(ShardId, ShardId, MeshMessage)>,
    clients: Clients,
    now: Now,
    last: u32,
    stopping: bool,
}

impl World {
    fn new(shards: u16, limited: bool) -> Self {
        let (core, session) = configs(limited);
        let node = |id: u16| Node {
            core: Shard::new(
                ShardId(id),
                shards,
                core.clone(),
                Seeds { placement: [1, 2, 3, 4], local: u64::from(id) + 9 },
                Wire::new(MppWire::new(""), LineWire::default(), QuicWire::new(KEY)),
            ),
            host: Host::new(session.clone()),
        };
        World {
            nodes: (0..shards).map(node).collect(),
            mesh: VecDeque::new(),
            clients: Clients(BTreeMap::new()),
            now: Now { mono_us: 5_000_000, wall_ms: 1_800_000_000_000 },
            last: 0,
            stopping: false,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0 => drop(self.arrive(input)),
            1 => {
                let Some(id) = self.pick(input) else { return };
                let client = self.client(id);
                if !std::mem::replace(&mut client.connected, true) {
                    self.event(id, Event::Connected);
                }
            }
            2 | 3 => self.log_in(input),
            4..=7 => {
                let Some(id) = self.pick(input) else { return };
                let place = (false, input.below(3));
                let kind = if input.flag() { 0x10 + input.next() % 0x14 } else { SEND_MESSAGE };
                let payload = self.payload(kind, input);
                self.say(id, place, &frame(kind, payload.to_string().as_bytes()));
            }
            8 => {
                let Some(id) = self.pick(input) else { return };
                let place = (input.flag(), input.below(4));
                let kind = input.next();
                let payload = self.payload(kind, input);
                let mut bytes = frame(kind, payload.to_string().as_bytes());
                bytes.truncate(bytes.len() - input.below(3));
                self.say(id, place, &bytes);
            }
            9 => {
                let Some(id) = self.pick(input) else { return };
                let place = (input.flag(), input.below(4));
                let bytes = input.bytes();
                self.say(id, place, bytes);
            }
            10 => {
                let Some(id) = self.pick(input) else { return };
                let place = (input.flag(), input.below(4));
                let end = if input.flag() { Ok(()) } else { Err(0x10) };
                self.end_stream(id, place, end);
            }
            11 => {
                let Some(id) = self.pick(input) else { return };
                let datagram = if input.flag() {
                    let kind = 0x80 + input.next() % 6;
                    frame(kind, self.payload(kind, input).to_string().as_bytes())
                } else {
                    input.bytes().to_vec()
                };
                self.client(id).datagrams.push_back(datagram);
                self.event(id, Event::Datagrams);
            }
            12 => {
                let steps = usize::from(input.next());
                self.pass(if steps > 250 { steps } else { steps % 12 });
            }
            13 => {
                let Some(id) = self.pick(input) else { return };
                let bytes = usize::from(input.next());
                self.take(id, (bytes < 250).then_some(bytes * 64));
            }
            14 => {
                let Some(id) = self.pick(input) else { return };
                match input.below(4) {
                    0 => {
                        self.client(id).lanes_max += 2;
                        self.event(id, Event::Credit);
                    }
                    1 => {
                        // Streams of the server, and control.
                        let n = input.below(6) as u64;
                        let stream = StreamId(if n == 5 { 0 } else { n * 4 + 3 });
                        if self.client(id).outgoing.contains_key(&stream) {
                            self.event(id, Event::Stopped { stream, code: 0x10 });
                        }
                    }
                    2 => self.deliver(id),
                    _ => self.event(id, Event::Moved { address: ([192, 0, 2, 2], 4).into() }),
                }
            }
            _ => match input.next() {
                // Rare, because little happens after it.
                255 => {
                    self.stopping = true;
                    for node in &mut self.nodes {
                        node.core.stop(self.now);
                        node.host.stop(self.now, &mut self.clients);
                    }
                    self.run();
                }
                n if n % 3 == 0 => {
                    let Some(id) = self.pick(input) else { return };
                    self.lose(id, if n % 2 == 0 { Lost::Silence } else { Lost::ByPeer(0) });
                }
                _ => {}
            },
        }
        self.nodes.iter().for_each(|node| node.core.verify());
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<u32> {
        let clients = &self.clients.0;
        let n = input.below(clients.len().max(1));
        clients.keys().nth(n).copied()
    }

    fn client(&mut self, id: u32) -> &mut Client {
        self.clients.0.get_mut(&id).expect("it was picked")
    }

    fn arrive(&mut self, input: &mut Input<'_>) -> Option<u32> {
        if self.clients.0.len() >= CLIENTS_MAX || self.stopping {
            return None;
        }
        self.last += 1;
        let client = Client {
            shard: input.below(self.nodes.len()),
            incoming: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            places: BTreeMap::new(),
            opened: [0, 0],
            lanes: 0,
            lanes_max: if input.next() == 255 { 1 } else { 6 + u64::from(self.last % 2) },
            room: None,
            blocked: BTreeSet::new(),
            undelivered: Vec::new(),
            datagrams: VecDeque::new(),
            closed: false,
            connected: false,
            heard_us: self.now.mono_us,
            rooms: BTreeMap::new(),
            user: 0,
            said: VecDeque::new(),
        };
        self.clients.0.insert(self.last, client);
        self.event(self.last, Event::Arrived { address: ([192, 0, 2, 1], 5_000).into() });
        Some(self.last)
    }

    /// A client that says hello as it should, with its handshake complete or not.
    fn log_in(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.arrive(input) else { return };
        let bits = input.next();
        if bits & 1 == 0 {
            self.client(id).connected = true;
            self.event(id, Event::Connected);
        }
        let capabilities = ["chat", "hot", "presence", "typing", "receipts"];
        let capabilities = if bits & 2 == 0 { &capabilities[..] } else { &capabilities[..1] };
        let hello = json!({ "version": 1, "capabilities": capabilities });
        let name = format!("user {}", bits >> 4);
        let auth = json!({ "method": "username", "credentials": name });
        let mut bytes = frame(HELLO, hello.to_string().as_bytes());
        bytes.extend(frame(AUTH, auth.to_string().as_bytes()));
        self.say(id, (true, 0), &bytes);
    }

    /// Fields of all frames at once: which of them count depends on the type.
    fn payload(&self, kind: u8, input: &mut Input<'_>) -> Value {
        let (which, bits, more) = (input.next(), input.next(), input.next());
        let names = ["a", "b", "c", "lobby", "lobby2"];
        let name = names[usize::from(which) % names.len()];
        let number = KEY.room(&ChannelName::parse(name).expect("it is one")).0;
        let said: Vec<u64> =
            self.clients.0.values().flat_map(|client| &client.said).copied().collect();
        let id = said.get(usize::from(more) % said.len().max(1)).copied().unwrap_or(1);
        // One that is here, or nobody.
        let user = self.clients.0.values().nth(usize::from(more) % (CLIENTS_MAX + 1));
        let user = user.map_or(77, |client| client.user);
        let types = ["channel", "group", "direct"];
        let roles = ["guest", "member", "moderator", "admin", "owner"];
        let mut payload = json!({
            "nonce": format!("{}", more % 16),
            "content": "x".repeat(1 + usize::from(bits >> 4) * 40),
            "message_id": id,
            "user_id": user,
            "emoji": if bits & 1 == 0 { "👍" } else { "🎹" },
            "room_type": types[usize::from(bits) % 3],
            "members": vec![user; usize::from(bits & 3)],
            "role": roles[usize::from(more) % 5],
            "duration_ms": u64::from(more) * 100,
            "version": u64::from(more),
            "method": if bits & 4 == 0 { "username" } else { "token" },
            "credentials": format!("user {}", more % 16),
            "timestamp": u64::from(more),
            "read_at": 1,
            "delivered_at": 1,
            "capabilities": ["chat", "hot"],
        });
        let Value::Object(fields) = &mut payload else { unreachable!("it is one") };
        let mut add = |bit: u8, key: &str, value: Value| {
            if bits & bit != 0 {
                fields.insert(key.to_owned(), value);
            }
        };
        add(2, "topic", json!("t"));
        add(4, "reply_to", json!(id));
        add(8, "post_role", json!("moderator"));
        add(8, "visible", json!(bits & 1 == 0));
        add(16, "limit", json!(u64::from(more) % 101));
        add(32, "before_id", json!(id));
        add(64, "after_seq", json!(u64::from(more)));
        add(128, "status", json!("s"));
        match kind {
            JOIN_ROOM if bits & 128 == 0 => fields.insert("name".into(), json!(name)),
            0x17 | 0x1d => {
                fields.insert("room_id".into(), json!(number));
                fields.insert("name".into(), json!(name))
            }
            0x21 => fields.insert("filter".into(), json!(name)),
            0x23 => fields.insert("username".into(), json!(name)),
            _ => fields.insert("room_id".into(), json!(number)),
        };
        payload
    }

    /// Sends bytes on a stream, which is opened where there is none.
    fn say(&mut self, id: u32, place: (bool, usize), bytes: &[u8]) {
        let now_us = self.now.mono_us;
        let Some(client) = self.clients.0.get_mut(&id) else { return };
        client.heard_us = now_us;
        let (two_way, _) = place;
        let mut new = false;
        let stream = *client.places.entry(place).or_insert_with(|| {
            new = true;
            let count = &mut client.opened[usize::from(two_way)];
            *count += 1;
            StreamId((*count - 1) * 4 + if two_way { 0 } else { 2 })
        });
        if new {
            client.incoming.insert(stream, Incoming::default());
        }
        // One that was stopped takes nothing more.
        let Some(incoming) = client.incoming.get_mut(&stream) else { return };
        incoming.bytes.extend(bytes);
        if new {
            self.event(id, Event::Opened(stream));
        }
        self.event(id, Event::Readable(stream));
    }

    fn end_stream(&mut self, id: u32, place: (bool, usize), end: Result<(), u64>) {
        let client = self.client(id);
        let Some(stream) = client.places.remove(&place) else { return };
        if let Some(incoming) = client.incoming.get_mut(&stream) {
            incoming.end = Some(end);
            self.event(id, Event::Readable(stream));
        }
    }

    /// A client takes so many bytes from now on.
    fn take(&mut self, id: u32, bytes: Option<usize>) {
        let client = self.client(id);
        client.room = bytes;
        for stream in std::mem::take(&mut client.blocked) {
            self.event(id, Event::Writable(stream));
        }
    }

    /// What was finished has arrived.
    fn deliver(&mut self, id: u32) {
        for stream in std::mem::take(&mut self.client(id).undelivered) {
            self.event(id, Event::Delivered(stream));
        }
    }

    fn lose(&mut self, id: u32, lost: Lost) {
        self.event(id, Event::Lost(lost));
        self.clients.0.remove(&id);
    }

    fn event(&mut self, id: u32, event: Event) {
        let Some(client) = self.clients.0.get(&id) else { return };
        let seed = || [id as u8; 16];
        self.nodes[client.shard].host.handle(self.now, id, event, seed, &mut self.clients);
        self.run();
    }

    /// Lets sessions and shards answer each other until both have said everything.
    fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for (n, Node { core, host }) in self.nodes.iter_mut().enumerate() {
                core.flush(self.now, &mut Taker(host), false);
                while let Some(output) = core.poll_output() {
                    busy = true;
                    match output {
                        Output::Mesh { to, message } => {
                            self.mesh.push_back((ShardId(n as u16), to, message));
                        }
                        Output::Attachments(_) => {}
                        Output::SeatEnded { key, last, undone } => {
                            host.seat_ended(key, last, undone)
                        }
                        Output::Close { key, reason, unsent, .. } => {
                            host.closed(key, reason, unsent);
                        }
                        Output::Resume { key } => host.resumed(key),
                        Output::Handover { .. } | Output::Store(_) => {
                            unreachable!("sessions stay, and nothing is kept")
                        }
                    }
                }
                busy |= host.is_unsettled();
                host.settle(self.now, core, &mut self.clients);
            }
            while let Some((from, to, message)) = self.mesh.pop_front() {
                busy = true;
                self.nodes[to.index()].core.handle_mesh(self.now, from, message);
            }
            // The transport says last that what was closed is gone.
            let closed = |(id, client): (&u32, &Client)| client.closed.then_some(*id);
            let closed: Vec<u32> = self.clients.0.iter().filter_map(closed).collect();
            for id in closed {
                busy = true;
                let shard = self.clients.0[&id].shard;
                let lost = Event::Lost(Lost::ByUs);
                let host = &mut self.nodes[shard].host;
                host.handle(self.now, id, lost, || [0; 16], &mut self.clients);
                self.clients.0.remove(&id);
            }
            if !busy {
                return;
            }
        }
        panic!("sessions and shards go on for ever");
    }

    /// Time passes, in steps of a quarter of a second.
    fn pass(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now.mono_us += 250_000;
            self.now.wall_ms += 250;
            for Node { core, host } in &mut self.nodes {
                if core.next_deadline_us().is_some_and(|at| at <= self.now.mono_us) {
                    core.handle_timeout(self.now);
                }
                host.handle_timeout(self.now, &mut self.clients);
            }
            self.run();
        }
    }

    /// Everything that waits arrives, and a while passes in which nobody says anything.
    fn settle(&mut self) {
        for _ in 0..8 {
            for id in self.clients.0.keys().copied().collect::<Vec<_>>() {
                if self.clients.0.contains_key(&id) {
                    self.take(id, None);
                }
                if self.clients.0.contains_key(&id) {
                    self.deliver(id);
                }
            }
            self.pass(2);
        }
        self.nodes.iter().for_each(|node| node.core.verify());
    }

    /// Whoever is still there has been told everything of the rooms that it is in.
    fn compare(&self) {
        for client in self.clients.0.values() {
            assert!(client.outgoing.values().all(|one| one.rest.is_empty()), "frames are whole");
            for (id, room) in &client.rooms {
                let behind = room.seen.range(room.next..);
                for (expected, seq) in (room.next..).zip(behind) {
                    assert_eq!(*seq, expected, "no gap in room {id}");
                }
                assert!(room.closed <= room.membership, "only what was opened is closed");
            }
        }
    }

    /// Everyone goes, and nothing of them stays.
    fn end(&mut self) {
        for id in self.clients.0.keys().copied().collect::<Vec<_>>() {
            self.lose(id, Lost::Silence);
        }
        self.pass(80);
        for Node { core, host } in &self.nodes {
            assert!(host.is_empty() && host.next_deadline_us().is_none(), "no session is left");
            core.verify_at_rest(self.now);
            let gauges = core.gauges();
            assert_eq!((gauges.connections, gauges.participants, gauges.members), (0, 0, 0));
            assert_eq!(core.presences(), 0, "nobody is connected");
        }
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

type Configs = (Arc<tutti_shards::Config>, Arc<SessionConfig>);

/// Limits that a few dozen steps can reach; with rates or without.
fn configs(limited: bool) -> Configs {
    static CONFIGS: OnceLock<[Configs; 2]> = OnceLock::new();
    let make = |limited: bool| {
        let mut raw = RawConfig::default();
        let mut set = |key: &str, value: &str| {
            raw.add_text(key, value, Origin::Default).expect("the key takes it");
        };
        set("limits.enabled", if limited { "true" } else { "false" });
        set("data", "memory");
        set("quic.lanes", "3");
        set("quic.rooms", "4");
        set("quic.hot_rooms", "1");
        set("quic.outbox_mark_bytes", "32768");
        set("quic.stream_mark_bytes", "32768");
        set("quic.outbox_bytes", "65536");
        set("channel.empty_ms", "500");
        set("channel.max", "8");
        let host = HostCpus { allowed: vec![0], parallelism: 1 };
        let config = Config::new(&raw, &host).expect("they fit together");
        let session = config.sessions.open(KEY, 7, Duration::from_secs(300), true);
        let mut core = config.core;
        core.number_key = KEY;
        core.lobby_capacity = Some(3);
        (core.busy.rate, core.busy.cool_rate) = (1, 1);
        core.busy.cool_after = Duration::from_secs(2);
        (Arc::new(core), Arc::new(session.expect("no file is read")))
    };
    CONFIGS.get_or_init(|| [make(false), make(true)])[usize::from(limited)].clone()
}
