//! Who is there: what the client says of itself, and what it is told of others.
//!
//! Datagrams are lost, so each change is told twice, with the same number. Somebody in several rooms of the client is
//! told of in each, and passed on once. To one who is slow nothing is told: who is there is no reason to wait longer.

use super::{Ask, Session};
use std::collections::{BTreeMap, VecDeque};
use tutti_shards::Now;

/// When a change is told again, microseconds.
const AGAIN_US: u64 = 3_000_000;
/// How often the core is told what the client says of itself, microseconds.
const SAID_EVERY_US: u64 = 1_000_000;
/// Most people whose changes are kept to be told again.
const REPEATED_MAX: usize = 1_000;

/// What of it is to be done yet.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// What the client said of itself last, while the core was not told.
    said: Option<Box<(bool, Option<Box<str>>)>>,
    /// Before this moment the core is not told again.
    said_rests_until_us: u64,
    /// `None` while nothing is, which is mostly.
    repeats: Option<Box<Repeats>>,
}

/// What is to be told again.
#[derive(Debug, Default)]
struct Repeats {
    /// The last change of each person, by their number.
    told: BTreeMap<u64, (u32, Vec<u8>)>,
    /// When which change is told again, soonest first; never empty.
    again: VecDeque<(u64, u64, u32)>,
}

impl Presence {
    /// The client says whether somebody is there. Of several in a moment the last counts.
    pub(super) fn says(&mut self, now: Now, away: bool, status: Option<Box<str>>) {
        if self.said.is_none() && self.said_rests_until_us < now.mono_us {
            self.said_rests_until_us = now.mono_us;
        }
        self.said = Some(Box::new((away, status)));
    }

    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        let said = self.said.as_ref().map(|_| self.said_rests_until_us);
        [said, self.again_us()].into_iter().flatten().min()
    }

    /// When the next change is told again.
    fn again_us(&self) -> Option<u64> {
        self.repeats.as_ref()?.again.front().map(|&(at, ..)| at)
    }
}

impl Session {
    /// Tells the core what the client said of itself, if it may be told.
    pub(super) fn pass_presence_on(&mut self, now: Now) {
        if now.mono_us < self.presence.said_rests_until_us {
            return;
        }
        if let Some(said) = self.presence.said.take() {
            let (away, status) = *said;
            self.presence.said_rests_until_us = now.mono_us + SAID_EVERY_US;
            self.asks.push_back(Ask::Presence(away, status));
        }
    }

    /// A room says that somebody is there or away: the mark is theirs, the number of the change, and the frame.
    pub(super) fn told_presence(&mut self, now: Now, mark: &[u8]) {
        let Some((user, rest)) = mark.split_first_chunk() else { return };
        let Some((number, frame)) = rest.split_first_chunk() else { return };
        let (user, number) = (u64::from_be_bytes(*user), u32::from_be_bytes(*number));
        let is_own = self.account.as_ref().is_some_and(|account| account.number == user);
        if !self.capabilities.presence || is_own || self.is_slow() {
            return;
        }
        let repeats = self.presence.repeats.get_or_insert_default();
        if repeats.told.get(&user).is_some_and(|(known, _)| *known >= number) {
            return;
        }
        repeats.told.insert(user, (number, frame.to_vec()));
        repeats.again.push_back((now.mono_us + AGAIN_US, user, number));
        let is_over = repeats.again.len() > REPEATED_MAX;
        self.datagram(frame);
        if is_over {
            self.tell_presence_again();
        }
    }

    /// Tells again what is due.
    pub(super) fn repeat_presence(&mut self, now: Now) {
        while self.presence.again_us().is_some_and(|at| at <= now.mono_us) {
            self.tell_presence_again();
        }
    }

    fn tell_presence_again(&mut self) {
        let Some(Repeats { told, again }) = self.presence.repeats.as_deref_mut() else { return };
        let Some((_, user, number)) = again.pop_front() else { return };
        // A newer one is told again by itself.
        let is_last = told.get(&user).is_some_and(|(known, _)| *known == number);
        let frame = if is_last { told.remove(&user) } else { None };
        if again.is_empty() {
            self.presence.repeats = None;
        }
        if let Some((_, frame)) = frame
            && !self.is_slow()
        {
            self.datagram(&frame);
        }
    }

    fn is_slow(&self) -> bool {
        let streams = self.outlets();
        let (mut all, mut most) = (0, 0);
        for waiting in streams.map(super::Outlet::waiting) {
            (all, most) = (all + waiting, most.max(waiting));
        }
        all > self.config.outbox.bytes_mark || most > self.config.outbox.stream_bytes_mark
    }
}
