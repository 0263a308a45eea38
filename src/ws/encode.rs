//! From messages to a server's frames: unmasked, never fragmented, shortest length form.
//!
//! A broadcast is encoded once, straight into its final buffer: [`begin`], append the payload,
//! [`finish`].

use super::{CONTROL_BYTES_MAX, Opcode};

/// Bytes that [`begin`] keeps free for the header: right for payloads of 126 to 65,535 bytes.
///
/// Shorter payloads (at most 125 bytes) move two bytes down, longer ones six bytes up. To keep two
/// bytes instead would move the payloads of 126 bytes and more, which is the longer copy of the
/// two.
const HEADER_KEPT: usize = 4;

/// Most bytes of the reason in a close frame: the code takes two of the 125.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Where a frame begins whose payload is still being written.
#[derive(Debug)]
#[must_use = "the frame has no header before `finish`"]
pub struct Mark {
    start: usize,
}

/// Starts a frame at the end of `out`; the payload is what is appended until [`finish`].
#[inline]
pub fn begin(out: &mut Vec<u8>) -> Mark {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_KEPT]);
    Mark { start }
}

/// Writes the header of the frame that `mark` started, in its shortest form, and returns its length.
///
/// # Panics
/// If `out` is not the buffer that `mark` is from, as far as its length shows.
#[inline]
pub fn finish(out: &mut Vec<u8>, mark: Mark, opcode: Opcode) -> usize {
    let Mark { start } = mark;
    let payload = start + HEADER_KEPT;
    assert!(payload <= out.len(), "the mark belongs to this buffer");
    let header = Header::new(opcode, out.len() - payload);
    let header = header.bytes();
    if header.len() > HEADER_KEPT {
        let grown = out.len();
        let more = header.len() - HEADER_KEPT;
        out.resize(grown + more, 0);
        out.copy_within(payload..grown, payload + more);
    } else if header.len() < HEADER_KEPT {
        out.copy_within(payload.., start + header.len());
        out.truncate(out.len() - (HEADER_KEPT - header.len()));
    }
    out[start..start + header.len()].copy_from_slice(header);
    header.len()
}

/// Appends a frame whose payload is at hand.
///
/// # Panics
/// If a control frame has more than [`CONTROL_BYTES_MAX`] bytes of payload.
#[inline]
pub fn frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    assert!(
        !opcode.is_control() || payload.len() <= CONTROL_BYTES_MAX,
        "a control frame carries at most 125 bytes"
    );
    let header = Header::new(opcode, payload.len());
    out.reserve(header.bytes().len() + payload.len());
    out.extend_from_slice(header.bytes());
    out.extend_from_slice(payload);
}

/// Appends a ping. For its limits see [`frame`].
pub fn ping(payload: &[u8], out: &mut Vec<u8>) {
    frame(Opcode::Ping, payload, out);
}

/// Appends the answer to a ping, with the ping's payload. For its limits see [`frame`].
pub fn pong(payload: &[u8], out: &mut Vec<u8>) {
    frame(Opcode::Pong, payload, out);
}

/// Appends a close frame with a code and a reason, or an empty one.
///
/// A reason over [`CLOSE_REASON_BYTES_MAX`] bytes is cut before the character that does not fit.
/// To answer a peer's close, send its code back without a reason.
pub fn close(status: Option<(u16, &str)>, out: &mut Vec<u8>) {
    let Some((code, reason)) = status else { return frame(Opcode::Close, &[], out) };
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    let header = Header::new(Opcode::Close, 2 + reason.len());
    out.extend_from_slice(header.bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason);
}

/// The header of one whole frame: 2, 4 or 10 bytes.
struct Header {
    bytes: [u8; 10],
    len: usize,
}

impl Header {
    #[inline]
    fn new(opcode: Opcode, payload_len: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = 0x80 | opcode as u8;
        let len = match payload_len {
            0..126 => {
                bytes[1] = payload_len as u8;
                2
            }
            126..0x1_0000 => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, len }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
