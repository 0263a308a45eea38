//! Just enough HTTP/1.1 for a WebSocket server: request heads in, short answers out.
//!
//! It is *not* a web server: no bodies from clients, no keep-alive, no chunks. Every answer but
//! `101` closes. What a caller does with a request that is no WebSocket upgrade (files, metrics) is
//! the caller's business.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod parts;

pub use parts::{Part, disposition, is_unchanged, part, percent_encoded};

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;

/// Most bytes of a request head, its empty line included. A browser with large cookies sends 2 to
/// 4 KiB.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Most header lines of a request. Browsers behind two proxies send about 30.
pub const HEADERS_MAX: usize = 64;

/// Why a request head is refused. All of them are the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// Not HTTP/1.0 or HTTP/1.1: a TLS hello on the plain port, binary noise, a bad header line.
    #[error("malformed request head")]
    Malformed,
    /// Over [`HEAD_BYTES_MAX`] or [`HEADERS_MAX`].
    #[error("request head is too long")]
    TooLong,
}

impl HeadFault {
    /// The answer that says so.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Malformed => Status::BadRequest,
            Self::TooLong => Status::HeadTooLong,
        }
    }
}

/// A request's first line and headers, borrowed from the bytes they came in.
#[derive(Debug)]
pub struct Head<'b> {
    method: &'b str,
    target: &'b str,
    minor: u8,
    headers: [httparse::Header<'b>; HEADERS_MAX],
    /// Invariant: `n_headers <= HEADERS_MAX`.
    n_headers: usize,
    len: usize,
}

impl<'b> Head<'b> {
    /// Reads the request head at the front of `bytes`; `Ok(None)` means "append more and ask
    /// again".
    ///
    /// `seen` is how many of the bytes an earlier call has been given (0 at first): a head that
    /// trickles in byte by byte is then parsed once, not once a byte. Looks at no more than
    /// [`HEAD_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`HeadFault`], when no further bytes can make this a head that we accept.
    pub fn parse(bytes: &'b [u8], seen: usize) -> Result<Option<Self>, HeadFault> {
        let window = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        if !begins_like_a_method(window) {
            return Err(HeadFault::Malformed);
        }
        // The end may lie across the cut: its first three bytes seen, its last one new.
        if !has_empty_line(window.get(seen.saturating_sub(3)..).unwrap_or_default()) {
            let is_full = window.len() == HEAD_BYTES_MAX;
            return if is_full { Err(HeadFault::TooLong) } else { Ok(None) };
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let len = match request.parse(window) {
            Ok(httparse::Status::Complete(len)) => len,
            // Only leading empty lines so far.
            Ok(httparse::Status::Partial) if window.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(HeadFault::TooLong);
            }
            Err(_) => return Err(HeadFault::Malformed),
        };
        let (Some(method), Some(target), Some(minor)) =
            (request.method, request.path, request.version)
        else {
            return Err(HeadFault::Malformed);
        };
        let n_headers = request.headers.len();
        Ok(Some(Self { method, target, minor, headers, n_headers, len }))
    }

    /// The method as it was sent; methods are case-sensitive.
    #[must_use]
    pub fn method(&self) -> &'b str {
        self.method
    }

    /// Whether the answer must leave out its body.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether this is HTTP/1.1; HTTP/1.0 otherwise.
    #[must_use]
    pub fn is_http_1_1(&self) -> bool {
        self.minor == 1
    }

    /// Bytes of the head; what follows in the same read belongs to the WebSocket.
    #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The target's path, percent-encoded as it was sent, without the query. Starts with `/`, or is
    /// `*`.
    ///
    /// Of a target in absolute form (`http://host/path`), as proxies send it, the path only.
    #[must_use]
    pub fn path(&self) -> &'b str {
        split_target(self.target).0
    }

    /// What follows the first `?` of the target, as it was sent.
    #[must_use]
    pub fn query(&self) -> Option<&'b str> {
        split_target(self.target).1
    }

    /// The path in segments, decoded.
    ///
    /// # Errors
    /// [`PathFault`], when the path names nothing that we could have.
    pub fn decoded_path(&self) -> Result<DecodedPath, PathFault> {
        DecodedPath::parse(self.path())
    }

    /// The values of all headers called `name` (any case), in order, without surrounding blanks.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'b [u8]> + 'h {
        self.headers
            .iter()
            .take(self.n_headers)
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The value of the header called `name`, when there is exactly one and it is UTF-8.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'b str> {
        let mut values = self.values(name);
        let first = values.next()?;
        if values.next().is_some() {
            return None;
        }
        std::str::from_utf8(first).ok()
    }

    /// Whether a header that is a comma-separated list, over all its lines, has `token` (any case).
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|entry| entry.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether the request announces a body, which nothing here takes.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.values("transfer-encoding").next().is_some()
            || self.values("content-length").any(|len| len != b"0")
    }
}

