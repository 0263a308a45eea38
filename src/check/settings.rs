//! The one table of kernel settings: what `tutti check` and the start look at, and what `tutti tune` changes.
//!
//! What is not here is left alone on purpose. Socket options that the server sets itself (`TCP_NODELAY`,
//! `TCP_NOTSENT_LOWAT`) need no setting, peers are pinged instead of kept alive by TCP, congestion control paces
//! itself.

use super::{Finding, Host, descriptors};
use crate::config::Config;
use std::fmt;

/// What a server asks of its host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Connections at once.
    pub connections: u64,
    /// Descriptors of the process, with room to spare.
    pub descriptors: u64,
    /// Bytes of locked memory of the process.
    pub locked_bytes: u64,
    /// Backlog of each listener.
    pub backlog: u64,
    /// Shards.
    pub shards: u64,
    /// Whether a proxy on the same host makes the connections.
    pub local_proxy: bool,
    /// Bytes of datagrams that the kernel is asked to keep for a shard: received ones, and those to be sent.
    pub datagrams: Option<(u64, u64)>,
}

/// Connections where neither the configuration nor the operator names a number.
const CONNECTIONS: u64 = 50_000;
/// What the rings of a shard lock, and as much again.
const LOCKED_BYTES_OF_SHARD: u64 = 1 << 20;
/// What kernels allow everybody to lock.
const LOCKED_BYTES_MIN: u64 = 8 << 20;
/// Pages of 4096 bytes that a connection may take of TCP's memory: 8 KiB that it is made of and as much on its way.
const PAGES_OF_CONNECTION: u64 = 4;
/// Where ports of outgoing connections may begin: above those that services usually listen on.
const FIRST_LOCAL_PORT: u64 = 10_240;
const LAST_PORT: u64 = 65_535;

impl Demand {
    /// What this configuration asks, for `connections` where given, else for its limit.
    #[must_use]
    pub fn new(config: &Config, connections: Option<u64>) -> Self {
        let limit = config.limits.connections.map(u64::from);
        let connections = connections.or(limit).unwrap_or(CONNECTIONS);
        let spare = connections.saturating_mul(6) / 5 + 1024;
        let shards = u64::from(config.shards);
        Demand {
            connections,
            descriptors: spare.max(descriptors::own(config).saturating_add(connections)),
            locked_bytes: (shards * LOCKED_BYTES_OF_SHARD).max(LOCKED_BYTES_MIN),
            backlog: u64::from(config.listen_backlog),
            shards,
            local_proxy: config.trusted_proxies.iter().any(|net| net.addr().is_loopback()),
            datagrams: config
                .quic
                .as_ref()
                .map(|quic| (quic.receive_buffer as u64, quic.send_buffer as u64)),
        }
    }
}

/// Where a setting is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// In one network namespace: each container has its own.
    Namespace,
    /// On the whole host; a container does not see it.
    Host,
    /// On the whole host, while a kernel module is loaded that brings it.
    Module,
}

/// What a setting should hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// A number of at least this.
    AtLeast(u64),
    /// Exactly this; the only other value is worse.
    Switch(u64),
    /// Three numbers, each at least this.
    Three([u64; 3]),
    /// A first number of at most this; the others are left.
    FirstAtMost(u64),
    /// Two ends of a range that reaches at least this far.
    Range(u64, u64),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::AtLeast(wanted) => write!(f, "at least {wanted}"),
            Wanted::Switch(wanted) => write!(f, "exactly {wanted}"),
            Wanted::Three(wanted) => write!(f, "at least {}", join(wanted)),
            Wanted::FirstAtMost(most) => write!(f, "at most {most}"),
            Wanted::Range(first, last) => write!(f, "from {first} to {last}"),
        }
    }
}

/// What a setting holds is not of its form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strange;

