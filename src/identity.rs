//! Who somebody is: user ids from addresses, tokens, and the staff password (protocol page, sections 4.1 and 4.3).

mod secret_file;

pub use secret_file::SecretError;
pub(crate) use secret_file::{Secret, hex, keep_file};

use crate::address::AddressKey;
use crate::config::{Config, Data, Hidden, Mode, Salts};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secret_file::SECRET_BYTES;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;
use tutti_shards::{NumberKey, UserId};

/// Length of a token: 24 hex digits, a dot, 43 characters of base64.
const TOKEN_LENGTH: usize = 24 + 1 + 43;

/// What a token's code is made over, so that the key's other uses can never make one.
const TOKEN_CONTEXT: &[u8] = b"tutti token 1:";

/// What a number of an address is made over.
const ORIGIN_CONTEXT: &[u8] = b"tutti origin 1:";

/// Makes ids and tokens. One per process, shared by the shards.
#[derive(Debug)]
pub struct Identity {
    by_address: ByAddress,
    token_key: Option<Secret>,
    password: Option<Password>,
    /// Makes numbers of addresses that say nothing of them.
    address_key: Secret,
    /// Stands for the salt of line chat in development, where addresses have no ids.
    fleeting: Secret,
}

#[derive(Clone, Debug)]
enum ByAddress {
    /// Development: no two connections are one user.
    Nobody,
    Salted(Salts),
    Keyed(Secret),
}

/// The key of the numbers of rooms and users. Kept, so that they are the same after a restart.
///
/// # Errors
/// When its file cannot be made or read, or is none.
pub fn number_key(data: &Data) -> Result<NumberKey, SecretError> {
    let secret = match data {
        Data::Memory => Secret::random(),
        Data::Dir(dir) => Secret::keep(dir, "number_key")?,
    };
    let (key, _) = secret.bytes().as_chunks::<8>();
    Ok(NumberKey(std::array::from_fn(|half| key.get(half).copied().map_or(0, u64::from_be_bytes))))
}

impl Identity {
    /// Makes the identity that the configuration asks for. Secrets that it needs and does not have are made and
    /// kept in the data directory, readable by the owner only.
    ///
    /// # Errors
    /// When a secret's file cannot be made or read, or is none.
    pub fn open(config: &Config) -> Result<Self, SecretError> {
        let keep = |name: &str| match &config.data {
            Data::Memory => Ok(Secret::random()),
            Data::Dir(dir) => Secret::keep(dir, name),
        };
        let by_address = match (config.mode, &config.salts) {
            (Mode::Development, _) => ByAddress::Nobody,
            (Mode::Production, Some(salts)) => ByAddress::Salted(salts.clone()),
            (Mode::Production, None) => ByAddress::Keyed(keep("secret")?),
        };
        let token_key = if config.tokens { Some(keep("token_key")?) } else { None };
        let address_key = keep("address_key")?;
        let password = config.admin_password.as_ref().map(Password::new);
        Ok(Identity { by_address, token_key, password, address_key, fleeting: Secret::random() })
    }

    /// The same with the staff password of other settings.
    #[must_use]
    pub fn reloaded(&self, config: &Config) -> Self {
        Identity {
            by_address: self.by_address.clone(),
            token_key: self.token_key.clone(),
            address_key: self.address_key.clone(),
            password: config.admin_password.as_ref().map(Password::new),
            fleeting: self.fleeting.clone(),
        }
    }

    /// The user that an address stands for; `None` in development, where it stands for nobody.
    ///
    /// With salts it is the formula that other servers use, over the text of the address (IPv6: of its /64, as
    /// RFC 5952 writes the network's address).
    #[must_use]
    pub fn by_address(&self, client: IpAddr) -> Option<UserId> {
        let text = || AddressKey::of(client).network().to_string();
        match &self.by_address {
            ByAddress::Nobody => None,
            ByAddress::Salted(salts) => {
                let hash = Sha256::new()
                    .chain_update(salts.before.expose())
                    .chain_update(text())
                    .chain_update(salts.after.expose())
                    .finalize();
                Some(first_bytes(&hash.into()))
            }
            ByAddress::Keyed(secret) => Some(first_bytes(&code(secret, &[text().as_bytes()]))),
        }
    }

    /// The user that a lower-case nick at a terminal of this address stands for, in line chat
    /// (`docs/protocol/tcp-chat.md`, section 15.1). In development until the process ends.
    #[must_use]
    pub fn by_nick(&self, client: IpAddr, key: &str) -> UserId {
        let address = AddressKey::of(client).network().to_string();
        match &self.by_address {
            ByAddress::Nobody => {
                first_bytes(&code(&self.fleeting, &[b"tcp", address.as_bytes(), key.as_bytes()]))
            }
            ByAddress::Salted(salts) => {
                let hash = Sha256::new()
                    .chain_update(salts.before.expose())
                    .chain_update("tcp")
                    .chain_update(address)
                    .chain_update(key)
                    .chain_update(salts.after.expose())
                    .finalize();
                first_bytes(&hash.into())
            }
            ByAddress::Keyed(secret) => {
                first_bytes(&code(secret, &[b"tcp", address.as_bytes(), key.as_bytes()]))
            }
        }
    }

