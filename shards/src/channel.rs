//! A channel: who is in it, who wears the crown, who may not come in, and what was said.
//!
//! All of this lives on the one shard that owns the channel.

use crate::{
    Bucket, ChannelInfo, ChannelKind, ChannelName, ChannelView, ChatMessage, Config, ConnId, Crown,
    DoorKind, Format, Loaded, Marks, Named, NoteQuota, ParticipantView, Participants, Position,
    Profile, QuotaPreset, RoomId, Settings, ShardId, UserId, fan_out::FanOut,
    place_index::PlaceIndex, private::Private, room_state::RoomState,
};
use ahash::RandomState;
use slab::Slab;
use smallvec::SmallVec;
use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) kind: ChannelKind,
    pub(crate) settings: Settings,
    pub(crate) roster: Roster,
    pub(crate) crown: Option<Crown>,
    pub(crate) bans: Bans,
    /// Seats that are kept for connections on their way, until a moment.
    pub(crate) reserved: Vec<(ConnId, u64)>,
    /// Whose words are refused here.
    pub(crate) mutes: Bans,
    /// Whether staff have cleared the chat: what is still to be loaded of it stays away.
    pub(crate) cleared: bool,
    /// Whether everyone is about to be sent away.
    pub(crate) closing: bool,
    pub(crate) history: VecDeque<ChatMessage>,
    /// What of it was kept from before.
    pub(crate) loaded: Option<Loaded>,
    /// Members on this shard.
    pub(crate) fan: FanOut,
    /// Other shards with members, and how many of each format.
    pub(crate) away: SmallVec<[Away; 1]>,
    pub(crate) heat: Heat,
    pub(crate) room: RoomState,
    /// What it is when it is no channel that people find by its name.
    pub(crate) private: Option<Box<Private>>,
    /// Participants whose cursors moved since the last tick.
    pub(crate) moved: Vec<u32>,
    /// Before this moment cursor moves are gathered.
    pub(crate) cursors_at_us: u64,
    pub(crate) cursors_armed: bool,
    /// Whether there is something about it to keep.
    pub(crate) kept: bool,
    /// Whether the other shards know the channel.
    pub(crate) published: bool,
    pub(crate) publish_listed: bool,
    /// Tells channels apart that had the same place one after the other.
    pub(crate) serial: u64,
    /// Counts the times the channel became empty, so that an old timer does not end it.
    pub(crate) empties: u32,
}

/// A shard with relayed members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    pub(crate) shard: ShardId,
    pub(crate) formats: [u32; Format::COUNT],
    /// Entries of each log that the shard has been sent.
    pub(crate) shipped: [u32; Format::COUNT],
}

impl Away {
    pub(crate) fn members(&self) -> u32 {
        self.formats.iter().sum()
    }
}

/// How busy a channel is.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    /// Messages since the last look.
    pub(crate) messages: u32,
    pub(crate) listed: bool,
    pub(crate) hot: bool,
    /// Since when a hot channel has been cool.
    pub(crate) cool_since_us: Option<u64>,
}

/// A user in a channel, with all of the user's connections there.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) profile: Rc<Profile>,
    pub(crate) position: Position,
    pub(crate) cursor_pending: bool,
    /// Digits of its handle in lines; 0 until somebody reads lines here.
    pub(crate) digits: u8,
    /// The connection that moved last: it is not told.
    pub(crate) cursor_by: Option<ConnId>,
    pub(crate) quota: NoteQuota,
    pub(crate) chat: Bucket,
    pub(crate) rates: Option<Box<RareRates>>,
    /// Never empty between inputs.
    pub(crate) members: SmallVec<[Member; 1]>,
}

