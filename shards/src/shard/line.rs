//! What people at terminals do, besides what everyone does.
//!
//! Their commands are done one after the other: a connection whose command is on its way to another shard is paused
//! until it is settled. A seat in another room is granted by its owner before the old room is left.

use super::{Actor, Shard};
use crate::{
    ChannelName, ChatText, Class, ConnId, DoorKind, Entry, Event, Format, JoinTarget, Limit,
    LineCommand, LineError, LineEvent, Now, Profile, UserId, Wire,
    channel::{At, Called},
    conn::{Awaits, JoinRequest, ProfileWish, Seat},
    mesh::{BanOrder, Letter, Mesh, Seeker, Writer},
};

/// How long a seat is kept for a connection on its way.
const SEAT_KEPT_US: u64 = 10_000_000;

/// What became of looking for a seat on a shard.
enum Found {
    /// It may have it.
    Granted(JoinRequest),
    /// The search goes on where this leads.
    Elsewhere(JoinRequest),
    Refused(LineError),
}

/// What became of something private.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Given {
    Done,
    /// Whether it arrives is told when it is known.
    Waits,
}

impl JoinRequest {
    pub(super) fn to_lobby(entry: Entry) -> Self {
        JoinRequest { entry, ..JoinRequest::to(ChannelName::lobby()) }
    }
}

impl<W: Wire> Shard<W> {
    pub(super) fn refuse_line(&mut self, slot: u32, error: &LineError) {
        self.tell(slot, &[Event::Line(LineEvent::Error(error))]);
    }

    /// Does what is done where the connection is; the rest is for the owner of its room.
    pub(super) fn line_command(&mut self, now: Now, slot: u32, command: LineCommand) {
        if !self.conns[slot].format.is_line() {
            return;
        }
        match command {
            LineCommand::Write { .. } | LineCommand::Answer(_)
                if let Some(seconds) = self.muted_everywhere(now, slot) =>
            {
                self.stats.limit(Limit::Muted);
                self.refuse_line(slot, &LineError::Muted(seconds));
            }
            LineCommand::Rename(nick) => self.want_rename(now, slot, nick),
            LineCommand::Go(name) => self.seek(now, slot, name, Entry::Joined),
            LineCommand::Leave => {
                let kind = match self.conns[slot].seat {
                    Seat::Owned { channel, .. } => Some(self.channels[channel as usize].kind),
                    // Lobbies are never hot for long, and whether one is a lobby its owner knows.
                    Seat::Relayed { .. } | Seat::None => None,
                };
                if kind == Some(crate::ChannelKind::Lobby) {
                    return self.refuse_line(slot, &LineError::SameRoom);
                }
                self.seek(now, slot, ChannelName::lobby(), Entry::Returned);
            }
            LineCommand::Rooms => self.send_cached_list(slot),
            LineCommand::Write { to, text } if !to.contains('~') => {
                self.write_to_nick(now, slot, &to, text);
            }
            LineCommand::Answer(text) => {
                let line = self.conns[slot].extra().line.as_ref();
                match line.and_then(|line| line.answer_to) {
                    Some(user) => self.write_to_user(now, slot, user, text),
                    None => self.refuse_line(slot, &LineError::NobodyWrote),
                }
            }
            LineCommand::Away(away) => {
                let change = crate::ProfileChange { away: Some(away), ..Default::default() };
                self.want_change(now, slot, ProfileWish::Away(away), change);
            }
            LineCommand::Color(color) => {
                let change = crate::ProfileChange { color: Some(color), ..Default::default() };
                self.want_change(now, slot, ProfileWish::Color, change);
            }
            LineCommand::ShowJoins(shown) => {
                let format = self.conns[slot].format.with_joins(shown);
                self.speak(slot, format);
                self.tell(slot, &[Event::Line(LineEvent::JoinsShown(shown))]);
            }
            command => self.in_room(now, slot, command),
        }
    }

