//! What outlives the process: one SQLite file in the data folder, owned by one thread.
//!
//! ```text
//!   shards ── requests ──▶┌───────┐      ┌────────┐      ┌──────────┐
//!   others ── writes,  ──▶│ queue │─────▶│ worker │─────▶│ tutti.db │
//!             questions   └───────┘      └────────┘      └──────────┘
//!                          bounded          │ one transaction for all that came within 50 ms
//!   shards ◀──── replies, as messages ──────┘
//! ```
//!
//! Nobody waits for the disk who does not ask to: the queue refuses what it has no room for, and answers come when
//! they come. Every commit is a full one (`synchronous = FULL`: the log is on the disk before it counts), so what was
//! confirmed is there after a power failure, and what was not can be up to a batch.
//!
//! With `data = "memory"` the same thread keeps an SQLite database that has no file, so that what operators do works
//! the same way and ends with the process; the shards then ask for nothing at all.
//!
//! It is *not* asked on the path of a message, and it knows no socket and no protocol.
//!
//! Reading order: `write` (what can be kept), `worker` (the thread), `schema` (the file), then the tables.

mod audit;
mod bans;
mod channels;
mod counters;
mod history;
mod json;
mod mutes;
mod retention;
mod rooms;
mod schema;
pub mod tool;
mod uploads;
mod users;
mod worker;
mod write;

#[cfg(test)]
mod tests;

pub use audit::AuditEntry;
pub use bans::{Ban, BanTarget};
pub use counters::{COMMIT_BUCKETS_US, Counts};
pub use retention::{Forgotten, Retention};
pub use write::Write;

use crate::{
    config::{Config, Data},
    data_folder::{FolderError, FolderLock},
};
use counters::Counters;
use crossbeam_channel::{Sender, TrySendError, bounded};
use rusqlite::Connection;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tutti_shards::{ShardId, StoreReply, StoreRequest};
use worker::{Job, Worker};

/// The database's name in the data folder.
pub const FILE: &str = "tutti.db";

/// Why the database cannot be opened. The operator or the host is at fault; the server must not start without.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A newer Tutti wrote it.
    #[error("{} was written by a newer Tutti (its version is {found}, this program knows up to {known}); start that version, or restore a backup of before", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest that this program knows.
        known: i32,
    },
    /// Another program holds it.
    #[error("{} is locked by another program; close what has it open (`fuser {}` names it) and start again", path.display(), path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{} is damaged ({reason}); restore a backup, or move it and its -wal file away to start with an empty one (`sqlite3 FILE .recover` may save what is left)", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        reason: String,
    },
    /// It is a database of something else.
    #[error("{} is not a database of Tutti; move it away, or choose another folder with `data` (--data)", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("cannot open {}: {reason}; make it and its folder writable for this user, see that the disk has room, or choose another folder with `data` (--data)", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The thread cannot be started.
    #[error("cannot start the storage thread: {0}")]
    Thread(io::Error),
}

impl OpenError {
    /// Whether starting again, with nothing changed, fails again.
    #[must_use]
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            OpenError::Newer { .. } | OpenError::Corrupt { .. } | OpenError::Foreign { .. }
        )
    }
}

/// Why a write was not confirmed, or a question not answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StorageError {
    /// The queue is full, or the thread has ended.
    #[error("storage has no room for more work at the moment")]
    Busy,
    /// No answer came in time. What was asked may still be done.
    #[error("storage did not answer in time")]
    Late,
    /// The disk or the file refused.
    #[error("storage failed: {0}")]
    Failed(Arc<str>),
}

/// The storage of a running server. Dropping it ends the thread after what was asked before.
#[derive(Debug)]
pub struct Storage {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// Given back when the file is closed.
    _lock: Option<FolderLock>,
}

/// Speaks to the storage thread. Can be cloned and used from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    queue: Sender<Job>,
    counters: Arc<Counters>,
}

impl Storage {
    /// Opens what the configuration names, brings it up to date, and starts the thread.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let (db, lock) = match &config.data {
            Data::Memory => (schema::open_memory()?, None),
            Data::Dir(dir) => {
                let lock = FolderLock::take(dir)?;
                (schema::open(&dir.join(FILE))?, Some(lock))
            }
        };
        let path = match &config.data {
            Data::Memory => None,
            Data::Dir(dir) => Some(dir.join(FILE)),
        };
        Storage::start(db, lock, path.as_deref(), &config.storage)
    }

    fn start(
        db: Connection,
        lock: Option<FolderLock>,
        path: Option<&Path>,
        settings: &Settings,
    ) -> Result<Self, OpenError> {
        retention::restarted(&db, &settings.retention, wall_ms())
            .map_err(|error| schema::explain(path.unwrap_or(Path::new(":memory:")), &error))?;
        let (queue, jobs) = bounded(settings.queue);
        let counters = Arc::new(Counters::new(path.map(Path::to_owned)));
        let worker = Worker::new(db, jobs, counters.clone(), settings.clone());
        let thread = thread::Builder::new()
            .name("tutti-storage".to_owned())
            .spawn(move || worker.run())
            .map_err(OpenError::Thread)?;
        Ok(Storage { handle: Handle { queue, counters }, thread: Some(thread), _lock: lock })
    }

    /// Speaks to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Behind everything that was asked before. The thread takes it as soon as there is room.
        let _ = self.handle.queue.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process.
            let _ = thread.join();
        }
    }
}

