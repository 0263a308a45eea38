//! What is run: groups of people, what they do, and for how long. A scenario is a TOML file.
//!
//! ```toml
//! about = "one band and its audience"
//! headline = "note"
//!
//! [[group]]
//! name = "band"
//! members = 100                          # in each of `channels`
//! notes = { senders = 10, rate = 20 }    # each of 10 sends 20 messages a second
//! ```
//!
//! Reading order: [`Scenario`], [`Group`], then what a group can do.

mod check;
mod load;
pub mod presets;

use serde::{Deserialize, Serialize};

pub use check::Fault;
pub use load::{Setting, load, load_text};

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows and what it stands for, in a sentence or two.
    pub about: String,
    /// The latency that `p99` alone means: `note`, `chat`, `cursor`, `ping`, `arrival`, `join`, `back` or `list`.
    #[serde(default)]
    pub headline: Option<String>,
    /// Seconds of the same load before anything is measured.
    #[serde(default = "one")]
    pub warm_s: f64,
    /// Seconds that are measured.
    #[serde(default = "eight")]
    pub measure_s: f64,
    /// Most seconds that are waited for what is still on the way at the end.
    #[serde(default = "two")]
    pub drain_s: f64,
    /// Sockets are read once in so many microseconds, which makes reading cheap. Latency does not grow by it:
    /// it ends when the kernel has the message. 0 reads whenever there is something.
    #[serde(default = "two_milliseconds")]
    pub turn_us: u64,
    /// Share of the people who are read from promptly, and whose latencies are therefore known. The others are read
    /// seldom, which is cheap; what they were sent is checked all the same.
    #[serde(default = "a_tenth")]
    pub probes: f64,
    /// Whether every delivery is checked, or every receiver's total alone.
    #[serde(default)]
    pub accounting: Accounting,
    /// Send what one sender owes at once in one call, as a client does that was held up. Cheaper for both sides.
    #[serde(default)]
    pub merge: bool,
    /// `text` (JSON), `quick` (the binary dialect of quick-mpp-server), `line` (the TCP line chat), or
    /// `quic` (the QUIC door).
    #[serde(default)]
    pub dialect: Dialect,
    /// Connections a second while people arrive; 0 is as fast as the server takes them.
    #[serde(default)]
    pub arrivals_per_s: f64,
    /// Most handshakes under way at once, all threads together.
    #[serde(default = "two_hundred")]
    pub in_flight: usize,
    /// Numbers of connections at which the server's memory is read on the way up, ascending.
    #[serde(default)]
    pub memory_at: Vec<usize>,
    /// Seconds in which nobody arrives before the measurement, so that nothing is on the way any more.
    #[serde(default = "half")]
    pub settle_s: f64,
    /// The people.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

/// People who do the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// For messages, for `--set` and for `with`.
    pub name: String,
    /// Channels of its own.
    #[serde(default = "one_channel")]
    pub channels: usize,
    /// Connections in each channel.
    pub members: usize,
    /// The group whose channels these people sit in, instead of channels of their own.
    #[serde(default)]
    pub with: Option<String>,
    /// Playing.
    #[serde(default)]
    pub notes: Option<Stream>,
    /// Chatting.
    #[serde(default)]
    pub chat: Option<Stream>,
    /// Moving the cursor.
    #[serde(default)]
    pub cursors: Option<Stream>,
    /// Asking for the time (`t`).
    #[serde(default)]
    pub pings: Option<Stream>,
    /// Following the channel list (`+ls`).
    #[serde(default)]
    pub list: bool,
    /// Whether they take a seat in their channel; without one they are there once the server knows them.
    #[serde(default = "yes")]
    pub seats: bool,
    /// Whether they read what they are sent.
    #[serde(default)]
    pub reads: Reads,
    /// Going elsewhere.
    #[serde(default)]
    pub roams: Option<Roams>,
    /// Being a nuisance.
    #[serde(default)]
    pub abuse: Option<Abuse>,
}

/// Messages at a fixed rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// How many of each channel's members send; all when it is not said.
    #[serde(default)]
    pub senders: Option<usize>,
    /// Messages a second and sender.
    pub rate: f64,
    /// Notes in a message.
    #[serde(default = "one_note")]
    pub size: usize,
}

/// Whether a group reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Everything, in turn.
    #[default]
    Always,
    /// Nothing after having joined.
    Never,
    /// So many bytes a second.
    Slowly(u32),
}

/// How a group goes elsewhere. Each of its people waits a random time (exponential, `every_s` on average).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roams {
    /// Mean seconds between two departures of one person.
    pub every_s: f64,
    /// Where to.
    pub how: Roaming,
    /// Everybody at the same instant, every `every_s`.
    #[serde(default)]
    pub together: bool,
    /// Seconds between leaving and coming back (`reconnect`).
    #[serde(default)]
    pub pause_s: f64,
}

