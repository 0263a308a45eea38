//! What a person sees and does: keys and news go in, actions come out.

use super::commands;
use super::editor::Editor;
use super::help::COMMANDS;
use ratatui::crossterm::event::{Event as Terminal, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tutti_chat::link::News;
use tutti_chat::model::{Entry, Model, Pending, Room, Said};
use tutti_chat::wire::{Command, Event, Signal};

/// How often others are told that one goes on typing.
const TYPING_EVERY: Duration = Duration::from_secs(3);
/// Lines of the status pane that are kept.
const LOG_LINES_MAX: usize = 500;
/// Messages that one fetch asks for.
const HISTORY_PAGE: u32 = 50;

/// What has to be done outside.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Send(Command, Purpose),
    Signal(Signal),
    Upload { room_id: u64, path: PathBuf },
    Download { upload_id: u64, to: Option<PathBuf> },
    Quit,
}

/// What a command was sent for, so that its answer can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A message in a room.
    Message {
        room_id: u64,
        content: String,
    },
    /// The room that comes is shown.
    Enter,
    /// A message that is said in the direct room that comes.
    Whisper(String),
    History(u64),
    Rooms,
    /// What is said when it is done; nothing if empty.
    Done(&'static str),
}

/// A message that shows an upload.
pub(crate) fn attachment(room_id: u64, name: String, upload_id: u64) -> Command {
    Command::SendMessage {
        room_id,
        content: name,
        reply_to: None,
        attachments: vec![upload_id],
        kind: "text",
    }
}

/// The whole state of the interactive client.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) model: Model,
    pub(crate) editor: Editor,
    /// The room that is shown; none is the status pane.
    pub(crate) current: Option<u64>,
    /// The selected message of the room that is shown.
    pub(crate) selected: Option<u64>,
    /// Lines between the bottom of the pane and the newest line.
    pub(crate) scroll: usize,
    /// Lines of the pane, as they were drawn last.
    pub(crate) pane_lines: usize,
    /// Whether the oldest line was in the pane when it was drawn last.
    pub(crate) at_top: bool,
    /// Status lines, the newest last.
    pub(crate) log: VecDeque<String>,
    /// The last thing that was said to the person, above the input line.
    pub(crate) hint: String,
    pub(crate) status: String,
    pub(crate) connected: bool,
    /// Why the client had to end.
    pub(crate) failure: Option<String>,
    pub(crate) last_whisper: Option<u64>,
    /// Rooms that were named at the start and have not come yet; each is shown when it comes.
    wanted: Vec<String>,
    purposes: HashMap<String, Purpose>,
    /// Answers that are to be shown where they arrive: rooms by number.
    whispers: HashMap<u64, String>,
    fetching: Option<u64>,
    typed_at: Option<Instant>,
    /// Per room the newest message that was said to be read.
    read: HashMap<u64, u64>,
    pub(crate) pseq: u32,
}

impl App {
    /// A client that will enter the rooms of these names, and shows the last of them.
    pub(crate) fn new(wanted: Vec<String>) -> Self {
        Self {
            model: Model::new(),
            editor: Editor::default(),
            current: None,
            selected: None,
            scroll: 0,
            pane_lines: 20,
            at_top: false,
            log: VecDeque::new(),
            hint: String::new(),
            status: "connecting".into(),
            connected: false,
            failure: None,
            last_whisper: None,
            wanted,
            purposes: HashMap::new(),
            whispers: HashMap::new(),
            fetching: None,
            typed_at: None,
            read: HashMap::new(),
            pseq: 0,
        }
    }

    pub(crate) fn room(&self) -> Option<&Room> {
        self.model.rooms.get(&self.current?)
    }

    /// Rooms in the order of the list: those one is in, by name; the lobby first.
    pub(crate) fn list(&self) -> Vec<&Room> {
        let mut rooms: Vec<&Room> = self.model.rooms.values().collect();
        let me = self.model.my_id();
        rooms.sort_by_key(|room| (room.room_id != 1, room.room_type != "channel", room.title(me)));
        rooms
    }

    /// Says something to the person.
    pub(crate) fn say(&mut self, text: String) {
        if self.log.len() == LOG_LINES_MAX {
            self.log.pop_front();
        }
        self.log.push_back(text.clone());
        self.hint = text;
    }

    /// Says something that has many lines, on the status pane.
    pub(crate) fn show(&mut self, lines: Vec<String>) {
        for line in lines {
            self.say(line);
        }
        self.hint.clear();
        self.go(None);
    }

