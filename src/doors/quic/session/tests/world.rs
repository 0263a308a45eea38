//! Shards, sessions and clients in one thread.

use super::super::*;
use crate::{
    doors::{
        Wire,
        line::LineWire,
        mpp::MppWire,
        quic::{
            auth::Auth,
            host::{Host, Links},
            wire::QuicWire,
        },
    },
    quic::{Link, Read, WriteFault},
    uploads::{Answer, Request},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    io::IoSlice,
    net::SocketAddr,
};
use tutti_shards::{
    ChannelName, Command, Config, Format, JoinTarget, Key, MeshMessage, NumberKey, Output, Seeds,
    Sent, Shard, ShardId, Transport,
};

pub(super) const KEY: NumberKey = NumberKey([3, 5]);
pub(super) const CONTROL: u64 = 0;
/// The client's first streams of its own.
pub(super) const CHAT: u64 = 2;
pub(super) const ACK: u64 = 6;

/// A connection as a client sees it, for both of its ends.
#[derive(Default)]
pub(super) struct Wired {
    /// What the client has sent and the session has not read.
    to_server: BTreeMap<StreamId, (Vec<u8>, bool)>,
    /// What the client has received.
    pub(super) received: BTreeMap<u64, Vec<u8>>,
    pub(super) finished: Vec<u64>,
    delivered: Vec<u64>,
    /// Whether it is not told yet that what it had finished has arrived.
    pub(super) is_late: bool,
    /// Each stream that was opened here, with those that had arrived by then.
    pub(super) opens: Vec<(u64, Vec<u64>)>,
    pub(super) stopped: Vec<(u64, u32)>,
    pub(super) reset: Vec<(u64, u32)>,
    /// Streams that the client has given up.
    given_up: Vec<StreamId>,
    pub(super) datagrams: Vec<Vec<u8>>,
    datagrams_in: VecDeque<Vec<u8>>,
    pub(super) closed: Option<u32>,
    opened: u64,
    pub(super) opened_max: u64,
    /// Streams that the client does not read.
    pub(super) stuck: Vec<u64>,
    /// A stream, and how many bytes it still takes.
    pub(super) narrow: Option<(u64, usize)>,
    /// What streams were given without a copy.
    pub(super) shared: Vec<Bytes>,
    pub(super) takes_datagrams: bool,
    pub(super) connected: bool,
    heard_us: u64,
    /// Where the client is; `None` for where all are.
    pub(super) address: Option<SocketAddr>,
}

impl Link for Wired {
    fn read(&mut self, stream: StreamId, max: usize, into: &mut Vec<u8>) -> Read {
        if self.given_up.contains(&stream) {
            return Read::Reset(0);
        }
        let Some((bytes, end)) = self.to_server.get_mut(&stream) else { return Read::Gone };
        let n = bytes.len().min(max);
        into.extend(bytes.drain(..n));
        match (bytes.is_empty(), *end) {
            (false, _) => Read::More,
            (true, true) => Read::Finished,
            (true, false) => Read::Blocked,
        }
    }

    fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Result<usize, WriteFault> {
        if self.finished.contains(&stream.0) {
            return Err(WriteFault::Gone);
        }
        if self.stuck.contains(&stream.0) {
            return Ok(0);
        }
        let mut taken = bytes.len();
        if let Some((narrow, left)) = &mut self.narrow
            && *narrow == stream.0
        {
            taken = taken.min(*left);
            *left -= taken;
        }
        self.received.entry(stream.0).or_default().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn write_shared(&mut self, stream: StreamId, bytes: &Bytes) -> Result<usize, WriteFault> {
        self.shared.push(bytes.clone());
        self.write(stream, bytes)
    }

    fn open_one_way(&mut self) -> Option<StreamId> {
        if self.opened >= self.opened_max {
            return None;
        }
        let stream = self.opened * 4 + 3;
        self.opened += 1;
        self.opens.push((stream, self.delivered.clone()));
        Some(StreamId(stream))
    }

    fn finish(&mut self, stream: StreamId) {
        self.finished.push(stream.0);
    }

    fn reset(&mut self, stream: StreamId, code: u32) {
        self.reset.push((stream.0, code));
    }

    fn stop(&mut self, stream: StreamId, code: u32) {
        self.stopped.push((stream.0, code));
    }

    fn set_priority(&mut self, _: StreamId, _: u8) {}

    fn send_datagram(&mut self, bytes: &[u8]) -> bool {
        self.datagrams.push(bytes.to_vec());
        true
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        self.takes_datagrams.then_some(1_200)
    }

    fn receive_datagram(&mut self, into: &mut Vec<u8>) -> bool {
        match self.datagrams_in.pop_front() {
            Some(bytes) => {
                *into = bytes;
                true
            }
            None => false,
        }
    }

    fn close(&mut self, code: u32, _: &str) {
        self.closed.get_or_insert(code);
    }

    fn close_after(&mut self, stream: StreamId, code: u32) {
        self.finished.push(stream.0);
        self.closed.get_or_insert(code);
    }

    fn is_connected(&self) -> bool {
        self.connected
    }

    fn address(&self) -> SocketAddr {
        self.address.unwrap_or(([127, 0, 0, 1], 5_000).into())
    }

    fn heard_us(&self) -> u64 {
        self.heard_us
    }
}

impl Links<u32> for HashMap<u32, Wired> {
    fn with(&mut self, key: u32, act: &mut dyn FnMut(&mut dyn Link)) {
        if let Some(link) = self.get_mut(&key) {
            act(link);
        }
    }
}

struct Node {
    core: Shard<Wire>,
    host: Host<u32>,
    links: HashMap<u32, Wired>,
    /// Bytes for pianos.
    pianos: HashMap<u64, Vec<u8>>,
}

/// Takes bytes of the core.
struct Taker<'a> {
    host: &'a mut Host<u32>,
    pianos: &'a mut HashMap<u64, Vec<u8>>,
}

impl Transport for Taker<'_> {
    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        if self.host.owns(key) {
            self.host.take(key, slices);
        } else {
            let all = self.pianos.entry(key.to_u64()).or_default();
            slices.iter().for_each(|slice| all.extend_from_slice(slice));
        }
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }
}

/// Everything.
pub(super) struct World {
    nodes: Vec<Node>,
    mesh: VecDeque<(ShardId, ShardId, MeshMessage)>,
    pub(super) now: Now,
    last: u32,
    next_unread: HashMap<(u32, u64), usize>,
}

/// A client: its home, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Client {
    pub(super) home: usize,
    pub(super) id: u32,
}

pub(super) fn config(change: impl FnOnce(&mut SessionConfig)) -> SessionConfig {
    let mut config = SessionConfig {
        lanes: 8,
        rooms_max: 64,
        hot_rooms_max: 10,
        auth_deadline: Duration::from_secs(10),
        ping_every: Duration::from_secs(25),
        dead_after: Duration::from_secs(90),
        idle_timeout: Duration::from_secs(300),
        outbox: OutboxLimits {
            bytes_mark: 256 << 10,
            stream_bytes_mark: 64 << 10,
            bytes_max: 1 << 20,
            stalled_max: Duration::from_secs(15),
        },
        rates: SessionRates { refusals: Rate::new(100, 10_000), ..SessionRates::UNLIMITED },
        number_key: KEY,
        server_epoch: 7,
        uploads: FileLimits::NONE,
        datagrams: true,
        auth: Auth { names: true, ..Auth::default() },
        admission: None,
    };
    change(&mut config);
    config
}

pub(super) fn frame(kind: u8, payload: &Value) -> Vec<u8> {
    let payload = payload.to_string();
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}

/// The frames of received bytes.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(u8, Value)> {
    let mut frames = Vec::new();
    while let [kind, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (payload, behind) = rest.split_at(length);
        frames.push((*kind, serde_json::from_slice(payload).expect("payloads are JSON")));
        bytes = behind;
    }
    assert!(bytes.is_empty(), "only whole frames");
    frames
}

impl World {
    pub(super) fn new(shards: u16) -> Self {
        World::with(shards, |_| {}, |_| {})
    }

    pub(super) fn with(
        shards: u16,
        core: impl FnOnce(&mut Config),
        session: impl FnOnce(&mut SessionConfig),
    ) -> Self {
        let mut config_of_core = Config { number_key: KEY, ..Config::default() };
        core(&mut config_of_core);
        let core = Arc::new(config_of_core);
        let session = Arc::new(config(session));
        let node = |id: u16| Node {
            core: Shard::new(
                ShardId(id),
                shards,
                core.clone(),
                Seeds { placement: [1, 2, 3, 4], local: u64::from(id) + 9 },
                Wire::new(MppWire::new(""), LineWire::default(), QuicWire::new(KEY)),
            ),
            host: Host::new(session.clone()),
            links: HashMap::new(),
            pianos: HashMap::new(),
        };
        World {
            nodes: (0..shards).map(node).collect(),
            mesh: VecDeque::new(),
            now: Now { mono_us: 5_000_000, wall_ms: 1_800_000_000_000 },
            last: 0,
            next_unread: HashMap::new(),
        }
    }

