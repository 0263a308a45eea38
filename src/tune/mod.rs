//! `tutti tune`: gives a Linux host what a server with many connections needs, and takes it back.
//!
//! The settings are those of [`SETTINGS`](crate::check::SETTINGS), so that `tutti check`, the start and this never
//! disagree. What holds for all of it:
//!
//! - It only raises. What takes something away, and what somebody has already chosen, needs `--force`.
//! - What was there before is written down before anything is changed (`state`), so an interrupted run can be reverted.
//! - A second `apply` changes nothing. `revert` puts back only what is still as `apply` left it, and names the rest.
//! - One run at a time. Boot parameters are never touched; irqbalance and the firewall's table only with a flag.
//!
//! Reading order: `mod` (command line and steps), `check`, `apply`, `revert`, `state`, `files`, `nic`, `service`.

mod apply;
mod check;
mod files;
mod nic;
mod revert;
mod service;
mod state;

use crate::check::{Demand, Finding, Host as _, Report, ThisHost};
use crate::config::Config;
use serde::Serialize;
use state::Lock;
use std::fmt::Write as _;
use std::io;
use std::process::{Command, Stdio};

/// What to do.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Say what falls short. Changes nothing and needs no rights.
    Check,
    /// Raise what falls short, now and for the next boots.
    Apply,
    /// Put back what `apply` changed.
    Revert,
}

/// The command line of `tutti tune`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What to do
    #[arg(value_enum)]
    pub action: Action,
    /// Connections to tune for [default: limits.connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub conns: Option<u64>,
    /// Network card whose queues, interrupts and packet steering are tuned as well; more queues may interrupt its link
    /// for a moment
    #[arg(long, value_name = "DEV")]
    pub nic: Option<String>,
    /// Say what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// Lower values and replace choices of somebody else, too
    #[arg(long)]
    pub force: bool,
    /// Stop irqbalance until the next boot, so that interrupts stay where they are put
    #[arg(long)]
    pub irqbalance: bool,
    /// Raise the limit of the firewall's table of connections (nf_conntrack_max)
    #[arg(long)]
    pub conntrack: bool,
    /// Folder that stands for the host: its proc, sys, etc and var are used
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: std::path::PathBuf,
    /// Running server whose limits are looked at
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Unit of the service
    #[arg(long, value_name = "NAME", default_value = "tutti.service")]
    pub unit: String,
}

/// Why nothing was done, or not all.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// It needs all rights.
    #[error("apply and revert need root: sudo tutti tune ... (check and --dry-run do not)")]
    NotRoot,
    /// Another one is running.
    #[error("another `tutti tune` is running; try again when it has ended")]
    Busy,
    /// What was noted of earlier changes cannot be used.
    #[error("{0}")]
    State(String),
    /// A flag's value is none.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be written or removed.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// One change, planned or made.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// A value of the kernel's.
    Value { what: &'static str, path: String, before: String, after: String },
    /// The number of a card's queues.
    Queues { nic: String, before: u32, after: u32 },
    /// irqbalance is stopped.
    StopIrqbalance,
    /// irqbalance is started again.
    StartIrqbalance,
    /// A file is written, or removed.
    File { path: String, written: bool },
}

/// A change as it is shown.
#[derive(Serialize)]
struct Shown {
    what: &'static str,
    target: String,
    before: Option<String>,
    after: Option<String>,
}

impl Step {
    fn shown(&self) -> Shown {
        let (what, target, before, after) = match self {
            Step::Value { what, path, before, after } => {
                let target = files::key_of(path).unwrap_or_else(|| path.clone());
                (*what, target, Some(before.clone()), Some(after.clone()))
            }
            Step::Queues { nic, before, after } => {
                ("queues", nic.clone(), Some(before.to_string()), Some(after.to_string()))
            }
            Step::StopIrqbalance => {
                ("service", "irqbalance".into(), Some("running".into()), Some("stopped".into()))
            }
            Step::StartIrqbalance => {
                ("service", "irqbalance".into(), Some("stopped".into()), Some("running".into()))
            }
            Step::File { path, written } => {
                ("file", path.clone(), None, written.then(|| "written".to_owned()))
            }
        };
        Shown { what, target, before, after }
    }
}

/// What was found and changed.
#[derive(Debug)]
pub struct Outcome {
    dry_run: bool,
    steps: Vec<Step>,
    report: Report,
}

impl Outcome {
    /// 0 when all is well, 1 when something needs a person, 2 when something failed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.report.exit_code()
    }

    /// As one JSON object: `level`, `dry_run`, `changes` and `findings`.
    #[must_use]
    pub fn json(&self) -> String {
        let changes: Vec<Shown> = self.steps.iter().map(Step::shown).collect();
        let json = serde_json::json!({
            "level": self.report.level(),
            "dry_run": self.dry_run,
            "changes": changes,
            "findings": self.report.findings,
        });
        format!("{json:#}\n")
    }

    /// As lines for people.
    #[must_use]
    pub fn text(&self, action: Action) -> String {
        let mut text = self.report.to_string();
        if action == Action::Check {
            return text;
        }
        for Shown { what, target, before, after } in self.steps.iter().map(Step::shown) {
            let _ = match (before, after) {
                (Some(before), Some(after)) => {
                    writeln!(text, "change  {what}  {target}  {before} -> {after}")
                }
                (_, Some(after)) => writeln!(text, "change  {what}  {target}  {after}"),
                _ => writeln!(text, "change  {what}  {target}  removed"),
            };
        }
        let count = self.steps.len();
        let _ = match (count, self.dry_run) {
            (0, _) => writeln!(text, "nothing to change"),
            (_, true) => writeln!(text, "{count} changes to make; nothing was changed"),
            (_, false) => writeln!(text, "{count} changes made"),
        };
        text
    }
}

