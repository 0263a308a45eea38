//! The plots of one result, or of several in one.

use crate::facts;
use crate::histogram;
use crate::plots::{Axis, Series, curve};
use crate::result::{MemoryPoint, RunResult, Slice};
use crate::units::{Unit, float};

/// A plot with what has to be said of it.
pub(super) struct Chart {
    pub(super) svg: String,
    pub(super) note: String,
}

/// Points of a percentile curve between 90 % and 99 %.
const POINTS_PER_NINE: u32 = 24;

/// All plots that the results have something for.
pub(super) fn all(runs: &[RunResult]) -> Vec<Chart> {
    let charts = [percentiles, throughput, latency, load_against_latency, busy, memory, resident];
    charts.iter().filter_map(|chart| chart(runs)).collect()
}

/// How a result is called beside others: by its server, and by its scenario where that differs.
pub(super) fn label(runs: &[RunResult], n: usize) -> String {
    let run = &runs[n];
    let name = facts::name(run);
    let one_scenario = runs.iter().all(|other| other.scenario == run.scenario);
    let scenario = facts::printable(&run.scenario);
    let text = |other: &RunResult| (facts::name(other), other.scenario.clone());
    let again = runs[..n].iter().filter(|other| text(other) == text(run)).count();
    let mut label = if one_scenario { name } else { format!("{name}, {scenario}") };
    if again > 0 {
        label += &format!(" ({})", again + 1);
    }
    label
}

