use super::world::*;
use crate::doors::quic::frame::kind;
use serde_json::{Value, json};
use tutti_shards::{ChatText, Command, Config, Rate};

fn kinds(frames: &[(u8, Value)]) -> Vec<u8> {
    frames.iter().map(|(kind, _)| *kind).collect()
}

/// The answer with this nonce.
fn answer(control: &[(u8, Value)], nonce: &str) -> (u8, Value) {
    let found = control.iter().find(|(_, payload)| payload["nonce"] == nonce);
    found.unwrap_or_else(|| panic!("no answer {nonce}: {control:?}")).clone()
}

struct Three {
    world: World,
    ann: Client,
    ben: Client,
    room: u64,
}

/// Ann, who made the room, and Ben in it, with the room owned by shard `owner` of `shards`.
fn two_in_a_room(shards: u16, owner: usize) -> Three {
    let mut world = World::new(shards);
    let name = world.room_on(owner);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(usize::from(shards) - 1, "Ben"));
    let room = world.join(ann, &name);
    world.join(ben, &name);
    Three { world, ann, ben, room }
}

fn id_of(world: &mut World, client: Client, nonce: &str) -> u64 {
    let (kind, ack) = answer(&world.control(client), nonce);
    assert_eq!(kind, kind::MESSAGE_ACK, "{ack}");
    ack["message_id"].as_u64().unwrap()
}

#[test]
fn a_room_that_is_too_busy_says_so_to_who_speaks() {
    for home in [0, 1] {
        let slow = |core: &mut Config| core.rates.room = Rate::new(2, 10_000);
        let mut world = World::with(2, slow, |_| {});
        let name = world.room_on(0);
        let (ann, ben) = (world.enter(0, "Ann"), world.enter(home, "Ben"));
        let room = world.join(ann, &name);
        world.join(ben, &name);
        world.say(ann, room, "one", "1");
        world.say(ben, room, "two", "2");
        world.control(ann);
        world.control(ben);
        world.say(ben, room, "three", "3");
        let told = world.control(ben);
        let kinds: Vec<u8> = told.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [kind::THROTTLE, kind::ERROR], "{home}");
        assert_eq!((&told[0].1["room_id"], &told[1].1["room_id"]), (&json!(room), &json!(room)));
        assert_eq!((&told[1].1["code"], &told[1].1["nonce"]), (&json!(1006), &json!("3")));
        let wait = told[1].1["retry_after_ms"].as_u64().unwrap();
        assert_eq!(told[0].1["delay_ms"], wait);
        assert!((4_000..=5_000).contains(&wait), "{wait}");
        assert!(world.control(ann).is_empty(), "nobody else is told");
        // What was said once is answered as before, and costs nothing.
        world.say(ben, room, "two", "2");
        assert_eq!(world.control(ben)[0].0, kind::MESSAGE_ACK);
        world.pass(wait);
        world.say(ben, room, "three", "3");
        let told = world.control(ben);
        assert!(told.iter().any(|(kind, _)| *kind == kind::MESSAGE_ACK), "{told:?}");
    }
}

#[test]
fn a_room_is_told_in_order_wherever_it_is_owned() {
    for (shards, owner) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
        let Three { mut world, ann, ben, room } = two_in_a_room(shards, owner);
        let lane = world.lane(ann, room);
        let (init, joined) = (&lane[lane.len() - 2], &lane[lane.len() - 1]);
        assert_eq!((init.0, joined.0), (kind::ROOM_INIT, kind::ROOM_USER_JOINED));
        assert_eq!(init.1["role"], "owner", "the first in a channel wears its crown");
        assert_eq!(joined.1["user"]["username"], "Ben");
        assert_eq!(joined.1["seq"].as_u64(), init.1["seq"].as_u64().map(|seq| seq + 1));
        let lane = world.lane(ben, room);
        let init = lane.iter().find(|(_, p)| p["room_id"] == room).unwrap();
        assert_eq!((init.0, &init.1["member_count"]), (kind::ROOM_INIT, &json!(2)));
        let seq = init.1["seq"].as_u64().unwrap();
        world.say(ann, room, "one", "1");
        world.say(ben, room, "two", "2");
        for client in [ann, ben] {
            let lane = world.lane(client, room);
            assert_eq!(kinds(&lane), [kind::ROOM_MESSAGE; 2]);
            let seen: Vec<_> = lane.iter().map(|(_, p)| (&p["content"], &p["seq"])).collect();
            let expected = [(json!("one"), json!(seq + 1)), (json!("two"), json!(seq + 2))];
            assert_eq!(seen, expected.iter().map(|(c, s)| (c, s)).collect::<Vec<_>>());
            assert_eq!(lane[0].1["nonce"], "1");
            assert_eq!(lane[0].1["sender"]["username"], "Ann");
        }
        let first = id_of(&mut world, ann, "1");
        assert!(first < id_of(&mut world, ben, "2"), "message ids rise");
    }
}

