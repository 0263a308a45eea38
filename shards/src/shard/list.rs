//! The channel list: publishing this shard's part of it, and telling those who follow it.

use super::{NOWHERE, Shard};
use crate::{
    ChannelInfo, Event, Format, Limit, Now, ShardId, UserId, Wire, conn::ListDue, mesh::Mesh,
    timers::Timer,
};
use std::sync::Arc;

impl<W: Wire> Shard<W> {
    /// Something changed that the channel list shows.
    pub(super) fn touch_list(&mut self, idx: u32, now_us: u64) {
        let channel = &mut self.channels[idx as usize];
        if !channel.publish_listed && channel.private.is_none() {
            channel.publish_listed = true;
            self.publish.push((idx, channel.serial));
            self.arm_publish(now_us);
        }
    }

    pub(super) fn arm_publish(&mut self, now_us: u64) {
        if self.publish.len() + self.ended.len() == 1 {
            let tick = self.config.directory_tick.as_micros() as u64;
            self.arm(now_us.max(self.published_at_us + tick), Timer::Publish);
        }
    }

    /// Publishes what changed: at most once a tick, one batch for every shard.
    pub(super) fn publish(&mut self, now: Now) {
        self.published_at_us = now.mono_us;
        let mut entries = std::mem::take(&mut self.ended);
        for (idx, serial) in std::mem::take(&mut self.publish) {
            let Some(channel) = self.channels.get_mut(idx as usize) else { continue };
            if channel.serial != serial {
                continue;
            }
            channel.publish_listed = false;
            let mut info = channel.info(now.mono_us);
            let shown = info.settings.visible && (info.count > 0 || info.name.is_permanent());
            if !shown {
                if !channel.published {
                    continue;
                }
                // Clients never remove entries: nobody is there any more, as far as they are concerned.
                info.count = 0;
            }
            channel.published = shown;
            entries.push(Arc::new(info));
        }
        if entries.is_empty() {
            return;
        }
        self.publish_sequence += 1;
        let (sequence, entries) = (self.publish_sequence, Arc::<[_]>::from(entries));
        self.mesh_all(&Mesh::Directory { sequence, entries: entries.clone() });
        self.on_directory(now, self.id, sequence, &entries);
    }

    pub(super) fn on_directory(
        &mut self,
        now: Now,
        from: ShardId,
        sequence: u64,
        entries: &[Arc<ChannelInfo>],
    ) {
        self.directory.apply(from, sequence, entries, now.mono_us);
        if self.followers.is_empty() {
            self.list_told.copy_from_slice(self.directory.seen());
            return;
        }
        for info in entries {
            self.list_news.retain(|older| older.name != info.name);
            self.list_news.push(info.clone());
        }
        self.prompt = true;
    }

    pub(super) fn follow_list(&mut self, now: Now, slot: u32, on: bool) {
        let rate = self.config.rates.list;
        let conn = &mut self.conns[slot];
        if !conn.extra().list.take(rate, now.mono_us, 1) {
            return self.stats.limit(Limit::ListRate);
        }
        if !on {
            return self.unfollow_list(slot);
        }
        self.join_followers(slot);
        self.conns[slot].extra().list_due = Some(ListDue::default());
        self.continue_list(slot);
    }

    fn join_followers(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        if conn.list_idx == NOWHERE {
            conn.list_idx = self.followers.len() as u32;
            self.followers.push(slot);
        }
    }

    /// Channels in one message of a list.
    fn list_chunk(&self) -> usize {
        self.config.list_chunk.max(1) as usize
    }

    pub(super) fn unfollow_list(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        let idx = std::mem::replace(&mut conn.list_idx, NOWHERE);
        if idx == NOWHERE {
            return;
        }
        if let Some(extra) = &mut conn.extra {
            extra.list_due = None;
        }
        self.followers.swap_remove(idx as usize);
        if let Some(&moved) = self.followers.get(idx as usize) {
            self.conns[moved].list_idx = idx;
        }
    }

    /// Someone who follows the list came from another shard: sends what that shard had not seen yet.
    pub(super) fn adopt_follower(&mut self, slot: u32, seen: &[u64]) {
        self.join_followers(slot);
        if self.directory.has_news(seen) {
            ListDue::missed(&mut self.conns[slot].extra().list_due, seen);
        }
        self.continue_list(slot);
    }

