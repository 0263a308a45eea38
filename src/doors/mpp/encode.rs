//! Events into frames for peers (protocol page, sections 7 and 10).

use super::{keys, notice, quick, write};
use crate::ws::{
    Opcode,
    encode::{begin, finish, ping},
};
use std::borrow::Cow;
use tutti_shards::{
    ChannelInfo, ChannelKind, ChannelName, ChannelView, ChatMessage, ChatText, Crown, CustomBody,
    DoorKind, Event, Format, MessageId, MessageRef, Note, ParticipantView, Position, Profile,
    QuotaPreset, Settings, UserId, Wire,
};

/// How many past allowances a client's note quota remembers; the protocol knows no other number.
const QUOTA_HISTORY: u8 = 3;

/// Writes events for Multiplayer Piano clients, as whole WebSocket frames from the server.
///
/// [`Format::MPP_TEXT`] gets JSON text frames. [`Format::MPP_QUICK`] gets notes, cursors, clock answers, chat and
/// participants as binary quick frames, and the rest as text, because there the binary dialect loses too much
/// (protocol page, section 10.5). Peers that showed that they take them get custom messages with a binary part as
/// binary frames in either format.
#[derive(Clone, Default, Debug)]
pub struct MppWire {
    /// The greeting as a JSON string, quotes included; empty when there is none.
    motd: Vec<u8>,
    /// Messages of a history that are shown; channels keep more for other doors. `None` for all.
    history: Option<usize>,
}

impl MppWire {
    /// A wire that greets with `motd`, or not at all when that is empty.
    ///
    /// Clients put the greeting into the page as HTML, so it is escaped here.
    #[must_use]
    pub fn new(motd: &str) -> Self {
        let mut html = String::with_capacity(motd.len());
        for c in motd.chars() {
            match c {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                c => html.push(c),
            }
        }
        let mut json = Vec::new();
        if !html.is_empty() {
            write::string(&mut json, &html);
        }
        MppWire { motd: json, history: None }
    }

    /// Shows only the last so many messages to those who join.
    #[must_use]
    pub fn with_history(mut self, last: usize) -> Self {
        self.history = Some(last);
        self
    }

    /// Appends one event as a JSON message.
    fn message(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Challenge => out.extend_from_slice(br#"{"m":"b","code":""}"#),
            Event::Hello { profile, token, wall_ms } => self.hello(profile, token, wall_ms, out),
            Event::Quota(preset) => quota(preset, out),
            Event::Channel { view, me } => {
                channel(view, Some(me), out);
            }
            Event::Participant(view) | Event::Changed { view, .. } => {
                out.extend_from_slice(b"{\"m\":\"p\",");
                participant_fields(view, out);
                out.push(b'}');
            }
            Event::Left(view) => {
                out.extend_from_slice(b"{\"m\":\"bye\",\"p\":");
                write::user(out, view.profile.user);
                out.push(b'}');
            }
            Event::Cursor { user, position } => cursor(user, position, out),
            Event::Notes { user, at_ms, notes } => play(user, at_ms, notes, out),
            Event::Chat(message) => chat(message, out),
            Event::History(messages) | Event::Retold(messages) => {
                let shown = messages.iter().filter(|message| !message.deleted);
                let left_out =
                    self.history.map_or(0, |max| shown.clone().count().saturating_sub(max));
                out.extend_from_slice(b"{\"m\":\"c\",\"c\":[");
                separated(shown.skip(left_out), out, chat);
                out.extend_from_slice(b"]}");
            }
            Event::Edited { message, id } => edited(message, id, out),
            // Told as a whole, behind it.
            Event::Deleted(_) => {}
            // Of rooms the piano knows what happens in channels anyway.
            Event::Room(_) => {}
            Event::Direct { message, to } => direct(message, to, out),
            Event::List { complete, entries, banned } => list(complete, entries, banned, out),
            Event::Notice(what) => notice::write(what, out),
            Event::Time { wall_ms, echo } => {
                out.extend_from_slice(b"{\"m\":\"t\",\"t\":");
                write::integer(out, wall_ms);
                if let Some(echo) = echo {
                    out.extend_from_slice(b",\"e\":");
                    write::float(out, echo);
                }
                out.push(b'}');
            }
            Event::Custom { from, body, .. } => custom(from, body, out),
            Event::Crowned(_) | Event::ChatSwitched(_) | Event::Line(_) => {
                debug_assert!(false, "these are not for the piano");
            }
        }
    }

    fn hello(&self, profile: &Profile, token: Option<&str>, wall_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"m\":\"hi\",\"t\":");
        write::integer(out, wall_ms);
        out.extend_from_slice(b",\"u\":");
        user_info(profile, out);
        out.extend_from_slice(b",\"permissions\":{}");
        if let Some(token) = token {
            out.extend_from_slice(b",\"token\":");
            write::string(out, token);
        }
        if !self.motd.is_empty() {
            out.extend_from_slice(b",\"motd\":");
            out.extend_from_slice(&self.motd);
        }
        out.push(b'}');
    }
}

