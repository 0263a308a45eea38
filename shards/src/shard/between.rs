//! Private messages between somebody who has rooms and somebody at a door that has none.
//!
//! People at terminals and pianos write letters, which reach connections and are kept nowhere. People at the QUIC door
//! write in direct rooms. So a letter to one of them is said in the room of the two, and what they say in such a room
//! goes as a letter to the other, who has no seat there.
//!
//! ```text
//!   terminal, piano              room of the two               QUIC
//!   letter ──▶ user's owner ──▶ LetterToRoom: summon, say ──▶ RoomInit or RoomMessage
//!   done   ◀── LetterDone ◀──── the other is there; or does not come, as one who has no place for another room
//!   Direct ◀── user's owner ◀── letter ◀───────────────────── SendMessage
//!              LetterDone ─────▶ say and acknowledge; or refuse: nobody is there, and there is no mailbox
//! ```
//! What waits for its letter is said in the order in which it was written. Such a room is never kept, and is gone when
//! nobody has it open.

use super::{
    Actor, Shard,
    rooms::{Outcome, Saying},
};
use crate::{
    Answer, ChannelName, ChatMessage, ConnId, DoorKind, Event, Limit, Now, Profile, Rate,
    RoomEvent, RoomFault, RoomId, UserId, UserNumber, Wire,
    mesh::{Letter, Mesh, Writer},
    timers::Timer,
};
use std::collections::VecDeque;

/// Most messages of a room that wait for their letters.
const OUTGOING_MAX: usize = 64;
/// Most messages that wait for the other to come into a room.
const INCOMING_MAX: usize = 64;
/// How long the other may take for that, microseconds: a session that has no place for another room does not come.
const COMES_WITHIN_US: u64 = 5_000_000;
/// When somebody over that may try again, milliseconds.
const RETRY_MS: u32 = 200;
/// Records of users that a shard looks through in a second, at most, for numbers that it has no list of. Each takes
/// some 30 ns, so this is less than a tenth of its time.
pub(super) const SEARCHED: Rate = Rate::new(2_000_000, 1_000);

/// Something that was written to somebody who is not in the room of the two.
#[derive(Debug)]
pub(crate) struct Incoming {
    letter: Letter,
    to: Box<Profile>,
    /// Until when that one has to come.
    until_us: u64,
}

/// Something that was said in a direct room, while it is not known whether the other one gets it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    number: u64,
    /// Whether it arrived, when that is known. One that was said twice arrives with the first.
    arrived: Option<bool>,
    conn: ConnId,
    by: Profile,
    saying: Saying,
    kind: u8,
}

impl<W: Wire> Shard<W> {
    /// A member of a direct room says something to somebody at another door.
    pub(super) fn say_to_other_door(
        &mut self,
        now: Now,
        actor: Actor,
        (by, to): (Profile, UserId),
        saying: Saying,
        kind: u8,
    ) -> Result<Outcome, RoomFault> {
        self.serial += 1;
        let number = self.serial;
        let channel = &mut self.channels[actor.channel as usize];
        let room = channel.room.id;
        let private = channel.private.as_deref_mut().ok_or(RoomFault::NotFound)?;
        if private.outgoing.len() >= OUTGOING_MAX {
            return Err(RoomFault::TooFast(RETRY_MS));
        }
        let nonce = &saying.nonce;
        let is_again = nonce.is_some()
            && private
                .outgoing
                .iter()
                .any(|one| one.by.user == by.user && one.saying.nonce == *nonce);
        let about = (by.clone(), saying.text.clone(), saying.attachments.clone());
        let (reply_to, is_action) = (saying.reply_to.clone(), saying.action);
        let arrived = is_again.then_some(false);
        private.outgoing.push_back(Outgoing {
            number,
            arrived,
            conn: actor.conn,
            by,
            saying,
            kind,
        });
        if !is_again {
            let (by, text, attachments) = about;
            let id = self.next_message(now);
            let message = ChatMessage::new(id, now.wall_ms, by, text);
            let message = ChatMessage { reply_to, is_action, attachments, ..message };
            let from = Writer::Room { room, number };
            self.post_to_user(to, Letter { from, at: self.id, message, is_answered: true });
        }
        Ok(Outcome::Silent)
    }

    /// It is known whether something that was said in a direct room has arrived.
    pub(super) fn on_room_letter_done(
        &mut self,
        now: Now,
        room: RoomId,
        number: u64,
        arrived: bool,
    ) {
        // The room may be gone.
        let Some(&idx) = self.by_number.get(&room) else { return };
        let Some(private) = self.channels[idx as usize].private.as_deref_mut() else { return };
        let Some(one) = private.outgoing.iter_mut().find(|one| one.number == number) else {
            return;
        };
        one.arrived = Some(arrived);
        loop {
            let Some(private) = self.channels[idx as usize].private.as_deref_mut() else { return };
            let Some(next) = private.outgoing.pop_front_if(|one| one.arrived.is_some()) else {
                return;
            };
            self.settle_outgoing(now, idx, next);
        }
    }

    /// What a member that is about to go wrote and is not answered, by nonce and kind. It stays where it is: what
    /// arrives all the same is said, so that the same nonce, when its user comes back, is not sent once more.
    pub(super) fn unanswered_outgoing(
        &self,
        conn: ConnId,
        room: RoomId,
    ) -> Vec<(Option<Box<str>>, u8)> {
        let Some(&idx) = self.by_number.get(&room) else { return Vec::new() };
        let private = self.channels[idx as usize].private.as_deref();
        let outgoing = private.into_iter().flat_map(|private| &private.outgoing);
        let of_it = outgoing.filter(|one| one.conn == conn);
        of_it.map(|one| (one.saying.nonce.clone(), one.kind)).collect()
    }

