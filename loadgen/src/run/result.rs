//! What a run has brought, as a [`RunResult`].

use std::collections::BTreeMap;

use super::play::{Played, length_s};
use super::{Arrivals, Run};
use crate::books::{Counts, Line, Spread};
use crate::histogram;
use crate::result::{
    Faults, Latency, Limit, LoadSide, RunResult, SCHEMA, ServerSide, Slice, Target, Traffic,
};
use crate::scenario::Kind;
use crate::watch::{machine, process};
use crate::worker::Tallies;

/// A load thread that is busier than this was the limit itself.
const LOAD_LIMIT: f64 = 0.9;
/// A server that used so much of its cores had no more to give.
const SERVER_LIMIT: f64 = 0.95;
/// A side that waited for its core for more than this share of the time was disturbed.
const DISTURBED: f64 = 0.05;
/// What is delivered of what was offered when a server keeps up.
const KEPT_UP: f64 = 0.97;

impl Run<'_> {
    /// The result of a run that nobody played in.
    pub(super) fn unplayed(&self, arrivals: Arrivals) -> RunResult {
        let mut result = self.empty(&arrivals);
        result.partial = Some(arrivals.failure.clone().unwrap_or_else(|| "interrupted".to_owned()));
        put_tallies(&mut result, &arrivals.tallies);
        result
    }

    fn empty(&self, arrivals: &Arrivals) -> RunResult {
        let pid = self.watched.pid;
        let mut result = RunResult {
            schema: SCHEMA,
            scenario: self.setup.name.clone(),
            kind: self.scenario.headline().unwrap_or_else(|| "idle".to_owned()),
            settings: serde_json::to_value(&*self.scenario).unwrap_or_default(),
            partial: None,
            environment: machine::environment(&self.cpus, pid),
            target: Target {
                url: self.setup.endpoint.url.clone(),
                name: self.setup.label.clone(),
                dialect: self.scenario.dialect.name().to_owned(),
                command: pid.and_then(process::command_line),
            },
            window_s: 0.0,
            traffic: Traffic::default(),
            faults: Faults::default(),
            latencies: BTreeMap::new(),
            headline: self.scenario.headline(),
            send_lag: None,
            timeline: Vec::new(),
            load: LoadSide { threads: self.crew.threads(), ..LoadSide::default() },
            server: None,
            limit: Limit::Neither,
            steps: Vec::new(),
            memory_curve: arrivals.memory.clone(),
            figures: BTreeMap::new(),
            remarks: Vec::new(),
        };
        result.traffic.connections = arrivals.people;
        self.put_arrivals(&mut result, arrivals);
        result
    }

    fn put_arrivals(&self, result: &mut RunResult, arrivals: &Arrivals) {
        let people = arrivals.people.max(1) as f64;
        let figures = &mut result.figures;
        figures.insert(
            "arrivals_per_s".to_owned(),
            arrivals.people as f64 / arrivals.seconds.max(1e-6),
        );
        if let Some(ns) = arrivals.server_cpu_ns {
            figures.insert("server_us_per_arrival".to_owned(), ns as f64 / 1e3 / people);
        }
        let start = self.at_start.map(|sample| sample.rss);
        if let Some((last, start)) = arrivals.memory.last().zip(start) {
            let each = |bytes: u64| bytes as f64 / last.connections.max(1) as f64;
            let rss = each(last.rss_bytes.saturating_sub(start));
            figures.insert("rss_per_connection_bytes".to_owned(), rss);
            if let Some(slab) = last.slab_bytes {
                // Both ends of every connection are on this machine, as far as it is the server's.
                figures.insert("kernel_slab_per_socket_bytes".to_owned(), each(slab) / 2.0);
            }
        }
        if let Some(latency_us) = arrivals.latency_us.as_ref().filter(|it| !it.is_empty()) {
            let name = "arrival".to_owned();
            result.latencies.insert(name, Latency::from_histogram(latency_us));
        }
    }

    /// Puts everything together.
    pub(super) fn result(&self, arrivals: &Arrivals, played: Played, factor: f64) -> RunResult {
        let mut result = self.empty(arrivals);
        result.partial.clone_from(&played.partial);
        result.remarks.extend(played.remarks.iter().cloned());
        let last = played.slices.len().saturating_sub(1);
        let window_us = played.plan.slices_us[last] - played.plan.window_us.0;
        result.window_s = window_us as f64 / 1e6;

        let mut tallies = Tallies::default();
        let mut counts = Counts::default();
        for outcome in &played.outcomes {
            tallies.add(&outcome.tallies);
            counts.add(&outcome.counts);
            result.faults.lost += outcome.lost;
            result.faults.repeated += outcome.surplus;
        }
        result.faults.repeated += counts.repeated;
        result.faults.reordered = counts.reordered;
        result.faults.corrupted = counts.corrupted;
        result.faults.stray = counts.stray;
        put_tallies(&mut result, &tallies);
        self.put_traffic(&mut result, &played, last);
        self.put_latencies(&mut result, &played);
        put_timeline(&mut result, &played);
        self.put_load(&mut result, &played, last);
        self.put_server(&mut result, &played, last);
        result.limit = limit(&result, self.owed());
        self.remark(&mut result, &tallies, factor);
        result
    }

    fn put_traffic(&self, result: &mut RunResult, played: &Played, last: usize) {
        let (window_s, plan) = (result.window_s.max(1e-6), &played.plan);
        let to_us = plan.slices_us[last];
        let traffic = &mut result.traffic;
        for (line, schedule) in &plan.lines {
            let heads = self.scenario.heads(self.scenario.room_of(line.group));
            let planned: u64 = (0..line.n_senders() as u32)
                .map(|sender| schedule.planned(sender, plan.window_us.0, to_us))
                .sum();
            traffic.expected += planned * line.hearers(heads) as u64;
        }
        traffic.offered_per_s = traffic.expected as f64 / window_s;
        for slice in played.slices.iter().skip(1) {
            traffic.sent += slice.sent;
            traffic.deliveries += slice.deliveries;
        }
        traffic.delivered_per_s = traffic.deliveries as f64 / window_s;
        if let [first, .., end] = &played.slices[..] {
            traffic.connections = end.connections;
            traffic.frames = end.tallies.frames - first.tallies.frames;
            traffic.bytes_received = end.tallies.bytes_received - first.tallies.bytes_received;
            traffic.bytes_sent = end.tallies.bytes_sent - first.tallies.bytes_sent;
            traffic.reads = end.tallies.reads - first.tallies.reads;
        }
    }

    fn put_latencies(&self, result: &mut RunResult, played: &Played) {
        let mut all = BTreeMap::new();
        let mut lag_us = histogram::empty();
        for outcome in &played.outcomes {
            for ((line, _), latency_us) in played.plan.lines.iter().zip(&outcome.streams_us) {
                *all.entry(line.kind.name()).or_insert_with(histogram::empty) += latency_us;
            }
            for (name, latency_us) in outcome.timed.named() {
                *all.entry(name).or_insert_with(histogram::empty) += latency_us;
            }
            lag_us += &outcome.send_lag_us;
        }
        for (name, latency_us) in all.into_iter().filter(|(_, it)| !it.is_empty()) {
            result.latencies.insert(name.to_owned(), Latency::from_histogram(&latency_us));
        }
        if !lag_us.is_empty() {
            result.send_lag = Some(Latency::from_histogram(&lag_us));
        }
        self.put_spread(result, played);
    }

    /// From the first to the last receiver of one message, where a stream has one sender alone.
    fn put_spread(&self, result: &mut RunResult, played: &Played) {
        let mut spread_us = histogram::empty();
        for (at, (line, _)) in played.plan.lines.iter().enumerate() {
            if line.kind != Kind::Note || line.n_senders() != 1 {
                continue;
            }
            let mut all: Vec<Spread> = Vec::new();
            for outcome in &played.outcomes {
                let own = &outcome.spreads[at];
                all.resize(all.len().max(own.len()), (u64::MAX, 0));
                for (all, own) in all.iter_mut().zip(own) {
                    *all = (all.0.min(own.0), all.1.max(own.1));
                }
            }
            for (first, last) in all.into_iter().filter(|(first, last)| first <= last) {
                spread_us.saturating_record((last - first).max(1));
            }
        }
        if !spread_us.is_empty() {
            result.latencies.insert("spread".to_owned(), Latency::from_histogram(&spread_us));
        }
    }

    fn put_load(&self, result: &mut RunResult, played: &Played, last: usize) {
        let window_s = result.window_s.max(1e-6);
        let spent = |thread: usize| {
            played.cpu_ns[last][thread].saturating_sub(played.cpu_ns[0][thread]) as f64 / 1e9
        };
        let threads = 0..self.crew.threads();
        let load = &mut result.load;
        load.cpu_s = threads.clone().map(spent).sum();
        load.busiest_thread = threads.map(spent).fold(0.0, f64::max) / window_s;
        let waited_ns = played.own_waits_ns[last].saturating_sub(played.own_waits_ns[0]);
        load.waited = waited_ns as f64 / 1e9 / window_s;
        let deliveries = result.traffic.deliveries;
        if deliveries > 0 {
            load.us_per_delivery = Some(load.cpu_s * 1e6 / deliveries as f64);
        }
    }

    fn put_server(&self, result: &mut RunResult, played: &Played, last: usize) {
        let (Some(first), Some(end)) = (played.samples[0], played.samples[last]) else { return };
        let window_s = result.window_s.max(1e-6);
        let cpu_s = end.cpu_ns.saturating_sub(first.cpu_ns) as f64 / 1e9;
        let deliveries = result.traffic.deliveries;
        let mut of_slices: Vec<f64> = result
            .timeline
            .iter()
            .filter(|slice| slice.deliveries > 0)
            .filter_map(|slice| {
                Some(slice.server_busy? * slice.length_s * 1e6 / slice.deliveries as f64)
            })
            .collect();
        of_slices.sort_by(f64::total_cmp);
        let us_per_delivery = (deliveries > 0).then(|| cpu_s * 1e6 / deliveries as f64);
        result.load.share_of_server =
            result.load.us_per_delivery.zip(us_per_delivery).map(|(load, server)| load / server);
        let peak = played.samples.iter().flatten().map(|sample| sample.rss).max();
        result.server = Some(ServerSide {
            pid: self.watched.pid.filter(|_| self.watched.cgroup.is_none()),
            cgroup: self.watched.cgroup.as_ref().map(|path| path.display().to_string()),
            cpu_s,
            busy: cpu_s / window_s,
            waited: end.waited_ns.saturating_sub(first.waited_ns) as f64 / 1e9 / window_s,
            us_per_delivery,
            us_per_delivery_median: of_slices.get(of_slices.len() / 2).copied(),
            rss_start_bytes: self.at_start.map(|sample| sample.rss),
            rss_peak_bytes: peak.unwrap_or(end.rss),
            rss_end_bytes: end.rss,
            anon_end_bytes: end.anon,
            threads: end.threads,
            descriptors: end.descriptors,
            voluntary_switches: end.voluntary_switches.saturating_sub(first.voluntary_switches),
            involuntary_switches: end
                .involuntary_switches
                .saturating_sub(first.involuntary_switches),
            metrics: played.metrics.as_ref().map(|(from, to)| to.since(from)).unwrap_or_default(),
        });
    }

    fn remark(&self, result: &mut RunResult, tallies: &Tallies, factor: f64) {
        let remarks = &mut result.remarks;
        if (factor - 1.0).abs() > 1e-9 {
            remarks.push(format!("all rates are {factor:.3} times those of the scenario"));
        }
        if tallies.notifications > 0 && result.faults.lost > 0 {
            let text = tallies.first_notification.as_deref().unwrap_or_default();
            remarks.push(format!(
                "the server sent {} notifications such as \"{text}\": its limits may have refused messages; lift them \
                 (tutti: --limits off) or lower the rates",
                tallies.notifications
            ));
        }
        let servers = result.environment.server_cpus.as_deref().unwrap_or_default();
        if self.cpus.iter().any(|cpu| servers.contains(cpu)) {
            remarks.push(
                "server and load share cores, so each disturbs the other: pin them apart (taskset -c, --cpus)".to_owned(),
            );
        }
        if result.limit == Limit::Load {
            remarks.push(
                "give the load side more --cpus, or run several processes and --join them"
                    .to_owned(),
            );
        }
    }

    /// The share of all deliveries that has to arrive. Cursor moves may be merged, so they need not.
    pub(super) fn owed(&self) -> f64 {
        let (mut all, mut owed) = (0.0, 0.0);
        for line in Line::all(&self.scenario) {
            let heads = self.scenario.heads(self.scenario.room_of(line.group));
            let per_s = line.rate * line.n_senders() as f64 * line.hearers(heads) as f64;
            all += per_s;
            owed += if line.kind == Kind::Cursor { 0.0 } else { per_s };
        }
        if all > 0.0 { owed / all } else { 0.0 }
    }
}

