//! How bytes leave: once a turn, each connection with something to be sent is given to the transport once.

use super::{Actor, FanRef, Shard};
use crate::{
    CloseReason, Config, Format, Key, Limit, Now, Stats, Wire,
    channel::At,
    conn::{Conn, Conns, Seat},
    fan_out::{self, FanOut, NONE},
    mesh::Mesh,
    outbox::Pool,
    timers::Timer,
};
use smallvec::SmallVec;
use std::{hint::black_box, io::IoSlice};

/// A socket is given at most so many slices at once; a member with more own messages in between gets a copy instead.
const SLICES_MAX: usize = 256;
/// So many members are looked at ahead of what is sent to them. What the kernel does for a send pushes their state out
/// of the nearest caches, and fetching it for several at once costs hardly more than for one.
const AHEAD: usize = 8;
/// A log that grew so long is flushed before more is read, so that no turn can overfill the outboxes.
pub(super) const LOG_BYTES_MAX: usize = 128 << 10;

/// What became of a send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// The first so many bytes were taken. If that is not all, the caller says later that the rest can be tried
    /// ([`Shard::handle_writable`]).
    Bytes(usize),
    /// The connection is broken. The caller reports it when it sees it.
    Broken,
}

/// Takes bytes for connections. Never waits.
pub trait Transport {
    /// Writes as much of the slices as the connection takes, in one go.
    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent;

    /// Is about to be given bytes for this connection: what it will look up can be fetched from memory already.
    fn prepare(&self, _: Key) {}
}

/// What waits to be flushed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Pending {
    /// Nothing.
    Nothing,
    /// Only notes, cursors and chat, which may wait for a fuller send while the shard is busy.
    Bulk,
    /// Something for which somebody waits.
    Prompt,
}

/// What a flush works with, apart from the fan-out itself.
struct Out<'a, T> {
    conns: &'a mut Conns,
    pool: &'a mut Pool,
    stats: &'a mut Stats,
    config: &'a Config,
    transport: &'a mut T,
    n_blocked: &'a mut u64,
    waiting_bytes: &'a mut u64,
    outcome: Outcome,
}

/// What sending showed about connections.
#[derive(Default)]
struct Outcome {
    /// They have more waiting than they may.
    overfull: Vec<Key>,
    /// They took everything, and something was left out or put off until then.
    caught_up: Vec<Key>,
    /// Those at terminals that did not take all; whether they took something.
    stalled: Vec<(Key, bool)>,
}

impl<W: Wire> Shard<W> {
    /// What the next flush would send.
    #[must_use]
    pub fn pending(&self) -> Pending {
        if self.prompt || !self.dirty_conns.is_empty() {
            Pending::Prompt
        } else if self.dirty_fans.is_empty() {
            Pending::Nothing
        } else {
            Pending::Bulk
        }
    }

