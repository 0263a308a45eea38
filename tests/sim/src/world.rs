//! The virtual world: shards, the mesh between them, sockets, peers, and time.
//!
//! Each step takes one small, random decision: a shard has a turn, a peer says something, a peer reads, somebody
//! comes or goes. What a turn does follows the contract of [`Output`], [`Flow`] and [`Shard::flush`] as a driver has
//! to follow it, and no better: a paused connection goes on only when it is resumed.

use crate::{
    check,
    draw::Draw,
    operator::Books,
    report::Report,
    room_view::RoomLedger,
    script::{Script, shared_user},
    sessions::Sessions,
    setup::{Op, Setup},
    storage::Storage,
    terminals::Terminal,
    view::{Ledger, View},
    wire::{self, Records, Told},
};
use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    io::IoSlice,
};
use tutti_shards::{
    Bundle, CloseReason, Command, ConnId, Flow, Format, Key, MeshMessage, Now, Output, Pending,
    Placement, Seeds, Sent, Shard, ShardId, Transport,
};

mod mesh;
mod sums;

thread_local! {
    /// The step that is being made, for the message of a failure.
    static STEP: Cell<u64> = const { Cell::new(0) };
}

/// The step that this thread's world is in.
#[must_use]
pub(crate) fn current_step() -> u64 {
    STEP.get()
}

/// Parcels waiting at a shard over which cursor moves are kept back: few, because the queues are small here.
const CROWDED: usize = 8;

/// What a peer put into its socket.
#[derive(Clone, Debug)]
enum Item {
    Say(Format, Command),
    /// The answer to a ping.
    Pong,
}

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On a shard.
    At(usize, Key),
    /// Between two shards.
    Flight,
    /// Nowhere any more.
    Closed,
}

/// A virtual socket, with what the driver keeps beside it. All of it travels in a handover.
#[derive(Debug)]
pub struct Socket {
    /// The connection's number in the core.
    pub conn: ConnId,
    /// Where it is.
    pub place: Place,
    inbox: VecDeque<Item>,
    /// Read and decoded, but not handled yet.
    pending: VecDeque<Item>,
    paused: bool,
    out: VecDeque<u8>,
    wants_write: bool,
    /// Why the server closed it.
    pub closed: Option<CloseReason>,
    /// Whether the peer went away without a word.
    pub vanished: bool,
    /// Whether its server is gone, whose numbers are given out again.
    pub lost: bool,
    capacity: usize,
}

impl Socket {
    fn has_input(&self) -> bool {
        !self.paused && (!self.inbox.is_empty() || !self.pending.is_empty())
    }

    fn free(&self) -> usize {
        self.capacity.saturating_sub(self.out.len())
    }

    fn is_idle(&self) -> bool {
        self.place == Place::Closed && self.out.is_empty()
            || self.place != Place::Flight
                && self.inbox.is_empty()
                && self.pending.is_empty()
                && self.out.is_empty()
                && !self.wants_write
                && !self.vanished
    }
}

/// How a peer reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reading {
    Fast,
    Slow,
    Stalled,
}

/// A virtual peer: one connection's other end.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field says what it is")]
pub struct Peer {
    pub script: Script,
    pub view: View,
    /// What it says and knows in their stead, when it is a terminal.
    pub terminal: Option<Box<Terminal>>,
    reading: Reading,
    buffer: Vec<u8>,
    /// Whether it still reads and speaks.
    pub alive: bool,
}

/// A shard with its part of the mesh.
#[derive(Debug)]
pub struct Node {
    /// The shard.
    pub shard: Shard<Records>,
    /// What could not be put into another shard's queue yet, in order.
    backlog: Vec<VecDeque<(u64, Parcel)>>,
}

impl Node {
    fn new(id: ShardId, setup: &Setup, seeds: Seeds) -> Self {
        let wire = Records(setup.config.number_key);
        let shard = Shard::new(id, setup.shards, setup.config.clone(), seeds, wire);
        Node { shard, backlog: (0..setup.shards).map(|_| VecDeque::new()).collect() }
    }
}

#[derive(Debug)]
enum Parcel {
    Message(MeshMessage),
    Handover { socket: usize, bundle: Box<Bundle> },
}

/// The queues in front of one shard, one for each sender.
#[derive(Debug, Default)]
struct Arrivals {
    from: Vec<VecDeque<(u64, Parcel)>>,
    len: usize,
}

