//! What seats ask while they end: each request is answered once.
//!
//! A seat can be taken away while something that it asked is on its way. Its owner, which hears that too late, sends
//! it back; how much of that is to come the home knows by counting, because messages between two shards stay in order.
//! The seat is gone when all of it is there, and the door answers what nobody did.
//!
//! ```text
//!   home                        owner
//!   two requests ─────────────▶
//!                ◀───────────── SeatEnded, one request was heard
//!   one is missing              what arrives behind that
//!                ◀───────────── SeatLate, the other one
//!   the seat ends, the other undone
//! ```

use super::{Output, Shard};
use crate::{
    Answer, Command, ConnId, Now, RoomEvent, RoomFault, RoomId, RoomRequest, ShardId, Wire,
    conn::Seat, mesh::Mesh,
};
use ahash::RandomState;
use std::collections::HashMap;

/// What seats have asked and are not answered yet, as far as it has to be known.
#[derive(Debug)]
pub(super) struct Asking {
    /// How many requests each relayed seat of this shard has sent to its owner, by place; none are not listed.
    sent: HashMap<u32, u32, RandomState>,
    /// How many of them were heard here, for seats of other shards; none are not listed.
    heard: HashMap<ConnId, u32, RandomState>,
    /// Seats of this shard that have ended at their owners, until all that they asked is back, by place.
    ending: HashMap<u32, Ending, RandomState>,
    /// Invitations of members of this shard's rooms while it is looked for whom they invite. Few at a time.
    invitations: Vec<Inviting>,
}

#[derive(Debug)]
struct Ending {
    /// How many requests are to come back.
    late: u32,
    /// What the seat is told last.
    last: Box<[u8]>,
    undone: Vec<RoomRequest>,
}

#[derive(Debug)]
struct Inviting {
    conn: ConnId,
    nonce: Option<Box<str>>,
    kind: u8,
}

impl Asking {
    pub(super) fn new(hasher: &mut impl FnMut() -> RandomState) -> Self {
        Asking {
            sent: HashMap::with_hasher(hasher()),
            heard: HashMap::with_hasher(hasher()),
            ending: HashMap::with_hasher(hasher()),
            invitations: Vec::new(),
        }
    }

    /// Whether nothing is on its way; between inputs, when all messages have arrived.
    pub(super) fn is_at_rest(&self) -> bool {
        self.ending.is_empty() && self.invitations.is_empty()
    }

    /// A relayed seat asks its owner something.
    pub(super) fn asked(&mut self, slot: u32) {
        let sent = self.sent.entry(slot).or_default();
        *sent = sent.wrapping_add(1);
    }

    /// A seat of this shard is gone.
    pub(super) fn forget(&mut self, slot: u32) {
        self.sent.remove(&slot);
        self.ending.remove(&slot);
    }

    /// How many requests of a member that is gone were heard across the mesh.
    fn forget_member(&mut self, conn: ConnId) -> u32 {
        self.invitations.retain(|inviting| inviting.conn != conn);
        self.heard.remove(&conn).unwrap_or_default()
    }

    /// A member invites somebody who is being looked for.
    pub(super) fn invites(&mut self, conn: ConnId, nonce: Option<&str>, kind: u8) {
        self.invitations.push(Inviting { conn, nonce: nonce.map(Into::into), kind });
    }

    /// It is known whom a member invites: whether that has still to be answered.
    pub(super) fn invited(&mut self, conn: ConnId, nonce: Option<&str>, kind: u8) -> bool {
        let is_it = |inviting: &Inviting| {
            inviting.conn == conn && inviting.nonce.as_deref() == nonce && inviting.kind == kind
        };
        let at = self.invitations.iter().position(is_it);
        at.map(|at| self.invitations.remove(at)).is_some()
    }
}

