//! The storage thread: gathers writes into transactions, answers questions, and gets over a disk that refuses.

use super::{
    Replies, Settings, StorageError, Write, channels, counters::Counters, history, retention,
    rooms, users, wall_ms,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::{Connection, ErrorCode};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tutti_shards::{ShardId, StoreReply, StoreRequest};

/// Most writes of one transaction: some 100 ms of work at worst.
const BATCH_MAX: usize = 4_096;
/// How long a disk that refused is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// How often at most it is logged that it refuses.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long the thread sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(60);
/// How often what is over is forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How much of each kind in one transaction; more follows at once.
const PRUNE_MOST: u32 = 1_000;
/// How soon a shard is tried again that had no room for an answer.
const REPLY_RETRY: Duration = Duration::from_millis(1);

/// What the thread is asked to do.
pub(super) enum Job {
    /// With the next batch.
    Write(Write),
    /// At once, and the caller waits until it is on the disk.
    Commit { writes: Vec<Write>, done: Sender<Result<(), StorageError>> },
    /// Answers by itself; whether it could.
    Ask(Box<dyn FnOnce(&Connection) -> bool + Send>),
    /// How answers reach the shards.
    Attach(Box<dyn Replies>),
    /// A shard asks.
    Shard { from: ShardId, request: StoreRequest },
    /// Finish what was asked before, and end.
    Stop,
}

/// Who waits for a batch, if anybody does.
enum Waiting {
    Caller(Sender<Result<(), StorageError>>),
    Shard { shard: ShardId, ticket: u64 },
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
    /// Why the last write was refused.
    refusal: Arc<str>,
    replies: Option<Box<dyn Replies>>,
    /// Answers for which shards had no room, in order.
    undelivered: VecDeque<(ShardId, StoreReply)>,
    prune_at: Instant,
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
            refusal: "".into(),
            replies: None,
            undelivered: VecDeque::new(),
            prune_at: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(self.patience()) {
                Ok(Job::Write(write)) => {
                    self.write(write);
                }
                Ok(Job::Commit { writes, done }) => {
                    let mut made = true;
                    for write in writes {
                        made &= self.write(write);
                    }
                    self.wait(Waiting::Caller(done), made);
                }
                Ok(Job::Shard { from, request }) => self.serve(from, request),
                Ok(Job::Attach(replies)) => self.replies = Some(replies),
                Ok(Job::Ask(question)) => {
                    self.counters.read_one();
                    if !question(&self.db) {
                        self.counters.error();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            self.deliver();
            if self.is_due() {
                self.commit();
            }
            let now = Instant::now();
            if now >= self.prune_at && self.retry_at.is_none_or(|at| now >= at) {
                self.prune();
            }
        }
    }

    /// Does what a shard asks. Questions see what was written before, whether or not it is on the disk yet.
    fn serve(&mut self, from: ShardId, request: StoreRequest) {
        let reply = match request {
            StoreRequest::LoadUser { user } => {
                let found = self.look_up(|db| users::load(db, user)).flatten().map(Box::new);
                let rooms = self.look_up(|db| rooms::belongings(db, user)).unwrap_or_default();
                StoreReply::User { user, found, rooms }
            }
            StoreRequest::LoadRoom { room, history } => {
                let found = self.look_up(|db| rooms::load(db, room, history, wall_ms()));
                let looked = found.is_some();
                StoreReply::Room { room, found: found.flatten().map(Box::new), looked }
            }
            StoreRequest::LoadChannel { channel, history } => {
                let found =
                    self.look_up(|db| channels::load(db, &channel, history, wall_ms())).flatten();
                if found.is_some() {
                    self.write(Write::Revive(channel.clone()));
                }
                StoreReply::Channel { channel, found: found.map(Box::new) }
            }
            StoreRequest::LoadMessages { ticket, channel, page } => {
                let found = self.look_up(|db| history::load(db, &channel, &page)).map(Box::new);
                StoreReply::Messages { ticket, found }
            }
            StoreRequest::Moderate { ticket, .. } => {
                let made = self.write(Write::Core(Box::new(request)));
                return self.wait(Waiting::Shard { shard: from, ticket }, made);
            }
            request => {
                self.write(Write::Core(Box::new(request)));
                return;
            }
        };
        self.undelivered.push_back((from, reply));
    }

    fn look_up<T>(
        &mut self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        self.counters.read_one();
        let answer = question(&self.db);
        if let Err(error) = &answer {
            self.counters.error();
            tracing::debug!(%error, "a question could not be answered");
        }
        answer.ok()
    }

    /// Passes answers on. A shard that has no room gets its own later, and the others do not wait for it.
    fn deliver(&mut self) {
        let Some(replies) = &self.replies else { return };
        for _ in 0..self.undelivered.len() {
            let Some((to, reply)) = self.undelivered.pop_front() else { return };
            if let Err(reply) = replies.reply(to, reply) {
                self.undelivered.push_back((to, reply));
            }
        }
    }

    /// Forgets what is over, a little at a time.
    fn prune(&mut self) {
        let (now_ms, retention) = (wall_ms(), self.settings.retention.clone());
        if self.batch.is_empty() {
            let forgotten = self
                .begin()
                .and_then(|()| retention::prune(&self.db, &retention, now_ms, PRUNE_MOST));
            match forgotten {
                Ok(forgotten) if forgotten.sum() > 0 => {
                    tracing::debug!(?forgotten, "what was over is forgotten");
                    self.commit();
                    self.prune_at = Instant::now() + self.settings.commit;
                }
                Ok(_) => {
                    let trimmed = retention::trim_all(&self.db, &retention);
                    match trimmed {
                        Ok(_) => self.commit(),
                        Err(error) => self.refused(&error),
                    }
                    self.prune_at = Instant::now() + PRUNE_EVERY;
                }
                Err(error) => {
                    self.refused(&error);
                    self.prune_at = Instant::now() + PRUNE_EVERY;
                }
            }
        } else {
            self.prune_at = Instant::now() + self.settings.commit;
        }
    }

    /// How long to wait for the next job.
    fn patience(&self) -> Duration {
        if !self.undelivered.is_empty() {
            return REPLY_RETRY;
        }
        let until = match (self.retry_at, self.open_since) {
            (Some(at), _) if !self.batch.is_empty() => at,
            (Some(at), _) => at.max(self.prune_at),
            (None, Some(since)) => since + self.settings.commit,
            _ => return IDLE.min(self.prune_at.saturating_duration_since(Instant::now())),
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

    /// Who asked for what was just written is told when it is on the disk, or at once that it will not be soon.
    fn wait(&mut self, who: Waiting, made: bool) {
        if made && self.retry_at.is_none() {
            self.waiting.push(who);
        } else {
            self.answer(who, &Err(StorageError::Failed(self.refusal.clone())));
        }
    }

    /// Takes a write into the batch, and makes it in the transaction unless the disk refuses at the moment. Whether it
    /// was made.
    fn write(&mut self, write: Write) -> bool {
        if self.retry_at.is_some() {
            // Kept for when there is room again, up to as much as waits in a full queue.
            if self.batch.len() >= self.settings.queue {
                self.counters.dropped(1);
            } else {
                self.batch.push(write);
            }
            return false;
        }
        match self.begin().and_then(|()| self.apply(&write)) {
            Ok(true) => {
                self.batch.push(write);
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.batch.push(write);
                self.refused(&error);
                false
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
        match write.apply(&self.db, &self.settings.retention) {
            Ok(()) => Ok(true),
            Err(error) if is_of_the_host(&error) => Err(error),
            Err(error) => {
                self.counters.error();
                self.counters.dropped(1);
                self.refusal = error.to_string().into();
                tracing::error!(%error, "a write cannot be made; please report this");
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
                self.answer_all(&Ok(()));
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
        self.refusal = error.to_string().into();
        self.answer_all(&Err(failed(error)));
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

    /// Tells everyone who waits for the batch what became of it.
    fn answer_all(&mut self, outcome: &Result<(), StorageError>) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.answer(waiting, outcome);
        }
        self.deliver();
    }

    fn answer(&mut self, waiting: Waiting, outcome: &Result<(), StorageError>) {
        match waiting {
            // Whoever asked may have stopped waiting.
            Waiting::Caller(done) => drop(done.send(outcome.clone())),
            Waiting::Shard { shard, ticket } => {
                let lasts = outcome.is_ok();
                self.undelivered.push_back((shard, StoreReply::Kept { ticket, lasts }));
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
