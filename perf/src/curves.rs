//! Cost curves: not only points, but how a cost grows, and what limits it.

use tutti_loadgen::histogram;
use tutti_loadgen::plots::{Axis, Series, curve};
use tutti_loadgen::result::{RunResult, Step};
use tutti_loadgen::units::Unit;

use crate::figures::{Figures, cpu_us, headline};

/// One plot with what it shows.
pub struct Plot {
    /// Name of the file, without its ending.
    pub name: &'static str,
    /// A heading.
    pub title: &'static str,
    /// The drawing.
    pub svg: String,
    /// What limits it, in a sentence or two.
    pub says: String,
}

/// Servers in the order in which they are drawn, so that each has its colour everywhere.
const SERVERS: [&str; 7] =
    ["tutti", "floor-send", "floor-batch", "bun", "tokio", "node", "tutti-2"];

/// Points of a curve, one a server that has any.
fn series(points: impl Fn(&str) -> Vec<(f64, f64)>, dotted: bool) -> Vec<Series> {
    let all = SERVERS.into_iter().enumerate();
    all.filter_map(|(colour, server)| {
        let points = points(server);
        let make = if dotted { Series::dotted } else { Series::line };
        (!points.is_empty()).then(|| make(server, points).coloured(colour))
    })
    .collect()
}

/// All plots for which there are figures.
#[must_use]
pub fn plots(figures: &Figures) -> Vec<Plot> {
    let all = [
        latency(figures),
        load(figures),
        batching(figures),
        members(figures),
        memory(figures),
        channels(figures),
    ];
    all.into_iter().flatten().collect()
}

fn latency(figures: &Figures) -> Option<Plot> {
    let points = |server: &str| -> Vec<(f64, f64)> {
        let latency = figures.run("notes100", server).and_then(headline);
        let all = latency.and_then(|latency| latency.to_histogram().ok());
        all.map(|all| histogram::curve(&all, 10)).unwrap_or_default()
    };
    let series = series(points, false);
    let x = Axis::new("percentile", Unit::Share).nines();
    let y = Axis::new("latency of a note", Unit::Micros).log();
    (!series.is_empty()).then(|| Plot {
        name: "latency",
        title: "Latency of a note, 100 members, 19,800 deliveries a second",
        svg: curve("Latency of a note by percentile", &x, &y, &series),
        says: "From the intended send time to the receiver's kernel. At this rate nothing batches, so a note's latency is \
               the place of its receiver in the fan-out: the median receiver waits for half of the sends to the others, \
               some 5 us each, and the tail is two senders' fan-outs that meet, and the machine's own pauses."
            .to_owned(),
    })
}

/// The steps of a search, rising; of several tries of one rate the one with the lowest p99, because the others were
/// disturbed.
fn steps(run: Option<&RunResult>, y: impl Fn(&Step) -> Option<f64>) -> Vec<(f64, f64)> {
    let p99 = |step: &Step| step.percentiles_us.get("p99").copied().unwrap_or(f64::INFINITY);
    let mut best: Vec<&Step> = Vec::new();
    for step in run.map(|run| run.steps.as_slice()).unwrap_or_default() {
        if step.delivered_per_s < 0.5 * step.offered_per_s {
            continue;
        }
        let near =
            |known: &&mut &Step| (known.offered_per_s / step.offered_per_s - 1.0).abs() < 0.02;
        match best.iter_mut().find(near) {
            Some(known) if p99(step) < p99(known) => *known = step,
            Some(_) => {}
            None => best.push(step),
        }
    }
    best.sort_by(|a, b| a.offered_per_s.total_cmp(&b.offered_per_s));
    best.into_iter().filter_map(|step| Some((step.offered_per_s, y(step)?))).collect()
}

fn load(figures: &Figures) -> Option<Plot> {
    let points = |server: &str| {
        let run = figures.run("saturate100", server);
        steps(run, |step| step.percentiles_us.get("p99").copied())
    };
    let series = series(points, true);
    let best =
        |server: &str| figures.run("saturate100", server).map(|run| run.traffic.delivered_per_s);
    let says = match (best("tutti"), best("floor-batch")) {
        (Some(ours), Some(floor)) => format!(
            "Up to the knee latency is that of the turns that gather messages (10 ms at most, `flush.delay_max_ms`); behind \
             it the queue of the busier side grows without end. Tutti's best rate with p99 below 50 ms is {}, the batching \
             floor's {}; with the load side above 90 % of its core, both are lower bounds.",
            Unit::PerSecond.show(ours),
            Unit::PerSecond.show(floor)
        ),
        _ => String::new(),
    };
    let x = Axis::new("deliveries a second that were offered", Unit::PerSecond).log();
    let y = Axis::new("p99", Unit::Micros).log();
    (!series.is_empty()).then(|| Plot {
        name: "load",
        title: "Latency against load, 100 members, all playing",
        svg: curve("p99 against deliveries a second", &x, &y, &series),
        says,
    })
}

