//! Connections as a shard knows them.

use crate::{
    Bucket, ChatText, CloseReason, ConnId, Entry, Format, Guise, JoinTarget, Key, LookRequest,
    Nick, NoteQuota, Places, Profile, Quotas, SettingsPatch, ShardId, fan_out::NONE,
    outbox::Outbox, place_index::PlaceIndex,
};
use ahash::RandomState;
use serde::{Deserialize, Serialize};
use std::{
    ops::{Index, IndexMut},
    rc::Rc,
};

/// One connection. Ten thousands of them are idle, so what few need is in [`Extra`].
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) generation: u32,
    pub(crate) format: Format,
    /// Whether a driver holds its socket. A member that is on its way home has a place here before its socket.
    pub(crate) attached: bool,
    /// Whether its socket took less than it was given; no more is tried until it is writable.
    pub(crate) blocked: bool,
    /// Whether it is on the shard's list of what to flush.
    pub(crate) listed: bool,
    /// Whether something was left out for it: cursor moves, or lines about who joins and leaves.
    pub(crate) stale: bool,
    pub(crate) follows_custom: bool,
    pub(crate) binary_custom: bool,
    /// Told to go away because its user has too many connections; nothing it asks is done.
    pub(crate) refused: bool,
    /// Times it was handed over, so that late news of where it was is recognised.
    pub(crate) hops: u16,
    pub(crate) seat: Seat,
    pub(crate) member_idx: u32,
    /// See [`crate::fan_out`].
    pub(crate) read_to: u32,
    pub(crate) own_last: u32,
    /// Position in the shard's list of those who follow the channel list, or `NONE`.
    pub(crate) list_idx: u32,
    pub(crate) profile: Option<Rc<Profile>>,
    pub(crate) outbox: Outbox,
    /// When the last bytes came, milliseconds on the monotonic clock. Until it has said who it is, when it was opened:
    /// bytes that are no hello count for nothing.
    pub(crate) heard_ms: u64,
    pub(crate) bytes_in: Bucket,
    pub(crate) messages_in: Bucket,
    pub(crate) extra: Option<Box<Extra>>,
}

/// Where a connection sits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seat {
    /// In no channel.
    None,
    /// In a channel of this shard.
    Owned { channel: u32, participant: u32 },
    /// In a channel of another shard, which relays it here.
    Relayed { relay: u32 },
}

/// What connections need now and then; [`Conn::tidy`] takes it away from those that do not need it any more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Extra {
    pub(crate) hello: Bucket,
    pub(crate) join: Bucket,
    pub(crate) time: Bucket,
    pub(crate) list: Bucket,
    pub(crate) custom_toggle: Bucket,
    pub(crate) custom_bytes: Bucket,
    /// What its user played where it was last.
    pub(crate) quota: NoteQuota,
    /// Why it is paused.
    pub(crate) awaits: Option<Awaits>,
    /// The latest join over the rate.
    pub(crate) deferred: Option<JoinRequest>,
    /// Announcements that it has heard elsewhere and this shard has not heard yet.
    pub(crate) heard_ahead: Option<Vec<u64>>,
    /// What of the channel list is still to be sent.
    pub(crate) list_due: Option<ListDue>,
    /// Why it is closed as soon as its socket is here.
    pub(crate) doom: Option<CloseReason>,
    /// What a person at a terminal has besides.
    pub(crate) line: Option<Box<AtTerminal>>,
    /// Since when its socket has taken nothing, microseconds on the monotonic clock.
    pub(crate) stalled_since_us: u64,
}

/// What is known of a person at a terminal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AtTerminal {
    /// Stands for the address.
    pub(crate) origin: u64,
    /// Who wrote last.
    pub(crate) answer_to: Option<crate::UserId>,
    /// Whether it was told that it is closed for its silence.
    pub(crate) idle_told: bool,
}

impl Extra {
    /// Whether it says nothing that a new one would not.
    fn is_spent(&self, quotas: &Quotas, now_us: u64) -> bool {
        let Extra { hello, join, time, list, custom_toggle, custom_bytes, quota, .. } = self;
        let Extra { awaits, deferred, heard_ahead, list_due, doom, line, .. } = self;
        [hello, join, time, list, custom_toggle, custom_bytes].iter().all(|b| b.is_full(now_us))
            && quota.is_rested(quotas, now_us)
            && awaits.is_none()
            && deferred.is_none()
            && heard_ahead.is_none()
            && list_due.is_none()
            && doom.is_none()
            && line.is_none()
    }
}

