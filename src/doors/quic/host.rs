//! The sessions of a shard, between the transport and the core.
//!
//! The driver tells the host what the transport and the core say; the host tells the sessions, and does for them what
//! they ask of the core. What the core sends to seats is only put down while it flushes ([`Host::take`]), because the
//! transport is not at hand then, and given to the sessions behind that ([`Host::settle`]).

use super::{
    CloseCode,
    session::{Ask, Common, Session, SessionConfig, left_over},
};
use crate::{
    quic::{Event, Link, StreamId},
    uploads::{Answer, Request},
};
use ahash::AHashMap;
use bytes::Bytes;
use std::{
    collections::{BTreeSet, VecDeque},
    io::IoSlice,
    rc::Rc,
    sync::Arc,
};
use tutti_shards::{CloseReason, Command, Departure, Flow, Key, Now, RoomRequest, Shard, Wire};

/// How a client is told to come back when the server stops.
const COME_BACK_MS: u32 = 1_000;

/// The connections of the transport, by its own keys.
pub trait Links<K> {
    /// Does something with a connection, if it is still there.
    fn with(&mut self, key: K, act: &mut dyn FnMut(&mut dyn Link));
}

/// One session and what the core knows it by.
#[derive(Debug)]
struct Entry {
    session: Box<Session>,
    /// Its session in the core.
    core: Option<Key>,
    /// Few: a list costs less than a table.
    seats: Vec<(u32, Key)>,
    /// When it has something to do next.
    due_us: Option<u64>,
    /// Whether it is listed as dirty.
    is_dirty: bool,
}

/// To whom a key of the core belongs.
#[derive(Clone, Copy, Debug)]
enum Owner<K> {
    Session(K),
    Seat(K, u32),
}

/// Something that the core said. There are thousands of them in a busy turn, of which few are not bytes: those are in
/// boxes.
#[derive(Debug)]
enum News {
    Bytes(Bytes),
    /// The seat is gone, with its last bytes and with what nobody answers that it asked.
    Ended(Box<(Bytes, Vec<RoomRequest>)>),
    /// The seat that asked this was gone already.
    Undone(Box<RoomRequest>),
    /// The core closed the session.
    Closed(CloseReason, Vec<u8>),
}

/// What sessions of a shard have counted, and what there is now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SessionCounts {
    /// Sessions, those that are not logged in included.
    pub sessions: u64,
    /// Busy rooms with a stream of their own, over all sessions.
    pub hot_streams: u64,
    /// Commands refused for a rate.
    pub throttled: u64,
    /// Sessions closed from here, by [`CloseCode`].
    pub closes: [u64; CloseCode::COUNT],
    /// Frames by type, as [`FrameCounts::seen`](super::frame::FrameCounts::seen) has them.
    pub frames: Vec<(Option<u8>, u64, u64)>,
}

/// All sessions of a shard.
#[derive(Debug)]
pub struct Host<K> {
    config: Arc<SessionConfig>,
    entries: AHashMap<K, Entry>,
    owners: AHashMap<u64, Owner<K>>,
    news: VecDeque<(Key, News)>,
    /// Sessions that have something to write, or to ask, in the order in which they came to have it.
    dirty: Vec<K>,
    due: BTreeSet<(u64, K)>,
    /// What sessions ask about files.
    uploads: VecDeque<(K, StreamId, Request)>,
    /// Of sessions that are over.
    counts: SessionCounts,
    common: Rc<Common>,
}

