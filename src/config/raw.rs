//! What was written, where: flags over environment over file, not yet related to each other.

use super::keys::{self, KEYS, Key, Kind};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody set the key.
    Default,
    /// A line of the configuration file, counted from 1.
    File {
        /// The file as it was named.
        path: Arc<str>,
        /// The line of the value.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A command line flag, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{path}, line {line}"),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value of the right kind and in range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(u64),
    /// A text, or the word that a key takes instead of a number or truth value.
    Text(String),
    /// A list.
    List(Vec<String>),
}

impl fmt::Display for Value {
    /// Writes the value as a TOML literal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(value) => write!(f, "{value}"),
            Value::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Value::List(items) => {
                let items = items.iter().cloned().map(toml::Value::String).collect();
                write!(f, "{}", toml::Value::Array(items))
            }
        }
    }
}

/// What is wrong with the configuration, and where it was written. The operator is at fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {reason}")]
    Unreadable {
        /// The file as it was named.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{path}, line {line}: {message}")]
    Syntax {
        /// The file as it was named.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{name}` ({origin}); the nearest known one is `{nearest}`")]
    UnknownKey {
        /// The key as it was written.
        name: String,
        /// Where it was written.
        origin: Origin,
        /// The known key most like it.
        nearest: String,
    },
    /// A value of the wrong kind or out of range.
    #[error("`{key}` ({origin}) must be {expected}, not {found}")]
    Value {
        /// The key.
        key: &'static str,
        /// Where the value was written.
        origin: Origin,
        /// What the key takes.
        expected: String,
        /// What was written, or its kind when it is secret.
        found: String,
    },
    /// Two values that cannot stand together.
    #[error("{0}")]
    Relation(String),
}

/// What was written for each key: at most one value, of the right kind, with its origin.
#[derive(Clone, Default, Debug)]
pub struct RawConfig {
    written: BTreeMap<&'static str, (Value, Origin)>,
}

impl RawConfig {
    /// The value of a key, the default where none was written, `None` where there is neither.
    ///
    /// # Panics
    /// When there is no such key: names are ours, not the operator's.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value> {
        if let Some((value, _)) = self.written.get(name) {
            return Some(value.clone());
        }
        let key = keys::find(name).expect("only keys of the table are asked for");
        default_value(key)
    }

    /// Takes what `other` says of a key, or that it says nothing.
    pub(super) fn take_from(&mut self, other: &RawConfig, name: &'static str) {
        match other.written.get(name) {
            Some(written) => self.written.insert(name, written.clone()),
            None => self.written.remove(name),
        };
    }

    /// Where the value of a key came from.
    #[must_use]
    pub fn origin(&self, name: &str) -> Origin {
        self.written.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Adds the values of a TOML file, over what is there.
    ///
    /// # Errors
    /// When it is not TOML, names an unknown key or has a value that its key does not take.
    pub fn add_file(&mut self, path: &str, text: &str) -> Result<(), ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let file = File { path: path.into(), text };
        self.add_table(&file, "", table.get_ref())
    }

    fn add_table(
        &mut self,
        file: &File<'_>,
        prefix: &str,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            let origin = Origin::File {
                path: file.path.clone(),
                line: line_of(file.text, key.span().start),
            };
            match (value.get_ref(), keys::find(&name)) {
                (DeValue::Table(inner), None) if is_table(&name) || !inner.is_empty() => {
                    self.add_table(file, &name, inner)?;
                }
                (value, Some(key)) => {
                    let value = from_toml(key, value, &origin)?;
                    self.written.insert(key.name, (value, origin));
                }
                (_, None) => return Err(unknown(&name, origin)),
            }
        }
        Ok(())
    }

    /// Adds the values of environment variables, over what is there. An empty one counts as not set.
    ///
    /// Besides `TUTTI_...` these are the names that operators of such servers already use: `WS_PORT`, `NODE_ENV`
    /// (only `production` and `prod` say something), `SALT1`, `SALT2` and `RUST_LOG`; where both are set the
    /// `TUTTI_...` one counts. `TUTTI_CONFIG` names the file and is left to the caller. `TUTTI_TEST_...` is free
    /// for test programs, and `TUTTI_SERVICE_...` and `TUTTI_PORT...` are what Kubernetes sets in every container
    /// beside a service called tutti; none of these is a key.
    ///
    /// # Errors
    /// When a `TUTTI_...` variable is no key, or has a value that its key does not take.
    pub fn add_env<'a>(
        &mut self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ConfigError> {
        let mut ours = Vec::new();
        for (name, value) in variables {
            match name {
                _ if value.is_empty() => {}
                "WS_PORT" => self.add_ws_port(value)?,
                "NODE_ENV" => match value.to_lowercase().as_str() {
                    "production" | "prod" => {
                        self.add_text("mode", "production", Origin::Env(name.to_owned()))?;
                    }
                    _ => {}
                },
                "SALT1" => self.add_text("salt1", value, Origin::Env(name.to_owned()))?,
                "SALT2" => self.add_text("salt2", value, Origin::Env(name.to_owned()))?,
                "RUST_LOG" => self.add_text("log", value, Origin::Env(name.to_owned()))?,
                _ if name.starts_with("TUTTI_") && !is_foreign(name) => ours.push((name, value)),
                _ => {}
            }
        }
        for (name, value) in ours {
            let Some(key) = KEYS.iter().find(|key| key.env() == name) else {
                let nearest = nearest(name, KEYS.iter().map(Key::env));
                let origin = Origin::Env(name.to_owned());
                return Err(ConfigError::UnknownKey { name: name.to_owned(), origin, nearest });
            };
            self.add_text(key.name, value, Origin::Env(name.to_owned()))?;
        }
        Ok(())
    }

    fn add_ws_port(&mut self, value: &str) -> Result<(), ConfigError> {
        let origin = Origin::Env("WS_PORT".to_owned());
        let port: u16 = value.trim().parse().map_err(|_| ConfigError::Value {
            key: "listen",
            origin: origin.clone(),
            expected: "a port from 0 to 65535".to_owned(),
            found: format!("{value:?}"),
        })?;
        self.add_text("listen", &format!("0.0.0.0:{port}"), origin)
    }

    /// Sets one key from text, as flags and variables give it, over what is there.
    ///
    /// # Errors
    /// When the key does not take the value.
    ///
    /// # Panics
    /// When there is no such key: names are ours, not the operator's.
    pub fn add_text(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let key = keys::find(name).expect("only keys of the table are set");
        let value = from_text(key, text, &origin)?;
        self.written.insert(key.name, (value, origin));
        Ok(())
    }
}

