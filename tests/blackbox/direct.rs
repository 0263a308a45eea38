//! Statements 128 to 136: `dm` and `custom`.

use crate::ROOMS;
use serde_json::{Value, json};
use tutti_tests::mpp::{Client, now_ms};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    a_dm_is_between_two,
    a_dm_reaches_all_connections_of_both,
    a_dm_stays_in_the_room,
    custom_reaches_subscribers,
    custom_reaches_ids,
    custom_of_wrong_types_is_ignored,
    custom_can_be_global,
    custom_without_data_is_null,
    custom_has_a_quota,
    unsubscribing_ends_it,
);

fn trio(server: &Server, room: &str) -> [Client; 3] {
    let mut a = server.join(room);
    let mut b = server.join(room);
    let c = server.join(room);
    a.clear();
    b.clear();
    [a, b, c]
}

fn to_subscribed(data: Value) -> Value {
    json!({"m": "custom", "data": data, "target": {"mode": "subscribed"}})
}

/// Statement 128.
fn a_dm_is_between_two(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        a.send(
            json!({"m": "dm", "_id": b.id(), "message": " psst\u{202e} ", "reply_to": "9be01f72"}),
        );
        let (at_a, at_b) = (a.expect("dm"), b.expect("dm"));
        assert_eq!(at_a, at_b);
        assert_eq!(at_a["a"], "psst");
        assert_eq!(at_a["r"], "9be01f72");
        assert_eq!(at_a["sender"]["_id"], a.id());
        assert_eq!(at_a["recipient"]["_id"], b.id());
        assert!(
            at_a["sender"]["name"].is_string() && at_a["recipient"]["color"].is_string(),
            "{at_a}"
        );
        assert!((at_a["t"].as_f64().expect("a number") - now_ms()).abs() < 5000.0);
        assert!(at_a["id"].is_string());
        c.nothing();
        let mut d = server.guest();
        assert_eq!(d.join(room).c["c"], json!([]));
    }
}

/// Statement 128, for several connections of one user.
fn a_dm_reaches_all_connections_of_both(plan: Plan) {
    let server = plan.production().start();
    let mut from = [1, 1].map(|n| server.join_from(&format!("203.0.113.{n}"), ROOMS[0]));
    let mut to = [2, 2].map(|n| server.join_from(&format!("203.0.113.{n}"), ROOMS[0]));
    let mut other = server.join_from("203.0.113.3", ROOMS[0]);
    for client in from.iter_mut().chain(&mut to) {
        client.clear();
    }
    let target = to[0].id().to_owned();
    from[0].send(json!({"m": "dm", "_id": target, "message": "psst"}));
    for client in from.iter_mut().chain(&mut to) {
        assert_eq!(client.expect("dm")["a"], "psst");
        client.nothing();
    }
    other.nothing();
    // To oneself: once to each connection.
    let me = from[0].id().to_owned();
    from[0].send(json!({"m": "dm", "_id": me, "message": "note to self"}));
    for client in &mut from {
        client.expect("dm");
        client.nothing();
    }
    to[0].nothing();
}

/// Statement 129.
fn a_dm_stays_in_the_room(plan: Plan) {
    let server = plan.start();
    let [mut a, mut b, mut c] = trio(&server, ROOMS[1]);
    let mut other = server.join(ROOMS[2]);
    a.send(json!({"m": "dm", "_id": other.id(), "message": "psst"}));
    a.send(json!({"m": "dm", "_id": "0123456789abcdef01234567", "message": "psst"}));
    a.send(
        json!([{"m": "dm", "_id": 5, "message": "psst"}, {"m": "dm", "_id": b.id(), "message": 5}]),
    );
    for client in [&mut a, &mut b, &mut c] {
        client.nothing();
    }
    other.quiet();
}

/// Statement 130.
fn custom_reaches_subscribers(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        b.send(json!({"m": "+custom"}));
        b.barrier();
        let data = json!({"k": [1, "x", null, {"deep": 1.5}], "\u{1f3b9}": "\u{e9}"});
        a.send(to_subscribed(data.clone()));
        let custom = b.expect("custom");
        assert_eq!(custom["data"], data);
        assert_eq!(custom["p"], a.id());
        assert_eq!(custom["u"]["_id"], a.id());
        assert_eq!(custom["u"]["name"], "Anonymous");
        // Even a subscribed sender does not hear itself.
        a.send(json!({"m": "+custom"}));
        a.send(to_subscribed(json!(1)));
        assert_eq!(b.expect("custom")["data"], 1);
        for client in [&mut a, &mut c] {
            client.nothing();
        }
        // The subscription goes with the connection through rooms.
        b.join("elsewhere");
        b.join(room);
        a.clear();
        a.send(to_subscribed(json!(2)));
        assert_eq!(b.expect("custom")["data"], 2);
    }
}

