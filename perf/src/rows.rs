//! Budgets: a figure of ours, what it is held against, and whether it is kept.

use std::fmt::Write as _;

use tutti_loadgen::result::RunResult;
use tutti_loadgen::units::Unit;

use crate::figures::{Figures, cpu_us, latency_us, rss_each};

/// Servers that are peers and not the floor, in the order of tables.
pub const PEERS: [&str; 3] = ["bun", "tokio", "node"];

/// What a row compares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at most this multiple of the other.
    AtMostTimes(f64),
    /// Ours is at least this multiple of the other.
    AtLeastTimes(f64),
    /// Ours is at most the other plus this.
    AtMostPlus(f64),
    /// Only reported.
    None,
}

/// One row of the table.
pub struct Row {
    what: String,
    unit: Unit,
    ours: Option<f64>,
    /// What it is held against, and whose that is.
    other: Option<(f64, String)>,
    budget: Budget,
    /// What also has to hold, in words.
    also: Option<(String, bool)>,
}

impl Row {
    fn new(what: &str, unit: Unit, ours: Option<f64>, budget: Budget) -> Self {
        Self { what: what.to_owned(), unit, ours, other: None, budget, also: None }
    }

    fn against(mut self, other: Option<(f64, &str)>) -> Self {
        self.other = other.map(|(value, whose)| (value, whose.to_owned()));
        self
    }

    /// Nothing lost, repeated or otherwise wrong.
    fn clean(mut self, run: Option<&RunResult>) -> Self {
        self.also = run.map(|run| match run.faults.total() {
            0 => ("all accounted for".to_owned(), true),
            n => (format!("{n} faults"), false),
        });
        self
    }

    /// The budget in words, and whether it is kept; `None` when a figure is missing.
    fn judge(&self) -> (String, Option<bool>) {
        let also = self.also.as_ref().is_none_or(|(_, holds)| *holds);
        let pair = self.ours.zip(self.other.as_ref().map(|(value, _)| *value));
        let kept = |holds: &dyn Fn(f64, f64) -> bool| pair.map(|(a, b)| holds(a, b) && also);
        match self.budget {
            Budget::AtMost(most) => (
                format!("at most {}", self.unit.show(most)),
                self.ours.map(|ours| ours <= most && also),
            ),
            Budget::AtMostTimes(most) => {
                (format!("at most {most} x"), kept(&|ours, other| ours <= most * other))
            }
            Budget::AtLeastTimes(least) => {
                (format!("at least {least} x"), kept(&|ours, other| ours >= least * other))
            }
            Budget::AtMostPlus(plus) => (
                format!("at most {} more", self.unit.show(plus)),
                kept(&|ours, other| ours <= other + plus),
            ),
            Budget::None => (String::new(), None),
        }
    }
}

