use super::world::*;
use crate::{
    doors::quic::frame::kind,
    quic::{Event, StreamId},
};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_shards::Rate;

fn kinds(frames: &[(u8, Value)]) -> Vec<u8> {
    frames.iter().map(|(kind, _)| *kind).collect()
}

#[test]
fn the_handshake_comes_in_its_order_on_control() {
    let mut world = World::new(1);
    let ann = world.enter(0, "Ann");
    let control = world.control(ann);
    assert_eq!(
        kinds(&control),
        [kind::HELLO_ACK, kind::AUTH_OK, kind::SHARD_ASSIGNMENT],
        "{control:?}"
    );
    let (hello, ok, lanes) = (&control[0].1, &control[1].1, &control[2].1);
    assert_eq!((&hello["version"], &hello["num_shards"]), (&json!(1), &json!(8)));
    assert_eq!(hello["encoding"], "json");
    assert_eq!(hello["auth_methods"], json!(["username"]));
    assert_eq!((&ok["username"], &ok["rooms"]), (&json!("Ann"), &json!([1])));
    assert!(ok["user_id"].as_u64().unwrap() >= 1 << 52, "one without an account");
    for lane in 0..8u64 {
        let stream = lane * 4 + 3;
        assert_eq!(lanes["shard_streams"][lane as usize]["stream_id"], stream);
        let first = &world.news(ann, stream)[0];
        assert_eq!(first.0, kind::STREAM_OPEN);
        assert_eq!(first.1, json!({ "kind": "shard", "shard_id": lane }));
        if lane == 1 {
            assert_eq!(lanes["shard_streams"][1]["room_ids"], json!([1]));
        }
    }
}

#[test]
fn the_lobby_comes_without_being_asked_for() {
    for shards in [1, 3] {
        let mut world = World::new(shards);
        let ann = world.enter(usize::from(shards) - 1, "Ann");
        let lane = world.lane(ann, 1);
        assert_eq!(kinds(&lane), [kind::STREAM_OPEN, kind::ROOM_INIT]);
        let init = &lane[1].1;
        assert_eq!((&init["name"], &init["room_type"]), (&json!("lobby"), &json!("channel")));
        assert_eq!((&init["membership"], &init["member_count"]), (&json!(1), &json!(1)));
        assert_eq!(init["members"][0]["username"], "Ann");
        assert_eq!(init["members"][0]["door"], "quic");
        assert_eq!(init["role"], "member");
    }
}

#[test]
fn commands_sent_in_the_first_flight_are_done_after_the_login() {
    let mut world = World::new(2);
    let ann = world.connect(0);
    let room = world.number("garden");
    world.chat(ann, kind::JOIN_ROOM, json!({ "name": "garden" }));
    world.say(ann, room, "hi", "1");
    assert!(world.control(ann).is_empty(), "nothing is read before");
    world.hello(ann, "Ann", &[]);
    let control = world.control(ann);
    assert!(control.iter().any(|(kind, _)| *kind == kind::MESSAGE_ACK), "{control:?}");
}

#[test]
fn a_failed_login_leaves_nothing_behind() {
    let mut world = World::new(1);
    let ann = world.enter(0, "Ann");
    let other = world.connect(0);
    world.chat(other, kind::JOIN_ROOM, json!({ "name": "garden" }));
    for n in 1..=3 {
        world.hello(other, "ann", &[]);
        let control = world.control(other);
        let failed = control.iter().find(|(kind, _)| *kind == kind::AUTH_FAILED);
        assert_eq!(failed.unwrap().1["code"], 1012, "the name is in use");
        assert_eq!(world.link(other).closed.is_some(), n == 3);
    }
    assert_eq!(world.link(other).closed, Some(0x03));
    world.vanish(other);
    world.vanish(ann);
    let ben = world.enter(0, "Ann");
    assert!(kinds(&world.control(ben)).contains(&kind::AUTH_OK), "the name is free again");
}

#[test]
fn what_is_not_a_login_in_time_is_closed() {
    let mut world = World::new(1);
    let ann = world.connect(0);
    world.send(ann, CONTROL, kind::HELLO, json!({ "version": 1, "capabilities": [] }));
    world.pass(10_000);
    assert_eq!(world.link(ann).closed, Some(0x04));
    assert_eq!(kinds(&world.control(ann)), [kind::HELLO_ACK, kind::GOODBYE]);
}

