//! Nicks: who at a terminal is called what, and what people say to each other in private.
//!
//! A nick is kept by the shard that its hash picks, without regard to case: whoever claims it first there has it. A
//! connection waits for the answer, so of two that ask for one nick at once exactly one gets it. A private message goes
//! by way of that shard to wherever the nick's connection is, and after it if it went on; whoever wrote it waits to be
//! told that it arrived.

use super::Shard;
use crate::{
    ConnId, DoorKind, Entry, Event, LineError, LineEvent, Login, Nick, Now, Profile, RoomId,
    ShardId, UserId, Wire,
    conn::{AtTerminal, Awaits, JoinRequest, ProfileWish},
    mesh::{Letter, Mesh, Writer},
    users::Presence,
};
use ahash::RandomState;
use smallvec::SmallVec;
use std::collections::HashMap;

/// The nicks that a shard keeps.
#[derive(Debug)]
pub(super) struct Nicks {
    holders: HashMap<Box<str>, Presence, RandomState>,
}

impl Nicks {
    pub(super) fn new(hasher: RandomState) -> Self {
        Nicks { holders: HashMap::with_hasher(hasher) }
    }

    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, ConnId)> {
        self.holders.iter().map(|(key, holder)| (&**key, holder.conn))
    }

    fn claim(&mut self, key: Box<str>, by: Presence) -> bool {
        self.holders.entry(key).or_insert(by).conn == by.conn
    }

    fn release(&mut self, key: &str, conn: ConnId) {
        if self.holders.get(key).is_some_and(|holder| holder.conn == conn) {
            self.holders.remove(key);
        }
    }

    fn moved(&mut self, key: &str, to: Presence) {
        if let Some(holder) = self.holders.get_mut(key)
            && holder.conn == to.conn
            && holder.hops < to.hops
        {
            *holder = to;
        }
    }
}

impl<W: Wire> Shard<W> {
    /// The shard that keeps a nick.
    pub(super) fn keeper(&self, key: &str) -> ShardId {
        self.placement.of_nick(key)
    }

    /// The nicks that are kept here, and whose they are, for checks across shards.
    pub fn nicks(&self) -> impl Iterator<Item = (&str, ConnId)> {
        self.nicks.iter()
    }

    pub(super) fn login(&mut self, now: Now, slot: u32, login: Login) {
        let conn = &mut self.conns[slot];
        if conn.profile.is_some() {
            return;
        }
        conn.extra().line =
            Some(Box::new(AtTerminal { origin: login.origin, ..AtTerminal::default() }));
        self.want_nick(now, slot, login.nick, Some((login.user, login.last)));
    }

    /// Claims a nick, for a login or to change to it.
    fn want_nick(
        &mut self,
        now: Now,
        slot: u32,
        nick: Nick,
        login: Option<(Option<UserId>, bool)>,
    ) {
        let (id, hops) = (self.conns[slot].id, self.conns[slot].hops);
        self.conns[slot].extra().awaits = Some(Awaits::Nick { nick: nick.clone(), login });
        let keeper = self.keeper(&nick.key());
        if keeper == self.id {
            self.claim_here(now, slot, nick.key());
        } else {
            let user = self.conns[slot].profile.as_ref().map(|profile| profile.user);
            self.mesh(keeper, Mesh::ClaimNick { key: nick.key(), conn: id, hops, user });
        }
    }

    /// Claims what is kept by this shard for a connection of it, which waits for that.
    pub(super) fn claim_here(&mut self, now: Now, slot: u32, key: Box<str>) {
        let (id, hops) = (self.conns[slot].id, self.conns[slot].hops);
        let granted = self.nicks.claim(key.clone(), Presence::new(id, self.id, hops));
        self.on_nick_claimed(now, (id, None), key, hops, granted);
    }

