//! Doors: wire protocols that lead into the same channels. One folder a protocol.
//!
//! A door turns bytes into commands and events into bytes. It does not know sockets; the driver does not know
//! protocols. They meet in what this file defines.

pub mod mpp;
pub mod quic;

use std::{collections::VecDeque, net::IpAddr, sync::Arc};
use tutti_shards::{CloseReason, Command};

/// What a door made of bytes that came from a peer.
#[derive(Debug)]
pub enum Received {
    /// Nothing complete yet, or nothing that concerns the core.
    Nothing,
    /// Commands were appended, which count as so many messages.
    Commands(usize),
    /// The door answers by itself; counts as a message.
    Reply(Vec<u8>),
    /// The peer is done, or broke the protocol: no more is read from it. What is to be sent last.
    End {
        /// The last bytes.
        last: Vec<u8>,
        /// Whether it was the peer's fault, for the counters and the log.
        fault: Option<&'static str>,
    },
}

/// What a door made of the first bytes of a connection, before the core knows it.
#[derive(Debug)]
pub enum Greeted {
    /// More has to be read.
    Unfinished,
    /// The connection becomes one of the core's.
    Welcome {
        /// Sent ahead of everything.
        preface: Vec<u8>,
        /// What was read beyond the greeting: the session's first bytes.
        rest: Vec<u8>,
        /// Who the peer is.
        client: Client,
    },
    /// The connection is answered and closed.
    Answer {
        /// The answer's head, or all of it.
        bytes: Vec<u8>,
        /// What follows it.
        body: Option<Arc<[u8]>>,
        /// A limit or fault, for the counters; `None` for a page that was served.
        refused: Option<&'static str>,
    },
}

/// Who a connection's other end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its address, resolved behind trusted proxies.
    pub address: IpAddr,
    /// The user that the address stands for, if it stands for one.
    pub user: Option<tutti_shards::UserId>,
}

/// Commands of one connection that wait for their turn.
pub type Commands = VecDeque<Command>;

/// The WebSocket close code of a reason, and its words (protocol page, section 2.4).
#[must_use]
pub fn close_code(reason: CloseReason) -> (u16, &'static str) {
    match reason {
        CloseReason::Bye => (1000, ""),
        CloseReason::Stopping => (4000, "server stopping"),
        CloseReason::BytesIn => (4002, "too many bytes"),
        CloseReason::Backlog => (4003, "not reading fast enough"),
        CloseReason::Silent => (4004, "timed out"),
        CloseReason::NoHello => (4004, "no hi in time"),
        CloseReason::MessagesIn => (4007, "too many messages"),
        CloseReason::TooManyConnections => (4009, "too many connections of this user"),
    }
}
