//! Is this host fit for this configuration: what `tutti check` shows, and what a start asks before it begins.
//!
//! All that is known of the host comes through [`Host`], so the tests can be any host.

mod descriptors;
mod host;
mod io_uring;
mod settings;

pub use descriptors::{cap_connections, descriptors_needed, raise_descriptors};
pub use host::{Host, Limit, ThisHost};
pub use io_uring::{Refusal, RingFailure, probe_io_uring};
pub use settings::{Demand, SETTINGS, Scope, Setting, Standing, Strange, Wanted, hidden};

use crate::config::{Config, Data};
use serde::Serialize;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// How bad a finding is. In this order, so the worst is the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Fit.
    Ok,
    /// It will run, but worse or less safely than it could.
    Warn,
    /// It cannot run.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// What is worse for people while it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<&'static str>,
    /// The command or setting that helps, where something does.
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding at that level.
    pub(crate) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Finding { name, level: Level::Ok, detail: detail.into(), effect: None, remedy: None }
    }

    /// A finding at that level.
    pub(crate) fn warn(
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Finding {
            name,
            level: Level::Warn,
            detail: detail.into(),
            effect: None,
            remedy: Some(remedy.into()),
        }
    }

    /// A finding at that level.
    pub(crate) fn fail(
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Finding {
            name,
            level: Level::Fail,
            detail: detail.into(),
            effect: None,
            remedy: Some(remedy.into()),
        }
    }
}

impl Finding {
    pub(crate) fn with_effect(self, effect: &'static str) -> Self {
        Finding { effect: Some(effect), ..self }
    }
}

impl fmt::Display for Finding {
    /// One line for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)?;
        for more in [self.effect, self.remedy.as_deref()].into_iter().flatten() {
            write!(f, "; {more}")?;
        }
        Ok(())
    }
}

/// All findings, in the order in which they matter to a reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

/// Why the server cannot start on this host as it is configured; the exit code is 78.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{detail}; {remedy}")]
pub struct Unfit {
    /// What was found.
    pub detail: String,
    /// What to change.
    pub remedy: String,
}

impl Report {
    /// Looks at everything.
    #[must_use]
    pub fn new(config: &Config, host: &dyn Host) -> Self {
        let mut findings = vec![io_uring(host)];
        findings.extend(cpus(config, host));
        findings.push(descriptors::check(config, host));
        findings.extend(kernel(&Demand::new(config, None), host));
        findings.extend(addresses(config, host));
        findings.push(data(config, host));
        for warning in config.warnings() {
            let (detail, remedy) = warning.split_once("; ").unwrap_or((&warning, "none needed"));
            findings.push(Finding::warn("configuration", detail, remedy));
        }
        Report { findings }
    }

    /// The report on a configuration that is not one.
    #[must_use]
    pub fn of_error(error: &crate::config::ConfigError) -> Self {
        let remedy = "tutti config --default shows every key";
        Report { findings: vec![Finding::fail("configuration", error.to_string(), remedy)] }
    }

    /// The worst level found.
    #[must_use]
    pub fn level(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    /// 0 when all is well, 1 with warnings, 2 when the server cannot run.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.level() as u8
    }

    /// The report as one JSON object: `level` and `findings`.
    #[must_use]
    pub fn json(&self) -> String {
        let report = serde_json::json!({ "level": self.level(), "findings": self.findings });
        format!("{report:#}\n")
    }
}

impl fmt::Display for Report {
    /// Writes a line a finding, in columns, with the remedy on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
        for Finding { name, level, detail, effect, remedy } in &self.findings {
            writeln!(f, "{level:<4}  {name:<width$}  {detail}")?;
            if let Some(effect) = effect {
                writeln!(f, "{:<4}  {:<width$}  {effect}", "", "")?;
            }
            if let Some(remedy) = remedy {
                writeln!(f, "{:<4}  {:<width$}  -> {remedy}", "", "")?;
            }
        }
        Ok(())
    }
}

/// What a start asks first: everything without which it cannot work. `listens` says that somebody else has opened the
/// listeners already.
///
/// # Errors
/// The first finding that is a failure, with what to change.
pub fn ready_to_start(config: &Config, host: &dyn Host, listens: bool) -> Result<(), Unfit> {
    let findings = std::iter::once(io_uring(host))
        .chain(cpus(config, host))
        .chain(addresses(config, host).into_iter().filter(|f| !(listens && f.name == "listen")))
        .chain(std::iter::once(data(config, host)));
    for finding in findings {
        if finding.level == Level::Fail {
            let remedy = finding.remedy.unwrap_or_default();
            return Err(Unfit { detail: format!("{}: {}", finding.name, finding.detail), remedy });
        }
    }
    Ok(())
}

fn io_uring(host: &dyn Host) -> Finding {
    match probe_io_uring(host) {
        Ok(()) => Finding::ok("io_uring", format!("works (kernel {})", host::release(host))),
        Err(refusal) => Finding::fail("io_uring", refusal.to_string(), refusal.remedy()),
    }
}

