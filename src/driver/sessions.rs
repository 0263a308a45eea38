//! The sessions of the QUIC door, as parts of the shard's turn: between the endpoint and the core.

use super::{clock, peers::Peers, quic::Quic, turn::Driver};
use crate::{
    doors::{
        Wire,
        quic::host::{Host, Links},
    },
    quic::{ConnKey, Endpoint, Event, Link, StreamId},
    uploads::{self, Answer, Asker, Line},
};
use std::io::IoSlice;
use tutti_shards::{CloseReason, Key, Now, Pending, RoomRequest, Sent, Shard, ShardId, Transport};

/// So often sessions and core answer each other in one turn. The rest follows in the next, at once.
const SETTLEMENTS: usize = 8;

/// The connections of an endpoint, for the host of their sessions.
struct EndpointLinks<'a> {
    endpoint: &'a mut Endpoint,
    now_us: u64,
}

impl Links<ConnKey> for EndpointLinks<'_> {
    fn with(&mut self, key: ConnKey, act: &mut dyn FnMut(&mut dyn Link)) {
        if let Some(mut link) = self.endpoint.link(self.now_us, key) {
            act(&mut link);
        }
    }
}

/// Where the core's bytes go: to sockets, or to sessions.
pub(super) struct Sinks<'a> {
    pub(super) peers: &'a mut Peers,
    pub(super) sessions: Option<&'a mut Host<ConnKey>>,
}

impl Transport for Sinks<'_> {
    fn prepare(&self, key: Key) {
        self.peers.prepare(key);
    }

    fn send(&mut self, key: Key, slices: &[IoSlice<'_>]) -> Sent {
        match (self.peers.find_key(key), &mut self.sessions) {
            (None, Some(sessions)) if sessions.owns(key) => {
                sessions.take(key, slices);
                Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
            }
            (idx, _) => self.peers.send_to(idx, slices),
        }
    }
}

impl Quic {
    fn links(&mut self, now: Now) -> (EndpointLinks<'_>, &mut Host<ConnKey>) {
        let Quic { endpoint, sessions, .. } = self;
        (EndpointLinks { endpoint, now_us: now.mono_us }, sessions)
    }

    /// Tells sessions what has happened to their connections.
    pub(super) fn tell(&mut self, now: Now) {
        self.endpoint.handle_timeout(now.mono_us);
        while let Some((key, event)) = self.endpoint.poll_event(now.mono_us) {
            if let Event::Arrived { .. } = event {
                tracing::debug!(?key, "a QUIC client is there");
            }
            let (mut links, sessions) = self.links(now);
            sessions.handle(now, key, event, seed, &mut links);
        }
    }

    /// Tells sessions what the core has said, and the core what they ask. Whether there was anything.
    pub(super) fn settle(&mut self, now: Now, core: &mut Shard<Wire>) -> bool {
        let (mut links, sessions) = self.links(now);
        let unsettled = sessions.is_unsettled();
        if unsettled {
            sessions.settle(now, core, &mut links);
        }
        unsettled
    }

    /// Passes on what sessions ask about files.
    pub(super) fn ask_uploads(&mut self, shard: ShardId, uploads: Option<&uploads::Handle>) {
        while let Some((conn, stream, request)) = self.sessions.poll_upload() {
            // Where there are none, sessions know.
            if let Some(uploads) = uploads {
                uploads.ask(Asker { shard, line: Line::Stream(conn, stream) }, request);
            }
        }
    }

    /// Tells a session what it asked about a file.
    pub(super) fn uploaded(
        &mut self,
        now: Now,
        (conn, stream): (ConnKey, StreamId),
        answer: Answer,
    ) {
        let (mut links, sessions) = self.links(now);
        sessions.uploaded(now, conn, stream, answer, &mut links);
    }

    pub(super) fn take_time(&mut self, now: Now) {
        let (mut links, sessions) = self.links(now);
        sessions.handle_timeout(now, &mut links);
    }

    pub(super) fn seat_ended(&mut self, key: Key, last: Vec<u8>, undone: Vec<RoomRequest>) {
        self.sessions.seat_ended(key, last, undone);
    }

    /// Whether the core closed a session, which then learns why.
    pub(super) fn closed(&mut self, key: Key, reason: CloseReason, unsent: &mut Vec<u8>) -> bool {
        let is_session = self.sessions.owns(key);
        if is_session {
            self.sessions.closed(key, reason, std::mem::take(unsent));
        }
        is_session
    }

    pub(super) fn resumed(&mut self, key: Key) {
        self.sessions.resumed(key);
    }

    /// Ends the sessions of those whom operators keep out by now; how many that were.
    pub(super) fn expel(&mut self, now: Now) -> u32 {
        let (mut links, sessions) = self.links(now);
        sessions.expel(now, &mut links)
    }

    /// Nobody new is let in, and those that the core does not know are told that the server stops.
    pub(super) fn stop(&mut self, now: Now) {
        self.endpoint.stop();
        let (mut links, sessions) = self.links(now);
        sessions.stop(now, &mut links);
    }
}

impl Driver {
    /// Tells sessions what has happened to their connections.
    pub(super) fn tell_quic(&mut self, now: Now) {
        let Some(quic) = &mut self.quic else { return };
        quic.endpoint.set_full(self.mesh.backlog_len() > self.config.mesh_backlog);
        quic.tell(now);
        quic.take_time(now);
        self.settle_quic(now);
    }

    /// Lets sessions and core answer each other until both have said everything, within reason.
    pub(super) fn settle_quic(&mut self, now: Now) {
        for _ in 0..SETTLEMENTS {
            let Some(quic) = &mut self.quic else { return };
            if !quic.settle(now, &mut self.core) {
                return;
            }
            quic.ask_uploads(self.core.id(), self.uploads.as_ref());
            self.act(now);
            if self.core.pending() == Pending::Prompt {
                self.flush_core(now, true);
                self.act(now);
            }
        }
    }

    pub(super) fn flush_core(&mut self, now: Now, bulk_waits: bool) {
        let sessions = self.quic.as_mut().map(|quic| &mut quic.sessions);
        self.core.flush(now, &mut Sinks { peers: &mut self.peers, sessions }, bulk_waits);
    }

    /// Sends what QUIC has to send, unless it should wait for more like the core's notes: a datagram to each of a
    /// room's members costs as much for one message as for ten.
    pub(super) fn flush_quic(&mut self, waits: bool) {
        let now_us = clock::now().mono_us;
        if let Some(quic) = &mut self.quic
            && !waits
            && quic.flush(now_us, &self.peers.poller)
        {
            self.pace.flushed(now_us);
        }
    }
}

/// What makes a session's name.
fn seed() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system's random source answers once it has");
    bytes
}
