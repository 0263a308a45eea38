//! Who somebody is: JSON Web Tokens, and in development a name alone (protocol page, section 5.1).
//!
//! A token is checked against the one algorithm that the configuration names, never the one that it names itself.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{fmt, num::NonZeroU64};
use tutti_shards::{DoorKind, Guise, Tag, UserId, UserName};

/// Fewest bytes of a shared secret: less can be guessed.
pub const SECRET_BYTES_MIN: usize = 32;
/// Accounts are numbered below this.
const ACCOUNT_MAX: u64 = (1 << 48) - 1;
/// How far clocks may differ, seconds.
const LEEWAY_S: u64 = 60;
/// Tokens that are said to end later end then: clients are told in milliseconds, and of no number over 2^53 - 1.
const EXPIRES_S_MAX: u64 = super::payload::NUMBER_MAX / 1_000;
/// What ids of accounts are made of besides the number.
const ACCOUNT: &str = "quic";
/// Most UTF-16 code units of a name.
const NAME_LENGTH_MAX: usize = super::client::NAME_LENGTH_MAX;

/// What tokens are checked with.
#[derive(Clone)]
pub enum TokenKey {
    /// HS256, with a shared secret.
    Secret(Box<[u8]>),
    /// RS256, with the public key as PKCS #1 (`RSAPublicKey`, DER).
    Rsa(Box<[u8]>),
    /// EdDSA over Ed25519, with the 32 bytes of the public key.
    Ed25519(Box<[u8]>),
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

/// Why a text is no public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a public key of RSA or Ed25519 in PEM (BEGIN PUBLIC KEY)")]
pub struct NoPublicKey;

impl TokenKey {
    fn algorithm(&self) -> &'static str {
        match self {
            TokenKey::Secret(_) => "HS256",
            TokenKey::Rsa(_) => "RS256",
            TokenKey::Ed25519(_) => "EdDSA",
        }
    }

    /// Reads a public key as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// [`NoPublicKey`].
    pub fn parse_pem(text: &str) -> Result<Self, NoPublicKey> {
        let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----").ok_or(NoPublicKey)?;
        let (body, _) = rest.split_once("-----END PUBLIC KEY-----").ok_or(NoPublicKey)?;
        let body: String = body.split_whitespace().collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body);
        TokenKey::parse_der(&der.map_err(|_| NoPublicKey)?).ok_or(NoPublicKey)
    }

    /// Reads a `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
    fn parse_der(der: &[u8]) -> Option<Self> {
        const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
        const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
        let (0x30, info, []) = element(der)? else { return None };
        let (0x30, algorithm, rest) = element(info)? else { return None };
        let (0x06, oid, _) = element(algorithm)? else { return None };
        let (0x03, bits, []) = element(rest)? else { return None };
        // The first byte counts the bits that are not used.
        let (0, key) = bits.split_first().map(|(unused, key)| (*unused, key))? else {
            return None;
        };
        match oid {
            RSA => Some(TokenKey::Rsa(key.into())),
            ED25519 if key.len() == 32 => Some(TokenKey::Ed25519(key.into())),
            _ => None,
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            TokenKey::Secret(secret) => {
                let Ok(mut mac) = <Hmac<Sha256>>::new_from_slice(secret) else { return false };
                mac.update(signed);
                mac.verify_slice(signature).is_ok()
            }
            TokenKey::Rsa(key) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
                .verify(signed, signature)
                .is_ok(),
            TokenKey::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok()
            }
        }
    }
}

/// The first element of DER bytes: tag, content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        ..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Who may come in, and how they show it.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// Checks tokens, if there are any.
    pub token: Option<TokenKey>,
    /// Who has to have issued a token.
    pub issuer: Option<Box<str>>,
    /// For whom a token has to be.
    pub audience: Option<Box<str>>,
    /// Whether a name alone is enough: for development.
    pub names: bool,
    /// Keeps user ids apart from those of other servers.
    pub salt: [u64; 2],
}

/// Somebody who may come in.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The number of the account; `None` for a name alone.
    pub number: Option<u64>,
    /// The user.
    pub user: UserId,
    /// How the user looks.
    pub guise: Guise,
    /// When the token ends, seconds since 1970.
    pub expires_s: Option<u64>,
}

