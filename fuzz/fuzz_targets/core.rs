//! Any commands, deliveries and times, in any order, over a few shards: all invariants hold after each step.
//!
//! Input: the number of shards, then steps of one byte that says what happens and the bytes that say to whom.
//! The shards are connected by queues that the input empties when it likes; sockets take as much as it says. What
//! each peer is sent has to be whole WebSocket frames, however often its connection moved and its socket blocked.
//! At the end everything is delivered: the channel lists agree, and when all are gone nothing of them is left.
#![no_main]

#[path = "../input.rs"]
mod input;

use input::Input;
use libfuzzer_sys::fuzz_target;
use smallvec::SmallVec;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    io::IoSlice,
    sync::Arc,
    time::Duration,
};
use tutti::doors::mpp::MppWire;
use tutti_shards::{
    AdminCommand, Audience, Bundle, ChannelName, ChatText, Color, Command, Config, ConnId, Custom,
    CustomBody, CustomTarget, Flow, Format, Hot, JoinTarget, Key, MeshMessage, Note, NoteBatch,
    Now, OperatorNotice, Output, Position, ProfileChange, QuotaPreset, Seeds, Sent, SettingsPatch,
    Shard, ShardId, Tag, Transport, UserId, UserName,
};

/// Most connections of one run. More find nothing that these do not, and `verify` looks at all of them.
const PEERS_MAX: usize = 24;
/// Rounds in which everything that is on its way has to have arrived.
const ROUNDS_MAX: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut world = World::new(1 + u16::from(input.next()) % 3);
    while !input.0.is_empty() {
        world.step(&mut input);
    }
    world.settle();
    world.compare_lists();
    world.end();
});

