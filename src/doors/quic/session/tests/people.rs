//! How people look, and whether they are there.

use super::world::*;
use crate::doors::quic::frame::kind;
use serde_json::{Value, json};
use tutti_shards::{Command, UserName};

fn answer(control: &[(u8, Value)], nonce: &str) -> (u8, Value) {
    let found = control.iter().find(|(_, payload)| payload["nonce"] == nonce);
    found.unwrap_or_else(|| panic!("no answer {nonce}: {control:?}")).clone()
}

fn look(world: &mut World, client: Client, payload: Value) -> (u8, Value) {
    world.control(client);
    let mut payload = payload;
    payload["nonce"] = json!("look");
    world.chat(client, kind::SET_PROFILE, payload);
    answer(&world.control(client), "look")
}

/// What a client was told in datagrams since this was asked last.
fn datagrams(world: &mut World, client: Client) -> Vec<(u8, Value)> {
    std::mem::take(&mut world.link(client).datagrams).iter().flat_map(|one| frames(one)).collect()
}

fn signal(world: &mut World, client: Client, kind: u8, payload: Value) {
    world.send_datagram(client, frame(kind, &payload));
}

fn two_in_a_room(shards: u16, owner: usize) -> (World, Client, Client, u64) {
    let mut world = World::new(shards);
    let name = world.room_on(owner);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(usize::from(shards) - 1, "Ben"));
    let room = world.join(ann, &name);
    world.join(ben, &name);
    (world, ann, ben, room)
}

#[test]
fn a_new_name_is_shown_in_all_rooms_and_said_under_at_once() {
    for (shards, owner) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
        let (mut world, ann, ben, room) = two_in_a_room(shards, owner);
        let piano = world.piano(&world.room_on(owner).clone());
        world.piano_news(piano);
        world.lane(ben, room);
        world.lane(ben, 1);
        let wish = json!({ "username": "Anna", "color": "#102030", "nonce": "look" });
        let mut bytes = frame(kind::SET_PROFILE, &wish);
        let said = json!({ "room_id": room, "content": "hi", "nonce": "1" });
        bytes.extend(frame(kind::SEND_MESSAGE, &said));
        world.write(ann, CHAT, &bytes);
        assert_eq!(answer(&world.control(ann), "look").0, kind::COMMAND_OK);
        let lane = world.lane(ben, room);
        let updated = lane.iter().find(|(kind, _)| *kind == kind::ROOM_USER_UPDATED).unwrap();
        let user = &updated.1["user"];
        assert_eq!((&user["username"], &user["color"]), (&json!("Anna"), &json!("#102030")));
        let said = lane.iter().find(|(kind, _)| *kind == kind::ROOM_MESSAGE).unwrap();
        assert_eq!(said.1["sender"]["username"], "Anna", "said behind it");
        let lobby = world.lane(ben, 1);
        assert!(lobby.iter().any(|(kind, _)| *kind == kind::ROOM_USER_UPDATED), "{lobby:?}");
        let seen = world.piano_news(piano);
        assert!(seen.contains("\"name\":\"Anna\""), "{seen}");
    }
}

#[test]
fn a_name_is_one_connections_and_free_again_when_it_is_given_up() {
    for shards in [1, 2, 3] {
        let (mut world, ann, ben, _) = two_in_a_room(shards, 0);
        assert_eq!(look(&mut world, ben, json!({ "username": "ann" })).1["code"], 1012);
        assert_eq!(look(&mut world, ann, json!({ "username": "Carl" })).0, kind::COMMAND_OK);
        let carl = world.enter(0, "carl");
        assert_eq!(answer_code(&world.control(carl)), 1012, "who logs in finds it taken");
        assert_eq!(look(&mut world, ben, json!({ "username": "CARL" })).1["code"], 1012);
        assert_eq!(look(&mut world, ben, json!({ "username": "Ann" })).0, kind::COMMAND_OK);
        let other = world.enter(0, "Ben");
        assert_eq!(answer_code(&world.control(other)), 1012, "its user is still there");
        world.vanish(ben);
        world.vanish(other);
        let again = world.enter(0, "Ben");
        assert!(world.control(again).iter().any(|(kind, _)| *kind == kind::AUTH_OK));
        for client in [ann, carl, again] {
            world.vanish(client);
        }
        world.pass(10_000);
        world.verify_empty();
        assert_eq!(world.names_kept(), 0, "no name is kept for nobody");
    }
}

