//! How connections end: closed for a reason of ours, gone by themselves, or with the server.

use super::{Output, Shard};
use crate::{
    CloseReason, Departure, Ending, Format, Now, Wire,
    conn::{Awaits, Conn, Seat},
    mesh::Mesh,
};

impl<W: Wire> Shard<W> {
    /// Closes a connection for a reason of ours, which the peer is told.
    pub(crate) fn close(&mut self, now: Now, slot: u32, reason: CloseReason) {
        if !self.conns[slot].attached {
            // Its socket is still on the way here.
            self.unseat(now, slot);
            self.conns[slot].extra().doom = Some(reason);
            return;
        }
        self.stats.endings[Ending::from(reason) as usize] += 1;
        let (key, conn) = (self.conns.key(slot), self.conns[slot].id);
        if reason != CloseReason::Bye {
            self.departure = Departure::Disconnected;
        }
        let unsent = self.dismantle(now, slot);
        self.departure = Departure::default();
        self.outputs.push_back(Output::Close { key, conn, reason, unsent });
    }

    /// Takes a connection out of everything and returns what it was still to be sent.
    pub(super) fn dismantle(&mut self, now: Now, slot: u32) -> Vec<u8> {
        self.absorb(slot);
        if self.conns[slot].format == Format::QUIC {
            self.dismantle_seats(now, self.conns.key(slot));
        }
        let mut told_by_owner = false;
        if let Seat::Relayed { relay } = self.conns[slot].seat {
            let (conn, owner) = (self.conns[slot].id, self.relays[relay as usize].of.owner);
            let user = self.conns[slot].profile.as_ref().expect("members have said hello").user;
            self.unseat_relayed(slot);
            self.mesh(owner, Mesh::MemberGone { conn, user });
            told_by_owner = true;
        }
        self.unseat(now, slot);
        let conn = self.extract(slot);
        for key in Self::nicks_of(&conn) {
            self.give_nick_back(key, conn.id);
        }
        let quota = conn.extra.as_ref().map(|extra| extra.quota).unwrap_or_default();
        let user = match conn.awaits() {
            Some(Awaits::Welcome { user, .. }) => Some(*user),
            _ => conn.profile.as_ref().map(|profile| profile.user),
        };
        if let Some(user) = user
            && !told_by_owner
        {
            self.depart_user(now, user, conn.id, Some(quota));
        }
        conn.outbox.into_unsent()
    }

    /// Takes a connection that sits nowhere out of the shard's tables.
    pub(super) fn extract(&mut self, slot: u32) -> Conn {
        assert_eq!(self.conns[slot].seat, Seat::None, "only one who sits nowhere leaves the shard");
        self.unfollow_list(slot);
        self.custom_followers.remove(&slot);
        let conn = self.conns.remove(slot);
        if conn.blocked {
            self.n_blocked -= 1;
            self.waiting_bytes -= conn.outbox.len() as u64;
        }
        conn
    }

    /// The server stops: everyone is told, and nobody comes in any more.
    pub fn stop(&mut self, now: Now) {
        self.stopping = true;
        let slots: Vec<u32> = self.conns.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            // Seats go with their sessions.
            if self.conns.get(slot).is_some() && self.seats.session_of(slot).is_none() {
                self.close(now, slot, CloseReason::Stopping);
            }
        }
    }

    /// Whether [`Shard::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }
}
