//! One shard's loop: take what is ready up to a budget, step the core, act on its outputs, flush once, sleep.

mod accept;
mod closing;

use super::{
    clock,
    commands::run,
    listen::Listener,
    mesh::{Mesh, Packet},
    operate::Sweep,
    pace::Pace,
    panics,
    peers::{Held, Peer, Peers, Phase},
    poller::{EVENTS, Interest, Poller, Ready, Token},
    quic::{self, Quic},
    report::{DriverStats, Report},
    sessions::Sinks,
};
use crate::{
    config::Config,
    doors::{self, Admissions, Commands, Doors, Greeted, Protocol, Received, Welcome, Wire},
    storage,
    uploads::{self, Line},
};
use rustix::{io::Errno, net::RecvFlags};
use std::{collections::VecDeque, io, os::fd::AsFd, sync::Arc, time::Duration};
use tutti_shards::{Flow, Format, Key, Now, Output, Pending, Seeds, Shard, ShardId, StoreReply};

/// Bytes read from one connection in one turn. One buffer serves all connections of the shard.
const SCRATCH_BYTES: usize = 64 << 10;
/// Packets taken from the mesh in one turn.
const PACKETS: usize = 1024;
/// How long the loop waits for traffic before it goes to sleep, microseconds. What else the executor runs waits as
/// long at worst.
const MOMENT_US: u64 = 50_000;
/// How soon packets are tried again that another shard's queue had no room for, microseconds.
const BACKLOG_RETRY_US: u64 = 1_000;

/// What one shard's loop is made of.
pub(super) struct Start {
    pub(super) id: ShardId,
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<doors::Shared>,
    pub(super) admissions: Admissions,
    pub(super) storage: storage::Handle,
    pub(super) uploads: Option<uploads::Handle>,
    pub(super) listeners: Vec<Listener>,
    pub(super) quic: Option<quic::Start>,
    pub(super) mesh: Mesh,
    pub(super) seeds: Seeds,
}

pub(super) struct Driver {
    pub(super) config: Arc<Config>,
    pub(super) admissions: Admissions,
    storage: storage::Handle,
    /// Where files are kept, if they are.
    pub(super) uploads: Option<uploads::Handle>,
    pub(super) core: Shard<Wire>,
    pub(super) doors: Doors,
    pub(super) peers: Peers,
    pub(super) mesh: Mesh,
    pub(super) listeners: Vec<Listener>,
    pub(super) quic: Option<Quic>,
    /// When the listeners are watched again, after descriptors ran out.
    pub(super) accept_again_us: Option<u64>,
    /// Connections that have to finish their greeting, oldest first, of each protocol.
    greeting: [VecDeque<(u64, Token)>; Protocol::COUNT],
    /// Connections that have to take their last bytes, oldest first.
    closing: VecDeque<(u64, Token)>,
    /// The same for those that are sent a file.
    sending: VecDeque<(u64, Token)>,
    /// Connections that have to hang up, oldest first.
    hangup: VecDeque<(u64, Token)>,
    /// Answers to what the storage had no room for.
    unanswered: VecDeque<StoreReply>,
    resumed: VecDeque<Key>,
    /// Connections that had their share of this turn, and go on in the next.
    rested: Vec<Key>,
    commands: Commands,
    scratch: Box<[u8]>,
    pub(super) pace: Pace,
    stats: DriverStats,
    /// Connections that have still to be looked at for bans.
    pub(super) sweep: Option<Sweep>,
    /// When the shard ends, if it was told to.
    stop_at_us: Option<u64>,
}

impl Driver {
    /// To be called on the shard's own executor.
    pub(super) fn new(start: Start) -> io::Result<Self> {
        let Start {
            id,
            config,
            shared,
            admissions,
            storage,
            uploads,
            listeners,
            quic,
            mesh,
            seeds,
        } = start;
        let poller = Poller::new()?;
        poller.add(mesh.bell.as_fd(), Token::Mesh, Interest::READ)?;
        for (n, listener) in listeners.iter().enumerate() {
            poller.add_listener(listener.socket.as_fd(), Token::Listener(n as u32))?;
        }
        let now_us = clock::now().mono_us;
        let quic =
            quic.map(|start| Quic::new(start, id, config.shards, now_us, &poller)).transpose()?;
        let doors = Doors::new(shared);
        let core = Arc::new(config.core.clone());
        let core = Shard::new(id, config.shards, core, seeds, doors.wire());
        Ok(Driver {
            pace: Pace::new(config.flush_delay_max),
            config,
            admissions,
            core,
            doors,
            peers: Peers::new(poller),
            mesh,
            listeners,
            quic,
            accept_again_us: None,
            greeting: std::array::from_fn(|_| VecDeque::new()),
            closing: VecDeque::new(),
            sending: VecDeque::new(),
            hangup: VecDeque::new(),
            storage,
            uploads,
            unanswered: VecDeque::new(),
            resumed: VecDeque::new(),
            rested: Vec::new(),
            commands: Commands::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            stats: DriverStats::new(),
            sweep: None,
            stop_at_us: None,
        })
    }

