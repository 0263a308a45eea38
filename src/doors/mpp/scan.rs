//! The short cut for what peers send most: notes and cursor moves.
//!
//! It reads frames that hold only those two messages, with exactly their usual fields in any order, and gives up at
//! anything else: escapes, exponents, unknown or repeated fields, missing ones. Such a frame goes to the JSON parser,
//! which stands for what is right; tests hold the two against each other.

use super::{
    decode::{delay, velocity},
    keys,
};
use smallvec::SmallVec;
use std::collections::VecDeque;
use tutti_shards::{Command, Note, NoteBatch, Position};

/// Appends the commands of a text frame and returns how many messages it held. `None`, and nothing appended, when
/// the frame is not of the kind that is known here.
pub(super) fn frame(payload: &[u8], out: &mut VecDeque<Command>) -> Option<usize> {
    let first = out.len();
    let mut scanner = Scanner { rest: payload };
    let messages = scanner.frame(out);
    if messages.is_none() {
        out.truncate(first);
    }
    messages
}

struct Scanner<'a> {
    rest: &'a [u8],
}

/// What separates two members of an array or object, or ends it.
enum Next {
    More,
    End,
}

/// Powers of ten that floats hold exactly.
const TEN: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

impl<'a> Scanner<'a> {
    fn frame(&mut self, out: &mut VecDeque<Command>) -> Option<usize> {
        let mut messages = 0;
        self.take(b'[')?;
        loop {
            self.message(out)?;
            messages += 1;
            if let Next::End = self.next(b']')? {
                self.space();
                return self.rest.is_empty().then_some(messages);
            }
        }
    }

    fn message(&mut self, out: &mut VecDeque<Command>) -> Option<()> {
        let (mut kind, mut at_ms, mut notes, mut x, mut y) = (None, None, None, None, None);
        self.take(b'{')?;
        loop {
            match self.key()? {
                b'm' => once(&mut kind, self.letter()?)?,
                b't' => once(&mut at_ms, self.number()?)?,
                b'n' => once(&mut notes, self.notes()?)?,
                b'x' => once(&mut x, self.coordinate()?)?,
                b'y' => once(&mut y, self.coordinate()?)?,
                _ => return None,
            }
            if let Next::End = self.next(b'}')? {
                break;
            }
        }
        let command = match (kind?, at_ms, notes, x, y) {
            (b'n', Some(at_ms), Some((sent, notes)), None, None) => {
                Command::Play(NoteBatch { at_ms, sent, notes })
            }
            (b'm', None, None, Some(x), Some(y)) => Command::Move(Position::from_percent(x, y)?),
            _ => return None,
        };
        out.push_back(command);
        Some(())
    }

    /// An array of notes that is not empty; how many it has, and those with a known key.
    fn notes(&mut self) -> Option<(u32, SmallVec<[Note; 3]>)> {
        /// Notes that memory is asked for at once when a batch outgrows the stack. More would let a frame of many
        /// small batches ask for many times its own size.
        const MORE: usize = 16;
        let (mut sent, mut notes) = (0, SmallVec::<[Note; 3]>::new());
        self.take(b'[')?;
        loop {
            if let Some(note) = self.note()? {
                if notes.len() == notes.inline_size() {
                    notes.reserve_exact(MORE);
                }
                notes.push(note);
            }
            sent += 1;
            if let Next::End = self.next(b']')? {
                return Some((sent, notes));
            }
        }
    }

    /// A note; `Some(None)` when it has no known key.
    fn note(&mut self) -> Option<Option<Note>> {
        let (mut key, mut v, mut d, mut s) = (None, None, None, None);
        self.take(b'{')?;
        loop {
            match self.key()? {
                b'n' => once(&mut key, self.string()?)?,
                b'v' => once(&mut v, self.number()?)?,
                b'd' => once(&mut d, self.number()?)?,
                b's' => once(&mut s, self.number()?)?,
                _ => return None,
            }
            if let Next::End = self.next(b'}')? {
                break;
            }
        }
        Some(keys::parse(key?).map(|key| Note {
            key,
            stop: s.is_some_and(|s| s != 0.0),
            velocity: v.and_then(velocity),
            delay_ms: d.and_then(delay),
        }))
    }

    #[inline]
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline]
    fn take(&mut self, expected: u8) -> Option<()> {
        self.space();
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        (byte == expected).then_some(())
    }

    #[inline]
    fn next(&mut self, end: u8) -> Option<Next> {
        self.space();
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        match byte {
            b',' => Some(Next::More),
            byte if byte == end => Some(Next::End),
            _ => None,
        }
    }

    /// A key of one letter, and the colon.
    #[inline]
    fn key(&mut self) -> Option<u8> {
        let key = self.letter()?;
        self.take(b':')?;
        Some(key)
    }

    /// A string of one letter.
    #[inline]
    fn letter(&mut self) -> Option<u8> {
        self.space();
        let [b'"', letter @ b'a'..=b'z', b'"', rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(*letter)
    }

    /// A short string without escapes.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        const LENGTH_MAX: usize = 8;
        self.take(b'"')?;
        for (length, &byte) in self.rest.iter().take(LENGTH_MAX + 1).enumerate() {
            match byte {
                b'"' => {
                    let (text, rest) = self.rest.split_at_checked(length)?;
                    self.rest = rest.get(1..)?;
                    return Some(text);
                }
                b'\\' | ..0x20 | 0x80.. => return None,
                _ => {}
            }
        }
        None
    }

    /// A number, or a number within a string.
    #[inline]
    fn coordinate(&mut self) -> Option<f64> {
        self.space();
        let Some(rest) = self.rest.strip_prefix(b"\"") else { return self.number() };
        self.rest = rest;
        let value = self.digits()?;
        self.rest = self.rest.strip_prefix(b"\"")?;
        Some(value)
    }

    #[inline]
    fn number(&mut self) -> Option<f64> {
        self.space();
        let value = self.digits()?;
        // What follows has to be looked at by the caller anyway: only these keep the number one.
        matches!(self.rest.first()?, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
            .then_some(value)
    }

    /// A decimal without exponent, and short enough to be exact after one rounding.
    #[inline]
    fn digits(&mut self) -> Option<f64> {
        /// Below this each whole number is a float, so that only the division rounds.
        const EXACT: u64 = 1 << 53;
        let (negative, rest) = match self.rest {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (mut value, mut rest) = (0u64, rest);
        let start = rest.len();
        while let [digit @ b'0'..=b'9', tail @ ..] = rest {
            // Wrapping is harmless: more digits than a u64 holds are refused below.
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            rest = tail;
        }
        let whole = start - rest.len();
        let leading_zero = whole > 1 && self.rest.get(usize::from(negative)) == Some(&b'0');
        let mut decimals = 0;
        if let [b'.', fraction @ ..] = rest {
            rest = fraction;
            let start = rest.len();
            while let [digit @ b'0'..=b'9', tail @ ..] = rest {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                rest = tail;
            }
            decimals = start - rest.len();
            if decimals == 0 {
                return None;
            }
        }
        if whole == 0 || leading_zero || whole + decimals > 18 || value >= EXACT {
            return None;
        }
        let value = value as f64 / TEN.get(decimals)?;
        self.rest = rest;
        Some(if negative { -value } else { value })
    }
}

/// Fills a field; a second value for it is refused.
#[inline]
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}
