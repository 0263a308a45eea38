//! Sessions that sit in several rooms at once.
//!
//! A *session* is a connection that is in no channel itself. For each room it has a *seat*: a connection of the core
//! on the same shard, whose bytes the door puts on the streams of the session. A seat is a member like any other, here
//! or relayed, but it is never handed over: when its room is owned elsewhere, the owner is asked across the mesh, and
//! makes it a relayed member.
//!
//! ```text
//!   home                          owner
//!   Sit ────────────────────────▶ admit, seat, count
//!   seat the connection ◀──────── Seated, then the room, then whatever happens there
//!   Leave ──────────────────────▶ unseat
//!   end the connection ◀───────── SeatEnded, behind everything that it was sent
//! ```
//! A session that ends tells the owner behind all that it asked (`SeatGone`), also while it is waiting for an answer,
//! so nobody stays listed who is not there. What a seat asks while it ends is in `undone`.

use super::{Actor, Shard, join::Coming, keep::SeatWish};
use crate::{
    Answer, ChannelName, ChannelRef, ConnId, Departure, Event, Format, Key, Limit, Now, Profile,
    RoomEvent, RoomFault, RoomId, RoomView, RoomWish, SeatRequest, ShardId, Standing, Whom, Wire,
    channel::{At, Member},
    conn::{Awaits, JoinRequest, Seat},
    mesh::{Belonging, Mesh, Seek},
};
use ahash::RandomState;
use std::{collections::HashMap, rc::Rc};

/// Most members that a newcomer is shown.
const MEMBERS_SHOWN: usize = 500;

/// Which seats belong to which session, by the place of the seat and the number of the session's key.
#[derive(Debug)]
pub(super) struct Seats {
    of: HashMap<u64, Vec<u32>, RandomState>,
    sessions: HashMap<u32, u64, RandomState>,
}

impl Seats {
    pub(super) fn new(hasher: &mut impl FnMut() -> RandomState) -> Self {
        Seats { of: HashMap::with_hasher(hasher()), sessions: HashMap::with_hasher(hasher()) }
    }

    /// How many there are, of all sessions.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Those of a session.
    fn of(&self, session: Key) -> &[u32] {
        self.of.get(&session.to_u64()).map_or(&[], Vec::as_slice)
    }

    /// The session of a seat; `None` for what is no seat.
    pub(super) fn session_of(&self, slot: u32) -> Option<Key> {
        self.sessions.get(&slot).map(|&session| Key::from_u64(session))
    }

    fn add(&mut self, session: Key, slot: u32) {
        self.sessions.insert(slot, session.to_u64());
        self.of.entry(session.to_u64()).or_default().push(slot);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let session = self.sessions.remove(&slot).expect("a seat belongs to a session");
        let seats = self.of.get_mut(&session).expect("a session with a seat is listed");
        seats.retain(|other| *other != slot);
        if seats.is_empty() {
            self.of.remove(&session);
        }
    }
}

/// What became of a wish to sit in a room that is owned here.
enum Seating {
    In(u32),
    Elsewhere(SeatRequest),
    Refused(RoomFault),
}

impl<W: Wire> Shard<W> {
    /// A session was opened: it says who it is with [`crate::Command::Hello`] before it sits anywhere.
    pub fn open_session(&mut self, now: Now) -> (Key, ConnId) {
        let slot = self.insert_conn(now, Format::QUIC);
        self.stats.opened += 1;
        (self.conns.key(slot), self.conns[slot].id)
    }

    /// A session is gone, and with it all of its seats.
    pub fn end_session(&mut self, now: Now, key: Key, how: Departure) {
        self.now = now;
        if let Some(slot) = self.conns.slot(key) {
            self.stats.endings[crate::Ending::Peer as usize] += 1;
            self.departure = how;
            self.dismantle(now, slot);
            self.departure = Departure::default();
        }
    }

    /// A session wants to sit in a room. The seat's bytes tell how it went: `Seated` and the room, or a refusal behind
    /// which the seat ends. `None` when there is no such session, or nobody knows yet who it is.
    pub fn sit(&mut self, now: Now, session: Key, mut request: SeatRequest) -> Option<Key> {
        self.now = now;
        if matches!(request.room, RoomWish::Group { .. }) {
            request.drawn = self.rng.bytes12();
        }
        let at = self.conns.slot(session)?;
        let profile = self.conns[at].profile.clone()?;
        let slot = self.insert_conn(now, Format::QUIC);
        self.conns[slot].profile = Some(profile);
        self.seats.add(session, slot);
        let key = self.conns.key(slot);
        self.seek_seat(now, slot, request);
        Some(key)
    }

