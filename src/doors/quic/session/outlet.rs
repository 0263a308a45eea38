//! Bytes that wait for one stream to take them.

use super::Common;
use crate::quic::{Link, StreamId, WriteFault};
use bytes::Bytes;
use std::collections::VecDeque;
use tutti_shards::RoomId;

/// The way out on one stream. A stream that is blocked holds up no other. While nothing waits, which is nearly always,
/// it owns no memory besides itself.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) stream: StreamId,
    waiting: Option<Box<Waiting>>,
    /// Bytes put in since the beginning.
    total: u64,
    blocked: bool,
    /// Nothing follows: the stream is finished once everything was taken.
    ending: bool,
    finished: bool,
}

/// The way out of a busy room.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) room: RoomId,
    pub(super) outlet: Outlet,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How far `bytes` were taken.
    sent: usize,
    /// When which bytes were put in, oldest first: their end in `total`, and microseconds on the monotonic clock.
    since: VecDeque<(u64, u64)>,
}

impl Waiting {
    /// Bytes that were not taken.
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }
}

/// Bytes put in within this time count as put in at once, microseconds.
const GRAIN_US: u64 = 100_000;

impl Outlet {
    pub(super) fn new(stream: StreamId) -> Self {
        Outlet { stream, waiting: None, total: 0, blocked: false, ending: false, finished: false }
    }

    /// Puts whole frames in.
    pub(super) fn push(&mut self, common: &Common, bytes: &[u8], now_us: u64) {
        common.frames.went(bytes);
        self.wait(bytes, now_us);
    }

    fn wait(&mut self, bytes: &[u8], now_us: u64) {
        debug_assert!(!self.ending, "nothing follows the end");
        if bytes.is_empty() {
            return;
        }
        self.total += bytes.len() as u64;
        let waiting = self.waiting.get_or_insert_default();
        waiting.bytes.extend_from_slice(bytes);
        match waiting.since.back_mut() {
            Some((end, at)) if now_us < *at + GRAIN_US => *end = self.total,
            _ => waiting.since.push_back((self.total, now_us)),
        }
    }

    /// Gives the stream whole frames at once, as they are, if nothing waits before them; otherwise they wait, too.
    pub(super) fn send(
        &mut self,
        common: &Common,
        bytes: &Bytes,
        now_us: u64,
        link: &mut dyn Link,
    ) {
        common.frames.went(bytes);
        self.give(bytes, now_us, link);
    }

    /// The same for a piece of a frame, whose other pieces follow, and which is counted by itself.
    pub(super) fn give(&mut self, bytes: &Bytes, now_us: u64, link: &mut dyn Link) {
        if self.blocked || self.waiting.is_some() {
            return self.wait(bytes, now_us);
        }
        // What a stopped stream does not take is dropped; the stop is told about as an event.
        let taken = link.write_shared(self.stream, bytes).unwrap_or(bytes.len());
        self.total += taken as u64;
        if taken < bytes.len() {
            self.blocked = true;
            self.wait(&bytes[taken..], now_us);
        }
    }

    /// Bytes that the stream has not taken.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len())
    }

    /// Since when its oldest byte waits.
    pub(super) fn waits_since_us(&self) -> Option<u64> {
        self.waiting.as_ref()?.since.front().map(|&(_, at)| at)
    }

    /// How many bytes were put in until now.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many of them the stream has taken.
    pub(super) fn taken(&self) -> u64 {
        self.total - self.waiting() as u64
    }

    /// Says that nothing follows.
    pub(super) fn end(&mut self) {
        self.ending = true;
    }

    pub(super) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Gives the stream what waits.
    ///
    /// # Errors
    /// When the stream takes nothing any more.
    pub(super) fn flush(&mut self, link: &mut dyn Link) -> Result<(), WriteFault> {
        if let Some(waiting) = &mut self.waiting {
            while !self.blocked && waiting.len() > 0 {
                let rest = waiting.bytes.get(waiting.sent..).unwrap_or_default();
                let taken = link.write(self.stream, rest)?;
                // A link that takes less than all says when it takes more.
                self.blocked = taken < rest.len();
                waiting.sent += taken;
            }
            let taken = self.total - waiting.len() as u64;
            while waiting.since.front().is_some_and(|&(end, _)| end <= taken) {
                waiting.since.pop_front();
            }
            if waiting.sent > waiting.bytes.len() / 2 {
                waiting.bytes.drain(..waiting.sent);
                waiting.sent = 0;
            }
            if waiting.bytes.is_empty() {
                self.waiting = None;
            }
        }
        if self.waiting.is_none() && self.ending && !self.finished {
            self.finished = true;
            link.finish(self.stream);
        }
        Ok(())
    }
}
