//! One run of all streams, as the main thread sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use super::{Arrivals, Run};
use crate::books::Line;
use crate::progress::Moment;
use crate::scenario::Accounting;
use crate::schedule::Schedule;
use crate::watch::metrics::Metrics;
use crate::watch::process;
use crate::watch::server::Sample;
use crate::worker::{News, Order, Outcome, Plan, SliceNews};

/// From the order to the first send, in microseconds: time for every thread to make its books.
const LEAD_US: u64 = 200_000;
/// Slices that a window is cut into, within the lengths below.
const SLICES: f64 = 20.0;
/// Shortest and longest slice in seconds.
const SLICE_S: (f64, f64) = (0.25, 5.0);
/// Nothing delivered for so long although something was sent is a stall, in seconds.
const STALL_S: f64 = 10.0;

/// What a run has brought, before it is put into words.
pub(super) struct Played {
    /// What was sent, and when.
    pub(super) plan: Arc<Plan>,
    /// The slices that all threads told, oldest first; 0 is the beginning of the window.
    pub(super) slices: Vec<SliceNews>,
    /// By slice and thread: CPU time used so far.
    pub(super) cpu_ns: Vec<Vec<u64>>,
    /// The server at the end of each slice.
    pub(super) samples: Vec<Option<Sample>>,
    /// How long the load side's threads had waited for a core by then.
    pub(super) own_waits_ns: Vec<u64>,
    /// By stream and sender: messages sent.
    pub(super) sent: Vec<Vec<u64>>,
    /// What each thread found.
    pub(super) outcomes: Vec<Outcome>,
    /// The server's metrics at both ends.
    pub(super) metrics: Option<(Metrics, Metrics)>,
    /// Why it ended early.
    pub(super) partial: Option<String>,
    /// Metrics or process could not be read any more.
    pub(super) remarks: Vec<String>,
}

