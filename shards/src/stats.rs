//! Counters of one shard. Plain numbers, owned by the shard, summed by whoever reads them.

use crate::{CloseReason, Command, Event};

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $label:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[allow(missing_docs, reason = "the label beside each says what it is")]
        pub enum $name { $($variant),* }
        impl $name {
            /// Their labels, in order.
            pub const LABELS: &'static [&'static str] = &[$($label),*];
        }
    };
}

kinds! {
    /// Kinds of commands.
    CommandKind {
        Hello = "hello", Bye = "bye", Join = "join", Settings = "settings", Crown = "crown", Chat = "chat",
        Direct = "direct", Notes = "notes", Cursor = "cursor", Profile = "profile", Ban = "ban", Time = "time",
        List = "list", Custom = "custom", Speak = "speak", Admin = "admin", Login = "login", Line = "line",
        Room = "room",
    }
}

kinds! {
    /// Kinds of events.
    EventKind {
        Challenge = "challenge", Hello = "hello", Quota = "quota", Channel = "channel",
        Participant = "participant", Left = "left", Cursor = "cursor", Notes = "notes", Chat = "chat",
        History = "history", Direct = "direct", List = "list", Notice = "notice", Time = "time",
        Custom = "custom", Line = "line", Retold = "retold", Edited = "edited", Deleted = "deleted",
        Room = "room",
    }
}

kinds! {
    /// Limits that peers can run into.
    Limit {
        ChatRate = "chat_rate", RoomRate = "room_rate", JoinRate = "join_rate", SettingsRate = "settings_rate",
        CrownRate = "crown_rate", ProfileRate = "profile_rate", BanRate = "ban_rate", TimeRate = "time_rate",
        ListRate = "list_rate", CustomRate = "custom_rate", HelloRate = "hello_rate", NoteQuota = "note_quota",
        BytesIn = "bytes_in", MessagesIn = "messages_in", OutboxBytes = "outbox_bytes",
        OutboxMark = "outbox_mark", LobbyCapacity = "lobby_capacity", ChannelLimit = "channel_limit",
        MinOnline = "min_online", Banned = "banned", Channels = "channels",
        ConnectionsPerUser = "connections_per_user", Muted = "muted", Silence = "silence", HelloDeadline = "hello_deadline",
        NickTaken = "line.nick_taken", NameTaken = "quic.name_taken", Stalled = "line.stalled_ms", Idle = "line.idle_ms",
        LinesShed = "line.outbox_mark_bytes", LineOutbox = "line.outbox_bytes",
    }
}

kinds! {
    /// Why connections ended.
    Ending {
        Peer = "peer", Bye = "bye", Stopping = "stopping", BytesIn = "bytes_in", Backlog = "backlog",
        Silent = "silent", NoHello = "no_hello", MessagesIn = "messages_in",
        TooManyConnections = "too_many_connections", Kicked = "kicked", Banned = "banned",
        NickTaken = "nick_taken", Stalled = "stalled", Idle = "idle",
    }
}

impl From<CloseReason> for Ending {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Bye => Ending::Bye,
            CloseReason::Stopping => Ending::Stopping,
            CloseReason::BytesIn => Ending::BytesIn,
            CloseReason::Backlog => Ending::Backlog,
            CloseReason::Silent => Ending::Silent,
            CloseReason::NoHello => Ending::NoHello,
            CloseReason::MessagesIn => Ending::MessagesIn,
            CloseReason::TooManyConnections => Ending::TooManyConnections,
            CloseReason::NickTaken => Ending::NickTaken,
            CloseReason::Stalled => Ending::Stalled,
            CloseReason::Idle => Ending::Idle,
            CloseReason::Kicked => Ending::Kicked,
            CloseReason::Banned => Ending::Banned,
        }
    }
}

