//! What the host has to allow, looked at before the first connection.

use anyhow::{Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::net::target::Endpoint;
use crate::scenario::{Dialect, Scenario};

/// Descriptors that are not connections: rings, epoll instances, files.
const BESIDE: u64 = 100;

/// Raises the limit of descriptors as far as allowed, and looks whether there are enough of them and of
/// ports.
///
/// # Errors
/// When there are not, with the command that helps.
pub(super) fn check(scenario: &Scenario, endpoint: &Endpoint) -> Result<()> {
    let addresses = endpoint.sources.count(endpoint.address);
    // All connections of one address share a socket over QUIC.
    let sockets = match scenario.dialect {
        Dialect::Quic => scenario.total().min(addresses),
        _ => scenario.total(),
    };
    let needed = sockets as u64 + BESIDE;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    if let Some(most) = limit.maximum
        && most < needed
    {
        bail!(
            "{} connections need {needed} file descriptors, and the hard limit is {most}: raise it (ulimit -Hn \
             {needed} as root, LimitNOFILE=, /etc/security/limits.conf), or ask for fewer connections (--members)",
            scenario.total()
        );
    }
    let ports =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let range: Vec<usize> = ports.split_whitespace().filter_map(|port| port.parse().ok()).collect();
    if let [first, last] = range[..]
        && let ports = last.saturating_sub(first) + 1
        && ports * addresses < sockets
    {
        bail!(
            "{} connections from {addresses} address(es) with {ports} ports each do not fit: use more addresses \
             (--sources), or sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"",
            scenario.total()
        );
    }
    Ok(())
}
