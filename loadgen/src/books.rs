//! Accounting: what each receiver should have had, and what it had.
//!
//! With exact accounting there is a number for each pair of receiver and sender: the one expected next.
//! A higher one leaves a gap, which is remembered; a lower one fills a gap, and was then only late, or is a
//! repetition. With totals, receivers count, and one delivery in some is looked at.
//!
//! Receivers who come and go are expected to have everything between the first message that they hear
//! after a join and the last before they leave.

use std::collections::HashSet;
use std::sync::Arc;

use ahash::AHashMap;
use hdrhistogram::Histogram;

use crate::histogram;
use crate::scenario::{Kind, Scenario};
use crate::schedule::Schedule;
use crate::wire::mark::{key_of, read_line, velocity_of};
use crate::wire::{self, Marked, Message, What};

/// How many missing messages are remembered one by one to tell late ones from repeated ones.
const MISSING_MAX: usize = 1 << 20;
/// A place for "not a receiver" and "not heard yet".
const NONE: u32 = u32::MAX;

/// Who a participant is: a person of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// The group.
    pub(crate) group: u16,
    /// The number within it; senders come first.
    pub(crate) index: u32,
}

/// Everybody who sends, by the participant id that the server gave.
pub(crate) type Directory = AHashMap<Box<[u8]>, Person>;

/// The streams of a scenario, laid out in one order that all threads share.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Whose it is.
    pub(crate) group: usize,
    /// What is sent.
    pub(crate) kind: Kind,
    /// Channels of the group.
    pub(crate) channels: usize,
    /// Senders in each channel.
    pub(crate) per_channel: usize,
    /// Messages a second and sender, before `--find-max` scales them.
    pub(crate) rate: f64,
    /// Notes in a message.
    pub(crate) size: usize,
    /// Whether the sender hears itself.
    pub(crate) echo: bool,
}

impl Line {
    /// All streams of `scenario`.
    pub(crate) fn all(scenario: &Scenario) -> Vec<Self> {
        let groups = scenario.groups.iter().enumerate();
        groups
            .flat_map(|(at, group)| {
                group.streams().map(move |(kind, stream)| Self {
                    group: at,
                    kind,
                    channels: group.channels,
                    per_channel: group.senders(&stream),
                    rate: stream.rate,
                    size: stream.size,
                    echo: matches!(kind, Kind::Chat | Kind::Ping),
                })
            })
            .collect()
    }

    /// Senders in all.
    pub(crate) fn n_senders(&self) -> usize {
        self.channels * self.per_channel
    }

    /// How many of a channel's `heads` hear one message.
    pub(crate) fn hearers(&self, heads: usize) -> usize {
        match self.kind {
            Kind::Ping => 1,
            _ => heads - usize::from(!self.echo),
        }
    }
}

/// A receiver of this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    /// Who it is.
    pub(crate) person: Person,
    /// The group in whose channels it sits.
    pub(crate) room: u16,
    /// The channel of that group that it is in now.
    pub(crate) channel: u32,
    /// Whether it is there from beginning to end, and reads.
    pub(crate) steady: bool,
    /// Whether it reads what it is sent when it is sent it, so that its latencies are the server's.
    pub(crate) prompt: bool,
}

/// What went wrong with deliveries, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Deliveries, not looked at yet.
    pub(crate) deliveries: u64,
    /// Came more than once.
    pub(crate) repeated: u64,
    /// Came after a later one.
    pub(crate) reordered: u64,
    /// Could not be read, or did not fit their mark.
    pub(crate) corrupted: u64,
    /// Came to somebody who should not have had them.
    pub(crate) stray: u64,
    /// Gaps that people who left took with them.
    pub(crate) lost: u64,
}

impl Counts {
    /// Everything that is a fault.
    pub(crate) fn faults(&self) -> u64 {
        self.repeated + self.reordered + self.corrupted + self.stray + self.lost
    }

    /// Adds those of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.deliveries += other.deliveries;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.stray += other.stray;
        self.lost += other.lost;
    }
}

/// The first and last arrival of one message among its receivers.
pub(crate) type Spread = (u64, u64);

