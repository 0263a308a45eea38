//! What the storage thread counts, for metrics.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Upper ends of the buckets for commit times, microseconds.
pub const COMMIT_BUCKETS_US: [u64; 8] =
    [500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 5_000_000];

/// Written by the thread (`dropped` by those whose writes it has no room for), read by whoever asks.
#[derive(Debug)]
pub(super) struct Counters {
    path: Option<PathBuf>,
    batches: AtomicU64,
    writes: AtomicU64,
    reads: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
    failing: AtomicBool,
    commit_us: AtomicU64,
    /// Commits by how long they took: the last is for those longer than any end.
    commits: [AtomicU64; COMMIT_BUCKETS_US.len() + 1],
}

/// What was counted.
#[derive(Clone, Default, Debug)]
#[allow(missing_docs, reason = "each is explained where it is shown")]
pub struct Counts {
    pub queued: u64,
    pub queue_max: u64,
    pub batches: u64,
    pub writes: u64,
    pub reads: u64,
    pub errors: u64,
    pub dropped: u64,
    pub failing: bool,
    pub commit_us: u64,
    /// Commits by how long they took, see [`COMMIT_BUCKETS_US`]; the last is for those that took longer.
    pub commits: [u64; COMMIT_BUCKETS_US.len() + 1],
    /// Bytes of the file and of its log; `None` with `data = "memory"`.
    pub file_bytes: Option<u64>,
}

impl Counters {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Counters {
            path,
            batches: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            commit_us: AtomicU64::new(0),
            commits: [const { AtomicU64::new(0) }; COMMIT_BUCKETS_US.len() + 1],
        }
    }

    pub(super) fn committed(&self, writes: u64, us: u64) {
        self.batches.fetch_add(1, Relaxed);
        self.writes.fetch_add(writes, Relaxed);
        self.commit_us.fetch_add(us, Relaxed);
        let bucket = COMMIT_BUCKETS_US.iter().position(|&end| us <= end);
        self.commits[bucket.unwrap_or(COMMIT_BUCKETS_US.len())].fetch_add(1, Relaxed);
    }

    pub(super) fn read_one(&self) {
        self.reads.fetch_add(1, Relaxed);
    }

    pub(super) fn error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self, writes: u64) {
        self.dropped.fetch_add(writes, Relaxed);
    }

    pub(super) fn dropped_so_far(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(super) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Relaxed);
    }

    pub(super) fn read(&self, queued: u64, queue_max: u64) -> Counts {
        let mut commits = [0; COMMIT_BUCKETS_US.len() + 1];
        for (count, counter) in commits.iter_mut().zip(&self.commits) {
            *count = counter.load(Relaxed);
        }
        let bytes = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.len());
        Counts {
            queued,
            queue_max,
            batches: self.batches.load(Relaxed),
            writes: self.writes.load(Relaxed),
            reads: self.reads.load(Relaxed),
            errors: self.errors.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            failing: self.failing.load(Relaxed),
            commit_us: self.commit_us.load(Relaxed),
            commits,
            file_bytes: self.path.as_ref().map(|path| {
                let mut log = path.clone().into_os_string();
                log.push("-wal");
                bytes(path.clone()) + bytes(log.into())
            }),
        }
    }
}