    /// A client whose handshake is complete.
    pub(super) fn connect(&mut self, home: usize) -> Client {
        let client = self.arrive(home);
        self.complete(client);
        client
    }

    /// A client whose handshake is not complete.
    pub(super) fn arrive(&mut self, home: usize) -> Client {
        self.last += 1;
        let client = Client { home, id: self.last };
        let link = Wired {
            opened_max: 40,
            takes_datagrams: true,
            heard_us: self.now.mono_us,
            ..Wired::default()
        };
        self.nodes[home].links.insert(client.id, link);
        let address = ([127, 0, 0, 1], 5_000).into();
        self.event(client, Event::Arrived { address });
        client
    }

    pub(super) fn complete(&mut self, client: Client) {
        self.link(client).connected = true;
        self.event(client, Event::Connected);
    }

    pub(super) fn link(&mut self, client: Client) -> &mut Wired {
        self.nodes[client.home].links.get_mut(&client.id).expect("the client is there")
    }

    pub(super) fn event(&mut self, client: Client, event: Event) {
        let now = self.now;
        let Node { host, links, .. } = &mut self.nodes[client.home];
        host.handle(now, client.id, event, || [client.id as u8; 16], links);
        self.run();
    }

    /// Sends bytes on a stream of the client.
    pub(super) fn write(&mut self, client: Client, stream: u64, bytes: &[u8]) {
        let id = StreamId(stream);
        let now_us = self.now.mono_us;
        let link = self.link(client);
        link.heard_us = now_us;
        let new = !link.to_server.contains_key(&id);
        link.to_server.entry(id).or_default().0.extend_from_slice(bytes);
        if new {
            self.event(client, Event::Opened(id));
        }
        self.event(client, Event::Readable(id));
    }

    pub(super) fn end(&mut self, client: Client, stream: u64) {
        self.link(client).to_server.entry(StreamId(stream)).or_default().1 = true;
        self.event(client, Event::Readable(StreamId(stream)));
    }

    /// The client gives a stream up.
    pub(super) fn reset(&mut self, client: Client, stream: u64) {
        self.link(client).given_up.push(StreamId(stream));
        self.event(client, Event::Readable(StreamId(stream)));
    }

    /// What a client's session has asked about files since it was looked at last, and for which streams.
    pub(super) fn asked(&mut self, client: Client) -> Vec<(u64, Request)> {
        let host = &mut self.nodes[client.home].host;
        let asked = std::iter::from_fn(|| host.poll_upload());
        asked
            .map(|(key, stream, request)| {
                assert_eq!(key, client.id);
                (stream.0, request)
            })
            .collect()
    }

    /// Answers it.
    pub(super) fn answer(&mut self, client: Client, stream: u64, answer: Answer) {
        let now = self.now;
        let Node { host, links, .. } = &mut self.nodes[client.home];
        host.uploaded(now, client.id, StreamId(stream), answer, links);
        self.run();
    }

    pub(super) fn send(&mut self, client: Client, stream: u64, kind: u8, payload: Value) {
        self.write(client, stream, &frame(kind, &payload));
    }

    pub(super) fn send_datagram(&mut self, client: Client, bytes: Vec<u8>) {
        self.link(client).datagrams_in.push_back(bytes);
        self.event(client, Event::Datagrams);
    }

    /// Those who are banned by now are sent away; how many that were.
    pub(super) fn expel(&mut self) -> u32 {
        let now = self.now;
        let expel = |node: &mut Node| node.host.expel(now, &mut node.links);
        let expelled = self.nodes.iter_mut().map(expel).sum();
        self.run();
        expelled
    }

    /// The client is gone without a word.
    pub(super) fn vanish(&mut self, client: Client) {
        self.nodes[client.home].links.remove(&client.id);
        self.event(client, Event::Lost(Lost::Silence));
    }

    pub(super) fn hello(&mut self, client: Client, name: &str, capabilities: &[&str]) {
        let hello = json!({ "version": 1, "capabilities": capabilities });
        self.send(client, CONTROL, kind::HELLO, hello);
        let auth = json!({ "method": "username", "credentials": name });
        self.send(client, CONTROL, kind::AUTH, auth);
    }

