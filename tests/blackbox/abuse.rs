//! Handshakes, frames and JSON that break the rules: each costs its sender only.

use crate::ROOMS;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};
use tutti_tests::WITHIN;
use tutti_tests::http;
use tutti_tests::mpp::{Client, Ended};
use tutti_tests::server::{Plan, Server};
use tutti_tests::ws::{
    BINARY, CLOSE, CONTINUATION, Event, PING, PONG, TEXT, WebSocket, frame, tcp,
};

on_1_2_5_shards!(
    broken_handshakes_are_refused,
    slow_handshakes_are_cut,
    garbage_and_huge_heads_are_cut,
    odd_but_legal_handshakes_are_fine,
    origins_can_be_listed,
    proxy_headers_carry_the_address,
    frames_against_the_rules_are_1002,
    text_that_is_not_utf8_is_1007,
    fragments_and_control_frames,
    the_close_handshake,
    deep_and_odd_json,
    bytes_in_any_portions,
    a_half_closed_connection_is_gone,
    floods_of_every_message,
    connection_churn,
);

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn upgrade(addr: SocketAddr, lines: &[&str]) -> String {
    let mut head = format!("GET / HTTP/1.1\r\nHost: {addr}\r\n");
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

fn broken_handshakes_are_refused(plan: Plan) {
    let server = plan.start();
    let addr = server.addr();
    let key = format!("Sec-WebSocket-Key: {KEY}");
    let (up, conn, version) =
        ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13");
    for (what, lines) in [
        ("no key", vec![up, conn, version]),
        ("an empty key", vec![up, conn, version, "Sec-WebSocket-Key: "]),
        ("a short key", vec![up, conn, version, "Sec-WebSocket-Key: c2hvcnQ="]),
        (
            "a key that is no base64",
            vec![up, conn, version, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="],
        ),
        ("two keys", vec![up, conn, version, &key, &key]),
    ] {
        assert_eq!(http::request(addr, &upgrade(addr, &lines)).status, 400, "{what}");
    }
    for version in ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 99"] {
        let answer = http::request(addr, &upgrade(addr, &[up, conn, &key, version]));
        assert_eq!((answer.status, answer.header("Sec-WebSocket-Version")), (426, Some("13")));
    }
    let old = upgrade(addr, &[up, conn, &key, version]).replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(http::request(addr, &old).status, 400);
    server.guest().barrier();
}

fn slow_handshakes_are_cut(plan: Plan) {
    let server = plan.set("limits.handshake_ms", 400).start();
    let mut silent = tcp(server.addr(), None).expect("a connection");
    let mut slow = tcp(server.addr(), None).expect("a connection");
    slow.set_nodelay(true).expect("a socket");
    let start = Instant::now();
    let head = upgrade(server.addr(), &["Upgrade: websocket", "Connection: Upgrade"]);
    let mut written = 0;
    for byte in head.as_bytes().iter().cycle() {
        if start.elapsed() > Duration::from_secs(3) || slow.write_all(&[*byte]).is_err() {
            break;
        }
        written += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{written} bytes, and still open");
    silent.set_read_timeout(Some(WITHIN)).expect("a socket");
    let mut rest = Vec::new();
    // The end may be orderly or not, with an answer such as 408 or without; but it has to come.
    if let Err(e) = silent.read_to_end(&mut rest) {
        assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "still open");
    }
    server.guest().barrier();
}

fn garbage_and_huge_heads_are_cut(plan: Plan) {
    let server = plan.set("limits.handshake_ms", 1000).start();
    let addr = server.addr();
    let mut other = server.join(ROOMS[0]);
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(4 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100_000));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\n: nameless\r\n\r\n",
        b"GET / HTTP/1.1\r\n\xff\xfe: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        endless.as_bytes(),
        many.as_bytes(),
        long_path.as_bytes(),
    ] {
        let answer = http::try_request(addr, bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        if let Some(answer) = answer {
            assert!((400..=505).contains(&answer.status), "{shown:?} got {}", answer.head);
        }
        other.barrier();
    }
}

