use super::*;
use std::{fs, thread, time::Duration};

fn find(assets: &Assets, path: &str) -> Option<&'static str> {
    assets.find(&DecodedPath::parse(path).ok()?).map(|(asset, _)| asset.content_type)
}

fn body(assets: &Assets, path: &str, accepted: &str) -> (Option<&'static str>, String) {
    let (asset, _) = assets.find(&DecodedPath::parse(path).unwrap()).unwrap();
    let body = asset.body([accepted.as_bytes()].into_iter());
    (body.encoding, String::from_utf8_lossy(&body.bytes).into_owned())
}

fn opened(sources: Sources<'_>) -> Arc<Assets> {
    Assets::open(sources).unwrap()
}

/// A folder of its own for a test, which is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tutti-assets-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_path_that_is_no_file_shows_the_page() {
    let assets = opened(Sources::default());
    for path in ["/", "/Some%20Room", "/test%2Fawkward", "/%2e%2e%2fCargo.toml", "/a/b/c"] {
        assert_eq!(find(&assets, path), Some("text/html; charset=utf-8"), "{path}");
    }
}

#[test]
fn the_built_in_page_is_whole_and_may_load_only_itself() {
    let assets = opened(Sources::default());
    let (_, page) = body(&assets, "/", "");
    for link in ["src=\"/", "href=\"/"] {
        for (at, _) in page.match_indices(link) {
            let path = page[at + link.len() - 1..].split('"').next().unwrap();
            assert_ne!(find(&assets, path), find(&assets, "/"), "{path} is there");
        }
    }
    assert!(page.contains("src=\"/") && page.contains("href=\"/"));
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<script>"));
    assert!(!page.contains("//"), "nothing comes from another host");
    let policy = assets.headers().iter().find(|(name, _)| *name == "Content-Security-Policy");
    assert!(policy.is_some_and(|(_, policy)| policy.starts_with("default-src 'none';")));
    assert!(policy.is_some_and(|(_, policy)| !policy.contains("unsafe")));
}

#[test]
fn what_has_a_version_in_its_path_lasts() {
    let folder = Folder::new("lasting");
    folder.write("index.html", "page");
    folder.write("net/clock.js", "tick");
    let assets = opened(Sources { client: Some(&folder.0), ..Sources::default() });
    let files = assets.files.read().unwrap().clone();
    let assets = Assets { files: RwLock::new(files), headers: &[], version: "@0123" };
    let shown = |path: &str| {
        let (asset, lasts) = assets.find(&DecodedPath::parse(path).unwrap()).unwrap();
        (String::from_utf8_lossy(&asset.plain.bytes).into_owned(), lasts)
    };
    assert_eq!(shown("/@0123/net/clock.js"), ("tick".into(), true));
    assert_eq!(shown("/net/clock.js"), ("tick".into(), false));
    // Of another version, or nothing of ours: names of rooms.
    for path in ["/@0124/net/clock.js", "/@0123", "/@0123/other.js", "/@0123/../net/clock.js"] {
        let path = path.replace("..", "x");
        assert_eq!(shown(&path), ("page".into(), false), "{path}");
    }
    let unversioned = Assets {
        files: RwLock::new(assets.files.into_inner().unwrap()),
        headers: &[],
        version: "",
    };
    let clock = unversioned.find(&DecodedPath::parse("/net/clock.js").unwrap()).unwrap();
    assert!(!clock.1, "a debug build has no version, and nothing of it lasts");
}

#[test]
fn a_folder_without_a_page_is_refused() {
    let folder = Folder::new("page");
    let sources = Sources { client: Some(&folder.0), ..Sources::default() };
    assert!(matches!(Assets::open(sources), Err(AssetsError::NoIndex(_))));
    folder.write("index.html", "<p>");
    folder.write("sounds/a.mp3", "la");
    folder.write(".env", "secret");
    let assets = opened(sources);
    assert_eq!(find(&assets, "/sounds/a.mp3"), Some("audio/mpeg"));
    assert_eq!(find(&assets, "/.env"), Some("text/html; charset=utf-8"));
    assert_eq!(body(&assets, "/.live/version", "").1, "<p>", "nothing is live unless asked for");
    assert!(assets.headers().is_empty(), "another frontend may load what it likes");
}

#[test]
fn compressed_neighbours_are_sent_to_those_who_take_them() {
    let folder = Folder::new("packed");
    for (name, text) in [
        ("index.html", "page"),
        ("app.js", "plain"),
        ("app.js.br", "brotli"),
        ("app.js.gz", "gzip"),
        ("lonely.gz", "lonely"),
    ] {
        folder.write(name, text);
    }
    let assets = opened(Sources { client: Some(&folder.0), ..Sources::default() });
    for (accepted, encoding, text) in [
        ("", None, "plain"),
        ("gzip, deflate, br, zstd", Some("br"), "brotli"),
        ("gzip;q=0.8, deflate", Some("gzip"), "gzip"),
        ("br;q=0, gzip", Some("gzip"), "gzip"),
        ("BR", Some("br"), "brotli"),
        ("br ; q=0.000 , gzip;q=0", None, "plain"),
        ("identity, brown, gzipped", None, "plain"),
    ] {
        let expected = (encoding, text.to_owned());
        assert_eq!(body(&assets, "/app.js", accepted), expected, "{accepted}");
    }
    let (asset, _) = assets.find(&DecodedPath::parse("/app.js").unwrap()).unwrap();
    let tags = [&asset.plain, asset.brotli.as_ref().unwrap(), asset.gzip.as_ref().unwrap()]
        .map(|body| body.etag.clone());
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && asset.varies());
    assert_eq!(find(&assets, "/lonely.gz"), Some("application/octet-stream"));
}

#[test]
fn a_live_page_follows_its_files() {
    let folder = Folder::new("live");
    folder.write("index.html", "<head></head>one");
    let assets = opened(Sources { client: Some(&folder.0), live: true, ..Sources::default() });
    assert!(body(&assets, "/", "").1.contains("/.live/script.js"));
    assert_eq!(find(&assets, "/.live/script.js"), Some("text/javascript; charset=utf-8"));
    let version = body(&assets, "/.live/version", "").1;
    folder.write("index.html", "<head></head>another");
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(50));
        if body(&assets, "/", "").1.contains("another") {
            break;
        }
    }
    assert!(body(&assets, "/", "").1.contains("another"));
    assert_ne!(body(&assets, "/.live/version", "").1, version);
}