struct File<'a> {
    path: Arc<str>,
    text: &'a str,
}

fn default_value(key: &Key) -> Option<Value> {
    if key.default.is_empty() {
        return None;
    }
    let value = DeValue::parse(key.default).expect("defaults are TOML literals");
    Some(from_toml(key, value.get_ref(), &Origin::Default).expect("defaults are in range"))
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.table() == name || key.table().starts_with(&format!("{name}.")))
}

fn is_foreign(variable: &str) -> bool {
    variable == "TUTTI_CONFIG"
        || variable == "TUTTI_PORT"
        || ["TUTTI_TEST_", "TUTTI_SERVICE_", "TUTTI_PORT_"]
            .iter()
            .any(|prefix| variable.starts_with(prefix))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn unknown(name: &str, origin: Origin) -> ConfigError {
    let nearest = nearest(name, KEYS.iter().map(|key| key.name.to_owned()));
    ConfigError::UnknownKey { name: name.to_owned(), origin, nearest }
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    let likeness = |known: &String| strsim::normalized_damerau_levenshtein(name, known);
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).expect("there are keys")
}

fn mismatch(key: &Key, origin: &Origin, found: String) -> ConfigError {
    let found = if key.secret { "what stands there".to_owned() } else { found };
    ConfigError::Value { key: key.name, origin: origin.clone(), expected: key.range(), found }
}

