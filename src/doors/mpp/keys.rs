//! The names of the 88 piano keys (protocol page, section 3.4).

use tutti_shards::KEYS;

const NAMES: [&str; KEYS as usize] = [
    "a-1", "as-1", "b-1", //
    "c0", "cs0", "d0", "ds0", "e0", "f0", "fs0", "g0", "gs0", "a0", "as0", "b0", //
    "c1", "cs1", "d1", "ds1", "e1", "f1", "fs1", "g1", "gs1", "a1", "as1", "b1", //
    "c2", "cs2", "d2", "ds2", "e2", "f2", "fs2", "g2", "gs2", "a2", "as2", "b2", //
    "c3", "cs3", "d3", "ds3", "e3", "f3", "fs3", "g3", "gs3", "a3", "as3", "b3", //
    "c4", "cs4", "d4", "ds4", "e4", "f4", "fs4", "g4", "gs4", "a4", "as4", "b4", //
    "c5", "cs5", "d5", "ds5", "e5", "f5", "fs5", "g5", "gs5", "a5", "as5", "b5", //
    "c6", "cs6", "d6", "ds6", "e6", "f6", "fs6", "g6", "gs6", "a6", "as6", "b6", //
    "c7",
];

/// The name of a key below [`KEYS`].
pub(super) fn name(key: u8) -> &'static str {
    debug_assert!(key < KEYS);
    NAMES.get(usize::from(key)).copied().unwrap_or("c4")
}

/// The key of exactly this name.
pub(super) fn parse(name: &[u8]) -> Option<u8> {
    let (&letter, rest) = name.split_first()?;
    let (sharp, octave) = match rest {
        [b's', octave @ ..] => (1, octave),
        octave => (0, octave),
    };
    let semitone = match letter {
        b'c' => 0,
        b'd' => 2,
        b'e' if sharp == 0 => 4,
        b'f' => 5,
        b'g' => 7,
        b'a' => 9,
        b'b' if sharp == 0 => 11,
        _ => return None,
    } + sharp;
    match octave {
        [digit @ b'0'..=b'6'] => Some(3 + 12 * (digit - b'0') + semitone),
        b"-1" if semitone >= 9 => Some(semitone - 9),
        b"7" if semitone == 0 => Some(KEYS - 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_read_by_its_name() {
        for (key, name) in (0..).zip(NAMES) {
            assert_eq!(parse(name.as_bytes()), Some(key), "{name}");
        }
    }

    #[test]
    fn nothing_else_is_a_key() {
        // Every text of up to four of these, which holds all names and their near misses.
        let letters = b"abcdefghs-0123456789AC ";
        let mut texts = vec![Vec::new()];
        let mut found = 0;
        for _ in 0..4 {
            texts = texts
                .iter()
                .flat_map(|text: &Vec<u8>| {
                    letters.iter().map(|&l| [text.as_slice(), &[l]].concat())
                })
                .collect();
            found += texts.iter().filter(|text| parse(text).is_some()).count();
        }
        assert_eq!(found, usize::from(KEYS));
        assert_eq!(parse(b""), None);
    }
}
