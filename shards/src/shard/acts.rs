//! What moderators do to people, kept before it is confirmed.
//!
//! An act holds at once. The channel is told of it, and whoever asked for it is answered, when it is certain to last,
//! or when it is known that it is not.

use super::{
    Shard,
    keep::{Asked, Question},
};
use crate::{
    Answer, ChannelName, ConnId, Event, ModerationAct, ModerationKind, Notice, Now, RoomEvent,
    RoomFault, StoreRequest, UserId, Wire, fan_out::Class,
};

/// What a moderator did and is to be told to the channel when it is certain to last.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    channel: ChannelName,
    by: Option<UserId>,
    notices: Vec<Notice>,
    /// The member that asked for it and is answered then.
    asker: Option<Asker>,
}

/// A member that waits for an answer.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) conn: ConnId,
    pub(super) nonce: Option<Box<str>>,
    pub(super) kind: u8,
}

impl Asked {
    /// A member goes; what it waits for, in the order in which it was asked, is not answered from here any more.
    pub(super) fn take_askers(&mut self, conn: ConnId) -> Vec<Asker> {
        let acts = self.acts.iter_mut();
        let mut found: Vec<(u64, Asker)> = acts
            .filter_map(|(&ticket, act)| {
                let asker = act.asker.take_if(|asker| asker.conn == conn)?;
                Some((ticket, asker))
            })
            .collect();
        found.sort_unstable_by_key(|(ticket, _)| *ticket);
        found.into_iter().map(|(_, asker)| asker).collect()
    }
}

impl<W: Wire> Shard<W> {
    /// Keeps what a moderator did. The channel is told as soon as that is certain to last, and so is whoever waits for
    /// the ticket; `None` when it is now.
    pub(super) fn moderate(
        &mut self,
        now: Now,
        act: ModerationAct,
        notices: Vec<Notice>,
    ) -> Option<u64> {
        let (channel, by) = (act.channel.clone(), act.by);
        let unconfirmed = Unconfirmed { channel, by, notices, asker: None };
        if self.config.storage.is_none() {
            self.confirm(&unconfirmed);
            return None;
        }
        if !matches!(act.kind, ModerationKind::Kick)
            && let Some(&idx) = self.by_name.get(&act.channel)
            && !self.channels[idx as usize].kept
        {
            self.keep_channel(idx);
        }
        let ticket = self.asked.ticket();
        self.asked.acts.insert(ticket, unconfirmed);
        let request = StoreRequest::Moderate { ticket, act: Box::new(act) };
        self.ask(now.mono_us, Question::Act(ticket), request);
        Some(ticket)
    }

    /// Whoever asked for an act waits for it.
    pub(super) fn awaits_act(&mut self, ticket: u64, asker: Asker) {
        if let Some(act) = self.asked.acts.get_mut(&ticket) {
            act.asker = Some(asker);
        }
    }

    pub(super) fn act_kept(&mut self, ticket: u64, lasts: bool) {
        let Some(unconfirmed) = self.asked.acts.remove(&ticket) else { return };
        self.confirm(&unconfirmed);
        let Some(&idx) = self.by_name.get(&unconfirmed.channel) else { return };
        if let Some(Asker { conn, nonce, kind }) = unconfirmed.asker {
            let channel = &self.channels[idx as usize];
            let Some((_, member)) = channel.find_member(conn) else { return };
            let answer = Answer { nonce: nonce.as_deref(), kind, room: Some(channel.room.id) };
            let event = match lasts {
                true => RoomEvent::Done { answer, message: None },
                false => RoomEvent::Refused { answer, fault: RoomFault::NotKept },
            };
            return self.tell_member(idx, conn, member.at, &[Event::Room(event)]);
        }
        // It holds all the same, for as long as the process does, and the moderator knows.
        if !lasts
            && let Some(by) = unconfirmed.by
            && let Some(by) = self.channels[idx as usize].roster.find(by)
        {
            self.tell_participant(idx, by, &[Event::Notice(&Notice::NotKept)]);
        }
    }

    fn confirm(&mut self, act: &Unconfirmed) {
        if let Some(&idx) = self.by_name.get(&act.channel) {
            for notice in &act.notices {
                self.broadcast(idx, None, Class::Prompt, Event::Notice(notice));
            }
        }
    }
}
