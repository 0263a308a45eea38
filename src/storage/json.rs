//! Records as JSON in a column: a field that is added later needs a default and no migration.

use serde::{Serialize, de::DeserializeOwned};

/// A record as it is kept.
pub(super) fn write(record: &impl Serialize) -> rusqlite::Result<String> {
    let fail = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    serde_json::to_string(record).map_err(fail)
}

/// What was kept. A record that cannot be read is left out, as if it had never been: one must not cost the others.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, text: &str) -> Option<T> {
    match serde_json::from_str(text) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(%error, what, "a record in the database cannot be read and is left out");
            None
        }
    }
}