fn odd_but_legal_handshakes_are_fine(plan: Plan) {
    let server = plan.start();
    let addr = server.addr();
    for lines in [
        vec!["upgrade: WebSocket", "connection: keep-alive, UPGRADE", "sec-websocket-version: 13"],
        vec![
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version:13",
            "Sec-WebSocket-Protocol: chat, x",
        ],
        vec![
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "Cookie: a=\u{e9}",
        ],
    ] {
        let key = format!("Sec-WebSocket-Key: {KEY}");
        let mut head = upgrade(addr, &lines);
        head.insert_str(head.len() - 2, &format!("{key}\r\n"));
        let mut stream = tcp(addr, None).expect("a connection");
        // The first frame may come in the same packet as the head.
        let bytes = [head.as_bytes(), &frame(true, TEXT, b"[{\"m\":\"hi\"}]")].concat();
        stream.write_all(&bytes).expect("an open connection");
        let (ws, head) = WebSocket::read_head(stream).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(!head.to_lowercase().contains("permessage"), "{head}");
        Client::new(ws).expect("hi");
    }
}

fn origins_can_be_listed(plan: Plan) {
    let server = plan.set("origins", "[\"https://piano.example\"]").start();
    let dial = |origin: &str| {
        server.socket_with(&tutti_tests::ws::Dial::default().header("Origin", origin))
    };
    assert!(dial("https://piano.example").is_ok());
    assert_eq!(dial("https://evil.example").expect_err("not listed").status, 403);
}

fn proxy_headers_carry_the_address(plan: Plan) {
    let server = plan.clone().production().start();
    let v2 = |family: u8, addresses: &[u8]| {
        let mut head = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
        head.push(family);
        head.extend_from_slice(&(addresses.len() as u16).to_be_bytes());
        head.extend_from_slice(addresses);
        head
    };
    let four = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0x1f, 0x90];
    for (what, prefix) in
        [("v1", b"PROXY TCP4 203.0.113.7 10.0.0.1 4660 8080\r\n".to_vec()), ("v2", v2(0x11, &four))]
    {
        assert_eq!(
            hello_behind(&server, &prefix).as_deref(),
            Some("576f979d6c4de4037a104dc3"),
            "{what}"
        );
    }
    // Nobody else may say where they come from: the connection is refused or known by its own address.
    let server = plan.production().set("trusted_proxies", "[\"192.0.2.1\"]").start();
    let prefix = b"PROXY TCP4 203.0.113.7 10.0.0.1 4660 8080\r\n";
    assert_ne!(hello_behind(&server, prefix).as_deref(), Some("576f979d6c4de4037a104dc3"));
}

/// The user id of a connection that begins with these bytes.
fn hello_behind(server: &Server, prefix: &[u8]) -> Option<String> {
    let key = format!("Sec-WebSocket-Key: {KEY}");
    let lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", &key];
    let head = upgrade(server.addr(), &lines);
    let mut stream = tcp(server.addr(), None).ok()?;
    stream.write_all(&[prefix, head.as_bytes()].concat()).ok()?;
    let (ws, head) = WebSocket::read_head(stream).ok()?;
    if !head.starts_with("HTTP/1.1 101") {
        return None;
    }
    let mut client = Client::new(ws);
    client.hi();
    Some(client.id().to_owned())
}

/// Sends raw bytes on a fresh connection that is in a room, and expects a close with this code.
#[track_caller]
fn closed_by(server: &Server, bytes: &[u8], code: u16) {
    let mut a = server.join(ROOMS[0]);
    a.ws().send_raw(bytes).expect("an open connection");
    let ended = a.ended();
    assert_eq!(ended, Ended::Close(Some(code)), "after {:02x?}", &bytes[..bytes.len().min(24)]);
}

