//! The last bytes of connections: answers over HTTP, files among them, and what is left for those who are closed.
//!
//! A file is asked for a piece at a time, when the socket has taken the last one: it costs one piece of memory. A
//! reader may take as long for each as a download over QUIC may stall: people's networks pause for longer than the last
//! word to somebody is worth.

use super::Driver;
use crate::{
    doors::mpp::Link,
    driver::{
        peers::{Closing, FileTail, Peer, Phase, Sending},
        poller::{Interest, Token},
    },
    uploads::{Answer, Asker, Line, Request},
};
use std::{sync::Arc, time::Duration};
use tutti_shards::Now;

/// How long one that was sent its last bytes may take to hang up at most while the server stops. Closing at once, with
/// input unread, would be a reset that swallows those bytes.
const HANGUP_STOPPING: Duration = Duration::from_millis(200);

impl Driver {
    pub(super) fn answer(
        &mut self,
        now: Now,
        idx: u32,
        bytes: Vec<u8>,
        body: Option<Arc<[u8]>>,
        refused: Option<&'static str>,
    ) {
        self.count_answer(refused);
        self.close(now, idx, bytes, body);
    }

    fn count_answer(&mut self, refused: Option<&'static str>) {
        match refused {
            Some(why) => *self.stats.refused.entry(why).or_default() += 1,
            None => self.stats.pages += 1,
        }
    }

    /// Sends a connection that is not the core's (any more) its last bytes.
    pub(in crate::driver) fn close(
        &mut self,
        now: Now,
        idx: u32,
        bytes: Vec<u8>,
        body: Option<Arc<[u8]>>,
    ) {
        self.close_with(now, idx, Closing::new(bytes, body));
    }

    fn close_with(&mut self, now: Now, idx: u32, closing: Closing) {
        let token = self.peers.token(idx);
        let Some(peer) = self.peers.get_mut(idx) else { return };
        let is_file = closing.file.is_some();
        peer.phase = Phase::Closing(Box::new(closing));
        if is_file {
            self.sending.push_back((now.mono_us + self.stall_us(), token));
        } else {
            let patience = self.config.limits.last_bytes.as_micros() as u64;
            self.closing.push_back((now.mono_us + patience, token));
        }
        self.peers.set_interest(idx, Interest { read: true, write: false });
        self.pump(now, idx);
    }

    pub(super) fn pump(&mut self, now: Now, idx: u32) {
        let token = self.peers.token(idx);
        let Some(peer) = self.peers.get_mut(idx) else { return };
        let Phase::Closing(closing) = &mut peer.phase else { return };
        if closing.shut {
            return;
        }
        let sending = closing.pump(&peer.socket);
        let interest = Interest { write: sending == Sending::Blocked, ..peer.interest };
        match sending {
            Sending::Broken => drop(self.peers.remove(idx)),
            Sending::Done if closing.ended => drop(self.peers.remove(idx)),
            Sending::Blocked => self.peers.set_interest(idx, interest),
            Sending::Short => {
                let next = closing.file.as_mut().and_then(FileTail::next);
                self.peers.set_interest(idx, interest);
                if let Some(request) = next {
                    self.ask_for_file(token, request);
                }
            }
            Sending::Done => {
                self.peers.set_interest(idx, interest);
                let stopping = self.stop_at_us.is_some();
                let patience = self.config.limits.hangup;
                let patience = if stopping { patience.min(HANGUP_STOPPING) } else { patience };
                self.hangup.push_back((now.mono_us + patience.as_micros() as u64, token));
            }
        }
    }

    /// Sends a file, once it is known what it is.
    pub(super) fn send_file(&mut self, now: Now, idx: u32, link: Box<Link>) {
        let mut closing = Closing::new(Vec::new(), None);
        closing.file = Some(FileTail::new(link));
        self.close_with(now, idx, closing);
    }

    fn ask_for_file(&mut self, token: Token, request: Request) {
        let (Some(uploads), Token::Peer { idx, generation }) = (&self.uploads, token) else {
            return;
        };
        let line = Line::Socket { idx, generation };
        uploads.ask(Asker { shard: self.core.id(), line }, request);
    }

    /// What was asked about a file is answered.
    pub(super) fn file_answered(&mut self, now: Now, token: Token, answer: Answer) {
        // It may have hung up in the meantime.
        let Some(idx) = self.peers.find(token) else { return };
        let Some(Peer { phase: Phase::Closing(closing), .. }) = self.peers.get_mut(idx) else {
            return;
        };
        let Some(file) = &mut closing.file else { return };
        let (bytes, refused) = match answer {
            Answer::Opened(found) => {
                let Some(opening) = file.open(found.as_deref()) else { return };
                (opening.bytes, Some(opening.refused))
            }
            Answer::Piece(Some(piece)) => (file.take(piece), None),
            // It was deleted in the meantime: the client misses bytes and sees that the answer is cut.
            _ => return drop(self.peers.remove(idx)),
        };
        (closing.bytes, closing.sent) = (bytes, 0);
        if let Some(refused) = refused {
            self.count_answer(refused);
        }
        self.pump(now, idx);
    }

    /// Hangs up on those who did not take their last bytes in time, or do not hang up after them.
    pub(super) fn end_closing(&mut self, now: Now) {
        while let Some((_, token)) = self.sending.pop_front_if(|(at, _)| *at <= now.mono_us) {
            let Some(idx) = self.peers.find(token) else { continue };
            if let Some(Peer { phase: Phase::Closing(closing), .. }) = self.peers.get_mut(idx)
                && closing.file.as_mut().is_some_and(FileTail::has_moved)
            {
                self.sending.push_back((now.mono_us + self.stall_us(), token));
            } else {
                self.hang_up(idx, "stall_ms");
            }
        }
        while let Some((_, token)) = self.closing.pop_front_if(|(at, _)| *at <= now.mono_us) {
            if let Some(idx) = self.peers.find(token) {
                self.hang_up(idx, "last_bytes_ms");
            }
        }
        while let Some((_, token)) = self.hangup.pop_front_if(|(at, _)| *at <= now.mono_us) {
            if let Some(idx) = self.peers.find(token) {
                self.hang_up(idx, "hangup_ms");
            }
        }
    }

    /// How long nothing of a file may be taken.
    fn stall_us(&self) -> u64 {
        let stall = self.config.uploads.as_ref().map_or(Duration::ZERO, |uploads| uploads.stall);
        stall.as_micros() as u64
    }

    fn hang_up(&mut self, idx: u32, limit: &'static str) {
        *self.stats.limits.entry(limit).or_default() += 1;
        drop(self.peers.remove(idx));
    }
}