fn answer_code(control: &[(u8, Value)]) -> u64 {
    let failed = control.iter().find(|(kind, _)| *kind == kind::AUTH_FAILED);
    failed.unwrap_or_else(|| panic!("no failure: {control:?}")).1["code"].as_u64().unwrap()
}

#[test]
fn looks_change_once_in_five_seconds_and_what_came_too_early_costs_no_name() {
    for shards in [1, 3] {
        let (mut world, ann, ben, room) = two_in_a_room(shards, 0);
        assert_eq!(look(&mut world, ann, json!({ "color": "#000001" })).0, kind::COMMAND_OK);
        world.lane(ben, room);
        let refused = look(&mut world, ann, json!({ "username": "Dora" })).1;
        assert_eq!(refused["code"], 1006);
        assert!(refused["retry_after_ms"].as_u64().unwrap() <= 5_000);
        assert!(world.lane(ben, room).is_empty());
        assert_eq!(look(&mut world, ben, json!({ "username": "Dora" })).0, kind::COMMAND_OK);
        world.pass(5_000);
        assert_eq!(look(&mut world, ann, json!({ "username": "Dora" })).1["code"], 1012);
        assert_eq!(look(&mut world, ann, json!({ "username": "Ada" })).0, kind::COMMAND_OK);
    }
}

#[test]
fn a_picture_is_an_https_address() {
    let (mut world, ann, ben, room) = two_in_a_room(2, 1);
    world.lane(ben, room);
    for bad in ["http://x.org/a.png", "https://", "https://a b", "https://a\u{202e}"] {
        let refused = look(&mut world, ann, json!({ "avatar_url": bad })).1;
        assert_eq!(refused["code"], 1007, "{bad}");
    }
    let long = format!("https://x.org/{}", "a".repeat(500));
    assert_eq!(look(&mut world, ann, json!({ "avatar_url": long })).1["code"], 1007);
    let url = "https://x.org/a.png";
    assert_eq!(look(&mut world, ann, json!({ "avatar_url": url })).0, kind::COMMAND_OK);
    world.say(ann, room, "x", "1");
    let lane = world.lane(ben, room);
    assert_eq!(lane[0].1["user"]["avatar_url"], url);
    assert_eq!(lane[1].1["sender"]["avatar_url"], url);
    world.pass(5_000);
    assert_eq!(look(&mut world, ann, json!({ "avatar_url": "" })).0, kind::COMMAND_OK);
    assert_eq!(world.lane(ben, room)[0].1["user"]["avatar_url"], Value::Null);
}

#[test]
fn renames_of_other_doors_are_told() {
    let (mut world, _, ben, room) = two_in_a_room(2, 1);
    let piano = world.piano(&world.room_on(1).clone());
    world.lane(ben, room);
    let name = UserName::parse("Mira", 40);
    world.piano_does(piano, Command::SetProfile { name, color: None });
    let lane = world.lane(ben, room);
    assert_eq!(lane[0].0, kind::ROOM_USER_UPDATED);
    let user = &lane[0].1["user"];
    assert_eq!((&user["username"], &user["door"]), (&json!("Mira"), &json!("mpp")));
}