/// Statement 131.
fn custom_reaches_ids(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let [mut a, mut b, mut c] = trio(&server, room);
        a.send(json!({"m": "custom", "data": 1, "target": {"mode": "id", "id": b.id()}}));
        assert_eq!(b.expect("custom")["p"], a.id());
        a.nothing();
        c.nothing();
        let ids = json!([b.id(), c.id(), a.id(), b.id(), "nobody"]);
        a.send(json!({"m": "custom", "data": 2, "target": {"mode": "ids", "ids": ids}}));
        for client in [&mut b, &mut c] {
            assert_eq!(client.expect("custom")["data"], 2);
            client.nothing();
        }
        a.nothing();
    }
}

/// Statement 132.
fn custom_of_wrong_types_is_ignored(plan: Plan) {
    let server = plan.start();
    let [mut a, mut b, mut c] = trio(&server, ROOMS[0]);
    b.send(json!({"m": "+custom"}));
    b.barrier();
    let id = b.id().to_owned();
    for target in [
        json!({"mode": "ids", "ids": vec![id.clone(); 33]}),
        json!({"mode": "ids", "ids": [5]}),
        json!({"mode": "ids", "ids": id}),
        json!({"mode": "ids"}),
        json!({"mode": "id"}),
        json!({"mode": "id", "id": 5}),
        json!({"mode": "everyone"}),
        json!({"mode": 5}),
        json!({"mode": "subscribed", "global": "yes"}),
        json!({}),
        json!("subscribed"),
        json!(null),
        json!([]),
    ] {
        a.send(json!({"m": "custom", "data": 1, "target": target}));
    }
    a.send(json!({"m": "custom", "data": 1}));
    for client in [&mut a, &mut b, &mut c] {
        client.nothing();
    }
    a.send(json!({"m": "custom", "data": 1, "target": {"mode": "ids", "ids": vec![id; 32]}}));
    b.expect("custom");
    b.nothing();
}

/// Statement 133.
fn custom_can_be_global(plan: Plan) {
    let server = plan.start();
    let mut far: Vec<Client> = ["lobby", ROOMS[1], ROOMS[2]].map(|room| server.join(room)).into();
    for client in &mut far {
        client.send(json!({"m": "+custom"}));
        client.barrier();
    }
    let mut deaf = server.join(ROOMS[1]);
    for client in &mut far {
        client.clear();
    }
    let mut a = server.join(ROOMS[0]);
    a.send(to_subscribed(json!("near")));
    a.send(json!({"m": "custom", "data": "far", "target": {"mode": "subscribed", "global": true}}));
    for client in &mut far {
        assert_eq!(client.read().json("custom").map(|c| c["data"].clone()), Some(json!("far")));
    }
    let id = deaf.id().to_owned();
    deaf.quiet();
    a.send(json!({"m": "custom", "data": "id", "target": {"mode": "id", "id": id}}));
    a.send(json!({"m": "custom", "data": "far id", "target": {"mode": "id", "id": id, "global": true}}));
    assert_eq!(deaf.read().json("custom").map(|c| c["data"].clone()), Some(json!("far id")));
    // From outside of any room only the global ones go (clarification 20).
    let mut outside = server.guest();
    outside.send(to_subscribed(json!("nowhere")));
    outside.send(
        json!({"m": "custom", "data": "out", "target": {"mode": "subscribed", "global": true}}),
    );
    for client in &mut far {
        assert_eq!(client.expect("custom")["data"], "out");
        client.nothing();
    }
    a.nothing();
}

/// Statement 134.
fn custom_without_data_is_null(plan: Plan) {
    let server = plan.start();
    let [mut a, mut b, _c] = trio(&server, ROOMS[1]);
    a.send(json!({"m": "custom", "target": {"mode": "id", "id": b.id()}}));
    let custom = b.expect("custom");
    assert_eq!(custom.get("data"), Some(&Value::Null), "{custom}");
}

/// Statement 135.
fn custom_has_a_quota(plan: Plan) {
    let server = plan.start();
    let [mut a, mut b, _c] = trio(&server, ROOMS[2]);
    b.send(json!({"m": "+custom"}));
    b.barrier();
    a.send(to_subscribed(json!("x".repeat(20 * 1024))));
    a.nothing();
    b.nothing();
    // What was dropped does not count (clarification 18); what was sent does.
    a.send(to_subscribed(json!("y".repeat(10_000))));
    b.expect("custom");
    a.send(to_subscribed(json!("z".repeat(10_000))));
    a.nothing();
    b.nothing();
    a.send(to_subscribed(json!("w".repeat(5_000))));
    b.expect("custom");
}

/// Statement 136.
fn unsubscribing_ends_it(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let [mut a, mut b, _c] = trio(&server, room);
        b.send(json!([{"m": "+custom"}, {"m": "+custom"}]));
        b.barrier();
        a.send(to_subscribed(json!(1)));
        b.expect("custom");
        b.send(json!({"m": "-custom"}));
        b.nothing();
        a.send(to_subscribed(json!(2)));
        a.barrier();
        b.nothing();
        a.send(json!({"m": "custom", "data": 3, "target": {"mode": "id", "id": b.id()}}));
        b.expect("custom");
    }
}
