//! The files that make changes last: `/etc/sysctl.d/90-tutti.conf`, and limits for the service in a drop-in of systemd.

use super::{TuneError, state};
use crate::check::{Demand, Finding, Host as _, SETTINGS, Setting, Standing, ThisHost, Wanted};

const SYSCTL: &str = "/etc/sysctl.d/90-tutti.conf";
const SYSCTL_NAME: &str = "90-tutti.conf";
const UNITS: &str = "/etc/systemd/system";
const DROP_IN_NAME: &str = "90-tutti-tune.conf";
/// How each of our files begins. What follows is a check of its text, by which it is known as unchanged, whatever
/// became of the run that wrote it.
const HEADER: &str = "# Written by `tutti tune apply`; `tutti tune revert` removes it. Check: ";

/// Where units and their drop-ins are looked for.
const UNIT_DIRS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Where settings are read from at boot; of files with the same name, the first counts.
const SYSCTL_DIRS: [&str; 5] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];

/// A file as it should be; no text is no file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Desired {
    pub(super) path: String,
    pub(super) text: Option<String>,
}

pub(super) fn is_ours(path: &str) -> bool {
    let drop_in = || {
        let unit = path.strip_prefix(UNITS)?.strip_prefix('/')?.strip_suffix(DROP_IN_NAME)?;
        unit.strip_suffix(".d/").filter(|unit| super::service::is_unit(unit))
    };
    path == SYSCTL || drop_in().is_some()
}

/// The settings that are ours, as a file that sets them at boot.
pub(super) fn sysctl(ours: &[(String, String)]) -> Desired {
    let lines: String = ours.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let text = (!ours.is_empty()).then(|| stamped(&lines));
    Desired { path: SYSCTL.to_owned(), text }
}

/// Limits for the service, where its unit names none or smaller ones. No file where there is no systemd.
pub(super) fn drop_in(host: &ThisHost, demand: &Demand, unit: &str) -> Option<Desired> {
    if !host.at("/etc/systemd").is_dir() {
        return None;
    }
    // Smaller numbers than those that were written for more connections would take something away.
    let ours = match look(host, &drop_in_path(unit)) {
        Found::Ours(text) => text,
        _ => String::new(),
    };
    let mut lines = String::new();
    for (limit, needed) in
        [("LimitNOFILE", demand.descriptors), ("LimitMEMLOCK", demand.locked_bytes)]
    {
        let written = ours.lines().find_map(|line| line.strip_prefix(limit)?.strip_prefix('='));
        let needed = written.and_then(|n| n.parse().ok()).map_or(needed, |n: u64| n.max(needed));
        let set = unit_limit(host, unit, limit);
        if set.is_none_or(|(_, set)| set.is_some_and(|set| set < needed)) {
            lines += &format!("{limit}={needed}\n");
        }
    }
    let path = drop_in_path(unit);
    let text = (!lines.is_empty()).then(|| stamped(&format!("[Service]\n{lines}")));
    Some(Desired { path, text })
}

/// Where the drop-in of a unit is.
pub(super) fn drop_in_path(unit: &str) -> String {
    format!("{UNITS}/{unit}.d/{DROP_IN_NAME}")
}

fn stamped(lines: &str) -> String {
    use sha2::Digest as _;
    let check: String =
        sha2::Sha256::digest(lines)[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{HEADER}{check}\n{lines}")
}

fn is_unchanged(text: &str) -> bool {
    text.split_once('\n').is_some_and(|(_, lines)| stamped(lines) == text)
}

/// What a unit's files, ours left out, say of a limit, and which file: the last one counts. The inner `None` is no
/// limit at all.
pub(super) fn unit_limit(
    host: &ThisHost,
    unit: &str,
    limit: &str,
) -> Option<(String, Option<u64>)> {
    let main =
        UNIT_DIRS.iter().map(|dir| format!("{dir}/{unit}")).find(|path| host.text(path).is_some());
    let mut drop_ins: Vec<(String, String)> = Vec::new();
    for dir in UNIT_DIRS {
        let dir = format!("{dir}/{unit}.d");
        for name in host.names(&dir) {
            let known = drop_ins.iter().any(|(known, _)| *known == name);
            if name.ends_with(".conf") && name != DROP_IN_NAME && !known {
                drop_ins.push((name.clone(), format!("{dir}/{name}")));
            }
        }
    }
    drop_ins.sort();
    let mut found = None;
    for path in main.into_iter().chain(drop_ins.into_iter().map(|(_, path)| path)) {
        for line in host.text(&path).unwrap_or_default().lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            if key.trim() != limit {
                continue;
            }
            // `soft:hard`, of which the hard one is what the server raises itself to.
            let hard = value.rsplit(':').next().unwrap_or(value).trim();
            match bytes_or_count(hard) {
                Some(set) => found = Some((path.clone(), set)),
                None if hard.is_empty() => found = None,
                None => {}
            }
        }
    }
    found
}

