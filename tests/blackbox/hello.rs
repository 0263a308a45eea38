//! Statements 19 to 30: `hi`, identity, tokens.

use crate::ROOMS;
use serde_json::{Value, json};
use tutti_tests::mpp::{Client, now_ms};
use tutti_tests::server::Plan;
use tutti_tests::ws::Dial;

on_1_2_5_shards!(
    hi_is_answered,
    a_second_hi_shows_the_new_name,
    nothing_before_hi,
    devices_before_hi,
    identity_from_the_address,
    addresses_are_normalised,
    identity_of_each_socket,
    a_name_outlives_its_sockets,
    tokens_select_the_user,
    a_bad_token_is_no_offence,
    hi_fields_of_any_type,
    a_secret_is_made_and_kept,
);

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Statements 19, 20.
fn hi_is_answered(plan: Plan) {
    let server = plan.start();
    let mut a = server.open();
    a.send(json!({"m": "hi"}));
    let first = a.read();
    let hi = first.json("hi").unwrap_or_else(|| panic!("{first}"));
    assert!((hi["t"].as_f64().expect("a number") - now_ms()).abs() < 5000.0, "{hi}");
    let id = hi["u"]["_id"].as_str().expect("a string");
    assert!(is_hex(id, 24), "{hi}");
    assert_eq!(hi["u"]["id"], id, "{hi}");
    assert_eq!(hi["u"]["name"], "Anonymous");
    let color = hi["u"]["color"].as_str().expect("a string");
    assert_eq!(color, format!("#{}", &id[..6]), "the colour comes from the id");
    assert_eq!(hi["permissions"], json!({}));
    let second = a.read();
    let nq = second.json("nq").unwrap_or_else(|| panic!("{second}"));
    assert_eq!(*nq, json!({"m": "nq", "allowance": 400, "max": 1200, "maxHistLen": 3}));
    a.nothing();
}

/// Statement 21.
fn a_second_hi_shows_the_new_name(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut a = server.join(room);
        a.send(json!({"m": "userset", "set": {"name": "Mira", "color": "#3fa9c4"}}));
        a.expect("p");
        let id = a.id().to_owned();
        let hi = a.hi();
        assert_eq!(hi["u"]["name"], "Mira");
        assert_eq!(hi["u"]["color"], "#3fa9c4");
        assert_eq!(hi["u"]["_id"], id);
        a.nothing();
    }
}

/// Statement 22.
fn nothing_before_hi(plan: Plan) {
    let server = plan.start();
    let mut a = server.open();
    a.send(json!({"m": "ch", "_id": ROOMS[0]}));
    a.send(json!([{"m": "t", "e": 1}, {"m": "+ls"}, {"m": "a", "message": "x"}]));
    a.send(json!({"m": "userset", "set": {"name": "Early"}}));
    a.send(json!({"m": "custom", "data": 1, "target": {"mode": "subscribed", "global": true}}));
    a.quiet();
    assert_eq!(a.hi()["u"]["name"], "Anonymous");
    a.nothing();
    // The early `ch` made no room: whoever comes first is its creator.
    let mut b = server.guest();
    assert_eq!(b.join(ROOMS[0]).crown()["participantId"], b.id());
}

/// Statement 23.
fn devices_before_hi(plan: Plan) {
    let server = plan.start();
    let mut a = server.open();
    a.send(json!({"m": "devices", "list": []}));
    a.send(json!({"m": "devices", "list": [{"type": "input", "name": "keys", "volume": 1}]}));
    a.quiet();
    a.hi();
    a.nothing();
}

/// Statements 24, 25.
fn identity_from_the_address(plan: Plan) {
    let server = plan.production().start();
    for _ in 0..2 {
        let mut a = server.open();
        let hi = a.hi();
        assert_eq!(hi["u"]["_id"], "2feb538b0dc92b4ec09d1252");
        assert_eq!(hi["u"]["color"], "#2feb53");
    }
    let (a, b) = (server.guest_from("203.0.113.7"), server.guest_from("203.0.113.7"));
    assert_eq!((a.id(), b.id()), ("576f979d6c4de4037a104dc3", "576f979d6c4de4037a104dc3"));
    assert_eq!(a.hello()["u"]["color"], "#576f97");
}

