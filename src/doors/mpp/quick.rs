//! The quick binary dialect (protocol page, sections 10.2 to 10.6).
//!
//! Its published encoders and decoders disagree, so this speaks to the one client there is: it reads what that client
//! writes, defaults it made up included, and writes what that client reads.

use super::{
    decode::{Auth, ban, delay, join_target, set_profile, velocity},
    keys,
    rules::Rules,
};
use smallvec::SmallVec;
use std::collections::VecDeque;
use tutti_shards::{
    Color, Command, Event, Note, NoteBatch, ParticipantView, Position, Profile, SettingsPatch,
    UserId,
};

mod opcode {
    pub(super) const HI: u8 = 0x01;
    pub(super) const BYE: u8 = 0x02;
    pub(super) const LIST_ON: u8 = 0x03;
    pub(super) const LIST_OFF: u8 = 0x04;
    pub(super) const TIME: u8 = 0x05;
    pub(super) const CHAT: u8 = 0x06;
    pub(super) const NOTES: u8 = 0x07;
    pub(super) const CURSOR: u8 = 0x08;
    pub(super) const USERSET: u8 = 0x09;
    pub(super) const KICKBAN: u8 = 0x0a;
    pub(super) const UNBAN: u8 = 0x0b;
    pub(super) const CHANNEL: u8 = 0x0c;
    pub(super) const CHSET: u8 = 0x0d;
    pub(super) const CHOWN: u8 = 0x0e;
    pub(super) const DEVICES: u8 = 0x0f;
    pub(super) const PARTICIPANT: u8 = 0x11;
}

/// Appends the commands of a binary message and returns how many quick frames it held.
///
/// `None` when any of it is malformed; what was appended by then has to go.
pub(super) fn decode(
    payload: &[u8],
    rules: &Rules,
    auth: &dyn Auth,
    out: &mut VecDeque<Command>,
) -> Option<usize> {
    let mut message = Reader { rest: payload };
    let mut frames = 0;
    while !message.rest.is_empty() {
        let opcode = message.byte()?;
        let [a, b, c] = message.array()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let body = Reader { rest: message.bytes(length)? };
        out.extend(command(opcode, body, rules, auth)?);
        frames += 1;
    }
    (frames > 0).then_some(frames)
}

/// The command of one frame: `None` when the frame is malformed, `Some(None)` when it is well-formed but its values
/// are not valid or ask for nothing.
fn command(
    opcode: u8,
    mut body: Reader<'_>,
    rules: &Rules,
    auth: &dyn Auth,
) -> Option<Option<Command>> {
    Some(match opcode {
        opcode::HI => {
            let (user, token) = auth.hello(None);
            Some(Command::Hello { user, token })
        }
        opcode::BYE => Some(Command::Bye),
        opcode::LIST_ON => Some(Command::FollowList(true)),
        opcode::LIST_OFF => Some(Command::FollowList(false)),
        opcode::TIME => {
            let echo = if body.rest.is_empty() { None } else { Some(body.number()?) };
            Some(Command::Time { echo: echo.filter(|echo| echo.is_finite()) })
        }
        opcode::CHAT => {
            rules.chat(body.string()?).map(|text| Command::Chat { text, reply_to: None })
        }
        opcode::NOTES => body.notes()?.map(Command::Play),
        opcode::CURSOR => Position::from_percent(body.number()?, body.number()?).map(Command::Move),
        opcode::USERSET => {
            // An empty string stands for an absent one; both checks refuse it.
            let name = rules.name(body.string()?);
            set_profile(name, Color::parse(body.string()?))
        }
        opcode::KICKBAN => {
            let user = UserId::parse(body.string()?);
            let ms = body.number()?;
            user.filter(|_| !ms.is_nan()).map(|user| ban(user, ms))
        }
        opcode::UNBAN => UserId::parse(body.string()?).map(Command::Unban),
        opcode::CHANNEL => {
            let target = join_target(body.string()?, rules);
            let set = if body.rest.is_empty() { None } else { Some(Box::new(body.settings()?)) };
            Some(Command::Join { target, set })
        }
        opcode::CHSET => Some(Command::ChangeSettings(Box::new(body.settings()?))),
        opcode::CHOWN => {
            let id = if body.rest.is_empty() { None } else { Some(body.string()?) };
            Some(Command::GiveCrown(id.and_then(UserId::parse)))
        }
        opcode::DEVICES => {
            for _ in 0..body.count()? {
                body.string()?;
            }
            None
        }
        _ => return None,
    })
}

