//! Statements 108 to 116: `kickban` and `unban`.

use crate::ROOMS;
use serde_json::json;
use std::time::{Duration, Instant};
use tutti_tests::WITHIN;
use tutti_tests::mpp::Client;
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    a_kick_moves_the_target,
    a_ban_keeps_them_out,
    a_ban_ends,
    an_unban_ends_it,
    only_the_holder_bans,
    bans_of_wrong_types_are_ignored,
    long_bans_are_an_hour,
    bans_belong_to_their_room,
    all_connections_of_the_target_move,
    a_self_kick_by_the_classic_rule,
    a_self_kick_by_default,
    an_absent_target_is_banned,
);

fn pair(server: &Server, room: &str) -> (Client, Client) {
    let mut a = server.join(room);
    let b = server.join(room);
    a.clear();
    (a, b)
}

/// Sends a `ch` that is refused: a notification, and the holding area.
#[track_caller]
fn refused(client: &mut Client, room: &str) {
    client.send(json!({"m": "ch", "_id": room}));
    client.expect("notification");
    assert_eq!(client.joined().room(), "test/awkward");
}

/// Statement 108.
fn a_kick_moves_the_target(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        let mut c = server.join(room);
        a.clear();
        b.clear();
        a.send(json!({"m": "kickban", "_id": b.id(), "ms": 60000}));
        let told = b.expect("notification");
        assert_eq!(told["class"], "short");
        assert_eq!(told["target"], "#room");
        assert_eq!(told["duration"], 7000);
        let text = told["text"].as_str().expect("text");
        assert!(text.contains(&format!("\"{room}\"")) && text.contains('1'), "{told}");
        let joined = b.joined();
        assert_eq!((joined.room(), &joined.ch["p"]), ("test/awkward", &json!(b.id())));
        for client in [&mut a, &mut c] {
            assert_eq!(client.expect("bye")["p"], b.id());
            client.expect("notification");
            client.nothing();
        }
        b.nothing();
    }
}

/// Statement 109.
fn a_ban_keeps_them_out(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        a.send(json!({"m": "kickban", "_id": b.id(), "ms": 60000.75}));
        b.joined();
        refused(&mut b, room);
        a.expect("bye");
        a.expect("notification");
        a.clear();
        refused(&mut b, room);
        a.nothing();
        b.join("elsewhere");
    }
}

/// Statement 110.
fn a_ban_ends(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[0]);
    a.send(json!({"m": "kickban", "_id": b.id(), "ms": 1000}));
    b.joined();
    std::thread::sleep(Duration::from_millis(1100));
    b.join(ROOMS[0]);
    // A ban of no time at all is a kick.
    a.send(json!({"m": "kickban", "_id": b.id(), "ms": 0}));
    assert_eq!(b.joined().room(), "test/awkward");
    b.join(ROOMS[0]);
    // The newer ban replaces the older one.
    a.send(json!({"m": "kickban", "_id": b.id(), "ms": 600_000}));
    b.joined();
    a.clear();
    a.send(json!({"m": "kickban", "_id": b.id(), "ms": 1}));
    a.clear();
    std::thread::sleep(Duration::from_millis(50));
    b.join(ROOMS[0]);
}

/// Statement 111.
fn an_unban_ends_it(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        a.send(json!({"m": "kickban", "_id": b.id(), "ms": 600_000}));
        b.joined();
        a.expect("notification");
        a.clear();
        a.send(json!({"m": "unban", "_id": b.id()}));
        assert_eq!(a.expect("notification")["class"], "short");
        b.join(room);
        a.clear();
        a.send(json!({"m": "unban", "_id": b.id()}));
        a.nothing();
    }
}

/// Statement 112.
fn only_the_holder_bans(plan: Plan) {
    let server = plan.start();
    for room in [ROOMS[0], ROOMS[1], "lobby", "test/x"] {
        let (mut a, mut b) = pair(&server, room);
        b.send(json!({"m": "kickban", "_id": a.id(), "ms": 60000}));
        b.send(json!({"m": "unban", "_id": a.id()}));
        if room == "lobby" || room == "test/x" {
            a.send(json!({"m": "kickban", "_id": b.id(), "ms": 60000}));
            a.barrier();
        }
        b.nothing();
        a.nothing();
        b.quiet_for(Duration::from_millis(100));
    }
}

