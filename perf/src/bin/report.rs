//! Puts the figures of a run into one table: ours, the floor's, the ratio, the budget, pass or fail.
//!
//! `report OUT_DIR REPORT.md` reads `SCENARIO.SERVER.json` as `run.sh` leaves them. A figure that is
//! missing is shown as missing, never as passed. The floor of a row is the better of its two modes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (out, report) = args.next().zip(args.next()).context("report OUT_DIR REPORT.md")?;
    let run = Run::read(&out)?;
    let text = run.report();
    fs::write(&report, &text).with_context(|| format!("{}", report.display()))?;
    print!("{}", run.table());
    Ok(())
}

struct Run {
    /// By `scenario.server`.
    figures: BTreeMap<String, Value>,
    commands: BTreeMap<String, String>,
    system_calls: BTreeMap<String, String>,
    machine: String,
}

/// What a row compares.
enum Budget {
    /// Our figure is at most this.
    AtMost(f64),
    /// Our figure is at most this multiple of the floor's.
    AtMostTimes(f64),
    /// Our figure is at least this multiple of the floor's.
    AtLeastTimes(f64),
    /// Our figure is at most the floor's plus this.
    AtMostPlus(f64),
    /// Only reported.
    None,
}

struct Row {
    what: &'static str,
    unit: &'static str,
    ours: Option<f64>,
    floor: Option<f64>,
    budget: Budget,
    /// A second figure's name and value, which has its say in whether the row passes.
    also: Option<(String, bool)>,
}

impl Run {
    fn read(out: &Path) -> Result<Self> {
        let mut run = Self {
            figures: BTreeMap::new(),
            commands: BTreeMap::new(),
            system_calls: BTreeMap::new(),
            machine: fs::read_to_string(out.join("machine.txt")).unwrap_or_default(),
        };
        for entry in fs::read_dir(out).with_context(|| format!("{}", out.display()))? {
            let path = entry?.path();
            let Some(stem) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
            else {
                continue;
            };
            let extension = path.extension().and_then(|extension| extension.to_str());
            match extension {
                Some("json") => {
                    let text = fs::read_to_string(&path)?;
                    let value = serde_json::from_str(&text)
                        .with_context(|| format!("{}", path.display()))?;
                    run.figures.insert(stem, value);
                }
                Some("command") => {
                    run.commands.insert(stem, fs::read_to_string(&path)?);
                }
                Some("txt") if stem.starts_with("syscalls.") => {
                    run.system_calls.insert(stem, fs::read_to_string(&path)?);
                }
                _ => {}
            }
        }
        Ok(run)
    }

    fn figure(&self, key: &str, name: &str) -> Option<f64> {
        self.figures.get(key)?.get(name)?.as_f64()
    }

    /// The better of the two floors.
    fn floor(&self, scenario: &str, name: &str, better: fn(f64, f64) -> f64) -> Option<f64> {
        let both = ["floor-send", "floor-batch"];
        let found = both.iter().filter_map(|mode| self.figure(&format!("{scenario}.{mode}"), name));
        found.reduce(better)
    }

    fn is_clean(&self, key: &str) -> Option<bool> {
        self.figures.get(key)?.get("clean")?.as_bool()
    }

