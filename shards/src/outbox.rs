//! Bytes that wait for one connection.

use crate::fan_out::Entry;

/// A queue of bytes that is one empty pointer while nothing waits, which is nearly always.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// `sent < bytes.len()`; what lies before `sent` is on its way.
    bytes: Vec<u8>,
    sent: usize,
    /// Messages put in since it was last empty.
    messages: u32,
}

/// Memory to use again, so that filling and draining outboxes and logs allocates nothing in the long run.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Vec<Vec<u8>>,
    entries: Vec<Vec<Entry>>,
    #[expect(clippy::vec_box, reason = "the boxes are what is used again")]
    waiting: Vec<Box<Waiting>>,
    /// What the buffers and entries hold together.
    kept_bytes: usize,
    /// What is encoded into before it is delivered.
    scratch: Vec<u8>,
}

/// Pieces of each kind kept for later.
const POOL_PIECES_MAX: usize = 64;
/// Most that is kept of all of them, in bytes. A room of a thousand that fills up would leave 16 MiB otherwise.
const POOL_BYTES_MAX: usize = 1 << 20;
/// A longer one is not kept: one that is freed between others of its size keeps all of their memory.
const POOL_PIECE_BYTES_MAX: usize = 32 << 10;

impl Pool {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.kept_bytes -= buffer.capacity();
        buffer
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.keeps(self.buffers.len(), buffer.capacity()) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// A buffer to encode into and to put back at once. One of them is kept whatever it has grown to, up to what the
    /// pool may keep.
    pub(crate) fn scratch(&mut self) -> Vec<u8> {
        match std::mem::take(&mut self.scratch) {
            scratch if scratch.capacity() > 0 => scratch,
            _ => self.take(),
        }
    }

    pub(crate) fn put_back(&mut self, mut buffer: Vec<u8>) {
        if self.scratch.capacity() == 0 && buffer.capacity() <= POOL_BYTES_MAX {
            buffer.clear();
            self.scratch = buffer;
        } else {
            self.give(buffer);
        }
    }

    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        let entries = self.entries.pop().unwrap_or_default();
        self.kept_bytes -= entries.capacity() * size_of::<Entry>();
        entries
    }

    pub(crate) fn give_entries(&mut self, mut entries: Vec<Entry>) {
        if self.keeps(self.entries.len(), entries.capacity() * size_of::<Entry>()) {
            entries.clear();
            self.entries.push(entries);
        }
    }

    /// Whether a piece of so many bytes is kept; then it is counted.
    fn keeps(&mut self, pieces: usize, bytes: usize) -> bool {
        let keeps = (1..=POOL_PIECE_BYTES_MAX).contains(&bytes)
            && pieces < POOL_PIECES_MAX
            && self.kept_bytes + bytes <= POOL_BYTES_MAX;
        self.kept_bytes += if keeps { bytes } else { 0 };
        keeps
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.unsent().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn messages(&self) -> u32 {
        self.0.as_ref().map_or(0, |waiting| waiting.messages)
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |waiting| &waiting.bytes[waiting.sent..])
    }

    pub(crate) fn push(&mut self, bytes: &[u8], messages: u32, pool: &mut Pool) {
        if bytes.is_empty() {
            return;
        }
        let waiting = self.0.get_or_insert_with(|| {
            let mut waiting = pool.waiting.pop().unwrap_or_default();
            waiting.bytes = pool.take();
            waiting
        });
        // What was sent long ago must not make the buffer grow for ever under a reader that is always a bit behind.
        if waiting.sent > 64 << 10 && waiting.sent * 2 > waiting.bytes.len() {
            waiting.bytes.drain(..waiting.sent);
            waiting.sent = 0;
        }
        waiting.bytes.extend_from_slice(bytes);
        waiting.messages += messages;
    }

    /// Forgets the first `count` unsent bytes.
    pub(crate) fn advance(&mut self, count: usize, pool: &mut Pool) {
        assert!(count <= self.len(), "no more is sent than was there");
        let Some(waiting) = &mut self.0 else { return };
        waiting.sent += count;
        if waiting.sent == waiting.bytes.len() {
            self.take(pool);
        }
    }

    /// Empties it.
    pub(crate) fn take(&mut self, pool: &mut Pool) {
        let Some(mut waiting) = self.0.take() else { return };
        pool.give(std::mem::take(&mut waiting.bytes));
        if pool.waiting.len() < POOL_PIECES_MAX {
            *waiting = Waiting::default();
            pool.waiting.push(waiting);
        }
    }

    /// Turns it into the bytes that are still to be sent.
    pub(crate) fn into_unsent(self) -> Vec<u8> {
        let Some(mut waiting) = self.0 else { return Vec::new() };
        waiting.bytes.drain(..waiting.sent);
        waiting.bytes
    }

    /// Puts `earlier` in front of what waits.
    pub(crate) fn prepend(&mut self, mut earlier: Vec<u8>) {
        earlier.extend_from_slice(self.unsent());
        if !earlier.is_empty() {
            let waiting = self.0.get_or_insert_default();
            waiting.bytes = earlier;
            waiting.sent = 0;
        }
    }
}
