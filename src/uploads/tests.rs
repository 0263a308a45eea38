//! The store with a folder of its own, and records in memory.

use super::{
    store::{Gauges, Store},
    *,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicU32, Ordering},
};
use tutti_shards::{AttachmentNews, MessageId};

const NOW: u64 = 1_800_000_000_000;
const ANN: UserId = UserId([1; 12]);
const BEN: UserId = UserId([2; 12]);
const ROOM: RoomId = RoomId(7);
/// A stream of some connection.
const BY: Asker = by(1, 2);

const fn by(conn: u32, stream: u64) -> Asker {
    let conn = ConnKey { slot: conn, generation: 1 };
    Asker { shard: ShardId(0), line: Line::Stream(conn, StreamId(stream)) }
}

/// A folder that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Dir(std::env::temp_dir().join(format!("tutti-uploads-{}-{n}", std::process::id())))
    }

    /// The names of its files.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug, Default)]
struct Written {
    records: BTreeMap<UploadId, Record>,
    refuses: bool,
}

impl Records for Written {
    fn keep(&mut self, record: &Record) -> Result<(), Fault> {
        if self.refuses {
            return Err(Fault::Disk);
        }
        self.records.insert(record.id, record.clone());
        Ok(())
    }

    fn change(&mut self, record: &Record) {
        self.records.insert(record.id, record.clone());
    }

    fn forget(&mut self, id: UploadId) {
        self.records.remove(&id);
    }
}

fn settings(dir: &Dir) -> Settings {
    Settings {
        folder: dir.0.clone(),
        file_bytes_max: 1 << 20,
        user_bytes_max: 4 << 20,
        total_bytes_max: 8 << 20,
        at_once_max: 3,
        per_connection_max: 2,
        stall: Duration::from_secs(30),
        unattached: Duration::from_secs(600),
        attached: Duration::from_secs(86_400),
        public_url: None,
    }
}

fn open(dir: &Dir, change: impl FnOnce(&mut Settings)) -> Store<Written> {
    let mut settings = settings(dir);
    change(&mut settings);
    Store::open(settings, Written::default(), Vec::new(), NOW).unwrap()
}

fn about(user: UserId, data: &[u8]) -> Box<Start> {
    let checksum: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    Box::new(Start {
        user,
        room: ROOM,
        name: "notes.txt".into(),
        mime: "text/plain".into(),
        size: data.len() as u64,
        checksum: checksum.into(),
    })
}

/// A whole upload.
fn put(store: &mut Store<Written>, user: UserId, data: &[u8]) -> Result<UploadId, Fault> {
    let (id, at) = store.start(BY, about(user, data), NOW)?;
    if at < data.len() as u64 {
        store.chunk(id, at, &data[at as usize..])?;
    }
    store.complete(id, NOW).map(|attachment| attachment.id)
}

/// How many files there are, what they cost, and how many are on their way.
fn of(store: &Store<Written>) -> (usize, u64, usize) {
    store.verify();
    let gauges = store.gauges();
    (gauges.files, gauges.used, gauges.live)
}

fn show(store: &mut Store<Written>, id: UploadId, message: u64) {
    let news = AttachmentNews::Shown { message: MessageId(message), uploads: vec![id] };
    store.news(&news, NOW);
}