/// One stream's account on one thread.
pub(crate) struct Account {
    line: Line,
    schedule: Schedule,
    /// By receiver of this thread: its place in `expected`, or [`NONE`].
    slots: Vec<u32>,
    /// By slot and seat of the sender: the number expected next; [`NONE`] before the first.
    expected: Vec<u32>,
    missing: HashSet<(usize, u32), ahash::RandomState>,
    missing_forgotten: u64,
    /// From the intended time, within the window.
    pub(crate) latency_us: Histogram<u64>,
    /// The same since the last slice.
    pub(crate) slice_us: Histogram<u64>,
    /// By number, for the only sender of a stream.
    pub(crate) spreads: Vec<Spread>,
}

/// All accounts of one thread for one run.
pub(crate) struct Books {
    exact: bool,
    directory: Arc<Directory>,
    /// In the order of [`Line::all`].
    pub(crate) accounts: Vec<Account>,
    /// By group: the account of each kind.
    by_group: Vec<[Option<u16>; 4]>,
    receivers: Vec<Receiver>,
    /// By kind and receiver.
    received: [Vec<u64>; 4],
    sample_mask: u64,
    /// Messages that are meant for `from_us..to_us` make the latencies.
    from_us: u64,
    to_us: u64,
    /// Counted over the whole run.
    pub(crate) counts: Counts,
}

/// What the books of one thread are made for.
pub(crate) struct Terms<'a> {
    /// The scenario.
    pub(crate) scenario: &'a Scenario,
    /// Whether each pair is accounted for.
    pub(crate) exact: bool,
    /// All streams, and when they send.
    pub(crate) lines: &'a [(Line, Schedule)],
    /// The window.
    pub(crate) window_us: (u64, u64),
    /// Who is who.
    pub(crate) directory: Arc<Directory>,
    /// The receivers of this thread.
    pub(crate) receivers: Vec<Receiver>,
}

impl Books {
    /// Empty books.
    pub(crate) fn new(terms: Terms<'_>) -> Self {
        let Terms { scenario, exact, lines, window_us: (from_us, to_us), directory, receivers } =
            terms;
        let mut by_group = vec![[None; 4]; scenario.groups.len()];
        let mut accounts = Vec::new();
        let mut deliveries_per_s = 0.0;
        for (line, schedule) in lines {
            by_group[line.group][line.kind as usize] = Some(accounts.len() as u16);
            let room = scenario.room_of(line.group);
            let mut slots = vec![NONE; receivers.len()];
            let mut n_slots = 0;
            for (receiver, slot) in receivers.iter().zip(&mut slots) {
                let hears = match line.kind {
                    Kind::Ping => usize::from(receiver.person.group) == line.group,
                    _ => usize::from(receiver.room) == room,
                };
                if hears {
                    (*slot, n_slots) = (n_slots, n_slots + 1);
                }
            }
            deliveries_per_s += line.rate * line.per_channel as f64 * f64::from(n_slots);
            let seats = if line.kind == Kind::Ping { 1 } else { line.per_channel };
            let mut expected = vec![NONE; if exact { n_slots as usize * seats } else { 0 }];
            for (receiver, &slot) in receivers.iter().zip(&slots) {
                if exact && slot != NONE && receiver.steady {
                    let at = slot as usize * seats;
                    expected[at..at + seats].fill(0);
                }
            }
            accounts.push(Account {
                line: line.clone(),
                schedule: schedule.clone(),
                slots,
                expected,
                missing: HashSet::default(),
                missing_forgotten: 0,
                latency_us: histogram::empty(),
                slice_us: histogram::empty(),
                spreads: Vec::new(),
            });
        }
        // Some 100,000 samples a second are plenty.
        let sample_mask = ((deliveries_per_s / 1e5).max(1.0) as u64).next_power_of_two() - 1;
        let n = receivers.len();
        Self {
            exact,
            directory,
            accounts,
            by_group,
            receivers,
            received: std::array::from_fn(|_| vec![0; n]),
            sample_mask,
            from_us,
            to_us,
            counts: Counts::default(),
        }
    }

    /// Counts one message that `receiver` was sent.
    #[inline]
    pub(crate) fn deliver(&mut self, receiver: u32, what: What, message: Message<'_>, at_us: u64) {
        let kind = match what {
            What::Note => Kind::Note,
            What::Chat => Kind::Chat,
            What::Cursor => Kind::Cursor,
            What::Time => Kind::Ping,
            _ => return,
        };
        self.received[kind as usize][receiver as usize] += 1;
        self.counts.deliveries += 1;
        if self.exact || self.counts.deliveries & self.sample_mask == 0 {
            self.look(receiver, kind, wire::read(what, message), at_us);
        }
    }