    /// A number that stands for an address (IPv6: its /64) and says nothing of it, the same after a restart.
    #[must_use]
    pub fn origin(&self, client: IpAddr) -> u64 {
        let address = AddressKey::of(client).network().to_string();
        let code = code(&self.address_key, &[ORIGIN_CONTEXT, address.as_bytes()]);
        code.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// Who somebody is that shows this token (or none) and connects from an address that stands for `by_address`,
    /// and the token to send them.
    ///
    /// A valid token selects its user, and none is sent. Without one the address does, and a fresh token for that
    /// user is sent; where the address stands for nobody, a random user is drawn for it. With tokens off nothing is
    /// looked at and nothing sent, so in development the answer is nobody and the caller draws an id
    /// ([`Identity::random`]) for the connection.
    #[must_use]
    pub fn resolve(
        &self,
        token: Option<&str>,
        by_address: Option<UserId>,
    ) -> (Option<UserId>, Option<String>) {
        let Some(key) = &self.token_key else { return (by_address, None) };
        if let Some(user) = token.and_then(|token| check_token(key, token)) {
            return (Some(user), None);
        }
        let user = by_address.unwrap_or_else(Identity::random);
        (Some(user), Some(make_token(key, user)))
    }

    /// An id that nobody has.
    #[must_use]
    pub fn random() -> UserId {
        let mut id = [0; 12];
        getrandom::fill(&mut id)
            .expect("the system's random source answers once it has at the start");
        UserId(id)
    }

    /// Whether this is the staff password, in time that tells nothing about it. Without one configured, nothing is.
    #[must_use]
    pub fn is_staff(&self, password: &str) -> bool {
        self.password.as_ref().is_some_and(|right| right.is(password))
    }

    /// Whether there is a staff password, that is, whether staff messages exist.
    #[must_use]
    pub fn has_staff(&self) -> bool {
        self.password.is_some()
    }
}

/// A password as its hash, so that comparing takes the same time whatever the lengths.
struct Password([u8; 32]);

impl Password {
    fn new(password: &Hidden) -> Self {
        Password(Sha256::digest(password.expose()).into())
    }

