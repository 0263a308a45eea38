//! Whether people are there: what their connections say, and who is told.
//!
//! The shard that owns a user's record knows of each connection whether somebody is at it; a user is away when nobody
//! is at any. A change is a new version of the profile, and travels to all rooms of the user as such. There it is an
//! event without a number: those who miss it are told again, or see it when they come.

use super::Shard;
use crate::{ConnId, Key, Now, RoomEvent, UserId, Wire, channel::Channel, mesh::Mesh};

/// In channels of more people nobody is told who is away.
const PRESENCE_MEMBERS_MAX: usize = 100;

impl<W: Wire> Shard<W> {
    /// Somebody is at a session, or not any more; `status` is what they are about.
    pub fn set_presence(&mut self, now: Now, session: Key, away: bool, status: Option<Box<str>>) {
        self.now = now;
        let Some(slot) = self.conns.slot(session) else { return };
        let conn = self.conns[slot].id;
        let Some(user) = self.conns[slot].profile.as_ref().map(|profile| profile.user) else {
            return;
        };
        let owner = self.owner_of_user(user);
        if owner == self.id {
            self.on_presence(now, user, conn, away, status);
        } else {
            self.mesh(owner, Mesh::SetPresence { user, conn, away, status });
        }
    }

    /// The same where the user's record is.
    pub(super) fn on_presence(
        &mut self,
        now: Now,
        user: UserId,
        conn: ConnId,
        away: bool,
        status: Option<Box<str>>,
    ) {
        let Some(record) = self.users.get_mut(user) else { return };
        record.set_away(conn, away);
        let all_away = record.is_away();
        let (was_away, before) = (record.profile.away, record.profile.status());
        // Who is away here and there elsewhere keeps what was said there.
        let status = if away && !all_away { before.map(Into::into) } else { status };
        if all_away != was_away || status.as_deref() != before {
            self.change_presence(now, user, all_away, status);
        }
    }

    /// A connection of a user has come or gone: with it, the user may have.
    pub(super) fn settle_presence(&mut self, user: UserId) {
        let Some(record) = self.users.get(user) else { return };
        let away = record.is_away();
        if away != record.profile.away && !record.connections.is_empty() {
            self.change_presence(self.now, user, away, None);
        }
    }

    fn change_presence(&mut self, now: Now, user: UserId, away: bool, status: Option<Box<str>>) {
        let Some(record) = self.users.get_mut(user) else { return };
        let profile = std::rc::Rc::make_mut(&mut record.profile);
        profile.version += 1;
        profile.show_presence(away, status, now.wall_ms);
        self.spread_profile(user);
    }

    /// Tells a room whether somebody in it is there.
    pub(super) fn tell_presence(&mut self, idx: u32, participant: u32) {
        let channel = &self.channels[idx as usize];
        if !self.has_seats(idx) || !channel.shows_presence() {
            return;
        }
        let profile = channel.roster[participant].profile.clone();
        let event = RoomEvent::Presence {
            user: self.config.number_key.user(&profile),
            away: profile.away,
            status: profile.status(),
            number: profile.presence_seq,
            at_ms: self.now.wall_ms,
        };
        self.tell_room(idx, None, event);
    }
}

impl Channel {
    /// Whether people in it are told who is away.
    pub(crate) fn shows_presence(&self) -> bool {
        self.roster.len() <= PRESENCE_MEMBERS_MAX
    }
}
