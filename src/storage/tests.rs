//! The thread, the file and the tables together.

mod moderation;

use super::*;
use rusqlite::Connection;
use std::{fs, sync::atomic::AtomicU32};
use tutti_shards::UserId;

const SOON: Duration = Duration::from_secs(10);
/// Far ahead, by any clock.
const FAR_MS: u64 = 4_000_000_000_000;

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
        ban("203.0.113.7", None, Some(FAR_MS)),
        ban("2001:db8::/32", None, Some(5_000)),
    ];
    let room = ban(&user, Some("room"), Some(FAR_MS));
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
    let (tell, told) = bounded::<()>(1);
    let held = handle.clone();
    let holder = thread::spawn(move || {
        held.ask(SOON, move |_| {
            tell.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        })
    });
    told.recv().unwrap();
    let deadline = Instant::now() + SOON;
    let mut refused = 0;
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

mod kept {
    //! What the core asks to be kept, through the thread.

    use super::*;
    use crossbeam_channel::{Receiver, unbounded};
    use tutti_shards::{
        ChannelKind, ChannelName, ChatMessage, ChatText, ModerationAct, ModerationKind, Profile,
        Settings, StoredChannel, UserName,
    };

    struct Answers(Sender<StoreReply>);

    impl Replies for Answers {
        fn reply(&self, _: ShardId, reply: StoreReply) -> Result<(), StoreReply> {
            self.0.send(reply).map_err(|error| error.0)
        }
    }

    fn attached(dir: &Dir, retention: Retention) -> (Storage, Receiver<StoreReply>) {
        let db = schema::open(&dir.file()).unwrap();
        let settings = crate::storage::Settings { retention, ..settings() };
        let storage = Storage::start(db, None, Some(&dir.file()), &settings).unwrap();
        let (to, answers) = unbounded();
        storage.handle().attach(Box::new(Answers(to)));
        (storage, answers)
    }