fn from_text(key: &'static Key, text: &str, origin: &Origin) -> Result<Value, ConfigError> {
    let refuse = || mismatch(key, origin, format!("{text:?}"));
    let word = text.trim();
    match key.kind {
        Kind::List(_) => Some(Value::List(split_list(text))),
        Kind::Text(_) => check(key, Value::Text(text.to_owned())),
        Kind::Choice(_) => check(key, Value::Text(word.to_owned())),
        Kind::Bool | Kind::BoolOr(_) => match word {
            "true" | "on" | "yes" | "1" => Some(Value::Bool(true)),
            "false" | "off" | "no" | "0" => Some(Value::Bool(false)),
            other => check(key, Value::Text(other.to_owned())),
        },
        Kind::Number { .. } => match word.replace('_', "").parse() {
            Ok(number) => check(key, Value::Number(number)),
            Err(_) => check(key, Value::Text(word.to_owned())),
        },
    }
    .ok_or_else(refuse)
}

fn from_toml(key: &Key, value: &DeValue<'_>, origin: &Origin) -> Result<Value, ConfigError> {
    let refuse = |found| mismatch(key, origin, found);
    match value {
        DeValue::Boolean(value) => {
            check(key, Value::Bool(*value)).ok_or_else(|| refuse(value.to_string()))
        }
        DeValue::Integer(_) => {
            let number = integer(value).ok_or_else(|| refuse("that number".to_owned()))?;
            check(key, Value::Number(number)).ok_or_else(|| refuse(number.to_string()))
        }
        DeValue::String(text) if matches!(key.kind, Kind::List(_)) => {
            Ok(Value::List(split_list(text)))
        }
        DeValue::String(text) => {
            check(key, Value::Text(text.to_string())).ok_or_else(|| refuse(format!("{text:?}")))
        }
        DeValue::Array(items) if matches!(key.kind, Kind::List(_)) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                number @ DeValue::Integer(_) => integer(number)
                    .map(|number| number.to_string())
                    .ok_or_else(|| refuse("a list with such a number".to_owned())),
                other => Err(refuse(format!("a list with a {}", other.type_str()))),
            });
            Ok(Value::List(texts.collect::<Result<_, _>>()?))
        }
        other => Err(refuse(format!("a value of type {}", other.type_str()))),
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(&integer.as_str().replace(['_', '+'], ""), integer.radix()).ok()
}

fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The value if the key takes it.
fn check(key: &Key, value: Value) -> Option<Value> {
    let fits = match (&key.kind, &value) {
        (Kind::Bool | Kind::BoolOr(_), Value::Bool(_)) => true,
        (Kind::Text(form), Value::Text(text)) => !text.is_empty() || *form == keys::ANY_TEXT,
        (Kind::BoolOr(word), Value::Text(text)) => text == word,
        (Kind::Number { min, max, .. }, Value::Number(number)) => (min..=max).contains(&number),
        (Kind::Number { word: Some(word), .. }, Value::Text(text)) => text == word,
        (Kind::Choice(words), Value::Text(text)) => words.contains(&text.as_str()),
        _ => false,
    };
    fits.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<RawConfig, ConfigError> {
        let mut raw = RawConfig::default();
        raw.add_file("tutti.toml", text).map(|()| raw)
    }

    fn refused(text: &str) -> String {
        file(text).expect_err(text).to_string()
    }

    #[test]
    fn nested_tables_dotted_keys_and_inline_tables_are_the_same() {
        for text in [
            "[rate.chat]\ncount = 7\n",
            "rate.chat.count = 7",
            "[rate]\nchat = { count = 7, per_ms = 4000 }",
        ] {
            assert_eq!(file(text).unwrap().value("rate.chat.count"), Some(Value::Number(7)));
        }
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let message = refused("[limits]\nmesage_bytes = 1\n");
        assert!(message.contains("`limits.mesage_bytes` (tutti.toml, line 2)"), "{message}");
        assert!(message.contains("`limits.message_bytes`"), "{message}");
        assert!(refused("[crowns]\non_leave = \"drop\"").contains("`crown.on_leave`"));
        assert!(refused("[nothing]").contains("`nothing`"));
        assert!(refused("limits = 5").contains("unknown key `limits`"));
        assert!(refused("motd = { html = 1 }").contains("`motd`"));

        let mut raw = RawConfig::default();
        let error = raw.add_env([("TUTTI_LIMIT_MESSAGE_BYTES", "1")]).unwrap_err().to_string();
        assert!(error.contains("`TUTTI_LIMITS_MESSAGE_BYTES`"), "{error}");
    }

    #[test]
    fn variables_that_others_own_are_no_keys() {
        let mut raw = RawConfig::default();
        let foreign = ["TUTTI_CONFIG", "TUTTI_PORT", "TUTTI_PORT_8080_TCP", "TUTTI_SERVICE_HOST"];
        raw.add_env(foreign.map(|name| (name, "x"))).unwrap();
        raw.add_env([("TUTTI_TEST_SEED", "1"), ("TUTTI_MOTD", ""), ("PATH", "/bin")]).unwrap();
        assert!(raw.written.is_empty());
    }

    #[test]
    fn values_out_of_range_say_what_is_taken_and_where_they_stand() {
        let message = refused("\n\n[limits]\nmessage_bytes = 12\n");
        assert_eq!(
            message,
            "`limits.message_bytes` (tutti.toml, line 4) must be a number from 1024 to 67108864, not 12"
        );
        assert!(refused("limits.message_bytes = -5").contains("number from 1024"));
        assert!(refused("limits.message_bytes = \"many\"").contains("not \"many\""));
        assert!(refused("limits.message_bytes = \"unlimited\"").contains("number from 1024"));
        assert!(refused("listen = [1.5]").contains("float"));
        assert!(refused("mode = \"fast\"").contains("\"development\" or \"production\""));
        assert!(refused("tokens = \"maybe\"").contains("true, false or \"auto\""));
        assert!(refused("motd = 5").contains("any text"));
        assert!(refused("limits.message_bytes = 99999999999999999999").contains("that number"));
        assert!(refused("a = [").starts_with("tutti.toml, line 1"));
    }

    #[test]
    fn secrets_are_not_repeated_in_errors() {
        assert!(!refused("admin.password = 271828").contains("271828"));
    }

    #[test]
    fn numbers_may_be_grouped_and_words_stand_for_them() {
        let raw = file("limits.outbox_bytes = 2_000_000\nlobby.capacity = \"unlimited\"").unwrap();
        assert_eq!(raw.value("limits.outbox_bytes"), Some(Value::Number(2_000_000)));
        assert_eq!(raw.value("lobby.capacity"), Some(Value::Text("unlimited".into())));
    }

    #[test]
    fn names_of_old_servers_work_and_our_own_stand_above_them() {
        let mut raw = RawConfig::default();
        let old =
            [("WS_PORT", "9000"), ("NODE_ENV", "Prod"), ("SALT1", "alpha"), ("SALT2", "beta")];
        raw.add_env(old).unwrap();
        assert_eq!(raw.value("listen"), Some(Value::List(vec!["0.0.0.0:9000".into()])));
        assert_eq!(raw.value("mode"), Some(Value::Text("production".into())));
        assert_eq!(raw.value("salt2"), Some(Value::Text("beta".into())));
        assert_eq!(raw.origin("mode").to_string(), "environment variable NODE_ENV");

        raw.add_env([("TUTTI_LISTEN", "127.0.0.1:1, [::1]:2"), ("WS_PORT", "9000")]).unwrap();
        let both = Value::List(vec!["127.0.0.1:1".into(), "[::1]:2".into()]);
        assert_eq!(raw.value("listen"), Some(both));
        assert!(raw.add_env([("WS_PORT", "eighty")]).is_err());
    }

    #[test]
    fn node_env_of_another_kind_says_nothing() {
        let mut raw = file("mode = \"production\"").unwrap();
        raw.add_env([("NODE_ENV", "test")]).unwrap();
        assert_eq!(raw.value("mode"), Some(Value::Text("production".into())));
    }
}
