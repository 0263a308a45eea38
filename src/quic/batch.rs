//! Datagrams that wait to be sent together.

use quinn_proto::{EcnCodepoint, Transmit};
use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

/// Transmits that are gathered before they are sent.
const ITEMS_MAX: usize = 64;
/// Bytes that are gathered: few enough to be in the cache still when the kernel copies them.
const BYTES_MAX: usize = 64 << 10;

/// Transmits, in the order in which they are to be sent. Its memory is used again.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// Items of the front that were sent.
    sent: usize,
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
    range: Range<usize>,
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
        self.items.len() >= ITEMS_MAX || self.bytes.len() >= BYTES_MAX
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

    /// The bytes of an item.
    #[must_use]
    pub fn bytes(&self, item: &Item) -> &[u8] {
        &self.bytes[item.range.clone()]
    }

    /// Takes the first `count` that wait out.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            self.bytes.clear();
            self.items.clear();
            self.sent = 0;
        }
    }

    pub(super) fn push(&mut self, transmit: &Transmit, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.items.push(Item {
            to: transmit.destination,
            from: transmit.src_ip,
            ecn: transmit.ecn,
            segment: transmit.segment_size.filter(|size| *size < bytes.len()),
            range: start..self.bytes.len(),
        });
    }
}
