//! Notes at a fixed rate: the run that `notes` reports and `saturate` repeats.

use std::collections::HashSet;
use std::time::Duration;

use ahash::AHashMap;
use anyhow::Result;
use hdrhistogram::Histogram;

use tutti_perf::poller::own_cpu_ns;
use tutti_perf::process;

use crate::fleet::{Fleet, Sink};
use crate::message::{each_message, note_time_us, text_field};
use crate::outcome::{Outcome, latency_histogram};
use crate::pace::Pace;

/// Sends made in a row before the sockets are looked at again.
const SENDS_PER_TURN: usize = 64;
/// The window is cut into slices of this length for the median of CPU per delivery, in microseconds.
const SLICE_US: u64 = 500_000;
/// How many missing notes are remembered one by one to tell late ones from repeated ones.
const MISSING_MAX: usize = 1 << 20;

/// The people of a run: `channels * members` peers, of whom the first `senders` of each channel play.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) channels: usize,
    pub(crate) members: usize,
    pub(crate) senders: usize,
}

impl Crowd {
    pub(crate) fn total(self) -> usize {
        self.channels * self.members
    }

    pub(crate) fn channel_of(self, peer: usize) -> usize {
        peer % self.channels
    }

    /// Senders have the lowest seats, so they are the first peers.
    pub(crate) fn n_senders(self) -> usize {
        self.channels * self.senders
    }
}

pub(crate) struct Plan {
    /// Notes a second and sender.
    pub(crate) rate: f64,
    pub(crate) warm_s: f64,
    pub(crate) measure_s: f64,
    pub(crate) drain_s: f64,
    /// Whether every (receiver, sender) pair is accounted for note by note. Costs the load side some
    /// 50 ns a delivery, so at saturation only each receiver's total is exact.
    pub(crate) exact: bool,
    pub(crate) notes_per_message: usize,
    /// 0 sends and reads at once. Otherwise both happen once a turn of this many microseconds: a load
    /// side that wakes for every message spends its core on that and becomes the limit itself.
    /// Latencies, which count from the intended time, grow by up to twice this.
    pub(crate) turn_us: u64,
    /// Whether what one sender owes in a turn leaves in one `send`, as from a client that was held up.
    /// Cheaper for both sides; without it every message is a segment of its own.
    pub(crate) merge: bool,
}

pub(crate) struct Figures {
    pub(crate) window_s: f64,
    /// What would be delivered if the server kept up, a second.
    pub(crate) offered_per_s: f64,
    pub(crate) delivered_per_s: f64,
    pub(crate) deliveries: u64,
    pub(crate) lost: u64,
    pub(crate) surplus: u64,
    pub(crate) reordered: u64,
    pub(crate) unknown: u64,
    pub(crate) closed: u64,
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) send_lag_us: Histogram<u64>,
    pub(crate) server_cpu_ns: Option<u64>,
    /// CPU per delivery of the middle slice: a moment of disturbance does not move it.
    pub(crate) server_us_median: Option<f64>,
    pub(crate) load_cpu_ns: u64,
    /// Time that server and load side were ready to run and did not get their core.
    pub(crate) server_wait_ns: u64,
    pub(crate) load_wait_ns: u64,
}

impl Figures {
    pub(crate) fn p99_ms(&self) -> f64 {
        self.latency_us.value_at_quantile(0.99) as f64 / 1000.0
    }

    pub(crate) fn server_us_per_delivery(&self) -> Option<f64> {
        Some(self.server_cpu_ns? as f64 / 1000.0 / self.deliveries.max(1) as f64)
    }

    pub(crate) fn load_busy(&self) -> f64 {
        self.load_cpu_ns as f64 / 1e9 / self.window_s
    }

