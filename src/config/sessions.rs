//! The settings of the QUIC door's sessions.

use super::{ConfigError, Hidden, Mode, Reader, Value};
use crate::doors::quic::{SessionSettings, auth::SECRET_BYTES_MIN};

/// Reads them. With `open`, that is with a QUIC address, somebody has to be able to come in.
pub(super) fn read(
    read: &Reader<'_>,
    mode: Mode,
    open: bool,
) -> Result<SessionSettings, ConfigError> {
    let token_secret = read.optional("quic.token_secret");
    if token_secret.as_ref().is_some_and(|secret| secret.len() < SECRET_BYTES_MIN) {
        return Err(read.refuse(
            "quic.token_secret",
            "at least 32 bytes, for example of `openssl rand -hex 32`",
            "fewer".to_owned(),
        ));
    }
    let token_public_key = read.optional("quic.token_public_key");
    let names = match read.value("quic.names") {
        Value::Bool(on) => on,
        _ => mode == Mode::Development,
    };
    if open && !names && token_secret.is_none() && token_public_key.is_none() {
        return Err(read.refuse(
            "quic.token_secret",
            "a secret, or quic.token_public_key, or quic.names = true, because nobody could come in through quic.listen",
            "nothing".to_owned(),
        ));
    }
    Ok(SessionSettings {
        token_secret: token_secret.map(Hidden::new),
        token_public_key: token_public_key.map(Into::into),
        token_issuer: read.optional("quic.token_issuer").map(Into::into),
        token_audience: read.optional("quic.token_audience").map(Into::into),
        names,
        lanes: read.u32("quic.lanes") as u8,
        rooms_max: read.length("quic.rooms"),
        hot_rooms_max: read.length("quic.hot_rooms"),
        auth_deadline: read.ms("quic.auth_ms"),
        ping_every: read.ms("quic.ping_ms"),
        dead_after: read.ms("quic.dead_ms"),
        outbox_bytes_max: read.length("quic.outbox_bytes"),
    })
}
