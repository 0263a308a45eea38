//! Every limit, quota, capacity and timer of the core, checked and in runtime types.
//!
//! The defaults are those of the protocol page and are safe for a public server on a small machine. Whoever reads
//! settings from people builds this once; the core only ever sees plain fields.

use std::time::Duration;

/// What happens to the crown when its holder leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CrownOnLeave {
    /// It goes at once to whoever has been there longest; with nobody left it lies.
    Transfer,
    /// It lies for [`Config::crown_pickup`], and the last holder gets it back on return.
    Drop,
}

/// A rate: `count` at once, refilled evenly over `per`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Burst, and amount refilled in each `per`.
    pub count: u32,
    /// The time in which an empty bucket fills. Zero means that nothing is limited.
    pub per: Duration,
}

impl Rate {
    /// `count` in each `per_ms` milliseconds.
    #[must_use]
    pub const fn new(count: u32, per_ms: u64) -> Self {
        Rate { count, per: Duration::from_millis(per_ms) }
    }

    /// No limit.
    pub const UNLIMITED: Rate = Rate::new(0, 0);
}

/// How many notes a participant may play (protocol page, section 8.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaPreset {
    /// Notes added at each tick.
    pub allowance: u32,
    /// Most notes that can be saved up; the server grants one allowance more.
    pub max: u32,
}

/// The three note quotas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quotas {
    /// Whether notes are limited at all. The presets are announced either way.
    pub enforced: bool,
    /// How often the allowance is added.
    pub tick: Duration,
    /// In any lobby.
    pub lobby: QuotaPreset,
    /// In other channels.
    pub normal: QuotaPreset,
    /// For the holder of the crown.
    pub crown: QuotaPreset,
}

/// Rates of the messages that are limited (protocol page, section 8.2). Over the rate a message is ignored, except
/// `join`, whose latest request is kept and served as soon as the rate allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    /// Chat and direct messages of a participant.
    pub chat: Rate,
    /// The same for the holder of the crown.
    pub chat_holder: Rate,
    /// Messages in a room, of everybody together.
    pub room: Rate,
    /// Channel changes of a connection.
    pub join: Rate,
    /// Settings changes.
    pub settings: Rate,
    /// Crown moves.
    pub crown: Rate,
    /// Name and colour changes.
    pub profile: Rate,
    /// Changes of how a session's user looks.
    pub look: Rate,
    /// Bans and their removal.
    pub ban: Rate,
    /// Clock requests.
    pub time: Rate,
    /// List subscriptions.
    pub list: Rate,
    /// Switching the subscription to custom messages.
    pub custom_toggle: Rate,
    /// Bytes of custom messages.
    pub custom_bytes: Rate,
    /// Hellos after the first of a connection.
    pub hello: Rate,
    /// Bytes from one connection, of any kind; over it the connection is closed with 4002.
    pub bytes_in: Rate,
    /// Messages from one connection, ignored ones too; over it the connection is closed with 4007.
    pub messages_in: Rate,
}

/// When a channel's fan-out is spread over the shards, and when it is called home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hot {
    /// Messages a second at which a channel is promoted.
    pub promote_rate: u32,
    /// Fewest members for which spreading pays.
    pub promote_members: u32,
    /// Messages a second under which a hot channel cools.
    pub demote_rate: u32,
    /// How long it has to be cool before its members are called home.
    pub demote_after: Duration,
    /// Most hot channels that one shard owns at a time; 0 switches promotion off.
    pub max: u32,
}

/// When a room gets streams of its own on connections that have many (QUIC page, section 12.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy {
    /// Messages a second at which a room becomes busy.
    pub rate: u32,
    /// Messages a second under which it cools.
    pub cool_rate: u32,
    /// How long it has to be cool before it is quiet again, whole seconds.
    pub cool_after: Duration,
    /// The time over which messages are counted, whole seconds, at least one.
    pub window: Duration,
}

impl Default for Busy {
    fn default() -> Self {
        Busy {
            rate: 100,
            cool_rate: 20,
            cool_after: Duration::from_secs(60),
            window: Duration::from_secs(10),
        }
    }
}