#[test]
fn rooms_are_found_by_name_and_number_and_nothing_else() {
    let Three { mut world, ann, ben, room } = two_in_a_room(2, 1);
    world.control(ann);
    world.chat(ann, kind::JOIN_ROOM, json!({ "room_id": 77, "nonce": "unknown" }));
    assert_eq!(answer(&world.control(ann), "unknown").1["code"], 1005);
    world.chat(ann, kind::JOIN_ROOM, json!({ "room_id": room, "nonce": "again" }));
    let lane = world.lane(ann, room).len();
    assert!(lane > 0);
    assert_eq!(answer(&world.control(ann), "again"), {
        let ok = json!({ "nonce": "again", "command": 21, "room_id": room, "message_id": null });
        (kind::COMMAND_OK, ok)
    });
    assert!(world.lane(ann, room).is_empty(), "no second RoomInit");
    let eve = world.enter(1, "Eve");
    world.chat(eve, kind::JOIN_ROOM, json!({ "room_id": room, "nonce": "number" }));
    assert_eq!(answer(&world.control(eve), "number").0, kind::COMMAND_OK);
    let name = world.room_on(1);
    let create = json!({ "name": name, "room_type": "channel", "members": [], "nonce": "new" });
    world.chat(ben, kind::CREATE_ROOM, create);
    let refused = answer(&world.control(ben), "new").1;
    assert_eq!((&refused["code"], &refused["room_id"]), (&json!(1011), &json!(room)));
    world.chat(ben, kind::LIST_ROOMS, json!({ "nonce": "list" }));
    assert!(answer(&world.control(ben), "list").1["rooms"].is_array());
}

#[test]
fn leaving_is_the_last_that_is_told_and_coming_again_is_counted() {
    for owner in [0, 1] {
        let Three { mut world, ann, ben, room } = two_in_a_room(2, owner);
        world.lane(ann, room);
        world.say(ben, room, "bye", "1");
        world.chat(ben, kind::LEAVE_ROOM, json!({ "room_id": room, "nonce": "leave" }));
        world.say(ben, room, "nobody hears", "2");
        let lane = world.lane(ben, room);
        let last = lane.last().unwrap();
        assert_eq!(last.0, kind::ROOM_CLOSE);
        assert_eq!((&last.1["reason"], &last.1["membership"]), (&json!("left"), &json!(1)));
        let control = world.control(ben);
        assert_eq!(answer(&control, "leave").0, kind::COMMAND_OK);
        assert_eq!(answer(&control, "2").1["code"], 1005);
        let seen = world.lane(ann, room);
        assert_eq!(kinds(&seen), [kind::ROOM_MESSAGE, kind::ROOM_USER_LEFT]);
        assert_eq!(seen[1].1["reason"], "left");
        let name = world.room_on(owner);
        for membership in 2..=11 {
            world.join(ben, &name);
            let lane = world.lane(ben, room);
            let number = &lane[0].1["membership"];
            assert_eq!((lane[0].0, number), (kind::ROOM_INIT, &json!(membership)));
            if membership < 11 {
                world.chat(ben, kind::LEAVE_ROOM, json!({ "room_id": room }));
                world.lane(ben, room);
            }
        }
        world.lane(ann, room);
        world.vanish(ben);
        let seen = world.lane(ann, room);
        assert_eq!(
            (seen[0].0, &seen[0].1["reason"]),
            (kind::ROOM_USER_LEFT, &json!("disconnected"))
        );
    }
}