    fn insert_conn(&mut self, now: Now, format: Format) -> u32 {
        self.serial += 1;
        let id = ConnId::new(self.id, self.serial);
        self.conns.insert(id, format, now.mono_ms())
    }

    /// Goes where a wish leads.
    fn seek_seat(&mut self, now: Now, slot: u32, mut request: SeatRequest) {
        let profile = self.conns[slot].profile.clone().expect("a seat has a user");
        if let RoomWish::Direct(whom) = request.room {
            return self.seek_other(now, slot, &profile, whom, request);
        }
        loop {
            let owner = self.owner_of_room(self.wished(&profile, &request));
            if owner != self.id {
                let conn = self.conns[slot].id;
                self.conns[slot].extra().awaits = Some(Awaits::Room { owner });
                let profile = Box::new((*profile).clone());
                return self.mesh(owner, Mesh::Sit { conn, profile, request: Box::new(request) });
            }
            let conn = self.conns[slot].id;
            if self.waits_for_room(now, None, conn, &profile, &request) {
                self.conns[slot].extra().awaits = Some(Awaits::Room { owner });
                return;
            }
            match self.seating(now, conn, &profile, &request) {
                Seating::Elsewhere(next) => request = next,
                Seating::Refused(fault) => {
                    let last = self.refusal(now, &profile, &request, fault);
                    return self.end_seat(slot, &last, Vec::new());
                }
                Seating::In(idx) => {
                    self.say_incoming(now, idx, profile.user);
                    let (conn, at) = (self.conns[slot].id, At::Here(slot));
                    let (participant, regained) =
                        self.take_part(now, idx, &profile, Coming::default());
                    // What has changed is told to those who were there before the newcomer.
                    self.tell_changes(idx);
                    self.add_member(idx, participant, conn, at);
                    let conn_here = &mut self.conns[slot];
                    conn_here.seat = Seat::Owned { channel: idx, participant };
                    self.channels[idx as usize].fan.add(slot, conn_here);
                    let actor = Actor { channel: idx, participant, conn, at };
                    return self.settle(now, actor, &profile, &request, regained);
                }
            }
        }
    }

    /// Whether a seat has to wait until it is known what its room was.
    fn waits_for_room(
        &mut self,
        now: Now,
        from: Option<ShardId>,
        conn: ConnId,
        profile: &Rc<Profile>,
        request: &SeatRequest,
    ) -> bool {
        let wish = SeatWish { from, conn, profile: profile.clone(), request: request.clone() };
        match &request.room {
            RoomWish::Named { name, .. } => self.seat_waits(now, name, wish),
            RoomWish::With(other) => {
                self.seat_waits(now, &ChannelName::direct(profile.user, other.user), wish)
            }
            RoomWish::Numbered(room) => self.seat_waits_for_number(now, *room, wish),
            RoomWish::Direct(_) | RoomWish::Group { .. } => false,
        }
    }

    /// Looks who the other of two is with whom somebody wants to sit.
    fn seek_other(
        &mut self,
        now: Now,
        slot: u32,
        profile: &Rc<Profile>,
        whom: Whom,
        request: SeatRequest,
    ) {
        if whom.number == self.config.number_key.user(profile) {
            let last = self.refusal(now, profile, &request, RoomFault::Invalid);
            return self.end_seat(slot, &last, Vec::new());
        }
        let conn = self.conns[slot].id;
        let owner = self.placement.of_whom(whom);
        self.conns[slot].extra().awaits = Some(Awaits::Room { owner });
        let finder = self.finder(conn, Seek::Direct(Box::new(request)));
        self.find_user(now, whom, finder);
    }

    /// It is known who the other of two is.
    pub(super) fn on_other_found(
        &mut self,
        now: Now,
        conn: ConnId,
        request: SeatRequest,
        found: Option<Box<Profile>>,
    ) {
        let Some(other) = found else {
            let Some(slot) = self.conns.find(conn) else { return };
            let profile = self.conns[slot].profile.clone().expect("a seat has a user");
            let last = self.refusal(now, &profile, &request, RoomFault::NotFound);
            return self.end_seat(slot, &last, Vec::new());
        };
        self.on_sit_elsewhere(now, conn, SeatRequest { room: RoomWish::With(other), ..request });
    }

