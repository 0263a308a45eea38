//! Statements 63 to 75: `n` and the note quota.

use crate::ROOMS;
use serde_json::{Value, json};
use std::time::Duration;
use tutti_tests::mpp::{Client, now_ms};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    others_hear_notes,
    notes_of_wrong_types_are_ignored,
    notes_are_cleaned,
    crownsolo_is_for_the_holder,
    crownsolo_with_a_lying_crown_is_for_nobody,
    the_lobby_quota_refuses_and_refills,
    quota_is_not_refilled_by_rejoining,
    a_batch_over_every_quota,
    times_far_away_become_now,
    own_connections_hear_each_other,
);

fn pair(server: &Server, room: &str) -> (Client, Client) {
    let mut a = server.join(room);
    let b = server.join(room);
    a.clear();
    (a, b)
}

fn batch(n: usize) -> Value {
    json!((0..n).map(|_| json!({"n": "c4"})).collect::<Vec<_>>())
}

/// Statement 63.
fn others_hear_notes(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        let mut c = server.join(room);
        a.clear();
        b.clear();
        let t = now_ms().floor() + 0.5;
        let notes = json!([{"n": "c4", "v": 0.62}, {"n": "as-1", "d": 90, "s": 1}, {"n": "c7", "v": 1, "d": 120.5}]);
        a.play(t, notes.clone());
        for other in [&mut b, &mut c] {
            let n = other.expect("n");
            assert_eq!(n["p"], a.id());
            assert_eq!(n["t"].as_f64(), Some(t));
            let heard = n["n"].as_array().expect("an array");
            assert_eq!(heard.len(), 3);
            for (heard, sent) in heard.iter().zip(notes.as_array().expect("an array")) {
                assert_eq!(heard["n"], sent["n"]);
                for key in ["v", "d", "s"] {
                    assert_eq!(heard[key].as_f64(), sent[key].as_f64(), "{key} of {heard}");
                }
            }
        }
        a.nothing();
    }
}

/// Statement 64.
fn notes_of_wrong_types_are_ignored(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[0]);
    for message in [
        json!({"m": "n", "n": [{"n": "c4"}]}),
        json!({"m": "n", "t": null, "n": [{"n": "c4"}]}),
        json!({"m": "n", "t": "soon", "n": [{"n": "c4"}]}),
        json!({"m": "n", "t": now_ms()}),
        json!({"m": "n", "t": now_ms(), "n": {"n": "c4"}}),
        json!({"m": "n", "t": now_ms(), "n": "c4"}),
        json!({"m": "n", "t": now_ms(), "n": []}),
        json!({"m": "n", "t": now_ms(), "n": [5, null, "c4", [], {}, {"n": 5}]}),
    ] {
        a.send(message);
    }
    a.nothing();
    b.nothing();
}

/// Statements 65, 66, 67, 68, 69.
fn notes_are_cleaned(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[1]);
    let mut heard = |notes: Value| {
        a.play(now_ms(), notes);
        b.expect("n")["n"].take()
    };
    let only =
        heard(json!([{"n": "zz9"}, {"n": "c4", "v": 0.5}, {"n": "C4"}, {"n": "c8"}, {"n": "h1"}]));
    assert_eq!(only, json!([{"n": "c4", "v": 0.5}]));
    let v = heard(json!([
        {"n": "a4", "v": 1.27}, {"n": "a4", "v": "0.5"}, {"n": "a4", "v": -1}, {"n": "a4", "v": "loud"},
        {"n": "a4", "v": null}, {"n": "a4", "v": 0},
    ]));
    assert_eq!(v[0]["v"].as_f64(), Some(1.0));
    assert_eq!(v[1]["v"].as_f64(), Some(0.5));
    assert_eq!(v[2]["v"].as_f64(), Some(0.0));
    assert!(v[3]["v"].is_null() && v[4]["v"].is_null(), "{v}");
    assert_eq!(v[5]["v"].as_f64(), Some(0.0));
    let d = heard(json!([
        {"n": "a4", "d": -5}, {"n": "a4", "d": 700}, {"n": "a4", "d": 99999}, {"n": "a4", "d": "x"},
    ]));
    assert!(d[0]["d"].is_null() || d[0]["d"].as_f64() == Some(0.0), "{d}");
    assert_eq!(d[1]["d"].as_f64(), Some(700.0));
    assert_eq!(d[2]["d"].as_f64(), Some(10000.0));
    assert!(d[3]["d"].is_null());
    let s = heard(json!([
        {"n": "a4", "s": true}, {"n": "a4", "s": 1}, {"n": "a4", "s": "x"}, {"n": "a4", "s": 0},
        {"n": "a4", "s": false}, {"n": "a4", "s": null}, {"n": "a4", "s": ""},
    ]));
    for i in 0..3 {
        assert_eq!(s[i]["s"], 1, "{s}");
    }
    for i in 3..7 {
        assert!(s[i]["s"].is_null(), "{s}");
    }
    let extra = heard(json!([{"n": "c4", "v": 0.25, "x": 1, "m": "hi", "n2": [[]]}]));
    assert_eq!(extra, json!([{"n": "c4", "v": 0.25}]));
    // All 88 keys pass.
    let mut keys: Vec<String> = ["a-1", "as-1", "b-1"].map(str::to_owned).into();
    for octave in 0..7 {
        for key in ["c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b"] {
            keys.push(format!("{key}{octave}"));
        }
    }
    keys.push("c7".to_owned());
    let all = heard(json!(keys.iter().map(|key| json!({"n": key})).collect::<Vec<_>>()));
    let all: Vec<&str> =
        all.as_array().into_iter().flatten().filter_map(|n| n["n"].as_str()).collect();
    assert_eq!(all, keys);
}

