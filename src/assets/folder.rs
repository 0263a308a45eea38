//! Files of a folder, read into memory.

use super::AssetsError;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Most bytes of a folder that are read. A frontend with its sounds has some 20 MB.
pub(super) const BYTES_MAX: u64 = 256 << 20;

/// Everything below a folder, by its path from there, but not hidden files. `key` is the setting that names it.
///
/// # Errors
/// When it cannot be read or is too large.
pub(super) fn read(
    folder: &Path,
    key: &'static str,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, AssetsError> {
    let mut files = BTreeMap::new();
    let (mut bytes, mut pending) = (0, vec![PathBuf::new()]);
    while let Some(below) = pending.pop() {
        let path = folder.join(&below);
        let failed = |source| AssetsError::Io { path: path.clone(), source, key };
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, name) = (entry.path(), below.join(entry.file_name()));
            let failed = |source| AssetsError::Io { path: path.clone(), source, key };
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                pending.push(name);
            } else if kind.is_file() {
                bytes += entry.metadata().map_err(failed)?.len();
                if bytes > BYTES_MAX {
                    return Err(AssetsError::TooLarge { path: folder.to_owned(), key });
                }
                files.insert(name, fs::read(&path).map_err(failed)?);
            }
            // Links are left out: they can lead anywhere.
        }
    }
    Ok(files)
}
