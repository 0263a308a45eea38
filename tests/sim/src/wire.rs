//! A wire format of the simulator's own: records with a length in front, in two dialects whose bytes differ.
//!
//! ```text
//!   record   length: 4 bytes, of all that follows | dialect: 1 | kind: 1 | fields
//! ```
//! The text dialect writes numbers little end first, the quick one big end first.

use crate::room_wire;
use tutti_shards::{
    ChannelName, ChannelView, ChatMessage, CloseReason, Color, Event, Format, LineEvent, NumberKey,
    ParticipantView, Position, Profile, UserId, Wire,
};

/// One message as a peer decoded it.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "each field is that of the event of the same name")]
pub enum Told {
    Challenge,
    Hello {
        user: UserId,
        version: u32,
    },
    Quota {
        allowance: u32,
        max: u32,
    },
    Channel(Box<Seen>),
    Participant(Person),
    Left(UserId),
    Cursor {
        user: UserId,
        position: Position,
    },
    Notes {
        user: UserId,
        peer: usize,
        mark: u32,
        notes: u32,
    },
    Chat(Said),
    History(Vec<Said>),
    Direct {
        said: Said,
        to: UserId,
    },
    List {
        complete: bool,
        entries: Vec<Listed>,
    },
    Notice {
        kind: u8,
        text: String,
    },
    Time {
        echo: Option<f64>,
    },
    Custom {
        from: UserId,
        text: String,
        blob: bool,
    },
    Ping,
    /// At a terminal: in a room now.
    Entered {
        name: String,
        me: UserId,
        people: Vec<UserId>,
    },
    /// At a terminal: the nick is somebody's.
    NickTaken,
}

/// A channel as its members are told.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "each field is that of the event of the same name")]
pub struct Seen {
    pub name: String,
    pub me: UserId,
    pub count: u32,
    pub crown: Option<(UserId, bool)>,
    pub visible: bool,
    pub chat: bool,
    pub solo: bool,
    pub people: Vec<Person>,
}

/// A participant.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs, reason = "each field is that of the event of the same name")]
pub struct Person {
    pub user: UserId,
    pub version: u32,
    /// What of the version peers can see.
    pub look: u32,
    pub color: Color,
    pub position: Position,
}

/// A chat message.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "each field is that of the event of the same name")]
pub struct Said {
    pub id: u64,
    pub by: UserId,
    pub look: u32,
    pub text: String,
}

/// A line of the channel list.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "each field is that of the event of the same name")]
pub struct Listed {
    pub name: String,
    pub count: u32,
    pub visible: bool,
    pub banned: bool,
}

/// The format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Records(pub NumberKey);

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    big: bool,
}

/// What peers see of a profile, in a number: what a user is about at another door is a new version, but no new look.
fn look(profile: &Profile) -> u32 {
    let name = profile.display_name().bytes();
    let tag = profile.tag.iter().flat_map(|tag| tag.text.bytes());
    let all = name.chain([0]).chain(tag).chain(profile.color.0).chain([u8::from(profile.away)]);
    all.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>, format: Format, kind: u8) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, format.0, kind]);
        Writer { out, start, big: format == Format::MPP_QUICK }
    }

    fn u8(&mut self, v: u8) {
        self.out.push(v);
    }

    fn u32(&mut self, v: u32) {
        self.out.extend(if self.big { v.to_be_bytes() } else { v.to_le_bytes() });
    }

    fn u64(&mut self, v: u64) {
        self.out.extend(if self.big { v.to_be_bytes() } else { v.to_le_bytes() });
    }

    fn flag(&mut self, v: bool) {
        self.u8(u8::from(v));
    }

    fn user(&mut self, user: UserId) {
        self.out.extend_from_slice(&user.0);
    }

    fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn position(&mut self, at: Position) {
        self.u32(at.x as u32);
        self.u32(at.y as u32);
    }

    fn person(&mut self, profile: &Profile, position: Position) {
        self.user(profile.user);
        self.u32(profile.version);
        self.u32(look(profile));
        self.out.extend_from_slice(&profile.color.0);
        self.position(position);
    }

    fn said(&mut self, said: &ChatMessage) {
        self.u64(said.id.0);
        self.user(said.by.user);
        self.u32(look(&said.by));
        self.text(said.text.as_str());
    }

    fn end(self) {
        let length = (self.out.len() - self.start - 4) as u32;
        self.out[self.start..self.start + 4].copy_from_slice(&length.to_le_bytes());
    }
}

/// Where the receiver's id is in a channel record.
const ME: usize = 6;