    fn settle_outgoing(&mut self, now: Now, idx: u32, outgoing: Outgoing) {
        let Outgoing { arrived, conn, by, saying, kind, .. } = outgoing;
        let (user, nonce) = (by.user, saying.nonce.clone());
        let room = &self.channels[idx as usize].room;
        let (id, before) = (room.id, nonce.as_deref());
        let before = before.and_then(|nonce| room.said(user, nonce, now.mono_us));
        let said = match before {
            None if arrived == Some(true) => {
                let said = self.say(now, idx, by, saying);
                if let Some(nonce) = &nonce {
                    let room = &mut self.channels[idx as usize].room;
                    room.remember_nonce(user, nonce, said, now.mono_us);
                }
                Some(said)
            }
            said => said,
        };
        let answer = Answer { nonce: nonce.as_deref(), kind, room: Some(id) };
        let event = match said {
            Some((message, sent_ms)) => RoomEvent::Accepted { answer, message, sent_ms },
            None => RoomEvent::Refused { answer, fault: RoomFault::NotFound },
        };
        let roster = &self.channels[idx as usize].roster;
        let Some(participant) = roster.find(user) else { return };
        let member = roster[participant].members.iter().find(|member| member.conn == conn);
        let Some(at) = member.map(|member| member.at) else { return };
        self.answer(Actor { channel: idx, participant, conn, at }, &[Event::Room(event)]);
    }

    /// A letter for somebody who has rooms: it is said in the one of the two.
    pub(super) fn post_to_room(&mut self, to: Box<Profile>, letter: Letter) {
        let name = ChannelName::direct(to.user, letter.message.by.user);
        let owner = self.owner_of_room(self.config.number_key.room(&name));
        if owner == self.id {
            self.on_letter_to_room(self.now, *to, letter);
        } else {
            self.mesh(owner, Mesh::LetterToRoom { to, letter: Box::new(letter) });
        }
    }

    pub(super) fn on_letter_to_room(&mut self, now: Now, to: Profile, letter: Letter) {
        let by = &letter.message.by;
        let name = ChannelName::direct(to.user, by.user);
        let found = self.by_number.get(&self.config.number_key.room(&name)).copied();
        let idx = match found {
            Some(idx) if self.channels[idx as usize].name == name => idx,
            None if self.channels.len() < self.config.channels_max as usize => {
                self.found_direct(name, by, &to)
            }
            _ => {
                self.stats.limit(Limit::Channels);
                return self.answer_letter(&letter, None);
            }
        };
        for profile in [by, &to] {
            if self.renew_person(idx, profile) {
                self.tell_updated(idx, profile.user, None);
            }
        }
        let channel = &mut self.channels[idx as usize];
        if channel.roster.find(to.user).is_some() {
            self.say_letter(now, idx, &letter);
            return self.answer_letter(&letter, Some(&to));
        }
        let serial = channel.serial;
        let private = channel.private.as_deref_mut().expect("the room of two");
        if private.incoming.len() >= INCOMING_MAX {
            return self.answer_letter(&letter, None);
        }
        let until_us = now.mono_us + COMES_WITHIN_US;
        private.incoming.push_back(Incoming { letter, to: Box::new(to), until_us });
        self.arm(until_us, Timer::Letters { channel: idx, serial });
        self.summon_other(now, idx);
    }

    fn say_letter(&mut self, now: Now, idx: u32, letter: &Letter) {
        let ChatMessage { by, text, reply_to, is_action, .. } = letter.message.clone();
        let saying = Saying { action: is_action, ..Saying::plain(text, reply_to) };
        self.say(now, idx, by, saying);
    }

    /// Somebody is about to come into a room: says what was written to them while they were not there.
    pub(super) fn say_incoming(&mut self, now: Now, idx: u32, user: UserId) {
        let Some(private) = self.channels[idx as usize].private.as_deref_mut() else { return };
        let (theirs, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut private.incoming).into_iter().partition(|one| one.to.user == user);
        private.incoming = rest;
        for Incoming { letter, to, .. } in theirs {
            self.say_letter(now, idx, &letter);
            self.answer_letter(&letter, Some(&to));
        }
    }

    /// Tells those who wrote that nobody came, who should have by now. An empty room need not wait for them any longer.
    pub(super) fn give_up_incoming(&mut self, now: Now, idx: u32) {
        loop {
            let Some(private) = self.channels[idx as usize].private.as_deref_mut() else { return };
            let Some(one) = private.incoming.pop_front_if(|one| one.until_us <= now.mono_us) else {
                break;
            };
            self.answer_letter(&one.letter, None);
        }
        if self.channels[idx as usize].roster.is_empty() {
            self.arm_empty(now, idx);
        }
    }

    /// Somebody who is connected at a door whose people are not listed by number.
    pub(super) fn search_number(&mut self, now: Now, number: UserNumber) -> Option<UserId> {
        let cost = (self.users.len() as u64).min(u64::from(SEARCHED.count));
        if !self.memberships.searches.take(SEARCHED, now.mono_us, cost) {
            return None;
        }
        let key = self.config.number_key;
        let found = self.users.iter().find(|record| {
            record.profile.door != DoorKind::Quic
                && !record.connections.is_empty()
                && key.user(&record.profile) == number
        });
        found.map(|record| record.profile.user)
    }
}
