//! What was measured: the result files of one matrix, by row and server.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tutti_loadgen::result::{Latency, RunResult};

/// Everything in the folder that `run.sh` writes to.
#[derive(Default)]
pub struct Figures {
    /// By `row.server`.
    pub runs: BTreeMap<String, RunResult>,
    /// System calls a second, by server.
    pub syscalls_per_s: BTreeMap<String, f64>,
    /// System calls of datagrams for each message that a busy room over QUIC was sent.
    pub datagram_calls: Option<f64>,
    /// What `strace -c` counted, by server.
    pub syscall_kinds: BTreeMap<String, String>,
    /// The machine, a fact a line.
    pub machine: String,
}

impl Figures {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not what its name says.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut figures = Self::default();
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = || fs::read_to_string(&path).with_context(|| path.display().to_string());
            if let Some(key) = name.strip_suffix(".json") {
                let run = serde_json::from_str(&text()?)
                    .with_context(|| format!("{}: not a result", path.display()))?;
                figures.runs.insert(key.to_owned(), run);
            } else if let Some(server) = between(&name, "syscalls.", ".per_s") {
                if let Ok(n) = text()?.trim().parse() {
                    figures.syscalls_per_s.insert(server.to_owned(), n);
                }
            } else if name == "quic-calls.per_message" {
                figures.datagram_calls = text()?.trim().parse().ok();
            } else if let Some(server) = between(&name, "syscalls.", ".kinds") {
                figures.syscall_kinds.insert(server.to_owned(), text()?);
            } else if name == "machine.txt" {
                figures.machine = text()?;
            }
        }
        Ok(figures)
    }

    /// The run of a row on a server, when it is whole.
    #[must_use]
    pub fn run(&self, row: &str, server: &str) -> Option<&RunResult> {
        self.runs.get(&format!("{row}.{server}")).filter(|run| run.partial.is_none())
    }

    /// The least of a figure over the runs of a row that was repeated as `row-1`, `row-2` and so on: what else the
    /// machine does only adds to a cost.
    #[must_use]
    pub fn least(
        &self,
        row: &str,
        server: &str,
        figure: impl Fn(&RunResult) -> Option<f64>,
    ) -> Option<f64> {
        let runs = (1..).map_while(|n| self.run(&format!("{row}-{n}"), server));
        least_of(runs.filter_map(figure))
    }

    /// A figure of the better of the two floors, and which that is.
    pub fn floor(
        &self,
        figure: impl Fn(&str) -> Option<f64>,
        better: fn(f64, f64) -> bool,
    ) -> Option<(f64, &'static str)> {
        let all = ["floor-send", "floor-batch"].into_iter();
        let found = all.filter_map(|floor| Some((figure(floor)?, floor)));
        found.reduce(|a, b| if better(b.0, a.0) { b } else { a })
    }
}

fn least_of(all: impl Iterator<Item = f64>) -> Option<f64> {
    all.reduce(f64::min)
}

fn between<'a>(name: &'a str, before: &str, after: &str) -> Option<&'a str> {
    name.strip_prefix(before)?.strip_suffix(after)
}

/// CPU of the server per delivery, the middle of the slices: a moment of disturbance does not move it.
#[must_use]
pub fn cpu_us(run: &RunResult) -> Option<f64> {
    run.server.as_ref()?.us_per_delivery_median
}

/// The headline latency.
#[must_use]
pub fn headline(run: &RunResult) -> Option<&Latency> {
    run.latencies.get(run.headline.as_ref()?)
}

/// A percentile of the headline latency, in microseconds.
#[must_use]
pub fn latency_us(run: &RunResult, percentile: &str) -> Option<f64> {
    headline(run)?.percentiles_us.get(percentile).copied()
}

/// Resident memory of the server per connection, above what it had before the first.
#[must_use]
pub fn rss_each(run: &RunResult, connections: u64) -> Option<f64> {
    let start = run.server.as_ref()?.rss_start_bytes?;
    let point = run.memory_curve.iter().find(|point| point.connections == connections)?;
    Some(point.rss_bytes.saturating_sub(start) as f64 / connections as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_runs_do_not_move_the_least() {
        assert_eq!(least_of([5.0, 90.0, 7.0].into_iter()), Some(5.0));
        assert_eq!(least_of(std::iter::empty()), None);
        let figures = Figures::default();
        assert_eq!(figures.least("storage", "tutti", |_| Some(1.0)), None);
    }
}
