//! What answers with files need besides: parts of them (RFC 9110, section 14), whether the client has them already
//! (section 13), and what they are called (RFC 6266 and 8187).

use std::fmt::Write as _;

/// What somebody wants of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// The bytes `from..to`, at least one. Invariant: `from < to <= size`.
    Bytes {
        /// The first.
        from: u64,
        /// The one behind the last.
        to: u64,
    },
    /// Nothing that is there: 416.
    Nothing,
}

/// What a `Range` header wants of a file of `size` bytes.
///
/// Several ranges at once, other units and what is no range at all are passed over, as RFC 9110, section 14.2 allows.
#[must_use]
pub fn part(range: &str, size: u64) -> Part {
    parse(range, size).unwrap_or(Part::Whole)
}

fn parse(range: &str, size: u64) -> Option<Part> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let (from, to) = match (first, last) {
        ("", count) => (size.saturating_sub(number(count)?), size),
        (first, "") => (number(first)?, size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, size.min(last.saturating_add(1)))
        }
    };
    Some(if from < to { Part::Bytes { from, to } } else { Part::Nothing })
}

/// Digits alone: `parse` would take a sign. A number beyond all sizes is as large as any.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether an `If-None-Match` header names this tag, which has quotation marks and no comma.
#[must_use]
pub fn is_unchanged(if_none_match: &str, etag: &str) -> bool {
    let mut tags = if_none_match.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// The value of a `Content-Disposition` that has a file saved under its name, and never shown.
#[must_use]
pub fn disposition(name: &str) -> String {
    let is_plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%');
    let fallback: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut value = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        let _ = write!(value, "; filename*=UTF-8''{}", percent_encoded(name));
    }
    value
}

/// A text as one segment of a path: letters, digits and `-._~` as they are.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_name_parts() {
        let bytes = |from, to| Part::Bytes { from, to };
        for (range, expected) in [
            ("bytes=0-0", bytes(0, 1)),
            ("bytes=0-9", bytes(0, 10)),
            ("bytes=3-", bytes(3, 10)),
            ("Bytes= 9-99", bytes(9, 10)),
            ("bytes=-4", bytes(6, 10)),
            ("bytes=-99", bytes(0, 10)),
            ("bytes=0-99999999999999999999999", bytes(0, 10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=99999999999999999999999-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("0-1", Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Nothing);
    }

    #[test]
    fn tags_are_found_in_lists() {
        for (list, found) in [
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_unchanged(list, "\"a\""), found, "{list}");
        }
    }

    #[test]
    fn names_are_quoted_or_encoded() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            disposition("\u{e4}\"%.txt"),
            "attachment; filename=\"___.txt\"; filename*=UTF-8''%C3%A4%22%25.txt"
        );
    }

    proptest! {
        #[test]
        fn a_part_is_inside_its_file(range in "(bytes=)?[0-9]{0,21}-?[0-9]{0,21}", size: u64) {
            if let Part::Bytes { from, to } = part(&range, size) {
                prop_assert!(from < to && to <= size);
            }
        }

        #[test]
        fn a_name_stays_inside_its_header(name in "\\PC{1,40}") {
            let value = disposition(&name);
            prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(value.matches('"').count(), 2);
        }

        #[test]
        fn a_segment_is_decoded_as_it_was(name in "[^.\\pC][^\\pC]{0,40}") {
            let path = format!("/u/{}", percent_encoded(&name));
            let path = super::super::DecodedPath::parse(&path).unwrap();
            prop_assert_eq!(&path.segments()[1], &name);
        }
    }
}
