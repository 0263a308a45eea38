//! What was said before: from the ring of the room where that holds enough, else from the storage as well.
//!
//! The storage is asked for the whole part and not for what the ring lacks: it has all that was said before the
//! question, so nothing is missed that leaves the ring before the answer. What is in both is taken from the ring, which
//! knows the latest of it, and what never got to the disk is in the ring alone.

use super::{
    Actor, Shard,
    keep::{Asked, Question},
    rooms::Outcome,
};
use crate::{
    Answer, ChatMessage, ConnId, Event, MessageId, Now, Page, PageFrom, RoomEvent, RoomFault,
    StoreRequest, StoredPage, Wire, channel::Channel,
};
use std::collections::{HashSet, VecDeque};

/// Most histories of a shard that are being looked up at a time. Each holds up to a hundred messages for a moment, and
/// the storage has other things to do. A session asks for one at a time.
const FETCHES_MAX: usize = 64;

/// Which messages somebody asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Those before this one.
    pub(super) before: Option<MessageId>,
    /// Those after this number.
    pub(super) after: Option<u64>,
    /// At most so many.
    pub(super) limit: u32,
}

/// Somebody waits for what the storage has.
#[derive(Debug)]
pub(super) struct Fetch {
    channel: u32,
    /// Tells channels apart that had the same place.
    serial: u64,
    conn: ConnId,
    part: Part,
    nonce: Option<Box<str>>,
    kind: u8,
    /// Whether the chat was cleared since the storage was asked.
    cleared: bool,
}

impl Part {
    /// What the ring holds of it, and whether there is more, as far as the ring knows; the last is whether the storage
    /// may know of some that belong to it.
    fn of_ring<'a>(&self, ring: &'a VecDeque<ChatMessage>) -> (Vec<&'a ChatMessage>, bool, bool) {
        let limit = self.limit as usize;
        if let Some(seq) = self.after {
            let from = ring.iter().position(|said| said.seq > seq).unwrap_or(ring.len());
            let to = ring.len().min(from + limit);
            let gap = from == 0 && ring.front().is_none_or(|first| first.seq > seq + 1);
            return (ring.range(from..to).collect(), to < ring.len(), gap);
        }
        let end = self.end_in(ring);
        let from = end.saturating_sub(limit);
        (ring.range(from..end).collect(), from > 0, from == 0)
    }

    /// How many messages of the ring are before the one from which on it goes back.
    fn end_in(&self, ring: &VecDeque<ChatMessage>) -> usize {
        let Some(id) = self.before else { return ring.len() };
        let found = ring.iter().position(|said| said.id == id);
        // Of one that is not here it is known when it was numbered.
        found.unwrap_or_else(|| ring.iter().take_while(|said| said.id.count() < id.count()).count())
    }

    fn page(&self, channel: &Channel) -> Page {
        let from = match (self.after, self.before) {
            (Some(seq), _) => PageFrom::After(seq),
            (None, Some(id)) => PageFrom::Before(id),
            (None, None) => PageFrom::End,
        };
        Page { from, limit: self.limit, loaded: channel.loaded }
    }

    /// What the storage found and what the ring holds, as one.
    fn joined<'a>(
        &self,
        stored: &'a StoredPage,
        ring: &'a VecDeque<ChatMessage>,
    ) -> (Vec<&'a ChatMessage>, bool) {
        let limit = self.limit as usize;
        let known: HashSet<MessageId> = ring.iter().map(|said| said.id).collect();
        let older = stored.messages.iter().filter(|said| !known.contains(&said.id));
        let mut all: Vec<&ChatMessage> = match self.after {
            Some(seq) => older.chain(ring.iter().filter(|said| said.seq > seq)).collect(),
            None => older.chain(ring.range(..self.end_in(ring))).collect(),
        };
        let more = stored.more || all.len() > limit;
        if self.after.is_some() {
            all.truncate(limit);
        } else {
            all.drain(..all.len().saturating_sub(limit));
        }
        (all, more)
    }
}

