//! Whom operators keep out, and whose logins have failed too often.

use super::world::*;
use crate::{
    admission::Admission,
    config::{Config, HostCpus, RawConfig},
    doors::{Admissions, quic::frame::kind},
    gate::Gate,
    quic::Event,
    storage::{Ban, BanTarget},
};
use serde_json::json;
use std::sync::Arc;

/// A world whose sessions ask the door's own admission, with the default limits.
fn guarded() -> (World, Arc<Admission>) {
    let host = HostCpus { allowed: vec![0], parallelism: 1 };
    let defaults = Config::new(&RawConfig::default(), &host).expect("the defaults fit");
    let admission = Admissions::new(&defaults, &Arc::new(Gate::default())).quic;
    let given = admission.clone();
    (World::with(2, |_| {}, |session| session.admission = Some(given)), admission)
}

fn ban(target: BanTarget) -> Ban {
    Ban {
        channel: None,
        target,
        reason: String::new(),
        moderator: "test".to_owned(),
        since_ms: 0,
        until_ms: None,
    }
}

/// The user that a name stands for.
fn user_of(name: &str) -> BanTarget {
    let config = config(|_| {});
    BanTarget::User(config.auth.check("username", name, 0).expect("names may come in").user)
}

/// The last frame that a client was told on control, and how its connection was closed.
fn end(world: &mut World, client: Client) -> (u8, serde_json::Value, Option<u32>) {
    let (kind, payload) = world.control(client).pop().expect("something was said");
    (kind, payload, world.link(client).closed)
}

fn assert_removed(world: &mut World, client: Client) {
    let (kind, payload, closed) = end(world, client);
    assert_eq!((kind, &payload["code"], closed), (kind::GOODBYE, &json!(0x0c), Some(0x0c)));
}

#[test]
fn a_ban_ends_the_sessions_of_a_user_and_lets_no_other_of_theirs_in() {
    let (mut world, admission) = guarded();
    let (ann, bea) = (world.enter(0, "Ann"), world.enter(1, "Bea"));
    assert_eq!(world.expel(), 0);
    admission.gate().set_bans(vec![ban(user_of("Ann"))]);
    assert_eq!(world.expel(), 1);
    assert_removed(&mut world, ann);
    assert_eq!(world.link(bea).closed, None);
    let again = world.connect(1);
    world.hello(again, "Ann", &[]);
    let told: Vec<u8> = world.control(again).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(told, [kind::HELLO_ACK, kind::AUTH_FAILED, kind::GOODBYE]);
    assert_eq!(world.link(again).closed, Some(0x0c));
}

#[test]
fn whoever_moves_to_a_banned_address_is_sent_away() {
    let (mut world, admission) = guarded();
    let (ann, bea) = (world.enter(0, "Ann"), world.enter(1, "Bea"));
    admission.gate().set_bans(vec![ban(BanTarget::Address("203.0.113.3".parse().unwrap()))]);
    for (client, address) in [(ann, "203.0.113.3:1"), (bea, "203.0.113.4:1")] {
        let address = address.parse().unwrap();
        world.link(client).address = Some(address);
        world.event(client, Event::Moved { address });
    }
    assert_removed(&mut world, ann);
    assert_eq!(world.link(bea).closed, None);
}

/// Tries to log in as nobody; what the answer's code is.
fn fail(world: &mut World, client: Client) -> serde_json::Value {
    let auth = json!({ "method": "token", "credentials": "none" });
    world.send(client, CONTROL, kind::AUTH, auth);
    let failed = world.control(client).into_iter().find(|(kind, _)| *kind == kind::AUTH_FAILED);
    failed.expect("it fails").1["code"].clone()
}

#[test]
fn ten_failed_logins_of_an_address_in_a_minute_refuse_more_for_a_minute() {
    let (mut world, _) = guarded();
    let knock = |world: &mut World, address: &str| {
        let client = world.connect(0);
        world.link(client).address = Some(address.parse().unwrap());
        world.send(client, CONTROL, kind::HELLO, json!({ "version": 1, "capabilities": [] }));
        client
    };
    for _ in 0..5 {
        let client = knock(&mut world, "203.0.113.3:1");
        assert_eq!(fail(&mut world, client), 1003);
        assert_eq!(fail(&mut world, client), 1003);
    }
    // Right credentials, too; but nobody else is told so.
    let auth = json!({ "method": "username", "credentials": "Ann" });
    let client = knock(&mut world, "203.0.113.3:2");
    world.send(client, CONTROL, kind::AUTH, auth.clone());
    let (kind, payload, _) = end(&mut world, client);
    assert_eq!((kind, &payload["code"]), (kind::AUTH_FAILED, &json!(1006)));
    let other = knock(&mut world, "203.0.113.4:1");
    assert_eq!(fail(&mut world, other), 1003);
    world.pass(60_100);
    let later = knock(&mut world, "203.0.113.3:3");
    world.send(later, CONTROL, kind::AUTH, auth);
    assert!(world.control(later).iter().any(|(kind, _)| *kind == kind::AUTH_OK));
}

#[test]
fn failures_in_early_data_count_once_the_client_is_known_to_have_sent_it() {
    let (mut world, admission) = guarded();
    let address: std::net::SocketAddr = "203.0.113.3:1".parse().unwrap();
    let mut early = Vec::new();
    for _ in 0..5 {
        let client = world.arrive(0);
        world.link(client).address = Some(address);
        world.send(client, CONTROL, kind::HELLO, json!({ "version": 1, "capabilities": [] }));
        assert_eq!((fail(&mut world, client), fail(&mut world, client)).0, 1003);
        early.push(client);
    }
    let now = std::time::Duration::from_micros(world.now.mono_us);
    assert!(admission.may_guess(address.ip(), now), "anybody may have sent it");
    early.into_iter().for_each(|client| world.complete(client));
    assert!(!admission.may_guess(address.ip(), now));
}

#[test]
fn who_has_not_opened_control_is_told_nothing_there() {
    let mut world = World::new(1);
    let silent = world.connect(0);
    world.pass(10_100);
    assert_eq!(world.link(silent).closed, Some(0x04));
    assert!(!world.link(silent).received.contains_key(&CONTROL));
}