    /// Checks a message against what was sent.
    fn look(&mut self, receiver: u32, kind: Kind, marked: Option<Marked<'_>>, at_us: u64) {
        let me = self.receivers[receiver as usize];
        let by = match marked {
            Some(Marked::Note { by, .. } | Marked::Chat { by, .. } | Marked::Cursor { by, .. }) => {
                self.directory.get(by).copied()
            }
            Some(Marked::Pong { .. }) => Some(me.person),
            None => None,
        };
        let (Some(marked), Some(by)) = (marked, by) else {
            self.counts.corrupted += 1;
            return;
        };
        let account = self.by_group[usize::from(by.group)][kind as usize];
        let Some(account) = account.and_then(|at| self.accounts.get_mut(usize::from(at))) else {
            self.counts.stray += 1;
            return;
        };
        let (line, slot) = (&account.line, account.slots[receiver as usize]);
        let sender = by.index;
        let itself = by == me.person;
        if sender as usize >= line.n_senders()
            || slot == NONE
            || sender % line.channels as u32 != me.channel
            || itself && !line.echo
        {
            self.counts.stray += 1;
            return;
        }
        let Some((number, intended_us)) = account.place(sender, &marked) else {
            self.counts.corrupted += 1;
            return;
        };
        if me.prompt && (self.from_us..self.to_us).contains(&intended_us) {
            let late_us = at_us.saturating_sub(intended_us).max(1);
            account.latency_us.saturating_record(late_us);
            account.slice_us.saturating_record(late_us);
            if account.schedule.n_senders() == 1 && kind == Kind::Note {
                account.spread(number, at_us);
            }
        }
        if self.exact {
            account.tick_off(slot, sender, number as u32, kind, &mut self.counts);
        }
    }

    /// `receiver` has left its channel for `channel`: what comes from now on is expected from the first on.
    pub(crate) fn moved(&mut self, receiver: u32, channel: u32) {
        self.receivers[receiver as usize].channel = channel;
        if !self.exact {
            return;
        }
        for account in &mut self.accounts {
            let slot = account.slots[receiver as usize];
            if slot == NONE {
                continue;
            }
            let seats = account.seats();
            let range = slot as usize * seats..(slot as usize + 1) * seats;
            account.expected[range.clone()].fill(NONE);
            if !account.missing.is_empty() {
                let before = account.missing.len();
                account.missing.retain(|(pair, _)| !range.contains(pair));
                self.counts.lost += (before - account.missing.len()) as u64;
            }
        }
    }

    /// What was not delivered to the receivers of this thread, and, with totals, what came too often.
    /// `sent` has, by stream and sender, how many messages were really sent.
    pub(crate) fn settle(&self, scenario: &Scenario, sent: &[Vec<u64>]) -> (u64, u64) {
        let (mut lost, mut surplus) = (0, 0);
        for (account, sent) in self.accounts.iter().zip(sent) {
            // Moves may be merged: only the last position has to arrive.
            let merged = account.line.kind == Kind::Cursor;
            if !merged {
                lost += account.missing.len() as u64 + account.missing_forgotten;
            }
            if !self.exact {
                continue;
            }
            for (receiver, &slot) in self.receivers.iter().zip(&account.slots) {
                if slot == NONE || !receiver.steady {
                    continue;
                }
                for (seat, sender) in account.heard_by(receiver) {
                    let expected = account.expected[slot as usize * account.seats() + seat];
                    let behind = sent[sender as usize].saturating_sub(u64::from(expected));
                    lost += if merged { behind.min(1) } else { behind };
                }
            }
        }
        if !self.exact {
            for (at, receiver) in self.receivers.iter().enumerate().filter(|(_, it)| it.steady) {
                for kind in [Kind::Note, Kind::Chat, Kind::Ping] {
                    let due = self.due(scenario, receiver, kind, sent);
                    let received = self.received[kind as usize][at];
                    lost += due.saturating_sub(received);
                    surplus += received.saturating_sub(due);
                }
            }
        }
        (lost, surplus)
    }