#[test]
fn a_file_is_kept_under_its_number_and_read_in_pieces() {
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    let data: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let (id, at) = store.start(BY, about(ANN, &data), NOW).unwrap();
    assert_eq!(at, 0);
    assert_eq!(store.chunk(id, 0, &data[..70_000]), Ok(70_000));
    assert_eq!(dir.names(), [format!("{:016x}.part", id.0)]);
    assert_eq!(store.chunk(id, 70_000, &data[70_000..]), Ok(200_000));
    let attachment = store.complete(id, NOW).unwrap();
    assert_eq!((&*attachment.name, attachment.size), ("notes.txt", 200_000));
    assert_eq!(*attachment.url, *format!("garou:u/{}", id.0));
    assert_eq!(dir.names(), [format!("{:016x}", id.0)]);
    assert_eq!((store.find(id), store.read(id, 0)), (None, None), "nobody sees it yet");
    show(&mut store, id, 1);
    assert_eq!(store.find(id), Some((ROOM, attachment)));
    let (mut got, mut at) = (Vec::new(), 0);
    while let Some(piece) = store.read(id, at) {
        assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES_MAX);
        at += piece.len() as u64;
        got.extend(piece);
    }
    assert_eq!(got, data);
    assert_eq!(store.read(id, 199_999).as_deref(), Some(&data[199_999..]));
    assert_eq!((store.read(id, 200_001), store.read(id, u64::MAX)), (None, None));
    assert!(put(&mut store, ANN, b"").is_ok(), "an empty file is a file");
}