impl From<&Command> for CommandKind {
    fn from(command: &Command) -> Self {
        match command {
            Command::Hello { .. } | Command::Enter { .. } => CommandKind::Hello,
            Command::Login(_) => CommandKind::Login,
            Command::Line(_) => CommandKind::Line,
            Command::Bye => CommandKind::Bye,
            Command::Join { .. } => CommandKind::Join,
            Command::ChangeSettings(_) => CommandKind::Settings,
            Command::GiveCrown(_) => CommandKind::Crown,
            Command::Chat { .. } => CommandKind::Chat,
            Command::Direct { .. } => CommandKind::Direct,
            Command::Play(_) => CommandKind::Notes,
            Command::Move(_) => CommandKind::Cursor,
            Command::SetProfile { .. } | Command::Look(_) => CommandKind::Profile,
            Command::Ban { .. } | Command::Unban(_) => CommandKind::Ban,
            Command::Time { .. } => CommandKind::Time,
            Command::FollowList(_) => CommandKind::List,
            Command::FollowCustom(_) | Command::Custom(_) => CommandKind::Custom,
            Command::Speak(_) | Command::SpeakBinaryCustom => CommandKind::Speak,
            Command::Admin(_) => CommandKind::Admin,
            Command::Room(_) => CommandKind::Room,
        }
    }
}

impl From<&Event<'_>> for EventKind {
    fn from(event: &Event<'_>) -> Self {
        match event {
            Event::Challenge => EventKind::Challenge,
            Event::Hello { .. } => EventKind::Hello,
            Event::Quota(_) => EventKind::Quota,
            Event::Channel { .. } => EventKind::Channel,
            Event::Participant(_) | Event::Changed { .. } => EventKind::Participant,
            Event::Left(_) => EventKind::Left,
            Event::Cursor { .. } => EventKind::Cursor,
            Event::Notes { .. } => EventKind::Notes,
            Event::Chat(_) => EventKind::Chat,
            Event::History(_) => EventKind::History,
            Event::Direct { .. } => EventKind::Direct,
            Event::List { .. } => EventKind::List,
            Event::Notice(_) => EventKind::Notice,
            Event::Time { .. } => EventKind::Time,
            Event::Custom { .. } => EventKind::Custom,
            Event::Retold(_) => EventKind::Retold,
            Event::Edited { .. } => EventKind::Edited,
            Event::Deleted(_) => EventKind::Deleted,
            Event::Room(_) => EventKind::Room,
            Event::Line(_) | Event::Crowned(_) | Event::ChatSwitched(_) => EventKind::Line,
        }
    }
}

/// What one shard has counted since it started.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Commands taken, by [`CommandKind`].
    pub commands: [u64; CommandKind::LABELS.len()],
    /// Messages put into outboxes on the owning shard, by [`EventKind`]: one for each receiver.
    pub events: [u64; EventKind::LABELS.len()],
    /// Times a limit was hit, by [`Limit`].
    pub limits: [u64; Limit::LABELS.len()],
    /// Connections that ended, by [`Ending`].
    pub endings: [u64; Ending::LABELS.len()],
    /// Connections opened here.
    pub opened: u64,
    /// Connections handed to other shards.
    pub handed_over: u64,
    /// Connections adopted from other shards.
    pub adopted: u64,
    /// Channels created.
    pub channels_created: u64,
    /// Channels that became hot.
    pub promotions: u64,
    /// Channels that cooled.
    pub demotions: u64,
    /// Batches of a channel's messages sent to other shards.
    pub relay_batches: u64,
    /// Cursor moves merged into newer ones.
    pub cursors_merged: u64,
    /// Ticks at which a channel's cursor moves were kept back because too much waited for other shards.
    pub cursors_held: u64,
    /// Cursor moves dropped for slow readers.
    pub cursors_shed: u64,
    /// Times life went on without an answer of the storage.
    pub storage_late: u64,
    /// Calls of the transport.
    pub sends: u64,
    /// Messages that those calls carried.
    pub messages_sent: u64,
    /// Bytes that those calls carried.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
}

impl Stats {
    pub(crate) fn limit(&mut self, limit: Limit) {
        self.limits[limit as usize] += 1;
    }

    pub(crate) fn event(&mut self, kind: EventKind, receivers: usize) {
        self.events[kind as usize] += receivers as u64;
    }
}

/// What is there now on one shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Connections.
    pub connections: u64,
    /// Channels owned.
    pub channels: u64,
    /// Participants in them.
    pub participants: u64,
    /// Connections seated in a channel of this or another shard.
    pub members: u64,
    /// Channels owned that are hot.
    pub hot_channels: u64,
    /// Users whose record is kept here.
    pub users: u64,
    /// Nicks kept here.
    pub nicks: u64,
    /// Channels in the directory.
    pub directory: u64,
    /// Bytes waiting for connections.
    pub outbox_bytes: u64,
    /// Connections that do not take what is sent to them at the moment.
    pub blocked: u64,
    /// Answers of the storage that are waited for.
    pub storage_waits: u64,
}