    pub(super) fn on_claim_nick(
        &mut self,
        from: ShardId,
        key: Box<str>,
        conn: ConnId,
        hops: u16,
        user: Option<UserId>,
    ) {
        let granted = self.nicks.claim(key.clone(), Presence::new(conn, from, hops));
        self.mesh(from, Mesh::NickClaimed { key, conn, hops, user, granted });
    }

    pub(super) fn on_nick_claimed(
        &mut self,
        now: Now,
        (conn, user): (ConnId, Option<UserId>),
        claimed: Box<str>,
        hops: u16,
        granted: bool,
    ) {
        let Some(slot) = self.conns.find(conn) else {
            // Who is nobody yet goes nowhere.
            match user {
                Some(user) => {
                    let message =
                        Mesh::NickClaimed { key: claimed, conn, hops, user: Some(user), granted };
                    self.follow(now, user, conn, message);
                }
                None if granted => self.give_nick_back(claimed, conn),
                None => {}
            }
            return;
        };
        let key = self.conns.key(slot);
        let (nick, login) = match self.conns[slot].extra().awaits.take() {
            Some(Awaits::Nick { nick, login }) if nick.key() == claimed => (nick, login),
            Some(Awaits::Name { key: wanted, wish }) if wanted == claimed => {
                self.name_claimed(now, slot, claimed, wish, granted);
                if let Some(slot) = self.conns.slot(key) {
                    self.resume(slot);
                }
                return;
            }
            other => {
                self.conns[slot].extra().awaits = other;
                return;
            }
        };
        if granted && self.conns[slot].hops != hops {
            // It moved while it waited, and may have said so before its claim was heard.
            self.tell_keeper(slot, &claimed);
        }
        match login {
            Some((user, _)) if granted => self.enlist(now, slot, user, nick),
            Some((_, last)) => {
                self.stats.limit(crate::Limit::NickTaken);
                self.tell(slot, &[Event::Line(LineEvent::NickTaken { again: !last })]);
                if last {
                    return self.close(now, slot, crate::CloseReason::NickTaken);
                }
            }
            None if granted => {
                self.change_nick(now, slot, nick);
            }
            None => self.refuse_line(slot, &LineError::NickTaken),
        }
        if let Some(slot) = self.conns.slot(key) {
            self.resume(slot);
        }
    }

    /// One whose nick is its own becomes a user.
    fn enlist(&mut self, now: Now, slot: u32, user: Option<UserId>, nick: Nick) {
        let (conn, hops) = (self.conns[slot].id, self.conns[slot].hops);
        if let Some(user) = user {
            let owner = self.owner_of_user(user);
            if owner != self.id {
                let nick_held = Some(nick.clone());
                let awaits = Awaits::Welcome { user, token: None, nick: nick_held, name: None };
                self.conns[slot].extra().awaits = Some(awaits);
                return self.mesh(owner, Mesh::Hello { user, conn, nick: Some(nick), guise: None });
            }
            let presence = Presence::new(conn, self.id, hops);
            if self.waits_for_user(now, user, presence, Some(&nick), None) {
                let awaits = Awaits::Welcome { user, token: None, nick: Some(nick), name: None };
                self.conns[slot].extra().awaits = Some(awaits);
                return;
            }
            let new = || Profile::new(user, now.wall_ms);
            let welcome = self.arrive(user, true, presence, (Some(&nick), None), new);
            if welcome.is_some() {
                return self.welcome_line(now, slot, welcome, nick);
            }
        }
        self.welcome_line(now, slot, None, nick);
    }

    /// Takes one whose nick is its own to the lobby. Where the user is somebody else already, another is drawn.
    pub(super) fn welcome_line(
        &mut self,
        now: Now,
        slot: u32,
        welcome: Option<(std::rc::Rc<Profile>, crate::NoteQuota)>,
        nick: Nick,
    ) {
        let (profile, quota) = welcome.unwrap_or_else(|| {
            let user = self.draw_user();
            let conn = &self.conns[slot];
            let presence = Presence::new(conn.id, self.id, conn.hops);
            let new = || Profile::new(user, now.wall_ms);
            let record = self.users.arrive(user, false, presence, None, new, Some(&nick));
            let record = record.expect("a user that was just drawn has no connection");
            (record.profile.clone(), record.quota)
        });
        let conn = &mut self.conns[slot];
        conn.extra().quota = quota;
        conn.profile = Some(profile);
        conn.heard_ms = now.mono_ms();
        let lobby = JoinRequest::to_lobby(Entry::Welcome);
        self.go(now, slot, lobby);
    }

