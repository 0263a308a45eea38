//! The table of users: who those were who can come back.

use rusqlite::{Connection, OptionalExtension as _, params};
use tutti_shards::{Profile, UserId};

/// Who a user was; `None` for one nobody has seen.
pub(super) fn load(db: &Connection, user: UserId) -> rusqlite::Result<Option<Profile>> {
    let sql = "SELECT profile, first_seen_ms FROM users WHERE id = ?1";
    let row = db
        .prepare_cached(sql)?
        .query_row(params![user.0], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get::<_, i64>(1)? as u64))
        })
        .optional()?;
    Ok(row.map(|(profile, first_seen_ms)| {
        let known = profile.and_then(|json| super::json::read::<Profile>("user", &json));
        Profile { first_seen_ms, ..known.unwrap_or_else(|| Profile::new(user, first_seen_ms)) }
    }))
}

/// A user as they are now.
pub(super) fn save(db: &Connection, profile: &Profile, seen_ms: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO users (id, name, profile, first_seen_ms, last_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, profile = excluded.profile,
            first_seen_ms = min(first_seen_ms, excluded.first_seen_ms),
            last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)";
    db.prepare_cached(sql)?.execute(params![
        profile.user.0,
        profile.name.as_ref().map(tutti_shards::UserName::as_str),
        super::json::write(profile)?,
        profile.first_seen_ms as i64,
        seen_ms as i64,
    ])?;
    Ok(())
}

/// A user came or went.
pub(super) fn see(
    db: &Connection,
    user: UserId,
    first_ms: u64,
    last_ms: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO users (id, first_seen_ms, last_seen_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT (id) DO UPDATE SET first_seen_ms = min(first_seen_ms, excluded.first_seen_ms),
            last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)";
    db.prepare_cached(sql)?.execute(params![user.0, first_ms as i64, last_ms as i64])?;
    Ok(())
}