    fn in_room(&mut self, now: Now, slot: u32, command: LineCommand) {
        let conn = &self.conns[slot];
        match conn.seat {
            Seat::Owned { channel, participant } => {
                let actor = Actor { channel, participant, conn: conn.id, at: At::Here(slot) };
                self.line_act(now, actor, command);
            }
            Seat::Relayed { relay } => {
                let (conn, owner) = (conn.id, self.relays[relay as usize].of.owner);
                self.conns[slot].extra().awaits = Some(Awaits::Settled);
                let command = Box::new(crate::Command::Line(Box::new(command)));
                self.mesh(owner, Mesh::FromMember { conn, command });
            }
            Seat::None => self.refuse_line(slot, &LineError::Server),
        }
    }

    pub(super) fn on_settled(&mut self, conn: ConnId) {
        let Some(slot) = self.conns.find(conn) else { return };
        let extra = self.conns[slot].extra();
        if extra.awaits == Some(Awaits::Settled) {
            extra.awaits = None;
            self.resume(slot);
        }
    }

    /// What it asked for in a room that it was just removed from was not done.
    pub(super) fn on_undone(&mut self, conn: ConnId) {
        match self.conns.find(conn) {
            Some(slot) => self.refuse_line(slot, &LineError::Server),
            None => self.forward(conn, Mesh::Undone { conn }),
        }
    }

    /// A member at a terminal does something in a room of this shard.
    pub(super) fn line_act(&mut self, now: Now, actor: Actor, command: LineCommand) {
        let channel = &self.channels[actor.channel as usize];
        match command {
            LineCommand::Say(_) | LineCommand::Act(_) if !channel.settings.chat => {
                let error = LineError::ChatOff(channel.name.clone());
                self.refuse_actor(actor, &error);
            }
            LineCommand::Say(_) | LineCommand::Act(_) | LineCommand::Write { .. }
                if let Some(seconds) = self.muted_for(now, channel, actor.participant) =>
            {
                self.stats.limit(Limit::Muted);
                self.refuse_actor(actor, &LineError::Muted(seconds));
            }
            LineCommand::Say(text) => self.line_say(now, actor, text, false),
            LineCommand::Act(text) => self.line_say(now, actor, text, true),
            LineCommand::Users => {
                let me = channel.roster[actor.participant].profile.user;
                let bytes = self.encoded(actor, LineEvent::Users { view: channel.view(), me });
                self.deliver_member(actor.channel, actor.conn, actor.at, &bytes, 1);
            }
            LineCommand::History(last) => {
                let (name, history) = (&channel.name, &channel.history);
                let (last, wall_ms) = (usize::from(last), now.wall_ms);
                let event = LineEvent::History { channel: name, history, last, wall_ms };
                let bytes = self.encoded(actor, event);
                self.deliver_member(actor.channel, actor.conn, actor.at, &bytes, 1);
            }
            LineCommand::Write { to, text } => self.write_in_room(now, actor, &to, text),
            LineCommand::Kick { who, reason } => self.line_ban(now, actor, &who, 0, reason),
            LineCommand::Ban { who, minutes } => {
                self.line_ban(now, actor, &who, u64::from(minutes), None);
            }
            LineCommand::Unban(who) => self.line_unban(now, actor, &who),
            _ => unreachable!("done where the connection is"),
        }
    }

    fn line_say(&mut self, now: Now, actor: Actor, text: ChatText, is_action: bool) {
        match self.spend_room_rate(now, actor.channel) {
            Ok(()) => self.say_as(now, actor, text, None, is_action),
            Err(_) => self.refuse_actor(actor, &LineError::RoomTooFast),
        }
    }

    fn refuse_actor(&mut self, actor: Actor, error: &LineError) {
        self.answer(actor, &[Event::Line(LineEvent::Error(error))]);
    }

    /// An answer that borrows from this shard, as bytes.
    pub(super) fn encoded(&self, actor: Actor, event: LineEvent<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.wire.encode(self.format_at(actor.at), &[Event::Line(event)], &mut bytes);
        bytes
    }