/// What holds for line chat alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineConfig {
    /// How long a connection may take to say who it is.
    pub nick_deadline: Duration,
    /// Bytes waiting for one connection over which it is not told who joins and leaves.
    pub outbox_bytes_mark: u32,
    /// Most bytes that may wait for one connection before it is closed.
    pub outbox_bytes_max: u32,
    /// A connection that takes nothing of what waits for it for so long is closed.
    pub stalled_max: Duration,
    /// A connection that says nothing for so long is closed; `None` for never.
    pub idle_max: Option<Duration>,
}

impl Default for LineConfig {
    fn default() -> Self {
        LineConfig {
            nick_deadline: Duration::from_secs(60),
            outbox_bytes_mark: 128 << 10,
            outbox_bytes_max: 512 << 10,
            stalled_max: Duration::from_secs(30),
            idle_max: None,
        }
    }
}

/// Messages of a channel that are kept at least, if any are: what other doors than the piano show of them.
pub const HISTORY_MIN: u32 = 50;

/// Everything the core can be told.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What happens when the holder of the crown leaves.
    pub crown_on_leave: CrownOnLeave,
    /// How long a lying crown is the last holder's alone.
    pub crown_pickup: Duration,
    /// Most participants of a lobby; `None` for any number.
    pub lobby_capacity: Option<u32>,
    /// Most full lobbies that a join passes before it leads to `test/awkward`.
    pub lobby_overflows_max: u16,
    /// Whether the participant limits of channels are enforced.
    pub channel_limits: bool,
    /// How long an empty channel is kept.
    pub channel_empty: Duration,
    /// Most channels that one shard owns; a join that would create one more leads to `test/awkward`.
    pub channels_max: u32,
    /// Line chat's own.
    pub line: LineConfig,
    /// How long an answer of the storage is waited for; `None` when there is none, and nothing is kept.
    pub storage: Option<Duration>,
    /// Chat messages that those who join by the piano's door are shown. [`HISTORY_MIN`] are kept at least, unless it
    /// is 0.
    pub chat_history: u32,
    /// Most bans of one channel; the one that ends first makes room.
    pub bans_max: u32,
    /// Longest ban that a holder can give.
    pub ban_max: Duration,
    /// Note quotas.
    pub quotas: Quotas,
    /// How often at most one is told that one plays too fast.
    pub too_fast_told_every: Duration,
    /// A batch of notes whose time is further from the server's than this sounds now instead.
    pub note_time_off_max: Duration,
    /// Rates.
    pub rates: Rates,
    /// Most connections of one user; `None` for any number.
    pub connections_per_user: Option<u32>,
    /// How long a connection beyond that has to read why before it is closed.
    pub refused_kept: Duration,
    /// Most user profiles that one shard remembers while nobody of them is connected.
    pub profiles_max: u32,
    /// How long a connection may take to say hello.
    pub hello_deadline: Duration,
    /// A connection that was silent for so long is pinged.
    pub ping_after: Duration,
    /// A connection that was silent for so long is closed.
    pub silence_max: Duration,
    /// How often a channel's gathered cursor moves go out.
    pub cursor_tick: Duration,
    /// How often changes of the channel list go to the other shards.
    pub directory_tick: Duration,
    /// Most channels in one message of the channel list, at least 1. More follow when the receiver has taken these.
    pub list_chunk: u32,
    /// Most bytes that may wait for one connection before it is closed with 4003.
    pub outbox_bytes_max: u32,
    /// Bytes waiting for one connection over which its cursor moves are dropped.
    pub outbox_bytes_mark: u32,
    /// Bytes waiting for all connections of a shard over which every connection's limit is the mark.
    pub outbox_bytes_total: u64,
    /// When channels are spread over the shards.
    pub hot: Hot,
    /// When rooms are busy.
    pub busy: Busy,
    /// Most messages that a channel keeps for all doors together; each shows its own number of the last.
    pub ring_messages: u32,
    /// Of these, how many a newcomer over QUIC is shown.
    pub init_messages: u32,
    /// Keys the numbers of rooms and users.
    pub number_key: crate::NumberKey,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            crown_on_leave: CrownOnLeave::Transfer,
            crown_pickup: Duration::from_millis(15_000),
            lobby_capacity: Some(20),
            lobby_overflows_max: 10_000,
            channel_limits: true,
            channel_empty: Duration::from_millis(3_000),
            channels_max: 100_000,
            line: LineConfig::default(),
            storage: None,
            chat_history: 32,
            bans_max: 1_000,
            ban_max: Duration::from_secs(3_600),
            quotas: Quotas {
                enforced: true,
                tick: Duration::from_millis(2_000),
                lobby: QuotaPreset { allowance: 200, max: 600 },
                normal: QuotaPreset { allowance: 400, max: 1_200 },
                crown: QuotaPreset { allowance: 600, max: 1_800 },
            },
            too_fast_told_every: Duration::from_secs(10),
            note_time_off_max: Duration::from_secs(10),
            rates: Rates::default(),
            connections_per_user: Some(8),
            refused_kept: Duration::from_secs(3),
            profiles_max: 100_000,
            hello_deadline: Duration::from_secs(30),
            ping_after: Duration::from_secs(30),
            silence_max: Duration::from_secs(90),
            cursor_tick: Duration::from_millis(40),
            directory_tick: Duration::from_millis(100),
            list_chunk: 100,
            outbox_bytes_max: 1 << 20,
            outbox_bytes_mark: 64 << 10,
            outbox_bytes_total: 1 << 30,
            hot: Hot {
                promote_rate: 100,
                promote_members: 64,
                demote_rate: 20,
                demote_after: Duration::from_secs(60),
                max: 10,
            },
            busy: Busy::default(),
            ring_messages: 100,
            init_messages: 50,
            number_key: crate::NumberKey::default(),
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Rates {
            chat: Rate::new(4, 4_000),
            chat_holder: Rate::new(10, 4_000),
            room: Rate::UNLIMITED,
            join: Rate::new(5, 2_000),
            settings: Rate::new(10, 2_000),
            crown: Rate::new(10, 5_000),
            profile: Rate::new(10, 10_000),
            look: Rate::new(1, 5_000),
            ban: Rate::new(4, 2_000),
            time: Rate::new(10, 5_000),
            list: Rate::new(10, 5_000),
            custom_toggle: Rate::new(10, 5_000),
            custom_bytes: Rate::new(16_384, 10_000),
            hello: Rate::new(10, 10_000),
            bytes_in: Rate::new(1 << 20, 10_000),
            messages_in: Rate::new(1_200, 6_000),
        }
    }
}

