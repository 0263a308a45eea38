//! The shard: routes between the small machines, and owns all of their state.
//!
//! ```text
//!   open, adopt ──┐                                ┌── mesh messages
//!   commands   ───┤   ┌──────────────────────┐     ├── handovers
//!   mesh       ───┼──▶│ connections  channels│──▶──┤   closes, resumes        (poll_output)
//!   timeouts   ───┤   │ users    directory   │     └── bytes                  (flush, through a Transport)
//!   writable   ───┘   └──────────────────────┘
//! ```
//!
//! It is *not* a server: it reads no clock, opens no socket, and knows no wire format. Whoever drives it passes the
//! time with each input, acts on all outputs in their order before it waits again, and flushes at the end of each turn.
//!
//! **Invariants worth naming.**
//! - A connection exists on exactly one shard, or in exactly one handover.
//! - A channel is changed by its owning shard alone; shards that relay it only carry commands and bytes.
//! - What a member is sent is in one order: the log of its channel and its own outbox never overtake each other.
//! - An output that names a connection's key is acted on before that key can name another connection.
//!
//! Reading order: this file, `join`, `play`, `talk`, `govern`; then `hello` for users, `list` for the directory,
//! `relay` for members on other shards, `flush` for how bytes leave.

mod acts;
mod announce;
mod between;
mod ending;
mod flush;
mod follow;
mod gauges;
mod govern;
mod hello;
mod history;
mod join;
mod keep;
mod line;
mod list;
mod look;
mod memberships;
mod mesh;
mod moderate;
mod nicks;
mod operate;
mod output;
mod play;
mod presence;
mod private;
mod receipts;
mod relay;
mod rooms;
mod seat;
mod staff;
mod talk;
#[cfg(test)]
mod tests;
mod tick;
mod undone;
mod verify;

pub(crate) use between::{Incoming, Outgoing};
pub(crate) use receipts::Gathered;

pub use flush::{Pending, Sent, Transport};
pub use output::Output;
pub use seat::{ROOMS_LOOKED_AT, RoomPage};
pub use verify::RoomSeen;

pub(crate) use announce::Announcement;

use crate::{
    ChannelInfo, ChannelName, ChannelRef, CloseReason, Command, CommandKind, Config, ConnId,
    Departure, Ending, Event, EventKind, Format, Key, Limit, MeshMessage, Now, Placement, Rng,
    RoomId, ShardId, Stats, UserId, Wire,
    channel::{At, Channel, Member},
    conn::{Conns, Seat},
    directory::Directory,
    fan_out::{self, Class, FanOut, NONE},
    mesh::Mesh,
    outbox::Pool,
    timers::{Timer, Timers, Wheel},
    users::Users,
};
use ahash::RandomState;
use slab::Slab;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

/// Random numbers drawn once, so that all that follows is determined.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The key of the hash that places channels and users on shards: the same for all shards.
    pub placement: [u64; 4],
    /// This shard's own.
    pub local: u64,
}

/// Whether a connection's next command can be handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It can.
    Continue,
    /// Not before [`Output::Resume`].
    Pause,
    /// The connection is not here any more: closed or handed over.
    Gone,
}

/// A list of fan-outs that have something to flush refers to them so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FanRef {
    Channel { channel: u32, serial: u64 },
    Relay { relay: u32, serial: u64 },
}

/// A channel of another shard, as far as its members here are concerned.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) of: ChannelRef,
    pub(crate) fan: FanOut,
    pub(crate) serial: u64,
}

/// Who does something in a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) channel: u32,
    pub(crate) participant: u32,
    pub(crate) conn: ConnId,
    pub(crate) at: At,
}

/// One shard.
#[derive(Debug)]
pub struct Shard<W> {
    id: ShardId,
    shards: u16,
    config: Arc<Config>,
    wire: W,
    placement: Placement,
    hasher: RandomState,
    rng: Rng,
    serial: u64,
    stopping: bool,
    /// When the last input came.
    now: Now,
    /// Whether so much waits for other shards that what can wait is not added to it.
    mesh_crowded: bool,
    /// While guests are not heard: how long ago somebody has to have been first seen to be none.
    guests_muted_ms: Option<u64>,