    /// Whether so much is pending that it should be flushed before more input is handled.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.pressed
    }

    fn fan(&self, fan: FanRef) -> Option<&FanOut> {
        match fan {
            FanRef::Channel { channel, serial } => {
                let channel = self.channels.get(channel as usize)?;
                (channel.serial == serial).then_some(&channel.fan)
            }
            FanRef::Relay { relay, serial } => {
                let relay = self.relays.get(relay as usize)?;
                (relay.serial == serial).then_some(&relay.fan)
            }
        }
    }

    /// Sends what is pending: all of it, or with `bulk_waits` only what must not wait. Follow with the outputs.
    ///
    /// What follows from it (somebody closed for a full outbox, the rest of a long list) is pending afterwards: look
    /// at [`Shard::pending`] again before waiting.
    pub fn flush<T: Transport>(&mut self, now: Now, transport: &mut T, bulk_waits: bool) {
        self.tell_followers();
        let mut fans = std::mem::take(&mut self.dirty_fans);
        let mut waiting = Vec::new();
        for &fan in &fans {
            if bulk_waits && self.fan(fan).is_some_and(|fan| !fan.prompt) {
                waiting.push(fan);
                continue;
            }
            if let FanRef::Channel { channel, serial } = fan
                && self.channels.get(channel as usize).is_some_and(|c| c.serial == serial)
            {
                self.ship(channel);
            }
            self.flush_fan(now, fan, transport);
        }
        // Closing who was overfull has told others of it, in channels that may have been flushed already.
        fans.clear();
        fans.append(&mut waiting);
        fans.append(&mut self.dirty_fans);
        self.dirty_fans = fans;

        let mut dirty = std::mem::take(&mut self.dirty_conns);
        let mut out = self.out(transport);
        for &key in &dirty {
            if let Some(slot) = out.conns.slot(key)
                && out.conns[slot].listed
            {
                out.send(slot, key, &[], 0);
            }
        }
        let outcome = out.outcome;
        dirty.clear();
        self.dirty_conns = dirty;
        self.prompt =
            self.dirty_fans.iter().any(|&fan| self.fan(fan).is_some_and(|fan| fan.prompt));
        // Those that wait may be long already.
        let too_long =
            |&fan: &FanRef| self.fan(fan).is_some_and(|f| f.pending_bytes() > LOG_BYTES_MAX);
        self.pressed = self.dirty_fans.iter().any(too_long);
        self.follow_up(now, outcome);
        self.arm_heat(now);
    }

    fn out<'a, T>(&'a mut self, transport: &'a mut T) -> Out<'a, T> {
        Out {
            conns: &mut self.conns,
            pool: &mut self.pool,
            stats: &mut self.stats,
            config: &self.config,
            transport,
            n_blocked: &mut self.n_blocked,
            waiting_bytes: &mut self.waiting_bytes,
            outcome: Outcome::default(),
        }
    }

    fn flush_fan<T: Transport>(&mut self, now: Now, fan: FanRef, transport: &mut T) {
        if self.fan(fan).is_none() {
            return;
        }
        // Taken out and put back, so that the connections can be changed beside it. It is a few pointers.
        let mut taken = std::mem::take(self.fan_mut(fan));
        let mut out = self.out(transport);
        for group in taken.members.chunks(AHEAD) {
            for &slot in group {
                black_box(out.conns[slot].outbox.is_empty());
                out.transport.prepare(out.conns.key(slot));
            }
            for &slot in group {
                out.send_unread(slot, &taken);
            }
        }
        let outcome = out.outcome;
        taken.clear(&mut self.pool);
        if let FanRef::Channel { channel, .. } = fan {
            for away in &mut self.channels[channel as usize].away {
                away.shipped = [0; Format::COUNT];
            }
        }
        *self.fan_mut(fan) = taken;
        self.follow_up(now, outcome);
    }

    fn fan_mut(&mut self, fan: FanRef) -> &mut FanOut {
        match fan {
            FanRef::Channel { channel, .. } => &mut self.channels[channel as usize].fan,
            FanRef::Relay { relay, .. } => &mut self.relays[relay as usize].fan,
        }
    }

    fn follow_up(&mut self, now: Now, outcome: Outcome) {
        for key in outcome.overfull {
            if let Some(slot) = self.conns.slot(key) {
                let is_line = self.conns[slot].format.is_line();
                let limit = if is_line { Limit::LineOutbox } else { Limit::OutboxBytes };
                self.stats.limit(limit);
                self.close(now, slot, CloseReason::Backlog);
            }
        }
        for (key, took) in outcome.stalled {
            self.watch_stalled(now, key, took);
        }
        for key in outcome.caught_up {
            if let Some(slot) = self.conns.slot(key) {
                self.catch_up(slot);
            }
        }
    }

    /// One at a terminal did not take all that it was given. It is closed if it goes on taking nothing.
    fn watch_stalled(&mut self, now: Now, key: Key, took: bool) {
        let Some(slot) = self.conns.slot(key) else { return };
        let extra = self.conns[slot].extra();
        let is_watched = extra.stalled_since_us > 0;
        if took || !is_watched {
            extra.stalled_since_us = now.mono_us.max(1);
        }
        if !is_watched {
            let until = now.mono_us + self.config.line.stalled_max.as_micros() as u64;
            self.arm(until, Timer::Stalled { slot: key.slot, generation: key.generation });
        }
    }

    /// Looks whether one that did not take all has taken something since.
    pub(super) fn look_at_stalled(&mut self, now: Now, key: Key) {
        let Some(slot) = self.conns.slot(key) else { return };
        let blocked = self.conns[slot].blocked;
        let Some(extra) = &mut self.conns[slot].extra else { return };
        if !blocked {
            extra.stalled_since_us = 0;
            return;
        }
        let until = extra.stalled_since_us + self.config.line.stalled_max.as_micros() as u64;
        if now.mono_us >= until {
            self.stats.limit(Limit::Stalled);
            return self.close(now, slot, CloseReason::Stalled);
        }
        self.arm(until, Timer::Stalled { slot: key.slot, generation: key.generation });
    }

    /// A connection that did not take all can take more now.
    pub fn handle_writable<T: Transport>(&mut self, now: Now, key: Key, transport: &mut T) {
        let Some(slot) = self.conns.slot(key) else { return };
        let conn = &mut self.conns[slot];
        if !conn.blocked || !conn.attached {
            return;
        }
        conn.blocked = false;
        self.n_blocked -= 1;
        self.waiting_bytes -= conn.outbox.len() as u64;
        let mut out = self.out(transport);
        out.send(slot, key, &[], 0);
        let outcome = out.outcome;
        self.follow_up(now, outcome);
    }

    /// Someone who had fallen behind has taken everything: tells what was left out meanwhile.
    fn catch_up(&mut self, slot: u32) {
        self.continue_list(slot);
        let conn = &mut self.conns[slot];
        if !std::mem::take(&mut conn.stale) {
            return;
        }
        if conn.format.is_line() {
            return self.tell(slot, &[crate::Event::Line(crate::LineEvent::LeftOut)]);
        }
        let id = conn.id;
        match conn.seat {
            Seat::None => {}
            Seat::Owned { channel, participant } => {
                self.tell_cursors(Actor { channel, participant, conn: id, at: At::Here(slot) });
            }
            Seat::Relayed { relay } => {
                let owner = self.relays[relay as usize].of.owner;
                self.mesh(owner, Mesh::MemberCursors { conn: id });
            }
        }
    }
}

