//! The admin listener: metrics and health over plain HTTP, on a thread of its own.
//!
//! `/metrics` is Prometheus text, `/healthz` answers 200 as long as every shard answers, `/readyz` until the server
//! is told to stop. One request is served at a time, each within a deadline: it is for one scraper and one probe.

mod metrics;

use crate::{
    control::ControlCounts,
    driver::Control,
    http::{Head, Response, Status},
    storage,
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a request may take to come in and its answer to go out.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How long shards may take to say what they have counted.
const REPORT_TIME: Duration = Duration::from_millis(500);

/// The admin listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for metrics: {source} (admin.listen, --admin)")]
pub struct AdminError {
    address: SocketAddr,
    source: io::Error,
}

/// The listener. Opened before the shards start, so that whoever can reach the server can reach this, too.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    listener: TcpListener,
    readiness: Readiness,
}

/// Whether the server wants traffic.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The server is about to stop: probes are told, so that nobody is sent here any more.
    pub fn withdraw(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Admin {
    /// Opens the listener. What connects waits until it is served.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn open(address: SocketAddr) -> Result<Self, AdminError> {
        let listener =
            TcpListener::bind(address).map_err(|source| AdminError { address, source })?;
        Ok(Admin { address, listener, readiness: Readiness(Arc::new(AtomicBool::new(true))) })
    }

    /// Serves it, on a thread that ends with the process: it holds nothing that has to be put away.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn serve(
        self,
        control: Control,
        storage: storage::Handle,
        operator: ControlCounts,
    ) -> Result<(), AdminError> {
        let Admin { address, listener, readiness } = self;
        let serving = Serving { control, storage, operator, readiness };
        thread::Builder::new()
            .name("tutti-admin".to_owned())
            .spawn(move || serving.run(&listener))
            .map_err(|source| AdminError { address, source })?;
        Ok(())
    }

    /// Whether the server wants traffic.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }
}

struct Serving {
    control: Control,
    storage: storage::Handle,
    operator: ControlCounts,
    readiness: Readiness,
}

impl Serving {
    fn run(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            let served = stream.and_then(|stream| self.serve(stream));
            if let Err(error) = served {
                tracing::debug!(%error, "admin request failed");
                // Out of descriptors is the one failure that comes again at once.
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let deadline = Instant::now() + REQUEST_TIME;
        let mut input = Vec::new();
        let mut answer = Vec::new();
        loop {
            let seen = input.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 1024];
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            input.extend_from_slice(&chunk[..count]);
            match Head::parse(&input, seen) {
                Ok(None) => {}
                Ok(Some(head)) => {
                    self.answer(&head, &mut answer);
                    break;
                }
                Err(fault) => {
                    Response::plain(fault.status()).write(false, &mut answer);
                    break;
                }
            }
        }
        stream.set_write_timeout(Some(REQUEST_TIME))?;
        stream.write_all(&answer)
    }

    fn answer(&self, head: &Head<'_>, out: &mut Vec<u8>) {
        let is_head = head.is_head();
        if !is_head && head.method() != "GET" {
            return Response::plain(Status::MethodNotAllowed).write(false, out);
        }
        match head.path() {
            "/metrics" => {
                let reports = self.control.reports(REPORT_TIME);
                let mut text = metrics::render(
                    &reports,
                    self.control.admissions(),
                    &self.storage.counts(),
                    &self.operator,
                );
                if let Some(uploads) = self.control.uploads() {
                    metrics::uploads(&mut text, &uploads.counts());
                }
                let response = Response {
                    status: Status::Ok,
                    content_type: "text/plain; version=0.0.4; charset=utf-8",
                    headers: &[],
                    body: text.as_bytes(),
                };
                response.write(is_head, out);
            }
            "/healthz" => {
                let all = self.control.reports(REPORT_TIME).len() == self.control.shards();
                let response = if all {
                    Response::text(Status::Ok, "ok\n")
                } else {
                    Response::text(Status::Unavailable, "a shard does not answer\n")
                };
                response.write(is_head, out);
            }
            "/readyz" => {
                let response = if self.readiness.is_ready() {
                    Response::text(Status::Ok, "ready\n")
                } else {
                    Response::text(Status::Unavailable, "stopping\n")
                };
                response.write(is_head, out);
            }
            _ => Response::plain(Status::NotFound).write(is_head, out),
        }
    }
}
