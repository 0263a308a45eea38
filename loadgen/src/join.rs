//! The results of several processes that ran at the same time, as one.
//!
//! What is counted is added up, distributions are merged, and slices are put together by their time.
//! The server is taken once where all watched the same one.

mod sums;
mod timeline;

use std::collections::BTreeMap;

use crate::facts::printable;
use crate::histogram::HistogramError;
use crate::result::{Latency, Limit, LoadSide, RunResult, SCHEMA, Traffic};
use crate::units::float;

/// Why results do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is none.
    #[error("there is no result to join")]
    Nothing,
    /// One was written by a load generator that another layout belongs to.
    #[error("result {n} has schema {found}; this load generator reads {SCHEMA}")]
    Schema {
        /// Which, counted from 1 in the order given.
        n: usize,
        /// Its schema.
        found: u32,
    },
    /// They measured different things.
    #[error("result {n} has another {what} than the first: {other}, not {first}")]
    Differs {
        /// Which, counted from 1.
        n: usize,
        /// What differs.
        what: &'static str,
        /// Of the first.
        first: String,
        /// Of this one.
        other: String,
    },
    /// They did not run at the same time, so that what they saw does not add up.
    #[error(
        "result {n} began {apart_s:.1} s {} the first, longer than a run: \
         only processes that ran at the same time can be joined", if *.apart_s < 0.0 { "before" } else { "after" }
    )]
    Apart {
        /// Which, counted from 1.
        n: usize,
        /// From the start of the first to its own.
        apart_s: f64,
    },
    /// Each searched for itself.
    #[error(
        "result {n} is of a search for the highest rate, and searches of several processes disturb each other; \
             join runs at a fixed rate"
    )]
    Search {
        /// Which, counted from 1.
        n: usize,
    },
    /// A latency cannot be read.
    #[error("latency `{name}`: {cause}")]
    Histogram {
        /// Its key.
        name: String,
        /// Why.
        #[source]
        cause: HistogramError,
    },
}

/// Joins results of processes that ran at the same time. One alone stays as it is.
///
/// # Errors
/// When schema, scenario, kind, dialect or headline differ, when they did not run at the same time,
/// when more than one holds a search, or when a histogram cannot be read.
pub fn join(runs: Vec<RunResult>) -> Result<RunResult, JoinError> {
    check(&runs)?;
    let [first, ..] = &runs[..] else { return Err(JoinError::Nothing) };
    if let [_] = &runs[..] {
        return Ok(runs.into_iter().next().expect("there is one"));
    }
    let traffic = traffic(&runs);
    let (timeline, remark) = timeline::join(&runs, sums::same_server(&runs));
    let server = sums::server(&runs, &traffic, &timeline);
    let load = load(&runs, &traffic, server.as_ref().and_then(|server| server.us_per_delivery));
    let mut remarks: Vec<String> = Vec::new();
    for remark in runs.iter().flat_map(|run| &run.remarks).chain(&remark) {
        if !remarks.contains(remark) {
            remarks.push(remark.clone());
        }
    }
    if runs.iter().any(|run| run.memory_curve.len() > 1) {
        remarks.push("Memory over connections is left out: no process knew how many connections the others had.".into());
    }
    Ok(RunResult {
        schema: SCHEMA,
        partial: partial(&runs),
        environment: sums::environment(&runs),
        window_s: runs.iter().map(|run| run.window_s).fold(0.0, f64::max),
        faults: sums::faults(&runs),
        latencies: latencies(&runs)?,
        send_lag: lag(&runs)?,
        timeline,
        limit: limit(&runs),
        steps: Vec::new(),
        memory_curve: Vec::new(),
        figures: sums::figures(&runs),
        remarks,
        traffic,
        load,
        server,
        ..first.clone()
    })
}

