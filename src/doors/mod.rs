//! Doors: wire protocols that lead into the same channels. One folder a protocol.
//!
//! A door turns bytes into commands and events into bytes. It does not know sockets; the driver does not know
//! protocols. They meet in what this file defines: the driver holds one [`Doors`] a shard, a [`Greeting`] for a
//! connection that the core does not know yet, and a [`Session`] for one that it does.

pub mod line;
pub mod mpp;
pub mod quic;

mod wire;

pub use wire::Wire;

use crate::{
    admission::{Admission, Grant},
    assets::Assets,
    config::Config,
    gate::Gate,
    identity::Identity,
};
use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};
use tutti_shards::{CloseReason, Command, Format};

/// A wire protocol with listeners of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Multiplayer Piano over WebSocket, and pages over HTTP.
    Mpp,
    /// Line chat.
    Line,
}

impl Protocol {
    /// How many there are.
    pub const COUNT: usize = 2;
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
    /// Others have their turn before more of the input is looked at.
    Enough,
    /// The peer is done, or broke the protocol: no more is read from it. What is to be sent last.
    End {
        /// The last bytes.
        last: Vec<u8>,
        /// Whether it was the peer's fault, for the counters and the log.
        fault: Option<&'static str>,
    },
}

/// A connection whose greeting is over.
#[derive(Debug)]
pub struct Welcome {
    /// Sent ahead of everything.
    pub preface: Vec<u8>,
    /// What was read beyond the greeting: the session's first bytes.
    pub rest: Vec<u8>,
    /// What the connection speaks at first.
    pub format: Format,
    /// What its door remembers from now on.
    pub session: Session,
    /// What the peer has asked for already.
    pub first: Vec<Command>,
    /// Since when it has had time to say who it is, if not only from now on.
    pub since: Option<Duration>,
}

/// What a door made of the first bytes of a connection, before the core knows it.
#[derive(Debug)]
pub enum Greeted {
    /// More has to be read.
    Unfinished,
    /// More has to be read, after an answer.
    Reply(Vec<u8>),
    /// The connection becomes one of the core's.
    Welcome(Box<Welcome>),
    /// The connection is answered and closed.
    Answer {
        /// The answer's head, or all of it.
        bytes: Vec<u8>,
        /// What follows it.
        body: Option<Arc<[u8]>>,
        /// A limit or fault, for the counters; `None` for a page that was served.
        refused: Option<&'static str>,
    },
    /// The connection is sent a file that somebody sent, and closed.
    File(Box<mpp::Link>),
}

/// Who may connect by each door.
#[derive(Clone, Debug)]
pub struct Admissions {
    /// By the piano's.
    pub mpp: Arc<Admission>,
    /// By line chat's.
    pub line: Arc<Admission>,
    /// By QUIC's.
    pub quic: Arc<Admission>,
}

impl Admissions {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(config: &Config, gate: &Arc<Gate>) -> Self {
        let line = Admission::new(&Admissions::line_limits(config), gate.clone());
        let quic = Admission::new(&Admissions::quic_limits(config), gate.clone());
        Admissions {
            mpp: Arc::new(Admission::new(&config.limits, gate.clone())),
            line: Arc::new(line.with_loopback()),
            quic: Arc::new(quic.with_loopback()),
        }
    }

    fn line_limits(config: &Config) -> crate::config::DoorLimits {
        crate::config::DoorLimits {
            connections: config.line.connections,
            connections_per_address: config.line.connections_per_address,
            accepts_per_second: None,
            ..config.limits.clone()
        }
    }

    fn quic_limits(config: &Config) -> crate::config::DoorLimits {
        crate::config::DoorLimits {
            connections: config.quic_connections,
            connections_per_address: config.quic_connections_per_address,
            accepts_per_second: None,
            guesses: config.sessions.login_failures,
            guess_window: config.sessions.login_window,
            guess_lockout: config.sessions.login_lockout,
            ..config.limits.clone()
        }
    }

    /// From now on these limits are in force. Whoever is connected stays.
    pub fn reconfigure(&self, config: &Config) {
        self.mpp.reconfigure(&config.limits);
        self.line.reconfigure(&Admissions::line_limits(config));
        self.quic.reconfigure(&Admissions::quic_limits(config));
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn are_empty(&self) -> bool {
        self.mpp.is_empty() && self.line.is_empty() && self.quic.is_empty()
    }
}

/// What all connections share, on all shards.
#[derive(Debug)]
pub struct Shared {
    mpp: Arc<mpp::Shared>,
    line: Arc<line::Shared>,
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
        admissions: &Admissions,
    ) -> Self {
        let identity = Arc::new(identity);
        let admission = admissions.mpp.clone();
        let line = line::Shared::new(config, identity.clone(), admissions.line.clone());
        let mpp = mpp::Shared::new(config, identity, assets, admission.clone());
        let (handshake, number_key) = (config.limits.handshake, config.core.number_key);
        Shared { mpp: Arc::new(mpp), line: Arc::new(line), admission, handshake, number_key }
    }