/// The frame with other first two bytes.
fn bent(mut bytes: Vec<u8>, bend: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    bend(&mut bytes);
    bytes
}

fn frames_against_the_rules_are_1002(plan: Plan) {
    let server = plan.start();
    let hi = || frame(true, TEXT, b"[{\"m\":\"hi\"}]");
    closed_by(&server, b"\x81\x0c[{\"m\":\"hi\"}]", 1002);
    for bit in [0x40, 0x20, 0x10] {
        closed_by(&server, &bent(hi(), |f| f[0] |= bit), 1002);
    }
    for opcode in [3, 7, 11, 15] {
        closed_by(&server, &frame(true, opcode, b"x"), 1002);
    }
    for opcode in [PING, PONG, CLOSE] {
        closed_by(&server, &frame(false, opcode, b""), 1002);
        closed_by(&server, &frame(true, opcode, &[b'a'; 126]), 1002);
    }
    closed_by(&server, &frame(true, CONTINUATION, b"x"), 1002);
    closed_by(&server, &frame(false, CONTINUATION, b"x"), 1002);
    closed_by(&server, &[frame(false, TEXT, b"["), frame(true, TEXT, b"]")].concat(), 1002);
    closed_by(&server, &[frame(false, BINARY, b"["), frame(false, BINARY, b"]")].concat(), 1002);
    closed_by(&server, &frame(true, CLOSE, b"x"), 1002);
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        closed_by(&server, &frame(true, CLOSE, &code.to_be_bytes()), 1002);
    }
    server.guest().barrier();
}

fn text_that_is_not_utf8_is_1007(plan: Plan) {
    let server = plan.start();
    for bytes in [
        &b"[\"\xff\"]"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"[\"\xe2\x82\"",
        b"\xf0\x9f\x8e",
    ] {
        closed_by(&server, &frame(true, TEXT, bytes), 1007);
        let split =
            [frame(false, TEXT, &bytes[..1]), frame(true, CONTINUATION, &bytes[1..])].concat();
        closed_by(&server, &split, 1007);
    }
    closed_by(&server, &frame(true, CLOSE, b"\x03\xe8\xff\xff"), 1007);
    // A character cut by a fragment is whole when the message is.
    let mut a = server.join(ROOMS[1]);
    let text = "[{\"m\":\"a\",\"message\":\"\u{1f3b9}\u{e9}\"}]";
    a.ws().send_fragmented(TEXT, text.as_bytes(), 1).expect("an open connection");
    assert_eq!(a.expect("a")["a"], "\u{1f3b9}\u{e9}");
}

fn fragments_and_control_frames(plan: Plan) {
    let server = plan.start();
    let mut a = server.join(ROOMS[0]);
    let text = b"[{\"m\":\"t\",\"e\":7}]";
    let soon = || Instant::now() + WITHIN;
    a.ws().send_raw(&frame(false, TEXT, &text[..5])).expect("open");
    a.ws().send_raw(&frame(true, PING, b"between")).expect("open");
    assert_eq!(a.ws().read(soon()), Some(Event::Pong(b"between".to_vec())));
    a.ws().send_raw(&frame(false, CONTINUATION, b"")).expect("open");
    a.ws().send_raw(&frame(true, PONG, b"nobody asked")).expect("open");
    a.ws().send_raw(&frame(true, CONTINUATION, &text[5..])).expect("open");
    assert_eq!(a.expect("t")["e"].as_f64(), Some(7.0));
    for payload in [&b""[..], &[0xff; 125]] {
        a.ws().send_raw(&frame(true, PING, payload)).expect("open");
        assert_eq!(a.ws().read(soon()), Some(Event::Pong(payload.to_vec())));
    }
    // Many in one write are answered in order, or merged into the latest (RFC 6455, section 5.5.3).
    let pings: Vec<u8> = (0..50u8).flat_map(|i| frame(true, PING, &[i])).collect();
    a.ws().send_raw(&pings).expect("open");
    let mut last = None;
    while last != Some(49) {
        match a.ws().read(soon()) {
            Some(Event::Pong(payload)) => {
                assert!(last < payload.first().copied(), "{payload:?} after {last:?}");
                last = payload.first().copied();
            }
            other => panic!("{other:?}"),
        }
    }
    a.nothing();
}

