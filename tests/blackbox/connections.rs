//! Statements 137 to 141: several connections of one user.

use crate::ROOMS;
use serde_json::json;
use std::time::Duration;
use tutti_tests::mpp::{Client, Ended, Item};
use tutti_tests::server::{Plan, Server};
use tutti_tests::{WITHIN, eventually};

on_1_2_5_shards!(
    two_connections_are_one_participant,
    one_closes_and_nothing_happens,
    the_last_one_closes,
    both_hear_chat,
    both_hold_the_crown,
    one_user_in_two_rooms,
    one_cursor_for_all,
    a_user_has_so_many_connections,
);

const ME: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";

/// A third user, and two connections of one user, in a room.
fn trio(server: &Server, room: &str) -> [Client; 3] {
    let mut third = server.join_from(OTHER, room);
    let mut one = server.join_from(ME, room);
    let two = server.join_from(ME, room);
    third.clear();
    one.clear();
    [third, one, two]
}

/// Statement 137.
fn two_connections_are_one_participant(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let mut third = server.join_from(OTHER, room);
        let mut one = server.join_from(ME, room);
        let mut two = server.guest_from(ME);
        assert_eq!(one.id(), two.id());
        let joined = two.join(room);
        assert_eq!(joined.ch["ch"]["count"], 2);
        assert_eq!(joined.ch["ppl"].as_array().map(Vec::len), Some(2));
        third.barrier();
        assert_eq!(third.drain_kind("p").len(), 1);
        one.nothing();
        two.nothing();
    }
}

/// Statement 138.
fn one_closes_and_nothing_happens(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let [mut third, one, mut two] = trio(&server, room);
        one.hang_up();
        third.quiet();
        third.say("still there?");
        assert_eq!(two.expect("a")["a"], "still there?");
        two.nothing();
    }
}

/// Statement 139.
fn the_last_one_closes(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let [mut third, one, mut two] = trio(&server, room);
        let id = one.id().to_owned();
        one.reset();
        two.join("elsewhere");
        assert_eq!(third.expect("bye")["p"], id.as_str());
        third.quiet_for(Duration::from_millis(100));
    }
}

/// Statement 140.
fn both_hear_chat(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let [mut third, mut one, mut two] = trio(&server, room);
        one.say("one of two");
        let line = third.expect("a");
        for client in [&mut one, &mut two] {
            assert_eq!(client.expect("a"), line);
            client.nothing();
        }
    }
}

/// Statement 141.
fn both_hold_the_crown(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let mut one = server.join_from(ME, room);
        let mut two = server.guest_from(ME);
        let joined = two.join(room);
        assert_eq!(joined.crown()["participantId"], one.id());
        assert_eq!(joined.nq["max"], 1800);
        let mut third = server.join_from(OTHER, room);
        one.clear();
        two.clear();
        for (color, first) in [("#111111", true), ("#222222", false)] {
            let sender = if first { &mut one } else { &mut two };
            sender.send(json!({"m": "chset", "set": {"color": color}}));
            for client in [&mut one, &mut two] {
                let ch = client.expect("ch");
                assert_eq!(ch["ch"]["settings"]["color"], color);
                assert_eq!(ch["p"], client.id());
            }
            third.expect("ch");
        }
        // Giving it away from one tells the quota to both.
        two.send(json!({"m": "chown", "id": third.id()}));
        for client in [&mut one, &mut two] {
            assert_eq!(client.expect("nq")["max"], 1200);
        }
        // The holder's other connection keeps the crown where it is.
        third.send(json!({"m": "chown", "id": one.id()}));
        one.expect_where("nq", |nq| nq["max"] == 1800);
        third.clear();
        one.hang_up();
        third.quiet_for(Duration::from_millis(200));
    }
}

/// Statement 137, in two rooms at once: two participants with one id, each gone by itself.
fn one_user_in_two_rooms(plan: Plan) {
    let server = plan.production().start();
    let mut third = server.join_from(OTHER, ROOMS[0]);
    let mut fourth = server.join_from("203.0.113.9", ROOMS[1]);
    let one = server.join_from(ME, ROOMS[0]);
    let mut two = server.join_from(ME, ROOMS[1]);
    assert_eq!(third.expect("p")["id"], one.id());
    assert_eq!(fourth.expect("p")["id"], one.id());
    one.hang_up();
    third.expect("bye");
    fourth.say("you are still here");
    two.expect("a");
    fourth.expect("a");
    fourth.nothing();
}

/// Statement 137, for the cursor: the user's other connection sees the move like everybody else.
fn one_cursor_for_all(plan: Plan) {
    let server = plan.production().start();
    let [mut third, mut one, mut two] = trio(&server, ROOMS[0]);
    one.send(json!({"m": "m", "x": 10, "y": 20}));
    for client in [&mut third, &mut two] {
        let m = client.expect("m");
        assert_eq!((&m["id"], &m["x"]), (&json!(one.id()), &json!("10.00")));
    }
    one.quiet_for(Duration::from_millis(120));
}

/// Statement 138, at the limit of 8: the ninth is told and closed some seconds later with 4009.
fn a_user_has_so_many_connections(plan: Plan) {
    let server = plan.set("tokens", true).start();
    let mut first = server.guest();
    let token = first.hello()["token"].as_str().expect("a token").to_owned();
    let mut rest: Vec<Client> = (0..7)
        .map(|_| {
            let mut client = server.open();
            client.hi_with(json!({"m": "hi", "token": token}));
            assert_eq!(client.id(), first.id());
            client
        })
        .collect();
    let mut ninth = server.open();
    ninth.send(json!({"m": "hi", "token": token}));
    ninth.expect("notification");
    assert_eq!(ninth.ended_within(WITHIN * 3), Ended::Close(Some(4009)));
    first.barrier();
    // A place that is given back can be taken.
    let mut leaver = rest.pop().expect("seven");
    leaver.send(json!({"m": "bye"}));
    leaver.closed_with(1000);
    leaver.hang_up();
    eventually("the place is free", || {
        let mut next = server.open();
        next.send(json!({"m": "hi", "token": token}));
        let free = next.take("answer", |item| match item {
            Item::Json(value) => Some(value["m"] == "hi"),
            Item::Binary(_) => None,
        });
        free.then_some(())
    });
}
