//! The settings of files that people send.

use super::{ConfigError, Data, Reader};
use crate::uploads::Settings;

/// Their folder in the data folder.
const FOLDER: &str = "uploads";

const PUBLIC_URL: &str = "uploads.public_url";
/// Most bytes of it: it is in each line of chat that shows a file.
const URL_BYTES_MAX: usize = 200;

/// Reads them; `None` when files are not taken, as without a data folder.
pub(super) fn read(read: &Reader<'_>, data: &Data) -> Result<Option<Settings>, ConfigError> {
    let folder = read.optional("uploads.folder");
    let public_url = public_url(read)?;
    let (true, Data::Dir(data)) = (read.flag("uploads.enabled"), data) else { return Ok(None) };
    Ok(Some(Settings {
        folder: folder.map_or_else(|| data.join(FOLDER), Into::into),
        file_bytes_max: read.length("uploads.file_bytes") as u64,
        user_bytes_max: read.length("uploads.user_bytes") as u64,
        total_bytes_max: read.length("uploads.total_bytes") as u64,
        at_once_max: read.length("uploads.at_once"),
        per_connection_max: read.length("uploads.per_connection"),
        stall: read.ms("uploads.stall_ms"),
        unattached: read.ms("uploads.unattached_ms"),
        attached: read.ms("uploads.attached_ms"),
        public_url,
    }))
}

/// What addresses begin with, without a slash at the end.
fn public_url(read: &Reader<'_>) -> Result<Option<Box<str>>, ConfigError> {
    let Some(text) = read.optional(PUBLIC_URL) else { return Ok(None) };
    let url = text.trim_end_matches('/');
    let host = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    // Nothing that would end the address early in a line of chat, or begin another part of it.
    let is_plain = |c: char| c.is_ascii_graphic() && !"?#\"<>\\^`{|}'".contains(c);
    let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        && url.len() <= URL_BYTES_MAX
        && url.chars().all(is_plain);
    if !is_url {
        let expected = format!("https://HOST, of at most {URL_BYTES_MAX} bytes");
        return Err(read.refuse(PUBLIC_URL, &expected, format!("{text:?}")));
    }
    Ok(Some(url.into()))
}
