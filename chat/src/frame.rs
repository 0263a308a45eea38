//! Frames: one byte of type, four bytes of length, and the payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Length of a frame's header, bytes.
pub const HEADER_BYTES: usize = 5;

/// The types of frames, by the numbers of the protocol's page.
pub mod kind {
    #![allow(missing_docs, reason = "the page says what each is")]
    pub const HELLO: u8 = 0x00;
    pub const HELLO_ACK: u8 = 0x01;
    pub const AUTH: u8 = 0x02;
    pub const AUTH_OK: u8 = 0x03;
    pub const AUTH_FAILED: u8 = 0x04;
    pub const PING: u8 = 0x05;
    pub const PONG: u8 = 0x06;
    pub const THROTTLE: u8 = 0x07;
    pub const GOODBYE: u8 = 0x08;
    pub const SERVER_COMMAND: u8 = 0x09;
    pub const COMMAND_OK: u8 = 0x0A;
    pub const SEND_MESSAGE: u8 = 0x10;
    pub const EDIT_MESSAGE: u8 = 0x11;
    pub const DELETE_MESSAGE: u8 = 0x12;
    pub const ADD_REACTION: u8 = 0x13;
    pub const REMOVE_REACTION: u8 = 0x14;
    pub const JOIN_ROOM: u8 = 0x15;
    pub const LEAVE_ROOM: u8 = 0x16;
    pub const CREATE_ROOM: u8 = 0x17;
    pub const KICK_USER: u8 = 0x18;
    pub const BAN_USER: u8 = 0x19;
    pub const UNBAN_USER: u8 = 0x1A;
    pub const SET_ROLE: u8 = 0x1B;
    pub const MUTE_USER: u8 = 0x1C;
    pub const UPDATE_ROOM: u8 = 0x1D;
    pub const DELETE_ROOM: u8 = 0x1E;
    pub const INVITE_USER: u8 = 0x1F;
    pub const OPEN_DIRECT: u8 = 0x20;
    pub const LIST_ROOMS: u8 = 0x21;
    pub const FETCH_HISTORY: u8 = 0x22;
    pub const SET_PROFILE: u8 = 0x23;
    pub const ROOM_MESSAGE: u8 = 0x30;
    pub const ROOM_MESSAGE_EDITED: u8 = 0x31;
    pub const ROOM_MESSAGE_DELETED: u8 = 0x32;
    pub const ROOM_REACTION_ADDED: u8 = 0x33;
    pub const ROOM_REACTION_REMOVED: u8 = 0x34;
    pub const ROOM_USER_JOINED: u8 = 0x35;
    pub const ROOM_USER_LEFT: u8 = 0x36;
    pub const ROOM_INIT: u8 = 0x37;
    pub const ROOM_CLOSE: u8 = 0x38;
    pub const ROOM_USER_UPDATED: u8 = 0x39;
    pub const ROOM_UPDATED: u8 = 0x3A;
    pub const ROOM_HISTORY: u8 = 0x3B;
    pub const ROOM_LIST: u8 = 0x3C;
    pub const ROOM_INVITE: u8 = 0x3D;
    pub const SHARD_ASSIGNMENT: u8 = 0x50;
    pub const ROOM_PROMOTED: u8 = 0x51;
    pub const ROOM_DEMOTED: u8 = 0x52;
    pub const STREAM_OPEN: u8 = 0x53;
    pub const MESSAGE_DELIVERED: u8 = 0x60;
    pub const MESSAGE_READ: u8 = 0x61;
    pub const MESSAGE_ACK: u8 = 0x62;
    pub const UPLOAD_START: u8 = 0x70;
    pub const UPLOAD_CHUNK: u8 = 0x71;
    pub const UPLOAD_COMPLETE: u8 = 0x72;
    pub const UPLOAD_CANCEL: u8 = 0x73;
    pub const UPLOAD_ACK: u8 = 0x74;
    pub const FETCH_UPLOAD: u8 = 0x75;
    pub const UPLOAD_INFO: u8 = 0x76;
    pub const TYPING: u8 = 0x80;
    pub const STOP_TYPING: u8 = 0x81;
    pub const PRESENCE_ONLINE: u8 = 0x82;
    pub const PRESENCE_OFFLINE: u8 = 0x83;
    pub const PRESENCE_AWAY: u8 = 0x84;
    pub const ERROR: u8 = 0xFF;
}

