//! Line chat, statements 61 to 82 of its checklist: terminals and pianos in one room.

use crate::{ROOMS, line::door};
use serde_json::json;
use tutti_tests::line::{Terminal, untimed};
use tutti_tests::mpp::Client;
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards!(
    pianos_see_terminals,
    both_hear_each_other,
    all_see_one_order,
    nobody_poses_as_another,
    private_messages_cross_doors,
    bans_hold_on_both_doors,
    the_first_holds_the_crown,
    chat_is_switched_for_all,
    limits_count_everyone,
    being_away_is_seen,
    history_is_one,
    playing_is_not_told,
);

/// A piano and a terminal in a room, the piano first.
fn pair(server: &Server, room: &str) -> (Client, Terminal) {
    let mut piano = server.join(room);
    let mut terminal = Terminal::in_room(server, "alice", room);
    piano.expect_where("p", |p| p["name"] == "alice");
    piano.clear();
    terminal.clear();
    (piano, terminal)
}

fn handle(piano: &Client, name: &str) -> String {
    format!("{name}~{}", &piano.id()[..4])
}

/// Line chat's statements 61, 62.
fn pianos_see_terminals(plan: Plan) {
    let server = door(plan).start();
    let mut piano = server.join(ROOMS[0]);
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let p = piano.expect("p");
    let id = p["id"].as_str().expect("an id").to_owned();
    assert_eq!(id.len(), 24);
    assert_eq!(p["_id"], id.as_str());
    assert_eq!(p["name"], "alice");
    assert_eq!((&p["x"], &p["y"]), (&json!(200), &json!(100)));
    assert_eq!(p["tag"], json!({"text": "TCP", "color": "#777"}));
    assert_eq!(p["color"], format!("#{}", &id[..6]));
    assert!(p.get("afk").is_none());
    let mut other = server.guest();
    let joined = other.join(ROOMS[0]);
    let person = tutti_tests::mpp::person(&joined.ch, &id).clone();
    assert_eq!(person["name"], "alice");
    assert_eq!(person["tag"]["text"], "TCP");
    assert_eq!(joined.ch["ch"]["count"], 3);
    a.say("/color #00ff00");
    a.find("Your color is #00ff00");
    assert_eq!(piano.expect_where("p", |p| p["_id"] == id.as_str())["color"], "#00ff00");
    a.say("/leave");
    assert_eq!(piano.expect("bye")["p"], id.as_str());
}

/// Line chat's statement 63.
fn both_hear_each_other(plan: Plan) {
    let server = door(plan).start();
    for (n, room) in ROOMS.into_iter().enumerate() {
        let mut piano = server.join(room);
        let mut a = Terminal::in_room(&server, &format!("alice{n}"), room);
        piano.clear();
        a.say("hello piano");
        let said = piano.expect("a");
        assert_eq!(
            (&said["a"], &said["p"]["name"]),
            (&json!("hello piano"), &json!(format!("alice{n}")))
        );
        assert_eq!(said["p"]["tag"]["text"], "TCP");
        a.say("/me waves");
        assert_eq!(piano.expect("a")["a"], "*waves*");
        a.clear();
        piano.say("hello terminal");
        a.expect_timed(&format!("{}: hello terminal", handle(&piano, "Anonymous")));
    }
}

/// Line chat's statement 64.
fn all_see_one_order(plan: Plan) {
    let server = door(plan).unlimited().start();
    let (mut piano, mut a) = pair(&server, ROOMS[0]);
    let mut b = Terminal::in_room(&server, "bob", ROOMS[0]);
    piano.clear();
    a.clear();
    for n in 0..150 {
        a.say(&format!("a{n}"));
        piano.say(&format!("p{n}"));
    }
    let text = |line: &str| {
        untimed(line).and_then(|rest| rest.split_once(": ")).map(|(_, t)| t.to_owned())
    };
    let at_a: Vec<String> = (0..300).filter_map(|_| text(&a.line())).collect();
    let at_b: Vec<String> = (0..300).filter_map(|_| text(&b.line())).collect();
    let at_piano: Vec<String> =
        (0..300).map(|_| piano.expect("a")["a"].as_str().expect("a text").to_owned()).collect();
    assert_eq!(at_a.len(), 300);
    assert!(at_a == at_b && at_a == at_piano);
}

