//! Fan-out: one log of encoded messages that all members of a channel on this shard read from.
//!
//! A broadcast is encoded once for each format in use and appended to that format's log, which lives until the end
//! of the turn. Each member's connection remembers how far into the log it has read. At the flush its socket is
//! given slices of the log, so the bytes of a message are written into user memory once, however many receive it:
//!
//! ```text
//!   log      [ n by A ][ n by B ][ a by C ][ n by A ]
//!   A reads            [---------------------]            two of its own are left out
//!   D reads  [----------------------------------------]
//! ```
//!
//! Only what a socket does not take is copied into that connection's outbox. A message for one member alone goes to
//! its outbox behind what it still has to read, which is copied first ([`absorb`]), so order holds.
//!
//! **Invariants worth naming.** `read_to <= entries.len()` for each member. A member's chain of own entries starts at
//! `own_last` and has falling indices, all of the log of the member's format. After a flush all logs are empty and
//! all members read from 0.

use crate::{
    ConnId, Format, Stats,
    conn::{Conn, Conns},
    outbox::Pool,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::io::IoSlice;

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// What matters about a message besides its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Class {
    /// May wait for a fuller send while the shard is busy, and may be dropped for a slow reader, who is told the
    /// newest position later.
    Cursor,
    /// May wait for a fuller send while the shard is busy: notes and chat, which make up what a busy room sends.
    Notes,
    /// Goes out at the end of the turn. May be left out for a slow reader of lines, who is told later that it was.
    Presence,
    /// Goes out at the end of the turn.
    Prompt,
}

/// One message of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The previous entry by the same member.
    prev_own: u32,
    /// The member that it is not for.
    pub(crate) by: Option<ConnId>,
    pub(crate) class: Class,
}

/// The messages of one format since the last flush.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

impl Log {
    /// Gives the memory back if nothing was put into it since it was opened.
    pub(crate) fn close_if_empty(&mut self, pool: &mut Pool) {
        if self.entries.is_empty() {
            pool.give(std::mem::take(&mut self.bytes));
            pool.give_entries(std::mem::take(&mut self.entries));
        }
    }

    /// Gets memory for the first message since the last flush. A channel in which nothing happens has none.
    pub(crate) fn open(&mut self, pool: &mut Pool) {
        if self.entries.is_empty() {
            self.bytes = pool.take();
            self.entries = pool.take_entries();
        }
    }

    fn end(&self) -> u32 {
        self.entries.len() as u32
    }
}

/// The members of a channel on one shard, and what they have still to be sent.
#[derive(Debug, Default)]
pub(crate) struct FanOut {
    /// Slots of their connections, in no order that shows outside.
    pub(crate) members: Vec<u32>,
    here: [u32; Format::COUNT],
    /// The formats of members here, a bit each.
    pub(crate) formats: u8,
    pub(crate) logs: [Log; Format::COUNT],
    /// Whether it is on the shard's list of what to flush.
    pub(crate) listed: bool,
    /// Whether something in it must not wait.
    pub(crate) prompt: bool,
}

impl FanOut {
    /// Seats a connection: it reads what is appended from now on.
    pub(crate) fn add(&mut self, slot: u32, conn: &mut Conn) {
        conn.member_idx = self.members.len() as u32;
        self.members.push(slot);
        self.count_in(conn.format);
        conn.read_to = self.logs[conn.format.index()].end();
        conn.own_last = NONE;
    }

    /// Takes a connection's seat away. What it has still to read must have been absorbed.
    pub(crate) fn remove(&mut self, slot: u32, conns: &mut Conns) {
        let (idx, format) = (conns[slot].member_idx as usize, conns[slot].format);
        assert_eq!(self.members.swap_remove(idx), slot, "a member knows its place");
        if let Some(&moved) = self.members.get(idx) {
            conns[moved].member_idx = idx as u32;
        }
        self.count_out(format);
        let conn = &mut conns[slot];
        (conn.read_to, conn.own_last) = (0, NONE);
    }

    /// Changes a member's format. What it has still to read must have been absorbed.
    pub(crate) fn reformat(&mut self, conn: &mut Conn, format: Format) {
        self.count_out(conn.format);
        self.count_in(format);
        conn.format = format;
        conn.read_to = self.logs[format.index()].end();
        conn.own_last = NONE;
    }

    fn count_in(&mut self, format: Format) {
        self.here[format.index()] += 1;
        self.formats |= 1 << format.0;
    }

    fn count_out(&mut self, format: Format) {
        self.here[format.index()] -= 1;
        if self.here[format.index()] == 0 {
            self.formats &= !(1 << format.0);
        }
    }

