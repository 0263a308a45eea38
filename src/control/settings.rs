//! How the server runs: panic level, configuration, log, drain, audit log.

use super::{
    Failure, Operator, PATIENCE,
    act::{Act, UNWRITTEN, silent, warned},
    peer::Who,
};
use crate::{
    address::TrustedProxies,
    check::{cap_connections, raise_descriptors},
    config::{Change, Config, HostCpus, Value as Setting, changes, reloaded},
    driver::Ask,
    gate::Panic,
};
use serde_json::{Value, json};
use std::{
    io,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};
use tutti_shards::{OperatorNotice, Order};

/// Most entries of the audit log in one answer.
const AUDIT_MAX: u32 = 10_000;
/// Longest drain, in seconds.
const DRAIN_MAX: u64 = 86_400;

impl Operator {
    pub(super) fn panic(&self, who: &Who, level: Option<u8>) -> Result<Value, Failure> {
        let mut warning = Value::Null;
        if let Some(level) = level {
            let panic = Panic::of(level)
                .ok_or_else(|| Failure::new("bad_level", "panic levels are 0 to 3"))?;
            self.gate.set_panic(panic);
            let younger_ms = self.running().config.panic.guest.as_millis() as u64;
            let muted = (panic >= Panic::GuestsMuted).then_some(younger_ms);
            let details = format!("level {level}: {panic}");
            let act = Act { action: "panic", details, ..Act::default() };
            warning = self.order(who, Order::MuteGuests(muted), act)?["warning"].take();
        }
        let panic = self.gate.panic();
        let mut done = json!({ "level": panic as u8, "means": panic.to_string() });
        if !warning.is_null() {
            done["warning"] = warning;
        }
        Ok(done)
    }

    pub(super) fn log(&self, who: &Who, filter: Option<String>) -> Result<Value, Failure> {
        let mut written = Ok(());
        if let Some(filter) = filter {
            (self.hooks.log)(&filter).map_err(|error| Failure::new("bad_filter", error))?;
            self.running().log.clone_from(&filter);
            written = self.audit(who, Act { action: "log", details: filter, ..Act::default() });
        }
        Ok(warned(json!({ "filter": self.running().log }), UNWRITTEN, written))
    }

    /// Reads the configuration anew, at a signal.
    pub fn reload_at_signal(&self) {
        match self.reload(&Who::signal()) {
            Ok(changed) => tracing::info!(%changed, "configuration reloaded"),
            Err(error) => tracing::error!(%error, "configuration not reloaded: nothing changed"),
        }
    }

    /// Reads the configuration anew. When anything in it is wrong, nothing changes. The audit log has it either way.
    pub(super) fn reload(&self, who: &Who) -> Result<Value, Failure> {
        let (details, done) = match self.read_anew() {
            Ok((details, done)) => (details, Ok(done)),
            Err(failure) => (format!("failed: {}", failure.code), Err(failure)),
        };
        let written = self.audit(who, Act { action: "reload", details, ..Act::default() });
        Ok(warned(done?, UNWRITTEN, written))
    }

    /// Puts what the configuration says now in force: what changed, for the audit log and for who asked.
    fn read_anew(&self) -> Result<(String, Value), Failure> {
        let mut running = self.running();
        let bad = |error: crate::config::ConfigError| {
            Failure::new("bad_configuration", format!("{error}; nothing was changed"))
        };
        let host = HostCpus::of_this_process();
        let next = (self.hooks.load)().map_err(bad)?;
        // All of it has to be right, also what waits for a restart.
        Config::new(&next, &host).map_err(bad)?;
        let changed = changes(&running.raw, &next);
        let merged = reloaded(&running.raw, &next);
        let mut config = Config::new(&merged, &host).map_err(bad)?;
        if let Ok(limit) = raise_descriptors() {
            let _ = cap_connections(&mut config, limit);
        }
        if let Some(quic) = self.control.quic() {
            // The files that it was started with; others need a restart, as other addresses do.
            quic.certificates.reload().map_err(|error| {
                Failure::new("bad_configuration", format!("{error}; nothing was changed"))
            })?;
            tracing::info!("certificate SHA-256 {}", quic.certificates.fingerprint());
        }
        if config.log != running.config.log {
            (self.hooks.log)(&config.log).map_err(|error| Failure::new("bad_filter", error))?;
            running.log.clone_from(&config.log);
        }
        let trusted = TrustedProxies::new(config.trusted_proxies.clone());
        self.gate.reconfigure(trusted, config.panic.connections_per_second);
        let answered = self.control.reload(&config, PATIENCE);
        running.raw = merged;
        running.config = config;
        drop(running);
        if self.gate.panic() >= Panic::GuestsMuted {
            let younger_ms = self.running().config.panic.guest.as_millis() as u64;
            self.give(Order::MuteGuests(Some(younger_ms)))?;
        }
        if answered < self.control.shards() {
            return Err(silent());
        }
        let names = |live: bool| {
            let names = changed.iter().filter(|change| change.is_live() == live);
            names.map(|change| change.key.name).collect::<Vec<_>>()
        };
        let details = format!(
            "changed: {}; after a restart: {}",
            names(true).join(" "),
            names(false).join(" ")
        );
        let list = |live: bool| {
            let list = changed.iter().filter(|change| change.is_live() == live);
            list.map(shown).collect::<Value>()
        };
        Ok((details, json!({ "changed": list(true), "needs_restart": list(false) })))
    }

