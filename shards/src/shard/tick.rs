//! What time brings.

use super::{Output, Shard};
use crate::{
    AttachmentNews, CloseReason, Event, Key, Limit, LineEvent, Now, RoomKind, StoreRequest, Wire,
    timers::Timer,
};

/// How long before it is closed somebody at a terminal is told so, microseconds.
const IDLE_TOLD_US: u64 = 60_000_000;

impl<W: Wire> Shard<W> {
    /// Does what is due. To be called when [`Shard::next_deadline_us`] has come; earlier calls do no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        while let Some(timer) = self.timers.pop_due(now.mono_us) {
            self.fire(now, timer);
        }
        while let Some(keys) = self.wheel.pop_due(now.mono_us) {
            for key in keys {
                self.check_alive(now, key);
            }
        }
        self.arm_heat(now);
    }

    fn fire(&mut self, now: Now, timer: Timer) {
        match timer {
            Timer::Cursors { channel, serial } => {
                if self.is_channel(channel, serial) {
                    self.send_gathered_cursors(now, channel);
                }
            }
            Timer::Empty { channel, serial, empties } => {
                if self.is_channel(channel, serial) {
                    self.end_if_empty(now, channel, empties);
                }
            }
            Timer::BanEnds { channel, serial } => {
                if self.is_channel(channel, serial) {
                    self.touch_list(channel, now.mono_us);
                }
            }
            Timer::Deferred { slot, generation } => {
                if let Some(slot) = self.conns.slot(Key { slot, generation }) {
                    self.serve_deferred(now, slot);
                }
            }
            Timer::Refused { slot, generation, reason } => {
                if let Some(slot) = self.conns.slot(Key { slot, generation }) {
                    self.close(now, slot, reason);
                }
            }
            Timer::Stalled { slot, generation } => {
                self.look_at_stalled(now, Key { slot, generation });
            }
            Timer::Publish => self.publish(now),
            Timer::Heat => self.look_at_heat(now),
            Timer::Unanswered => self.give_up_on_storage(now),
            Timer::Forwarding => self.forget_forwarding(now),
            Timer::Beat => self.look_at_beats(now),
            Timer::Retell { channel, serial } => {
                if self.is_channel(channel, serial) {
                    self.retell(now, channel);
                }
            }
            Timer::Letters { channel, serial } => {
                if self.is_channel(channel, serial) {
                    self.give_up_incoming(now, channel);
                }
            }
            Timer::Receipts { channel, serial } => {
                if self.is_channel(channel, serial) {
                    self.tell_receipts(now, channel);
                }
            }
        }
    }

    fn is_channel(&self, idx: u32, serial: u64) -> bool {
        self.channels.get(idx as usize).is_some_and(|channel| channel.serial == serial)
    }

    pub(super) fn end_if_empty(&mut self, now: Now, idx: u32, empties: u32) {
        let channel = &self.channels[idx as usize];
        let is_awaited =
            channel.private.as_ref().is_some_and(|private| !private.incoming.is_empty());
        if !channel.roster.is_empty() || channel.empties != empties || is_awaited {
            return;
        }
        if channel.private.as_ref().is_some_and(|private| private.lasts()) && !self.is_blank(idx) {
            return self.put_away(now, idx);
        }
        let channel = self.channels.remove(idx as usize);
        // What is there again under this number is not what it was behind its last event.
        self.seq_floor = self.seq_floor.max(channel.room.seq + 1);
        self.forget_people(now, &channel);
        // One that ends with the server is there again with the next.
        if channel.kept && !self.stopping {
            let name = channel.name.clone();
            self.store(StoreRequest::EndChannel { channel: name, at_ms: now.wall_ms });
        }
        // What is kept of a channel tells of its files when it comes back; a direct or group room that ends does not.
        if !self.stopping && (!channel.kept || channel.private.is_some()) {
            let news = AttachmentNews::RoomOver(channel.room.id);
            self.outputs.push_back(Output::Attachments(news));
        }
        self.by_name.remove(&channel.name);
        if self.by_number.get(&channel.room.id) == Some(&idx) {
            self.by_number.remove(&channel.room.id);
        }
        if channel.heat.hot {
            self.n_hot -= 1;
        }
        if channel.published {
            self.ended.push(std::sync::Arc::new(channel.info(now.mono_us)));
            self.arm_publish(now.mono_us);
        }
    }

    /// Whether a room of two was opened, and no more: nothing of it is kept, and there is nothing to come back to.
    fn is_blank(&self, idx: u32) -> bool {
        let channel = &self.channels[idx as usize];
        channel.kind_of_room() == RoomKind::Direct && !channel.kept && channel.history.is_empty()
    }

    /// Forgets a room that waits for its people where it can be loaded again; nowhere else is it without a storage.
    fn put_away(&mut self, now: Now, idx: u32) {
        let channel = &self.channels[idx as usize];
        if self.config.storage.is_none() || !channel.kept || self.stopping {
            return;
        }
        if self.asked.is_silent() {
            // What is not on the disk yet may never be.
            return self.arm_empty(now, idx);
        }
        let channel = self.channels.remove(idx as usize);
        self.seq_floor = self.seq_floor.max(channel.room.seq);
        self.by_name.remove(&channel.name);
        if self.by_number.get(&channel.room.id) == Some(&idx) {
            self.by_number.remove(&channel.room.id);
        }
        if channel.heat.hot {
            self.n_hot -= 1;
        }
    }

    /// Closes who has said nothing at a terminal for as long as the operator allows, if the operator sets a time. That
    /// the peer is there at all, its kernel says (keepalive).
    fn check_idle(&mut self, now: Now, slot: u32, key: Key, silent_us: u64) {
        let ping_after = self.config.ping_after.as_micros() as u64;
        let Some(idle_max) = self.config.line.idle_max else {
            return self.wheel.arm(now.mono_us + ping_after, now.mono_us, key);
        };
        let idle_max_us = idle_max.as_micros() as u64;
        let told_at_us = idle_max_us.saturating_sub(IDLE_TOLD_US).max(1);
        let line = self.conns[slot].extra().line.get_or_insert_default();
        if silent_us >= idle_max_us && line.idle_told {
            self.stats.limit(Limit::Idle);
            return self.close(now, slot, CloseReason::Idle);
        }
        let tells = silent_us >= told_at_us && !line.idle_told;
        line.idle_told = silent_us >= told_at_us;
        let next = if line.idle_told { idle_max_us } else { told_at_us };
        let next_us = (now.mono_us - silent_us + next).max(now.mono_us + 1);
        self.wheel.arm(next_us.min(now.mono_us + ping_after), now.mono_us, key);
        if tells {
            self.tell(slot, &[Event::Line(LineEvent::Idle)]);
        }
    }

    /// Pings who has been silent, and closes who has been for too long. Each connection comes here now and then.
    fn check_alive(&mut self, now: Now, key: Key) {
        let Some(slot) = self.conns.slot(key) else { return };
        let conn = &mut self.conns[slot];
        if !conn.attached {
            return;
        }
        conn.tidy(&self.config.quotas, now.mono_us);
        let silent_us = now.mono_us.saturating_sub(conn.heard_ms * 1_000);
        let (ping_after, silence_max) =
            (self.config.ping_after.as_micros() as u64, self.config.silence_max.as_micros() as u64);
        if conn.profile.is_none() && conn.awaits().is_none() && !conn.refused {
            let patience = match conn.format.is_line() {
                true => self.config.line.nick_deadline,
                false => self.config.hello_deadline,
            };
            let deadline = conn.heard_ms * 1_000 + patience.as_micros() as u64;
            if now.mono_us >= deadline {
                self.stats.limit(Limit::HelloDeadline);
                return self.close(now, slot, CloseReason::NoHello);
            }
            return self.wheel.arm(deadline, now.mono_us, key);
        }
        if conn.format.is_line() {
            return self.check_idle(now, slot, key, silent_us);
        }
        if silent_us >= silence_max {
            self.stats.limit(Limit::Silence);
            return self.close(now, slot, CloseReason::Silent);
        }
        if silent_us < ping_after {
            return self.wheel.arm(now.mono_us - silent_us + ping_after, now.mono_us, key);
        }
        let end = now.mono_us - silent_us + silence_max;
        self.wheel.arm(end.min(now.mono_us + ping_after), now.mono_us, key);
        let mut bytes = self.pool.scratch();
        self.wire.ping(self.conns[slot].format, &mut bytes);
        self.deliver(slot, &bytes, 0);
        self.pool.put_back(bytes);
    }
}

/// What the wheel that looks after connections has to tell apart.
pub(super) fn shortest_wait(config: &crate::Config) -> std::time::Duration {
    let crate::Config { ping_after, silence_max, hello_deadline, line, .. } = config;
    let idle = line.idle_max.unwrap_or(line.nick_deadline);
    (*ping_after).min(*silence_max).min(*hello_deadline).min(line.nick_deadline).min(idle)
}
