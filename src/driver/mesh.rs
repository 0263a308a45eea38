//! The mesh: one bounded queue into each shard.
//!
//! A shard never waits for a full queue: it keeps what did not fit, in order, and everything later to that shard
//! waits behind it. Nothing is dropped.

use super::{peers::Peer, report::Report, wake::Bell};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::{collections::VecDeque, io, sync::Arc};
use tutti_shards::{Bundle, MeshMessage, ShardId};

/// Messages that a queue holds. More wait at their senders.
const QUEUE_MESSAGES: usize = 1024;

/// What travels between threads.
pub(super) enum Packet {
    /// A message of the core.
    Message(MeshMessage),
    /// A connection.
    Handover(Box<(Bundle, Peer)>),
    /// Say what you have counted.
    Report(Sender<Report>),
    /// Tell everyone that the server stops, and end.
    Stop,
}

/// A packet and the shard that it is from; what is not from a shard carries the receiver's own id.
type Envelope = (ShardId, Packet);

/// Where to write to one shard. For many writers.
#[derive(Clone)]
pub(super) struct Address {
    shard: ShardId,
    queue: Sender<Envelope>,
    bell: Arc<Bell>,
}

impl Address {
    /// Writes from outside the shards, waiting for room.
    pub(super) fn post(&self, packet: Packet) {
        // A shard that has ended hears nothing any more, and needs not.
        let _ = self.queue.send((self.shard, packet));
        self.bell.ring();
    }
}

/// One shard's end of the mesh.
pub(super) struct Mesh {
    me: ShardId,
    addresses: Vec<Address>,
    inbox: Receiver<Envelope>,
    pub(super) bell: Arc<Bell>,
    backlog: Vec<VecDeque<Packet>>,
    /// Shards that were written to since they were last woken.
    touched: Vec<bool>,
    pub(super) wakes: u64,
    pub(super) sent: u64,
}

/// The ends of all shards, and the addresses for those who are none.
pub(super) fn connect(shards: u16) -> io::Result<(Vec<Mesh>, Vec<Address>)> {
    let mut addresses = Vec::new();
    let mut inboxes = Vec::new();
    for shard in (0..shards).map(ShardId) {
        let (queue, inbox) = bounded(QUEUE_MESSAGES);
        let bell = Arc::new(Bell::new()?);
        inboxes.push((shard, inbox, bell.clone()));
        addresses.push(Address { shard, queue, bell });
    }
    let ends = inboxes.into_iter().map(|(me, inbox, bell)| Mesh {
        me,
        inbox,
        bell,
        addresses: addresses.clone(),
        backlog: (0..shards).map(|_| VecDeque::new()).collect(),
        touched: vec![false; usize::from(shards)],
        wakes: 0,
        sent: 0,
    });
    Ok((ends.collect(), addresses))
}

impl Mesh {
    /// Sends behind everything that was sent there before.
    pub(super) fn send(&mut self, to: ShardId, packet: Packet) {
        self.sent += 1;
        self.touched[to.index()] = true;
        self.backlog[to.index()].push_back(packet);
        self.drain_backlog(to);
    }

    fn drain_backlog(&mut self, to: ShardId) {
        let backlog = &mut self.backlog[to.index()];
        while let Some(packet) = backlog.pop_front() {
            match self.addresses[to.index()].queue.try_send((self.me, packet)) {
                Ok(()) => {}
                Err(TrySendError::Full((_, packet))) => {
                    backlog.push_front(packet);
                    return;
                }
                // That shard has ended, as all are about to.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// At the end of a turn: tries what did not fit, and wakes each shard that was written to, if it sleeps.
    pub(super) fn settle(&mut self) {
        for to in (0..self.addresses.len()).map(|to| ShardId(to as u16)) {
            if !self.backlog[to.index()].is_empty() {
                self.touched[to.index()] = true;
                self.drain_backlog(to);
            }
            if std::mem::take(&mut self.touched[to.index()]) {
                self.wakes += u64::from(self.addresses[to.index()].bell.ring());
            }
        }
    }

    /// The next packet for this shard.
    pub(super) fn receive(&mut self) -> Option<Envelope> {
        self.inbox.try_recv().ok()
    }

    /// Packets that wait here for other shards' queues.
    pub(super) fn backlog_len(&self) -> usize {
        self.backlog.iter().map(VecDeque::len).sum()
    }

    /// Packets that wait in this shard's queue.
    pub(super) fn inbox_len(&self) -> usize {
        self.inbox.len()
    }
}