#[test]
fn edits_deletions_and_reactions_change_what_newcomers_see() {
    for owner in [0, 1] {
        let Three { mut world, ann, ben, room } = two_in_a_room(2, owner);
        let piano = world.piano(&world.room_on(owner).clone());
        world.say(ann, room, "one", "1");
        world.say(ann, room, "two", "2");
        let control = world.control(ann);
        let id = |nonce: &str| answer(&control, nonce).1["message_id"].as_u64().unwrap();
        let (one, two) = (id("1"), id("2"));
        world.lane(ben, room);
        world.piano_news(piano);
        let edit = json!({ "room_id": room, "message_id": one, "content": "1st", "nonce": "e" });
        world.chat(ben, kind::EDIT_MESSAGE, edit.clone());
        assert_eq!(answer(&world.control(ben), "e").1["code"], 1004, "another's");
        world.chat(ann, kind::EDIT_MESSAGE, edit.clone());
        world.chat(ann, kind::EDIT_MESSAGE, edit);
        let piano_saw = world.piano_news(piano);
        assert!(piano_saw.contains("\u{270e} 1st"), "{piano_saw}");
        assert!(piano_saw.contains(&format!("\"r\":\"{:08x}\"", one as u32)), "{piano_saw}");
        let react = |emoji: &str| json!({ "room_id": room, "message_id": one, "emoji": emoji });
        world.chat(ben, kind::ADD_REACTION, react("👍"));
        world.chat(ben, kind::ADD_REACTION, react("👍"));
        world.chat(ann, kind::ADD_REACTION, react("👍"));
        world.chat(ann, kind::REMOVE_REACTION, react("👍"));
        let delete = json!({ "room_id": room, "message_id": two, "nonce": "d" });
        world.chat(ben, kind::DELETE_MESSAGE, delete.clone());
        assert_eq!(answer(&world.control(ben), "d").1["code"], 1004);
        world.chat(ann, kind::DELETE_MESSAGE, delete.clone());
        world.chat(ann, kind::DELETE_MESSAGE, delete);
        let lane = world.lane(ben, room);
        assert_eq!(
            kinds(&lane),
            [
                kind::ROOM_MESSAGE_EDITED,
                kind::ROOM_REACTION_ADDED,
                kind::ROOM_REACTION_ADDED,
                kind::ROOM_REACTION_REMOVED,
                kind::ROOM_MESSAGE_DELETED,
            ]
        );
        let seqs: Vec<u64> = lane.iter().map(|(_, p)| p["seq"].as_u64().unwrap()).collect();
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
        let retold = world.piano_news(piano);
        assert!(retold.contains("\"m\":\"c\"") && !retold.contains("two"), "{retold}");
        let eve = world.enter(0, "Eve");
        let name = world.room_on(owner);
        world.join(eve, &name);
        let lane = world.lane(eve, room);
        let init = &lane.iter().find(|(_, p)| p["room_id"] == room).unwrap().1;
        let messages = init["recent_messages"].as_array().unwrap();
        assert_eq!(
            (&messages[0]["content"], &messages[0]["deleted"]),
            (&json!("1st"), &json!(false))
        );
        assert!(messages[0]["edited_at"].is_u64());
        assert_eq!(messages[0]["reactions"][0]["count"], 1);
        assert_eq!((&messages[1]["content"], &messages[1]["deleted"]), (&json!(""), &json!(true)));
        for n in 0..20 {
            let emoji = char::from_u32(0x1f600 + n).unwrap().to_string();
            world.chat(ben, kind::ADD_REACTION, react(&emoji));
        }
        let control = world.control(ben);
        assert_eq!(control.last().unwrap().1["code"], 1018, "the 21st emoji");
    }
}

#[test]
fn a_nonce_is_said_once() {
    let Three { mut world, ann, ben, room } = two_in_a_room(2, 1);
    world.say(ann, room, "once", "n");
    let first = id_of(&mut world, ann, "n");
    world.say(ann, room, "once", "n");
    assert_eq!(id_of(&mut world, ann, "n"), first);
    let said = world.lane(ben, room).into_iter().filter(|(k, _)| *k == kind::ROOM_MESSAGE);
    assert_eq!(said.count(), 1);
}