    fn rows(&self) -> Vec<Row> {
        let row =
            |what, unit, ours, floor, budget| Row { what, unit, ours, floor, budget, also: None };
        let lower = |scenario: &str, name: &str| self.floor(scenario, name, f64::min);
        let higher = |scenario: &str, name: &str| self.floor(scenario, name, f64::max);
        let ours = |scenario: &str, name: &str| self.figure(&format!("{scenario}.tutti"), name);
        let mut rows = Vec::new();

        for (what, name) in [
            ("idle member, RSS per connection at 10,000", "rss_per_connection_10000"),
            ("idle member, RSS per connection at 18,000", "rss_per_connection_18000"),
        ] {
            rows.push(row(
                what,
                "B",
                ours("idle", name),
                lower("idle", name),
                Budget::AtMost(2048.0),
            ));
        }
        let flat =
            ours("idle", "rss_per_connection_18000").zip(ours("idle", "rss_per_connection_10000"));
        let flat = flat.map(|(large, small)| large / small);
        rows.push(row("the same, 18,000 against 10,000", "x", flat, None, Budget::AtMost(1.1)));
        let before = self.figure("process.tutti-2", "rss_bytes").map(|bytes| bytes / 1e6);
        rows.push(row(
            "process before the first connection, 2 shards",
            "MB",
            before,
            None,
            Budget::AtMost(15.0),
        ));
        let percent = (ours("idle", "cpu_percent"), lower("idle", "cpu_percent"));
        rows.push(row(
            "idle CPU with 10,000 members",
            "% of a core",
            percent.0,
            percent.1,
            Budget::AtMost(0.5),
        ));

        for (what, scenario) in [
            ("CPU per delivered note, nothing to batch, 100 members", "notes100"),
            ("CPU per delivered note, nothing to batch, 1,000 members", "notes1000"),
        ] {
            let name = "server_us_per_delivery_median";
            let budget = Budget::AtMostTimes(1.25);
            let mut row = row(what, "us", ours(scenario, name), lower(scenario, name), budget);
            row.also = self.is_clean(&format!("{scenario}.tutti")).map(|clean| {
                (if clean { "all accounted for" } else { "lost or repeated" }.into(), clean)
            });
            rows.push(row);
        }
        let (all_100, all_50x20) =
            ("saturation, 100 members, all playing", "saturation, 50 channels of 20, all playing");
        for (what, scenario, budget) in [
            (all_100, "saturate100", Budget::AtLeastTimes(0.6)),
            (all_50x20, "saturate50x20", Budget::AtLeastTimes(0.7)),
            ("the same, a sender's messages merged", "saturate50x20merged", Budget::None),
        ] {
            let name = "deliveries_per_s";
            rows.push(row(
                what,
                "deliveries/s",
                ours(scenario, name),
                higher(scenario, name),
                budget,
            ));
            let name = "server_us_per_delivery";
            let at_best =
                (ours(scenario, name), self.figure(&format!("{scenario}.floor-batch"), name));
            rows.push(row("CPU per delivery there", "us", at_best.0, at_best.1, Budget::None));
        }
        let name = "server_us_per_move_and_receiver";
        let mut moves = row(
            "cursors, 60 members at 20/s, CPU per move and receiver",
            "us",
            ours("cursors", name),
            lower("cursors", name),
            Budget::AtMost(0.5),
        );
        moves.also = ours("cursors", "stale_last_positions")
            .map(|stale| (format!("{stale} stale last positions"), stale == 0.0));
        rows.push(moves);
        let name = "latency_p99_ms";
        let p99 = (ours("notes100", name), lower("notes100", name));
        rows.push(row(
            "note latency p99, 100 members, 10 senders, 20/s each",
            "ms",
            p99.0,
            p99.1,
            Budget::AtMostPlus(0.5),
        ));
        let name = "first_to_last_p50_ms";
        let spread = (ours("burst", name), lower("burst", name));
        rows.push(row(
            "broadcast to 1,000 members, first to last (median)",
            "ms",
            spread.0,
            spread.1,
            Budget::AtMostTimes(1.25),
        ));
        let name = "server_us_per_delivery_median";
        let cores = self.figure("shards.tutti-2-cores", name).zip(ours("shards", name));
        let cores = cores.map(|(two, one)| two / one);
        rows.push(row(
            "CPU per delivery, 2 shards against 1, 50 channels",
            "x",
            cores,
            None,
            Budget::AtMost(1.1),
        ));
        let name = "joins_per_s";
        for (what, server, budget) in [
            (
                "connect + hi + join, 2 shards on the core (handover)",
                "join.tutti-2",
                Budget::AtLeastTimes(0.6),
            ),
            ("connect + hi + join, 1 shard", "join.tutti", Budget::None),
        ] {
            rows.push(row(
                what,
                "joins/s",
                self.figure(server, name),
                higher("join", name),
                budget,
            ));
        }
        let name = "system_calls_per_delivery";
        let calls = (ours("syscalls", name), lower("syscalls", name));
        rows.push(row(
            "system calls per delivered note, 100 members",
            "",
            calls.0,
            calls.1,
            Budget::None,
        ));
        rows
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "| what | ours | floor | ratio | budget | |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        for row in self.rows() {
            let (budget, passed) = row.judge();
            let ratio = row.ours.zip(row.floor).filter(|(_, floor)| *floor > 0.0);
            let ratio = ratio.map_or(String::new(), |(ours, floor)| format!("{:.2}", ours / floor));
            let also = row.also.as_ref().map_or(String::new(), |(text, _)| format!(", {text}"));
            let _ = writeln!(
                text,
                "| {} | {}{also} | {} | {ratio} | {budget} | {} |",
                row.what,
                show(row.ours, row.unit),
                row.floor.map_or(String::new(), |floor| show(Some(floor), row.unit)),
                match passed {
                    _ if matches!(row.budget, Budget::None) => "",
                    Some(true) => "pass",
                    Some(false) => "**fail**",
                    None => "not measured",
                }
            );
        }
        text
    }

    fn report(&self) -> String {
        let mut text = String::from(
            "# Figures\n\nWritten by `perf/run.sh`; the floor is the better of its two modes.\n\n",
        );
        for line in self.machine.lines() {
            let _ = writeln!(text, "- {line}");
        }
        let _ = writeln!(text, "\n{}", self.table());
        // With the load on the server's core, waiting is what is meant to happen.
        let disturbed: Vec<&str> = self
            .figures
            .iter()
            .filter(|(key, _)| !key.starts_with("shards."))
            .filter(|(_, figures)| {
                let waited = |name: &str| figures.get(name).and_then(Value::as_f64);
                [waited("server_waited"), waited("load_waited")]
                    .into_iter()
                    .flatten()
                    .any(|w| w > 0.05)
            })
            .map(|(key, _)| key.as_str())
            .collect();
        if !disturbed.is_empty() {
            let _ = writeln!(
                text,
                "**Disturbed** (a side waited more than 5 % of the time for its core, repeat these): {}.\n",
                disturbed.join(", ")
            );
        }
        let limited = self.figures.iter().filter(|(_, figures)| {
            figures.get("load_was_the_limit").and_then(Value::as_bool) == Some(true)
        });
        let limited: Vec<&str> = limited.map(|(key, _)| key.as_str()).collect();
        if !limited.is_empty() {
            let _ = writeln!(
                text,
                "**Load side at its limit** (lower bounds of what the server can do): {}.\n",
                limited.join(", ")
            );
        }
        text.push_str(
            "Allocations on the note path are counted by the server's own tests, not here.\n\n\
             ## Every run\n\n\
             *Busy* is the share of a core that was used; *waited* the share of time that a side was ready to \
             run and something else had its core, which is 0 on a quiet machine. With the load side more \
             than 90 % busy a figure is a lower bound.\n\n\
             | run | deliveries/s | p50 ms | p99 ms | p99.9 ms | max ms | lost | server us/delivery | server busy | load busy | server waited | load waited |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let names = [
            "deliveries_per_s",
            "latency_p50_ms",
            "latency_p99_ms",
            "latency_p999_ms",
            "latency_max_ms",
            "lost",
            "server_us_per_delivery",
            "server_busy",
            "load_busy",
            "server_waited",
            "load_waited",
        ];
        for (key, figures) in &self.figures {
            let _ = write!(text, "| {key} |");
            for name in names {
                let value = figures.get(name).map(Value::to_string).unwrap_or_default();
                let _ = write!(text, " {value} |");
            }
            text.push('\n');
        }
        text.push_str("\n## Saturation, step by step\n\n");
        for (key, figures) in &self.figures {
            let Some(steps) = figures.get("steps").and_then(Value::as_array) else { continue };
            let _ = writeln!(text, "{key}:\n\n```");
            for step in steps {
                let _ = writeln!(text, "{step}");
            }
            text.push_str("```\n\n");
        }
        text.push_str("## System calls while notes flow\n\n");
        for (key, table) in &self.system_calls {
            let _ = writeln!(text, "{key}:\n\n```\n{}\n```\n", table.trim_end());
        }
        text.push_str("## Commands\n\n");
        for (key, command) in &self.commands {
            let _ = writeln!(text, "{key}:\n\n```\n{}\n```\n", command.trim_end());
        }
        text
    }
}