impl Input<'_> {
    fn user(&mut self) -> UserId {
        UserId([self.next() % 4; 12])
    }

    fn channel(&mut self) -> ChannelName {
        let names = ["lobby", "lobby2", "test/awkward", "test/x", "a", "b", "c", "d", "e"];
        ChannelName::parse(names[self.below(names.len())]).expect("these are names")
    }

    fn text(&mut self) -> ChatText {
        let length = 1 + usize::from(self.next()) * 2;
        ChatText::parse(&"x".repeat(length), 512).expect("not empty and not long")
    }

    fn settings(&mut self) -> Box<SettingsPatch> {
        let bits = self.next();
        let mut set = SettingsPatch::default();
        set.visible = (bits & 1 != 0).then_some(bits & 2 != 0);
        set.chat = (bits & 4 != 0).then_some(bits & 8 != 0);
        set.crown_solo = (bits & 16 != 0).then_some(bits & 32 != 0);
        set.limit = (bits & 64 != 0).then_some(bits >> 6);
        set.color = (bits & 128 != 0).then_some(Color([bits; 3]));
        set.min_online_ms = (bits == 255).then_some(1_000);
        Box::new(set)
    }

    fn custom(&mut self) -> Box<Custom> {
        let target = match self.below(3) {
            0 => CustomTarget::Subscribed,
            _ => CustomTarget::Users(SmallVec::from_iter([self.user(), self.user()])),
        };
        let blob = self.flag().then(|| vec![7; usize::from(self.next())].into());
        let body = CustomBody { json: "null".into(), blob };
        Box::new(Custom { target, global: self.flag(), body })
    }

    fn profile(&mut self) -> (Option<UserName>, Option<Color>) {
        let name = self.flag().then(|| UserName::parse("Mira", 40)).flatten();
        (name, self.flag().then(|| Color([self.next(); 3])))
    }

    fn staff(&mut self) -> AdminCommand {
        match self.below(5) {
            0 => {
                let audience = match self.below(4) {
                    0 => Audience::Here,
                    1 => Audience::Everyone,
                    2 => Audience::Channel(self.channel()),
                    _ => Audience::User(self.user()),
                };
                let notice = OperatorNotice { text: Some("hear".into()), ..Default::default() };
                AdminCommand::Notify { audience, notice: Box::new(notice) }
            }
            1 => AdminCommand::ClearChat,
            2 => {
                let (name, color) = self.profile();
                let tag = Tag { text: "MOD".into(), color: "#fff".into() };
                let tag = self.flag().then(|| self.flag().then(|| Box::new(tag)));
                let change = ProfileChange { name, color, tag, ..Default::default() };
                AdminCommand::Profile { user: self.user(), change }
            }
            3 => AdminCommand::Move {
                user: self.flag().then(|| self.user()),
                channel: self.channel(),
                set: self.flag().then(|| self.settings()),
            },
            _ => AdminCommand::Chat {
                channel: self.flag().then(|| self.channel()),
                text: self.text(),
            },
        }
    }

    fn command(&mut self) -> Command {
        match self.below(20) {
            0 | 1 => Command::Hello {
                user: self.flag().then(|| self.user()),
                token: self.flag().then(|| "token".into()),
            },
            2..=4 => Command::Join {
                target: if self.next() % 16 == 0 {
                    JoinTarget::LobbyBackdoor
                } else {
                    JoinTarget::Named(self.channel())
                },
                set: self.flag().then(|| self.settings()),
            },
            5 => Command::ChangeSettings(self.settings()),
            6 => Command::GiveCrown(self.flag().then(|| self.user())),
            7 => Command::Chat { text: self.text(), reply_to: None },
            8 => Command::Direct { to: self.user(), text: self.text(), reply_to: None },
            9 => {
                let count = 1 + self.next() % 8;
                let note = |key| Note {
                    key,
                    stop: key % 2 == 1,
                    velocity: (key % 3 > 0).then_some(0.5),
                    delay_ms: (key > 0).then_some(20.0),
                };
                let notes = (0..count).map(note).collect();
                Command::Play(NoteBatch { at_ms: 1.7e12, sent: u32::from(count), notes })
            }
            10 => Command::Move(
                Position::from_percent(f64::from(self.next()), f64::from(self.next()))
                    .expect("finite"),
            ),
            11 => {
                let (name, color) = self.profile();
                Command::SetProfile { name, color }
            }
            12 => Command::Ban { user: self.user(), ms: u64::from(self.next()) * 20 },
            13 => Command::Unban(self.user()),
            14 => Command::Time { echo: self.flag().then_some(5.0) },
            15 => Command::FollowList(self.flag()),
            16 => Command::FollowCustom(self.flag()),
            17 => Command::Custom(self.custom()),
            18 => match self.below(4) {
                0 => Command::Speak(Format::MPP_TEXT),
                1 => Command::Speak(Format::MPP_QUICK),
                2 => Command::SpeakBinaryCustom,
                _ => Command::Bye,
            },
            _ => Command::Admin(Box::new(self.staff())),
        }
    }
}

/// One connection, as its driver and its peer see it.
struct Peer {
    /// Where it is; `None` while it is on its way.
    at: Option<(usize, Key)>,
    held: VecDeque<Command>,
    /// Bytes that its socket takes before it blocks.
    room: usize,
    broken: bool,
    blocked: bool,
    /// What was received and is not a whole frame yet.
    received: Vec<u8>,
}

impl Peer {
    /// Takes what the server sent: unmasked, whole, known frames and the beginning of the next.
    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        let mut rest = self.received.as_slice();
        while let [first, second, after @ ..] = rest {
            assert!(matches!(first, 0x81 | 0x82 | 0x89), "{first:#x} begins no frame of ours");
            assert!(*second < 128, "a server does not mask");
            let (length, payload) = match (second, after) {
                (126, [a, b, payload @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), payload),
                (127, [a, b, c, d, e, f, g, h, payload @ ..]) => {
                    let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                    (usize::try_from(length).expect("frames fit memory"), payload)
                }
                (126 | 127, _) => break,
                (short, payload) => (usize::from(*short), payload),
            };
            if payload.len() < length {
                break;
            }
            if *first == 0x81 {
                assert!(payload.starts_with(b"[{\"m\":\""), "a text frame is an array of messages");
                assert!(payload[..length].ends_with(b"}]"), "and ends as one");
            }
            rest = &payload[length..];
        }
        let left = rest.len();
        self.received.drain(..self.received.len() - left);
    }
}

