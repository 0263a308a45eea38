//! A blocking WebSocket client over a plain socket, written from RFC 6455 and sharing no code with the server.
//!
//! It judges the server strictly: a masked frame, a reserved bit, a fragmented control frame or invalid UTF-8
//! from the server panics. Towards the server it can break every rule, which is what it is for.

use crate::http;
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A continuation frame.
pub const CONTINUATION: u8 = 0;
/// A text frame.
pub const TEXT: u8 = 1;
/// A binary frame.
pub const BINARY: u8 = 2;
/// A close frame.
pub const CLOSE: u8 = 8;
/// A ping frame.
pub const PING: u8 = 9;
/// A pong frame.
pub const PONG: u8 = 10;

/// How long the opening handshake and each write may take.
const IO_TIMEOUT: Duration = Duration::from_secs(15);

/// How to open a connection.
#[derive(Debug, Clone)]
pub struct Dial {
    path: String,
    headers: Vec<(String, String)>,
    recv_buffer: Option<usize>,
}

impl Default for Dial {
    fn default() -> Self {
        Self { path: "/".to_owned(), headers: Vec::new(), recv_buffer: None }
    }
}

impl Dial {
    /// Upgrades on this path, written as it is.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Adds a header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Limits the socket's receive buffer to about this many bytes, so that a reader that stops is noticed soon.
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.recv_buffer = Some(bytes);
        self
    }
}

/// The answer of a server that did not upgrade.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The HTTP status, or 0 when the connection ended without an answer.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
}

/// What arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A ping; it was answered unless [`WebSocket::answer_pings`] is off.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame with its code, if it had one; it was answered.
    Close(Option<u16>, String),
    /// The connection ended, in order or by a reset.
    End,
}

/// The client's end of an upgraded connection.
#[derive(Debug)]
pub struct WebSocket {
    stream: TcpStream,
    input: Vec<u8>,
    partial: Option<(u8, Vec<u8>)>,
    close_sent: bool,
    answer_pings: bool,
}

/// Random bits that need to differ, not to be secret.
pub fn random() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    if STATE.load(Ordering::Relaxed) == 0 {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        STATE.store(nanos ^ (u64::from(std::process::id()) << 32) | 1, Ordering::Relaxed);
    }
    let mut z = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A TCP connection, with a small receive buffer if asked for (it must be set before the connection is made).
///
/// # Errors
/// Those of the socket calls.
pub fn tcp(addr: SocketAddr, recv_buffer: Option<usize>) -> io::Result<TcpStream> {
    let Some(bytes) = recv_buffer else { return TcpStream::connect(addr) };
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = rustix::net::socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_recv_buffer_size(&fd, bytes)?;
    rustix::net::connect(&fd, &addr)?;
    Ok(TcpStream::from(fd))
}