    /// Whether every steady receiver of this thread has what it should have.
    pub(crate) fn is_complete(&self, scenario: &Scenario, sent: &[Vec<u64>]) -> bool {
        if self.exact {
            return self.settle(scenario, sent).0 == 0;
        }
        self.receivers.iter().enumerate().filter(|(_, it)| it.steady).all(|(at, receiver)| {
            [Kind::Note, Kind::Chat, Kind::Ping].into_iter().all(|kind| {
                self.received[kind as usize][at] >= self.due(scenario, receiver, kind, sent)
            })
        })
    }

    /// How many messages of a kind `receiver` should have had of what was sent.
    fn due(&self, scenario: &Scenario, receiver: &Receiver, kind: Kind, sent: &[Vec<u64>]) -> u64 {
        let mut due = 0;
        for (account, sent) in self.accounts.iter().zip(sent) {
            let hears = match kind {
                Kind::Ping => account.line.group == usize::from(receiver.person.group),
                _ => scenario.room_of(account.line.group) == usize::from(receiver.room),
            };
            if account.line.kind == kind && hears {
                due += account
                    .heard_by(receiver)
                    .map(|(_, sender)| sent[sender as usize])
                    .sum::<u64>();
            }
        }
        due
    }
}

impl Account {
    /// Seats of senders that a receiver has a number for.
    fn seats(&self) -> usize {
        if self.line.kind == Kind::Ping { 1 } else { self.line.per_channel }
    }

    /// The seats and senders that `receiver` hears.
    fn heard_by(&self, receiver: &Receiver) -> impl Iterator<Item = (usize, u32)> {
        let Line { kind, channels, per_channel, group, echo, .. } = self.line;
        let own = (usize::from(receiver.person.group) == group).then_some(receiver.person.index);
        let channel = receiver.channel;
        let n_senders = (channels * per_channel) as u32;
        let range = match kind {
            Kind::Ping => 0..1,
            _ => 0..per_channel,
        };
        range.filter_map(move |seat| {
            let sender = match kind {
                Kind::Ping => own.filter(|&own| own < n_senders)?,
                _ => (seat * channels) as u32 + channel,
            };
            (echo || own != Some(sender)).then_some((seat, sender))
        })
    }

    /// Number and intended time of a message, if it is one that `sender` has sent.
    #[inline]
    fn place(&self, sender: u32, marked: &Marked<'_>) -> Option<(u64, u64)> {
        match *marked {
            Marked::Note { intended_us, key, velocity, .. } => {
                let number = self.schedule.number(sender, intended_us)?;
                let fits =
                    key == key_of(number).as_bytes() && velocity == velocity_of(sender, number);
                fits.then_some((number, intended_us))
            }
            Marked::Chat { line, .. } => {
                let (named, number, intended_us) = read_line(line)?;
                let fits = named == sender && self.schedule.time_us(sender, number) == intended_us;
                fits.then_some((number, intended_us))
            }
            Marked::Cursor { number, .. } | Marked::Pong { number } => {
                Some((number, self.schedule.time_us(sender, number)))
            }
        }
    }

    fn tick_off(&mut self, slot: u32, sender: u32, number: u32, kind: Kind, counts: &mut Counts) {
        let seat = if kind == Kind::Ping { 0 } else { sender as usize / self.line.channels };
        let pair = slot as usize * self.seats() + seat;
        let expected = self.expected[pair];
        if expected == NONE {
            self.expected[pair] = number + 1;
            return;
        }
        if number < expected {
            match self.missing.remove(&(pair, number)) {
                true => counts.reordered += 1,
                // A server that merges moves may say a position again, but never an older one.
                false if kind == Kind::Cursor && number + 1 == expected => {}
                false if kind == Kind::Cursor => counts.reordered += 1,
                false => counts.repeated += 1,
            }
            return;
        }
        if kind != Kind::Cursor {
            for gap in expected..number {
                if self.missing.len() < MISSING_MAX {
                    self.missing.insert((pair, gap));
                } else {
                    self.missing_forgotten += 1;
                }
            }
        }
        self.expected[pair] = number + 1;
    }

    fn spread(&mut self, number: u64, at_us: u64) {
        let at = number as usize;
        if at >= self.spreads.len() {
            if at > 1_000_000 {
                return;
            }
            self.spreads.resize(at + 1, (u64::MAX, 0));
        }
        let (first, last) = &mut self.spreads[at];
        (*first, *last) = ((*first).min(at_us), (*last).max(at_us));
    }
}

#[cfg(test)]
mod tests;
