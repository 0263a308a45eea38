//! Slices of several processes, put together by their time.

use std::collections::BTreeMap;

use crate::result::{RunResult, Slice};
use crate::units::float;

/// Joins the slices that end at about the same time; where one process has none, the others' are left
/// out, because less would have been delivered in them only by name. And a sentence on how it was done.
pub(super) fn join(runs: &[RunResult], same_server: bool) -> (Vec<Slice>, Option<String>) {
    let Some(length) = length(runs) else { return (Vec::new(), None) };
    let started = runs[0].environment.started_unix_s;
    let mut by_time: BTreeMap<i64, Vec<&Slice>> = BTreeMap::new();
    for run in runs {
        let late = run.environment.started_unix_s - started;
        for slice in &run.timeline {
            let place = ((slice.at_s + late) / length).round();
            by_time.entry(place as i64).or_default().push(slice);
        }
    }
    let slices = by_time
        .iter()
        .filter(|(_, parts)| parts.len() == runs.len())
        .map(|(place, parts)| one(*place as f64 * length, parts, same_server))
        .collect();
    let remark = "p50 and p99 over time are means of the joined processes, weighted by deliveries; \
                  those of the whole run are exact.";
    (slices, Some(remark.to_owned()))
}

/// The usual length of a slice, when all have slices and about the same ones.
fn length(runs: &[RunResult]) -> Option<f64> {
    let usual = runs.iter().map(|run| {
        let lengths: Vec<f64> = run.timeline.iter().map(|slice| slice.length_s).collect();
        crate::compare::median(&lengths).filter(|length| *length > 0.0)
    });
    let lengths: Vec<f64> = usual.collect::<Option<_>>()?;
    let [first, others @ ..] = &lengths[..] else { return None };
    others.iter().all(|other| (other - first).abs() < first * 0.1).then_some(*first)
}

fn one(at_s: f64, parts: &[&Slice], same_server: bool) -> Slice {
    let sum = |of: fn(&Slice) -> u64| parts.iter().map(|slice| of(slice)).sum();
    let most = |of: fn(&Slice) -> Option<f64>| {
        parts.iter().filter_map(|slice| of(slice)).max_by(f64::total_cmp)
    };
    let mean = |of: fn(&Slice) -> Option<f64>| {
        let (mut weights, mut total) = (0.0, 0.0);
        for (value, weight) in parts.iter().filter_map(|slice| Some((of(slice)?, slice.deliveries)))
        {
            weights += float(weight);
            total += value * float(weight);
        }
        (weights > 0.0).then(|| total / weights)
    };
    let rss = parts.iter().filter_map(|slice| slice.server_rss_bytes);
    Slice {
        at_s,
        length_s: parts.iter().map(|slice| slice.length_s).fold(0.0, f64::max),
        connections: sum(|slice| slice.connections),
        sent: sum(|slice| slice.sent),
        deliveries: sum(|slice| slice.deliveries),
        faults: sum(|slice| slice.faults),
        p50_us: mean(|slice| slice.p50_us),
        p99_us: mean(|slice| slice.p99_us),
        max_us: most(|slice| slice.max_us),
        server_busy: match same_server {
            true => most(|slice| slice.server_busy),
            false => parts.iter().map(|slice| slice.server_busy).sum(),
        },
        server_rss_bytes: match same_server {
            true => rss.max(),
            false => parts.iter().map(|slice| slice.server_rss_bytes).sum(),
        },
    }
}
