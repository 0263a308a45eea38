//! The salts of production ids, and which ones are refused.

use super::raw::ConfigError;
use super::{Hidden, Mode, Reader};

/// The two salts of production ids; see the protocol page, section 4.1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Salts {
    /// Goes before the address.
    pub before: Hidden,
    /// Goes after the address.
    pub after: Hidden,
}

/// Fewest characters of a salt. The protocol page's test vectors use salts of 4 and 5 characters, so no more can
/// be asked; [`super::Config::warnings`] speaks up under 16.
const SALT_LENGTH_MIN: usize = 4;

/// Salts that documents of MPP servers show as samples, in the form that [`is_sample`] compares.
const SAMPLE_SALTS: &[&str] = &[
    "changeme",
    "changethis",
    "default",
    "defaultsalt",
    "example",
    "examplesalt",
    "mysalt",
    "password",
    "placeholder",
    "randomsalt",
    "randomstring",
    "replaceme",
    "replacethis",
    "salt",
    "sample",
    "samplesalt",
    "secret",
    "secretsalt",
    "somerandomstring",
    "somesalt",
    "test",
    "testsalt",
    "yourrandomsalt",
    "yoursalt",
    "yoursecretsalt",
];

/// Whether a salt is a sample that somebody copied: compared without case, digits, punctuation and the words that
/// only point at it (`salt1`, `YOUR_SALT_HERE` and `<change-me-2>` are samples).
fn is_sample(salt: &str) -> bool {
    let letters: String =
        salt.to_lowercase().chars().filter(|letter| letter.is_alphabetic()).collect();
    let bare = letters.strip_suffix("here").unwrap_or(&letters);
    let bare = bare.strip_suffix("one").or_else(|| bare.strip_suffix("two")).unwrap_or(bare);
    SAMPLE_SALTS.contains(&bare) || salt.chars().all(|letter| salt.starts_with(letter))
}

/// The salts in force; `None` in development and where a secret is to be made.
pub(super) fn read(read: &Reader<'_>, mode: Mode) -> Result<Option<Salts>, ConfigError> {
    let (before, after) = (read.optional("salt1"), read.optional("salt2"));
    if mode == Mode::Development {
        // They are not used, so that whatever old start scripts export does no harm.
        return Ok(None);
    }
    for (name, salt) in [("salt1", &before), ("salt2", &after)] {
        let Some(salt) = salt else { continue };
        if is_sample(salt) {
            let expected = "a secret of your own (16 or more random characters), or left out together with the \
                            other so that one is made and kept";
            return Err(read.refuse(name, expected, "a sample that everybody knows".to_owned()));
        }
        if salt.chars().count() < SALT_LENGTH_MIN {
            let expected = format!("at least {SALT_LENGTH_MIN} characters");
            return Err(read.refuse(name, &expected, "something shorter".to_owned()));
        }
    }
    match (before, after) {
        (Some(before), Some(after)) => {
            Ok(Some(Salts { before: Hidden::new(before), after: Hidden::new(after) }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(read.refuse("salt2", "set together with `salt1`", "left out".into()))
        }
        (None, Some(_)) => {
            Err(read.refuse("salt1", "set together with `salt2`", "left out".into()))
        }
    }
}
