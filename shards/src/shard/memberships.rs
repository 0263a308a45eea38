//! Who belongs to which direct and group rooms, as the shard that owns a user's record knows it.
//!
//! The owner of a room has the list of its people; the owner of a user has the list of that user's rooms, and knows
//! where the user's connections are. So whatever a room has for somebody who is not in it goes one way only: to the
//! user's owner, and from there to the sessions.
//!
//! ```text
//!   room's owner               user's owner               home of a session
//!   In, Out, Invited ────────▶ keeps the list ──────────▶ Enters, Invited
//!                              a session logs in ───────▶ Belongs, Invited, then the welcome
//!   who is number 7? ────────▶ looks, also in storage
//!   invites them     ◀──────── the profile
//! ```

use super::Shard;
use crate::{
    Bucket, ConnId, Event, Format, Invitation, Now, Profile, RoomEvent, RoomId, ShardId, UserId,
    UserNumber, Whom, Wire,
    conn::Seat,
    mesh::{Belonging, Finder, Mesh, Payload, RoomNews, Seek},
    users::Presence,
};
use ahash::RandomState;
use smallvec::smallvec;
use std::{collections::HashMap, sync::Arc};

/// Most rooms that a user's new sessions are told of. A session sits in 64 at most, and each of a user's sessions in
/// all of them; those of the user's sessions that were opened side by side can come to more.
pub(crate) const ROOMS_MAX: usize = 256;
/// Most invitations of one user that are kept until the user's next session; the oldest makes room.
pub(crate) const INVITATIONS_MAX: usize = 100;

/// The lists of a shard's users.
#[derive(Debug)]
pub(super) struct Memberships {
    of: HashMap<UserId, Vec<Membership>, RandomState>,
    /// Users without accounts who are connected by doors on which people are named by number.
    numbers: HashMap<UserNumber, UserId, RandomState>,
    /// How much was looked through lately for numbers that are not in there.
    pub(super) searches: Bucket,
}

#[derive(Debug)]
struct Membership {
    room: RoomId,
    /// The invitation of one who has not come yet.
    invitation: Option<Arc<Invitation>>,
}

impl Memberships {
    pub(super) fn new(hasher: RandomState, other: RandomState) -> Self {
        Memberships {
            of: HashMap::with_hasher(hasher),
            numbers: HashMap::with_hasher(other),
            searches: Bucket::default(),
        }
    }

    /// The rooms that a user is in.
    pub(super) fn rooms(&self, user: UserId) -> impl Iterator<Item = RoomId> {
        let all = self.of.get(&user).into_iter().flatten();
        all.filter(|one| one.invitation.is_none()).map(|one| one.room)
    }

    fn invitations(&self, user: UserId) -> Vec<Arc<Invitation>> {
        let all = self.of.get(&user).into_iter().flatten();
        all.filter_map(|one| one.invitation.clone()).collect()
    }

    fn knows(&self, user: UserId, room: RoomId) -> bool {
        self.of.get(&user).is_some_and(|list| list.iter().any(|one| one.room == room))
    }

    fn is_in(&self, user: UserId, room: RoomId) -> bool {
        self.rooms(user).any(|one| one == room)
    }

    fn change(&mut self, user: UserId, room: RoomId, how: &Belonging) {
        let list = self.of.entry(user).or_default();
        let known = list.iter().position(|one| one.room == room);
        let known = known.map(|at| list.remove(at));
        match how {
            Belonging::Out => {}
            Belonging::In | Belonging::Stays => {
                list.push(Membership { room, invitation: None });
            }
            Belonging::Invited(invitation) => {
                let is_in = known.is_some_and(|known| known.invitation.is_none());
                let invitation = (!is_in).then(|| Arc::new(Invitation::clone(invitation)));
                list.push(Membership { room, invitation });
            }
        }
        for (invited, max) in [(false, ROOMS_MAX), (true, INVITATIONS_MAX)] {
            let of_kind = |one: &Membership| one.invitation.is_some() == invited;
            if list.iter().filter(|one| of_kind(one)).count() > max {
                let oldest = list.iter().position(of_kind);
                oldest.map(|at| list.remove(at));
            }
        }
        if list.is_empty() {
            self.of.remove(&user);
        }
    }
}

impl<W: Wire> Shard<W> {
    /// A user belongs to a room from now on, or not any more, or is invited.
    pub(super) fn tell_belonging(&mut self, now: Now, user: UserId, room: RoomId, how: Belonging) {
        let owner = self.owner_of_user(user);
        if owner != self.id {
            return self.mesh(owner, Mesh::Belongs { user, room, how });
        }
        if matches!(how, Belonging::Stays) && self.memberships.is_in(user, room) {
            return;
        }
        // Of one who is not known here the storage knows more.
        if self.config.storage.is_none() || self.users.get(user).is_some() {
            self.memberships.change(user, room, &how);
        }
        self.note_belonging(user, room, &how);
        let news = match how {
            Belonging::Out => return,
            Belonging::In | Belonging::Stays => RoomNews::Enters(room),
            Belonging::Invited(invitation) => RoomNews::Invited((*invitation).into()),
        };
        self.send_to_user(now, user, Payload::Rooms(news), &[]);
    }