    pub(super) fn want_rename(&mut self, now: Now, slot: u32, nick: Nick) {
        let profile = self.conns[slot].profile.as_ref().expect("only those with a nick get here");
        if profile.display_name().eq_ignore_ascii_case(nick.as_str()) {
            // It is the connection's own; only its letters change.
            return self.change_nick(now, slot, nick);
        }
        self.want_nick(now, slot, nick, None);
    }

    fn change_nick(&mut self, now: Now, slot: u32, nick: Nick) {
        let profile = self.conns[slot].profile.as_ref().expect("only those with a nick get here");
        let old = profile.display_name().to_ascii_lowercase().into();
        let change = crate::ProfileChange { name: Some(nick.to_name()), ..Default::default() };
        self.want_change(now, slot, ProfileWish::Nick { nick, old }, change);
    }

    /// The profile of a connection that waits for a change of it is this now: says so, if it has the change.
    pub(super) fn settle_profile(&mut self, slot: u32) {
        let conn = &self.conns[slot];
        let (id, profile) = (conn.id, conn.profile.clone().expect("those who change have one"));
        let extra = self.conns[slot].extra();
        let done = match &extra.awaits {
            Some(Awaits::Profile(ProfileWish::Nick { nick, .. })) => {
                profile.display_name() == nick.as_str()
            }
            Some(Awaits::Profile(ProfileWish::Away(away))) => profile.away == *away,
            // Which is told by itself, also when nothing came of it.
            Some(Awaits::Profile(ProfileWish::Look { .. })) => false,
            Some(Awaits::Profile(_)) => true,
            _ => false,
        };
        let Some(Awaits::Profile(wish)) = extra.awaits.take_if(|_| done) else { return };
        let event = match &wish {
            ProfileWish::Plain | ProfileWish::Look { .. } => return,
            ProfileWish::Nick { nick, old } => {
                if *old != nick.key() {
                    self.give_nick_back(old.clone(), id);
                }
                LineEvent::Renamed(profile.display_name())
            }
            ProfileWish::Away(away) => LineEvent::Away(*away),
            ProfileWish::Color => LineEvent::Colored(profile.color),
        };
        self.tell(slot, &[Event::Line(event)]);
    }

    pub(super) fn give_nick_back(&mut self, key: Box<str>, conn: ConnId) {
        let keeper = self.keeper(&key);
        if keeper == self.id {
            self.nicks.release(&key, conn);
        } else {
            self.mesh(keeper, Mesh::ReleaseNick { key, conn });
        }
    }

    pub(super) fn on_release_nick(&mut self, key: &str, conn: ConnId) {
        self.nicks.release(key, conn);
    }

