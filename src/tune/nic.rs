//! A network card's queues: how many there are, whose interrupts go to which CPU, and which CPU takes what arrives.
//!
//! A card with a queue for each shard hands each shard's packets to that shard's CPU. One with fewer lets the kernel
//! spread packets instead (RPS), and to the CPU whose program reads them (RFS). Documentation/networking/scaling.rst
//! of the kernel describes all of it. What somebody has already chosen is left, except with `--force`.

use super::Step;
use crate::check::{Finding, Host as _, ThisHost};

/// Flows that the kernel remembers for RFS, as its documentation recommends for a busy server.
const FLOWS: u64 = 32_768;
pub(super) const FLOW_ENTRIES: &str = "/proc/sys/net/core/rps_sock_flow_entries";

/// What is wanted for a card.
pub(super) struct Plan<'a> {
    pub(super) nic: &'a str,
    /// The CPU of each shard.
    pub(super) shard_cpus: &'a [usize],
    /// All CPUs of the host that may be used.
    pub(super) all_cpus: &'a [usize],
    pub(super) force: bool,
    /// Whether irqbalance may be stopped.
    pub(super) stop_irqbalance: bool,
}

/// Whether a name can be that of a network card.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:@".contains(c);
    (1..=15).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

pub(super) fn is_ours_to_change(path: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["proc", "irq", irq, "smp_affinity_list"] => number(irq),
        ["sys", "class", "net", nic, "queues", queue, file] => {
            let queue = queue.strip_prefix("rx-").or_else(|| queue.strip_prefix("tx-"));
            is_name(nic)
                && queue.is_some_and(number)
                && ["rps_cpus", "rps_flow_cnt", "xps_cpus"].contains(file)
        }
        _ => false,
    }
}

/// The steps that are left to do for a card, and what cannot be done.
pub(super) fn plan(host: &ThisHost, plan: &Plan<'_>) -> (Vec<Step>, Vec<Finding>) {
    let Plan { nic, .. } = *plan;
    let (mut steps, mut findings) = (Vec::new(), Vec::new());
    let dir = format!("/sys/class/net/{nic}/queues");
    let queues = host.names(&dir);
    let count = |kind: &str| queues.iter().filter(|queue| queue.starts_with(kind)).count();
    let (mut rx, tx) = (count("rx-"), count("tx-"));
    if rx == 0 {
        let detail = format!("there is no network card {nic}");
        let names = host.names("/sys/class/net").join(", ");
        findings.push(Finding::fail("nic", detail, format!("--nic with one of: {names}")));
        return (steps, findings);
    }
    match channels(host, nic) {
        Some((most, now)) => {
            let wanted = most.min(plan.shard_cpus.len() as u32);
            if now < wanted {
                steps.push(Step::Queues { nic: nic.to_owned(), before: now, after: wanted });
                rx = wanted as usize;
            } else {
                let detail = format!("{nic} has {now} of {most} queues in use");
                findings.push(Finding::ok("queues", detail));
            }
        }
        None => {
            let detail = format!("{nic} does not tell how many it can have (ethtool -l {nic})");
            findings.push(Finding::ok("queues", detail));
        }
    }
    interrupts(host, plan, &mut steps, &mut findings);
    if rx < plan.shard_cpus.len() {
        spread(host, plan, rx, &mut steps);
    }
    if tx >= plan.shard_cpus.len() {
        for (n, cpu) in plan.shard_cpus.iter().enumerate() {
            let path = format!("{dir}/tx-{n}/xps_cpus");
            mask_step("xps", host, plan, path, &[*cpu], &mut steps);
        }
    }
    (steps, findings)
}

/// RPS and RFS.
fn spread(host: &ThisHost, plan: &Plan<'_>, rx: usize, steps: &mut Vec<Step>) {
    let others: Vec<usize> =
        plan.all_cpus.iter().copied().filter(|cpu| !plan.shard_cpus.contains(cpu)).collect();
    let cpus = if others.is_empty() { plan.all_cpus } else { &others };
    let at_least = |what: &'static str, path: String, wanted: u64| {
        let before = host.text(&path)?.trim().to_owned();
        let short = before.parse::<u64>().is_ok_and(|found| found < wanted);
        short.then(|| Step::Value { what, path, before, after: wanted.to_string() })
    };
    for n in 0..rx {
        let dir = format!("/sys/class/net/{}/queues/rx-{n}", plan.nic);
        mask_step("rps", host, plan, format!("{dir}/rps_cpus"), cpus, steps);
        let path = format!("{dir}/rps_flow_cnt");
        steps.extend(at_least("rfs", path, (FLOWS / rx as u64).next_power_of_two()));
    }
    steps.extend(at_least("rfs", FLOW_ENTRIES.to_owned(), FLOWS));
}

/// A mask that nobody has set yet is set; one that somebody has is theirs.
fn mask_step(
    what: &'static str,
    host: &ThisHost,
    plan: &Plan<'_>,
    path: String,
    cpus: &[usize],
    steps: &mut Vec<Step>,
) {
    let Some(before) = host.text(&path).map(|text| text.trim().to_owned()) else { return };
    let after = mask(cpus);
    if !same_mask(&before, &after) && (plan.force || same_mask(&before, "0")) {
        steps.push(Step::Value { what, path, before, after });
    }
}

