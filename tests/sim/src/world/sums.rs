//! What a run came to.

use super::World;
use crate::report::Report;
use tutti_shards::CloseReason;

impl World {
    pub(super) fn report(&self) -> Report {
        let sum = |f: fn(&tutti_shards::Stats) -> u64| {
            self.nodes.iter().map(|node| f(node.shard.stats())).sum()
        };
        Report {
            steps: self.steps,
            virtual_us: self.now_us - self.started_us,
            connections: self.peers.len() as u64,
            received: self.peers.iter().map(|peer| peer.view.received).sum(),
            at_terminals: self.peers.iter().flat_map(|p| &p.terminal).map(|t| t.received).sum(),
            handovers: sum(|stats| stats.handed_over),
            promotions: sum(|stats| stats.promotions),
            demotions: sum(|stats| stats.demotions),
            cursors_held: sum(|stats| stats.cursors_held),
            closed_backlog: self
                .sockets
                .iter()
                .filter(|s| s.closed == Some(CloseReason::Backlog))
                .count() as u64,
            ordered: self.ledger.len() as u64,
            confirmed: self.storage.confirmed,
            seated: self.sessions.seated,
            undone: self.sessions.undone,
            told: self.sessions.told,
            compared: self.rooms.compared,
            states_compared: self.rooms.states_compared,
            trace: self.trace,
        }
    }
}
