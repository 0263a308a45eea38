//! Which servers' certificates are believed.
//!
//! A server that makes its own certificate prints its fingerprint, and is known by it from the first visit on, as with
//! SSH. One with a certificate of an authority is believed by `Trust::Authorities`.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of `certificate`.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 hex digits; colons between them and `sha256:` in front may be there")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    /// Reads hex digits of either case, with or without colons, and with or without `sha256:` in front.
    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let lower = text.trim().to_ascii_lowercase();
        let hex = lower.trim_start_matches("sha256").trim_start_matches([':', '/', '=', ' ']);
        let digits: Option<Vec<u32>> =
            hex.chars().filter(|&c| c != ':').map(|c| c.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(NoFingerprint)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (pair[0] * 16 + pair[1]) as u8;
        }
        Ok(Self(bytes))
    }
}

/// What a certificate is judged by.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The fingerprint that the file has for the server; one that is not there yet is accepted and written down, or
    /// refused.
    Known {
        /// The file, by lines of `HOST:PORT FINGERPRINT`.
        file: PathBuf,
        /// Whether an unknown server is accepted.
        accept_new: bool,
    },
    /// Exactly this certificate.
    Fingerprint(Fingerprint),
    /// Certificates for the server's name that lead to one of these authorities.
    Authorities(Arc<RootCertStore>),
    /// Anything. The other end may be anybody.
    Anything,
}

/// Why a server is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The file has no fingerprint for it.
    #[error("{server} is not known yet; its certificate has the fingerprint {found}")]
    Unknown {
        /// As in the file.
        server: String,
        /// What it showed.
        found: Fingerprint,
    },
    /// The file or the user has another one.
    #[error(
        "{server} shows the certificate {found} and not {expected}: somebody may be in between. \
         If its operator has renewed it, {remedy}"
    )]
    Changed {
        /// As in the file.
        server: String,
        /// What it showed.
        found: Fingerprint,
        /// What it should have shown.
        expected: Fingerprint,
        /// What to do if it is all right.
        remedy: String,
    },
    /// The authorities do not stand for it.
    #[error("the certificate of {server} is not good: {why}")]
    Authority {
        /// As in the file.
        server: String,
        /// The verifier's words.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("{}: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// The system's words.
        why: String,
    },
}

/// Reads certificates of authorities from a PEM file.
///
/// # Errors
/// A text that says what is wrong with the file.
pub fn authorities(file: &Path) -> Result<Arc<RootCertStore>, String> {
    let name = file.display();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|e| format!("{name}: {e}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|e| format!("{name}: {e}"))?;
        // A bundle of a system may hold some that cannot be used; the others can.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(format!("{name}: there is no certificate of an authority in it"));
    }
    Ok(Arc::new(roots))
}

/// The fingerprint that `file` has for `server`.
fn known(file: &Path, server: &str) -> Result<Option<Fingerprint>, String> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    for (n, line) in text.lines().enumerate() {
        let Some((name, fingerprint)) = line.trim().split_once(char::is_whitespace) else {
            continue;
        };
        if name == server {
            return fingerprint.parse().map(Some).map_err(|e| format!("line {}: {e}", n + 1));
        }
    }
    Ok(None)
}

/// Writes down that `server` has this certificate.
///
/// # Errors
/// [`Distrust::File`].
pub fn remember(file: &Path, server: &str, found: Fingerprint) -> Result<(), Distrust> {
    let write = || {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
        // One write, so that two clients at once do not mix their lines.
        file.write_all(format!("{server} {found}\n").as_bytes())
    };
    write().map_err(|e| Distrust::File { file: file.into(), why: e.to_string() })
}

/// Judges the certificate of one server and keeps what it found for a better message than TLS has.
#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    server: String,
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    distrust: Mutex<Option<Distrust>>,
}

impl Verifier {
    pub(crate) fn new(trust: Trust, server: String, provider: Arc<CryptoProvider>) -> Self {
        let authorities = match &trust {
            Trust::Authorities(roots) => {
                WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
                    .build()
                    .ok()
            }
            _ => None,
        };
        Self { trust, server, provider, authorities, distrust: Mutex::default() }
    }

    /// Why the last handshake was refused, if it was for the certificate.
    pub(crate) fn take_distrust(&self) -> Option<Distrust> {
        self.distrust.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Distrust> {
        let (server, found) = (self.server.clone(), Fingerprint::of(certificate));
        let same = |expected: Fingerprint, remedy: &dyn Fn() -> String| {
            if expected == found {
                return Ok(());
            }
            Err(Distrust::Changed { server: server.clone(), found, expected, remedy: remedy() })
        };
        match &self.trust {
            Trust::Anything => Ok(()),
            Trust::Fingerprint(expected) => {
                same(*expected, &|| format!("use --fingerprint {found}"))
            }
            Trust::Known { file, accept_new } => {
                let expected = known(file, &self.server)
                    .map_err(|why| Distrust::File { file: file.clone(), why })?;
                match expected {
                    Some(expected) => {
                        same(expected, &|| format!("remove its line from {}", file.display()))
                    }
                    None if *accept_new => remember(file, &server, found),
                    None => Err(Distrust::Unknown { server, found }),
                }
            }
            Trust::Authorities(_) => {
                let fault = |why| Distrust::Authority { server: self.server.clone(), why };
                let verifier =
                    self.authorities.as_ref().ok_or_else(|| fault("no usable authority".into()))?;
                verifier
                    .verify_server_cert(certificate, intermediates, name, &[], now)
                    .map(|_| ())
                    .map_err(|e| fault(e.to_string()))
            }
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.judge(certificate, intermediates, name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(distrust) => {
                *self.distrust.lock().unwrap_or_else(PoisonError::into_inner) = Some(distrust);
                Err(rustls::CertificateError::ApplicationVerificationFailure.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_people_write_them() {
        let plain = "00ff".repeat(16);
        let expected: Fingerprint = plain.parse().unwrap();
        let colons = ["00:FF"; 16].join(":");
        for text in [&colons, &format!("sha256:{plain}"), &format!(" SHA256:{colons}\n")] {
            assert_eq!(text.parse(), Ok(expected));
        }
        assert_eq!(expected.to_string(), plain);
        for bad in ["", "00ff", &plain[1..], &format!("{plain}0"), &format!("g{}", &plain[1..])] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NoFingerprint), "{bad}");
        }
    }

    #[test]
    fn a_server_is_known_after_it_was_remembered() {
        let folder = std::env::temp_dir().join(format!("tutti-chat-trust-{}", std::process::id()));
        let file = folder.join("known_servers");
        let found: Fingerprint = "ab".repeat(32).parse().unwrap();
        assert_eq!(known(&file, "a:1"), Ok(None));
        remember(&file, "a:1", found).unwrap();
        remember(&file, "b:1", "cd".repeat(32).parse().unwrap()).unwrap();
        assert_eq!(known(&file, "a:1"), Ok(Some(found)));
        assert_eq!(known(&file, "a:2"), Ok(None));
        std::fs::write(&file, "a:1 nonsense\n").unwrap();
        assert!(known(&file, "a:1").unwrap_err().starts_with("line 1: "));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
