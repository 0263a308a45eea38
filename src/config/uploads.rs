//! The settings of files that people send.

use super::{Data, Reader};
use crate::uploads::Settings;

/// Their folder in the data folder.
const FOLDER: &str = "uploads";

/// Reads them; `None` when files are not taken, as without a data folder.
pub(super) fn read(read: &Reader<'_>, data: &Data) -> Option<Settings> {
    let folder = read.optional("uploads.folder");
    let (true, Data::Dir(data)) = (read.flag("uploads.enabled"), data) else { return None };
    Some(Settings {
        folder: folder.map_or_else(|| data.join(FOLDER), Into::into),
        file_bytes_max: read.length("uploads.file_bytes") as u64,
        user_bytes_max: read.length("uploads.user_bytes") as u64,
        total_bytes_max: read.length("uploads.total_bytes") as u64,
        at_once_max: read.length("uploads.at_once"),
        unattached: read.ms("uploads.unattached_ms"),
        attached: read.ms("uploads.attached_ms"),
    })
}