    /// How many members here use `format`.
    pub(crate) fn count(&self, format: Format) -> u32 {
        self.here[format.index()]
    }

    /// Marks what was appended to a format's log since `start` as one message, left out for the member `by`, whose
    /// connection is `own` when it is here.
    pub(crate) fn push(
        &mut self,
        format: Format,
        start: usize,
        by: Option<ConnId>,
        own: Option<&mut Conn>,
        class: Class,
    ) {
        let log = &mut self.logs[format.index()];
        let mut prev_own = NONE;
        if let Some(conn) = own
            && conn.format == format
        {
            prev_own = conn.own_last;
            conn.own_last = log.entries.len() as u32;
        }
        log.entries.push(Entry {
            start: start as u32,
            end: log.bytes.len() as u32,
            prev_own,
            by,
            class,
        });
        self.prompt |= matches!(class, Class::Prompt | Class::Presence);
    }

    /// Bytes of all logs.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.logs.iter().map(|log| log.bytes.len()).sum()
    }

    /// Empties the logs, after every member has read to their end.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        for log in &mut self.logs {
            if !log.entries.is_empty() {
                pool.give(std::mem::take(&mut log.bytes));
                pool.give_entries(std::mem::take(&mut log.entries));
            }
        }
        self.listed = false;
        self.prompt = false;
    }
}

/// What `conn` has still to read from `log`, and how many messages that is, if nothing of it is its own: so it is for
/// nearly all.
pub(crate) fn unread_whole<'a>(conn: &Conn, log: &'a Log) -> Option<(&'a [u8], u32)> {
    let unread = &log.entries[conn.read_to as usize..];
    let start = unread.first().map_or(log.bytes.len(), |entry| entry.start as usize);
    (conn.own_last == NONE).then(|| (&log.bytes[start..], unread.len() as u32))
}

/// The slices of `log` that `conn` has still to read, and how many messages they hold.
pub(crate) fn unread<'a>(conn: &Conn, log: &'a Log) -> (SmallVec<[IoSlice<'a>; 16]>, u32) {
    let mut slices = SmallVec::new();
    let end = log.end();
    if conn.read_to >= end {
        return (slices, 0);
    }
    let mut push = |start: u32, end: u32| {
        if start < end {
            slices.push(IoSlice::new(&log.bytes[start as usize..end as usize]));
        }
    };
    // Own entries come newest first, so what is between them is found from the back.
    let (mut own, mut upper, mut left_out) = (conn.own_last, log.bytes.len() as u32, 0);
    while own != NONE && own >= conn.read_to {
        let entry = &log.entries[own as usize];
        push(entry.end, upper);
        upper = entry.start;
        left_out += 1;
        own = entry.prev_own;
    }
    push(log.entries[conn.read_to as usize].start, upper);
    slices.reverse();
    (slices, end - conn.read_to - left_out)
}

/// Copies what `conn` has still to read from `log` into its outbox. Over `mark` bytes what can be left out is.
pub(crate) fn absorb(conn: &mut Conn, log: &Log, mark: usize, pool: &mut Pool, stats: &mut Stats) {
    if conn.outbox.len() <= mark {
        let (slices, messages) = unread(conn, log);
        for (i, slice) in slices.iter().enumerate() {
            conn.outbox.push(slice, if i == 0 { messages } else { 0 }, pool);
        }
    } else {
        shed(conn, log, pool, stats);
    }
    conn.read_to = log.end();
    conn.own_last = NONE;
}

#[cold]
fn shed(conn: &mut Conn, log: &Log, pool: &mut Pool, stats: &mut Stats) {
    // Newest first, so the next own entry to come by is the last.
    let mut own = Vec::new();
    let mut next = conn.own_last;
    while next != NONE && next >= conn.read_to {
        own.push(next);
        next = log.entries[next as usize].prev_own;
    }
    for idx in conn.read_to..log.end() {
        let entry = &log.entries[idx as usize];
        if own.pop_if(|&mut own| own == idx).is_some() {
            continue;
        }
        let droppable = match entry.class {
            Class::Cursor => true,
            Class::Presence => conn.format.is_line(),
            Class::Notes | Class::Prompt => false,
        };
        if droppable {
            conn.stale = true;
            stats.cursors_shed += u64::from(entry.class == Class::Cursor);
            if entry.class == Class::Presence {
                stats.limit(crate::Limit::LinesShed);
            }
        } else {
            conn.outbox.push(&log.bytes[entry.start as usize..entry.end as usize], 1, pool);
        }
    }
}