    /// The name of a wished room, where it follows from the wish.
    fn wished_name(profile: &Profile, request: &SeatRequest) -> Option<ChannelName> {
        match &request.room {
            RoomWish::Named { name, .. } => Some(name.clone()),
            RoomWish::With(other) => Some(ChannelName::direct(profile.user, other.user)),
            RoomWish::Group { .. } => Some(ChannelName::group(request.drawn)),
            RoomWish::Numbered(_) | RoomWish::Direct(_) => None,
        }
    }

    /// The number of a wished room.
    fn wished(&self, profile: &Profile, request: &SeatRequest) -> RoomId {
        match (&request.room, Self::wished_name(profile, request)) {
            (_, Some(name)) => self.config.number_key.room(&name),
            (RoomWish::Numbered(room), None) => *room,
            (_, None) => unreachable!("it is found out who is meant before anything else"),
        }
    }

    /// Whether a user may sit in a room that is owned here, which is made if need be.
    fn seating(
        &mut self,
        now: Now,
        conn: ConnId,
        profile: &Profile,
        request: &SeatRequest,
    ) -> Seating {
        let found = self.by_number.get(&self.wished(profile, request)).copied();
        if found.is_none()
            && !matches!(request.room, RoomWish::Numbered(_))
            && self.channels.len() >= self.config.channels_max as usize
        {
            self.stats.limit(Limit::Channels);
            return Seating::Refused(RoomFault::Limit);
        }
        let (name, by_number) = match (&request.room, found) {
            (RoomWish::Direct(_), _) => unreachable!("it was found out who is meant"),
            (RoomWish::Numbered(_), None) => return Seating::Refused(RoomFault::NotFound),
            (RoomWish::Numbered(_) | RoomWish::With(_), Some(idx))
                if self.channels[idx as usize].private.is_some() =>
            {
                let private = self.channels[idx as usize].private.as_deref();
                let person = private.and_then(|private| private.get(profile.user));
                if request.kind.is_none()
                    && let Some(person) = person
                    && person.standing != Standing::In
                {
                    // The session believed that its user is a member, who has gone since.
                    let invited = matches!(person.standing, Standing::Invited(_));
                    let fault = if invited { RoomFault::Denied } else { RoomFault::NotFound };
                    return Seating::Refused(fault);
                }
                return match self.may_enter_private(now, idx, profile.user) {
                    Ok(()) => Seating::In(idx),
                    Err(fault) => Seating::Refused(fault),
                };
            }
            (RoomWish::Numbered(_), Some(idx)) => (self.channels[idx as usize].name.clone(), true),
            (RoomWish::With(other), None) => {
                let name = ChannelName::direct(profile.user, other.user);
                return Seating::In(self.found_direct(name, profile, other));
            }
            (RoomWish::Group { title, topic, .. }, None) => {
                let name = ChannelName::group(request.drawn);
                return Seating::In(self.found_group(name, profile, title, topic.as_deref()));
            }
            // Two names of one number are as good as impossible; the later one is refused.
            (RoomWish::With(_) | RoomWish::Group { .. }, Some(idx)) => {
                return Seating::Refused(RoomFault::Exists(self.channels[idx as usize].room.id));
            }
            (RoomWish::Named { name, new, .. }, Some(idx)) => {
                let channel = &self.channels[idx as usize];
                if *new || channel.name != *name {
                    return Seating::Refused(RoomFault::Exists(channel.room.id));
                }
                (name.clone(), false)
            }
            (RoomWish::Named { name, topic, .. }, None) => {
                let (name, topic) = (name.clone(), topic.clone());
                let idx = self.found_channel(now, profile.user, name, None);
                if let Some(topic) = topic {
                    self.channels[idx as usize].room.set_topic(&topic);
                }
                return Seating::In(idx);
            }
        };
        let idx = found.expect("a room that is not made anew is there");
        match self.admit(now, profile, None, conn, &JoinRequest::to(name.clone())) {
            super::join::Admission::Enter => Seating::In(idx),
            super::join::Admission::Overflow if by_number => Seating::Refused(RoomFault::Full),
            super::join::Admission::Overflow
                if request.overflows >= self.config.lobby_overflows_max =>
            {
                Seating::Refused(RoomFault::Full)
            }
            super::join::Admission::Overflow => {
                self.stats.limit(Limit::LobbyCapacity);
                let room = RoomWish::named(name.next_lobby());
                let overflows = request.overflows + 1;
                Seating::Elsewhere(SeatRequest { room, overflows, ..request.clone() })
            }
            super::join::Admission::Refuse(limit, _) => {
                self.stats.limit(limit);
                let banned =
                    self.channels[idx as usize].bans.until(profile.user, None, now.mono_us);
                Seating::Refused(match (limit, banned) {
                    (Limit::Banned, Some(until)) => {
                        RoomFault::Banned((until - now.mono_us).div_ceil(1_000))
                    }
                    (Limit::ChannelLimit, _) => RoomFault::Full,
                    _ => RoomFault::Denied,
                })
            }
        }
    }

