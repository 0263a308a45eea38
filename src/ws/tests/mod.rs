//! The WebSocket layer against a table of RFC 6455, against itself in pieces, and against
//! tungstenite.

mod encoding;
mod oracle;
mod splits;
mod table;

use super::{Decoder, Fault, Item, Limits, Opcode};

/// An [`Item`] that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Fragment,
}

impl From<Item<'_>> for Got {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Text(text) => Self::Text(String::from_utf8(text.to_vec()).unwrap()),
            Item::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Item::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Item::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Item::Close(status) => {
                Self::Close(status.map(|(code, reason)| (code, reason.to_owned())))
            }
            Item::Fragment => Self::Fragment,
        }
    }
}

/// What a byte stream was decoded to: the items, and the fault that ended it.
type Outcome = (Vec<Got>, Option<Fault>);

/// One frame of a client: final bit, type, mask key, payload. Written after the RFC, not with our
/// encoder.
fn client_frame(is_final: bool, opcode: Opcode, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::from(is_final) << 7 | opcode as u8];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=65535 => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn is_close(got: &[Got]) -> bool {
    matches!(got.last(), Some(Got::Close(_)))
}

/// Decodes reads of these bytes until the stream ends by a fault or a close frame.
fn decode(limits: Limits, reads: impl IntoIterator<Item = Vec<u8>>) -> Outcome {
    let mut decoder = Decoder::default();
    let mut got = Vec::new();
    for mut read in reads {
        let mut input = read.as_mut_slice();
        loop {
            match decoder.next(&limits, &mut input) {
                Ok(Some(item)) => got.push(item.into()),
                Ok(None) => break assert!(input.is_empty(), "more is asked for when all is taken"),
                Err(fault) => {
                    assert_eq!(decoder.bytes_held(), 0, "a fault frees everything");
                    return (got, Some(fault));
                }
            }
            if is_close(&got) {
                return (got, None);
            }
        }
    }
    (got, None)
}
