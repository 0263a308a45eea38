//! How long things are kept, and forgetting them when their time is over.

use super::channels;
use rusqlite::{Connection, params};
use std::time::Duration;

/// How long what is kept is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Most messages of a channel.
    pub history_messages: u32,
    /// Age at which messages are forgotten; `None` for never.
    pub history: Option<Duration>,
    /// How long a user is remembered who does not come; `None` for ever.
    pub users: Option<Duration>,
    /// Age at which entries of the audit log are forgotten; `None` for never.
    pub audit: Option<Duration>,
    /// How long what is kept of a channel outlives it.
    pub channel: Duration,
    /// How long a channel is as it was that was there when the server ended.
    pub restart: Duration,
}

/// What was forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs, reason = "each counts what its name says")]
pub struct Forgotten {
    pub messages: usize,
    pub users: usize,
    pub channels: usize,
    pub bans: usize,
    pub mutes: usize,
    pub audit: usize,
}

impl Forgotten {
    /// All together.
    #[must_use]
    pub fn sum(&self) -> usize {
        self.messages + self.users + self.channels + self.bans + self.mutes + self.audit
    }
}

/// A new process: channels that were there with the last one wait so long for somebody to come back.
pub(super) fn restarted(
    db: &Connection,
    retention: &Retention,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let until_ms = now_ms.saturating_add(retention.restart.as_millis() as u64);
    // Direct and group rooms wait for their people however long that takes.
    let sql = "UPDATE channels SET until_ms = ?1 WHERE until_ms IS NULL AND number IS NULL";
    db.execute(sql, params![until_ms as i64])?;
    super::rooms::restarted(db)
}

/// Forgets what is over, at most `most` of each kind, in the transaction that is open.
pub(super) fn prune(
    db: &Connection,
    retention: &Retention,
    now_ms: u64,
    most: u32,
) -> rusqlite::Result<Forgotten> {
    let before = |age: Duration| now_ms.saturating_sub(age.as_millis() as u64) as i64;
    let delete = |sql: &str, limit: Option<i64>| match limit {
        Some(limit) => db.prepare_cached(sql)?.execute(params![limit, most]),
        None => Ok(0),
    };
    let mut forgotten = Forgotten {
        messages: delete(
            "DELETE FROM messages WHERE place IN
                (SELECT place FROM messages WHERE sent_ms < ?1 LIMIT ?2)",
            retention.history.map(before),
        )?,
        users: delete(
            "DELETE FROM users WHERE id IN
                (SELECT id FROM users WHERE last_seen_ms < ?1 LIMIT ?2)",
            retention.users.map(before),
        )?,
        bans: delete(
            "DELETE FROM bans WHERE id IN
                (SELECT id FROM bans WHERE until_ms <= ?1 LIMIT ?2)",
            Some(now_ms as i64),
        )?,
        mutes: delete(
            "DELETE FROM mutes WHERE id IN
                (SELECT id FROM mutes WHERE until_ms <= ?1 LIMIT ?2)",
            Some(now_ms as i64),
        )?,
        audit: delete(
            "DELETE FROM audit WHERE id IN
                (SELECT id FROM audit WHERE at_ms < ?1 LIMIT ?2)",
            retention.audit.map(before),
        )?,
        channels: 0,
    };
    let sql = "SELECT name FROM channels WHERE until_ms <= ?1 LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let over = statement.query_map(params![now_ms as i64, most], |row| row.get::<_, String>(0))?;
    for name in over.collect::<rusqlite::Result<Vec<_>>>()? {
        channels::forget(db, &name)?;
        forgotten.channels += 1;
    }
    Ok(forgotten)
}

/// Leaves each channel the messages that it may keep. Looks at all of them.
pub(super) fn trim_all(db: &Connection, retention: &Retention) -> rusqlite::Result<usize> {
    let sql = "SELECT channel FROM messages GROUP BY channel HAVING count(*) > ?1";
    let mut statement = db.prepare_cached(sql)?;
    let over = statement.query_map(params![retention.history_messages], |row| row.get(0))?;
    let mut trimmed = 0;
    for channel in over.collect::<rusqlite::Result<Vec<i64>>>()? {
        trimmed += channels::trim(db, channel, retention.history_messages)?;
    }
    Ok(trimmed)
}
