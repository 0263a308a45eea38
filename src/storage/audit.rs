//! The audit log: what moderators and operators did. It is only ever appended to; retention alone takes from it.

use rusqlite::{Connection, params};

/// One thing that somebody did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AuditEntry {
    /// Its number, rising; 0 for one that is not in the log yet.
    pub id: i64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Who: a user id, or what the operator's command says.
    pub actor: String,
    /// What, as one word: `ban`, `unban`, `kick`, `drain`.
    pub action: String,
    /// In which channel; `None` where it is for the whole site.
    pub channel: Option<String>,
    /// To whom or to what: a user id, an address, a network.
    pub target: Option<String>,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// Whatever else belongs to it; may be empty.
    pub details: String,
}

pub(super) fn append(db: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit (at_ms, actor, action, channel, target, reason, details)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    db.prepare_cached(sql)?.execute(params![
        entry.at_ms as i64,
        entry.actor,
        entry.action,
        entry.channel,
        entry.target,
        entry.reason,
        entry.details,
    ])?;
    Ok(())
}

/// The newest entries, newest first.
pub(super) fn newest(
    db: &Connection,
    before: Option<i64>,
    most: u32,
) -> rusqlite::Result<Vec<AuditEntry>> {
    let sql = "SELECT id, at_ms, actor, action, channel, target, reason, details FROM audit
        WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![before.unwrap_or(i64::MAX), most], |row| {
        Ok(AuditEntry {
            id: row.get(0)?,
            at_ms: row.get::<_, i64>(1)? as u64,
            actor: row.get(2)?,
            action: row.get(3)?,
            channel: row.get(4)?,
            target: row.get(5)?,
            reason: row.get(6)?,
            details: row.get(7)?,
        })
    })?;
    rows.collect()
}
