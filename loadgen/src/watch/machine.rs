//! Where and how a run is made.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::result::Environment;

/// Everything that is known before a run begins.
pub(crate) fn environment(load_cpus: &[usize], server: Option<u32>) -> Environment {
    let name = rustix::system::uname();
    let lossy = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let kernel = [lossy(name.sysname()), lossy(name.release()), lossy(name.machine())].join(" ");
    let first = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.map(|rest| rest.trim_start_matches([':', '\t', ' ']).trim().to_owned())
    };
    let memory = first("/proc/meminfo", "MemTotal:").unwrap_or_default();
    let kib: u64 = memory.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
    let online = first("/sys/devices/system/cpu/online", "");
    let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit(),
        started_unix_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |t| t.as_secs_f64()),
        kernel,
        cpu: first("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        cpus: online.map_or(0, |list| parse_cpus(&list).len()),
        memory_bytes: kib * 1024,
        congestion_control: congestion.ok().map(|text| text.trim().to_owned()),
        load_cpus: load_cpus.to_vec(),
        server_cpus: server.and_then(allowed_cpus),
        command: std::env::args().collect(),
        processes: 1,
    }
}

/// CPUs that a process may run on.
pub(crate) fn allowed_cpus(pid: u32) -> Option<Vec<usize>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(parse_cpus(line.trim()))
}

/// Reads a list like `0,2-3`; what is no number is left out.
pub(crate) fn parse_cpus(list: &str) -> Vec<usize> {
    let part = |part: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last && last < 4096).then_some(first..=last)
    };
    list.trim().split(',').filter_map(part).flatten().collect()
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).filter(|text| !text.is_empty())?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}+") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_cpus("0,2-4"), [0, 2, 3, 4]);
        assert_eq!(parse_cpus("3-1,x,7\n"), [7]);
        assert!(!allowed_cpus(std::process::id()).expect("own status").is_empty());
    }
}