/// Statement 70.
fn crownsolo_is_for_the_holder(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[2]);
    a.send(json!({"m": "chset", "set": {"crownsolo": true}}));
    a.expect("ch");
    b.expect("ch");
    b.play(now_ms(), batch(1));
    b.nothing();
    a.nothing();
    a.play(now_ms(), batch(1));
    assert_eq!(b.expect("n")["p"], a.id());
}

/// Statement 71.
fn crownsolo_with_a_lying_crown_is_for_nobody(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[0]);
    a.send(json!({"m": "chset", "set": {"crownsolo": true}}));
    a.send(json!({"m": "chown"}));
    a.clear();
    b.clear();
    a.play(now_ms(), batch(1));
    b.play(now_ms(), batch(1));
    b.barrier();
    a.nothing();
    b.nothing();
}

fn count_notes(client: &mut Client) -> usize {
    client.barrier();
    client.drain_kind("n").iter().map(|n| n["n"].as_array().map_or(0, Vec::len)).sum()
}

/// Statements 72, 73.
fn the_lobby_quota_refuses_and_refills(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, "lobby");
    a.play(now_ms(), batch(600));
    a.barrier();
    assert_eq!(count_notes(&mut b), 600);
    for _ in 0..30 {
        a.play(now_ms(), batch(10));
    }
    a.barrier();
    let more = count_notes(&mut b);
    // One allowance of slack, and one more if a tick of the clock fell between.
    assert!((200..=300).contains(&more), "{more} notes over the quota");
    let told = a.drain_kind("notification");
    assert_eq!(told.len(), usize::from(more < 300), "one notification at most: {told:?}");
    for notification in &told {
        assert_eq!(notification["class"], "short");
        assert_eq!(notification["duration"], 2000);
    }
    std::thread::sleep(Duration::from_millis(2500));
    for _ in 0..20 {
        a.play(now_ms(), batch(10));
    }
    a.barrier();
    assert_eq!(count_notes(&mut b), 200);
}

/// Statement 72, for those who come back (clarification 4): what was used stays used.
fn quota_is_not_refilled_by_rejoining(plan: Plan) {
    let server = plan.set("quota.tick_ms", 600_000).start();
    let (mut a, mut b) = pair(&server, "lobby");
    a.play(now_ms(), batch(600));
    a.play(now_ms(), batch(200));
    a.barrier();
    assert_eq!(count_notes(&mut b), 800, "the ceiling is max and one allowance");
    a.join("test/elsewhere");
    a.join("lobby");
    a.play(now_ms(), batch(100));
    a.barrier();
    assert_eq!(count_notes(&mut b), 0);
    a.expect("notification");
}

/// Statement 74.
fn a_batch_over_every_quota(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[1]);
    for _ in 0..5 {
        a.play(now_ms(), batch(2500));
    }
    a.barrier();
    b.nothing();
    let told = a.drain();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].json("notification").is_some(), "{told:?}");
    a.play(now_ms(), batch(1));
    assert_eq!(b.expect("n")["p"], a.id());
}

/// Statement 63, for clocks that are wrong: more than 10 s away means now.
fn times_far_away_become_now(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[2]);
    for t in [0.0, 1e300, -1e300, now_ms() + 60_000.0, now_ms() - 60_000.0] {
        a.play(t, batch(1));
        let heard = b.expect("n")["t"].as_f64().expect("a number");
        assert!((heard - now_ms()).abs() < 8_000.0, "{t} became {heard}");
    }
    let soon = now_ms().floor() + 5000.0;
    a.play(soon, batch(1));
    assert_eq!(b.expect("n")["t"].as_f64(), Some(soon));
}

/// Statement 75.
fn own_connections_hear_each_other(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let mut a = server.join_from("203.0.113.7", room);
        let mut b = server.join_from("203.0.113.7", room);
        a.nothing();
        a.play(now_ms(), json!([{"n": "c4", "v": 0.5}]));
        assert_eq!(b.expect("n")["p"], a.id());
        a.nothing();
        b.play(now_ms(), json!([{"n": "d4"}]));
        assert_eq!(a.expect("n")["n"][0]["n"], "d4");
        b.nothing();
    }
}
