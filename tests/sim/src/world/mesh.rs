//! The mesh: queues between the shards that are full at times, late at times, and in order for each sender.

use super::{Parcel, Place, World};
use tutti_shards::{Flow, ShardId};

impl World {
    pub(super) fn send(&mut self, from: usize, to: ShardId, parcel: Parcel) {
        let delay = match self.setup.mesh_delay_max_us {
            0 => 0,
            _ if self.calm => 0,
            max => self.mesh_draw.within(0, max),
        };
        let backlog = &mut self.nodes[from].backlog[to.index()];
        backlog.push_back((self.now_us + delay, parcel));
    }

    /// Puts into the other shards' queues what they have room for; the rest waits in order.
    pub(crate) fn post(&mut self, from: usize) {
        for to in 0..self.nodes.len() {
            let arrivals = &mut self.arrivals[to];
            while arrivals.len < self.setup.mesh_capacity
                && let Some(parcel) = self.nodes[from].backlog[to].pop_front()
            {
                arrivals.from[from].push_back(parcel);
                arrivals.len += 1;
            }
        }
    }

    /// Takes what has arrived, of the senders in random order.
    pub(super) fn take_arrivals(&mut self, s: usize) {
        let budget = if self.calm { usize::MAX } else { self.mesh_draw.below(20) };
        for _ in 0..budget {
            let ready: Vec<usize> = (0..self.nodes.len())
                .filter(|&from| {
                    let first = self.arrivals[s].from[from].front();
                    first.is_some_and(|(at, _)| *at <= self.now_us)
                })
                .collect();
            if ready.is_empty() {
                return;
            }
            let from = *self.mesh_draw.pick(&ready);
            let (_, parcel) = self.arrivals[s].from[from].pop_front().expect("it is ready");
            self.arrivals[s].len -= 1;
            self.arrive(s, ShardId(from as u16), parcel);
        }
    }

    fn arrive(&mut self, s: usize, from: ShardId, parcel: Parcel) {
        let now = self.now();
        match parcel {
            Parcel::Message(message) => {
                self.note(|| format!("shard {s} hears from {from:?}: {message:?}"));
                self.nodes[s].shard.handle_mesh(now, from, message);
            }
            Parcel::Handover { socket, bundle } => {
                self.note(|| format!("shard {s} adopts peer {socket} from {from:?}"));
                let key = self.nodes[s].shard.adopt(now, from, *bundle);
                let before = self.keys[s].insert(key.to_u64(), socket);
                assert!(before.is_none(), "a key names one connection");
                let flow = self.nodes[s].shard.flow(key);
                let socket = &mut self.sockets[socket];
                socket.place = Place::At(s, key);
                socket.paused = flow == Flow::Pause;
            }
        }
        self.maybe_outputs(s);
    }
}