fn cpus(config: &Config, host: &dyn Host) -> Vec<Finding> {
    let allowed = host.allowed_cpus();
    let missing: Vec<_> =
        config.cpus.iter().copied().filter(|cpu| !allowed.contains(cpu)).collect();
    let pinned = if missing.is_empty() {
        Finding::ok("cpus", format!("{} of {} usable ones", list(&config.cpus), list(&allowed)))
    } else {
        let detail =
            format!("CPU {} does not exist or is not allowed for this process", list(&missing));
        Finding::fail("cpus", detail, format!("use some of these: --cpus {}", list(&allowed)))
    };
    let (shards, cpus) = (usize::from(config.shards), config.cpus.len());
    let shards = if shards > cpus {
        let detail = format!("{shards} shards take turns on {cpus} CPUs");
        Finding::warn("shards", detail, format!("--shards {cpus}, or --shards auto"))
    } else {
        Finding::ok("shards", format!("{shards} on {cpus} CPUs"))
    };
    vec![pinned, shards]
}

fn list(cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cpus;
    while let [first, ..] = rest {
        let run =
            rest.iter().zip(*first..).take_while(|(cpu, expected)| **cpu == *expected).count();
        let (range, after) = rest.split_at(run);
        let comma = if text.is_empty() { "" } else { "," };
        text += &match range {
            [first, .., last] => format!("{comma}{first}-{last}"),
            _ => format!("{comma}{first}"),
        };
        rest = after;
    }
    text
}

/// The kernel's settings and how much of TCP's memory is in use.
#[must_use]
pub fn kernel(demand: &Demand, host: &dyn Host) -> Vec<Finding> {
    let mut findings = settings::findings(demand, host);
    findings.push(tcp_memory(host));
    findings
}

/// What a start says of the kernel's settings: those that fall short, with the effect.
#[must_use]
pub fn shortfalls(config: &Config, host: &dyn Host) -> Vec<Finding> {
    let mut findings = kernel(&Demand::new(config, None), host);
    findings.retain(|finding| finding.level > Level::Ok);
    findings
}

/// Pages that all TCP buffers take, against where the kernel begins to press for less.
fn tcp_memory(host: &dyn Host) -> Finding {
    const NAME: &str = "tcp memory";
    let used = host.text("/proc/net/sockstat").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("TCP:"))?;
        let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
        words.nth(1)?.parse::<u64>().ok()
    });
    let limits = host.text("/proc/sys/net/ipv4/tcp_mem").and_then(|text| {
        let limits: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        <[u64; 3]>::try_from(limits.ok()?).ok()
    });
    match (used, limits) {
        // From 70 % on, a busy evening gets there.
        (Some(used), Some([_, pressure, max])) if used >= pressure.saturating_mul(7) / 10 => {
            let detail =
                format!("{used} pages in use, the kernel presses for less from {pressure}");
            let (half, twice) = (max.saturating_add(max / 2), max.saturating_mul(2));
            let more = format!("sysctl -w net.ipv4.tcp_mem=\"{max} {half} {twice}\"");
            Finding::warn(NAME, detail, more).with_effect("under pressure everybody stalls")
        }
        (Some(used), Some([_, pressure, _])) => {
            Finding::ok(NAME, format!("{used} pages in use, pressure from {pressure}"))
        }
        _ => Finding::ok(NAME, "not told by this kernel"),
    }
}

fn addresses(config: &Config, host: &dyn Host) -> Vec<Finding> {
    let listen = config.listen.iter().map(|address| ("listen", address));
    let admin = config.admin_listen.iter().map(|address| ("admin.listen", address));
    listen.chain(admin).map(|(name, address)| bindable(name, *address, host)).collect()
}

fn bindable(name: &'static str, address: SocketAddr, host: &dyn Host) -> Finding {
    let port = address.port();
    let Err(error) = host.bind(address) else {
        return Finding::ok(name, format!("{address} is free"));
    };
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("see who has it with `ss -ltnp 'sport = :{port}'`, or choose another address")
        }
        io::ErrorKind::PermissionDenied => format!(
            "choose a port from 1024, or `sysctl -w net.ipv4.ip_unprivileged_port_start={port}`, or give the program \
             CAP_NET_BIND_SERVICE"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "choose an address that `ip address` shows, or 0.0.0.0".to_owned()
        }
        _ => "choose another address".to_owned(),
    };
    Finding::fail(name, format!("cannot listen on {address}: {error}"), remedy)
}

fn data(config: &Config, host: &dyn Host) -> Finding {
    let Data::Dir(dir) = &config.data else { return Finding::ok("data", "in memory") };
    let shown = dir.display();
    match host.writable(dir) {
        Ok(()) => Finding::ok("data", format!("{shown} is writable")),
        Err(error) => Finding::fail(
            "data",
            format!("cannot write in {shown}: {error}"),
            "make the directory writable for this user, or choose another with --data",
        ),
    }
}

#[cfg(test)]
mod tests;