/// Rates of what few participants do.
#[derive(Debug, Default)]
pub(crate) struct RareRates {
    /// When it was last told that it plays too much, milliseconds on the monotonic clock; 0 for never.
    pub(crate) too_fast_told_ms: u64,
    pub(crate) settings: Bucket,
    pub(crate) crown: Bucket,
    pub(crate) ban: Bucket,
    pub(crate) custom_bytes: Bucket,
    /// Stands for the address of a person at a terminal.
    pub(crate) origin: Option<u64>,
    /// How far it has received and read the channel.
    pub(crate) marks: Marks,
}

/// A connection's seat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) conn: ConnId,
    pub(crate) at: At,
    pub(crate) follows_custom: bool,
    pub(crate) binary_custom: bool,
}

/// Where a member's connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    /// On the owning shard, or on its way there.
    Here(u32),
    /// On another shard.
    Away(ShardId, Format),
}

impl Participant {
    pub(crate) fn view(&self) -> ParticipantView<'_> {
        ParticipantView { profile: &self.profile, position: self.position, digits: self.digits }
    }

    /// As lines call it.
    pub(crate) fn line_name(&self) -> Box<str> {
        crate::line_name(&self.profile, self.digits)
    }

    pub(crate) fn named(&self) -> Named {
        Named { name: self.profile.display_name().into(), in_lines: self.line_name() }
    }

    pub(crate) fn rates(&mut self) -> &mut RareRates {
        self.rates.get_or_insert_default()
    }
}

/// The participants in the order in which they came.
#[derive(Debug)]
pub(crate) struct Roster {
    participants: Slab<Participant>,
    order: Vec<u32>,
    by_user: PlaceIndex,
}

impl Roster {
    fn new(hasher: RandomState) -> Self {
        Roster { participants: Slab::new(), order: Vec::new(), by_user: PlaceIndex::new(hasher) }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn find(&self, user: UserId) -> Option<u32> {
        self.by_user.find(user, |idx| self[idx].profile.user)
    }

    pub(crate) fn first(&self) -> Option<u32> {
        self.order.first().copied()
    }

    pub(crate) fn insert(&mut self, participant: Participant) -> u32 {
        let user = participant.profile.user;
        assert!(self.find(user).is_none(), "user {user} is one participant");
        let idx = self.participants.insert(participant) as u32;
        self.order.push(idx);
        let participants = &self.participants;
        self.by_user.insert(idx, |idx| participants[idx as usize].profile.user);
        idx
    }

    pub(crate) fn remove(&mut self, idx: u32) -> Participant {
        let participant = self.participants.remove(idx as usize);
        self.by_user.remove(participant.profile.user, idx);
        let place = self.order.iter().position(|&other| other == idx);
        self.order.remove(place.expect("order and participants change together"));
        participant
    }

    /// In order of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Participant)> {
        self.order.iter().map(|&idx| (idx, &self.participants[idx as usize]))
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (u32, Member)> {
        self.iter().flat_map(|(idx, p)| p.members.iter().map(move |&member| (idx, member)))
    }
}

impl std::ops::Index<u32> for Roster {
    type Output = Participant;
    fn index(&self, idx: u32) -> &Participant {
        &self.participants[idx as usize]
    }
}

impl std::ops::IndexMut<u32> for Roster {
    fn index_mut(&mut self, idx: u32) -> &mut Participant {
        &mut self.participants[idx as usize]
    }
}

impl Participants for Roster {
    fn visit(&self, visit: &mut dyn FnMut(ParticipantView<'_>)) {
        for (_, participant) in self.iter() {
            visit(participant.view());
        }
    }
}

/// Who may not come in.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    entries: BTreeMap<UserId, Ban>,
}

#[derive(Debug)]
pub(crate) struct Ban {
    /// Microseconds on the monotonic clock.
    pub(crate) until_us: u64,
    /// The address that it holds for as well, of one who was at a terminal.
    pub(crate) origin: Option<u64>,
    /// As lines called them.
    pub(crate) name: Box<str>,
}

impl Bans {
    /// The end of the user's ban, or of the one that holds for the address, if it is not over.
    pub(crate) fn until(&self, user: UserId, origin: Option<u64>, now_us: u64) -> Option<u64> {
        let own = self.entries.get(&user);
        let same = origin.and_then(|origin| {
            let bans = self.entries.values().filter(|ban| ban.origin == Some(origin));
            bans.max_by_key(|ban| ban.until_us)
        });
        let until = own.into_iter().chain(same).map(|ban| ban.until_us).max();
        until.filter(|&until| until > now_us)
    }

