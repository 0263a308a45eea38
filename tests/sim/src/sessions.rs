//! Sessions that sit in several rooms at once, as a door with such sessions has to drive them.
//!
//! A session's transport takes all that the core sends: what waits for a client is counted by the session, not by the
//! core. A session asks for one seat at a time, and leaves one at a time.

use crate::{
    draw::Draw,
    room_view::SeatView,
    room_wire::{self, Change, RoomTold},
    view::Stream,
    wire::channel_name,
    world::World,
};
use std::collections::{BTreeMap, BTreeSet};
use tutti_shards::{
    ChannelName, CloseReason, Color, Command, Departure, DoorKind, Emoji, Flow, Guise, Key,
    LookRequest, MessageId, Role, RoomCommand, RoomId, RoomRequest, RoomText, RoomWish,
    SeatRequest, SettingsPatch, UserId, UserName, UserNumber, Whom,
};

/// To whom a key of a shard belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Session(usize),
    Seat(usize, usize),
}

/// A seat of a session.
#[derive(Debug)]
pub(crate) struct Seat {
    key: Key,
    pub(crate) view: SeatView,
    pub(crate) ended: bool,
    leaving: bool,
    /// Its user was said to belong there since.
    again: bool,
    /// What its room is called at other doors, and the last that was said there: the order is the same for all.
    channel: Option<String>,
    last_chat: Option<String>,
}

/// Who somebody at this door is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    user: UserId,
    name: String,
    account: Option<u64>,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) shard: usize,
    key: Key,
    pub(crate) identity: Identity,
    pub(crate) welcome: bool,
    refused: bool,
    pub(crate) gone: bool,
    pub(crate) seats: Vec<Seat>,
    /// Rooms in which it will sit, and whether it asks for that itself, because it was invited.
    due: BTreeMap<u64, bool>,
    /// Rooms that it could not have, and asks for again.
    later: BTreeSet<u64>,
    number: usize,
    asked: u32,
    looking: Option<String>,
}

/// All sessions and what belongs to them.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) all: Vec<Session>,
    /// For each shard, to whom a key belongs.
    pub(crate) keys: Vec<BTreeMap<u64, Owner>>,
    /// What was sent and not looked at yet.
    pub(crate) mail: Vec<(Owner, Vec<u8>)>,
    /// Rooms that somebody was in, to be asked for by number.
    known: BTreeSet<u64>,
    draw: Draw,
    /// What happened, for the report.
    pub(crate) told: u64,
    pub(crate) seated: u64,
    pub(crate) undone: u64,
}

impl Sessions {
    pub(crate) fn new(seed: u64, shards: usize) -> Self {
        Sessions {
            all: Vec::new(),
            keys: vec![BTreeMap::new(); shards],
            mail: Vec::new(),
            known: BTreeSet::new(),
            draw: Draw::new(seed, 13),
            told: 0,
            seated: 0,
            undone: 0,
        }
    }

    pub(crate) fn owner(&self, shard: usize, key: Key) -> Option<Owner> {
        self.keys[shard].get(&key.to_u64()).copied()
    }

    /// Those that are there, by number.
    fn live(&self) -> Vec<usize> {
        (0..self.all.len()).filter(|&n| !self.all[n].gone).collect()
    }

    /// The server is gone, and with it all sessions.
    pub(crate) fn crash(&mut self, shards: usize) {
        self.all.iter_mut().for_each(|session| session.gone = true);
        self.keys = vec![BTreeMap::new(); shards];
        self.known.clear();
        self.mail.clear();
    }
}

impl Session {
    /// The seats that are there.
    pub(crate) fn live_seats(&self) -> impl Iterator<Item = (usize, &Seat)> {
        self.seats.iter().enumerate().filter(|(_, seat)| !seat.ended)
    }

    /// Whether it is in a room with a seat other than `but`.
    fn is_in(&self, room: u64, but: usize) -> bool {
        self.live_seats().any(|(n, seat)| n != but && seat.view.room == Some(room))
    }

    fn is_moving(&self) -> bool {
        self.live_seats().any(|(_, seat)| seat.leaving || !seat.view.is_inside())
    }

