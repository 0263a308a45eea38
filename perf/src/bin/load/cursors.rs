//! Cursor moves. Servers may merge moves that come close together, so what counts is the CPU per move
//! and receiver that *could* be, and that every receiver ends with everybody's last position.

use ahash::AHashMap;
use anyhow::Result;
use hdrhistogram::Histogram;
use tutti_perf::poller::own_cpu_ns;
use tutti_perf::process;

use crate::fleet::{Fleet, Sink};
use crate::message::{each_message, position, text_field};
use crate::outcome::{Outcome, latency_histogram};
use crate::pace::Pace;

/// The n-th position of a mover is `n` in base 10,000, in hundredths: x the low digit, y the high one.
const BASE: u64 = 10_000;

struct Counter {
    members: usize,
    pace: Pace,
    starts_us: Vec<u64>,
    interval_us: f64,
    ids: AHashMap<Box<[u8]>, usize>,
    /// By receiver and mover: the last number seen, plus one.
    last: Vec<u64>,
    received: u64,
    backwards: u64,
    unknown: u64,
    latency_us: Histogram<u64>,
    from_us: u64,
    to_us: u64,
}

impl Sink for Counter {
    fn frame(&mut self, peer: usize, payload: &[u8], now_us: u64) {
        each_message(payload, b'm', |message| {
            self.received += 1;
            let mover = text_field(message, br#""id":""#).and_then(|id| self.ids.get(id).copied());
            let (Some(mover), Some((x, y))) = (mover, position(message)) else {
                self.unknown += 1;
                return;
            };
            let number = y * BASE + x;
            let last = &mut self.last[peer * self.members + mover];
            if number < *last {
                self.backwards += 1;
            }
            *last = number + 1;
            let intended_us = self.starts_us[mover] + (number as f64 * self.interval_us) as u64;
            if (self.from_us..self.to_us).contains(&intended_us) {
                self.latency_us.saturating_record(now_us.saturating_sub(intended_us).max(1));
            }
        });
    }
}

impl Counter {
    /// How many (receiver, mover) pairs do not show the mover's last position.
    fn stale(&self) -> usize {
        let pairs =
            (0..self.members).flat_map(|peer| (0..self.members).map(move |mover| (peer, mover)));
        pairs
            .filter(|(peer, mover)| {
                peer != mover && self.last[peer * self.members + mover] != self.pace.sent(*mover)
            })
            .count()
    }
}

/// `members` people of one channel, all moving `rate` times a second. The fleet has joined already.
pub(crate) fn run(
    fleet: &mut Fleet,
    members: usize,
    rate: f64,
    (warm_s, measure_s): (f64, f64),
    pid: Option<u32>,
) -> Result<Outcome> {
    let start_us = fleet.clock.now_us() + 20_000;
    let from_us = start_us + (warm_s * 1e6) as u64;
    let to_us = from_us + (measure_s * 1e6) as u64;
    let mut counter = Counter {
        members,
        pace: Pace::new(members, rate, start_us),
        starts_us: vec![0; members],
        interval_us: (1e6 / rate).round(),
        ids: (0..members).map(|peer| (fleet.id(peer).into(), peer)).collect(),
        last: vec![0; members * members],
        received: 0,
        backwards: 0,
        unknown: 0,
        latency_us: latency_histogram(),
        from_us,
        to_us,
    };
    let mut marks = Vec::new();
    let cpu = || pid.map(process::cpu_ns).transpose();
    loop {
        let now_us = fleet.clock.now_us();
        if marks.is_empty() && now_us >= from_us || marks.len() == 1 && now_us >= to_us {
            let inputs = counter.pace.sent_in_all();
            marks.push((now_us, cpu()?, own_cpu_ns(), counter.received, inputs));
        }
        if now_us >= to_us {
            break;
        }
        while let Some(due) = counter.pace.take(now_us) {
            if due.number == 0 {
                counter.starts_us[due.sender] = due.intended_us;
            }
            let hundredths = |n: u64| format!("{}.{:02}", n / 100, n % 100);
            let (x, y) = (hundredths(due.number % BASE), hundredths(due.number / BASE));
            fleet.send(due.sender, format!(r#"[{{"m":"m","x":"{x}","y":"{y}"}}]"#).as_bytes())?;
        }
        let mark_us = if marks.is_empty() { from_us } else { to_us };
        fleet.poll(counter.pace.next_us().min(mark_us), &mut counter)?;
    }
    let deadline_us = fleet.clock.now_us() + 1_000_000;
    while counter.stale() > 0 && fleet.clock.now_us() < deadline_us {
        fleet.poll(fleet.clock.now_us() + 5_000, &mut counter)?;
    }
    let [opened, closed] = [marks[0], marks[1]];
    let window_s = (closed.0 - opened.0) as f64 / 1e6;
    let nominal = (closed.4 - opened.4) * (members as u64 - 1);
    let mut outcome = Outcome::new("cursors");
    outcome.put("members", members);
    outcome.put("moves_times_receivers", nominal);
    outcome.put_rounded("delivered_share", (closed.3 - opened.3) as f64 / nominal.max(1) as f64, 3);
    outcome.put_latency("latency", &counter.latency_us);
    outcome.put("stale_last_positions", counter.stale());
    outcome.put("reordered", counter.backwards);
    outcome.put("unknown", counter.unknown);
    outcome.put("closed", fleet.closed.values().sum::<u64>());
    if let Some((end, start)) = closed.1.zip(opened.1) {
        let cpu_ns = (end - start) as f64;
        outcome.put_rounded(
            "server_us_per_move_and_receiver",
            cpu_ns / 1e3 / nominal.max(1) as f64,
            4,
        );
        outcome.put_rounded("server_busy", cpu_ns / 1e9 / window_s, 3);
    }
    outcome.put_rounded("load_busy", (closed.2 - opened.2) as f64 / 1e9 / window_s, 3);
    Ok(outcome)
}