impl Wanted {
    /// What should be written in place of `found`; `None` when it fits.
    ///
    /// # Errors
    /// [`Strange`] when it is not understood, so that it is left alone.
    pub fn better(self, found: &str) -> Result<Option<String>, Strange> {
        let numbers: Result<Vec<u64>, _> = found.split_whitespace().map(str::parse).collect();
        let numbers = numbers.map_err(|_| Strange)?;
        match (self, numbers.as_slice()) {
            (Wanted::AtLeast(wanted), [found]) => Ok((*found < wanted).then(|| wanted.to_string())),
            (Wanted::Switch(wanted), [found]) => Ok((*found != wanted).then(|| wanted.to_string())),
            (Wanted::Three(wanted), found) if found.len() == 3 => {
                let better: Vec<u64> = found.iter().zip(wanted).map(|(f, w)| w.max(*f)).collect();
                Ok((better != found).then(|| join(&better)))
            }
            (Wanted::FirstAtMost(most), [first, rest @ ..]) => Ok((*first > most).then(|| {
                let mut better = vec![most];
                better.extend(rest);
                join(&better)
            })),
            (Wanted::Range(first, last), [found_first, found_last]) => {
                let better = [first.min(*found_first), last.max(*found_last)];
                Ok((better != [*found_first, *found_last]).then(|| join(&better)))
            }
            _ => Err(Strange),
        }
    }

    /// Whether it takes something away that somebody may have put there, which only `--force` does.
    #[must_use]
    pub fn lowers(self) -> bool {
        matches!(self, Wanted::FirstAtMost(_))
    }
}