impl Auth {
    /// The methods that are answered.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static str> {
        let methods = [self.token.is_some().then_some("token"), self.names.then_some("username")];
        methods.into_iter().flatten().collect()
    }

    /// Looks who shows these credentials.
    ///
    /// # Errors
    /// What the client is told.
    pub fn check(
        &self,
        method: &str,
        credentials: &str,
        now_s: u64,
    ) -> Result<Entry, &'static str> {
        match (method, &self.token) {
            ("token", Some(key)) => self.check_token(key, credentials, now_s),
            ("username", _) if self.names => {
                let name = UserName::parse(credentials, NAME_LENGTH_MAX);
                let name = name.ok_or("not a name of 1 to 40 characters")?;
                let user = self.user("quic name ", &name.as_str().to_lowercase());
                let guise = guise(None, name, true);
                Ok(Entry { number: None, user, guise, expires_s: None })
            }
            _ => Err("this method is not offered"),
        }
    }

    fn check_token(&self, key: &TokenKey, token: &str, now_s: u64) -> Result<Entry, &'static str> {
        const MALFORMED: &str = "the token is malformed";
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED);
        let json = |part: &str| -> Result<Value, &'static str> {
            serde_json::from_slice(&decode(part)?).map_err(|_| MALFORMED)
        };
        let header = json(header)?;
        if header.get("alg").and_then(Value::as_str) != Some(key.algorithm()) {
            return Err("the token's algorithm is not the one that is used here");
        }
        if header.get("crit").is_some() {
            return Err("the token demands an extension");
        }
        if !key.verifies(signed.as_bytes(), &decode(signature)?) {
            return Err("the token's signature is wrong");
        }
        let claims = json(claims)?;
        let expires_s = claims.get("exp").and_then(seconds).ok_or("the token has no exp")?;
        let expires_s = expires_s.min(EXPIRES_S_MAX);
        if now_s > expires_s + LEEWAY_S {
            return Err("the token has expired");
        }
        if let Some(from) = claims.get("nbf") {
            let from = seconds(from).ok_or(MALFORMED)?;
            if now_s.saturating_add(LEEWAY_S) < from {
                return Err("the token is not valid yet");
            }
        }
        if self.issuer.as_deref().is_some_and(|issuer| !holds(&claims, "iss", issuer)) {
            return Err("the token is of another issuer");
        }
        if self.audience.as_deref().is_some_and(|audience| !holds(&claims, "aud", audience)) {
            return Err("the token is for somebody else");
        }
        let account = match claims.get("sub") {
            Some(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            Some(Value::Number(number)) => number.as_u64(),
            _ => None,
        };
        let account = account.filter(|&account| account <= ACCOUNT_MAX).and_then(NonZeroU64::new);
        let account = account.ok_or("the token's sub is no account")?;
        let name = claims.get("username").and_then(Value::as_str);
        let name = name.and_then(|name| UserName::parse(name, NAME_LENGTH_MAX));
        let name = name.ok_or("the token's username is not a name of 1 to 40 characters")?;
        let user = self.user(ACCOUNT, &account.to_string());
        let guise = guise(Some(account), name, false);
        Ok(Entry { number: Some(account.get()), user, guise, expires_s: Some(expires_s) })
    }

    /// The user of an account, whether or not there ever was one; `None` for what is no account's number.
    #[must_use]
    pub fn user_of_account(&self, number: u64) -> Option<UserId> {
        let is_account = self.token.is_some() && (1..=ACCOUNT_MAX).contains(&number);
        is_account.then(|| self.user(ACCOUNT, &number.to_string()))
    }

    /// The user that an account or a name stands for: no other door makes the same ids, and no name that of an account.
    fn user(&self, kind: &str, who: &str) -> UserId {
        let hash = Sha256::new()
            .chain_update(self.salt.map(u64::to_be_bytes).concat())
            .chain_update(kind)
            .chain_update(who)
            .finalize();
        let mut id = [0; 12];
        id.iter_mut().zip(hash).for_each(|(to, byte)| *to = byte);
        UserId(id)
    }
}

fn guise(account: Option<NonZeroU64>, name: UserName, alone: bool) -> Guise {
    let tag = Tag { text: "QUIC".into(), color: "#4a7".into() };
    Guise { door: DoorKind::Quic, account, name, tag: Some(Box::new(tag)), alone }
}

/// A `NumericDate` in whole seconds: a number that need not be whole (RFC 7519, section 2).
fn seconds(date: &Value) -> Option<u64> {
    let whole = |seconds: f64| (seconds >= 0.0).then_some(seconds as u64);
    date.as_u64().or_else(|| date.as_f64().and_then(whole))
}

/// Whether a claim is this text, or a list with it.
fn holds(claims: &Value, claim: &str, expected: &str) -> bool {
    match claims.get(claim) {
        Some(Value::String(text)) => text == expected,
        Some(Value::Array(texts)) => texts.iter().any(|text| text.as_str() == Some(expected)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