    /// A client that is in.
    pub(super) fn enter(&mut self, home: usize, name: &str) -> Client {
        let client = self.connect(home);
        self.hello(client, name, &["typing", "presence", "receipts"]);
        client
    }

    pub(super) fn chat(&mut self, client: Client, kind: u8, payload: Value) {
        self.send(client, CHAT, kind, payload);
    }

    pub(super) fn join(&mut self, client: Client, name: &str) -> u64 {
        self.chat(client, kind::JOIN_ROOM, json!({ "name": name, "nonce": "join" }));
        self.number(name)
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        KEY.room(&ChannelName::parse(name).unwrap()).0
    }

    pub(super) fn say(&mut self, client: Client, room: u64, text: &str, nonce: &str) {
        let payload = json!({ "room_id": room, "content": text, "nonce": nonce });
        self.chat(client, kind::SEND_MESSAGE, payload);
    }

    /// Says something; what its room is told of it, where that lane has no other message that was not looked at.
    pub(super) fn said(&mut self, client: Client, room: u64, text: &str) -> Value {
        self.say(client, room, text, text);
        let lane = self.lane(client, room);
        lane.into_iter().find(|(kind, _)| *kind == kind::ROOM_MESSAGE).unwrap().1
    }

    /// The number of the last event of a room that is there.
    pub(super) fn last_seq(&self, room: u64) -> Option<u64> {
        let seen = self.nodes.iter().find_map(|node| node.core.room_seen(RoomId(room)));
        seen.map(|seen| seen.seq)
    }

    /// The client reads all of its streams again.
    pub(super) fn unstick(&mut self, client: Client) {
        for stream in std::mem::take(&mut self.link(client).stuck) {
            self.event(client, Event::Writable(StreamId(stream)));
        }
        self.run();
    }

    /// What a stream has brought since it was looked at last.
    pub(super) fn news(&mut self, client: Client, stream: u64) -> Vec<(u8, Value)> {
        let mut all = frames(self.link(client).received.get(&stream).map_or(&[], Vec::as_slice));
        let seen = self.next_unread.entry((client.id, stream)).or_default();
        let new = all.split_off((*seen).min(all.len()));
        *seen = all.len() + new.len();
        new
    }

    /// The news of the lane of a room.
    pub(super) fn lane(&mut self, client: Client, room: u64) -> Vec<(u8, Value)> {
        self.news(client, room % 8 * 4 + 3)
    }

    /// The kinds and payloads of control's news.
    pub(super) fn control(&mut self, client: Client) -> Vec<(u8, Value)> {
        self.news(client, CONTROL)
    }

