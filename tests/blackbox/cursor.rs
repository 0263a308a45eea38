//! Statements 76 to 86: `m` and `userset`.

use crate::ROOMS;
use serde_json::{Value, json};
use std::time::Duration;
use tutti_tests::mpp::{Client, coordinate, person, whole_person};
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    moves_arrive_as_text,
    moves_of_wrong_types_are_ignored,
    moves_are_merged_and_the_last_arrives,
    positions_are_kept_for_those_who_come,
    everybody_hears_of_a_new_name,
    names_have_a_length,
    blank_names_are_skipped,
    bad_colours_are_skipped,
    a_user_in_two_rooms_is_renamed_in_both,
);

fn pair(server: &Server, room: &str) -> (Client, Client) {
    let mut a = server.join(room);
    let b = server.join(room);
    a.clear();
    (a, b)
}

/// Statements 76, 77.
fn moves_arrive_as_text(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        for (x, y, heard_x, heard_y) in [
            (json!(12.345), json!(0), ["12.35", "12.34"], "0.00"),
            (json!("41.20"), json!("73.05"), ["41.20", "41.20"], "73.05"),
            (json!(-3), json!("1e1"), ["-3.00", "-3.00"], "10.00"),
            (json!(1e9), json!(-1e300), ["10000.00", "10000.00"], "-10000.00"),
            (json!("0.00"), json!(50.25), ["0.00", "0.00"], "50.25"),
        ] {
            a.send(json!({"m": "m", "x": x, "y": y}));
            let m = b.expect("m");
            assert_eq!(m["id"], a.id());
            assert!(heard_x.iter().any(|heard| m["x"] == *heard), "{m}");
            assert_eq!(m["y"], heard_y, "{m}");
        }
        a.quiet_for(Duration::from_millis(150));
        b.nothing();
    }
}

/// Statement 78.
fn moves_of_wrong_types_are_ignored(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[0]);
    for x in [
        json!("abc"),
        json!(null),
        json!({}),
        json!([1]),
        json!(true),
        json!(""),
        json!("NaN"),
        json!("Infinity"),
    ] {
        a.send(json!({"m": "m", "x": x, "y": 1}));
        a.send(json!({"m": "m", "x": 1, "y": x}));
    }
    a.send(json!([{"m": "m", "x": 1}, {"m": "m", "y": 1}, {"m": "m"}]));
    a.barrier();
    b.quiet_for(Duration::from_millis(200));
    a.nothing();
}

/// Statement 79.
fn moves_are_merged_and_the_last_arrives(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        for i in 1..=20 {
            a.send(json!({"m": "m", "x": i, "y": 1}));
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut heard = Vec::new();
        while heard.last() != Some(&20.0) {
            heard.push(coordinate(&b.expect("m")["x"]));
        }
        assert!(heard.is_sorted(), "{heard:?}");
        assert!(heard.len() <= 20, "{heard:?}");
        b.quiet_for(Duration::from_millis(150));
        a.nothing();
        // At once they are at most a few.
        for i in 1..=20 {
            a.send(json!({"m": "m", "x": 100 + i, "y": 1}));
        }
        let mut heard = Vec::new();
        while heard.last() != Some(&120.0) {
            heard.push(coordinate(&b.expect("m")["x"]));
        }
        assert!(heard.len() < 20, "{heard:?}");
    }
}

/// Statement 80.
fn positions_are_kept_for_those_who_come(plan: Plan) {
    let server = plan.start();
    let (mut a, b) = pair(&server, ROOMS[1]);
    a.send(json!([{"m": "m", "x": 1, "y": 2}, {"m": "m", "x": "30.5", "y": 60}]));
    a.barrier();
    let mut c = server.guest();
    let ch = c.join(ROOMS[1]).ch;
    let at = |id: &str| {
        let p = person(&ch, id);
        (coordinate(&p["x"]), coordinate(&p["y"]))
    };
    assert_eq!(at(a.id()), (30.5, 60.0));
    assert_eq!(at(b.id()), (200.0, 100.0));
}

