//! The thread, and how it is asked.

use super::{
    Answer, Asker, Fault, Record, Records, Request, Settings,
    store::{Gauges, Store},
};
use crate::storage::{self, StorageError, Write, wall_ms};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tutti_shards::{AttachmentNews, UploadId};

/// How often it is looked what was kept long enough.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon a shard is tried again that had no room for an answer.
const ANSWER_RETRY: Duration = Duration::from_millis(1);
/// How long the database may take to write a record, and to read all of them.
const KEEP_PATIENCE: Duration = Duration::from_secs(10);
const LOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Why uploads cannot be offered. The operator or the host is at fault.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("cannot use {} for uploads: {source} (uploads.folder; uploads.enabled = false goes without)", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The records cannot be read.
    #[error("cannot read the records of uploads: {0}")]
    Records(#[from] StorageError),
    /// The thread cannot be started.
    #[error("cannot start the thread of uploads: {0}")]
    Thread(io::Error),
}

/// How answers reach the shards.
pub trait Answers: Send {
    /// Passes an answer on. Never waits.
    ///
    /// # Errors
    /// The answer itself, when the shard has no room for it at the moment.
    fn answer(&self, to: Asker, answer: Answer) -> Result<(), Answer>;
}

enum Job {
    Ask(Asker, Request),
    News(AttachmentNews),
    Stop,
}

/// The uploads of a running server. Dropping it ends the thread after what was asked before.
#[derive(Debug)]
pub struct Uploads {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Speaks to the thread. Can be cloned and used from any thread.
///
/// What waits for it is bounded by those who ask: one piece for each stream of an upload or download.
#[derive(Clone, Debug)]
pub struct Handle {
    queue: Sender<Job>,
    counters: Arc<Counters>,
    bytes_max: u64,
}

/// What the thread has counted, and what is there now.
#[derive(Debug, Default)]
pub(super) struct Counters {
    files: AtomicU64,
    unseen: AtomicU64,
    bytes: AtomicU64,
    live: AtomicU64,
    interrupted: AtomicU64,
    expired: AtomicU64,
    kept: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    opened: AtomicU64,
    not_opened: AtomicU64,
    refused: [AtomicU64; Fault::ALL.len()],
}

/// What there is, and what was done since the start.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Files that are kept.
    pub files: u64,
    /// Of these, those that no message shows.
    pub unseen: u64,
    /// What files and uploads on their way count against the limit, bytes.
    pub bytes: u64,
    /// That limit, bytes.
    pub bytes_max: u64,
    /// Uploads on their way.
    pub live: u64,
    /// Uploads whose connections were lost, and that can be gone on with.
    pub interrupted: u64,
    /// What waits for the thread.
    pub waiting: u64,
    /// Files that went when their time was over.
    pub expired: u64,
    /// Uploads that were completed.
    pub kept: u64,
    /// Bytes of pieces that came.
    pub received_bytes: u64,
    /// Bytes of pieces that were read for downloads.
    pub sent_bytes: u64,
    /// Requests over HTTP whose address was right.
    pub opened: u64,
    /// Requests over HTTP whose address was not, or is not any more.
    pub not_opened: u64,
    /// Uploads that were refused or given up, by the word of the fault.
    pub refused: Vec<(&'static str, u64)>,
}

impl Uploads {
    /// Opens the folder and starts the thread.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn start(
        settings: Settings,
        storage: &storage::Handle,
        answers: Box<dyn Answers>,
    ) -> Result<Self, OpenError> {
        let known = storage.uploads(LOAD_PATIENCE)?;
        let (path, bytes_max) = (settings.folder.clone(), settings.total_bytes_max);
        let store = Store::open(settings, Kept(storage.clone()), known, wall_ms())
            .map_err(|source| OpenError::Folder { path, source })?;
        let (queue, jobs) = unbounded();
        let counters = Arc::new(Counters::default());
        let worker = Worker {
            store,
            jobs,
            answers,
            counters: counters.clone(),
            unanswered: VecDeque::new(),
            look_at: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("tutti-uploads".to_owned())
            .spawn(move || worker.run())
            .map_err(OpenError::Thread)?;
        Ok(Uploads { handle: Handle { queue, counters, bytes_max }, thread: Some(thread) })
    }

    /// Speaks to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        let _ = self.handle.queue.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process.
            let _ = thread.join();
        }
    }
}

impl Handle {
    /// Takes what a session asks. Never waits.
    pub fn ask(&self, asker: Asker, request: Request) {
        // It ends after the shards.
        let _ = self.queue.send(Job::Ask(asker, request));
    }

    /// Takes what became of files. Never waits.
    pub fn news(&self, news: AttachmentNews) {
        let _ = self.queue.send(Job::News(news));
    }

    /// What there is, and what was done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let refused = Fault::ALL.iter().zip(&counters.refused);
        Counts {
            files: read(&counters.files),
            unseen: read(&counters.unseen),
            bytes: read(&counters.bytes),
            bytes_max: self.bytes_max,
            live: read(&counters.live),
            interrupted: read(&counters.interrupted),
            waiting: self.queue.len() as u64,
            expired: read(&counters.expired),
            kept: read(&counters.kept),
            received_bytes: read(&counters.received_bytes),
            sent_bytes: read(&counters.sent_bytes),
            opened: read(&counters.opened),
            not_opened: read(&counters.not_opened),
            refused: refused.map(|(fault, count)| (fault.word(), read(count))).collect(),
        }
    }
}

