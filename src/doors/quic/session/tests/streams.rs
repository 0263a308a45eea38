//! How the bytes of rooms come to their streams.

use super::world::*;
use crate::{
    doors::quic::frame::kind,
    quic::{Event, StreamId},
};
use serde_json::json;
use std::collections::BTreeSet;
use tutti_shards::Rate;

#[test]
fn what_all_members_get_is_in_memory_once() {
    let mut world = World::new(1);
    let name = "garden";
    let members: Vec<Client> = (0..5).map(|n| world.enter(0, &format!("M{n}"))).collect();
    let rooms: BTreeSet<u64> = members.iter().map(|&member| world.join(member, name)).collect();
    let room = *rooms.first().unwrap();
    members.iter().for_each(|&member| world.link(member).shared.clear());
    world.say(members[0], room, "to everybody", "1");
    // The author's own comes with the answer to them.
    let places: BTreeSet<*const u8> = members[1..]
        .iter()
        .map(|&member| {
            let shared = &world.link(member).shared;
            assert_eq!(shared.len(), 1, "one write a member");
            shared[0].as_ptr()
        })
        .collect();
    assert_eq!(places.len(), 1);
    for member in members {
        let lane = world.lane(member, room);
        assert_eq!(lane.iter().filter(|(k, _)| *k == kind::ROOM_MESSAGE).count(), 1);
    }
}

/// A stream that takes a part of a frame gets the rest, and what was said meanwhile, once it takes more.
#[test]
fn a_stream_that_takes_a_part_gets_the_rest_later() {
    let mut world = World::new(1);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(0, "Ben"));
    let room = world.join(ann, "garden");
    world.join(ben, "garden");
    world.lane(ann, room);
    let lane = 3 + 4 * (room % 8);
    for part in [0, 1, 5, 6, 100, 399] {
        world.link(ann).narrow = Some((lane, part));
        for text in ["one", "two", "three"] {
            world.say(ben, room, text, &format!("{part} {text}"));
        }
        let so_far = world.link(ann).received.get(&lane).map_or(0, Vec::len);
        world.link(ann).narrow = None;
        world.event(ann, Event::Writable(StreamId(lane)));
        world.run();
        let all = world.link(ann).received.get(&lane).map_or(0, Vec::len);
        assert!(all > so_far, "{part} bytes were not all");
        let texts: Vec<String> = world
            .lane(ann, room)
            .iter()
            .filter(|(kind, _)| *kind == kind::ROOM_MESSAGE)
            .map(|(_, payload)| payload["content"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(texts, ["one", "two", "three"], "{part} bytes at first");
    }
}

/// A client takes no number of a room twice, whatever happened to the room meanwhile (protocol page, rule R7).
#[test]
fn a_room_that_was_gone_counts_on() {
    for shards in [1, 3] {
        let mut world = World::new(shards);
        let ann = world.enter(0, "Ann");
        let mut last = 0;
        for round in 0..3 {
            let room = world.join(ann, "garden");
            (0..5).for_each(|n| world.say(ann, room, "x", &format!("{round} {n}")));
            let lane = world.lane(ann, room);
            let of_room = lane.iter().filter(|(_, payload)| payload["room_id"] == room);
            let seqs: Vec<u64> =
                of_room.filter_map(|(_, payload)| payload["seq"].as_u64()).collect();
            assert!(seqs[0] >= last, "{seqs:?} after {last}");
            last = *seqs.last().unwrap();
            world.chat(ann, kind::LEAVE_ROOM, json!({ "room_id": room }));
            world.lane(ann, room);
            world.pass(60_000);
        }
    }
}

/// Each stream is one piece of 12 KB: what is counted begins with the first byte.
#[test]
fn bytes_are_counted_over_all_streams_from_the_first_on() {
    for split in [0, 3, 5] {
        let mut world =
            World::with(1, |_| {}, |session| session.rates.bytes = Rate::new(16 << 10, 1_000));
        let ann = world.enter(0, "Ann");
        let answered = |world: &mut World| {
            let control = world.control(ann);
            control.iter().filter(|(kind, _)| *kind == kind::ROOM_LIST).count()
        };
        let list = frame(kind::LIST_ROOMS, &json!({ "limit": 1, "pad": "x".repeat(12_000) }));
        let (head, rest) = list.split_at(split);
        for n in 0..10 {
            let stream = 2 + 4 * n;
            if !head.is_empty() {
                world.write(ann, stream, head);
            }
            world.write(ann, stream, rest);
            world.end(ann, stream);
        }
        let at_once = answered(&mut world);
        assert!((1..=3).contains(&at_once), "{at_once}");
        world.pass(3_000);
        let later = at_once + answered(&mut world);
        assert!((3..=7).contains(&later), "{later}");
        world.pass(7_000);
        assert_eq!(later + answered(&mut world), 10);
    }
}

#[test]
fn frames_are_counted_by_type_once_each_way() {
    let mut world = World::new(2);
    let (ann, ben) = (world.enter(0, "Ann"), world.enter(1, "Ben"));
    world.say(ann, 1, "hello", "1");
    world.send(ann, CONTROL, 0x0b, json!({}));
    world.send(ann, CONTROL, 0xee, json!({}));
    assert_eq!(world.counted(0, Some(kind::SEND_MESSAGE)), (1, 0));
    assert_eq!(world.counted(0, Some(kind::ROOM_MESSAGE)), (0, 1));
    assert_eq!(world.counted(1, Some(kind::ROOM_MESSAGE)), (0, 1));
    assert_eq!(world.counted(0, Some(kind::STREAM_OPEN)), (0, 8));
    assert_eq!(world.counted(0, None), (2, 0));
    assert_eq!(world.counted(0, Some(kind::ERROR)), (0, 2));
    // What a stream takes in two pieces is one frame, whether it was put in or given to the stream at once.
    let lane = 7;
    world.link(ben).narrow = Some((lane, 10));
    world.say(ann, 1, "in two", "2");
    world.say(ann, 1, "behind", "3");
    world.link(ben).narrow = None;
    world.event(ben, Event::Writable(StreamId(lane)));
    let said = world.lane(ben, 1).iter().filter(|(kind, _)| *kind == kind::ROOM_MESSAGE).count();
    assert_eq!((said, world.counted(1, Some(kind::ROOM_MESSAGE))), (3, (0, 3)));
    // Datagrams, and their like on control, are frames, too.
    world.link(ann).takes_datagrams = true;
    world.send_datagram(ann, frame(kind::TYPING, &json!({ "room_id": 1 })));
    world.send_datagram(ann, vec![kind::TYPING]);
    assert_eq!(world.counted(0, Some(kind::TYPING)).0, 1);
}
