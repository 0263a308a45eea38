//! Statements 99 to 107: `chset`.

use crate::ROOMS;
use serde_json::{Value, json};
use tutti_tests::mpp::{Client, person};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    everybody_hears_of_new_settings,
    only_the_holder_sets,
    lobbies_stay_as_they_are,
    sets_of_wrong_types_are_ignored,
    bad_keys_are_skipped,
    an_echo_of_everything_is_fine,
    limits_are_numbers_in_range,
    outer_colours_follow,
    a_full_room_sends_people_away,
);

/// A rate that these tests do not reach.
const FAST: &str = "{ count = 1000, per_ms = 1000 }";

fn pair(server: &Server, room: &str) -> (Client, Client) {
    let mut a = server.join(room);
    let b = server.join(room);
    a.clear();
    (a, b)
}

/// Sends a `chset` and returns the settings that both see.
#[track_caller]
fn set(a: &mut Client, b: &mut Client, set: Value) -> Value {
    a.send(json!({"m": "chset", "set": set}));
    let (at_a, at_b) = (a.expect("ch"), b.expect("ch"));
    assert_eq!(at_a["ch"]["settings"], at_b["ch"]["settings"]);
    at_b["ch"]["settings"].clone()
}

/// Statement 99.
fn everybody_hears_of_new_settings(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        a.send(json!({"m": "chset", "set": {"color": "#204060"}}));
        for client in [&mut a, &mut b] {
            let ch = client.expect("ch");
            assert_eq!(ch["ch"]["settings"]["color"], "#204060");
            assert_eq!(ch["p"], client.id(), "each with its own id");
            assert_eq!(ch["ch"]["count"], 2);
            person(&ch, client.id());
            client.nothing();
        }
    }
}

/// Statement 100.
fn only_the_holder_sets(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        b.send(json!({"m": "chset", "set": {"color": "#204060"}}));
        b.nothing();
        a.nothing();
        // Nor does anybody while the crown lies.
        a.send(json!([{"m": "chown"}, {"m": "chset", "set": {"color": "#204060"}}]));
        let ch = b.expect("ch");
        assert_eq!(ch["ch"]["settings"]["color"], "#3b5054");
        b.nothing();
    }
}

/// Statement 101.
fn lobbies_stay_as_they_are(plan: Plan) {
    let server = plan.start();
    for room in ["lobby", "test/x"] {
        let (mut a, mut b) = pair(&server, room);
        a.send(json!({"m": "chset", "set": {"color": "#204060", "chat": false}}));
        a.nothing();
        b.nothing();
    }
}

/// Statement 102.
fn sets_of_wrong_types_are_ignored(plan: Plan) {
    let server = plan.set("rate.settings", FAST).start();
    let (mut a, mut b) = pair(&server, ROOMS[0]);
    for set in [
        json!(null),
        json!(5),
        json!([]),
        json!([{"chat": false}]),
        json!("x"),
        json!({}),
        json!(true),
    ] {
        a.send(json!({"m": "chset", "set": set}));
    }
    a.send(json!({"m": "chset"}));
    a.nothing();
    b.nothing();
}

/// Statement 103.
fn bad_keys_are_skipped(plan: Plan) {
    let server = plan.set("rate.settings", FAST).start();
    let (mut a, mut b) = pair(&server, ROOMS[1]);
    let before = set(&mut a, &mut b, json!({"noindex": true}));
    let after = set(
        &mut a,
        &mut b,
        json!({
            "color": "red", "crownsolo": 1, "chat": null, "visible": "maybe", "limit": {}, "junk": true,
            "__proto__": {}, "minOnlineTime": -1, "noindex": false,
        }),
    );
    let mut wanted = before;
    wanted["noindex"] = json!(false);
    assert_eq!(after, wanted);
    let texts =
        set(&mut a, &mut b, json!({"crownsolo": "true", "chat": "false", "no cussing": true}));
    assert_eq!(texts["crownsolo"], true);
    assert_eq!(texts["chat"], false);
    assert_eq!(texts["no cussing"], true);
    a.send(json!({"m": "chset", "set": {"lobby": true, "owner_id": "x", "junk": 1, "color": 5}}));
    a.nothing();
    b.nothing();
}

/// Statement 104.
fn an_echo_of_everything_is_fine(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        let mut wanted =
            set(&mut a, &mut b, json!({"limit": 30, "color": "#101010", "color2": "#202020"}));
        wanted["crownsolo"] = json!(true);
        let mut echo = wanted.clone();
        echo["lobby"] = json!(false);
        echo["owner_id"] = json!("x");
        assert_eq!(set(&mut a, &mut b, echo), wanted);
    }
}

/// Statement 105.
fn limits_are_numbers_in_range(plan: Plan) {
    let server = plan.set("rate.settings", FAST).start();
    let (mut a, mut b) = pair(&server, ROOMS[2]);
    assert_eq!(set(&mut a, &mut b, json!({"limit": "7"}))["limit"], 7);
    for bad in
        [json!(100), json!(-1), json!("100"), json!("x"), json!(""), json!(1e300), json!(null)]
    {
        a.send(json!({"m": "chset", "set": {"limit": bad}}));
        a.barrier();
        for ch in a.drain_kind("ch") {
            assert_eq!(ch["ch"]["settings"]["limit"], 7, "{bad}");
        }
    }
    b.clear();
    for (good, is) in [(json!(0), 0), (json!(99), 99), (json!("50"), 50)] {
        assert_eq!(set(&mut a, &mut b, json!({"limit": good}))["limit"], is);
    }
}

/// Statement 106.
fn outer_colours_follow(plan: Plan) {
    let server = plan.set("rate.settings", FAST).start();
    let (mut a, mut b) = pair(&server, ROOMS[0]);
    let first = set(&mut a, &mut b, json!({"color": "#111111", "color2": "#001014"}));
    assert!(first["color2"].is_null(), "the old outer colour is gone: {first}");
    let second = set(&mut a, &mut b, json!({"color": "#222222", "color2": "#333333"}));
    assert_eq!(second["color2"], "#333333");
    let third = set(&mut a, &mut b, json!({"color": "#222222", "crownsolo": true}));
    assert_eq!(third["color2"], "#333333", "an unchanged colour leaves it");
    let fourth = set(&mut a, &mut b, json!({"color": "#444444"}));
    assert!(fourth["color2"].is_null(), "{fourth}");
    let fifth = set(&mut a, &mut b, json!({"color2": "#555555"}));
    assert_eq!((&fifth["color"], &fifth["color2"]), (&json!("#444444"), &json!("#555555")));
}

/// Statement 107.
fn a_full_room_sends_people_away(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        a.send(json!({"m": "chset", "set": {"limit": 1}}));
        a.expect("ch");
        let mut b = server.guest();
        b.send(json!({"m": "ch", "_id": room}));
        let told = b.expect("notification");
        assert!(told["text"].is_string() || told["html"].is_string(), "{told}");
        let joined = b.joined();
        assert_eq!(joined.room(), "test/awkward");
        assert_eq!(joined.settings()["lobby"], true);
        a.nothing();
        a.send(json!({"m": "chset", "set": {"limit": 2}}));
        a.expect("ch");
        assert_eq!(b.join(room).ch["ch"]["count"], 2);
        b.hang_up();
    }
}