    /// A command was sent with `nonce`.
    pub(crate) fn sent(&mut self, nonce: String, purpose: Purpose) {
        if let Purpose::Message { room_id, content } = &purpose
            && let Some(room) = self.model.rooms.get_mut(room_id)
        {
            let (nonce, content) = (nonce.clone(), content.clone());
            room.pending.push(Pending { nonce, content, refused: None });
        }
        self.purposes.insert(nonce, purpose);
    }

    /// Shows a room, or the status pane.
    pub(crate) fn go(&mut self, room_id: Option<u64>) {
        self.current = room_id;
        self.selected = None;
        self.scroll = 0;
        self.fetching = None;
        if let Some(room) = room_id.and_then(|id| self.model.rooms.get_mut(&id)) {
            room.unread = 0;
            room.mentioned = false;
        }
    }

    fn step(&mut self, by: isize) {
        let ids: Vec<Option<u64>> = std::iter::once(None)
            .chain(self.list().iter().map(|room| Some(room.room_id)))
            .collect();
        let at = ids.iter().position(|id| *id == self.current).unwrap_or(0);
        let to = (at as isize + by).rem_euclid(ids.len() as isize);
        self.go(ids[to as usize]);
    }

    // --- news ------------------------------------------------------------------------------------------------------

    pub(crate) fn news(&mut self, news: News, now: Instant, clock: u64) -> Vec<Action> {
        match news {
            News::Up { auth, early, .. } => {
                self.connected = true;
                let how = if early { ", at once" } else { "" };
                self.say(format!("connected as {}{how}", auth.username));
                self.status = auth.username.clone();
                self.pseq = 0;
                self.fetching = None;
                self.model.begin(auth);
                Vec::new()
            }
            News::Down { why, retry_in } => {
                self.connected = false;
                self.status = "no connection".into();
                match retry_in {
                    Some(pause) => {
                        self.say(format!("{why}; trying again in {:.1} s", pause.as_secs_f32()));
                    }
                    None => self.failure = Some(why),
                }
                Vec::new()
            }
            News::Unsent { nonce, why } => {
                if let Some(Purpose::Message { room_id, .. }) = self.purposes.remove(&nonce)
                    && let Some(room) = self.model.rooms.get_mut(&room_id)
                    && let Some(pending) = room.pending.iter_mut().find(|p| p.nonce == nonce)
                {
                    pending.refused = Some(why.into());
                } else {
                    self.say(why.into());
                }
                Vec::new()
            }
            News::Event(event) => self.event(&event, now, clock),
        }
    }