#[test]
fn versions_and_methods_that_are_not_spoken_are_refused() {
    let mut world = World::with(1, |_| {}, |session| session.auth.names = false);
    let ann = world.connect(0);
    world.send(ann, CONTROL, kind::HELLO, json!({ "version": 7, "capabilities": [] }));
    let auth = json!({ "method": "username", "credentials": "Ann" });
    world.send(ann, CONTROL, kind::AUTH, auth);
    let control = world.control(ann);
    assert_eq!(control[0].1["version"], 1);
    assert_eq!((control[1].0, &control[1].1["code"]), (kind::AUTH_FAILED, &json!(1003)));
    let ben = world.connect(0);
    world.send(ben, CONTROL, kind::HELLO, json!({ "version": 0, "capabilities": [] }));
    let control = world.control(ben);
    assert_eq!(control[0].1["code"], 1013);
    assert_eq!(world.link(ben).closed, Some(0x02));
}

#[test]
fn unknown_frames_are_passed_over_and_the_17th_closes() {
    let mut world = World::new(1);
    let ann = world.enter(0, "Ann");
    world.control(ann);
    for _ in 0..16 {
        world.send(ann, CONTROL, 0x0f, json!({}));
    }
    let control = world.control(ann);
    assert_eq!(control.len(), 16);
    assert!(control.iter().all(|(_, error)| error["code"] == 1001 && error["context"] == "0x0f"));
    assert_eq!(world.link(ann).closed, None);
    world.send(ann, CONTROL, 0x0f, json!({}));
    assert_eq!(world.link(ann).closed, Some(0x02));
}

#[test]
fn frames_on_the_wrong_stream_are_refused() {
    let mut world = World::new(1);
    let ann = world.enter(0, "Ann");
    world.control(ann);
    world.send(ann, CONTROL, kind::SEND_MESSAGE, json!({}));
    assert_eq!(world.control(ann)[0].1["code"], 1020);
    world.chat(ann, kind::LIST_ROOMS, json!({}));
    world.control(ann);
    // A second chat stream, and something else on the first.
    world.send(ann, 10, kind::LIST_ROOMS, json!({}));
    assert_eq!(world.link(ann).stopped, [(10, 0x11)]);
    world.chat(ann, kind::MESSAGE_READ, json!({}));
    assert_eq!(world.link(ann).stopped, [(10, 0x11), (CHAT, 0x11)]);
    assert!(world.control(ann).iter().all(|(_, error)| error["code"] == 1020));
    assert_eq!(world.link(ann).closed, None);
    // After the end of the first another is welcome.
    world.send(ann, 14, kind::LIST_ROOMS, json!({}));
    world.end(ann, 14);
    world.send(ann, 18, kind::LIST_ROOMS, json!({}));
    assert_eq!(kinds(&world.control(ann)), [kind::ROOM_LIST; 2]);
}

#[test]
fn ends_of_control_are_the_end() {
    let mut world = World::new(1);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(0, "Ben"));
    world.end(ann, CONTROL);
    assert_eq!(world.link(ann).closed, Some(0x00));
    let left = world.lane(ben, 1);
    assert_eq!(left.last().unwrap().1["reason"], "left");
    world.event(ben, Event::Stopped { stream: StreamId(CONTROL), code: 0 });
    assert_eq!(world.link(ben).closed, Some(0x05));
    let eve = world.enter(0, "Eve");
    world.event(eve, Event::Stopped { stream: StreamId(7), code: 0 });
    assert_eq!(world.link(eve).closed, Some(0x02), "a lane that is stopped breaks the order");
}

#[test]
fn too_few_streams_for_the_lanes_end_it() {
    let mut world = World::new(1);
    let ann = world.connect(0);
    world.link(ann).opened_max = 7;
    world.hello(ann, "Ann", &[]);
    let control = world.control(ann);
    assert!(control.iter().any(|(_, error)| error["code"] == 1018), "{control:?}");
    assert_eq!(world.link(ann).closed, Some(0x08));
}

