//! What the compiler and clippy do not see: the layout of sources, and what may stand in them.
//!
//! One test a rule. Each collects all violations before it fails, as `path:line: what`.

use std::fs;
use std::path::Path;

/// Most columns of code. Lines that hold a text are exempt: a text that is broken up is not found when searched for.
const CODE_COLUMNS_MAX: usize = 100;
/// Most columns of a comment.
const COMMENT_COLUMNS_MAX: usize = 120;
/// Most lines of a file. A longer one holds two ideas.
const FILE_LINES_MAX: usize = 800;

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] =
    &["target", "node_modules", ".git", "corpus", "artifacts", "coverage", "out", "data"];

/// A text file of the repository.
struct Source {
    /// From the repository's root, with slashes.
    name: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

/// All text files of the repository. What is binary is left out.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("the repository can be read");
        for entry in entries {
            let path = entry.expect("the repository can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy();
            if path.is_symlink() || FOREIGN.contains(&&*name) || name.ends_with(".lock") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push(Source { name: relative(&path), text });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 50, "the repository was not found");
    found
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("it was found below the root");
    path.to_string_lossy().replace('\\', "/")
}

fn rust() -> Vec<Source> {
    sources().into_iter().filter(|source| source.name.ends_with(".rs")).collect()
}

/// Fails with all lines for which `judge` names a fault.
#[track_caller]
fn check(sources: &[Source], judge: impl Fn(&Source, &str) -> Option<String>) {
    let mut faults = Vec::new();
    for source in sources {
        for (n, line) in source.text.lines().enumerate() {
            if let Some(fault) = judge(source, line) {
                faults.push(format!("{}:{}: {fault}", source.name, n + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// A word that this file itself may not hold in one piece.
fn word(parts: [&str; 2]) -> String {
    parts.concat()
}

#[test]
fn lines_fit() {
    check(&rust(), |_, line| {
        let columns = line.chars().count();
        let has_text = line.contains('"') || line.ends_with('\\');
        let (max, what) = match (is_comment(line), has_text) {
            (true, _) => (COMMENT_COLUMNS_MAX, "comment"),
            (false, true) => return None,
            (false, false) => (CODE_COLUMNS_MAX, "code"),
        };
        (columns > max).then(|| format!("{columns} columns of {what}, at most {max}"))
    });
}

#[test]
fn files_hold_one_idea() {
    let long: Vec<String> = rust()
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|&(_, lines)| lines > FILE_LINES_MAX)
        .map(|(source, lines)| format!("{}: {lines} lines", source.name))
        .collect();
    assert!(long.is_empty(), "at most {FILE_LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_undone() {
    let marks =
        [word(["TO", "DO"]), word(["FIX", "ME"]), word(["dbg", "!("]), word(["#[ign", "ore"])];
    check(&sources(), |source, line| {
        // A hashed or generated text may hold anything.
        if source.name.ends_with("package-lock.json") {
            return None;
        }
        let mark = marks.iter().find(|mark| line.contains(mark.as_str()))?;
        Some(format!("holds {mark}"))
    });
}

#[test]
fn white_space_is_plain() {
    check(&sources(), |source, line| {
        if source.name.starts_with("fuzz/seeds/") {
            return None;
        }
        let ends = line.ends_with(' ') || line.ends_with('\t');
        let tab = source.name.ends_with(".rs") && line.contains('\t');
        match (ends, tab) {
            (true, _) => Some("ends in white space".into()),
            (_, true) => Some("holds a tab".into()),
            _ => None,
        }
    });
    for source in sources().iter().filter(|source| !source.name.starts_with("fuzz/seeds/")) {
        let ends = source.text.is_empty() || source.text.ends_with('\n');
        assert!(ends, "{} has no end of line at its end", source.name);
    }
}

#[test]
fn nothing_names_a_machine() {
    let places = [["/ho", "me/"], ["/Us", "ers/"], ["/ro", "ot/"], ["/wo", "rk/"], ["C:", "\\"]];
    let places = places.map(word);
    check(&sources(), |_, line| {
        let place = places.iter().find(|place| {
            line.match_indices(place.as_str()).any(|(at, _)| {
                // `docs/home/` is a path of ours; an absolute one follows nothing that a path goes on with.
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-%~".contains(c))
            })
        })?;
        Some(format!("names {place} of some machine"))
    });
}

/// The core is told the time and has no other threads, sockets or waits.
#[test]
fn core_knows_no_clock_socket_or_thread() {
    let forbidden = [
        "Instant::now",
        "SystemTime",
        "std::net",
        "std::thread",
        "std::fs",
        "std::env",
        "std::sync::Mutex",
        "async ",
        "glommio",
        "serde_json",
        "getrandom",
        "unsafe ",
        "println!",
    ];
    let core: Vec<Source> =
        rust().into_iter().filter(|source| source.name.starts_with("shards/src/")).collect();
    assert!(core.len() > 20, "the core was not found");
    check(&core, |_, line| {
        if is_comment(line) {
            return None;
        }
        let name = forbidden.iter().find(|name| line.contains(**name))?;
        Some(format!("the core must not know `{name}`"))
    });
}

/// Doors and driver depend on the core, never on each other's business.
#[test]
fn parts_know_what_they_may() {
    let rules: &[(&str, &[&str])] = &[
        (
            "src/doors/",
            &["crate::driver", "crate::admin", "crate::serve", "glommio", "std::net::Tcp"],
        ),
        ("src/ws/", &["crate::driver", "crate::doors", "tutti_shards", "glommio"]),
        ("src/driver/", &["simd_json", "serde_json", "crate::http", "crate::ws"]),
        ("tests/kit/", &["tutti::", "tutti_shards"]),
        ("tests/blackbox/", &["tutti::", "tutti_shards"]),
    ];
    check(&rust(), |source, line| {
        if is_comment(line) {
            return None;
        }
        let (part, names) = rules.iter().find(|(part, _)| source.name.starts_with(part))?;
        let name = names.iter().find(|name| line.contains(**name))?;
        Some(format!("{part} must not know `{name}`"))
    });
}

/// The protocol page is part of the product, and its statements are what tests name.
#[test]
fn protocol_page_has_its_statements() {
    let page =
        fs::read_to_string(root().join("docs/protocol/tcp-chat.md")).expect("the page is there");
    let checklist = page.split("## 19. Conformance checklist").nth(1).expect("it has a checklist");
    for n in 1..=82 {
        let begins = format!("\n{n}. ");
        assert_eq!(checklist.matches(&begins).count(), 1, "statement {n} stands there once");
    }
    let page = fs::read_to_string(root().join("docs/protocol/mpp.md")).expect("the page is there");
    let checklist = page.split("## 13. Conformance checklist").nth(1).expect("it has a checklist");
    let checklist = checklist.split("## 13a").next().expect("a part before something is there");
    for n in 1..=160 {
        let begins = format!("\n{n}. ");
        assert_eq!(checklist.matches(&begins).count(), 1, "statement {n} stands there once");
    }
}

/// Every key that the README and the protocol page name exists.
#[test]
fn documents_name_keys_that_exist() {
    let keys = ["src/config/keys/table.rs", "src/config/keys/line.rs"]
        .map(|part| fs::read_to_string(root().join(part)).expect("the keys are there"))
        .concat();
    let tables = [
        "limits.",
        "hot.",
        "quota.",
        "rate.",
        "crown.",
        "lobby.",
        "channel.",
        "cursor.",
        "admin.",
        "directory.",
        "mesh.",
        "notes.",
        "notice.",
        "chat.",
        "ban.",
        "flush.",
        "line.",
    ];
    let documents: Vec<Source> =
        sources().into_iter().filter(|source| source.name.ends_with(".md")).collect();
    check(&documents, |_, line| {
        if line.contains("unknown key") {
            return None;
        }
        let unknown = line.split('`').skip(1).step_by(2).find(|code| {
            tables.iter().any(|table| code.starts_with(table))
                && !code.ends_with(".rs")
                && code.chars().all(|c| c.is_ascii_lowercase() || "._0123456789".contains(c))
                && !keys.contains(&format!("\"{code}\""))
                && !keys.contains(&format!("\"{code}."))
        })?;
        Some(format!("there is no key `{unknown}`"))
    });
}
