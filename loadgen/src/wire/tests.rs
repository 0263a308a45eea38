//! Whatever a server sends is looked at without a panic.

use proptest::prelude::*;

use super::*;
use crate::net::ws;

/// Bytes that look like messages for a while: pieces of real ones, in any order, and noise.
fn almost_messages() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        r#"[{"m":""#,
        r#"{"m":""#,
        r#"[{ "m" : "n" "#,
        r#"n","t":"#,
        r#""p":""#,
        r#""n":[{"#,
        r#""n":""#,
        r#"c4","v":"#,
        r#"a","a":"~1.2.3.4~""#,
        r#","p":{"id":""#,
        r#"m","id":"x","x":"#,
        r#""y":""#,
        r#"t","e":"#,
        r#"ch","ch":{"_id":""#,
        r#"c","c":["#,
        r#"ls","c":false,"u":["#,
        r#"notification","text":""#,
        "[12:34:56] ",
        "bob: ~1.2.3.4~",
        "*** Last ",
        "Welcome bob! You are in #",
        "You joined #",
        "ERROR: ",
        r#"]},{"m":""#,
        "99999999999999999999.999",
        "18446744073709551615",
        "1e308",
        "9e-400",
        "0.5",
        "}",
        "]",
        "\"",
        "\\\"",
        ",",
    ])
    .prop_map(|piece| piece.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..9);
    prop::collection::vec(prop_oneof![4 => pieces, 1 => noise], 0..24)
        .prop_map(|parts| parts.concat())
}

fn look_at(payload: &[u8]) {
    for dialect in [Dialect::Text, Dialect::Quick, Dialect::Line, Dialect::Quic] {
        let anew = print_anew(payload, dialect);
        each_message(anew.as_deref().unwrap_or(payload), dialect, |what, message| {
            read(what, message);
            own_id(message);
            channel_id(message);
            notification_text(message);
            quic::room_id(payload);
            for what in [What::Note, What::Chat, What::Cursor, What::Time] {
                if let Some(Marked::Chat { line, .. }) = read(what, message) {
                    mark::read_line(line);
                }
            }
        });
    }
}

proptest! {
    #[test]
    fn any_bytes_are_looked_at(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        look_at(&payload);
    }

    #[test]
    fn what_looks_like_messages_is_looked_at(payload in almost_messages()) {
        look_at(&payload);
    }

    #[test]
    fn any_line_of_chat_is_looked_at(line in "~?[0-9.~]{0,60}") {
        mark::read_line(line.as_bytes());
    }

    /// A header that is there does not change by what follows, so splits of the bytes do not matter.
    #[test]
    fn a_header_is_the_same_however_much_is_there(
        bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let whole = ws::header(&bytes);
        for cut in 0..bytes.len() {
            let head = ws::header(&bytes[..cut]);
            prop_assert!(head.is_none() || head == whole);
        }
        if let Some(head) = whole {
            prop_assert!(head.head <= bytes.len());
        }
    }
}