impl<W: Wire> Shard<W> {
    /// A seat of another shard asks something of its room.
    pub(super) fn on_seat_request(
        &mut self,
        now: Now,
        from: ShardId,
        conn: ConnId,
        request: RoomRequest,
    ) {
        let Some(actor) = self.relayed_actor(from, conn) else {
            return self.mesh(from, Mesh::SeatLate { conn, request: Box::new(request) });
        };
        let heard = self.asking.heard.entry(conn).or_default();
        *heard = heard.wrapping_add(1);
        self.act(now, actor, Command::Room(Box::new(request)));
    }

    /// What a member that is about to go has asked and is not answered yet, as refusals.
    pub(super) fn refuse_rest(&mut self, conn: ConnId, room: RoomId) -> Vec<u8> {
        let rest = self.asking.invitations.extract_if(.., |inviting| inviting.conn == conn);
        let mut rest: Vec<_> = rest.map(|inviting| (inviting.nonce, inviting.kind)).collect();
        rest.extend(self.asked.take_fetches(conn));
        rest.extend(self.unanswered_outgoing(conn, room));
        let mut rest: Vec<_> =
            rest.into_iter().map(|(nonce, kind)| (nonce, kind, RoomFault::NotFound)).collect();
        // What a moderator did is done, and is being written down.
        let acts = self.asked.take_askers(conn).into_iter();
        rest.extend(acts.map(|one| (one.nonce, one.kind, RoomFault::NotKept)));
        let events: Vec<_> = rest
            .iter()
            .map(|(nonce, kind, fault)| {
                let answer = Answer { nonce: nonce.as_deref(), kind: *kind, room: Some(room) };
                RoomEvent::Refused { answer, fault: *fault }
            })
            .collect();
        self.room_bytes(&events)
    }

    /// A member is gone: how many requests of it were heard across the mesh.
    pub(super) fn forget_requests(&mut self, conn: ConnId) -> u32 {
        self.asked.take_fetches(conn);
        self.asking.forget_member(conn)
    }

    // At home.

    /// The owner has taken a seat away, or did not let it in, after it had heard so many requests.
    pub(super) fn on_seat_ended(&mut self, conn: ConnId, bytes: Box<[u8]>, heard: u32) {
        let Some(slot) = self.conns.find(conn) else { return };
        if matches!(self.conns[slot].seat, Seat::Relayed { .. }) {
            self.unseat_relayed(slot);
        }
        let sent = self.asking.sent.get(&slot).copied().unwrap_or_default();
        let late = sent.wrapping_sub(heard);
        if late == 0 {
            return self.end_seat(slot, &bytes, Vec::new());
        }
        let ending = Ending { late, last: bytes, undone: Vec::new() };
        self.asking.ending.insert(slot, ending);
    }

    /// Something that a seat asked came too late.
    pub(super) fn on_seat_late(&mut self, conn: ConnId, request: RoomRequest) {
        // One whose session has ended meanwhile needs no answer.
        let Some(slot) = self.conns.find(conn) else { return };
        let Some(ending) = self.asking.ending.get_mut(&slot) else { return };
        ending.undone.push(request);
        ending.late -= 1;
        if ending.late == 0
            && let Some(Ending { last, undone, .. }) = self.asking.ending.remove(&slot)
        {
            self.end_seat(slot, &last, undone);
        }
    }

    /// A seat that sits nowhere any more asks something.
    pub(super) fn ask_in_vain(&mut self, slot: u32, request: RoomRequest) {
        if let Some(ending) = self.asking.ending.get_mut(&slot) {
            ending.undone.push(request);
        }
    }

    /// Ends a seat that sits nowhere; `last` is what its session is told behind all else.
    pub(super) fn end_seat(&mut self, slot: u32, last: &[u8], undone: Vec<RoomRequest>) {
        let key = self.conns.key(slot);
        self.seats.remove(slot);
        self.asking.forget(slot);
        let mut bytes = self.extract(slot).outbox.into_unsent();
        bytes.extend_from_slice(last);
        self.outputs.push_back(Output::SeatEnded { key, last: bytes, undone });
    }
}
