//! Nuisances: what public servers are visited by, beside people.
//!
//! Whatever the server does to them is right, so it is counted and not judged. What is judged is whether
//! honest people notice.

use anyhow::Result;

use super::peer::State;
use super::{Task, Worker};
use crate::scenario::{Abuse, Dialect, Nuisance};
use crate::wire;

/// A request that never ends.
const ENDLESS: &[u8] = b"GET / HTTP/1.1\r\nHost: example.org\r\nX-Filler: ";
/// Frames that hold no message.
const NONSENSE: [&str; 8] = [
    "",
    "[{\"m\":",
    "{\"m\":\"hi\"}",
    "[null,1,\"x\",[],{}]",
    "[{\"m\":\"ch\",\"_id\":5},{\"m\":\"n\",\"n\":\"c4\"},{\"m\":\"a\"}]",
    "[{\"m\":\"chset\",\"set\":{\"color\":\"red\",\"limit\":1e309}}]",
    "[{\"m\":\"userset\",\"set\":{\"name\":\"\\ud800\"}}]",
    "[{\"m\":\"n\",\"t\":\"now\",\"n\":[{\"n\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}]}]",
];
/// A line of chat, a move and fifty notes.
const FLOOD: &str =
    "[{\"m\":\"a\",\"message\":\"buy buy buy\"},{\"m\":\"m\",\"x\":\"1.00\",\"y\":\"1.00\"}]";
/// Header of a masked text frame that announces a tebibyte.
const TEBIBYTE: [u8; 14] = [0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];

impl Worker {
    /// Every nuisance begins, not all at the same moment.
    pub(super) fn start_annoying(&mut self, start_us: u64) {
        for group in 0..self.scenario.groups.len() as u16 {
            let Some(abuse) = self.scenario.groups[usize::from(group)].abuse else { continue };
            for idx in self.members_of(group) {
                let at_us = start_us + (self.share() / abuse.rate * 1e6) as u64;
                self.at(at_us, Task::Annoy(idx));
            }
        }
    }

    pub(super) fn annoy(&mut self, idx: u32, at_us: u64) -> Result<()> {
        let peer = &self.peers[idx as usize];
        let group = usize::from(peer.person.group);
        let Some(abuse) = self.scenario.groups[group].abuse else { return Ok(()) };
        let state = peer.state;
        self.at(at_us + (1e6 / abuse.rate) as u64 + 1, Task::Annoy(idx));
        match state {
            State::Absent => {
                self.count(group, "connections");
                self.connect(idx, at_us)?;
            }
            state if state.is_ready() => {
                self.count(group, "acts");
                self.act(idx, abuse, at_us);
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, group: usize, what: &str) {
        let key = format!("{}: {what}", self.scenario.groups[group].name);
        *self.tallies.abuse.entry(key).or_default() += 1;
    }

    fn act(&mut self, idx: u32, abuse: Abuse, at_us: u64) {
        let random = self.random();
        match abuse.how {
            Nuisance::Silent => {}
            Nuisance::Slowloris => {
                // One a turn, from the turn after the one that connected.
                let turns = at_us.saturating_sub(self.peers[idx as usize].since_us) as f64
                    * abuse.rate
                    / 1e6;
                let at = (turns.round() as usize).saturating_sub(1);
                let request = if self.speaks_lines() { &[] } else { ENDLESS };
                let byte = request.get(at).copied().unwrap_or(b'x');
                self.send_raw(idx, &[byte]);
            }
            Nuisance::Garbage => {
                let mut bytes = [0; 64];
                for part in bytes.chunks_mut(8) {
                    part.copy_from_slice(&self.random().to_ne_bytes());
                }
                self.send_raw(idx, &bytes);
            }
            Nuisance::BadJson => {
                let text = NONSENSE[(random % NONSENSE.len() as u64) as usize];
                self.send(idx, text.as_bytes(), Dialect::Text);
            }
            Nuisance::HugeFrames => {
                self.send_raw(idx, &TEBIBYTE);
                self.send_raw(idx, &[b'x'; 1024]);
            }
            Nuisance::Flood if self.quic.is_some() => {
                let room = self.peers[idx as usize].room_id;
                let mut message = std::mem::take(&mut self.message);
                message.clear();
                wire::quic::put_text(&mut message, "buy buy buy", room, random >> 12);
                self.send(idx, &message, Dialect::Quic);
                self.message = message;
            }
            Nuisance::Flood if self.speaks_lines() => {
                self.send(idx, b"buy buy buy", Dialect::Line);
            }
            Nuisance::Flood => {
                self.send(idx, FLOOD.as_bytes(), Dialect::Text);
                let note = r#"{"n":"c4","v":1}"#;
                let notes = [note; 50].join(",");
                let t = self.clock.now_us() / 1000;
                let notes = format!(r#"[{{"m":"n","t":{t},"n":[{notes}]}}]"#);
                self.send(idx, notes.as_bytes(), Dialect::Text);
            }
            Nuisance::Channels => {
                let name = format!("{}-sprawl-{random:x}", self.prefix);
                self.join(idx, &name);
            }
            Nuisance::Connects => self.hang_up(idx),
            Nuisance::Deaf => {
                let mut message = std::mem::take(&mut self.message);
                // Lists are asked for in text by those who speak quick, too.
                let dialect = if self.speaks_lines() { Dialect::Line } else { Dialect::Text };
                wire::put_follow_list(&mut message, dialect);
                self.send(idx, &message, dialect);
                self.message = message;
            }
        }
    }
}
