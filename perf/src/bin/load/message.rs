//! Finding and reading the few fields that a benchmark needs, without a JSON parser.

use tutti_perf::ws::find;

/// Frames shorter than this hold one note or cursor message only.
const SINGLE_BYTES_MAX: usize = 126;

/// Calls `each` with every message of `kind` (its `m`, one letter) in a text frame. The usual frame
/// holds one message; servers that put several into one array are counted right as well.
#[inline]
pub(crate) fn each_message<'a>(payload: &'a [u8], kind: u8, mut each: impl FnMut(&'a [u8])) {
    if payload.len() < SINGLE_BYTES_MAX {
        if let Some(&[b'"', found, b'"']) = payload.get(6..9)
            && found == kind
        {
            each(payload);
        }
        return;
    }
    let start = [b'{', b'"', b'm', b'"', b':', b'"', kind, b'"'];
    let mut rest = payload;
    let mut at = find(rest, &start);
    while let Some(from) = at {
        let next = find(&rest[from + start.len()..], &start).map(|next| from + start.len() + next);
        each(&rest[from..next.unwrap_or(rest.len())]);
        rest = &rest[next.unwrap_or(rest.len())..];
        at = next.map(|_| 0);
    }
}

/// The `t` of a note message in microseconds: the intended send time.
#[inline]
pub(crate) fn note_time_us(message: &[u8]) -> Option<u64> {
    let digits = match message.get(9..14) {
        Some(br#","t":"#) => &message[14..],
        _ => &message[find(message, br#""t":"#)? + 4..],
    };
    decimal(digits, 3)
}

/// The position that a cursor message carries, in hundredths.
pub(crate) fn position(message: &[u8]) -> Option<(u64, u64)> {
    let x = &message[find(message, br#""x":"#)? + 4..];
    let y = &message[find(message, br#""y":"#)? + 4..];
    let unquote = |text: &[u8]| decimal(text.strip_prefix(b"\"").unwrap_or(text), 2);
    Some((unquote(x)?, unquote(y)?))
}

/// The text of the string field that starts with `name` (`"p":"` for example).
#[inline]
pub(crate) fn text_field<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &message[find(message, name)? + name.len()..];
    Some(&rest[..rest.iter().position(|&b| b == b'"')?])
}

/// A decimal number as an integer of 10^-`places`. Further places are cut off.
#[inline]
fn decimal(text: &[u8], places: u32) -> Option<u64> {
    let mut value = 0_u64;
    let mut seen = None;
    for &byte in text {
        match (byte, seen) {
            (b'0'..=b'9', None) => value = value.checked_mul(10)? + u64::from(byte - b'0'),
            (b'0'..=b'9', Some(at)) if at < places => {
                value = value.checked_mul(10)? + u64::from(byte - b'0');
                seen = Some(at + 1);
            }
            (b'0'..=b'9', Some(_)) => {}
            (b'.', None) => seen = Some(0),
            _ => break,
        }
    }
    text.first().filter(|byte| byte.is_ascii_digit())?;
    value.checked_mul(10_u64.pow(places - seen.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_a_server_that_prints_them_shorter() {
        let time = |t: &str| note_time_us(format!(r#"[{{"m":"n","t":{t},"p":"x"}}]"#).as_bytes());
        assert_eq!(time("1761000000420.123"), Some(1_761_000_000_420_123));
        assert_eq!(time("1761000000420.1"), Some(1_761_000_000_420_100));
        assert_eq!(time("1761000000420"), Some(1_761_000_000_420_000));
        assert_eq!(time("null"), None);
        assert_eq!(note_time_us(br#"[{"m":"n","n":[],"t":5.5}]"#), Some(5_500));
    }

    #[test]
    fn messages_are_found_alone_and_in_company() {
        let count = |frame: &str| {
            let mut found = 0;
            each_message(frame.as_bytes(), b'n', |_| found += 1);
            found
        };
        assert_eq!(count(r#"[{"m":"n","t":1,"p":"a","n":[]}]"#), 1);
        assert_eq!(count(r#"[{"m":"nq","allowance":1}]"#), 0);
        let note = r#"{"m":"n","t":1761000000420.123,"p":"0123456789abcdef01234567","n":[]}"#;
        assert_eq!(count(&format!("[{note},{note},{note}]")), 3);
        assert_eq!(count(&format!(r#"[{{"m":"nq","junk":"{}"}}]"#, "x".repeat(200))), 0);
    }

    #[test]
    fn positions_read_from_strings_and_numbers() {
        assert_eq!(position(br#"[{"m":"m","id":"a","x":"41.20","y":"0.05"}]"#), Some((4120, 5)));
        assert_eq!(position(br#"[{"m":"m","id":"a","x":41.2,"y":7}]"#), Some((4120, 700)));
    }
}
