//! Streams that the client opens: what kind each is, and reading them.

use super::{CONTROL, Phase, Session};
use crate::{
    doors::quic::{
        CloseCode, ErrorCode,
        client::{Receipt, Signal},
        frame::{self, Decoder, Frame, Range},
        stream_code,
    },
    quic::{Link, Read, StreamId},
};
use tutti_shards::{Now, Rate, RoomCommand, RoomRequest};

/// Bytes read from a stream at a time.
const CHUNK: usize = 16 << 10;
/// So many chunks of one connection are read before others get their turn.
const CHUNKS: usize = 16;
/// Receipts of a client.
const RECEIPTS: Rate = Rate::new(50, 1_000);
/// Datagrams taken at once.
const DATAGRAMS: usize = 64;

/// A stream of the client.
#[derive(Debug, Default)]
pub(super) struct Inlet {
    /// Known from its first frame.
    range: Option<Range>,
    /// What its first byte says that it will be; `None` before that, and for a type that there is not.
    begins: Option<Range>,
    decoder: Decoder,
    /// Whether it may have something that was not read.
    pub(super) readable: bool,
    /// What was read and could not be handled yet.
    held: Vec<u8>,
    /// Whether its end was read, behind what is held.
    ended: bool,
}

/// What a frame means for its stream.
pub(super) enum Verdict {
    /// It is read on.
    Goes,
    /// It is stopped with this code.
    Stops(u32),
}

impl Session {
    /// The client has opened a stream.
    pub(super) fn opened(&mut self, stream: StreamId, _: &mut dyn Link) {
        self.has_control |= stream == CONTROL;
        self.inlets.get_or_default(stream);
    }

    /// Whether a stream may be read now.
    fn may_read(&self, now: Now, stream: StreamId, link: &dyn Link) -> bool {
        if stream == CONTROL {
            return true;
        }
        if self.files.holds(stream) {
            return false;
        }
        let chat = self.inlets.get(stream).is_none_or(|inlet| {
            !matches!(inlet.range, Some(Range::Ack | Range::Upload | Range::Download))
        });
        self.is_live(link)
            && (!chat
                || (!self.rooms.is_moving()
                    && self.look_asked.is_none()
                    && !self.files.is_claiming()
                    && now.mono_us >= self.chat_rests_until_us))
    }

    /// Reads what there is, as far as it may be read.
    pub(super) fn pump(&mut self, now: Now, link: &mut dyn Link) {
        self.has_unread = false;
        for _ in 0..CHUNKS {
            self.settle_heavy();
            let ready = self.inlets.iter().filter(|(stream, inlet)| {
                (inlet.readable || !inlet.held.is_empty()) && self.may_read(now, *stream, link)
            });
            // Files come last: what people say does not wait for them.
            let next = ready.min_by_key(|(_, inlet)| inlet.range == Some(Range::Upload));
            let Some((stream, _)) = next else { return };
            self.read(now, stream, link);
            if matches!(self.phase, Phase::Closing | Phase::Gone) {
                return;
            }
        }
        self.has_unread = true;
    }

    fn read(&mut self, now: Now, stream: StreamId, link: &mut dyn Link) {
        let Some(inlet) = self.inlets.get_mut(stream) else { return };
        let mut bytes = std::mem::take(&mut inlet.held);
        let mut end = inlet.ended;
        if bytes.is_empty() && !end {
            bytes = self.common.scratch.take();
            match link.read(stream, CHUNK, &mut bytes) {
                Read::More => {}
                Read::Blocked => inlet.readable = false,
                Read::Finished => (inlet.readable, end) = (false, true),
                Read::Reset(_) => {
                    self.inlets.remove(stream);
                    self.drop_upload(stream);
                    if stream == CONTROL {
                        self.close_at_once(link, CloseCode::ControlGone, "control was reset");
                    }
                    return;
                }
                Read::Gone => {
                    self.inlets.remove(stream);
                    return;
                }
            }
            let is_new = inlet.range.is_none() && inlet.begins.is_none();
            if let Some(&kind) = bytes.first().filter(|_| is_new) {
                inlet.begins = Range::of(kind);
            }
            // What is no other kind of stream is counted as chat, from its first byte on.
            let known = inlet.range.or(inlet.begins);
            let is_chat = stream != CONTROL
                && !matches!(known, Some(Range::Ack | Range::Upload | Range::Download));
            self.files.heard(stream, now);
            let (rate, count) = (self.config.rates.bytes, bytes.len() as u64);
            if is_chat && !self.budgets.bytes.take(rate, now.mono_us, count) {
                // Read on when the budget would have had room for what was read.
                let per_us = rate.per.as_micros() as u64;
                let rest_us = count * per_us / u64::from(rate.count.max(1));
                self.chat_rests_until_us = now.mono_us + rest_us.max(1);
            }
        }
        self.feed(now, stream, &bytes, end, link);
        bytes.clear();
        if bytes.capacity() <= 2 * CHUNK {
            self.common.scratch.replace(bytes);
        }
    }

