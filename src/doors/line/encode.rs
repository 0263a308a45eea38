//! Events into lines (line chat's protocol page, sections 6 to 9).

use super::{put_end, put_line, time};
use std::collections::VecDeque;
use tutti_shards::{
    Attachment, ChannelInfo, ChannelName, ChannelView, ChatMessage, DoorKind, Entry, Event, Format,
    LineError, LineEvent, Notice, OperatorNotice, ParticipantView, Profile, UserId, Wire, clean,
    write_line_name,
};

/// Most rooms that a list shows.
const ROOMS_MAX: usize = 200;
/// Most people that a list shows.
const USERS_MAX: usize = 500;

/// Writes events for terminals. What they are not shown becomes nothing.
#[derive(Clone, Debug)]
pub struct LineWire {
    /// Messages shown to those who enter a room.
    history: usize,
}

impl Default for LineWire {
    fn default() -> Self {
        LineWire { history: 10 }
    }
}

/// Lines for one format.
struct Page<'a> {
    out: &'a mut Vec<u8>,
    crlf: bool,
    /// Whether it shows who joins and leaves.
    joins: bool,
}

/// Whether lines of this format end with CR LF.
pub(super) fn is_crlf(format: Format) -> bool {
    format == Format::LINE_CRLF || format == Format::LINE_QUIET_CRLF
}

impl LineWire {
    /// A wire that shows so many messages to those who enter a room.
    #[must_use]
    pub fn new(history: usize) -> Self {
        LineWire { history }
    }

    fn event(&self, event: &Event<'_>, page: &mut Page<'_>) {
        match *event {
            Event::Participant(view) if page.joins => page.about(&view, " joined the room"),
            Event::Left(view) if page.joins => page.about(&view, " left the room"),
            Event::Changed { view, before } => {
                let (old, new) = (name(before, view.digits), name(view.profile, view.digits));
                if old != new {
                    page.parts(&[b"*** ", &old, b" is now known as ", &new]);
                }
            }
            Event::Crowned(view) => page.about(&view, " now holds the crown"),
            Event::ChatSwitched(true) => page.line("*** Chat is now on"),
            Event::ChatSwitched(false) => page.line("*** Chat is now off"),
            Event::Chat(message) => page.chat(message, None),
            Event::Edited { message, .. } => page.edited(message),
            Event::Deleted(message) => {
                let author = name(&message.by, message.digits);
                page.parts(&[b"*** A message from ", &author, b" was deleted"]);
            }
            Event::Direct { message, .. } => page.private(message),
            Event::List { complete: true, entries, .. } => page.rooms(entries),
            Event::Notice(notice) => page.notice(notice),
            Event::Line(event) => self.line_event(&event, page),
            _ => {}
        }
    }

    fn line_event(&self, event: &LineEvent<'_>, page: &mut Page<'_>) {
        match *event {
            LineEvent::NickTaken { again } => {
                page.line("Registration failed: Nickname already taken");
                if again {
                    page.out.extend_from_slice(super::prompt::PROMPT);
                }
            }
            LineEvent::Error(error) => page.error(error),
            LineEvent::Entered { how, view, me, history, wall_ms } => {
                let room = plain(view.name.as_str());
                match how {
                    Entry::Joined | Entry::Piano => {
                        page.parts(&[b"You joined #", room.as_bytes()]);
                    }
                    Entry::Returned => page.parts(&[b"You returned to #", room.as_bytes()]),
                    Entry::Welcome => {
                        let nick = name_of(view, me);
                        page.parts(&[b"Welcome ", &nick, b"! You are in #", room.as_bytes()]);
                        page.line("Type /help for available commands");
                    }
                }
                page.history(view.name, history, self.history, wall_ms);
            }
            LineEvent::Renamed(nick) => page.parts(&[b"You are now known as ", nick.as_bytes()]),
            LineEvent::Colored(color) => page.line(&format!("Your color is {color}")),
            LineEvent::Away(true) => page.line("You are away"),
            LineEvent::Away(false) => page.line("You are back"),
            LineEvent::JoinsShown(true) => page.line("Join and leave lines are on"),
            LineEvent::JoinsShown(false) => page.line("Join and leave lines are off"),
            LineEvent::Users { view, me } => page.users(view, me),
            LineEvent::History { channel, history, last, wall_ms } => {
                page.history(channel, history, last, wall_ms);
            }
            LineEvent::Sent { to, text } => {
                let to = name(to.profile, to.digits);
                for part in text.as_str().split('\n') {
                    page.parts(&[b"[Private to ", &to, b"]: ", part.as_bytes()]);
                }
            }
            LineEvent::Kicked(who) => {
                page.parts(&[b"Kicked ", &name(who.profile, who.digits)]);
            }
            LineEvent::Banned { who, minutes } => {
                let end = format!(" for {minutes} minutes");
                page.parts(&[b"Banned ", &name(who.profile, who.digits), end.as_bytes()]);
            }
            LineEvent::Unbanned(who) => page.parts(&[b"Unbanned ", plain(who).as_bytes()]),
            LineEvent::LeftOut => page.line("*** Some join and leave lines were left out"),
            LineEvent::Idle => page.line("*** Idle, closing in 60 seconds"),
        }
    }
}

