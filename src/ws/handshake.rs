//! The opening handshake (RFC 6455, section 4.2), on every path.
//!
//! Sub-protocols and extensions that a client offers are declined by not mentioning them.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use tungstenite::handshake::derive_accept_key;

use crate::http::{Head, Response, Status};

/// Padding is required, spare bits after the last byte are not looked at: the standard asks for 16
/// bytes, and clients that fill all 22 characters at random have always been let in.
const KEY_BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// A client's wish to speak WebSocket, with nothing wrong in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade<'b> {
    accept: String,
    /// The page that the connection is from, as a browser tells it; for the caller's allow list.
    /// `None` when there is no such header; programs other than browsers seldom send it.
    pub origin: Option<&'b str>,
}

/// Why a request is not served at all. All of them are the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A method besides GET and HEAD.
    #[error("only GET and HEAD are served")]
    Method,
    /// HTTP/1.1 without `Host`, or with more than one (RFC 9112, section 3.2).
    #[error("exactly one Host header is needed")]
    Host,
    /// An upgrade by HEAD, or by HTTP/1.0.
    #[error("a WebSocket upgrade is an HTTP/1.1 GET")]
    NotHttp11Get,
    /// An upgrade with a body, whose bytes would be taken for frames.
    #[error("a WebSocket upgrade has no body")]
    Body,
    /// No `websocket` in `Upgrade`.
    #[error("Upgrade: websocket is missing")]
    UpgradeToken,
    /// No `upgrade` in `Connection`.
    #[error("Connection: Upgrade is missing")]
    ConnectionToken,
    /// No version, or another one than 13.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// No key, several keys, or a key that is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    /// Several origins, or one that is not text: nothing an allow list could judge.
    #[error("Origin is malformed")]
    Origin,
}

impl Refusal {
    /// The status that says so.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Method => Status::MethodNotAllowed,
            Self::Version => Status::UpgradeRequired,
            _ => Status::BadRequest,
        }
    }

    /// Appends the answer that says so.
    pub fn write(self, is_head: bool, out: &mut Vec<u8>) {
        Response::text(self.status(), &self.to_string()).write(is_head, out);
    }
}

/// Decides what a request is: `Ok(Some)` a WebSocket upgrade, `Ok(None)` a plain GET or HEAD.
///
/// It is taken for an upgrade when it names the protocol or has one of its headers; anything
/// missing is a mistake then. An upgrade to another protocol is passed over, as RFC 9110 allows: a
/// plain request.
///
/// # Errors
/// Any [`Refusal`].
pub fn upgrade<'b>(head: &Head<'b>) -> Result<Option<Upgrade<'b>>, Refusal> {
    let is_get = head.method() == "GET";
    if !is_get && !head.is_head() {
        return Err(Refusal::Method);
    }
    let n_hosts = head.values("host").count();
    if n_hosts > 1 || n_hosts == 0 && head.is_http_1_1() {
        return Err(Refusal::Host);
    }
    let has_token = head.has_token("upgrade", "websocket");
    let has_header = |name| head.values(name).next().is_some();
    if !has_token && !has_header("sec-websocket-key") && !has_header("sec-websocket-version") {
        return Ok(None);
    }
    if !is_get || !head.is_http_1_1() {
        return Err(Refusal::NotHttp11Get);
    }
    if head.has_body() {
        return Err(Refusal::Body);
    }
    if !has_token {
        return Err(Refusal::UpgradeToken);
    }
    if !head.has_token("connection", "upgrade") {
        return Err(Refusal::ConnectionToken);
    }
    if head.value("sec-websocket-version") != Some("13") {
        return Err(Refusal::Version);
    }
    let key = head.value("sec-websocket-key").ok_or(Refusal::Key)?;
    let mut nonce = [0; 18];
    if key.len() != 24 || KEY_BASE64.decode_slice(key, &mut nonce) != Ok(16) {
        return Err(Refusal::Key);
    }
    let origin = head.value("origin");
    if origin.is_none() && has_header("origin") {
        return Err(Refusal::Origin);
    }
    Ok(Some(Upgrade { accept: derive_accept_key(key.as_bytes()), origin }))
}

impl Upgrade<'_> {
    /// Appends the `101` after which both sides speak WebSocket.
    pub fn accept(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(self.accept.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
}

#[cfg(test)]
mod tests;