/// The sockets of one shard.
struct Sockets<'a> {
    shard: usize,
    keys: &'a HashMap<(usize, u64), ConnId>,
    peers: &'a mut BTreeMap<ConnId, Peer>,
}

impl Transport for Sockets<'_> {
    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        let conn = self.keys.get(&(self.shard, key.to_u64())).expect("a key that is in use");
        let peer = self.peers.get_mut(conn).expect("keys lead to peers");
        assert!(!peer.blocked, "a blocked socket is not written to");
        if peer.broken {
            return Sent::Broken;
        }
        let (mut taken, mut all) = (0, true);
        for slice in slices {
            let part = slice.len().min(peer.room);
            peer.room -= part;
            peer.receive(&slice[..part]);
            taken += part;
            all &= part == slice.len();
        }
        peer.blocked = !all;
        Sent::Bytes(taken)
    }
}

enum Packet {
    Message(MeshMessage),
    Handover(Box<Bundle>),
}

struct World {
    shards: Vec<Shard<MppWire>>,
    /// From each shard to each shard.
    queues: Vec<Vec<VecDeque<Packet>>>,
    keys: HashMap<(usize, u64), ConnId>,
    peers: BTreeMap<ConnId, Peer>,
    resumed: VecDeque<(usize, Key)>,
    now: Now,
}