#[test]
fn away_is_told_twice_with_one_number_and_once_for_all_rooms() {
    for (shards, owner) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
        let (mut world, ann, ben, room) = two_in_a_room(shards, owner);
        let piano = world.piano(&world.room_on(owner).clone());
        let lane = world.lane(ann, room);
        let init = lane.iter().find(|(kind, p)| *kind == kind::ROOM_INIT && p["room_id"] == room);
        let id = init.unwrap().1["members"][0]["user_id"].clone();
        world.lane(ben, room);
        datagrams(&mut world, ben);
        world.piano_news(piano);
        signal(&mut world, ann, kind::PRESENCE_AWAY, json!({ "away_since": 1, "pseq": 1 }));
        let told = datagrams(&mut world, ben);
        assert_eq!(told.len(), 1, "two rooms are shared: {told:?}");
        assert_eq!((told[0].0, &told[0].1["user_id"]), (kind::PRESENCE_AWAY, &id));
        assert!(world.lane(ben, room).is_empty(), "it has no number in the room");
        assert!(world.piano_news(piano).contains("\"afk\":true"));
        assert!(datagrams(&mut world, ann).is_empty(), "nobody is told of themselves");
        world.pass(3_100);
        assert_eq!(datagrams(&mut world, ben), told, "the same again");
        world.pass(10_000);
        assert!(datagrams(&mut world, ben).is_empty(), "and no more");
        let eve = world.enter(0, "Eve");
        let lobby = world.lane(eve, 1);
        let members = lobby.iter().find(|(kind, _)| *kind == kind::ROOM_INIT).unwrap();
        assert_eq!(members.1["members"][0]["presence"], "away");
        signal(&mut world, ann, kind::PRESENCE_ONLINE, json!({ "status": "here", "pseq": 2 }));
        let back = datagrams(&mut world, ben);
        assert_eq!((back[0].0, &back[0].1["status"]), (kind::PRESENCE_ONLINE, &json!("here")));
        assert!(back[0].1["pseq"].as_u64() > told[0].1["pseq"].as_u64());
    }
}

#[test]
fn presence_that_flips_is_told_in_the_end() {
    let (mut world, ann, ben, _) = two_in_a_room(2, 1);
    datagrams(&mut world, ben);
    for n in 0..9 {
        let kind = if n % 2 == 0 { kind::PRESENCE_AWAY } else { kind::PRESENCE_ONLINE };
        signal(&mut world, ann, kind, json!({ "away_since": 1 }));
        signal(&mut world, ann, kind::PRESENCE_OFFLINE, json!({ "last_seen": 1 }));
    }
    world.pass(1_000);
    signal(&mut world, ann, kind::PRESENCE_ONLINE, json!({}));
    world.pass(10_000);
    let told = datagrams(&mut world, ben);
    assert_eq!(told.last().unwrap().0, kind::PRESENCE_ONLINE);
    assert!(told.len() <= 6, "{told:?}");
}

#[test]
fn presence_is_for_those_who_asked_for_it_in_rooms_that_are_not_large() {
    let mut world = World::with(2, |core| core.lobby_capacity = None, |_| {});
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(1, "Ben"));
    let plain = world.connect(0);
    world.hello(plain, "Plain", &[]);
    let on_control = world.enter(0, "Control");
    world.link(on_control).takes_datagrams = false;
    datagrams(&mut world, ben);
    signal(&mut world, ann, kind::PRESENCE_AWAY, json!({ "away_since": 1 }));
    assert_eq!(datagrams(&mut world, ben).len(), 1);
    assert!(datagrams(&mut world, plain).is_empty());
    let control = world.control(on_control);
    assert!(control.iter().any(|(kind, _)| *kind == kind::PRESENCE_AWAY), "{control:?}");
    for n in 0..97 {
        world.enter(0, &format!("many {n}"));
    }
    world.pass(4_000);
    datagrams(&mut world, ben);
    signal(&mut world, ann, kind::PRESENCE_ONLINE, json!({}));
    assert!(datagrams(&mut world, ben).is_empty(), "101 people are too many");
}