    /// Bans until a moment, in place of an older ban. Of too many, the one that ends first goes.
    pub(crate) fn insert(&mut self, user: UserId, ban: Ban, now_us: u64, max: u32) {
        self.entries.retain(|_, ban| ban.until_us > now_us);
        self.entries.insert(user, ban);
        while self.entries.len() > max as usize {
            let first = self.entries.iter().min_by_key(|(_, ban)| ban.until_us);
            let Some(first) = first.map(|(&user, _)| user) else { return };
            self.entries.remove(&first);
        }
    }

    /// Lifts a ban; whether there was one that was not over.
    pub(crate) fn remove(&mut self, user: UserId, now_us: u64) -> bool {
        self.entries.remove(&user).is_some_and(|ban| ban.until_us > now_us)
    }

    /// Who was banned under this name.
    pub(crate) fn find(&self, name: &str, now_us: u64) -> Option<UserId> {
        let named = |ban: &Ban| ban.until_us > now_us && ban.name.eq_ignore_ascii_case(name);
        self.entries.iter().find(|(_, ban)| named(ban)).map(|(&user, _)| user)
    }

    /// Everyone whose ban is not over, sorted.
    pub(crate) fn users(&self, now_us: u64) -> Arc<[UserId]> {
        self.iter(now_us).map(|(user, _)| user).collect()
    }

    /// The same with the end of each.
    pub(crate) fn iter(&self, now_us: u64) -> impl Iterator<Item = (UserId, u64)> {
        let bans = self.entries.iter().map(|(&user, ban)| (user, ban.until_us));
        bans.filter(move |&(_, until)| until > now_us)
    }
}

/// What a name that somebody at a terminal wrote leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Called {
    Nobody,
    One(u32),
    Several,
}

impl Roster {
    /// Finds a participant by nick or handle.
    pub(crate) fn called(&self, who: &str) -> Called {
        let mut found = Called::Nobody;
        let digits = who.rsplit_once('~').map(|(_, digits)| digits.as_bytes());
        for (idx, participant) in self.iter() {
            let profile = &participant.profile;
            let fits = match profile.door {
                DoorKind::Line => {
                    digits.is_none() && profile.display_name().eq_ignore_ascii_case(who)
                }
                _ => digits.is_some_and(|digits| {
                    profile.user.hex().starts_with(digits) && *participant.line_name() == *who
                }),
            };
            found = match (fits, found) {
                (false, found) => found,
                (true, Called::Nobody) => Called::One(idx),
                (true, _) => return Called::Several,
            };
        }
        found
    }

    /// Gives everyone who has none a handle that tells them apart.
    pub(crate) fn give_handles(&mut self) {
        let needs = |p: &Participant| p.digits == 0 && p.profile.door != DoorKind::Line;
        let missing: Vec<u32> = self.iter().filter(|(_, p)| needs(p)).map(|(idx, _)| idx).collect();
        if missing.is_empty() {
            return;
        }
        // In order of their ids those with most in common are neighbours.
        let others = self.iter().filter(|(_, p)| p.profile.door != DoorKind::Line);
        let mut sorted: Vec<UserId> = others.map(|(_, p)| p.profile.user).collect();
        sorted.sort_unstable();
        for idx in missing {
            let user = self[idx].profile.user;
            let at = sorted.partition_point(|other| *other < user);
            let near = sorted[at.saturating_sub(1)..sorted.len().min(at + 2)].iter().copied();
            self[idx].digits = crate::handle::digits_apart(user, near);
        }
    }
}