/// All budgets.
#[must_use]
pub fn rows(figures: &Figures) -> Vec<Row> {
    let run = |row: &str, server: &str| figures.run(row, server);
    let ours = |row: &str, figure: &dyn Fn(&RunResult) -> Option<f64>| figure(run(row, "tutti")?);
    let floor = |row: &str, figure: &dyn Fn(&RunResult) -> Option<f64>, lower: bool| {
        let better: fn(f64, f64) -> bool = if lower { |a, b| a < b } else { |a, b| a > b };
        figures.floor(|server| figure(run(row, server)?), better)
    };
    let mut rows = Vec::new();

    for connections in [10_000, 18_000] {
        let row = if connections == 10_000 { "idle" } else { "idle18000" };
        let each = move |run: &RunResult| rss_each(run, connections);
        let what = format!("idle member, memory each at {connections}");
        rows.push(
            Row::new(&what, Unit::Bytes, ours(row, &each), Budget::AtMost(1024.0))
                .against(floor(row, &each, true)),
        );
    }
    let flat = ours("idle18000", &|run| rss_each(run, 18_000))
        .zip(ours("idle18000", &|run| rss_each(run, 10_000)));
    rows.push(
        Row::new("the same at 18,000", Unit::Bytes, flat.map(|it| it.0), Budget::AtMostTimes(1.1))
            .against(flat.map(|it| (it.1, "at 10,000"))),
    );
    let start = run("process", "tutti-2").and_then(|run| run.server.as_ref()?.rss_start_bytes);
    let start = start.map(|bytes| bytes as f64);
    let what = "process before the first connection, 2 shards";
    rows.push(Row::new(what, Unit::Bytes, start, Budget::AtMost(15e6)));
    let busy = ours("idle30s", &|run| Some(run.server.as_ref()?.busy));
    let what = "cores busy with 10,000 idle members";
    rows.push(Row::new(what, Unit::Share, busy, Budget::AtMost(0.005)));

    for (what, row) in [
        ("CPU per delivered note, nothing to batch, 100 members", "notes100"),
        ("CPU per delivered note, nothing to batch, 1,000 members", "notes1000"),
    ] {
        rows.push(
            Row::new(what, Unit::Micros, ours(row, &cpu_us), Budget::AtMostTimes(1.1))
                .against(floor(row, &cpu_us, true))
                .clean(run(row, "tutti")),
        );
    }
    let delivered = |run: &RunResult| Some(run.traffic.delivered_per_s);
    let cpu = |run: &RunResult| run.server.as_ref()?.us_per_delivery;
    for (what, row) in [
        ("saturation, 100 members, all playing", "saturate100"),
        ("saturation, 50 channels of 20, all playing", "saturate50x20"),
    ] {
        let best = PEERS
            .iter()
            .filter_map(|peer| Some((delivered(run(row, peer)?)?, *peer)))
            .reduce(|a, b| if b.0 > a.0 { b } else { a });
        let value = ours(row, &delivered);
        rows.push(
            Row::new(what, Unit::PerSecond, value, Budget::AtLeastTimes(0.85))
                .against(floor(row, &delivered, false)),
        );
        let again = format!("{what}, best peer");
        rows.push(
            Row::new(&again, Unit::PerSecond, value, Budget::AtLeastTimes(1.6)).against(best),
        );
        rows.push(
            Row::new("CPU per delivery there", Unit::Micros, ours(row, &cpu), Budget::None)
                .against(floor(row, &cpu, true)),
        );
    }
    let move_us = |run: &RunResult| {
        Some(run.server.as_ref()?.cpu_s * 1e6 / run.traffic.expected.max(1) as f64)
    };
    rows.push(
        Row::new(
            "cursors, 60 members at 20/s, CPU per move and receiver",
            Unit::Micros,
            ours("cursors", &move_us),
            Budget::AtMost(0.5),
        )
        .against(floor("cursors", &move_us, true))
        .clean(run("cursors", "tutti")),
    );
    let p99 = |run: &RunResult| latency_us(run, "p99");
    rows.push(
        Row::new(
            "note latency p99, 100 members, 10 senders, 20/s each",
            Unit::Micros,
            ours("notes100", &p99),
            Budget::AtMostPlus(500.0),
        )
        .against(floor("notes100", &p99, true)),
    );
    let spread = |run: &RunResult| run.latencies.get("spread")?.percentiles_us.get("p50").copied();
    rows.push(
        Row::new(
            "broadcast to 1,000 members, first to last (median)",
            Unit::Micros,
            ours("spread", &spread),
            Budget::AtMostTimes(1.25),
        )
        .against(floor("spread", &spread, true)),
    );
    rows.push(
        Row::new(
            "CPU per delivery, 2 shards, 50 channels",
            Unit::Micros,
            run("shards", "tutti-2-cores").and_then(cpu_us),
            Budget::AtMostTimes(1.1),
        )
        .against(ours("shards", &cpu_us).map(|us| (us, "1 shard"))),
    );
    let arrivals = |run: &RunResult| run.figures.get("arrivals_per_s").copied();
    for (what, server, budget) in [
        (
            "connect + hi + join, 2 shards on the core (handover)",
            "tutti-2",
            Budget::AtLeastTimes(0.6),
        ),
        ("connect + hi + join, 1 shard", "tutti", Budget::None),
    ] {
        rows.push(
            Row::new(what, Unit::PerSecond, run("joins", server).and_then(arrivals), budget)
                .against(floor("joins", &arrivals, false)),
        );
    }
    terminals(figures, &mut rows);
    storage(figures, &mut rows);
    quic(figures, &mut rows);
    let calls = |server: &str| {
        let rate = run("syscalls", server)?.traffic.delivered_per_s;
        Some(figures.syscalls_per_s.get(server)? / rate)
    };
    rows.push(
        Row::new(
            "system calls per delivered note, 100 members",
            Unit::Count,
            calls("tutti"),
            Budget::None,
        )
        .against(calls("floor-send").map(|n| (n, "floor-send"))),
    );
    for (what, row) in [
        ("load side, CPU per delivery, 100 members", "notes100"),
        ("load side, CPU per delivery, saturation", "saturate100"),
    ] {
        // The best server of all, the floor among them: the load side may not be what limits that one.
        let servers = ["floor-send", "floor-batch", "tutti"].into_iter().chain(PEERS);
        let least = servers
            .filter_map(|server| Some((cpu(run(row, server)?)?, server)))
            .reduce(|a, b| if b.0 < a.0 { b } else { a });
        let load = ours(row, &|run| run.load.us_per_delivery);
        rows.push(Row::new(what, Unit::Micros, load, Budget::AtMostTimes(0.334)).against(least));
    }
    rows
}

