//! What moderators do to people, kept before it is confirmed.
//!
//! An act holds at once. The channel is told of it, and whoever asked for it is answered, when it is certain to last,
//! or when it is known that it is not.

use super::{
    Actor, Shard,
    keep::{Asked, Question},
};
use crate::{
    Answer, ChannelName, ConnId, Event, Format, LineEvent, ModerationAct, ModerationKind, Notice,
    Now, RoomEvent, RoomFault, ShardId, StoreRequest, UserId, Wire, channel::At, conn::Awaits,
    fan_out::Class, mesh::Mesh,
};

/// What a moderator did and is to be told to the channel when it is certain to last.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    channel: ChannelName,
    by: Option<UserId>,
    notices: Vec<Notice>,
    /// The member that asked for it and is answered then.
    asker: Option<Asker>,
    /// The same for one at a terminal.
    terminal: Option<Terminal>,
}

/// A member that waits for an answer.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) conn: ConnId,
    pub(super) nonce: Option<Box<str>>,
    pub(super) kind: u8,
}

/// Somebody at a terminal who waits for an answer, wherever they are sent meanwhile.
#[derive(Debug)]
pub(super) struct Terminal {
    conn: ConnId,
    user: UserId,
    format: Format,
    /// The shard on which it was told that it waits.
    via: ShardId,
    /// What it is told.
    answer: Vec<u8>,
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
        let unconfirmed = Unconfirmed { channel, by, notices, asker: None, terminal: None };
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

    /// Somebody at a terminal acts on others in a room of this shard. Where that is to last, the answer waits until it
    /// does, and so does the terminal: this is to be called before the act and gives what stands for whoever waits.
    pub(super) fn terminal_acts(
        &mut self,
        actor: Actor,
        answer: LineEvent<'_>,
    ) -> Option<Terminal> {
        if self.config.storage.is_none() {
            self.answer(actor, &[Event::Line(answer)]);
            return None;
        }
        let answer = self.encoded(actor, answer);
        let roster = &self.channels[actor.channel as usize].roster;
        let (conn, user) = (actor.conn, roster[actor.participant].profile.user);
        let (via, format) = (self.shard_at(actor.at), self.format_at(actor.at));
        match actor.at {
            At::Here(slot) => self.conns[slot].extra().awaits = Some(Awaits::Kept),
            At::Away(..) => self.mesh(via, Mesh::Moderates { conn }),
        }
        Some(Terminal { conn, user, format, via, answer })
    }

    /// What somebody at a terminal did waits to be kept, under this ticket; or there is nothing to wait for.
    pub(super) fn terminal_awaits(&mut self, ticket: Option<u64>, terminal: Option<Terminal>) {
        let Some(terminal) = terminal else { return };
        match ticket.and_then(|ticket| self.asked.acts.get_mut(&ticket)) {
            Some(act) => act.terminal = Some(terminal),
            None => self.answer_terminal(terminal, true),
        }
    }

    fn answer_terminal(&mut self, terminal: Terminal, lasts: bool) {
        let Terminal { conn, user, format, via, answer: mut bytes } = terminal;
        if !lasts {
            self.wire.encode(format, &[Event::Notice(&Notice::NotKept)], &mut bytes);
        }
        let bytes = bytes.into_boxed_slice();
        if via == self.id {
            return self.on_moderated(self.now, conn, user, bytes);
        }
        if let Some(&(idx, _)) = self.away.get(&conn) {
            // It reads behind what it was told of its room.
            self.ship(idx);
        }
        self.mesh(via, Mesh::Moderated { conn, user, bytes });
    }

    pub(super) fn on_moderates(&mut self, conn: ConnId) {
        let Some(slot) = self.conns.find(conn) else { return };
        let extra = self.conns[slot].extra();
        if extra.awaits == Some(Awaits::Settled) {
            extra.awaits = Some(Awaits::Kept);
        }
    }

    pub(super) fn on_moderated(&mut self, now: Now, conn: ConnId, user: UserId, bytes: Box<[u8]>) {
        let Some(slot) = self.conns.find(conn) else {
            return self.follow(now, user, conn, Mesh::Moderated { conn, user, bytes });
        };
        self.deliver(slot, &bytes, 1);
        let extra = self.conns[slot].extra();
        if extra.awaits == Some(Awaits::Kept) {
            extra.awaits = None;
            self.resume(slot);
        }
    }

    pub(super) fn act_kept(&mut self, ticket: u64, lasts: bool) {
        let Some(unconfirmed) = self.asked.acts.remove(&ticket) else { return };
        self.confirm(&unconfirmed);
        if let Some(terminal) = unconfirmed.terminal {
            return self.answer_terminal(terminal, lasts);
        }
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