/// What the address of a file has behind the base.
fn secret(url: &str, id: UploadId) -> Secret {
    let rest = url.strip_prefix(&format!("https://files.example/u/{}-", id.0)).unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

#[test]
fn an_address_opens_its_file_while_a_message_shows_it() {
    let dir = Dir::new();
    let on_the_web =
        |settings: &mut Settings| settings.public_url = Some("https://files.example".into());
    let mut store = open(&dir, on_the_web);
    let start = Box::new(Start { name: "a b/\u{e4}?.txt".into(), ..*about(ANN, b"hello") });
    let (id, _) = store.start(BY, start, NOW).unwrap();
    store.chunk(id, 0, b"hello").unwrap();
    let kept = store.complete(id, NOW).unwrap();
    assert!(kept.url.ends_with("/a%20b%2F%C3%A4%3F.txt"), "{}", kept.url);
    let right = secret(&kept.url, id);
    assert_eq!(store.open_link(id, right), None, "nobody sees it yet");
    show(&mut store, id, 1);
    assert_eq!(store.open_link(id, right), Some(kept.clone()));
    assert_eq!(store.open_link(id, Secret::draw()), None);
    let other = put(&mut store, ANN, b"other").unwrap();
    show(&mut store, other, 2);
    assert_eq!(store.open_link(other, right), None, "each has a secret of its own");
    let (part, _) = store.start(BY, about(BEN, b"half"), NOW).unwrap();
    store.chunk(part, 0, b"ha").unwrap();
    assert_eq!(store.open_link(part, right), None, "not complete");
    // It stays over a restart; a record of an older server gets one, for ever.
    let mut known: Vec<Record> = store.records.records.values().cloned().collect();
    let old = known.iter_mut().find(|record| record.id == other).unwrap();
    old.secret = None;
    let json = serde_json::to_string(old).unwrap().replace(",\"secret\":null", "");
    assert!(!json.contains("secret"));
    *old = serde_json::from_str(&json).unwrap();
    drop(store);
    let mut settings = settings(&dir);
    on_the_web(&mut settings);
    let mut store = Store::open(settings, Written::default(), known, NOW).unwrap();
    assert_eq!(store.open_link(id, right), Some(kept));
    let url = store.find(other).unwrap().1.url;
    assert!(store.open_link(other, secret(&url, other)).is_some());
    assert_eq!(store.records.records[&other].secret, Some(secret(&url, other)));
    let gone = AttachmentNews::Gone { message: MessageId(1), uploads: vec![id] };
    store.news(&gone, NOW);
    assert_eq!(store.open_link(id, right), None, "it was deleted");
}

#[test]
fn what_is_not_as_announced_leaves_nothing() {
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    let begin = |store: &mut Store<Written>| store.start(BY, about(ANN, b"hello"), NOW).unwrap().0;
    let id = begin(&mut store);
    assert_eq!(store.chunk(id, 1, b"x"), Err(Fault::Offset));
    assert_eq!(store.chunk(id, 0, b"x"), Err(Fault::Gone));
    let id = begin(&mut store);
    assert_eq!(store.chunk(id, 0, b"hello!"), Err(Fault::Size));
    let id = begin(&mut store);
    assert_eq!(store.chunk(id, 0, b"hell"), Ok(4));
    assert_eq!(store.complete(id, NOW), Err(Fault::Size));
    let id = begin(&mut store);
    assert_eq!(store.chunk(id, 0, b"hallo"), Ok(5));
    assert_eq!(store.complete(id, NOW), Err(Fault::Checksum));
    let id = begin(&mut store);
    assert_eq!(store.chunk(id, 0, b"hel"), Ok(3));
    store.cancel(id);
    store.records.refuses = true;
    assert_eq!(put(&mut store, ANN, b"hello"), Err(Fault::Disk), "its record is not kept");
    assert_eq!(dir.names(), [""; 0]);
    assert_eq!(of(&store), (0, 0, 0));
    assert!(store.records.records.is_empty());
}

#[test]
fn only_its_sender_may_show_it_in_its_room() {
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    let (one, two) = (put(&mut store, ANN, b"1").unwrap(), put(&mut store, ANN, b"2").unwrap());
    let ids = |found: Option<Vec<Attachment>>| -> Option<Vec<UploadId>> {
        Some(found?.into_iter().map(|attachment| attachment.id).collect())
    };
    assert_eq!(ids(store.claim(ANN, ROOM, &[two, one, two], NOW)), Some(vec![two, one]));
    assert_eq!(store.claim(BEN, ROOM, &[one], NOW), None);
    assert_eq!(store.claim(ANN, RoomId(8), &[one], NOW), None);
    assert_eq!(store.claim(ANN, ROOM, &[one, UploadId(1)], NOW), None);
}

#[test]
fn files_go_with_their_message_their_room_and_their_time() {
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    let ids: Vec<UploadId> = (0..4).map(|n| put(&mut store, ANN, &[n]).unwrap()).collect();
    show(&mut store, ids[0], 1);
    show(&mut store, ids[1], 2);
    show(&mut store, ids[1], 3);
    let gone = |message| AttachmentNews::Gone { message: MessageId(message), uploads: ids.clone() };
    store.news(&gone(1), NOW);
    store.news(&gone(2), NOW);
    assert_eq!(
        (store.find(ids[0]), of(&store).0),
        (None, 3),
        "shown again, it belongs to the later"
    );
    store.expire(NOW + 600_000 - 1);
    assert_eq!(of(&store).0, 3);
    store.claim(ANN, ROOM, &[ids[2]], NOW + 599_000).unwrap();
    store.expire(NOW + 600_000);
    assert_eq!(of(&store).0, 2, "one that is about to be shown stays for a moment");
    store.expire(NOW + 700_000);
    assert_eq!((of(&store).0, store.gauges().expired), (1, 2));
    assert!(store.find(ids[1]).is_some());
    store.expire(NOW + 86_400_000);
    assert_eq!(of(&store).0, 0);
    let last = put(&mut store, BEN, b"x").unwrap();
    let seen = put(&mut store, ANN, b"y").unwrap();
    show(&mut store, seen, 3);
    for (cleared, is_there) in [(RoomId(6), true), (ROOM, false)] {
        store.news(&AttachmentNews::Cleared(cleared), NOW);
        assert_eq!(store.find(seen).is_some(), is_there);
    }
    store.news(&AttachmentNews::RoomOver(RoomId(6)), NOW);
    assert!(store.claim(BEN, ROOM, &[last], NOW).is_some(), "another room's end");
    store.news(&AttachmentNews::RoomOver(ROOM), NOW);
    assert_eq!((of(&store).1, dir.names()), (0, Vec::new()));
    assert!(store.records.records.is_empty());
}

#[test]
fn users_and_all_together_have_a_limit() {
    let dir = Dir::new();
    let mut store = open(&dir, |settings| {
        settings.user_bytes_max = 3 << 12;
        settings.total_bytes_max = 4 << 12;
    });
    assert_eq!(store.start(BY, about(ANN, &vec![0; 1 << 21]), NOW), Err(Fault::TooLarge));
    let first = put(&mut store, ANN, b"1").unwrap();
    put(&mut store, ANN, b"2").unwrap();
    let (third, _) = store.start(BY, about(ANN, b"3"), NOW).unwrap();
    assert_eq!(put(&mut store, ANN, b"4"), Err(Fault::UserQuota), "what is on its way counts");
    store.cancel(third);
    show(&mut store, first, 1);
    put(&mut store, ANN, b"3").unwrap();
    put(&mut store, BEN, b"4").unwrap();
    put(&mut store, BEN, b"5").unwrap();
    assert_eq!(of(&store).0, 4);
    assert!(store.find(first).is_some(), "the oldest that nobody sees went");
    let others: Vec<UploadId> = store.records.records.keys().copied().collect();
    others.into_iter().for_each(|id| show(&mut store, id, 9));
    assert_eq!(put(&mut store, BEN, b"6"), Err(Fault::TotalQuota), "all are seen");
    let mut at_once = open(&Dir::new(), |_| {});
    for n in 0..3 {
        at_once.start(BY, about(ANN, &[n]), NOW).unwrap();
    }
    assert_eq!(at_once.start(BY, about(BEN, b"x"), NOW), Err(Fault::Busy));
}

#[test]
fn an_interrupted_upload_goes_on_or_begins_anew() {
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    let data = b"a file in two parts";
    let begin = |store: &mut Store<Written>, user| store.start(BY, about(user, data), NOW).unwrap();
    let (id, _) = begin(&mut store, ANN);
    store.chunk(id, 0, &data[..8]).unwrap();
    store.interrupt(id, NOW);
    assert_eq!(of(&store).2, 0, "its place is free");
    assert_eq!(begin(&mut store, BEN).1, 0, "another user's");
    assert_eq!(begin(&mut store, ANN), (id, 8));
    store.chunk(id, 8, &data[8..]).unwrap();
    store.complete(id, NOW).unwrap();
    // A client that knows nothing of it sends all of it.
    let (id, _) = begin(&mut store, ANN);
    store.chunk(id, 0, &data[..8]).unwrap();
    store.interrupt(id, NOW);
    assert_eq!(begin(&mut store, ANN), (id, 8));
    store.chunk(id, 0, data).unwrap();
    store.complete(id, NOW).unwrap();
    // Its time is over.
    let (id, _) = begin(&mut store, ANN);
    store.chunk(id, 0, &data[..8]).unwrap();
    store.interrupt(id, NOW);
    store.expire(NOW + 600_000);
    assert_eq!(begin(&mut store, ANN).1, 0);
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn a_newer_connection_takes_an_upload_over() {
    let dir = Dir::new();
    let mut store = open(&dir, |settings| settings.at_once_max = 2);
    let data = b"a file in two parts";
    let begin =
        |store: &mut Store<Written>, by, user| store.start(by, about(user, data), NOW).unwrap();
    let (id, _) = begin(&mut store, by(1, 2), ANN);
    store.chunk(id, 0, &data[..8]).unwrap();
    let (twice, at) = begin(&mut store, by(1, 6), ANN);
    assert!(twice != id && at == 0, "one connection may send it twice");
    store.cancel(twice);
    let (bens, at) = begin(&mut store, by(3, 2), BEN);
    assert!(bens != id && at == 0, "another user's");
    assert_eq!(store.next_lost(), None);
    assert_eq!(begin(&mut store, by(2, 2), ANN), (id, 8), "no place is needed for it");
    assert_eq!((store.next_lost(), store.next_lost()), (Some((by(1, 2), id)), None));
    assert!(store.is_of(id, by(2, 2)) && !store.is_of(id, by(1, 2)));
    assert_eq!(of(&store).2, 2);
    store.chunk(id, 8, &data[8..]).unwrap();
    store.complete(id, NOW).unwrap();
    assert!(!store.is_of(id, by(2, 2)), "it is on its way no more");
    // Where one waits and one is on its way, the one that waits is gone on with.
    let (waiting, _) = begin(&mut store, by(4, 2), ANN);
    store.chunk(waiting, 0, &data[..3]).unwrap();
    store.interrupt(waiting, NOW);
    store.cancel(bens);
    let (live, _) = store.start(by(4, 2), about(ANN, b"another"), NOW).unwrap();
    assert_eq!(begin(&mut store, by(5, 2), ANN), (waiting, 3));
    assert_eq!(store.next_lost(), None);
    store.cancel(live);
    // Beginning anew works as after an interruption.
    assert_eq!(begin(&mut store, by(6, 2), ANN), (waiting, 3));
    store.chunk(waiting, 0, data).unwrap();
    store.complete(waiting, NOW).unwrap();
    store.verify();
}

#[test]
fn few_interrupted_uploads_wait() {
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    for n in 0..5_u8 {
        let (id, _) = store.start(BY, about(ANN, &[n; 2]), NOW).unwrap();
        store.chunk(id, 0, &[n]).unwrap();
        store.interrupt(id, NOW + u64::from(n));
    }
    assert_eq!(dir.names().len(), 2, "two of a user");
    assert_eq!(store.start(BY, about(ANN, &[4; 2]), NOW).unwrap().1, 1, "the latest");
    let (id, _) = store.start(BY, about(ANN, b"new"), NOW).unwrap();
    store.interrupt(id, NOW);
    assert_eq!(dir.names().len(), 2, "of one that brought nothing there is nothing to keep");
}

#[test]
fn a_restart_finds_what_was_kept_and_nothing_else() {
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    let kept = put(&mut store, ANN, b"kept").unwrap();
    show(&mut store, kept, 5);
    let lost = put(&mut store, ANN, b"lost").unwrap();
    let cut = put(&mut store, ANN, b"cut short").unwrap();
    let (part, _) = store.start(BY, about(ANN, b"half"), NOW).unwrap();
    store.chunk(part, 0, b"ha").unwrap();
    let mut known: Vec<Record> = store.records.records.values().cloned().collect();
    drop(store);
    known.retain(|record| record.id != lost);
    fs::write(dir.0.join(format!("{:016x}", cut.0)), b"cut").unwrap();
    fs::write(dir.0.join("README"), b"not ours").unwrap();
    let absent = Record { id: UploadId(3), ..known[0].clone() };
    known.push(absent);
    let mut store = Store::open(settings(&dir), Written::default(), known, NOW).unwrap();
    assert_eq!(dir.names(), [format!("{:016x}", kept.0), "README".to_owned()]);
    assert_eq!(store.find(kept).map(|found| found.0), Some(ROOM));
    assert_eq!(of(&store).0, 1);
    let next = put(&mut store, ANN, b"next").unwrap();
    assert!(next.count() > part.count() || next.count() > cut.count(), "no number comes twice");
}

#[test]
fn a_full_disk_keeps_nothing_and_is_named() {
    use std::os::unix::fs::symlink;
    let dir = Dir::new();
    let mut store = open(&dir, |_| {});
    let (id, _) = store.start(BY, about(ANN, b"hello"), NOW).unwrap();
    // A file of which every write says that there is no space left.
    symlink("/dev/full", dir.0.join(format!("{:016x}.part", id.0))).unwrap();
    let taken = store.chunk(id, 0, b"hello");
    // Its length cannot be set, which some kernels say first.
    assert!(matches!(taken, Err(Fault::DiskFull | Fault::Disk)), "{taken:?}");
    assert_eq!((dir.names(), of(&store)), (Vec::new(), (0, 0, 0)));
    assert!(put(&mut store, ANN, b"hello").is_ok());
}

proptest! {
    /// Whatever is done, and in whatever order: what is counted on the way is what is there.
    #[test]
    fn counts_are_those_of_what_is_there(
        steps in prop::collection::vec((0_u8..10, 0_usize..6, 1_u8..4), 0..60),
    ) {
        let dir = Dir::new();
        let mut store = open(&dir, |settings| {
            settings.at_once_max = 4;
            settings.total_bytes_max = 6 << 12;
            settings.user_bytes_max = 1 << 30;
        });
        let (mut ids, mut now) = (Vec::new(), NOW);
        for (what, which, size) in steps {
            let user = if which % 2 == 0 { ANN } else { BEN };
            let data = vec![size; usize::from(size)];
            let id = ids.get(which).copied().unwrap_or(UploadId(1));
            match what {
                0..=2 => {
                    let from = by(which as u32, 2);
                    if let Ok((id, _)) = store.start(from, about(user, &data), now)
                        && !ids.contains(&id)
                    {
                        ids.insert(0, id);
                    }
                }
                3 => drop(store.chunk(id, 0, &[size])),
                4 => drop(put(&mut store, user, &data).map(|id| ids.insert(0, id))),
                5 => store.interrupt(id, now),
                6 => store.cancel(id),
                7 => show(&mut store, id, u64::from(size)),
                8 => {
                    let message = MessageId(u64::from(size));
                    store.news(&AttachmentNews::Gone { message, uploads: vec![id] }, now);
                }
                _ => {
                    now += 200_000;
                    store.expire(now);
                }
            }
            store.verify();
            let parts = dir.names().iter().filter(|name| name.ends_with(".part")).count();
            let Gauges { files, live, interrupted, .. } = store.gauges();
            prop_assert_eq!(dir.names().len() - parts, files);
            prop_assert!(parts <= live + interrupted);
        }
    }

    /// Whatever pieces come: the file is there exactly if they were the announced bytes, in order.
    #[test]
    fn only_the_announced_bytes_in_order_are_kept(
        data in prop::collection::vec(any::<u8>(), 0..64),
        steps in prop::collection::vec((0_u8..10, 1_usize..20, any::<u8>()), 0..20),
    ) {
        let dir = Dir::new();
        let mut store = open(&dir, |_| {});
        let (mut id, mut at) = store.start(BY, about(ANN, &data), NOW).unwrap();
        let mut sent: Vec<u8> = Vec::new();
        let mut alive = true;
        for (what, length, byte) in steps {
            let from = at as usize;
            let piece = match what {
                0 => vec![byte; length],
                _ => data[from.min(data.len())..(from + length).min(data.len())].to_vec(),
            };
            if what == 1 {
                store.interrupt(id, NOW);
                (id, at) = store.start(BY, about(ANN, &data), NOW).unwrap();
                sent.truncate(at as usize);
                continue;
            }
            if piece.is_empty() {
                continue;
            }
            let offset = if what == 2 { at + 1 } else { at };
            match store.chunk(id, offset, &piece) {
                Ok(received) => {
                    prop_assert_eq!(offset, at);
                    sent.extend(&piece);
                    at = received;
                    prop_assert_eq!(at as usize, sent.len());
                }
                Err(fault) => {
                    prop_assert!(offset != at || sent.len() + piece.len() > data.len(), "{}", fault);
                    alive = false;
                    break;
                }
            }
        }
        let kept = store.complete(id, NOW);
        prop_assert_eq!(kept.is_ok(), alive && sent == data);
        prop_assert_eq!(dir.names().len(), usize::from(kept.is_ok()));
        if kept.is_ok() && !data.is_empty() {
            show(&mut store, id, 1);
            prop_assert_eq!(store.read(id, 0), Some(data));
        }
    }
}
