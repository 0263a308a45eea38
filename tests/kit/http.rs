//! One plain HTTP/1.1 request at a time, written byte for byte by the test.

use crate::WITHIN;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// What a server answered to a plain request.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code, for example 404.
    pub status: u16,
    /// The status line and the header lines as they came, without the empty line.
    pub head: String,
    /// Everything after the head.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, trimmed; names compare without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as text, with replacement characters where it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The value of the first header `name` in a head of lines.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Sends `GET path` on a connection of its own.
///
/// # Panics
/// When no complete answer comes within [`WITHIN`].
#[track_caller]
pub fn get(addr: SocketAddr, path: &str) -> Response {
    request(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"))
}

/// Sends `head` as it is and reads the answer to the end of its body.
///
/// # Panics
/// When no complete answer comes within [`WITHIN`].
#[track_caller]
pub fn request(addr: SocketAddr, head: &str) -> Response {
    match try_request(addr, head.as_bytes()) {
        Some(response) => response,
        None => panic!("no whole HTTP answer to {head:?}"),
    }
}

/// Like [`request`], for bytes that need not be HTTP at all; `None` when the connection ended or stalled
/// before a whole answer was there.
pub fn try_request(addr: SocketAddr, bytes: &[u8]) -> Option<Response> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_write_timeout(Some(WITHIN)).ok()?;
    // A server may answer and close before it has read everything; what it said still counts.
    let _ = stream.write_all(bytes);
    let deadline = Instant::now() + WITHIN;
    let mut input = Vec::new();
    let mut chunk = [0u8; 16 * 1024];
    let mut ended = false;
    loop {
        if let Some(response) = parse(&input, ended) {
            return Some(response);
        }
        if ended {
            return None;
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        stream.set_read_timeout(Some(left.max(std::time::Duration::from_millis(1)))).ok()?;
        match stream.read(&mut chunk) {
            Ok(0) => ended = true,
            Ok(n) => input.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return None;
            }
            Err(_) => ended = true,
        }
    }
}

fn parse(input: &[u8], ended: bool) -> Option<Response> {
    let split = input.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&input[..split]).into_owned();
    let body = &input[split + 4..];
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = header(&head, "content-length").and_then(|v| v.parse::<usize>().ok());
    match length {
        Some(length) if body.len() >= length => {
            Some(Response { status, head, body: body[..length].to_vec() })
        }
        None if ended || status == 204 || status == 304 => {
            Some(Response { status, head, body: body.to_vec() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_by_length_or_by_close() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b \r\n\r\nhi";
        let parsed = parse(whole, false).expect("length reached");
        assert_eq!((parsed.status, parsed.text().as_str()), (200, "hi"));
        assert_eq!(parsed.header("x-a"), Some("b"));
        assert!(parse(&whole[..whole.len() - 1], false).is_none());
        let open = b"HTTP/1.1 400 Bad Request\r\n\r\nno";
        assert!(parse(open, false).is_none());
        assert_eq!(parse(open, true).expect("ended").status, 400);
    }
}
