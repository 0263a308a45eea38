//! Announcements: what is for everyone, or for all who follow custom messages, whatever shard they are on.
//!
//! Each shard numbers its own announcements and tells them to every shard. A connection that goes from one shard to
//! another carries the numbers of what the old one had heard: the new one tells it what it missed, and leaves out
//! what it will hear of only later but the connection knows already. So each is told once, wherever a connection is.

use super::Shard;
use crate::{CustomBody, Event, Notice, Now, Profile, ShardId, Wire, mesh::Mesh};
use std::{collections::VecDeque, sync::Arc};

/// How long announcements are kept for connections that are between two shards, in microseconds.
const KEPT_US: u64 = 30_000_000;
/// Most of them that are kept. Custom messages are limited by bytes, so this is some megabytes at worst.
const KEPT_MAX: usize = 1_024;

/// Something for many.
#[derive(Clone, Debug)]
pub(crate) enum Announcement {
    /// For every connection.
    Notice(Arc<Notice>),
    /// For those who follow custom messages, but not for the sender's connections.
    Custom { from: Arc<Profile>, body: Arc<CustomBody> },
}

/// What a shard has heard.
#[derive(Debug)]
pub(super) struct Announcements {
    /// The last number of each shard.
    heard: Vec<u64>,
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Recent {
    at_us: u64,
    from: ShardId,
    sequence: u64,
    announcement: Announcement,
}

impl Announcements {
    pub(super) fn new(shards: u16) -> Self {
        Announcements { heard: vec![0; usize::from(shards)], recent: VecDeque::new() }
    }
}

impl<W: Wire> Shard<W> {
    /// Tells it on every shard.
    pub(super) fn announce(&mut self, now: Now, announcement: Announcement) {
        let sequence = self.announcements.heard[self.id.index()] + 1;
        self.mesh_all(&Mesh::Announcement { sequence, announcement: announcement.clone() });
        self.on_announcement(now, self.id, sequence, announcement);
    }

    pub(super) fn on_announcement(
        &mut self,
        now: Now,
        from: ShardId,
        sequence: u64,
        announcement: Announcement,
    ) {
        let heard = &mut self.announcements.heard[from.index()];
        assert_eq!(*heard + 1, sequence, "announcements of one shard arrive in order");
        *heard = sequence;
        let slots: Vec<u32> = match &announcement {
            Announcement::Notice(_) => self.conns.iter().map(|(slot, _)| slot).collect(),
            Announcement::Custom { .. } => self.custom_followers.iter().copied().collect(),
        };
        for slot in slots {
            let conn = &self.conns[slot];
            let ahead = conn.extra.as_ref().and_then(|extra| extra.heard_ahead.as_ref());
            let knows =
                ahead.and_then(|heard| heard.get(from.index())).is_some_and(|&n| n >= sequence);
            // One whose socket is still on the way brings along what it has heard.
            if conn.attached && !knows {
                self.tell_announcement(slot, &announcement);
            }
        }
        let recent = &mut self.announcements.recent;
        recent.push_back(Recent { at_us: now.mono_us, from, sequence, announcement });
        while recent.len() > KEPT_MAX
            || recent.front().is_some_and(|r| r.at_us + KEPT_US < now.mono_us)
        {
            recent.pop_front();
        }
    }

    fn tell_announcement(&mut self, slot: u32, announcement: &Announcement) {
        match announcement {
            Announcement::Notice(notice) => self.tell(slot, &[Event::Notice(notice)]),
            Announcement::Custom { from, body } => {
                let conn = &self.conns[slot];
                let other = conn.profile.as_ref().is_some_and(|profile| profile.user != from.user);
                if conn.follows_custom && other {
                    let with_blob = conn.binary_custom && body.blob.is_some();
                    self.tell(slot, &[Event::Custom { from, body, with_blob }]);
                }
            }
        }
    }

    /// What a connection of this shard has heard, to go with it to another.
    pub(super) fn heard_by(&self, slot: u32) -> Vec<u64> {
        let mut heard = self.announcements.heard.clone();
        let extra = self.conns[slot].extra.as_ref();
        if let Some(ahead) = extra.and_then(|extra| extra.heard_ahead.as_ref()) {
            for (heard, &ahead) in heard.iter_mut().zip(ahead) {
                *heard = (*heard).max(ahead);
            }
        }
        heard
    }

    /// A connection came that has heard this elsewhere: tells it what it missed on the way.
    pub(super) fn catch_up_announcements(&mut self, slot: u32, heard: Vec<u64>) {
        let heard_of = |from: ShardId| heard.get(from.index()).copied().unwrap_or(0);
        let recent = &self.announcements.recent;
        let missed: Vec<Announcement> = recent
            .iter()
            .filter(|recent| recent.sequence > heard_of(recent.from))
            .map(|recent| recent.announcement.clone())
            .collect();
        for announcement in &missed {
            self.tell_announcement(slot, announcement);
        }
        let ahead = heard.iter().zip(&self.announcements.heard).any(|(theirs, ours)| theirs > ours);
        if ahead {
            self.conns[slot].extra().heard_ahead = Some(heard);
        } else if let Some(extra) = &mut self.conns[slot].extra {
            extra.heard_ahead = None;
        }
    }
}
