//! Our decoder beside tungstenite's server, on the same bytes: same messages, same refusals.

use super::encoding::Sent;
use super::{Fault, Got, Limits, client_frame, decode, splits};
use crate::ws::Opcode;
use proptest::prelude::*;
use std::io::Cursor;
use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Message, protocol::frame::coding::CloseCode};

const LIMIT: usize = 400;

/// What tungstenite makes of the bytes, in our terms; the fault as the close code it deserves.
fn tungstenite_says(bytes: &[u8]) -> (Vec<Got>, Option<u16>) {
    let config =
        WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let stream = Sent(Cursor::new(bytes.to_vec()));
    let mut server = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut got = Vec::new();
    loop {
        match server.read() {
            Ok(Message::Text(text)) => got.push(Got::Text(text.to_string())),
            Ok(Message::Binary(bytes)) => got.push(Got::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => got.push(Got::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => got.push(Got::Pong(bytes.to_vec())),
            Ok(Message::Close(None)) => {
                got.push(Got::Close(None));
                return (got, None);
            }
            // This is how it answers a close code that must not be sent.
            Ok(Message::Close(Some(close)))
                if close.code == CloseCode::Protocol && close.reason == "Protocol violation" =>
            {
                return (got, Some(1002));
            }
            Ok(Message::Close(Some(close))) => {
                got.push(Got::Close(Some((close.code.into(), close.reason.to_string()))));
                return (got, None);
            }
            Ok(Message::Frame(frame)) => panic!("a raw frame from read: {frame:?}"),
            Err(Error::Io(_)) => return (got, None),
            Err(Error::Utf8(_)) => return (got, Some(1007)),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => return (got, Some(1009)),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return (got, None);
            }
            Err(_) => return (got, Some(1002)),
        }
    }
}

/// What we make of them, without the fragments that tungstenite does not report.
fn we_say(bytes: &[u8]) -> (Vec<Got>, Option<Fault>) {
    let (mut got, fault) = decode(Limits { message_bytes: LIMIT }, [bytes.to_vec()]);
    got.retain(|item| *item != Got::Fragment);
    (got, fault)
}

/// A legal frame, or one with a single thing wrong in its first two bytes.
fn frame_or_nearly() -> impl Strategy<Value = Vec<u8>> {
    (splits::frame(), prop::option::weighted(0.1, 0_u8..16)).prop_map(|(mut frame, flip)| {
        if let Some(bit) = flip
            && let Some(byte) = frame.get_mut(usize::from(bit / 8))
        {
            *byte ^= 1 << (bit % 8);
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn tungstenite_agrees(frames in prop::collection::vec(frame_or_nearly(), 0..10)) {
        let bytes = frames.concat();
        let (ours, fault) = we_say(&bytes);
        let (theirs, code) = tungstenite_says(&bytes);
        let stricter = matches!(fault, Some(Fault::LengthNotMinimal | Fault::LengthHighBit));
        // Ours is judged by its header, theirs when all of it is there, so the end may come
        // sooner here; what came before it must be the same.
        if let Some(fault) = fault {
            let common = theirs.get(..ours.len());
            prop_assert_eq!(common, Some(&ours[..]), "before {:?}", fault);
            if let Some(code) = code
                && theirs.len() == ours.len()
            {
                prop_assert!(
                    fault.close_code() == code || may_hide_another(fault),
                    "we say {:?}, they say {}", fault, code
                );
            }
            if theirs.len() > ours.len() {
                prop_assert!(stricter, "{:?}, but they go on: {:?}", fault, theirs);
            }
        } else {
            prop_assert_eq!((&ours, None), (&theirs, code));
        }
    }
}

/// Whether a frame with two things wrong may be refused for another one of them than tungstenite's.
///
/// We look at the header in the order of its bytes and before the payload; tungstenite looks at the
/// size and the mask first and at the rest when the payload is there. Of a close frame it reads the
/// reason first.
fn may_hide_another(fault: Fault) -> bool {
    !matches!(fault, Fault::NotUtf8 | Fault::CloseBody | Fault::TooBig { .. })
}

#[test]
fn tungstenite_refuses_the_same_single_mistakes() {
    let whole = |opcode, payload: &[u8]| client_frame(true, opcode, [1, 2, 3, 4], payload);
    let part = |opcode, payload: &[u8]| client_frame(false, opcode, [1, 2, 3, 4], payload);
    let with_first = |first: u8, mut frame: Vec<u8>| {
        frame[0] = first;
        frame
    };
    let mistakes = [
        with_first(0xc1, whole(Opcode::Text, b"rsv")),
        with_first(0x83, whole(Opcode::Text, b"reserved")),
        with_first(0x8b, whole(Opcode::Text, b"reserved")),
        part(Opcode::Ping, b""),
        whole(Opcode::Ping, &[0; 126]),
        whole(Opcode::Continue, b"lone"),
        [part(Opcode::Text, b"a"), whole(Opcode::Text, b"b")].concat(),
        b"\x81\x05Hello".to_vec(),
        whole(Opcode::Text, b"\xff"),
        [part(Opcode::Text, b"a"), part(Opcode::Continue, b"\xff")].concat(),
        [part(Opcode::Text, b"\xc3"), whole(Opcode::Continue, b"")].concat(),
        whole(Opcode::Close, b"x"),
        whole(Opcode::Close, &1005_u16.to_be_bytes()),
        whole(Opcode::Close, b"\x03\xe8\xff"),
        whole(Opcode::Binary, &[0; LIMIT + 1]),
        [part(Opcode::Binary, &[0; LIMIT]), whole(Opcode::Continue, &[0])].concat(),
    ];
    for bytes in mistakes {
        let (ours, fault) = we_say(&bytes);
        let fault = fault.unwrap_or_else(|| panic!("accepted: {bytes:x?}"));
        assert_eq!((ours, Some(fault.close_code())), tungstenite_says(&bytes), "{bytes:x?}");
    }
}
