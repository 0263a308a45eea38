//! The file: how it is opened, what version it has, and how it is brought up to date.

use super::OpenError;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

/// "Tutt": what tells our files from those of other programs.
const APPLICATION_ID: i32 = 0x5475_7474;

/// What leads from each version to the next. A file's version is how many of these it has been through. Never changed
/// once released: what is wrong with one is put right by another.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/v1.sql"),
    include_str!("schema/v2.sql"),
    include_str!("schema/v3.sql"),
    include_str!("schema/v4.sql"),
    include_str!("schema/v5.sql"),
];

/// The version that this program writes.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// How long another program may hold the file before that is an error.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Files up to this size are checked from end to end at each start, which takes about a second at most.
const CHECKED_BYTES_MAX: u64 = 64 << 20;

/// Opens the file, makes it if there is none, and brings it up to date in one transaction.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let fail = |error: &rusqlite::Error| explain(path, error);
    // SQLite would make it readable for everyone that the umask lets; its log takes the mode of the file.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| OpenError::Io { path: path.to_owned(), reason: error.to_string() })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(|error| fail(&error))?;
    db.busy_timeout(BUSY).map_err(|error| fail(&error))?;
    judge(&db, path)?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_BYTES_MAX) {
        let found = check(&db, 1).map_err(|error| fail(&error))?;
        if let Some(reason) = found.into_iter().next() {
            return Err(OpenError::Corrupt { path: path.to_owned(), reason });
        }
    }
    let mode: String = db
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| fail(&error))?;
    if mode != "wal" {
        let reason = "the file system has no shared memory for its log".to_owned();
        return Err(OpenError::Io { path: path.to_owned(), reason });
    }
    set_up(&mut db).map_err(|error| fail(&error))?;
    Ok(db)
}

/// A database without a file.
pub(super) fn open_memory() -> Result<Connection, OpenError> {
    let fail = |error: &rusqlite::Error| explain(Path::new(":memory:"), error);
    let mut db = Connection::open_in_memory().map_err(|error| fail(&error))?;
    set_up(&mut db).map_err(|error| fail(&error))?;
    Ok(db)
}

/// Whether the file is ours, and of a version that we know.
pub(super) fn judge(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| explain(path, &error);
    let application: i32 =
        db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fail)?;
    let version = version(db).map_err(fail)?;
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(fail)?;
    let path = || path.to_owned();
    match (application, version) {
        (0, 0) if tables == 0 => Ok(()),
        (APPLICATION_ID, 1..=VERSION) => Ok(()),
        (APPLICATION_ID, found) if found > VERSION => {
            Err(OpenError::Newer { path: path(), found, known: VERSION })
        }
        _ => Err(OpenError::Foreign { path: path() }),
    }
}

/// The version of a file.
pub(super) fn version(db: &Connection) -> rusqlite::Result<i32> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// What is wrong with the file, up to `most` faults; nothing when it is sound.
pub(super) fn check(db: &Connection, most: u32) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(&format!("PRAGMA quick_check({most})"))?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    let found: Vec<String> = found.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

pub(super) fn set_up(db: &mut Connection) -> rusqlite::Result<()> {
    // A commit is on the disk before it counts; the log is copied into the file every 1000 pages, which syncs both.
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "wal_autocheckpoint", 1_000)?;
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.set_prepared_statement_cache_capacity(64);
    migrate(db, MIGRATIONS)
}

fn migrate(db: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let from = version(db)?;
    if from as usize >= migrations.len() {
        return Ok(());
    }
    let steps = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in migrations.iter().skip(from as usize) {
        steps.execute_batch(step)?;
    }
    steps.pragma_update(None, "application_id", APPLICATION_ID)?;
    steps.pragma_update(None, "user_version", migrations.len() as i32)?;
    steps.commit()?;
    if from > 0 {
        tracing::info!(from, to = migrations.len(), "the database was brought up to date");
    }
    Ok(())
}

pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Corrupt { path, reason }
        }
        _ => OpenError::Io { path, reason },
    }
}

/// Makes a file of an old version, for tests that bring it up to date.
#[cfg(test)]
pub(super) fn make_old(path: &Path, version: usize) {
    let mut db = Connection::open(path).unwrap();
    migrate(&mut db, &MIGRATIONS[..version]).unwrap();
}