/// Where people go who roam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Roaming {
    /// To another channel of the group.
    Switch,
    /// To a channel that is new, and whose name carries the time, so that list followers can tell how late they
    /// learn of it.
    Create,
    /// Away, and back over a new connection.
    Reconnect,
}

/// What a nuisance does, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abuse {
    /// What.
    pub how: Nuisance,
    /// Times a second and connection.
    #[serde(default = "ten")]
    pub rate: f64,
}

/// Kinds of nuisances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nuisance {
    /// A request that comes a byte at a time and never ends.
    Slowloris,
    /// Connects and says nothing.
    Silent,
    /// Random bytes instead of frames.
    Garbage,
    /// Well-formed frames with JSON that is none, or that means nothing.
    BadJson,
    /// Frames that announce more than they bring.
    HugeFrames,
    /// More notes, chats and cursor moves than anybody may send.
    Flood,
    /// Joins one new channel after the other.
    Channels,
    /// Connects and hangs up at once.
    Connects,
    /// Asks for the channel list over and over and does not read it.
    Deaf,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accounting {
    /// Every delivery, by receiver, sender and number.
    #[default]
    Exact,
    /// Every receiver's total; one in some deliveries is looked at.
    Totals,
}

/// The wire dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// JSON in text frames.
    #[default]
    Text,
    /// The binary dialect of quick-mpp-server.
    Quick,
    /// Lines of a terminal, over plain TCP.
    Line,
    /// Frames of the QUIC door.
    Quic,
}

impl Dialect {
    /// Its name, as scenarios and results have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Text => "text",
            Dialect::Quick => "quick",
            Dialect::Line => "line",
            Dialect::Quic => "quic",
        }
    }
}

impl Group {
    /// People in it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.channels * self.members
    }

    /// Its streams by kind.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (Kind, Stream)> {
        let all = [
            (Kind::Note, self.notes),
            (Kind::Chat, self.chat),
            (Kind::Cursor, self.cursors),
            (Kind::Ping, self.pings),
        ];
        all.into_iter().filter_map(|(kind, stream)| Some((kind, stream?)))
    }

    /// How many members of each channel send what `stream` says.
    pub(crate) fn senders(&self, stream: &Stream) -> usize {
        stream.senders.unwrap_or(self.members)
    }

    /// Whether its people are in their channels from beginning to end.
    pub(crate) fn is_steady(&self) -> bool {
        self.roams.is_none() && self.abuse.is_none() && self.reads == Reads::Always
    }

    /// Whether it is no fault when the server turns its people out.
    pub(crate) fn may_be_turned_out(&self) -> bool {
        self.abuse.is_some() || self.reads != Reads::Always
    }
}

impl Scenario {
    /// Connections in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.groups.iter().map(Group::total).sum()
    }

    /// Connections that are no nuisances.
    pub(crate) fn honest(&self) -> usize {
        self.groups.iter().filter(|group| group.abuse.is_none()).map(Group::total).sum()
    }

    /// People in each channel of the group `room` who can be expected to have what is sent there: those who read.
    pub(crate) fn heads(&self, room: usize) -> usize {
        let sits = |at: &usize| self.room_of(*at) == room;
        let groups = (0..self.groups.len()).filter(sits).map(|at| &self.groups[at]);
        groups.filter(|group| !group.may_be_turned_out()).map(|group| group.members).sum()
    }

    /// The group in whose channels the people of `group` sit.
    pub(crate) fn room_of(&self, group: usize) -> usize {
        let with = self.groups[group].with.as_ref();
        with.and_then(|name| self.groups.iter().position(|other| other.name == *name))
            .unwrap_or(group)
    }

    /// The latency to look at first: what was named, or the first that the scenario has.
    pub(crate) fn headline(&self) -> Option<String> {
        if self.headline.is_some() {
            return self.headline.clone();
        }
        let stream = self.groups.iter().find_map(|group| group.streams().next());
        stream.map(|(kind, _)| kind.name().to_owned())
    }
}

/// What a stream's messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// `n`
    Note,
    /// `a`
    Chat,
    /// `m`
    Cursor,
    /// `t`
    Ping,
}

impl Kind {
    /// Its name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Note => "note",
            Kind::Chat => "chat",
            Kind::Cursor => "cursor",
            Kind::Ping => "ping",
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

fn two() -> f64 {
    2.0
}

fn eight() -> f64 {
    8.0
}

fn ten() -> f64 {
    10.0
}

fn two_milliseconds() -> u64 {
    2000
}

fn a_tenth() -> f64 {
    0.1
}

fn two_hundred() -> usize {
    200
}

fn one_channel() -> usize {
    1
}

fn one_note() -> usize {
    1
}