impl Row {
    /// The budget as text, and whether it is kept; `None` when a figure is missing.
    fn judge(&self) -> (String, Option<bool>) {
        let also = self.also.as_ref().is_none_or(|(_, holds)| *holds);
        let compare = |limit: f64, holds: fn(&f64, &f64) -> bool| {
            let floor = self.ours.zip(self.floor);
            floor.map(|(ours, floor)| holds(&ours, &(floor * limit)) && also)
        };
        match self.budget {
            Budget::AtMost(most) => (
                format!("at most {}", show(Some(most), self.unit)),
                self.ours.map(|ours| ours <= most && also),
            ),
            Budget::AtMostTimes(most) => (format!("at most {most} x"), compare(most, f64::le)),
            Budget::AtLeastTimes(least) => (format!("at least {least} x"), compare(least, f64::ge)),
            Budget::AtMostPlus(plus) => (
                format!("at most floor + {plus} {}", self.unit),
                self.ours.zip(self.floor).map(|(ours, floor)| ours <= floor + plus && also),
            ),
            Budget::None => (String::new(), None),
        }
    }
}

/// A figure with about three digits that mean something, and its unit.
fn show(value: Option<f64>, unit: &str) -> String {
    let Some(value) = value else { return "-".into() };
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if value.abs() >= 10_000.0 { grouped(&text) } else { text };
    format!("{text} {unit}").trim_end().to_owned()
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_to_three_digits() {
        assert_eq!(show(Some(8_668_807.0), "deliveries/s"), "8,668,807 deliveries/s");
        assert_eq!(show(Some(0.1127), "us"), "0.113 us");
        assert_eq!(show(Some(6.74), "us"), "6.74 us");
        assert_eq!(show(None, "us"), "-");
    }

    #[test]
    fn a_missing_floor_is_not_a_pass_and_the_side_condition_counts() {
        let row = |floor, also| Row {
            what: "",
            unit: "us",
            ours: Some(1.0),
            floor,
            budget: Budget::AtMostTimes(1.25),
            also,
        };
        assert_eq!(row(None, None).judge().1, None);
        assert_eq!(row(Some(1.0), None).judge().1, Some(true));
        assert_eq!(row(Some(0.7), None).judge().1, Some(false));
        assert_eq!(row(Some(1.0), Some((String::new(), false))).judge().1, Some(false));
    }
}
