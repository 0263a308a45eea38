//! The rules, the files, and what is known of them. It is told the time, and waits for the disk.

use super::{
    Asker, Fault, Line, PIECE_BYTES_MAX, Secret, Settings, Start,
    quota::{Ledger, cost},
};
use crate::{http::percent_encoded, identity::hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::PathBuf,
};
use tutti_shards::{Attachment, AttachmentNews, MessageId, RoomId, UploadId, UserId, first_count};

/// Most interrupted uploads that wait for their users, of one user and of all.
const WAITING_MAX_USER: usize = 2;
const WAITING_MAX: usize = 1_000;
/// How long a file stays at least that is about to be shown, milliseconds.
const CLAIM_MS: u64 = 60_000;

/// A file that is kept, as it is written down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub id: UploadId,
    /// Who sent it.
    pub user: UserId,
    /// For which room.
    pub room: RoomId,
    /// What it is called.
    pub name: Box<str>,
    /// Its type.
    pub mime: Box<str>,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256 in hex.
    pub checksum: Box<str>,
    /// Since when it is here, milliseconds since 1970.
    pub stored_ms: u64,
    /// The message that shows it.
    pub message: Option<MessageId>,
    /// Until when it is kept, milliseconds since 1970.
    pub until_ms: u64,
    /// What its address on the web has that nobody can guess. `None` as written down before there were any: the next
    /// start draws one.
    #[serde(default)]
    pub secret: Option<Secret>,
}

/// Where records are written down.
pub trait Records {
    /// Writes one, in place of an older one; when this returns it lasts.
    ///
    /// # Errors
    /// When it does not.
    fn keep(&mut self, record: &Record) -> Result<(), Fault>;

    /// The same, some time soon.
    fn change(&mut self, record: &Record);

    /// Forgets one, some time soon. One that is not forgotten after all goes with its file, at the next start.
    fn forget(&mut self, id: UploadId);
}

/// An upload that is not complete.
#[derive(Debug)]
struct Part {
    /// Whose it is while its connection is there.
    by: Asker,
    start: Box<Start>,
    /// `None` until there is something in it, and while it waits.
    file: Option<File>,
    received: u64,
    hash: Sha256,
    /// Until when its user may come back to it, if its connection is gone.
    waits_until_ms: Option<u64>,
    /// Whether its user went on with it, and sent nothing yet.
    resumed: bool,
}

impl Part {
    fn waits(&self) -> bool {
        self.waits_until_ms.is_some()
    }
}

fn is_one_connection(one: Asker, other: Asker) -> bool {
    match (one.line, other.line) {
        (Line::Stream(conn, _), Line::Stream(of_other, _)) => {
            (one.shard, conn) == (other.shard, of_other)
        }
        _ => one == other,
    }
}

/// What there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gauges {
    /// Files that are kept.
    pub(super) files: usize,
    /// Of these, those that no message shows.
    pub(super) unseen: usize,
    /// What all cost that is kept or on its way, bytes.
    pub(super) used: u64,
    /// Uploads on their way.
    pub(super) live: usize,
    /// Uploads that wait for their users to come back.
    pub(super) interrupted: usize,
    /// Files that went when their time was over, so far.
    pub(super) expired: u64,
}

/// All files.
#[derive(Debug)]
pub(super) struct Store<R> {
    settings: Settings,
    pub(super) records: R,
    files: BTreeMap<UploadId, Record>,
    /// When files go, oldest first.
    ends: BTreeSet<(u64, UploadId)>,
    /// Files of each room.
    rooms: BTreeSet<(RoomId, UploadId)>,
    /// Files that no message shows.
    unseen: BTreeSet<UploadId>,
    parts: BTreeMap<UploadId, Part>,
    /// Parts whose connections are there.
    n_live: usize,
    /// Who has lost a part to a newer connection, and was not told.
    lost: Vec<(Asker, UploadId)>,
    /// What all of them cost, announced sizes included.
    used: u64,
    ledger: Ledger,
    count: u64,
    expired: u64,
}

