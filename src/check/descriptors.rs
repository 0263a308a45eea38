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

/// Descriptors that the server takes besides those of its connections.
pub(super) fn own(config: &Config) -> u64 {
    OF_PROCESS
        + u64::from(config.shards)
            * (OF_SHARD + config.listen.len() as u64 + u64::from(config.quic.is_some()))
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

/// Lowers the limit of connections to what the descriptors allow, so that admission refuses before the system does.
/// Returns the new limit where it was lowered.
pub fn cap_connections(config: &mut Config, descriptors: Limit) -> Option<u32> {
    let fitting = descriptors.soft?.saturating_sub(own(config)).max(1);
    let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
    if config.limits.connections.is_some_and(|connections| connections <= fitting) {
        return None;
    }
    config.limits.connections = Some(fitting);
    Some(fitting)
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
