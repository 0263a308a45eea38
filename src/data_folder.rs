//! The data folder: secrets and the database, for one process at a time.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file whose lock says that a server uses the folder. Its text is that server's process id, for people.
const LOCK: &str = "lock";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another server runs on it.
    #[error("the data folder {} is in use by another Tutti (process {holder}); stop that one, or give this one a folder of its own with `data` (--data)", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process id that the other one left, or a question mark.
        holder: String,
    },
    /// It cannot be made or written.
    #[error("cannot use the data folder {}: {source}; make it writable for this user or choose another with `data` (--data)", path.display())]
    Io {
        /// The folder, or the file in it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The folder belongs to this process as long as this lives. The kernel gives it back when the process ends, however
/// it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Makes the folder, readable by its owner only, unless it is there.
///
/// # Errors
/// The system's.
pub fn create(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

impl FolderLock {
    /// Makes the folder if need be and takes it for this process.
    ///
    /// # Errors
    /// [`FolderError`], when it cannot be made or another process has it.
    pub fn take(dir: &Path) -> Result<Self, FolderError> {
        let fail = |source| FolderError::Io { path: dir.to_owned(), source };
        create(dir).map_err(fail)?;
        let path = dir.join(LOCK);
        let fail = |source| FolderError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = (&mut file).take(32).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "?".to_owned(),
                    pid => pid.to_owned(),
                };
                return Err(FolderError::InUse { path: dir.to_owned(), holder });
            }
            Err(error) => return Err(fail(error.into())),
        }
        // A help for people: on a full disk the lock holds without it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(FolderLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = std::env::temp_dir().join(format!("tutti-folder-{}", std::process::id()));
        let first = FolderLock::take(&dir).unwrap();
        let error = FolderLock::take(&dir).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()) && error.contains("--data"));
        drop(first);
        FolderLock::take(&dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        fs::write(&dir, "a file").unwrap();
        let error = FolderLock::take(&dir).unwrap_err();
        fs::remove_file(&dir).unwrap();
        assert!(matches!(error, FolderError::Io { .. }), "{error}");
    }
}
