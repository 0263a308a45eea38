//! Rules that are seen best from one shard: each test is a little play, with what everyone is told.
//!
//! A line without a colon is something that happens, a line with one is what a peer is told of it, in order for each
//! peer. Nothing else may be told. Users are named by one letter; a user's second connection is the letter doubled.

mod bans;
mod crown;
mod joins;
mod late;
mod listing;
mod operators;
mod private;
mod stored;
mod talk;
mod terminals;

use super::*;
use crate::{
    AttachmentNews, ChannelView, ChatText, Color, CrownOnLeave, JoinTarget, Login, Nick, Note,
    NoteBatch, Notice, Order, Position, SettingsPatch,
};
use std::{collections::BTreeMap, io::IoSlice, time::Duration};

/// Writes each event as a line.
#[derive(Debug)]
struct Lines;

fn letter(user: UserId) -> char {
    char::from(user.0[0])
}

fn room(view: ChannelView<'_>) -> String {
    let mut people = String::new();
    view.participants.visit(&mut |view| people.push(letter(view.profile.user)));
    assert_eq!(people.len(), view.count as usize, "the count is exact");
    let crown = match view.crown {
        None => String::new(),
        Some(crown) if crown.held => format!(" crown {}", letter(crown.user)),
        Some(crown) => format!(" crown lies, {} had it", letter(crown.user)),
    };
    format!("{} {people}{crown}", view.name)
}

impl Wire for Lines {
    fn encode(&self, _: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            let line = match event {
                Event::Challenge | Event::Hello { .. } => continue,
                Event::History(history) if history.is_empty() => continue,
                // What is told of rooms beyond channels.
                Event::Retold(_) | Event::Edited { .. } | Event::Deleted(_) | Event::Room(_) => {
                    continue;
                }
                Event::Quota(preset) => format!("quota {}", preset.max),
                Event::Channel { view, .. } => room(*view),
                Event::Participant(view) | Event::Changed { view, .. } => {
                    format!("{} is {}", letter(view.profile.user), view.profile.color)
                }
                Event::Left(view) => format!("{} left", letter(view.profile.user)),
                Event::Crowned(_) | Event::ChatSwitched(_) | Event::Line(_) => continue,
                Event::Cursor { user, position } => {
                    format!("{} at {} {}", letter(*user), position.x, position.y)
                }
                Event::Notes { user, notes, .. } => {
                    format!("{} plays {}", letter(*user), notes.len())
                }
                Event::Chat(said) => {
                    format!("{} says {}", letter(said.by.user), said.text.as_str())
                }
                Event::History(history) => {
                    let texts: Vec<&str> = history.iter().map(|said| said.text.as_str()).collect();
                    format!("history {}", texts.join(" "))
                }
                Event::Direct { message, to } => format!(
                    "{} whispers {} to {}",
                    letter(message.by.user),
                    message.text.as_str(),
                    letter(to.user)
                ),
                Event::Notice(notice) => match notice {
                    Notice::Removed { channel, minutes, .. } => {
                        format!("removed from {channel} for {minutes}")
                    }
                    Notice::RemovedFromHere { minutes, .. } => {
                        format!("somebody is removed for {minutes}")
                    }
                    Notice::RemovedThemselves { .. } => "certificate".to_owned(),
                    Notice::StillBanned { channel, seconds } => {
                        format!("still banned in {channel} for {}", seconds.div_ceil(60))
                    }
                    Notice::ChannelFull { channel } => format!("{channel} is full"),
                    Notice::TooNew { channel, .. } => format!("too new for {channel}"),
                    Notice::TooFast => "too fast".to_owned(),
                    Notice::Unbanned { .. } => "somebody may come again".to_owned(),
                    other => format!("{other:?}"),
                },
                _ => format!("{:?}", EventKind::from(event)),
            };
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }

    fn encode_unaddressed(&self, _: Format, view: ChannelView<'_>, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(room(view).as_bytes());
        out.push(b'\n');
        0
    }

    fn address(&self, _: Format, _: &mut [u8], _: usize, _: UserId) {}

    fn ping(&self, _: Format, out: &mut Vec<u8>) {
        out.extend_from_slice(b"ping\n");
    }
}