/// What one event becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A message of a JSON array.
    Text,
    /// A quick frame; several may share a WebSocket frame.
    Quick,
    /// A WebSocket frame of its own.
    Blob,
    /// Nothing: the piano does not show it.
    Nothing,
}

fn shape(format: Format, event: &Event<'_>) -> Shape {
    match event {
        Event::Custom { with_blob: true, body: CustomBody { blob: Some(_), .. }, .. } => {
            Shape::Blob
        }
        Event::Notes { .. }
        | Event::Cursor { .. }
        | Event::Time { .. }
        | Event::Chat(_)
        | Event::Participant(_)
        | Event::Changed { .. }
            if format == Format::MPP_QUICK =>
        {
            Shape::Quick
        }
        Event::Crowned(_)
        | Event::ChatSwitched(_)
        | Event::Line(_)
        | Event::Deleted(_)
        | Event::Room(_) => Shape::Nothing,
        _ => Shape::Text,
    }
}

impl Wire for MppWire {
    fn encode(&self, format: Format, events: &[Event<'_>], out: &mut Vec<u8>) {
        // Runs of events of one shape share a frame; blobs never do.
        let shapes = |a: &Event<'_>, b: &Event<'_>| {
            let shape = (shape(format, a), shape(format, b));
            shape.0 == shape.1 && shape.0 != Shape::Blob
        };
        for run in events.chunk_by(shapes) {
            match run {
                [] => {}
                [first, ..] if shape(format, first) == Shape::Nothing => {}
                [Event::Custom { from, body, with_blob: true }] if body.blob.is_some() => {
                    custom_blob(from, body, out);
                }
                [first, ..] if shape(format, first) == Shape::Quick => {
                    let frame = begin(out);
                    run.iter().for_each(|event| quick::encode(event, out));
                    finish(out, frame, Opcode::Binary);
                }
                _ => {
                    let frame = begin(out);
                    out.push(b'[');
                    separated(run, out, |event, out| self.message(event, out));
                    out.push(b']');
                    finish(out, frame, Opcode::Text);
                }
            }
        }
    }

    fn encode_unaddressed(
        &self,
        _format: Format,
        view: ChannelView<'_>,
        out: &mut Vec<u8>,
    ) -> usize {
        let frame = begin(out);
        let payload = out.len();
        out.push(b'[');
        let hole = channel(view, None, out) - payload;
        out.push(b']');
        finish(out, frame, Opcode::Text) + hole
    }

    fn address(&self, _format: Format, encoded: &mut [u8], hole: usize, me: UserId) {
        let digits = encoded.get_mut(hole..).and_then(|rest| rest.first_chunk_mut());
        debug_assert!(digits.is_some(), "the hole lies within what was encoded");
        if let Some(digits) = digits {
            *digits = me.hex();
        }
    }

    fn ping(&self, _format: Format, out: &mut Vec<u8>) {
        ping(&[], out);
    }
}

/// Appends items with commas between them.
fn separated<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

fn quota(preset: QuotaPreset, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"m\":\"nq\",\"allowance\":");
    write::integer(out, preset.allowance);
    out.extend_from_slice(b",\"max\":");
    write::integer(out, preset.max);
    out.extend_from_slice(b",\"maxHistLen\":");
    write::integer(out, QUOTA_HISTORY);
    out.push(b'}');
}

/// Appends a `ch` message and returns where in `out` the receiver's 24 digits are, zeros when there is none yet.
fn channel(view: ChannelView<'_>, me: Option<UserId>, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"{\"m\":\"ch\",\"p\":\"");
    let hole = out.len();
    out.extend_from_slice(&me.map_or([b'0'; 24], |me| me.hex()));
    out.extend_from_slice(b"\",\"ch\":{");
    channel_fields(view.name, view.count, view.settings, view.crown, out);
    out.extend_from_slice(b"},\"ppl\":[");
    let mut first = true;
    view.participants.visit(&mut |participant| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.push(b'{');
        participant_fields(participant, out);
        out.push(b'}');
    });
    out.extend_from_slice(b"]}");
    hole
}

fn channel_fields(
    name: &ChannelName,
    count: u32,
    settings: &Settings,
    crown: Option<&Crown>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\"_id\":");
    write::string(out, name.as_str());
    out.extend_from_slice(b",\"id\":");
    write::string(out, name.as_str());
    out.extend_from_slice(b",\"count\":");
    write::integer(out, count);
    out.extend_from_slice(b",\"settings\":");
    write_settings(name.kind(), settings, out);
    if let Some(crown) = crown {
        out.extend_from_slice(b",\"crown\":");
        write_crown(crown, out);
    }
}

