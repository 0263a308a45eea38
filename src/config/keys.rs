//! The one table of all configuration keys: name, kind, default and documentation.
//!
//! Reading (file, environment), printing and the documentation that `tutti config --default` prints all come from
//! here, so a key cannot exist in one of them only. The defaults stand here as text; a test holds them against
//! [`tutti_shards::Config::default`].

mod line;
mod quic;
mod sessions;
mod table;
mod uploads;

/// Every key, table by table.
pub const KEYS: &[Key] =
    &joined::<
        {
            table::TABLE.len()
                + line::LINE.len()
                + quic::QUIC.len()
                + sessions::SESSIONS.len()
                + uploads::UPLOADS.len()
        },
    >(&[table::TABLE, line::LINE, quic::QUIC, sessions::SESSIONS, uploads::UPLOADS]);

const fn joined<const N: usize>(tables: &[&[Key]]) -> [Key; N] {
    let mut all = [tables[0][0]; N];
    let (mut at, mut table, mut row) = (0, 0, 0);
    while at < N {
        while row == tables[table].len() {
            (table, row) = (table + 1, 0);
        }
        all[at] = tables[table][row];
        (at, row) = (at + 1, row + 1);
    }
    all
}

/// What values a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// `true`, `false` or the word.
    BoolOr(&'static str),
    /// A whole number in `min..=max`, or the word where there is one.
    Number {
        /// Smallest number taken.
        min: u64,
        /// Largest number taken.
        max: u64,
        /// What the number counts.
        unit: &'static str,
        /// `"unlimited"` or `"auto"`, where the key takes it instead of a number.
        word: Option<&'static str>,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text; the string says of what form.
    Text(&'static str),
    /// A list of texts; the string says of what form each is.
    List(&'static str),
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name with dots between tables, for example `limits.message_bytes`.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The default as a TOML literal, empty where the key has none.
    pub default: &'static str,
    /// What it does, in full sentences.
    pub what: &'static str,
    /// What it costs or what breaks when it is too small or too large.
    pub cost: &'static str,
    /// Whether the value must never be printed.
    pub secret: bool,
}

impl Key {
    /// The environment variable of the key: `TUTTI_` and the name in capitals with `_` for each dot.
    #[must_use]
    pub fn env(&self) -> String {
        format!("TUTTI_{}", self.name.to_uppercase().replace('.', "_"))
    }

    /// The table that the key stands in, empty for the top level.
    #[must_use]
    pub fn table(&self) -> &'static str {
        self.name.rsplit_once('.').map_or("", |(table, _)| table)
    }

    /// The name inside its table.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, leaf)| leaf)
    }

    /// The values that the key takes, for people.
    #[must_use]
    pub fn range(&self) -> String {
        match self.kind {
            Kind::Bool => "true or false".into(),
            Kind::BoolOr(word) => format!("true, false or \"{word}\""),
            Kind::Number { min, max, word: None, .. } => format!("a number from {min} to {max}"),
            Kind::Number { min, max, word: Some(word), .. } => {
                format!("a number from {min} to {max}, or \"{word}\"")
            }
            Kind::Choice(words) => {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
            }
            Kind::Text(form) => form.into(),
            Kind::List(form) => format!("a list, each {form}"),
        }
    }

    /// The unit, where the key is a number.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Number { unit, .. } => Some(unit),
            _ => None,
        }
    }
}

/// The key called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The form of a text that may be empty; no other may.
pub(super) const ANY_TEXT: &str = "any text";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_variables_are_unambiguous() {
        let names: HashSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: HashSet<_> = KEYS.iter().map(Key::env).collect();
        assert_eq!(names.len(), KEYS.len());
        assert_eq!(variables.len(), KEYS.len());
        assert!(variables.contains("TUTTI_CROWN_ON_LEAVE"));
        assert!(variables.contains("TUTTI_LIMITS_MESSAGE_BYTES"));
    }

    #[test]
    fn tables_are_contiguous_and_no_key_is_a_table() {
        let mut tables = Vec::new();
        for key in KEYS {
            if tables.last() != Some(&key.table()) {
                assert!(!tables.contains(&key.table()), "{} stands apart from its table", key.name);
                tables.push(key.table());
            }
            assert!(find(key.table()).is_none(), "{} is a key and a table", key.table());
        }
    }

    #[test]
    fn every_key_is_documented() {
        for key in KEYS {
            assert!(key.what.ends_with('.') && key.cost.ends_with('.'), "{}", key.name);
        }
    }
}
