//! The server of a run: where it is and how to ask it for a WebSocket.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::net::source::{Sources, forwarded_address};
use crate::watch::process::is_listening;

/// The key of every handshake; its answer is a constant (the example of RFC 6455, section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The only right answer to [`KEY`].
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A server, and how to come to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As it was given.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    host: String,
    path: String,
    /// Where connections come from.
    pub sources: Sources,
    /// Whether each connection claims an address of its own.
    pub forwarded_for: bool,
}

impl Endpoint {
    /// Reads a `ws://HOST[:PORT][/PATH]` and looks the host up.
    ///
    /// # Errors
    /// A URL of another kind, or a host that is not known.
    pub fn new(url: &str, sources: Sources, forwarded_for: bool) -> Result<Self> {
        let Some(rest) = url.strip_prefix("ws://") else {
            if url.starts_with("wss://") {
                bail!("{url}: TLS is not spoken; measure the server behind its proxy with ws://");
            }
            bail!("{url}: a URL looks like ws://127.0.0.1:8080/");
        };
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        ensure!(!host.is_empty(), "{url}: there is no host in it");
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
        let address = with_port
            .to_socket_addrs()
            .with_context(|| format!("{url}: the host cannot be looked up"))?
            .next()
            .with_context(|| format!("{url}: the host has no address"))?;
        let (host, path) = (host.to_owned(), path.to_owned());
        Ok(Self { url: url.to_owned(), address, host, path, sources, forwarded_for })
    }

    /// Waits until the server listens, at most `patience`. A server on this machine is not connected to
    /// for that, so that its memory can be read before its first connection.
    ///
    /// # Errors
    /// When nothing listens by then.
    pub fn wait(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let there = if self.address.ip().is_loopback() {
                is_listening(self.address.port())?
            } else {
                std::net::TcpStream::connect_timeout(&self.address, Duration::from_secs(2)).is_ok()
            };
            if there {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "nothing listens on {}: is the server running? (--url, --wait)",
                    self.address
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The HTTP request of the `index`-th connection.
    pub(crate) fn request(&self, index: usize) -> String {
        let claim = match self.forwarded_for {
            true => format!("X-Forwarded-For: {}\r\n", forwarded_address(index)),
            false => String::new(),
        };
        let Self { path, host, .. } = self;
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{claim}\r\n"
        )
    }
}

/// Whether a whole response head agrees to the WebSocket; else its status in a few words.
pub(crate) fn judge_response(head: &[u8]) -> Result<(), String> {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(100)]);
    let Some(status) = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))
    else {
        return Err("no HTTP answer".to_owned());
    };
    if !status.starts_with("101") {
        return Err(format!("HTTP {status}"));
    }
    if !head.windows(ACCEPT.len()).any(|part| part == ACCEPT) {
        return Err("wrong Sec-WebSocket-Accept".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let read = |url: &str| Endpoint::new(url, Sources::Kernel, true);
        let endpoint = read("ws://127.0.0.1:8080/a%20room").expect("a URL");
        assert_eq!(endpoint.address.to_string(), "127.0.0.1:8080");
        let request = endpoint.request(3);
        assert!(request.starts_with("GET /a%20room HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
        assert!(request.contains("X-Forwarded-For: 198.18.0.3\r\n"));
        assert_eq!(read("ws://127.0.0.1").expect("a URL").address.port(), 80);
        assert_eq!(read("ws://[::1]:81/").expect("a URL").address.to_string(), "[::1]:81");
        for bad in ["127.0.0.1", "wss://127.0.0.1/", "http://127.0.0.1", "ws:///x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_right_answer_is_an_agreement() {
        let good = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(judge_response(good), Ok(()));
        assert_eq!(
            judge_response(b"HTTP/1.1 429 Too Many Requests\r\n"),
            Err("HTTP 429 Too Many Requests".to_owned())
        );
        assert!(judge_response(b"HTTP/1.1 101 Switching Protocols\r\n").is_err());
        assert!(judge_response(b"SSH-2.0-x\r\n").is_err());
    }
}
