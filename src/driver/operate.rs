//! What operators ask of a shard, and what it answers. Everything but a sweep is done at once, between two turns.

use super::{peers::Phase, turn::Driver};
use crate::{config::Config, doors};
use crossbeam_channel::Sender;
use std::{net::IpAddr, os::fd::AsFd, sync::Arc};
use tutti_shards::{
    ChannelDetail, ChannelFilter, ChannelName, ChannelSeen, ConnId, Now, Order, Outcome, SeatSeen,
    ShardId, SlowReader, UserFilter, UserId, UserSeen,
};

/// Sockets that a sweep looks at in one turn.
const SWEPT_AT_ONCE: usize = 1_024;

/// What is asked of a shard.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Something to do.
    Order(Order),
    /// Users whose records it has.
    Users(UserFilter),
    /// All that it knows of a user.
    User(UserId),
    /// Channels that it owns.
    Channels(ChannelFilter),
    /// One channel, if it owns that.
    Channel(ChannelName),
    /// The connections for which most bytes wait, at most so many.
    SlowReaders(usize),
    /// Closing all connections that the gate would not let in.
    Sweep,
    /// Listening no more.
    Deafen,
    /// Going on with these settings.
    Reload(Arc<doors::Shared>, Arc<Config>),
}

/// What a shard answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To an order.
    Outcome(Outcome),
    /// To [`Ask::Users`].
    Users(Vec<UserSeen>),
    /// To [`Ask::User`].
    User(Box<UserKnown>),
    /// To [`Ask::Channels`].
    Channels(Vec<ChannelSeen>),
    /// To [`Ask::Channel`].
    Channel(Option<Box<ChannelDetail>>),
    /// To [`Ask::SlowReaders`].
    SlowReaders(Vec<SlowReader>),
    /// To [`Ask::Sweep`]: so many connections were closed.
    Swept(u32),
    /// To what needs no answer.
    Done,
}

/// What one shard knows of a user.
#[derive(Clone, Default, Debug)]
pub struct UserKnown {
    /// Their record, if it is there.
    pub record: Option<UserSeen>,
    /// Where they sit in its channels.
    pub seats: Vec<SeatSeen>,
    /// Their connections whose sockets it holds, and from where.
    pub addresses: Vec<(ConnId, IpAddr)>,
}

/// Connections that have still to be looked at.
#[derive(Debug)]
pub(super) struct Sweep {
    left: Vec<u32>,
    closed: u32,
    to: Vec<Sender<(ShardId, Answer)>>,
}

impl Driver {
    pub(super) fn asked(&mut self, now: Now, ask: Ask, to: Sender<(ShardId, Answer)>) {
        let answer = match ask {
            Ask::Order(order) => {
                let outcome = self.core.operate(now, order);
                // What it keeps is ahead of the entry in the audit log, whose commit confirms both.
                self.act(now);
                Answer::Outcome(outcome)
            }
            Ask::Users(filter) => Answer::Users(self.core.users_seen(now, &filter)),
            Ask::User(user) => Answer::User(Box::new(self.known(now, user))),
            Ask::Channels(filter) => Answer::Channels(self.core.channels_seen(now, &filter)),
            Ask::Channel(name) => Answer::Channel(self.core.channel_seen(now, &name).map(Box::new)),
            Ask::SlowReaders(limit) => Answer::SlowReaders(self.core.slow_readers(limit)),
            Ask::Sweep => {
                // One that goes on begins again: whom it passed may be banned now.
                let (mut closed, mut asking) =
                    self.sweep.take().map_or((0, Vec::new()), |sweep| (sweep.closed, sweep.to));
                asking.push(to);
                if let Some(quic) = &mut self.quic {
                    closed += quic.expel(now);
                }
                self.sweep = Some(Sweep { left: self.peers.indices(), closed, to: asking });
                return;
            }
            Ask::Deafen => {
                self.stop_listening();
                Answer::Done
            }
            Ask::Reload(shared, config) => {
                self.reload(shared, config);
                Answer::Done
            }
        };
        // Whoever asked may have stopped waiting.
        let _ = to.send((self.core.id(), answer));
    }

    /// Nobody new is let in. Who waits at a socket of the service manager's is let in by the next server.
    pub(super) fn stop_listening(&mut self) {
        if self.accept_again_us.take().is_none() {
            // Closing alone would leave those watched that the service manager keeps open.
            for listener in &self.listeners {
                let _ = self.peers.poller.remove(listener.socket.as_fd());
            }
        }
        self.listeners.clear();
        if let Some(quic) = &mut self.quic {
            quic.endpoint.stop();
        }
    }

    fn known(&mut self, now: Now, user: UserId) -> UserKnown {
        let mut addresses = Vec::new();
        for idx in self.peers.indices() {
            let Some(peer) = self.peers.get_mut(idx) else { continue };
            if let (Phase::Live { key, .. }, Some(client)) = (&peer.phase, peer.grant.client())
                && self.core.user_of(*key) == Some(user)
                && let Some(conn) = self.core.conn_of(*key)
            {
                addresses.push((conn, client));
            }
        }
        let (record, seats) = (self.core.user_seen(user), self.core.seats_seen(now, user));
        UserKnown { record, seats, addresses }
    }

    fn reload(&mut self, shared: Arc<doors::Shared>, config: Arc<Config>) {
        self.pace.set_delay_max(config.flush_delay_max);
        self.core.reconfigure(Arc::new(config.core.clone()));
        self.doors.reload(shared);
        self.core.rewire(self.doors.wire());
        self.config = config;
    }

    /// Goes on looking for connections of the banned; whether there are more to look at.
    pub(super) fn sweep(&mut self, now: Now) -> bool {
        let Some(mut sweep) = self.sweep.take() else { return false };
        for _ in 0..SWEPT_AT_ONCE {
            let Some(idx) = sweep.left.pop() else { break };
            sweep.closed += u32::from(self.expel_banned(now, idx));
        }
        self.act(now);
        if !sweep.left.is_empty() {
            self.sweep = Some(sweep);
            return true;
        }
        for to in &sweep.to {
            let _ = to.send((self.core.id(), Answer::Swept(sweep.closed)));
        }
        false
    }

    /// Closes a connection whose address or user is banned; whether it was.
    pub(super) fn expel_banned(&mut self, now: Now, idx: u32) -> bool {
        let gate = self.admissions.mpp.gate();
        if !gate.has_bans() {
            return false;
        }
        let Some(peer) = self.peers.get_mut(idx) else { return false };
        let by_address = peer.grant.client().and_then(|client| gate.ban_of_address(client));
        match &peer.phase {
            Phase::Live { key, .. } => {
                let key = *key;
                let by_user = || self.core.user_of(key).and_then(|user| gate.ban_of_user(user));
                let Some(ban) = by_address.or_else(by_user) else { return false };
                let reason = (!ban.reason.is_empty()).then(|| ban.reason.as_str().into());
                self.core.expel(now, key, reason);
                true
            }
            Phase::Greeting(_) if by_address.is_some() => {
                // It has not said enough to be answered.
                self.close(now, idx, Vec::new(), None);
                true
            }
            Phase::Greeting(_) | Phase::Closing(_) => false,
        }
    }
}
