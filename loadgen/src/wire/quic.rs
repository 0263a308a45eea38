//! The dialect of the QUIC door: frames of a type, a length and JSON, of which a few fields matter.

use std::fmt::Write as _;

use super::What;
use super::mark::{self, Mark, Marked};
use super::text::{field, string};
use crate::net::quic::HEAD;

const HELLO: u8 = 0x00;
const AUTH: u8 = 0x02;
const AUTH_OK: u8 = 0x03;
const AUTH_FAILED: u8 = 0x04;
const PING: u8 = 0x05;
const PONG: u8 = 0x06;
const GOODBYE: u8 = 0x08;
const SEND_MESSAGE: u8 = 0x10;
const JOIN_ROOM: u8 = 0x15;
const LEAVE_ROOM: u8 = 0x16;
const LIST_ROOMS: u8 = 0x21;
const ROOM_MESSAGE: u8 = 0x30;
const ROOM_INIT: u8 = 0x37;
const ERROR: u8 = 0xff;

/// What a whole frame is.
#[inline]
pub(super) fn what(frame: &[u8]) -> What {
    match frame.first() {
        Some(&ROOM_MESSAGE) => What::Chat,
        Some(&AUTH_OK) => What::Hi,
        Some(&ROOM_INIT) => What::Channel,
        Some(&ERROR) => What::Notification,
        Some(&AUTH_FAILED) => What::Refusal,
        Some(&GOODBYE) => What::Farewell,
        Some(&PING) => What::Ping,
        _ => What::Other,
    }
}

/// Reads the sender's name and the text of a room's message.
#[inline]
pub(super) fn read(frame: &[u8]) -> Option<Marked<'_>> {
    let line = string(field(frame, br#""content":""#)?)?;
    let by = string(field(frame, br#""username":""#)?)?;
    Some(Marked::Chat { by, line })
}

/// The name of the room that a `RoomInit` begins: the first one in it, before those of its messages.
pub(super) fn room(frame: &[u8]) -> Option<&[u8]> {
    string(field(frame, br#""name":""#)?)
}

/// The number of the room that a `RoomInit` begins.
pub(crate) fn room_id(frame: &[u8]) -> Option<u64> {
    let digits = field(frame, br#""room_id":"#)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// What an error or a goodbye says.
pub(super) fn reason(frame: &[u8]) -> Option<&[u8]> {
    string(field(frame, br#""message":""#).or_else(|| field(frame, br#""reason":""#))?)
}

/// Writes the answer to a ping: what it says, as another frame.
pub(crate) fn put_pong(out: &mut Vec<u8>, ping: &[u8]) {
    out.push(PONG);
    out.extend_from_slice(ping.get(1..).unwrap_or_default());
}

/// Whether a frame goes to the control stream, and not to that of commands.
pub(crate) fn is_control(frame: &[u8]) -> bool {
    frame.first().is_some_and(|&kind| kind < SEND_MESSAGE)
}

/// Writes `Hello` and `Auth`, which need no answer in between.
pub(super) fn put_hi(out: &mut Vec<u8>, nick: &str) {
    put(
        out,
        HELLO,
        format_args!(r#"{{"version":1,"capabilities":["chat"],"client":"tutti-loadgen"}}"#),
    );
    put(out, AUTH, format_args!(r#"{{"method":"username","credentials":"{nick}"}}"#));
}

/// Writes a wish for a room.
pub(super) fn put_join(out: &mut Vec<u8>, room: &str) {
    put(out, JOIN_ROOM, format_args!(r#"{{"name":"{room}"}}"#));
}

/// Writes that a room is left.
pub(crate) fn put_leave(out: &mut Vec<u8>, room: u64) {
    put(out, LEAVE_ROOM, format_args!(r#"{{"room_id":{room}}}"#));
}

/// Asks for the list of rooms.
pub(super) fn put_list(out: &mut Vec<u8>) {
    put(out, LIST_ROOMS, format_args!("{{}}"));
}

/// Writes a marked message to a room.
pub(super) fn put_mark(out: &mut Vec<u8>, mark: Mark, room: u64) {
    let mut line = Vec::new();
    mark::put_line(&mut line, mark);
    put_text(out, &String::from_utf8_lossy(&line), room, mark.intended_us);
}

/// Writes a text to a room; `number` makes its nonce, of which servers remember those that were used.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str, room: u64, number: u64) {
    let body = format_args!(r#"{{"room_id":{room},"content":"{text}","nonce":"{number}"}}"#);
    put(out, SEND_MESSAGE, body);
}

fn put(out: &mut Vec<u8>, kind: u8, json: std::fmt::Arguments<'_>) {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = text.write_fmt(json);
    out.reserve(HEAD + text.len());
    out.push(kind);
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Kind;

    #[test]
    fn frames_have_their_length_and_read_back() {
        let mut out = Vec::new();
        put_hi(&mut out, "bob");
        let len = u32::from_be_bytes([out[1], out[2], out[3], out[4]]) as usize;
        assert_eq!(out[HEAD + len], AUTH, "the second frame follows the first");
        assert!(is_control(&out));
        out.clear();
        let mark = Mark { kind: Kind::Chat, sender: 3, number: 7, intended_us: 99 };
        put_mark(&mut out, mark, 4096);
        assert!(!is_control(&out));
        assert_eq!(room_id(&out), Some(4096));
        let text = String::from_utf8_lossy(&out[HEAD..]).into_owned();
        let served = text.replacen('{', r#"{"sender":{"user_id":1,"username":"bob"},"#, 1);
        let served = [&[ROOM_MESSAGE, 0, 0, 0, 0], served.as_bytes()].concat();
        assert_eq!(what(&served), What::Chat);
        let Some(Marked::Chat { by, line }) = read(&served) else { panic!("{served:?}") };
        assert_eq!((by, mark::read_line(line)), (&b"bob"[..], Some((3, 7, 99))));
        assert_eq!(room(br#".....{"room_id":5,"name":"x"}"#), Some(&b"x"[..]));
        assert_eq!(room_id(b"\"room_id\":99999999999999999999999,"), None);
        assert_eq!(reason(br#".....{"code":1,"message":"no"}"#), Some(&b"no"[..]));
    }
}
