//! The words between the threads of a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use hdrhistogram::Histogram;

use crate::books::{Counts, Directory, Line, Person, Spread};
use crate::histogram;
use crate::schedule::Schedule;

/// Different reasons that are counted one by one.
const REASONS_MAX: usize = 100;

/// What a thread is told to do.
pub(crate) enum Order {
    /// Connect everybody of this thread among the first `until` people of the run; answered by [`News::Arrived`].
    Arrive {
        /// People of the whole run.
        until: usize,
    },
    /// Send and receive; answered by [`News::Slice`] as time passes, and [`News::Played`].
    Play(Arc<Plan>),
    /// Wait for what is still on the way; answered by [`News::Settled`].
    Settle {
        /// By stream and sender: messages that were sent.
        sent: Arc<Vec<Vec<u64>>>,
        /// How long, in microseconds.
        patience: u64,
    },
    /// Drop all connections.
    Reset,
    /// End the thread.
    End,
}

/// What a run sends, and when.
pub(crate) struct Plan {
    /// All streams with their schedules.
    pub(crate) lines: Vec<(Line, Schedule)>,
    /// Who is who.
    pub(crate) directory: Arc<Directory>,
    /// Whether each pair is accounted for.
    pub(crate) exact: bool,
    /// The first send.
    pub(crate) start_us: u64,
    /// The window.
    pub(crate) window_us: (u64, u64),
    /// Ends of the slices of the window, the last at its end.
    pub(crate) slices_us: Vec<u64>,
    /// The latency that slices report.
    pub(crate) headline: Option<String>,
}

/// What a thread has to tell.
pub(crate) enum News {
    /// Everybody has arrived, or will not.
    Arrived {
        /// Those who send, with the participant id that the server gave each.
        ids: Vec<(Box<[u8]>, Person)>,
        /// What has happened since the last reset.
        tallies: Box<Tallies>,
        /// How long arrivals took so far.
        arrival_us: Histogram<u64>,
        /// Why not everybody has.
        failure: Option<String>,
    },
    /// The window begins, or one of its slices has ended.
    Slice(Box<SliceNews>),
    /// Nothing more will be sent.
    Played {
        /// By stream and sender: how many messages this thread sent.
        sent: Vec<Vec<u64>>,
    },
    /// Nothing more is waited for.
    Settled(Box<Outcome>),
    /// The thread cannot go on.
    Failed(String),
}

/// One slice of one thread.
pub(crate) struct SliceNews {
    /// Its number; 0 is the moment at which the window begins.
    pub(crate) number: usize,
    /// Whose it is.
    pub(crate) thread: usize,
    /// Messages sent in it.
    pub(crate) sent: u64,
    /// Deliveries in it.
    pub(crate) deliveries: u64,
    /// Faults that were noticed in it.
    pub(crate) faults: u64,
    /// Connections of honest people that are open.
    pub(crate) connections: u64,
    /// The headline latency in it.
    pub(crate) latency_us: Histogram<u64>,
    /// CPU time that the thread has used so far.
    pub(crate) cpu_ns: u64,
    /// Frames, bytes and reads so far.
    pub(crate) tallies: Tallies,
}

/// What a thread found in a run.
pub(crate) struct Outcome {
    /// Deliveries and their faults over the whole run.
    pub(crate) counts: Counts,
    /// Deliveries that never came.
    pub(crate) lost: u64,
    /// Deliveries beyond what was sent, where only totals are known.
    pub(crate) surplus: u64,
    /// Latencies by stream.
    pub(crate) streams_us: Vec<Histogram<u64>>,
    /// First and last arrival by number, for streams of one sender.
    pub(crate) spreads: Vec<Vec<Spread>>,
    /// Latencies of what is no stream.
    pub(crate) timed: Timed,
    /// How late messages were sent.
    pub(crate) send_lag_us: Histogram<u64>,
    /// Everything else that was counted.
    pub(crate) tallies: Tallies,
}

/// What is counted beside deliveries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    /// WebSocket frames received, or lines.
    pub(crate) frames: u64,
    /// Bytes received.
    pub(crate) bytes_received: u64,
    /// Bytes sent.
    pub(crate) bytes_sent: u64,
    /// Reads that brought something.
    pub(crate) reads: u64,
    /// Pings answered.
    pub(crate) pings: u64,
    /// Notifications received.
    pub(crate) notifications: u64,
    /// The text of the first.
    pub(crate) first_notification: Option<String>,
    /// Channel entries in lists.
    pub(crate) list_entries: u64,
    /// Joins of roamers that were answered.
    pub(crate) joins: u64,
    /// Connections of roamers that came back.
    pub(crate) returns: u64,
    /// Roamers who were on their way at the end of the window.
    pub(crate) under_way: u64,
    /// Connections refused, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Connections that ended although they were wanted, by reason.
    pub(crate) closed: BTreeMap<String, u64>,
    /// Other errors.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Slow readers that were turned out, by reason.
    pub(crate) turned_out: BTreeMap<String, u64>,
    /// What nuisances did, and what became of them.
    pub(crate) abuse: BTreeMap<String, u64>,
}