fn join(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// One setting of the kernel.
pub struct Setting {
    /// What it is called in reports.
    pub name: &'static str,
    /// As `sysctl` takes it.
    pub key: &'static str,
    /// Where it is in force.
    pub scope: Scope,
    /// What it should hold; `None` when this server on this host has no need of it.
    pub wanted: fn(&Demand, &dyn Host) -> Option<Wanted>,
    /// What is worse for the people on the server while it is not so.
    pub effect: &'static str,
}

/// Every setting, in the order in which they matter.
pub const SETTINGS: &[Setting] = &[
    // A listener's backlog is cut to it (listen(2)); beyond `listen_backlog` it has no effect.
    Setting {
        name: "somaxconn",
        key: "net.core.somaxconn",
        scope: Scope::Namespace,
        wanted: |demand, _| Some(Wanted::AtLeast(demand.backlog)),
        effect: "when many connect at once, the rest waits for seconds or is refused",
    },
    Setting {
        name: "syn backlog",
        key: "net.ipv4.tcp_max_syn_backlog",
        scope: Scope::Namespace,
        wanted: |demand, _| Some(Wanted::AtLeast(demand.backlog)),
        effect: "when many connect at once, handshakes are lost and tried again after a second",
    },
    Setting {
        name: "syn cookies",
        key: "net.ipv4.tcp_syncookies",
        scope: Scope::Namespace,
        wanted: |_, _| Some(Wanted::AtLeast(1)),
        effect: "a flood of half-open connections keeps everybody out",
    },
    // LimitNOFILE and RLIMIT_NOFILE cannot be set above it.
    Setting {
        name: "nr_open",
        key: "fs.nr_open",
        scope: Scope::Host,
        wanted: |demand, _| Some(Wanted::AtLeast(demand.descriptors)),
        effect: "the limit of open files cannot be raised to what the connections need",
    },
    Setting {
        name: "file-max",
        key: "fs.file-max",
        scope: Scope::Host,
        wanted: |demand, _| Some(Wanted::AtLeast(demand.descriptors.saturating_mul(2))),
        effect: "the whole host runs out of descriptors",
    },
    Setting {
        name: "tcp_mem",
        key: "net.ipv4.tcp_mem",
        scope: Scope::Host,
        wanted: tcp_mem,
        effect: "with all connections there, the kernel cuts everybody's buffers and stalls them",
    },
    // "Stick to 4096 or risk running out of memory" (Linux networking maintainers): it is a promise to every socket.
    Setting {
        name: "tcp_rmem",
        key: "net.ipv4.tcp_rmem",
        scope: Scope::Namespace,
        wanted: |_, _| Some(Wanted::FirstAtMost(4096)),
        effect: "every connection is promised that much memory even when there is none left",
    },
    Setting {
        name: "tcp_wmem",
        key: "net.ipv4.tcp_wmem",
        scope: Scope::Namespace,
        wanted: |_, _| Some(Wanted::FirstAtMost(4096)),
        effect: "every connection is promised that much memory even when there is none left",
    },
    Setting {
        name: "slow start",
        key: "net.ipv4.tcp_slow_start_after_idle",
        scope: Scope::Namespace,
        wanted: |_, _| Some(Wanted::Switch(0)),
        effect: "after each pause the first burst of notes is sent in portions, a round trip apart",
    },
    // Each shard has a listener of its own; without it, what waits in one that closes is reset.
    Setting {
        name: "migrate",
        key: "net.ipv4.tcp_migrate_req",
        scope: Scope::Namespace,
        wanted: |_, _| Some(Wanted::Switch(1)),
        effect: "connections that wait to be accepted are reset when the server restarts",
    },
    Setting {
        name: "local ports",
        key: "net.ipv4.ip_local_port_range",
        scope: Scope::Namespace,
        wanted: local_ports,
        effect: "the proxy on this host runs out of ports and cannot reach the server",
    },
    Setting {
        name: "rmem_max",
        key: "net.core.rmem_max",
        scope: Scope::Host,
        wanted: |demand, _| demand.datagrams.map(|(receive, _)| Wanted::AtLeast(receive)),
        effect: "datagrams of QUIC clients are lost in bursts, which they notice as a delay",
    },
    Setting {
        name: "wmem_max",
        key: "net.core.wmem_max",
        scope: Scope::Host,
        wanted: |demand, _| demand.datagrams.map(|(_, send)| Wanted::AtLeast(send)),
        effect: "shards wait for the network card when much is sent to QUIC clients",
    },
    Setting {
        name: "io_uring",
        key: "kernel.io_uring_disabled",
        scope: Scope::Host,
        // With 1 and a group it may work, so what counts is whether it does.
        wanted: |_, host| host.ring().is_err().then_some(Wanted::FirstAtMost(0)),
        effect: "the server cannot start",
    },
    Setting {
        name: "conntrack",
        key: "net.netfilter.nf_conntrack_max",
        scope: Scope::Module,
        wanted: |demand, _| Some(Wanted::AtLeast(demand.connections.saturating_mul(2))),
        effect: "the firewall's table is full and new connections are dropped",
    },
    // Both only where the kernel says that it fell short: they cost latency elsewhere.
    Setting {
        name: "netdev backlog",
        key: "net.core.netdev_max_backlog",
        scope: Scope::Host,
        wanted: |_, host| {
            let softnet = softnet(host);
            let often = softnet.dropped.saturating_mul(100_000) > softnet.processed;
            often.then_some(Wanted::AtLeast(5000))
        },
        effect: "packets that have arrived are dropped before they are looked at",
    },
    Setting {
        name: "netdev budget",
        key: "net.core.netdev_budget",
        scope: Scope::Host,
        wanted: |_, host| {
            let softnet = softnet(host);
            let often = softnet.squeezed.saturating_mul(1000) > softnet.processed;
            often.then_some(Wanted::AtLeast(600))
        },
        effect: "packets wait for the next round of the kernel, which is a delay for everybody",
    },
];

/// Never more than half of the memory that there is.
fn tcp_mem(demand: &Demand, host: &dyn Host) -> Option<Wanted> {
    let meminfo = host.text("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = total.and_then(|t| t.trim().strip_suffix(" kB")?.trim().parse().ok())?;
    let most = demand.connections.saturating_mul(PAGES_OF_CONNECTION).min(kib / 4 / 2);
    Some(Wanted::Three([most / 2, most / 4 * 3, most]))
}

fn local_ports(demand: &Demand, host: &dyn Host) -> Option<Wanted> {
    if !demand.local_proxy {
        return None;
    }
    let text = host.text("/proc/sys/net/ipv4/ip_local_port_range")?;
    let ends: Vec<u64> = text.split_whitespace().filter_map(|end| end.parse().ok()).collect();
    let [first, last] = ends.try_into().ok()?;
    let enough = demand.connections.min(LAST_PORT - FIRST_LOCAL_PORT);
    let wide = last.saturating_sub(first) >= enough;
    Some(if wide { Wanted::Range(first, last) } else { Wanted::Range(FIRST_LOCAL_PORT, LAST_PORT) })
}

#[derive(Default)]
struct Softnet {
    processed: u64,
    dropped: u64,
    squeezed: u64,
}

/// Sums of the first three columns of `/proc/net/softnet_stat`, one line a CPU, in hexadecimal.
fn softnet(host: &dyn Host) -> Softnet {
    let mut sum = Softnet::default();
    for line in host.text("/proc/net/softnet_stat").unwrap_or_default().lines() {
        let mut columns = line.split_whitespace().map(|column| u64::from_str_radix(column, 16));
        if let (Some(Ok(processed)), Some(Ok(dropped)), Some(Ok(squeezed))) =
            (columns.next(), columns.next(), columns.next())
        {
            sum.processed = sum.processed.saturating_add(processed);
            sum.dropped = sum.dropped.saturating_add(dropped);
            sum.squeezed = sum.squeezed.saturating_add(squeezed);
        }
    }
    sum
}

/// How a setting stands on a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It fits.
    Fits {
        /// What it holds.
        found: String,
    },
    /// It does not.
    Short {
        /// What it holds.
        found: String,
        /// What it should hold.
        better: String,
        /// Whether that takes something away.
        lowers: bool,
    },
    /// It holds something that is not understood, and is left alone.
    Strange {
        /// What it holds.
        found: String,
    },
    /// It is a setting of the host that cannot be seen from here.
    Hidden,
}

impl Setting {
    /// Where the kernel shows it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/sys/{}", self.key.replace('.', "/"))
    }

    /// How it stands; `None` when there is no need of it, or this kernel has none.
    #[must_use]
    pub fn standing(&self, demand: &Demand, host: &dyn Host) -> Option<Standing> {
        let wanted = (self.wanted)(demand, host)?;
        let Some(text) = host.text(&self.path()) else {
            return (self.scope == Scope::Host).then_some(Standing::Hidden);
        };
        let found = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(match wanted.better(&found) {
            Ok(None) => Standing::Fits { found },
            Ok(Some(better)) => Standing::Short { found, better, lowers: wanted.lowers() },
            Err(Strange) => Standing::Strange { found },
        })
    }

    /// The command that sets it.
    #[must_use]
    pub fn command(&self, value: &str) -> String {
        let quote = if value.contains(' ') { "\"" } else { "" };
        format!("sysctl -w {}={quote}{value}{quote}", self.key)
    }
}