    /// Runs until the shard was told to stop and has said so to everyone.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        let mut ready = Vec::with_capacity(EVENTS);
        self.core.begin(clock::now());
        self.act(clock::now());
        let (mut block, mut waits_since_us, mut traffic_us) = (false, clock::now().mono_us, 0);
        loop {
            ready.clear();
            self.peers.poller.ready(block, &mut ready)?;
            self.mesh.bell.disarm();
            let now = clock::now();
            self.pace.waited(waits_since_us, now.mono_us);
            for &event in &ready {
                self.handle(now, event);
            }
            for key in std::mem::take(&mut self.rested) {
                self.resume(now, key);
                self.act(now);
            }
            let packets = self.take_packets(now);
            if self.mesh.is_told_to_stop() {
                self.stop(now);
            }
            self.core.set_mesh_crowded(self.mesh.backlog_len() > self.config.mesh_backlog_mark);
            self.take_time(now);
            let sweeping = self.sweep(now);
            self.tell_quic(now);
            let waits = self.pace.may_delay(clock::now().mono_us);
            let delayed_until = self.flush();
            self.settle_quic(now);
            self.flush_quic(waits);
            self.mesh.settle();
            let end = clock::now();
            self.stats.turns += 1;
            self.stats.turn_us.saturating_record(end.mono_us - now.mono_us);
            if self.stop_at_us.is_some_and(|at| end.mono_us >= at || self.admissions.are_empty()) {
                return Ok(());
            }
            // The executor looks after what else it runs.
            glommio::yield_if_needed().await;
            waits_since_us = end.mono_us;
            if packets > 0 || ready.iter().any(|event| event.token != Token::Timer) {
                traffic_us = end.mono_us;
            }
            let until = self.deadline(end, delayed_until);
            self.mesh.bell.arm();
            let told = self.mesh.is_told_to_stop() && self.stop_at_us.is_none();
            block = self.mesh.inbox_len() == 0
                && self.rested.is_empty()
                && !told
                && !sweeping
                && until.is_none_or(|until| until > end.mono_us);
            if !block {
                continue;
            }
            if end.mono_us < traffic_us + MOMENT_US {
                let moment = traffic_us + MOMENT_US;
                self.peers.poller.set_timer(until.map_or(moment, |until| until.min(moment)))?;
            } else {
                if let Some(until) = until {
                    self.peers.poller.set_timer(until)?;
                }
                self.stats.sleeps += 1;
                self.peers.poller.sleep().await?;
                block = false;
            }
        }
    }

    /// When there is something to do even if nobody says anything.
    fn deadline(&self, now: Now, delayed_until: Option<u64>) -> Option<u64> {
        let retry = (self.mesh.backlog_len() > 0).then_some(now.mono_us + BACKLOG_RETRY_US);
        // The count of connections falls on other shards, too.
        let stop = self.stop_at_us.map(|at| at.min(now.mono_us + 10_000));
        [
            self.core.next_deadline_us(),
            self.quic.as_ref().and_then(|quic| quic.deadline_us(self.pace.flush_at_us())),
            self.greeting.iter().filter_map(|queue| queue.front()).map(|&(at, _)| at).min(),
            self.closing.front().map(|&(at, _)| at),
            self.sending.front().map(|&(at, _)| at),
            self.hangup.front().map(|&(at, _)| at),
            self.accept_again_us,
            delayed_until,
            retry,
            stop,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle(&mut self, now: Now, event: Ready) {
        match event.token {
            Token::Mesh => self.mesh.bell.hush(),
            Token::Timer => self.peers.poller.hush_timer(),
            Token::Listener(n) => self.accept(now, n as usize),
            Token::Datagrams => {
                let Some(quic) = &mut self.quic else { return };
                if event.writable {
                    quic.unblock(&self.peers.poller);
                }
                if event.readable {
                    quic.receive(now.mono_us, &mut self.mesh);
                }
            }
            Token::Peer { .. } => {
                if event.writable
                    && let Some(idx) = self.peers.find(event.token)
                {
                    self.write(now, idx);
                }
                if event.readable
                    && let Some(idx) = self.peers.find(event.token)
                {
                    self.read(now, idx);
                }
            }
        }
        if self.core.is_pressed() {
            self.flush_core(now, false);
            self.act(now);
        }
    }

    fn read(&mut self, now: Now, idx: u32) {
        let Some(peer) = self.peers.get_mut(idx) else { return };
        if let Phase::Live { key, held, .. } = &peer.phase
            && (held.is_some() || self.core.flow(*key) == Flow::Pause)
        {
            // What it says has to wait; the kernel keeps it.
            let interest = Interest { read: false, ..peer.interest };
            return self.peers.set_interest(idx, interest);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        match rustix::net::recv(&peer.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.end_of_input(now, idx),
            Ok((count, _)) => {
                let input = &mut scratch[..count];
                match &mut peer.phase {
                    Phase::Greeting(_) => self.greet(now, idx, input),
                    Phase::Live { .. } => self.hear(now, idx, input),
                    Phase::Closing(closing) => {
                        closing.drained += count;
                        if closing.drained > self.config.limits.drain_bytes {
                            *self.stats.limits.entry("drain_bytes").or_default() += 1;
                            let interest = Interest { read: false, ..peer.interest };
                            self.peers.set_interest(idx, interest);
                        }
                    }
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.gone(now, idx),
        }
        self.scratch = scratch;
        self.act(now);
    }

    /// The peer says nothing more. What it said before may still be to be executed, and it to be answered.
    fn end_of_input(&mut self, now: Now, idx: u32) {
        let Some(peer) = self.peers.get_mut(idx) else { return };
        if let Phase::Greeting(greeting) = &peer.phase
            && greeting.has_unfinished_line()
        {
            let token = self.peers.token(idx);
            self.greet(now, idx, b"\n");
            if self.peers.find(token) != Some(idx) {
                return;
            }
        }
        let Some(peer) = self.peers.get_mut(idx) else { return };
        let goes_on = match &mut peer.phase {
            Phase::Live { session, .. } => session.end_input(),
            // It said all that it wants, and may still read what it gets.
            Phase::Closing(closing) if !closing.shut => {
                closing.ended = true;
                let interest = Interest { read: false, ..peer.interest };
                return self.peers.set_interest(idx, interest);
            }
            _ => false,
        };
        if goes_on {
            let interest = Interest { read: false, ..peer.interest };
            self.peers.set_interest(idx, interest);
            self.feed(now, idx, &mut []);
        } else {
            self.gone(now, idx);
        }
    }

    /// The socket is at its end.
    fn gone(&mut self, now: Now, idx: u32) {
        let peer = self.peers.remove(idx);
        if let Phase::Live { key, .. } = peer.phase {
            self.core.peer_gone(now, key);
        }
    }

    fn greet(&mut self, now: Now, idx: u32, input: &[u8]) {
        let Some(peer) = self.peers.get_mut(idx) else { return };
        let Phase::Greeting(greeting) = &mut peer.phase else { return };
        let since_zero = clock::since_zero(now);
        let greeted = self.doors.receive_greeting(greeting, input, &mut peer.grant, since_zero);
        match greeted {
            Greeted::Unfinished => {}
            Greeted::Reply(bytes) => {
                // It is a few lines to one who has had nothing else: who does not take them does not read.
                if !accept::send_at_once(&peer.socket, &bytes) {
                    self.gone(now, idx);
                }
            }
            Greeted::Answer { bytes, body, refused } => self.answer(now, idx, bytes, body, refused),
            Greeted::File(link) => self.send_file(now, idx, link),
            Greeted::Welcome(welcome) => {
                let Welcome { preface, mut rest, format, session, first, since } = *welcome;
                let waited = since.map_or(Duration::ZERO, |since| since_zero - since);
                let waited_us = waited.as_micros() as u64;
                let (key, conn) = self.core.open_late(now, waited_us, format, &preface);
                tracing::debug!(shard = self.core.id().0, %conn, "opened");
                peer.phase = Phase::Live { key, session, held: None };
                self.peers.bind(key, idx);
                self.forget_greeted();
                let mut first: Commands = first.into();
                if !first.is_empty()
                    && run(
                        &mut self.core,
                        (&self.admissions.mpp, &self.storage),
                        now,
                        key,
                        &mut first,
                    ) != Flow::Continue
                {
                    // What else was read waits until it is settled who the peer is.
                    if let Some(Peer { phase: Phase::Live { held, .. }, .. }) =
                        self.peers.get_mut(idx)
                    {
                        *held = Some(Box::new(Held { commands: first, unread: rest }));
                    }
                    return;
                }
                if !rest.is_empty() {
                    self.hear(now, idx, &mut rest);
                }
            }
        }
    }

    /// Takes those off the front of the queue that have finished their greeting. It would be as long as the time that
    /// one may take otherwise, and keep that memory.
    fn forget_greeted(&mut self) {
        for queue in &mut self.greeting {
            while let Some(&(_, token)) = queue.front() {
                let idx = self.peers.find(token);
                let peer = idx.and_then(|idx| self.peers.get_mut(idx));
                if matches!(peer, Some(Peer { phase: Phase::Greeting(_), .. })) {
                    break;
                }
                queue.pop_front();
            }
        }
    }

    fn write(&mut self, now: Now, idx: u32) {
        let Some(peer) = self.peers.get_mut(idx) else { return };
        let Phase::Live { key, .. } = &peer.phase else { return self.pump(now, idx) };
        let (key, interest) = (*key, Interest { write: false, ..peer.interest });
        // Watched again by the send that does not take all.
        self.peers.set_interest(idx, interest);
        let sessions = self.quic.as_mut().map(|quic| &mut quic.sessions);
        self.core.handle_writable(now, key, &mut Sinks { peers: &mut self.peers, sessions });
        self.act(now);
    }

    /// Takes bytes that a live connection has just sent.
    fn hear(&mut self, now: Now, idx: u32, input: &mut [u8]) {
        let Some(Peer { phase: Phase::Live { key, .. }, .. }) = self.peers.get_mut(idx) else {
            return;
        };
        if self.core.charge(now, *key, input.len(), 0) != Flow::Gone {
            self.feed(now, idx, input);
        }
    }

    /// Gives the core what bytes of a live connection say. What it cannot take yet is held; it was charged for when it
    /// was heard.
    fn feed(&mut self, now: Now, idx: u32, mut input: &mut [u8]) {
        let Some(Peer { phase: Phase::Live { key, session, held }, .. }) = self.peers.get_mut(idx)
        else {
            return;
        };
        let key = *key;
        let mut flow = self.core.flow(key);
        let mut ended = None;
        while flow == Flow::Continue {
            let mut format = self.core.format(key).unwrap_or(Format::MPP_TEXT);
            let is_known = match session {
                doors::Session::Mpp(_) => true,
                doors::Session::Line(_) => self.core.is_known(key),
            };
            let (doors, commands) = (&mut self.doors, &mut self.commands);
            let since_zero = clock::since_zero(now);
            let received = panics::contained(|| {
                doors.receive(session, &mut input, &mut format, is_known, since_zero, commands)
            });
            match received {
                Some(Received::Nothing) => {
                    if session.has_ended() {
                        // All that it said is done: it is sent what waits for it, and closed.
                        ended = Some((Vec::new(), None));
                    }
                    break;
                }
                Some(Received::Enough) => {
                    self.rested.push(key);
                    *held =
                        Some(Box::new(Held { commands: Commands::new(), unread: input.to_vec() }));
                    return;
                }
                Some(Received::Commands(messages)) => {
                    flow = self.core.charge(now, key, 0, messages);
                    if flow == Flow::Continue {
                        flow = run(
                            &mut self.core,
                            (&self.admissions.mpp, &self.storage),
                            now,
                            key,
                            commands,
                        );
                    }
                }
                Some(Received::Reply(bytes)) => {
                    flow = self.core.charge(now, key, 0, 1);
                    self.core.send_raw(key, &bytes);
                }
                Some(Received::End { last, fault }) => {
                    ended = Some((last, fault));
                    break;
                }
                None => {
                    // A bug of ours. It costs the connection whose bytes led there, and nobody else.
                    self.stats.decode_panics += 1;
                    ended = Some((Doors::farewell_for_bug(session), Some("decoder_panic")));
                    break;
                }
            }
        }
        if let Some((last, fault)) = ended {
            if let Some(why) = fault {
                *self.stats.faults.entry(why).or_default() += 1;
            }
            self.commands.clear();
            let mut bytes = self.core.peer_gone(now, key);
            bytes.extend_from_slice(&last);
            return self.close(now, idx, bytes, None);
        }
        if flow != Flow::Continue
            && (session.has_more() || !(self.commands.is_empty() && input.is_empty()))
        {
            let commands = std::mem::take(&mut self.commands);
            *held = Some(Box::new(Held { commands, unread: input.to_vec() }));
        }
        self.commands.clear();
    }

    /// Goes on with a connection that was paused, or that came from another shard.
    fn resume(&mut self, now: Now, key: Key) {
        let Some(idx) = self.peers.find_key(key) else { return };
        if self.core.flow(key) != Flow::Continue {
            return;
        }
        let Some(peer) = self.peers.get_mut(idx) else { return };
        let Phase::Live { held, session, .. } = &mut peer.phase else { return };
        let interest = Interest { read: !session.has_ended(), ..peer.interest };
        let (held, has_more) = (held.take(), session.has_more());
        self.peers.set_interest(idx, interest);
        let Some(held) = held else { return };
        let Held { mut commands, mut unread } = *held;
        let flow =
            run(&mut self.core, (&self.admissions.mpp, &self.storage), now, key, &mut commands);
        if flow == Flow::Continue {
            // Even with nothing unread: a line may have been put off, or the input have ended.
            self.feed(now, idx, &mut unread);
        } else if (has_more || !(commands.is_empty() && unread.is_empty()))
            && let Some(Peer { phase: Phase::Live { held, .. }, .. }) = self.peers.get_mut(idx)
        {
            *held = Some(Box::new(Held { commands, unread }));
        }
    }

    fn take_packets(&mut self, now: Now) -> usize {
        for taken in 0..PACKETS {
            let Some((from, packet)) = self.mesh.receive() else { return taken };
            match packet {
                Packet::Message(message) => self.core.handle_mesh(now, from, message),
                Packet::Handover(handover) => self.adopt(now, from, *handover),
                Packet::Ask(ask, to) => self.asked(now, *ask, to),
                Packet::Datagram(arrival) => {
                    if let Some(quic) = &mut self.quic {
                        quic.receive_forwarded(&arrival);
                    }
                }
                Packet::Stored(reply) => self.core.stored(now, reply),
                Packet::Uploaded(asker, answer) => match (asker.line, &mut self.quic) {
                    (Line::Stream(conn, stream), Some(quic)) => {
                        quic.uploaded(now, (conn, stream), answer);
                    }
                    (Line::Socket { idx, generation }, _) => {
                        self.file_answered(now, Token::Peer { idx, generation }, answer);
                    }
                    (Line::Stream(..), None) => {}
                },
                Packet::Report(to) => {
                    // Whoever asked may have stopped waiting.
                    let _ = to.send(self.report());
                }
            }
            self.act(now);
            if self.core.is_pressed() {
                self.flush_core(now, false);
                self.act(now);
            }
        }
        PACKETS
    }

    fn adopt(&mut self, now: Now, from: ShardId, (bundle, mut peer): (tutti_shards::Bundle, Peer)) {
        let conn = bundle.conn();
        let adopted = self.core.adopt(now, from, bundle);
        let Phase::Live { key, .. } = &mut peer.phase else {
            unreachable!("only connections of the core are handed over");
        };
        *key = adopted;
        match self.peers.insert(peer) {
            Ok(idx) => {
                self.resumed.push_back(adopted);
                // What was swept here before it came does not know of it.
                self.expel_banned(now, idx);
            }
            Err(error) => {
                tracing::warn!(%conn, %error, "cannot watch a connection from another shard");
                self.core.peer_gone(now, adopted);
            }
        }
    }

    fn take_time(&mut self, now: Now) {
        if self.core.next_deadline_us().is_some_and(|at| at <= now.mono_us) {
            self.core.handle_timeout(now);
            self.act(now);
        }
        for protocol in 0..Protocol::COUNT {
            while let Some((_, token)) =
                self.greeting[protocol].pop_front_if(|(at, _)| *at <= now.mono_us)
            {
                if let Some(idx) = self.peers.find(token)
                    && let Some(Peer { phase: Phase::Greeting(greeting), .. }) =
                        self.peers.get_mut(idx)
                {
                    let (bytes, limit) = Doors::too_slow(greeting);
                    self.answer(now, idx, bytes, None, Some(limit));
                }
            }
        }
        self.end_closing(now);
        if self.accept_again_us.is_some_and(|at| at <= now.mono_us) {
            self.accept_again();
        }
    }

    /// Acts on all that the core has put out, in order.
    pub(super) fn act(&mut self, now: Now) {
        loop {
            while let Some(output) = self.core.poll_output() {
                match output {
                    Output::Mesh { to, message } => self.mesh.send(to, Packet::Message(message)),
                    Output::Handover { key, to, bundle } => {
                        let idx = self.peers.find_key(key).expect("what is handed over is here");
                        let mut peer = self.peers.remove(idx);
                        peer.interest = Interest::READ;
                        self.mesh.send(to, Packet::Handover(Box::new((*bundle, peer))));
                    }
                    Output::Close { key, conn, reason, mut unsent } => {
                        tracing::debug!(shard = self.core.id().0, %conn, ?reason, "closed");
                        if let Some(quic) = &mut self.quic
                            && quic.closed(key, reason, &mut unsent)
                        {
                            continue;
                        }
                        let idx = self.peers.find_key(key).expect("what is closed is here");
                        if let Some(Peer { phase: Phase::Live { session, .. }, .. }) =
                            self.peers.get_mut(idx)
                        {
                            unsent.extend_from_slice(&Doors::farewell(session, reason));
                        }
                        self.close(now, idx, unsent, None);
                    }
                    Output::SeatEnded { key, last, undone } => {
                        let quic = self.quic.as_mut().expect("only sessions of QUIC have seats");
                        quic.seat_ended(key, last, undone);
                    }
                    Output::Store(request) => {
                        if let Err(request) = self.storage.request(self.core.id(), request) {
                            self.unanswered.extend(request.unanswered());
                        }
                    }
                    Output::Attachments(news) => {
                        if let Some(uploads) = &self.uploads {
                            uploads.news(news);
                        }
                    }
                    Output::Resume { key } => {
                        if let Some(quic) = &mut self.quic {
                            quic.resumed(key);
                        }
                        self.resumed.push_back(key);
                    }
                }
            }
            if let Some(reply) = self.unanswered.pop_front() {
                self.core.stored(now, reply);
                continue;
            }
            let Some(key) = self.resumed.pop_front() else { return };
            self.resume(now, key);
        }
    }

    /// Sends what is pending. While the shard is busy, what can wait may; then until when is returned.
    fn flush(&mut self) -> Option<u64> {
        let now = clock::now();
        match self.core.pending() {
            Pending::Nothing => None,
            Pending::Bulk if self.pace.may_delay(now.mono_us) => {
                self.stats.flushes_delayed += 1;
                Some(self.pace.flush_at_us())
            }
            pending => {
                let bulk_waits = pending == Pending::Prompt && self.pace.may_delay(now.mono_us);
                self.flush_core(now, bulk_waits);
                if !bulk_waits {
                    self.pace.flushed(clock::now().mono_us);
                }
                self.act(now);
                if self.core.pending() == Pending::Prompt {
                    // What follows from the flush itself goes out in the next turn, at once.
                    return Some(now.mono_us);
                }
                bulk_waits.then(|| self.pace.flush_at_us())
            }
        }
    }

    fn stop(&mut self, now: Now) {
        if self.stop_at_us.is_some() {
            return;
        }
        self.stop_at_us = Some(now.mono_us + self.config.shutdown_deadline.as_micros() as u64);
        self.stop_listening();
        if let Some(quic) = &mut self.quic {
            quic.stop(now);
        }
        for idx in self.peers.indices() {
            let Some(Peer { phase: Phase::Greeting(greeting), .. }) = self.peers.get_mut(idx)
            else {
                continue;
            };
            match Doors::stopping(greeting) {
                Some(bytes) => self.close(now, idx, bytes, None),
                None => drop(self.peers.remove(idx)),
            }
        }
        self.core.stop(now);
        self.act(now);
    }

    fn report(&self) -> Report {
        let driver = DriverStats {
            mesh_sent: self.mesh.sent,
            mesh_wakes: self.mesh.wakes,
            mesh_backlog: self.mesh.backlog_len() as u64,
            mesh_inbox: self.mesh.inbox_len() as u64,
            sockets: self.peers.len() as u64,
            quic: self.quic.as_ref().map(Quic::stats).unwrap_or_default(),
            limits: self.stats.limits.clone().into_iter().chain(self.doors.limit_hits()).collect(),
            ..self.stats.clone()
        };
        Report {
            shard: self.core.id(),
            stats: self.core.stats().clone(),
            gauges: self.core.gauges(),
            driver,
        }
    }
}
