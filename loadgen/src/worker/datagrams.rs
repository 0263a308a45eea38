//! Connections over QUIC: what takes the place of descriptors, reads and writes.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::Worker;
use super::peer::{Goal, State};
use crate::net::quic::{Lane, News};
use crate::scenario::Dialect;
use crate::wire;

/// In the upper half of a token of the poller: a UDP socket, whose place is in the lower one.
pub(super) const SOCKET: u32 = u32::MAX;

impl Worker {
    pub(super) fn connect_quic(&mut self, idx: u32, from: Option<SocketAddr>) -> Result<()> {
        let Some(quic) = &mut self.quic else { return Ok(()) };
        let peer = &mut self.peers[idx as usize];
        peer.attempt += 1;
        let token = u64::from(peer.attempt) << 32 | u64::from(idx);
        let (handle, made) = match quic.connect(from.map(|from| from.ip()), token) {
            Ok(connected) => connected,
            Err(error) => return self.unconnected(idx, &error),
        };
        if let Some(place) = made {
            let token = u64::from(SOCKET) << 32 | place as u64;
            self.poller.add(quic.socket(place), token, true).context("epoll")?;
        }
        peer.quic = Some(handle);
        self.set_state(idx, State::Connecting);
        Ok(())
    }

    /// A UDP socket has something to read.
    pub(super) fn note_datagrams(&mut self, place: usize) {
        if !self.datagrams.contains(&place) {
            self.datagrams.push(place);
        }
    }

    /// How long it is until a connection has to be looked at without having heard anything, in microseconds.
    pub(super) fn until_timer_us(&self) -> u64 {
        let at = self.quic.as_ref().and_then(|quic| quic.next_timer());
        at.map_or(u64::MAX, |at| at.saturating_duration_since(Instant::now()).as_micros() as u64)
    }

    /// Reads what UDP sockets have, fires timers, and handles what came of it.
    pub(super) fn take_datagrams(&mut self) -> Result<()> {
        let Some(quic) = &mut self.quic else { return Ok(()) };
        for place in std::mem::take(&mut self.datagrams) {
            self.tallies.reads += 1;
            if quic.receive(place).context("a UDP socket")? {
                self.datagrams.push(place);
            }
        }
        quic.expire();
        let mut heard = std::mem::take(&mut self.heard);
        quic.collect(&mut heard);
        let now_us = self.clock.now_us();
        for (token, at_us, news) in heard.news.drain(..) {
            let (idx, attempt) = (token as u32, (token >> 32) as u32);
            if self.peers.get(idx as usize).is_none_or(|peer| peer.attempt != attempt) {
                continue;
            }
            let at_us = at_us.map_or(now_us, |at_us| {
                at_us.saturating_add_signed(self.behind_wall_us).min(now_us)
            });
            match news {
                News::Connected => self.handshaken(idx),
                News::Frame(range) => {
                    self.tallies.frames += 1;
                    self.tallies.bytes_received += range.len() as u64;
                    self.hear(idx, &heard.bytes[range], Dialect::Quic, at_us);
                }
                News::Lost(reason) => {
                    let said = std::mem::take(&mut self.peers[idx as usize].farewell);
                    self.gone(idx, if said.is_empty() { &reason } else { &said });
                }
            }
        }
        heard.bytes.clear();
        self.heard = heard;
        Ok(())
    }

    fn handshaken(&mut self, idx: u32) {
        match self.peers[idx as usize].goal {
            Goal::Connected => self.set_state(idx, State::Ready),
            Goal::Upgraded | Goal::Known | Goal::Seated => self.upgraded(idx),
        }
    }

    /// Sends whole frames of one stream, at once or at the end of this turn.
    pub(super) fn send_frames(&mut self, idx: u32, frames: &[u8], now: bool) {
        let (Some(quic), Some(handle)) = (&mut self.quic, self.peers[idx as usize].quic) else {
            return;
        };
        let lane = if wire::quic::is_control(frames) { Lane::Control } else { Lane::Commands };
        self.tallies.bytes_sent += frames.len() as u64;
        if !quic.write(handle, lane, frames, now) {
            self.gone(idx, "the server stopped reading");
        }
    }
}