    /// Finds somebody in the room, or says why not.
    fn find_called(&mut self, actor: Actor, who: &str) -> Option<u32> {
        let error = match self.channels[actor.channel as usize].roster.called(who) {
            Called::One(participant) => return Some(participant),
            Called::Nobody => LineError::NotFound,
            Called::Several => LineError::Ambiguous(who.into()),
        };
        self.refuse_actor(actor, &error);
        None
    }

    fn write_in_room(&mut self, now: Now, actor: Actor, to: &str, text: ChatText) {
        let Some(target) = self.find_called(actor, to) else { return };
        let roster = &self.channels[actor.channel as usize].roster;
        let by = Profile::clone(&roster[actor.participant].profile);
        let id = self.next_message(now);
        let message = crate::ChatMessage::new(id, now.wall_ms, by, text.clone());
        let roster = &self.channels[actor.channel as usize].roster;
        let to = roster[target].profile.clone();
        let digits = roster[target].digits;
        if self.give_letter(actor, target, &message) == Given::Waits {
            return match actor.at {
                At::Here(slot) => self.conns[slot].extra().awaits = Some(Awaits::Letter(text)),
                At::Away(shard, _) => self.mesh(shard, Mesh::Writes { conn: actor.conn, text }),
            };
        }
        let position = crate::Position::OFF_SCREEN;
        let to = crate::ParticipantView { profile: &to, position, digits };
        self.answer(actor, &[Event::Line(LineEvent::Sent { to, text: &text })]);
    }

    /// Somebody in the room gets something private of somebody else there. It is not known at once whether one who has
    /// rooms gets it: then the writer is told later.
    pub(super) fn give_letter(
        &mut self,
        actor: Actor,
        target: u32,
        message: &crate::ChatMessage,
    ) -> Given {
        let to = self.channels[actor.channel as usize].roster[target].profile.clone();
        let by = &self.channels[actor.channel as usize].roster[actor.participant].profile;
        if to.door == DoorKind::Quic && by.door != DoorKind::Quic {
            let via = self.shard_at(actor.at);
            let room = self.channels[actor.channel as usize].room.id;
            let from = Writer::Member { room, conn: actor.conn, user: by.user, via };
            let letter = Letter { from, at: self.id, message: message.clone(), is_answered: true };
            self.post_to_room(Box::new(Profile::clone(&to)), letter);
            return Given::Waits;
        }
        self.tell_participant(actor.channel, target, &[Event::Direct { message, to: &to }]);
        self.note_writer_to(actor, target);
        Given::Done
    }

    /// Those at terminals remember who wrote to them, wherever their connections are.
    pub(super) fn note_writer_to(&mut self, actor: Actor, target: u32) {
        let roster = &self.channels[actor.channel as usize].roster;
        if roster[target].profile.door != DoorKind::Line {
            return;
        }
        let by = roster[actor.participant].profile.user;
        for member in roster[target].members.clone() {
            match member.at {
                At::Here(slot) => self.note_writer(slot, by),
                At::Away(shard, _) => {
                    self.mesh(shard, Mesh::Wrote { conn: member.conn, by });
                }
            }
        }
    }

    pub(super) fn on_wrote(&mut self, conn: ConnId, by: UserId) {
        match self.conns.find(conn) {
            Some(slot) => self.note_writer(slot, by),
            None => self.forward(conn, Mesh::Wrote { conn, by }),
        }
    }

    /// Who acts, if they hold the crown of a room that has one.
    fn holder(&self, actor: Actor) -> Option<UserId> {
        let channel = &self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        (!channel.kind.is_lobby() && channel.is_holder(user)).then_some(user)
    }

