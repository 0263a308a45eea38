//! The quick dialect: binary frames of an opcode, a 24-bit length and a payload, several to a message.

use super::mark::{self, Mark, Marked, POSITION_BASE};
use super::{Message, What};
use crate::scenario::Kind;

const HI: u8 = 0x01;
const FOLLOW_LIST: u8 = 0x03;
const TIME: u8 = 0x05;
const CHAT: u8 = 0x06;
const NOTE: u8 = 0x07;
const CURSOR: u8 = 0x08;
const CHANNEL: u8 = 0x0c;

/// Calls `each` with every quick frame of a binary message. What is cut off is left out.
#[inline]
pub(super) fn each_message<'a>(payload: &'a [u8], mut each: impl FnMut(What, Message<'a>)) {
    let mut rest = payload;
    while let [op, a, b, c, behind @ ..] = rest {
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some((frame, next)) = behind.split_at_checked(len) else { return };
        let what = match *op {
            NOTE => What::Note,
            CURSOR => What::Cursor,
            CHAT => What::Chat,
            TIME => What::Time,
            _ => What::Other,
        };
        each(what, Message::Quick(frame));
        rest = next;
    }
}

/// Reads the mark of a message.
#[inline]
pub(super) fn read(what: What, payload: &[u8]) -> Option<Marked<'_>> {
    let mut reader = Reader(payload);
    match what {
        What::Note => {
            let intended_us = integer(reader.number()?, 1e3)?;
            let count = reader.count()?;
            let key = reader.string()?;
            let velocity = integer(reader.number()?, 1e3)?;
            // What is left of the first note, and the others.
            reader.skip(16)?;
            for _ in 1..count {
                reader.string()?;
                reader.skip(24)?;
            }
            Some(Marked::Note { by: reader.string()?, intended_us, key, velocity })
        }
        What::Chat => {
            let line = reader.string()?;
            Some(Marked::Chat { line, by: reader.string()? })
        }
        What::Cursor => {
            let by = reader.string()?;
            let (x, y) = (integer(reader.number()?, 1e2)?, integer(reader.number()?, 1e2)?);
            Some(Marked::Cursor { by, number: y * POSITION_BASE + x })
        }
        What::Time => {
            reader.number()?;
            Some(Marked::Pong { number: integer(reader.number()?, 1.0)? })
        }
        _ => None,
    }
}

/// Writes `hi`.
pub(super) fn put_hi(out: &mut Vec<u8>) {
    put_frame(out, HI, |_| {});
}

/// Writes `+ls`.
pub(super) fn put_follow_list(out: &mut Vec<u8>) {
    put_frame(out, FOLLOW_LIST, |_| {});
}

/// Writes a wish for a channel.
pub(super) fn put_join(out: &mut Vec<u8>, channel: &str) {
    put_frame(out, CHANNEL, |out| put_string(out, channel.as_bytes()));
}

/// Writes a marked message.
pub(super) fn put(out: &mut Vec<u8>, mark: Mark, size: usize) {
    let Mark { kind, sender, number, intended_us } = mark;
    match kind {
        Kind::Note => put_frame(out, NOTE, |out| {
            put_number(out, intended_us as f64 / 1e3);
            out.extend_from_slice(&(size as u16).to_be_bytes());
            let velocity = mark::velocity_of(sender, number) as f64 / 1e3;
            // `s` is 0 for a start.
            put_note(out, mark::key_of(number), [velocity, 0.0, 0.0]);
            for note in 1..size {
                let rest = if note % 2 == 0 { [1.0, 90.0, 1.0] } else { [0.51, 40.0, 0.0] };
                put_note(out, mark::key_of(number + note as u64 * 4), rest);
            }
        }),
        Kind::Chat => put_frame(out, CHAT, |out| {
            let mut line = Vec::new();
            mark::put_line(&mut line, mark);
            put_string(out, &line);
        }),
        Kind::Cursor => put_frame(out, CURSOR, |out| {
            put_number(out, (number % POSITION_BASE) as f64 / 1e2);
            put_number(out, (number / POSITION_BASE) as f64 / 1e2);
        }),
        Kind::Ping => put_frame(out, TIME, |out| put_number(out, number as f64)),
    }
}