impl Arrivals {
    fn new(senders: usize) -> Self {
        Arrivals { from: (0..senders).map(|_| VecDeque::new()).collect(), len: 0 }
    }
}

/// All there is.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field says what it is")]
pub struct World {
    pub setup: Setup,
    pub nodes: Vec<Node>,
    /// For each shard, which socket a key names.
    keys: Vec<BTreeMap<u64, usize>>,
    arrivals: Vec<Arrivals>,
    pub sockets: Vec<Socket>,
    pub peers: Vec<Peer>,
    pub live: Vec<usize>,
    pub ledger: Ledger,
    pub storage: Storage,
    crash_draw: Draw,
    pub now_us: u64,
    started_us: u64,
    /// Whether everyone reads, no delay is drawn, and nobody new comes.
    calm: bool,
    traced: bool,
    trace: u64,
    steps: u64,
    clock_draw: Draw,
    turn_draw: Draw,
    net_draw: Draw,
    mesh_draw: Draw,
    peer_draw: Draw,
    sessions_draw: Draw,
    terminals_draw: Draw,
    pub(crate) operator_draw: Draw,
    pub(crate) books: Books,
    pub(crate) placement: Placement,
    pub(crate) sessions: Sessions,
    pub(crate) rooms: RoomLedger,
}

struct Net<'a> {
    sockets: &'a mut [Socket],
    keys: &'a BTreeMap<u64, usize>,
    draw: &'a mut Draw,
    calm: bool,
    shard: usize,
    sessions: &'a mut Sessions,
}

impl Transport for Net<'_> {
    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        if let Some(owner) = self.sessions.owner(self.shard, key) {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = Sent::Bytes(bytes.len());
            self.sessions.mail.push((owner, bytes));
            return taken;
        }
        let idx = self.keys.get(&key.to_u64()).expect("bytes are for connections that are here");
        let socket = &mut self.sockets[*idx];
        assert!(slices.iter().any(|slice| !slice.is_empty()), "a send has something to send");
        if socket.vanished && self.draw.chance(50) {
            return Sent::Broken;
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut take = total.min(socket.free());
        if !self.calm && take > 0 && self.draw.chance(10) {
            take = self.draw.below(take + 1);
        }
        socket.wants_write = take < total;
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        if socket.vanished {
            return Sent::Bytes(take);
        }
        socket.out.extend(bytes.take(take));
        Sent::Bytes(take)
    }
}

impl World {
    /// The world of a seed, without peers.
    #[must_use]
    pub fn new(seed: u64, setup: Setup, traced: bool) -> Self {
        let mut seeds = Draw::new(seed, 2);
        let placement = [seeds.bits(), seeds.bits(), seeds.bits(), seeds.bits()];
        let n = usize::from(setup.shards);
        let node = |(s, local)| Node::new(ShardId(s), &setup, Seeds { placement, local });
        let locals: Vec<(u16, u64)> = (0..setup.shards).map(|s| (s, seeds.bits())).collect();
        let nodes = locals.into_iter().map(node).collect();
        let storage = Storage::new(setup.storage, n, Draw::new(seed, 9));
        let started_us = seeds.within(0, 10_000_000_000);
        let mut world = World {
            placement: Placement::new(placement, setup.config.number_key, setup.shards),
            nodes,
            keys: vec![BTreeMap::new(); n],
            arrivals: (0..n).map(|_| Arrivals::new(n)).collect(),
            setup,
            sockets: Vec::new(),
            peers: Vec::new(),
            live: Vec::new(),
            ledger: Ledger::default(),
            storage,
            crash_draw: Draw::new(seed, 10),
            now_us: started_us,
            started_us,
            calm: false,
            traced,
            trace: 0xcbf2_9ce4_8422_2325,
            steps: 0,
            clock_draw: Draw::new(seed, 3),
            turn_draw: Draw::new(seed, 4),
            net_draw: Draw::new(seed, 5),
            mesh_draw: Draw::new(seed, 6),
            peer_draw: Draw::new(seed, 7),
            sessions_draw: Draw::new(seed, 14),
            terminals_draw: Draw::new(seed, 16),
            operator_draw: Draw::new(seed, 8),
            books: Books::default(),
            sessions: Sessions::new(seed, n),
            rooms: RoomLedger::default(),
        };
        world.rooms.cleared = world.setup.does(Op::Admin);
        world.begin();
        world
    }

    fn begin(&mut self) {
        let now = self.now();
        for s in 0..self.nodes.len() {
            self.nodes[s].shard.begin(now);
            self.outputs(s);
        }
    }