impl World {
    fn new(shards: u16) -> Self {
        let config = Arc::new(small_config());
        let shard = |id: u16| {
            let seeds = Seeds { placement: [1, 2, 3, 4], local: u64::from(id) };
            Shard::new(ShardId(id), shards, config.clone(), seeds, MppWire::new(""))
        };
        let queues = || (0..shards).map(|_| VecDeque::new()).collect();
        World {
            shards: (0..shards).map(shard).collect(),
            queues: (0..shards).map(|_| queues()).collect(),
            keys: HashMap::new(),
            peers: BTreeMap::new(),
            resumed: VecDeque::new(),
            now: Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 },
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.next() % 16 {
            0 => {
                let shard = input.below(self.shards.len());
                if self.peers.len() < PEERS_MAX {
                    self.open(shard);
                }
            }
            1..=6 => {
                let Some(conn) = self.pick(input) else { return };
                let command = input.command();
                self.say(conn, command);
            }
            7 | 8 => {
                let (from, to) = (input.below(self.shards.len()), input.below(self.shards.len()));
                for _ in 0..=input.next() % 8 {
                    self.deliver(from, to);
                }
            }
            9 => {
                let passed = u64::from(input.next()).pow(2) * 100;
                self.pass(passed);
            }
            10 | 11 => {
                let bulk_waits = input.flag();
                let shard = input.below(self.shards.len());
                self.flush(shard, bulk_waits);
            }
            12 => {
                let Some(conn) = self.pick(input) else { return };
                let room = usize::from(input.next()) * 16;
                self.set_room(conn, room);
            }
            13 => {
                let Some(conn) = self.pick(input) else { return };
                let (bytes, messages) = (usize::from(input.next()) * 64, input.below(64));
                if let Some((shard, key)) = self.peers[&conn].at {
                    self.shards[shard].charge(self.now, key, bytes, messages);
                    self.act(shard);
                }
            }
            14 => {
                let Some(conn) = self.pick(input) else { return };
                if input.flag() {
                    self.peers.get_mut(&conn).expect("it was picked").broken = true;
                } else {
                    self.hang_up(conn);
                }
            }
            _ => {
                // Rare, because little happens after it.
                if input.next() == 255 {
                    let shard = input.below(self.shards.len());
                    self.shards[shard].stop(self.now);
                    self.act(shard);
                }
            }
        }
        self.verify();
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<ConnId> {
        if self.peers.is_empty() {
            return None;
        }
        let n = input.below(self.peers.len());
        self.peers.keys().nth(n).copied()
    }

    fn open(&mut self, shard: usize) {
        if self.shards[shard].is_stopping() {
            return;
        }
        let (key, conn) = self.shards[shard].open(self.now, Format::MPP_TEXT, b"");
        self.keys.insert((shard, key.to_u64()), conn);
        let peer = Peer {
            at: Some((shard, key)),
            held: VecDeque::new(),
            room: usize::MAX,
            broken: false,
            blocked: false,
            received: Vec::new(),
        };
        assert!(self.peers.insert(conn, peer).is_none(), "ids are not used twice");
        self.act(shard);
    }

    /// A peer says something: now, or when its connection can go on.
    fn say(&mut self, conn: ConnId, command: Command) {
        let peer = self.peers.get_mut(&conn).expect("a peer speaks");
        peer.held.push_back(command);
        if let Some((shard, key)) = peer.at {
            self.resumed.push_back((shard, key));
            self.act(shard);
        }
    }

    /// Gives the core what a connection has said until it wants no more of it.
    fn resume(&mut self, shard: usize, key: Key) {
        while self.shards[shard].flow(key) == Flow::Continue {
            let Some(conn) = self.keys.get(&(shard, key.to_u64())) else { return };
            let peer = self.peers.get_mut(conn).expect("keys lead to peers");
            let Some(command) = peer.held.pop_front() else { return };
            self.shards[shard].handle_command(self.now, key, command);
        }
    }

    /// Acts on all that a shard has put out, in order.
    fn act(&mut self, shard: usize) {
        loop {
            while let Some(output) = self.shards[shard].poll_output() {
                match output {
                    Output::Mesh { to, message } => {
                        assert_ne!(to.index(), shard);
                        self.queues[shard][to.index()].push_back(Packet::Message(message));
                    }
                    Output::Handover { key, to, bundle } => {
                        let conn = self.keys.remove(&(shard, key.to_u64()));
                        let conn = conn.expect("what is handed over is here");
                        assert_eq!(conn, bundle.conn());
                        let peer = self.peers.get_mut(&conn).expect("keys lead to peers");
                        peer.at = None;
                        // The new shard tries its socket afresh.
                        peer.blocked = false;
                        self.queues[shard][to.index()].push_back(Packet::Handover(bundle));
                    }
                    Output::Close { key, conn, unsent, .. } => {
                        let closed = self.keys.remove(&(shard, key.to_u64()));
                        assert_eq!(closed, Some(conn), "what is closed is here");
                        let mut peer = self.peers.remove(&conn).expect("keys lead to peers");
                        if !peer.broken {
                            peer.receive(&unsent);
                            assert!(peer.received.is_empty(), "the last frame is whole");
                        }
                    }
                    Output::Store(_) => unreachable!("nothing is kept"),
                    Output::Attachments(_) => {}
                    Output::SeatEnded { .. } => unreachable!("nobody has sessions"),
                    Output::Resume { key } => self.resumed.push_back((shard, key)),
                }
            }
            let Some((at, key)) = self.resumed.pop_front() else { return };
            assert_eq!(at, shard);
            self.resume(at, key);
        }
    }

    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(packet) = self.queues[from][to].pop_front() else { return false };
        let sender = ShardId(from as u16);
        match packet {
            Packet::Message(message) => self.shards[to].handle_mesh(self.now, sender, message),
            Packet::Handover(bundle) => {
                let conn = bundle.conn();
                let key = self.shards[to].adopt(self.now, sender, *bundle);
                self.keys.insert((to, key.to_u64()), conn);
                self.peers.get_mut(&conn).expect("it is on its way").at = Some((to, key));
                self.resumed.push_back((to, key));
            }
        }
        self.act(to);
        true
    }

    fn pass(&mut self, us: u64) {
        self.now.mono_us += us;
        self.now.wall_ms += us / 1_000;
        for shard in 0..self.shards.len() {
            if self.shards[shard].next_deadline_us().is_some_and(|at| at <= self.now.mono_us) {
                self.shards[shard].handle_timeout(self.now);
                self.act(shard);
            }
        }
    }

    fn flush(&mut self, shard: usize, bulk_waits: bool) {
        let mut sockets = Sockets { shard, keys: &self.keys, peers: &mut self.peers };
        self.shards[shard].flush(self.now, &mut sockets, bulk_waits);
        self.act(shard);
    }

