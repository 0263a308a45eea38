//! Statements 87 to 98: `chown`, and what happens when the holder leaves.

use crate::ROOMS;
use serde_json::{Value, json};
use std::time::Duration;
use tutti_tests::mpp::{Client, coordinate, now_ms};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    the_holder_gives,
    the_holder_drops,
    an_unknown_id_is_a_drop,
    others_wait_for_a_lying_crown,
    the_last_holder_takes_it_back_at_once,
    nobody_names_a_third,
    only_the_holder_gives,
    by_the_classic_rule_it_drops_when_the_holder_disconnects,
    by_the_classic_rule_it_drops_when_the_holder_changes_rooms,
    by_the_classic_rule_it_waits_for_its_holder,
    by_default_it_goes_to_the_eldest,
    by_default_it_is_not_given_back,
    lobbies_have_no_crown_to_give,
    a_dropped_crown_falls_at_the_cursor,
    passing_it_does_not_refill_the_quota,
);

fn trio(server: &Server, room: &str) -> [Client; 3] {
    let mut a = server.join(room);
    let mut b = server.join(room);
    let c = server.join(room);
    a.clear();
    b.clear();
    [a, b, c]
}

#[track_caller]
fn held_by(ch: &Value, id: &str) {
    let crown = &ch["ch"]["crown"];
    assert_eq!(crown["participantId"], id, "{ch}");
    assert_eq!(crown["userId"], id, "{ch}");
    positions(crown);
}

/// A crown that lies, dropped just now by `last`.
#[track_caller]
fn lies_since(ch: &Value, last: &str) {
    let crown = &ch["ch"]["crown"];
    assert!(crown["participantId"].is_null(), "{ch}");
    assert_eq!(crown["userId"], last, "{ch}");
    assert!((crown["time"].as_f64().expect("a time") - now_ms()).abs() < 5000.0, "{ch}");
    positions(crown);
}

#[track_caller]
fn positions(crown: &Value) {
    for end in ["startPos", "endPos"] {
        for axis in ["x", "y"] {
            assert!((0.0..=100.0).contains(&coordinate(&crown[end][axis])), "{crown}");
        }
    }
}

/// Statement 87.
fn the_holder_gives(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        let b_id = b.id().to_owned();
        a.send(json!({"m": "chown", "id": b_id}));
        for client in [&mut a, &mut b, &mut c] {
            let ch = client.expect("ch");
            held_by(&ch, &b_id);
            assert_eq!(ch["p"], client.id());
            assert_eq!(ch["ppl"].as_array().map(Vec::len), Some(3));
        }
        let nq = b.expect("nq");
        assert_eq!((&nq["allowance"], &nq["max"]), (&json!(600), &json!(1800)));
        let nq = a.expect("nq");
        assert_eq!((&nq["allowance"], &nq["max"]), (&json!(400), &json!(1200)));
        for client in [&mut a, &mut b, &mut c] {
            client.nothing();
        }
        // Giving it to oneself changes nothing.
        b.send(json!({"m": "chown", "id": b_id}));
        b.nothing();
        a.nothing();
    }
}

/// Statement 88.
fn the_holder_drops(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        let a_id = a.id().to_owned();
        a.send(json!({"m": "chown"}));
        for client in [&mut a, &mut b, &mut c] {
            lies_since(&client.expect("ch"), &a_id);
        }
        assert_eq!(a.expect("nq")["max"], 1200);
        // Once it lies, the last holder cannot drop it again (clarification 14).
        a.send(json!({"m": "chown"}));
        a.send(json!({"m": "chown", "id": "nobody"}));
        a.nothing();
        b.nothing();
        c.nothing();
    }
}

/// Statements 89, 97.
fn an_unknown_id_is_a_drop(plan: Plan) {
    let server = plan.start();
    let stranger = server.join("elsewhere");
    for (room, id) in [
        (ROOMS[0], json!("0123456789abcdef01234567")),
        (ROOMS[1], json!(stranger.id())),
        (ROOMS[2], json!("")),
    ] {
        let [mut a, mut b, _c] = trio(&server, room);
        a.send(json!({"m": "chown", "id": id}));
        for client in [&mut a, &mut b] {
            let ch = client.expect("ch");
            assert!(ch["ch"]["crown"]["participantId"].is_null(), "{ch}");
        }
        b.nothing();
    }
}