/// What a paused connection waits for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Awaits {
    /// Its user's shard, to say who it is. A session may have claimed a name already, known by its key.
    Welcome {
        user: crate::UserId,
        token: Option<Box<str>>,
        nick: Option<Nick>,
        name: Option<Box<str>>,
    },
    /// Its user's shard, to say what became of a change.
    Profile(ProfileWish),
    /// The shard of its channel, to let it go where it asked to.
    Release(JoinRequest),
    /// The shard of the room in which it wants to sit.
    Room { owner: ShardId },
    /// The shard that keeps a nick, to say whether it is free; with the login that it is for, or to change to it.
    Nick { nick: Nick, login: Option<(Option<crate::UserId>, bool)> },
    /// The shard that keeps a session's name, to say whether it is free.
    Name { key: Box<str>, wish: NameWish },
    /// The shard of a room, to keep a seat there.
    Seat,
    /// Whoever keeps the person that it writes to, to say that the message arrived.
    Letter(ChatText),
    /// The shard of its channel, to say that a command is done.
    Settled,
    /// The storage, to keep what it did to somebody in its channel.
    Kept,
    /// The storage, to say what the channel was that it wants to enter. It stays where it is meanwhile.
    Channel(JoinRequest),
}

/// What a change of a profile was asked for.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub(crate) enum ProfileWish {
    /// Nothing that is answered by itself.
    #[default]
    Plain,
    /// Another nick, which was claimed; the old one is given back afterwards.
    Nick { nick: Nick, old: Box<str> },
    /// Being away, or back.
    Away(bool),
    /// Another colour.
    Color,
    /// Another look of a session's user. A name that only one may have was claimed; of it and the old one, one is given
    /// back afterwards.
    Look { request: Box<LookRequest>, keys: Option<(Box<str>, Box<str>)> },
}

/// What a session claims a name for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum NameWish {
    /// To come in as this user.
    Login { user: crate::UserId, guise: Box<Guise> },
    /// To be called so from now on.
    Look(Box<LookRequest>),
}

/// What of the channel list is still to be sent to one who follows it: all of it, unless said otherwise.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ListDue {
    /// Only what is newer than these batches, one of each shard; ends among it, which the list itself does not show.
    pub(crate) since: Option<Vec<u64>>,
    /// Up to this channel it has been sent.
    pub(crate) after: Option<crate::ChannelName>,
    /// Changes were left out meanwhile: what is newer than these batches follows.
    pub(crate) then: Option<Vec<u64>>,
}

impl ListDue {
    /// What is due to one who missed everything after `seen`, besides what is due anyway.
    pub(crate) fn missed(due: &mut Option<ListDue>, seen: &[u64]) {
        let since = match due {
            Some(due) => &mut due.then,
            None => &mut due.insert(ListDue::default()).since,
        };
        since.get_or_insert_with(|| seen.to_vec());
    }
}

/// A wish to be somewhere else.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct JoinRequest {
    pub(crate) target: JoinTarget,
    pub(crate) set: Option<Box<SettingsPatch>>,
    /// Full lobbies passed on the way.
    pub(crate) overflows: u16,
    /// How the one who wishes it is shown what comes of it.
    pub(crate) entry: Entry,
}

impl Conn {
    pub(crate) fn new(id: ConnId, generation: u32, format: Format, now_ms: u64) -> Self {
        Conn {
            id,
            generation,
            format,
            attached: true,
            blocked: false,
            listed: false,
            stale: false,
            follows_custom: false,
            binary_custom: false,
            refused: false,
            hops: 0,
            seat: Seat::None,
            member_idx: NONE,
            read_to: 0,
            own_last: NONE,
            list_idx: NONE,
            profile: None,
            outbox: Outbox::default(),
            heard_ms: now_ms,
            bytes_in: Bucket::default(),
            messages_in: Bucket::default(),
            extra: None,
        }
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Gives back what it does not need any more.
    pub(crate) fn tidy(&mut self, quotas: &Quotas, now_us: u64) {
        self.extra.take_if(|extra| extra.is_spent(quotas, now_us));
    }

    /// Whether something was left out or put off until it has taken everything that waits for it.
    pub(crate) fn has_to_catch_up(&self) -> bool {
        self.stale
            || (self.list_idx != NONE
                && self.extra.as_ref().is_some_and(|extra| extra.list_due.is_some()))
    }

    pub(crate) fn awaits(&self) -> Option<&Awaits> {
        self.extra.as_ref().and_then(|extra| extra.awaits.as_ref())
    }
}

/// All connections of a shard.
#[derive(Debug)]
pub(crate) struct Conns {
    slots: Places<Conn>,
    by_id: PlaceIndex,
    generation: u32,
}

impl Conns {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Conns { slots: Places::default(), by_id: PlaceIndex::new(hasher), generation: 0 }
    }