fn the_close_handshake(plan: Plan) {
    let server = plan.start();
    let soon = || Instant::now() + WITHIN;
    for code in [1000u16, 1001, 1003, 1011, 3000, 4999] {
        let room = format!("closed with {code}");
        let mut b = server.join(&room);
        let mut a = server.join(&room);
        b.clear();
        a.ws().send_close(code).expect("open");
        // What comes behind a close frame is not read any more.
        let _ = a.ws().send_text("[{\"m\":\"a\",\"message\":\"after\"}]");
        assert_eq!(a.ws().read_close(soon()), Some(code));
        assert_eq!(a.ws().read(soon()), Some(Event::End));
        assert_eq!(b.expect("bye")["p"], a.id());
        b.nothing();
        b.hang_up();
    }
    let mut a = server.join(ROOMS[1]);
    a.ws().send_raw(&frame(true, CLOSE, b"")).expect("open");
    assert!(matches!(a.ended(), Ended::Close(None | Some(1000))));
    let mut a = server.join(ROOMS[2]);
    let reason = [&1000u16.to_be_bytes()[..], "tsch\u{fc}ss".as_bytes()].concat();
    a.ws().send_raw(&frame(true, CLOSE, &reason)).expect("open");
    a.closed_with(1000);
}

fn deep_and_odd_json(plan: Plan) {
    let server = plan.start();
    let mut a = server.join(ROOMS[0]);
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let nested = format!(
        "[{{\"m\":\"custom\",\"data\":{},\"target\":{{\"mode\":\"subscribed\"}}}}]",
        deep("[", "]", 5000)
    );
    for text in [
        deep("[", "]", 50_000),
        "[".repeat(100_000),
        deep("{\"a\":", "}", 15_000),
        deep("[{\"m\":", "}]", 10_000),
        nested,
        "[{\"m\":\"a\",\"message\":1e999999}]".to_owned(),
        format!("[{{\"m\":\"t\",\"e\":{}}}]", "9".repeat(50_000)),
        "[{\"m\":\"m\",\"x\":1e400,\"y\":-1e400}]".to_owned(),
        "[{\"m\":\"a\",\"message\":\"\\u0000\\ud800\\udfff\\u12\"}]".to_owned(),
        "[{\"m\":\"a\",\"message\":\"\\x\"}]".to_owned(),
        "[{\"m\":\"nope\",\"m\":\"nope\"}]".to_owned(),
        format!("[{{\"{}\":1}}]", "k".repeat(60_000)),
        "\u{feff}[{\"m\":\"nope\"}]".to_owned(),
    ] {
        a.send_text(&text);
        // Enormous numbers may be answered without `e`.
        a.barrier();
    }
    assert!(a.drain().iter().all(|item| item.json("t").is_some()));
    a.say("still here");
    a.expect("a");
}

fn bytes_in_any_portions(plan: Plan) {
    let server = plan.start();
    let mut b = server.join(ROOMS[0]);
    let mut a = server.join(ROOMS[0]);
    b.clear();
    let bytes: Vec<u8> = ["one", "two", "three"]
        .iter()
        .flat_map(|word| {
            let text = json!([{"m": "a", "message": word}]).to_string();
            [
                frame(false, TEXT, &text.as_bytes()[..9]),
                frame(true, CONTINUATION, &text.as_bytes()[9..]),
            ]
            .concat()
        })
        .collect();
    for chunk in bytes.chunks(1) {
        a.ws().send_raw(chunk).expect("open");
    }
    for word in ["one", "two", "three"] {
        assert_eq!(b.expect("a")["a"], word);
    }
    // All at once with a piece of the next, which comes later.
    let mut more = frame(true, TEXT, b"[{\"m\":\"t\",\"e\":1}]");
    more.extend(frame(true, TEXT, b"[{\"m\":\"t\",\"e\":2}]"));
    let (now, later) = more.split_at(more.len() - 3);
    a.clear();
    a.ws().send_raw(now).expect("open");
    assert_eq!(a.expect("t")["e"].as_f64(), Some(1.0));
    a.quiet_for(Duration::from_millis(50));
    a.ws().send_raw(later).expect("open");
    assert_eq!(a.expect("t")["e"].as_f64(), Some(2.0));
}

