//! The settings of files that people send.

use super::{ConfigError, Data, Reader};
use crate::uploads::Settings;

/// Their folder in the data folder.
const FOLDER: &str = "uploads";

/// Reads them; `None` when files are not taken, as without a data folder.
pub(super) fn read(read: &Reader<'_>, data: &Data) -> Result<Option<Settings>, ConfigError> {
    let public_url = read.optional("uploads.public_url");
    let fits = |url: &String| {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        rest.is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
        })
    };
    if let Some(url) = public_url.as_ref().filter(|url| !fits(url) || url.len() > 256) {
        return Err(read.refuse(
            "uploads.public_url",
            "the beginning of an address, as https://piano.example",
            url.clone(),
        ));
    }
    let folder = read.optional("uploads.folder");
    let (true, Data::Dir(data)) = (read.flag("uploads.enabled"), data) else { return Ok(None) };
    Ok(Some(Settings {
        folder: folder.map_or_else(|| data.join(FOLDER), Into::into),
        file_bytes_max: read.length("uploads.file_bytes") as u64,
        user_bytes_max: read.length("uploads.user_bytes") as u64,
        total_bytes_max: read.length("uploads.total_bytes") as u64,
        at_once_max: read.length("uploads.at_once"),
        unattached: read.ms("uploads.unattached_ms"),
        attached: read.ms("uploads.attached_ms"),
        public_url: public_url.map(Into::into),
    }))
}
