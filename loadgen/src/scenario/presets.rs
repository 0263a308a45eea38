//! The scenarios of `perf/scenarios`, built in so that the binary alone has them.

/// Each name with its text, in the order of the help.
const ALL: &[(&str, &str)] = &[
    ("canonical", include_str!("../../../perf/scenarios/canonical.toml")),
    ("fanout", include_str!("../../../perf/scenarios/fanout.toml")),
    ("saturate", include_str!("../../../perf/scenarios/saturate.toml")),
    ("concert", include_str!("../../../perf/scenarios/concert.toml")),
    ("orchestra", include_str!("../../../perf/scenarios/orchestra.toml")),
    ("cursors", include_str!("../../../perf/scenarios/cursors.toml")),
    ("chat", include_str!("../../../perf/scenarios/chat.toml")),
    ("ping", include_str!("../../../perf/scenarios/ping.toml")),
    ("idle", include_str!("../../../perf/scenarios/idle.toml")),
    ("joins", include_str!("../../../perf/scenarios/joins.toml")),
    ("churn", include_str!("../../../perf/scenarios/churn.toml")),
    ("ls-storm", include_str!("../../../perf/scenarios/ls-storm.toml")),
    ("reconnect-storm", include_str!("../../../perf/scenarios/reconnect-storm.toml")),
    ("slow-readers", include_str!("../../../perf/scenarios/slow-readers.toml")),
    ("abuse", include_str!("../../../perf/scenarios/abuse.toml")),
    ("tcp-chat", include_str!("../../../perf/scenarios/tcp-chat.toml")),
    ("tcp-idle", include_str!("../../../perf/scenarios/tcp-idle.toml")),
    ("tcp-joins", include_str!("../../../perf/scenarios/tcp-joins.toml")),
    ("tcp-churn", include_str!("../../../perf/scenarios/tcp-churn.toml")),
    ("quic-handshakes", include_str!("../../../perf/scenarios/quic-handshakes.toml")),
    ("quic-room", include_str!("../../../perf/scenarios/quic-room.toml")),
    ("quic-flood", include_str!("../../../perf/scenarios/quic-flood.toml")),
    ("quic-idle", include_str!("../../../perf/scenarios/quic-idle.toml")),
    ("mixed", include_str!("../../../perf/scenarios/mixed.toml")),
];

/// The names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The text of the file behind a preset.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// What a preset is about, in its own words.
#[must_use]
pub fn about(name: &str) -> Option<String> {
    let table: toml::Table = text(name)?.parse().ok()?;
    Some(table.get("about")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_a_preset_and_every_preset_is_good() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../perf/scenarios");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .filter_map(|entry| {
                let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
                Some(name.strip_suffix(".toml")?.to_owned())
            })
            .collect();
        assert_eq!(files, names().map(str::to_owned).collect());
        for name in names() {
            let (_, scenario) = crate::scenario::load(name, &[]).expect(name);
            assert!(!scenario.about.is_empty(), "{name} says what it is about");
        }
    }
}