    /// Lets nobody new in, tells people, and waits until they are gone or the time is over. The server is to be
    /// stopped then.
    pub(super) fn drain(
        &self,
        who: &Who,
        seconds: u64,
        text: Option<String>,
        progress: &mut dyn FnMut(Value) -> io::Result<()>,
    ) -> Result<Value, Failure> {
        if seconds > DRAIN_MAX {
            return Err(Failure::new("bad_time", "a drain takes at most a day"));
        }
        if self.draining.swap(true, Relaxed) {
            return Err(Failure::new("draining", "the server is being drained already"));
        }
        let details = format!("within {seconds} s");
        let written = self.audit(who, Act { action: "drain", details, ..Act::default() });
        if let Err(failure) = written {
            tracing::warn!(%failure, "a drain is not in the audit log");
        }
        tracing::info!(seconds, "draining");
        if let Some(readiness) = &self.readiness {
            readiness.withdraw();
        }
        if self.control.ask_all(&Ask::Deafen, PATIENCE).len() < self.control.shards() {
            tracing::warn!("a shard does not say that it stopped listening");
        }
        let text = text.unwrap_or_else(|| {
            format!("The server will restart within {}. Please come back then.", span(seconds))
        });
        let notice = OperatorNotice {
            title: Some("Notice".into()),
            text: Some(text.into()),
            class: Some("classic".into()),
            duration_ms: Some(i32::try_from(seconds * 1_000).unwrap_or(i32::MAX).max(7_000)),
            ..OperatorNotice::default()
        };
        // Nobody new is let in already: from here on it has to end.
        if let Err(failure) = self.give(Order::NotifyAll(Box::new(notice))) {
            tracing::warn!(%failure, "people may not have been told of the drain");
        }
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let (mut told, mut listening) = (None, true);
        loop {
            let left = self.control.admission().counts().connections;
            let time = deadline.saturating_duration_since(Instant::now());
            if left == 0 || time.is_zero() {
                return Ok(json!({ "closed": left }));
            }
            // Whoever ordered it may go; it goes on.
            if listening && told.is_none_or(|at: Instant| at.elapsed() >= Duration::from_secs(1)) {
                told = Some(Instant::now());
                let so_far = json!({ "connections": left, "left_s": time.as_secs() });
                listening = progress(so_far).is_ok();
            }
            thread::sleep(time.min(Duration::from_millis(50)));
        }
    }

    pub(super) fn audit_log(&self, limit: u32, before: Option<i64>) -> Result<Value, Failure> {
        let entries = self
            .storage
            .audit(before, limit.min(AUDIT_MAX), PATIENCE)
            .map_err(|error| Failure::new("storage", error.to_string()))?;
        let entries: Vec<Value> = entries
            .iter()
            .map(|entry| {
                json!({
                    "number": entry.id,
                    "at_ms": entry.at_ms,
                    "who": entry.actor,
                    "what": entry.action,
                    "channel": entry.channel,
                    "target": entry.target,
                    "reason": entry.reason,
                    "details": entry.details,
                })
            })
            .collect();
        Ok(json!({ "entries": entries }))
    }
}

fn shown(change: &Change) -> Value {
    if change.key.secret {
        return json!({ "key": change.key.name });
    }
    let text = |setting: &Option<Setting>| setting.as_ref().map(ToString::to_string);
    json!({ "key": change.key.name, "before": text(&change.before), "after": text(&change.after) })
}

fn span(seconds: u64) -> String {
    match seconds {
        1 => "1 second".to_owned(),
        0..120 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}
