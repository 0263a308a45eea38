//! The thread, the file and the tables together.

use super::*;
use rusqlite::Connection;
use std::{fs, sync::atomic::AtomicU32};
use tutti_shards::UserId;

const SOON: Duration = Duration::from_secs(10);

/// A folder that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tutti-storage-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    fn storage(&self) -> Storage {
        let db = schema::open(&self.file()).unwrap();
        Storage::start(db, None, Some(&self.file()), &settings()).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings() -> Settings {
    let retention = Retention {
        history_messages: 10,
        history: Some(Duration::from_secs(86_400)),
        users: Some(Duration::from_secs(86_400)),
        audit: None,
        channel: Duration::ZERO,
        restart: Duration::from_secs(60),
    };
    Settings { queue: 64, commit: Duration::from_millis(50), retention }
}

fn memory() -> Storage {
    Storage::start(schema::open_memory().unwrap(), None, None, &settings()).unwrap()
}

fn ban(target: &str, channel: Option<&str>, until_ms: Option<u64>) -> Ban {
    Ban {
        channel: channel.map(str::to_owned),
        target: target.parse().unwrap(),
        reason: "spam".to_owned(),
        moderator: "operator".to_owned(),
        since_ms: 1_000,
        until_ms,
    }
}

fn entry(action: &str) -> Write {
    let (at_ms, action) = (7, action.to_owned());
    Write::Audit(Box::new(AuditEntry { at_ms, action, ..AuditEntry::default() }))
}

#[test]
fn confirmed_bans_are_there_for_the_next_process() {
    let dir = Dir::new();
    let user = UserId([0xab; 12]).to_string();
    let site = [
        ban(&user, None, None),
        ban("203.0.113.7", None, Some(9_000)),
        ban("2001:db8::/32", None, Some(5_000)),
    ];
    let room = ban(&user, Some("room"), Some(9_000));
    {
        let storage = dir.storage();
        let writes = site.iter().chain([&room]).map(|ban| Write::Ban(Box::new(ban.clone())));
        storage.handle().commit(writes.collect(), SOON).unwrap();
        // What is on the disk is what another connection sees, whatever becomes of this one.
        let bytes = fs::read(dir.0.join("tutti.db-wal")).unwrap();
        assert!(!bytes.is_empty(), "the log holds it");
    }
    let storage = dir.storage();
    let handle = storage.handle();
    assert_eq!(handle.bans(None, 5_000, SOON).unwrap(), site[..2], "one has ended");
    assert_eq!(handle.bans(Some("room".to_owned()), 5_000, SOON).unwrap(), [room]);
    assert!(handle.bans(Some("another".to_owned()), 0, SOON).unwrap().is_empty());
}

#[test]
fn a_target_has_one_ban_in_a_place_and_can_be_let_in_again() {
    let storage = memory();
    let handle = storage.handle();
    let (first, second) = (ban("10.0.0.0/8", None, Some(5)), ban("10.0.0.0/8", None, None));
    let elsewhere = ban("10.0.0.0/8", Some("room"), None);
    let writes =
        [&first, &elsewhere, &second].map(|ban| Write::Ban(Box::new(ban.clone()))).to_vec();
    handle.commit(writes, SOON).unwrap();
    let target = second.target;
    assert_eq!(handle.bans(None, 0, SOON).unwrap(), [second]);
    let lift = Write::Lift { channel: None, target };
    handle.commit(vec![lift], SOON).unwrap();
    assert!(handle.bans(None, 0, SOON).unwrap().is_empty());
    assert_eq!(handle.bans(Some("room".to_owned()), 0, SOON).unwrap(), [elsewhere]);
}

#[test]
fn targets_are_read_as_they_are_written() {
    for text in ["abababababababababababab", "203.0.113.7", "2001:db8::1", "2001:db8::/32"] {
        assert_eq!(text.parse::<BanTarget>().unwrap().to_string(), text);
    }
    let target = |text: &str| text.parse::<BanTarget>().map(|target| target.to_string());
    assert_eq!(target("::ffff:203.0.113.7").unwrap(), "203.0.113.7");
    assert_eq!(target("203.0.113.7/24").unwrap(), "203.0.113.0/24");
    for bad in ["", "somebody", "203.0.113.7/33", "ABABABABABABABABABABABAB", "::1/129"] {
        assert_eq!(target(bad), Err(NO_TARGET), "{bad}");
    }
}

const NO_TARGET: bans::NoTarget = bans::NoTarget;

#[test]
fn the_audit_log_is_numbered_and_only_appended_to() {
    let dir = Dir::new();
    let storage = dir.storage();
    let handle = storage.handle();
    handle.commit(vec![entry("one"), entry("two"), entry("three")], SOON).unwrap();
    let log = handle.audit(None, 2, SOON).unwrap();
    let shown: Vec<_> = log.iter().map(|entry| (entry.id, entry.action.as_str())).collect();
    assert_eq!(shown, [(3, "three"), (2, "two")]);
    assert_eq!(handle.audit(Some(2), 10, SOON).unwrap().len(), 1);
    drop(storage);
    let db = Connection::open(dir.file()).unwrap();
    let error = db.execute("UPDATE audit SET action = 'x'", []).unwrap_err();
    assert!(error.to_string().contains("only appended to"), "{error}");
}