/// Statements 81, 82.
fn everybody_hears_of_a_new_name(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let (mut a, mut b) = pair(&server, room);
        a.send(json!({"m": "userset", "set": {"name": "Mira", "color": "#3fa9c4", "junk": 1}}));
        for client in [&mut a, &mut b] {
            let p = client.expect("p");
            whole_person(&p);
            assert_eq!((&p["name"], &p["color"]), (&json!("Mira"), &json!("#3fa9c4")));
        }
        a.nothing();
        b.nothing();
        a.send(json!({"m": "userset", "set": {"color": "#AABBCC"}}));
        let p = b.expect("p");
        assert_eq!(p["id"], a.id());
        assert_eq!(p["name"], "Mira");
        assert!(p["color"].as_str().is_some_and(|c| c.eq_ignore_ascii_case("#aabbcc")), "{p}");
        assert_eq!(a.expect("p"), p);
        a.send(json!({"m": "userset", "set": {"name": "Ben"}}));
        assert_eq!(b.expect("p")["color"], p["color"]);
        a.expect("p");
        // Chat of later carries it.
        a.say("it is me");
        assert_eq!(b.expect("a")["p"]["name"], "Ben");
    }
}

/// Statement 83.
fn names_have_a_length(plan: Plan) {
    let server = plan.start();
    let (mut a, mut b) = pair(&server, ROOMS[0]);
    for name in ["x".repeat(41), "\u{1f600}".repeat(21), "\u{e9}".repeat(41)] {
        a.send(json!({"m": "userset", "set": {"name": name}}));
    }
    a.nothing();
    b.nothing();
    for name in [
        "x".repeat(40),
        "\u{1f600}".repeat(20),
        "\u{e9}".repeat(40),
        format!("  {}  ", "y".repeat(40)),
    ] {
        a.send(json!({"m": "userset", "set": {"name": name}}));
        assert_eq!(b.expect("p")["name"], name.trim());
        a.expect("p");
    }
}

/// Statement 84.
fn blank_names_are_skipped(plan: Plan) {
    let server = plan.set("rate.profile", "{ count = 100, per_ms = 1000 }").start();
    let (mut a, mut b) = pair(&server, ROOMS[1]);
    a.send(json!({"m": "userset", "set": {"name": "Before"}}));
    a.expect("p");
    b.expect("p");
    for name in
        [json!(""), json!("   "), json!("\n"), json!("\u{202e}"), json!(5), json!(null), json!({})]
    {
        a.send(json!({"m": "userset", "set": {"name": name}}));
        a.nothing();
        b.nothing();
        a.send(json!({"m": "userset", "set": {"name": name, "color": "#123456"}}));
        let p = b.expect("p");
        assert_eq!((&p["name"], &p["color"]), (&json!("Before"), &json!("#123456")));
        a.expect("p");
        // A colour that changes nothing may or may not be told; one that does is.
        a.send(json!({"m": "userset", "set": {"color": "#654321"}}));
        b.expect_where("p", |p| p["color"] == "#654321");
        a.clear();
        b.clear();
    }
    for set in [Value::Null, json!(5), json!([]), json!("x"), json!({})] {
        a.send(json!({"m": "userset", "set": set}));
    }
    a.send(json!({"m": "userset", "name": "Wrong place"}));
    a.nothing();
    b.nothing();
}

/// Statement 85.
fn bad_colours_are_skipped(plan: Plan) {
    let server = plan.set("rate.profile", "{ count = 100, per_ms = 1000 }").start();
    let (mut a, mut b) = pair(&server, ROOMS[2]);
    for color in [
        json!("red"),
        json!("#12345"),
        json!("#1234567"),
        json!("#12345g"),
        json!("123456"),
        json!("#123"),
        json!(" #123456"),
        json!("#123456\n"),
        json!(0x12_3456),
        json!(null),
        json!(["#123456"]),
    ] {
        a.send(json!({"m": "userset", "set": {"color": color}}));
    }
    a.nothing();
    b.nothing();
    a.send(json!({"m": "userset", "set": {"color": "red", "name": "Good"}}));
    let p = b.expect("p");
    assert_eq!(p["name"], "Good");
    assert_eq!(p["color"], a.hello()["u"]["color"]);
}

/// Statement 86.
fn a_user_in_two_rooms_is_renamed_in_both(plan: Plan) {
    let server = plan.production().start();
    let mut mine: Vec<Client> = ROOMS.map(|room| server.join_from("203.0.113.7", room)).into();
    let mut theirs: Vec<Client> = ROOMS.map(|room| server.join_from("203.0.113.8", room)).into();
    for client in &mut mine {
        client.clear();
    }
    mine[0].send(json!({"m": "userset", "set": {"name": "Everywhere"}}));
    for client in theirs.iter_mut().chain(&mut mine) {
        let p = client.expect("p");
        assert_eq!(
            (&p["_id"], &p["name"]),
            (&json!("576f979d6c4de4037a104dc3"), &json!("Everywhere"))
        );
        client.nothing();
    }
}