    fn long() -> Retention {
        Retention { history_messages: 1_000, ..settings().retention }
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn profile(n: u8) -> Profile {
        Profile {
            name: UserName::parse("Clara \u{1f3b5}", 40),
            version: 7,
            ..Profile::new(UserId([n; 12]), 1_000)
        }
    }

    fn message(number: u64, text: &str) -> StoreRequest {
        let id = tutti_shards::MessageId(number);
        let message =
            ChatMessage::new(id, wall_ms(), profile(1), ChatText::parse(text, 512).unwrap());
        let message = Box::new(message);
        StoreRequest::SaveMessage { channel: name("room"), number, message, again: false }
    }

    fn ask(storage: &Storage, requests: impl IntoIterator<Item = StoreRequest>) {
        for request in requests {
            let deadline = Instant::now() + SOON;
            let mut request = Some(request);
            while let Some(asked) = request.take() {
                request = storage.handle().request(ShardId(0), asked).err();
                assert!(Instant::now() < deadline, "the thread takes what it is asked");
            }
        }
    }

    fn load(storage: &Storage, answers: &Receiver<StoreReply>) -> Option<Box<StoredChannel>> {
        ask(storage, [StoreRequest::LoadChannel { channel: name("room"), history: 32 }]);
        match answers.recv_timeout(SOON).unwrap() {
            StoreReply::Channel { found, .. } => found,
            other => panic!("{other:?}"),
        }
    }

    fn load_user(storage: &Storage, answers: &Receiver<StoreReply>) -> Option<Box<Profile>> {
        ask(storage, [StoreRequest::LoadUser { user: UserId([1; 12]) }]);
        match answers.recv_timeout(SOON).unwrap() {
            StoreReply::User { found, .. } => found,
            other => panic!("{other:?}"),
        }
    }

    fn room() -> Vec<StoreRequest> {
        let settings = Settings { limit: Some(7), ..Settings::new(ChannelKind::Normal) };
        let (channel, crown) = (name("room"), Some(UserId([1; 12])));
        let save = StoreRequest::SaveChannel { channel, settings: Box::new(settings), crown };
        let mut requests = vec![save];
        requests.extend((1..=12).map(|n| message(n << 32 | 1, &format!("line {n}"))));
        requests
    }

    fn act(kind: ModerationKind) -> StoreRequest {
        let act = ModerationAct {
            channel: name("room"),
            kind,
            user: UserId([2; 12]),
            name: "Guest".into(),
            in_lines: "Guest".into(),
            origin: None,
            by: Some(UserId([1; 12])),
            at_ms: wall_ms(),
        };
        StoreRequest::Moderate { ticket: 5, act: Box::new(act) }
    }

    #[test]
    fn users_and_rooms_are_there_for_the_next_process() {
        let dir = Dir::new();
        let until_ms = wall_ms() + 600_000;
        {
            let (storage, answers) = attached(&dir, long());
            assert!(load(&storage, &answers).is_none() && load_user(&storage, &answers).is_none());
            let user = StoreRequest::SaveUser { profile: Box::new(profile(1)), seen_ms: 5_000 };
            let (first_ms, last_ms) = (500, wall_ms());
            let seen = StoreRequest::SeeUser { user: UserId([1; 12]), first_ms, last_ms };
            ask(&storage, room().into_iter().chain([user, seen]));
            ask(&storage, [act(ModerationKind::Ban { until_ms })]);
            let kept = answers.recv_timeout(SOON).unwrap();
            assert_eq!(kept, StoreReply::Kept { ticket: 5, lasts: true });
        }
        let (storage, answers) = attached(&dir, long());
        let found = load(&storage, &answers).unwrap();
        assert_eq!(found.settings.unwrap().limit, Some(7));
        assert_eq!(found.crown, Some(UserId([1; 12])));
        let bans: Vec<_> = found.bans.iter().map(|ban| (ban.user, ban.until_ms)).collect();
        assert_eq!(bans, [(UserId([2; 12]), until_ms)]);
        let said: Vec<_> = found.history.iter().map(|message| message.text.as_str()).collect();
        assert_eq!((said.len(), said[0], said[11]), (12, "line 1", "line 12"));
        assert_eq!(found.history[0].by.name, profile(1).name);
        let user = load_user(&storage, &answers).unwrap();
        assert_eq!((user.name, user.first_seen_ms), (profile(1).name, 500));
        let log = storage.handle().audit(None, 9, SOON).unwrap();
        assert_eq!((log.len(), log[0].action.as_str()), (1, "ban"));
        assert_eq!(log[0].channel.as_deref(), Some("room"));
        ask(&storage, [act(ModerationKind::Unban)]);
        answers.recv_timeout(SOON).unwrap();
        assert!(load(&storage, &answers).unwrap().bans.is_empty());
    }

    /// Something is edited that is in memory yet and not in the storage, which keeps fewer messages.
    #[test]
    fn what_is_not_kept_any_more_is_not_kept_anew() {
        let dir = Dir::new();
        let (storage, answers) = attached(&dir, settings().retention);
        let edited = |number, text| match message(number, text) {
            StoreRequest::SaveMessage { channel, number, message, .. } => {
                StoreRequest::SaveMessage { channel, number, message, again: true }
            }
            other => panic!("{other:?}"),
        };
        ask(&storage, (1..=64).map(|n| message(n, &format!("line {n}"))));
        ask(&storage, [edited(3, "old"), edited(60, "edited")]);
        let found = load(&storage, &answers).unwrap();
        let said: Vec<_> = found.history.iter().map(|message| message.text.as_str()).collect();
        assert_eq!((said.len(), said[0], said[5], said[9]), (10, "line 55", "edited", "line 64"));
    }

    #[test]
    fn a_room_that_ended_is_forgotten_unless_it_is_to_outlive_itself() {
        for (kept_ms, there) in [(0, false), (60_000, true)] {
            let dir = Dir::new();
            let channel = Duration::from_millis(kept_ms);
            let retention = Retention { channel, ..settings().retention };
            let (storage, answers) = attached(&dir, retention);
            ask(&storage, room());
            let end = StoreRequest::EndChannel { channel: name("room"), at_ms: wall_ms() };
            ask(&storage, [act(ModerationKind::Ban { until_ms: u64::MAX }), end]);
            answers.recv_timeout(SOON).unwrap();
            assert_eq!(load(&storage, &answers).is_some(), there, "{kept_ms} ms");
            let bans = storage.handle().bans(Some("room".to_owned()), 0, SOON).unwrap();
            assert_eq!(!bans.is_empty(), there);
        }
    }

    #[test]
    fn a_room_waits_so_long_after_a_restart() {
        let dir = Dir::new();
        let retention = Retention { restart: Duration::ZERO, ..settings().retention };
        {
            let (storage, _answers) = attached(&dir, retention.clone());
            ask(&storage, room());
        }
        let (storage, answers) = attached(&dir, retention);
        assert!(load(&storage, &answers).is_none(), "nobody came in time");
    }

    #[test]
    fn what_is_over_is_forgotten_and_the_rest_is_not() {
        let dir = Dir::new();
        let (storage, answers) = attached(&dir, long());
        ask(&storage, room());
        load(&storage, &answers);
        drop(storage);
        let db = schema::open(&dir.file()).unwrap();
        let day_ms = 86_400_000;
        let now_ms = wall_ms();
        users::see(&db, UserId([1; 12]), 1, now_ms).unwrap();
        users::see(&db, UserId([2; 12]), 1, now_ms - 2 * day_ms).unwrap();
        bans::insert(&db, &ban("203.0.113.7", None, Some(now_ms - 1))).unwrap();
        bans::insert(&db, &ban("203.0.113.8", None, Some(now_ms + day_ms))).unwrap();
        bans::insert(&db, &ban("203.0.113.9", None, None)).unwrap();
        let retention = Retention { history: Some(Duration::ZERO), ..settings().retention };
        assert_eq!(retention::trim_all(&db, &retention).unwrap(), 2, "ten of twelve may stay");
        let later_ms = now_ms + 10;
        let forgotten = retention::prune(&db, &retention, later_ms, 4).unwrap();
        let expected = Forgotten { messages: 4, users: 1, bans: 1, ..Forgotten::default() };
        assert_eq!(forgotten, expected, "a little at a time");
        let forgotten = retention::prune(&db, &retention, later_ms, 100).unwrap();
        assert_eq!(forgotten, Forgotten { messages: 6, ..Forgotten::default() });
        assert_eq!(retention::prune(&db, &retention, later_ms, 100).unwrap().sum(), 0);
        assert_eq!(bans::list(&db, None, now_ms).unwrap().len(), 2);
    }

    /// Rows as the first programs wrote them: a field that comes later needs a default.
    #[test]
    fn old_rows_are_read() {
        let db = schema::open_memory().unwrap();
        db.execute_batch(include_str!("tests/first_rows.sql")).unwrap();
        let user = users::load(&db, UserId([1; 12])).unwrap().unwrap();
        assert_eq!((user.display_name(), user.first_seen_ms), ("Clara", 1_000));
        let found = channels::load(&db, &name("room"), 32, 0).unwrap().unwrap();
        assert_eq!(found.settings.unwrap().limit, Some(7));
        assert_eq!((found.history.len(), found.history[0].text.as_str()), (1, "hello"));
        assert_eq!(found.history[0].by.display_name(), "Clara");
    }

    #[test]
    fn files_of_the_first_version_are_brought_up_to_date_and_keep_what_they_hold() {
        let dir = Dir::new();
        schema::make_old(&dir.file(), 1);
        let old = Connection::open(dir.file()).unwrap();
        bans::insert(&old, &ban("10.0.0.0/8", None, None)).unwrap();
        drop(old);
        let (storage, answers) = attached(&dir, long());
        assert_eq!(storage.handle().bans(None, 0, SOON).unwrap().len(), 1);
        ask(&storage, room());
        assert!(load(&storage, &answers).is_some());
        drop(storage);
        let db = Connection::open(dir.file()).unwrap();
        assert_eq!(schema::version(&db).unwrap(), schema::VERSION);
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let dir = Dir::new();
        schema::make_old(&dir.file(), 1);
        // In the way of what the second version makes.
        let old = Connection::open(dir.file()).unwrap();
        old.execute_batch("CREATE TABLE messages (x)").unwrap();
        drop(old);
        schema::open(&dir.file()).unwrap_err();
        let db = Connection::open(dir.file()).unwrap();
        assert_eq!(schema::version(&db).unwrap(), 1);
        let made = "SELECT count(*) FROM sqlite_master WHERE name = 'users'";
        assert_eq!(db.query_row(made, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn a_file_that_another_program_holds_is_refused() {
        let dir = Dir::new();
        drop(dir.storage());
        let other = Connection::open(dir.file()).unwrap();
        other.pragma_update(None, "locking_mode", "exclusive").unwrap();
        other.execute_batch("BEGIN IMMEDIATE; DELETE FROM bans; COMMIT").unwrap();
        let error = schema::open(&dir.file()).unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }) && !error.lasts(), "{error}");
        drop(other);
        let other = Connection::open(dir.file()).unwrap();
        let db = schema::open(&dir.file()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = Storage::start(db, None, Some(&dir.file()), &settings()).unwrap_err();
        assert!(
            matches!(error, OpenError::Locked { .. }),
            "written to, which is all it does: {error}"
        );
    }

    #[test]
    fn ten_thousand_hellos_take_seconds() {
        let dir = Dir::new();
        let (storage, answers) = attached(&dir, long());
        let since = Instant::now();
        let user = |n: u32| {
            let mut id = [0; 12];
            id[..4].copy_from_slice(&n.to_be_bytes());
            UserId(id)
        };
        for n in 0..10_000 {
            let (user, first_ms) = (user(n), 1_000_000 + u64::from(n));
            let seen = StoreRequest::SeeUser { user, first_ms, last_ms: wall_ms() };
            ask(&storage, [StoreRequest::LoadUser { user }, seen]);
        }
        for n in 0..10_000 {
            let found = None;
            let expected = StoreReply::User { user: user(n), found, rooms: Vec::new() };
            assert_eq!(answers.recv_timeout(SOON).unwrap(), expected);
        }
        storage.handle().commit(vec![entry("after")], SOON).unwrap();
        let took = since.elapsed();
        println!("10,000 users asked for and kept in {took:?}");
        assert!(took < SOON, "{took:?}");
    }
}
