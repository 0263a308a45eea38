//! The page `perf/REPORT.md`.

use std::fmt::Write as _;

use tutti_loadgen::result::{Limit, RunResult};
use tutti_loadgen::units::Unit;

use crate::curves::Plot;
use crate::figures::{Figures, cpu_us, latency_us, rss_each};
use crate::rows;

/// The whole page.
#[must_use]
pub fn page(figures: &Figures, plots: &[Plot]) -> String {
    let mut text = String::from(
        "# Figures\n\nWritten by `perf/run.sh`, which measures everything in one run on one machine: compare the ratios.\n\n",
    );
    for line in figures.machine.lines() {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(text, "\n## Budgets\n\n{}", rows::table(figures));
    text += "The floor is the better of its two modes. Allocations and instructions are counted by tests (`tests/allocations.rs`, \
             `scripts/test.sh instructions`), not here.\n\n";
    text += &trust(figures);
    let _ = writeln!(text, "\n## Against other servers\n\n{}", comparison(figures));
    text += "## Curves\n\n";
    for plot in plots {
        let Plot { name, title, says, .. } = plot;
        let _ = writeln!(text, "### {title}\n\n![{title}](plots/{name}.svg)\n\n{says}\n");
    }
    let _ = writeln!(text, "## Every run\n\n{}", every_run(figures));
    text += &system_calls(figures);
    text += "\n## Commands\n\nEach run as its result records it; the server's command below it.\n\n```text\n";
    for (key, run) in &figures.runs {
        let load = run.environment.command.join(" ");
        let server = run.target.command.as_deref().unwrap_or_default().join(" ");
        let _ = writeln!(text, "{key}\n  {}\n  {}", shorten(&load), shorten(&server));
    }
    text + "```\n"
}

/// A command without the folders of this machine.
fn shorten(command: &str) -> String {
    let word = |word: &str| match word.rsplit_once('/') {
        Some((folder, name)) if folder.contains("release") || folder.contains(".bin") => {
            name.to_owned()
        }
        _ => word.to_owned(),
    };
    command.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Runs that say more about the machine or the load side than about the server.
fn trust(figures: &Figures) -> String {
    // With the load on the server's core, waiting is what is meant to happen.
    let of = |limit: Limit| -> Vec<&str> {
        let all = figures
            .runs
            .iter()
            .filter(|(key, run)| run.limit == limit && !key.starts_with("shards."));
        all.map(|(key, _)| key.as_str()).collect()
    };
    let partial = figures.runs.iter().filter(|(_, run)| run.partial.is_some());
    let partial: Vec<&str> = partial.map(|(key, _)| key.as_str()).collect();
    let mut text = String::new();
    for (which, what) in [
        (
            of(Limit::Machine),
            "**Disturbed** (a side waited more than 5 % of the time for its core; repeat these)",
        ),
        (of(Limit::Load), "**Load side at its limit** (lower bounds of what the server can do)"),
        (partial, "**Ended early** (left out of the tables)"),
    ] {
        if !which.is_empty() {
            let _ = writeln!(text, "{what}: {}.\n", which.join(", "));
        }
    }
    text
}

fn comparison(figures: &Figures) -> String {
    let servers = ["tutti", "floor-send", "floor-batch", "bun", "tokio", "node"];
    let mut text = String::from("| what |");
    let _ = writeln!(text, " {} |\n| --- |{}", servers.join(" | "), " --- |".repeat(servers.len()));
    let mut row = |what: &str, unit: Unit, figure: &dyn Fn(&str) -> Option<f64>| {
        let _ = write!(text, "| {what} |");
        for server in servers {
            let _ = write!(
                text,
                " {} |",
                figure(server).map_or("-".to_owned(), |value| unit.show(value))
            );
        }
        text.push('\n');
    };
    for (row_name, members) in [("notes100", "100"), ("notes1000", "1,000")] {
        let of = |figure: &dyn Fn(&RunResult) -> Option<f64>, server: &str| {
            figure(figures.run(row_name, server)?)
        };
        row(&format!("{members} members, 20k deliveries/s: CPU each"), Unit::Micros, &|server| {
            of(&cpu_us, server)
        });
        row("latency p50", Unit::Micros, &|server| of(&|run| latency_us(run, "p50"), server));
        row("latency p99", Unit::Micros, &|server| of(&|run| latency_us(run, "p99"), server));
    }
    for (row_name, what) in
        [("saturate100", "one channel of 100"), ("saturate50x20", "50 channels of 20")]
    {
        let best = |server: &str| Some(figures.run(row_name, server)?.traffic.delivered_per_s);
        row(&format!("most deliveries/s with p99 < 50 ms, {what}"), Unit::PerSecond, &best);
        let cpu = |server: &str| figures.run(row_name, server)?.server.as_ref()?.us_per_delivery;
        row("CPU each there", Unit::Micros, &cpu);
    }
    row("memory of an idle member, 10,000 of them", Unit::Bytes, &|server| {
        rss_each(figures.run("idle", server)?, 10_000)
    });
    row("arrivals/s (connect, hi, join)", Unit::PerSecond, &|server| {
        figures.run("joins", server)?.figures.get("arrivals_per_s").copied()
    });
    text
}

fn every_run(figures: &Figures) -> String {
    let mut text = String::from(
        "*Busy* is in cores; *waited* is the share of time that a side was ready to run and something else had its core, 0 on \
         a quiet machine.\n\n\
         | run | deliveries/s | p50 | p99 | p99.9 | max | faults | server CPU each | server busy | load CPU each | load busy | \
         waited (server, load) | limit |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (key, run) in &figures.runs {
        let us =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| Unit::Micros.show(value));
        let server = run.server.as_ref();
        let busy = server.map_or("-".to_owned(), |server| Unit::Cores.show(server.busy));
        let waited = server.map_or("-".to_owned(), |server| Unit::Share.show(server.waited));
        let _ = writeln!(
            text,
            "| {key} | {} | {} | {} | {} | {} | {} | {} | {busy} | {} | {} | {waited}, {} | {} |",
            Unit::PerSecond.show(run.traffic.delivered_per_s),
            us(latency_us(run, "p50")),
            us(latency_us(run, "p99")),
            us(latency_us(run, "p99.9")),
            us(latency_us(run, "max")),
            run.faults.total(),
            us(server.and_then(|server| server.us_per_delivery)),
            us(run.load.us_per_delivery),
            Unit::Cores.show(run.load.busiest_thread),
            Unit::Share.show(run.load.waited),
            match (&run.partial, run.limit) {
                (Some(_), _) => "ended early",
                (None, Limit::Neither) => "",
                (None, Limit::Load) => "load",
                (None, Limit::Server) => "server",
                (None, Limit::Machine) => "machine",
            }
        );
    }
    text
}

fn system_calls(figures: &Figures) -> String {
    let mut text = String::new();
    for (server, kinds) in &figures.syscall_kinds {
        let _ = writeln!(
            text,
            "## System calls of {server}\n\n2 senders of 100 members, 20 notes a second each, for 2 s (`strace -c`, which slows \
             it down).\n\n```text\n{}\n```\n",
            kinds.trim_end()
        );
    }
    text
}