    /// A number for a question.
    fn nonce(&mut self) -> String {
        self.asked += 1;
        self.last_nonce()
    }

    /// The last of them. Sessions of one user do not use the same ones, or one would be answered what another said.
    fn last_nonce(&self) -> String {
        format!("n{}.{}", self.number, self.asked)
    }
}

/// The people of this door.
fn identity(n: usize) -> Identity {
    let user = UserId([0xcd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n as u8]);
    // Two of three have accounts, whose membership of rooms outlives their connections.
    let account = (!n.is_multiple_of(3)).then_some(100 + n as u64);
    Identity { user, name: format!("quic {n}"), account }
}

impl World {
    fn whom(&self, identity: &Identity) -> Whom {
        match identity.account {
            Some(account) => Whom { number: UserNumber(account), user: Some(identity.user) },
            None => {
                let number = self.setup.config.number_key.stranger(identity.user);
                Whom { number, user: None }
            }
        }
    }

    /// A session does something, or one comes or goes.
    pub(crate) fn sessions_act(&mut self) {
        let live = self.sessions.live();
        let draw = &mut self.sessions.draw;
        if live.is_empty() || live.len() < self.setup.sessions && draw.chance(20) {
            return self.open_session();
        }
        let n = *draw.pick(&live);
        if draw.chance(20) {
            let session = &mut self.sessions.all[n];
            let later = std::mem::take(&mut session.later);
            for room in later {
                session.due.entry(room).or_insert(false);
            }
        }
        let draw = &mut self.sessions.draw;
        if draw.chance(2) {
            let how = *draw.pick(&[Departure::Left, Departure::Disconnected]);
            return self.end_session(n, how);
        }
        let session = &self.sessions.all[n];
        if !session.welcome || session.refused {
            return;
        }
        let moving = session.is_moving();
        let inside: Vec<usize> = session
            .live_seats()
            .filter(|(_, seat)| seat.view.is_inside() && !seat.leaving)
            .map(|(at, _)| at)
            .collect();
        let what = self.sessions.draw.below(100);
        match what {
            0..18 if !moving && inside.len() < 8 => self.seek_seat(n),
            18..22 => self.look(n),
            22..25 => {
                let (s, key) = (session.shard, session.key);
                let away = self.sessions.draw.chance(50);
                let now = self.now();
                self.nodes[s].shard.set_presence(now, key, away, None);
                self.outputs(s);
            }
            _ if inside.is_empty() => {}
            25..33 if moving => {}
            25..33 => {
                let at = *self.sessions.draw.pick(&inside);
                self.sessions.all[n].seats[at].leaving = true;
                self.ask(n, at, RoomCommand::Leave);
            }
            _ => {
                let at = *self.sessions.draw.pick(&inside);
                let times = if self.sessions.draw.chance(10) { 12 } else { 1 };
                for _ in 0..times {
                    let command = self.something(n, at);
                    self.ask(n, at, command);
                }
            }
        }
        let s = self.sessions.all[n].shard;
        self.outputs(s);
    }

    fn open_session(&mut self) {
        let s = self.sessions.draw.below(self.nodes.len());
        let identity = identity(self.sessions.draw.below(self.setup.session_users));
        let now = self.now();
        let n = self.sessions.all.len();
        let (key, conn) = self.nodes[s].shard.open_session(now);
        self.note(|| format!("session {n} of {identity:?} opens on shard {s} as {conn}"));
        self.sessions.keys[s].insert(key.to_u64(), Owner::Session(n));
        let guise = Guise {
            door: DoorKind::Quic,
            account: identity.account.and_then(std::num::NonZeroU64::new),
            name: UserName::parse(&identity.name, 40).expect("it is a name"),
            tag: None,
            alone: false,
        };
        let user = identity.user;
        self.sessions.all.push(Session {
            shard: s,
            key,
            identity,
            welcome: false,
            refused: false,
            gone: false,
            seats: Vec::new(),
            due: BTreeMap::new(),
            later: BTreeSet::new(),
            number: n,
            asked: 0,
            looking: None,
        });
        let enter = Command::Enter { user, guise: Box::new(guise) };
        self.nodes[s].shard.handle_command(now, key, enter);
        self.outputs(s);
    }

