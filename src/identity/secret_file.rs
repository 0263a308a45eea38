//! Secrets that are made once and kept in the data directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of a secret.
pub(super) const SECRET_BYTES: usize = 32;

/// Why a secret cannot be had. The environment or the operator is at fault; the server must not start without.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The directory or the file cannot be made, read or written.
    #[error("cannot {what} {}: {source}; make it usable for this user or choose another directory with `data` (--data)", path.display())]
    Io {
        /// What failed.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold 64 hex digits; restore it, or remove it to have a new one made (ids and tokens then change)", path.display())]
    NotASecret {
        /// The file.
        path: PathBuf,
    },
}

/// 32 random bytes. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Secret {
    /// A new one.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).expect("the system's random source answers");
        Secret(bytes)
    }

    /// The bytes, as a key.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret kept in `dir` under `name`, made if there is none. Several processes that do this at once all
    /// get the same one, and a crash leaves either a whole file or none.
    pub(crate) fn keep(dir: &Path, name: &str) -> Result<Self, SecretError> {
        let path = dir.join(name);
        let fresh = format!("{}\n", hex(&Secret::random().0));
        // A secret and its line end, and one byte more to see that there is nothing more.
        let text = keep_file(dir, name, 2 * SECRET_BYTES as u64 + 2, fresh.as_bytes())?;
        unhex(text.trim_ascii_end()).map(Secret).ok_or(SecretError::NotASecret { path })
    }
}

/// What is kept in `dir` under `name`, at most `bytes_max` of it; `fresh` is put there if there is nothing. Several
/// processes that do this at once all get the same, and a crash leaves either a whole file or none. Only this user may
/// read it.
pub(crate) fn keep_file(
    dir: &Path,
    name: &str,
    bytes_max: u64,
    fresh: &[u8],
) -> Result<Vec<u8>, SecretError> {
    let path = dir.join(name);
    if let Some(kept) = read(&path, bytes_max)? {
        return Ok(kept);
    }
    let fail = |what, path: &Path| {
        let path = path.to_owned();
        move |source| SecretError::Io { what, path, source }
    };
    crate::data_folder::create(dir).map_err(fail("make the directory", dir))?;
    // Whole and on disk under a name of its own first; the link then is the one step that makes it what is kept, and it
    // fails where somebody else was faster.
    let draft = dir.join(format!(".{name}.{}", hex(&Secret::random().0[..8])));
    let written = write_new(&draft, fresh).map_err(fail("write", &draft));
    let linked = written.and_then(|()| match fs::hard_link(&draft, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(fail("make", &path)(error))
        }
        _ => Ok(()),
    });
    let _ = fs::remove_file(&draft);
    linked?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail("write", dir))?;
    read(&path, bytes_max)?.ok_or_else(|| fail("read", &path)(io::ErrorKind::NotFound.into()))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, SecretError> {
    let fail = |source| SecretError::Io { what: "read", path: path.to_owned(), source };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    if file.metadata().map_err(fail)?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "other users may read this secret; chmod 600 it");
    }
    let mut content = Vec::new();
    (&mut file).take(bytes_max).read_to_end(&mut content).map_err(fail)?;
    Ok(Some(content))
}

/// Bytes as hex digits in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &[u8]) -> Option<[u8; SECRET_BYTES]> {
    if text.len() != 2 * SECRET_BYTES || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; SECRET_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            let name = format!("tutti-secret-{}", hex(&Secret::random().0[..8]));
            Dir(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn made_once_private_and_kept() {
        let dir = Dir::new();
        let data = dir.0.join("deep/data");
        let first = Secret::keep(&data, "secret").unwrap();
        assert_eq!(Secret::keep(&data, "secret").unwrap(), first);
        assert_ne!(Secret::keep(&data, "token_key").unwrap(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&data.join("secret"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn all_who_start_at_once_get_the_same() {
        let dir = Dir::new();
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let start = || scope.spawn(|| Secret::keep(&dir.0, "secret").unwrap());
            let threads: Vec<_> = (0..8).map(|_| start()).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
    }

    #[test]
    fn something_else_is_refused_and_left_alone() {
        let dir = Dir::new();
        fs::create_dir_all(&dir.0).unwrap();
        let path = dir.0.join("secret");
        for text in ["", "short", &"g".repeat(64), &"a".repeat(65), &"a".repeat(4096)] {
            fs::write(&path, text).unwrap();
            let error = Secret::keep(&dir.0, "secret").unwrap_err();
            assert!(matches!(error, SecretError::NotASecret { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, "aB".repeat(32) + "\n").unwrap();
        assert_eq!(Secret::keep(&dir.0, "secret").unwrap(), Secret([0xab; 32]));
    }

    #[test]
    fn unusable_directory_is_named() {
        let dir = Dir::new();
        fs::write(&dir.0, "a file").unwrap();
        let error = Secret::keep(&dir.0, "secret").unwrap_err().to_string();
        let _ = fs::remove_file(&dir.0);
        assert!(error.contains("--data") && error.contains("tutti-secret-"), "{error}");
    }
}