/// Does it.
///
/// # Errors
/// [`TuneError`] when it could not begin; what fails on the way is a finding.
pub fn run(options: &Options, config: &Config) -> Result<Outcome, TuneError> {
    let mut options = options.clone();
    if !options.unit.ends_with(".service") {
        options.unit += ".service";
    }
    if !service::is_unit(&options.unit) {
        return Err(TuneError::Usage(format!("--unit {:?} is no name of a unit", options.unit)));
    }
    if let Some(nic) = options.nic.as_ref().filter(|nic| !nic::is_name(nic)) {
        return Err(TuneError::Usage(format!("--nic {nic:?} is no name of a network card")));
    }
    let host = ThisHost::below(&options.root);
    let changes = options.action != Action::Check && !options.dry_run;
    if changes && host.is_real() && !rustix::process::geteuid().is_root() {
        return Err(TuneError::NotRoot);
    }
    // Held to the end: two runs at once would each take the other's values for those of before.
    let _lock = if changes { Some(Lock::take(&host)?) } else { None };
    let tuner = Tuner {
        demand: Demand::new(config, options.conns),
        boot: state::boot(&host),
        config,
        options,
        host,
        findings: Vec::new(),
        done: Vec::new(),
    };
    match tuner.options.action {
        Action::Check => Ok(tuner.check()),
        Action::Apply => tuner.apply(),
        Action::Revert => tuner.revert(),
    }
}

/// Runs a program of the host, found where systems keep those of administrators.
///
/// # Errors
/// When it is not there, cannot be started, or does not end well; with what it said.
fn program(host: &ThisHost, program: &str, arguments: &[&str]) -> io::Result<String> {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let path = dirs.iter().map(|dir| host.at(&format!("{dir}/{program}"))).find(|p| p.exists());
    let path = path.ok_or(io::ErrorKind::NotFound)?;
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.trim().lines().next().unwrap_or("it failed").to_owned()))
}

struct Tuner<'a> {
    host: ThisHost,
    config: &'a Config,
    options: Options,
    demand: Demand,
    boot: String,
    findings: Vec<Finding>,
    done: Vec<Step>,
}

impl Tuner<'_> {
    fn outcome(self) -> Outcome {
        let report = Report { findings: self.findings };
        Outcome { dry_run: self.options.dry_run, steps: self.done, report }
    }

    fn is_in_container(&self) -> bool {
        let marked = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
        let environment = self.host.text("/proc/1/environ").unwrap_or_default();
        marked.iter().any(|path| self.host.at(path).exists())
            || environment.split('\0').any(|variable| variable.starts_with("container="))
    }

    fn nic(&self) -> (Vec<Step>, Vec<Finding>) {
        let Some(nic) = &self.options.nic else { return (Vec::new(), Vec::new()) };
        let shard_cpus: Vec<usize> =
            (0..self.config.shards).map(|n| self.config.cpu_of(tutti_shards::ShardId(n))).collect();
        let all_cpus = crate::config::HostCpus::of_this_process().allowed;
        let plan = nic::Plan {
            nic,
            shard_cpus: &shard_cpus,
            all_cpus: &all_cpus,
            force: self.options.force,
            stop_irqbalance: self.options.irqbalance,
        };
        nic::plan(&self.host, &plan)
    }

    fn make(&self, step: &Step) -> io::Result<()> {
        match step {
            Step::Value { path, after, .. } => write_value(&self.host, path, after),
            Step::Queues { nic, after, .. } => {
                program(&self.host, "ethtool", &["-L", nic, "combined", &after.to_string()])
                    .map(drop)
            }
            Step::StopIrqbalance => {
                program(&self.host, "systemctl", &["stop", "irqbalance"]).map(drop)
            }
            Step::StartIrqbalance => {
                program(&self.host, "systemctl", &["start", "irqbalance"]).map(drop)
            }
            Step::File { .. } => Ok(()),
        }
    }
}

/// What a file of the kernel holds, on one line.
fn value(host: &ThisHost, path: &str) -> Option<String> {
    Some(host.text(path)?.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Writes a value in one call, as these files want it, and never makes a file.
fn write_value(host: &ThisHost, path: &str, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).truncate(!host.is_real());
    options.open(host.at(path))?.write_all(format!("{value}\n").as_bytes())
}

/// Whether two texts are one value for the kernel.
fn same(path: &str, a: &str, b: &str) -> bool {
    if path.ends_with("_cpus") { nic::same_mask(a, b) } else { a == b }
}

#[cfg(test)]
mod tests;