    fn end_session(&mut self, n: usize, how: Departure) {
        let (s, key) = (self.sessions.all[n].shard, self.sessions.all[n].key);
        self.note(|| format!("session {n} ends: {how:?}"));
        let now = self.now();
        self.forget_session(n);
        self.nodes[s].shard.end_session(now, key, how);
        self.outputs(s);
    }

    fn forget_session(&mut self, n: usize) {
        let session = &mut self.sessions.all[n];
        session.gone = true;
        self.sessions.keys[session.shard].remove(&session.key.to_u64());
        for seat in &mut session.seats {
            self.sessions.keys[session.shard].remove(&seat.key.to_u64());
            seat.ended = true;
        }
    }

    /// A session goes somewhere: to a room by name or number, to somebody, or to a new group.
    fn seek_seat(&mut self, n: usize) {
        let draw = &mut self.sessions.draw;
        let mut others = Vec::new();
        for _ in 0..draw.below(3) {
            others.push(identity(draw.below(self.setup.session_users)));
        }
        let invites: Box<[Whom]> = others.iter().map(|other| self.whom(other)).collect();
        let draw = &mut self.sessions.draw;
        let wish = match draw.below(if self.setup.private { 100 } else { 70 }) {
            0..64 => RoomWish::Named {
                name: channel_name(draw.pick::<&str>(&self.setup.rooms)),
                topic: draw.chance(20).then(|| "from the start".into()),
                new: draw.chance(5),
                invites,
            },
            64..70 => {
                let known: Vec<u64> = self.sessions.known.iter().copied().collect();
                let number = if known.is_empty() { 9_999 } else { *draw.pick(&known) };
                RoomWish::Numbered(RoomId(number))
            }
            70..88 => {
                let other = identity(draw.below(self.setup.session_users));
                RoomWish::Direct(self.whom(&other))
            }
            _ => RoomWish::Group { title: "group".into(), topic: None, invites },
        };
        // Whoever sits there already is told so by its door.
        let room = match &wish {
            RoomWish::Named { name, .. } => Some(self.setup.config.number_key.room(name).0),
            RoomWish::Numbered(room) => Some(room.0),
            _ => None,
        };
        if room.is_some_and(|room| self.sessions.all[n].is_in(room, usize::MAX)) {
            return;
        }
        self.sit(n, wish, true);
    }

    fn sit(&mut self, n: usize, wish: RoomWish, asked: bool) {
        let session = &mut self.sessions.all[n];
        let nonce = asked.then(|| session.nonce());
        let mut view = SeatView::new(format!("seat {}.{}", n, session.seats.len()));
        if let Some(nonce) = &nonce {
            view.ask(nonce);
        }
        let (s, key) = (session.shard, session.key);
        self.note(|| format!("session {n} wants to sit: {wish:?}"));
        let now = self.now();
        let request = SeatRequest::new(wish, nonce.map(Into::into), asked.then_some(1));
        let seat = self.nodes[s].shard.sit(now, key, request).expect("the session is known");
        let session = &mut self.sessions.all[n];
        let owner = Owner::Seat(n, session.seats.len());
        session.seats.push(Seat {
            key: seat,
            view,
            ended: false,
            leaving: false,
            again: false,
            channel: None,
            last_chat: None,
        });
        let before = self.sessions.keys[s].insert(seat.to_u64(), owner);
        assert!(before.is_none(), "a key names one seat");
        self.outputs(s);
    }

    /// Sessions take their seats where their users belong.
    pub(crate) fn sit_where_due(&mut self, s: usize) {
        for n in self.sessions.live() {
            let session = &mut self.sessions.all[n];
            if session.shard != s || !session.welcome || session.is_moving() {
                continue;
            }
            while let Some((room, asked)) = session.due.pop_first() {
                if !session.is_in(room, usize::MAX) {
                    self.sit(n, RoomWish::Numbered(RoomId(room)), asked);
                    break;
                }
            }
        }
    }

