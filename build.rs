//! Packs the built-in page: each text file of `client/` goes into the binary as it is, and compressed with brotli and
//! gzip beside it, so that serving it compresses nothing.
//!
//! What the page loads is named under a version (`/@0123456789abcdef/app.js`), a hash over all of it: such a name can
//! be kept by browsers for ever, and the modules, which name each other relatively, always come from one version.
//!
//! Only a release build does so. A debug build reads `client/` when it runs, so that a change shows at once.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What does not get smaller by it (sounds, pictures, fonts) is left alone.
const COMPRESSED: [&str; 8] = ["html", "js", "mjs", "css", "json", "svg", "webmanifest", "txt"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=client");
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var_os("OUT_DIR").expect("cargo says where");
    let packed = PathBuf::from(out).join("client");
    if packed.exists() {
        fs::remove_dir_all(&packed)?;
    }
    fs::create_dir_all(&packed)?;
    let mut version = String::new();
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let mut hash = FNV_BASIS;
        fingerprint(Path::new("client"), &mut hash)?;
        version = format!("@{hash:016x}");
        pack(Path::new("client"), &packed, &version)?;
    }
    println!("cargo::rustc-env=TUTTI_PAGE_VERSION={version}");
    Ok(())
}

/// FNV-1a: what a name is for, not what somebody could forge.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fingerprint(folder: &Path, hash: &mut u64) -> io::Result<()> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            fingerprint(&path, hash)?;
            continue;
        }
        for byte in path.as_os_str().as_encoded_bytes().iter().chain(&fs::read(&path)?) {
            *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    Ok(())
}

fn pack(from: &Path, to: &Path, version: &str) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().expect("an entry has a name");
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let target = to.join(name);
        if path.is_dir() {
            pack(&path, &target, version)?;
            continue;
        }
        let mut bytes = fs::read(&path)?;
        if path == Path::new("client/index.html") {
            let html = String::from_utf8(bytes).map_err(io::Error::other)?;
            bytes = html
                .replace("href=\"/", &format!("href=\"/{version}/"))
                .replace("src=\"/", &format!("src=\"/{version}/"))
                .into_bytes();
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| COMPRESSED.contains(&extension)) {
            for (ending, packed) in [("br", brotli(&bytes)?), ("gz", gzip(&bytes)?)] {
                if packed.len() < bytes.len() {
                    let mut name = target.clone().into_os_string();
                    name.push(format!(".{ending}"));
                    fs::write(name, packed)?;
                }
            }
        }
        fs::write(&target, bytes)?;
    }
    Ok(())
}

fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &*bytes, &mut packed, &parameters)?;
    Ok(packed)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
