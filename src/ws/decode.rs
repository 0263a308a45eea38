//! From a client's bytes to messages, with next to nothing kept between two reads.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;
use std::mem;
use std::str;
use tungstenite::protocol::frame::coding::CloseCode;

use super::mask::unmask;
use super::{CONTROL_BYTES_MAX, Fault, Opcode};

/// Most bytes of a frame header: two, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

/// What a peer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most payload bytes of one message, all its fragments together.
    ///
    /// A peer that sends that much and never the end makes us hold at most twice as much.
    pub message_bytes: usize,
}

impl Default for Limits {
    /// 128 KiB: a legal burst of 1,800 notes is about 60 KiB.
    fn default() -> Self {
        Self { message_bytes: 128 * 1024 }
    }
}

/// One thing a peer said. Borrows from the read buffer, or from the [`Decoder`] when it came in
/// parts.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole text message. Known to be UTF-8; as mutable bytes because JSON is parsed in place.
    Text(&'a mut [u8]),
    /// A whole binary message.
    Binary(&'a mut [u8]),
    /// A ping, at most 125 bytes, to be answered by a pong with the same bytes.
    Ping(&'a [u8]),
    /// A pong, at most 125 bytes.
    Pong(&'a [u8]),
    /// A close frame: its code, if it has one, and its reason. Nothing that follows it counts.
    ///
    /// The code is one that may be sent (section 7.4), so it can be echoed as it is.
    Close(Option<(u16, &'a str)>),
    /// A fragment arrived that does not end its message.
    ///
    /// Reported so that it counts against a message rate: empty fragments would be free otherwise.
    Fragment,
}

/// What one connection remembers of its peer's frames from read to read: nothing between two
/// frames.
///
/// Plain data: it can go to another thread or process in the middle of a frame and continue there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Decoder {
    #[serde(serialize_with = "serialize_unfinished")]
    partial: Option<Box<Partial>>,
}

/// A frame or message of which only a part has come.
///
/// At most one of `header` and `frame` is in use. `control` belongs to `frame` when that is a
/// control frame.
/// `message` is the open data message; while `frame` is `None` it is a fragmented one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Partial {
    /// The bytes so far of a header that is not complete.
    header: SmallVec<[u8; HEADER_BYTES_MAX]>,
    /// The frame whose payload is not complete.
    frame: Option<Frame>,
    control: Vec<u8>,
    message: Option<Message>,
    /// What the item given out last borrows from here, to be freed before the next.
    #[serde(skip)]
    lent: Lent,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Lent {
    #[default]
    Nothing,
    Control,
    Message,
}

/// A frame header, brought forward by the payload bytes already taken.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    /// The mask, rotated to fit the next payload byte.
    key: [u8; 4],
    /// Payload bytes still to come.
    left: usize,
}

/// The unmasked payload so far of a text or binary message.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Message {
    is_text: bool,
    bytes: Vec<u8>,
    /// `bytes[..valid]` are whole UTF-8 characters, and `bytes[valid..]` (at most three) may become
    /// one.
    valid: usize,
}

/// What the front of the input amounts to, before it is turned into an [`Item`].
enum Step<'i> {
    More,
    Fragment,
    /// A frame that is a message by itself, unmasked in the caller's buffer.
    Whole(Item<'i>),
    /// `Partial::control` is complete, and has been found good.
    Control(Opcode),
    /// `Partial::message` is complete.
    Message,
}

impl Decoder {
    /// Takes the next item off the front of `input`, advancing it; `Ok(None)` means "read more".
    ///
    /// A message that lies in `input` in one whole frame is unmasked there and borrowed from there;
    /// what is unfinished moves into the decoder, so that after `Ok(None)` the input is always
    /// empty. Call it until it returns `Ok(None)`: that also frees what the last item borrowed from
    /// the decoder.
    ///
    /// # Errors
    /// Any [`Fault`], as soon as the bytes seen so far cannot become legal, and for
    /// [`Fault::TooBig`] before any of the payload is kept. The stream is out of step afterwards
    /// and must not be decoded further; the decoder owns nothing then.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        limits: &Limits,
        input: &mut &'i mut [u8],
    ) -> Result<Option<Item<'s>>, Fault> {
        self.free_lent();
        let step = self.step(limits, input).inspect_err(|_| self.partial = None)?;
        match step {
            Step::More => Ok(None),
            Step::Fragment => Ok(Some(Item::Fragment)),
            Step::Whole(item) => Ok(Some(item)),
            Step::Control(opcode) => match self.partial.as_deref_mut() {
                Some(partial) => item(opcode, &mut partial.control).map(Some),
                None => Ok(None),
            },
            Step::Message => Ok(self.partial.as_deref_mut().and_then(Partial::lend_message)),
        }
    }

    /// Whether the stream stands between two messages: no frame and no fragmented message is open.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.partial.as_deref().is_none_or(|partial| match partial.lent {
            Lent::Message => true,
            Lent::Control => partial.message.is_none(),
            Lent::Nothing => false,
        })
    }

    /// Bytes of memory owned beyond `size_of::<Decoder>()`; zero between two messages.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.partial.as_deref().map_or(0, |partial| {
            size_of::<Partial>()
                + partial.control.capacity()
                + partial.message.as_ref().map_or(0, |message| message.bytes.capacity())
        })
    }

    /// Frees what the last item borrowed from here.
    #[inline]
    fn free_lent(&mut self) {
        let Some(partial) = self.partial.as_deref_mut() else { return };
        match mem::take(&mut partial.lent) {
            Lent::Nothing => return,
            Lent::Control => partial.control = Vec::new(),
            Lent::Message => partial.message = None,
        }
        if partial.message.is_none() {
            self.partial = None;
        }
    }

    #[inline]
    fn step<'i>(&mut self, limits: &Limits, input: &mut &'i mut [u8]) -> Result<Step<'i>, Fault> {
        if let Some(frame) = self.partial.as_deref_mut().and_then(|partial| partial.frame.take()) {
            return self.collect(frame, input);
        }
        let Some(frame) = self.header(limits, input)? else { return Ok(Step::More) };
        let stands_alone = match frame.opcode {
            Opcode::Text | Opcode::Binary => frame.is_final,
            Opcode::Continue => false,
            Opcode::Close | Opcode::Ping | Opcode::Pong => true,
        };
        if stands_alone && let Some(payload) = take_front(input, frame.left) {
            unmask(payload, frame.key);
            return item(frame.opcode, payload).map(Step::Whole);
        }
        self.collect(frame, input)
    }

    /// Takes a frame header off the input, behind what was kept of it from earlier reads.
    #[inline]
    fn header(&mut self, limits: &Limits, input: &mut &mut [u8]) -> Result<Option<Frame>, Fault> {
        let open = match self.partial.as_deref() {
            None => None,
            Some(partial) if !partial.header.is_empty() => return self.split_header(limits, input),
            Some(partial) => partial.message.as_ref().map(|message| message.bytes.len()),
        };
        if let Some((frame, len)) = Frame::parse(input, open, limits)? {
            take_front(input, len);
            return Ok(Some(frame));
        }
        if !input.is_empty() {
            let partial = self.partial.get_or_insert_default();
            let begun: &mut [u8] = mem::take(input);
            partial.header.extend_from_slice(begun);
        }
        Ok(None)
    }

    /// As [`Decoder::header`], when its first bytes came with an earlier read.
    #[cold]
    fn split_header(
        &mut self,
        limits: &Limits,
        input: &mut &mut [u8],
    ) -> Result<Option<Frame>, Fault> {
        let Some(partial) = self.partial.as_deref_mut() else { return Ok(None) };
        let open = partial.message.as_ref().map(|message| message.bytes.len());
        while let Some(byte) = take_front(input, 1) {
            partial.header.extend_from_slice(byte);
            if let Some((frame, _)) = Frame::parse(&partial.header, open, limits)? {
                partial.header.clear();
                if open.is_none() {
                    self.partial = None;
                }
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Moves what has come of a frame's payload in here.
    fn collect<'i>(&mut self, mut frame: Frame, input: &mut &mut [u8]) -> Result<Step<'i>, Fault> {
        let len = frame.left.min(input.len());
        let bytes = take_front(input, len).unwrap_or_default();
        unmask(bytes, frame.key);
        frame.key.rotate_left(len % 4);
        frame.left -= len;
        let is_complete = frame.left == 0;

        let partial = self.partial.get_or_insert_default();
        if !is_complete {
            partial.frame = Some(frame);
        }
        if frame.opcode.is_control() {
            partial.control.extend_from_slice(bytes);
            if !is_complete {
                return Ok(Step::More);
            }
            // Judged here, where a fault still frees everything; it is read once more to be lent.
            item(frame.opcode, &mut partial.control)?;
            partial.lent = Lent::Control;
            return Ok(Step::Control(frame.opcode));
        }
        let message = partial.message.get_or_insert_with(|| Message {
            is_text: frame.opcode == Opcode::Text,
            bytes: Vec::new(),
            valid: 0,
        });
        message.push(bytes)?;
        match (is_complete, frame.is_final) {
            (false, _) => Ok(Step::More),
            (true, false) => Ok(Step::Fragment),
            (true, true) if message.is_text && message.valid < message.bytes.len() => {
                Err(Fault::NotUtf8)
            }
            (true, true) => {
                partial.lent = Lent::Message;
                Ok(Step::Message)
            }
        }
    }
}

impl Partial {
    fn lend_message(&mut self) -> Option<Item<'_>> {
        let Message { is_text, bytes, .. } = self.message.as_mut()?;
        Some(if *is_text { Item::Text(bytes) } else { Item::Binary(bytes) })
    }
}

impl Frame {
    /// Reads a header, judging each byte as soon as it is there; `None` when it goes on.
    ///
    /// `open` is the payload so far of the fragmented message that is open, in bytes.
    #[inline]
    fn parse(
        bytes: &[u8],
        open: Option<usize>,
        limits: &Limits,
    ) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let is_final = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(Fault::ReservedBits);
        }
        let opcode = Opcode::new(first & 0x0f).ok_or(Fault::ReservedOpcode(first & 0x0f))?;
        match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong if !is_final => {
                return Err(Fault::ControlFragmented);
            }
            Opcode::Continue if open.is_none() => return Err(Fault::NothingToContinue),
            Opcode::Text | Opcode::Binary if open.is_some() => return Err(Fault::Interleaved),
            _ => {}
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Fault::Unmasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Fault::ControlTooLong);
        }
        let Some((left, key_at)) = length(bytes, short)? else { return Ok(None) };
        let limit = limits.message_bytes;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if !opcode.is_control() && left > limit.saturating_sub(open.unwrap_or(0)) {
            return Err(Fault::TooBig { limit });
        }
        let Some(&key) = bytes.get(key_at..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        Ok(Some((Self { opcode, is_final, key, left }, key_at + 4)))
    }
}

