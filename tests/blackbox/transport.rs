//! Statements 1 to 18: upgrade, frames, close codes.

use crate::ROOMS;
use serde_json::json;
use std::time::{Duration, Instant};
use tutti_tests::http;
use tutti_tests::mpp::{Client, Ended, now_ms};
use tutti_tests::server::Plan;
use tutti_tests::ws::{Dial, Event, TEXT, frame};
use tutti_tests::{WITHIN, eventually};

on_1_2_5_shards!(
    every_path_upgrades,
    every_path_shows_the_page,
    no_file_outside_the_client_folder,
    foreign_origins_are_welcome,
    first_frame_is_b,
    nonsense_is_ignored,
    bad_elements_are_skipped,
    one_frame_many_messages,
    a_message_over_the_limit_is_1009,
    lone_surrogates_are_repaired,
    pings_keep_a_silent_client,
    silence_is_4004,
    a_flood_is_4007,
    too_many_bytes_is_4002,
    bytes_that_wait_count_once,
    a_slow_reader_costs_others_nothing,
);

/// Statements 1, 2, 3.
fn every_path_upgrades(plan: Plan) {
    let server = plan.start();
    for path in ["/", "/ws", "/any/other%20path", "/?c=room", "/test%2Fawkward"] {
        let ws = server.socket_with(&Dial::default().path(path));
        Client::new(ws.unwrap_or_else(|refused| panic!("{path}: {refused:?}"))).hi();
    }
}

/// Statements 4, 5.
fn every_path_shows_the_page(plan: Plan) {
    let server = plan.start();
    let page = http::get(server.addr(), "/");
    assert_eq!(page.status, 200, "{}", page.head);
    assert!(
        page.header("content-type").is_some_and(|t| t.starts_with("text/html")),
        "{}",
        page.head
    );
    assert!(page.text().to_lowercase().contains("<html"), "{}", page.text());
    for path in ["/Some%20Room", "/test%2Fawkward", "/%F0%9F%8E%B9?x=1"] {
        let other = http::get(server.addr(), path);
        assert_eq!((other.status, &other.body), (200, &page.body), "{path}");
    }
}

/// Statement 6.
fn no_file_outside_the_client_folder(plan: Plan) {
    let folder =
        std::env::temp_dir().join(format!("tutti-client-{}-{}", std::process::id(), plan.shards()));
    std::fs::create_dir_all(folder.join("inside/deep")).expect("a writable folder");
    std::fs::write(folder.join("Cargo.toml"), "SECRET outside").expect("a writable folder");
    std::fs::write(folder.join("inside/index.html"), "<html>inside</html>")
        .expect("a writable folder");
    std::fs::write(folder.join("inside/deep/a.js"), "let a").expect("a writable folder");
    std::os::unix::fs::symlink(folder.join("Cargo.toml"), folder.join("inside/link.toml"))
        .expect("a writable folder");
    let server = plan.arg("--client-dir").arg(folder.join("inside").to_string_lossy()).start();
    assert_eq!(http::get(server.addr(), "/deep/a.js").text(), "let a");
    for path in [
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e%2fCargo.toml",
        "/deep/../../Cargo.toml",
        "/deep/..%2f..%2fCargo.toml",
        "/..\\Cargo.toml",
        "/..%5cCargo.toml",
        "/%252e%252e/Cargo.toml",
        "//../Cargo.toml",
        "/./../Cargo.toml",
        "/deep/%00/../../../Cargo.toml",
        "/..;/Cargo.toml",
        "/%c0%ae%c0%ae/Cargo.toml",
        "../Cargo.toml",
    ] {
        let answer = http::get(server.addr(), path);
        assert!(!answer.text().contains("SECRET"), "{path} leaks: {answer:?}");
    }
    let absolute = format!("/{}", folder.join("Cargo.toml").display());
    assert!(!http::get(server.addr(), &absolute).text().contains("SECRET"), "{absolute}");
    std::fs::remove_dir_all(folder).expect("the folder was ours");
}

/// Statement 7.
fn foreign_origins_are_welcome(plan: Plan) {
    let server = plan.start();
    for origin in ["https://www.multiplayerpiano.com", "http://evil.example", "null"] {
        let ws = server.socket_with(&Dial::default().header("Origin", origin));
        Client::new(ws.unwrap_or_else(|refused| panic!("{origin}: {refused:?}"))).hi();
    }
}