/// The line chat.
fn terminals(figures: &Figures, rows: &mut Vec<Row>) {
    let ours = figures.run("tcp-chat", "tutti");
    let floor = |figure: &dyn Fn(&RunResult) -> Option<f64>| {
        figures.floor(|server| figure(figures.run("tcp-chat", server)?), |a, b| a < b)
    };
    let p99 = |run: &RunResult| latency_us(run, "p99");
    rows.push(
        Row::new(
            "line chat, 1,000 terminals in one room, 100 lines/s, p99",
            Unit::Micros,
            ours.and_then(p99),
            Budget::AtMost(5000.0),
        )
        .against(floor(&p99)),
    );
    rows.push(
        Row::new(
            "CPU per delivered line there",
            Unit::Micros,
            ours.and_then(cpu_us),
            Budget::AtMostTimes(1.25),
        )
        .against(floor(&cpu_us))
        .clean(ours),
    );
    let arrivals =
        |server: &str| figures.run("tcp-joins", server)?.figures.get("arrivals_per_s").copied();
    let floor = figures.floor(arrivals, |a, b| a > b);
    let what = "connect + nick + join of terminals, 2 shards on the core";
    rows.push(Row::new(what, Unit::PerSecond, arrivals("tutti-2"), Budget::None).against(floor));
    let each = |server: &str| rss_each(figures.run("tcp-idle", server)?, 10_000);
    rows.push(
        Row::new(
            "idle terminal, memory each at 10,000",
            Unit::Bytes,
            each("tutti"),
            Budget::AtMost(1536.0),
        )
        .against(each("floor-batch").map(|bytes| (bytes, "floor-batch"))),
    );
}

/// What keeping things costs.
fn storage(figures: &Figures, rows: &mut Vec<Row>) {
    let least = |server: &str| figures.least("storage", server, cpu_us);
    rows.push(
        Row::new(
            "CPU per delivered note with storage, 100 members",
            Unit::Micros,
            least("tutti-data"),
            Budget::AtMostTimes(1.02),
        )
        .against(least("tutti").map(|us| (us, "without"))),
    );
    let seconds = |server: &str| {
        let run = figures.run("storage-hi", server)?;
        let per_s = run.figures.get("arrivals_per_s")?;
        Some(run.traffic.connections as f64 / per_s)
    };
    rows.push(
        Row::new(
            "10,000 new users arrive, with storage",
            Unit::Seconds,
            seconds("tutti-data"),
            Budget::AtMost(10.0),
        )
        .against(seconds("tutti").map(|s| (s, "without"))),
    );
}

