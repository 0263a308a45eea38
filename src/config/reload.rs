//! What of a changed configuration a running server takes up.

use super::keys::{KEYS, Key};
use super::raw::{RawConfig, Value};

/// Keys that a running server takes up, and tables of such keys (with the dot). What is not here needs a restart.
const LIVE: &[&str] = &[
    "motd",
    "trusted_proxies",
    "proxy_protocol",
    "origins",
    "log",
    "admin.password",
    "admin.guesses",
    "admin.guess_window_ms",
    "admin.lockout_ms",
    "crown.",
    "lobby.",
    "channel.",
    "chat.",
    "ban.",
    "quota.",
    "limits.",
    "cursor.",
    "notes.",
    "notice.",
    "directory.",
    "mesh.",
    "flush.",
    "hot.",
    "rate.",
    "control.peers",
    "control.line_bytes",
    "panic.",
    "shutdown.",
];

/// A key whose value is another now.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which.
    pub key: &'static Key,
    /// What it was; `None` for not set.
    pub before: Option<Value>,
    /// What it is to be.
    pub after: Option<Value>,
}

impl Change {
    /// Whether a running server takes it up.
    #[must_use]
    pub fn is_live(&self) -> bool {
        is_live(self.key.name)
    }
}

fn is_live(name: &str) -> bool {
    LIVE.iter().any(|live| *live == name || (live.ends_with('.') && name.starts_with(live)))
}

/// What is different in `next`, in the order of the table of keys.
#[must_use]
pub fn changes(running: &RawConfig, next: &RawConfig) -> Vec<Change> {
    let change = |key: &'static Key| {
        let (before, after) = (running.value(key.name), next.value(key.name));
        (before != after).then_some(Change { key, before, after })
    };
    KEYS.iter().filter_map(change).collect()
}

/// What is in force after a reload: what a running server takes up is as in `next`, the rest as it runs.
#[must_use]
pub fn reloaded(running: &RawConfig, next: &RawConfig) -> RawConfig {
    let mut merged = running.clone();
    for key in KEYS.iter().filter(|key| is_live(key.name)) {
        merged.take_from(next, key.name);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    fn raw(toml: &str) -> RawConfig {
        let mut raw = RawConfig::default();
        raw.add_file("t.toml", toml).unwrap();
        raw
    }

    #[test]
    fn every_live_name_is_a_key_or_a_table_of_keys() {
        for live in LIVE {
            let known = match live.strip_suffix('.') {
                Some(_) => KEYS.iter().any(|key| key.name.starts_with(live)),
                None => keys::find(live).is_some(),
            };
            assert!(known, "{live}");
        }
    }

    #[test]
    fn what_needs_a_restart_stays_as_it_runs() {
        let running = raw("motd = \"a\"\nshards = 2\nchat.history = 5");
        let next = raw("motd = \"b\"\nshards = 3");
        let names: Vec<_> = changes(&running, &next)
            .iter()
            .map(|change| (change.key.name, change.is_live()))
            .collect();
        assert_eq!(names, [("shards", false), ("motd", true), ("chat.history", true)]);
        let merged = reloaded(&running, &next);
        assert_eq!(merged.value("motd"), next.value("motd"));
        assert_eq!(merged.value("shards"), running.value("shards"));
        assert_eq!(merged.value("chat.history"), next.value("chat.history"));
        assert!(changes(&merged, &merged).is_empty());
    }
}