/// Statement 90. The default is 15 s; here it is 1 s.
fn others_wait_for_a_lying_crown(plan: Plan) {
    let server = plan.set("crown.pickup_ms", 1000).start();
    let [mut a, mut b, mut c] = trio(&server, ROOMS[0]);
    let b_id = b.id().to_owned();
    a.send(json!({"m": "chown"}));
    for client in [&mut a, &mut b, &mut c] {
        client.expect("ch");
        client.clear();
    }
    b.send(json!({"m": "chown", "id": b_id}));
    b.nothing();
    std::thread::sleep(Duration::from_millis(1100));
    b.send(json!({"m": "chown", "id": b_id}));
    for client in [&mut a, &mut b, &mut c] {
        held_by(&client.expect("ch"), &b_id);
    }
    assert_eq!(b.expect("nq")["max"], 1800);
    c.nothing();
}

/// Statement 91.
fn the_last_holder_takes_it_back_at_once(plan: Plan) {
    let server = plan.start();
    let [mut a, mut b, mut c] = trio(&server, ROOMS[1]);
    let (a_id, c_id) = (a.id().to_owned(), c.id().to_owned());
    a.send(json!({"m": "chown"}));
    a.send(json!({"m": "chown", "id": a_id}));
    for client in [&mut a, &mut b, &mut c] {
        lies_since(&client.expect("ch"), &a_id);
        held_by(&client.expect("ch"), &a_id);
    }
    // While it lies, its last holder may give it to somebody as well.
    a.send(json!({"m": "chown"}));
    a.send(json!({"m": "chown", "id": c_id}));
    for client in [&mut a, &mut b, &mut c] {
        client.expect("ch");
        held_by(&client.expect("ch"), &c_id);
    }
}

/// Statement 92.
fn nobody_names_a_third(plan: Plan) {
    let server = plan.set("crown.pickup_ms", 50).start();
    let [mut a, mut b, mut c] = trio(&server, ROOMS[2]);
    a.send(json!({"m": "chown"}));
    for client in [&mut a, &mut b, &mut c] {
        client.expect("ch");
        client.clear();
    }
    std::thread::sleep(Duration::from_millis(120));
    b.send(json!({"m": "chown", "id": c.id()}));
    b.send(json!({"m": "chown", "id": a.id()}));
    b.send(json!({"m": "chown"}));
    b.send(json!({"m": "chown", "id": 5}));
    for client in [&mut b, &mut a, &mut c] {
        client.nothing();
    }
}

/// Statement 93.
fn only_the_holder_gives(plan: Plan) {
    let server = plan.set("crown.pickup_ms", 1).start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        for id in [json!(b.id()), json!(c.id()), json!(a.id()), json!(null), json!("x")] {
            b.send(json!({"m": "chown", "id": id}));
        }
        b.send(json!({"m": "chown"}));
        for client in [&mut b, &mut a, &mut c] {
            client.nothing();
        }
    }
}

/// Statement 94, with `crown.on_leave = "drop"`.
fn by_the_classic_rule_it_drops_when_the_holder_disconnects(plan: Plan) {
    let server = plan.crown_drops().start();
    for (i, room) in ROOMS.into_iter().enumerate() {
        let [mut a, mut b, mut c] = trio(&server, room);
        let a_id = a.id().to_owned();
        match i {
            0 => a.hang_up(),
            1 => a.reset(),
            _ => a.send(json!({"m": "bye"})),
        }
        for client in [&mut b, &mut c] {
            assert_eq!(client.expect("bye")["p"], a_id.as_str());
            let ch = client.expect("ch");
            lies_since(&ch, &a_id);
            assert_eq!(ch["ppl"].as_array().map(Vec::len), Some(2));
            client.nothing();
        }
    }
}

/// Statement 95, with `crown.on_leave = "drop"`.
fn by_the_classic_rule_it_drops_when_the_holder_changes_rooms(plan: Plan) {
    let server = plan.crown_drops().start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        a.join("elsewhere");
        for client in [&mut b, &mut c] {
            assert_eq!(client.expect("bye")["p"], a.id());
            lies_since(&client.expect("ch"), a.id());
            client.nothing();
        }
    }
}

/// Statement 96, with `crown.on_leave = "drop"`.
fn by_the_classic_rule_it_waits_for_its_holder(plan: Plan) {
    let server = plan.crown_drops().start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        a.join("elsewhere");
        b.expect("bye");
        lies_since(&b.expect("ch"), a.id());
        c.clear();
        held_by(&a.join(room).ch, a.id());
        for client in [&mut b, &mut c] {
            assert_eq!(client.expect("p")["id"], a.id());
            held_by(&client.expect("ch"), a.id());
            client.nothing();
        }
    }
}