/// How the storage thread works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Most jobs that wait for the thread; at least 1.
    pub queue: usize,
    /// How long a transaction gathers writes that nobody waits for.
    pub commit: Duration,
    /// How long things are kept.
    pub retention: Retention,
}

/// How answers reach the shards.
pub trait Replies: Send {
    /// Passes an answer on. Never waits.
    ///
    /// # Errors
    /// The answer itself, when the shard has no room for it at the moment.
    fn reply(&self, to: ShardId, reply: StoreReply) -> Result<(), StoreReply>;
}

/// Milliseconds since 1970, by the clock of the host.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Handle {
    /// Writes all of it in one transaction and waits until it is on the disk.
    ///
    /// # Errors
    /// When it was not, or is not known to be, within `patience`. After [`StorageError::Late`] and
    /// [`StorageError::Failed`] it may still be written later.
    pub fn commit(&self, writes: Vec<Write>, patience: Duration) -> Result<(), StorageError> {
        let deadline = Instant::now() + patience;
        let (done, written) = bounded(1);
        self.queue
            .send_deadline(Job::Commit { writes, done }, deadline)
            .map_err(|_| StorageError::Busy)?;
        written.recv_deadline(deadline).map_err(|_| StorageError::Late)?
    }

    /// Writes it with the next batch, without saying when. Never waits.
    ///
    /// # Errors
    /// When there is no room for it; it is counted as dropped.
    pub fn write(&self, write: Write) -> Result<(), StorageError> {
        match self.queue.try_send(Job::Write(write)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counters.dropped(1);
                Err(StorageError::Busy)
            }
        }
    }

    /// Says how answers reach the shards. To be called once, before the first of them asks.
    pub fn attach(&self, replies: Box<dyn Replies>) {
        // The queue is empty: nothing has been asked.
        let _ = self.queue.send(Job::Attach(replies));
    }

    /// Takes what a shard asks. Never waits.
    ///
    /// # Errors
    /// The request itself, when there is no room for it; a write is then counted as dropped.
    pub fn request(&self, from: ShardId, request: StoreRequest) -> Result<(), StoreRequest> {
        match self.queue.try_send(Job::Shard { from, request }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                let Job::Shard { request, .. } = job else { unreachable!("it was one") };
                self.counters.dropped(1);
                Err(request)
            }
        }
    }

    /// All bans that have not ended: of one channel, or those of the whole site.
    ///
    /// # Errors
    /// When there is no answer within `patience`, or the file cannot be read.
    pub fn bans(
        &self,
        channel: Option<String>,
        now_ms: u64,
        patience: Duration,
    ) -> Result<Vec<Ban>, StorageError> {
        self.ask(patience, move |db| bans::list(db, channel.as_deref(), now_ms))
    }

    /// The newest `most` entries of the audit log, newest first; those before `before` when it is given.
    ///
    /// # Errors
    /// As [`Handle::bans`].
    pub fn audit(
        &self,
        before: Option<i64>,
        most: u32,
        patience: Duration,
    ) -> Result<Vec<AuditEntry>, StorageError> {
        self.ask(patience, move |db| audit::newest(db, before, most))
    }

    /// The records of all files that people have sent, oldest first.
    ///
    /// # Errors
    /// As [`Handle::bans`].
    pub fn uploads(&self, patience: Duration) -> Result<Vec<crate::uploads::Record>, StorageError> {
        self.ask(patience, uploads::all)
    }

    /// What the thread has counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read(self.queue.len() as u64, self.queue.capacity().unwrap_or(0) as u64)
    }

    fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let deadline = Instant::now() + patience;
        let (to, answer) = bounded(1);
        let job = Job::Ask(Box::new(move |db| {
            let answer = question(db);
            let failed = answer.is_err();
            // Whoever asked may have stopped waiting.
            let _ = to.send(answer.map_err(|error| worker::failed(&error)));
            !failed
        }));
        self.queue.send_deadline(job, deadline).map_err(|_| StorageError::Busy)?;
        answer.recv_deadline(deadline).map_err(|_| StorageError::Late)?
    }
}