/// A finding for each setting, and one for all that cannot be seen from here.
#[must_use]
pub(super) fn findings(demand: &Demand, host: &dyn Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for setting in SETTINGS {
        let Setting { name, key, effect, .. } = *setting;
        findings.push(match setting.standing(demand, host) {
            None | Some(Standing::Hidden) => continue,
            Some(Standing::Fits { found }) => Finding::ok(name, format!("{key} is {found}")),
            Some(Standing::Strange { found }) => {
                Finding::ok(name, format!("{key} is `{found}`, which is not understood"))
            }
            Some(Standing::Short { found, better, .. }) => {
                let detail = format!("{key} is {found}, wanted is {better}");
                Finding::warn(name, detail, setting.command(&better)).with_effect(effect)
            }
        });
    }
    findings.extend(hidden(demand, host));
    findings
}

/// A finding for all settings of the host that cannot be seen from here, with what somebody there has to look at.
#[must_use]
pub fn hidden(demand: &Demand, host: &dyn Host) -> Option<Finding> {
    let (mut keys, mut wanted) = (Vec::new(), Vec::new());
    for setting in SETTINGS {
        if setting.standing(demand, host) == Some(Standing::Hidden)
            && let Some(value) = (setting.wanted)(demand, host)
        {
            keys.push(setting.key);
            wanted.push(format!("{} {value}", setting.key));
        }
    }
    let detail = format!("cannot be seen from here: {}", wanted.join(", "));
    let remedy = format!(
        "on the host: tutti tune apply --conns {}, or `sysctl {}` and `sysctl -w` for what is less",
        demand.connections,
        keys.join(" ")
    );
    let finding = Finding { remedy: Some(remedy), ..Finding::ok("on the host", detail) };
    (!keys.is_empty()).then_some(finding)
}
