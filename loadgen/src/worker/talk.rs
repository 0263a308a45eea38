//! What is said between a person and the server, in whichever dialect: `hi`, `ch`, and everything that is heard.

use super::Worker;
use super::orders::{Event, Tallies};
use super::peer::{Goal, State};
use crate::scenario::Dialect;
use crate::wire::{self, Message, What};

impl Worker {
    #[inline]
    pub(super) fn hear(&mut self, idx: u32, payload: &[u8], dialect: Dialect, at_us: u64) {
        let peer = &self.peers[idx as usize];
        // What nuisances hear of each other concerns nobody. Some also hear the lobby on their way, and terminals what
        // was said before they came.
        let by_lobby = matches!(dialect, Dialect::Line | Dialect::Quic);
        let overhears = by_lobby && (peer.recalls || !peer.state.is_ready()) || peer.nuisance;
        let mut books = self.books.as_mut().filter(|_| !overhears);
        // What changes the connection itself is seldom, and is looked at afterwards.
        let mut seldom = Vec::new();
        let printed_anew = wire::print_anew(payload, dialect);
        let payload = printed_anew.as_deref().unwrap_or(payload);
        wire::each_message(payload, dialect, |what, message| match what {
            What::Note | What::Chat | What::Cursor | What::Time => {
                if let Some(books) = &mut books {
                    books.deliver(idx, what, message, at_us);
                }
            }
            // They come once in a connection's life, or are settled by it.
            What::Hi
            | What::Channel
            | What::List
            | What::Notification
            | What::Refusal
            | What::Farewell
            | What::Ping
            | What::History
            | What::HistoryEnd => seldom.push((what, message)),
            What::Other => {}
        });
        for (what, message) in seldom {
            self.hear_seldom(idx, what, message, at_us);
        }
    }

    fn hear_seldom(&mut self, idx: u32, what: What, message: Message<'_>, at_us: u64) {
        let peer = &mut self.peers[idx as usize];
        match (what, message) {
            // History comes within one message, but for terminals.
            (What::History, Message::Line(_)) => peer.recalls = true,
            (What::HistoryEnd, Message::Line(_)) => peer.recalls = false,
            (What::Hi, _) => self.greeted(idx, at_us),
            (What::Channel, _) => self.seated(idx, message, at_us),
            (What::List, Message::Text(text)) => self.listed(text, at_us),
            (What::Ping, Message::Frame(ping)) => {
                self.tallies.pings += 1;
                let mut message = std::mem::take(&mut self.message);
                message.clear();
                wire::quic::put_pong(&mut message, ping);
                self.send(idx, &message, Dialect::Quic);
                self.message = message;
            }
            (What::Farewell, _) => peer.farewell = wire::notification_text(message).into(),
            (What::Refusal, _) => self.gone(idx, &wire::notification_text(message)),
            (What::Notification, _) => {
                let text = wire::notification_text(message);
                self.tallies.notifications += 1;
                self.tallies.first_notification.get_or_insert_with(|| text.clone());
                if let Message::Line(_) | Message::Frame(_) = message {
                    match peer.state {
                        // It is the answer to the wish to be let in.
                        State::Greeting | State::Joining | State::Moving => self.gone(idx, &text),
                        _ => peer.farewell = text.into(),
                    }
                }
            }
            _ => {}
        }
    }

    /// The server is ready to hear who it is.
    pub(super) fn upgraded(&mut self, idx: u32) {
        if self.peers[idx as usize].goal == Goal::Upgraded {
            return self.set_state(idx, State::Ready);
        }
        self.set_state(idx, State::Greeting);
        let mut message = std::mem::take(&mut self.message);
        let dialect = self.scenario.dialect;
        let mut nick = String::new();
        if matches!(dialect, Dialect::Line | Dialect::Quic) {
            self.nicks += 1;
            nick = wire::line::nick(self.run, self.number, self.nicks);
            self.peers[idx as usize].id = nick.as_bytes().into();
        }
        wire::put_hi(&mut message, dialect, &nick);
        self.send(idx, &message, dialect);
        self.message = message;
    }

