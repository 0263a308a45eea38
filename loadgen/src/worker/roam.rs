//! People who go elsewhere: to another channel, to a new one, or away and back.

use anyhow::Result;

use super::orders::Event;
use super::peer::State;
use super::{Task, Worker};
use crate::scenario::Roaming;

/// Somebody who is on the way already is asked again after so long, in microseconds.
const LATER_US: u64 = 100_000;
/// Longest that a client waits before it connects again, in microseconds; each draws a share of it.
const BACK_OFF_US: f64 = 500_000.0;

impl Worker {
    /// Everybody who roams sets out.
    pub(super) fn start_roaming(&mut self, start_us: u64) {
        for group in 0..self.scenario.groups.len() as u16 {
            let Some(roams) = self.scenario.groups[usize::from(group)].roams else { continue };
            if roams.together {
                self.at(start_us + (roams.every_s * 1e6) as u64, Task::Storm(group));
                continue;
            }
            for idx in self.members_of(group) {
                let at_us = start_us + self.exponential_us(roams.every_s);
                self.at(at_us, Task::Roam(idx));
            }
        }
    }

    /// A time to wait of which nobody can tell how much has passed: the mark of independent arrivals.
    fn exponential_us(&mut self, mean_s: f64) -> u64 {
        (-self.share().min(1.0).ln() * mean_s * 1e6) as u64
    }

    pub(super) fn roam(&mut self, idx: u32, at_us: u64) -> Result<()> {
        let peer = &self.peers[idx as usize];
        let group = &self.scenario.groups[usize::from(peer.person.group)];
        let (channels, Some(roams)) = (group.channels as u32, group.roams) else { return Ok(()) };
        if peer.state != State::Ready {
            self.at(at_us + LATER_US, Task::Roam(idx));
            return Ok(());
        }
        let next_us = at_us + self.exponential_us(roams.every_s).max(1);
        self.at(next_us, Task::Roam(idx));
        match roams.how {
            Roaming::Switch if channels > 1 => {
                let step = 1 + self.random() % u64::from(channels - 1);
                let peer = &mut self.peers[idx as usize];
                peer.channel = (peer.channel + step as u32) % channels;
                let name = self.channel_name(idx);
                self.go(idx, at_us, &name);
            }
            Roaming::Switch => {}
            Roaming::Create => {
                let person = self.peers[idx as usize].person;
                self.peers[idx as usize].channel = u32::MAX;
                let name = format!("{}{at_us}-{}-{}", self.dated(), person.group, person.index);
                self.go(idx, at_us, &name);
            }
            Roaming::Reconnect => {
                self.hang_up(idx);
                let back_us = at_us + (roams.pause_s * 1e6) as u64;
                self.peers[idx as usize].since_us = back_us;
                if back_us > at_us {
                    self.at(back_us, Task::Return(idx));
                } else {
                    self.connect(idx, back_us)?;
                }
            }
        }
        Ok(())
    }

    fn go(&mut self, idx: u32, at_us: u64, channel: &str) {
        self.peers[idx as usize].since_us = at_us;
        self.set_state(idx, State::Moving);
        self.join(idx, channel);
    }

    /// Everybody of a group loses their connection at the same instant.
    pub(super) fn storm(&mut self, group: u16, at_us: u64) -> Result<()> {
        let Some(roams) = self.scenario.groups[usize::from(group)].roams else { return Ok(()) };
        self.at(at_us + (roams.every_s * 1e6) as u64, Task::Storm(group));
        for idx in self.members_of(group) {
            // Who is not back yet from the last time is counted from then.
            if self.peers[idx as usize].state != State::Ready {
                continue;
            }
            self.hang_up(idx);
            self.connect(idx, at_us)?;
        }
        Ok(())
    }

    /// Drops a connection on purpose, which is no fault of the server.
    pub(super) fn hang_up(&mut self, idx: u32) {
        self.peers[idx as usize].drop_connection();
        self.set_state(idx, State::Absent);
    }

    /// Connects again who has no connection.
    pub(super) fn come_back(&mut self, idx: u32) -> Result<()> {
        let peer = &self.peers[idx as usize];
        if peer.state == State::Absent {
            let since_us = peer.since_us;
            self.connect(idx, since_us)?;
        }
        Ok(())
    }

    /// A connection has ended that was wanted: roamers try again.
    pub(super) fn after_loss(&mut self, idx: u32) {
        let group = usize::from(self.peers[idx as usize].person.group);
        if self.books.is_some() && self.scenario.groups[group].roams.is_some() {
            let wait_us = (self.share() * BACK_OFF_US) as u64;
            self.at(self.clock.now_us() + wait_us, Task::Return(idx));
        }
    }

    /// How names of channels begin that carry the time of their making.
    fn dated(&self) -> String {
        format!("{}-at-", self.prefix)
    }

    /// Looks for new channels in a list, and how late they are.
    pub(super) fn listed(&mut self, list: &[u8], at_us: u64) {
        let begin = format!(r#""_id":"{}"#, self.dated());
        self.tallies.list_entries += memchr::memmem::find_iter(list, br#""_id":"#).count() as u64;
        // A full list tells of channels that have been there for a while.
        if memchr::memmem::find(list, br#""c":true"#).is_some() {
            return;
        }
        let (from_us, to_us) = self.window_us;
        for at in memchr::memmem::find_iter(list, begin.as_bytes()) {
            let rest = &list[at + begin.len()..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let made_us =
                std::str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse().ok());
            let entry = &rest[..memchr::memchr(b'}', rest).unwrap_or(rest.len())];
            // When its maker leaves, the count is 0: that is news of another kind.
            let is_new = memchr::memmem::find(entry, br#""count":1"#).is_some();
            if let Some(made_us) = made_us
                && is_new
                && (from_us..to_us).contains(&made_us)
            {
                self.timed.record(Event::List, at_us.saturating_sub(made_us));
            }
        }
    }
}