    conns: Conns,
    channels: Slab<Channel>,
    by_name: HashMap<ChannelName, u32, RandomState>,
    by_number: HashMap<RoomId, u32, RandomState>,
    users: Users,
    nicks: nicks::Nicks,
    memberships: memberships::Memberships,

    seats: seat::Seats,
    asking: undone::Asking,
    /// How whoever is taken out of a channel at this moment leaves it.
    departure: Departure,
    /// Messages that this shard has numbered.
    message_count: u64,
    /// Rooms in which something was said lately.
    beat_watch: Vec<(u32, u64)>,
    beat_armed: bool,

    relays: Slab<Relay>,
    relay_of: HashMap<ChannelRef, u32, RandomState>,
    /// Members of channels of this shard that are on other shards: channel and participant.
    away: HashMap<ConnId, (u32, u32), RandomState>,
    heat_watch: Vec<(u32, u64)>,
    heat_armed: bool,
    n_hot: u32,
    /// The highest number of an event of a room that is gone: one that is made anew counts on from it, because who was
    /// in the old one takes no number twice.
    seq_floor: u64,
    /// Where connections went lately, for messages that were on the way to them.
    forwarding: HashMap<ConnId, (ShardId, u64), RandomState>,
    forwarding_until: VecDeque<(u64, ConnId)>,
    /// What waits for news of where a connection of a user of this shard went.
    followed: HashMap<ConnId, Vec<Mesh>, RandomState>,

    directory: Directory,
    publish: Vec<(u32, u64)>,
    published_at_us: u64,
    publish_sequence: u64,
    /// Channels that are gone and whose end is to be published.
    ended: Vec<Arc<ChannelInfo>>,
    followers: Vec<u32>,
    list_news: Vec<Arc<ChannelInfo>>,
    /// The last batch of each shard that followers were told of.
    list_told: Vec<u64>,
    list_cache: [Option<(u64, Vec<u8>)>; Format::COUNT],
    custom_followers: BTreeSet<u32>,
    announcements: announce::Announcements,
    asked: keep::Asked,

    pool: Pool,
    dirty_fans: Vec<FanRef>,
    dirty_conns: Vec<Key>,
    prompt: bool,
    /// Whether a log on the list of what to flush is so long that it should not wait.
    pressed: bool,
    n_blocked: u64,
    waiting_bytes: u64,