#[test]
fn early_data_is_answered_and_changes_nothing() {
    let mut world = World::new(2);
    let ben = world.enter(0, "Ben");
    world.lane(ben, 1);
    let ann = world.arrive(1);
    world.hello(ann, "Ann", &[]);
    world.say(ann, 1, "early", "1");
    let control = world.control(ann);
    assert_eq!(kinds(&control), [kind::HELLO_ACK, kind::AUTH_OK, kind::SHARD_ASSIGNMENT]);
    assert!(world.lane(ben, 1).is_empty(), "nobody sees anything yet");
    world.complete(ann);
    let seen = world.lane(ben, 1);
    assert_eq!(kinds(&seen), [kind::ROOM_USER_JOINED, kind::ROOM_MESSAGE]);
    // A replay ends without ever completing.
    let replay = world.arrive(0);
    world.hello(replay, "Eve", &[]);
    world.say(replay, 1, "again", "2");
    world.vanish(replay);
    assert!(world.lane(ben, 1).is_empty());
}

#[test]
fn a_goodbye_in_early_data_waits_for_the_handshake() {
    let mut world = World::new(1);
    let ben = world.enter(0, "Ben");
    world.lane(ben, 1);
    let ann = world.arrive(0);
    world.hello(ann, "Ann", &[]);
    world.send(ann, CONTROL, kind::GOODBYE, json!({ "reason": "that was all" }));
    assert_eq!(world.link(ann).closed, None, "anybody may have sent it");
    world.complete(ann);
    assert_eq!(world.link(ann).closed, Some(0));
    assert_eq!(world.control(ann).last().unwrap().0, kind::GOODBYE);
    assert!(world.lane(ben, 1).is_empty(), "she was never in");
}

#[test]
fn nobody_is_writing_before_they_are_in() {
    let mut world = World::new(1);
    let typing = json!({ "room_id": 1 });
    let ann = world.connect(0);
    world.send(ann, CONTROL, kind::TYPING, typing.clone());
    let refused = world.control(ann);
    assert_eq!((kinds(&refused), &refused[0].1["code"]), (vec![kind::ERROR], &json!(1002)));
    world.hello(ann, "Ann", &[]);
    world.control(ann);
    world.send(ann, CONTROL, kind::TYPING, typing.clone());
    assert!(world.control(ann).is_empty());
    // In early data it is dropped, as a datagram is.
    let ben = world.arrive(0);
    world.hello(ben, "Ben", &[]);
    world.control(ben);
    world.send(ben, CONTROL, kind::TYPING, typing);
    assert!(world.control(ben).is_empty());
}

#[test]
fn pings_are_answered_and_the_dead_are_given_up() {
    let mut world = World::new(1);
    let ann = world.connect(0);
    world.send(ann, CONTROL, kind::PING, json!({ "timestamp": 9 }));
    assert_eq!(world.control(ann), [(kind::PONG, json!({ "timestamp": 9 }))]);
    world.hello(ann, "Ann", &[]);
    world.control(ann);
    world.pass(26_000);
    assert_eq!(kinds(&world.control(ann)), [kind::PING]);
    world.pass(75_000);
    assert_eq!(world.link(ann).closed, Some(0x06));
}

#[test]
fn who_is_refused_too_often_is_flooding() {
    let mut world = World::with(1, |_| {}, |session| session.rates.messages = Rate::new(10, 2_000));
    let ann = world.enter(0, "Ann");
    world.control(ann);
    for n in 0..11 {
        world.say(ann, 1, "x", &format!("n{n}"));
    }
    let control = world.control(ann);
    let error = control.iter().find(|(kind, _)| *kind == kind::ERROR).unwrap();
    assert_eq!((&error.1["code"], &error.1["nonce"]), (&json!(1006), &json!("n10")));
    assert!(error.1["retry_after_ms"].as_u64().unwrap() > 0);
    assert!(kinds(&control).contains(&kind::THROTTLE));
    for n in 0..120 {
        world.say(ann, 1, "x", &format!("m{n}"));
    }
    assert_eq!(world.link(ann).closed, Some(0x09));
}

#[test]
fn a_client_that_does_not_read_a_lane_still_gets_the_others_until_it_is_too_slow() {
    let mut world = World::with(1, |_| {}, |session| session.outbox.bytes_max = 1 << 20);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(0, "Ben"));
    let garden = world.join(ann, "garden");
    world.join(ben, "garden");
    assert_ne!(garden % 8, 1, "another lane than the lobby's");
    world.link(ann).stuck.push(7);
    world.lane(ann, garden);
    world.say(ben, 1, "not read", "1");
    world.say(ben, garden, "read", "2");
    assert_eq!(kinds(&world.lane(ann, garden)), [kind::ROOM_MESSAGE]);
    world.pass(16_000);
    assert_eq!(world.link(ann).closed, Some(0x0a));
    assert_eq!(kinds(&world.control(ann)).last(), Some(&kind::GOODBYE));
    assert_eq!(world.link(ben).closed, None);
}