fn check(runs: &[RunResult]) -> Result<(), JoinError> {
    let [first, others @ ..] = runs else { return Err(JoinError::Nothing) };
    for (n, run) in runs.iter().enumerate() {
        if run.schema != SCHEMA {
            return Err(JoinError::Schema { n: n + 1, found: run.schema });
        }
        if !run.steps.is_empty() && runs.len() > 1 {
            return Err(JoinError::Search { n: n + 1 });
        }
    }
    for (n, run) in (2..).zip(others) {
        let headline = |run: &RunResult| run.headline.clone().unwrap_or("none".into());
        let pairs = [
            ("scenario", first.scenario.clone(), run.scenario.clone()),
            ("kind of scenario", first.kind.clone(), run.kind.clone()),
            ("dialect", first.target.dialect.clone(), run.target.dialect.clone()),
            ("headline", headline(first), headline(run)),
        ];
        for (what, first, other) in pairs {
            if first != other {
                let [first, other] = [first, other].map(|text| printable(&text));
                return Err(JoinError::Differs { n, what, first, other });
            }
        }
        let apart_s = run.environment.started_unix_s - first.environment.started_unix_s;
        if apart_s.abs() >= first.window_s.min(run.window_s) {
            return Err(JoinError::Apart { n, apart_s });
        }
    }
    Ok(())
}

fn traffic(runs: &[RunResult]) -> Traffic {
    let sum = |of: fn(&Traffic) -> u64| runs.iter().map(|run| of(&run.traffic)).sum();
    let rate = |of: fn(&Traffic) -> f64| runs.iter().map(|run| of(&run.traffic)).sum();
    Traffic {
        connections: sum(|of| of.connections),
        sent: sum(|of| of.sent),
        expected: sum(|of| of.expected),
        deliveries: sum(|of| of.deliveries),
        offered_per_s: rate(|of| of.offered_per_s),
        delivered_per_s: rate(|of| of.delivered_per_s),
        frames: sum(|of| of.frames),
        bytes_received: sum(|of| of.bytes_received),
        bytes_sent: sum(|of| of.bytes_sent),
        reads: sum(|of| of.reads),
    }
}

fn load(runs: &[RunResult], traffic: &Traffic, server_us: Option<f64>) -> LoadSide {
    let most = |of: fn(&LoadSide) -> f64| runs.iter().map(|run| of(&run.load)).fold(0.0, f64::max);
    let cpu_s = runs.iter().map(|run| run.load.cpu_s).sum::<f64>();
    let us = (traffic.deliveries > 0).then(|| cpu_s * 1e6 / float(traffic.deliveries));
    LoadSide {
        cpu_s,
        busiest_thread: most(|load| load.busiest_thread),
        threads: runs.iter().map(|run| run.load.threads).sum(),
        us_per_delivery: us,
        share_of_server: us
            .zip(server_us)
            .filter(|(_, server)| *server > 0.0)
            .map(|(us, server)| us / server),
        waited: most(|load| load.waited),
    }
}

fn latencies(runs: &[RunResult]) -> Result<BTreeMap<String, Latency>, JoinError> {
    let mut by_name: BTreeMap<&String, Vec<&Latency>> = BTreeMap::new();
    for (name, latency) in runs.iter().flat_map(|run| &run.latencies) {
        by_name.entry(name).or_default().push(latency);
    }
    by_name.into_iter().map(|(name, all)| Ok((name.clone(), merged(name, all)?))).collect()
}

fn lag(runs: &[RunResult]) -> Result<Option<Latency>, JoinError> {
    let all: Vec<&Latency> = runs.iter().filter_map(|run| run.send_lag.as_ref()).collect();
    if all.is_empty() { Ok(None) } else { merged("send_lag", all).map(Some) }
}

fn merged(name: &str, all: Vec<&Latency>) -> Result<Latency, JoinError> {
    Latency::merged(all).map_err(|cause| JoinError::Histogram { name: printable(name), cause })
}

/// What spoils the figures most.
fn limit(runs: &[RunResult]) -> Limit {
    let order = [Limit::Load, Limit::Machine, Limit::Server];
    let found = order.into_iter().find(|limit| runs.iter().any(|run| run.limit == *limit));
    found.unwrap_or_default()
}

fn partial(runs: &[RunResult]) -> Option<String> {
    let reasons = runs.iter().enumerate();
    let texts: Vec<String> = reasons
        .filter_map(|(n, run)| Some(format!("process {}: {}", n + 1, run.partial.as_ref()?)))
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests;