    /// The nicks that a connection has, or has claimed and been granted.
    pub(super) fn nicks_of(conn: &crate::conn::Conn) -> SmallVec<[Box<str>; 2]> {
        let mut keys = SmallVec::new();
        if let Some(profile) = conn.profile.as_ref().filter(|profile| profile.has_own_name()) {
            keys.push(match profile.door {
                DoorKind::Line => profile.display_name().to_ascii_lowercase().into(),
                _ => super::look::name_key(profile.display_name()),
            });
        }
        match conn.awaits() {
            Some(Awaits::Welcome { nick: Some(nick), .. }) => keys.push(nick.key()),
            Some(Awaits::Welcome { name: Some(name), .. }) => keys.push(name.clone()),
            Some(Awaits::Profile(ProfileWish::Look { keys: Some((new, old)), .. })) => {
                keys.extend([new.clone(), old.clone()]);
            }
            Some(Awaits::Profile(ProfileWish::Nick { nick, old })) => {
                keys.push(nick.key());
                keys.push(old.clone());
            }
            _ => {}
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Tells the shards that keep a connection's nicks that it is here now.
    pub(super) fn tell_keepers(&mut self, slot: u32) {
        for key in Self::nicks_of(&self.conns[slot]) {
            self.tell_keeper(slot, &key);
        }
    }

    fn tell_keeper(&mut self, slot: u32, key: &str) {
        let (conn, hops) = (self.conns[slot].id, self.conns[slot].hops);
        let keeper = self.keeper(key);
        if keeper == self.id {
            self.nicks.moved(key, Presence::new(conn, self.id, hops));
        } else {
            self.mesh(keeper, Mesh::NickMoved { key: key.into(), conn, hops });
        }
    }

    pub(super) fn on_nick_moved(&mut self, key: &str, to: Presence) {
        self.nicks.moved(key, to);
    }

    // Private messages.

    /// Somebody at a terminal writes to a nick.
    pub(super) fn write_to_nick(&mut self, now: Now, slot: u32, to: &str, text: crate::ChatText) {
        let key: Box<str> = to.to_ascii_lowercase().into();
        let letter = self.letter(now, slot, text);
        let keeper = self.keeper(&key);
        if keeper == self.id {
            self.on_letter_to_nick(&key, letter);
        } else {
            self.mesh(keeper, Mesh::LetterToNick { key, letter: Box::new(letter) });
        }
    }

    /// Somebody at a terminal writes to a user, wherever they are.
    pub(super) fn write_to_user(
        &mut self,
        now: Now,
        slot: u32,
        user: UserId,
        text: crate::ChatText,
    ) {
        let letter = self.letter(now, slot, text);
        self.post_to_user(user, letter);
    }

    /// Sends something private on its way to a user.
    pub(super) fn post_to_user(&mut self, user: UserId, letter: Letter) {
        let owner = self.owner_of_user(user);
        if owner == self.id {
            self.on_letter_to_user(user, letter);
        } else {
            self.mesh(owner, Mesh::LetterTo { user, letter: Box::new(letter) });
        }
    }

    fn letter(&mut self, now: Now, slot: u32, text: crate::ChatText) -> Letter {
        let conn = &mut self.conns[slot];
        conn.extra().awaits = Some(Awaits::Letter(text.clone()));
        let by = conn.profile.as_deref().cloned().expect("only those with a nick write");
        let from = Writer::Conn(conn.id, by.user);
        let id = self.next_message(now);
        let message = crate::ChatMessage::new(id, now.wall_ms, by, text);
        Letter { from, at: self.id, message, is_answered: true }
    }

    pub(super) fn on_letter_to_nick(&mut self, key: &str, letter: Letter) {
        match self.nicks.holders.get(key).copied() {
            Some(holder) => self.send_letter(holder, letter),
            None => self.answer_letter(&letter, None),
        }
    }

    pub(super) fn on_letter_to_user(&mut self, user: UserId, letter: Letter) {
        let record = self.users.get(user).filter(|record| !record.connections.is_empty());
        let Some(record) = record else { return self.answer_letter(&letter, None) };
        if record.profile.door == DoorKind::Quic {
            let to = Box::new(Profile::clone(&record.profile));
            return self.post_to_room(to, letter);
        }
        let places = record.connections.clone();
        for (n, place) in places.into_iter().enumerate() {
            let is_answered = n == 0 && letter.is_answered;
            self.send_letter(place, Letter { is_answered, ..letter.clone() });
        }
    }

    fn send_letter(&mut self, to: Presence, letter: Letter) {
        if to.shard == self.id {
            self.on_letter(to.conn, letter);
        } else {
            self.mesh(to.shard, Mesh::Letter { conn: to.conn, letter: Box::new(letter) });
        }
    }

    pub(super) fn on_letter(&mut self, conn: ConnId, letter: Letter) {
        let Some(slot) = self.conns.find(conn).filter(|&slot| self.conns[slot].profile.is_some())
        else {
            if self.forwarding.contains_key(&conn) {
                return self.forward(conn, Mesh::Letter { conn, letter: Box::new(letter) });
            }
            return self.answer_letter(&letter, None);
        };
        let to = self.conns[slot].profile.clone().expect("it was looked at a moment ago");
        self.tell(slot, &[Event::Direct { message: &letter.message, to: &to }]);
        self.note_writer(slot, letter.message.by.user);
        self.answer_letter(&letter, Some(&to));
    }

    /// Remembers whom somebody at a terminal would answer.
    pub(super) fn note_writer(&mut self, slot: u32, by: UserId) {
        if self.conns[slot].format.is_line() {
            self.conns[slot].extra().line.get_or_insert_default().answer_to = Some(by);
        }
    }

    /// Somebody at a terminal, a relayed member, waits for what becomes of a private message.
    pub(super) fn on_writes(&mut self, conn: ConnId, text: crate::ChatText) {
        let Some(slot) = self.conns.find(conn) else { return };
        let extra = self.conns[slot].extra();
        if extra.awaits == Some(Awaits::Settled) {
            extra.awaits = Some(Awaits::Letter(text));
        }
    }

    /// A piano is shown what one of its people wrote privately, once it has arrived.
    fn show_sent(&mut self, room: RoomId, message: &crate::ChatMessage, to: Option<&Profile>) {
        let Some(&idx) = self.by_number.get(&room) else { return };
        let found = self.channels[idx as usize].roster.find(message.by.user);
        if let (Some(participant), Some(to)) = (found, to) {
            self.tell_participant(idx, participant, &[Event::Direct { message, to }]);
        }
    }

    pub(super) fn answer_letter(&mut self, letter: &Letter, to: Option<&Profile>) {
        if !letter.is_answered {
            return;
        }
        if letter.at == self.id {
            self.on_letter_done(letter.clone(), to);
        } else {
            self.send_letter_done(letter.at, letter.clone(), to);
        }
    }

    fn send_letter_done(&mut self, at: ShardId, letter: Letter, to: Option<&Profile>) {
        let to = to.map(|to| Box::new(to.clone()));
        self.mesh(at, Mesh::LetterDone { letter: Box::new(letter), to });
    }

    pub(super) fn on_letter_done(&mut self, letter: Letter, to: Option<&Profile>) {
        let (conn, user) = match letter.from {
            Writer::Conn(conn, user) => (conn, user),
            Writer::Member { room, .. } if letter.message.by.door != DoorKind::Line => {
                return self.show_sent(room, &letter.message, to);
            }
            Writer::Member { conn, user, via, .. } if via != self.id => {
                // Behind the word that it waits for this.
                let letter = Letter { from: Writer::Conn(conn, user), ..letter };
                return self.send_letter_done(via, letter, to);
            }
            Writer::Member { conn, user, .. } => (conn, user),
            Writer::Room { room, number } => {
                return self.on_room_letter_done(self.now, room, number, to.is_some());
            }
        };
        let Some(slot) = self.conns.find(conn) else {
            let to = to.map(|to| Box::new(to.clone()));
            let letter = Box::new(Letter { from: Writer::Conn(conn, user), ..letter });
            return self.follow(self.now, user, conn, Mesh::LetterDone { letter, to });
        };
        let extra = self.conns[slot].extra();
        let text = match extra.awaits.take() {
            Some(Awaits::Letter(text)) => text,
            other => {
                extra.awaits = other;
                return;
            }
        };
        match to {
            Some(profile) => {
                let to = crate::ParticipantView {
                    profile,
                    position: crate::Position::OFF_SCREEN,
                    digits: 0,
                };
                self.tell(slot, &[Event::Line(LineEvent::Sent { to, text: &text })]);
            }
            None => self.refuse_line(slot, &LineError::NotFound),
        }
        self.resume(slot);
    }
}
