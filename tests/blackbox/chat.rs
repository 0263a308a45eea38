//! Statements 51 to 62: `a` and `c`.

use crate::ROOMS;
use serde_json::json;
use tutti_tests::mpp::{Client, clear_all, now_ms, whole_person};
use tutti_tests::server::Plan;

on_1_2_5_shards!(
    everybody_hears_chat,
    chat_length_counts_utf16,
    chat_is_cleaned,
    chat_of_wrong_types_is_ignored,
    replies_keep_their_reference,
    chat_can_be_switched_off,
    history_keeps_the_last_32,
    chat_is_limited,
    chat_stays_in_its_room,
);

/// A limit of lines that these tests do not reach.
const FAST: &str = "{ count = 1000, per_ms = 1000 }";

fn pair(plan: Plan, room: &str) -> (tutti_tests::server::Server, Client, Client) {
    let server = plan.set("rate.chat", FAST).set("rate.chat_holder", FAST).start();
    let mut a = server.join(room);
    let b = server.join(room);
    a.clear();
    (server, a, b)
}

/// Statement 51.
fn everybody_hears_chat(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        let mut b = server.join(room);
        a.clear();
        a.say("hello there");
        let (at_a, at_b) = (a.expect("a"), b.expect("a"));
        assert_eq!(at_a, at_b);
        assert_eq!(at_a["a"], "hello there");
        assert_eq!(at_a["p"]["_id"], a.id());
        for field in ["id", "_id", "name", "color"] {
            assert!(at_a["p"][field].is_string(), "{at_a}");
        }
        assert!((at_a["t"].as_f64().expect("a number") - now_ms()).abs() < 5000.0);
        let id = at_a["id"].as_str().expect("an id");
        assert!(id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert!(at_a["r"].is_null());
        b.say("hi");
        assert_ne!(a.expect("a")["id"], id, "ids differ");
        b.expect("a");
        clear_all(&mut [&mut a, &mut b]);
    }
}

/// Statements 52, 53, 54.
fn chat_length_counts_utf16(plan: Plan) {
    let (_server, mut a, mut b) = pair(plan, ROOMS[0]);
    for text in
        ["x".repeat(512), "\u{e9}".repeat(512), "\u{1f600}".repeat(256), "\u{4e2d}".repeat(512)]
    {
        a.say(&text);
        assert_eq!(b.expect("a")["a"], text);
        a.expect("a");
    }
    for text in ["x".repeat(513), "\u{e9}".repeat(513), "\u{1f600}".repeat(257)] {
        a.say(&text);
        a.nothing();
        b.nothing();
    }
}

/// Statements 55, 56.
fn chat_is_cleaned(plan: Plan) {
    let (_server, mut a, mut b) = pair(plan, ROOMS[1]);
    for text in ["", " ", "    ", "\n\t\r", "\u{202e}\u{200f}", "\u{7f}\u{9f}", "\u{2028}\u{2029} "]
    {
        a.say(text);
    }
    a.nothing();
    b.nothing();
    for (said, heard) in [
        ("one\u{202e}two\nthree", "onetwothree"),
        ("  trimmed \t", "trimmed"),
        ("\u{2066}a\u{2069}\u{0}b\u{85}", "ab"),
        (
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f}",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f}",
        ),
        ("<b>&\"'\\</b>", "<b>&\"'\\</b>"),
    ] {
        a.say(said);
        assert_eq!(b.expect("a")["a"], heard);
        a.expect("a");
    }
    a.send_text(r#"[{"m":"a","message":"lone \ud83d here"}]"#);
    assert_eq!(b.expect("a")["a"], "lone \u{fffd} here");
}

/// Statement 57.
fn chat_of_wrong_types_is_ignored(plan: Plan) {
    let (_server, mut a, mut b) = pair(plan, ROOMS[2]);
    for message in [json!(5), json!(null), json!(["x"]), json!({"a": 1}), json!(true)] {
        a.send(json!({"m": "a", "message": message}));
    }
    a.send(json!([{"m": "a"}, {"m": "a", "a": "x"}]));
    a.nothing();
    b.nothing();
}

