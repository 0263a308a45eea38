//! How people in sessions look: names that only one of them may have, and changes of name, colour and picture.
//!
//! Where a name is all that somebody has shown at the login, nobody else may have it meanwhile. It is claimed like a
//! nick, at the shard that its hash picks, for the connection that has it; a change claims the new name first and gives
//! the old one back afterwards. The user stays who they were: the name of the login is not free for another login
//! before they are gone, because the user is made of it.

use super::Shard;
use crate::{
    Answer, ConnId, Event, Guise, Limit, LookRequest, Notice, Now, ProfileChange, RoomEvent,
    RoomFault, ShardId, UserId, Wire,
    conn::{Awaits, NameWish, ProfileWish},
    mesh::Mesh,
};

/// What is unique of a name in a session. No nick has a space in it.
pub(super) fn name_key(name: &str) -> Box<str> {
    format!("quic {}", name.to_lowercase()).into()
}

impl<W: Wire> Shard<W> {
    /// A session says who it is.
    pub(super) fn enter_as(&mut self, now: Now, slot: u32, user: UserId, guise: Box<Guise>) {
        if !guise.alone {
            return self.come(now, slot, user, true, None, (Some(guise), None));
        }
        let key = name_key(guise.name.as_str());
        self.claim_name(now, slot, key, NameWish::Login { user, guise });
    }

    fn claim_name(&mut self, now: Now, slot: u32, key: Box<str>, wish: NameWish) {
        let (conn, hops) = (self.conns[slot].id, self.conns[slot].hops);
        self.conns[slot].extra().awaits = Some(Awaits::Name { key: key.clone(), wish });
        let keeper = self.keeper(&key);
        if keeper == self.id {
            self.claim_here(now, slot, key);
        } else {
            self.mesh(keeper, Mesh::ClaimNick { key, conn, hops, user: None });
        }
    }

    /// Whether a session may have the name that it claimed is known.
    pub(super) fn name_claimed(
        &mut self,
        now: Now,
        slot: u32,
        key: Box<str>,
        wish: NameWish,
        granted: bool,
    ) {
        match wish {
            NameWish::Login { user, guise } if granted => {
                self.come(now, slot, user, true, None, (Some(guise), Some(key)));
            }
            NameWish::Login { .. } => {
                self.stats.limit(Limit::NameTaken);
                let reason = crate::CloseReason::TooManyConnections;
                self.refuse(now, slot, &Notice::TooManyConnections, reason);
            }
            NameWish::Look(request) if granted => {
                let profile =
                    self.conns[slot].profile.as_ref().expect("only those who came get here");
                let old = name_key(profile.display_name());
                self.look(now, slot, request, Some((key, old)));
            }
            NameWish::Look(request) => {
                self.stats.limit(Limit::NameTaken);
                self.answer_look(slot, &request, Some(RoomFault::NameTaken));
            }
        }
    }

    /// A session's user wants to look otherwise.
    pub(super) fn want_look(&mut self, now: Now, slot: u32, request: Box<LookRequest>) {
        let profile = self.conns[slot].profile.as_ref().expect("only those who came get here");
        let key = request.name.as_ref().map(|name| name_key(name.as_str()));
        match key.filter(|key| profile.has_own_name() && *key != name_key(profile.display_name())) {
            Some(key) => self.claim_name(now, slot, key, NameWish::Look(request)),
            None => self.look(now, slot, request, None),
        }
    }

    /// Has the user changed; `keys` are those of the name that was claimed and of the one before.
    fn look(
        &mut self,
        now: Now,
        slot: u32,
        request: Box<LookRequest>,
        keys: Option<(Box<str>, Box<str>)>,
    ) {
        let conn = &mut self.conns[slot];
        let user = conn.profile.as_ref().expect("only those who came get here").user;
        let id = conn.id;
        let LookRequest { name, color, avatar, .. } = (*request).clone();
        let change = ProfileChange { name, color, avatar, ..ProfileChange::default() };
        conn.extra().awaits = Some(Awaits::Profile(ProfileWish::Look { request, keys }));
        let owner = self.owner_of_user(user);
        if owner == self.id {
            self.change_profile(now, user, Some((self.id, id)), change);
        } else {
            self.mesh(
                owner,
                Mesh::ChangeProfile { user, conn: Some(id), change: Box::new(change) },
            );
        }
    }

    /// Tells a session's shard what came of a change; with `wait_ms` it was too early.
    pub(super) fn tell_looked(&mut self, to: ShardId, conn: ConnId, wait_ms: Option<u32>) {
        if to == self.id {
            self.on_looked(conn, wait_ms);
        } else {
            self.mesh(to, Mesh::Looked { conn, wait_ms });
        }
    }

    pub(super) fn on_looked(&mut self, conn: ConnId, wait_ms: Option<u32>) {
        // One that closed meanwhile has given its names back.
        let Some(slot) = self.conns.find(conn) else { return };
        let extra = self.conns[slot].extra();
        let (request, keys) = match extra.awaits.take() {
            Some(Awaits::Profile(ProfileWish::Look { request, keys })) => (request, keys),
            other => {
                extra.awaits = other;
                return;
            }
        };
        if let Some((new, old)) = keys {
            self.give_nick_back(if wait_ms.is_some() { new } else { old }, conn);
        }
        self.answer_look(slot, &request, wait_ms.map(RoomFault::TooFast));
        self.resume(slot);
    }

    fn answer_look(&mut self, slot: u32, request: &LookRequest, fault: Option<RoomFault>) {
        let LookRequest { nonce, kind, .. } = request;
        let answer = Answer { nonce: nonce.as_deref(), kind: *kind, room: None };
        let event = match fault {
            Some(fault) => RoomEvent::Refused { answer, fault },
            None => RoomEvent::Done { answer, message: None },
        };
        self.tell(slot, &[Event::Room(event)]);
    }
}