fn put_tallies(result: &mut RunResult, tallies: &Tallies) {
    result.faults.refused.clone_from(&tallies.refused);
    result.faults.closed.clone_from(&tallies.closed);
    result.faults.errors.clone_from(&tallies.errors);
    let figures = &mut result.figures;
    for (name, n) in [
        ("joins", tallies.joins),
        ("returns", tallies.returns),
        ("list_entries", tallies.list_entries),
        ("notifications", tallies.notifications),
        ("pings_answered", tallies.pings),
        ("still_under_way", tallies.under_way),
    ] {
        if n > 0 {
            figures.insert(name.to_owned(), n as f64);
        }
    }
    for (reason, n) in &tallies.turned_out {
        figures.insert(format!("turned_out: {reason}"), *n as f64);
    }
    for (what, n) in &tallies.abuse {
        figures.insert(format!("abuse: {what}"), *n as f64);
    }
}

fn put_timeline(result: &mut RunResult, played: &Played) {
    for number in 1..played.slices.len() {
        let slice = &played.slices[number];
        let length_s = length_s(&played.plan, number);
        let quantile = |q: f64| {
            (!slice.latency_us.is_empty()).then(|| slice.latency_us.value_at_quantile(q) as f64)
        };
        let cpu = |k: usize| played.samples[k].map(|sample| sample.cpu_ns);
        let spent_ns = cpu(number).zip(cpu(number - 1)).map(|(to, from)| to.saturating_sub(from));
        result.timeline.push(Slice {
            at_s: (played.plan.slices_us[number] - played.plan.window_us.0) as f64 / 1e6,
            length_s,
            connections: slice.connections,
            sent: slice.sent,
            deliveries: slice.deliveries,
            faults: slice.faults,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            max_us: quantile(1.0),
            server_busy: spent_ns.map(|ns| ns as f64 / 1e9 / length_s),
            server_rss_bytes: played.samples[number].map(|sample| sample.rss),
        });
    }
}

fn limit(result: &RunResult, owed: f64) -> Limit {
    let server = result.server.as_ref();
    let cores = result.environment.server_cpus.as_ref().map_or(1, Vec::len);
    let traffic = &result.traffic;
    let fell_behind =
        traffic.expected > 0 && traffic.delivered_per_s < KEPT_UP * owed * traffic.offered_per_s;
    if result.load.busiest_thread > LOAD_LIMIT {
        Limit::Load
    } else if result.load.waited > DISTURBED || server.is_some_and(|it| it.waited > DISTURBED) {
        Limit::Machine
    } else if fell_behind || server.is_some_and(|it| it.busy > SERVER_LIMIT * cores as f64) {
        Limit::Server
    } else {
        Limit::Neither
    }
}
