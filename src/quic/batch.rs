//! Datagrams that wait to be sent together.

use quinn_proto::{EcnCodepoint, Transmit};
use std::net::{IpAddr, SocketAddr};

/// Transmits that are gathered before they are sent.
const ITEMS_MAX: usize = 64;
/// Bytes that are gathered: few enough to be in the cache still when the kernel copies them.
const BYTES_MAX: usize = 64 << 10;
/// Bytes of a transmit whose memory is kept in any case, and how many longer ones are: QUIC asks for much more memory
/// than it mostly writes to, and what was never written to costs nothing.
const SPARE_BYTES_MAX: usize = 16 << 10;
const LONG_SPARES_MAX: usize = 8;

/// Transmits, in the order in which they are to be sent. Its memory is used again.
#[derive(Debug, Default)]
pub struct Batch {
    items: Vec<Item>,
    /// Items of the front that were sent.
    sent: usize,
    /// Bytes of all items.
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

/// One transmit: a datagram, or several of one size to one peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Where to.
    pub to: SocketAddr,
    /// Which of our addresses it is from; `None` for whichever the system takes.
    pub from: Option<IpAddr>,
    /// The mark of its IP header.
    pub ecn: Option<EcnCodepoint>,
    /// Bytes of each datagram but the last, if there are several.
    pub segment: Option<usize>,
    /// The datagrams, one behind the other.
    pub bytes: Vec<u8>,
}

impl Batch {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.items.len()
    }

    /// Whether it should be sent before more is gathered.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.len() >= ITEMS_MAX || self.bytes >= BYTES_MAX
    }

    /// What waits.
    #[must_use]
    pub fn waiting(&self) -> &[Item] {
        &self.items[self.sent..]
    }

    /// Puts those of one mark side by side, without changing the order among them. A connection changes its mark once
    /// or twice in its life, and QUIC puts up with datagrams that overtake others.
    pub fn sort_by_mark(&mut self) {
        self.items[self.sent..].sort_by_key(|item| item.ecn.map(|mark| mark as u8));
    }

    /// Takes the first `count` that wait out.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            for item in self.items.drain(..) {
                let is_long = item.bytes.len() > SPARE_BYTES_MAX;
                if self.spare.len() < if is_long { LONG_SPARES_MAX } else { ITEMS_MAX } {
                    self.spare.push(item.bytes);
                }
            }
            (self.sent, self.bytes) = (0, 0);
        }
    }

    /// An empty buffer for the next transmit, which [`Batch::push`] takes.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Takes back a buffer that nothing was written to.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        self.spare.push(buffer);
    }

    /// Adds a transmit whose bytes are the first of `bytes`.
    pub(super) fn push(&mut self, transmit: &Transmit, mut bytes: Vec<u8>) {
        bytes.truncate(transmit.size);
        self.bytes += bytes.len();
        self.items.push(Item {
            to: transmit.destination,
            from: transmit.src_ip,
            ecn: transmit.ecn,
            segment: transmit.segment_size.filter(|size| *size < bytes.len()),
            bytes,
        });
    }
}