/// Statements 94, 95, by default: the crown goes to whoever has been in the room longest.
fn by_default_it_goes_to_the_eldest(plan: Plan) {
    let server = plan.start();
    for (i, room) in ROOMS.into_iter().enumerate() {
        let [mut a, mut b, mut c] = trio(&server, room);
        let (a_id, b_id, c_id) = (a.id().to_owned(), b.id().to_owned(), c.id().to_owned());
        match i {
            0 => a.hang_up(),
            1 => a.reset(),
            _ => {
                a.join("elsewhere");
            }
        }
        for client in [&mut b, &mut c] {
            assert_eq!(client.expect("bye")["p"], a_id.as_str());
            held_by(&client.expect("ch"), &b_id);
        }
        assert_eq!(b.expect("nq")["max"], 1800);
        b.nothing();
        c.nothing();
        // Joining again does not count as having been there all the time.
        let mut d = server.join(room);
        b.clear();
        c.clear();
        b.join("elsewhere");
        held_by(&c.expect("ch"), &c_id);
        held_by(&d.expect("ch"), &c_id);
        b.join(room);
        c.hang_up();
        let d_id = d.id().to_owned();
        held_by(&d.expect("ch"), &d_id);
        held_by(&b.expect("ch"), &d_id);
    }
}

/// Statement 96, by default: the old holder returns as one of many.
fn by_default_it_is_not_given_back(plan: Plan) {
    let server = plan.start();
    let [mut a, mut b, mut c] = trio(&server, ROOMS[0]);
    a.join("elsewhere");
    held_by(&b.expect("ch"), b.id());
    held_by(&a.join(ROOMS[0]).ch, b.id());
    b.clear();
    c.clear();
    b.quiet_for(Duration::from_millis(100));
    // A crown that its holder dropped by hand, though, lies and waits for them.
    b.send(json!({"m": "chown"}));
    lies_since(&c.expect("ch"), b.id());
    b.clear();
    b.join("elsewhere");
    c.expect("bye");
    c.clear();
    held_by(&b.join(ROOMS[0]).ch, b.id());
    held_by(&c.expect("ch"), b.id());
}

/// Statement 98.
fn lobbies_have_no_crown_to_give(plan: Plan) {
    let server = plan.start();
    for room in ["lobby", "test/x", "lobby5"] {
        let [mut a, mut b, mut c] = trio(&server, room);
        a.send(json!({"m": "chown", "id": a.id()}));
        a.send(json!({"m": "chown", "id": b.id()}));
        a.send(json!({"m": "chown"}));
        for client in [&mut a, &mut b, &mut c] {
            client.nothing();
        }
    }
}

/// Statement 88, where it falls: from the holder's cursor, 25 lower, and kept inside.
fn a_dropped_crown_falls_at_the_cursor(plan: Plan) {
    let server = plan.start();
    let [mut a, mut b, _c] = trio(&server, ROOMS[1]);
    let a_id = a.id().to_owned();
    for (at, start, end) in [
        (json!({"m": "m", "x": 30, "y": 40}), (30.0, 40.0), (30.0, 65.0)),
        (json!({"m": "m", "x": 99, "y": 90}), (99.0, 90.0), (90.0, 95.0)),
        (json!({"m": "m", "x": 200, "y": 40}), (50.0, 50.0), (50.0, 75.0)),
    ] {
        a.send(json!([at, {"m": "chown"}, {"m": "chown", "id": a_id}]));
        let ch = b.expect("ch");
        let crown = &ch["ch"]["crown"];
        let place = |end: &str| (coordinate(&crown[end]["x"]), coordinate(&crown[end]["y"]));
        assert_eq!((place("startPos"), place("endPos")), (start, end), "{crown}");
        held_by(&b.expect("ch"), &a_id);
    }
}

/// Statement 87, for the quota (clarification 4): what was used stays used.
fn passing_it_does_not_refill_the_quota(plan: Plan) {
    let server = plan.set("quota.tick_ms", 600_000).start();
    let [mut a, mut b, mut c] = trio(&server, ROOMS[2]);
    let notes: Vec<_> = (0..600).map(|_| json!({"n": "c4"})).collect();
    for _ in 0..4 {
        a.play(now_ms(), json!(notes));
    }
    a.send(json!({"m": "chown", "id": b.id()}));
    b.expect("nq");
    b.send(json!({"m": "chown", "id": a.id()}));
    a.expect_where("nq", |nq| nq["max"] == 1800);
    a.play(now_ms(), json!(notes));
    a.barrier();
    c.barrier();
    assert_eq!(c.drain_kind("n").len(), 4);
}
