//! Members who do nothing: what they cost in memory and CPU.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tutti_perf::poller::own_cpu_ns;
use tutti_perf::process;

use crate::fleet::{Discard, Fleet};
use crate::outcome::Outcome;

/// Seconds after the last join before memory is read, so that nothing is on the way any more.
const SETTLE_S: f64 = 1.5;

/// Connects up to each of `steps` (ascending), `per_channel` to a channel, and reads the server's
/// memory there; at the first step its CPU over `cpu_s` seconds too, while pings are answered.
pub(crate) fn run(
    fleet: &mut Fleet,
    steps: &[usize],
    per_channel: usize,
    cpu_s: f64,
    pid: u32,
) -> Result<Outcome> {
    let mut outcome = Outcome::new("idle");
    let before = process::memory(pid).context("the server's memory")?;
    let slab_before = process::slab_bytes()?;
    outcome.put("rss_before_bytes", before.rss);
    let mut rows = Vec::new();
    let mut previous = (0, before.rss);
    for (i, &step) in steps.iter().enumerate() {
        // Channels fill one after the other, so that every step leaves full channels behind.
        fleet.grow(step, |peer| peer / per_channel, &mut Discard)?;
        fleet.linger(SETTLE_S, &mut Discard)?;
        let memory = process::memory(pid)?;
        let slab = process::slab_bytes()?;
        let rss = memory.rss.saturating_sub(before.rss) as f64 / step as f64;
        let anon = memory.anon.saturating_sub(before.anon) as f64 / step as f64;
        let added =
            memory.rss.saturating_sub(previous.1) as f64 / (step - previous.0).max(1) as f64;
        // Both ends of every connection are on this machine.
        let slab = slab.saturating_sub(slab_before) as f64 / step as f64 / 2.0;
        eprintln!(
            "  {step} members: {rss:.0} B of RSS each, {added:.0} B for each of the last ones"
        );
        outcome.put_rounded(&format!("rss_per_connection_{step}"), rss, 0);
        rows.push(json!({
            "connections": step,
            "rss_per_connection": rss.round(),
            "anon_per_connection": anon.round(),
            "rss_per_added_connection": added.round(),
            "slab_per_socket": slab.round(),
        }));
        previous = (step, memory.rss);
        if i == 0 && cpu_s > 0.0 {
            let (pings, own_ns, cpu_ns) = (fleet.pings, own_cpu_ns(), process::cpu_ns(pid)?);
            let start_us = fleet.clock.now_us();
            fleet.linger(cpu_s, &mut Discard)?;
            let seconds = (fleet.clock.now_us() - start_us) as f64 / 1e6;
            let busy = (process::cpu_ns(pid)? - cpu_ns) as f64 / 1e9 / seconds;
            outcome.put("cpu_connections", step);
            outcome.put_rounded("cpu_seconds", seconds, 1);
            outcome.put_rounded("cpu_percent", busy * 100.0, 3);
            outcome.put("pings_answered", fleet.pings - pings);
            let load_busy = (own_cpu_ns() - own_ns) as f64 / 1e9 / seconds;
            outcome.put_rounded("load_busy", load_busy, 3);
        }
    }
    outcome.put("closed", fleet.closed.values().sum::<u64>());
    outcome.put("steps", Value::Array(rows));
    Ok(outcome)
}