impl Records {
    fn channel(format: Format, view: ChannelView<'_>, me: UserId, out: &mut Vec<u8>) {
        let mut w = Writer::new(out, format, 3);
        w.user(me);
        w.text(view.name.as_str());
        w.u32(view.count);
        w.flag(view.crown.is_some());
        if let Some(crown) = view.crown {
            w.user(crown.user);
            w.flag(crown.held);
        }
        w.flag(view.settings.visible);
        w.flag(view.settings.chat);
        w.flag(view.settings.crown_solo);
        let mut people = Vec::new();
        view.participants.visit(&mut |view: ParticipantView<'_>| {
            people.push((view.profile.clone(), view.position));
        });
        w.u32(people.len() as u32);
        for (profile, position) in &people {
            w.person(profile, *position);
        }
        w.end();
    }

    fn event(format: Format, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Challenge => Writer::new(out, format, 0).end(),
            Event::Hello { profile, .. } => {
                let mut w = Writer::new(out, format, 1);
                w.user(profile.user);
                w.u32(profile.version);
                w.end();
            }
            Event::Quota(preset) => {
                let mut w = Writer::new(out, format, 2);
                w.u32(preset.allowance);
                w.u32(preset.max);
                w.end();
            }
            Event::Channel { view, me } => Records::channel(format, view, me, out),
            Event::Participant(view) | Event::Changed { view, .. } => {
                let mut w = Writer::new(out, format, 4);
                w.person(view.profile, view.position);
                w.end();
            }
            Event::Left(view) => {
                let mut w = Writer::new(out, format, 5);
                w.user(view.profile.user);
                w.end();
            }
            Event::Cursor { user, position } => {
                let mut w = Writer::new(out, format, 6);
                w.user(user);
                w.position(position);
                w.end();
            }
            Event::Notes { user, notes, .. } => {
                let mut w = Writer::new(out, format, 7);
                let first = notes.first().expect("a batch that is sent on is not empty");
                w.user(user);
                w.u32(first.delay_ms.expect("each batch names its peer") as u32);
                w.u32(first.velocity.expect("each batch has a mark") as u32);
                w.u32(notes.len() as u32);
                w.end();
            }
            Event::Chat(said) => {
                let mut w = Writer::new(out, format, 8);
                w.said(said);
                w.end();
            }
            Event::History(history) => {
                let mut w = Writer::new(out, format, 9);
                w.u32(history.len() as u32);
                history.iter().for_each(|said| w.said(said));
                w.end();
            }
            Event::Direct { message, to } => {
                let mut w = Writer::new(out, format, 10);
                w.said(message);
                w.user(to.user);
                w.end();
            }
            Event::List { complete, entries, banned } => {
                let mut w = Writer::new(out, format, 11);
                w.flag(complete);
                w.u32(entries.len() as u32);
                for info in entries {
                    w.text(info.name.as_str());
                    w.u32(info.count);
                    w.flag(info.settings.visible);
                    w.flag(banned.is_some_and(|user| info.banned.contains(&user)));
                }
                w.end();
            }
            // What is told of rooms beyond channels.
            Event::Retold(_) | Event::Edited { .. } | Event::Deleted(_) | Event::Room(_) => {}
            Event::Notice(notice) => {
                let mut w = Writer::new(out, format, 12);
                w.u8(notice_kind(notice));
                w.text(&format!("{notice:?}"));
                w.end();
            }
            Event::Time { echo, .. } => {
                let mut w = Writer::new(out, format, 13);
                w.flag(echo.is_some());
                w.u64(echo.unwrap_or(0.0).to_bits());
                w.end();
            }
            Event::Custom { from, body, with_blob } => {
                let mut w = Writer::new(out, format, 14);
                w.user(from.user);
                w.text(&body.json);
                w.flag(with_blob);
                w.end();
            }
            Event::Line(LineEvent::Entered { view, me, .. }) => {
                let mut w = Writer::new(out, format, 20);
                w.text(view.name.as_str());
                w.user(me);
                let mut people = Vec::new();
                view.participants.visit(&mut |view: ParticipantView<'_>| {
                    people.push(view.profile.user);
                });
                w.u32(people.len() as u32);
                people.into_iter().for_each(|user| w.user(user));
                w.end();
            }
            Event::Line(LineEvent::NickTaken { .. }) => Writer::new(out, format, 21).end(),
            // What else terminals are told is simulated by itself.
            Event::Crowned(_) | Event::ChatSwitched(_) | Event::Line(_) => {}
        }
    }
}

/// Kinds of notices that the checks tell apart.
pub mod notice {
    /// The note quota refused a batch.
    pub const TOO_FAST: u8 = 1;
    /// The user was removed from a channel.
    pub const REMOVED: u8 = 2;
    /// The user has too many connections.
    pub const TOO_MANY_CONNECTIONS: u8 = 3;
    /// An operator wrote it.
    pub const OPERATOR: u8 = 4;
}

fn notice_kind(notice: &tutti_shards::Notice) -> u8 {
    use tutti_shards::Notice;
    match notice {
        Notice::TooFast => notice::TOO_FAST,
        Notice::Removed { .. } => notice::REMOVED,
        Notice::TooManyConnections => notice::TOO_MANY_CONNECTIONS,
        Notice::Operator(_) => notice::OPERATOR,
        _ => 0,
    }
}

