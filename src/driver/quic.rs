//! The QUIC socket of a shard and its endpoint, as parts of the shard's turn.
//!
//! What has come is taken in at the turn's beginning, and everything that is to be sent goes out together at its end,
//! after the core was flushed. Datagrams of connections that live on another shard cross the mesh, but only as far as
//! there is room: they are the one thing that the mesh may drop, because QUIC sends again.

use super::{
    mesh::{Mesh, Packet},
    poller::{Interest, Poller, Token},
};
use crate::doors::quic::{
    host::{Host, SessionCounts},
    session::SessionConfig,
};
use crate::quic::{Arrival, Batch, ConnKey, Counts, Endpoint, Shared, UdpCounts, UdpSocket};
use std::{io, os::fd::AsFd, sync::Arc};
use tutti_shards::ShardId;

/// What the QUIC part of a shard is made of.
pub(super) struct Start {
    pub(super) shared: Arc<Shared>,
    pub(super) socket: UdpSocket,
    pub(super) seed: [u8; 32],
    pub(super) sessions: Arc<SessionConfig>,
}

/// All of QUIC on one shard.
pub(super) struct Quic {
    pub(super) endpoint: Endpoint,
    pub(super) sessions: Host<ConnKey>,
    socket: UdpSocket,
    batch: Batch,
    /// Whether the socket has no room for what is in the batch.
    is_blocked: bool,
}

/// What QUIC has counted on one shard.
#[derive(Clone, Debug, Default)]
pub struct QuicStats {
    /// Of the endpoint.
    pub endpoint: Counts,
    /// Of the socket.
    pub socket: UdpCounts,
    /// Of the sessions.
    pub sessions: SessionCounts,
}

impl Quic {
    /// To be called on the shard's own executor.
    pub(super) fn new(
        start: Start,
        me: ShardId,
        shards: u16,
        now_us: u64,
        poller: &Poller,
    ) -> io::Result<Self> {
        let Start { shared, socket, seed, sessions } = start;
        let mut endpoint = Endpoint::new(shared, me, shards, now_us, seed);
        endpoint.set_segments_max(socket.segments_max());
        poller.add(socket.as_fd(), Token::Datagrams, Interest::READ)?;
        Ok(Quic {
            endpoint,
            sessions: Host::new(sessions),
            socket,
            batch: Batch::default(),
            is_blocked: false,
        })
    }

    /// Takes in what has come, and sends on what belongs to other shards.
    pub(super) fn receive(&mut self, now_us: u64, mesh: &mut Mesh) {
        if let Err(error) = self.socket.receive(now_us, &mut self.endpoint) {
            tracing::warn!(%error, "cannot receive datagrams");
        }
        while let Some((home, arrival)) = self.endpoint.poll_forward() {
            let sent = mesh.send_if_room(home, Packet::Datagram(Box::new(arrival)));
            self.endpoint.forwarded(sent);
        }
    }

    /// Takes in a datagram that came to another shard.
    pub(super) fn receive_forwarded(&mut self, arrival: &Arrival) {
        self.endpoint.handle_forwarded(arrival);
    }

    /// The socket has room again.
    pub(super) fn unblock(&mut self, poller: &Poller) {
        if std::mem::take(&mut self.is_blocked) {
            self.watch(poller, Interest::READ);
        }
    }

    /// Sends everything that is to be sent, as far as the socket takes it. Whether there was something.
    pub(super) fn flush(&mut self, now_us: u64, poller: &Poller) -> bool {
        if self.is_blocked || !self.endpoint.has_output() {
            return false;
        }
        // Less than at first, where a network card turned out not to split datagrams.
        self.endpoint.set_segments_max(self.socket.segments_max());
        while !self.is_blocked {
            let has_more = self.endpoint.transmit(now_us, &mut self.batch);
            if !self.socket.send(now_us, &mut self.batch) {
                self.is_blocked = true;
                self.watch(poller, Interest { write: true, ..Interest::READ });
            } else if !has_more {
                break;
            }
        }
        true
    }

    fn watch(&self, poller: &Poller, interest: Interest) {
        if let Err(error) = poller.modify(self.socket.as_fd(), Token::Datagrams, interest) {
            tracing::error!(%error, "cannot watch the socket of datagrams");
        }
    }

    /// When there is something to do even if nothing comes; what is to be sent waits until `flush_at_us`.
    pub(super) fn deadline_us(&self, flush_at_us: u64) -> Option<u64> {
        // What waits for the socket is no reason to look again before it has room.
        let output = (!self.is_blocked && self.endpoint.has_output()).then_some(flush_at_us);
        let has_news = self.endpoint.has_news() || self.sessions.is_unsettled();
        [output, has_news.then_some(0), self.endpoint.timer_us(), self.sessions.next_deadline_us()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn stats(&self) -> QuicStats {
        QuicStats {
            endpoint: self.endpoint.counts(),
            socket: self.socket.counts(),
            sessions: self.sessions.counts(),
        }
    }
}