/// A number as systemd takes it: with K, M, G or T, or `infinity`, which is `Some(None)`.
pub(super) fn bytes_or_count(text: &str) -> Option<Option<u64>> {
    if text == "infinity" || text == "unlimited" {
        return Some(None);
    }
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    // What does not fit is as good as no limit.
    Some(digits.parse::<u64>().ok()?.checked_mul(1 << shift))
}

/// What other files set a setting to at boot, in the order in which they are read.
fn elsewhere(host: &ThisHost, key: &str) -> Vec<(String, String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for dir in SYSCTL_DIRS {
        for name in host.names(dir) {
            let known = files.iter().any(|(known, _)| *known == name);
            if name.ends_with(".conf") && name != SYSCTL_NAME && !known {
                files.push((name.clone(), format!("{dir}/{name}")));
            }
        }
    }
    files.sort();
    // Read after all others, by `sysctl --system` and on Debian through a link.
    files.push(("99-sysctl.conf".to_owned(), "/etc/sysctl.conf".to_owned()));
    let mut found = Vec::new();
    for (name, path) in files {
        for line in host.text(&path).unwrap_or_default().lines() {
            let line = line.trim().trim_start_matches('-');
            if line.starts_with(['#', ';']) {
                continue;
            }
            let Some((other, value)) = line.split_once('=') else { continue };
            if other.trim().replace('/', ".") == key {
                found.push((name.clone(), path.clone(), value.trim().to_owned()));
            }
        }
    }
    found
}

/// What an operator wrote for the next boot, where it is more than what is wanted: our file would stand over it.
pub(super) fn larger_elsewhere(host: &ThisHost, key: &str, better: &str) -> Option<String> {
    let wanted: u64 = better.parse().ok()?;
    let others = elsewhere(host, key);
    let larger = others.iter().filter_map(|(_, _, value)| value.parse::<u64>().ok());
    larger.filter(|value| *value > wanted).max().map(|value| value.to_string())
}

/// Files that stand over ours at the next boot and fall short.
pub(super) fn undone_at_boot(host: &ThisHost, ours: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, value) in ours {
        let last = elsewhere(host, key).pop();
        let Some((name, path, theirs)) = last else { continue };
        let numbers: Vec<u64> = value.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let falls_short = match numbers.as_slice() {
            [one] => Wanted::AtLeast(*one).better(&theirs).is_ok_and(|better| better.is_some()),
            _ => theirs.split_whitespace().ne(value.split_whitespace()),
        };
        if name.as_str() > SYSCTL_NAME && falls_short {
            let detail = format!("{path} sets {key} to {theirs} at the next boot, after our file");
            findings.push(Finding::warn(
                "at boot",
                detail,
                format!("take that line out of {path}"),
            ));
        }
    }
    findings
}

/// What one of our files is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Nothing,
    /// As it was written.
    Ours(String),
    /// Somebody's: edited, of another origin, or a link, as one that masks it.
    Foreign(&'static str),
}

pub(super) fn look(host: &ThisHost, path: &str) -> Found {
    match host.at(path).symlink_metadata() {
        Err(_) => return Found::Nothing,
        Ok(meta) if meta.is_symlink() => return Found::Foreign("is a symbolic link"),
        Ok(meta) if !meta.is_file() => return Found::Foreign("is no plain file"),
        Ok(_) => {}
    }
    let text = host.text(path).unwrap_or_default();
    if is_unchanged(&text) {
        Found::Ours(text)
    } else if text.starts_with(HEADER) {
        Found::Foreign("was edited since it was written")
    } else {
        Found::Foreign("was not written by `tutti tune`")
    }
}

/// Puts somebody's file aside, under a name that nothing reads.
pub(super) fn put_aside(host: &ThisHost, path: &str) -> Result<(), TuneError> {
    std::fs::rename(host.at(path), host.at(&format!("{path}.before-tutti")))
        .map_err(|error| TuneError::File { path: path.to_owned(), error })
}

/// Puts a file in its place.
pub(super) fn write(host: &ThisHost, path: &str, text: &str) -> Result<(), TuneError> {
    state::replace(&host.at(path), text, 0o644)
        .map_err(|error| TuneError::File { path: path.to_owned(), error })
}

/// Takes a file of ours away, and the directory of a drop-in with it when nothing else is in it.
pub(super) fn remove(host: &ThisHost, path: &str) -> Result<(), TuneError> {
    std::fs::remove_file(host.at(path))
        .map_err(|error| TuneError::File { path: path.to_owned(), error })?;
    if let Some(dir) = host.at(path).parent()
        && path.starts_with(UNITS)
    {
        let _ = std::fs::remove_dir(dir);
    }
    Ok(())
}

/// The key of a setting's file.
pub(super) fn key_of(path: &str) -> Option<String> {
    Some(path.strip_prefix("/proc/sys/")?.replace('/', "."))
}

/// The settings that fall short on this host.
pub(super) fn short(
    host: &ThisHost,
    demand: &Demand,
) -> impl Iterator<Item = (&'static Setting, String, String, bool)> {
    SETTINGS.iter().filter_map(move |setting| match setting.standing(demand, host)? {
        Standing::Short { found, better, lowers } => Some((setting, found, better, lowers)),
        _ => None,
    })
}
