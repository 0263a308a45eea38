//! The table of those whose words are refused in a channel.

use rusqlite::{Connection, params};
use tutti_shards::{ChannelName, UserId};

/// Mutes somebody, in place of an older mute.
pub(super) fn insert(
    db: &Connection,
    channel: &ChannelName,
    user: UserId,
    moderator: &str,
    (since_ms, until_ms): (u64, u64),
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO mutes (channel, user, moderator, since_ms, until_ms)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (channel, user) DO UPDATE SET moderator = excluded.moderator,
            since_ms = excluded.since_ms, until_ms = excluded.until_ms";
    db.prepare_cached(sql)?.execute(params![
        channel.as_str(),
        user.0,
        moderator,
        since_ms as i64,
        i64::try_from(until_ms).unwrap_or(i64::MAX),
    ])?;
    Ok(())
}

/// Lifts a mute.
pub(super) fn lift(db: &Connection, channel: &ChannelName, user: UserId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM mutes WHERE channel = ?1 AND user = ?2";
    db.prepare_cached(sql)?.execute(params![channel.as_str(), user.0])?;
    Ok(())
}

/// The mutes of a channel that have not ended, oldest first, with the end of each.
pub(super) fn list(
    db: &Connection,
    channel: &ChannelName,
    now_ms: u64,
) -> rusqlite::Result<Vec<(UserId, u64)>> {
    let sql = "SELECT user, until_ms FROM mutes WHERE channel = ?1 AND until_ms > ?2 ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let row = |row: &rusqlite::Row<'_>| Ok((UserId(row.get(0)?), row.get::<_, i64>(1)? as u64));
    statement.query_map(params![channel.as_str(), now_ms as i64], row)?.collect()
}
