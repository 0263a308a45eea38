//! Certificates, and what TLS 1.3 is told about them (protocol page, sections 16 and 17).
//!
//! One [`Certificates`] serves all shards: it is asked once a handshake, and a reload puts another certificate in its
//! place. So a reload needs no word to any shard, and nobody who is connected notices.

use super::resumption::Resumption;
use crate::{
    config::Data,
    identity::{SecretError, keep_file},
};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

/// Protocols that the door speaks, the preferred one first. Both are the same.
pub const PROTOCOLS: [&[u8]; 2] = [b"garou/1", b"chat"];

/// The made certificate with its key, in the data directory.
const MADE_NAME: &str = "quic_certificate.pem";
/// Names that the made certificate stands for.
const MADE_FOR: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Most bytes of a PEM file that are read.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Why there is no certificate. The operator is at fault, or the environment.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source} ({setting})", path.display())]
    Read {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no usable {what}: {reason} ({setting})", path.display())]
    Content {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The made certificate cannot be kept.
    #[error(transparent)]
    Keep(#[from] SecretError),
    /// TLS does not take it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where the certificate comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// PEM files: the chain with the server's own certificate first, and its key.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Made at the first start, and kept with the other secrets.
    Made(Data),
}

/// The certificate in use.
pub struct Certificates {
    source: Source,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the certificate, or makes it.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and its setting.
    pub fn open(source: Source) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = RwLock::new(load(&source, &provider)?);
        Ok(Arc::new(Certificates { source, provider, current }))
    }

    /// Reads the files again. New connections are shown what they hold; those that are there go on.
    ///
    /// # Errors
    /// [`TlsError`]; then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = load(&self.source, &self.provider)?;
        // Whoever panicked while it held the lock has left a whole value.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The SHA-256 of the server's certificate, as pairs of hex digits between colons: what people compare, and
    /// clients pin.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let current = self.current();
        let digest = Sha256::digest(current.cert.first().map_or(&[][..], |cert| cert.as_ref()));
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// Whether the certificate was made here, so that clients have nothing to check it by but its fingerprint.
    #[must_use]
    pub fn is_made(&self) -> bool {
        matches!(self.source, Source::Made(_))
    }

    /// The server's certificate, as clients of tests trust it.
    #[cfg(test)]
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.current().cert[0].clone()
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What TLS is told. To be made once for all shards: with it come the sessions that can be resumed, of which each
    /// is taken once, whichever shard its client returns to.
    pub(super) fn server_config(
        self: &Arc<Self>,
        early_data: bool,
    ) -> Result<rustls::ServerConfig, TlsError> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.session_storage = Arc::new(Resumption::default());
        // Each takes a place among the sessions, and whoever comes back gets a new one.
        config.send_tls13_tickets = 1;
        // QUIC knows these two values only (RFC 9001, section 4.6.1).
        config.max_early_data_size = if early_data { u32::MAX } else { 0 };
        Ok(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn load(source: &Source, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    match source {
        Source::Files { certificate, key } => {
            let chain = read("quic.certificate", certificate)?;
            let key_pem = read("quic.key", key)?;
            parse(provider, (certificate, &chain), (key, &key_pem)).map(Arc::new)
        }
        Source::Made(Data::Memory) => {
            let (pem, path) = (make()?, Path::new(MADE_NAME));
            parse(provider, (path, &pem), (path, &pem)).map(Arc::new)
        }
        Source::Made(Data::Dir(dir)) => {
            let made = make()?;
            let pem = keep_file(dir, MADE_NAME, PEM_BYTES_MAX, &made)?;
            let path = dir.join(MADE_NAME);
            parse(provider, (&path, &pem), (&path, &pem)).map(Arc::new)
        }
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |source| TlsError::Read { setting, path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(fail)?.len();
    if size > PEM_BYTES_MAX {
        return Err(fail(io::Error::other("it is too large for a PEM file")));
    }
    fs::read(path).map_err(fail)
}

fn parse(
    provider: &CryptoProvider,
    (chain_path, chain): (&Path, &[u8]),
    (key_path, key): (&Path, &[u8]),
) -> Result<CertifiedKey, TlsError> {
    let content = |setting, path: &Path, what, reason: String| TlsError::Content {
        setting,
        path: path.to_owned(),
        what,
        reason,
    };
    let of_chain = |reason| content("quic.certificate", chain_path, "certificate", reason);
    let of_key = |reason| content("quic.key", key_path, "private key", reason);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| of_chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(of_chain("there is no CERTIFICATE block".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| of_key(error.to_string()))?;
    let certified = CertifiedKey::from_der(chain, key, provider);
    certified.map_err(|error| match error {
        rustls::Error::InvalidCertificate(_) => of_chain(error.to_string()),
        rustls::Error::InconsistentKeys(_) => {
            of_key("it is not the key of the certificate".to_owned())
        }
        _ => of_key(error.to_string()),
    })
}

/// A certificate and its key, as PEM. It is good for ten years: people pin its fingerprint, which a shorter life would
/// only make them compare more often.
fn make() -> Result<Vec<u8>, TlsError> {
    let mut params = rcgen::CertificateParams::new(MADE_FOR.map(str::to_owned))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "tutti");
    let this_year = year();
    // Clocks of clients may be behind.
    params.not_before = rcgen::date_time_ymd(this_year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(this_year + 10, 1, 1);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok([certificate.pem(), key.serialize_pem()].concat().into_bytes())
}

/// The year, as near as it matters.
fn year() -> i32 {
    const SECONDS_OF_YEAR: u64 = 31_556_952;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    1970 + (since.as_secs() / SECONDS_OF_YEAR) as i32
}