#[test]
fn the_room_is_governed_by_rank() {
    for owner in [0, 1] {
        let Three { mut world, ann, ben, room } = two_in_a_room(2, owner);
        let eve = world.enter(0, "Eve");
        let name = world.room_on(owner);
        world.join(eve, &name);
        let lane = world.lane(eve, room);
        let init = lane.iter().find(|(_, p)| p["room_id"] == room).unwrap().1.clone();
        let number = |name: &str| {
            let members = init["members"].as_array().unwrap();
            members.iter().find(|user| user["username"] == name).unwrap()["user_id"].clone()
        };
        let (ann_no, ben_no, eve_no) = (number("Ann"), number("Ben"), number("Eve"));
        let asks = |world: &mut World, who: Client, kind: u8, mut payload: Value| {
            payload["room_id"] = room.into();
            payload["nonce"] = "q".into();
            world.control(who);
            world.chat(who, kind, payload);
            let (kind, payload) = answer(&world.control(who), "q");
            if kind == kind::ERROR { payload["code"].as_u64().unwrap() } else { 0 }
        };
        let role = |user: &Value, role: &str| json!({ "user_id": user, "role": role });
        assert_eq!(asks(&mut world, ben, kind::SET_ROLE, role(&eve_no, "moderator")), 1004);
        assert_eq!(asks(&mut world, ann, kind::SET_ROLE, role(&ben_no, "admin")), 0);
        let updated = world.lane(eve, room).pop().unwrap();
        assert_eq!(updated.0, kind::ROOM_USER_UPDATED);
        assert_eq!((&updated.1["user"]["role"], &updated.1["by"]), (&json!("admin"), &ann_no));
        assert_eq!(asks(&mut world, ben, kind::SET_ROLE, role(&eve_no, "admin")), 1004);
        assert_eq!(asks(&mut world, ben, kind::SET_ROLE, role(&eve_no, "moderator")), 0);
        let user = |user: &Value| json!({ "user_id": user });
        assert_eq!(asks(&mut world, eve, kind::KICK_USER, user(&ben_no)), 1004, "of higher rank");
        assert_eq!(asks(&mut world, eve, kind::KICK_USER, user(&json!(7))), 1005);
        let ban = |user: &Value| json!({ "user_id": user, "duration_ms": 60_000 });
        assert_eq!(asks(&mut world, eve, kind::BAN_USER, ban(&ben_no)), 1004);
        let post = |role: &str| json!({ "post_role": role });
        assert_eq!(asks(&mut world, eve, kind::UPDATE_ROOM, post("moderator")), 1004);
        assert_eq!(asks(&mut world, ben, kind::SET_ROLE, role(&eve_no, "member")), 0);
        assert_eq!(asks(&mut world, ben, kind::UPDATE_ROOM, post("moderator")), 0);
        let text = json!({ "content": "x" });
        assert_eq!(asks(&mut world, eve, kind::SEND_MESSAGE, text.clone()), 1004);
        assert_eq!(asks(&mut world, ben, kind::UPDATE_ROOM, post("member")), 0);
        let mute = |ms: u64| json!({ "user_id": eve_no, "duration_ms": ms });
        assert_eq!(asks(&mut world, ben, kind::MUTE_USER, mute(60_000)), 0);
        assert!(world.lane(eve, room).pop().unwrap().1["muted_until"].is_u64());
        assert_eq!(asks(&mut world, eve, kind::SEND_MESSAGE, text.clone()), 1015);
        assert_eq!(asks(&mut world, ben, kind::MUTE_USER, mute(0)), 0);
        assert_eq!(asks(&mut world, ben, kind::SET_ROLE, role(&eve_no, "guest")), 0);
        assert_eq!(asks(&mut world, eve, kind::SEND_MESSAGE, text), 1004, "guests only read");
        world.lane(ann, room);
        assert_eq!(asks(&mut world, ben, kind::KICK_USER, user(&eve_no)), 0);
        let closed = world.lane(eve, room).pop().unwrap();
        assert_eq!(closed.0, kind::ROOM_CLOSE);
        assert_eq!((&closed.1["reason"], &closed.1["by"]), (&json!("kicked"), &ben_no));
        let left = world.lane(ann, room).pop().unwrap();
        assert_eq!((left.0, &left.1["reason"]), (kind::ROOM_USER_LEFT, &json!("kicked")));
        world.join(eve, &name);
        assert_eq!(asks(&mut world, ben, kind::BAN_USER, ban(&eve_no)), 0);
        assert_eq!(world.lane(eve, room).pop().unwrap().1["reason"], "banned");
        world.control(eve);
        world.join(eve, &name);
        assert_eq!(answer(&world.control(eve), "join").1["code"], 1014);
        assert_eq!(asks(&mut world, ben, kind::UNBAN_USER, user(&eve_no)), 0);
        world.join(eve, &name);
        assert_eq!(answer(&world.control(eve), "join").0, kind::COMMAND_OK);
        // The crown.
        assert_eq!(asks(&mut world, ann, kind::SET_ROLE, role(&ben_no, "owner")), 0);
        assert_eq!(asks(&mut world, ann, kind::UPDATE_ROOM, post("moderator")), 1004);
        assert_eq!(asks(&mut world, ben, kind::UPDATE_ROOM, json!({ "topic": "tea" })), 0);
        assert_eq!(world.lane(ann, room).pop().unwrap().1["topic"], "tea");
    }
}