impl<K: Copy + Ord + std::hash::Hash> Host<K> {
    /// Without sessions.
    #[must_use]
    pub fn new(config: Arc<SessionConfig>) -> Self {
        Host {
            config,
            entries: AHashMap::new(),
            owners: AHashMap::new(),
            news: VecDeque::new(),
            dirty: Vec::new(),
            due: BTreeSet::new(),
            uploads: VecDeque::new(),
            counts: SessionCounts::default(),
            common: Rc::default(),
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was counted until now.
    #[must_use]
    pub fn counts(&self) -> SessionCounts {
        let mut counts = self.counts.clone();
        counts.frames = self.common.frames.seen();
        for Entry { session, .. } in self.entries.values() {
            counts.sessions += 1;
            counts.hot_streams += session.hot_streams() as u64;
            counts.throttled += session.throttled();
        }
        counts
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Something happened to a connection; `seed` is drawn at random, for one that has just arrived.
    pub fn handle(
        &mut self,
        now: Now,
        key: K,
        event: Event,
        seed: impl FnOnce() -> [u8; 16],
        links: &mut impl Links<K>,
    ) {
        if matches!(event, Event::Arrived { .. }) {
            let (config, common) = (self.config.clone(), self.common.clone());
            let session = Box::new(Session::new(config, common, now, seed()));
            let seats = Vec::new();
            let entry = Entry { session, core: None, seats, due_us: None, is_dirty: false };
            self.entries.insert(key, entry);
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Event::Lost(lost) = event {
            entry.session.lost(lost);
        } else {
            let mut event = Some(event);
            links.with(key, &mut |link| {
                if let Some(event) = event.take() {
                    entry.session.handle(now, event, link);
                }
            });
        }
        mark(&mut self.dirty, key, entry);
    }

    /// Whether a key of the core belongs to a session here.
    #[must_use]
    pub fn owns(&self, key: Key) -> bool {
        self.owners.contains_key(&key.to_u64())
    }

    /// Takes bytes for a seat or a session; all of them, always: what waits for a client is counted by its session.
    ///
    /// What the members of a room are sent is mostly the same for one after the other, and then in memory once.
    pub fn take(&mut self, key: Key, slices: &[IoSlice<'_>]) {
        let bytes = match self.news.back() {
            Some((_, News::Bytes(last))) if is_same(last, slices) => last.clone(),
            _ => {
                let mut bytes = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
                slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
                bytes.into()
            }
        };
        self.news.push_back((key, News::Bytes(bytes)));
    }

    /// The core has ended a seat.
    pub fn seat_ended(&mut self, key: Key, last: Vec<u8>, undone: Vec<RoomRequest>) {
        self.news.push_back((key, News::Ended(Box::new((last.into(), undone)))));
    }

    /// The core has closed a session.
    pub fn closed(&mut self, key: Key, reason: CloseReason, unsent: Vec<u8>) {
        self.news.push_back((key, News::Closed(reason, unsent)));
    }

    /// A session that the core had paused goes on.
    pub fn resumed(&mut self, key: Key) {
        if let Some(Owner::Session(id)) = self.owners.get(&key.to_u64())
            && let Some(entry) = self.entries.get_mut(id)
        {
            mark(&mut self.dirty, *id, entry);
        }
    }

    /// Whether [`Host::settle`] has something to do.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        !self.news.is_empty() || !self.dirty.is_empty()
    }

    /// Gives sessions what the core said, writes what they have to write, and does what they ask. What the core
    /// answers comes with its outputs and its next flush.
    pub fn settle<W: Wire>(&mut self, now: Now, core: &mut Shard<W>, links: &mut impl Links<K>) {
        while let Some((key, news)) = self.news.pop_front() {
            self.tell(now, key, news, links);
        }
        for key in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.is_dirty = false;
            links.with(key, &mut |link| entry.session.flush(now, link));
            self.serve(now, key, core);
        }
    }

    fn tell(&mut self, now: Now, key: Key, news: News, links: &mut impl Links<K>) {
        let Some(&owner) = self.owners.get(&key.to_u64()) else { return };
        let (Owner::Session(id) | Owner::Seat(id, _)) = owner;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match (owner, news) {
            (Owner::Session(_), News::Bytes(bytes)) => {
                links.with(id, &mut |link| entry.session.own_bytes(now, &bytes, link));
            }
            (Owner::Session(_), News::Closed(reason, unsent)) => {
                self.owners.remove(&key.to_u64());
                entry.core = None;
                let (code, words) = close(reason);
                links.with(id, &mut |link| {
                    entry.session.own_bytes(now, &unsent, link);
                    match reason {
                        CloseReason::Stopping => entry.session.stop(now, COME_BACK_MS, link),
                        _ => entry.session.end(now, code, words, link),
                    }
                });
            }
            (Owner::Seat(_, seat), News::Bytes(bytes)) => {
                links.with(id, &mut |link| entry.session.seat_bytes(now, seat, &bytes, link));
            }
            (Owner::Seat(_, seat), News::Undone(request)) => {
                links.with(id, &mut |link| entry.session.undone(now, seat, &request, link));
            }
            (Owner::Seat(_, seat), News::Ended(ended)) => {
                let (last, undone) = *ended;
                self.owners.remove(&key.to_u64());
                entry.seats.retain(|&(number, _)| number != seat);
                links.with(id, &mut |link| {
                    entry.session.seat_ended(now, seat, &last, &undone, link);
                });
            }
            (Owner::Session(_), News::Ended(..) | News::Undone(_))
            | (Owner::Seat(..), News::Closed(..)) => {
                unreachable!("the core ends seats and closes sessions")
            }
        }
        mark(&mut self.dirty, id, entry);
    }

    /// Does what a session asks for.
    fn serve<W: Wire>(&mut self, now: Now, id: K, core: &mut Shard<W>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        while let Some(ask) = entry.session.poll_ask() {
            match ask {
                Ask::Login { user, guise } => {
                    let (key, _) = core.open_session(now);
                    entry.core = Some(key);
                    self.owners.insert(key.to_u64(), Owner::Session(id));
                    core.handle_command(now, key, Command::Enter { user, guise });
                }
                Ask::Logout(how) => {
                    if let Some(key) = entry.core.take() {
                        self.owners.remove(&key.to_u64());
                        core.end_session(now, key, how);
                    }
                    for (_, key) in entry.seats.drain(..) {
                        self.owners.remove(&key.to_u64());
                    }
                }
                Ask::Sit(seat, request) => {
                    let Some(session) = entry.core else { continue };
                    if let Some(key) = core.sit(now, session, request) {
                        entry.seats.push((seat, key));
                        self.owners.insert(key.to_u64(), Owner::Seat(id, seat));
                    }
                }
                Ask::Room(seat, request) => {
                    let seat = entry.seats.iter().find(|(other, _)| *other == seat);
                    let Some(&(_, key)) = seat else { continue };
                    if core.flow(key) == Flow::Gone {
                        // Its end is on the way here.
                        self.news.push_back((key, News::Undone(Box::new(request))));
                    } else {
                        core.handle_command(now, key, Command::Room(Box::new(request)));
                    }
                }
                Ask::Look(request) => {
                    // A session asks for one at a time, and nothing else pauses it.
                    if let Some(key) = entry.core {
                        core.handle_command(now, key, Command::Look(request));
                    }
                }
                Ask::Presence(away, status) => {
                    if let Some(key) = entry.core {
                        core.set_presence(now, key, away, status);
                    }
                }
                Ask::Upload(stream, request) => self.uploads.push_back((id, stream, request)),
                Ask::List(listing) => {
                    let filter = listing.filter.as_deref();
                    let page = core.rooms_listed(listing.after(), filter, listing.limit);
                    entry.session.listed(now, &listing, &page);
                    mark(&mut self.dirty, id, entry);
                }
            }
        }
        let due_us = entry.session.next_deadline_us(now);
        if due_us != entry.due_us {
            if let Some(at) = entry.due_us {
                self.due.remove(&(at, id));
            }
            self.due.extend(due_us.map(|at| (at, id)));
            entry.due_us = due_us;
        }
        if entry.session.is_gone() {
            self.forget(now, id, core);
        }
    }

    fn forget<W: Wire>(&mut self, now: Now, id: K, core: &mut Shard<W>) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.counts.throttled += entry.session.throttled();
        let code = entry.session.closed_with().map(|code| code as usize);
        if let Some(count) = code.and_then(|code| self.counts.closes.get_mut(code)) {
            *count += 1;
        }
        if let Some(key) = entry.core {
            self.owners.remove(&key.to_u64());
            core.end_session(now, key, Departure::Disconnected);
        }
        for (_, key) in entry.seats {
            self.owners.remove(&key.to_u64());
        }
        if let Some(at) = entry.due_us {
            self.due.remove(&(at, id));
        }
    }

    /// What a session asks about a file, for one of its streams; the answer goes to [`Host::uploaded`].
    pub fn poll_upload(&mut self) -> Option<(K, StreamId, Request)> {
        self.uploads.pop_front()
    }

    /// What was asked about a file is answered.
    pub fn uploaded(
        &mut self,
        now: Now,
        key: K,
        stream: StreamId,
        answer: Answer,
        links: &mut impl Links<K>,
    ) {
        let Some(entry) = self.entries.get_mut(&key) else {
            if let Some(Ask::Upload(stream, request)) = left_over(stream, &answer) {
                self.uploads.push_back((key, stream, request));
            }
            return;
        };
        let mut answer = Some(answer);
        links.with(key, &mut |link| {
            if let Some(answer) = answer.take() {
                entry.session.uploaded(now, stream, answer, link);
            }
        });
        mark(&mut self.dirty, key, entry);
    }

    /// When [`Host::handle_timeout`] has something to do, microseconds on the monotonic clock.
    #[must_use]
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.due.first().map(|&(at, _)| at)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now, links: &mut impl Links<K>) {
        while let Some(&(at, id)) = self.due.first()
            && at <= now.mono_us
        {
            self.due.remove(&(at, id));
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.due_us = None;
            links.with(id, &mut |link| entry.session.handle_timeout(now, link));
            mark(&mut self.dirty, id, entry);
        }
    }

    /// Ends the sessions of those whom operators keep out by now; how many that were.
    pub fn expel(&mut self, now: Now, links: &mut impl Links<K>) -> u32 {
        let mut expelled = 0;
        for (&id, entry) in &mut self.entries {
            links.with(id, &mut |link| {
                expelled += u32::from(entry.session.expel(now, link));
            });
            mark(&mut self.dirty, id, entry);
        }
        expelled
    }

    /// The server stops: those that the core does not know yet are told here.
    pub fn stop(&mut self, now: Now, links: &mut impl Links<K>) {
        for (&id, entry) in &mut self.entries {
            if entry.core.is_none() {
                links.with(id, &mut |link| entry.session.stop(now, COME_BACK_MS, link));
                mark(&mut self.dirty, id, entry);
            }
        }
    }
}

/// Whether bytes are those of the slices, one behind the other.
fn is_same(bytes: &[u8], slices: &[IoSlice<'_>]) -> bool {
    let rest = slices.iter().try_fold(bytes, |rest, slice| rest.strip_prefix(&**slice));
    rest.is_some_and(<[u8]>::is_empty)
}

/// Lists a session as one that has something to write, or to ask.
fn mark<K>(dirty: &mut Vec<K>, id: K, entry: &mut Entry) {
    if !std::mem::replace(&mut entry.is_dirty, true) {
        dirty.push(id);
    }
}

/// The close code of a reason of the core, and the words.
fn close(reason: CloseReason) -> (CloseCode, &'static str) {
    match reason {
        CloseReason::Bye => (CloseCode::Normal, "goodbye"),
        CloseReason::Stopping => (CloseCode::Stopping, "server is shutting down"),
        CloseReason::Backlog | CloseReason::Stalled => (CloseCode::TooSlow, "too slow"),
        CloseReason::Silent | CloseReason::Idle => (CloseCode::Dead, "nothing was heard"),
        CloseReason::Kicked | CloseReason::Banned => (CloseCode::Removed, "removed by an operator"),
        CloseReason::TooManyConnections | CloseReason::NickTaken => {
            (CloseCode::Limit, "too many connections")
        }
        CloseReason::NoHello => (CloseCode::AuthTimeout, "no login in time"),
        CloseReason::BytesIn | CloseReason::MessagesIn => (CloseCode::Flood, "flood"),
    }
}
