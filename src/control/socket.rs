//! The socket itself: a file in the data folder that only its owner can write to.

use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the data folder.
pub const FILE: &str = "ctl.sock";
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another server answers there.
    #[error("another server listens on the control socket {}; stop that one, or give this one a socket of its own (control.socket)", path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error("{} is no socket; move it away, or name another file (control.socket)", path.display())]
    Foreign {
        /// What.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("cannot open the control socket {}: {source}; choose another file of at most 107 bytes for it, or \"off\" (control.socket)", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The socket of a running server; its file goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Opens it with mode 0600, in place of one that a dead server left behind.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let fail = |source| SocketError::Io { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::Foreign { path: path.to_owned() });
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => return Err(SocketError::InUse { path: path.to_owned() }),
                Err(_) => std::fs::remove_file(path).map_err(fail)?,
            },
        }
        let listener = bound(path).map_err(|error| fail(error.into()))?;
        Ok(ControlSocket { path: path.to_owned(), listener })
    }

    /// What to accept connections from.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The mode is set before there is a file, so that nobody gets in between.
fn bound(path: &Path) -> rustix::io::Result<UnixListener> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let path = std::env::temp_dir().join(format!("tutti-ctl-{}.sock", std::process::id()));
        let first = ControlSocket::open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = ControlSocket::open(&path).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        // As a process that is killed leaves it.
        let ControlSocket { listener, .. } = &first;
        drop(listener.try_clone());
        let dead = path.with_extension("dead");
        drop(UnixListener::bind(&dead).unwrap());
        let second = ControlSocket::open(&dead).unwrap();
        drop((first, second));
        assert!(!path.exists() && !dead.exists(), "they go with their servers");
        std::fs::write(&path, "a file").unwrap();
        let error = ControlSocket::open(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(error, SocketError::Foreign { .. }), "{error}");
    }
}
