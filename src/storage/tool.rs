//! `tutti db`: looking at the database, copying it, and forgetting what is over. All of it works while a server runs
//! on the folder.

use super::{FILE, OpenError, Retention, retention, schema, wall_ms};
use crate::config::{Config, Data};
use clap::Subcommand;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Most rows of each kind that are forgotten in one transaction, so that a running server is not held up.
const PRUNE_MOST: u32 = 10_000;

/// What to do with the database.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Options {
    /// Say whether the database is sound, and what is in it: exit code 0 well, 2 not.
    Check,
    /// Copy the database as it is at this moment into a new file; a server may run meanwhile.
    Backup {
        /// The file, which must not be there yet.
        file: PathBuf,
    },
    /// Write everything that is kept to standard output, one JSON object a line.
    Export,
    /// Forget what is older than the configuration keeps, now instead of within ten minutes.
    Prune,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is no database.
    #[error("data = \"memory\" keeps nothing; name a folder with `data` (--data)")]
    Memory,
    /// There is none yet.
    #[error("there is no {}: no server has run on this folder (data, --data)", .0.display())]
    Missing(PathBuf),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy has to be a new file.
    #[error("{} is there already; name a new file, or remove that one", .0.display())]
    Exists(PathBuf),
    /// The copy cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What is exported cannot be written.
    #[error("not all is written: {0}")]
    Export(io::Error),
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database or the copy is damaged.
    #[error("{} is damaged: {}", path.display(), faults.join("; "))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        faults: Vec<String>,
    },
}

/// Does it, and writes what there is to say to `out`.
///
/// # Errors
/// [`ToolError`]; nothing has been changed then.
pub fn run(options: &Options, config: &Config, out: &mut dyn Write) -> Result<(), ToolError> {
    let Data::Dir(dir) = &config.data else { return Err(ToolError::Memory) };
    let path = dir.join(FILE);
    if !path.exists() {
        return Err(ToolError::Missing(path));
    }
    match options {
        Options::Check => check(&path, out),
        Options::Backup { file } => backup(&path, file, out),
        Options::Export => export(&path, out),
        Options::Prune => prune(&path, &config.storage.retention, out),
    }
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, ToolError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)
        .and_then(|db| db.busy_timeout(schema::BUSY).map(|()| db))
        .map_err(|error| schema::explain(path, &error))?;
    schema::judge(&db, path)?;
    Ok(db)
}

fn open_to_read(path: &Path) -> Result<Connection, ToolError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// A line that cannot be written was for nobody.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

pub(super) fn check(path: &Path, out: &mut dyn Write) -> Result<(), ToolError> {
    let db = open_to_read(path)?;
    say(out, &format!("file       {}", path.display()));
    say(out, &format!("version    {} of {}", schema::version(&db)?, schema::VERSION));
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    say(out, &format!("size       {} KiB", bytes.div_ceil(1_024)));
    let mut statement = db.prepare("PRAGMA integrity_check(20)")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0));
    let found = found.and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
    let found = found.map_err(|error| schema::explain(path, &error))?;
    let faults: Vec<String> = found.into_iter().filter(|line| line != "ok").collect();
    if !faults.is_empty() {
        return Err(ToolError::Damaged { path: path.to_owned(), faults });
    }
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM {table}");
        // An older version may not have it yet: the next start brings it.
        let Ok(rows) = db.query_row(&sql, [], |row| row.get::<_, i64>(0)) else { continue };
        say(out, &format!("{table:<10} {rows}"));
    }
    say(out, "sound");
    Ok(())
}

fn backup(path: &Path, file: &Path, out: &mut dyn Write) -> Result<(), ToolError> {
    let from = open_to_read(path)?;
    let fail = |source| ToolError::Write { path: file.to_owned(), source };
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ToolError::Exists(file.to_owned()));
        }
        Err(error) => return Err(fail(error)),
    }
    let copied = copy(&from, file);
    if copied.is_err() {
        // Half a copy is none.
        let _ = fs::remove_file(file);
    }
    copied?;
    fs::File::open(file).and_then(|file| file.sync_all()).map_err(fail)?;
    // Its name is in the folder, which is a file of its own.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::File::open(folder.unwrap_or(Path::new(".")));
    folder.and_then(|folder| folder.sync_all()).map_err(fail)?;
    let bytes = fs::metadata(file).map_or(0, |file| file.len());
    say(out, &format!("{} holds {} KiB", file.display(), bytes.div_ceil(1_024)));
    Ok(())
}