impl Run<'_> {
    /// Lets everybody play at `factor` times the scenario's rates.
    pub(super) fn play(&mut self, arrivals: &Arrivals, factor: f64) -> Result<Played> {
        let plan = Arc::new(self.plan(arrivals, factor));
        let threads = self.crew.threads();
        let mut played = Played {
            slices: Vec::new(),
            cpu_ns: vec![vec![0; threads]; plan.slices_us.len()],
            samples: vec![None; plan.slices_us.len()],
            own_waits_ns: vec![0; plan.slices_us.len()],
            sent: plan.lines.iter().map(|(line, _)| vec![0; line.n_senders()]).collect(),
            outcomes: Vec::new(),
            metrics: None,
            partial: None,
            remarks: Vec::new(),
            plan: plan.clone(),
        };
        let metrics_before = self.fetch_metrics(&mut played.remarks);
        self.crew.order_all(|| Order::Play(plan.clone()));
        self.watch_play(&mut played)?;
        if let Some((before, after)) = metrics_before.zip(self.fetch_metrics(&mut played.remarks)) {
            played.metrics = Some((before, after));
        }
        let sent = Arc::new(played.sent.clone());
        let patience = (self.scenario.drain_s * 1e6) as u64;
        self.crew.order_all(|| Order::Settle { sent: sent.clone(), patience });
        while played.outcomes.len() < threads {
            if let Some(News::Settled(outcome)) = self.crew.news(Duration::from_millis(100))? {
                played.outcomes.push(*outcome);
            }
        }
        if self.crew.is_interrupted() && played.partial.is_none() {
            played.partial = Some("interrupted".to_owned());
        }
        Ok(played)
    }

    fn plan(&self, arrivals: &Arrivals, factor: f64) -> Plan {
        let scenario = &self.scenario;
        let start_us = self.crew.clock.now_us() + LEAD_US;
        let from_us = start_us + (scenario.warm_s * 1e6) as u64;
        let to_us = from_us + (scenario.measure_s * 1e6) as u64;
        let length_s = (scenario.measure_s / SLICES).clamp(SLICE_S.0, SLICE_S.1);
        let n = (scenario.measure_s / length_s).round().max(1.0) as u64;
        let slices_us = (0..=n).map(|i| from_us + (to_us - from_us) * i / n).collect();
        let lines = Line::all(scenario).into_iter().map(|mut line| {
            line.rate *= factor;
            let schedule = Schedule::new(line.n_senders(), line.rate, start_us);
            (line, schedule)
        });
        Plan {
            lines: lines.collect(),
            directory: Arc::new(arrivals.directory.clone()),
            exact: scenario.accounting == Accounting::Exact,
            start_us,
            window_us: (from_us, to_us),
            slices_us,
            headline: scenario.headline(),
        }
    }

    /// Collects slices and looks at the server until all threads have ended sending.
    fn watch_play(&mut self, played: &mut Played) -> Result<()> {
        let threads = self.crew.threads();
        let slices_us = played.plan.slices_us.clone();
        let (mut next, mut silent, mut running) = (0, 0, threads);
        let mut heard = vec![0; slices_us.len()];
        while running > 0 {
            let now_us = self.crew.clock.now_us();
            let wait_us = match slices_us.get(next) {
                Some(&at_us) if now_us >= at_us => {
                    self.look(played, next);
                    next += 1;
                    0
                }
                Some(&at_us) => (at_us - now_us).min(100_000),
                None => 100_000,
            };
            match self.crew.news(Duration::from_micros(wait_us))? {
                Some(News::Played { sent }) => {
                    running -= 1;
                    for (all, own) in played.sent.iter_mut().zip(sent) {
                        all.iter_mut().zip(own).for_each(|(all, own)| *all += own);
                    }
                }
                Some(News::Slice(slice)) => {
                    let number = slice.number;
                    heard[number] += 1;
                    played.cpu_ns[number][slice.thread] = slice.cpu_ns;
                    if heard[number] == 1 {
                        played.slices.push(*slice);
                    } else {
                        merge(&mut played.slices[number], &slice);
                    }
                    if heard[number] == threads {
                        self.judge_slice(played, number, &mut silent);
                    }
                }
                _ if now_us < played.plan.window_us.0 => {
                    let left_s = (played.plan.window_us.0 - now_us) as f64 / 1e6;
                    self.setup.progress.warming(left_s);
                }
                _ => {}
            }
        }
        // A slice that some thread did not tell any more is none.
        let whole = heard.iter().take_while(|&&n| n == threads).count();
        played.slices.truncate(whole);
        Ok(())
    }

    fn look(&mut self, played: &mut Played, number: usize) {
        played.own_waits_ns[number] = process::run_queue_wait_ns(std::process::id()).unwrap_or(0);
        match self.watched.sample() {
            Ok(sample) => played.samples[number] = sample,
            Err(error) => self.stop(played, &format!("{error:#}: it has ended")),
        }
    }

    /// Shows a slice, and ends a run that has become pointless.
    fn judge_slice(&mut self, played: &mut Played, number: usize, silent: &mut usize) {
        let slice = &played.slices[number];
        let (connections, sent, deliveries) = (slice.connections, slice.sent, slice.deliveries);
        let closed = slice.tallies.closed.iter().max_by_key(|(_, n)| **n);
        let closed = closed.map(|(reason, n)| format!(": {n} times {reason}")).unwrap_or_default();
        if number > 0 {
            let length_s = length_s(&played.plan, number);
            let cpu = |k: usize| played.samples[k].map(|sample| sample.cpu_ns);
            let server_busy = cpu(number)
                .zip(cpu(number - 1))
                .map(|(to, from)| to.saturating_sub(from) as f64 / 1e9 / length_s);
            let busy = |thread: usize| {
                let spent =
                    played.cpu_ns[number][thread].saturating_sub(played.cpu_ns[number - 1][thread]);
                spent as f64 / 1e9 / length_s
            };
            let moment = Moment {
                at_s: (played.plan.slices_us[number] - played.plan.window_us.0) as f64 / 1e6,
                of_s: self.scenario.measure_s,
                per_s: deliveries as f64 / length_s,
                latency_us: &slice.latency_us,
                faults: played.slices.iter().map(|slice| slice.faults).sum(),
                connections,
                server_busy,
                server_rss: played.samples[number].map(|sample| sample.rss),
                load_busy: (0..self.crew.threads()).map(busy).fold(0.0, f64::max),
            };
            self.setup.progress.playing(&moment);
            *silent = if sent > 0 && deliveries == 0 { *silent + 1 } else { 0 };
            if *silent as f64 * length_s >= STALL_S {
                self.stop(played, "the server stalled: nothing was delivered for 10 s");
            }
        }
        let honest = self.scenario.honest();
        if connections == 0 && honest > 0 && self.scenario.groups.iter().any(|it| it.is_steady()) {
            self.stop(played, &format!("the server closed all connections{closed}"));
        }
    }

    /// Ends the run early, for a reason of the run's own.
    fn stop(&mut self, played: &mut Played, why: &str) {
        if played.partial.is_none() && !self.crew.is_interrupted() {
            played.partial = Some(why.to_owned());
        }
        self.crew.shared.interrupted.store(true, Ordering::Relaxed);
    }

    fn fetch_metrics(&self, remarks: &mut Vec<String>) -> Option<Metrics> {
        let url = self.watched.metrics.as_deref()?;
        match Metrics::fetch(url) {
            Ok(metrics) => Some(metrics),
            Err(error) => {
                remarks.push(format!("--metrics {url}: {error:#}"));
                None
            }
        }
    }
}

/// Length of a slice in seconds.
pub(super) fn length_s(plan: &Plan, number: usize) -> f64 {
    (plan.slices_us[number] - plan.slices_us[number - 1]) as f64 / 1e6
}

fn merge(all: &mut SliceNews, other: &SliceNews) {
    all.sent += other.sent;
    all.deliveries += other.deliveries;
    all.faults += other.faults;
    all.connections += other.connections;
    all.latency_us += &other.latency_us;
    all.tallies.add(&other.tallies);
}