impl WebSocket {
    /// Opens a connection and checks the server's side of the handshake.
    ///
    /// # Errors
    /// [`Refused`] when the answer is not an upgrade.
    ///
    /// # Panics
    /// When the upgrade is there but wrong: no proof of the key, an extension or a sub-protocol nobody asked for.
    pub fn connect(addr: SocketAddr, dial: &Dial) -> Result<Self, Refused> {
        let dead = |_| Refused { status: 0, head: String::new() };
        let stream = tcp(addr, dial.recv_buffer).map_err(dead)?;
        let mut nonce = [0u8; 16];
        nonce[..8].copy_from_slice(&random().to_le_bytes());
        nonce[8..].copy_from_slice(&random().to_le_bytes());
        let key = base64(&nonce);
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            dial.path
        );
        for (name, value) in &dial.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        (&stream).write_all(request.as_bytes()).map_err(dead)?;
        let (mut ws, head) = Self::read_head(stream)?;
        ws.answer_pings = true;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        if status != 101 {
            return Err(Refused { status, head });
        }
        let proof = base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()));
        assert_eq!(http::header(&head, "Sec-WebSocket-Accept"), Some(proof.as_str()), "{head}");
        assert!(
            http::header(&head, "Upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket")),
            "{head}"
        );
        assert!(
            http::header(&head, "Connection").is_some_and(|v| v.to_lowercase().contains("upgrade")),
            "{head}"
        );
        assert_eq!(http::header(&head, "Sec-WebSocket-Extensions"), None, "none is supported");
        assert_eq!(http::header(&head, "Sec-WebSocket-Protocol"), None, "none is supported");
        Ok(ws)
    }

    /// Reads an answer's head from a connection on which the caller has written a request of its own.
    ///
    /// # Errors
    /// [`Refused`] with status 0 when no head comes.
    pub fn read_head(stream: TcpStream) -> Result<(Self, String), Refused> {
        let dead = |_| Refused { status: 0, head: String::new() };
        stream.set_nodelay(true).map_err(dead)?;
        stream.set_write_timeout(Some(IO_TIMEOUT)).map_err(dead)?;
        let mut ws = Self {
            stream,
            input: Vec::new(),
            partial: None,
            close_sent: false,
            answer_pings: true,
        };
        let deadline = Instant::now() + IO_TIMEOUT;
        loop {
            if let Some(at) = ws.input.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&ws.input[..at]).into_owned();
                ws.input.drain(..at + 4);
                return Ok((ws, head));
            }
            if ws.fill(deadline) != Fill::Data {
                let head = String::from_utf8_lossy(&ws.input).into_owned();
                return Err(Refused { status: 0, head });
            }
        }
    }

    /// Whether pings are answered when they are read (they are at first).
    pub fn answer_pings(&mut self, yes: bool) {
        self.answer_pings = yes;
    }

    /// Sends one whole text message.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send_frame(true, TEXT, text.as_bytes())
    }

    /// Sends one whole binary message.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send_binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_frame(true, BINARY, bytes)
    }

    /// Sends one masked frame.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.send_raw(&frame(fin, opcode, payload))
    }

    /// Sends one message as fragments of at most `size` bytes.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send_fragmented(&mut self, opcode: u8, payload: &[u8], size: usize) -> io::Result<()> {
        let count = payload.chunks(size).count();
        for (i, chunk) in payload.chunks(size).enumerate() {
            self.send_frame(i + 1 == count, if i == 0 { opcode } else { CONTINUATION }, chunk)?;
        }
        Ok(())
    }

    /// Sends a close frame with a code.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send_close(&mut self, code: u16) -> io::Result<()> {
        self.close_sent = true;
        self.send_frame(true, CLOSE, &code.to_be_bytes())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes)
    }

    /// The socket below.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ends the connection with a reset instead of an orderly end, as a killed peer's kernel would.
    pub fn reset(self) {
        // Linger of zero makes close(2) send RST.
        let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// Ends the connection without a close frame.
    pub fn hang_up(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The next event, or `None` when the deadline passes first.
    ///
    /// # Panics
    /// When the server breaks RFC 6455.
    #[track_caller]
    pub fn read(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            if let Some(event) = self.decode() {
                return Some(event);
            }
            match self.fill(deadline) {
                Fill::Data => {}
                Fill::Timeout => return None,
                Fill::End => return Some(Event::End),
            }
        }
    }

    /// Reads until the connection closes: the code of the close frame, or `None` for an end without one.
    ///
    /// # Panics
    /// When the connection is still open at the deadline.
    #[track_caller]
    pub fn read_close(&mut self, deadline: Instant) -> Option<u16> {
        loop {
            match self.read(deadline) {
                Some(Event::Close(code, _)) => return code,
                Some(Event::End) => return None,
                Some(_) => {}
                None => panic!("the connection is still open"),
            }
        }
    }

    /// One frame off the front of the input; continuation frames are put together.
    #[track_caller]
    fn decode(&mut self) -> Option<Event> {
        loop {
            let (fin, opcode, payload) = self.take_frame()?;
            match opcode {
                CONTINUATION => {
                    let (_, whole) = self.partial.as_mut().expect("a fragment continues something");
                    whole.extend_from_slice(&payload);
                }
                TEXT | BINARY => {
                    assert!(self.partial.is_none(), "a new message inside a fragmented one");
                    self.partial = Some((opcode, payload));
                }
                PING => {
                    if self.answer_pings {
                        let _ = self.send_frame(true, PONG, &payload);
                    }
                    return Some(Event::Ping(payload));
                }
                PONG => return Some(Event::Pong(payload)),
                CLOSE => {
                    let code = payload.first_chunk().map(|b| u16::from_be_bytes(*b));
                    assert!(payload.len() != 1, "a close frame of one byte");
                    if !std::mem::replace(&mut self.close_sent, true) {
                        let _ = self.send_frame(true, CLOSE, &payload[..payload.len().min(2)]);
                    }
                    let reason = payload.get(2..).unwrap_or_default().to_vec();
                    let reason = String::from_utf8(reason).expect("a close reason is UTF-8");
                    return Some(Event::Close(code, reason));
                }
                other => panic!("the server sent opcode {other}"),
            }
            if fin {
                return Some(match self.partial.take().expect("a final frame ends something") {
                    (TEXT, whole) => Event::Text(String::from_utf8(whole).expect("text is UTF-8")),
                    (_, whole) => Event::Binary(whole),
                });
            }
        }
    }

    #[track_caller]
    fn take_frame(&mut self) -> Option<(bool, u8, Vec<u8>)> {
        let [first, second] = *self.input.first_chunk()?;
        assert_eq!(first & 0x70, 0, "the server set a reserved bit");
        assert_eq!(second & 0x80, 0, "the server masked a frame");
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let (length, head) = match second {
            126 => {
                let bytes: [u8; 2] = self.input.get(2..4)?.try_into().expect("two bytes");
                let length = usize::from(u16::from_be_bytes(bytes));
                assert!(length > 125, "a length is in its shortest form");
                (length, 4)
            }
            127 => {
                let bytes: [u8; 8] = self.input.get(2..10)?.try_into().expect("eight bytes");
                let length = usize::try_from(u64::from_be_bytes(bytes)).expect("a sane length");
                assert!(length > 0xffff, "a length is in its shortest form");
                (length, 10)
            }
            small => (usize::from(small), 2),
        };
        if opcode >= CLOSE {
            assert!(fin && length <= 125, "a control frame is whole and small");
        }
        let payload = self.input.get(head..head + length)?.to_vec();
        self.input.drain(..head + length);
        Some((fin, opcode, payload))
    }

    fn fill(&mut self, deadline: Instant) -> Fill {
        let mut chunk = [0u8; 64 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of zero means "for ever" to the socket; poll once when time is up.
            if self.stream.set_read_timeout(Some(left.max(Duration::from_micros(1)))).is_err() {
                return Fill::End;
            }
            match (&self.stream).read(&mut chunk) {
                Ok(0) => return Fill::End,
                Ok(n) => {
                    self.input.extend_from_slice(&chunk[..n]);
                    return Fill::Data;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= deadline {
                        return Fill::Timeout;
                    }
                }
                Err(_) => return Fill::End,
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Fill {
    Data,
    Timeout,
    End,
}

/// The bytes of one masked client frame.
pub fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    out.push(u8::from(fin) << 7 | opcode);
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let mask = (random() as u32).to_le_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i > group.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

/// SHA-1 (RFC 3174), which the handshake's proof is made of.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut w = [0u32; 80];
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e);
            let next = next.wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut out = [0u8; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use tungstenite::Message;

    #[test]
    fn handshake_proof_is_the_one_of_the_rfc() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        assert_eq!(base64(&sha1(key.as_bytes())), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab"), "YWI=");
        assert_eq!(base64(b"abc"), "YWJj");
        // Around the length where the padding needs a block of its own.
        for n in 50..70 {
            assert_ne!(sha1(&vec![b'x'; n]), sha1(&vec![b'x'; n + 1]));
        }
        let abc = sha1(b"abc");
        assert_eq!(abc[..4], [0xa9, 0x99, 0x3e, 0x36]);
    }

    /// Serves one connection with another implementation of the protocol and sends every message back.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let addr = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accept");
            let mut peer = tungstenite::accept(stream).expect("handshake");
            loop {
                match peer.read() {
                    Ok(Message::Text(t)) if t.as_str() == "ping me" => {
                        peer.send(Message::Ping(vec![1, 2].into())).expect("send");
                    }
                    Ok(m @ (Message::Text(_) | Message::Binary(_))) => peer.send(m).expect("send"),
                    Ok(Message::Pong(p)) => peer.send(Message::Binary(p)).expect("send"),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        addr
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn another_implementation_understands_this_client() {
        let mut ws = WebSocket::connect(echo(), &Dial::default().path("/a%20b")).expect("upgrade");
        for size in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
            let text = "x".repeat(size);
            ws.send_text(&text).expect("send");
            assert_eq!(ws.read(soon()), Some(Event::Text(text)));
        }
        ws.send_fragmented(BINARY, &[7; 1000], 33).expect("send");
        assert_eq!(ws.read(soon()), Some(Event::Binary(vec![7; 1000])));
        ws.send_text("ping me").expect("send");
        assert_eq!(ws.read(soon()), Some(Event::Ping(vec![1, 2])));
        assert_eq!(ws.read(soon()), Some(Event::Binary(vec![1, 2])), "the pong came back");
        ws.send_frame(true, PING, b"p").expect("send");
        assert_eq!(ws.read(soon()), Some(Event::Pong(b"p".to_vec())));
        assert_eq!(ws.read(Instant::now() + Duration::from_millis(20)), None);
        ws.send_close(1000).expect("send");
        assert_eq!(ws.read_close(soon()), Some(1000));
        assert_eq!(ws.read(soon()), Some(Event::End));
    }

    #[test]
    fn another_implementation_refuses_what_is_broken() {
        let mut ws =
            WebSocket::connect(echo(), &Dial::default().recv_buffer(4096)).expect("upgrade");
        ws.send_raw(&[0x81, 0x01, b'x']).expect("send");
        assert!(matches!(ws.read(soon()), Some(Event::Close(_, _) | Event::End)));
    }

    #[test]
    fn refusals_keep_their_status() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let addr = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut seen = [0u8; 4096];
            let _ = stream.read(&mut seen).expect("request");
            stream.write_all(b"HTTP/1.1 429 Too Many Requests\r\n\r\n").expect("send");
        });
        let refused = WebSocket::connect(addr, &Dial::default()).expect_err("refused");
        assert_eq!(refused.status, 429);
    }
}