/// Statement 8.
fn first_frame_is_b(plan: Plan) {
    let server = plan.start();
    for _ in 0..5 {
        let mut ws = server.socket();
        let Some(Event::Text(first)) = ws.read(Instant::now() + WITHIN) else {
            panic!("the first frame is text");
        };
        assert_eq!(first, r#"[{"m":"b","code":""}]"#);
    }
}

/// Statements 9, 10.
fn nonsense_is_ignored(plan: Plan) {
    let server = plan.start();
    let mut a = server.open();
    for text in [
        "not json",
        "",
        " ",
        "[",
        "[}",
        "{",
        "\"hi\"",
        "5",
        "null",
        "[]",
        "[[]]",
        "\u{0}",
        "[{\"m\":\"hi\"}",
        "[{\"m\":\"hi\"}]x",
        "{\"m\":\"hi\"}",
        "[{'m':'hi'}]",
    ] {
        a.send_text(text);
    }
    a.quiet();
    a.hi();
    a.nothing();
}

/// Statements 11, 12.
fn bad_elements_are_skipped(plan: Plan) {
    let server = plan.start();
    for text in [
        r#"[1,null,"x",{},{"m":5},{"m":"hi"}]"#,
        r#"[{"m":"nope"},{"m":"hi"}]"#,
        r#"[{"m":null},{"m":["hi"]},[{"m":"hi"}],{"m":"","x":1},true,{"m":"hi","m2":{}}]"#,
    ] {
        let mut a = server.open();
        a.send_text(text);
        a.expect("hi");
        a.expect("nq");
        a.nothing();
    }
}

/// Statement 13.
fn one_frame_many_messages(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.open();
        a.send(json!([{"m": "hi"}, {"m": "ch", "_id": room}]));
        let kinds: Vec<String> = (0..5)
            .map(|_| match a.read() {
                tutti_tests::mpp::Item::Json(value) => value["m"].as_str().unwrap_or("").to_owned(),
                binary => panic!("{binary}"),
            })
            .collect();
        assert_eq!(kinds, ["hi", "nq", "ch", "c", "nq"]);
        a.nothing();
    }
}

/// Statement 14.
fn a_message_over_the_limit_is_1009(plan: Plan) {
    let server = plan.start();
    let mut a = server.join(ROOMS[0]);
    let text = format!("[{{\"m\":\"a\",\"message\":\"{}\"}}]", "x".repeat(1 << 20));
    // The server may close while this is still being written.
    let _ = a.ws().send_text(&text);
    a.closed_with(1009);
    // The same in fragments, and with nothing but the announcement of a size.
    let mut b = server.join(ROOMS[1]);
    let _ = b.ws().send_fragmented(TEXT, text.as_bytes(), 8 * 1024);
    b.closed_with(1009);
    let mut c = server.join(ROOMS[2]);
    c.ws().send_raw(&[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]).expect("an open connection");
    c.closed_with(1009);
    // Just below the limit of 128 KiB everything is still fine: ignored, because the text is too long.
    let mut d = server.join(ROOMS[0]);
    d.say(&"x".repeat(128 * 1024 - 64));
    d.nothing();
}

/// Statement 15.
fn lone_surrogates_are_repaired(plan: Plan) {
    let server = plan.start();
    for (raw, name) in [
        (r"a\ud83d", "a\u{fffd}"),
        (r"\udc00b", "\u{fffd}b"),
        (r"\ud83d\ude00\ud83dx", "\u{1f600}\u{fffd}x"),
    ] {
        let mut a = server.join(raw);
        a.send_text(&format!("[{{\"m\":\"userset\",\"set\":{{\"name\":\"{raw}\"}}}}]"));
        assert_eq!(a.expect("p")["name"], name);
        a.nothing();
    }
}

