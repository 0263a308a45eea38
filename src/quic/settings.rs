//! What an operator sets, and what all shards share.

use super::{
    cid::Generator,
    handshake::Handshakes,
    secrets::Secrets,
    tls::{Certificates, Source, TlsError},
};
use crate::{admission::Admission, config::Data, identity::SecretError};
use quinn_proto::{
    AckFrequencyConfig, BloomTokenLog, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig,
    ValidationTokenConfig, VarInt,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// Bytes that a client may send on one stream beyond what was read from it.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of a connection that were written and not yet acknowledged, or not yet sent. What is beyond waits in the
/// session, which has limits of its own.
const SEND_WINDOW: u64 = 256 << 10;
/// Streams that a client may have open at once (protocol page, section 2).
const TWO_WAY_STREAMS: u32 = 8;
const ONE_WAY_STREAMS: u32 = 16;
/// Bytes of datagrams that wait to be taken by the session or to be sent.
const DATAGRAM_BYTES: usize = 16 << 10;
/// Packets that a client need not acknowledge at once, where it can be told so (draft-ietf-quic-ack-frequency): in a
/// busy room most of what comes are acknowledgements.
const PACKETS_AN_ACK: u32 = 9;
/// Bytes that the log of used address tokens takes at most, and how many of them it is made for.
const TOKEN_LOG_BYTES: usize = 1 << 20;
const TOKEN_LOG_ITEMS: u64 = 200_000;

/// The settings of the transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where its datagrams come to.
    pub listen: SocketAddr,
    /// The certificate.
    pub source: Source,
    /// Whether clients that come back may speak before the handshake is over.
    pub early_data: bool,
    /// Whether clients may send datagrams beside streams.
    pub datagrams: bool,
    /// How long nothing may be heard from a client before its connection is forgotten.
    pub idle_timeout: Duration,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Handshakes of a shard over which a client has to show first that its address is its own; below `ignore_above`.
    pub retry_above: u32,
    /// Handshakes of a shard over which new ones are not answered.
    pub ignore_above: u32,
    /// Whether connection ids hide the shard that they name.
    pub masked_ids: bool,
    /// Bytes that the kernel keeps of what has come, for each shard.
    pub receive_buffer: usize,
    /// Bytes that it keeps of what is to be sent, for each shard.
    pub send_buffer: usize,
}

/// Why the transport cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No secrets.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What all shards share.
pub struct Shared {
    pub(super) settings: Settings,
    pub(super) secrets: Secrets,
    pub(super) server: Arc<ServerConfig>,
    pub(super) admission: Arc<Admission>,
    certificates: Arc<Certificates>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    /// Reads or makes secrets and certificate.
    ///
    /// # Errors
    /// When they cannot be had; the text names the setting.
    pub fn open(
        settings: Settings,
        data: &Data,
        admission: Arc<Admission>,
    ) -> Result<Arc<Self>, SetupError> {
        let secrets = Secrets::open(data, settings.masked_ids)?;
        let certificates = Certificates::open(settings.source.clone())?;
        let tls = Handshakes::new(certificates.server_config(settings.early_data)?);
        let mut server = ServerConfig::new(Arc::new(tls), secrets.tokens.clone());
        let log = BloomTokenLog::new_expected_items(TOKEN_LOG_BYTES, TOKEN_LOG_ITEMS);
        let mut tokens = ValidationTokenConfig::default();
        tokens.log(Arc::new(log));
        server
            .transport_config(Arc::new(transport(&settings)))
            .validation_token_config(tokens)
            .migration(true);
        let server = Arc::new(server);
        Ok(Arc::new(Shared { settings, secrets, server, admission, certificates }))
    }

    /// The certificate in use, for its fingerprint and its reload.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the endpoint of a shard is made with. `start` tells this start of the process from others.
    pub(super) fn endpoint_config(&self, shard: u8, start: [u8; 4]) -> Arc<EndpointConfig> {
        let ids = self.secrets.ids.clone();
        let mut config = EndpointConfig::new(self.secrets.resets.clone());
        config
            .cid_generator(move || Box::new(Generator::new(ids.clone(), shard, start)))
            .supported_versions(vec![1]);
        Arc::new(config)
    }
}

fn transport(settings: &Settings) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(PACKETS_AN_ACK.into());
    let idle = IdleTimeout::try_from(settings.idle_timeout).unwrap_or(VarInt::MAX.into());
    transport
        .max_concurrent_bidi_streams(TWO_WAY_STREAMS.into())
        .max_concurrent_uni_streams(ONE_WAY_STREAMS.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .max_idle_timeout(Some(idle))
        .datagram_receive_buffer_size(settings.datagrams.then_some(DATAGRAM_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BYTES)
        .ack_frequency_config(Some(acks));
    transport
}
