//! TLS of a connection, which is forgotten once it has done its work.
//!
//! quinn-proto's own session keeps all of rustls for the life of a connection, and the keys of the phase after the
//! present one: 5 KB that an idle connection never uses. A server needs neither. When the handshake is complete and its
//! last bytes (the tickets) are written, nothing that a client may say in TLS is left (RFC 9001, section 6, forbids its
//! key updates), and the next keys can be derived when somebody uses them.

use super::trim::{Trim, TrimmingKey};
use bytes::BytesMut;
use quinn_proto::{
    ConnectionId, Side, TransportError, TransportErrorCode,
    crypto::{
        self, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
        UnsupportedVersion, rustls::QuicServerConfig,
    },
    transport_parameters::TransportParameters,
};
use rustls::{
    ServerConfig,
    quic::{DirectionalKeys, KeyChange, PacketKeySet, Secrets, ServerConnection, Version},
};
use std::{
    any::Any,
    io::Cursor,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// The alert for a message that has no business where it came (RFC 8446, section 6).
const UNEXPECTED_MESSAGE: u8 = 10;
/// The only version that is spoken.
const VERSION: u32 = 1;
/// What a seal adds to a packet with every suite that QUIC has (RFC 9001, section 5.3).
const TAG_BYTES: usize = 16;

/// Begins the sessions of a server.
pub(super) struct Handshakes {
    tls: Arc<ServerConfig>,
    /// For what comes before a session: the keys of first packets and the seals of Retry.
    first: Arc<QuicServerConfig>,
}

impl Handshakes {
    /// # Panics
    /// With a provider that has not the cipher of first packets.
    pub(super) fn new(tls: ServerConfig) -> Self {
        let tls = Arc::new(tls);
        let first = QuicServerConfig::try_from(tls.clone())
            .expect("the provider has the cipher of first packets");
        Handshakes { tls, first: Arc::new(first) }
    }
}

impl crypto::ServerConfig for Handshakes {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        crypto::ServerConfig::initial_keys(&*self.first, version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        crypto::ServerConfig::retry_tag(&*self.first, version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, _: u32, params: &TransportParameters) -> Box<dyn Session> {
        let mut bytes = Vec::new();
        params.write(&mut bytes);
        // It fails for settings that QUIC has no use for, and they are made for it.
        let tls = ServerConnection::new(self.tls.clone(), Version::V1, bytes)
            .expect("the settings are for QUIC");
        Box::new(Handshake {
            first: self.first.clone(),
            tls: Some(Box::new(tls)),
            told: false,
            next: None,
            given: false,
            trim: Arc::default(),
        })
    }
}

/// The TLS of one connection.
struct Handshake {
    first: Arc<QuicServerConfig>,
    /// `None` once all is said.
    tls: Option<Box<ServerConnection>>,
    /// Whether it was said that the client's wishes are known.
    told: bool,
    /// The phase behind the present one, and whether it was asked for.
    next: Option<Arc<KeyPhase>>,
    given: bool,
    /// Whether what is sent is padded.
    trim: Arc<Trim>,
}

impl Session for Handshake {
    fn initial_keys(&self, dst_cid: &ConnectionId, _: Side) -> Keys {
        crypto::ServerConfig::initial_keys(&*self.first, VERSION, dst_cid)
            .expect("it is a version that QUIC has")
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        // What the client has chosen is of no consequence: all protocols that are offered are the same. So this is the
        // way for a connection to reach its keys.
        Some(Box::new(self.trim.clone()))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.tls.as_ref()?.zero_rtt_keys()?;
        Some((Box::new(keys.header), Box::new(keys.packet)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let Some(tls) = &mut self.tls else {
            return Err(TransportError {
                code: TransportErrorCode::crypto(UNEXPECTED_MESSAGE),
                frame: None,
                reason: "nothing of TLS is left to say".into(),
            });
        };
        tls.read_hs(bytes).map_err(|error| TransportError {
            code: tls.alert().map_or(TransportErrorCode::PROTOCOL_VIOLATION, |alert| {
                TransportErrorCode::crypto(alert.into())
            }),
            frame: None,
            reason: error.to_string(),
        })?;
        let known = tls.alpn_protocol().is_some() || tls.server_name().is_some();
        Ok((known || !tls.is_handshaking()) && !std::mem::replace(&mut self.told, true))
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(bytes) = self.tls.as_ref().and_then(|tls| tls.quic_transport_parameters()) else {
            return Ok(None);
        };
        Ok(Some(TransportParameters::read(Side::Server, &mut Cursor::new(bytes))?))
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let tls = self.tls.as_mut()?;
        let before = out.len();
        let keys = match tls.write_hs(out) {
            None => {
                if out.len() == before && !tls.is_handshaking() {
                    self.tls = None;
                }
                return None;
            }
            Some(KeyChange::Handshake { keys }) => keys,
            Some(KeyChange::OneRtt { keys, next }) => {
                let limits = Limits::of(&*keys.local.packet);
                self.next = Some(Arc::new(KeyPhase::new(next, limits)));
                let key = TrimmingKey { key: keys.local.packet, trim: self.trim.clone() };
                let remote = both(keys.remote);
                return Some(Keys {
                    header: KeyPair { local: Box::new(keys.local.header), remote: remote.0 },
                    packet: KeyPair { local: Box::new(key), remote: remote.1 },
                });
            }
        };
        let (local, remote) = (both(keys.local), both(keys.remote));
        Some(Keys {
            header: KeyPair { local: local.0, remote: remote.0 },
            packet: KeyPair { local: local.1, remote: remote.1 },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        // Asked for the first time, it is the phase behind the handshake's; later the one behind that which now begins.
        let phase = match self.given {
            false => self.next.clone()?,
            true => Arc::new(self.next.as_ref()?.following()),
        };
        self.given = true;
        self.next = Some(phase.clone());
        Some(KeyPair {
            local: Box::new(TrimmingKey {
                key: LaterKey { phase: phase.clone(), is_local: true },
                trim: self.trim.clone(),
            }),
            remote: Box::new(LaterKey { phase, is_local: false }),
        })
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        // Only clients are sent any.
        false
    }

    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        // Nothing of the door's protocol hangs on it.
        Err(ExportKeyingMaterialError)
    }
}

fn both(keys: DirectionalKeys) -> (Box<dyn HeaderKey>, Box<dyn PacketKey>) {
    (Box::new(keys.header), Box::new(keys.packet))
}

/// What a suite allows, which is the same in each phase.
#[derive(Clone, Copy)]
struct Limits {
    confidentiality: u64,
    integrity: u64,
}

impl Limits {
    fn of(key: &dyn rustls::quic::PacketKey) -> Self {
        assert_eq!(key.tag_len(), TAG_BYTES);
        Limits { confidentiality: key.confidentiality_limit(), integrity: key.integrity_limit() }
    }
}

/// The keys of one phase, derived when they are first used. Each connection has one, and with the counts of its `Arc`
/// it is 256 bytes, of which the allocator has a size; the next is 320.
struct KeyPhase {
    /// Those of this phase; once its keys are there, those of the following one.
    secrets: Mutex<Secrets>,
    keys: OnceLock<PacketKeySet>,
    limits: Limits,
}

impl KeyPhase {
    fn new(secrets: Secrets, limits: Limits) -> Self {
        KeyPhase { secrets: Mutex::new(secrets), keys: OnceLock::new(), limits }
    }

    fn keys(&self) -> &PacketKeySet {
        self.keys.get_or_init(|| {
            self.secrets.lock().unwrap_or_else(PoisonError::into_inner).next_packet_keys()
        })
    }

    fn following(&self) -> Self {
        self.keys();
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        KeyPhase::new(secrets, self.limits)
    }
}

/// One direction of a phase.
struct LaterKey {
    phase: Arc<KeyPhase>,
    is_local: bool,
}

impl LaterKey {
    #[expect(clippy::borrowed_box, reason = "quinn-proto takes keys in boxes")]
    fn key(&self) -> &Box<dyn rustls::quic::PacketKey> {
        let keys = self.phase.keys();
        if self.is_local { &keys.local } else { &keys.remote }
    }
}

impl PacketKey for LaterKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        PacketKey::encrypt(self.key(), packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        PacketKey::decrypt(self.key(), packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        TAG_BYTES
    }

    fn confidentiality_limit(&self) -> u64 {
        self.phase.limits.confidentiality
    }

    fn integrity_limit(&self) -> u64 {
        self.phase.limits.integrity
    }
}