impl Asked {
    /// What a member that goes is waiting for, in the order in which it was asked: the nonces and kinds of its
    /// requests, which are not answered from here any more.
    pub(super) fn take_fetches(&mut self, conn: ConnId) -> Vec<(Option<Box<str>>, u8)> {
        let of_it = self.histories.iter().filter(|(_, fetch)| fetch.conn == conn);
        let mut tickets: Vec<u64> = of_it.map(|(&ticket, _)| ticket).collect();
        tickets.sort_unstable();
        let fetches = tickets.iter().filter_map(|ticket| self.histories.remove(ticket));
        fetches.map(|fetch| (fetch.nonce, fetch.kind)).collect()
    }
}

impl<W: Wire> Shard<W> {
    /// Answers from the ring, or asks the storage first.
    pub(super) fn fetch_history(
        &mut self,
        now: Now,
        actor: Actor,
        part: Part,
        (nonce, kind): (Option<&str>, u8),
    ) -> Result<Outcome, RoomFault> {
        let channel = &self.channels[actor.channel as usize];
        let (messages, more, lacks) = part.of_ring(&channel.history);
        // Where nothing is shown of what was said, nothing is looked up.
        let is_kept = self.config.storage.is_some() && self.config.history_kept() > 0;
        if !lacks || !is_kept || !channel.kept {
            let room = channel.room.id;
            let forwards = part.after.is_some();
            let event = RoomEvent::History { room, messages: &messages, forwards, more, nonce };
            let bytes = self.room_bytes(&[event]);
            self.deliver_member(actor.channel, actor.conn, actor.at, &bytes, 1);
            return Ok(Outcome::Silent);
        }
        if self.asked.is_silent() || self.asked.histories.len() >= FETCHES_MAX {
            return Err(RoomFault::Unavailable);
        }
        let (serial, conn) = (channel.serial, actor.conn);
        let nonce = nonce.map(Into::into);
        let cleared = false;
        self.look_up(
            now,
            Fetch { channel: actor.channel, serial, conn, part, nonce, kind, cleared },
        );
        Ok(Outcome::Silent)
    }

    fn look_up(&mut self, now: Now, fetch: Fetch) {
        let channel = &self.channels[fetch.channel as usize];
        let (page, channel) = (fetch.part.page(channel), channel.name.clone());
        let ticket = self.asked.ticket();
        self.asked.histories.insert(ticket, fetch);
        let request = StoreRequest::LoadMessages { ticket, channel, page };
        self.ask(now.mono_us, Question::History(ticket), request);
    }

    /// A channel's chat was cleared: what the storage finds for those who asked before is not shown.
    pub(super) fn forget_looked_up(&mut self, idx: u32) {
        let fetches = self.asked.histories.values_mut();
        fetches.filter(|fetch| fetch.channel == idx).for_each(|fetch| fetch.cleared = true);
    }

    /// The storage has answered, or not in time.
    pub(super) fn history_loaded(&mut self, ticket: u64, found: Option<Box<StoredPage>>) {
        let Some(fetch) = self.asked.histories.remove(&ticket) else { return };
        let idx = fetch.channel;
        // Whoever left meanwhile was answered then.
        let channel =
            self.channels.get(idx as usize).filter(|channel| channel.serial == fetch.serial);
        let Some(channel) = channel else { return };
        let Some((participant, member)) = channel.find_member(fetch.conn) else { return };
        if fetch.cleared && found.is_some() {
            // What is asked now is answered behind the clearing.
            return self.look_up(self.now, Fetch { cleared: false, ..fetch });
        }
        let Fetch { conn, part, nonce, kind, .. } = fetch;
        let room = channel.room.id;
        let nonce = nonce.as_deref();
        let Some(found) = found else {
            let answer = Answer { nonce, kind, room: Some(room) };
            let event = RoomEvent::Refused { answer, fault: RoomFault::Unavailable };
            let actor = Actor { channel: idx, participant, conn, at: member.at };
            return self.answer(actor, &[Event::Room(event)]);
        };
        let (messages, more) = part.joined(&found, &channel.history);
        let forwards = part.after.is_some();
        let event = RoomEvent::History { room, messages: &messages, forwards, more, nonce };
        let bytes = self.room_bytes(&[event]);
        self.deliver_member(idx, conn, member.at, &bytes, 1);
    }
}