    fn line_ban(
        &mut self,
        now: Now,
        actor: Actor,
        who: &str,
        minutes: u64,
        reason: Option<ChatText>,
    ) {
        let Some(by) = self.holder(actor) else {
            return self.refuse_actor(actor, &LineError::NotAllowed);
        };
        let Some(target) = self.find_called(actor, who) else { return };
        let channel = &self.channels[actor.channel as usize];
        let target = &channel.roster[target];
        let (profile, digits) = (target.profile.clone(), target.digits);
        let position = crate::Position::OFF_SCREEN;
        let view = crate::ParticipantView { profile: &profile, position, digits };
        let ms = (minutes * 60_000).min(self.config.ban_max.as_millis() as u64);
        let event = match ms.div_ceil(60_000) {
            0 => LineEvent::Kicked(view),
            minutes => LineEvent::Banned { who: view, minutes },
        };
        let (name, user) = (channel.name.clone(), profile.user);
        let terminal = self.terminal_acts(actor, event);
        let order = BanOrder { channel: name, by, user, ms, reason };
        let ticket = self.ban(now, order, &profile);
        self.terminal_awaits(ticket, terminal);
    }

    fn line_unban(&mut self, now: Now, actor: Actor, who: &str) {
        let Some(by) = self.holder(actor) else {
            return self.refuse_actor(actor, &LineError::NotAllowed);
        };
        match self.channels[actor.channel as usize].bans.find(who, now.mono_us) {
            Some(user) => {
                let holder = &self.channels[actor.channel as usize].roster[actor.participant];
                let name = holder.profile.display_name().into();
                let terminal = self.terminal_acts(actor, LineEvent::Unbanned(who));
                let ticket = self.lift_ban(now, actor.channel, user, name, Some(by));
                self.terminal_awaits(ticket.flatten(), terminal);
            }
            None => self.refuse_actor(actor, &LineError::NotFound),
        }
    }

    // Going to another room: its owner keeps a seat before the old one is left.

    fn seek(&mut self, now: Now, slot: u32, name: ChannelName, entry: Entry) {
        let conn = &mut self.conns[slot];
        let profile = conn.profile.as_deref().cloned().expect("only those with a nick get here");
        let id = conn.id;
        conn.extra().awaits = Some(Awaits::Seat);
        let origin = conn.extra().line.as_ref().map_or(0, |line| line.origin);
        let request = JoinRequest { entry, ..JoinRequest::to(name) };
        self.on_seek_seat(now, Seeker { conn: id, at: self.id, profile, origin, request });
    }

    pub(super) fn on_seek_seat(&mut self, now: Now, mut seeker: Seeker) {
        if self.owner(&seeker.request.name()) == self.id && self.keeps_seeker(now, &seeker) {
            return;
        }
        match self.look_for_seat(now, &seeker) {
            Found::Elsewhere(request) => {
                let owner = self.owner(&request.name());
                seeker.request = request;
                self.mesh(owner, Mesh::SeekSeat(Box::new(seeker)));
            }
            Found::Granted(request) if seeker.at == self.id => {
                self.on_seat_kept(now, seeker.conn, seeker.profile.user, request);
            }
            Found::Granted(request) => {
                if let Some(&idx) = self.by_name.get(&request.name()) {
                    let reserved = &mut self.channels[idx as usize].reserved;
                    reserved.retain(|&(conn, until)| until > now.mono_us && conn != seeker.conn);
                    reserved.push((seeker.conn, now.mono_us + SEAT_KEPT_US));
                }
                let (conn, user) = (seeker.conn, seeker.profile.user);
                let request = Box::new(request);
                self.mesh(seeker.at, Mesh::SeatKept { conn, user, request });
            }
            Found::Refused(error) if seeker.at == self.id => {
                self.on_seat_refused(now, seeker.conn, seeker.profile.user, &error);
            }
            Found::Refused(error) => {
                let (conn, user) = (seeker.conn, seeker.profile.user);
                let error = Box::new(error);
                self.mesh(seeker.at, Mesh::SeatRefused { conn, user, error });
            }
        }
    }