/// Statement 113.
fn bans_of_wrong_types_are_ignored(plan: Plan) {
    let server = plan.set("rate.ban", "{ count = 100, per_ms = 1000 }").start();
    let (mut a, mut b) = pair(&server, ROOMS[1]);
    for ms in [json!("60000"), json!(null), json!({}), json!([1]), json!(true)] {
        a.send(json!({"m": "kickban", "_id": b.id(), "ms": ms}));
    }
    a.send(json!({"m": "kickban", "_id": b.id()}));
    a.send(json!({"m": "kickban", "ms": 60000}));
    a.send(json!({"m": "kickban", "_id": 5, "ms": 60000}));
    a.send(json!({"m": "kickban", "_id": "0123456789abcdef01234567", "ms": 60000}));
    a.send(json!([{"m": "unban"}, {"m": "unban", "_id": 5}]));
    a.quiet();
    b.quiet_for(Duration::from_millis(100));
}

/// Statement 113, the other half.
fn long_bans_are_an_hour(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[2]);
    a.send(json!({"m": "kickban", "_id": b.id(), "ms": 1e12}));
    let told = b.expect("notification")["text"].as_str().expect("text").to_owned();
    assert!(told.contains("60"), "{told}");
    b.joined();
    refused(&mut b, ROOMS[2]);
    let deadline = Instant::now() + WITHIN;
    loop {
        b.send(json!({"m": "+ls"}));
        let ls = b.expect_where("ls", |ls| ls["c"] == true);
        let entry = ls["u"].as_array().into_iter().flatten().find(|u| u["_id"] == ROOMS[2]);
        if entry.is_some_and(|entry| entry["banned"] == true) {
            break;
        }
        assert!(Instant::now() < deadline, "{ls}");
        std::thread::sleep(Duration::from_millis(600));
    }
}

/// Statement 114.
fn bans_belong_to_their_room(plan: Plan) {
    let server = plan.start();
    let mut a = server.join(ROOMS[0]);
    let mut b = server.join(ROOMS[1]);
    let mut target = server.join(ROOMS[0]);
    a.send(json!({"m": "kickban", "_id": target.id(), "ms": 600_000}));
    target.joined();
    target.join(ROOMS[1]);
    b.send(json!({"m": "kickban", "_id": target.id(), "ms": 600_000}));
    target.joined();
    b.send(json!({"m": "unban", "_id": target.id()}));
    b.clear();
    target.join(ROOMS[1]);
    refused(&mut target, ROOMS[0]);
}

/// Statement 115.
fn all_connections_of_the_target_move(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let mut a = server.join_from("203.0.113.1", room);
        let mut b = server.join_from("203.0.113.2", room);
        let mut c = server.join_from("203.0.113.2", room);
        a.clear();
        a.send(json!({"m": "kickban", "_id": b.id(), "ms": 1}));
        for client in [&mut b, &mut c] {
            client.expect("notification");
            assert_eq!(client.joined().room(), "test/awkward");
        }
        assert_eq!(a.expect("bye")["p"], b.id());
        a.expect("notification");
        a.nothing();
        // They are one participant over there.
        let joined = c.enter(json!({"m": "ch", "_id": "test/awkward"}));
        assert_eq!(joined.ch["ppl"].as_array().map(Vec::len), Some(1), "{}", joined.ch);
        b.hang_up();
        c.hang_up();
    }
}

/// Statement 116, with `crown.on_leave = "drop"`.
fn a_self_kick_by_the_classic_rule(plan: Plan) {
    let server = plan.crown_drops().start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        a.send(json!({"m": "kickban", "_id": a.id(), "ms": 1000}));
        a.expect("notification");
        assert_eq!(a.joined().room(), "test/awkward");
        assert_eq!(b.expect("bye")["p"], a.id());
        let ch = b.expect("ch");
        assert!(ch["ch"]["crown"]["participantId"].is_null(), "{ch}");
        assert_eq!(ch["ch"]["crown"]["userId"], a.id());
        b.expect("notification");
    }
}

/// Statement 116, by default: the crown goes to the next.
fn a_self_kick_by_default(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        a.send(json!({"m": "kickban", "_id": a.id(), "ms": 1000}));
        a.expect("notification");
        assert_eq!(a.joined().room(), "test/awkward");
        assert_eq!(b.expect("bye")["p"], a.id());
        assert_eq!(b.expect("ch")["ch"]["crown"]["participantId"], b.id());
        b.expect("notification");
    }
}

/// Statement 109, for somebody who is connected but in another room: they are told, stay, and cannot come in.
fn an_absent_target_is_banned(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        let mut b = server.join(&format!("elsewhere than {room}"));
        a.send(json!({"m": "kickban", "_id": b.id(), "ms": 600_000}));
        a.expect("notification");
        b.expect("notification");
        b.barrier();
        b.lacks("ch");
        refused(&mut b, room);
        b.hang_up();
    }
}
