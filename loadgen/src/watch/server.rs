//! The server as the kernel sees it: by process, or by control group.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::process;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// Its process.
    pub(crate) pid: Option<u32>,
    /// Its control group (a folder of the v2 hierarchy), which counts the processes in it together.
    pub(crate) cgroup: Option<PathBuf>,
    /// Where its metrics are (`http://HOST:PORT/PATH`).
    pub(crate) metrics: Option<String>,
}

/// What was read at one moment. CPU times and switches only ever grow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) cpu_ns: u64,
    pub(crate) waited_ns: u64,
    pub(crate) rss: u64,
    pub(crate) anon: u64,
    pub(crate) threads: usize,
    pub(crate) descriptors: Option<u64>,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
}

impl Watched {
    /// Whether there is a process or control group to read.
    pub(crate) fn is_readable(&self) -> bool {
        self.pid.is_some() || self.cgroup.is_some()
    }

    /// Reads everything; `None` when there is nothing to watch.
    ///
    /// # Errors
    /// When the process or group is gone or may not be read.
    pub(crate) fn sample(&self) -> Result<Option<Sample>> {
        if let Some(group) = &self.cgroup {
            let sample = of_group(group);
            let help = "is it a folder of the v2 hierarchy, such as /sys/fs/cgroup/system.slice/tutti.service?";
            return sample
                .map(Some)
                .with_context(|| format!("--cgroup {}: {help}", group.display()));
        }
        let Some(pid) = self.pid else { return Ok(None) };
        of_process(pid).map(Some).with_context(|| format!("--pid {pid}: the server's process"))
    }
}

fn of_process(pid: u32) -> io::Result<Sample> {
    let memory = process::memory(pid)?;
    let (voluntary_switches, involuntary_switches) = process::switches(pid)?;
    Ok(Sample {
        cpu_ns: process::cpu_ns(pid)?,
        waited_ns: process::run_queue_wait_ns(pid)?,
        rss: memory.rss,
        anon: memory.anon,
        threads: process::threads(pid)?,
        descriptors: process::descriptors(pid).ok(),
        voluntary_switches,
        involuntary_switches,
    })
}

fn of_group(group: &Path) -> io::Result<Sample> {
    let number = |file: &str, name: &str| -> io::Result<u64> {
        let text = fs::read_to_string(group.join(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0))
    };
    let mut sample = Sample {
        cpu_ns: number("cpu.stat", "usage_usec ")? * 1000,
        rss: number("memory.current", "")?,
        anon: number("memory.stat", "anon ")?,
        ..Sample::default()
    };
    for pid in fs::read_to_string(group.join("cgroup.procs"))?.lines() {
        let Ok(pid) = pid.parse() else { continue };
        // One that has ended meanwhile is left out.
        let Ok(of_one) = of_process(pid) else { continue };
        sample.threads += of_one.threads;
        sample.waited_ns += of_one.waited_ns;
        sample.voluntary_switches += of_one.voluntary_switches;
        sample.involuntary_switches += of_one.involuntary_switches;
        if let Some(n) = of_one.descriptors {
            *sample.descriptors.get_or_insert(0) += n;
        }
    }
    Ok(sample)
}