/// Writes a line for each event of which a function makes one.
#[derive(Debug)]
struct Told(fn(&Event<'_>) -> Option<String>);

impl Wire for Told {
    fn encode(&self, _: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        for line in events.iter().filter_map(self.0) {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }

    fn encode_unaddressed(&self, _: Format, _: ChannelView<'_>, _: &mut Vec<u8>) -> usize {
        0
    }

    fn address(&self, _: Format, _: &mut [u8], _: usize, _: UserId) {}

    fn ping(&self, _: Format, _: &mut Vec<u8>) {}
}

/// Somebody comes in at a terminal.
fn log_in<W: Wire>(shard: &mut Shard<W>, now: Now, nick: &str) -> Key {
    let (key, _) = shard.open(now, Format::LINE, b"");
    let nick = Nick::parse(nick).unwrap();
    let login = Login { nick, user: None, origin: 1, last: false };
    shard.handle_command(now, key, Command::Login(Box::new(login)));
    key
}

#[derive(Default)]
struct Sockets(BTreeMap<u64, Vec<u8>>);

impl Transport for Sockets {
    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        let out = self.0.entry(key.to_u64()).or_default();
        slices.iter().for_each(|slice| out.extend_from_slice(slice));
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }
}

struct Stage {
    shard: Shard<Lines>,
    now: Now,
    peers: BTreeMap<String, Key>,
    sockets: Sockets,
}

impl Stage {
    fn peer(&mut self, name: &str) -> Key {
        if let Some(&key) = self.peers.get(name) {
            return key;
        }
        let (key, _) = self.shard.open(self.now, Format::MPP_TEXT, b"");
        let user = Some(user(name));
        let flow = self.shard.handle_command(self.now, key, Command::Hello { user, token: None });
        assert_eq!(flow, Flow::Continue);
        self.peers.insert(name.to_owned(), key);
        self.heard();
        key
    }

    fn happens(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["wait", ms] = words[..] {
            let until = self.now.mono_us + ms.parse::<u64>().unwrap() * 1_000;
            while let Some(at) = self.shard.next_deadline_us().filter(|&at| at <= until) {
                self.pass(at);
            }
            return self.pass(until);
        }
        if let ["operator", ref orders @ ..] = words[..] {
            return self.operate(orders);
        }
        let (name, words) = words.split_first().expect("a line names who acts");
        let key = self.peer(name);
        let number = |text: &str| text.parse::<u64>().unwrap();
        let command = match *words {
            ["joins", "backdoor"] => Command::Join { target: JoinTarget::LobbyBackdoor, set: None },
            ["joins", channel] => Command::Join {
                target: JoinTarget::Named(ChannelName::parse(channel).unwrap()),
                set: None,
            },
            ["leaves"] => {
                self.peers.remove(*name);
                self.shard.peer_gone(self.now, key);
                return;
            }
            ["drops"] => Command::GiveCrown(None),
            ["gives", to] => Command::GiveCrown(Some(user(to))),
            ["bans", whom, ms] => Command::Ban { user: user(whom), ms: number(ms) },
            ["unbans", whom] => Command::Unban(user(whom)),
            ["says", text] => {
                Command::Chat { text: ChatText::parse(text, 512).unwrap(), reply_to: None }
            }
            ["whispers", to, text] => Command::Direct {
                to: user(to),
                text: ChatText::parse(text, 512).unwrap(),
                reply_to: None,
            },
            ["plays", n] => Command::Play(NoteBatch {
                at_ms: self.now.wall_ms as f64,
                sent: number(n) as u32,
                notes: [Note { key: 1, stop: false, velocity: None, delay_ms: None }; 1]
                    .into_iter()
                    .collect(),
            }),
            ["moves", x, y] => Command::Move(Position { x: number(x) as i32, y: number(y) as i32 }),
            ["is", color] => Command::SetProfile { name: None, color: Color::parse(color) },
            ["sets", ref settings @ ..] => {
                let mut patch = SettingsPatch::default();
                for setting in settings {
                    let (key, value) = setting.split_once('=').unwrap();
                    match key {
                        "chat" => patch.chat = Some(value == "on"),
                        "solo" => patch.crown_solo = Some(value == "on"),
                        "limit" => patch.limit = Some(value.parse().unwrap()),
                        "known" => patch.min_online_ms = Some(value.parse().unwrap()),
                        "color" => patch.color = Color::parse(value),
                        _ => panic!("{setting} is no setting"),
                    }
                }
                Command::ChangeSettings(Box::new(patch))
            }
            _ => panic!("nobody can {line:?}"),
        };
        let flow = self.shard.handle_command(self.now, key, command);
        assert_ne!(flow, Flow::Pause, "one shard asks nobody");
    }

    fn operate(&mut self, words: &[&str]) {
        let channel = |name: &str| ChannelName::parse(name).unwrap();
        let number = |text: &str| text.parse::<u64>().unwrap();
        let order = match *words {
            ["kicks", whom] => Order::Kick { user: user(whom), reason: None },
            ["mutes", whom, ms] => {
                Order::Mute { user: user(whom), until_ms: self.now.wall_ms + number(ms) }
            }
            ["mutes", whom, ms, name] => {
                Order::MuteIn { channel: channel(name), user: user(whom), ms: number(ms) }
            }
            ["bans", whom, ms, name] => {
                Order::Ban { channel: channel(name), user: user(whom), ms: number(ms) }
            }
            ["closes", name] => Order::Close { channel: channel(name), reason: None },
            ["hears", "no", "guests", ms] => Order::MuteGuests(Some(number(ms))),
            ["hears", "guests"] => Order::MuteGuests(None),
            _ => panic!("no operator {words:?}"),
        };
        self.shard.operate(self.now, order);
    }

    fn pass(&mut self, at_us: u64) {
        let at_us = at_us.max(self.now.mono_us);
        self.now.wall_ms += at_us / 1_000 - self.now.mono_us / 1_000;
        self.now.mono_us = at_us;
        self.shard.handle_timeout(self.now);
    }

    /// What everyone was told since the last time.
    fn heard(&mut self) -> Vec<String> {
        while self.shard.pending() != Pending::Nothing {
            self.shard.flush(self.now, &mut self.sockets, false);
        }
        let mut closed = Vec::new();
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Close { key, reason, unsent, .. } => {
                    let told = self.sockets.0.entry(key.to_u64()).or_default();
                    told.extend_from_slice(&unsent);
                    told.extend_from_slice(format!("closed, {reason:?}\n").as_bytes());
                    closed.push(key);
                }
                // Whoever keeps files is told of the end of each room, and of all that was said there.
                Output::Attachments(AttachmentNews::RoomOver(_) | AttachmentNews::Cleared(_)) => {}
                output => panic!("one shard has nothing to ask for: {output:?}"),
            }
        }
        self.shard.verify();
        let mut heard = Vec::new();
        for (name, key) in &self.peers {
            let bytes = self.sockets.0.remove(&key.to_u64()).unwrap_or_default();
            let text = String::from_utf8(bytes).unwrap();
            let lines = text.lines().filter(|line| *line != "ping");
            heard.extend(lines.map(|line| format!("{name}: {line}")));
        }
        self.peers.retain(|_, key| !closed.contains(key));
        heard
    }
}

fn user(name: &str) -> UserId {
    UserId([name.as_bytes()[0]; 12])
}

/// Plays a script through and compares what everyone is told.
#[track_caller]
fn check(config: Config, script: &str) {
    let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
    let mut stage = Stage {
        shard: Shard::new(ShardId(0), 1, Arc::new(config), seeds, Lines),
        now: Now { mono_us: 1_000_000_000, wall_ms: 1_700_000_000_000 },
        peers: BTreeMap::new(),
        sockets: Sockets::default(),
    };
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut at = 0;
    while at < lines.len() {
        let happens = lines[at];
        stage.happens(happens);
        at += 1;
        let told = lines[at..].iter().take_while(|line| line.contains(": ")).count();
        let expected = &lines[at..at + told];
        let heard = stage.heard();
        assert_eq!(heard, expected, "after {happens:?}");
        at += told;
    }
}

/// The classic rule, under which a crown lies when its holder leaves.
fn dropping() -> Config {
    Config { crown_on_leave: CrownOnLeave::Drop, ..Config::default() }
}

/// Lobbies for two.
fn small_lobbies() -> Config {
    Config { lobby_capacity: Some(2), channel_empty: Duration::from_millis(3_000), ..dropping() }
}
