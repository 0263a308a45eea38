//! What is asked of the host.

use super::io_uring::{self, RingFailure};
use rustix::fs::Access;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A resource limit of the process; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// In force now.
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
}

/// A host, as far as Tutti asks about one.
pub trait Host {
    /// The text of a file, mostly under `/proc` and `/sys`, `None` where there is none.
    fn text(&self, path: &str) -> Option<String>;
    /// The names in a directory, sorted; none where there is no such directory.
    fn names(&self, dir: &str) -> Vec<String>;
    /// Makes an io_uring instance and asks it for the operations that the runtime submits.
    ///
    /// # Errors
    /// What failed, not yet explained.
    fn ring(&self) -> Result<(), RingFailure>;
    /// `RLIMIT_NOFILE`.
    fn descriptors(&self) -> Limit;
    /// `RLIMIT_MEMLOCK`, in bytes.
    fn locked_memory(&self) -> Limit;
    /// CPUs that the process may run on.
    fn allowed_cpus(&self) -> Vec<usize>;
    /// Whether an address can be listened on, and by nobody else yet.
    ///
    /// # Errors
    /// The system's.
    fn bind(&self, address: SocketAddr) -> io::Result<()>;
    /// Whether files can be made in a directory, or the directory where there is none yet.
    ///
    /// # Errors
    /// The system's.
    fn writable(&self, dir: &Path) -> io::Result<()>;
}

/// The host that this process runs on, or files below a folder that stand for one.
#[derive(Clone, Debug)]
pub struct ThisHost {
    root: PathBuf,
}

impl Default for ThisHost {
    fn default() -> Self {
        ThisHost::below("/")
    }
}

impl ThisHost {
    /// The host whose `/proc`, `/sys`, `/etc` and `/var` are in this folder. What is asked of the process itself
    /// (rings, limits, CPUs, addresses) is this process's all the same.
    #[must_use]
    pub fn below(root: impl Into<PathBuf>) -> Self {
        ThisHost { root: root.into() }
    }

    /// Whether it is the host itself, and no folder that stands for one.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where an absolute path is.
    #[must_use]
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

impl Host for ThisHost {
    /// Bytes that are no UTF-8 are replaced: what is shown of the kernel's files is plain.
    fn text(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.at(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn ring(&self) -> Result<(), RingFailure> {
        io_uring::make_ring()
    }

    fn descriptors(&self) -> Limit {
        limit(Resource::Nofile)
    }

    fn locked_memory(&self) -> Limit {
        limit(Resource::Memlock)
    }

    fn allowed_cpus(&self) -> Vec<usize> {
        crate::config::HostCpus::of_this_process().allowed
    }

    /// Without SO_REUSEPORT, which the server itself uses: with it a second server would find the address free and
    /// take half of the first one's connections.
    fn bind(&self, address: SocketAddr) -> io::Result<()> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Binding fails when somebody listens there. Listening as well would take connections that nobody serves.
        socket.bind(&address.into())
    }

    fn writable(&self, dir: &Path) -> io::Result<()> {
        let existing = dir.ancestors().find(|dir| !dir.as_os_str().is_empty() && dir.exists());
        let existing = existing.unwrap_or(Path::new("."));
        if !existing.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(rustix::fs::access(existing, Access::WRITE_OK | Access::EXEC_OK)?)
    }
}

fn limit(resource: Resource) -> Limit {
    let limit = getrlimit(resource);
    Limit { soft: limit.current, hard: limit.maximum }
}

/// The kernel's release, for example `6.1.0-13-amd64`.
pub(super) fn release(host: &dyn Host) -> String {
    let text = host.text("/proc/sys/kernel/osrelease");
    text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