    /// Handles what was read from a stream, until that has to wait.
    fn feed(&mut self, now: Now, stream: StreamId, bytes: &[u8], end: bool, link: &mut dyn Link) {
        let mut rest = bytes;
        loop {
            if matches!(self.phase, Phase::Closing | Phase::Gone) {
                return;
            }
            if !self.may_read(now, stream, link) {
                if let Some(inlet) = self.inlets.get_mut(stream) {
                    (inlet.held, inlet.ended) = (rest.to_vec(), end);
                    inlet.readable |= end && rest.is_empty();
                }
                return;
            }
            let Some(inlet) = self.inlets.get_mut(stream) else { return };
            let range = if stream == CONTROL { Some(Range::Control) } else { inlet.range };
            let frame = match inlet.decoder.next(range, &mut rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => {
                    return self.farewell(now, link, CloseCode::TooLarge, "a frame is too large");
                }
            };
            self.common.frames.came(frame.kind);
            if stream == CONTROL {
                self.control_frame(now, &frame, link);
            } else if let Verdict::Stops(code) = self.frame(now, stream, &frame, link) {
                self.inlets.remove(stream);
                if !stream.is_one_way() {
                    link.reset(stream, code);
                }
                return link.stop(stream, code);
            }
        }
        if end {
            self.inlets.remove(stream);
            if stream == CONTROL {
                self.goodbye(now, link);
            } else {
                self.cancel_upload(now, stream, "it ended before it was complete");
            }
        }
    }

    /// A frame of a stream other than control.
    fn frame(
        &mut self,
        now: Now,
        stream: StreamId,
        frame: &Frame<'_>,
        link: &mut dyn Link,
    ) -> Verdict {
        let Some(range) = Range::of(frame.kind) else {
            self.unknown_frame(now, link, frame.kind);
            return Verdict::Goes;
        };
        let known = self.inlets.get(stream).and_then(|inlet| inlet.range);
        let fits = match known {
            Some(known) => known == range,
            None => self.becomes(stream, range),
        };
        if !fits {
            self.error(now, link, ErrorCode::WrongStream, "not on this stream");
            return Verdict::Stops(stream_code::WRONG);
        }
        match range {
            Range::Chat => self.command(now, frame, link),
            Range::Ack => self.receipt(now, frame, link),
            Range::Upload => return self.upload_frame(now, stream, frame, link),
            Range::Download => return self.fetch(stream, frame),
            Range::Control | Range::Datagram | Range::Server => {
                return Verdict::Stops(stream_code::WRONG);
            }
        }
        Verdict::Goes
    }

    /// Whether a stream can be of this kind, which its first frame says. Of chat and ACK there is one at a time.
    fn becomes(&mut self, stream: StreamId, range: Range) -> bool {
        let one_way = stream.is_one_way();
        let fits = match range {
            Range::Chat | Range::Ack => {
                one_way && !self.inlets.values().any(|inlet| inlet.range == Some(range))
            }
            Range::Upload => one_way,
            Range::Download => !one_way,
            Range::Control | Range::Datagram | Range::Server => false,
        };
        if let Some(inlet) = self.inlets.get_mut(stream)
            && fits
        {
            inlet.range = Some(range);
        }
        fits
    }

    fn receipt(&mut self, now: Now, frame: &Frame<'_>, link: &mut dyn Link) {
        let receipt = match Receipt::parse(frame.kind, &frame.payload) {
            Ok(receipt) => receipt,
            Err(refusal) => return self.refuse_frame(now, link, frame.kind, &refusal),
        };
        let taken = self.budgets.receipts.take(RECEIPTS, now.mono_us, 1);
        if !self.capabilities.receipts || !taken {
            return;
        }
        if let Some(seat) = self.rooms.seat(receipt.room) {
            let Receipt { message, read, .. } = receipt;
            let command = RoomCommand::Receipt { message, read };
            let request = RoomRequest { nonce: None, kind: frame.kind, command };
            self.asks.push_back(super::Ask::Room(seat, request));
        }
    }

    /// Takes the datagrams that have come. Until the session is in they are dropped.
    pub(super) fn take_datagrams(&mut self, now: Now, link: &mut dyn Link) {
        let mut bytes = Vec::new();
        for _ in 0..DATAGRAMS {
            if !link.receive_datagram(&mut bytes) {
                return;
            }
            if !self.is_live(link) {
                continue;
            }
            let signal = frame::datagram(&bytes).and_then(|frame| {
                self.common.frames.came(frame.kind);
                Signal::parse(frame.kind, &frame.payload)
            });
            if let Some(signal) = signal {
                self.signal(now, signal);
            }
        }
    }
}
