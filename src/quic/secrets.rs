//! Keys that all shards share, and that outlive the process, all made of one kept secret.

use super::cid::CidKey;
use crate::{
    config::Data,
    identity::{Secret, SecretError},
};
use ring::{hkdf, hmac};
use std::sync::Arc;

/// What the secret is called in the data directory.
const NAME: &str = "quic_key";

/// What the keys are for. In a restart, connections of before are told that they are gone (the reset key), datagrams
/// still find the shard that tells them so (the id key), and a client's word that its address is its own still counts
/// (the token key).
pub(super) struct Secrets {
    pub(super) ids: Arc<CidKey>,
    pub(super) resets: Arc<hmac::Key>,
    pub(super) tokens: Arc<hkdf::Prk>,
}

impl Secrets {
    /// Those of the data directory, made if there are none.
    ///
    /// # Errors
    /// When they cannot be read or kept.
    pub(super) fn open(data: &Data, masked_ids: bool) -> Result<Self, SecretError> {
        let secret = match data {
            Data::Memory => Secret::random(),
            Data::Dir(dir) => Secret::keep(dir, NAME)?,
        };
        Ok(Secrets::of(secret.bytes(), masked_ids))
    }

    pub(super) fn of(secret: &[u8], masked_ids: bool) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tutti quic 1").extract(secret);
        let ids = derive(&root, b"connection ids");
        let ids = ids.first_chunk().expect("32 bytes have 16");
        Secrets {
            ids: Arc::new(CidKey::new(ids, masked_ids)),
            resets: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &derive(&root, b"resets"))),
            tokens: Arc::new(hkdf::Prk::new_less_safe(
                hkdf::HKDF_SHA256,
                &derive(&root, b"tokens"),
            )),
        }
    }
}

fn derive(root: &hkdf::Prk, purpose: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    root.expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("HKDF-SHA256 gives keys of 32 bytes");
    key
}