/// Largest payload that a server may send in a frame of type `kind`, bytes.
pub fn payload_bytes_max(kind: u8) -> usize {
    match kind {
        kind::ROOM_INIT | kind::ROOM_HISTORY => 256 * 1024,
        kind::UPLOAD_CHUNK => 264 * 1024,
        _ => 64 * 1024,
    }
}

/// One frame as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`], or a number that this client does not know.
    pub kind: u8,
    /// What the header's length counts.
    pub payload: Bytes,
}

/// The server announced a frame that is larger than its type may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server announced a frame of type {kind:#04x} with {length} bytes, which is too large")]
pub struct Oversize {
    /// The frame's type.
    pub kind: u8,
    /// What its header says.
    pub length: usize,
}

/// Appends one frame to `out`.
///
/// # Panics
/// When the payload is longer than the header can say (4 GiB).
pub fn put(out: &mut BytesMut, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a payload is shorter than 4 GiB");
    out.reserve(HEADER_BYTES + payload.len());
    out.put_u8(kind);
    out.put_u32(length);
    out.put_slice(payload);
}

/// Takes the next frame off the front of `input`; `Ok(None)` means that more has to be read.
///
/// # Errors
/// [`Oversize`] as soon as the header is there; the stream is of no use after that.
pub fn take(input: &mut BytesMut) -> Result<Option<Frame>, Oversize> {
    let Some(header) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [kind, length @ ..] = *header;
    let length = u32::from_be_bytes(length) as usize;
    if length > payload_bytes_max(kind) {
        return Err(Oversize { kind, length });
    }
    if input.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    input.advance(HEADER_BYTES);
    Ok(Some(Frame { kind, payload: input.split_to(length).freeze() }))
}

/// The frame that fills a datagram exactly, or `None`.
pub fn whole(mut datagram: Bytes) -> Option<Frame> {
    let header = datagram.first_chunk::<HEADER_BYTES>()?;
    let [kind, length @ ..] = *header;
    datagram.advance(HEADER_BYTES);
    (u32::from_be_bytes(length) as usize == datagram.len())
        .then_some(Frame { kind, payload: datagram })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the page, section 3.
    const PING_1: &[u8] = b"\x05\0\0\0\x0F{\"timestamp\":1}";

    #[test]
    fn a_ping_is_what_the_page_shows() {
        let mut out = BytesMut::new();
        put(&mut out, kind::PING, br#"{"timestamp":1}"#);
        assert_eq!(out, PING_1);
    }

    #[test]
    fn any_split_gives_the_same_frames() {
        let mut whole = BytesMut::new();
        put(&mut whole, kind::PING, b"{}");
        put(&mut whole, 0xEE, b"");
        put(&mut whole, kind::ROOM_MESSAGE, &[b'x'; 3000]);
        for step in [1, 2, 3, 7, 1000, 4000] {
            let (mut input, mut seen) = (BytesMut::new(), Vec::new());
            for piece in whole.chunks(step) {
                input.extend_from_slice(piece);
                while let Some(frame) = take(&mut input).unwrap() {
                    seen.push((frame.kind, frame.payload.len()));
                }
            }
            assert_eq!(seen, [(kind::PING, 2), (0xEE, 0), (kind::ROOM_MESSAGE, 3000)]);
            assert!(input.is_empty());
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_payload() {
        for (kind, max) in [
            (kind::PING, 64 << 10),
            (kind::ROOM_INIT, 256 << 10),
            (kind::ROOM_HISTORY, 256 << 10),
            (kind::UPLOAD_CHUNK, 264 << 10),
            (0xEE, 64 << 10),
        ] {
            let header = |length: usize| {
                let mut header = BytesMut::from(&[kind][..]);
                header.put_u32(u32::try_from(length).unwrap());
                header
            };
            assert_eq!(take(&mut header(max)), Ok(None));
            assert_eq!(take(&mut header(max + 1)), Err(Oversize { kind, length: max + 1 }));
        }
    }

    #[test]
    fn a_datagram_is_one_frame_or_nothing() {
        let frame = whole(Bytes::from_static(PING_1)).unwrap();
        assert_eq!((frame.kind, &frame.payload[..]), (kind::PING, &PING_1[5..]));
        let longer = [PING_1, b"x"].concat();
        for bad in [&PING_1[..19], &longer[..], b"\x05\0\0", b""] {
            assert_eq!(whole(Bytes::copy_from_slice(bad)), None);
        }
    }
}