/// Whether an empty line is in sight, with or without carriage returns, as httparse takes both.
fn has_empty_line(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
            return true;
        }
    }
    false
}

/// Turns away at its first byte what can never become a request, such as a TLS hello.
///
/// Up to two empty lines in front are passed over, as RFC 9112, section 2.2 asks; no more, or each
/// of them would be the end of a head that has to be looked for again.
fn begins_like_a_method(bytes: &[u8]) -> bool {
    const BLANK_BYTES_MAX: usize = 4;
    let is_blank = |byte: u8| byte == b'\r' || byte == b'\n';
    match bytes.iter().take(BLANK_BYTES_MAX + 1).find(|byte| !is_blank(**byte)) {
        Some(byte) => byte.is_ascii_alphabetic(),
        None => bytes.len() <= BLANK_BYTES_MAX,
    }
}

fn split_target(target: &str) -> (&str, Option<&str>) {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    };
    match target.split_once('?') {
        Some(("", query)) => ("/", Some(query)),
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// Why a path is refused; answer 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It does not start with a slash.
    #[error("path does not start with a slash")]
    NotAbsolute,
    /// A segment is `.` or `..`, encoded or not. Browsers resolve these before they ask.
    #[error("path has a dot segment")]
    DotSegment,
    /// Decoded, it is not UTF-8.
    #[error("path is not UTF-8")]
    NotUtf8,
    /// Decoded, it has a control character.
    #[error("path has a control character")]
    Control,
}

/// A path cut at its slashes and then percent-decoded: `/a/b%2Fc` is `["a", "b/c"]`.
///
/// Cut first, so that an encoded slash stays inside its segment: old clients put room names there.
/// Invariant: no segment is `.` or `..`, and none has a control character. A `%` without two
/// hexadecimal digits stands for itself, as browsers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedPath {
    segments: Vec<String>,
}

impl DecodedPath {
    /// Decodes a path without its query.
    ///
    /// # Errors
    /// Any [`PathFault`].
    pub fn parse(path: &str) -> Result<Self, PathFault> {
        let path = path.strip_prefix('/').ok_or(PathFault::NotAbsolute)?;
        let segments = path.split('/').map(decode_segment).collect::<Result<_, _>>()?;
        Ok(Self { segments })
    }

    /// The segments; `/` is one empty segment, a final slash makes the last one empty.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The path as a relative file path; `None` when a file cannot have this name.
    ///
    /// It stays below the folder it is joined to (as far as symbolic links there do) and never
    /// names a hidden file. A final slash, or the root, gives `index.html` there.
    #[must_use]
    pub fn to_file(&self) -> Option<PathBuf> {
        let (last, folders) = self.segments.split_last()?;
        let mut file = PathBuf::new();
        for name in folders {
            file.push(file_name(name)?);
        }
        file.push(if last.is_empty() { "index.html" } else { file_name(last)? });
        Some(file)
    }
}

fn file_name(segment: &str) -> Option<&str> {
    let is_plain =
        !segment.is_empty() && !segment.starts_with('.') && !segment.contains(['/', '\\']);
    is_plain.then_some(segment)
}

