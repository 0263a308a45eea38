//! How many people a second can connect, say `hi` and join a channel.

use anyhow::Result;
use tutti_perf::poller::own_cpu_ns;
use tutti_perf::process;

use crate::fleet::{Discard, Fleet};
use crate::outcome::Outcome;

/// `connections` peers in channels of `per_channel`, all channels filling at the same pace, after a
/// tenth as many in channels of their own for warm-up.
pub(crate) fn run(
    fleet: &mut Fleet,
    connections: usize,
    per_channel: usize,
    pid: Option<u32>,
) -> Result<Outcome> {
    let warm = connections.div_ceil(10);
    let warm_channels = warm.div_ceil(per_channel);
    let channels = connections.div_ceil(per_channel);
    let channel_of = |peer: usize| match peer.checked_sub(warm) {
        None => peer % warm_channels,
        Some(peer) => warm_channels + peer % channels,
    };
    fleet.grow(warm, channel_of, &mut Discard)?;
    fleet.linger(0.2, &mut Discard)?;
    let cpu = || pid.map(process::cpu_ns).transpose();
    let (start_us, own_ns, cpu_start) = (fleet.clock.now_us(), own_cpu_ns(), cpu()?);
    fleet.grow(warm + connections, channel_of, &mut Discard)?;
    let seconds = (fleet.clock.now_us() - start_us) as f64 / 1e6;
    let mut outcome = Outcome::new("join");
    outcome.put("connections", connections);
    outcome.put("per_channel", per_channel);
    outcome.put_rounded("joins_per_s", connections as f64 / seconds, 0);
    if let Some((end, start)) = cpu()?.zip(cpu_start) {
        let cpu_us = (end - start) as f64 / 1000.0;
        outcome.put_rounded("server_us_per_join", cpu_us / connections as f64, 1);
        outcome.put_rounded("server_busy", cpu_us / 1e6 / seconds, 3);
    }
    let busy = (own_cpu_ns() - own_ns) as f64 / 1e9 / seconds;
    outcome.put_rounded("load_busy", busy, 3);
    outcome.put("load_was_the_limit", busy > 0.9);
    Ok(outcome)
}