    fn look(&mut self, n: usize) {
        let session = &mut self.sessions.all[n];
        let (s, key) = (session.shard, session.key);
        if session.looking.is_some() || self.nodes[s].shard.flow(key) != Flow::Continue {
            return;
        }
        let nonce = session.nonce();
        session.looking = Some(nonce.clone());
        let draw = &mut self.sessions.draw;
        let name = draw.chance(50).then(|| format!("known as {}", draw.below(50)));
        let request = LookRequest {
            nonce: Some(nonce.into()),
            kind: 2,
            name: name.and_then(|name| UserName::parse(&name, 40)),
            color: draw.chance(70).then(|| Color([draw.bits() as u8, 7, 7])),
            avatar: None,
        };
        let now = self.now();
        self.nodes[s].shard.handle_command(now, key, Command::Look(Box::new(request)));
        self.outputs(s);
    }

    /// Something to do in a room.
    fn something(&mut self, n: usize, at: usize) -> RoomCommand {
        let view = &self.sessions.all[n].seats[at].view;
        let (messages, members) = (view.messages(), view.members());
        let other = identity(self.sessions.draw.below(self.setup.session_users));
        let stranger = self.whom(&other);
        let govern = self.setup.govern;
        let draw = &mut self.sessions.draw;
        let message = MessageId(match messages.len() {
            0 => 77,
            // The last ones are the ones that are kept still.
            count => messages[count - 1 - draw.below(count.min(6))],
        });
        let members: Vec<u64> = members.into_keys().collect();
        let user = UserNumber(*draw.pick(&members));
        let emoji = Emoji::new(draw.pick::<&str>(&["a", "b", "c"])).expect("it is short");
        let text = |draw: &mut Draw| {
            RoomText::parse(&format!("q{n}.{}", draw.bits()), 512).expect("it is a text")
        };
        match draw.below(if govern { 100 } else { 72 }) {
            0..36 => RoomCommand::Say {
                text: text(draw),
                reply_to: draw.chance(20).then_some(message),
                action: false,
                attachments: Vec::new(),
            },
            36..42 => RoomCommand::Edit { message, text: text(draw) },
            42..46 => RoomCommand::Delete { message },
            46..54 => RoomCommand::React { message, emoji },
            54..60 => RoomCommand::Unreact { message, emoji, of: draw.chance(20).then_some(user) },
            60..64 => RoomCommand::History {
                before: draw.chance(50).then_some(message),
                after: None,
                limit: draw.within(1, 40) as u32,
            },
            64..66 => RoomCommand::Typing(draw.chance(50)),
            66 => RoomCommand::MayPost { ticket: u64::from(draw.chance(50)) },
            67..70 => RoomCommand::Receipt { message, read: draw.chance(50) },
            70..72 => RoomCommand::Invite(stranger),
            72..76 => RoomCommand::Kick { user, reason: None },
            76..79 => RoomCommand::Ban { user, ms: *draw.pick(&[1, 500, 5_000]) },
            79..81 => RoomCommand::Unban(stranger),
            81..84 => RoomCommand::Mute { user, ms: *draw.pick(&[0, 300, 5_000]) },
            84..92 => {
                let roles = [Role::Guest, Role::Member, Role::Moderator, Role::Admin, Role::Owner];
                RoomCommand::SetRole { user, role: *draw.pick(&roles) }
            }
            92..98 => RoomCommand::Update {
                title: draw.chance(20).then(|| "renamed".into()),
                topic: draw.chance(50).then(|| format!("topic {}", draw.below(3)).into()),
                post_role: draw.chance(20).then(|| *draw.pick(&[Role::Member, Role::Moderator])),
                set: Box::new(SettingsPatch {
                    visible: draw.chance(20).then(|| draw.chance(70)),
                    ..SettingsPatch::default()
                }),
            },
            _ => RoomCommand::Dissolve,
        }
    }