#[test]
fn lobbies_have_no_owner_and_no_kicks() {
    let mut world = World::new(1);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(0, "Ben"));
    let joined = world.lane(ann, 1).pop().unwrap();
    let ben_no = joined.1["user"]["user_id"].clone();
    world.control(ann);
    world.chat(ann, kind::KICK_USER, json!({ "room_id": 1, "user_id": ben_no, "nonce": "k" }));
    assert_eq!(answer(&world.control(ann), "k").1["code"], 1004);
    assert!(world.lane(ben, 1).iter().all(|(kind, _)| *kind != kind::ROOM_CLOSE));
}

#[test]
fn a_full_lobby_leads_to_the_next() {
    let mut world = World::with(2, |core| core.lobby_capacity = Some(1), |_| {});
    world.enter(0, "Ann");
    let ben = world.enter(1, "Ben");
    let second = world.number("lobby2");
    let ok = world.control(ben).into_iter().find(|(kind, _)| *kind == kind::AUTH_OK).unwrap();
    assert_eq!(ok.1["rooms"], json!([second]));
    world.chat(ben, kind::JOIN_ROOM, json!({ "room_id": 1, "nonce": "id" }));
    assert_eq!(answer(&world.control(ben), "id").1["code"], 1008, "by number it is full");
    world.chat(ben, kind::JOIN_ROOM, json!({ "name": "lobby", "nonce": "name" }));
    assert_eq!(answer(&world.control(ben), "name").1["room_id"], second, "where it is already");
    let lane = world.lane(ben, second);
    let inits = lane.iter().filter(|(kind, _)| *kind == kind::ROOM_INIT);
    assert_eq!(inits.count(), 1);
    world.say(ben, second, "still here", "s");
    assert_eq!(answer(&world.control(ben), "s").0, kind::MESSAGE_ACK);
}

