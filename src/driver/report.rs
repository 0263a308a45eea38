//! What a shard has counted, as it is handed to whoever asks.

use super::QuicStats;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use tutti_shards::{Gauges, ShardId, Stats};

/// Everything that one shard has counted.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which shard.
    pub shard: ShardId,
    /// What the core counted.
    pub stats: Stats,
    /// What there is in the core.
    pub gauges: Gauges,
    /// What the driver counted.
    pub driver: DriverStats,
}

/// What a driver counts.
#[derive(Clone, Debug)]
pub struct DriverStats {
    /// Rounds of its loop.
    pub turns: u64,
    /// Times it went to sleep.
    pub sleeps: u64,
    /// Sockets accepted.
    pub accepted: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failures: u64,
    /// Connections that were answered and closed before they became the core's, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Connections that ended because the peer broke the transport's protocol, by reason.
    pub faults: BTreeMap<&'static str, u64>,
    /// Times a limit was hit that the core does not know, by its label.
    pub limits: BTreeMap<&'static str, u64>,
    /// Pages and files served.
    pub pages: u64,
    /// Panics while bytes were decoded: bugs of ours.
    pub decode_panics: u64,
    /// Packets sent to other shards.
    pub mesh_sent: u64,
    /// Other shards woken.
    pub mesh_wakes: u64,
    /// Packets that wait for room in another shard's queue.
    pub mesh_backlog: u64,
    /// Packets that wait for this shard.
    pub mesh_inbox: u64,
    /// Sockets, those before and after being the core's included.
    pub sockets: u64,
    /// What QUIC has counted; all zero while it is off.
    pub quic: QuicStats,
    /// Flushes that were put off to send more at once.
    pub flushes_delayed: u64,
    /// How long turns took, microseconds.
    pub turn_us: Histogram<u64>,
}

impl DriverStats {
    pub(super) fn new() -> Self {
        let bounds = "the bounds are a range of at least two";
        DriverStats {
            turns: 0,
            sleeps: 0,
            accepted: 0,
            accept_failures: 0,
            refused: BTreeMap::new(),
            faults: BTreeMap::new(),
            limits: BTreeMap::new(),
            pages: 0,
            decode_panics: 0,
            mesh_sent: 0,
            mesh_wakes: 0,
            mesh_backlog: 0,
            mesh_inbox: 0,
            sockets: 0,
            quic: QuicStats::default(),
            flushes_delayed: 0,
            turn_us: Histogram::new_with_bounds(1, 10_000_000, 2).expect(bounds),
        }
    }
}
