use super::world::*;
use crate::{
    doors::quic::frame::kind,
    quic::{Event, StreamId},
};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_shards::Busy;

fn busy_world(shards: u16) -> World {
    World::with(
        shards,
        |core| {
            core.busy = Busy {
                rate: 3,
                cool_rate: 1,
                cool_after: Duration::from_secs(3),
                ..Busy::default()
            };
        },
        |session| session.hot_rooms_max = 1,
    )
}

fn enter(world: &mut World, home: usize, name: &str, hot: bool) -> Client {
    let client = world.connect(home);
    world.hello(client, name, if hot { &["hot"] } else { &[] });
    client
}

/// Says so much that a room becomes busy.
fn flood(world: &mut World, client: Client, room: u64, seconds: usize) {
    for second in 0..seconds {
        for n in 0..10 {
            world.say(client, room, "x", &format!("{second}.{n}.{}", world.now.mono_us));
        }
        world.pass(1_000);
    }
}

fn numbered(frames: &[(u8, Value)], room: u64) -> Vec<u64> {
    let of_room = frames.iter().filter(|(_, payload)| payload["room_id"] == room);
    let event = of_room.filter(|(kind, _)| (0x30..=0x36).contains(kind));
    event.map(|(_, payload)| payload["seq"].as_u64().unwrap()).collect()
}

#[test]
fn a_busy_room_gets_a_stream_of_its_own_and_nothing_is_lost_between() {
    for owner in [0, 1] {
        let mut world = busy_world(2);
        let name = world.room_on(owner);
        let (ann, ben) = (enter(&mut world, 0, "Ann", true), enter(&mut world, 1, "Ben", false));
        let room = world.join(ann, &name);
        world.join(ben, &name);
        flood(&mut world, ben, room, 4);
        let control = world.control(ann);
        let promoted: Vec<_> =
            control.iter().filter(|(kind, _)| *kind == kind::ROOM_PROMOTED).collect();
        assert_eq!(promoted.len(), 1, "{control:?}");
        let stream = promoted[0].1["stream_id"].as_u64().unwrap();
        let first = promoted[0].1["first_seq"].as_u64().unwrap();
        let lane = world.lane(ann, room);
        let hot = world.news(ann, stream);
        assert_eq!(hot[0].0, kind::STREAM_OPEN);
        assert_eq!(hot[0].1, json!({ "kind": "hot", "room_id": room, "first_seq": first }));
        let (before, after) = (numbered(&lane, room), numbered(&hot, room));
        assert!(before.iter().all(|&seq| seq < first) && after.iter().all(|&seq| seq >= first));
        assert!(!after.is_empty());
        world.pass(14_000);
        let demoted = world.control(ann).into_iter().find(|(kind, _)| *kind == kind::ROOM_DEMOTED);
        let demoted = demoted.expect("a silent room cools").1;
        assert!(world.link(ann).finished.contains(&stream), "its stream ends");
        world.say(ben, room, "quiet again", "q");
        let lane = world.lane(ann, room);
        assert_eq!(numbered(&lane, room)[0], demoted["first_seq"].as_u64().unwrap());
        let all = [before, after, numbered(&world.news(ann, stream), room), numbered(&lane, room)];
        let all = all.concat();
        assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap: {all:?}");
        let without = world.control(ben);
        assert!(without.iter().all(|(kind, _)| *kind != kind::ROOM_PROMOTED));
    }
}

#[test]
fn busy_rooms_beyond_the_limit_wait_for_a_place() {
    let mut world = busy_world(1);
    let (ann, ben) = (enter(&mut world, 0, "Ann", true), enter(&mut world, 0, "Ben", false));
    let rooms = ["a", "b"].map(|name| {
        world.join(ann, name);
        world.join(ben, name)
    });
    for _ in 0..5 {
        flood(&mut world, ben, rooms[0], 1);
        flood(&mut world, ben, rooms[1], 1);
    }
    let control = world.control(ann);
    let promoted: Vec<u64> = control
        .iter()
        .filter(|(kind, _)| *kind == kind::ROOM_PROMOTED)
        .map(|(_, payload)| payload["room_id"].as_u64().unwrap())
        .collect();
    assert_eq!(promoted.len(), 1);
    world.chat(ann, kind::LEAVE_ROOM, json!({ "room_id": promoted[0] }));
    let stream = 8 * 4 + 3;
    let hot = world.news(ann, stream);
    assert_eq!(hot.last().unwrap().0, kind::ROOM_CLOSE, "the last frame of its stream");
    assert!(world.link(ann).finished.contains(&stream));
    let other = rooms.into_iter().find(|room| *room != promoted[0]).unwrap();
    let control = world.control(ann);
    let promoted = control.iter().find(|(kind, _)| *kind == kind::ROOM_PROMOTED);
    assert_eq!(promoted.expect("a place is free").1["room_id"], other);
}

#[test]
fn stopping_a_stream_of_a_busy_room_ends_the_session() {
    let mut world = busy_world(1);
    let ann = enter(&mut world, 0, "Ann", true);
    let room = world.join(ann, "a");
    flood(&mut world, ann, room, 5);
    world.event(ann, Event::Stopped { stream: StreamId(8 * 4 + 3), code: 0 });
    assert_eq!(world.link(ann).closed, Some(0x02));
}
