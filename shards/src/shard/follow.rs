//! Messages for connections that went to another shard while they were on the way.
//!
//! For a while a shard remembers where a connection went. What comes later than that is passed on where somebody waits
//! for it: the shard that owns the user's record always hears where a connection is, and is asked.

use super::Shard;
use crate::{ConnId, MeshMessage, Now, ShardId, UserId, Wire, mesh::Mesh};

impl<W: Wire> Shard<W> {
    /// Passes on a message to a connection that went to another shard a while ago.
    pub(super) fn forward(&mut self, conn: ConnId, message: Mesh) {
        if let Some(&(to, _)) = self.forwarding.get(&conn) {
            self.mesh(to, message);
        }
    }

    /// The same, however long ago that was, for what a connection of `user` waits for.
    pub(super) fn follow(&mut self, now: Now, user: UserId, conn: ConnId, message: Mesh) {
        let owner = self.owner_of_user(user);
        if let Some(&(to, _)) = self.forwarding.get(&conn) {
            self.mesh(to, message);
        } else if owner == self.id {
            self.on_follow(now, self.id, user, conn, message);
        } else {
            self.mesh(owner, Mesh::Follow { user, conn, message: Box::new(message) });
        }
    }

    /// Sends a message to where a connection of a user is now, of whom this shard has the record. The shard `from` has
    /// it not.
    pub(super) fn on_follow(
        &mut self,
        now: Now,
        from: ShardId,
        user: UserId,
        conn: ConnId,
        message: Mesh,
    ) {
        let connections = self.users.get(user).map(|record| &record.connections[..]);
        let known = connections.unwrap_or_default().iter().find(|known| known.conn == conn);
        match known.map(|known| known.shard) {
            // It left from there for long: where it is now, or that it ended, is on the way to this shard.
            Some(at) if at == from => self.followed.entry(conn).or_default().push(message),
            Some(at) if at == self.id => self.handle_mesh(now, at, MeshMessage(message)),
            Some(at) => self.mesh(at, message),
            None => self.not_followed(conn, message),
        }
    }

    /// A connection arrived on a shard: what was to be passed on to it meanwhile goes there.
    pub(super) fn followed_to(&mut self, now: Now, conn: ConnId, to: ShardId) {
        for message in self.followed.remove(&conn).unwrap_or_default() {
            match to == self.id {
                true => self.handle_mesh(now, to, MeshMessage(message)),
                false => self.mesh(to, message),
            }
        }
    }

    /// A connection ended: nobody hears what was to be passed on to it.
    pub(super) fn followed_to_end(&mut self, conn: ConnId) {
        for message in self.followed.remove(&conn).unwrap_or_default() {
            self.not_followed(conn, message);
        }
    }

    fn not_followed(&mut self, conn: ConnId, message: Mesh) {
        if let Mesh::NickClaimed { key, granted: true, .. } = message {
            self.give_nick_back(key, conn);
        }
    }
}