#[test]
fn writes_nobody_waits_for_are_committed_together_and_soon() {
    let dir = Dir::new();
    let storage = dir.storage();
    let handle = storage.handle();
    for _ in 0..20 {
        handle.write(entry("batched")).unwrap();
    }
    let other = Connection::open(dir.file()).unwrap();
    let seen =
        || -> i64 { other.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap() };
    let deadline = Instant::now() + SOON;
    while seen() < 20 {
        assert!(Instant::now() < deadline, "they are committed without another word");
        thread::sleep(Duration::from_millis(5));
    }
    let counts = handle.counts();
    assert_eq!((counts.writes, counts.dropped, counts.errors), (20, 0, 0));
    assert!(counts.batches <= 3, "{} transactions", counts.batches);
    assert_eq!(counts.commits.iter().sum::<u64>(), counts.batches);
    assert!(counts.file_bytes.unwrap() > 0);
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let dir = Dir::new();
    let storage = dir.storage();
    let handle = storage.handle();
    let (go, wait) = bounded::<()>(1);
    let held = handle.clone();
    let holder = thread::spawn(move || {
        held.ask(SOON, move |_| {
            wait.recv().unwrap();
            Ok(())
        })
    });
    let deadline = Instant::now() + SOON;
    let mut refused = 0;
    // The thread takes one at most before it is held up.
    while refused == 0 {
        assert!(Instant::now() < deadline, "the queue is bounded");
        refused += u64::from(handle.write(entry("many")) == Err(StorageError::Busy));
    }
    assert_eq!(handle.commit(vec![entry("x")], Duration::ZERO), Err(StorageError::Busy));
    assert_eq!(handle.counts().dropped, refused);
    go.send(()).unwrap();
    holder.join().unwrap().unwrap();
    handle.commit(vec![entry("x")], SOON).unwrap();
}

#[test]
fn a_refusing_disk_is_tried_again_and_nothing_that_waits_is_lost() {
    let dir = Dir::new();
    let storage = dir.storage();
    let handle = storage.handle();
    handle.commit(vec![entry("before")], SOON).unwrap();
    // No page more than it has: the file is full.
    let limit = |pages: i64| {
        handle.ask(SOON, move |db| db.pragma_update(None, "max_page_count", pages)).unwrap();
    };
    limit(1);
    let long = |n: usize| {
        let details = "x".repeat(10_000);
        let entry = AuditEntry { details, action: n.to_string(), ..AuditEntry::default() };
        Write::Audit(Box::new(entry))
    };
    let refused = handle.commit((0..40).map(long).collect(), SOON);
    assert!(matches!(refused, Err(StorageError::Failed(_))), "{refused:?}");
    assert!(handle.counts().failing && handle.counts().errors > 0);
    assert_eq!(handle.audit(None, 100, SOON).unwrap().len(), 1, "questions are still answered");
    let kept = handle.commit(vec![entry("meanwhile")], SOON);
    assert!(matches!(kept, Err(StorageError::Failed(_))), "nobody waits for a disk that refuses");
    limit(100_000);
    let deadline = Instant::now() + SOON;
    while handle.counts().failing {
        assert!(Instant::now() < deadline, "it recovers by itself");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(handle.audit(None, 100, SOON).unwrap().len(), 42);
    assert_eq!(handle.counts().dropped, 0);
}

#[test]
fn files_of_others_newer_ones_and_damaged_ones_are_refused_and_left_alone() {
    let dir = Dir::new();
    drop(dir.storage());
    let db = Connection::open(dir.file()).unwrap();
    db.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(db);
    let error = schema::open(&dir.file()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { .. }) && error.lasts(), "{error}");

    fs::write(dir.file(), "this is no database, however long it is".repeat(100)).unwrap();
    let before = fs::read(dir.file()).unwrap();
    let error = schema::open(&dir.file()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }) && error.lasts(), "{error}");
    assert_eq!(fs::read(dir.file()).unwrap(), before);

    fs::remove_file(dir.file()).unwrap();
    Connection::open(dir.file()).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let error = schema::open(&dir.file()).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }) && error.lasts(), "{error}");
}

#[test]
fn damage_inside_is_found_at_the_start() {
    let dir = Dir::new();
    {
        let storage = dir.storage();
        let entries = (0..500).map(|_| entry("something to be read")).collect();
        storage.handle().commit(entries, SOON).unwrap();
    }
    let mut bytes = fs::read(dir.file()).unwrap();
    let from = bytes.len() / 2;
    bytes[from..from + 8_192].fill(0xa5);
    fs::write(dir.file(), bytes).unwrap();
    let error = schema::open(&dir.file()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
}