/// One line a result, where it has points.
fn each(runs: &[RunResult], points: impl Fn(&RunResult) -> Vec<(f64, f64)>) -> Vec<Series> {
    let lines = runs.iter().enumerate().map(|(n, run)| {
        let name = if runs.len() == 1 { String::new() } else { label(runs, n) };
        Series::line(name, points(run)).coloured(n)
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn over_time(run: &RunResult, value: impl Fn(&Slice) -> Option<f64>) -> Vec<(f64, f64)> {
    run.timeline.iter().filter_map(|slice| Some((slice.at_s, value(slice)?))).collect()
}

fn time() -> Axis {
    Axis::new("time", Unit::Seconds).from_zero()
}

/// Nothing without lines.
fn chart(title: &str, x: &Axis, y: &Axis, lines: &[Series], note: &str) -> Option<Chart> {
    (!lines.is_empty()).then(|| Chart { svg: curve(title, x, y, lines), note: note.to_owned() })
}

fn percentiles(runs: &[RunResult]) -> Option<Chart> {
    let points = |latency: &crate::result::Latency| {
        latency.to_histogram().map(|histogram| histogram::curve(&histogram, POINTS_PER_NINE))
    };
    let lines = match runs {
        [run] => {
            let first = run.headline.iter().filter_map(|name| run.latencies.get_key_value(name));
            let others =
                run.latencies.iter().filter(|(name, _)| run.headline.as_ref() != Some(name));
            let named = first.chain(others).filter_map(|(name, latency)| {
                let points = points(latency).ok().filter(|points| !points.is_empty())?;
                Some(Series::line(facts::printable(name), points))
            });
            let lag = run.send_lag.as_ref().and_then(|lag| points(lag).ok());
            let lag = lag.filter(|points| !points.is_empty());
            let lag = lag.map(|points| Series::dashed("sent late by", points).coloured(7));
            named.chain(lag).collect()
        }
        runs => each(runs, |run| {
            let headline = run.headline.as_ref().and_then(|name| run.latencies.get(name));
            headline.and_then(|latency| points(latency).ok()).unwrap_or_default()
        }),
    };
    let x = Axis::new("share of all that took at most that long", Unit::Share).nines();
    let y = Axis::new("latency from the intended send time", Unit::Micros).log();
    chart("Latency by percentile", &x, &y, &lines, "Each line ends at the slowest of its kind.")
}

fn throughput(runs: &[RunResult]) -> Option<Chart> {
    let mut lines = each(runs, |run| over_time(run, Slice::deliveries_per_s));
    let mut note = "";
    if let [run] = runs {
        lines.iter_mut().for_each(|line| line.name = "delivered".into());
        let ends = [run.timeline.first(), run.timeline.last()].into_iter().flatten();
        let offered = run.traffic.offered_per_s;
        if offered > 0.0 && !lines.is_empty() {
            let points = ends.map(|slice| (slice.at_s, offered)).collect();
            lines.push(Series::dashed("offered", points).coloured(7));
        }
        let faulty = over_time(run, |slice| slice.deliveries_per_s().filter(|_| slice.faults > 0));
        if !faulty.is_empty() {
            note = "Rings mark slices in which faults were noticed.";
            lines.push(Series::rings("with faults", faulty).coloured(3));
        }
    }
    let y = Axis::new("deliveries a second", Unit::PerSecond).from_zero();
    chart("Throughput over time", &time(), &y, &lines, note)
}

fn latency(runs: &[RunResult]) -> Option<Chart> {
    let (lines, title) = match runs {
        [run] => {
            let all = [
                Series::line("p50", over_time(run, |slice| slice.p50_us)).coloured(0),
                Series::line("p99", over_time(run, |slice| slice.p99_us)).coloured(1),
                Series::line("max", over_time(run, |slice| slice.max_us)).coloured(3),
            ];
            let name = run.headline.as_deref().map(facts::printable).unwrap_or_default();
            let lines: Vec<_> = all.into_iter().filter(|line| !line.points.is_empty()).collect();
            (lines, format!("Latency over time ({name})"))
        }
        runs => {
            (each(runs, |run| over_time(run, |slice| slice.p99_us)), "p99 over time".to_owned())
        }
    };
    let y = Axis::new("latency from the intended send time", Unit::Micros).log();
    chart(&title, &time(), &y, &lines, "")
}

fn load_against_latency(runs: &[RunResult]) -> Option<Chart> {
    let points = |run: &RunResult, of: &str, held: Option<bool>| {
        let steps = run.steps.iter().filter(|step| held.is_none_or(|held| step.held == held));
        let point = |step: &crate::result::Step| {
            Some((step.delivered_per_s, *step.percentiles_us.get(of)?))
        };
        let mut points: Vec<_> = steps.filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let mut lines = Vec::new();
    for (n, run) in runs.iter().enumerate() {
        let names: &[&str] = if runs.len() == 1 { &["p50", "p99"] } else { &["p99"] };
        for (m, of) in names.iter().enumerate() {
            let (name, colour) = match runs.len() {
                1 => ((*of).to_owned(), m),
                _ => (label(runs, n), n),
            };
            let held = points(run, of, Some(true));
            if !held.is_empty() {
                lines.push(Series::dotted(name, held).coloured(colour));
            }
            let failed = points(run, of, Some(false));
            if !failed.is_empty() {
                lines.push(Series::rings("", failed).coloured(colour));
            }
        }
    }
    let x = Axis::new("deliveries a second", Unit::PerSecond).from_zero();
    let what = if runs.len() == 1 { "latency" } else { "p99" };
    let y = Axis::new(format!("{what} from the intended send time"), Unit::Micros).log();
    let note = "Each point is a rate that was tried; at rings a condition failed.";
    chart("Latency against throughput", &x, &y, &lines, note)
}

fn busy(runs: &[RunResult]) -> Option<Chart> {
    let mut lines = each(runs, |run| over_time(run, |slice| slice.server_busy));
    if let [run] = runs {
        lines.iter_mut().for_each(|line| line.name = "server".into());
        let ends = [run.timeline.first(), run.timeline.last()].into_iter().flatten();
        let mean = run.load.cpu_s / run.window_s;
        if mean.is_finite() && mean > 0.0 && !lines.is_empty() {
            let points = ends.map(|slice| (slice.at_s, mean)).collect();
            lines.push(Series::dashed("load side, mean", points).coloured(7));
        }
    }
    let y = Axis::new("cores busy", Unit::Cores).from_zero();
    chart("CPU over time", &time(), &y, &lines, "")
}

fn resident(runs: &[RunResult]) -> Option<Chart> {
    let bytes = |slice: &Slice| slice.server_rss_bytes.map(float);
    let lines = each(runs, |run| over_time(run, bytes));
    let y = Axis::new("resident memory of the server", Unit::Bytes).from_zero();
    chart("Memory over time", &time(), &y, &lines, "")
}

fn memory(runs: &[RunResult]) -> Option<Chart> {
    let points = |run: &RunResult, bytes: &dyn Fn(&MemoryPoint) -> Option<u64>| {
        let curve = run.memory_curve.iter();
        let point = |point: &MemoryPoint| Some((float(point.connections), float(bytes(point)?)));
        curve.filter_map(point).collect::<Vec<_>>()
    };
    let mut lines = Vec::new();
    for (n, run) in runs.iter().enumerate() {
        let resident = points(run, &|point| Some(point.rss_bytes));
        if runs.len() > 1 {
            lines.push(Series::dotted(priced(&label(runs, n), &resident), resident).coloured(n));
            continue;
        }
        lines.push(Series::dotted(priced("resident", &resident), resident));
        let anonymous = points(run, &|point| Some(point.anon_bytes));
        lines.push(Series::dotted(priced("anonymous", &anonymous), anonymous));
        let slab = points(run, &|point| point.slab_bytes);
        lines.push(Series::dotted(priced("kernel slab", &slab), slab).coloured(7));
    }
    lines.retain(|line| !line.points.is_empty());
    let x = Axis::new("connections", Unit::Count).from_zero();
    let y = Axis::new("memory", Unit::Bytes).from_zero();
    let note =
        "The size at a name is that of one more connection: the slope of the line of best fit.";
    chart("Memory over connections", &x, &y, &lines, note)
}

fn priced(name: &str, points: &[(f64, f64)]) -> String {
    match slope(points) {
        Some(bytes) => format!("{name}, {} each", Unit::Bytes.show(bytes)),
        None => name.to_owned(),
    }
}

/// Of the line of least squares through the points.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let common: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (spread > 0.0).then(|| common / spread)
}
