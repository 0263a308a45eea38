//! One connection, and how far it has come.

use std::os::fd::OwnedFd;

use crate::books::Person;
use crate::net::quic::Handle;
use crate::net::ws;
use crate::scenario::{Dialect, Group, Nuisance};
use crate::wire;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is none.
    Absent,
    /// TCP is on its way.
    Connecting,
    /// The request was sent, or the prompt is waited for.
    Opening,
    /// `hi` was sent, or the nick.
    Greeting,
    /// `ch` or `/join` was sent.
    Joining,
    /// It is where it wanted to be.
    Ready,
    /// It is where it was, and wants to be elsewhere.
    Moving,
}

impl State {
    /// Whether it has a seat.
    pub(super) fn is_ready(self) -> bool {
        matches!(self, State::Ready | State::Moving)
    }
}

/// How far a connection is meant to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// TCP alone.
    Connected,
    /// A WebSocket, or the prompt.
    Upgraded,
    /// To be known by the server.
    Known,
    /// A seat in a channel.
    Seated,
}

impl Goal {
    /// That of a group's people.
    pub(super) fn of(group: &Group) -> Self {
        match group.abuse.map(|abuse| abuse.how) {
            Some(Nuisance::Slowloris | Nuisance::Silent | Nuisance::Connects) => Goal::Connected,
            Some(Nuisance::Garbage | Nuisance::HugeFrames) => Goal::Upgraded,
            _ if !group.seats => Goal::Known,
            _ => Goal::Seated,
        }
    }
}

/// One person and their connection.
pub(super) struct Peer {
    pub(super) person: Person,
    /// The group in whose channels they sit.
    pub(super) room: u16,
    /// The channel that they are in or want to be in.
    pub(super) channel: u32,
    pub(super) fd: Option<OwnedFd>,
    /// The connection instead of a descriptor, over QUIC.
    pub(super) quic: Option<Handle>,
    pub(super) state: State,
    pub(super) goal: Goal,
    /// Whether nothing that happens to it is a fault.
    pub(super) nuisance: bool,
    /// Whether it is read from promptly, so that its latencies are the server's.
    pub(super) prompt: bool,
    /// Whether it waits for the next round of those who are read from seldom.
    pub(super) waits: bool,
    /// Raised with every connection.
    pub(super) attempt: u32,
    /// Whether the socket takes bytes, as far as is known.
    pub(super) writable: bool,
    /// Whether the server has closed: the end of the stream stands behind what there is to read.
    pub(super) ended: bool,
    /// When what is under way was meant to begin.
    pub(super) since_us: u64,
    /// The number of the room that it sits in, where rooms have one.
    pub(super) room_id: u64,
    /// The participant id that the server gave, or the nick.
    pub(super) id: Box<[u8]>,
    /// The channel that was asked for last, and the one that it sits in.
    pub(super) wanted: Box<str>,
    pub(super) seat: Box<str>,
    /// Whether a terminal is told what was said before it came.
    pub(super) recalls: bool,
    /// What a server last complained of to a terminal, which is why it closes if it does.
    pub(super) farewell: Box<str>,
    /// The start of an unfinished frame or line.
    pub(super) rest: Vec<u8>,
    /// The frames so far of a message in several, and the opcode of the first.
    pub(super) parts: Vec<u8>,
    pub(super) parts_opcode: u8,
    /// What the socket did not take yet.
    pub(super) output: Vec<u8>,
}

impl Peer {
    pub(super) fn new(person: Person, room: u16, channel: u32, group: &Group) -> Self {
        Self {
            person,
            room,
            channel,
            fd: None,
            quic: None,
            state: State::Absent,
            goal: Goal::of(group),
            nuisance: group.abuse.is_some(),
            prompt: true,
            waits: false,
            attempt: 0,
            writable: false,
            ended: false,
            since_us: 0,
            room_id: 0,
            id: Box::default(),
            wanted: Box::default(),
            seat: Box::default(),
            recalls: false,
            farewell: Box::default(),
            rest: Vec::new(),
            parts: Vec::new(),
            parts_opcode: ws::CONTINUATION,
            output: Vec::new(),
        }
    }

    /// Bytes of what is not finished.
    pub(super) fn held(&self) -> usize {
        self.rest.len() + self.parts.len()
    }

    /// Forgets the connection.
    pub(super) fn drop_connection(&mut self) {
        self.fd = None;
        self.quic = None;
        self.room_id = 0;
        self.attempt += 1;
        self.writable = false;
        self.ended = false;
        self.rest = Vec::new();
        self.parts = Vec::new();
        self.parts_opcode = ws::CONTINUATION;
        self.output = Vec::new();
        self.seat = Box::default();
        self.recalls = false;
        self.farewell = Box::default();
    }

    /// Appends a message to what waits, as long as there is a connection for it.
    pub(super) fn put(&mut self, message: &[u8], dialect: Dialect, mask: [u8; 4]) {
        if self.fd.is_some() {
            wire::wrap(&mut self.output, dialect, message, mask);
        }
    }
}
