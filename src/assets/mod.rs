//! The pages that the server shows: built into the binary, or read from a folder at the start.
//!
//! Everything is in memory, so a request can name no file that was not meant to be shown, and no shard ever waits
//! for a disk. A file with the same name and `.br` or `.gz` behind it is the compressed form of its neighbour, as web
//! servers have it, and is sent to those who take it.

mod folder;
mod live;
mod sounds;

use crate::http::DecodedPath;
use rust_embed::RustEmbed;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

/// A debug build has the folder itself, which is read at the start; `build.rs` packs it for a release.
#[derive(RustEmbed)]
#[cfg_attr(debug_assertions, folder = "client/")]
#[cfg_attr(not(debug_assertions), folder = "$OUT_DIR/client/")]
struct BuiltIn;

/// What the page that is built in names its files under, as `build.rs` has it; nothing in a debug build.
const VERSION: &str = env!("TUTTI_PAGE_VERSION");

/// Where sample packs are shown.
const SOUNDS: &str = "sounds";

/// One file to serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    plain: Body,
    brotli: Option<Body>,
    gzip: Option<Body>,
}

/// A file in one of its forms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    /// Changes with its content; with quotation marks.
    pub etag: String,
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// How it is compressed, as `Content-Encoding` has it; `None` when it is not.
    pub encoding: Option<&'static str>,
}

impl Asset {
    fn new(name: &Path, bytes: Vec<u8>) -> Self {
        Asset {
            content_type: content_type(name),
            plain: Body::new(bytes, None),
            brotli: None,
            gzip: None,
        }
    }

    /// The smallest form that somebody takes whose `Accept-Encoding` says so, over all its lines.
    ///
    /// A weight of zero refuses; other weights are not weighed, because whoever takes brotli at all is served
    /// best by it.
    #[must_use]
    pub fn body<'a>(&self, accepted: impl Iterator<Item = &'a [u8]>) -> &Body {
        let (mut brotli, mut gzip) = (false, false);
        for entry in accepted.flat_map(|line| line.split(|&byte| byte == b',')) {
            let mut parts = entry.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                let weight = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="));
                weight.is_some_and(|w| !w.iter().any(|digit| (b'1'..=b'9').contains(digit)))
            });
            if coding.eq_ignore_ascii_case(b"br") {
                brotli = !refused;
            } else if coding.eq_ignore_ascii_case(b"gzip") {
                gzip = !refused;
            }
        }
        let brotli = self.brotli.as_ref().filter(|_| brotli);
        brotli.or(self.gzip.as_ref().filter(|_| gzip)).unwrap_or(&self.plain)
    }

    /// Whether there is more than one form, so that caches have to tell them apart.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.brotli.is_some() || self.gzip.is_some()
    }
}

impl Body {
    fn new(bytes: Vec<u8>, encoding: Option<&'static str>) -> Self {
        let hash = ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(&bytes);
        let suffix = encoding.map_or_else(String::new, |encoding| format!("-{encoding}"));
        Body { etag: format!("\"{hash:016x}{suffix}\""), bytes: bytes.into(), encoding }
    }
}

/// All files to serve.
#[derive(Debug)]
pub struct Assets {
    files: RwLock<Arc<Files>>,
    headers: &'static [(&'static str, &'static str)],
    /// The first part of paths that always show the same; empty when there is none.
    version: &'static str,
}

type Files = BTreeMap<PathBuf, Arc<Asset>>;

/// What browsers are told about the page that is built in: it needs nothing from anywhere else, so that whatever
/// slips into it can load nothing, run nothing inline and tell nobody where the visitor came from.
///
/// `'self'` stands for the WebSocket of the same host too, in every browser that can show the page.
const BUILT_IN_HEADERS: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         worker-src 'self'; media-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types tutti",
    ),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), midi=(self)"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
];

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AssetsError {
    /// It cannot be read.
    #[error("cannot read {}: {source} ({key})", path.display())]
    Io {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// The setting that named it.
        key: &'static str,
    },
    /// It is too large to be kept in memory.
    #[error("{} holds more than {} MiB ({key})", path.display(), folder::BYTES_MAX >> 20)]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The setting that named it.
        key: &'static str,
    },
    /// It is not a page.
    #[error("{} has no index.html (client_dir, --client-dir)", .0.display())]
    NoIndex(PathBuf),
}

