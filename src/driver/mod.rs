//! The driver: sockets, threads, timers and wake-ups around the core, and nothing of what messages mean.
//!
//! ```text
//!   one thread a shard, pinned, with its own executor
//!   ┌──────────────────────────────────────────────┐
//!   │ listeners ┐                                  │
//!   │ sockets   ├─ epoll set ─ watched by the ring │     turn: ready → core → outputs → flush → sleep
//!   │ timer     │                                  │
//!   │ bell      ┘      mesh: a queue into each shard
//!   └──────────────────────────────────────────────┘
//! ```
//!
//! It is one explicit loop over all descriptors of a shard instead of a task for each: an idle connection then costs
//! what is stored about it and no runtime object (`ARCHITECTURE.md` has the figures).
//!
//! Reading order: `turn` (the loop), `peers` (sockets), `poller` (readiness), `mesh` and `wake` (other shards), `pace`
//! (when a busy shard flushes).

mod turn;

mod commands;
mod operate;

mod listen;
mod peers;
mod poller;

mod mesh;
mod wake;

mod quic;

mod clock;
mod pace;
mod panics;
mod report;
mod sessions;

pub use operate::{Answer, Ask, UserKnown};
pub use quic::QuicStats;
pub use report::{DriverStats, Report};

use crate::{
    activation::Passed,
    assets::{Assets, AssetsError, Sources},
    config::Config,
    doors::{
        self, Admissions, Protocol,
        quic::{SessionError, session::FileLimits},
    },
    gate::Gate,
    identity::{Identity, SecretError, number_key},
    quic::{Certificates, SetupError, UdpSocket},
    storage,
    uploads::{self, Asker, Uploads},
};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use listen::Listener;
use mesh::{Address, Packet};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tutti_shards::{Seeds, ShardId, StoreReply};

/// Bytes of registered buffers of each executor. They are for files, of which shards read none.
const IO_MEMORY: usize = 64 << 10;