/// Statement 16. Three minutes are sixty pings, or six at the default of 30 s; here a ping comes every 100 ms.
fn pings_keep_a_silent_client(plan: Plan) {
    let server = plan.set("limits.ping_ms", 100).set("limits.silence_ms", 400).start();
    let mut a = server.join(ROOMS[0]);
    let end = Instant::now() + Duration::from_secs(2);
    let mut pings = 0;
    while Instant::now() < end {
        match a.ws().read(end) {
            Some(Event::Ping(_)) => pings += 1,
            None => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(pings >= 6, "only {pings} pings");
    a.barrier();
}

/// Statement 16, the other side: whoever answers nothing is closed.
fn silence_is_4004(plan: Plan) {
    let server = plan.set("limits.ping_ms", 100).set("limits.silence_ms", 500).start();
    let mut b = server.join(ROOMS[0]);
    let mut a = server.join(ROOMS[0]);
    b.expect("p");
    a.ws().answer_pings(false);
    let start = Instant::now();
    while b.drain_kind("bye").is_empty() {
        assert!(start.elapsed() < WITHIN, "the silent one is still there");
        b.watch(Duration::from_millis(20));
    }
    assert!(start.elapsed() > Duration::from_millis(300), "closed after {:?}", start.elapsed());
    a.closed_with(4004);
    b.barrier();
}

/// Statement 17.
fn a_flood_is_4007(plan: Plan) {
    let server = plan.start();
    let mut other = server.join(ROOMS[0]);
    let mut a = server.join(ROOMS[0]);
    other.expect("p");
    for i in 0..5000 {
        // The server may have closed before the last of them.
        if !a.try_send(if i % 2 == 0 { "[{\"m\":\"nope\"}]" } else { "x" }) {
            break;
        }
    }
    let start = Instant::now();
    other.barrier();
    assert!(start.elapsed() < Duration::from_secs(2), "the other waited {:?}", start.elapsed());
    a.closed_with(4007);
    other.expect("bye");
    // Elements count one each, so a single frame can be too much as well; 1200 are not.
    let mut b = server.guest();
    b.send_text(&format!("[{}{{\"m\":\"t\"}}]", "{},".repeat(900)));
    b.expect("t");
    b.send_text(&format!("[{}0]", "0,".repeat(1500)));
    b.closed_with(4007);
    // So do empty fragments, which never make a message.
    let mut c = server.guest();
    for i in 0..5000 {
        if c.ws().send_frame(false, if i == 0 { TEXT } else { 0 }, b"").is_err() {
            break;
        }
    }
    c.closed_with(4007);
    other.barrier();
}

/// Statement 17, for bytes: 1 MiB in 10 s.
fn too_many_bytes_is_4002(plan: Plan) {
    let server = plan.start();
    let mut a = server.guest();
    let text = format!("[\"{}\"]", "x".repeat(100_000));
    for i in 0..20 {
        if !a.try_send(&text) {
            assert!(i >= 10, "closed after only {i} messages");
            break;
        }
    }
    a.closed_with(4002);
    server.guest().barrier();
}

/// Statement 17, the other side: what waits for another shard, as after each change of a name, counts once.
fn bytes_that_wait_count_once(plan: Plan) {
    let server = plan.start();
    let mut bytes = Vec::new();
    for i in 0..60 {
        let name = json!([{"m": "userset", "set": {"name": format!("name {i}")}}]).to_string();
        bytes.extend(frame(true, TEXT, name.as_bytes()));
    }
    for _ in 0..60 {
        bytes.extend(frame(true, TEXT, format!("[\"{}\"]", "x".repeat(800)).as_bytes()));
    }
    // Whether a member's record is on another shard is a matter of chance.
    for i in 0..8 {
        let mut a = server.join(&format!("room of waiter {i}"));
        a.ws().send_raw(&bytes).expect("it takes all");
        a.barrier();
    }
}

/// Statement 18.
fn a_slow_reader_costs_others_nothing(plan: Plan) {
    let server = plan.unlimited().start();
    let room = ROOMS[0];
    let mut player = server.join(room);
    let mut listener = server.join(room);
    let ws = server.socket_with(&Dial::default().recv_buffer(4096)).expect("an upgrade");
    let mut slow = Client::new(ws);
    slow.hi();
    slow.join(room);
    let slow_id = slow.id().to_owned();
    let notes: Vec<_> = (0..1500).map(|i| json!({"n": "c4", "v": 0.5, "d": i})).collect();
    let mut gone = false;
    let mut worst = Duration::ZERO;
    // The kernel takes some megabytes for the slow one before its outbox begins to fill.
    for _ in 0..400 {
        let sent = Instant::now();
        let t = now_ms();
        player.play(t, json!(notes));
        listener.expect_where("n", |n| n["t"].as_f64() == Some(t));
        worst = worst.max(sent.elapsed());
        if listener.drain().iter().any(|i| i.json("bye").is_some_and(|b| b["p"] == slow_id)) {
            gone = true;
            break;
        }
    }
    assert!(gone, "the slow reader is still in the room");
    assert!(worst < Duration::from_secs(1), "a note took {worst:?}");
    // It may be too late for a close frame to get through; if one does, it gives the reason.
    assert!(matches!(slow.ended(), Ended::Close(Some(4003)) | Ended::Cut));
    eventually("the player hears of it", || {
        player.barrier();
        player.drain_kind("bye").pop()
    });
}
