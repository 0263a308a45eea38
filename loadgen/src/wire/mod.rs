//! What a load generator says and hears: marked messages, without a JSON parser.
//!
//! Every marked message names its number so that it survives whatever a server does to it: printed
//! anew, merged into one array with others, or turned from text to binary.
//!
//! | message | number | checked against it |
//! | --- | --- | --- |
//! | note | `t`, the intended time in milliseconds with three decimals | key and velocity of the first note |
//! | chat | written into the line | a checksum in the line |
//! | cursor | the position, to base 10,000 | that it is a position at all |
//! | ping | `e` | - |
//!
//! Who sent it is the participant id that the server puts in, so a server that mixes people up is found.

pub(crate) mod mark;
pub(crate) mod quick;
pub(crate) mod text;

use crate::scenario::Dialect;
pub(crate) use mark::{Mark, Marked};

/// One message of a frame, not yet looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// JSON, from the brace of this message to that of the next, or to the end of the frame.
    Text(&'a [u8]),
    /// The payload of a quick frame.
    Quick(&'a [u8]),
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
    /// `hi`
    Hi,
    /// `ch`
    Channel,
    /// `c`
    History,
    /// `ls`
    List,
    /// `notification`
    Notification,
    /// Anything else.
    Other,
}

/// Calls `each` with every message of a frame.
#[inline]
pub(crate) fn each_message<'a>(
    payload: &'a [u8],
    binary: bool,
    each: impl FnMut(What, Message<'a>),
) {
    if binary { quick::each_message(payload, each) } else { text::each_message(payload, each) }
}

/// Reads the mark of a note, chat, cursor move or time.
#[inline]
pub(crate) fn read<'a>(what: What, message: Message<'a>) -> Option<Marked<'a>> {
    match message {
        Message::Text(text) => text::read(what, text),
        Message::Quick(payload) => quick::read(what, payload),
    }
}

/// Writes `hi`.
pub(crate) fn put_hi(out: &mut Vec<u8>, dialect: Dialect) {
    out.clear();
    match dialect {
        Dialect::Text => out.extend_from_slice(br#"[{"m":"hi"}]"#),
        Dialect::Quick => quick::put_hi(out),
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
    }
}

/// Writes `+ls`.
pub(crate) fn put_follow_list(out: &mut Vec<u8>, dialect: Dialect) {
    out.clear();
    match dialect {
        Dialect::Text => out.extend_from_slice(br#"[{"m":"+ls"}]"#),
        Dialect::Quick => quick::put_follow_list(out),
    }
}

/// Writes a marked message; `size` is the number of notes.
pub(crate) fn put(out: &mut Vec<u8>, dialect: Dialect, mark: Mark, size: usize) {
    out.clear();
    match dialect {
        Dialect::Text => text::put(out, mark, size),
        Dialect::Quick => quick::put(out, mark, size),
    }
}