/// Why the shards do not run.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source} (listen, --listen)")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Line chat's address cannot be listened on.
    #[error("cannot listen on {address}: {source} (line.listen, --tcp)")]
    ListenLine {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Datagrams cannot be received at an address.
    #[error("cannot receive datagrams at {address}: {source} (quic.listen, --quic)")]
    Datagrams {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// QUIC has no secrets or no certificate.
    #[error(transparent)]
    Quic(#[from] SetupError),
    /// A shard's thread or executor cannot be made.
    #[error("cannot start shard {}: {reason}", shard.0)]
    Start {
        /// Which.
        shard: ShardId,
        /// Why.
        reason: String,
    },
    /// Secrets cannot be kept.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The pages cannot be read.
    #[error(transparent)]
    Assets(#[from] AssetsError),
    /// Files cannot be taken.
    #[error(transparent)]
    Uploads(#[from] uploads::OpenError),
    /// The sessions of QUIC cannot be set up.
    #[error(transparent)]
    Sessions(#[from] SessionError),
    /// The system has no randomness or no descriptors.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// All shards of a running server.
pub struct Shards {
    control: Control,
    threads: Vec<ExecutorJoinHandle<Result<(), String>>>,
    /// After the shards, which ask it.
    uploads: Option<Uploads>,
}

/// Speaks to all shards. Can be cloned and used from any thread.
#[derive(Clone)]
pub struct Control {
    addresses: Vec<Address>,
    admissions: Admissions,
    placement: tutti_shards::Placement,
    /// As the server was started with it.
    shared: Arc<doors::Shared>,
    quic: Option<QuicDoor>,
    uploads: Option<uploads::Handle>,
}

/// What is to be known about QUIC from outside the shards.
#[derive(Clone, Debug)]
pub struct QuicDoor {
    /// Where it is.
    pub address: SocketAddr,
    /// What it shows to clients, to be read again after it was renewed.
    pub certificates: Arc<Certificates>,
    /// Bytes that the kernel keeps of what has come, for each shard.
    pub receive_buffer: usize,
}

impl Shards {
    /// Starts all shards. When this returns, every address is listened on, or the sockets that were passed in their
    /// place.
    ///
    /// # Errors
    /// [`DriverError`]; what had been started is ended.
    pub fn start(
        config: &Config,
        passed: &Passed,
        storage: &storage::Handle,
        gate: &Arc<Gate>,
    ) -> Result<Self, DriverError> {
        let admissions = Admissions::new(config, gate);
        let assets = Assets::open(Sources {
            client: config.client_dir.as_deref(),
            sounds: config.sounds_dir.as_deref(),
            live: config.client_live,
        })?;
        let mut config = config.clone();
        config.core.number_key = number_key(&config.data)?;
        let identity = Identity::open(&config)?;
        let shared = Arc::new(doors::Shared::new(&config, identity, assets, &admissions));
        let config = Arc::new(config);
        let (ends, addresses) = mesh::connect(config.shards)?;
        storage.attach(Box::new(Answers(addresses.clone())));
        let uploads = config.uploads.clone();
        let uploads = uploads
            .map(|settings| Uploads::start(settings, storage, Box::new(Answers(addresses.clone()))))
            .transpose()?;
        let placement = [random()?, random()?, random()?, random()?];
        let mut listeners = Vec::new();
        for _ in 0..config.shards {
            let mut of_one = if passed.is_empty() {
                listeners_of_one_shard(&config)?
            } else {
                let adopt = |socket| {
                    Ok(Listener { socket: listen::adopt(socket)?, protocol: Protocol::Mpp })
                };
                passed.sockets().map(adopt).collect::<io::Result<Vec<_>>>()?
            };
            of_one.extend(line_listener(&config)?);
            listeners.push(of_one);
        }
        let (quic, starts) = datagrams(&config, &admissions.quic)?;
        panics::end_process_on_panic();
        let mut shards = Shards {
            control: Control {
                addresses,
                admissions: admissions.clone(),
                placement: tutti_shards::Placement::new(
                    placement,
                    config.core.number_key,
                    config.shards,
                ),
                shared: shared.clone(),
                quic,
                uploads: uploads.as_ref().map(Uploads::handle),
            },
            threads: Vec::new(),
            uploads,
        };
        let parts = ends.into_iter().zip(listeners).zip(starts);
        for (id, ((mesh, listeners), quic)) in (0..config.shards).map(ShardId).zip(parts) {
            let start = turn::Start {
                id,
                config: config.clone(),
                shared: shared.clone(),
                admissions: admissions.clone(),
                storage: storage.clone(),
                uploads: shards.uploads.as_ref().map(Uploads::handle),
                listeners,
                quic,
                mesh,
                seeds: Seeds { placement, local: random()? },
            };
            let failed = |reason: String| DriverError::Start { shard: id, reason };
            let thread = LocalExecutorBuilder::new(Placement::Fixed(config.cpu_of(id)))
                .name(&format!("tutti-{}", id.0))
                .io_memory(IO_MEMORY)
                .spawn(move || async move {
                    let mut driver = turn::Driver::new(start).map_err(|error| error.to_string())?;
                    driver.run().await.map_err(|error| error.to_string())
                })
                .map_err(|error| failed(error.to_string()));
            match thread {
                Ok(thread) => shards.threads.push(thread),
                Err(error) => {
                    shards.control.stop();
                    let _ = shards.join();
                    return Err(error);
                }
            }
        }
        Ok(shards)
    }

    /// Speaks to them.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits until all have ended.
    ///
    /// # Errors
    /// The first that ended for a reason of its own.
    pub fn join(self) -> Result<(), DriverError> {
        let mut first = Ok(());
        for (n, thread) in self.threads.into_iter().enumerate() {
            let ended = match thread.join() {
                Ok(ended) => ended,
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = ended
                && first.is_ok()
            {
                first = Err(DriverError::Start { shard: ShardId(n as u16), reason });
                // One shard alone cannot serve: the others would wait for it for ever.
                self.control.stop();
            }
        }
        first
    }
}

impl Control {
    /// Tells all shards to stop: everyone is told, and what waits is sent, within the configured time. Never waits.
    pub fn stop(&self) {
        // All are told before any is woken: whoever is sent away by the first must not be let in by the last, only to
        // be sent away again.
        self.addresses.iter().for_each(Address::stop);
        self.addresses.iter().for_each(Address::wake);
    }

    /// Asks all shards what they have counted. One that does not answer in time is left out.
    #[must_use]
    pub fn reports(&self, timeout: Duration) -> Vec<Report> {
        let (to, reports) = crossbeam_channel::bounded(self.addresses.len());
        let deadline = std::time::Instant::now() + timeout;
        for address in &self.addresses {
            address.post(Packet::Report(to.clone()), deadline);
        }
        drop(to);
        let mut all: Vec<Report> =
            std::iter::from_fn(|| reports.recv_deadline(deadline).ok()).collect();
        all.sort_by_key(|report| report.shard);
        all
    }

    /// Asks one shard, and waits for its answer. `None` when there is none in time; what was asked may still be done.
    #[must_use]
    pub fn ask(&self, shard: ShardId, ask: Ask, timeout: Duration) -> Option<Answer> {
        let address = self.addresses.get(shard.index())?;
        let (to, answers) = crossbeam_channel::bounded(1);
        let deadline = std::time::Instant::now() + timeout;
        address.post(Packet::Ask(Box::new(ask), to), deadline);
        answers.recv_deadline(deadline).ok().map(|(_, answer)| answer)
    }

    /// Asks all shards, and waits for their answers. One that does not answer in time is left out.
    #[must_use]
    pub fn ask_all(&self, ask: &Ask, timeout: Duration) -> Vec<(ShardId, Answer)> {
        let (to, answers) = crossbeam_channel::bounded(self.addresses.len());
        let deadline = std::time::Instant::now() + timeout;
        for address in &self.addresses {
            address.post(Packet::Ask(Box::new(ask.clone()), to.clone()), deadline);
        }
        drop(to);
        let mut all: Vec<_> = std::iter::from_fn(|| answers.recv_deadline(deadline).ok()).collect();
        all.sort_by_key(|&(shard, _)| shard);
        all
    }

    /// Lets all shards go on with these settings; how many of them do.
    pub fn reload(&self, config: &Config, timeout: Duration) -> usize {
        self.admissions.reconfigure(config);
        let shared = Arc::new(self.shared.reloaded(config));
        self.ask_all(&Ask::Reload(shared, Arc::new(config.clone())), timeout).len()
    }

    /// Where channels and users belong.
    #[must_use]
    pub fn placement(&self) -> &tutti_shards::Placement {
        &self.placement
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.addresses.len()
    }

    /// The QUIC door, where it is open.
    #[must_use]
    pub fn quic(&self) -> Option<&QuicDoor> {
        self.quic.as_ref()
    }

    /// The files that people send, where they are taken.
    #[must_use]
    pub fn uploads(&self) -> Option<&uploads::Handle> {
        self.uploads.as_ref()
    }

    /// Connections and refusals at the piano's door.
    #[must_use]
    pub fn admission(&self) -> &crate::admission::Admission {
        &self.admissions.mpp
    }

    /// Connections and refusals at each door.
    #[must_use]
    pub fn admissions(&self) -> &Admissions {
        &self.admissions
    }
}

fn listeners_of_one_shard(config: &Config) -> Result<Vec<Listener>, DriverError> {
    let listen = |&address: &SocketAddr| match listen::listener(address, config.listen_backlog) {
        Ok(socket) => Ok(Listener { socket, protocol: Protocol::Mpp }),
        Err(source) => Err(DriverError::Listen { address, source }),
    };
    config.listen.iter().map(listen).collect()
}

fn line_listener(config: &Config) -> Result<Option<Listener>, DriverError> {
    let Some(address) = config.line.listen else { return Ok(None) };
    let listen = || {
        let socket = listen::listener(address, config.listen_backlog)?;
        listen::watch_silent(&socket)?;
        Ok(Listener { socket, protocol: Protocol::Line })
    };
    listen().map(Some).map_err(|source| DriverError::ListenLine { address, source })
}

/// One UDP socket for each shard, all at one address. They are bound here, one after the other, so that the kernel
/// numbers them as we do.
fn datagrams(
    config: &Config,
    admission: &Arc<crate::admission::Admission>,
) -> Result<(Option<QuicDoor>, Vec<Option<quic::Start>>), DriverError> {
    let Some(settings) = &config.quic else {
        return Ok((None, (0..config.shards).map(|_| None).collect()));
    };
    let mut sessions = config.sessions.open(
        config.core.number_key,
        clock::now().wall_ms,
        settings.idle_timeout,
        settings.datagrams,
    )?;
    if let Some(uploads) = &config.uploads {
        sessions.uploads = FileLimits {
            bytes_max: uploads.file_bytes_max,
            at_once_max: uploads.per_connection_max,
            stall: uploads.stall,
        };
    }
    sessions.admission = Some(admission.clone());
    let sessions = Arc::new(sessions);
    let shared = crate::quic::Shared::open(settings.clone(), &config.data, admission.clone())?;
    let fail = |source| DriverError::Datagrams { address: settings.listen, source };
    let (mut address, mut receive_buffer) = (settings.listen, 0);
    let mut starts = Vec::new();
    UdpSocket::check_free(settings.listen).map_err(fail)?;
    for _ in 0..config.shards {
        let socket = UdpSocket::bind(address, settings.receive_buffer, settings.send_buffer);
        let socket = socket.map_err(fail)?;
        // The first may have asked for any port; the others take the same.
        address = socket.local_address().map_err(fail)?;
        receive_buffer = socket.receive_buffer().map_err(fail)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        starts.push(Some(quic::Start {
            shared: shared.clone(),
            socket,
            seed,
            sessions: sessions.clone(),
        }));
    }
    let door = QuicDoor { address, certificates: shared.certificates().clone(), receive_buffer };
    Ok((Some(door), starts))
}

/// The way of the storage's answers.
struct Answers(Vec<Address>);

impl storage::Replies for Answers {
    fn reply(&self, to: ShardId, reply: StoreReply) -> Result<(), StoreReply> {
        match self.0[to.index()].offer(Packet::Stored(reply)) {
            Err(Packet::Stored(reply)) => Err(reply),
            _ => Ok(()),
        }
    }
}

impl uploads::Answers for Answers {
    fn answer(&self, to: Asker, answer: uploads::Answer) -> Result<(), uploads::Answer> {
        match self.0[to.shard.index()].offer(Packet::Uploaded(to, answer)) {
            Err(Packet::Uploaded(_, answer)) => Err(answer),
            _ => Ok(()),
        }
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(bytes))
}
