//! What a shard has counted, and what there is in it now.

use super::Shard;
use crate::{Gauges, Stats, Wire, conn::Seat};

impl<W: Wire> Shard<W> {
    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What is there now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.conns.len() as u64,
            channels: self.channels.len() as u64,
            participants: self.channels.iter().map(|(_, c)| c.roster.len() as u64).sum(),
            members: self.conns.iter().filter(|(_, c)| c.seat != Seat::None).count() as u64,
            hot_channels: u64::from(self.n_hot),
            users: self.users.len() as u64,
            nicks: self.nicks.len() as u64,
            directory: self.directory.len() as u64,
            outbox_bytes: self.waiting_bytes,
            blocked: self.n_blocked,
            storage_waits: self.asked.len() as u64,
        }
    }
}