fn write_settings(kind: ChannelKind, settings: &Settings, out: &mut Vec<u8>) {
    fn flag(out: &mut Vec<u8>, key: &[u8], value: bool) {
        out.extend_from_slice(key);
        out.extend_from_slice(if value { b"true" } else { b"false" });
    }
    out.extend_from_slice(if kind.is_lobby() { b"{\"lobby\":true," } else { b"{" });
    flag(out, b"\"visible\":", settings.visible);
    flag(out, b",\"chat\":", settings.chat);
    flag(out, b",\"crownsolo\":", settings.crown_solo);
    out.extend_from_slice(b",\"color\":");
    write::color(out, settings.color);
    if let Some(color) = settings.color2 {
        out.extend_from_slice(b",\"color2\":");
        write::color(out, color);
    }
    if let Some(value) = settings.no_cussing {
        flag(out, b",\"no cussing\":", value);
    }
    if let Some(value) = settings.lyrical_notes {
        flag(out, b",\"lyrical notes\":", value);
    }
    if let Some(limit) = settings.limit {
        out.extend_from_slice(b",\"limit\":");
        write::integer(out, limit);
    }
    flag(out, b",\"noindex\":", settings.no_index);
    if let Some(value) = settings.allow_bots {
        flag(out, b",\"allowBots\":", value);
    }
    if let Some(ms) = settings.min_online_ms {
        out.extend_from_slice(b",\"minOnlineTime\":");
        write::integer(out, ms);
    }
    out.push(b'}');
}

fn write_crown(crown: &Crown, out: &mut Vec<u8>) {
    out.push(b'{');
    if crown.held {
        out.extend_from_slice(b"\"participantId\":");
        write::user(out, crown.user);
        out.push(b',');
    }
    out.extend_from_slice(b"\"userId\":");
    write::user(out, crown.user);
    out.extend_from_slice(b",\"time\":");
    write::integer(out, crown.since_ms);
    for (key, position) in [(&b",\"startPos\":{"[..], crown.start), (b",\"endPos\":{", crown.end)] {
        out.extend_from_slice(key);
        coordinates(position, out);
        out.push(b'}');
    }
    out.push(b'}');
}

/// `"x":…,"y":…` as numbers.
fn coordinates(position: Position, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"x\":");
    write::hundredths(out, position.x);
    out.extend_from_slice(b",\"y\":");
    write::hundredths(out, position.y);
}

fn participant_fields(view: ParticipantView<'_>, out: &mut Vec<u8>) {
    let profile = view.profile;
    out.extend_from_slice(b"\"id\":");
    write::user(out, profile.user);
    out.extend_from_slice(b",\"_id\":");
    write::user(out, profile.user);
    name_and_color(profile, out);
    out.push(b',');
    coordinates(view.position, out);
    if profile.away {
        out.extend_from_slice(b",\"afk\":true");
    }
    label(profile, out);
}

/// A user without a place: who said something, or who the peer is.
fn user_info(profile: &Profile, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"_id\":");
    write::user(out, profile.user);
    out.extend_from_slice(b",\"id\":");
    write::user(out, profile.user);
    name_and_color(profile, out);
    label(profile, out);
    out.push(b'}');
}

fn name_and_color(profile: &Profile, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"name\":");
    write::string(out, profile.display_name());
    out.extend_from_slice(b",\"color\":");
    write::color(out, profile.color);
}

/// The label, in every message that shows the user: clients drop it when it is missing.
///
/// Those who came in by another door without one are labelled with that door.
fn label(profile: &Profile, out: &mut Vec<u8>) {
    let (text, color): (&str, &str) = match (profile.tag.as_deref(), profile.door) {
        (Some(tag), _) => (&tag.text, &tag.color),
        (None, DoorKind::Piano) => return,
        (None, DoorKind::Line) => ("TCP", "#777"),
        (None, DoorKind::Quic) => ("QUIC", "#4a7"),
    };
    out.extend_from_slice(b",\"tag\":{\"text\":");
    write::string(out, text);
    out.extend_from_slice(b",\"color\":");
    write::string(out, color);
    out.push(b'}');
}

/// Coordinates are strings, because the oldest client ignores a number 0.
fn cursor(user: UserId, position: Position, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"m\":\"m\",\"id\":");
    write::user(out, user);
    out.extend_from_slice(b",\"x\":\"");
    write::hundredths_fixed(out, position.x);
    out.extend_from_slice(b"\",\"y\":\"");
    write::hundredths_fixed(out, position.y);
    out.extend_from_slice(b"\"}");
}

