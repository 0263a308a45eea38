//! One connection, and how far it has come.

use std::os::fd::OwnedFd;

use crate::books::Person;
use crate::net::ws;
use crate::scenario::{Group, Nuisance};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is none.
    Absent,
    /// TCP is on its way.
    Connecting,
    /// The request was sent.
    Upgrading,
    /// `hi` was sent.
    Greeting,
    /// `ch` was sent.
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
    /// A WebSocket.
    Upgraded,
    /// A seat in a channel.
    Seated,
}

impl Goal {
    /// That of a group's people.
    pub(super) fn of(group: &Group) -> Self {
        match group.abuse.map(|abuse| abuse.how) {
            Some(Nuisance::Slowloris | Nuisance::Silent | Nuisance::Connects) => Goal::Connected,
            Some(Nuisance::Garbage | Nuisance::HugeFrames) => Goal::Upgraded,
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
    /// When what is under way was meant to begin.
    pub(super) since_us: u64,
    /// The participant id that the server gave.
    pub(super) id: Box<[u8]>,
    /// The start of an unfinished frame.
    pub(super) rest: Vec<u8>,
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
            state: State::Absent,
            goal: Goal::of(group),
            nuisance: group.abuse.is_some(),
            prompt: true,
            waits: false,
            attempt: 0,
            writable: false,
            since_us: 0,
            id: Box::default(),
            rest: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Forgets the connection.
    pub(super) fn drop_connection(&mut self) {
        self.fd = None;
        self.attempt += 1;
        self.writable = false;
        self.rest = Vec::new();
        self.output = Vec::new();
    }

    /// Appends a frame to what waits.
    pub(super) fn put_frame(&mut self, opcode: u8, payload: &[u8], key: [u8; 4]) {
        ws::put_masked(&mut self.output, opcode, payload, key);
    }
}