impl<T: Transport> Out<'_, T> {
    /// Copies what a member has still to read into its outbox.
    fn absorb(&mut self, slot: u32, log: &fan_out::Log) {
        let conn = &mut self.conns[slot];
        let before = conn.outbox.len();
        let mark = match conn.blocked {
            true => self.config.outbox_marks(conn.format).0 as usize,
            false => usize::MAX,
        };
        fan_out::absorb(conn, log, mark, self.pool, self.stats);
        if conn.blocked {
            *self.waiting_bytes += (conn.outbox.len() - before) as u64;
        }
    }

    /// Sends a member of `fan` what it has still to read. Afterwards it reads from 0, where the next log begins.
    fn send_unread(&mut self, slot: u32, fan: &FanOut) {
        let key = self.conns.key(slot);
        let conn = &self.conns[slot];
        let log = &fan.logs[conn.format.index()];
        if let Some((bytes, messages)) = fan_out::unread_whole(conn, log)
            && !conn.blocked
        {
            if messages > 0 || !conn.outbox.is_empty() {
                self.send(slot, key, &[IoSlice::new(bytes)], messages);
            }
        } else {
            let (slices, messages) = fan_out::unread(conn, log);
            if conn.blocked || slices.len() > SLICES_MAX {
                self.absorb(slot, log);
                self.send(slot, key, &[], 0);
            } else {
                self.send(slot, key, &slices, messages);
            }
        }
        let conn = &mut self.conns[slot];
        (conn.read_to, conn.own_last) = (0, NONE);
    }

    /// Sends the outbox and, behind it, `slices` that hold `messages`. What is not taken waits in the outbox.
    fn send(&mut self, slot: u32, key: Key, slices: &[IoSlice<'_>], messages: u32) {
        let conn: &mut Conn = &mut self.conns[slot];
        conn.listed = false;
        if !conn.blocked {
            let messages = conn.outbox.messages() + messages;
            let total = conn.outbox.len() + slices.iter().map(|slice| slice.len()).sum::<usize>();
            let sent = if total == 0 {
                Sent::Bytes(0)
            } else if conn.outbox.is_empty() {
                self.transport.send(key, slices)
            } else {
                let mut all: SmallVec<[IoSlice<'_>; 16]> = SmallVec::new();
                all.push(IoSlice::new(conn.outbox.unsent()));
                all.extend(slices.iter().copied().filter(|slice| !slice.is_empty()));
                self.transport.send(key, &all)
            };
            let taken = match sent {
                Sent::Bytes(taken) => taken,
                // Nothing is kept for it: the caller is about to report that the peer is gone.
                Sent::Broken => return conn.outbox.take(self.pool),
            };
            assert!(taken <= total, "no more is sent than was given");
            self.stats.sends += u64::from(total > 0);
            self.stats.bytes_sent += taken as u64;
            let from_outbox = taken.min(conn.outbox.len());
            if taken == total {
                if conn.has_to_catch_up() {
                    self.outcome.caught_up.push(key);
                }
                self.stats.messages_sent += u64::from(messages);
                if from_outbox > 0 {
                    conn.outbox.advance(from_outbox, self.pool);
                }
                return;
            }
            if from_outbox > 0 {
                conn.outbox.advance(from_outbox, self.pool);
            }
            let mut skip = taken - from_outbox;
            for slice in slices {
                let rest = &slice[skip.min(slice.len())..];
                skip -= skip.min(slice.len());
                if !rest.is_empty() {
                    conn.outbox.push(rest, 0, self.pool);
                }
            }
            conn.blocked = true;
            if conn.format.is_line() {
                self.outcome.stalled.push((key, taken > 0));
            }
            *self.n_blocked += 1;
            *self.waiting_bytes += conn.outbox.len() as u64;
        }
        let crowded = *self.waiting_bytes > self.config.outbox_bytes_total;
        let (mark, max) = self.config.outbox_marks(conn.format);
        let max = if crowded { mark } else { max };
        if conn.outbox.len() > max as usize {
            self.outcome.overfull.push(key);
        }
    }
}