    timers: Timers,
    wheel: Wheel,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl<W: Wire> Shard<W> {
    /// Shard `id` of `shards`, without connections, with the permanent channels that are its own.
    ///
    /// # Panics
    /// When `id` is not below `shards`.
    pub fn new(id: ShardId, shards: u16, config: Arc<Config>, seeds: Seeds, wire: W) -> Self {
        assert!(id.0 < shards, "shard {id:?} of {shards}");
        let mut rng = Rng::new(seeds.local);
        let mut hasher = || {
            RandomState::with_seeds(rng.next_u64(), rng.next_u64(), rng.next_u64(), rng.next_u64())
        };
        let mut shard = Shard {
            id,
            shards,
            wire,
            placement: Placement::new(seeds.placement, config.number_key, shards),
            conns: Conns::new(hasher()),
            channels: Slab::new(),
            by_name: HashMap::with_hasher(hasher()),
            by_number: HashMap::with_hasher(hasher()),
            seats: seat::Seats::new(&mut hasher),
            asking: undone::Asking::new(&mut hasher),
            departure: Departure::default(),
            message_count: 0,
            beat_watch: Vec::new(),
            beat_armed: false,
            users: Users::new(hasher(), config.profiles_max),
            nicks: nicks::Nicks::new(hasher()),
            memberships: memberships::Memberships::new(hasher(), hasher()),
            relays: Slab::new(),
            relay_of: HashMap::with_hasher(hasher()),
            away: HashMap::with_hasher(hasher()),
            heat_watch: Vec::new(),
            heat_armed: false,
            n_hot: 0,
            forwarding: HashMap::with_hasher(hasher()),
            forwarding_until: VecDeque::new(),
            followed: HashMap::with_hasher(hasher()),
            directory: Directory::new(shards, hasher()),
            publish: Vec::new(),
            published_at_us: 0,
            seq_floor: 0,
            publish_sequence: 0,
            ended: Vec::new(),
            followers: Vec::new(),
            list_news: Vec::new(),
            list_told: vec![0; usize::from(shards)],
            list_cache: [const { None }; Format::COUNT],
            custom_followers: BTreeSet::new(),
            announcements: announce::Announcements::new(shards),
            asked: keep::Asked::new(&mut hasher),
            pool: Pool::default(),
            dirty_fans: Vec::new(),
            dirty_conns: Vec::new(),
            prompt: false,
            pressed: false,
            n_blocked: 0,
            waiting_bytes: 0,
            timers: Timers::default(),
            wheel: Wheel::new(tick::shortest_wait(&config)),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            hasher: hasher(),
            rng,
            serial: 0,
            stopping: false,
            mesh_crowded: false,
            now: Now { mono_us: 0, wall_ms: 0 },
            guests_muted_ms: None,
            config,
        };
        for name in [ChannelName::lobby(), ChannelName::awkward()] {
            let owner = shard.owner(&name);
            let idx = (owner == id).then(|| shard.create_channel(name.clone(), None));
            if let Some(idx) = idx {
                // The others know it without being told.
                shard.channels[idx as usize].published = true;
            }
            let (settings, banned) = (crate::Settings::new(name.kind()), Arc::default());
            let info = ChannelInfo { name, settings, count: 0, crown: None, banned, topic: None };
            shard.directory.seed(owner, info);
        }
        shard
    }

    /// Which shard this is.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The shard that owns a channel. The only routing rule.
    #[must_use]
    pub fn owner(&self, channel: &ChannelName) -> ShardId {
        self.placement.of_channel(channel)
    }

    /// The shard that owns a user's record.
    #[must_use]
    pub fn owner_of_user(&self, user: UserId) -> ShardId {
        self.placement.of_user(user)
    }

    /// Says whether too much waits for other shards. While it does, cursor moves of channels that have members there
    /// are kept back: of each participant the newest goes out once it is over. Nothing else can wait.
    pub fn set_mesh_crowded(&mut self, crowded: bool) {
        self.mesh_crowded = crowded;
    }

    /// Takes the next thing for the caller to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A connection was opened: it is challenged and has to say hello.
    ///
    /// `preface` is sent ahead of all else: what the door's transport still owes the peer. It has `waited_us` already.
    pub fn open(&mut self, now: Now, format: Format, preface: &[u8]) -> (Key, ConnId) {
        self.open_late(now, 0, format, preface)
    }

    /// The same for a connection that has had so many microseconds of its time to say who it is.
    pub fn open_late(
        &mut self,
        now: Now,
        waited_us: u64,
        format: Format,
        preface: &[u8],
    ) -> (Key, ConnId) {
        self.serial += 1;
        let id = ConnId::new(self.id, self.serial);
        let slot = self.conns.insert(id, format, now.mono_ms().saturating_sub(waited_us / 1_000));
        let key = self.conns.key(slot);
        self.stats.opened += 1;
        let deadline = match format.is_line() {
            true => self.config.line.nick_deadline.min(self.config.ping_after),
            false => self.config.hello_deadline.min(self.config.ping_after),
        };
        let deadline = deadline.saturating_sub(std::time::Duration::from_micros(waited_us));
        self.wheel.arm(now.mono_us + deadline.as_micros() as u64, now.mono_us, key);
        self.deliver(slot, preface, 0);
        self.tell(slot, &[Event::Challenge]);
        (key, id)
    }

    /// Bytes came in that make so many messages. They count against the connection's limits, over which it is closed.
    pub fn charge(&mut self, now: Now, key: Key, bytes: usize, messages: usize) -> Flow {
        let Some(slot) = self.conns.slot(key) else { return Flow::Gone };
        let rates = &self.config.rates;
        let conn = &mut self.conns[slot];
        if conn.profile.is_some() || conn.refused {
            conn.heard_ms = now.mono_ms();
        }
        self.stats.bytes_received += bytes as u64;
        if conn.format.is_line() {
            // Its door counts lines, and throws the rest away unread.
            return self.flow(key);
        }
        let reason = if !conn.bytes_in.take(rates.bytes_in, now.mono_us, bytes as u64) {
            self.stats.limit(Limit::BytesIn);
            Some(CloseReason::BytesIn)
        } else if !conn.messages_in.take(rates.messages_in, now.mono_us, messages as u64) {
            self.stats.limit(Limit::MessagesIn);
            Some(CloseReason::MessagesIn)
        } else {
            None
        };
        match reason {
            Some(reason) => {
                self.close(now, slot, reason);
                Flow::Gone
            }
            None => self.flow(key),
        }
    }

    /// The peer is gone, or broke the protocol: its connection is not sent anything any more.
    ///
    /// What was still to be sent before is returned, for a caller that has a reason to tell the peer.
    pub fn peer_gone(&mut self, now: Now, key: Key) -> Vec<u8> {
        self.now = now;
        let Some(slot) = self.conns.slot(key) else { return Vec::new() };
        self.stats.endings[Ending::Peer as usize] += 1;
        self.departure = Departure::Disconnected;
        let unsent = self.dismantle(now, slot);
        self.departure = Departure::default();
        unsent
    }

    /// Appends bytes that the door makes for one connection (answers of the transport's own protocol).
    pub fn send_raw(&mut self, key: Key, bytes: &[u8]) {
        if let Some(slot) = self.conns.slot(key) {
            self.deliver(slot, bytes, 0);
        }
    }

    /// Handles one command. A caller stops giving more when the answer is not [`Flow::Continue`].
    pub fn handle_command(&mut self, now: Now, key: Key, command: Command) -> Flow {
        self.now = now;
        let Some(slot) = self.conns.slot(key) else { return Flow::Gone };
        debug_assert!(
            self.conns[slot].awaits().is_none(),
            "a paused connection is given no commands"
        );
        self.stats.commands[CommandKind::from(&command) as usize] += 1;
        let conn = &self.conns[slot];
        if conn.refused {
            return Flow::Continue;
        }
        let known = conn.profile.is_some();
        match command {
            Command::Hello { user, token } => self.hello(now, slot, user, token),
            Command::Enter { user, guise } if !known => self.enter_as(now, slot, user, guise),
            Command::Enter { .. } => {}
            Command::Login(login) => self.login(now, slot, *login),
            Command::Bye => self.close(now, slot, CloseReason::Bye),
            Command::Speak(format) => self.speak(slot, format),
            _ if !known => {}
            Command::Join { target, set } => self.want_join(now, slot, target, set),
            Command::SetProfile { name, color } => self.want_profile(now, slot, name, color),
            Command::Look(request) => self.want_look(now, slot, request),
            Command::FollowList(on) => self.follow_list(now, slot, on),
            Command::Line(command) => self.line_command(now, slot, *command),
            command => self.handle_member_command(now, slot, command),
        }
        self.flow(key)
    }

    /// Commands whose place is in a channel, or for which it matters where that channel is.
    fn handle_member_command(&mut self, now: Now, slot: u32, command: Command) {
        let conn = &mut self.conns[slot];
        match &command {
            Command::FollowCustom(on) => {
                let (rate, on) = (self.config.rates.custom_toggle, *on);
                if !conn.extra().custom_toggle.take(rate, now.mono_us, 1) {
                    return self.stats.limit(Limit::CustomRate);
                }
                conn.follows_custom = on;
                if on {
                    self.custom_followers.insert(slot);
                } else {
                    self.custom_followers.remove(&slot);
                }
            }
            Command::SpeakBinaryCustom => conn.binary_custom = true,
            Command::Time { .. }
                if !conn.extra().time.take(self.config.rates.time, now.mono_us, 1) =>
            {
                return self.stats.limit(Limit::TimeRate);
            }
            _ => {}
        }
        let conn = &self.conns[slot];
        match conn.seat {
            Seat::Owned { channel, participant } => {
                let actor = Actor { channel, participant, conn: conn.id, at: At::Here(slot) };
                self.act(now, actor, command);
            }
            Seat::Relayed { relay } => {
                let owner = self.relays[relay as usize].of.owner;
                if matches!(command, Command::Room(_)) {
                    self.asking.asked(slot);
                }
                let message = Mesh::FromMember { conn: conn.id, command: Box::new(command) };
                self.mesh(owner, message);
            }
            Seat::None => self.act_outside(now, slot, command),
        }
    }

    /// A member does something in a channel of this shard.
    pub(crate) fn act(&mut self, now: Now, actor: Actor, command: Command) {
        match command {
            Command::Play(batch) => self.play(now, actor, batch),
            Command::Move(position) => self.move_cursor(now, actor, position),
            Command::Chat { text, reply_to } => self.chat(now, actor, text, reply_to),
            Command::Direct { to, text, reply_to } => self.direct(now, actor, to, text, reply_to),
            Command::ChangeSettings(patch) => self.change_settings(now, actor, &patch),
            Command::GiveCrown(to) => self.give_crown(now, actor, to),
            Command::Ban { user, ms } => self.want_ban(now, actor, user, ms),
            Command::Unban(user) => self.unban(now, actor, user),
            Command::Custom(custom) => self.custom(now, actor, *custom),
            Command::Time { echo } => {
                self.answer(actor, &[Event::Time { wall_ms: now.wall_ms, echo }])
            }
            Command::FollowCustom(on) => self.member_mut(actor).follows_custom = on,
            Command::SpeakBinaryCustom => self.member_mut(actor).binary_custom = true,
            Command::Speak(format) => self.reformat_away(actor, format),
            Command::Admin(admin) => self.staff(now, Some(actor), actor.conn, *admin),
            Command::Room(request) => self.room_act(now, actor, *request),
            Command::Line(command) => self.line_act(now, actor, *command),
            Command::Hello { .. } => {
                let channel = &self.channels[actor.channel as usize];
                let user = channel.roster[actor.participant].profile.user;
                let preset = channel.preset(&self.config, user);
                self.answer(actor, &[Event::Quota(preset)]);
            }
            Command::Bye
            | Command::Enter { .. }
            | Command::Login(_)
            | Command::Join { .. }
            | Command::SetProfile { .. }
            | Command::Look(_)
            | Command::FollowList(_) => unreachable!("handled where the connection is"),
        }
    }

    fn act_outside(&mut self, now: Now, slot: u32, command: Command) {
        match command {
            Command::Time { echo } => {
                self.tell(slot, &[Event::Time { wall_ms: now.wall_ms, echo }])
            }
            Command::Custom(custom) => self.custom_outside(now, slot, *custom),
            Command::Admin(admin) => {
                let conn = self.conns[slot].id;
                self.staff(now, None, conn, *admin);
            }
            Command::Room(request) => self.ask_in_vain(slot, *request),
            _ => {}
        }
    }

    fn member_mut(&mut self, actor: Actor) -> &mut Member {
        let members = &mut self.channels[actor.channel as usize].roster[actor.participant].members;
        members.iter_mut().find(|member| member.conn == actor.conn).expect("an actor is a member")
    }

    pub(crate) fn mesh(&mut self, to: ShardId, message: Mesh) {
        assert_ne!(to, self.id, "a shard does not write to itself");
        self.outputs.push_back(Output::Mesh { to, message: MeshMessage(message) });
    }

    /// Sends to every other shard.
    pub(crate) fn mesh_all(&mut self, message: &Mesh) {
        let me = self.id;
        for to in (0..self.shards).map(ShardId).filter(|&to| to != me) {
            self.mesh(to, message.clone());
        }
    }

    /// Sends events to one connection of this shard.
    pub(crate) fn tell(&mut self, slot: u32, events: &[Event<'_>]) {
        let mut bytes = self.pool.scratch();
        self.wire.encode(self.conns[slot].format, events, &mut bytes);
        self.count(events, 1);
        self.deliver(slot, &bytes, events.len() as u32);
        self.pool.put_back(bytes);
    }

    /// What the connection of a member understands.
    pub(crate) fn format_at(&self, at: At) -> Format {
        match at {
            At::Here(slot) => self.conns[slot].format,
            At::Away(_, format) => format,
        }
    }

    /// The shard on which the connection of a member is.
    pub(crate) fn shard_at(&self, at: At) -> ShardId {
        match at {
            At::Here(_) => self.id,
            At::Away(shard, _) => shard,
        }
    }

    /// Sends events to the connection of a member of a channel of this shard, wherever it is.
    pub(crate) fn answer(&mut self, actor: Actor, events: &[Event<'_>]) {
        self.tell_member(actor.channel, actor.conn, actor.at, events);
    }

    pub(crate) fn tell_member(&mut self, channel: u32, conn: ConnId, at: At, events: &[Event<'_>]) {
        match at {
            At::Here(slot) => self.tell(slot, events),
            At::Away(_, format) => {
                let mut bytes = self.pool.scratch();
                self.wire.encode(format, events, &mut bytes);
                self.count(events, 1);
                self.deliver_member(channel, conn, at, &bytes, events.len() as u32);
                self.pool.put_back(bytes);
            }
        }
    }

    /// Sends events to all connections of a participant.
    pub(crate) fn tell_participant(
        &mut self,
        channel: u32,
        participant: u32,
        events: &[Event<'_>],
    ) {
        let members = self.channels[channel as usize].roster[participant].members.clone();
        for member in members {
            self.tell_member(channel, member.conn, member.at, events);
        }
    }

    pub(crate) fn count(&mut self, events: &[Event<'_>], receivers: usize) {
        for event in events {
            self.stats.event(EventKind::from(event), receivers);
        }
    }

    /// Sends encoded bytes to a member, wherever it is.
    pub(crate) fn deliver_member(
        &mut self,
        channel: u32,
        conn: ConnId,
        at: At,
        bytes: &[u8],
        messages: u32,
    ) {
        match at {
            At::Here(slot) => self.deliver(slot, bytes, messages),
            At::Away(shard, _) => {
                // What was broadcast before has to arrive before.
                self.ship(channel);
                self.mesh(shard, Mesh::ToMember { conn, bytes: bytes.into(), messages });
            }
        }
    }

    /// Appends bytes to one connection's outbox, behind what it has still to read of its channel.
    pub(crate) fn deliver(&mut self, slot: u32, bytes: &[u8], messages: u32) {
        if bytes.is_empty() {
            return;
        }
        self.absorb(slot);
        let conn = &mut self.conns[slot];
        conn.outbox.push(bytes, messages, &mut self.pool);
        if conn.blocked {
            self.waiting_bytes += bytes.len() as u64;
        }
        self.prompt = true;
        if !conn.listed {
            conn.listed = true;
            self.dirty_conns.push(self.conns.key(slot));
        }
    }

    /// Copies what a connection has still to read of its channel into its outbox.
    pub(crate) fn absorb(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        let fan = match conn.seat {
            Seat::None => return,
            Seat::Owned { channel, .. } => &self.channels[channel as usize].fan,
            Seat::Relayed { relay } => &self.relays[relay as usize].fan,
        };
        let log = &fan.logs[conn.format.index()];
        if conn.read_to as usize == log.entries.len() {
            return;
        }
        let before = conn.outbox.len();
        let mark = match conn.blocked {
            true => self.config.outbox_marks(conn.format).0 as usize,
            false => usize::MAX,
        };
        fan_out::absorb(conn, log, mark, &mut self.pool, &mut self.stats);
        if conn.blocked {
            self.waiting_bytes += (conn.outbox.len() - before) as u64;
        }
        if !conn.listed {
            conn.listed = true;
            self.dirty_conns.push(self.conns.key(slot));
        }
    }

    /// Sends an event to all members of a channel of this shard, but not to the connection `by`.
    pub(crate) fn broadcast(
        &mut self,
        idx: u32,
        by: Option<Actor>,
        class: Class,
        event: Event<'_>,
    ) {
        let channel = &mut self.channels[idx as usize];
        let (mut formats, mut receivers) = (channel.formats(), 0);
        while formats != 0 {
            let format = Format(formats.trailing_zeros() as u8);
            formats &= formats - 1;
            let log = &mut channel.fan.logs[format.index()];
            log.open(&mut self.pool);
            let start = log.bytes.len();
            self.wire.encode(format, &[event], &mut log.bytes);
            if log.bytes.len() == start {
                // Not shown to those who speak this.
                log.close_if_empty(&mut self.pool);
                continue;
            }
            let own = match by {
                Some(Actor { at: At::Here(slot), .. }) => Some(&mut self.conns[slot]),
                _ => None,
            };
            channel.fan.push(format, start, by.map(|actor| actor.conn), own, class);
            receivers += channel.fan.count(format) as usize;
            for away in &channel.away {
                receivers += away.formats[format.index()] as usize;
            }
        }
        // Whoever did it is a member, here or away.
        self.stats
            .event(EventKind::from(&event), receivers.saturating_sub(usize::from(by.is_some())));
        self.touch_fan(idx);
        // Heat is what people say and play. Those who come and go are not made cheaper by spreading members.
        if matches!(event, Event::Notes { .. } | Event::Cursor { .. } | Event::Chat(_)) {
            self.warm(idx);
        }
    }

    /// Puts a channel on the list of what to flush.
    pub(crate) fn touch_fan(&mut self, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        self.prompt |= channel.fan.prompt;
        self.pressed |= channel.fan.pending_bytes() > flush::LOG_BYTES_MAX;
        if !channel.fan.listed {
            channel.fan.listed = true;
            self.dirty_fans.push(FanRef::Channel { channel: idx, serial: channel.serial });
        }
    }

    /// Sends the channel itself to all members but `except`, each addressed to its own participant.
    pub(crate) fn broadcast_channel(&mut self, idx: u32, except: Option<ConnId>) {
        let mut encoded: [Option<(Vec<u8>, usize)>; Format::COUNT] =
            [const { None }; Format::COUNT];
        let members: Vec<(UserId, Member)> = {
            let roster = &self.channels[idx as usize].roster;
            roster.members().map(|(p, member)| (roster[p].profile.user, member)).collect()
        };
        for (me, member) in members.into_iter().filter(|(_, member)| Some(member.conn) != except) {
            let format = self.format_at(member.at);
            if format == Format::QUIC || format.is_line() {
                // Told what changed, by events or in words.
                continue;
            }
            let (mut bytes, hole) = encoded[format.index()].take().unwrap_or_else(|| {
                let mut bytes = self.pool.scratch();
                let view = self.channels[idx as usize].view();
                let hole = self.wire.encode_unaddressed(format, view, &mut bytes);
                (bytes, hole)
            });
            self.wire.address(format, &mut bytes, hole, me);
            self.stats.event(EventKind::Channel, 1);
            self.deliver_member(idx, member.conn, member.at, &bytes, 1);
            encoded[format.index()] = Some((bytes, hole));
        }
        for (bytes, _) in encoded.into_iter().flatten() {
            self.pool.put_back(bytes);
        }
        self.tell_changes(idx);
    }

    /// When [`Shard::handle_timeout`] should be called, microseconds on the monotonic clock.
    #[must_use]
    pub fn next_deadline_us(&self) -> Option<u64> {
        [self.timers.next_us(), self.wheel.next_us()].into_iter().flatten().min()
    }

    pub(crate) fn arm(&mut self, at_us: u64, timer: Timer) {
        self.timers.arm(at_us, timer);
    }
}

/// A place in a list that is taken by nobody.
pub(crate) const NOWHERE: u32 = NONE;
