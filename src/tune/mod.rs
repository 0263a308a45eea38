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
//! Reading order: `mod` (the three actions), `state`, `files`, `nic`, `service`.

mod files;
mod nic;
mod service;
mod state;

use crate::check::{Demand, Finding, Host as _, Level, Report, Scope, ThisHost, hidden, kernel};
use crate::config::Config;
use files::{Desired, Found};
use serde::Serialize;
use state::{Changed, Lock, Queues, State};
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

    // --- check ------------------------------------------------------------------------------------------------------

    fn check(mut self) -> Outcome {
        self.findings = kernel(&self.demand, &self.host);
        if let Some(pid) = self.options.pid {
            self.findings.extend(service::of_process(&self.host, &self.demand, pid));
        } else {
            self.findings.extend(service::of_unit(&self.host, &self.demand, &self.options.unit));
        }
        let (steps, findings) = self.nic();
        self.findings.extend(findings);
        for step in steps {
            let Shown { what, target, before, after } = step.shown();
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            let detail = format!("{target} is {before}, wanted is {after}");
            let remedy = "tutti tune apply with the same --nic";
            self.findings.push(Finding::warn(what, detail, remedy).with_effect(
                "one CPU takes the packets of all shards, which is a limit before they are",
            ));
        }
        self.advise();
        self.outcome()
    }

    /// What only a person can do.
    fn advise(&mut self) {
        let mut advise = |name, detail: &str, remedy: String| {
            let mut finding = Finding::ok(name, detail);
            finding.remedy = Some(remedy);
            self.findings.push(finding);
        };
        let cmdline = self.host.text("/proc/cmdline").unwrap_or_default();
        let all = self.host.text("/sys/devices/system/cpu/online").unwrap_or_default();
        let cpus = self.config.cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        // On CPUs that are all the shards' there is none left for the rest of the system.
        let dedicated = !all.trim().is_empty() && count_cpus(&all) > self.config.cpus.len();
        if dedicated && !cmdline.contains("isolcpus=") {
            advise(
                "boot",
                "for the last percent of latency, CPUs can be the shards' alone; never changed from here",
                format!("kernel command line: isolcpus={cpus} nohz_full={cpus} rcu_nocbs={cpus}"),
            );
        }
        let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        if let Some(governor) =
            self.host.text(governor).filter(|governor| governor.trim() != "performance")
        {
            let detail = format!("the CPUs' governor is {}", governor.trim());
            advise("governor", &detail, "cpupower frequency-set -g performance".to_owned());
        }
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

    // --- apply ------------------------------------------------------------------------------------------------------

    fn apply(mut self) -> Result<Outcome, TuneError> {
        let mut state = State::read(&self.host)?;
        state.forget_other_boots(&self.boot);
        // A file that is somebody's ends it before anything is changed: what is set now would be lost at the next boot.
        let sysctl_path = files::sysctl(&[]).path;
        if let Found::Foreign(why) = files::look(&self.host, &sysctl_path)
            && !self.options.force
        {
            let detail = format!("{sysctl_path} {why}");
            let remedy = "look at it, and take it away or use --force; nothing was changed";
            self.findings.push(Finding::fail("files", detail, remedy));
            return Ok(self.outcome());
        }
        let mut steps = self.plan();
        if self.options.dry_run {
            // As if all of it had been done.
            for step in &steps {
                self.note(&mut state, step);
            }
            self.done = steps;
            for desired in self.desired(&state, true) {
                self.settle_file(&mut state, &desired);
            }
            self.advise();
            return Ok(self.outcome());
        }
        // New queues have interrupts and masks of their own, which are seen only when they are there.
        let is_queues = |step: &Step| matches!(step, Step::Queues { .. });
        if let Some(queues) = steps.iter().find(|step| is_queues(step)).cloned() {
            self.findings.clear();
            self.carry_out(&mut state, vec![queues])?;
            steps = self.plan();
            steps.retain(|step| !is_queues(step));
        }
        self.carry_out(&mut state, steps)?;
        for desired in self.desired(&state, false) {
            self.settle_file(&mut state, &desired);
        }
        state.save(&self.host)?;
        if self
            .done
            .iter()
            .any(|step| matches!(step, Step::File { path, .. } if path.contains("/systemd/")))
        {
            let detail = format!("limits of {} hold from its next start", self.options.unit);
            let mut finding = Finding::ok("service", detail);
            let unit = &self.options.unit;
            finding.remedy = Some(format!("systemctl daemon-reload && systemctl restart {unit}"));
            self.findings.push(finding);
        }
        self.advise();
        Ok(self.outcome())
    }

    /// Writes down what is to be changed, and changes it.
    fn carry_out(&mut self, state: &mut State, steps: Vec<Step>) -> Result<(), TuneError> {
        for step in &steps {
            self.note(state, step);
        }
        state.save(&self.host)?;
        for step in steps {
            match self.make(&step) {
                Ok(()) => {
                    self.read_back(state, &step);
                    self.done.push(step);
                }
                Err(error) => self.failed(state, &step, &error),
            }
        }
        Ok(())
    }

    /// What is left to do, without the files.
    fn plan(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (setting, found, mut better, lowers) in files::short(&self.host, &self.demand) {
            let withheld = if lowers && !self.options.force {
                Some("it would be lowered; --force does")
            } else if setting.scope == Scope::Module && !self.options.conntrack {
                Some("the firewall's table is changed only with --conntrack")
            } else {
                None
            };
            if let Some(why) = withheld {
                let detail = format!("{} is {found}, wanted is {better}", setting.key);
                let finding = Finding::warn(setting.name, detail, why);
                self.findings.push(finding.with_effect(setting.effect));
                continue;
            }
            if let Some(larger) = files::larger_elsewhere(&self.host, setting.key, &better) {
                better = larger;
            }
            let path = setting.path();
            steps.push(Step::Value { what: "setting", path, before: found, after: better });
        }
        if let Some(mut hidden) = hidden(&self.demand, &self.host) {
            let place = if self.is_in_container() { "this container" } else { "this namespace" };
            hidden.detail = hidden.detail.replacen("here", place, 1);
            hidden.level = Level::Warn;
            self.findings.push(hidden);
        }
        let (nic, findings) = self.nic();
        self.findings.extend(findings.into_iter().filter(|finding| finding.level > Level::Ok));
        steps.extend(nic);
        steps
    }

    /// Writes down what a step is about to change.
    fn note(&self, state: &mut State, step: &Step) {
        match step {
            Step::Value { path, before, after, .. } => {
                // What was there before the first of our changes, as long as it is still our value that is changed.
                let known = state.of(path).filter(|changed| same(path, &changed.after, before));
                let before = known.map_or_else(|| before.clone(), |changed| changed.before.clone());
                state.values.retain(|changed| changed.path != *path);
                state.values.push(Changed {
                    path: path.clone(),
                    before,
                    after: after.clone(),
                    boot: self.boot.clone(),
                });
            }
            Step::Queues { nic, before, after } => {
                let known =
                    state.queues.iter().find(|known| known.nic == *nic && known.after == *before);
                let before = known.map_or(*before, |known| known.before);
                state.queues.retain(|known| known.nic != *nic);
                let boot = self.boot.clone();
                state.queues.push(Queues { nic: nic.clone(), before, after: *after, boot });
            }
            Step::StopIrqbalance => state.irqbalance_stopped = Some(self.boot.clone()),
            Step::StartIrqbalance | Step::File { .. } => {}
        }
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

    /// The kernel may keep a value in another form, or less than it was given.
    fn read_back(&mut self, state: &mut State, step: &Step) {
        let Step::Value { what, path, after, .. } = step else { return };
        let Some(now) = value(&self.host, path) else { return };
        if !same(path, &now, after) {
            let target = step.shown().target;
            let detail = format!("{target} was given {after}, and the kernel made {now} of it");
            self.findings.push(Finding::warn(
                what,
                detail,
                "that is the kernel's own limit; a smaller --conns may fit",
            ));
        }
        if let Some(changed) = state.values.iter_mut().find(|changed| changed.path == *path) {
            changed.after = now;
        }
    }

    fn failed(&mut self, state: &mut State, step: &Step, error: &io::Error) {
        let Shown { what, target, after, .. } = step.shown();
        let after = after.unwrap_or_default();
        let remedy = match step {
            Step::Value { path, .. } if state::is_setting(path) && self.is_in_container() => {
                format!(
                    "docker run --sysctl {target}={after}, or on the host sysctl -w {target}=\"{after}\""
                )
            }
            Step::Value { path, .. } if state::is_setting(path) => {
                format!("sysctl -w {target}=\"{after}\"")
            }
            Step::Value { path, .. } => format!("echo {after} > {path}"),
            Step::Queues { nic, .. } => format!("ethtool -L {nic} combined {after}"),
            _ => "systemctl stop irqbalance".to_owned(),
        };
        let detail = format!("{target} cannot be set to {after}: {error}");
        // Interrupts that the driver manages itself refuse it; that is no failure of the whole.
        let finding = if what == "irq" || self.is_in_container() {
            Finding::warn(what, detail, remedy)
        } else {
            Finding::fail(what, detail, remedy)
        };
        self.findings.push(finding);
        match step {
            Step::Value { path, before, .. } => {
                // An older note of the same value stays: it is what has to be put back.
                state.values.retain(|changed| {
                    changed.path != *path || !same(path, &changed.before, before)
                });
                if let Some(changed) = state.values.iter_mut().find(|c| c.path == *path) {
                    changed.after.clone_from(before);
                }
            }
            Step::Queues { nic, .. } => state.queues.retain(|known| known.nic != *nic),
            Step::StopIrqbalance => state.irqbalance_stopped = None,
            Step::StartIrqbalance | Step::File { .. } => {}
        }
    }

    /// The files as they should be. Settings that are no longer as we left them are no longer ours to set at boot: an
    /// operator's larger value would come back smaller. With `planned` they count as done.
    fn desired(&mut self, state: &State, planned: bool) -> Vec<Desired> {
        let ours: Vec<(String, String)> = state
            .values
            .iter()
            .filter(|changed| state::is_setting(&changed.path))
            .filter(|changed| {
                let now = value(&self.host, &changed.path);
                let to_come = planned
                    && self.done.iter().any(
                        |step| matches!(step, Step::Value { path, .. } if *path == changed.path),
                    );
                to_come || now.is_some_and(|now| same(&changed.path, &now, &changed.after))
            })
            .filter_map(|changed| Some((files::key_of(&changed.path)?, changed.after.clone())))
            .collect();
        self.findings.extend(files::undone_at_boot(&self.host, &ours));
        let drop_in = files::drop_in(&self.host, &self.demand, &self.options.unit);
        std::iter::once(files::sysctl(&ours)).chain(drop_in).collect()
    }

    /// Makes a file what it should be, when it is ours to write.
    fn settle_file(&mut self, state: &mut State, desired: &Desired) {
        let Desired { path, text } = desired;
        let found = files::look(&self.host, path);
        match (&found, text) {
            (Found::Nothing | Found::Foreign(_), None) => return,
            (Found::Ours(found), Some(text)) if found == text => return,
            (Found::Foreign(why), Some(_)) if !self.options.force => {
                let remedy = "look at it, and take it away or use --force";
                self.findings.push(Finding::warn("files", format!("{path} {why}"), remedy));
                return;
            }
            _ => {}
        }
        if !self.options.dry_run
            && let Err(error) = self.write_file(state, &found, path, text.as_deref())
        {
            let remedy = "what was set holds until the next boot; see to it, and apply again";
            self.findings.push(Finding::fail("files", error.to_string(), remedy));
            return;
        }
        self.done.push(Step::File { path: path.clone(), written: text.is_some() });
    }

    /// Writes or removes a file of ours, noting it first. Somebody's is put aside.
    fn write_file(
        &self,
        state: &mut State,
        found: &Found,
        path: &str,
        text: Option<&str>,
    ) -> Result<(), TuneError> {
        state.files.retain(|known| known != path);
        let Some(text) = text else { return files::remove(&self.host, path) };
        state.files.push(path.to_owned());
        state.save(&self.host)?;
        if matches!(found, Found::Foreign(_)) {
            files::put_aside(&self.host, path)?;
        }
        files::write(&self.host, path, text)
    }

    // --- revert -----------------------------------------------------------------------------------------------------

    fn revert(mut self) -> Result<Outcome, TuneError> {
        let mut state = State::read(&self.host)?;
        state.forget_other_boots(&self.boot);
        let mut left = state.clone();
        // Files first: a reboot in between then brings nothing back that is about to go.
        let usual = [files::sysctl(&[]).path, files::drop_in_path(&self.options.unit)];
        let unknown = usual.into_iter().filter(|path| !state.files.contains(path));
        for path in state.files.iter().cloned().chain(unknown) {
            let known = state.files.contains(&path);
            match files::look(&self.host, &path) {
                Found::Ours(_) => {
                    if !self.options.dry_run
                        && let Err(error) = files::remove(&self.host, &path)
                    {
                        let remedy = "see to it, and revert again";
                        self.findings.push(Finding::fail("files", error.to_string(), remedy));
                        continue;
                    }
                    self.done.push(Step::File { path: path.clone(), written: false });
                }
                Found::Foreign(why) if known => self.drift(&path, why),
                Found::Foreign(_) | Found::Nothing => {}
            }
            left.files.retain(|other| *other != path);
        }
        // Backwards, so that limits which contain each other go back in the order in which they came.
        for changed in state.values.iter().rev() {
            let step = Step::Value {
                what: if state::is_setting(&changed.path) { "setting" } else { "nic" },
                path: changed.path.clone(),
                before: changed.after.clone(),
                after: changed.before.clone(),
            };
            match value(&self.host, &changed.path) {
                None => self.drift(&step.shown().target, "is not there any more"),
                Some(now) if same(&changed.path, &now, &changed.after) => {
                    if !self.put_back(step) {
                        continue;
                    }
                }
                Some(now) if same(&changed.path, &now, &changed.before) => {}
                Some(now) => {
                    let ours = &changed.after;
                    let why = format!("is {now}, which is not ours ({ours}), and stays");
                    self.drift(&step.shown().target, &why);
                }
            }
            left.values.retain(|other| other.path != changed.path);
        }
        for Queues { nic, before, after, .. } in &state.queues {
            let step = Step::Queues { nic: nic.clone(), before: *after, after: *before };
            match nic::channels(&self.host, nic) {
                None => self.drift(nic, "does not tell its queues any more"),
                Some((_, now)) if now == *after => {
                    if !self.put_back(step) {
                        continue;
                    }
                }
                Some((_, now)) if now == *before => {}
                Some((_, now)) => {
                    let why =
                        format!("has {now} queues, which is not ours ({after}), and keeps them");
                    self.drift(nic, &why);
                }
            }
            left.queues.retain(|other| other.nic != *nic);
        }
        if state.irqbalance_stopped.is_some() && self.put_back(Step::StartIrqbalance) {
            left.irqbalance_stopped = None;
        }
        if !self.options.dry_run {
            left.save(&self.host)?;
        }
        Ok(self.outcome())
    }

    fn drift(&mut self, target: &str, what: &str) {
        let remedy = "none needed, if that was meant";
        self.findings.push(Finding::warn("drift", format!("{target} {what}"), remedy));
    }

    /// Whether a step back was made.
    fn put_back(&mut self, step: Step) -> bool {
        if !self.options.dry_run
            && let Err(error) = self.make(&step)
        {
            let Shown { what, target, after, .. } = step.shown();
            let after = after.unwrap_or_default();
            let detail = format!("{target} cannot be put back to {after}: {error}");
            self.findings.push(Finding::fail(what, detail, "see to it, and revert again"));
            return false;
        }
        self.done.push(step);
        true
    }
}

/// How many CPUs a list as `0-3,8` names.
fn count_cpus(list: &str) -> usize {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        Some(last.checked_sub(first)? + 1)
    });
    ranges.sum()
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