    /// The server ends without a word, and another starts. Everyone finds their connections gone.
    fn crash(&mut self) {
        self.note(|| "the server crashes".to_owned());
        let n = match self.setup.sessions {
            0 => self.nodes.len(),
            // It may start again with another number of shards.
            _ => self.crash_draw.within(1, 6) as usize,
        };
        self.storage.crash(n);
        self.sessions.crash(n);
        self.rooms.crash();
        self.setup.shards = n as u16;
        for idx in self.live.clone() {
            self.sockets[idx].out.clear();
            self.bury(idx);
        }
        for socket in &mut self.sockets {
            (socket.place, socket.lost) = (Place::Closed, true);
            socket.inbox.clear();
            socket.out.clear();
        }
        let draw = &mut self.crash_draw;
        let placement = [draw.bits(), draw.bits(), draw.bits(), draw.bits()];
        self.books.crash(&self.storage);
        self.placement = Placement::new(placement, self.setup.config.number_key, self.setup.shards);
        // What was said and not yet kept is lost, so those who come later read on from elsewhere.
        self.ledger = Ledger::default();
        self.nodes.clear();
        for s in 0..self.setup.shards {
            let seeds = Seeds { placement, local: self.crash_draw.bits() };
            self.nodes.push(Node::new(ShardId(s), &self.setup, seeds));
        }
        self.keys = vec![BTreeMap::new(); n];
        self.arrivals = (0..n).map(|_| Arrivals::new(n)).collect();
        self.now_us += self.crash_draw.within(1_000_000, 2_000_000);
        self.begin();
    }

