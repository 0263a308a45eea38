//! The operator, whose orders go straight to the shards that own what they name, whatever else is on its way.

use crate::{
    storage::Storage,
    view::Room,
    wire::channel_name,
    world::{Place, World},
};
use std::collections::BTreeSet;
use tutti_shards::{
    ChatText, Color, ConnId, OperatorNotice, Order, OrderPlace, Outcome, ProfileChange, UserId,
};

/// Further away than any run lasts.
const LONG_MS: u64 = 864_000_000;

/// What the operator remembers of what was done.
#[derive(Debug, Default)]
pub(crate) struct Books {
    kicked: BTreeSet<ConnId>,
    muted: BTreeSet<UserId>,
    guests_muted: bool,
    /// Whether it may have been forgotten in a crash who is muted.
    unsure: bool,
    orders: u64,
}

impl Books {
    /// What is left of it after a crash.
    pub(crate) fn crash(&mut self, storage: &Storage) {
        self.kicked.clear();
        self.guests_muted = false;
        self.unsure |= !storage.is_faithful();
        let kept = storage.state.users.values().filter(|user| user.muted_until_ms > 0);
        self.muted = kept.map(|user| user.user).collect();
    }
}

impl World {
    /// The operator does something.
    pub(crate) fn operate(&mut self) {
        let draw = &mut self.operator_draw;
        let someone: Vec<UserId> =
            self.live.iter().filter_map(|&idx| self.peers[idx].view.user).collect();
        if someone.is_empty() {
            return;
        }
        self.books.orders += 1;
        let user = *draw.pick(&someone);
        let channel = channel_name(draw.pick::<&str>(&self.setup.rooms));
        let number: Box<str> = format!("o{}", self.books.orders).into();
        let notice =
            Box::new(OperatorNotice { text: Some(number.clone()), ..OperatorNotice::default() });
        let order = match draw.below(24) {
            0 => Order::NotifyAll(notice),
            1 => Order::NotifyChannel { channel, notice },
            2 => Order::NotifyUser { user, notice },
            3 => {
                let text = ChatText::parse(&number, 512).expect("the simulator's texts are good");
                Order::Say { channel, text }
            }
            4 | 5 => Order::Kick { user, reason: Some(number) },
            6..9 => {
                let idx = *draw.pick(&self.live);
                Order::Disconnect { conn: self.sockets[idx].conn, reason: None }
            }
            9..11 => Order::Ban { channel, user, ms: *draw.pick(&[0, 100, 5_000, u64::MAX]) },
            11 => Order::Unban { channel, user },
            12..15 => {
                let wall_ms = self.now().wall_ms;
                let until_ms = if self.operator_draw.chance(30) { 0 } else { wall_ms + LONG_MS };
                Order::Mute { user, until_ms }
            }
            15..18 => Order::MuteIn { channel, user, ms: *draw.pick(&[0, 5_000, LONG_MS]) },
            18..21 => Order::Close { channel, reason: None },
            21 => {
                let guests = draw.chance(30);
                Order::MuteGuests(guests.then_some(LONG_MS))
            }
            _ => Order::Profile {
                user,
                change: ProfileChange {
                    color: Some(Color([1, 2, draw.bits() as u8])),
                    ..ProfileChange::default()
                },
            },
        };
        self.carry_out(order);
    }

    fn carry_out(&mut self, order: Order) {
        self.note(|| format!("the operator orders {order:?}"));
        let now = self.now();
        let nodes = match order.place(&self.placement) {
            OrderPlace::One(shard) => vec![shard.index()],
            OrderPlace::Any => vec![self.operator_draw.below(self.nodes.len())],
            OrderPlace::All => (0..self.nodes.len()).collect(),
        };
        if let Order::Kick { user, .. } = order
            && let Some(seen) = self.nodes[nodes[0]].shard.user_seen(user)
        {
            self.books.kicked.extend(seen.connections.iter().map(|&(conn, _)| conn));
        }
        let mut outcomes = Vec::new();
        for &s in &nodes {
            outcomes.push(self.nodes[s].shard.operate(now, order.clone()));
            self.outputs(s);
            self.post(s);
        }
        if let Order::Disconnect { conn, .. } = order
            && outcomes.iter().any(|outcome| matches!(outcome, Outcome::Done(1..)))
        {
            // One that was on its way may be missed where messages take longer than it is remembered.
            self.books.kicked.insert(conn);
        }
        match (order, outcomes[0]) {
            (Order::Mute { user, until_ms }, Outcome::Done(_)) => {
                if until_ms > 0 {
                    self.books.muted.insert(user);
                } else {
                    self.books.muted.remove(&user);
                }
            }
            (Order::MuteGuests(younger), _) => self.books.guests_muted = younger.is_some(),
            (Order::Close { channel, .. }, Outcome::Done(_)) => {
                let seen = self.nodes[nodes[0]].shard.channel_seen(now, &channel);
                assert!(seen.is_none(), "a channel that was closed is not there");
            }
            _ => {}
        }
    }

    /// Whether what a user says in a room is refused, by what was ordered there or everywhere.
    pub(crate) fn is_muted(&self, user: UserId, room: &Room) -> bool {
        self.is_silenced(user, &room.name)
    }

    /// The same for the room of this name.
    pub(crate) fn is_silenced(&self, user: UserId, room: &str) -> bool {
        let channel = channel_name(room);
        let owner = &self.nodes[self.placement.of_channel(&channel).index()].shard;
        let here = owner
            .channel_seen(self.now(), &channel)
            .is_some_and(|seen| seen.mutes.iter().any(|&(muted, _)| muted == user));
        here || !owner.lets_post(&channel, user)
            || self.books.guests_muted
            || self.books.muted.contains(&user)
    }

    /// Whether somebody who was muted may not be any more: the storage has not said so since a crash.
    pub(crate) fn may_be_heard_again(&self, user: UserId) -> bool {
        self.books.unsure && self.books.muted.contains(&user)
    }

    /// What was ordered has come to pass everywhere.
    ///
    /// # Panics
    /// When something was not.
    pub(crate) fn check_orders(&self) {
        for (idx, socket) in self.sockets.iter().enumerate() {
            if self.books.kicked.contains(&socket.conn) {
                assert_eq!(socket.place, Place::Closed, "peer {idx} was kicked and is gone");
            }
        }
        for &idx in &self.live {
            let Some(user) = self.peers[idx].view.user else { continue };
            let record = self.nodes[self.placement.of_user(user).index()].shard.user_seen(user);
            let until = record.expect("a connected user is known").profile.muted_until_ms;
            // What is limited may have been forgotten while the user was away.
            if !self.setup.limits && !self.books.unsure {
                assert_eq!(until > 0, self.books.muted.contains(&user), "{user} is muted or not");
            }
        }
    }
}