/// Statement 58.
fn replies_keep_their_reference(plan: Plan) {
    let (_server, mut a, mut b) = pair(plan, ROOMS[0]);
    let long = "x".repeat(64);
    for reference in ["9be01f72", "a", "A-z_9", &long] {
        a.send(json!({"m": "a", "message": "yes", "reply_to": reference, "_id": "whatever"}));
        assert_eq!(b.expect("a")["r"], reference);
        assert_eq!(a.expect("a")["r"], reference);
    }
    let too_long = "x".repeat(65);
    for bad in
        [json!(""), json!(too_long), json!("a b"), json!("<i>"), json!(5), json!(null), json!({})]
    {
        a.send(json!({"m": "a", "message": "yes", "reply_to": bad}));
        assert!(b.expect("a")["r"].is_null(), "{bad}");
        a.expect("a");
    }
}

/// Statement 59.
fn chat_can_be_switched_off(plan: Plan) {
    let (server, mut a, mut b) = pair(plan, ROOMS[1]);
    a.send(json!({"m": "chset", "set": {"chat": false}}));
    assert_eq!(b.expect("ch")["ch"]["settings"]["chat"], false);
    a.expect("ch");
    a.say("unheard");
    b.say("unheard");
    a.nothing();
    b.nothing();
    let mut c = server.guest();
    assert_eq!(c.join(ROOMS[1]).c["c"], json!([]));
    a.send(json!({"m": "chset", "set": {"chat": true}}));
    b.expect("ch");
    b.say("heard");
    b.expect("a");
}

/// Statement 60. Ten people say four lines each: as much as the default rate allows at once.
fn history_keeps_the_last_32(plan: Plan) {
    let server = plan.start();
    let room = ROOMS[0];
    let mut crowd: Vec<Client> = (0..10).map(|_| server.join(room)).collect();
    for round in 0..4 {
        for (i, client) in crowd.iter_mut().enumerate() {
            let line = format!("line {}", round * 10 + i);
            client.say(&line);
            client.expect_where("a", |a| a["a"] == line.as_str());
        }
    }
    let mut c = server.guest();
    let joined = c.join(room);
    let history = joined.c["c"].as_array().expect("an array");
    let texts: Vec<&str> = history.iter().filter_map(|a| a["a"].as_str()).collect();
    let wanted: Vec<String> = (8..40).map(|i| format!("line {i}")).collect();
    assert_eq!(texts, wanted);
    for (i, line) in history.iter().enumerate() {
        assert_eq!(line["m"], "a");
        assert_eq!(line["p"]["_id"], crowd[(i + 8) % 10].id());
        assert!(line["t"].is_number() && line["id"].is_string(), "{line}");
    }
    // The writer's name of then stays, and everybody who is gone is still named.
    for client in crowd {
        client.hang_up();
    }
    let joined = c.enter(json!({"m": "ch", "_id": room}));
    assert_eq!(joined.c["c"].as_array().map(Vec::len), Some(32));
    whole_person(&joined.ch["ppl"][0]);
}

/// Statement 61.
fn chat_is_limited(plan: Plan) {
    let server = plan.start();
    let mut a = server.join(ROOMS[0]);
    let mut b = server.join(ROOMS[0]);
    a.clear();
    for i in 0..10 {
        b.say(&format!("burst {i}"));
    }
    b.barrier();
    let heard = b.drain_kind("a");
    // Four, and one more if the machine was slow enough for the bucket to fill.
    assert!((4..=5).contains(&heard.len()), "{} lines", heard.len());
    assert_eq!(heard[3]["a"], "burst 3");
    a.barrier();
    assert_eq!(a.drain_kind("a"), heard);
    // The holder may say ten.
    for i in 0..30 {
        a.say(&format!("holder {i}"));
    }
    a.barrier();
    let heard = a.drain_kind("a").len();
    assert!((10..=14).contains(&heard), "{heard} lines");
}

/// Statement 62.
fn chat_stays_in_its_room(plan: Plan) {
    let server = plan.start();
    let mut others: Vec<Client> =
        ["lobby", ROOMS[1], ROOMS[2]].map(|room| server.join(room)).into();
    let mut nowhere = server.guest();
    let mut a = server.join(ROOMS[0]);
    a.say("here");
    a.expect("a");
    nowhere.say("nowhere");
    nowhere.nothing();
    others.push(nowhere);
    for other in &mut others {
        other.nothing();
    }
    others[0].quiet();
}
