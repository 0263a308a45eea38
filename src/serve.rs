//! Running the server.

use crate::{
    activation::Passed,
    address::TrustedProxies,
    admin::{Admin, AdminError},
    check::{ThisHost, Unfit, cap_connections, raise_descriptors, ready_to_start, shortfalls},
    config::{Config, RawConfig},
    control::{ControlSocket, Hooks, Operator, SocketError},
    driver::{DriverError, QuicDoor, Shards},
    gate::{Gate, wall_ms},
    notify::Notifier,
    storage::{OpenError, Storage, StorageError},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{io, sync::Arc, thread, time::Duration};

/// Exit code after a second signal: what shells report for a process that SIGINT ended.
const EXIT_AT_ONCE: i32 = 130;

/// How long the storage may take to read the bans.
const START_TIME: Duration = Duration::from_secs(30);

/// Why the server did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The host or the configuration does not let it run; exit code 78.
    #[error("this host is not fit: {0}")]
    Unfit(#[from] Unfit),
    /// What is kept cannot be opened.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// The control socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The control socket cannot be served.
    #[error("cannot serve the control socket: {0}")]
    Control(io::Error),
    /// The bans cannot be read.
    #[error("cannot read the bans: {0}")]
    Bans(StorageError),
    /// The shards do not run.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The admin listener cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The thread that speaks to the service manager cannot be started.
    #[error("cannot start the thread for the service manager: {0}")]
    Notifier(io::Error),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

/// Runs the server until it is told to stop: SIGTERM or SIGINT end it in good order, a second one at once.
///
/// `passed` are listeners from the service manager; with any, `listen` names their addresses. `raw` is what the
/// configuration was made of, and `hooks` what makes a new one.
///
/// # Errors
/// When it cannot start on this host, or could not go on.
pub fn serve(
    mut config: Config,
    passed: &Passed,
    raw: RawConfig,
    hooks: Hooks,
) -> Result<(), ServeError> {
    ready_to_start(&config, &ThisHost::default(), !passed.is_empty())?;
    for finding in shortfalls(&config, &ThisHost::default()) {
        tracing::warn!("{finding}");
    }
    match raise_descriptors() {
        Ok(limit) => {
            for (setting, cap) in cap_connections(&mut config, limit) {
                tracing::warn!(
                    "{setting} is capped at {cap} by the limit of open files (LimitNOFILE=, ulimit -n)"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
    // Before any other thread is there, so that no signal is missed.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(ServeError::Signals)?;
    let admin = config.admin_listen.map(Admin::open).transpose()?;
    let ready = admin.as_ref().map(Admin::readiness);
    let storage = Storage::open(&config)?;
    // After the storage, which has the data folder to itself: a socket that is there is a dead server's.
    let socket = config.control.socket.as_deref().map(ControlSocket::open).transpose()?;
    let trusted = TrustedProxies::new(config.trusted_proxies.clone());
    let gate = Arc::new(Gate::new(trusted, config.panic.connections_per_second));
    let bans = storage.handle().bans(None, wall_ms(), START_TIME).map_err(ServeError::Bans)?;
    gate.set_bans(bans);
    let shards = Shards::start(&config, passed, &storage.handle(), &gate)?;
    let control = shards.control();
    let operator = Operator::new(control.clone(), storage.handle(), raw, config.clone(), hooks);
    let operator = Arc::new(operator.with_readiness(ready.clone()));
    let counts = operator.counts();
    if let Some(Err(error)) =
        admin.map(|admin| admin.serve(control.clone(), storage.handle(), counts))
    {
        control.stop();
        shards.join()?;
        return Err(error.into());
    }
    if let Some(Err(error)) = socket.as_ref().map(|socket| operator.serve(socket)) {
        control.stop();
        shards.join()?;
        return Err(ServeError::Control(error));
    }
    let notifier = Notifier::start(control.clone()).map_err(ServeError::Notifier)?;
    let handle = signals.handle();
    let waiter = thread::spawn(move || {
        let mut told = false;
        for signal in &mut signals {
            if signal == SIGHUP {
                operator.reload_at_signal();
                continue;
            }
            if told {
                tracing::warn!(signal, "told to stop twice: ending at once");
                std::process::exit(EXIT_AT_ONCE);
            }
            told = true;
            tracing::info!(signal, "stopping");
            if let Some(ready) = &ready {
                ready.withdraw();
            }
            control.stop();
            notifier.stopping();
        }
    });
    for address in &config.listen {
        tracing::info!(shards = config.shards, cpus = ?config.cpus, "listening on http://{address}");
    }
    if let Some(quic) = shards.control().quic() {
        quic_starts(quic, &config);
    } else if config.quic_waits {
        tracing::info!(
            "no QUIC door, because nobody could log in there: set quic.token_secret or quic.token_public_key"
        );
    }
    if let Some(address) = config.line.listen {
        tracing::info!("line chat on {address}");
    }
    if let Some(address) = config.admin_listen {
        tracing::info!("metrics on http://{address}/metrics");
    }
    let ended = shards.join();
    // Nobody can be asked any more.
    drop(socket);
    // After the shards, so that what they wrote last is kept.
    drop(storage);
    handle.close();
    // It ends with the handle; a panic there has ended the process.
    let _ = waiter.join();
    tracing::info!("stopped");
    Ok(ended?)
}

/// Says where QUIC clients find the server and how they know it.
fn quic_starts(quic: &QuicDoor, config: &Config) {
    let (address, fingerprint) = (quic.address, quic.certificates.fingerprint());
    tracing::info!("QUIC on {address}, certificate SHA-256 {fingerprint}");
    let asked = config.quic.as_ref().map_or(0, |settings| settings.receive_buffer);
    // Linux counts what it knows about each datagram as well, and says twice what it was asked for.
    if quic.receive_buffer / 2 < asked {
        tracing::warn!(
            "the kernel keeps {} bytes of datagrams for each shard, not {asked}: bursts will be lost; `tutti check` names net.core.rmem_max",
            quic.receive_buffer / 2
        );
    }
}