    /// A socket takes so many bytes from now on; one that was full says that it takes more.
    fn set_room(&mut self, conn: ConnId, room: usize) {
        let peer = self.peers.get_mut(&conn).expect("a peer reads");
        peer.room = room;
        if !std::mem::take(&mut peer.blocked) {
            return;
        }
        if let Some((shard, key)) = peer.at {
            let mut sockets = Sockets { shard, keys: &self.keys, peers: &mut self.peers };
            self.shards[shard].handle_writable(self.now, key, &mut sockets);
            self.act(shard);
        }
    }

    fn hang_up(&mut self, conn: ConnId) {
        let Some((shard, key)) = self.peers[&conn].at else { return };
        self.shards[shard].peer_gone(self.now, key);
        self.keys.remove(&(shard, key.to_u64()));
        self.peers.remove(&conn);
        self.act(shard);
    }

    fn verify(&self) {
        let mut seen = BTreeSet::new();
        for shard in &self.shards {
            shard.verify();
            for conn in shard.connections() {
                assert!(seen.insert(conn), "{conn} is in one place");
                assert!(self.peers.contains_key(&conn), "{conn} has a peer");
            }
        }
        let here = self.peers.values().filter(|peer| peer.at.is_some()).count();
        assert_eq!(seen.len(), here, "and every connection is somewhere");
    }

    /// Delivers and sends everything, and lets a second pass in which nobody says anything.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.pass(100_000);
            self.drain();
        }
    }

    fn drain(&mut self) {
        for conn in self.peers.keys().copied().collect::<Vec<_>>() {
            if self.peers.contains_key(&conn) {
                self.set_room(conn, usize::MAX);
            }
        }
        for _ in 0..ROUNDS_MAX {
            let mut delivered = false;
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    while self.deliver(from, to) {
                        delivered = true;
                    }
                }
            }
            for shard in 0..self.shards.len() {
                self.flush(shard, false);
            }
            if !delivered {
                return self.verify();
            }
        }
        panic!("messages go round for ever");
    }

    /// Every shard lists what its owners say is there.
    fn compare_lists(&self) {
        let own = |shard: &Shard<MppWire>| -> Vec<(ChannelName, u32)> {
            shard.to_be_listed().map(|(name, count)| (name.clone(), count)).collect()
        };
        let there: BTreeMap<ChannelName, u32> = self.shards.iter().flat_map(own).collect();
        for shard in &self.shards {
            let listed = shard.listed().map(|(name, count)| (name.clone(), count));
            assert_eq!(listed.collect::<BTreeMap<_, _>>(), there, "shard {:?}", shard.id());
        }
    }

    /// Everyone goes, and nothing of them stays.
    fn end(&mut self) {
        for conn in self.peers.keys().copied().collect::<Vec<_>>() {
            self.hang_up(conn);
        }
        self.settle();
        assert!(self.peers.is_empty() && self.keys.is_empty());
        for shard in &self.shards {
            let gauges = shard.gauges();
            assert_eq!((gauges.connections, gauges.participants, gauges.members), (0, 0, 0));
            assert_eq!((gauges.outbox_bytes, gauges.blocked), (0, 0));
            assert_eq!(shard.presences(), 0, "nobody is connected");
        }
    }
}

/// Limits that a few dozen steps can reach.
fn small_config() -> Config {
    let mut config = Config {
        lobby_capacity: Some(2),
        channel_empty: Duration::from_millis(500),
        channels_max: 6,
        chat_history: 4,
        bans_max: 2,
        connections_per_user: Some(3),
        profiles_max: 4,
        hello_deadline: Duration::from_secs(20),
        ping_after: Duration::from_secs(10),
        silence_max: Duration::from_secs(30),
        outbox_bytes_max: 8 << 10,
        outbox_bytes_mark: 2 << 10,
        outbox_bytes_total: 24 << 10,
        hot: Hot {
            promote_rate: 2,
            promote_members: 2,
            demote_rate: 2,
            demote_after: Duration::from_secs(1),
            max: 2,
        },
        ..Config::default()
    };
    config.quotas.normal = QuotaPreset { allowance: 4, max: 12 };
    config
}
