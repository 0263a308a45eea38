//! What makes the address of a file unguessable.

use crate::identity::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};
use subtle::ConstantTimeEq as _;

const BYTES: usize = 16;

/// 128 bits that the system drew, as 32 hex digits in lower case. Comparing takes as long whatever differs.
#[derive(Clone, Copy, Eq)]
pub struct Secret([u8; BYTES]);

impl Secret {
    /// A new one.
    ///
    /// # Panics
    /// When the system has no randomness, which it had at the start.
    #[must_use]
    pub fn draw() -> Self {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).expect("the system's random source answers once it has");
        Secret(bytes)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A text is not a secret of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not 32 hex digits in lower case")]
pub struct NoSecret;

impl FromStr for Secret {
    type Err = NoSecret;

    fn from_str(text: &str) -> Result<Self, NoSecret> {
        // Other ways to write the number are no addresses that were ever given out.
        let is_ours = text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
        if text.len() != 2 * BYTES || !is_ours {
            return Err(NoSecret);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NoSecret)?;
        Ok(Secret(number.to_be_bytes()))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_written() {
        let secret = Secret::draw();
        let text = secret.to_string();
        assert_eq!((text.len(), text.parse()), (32, Ok(secret)));
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Secret>(&json).unwrap(), secret);
        assert_ne!(secret, Secret::draw());
        assert!(!format!("{secret:?}").contains(&text));
        for bad in ["", "0", &text[1..], &format!("{text}0"), &format!("+{}", &text[1..])] {
            assert_eq!(bad.parse::<Secret>(), Err(NoSecret), "{bad}");
        }
        assert!("ABCDEF00ABCDEF00ABCDEF00ABCDEF00".parse::<Secret>().is_err());
    }
}
