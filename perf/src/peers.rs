//! The peers of `perf/peers/peers.toml`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A server that Tutti is compared with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name in reports.
    pub name: String,
    /// What it speaks.
    #[serde(default)]
    pub speaks: Speaks,
    /// How it is built, in a sentence.
    pub how: String,
    /// The command that builds it.
    pub build: String,
    /// The command that starts it, with `{port}` and perhaps `{cpu}`.
    pub start: String,
}

/// The protocol of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaks {
    /// Multiplayer Piano over WebSocket.
    #[default]
    Mpp,
    /// The QUIC door's protocol.
    Quic,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    peer: Vec<Peer>,
}

/// Reads the list.
///
/// # Errors
/// When it is not there, or has a key that is not known.
pub fn read(path: &Path) -> Result<Vec<Peer>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(file.peer)
}
