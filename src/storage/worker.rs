//! The storage thread: gathers writes into transactions, answers questions, and gets over a disk that refuses.

use super::{Settings, StorageError, Write, counters::Counters};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::{Connection, ErrorCode};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Most writes of one transaction: some 100 ms of work at worst.
const BATCH_MAX: usize = 4_096;
/// How long a disk that refused is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// How often at most it is logged that it refuses.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long the thread sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(3_600);

/// What the thread is asked to do.
pub(super) enum Job {
    /// With the next batch.
    Write(Write),
    /// At once, and the caller waits until it is on the disk.
    Commit { writes: Vec<Write>, done: Sender<Result<(), StorageError>> },
    /// Answers by itself; whether it could.
    Ask(Box<dyn FnOnce(&Connection) -> bool + Send>),
    /// Finish what was asked before, and end.
    Stop,
}

/// Who waits for a batch, if anybody does.
enum Waiting {
    Caller(Sender<Result<(), StorageError>>),
}

/// What an error says.
pub(super) fn failed(error: &rusqlite::Error) -> StorageError {
    StorageError::Failed(error.to_string().into())
}

pub(super) struct Worker {
    db: Connection,
    jobs: Receiver<Job>,
    counters: Arc<Counters>,
    settings: Settings,
    /// Writes that are not on the disk: in the open transaction or, while the disk refuses, waiting to be tried again.
    batch: Vec<Write>,
    waiting: Vec<Waiting>,
    /// Since when a transaction is open.
    open_since: Option<Instant>,
    /// When the disk is tried again that refused.
    retry_at: Option<Instant>,
    told_at: Option<Instant>,
    told_dropped: u64,
}

