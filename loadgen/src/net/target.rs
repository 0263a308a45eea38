//! The server of a run: where it is, and what a connection to it begins with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::net::source::{Sources, forwarded_address};
use crate::scenario::Dialect;
use crate::watch::process::{self, is_listening};

/// The key of every handshake; its answer is a constant (the example of RFC 6455, section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The only right answer to [`KEY`].
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The port of the line chat, unless a URL names one.
const LINE_PORT: u16 = 8023;
/// The port of the QUIC door, unless a URL names one.
const QUIC_PORT: u16 = 4433;

/// The port that a PROXY header claims; any but 0.
const CLAIMED_PORT: u16 = 40_000;

/// A server, and how to come to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As it was given.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What a request names; `None` where nothing is requested.
    request: Option<Request>,
    /// Whether it listens for datagrams.
    udp: bool,
    /// Where connections come from.
    pub sources: Sources,
    /// Whether each connection claims an address of its own.
    pub forwarded_for: bool,
}

#[derive(Clone, Debug)]
struct Request {
    host: String,
    path: String,
}

impl Endpoint {
    /// Where a server on this machine is by default that speaks `dialect`.
    #[must_use]
    pub fn usual_url(dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Text | Dialect::Quick => "ws://127.0.0.1:8080/",
            Dialect::Line => "tcp://127.0.0.1:8023",
            Dialect::Quic => "quic://127.0.0.1:4433",
        }
    }

    /// Reads a `ws://HOST[:PORT][/PATH]`, a `tcp://HOST[:PORT]` when lines are spoken, or a `quic://HOST[:PORT]`, and
    /// looks the host up.
    ///
    /// # Errors
    /// A URL of another kind, or a host that is not known.
    pub fn new(url: &str, dialect: Dialect, sources: Sources, forwarded_for: bool) -> Result<Self> {
        if url.starts_with("wss://") {
            bail!("{url}: TLS is not spoken; measure the server behind its proxy with ws://");
        }
        let (rest, port) = match dialect {
            Dialect::Text | Dialect::Quick => (url.strip_prefix("ws://"), 80),
            Dialect::Line => (url.strip_prefix("tcp://"), LINE_PORT),
            Dialect::Quic => (url.strip_prefix("quic://"), QUIC_PORT),
        };
        let Some(rest) = rest else {
            let (usual, dialect) = (Self::usual_url(dialect), dialect.name());
            bail!(
                "{url}: the scenario's dialect is `{dialect}`, for which a URL looks like {usual}"
            );
        };
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        ensure!(!host.is_empty(), "{url}: there is no host in it");
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        let address = with_port
            .to_socket_addrs()
            .with_context(|| format!("{url}: the host cannot be looked up"))?
            .next()
            .with_context(|| format!("{url}: the host has no address"))?;
        let request = matches!(dialect, Dialect::Text | Dialect::Quick)
            .then(|| Request { host: host.to_owned(), path: path.to_owned() });
        let udp = dialect == Dialect::Quic;
        ensure!(!(udp && forwarded_for), "--forwarded-for has no meaning over QUIC: use --sources");
        Ok(Self { url: url.to_owned(), address, request, udp, sources, forwarded_for })
    }

    /// Waits until the server listens, at most `patience`. A server on this machine is not connected to
    /// for that, so that its memory can be read before its first connection.
    ///
    /// # Errors
    /// When nothing listens by then, or `interrupt` is set.
    pub fn wait(&self, patience: Duration, interrupt: &AtomicBool) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let there = if self.address.ip().is_loopback() {
                is_listening(self.address.port(), self.udp)?
            } else if self.udp {
                // Nothing answers but to a handshake, which people will try.
                true
            } else {
                std::net::TcpStream::connect_timeout(&self.address, Duration::from_secs(2)).is_ok()
            };
            if there {
                return Ok(());
            }
            if interrupt.load(Ordering::Relaxed) {
                bail!("interrupted");
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

    /// The process that listens there, when it is on this machine and may be seen.
    pub(crate) fn listener(&self) -> Option<u32> {
        self.address.ip().is_loopback().then(|| process::listener(self.address.port(), self.udp))?
    }

    /// What the `index`-th connection says first: an HTTP request, or of lines at most where it comes from.
    pub(crate) fn opening(&self, index: usize) -> Vec<u8> {
        let claimed = self.forwarded_for.then(|| forwarded_address(index));
        let Some(Request { host, path }) = &self.request else {
            return claimed.map(|from| self.proxy_header(from)).unwrap_or_default();
        };
        let claim = claimed.map(|from| format!("X-Forwarded-For: {from}\r\n")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{claim}\r\n"
        )
        .into_bytes()
    }

    /// A PROXY header of version 2: TCP over IPv4, from `from` to the server.
    fn proxy_header(&self, from: Ipv4Addr) -> Vec<u8> {
        let to = match self.address.ip() {
            IpAddr::V4(to) => to,
            IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
        };
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
        header.extend_from_slice(&from.octets());
        header.extend_from_slice(&to.octets());
        header.extend_from_slice(&CLAIMED_PORT.to_be_bytes());
        header.extend_from_slice(&self.address.port().to_be_bytes());
        header
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
        let read = |url: &str| Endpoint::new(url, Dialect::Text, Sources::Kernel, true);
        let endpoint = read("ws://127.0.0.1:8080/a%20room").expect("a URL");
        assert_eq!(endpoint.address.to_string(), "127.0.0.1:8080");
        let request = String::from_utf8(endpoint.opening(3)).expect("text");
        assert!(request.starts_with("GET /a%20room HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
        assert!(request.contains("X-Forwarded-For: 198.18.0.3\r\n"));
        assert_eq!(read("ws://127.0.0.1").expect("a URL").address.port(), 80);
        assert_eq!(read("ws://[::1]:81/").expect("a URL").address.to_string(), "[::1]:81");
        for bad in
            ["127.0.0.1", "wss://127.0.0.1/", "http://127.0.0.1", "ws:///x", "tcp://127.0.0.1"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        let read = |url: &str, claims| Endpoint::new(url, Dialect::Line, Sources::Kernel, claims);
        let terminal = read("tcp://127.0.0.1", false).expect("a URL");
        assert_eq!(terminal.address.port(), 8023);
        assert!(terminal.opening(3).is_empty(), "the server speaks first");
        let claiming = read("tcp://127.0.0.1:99", true).expect("a URL").opening(3);
        assert_eq!(claiming.len(), 28);
        assert_eq!(claiming[16..24], [198, 18, 0, 3, 127, 0, 0, 1]);
        assert_eq!(claiming[26..], [0, 99]);
        let error = read("ws://127.0.0.1/", false).expect_err("another scheme").to_string();
        assert!(error.contains("`line`") && error.contains("tcp://"), "{error}");
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