fn batching(figures: &Figures) -> Option<Plot> {
    let points = |server: &str| {
        let run = figures.run("saturate100", server);
        steps(run, |step| step.server_us_per_delivery)
    };
    let series = series(points, true);
    let x = Axis::new("deliveries a second that were offered", Unit::PerSecond).log();
    let y = Axis::new("server CPU per delivery", Unit::Micros).log();
    (!series.is_empty()).then(|| Plot {
        name: "batching",
        title: "CPU per delivery against load, 100 members, all playing",
        svg: curve("Server CPU per delivery against load", &x, &y, &series),
        says: "The more messages wait when a socket is written to, the less each costs: from one system call a delivery down \
               to the copying of its bytes. Servers that send each message at once stay where they begin, and end early."
            .to_owned(),
    })
}

fn members(figures: &Figures) -> Option<Plot> {
    let points = |server: &str| -> Vec<(f64, f64)> {
        [10, 30, 100, 300, 1000, 3000, 10_000]
            .into_iter()
            .filter_map(|n| {
                let run = figures.run(&format!("members-{n}"), server)?;
                Some((f64::from(n), cpu_us(run)?))
            })
            .collect()
    };
    let ours = points("tutti");
    let series = series(points, true);
    let says = match (ours.first(), ours.last()) {
        (Some((few, at_few)), Some((many, at_many))) => format!(
            "The rate of deliveries is the same everywhere, some 20,000 a second. With {few:.0} members a message costs {}, \
             because it has few receivers to share the cost of its own reading, and several wait in each send; with {many:.0} \
             it is {}: every send touches a socket that is no longer in any cache, which the floor pays as well.",
            Unit::Micros.show(*at_few),
            Unit::Micros.show(*at_many)
        ),
        _ => String::new(),
    };
    let x = Axis::new("members of the channel", Unit::Count).log();
    let y = Axis::new("server CPU per delivery", Unit::Micros).from_zero();
    (!series.is_empty()).then(|| Plot {
        name: "members",
        title: "CPU per delivery against members",
        svg: curve("Server CPU per delivery against members", &x, &y, &series),
        says,
    })
}

fn memory(figures: &Figures) -> Option<Plot> {
    let points = |server: &str| -> Vec<(f64, f64)> {
        let run = figures.run("idle18000", server).or_else(|| figures.run("idle", server));
        let curve = run.map(|run| run.memory_curve.as_slice()).unwrap_or_default();
        curve.iter().map(|point| (point.connections as f64, point.rss_bytes as f64)).collect()
    };
    let ours = points("tutti");
    let series = series(points, true);
    let slab = figures
        .run("idle18000", "tutti")
        .and_then(|run| run.figures.get("kernel_slab_per_socket_bytes").copied());
    let says = match (ours.first(), ours.last(), slab) {
        (Some(a), Some(b), Some(slab)) => format!(
            "Between {:.0} and {:.0} connections each one adds {}; the kernel's own memory for a socket, {}, is several times \
             that and the same for every server. Descriptors end this curve on most hosts before memory does.",
            a.0,
            b.0,
            Unit::Bytes.show((b.1 - a.1) / (b.0 - a.0).max(1.0)),
            Unit::Bytes.show(slab)
        ),
        _ => String::new(),
    };
    let x = Axis::new("connections that have joined and say nothing", Unit::Count).log();
    let y = Axis::new("resident memory of the server", Unit::Bytes).log();
    (!series.is_empty()).then(|| Plot {
        name: "memory",
        title: "Memory against connections",
        svg: curve("Resident memory against connections", &x, &y, &series),
        says,
    })
}

/// Rooms that `perf/curves/directory.toml` opens in a second.
const OPENED_PER_S: f64 = 10.0;

fn channels(figures: &Figures) -> Option<Plot> {
    let points = |server: &str| -> Vec<(f64, f64)> {
        [10, 100, 1000, 10_000]
            .into_iter()
            .filter_map(|n| {
                let run = figures.run(&format!("channels-{n}"), server)?;
                let cpu_s = run.server.as_ref()?.cpu_s;
                Some((f64::from(n), cpu_s * 1e6 / (OPENED_PER_S * run.window_s.max(1e-6))))
            })
            .collect()
    };
    let ours = points("tutti");
    let series = series(points, true);
    let says = match (ours.first(), ours.last()) {
        (Some((few, at_few)), Some((many, at_many))) => format!(
            "The CPU of a whole server while 10 channels a second are opened and left and 50 people follow the list: {} for \
             each with {few:.0} channels in the list, {} with {many:.0}. Cost follows the changes; what grows with the number \
             of channels is what their {many:.0} idle members cost by themselves, a ping every 30 s. Descriptors end the curve \
             here, because every channel needs somebody in it.",
            Unit::Micros.show(*at_few),
            Unit::Micros.show(*at_many)
        ),
        _ => String::new(),
    };
    let x = Axis::new("channels in the list", Unit::Count).log();
    let y = Axis::new("server CPU per channel opened", Unit::Micros).from_zero();
    (!series.is_empty()).then(|| Plot {
        name: "channels",
        title: "The channel list: cost of a change against channels",
        svg: curve("Server CPU per channel opened", &x, &y, &series),
        says,
    })
}
