//! How people are called in lines: by their nick, or, from other doors, by a handle that no nick can be.

use crate::{DoorKind, Profile, UserId};

/// Most characters of the name in a handle.
const NAME_LENGTH_MAX: usize = 20;
/// Fewest digits of a handle.
pub(crate) const DIGITS_MIN: u8 = 4;

/// Appends how `profile` is called where its handle has so many digits (0 stands for the fewest).
///
/// A handle is the name with every run of other characters than letters, digits, `_` and `-` as one `_`, then `~`,
/// which no nick has, and the first digits of the user's id (line chat's protocol page, section 15.1).
pub fn write_line_name(profile: &Profile, digits: u8, out: &mut Vec<u8>) {
    if profile.door == DoorKind::Line {
        return out.extend_from_slice(profile.display_name().as_bytes());
    }
    let (mut length, mut gap) = (0, false);
    let start = out.len();
    for c in profile.display_name().chars() {
        let plain = c.is_alphanumeric() || c == '_' || c == '-';
        if !plain && gap {
            continue;
        }
        if length == NAME_LENGTH_MAX {
            break;
        }
        gap = !plain;
        length += 1;
        out.extend_from_slice((if plain { c } else { '_' }).encode_utf8(&mut [0; 4]).as_bytes());
    }
    if out.len() == start {
        out.extend_from_slice(b"user");
    }
    out.push(b'~');
    let digits = usize::from(digits.clamp(DIGITS_MIN, 24));
    out.extend_from_slice(&profile.user.hex()[..digits]);
}

/// How `profile` is called, as a text.
#[must_use]
pub fn line_name(profile: &Profile, digits: u8) -> Box<str> {
    let mut name = Vec::new();
    write_line_name(profile, digits, &mut name);
    String::from_utf8(name).expect("names and digits are text").into()
}

/// The fewest digits that tell `user` from all `others`, in steps of two.
pub(crate) fn digits_apart(user: UserId, others: impl Iterator<Item = UserId>) -> u8 {
    let same = |other: UserId| user.0.iter().zip(other.0).take_while(|&(a, b)| *a == b).count();
    let most = others.filter(|&other| other != user).map(same).max().unwrap_or(0);
    ((most as u8 + 1) * 2).clamp(DIGITS_MIN, 24)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserName;

    fn called(name: &str) -> Box<str> {
        let user = UserId([0x3f, 0xa2, 0xb1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let profile = Profile { name: UserName::parse(name, 40), ..Profile::new(user, 0) };
        line_name(&profile, 0)
    }

    #[test]
    fn handles_are_made_of_names() {
        assert_eq!(&*called("Bob"), "Bob~3fa2");
        assert_eq!(&*called("  a ~ b!!c "), "a_b_c~3fa2");
        assert_eq!(&*called("\u{e9}t\u{e9}"), "\u{e9}t\u{e9}~3fa2");
        assert_eq!(&*called(""), "Anonymous~3fa2");
        assert_eq!(&*called("***"), "_~3fa2");
        assert_eq!(&*called("abcdefghijklmnopqrstuvwxyz"), "abcdefghijklmnopqrst~3fa2");
    }

    #[test]
    fn digits_grow_until_they_tell_people_apart() {
        let id = |a, b, c| UserId([a, b, c, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let digits = |others: &[UserId]| digits_apart(id(1, 2, 3), others.iter().copied());
        assert_eq!(digits(&[]), 4);
        assert_eq!(digits(&[id(1, 2, 3), id(1, 3, 3)]), 4);
        assert_eq!(digits(&[id(1, 2, 4)]), 6);
    }
}