/// The interrupt of queue n goes to the CPU of shard n.
fn interrupts(
    host: &ThisHost,
    plan: &Plan<'_>,
    steps: &mut Vec<Step>,
    findings: &mut Vec<Finding>,
) {
    let mut wanted = Vec::new();
    for (irq, queue) in irqs(host, plan.nic) {
        let cpu = plan.shard_cpus[queue % plan.shard_cpus.len()];
        let path = format!("/proc/irq/{irq}/smp_affinity_list");
        let Some(before) = host.text(&path).map(|text| text.trim().to_owned()) else { continue };
        if before == cpu.to_string() {
            continue;
        }
        // One CPU alone was chosen, by somebody or by the driver.
        if before.parse::<usize>().is_ok() && !plan.force {
            let detail = format!("interrupt {irq} goes to CPU {before}, wanted is {cpu}");
            findings.push(Finding::warn("irq", detail, "--force moves it"));
        } else {
            wanted.push(Step::Value { what: "irq", path, before, after: cpu.to_string() });
        }
    }
    if wanted.is_empty() {
        return;
    }
    if irqbalance_runs(host) {
        if !plan.stop_irqbalance {
            let detail = "irqbalance runs and would move the card's interrupts again".to_owned();
            let remedy = "add --irqbalance, which stops it until the next boot";
            findings.push(Finding::warn("irq", detail, remedy));
            return;
        }
        steps.push(Step::StopIrqbalance);
    }
    steps.extend(wanted);
}

fn irqbalance_runs(host: &ThisHost) -> bool {
    host.names("/proc").iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit())).any(|pid| {
        host.text(&format!("/proc/{pid}/comm")).is_some_and(|comm| comm.trim() == "irqbalance")
    })
}

/// Interrupts of a card's queues, with the number of the queue: the last number in the name that its driver gave.
fn irqs(host: &ThisHost, nic: &str) -> Vec<(u32, usize)> {
    let device = format!("/sys/class/net/{nic}/device");
    // A virtio card is a child of the device that has the interrupts.
    let mut numbers = host.names(&format!("{device}/msi_irqs"));
    if numbers.is_empty() {
        numbers = host.names(&format!("{device}/../msi_irqs"));
    }
    let interrupts = host.text("/proc/interrupts").unwrap_or_default();
    let mut found = Vec::new();
    for line in interrupts.lines() {
        let Some((irq, rest)) = line.split_once(':') else { continue };
        let Some(name) = rest.split_whitespace().last() else { continue };
        if !numbers.iter().any(|number| number == irq.trim()) || !is_queue(name) {
            continue;
        }
        let digits = name.trim_end_matches(|c: char| !c.is_ascii_digit());
        let begin = digits.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        if let (Ok(irq), Ok(queue)) = (irq.trim().parse(), digits[begin..].parse()) {
            found.push((irq, queue));
        }
    }
    found
}

/// Cards have interrupts for other things as well (`virtio0-config`, `mlx5_async`).
fn is_queue(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["txrx", "input", "output", "-rx", "-tx", "comp", "queue", "-q"]
        .iter()
        .any(|part| name.contains(part))
}

/// How many combined queues a card can have and has, as `ethtool -l` tells.
pub(super) fn channels(host: &ThisHost, nic: &str) -> Option<(u32, u32)> {
    let told = super::program(host, "ethtool", &["-l", nic]).ok()?;
    let combined = told.lines().filter_map(|line| line.trim().strip_prefix("Combined:"));
    let numbers: Vec<u32> = combined.filter_map(|number| number.trim().parse().ok()).collect();
    let [most, now] = numbers.try_into().ok()?;
    Some((most, now))
}

/// CPUs as the kernel writes them: hexadecimal, in groups of 32.
fn mask(cpus: &[usize]) -> String {
    let groups = cpus.iter().max().map_or(1, |max| max / 32 + 1);
    let mut words = vec![0u32; groups];
    for cpu in cpus {
        words[groups - 1 - cpu / 32] |= 1 << (cpu % 32);
    }
    let (first, rest) = words.split_first().expect("there is one group at least");
    rest.iter().fold(format!("{first:x}"), |text, word| format!("{text},{word:08x}"))
}

/// Whether two masks name the same CPUs; the kernel pads them with zeros.
pub(super) fn same_mask(a: &str, b: &str) -> bool {
    let plain = |mask: &str| {
        let digits: String = mask.trim().chars().filter(|c| *c != ',').collect();
        digits.trim_start_matches('0').to_ascii_lowercase()
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_written_as_the_kernel_reads_them() {
        for (cpus, text) in [
            (vec![0], "1"),
            (vec![0, 1, 5], "23"),
            (vec![31], "80000000"),
            (vec![32], "1,00000000"),
            (vec![0, 64], "1,00000000,00000001"),
        ] {
            assert_eq!(mask(&cpus), text);
            assert!(same_mask(&format!("00000000,{text}"), text), "{text}");
        }
        assert!(same_mask("00", "0") && !same_mask("1", "2") && !same_mask("10", "1"));
    }

    #[test]
    fn names_and_paths_of_others_are_not_ours() {
        assert!(is_name("eth0") && is_name("enp3s0f1.7") && is_name("v0"));
        for name in ["", "..", "a/b", "a b", "sixteen-letters-"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_ours_to_change("/sys/class/net/eth0/queues/rx-0/rps_cpus"));
        assert!(is_ours_to_change("/proc/irq/33/smp_affinity_list"));
        for path in [
            "/etc/shadow",
            "/proc/irq/../sys/smp_affinity_list",
            "/sys/class/net/../queues/rx-0/rps_cpus",
            "/sys/class/net/eth0/queues/rx-/rps_cpus",
            "/sys/class/net/eth0/queues/rx-0/uevent",
        ] {
            assert!(!is_ours_to_change(path), "{path}");
        }
    }
}
