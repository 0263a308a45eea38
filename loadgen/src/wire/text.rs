//! The JSON dialect: the few fields that matter, found without a parser.

use std::sync::LazyLock;

use memchr::memmem::{Finder, find};

use super::mark::{self, Mark, Marked, POSITION_BASE};
use super::{Message, What};
use crate::scenario::Kind;

/// How every message of every known server begins. Text of people cannot hold it: JSON escapes its quotes.
const START: &[u8] = br#"{"m":""#;

/// Prepared once, because every frame is searched for a second message.
static NEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(START));

/// Calls `each` with every message of a text frame.
#[inline]
pub(super) fn each_message<'a>(payload: &'a [u8], mut each: impl FnMut(What, Message<'a>)) {
    let mut rest = match payload {
        [b'[', rest @ ..] if rest.starts_with(START) => rest,
        _ => match find(payload, START) {
            Some(at) => &payload[at..],
            None => return,
        },
    };
    loop {
        let behind = &rest[START.len()..];
        let what = what(behind);
        // Long messages (`ch` with its people, `ls`) hold no other message, and are not searched for one.
        let next = match what {
            What::Channel | What::List => find(behind, br#"},{"m":""#).map(|at| at + 2),
            // What was said before one came holds messages that nobody sent just now.
            What::History => find(behind, br#"]},{"m":""#).map(|at| at + 3),
            _ => NEXT.find(behind),
        };
        let end = next.map_or(rest.len(), |at| START.len() + at);
        each(what, Message::Text(&rest[..end]));
        if next.is_none() {
            return;
        }
        rest = &rest[end..];
    }
}

/// Prints a frame in which no message begins as [`START`] has it; `None` when one does, or when it is no message.
#[cold]
pub(super) fn print_anew(payload: &[u8]) -> Option<Vec<u8>> {
    if NEXT.find(payload).is_some() {
        return None;
    }
    let messages: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_slice(payload).ok()?;
    let mut out = vec![b'['];
    for mut message in messages {
        let name = message.remove("m")?;
        let rest = serde_json::to_vec(&message).ok()?;
        out.extend_from_slice(if out.len() > 1 { br#",{"m":"# } else { br#"{"m":"# });
        out.extend_from_slice(&serde_json::to_vec(&name).ok()?);
        if !message.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(&rest[1..]);
    }
    out.push(b']');
    Some(out)
}

#[inline]
fn what(name: &[u8]) -> What {
    match name {
        [b'n', b'"', ..] => What::Note,
        [b'm', b'"', ..] => What::Cursor,
        [b'a', b'"', ..] => What::Chat,
        [b't', b'"', ..] => What::Time,
        [b'h', b'i', b'"', ..] => What::Hi,
        [b'c', b'h', b'"', ..] => What::Channel,
        [b'c', b'"', ..] => What::History,
        [b'l', b's', b'"', ..] => What::List,
        _ if name.starts_with(b"notification\"") => What::Notification,
        _ => What::Other,
    }
}

/// Reads the mark of a message.
#[inline]
pub(super) fn read(what: What, message: &[u8]) -> Option<Marked<'_>> {
    match what {
        What::Note => {
            if let Some(note) = usual_note(message) {
                return Some(note);
            }
            let intended_us = decimal(field(message, br#""t":"#)?, 3)?;
            let by = string(field(message, br#""p":""#)?)?;
            let first = field(message, br#""n":[{"#)?;
            let first = &first[..first.iter().position(|&byte| byte == b'}')?];
            let key = string(field(first, br#""n":""#)?)?;
            let velocity = decimal(field(first, br#""v":"#)?, 3)?;
            Some(Marked::Note { by, intended_us, key, velocity })
        }
        What::Chat => {
            let line = string(field(message, br#""a":""#)?)?;
            let person = field(message, br#""p":{"#)?;
            let by = string(field(person, br#""id":""#)?)?;
            Some(Marked::Chat { by, line })
        }
        What::Cursor => {
            let by = string(field(message, br#""id":""#)?)?;
            let place = |name: &[u8]| {
                let value = field(message, name)?;
                decimal(value.strip_prefix(b"\"").unwrap_or(value), 2)
            };
            let (x, y) = (place(br#""x":"#)?, place(br#""y":"#)?);
            Some(Marked::Cursor { by, number: mark::number_at(x, y)? })
        }
        What::Time => Some(Marked::Pong { number: decimal(field(message, br#""e":"#)?, 0)? }),
        _ => None,
    }
}

/// A note whose fields stand in the usual order, `t`, `p`, `n`: a tenth of the cost of looking for them.
#[inline]
fn usual_note(message: &[u8]) -> Option<Marked<'_>> {
    let time = message.strip_prefix(br#"{"m":"n","t":"#)?;
    let intended_us = decimal(time, 3)?;
    let by = time[memchr::memchr(b',', time)?..].strip_prefix(br#","p":""#)?;
    let (by, rest) = split_string(by)?;
    let (key, rest) = split_string(rest.strip_prefix(br#","n":[{"n":""#)?)?;
    let velocity = decimal(rest.strip_prefix(br#","v":"#)?, 3)?;
    Some(Marked::Note { by, intended_us, key, velocity })
}

/// The string that starts here, and what follows its quote.
#[inline]
fn split_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| byte == b'"')?;
    Some((&text[..end], &text[end + 1..]))
}

/// Writes a marked message.
pub(super) fn put(out: &mut Vec<u8>, mark: Mark, size: usize) {
    let Mark { kind, sender, number, intended_us } = mark;
    match kind {
        Kind::Note => {
            out.extend_from_slice(br#"[{"m":"n","t":"#);
            put_decimal(out, intended_us, 3);
            out.extend_from_slice(br#","n":[{"n":""#);
            out.extend_from_slice(mark::key_of(number).as_bytes());
            out.extend_from_slice(br#"","v":"#);
            put_decimal(out, mark::velocity_of(sender, number), 3);
            out.push(b'}');
            for note in 1..size {
                // Chords and runs as a player's are: stops among them, small delays.
                let key = mark::key_of(number + note as u64 * 4).as_bytes();
                out.extend_from_slice(br#",{"n":""#);
                out.extend_from_slice(key);
                let rest: &[u8] =
                    if note % 2 == 0 { br#"","d":90,"s":1}"# } else { br#"","d":40,"v":0.51}"# };
                out.extend_from_slice(rest);
            }
            out.extend_from_slice(b"]}]");
        }
        Kind::Chat => {
            out.extend_from_slice(br#"[{"m":"a","message":""#);
            mark::put_line(out, mark);
            out.extend_from_slice(br#""}]"#);
        }
        Kind::Cursor => {
            out.extend_from_slice(br#"[{"m":"m","x":""#);
            put_decimal(out, number % POSITION_BASE, 2);
            out.extend_from_slice(br#"","y":""#);
            put_decimal(out, number / POSITION_BASE, 2);
            out.extend_from_slice(br#""}]"#);
        }
        Kind::Ping => {
            out.extend_from_slice(br#"[{"m":"t","e":"#);
            put_decimal(out, number, 0);
            out.extend_from_slice(b"}]");
        }
    }
}

/// The receiver's own participant id in a `ch`: the `p` in front of the channel or behind the people.
pub(super) fn own_id(channel: &[u8]) -> Option<&[u8]> {
    string(field(channel, br#""p":""#)?).filter(|id| !id.is_empty())
}

/// The name of the channel that a `ch` tells of.
pub(super) fn channel_id(channel: &[u8]) -> Option<&[u8]> {
    string(field(field(channel, br#""ch":{"#)?, br#""_id":""#)?)
}

/// The text of a notification, cut short, for people.
pub(super) fn notification_text(message: &[u8]) -> String {
    let text = field(message, br#""text":""#).and_then(string);
    let text =
        text.or_else(|| field(message, br#""title":""#).and_then(string)).unwrap_or_default();
    String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned()
}

/// What stands behind `name`.
#[inline]
pub(crate) fn field<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    find(message, name).map(|at| &message[at + name.len()..])
}

/// The string that starts here, up to its quote.
#[inline]
pub(crate) fn string(text: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'"', text).map(|end| &text[..end])
}

/// A decimal number as an integer of 10^-`places`, rounded: servers that calculate with times change the last bits.
#[inline]
fn decimal(text: &[u8], places: u32) -> Option<u64> {
    let mut value = 0_u64;
    let mut seen = None;
    let mut up = false;
    let append = |value: u64, byte: u8| value.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
    for (at, &byte) in text.iter().enumerate() {
        match (byte, seen) {
            (b'0'..=b'9', None) => value = append(value, byte)?,
            (b'0'..=b'9', Some(n)) if n < places => {
                value = append(value, byte)?;
                seen = Some(n + 1);
            }
            // The first place beyond decides; one more ends the deciding.
            (b'0'..=b'9', Some(n)) => {
                up = up || n == places && byte >= b'5';
                seen = Some(places + 1);
            }
            (b'.', None) => seen = Some(0),
            (b'e' | b'E', _) => return exponential(text, at, places),
            _ => break,
        }
    }
    text.first().filter(|byte| byte.is_ascii_digit())?;
    let missing = places.saturating_sub(seen.unwrap_or(0));
    value.checked_mul(10_u64.pow(missing))?.checked_add(u64::from(up))
}

/// The same for a number with an exponent at `at`, which few servers print.
#[cold]
fn exponential(text: &[u8], at: usize, places: u32) -> Option<u64> {
    let digits = |&byte: &u8| byte.is_ascii_digit() || byte == b'-' || byte == b'+';
    let end = at + 1 + text[at + 1..].iter().take(8).take_while(|byte| digits(byte)).count();
    let value: f64 = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    let scaled = (value * 10_f64.powi(places as i32)).round();
    (0.0..1e18).contains(&scaled).then_some(scaled as u64)
}

/// Writes an integer of 10^-`places` with all its places.
fn put_decimal(out: &mut Vec<u8>, value: u64, places: usize) {
    let mut digits = [b'0'; 24];
    let mut at = digits.len();
    let mut rest = value;
    let mut written = 0;
    while rest > 0 || written <= places {
        if written == places && places > 0 {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        written += 1;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(frame: &str) -> Vec<(What, String)> {
        let mut all = Vec::new();
        each_message(frame.as_bytes(), |what, message| {
            let Message::Text(text) = message else { panic!("a text frame") };
            all.push((what, String::from_utf8_lossy(text).into_owned()));
        });
        all
    }

    #[test]
    fn other_ways_of_printing_are_understood() {
        let anew = |text: &str| {
            let printed = print_anew(text.as_bytes())?;
            Some(String::from_utf8(printed).expect("text"))
        };
        let spaced = r#"[ { "m" : "hi", "t" : 1 }, {"p":"x","m":"n"} ]"#;
        assert_eq!(anew(spaced).as_deref(), Some(r#"[{"m":"hi","t":1},{"m":"n","p":"x"}]"#));
        assert_eq!(anew(r#"[{"m":"hi"}]"#), None, "as usual");
        assert_eq!(anew("[1]"), None);
        assert_eq!(anew("[{]"), None);
        let decimals = [
            ("1.5", 1500),
            ("15e-1", 1500),
            ("1.5E+0,", 1500),
            ("0.6999999", 700),
            ("0.7004", 700),
            ("0.70049", 700),
            ("0.0005", 1),
            ("7", 7000),
        ];
        for (text, value) in decimals {
            assert_eq!(decimal(text.as_bytes(), 3), Some(value), "{text}");
        }
        for text in ["", "-1", "x", "1e99", "1e-", "99999999999999999999", "18446744073709551615.9"]
        {
            assert_eq!(decimal(text.as_bytes(), 3), None, "{text}");
        }
    }

    #[test]
    fn messages_are_found_alone_and_in_company() {
        let note = r#"{"m":"n","t":1,"p":"a","n":[{"n":"c4","v":0.5}]}"#;
        assert_eq!(messages(&format!("[{note},{note}]")).len(), 2);
        assert_eq!(messages(r#"[{"m":"nq","allowance":1}]"#)[0].0, What::Other);
        let join = r#"[{"m":"ch","p":"me","ch":{"_id":"x"},"ppl":[{"id":"me"}]},{"m":"c","c":[{"m":"a","a":"x"}]},{"m":"nq"}]"#;
        let found = messages(join);
        let kinds: Vec<What> = found.iter().map(|(what, _)| *what).collect();
        assert_eq!(kinds, [What::Channel, What::History, What::Other]);
        assert_eq!(own_id(found[0].1.as_bytes()), Some(&b"me"[..]));
        assert_eq!(messages(r#"[{"m":"a","a":"{\"m\":\"n\"","p":{"id":"x"}}]"#).len(), 1);
        assert!(messages("[]").is_empty() && messages("").is_empty());
    }

    #[test]
    fn marks_survive_being_printed_anew() {
        fn read_note(text: &str) -> Option<Marked<'_>> {
            read(What::Note, text.as_bytes())
        }
        let expected = Marked::Note {
            by: b"x",
            intended_us: 1_761_000_000_420_100,
            key: b"c4",
            velocity: 500,
        };
        for text in [
            r#"{"m":"n","t":1761000000420.100,"p":"x","n":[{"n":"c4","v":0.500}]}"#,
            r#"{"m":"n","n":[{"n":"c4","v":0.5},{"n":"d4","v":1}],"t":1761000000420.1,"p":"x"}"#,
            r#"{"m":"n","t":1761000000420.1,"n":[{"v":0.5,"n":"c4"}],"p":"x"}"#,
        ] {
            assert_eq!(read_note(text), Some(expected), "{text}");
        }
        assert_eq!(read_note(r#"{"m":"n","t":null,"p":"x","n":[{"n":"c4","v":0.5}]}"#), None);
        let cursor = Some(Marked::Cursor { by: b"a", number: 5 * POSITION_BASE + 4120 });
        assert_eq!(read(What::Cursor, br#"{"m":"m","id":"a","x":"41.20","y":"0.05"}"#), cursor);
        assert_eq!(read(What::Cursor, br#"{"m":"m","id":"a","x":41.2,"y":0.05}"#), cursor);
    }

    #[test]
    fn what_is_written_is_read() {
        for number in [0, 1, 87, 88, 9_999, 10_000, 123_456] {
            let mark = |kind| Mark { kind, sender: 7, number, intended_us: 1_761_000_000_000_007 };
            let mut out = Vec::new();
            put(&mut out, mark(Kind::Note), 3);
            let text = String::from_utf8(out.clone()).expect("text");
            assert!(text.contains(r#""t":1761000000000.007"#), "{text}");
            let served = text.replacen(",\"n\":[", ",\"p\":\"abc\",\"n\":[", 1);
            let Some(Marked::Note { by, intended_us, key, velocity }) =
                read(What::Note, served.as_bytes())
            else {
                panic!("{served}")
            };
            assert_eq!((by, intended_us), (&b"abc"[..], 1_761_000_000_000_007));
            assert_eq!(key, mark::key_of(number).as_bytes());
            assert_eq!(velocity, mark::velocity_of(7, number));
            out.clear();
            put(&mut out, mark(Kind::Cursor), 1);
            let served = String::from_utf8(out.clone())
                .expect("text")
                .replace("\"x\"", "\"id\":\"a\",\"x\"");
            assert_eq!(
                read(What::Cursor, served.as_bytes()),
                Some(Marked::Cursor { by: b"a", number })
            );
            out.clear();
            put(&mut out, mark(Kind::Ping), 1);
            assert_eq!(read(What::Time, &out), Some(Marked::Pong { number }));
        }
    }
}
