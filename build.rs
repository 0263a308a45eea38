//! Packs the built-in page: each text file of `client/` goes into the binary as it is, and compressed with brotli and
//! gzip beside it, so that serving it compresses nothing.
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
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        pack(Path::new("client"), &packed)?;
    }
    Ok(())
}

fn pack(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().expect("an entry has a name");
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let target = to.join(name);
        if path.is_dir() {
            pack(&path, &target)?;
            continue;
        }
        let bytes = fs::read(&path)?;
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