impl Wire for Records {
    fn encode(&self, format: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            if format == Format::QUIC {
                room_wire::encode(self.0, event, out);
                continue;
            }
            Records::event(format, event, out);
        }
    }

    fn encode_unaddressed(
        &self,
        format: Format,
        view: ChannelView<'_>,
        out: &mut Vec<u8>,
    ) -> usize {
        Records::channel(format, view, UserId([0xee; 12]), out);
        ME
    }

    fn address(&self, _format: Format, encoded: &mut [u8], hole: usize, me: UserId) {
        encoded[hole..hole + 12].copy_from_slice(&me.0);
    }

    fn ping(&self, format: Format, out: &mut Vec<u8>) {
        Writer::new(out, format, 15).end();
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    big: bool,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.rest.split_first_chunk::<N>().expect("a record holds its fields");
        self.rest = rest;
        *head
    }

    fn u8(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    fn u32(&mut self) -> u32 {
        let bytes = self.bytes();
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u64(&mut self) -> u64 {
        let bytes = self.bytes();
        if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }

    fn flag(&mut self) -> bool {
        match self.u8() {
            0 => false,
            1 => true,
            other => panic!("a flag is 0 or 1, not {other}"),
        }
    }

    fn user(&mut self) -> UserId {
        UserId(self.bytes())
    }

    fn text(&mut self) -> String {
        let length = self.u32() as usize;
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8(text.to_vec()).expect("text is text")
    }

    fn position(&mut self) -> Position {
        Position { x: self.u32() as i32, y: self.u32() as i32 }
    }

    fn person(&mut self) -> Person {
        Person {
            user: self.user(),
            version: self.u32(),
            look: self.u32(),
            color: Color(self.bytes()),
            position: self.position(),
        }
    }

    fn said(&mut self) -> Said {
        Said { id: self.u64(), by: self.user(), look: self.u32(), text: self.text() }
    }
}

/// Decodes the first whole record: its dialect, the message, and how many bytes it took.
///
/// # Panics
/// When the bytes are not what [`Records`] writes.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(Format, Told, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    assert!((2..1 << 24).contains(&length), "a record of {length} bytes: the stream is torn");
    let record = rest.get(..length)?;
    let (format, kind) = (Format(record[0]), record[1]);
    assert!(record[0] <= 2, "dialect {}: the stream is torn", record[0]);
    let mut r = Reader { rest: &record[2..], big: format == Format::MPP_QUICK };
    let told = match kind {
        0 => Told::Challenge,
        1 => Told::Hello { user: r.user(), version: r.u32() },
        2 => Told::Quota { allowance: r.u32(), max: r.u32() },
        3 => {
            let me = r.user();
            let name = r.text();
            let count = r.u32();
            let crown = if r.flag() { Some((r.user(), r.flag())) } else { None };
            let (visible, chat, solo) = (r.flag(), r.flag(), r.flag());
            let people = (0..r.u32()).map(|_| r.person()).collect();
            Told::Channel(Box::new(Seen { name, me, count, crown, visible, chat, solo, people }))
        }
        4 => Told::Participant(r.person()),
        5 => Told::Left(r.user()),
        6 => Told::Cursor { user: r.user(), position: r.position() },
        7 => Told::Notes { user: r.user(), peer: r.u32() as usize, mark: r.u32(), notes: r.u32() },
        8 => Told::Chat(r.said()),
        9 => Told::History((0..r.u32()).map(|_| r.said()).collect()),
        10 => Told::Direct { said: r.said(), to: r.user() },
        11 => {
            let complete = r.flag();
            let entries = (0..r.u32()).map(|_| Listed {
                name: r.text(),
                count: r.u32(),
                visible: r.flag(),
                banned: r.flag(),
            });
            Told::List { complete, entries: entries.collect() }
        }
        12 => Told::Notice { kind: r.u8(), text: r.text() },
        13 => {
            let echo = r.flag();
            let value = f64::from_bits(r.u64());
            Told::Time { echo: echo.then_some(value) }
        }
        14 => Told::Custom { from: r.user(), text: r.text(), blob: r.flag() },
        15 => Told::Ping,
        20 => {
            let (name, me) = (r.text(), r.user());
            Told::Entered { name, me, people: (0..r.u32()).map(|_| r.user()).collect() }
        }
        21 => Told::NickTaken,
        other => panic!("kind {other}: the stream is torn"),
    };
    assert!(r.rest.is_empty(), "a record holds nothing but its fields");
    Some((format, told, 4 + length))
}

/// How a close reads in a trace.
#[must_use]
pub fn close_text(reason: CloseReason) -> String {
    format!("{reason:?}")
}

/// A channel name that is known to be good.
///
/// # Panics
/// When it is not.
#[must_use]
pub fn channel_name(name: &str) -> ChannelName {
    ChannelName::parse_kept(name).expect("the simulator's channels have good names")
}