    fn event(&mut self, event: &Event, now: Instant, clock: u64) -> Vec<Action> {
        let before = self.room().map(|room| room.entries.len());
        self.model.apply(event, now, clock);
        let mut actions = Vec::new();
        match event {
            Event::RoomInit(init) => {
                let wanted = self.wanted.iter().position(|name| *name == init.name);
                let wanted = wanted.map(|at| self.wanted.swap_remove(at)).is_some();
                let is_first = self.current.is_none() && self.log.len() <= 2;
                if wanted || is_first || self.awaits(init.room_id) {
                    self.go(Some(init.room_id));
                }
                if let Some(text) = self.whispers.remove(&init.room_id) {
                    actions.push(self.message(init.room_id, text, None, "text"));
                }
            }
            Event::CommandOk(ok) => {
                let purpose = ok.nonce.as_ref().and_then(|nonce| self.purposes.remove(nonce));
                actions.extend(self.done(purpose, ok.room_id));
            }
            Event::MessageAck(ack) => {
                self.purposes.remove(&ack.nonce);
            }
            Event::Fault(fault) => {
                let purpose = fault.nonce.as_ref().and_then(|nonce| self.purposes.remove(nonce));
                if let Some(Purpose::History(_)) = purpose {
                    self.fetching = None;
                }
                if !matches!(purpose, Some(Purpose::Message { .. })) {
                    self.say(format!("refused: {} ({})", fault.message, fault.code));
                }
            }
            Event::Throttle(throttle) => {
                self.hint = format!("the server asks to wait for {} ms", throttle.delay_ms);
            }
            Event::ServerCommand(command) => match command.command.as_str() {
                "notice" => {
                    let text = command.params.get("text").and_then(|text| text.as_str());
                    self.say(format!("notice: {}", text.unwrap_or_default()));
                }
                "shutdown" => self.say("the server is about to stop".into()),
                "reauth" => {
                    self.say("the token is about to expire; start again with a new one".into())
                }
                _ => {}
            },
            Event::RoomInvite(invite) => {
                let (by, name) = (&invite.by.username, &invite.name);
                self.say(format!("{by} invites you into {name}: /join id:{}", invite.room_id));
            }
            Event::RoomList(list) => {
                if let Some(nonce) = &list.nonce {
                    self.purposes.remove(nonce);
                }
                let mut lines = vec!["rooms:".to_owned()];
                lines.extend(list.rooms.iter().map(|room| {
                    let topic =
                        room.topic.as_deref().map_or(String::new(), |topic| format!("  {topic}"));
                    format!("  #{} ({} people){topic}", room.name, room.member_count)
                }));
                if list.next.is_some() {
                    lines.push("  ... and more; name a part: /rooms TEXT".into());
                }
                self.show(lines);
            }
            Event::RoomHistory(history) => {
                self.fetching = None;
                if let Some(nonce) = &history.nonce {
                    self.purposes.remove(nonce);
                }
            }
            Event::RoomClose(closed) => {
                let title = self.model.rooms.get(&closed.room_id).map(|room| room.title(0));
                let title = title.unwrap_or_default();
                if closed.reason != "left" {
                    self.say(format!("you are out of {title}: {}", closed.reason));
                } else {
                    self.model.rooms.remove(&closed.room_id);
                    if self.current == Some(closed.room_id) {
                        let first = self.list().first().map(|room| room.room_id);
                        self.go(first);
                    }
                }
            }
            Event::Message(message) => {
                let room = self.model.rooms.get(&message.room_id);
                let direct = room.is_some_and(|room| room.room_type == "direct");
                if direct && message.sender.user_id != self.model.my_id() {
                    self.last_whisper = Some(message.room_id);
                }
            }
            Event::Read(receipt) if receipt.user_id == self.model.my_id() => {
                // Read on another device.
                if let Some(room) = self.model.rooms.get_mut(&receipt.room_id) {
                    room.unread = 0;
                    room.mentioned = false;
                }
            }
            _ => {}
        }
        // What is looked at stays in place while newer lines come below.
        if let Some(room) = self.current.and_then(|id| self.model.rooms.get_mut(&id)) {
            if self.scroll == 0 {
                room.unread = 0;
                room.mentioned = false;
            } else if !matches!(event, Event::RoomHistory(_)) && Some(room.entries.len()) > before {
                self.scroll += 1;
            }
        }
        actions
    }

    /// Whether a room is the one that somebody asked for.
    fn awaits(&mut self, room_id: u64) -> bool {
        self.whispers.get(&room_id).is_some_and(String::is_empty)
    }

    fn done(&mut self, purpose: Option<Purpose>, room_id: Option<u64>) -> Vec<Action> {
        match (purpose, room_id) {
            (Some(Purpose::Enter), Some(id)) => {
                if self.model.rooms.get(&id).is_some_and(|room| room.inside) {
                    self.go(Some(id));
                } else {
                    self.whispers.insert(id, String::new());
                }
            }
            (Some(Purpose::Whisper(text)), Some(id)) => {
                if self.model.rooms.get(&id).is_some_and(|room| room.inside) {
                    return vec![self.message(id, text, None, "text")];
                }
                self.whispers.insert(id, text);
            }
            (Some(Purpose::Done(text)), _) if !text.is_empty() => self.say(text.into()),
            _ => {}
        }
        Vec::new()
    }

    pub(crate) fn message(
        &self,
        room_id: u64,
        content: String,
        reply_to: Option<u64>,
        kind: &'static str,
    ) -> Action {
        let purpose = Purpose::Message { room_id, content: content.clone() };
        let attachments = Vec::new();
        Action::Send(
            Command::SendMessage { room_id, content, reply_to, attachments, kind },
            purpose,
        )
    }

    // --- time ------------------------------------------------------------------------------------------------------

