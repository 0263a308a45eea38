//! Writing JSON, straight into the bytes that go out.

use tutti_shards::{Color, UserId};

/// Whether a byte of a JSON string needs an escape.
fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends `text` with its quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| is_escaped(byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex_pair(control));
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// The two lower-case hex digits of a byte.
pub(super) fn hex_pair(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// Appends an integer.
pub(super) fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a finite number in its shortest form, whole ones without a fraction. Anything else becomes `null`.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    /// Below this every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = value as i64;
    if value.abs() < EXACT && whole as f64 == value {
        integer(out, whole);
    } else if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends a finite single-precision number in the shortest form that tells it from its neighbours.
pub(super) fn float32(out: &mut Vec<u8>, value: f32) {
    let whole = value as i32;
    if whole as f32 == value {
        integer(out, whole);
    } else if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends hundredths as a number with exactly two decimals.
pub(super) fn hundredths_fixed(out: &mut Vec<u8>, value: i32) {
    if value < 0 {
        out.push(b'-');
    }
    let size = value.unsigned_abs();
    integer(out, size / 100);
    let rest = (size % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}

/// Appends hundredths as a number, in its shortest form.
pub(super) fn hundredths(out: &mut Vec<u8>, value: i32) {
    if value % 100 == 0 {
        return integer(out, value / 100);
    }
    hundredths_fixed(out, value);
    if value % 10 == 0 {
        out.pop();
    }
}

/// Appends a user's id with its quotes.
pub(super) fn user(out: &mut Vec<u8>, user: UserId) {
    out.push(b'"');
    out.extend_from_slice(&user.hex());
    out.push(b'"');
}

/// Appends a colour with its quotes.
pub(super) fn color(out: &mut Vec<u8>, color: Color) {
    out.extend_from_slice(b"\"#");
    for byte in color.0 {
        out.extend_from_slice(&hex_pair(byte));
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped() {
        let text = "a\"b\\c\n\r\t\u{1}\u{1f} d\u{e9}\u{1f600}";
        assert_eq!(
            written(|out| string(out, text)),
            "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f d\u{e9}\u{1f600}\""
        );
        assert_eq!(written(|out| string(out, "")), "\"\"");
    }

    #[test]
    fn numbers_are_short() {
        let check = |value: f64, text: &str| assert_eq!(written(|out| float(out, value)), text);
        check(1_761_000_000_420.0, "1761000000420");
        check(1_761_000_000_420.5, "1761000000420.5");
        check(-0.0, "0");
        check(0.1, "0.1");
        check(f64::NAN, "null");
        assert_eq!(written(|out| float32(out, 0.62)), "0.62");
        assert_eq!(written(|out| float32(out, 1.0)), "1");
        assert_eq!(written(|out| float32(out, 0.0)), "0");
    }

    #[test]
    fn hundredths_have_a_sign_and_decimals() {
        for (value, fixed, short) in [
            (0, "0.00", "0"),
            (5, "0.05", "0.05"),
            (-5, "-0.05", "-0.05"),
            (4120, "41.20", "41.2"),
            (20_000, "200.00", "200"),
            (-123_456, "-1234.56", "-1234.56"),
        ] {
            assert_eq!(written(|out| hundredths_fixed(out, value)), fixed);
            assert_eq!(written(|out| hundredths(out, value)), short);
        }
    }

    proptest! {
        #[test]
        fn any_string_is_read_back(text in any::<String>()) {
            let json = written(|out| string(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_float_is_read_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let json = written(|out| float(out, value));
            prop_assert_eq!(json.parse::<f64>().unwrap(), value);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
        }

        #[test]
        fn any_short_float_is_read_back(value in any::<f32>().prop_filter("finite", |v| v.is_finite())) {
            let json = written(|out| float32(out, value));
            prop_assert_eq!(json.parse::<f32>().unwrap(), value);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
        }
    }
}
