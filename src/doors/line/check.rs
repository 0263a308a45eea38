//! What must hold for any bytes from a peer, as functions that fuzz targets and tests call.
#![allow(missing_docs)]

use super::{
    Framer, Line,
    command::{self, Lengths},
    prompt::{self, Attempts},
};

const BYTES_MAX: usize = 64;

/// The lines of some reads.
fn lines<'a>(reads: impl Iterator<Item = &'a [u8]>) -> (Vec<Line>, bool) {
    let (mut framer, mut lines) = (Framer::default(), Vec::new());
    for mut input in reads {
        while let Some(line) = framer.next(&mut input, BYTES_MAX) {
            lines.push(line);
        }
    }
    lines.extend(framer.finish());
    (lines, framer.wants_crlf())
}

/// Bytes never panic, give the same lines however they are split, and no line has what could draw on a terminal.
pub fn bytes(input: &[u8]) {
    let (whole, crlf) = lines(std::iter::once(input));
    assert_eq!((&whole, crlf), (&lines(input.chunks(1)).0, crlf));
    assert_eq!(whole, lines(input.chunks(7)).0);
    for line in &whole {
        let _ = prompt::is_http(line);
        let mut attempts = Attempts { made: 0, max: 3 };
        let _ = prompt::take(line, BYTES_MAX, &mut attempts, crlf);
        let Line::Bytes(bytes) = line else { continue };
        assert!(bytes.len() <= BYTES_MAX);
        let Some(text) = command::text_of(bytes) else { continue };
        assert!(!text.chars().any(char::is_control), "{text:?}");
        let _ = command::parse(&text, Lengths { text: 20, room: 20 });
    }
}