    fn greeted(&mut self, idx: u32, at_us: u64) {
        let peer = &self.peers[idx as usize];
        match (peer.state, peer.goal) {
            (State::Greeting, Goal::Known) => self.settled(idx, State::Greeting, at_us),
            (State::Greeting, _) => {
                let channel = self.channel_name(idx);
                self.set_state(idx, State::Joining);
                self.join(idx, &channel);
            }
            _ => {}
        }
    }

    /// Asks for a seat in a channel.
    pub(super) fn join(&mut self, idx: u32, channel: &str) {
        self.peers[idx as usize].wanted = channel.into();
        let mut message = std::mem::take(&mut self.message);
        let dialect = self.scenario.dialect;
        let left = std::mem::take(&mut self.peers[idx as usize].room_id);
        if left != 0 {
            // Where one may sit in many rooms, one is left for the other.
            message.clear();
            wire::quic::put_leave(&mut message, left);
            self.send(idx, &message, dialect);
        }
        wire::put_join(&mut message, dialect, channel);
        self.send(idx, &message, dialect);
        self.message = message;
    }

    /// The name of the channel that a person is to sit in.
    pub(super) fn channel_name(&self, idx: u32) -> String {
        let peer = &self.peers[idx as usize];
        format!("{}-{}-{}-{}", self.prefix, self.generation, peer.room, peer.channel)
    }

    fn seated(&mut self, idx: u32, channel: Message<'_>, at_us: u64) {
        let peer = &mut self.peers[idx as usize];
        let state = peer.state;
        // Settings and crowns are told by `ch` as well.
        if !matches!(state, State::Joining | State::Moving) {
            return;
        }
        let own_id = wire::own_id(channel);
        if own_id.is_none() && !matches!(channel, Message::Line(_) | Message::Frame(_)) {
            let text = "a `ch` without the receiver's own id".to_owned();
            Tallies::count(&mut self.tallies.errors, &text);
            return;
        }
        if let Some(name) = wire::channel_id(channel)
            && *name != *peer.wanted.as_bytes()
        {
            // What is told of the old channel on the way to another is not the answer.
            if *name != *peer.seat.as_bytes() {
                self.gone(idx, "it was put into another channel than it asked for (--prefix)");
            }
            return;
        }
        peer.seat = std::mem::take(&mut peer.wanted);
        if let Message::Frame(frame) = channel {
            peer.room_id = wire::quic::room_id(frame).unwrap_or_default();
        }
        if let Some(id) = own_id
            && *peer.id != *id
        {
            peer.id = id.into();
        }
        self.settled(idx, state, at_us);
    }

    /// Somebody is where they wanted to be, and was in `state` before.
    fn settled(&mut self, idx: u32, state: State, at_us: u64) {
        let peer = &self.peers[idx as usize];
        let since_us = peer.since_us;
        let (place, person, peer_is_nuisance) = (peer.channel, peer.person, peer.nuisance);
        let group = usize::from(person.group);
        self.set_state(idx, State::Ready);
        let event = match (state, self.books.is_some()) {
            (State::Moving, _) => Event::Join,
            (_, false) => Event::Arrival,
            (_, true) => Event::Back,
        };
        if peer_is_nuisance {
            return;
        }
        let (from_us, to_us) = self.window_us;
        if event == Event::Arrival || (from_us..to_us).contains(&since_us) {
            self.timed.record(event, at_us.saturating_sub(since_us));
        }
        match event {
            Event::Join => self.tallies.joins += 1,
            Event::Back => self.tallies.returns += 1,
            _ => {}
        }
        if let Some(books) = &mut self.books {
            books.moved(idx, place);
        }
        if self.scenario.groups[group].list && state == State::Joining {
            let mut message = std::mem::take(&mut self.message);
            let dialect = self.scenario.dialect;
            wire::put_follow_list(&mut message, dialect);
            self.send(idx, &message, dialect);
            self.message = message;
        }
        self.after_seat(idx);
    }
}
