//! The control socket: what an operator does with `tutti ctl`, on threads of its own.
//!
//! ```text
//!   tutti ctl ── a JSON line ──▶ peer thread ──▶ operator ── asks ──▶ shards, through the mesh
//!             ◀── JSON lines ──                     ├──────▶ gate (bans, panic level)
//!                                                   └──────▶ storage (bans, audit log)
//! ```
//!
//! Shards answer between two turns and wait for nobody here. What was done is in the audit log before it is confirmed.
//!
//! Reading order: `request` (what is said), `socket`, `peer` (who says it), `act` (what comes of it), then `people`,
//! `banning`, `settings`.

mod act;
mod banning;
mod peer;
mod people;
mod request;
mod settings;
mod socket;

pub use request::{Do, Failure, NoticeTo, Reply, Request};
pub use socket::{ControlSocket, FILE, SocketError};

use crate::{
    admin::Readiness,
    config::{Config, ConfigError, RawConfig},
    driver::Control,
    gate::Gate,
    storage::{self, Ban},
};
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// How long shards may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the control socket is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where it is; `None` for nowhere.
    pub socket: Option<PathBuf>,
    /// Most connections to it at a time.
    pub peers: usize,
    /// Longest line taken, in bytes.
    pub line_bytes: usize,
}

/// What a running server can be told to read and to write anew.
pub struct Hooks {
    /// What flags, environment and file say now.
    pub load: Box<dyn Fn() -> Result<RawConfig, ConfigError> + Send + Sync>,
    /// Logs by another filter from now on; `Err` says what is wrong with it.
    pub log: LogFilter,
}

/// Takes a filter in the form of `RUST_LOG`.
pub type LogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What has been asked, for the metrics.
#[derive(Clone, Default, Debug)]
pub struct ControlCounts(Arc<Counters>);

#[derive(Default, Debug)]
struct Counters {
    requests: AtomicU64,
    failures: AtomicU64,
    refused_peers: AtomicU64,
    long_lines: AtomicU64,
    mutes: AtomicU64,
}

impl ControlCounts {
    /// Requests, those that failed among them, peers over the limit, lines over the limit, and mutes given.
    #[must_use]
    pub fn read(&self) -> [u64; 5] {
        let Counters { requests, failures, refused_peers, long_lines, mutes } = &*self.0;
        [requests, failures, refused_peers, long_lines, mutes].map(|count| count.load(Relaxed))
    }
}

/// What the operator of a running server works with.
pub struct Operator {
    control: Control,
    gate: Arc<Gate>,
    storage: storage::Handle,
    hooks: Hooks,
    readiness: Option<Readiness>,
    counts: ControlCounts,
    started: Instant,
    /// What is in force; held by whoever changes it.
    running: Mutex<Running>,
    /// Bans that hold though the storage did not confirm them; held by whoever changes what the gate knows.
    unkept: Mutex<Vec<Ban>>,
    draining: AtomicBool,
    peers: AtomicUsize,
}

/// The configuration in force.
struct Running {
    raw: RawConfig,
    config: Config,
    /// The filter that was set by hand, until the next reload changes the configured one.
    log: String,
}

impl Operator {
    /// Takes over a server that runs with this configuration.
    #[must_use]
    pub fn new(
        control: Control,
        storage: storage::Handle,
        raw: RawConfig,
        config: Config,
        hooks: Hooks,
    ) -> Self {
        Operator {
            gate: control.admission().gate().clone(),
            control,
            storage,
            hooks,
            readiness: None,
            counts: ControlCounts::default(),
            started: Instant::now(),
            running: Mutex::new(Running { raw, log: config.log.clone(), config }),
            unkept: Mutex::default(),
            draining: AtomicBool::new(false),
            peers: AtomicUsize::new(0),
        }
    }

    /// Tells probes when the server wants no more traffic.
    #[must_use]
    pub fn with_readiness(mut self, readiness: Option<Readiness>) -> Self {
        self.readiness = readiness;
        self
    }

    /// What has been asked so far.
    #[must_use]
    pub fn counts(&self) -> ControlCounts {
        self.counts.clone()
    }

    /// Serves the socket, on a thread that ends with the process: it holds nothing that has to be put away.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn serve(self: &Arc<Self>, socket: &ControlSocket) -> io::Result<()> {
        let (operator, listener) = (self.clone(), socket.listener()?);
        thread::Builder::new().name("tutti-control".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if let Err(error) = stream.and_then(|stream| operator.greet(stream)) {
                    tracing::debug!(%error, "a control connection failed");
                    // Out of descriptors is the one failure that comes again at once.
                    thread::sleep(Duration::from_millis(10));
                }
            }
        })?;
        Ok(())
    }
}