    pub(crate) fn tick(&mut self, _now: Instant, clock: u64) -> Vec<Action> {
        if let Some(why) = &self.failure {
            self.status.clone_from(why);
            return vec![Action::Quit];
        }
        // What is in sight has been read.
        let Some(room) = self.current.and_then(|id| self.model.rooms.get(&id)) else {
            return Vec::new();
        };
        let me = self.model.my_id();
        let others = room.messages.values().filter(|said| said.sender.user_id != me);
        let newest = others.map(|said| said.message_id).max();
        let (room_id, known) = (room.room_id, self.read.get(&room.room_id).copied());
        match newest {
            Some(message_id) if room.inside && self.scroll == 0 && known < Some(message_id) => {
                self.read.insert(room_id, message_id);
                vec![Action::Signal(Signal::Read { room_id, message_id, read_at: clock })]
            }
            _ => Vec::new(),
        }
    }

    // --- keys ------------------------------------------------------------------------------------------------------

    pub(crate) fn input(&mut self, event: &Terminal, now: Instant) -> Vec<Action> {
        match event {
            Terminal::Key(key) if key.kind != KeyEventKind::Release => self.key(*key, now),
            Terminal::Paste(text) => {
                self.editor.insert(text);
                self.typing(now)
            }
            _ => Vec::new(),
        }
    }