    pub(crate) fn insert(&mut self, id: ConnId, format: Format, now_ms: u64) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        assert!(self.find(id).is_none(), "connection {id} exists exactly once");
        let slot = self.slots.insert(Conn::new(id, self.generation, format, now_ms));
        self.by_id.insert(slot, |slot| self.slots[slot].id);
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Conn {
        self.by_id.remove(self.slots[slot].id, slot);
        self.slots.remove(slot)
    }

    pub(crate) fn find(&self, id: ConnId) -> Option<u32> {
        self.by_id.find(id, |slot| self.slots[slot].id)
    }

    pub(crate) fn slot(&self, key: Key) -> Option<u32> {
        let conn = self.slots.get(key.slot)?;
        (conn.generation == key.generation).then_some(key.slot)
    }

    pub(crate) fn key(&self, slot: u32) -> Key {
        Key { slot, generation: self[slot].generation }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Conn> {
        self.slots.get(slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Conn)> {
        self.slots.iter()
    }
}

impl Index<u32> for Conns {
    type Output = Conn;
    fn index(&self, slot: u32) -> &Conn {
        &self.slots[slot]
    }
}

impl IndexMut<u32> for Conns {
    fn index_mut(&mut self, slot: u32) -> &mut Conn {
        &mut self.slots[slot]
    }
}

/// Everything that makes a connection what it is, as it travels to another shard.
///
/// Plain data: the same bundle can cross processes. Whoever moves it adds the socket and what the door knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// Changes when the meaning of a field does.
    pub(crate) version: u16,
    pub(crate) conn: ConnId,
    pub(crate) hops: u16,
    pub(crate) format: Format,
    pub(crate) profile: Option<Profile>,
    pub(crate) follows_custom: bool,
    pub(crate) binary_custom: bool,
    pub(crate) stale: bool,
    pub(crate) heard_ms: u64,
    pub(crate) bytes_in: Bucket,
    pub(crate) messages_in: Bucket,
    pub(crate) extra: Option<Box<Extra>>,
    /// Bytes that were not yet sent.
    pub(crate) unsent: Vec<u8>,
    /// For one who follows the channel list: which batches of each shard it has seen.
    pub(crate) list_seen: Option<Vec<u64>>,
    /// The last announcement of each shard that it has heard.
    pub(crate) heard: Vec<u64>,
    pub(crate) purpose: Purpose,
}

impl Bundle {
    /// Which connection this is.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// The format that it speaks.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Why a connection travels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// To join a channel there.
    Join(JoinRequest),
    /// To sit there as a relayed member of the sender's channel.
    Spread { channel: ChannelRef },
    /// Home to the shard that owns its channel.
    Home,
}

/// A channel, as shards speak of it that do not own it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ChannelRef {
    /// The shard that owns it.
    pub(crate) owner: ShardId,
    /// Its place there, which does not change while it has members.
    pub(crate) channel: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_now_and_then_is_given_back() {
        let (config, id) = (crate::Config::default(), ConnId::new(ShardId(0), 1));
        let mut conn = Conn::new(id, 1, Format::MPP_TEXT, 0);
        let now_us = 1_000_000_000;
        assert!(conn.extra().time.take(config.rates.time, now_us, 1));
        conn.tidy(&config.quotas, now_us);
        assert!(conn.extra.is_some(), "the rate still counts");
        conn.extra().doom = Some(CloseReason::Stopping);
        let later_us = now_us + config.rates.time.per.as_micros() as u64;
        conn.tidy(&config.quotas, later_us);
        assert!(conn.extra.is_some(), "it is still to be closed");
        conn.extra().doom = None;
        conn.tidy(&config.quotas, later_us);
        assert!(conn.extra.is_none());
    }

    /// What an idle connection costs is a budget; ARCHITECTURE.md has all of it.
    #[test]
    fn a_connection_stays_small() {
        assert!(size_of::<Conn>() <= 104);
        assert!(size_of::<crate::users::User>() <= 72);
        assert!(size_of::<crate::channel::Participant>() <= 96);
    }
}
