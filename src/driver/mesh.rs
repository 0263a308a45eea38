//! The mesh: one bounded queue into each shard.
//!
//! A shard never waits for a full queue: it keeps what did not fit, in order, and everything later to that shard
//! waits behind it. Nothing is dropped.

use super::{
    operate::{Answer, Ask},
    peers::Peer,
    report::Report,
    wake::Bell,
};
use crate::{
    quic::Arrival,
    uploads::{Answer as Answered, Asker},
};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tutti_shards::{Bundle, MeshMessage, ShardId, StoreReply};

/// Messages that a queue holds. More wait at their senders.
const QUEUE_MESSAGES: usize = 1024;

/// What travels between threads.
pub(super) enum Packet {
    /// A message of the core.
    Message(MeshMessage),
    /// A connection.
    Handover(Box<(Bundle, Peer)>),
    /// A datagram that belongs to a connection there.
    Datagram(Box<Arrival>),
    /// What the storage answers.
    Stored(StoreReply),
    /// What is answered about a file.
    Uploaded(Asker, Answered),
    /// Say what you have counted.
    Report(Sender<Report>),
    /// An operator asks.
    Ask(Box<Ask>, Sender<(ShardId, Answer)>),
}

/// A packet and the shard that it is from; what is not from a shard carries the receiver's own id.
type Envelope = (ShardId, Packet);

/// Where to write to one shard. For many writers.
#[derive(Clone)]
pub(super) struct Address {
    shard: ShardId,
    queue: Sender<Envelope>,
    /// Beside the queue, so that a shard whose queue is full can be told.
    stop: Arc<AtomicBool>,
    bell: Arc<Bell>,
}

impl Address {
    /// Writes from outside the shards, waiting for room until the deadline. A shard that is stuck does not get it.
    pub(super) fn post(&self, packet: Packet, deadline: Instant) {
        // A shard that has ended hears nothing any more, and needs not.
        let _ = self.queue.send_deadline((self.shard, packet), deadline);
        self.bell.ring();
    }

    /// Writes from outside the shards, and gets the packet back when there is no room. A shard that has ended needs
    /// nothing any more.
    pub(super) fn offer(&self, packet: Packet) -> Result<(), Packet> {
        let offered = match self.queue.try_send((self.shard, packet)) {
            Err(TrySendError::Full((_, packet))) => Err(packet),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        };
        self.bell.ring();
        offered
    }

    /// Tells the shard to tell everyone that the server stops, and to end. [`Address::wake`] has to follow.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Wakes the shard, if it sleeps.
    pub(super) fn wake(&self) {
        self.bell.ring();
    }
}

/// One shard's end of the mesh.
pub(super) struct Mesh {
    me: ShardId,
    addresses: Vec<Address>,
    inbox: Receiver<Envelope>,
    stop: Arc<AtomicBool>,
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
        let stop = Arc::new(AtomicBool::new(false));
        inboxes.push((shard, inbox, stop.clone(), bell.clone()));
        addresses.push(Address { shard, queue, stop, bell });
    }
    let ends = inboxes.into_iter().map(|(me, inbox, stop, bell)| Mesh {
        me,
        inbox,
        stop,
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

    /// Sends what may get lost, if nothing waits ahead of it and it leaves half of the queue to what may not; whether
    /// it did.
    pub(super) fn send_if_room(&mut self, to: ShardId, packet: Packet) -> bool {
        let is_crowded = !self.backlog[to.index()].is_empty()
            || self.addresses[to.index()].queue.len() >= QUEUE_MESSAGES / 2;
        if !is_crowded {
            self.send(to, packet);
        }
        !is_crowded
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

    /// Whether this shard was told to stop.
    pub(super) fn is_told_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_may_get_lost_leaves_room_for_what_may_not() {
        let (mut ends, _) = connect(2).unwrap();
        let (to, _reports) = bounded(1);
        let sent =
            (0..).take_while(|_| ends[0].send_if_room(ShardId(1), Packet::Report(to.clone())));
        assert_eq!(sent.count(), QUEUE_MESSAGES / 2);
        ends[0].send(ShardId(1), Packet::Report(to.clone()));
        assert_eq!((ends[0].backlog_len(), ends[1].inbox_len()), (0, QUEUE_MESSAGES / 2 + 1));
    }

    #[test]
    fn a_shard_that_is_stuck_holds_nobody_up() {
        let (ends, addresses) = connect(2).unwrap();
        let (to, _reports) = bounded(1);
        let past = Instant::now();
        for _ in 0..QUEUE_MESSAGES + 10 {
            addresses[0].post(Packet::Report(to.clone()), past);
        }
        assert_eq!(ends[0].inbox_len(), QUEUE_MESSAGES);
        let deadline = Instant::now() + Duration::from_millis(20);
        addresses[0].post(Packet::Report(to.clone()), deadline);
        assert!(Instant::now() >= deadline, "it waits for room that long");
        addresses[0].stop();
        assert!(ends[0].is_told_to_stop() && !ends[1].is_told_to_stop());
    }
}
