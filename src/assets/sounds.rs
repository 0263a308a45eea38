//! Sample packs of the operator (`sounds_dir`, `--sounds`): a folder each, a file for each key or for some of them.
//!
//! `/sounds/index.json` lists them: `{"packs":[{"name":"Upright","files":{"a-1":"/sounds/Upright/a-1.mp3"}}]}`. A
//! file belongs to the key that it is named after, `a-1` to `c7` as on the wire; what is named otherwise is served
//! and not listed.

use super::{Asset, AssetsError, Files, SOUNDS, folder};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

const NAMES: [&str; 12] = ["c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b"];
const ENDINGS: [&str; 6] = ["mp3", "ogg", "oga", "opus", "wav", "flac"];

/// Reads all packs, and makes their list.
pub(super) fn read(path: &Path) -> Result<Files, AssetsError> {
    let found = folder::read(path, "sounds_dir, --sounds")?;
    let index = index(found.keys()).to_string().into_bytes();
    let mut files = Files::new();
    for (name, bytes) in found {
        let name = Path::new(SOUNDS).join(name);
        let asset = Asset::new(&name, bytes);
        files.insert(name, Arc::new(asset));
    }
    let name = Path::new(SOUNDS).join("index.json");
    files.insert(name.clone(), Arc::new(Asset::new(&name, index)));
    Ok(files)
}

fn index<'a>(names: impl Iterator<Item = &'a PathBuf>) -> Value {
    let mut packs: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for name in names {
        let (Some(pack), Some(key)) = (name.parent().and_then(Path::to_str), key(name)) else {
            continue;
        };
        if pack.is_empty() {
            continue;
        }
        let url: Vec<String> = name.iter().filter_map(|part| part.to_str()).map(encode).collect();
        let url = format!("/{SOUNDS}/{}", url.join("/"));
        packs.entry(pack.to_owned()).or_default().insert(key.to_owned(), url.into());
    }
    let packs: Vec<Value> =
        packs.into_iter().map(|(name, files)| json!({ "name": name, "files": files })).collect();
    json!({ "packs": packs })
}

/// The key that a file is named after.
fn key(name: &Path) -> Option<&str> {
    let ending = name.extension()?.to_str()?.to_ascii_lowercase();
    let stem = name.file_stem()?.to_str()?;
    let (tone, octave) = stem.split_at(stem.find(|c: char| c == '-' || c.is_ascii_digit())?);
    let tone = NAMES.iter().position(|name| *name == tone)? as i32;
    let octave: i32 = octave.parse().ok()?;
    // a-1 is the lowest of the 88 keys, c7 the highest.
    let number = octave.checked_mul(12)?.checked_add(tone)?;
    (ENDINGS.contains(&&*ending) && (-3..=84).contains(&number)).then_some(stem)
}

/// A part of a path for a URL.
fn encode(part: &str) -> String {
    let mut text = String::new();
    for &byte in part.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_by_the_keys_that_they_are_named_after() {
        let names = [
            "Old upright/a-1.mp3",
            "Old upright/cs4.OGG",
            "Old upright/c7.wav",
            "Old upright/cs7.mp3",
            "Old upright/gs-1.mp3",
            "Old upright/LICENSE.txt",
            "Old upright/h3.mp3",
            "c4.mp3",
            "Old upright/c99999999999.mp3",
        ];
        let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let expected = json!({ "packs": [{ "name": "Old upright", "files": {
            "a-1": "/sounds/Old%20upright/a-1.mp3",
            "cs4": "/sounds/Old%20upright/cs4.OGG",
            "c7": "/sounds/Old%20upright/c7.wav",
        } }] });
        assert_eq!(index(names.iter()), expected);
    }
}
