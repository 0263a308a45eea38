//! What is asked of a room around the moment in which somebody is sent out of it: each command is answered once.

use super::world::*;
use crate::doors::quic::frame::kind;
use serde_json::{Value, json};

/// The codes of the answers to a nonce; 0 where it was done.
fn answers(told: &[(u8, Value)], nonce: &str) -> Vec<u64> {
    let answers = told.iter().filter(|(_, payload)| payload["nonce"] == nonce);
    answers.map(|(_, payload)| payload["code"].as_u64().unwrap_or(0)).collect()
}

fn command(n: usize, room: u64, message: u64) -> (u8, Value) {
    let nonce = format!("n{n}");
    match n % 6 {
        0 => (kind::SEND_MESSAGE, json!({ "room_id": room, "content": "x", "nonce": nonce })),
        1 => (kind::FETCH_HISTORY, json!({ "room_id": room, "nonce": nonce })),
        2 => {
            let payload =
                json!({ "room_id": room, "message_id": message, "emoji": "a", "nonce": nonce });
            (kind::ADD_REACTION, payload)
        }
        3 => (kind::SEND_MESSAGE, json!({ "room_id": room, "content": "y", "nonce": nonce })),
        4 => {
            let payload =
                json!({ "room_id": room, "message_id": message, "content": "z", "nonce": nonce });
            (kind::EDIT_MESSAGE, payload)
        }
        _ => (kind::LEAVE_ROOM, json!({ "room_id": room, "nonce": nonce })),
    }
}

/// Where what Ben asks is when his seat ends.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// With his session, which has heard nothing.
    Asked,
    /// The same, and the end of the seat is with his session.
    Heard,
    /// On its way to the owner of the room.
    Sent,
}

#[test]
fn each_command_around_a_kick_is_answered_once() {
    for (shards, home, moment) in [
        (1, 0, Moment::Asked),
        (1, 0, Moment::Heard),
        (2, 1, Moment::Asked),
        (2, 1, Moment::Sent),
        (4, 3, Moment::Sent),
    ] {
        let mut world = World::new(shards);
        let (ann, ben) = (world.enter(0, "Ann"), world.enter(home, "Ben"));
        let name = world.room_on(0);
        world.join(ann, &name);
        let room = world.join(ben, &name);
        let said = world.said(ben, room, "first");
        let user = said["sender"]["user_id"].clone();
        let message = said["message_id"].as_u64().unwrap();
        world.control(ben);
        let kick = json!({ "room_id": room, "user_id": user, "nonce": "kick" });
        let asks = |world: &mut World| {
            for n in 0..6 {
                let (kind, payload) = command(n, room, message);
                world.chat_only(ben, kind, &payload);
            }
        };
        match moment {
            Moment::Asked => {
                world.chat_only(ann, kind::KICK_USER, &kick);
                asks(&mut world);
            }
            Moment::Heard => {
                world.chat_only(ann, kind::KICK_USER, &kick);
                world.settle(0);
                world.outputs(0);
                asks(&mut world);
            }
            Moment::Sent => {
                asks(&mut world);
                world.settle(home);
                world.chat_only(ann, kind::KICK_USER, &kick);
                world.settle(0);
                world.outputs(0);
            }
        }
        world.run();
        let mut told = world.control(ben);
        let lane = world.lane(ben, room);
        let closed = lane.iter().filter(|(kind, _)| *kind == kind::ROOM_CLOSE).count();
        assert_eq!(closed, 1, "{shards} {moment:?}");
        told.extend(lane.into_iter().filter(|(kind, _)| *kind == kind::ROOM_HISTORY));
        for n in 0..6 {
            let codes = answers(&told, &format!("n{n}"));
            assert_eq!(codes, [1005], "command {n} of {shards} {moment:?}: {told:?}");
        }
        let errors = told.iter().filter(|(kind, _)| *kind == kind::ERROR);
        assert!(errors.clone().all(|(_, error)| error["room_id"] == room), "{told:?}");
        // Behind it he may come again, and is heard.
        world.join(ben, &name);
        world.say(ben, room, "again", "again");
        assert_eq!(answers(&world.control(ben), "again"), [0]);
    }
}
