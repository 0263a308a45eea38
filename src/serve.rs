//! Running the server.

use crate::check::{ThisHost, Unfit, ready_to_start};
use crate::config::Config;

/// Why the server did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The host or the configuration does not let it run; exit code 78.
    #[error("this host is not fit: {0}")]
    Unfit(#[from] Unfit),
    /// There is no driver in this build.
    #[error("the driver is not built yet")]
    NotBuilt,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// When it cannot start on this host, or could not go on.
pub fn serve(config: Config) -> Result<(), ServeError> {
    ready_to_start(&config, &ThisHost)?;
    Err(ServeError::NotBuilt)
}
