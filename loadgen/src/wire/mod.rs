//! What a load generator says and hears: marked messages, without a JSON parser.
//!
//! Every marked message names its number so that it survives whatever a server does to it: printed
//! anew, merged into one array with others, or turned from text to binary.
//!
//! | message | number | checked against it |
//! | --- | --- | --- |
//! | note | `t`, the intended time in milliseconds with three decimals | key and velocity of the first note |
//! | chat, lines | written into the line | a checksum in the line |
//! | cursor | the position, to base 10,000 | that it is a position at all |
//! | ping | `e` | - |
//!
//! Who sent it is the participant id (in the line chat the nick) that the server puts in, so a server that mixes people
//! up is found.

pub(crate) mod line;
pub(crate) mod mark;
pub(crate) mod quic;
pub(crate) mod quick;
pub(crate) mod text;

use crate::net::ws;
use crate::scenario::Dialect;
pub(crate) use mark::{Mark, Marked};

/// One message of a frame, not yet looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// JSON, from the brace of this message to that of the next, or to the end of the frame.
    Text(&'a [u8]),
    /// The payload of a quick frame.
    Quick(&'a [u8]),
    /// A line without its end.
    Line(&'a [u8]),
    /// A frame of the QUIC door, header included.
    Frame(&'a [u8]),
}

/// What a message is, as far as a load generator tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `n`
    Note,
    /// `a`
    Chat,
    /// `m`
    Cursor,
    /// `t`
    Time,
    /// `hi`, or the welcome by name
    Hi,
    /// `ch`, or the answer to `/join`
    Channel,
    /// `c`, or the line before what was said earlier
    History,
    /// The line behind it
    HistoryEnd,
    /// `ls`
    List,
    /// `notification`, or an error
    Notification,
    /// The nick is not taken, or nobody is let in
    Refusal,
    /// The server closes
    Farewell,
    /// The server asks whether anybody is there, by a message
    Ping,
    /// Anything else.
    Other,
}

/// Calls `each` with every message of a frame; a line is one.
#[inline]
pub(crate) fn each_message<'a>(
    payload: &'a [u8],
    dialect: Dialect,
    mut each: impl FnMut(What, Message<'a>),
) {
    match dialect {
        Dialect::Text => text::each_message(payload, each),
        Dialect::Quick => quick::each_message(payload, each),
        Dialect::Line => each(line::what(payload), Message::Line(payload)),
        Dialect::Quic => each(quic::what(payload), Message::Frame(payload)),
    }
}

/// The same frame printed as every known server prints, when it is not: with spaces, or with another order of keys.
#[inline]
pub(crate) fn print_anew(payload: &[u8], dialect: Dialect) -> Option<Vec<u8>> {
    let usual = dialect != Dialect::Text || payload.starts_with(b"[{\"m\":\"");
    if usual { None } else { text::print_anew(payload) }
}

/// Reads the mark of a note, chat, cursor move or time.
#[inline]
pub(crate) fn read<'a>(what: What, message: Message<'a>) -> Option<Marked<'a>> {
    match message {
        Message::Text(text) => text::read(what, text),
        Message::Quick(payload) => quick::read(what, payload),
        Message::Line(line) => line::read(line),
        Message::Frame(frame) => quic::read(frame),
    }
}

/// The receiver's own participant id in the answer to a join; people with a nick chose their own.
pub(crate) fn own_id(message: Message<'_>) -> Option<&[u8]> {
    match message {
        Message::Text(text) => text::own_id(text),
        Message::Quick(_) | Message::Line(_) | Message::Frame(_) => None,
    }
}

/// The channel that the answer to a join names.
pub(crate) fn channel_id(message: Message<'_>) -> Option<&[u8]> {
    match message {
        Message::Text(text) => text::channel_id(text),
        Message::Line(line) => line::room(line),
        Message::Frame(frame) => quic::room(frame),
        Message::Quick(_) => None,
    }
}

/// What a notification says, cut short, for people.
pub(crate) fn notification_text(message: Message<'_>) -> String {
    match message {
        Message::Text(text) => text::notification_text(text),
        Message::Quick(bytes) | Message::Line(bytes) => shortened(bytes),
        Message::Frame(frame) => shortened(quic::reason(frame).unwrap_or_default()),
    }
}

fn shortened(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned()
}

/// Appends a message as it goes over the wire: in a frame, or as a line. Those of QUIC are frames already.
pub(crate) fn wrap(out: &mut Vec<u8>, dialect: Dialect, message: &[u8], mask: [u8; 4]) {
    match dialect {
        Dialect::Text => ws::put_masked(out, ws::TEXT, message, mask),
        Dialect::Quick => ws::put_masked(out, ws::BINARY, message, mask),
        Dialect::Line => {
            out.extend_from_slice(message);
            out.push(b'\n');
        }
        Dialect::Quic => out.extend_from_slice(message),
    }
}

/// Writes `hi`, which for some is their `nick`.
pub(crate) fn put_hi(out: &mut Vec<u8>, dialect: Dialect, nick: &str) {
    out.clear();
    match dialect {
        Dialect::Text => out.extend_from_slice(br#"[{"m":"hi"}]"#),
        Dialect::Quick => quick::put_hi(out),
        Dialect::Line => out.extend_from_slice(nick.as_bytes()),
        Dialect::Quic => quic::put_hi(out, nick),
    }
}

/// Writes a wish for a channel. The name holds nothing that JSON escapes.
pub(crate) fn put_join(out: &mut Vec<u8>, dialect: Dialect, channel: &str) {
    out.clear();
    match dialect {
        Dialect::Text => {
            out.extend_from_slice(br#"[{"m":"ch","_id":""#);
            out.extend_from_slice(channel.as_bytes());
            out.extend_from_slice(br#""}]"#);
        }
        Dialect::Quick => quick::put_join(out, channel),
        Dialect::Line => {
            out.extend_from_slice(b"/join ");
            out.extend_from_slice(channel.as_bytes());
        }
        Dialect::Quic => quic::put_join(out, channel),
    }
}

/// Writes `+ls`, or the nearest thing to it.
pub(crate) fn put_follow_list(out: &mut Vec<u8>, dialect: Dialect) {
    out.clear();
    match dialect {
        Dialect::Text => out.extend_from_slice(br#"[{"m":"+ls"}]"#),
        Dialect::Quick => quick::put_follow_list(out),
        Dialect::Line => out.extend_from_slice(b"/rooms"),
        Dialect::Quic => quic::put_list(out),
    }
}

/// Writes a marked message; `size` is the number of notes, `room` the number of the sender's room, where it has one.
pub(crate) fn put(out: &mut Vec<u8>, dialect: Dialect, mark: Mark, size: usize, room: u64) {
    out.clear();
    match dialect {
        Dialect::Text => text::put(out, mark, size),
        Dialect::Quick => quick::put(out, mark, size),
        // A scenario in which they send anything else is refused.
        Dialect::Line => mark::put_line(out, mark),
        Dialect::Quic => quic::put_mark(out, mark, room),
    }
}

#[cfg(test)]
mod tests;
