//! What can be kept. Each write is plain data, so that one that failed can be tried again.

use super::{
    audit::{self, AuditEntry},
    bans::{self, Ban, BanTarget},
    channels,
    retention::{self, Retention},
    rooms, uploads, users,
};
use rusqlite::Connection;
use tutti_shards::{ChannelName, StoreRequest, UploadId};

/// One change of what is kept.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// Bans somebody, in place of an older ban of the same target in the same place.
    Ban(Box<Ban>),
    /// Lifts a ban.
    Lift {
        /// In which channel; `None` for the whole site.
        channel: Option<String>,
        /// Whose.
        target: BanTarget,
    },
    /// Appends to the audit log.
    Audit(Box<AuditEntry>),
    /// What a shard wants to be kept.
    Core(Box<StoreRequest>),
    /// A file that somebody has sent.
    Upload(Box<crate::uploads::Record>),
    /// Forgets one.
    ForgetUpload(UploadId),
    /// A channel exists again that was kept.
    Revive(ChannelName),
    /// Forgets what is over, this much of each kind.
    Prune {
        /// When it is, milliseconds since 1970.
        now_ms: u64,
        /// How much.
        most: u32,
    },
}

impl Write {
    /// Makes the change in the transaction that is open.
    pub(super) fn apply(&self, db: &Connection, retention: &Retention) -> rusqlite::Result<()> {
        match self {
            Write::Ban(ban) => bans::insert(db, ban),
            Write::Lift { channel, target } => bans::lift(db, channel.as_deref(), target),
            Write::Audit(entry) => audit::append(db, entry),
            Write::Core(request) => apply(request, db, retention),
            Write::Upload(record) => uploads::save(db, record),
            Write::ForgetUpload(id) => uploads::forget(db, *id),
            Write::Revive(channel) => channels::revive(db, channel),
            Write::Prune { now_ms, most } => {
                retention::prune(db, retention, *now_ms, *most).map(drop)
            }
        }
    }
}

fn apply(request: &StoreRequest, db: &Connection, retention: &Retention) -> rusqlite::Result<()> {
    match request {
        StoreRequest::SaveUser { profile, seen_ms } => users::save(db, profile, *seen_ms),
        StoreRequest::SeeUser { user, first_ms, last_ms } => {
            users::see(db, *user, *first_ms, *last_ms)
        }
        StoreRequest::SaveChannel { channel, settings, crown } => {
            channels::save(db, channel, settings, *crown)
        }
        StoreRequest::SaveRoom { channel, number, room } => rooms::save(db, channel, *number, room),
        StoreRequest::SavePerson { channel, user, person } => {
            rooms::save_person(db, channel, *user, person.as_deref())
        }
        StoreRequest::EndChannel { channel, at_ms } => {
            channels::end(db, channel, *at_ms, retention)
        }
        StoreRequest::SaveMessage { channel, number, message, again: true } => {
            channels::say_again(db, channel, *number, message)
        }
        StoreRequest::SaveMessage { channel, number, message, again: false } => {
            channels::say(db, channel, *number, message, retention)
        }
        StoreRequest::ClearMessages { channel } => channels::clear(db, channel),
        StoreRequest::Moderate { act, .. } => channels::moderate(db, act),
        StoreRequest::LoadUser { .. }
        | StoreRequest::LoadChannel { .. }
        | StoreRequest::LoadRoom { .. }
        | StoreRequest::LoadMessages { .. } => {
            unreachable!("questions are answered, not written")
        }
    }
}
