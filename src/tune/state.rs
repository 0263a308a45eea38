//! What `tutti tune` has changed, so that it can be put back: `/var/lib/tutti/tune-state.json`.
//!
//! It is written **before** anything is changed, so that a run that is interrupted leaves nothing behind that nobody
//! knows of. Because a program with all rights acts on it, it is believed only when nobody else could have written it,
//! and even then it can name no path but those that this program changes.

use super::{TuneError, nic};
use crate::check::{Host as _, SETTINGS, ThisHost};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

const DIR: &str = "/var/lib/tutti";
const FILE: &str = "/var/lib/tutti/tune-state.json";
const VERSION: u32 = 1;

/// A value of the kernel's that was changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Changed {
    /// The file that shows it.
    pub(super) path: String,
    /// What it held before.
    pub(super) before: String,
    /// What it was given.
    pub(super) after: String,
    /// The boot in which it was changed.
    pub(super) boot: String,
}

/// A network card whose number of queues was changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Queues {
    pub(super) nic: String,
    pub(super) before: u32,
    pub(super) after: u32,
    pub(super) boot: String,
}

/// Everything that was changed and not put back yet.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    #[serde(default)]
    pub(super) values: Vec<Changed>,
    /// Files that were written.
    #[serde(default)]
    pub(super) files: Vec<String>,
    #[serde(default)]
    pub(super) queues: Vec<Queues>,
    /// The boot in which irqbalance was stopped.
    #[serde(default)]
    pub(super) irqbalance_stopped: Option<String>,
}

/// Keeps a second run away for as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _dir: OwnedFd,
}

impl Lock {
    /// Takes it, making the directory where there is none.
    pub(super) fn take(host: &ThisHost) -> Result<Self, TuneError> {
        let dir = host.at(DIR);
        let failed = |error: io::Error| TuneError::State(format!("{}: {error}", dir.display()));
        DirBuilder::new().recursive(true).mode(0o755).create(&dir).map_err(failed)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&dir, flags, Mode::empty()).map_err(|_| {
            TuneError::State(format!(
                "{} is no directory of its own (a symbolic link, as DynamicUser= with StateDirectory=tutti makes); give \
                 the service StateDirectory=tutti/data",
                dir.display()
            ))
        })?;
        let stat = fstat(&opened).map_err(|error| failed(error.into()))?;
        refuse_foreign(&dir, stat.st_uid, stat.st_mode)?;
        flock(&opened, FlockOperation::NonBlockingLockExclusive).map_err(|_| TuneError::Busy)?;
        Ok(Lock { _dir: opened })
    }
}

/// What others could have written is no order to a program with all rights.
fn refuse_foreign(path: &Path, owner: u32, mode: u32) -> Result<(), TuneError> {
    let trusted = owner == 0 || owner == rustix::process::geteuid().as_raw();
    if trusted && mode & 0o022 == 0 {
        return Ok(());
    }
    Err(TuneError::State(format!(
        "{} could have been written by others (owner {owner}, mode {:o}); give the service \
         StateDirectory=tutti/data and `chown root: {0} && chmod go-w {0}` after a look",
        path.display(),
        mode & 0o7777
    )))
}

impl State {
    /// Reads it; an empty one where there is none.
    pub(super) fn read(host: &ThisHost) -> Result<Self, TuneError> {
        let path = host.at(FILE);
        let failed = |what: String| TuneError::State(format!("{}: {what}", path.display()));
        let meta = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(State { version: VERSION, ..State::default() });
            }
            meta => meta.map_err(|error| failed(error.to_string()))?,
        };
        if !meta.is_file() {
            return Err(failed("is no plain file".to_owned()));
        }
        refuse_foreign(&path, meta.uid(), meta.mode())?;
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let state: State = serde_json::from_str(&text).map_err(|error| {
            failed(format!("cannot be read ({error}); move it away to forget what was changed"))
        })?;
        if state.version != VERSION {
            return Err(failed(format!("is of version {}, known is {VERSION}", state.version)));
        }
        let mut paths = state.values.iter().map(|changed| &changed.path);
        if let Some(foreign) = paths.find(|path| !is_ours_to_change(path)) {
            return Err(failed(format!("names {foreign}, which this program never changes")));
        }
        if let Some(foreign) = state.files.iter().find(|path| !super::files::is_ours(path)) {
            return Err(failed(format!("names {foreign}, which this program never writes")));
        }
        if let Some(queues) = state.queues.iter().find(|queues| !nic::is_name(&queues.nic)) {
            return Err(failed(format!("names the network card {:?}", queues.nic)));
        }
        Ok(state)
    }

    /// Writes it, whole or not at all; removes it when there is nothing in it.
    pub(super) fn save(&self, host: &ThisHost) -> Result<(), TuneError> {
        let path = host.at(FILE);
        let failed = |error: io::Error| {
            TuneError::State(format!("cannot write {}: {error}", path.display()))
        };
        if self.is_empty() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        let text = serde_json::to_string_pretty(self).expect("it is plain data");
        replace(&path, &(text + "\n"), 0o644).map_err(failed)
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == State { version: self.version, ..State::default() }
    }

    /// What was noted of a value.
    pub(super) fn of(&self, path: &str) -> Option<&Changed> {
        self.values.iter().find(|changed| changed.path == path)
    }

    /// Forgets what a reboot has undone: everything but the settings that files bring back.
    pub(super) fn forget_other_boots(&mut self, boot: &str) {
        self.values.retain(|changed| changed.boot == boot || is_setting(&changed.path));
        self.queues.retain(|queues| queues.boot == boot);
        if self.irqbalance_stopped.as_deref() != Some(boot) {
            self.irqbalance_stopped = None;
        }
    }
}

/// Which boot this is, as the kernel calls it.
pub(super) fn boot(host: &ThisHost) -> String {
    let id = host.text("/proc/sys/kernel/random/boot_id");
    id.map_or_else(|| "unknown".to_owned(), |id| id.trim().to_owned())
}

/// Whether a path is that of a setting, which outlives a reboot by our file.
pub(super) fn is_setting(path: &str) -> bool {
    path == nic::FLOW_ENTRIES || SETTINGS.iter().any(|setting| setting.path() == path)
}

fn is_ours_to_change(path: &str) -> bool {
    is_setting(path) || nic::is_ours_to_change(path)
}

/// Puts a file in its place in one step, so that nobody ever sees half of it. What stood there, be it a link, is
/// replaced and not followed.
///
/// # Errors
/// The system's; then nothing has changed.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = dir.join(format!(".{name}.new"));
    // Of a run that was interrupted; only one runs at a time.
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&new, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}
