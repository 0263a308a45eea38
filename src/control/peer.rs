//! One connection to the control socket: lines in, lines out.

use super::{Do, Failure, Operator, Reply, Request};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

/// How long a peer may say nothing, and how long it may take to read an answer.
const IDLE: Duration = Duration::from_secs(600);
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Longest name that a peer may give for whom it acts, in characters.
const NAME_LENGTH: usize = 64;

/// Who asks, for the audit log.
#[derive(Clone, Debug)]
pub(super) struct Who {
    uid: u32,
    on_behalf: Option<String>,
}

impl Who {
    /// The server itself, told by a signal.
    pub(super) fn signal() -> Self {
        Who { uid: rustix::process::getuid().as_raw(), on_behalf: Some("SIGHUP".to_owned()) }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match &self.on_behalf {
            Some(name) => write!(f, " as {name}"),
            None => Ok(()),
        }
    }
}

impl Operator {
    /// Serves a connection on a thread of its own, unless there are as many as may be.
    pub(super) fn greet(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let limits = self.settings();
        if self.peers.fetch_add(1, Relaxed) >= limits.peers {
            self.peers.fetch_sub(1, Relaxed);
            self.counts.0.refused_peers.fetch_add(1, Relaxed);
            stream.set_nonblocking(true)?;
            let failure = Failure::new("busy", "too many control connections (control.peers)");
            let _ = write(&stream, &Reply { error: Some(failure), ..Reply::default() });
            return Ok(());
        }
        let operator = self.clone();
        let spawned = thread::Builder::new().name("tutti-ctl-peer".to_owned()).spawn(move || {
            let served = operator.converse(&stream, limits.line_bytes);
            if let Err(error) = served {
                tracing::debug!(%error, "a control connection failed");
            }
            operator.peers.fetch_sub(1, Relaxed);
        });
        if spawned.is_err() {
            self.peers.fetch_sub(1, Relaxed);
        }
        spawned.map(drop)
    }

    fn converse(self: &Arc<Self>, stream: &UnixStream, line_bytes: usize) -> io::Result<()> {
        let uid = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(WRITE_TIME))?;
        let (mut input, mut chunk, mut seen) = (Vec::new(), [0; 4096], 0);
        let mut reader = stream;
        loop {
            while let Some(end) = input.iter().skip(seen).position(|&byte| byte == b'\n') {
                let rest = input.split_off(seen + end + 1);
                let line = std::mem::replace(&mut input, rest);
                seen = 0;
                self.answer(stream, uid, &line)?;
            }
            seen = input.len();
            if seen > line_bytes {
                self.counts.0.long_lines.fetch_add(1, Relaxed);
                let text = format!("a line of more than {line_bytes} bytes (control.line_bytes)");
                let error = Some(Failure::new("line_too_long", text));
                return write(stream, &Reply { error, ..Reply::default() });
            }
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn answer(self: &Arc<Self>, stream: &UnixStream, uid: u32, line: &[u8]) -> io::Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        self.counts.0.requests.fetch_add(1, Relaxed);
        let request: Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                self.counts.0.failures.fetch_add(1, Relaxed);
                let error = Some(Failure::new("bad_request", error.to_string()));
                return write(stream, &Reply { error, ..Reply::default() });
            }
        };
        let id = request.id;
        let on_behalf = request
            .on_behalf
            .map(|name| name.chars().filter(|c| !c.is_control()).take(NAME_LENGTH).collect());
        let who = Who { uid, on_behalf };
        let mut drained = false;
        let done = match request.what {
            Do::Drain { seconds, text } => {
                let done = self.drain(&who, seconds, text, &mut |progress| {
                    write(stream, &Reply { id, progress: Some(progress), ..Reply::default() })
                });
                drained = done.is_ok();
                done
            }
            what => self.act(&who, what),
        };
        let reply = match done {
            Ok(ok) => Reply { id, ok: Some(ok), ..Reply::default() },
            Err(error) => {
                self.counts.0.failures.fetch_add(1, Relaxed);
                Reply { id, error: Some(error), ..Reply::default() }
            }
        };
        let written = write(stream, &reply);
        if drained {
            // Behind the answer: the process may end at once.
            self.control.stop();
        }
        written
    }
}

fn write(mut stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)
}