impl Wire for LineWire {
    fn encode(&self, format: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        let joins = format == Format::LINE || format == Format::LINE_CRLF;
        let mut page = Page { out, crlf: is_crlf(format), joins };
        events.iter().for_each(|event| self.event(event, &mut page));
    }

    fn encode_unaddressed(&self, _: Format, _: ChannelView<'_>, _: &mut Vec<u8>) -> usize {
        0
    }

    fn address(&self, _: Format, _: &mut [u8], _: usize, _: UserId) {}

    fn ping(&self, _: Format, _: &mut Vec<u8>) {}
}

/// A file that a message shows.
fn file_line(file: &Attachment) -> String {
    let size = match file.size {
        size @ 0..1_024 => format!("{size} bytes"),
        size @ 1_024..1_048_576 => format!("{} KiB", size.div_ceil(1_024)),
        size => format!("{} MiB", size.div_ceil(1_048_576)),
    };
    format!("[file] {} ({size}) {}", plain(&file.name), plain(&file.url))
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        put_line(self.out, self.crlf, text);
    }

    fn parts(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
        put_end(self.out, self.crlf);
    }

    fn about(&mut self, who: &ParticipantView<'_>, what: &str) {
        self.out.extend_from_slice(b"*** ");
        write_line_name(who.profile, who.digits, self.out);
        self.line(what);
    }

    /// Something said or done; with `now_ms` as one of the lines of a history.
    fn chat(&mut self, message: &ChatMessage, now_ms: Option<u64>) {
        // In history an edited message says so; what is said now is not edited yet.
        let edited = now_ms.is_some() && message.edited_ms.is_some();
        let mut parts = message.text.as_str().split('\n').peekable();
        while let Some(part) = parts.next() {
            self.out.push(b'[');
            time::put_moment(self.out, message.sent_ms, now_ms.unwrap_or(message.sent_ms));
            self.out.extend_from_slice(if message.is_action { b"] * " } else { b"] " });
            write_line_name(&message.by, message.digits, self.out);
            self.out.extend_from_slice(if message.is_action { b" " } else { b": " });
            let end = if edited && parts.peek().is_none() { " (edited)" } else { "" };
            self.line(&format!("{}{end}", part.replace('\t', " ")));
        }
        for file in &message.attachments {
            self.out.push(b'[');
            time::put_moment(self.out, message.sent_ms, now_ms.unwrap_or(message.sent_ms));
            self.out.extend_from_slice(b"] ");
            write_line_name(&message.by, message.digits, self.out);
            self.out.extend_from_slice(b": ");
            self.line(&file_line(file));
        }
    }

    /// A message has another text now.
    fn edited(&mut self, message: &ChatMessage) {
        for part in message.text.as_str().split('\n') {
            self.out.push(b'[');
            time::put_clock(self.out, message.edited_ms.unwrap_or(message.sent_ms));
            self.out.extend_from_slice(b"] ");
            write_line_name(&message.by, message.digits, self.out);
            self.out.extend_from_slice(b" (edit): ");
            self.line(&part.replace('\t', " "));
        }
    }

    fn private(&mut self, message: &ChatMessage) {
        let files = message.attachments.iter().map(file_line);
        let parts = message.text.as_str().split('\n').map(|part| part.replace('\t', " "));
        for part in parts.chain(files) {
            self.out.push(b'[');
            time::put_clock(self.out, message.sent_ms);
            self.out.extend_from_slice(b"] [Private from ");
            write_line_name(&message.by, message.digits, self.out);
            self.out.extend_from_slice(b"]: ");
            self.line(&part);
        }
    }

    fn history(
        &mut self,
        channel: &ChannelName,
        history: &VecDeque<ChatMessage>,
        last: usize,
        wall_ms: u64,
    ) {
        let kept = history.iter().filter(|message| !message.deleted);
        let count = kept.clone().count();
        let shown = count.min(last);
        if shown == 0 {
            return;
        }
        let room = plain(channel.as_str());
        self.line(&format!("*** Last {shown} messages in #{room}"));
        for message in kept.skip(count - shown) {
            self.chat(message, Some(wall_ms));
        }
        self.line("*** End of history");
    }

    fn rooms(&mut self, entries: &[&ChannelInfo]) {
        self.line("Available rooms:");
        let is_lobby = |info: &ChannelInfo| info.name.as_str() == "lobby";
        let mut rooms: Vec<&ChannelInfo> =
            entries.iter().copied().filter(|info| info.count > 0 || is_lobby(info)).collect();
        let order = |a: &&ChannelInfo, b: &&ChannelInfo| {
            let by_lobby = is_lobby(b).cmp(&is_lobby(a));
            by_lobby.then(b.count.cmp(&a.count)).then_with(|| a.name.cmp(&b.name))
        };
        // Of many rooms only those that are shown are put in order.
        let more = rooms.len().saturating_sub(ROOMS_MAX);
        if more > 0 {
            rooms.select_nth_unstable_by(ROOMS_MAX, order);
            rooms.truncate(ROOMS_MAX);
        }
        rooms.sort_unstable_by(order);
        for info in rooms {
            let users = if info.count == 1 { "user" } else { "users" };
            let room = plain(info.name.as_str());
            self.line(&format!("  #{room} ({} {users})", info.count));
        }
        self.more(more);
    }

    fn users(&mut self, view: ChannelView<'_>, me: UserId) {
        let room = plain(view.name.as_str());
        self.line(&format!("Users in #{room}:"));
        let mut users = Vec::new();
        view.participants.visit(&mut |who| {
            let profile = who.profile;
            let rank = match (profile.user == me, profile.door) {
                (true, _) => 0,
                (false, DoorKind::Line) => 1,
                (false, _) => 2,
            };
            users.push((rank, name(profile, who.digits), profile.door, profile.away));
        });
        users.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let more = users.len().saturating_sub(USERS_MAX);
        for (rank, name, door, away) in users.into_iter().take(USERS_MAX) {
            let door: &[u8] = match door {
                DoorKind::Line => b"",
                DoorKind::Piano => b" [piano]",
                DoorKind::Quic => b" [quic]",
            };
            let me: &[u8] = if rank == 0 { b" (you)" } else { b"" };
            let away: &[u8] = if away { b" (away)" } else { b"" };
            self.parts(&[b"  ", &name, door, me, away]);
        }
        self.more(more);
    }

    fn more(&mut self, more: usize) {
        if more > 0 {
            self.line(&format!("  ... and {more} more"));
        }
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Removed { channel, by, .. } => {
                let room = plain(channel.as_str());
                self.line(&format!("*** You were kicked from #{room} by {}", by.in_lines));
            }
            Notice::RemovedFromHere { name, by, minutes, reason } => {
                let (name, by) = (&name.in_lines, &by.in_lines);
                let why =
                    reason.as_ref().map_or(String::new(), |why| format!(": {}", why.as_str()));
                match minutes {
                    0 => self.line(&format!("*** {name} was kicked by {by}{why}")),
                    minutes => {
                        self.line(&format!(
                            "*** {name} was banned by {by} for {minutes} minutes{why}"
                        ));
                    }
                }
            }
            Notice::Muted { seconds: 0 } => self.line("*** You can be heard again"),
            Notice::Muted { seconds } => {
                self.line(&format!("*** You are muted for {seconds} seconds"));
            }
            Notice::Kicked { reason } => {
                self.because("*** An operator closed your connection", reason.as_deref());
            }
            Notice::SiteBanned { reason } => {
                self.because("*** You are banned from this server", reason.as_deref());
            }
            Notice::ChannelClosed { channel, reason } => {
                let room = plain(channel.as_str());
                self.because(&format!("*** #{room} was closed"), reason.as_deref());
            }
            Notice::NotKept => {
                self.line("*** This holds until the server restarts: it could not be written down");
            }
            Notice::Operator(notice) => self.operator(notice),
            // Said in other words, or not for terminals.
            _ => {}
        }
    }

    fn because(&mut self, what: &str, reason: Option<&str>) {
        match reason.and_then(clean) {
            Some(reason) => self.line(&format!("{what}: {reason}")),
            None => self.line(what),
        }
    }

    fn operator(&mut self, notice: &OperatorNotice) {
        let text = notice.text.as_deref().or(notice.title.as_deref()).unwrap_or_default();
        for part in text.lines().filter_map(clean) {
            self.line(&format!("*** Notice: {part}"));
        }
    }

    fn error(&mut self, error: &LineError) {
        let text = match error {
            LineError::NickTaken => "Nickname already taken".to_owned(),
            LineError::SameRoom => "Already in that room".to_owned(),
            LineError::NotFound => "User not found".to_owned(),
            LineError::Ambiguous(who) => format!("More than one user matches {}", plain(who)),
            LineError::NobodyWrote => "Nobody has written to you".to_owned(),
            LineError::Banned { channel, seconds } => {
                let room = plain(channel.as_str());
                format!("You are banned from #{room} for {seconds} more seconds")
            }
            LineError::Full(channel) => format!("#{} is full", plain(channel.as_str())),
            LineError::TooNew { channel, required_ms } => {
                let minutes = required_ms.div_ceil(60_000);
                let room = plain(channel.as_str());
                format!("#{room} is for people who have been here for at least {minutes} minutes")
            }
            LineError::NoMoreChannels => "The server has no room for another room".to_owned(),
            LineError::ChatOff(channel) => {
                format!("Chat is disabled in #{}", plain(channel.as_str()))
            }
            LineError::NotAllowed => "You are not allowed to do that".to_owned(),
            LineError::RoomTooFast => {
                "There are too many messages in this room, try again in a moment".into()
            }
            LineError::Muted(seconds) => format!("You are muted for {seconds} more seconds"),
            LineError::Server => "Server error".to_owned(),
        };
        self.line(&format!("ERROR: {text}"));
    }
}

fn name(profile: &Profile, digits: u8) -> Vec<u8> {
    let mut name = Vec::new();
    write_line_name(profile, digits, &mut name);
    name
}

/// How a participant of a room is called.
fn name_of(view: ChannelView<'_>, me: UserId) -> Vec<u8> {
    let mut found = Vec::new();
    view.participants.visit(&mut |who| {
        if who.profile.user == me {
            found = name(who.profile, who.digits);
        }
    });
    found
}

/// A name without what could draw on a terminal: the piano's door lets more into the names of rooms.
fn plain(text: &str) -> std::borrow::Cow<'_, str> {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return text.into();
    }
    clean(text).map_or(text.get(..0).unwrap_or_default().into(), |text| text.into_string().into())
}

#[cfg(test)]
mod tests;