/// What has not been read yet. Each method takes one value off the front; `None` when there is not enough left, or
/// when text is not UTF-8.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn count(&mut self) -> Option<usize> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn flag(&mut self) -> Option<bool> {
        self.byte().map(|byte| byte != 0)
    }

    fn number(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }

    fn string(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        str::from_utf8(self.bytes(length)?).ok()
    }

    /// A note batch; `Some(None)` when its time is no number or it is empty.
    fn notes(&mut self) -> Option<Option<NoteBatch>> {
        let at_ms = self.number()?;
        let sent = self.count()?;
        let mut notes = SmallVec::new();
        for _ in 0..sent {
            notes.extend(self.note()?);
        }
        let valid = at_ms.is_finite() && sent > 0;
        Some(valid.then(|| NoteBatch { at_ms, sent: sent as u32, notes }))
    }

    /// A note; `Some(None)` when it has no known key.
    fn note(&mut self) -> Option<Option<Note>> {
        let key = keys::parse(self.string()?.as_bytes());
        let (v, d, s) = (self.number()?, self.number()?, self.number()?);
        // The client writes a stop flag of 1 for every note that has none, and a velocity of 1 for every stop.
        let stop = s != 0.0 && v == 1.0;
        Some(key.map(|key| Note {
            key,
            stop,
            velocity: if stop { None } else { velocity(v) },
            // 0 is what it writes for an absent delay.
            delay_ms: delay(d).filter(|&d| d != 0.0),
        }))
    }

    fn settings(&mut self) -> Option<SettingsPatch> {
        let chat = self.flag()?;
        let crown_solo = self.flag()?;
        let visible = self.flag()?;
        let color = Color::parse(self.string()?);
        let _lobby = self.flag()?;
        Some(SettingsPatch {
            chat: Some(chat),
            crown_solo: Some(crown_solo),
            visible: Some(visible),
            color,
            ..SettingsPatch::default()
        })
    }
}

/// Appends the quick frame of an event. Events that this dialect would mangle get none; the caller sends them as text.
pub(super) fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    match *event {
        Event::Time { wall_ms, echo } => frame(opcode::TIME, out, |out| {
            number(out, wall_ms as f64);
            if let Some(echo) = echo {
                number(out, echo);
            }
        }),
        Event::Chat(message) => frame(opcode::CHAT, out, |out| {
            string(out, &super::encode::shown(message));
            participant(out, &message.by, Position::OFF_SCREEN);
            number(out, message.sent_ms as f64);
        }),
        Event::Notes { user, at_ms, notes } => frame(opcode::NOTES, out, |out| {
            let count = u16::try_from(notes.len()).unwrap_or(u16::MAX);
            number(out, at_ms);
            out.extend_from_slice(&count.to_be_bytes());
            notes.iter().take(usize::from(count)).for_each(|note| write_note(out, note));
            id(out, user);
        }),
        Event::Cursor { user, position } => frame(opcode::CURSOR, out, |out| {
            id(out, user);
            percents(out, position);
        }),
        Event::Participant(ParticipantView { profile, position, .. })
        | Event::Changed { view: ParticipantView { profile, position, .. }, .. } => {
            frame(opcode::PARTICIPANT, out, |out| participant(out, profile, position));
        }
        _ => debug_assert!(false, "only events that lose nothing are written in binary"),
    }
}

fn frame(opcode: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[opcode, 0, 0, 0]);
    body(out);
    let [_, length @ ..] = ((out.len() - start - 4) as u32).to_be_bytes();
    for (to, byte) in out.iter_mut().skip(start + 1).zip(length) {
        *to = byte;
    }
}

fn number(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends text, cut at a character when its length would not fit the field.
fn string(out: &mut Vec<u8>, text: &str) {
    let text = text.get(..text.floor_char_boundary(usize::from(u16::MAX))).unwrap_or(text);
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn id(out: &mut Vec<u8>, user: UserId) {
    let digits = user.hex();
    out.extend_from_slice(&(digits.len() as u16).to_be_bytes());
    out.extend_from_slice(&digits);
}

fn percents(out: &mut Vec<u8>, position: Position) {
    number(out, f64::from(position.x) / 100.0);
    number(out, f64::from(position.y) / 100.0);
}

fn participant(out: &mut Vec<u8>, profile: &Profile, position: Position) {
    id(out, profile.user);
    id(out, profile.user);
    string(out, profile.display_name());
    out.extend_from_slice(&[0, 7, b'#']);
    for byte in profile.color.0 {
        out.extend_from_slice(&super::write::hex_pair(byte));
    }
    percents(out, position);
}

/// Always with all fields, because the client's own defaults turn starts into stops.
fn write_note(out: &mut Vec<u8>, note: &Note) {
    let velocity = if note.stop { 0.0 } else { note.velocity.unwrap_or(0.5) };
    string(out, keys::name(note.key));
    number(out, f64::from(velocity));
    number(out, f64::from(note.delay_ms.unwrap_or(0.0)));
    number(out, f64::from(u8::from(note.stop)));
}

#[cfg(test)]
mod tests;