/// The QUIC door, against a server the usual way.
fn quic(figures: &Figures, rows: &mut Vec<Row>) {
    let of = |row: &str, server: &str, figure: &dyn Fn(&RunResult) -> Option<f64>| {
        figure(figures.run(row, server)?)
    };
    let mut against = |what: &str,
                       unit: Unit,
                       row: &str,
                       figure: &dyn Fn(&RunResult) -> Option<f64>,
                       budget: Budget| {
        let peer = of(row, "quinn", figure).map(|value| (value, "quinn"));
        rows.push(Row::new(what, unit, of(row, "tutti", figure), budget).against(peer));
    };
    // What one costs says how many a core makes, whichever side was the slower one.
    let handshakes = |run: &RunResult| Some(1e6 / run.figures.get("server_us_per_arrival")?);
    against(
        "QUIC handshakes with login, a second and core",
        Unit::PerSecond,
        "quic-handshakes",
        &handshakes,
        Budget::AtLeastTimes(0.9),
    );
    let delivered = |run: &RunResult| Some(1e6 / run.server.as_ref()?.us_per_delivery?);
    against(
        "QUIC room of 100, deliveries a second and core at the highest rate that holds",
        Unit::PerSecond,
        "quic-most",
        &delivered,
        Budget::AtLeastTimes(1.5),
    );
    against(
        "QUIC room of 100, 100 messages/s, p99",
        Unit::Micros,
        "quic-room",
        &|run| latency_us(run, "p99"),
        Budget::AtMost(5000.0),
    );
    against(
        "idle QUIC connection, memory each at 5,000",
        Unit::Bytes,
        "quic-idle",
        &|run| rss_each(run, 5_000),
        Budget::AtMost(24.0 * 1024.0),
    );
    rows.push(Row::new(
        "QUIC room of 100, 50,000 deliveries a second, datagram system calls each",
        Unit::Count,
        figures.datagram_calls,
        Budget::AtMost(0.2),
    ));
    let p99 = |row: &str| of(row, "tutti", &|run| latency_us(run, "p99"));
    rows.push(
        Row::new(
            "QUIC room beside a flooded one, p99",
            Unit::Micros,
            p99("quic-flood"),
            Budget::AtMostTimes(1.2),
        )
        .against(p99("quic-alone").map(|us| (us, "alone"))),
    );
}

/// The rows as a Markdown table.
#[must_use]
pub fn table(figures: &Figures) -> String {
    let mut text = String::from(
        "| what | Tutti | held against | ratio | budget | |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows(figures) {
        let (budget, kept) = row.judge();
        let ratio = row.ours.zip(row.other.as_ref()).filter(|(_, (other, _))| *other > 0.0);
        let ratio =
            ratio.map_or(String::new(), |(ours, (other, _))| format!("{:.2}", ours / other));
        let also = row.also.as_ref().map_or(String::new(), |(text, _)| format!(", {text}"));
        let other = row
            .other
            .as_ref()
            .map_or(String::new(), |(value, whose)| format!("{} ({whose})", row.unit.show(*value)));
        let _ = writeln!(
            text,
            "| {} | {}{also} | {other} | {ratio} | {budget} | {} |",
            row.what,
            row.ours.map_or("-".to_owned(), |ours| row.unit.show(ours)),
            match kept {
                _ if row.budget == Budget::None => "",
                Some(true) => "pass",
                Some(false) => "**fail**",
                None => "not measured",
            }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_no_pass_and_the_side_condition_counts() {
        let row = |ours, other: Option<f64>, holds| {
            let mut row = Row::new("", Unit::Micros, ours, Budget::AtMostTimes(1.25));
            row.other = other.map(|value| (value, String::new()));
            row.also = Some((String::new(), holds));
            row.judge().1
        };
        assert_eq!(row(Some(1.0), None, true), None);
        assert_eq!(row(None, Some(1.0), true), None);
        assert_eq!(row(Some(1.0), Some(1.0), true), Some(true));
        assert_eq!(row(Some(1.0), Some(0.7), true), Some(false));
        assert_eq!(row(Some(1.0), Some(1.0), false), Some(false));
        let text = table(&Figures::default());
        assert!(!text.contains("pass |") && text.contains("not measured"), "{text}");
    }
}