impl Tallies {
    /// Adds those of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.reads += other.reads;
        self.pings += other.pings;
        self.notifications += other.notifications;
        self.list_entries += other.list_entries;
        self.joins += other.joins;
        self.returns += other.returns;
        self.under_way += other.under_way;
        if self.first_notification.is_none() {
            self.first_notification.clone_from(&other.first_notification);
        }
        for (mine, others) in [
            (&mut self.refused, &other.refused),
            (&mut self.closed, &other.closed),
            (&mut self.errors, &other.errors),
            (&mut self.turned_out, &other.turned_out),
            (&mut self.abuse, &other.abuse),
        ] {
            for (reason, n) in others {
                *mine.entry(reason.clone()).or_default() += n;
            }
        }
    }

    /// Counts one of `reason`. Servers choose the words, so there are only so many reasons.
    pub(crate) fn count(counts: &mut BTreeMap<String, u64>, reason: &str) {
        if let Some(n) = counts.get_mut(reason) {
            *n += 1;
        } else if counts.len() < REASONS_MAX {
            counts.insert(reason.to_owned(), 1);
        } else {
            *counts.entry("other reasons".to_owned()).or_default() += 1;
        }
    }

    /// Connections that did not come to be, or have ended, by whatever reason.
    pub(crate) fn gone(&self) -> u64 {
        [&self.refused, &self.closed, &self.turned_out].into_iter().flat_map(BTreeMap::values).sum()
    }

    /// Faults among them.
    pub(crate) fn faults(&self) -> u64 {
        [&self.refused, &self.closed, &self.errors].into_iter().flat_map(BTreeMap::values).sum()
    }
}

/// Latencies of what is no stream: arrivals, joins, returns, list updates.
pub(crate) struct Timed {
    /// By kind: over the window, and since the last slice.
    all: [(Histogram<u64>, Histogram<u64>); 4],
}

/// What is timed that is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// From the intended connect to the seat, while people arrive.
    Arrival,
    /// From the wish for another channel to the seat there.
    Join,
    /// From the loss of the connection to the seat.
    Back,
    /// From the wish for a new channel to its showing up in somebody's list.
    List,
}

impl Event {
    const ALL: [Event; 4] = [Event::Arrival, Event::Join, Event::Back, Event::List];

    /// Its name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Event::Arrival => "arrival",
            Event::Join => "join",
            Event::Back => "back",
            Event::List => "list",
        }
    }
}

impl Timed {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { all: std::array::from_fn(|_| (histogram::empty(), histogram::empty())) }
    }

    /// Counts one.
    pub(crate) fn record(&mut self, event: Event, us: u64) {
        let (whole, slice) = &mut self.all[event as usize];
        whole.saturating_record(us.max(1));
        slice.saturating_record(us.max(1));
    }

    /// All of an event.
    pub(crate) fn whole(&self, event: Event) -> &Histogram<u64> {
        &self.all[event as usize].0
    }

    /// Those of `name` since the last time.
    pub(crate) fn take_slice(&mut self, name: &str) -> Option<Histogram<u64>> {
        let event = Event::ALL.into_iter().find(|event| event.name() == name)?;
        Some(std::mem::replace(&mut self.all[event as usize].1, histogram::empty()))
    }

    /// Every event that has happened, by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &Histogram<u64>)> {
        let all = Event::ALL.into_iter().map(|event| (event.name(), self.whole(event)));
        all.filter(|(_, histogram)| !histogram.is_empty())
    }
}

/// What threads share while they run: counters for the display, and the wish to stop.
pub(crate) struct Shared {
    /// Set from outside when everything is to end now.
    interrupted: Arc<AtomicBool>,
    /// Set when this run alone has become pointless.
    cut: AtomicBool,
    /// By thread: honest people with a seat.
    seated: Vec<AtomicI64>,
}

impl Shared {
    /// For so many threads.
    pub(crate) fn new(threads: usize, interrupted: Arc<AtomicBool>) -> Self {
        Self {
            interrupted,
            cut: AtomicBool::new(false),
            seated: (0..threads).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    /// One more, or less, of a thread's people has a seat.
    pub(crate) fn ready(&self, thread: usize, is: bool) {
        self.seated[thread].fetch_add(if is { 1 } else { -1 }, Ordering::Relaxed);
    }

    /// A thread's people are gone.
    pub(crate) fn forget(&self, thread: usize) {
        self.seated[thread].store(0, Ordering::Relaxed);
    }

    /// Those of one thread who have a seat.
    pub(crate) fn seated_of(&self, thread: usize) -> u64 {
        u64::try_from(self.seated[thread].load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Everybody who has a seat.
    pub(crate) fn seated(&self) -> u64 {
        (0..self.seated.len()).map(|thread| self.seated_of(thread)).sum()
    }

    /// Whether the run is to end now.
    pub(crate) fn is_over(&self) -> bool {
        self.is_interrupted() || self.cut.load(Ordering::Relaxed)
    }

    /// Whether it was ended from outside.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Ends the run under way, or lets the next one begin.
    pub(crate) fn cut(&self, over: bool) {
        self.cut.store(over, Ordering::Relaxed);
    }
}
