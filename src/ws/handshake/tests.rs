use super::*;

/// The request of RFC 6455, section 1.2.
const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// `GOOD` with one thing replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn decide(request: &str) -> Result<Option<String>, Refusal> {
    let head = Head::parse(request.as_bytes(), 0).unwrap().unwrap();
    Ok(upgrade(&head)?.map(|upgrade| {
        let mut out = Vec::new();
        upgrade.accept(&mut out);
        String::from_utf8(out).unwrap()
    }))
}

#[track_caller]
fn accepted(request: &str) {
    assert!(matches!(decide(request), Ok(Some(_))), "{:?}: {request}", decide(request));
}

#[track_caller]
fn refused(request: &str, refusal: Refusal, status: u16) {
    assert_eq!(decide(request), Err(refusal), "{request}");
    assert_eq!(refusal.status().code(), status);
}

#[test]
fn the_example_of_the_standard() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(decide(GOOD), Ok(Some(answer.to_owned())));
}

#[test]
fn any_path_and_any_spelling_of_the_tokens() {
    accepted(&with("/chat", "/"));
    accepted(&with("/chat", "/any/other%20path?x"));
    accepted(&with("/chat", "ws://server.example.com/chat"));
    accepted(&with("Upgrade: websocket", "UPGRADE: h2c, WebSocket"));
    accepted(&with("Connection: Upgrade", "connection: keep-alive, UPGRADE"));
    accepted(&with("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"));
    accepted(&with("Connection: Upgrade", "Connection: Upgrade\r\nContent-Length: 0"));
}

#[test]
fn origins_are_handed_on() {
    let origin = |request: &str| {
        let head = Head::parse(request.as_bytes(), 0).unwrap().unwrap();
        upgrade(&head).unwrap().unwrap().origin.map(str::to_owned)
    };
    assert_eq!(origin(GOOD).as_deref(), Some("http://example.com"));
    assert_eq!(origin(&with("Origin: http://example.com\r\n", "")), None);
    refused(&with("Origin:", "Origin: http://a\r\nOrigin:"), Refusal::Origin, 400);
}

#[test]
fn plain_requests() {
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        assert_eq!(decide(request), Ok(None), "{request}");
    }
}

#[test]
fn other_methods() {
    for method in ["POST", "PUT", "OPTIONS", "get", "CONNECT"] {
        refused(&with("GET", method), Refusal::Method, 405);
        let plain = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
        refused(&plain, Refusal::Method, 405);
    }
    refused(&with("GET", "HEAD"), Refusal::NotHttp11Get, 400);
}

#[test]
fn malformed_upgrades() {
    refused(&with("HTTP/1.1", "HTTP/1.0"), Refusal::NotHttp11Get, 400);
    refused(&with("Host: server.example.com\r\n", ""), Refusal::Host, 400);
    refused(&with("Host:", "Host: other\r\nHost:"), Refusal::Host, 400);
    refused(&with("Upgrade: websocket\r\n", ""), Refusal::UpgradeToken, 400);
    refused(&with("Upgrade: websocket", "Upgrade: websockets"), Refusal::UpgradeToken, 400);
    refused(&with("Connection: Upgrade\r\n", ""), Refusal::ConnectionToken, 400);
    refused(&with("Connection: Upgrade", "Connection: close"), Refusal::ConnectionToken, 400);
    refused(&with("Connection:", "Content-Length: 4\r\nConnection:"), Refusal::Body, 400);
    refused(&with("Connection:", "Transfer-Encoding: chunked\r\nConnection:"), Refusal::Body, 400);
}

#[test]
fn versions() {
    for version in ["8", "14", "", "013", "13, 8", "thirteen"] {
        let header = format!("Sec-WebSocket-Version: {version}\r\n");
        let request = with("Sec-WebSocket-Version: 13\r\n", &header);
        refused(&request, Refusal::Version, 426);
    }
    refused(&with("Sec-WebSocket-Version: 13\r\n", ""), Refusal::Version, 426);
    let mut out = Vec::new();
    Refusal::Version.write(false, &mut out);
    let answer = String::from_utf8(out).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
}

#[test]
fn keys() {
    let line = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    refused(&with(line, ""), Refusal::Key, 400);
    refused(&with(line, &line.repeat(2)), Refusal::Key, 400);
    let key = |key: &str| with("dGhlIHNhbXBsZSBub25jZQ==", key);
    for bad in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub24=",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZTEy",
        "dGhlIHNhbXBsZSBub25jZTEyMw==",
        "dGhlIHNhbXBsZSBub25j!Q==",
        "dGhlIHNhbXBsZSBub25_-Q==",
        "========================",
    ] {
        refused(&key(bad), Refusal::Key, 400);
    }
    accepted(&key("  AAAAAAAAAAAAAAAAAAAAAA==  "));
    accepted(&key("xxxxxxxxxxxxxxxxxxxxxx=="));
}

#[test]
fn bytes_behind_the_head_are_left_for_the_websocket() {
    let bytes = [GOOD.as_bytes(), b"\x81\x80\0\0\0\0"].concat();
    let head = Head::parse(&bytes, 0).unwrap().unwrap();
    assert!(upgrade(&head).unwrap().is_some());
    assert_eq!(&bytes[head.len()..], b"\x81\x80\0\0\0\0");
}

#[test]
fn tungstenites_client_is_let_in() {
    let request = tungstenite::handshake::client::Request::builder();
    let request = request
        .uri("ws://host/ws")
        .header("Host", "host")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", tungstenite::handshake::client::generate_key())
        .body(())
        .unwrap();
    let (bytes, _) = tungstenite::handshake::client::generate_request(request).unwrap();
    accepted(std::str::from_utf8(&bytes).unwrap());
}