impl Worker {
    pub(super) fn new(
        db: Connection,
        jobs: Receiver<Job>,
        counters: Arc<Counters>,
        settings: Settings,
    ) -> Self {
        Worker {
            db,
            jobs,
            counters,
            settings,
            batch: Vec::new(),
            waiting: Vec::new(),
            open_since: None,
            retry_at: None,
            told_at: None,
            told_dropped: 0,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(self.patience()) {
                Ok(Job::Write(write)) => self.write(write),
                Ok(Job::Commit { writes, done }) => {
                    self.waiting.push(Waiting::Caller(done));
                    writes.into_iter().for_each(|write| self.write(write));
                }
                Ok(Job::Ask(question)) => {
                    self.counters.read_one();
                    if !question(&self.db) {
                        self.counters.error();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            if self.is_due() {
                self.commit();
            }
        }
    }

    /// How long to wait for the next job.
    fn patience(&self) -> Duration {
        let until = match (self.retry_at, self.open_since) {
            (Some(at), _) if !self.batch.is_empty() => at,
            (_, Some(since)) => since + self.settings.commit,
            _ => return IDLE,
        };
        until.saturating_duration_since(Instant::now())
    }

    fn is_due(&self) -> bool {
        if self.batch.is_empty() && self.waiting.is_empty() {
            return false;
        }
        match (self.retry_at, self.open_since) {
            (Some(at), _) => Instant::now() >= at,
            // Nobody waits longer than the disk takes; what has come meanwhile goes along.
            _ if !self.waiting.is_empty() => self.jobs.is_empty() || self.batch.len() >= BATCH_MAX,
            (_, Some(since)) => {
                since.elapsed() >= self.settings.commit || self.batch.len() >= BATCH_MAX
            }
            _ => true,
        }
    }

    /// Takes a write into the batch, and makes it in the transaction unless the disk refuses at the moment.
    fn write(&mut self, write: Write) {
        if self.retry_at.is_some() {
            // Kept for when there is room again, up to as much as waits in a full queue.
            if self.batch.len() >= self.settings.queue {
                self.counters.dropped(1);
            } else {
                self.batch.push(write);
            }
            return self.answer(&StorageError::Failed("the disk refuses at the moment".into()));
        }
        match self.begin().and_then(|()| self.apply(&write)) {
            Ok(true) => self.batch.push(write),
            Ok(false) => {}
            Err(error) => {
                self.batch.push(write);
                self.refused(&error);
            }
        }
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        if self.open_since.is_none() {
            self.db.execute_batch("BEGIN IMMEDIATE")?;
            self.open_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Makes a write; `false` for one that can never be made, which is our bug and costs that one alone.
    fn apply(&mut self, write: &Write) -> rusqlite::Result<bool> {
        match write.apply(&self.db) {
            Ok(()) => Ok(true),
            Err(error) if is_of_the_host(&error) => Err(error),
            Err(error) => {
                self.counters.error();
                self.counters.dropped(1);
                tracing::error!(%error, ?write, "a write cannot be made; please report this");
                Ok(false)
            }
        }
    }

    fn commit(&mut self) {
        let since = Instant::now();
        match self.try_commit() {
            Ok(()) => {
                let us = since.elapsed().as_micros() as u64;
                self.counters.committed(self.batch.len() as u64, us);
                self.batch.clear();
                self.open_since = None;
                for waiting in self.waiting.drain(..) {
                    match waiting {
                        // Whoever asked may have stopped waiting.
                        Waiting::Caller(done) => drop(done.send(Ok(()))),
                    }
                }
                if self.retry_at.take().is_some() {
                    self.counters.set_failing(false);
                    self.told_at = None;
                    tracing::info!("storage works again");
                }
            }
            Err(error) => self.refused(&error),
        }
    }

    fn try_commit(&mut self) -> rusqlite::Result<()> {
        if self.open_since.is_none() {
            // Writes that were refused before, or none that could be made.
            self.begin()?;
            let batch = std::mem::take(&mut self.batch);
            let mut made = Vec::with_capacity(batch.len());
            let mut failed = None;
            for write in batch {
                match failed.is_none().then(|| self.apply(&write)) {
                    Some(Ok(false)) => {}
                    Some(Err(error)) => {
                        failed = Some(error);
                        made.push(write);
                    }
                    _ => made.push(write),
                }
            }
            self.batch = made;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        self.db.execute_batch("COMMIT")
    }

    /// The disk refused: the batch is kept and tried again, and whoever waits is told.
    fn refused(&mut self, error: &rusqlite::Error) {
        self.counters.error();
        self.counters.set_failing(true);
        // Some errors have ended the transaction already.
        if !self.db.is_autocommit() {
            let _ = self.db.execute_batch("ROLLBACK");
        }
        self.open_since = None;
        let now = Instant::now();
        self.retry_at = Some(now + RETRY);
        self.answer(&failed(error));
        if self.told_at.is_none_or(|at| now >= at + TOLD_EVERY) {
            let dropped = self.counters.dropped_so_far();
            tracing::warn!(
                %error,
                waiting = self.batch.len(),
                dropped = dropped - self.told_dropped,
                "cannot write to the data folder; serving goes on, and what is not kept is lost at a restart. See \
                 that the disk has room and the folder is writable"
            );
            self.told_at = Some(now);
            self.told_dropped = dropped;
        }
    }

    fn answer(&mut self, error: &StorageError) {
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Caller(done) => drop(done.send(Err(error.clone()))),
            }
        }
    }

    /// The last commit, and the log into the file, so that the file alone is all there is.
    fn finish(mut self) {
        if !self.batch.is_empty() || !self.waiting.is_empty() {
            self.commit();
            if !self.batch.is_empty() {
                tracing::warn!(writes = self.batch.len(), "ended with writes that were not kept");
            }
        }
        if let Err(error) = self.db.pragma(None, "wal_checkpoint", "truncate", |_| Ok(())) {
            tracing::debug!(%error, "the log stays beside the file");
        }
    }
}

/// Whether the disk or the system refused, and may not another time; anything else is a bug of ours.
fn is_of_the_host(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        None | Some(
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::ApiMisuse
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::Unknown
        )
    )
}