/// Statement 24, with the clarifications on IPv6 networks and on forwarded addresses.
fn addresses_are_normalised(plan: Plan) {
    let server = plan.clone().production().start();
    let same = "576f979d6c4de4037a104dc3";
    assert_eq!(server.guest_from("::ffff:203.0.113.7").id(), same, "mapped");
    assert_eq!(server.guest_from("198.51.100.1, 203.0.113.7").id(), same, "right-most untrusted");
    assert_eq!(server.guest_from("203.0.113.7, 127.0.0.1").id(), same, "trusted hops are skipped");
    for address in ["2001:db8::1", "2001:db8:0:0:ffff::2"] {
        assert_eq!(server.guest_from(address).id(), "a9f61cd41199829a17f73c72", "{address}");
    }
    let real = server.socket_with(&Dial::default().header("X-Real-IP", "203.0.113.7"));
    assert_eq!(Client::new(real.expect("an upgrade")).hi()["u"]["_id"], same);
    let peer = "2feb538b0dc92b4ec09d1252";
    assert_eq!(server.guest_from("not an address").id(), peer);
    assert_eq!(
        server.guest_from("203.0.113.7, rubbish").id(),
        peer,
        "the nearest valid trusted hop"
    );
    // Without a trusted proxy nobody believes the header.
    let server = plan.production().set("trusted_proxies", "[]").start();
    assert_eq!(server.guest_from("203.0.113.7").id(), peer);
}

/// Statement 26.
fn identity_of_each_socket(plan: Plan) {
    let server = plan.start();
    let mut ids: Vec<String> = (0..8).map(|_| server.guest().id().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

/// Statement 27.
fn a_name_outlives_its_sockets(plan: Plan) {
    let server = plan.production().start();
    // Several users, so that their records lie on several shards.
    for n in 1..=4 {
        let address = format!("203.0.113.{n}");
        let mut a = server.join_from(&address, ROOMS[0]);
        a.send(json!({"m": "userset", "set": {"name": format!("Mira {n}"), "color": "#aabbcc"}}));
        a.expect("p");
        a.hang_up();
    }
    for n in 1..=4 {
        let a = server.guest_from(&format!("203.0.113.{n}"));
        assert_eq!(a.hello()["u"]["name"], format!("Mira {n}"));
        assert_eq!(a.hello()["u"]["color"], "#aabbcc");
    }
}

/// Statement 28.
fn tokens_select_the_user(plan: Plan) {
    let off = plan.clone().start();
    assert_eq!(off.guest().hello()["token"], Value::Null, "off by default in development");
    for plan in [plan.clone().set("tokens", true), plan.production()] {
        let server = plan.start();
        let mut a = server.join(ROOMS[0]);
        a.send(json!({"m": "userset", "set": {"name": "Token"}}));
        a.expect("p");
        let token = a.hello()["token"].as_str().expect("a token").to_owned();
        let (user, secret) = token.split_once('.').expect("two parts");
        assert_eq!((user, secret.len()), (a.id(), 43), "{token}");
        // The same user from elsewhere, while the first socket is open and after it is gone.
        for _ in 0..2 {
            let mut b = server.open();
            let hi = b.hi_with(json!({"m": "hi", "token": token}));
            assert_eq!(hi["u"]["_id"], a.id());
            assert_eq!(hi["u"]["name"], "Token");
            assert!(hi["token"].is_null() || hi["token"] == token.as_str(), "{hi}");
            a.barrier();
        }
    }
}

/// Statement 29.
fn a_bad_token_is_no_offence(plan: Plan) {
    let server = plan.production().start();
    let good =
        server.guest_from("203.0.113.7").hello()["token"].as_str().expect("a token").to_owned();
    let mut forged = good.clone().into_bytes();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("still text");
    let other_user = format!("{}{}", "0".repeat(24), &good[24..]);
    let long = "x".repeat(5000);
    for token in [
        json!("garbage"),
        json!(""),
        json!("."),
        json!(forged),
        json!(other_user),
        json!(long),
        json!(5),
        json!({}),
        json!(null),
        json!("576f979d6c4de4037a104dc3."),
        json!(["x"]),
    ] {
        let mut a = server.open_from("203.0.113.8");
        let hi = a.hi_with(json!({"m": "hi", "token": token}));
        let plain = server.guest_from("203.0.113.8");
        assert_eq!(hi["u"]["_id"], plain.id(), "{token}");
        assert!(hi["token"].is_string(), "a fresh token for {token}");
        a.barrier();
    }
}

/// Statement 30.
fn hi_fields_of_any_type(plan: Plan) {
    let server = plan.start();
    for value in
        [json!(1), json!("x"), json!(null), json!([1]), json!({"a": {}}), json!(true), json!(-1.5)]
    {
        let mut a = server.open();
        a.hi_with(json!({
            "m": "hi", "code": value, "login": value, "\u{1f408}": value, "customId": value, "extra": value,
        }));
        a.nothing();
    }
}

/// Statement 24, without salts: a secret is made in the data folder and kept over a restart.
fn a_secret_is_made_and_kept(plan: Plan) {
    let mut server = plan.production_without_salts().start();
    let before = server.guest_from("203.0.113.7").id().to_owned();
    assert_ne!(before, "576f979d6c4de4037a104dc3");
    server.restart();
    assert_eq!(server.guest_from("203.0.113.7").id(), before);
    assert_ne!(server.guest_from("203.0.113.8").id(), before);
}