fn a_half_closed_connection_is_gone(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut b = server.join(room);
        let mut a = server.join(room);
        b.clear();
        a.say("then the writing side ends");
        a.ws().stream().shutdown(Shutdown::Write).expect("open");
        assert_eq!(b.expect("bye")["p"], a.id());
        assert_eq!(b.expect("a")["a"], "then the writing side ends");
        a.ended();
    }
}

/// As much of every message as fits under the message limit: nobody is closed, nobody else hears a storm.
fn floods_of_every_message(plan: Plan) {
    // The others ask for the time once a flood, the flooded ones a thousand times.
    let server = plan.set("rate.time", "{ count = 40, per_ms = 5000 }").start();
    let mut other = server.join("lobby");
    for message in [
        json!({"m": "hi"}),
        json!({"m": "ch", "_id": "lobby"}),
        json!({"m": "chset", "set": {"chat": true}}),
        json!({"m": "chown"}),
        json!({"m": "a", "message": "x"}),
        json!({"m": "m", "x": 1, "y": 1}),
        json!({"m": "userset", "set": {"name": "x"}}),
        json!({"m": "kickban", "_id": "x", "ms": 1}),
        json!({"m": "unban", "_id": "x"}),
        json!({"m": "t", "e": 1}),
        json!({"m": "+ls"}),
        json!({"m": "-ls"}),
        json!({"m": "+custom"}),
        json!({"m": "devices", "list": []}),
        json!({"m": "dm", "_id": "x", "message": "x"}),
        json!({"m": "n", "t": 1, "n": [{"n": "c4"}]}),
    ] {
        let mut a = server.join("lobby");
        other.clear();
        a.send(json!(vec![message.clone(); 1000]));
        // Behind everything else, so that the flood is handled when the others hear of the leave.
        a.send(json!({"m": "bye"}));
        a.closed_with(1000);
        other.expect("bye");
        let heard = other.drain();
        let most = match message["m"].as_str() {
            // The note quota is its limit: max and one allowance, and a tick.
            Some("n") => 1000,
            _ => 30,
        };
        assert!(heard.len() <= most, "{} messages of {message}", heard.len());
        assert!(a.drain().len() <= 60, "answers to {message}");
    }
}

fn connection_churn(plan: Plan) {
    let server = plan.start();
    let mut b = server.join(ROOMS[0]);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for i in 0..30 {
                    match (i + n) % 5 {
                        0 => drop(tcp(server.addr(), None)),
                        1 => server.socket().reset(),
                        2 => server.guest().reset(),
                        3 => server.join(ROOMS[0]).hang_up(),
                        _ => {
                            // Gone while its join is under way.
                            let mut a = server.guest();
                            a.send(json!({"m": "ch", "_id": ROOMS[i % 3]}));
                            a.reset();
                        }
                    }
                }
            });
        }
    });
    tutti_tests::eventually("everybody is gone", || {
        let ch = b.enter(json!({"m": "ch", "_id": ROOMS[0]})).ch;
        std::thread::sleep(Duration::from_millis(420));
        (ch["ch"]["count"] == 1).then_some(())
    });
    let (joins, leaves) = {
        b.barrier();
        let items = b.drain();
        let count = |kind| items.iter().filter(|item| item.json(kind).is_some()).count();
        (count("p"), count("bye"))
    };
    assert_eq!(joins, leaves);
}