    fn key(&mut self, key: KeyEvent, now: Instant) -> Vec<Action> {
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return vec![Action::Quit],
            KeyCode::Char('a') if control => self.editor.home(),
            KeyCode::Char('e') if control => self.editor.end(),
            KeyCode::Char('u') if control => self.editor.delete_to_start(),
            KeyCode::Char('w') if control => self.editor.delete_word(),
            KeyCode::Char('n') if control => self.step(1),
            KeyCode::Char('p') if control => self.step(-1),
            KeyCode::Char(c @ '1'..='9') if alt => {
                let nth = c as usize - '1' as usize;
                if let Some(id) = self.list().get(nth).map(|room| room.room_id) {
                    self.go(Some(id));
                }
            }
            KeyCode::Char('b') if alt => self.editor.word_left(),
            KeyCode::Char('f') if alt => self.editor.word_right(),
            KeyCode::Enter if alt || key.modifiers.contains(KeyModifiers::SHIFT) => {
                self.editor.insert("\n");
            }
            KeyCode::Enter => return self.enter(),
            KeyCode::Tab if self.editor.before().is_empty() => self.step(1),
            KeyCode::Tab => self.complete(),
            KeyCode::BackTab => self.step(-1),
            KeyCode::Left if control || alt => self.editor.word_left(),
            KeyCode::Right if control || alt => self.editor.word_right(),
            KeyCode::Left => self.editor.left(),
            KeyCode::Right => self.editor.right(),
            KeyCode::Home => self.editor.home(),
            KeyCode::End => self.editor.end(),
            KeyCode::Up => self.select(-1),
            KeyCode::Down => self.select(1),
            KeyCode::Esc => {
                self.selected = None;
                self.scroll = 0;
                self.hint.clear();
            }
            KeyCode::PageUp => return self.page_up(),
            KeyCode::PageDown => {
                self.scroll = self.scroll.saturating_sub(self.pane_lines.max(2) - 1)
            }
            KeyCode::F(1) => self.show(commands::help()),
            KeyCode::F(2) => self.editor.set("/reply "),
            KeyCode::F(3) => {
                if let Some(said) = self.own_target() {
                    let text = format!("/edit {}", said.content);
                    self.editor.set(text);
                }
            }
            KeyCode::F(4) => self.editor.set("/react "),
            KeyCode::Backspace if alt => self.editor.delete_word(),
            KeyCode::Backspace => {
                self.editor.backspace();
                return self.typing(now);
            }
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Char(c) if !control && !alt => {
                self.editor.insert(c.encode_utf8(&mut [0; 4]));
                return self.typing(now);
            }
            _ => {}
        }
        Vec::new()
    }

    /// Tells the others that one is typing, or not any more.
    fn typing(&mut self, now: Instant) -> Vec<Action> {
        let Some(room_id) = self.room().filter(|room| room.inside).map(|room| room.room_id) else {
            return Vec::new();
        };
        let is_text = !self.editor.is_empty() && !self.editor.text().starts_with('/');
        match (is_text, self.typed_at) {
            (true, Some(at)) if now.duration_since(at) < TYPING_EVERY => Vec::new(),
            (true, _) => {
                self.typed_at = Some(now);
                vec![Action::Signal(Signal::Typing { room_id })]
            }
            (false, Some(_)) if self.editor.is_empty() => {
                self.typed_at = None;
                vec![Action::Signal(Signal::StopTyping { room_id })]
            }
            (false, _) => Vec::new(),
        }
    }

    fn enter(&mut self) -> Vec<Action> {
        let text = self.editor.take();
        self.typed_at = None;
        self.hint.clear();
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Vec::new();
        }
        match trimmed.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => match commands::run(self, rest) {
                Ok(actions) => actions,
                Err(why) => {
                    self.say(why);
                    self.editor.set(text);
                    Vec::new()
                }
            },
            // Two slashes say one.
            rest => self.speak(rest.unwrap_or(trimmed), None, "text"),
        }
    }

    /// Says `content` in the room that is shown.
    pub(crate) fn speak(
        &mut self,
        content: &str,
        reply_to: Option<u64>,
        kind: &'static str,
    ) -> Vec<Action> {
        let Some(room) = self.room().filter(|room| room.inside || !self.connected) else {
            self.say("you are in no room here; /join one".into());
            self.editor.set(content);
            return Vec::new();
        };
        let action = self.message(room.room_id, content.to_owned(), reply_to, kind);
        self.scroll = 0;
        self.selected = None;
        vec![action]
    }

    /// Moves the selection by one message.
    fn select(&mut self, by: isize) {
        let Some(room) = self.room() else { return };
        let ids: Vec<u64> = room
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Message(id) => Some(*id),
                Entry::Notice(..) => None,
            })
            .collect();
        let at = self.selected.and_then(|id| ids.iter().position(|other| *other == id));
        self.selected = match at {
            None if by < 0 => ids.last().copied(),
            None => None,
            Some(at) => match at.checked_add_signed(by) {
                None => ids.first().copied(),
                Some(at) => ids.get(at).copied(),
            },
        };
    }

    /// Older lines, from the server where there are no more here.
    fn page_up(&mut self) -> Vec<Action> {
        if self.at_top {
            return self.fetch();
        }
        self.scroll += self.pane_lines.max(2) - 1;
        Vec::new()
    }

    pub(crate) fn fetch(&mut self) -> Vec<Action> {
        let Some(room) = self.room() else { return Vec::new() };
        if !room.more {
            self.hint = "there are no older messages".into();
            return Vec::new();
        }
        let (room_id, before_id) = (room.room_id, room.oldest());
        if self.fetching == Some(room_id) {
            return Vec::new();
        }
        self.fetching = Some(room_id);
        let fetch =
            Command::FetchHistory { room_id, before_id, after_seq: None, limit: HISTORY_PAGE };
        vec![Action::Send(fetch, Purpose::History(room_id))]
    }

    /// The selected message, or the last one.
    pub(crate) fn target(&self) -> Option<&Said> {
        let room = self.room()?;
        match self.selected {
            Some(id) => room.messages.get(&id),
            None => {
                room.messages.values().filter(|said| !said.deleted).max_by_key(|s| s.message_id)
            }
        }
    }

    /// The selected message, or the last one that one has said oneself.
    pub(crate) fn own_target(&self) -> Option<&Said> {
        let (room, me) = (self.room()?, self.model.my_id());
        match self.selected {
            Some(id) => room.messages.get(&id),
            None => room
                .messages
                .values()
                .filter(|said| said.sender.user_id == me && !said.deleted)
                .max_by_key(|said| said.message_id),
        }
    }

    /// Completes the word before the cursor: a command at the start, a name elsewhere.
    fn complete(&mut self) {
        let before = self.editor.before();
        let word = before.rsplit(char::is_whitespace).next().unwrap_or_default().to_owned();
        if word.is_empty() {
            return;
        }
        let first = word.len() == before.len();
        let found = if first && word.starts_with('/') {
            let commands = COMMANDS.iter().flat_map(|(usage, _)| usage.split(", "));
            let mut names = commands.filter_map(|usage| usage.split(' ').next());
            names.find(|name| name.starts_with(&word)).map(|name| format!("{name} "))
        } else {
            let lower = word.trim_start_matches('@').to_lowercase();
            let me = self.model.my_id();
            let members = self.room().into_iter().flat_map(|room| room.members.values());
            let mut names: Vec<&str> = members
                .filter(|member| member.user_id != me)
                .map(|member| member.username.as_str())
                .filter(|name| name.to_lowercase().starts_with(&lower))
                .collect();
            names.sort_unstable();
            names.first().map(|name| if first { format!("{name}: ") } else { format!("{name} ") })
        };
        if let Some(found) = found {
            self.editor.replace_before(word.len(), &found);
        }
    }
}

#[cfg(test)]
mod tests;
