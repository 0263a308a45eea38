//! The settings of the QUIC door's transport.

use super::{ConfigError, Data, Origin, Reader};
use crate::quic::{Settings, Source};
use std::net::SocketAddr;

/// The word of an operator who knows that clients have nothing but the fingerprint to go by.
const SELF_SIGNED: &str = "self-signed";

/// Reads them; `None` when the door stays shut. With `anybody`, there is a way to log in.
pub(super) fn read(
    read: &Reader<'_>,
    data: &Data,
    anybody: bool,
) -> Result<Option<Settings>, ConfigError> {
    let listen: Option<SocketAddr> = read.off_or("quic.listen", "ADDRESS:PORT or \"off\"")?;
    let Some(listen) = listen else { return Ok(None) };
    if !anybody && read.raw.origin("quic.listen") == Origin::Default {
        // Who asked for no QUIC door need not care for tokens. Who asks for one is refused, by the sessions' settings.
        return Ok(None);
    }
    let is_public = !listen.ip().to_canonical().is_loopback();
    let missing = |key, expected: &str| Err(read.refuse(key, expected, "nothing".to_owned()));
    let certificate = read.optional("quic.certificate");
    let is_meant = certificate.as_deref() == Some(SELF_SIGNED);
    let source = match (certificate.filter(|_| !is_meant), read.optional("quic.key")) {
        (Some(certificate), Some(key)) => {
            Source::Files { certificate: certificate.into(), key: key.into() }
        }
        (Some(_), None) => return missing("quic.key", "the key of quic.certificate"),
        (None, Some(_)) => return missing("quic.certificate", "the certificate of quic.key"),
        (None, None) if is_public && !is_meant => {
            return missing(
                "quic.certificate",
                "a PEM file, or \"self-signed\", because other machines can reach quic.listen",
            );
        }
        (None, None) => Source::Made(data.clone()),
    };
    Ok(Some(Settings {
        listen,
        source,
        early_data: read.flag("quic.early_data"),
        datagrams: read.flag("quic.datagrams"),
        idle_timeout: read.ms("quic.idle_timeout_ms"),
        handshake: read.ms("quic.handshake_ms"),
        retry_above: read.u32("quic.retry_above"),
        ignore_above: read.u32("quic.ignore_above"),
        masked_ids: read.text("quic.connection_ids") == "masked",
        receive_buffer: read.length("quic.receive_buffer_bytes"),
        send_buffer: read.length("quic.send_buffer_bytes"),
    }))
}