/// Where pages and sounds come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// A folder that is served instead of the page that is built in.
    pub client: Option<&'a Path>,
    /// A folder of sample packs.
    pub sounds: Option<&'a Path>,
    /// Whether changes to the page show at once, and open pages load themselves again.
    pub live: bool,
}

impl Assets {
    /// Reads everything. With `live` a thread looks for changes for as long as the pages are used.
    ///
    /// # Errors
    /// When a folder cannot be read, is too large, or has no `index.html`.
    pub fn open(sources: Sources<'_>) -> Result<Arc<Self>, AssetsError> {
        // A debug build has its page on the disk, where it can change.
        let built_in = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/client"));
        let on_disk =
            sources.client.or((cfg!(debug_assertions) && built_in.is_dir()).then_some(built_in));
        let (mut files, headers) = match sources.client {
            Some(client) => (page(client)?, &[][..]),
            None => (self::built_in(), BUILT_IN_HEADERS),
        };
        let sounds = match sources.sounds {
            Some(folder) => sounds::read(folder)?,
            None => Files::new(),
        };
        let watched = on_disk.filter(|_| sources.live);
        if watched.is_some() {
            live::prepare(&mut files, 0);
        }
        files.extend(sounds.clone());
        let version = if sources.client.is_none() { VERSION } else { "" };
        let assets = Arc::new(Assets { files: RwLock::new(Arc::new(files)), headers, version });
        if let Some(folder) = watched {
            live::watch(&assets, folder, sounds);
        }
        Ok(assets)
    }

    /// What a path shows: its file, or the page, because every other path names a room. And whether the path will
    /// show the same for ever.
    #[must_use]
    pub fn find(&self, path: &DecodedPath) -> Option<(Arc<Asset>, bool)> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner).clone();
        let file = path.to_file();
        if let Some(asset) = file.as_ref().and_then(|file| files.get(file)) {
            return Some((asset.clone(), false));
        }
        let versioned = file.as_ref().and_then(|file| file.strip_prefix(self.version).ok());
        if !self.version.is_empty()
            && let Some(asset) = versioned.and_then(|file| files.get(file))
        {
            return Some((asset.clone(), true));
        }
        if let [folder, name] = path.segments()
            && folder == live::FOLDER
            && let Some(asset) = files.get(&Path::new(live::FOLDER).join(name))
        {
            return Some((asset.clone(), false));
        }
        Some((files.get(Path::new("index.html"))?.clone(), false))
    }

    /// The headers that go with each file. None for a folder, because nobody knows what its pages load from where.
    #[must_use]
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        self.headers
    }

    fn replace(&self, files: Files) {
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(files);
    }
}

fn built_in() -> Files {
    let files = BuiltIn::iter().filter_map(|name| {
        let file = BuiltIn::get(&name)?;
        Some((PathBuf::from(&*name), file.data.into_owned()))
    });
    assemble(files.collect())
}

/// A folder that is a page.
fn page(path: &Path) -> Result<Files, AssetsError> {
    let files = assemble(folder::read(path, "client_dir, --client-dir")?);
    if files.contains_key(Path::new("index.html")) {
        Ok(files)
    } else {
        Err(AssetsError::NoIndex(path.to_owned()))
    }
}

/// Makes assets of files; compressed forms go to their neighbours.
fn assemble(files: BTreeMap<PathBuf, Vec<u8>>) -> Files {
    let mut assets: BTreeMap<PathBuf, Asset> = BTreeMap::new();
    let mut packed = Vec::new();
    for (name, bytes) in files {
        match name.extension().and_then(|extension| extension.to_str()) {
            Some("br" | "gz") => packed.push((name, bytes)),
            _ => drop(assets.insert(name.clone(), Asset::new(&name, bytes))),
        }
    }
    for (name, bytes) in packed {
        // `app.js.br` is `app.js` without its last extension.
        let Some(asset) = assets.get_mut(&name.with_extension("")) else {
            // Nobody's compressed form: a file like any other.
            assets.insert(name.clone(), Asset::new(&name, bytes));
            continue;
        };
        if name.extension().is_some_and(|extension| extension == "br") {
            asset.brotli = Some(Body::new(bytes, Some("br")));
        } else {
            asset.gzip = Some(Body::new(bytes, Some("gzip")));
        }
    }
    assets.into_iter().map(|(name, asset)| (name, Arc::new(asset))).collect()
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
        "ogg" | "oga" | "opus" => "audio/ogg",
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
mod tests;