    fn is(&self, other: &str) -> bool {
        let other: [u8; 32] = Sha256::digest(other).into();
        self.0.ct_eq(&other).into()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

fn first_bytes(hash: &[u8; 32]) -> UserId {
    UserId(*hash.first_chunk().expect("12 of 32 bytes"))
}

fn code(key: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn make_token(key: &Secret, user: UserId) -> String {
    let code = code(key, &[TOKEN_CONTEXT, &user.0]);
    let mut token = String::with_capacity(TOKEN_LENGTH);
    token.push_str(&user.to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(code, &mut token);
    token
}

/// The user that a token of ours names.
fn check_token(key: &Secret, token: &str) -> Option<UserId> {
    if token.len() != TOKEN_LENGTH {
        return None;
    }
    let (user, shown) = token.split_once('.')?;
    let user = UserId::parse(user)?;
    let shown: [u8; 32] = URL_SAFE_NO_PAD.decode(shown).ok()?.try_into().ok()?;
    let right = code(key, &[TOKEN_CONTEXT, &user.0]);
    bool::from(right.ct_eq(&shown)).then_some(user)
}

const _: () = assert!(SECRET_BYTES == 32, "as strong as the codes made with it");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HostCpus, RawConfig};
    use proptest::prelude::*;

    fn identity(settings: &str) -> Identity {
        identity_in("memory", settings)
    }

    fn identity_in(data: &str, settings: &str) -> Identity {
        let mut raw = RawConfig::default();
        raw.add_file("t.toml", settings).unwrap();
        raw.add_env([("TUTTI_DATA", data)]).unwrap();
        let host = HostCpus { allowed: vec![0], parallelism: 1 };
        Identity::open(&Config::new(&raw, &host).unwrap()).unwrap()
    }

    fn vectors() -> Identity {
        identity("mode = \"production\"\nsalt1 = \"alpha\"\nsalt2 = \"beta\"")
    }

    fn id_of(identity: &Identity, address: &str) -> String {
        identity.by_address(address.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn vectors_of_the_protocol_page_hold() {
        let identity = vectors();
        for (address, id) in [
            ("203.0.113.7", "576f979d6c4de4037a104dc3"),
            ("::ffff:203.0.113.7", "576f979d6c4de4037a104dc3"),
            ("127.0.0.1", "2feb538b0dc92b4ec09d1252"),
            ("2001:db8::1", "a9f61cd41199829a17f73c72"),
            ("2001:db8::ffff:0:1", "a9f61cd41199829a17f73c72"),
        ] {
            assert_eq!(id_of(&identity, address), id, "{address}");
        }
        assert_ne!(id_of(&identity, "2001:db8:0:1::1"), "a9f61cd41199829a17f73c72");
    }

    #[test]
    fn kept_secret_names_addresses_and_another_secret_names_them_otherwise() {
        let (one, other) = (identity("mode = \"production\""), identity("mode = \"production\""));
        assert_eq!(id_of(&one, "203.0.113.7"), id_of(&one, "::ffff:203.0.113.7"));
        assert_eq!(id_of(&one, "2001:db8::1"), id_of(&one, "2001:db8::2"));
        assert_ne!(id_of(&one, "203.0.113.7"), id_of(&one, "203.0.113.8"));
        assert_ne!(id_of(&one, "203.0.113.7"), id_of(&other, "203.0.113.7"));
    }

    #[test]
    fn a_number_of_an_address_is_the_same_after_a_restart_and_for_its_network() {
        let dir = std::env::temp_dir().join(format!("tutti-origins-{}", std::process::id()));
        let of = |identity: &Identity, text: &str| identity.origin(text.parse().unwrap());
        let first = identity_in(dir.to_str().unwrap(), "");
        let again = identity_in(dir.to_str().unwrap(), "");
        let other = identity_in(dir.join("other").to_str().unwrap(), "");
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(of(&first, "203.0.113.7"), of(&again, "203.0.113.7"));
        assert_eq!(of(&first, "203.0.113.7"), of(&first, "::ffff:203.0.113.7"));
        assert_eq!(of(&first, "2001:db8::1"), of(&first, "2001:db8::ff:1"));
        assert_ne!(of(&first, "203.0.113.7"), of(&first, "203.0.113.8"));
        assert_ne!(of(&first, "203.0.113.7"), of(&other, "203.0.113.7"));
    }

    #[test]
    fn development_leaves_the_id_to_the_connection() {
        let identity = identity("");
        assert_eq!(identity.by_address("203.0.113.7".parse().unwrap()), None);
        assert_eq!(identity.resolve(None, None), (None, None));
        assert_eq!(identity.resolve(Some("garbage"), None), (None, None));
        assert_ne!(Identity::random(), Identity::random());
    }

    #[test]
    fn token_carries_its_user_to_another_address() {
        let identity = vectors();
        let (home, away) = (UserId([1; 12]), UserId([2; 12]));
        let (user, token) = identity.resolve(None, Some(home));
        let token = token.unwrap();
        assert_eq!((user, token.len()), (Some(home), TOKEN_LENGTH));
        assert!(token.starts_with(&format!("{home}.")));
        assert!(token[25..].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(identity.resolve(Some(&token), Some(away)), (Some(home), None));
    }

    #[test]
    fn invalid_tokens_fall_back_to_the_address_and_a_fresh_one_is_sent() {
        let identity = vectors();
        let (home, other) = (UserId([1; 12]), UserId([2; 12]));
        let valid = identity.resolve(None, Some(other)).1.unwrap();
        let mut forged = valid.clone();
        forged.replace_range(..1, "1");
        let foreign = vectors().resolve(None, Some(other)).1.unwrap();
        let upper = valid.to_uppercase();
        let padded = format!("{valid}=");
        for bad in ["", "garbage", ".", &forged, &foreign, &upper, &padded, &valid[..67]] {
            let (user, fresh) = identity.resolve(Some(bad), Some(home));
            assert_eq!(user, Some(home), "{bad}");
            assert_eq!(identity.resolve(fresh.as_deref(), None), (Some(home), None), "{bad}");
        }
    }

    #[test]
    fn tokens_in_development_name_the_id_drawn_for_them() {
        let identity = identity("tokens = true");
        let (user, token) = identity.resolve(None, None);
        assert_ne!(user, identity.resolve(None, None).0);
        assert_eq!(identity.resolve(token.as_deref(), None), (user, None));
    }

    #[test]
    fn tokens_off_ignores_even_valid_ones() {
        let identity = identity("mode = \"production\"\ntokens = false");
        let home = UserId([1; 12]);
        assert_eq!(identity.resolve(Some("x"), Some(home)), (Some(home), None));
    }

    #[test]
    fn staff_password_is_compared_whole() {
        let staff = identity("admin.password = \"hush\"");
        assert!(staff.has_staff() && staff.is_staff("hush"));
        for wrong in ["", "hus", "hushh", "Hush", "hush\0"] {
            assert!(!staff.is_staff(wrong), "{wrong:?}");
        }
        assert!(!identity("").has_staff() && !identity("").is_staff(""));
        assert!(!format!("{staff:?}").contains("hush"));
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_token(text in "\\PC{0,80}") {
            prop_assert_eq!(check_token(&Secret::random(), &text), None);
        }

        #[test]
        fn every_user_has_a_token(id: [u8; 12]) {
            let key = Secret::random();
            prop_assert_eq!(check_token(&key, &make_token(&key, UserId(id))), Some(UserId(id)));
        }
    }
}
