//! The configuration as TOML, for people and for files.

use super::Config;
use super::keys::{KEYS, Key};
use super::raw::{Origin, RawConfig, Value};
use std::fmt::Write as _;

/// All keys with their defaults and documentation, as a file to start from.
#[must_use]
pub fn print_default() -> String {
    let mut text = String::from(
        "# Tutti's configuration: every key with its default.\n\
         # Flags stand over environment variables, those over this file, and this file over the defaults.\n",
    );
    each_key(&mut text, |text, key| {
        let mut comment = String::from(key.what);
        let _ = write!(comment, "\nTakes: {}.", key.range());
        if let Some(unit) = key.unit() {
            let _ = write!(comment, " Unit: {unit}.");
        }
        let default = if key.default.is_empty() { "not set" } else { key.default };
        let _ = write!(comment, " Default: {default}.\nCost: {}", key.cost);
        let _ = write!(comment, "\nEnvironment: {}.", key.env());
        text.push('\n');
        for line in comment.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let _ = match key.default {
            "" => writeln!(text, "# {} = \"\"", key.leaf()),
            default => writeln!(text, "{} = {default}", key.leaf()),
        };
    });
    text
}

/// All keys with the values in force and where each came from; it reads back to the same configuration, except for
/// secrets, which are not shown. Where a value leaves the choice to the server, what it chose on this host is said.
#[must_use]
pub fn print_effective(raw: &RawConfig, config: &Config) -> String {
    let mut text =
        String::from("# Tutti's configuration in force, and where each value came from.\n\n");
    each_key(&mut text, |text, key| {
        let origin = raw.origin(key.name);
        let _ = match raw.value(key.name) {
            Some(_) if key.secret => {
                writeln!(text, "# {} is set but not shown  # {origin}", key.leaf())
            }
            Some(value) => {
                let chosen = chosen(key.name, &value, config);
                writeln!(text, "{} = {value}  # {origin}{chosen}", key.leaf())
            }
            None => writeln!(text, "# {} is not set  # {}", key.leaf(), Origin::Default),
        };
    });
    text
}

fn each_key(text: &mut String, mut print: impl FnMut(&mut String, &Key)) {
    let mut table = "";
    for key in KEYS {
        if key.table() != table {
            table = key.table();
            let _ = writeln!(text, "\n[{table}]");
        }
        print(text, key);
    }
}

fn chosen(name: &str, value: &Value, config: &Config) -> String {
    let auto = *value == Value::Text("auto".to_owned());
    match name {
        "shards" if auto => format!("; here {}", config.shards),
        "tokens" if auto => format!("; here {}", config.tokens),
        "cpus" if *value == Value::List(Vec::new()) => format!("; here {:?}", config.cpus),
        _ => String::new(),
    }
}