/// Where tokens are shown.
fn with_tokens() -> World {
    World::with(
        1,
        |_| {},
        |session| {
            session.auth = crate::doors::quic::auth::Auth {
                token: Some(crate::doors::quic::auth::TokenKey::Secret(SECRET.into())),
                ..Default::default()
            };
            session.dead_after = Duration::from_secs(100_000);
        },
    )
}

fn auth(exp: u64, sub: u64) -> Value {
    json!({ "method": "token", "credentials": token(exp, sub) })
}

/// A token that is about to end is not asked for before the session is in, and the time for that does not stand still:
/// whoever sent it in early data could keep a shard busy.
#[test]
fn early_data_with_a_token_at_its_end_waits_quietly() {
    let mut world = with_tokens();
    let now_s = world.now.wall_ms / 1_000;
    let ann = world.arrive(0);
    world.send(ann, CONTROL, kind::HELLO, json!({ "version": 1, "capabilities": [] }));
    world.send(ann, CONTROL, kind::AUTH, auth(now_s + 30, 42));
    assert_eq!(kinds(&world.control(ann))[1], kind::AUTH_OK);
    assert!(world.due_us(0).unwrap() > world.now.mono_us + 1_000_000, "{:?}", world.due_us(0));
    world.complete(ann);
    let control = world.control(ann);
    assert!(
        kinds(&control).contains(&kind::SERVER_COMMAND) || {
            world.pass(100);
            kinds(&world.control(ann)).contains(&kind::SERVER_COMMAND)
        }
    );
}

/// A session in which another token after the other is tried ends.
#[test]
fn tokens_are_not_tried_without_end() {
    let mut world = with_tokens();
    let now_s = world.now.wall_ms / 1_000;
    let ann = world.connect(0);
    world.send(ann, CONTROL, kind::HELLO, json!({ "version": 1, "capabilities": [] }));
    world.send(ann, CONTROL, kind::AUTH, auth(now_s + 1_000, 42));
    for n in 0..100 {
        world.send(ann, CONTROL, kind::AUTH, auth(now_s + 1_000 * (n % 2), 43));
    }
    assert_eq!(world.link(ann).closed, None);
    world.send(ann, CONTROL, kind::AUTH, auth(now_s, 42 + 1));
    assert_eq!(world.link(ann).closed, Some(0x09));
}

#[test]
fn a_token_is_renewed_or_ends_its_session() {
    let mut world = with_tokens();
    let now_s = world.now.wall_ms / 1_000;
    let ann = world.connect(0);
    world.send(ann, CONTROL, kind::HELLO, json!({ "version": 1, "capabilities": [] }));
    world.send(ann, CONTROL, kind::AUTH, auth(now_s + 100, 42));
    let ok = world.control(ann).into_iter().find(|(kind, _)| *kind == kind::AUTH_OK).unwrap();
    assert_eq!((&ok.1["user_id"], &ok.1["username"]), (&json!(42), &json!("Ann 42")));
    world.pass(41_000);
    let control = world.control(ann);
    let reauth = control.iter().find(|(kind, _)| *kind == kind::SERVER_COMMAND).unwrap();
    assert_eq!(reauth.1["command"], "reauth");
    world.send(ann, CONTROL, kind::AUTH, auth(now_s + 200, 43));
    assert_eq!(world.control(ann)[0].0, kind::AUTH_FAILED, "somebody else's");
    world.send(ann, CONTROL, kind::AUTH, auth(now_s + 200, 42));
    assert_eq!(world.control(ann)[0].0, kind::AUTH_OK);
    world.pass(200_000);
    assert_eq!(world.link(ann).closed, None, "leeway");
    world.pass(30_000);
    assert_eq!(world.link(ann).closed, Some(0x0b));
}

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn token(exp: u64, sub: u64) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use hmac::{KeyInit as _, Mac as _};
    let claims = json!({ "sub": sub.to_string(), "username": format!("Ann {sub}"), "exp": exp });
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let text =
        format!("{}.{}", part(json!({ "alg": "HS256" }).to_string()), part(claims.to_string()));
    let mut mac = <hmac::Hmac<sha2::Sha256>>::new_from_slice(SECRET).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