    fn refusal(
        &mut self,
        now: Now,
        profile: &Profile,
        request: &SeatRequest,
        fault: RoomFault,
    ) -> Vec<u8> {
        let room = match request.room {
            RoomWish::Numbered(room) => Some(room),
            _ => None,
        };
        let Some(kind) = request.kind else {
            let Some(room) = room else { return Vec::new() };
            return match fault {
                RoomFault::NotFound if self.is_sure_of_room(room) => {
                    // The user's owner thought otherwise.
                    self.tell_belonging(now, profile.user, room, Belonging::Out);
                    Vec::new()
                }
                // The storage is silent, or there is no place now.
                RoomFault::NotFound | RoomFault::Full | RoomFault::Limit => {
                    self.room_bytes(&[RoomEvent::Later(room)])
                }
                _ => Vec::new(),
            };
        };
        let answer = Answer { nonce: request.nonce.as_deref(), kind, room };
        self.room_bytes(&[RoomEvent::Refused { answer, fault }])
    }

    /// Events as bytes for a seat.
    pub(super) fn room_bytes(&self, events: &[RoomEvent<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &event in events {
            self.wire.encode(Format::QUIC, &[Event::Room(event)], &mut bytes);
        }
        bytes
    }

    fn add_member(&mut self, idx: u32, participant: u32, conn: ConnId, at: At) {
        let member = Member { conn, at, follows_custom: false, binary_custom: false };
        self.channels[idx as usize].roster[participant].members.push(member);
    }

    /// A new member is told what the room is, and all that follows from its coming.
    fn settle(
        &mut self,
        now: Now,
        actor: Actor,
        profile: &Rc<Profile>,
        request: &SeatRequest,
        regained: bool,
    ) {
        self.show_room(now, actor);
        if let Some(kind) = request.kind {
            let room = Some(self.channels[actor.channel as usize].room.id);
            let answer = Answer { nonce: request.nonce.as_deref(), kind, room };
            self.answer(actor, &[Event::Room(RoomEvent::Done { answer, message: None })]);
        }
        if regained {
            self.broadcast_channel(actor.channel, Some(actor.conn));
        }
        self.show_profile(actor.channel, actor.participant, profile);
        match &request.room {
            RoomWish::Group { invites, .. } => self.invite_all(now, actor, invites),
            RoomWish::Named { new: true, invites, .. } => self.invite_all(now, actor, invites),
            _ => {}
        }
    }

    /// Sends a member all that it has to know of its room.
    fn show_room(&mut self, now: Now, actor: Actor) {
        let channel = &self.channels[actor.channel as usize];
        let me = channel.roster[actor.participant].profile.user;
        let (members, member_count) = channel.occupants(MEMBERS_SHOWN);
        let from = channel.history.len().saturating_sub(self.config.init_messages as usize);
        let messages: Vec<_> = channel.history.iter().skip(from).collect();
        let muted_s = self.muted_for(now, channel, actor.participant);
        let (room, seq) = (channel.room.id, channel.room.seq);
        let init = RoomEvent::Init {
            view: channel.room_view(),
            seq,
            role: channel.role(me),
            muted_until_ms: muted_s.map(|seconds| now.wall_ms + seconds * 1_000),
            members: &members,
            member_count: member_count as u32,
            messages: &messages,
        };
        let busy = channel.room.beat.busy;
        let events = [RoomEvent::Seated { room, seq }, init];
        let mut bytes = Vec::new();
        for event in events {
            self.wire.encode(Format::QUIC, &[Event::Room(event)], &mut bytes);
        }
        if busy {
            let mark = RoomEvent::Busy { on: true, first_seq: seq + 1 };
            self.wire.encode(Format::QUIC, &[Event::Room(mark)], &mut bytes);
        }
        self.stats.event(crate::EventKind::Room, 1);
        self.deliver_member(actor.channel, actor.conn, actor.at, &bytes, 1);
    }

    // At the owner, for seats of other shards.

    pub(super) fn on_sit(
        &mut self,
        now: Now,
        from: ShardId,
        conn: ConnId,
        profile: Profile,
        request: SeatRequest,
    ) {
        let profile = Rc::new(profile);
        if self.waits_for_room(now, Some(from), conn, &profile, &request) {
            return;
        }
        match self.seating(now, conn, &profile, &request) {
            Seating::Elsewhere(next) => {
                self.mesh(from, Mesh::SitElsewhere { conn, request: Box::new(next) });
            }
            Seating::Refused(fault) => {
                let bytes = self.refusal(now, &profile, &request, fault).into();
                self.mesh(from, Mesh::SeatEnded { conn, bytes, heard: 0 });
            }
            Seating::In(idx) => {
                self.say_incoming(now, idx, profile.user);
                let (participant, regained) = self.take_part(now, idx, &profile, Coming::default());
                let at = At::Away(from, Format::QUIC);
                self.tell_changes(idx);
                // What was broadcast before is not for it.
                self.ship(idx);
                self.add_member(idx, participant, conn, at);
                self.add_away(idx, from, Format::QUIC);
                self.away.insert(conn, (idx, participant));
                let of = ChannelRef { owner: self.id, channel: idx };
                self.mesh(from, Mesh::Seated { conn, of });
                let actor = Actor { channel: idx, participant, conn, at };
                self.settle(now, actor, &profile, &request, regained);
            }
        }
    }

    /// A seat of another shard is gone, with its session.
    pub(super) fn on_seat_gone(&mut self, now: Now, from: ShardId, conn: ConnId, how: Departure) {
        let Some(actor) = self.relayed_actor(from, conn) else {
            return self.forget_waiting_seat(conn);
        };
        self.departure = how;
        self.forget_requests(conn);
        self.release(now, actor.channel, actor.participant, conn, |_| None);
        self.departure = Departure::default();
    }

    /// A member takes its seat away by its own wish or somebody else's. It is told behind everything else.
    pub(super) fn take_seat(
        &mut self,
        now: Now,
        idx: u32,
        participant: u32,
        member: Member,
        last: Vec<u8>,
    ) {
        let (conn, room) = (member.conn, self.channels[idx as usize].room.id);
        let mut bytes = self.refuse_rest(conn, room);
        bytes.extend(last);
        let heard = self.forget_requests(conn);
        match member.at {
            At::Here(slot) => {
                self.unseat(now, slot);
                self.end_seat(slot, &bytes, Vec::new());
            }
            At::Away(..) => {
                self.release(now, idx, participant, conn, |_| {
                    Some(Mesh::SeatEnded { conn, bytes: bytes.into(), heard })
                });
            }
        }
    }

    // At home.

    pub(super) fn on_seated(&mut self, from: ShardId, conn: ConnId, of: ChannelRef) {
        // One that ended meanwhile has told the owner so, behind its wish.
        let Some(slot) = self.conns.find(conn) else { return };
        self.conns[slot].extra().awaits = None;
        self.seat_relayed(slot, from, of);
        self.resume(slot);
    }

    pub(super) fn on_sit_elsewhere(&mut self, now: Now, conn: ConnId, request: SeatRequest) {
        let Some(slot) = self.conns.find(conn) else { return };
        self.conns[slot].extra().awaits = None;
        let key = self.conns.key(slot);
        self.seek_seat(now, slot, request);
        if let Some(slot) = self.conns.slot(key) {
            self.resume(slot);
        }
    }

    /// Takes the seats of a session away that is about to end.
    pub(super) fn dismantle_seats(&mut self, now: Now, session: Key) {
        let seats = self.seats.of(session).to_vec();
        for slot in seats {
            self.dismantle_seat(now, slot);
        }
    }

    /// Takes a seat out of everything without telling its session, which is gone.
    pub(super) fn dismantle_seat(&mut self, now: Now, slot: u32) {
        let (conn, how) = (self.conns[slot].id, self.departure);
        let owner = match (self.conns[slot].seat, self.conns[slot].awaits()) {
            (Seat::Relayed { relay }, _) => Some(self.relays[relay as usize].of.owner),
            (_, Some(Awaits::Room { owner })) => Some(*owner),
            _ => None,
        };
        if matches!(self.conns[slot].seat, Seat::Relayed { .. }) {
            self.unseat_relayed(slot);
        }
        self.unseat(now, slot);
        self.forget_requests(conn);
        self.asking.forget(slot);
        match owner {
            Some(owner) if owner == self.id => self.forget_waiting_seat(conn),
            Some(owner) => self.mesh(owner, Mesh::SeatGone { conn, how }),
            None => {}
        }
        self.seats.remove(slot);
        self.extract(slot);
    }

    /// The session's user is called otherwise now: so are its seats.
    pub(super) fn rename_seats(&mut self, session: Key, profile: &Rc<Profile>) {
        let seats = self.seats.of(session).to_vec();
        for slot in seats {
            let conn = self.conns[slot].id;
            self.conns[slot].profile = Some(profile.clone());
            match (self.conns[slot].seat, self.conns[slot].awaits()) {
                (Seat::Owned { channel, participant }, _) => {
                    self.show_profile(channel, participant, profile);
                }
                (Seat::Relayed { relay }, _) => {
                    let owner = self.relays[relay as usize].of.owner;
                    let profile = Box::new((**profile).clone());
                    self.mesh(owner, Mesh::MemberProfile { conn, profile });
                }
                (Seat::None, Some(Awaits::Room { owner })) if *owner == self.id => {
                    self.rename_waiting_seat(conn, profile);
                }
                (Seat::None, Some(Awaits::Room { owner })) => {
                    let (owner, profile) = (*owner, Box::new((**profile).clone()));
                    self.mesh(owner, Mesh::MemberProfile { conn, profile });
                }
                (Seat::None, _) => {}
            }
        }
    }

    /// The session that a seat belongs to.
    #[must_use]
    pub fn session_of(&self, key: Key) -> Option<Key> {
        let slot = self.conns.slot(key)?;
        self.seats.session_of(slot)
    }

    /// The shard that owns a room. Rooms and channels are the same, so this is where [`Shard::owner`] leads.
    #[must_use]
    pub fn owner_of_room(&self, room: RoomId) -> ShardId {
        self.placement.of_room(room)
    }

    /// The listed channels behind `after`, most people first, then by name: for doors whose peers ask for pages.
    ///
    /// `after` is the count and name at which the last page ended. With a `filter`, at most [`ROOMS_LOOKED_AT`] are
    /// looked at for it, whatever of them is found.
    pub fn rooms_listed(
        &self,
        after: Option<(u32, &str)>,
        filter: Option<&str>,
        limit: usize,
    ) -> RoomPage<'_> {
        let mut page = RoomPage { rooms: Vec::new(), next: None };
        let (mut looked_at, mut shown) = (None, None);
        for (n, (count, name)) in self.directory.ranked_after(after).enumerate() {
            if n >= ROOMS_LOOKED_AT {
                page.next = looked_at;
                break;
            }
            looked_at = Some((count, name.as_str()));
            if !filter.is_none_or(|part| name.as_str().contains(part)) {
                continue;
            }
            if page.rooms.len() >= limit {
                page.next = shown;
                break;
            }
            shown = looked_at;
            page.rooms.extend(self.directory.get(name));
        }
        page
    }
}

/// Most channels that are looked at for one page of the list. A page costs no more than that, however many there are;
/// names that contain what is looked for may then be on a later page.
pub const ROOMS_LOOKED_AT: usize = 2_000;

/// A page of the list of channels.
#[derive(Debug)]
pub struct RoomPage<'a> {
    /// What is on it.
    pub rooms: Vec<&'a crate::ChannelInfo>,
    /// The count and name of the channel behind which the next page begins; `None` on the last.
    pub next: Option<(u32, &'a str)>,
}

impl crate::channel::Channel {
    pub(crate) fn room_view(&self) -> RoomView<'_> {
        RoomView {
            room: self.room.id,
            kind: self.kind_of_room(),
            name: self.private.as_ref().map_or(self.name.as_str(), |private| &private.title),
            topic: self.room.topic(),
            post_role: self.room.post_role,
            visible: self.settings.visible,
            chat: self.settings.chat,
            text_length_max: self.text_length_max(),
        }
    }
}