    fn ask(&mut self, n: usize, at: usize, command: RoomCommand) {
        let s = self.sessions.all[n].shard;
        let session = &mut self.sessions.all[n];
        if session.seats[at].ended {
            return;
        }
        let flow = self.nodes[s].shard.flow(session.seats[at].key);
        if flow == Flow::Gone {
            // Its end is among the outputs.
            return;
        }
        assert_eq!(flow, Flow::Continue, "a seat that is inside is not paused");
        let silent = matches!(command, RoomCommand::Typing(_) | RoomCommand::Receipt { .. });
        let said = matches!(command, RoomCommand::Say { .. });
        let nonce = if silent {
            None
        } else if said && session.asked > 0 && self.sessions.draw.chance(5) {
            // The same once more: it is answered, and not said again.
            Some(session.last_nonce())
        } else {
            Some(session.nonce())
        };
        let seat = &mut session.seats[at];
        if let Some(nonce) = &nonce {
            seat.view.ask(nonce);
        }
        let key = seat.key;
        self.note(|| format!("seat {n}.{at} asks {nonce:?}: {command:?}"));
        let request = RoomRequest { nonce: nonce.map(Into::into), kind: 3, command };
        let now = self.now();
        self.nodes[s].shard.handle_command(now, key, Command::Room(Box::new(request)));
    }

    // What the core says.

    /// Looks at what sessions and seats were sent.
    pub(crate) fn read_mail(&mut self) {
        for (owner, bytes) in std::mem::take(&mut self.sessions.mail) {
            self.trace(&bytes);
            for told in room_wire::decode(&bytes) {
                self.sessions.told += 1;
                match owner {
                    Owner::Session(n) => self.session_told(n, &told),
                    Owner::Seat(n, at) => self.seat_told(n, at, &told),
                }
            }
        }
    }

    fn session_told(&mut self, n: usize, told: &RoomTold) {
        self.note(|| format!("session {n} is told {told:?}"));
        let session = &mut self.sessions.all[n];
        match told {
            RoomTold::Welcome => {
                assert!(!session.welcome, "session {n} is welcomed once");
                session.welcome = true;
            }
            RoomTold::Refusal => session.refused = true,
            RoomTold::Belongs(rooms) => {
                for &room in rooms {
                    let seats = session.seats.iter_mut().filter(|seat| !seat.ended);
                    match seats.into_iter().find(|seat| seat.view.room == Some(room)) {
                        Some(seat) => seat.again = true,
                        None => drop(session.due.insert(room, false)),
                    }
                }
            }
            RoomTold::Invited(room) => {
                // Half of those who are invited come.
                if self.sessions.draw.chance(50) {
                    session.due.entry(*room).or_insert(true);
                }
            }
            RoomTold::Done { nonce } | RoomTold::Refused { nonce, .. } => {
                assert_eq!(session.looking.take(), *nonce, "session {n} is answered once");
            }
            other => panic!("session {n} is no seat, and was told {other:?}"),
        }
    }

    fn seat_told(&mut self, n: usize, at: usize, told: &RoomTold) {
        self.note(|| format!("seat {n}.{at} is told {told:?}"));
        let session = &mut self.sessions.all[n];
        let view = &mut session.seats[at].view;
        view.take(told, &mut self.rooms);
        let seat = &mut session.seats[at];
        if let RoomTold::Numbered { change: Change::Message(said), .. } = told
            && let Some(channel) = &seat.channel
        {
            let id = said.id.to_string();
            if let Some(last) = seat.last_chat.replace(id.clone()) {
                // Sessions are told apart from peers.
                let (who, stream) = (1_000_000 + n, Stream::Chat(channel.clone()));
                self.ledger.follows(who, &stream, &last, &id);
            }
        }
        if let RoomTold::Later(room) = told {
            session.later.insert(*room);
        }
        if let RoomTold::Init { room, sign, .. } = told {
            let room = *room;
            let key = self.setup.config.number_key;
            let name = ChannelName::parse(&sign.name).filter(|name| key.room(name).0 == room);
            seat.channel = name.map(|name| name.as_str().to_owned());
            self.sessions.seated += 1;
            self.sessions.known.insert(room);
            session.due.remove(&room);
            if session.is_in(room, at) {
                // A full lobby led to where it is already.
                session.seats[at].leaving = true;
                self.ask(n, at, RoomCommand::Unseat);
            }
        }
    }

