//! Our frames as tungstenite's header type and its client read them.

use crate::ws::{Opcode, encode};
use proptest::prelude::*;
use std::io::{self, Cursor, Read, Write};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Message, protocol::frame::coding::CloseCode};

/// A peer that has sent these bytes and then nothing more, and takes whatever is written.
pub(super) struct Sent(pub(super) Cursor<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Sent {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The next message that tungstenite's client reads.
fn read(bytes: &[u8]) -> Message {
    let config = WebSocketConfig::default();
    let stream = Sent(Cursor::new(bytes.to_vec()));
    WebSocket::from_raw_socket(stream, Role::Client, Some(config)).read().unwrap()
}

/// The frame by both ways of writing it, which must agree, behind bytes that must stay.
fn encoded(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut at_once = b"before".to_vec();
    encode::frame(opcode, payload, &mut at_once);
    let mut patched = b"before".to_vec();
    let mark = encode::begin(&mut patched);
    patched.extend_from_slice(payload);
    let header_len = encode::finish(&mut patched, mark, opcode);
    assert_eq!(at_once, patched);
    assert_eq!(header_len, at_once.len() - 6 - payload.len());
    assert_eq!(&at_once[..6], b"before");
    at_once.split_off(6)
}

fn header(bytes: &[u8]) -> (FrameHeader, u64, usize) {
    let mut cursor = Cursor::new(bytes);
    let (header, len) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
    (header, len, cursor.position() as usize)
}

#[test]
fn headers_are_final_unmasked_and_as_short_as_can_be() {
    for (len, header_len) in
        [(0, 2), (125, 2), (126, 4), (300, 4), (65_535, 4), (65_536, 10), (200_000, 10)]
    {
        let payload: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        let bytes = encoded(Opcode::Binary, &payload);
        let (header, announced, at) = header(&bytes);
        assert!(header.is_final && header.mask.is_none());
        assert!(!header.rsv1 && !header.rsv2 && !header.rsv3);
        assert_eq!((announced as usize, at), (len, header_len));
        assert_eq!(&bytes[at..], payload);
        assert_eq!(read(&bytes), Message::binary(payload));
    }
}

#[test]
fn frames_follow_each_other_in_one_buffer() {
    let mut out = Vec::new();
    for len in [3, 200, 0, 70_000, 125] {
        let mark = encode::begin(&mut out);
        out.resize(out.len() + len, b'x');
        encode::finish(&mut out, mark, Opcode::Text);
    }
    let stream = Sent(Cursor::new(out));
    let mut client = WebSocket::from_raw_socket(stream, Role::Client, None);
    for len in [3, 200, 0, 70_000, 125] {
        assert_eq!(client.read().unwrap(), Message::text("x".repeat(len)));
    }
}

#[test]
fn control_frames() {
    let mut out = Vec::new();
    encode::ping(b"there?", &mut out);
    assert_eq!(read(&out), Message::Ping("there?".into()));
    out.clear();
    encode::pong(&[0; 125], &mut out);
    assert_eq!(read(&out), Message::Pong(vec![0; 125].into()));
    out.clear();
    encode::close(None, &mut out);
    assert_eq!(out, [0x88, 0]);
    assert_eq!(read(&out), Message::Close(None));
}

#[test]
#[should_panic(expected = "at most 125 bytes")]
fn an_overlong_control_frame_is_our_bug() {
    encode::ping(&[0; 126], &mut Vec::new());
}

#[track_caller]
fn check_close(reason: &str, kept: &str) {
    let mut out = Vec::new();
    encode::close(Some((4003, reason)), &mut out);
    let Message::Close(Some(frame)) = read(&out) else { panic!("a close frame with a code") };
    assert_eq!(frame.code, CloseCode::Library(4003));
    assert_eq!(frame.reason.as_str(), kept);
}

#[test]
fn a_close_reason_is_cut_between_characters() {
    check_close("", "");
    check_close("too many connections", "too many connections");
    let fits = "x".repeat(123);
    check_close(&fits, &fits);
    check_close(&"x".repeat(124), &fits);
    // 41 three-byte characters are 123 bytes; shifted by one, the last one does not fit.
    check_close(&"€".repeat(50), &"€".repeat(41));
    check_close(&format!("x{}", "€".repeat(50)), &format!("x{}", "€".repeat(40)));
}

proptest! {
    #[test]
    fn tungstenite_reads_what_we_write(text in ".{0,200}", bytes: Vec<u8>) {
        prop_assert_eq!(
            read(&encoded(Opcode::Text, text.as_bytes())), Message::text(text)
        );
        prop_assert_eq!(read(&encoded(Opcode::Binary, &bytes)), Message::binary(bytes));
    }
}
