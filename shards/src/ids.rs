//! Identities. None of them is ever a bare number or string.

use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU64};

/// One shard: a pinned thread that owns its channels outright. Numbered from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's position in arrays of shards.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One connection, for as long as it lives and on whichever shard it is.
///
/// The upper 16 bits name the shard that accepted it, the lower 48 count up from 1 there, so a number is never
/// used twice in one process and never is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ConnId(NonZeroU64);

impl ConnId {
    /// The `serial`th connection (from 1) that `birth` accepted.
    ///
    /// # Panics
    /// When `serial` is 0 or above 48 bits.
    #[must_use]
    pub fn new(birth: ShardId, serial: u64) -> Self {
        assert!((1..1 << 48).contains(&serial), "connections are counted from 1");
        let number = NonZeroU64::new(u64::from(birth.0) << 48 | serial);
        ConnId(number.expect("a serial number is not 0"))
    }

    /// The number as it is logged.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.get() >> 48, self.0.get() & 0xffff_ffff_ffff)
    }
}

/// A connection's place in its shard's table: valid until that connection is closed or handed over.
///
/// The generation makes a key that outlived its connection match nothing instead of somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// Packs the key into one number, for a poller's user data.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The inverse of [`Key::to_u64`].
    #[must_use]
    pub fn from_u64(packed: u64) -> Self {
        Key { slot: packed as u32, generation: (packed >> 32) as u32 }
    }

    /// The slot, for tables that run beside the shard's own. Reused after a close.
    #[must_use]
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// A user (`_id` on the wire): 12 bytes, written as 24 lower-case hex digits.
///
/// The same value names the user's participant in every channel (`id` on the wire), because clients mix the two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId(pub [u8; 12]);

impl UserId {
    /// The 24 lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> [u8; 24] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }

    /// Reads exactly 24 lower-case hex digits; anything else is nobody's id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 24] = text.as_bytes().try_into().ok()?;
        let mut id = [0; 12];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(UserId(id))
    }

    /// The colour that a user has before choosing one: the first six digits of the id.
    #[must_use]
    pub fn default_color(&self) -> crate::Color {
        crate::Color([self.0[0], self.0[1], self.0[2]])
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_id_reads_what_it_writes() {
        let id = UserId([0, 1, 0xab, 0xff, 4, 5, 6, 7, 8, 9, 10, 11]);
        let text = String::from_utf8(id.hex().to_vec()).unwrap();
        assert_eq!(text, id.to_string());
        assert_eq!(UserId::parse(&text), Some(id));
        assert_eq!(UserId::parse(&text.to_uppercase()), None);
        assert_eq!(UserId::parse("0123"), None);
    }

    #[test]
    fn key_survives_packing() {
        let key = Key { slot: 7, generation: u32::MAX };
        assert_eq!(Key::from_u64(key.to_u64()), key);
    }
}
