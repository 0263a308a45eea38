//! The pages that the server shows: built into the binary, or read from a folder at the start.
//!
//! Everything is in memory, so a request can name no file that was not meant to be shown, and no shard ever waits
//! for a disk.

use crate::http::DecodedPath;
use rust_embed::RustEmbed;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most bytes of a folder that are read. A frontend with its sounds has some 20 MB.
const FOLDER_BYTES_MAX: u64 = 256 << 20;

#[derive(RustEmbed)]
#[folder = "client/"]
struct BuiltIn;

/// One file to serve.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    /// Changes with its content; with quotation marks.
    pub etag: String,
    /// Its content.
    pub body: Arc<[u8]>,
}

/// All files to serve.
#[derive(Debug, Default)]
pub struct Assets {
    by_path: BTreeMap<PathBuf, Asset>,
    headers: &'static [(&'static str, &'static str)],
}

/// What browsers are told about the page that is built in: it needs nothing from anywhere else, so that whatever
/// slips into it can load nothing, run nothing inline and tell nobody where the visitor came from.
const BUILT_IN_HEADERS: &[(&str, &str)] = &[
    // Some browsers do not count WebSockets of the same host as 'self'.
    ("Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
];

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AssetsError {
    /// It cannot be read.
    #[error("cannot read {}: {source} (client_dir, --client-dir)", path.display())]
    Io {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too large to be kept in memory.
    #[error("{} holds more than {} MiB (client_dir, --client-dir)", .0.display(), FOLDER_BYTES_MAX >> 20)]
    TooLarge(PathBuf),
    /// It is not a page.
    #[error("{} has no index.html (client_dir, --client-dir)", .0.display())]
    NoIndex(PathBuf),
}

impl Assets {
    /// The page that is built into the binary.
    #[must_use]
    pub fn built_in() -> Self {
        let files = BuiltIn::iter().filter_map(|name| {
            let file = BuiltIn::get(&name)?;
            Some((PathBuf::from(&*name), asset(Path::new(&*name), file.data.into_owned())))
        });
        Assets { by_path: files.collect(), headers: BUILT_IN_HEADERS }
    }

    /// Everything below a folder, but not hidden files.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or has no `index.html`.
    pub fn read(folder: &Path) -> Result<Self, AssetsError> {
        let mut by_path = BTreeMap::new();
        let (mut bytes, mut pending) = (0, vec![PathBuf::new()]);
        while let Some(below) = pending.pop() {
            let path = folder.join(&below);
            let failed = |source| AssetsError::Io { path: path.clone(), source };
            for entry in fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let (path, name) = (entry.path(), below.join(entry.file_name()));
                let failed = |source| AssetsError::Io { path: path.clone(), source };
                if entry.file_name().to_string_lossy().starts_with('.') {
                    continue;
                }
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() {
                    pending.push(name);
                } else if kind.is_file() {
                    bytes += entry.metadata().map_err(failed)?.len();
                    if bytes > FOLDER_BYTES_MAX {
                        return Err(AssetsError::TooLarge(folder.to_owned()));
                    }
                    let asset = asset(&name, fs::read(&path).map_err(failed)?);
                    by_path.insert(name, asset);
                }
                // Links are left out: they can lead anywhere.
            }
        }
        if !by_path.contains_key(Path::new("index.html")) {
            return Err(AssetsError::NoIndex(folder.to_owned()));
        }
        Ok(Assets { by_path, headers: &[] })
    }

    /// What a path shows: its file, or the page, because every other path names a room.
    #[must_use]
    pub fn find(&self, path: &DecodedPath) -> Option<&Asset> {
        let file = path.to_file().and_then(|file| self.by_path.get(&file));
        file.or_else(|| self.by_path.get(Path::new("index.html")))
    }

    /// The headers that go with each file. None for a folder, because nobody knows what its pages load from where.
    #[must_use]
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        self.headers
    }
}

fn asset(name: &Path, body: Vec<u8>) -> Asset {
    let hash = ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(&body);
    Asset { content_type: content_type(name), etag: format!("\"{hash:016x}\""), body: body.into() }
}

fn content_type(name: &Path) -> &'static str {
    let extension = name.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" => "audio/ogg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "mid" | "midi" => "audio/midi",
        "wasm" => "application/wasm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(assets: &Assets, path: &str) -> Option<&'static str> {
        assets.find(&DecodedPath::parse(path).ok()?).map(|asset| asset.content_type)
    }

    #[test]
    fn every_path_that_is_no_file_shows_the_page() {
        let assets = Assets::built_in();
        for path in ["/", "/Some%20Room", "/test%2Fawkward", "/%2e%2e%2fCargo.toml", "/a/b/c"] {
            assert_eq!(find(&assets, path), Some("text/html; charset=utf-8"), "{path}");
        }
    }

    #[test]
    fn the_built_in_page_is_whole_and_may_load_only_itself() {
        let assets = Assets::built_in();
        let page = assets.find(&DecodedPath::parse("/").unwrap()).unwrap();
        let page = std::str::from_utf8(&page.body).unwrap();
        let parts = ["/app.js", "/style.css", "/icon.svg"];
        for part in parts {
            assert!(page.contains(&format!("\"{part}\"")), "{part} is linked");
            assert_ne!(find(&assets, part), find(&assets, "/"), "{part} is there");
        }
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<script>"));
        let policy = assets.headers().iter().find(|(name, _)| *name == "Content-Security-Policy");
        assert!(policy.is_some_and(|(_, policy)| policy.starts_with("default-src 'self';")));
    }

    #[test]
    fn a_folder_without_a_page_is_refused() {
        let folder = std::env::temp_dir().join(format!("tutti-assets-{}", std::process::id()));
        fs::create_dir_all(folder.join("sounds")).unwrap();
        assert!(matches!(Assets::read(&folder), Err(AssetsError::NoIndex(_))));
        fs::write(folder.join("index.html"), "<p>").unwrap();
        fs::write(folder.join("sounds/a.mp3"), "la").unwrap();
        fs::write(folder.join(".env"), "secret").unwrap();
        let assets = Assets::read(&folder).unwrap();
        assert_eq!(find(&assets, "/sounds/a.mp3"), Some("audio/mpeg"));
        assert_eq!(find(&assets, "/.env"), Some("text/html; charset=utf-8"));
        assert!(assets.headers().is_empty(), "another frontend may load what it likes");
        fs::remove_dir_all(folder).unwrap();
    }
}
