//! Doors: wire protocols that lead into the same channels. One folder a protocol.
//!
//! A door turns bytes into commands and events into bytes. It does not know sockets; the driver does not know
//! protocols. They meet in what this file defines: the driver holds one [`Doors`] a shard, a [`Greeting`] for a
//! connection that the core does not know yet, and a [`Session`] for one that it does.

pub mod mpp;
pub mod quic;

mod wire;

pub use wire::Wire;

use crate::{
    admission::{Admission, Grant},
    assets::Assets,
    config::Config,
    identity::Identity,
};
use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};
use tutti_shards::{CloseReason, Command, Format};

/// A wire protocol with listeners of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Multiplayer Piano over WebSocket, and pages over HTTP.
    Mpp,
}

impl Protocol {
    /// How many there are.
    pub const COUNT: usize = 1;
}

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
        /// What the connection speaks at first.
        format: Format,
        /// What its door remembers from now on.
        session: Session,
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

/// What all connections share, on all shards.
#[derive(Debug)]
pub struct Shared {
    mpp: Arc<mpp::Shared>,
    admission: Arc<Admission>,
    handshake: Duration,
    number_key: tutti_shards::NumberKey,
}

impl Shared {
    /// Gathers it.
    #[must_use]
    pub fn new(
        config: &Config,
        identity: Identity,
        assets: Arc<Assets>,
        admission: Arc<Admission>,
    ) -> Self {
        let mpp = Arc::new(mpp::Shared::new(config, identity, assets, admission.clone()));
        let number_key = config.core.number_key;
        Shared { mpp, admission, handshake: config.limits.handshake, number_key }
    }

    /// The same under other settings.
    #[must_use]
    pub fn reloaded(&self, config: &Config) -> Self {
        Shared {
            mpp: Arc::new(self.mpp.reloaded(config)),
            admission: self.admission.clone(),
            handshake: config.limits.handshake,
            number_key: self.number_key,
        }
    }
}

/// All doors on one shard.
pub struct Doors {
    shared: Arc<Shared>,
    mpp: mpp::Door,
}

/// A connection that the core does not know yet.
#[derive(Debug)]
pub enum Greeting {
    /// Before its upgrade to a WebSocket.
    Mpp(Box<mpp::Greeting>),
}

/// What a door remembers of a connection that the core knows. Small, because most are idle, and all of it travels to
/// another shard with the connection.
#[derive(Debug)]
pub enum Session {
    /// On a WebSocket.
    Mpp(mpp::Session),
}

impl Doors {
    /// The doors on one shard.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Doors { mpp: mpp::Door::new(shared.mpp.clone()), shared }
    }

    /// Goes on under other settings.
    pub fn reload(&mut self, shared: Arc<Shared>) {
        self.mpp.reload(shared.mpp.clone());
        self.shared = shared;
    }

    /// How often limits of single messages were hit, by their labels.
    pub fn limit_hits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.mpp.limit_hits()
    }

    /// How events are encoded.
    #[must_use]
    pub fn wire(&self) -> Wire {
        Wire::new(self.mpp.wire(), quic::wire::QuicWire::new(self.shared.number_key))
    }

    /// Who may connect to a protocol's listeners.
    #[must_use]
    pub fn admission(&self, protocol: Protocol) -> &Arc<Admission> {
        match protocol {
            Protocol::Mpp => &self.shared.admission,
        }
    }

    /// What is sent to a connection for which there is no room at all.
    #[must_use]
    pub fn full(protocol: Protocol) -> &'static [u8] {
        match protocol {
            Protocol::Mpp => mpp::Door::FULL,
        }
    }

    /// How long a greeting may take.
    #[must_use]
    pub fn patience(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Mpp => self.shared.handshake,
        }
    }

    /// A connection was accepted from `peer`. Counts it for its address, unless it may be a proxy that speaks for
    /// another. With the greeting comes what is sent at once.
    ///
    /// # Errors
    /// The answer to one that is over a limit.
    pub fn greet(
        &self,
        protocol: Protocol,
        peer: IpAddr,
        grant: &mut Grant,
        now: Duration,
    ) -> Result<(Greeting, Vec<u8>), Greeted> {
        match protocol {
            Protocol::Mpp => {
                self.mpp.greet(peer, grant, now).map(|it| (Greeting::Mpp(it), Vec::new()))
            }
        }
    }

    /// Takes more of a connection's first bytes.
    pub fn receive_greeting(
        &self,
        greeting: &mut Greeting,
        bytes: &[u8],
        grant: &mut Grant,
        now: Duration,
    ) -> Greeted {
        match greeting {
            Greeting::Mpp(greeting) => self.mpp.receive_greeting(greeting, bytes, grant, now),
        }
    }

    /// The answer to a greeting that did not come to its end in time, and the limit that it ran into.
    #[must_use]
    pub fn too_slow(greeting: &Greeting) -> (Vec<u8>, &'static str) {
        match greeting {
            Greeting::Mpp(_) => (mpp::Door::too_slow(), "handshake_ms"),
        }
    }

    /// Takes one thing off the front of `input`, which is empty when there is no more.
    ///
    /// `format` is what the connection speaks; it follows what the peer is heard speaking.
    pub fn receive(
        &mut self,
        session: &mut Session,
        input: &mut &mut [u8],
        format: &mut Format,
        now: Duration,
        out: &mut Commands,
    ) -> Received {
        match session {
            Session::Mpp(session) => self.mpp.receive(session, input, format, now, out),
        }
    }

    /// What tells a peer that its bytes ran into a bug.
    #[must_use]
    pub fn farewell_for_bug(session: &Session) -> Vec<u8> {
        match session {
            Session::Mpp(_) => mpp::Door::farewell_for_bug(),
        }
    }

    /// What tells a peer why it is closed.
    #[must_use]
    pub fn farewell(session: &Session, reason: CloseReason) -> Vec<u8> {
        match session {
            Session::Mpp(_) => mpp::Door::farewell(reason),
        }
    }
}

/// Commands of one connection that wait for their turn.
pub type Commands = VecDeque<Command>;