    /// Sends more of the list to someone to whom some of it is due, as long as they take it.
    pub(super) fn continue_list(&mut self, slot: u32) {
        loop {
            let conn = &self.conns[slot];
            if conn.outbox.len() > self.config.outbox_bytes_mark as usize {
                return;
            }
            let Some(due) = conn.extra.as_ref().and_then(|extra| extra.list_due.clone()) else {
                return;
            };
            let ListDue { since, after, then } = due;
            let user = conn.profile.as_ref().map(|profile| profile.user);
            let banned = user.filter(|&user| self.directory.is_banned_somewhere(user));
            let complete = since.is_none() && after.is_none();
            if complete && banned.is_none() && self.directory.len() <= self.list_chunk() {
                self.send_cached_list(slot);
                self.conns[slot].extra().list_due =
                    then.map(|seen| ListDue { since: Some(seen), ..ListDue::default() });
                continue;
            }
            let entries: Vec<&ChannelInfo> = match &since {
                None => {
                    self.directory.listed_after(after.as_ref()).take(self.list_chunk()).collect()
                }
                Some(since) if self.directory.has_forgotten(since) => {
                    self.conns[slot].extra().list_due = Some(ListDue::default());
                    continue;
                }
                Some(since) => self
                    .directory
                    .changed_after(since, after.as_ref())
                    .take(self.list_chunk())
                    .collect(),
            };
            let next = match entries.last() {
                Some(last) if entries.len() == self.list_chunk() => {
                    Some(ListDue { since, after: Some(last.name.clone()), then })
                }
                _ => then.map(|seen| ListDue { since: Some(seen), ..ListDue::default() }),
            };
            if complete || !entries.is_empty() {
                let mut bytes = self.pool.scratch();
                let event = Event::List { complete, entries: &entries, banned };
                self.wire.encode(self.conns[slot].format, &[event], &mut bytes);
                self.stats.event(crate::EventKind::List, 1);
                self.deliver(slot, &bytes, 1);
                self.pool.put_back(bytes);
            }
            self.conns[slot].extra().list_due = next;
        }
    }

    /// The whole list, encoded once for all who ask before it changes.
    pub(super) fn send_cached_list(&mut self, slot: u32) {
        let format = self.conns[slot].format;
        let version = self.directory.version;
        let cached = self.list_cache[format.index()].take().filter(|(at, _)| *at == version);
        let bytes = cached.map_or_else(
            || {
                let entries: Vec<&ChannelInfo> = self.directory.listed_after(None).collect();
                let mut bytes = Vec::new();
                let event = Event::List { complete: true, entries: &entries, banned: None };
                self.wire.encode(format, &[event], &mut bytes);
                bytes
            },
            |(_, bytes)| bytes,
        );
        self.stats.event(crate::EventKind::List, 1);
        self.deliver(slot, &bytes, 1);
        self.list_cache[format.index()] = Some((version, bytes));
    }

    fn tell_list(&mut self, slot: u32, news: &[Arc<ChannelInfo>]) {
        let entries: Vec<&ChannelInfo> = news.iter().map(|info| &**info).collect();
        let banned = self.banned_among(slot, news);
        self.tell(slot, &[Event::List { complete: false, entries: &entries, banned }]);
    }

    fn banned_among(&self, slot: u32, news: &[Arc<ChannelInfo>]) -> Option<UserId> {
        let user = self.conns[slot].profile.as_ref()?.user;
        news.iter().any(|info| info.banned.binary_search(&user).is_ok()).then_some(user)
    }

    /// Tells all followers what changed in this turn, encoded once for all who are not banned in any of it.
    pub(super) fn tell_followers(&mut self) {
        if self.list_news.is_empty() {
            return;
        }
        let news = std::mem::take(&mut self.list_news);
        let followers = self.followers.clone();
        for chunk in news.chunks(self.list_chunk()) {
            let entries: Vec<&ChannelInfo> = chunk.iter().map(|info| &**info).collect();
            let mut encoded: [Option<Vec<u8>>; Format::COUNT] = [const { None }; Format::COUNT];
            for &slot in &followers {
                let conn = &self.conns[slot];
                if conn.outbox.len() > self.config.outbox_bytes_mark as usize {
                    // Someone who does not keep up is told later what became of it, instead of all that led there.
                    ListDue::missed(&mut self.conns[slot].extra().list_due, &self.list_told);
                    continue;
                }
                if self.banned_among(slot, chunk).is_some() {
                    self.tell_list(slot, chunk);
                    continue;
                }
                let format = conn.format;
                let bytes = encoded[format.index()].take().unwrap_or_else(|| {
                    let mut bytes = self.pool.scratch();
                    let event = Event::List { complete: false, entries: &entries, banned: None };
                    self.wire.encode(format, &[event], &mut bytes);
                    bytes
                });
                self.stats.event(crate::EventKind::List, 1);
                self.deliver(slot, &bytes, 1);
                encoded[format.index()] = Some(bytes);
            }
            for bytes in encoded.into_iter().flatten() {
                self.pool.put_back(bytes);
            }
        }
        self.list_told.copy_from_slice(self.directory.seen());
    }
}