    /// Nothing lost, repeated, reordered or unaccounted for.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.surplus + self.reordered + self.unknown + self.closed == 0
    }

    pub(crate) fn put(&self, outcome: &mut Outcome) {
        outcome.put_rounded("offered_per_s", self.offered_per_s, 0);
        outcome.put_rounded("deliveries_per_s", self.delivered_per_s, 0);
        outcome.put("deliveries", self.deliveries);
        outcome.put_latency("latency", &self.latency_us);
        outcome.put("lost", self.lost);
        outcome.put("repeated", self.surplus);
        outcome.put("reordered", self.reordered);
        outcome.put("unknown", self.unknown);
        outcome.put("closed", self.closed);
        if let (Some(cpu_ns), Some(us)) = (self.server_cpu_ns, self.server_us_per_delivery()) {
            outcome.put_rounded("server_us_per_delivery", us, 4);
            let median = self.server_us_median.unwrap_or(us);
            outcome.put_rounded("server_us_per_delivery_median", median, 4);
            outcome.put_rounded("server_busy", cpu_ns as f64 / 1e9 / self.window_s, 3);
        }
        let load_us = self.load_cpu_ns as f64 / 1000.0 / self.deliveries.max(1) as f64;
        outcome.put_rounded("load_us_per_delivery", load_us, 4);
        outcome.put_rounded("load_busy", self.load_busy(), 3);
        outcome.put("load_was_the_limit", self.load_busy() > 0.9);
        let waited = |ns: u64| ns as f64 / 1e9 / self.window_s;
        outcome.put_rounded("server_waited", waited(self.server_wait_ns), 3);
        outcome.put_rounded("load_waited", waited(self.load_wait_ns), 3);
        outcome.put_latency("send_lag", &self.send_lag_us);
    }
}

struct Counter {
    exact: bool,
    pace: Pace,
    crowd: Crowd,
    received: Vec<u64>,
    latency_us: Histogram<u64>,
    /// Latencies count for notes intended within `from_us..to_us`.
    from_us: u64,
    to_us: u64,
    /// One in `2^sample_bits` deliveries is timed when pairs are not accounted for.
    sample_mask: u64,
    tick: u64,
    /// By participant id: the sender.
    senders: AHashMap<Box<[u8]>, usize>,
    /// By receiver and sender seat: the number expected next.
    expected: Vec<u32>,
    missing: HashSet<(usize, u32), ahash::RandomState>,
    missing_forgotten: u64,
    repeated: u64,
    reordered: u64,
    unknown: u64,
}

impl Sink for Counter {
    #[inline]
    fn frame(&mut self, peer: usize, payload: &[u8], now_us: u64) {
        each_message(payload, b'n', |message| self.note(peer, message, now_us));
    }
}

impl Counter {
    fn new(crowd: Crowd, pace: Pace, senders: AHashMap<Box<[u8]>, usize>, exact: bool) -> Self {
        Self {
            exact,
            pace,
            crowd,
            received: vec![0; crowd.total()],
            latency_us: latency_histogram(),
            from_us: 0,
            to_us: u64::MAX,
            sample_mask: 0,
            tick: 0,
            senders,
            expected: vec![0; if exact { crowd.total() * crowd.senders } else { 0 }],
            missing: HashSet::default(),
            missing_forgotten: 0,
            repeated: 0,
            reordered: 0,
            unknown: 0,
        }
    }

    /// Deliveries that never came and deliveries that came too often.
    fn lost_and_surplus(&self) -> (u64, u64) {
        let peers = 0..self.crowd.total();
        if !self.exact {
            return peers.fold((0, 0), |(lost, surplus), peer| {
                let (due, received) = (self.due(peer), self.received[peer]);
                (lost + due.saturating_sub(received), surplus + received.saturating_sub(due))
            });
        }
        // Pair by pair: what is missing in between and what is missing at the end.
        let mut lost = self.missing.len() as u64 + self.missing_forgotten;
        for peer in peers {
            for seat in 0..self.crowd.senders {
                let sender = seat * self.crowd.channels + self.crowd.channel_of(peer);
                if sender != peer {
                    let expected = u64::from(self.expected[peer * self.crowd.senders + seat]);
                    lost += self.pace.sent(sender) - expected;
                }
            }
        }
        (lost, self.repeated)
    }

    #[inline]
    fn note(&mut self, peer: usize, message: &[u8], now_us: u64) {
        self.received[peer] += 1;
        self.tick += 1;
        if self.exact || self.tick & self.sample_mask == 0 {
            self.look(peer, message, now_us);
        }
    }