fn decode_segment(encoded: &str) -> Result<String, PathFault> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (byte, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    let segment = String::from_utf8(decoded).map_err(|_| PathFault::NotUtf8)?;
    if segment == "." || segment == ".." {
        return Err(PathFault::DotSegment);
    }
    if segment.contains(char::is_control) {
        return Err(PathFault::Control);
    }
    Ok(segment)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The answers that this server gives besides `101`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// 200
    Ok,
    /// 206: the part of a file that was asked for.
    PartialContent,
    /// 304: what the client has is current. Has no body.
    NotModified,
    /// 400: malformed, or not a request we understand.
    BadRequest,
    /// 401: the admin listener asks for a password.
    Unauthorized,
    /// 403: this origin or address is not let in.
    Forbidden,
    /// 404
    NotFound,
    /// 405: only GET and HEAD are served. Carries `Allow`.
    MethodNotAllowed,
    /// 408: the head did not come in time.
    Timeout,
    /// 416: the file has no such part.
    RangeNotSatisfiable,
    /// 426: another WebSocket version was asked for. Carries the version that we speak.
    UpgradeRequired,
    /// 429: too many connections or attempts.
    TooManyRequests,
    /// 431: over [`HEAD_BYTES_MAX`] or [`HEADERS_MAX`].
    HeadTooLong,
    /// 503: full, or about to stop.
    Unavailable,
}

impl Status {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::PartialContent => 206,
            Self::NotModified => 304,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::RangeNotSatisfiable => 416,
            Self::UpgradeRequired => 426,
            Self::TooManyRequests => 429,
            Self::HeadTooLong => 431,
            Self::Unavailable => 503,
        }
    }

    /// The words beside the number.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::PartialContent => "Partial Content",
            Self::NotModified => "Not Modified",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::Timeout => "Request Timeout",
            Self::RangeNotSatisfiable => "Range Not Satisfiable",
            Self::UpgradeRequired => "Upgrade Required",
            Self::TooManyRequests => "Too Many Requests",
            Self::HeadTooLong => "Request Header Fields Too Large",
            Self::Unavailable => "Service Unavailable",
        }
    }

    /// Headers without which this status would be incomplete (RFC 9110, sections 15.5.6 and
    /// 15.5.22).
    const fn own_headers(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "Allow: GET, HEAD\r\nConnection: close\r\n",
            Self::UpgradeRequired => {
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n"
            }
            _ => "Connection: close\r\n",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.phrase())
    }
}

/// An answer after which the connection closes.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// What the answer is.
    pub status: Status,
    /// The media type of `body`.
    pub content_type: &'a str,
    /// Further headers, names and values. Control characters in them are left out, so that nothing
    /// in a value can begin a header of its own.
    pub headers: &'a [(&'a str, &'a str)],
    /// The content.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// A line of plain text.
    #[must_use]
    pub const fn text(status: Status, body: &'a str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            headers: &[],
            body: body.as_bytes(),
        }
    }

    /// The status' own words as plain text.
    #[must_use]
    pub const fn plain(status: Status) -> Self {
        Self::text(status, status.phrase())
    }

    /// Appends the answer to `out`; to a `HEAD` request without the body, whose length it still
    /// tells.
    pub fn write(&self, is_head: bool, out: &mut Vec<u8>) {
        self.write_head(self.body.len() as u64, out);
        if !is_head {
            out.extend_from_slice(self.body);
        }
    }

    /// Appends the answer's head alone, for a body of `len` bytes that comes from elsewhere.
    pub fn write_head(&self, len: u64, out: &mut Vec<u8>) {
        let Self { status, content_type, headers, .. } = *self;
        // Writing to memory cannot fail.
        let _ = write!(
            out,
            "HTTP/1.1 {status}\r\n{}Content-Type: {}\r\n",
            status.own_headers(),
            Clean(content_type),
        );
        // There it would be that of the file, which nobody has looked up (RFC 9110, section 8.6).
        if status != Status::NotModified {
            let _ = write!(out, "Content-Length: {len}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(out, "{}: {}\r\n", Clean(name), Clean(value));
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Text without its control characters.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split(char::is_control).try_for_each(|part| f.write_str(part))
    }
}

#[cfg(test)]
mod tests;