    fn look_for_seat(&mut self, now: Now, seeker: &Seeker) -> Found {
        let mut request = seeker.request.clone();
        loop {
            let name = request.name();
            if self.owner(&name) != self.id {
                return Found::Elsewhere(request);
            }
            if let Some(&idx) = self.by_name.get(&name)
                && self.channels[idx as usize].roster.find(seeker.profile.user).is_some()
            {
                return Found::Refused(LineError::SameRoom);
            }
            let admission =
                self.admit(now, &seeker.profile, Some(seeker.origin), seeker.conn, &request);
            match admission {
                super::join::Admission::Enter => return Found::Granted(request),
                super::join::Admission::Overflow
                    if request.overflows < self.config.lobby_overflows_max =>
                {
                    self.stats.limit(Limit::LobbyCapacity);
                    request.target = JoinTarget::Named(name.next_lobby());
                    request.overflows += 1;
                }
                super::join::Admission::Overflow => return Found::Refused(LineError::Full(name)),
                super::join::Admission::Refuse(limit, notice) => {
                    self.stats.limit(limit);
                    return Found::Refused(line_error(&notice));
                }
            }
        }
    }

    pub(super) fn on_seat_kept(
        &mut self,
        now: Now,
        conn: ConnId,
        user: UserId,
        request: JoinRequest,
    ) {
        let Some(slot) = self.conns.find(conn) else {
            let request = Box::new(request);
            return self.follow(now, user, conn, Mesh::SeatKept { conn, user, request });
        };
        if !self.take_seat_wait(slot) {
            return;
        }
        let key = self.conns.key(slot);
        self.go(now, slot, request);
        if let Some(slot) = self.conns.slot(key) {
            self.resume(slot);
        }
    }

    pub(super) fn on_seat_refused(
        &mut self,
        now: Now,
        conn: ConnId,
        user: UserId,
        error: &LineError,
    ) {
        let Some(slot) = self.conns.find(conn) else {
            let error = Box::new(error.clone());
            return self.follow(now, user, conn, Mesh::SeatRefused { conn, user, error });
        };
        if self.take_seat_wait(slot) {
            self.refuse_line(slot, error);
            self.resume(slot);
        }
    }

    fn take_seat_wait(&mut self, slot: u32) -> bool {
        let extra = self.conns[slot].extra();
        let waited = extra.awaits == Some(Awaits::Seat);
        if waited {
            extra.awaits = None;
        }
        waited
    }

    /// Tells everyone who reads lines and is not sent the channel itself that somebody has the crown.
    pub(super) fn tell_crowned(&mut self, idx: u32, heir: u32) {
        let channel = &self.channels[idx as usize];
        if !channel.is_read_in_lines() {
            return;
        }
        let (profile, digits) = {
            let heir = &channel.roster[heir];
            (heir.profile.clone(), heir.digits)
        };
        let position = crate::Position::OFF_SCREEN;
        let view = crate::ParticipantView { profile: &profile, position, digits };
        self.broadcast(idx, None, Class::Prompt, Event::Crowned(view));
    }
}

/// What a refusal is to somebody at a terminal.
pub(super) fn line_error(notice: &crate::Notice) -> LineError {
    use crate::Notice;
    match notice {
        Notice::StillBanned { channel, seconds } => {
            LineError::Banned { channel: channel.clone(), seconds: *seconds }
        }
        Notice::ChannelFull { channel } => LineError::Full(channel.clone()),
        Notice::TooNew { channel, required_ms } => {
            LineError::TooNew { channel: channel.clone(), required_ms: *required_ms }
        }
        Notice::NoMoreChannels { .. } => LineError::NoMoreChannels,
        _ => LineError::Server,
    }
}

impl Format {
    /// The same with or without the lines that tell who joins and leaves, for one of line chat.
    #[must_use]
    pub fn with_joins(self, shown: bool) -> Self {
        let crlf = self == Format::LINE_CRLF || self == Format::LINE_QUIET_CRLF;
        match (self.is_line(), shown, crlf) {
            (false, ..) => self,
            (true, true, false) => Format::LINE,
            (true, true, true) => Format::LINE_CRLF,
            (true, false, false) => Format::LINE_QUIET,
            (true, false, true) => Format::LINE_QUIET_CRLF,
        }
    }

    /// The same with lines that end with CR LF, for one of line chat.
    #[must_use]
    pub fn with_crlf(self) -> Self {
        match self {
            Format::LINE => Format::LINE_CRLF,
            Format::LINE_QUIET => Format::LINE_QUIET_CRLF,
            other => other,
        }
    }
}