    /// Reads the mark, and does the accounting of the pair when asked to.
    fn look(&mut self, peer: usize, message: &[u8], now_us: u64) {
        let Some(intended_us) = note_time_us(message) else {
            self.unknown += 1;
            return;
        };
        if (self.from_us..self.to_us).contains(&intended_us) {
            self.latency_us.saturating_record(now_us.saturating_sub(intended_us).max(1));
        }
        if !self.exact {
            return;
        }
        let sender = text_field(message, br#""p":""#).and_then(|id| self.senders.get(id).copied());
        let known =
            sender.and_then(|sender| Some((sender, self.pace.number(sender, intended_us)?)));
        let Some((sender, number)) = known else {
            self.unknown += 1;
            return;
        };
        if sender == peer || self.crowd.channel_of(sender) != self.crowd.channel_of(peer) {
            self.unknown += 1;
            return;
        }
        let pair = peer * self.crowd.senders + sender / self.crowd.channels;
        let number = number as u32;
        let expected = self.expected[pair];
        if number < expected {
            match self.missing.remove(&(pair, number)) {
                true => self.reordered += 1,
                false => self.repeated += 1,
            }
            return;
        }
        for gap in expected..number {
            if self.missing.len() < MISSING_MAX {
                self.missing.insert((pair, gap));
            } else {
                self.missing_forgotten += 1;
            }
        }
        self.expected[pair] = number + 1;
    }

    /// How many notes `peer` must have received of what was sent so far.
    fn due(&self, peer: usize) -> u64 {
        let channel = self.crowd.channel_of(peer);
        (0..self.crowd.senders)
            .map(|seat| seat * self.crowd.channels + channel)
            .filter(|&sender| sender != peer)
            .map(|sender| self.pace.sent(sender))
            .sum()
    }

    fn is_complete(&self) -> bool {
        (0..self.crowd.total()).all(|peer| self.received[peer] >= self.due(peer))
    }
}

/// Lets the senders play for warm-up and measurement, then waits for what is still on the way.
pub(crate) fn run(
    fleet: &mut Fleet,
    crowd: Crowd,
    plan: &Plan,
    pid: Option<u32>,
) -> Result<Figures> {
    let rate = plan.rate;
    let start_us = fleet.clock.now_us() + 20_000;
    let from_us = start_us + (plan.warm_s * 1e6) as u64;
    let to_us = from_us + (plan.measure_s * 1e6) as u64;
    let per_s = rate * crowd.n_senders() as f64 * (crowd.members - 1) as f64;
    let pace = Pace::new(crowd.n_senders(), rate, start_us);
    let ids = (0..crowd.n_senders()).map(|peer| (fleet.id(peer).into(), peer)).collect();
    // Some 100,000 samples a second are plenty.
    let sample_mask = ((per_s / 1e5).max(1.0) as u64).next_power_of_two() - 1;
    let mut counter = Counter::new(crowd, pace, ids, plan.exact);
    (counter.from_us, counter.to_us, counter.sample_mask) = (from_us, to_us, sample_mask);
    let mut send_lag_us = latency_histogram();
    let mut message = Vec::new();
    // Instant, server CPU, own CPU, deliveries, waits: taken when the window opens, after each slice,
    // and when it closes.
    let mut marks = Vec::new();
    let mut mark_us = from_us;
    let cpu = || pid.map(process::cpu_ns).transpose();
    let wait = |pid: Option<u32>| pid.map_or(Ok(0), process::run_queue_wait_ns);
    let own_pid = std::process::id();
    loop {
        let now_us = fleet.clock.now_us();
        if now_us >= mark_us {
            let waits = (wait(pid)?, wait(Some(own_pid))?);
            marks.push((now_us, cpu()?, own_cpu_ns(), counter.tick, waits));
            if now_us >= to_us {
                break;
            }
            mark_us = (mark_us + SLICE_US).min(to_us);
        }
        let turns = plan.turn_us > 0;
        for _ in 0..if turns { usize::MAX } else { SENDS_PER_TURN } {
            let Some(due) = counter.pace.take(now_us) else { break };
            put_note(&mut message, due.intended_us, plan.notes_per_message);
            match plan.merge {
                true => fleet.queue(due.sender, &message),
                false => fleet.send(due.sender, &message)?,
            }
            if due.intended_us >= from_us {
                send_lag_us.saturating_record((now_us - due.intended_us).max(1));
            }
        }
        fleet.flush()?;
        if !turns {
            fleet.poll(counter.pace.next_us().min(mark_us), &mut counter)?;
            continue;
        }
        fleet.poll(0, &mut counter)?;
        let wake_us = (now_us + plan.turn_us).min(mark_us);
        let pause_us = wake_us.saturating_sub(fleet.clock.now_us());
        if pause_us > 0 {
            std::thread::sleep(Duration::from_micros(pause_us));
        }
    }
    let drained_us = fleet.clock.now_us() + (plan.drain_s * 1e6) as u64;
    while !counter.is_complete() && fleet.clock.now_us() < drained_us {
        let step_us = (fleet.clock.now_us() + 5_000).min(drained_us);
        fleet.poll(step_us, &mut counter)?;
    }
    // Anything that is sent twice would arrive now.
    fleet.linger(0.02, &mut counter)?;

    let (lost, surplus) = counter.lost_and_surplus();
    let mut slices_us: Vec<f64> = marks
        .windows(2)
        .filter_map(|pair| Some(((pair[1].1? - pair[0].1?) as f64, pair[1].3 - pair[0].3)))
        .map(|(cpu_ns, deliveries)| cpu_ns / 1000.0 / deliveries.max(1) as f64)
        .collect();
    slices_us.sort_by(f64::total_cmp);
    let [opened, closed] = [marks[0], marks[marks.len() - 1]];
    let window_s = (closed.0 - opened.0) as f64 / 1e6;
    let deliveries = closed.3 - opened.3;
    Ok(Figures {
        window_s,
        offered_per_s: per_s,
        delivered_per_s: deliveries as f64 / window_s,
        deliveries,
        lost,
        surplus,
        reordered: counter.reordered,
        unknown: counter.unknown,
        closed: fleet.closed.values().sum(),
        latency_us: counter.latency_us,
        send_lag_us,
        server_us_median: slices_us.get(slices_us.len() / 2).copied(),
        server_cpu_ns: closed.1.zip(opened.1).map(|(end, start)| end - start),
        load_cpu_ns: closed.2 - opened.2,
        server_wait_ns: closed.4.0.saturating_sub(opened.4.0),
        load_wait_ns: closed.4.1.saturating_sub(opened.4.1),
    })
}

/// Writes a note message whose `t` is `intended_us` in milliseconds with all three decimals. The server
/// passes `t` through (it is replaced only when more than 10 s off), so it is the mark that latency and
/// accounting read.
pub(crate) fn put_note(message: &mut Vec<u8>, intended_us: u64, notes: usize) {
    message.clear();
    message.extend_from_slice(br#"[{"m":"n","t":"#);
    let mut digits = [b'0'; 20];
    let mut rest = intended_us;
    let mut at = digits.len();
    while rest > 0 {
        if at == digits.len() - 3 {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    message.extend_from_slice(&digits[at..]);
    message.extend_from_slice(br#","n":[{"n":"c4","v":0.62}"#);
    for _ in 1..notes {
        message.extend_from_slice(br#",{"n":"c4","d":90,"s":1}"#);
    }
    message.extend_from_slice(b"]}]");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_wrong_delivery_is_told_apart() {
        let crowd = Crowd { channels: 1, members: 2, senders: 1 };
        let mut pace = Pace::new(1, 100.0, 1_761_000_000_000_000);
        let times: Vec<u64> =
            (0..10).map(|_| pace.take(u64::MAX).expect("always due").intended_us).collect();
        let ids = || [(Box::from(*b"abc"), 0)].into_iter().collect();
        let frame = |intended_us: u64, id: &str| {
            let ms = intended_us as f64 / 1000.0;
            format!(r#"[{{"m":"n","t":{ms},"p":"{id}","n":[{{"n":"c4","v":0.62}}]}}]"#)
        };
        let mut counter = Counter::new(crowd, pace, ids(), true);
        // Number 4 comes late, 6 twice, 2 and 9 never.
        for number in [0, 1, 3, 5, 4, 6, 6, 7, 8] {
            counter.frame(1, frame(times[number], "abc").as_bytes(), times[number] + 250);
        }
        assert_eq!(counter.lost_and_surplus(), (2, 1));
        assert_eq!((counter.reordered, counter.unknown), (1, 0));
        assert_eq!(counter.latency_us.value_at_quantile(0.5), 250);
        counter.frame(1, frame(times[0] + 1, "abc").as_bytes(), 0);
        counter.frame(1, frame(times[0], "xyz").as_bytes(), 0);
        counter.frame(0, frame(times[0], "abc").as_bytes(), 0);
        assert_eq!(counter.unknown, 3, "a time never sent, a stranger, an echo");

        let totals = Counter { exact: false, ..counter };
        assert_eq!(
            totals.lost_and_surplus(),
            (0, 2),
            "11 of 10 at the receiver, 1 of 0 at the sender"
        );
    }

    #[test]
    fn the_mark_reads_back() {
        let mut message = Vec::new();
        for intended_us in [1_761_000_000_420_123, 1_761_000_000_000_000, 1_761_000_000_000_007] {
            put_note(&mut message, intended_us, 2);
            assert_eq!(note_time_us(&message), Some(intended_us));
        }
        put_note(&mut message, 1_761_000_000_420_120, 1);
        let text = r#"[{"m":"n","t":1761000000420.120,"n":[{"n":"c4","v":0.62}]}]"#;
        assert_eq!(message, text.as_bytes());
    }
}
