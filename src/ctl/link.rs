//! The connection to a server's control socket.

use crate::control::{Failure, Reply, Request};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long the server may say nothing. A drain tells how far it is each second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer.
const ANSWER_BYTES: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The server says why not.
    #[error("{0}")]
    Refused(Failure),
    /// There is nobody.
    #[error("no server answers at {}: {source} (--socket, --data; does it run, and for this user?)", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    /// It went away, or says what cannot be read.
    #[error("the server went away: {0}")]
    Lost(#[from] io::Error),
}

pub(super) struct Link {
    stream: BufReader<UnixStream>,
}

impl Link {
    pub(super) fn open(path: &Path) -> Result<Self, LinkError> {
        let unreachable = |source| LinkError::Unreachable { path: path.to_owned(), source };
        let stream = UnixStream::connect(path).map_err(unreachable)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
        Ok(Link { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the last answer.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        progress: &mut dyn FnMut(&Value),
    ) -> Result<Value, LinkError> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
        line.push(b'\n');
        // One that is refused at the door says why, and may be gone before it is asked.
        let sent = self.stream.get_mut().write_all(&line);
        loop {
            let mut line = String::new();
            let read = (&mut self.stream).take(ANSWER_BYTES).read_line(&mut line);
            match (read, &sent) {
                (Ok(1..), _) => {}
                (_, Err(error)) => return Err(io::Error::from(error.kind()).into()),
                (Ok(_), Ok(())) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                (Err(error), Ok(())) => return Err(error.into()),
            }
            let reply: Reply = serde_json::from_str(&line).map_err(io::Error::other)?;
            match reply {
                Reply { error: Some(failure), .. } => return Err(LinkError::Refused(failure)),
                Reply { ok: Some(done), .. } => return Ok(done),
                Reply { progress: Some(so_far), .. } => progress(&so_far),
                Reply { .. } => {}
            }
        }
    }
}
