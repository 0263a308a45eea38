//! What a shard has counted, and what there is in it now.

use super::{Flow, Shard};
use crate::{Format, Gauges, Key, Stats, Wire, conn::Seat};

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
            connections: self.conns.len() as u64 - self.seats.len() as u64,
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

    /// Whether `key` can go on.
    #[must_use]
    pub fn flow(&self, key: Key) -> Flow {
        match self.conns.slot(key) {
            None => Flow::Gone,
            Some(slot) if self.conns[slot].awaits().is_some() => Flow::Pause,
            Some(_) => Flow::Continue,
        }
    }

    /// Whether it is known who a connection is.
    #[must_use]
    pub fn is_known(&self, key: Key) -> bool {
        self.conns.slot(key).is_some_and(|slot| self.conns[slot].profile.is_some())
    }

    /// The format that a connection is sent.
    #[must_use]
    pub fn format(&self, key: Key) -> Option<Format> {
        self.conns.slot(key).map(|slot| self.conns[slot].format)
    }
}
