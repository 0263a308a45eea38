//! What the service manager is told (systemd's `Type=notify`): ready, stopping, alive, and a line of status.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is told and nothing is asked.

use crate::driver::{Control, Report};
use sd_notify::NotifyState;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// How long shards may take to answer before one counts as stuck.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// How often the line of status is renewed when no watchdog asks for more.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// Tells the service manager how the server is, from a thread of its own.
#[derive(Debug)]
pub(crate) struct Notifier {
    stopping: Arc<AtomicBool>,
    /// Wakes the thread; it ends when this is dropped.
    wake: Option<SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Notifier {
    /// Begins to tell: `READY=1` once every shard has answered, then `WATCHDOG=1` twice in each of the manager's
    /// intervals, but only while every shard answers.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(control: Control) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Notifier { stopping, wake: None, thread: None });
        }
        let (wake, woken) = sync_channel(1);
        let teller = Teller { control, stopping: stopping.clone() };
        let thread = thread::Builder::new()
            .name("tutti-notify".to_owned())
            .spawn(move || teller.run(&woken))?;
        Ok(Notifier { stopping, wake: Some(wake), thread: Some(thread) })
    }

    /// The server is about to stop. Never waits for the manager.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(wake) = &self.wake {
            // One that is full wakes it as well.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Teller {
    control: Control,
    stopping: Arc<AtomicBool>,
}

impl Teller {
    fn run(&self, woken: &Receiver<()>) {
        // Half of what the manager allows, so that one late answer is no reason to be killed.
        let watchdog = sd_notify::watchdog_enabled().map(|allowed| allowed / 2);
        let interval = watchdog.unwrap_or(STATUS_INTERVAL).min(STATUS_INTERVAL);
        let answer_time = ANSWER_TIME.min(interval);
        let (mut ready, mut told) = (false, false);
        loop {
            if self.stopping.load(Ordering::Relaxed) {
                // Shards end one by one now, within a deadline of their own.
                if !told {
                    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
                    told = true;
                } else if watchdog.is_some() {
                    tell(&[NotifyState::Watchdog]);
                }
            } else {
                let reports = self.control.reports(answer_time);
                let status = status(&reports, self.control.shards());
                let mut states = vec![NotifyState::Status(&status)];
                if reports.len() == self.control.shards() {
                    if !std::mem::replace(&mut ready, true) {
                        states.push(NotifyState::Ready);
                    }
                    if watchdog.is_some() {
                        states.push(NotifyState::Watchdog);
                    }
                } else if ready {
                    tracing::warn!("{status}");
                }
                tell(&states);
            }
            // Before it is ready there is nothing to wait for but the shards' first answer.
            let wait = if ready || told { interval } else { Duration::from_millis(10) };
            match woken.recv_timeout(wait) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// One line for `systemctl status`.
fn status(reports: &[Report], shards: usize) -> String {
    if reports.len() < shards {
        let answered: Vec<u16> = reports.iter().map(|report| report.shard.0).collect();
        let silent = (0..shards as u16).filter(|shard| !answered.contains(shard));
        let silent: Vec<String> = silent.map(|shard| shard.to_string()).collect();
        return format!("of {shards} shards these do not answer: {}", silent.join(", "));
    }
    let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    let connections = sum(|report| report.gauges.connections);
    let channels = sum(|report| report.gauges.channels);
    format!("{connections} connections in {channels} channels on {shards} shards")
}

/// A manager that cannot be reached is told in the log; the server goes on.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager (NOTIFY_SOCKET)");
    }
}
