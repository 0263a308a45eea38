//! `tutti tune check`: what falls short, and what only a person can do about it. Changes nothing.

use super::{Outcome, Shown, Tuner, service};
use crate::check::{Finding, Host as _, kernel};

impl Tuner<'_> {
    pub(super) fn check(mut self) -> Outcome {
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
    pub(super) fn advise(&mut self) {
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
}

/// How many CPUs a list as `0-3,8` names.
fn count_cpus(list: &str) -> usize {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.fold(0, usize::saturating_add)
}