/// Line chat's statements 65, 66.
fn nobody_poses_as_another(plan: Plan) {
    let server = door(plan).start();
    let (mut piano, mut a) = pair(&server, ROOMS[0]);
    piano.send(json!({"m": "userset", "set": {"name": "alice"}}));
    let (old, new) = (handle(&piano, "Anonymous"), handle(&piano, "alice"));
    a.expect(&format!("*** {old} is now known as {new}"));
    piano.say("it is me");
    a.expect_timed(&format!("{new}: it is me"));
    let mut b = Terminal::named(&server, "bob");
    piano.clear();
    b.say("/msg alice secret");
    b.expect("[Private to alice]: secret");
    a.expect_timed("[Private from bob]: secret");
    piano.no("dm");
    piano.send(json!({"m": "userset", "set": {"name": "a  b\u{1b}[31m~c"}}));
    a.expect(&format!("*** {new} is now known as {}", handle(&piano, "a_b_31m_c")));
    a.say("/nick alicia");
    a.expect("You are now known as alicia");
    let p = piano.expect_where("p", |p| p["name"] == "alicia");
    assert_eq!(p["id"], p["_id"]);
    assert_eq!(p["tag"]["text"], "TCP");
}

/// Line chat's statement 67.
fn private_messages_cross_doors(plan: Plan) {
    let server = door(plan).start();
    let (mut piano, mut a) = pair(&server, ROOMS[0]);
    let mut bystander = Terminal::in_room(&server, "bob", ROOMS[0]);
    let mut other = server.join(ROOMS[0]);
    let a_id = {
        a.say("hello");
        piano.expect("a")["p"]["_id"].as_str().expect("an id").to_owned()
    };
    a.clear();
    bystander.clear();
    other.clear();
    let name = handle(&piano, "Anonymous");
    piano.send(json!({"m": "dm", "_id": a_id, "message": "psst"}));
    a.expect_timed(&format!("[Private from {name}]: psst"));
    piano.clear();
    a.say("/r back to you");
    a.expect(&format!("[Private to {name}]: back to you"));
    let dm = piano.expect("dm");
    assert_eq!((&dm["a"], &dm["sender"]["_id"]), (&json!("back to you"), &json!(a_id)));
    assert_eq!(dm["recipient"]["_id"], piano.id());
    a.say(&format!("/msg {name} by handle"));
    a.expect(&format!("[Private to {name}]: by handle"));
    assert_eq!(piano.expect("dm")["a"], "by handle");
    a.join("elsewhere");
    a.say(&format!("/msg {name} not here"));
    a.expect("ERROR: User not found");
    a.say("/r from elsewhere");
    a.expect(&format!("[Private to {name}]: from elsewhere"));
    assert_eq!(piano.expect("dm")["a"], "from elsewhere");
    piano.hang_up();
    tutti_tests::eventually("the piano is gone", || {
        a.say("/r anybody");
        (a.line() == "ERROR: User not found").then_some(())
    });
    other.no("dm");
    let heard = bystander.drain();
    assert!(!heard.iter().any(|line| line.contains("Private")), "{heard:?}");
}

/// Line chat's statement 73.
fn bans_hold_on_both_doors(plan: Plan) {
    let server = door(plan).start();
    let mut piano = server.join(ROOMS[0]);
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut b = Terminal::in_room(&server, "bob", ROOMS[0]);
    let id = piano.expect_where("p", |p| p["name"] == "alice")["_id"].clone();
    a.clear();
    let name = handle(&piano, "Anonymous");
    piano.send(json!({"m": "kickban", "_id": id, "ms": 300_000}));
    a.expect(&format!("*** You were kicked from #{} by {name}", ROOMS[0]));
    a.expect("You returned to #lobby");
    b.find(&format!("*** alice was banned by {name} for 5 minutes"));
    a.say(&format!("/join {}", ROOMS[0]));
    a.expect_start(&format!("ERROR: You are banned from #{} for ", ROOMS[0]));
    a.say("/quit");
    a.ends();
    let mut again = Terminal::named(&server, "somebody");
    again.say(&format!("/join {}", ROOMS[0]));
    again.expect_start(&format!("ERROR: You are banned from #{} for ", ROOMS[0]));
    piano.send(json!({"m": "unban", "_id": id}));
    piano.barrier();
    again.join(ROOMS[0]);
}

