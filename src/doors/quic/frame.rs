//! Frames: a type, a length, a payload. All that travels on a stream or in a datagram is made of them.
//!
//! ```text
//!   type: 1 | payload length: 4, big end first | payload
//! ```
//! The decoder is sans-IO: it is given what a stream brought and takes frames off its front. A length that is over
//! the limit of its stream is refused when the header is read, so memory follows the bytes that came, and a stream
//! between two frames owns none.

use std::{borrow::Cow, cell::Cell};

/// Bytes ahead of each payload.
pub const HEADER_BYTES: usize = 5;
/// Most that any payload may hold, whatever the stream.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Types of frames, by their names on the protocol page.
#[expect(missing_docs, reason = "the names are those of the page")]
pub mod kind {
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
    pub const COMMAND_OK: u8 = 0x0a;

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
    pub const UNBAN_USER: u8 = 0x1a;
    pub const SET_ROLE: u8 = 0x1b;
    pub const MUTE_USER: u8 = 0x1c;
    pub const UPDATE_ROOM: u8 = 0x1d;
    pub const DELETE_ROOM: u8 = 0x1e;
    pub const INVITE_USER: u8 = 0x1f;
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
    pub const ROOM_UPDATED: u8 = 0x3a;
    pub const ROOM_HISTORY: u8 = 0x3b;
    pub const ROOM_LIST: u8 = 0x3c;
    pub const ROOM_INVITE: u8 = 0x3d;

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

    pub const ERROR: u8 = 0xff;
}

/// What the protocol page calls a stream, and a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Range {
    /// The control stream.
    Control,
    /// A stream of chat commands.
    Chat,
    /// What a client has received and read.
    Ack,
    /// A file on its way here.
    Upload,
    /// A file on its way out.
    Download,
    /// Frames that travel in datagrams, or on control where there are none.
    Datagram,
    /// Frames that only the server sends.
    Server,
}

impl Range {
    /// Where frames of this type belong; `None` for a type that means nothing.
    #[must_use]
    pub fn of(kind: u8) -> Option<Self> {
        Some(match kind {
            0x00 | 0x02 | 0x05 | 0x06 | 0x08 => Range::Control,
            0x10..=0x23 => Range::Chat,
            0x60 | 0x61 => Range::Ack,
            0x70..=0x73 => Range::Upload,
            0x75 => Range::Download,
            0x80..=0x82 | 0x84 => Range::Datagram,
            0x01 | 0x03 | 0x04 | 0x07 | 0x09 | 0x0a => Range::Server,
            0x30..=0x3d | 0x50..=0x53 | 0x62 | 0x74 | 0x76 | 0x83 | 0xff => Range::Server,
            _ => return None,
        })
    }

    /// Most bytes that a payload may hold there (protocol page, section 3.1).
    #[must_use]
    pub fn payload_bytes_max(self) -> usize {
        match self {
            Range::Ack | Range::Download => 4 << 10,
            Range::Upload => 264 << 10,
            Range::Control | Range::Chat | Range::Datagram | Range::Server => 64 << 10,
        }
    }
}

/// One frame of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its type, one of [`kind`] or anything else.
    pub kind: u8,
    /// What it holds; empty for a type that means nothing, whose payload is not kept.
    pub payload: Cow<'a, [u8]>,
}

/// A header announced more than its stream may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frame of type {kind:#04x} with {length} bytes")]
pub struct TooLarge {
    /// The type.
    pub kind: u8,
    /// The length.
    pub length: u32,
}

/// Takes frames off a stream, wherever its bytes are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    header: [u8; HEADER_BYTES],
    header_len: u8,
    payload: Vec<u8>,
    /// Bytes of a payload that means nothing and are still to be passed over.
    skip: u32,
}