    /// The same under other settings.
    #[must_use]
    pub fn reloaded(&self, config: &Config) -> Self {
        Shared {
            mpp: Arc::new(self.mpp.reloaded(config)),
            line: Arc::new(self.line.reloaded(config)),
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
    line: line::Door,
}

/// A connection that the core does not know yet.
#[derive(Debug)]
pub enum Greeting {
    /// Before its upgrade to a WebSocket.
    Mpp(Box<mpp::Greeting>),
    /// At the prompt of line chat.
    Line(Box<line::Greeting>),
}

/// What a door remembers of a connection that the core knows. Small, because most are idle, and all of it travels to
/// another shard with the connection.
#[derive(Debug)]
pub enum Session {
    /// On a WebSocket.
    Mpp(mpp::Session),
    /// At a terminal.
    Line(Box<line::Session>),
}

impl Doors {
    /// The doors on one shard.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let line = line::Door::new(shared.line.clone());
        Doors { mpp: mpp::Door::new(shared.mpp.clone()), line, shared }
    }

    /// Goes on under other settings.
    pub fn reload(&mut self, shared: Arc<Shared>) {
        self.mpp.reload(shared.mpp.clone());
        self.line.shared = shared.line.clone();
        self.shared = shared;
    }

    /// How often limits of single messages were hit, by their labels.
    pub fn limit_hits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.mpp.limit_hits().chain(self.line.limit_hits())
    }

    /// How events are encoded.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let quic = quic::wire::QuicWire::new(self.shared.number_key);
        Wire::new(self.mpp.wire(), self.line.wire(), quic)
    }

    /// Who may connect to a protocol's listeners.
    #[must_use]
    pub fn admission(&self, protocol: Protocol) -> &Arc<Admission> {
        match protocol {
            Protocol::Mpp => &self.shared.admission,
            Protocol::Line => &self.shared.line.admission,
        }
    }

    /// What is sent to a connection for which there is no room at all.
    #[must_use]
    pub fn full(protocol: Protocol) -> &'static [u8] {
        match protocol {
            Protocol::Mpp => mpp::Door::FULL,
            Protocol::Line => line::Door::FULL,
        }
    }

    /// How long a greeting may take.
    #[must_use]
    pub fn patience(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Mpp => self.shared.handshake,
            Protocol::Line => self.line.patience(),
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
            Protocol::Line => {
                self.line.greet(peer, grant, now).map(|(it, first)| (Greeting::Line(it), first))
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
            Greeting::Line(greeting) => self.line.receive_greeting(greeting, bytes, grant, now),
        }
    }

    /// The answer to a greeting that did not come to its end in time, and the limit that it ran into.
    #[must_use]
    pub fn too_slow(greeting: &Greeting) -> (Vec<u8>, &'static str) {
        match greeting {
            Greeting::Mpp(_) => (mpp::Door::too_slow(), "handshake_ms"),
            Greeting::Line(greeting) => (line::Door::too_slow(greeting), "line.nick_timeout_ms"),
        }
    }

    /// What one that is still being greeted is told when the server stops, if anything.
    #[must_use]
    pub fn stopping(greeting: &Greeting) -> Option<Vec<u8>> {
        match greeting {
            Greeting::Mpp(_) => None,
            Greeting::Line(greeting) => Some(line::Door::stopping(greeting)),
        }
    }

    /// Takes one thing off the front of `input`, which is empty when there is no more.
    ///
    /// `format` is what the connection speaks; it follows what the peer is heard speaking. `is_known` says whether the
    /// core knows who the peer is.
    pub fn receive(
        &mut self,
        session: &mut Session,
        input: &mut &mut [u8],
        format: &mut Format,
        is_known: bool,
        now: Duration,
        out: &mut Commands,
    ) -> Received {
        match session {
            Session::Mpp(session) => self.mpp.receive(session, input, format, now, out),
            Session::Line(session) => {
                self.line.receive(session, input, *format, is_known, now, out)
            }
        }
    }

    /// What tells a peer that its bytes ran into a bug.
    #[must_use]
    pub fn farewell_for_bug(session: &Session) -> Vec<u8> {
        match session {
            Session::Mpp(_) => mpp::Door::farewell_for_bug(),
            Session::Line(session) => line::Door::farewell_for_bug(session),
        }
    }

    /// What tells a peer why it is closed.
    #[must_use]
    pub fn farewell(session: &Session, reason: CloseReason) -> Vec<u8> {
        match session {
            Session::Mpp(_) => mpp::Door::farewell(reason),
            Session::Line(session) => line::Door::farewell(session, reason),
        }
    }
}

impl Greeting {
    /// Whether a line has begun that the end of the input ends.
    #[must_use]
    pub fn has_unfinished_line(&self) -> bool {
        match self {
            Greeting::Mpp(_) => false,
            Greeting::Line(greeting) => line::Door::has_unfinished_line(greeting),
        }
    }
}

impl Session {
    /// The peer has said all that it says. Whether what it said is still to be executed, and it to be answered: then
    /// [`Doors::receive`] gives the rest, and [`Session::has_ended`] from now on.
    pub fn end_input(&mut self) -> bool {
        match self {
            Session::Mpp(_) => false,
            Session::Line(session) => !std::mem::replace(&mut session.ended, true),
        }
    }

    /// Whether [`Doors::receive`] may give something even for no input.
    #[must_use]
    pub fn has_more(&self) -> bool {
        match self {
            Session::Mpp(_) => false,
            Session::Line(session) => session.has_more(),
        }
    }

    /// Whether the peer has said all that it says.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self {
            Session::Mpp(_) => false,
            Session::Line(session) => session.ended,
        }
    }
}

/// Commands of one connection that wait for their turn.
pub type Commands = VecDeque<Command>;
