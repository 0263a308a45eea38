//! One thread of load: its connections, and the loop that drives them.
//!
//! A pinned executor runs one explicit loop over all its sockets. It sends when a message is due, and
//! reads in turns: a load side that wakes for every message spends its core on waking. Latency does not
//! suffer, because it ends when the kernel has the message (`net::socket`).
//!
//! Threads share nothing that changes while they run but a few counters for the display. What to do comes
//! as an [`Order`], what has happened goes back as [`News`].
//!
//! Reading order: `orders` (the words between threads), this file (the loop), `peer`, `link` (a connection's
//! life), `frames`, `lines` and `datagrams` (what is read), `talk` (what it says), `play` (a run), then `roam` and
//! `abuse`.

mod abuse;
mod datagrams;
mod frames;
mod lines;
mod link;
mod orders;
mod peer;
mod play;
mod roam;
mod talk;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use crate::books::Books;
use crate::histogram;
use crate::net::clock::Clock;
use crate::net::poller::Poller;
use crate::net::quic::{Heard, Quic};
use crate::net::target::Endpoint;
use crate::scenario::{Dialect, Scenario};
use crate::schedule::xorshift;

pub(crate) use orders::{News, Order, Outcome, Plan, Shared, SliceNews, Tallies, Timed};
use peer::{Peer, State};

/// Most bytes read from a socket at once.
const READ_BYTES: usize = 256 << 10;
/// Those who are read from seldom are read from at least so often, in microseconds.
const LAZY_US_MAX: u64 = 80_000;
/// With more than this to read from each they are read from more often. A fifth of the receive buffer that a
/// connection begins with.
const LAZY_BYTES: u64 = 24 << 10;
/// Sockets are looked at at least so often, in microseconds.
const WAIT_US_MAX: u64 = 50_000;

/// What a thread of load is made of.
pub(crate) struct Start {
    /// Its number.
    pub(crate) number: usize,
    /// How many there are.
    pub(crate) threads: usize,
    /// The clock of the run.
    pub(crate) clock: Clock,
    /// The server.
    pub(crate) endpoint: Arc<Endpoint>,
    /// What is run.
    pub(crate) scenario: Arc<Scenario>,
    /// What tells this run from others.
    pub(crate) run: u64,
    /// Channel names start with this.
    pub(crate) prefix: String,
    /// Counters for the display, and the wish to stop.
    pub(crate) shared: Arc<Shared>,
    /// What to do.
    pub(crate) orders: Receiver<Order>,
    /// What has happened.
    pub(crate) news: Sender<News>,
}

/// What has to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// A person goes elsewhere.
    Roam(u32),
    /// A person who left comes back.
    Return(u32),
    /// All of a group's people lose their connections.
    Storm(u16),
    /// A nuisance does something.
    Annoy(u32),
    /// A slow reader reads.
    Sip(u32),
}

/// One thread of load.
pub(crate) struct Worker {
    number: usize,
    threads: usize,
    clock: Clock,
    endpoint: Arc<Endpoint>,
    scenario: Arc<Scenario>,
    run: u64,
    prefix: String,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    news: Sender<News>,
    poller: Poller,
    peers: Vec<Peer>,
    /// By group: where its people begin among all people.
    offsets: Vec<usize>,
    /// How many people of the whole run have been asked to arrive.
    arrived: usize,
    buffer: Vec<u8>,
    message: Vec<u8>,
    frame: Vec<u8>,
    /// Peers with output that has to be sent.
    queued: Vec<u32>,
    /// Sockets that were not read to their end.
    unread: Vec<u32>,
    /// All connections, when they are QUIC's.
    quic: Option<Box<Quic>>,
    /// Its sockets that have something to read.
    datagrams: Vec<usize>,
    heard: Heard,
    agenda: BinaryHeap<Reverse<(u64, Task)>>,
    random: u64,
    /// Raised with every reset, so that a new crowd meets fresh channels.
    generation: u32,
    /// Nicks that terminals of this thread have had.
    nicks: u32,
    next_read_us: u64,
    /// What makes the kernel's times those of this clock; looked at once a turn.
    behind_wall_us: i64,
    /// Sockets with something to read whose turn is seldom.
    lazy: Vec<u32>,
    /// Bytes of unfinished frames of all peers.
    held: usize,
    /// Whether nothing is put off, because everybody waits for the end.
    hurry: bool,
    /// When that is, and how long it takes from one to the next.
    next_round_us: u64,
    round_us: u64,
    books: Option<Books>,
    /// Latencies of what is no stream count within it.
    window_us: (u64, u64),
    tallies: Tallies,
    timed: Timed,
    send_lag_us: Histogram<u64>,
}