fn put_note(out: &mut Vec<u8>, key: &str, rest: [f64; 3]) {
    put_string(out, key.as_bytes());
    for number in rest {
        put_number(out, number);
    }
}

fn put_frame(out: &mut Vec<u8>, op: u8, payload: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[op, 0, 0, 0]);
    let start = out.len();
    payload(out);
    let len = (out.len() - start) as u32;
    out[start - 3..start].copy_from_slice(&len.to_be_bytes()[1..]);
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}

fn put_number(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// A number as an integer of 1/`scale`.
#[inline]
fn integer(number: f64, scale: f64) -> Option<u64> {
    let scaled = (number * scale).round();
    (0.0..1e18).contains(&scaled).then_some(scaled as u64)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn skip(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(head)
    }

    #[inline]
    fn number(&mut self) -> Option<f64> {
        self.skip(8)?.try_into().ok().map(f64::from_be_bytes)
    }

    #[inline]
    fn count(&mut self) -> Option<u16> {
        self.skip(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.count()?;
        self.skip(usize::from(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hex")
        };
        digits.map(byte).collect()
    }

    /// The vectors of section 10.8 of the protocol page, what servers send.
    #[test]
    fn frames_of_servers_are_read() {
        let read_one = |hex: &str| {
            let frame = bytes(hex).leak();
            let mut marked = None;
            each_message(frame, |what, message| {
                let Message::Quick(payload) = message else { panic!("a quick frame") };
                marked = read(what, payload);
            });
            marked
        };
        let u = &b"0123456789abcdef01234567"[..];
        assert_eq!(
            read_one(
                "0700005c4278bcfe568000000002000261343fe00000000000000000000000000000000000000000000000026134000000000000000040590000000000003ff00000000000000018303132333435363738396162636465663031323334353637"
            ),
            Some(Marked::Note {
                by: u,
                intended_us: 1_700_000_000_000_000,
                key: b"a4",
                velocity: 500
            })
        );
        assert_eq!(
            read_one(
                "0800002a001830313233343536373839616263646566303132333435363740290000000000004049200000000000"
            ),
            Some(Marked::Cursor { by: u, number: 5025 * POSITION_BASE + 1250 })
        );
        assert_eq!(
            read_one("050000104278bcfe5687b0004278bcfe56800000"),
            Some(Marked::Pong { number: 1_700_000_000_000 })
        );
    }

    #[test]
    fn frames_of_clients_are_as_the_page_has_them() {
        let mut out = Vec::new();
        put_join(&mut out, "lobby");
        assert_eq!(out, bytes("0c00000700056c6f626279"));
        out.clear();
        put_hi(&mut out);
        assert_eq!(out, bytes("01000000"));
        out.clear();
        let mark = Mark {
            kind: Kind::Cursor,
            sender: 0,
            number: 5030 * POSITION_BASE + 1250,
            intended_us: 0,
        };
        put(&mut out, mark, 1);
        assert_eq!(out, bytes("0800001040290000000000004049266666666666"));
    }

    #[test]
    fn cut_frames_are_left_out() {
        let mut out = Vec::new();
        let mark = Mark { kind: Kind::Note, sender: 1, number: 2, intended_us: 3 };
        put(&mut out, mark, 2);
        let whole = out.len();
        put(&mut out, mark, 2);
        for cut in 0..out.len() {
            let mut found = 0;
            each_message(&out[..cut], |_, message| {
                found += 1;
                let Message::Quick(payload) = message else { panic!("a quick frame") };
                // Clients' notes have no sender behind them, so they are no servers' notes.
                assert_eq!(read(What::Note, payload), None);
            });
            assert_eq!(found, cut / whole);
        }
    }
}