/// Records in the server's database.
#[derive(Debug)]
struct Kept(storage::Handle);

impl Records for Kept {
    fn keep(&mut self, record: &Record) -> Result<(), Fault> {
        let write = Write::Upload(Box::new(record.clone()));
        self.0.commit(vec![write], KEEP_PATIENCE).map_err(|error| {
            tracing::warn!(%error, "cannot write down an upload");
            Fault::Disk
        })
    }

    fn change(&mut self, record: &Record) {
        // One that is lost says that nobody sees the file: it then goes early.
        let _ = self.0.write(Write::Upload(Box::new(record.clone())));
    }

    fn forget(&mut self, id: UploadId) {
        let _ = self.0.write(Write::ForgetUpload(id));
    }
}

struct Worker {
    store: Store<Kept>,
    jobs: Receiver<Job>,
    answers: Box<dyn Answers>,
    counters: Arc<Counters>,
    /// Answers for which shards had no room, in order.
    unanswered: VecDeque<(Asker, Answer)>,
    look_at: Instant,
}

impl Worker {
    fn run(mut self) {
        self.show();
        loop {
            if Instant::now() >= self.look_at {
                self.store.expire(wall_ms());
                self.show();
                self.look_at = Instant::now() + LOOK_EVERY;
            }
            let patience = if self.unanswered.is_empty() { LOOK_EVERY } else { ANSWER_RETRY };
            match self.jobs.recv_timeout(patience) {
                Ok(Job::Ask(asker, request)) => {
                    let answer = self.handle(asker, request);
                    // Before anybody is answered, so that who was answered finds it counted.
                    self.show();
                    // Whoever had an upload before hears of it before anything else about it.
                    while let Some((before, upload)) = self.store.next_lost() {
                        self.unanswered.push_back((before, Answer::TakenOver(upload)));
                    }
                    if let Some(answer) = answer {
                        self.unanswered.push_back((asker, answer));
                    }
                }
                Ok(Job::News(news)) => {
                    self.store.news(&news, wall_ms());
                    self.show();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some((asker, answer)) = self.unanswered.pop_front() {
                if let Err(answer) = self.answers.answer(asker, answer) {
                    self.unanswered.push_front((asker, answer));
                    break;
                }
            }
        }
    }

    fn show(&self) {
        let Gauges { files, unseen, used, live, interrupted, expired } = self.store.gauges();
        let counters = &self.counters;
        for (counter, value) in [
            (&counters.files, files as u64),
            (&counters.unseen, unseen as u64),
            (&counters.bytes, used),
            (&counters.live, live as u64),
            (&counters.interrupted, interrupted as u64),
            (&counters.expired, expired),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
    }

    fn handle(&mut self, asker: Asker, request: Request) -> Option<Answer> {
        let (store, now_ms) = (&mut self.store, wall_ms());
        let add = |counter: &AtomicU64, by: usize| counter.fetch_add(by as u64, Ordering::Relaxed);
        let answer = match request {
            // What was on its way when a newer connection took the upload over.
            Request::Chunk { upload, .. } if !store.is_of(upload, asker) => {
                Answer::Taken(Err(Fault::Gone))
            }
            Request::Complete(upload) if !store.is_of(upload, asker) => {
                Answer::Kept(Err(Fault::Gone))
            }
            Request::Cancel(upload) | Request::Interrupt(upload) if !store.is_of(upload, asker) => {
                return None;
            }
            Request::Start(start) => Answer::Started(store.start(asker, start, now_ms)),
            Request::Chunk { upload, offset, data } => {
                add(&self.counters.received_bytes, data.len());
                Answer::Taken(store.chunk(upload, offset, &data))
            }
            Request::Complete(upload) => {
                let kept = store.complete(upload, now_ms).map(Box::new);
                add(&self.counters.kept, usize::from(kept.is_ok()));
                Answer::Kept(kept)
            }
            Request::Cancel(upload) => {
                store.cancel(upload);
                return None;
            }
            Request::Interrupt(upload) => {
                store.interrupt(upload, now_ms);
                return None;
            }
            Request::Claim { user, room, uploads } => {
                Answer::Claimed(store.claim(user, room, &uploads, now_ms))
            }
            Request::Find(upload) => Answer::Found(store.find(upload).map(Box::new)),
            Request::Open { upload, secret } => {
                let found = store.open_link(upload, secret);
                let counters = &self.counters;
                add(if found.is_some() { &counters.opened } else { &counters.not_opened }, 1);
                Answer::Opened(found.map(Box::new))
            }
            Request::Read { upload, offset } => {
                let piece = store.read(upload, offset);
                add(&self.counters.sent_bytes, piece.as_ref().map_or(0, Vec::len));
                Answer::Piece(piece)
            }
        };
        let fault = match &answer {
            Answer::Started(Err(fault)) | Answer::Taken(Err(fault)) | Answer::Kept(Err(fault)) => {
                Some(*fault)
            }
            _ => None,
        };
        if let Some(at) = fault.and_then(|fault| Fault::ALL.iter().position(|one| *one == fault)) {
            add(&self.counters.refused[at], 1);
        }
        Some(answer)
    }
}