impl Worker {
    /// A thread without connections.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub(crate) fn new(start: Start) -> Result<Self> {
        let Start { number, threads, clock, endpoint, scenario, run, .. } = start;
        let Start { prefix, shared, orders, news, .. } = start;
        // Timers fire when they are asked to, not up to 50 us later.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        let mut offsets = vec![0];
        for group in &scenario.groups {
            offsets.push(offsets[offsets.len() - 1] + group.total());
        }
        let quic = match scenario.dialect {
            Dialect::Quic => Some(Box::new(Quic::new(endpoint.address)?)),
            _ => None,
        };
        Ok(Self {
            number,
            threads,
            clock,
            endpoint,
            scenario,
            run,
            prefix,
            shared,
            orders,
            news,
            poller: Poller::new().context("an epoll instance")?,
            peers: Vec::new(),
            offsets,
            arrived: 0,
            buffer: vec![0; READ_BYTES * 2],
            message: Vec::new(),
            frame: Vec::new(),
            queued: Vec::new(),
            unread: Vec::new(),
            quic,
            datagrams: Vec::new(),
            heard: Heard::default(),
            agenda: BinaryHeap::new(),
            random: clock.now_us().wrapping_mul(2 * number as u64 + 1) | 1,
            generation: 0,
            nicks: 0,
            next_read_us: 0,
            behind_wall_us: 0,
            lazy: Vec::new(),
            held: 0,
            hurry: false,
            next_round_us: 0,
            round_us: 0,
            books: None,
            window_us: (0, 0),
            tallies: Tallies::default(),
            timed: Timed::new(),
            send_lag_us: histogram::empty(),
        })
    }

    /// Does as it is told until told to end. Failures are news as well.
    pub(crate) fn run(mut self) {
        let mut order = None;
        loop {
            let done = match order.take() {
                Some(Order::End) => return,
                Some(Order::Arrive { until }) => self.arrive(until),
                Some(Order::Play(plan)) => self.play(&plan),
                Some(Order::Settle { sent, patience }) => self.settle(&sent, patience),
                Some(Order::Reset) => self.reset(),
                None => Ok(()),
            };
            // Between orders pings are answered and closes noticed.
            let next = done.and_then(|()| self.mind());
            match next {
                Ok(next) => order = Some(next),
                Err(error) => {
                    // Whoever listens has gone when the run is over.
                    let _ = self.news.send(News::Failed(format!("{error:#}")));
                    return;
                }
            }
        }
    }

    /// Keeps connections alive until there is an order.
    fn mind(&mut self) -> Result<Order> {
        loop {
            match self.orders.try_recv() {
                Ok(order) => return Ok(order),
                Err(TryRecvError::Disconnected) => return Ok(Order::End),
                Err(TryRecvError::Empty) => {
                    let now_us = self.clock.now_us();
                    self.turn(now_us + 2000)?;
                }
            }
        }
    }

    /// Reads what is there, if it is time to, and pauses until `until_us` or the next read.
    fn turn(&mut self, until_us: u64) -> Result<()> {
        let now_us = self.clock.now_us();
        let turn_us = self.scenario.turn_us;
        if turn_us == 0 {
            let patience_us = if self.unread.is_empty() && self.datagrams.is_empty() {
                until_us.saturating_sub(now_us).min(WAIT_US_MAX).min(self.until_timer_us())
            } else {
                0
            };
            self.read_ready(patience_us * 1000)?;
            return self.take_datagrams();
        }
        if now_us >= self.next_read_us {
            self.read_ready(0)?;
            self.take_datagrams()?;
            self.next_read_us = now_us + turn_us;
            self.read_lazy(now_us)?;
        }
        let wake_us = until_us.min(self.next_read_us);
        let pause_us = wake_us.saturating_sub(self.clock.now_us());
        if pause_us > 0 && self.unread.is_empty() && self.datagrams.is_empty() {
            std::thread::sleep(Duration::from_micros(pause_us));
        }
        Ok(())
    }

    /// Handles every socket that is ready, after waiting for the first at most `patience_ns`.
    fn read_ready(&mut self, patience_ns: u64) -> Result<()> {
        self.behind_wall_us = self.clock.behind_wall_us();
        let mut unread = std::mem::take(&mut self.unread);
        for idx in unread.drain(..) {
            self.read(idx)?;
        }
        if self.unread.is_empty() {
            self.unread = unread;
        }
        let mut patience_ns = patience_ns;
        loop {
            let found = self.poller.wait(patience_ns).context("epoll")?;
            for i in 0..found {
                let ready = self.poller.ready(i);
                // The upper half tells a new connection from the one that had this place before.
                let (idx, attempt) = (ready.token as u32, (ready.token >> 32) as u32);
                if attempt == datagrams::SOCKET {
                    self.note_datagrams(idx as usize);
                    continue;
                }
                if self.peers.get(idx as usize).is_none_or(|peer| peer.attempt != attempt) {
                    continue;
                }
                if ready.writable {
                    self.writable(idx)?;
                }
                if ready.readable {
                    self.peers[idx as usize].ended |= ready.ended;
                    self.readable(idx)?;
                }
            }
            if !self.poller.is_full() {
                return Ok(());
            }
            patience_ns = 0;
        }
    }

    /// Reads at once, or puts it off.
    fn readable(&mut self, idx: u32) -> Result<()> {
        let peer = &mut self.peers[idx as usize];
        if peer.prompt || self.hurry || self.books.is_none() || peer.state != State::Ready {
            return self.read(idx);
        }
        if !std::mem::replace(&mut peer.waits, true) {
            self.lazy.push(idx);
        }
        Ok(())
    }

    /// Reads from those whose turn is seldom, if it has come. What waits in the kernel stays small: rounds follow
    /// each other faster when they bring much.
    fn read_lazy(&mut self, now_us: u64) -> Result<()> {
        if now_us < self.next_round_us && !self.hurry || self.lazy.is_empty() {
            return Ok(());
        }
        let mut lazy = std::mem::take(&mut self.lazy);
        let (before, n) = (self.tallies.bytes_received, lazy.len() as u64);
        for idx in lazy.drain(..) {
            self.peers[idx as usize].waits = false;
            self.read(idx)?;
        }
        self.lazy = lazy;
        let each = (self.tallies.bytes_received - before) / n;
        let turn_us = self.scenario.turn_us;
        self.round_us = if each > LAZY_BYTES { self.round_us / 2 } else { self.round_us * 5 / 4 };
        self.round_us = self.round_us.clamp(turn_us, turn_us.max(LAZY_US_MAX));
        self.next_round_us = now_us + self.round_us;
        Ok(())
    }

    /// Drops every connection at once and forgets it.
    fn reset(&mut self) -> Result<()> {
        if let Some(quic) = &mut self.quic {
            quic.reset()?;
        }
        self.datagrams.clear();
        self.heard = Heard::default();
        self.peers.clear();
        self.held = 0;
        self.queued.clear();
        self.unread.clear();
        self.agenda.clear();
        self.lazy.clear();
        self.books = None;
        self.arrived = 0;
        self.generation += 1;
        self.forget();
        self.shared.forget(self.number);
        Ok(())
    }

    /// A new random number.
    fn random(&mut self) -> u64 {
        self.random = xorshift(self.random);
        self.random
    }

    /// A random share, 0 to 1, never 0.
    fn share(&mut self) -> f64 {
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON
    }

    /// The people of this thread that belong to a group.
    fn members_of(&self, group: u16) -> impl Iterator<Item = u32> + use<> {
        let range = self.offsets[usize::from(group)]..self.offsets[usize::from(group) + 1];
        let (number, threads, n) = (self.number, self.threads, self.peers.len());
        let first = range.start.saturating_sub(number).div_ceil(threads);
        let last = range.end.saturating_sub(number).div_ceil(threads).min(n);
        (first..last.max(first)).map(|idx| idx as u32)
    }

    fn drop_connection(&mut self, idx: u32) {
        let peer = &mut self.peers[idx as usize];
        self.held -= peer.held();
        if let (Some(quic), Some(handle)) = (&mut self.quic, peer.quic) {
            quic.close(handle);
        }
        peer.drop_connection();
        self.set_state(idx, State::Absent);
    }

    fn set_state(&mut self, idx: u32, state: State) {
        let peer = &mut self.peers[idx as usize];
        let (before, now) = (peer.state.is_ready(), state.is_ready());
        peer.state = state;
        if before != now && !peer.nuisance {
            self.shared.ready(self.number, now);
        }
    }
}