impl<R: Records> Store<R> {
    /// Opens the folder, makes it if there is none, and takes out of it and of `known` what has no counterpart.
    pub(super) fn open(
        settings: Settings,
        records: R,
        known: Vec<Record>,
        now_ms: u64,
    ) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.folder)?;
        let mut store = Store {
            settings,
            records,
            files: BTreeMap::new(),
            ends: BTreeSet::new(),
            rooms: BTreeSet::new(),
            unseen: BTreeSet::new(),
            parts: BTreeMap::new(),
            n_live: 0,
            lost: Vec::new(),
            used: 0,
            ledger: Ledger::default(),
            // As for messages: no number comes twice, unless somebody sends 4,096 files a second for long.
            count: first_count(now_ms),
            expired: 0,
        };
        let mut present = BTreeMap::new();
        for entry in fs::read_dir(&store.settings.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let digits = name.strip_suffix(".part").unwrap_or(name);
            // What is not called like one of ours is somebody else's.
            let is_ours =
                digits.len() == 16 && digits.bytes().all(|b| b"0123456789abcdef".contains(&b));
            let Some(id) = u64::from_str_radix(digits, 16).ok().filter(|_| is_ours) else {
                continue;
            };
            if digits.len() < name.len() {
                // Its hash is lost with the process that knew it.
                fs::remove_file(entry.path())?;
            } else {
                present.insert(UploadId(id), entry.metadata()?.len());
            }
        }
        for mut record in known {
            store.count = store.count.max(record.id.count());
            if record.secret.is_none() {
                record.secret = Some(Secret::draw());
                store.records.change(&record);
            }
            if present.remove(&record.id) == Some(record.size) {
                store.ledger.charge(record.user, cost(record.size), record.stored_ms);
                store.insert(record);
            } else {
                store.records.forget(record.id);
                let _ = fs::remove_file(store.path(record.id, ""));
            }
        }
        for id in present.into_keys() {
            fs::remove_file(store.path(id, ""))?;
        }
        Ok(store)
    }

    fn path(&self, id: UploadId, suffix: &str) -> PathBuf {
        self.settings.folder.join(format!("{:016x}{suffix}", id.0))
    }

    fn insert(&mut self, record: Record) {
        self.used += cost(record.size);
        self.ends.insert((record.until_ms, record.id));
        self.rooms.insert((record.room, record.id));
        if record.message.is_none() {
            self.unseen.insert(record.id);
        }
        self.files.insert(record.id, record);
    }

    /// What there is now, at no cost: it is asked after each piece.
    pub(super) fn gauges(&self) -> Gauges {
        Gauges {
            files: self.files.len(),
            unseen: self.unseen.len(),
            used: self.used,
            live: self.n_live,
            interrupted: self.parts.len() - self.n_live,
            expired: self.expired,
        }
    }

    /// Holds what is counted on the way to what is there.
    #[cfg(test)]
    pub(super) fn verify(&self) {
        let live = self.parts.values().filter(|part| part.waits_until_ms.is_none()).count();
        assert_eq!(self.n_live, live);
        let files = self.files.values().map(|file| cost(file.size));
        let parts = self.parts.values().map(|part| cost(part.start.size));
        assert_eq!(self.used, files.chain(parts).sum::<u64>());
        let unseen = self.files.values().filter(|file| file.message.is_none());
        assert!(unseen.map(|file| file.id).eq(self.unseen.iter().copied()));
        assert_eq!((self.ends.len(), self.rooms.len()), (self.files.len(), self.files.len()));
    }

    /// Begins an upload, or goes on with one that was interrupted; its number and how much of it is here.
    ///
    /// One whose connection seems to be there is gone on with too: it may be gone without a word, and the newer one is
    /// there for certain. Another upload of the same connection is meant to be another.
    pub(super) fn start(
        &mut self,
        by: Asker,
        start: Box<Start>,
        now_ms: u64,
    ) -> Result<(UploadId, u64), Fault> {
        if start.size > self.settings.file_bytes_max {
            return Err(Fault::TooLarge);
        }
        let is_same = |part: &Part| {
            let had = &part.start;
            (had.user, had.room, had.size) == (start.user, start.room, start.size)
                && had.checksum == start.checksum
        };
        let waiting = self.parts.iter().find(|(_, part)| part.waits() && is_same(part));
        let is_elsewhere = |part: &Part| !part.waits() && !is_one_connection(part.by, by);
        let same = waiting
            .or_else(|| self.parts.iter().find(|(_, part)| is_elsewhere(part) && is_same(part)));
        let same = same.map(|(&id, part)| (id, part.waits()));
        let is_one_more = same.is_none_or(|(_, waits)| waits);
        if is_one_more && self.n_live >= self.settings.at_once_max {
            return Err(Fault::Busy);
        }
        if let Some((id, waits)) = same
            && let Some(part) = self.parts.get_mut(&id)
        {
            if waits {
                self.n_live += 1;
            } else {
                self.lost.push((part.by, id));
            }
            (part.by, part.start, part.waits_until_ms, part.resumed) = (by, start, None, true);
            return Ok((id, part.received));
        }
        let added = cost(start.size);
        let of_user = self.parts.values().filter(|part| part.start.user == start.user);
        let on_its_way: u64 = of_user.map(|part| cost(part.start.size)).sum();
        let spent = self.ledger.spent(start.user, now_ms);
        if spent + on_its_way + added > self.settings.user_bytes_max {
            return Err(Fault::UserQuota);
        }
        self.make_room(added)?;
        self.used += added;
        self.count += 1;
        let id = UploadId::new(by.shard, self.count);
        let part = Part {
            by,
            start,
            file: None,
            received: 0,
            hash: Sha256::new(),
            waits_until_ms: None,
            resumed: false,
        };
        self.parts.insert(id, part);
        self.n_live += 1;
        Ok((id, 0))
    }

    /// Whether an upload is this stream's: one that another connection took over is not.
    pub(super) fn is_of(&self, id: UploadId, by: Asker) -> bool {
        self.parts.get(&id).is_some_and(|part| part.by == by)
    }

    /// The next that lost an upload to a newer connection and has to be told.
    pub(super) fn next_lost(&mut self) -> Option<(Asker, UploadId)> {
        self.lost.pop()
    }

    /// Takes away what nobody sees until there is room, the oldest first.
    fn make_room(&mut self, cost: u64) -> Result<(), Fault> {
        while self.used + cost > self.settings.total_bytes_max {
            let waiting = self.parts.iter().find(|(_, part)| part.waits_until_ms.is_some());
            match (self.unseen.first().copied(), waiting.map(|(&id, _)| id)) {
                (Some(id), _) => self.remove(id),
                (None, Some(id)) => self.cancel(id),
                (None, None) => return Err(Fault::TotalQuota),
            }
        }
        Ok(())
    }

    /// Takes a piece; how much is here then. After a fault nothing is kept.
    pub(super) fn chunk(&mut self, id: UploadId, offset: u64, data: &[u8]) -> Result<u64, Fault> {
        let taken = self.append(id, offset, data);
        if taken.is_err() {
            self.cancel(id);
        }
        taken
    }

    fn append(&mut self, id: UploadId, offset: u64, data: &[u8]) -> Result<u64, Fault> {
        let path = self.path(id, ".part");
        let part = self.parts.get_mut(&id).ok_or(Fault::Gone)?;
        if std::mem::take(&mut part.resumed) && offset == 0 {
            // A client that does not know what is here, and begins anew.
            (part.received, part.hash, part.file) = (0, Sha256::new(), None);
        }
        if offset != part.received {
            return Err(Fault::Offset);
        }
        let received = part.received + data.len() as u64;
        if received > part.start.size {
            return Err(Fault::Size);
        }
        if part.file.is_none() {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(|error| fault(&error))?;
            file.set_len(part.received).map_err(|error| fault(&error))?;
            file.seek(SeekFrom::End(0)).map_err(|error| fault(&error))?;
            part.file = Some(file);
        }
        let file = part.file.as_mut().ok_or(Fault::Disk)?;
        file.write_all(data).map_err(|error| fault(&error))?;
        part.hash.update(data);
        part.received = received;
        Ok(received)
    }

    /// Checks all of it and keeps it. After a fault nothing is kept.
    pub(super) fn complete(&mut self, id: UploadId, now_ms: u64) -> Result<Attachment, Fault> {
        if self.parts.get(&id).is_some_and(|part| part.received == 0 && part.start.size == 0) {
            self.chunk(id, 0, &[])?;
        }
        if let Err(fault) = self.check_and_rename(id) {
            self.cancel(id);
            return Err(fault);
        }
        let Some(part) = self.take_part(id) else { return Err(Fault::Gone) };
        let Start { user, room, name, mime, size, checksum } = *part.start;
        let unattached_ms = self.settings.unattached.as_millis() as u64;
        let record = Record {
            id,
            user,
            room,
            name,
            mime,
            size,
            checksum,
            stored_ms: now_ms,
            message: None,
            until_ms: now_ms + unattached_ms,
            secret: Some(Secret::draw()),
        };
        self.used -= cost(size);
        if self.records.keep(&record).is_err() {
            let _ = fs::remove_file(self.path(id, ""));
            self.records.forget(id);
            return Err(Fault::Disk);
        }
        self.ledger.charge(user, cost(size), now_ms);
        let attachment = self.attachment(&record);
        self.insert(record);
        Ok(attachment)
    }

    fn check_and_rename(&mut self, id: UploadId) -> Result<(), Fault> {
        let (from, to) = (self.path(id, ".part"), self.path(id, ""));
        let part = self.parts.get_mut(&id).ok_or(Fault::Gone)?;
        if part.received != part.start.size {
            return Err(Fault::Size);
        }
        if hex(&part.hash.clone().finalize()) != *part.start.checksum {
            return Err(Fault::Checksum);
        }
        // One that was interrupted when all of it was here has its file closed.
        let file = match part.file.take() {
            Some(file) => file,
            None => File::open(&from).map_err(|error| fault(&error))?,
        };
        let put = || {
            file.sync_all()?;
            fs::rename(&from, &to)?;
            File::open(&self.settings.folder)?.sync_all()
        };
        put().map_err(|error| {
            let _ = fs::remove_file(&to);
            fault(&error)
        })
    }

    fn take_part(&mut self, id: UploadId) -> Option<Part> {
        let part = self.parts.remove(&id)?;
        self.n_live -= usize::from(part.waits_until_ms.is_none());
        Some(part)
    }

    /// Keeps nothing of an upload that is not complete.
    pub(super) fn cancel(&mut self, id: UploadId) {
        let Some(part) = self.take_part(id) else { return };
        self.used -= cost(part.start.size);
        // Before its first bytes there is none.
        let _ = fs::remove_file(self.path(id, ".part"));
    }

    /// The connection of an upload is gone: its user may come back.
    pub(super) fn interrupt(&mut self, id: UploadId, now_ms: u64) {
        let Some(part) = self.parts.get_mut(&id).filter(|part| part.waits_until_ms.is_none())
        else {
            return;
        };
        if part.received == 0 {
            return self.cancel(id);
        }
        self.n_live -= 1;
        // A descriptor less, for each that waits.
        part.file = None;
        part.waits_until_ms = Some(now_ms + self.settings.unattached.as_millis() as u64);
        let user = part.start.user;
        let waiting = |own: bool| {
            let waiting = self.parts.iter().filter(move |(_, part)| {
                part.waits_until_ms.is_some() && (!own || part.start.user == user)
            });
            waiting.map(|(&id, part)| (part.waits_until_ms, id)).collect::<BTreeSet<_>>()
        };
        let (own, all) = (waiting(true), waiting(false));
        let over =
            |set: &BTreeSet<_>, most| if set.len() > most { set.first().copied() } else { None };
        for (_, id) in [over(&own, WAITING_MAX_USER), over(&all, WAITING_MAX)].into_iter().flatten()
        {
            self.cancel(id);
        }
    }

    /// The files, if all of them are the user's and of the room.
    pub(super) fn claim(
        &mut self,
        user: UserId,
        room: RoomId,
        uploads: &[UploadId],
        now_ms: u64,
    ) -> Option<Vec<Attachment>> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for id in uploads.iter().filter(|id| seen.insert(**id)) {
            let record = self.files.get(id)?;
            if (record.user, record.room) != (user, room) {
                return None;
            }
            found.push(self.attachment(record));
        }
        for id in seen {
            self.keep_until(id, |record| record.until_ms.max(now_ms + CLAIM_MS));
        }
        Some(found)
    }

    fn keep_until(&mut self, id: UploadId, until_ms: impl FnOnce(&Record) -> u64) {
        let Some(record) = self.files.get_mut(&id) else { return };
        self.ends.remove(&(record.until_ms, id));
        record.until_ms = until_ms(record);
        self.ends.insert((record.until_ms, id));
    }

    fn shown(&self, id: UploadId) -> Option<&Record> {
        self.files.get(&id).filter(|record| record.message.is_some())
    }

    /// A file that some message shows, and its room.
    pub(super) fn find(&self, id: UploadId) -> Option<(RoomId, Attachment)> {
        let record = self.shown(id)?;
        Some((record.room, self.attachment(record)))
    }

    /// A file that some message shows, for one who has its address.
    pub(super) fn open_link(&self, id: UploadId, secret: Secret) -> Option<Attachment> {
        let record = self.shown(id)?;
        (record.secret? == secret).then(|| self.attachment(record))
    }

    /// The next bytes of a file.
    pub(super) fn read(&self, id: UploadId, offset: u64) -> Option<Vec<u8>> {
        let record = self.files.get(&id).filter(|record| record.message.is_some())?;
        let left = record.size.checked_sub(offset).filter(|left| *left > 0)?;
        let mut piece =
            vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX / 4)];
        let file = File::open(self.path(id, "")).ok()?;
        file.read_exact_at(&mut piece, offset).ok()?;
        Some(piece)
    }

    /// What became of files in rooms.
    pub(super) fn news(&mut self, news: &AttachmentNews, now_ms: u64) {
        match news {
            AttachmentNews::Shown { message, uploads } => {
                for &id in uploads {
                    let until_ms = now_ms + self.settings.attached.as_millis() as u64;
                    self.keep_until(id, |_| until_ms);
                    if let Some(record) = self.files.get_mut(&id) {
                        record.message = Some(*message);
                        self.records.change(record);
                        self.unseen.remove(&id);
                    }
                }
            }
            AttachmentNews::Gone { message, uploads } => {
                for &id in uploads {
                    // One that was shown again since belongs to the later message.
                    if self.files.get(&id).is_some_and(|file| file.message == Some(*message)) {
                        self.remove(id);
                    }
                }
            }
            AttachmentNews::Cleared(room) => {
                self.remove_of_room(*room, |record| record.message.is_some());
            }
            AttachmentNews::RoomOver(room) => self.remove_of_room(*room, |_| true),
        }
    }

    fn remove_of_room(&mut self, room: RoomId, which: impl Fn(&Record) -> bool) {
        let of_room = self.rooms.range((room, UploadId(0))..).take_while(|(of, _)| *of == room);
        let goes = |id: &UploadId| self.files.get(id).is_some_and(&which);
        for id in of_room.map(|&(_, id)| id).filter(goes).collect::<Vec<_>>() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: UploadId) {
        let Some(record) = self.files.remove(&id) else { return };
        self.used -= cost(record.size);
        self.ends.remove(&(record.until_ms, id));
        self.rooms.remove(&(record.room, id));
        self.unseen.remove(&id);
        self.records.forget(id);
        if let Err(error) = fs::remove_file(self.path(id, "")) {
            tracing::warn!(%error, upload = id.0, "cannot remove a file; the next start will try again");
        }
    }

    /// What a message shows of a file.
    fn attachment(&self, record: &Record) -> Attachment {
        let Record { id, name, mime, size, checksum, secret, .. } = record;
        let url = match (&self.settings.public_url, secret) {
            (Some(base), Some(secret)) => {
                format!("{base}/u/{}-{secret}/{}", id.0, percent_encoded(name))
            }
            _ => format!("garou:u/{}", id.0),
        };
        Attachment {
            id: *id,
            name: name.clone(),
            mime: mime.clone(),
            size: *size,
            checksum: checksum.clone(),
            url: url.into(),
        }
    }

    /// Takes away what was kept long enough.
    pub(super) fn expire(&mut self, now_ms: u64) {
        while let Some(&(_, id)) = self.ends.first().filter(|(until, _)| *until <= now_ms) {
            self.remove(id);
            self.expired += 1;
        }
        let over = self
            .parts
            .iter()
            .filter(|(_, part)| part.waits_until_ms.is_some_and(|until| until <= now_ms));
        for id in over.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.cancel(id);
        }
        self.ledger.forget(now_ms);
    }
}

fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Fault::DiskFull
        }
        _ => {
            tracing::warn!(%error, "cannot keep a file");
            Fault::Disk
        }
    }
}
