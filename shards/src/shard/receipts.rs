//! Receipts: how far each member of a room has received and read it, and who is told.
//!
//! What came within a moment is told in one piece, the last of it. A mark is a message of the ring, and how far it is
//! is its place there: numbers of messages do not rise over a restart with another count of shards.

use super::{Actor, Shard};
use crate::{
    ConnId, Event, MessageId, Now, RoomEvent, RoomKind, UserId, UserNumber, Wire, timers::Timer,
};
use std::collections::BTreeMap;

/// How long receipts are gathered, microseconds.
const GATHERED_US: u64 = 250_000;
/// In groups of more members authors are not told.
const GROUP_TOLD_MAX: usize = 64;

/// Receipts that are about to be told.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    armed: bool,
    /// By reader, whom to tell, and whether it was read; readers tell themselves.
    due: BTreeMap<(UserId, UserId, bool), Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    reader: UserNumber,
    message: MessageId,
    /// The connection that said it, which is not told.
    by: ConnId,
}

impl<W: Wire> Shard<W> {
    /// Somebody has received or read everything up to a message.
    pub(super) fn receipt(&mut self, now: Now, actor: Actor, message: MessageId, read: bool) {
        let (idx, reader) = (actor.channel, self.number_of(actor));
        let user = self.acting_user(actor);
        let channel = &mut self.channels[idx as usize];
        let place = |id| channel.history.iter().rposition(|said| said.id == id);
        let Some(at) = place(message) else { return };
        if channel.history[at].by.user == user {
            return;
        }
        let tells_authors = match channel.private.as_deref() {
            None => false,
            Some(private) => private.kind == RoomKind::Direct || private.count() <= GROUP_TOLD_MAX,
        };
        let mut marks = match channel.private.as_deref() {
            Some(private) => private.get(user).map(|person| person.marks).unwrap_or_default(),
            None => {
                let rates = channel.roster[actor.participant].rates.as_deref();
                rates.map(|rates| rates.marks).unwrap_or_default()
            }
        };
        let before = if read { marks.read } else { marks.delivered };
        let before = before.and_then(place);
        if before.is_some_and(|before| at <= before) {
            return;
        }
        if read {
            marks.read = Some(message);
        }
        if marks.delivered.and_then(place).is_none_or(|delivered| delivered < at) {
            marks.delivered = Some(message);
        }
        let mut told = BTreeMap::new();
        if tells_authors {
            let covered = channel.history.range(before.map_or(0, |before| before + 1)..=at);
            told.extend(covered.map(|said| (said.by.user, said.id)));
            told.remove(&user);
        }
        if read {
            told.insert(user, message);
        }
        match channel.private.as_deref_mut().and_then(|private| private.get_mut(user)) {
            Some(person) => person.marks = marks,
            None => channel.roster[actor.participant].rates().marks = marks,
        }
        let gathered = channel.room.receipts();
        for (whom, message) in told {
            gathered.due.insert((user, whom, read), Due { reader, message, by: actor.conn });
        }
        if !gathered.due.is_empty() && !std::mem::replace(&mut gathered.armed, true) {
            let serial = channel.serial;
            self.arm(now.mono_us + GATHERED_US, Timer::Receipts { channel: idx, serial });
        }
    }

    /// Tells what was gathered.
    pub(super) fn tell_receipts(&mut self, now: Now, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        let room = channel.room.id;
        let due = std::mem::take(channel.room.receipts()).due;
        // One record of a reader for all that came within the moment.
        let mut readers: Vec<UserId> = due.keys().map(|&(reader, ..)| reader).collect();
        readers.dedup();
        for reader in readers {
            self.keep_person(idx, reader);
        }
        for ((_, whom, read), due) in due {
            let Due { reader, message, by } = due;
            let roster = &self.channels[idx as usize].roster;
            let Some(participant) = roster.find(whom) else { continue };
            let event =
                RoomEvent::Receipt { room, message, user: reader, read, at_ms: now.wall_ms };
            for member in roster[participant].members.clone() {
                if member.conn != by {
                    self.tell_member(idx, member.conn, member.at, &[Event::Room(event)]);
                }
            }
        }
    }
}