/// Line chat's statement 75, as far as pianos are concerned.
fn the_first_holds_the_crown(plan: Plan) {
    let server = door(plan).start();
    let mut a = Terminal::in_room(&server, "alice", ROOMS[0]);
    let mut piano = server.guest();
    let joined = piano.join(ROOMS[0]);
    let p = joined.ch["ppl"].as_array().expect("people").iter().find(|p| p["name"] == "alice");
    assert_eq!(joined.crown()["participantId"], p.expect("alice is there")["id"]);
    let name = handle(&piano, "Anonymous");
    a.find(&format!("*** {name} joined the room"));
    a.say(&format!("/kick {name}"));
    a.find(&format!("*** {name} was kicked by alice"));
    a.expect(&format!("Kicked {name}"));
    assert_eq!(piano.joined().room(), "test/awkward");
    let mut other = server.join(ROOMS[0]);
    let taker = handle(&other, "Anonymous");
    a.say("/leave");
    a.find("You returned to #lobby");
    other.expect("ch");
    a.join(ROOMS[0]);
    let mut third = server.join(ROOMS[0]);
    other.send(json!({"m": "chown", "id": third.id()}));
    a.find(&format!("*** {} now holds the crown", handle(&third, "Anonymous")));
    third.clear();
    assert_ne!(taker, name);
}

/// Line chat's statement 76, as far as pianos are concerned.
fn chat_is_switched_for_all(plan: Plan) {
    let server = door(plan).start();
    let (mut piano, mut a) = pair(&server, ROOMS[0]);
    piano.send(json!({"m": "chset", "set": {"chat": false}}));
    a.expect("*** Chat is now off");
    a.say("not said");
    a.expect(&format!("ERROR: Chat is disabled in #{}", ROOMS[0]));
    piano.say("not said either");
    piano.barrier();
    a.quiet();
    piano.no("a");
}

/// Line chat's statement 77, as far as pianos are concerned.
fn limits_count_everyone(plan: Plan) {
    let server = door(plan).start();
    for (n, room) in ROOMS.into_iter().enumerate() {
        let mut piano = server.guest();
        piano.enter(json!({"m": "ch", "_id": room, "set": {"limit": 2}}));
        let _a = Terminal::in_room(&server, &format!("alice{n}"), room);
        let mut b = Terminal::named(&server, &format!("bob{n}"));
        b.say(&format!("/join {room}"));
        b.expect(&format!("ERROR: #{room} is full"));
        let mut other = server.guest();
        other.send(json!({"m": "ch", "_id": room}));
        assert_eq!(other.joined().room(), "test/awkward");
    }
}

/// Line chat's statement 78, as far as pianos are concerned.
fn being_away_is_seen(plan: Plan) {
    let server = door(plan).start();
    let (mut piano, mut a) = pair(&server, ROOMS[0]);
    a.say("/away");
    a.expect("You are away");
    assert_eq!(piano.expect("p")["afk"], true);
    let mut other = server.guest();
    let joined = other.join(ROOMS[0]);
    let people = joined.ch["ppl"].as_array().expect("people");
    assert!(people.iter().any(|p| p["name"] == "alice" && p["afk"] == true), "{people:?}");
    a.say("/back");
    a.find("You are back");
    assert!(piano.expect_where("p", |p| p["name"] == "alice").get("afk").is_none());
}

/// Line chat's statement 79, as far as pianos are concerned.
fn history_is_one(plan: Plan) {
    let server = door(plan).unlimited().start();
    let (mut piano, mut a) = pair(&server, ROOMS[0]);
    for n in 0..20 {
        a.say(&format!("from a {n}"));
        a.find(&format!("alice: from a {n}"));
        piano.say(&format!("from p {n}"));
        piano.barrier();
    }
    a.clear();
    let mut other = server.guest();
    let c = other.join(ROOMS[0]).c;
    let said = c["c"].as_array().expect("messages");
    assert_eq!(said.len(), 32);
    assert_eq!(said.last().expect("the last")["a"], "from p 19");
    let mut b = Terminal::named(&server, "bob");
    b.say(&format!("/join {}", ROOMS[0]));
    b.find(&format!("*** Last 10 messages in #{}", ROOMS[0]));
    for n in 15..20 {
        b.expect_timed(&format!("alice: from a {n}"));
        b.expect_timed(&format!("{}: from p {n}", handle(&piano, "Anonymous")));
    }
    b.expect("*** End of history");
}

/// Line chat's statement 82, as far as pianos are concerned.
fn playing_is_not_told(plan: Plan) {
    let server = door(plan).start();
    let (mut piano, mut a) = pair(&server, ROOMS[0]);
    for n in 0..5 {
        piano.send(json!({"m": "m", "x": n, "y": n}));
        piano.play(tutti_tests::mpp::now_ms(), json!([{"n": "c4", "v": 0.5}]));
        piano.send(json!({"m": "custom", "data": n, "target": {"mode": "subscribed"}}));
    }
    piano.barrier();
    a.quiet();
}
