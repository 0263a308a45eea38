//! The settings of the QUIC door's sessions.

use super::{ConfigError, Hidden, Mode, Reader, Value};
use crate::doors::quic::{
    SessionSettings,
    auth::SECRET_BYTES_MIN,
    session::{OutboxLimits, SessionRates},
};
use std::time::Duration;
use tutti_shards::{Busy, Rate};

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
        login_failures: read.u32("quic.login_failures"),
        login_window: read.ms("quic.login_window_ms"),
        login_lockout: read.ms("quic.login_lockout_ms"),
        ping_every: read.ms("quic.ping_ms"),
        dead_after: read.ms("quic.dead_ms"),
        outbox: OutboxLimits {
            bytes_mark: read.length("quic.outbox_mark_bytes"),
            stream_bytes_mark: read.length("quic.stream_mark_bytes"),
            bytes_max: read.length("quic.outbox_bytes"),
            stalled_max: read.ms("quic.stalled_ms"),
        },
        rates: SessionRates {
            messages: rate(read, "quic.message_rate", "quic.message_burst"),
            commands: rate(read, "quic.command_rate", "quic.command_burst"),
            joins: rate(read, "quic.join_rate", "quic.join_burst"),
            bytes: rate(read, "quic.byte_rate", "quic.byte_burst"),
            refusals: Rate::new(read.u32("quic.refusals"), 10_000),
        },
    })
}

/// So many a second on average, and so many at once.
fn rate(read: &Reader<'_>, rate: &str, burst: &str) -> Rate {
    let (rate, burst) = (read.u64(rate), read.u32(burst));
    Rate { count: burst, per: Duration::from_micros(u64::from(burst) * 1_000_000 / rate) }
}

/// When rooms are busy.
pub(super) fn busy(read: &Reader<'_>) -> Busy {
    Busy {
        rate: read.u32("quic.busy_rate"),
        cool_rate: read.u32("quic.cool_rate"),
        cool_after: Duration::from_secs(read.u64("quic.cool_after_s")),
        window: Duration::from_secs(read.u64("quic.rate_window_s")),
    }
}
