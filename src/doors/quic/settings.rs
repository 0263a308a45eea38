//! What the door is set to, as it was written and as its sessions use it.

use super::{
    auth::{Auth, TokenKey},
    session::{FileLimits, OutboxLimits, SessionConfig, SessionRates},
};
use crate::config::Hidden;
use std::{io, path::PathBuf, time::Duration};
use tutti_shards::NumberKey;

/// The settings of the sessions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSettings {
    /// Checks tokens that whoever knows it has signed.
    pub token_secret: Option<Hidden>,
    /// Checks tokens, in place of the secret.
    pub token_public_key: Option<PathBuf>,
    /// Who has to have issued a token.
    pub token_issuer: Option<Box<str>>,
    /// For whom a token has to be.
    pub token_audience: Option<Box<str>>,
    /// Whether a name alone is enough.
    pub names: bool,
    /// Lanes of each connection.
    pub lanes: u8,
    /// Most rooms of a connection.
    pub rooms_max: usize,
    /// Most busy rooms of a connection with a stream of their own.
    pub hot_rooms_max: usize,
    /// How long a client may take to log in.
    pub auth_deadline: Duration,
    /// Logins of one address that may fail in [`SessionSettings::login_window`].
    pub login_failures: u32,
    /// The time in which failed logins are counted together.
    pub login_window: Duration,
    /// How long an address's logins are refused then.
    pub login_lockout: Duration,
    /// How often a client is pinged.
    pub ping_every: Duration,
    /// After what silence it is given up.
    pub dead_after: Duration,
    /// What may wait for one connection.
    pub outbox: OutboxLimits,
    /// What a connection may do how often.
    pub rates: SessionRates,
}

/// Why the sessions cannot be set up. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The key's file cannot be read.
    #[error("cannot read {}: {source} (quic.token_public_key)", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} does not hold a public key of RSA or Ed25519 as `openssl pkey -pubout` writes it (quic.token_public_key)", path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
    },
}

impl SessionSettings {
    /// Whether anybody could come in.
    #[must_use]
    pub fn can_log_in(&self) -> bool {
        self.names || self.token_secret.is_some() || self.token_public_key.is_some()
    }

    /// Makes of them what sessions use; `idle_timeout` and `datagrams` are the transport's.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn open(
        &self,
        number_key: NumberKey,
        server_epoch: u64,
        idle_timeout: Duration,
        datagrams: bool,
    ) -> Result<SessionConfig, SessionError> {
        let token = match (&self.token_secret, &self.token_public_key) {
            (_, Some(path)) => {
                let fail = |source| SessionError::Read { path: path.clone(), source };
                let text = std::fs::read_to_string(path).map_err(fail)?;
                let key = TokenKey::parse_pem(&text);
                Some(key.map_err(|_| SessionError::NoKey { path: path.clone() })?)
            }
            (Some(secret), None) => Some(TokenKey::Secret(secret.expose().as_bytes().into())),
            (None, None) => None,
        };
        let auth = Auth {
            token,
            issuer: self.token_issuer.clone(),
            audience: self.token_audience.clone(),
            names: self.names,
            salt: number_key.0,
        };
        Ok(SessionConfig {
            lanes: self.lanes,
            rooms_max: self.rooms_max,
            hot_rooms_max: self.hot_rooms_max,
            auth_deadline: self.auth_deadline,
            ping_every: self.ping_every,
            dead_after: self.dead_after,
            idle_timeout,
            outbox: self.outbox,
            rates: self.rates,
            number_key,
            server_epoch,
            uploads: FileLimits::NONE,
            datagrams,
            auth,
            admission: None,
        })
    }
}
