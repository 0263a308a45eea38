//! The parts of a result that add up.

use std::collections::BTreeMap;

use crate::result::{Environment, Faults, RunResult, ServerSide, Slice, Traffic};

/// Whether all that watched a server watched the same one.
pub(super) fn same_server(runs: &[RunResult]) -> bool {
    let mut watched = runs.iter().filter_map(|run| Some((run.server.as_ref()?, &run.target.url)));
    let Some((first, url)) = watched.next() else { return true };
    watched.all(|(server, other)| {
        let known = first.pid.is_some() || first.cgroup.is_some();
        let same = (server.pid, &server.cgroup) == (first.pid, &first.cgroup);
        // Without either, the address has to tell.
        same && (known || url == other)
    })
}

/// One of them, where all watched the same; the sum of different ones. The cost of a delivery is taken
/// anew, because each process knew its own deliveries alone.
pub(super) fn server(
    runs: &[RunResult],
    traffic: &Traffic,
    timeline: &[Slice],
) -> Option<ServerSide> {
    let watched: Vec<&ServerSide> = runs.iter().filter_map(|run| run.server.as_ref()).collect();
    let mut server = match same_server(runs) {
        // Whoever watched the longest saw the most.
        true => (*watched.iter().max_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s))?).clone(),
        false => watched.into_iter().cloned().reduce(added)?,
    };
    let rate = traffic.delivered_per_s;
    server.us_per_delivery = (rate > 0.0).then(|| server.busy * 1e6 / rate);
    let costs: Vec<f64> = timeline.iter().filter_map(Slice::server_us_per_delivery).collect();
    server.us_per_delivery_median = crate::compare::median(&costs);
    Some(server)
}

fn added(mut sum: ServerSide, other: ServerSide) -> ServerSide {
    let both = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    for (name, value) in other.metrics {
        *sum.metrics.entry(name).or_default() += value;
    }
    ServerSide {
        pid: None,
        cgroup: None,
        cpu_s: sum.cpu_s + other.cpu_s,
        busy: sum.busy + other.busy,
        waited: sum.waited.max(other.waited),
        us_per_delivery: None,
        us_per_delivery_median: None,
        rss_start_bytes: both(sum.rss_start_bytes, other.rss_start_bytes),
        rss_peak_bytes: sum.rss_peak_bytes + other.rss_peak_bytes,
        rss_end_bytes: sum.rss_end_bytes + other.rss_end_bytes,
        anon_end_bytes: sum.anon_end_bytes + other.anon_end_bytes,
        threads: sum.threads + other.threads,
        descriptors: both(sum.descriptors, other.descriptors),
        voluntary_switches: sum.voluntary_switches + other.voluntary_switches,
        involuntary_switches: sum.involuntary_switches + other.involuntary_switches,
        metrics: sum.metrics,
    }
}

pub(super) fn faults(runs: &[RunResult]) -> Faults {
    let sum = |of: fn(&Faults) -> u64| runs.iter().map(|run| of(&run.faults)).sum();
    let counts = |of: fn(&Faults) -> &BTreeMap<String, u64>| {
        let mut all = BTreeMap::new();
        for (reason, count) in runs.iter().flat_map(|run| of(&run.faults)) {
            *all.entry(reason.clone()).or_insert(0) += count;
        }
        all
    };
    Faults {
        lost: sum(|of| of.lost),
        repeated: sum(|of| of.repeated),
        reordered: sum(|of| of.reordered),
        corrupted: sum(|of| of.corrupted),
        stray: sum(|of| of.stray),
        refused: counts(|of| &of.refused),
        closed: counts(|of| &of.closed),
        errors: counts(|of| &of.errors),
    }
}

/// Rates add up; of everything else the largest is kept, which for a duration is the worst.
pub(super) fn figures(runs: &[RunResult]) -> BTreeMap<String, f64> {
    let mut all: BTreeMap<String, f64> = BTreeMap::new();
    for (name, value) in runs.iter().flat_map(|run| &run.figures) {
        let adds = name.ends_with("_per_s");
        all.entry(name.clone())
            .and_modify(|sum| *sum = if adds { *sum + value } else { sum.max(*value) })
            .or_insert(*value);
    }
    all
}

/// That of the first, with the CPUs of all.
pub(super) fn environment(runs: &[RunResult]) -> Environment {
    let all = || runs.iter().map(|run| &run.environment);
    let mut load_cpus: Vec<usize> = all().flat_map(|env| env.load_cpus.iter().copied()).collect();
    load_cpus.sort_unstable();
    load_cpus.dedup();
    Environment {
        started_unix_s: all().map(|env| env.started_unix_s).fold(f64::INFINITY, f64::min),
        load_cpus,
        server_cpus: all().find_map(|env| env.server_cpus.clone()),
        processes: all().map(|env| env.processes.max(1)).sum(),
        ..runs[0].environment.clone()
    }
}
