//! Bytes that wait for one connection.

/// A queue of bytes that owns nothing while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// `sent <= bytes.len()`; what lies before `sent` is on its way.
    bytes: Vec<u8>,
    sent: usize,
    /// Messages put in since it was last empty.
    messages: u32,
}

/// Buffers to use again, so that filling and draining outboxes allocates nothing in the long run.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Vec<u8>>);

/// Buffers kept for later.
const POOL_BUFFERS_MAX: usize = 64;
/// A buffer that grew beyond this is not kept: 64 of them would hold 16 MiB a shard for ever.
const POOL_BYTES_MAX: usize = 256 << 10;

impl Pool {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0
            && buffer.capacity() <= POOL_BYTES_MAX
            && self.0.len() < POOL_BUFFERS_MAX
        {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn push(&mut self, bytes: &[u8], messages: u32, pool: &mut Pool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
        // What was sent long ago must not make the buffer grow for ever under a reader that is always a bit behind.
        if self.sent > 64 << 10 && self.sent * 2 > self.bytes.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
        self.messages += messages;
    }

    /// Forgets the first `count` unsent bytes.
    pub(crate) fn advance(&mut self, count: usize, pool: &mut Pool) {
        self.sent += count;
        assert!(self.sent <= self.bytes.len(), "no more is sent than was there");
        if self.sent == self.bytes.len() {
            self.take(pool);
        }
    }

    /// Empties it.
    pub(crate) fn take(&mut self, pool: &mut Pool) {
        pool.give(std::mem::take(&mut self.bytes));
        self.sent = 0;
        self.messages = 0;
    }

    /// Turns it into the bytes that are still to be sent.
    pub(crate) fn into_unsent(mut self) -> Vec<u8> {
        self.bytes.drain(..self.sent);
        self.bytes
    }

    /// Puts `earlier` in front of what waits.
    pub(crate) fn prepend(&mut self, mut earlier: Vec<u8>) {
        earlier.extend_from_slice(self.unsent());
        self.bytes = earlier;
        self.sent = 0;
    }
}
