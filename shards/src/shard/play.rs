//! Notes and cursors: the hot path.

use super::{Actor, Shard};
use crate::{Event, Limit, NoteBatch, Notice, Now, Position, Wire, fan_out::Class, timers::Timer};

impl<W: Wire> Shard<W> {
    pub(super) fn play(&mut self, now: Now, actor: Actor, batch: NoteBatch) {
        let channel = &mut self.channels[actor.channel as usize];
        let user = channel.roster[actor.participant].profile.user;
        if channel.settings.crown_solo && !channel.is_holder(user) {
            return;
        }
        let preset = channel.preset(&self.config, user);
        let participant = &mut channel.roster[actor.participant];
        if !participant.quota.spend(&self.config.quotas, preset, now.mono_us, batch.sent) {
            let told = &mut participant.rates().too_fast_told_ms;
            let now_ms = now.mono_ms();
            self.stats.limit(Limit::NoteQuota);
            let every_ms = self.config.too_fast_told_every.as_millis() as u64;
            if *told == 0 || now_ms >= *told + every_ms {
                *told = now_ms.max(1);
                self.answer(actor, &[Event::Notice(&Notice::TooFast)]);
            }
            return;
        }
        if batch.notes.is_empty() {
            return;
        }
        let wall = now.wall_ms as f64;
        let off_max_ms = self.config.note_time_off_max.as_millis() as f64;
        let in_time = (batch.at_ms - wall).abs() <= off_max_ms;
        let at_ms = if in_time { batch.at_ms } else { wall };
        let event = Event::Notes { user, at_ms, notes: &batch.notes };
        self.broadcast(actor.channel, Some(actor), Class::Notes, event);
    }

    /// The first move after a quiet time goes out at once; then a channel's moves are gathered, and of each
    /// participant only the newest goes out at the channel's tick.
    pub(super) fn move_cursor(&mut self, now: Now, actor: Actor, position: Position) {
        let idx = actor.channel;
        let channel = &mut self.channels[idx as usize];
        let participant = &mut channel.roster[actor.participant];
        participant.position = position;
        participant.cursor_by = Some(actor.conn);
        if participant.cursor_pending {
            self.stats.cursors_merged += 1;
            return;
        }
        let held = self.mesh_crowded && !channel.away.is_empty();
        if channel.cursors_at_us <= now.mono_us && !channel.cursors_armed && !held {
            channel.cursors_at_us = now.mono_us + self.config.cursor_tick.as_micros() as u64;
            return self.send_cursor(idx, actor.participant);
        }
        participant.cursor_pending = true;
        channel.moved.push(actor.participant);
        if !channel.cursors_armed {
            channel.cursors_armed = true;
            let timer = Timer::Cursors { channel: idx, serial: channel.serial };
            let at = channel.cursors_at_us.max(now.mono_us);
            self.arm(at, timer);
        }
    }

    pub(super) fn send_gathered_cursors(&mut self, now: Now, idx: u32) {
        let channel = &mut self.channels[idx as usize];
        channel.cursors_at_us = now.mono_us + self.config.cursor_tick.as_micros() as u64;
        if self.mesh_crowded && !channel.away.is_empty() {
            self.stats.cursors_held += 1;
            let timer = Timer::Cursors { channel: idx, serial: channel.serial };
            let at = channel.cursors_at_us;
            return self.arm(at, timer);
        }
        channel.cursors_armed = false;
        let mut moved = std::mem::take(&mut channel.moved);
        for &participant in &moved {
            self.channels[idx as usize].roster[participant].cursor_pending = false;
            self.send_cursor(idx, participant);
        }
        moved.clear();
        self.channels[idx as usize].moved = moved;
    }

    fn send_cursor(&mut self, idx: u32, participant: u32) {
        let channel = &self.channels[idx as usize];
        let mover = &channel.roster[participant];
        let by = mover.cursor_by.and_then(|conn| {
            let member = mover.members.iter().find(|member| member.conn == conn)?;
            Some(Actor { channel: idx, participant, conn, at: member.at })
        });
        let event = Event::Cursor { user: mover.profile.user, position: mover.position };
        self.broadcast(idx, by, Class::Cursor, event);
    }
}