impl Config {
    /// Bytes waiting for one connection over which something is left out, and over which it is closed.
    pub(crate) fn outbox_marks(&self, format: crate::Format) -> (u32, u32) {
        if format.is_line() {
            (self.line.outbox_bytes_mark, self.line.outbox_bytes_max)
        } else {
            (self.outbox_bytes_mark, self.outbox_bytes_max)
        }
    }

    /// Chat messages that a channel keeps, for all doors; each shows its own number of the last.
    pub(crate) fn history_kept(&self) -> u32 {
        let least = HISTORY_MIN.max(self.ring_messages);
        if self.chat_history == 0 { 0 } else { self.chat_history.max(least) }
    }

    /// The same with rates, quotas, capacities and connection counts off, for benchmarks on trusted hosts. What
    /// protects memory (outboxes, the number of channels) stays.
    #[must_use]
    pub fn without_limits(mut self) -> Self {
        let off = Rate::UNLIMITED;
        self.rates = Rates {
            chat: off,
            chat_holder: off,
            room: off,
            join: off,
            settings: off,
            crown: off,
            profile: off,
            look: off,
            ban: off,
            time: off,
            list: off,
            custom_toggle: off,
            custom_bytes: off,
            hello: off,
            bytes_in: off,
            messages_in: off,
        };
        self.quotas.enforced = false;
        self.lobby_capacity = None;
        self.channel_limits = false;
        self.connections_per_user = None;
        self
    }
}