fn copy(from: &Connection, file: &Path) -> Result<(), ToolError> {
    let mut to = Connection::open(file)?;
    // All pages in one step, out of one snapshot: a server that writes meanwhile neither waits nor starts it anew.
    let step = Backup::new(from, &mut to)?.step(-1)?;
    if step != StepResult::Done {
        return Err(schema::explain(file, &busy()).into());
    }
    // One file, without a log beside it.
    to.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    let faults = schema::check(&to, 20)?;
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ToolError::Damaged { path: file.to_owned(), faults })
    }
}

fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, None)
}

/// The tables whose rows are counted.
const TABLES: [&str; 8] =
    ["users", "channels", "people", "messages", "bans", "mutes", "uploads", "audit"];

/// Everything as JSON, made by SQLite itself.
const EXPORTS: [&str; 8] = [
    "SELECT json_object('table', 'users', 'id', lower(hex(id)), 'name', name, 'profile', json(profile),
        'first_seen_ms', first_seen_ms, 'last_seen_ms', last_seen_ms) FROM users ORDER BY id",
    "SELECT json_object('table', 'channels', 'name', name, 'settings', json(settings), 'crown', lower(hex(crown)),
        'until_ms', until_ms, 'number', number, 'room', json(room)) FROM channels ORDER BY name",
    "SELECT json_object('table', 'people', 'channel', c.name, 'user', lower(hex(p.user)),
        'standing', CASE p.standing WHEN 1 THEN 'in' WHEN 2 THEN 'closed' WHEN 3 THEN 'invited'
            ELSE 'former' END,
        'lasts', json(CASE p.lasts WHEN 0 THEN 'false' ELSE 'true' END), 'person', json(p.person))
        FROM people p JOIN channels c ON c.id = p.channel ORDER BY p.id",
    "SELECT json_object('table', 'messages', 'channel', c.name, 'id', m.id, 'sent_ms', m.sent_ms,
        'user', lower(hex(m.user)), 'message', json(m.message))
        FROM messages m JOIN channels c ON c.id = m.channel ORDER BY m.place",
    "SELECT json_object('table', 'bans', 'channel', channel, 'kind', kind, 'target', target, 'reason', reason,
        'moderator', moderator, 'since_ms', since_ms, 'until_ms', until_ms, 'origin', origin,
        'in_lines', in_lines) FROM bans ORDER BY id",
    "SELECT json_object('table', 'mutes', 'channel', channel, 'user', lower(hex(user)), 'moderator', moderator,
        'since_ms', since_ms, 'until_ms', until_ms) FROM mutes ORDER BY id",
    "SELECT json_object('table', 'uploads', 'id', id, 'record', json(record)) FROM uploads ORDER BY id",
    "SELECT json_object('table', 'audit', 'id', id, 'at_ms', at_ms, 'actor', actor, 'action', action,
        'channel', channel, 'target', target, 'reason', reason, 'details', details) FROM audit ORDER BY id",
];

pub(super) fn export(path: &Path, out: &mut dyn Write) -> Result<(), ToolError> {
    let mut db = open_to_read(path)?;
    // One snapshot for all tables.
    let snapshot = db.transaction()?;
    for sql in EXPORTS {
        let mut statement = snapshot.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let written = writeln!(out, "{}", row.get_ref(0)?.as_str().unwrap_or_default());
            if let Err(error) = written {
                return cut_short(error);
            }
        }
    }
    // What is left in the buffer may not fit on the disk either.
    out.flush().or_else(cut_short)
}

/// Whoever closes it early has read enough; anything else leaves half an export that looks like a whole one.
fn cut_short(error: io::Error) -> Result<(), ToolError> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(ToolError::Export(error)),
    }
}

pub(super) fn prune(
    path: &Path,
    retention: &Retention,
    out: &mut dyn Write,
) -> Result<(), ToolError> {
    let mut db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::set_up(&mut db)?;
    let mut all = retention::Forgotten::default();
    loop {
        let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let now_ms = wall_ms();
        let some = retention::prune(&transaction, retention, now_ms, PRUNE_MOST)?;
        if some.sum() == 0 {
            all.messages += retention::trim_all(&transaction, retention)?;
            transaction.commit()?;
            break;
        }
        transaction.commit()?;
        all.messages += some.messages;
        all.users += some.users;
        all.channels += some.channels;
        all.bans += some.bans;
        all.mutes += some.mutes;
        all.audit += some.audit;
    }
    say(
        out,
        &format!(
            "forgotten: {} messages, {} users, {} channels, {} bans, {} mutes, \
             {} entries of the audit log",
            all.messages, all.users, all.channels, all.bans, all.mutes, all.audit
        ),
    );
    Ok(())
}
