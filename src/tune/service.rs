//! What the service has or will get, which is not what the shell has in which somebody asks.

use super::files::{bytes_or_count, unit_limit};
use crate::check::{Demand, Finding, Host as _, Level, ThisHost};

/// Whether a name can be that of a unit.
pub(super) fn is_unit(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":_.@-\\".contains(c);
    name.len() < 256
        && name.ends_with(".service")
        && name.chars().all(plain)
        && !name.starts_with('.')
}

/// The limits of a running process, from `/proc/PID/limits`.
pub(super) fn of_process(host: &ThisHost, demand: &Demand, pid: u32) -> Vec<Finding> {
    let Some(text) = host.text(&format!("/proc/{pid}/limits")) else {
        let remedy = "pidof tutti, or systemctl show -p MainPID tutti";
        return vec![Finding::fail("service", format!("there is no process {pid}"), remedy)];
    };
    let limit = |name: &str| {
        // `Max open files            1024                 524288               files`
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        // The soft one is in force, and the server has raised it as far as it could.
        bytes_or_count(line.split_whitespace().next()?)
    };
    let source = format!("process {pid}");
    let mut findings: Vec<Finding> = limits(demand, &source, limit).collect();
    // What a running process has, a restart alone changes.
    for finding in findings.iter_mut().filter(|finding| finding.level > Level::Ok) {
        finding.remedy = finding.remedy.take().map(|remedy| format!("{remedy}, and a restart"));
    }
    findings
}

/// The limits that a unit gives: what systemd says, else what its files say.
pub(super) fn of_unit(host: &ThisHost, demand: &Demand, unit: &str) -> Vec<Finding> {
    let properties = "MainPID,LimitNOFILE,LimitMEMLOCK,LoadState";
    let told = super::program(host, "systemctl", &["show", unit, "-p", properties]).ok();
    let property = |name: &str| {
        let line = told.as_deref()?.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.strip_prefix('=')?.trim().to_owned())
    };
    if property("LoadState").as_deref() == Some("loaded") {
        let limit = |name: &str| bytes_or_count(&property(name)?);
        let by_name = |name: &str| match name {
            "Max open files" => limit("LimitNOFILE"),
            _ => limit("LimitMEMLOCK"),
        };
        let source = format!("{unit} (systemctl show)");
        let mut findings: Vec<Finding> = limits(demand, &source, by_name).collect();
        match property("MainPID").and_then(|pid| pid.parse().ok()) {
            Some(0) | None => {}
            Some(pid) => findings.extend(of_process(host, demand, pid)),
        }
        return findings;
    }
    let mut findings = Vec::new();
    for (limit, name) in [("LimitNOFILE", "Max open files"), ("LimitMEMLOCK", "Max locked memory")]
    {
        if let Some((path, set)) = unit_limit(host, unit, limit) {
            findings.extend(limits(demand, &path, |asked| (asked == name).then_some(set)));
        }
    }
    findings
}

/// A finding for each limit that is known.
fn limits(
    demand: &Demand,
    source: &str,
    limit: impl Fn(&str) -> Option<Option<u64>>,
) -> impl Iterator<Item = Finding> {
    [
        ("service files", "Max open files", "LimitNOFILE", demand.descriptors),
        ("service memlock", "Max locked memory", "LimitMEMLOCK", demand.locked_bytes),
    ]
    .into_iter()
    .filter_map(move |(name, asked, key, needed)| {
        Some(match limit(asked)? {
            None => Finding::ok(name, format!("{key} of {source} is unlimited")),
            Some(set) if set >= needed => {
                Finding::ok(name, format!("{key} of {source} is {set}, wanted is {needed}"))
            }
            Some(set) => {
                let detail = format!("{key} of {source} is {set}, wanted is {needed}");
                Finding::warn(name, detail, format!("tutti tune apply, or {key}={needed}"))
                    .with_effect("the server admits fewer connections, or does not start")
            }
        })
    })
    .collect::<Vec<_>>()
    .into_iter()
}