impl Decoder {
    /// The next frame at the front of `input`, which is then what follows it; `None` once `input` is used up.
    ///
    /// `range` is what the stream is known to carry, if it is known; its limit holds for types that mean nothing too.
    ///
    /// # Errors
    /// [`TooLarge`] as soon as the header is there. The stream is of no use afterwards.
    pub fn next<'a>(
        &mut self,
        range: Option<Range>,
        input: &mut &'a [u8],
    ) -> Result<Option<Frame<'a>>, TooLarge> {
        if usize::from(self.header_len) < HEADER_BYTES {
            let from = usize::from(self.header_len);
            let (taken, rest) = input.split_at((HEADER_BYTES - from).min(input.len()));
            for (to, &byte) in self.header.iter_mut().skip(from).zip(taken) {
                *to = byte;
            }
            self.header_len += taken.len() as u8;
            *input = rest;
            if usize::from(self.header_len) < HEADER_BYTES {
                return Ok(None);
            }
            let (kind, length) = self.announced();
            let range = range.or(Range::of(kind)).unwrap_or(Range::Control);
            if length as usize > range.payload_bytes_max() {
                return Err(TooLarge { kind, length });
            }
            if Range::of(kind).is_none() {
                self.skip = length;
            }
        }
        let (kind, length) = self.announced();
        if Range::of(kind).is_none() {
            let (passed, rest) = input.split_at((self.skip as usize).min(input.len()));
            self.skip -= passed.len() as u32;
            *input = rest;
            if self.skip > 0 {
                return Ok(None);
            }
            self.header_len = 0;
            return Ok(Some(Frame { kind, payload: Cow::Borrowed(&[]) }));
        }
        let missing = length as usize - self.payload.len();
        let (taken, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        if taken.len() < missing {
            self.payload.extend_from_slice(taken);
            return Ok(None);
        }
        self.header_len = 0;
        let payload = if self.payload.is_empty() {
            Cow::Borrowed(taken)
        } else {
            self.payload.extend_from_slice(taken);
            Cow::Owned(std::mem::take(&mut self.payload))
        };
        Ok(Some(Frame { kind, payload }))
    }

    /// Whether the stream stands between two frames.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.header_len == 0
    }

    fn announced(&self) -> (u8, u32) {
        let [kind, a, b, c, d] = self.header;
        (kind, u32::from_be_bytes([a, b, c, d]))
    }
}

/// The one frame that a datagram consists of; `None` when it is anything else.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = bytes;
    let frame = Decoder::default().next(Some(Range::Datagram), &mut rest).ok()??;
    let whole = rest.is_empty() && Range::of(frame.kind) == Some(Range::Datagram);
    whole.then_some(frame)
}

/// Appends a frame whose payload `write` appends.
pub fn append(kind: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[kind, 0, 0, 0, 0]);
    write(out);
    let length = (out.len() - start - HEADER_BYTES) as u32;
    debug_assert!(length as usize <= PAYLOAD_BYTES_MAX, "frames of ours keep to the limit");
    if let Some(field) = out.get_mut(start + 1..).and_then(|rest| rest.first_chunk_mut()) {
        *field = length.to_be_bytes();
    }
}

/// The frames of bytes that hold whole ones: type, and the frame with its header.
///
/// Stops at what is not whole, which bytes of our own never are.
pub fn split(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&[kind, a, b, c, d], _) = rest.split_first_chunk::<HEADER_BYTES>()?;
        let length = HEADER_BYTES + u32::from_be_bytes([a, b, c, d]) as usize;
        let (frame, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some((kind, frame))
    })
}

/// How many frames of each type have come and gone, over all sessions of a shard.
#[derive(Debug)]
pub struct FrameCounts {
    came: [Cell<u64>; 256],
    went: [Cell<u64>; 256],
}

/// Types that mean nothing are counted as one of them.
const UNASSIGNED: u8 = 0x0f;

impl Default for FrameCounts {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| Cell::new(0));
        FrameCounts { came: none(), went: none() }
    }
}

impl FrameCounts {
    /// A frame of this type has come.
    pub fn came(&self, kind: u8) {
        let kind = if Range::of(kind).is_some() { kind } else { UNASSIGNED };
        add(&self.came, kind);
    }

    /// These whole frames go out.
    pub fn went(&self, frames: &[u8]) {
        split(frames).for_each(|(kind, _)| self.one_went(kind));
    }

    /// A frame of this type goes out.
    pub fn one_went(&self, kind: u8) {
        add(&self.went, kind);
    }

    /// Types of which there were any, with how many came and went. The type is `None` for those that mean nothing.
    #[must_use]
    pub fn seen(&self) -> Vec<(Option<u8>, u64, u64)> {
        let counts = (0..=u8::MAX).zip(&self.came).zip(&self.went);
        let counts = counts
            .map(|((kind, came), went)| (Range::of(kind).map(|_| kind), came.get(), went.get()));
        counts.filter(|(_, came, went)| came + went > 0).collect()
    }
}

fn add(counts: &[Cell<u64>; 256], kind: u8) {
    if let Some(count) = counts.get(usize::from(kind)) {
        count.set(count.get() + 1);
    }
}

#[cfg(test)]
mod tests;