    /// A session of a user whose record is here is about to be welcomed: it learns first where the user belongs.
    pub(super) fn tell_memberships(&mut self, now: Now, user: UserId, to: Presence) {
        let rooms: Arc<[RoomId]> = self.memberships.rooms(user).collect();
        let invitations = self.memberships.invitations(user);
        let belongs = (!rooms.is_empty()).then_some(RoomNews::Belongs(rooms));
        for news in belongs.into_iter().chain(invitations.into_iter().map(RoomNews::Invited)) {
            let payload = Payload::Rooms(news);
            if to.shard == self.id {
                self.send_to_conns(now, &[to.conn], &payload);
            } else {
                self.mesh(to.shard, Mesh::ToConns { conns: smallvec![to.conn], payload });
            }
        }
    }

    /// A connection of this shard is told of rooms, if it is a session.
    pub(super) fn tell_room_news(&mut self, slot: u32, news: &RoomNews) {
        let conn = &self.conns[slot];
        if conn.format != Format::QUIC
            || conn.seat != Seat::None
            || self.seats.session_of(slot).is_some()
        {
            return;
        }
        let event = match news {
            RoomNews::Enters(room) => RoomEvent::Enters(*room),
            RoomNews::Belongs(rooms) => RoomEvent::Belongs(rooms),
            RoomNews::Invited(invitation) => RoomEvent::Invited(invitation),
        };
        self.tell(slot, &[Event::Room(event)]);
    }

    /// Somebody without an account is connected, and can be named by number.
    pub(super) fn enlist_number(&mut self, user: UserId) {
        self.memberships.numbers.insert(self.config.number_key.stranger(user), user);
    }

    /// A connection of a user whose record was here is gone.
    pub(super) fn forget_absent_numbers(&mut self, user: UserId) {
        let is_there = self.users.get(user).is_some_and(|record| !record.connections.is_empty());
        if !is_there && !self.memberships.numbers.is_empty() {
            self.memberships.numbers.remove(&self.config.number_key.stranger(user));
        }
        for user in std::mem::take(&mut self.users.forgotten) {
            if self.config.storage.is_some() {
                self.memberships.of.remove(&user);
            }
        }
    }

    /// Looks who it is that somebody named by number, and says so to whoever asks.
    pub(super) fn find_user(&mut self, now: Now, whom: Whom, finder: Box<Finder>) {
        let owner = self.placement.of_whom(whom);
        if owner != self.id {
            return self.mesh(owner, Mesh::FindUser { whom, finder });
        }
        let user = whom.user.or_else(|| self.memberships.numbers.get(&whom.number).copied());
        // People at other doors can be written to, and not be invited.
        let user = match (user, &finder.seek) {
            (None, Seek::Direct(_)) => self.search_number(now, whom.number),
            (user, _) => user,
        };
        let record = user.and_then(|user| self.users.get(user));
        if let Some(record) = record {
            let found = Some(Box::new(Profile::clone(&record.profile)));
            return self.say_found(now, whom, finder, found);
        }
        if let Err(finder) = self.finds_in_storage(now, whom, finder) {
            self.say_found(now, whom, finder, None);
        }
    }

    /// It is known to which rooms a user belongs, and what of that has changed since it was asked; `late` when the user
    /// is here already.
    pub(super) fn belongings_loaded(
        &mut self,
        now: Now,
        user: UserId,
        late: bool,
        rooms: Vec<(RoomId, Option<Invitation>)>,
        news: &[(RoomId, Belonging)],
    ) {
        for (room, invitation) in rooms {
            if self.memberships.knows(user, room) || news.iter().any(|(other, _)| *other == room) {
                continue;
            }
            let how = match invitation {
                None => Belonging::In,
                Some(invitation) => Belonging::Invited(Box::new(invitation)),
            };
            if late {
                self.tell_belonging(now, user, room, how);
            } else {
                self.memberships.change(user, room, &how);
            }
        }
        for (room, how) in news.iter().filter(|_| !late) {
            self.memberships.change(user, *room, how);
        }
    }

    pub(super) fn say_found(
        &mut self,
        now: Now,
        whom: Whom,
        finder: Box<Finder>,
        found: Option<Box<Profile>>,
    ) {
        let key = self.config.number_key;
        let found = found.filter(|profile| key.user(profile) == whom.number);
        if finder.at == self.id {
            self.on_user_found(now, *finder, found);
        } else {
            self.mesh(finder.at, Mesh::UserFound { finder, found });
        }
    }

    pub(super) fn on_user_found(&mut self, now: Now, finder: Finder, found: Option<Box<Profile>>) {
        match finder.seek {
            Seek::Direct(request) => self.on_other_found(now, finder.conn, *request, found),
            Seek::Invite { room, nonce, kind } => {
                self.on_invitee_found(now, room, finder.conn, (nonce.as_deref(), kind), found);
            }
        }
    }

    /// The rooms that each user whose record is here belongs to, for checks across shards.
    pub fn belongings(&self) -> impl Iterator<Item = (UserId, RoomId)> {
        self.memberships.of.iter().flat_map(|(&user, list)| {
            let rooms = list.iter().filter(|one| one.invitation.is_none());
            rooms.map(move |one| (user, one.room))
        })
    }

    /// Somebody to be found for a connection of this shard.
    pub(super) fn finder(&self, conn: ConnId, seek: Seek) -> Box<Finder> {
        let at: ShardId = self.id;
        Box::new(Finder { at, conn, seek })
    }
}