fn play(user: UserId, at_ms: f64, notes: &[Note], out: &mut Vec<u8>) {
    out.reserve(96 + 48 * notes.len());
    out.extend_from_slice(b"{\"m\":\"n\",\"t\":");
    write::float(out, at_ms);
    out.extend_from_slice(b",\"p\":");
    write::user(out, user);
    out.extend_from_slice(b",\"n\":[");
    separated(notes, out, |note, out| {
        out.extend_from_slice(b"{\"n\":\"");
        out.extend_from_slice(keys::name(note.key).as_bytes());
        out.push(b'"');
        if let Some(velocity) = note.velocity {
            out.extend_from_slice(b",\"v\":");
            write::float32(out, velocity);
        }
        if let Some(delay_ms) = note.delay_ms {
            out.extend_from_slice(b",\"d\":");
            write::float32(out, delay_ms);
        }
        out.extend_from_slice(if note.stop { b",\"s\":1}" } else { b"}" });
    });
    out.extend_from_slice(b"]}");
}

/// `"id":…,"t":…,"a":…`, and the closing `r`, around what `people` appends.
fn said(message: &ChatMessage, out: &mut Vec<u8>, people: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"\"id\":\"");
    for byte in message.id.short().to_be_bytes() {
        out.extend_from_slice(&write::hex_pair(byte));
    }
    out.extend_from_slice(b"\",\"t\":");
    write::integer(out, message.sent_ms);
    out.extend_from_slice(b",\"a\":");
    write::string(out, &shown(message));
    people(out);
    if let Some(reply_to) = &message.reply_to {
        out.extend_from_slice(b",\"r\":");
        write::string(out, reply_to.as_str());
    }
    out.push(b'}');
}

/// A message's text on one line, with stars around what is done rather than said, and its files at the end.
pub(super) fn shown(message: &ChatMessage) -> Cow<'_, str> {
    let text = message.text.as_str();
    let text = match text.contains(['\n', '\t']) {
        true => Cow::Owned(text.replace(['\n', '\t'], " ")),
        false => Cow::Borrowed(text),
    };
    let mut text = if message.is_action { Cow::Owned(format!("*{text}*")) } else { text };
    for file in &message.attachments {
        text.to_mut().push_str(&format!(" [file] {} {}", file.name, file.url));
    }
    text
}

/// A new text of a message, as an answer to it.
fn edited(message: &ChatMessage, id: MessageId, out: &mut Vec<u8>) {
    let answer = MessageRef::parse(&format!("{:08x}", message.id.short()));
    let mut shown_as = ChatMessage { id, reply_to: answer, is_action: false, ..message.clone() };
    if let Some(text) = ChatText::parse(&format!("\u{270e} {}", shown(message)), usize::MAX) {
        shown_as.text = text;
    }
    chat(&shown_as, out);
}

fn chat(message: &ChatMessage, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"m\":\"a\",");
    said(message, out, |out| {
        out.extend_from_slice(b",\"p\":");
        user_info(&message.by, out);
    });
}

fn direct(message: &ChatMessage, to: &Profile, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"m\":\"dm\",");
    said(message, out, |out| {
        out.extend_from_slice(b",\"sender\":");
        user_info(&message.by, out);
        out.extend_from_slice(b",\"recipient\":");
        user_info(to, out);
    });
}

fn list(complete: bool, entries: &[&ChannelInfo], receiver: Option<UserId>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"m\":\"ls\",\"c\":");
    out.extend_from_slice(if complete { b"true" } else { b"false" });
    out.extend_from_slice(b",\"u\":[");
    separated(entries, out, |entry, out| {
        out.push(b'{');
        channel_fields(&entry.name, entry.count, &entry.settings, entry.crown.as_ref(), out);
        let banned = receiver.is_some_and(|user| entry.banned.binary_search(&user).is_ok());
        out.extend_from_slice(if banned { b",\"banned\":true}" } else { b"}" });
    });
    out.extend_from_slice(b"]}");
}

fn custom(from: &Profile, body: &CustomBody, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"m\":\"custom\",\"data\":");
    out.extend_from_slice(body.json.as_bytes());
    out.extend_from_slice(b",\"p\":");
    write::user(out, from.user);
    out.extend_from_slice(b",\"u\":");
    user_info(from, out);
    out.push(b'}');
}

/// A custom message with its binary part: the length of the JSON object, the object, the bytes.
fn custom_blob(from: &Profile, body: &CustomBody, out: &mut Vec<u8>) {
    let frame = begin(out);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    custom(from, body, out);
    let length = (out.len() - start - 4) as u32;
    if let Some(field) = out.get_mut(start..).and_then(|rest| rest.first_chunk_mut()) {
        *field = length.to_be_bytes();
    }
    out.extend_from_slice(body.blob.as_deref().unwrap_or_default());
    finish(out, frame, Opcode::Binary);
}

#[cfg(test)]
mod tests;