    /// Lives through the whole run.
    ///
    /// # Panics
    /// When anything that is checked does not hold.
    pub fn run(&mut self) -> Report {
        STEP.set(0);
        let every = match self.setup.peers {
            0..100 => 1,
            100..400 => 16,
            _ => 256,
        };
        for phase in 1..=self.setup.phases {
            self.calm = false;
            for _ in 0..self.setup.steps / u64::from(self.setup.phases) {
                self.step();
                if self.steps.is_multiple_of(every) {
                    check::always(self);
                }
            }
            if phase < self.setup.phases && self.setup.crashes {
                self.crash();
            } else if phase == self.setup.phases && self.setup.stop {
                self.stop();
            } else {
                self.settle_and_check();
            }
        }
        self.report()
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_us: self.now_us, wall_ms: 1_700_000_000_000 + self.now_us / 1_000 }
    }

    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if self.traced {
            eprintln!("{:>6} {:>12} us  {}", self.steps, self.now_us - self.started_us, what());
        }
    }

    /// Makes bytes part of what tells runs apart.
    pub(crate) fn trace(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        STEP.set(self.steps);
        self.now_us += self.clock_draw.within(0, 400);
        if self.clock_draw.chance(self.setup.jump) {
            self.now_us += self.clock_draw.within(0, 500_000);
        }
        self.storage.step(self.now_us, false);
        match self.turn_draw.below(100) {
            0..45 => {
                let s = self.turn_draw.below(self.nodes.len());
                self.turn(s);
            }
            45..75 => self.somebody_acts(),
            _ => self.somebody_reads(),
        }
    }

    // Peers.

    fn somebody_acts(&mut self) {
        if self.setup.sessions > 0 && self.sessions_draw.chance(50) {
            return self.sessions_act();
        }
        let wanted = self.setup.peers;
        if self.live.len() < wanted && (self.live.is_empty() || self.peer_draw.chance(25)) {
            return self.connect();
        }
        let idx = self.live[self.peer_draw.below(self.live.len())];
        if self.setup.does(Op::Vanish) && self.peer_draw.chance(2) {
            return self.vanish(idx);
        }
        if self.setup.does(Op::Operate) && self.operator_draw.chance(2) {
            return self.operate();
        }
        let peer = &mut self.peers[idx];
        let commands = match &mut peer.terminal {
            Some(terminal) => terminal.next(&mut self.terminals_draw, &self.setup),
            None => peer.script.next(&mut self.peer_draw, &self.setup, &peer.view),
        };
        self.say(idx, commands);
    }

    fn connect(&mut self) {
        let s = self.peer_draw.below(self.nodes.len());
        let user = (self.setup.shared_users > 0 && self.peer_draw.chance(60))
            .then(|| shared_user(self.peer_draw.below(self.setup.shared_users as usize) as u64));
        let reading = match self.peer_draw.below(100) as u64 {
            n if n < self.setup.stalled => Reading::Stalled,
            n if n < self.setup.stalled + self.setup.slow => Reading::Slow,
            _ => Reading::Fast,
        };
        let now = self.now();
        let node = &mut self.nodes[s];
        let idx = self.sockets.len();
        let terminal = self.terminals_draw.chance(self.setup.terminals);
        let format = if terminal { Format::LINE } else { Format::MPP_TEXT };
        let terminal = terminal.then(|| Box::new(Terminal::new(idx)));
        let (key, conn) = node.shard.open(now, format, &[]);
        self.keys[s].insert(key.to_u64(), idx);
        self.sockets.push(Socket {
            conn,
            place: Place::At(s, key),
            inbox: VecDeque::new(),
            pending: VecDeque::new(),
            paused: false,
            out: VecDeque::new(),
            wants_write: false,
            closed: None,
            vanished: false,
            lost: false,
            capacity: self.setup.socket_bytes,
        });
        self.peers.push(Peer {
            script: Script::new(idx, user, format),
            view: View::new(idx),
            terminal,
            reading,
            buffer: Vec::new(),
            alive: true,
        });
        self.live.push(idx);
        self.note(|| format!("peer {idx} connects to shard {s} as {conn}, {reading:?}, {user:?}"));
    }

    /// Puts commands into a peer's socket.
    pub(crate) fn say(&mut self, idx: usize, commands: Vec<Command>) {
        let format = self.peers[idx].script.format;
        for command in commands {
            self.note(|| format!("peer {idx} says {command:?}"));
            self.sockets[idx].inbox.push_back(Item::Say(format, command));
        }
    }

    fn vanish(&mut self, idx: usize) {
        self.note(|| format!("peer {idx} vanishes"));
        self.sockets[idx].vanished = true;
        self.sockets[idx].out.clear();
        self.bury(idx);
    }

    fn bury(&mut self, idx: usize) {
        self.peers[idx].alive = false;
        self.live.retain(|&other| other != idx);
    }

    fn somebody_reads(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let idx = self.live[self.net_draw.below(self.live.len())];
        let most = match self.peers[idx].reading {
            Reading::Fast => usize::MAX,
            Reading::Slow => self.net_draw.below(200),
            Reading::Stalled if self.net_draw.chance(1) => usize::MAX,
            Reading::Stalled => 0,
        };
        self.read(idx, most);
    }

    /// A peer takes bytes out of its socket and in what they say.
    fn read(&mut self, idx: usize, most: usize) {
        let socket = &mut self.sockets[idx];
        let count = socket.out.len().min(most);
        let peer = &mut self.peers[idx];
        for byte in socket.out.drain(..count) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            peer.buffer.push(byte);
        }
        self.trace ^= idx as u64;
        let mut start = 0;
        while let Some((_, told, length)) = wire::decode(&self.peers[idx].buffer[start..]) {
            start += length;
            self.note(|| format!("peer {idx} reads {told:?}"));
            let peer = &mut self.peers[idx];
            match &mut peer.terminal {
                Some(terminal) => terminal.take(&told, &mut self.ledger),
                None => peer.view.take(&told, &mut self.ledger),
            }
            if told == Told::Ping {
                self.sockets[idx].inbox.push_back(Item::Pong);
            }
        }
        self.peers[idx].buffer.drain(..start);
        let socket = &self.sockets[idx];
        if let Some(reason) = socket.closed
            && socket.out.is_empty()
        {
            self.note(|| format!("peer {idx} sees its end: {reason:?}"));
            self.bury(idx);
        }
    }

    // Shards.

    fn turn(&mut self, s: usize) {
        let now = self.now();
        if self.nodes[s].shard.next_deadline_us().is_some_and(|at| at <= self.now_us) {
            self.nodes[s].shard.handle_timeout(now);
            self.maybe_outputs(s);
        }
        self.take_arrivals(s);
        while let Some(reply) = self.storage.next_for(s, self.now_us) {
            self.note(|| format!("shard {s} is answered {reply:?}"));
            self.nodes[s].shard.stored(now, reply);
            self.maybe_outputs(s);
        }
        let sockets: Vec<usize> = self.keys[s].values().copied().collect();
        for idx in sockets {
            let there = |w: &World| match w.sockets[idx].place {
                Place::At(at, key) if at == s => Some(key),
                _ => None,
            };
            let Some(key) = there(self) else { continue };
            let socket = &self.sockets[idx];
            if socket.wants_write
                && (socket.free() > 0 || socket.vanished)
                && (self.calm || self.turn_draw.chance(50))
            {
                self.sockets[idx].wants_write = false;
                let World { nodes, keys, sockets, net_draw, calm, sessions, .. } = self;
                let (keys, draw, calm) = (&keys[s], net_draw, *calm);
                let mut net = Net { sockets, keys, draw, calm, shard: s, sessions };
                nodes[s].shard.handle_writable(now, key, &mut net);
                self.read_mail();
                self.maybe_outputs(s);
            }
            let Some(key) = there(self) else { continue };
            let socket = &self.sockets[idx];
            let taken = self.nodes[s].shard.flow(key) == Flow::Gone;
            if taken {
                // Its end or its handover is among the outputs.
            } else if socket.vanished && (self.calm || self.turn_draw.chance(30)) {
                self.nodes[s].shard.peer_gone(now, key);
                self.keys[s].remove(&key.to_u64());
                self.sockets[idx].place = Place::Closed;
                self.note(|| format!("shard {s} sees that peer {idx} is gone"));
                self.maybe_outputs(s);
            } else if socket.has_input() && (self.calm || self.turn_draw.chance(50)) {
                self.serve(s, idx, key);
            }
        }
        self.sit_where_due(s);
        self.outputs(s);
        self.flush(s);
    }

    fn flush(&mut self, s: usize) {
        let now = self.now();
        for round in 0.. {
            assert!(round < 1_000, "a flush comes to an end");
            let bulk_waits = self.setup.bulk_waits && !self.calm && self.turn_draw.chance(70);
            let World { nodes, keys, sockets, net_draw, calm, sessions, .. } = self;
            let (keys, draw, calm) = (&keys[s], net_draw, *calm);
            let mut net = Net { sockets, keys, draw, calm, shard: s, sessions };
            nodes[s].shard.flush(now, &mut net, bulk_waits);
            self.read_mail();
            self.outputs(s);
            match self.nodes[s].shard.pending() {
                Pending::Nothing => break,
                Pending::Bulk if bulk_waits => break,
                _ => {}
            }
        }
        self.post(s);
        let waiting: usize = self.nodes[s].backlog.iter().map(VecDeque::len).sum();
        self.nodes[s].shard.set_mesh_crowded(waiting > CROWDED);
    }

    /// Reads from a connection and handles what was read, as far as it goes on.
    fn serve(&mut self, s: usize, idx: usize, key: Key) {
        let now = self.now();
        let most = self.sockets[idx].inbox.len();
        let count = if self.calm { most } else { self.turn_draw.below(most + 1) };
        let socket = &mut self.sockets[idx];
        let read: Vec<Item> = socket.inbox.drain(..count).collect();
        socket.pending.extend(read);
        // It may have been paused or taken away by somebody else since it was served last.
        let mut flow = self.nodes[s].shard.flow(key);
        if count > 0 && flow != Flow::Gone {
            flow = self.nodes[s].shard.charge(now, key, count * 20, count);
        }
        while flow == Flow::Continue {
            if !self.calm && self.turn_draw.chance(5) {
                break;
            }
            let Some(item) = self.sockets[idx].pending.pop_front() else { break };
            let Item::Say(format, command) = item else { continue };
            let shard = &mut self.nodes[s].shard;
            if shard.format(key) != Some(format) {
                flow = shard.handle_command(now, key, Command::Speak(format));
                if flow != Flow::Continue {
                    // The owner of its channel has to say from which message on.
                    assert!(format.is_line(), "speaking otherwise takes nobody else away");
                    self.sockets[idx].pending.push_front(Item::Say(format, command));
                    break;
                }
            }
            self.note(|| format!("shard {s} handles {command:?} of peer {idx}"));
            self.nodes[s].shard.handle_command(now, key, command);
            self.maybe_outputs(s);
            let gone = self.sockets[idx].place != Place::At(s, key);
            if gone {
                return;
            }
            // What was output may have changed it, as a resume that follows a pause at once.
            flow = self.nodes[s].shard.flow(key);
        }
        if flow == Flow::Pause {
            self.sockets[idx].paused = true;
        }
    }

    fn maybe_outputs(&mut self, s: usize) {
        if self.turn_draw.chance(60) {
            self.outputs(s);
        }
    }

    /// Does what the shard asks for, in its order.
    pub(crate) fn outputs(&mut self, s: usize) {
        while let Some(output) = self.nodes[s].shard.poll_output() {
            match output {
                Output::Mesh { to, message } => self.send(s, to, Parcel::Message(message)),
                Output::Handover { key, to, bundle } => {
                    let socket = self.keys[s].remove(&key.to_u64()).expect("it was here");
                    self.note(|| format!("shard {s} hands peer {socket} to {to:?}: {bundle:?}"));
                    self.sockets[socket].place = Place::Flight;
                    self.sockets[socket].paused = false;
                    self.sockets[socket].wants_write = false;
                    self.send(s, to, Parcel::Handover { socket, bundle });
                }
                Output::Close { key, conn, reason, unsent } => {
                    if self.session_closed(s, key, reason, &unsent) {
                        continue;
                    }
                    let idx = self.keys[s].remove(&key.to_u64()).expect("it was here");
                    self.note(|| format!("shard {s} closes peer {idx}: {reason:?}"));
                    let socket = &mut self.sockets[idx];
                    assert_eq!(socket.conn, conn);
                    socket.place = Place::Closed;
                    socket.closed = Some(reason);
                    // A peer that does not read is not told everything.
                    if !socket.vanished && (reason != CloseReason::Backlog || self.calm) {
                        socket.out.extend(unsent);
                    }
                }
                Output::Attachments(_) => {}
                Output::SeatEnded { key, last, undone } => self.seat_ended(s, key, last, &undone),
                Output::Store(request) => {
                    self.note(|| format!("shard {s} asks for {request:?}"));
                    let now = self.now();
                    let World { storage, now_us, calm, .. } = self;
                    if let Some(reply) = storage.take(*now_us, now.wall_ms, s, request, *calm) {
                        self.nodes[s].shard.stored(now, reply);
                    }
                }
                Output::Resume { key } => {
                    if let Some(&idx) = self.keys[s].get(&key.to_u64()) {
                        self.note(|| format!("shard {s} resumes peer {idx}"));
                        self.sockets[idx].paused = false;
                    }
                }
            }
        }
    }

    // Coming to rest.

    fn is_quiet(&self) -> bool {
        self.arrivals.iter().all(|arrivals| arrivals.len == 0)
            && self.nodes.iter().all(|node| node.backlog.iter().all(VecDeque::is_empty))
            && self.sockets.iter().all(Socket::is_idle)
            && self.storage.is_quiet()
    }

    fn unrest(&self) -> String {
        let sockets = self.sockets.iter().enumerate().filter(|(_, socket)| !socket.is_idle());
        let sockets: Vec<_> = sockets.take(3).collect();
        let mail: Vec<usize> = self.arrivals.iter().map(|arrivals| arrivals.len).collect();
        format!("{mail:?} parcels wait and {sockets:?}")
    }

    /// Lets everything that is on its way arrive, and virtual time pass until nothing is due but routine.
    pub(crate) fn settle(&mut self) {
        self.calm = true;
        // Half a minute after everything has arrived all timers but those of routine have run out.
        let mut until = None;
        let mut rounds = 0;
        while until.is_none_or(|until| self.now_us < until) || !self.is_quiet() {
            self.steps += 1;
            STEP.set(self.steps);
            rounds += 1;
            assert!(rounds < 100_000, "the world comes to rest, but {}", self.unrest());
            self.storage.step(self.now_us, true);
            for s in 0..self.nodes.len() {
                self.turn(s);
            }
            for idx in self.live.clone() {
                self.read(idx, usize::MAX);
            }
            if self.is_quiet() {
                // Nothing moves: go to when something is due.
                let until = *until.get_or_insert(self.now_us + 32_000_000);
                let due = self.nodes.iter().filter_map(|node| node.shard.next_deadline_us()).min();
                self.now_us =
                    due.unwrap_or(until).clamp(self.now_us + 1, until.max(self.now_us + 1));
            } else {
                self.now_us += 200;
            }
        }
    }

    fn settle_and_check(&mut self) {
        self.settle();
        check::always(self);
        check::at_rest(self);
        check::probe(self);
    }

    /// The server stops: everyone is told, and then nobody is left.
    fn stop(&mut self) {
        let now = self.now();
        for s in 0..self.nodes.len() {
            self.nodes[s].shard.stop(now);
            self.outputs(s);
            self.flush(s);
        }
        self.settle();
        check::always(self);
        check::after_stop(self);
    }
}