/// The payload length and the offset of what follows it; `None` when more bytes are needed.
#[inline]
fn length(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, Fault> {
    let long = bytes.get(2..).unwrap_or_default();
    match short {
        126 => {
            let Some(&raw) = long.first_chunk() else { return Ok(None) };
            match u16::from_be_bytes(raw) {
                0..126 => Err(Fault::LengthNotMinimal),
                len => Ok(Some((len.into(), 4))),
            }
        }
        127 => {
            let Some(&raw) = long.first_chunk() else { return Ok(None) };
            match u64::from_be_bytes(raw) {
                0..0x1_0000 => Err(Fault::LengthNotMinimal),
                len if len >> 63 != 0 => Err(Fault::LengthHighBit),
                len => Ok(Some((len, 10))),
            }
        }
        len => Ok(Some((len.into(), 2))),
    }
}

impl Message {
    /// Appends payload; a text is checked as far as it goes, so that a bad byte is found when it
    /// comes.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(bytes);
        if !self.is_text {
            return Ok(());
        }
        match str::from_utf8(self.bytes.get(self.valid..).unwrap_or_default()) {
            Ok(_) => self.valid = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(Fault::NotUtf8),
        }
        Ok(())
    }
}

/// The item that a whole payload is.
#[inline]
fn item(opcode: Opcode, payload: &mut [u8]) -> Result<Item<'_>, Fault> {
    match opcode {
        Opcode::Text => match str::from_utf8(payload) {
            Ok(_) => Ok(Item::Text(payload)),
            Err(_) => Err(Fault::NotUtf8),
        },
        Opcode::Binary | Opcode::Continue => Ok(Item::Binary(payload)),
        Opcode::Ping => Ok(Item::Ping(payload)),
        Opcode::Pong => Ok(Item::Pong(payload)),
        Opcode::Close => close(payload),
    }
}

fn close(body: &[u8]) -> Result<Item<'_>, Fault> {
    let Some((&code, reason)) = body.split_first_chunk() else {
        return if body.is_empty() { Ok(Item::Close(None)) } else { Err(Fault::CloseBody) };
    };
    let code = u16::from_be_bytes(code);
    if !CloseCode::from(code).is_allowed() {
        return Err(Fault::CloseCode(code));
    }
    let reason = str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
    Ok(Item::Close(Some((code, reason))))
}

/// Splits `len` bytes off the front of `input`; `None`, and nothing is taken, when it has fewer.
#[inline]
fn take_front<'i>(input: &mut &'i mut [u8], len: usize) -> Option<&'i mut [u8]> {
    if len > input.len() {
        return None;
    }
    let (front, rest) = mem::take(input).split_at_mut_checked(len)?;
    *input = rest;
    Some(front)
}

/// Leaves out what was given to the caller already: it is waiting to be freed, not to be continued.
fn serialize_unfinished<S: Serializer>(
    partial: &Option<Box<Partial>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut unfinished = Decoder { partial: partial.clone() };
    unfinished.free_lent();
    unfinished.partial.serialize(serializer)
}
