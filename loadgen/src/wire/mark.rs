//! Marks: what a message says about itself, and what has to fit it.

use crate::scenario::Kind;

/// The 88 keys by their names.
const KEYS: [&str; 88] = [
    "a-1", "as-1", "b-1", "c0", "cs0", "d0", "ds0", "e0", "f0", "fs0", "g0", "gs0", "a0", "as0",
    "b0", "c1", "cs1", "d1", "ds1", "e1", "f1", "fs1", "g1", "gs1", "a1", "as1", "b1", "c2", "cs2",
    "d2", "ds2", "e2", "f2", "fs2", "g2", "gs2", "a2", "as2", "b2", "c3", "cs3", "d3", "ds3", "e3",
    "f3", "fs3", "g3", "gs3", "a3", "as3", "b3", "c4", "cs4", "d4", "ds4", "e4", "f4", "fs4", "g4",
    "gs4", "a4", "as4", "b4", "c5", "cs5", "d5", "ds5", "e5", "f5", "fs5", "g5", "gs5", "a5",
    "as5", "b5", "c6", "cs6", "d6", "ds6", "e6", "f6", "fs6", "g6", "gs6", "a6", "as6", "b6", "c7",
];

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// What kind of message.
    pub(crate) kind: Kind,
    /// The sender's number in its stream.
    pub(crate) sender: u32,
    /// How many it sent before.
    pub(crate) number: u64,
    /// When it was meant to be sent.
    pub(crate) intended_us: u64,
}

/// What arrived, as far as it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked<'a> {
    /// A note message.
    Note {
        /// The participant that the server names as its sender.
        by: &'a [u8],
        /// `t` in microseconds.
        intended_us: u64,
        /// Name of the first key.
        key: &'a [u8],
        /// Velocity of the first note in thousandths.
        velocity: u64,
    },
    /// A line of chat.
    Chat {
        /// The participant that the server names as its sender.
        by: &'a [u8],
        /// What it says.
        line: &'a [u8],
    },
    /// A cursor move.
    Cursor {
        /// The participant that moved.
        by: &'a [u8],
        /// Its position as a number.
        number: u64,
    },
    /// The answer to a ping.
    Pong {
        /// What was asked.
        number: u64,
    },
}

/// The key of a note message's first note.
#[inline]
pub(crate) fn key_of(number: u64) -> &'static str {
    KEYS[(number % 88) as usize]
}

/// The velocity of a note message's first note, in thousandths: 1 to 999.
#[inline]
pub(crate) fn velocity_of(sender: u32, number: u64) -> u64 {
    (u64::from(sender) * 31 + number) % 999 + 1
}

/// Base of cursor positions: hundredths of 0 to 99.99.
pub(crate) const POSITION_BASE: u64 = 10_000;

/// Writes a line of chat that says which it is.
pub(crate) fn put_line(out: &mut Vec<u8>, mark: Mark) {
    let Mark { sender, number, intended_us, .. } = mark;
    let line =
        format!("~{sender}.{number}.{intended_us}.{}~", checksum(sender, number, intended_us));
    out.extend_from_slice(line.as_bytes());
}

/// Reads such a line back; `None` when it is not one, or was changed.
pub(crate) fn read_line(line: &[u8]) -> Option<(u32, u64, u64)> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix('~')?.strip_suffix('~')?;
    let mut parts = line.split('.').map(|part| part.parse::<u64>().ok());
    let mut next = || parts.next().flatten();
    let (sender, number, intended_us, sum) = (next()?, next()?, next()?, next()?);
    let sender = u32::try_from(sender).ok()?;
    (sum == checksum(sender, number, intended_us)).then_some((sender, number, intended_us))
}

fn checksum(sender: u32, number: u64, intended_us: u64) -> u64 {
    let mixed = u64::from(sender) << 40 ^ number << 20 ^ intended_us;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_a_changed_one_does_not() {
        let mut line = Vec::new();
        let mark =
            Mark { kind: Kind::Chat, sender: 12, number: 3, intended_us: 1_761_000_000_000_123 };
        put_line(&mut line, mark);
        assert_eq!(read_line(&line), Some((12, 3, 1_761_000_000_000_123)));
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert_eq!(read_line(&changed), None, "{}", String::from_utf8_lossy(&changed));
        }
        assert_eq!(read_line(b"hello"), None);
    }
}