#[test]
fn history_is_fetched_in_pages() {
    let Three { mut world, ann, ben: _, room } = two_in_a_room(2, 1);
    let mut ids = Vec::new();
    for n in 0..101 {
        world.say(ann, room, &format!("m{n}"), &format!("n{n}"));
        ids.push(id_of(&mut world, ann, &format!("n{n}")));
    }
    world.lane(ann, room);
    let mut fetch = |payload: Value| {
        let mut payload = payload;
        payload["room_id"] = room.into();
        world.chat(ann, kind::FETCH_HISTORY, payload);
        let (kind, history) = world.lane(ann, room).pop().unwrap();
        assert_eq!(kind, kind::ROOM_HISTORY);
        let texts: Vec<String> = history["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect();
        (texts, history["more"].as_bool().unwrap())
    };
    let (texts, more) = fetch(json!({ "limit": 100 }));
    assert_eq!((texts.len(), &*texts[0], more), (100, "m1", false), "100 are kept");
    let (texts, more) = fetch(json!({ "before_id": ids[51], "limit": 10 }));
    assert_eq!((&*texts[0], &*texts[9], more), ("m41", "m50", true));
    let (texts, more) = fetch(json!({ "before_id": ids[3], "limit": 10 }));
    assert_eq!((texts.len(), more), (2, false));
}

/// Histories that are asked for at once come one after the other, and however many they are, do not make their client
/// one that is too slow.
#[test]
fn histories_wait_for_each_other() {
    let Three { mut world, ann, ben, room } = two_in_a_room(2, 1);
    for n in 0..100 {
        world.say(ann, room, &"\u{6f22}".repeat(512), &format!("n{n}"));
    }
    world.lane(ben, room);
    let fetch = |n: u64, limit: u64| {
        frame(
            kind::FETCH_HISTORY,
            &json!({ "room_id": room, "limit": limit, "nonce": format!("{n}") }),
        )
    };
    let lane = room % 8 * 4 + 3;
    world.link(ben).stuck = vec![lane];
    let asked: Vec<u8> = (0..10).flat_map(|n| fetch(n, 100)).collect();
    world.write(ben, CHAT, &asked);
    assert_eq!(world.link(ben).closed, None);
    world.link(ben).stuck.clear();
    world.event(ben, crate::quic::Event::Writable(crate::quic::StreamId(lane)));
    world.run();
    let histories = world.lane(ben, room);
    assert_eq!(kinds(&histories), [kind::ROOM_HISTORY; 10]);
    let nonces: Vec<_> = histories.iter().map(|(_, payload)| payload["nonce"].clone()).collect();
    assert_eq!(nonces, (0..10).map(|n| json!(format!("{n}"))).collect::<Vec<_>>());
    // One that is refused holds nothing up.
    world.chat(ann, kind::LEAVE_ROOM, json!({ "room_id": room }));
    world.write(ben, CHAT, &fetch(11, 101));
    world.say(ben, room, "on", "on");
    assert_eq!(answer(&world.control(ben), "on").0, kind::MESSAGE_ACK);
}

/// Anybody can give rooms long names: the list of them keeps to what a frame may hold all the same.
#[test]
fn a_list_of_long_names_comes_in_pages() {
    let mut world = World::new(2);
    let ann = world.enter(0, "Ann");
    for n in 0..60 {
        world.join(ann, &format!("{n:03}{}", "\u{6f22}".repeat(509)));
    }
    world.pass(3_000);
    world.control(ann);
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        world.chat(ann, kind::LIST_ROOMS, json!({ "limit": 200, "after": after, "nonce": "l" }));
        let (_, list) = answer(&world.control(ann), "l");
        assert!(list.to_string().len() <= 64 << 10);
        let rooms = list["rooms"].as_array().unwrap();
        seen.extend(rooms.iter().map(|room| room["room_id"].as_u64().unwrap()));
        after = list["next"].clone();
        if after.is_null() {
            break;
        }
        assert!(!rooms.is_empty());
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    // The lobby is among them, and the piano's room for tests.
    assert_eq!((count, seen.len()), (62, 62), "all of them, each once");
}

#[test]
fn piano_and_rooms_hear_each_other() {
    let Three { mut world, ann, ben: _, room } = two_in_a_room(2, 1);
    let name = world.room_on(1);
    let piano = world.piano(&name);
    let joined = world.lane(ann, room).pop().unwrap();
    assert_eq!((joined.0, &joined.1["user"]["door"]), (kind::ROOM_USER_JOINED, &json!("mpp")));
    let seen = world.piano_news(piano);
    assert!(seen.contains("\"name\":\"Ann\"") && seen.contains("\"text\":\"QUIC\""), "{seen}");
    let text = ChatText::parse("hello rooms", 512).unwrap();
    world.piano_does(piano, Command::Chat { text, reply_to: None });
    assert_eq!(world.lane(ann, room).pop().unwrap().1["content"], "hello rooms");
    world.say(ann, room, "hello\npiano", "1");
    let id = id_of(&mut world, ann, "1");
    let seen = world.piano_news(piano);
    assert!(seen.contains("\"a\":\"hello piano\""), "{seen}");
    assert!(seen.contains(&format!("\"id\":\"{:08x}\"", id as u32)), "{seen}");
    let act = json!({ "room_id": room, "content": "waves", "nonce": "2", "kind": "action" });
    world.chat(ann, kind::SEND_MESSAGE, act);
    assert!(world.piano_news(piano).contains("\"a\":\"*waves*\""));
    world.chat(ann, kind::LEAVE_ROOM, json!({ "room_id": room }));
    assert!(world.piano_news(piano).contains("\"m\":\"bye\""));
}

#[test]
fn typing_and_reading_reach_whom_they_concern() {
    let Three { mut world, ann, ben, room } = two_in_a_room(2, 1);
    world.send_datagram(ann, frame(kind::TYPING, &json!({ "room_id": room, "user_id": 5 })));
    let typed = world.link(ben).datagrams.pop().unwrap();
    let typed = frames(&typed).pop().unwrap();
    assert_eq!((typed.0, &typed.1["room_id"]), (kind::TYPING, &json!(room)));
    assert!(typed.1["user_id"].as_u64().unwrap() >= 1 << 52, "the server says who");
    assert!(world.link(ann).datagrams.is_empty(), "not to the one who types");
    world.send_datagram(ann, frame(kind::TYPING, &json!({ "room_id": room })));
    assert!(world.link(ben).datagrams.is_empty(), "one a second");
    world.pass(1_000);
    world.link(ben).takes_datagrams = false;
    world.control(ben);
    world.send_datagram(ann, frame(kind::STOP_TYPING, &json!({ "room_id": room })));
    assert_eq!(world.control(ben).pop().unwrap().0, kind::STOP_TYPING, "on control without");
    let one = frame(kind::TYPING, &json!({ "room_id": room }));
    let twice = [one.clone(), one].concat();
    world.pass(1_000);
    world.send_datagram(ann, twice);
    assert!(world.control(ben).is_empty());
    world.say(ben, room, "read me", "1");
    let id = id_of(&mut world, ben, "1");
    let read = json!({ "room_id": room, "message_id": id, "read_at": 1 });
    world.send(ann, ACK, kind::MESSAGE_READ, read);
    assert!(world.control(ben).is_empty(), "in a channel nobody is told");
}

#[test]
fn one_user_with_two_connections_is_one_person() {
    let mut world = World::new(2);
    let name = world.room_on(1);
    let ben = world.enter(0, "Ben");
    let room = world.join(ben, &name);
    world.lane(ben, room);
    // Names alone are one connection; what is shared is the piano's way of one participant a user.
    let ann = world.enter(1, "Ann");
    world.join(ann, &name);
    world.join(ann, &name);
    let seen = world.lane(ben, room);
    assert_eq!(kinds(&seen), [kind::ROOM_USER_JOINED]);
}

#[test]
fn uploads_are_refused_as_the_page_says() {
    let mut world = World::new(1);
    let ann = world.enter(0, "Ann");
    world.control(ann);
    let start = json!({ "room_id": 1, "filename": "a", "mime_type": "a/b", "size": 1, "checksum": "0".repeat(64), "nonce": "u" });
    world.send(ann, 10, kind::UPLOAD_START, start);
    assert_eq!(answer(&world.control(ann), "u").1["code"], 1009);
    assert_eq!(world.link(ann).stopped, [(10, 0x12)]);
}

#[test]
fn rooms_of_a_connection_are_limited() {
    let mut world = World::with(1, |_| {}, |session| session.rooms_max = 3);
    let ann = world.enter(0, "Ann");
    world.join(ann, "a");
    world.join(ann, "b");
    world.control(ann);
    world.join(ann, "c");
    assert_eq!(answer(&world.control(ann), "join").1["code"], 1018);
}

/// Somebody writes to one who has no place for another room: it comes when there is one.
#[test]
fn a_room_for_which_there_was_no_place_is_asked_for_again() {
    let mut world = World::with(2, |_| {}, |session| session.rooms_max = 2);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(1, "Ben"));
    let taken = world.join(ben, "b");
    let control = world.control(ben);
    let (_, auth) = control.iter().find(|(kind, _)| *kind == kind::AUTH_OK).unwrap();
    let open = json!({ "user_id": auth["user_id"], "nonce": "open" });
    world.chat(ann, kind::OPEN_DIRECT, open);
    let room = answer(&world.control(ann), "open").1["room_id"].as_u64().unwrap();
    world.say(ann, room, "psst", "1");
    let init = |world: &mut World| {
        let lane = world.lane(ben, room).into_iter();
        lane.filter(|(kind, init)| *kind == kind::ROOM_INIT && init["room_id"] == room).collect()
    };
    let before: Vec<_> = init(&mut world);
    assert_eq!(before, [], "there is no place");
    world.pass(26_000);
    assert_eq!(init(&mut world), [], "still not");
    world.chat(ben, kind::LEAVE_ROOM, json!({ "room_id": taken, "nonce": "leave" }));
    world.pass(26_000);
    let after = init(&mut world);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].1["recent_messages"][0]["content"], "psst");
}