impl Channel {
    pub(crate) fn new(
        name: ChannelName,
        settings: Settings,
        serial: u64,
        number: RoomId,
        hasher: RandomState,
    ) -> Self {
        Channel {
            serial,
            room: RoomState::new(number),
            private: None,
            kind: name.kind(),
            name,
            settings,
            roster: Roster::new(hasher),
            crown: None,
            bans: Bans::default(),
            reserved: Vec::new(),
            mutes: Bans::default(),
            cleared: false,
            closing: false,
            history: VecDeque::new(),
            loaded: None,
            fan: FanOut::default(),
            away: SmallVec::new(),
            heat: Heat::default(),
            moved: Vec::new(),
            cursors_at_us: 0,
            cursors_armed: false,
            kept: false,
            published: false,
            publish_listed: false,
            empties: 0,
        }
    }

    pub(crate) fn view(&self) -> ChannelView<'_> {
        ChannelView {
            name: &self.name,
            settings: &self.settings,
            count: self.roster.len() as u32,
            crown: self.crown.as_ref(),
            participants: &self.roster,
        }
    }

    pub(crate) fn info(&self, now_us: u64) -> ChannelInfo {
        ChannelInfo {
            name: self.name.clone(),
            settings: self.settings.clone(),
            count: self.roster.len() as u32,
            crown: self.crown,
            banned: self.bans.users(now_us),
            topic: self.room.topic().map(Into::into),
        }
    }

    /// Whether `user` wears the crown.
    pub(crate) fn is_holder(&self, user: UserId) -> bool {
        self.crown.is_some_and(|crown| crown.held && crown.user == user)
    }

    pub(crate) fn preset(&self, config: &Config, user: UserId) -> QuotaPreset {
        if self.kind.is_lobby() {
            config.quotas.lobby
        } else if self.is_holder(user) {
            config.quotas.crown
        } else {
            config.quotas.normal
        }
    }

    /// Whether somebody here or elsewhere reads lines.
    pub(crate) fn is_read_in_lines(&self) -> bool {
        const LINES: u8 = 0b0011_1100;
        const _: () = assert!(1 << Format::LINE.0 | 1 << Format::LINE_QUIET_CRLF.0 == 0b0010_0100);
        self.formats() & LINES != 0
    }

    pub(crate) fn remember(&mut self, message: ChatMessage, max: u32) {
        // More than one when the limit has become smaller.
        while !self.history.is_empty() && self.history.len() >= max as usize {
            self.history.pop_front();
        }
        if max > 0 {
            self.history.push_back(message);
        }
    }

    pub(crate) fn find_member(&self, conn: ConnId) -> Option<(u32, Member)> {
        self.roster.members().find(|(_, member)| member.conn == conn)
    }

    /// The formats that someone on any shard is sent messages in, a bit each.
    pub(crate) fn formats(&self) -> u8 {
        let mut formats = self.fan.formats;
        for away in &self.away {
            let used = (0..Format::COUNT).filter(|&f| away.formats[f] > 0);
            formats |= used.fold(0, |set, f| set | 1 << f);
        }
        formats
    }
}

/// Where a crown lies that is dropped from `holder`'s cursor: a little below it, inside the window.
pub(crate) fn dropped_at(cursor: Position) -> (Position, Position) {
    let start = on_screen(cursor);
    let end = Position { x: start.x.clamp(1_000, 9_000), y: (start.y + 2_500).clamp(500, 9_500) };
    (start, end)
}

/// The cursor, or the middle of the window for one that is outside.
pub(crate) fn on_screen(cursor: Position) -> Position {
    let inside = |v: i32| (0..=10_000).contains(&v);
    if inside(cursor.x) && inside(cursor.y) { cursor } else { Position { x: 5_000, y: 5_000 } }
}

/// Whether a cursor has ever been moved.
pub(crate) fn has_moved(position: Position) -> bool {
    position != Position::OFF_SCREEN
}
