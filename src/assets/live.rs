//! Pages that follow their files, for those who work on a page: a change on the disk is served at once, and open pages
//! load themselves again.

use super::{Asset, Assets, Files, page};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

/// What the script is called by. No file can have this name, because hidden files are not served.
pub(super) const FOLDER: &str = ".live";
/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(300);

/// Asks for the version once in a while and loads the page again when it has changed, also after a restart.
const SCRIPT: &str = "\
let seen;
setInterval(async () => {
  const answer = await fetch(\"/.live/version\").catch(() => null);
  const version = answer?.ok ? await answer.text() : seen;
  if (seen !== undefined && version !== seen) location.reload();
  seen = version;
}, 500);
";

/// Puts the script into the page, and both it and the version beside it.
pub(super) fn prepare(files: &mut Files, version: u64) {
    let index = Path::new("index.html");
    if let Some(asset) = files.get(index) {
        let html = String::from_utf8_lossy(&asset.plain.bytes);
        let tag = "<script type=\"module\" src=\"/.live/script.js\"></script>";
        let html = match html.split_once("</head>") {
            Some((head, rest)) => format!("{head}{tag}</head>{rest}"),
            None => format!("{html}{tag}"),
        };
        files.insert(index.to_owned(), Arc::new(Asset::new(index, html.into_bytes())));
    }
    let mut add = |name: &str, text: String| {
        let name = Path::new(FOLDER).join(name);
        let asset = Asset::new(&name, text.into_bytes());
        files.insert(name, Arc::new(asset));
    };
    add("script.js", SCRIPT.to_owned());
    // Another process means another version.
    add("version", format!("{}.{version}", std::process::id()));
}

/// Watches a folder on a thread of its own, until nobody holds the assets any more.
pub(super) fn watch(assets: &Arc<Assets>, folder: &Path, sounds: Files) {
    let (assets, folder) = (Arc::downgrade(assets), folder.to_owned());
    let mut version = 0;
    let mut seen = stamps(&folder);
    thread::spawn(move || {
        loop {
            thread::sleep(EVERY);
            let Some(assets) = assets.upgrade() else { return };
            let found = stamps(&folder);
            if found == seen {
                continue;
            }
            seen = found;
            // While an editor is writing, the page may be missing for a moment: the next look finds it.
            if let Ok(mut files) = page(&folder) {
                version += 1;
                prepare(&mut files, version);
                files.extend(sounds.clone());
                assets.replace(files);
                tracing::info!(folder = %folder.display(), "the page has changed");
            }
        }
    });
}

/// When each file was last written, and how long it is.
fn stamps(folder: &Path) -> Vec<(PathBuf, Option<std::time::SystemTime>, u64)> {
    let (mut stamps, mut pending) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                pending.push(entry.path());
            } else if let Ok(about) = entry.metadata() {
                stamps.push((entry.path(), about.modified().ok(), about.len()));
            }
        }
    }
    stamps.sort();
    stamps
}