    /// A seat is gone, with the last that it is told, and what its door has to answer in place of its room.
    pub(crate) fn seat_ended(&mut self, s: usize, key: Key, last: Vec<u8>, undone: &[RoomRequest]) {
        let owner = self.sessions.keys[s].remove(&key.to_u64());
        let Some(Owner::Seat(n, at)) = owner else { panic!("a seat that ends is one: {owner:?}") };
        self.read_mail();
        self.sessions.mail.push((Owner::Seat(n, at), last));
        self.read_mail();
        self.note(|| format!("seat {n}.{at} ended"));
        let session = &mut self.sessions.all[n];
        let seat = &mut session.seats[at];
        seat.ended = true;
        for request in undone {
            seat.view.undone(request.nonce.as_deref());
            self.sessions.undone += 1;
        }
        assert!(seat.view.pending.is_empty(), "seat {n}.{at} is answered: {:?}", seat.view.pending);
        if seat.again
            && let Some(room) = seat.view.room
        {
            session.due.insert(room, false);
        }
        let seat = &session.seats[at];
        let view = &seat.view;
        let end = (view.refused.is_some(), view.closed.is_some(), view.room.is_some());
        // A seat that nobody asked for is refused without a word.
        assert!(matches!(end, (true, false, false) | (false, true, true) | (false, false, false)));
    }

    /// The core closes a session; whether it was one.
    pub(crate) fn session_closed(
        &mut self,
        s: usize,
        key: Key,
        reason: CloseReason,
        unsent: &[u8],
    ) -> bool {
        let Some(Owner::Session(n)) = self.sessions.owner(s, key) else { return false };
        self.read_mail();
        self.sessions.mail.push((Owner::Session(n), unsent.to_vec()));
        self.read_mail();
        self.note(|| format!("shard {s} closes session {n}: {reason:?}"));
        self.forget_session(n);
        true
    }

    // What must hold.

    /// How many connections of the core sessions and their seats are, on all shards.
    pub(crate) fn n_session_conns(&self) -> usize {
        self.sessions.keys.iter().map(BTreeMap::len).sum()
    }

    /// When nothing is on its way: how many seats sit somewhere, and how many sessions are known.
    ///
    /// # Panics
    /// When a seat knows something else than the owner of its room.
    pub(crate) fn check_sessions(&self) -> (usize, usize) {
        let (mut seated, mut known) = (0, 0);
        for (n, session) in self.sessions.all.iter().enumerate().filter(|(_, s)| !s.gone) {
            assert!(session.welcome || session.refused, "session {n} was answered");
            assert!(session.looking.is_none(), "session {n} knows what it looks like");
            known += usize::from(session.welcome);
            let mut private = BTreeSet::new();
            for (at, seat) in session.live_seats() {
                let view = &seat.view;
                assert!(view.is_inside() && !seat.leaving, "seat {n}.{at} is somewhere");
                assert!(view.pending.is_empty(), "seat {n}.{at} was answered: {:?}", view.pending);
                seated += 1;
                let room = RoomId(view.room.expect("it is inside"));
                let owner = self.nodes.iter().find_map(|node| node.shard.room_seen(room));
                let seen = owner.expect("a room with a seat is there");
                assert_eq!(view.seq, seen.seq, "seat {n}.{at} was told all of {room:?}");
                let members: BTreeMap<u64, String> = seen
                    .people
                    .into_iter()
                    .map(|(user, role)| (user.0, role.word().to_owned()))
                    .collect();
                assert_eq!(view.members(), members, "seat {n}.{at} knows who is in {room:?}");
                if seen.is_private {
                    private.insert(room.0);
                }
            }
            let user = session.identity.user;
            let shards = self.nodes.iter().map(|node| &node.shard);
            let belongings: BTreeSet<u64> = shards
                .flat_map(|shard| shard.belongings().collect::<Vec<_>>())
                .filter(|(other, _)| *other == user)
                .map(|(_, room)| room.0)
                .collect();
            // One that no room took in while the storage was silent comes back to it with its next session.
            let is_sure = self.storage.is_faithful() && !self.setup.limits;
            let is_there = private == belongings || !is_sure && private.is_subset(&belongings);
            assert!(is_there, "session {n} is where {user} belongs: {private:?}, {belongings:?}");
        }
        (seated, known)
    }
}
