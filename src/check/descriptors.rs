//! File descriptors: one for each connection and some for the server itself.

use super::Finding;
use super::host::{Host, Limit};
use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Descriptors of the process apart from shards and connections: standard streams, log, storage, admin peers.
const OF_PROCESS: u64 = 64;
/// Descriptors of a shard apart from connections and listeners: rings, wake-ups, and connections on their way.
const OF_SHARD: u64 = 32;

/// Descriptors that the server takes besides those of connections.
fn base(config: &Config) -> u64 {
    let listeners = config.listen.len() + usize::from(config.line.listen.is_some());
    let sockets = listeners as u64 + u64::from(config.quic.is_some());
    OF_PROCESS + u64::from(config.shards) * (OF_SHARD + sockets)
}

/// Connections of line chat, which counts its own.
fn terminals(config: &Config) -> u32 {
    config.line.listen.and(config.line.connections).unwrap_or(0)
}

/// Descriptors that the server takes besides those that `limits.connections` counts.
pub(super) fn own(config: &Config) -> u64 {
    base(config) + u64::from(terminals(config))
}

/// Descriptors that the server takes with all the connections that it may have; `None` for any number.
#[must_use]
pub fn descriptors_needed(config: &Config) -> Option<u64> {
    config.limits.connections.map(|connections| own(config) + u64::from(connections))
}

/// Raises the soft limit of descriptors to the hard one and returns what is then in force.
///
/// # Errors
/// The system's, which then leaves the limit as it was.
pub fn raise_descriptors() -> io::Result<Limit> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(Limit { soft: limit.maximum, hard: limit.maximum })
}

/// Lowers limits of connections to what the descriptors allow, so that admission refuses before the system does: line
/// chat to a tenth of them, the others to the rest. Returns the settings that were lowered, and to what.
pub fn cap_connections(config: &mut Config, descriptors: Limit) -> Vec<(&'static str, u32)> {
    let mut capped = Vec::new();
    let Some(soft) = descriptors.soft else { return capped };
    let free = u32::try_from(soft.saturating_sub(base(config))).unwrap_or(u32::MAX);
    let terminals = terminals(config);
    let connections = config.limits.connections;
    if connections.is_some_and(|it| it.saturating_add(terminals) <= free) {
        return capped;
    }
    if config.line.listen.is_some() {
        // Who lifts the limit altogether wants to see how far it goes.
        let fitting = (free / 10).max(1);
        if config.line.connections.is_some_and(|it| it > fitting) {
            config.line.connections = Some(fitting);
            capped.push(("line.connections", fitting));
        }
    }
    let fitting = free.saturating_sub(self::terminals(config)).max(1);
    if connections.is_none_or(|it| it > fitting) {
        config.limits.connections = Some(fitting);
        capped.push(("limits.connections", fitting));
    }
    capped
}

pub(super) fn check(config: &Config, host: &dyn Host) -> Finding {
    const NAME: &str = "descriptors";
    let Limit { hard, .. } = host.descriptors();
    match (descriptors_needed(config), hard) {
        (_, None) => Finding::ok(NAME, "unlimited"),
        (Some(needed), Some(hard)) if hard < needed => {
            let fitting = hard.saturating_sub(own(config));
            let detail = format!(
                "the hard limit is {hard}, limits.connections needs {needed}; {fitting} connections fit"
            );
            let remedy = format!(
                "raise it (systemd LimitNOFILE={needed}, docker run --ulimit nofile={needed}, \
                 /etc/security/limits.conf), or set limits.connections to {fitting}"
            );
            Finding::warn(NAME, detail, remedy)
        }
        (Some(needed), Some(hard)) => {
            Finding::ok(NAME, format!("{hard} allowed, {needed} needed; raised at start"))
        }
        (None, Some(hard)) => Finding::ok(NAME, format!("{hard} allowed; raised at start")),
    }
}