    /// Waits.
    pub(super) fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(100) {
            self.now.mono_us += 100_000;
            self.now.wall_ms += 100;
            for n in 0..self.nodes.len() {
                let Node { core, host, links, .. } = &mut self.nodes[n];
                if core.next_deadline_us().is_some_and(|at| at <= self.now.mono_us) {
                    core.handle_timeout(self.now);
                }
                host.handle_timeout(self.now, links);
            }
            self.run();
        }
    }

    /// How many frames of a type have come and gone on a shard.
    pub(super) fn counted(&self, home: usize, kind: Option<u8>) -> (u64, u64) {
        let frames = self.nodes[home].host.counts().frames;
        let found = frames.into_iter().find(|(counted, ..)| *counted == kind);
        found.map_or((0, 0), |(_, came, went)| (came, went))
    }

    /// When a shard's sessions have something to do next.
    pub(super) fn due_us(&self, home: usize) -> Option<u64> {
        self.nodes[home].host.next_deadline_us()
    }

    /// Does what the core of a shard wants; whether that was anything.
    pub(super) fn outputs(&mut self, n: usize) -> bool {
        let mut busy = false;
        let Node { core, host, .. } = &mut self.nodes[n];
        while let Some(output) = core.poll_output() {
            busy = true;
            match output {
                Output::Mesh { to, message } => {
                    self.mesh.push_back((ShardId(n as u16), to, message));
                }
                Output::SeatEnded { key, last, undone } => host.seat_ended(key, last, undone),
                Output::Close { key, reason, unsent, .. } => host.closed(key, reason, unsent),
                Output::Resume { key } => host.resumed(key),
                Output::Attachments(_) => {}
                Output::Handover { .. } | Output::Store(_) => {
                    panic!("nobody here is handed over, and nothing is kept")
                }
            }
        }
        busy
    }

    /// A client says something on its chat stream, and it is read, and nothing else happens.
    pub(super) fn chat_only(&mut self, client: Client, kind: u8, payload: &Value) {
        self.send_only(client, CHAT, kind, payload);
    }

    /// The same on a stream that may be new.
    pub(super) fn send_only(&mut self, client: Client, stream: u64, kind: u8, payload: &Value) {
        let (id, bytes) = (StreamId(stream), frame(kind, payload));
        let link = self.link(client);
        let is_new = !link.to_server.contains_key(&id);
        link.to_server.entry(id).or_default().0.extend(bytes);
        let now = self.now;
        let Node { host, links, .. } = &mut self.nodes[client.home];
        if is_new {
            host.handle(now, client.id, Event::Opened(id), || [0; 16], links);
        }
        host.handle(now, client.id, Event::Readable(id), || [0; 16], links);
    }

    /// What the sessions of a shard have asked is done, as far as that is possible there.
    pub(super) fn settle(&mut self, n: usize) {
        let Node { core, host, links, .. } = &mut self.nodes[n];
        host.settle(self.now, core, links);
    }

    /// Lets everything come to rest.
    pub(super) fn run(&mut self) {
        loop {
            let mut busy = false;
            for n in 0..self.nodes.len() {
                let now = self.now;
                let Node { core, host, pianos, .. } = &mut self.nodes[n];
                core.flush(now, &mut Taker { host, pianos }, false);
                busy |= self.outputs(n);
                let Node { core, host, links, .. } = &mut self.nodes[n];
                busy |= host.is_unsettled();
                host.settle(now, core, links);
                core.verify();
                // Whatever is finished has arrived, where nothing is late.
                let delivered: Vec<(u32, u64)> = links
                    .iter_mut()
                    .filter(|(_, link)| !link.is_late)
                    .flat_map(|(&id, link)| {
                        let new: Vec<u64> = link
                            .finished
                            .iter()
                            .filter(|stream| !link.delivered.contains(stream))
                            .copied()
                            .collect();
                        link.delivered.extend(&new);
                        new.into_iter().map(move |stream| (id, stream))
                    })
                    .collect();
                for (id, stream) in delivered {
                    busy = true;
                    host.handle(now, id, Event::Delivered(StreamId(stream)), || [0; 16], links);
                }
            }
            while let Some((from, to, message)) = self.mesh.pop_front() {
                busy = true;
                self.nodes[to.index()].core.handle_mesh(self.now, from, message);
            }
            if !busy {
                return;
            }
        }
    }

    /// Checks that nobody is anywhere.
    pub(super) fn verify_empty(&self) {
        for Node { core, host, .. } in &self.nodes {
            assert!(host.is_empty(), "all sessions are forgotten");
            core.verify_at_rest(self.now);
            assert_eq!((core.gauges().connections, core.gauges().participants), (0, 0));
            assert_eq!(core.presences(), 0, "no user is counted");
        }
    }

    /// How many names are kept for connections.
    pub(super) fn names_kept(&self) -> usize {
        self.nodes.iter().map(|node| node.core.nicks().count()).sum()
    }

    /// A piano in a channel that its own shard owns.
    pub(super) fn piano(&mut self, channel: &str) -> (usize, Key) {
        let name = ChannelName::parse(channel).unwrap();
        let home = self.nodes[0].core.owner(&name).index();
        let now = self.now;
        let core = &mut self.nodes[home].core;
        let (key, _) = core.open(now, Format::MPP_TEXT, &[]);
        core.handle_command(now, key, Command::Hello { user: None, token: None });
        self.piano_does((home, key), Command::Join { target: JoinTarget::Named(name), set: None });
        (home, key)
    }

    pub(super) fn piano_does(&mut self, (home, key): (usize, Key), command: Command) {
        let now = self.now;
        let flow = self.nodes[home].core.handle_command(now, key, command);
        assert_eq!(flow, tutti_shards::Flow::Continue);
        self.run();
    }

    /// What a piano has been sent since it was looked at last, as text.
    pub(super) fn piano_news(&mut self, (home, key): (usize, Key)) -> String {
        let bytes = self.nodes[home].pianos.remove(&key.to_u64()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn owner(&self, channel: &str) -> usize {
        self.nodes[0].core.owner(&ChannelName::parse(channel).unwrap()).index()
    }

    /// A room's name that this shard owns.
    pub(super) fn room_on(&self, shard: usize) -> String {
        let name = (0..).map(|n| format!("room {n}")).find(|name| self.owner(name) == shard);
        name.expect("there is one")
    }
}
