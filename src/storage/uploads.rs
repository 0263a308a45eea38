//! The table of files that people have sent.

use super::json;
use crate::uploads::Record;
use rusqlite::{Connection, params};
use tutti_shards::UploadId;

/// Writes one down, in place of an older record.
pub(super) fn save(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    let sql = "INSERT INTO uploads (id, record) VALUES (?1, ?2)
        ON CONFLICT (id) DO UPDATE SET record = excluded.record";
    db.prepare_cached(sql)?.execute(params![record.id.0 as i64, json::write(record)?])?;
    Ok(())
}

/// Forgets one.
pub(super) fn forget(db: &Connection, id: UploadId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM uploads WHERE id = ?1")?.execute(params![id.0 as i64])?;
    Ok(())
}

/// All of them, oldest first.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Record>> {
    let mut statement = db.prepare("SELECT record FROM uploads ORDER BY id")?;
    let mut found = Vec::new();
    for text in statement.query_map([], |row| row.get::<_, String>(0))? {
        found.extend(json::read::<Record>("upload", &text?));
    }
    Ok(found)
}
