//! Why a host refuses io_uring, and what to change.

use super::host::{Host, release};
use io_uring::{IoUring, Probe, opcode};
use std::fmt;

/// The oldest kernel that has all operations of the runtime.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// Entries of the ring that is tried; the runtime makes several of this size for each shard.
const ENTRIES: u32 = 128;

/// The runtime does not start a shard with a smaller limit of locked memory, in bytes, even where the kernel counts
/// rings elsewhere.
const LOCKED_MEMORY_MIN: u64 = 512 << 10;

/// Operations without which connections cannot be served.
const OPERATIONS: [(&str, u8); 8] = [
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("POLL_REMOVE", opcode::PollRemove::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("RECV", opcode::Recv::CODE),
    ("SEND", opcode::Send::CODE),
    ("STATX", opcode::Statx::CODE),
];

/// What failed when a ring was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RingFailure {
    /// The system call failed with this error number.
    Errno(i32),
    /// The ring works but lacks these operations.
    Missing(Vec<&'static str>),
}

pub(super) fn make_ring() -> Result<(), RingFailure> {
    let failed = |error: std::io::Error| RingFailure::Errno(error.raw_os_error().unwrap_or(0));
    let ring = IoUring::new(ENTRIES).map_err(failed)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(failed)?;
    let missing: Vec<_> = OPERATIONS
        .iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(RingFailure::Missing(missing)) }
}

/// Why io_uring cannot be used. The host is at fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The kernel is older than 5.8.
    KernelTooOld {
        /// Its release.
        release: String,
    },
    /// The kernel was built without `CONFIG_IO_URING`.
    CompiledOut {
        /// Its release.
        release: String,
    },
    /// `kernel.io_uring_disabled` is 2: nobody may use it.
    DisabledForAll,
    /// `kernel.io_uring_disabled` is 1: only a group and administrators may use it.
    DisabledForMost,
    /// A seccomp filter, usually of a container, refuses the system calls.
    Seccomp,
    /// `RLIMIT_MEMLOCK` is too small for the rings.
    Memlock {
        /// The limit in bytes.
        soft: u64,
    },
    /// There are no file descriptors left.
    Descriptors,
    /// Something else, often a security module.
    Other {
        /// The system's error number.
        errno: i32,
    },
}

/// Tries io_uring and explains a refusal.
///
/// # Errors
/// The reason, which knows what to change.
pub fn probe_io_uring(host: &dyn Host) -> Result<(), Refusal> {
    host.ring().map_err(|failure| explain(&failure, host))?;
    match host.locked_memory().soft {
        Some(soft) if soft < LOCKED_MEMORY_MIN => Err(Refusal::Memlock { soft }),
        _ => Ok(()),
    }
}

fn explain(failure: &RingFailure, host: &dyn Host) -> Refusal {
    use rustix::io::Errno;

    let release = release(host);
    let old = version(&release).is_some_and(|version| version < KERNEL_MIN);
    let filtered = || is_filtered(host);
    let errno = match failure {
        RingFailure::Missing(_) => return Refusal::KernelTooOld { release },
        RingFailure::Errno(errno) => *errno,
    };
    match Errno::from_raw_os_error(errno) {
        Errno::NOSYS | Errno::INVAL if old => Refusal::KernelTooOld { release },
        // Some container engines let filtered calls answer as if they did not exist.
        Errno::NOSYS if filtered() => Refusal::Seccomp,
        Errno::NOSYS => Refusal::CompiledOut { release },
        Errno::PERM | Errno::ACCESS => match disabled(host) {
            Some(2) => Refusal::DisabledForAll,
            Some(1) => Refusal::DisabledForMost,
            _ if filtered() => Refusal::Seccomp,
            _ => Refusal::Other { errno },
        },
        Errno::NOMEM => match host.locked_memory().soft {
            Some(soft) => Refusal::Memlock { soft },
            None => Refusal::Other { errno },
        },
        Errno::MFILE | Errno::NFILE => Refusal::Descriptors,
        _ => Refusal::Other { errno },
    }
}

/// The value of `kernel.io_uring_disabled`; kernels before 6.6 mostly have none.
fn disabled(host: &dyn Host) -> Option<u32> {
    host.text("/proc/sys/kernel/io_uring_disabled")?.trim().parse().ok()
}

/// Whether a seccomp filter stands over this process.
fn is_filtered(host: &dyn Host) -> bool {
    host.text("/proc/self/status").is_some_and(|status| {
        let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        mode.is_some_and(|mode| mode.trim() == "2")
    })
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = KERNEL_MIN;
        match self {
            Refusal::KernelTooOld { release } => {
                write!(
                    f,
                    "kernel {release} is too old for io_uring as Tutti needs it ({major}.{minor})"
                )
            }
            Refusal::CompiledOut { release } => {
                write!(f, "kernel {release} was built without io_uring")
            }
            Refusal::DisabledForAll => f.write_str(
                "io_uring is switched off for everybody (kernel.io_uring_disabled is 2)",
            ),
            Refusal::DisabledForMost => f.write_str(
                "io_uring is switched off for this user (kernel.io_uring_disabled is 1)",
            ),
            Refusal::Seccomp => f.write_str(
                "a seccomp filter, usually that of a container, refuses io_uring to this process",
            ),
            Refusal::Memlock { soft } => {
                write!(
                    f,
                    "the locked memory limit of {} KiB is too small for io_uring",
                    soft / 1024
                )
            }
            Refusal::Descriptors => f.write_str("no file descriptor is left for io_uring"),
            Refusal::Other { errno } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "io_uring is refused: {error}")
            }
        }
    }
}

impl Refusal {
    /// What to change, as exact as can be known.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Refusal::KernelTooOld { .. } => {
                "boot kernel 5.8 or newer (uname -r shows the running one)"
            }
            Refusal::CompiledOut { .. } => "boot a kernel built with CONFIG_IO_URING=y",
            Refusal::DisabledForAll => {
                "sysctl -w kernel.io_uring_disabled=0, and the same line in /etc/sysctl.d/60-tutti.conf to keep it"
            }
            Refusal::DisabledForMost => {
                "sysctl -w kernel.io_uring_disabled=0, or put this user into the group that kernel.io_uring_group names"
            }
            Refusal::Seccomp => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in the filter: docker run --security-opt \
                 seccomp=PROFILE.json (or seccomp=unconfined), Kubernetes securityContext.seccompProfile, systemd \
                 SystemCallFilter="
            }
            Refusal::Memlock { .. } => {
                "raise it: ulimit -l unlimited, systemd LimitMEMLOCK=infinity, docker run --ulimit memlock=-1"
            }
            Refusal::Descriptors => {
                "raise it: ulimit -n 1048576, systemd LimitNOFILE=1048576, docker run --ulimit nofile=1048576"
            }
            Refusal::Other { .. } => {
                "ask the host's security module (dmesg, journalctl -k) who refuses io_uring_setup"
            }
        }
    }
}
