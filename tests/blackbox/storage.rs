//! What is kept: users, rooms, what was said, bans; across a stop, and across a crash.

use serde_json::json;
use std::{fs, time::Duration};
use tutti_tests::{
    mpp::{Client, Joined},
    server::{Plan, Server, run},
};

on_1_2_5_shards!(
    what_people_leave_survives_a_stop,
    what_was_confirmed_survives_a_crash,
    nothing_is_kept_with_memory,
);

const HOST: &str = "203.0.113.1";
const GUEST: &str = "203.0.113.2";
const ROOM: &str = "The \u{1f3b9} hall";

/// A host with a name, a room with settings, something said, and a guest who is banned from it.
fn live(server: &Server) {
    let mut host = server.join_from(HOST, ROOM);
    let mut guest = server.join_from(GUEST, ROOM);
    host.send(json!({"m": "userset", "set": {"name": "Clara \u{1f3b5}", "color": "#123456"}}));
    host.expect_where("p", |p| p["name"] == "Clara \u{1f3b5}");
    host.send(json!({"m": "chset", "set": {"color": "#654321", "chat": true, "limit": 7}}));
    host.expect_where("ch", |ch| ch["ch"]["settings"]["limit"] == 7);
    for n in 0..40 {
        host.say(&format!("line {n}"));
        guest.expect_where("a", |a| a["a"] == format!("line {n}"));
    }
    host.send(json!({"m": "kickban", "_id": guest.id(), "ms": 600_000}));
    guest.expect_where("ch", |ch| ch["ch"]["_id"] == "test/awkward");
    // It is confirmed when it is on the disk.
    host.expect("notification");
    let mut lobby = server.join_from("203.0.113.3", "lobby");
    lobby.say("in the lobby");
    lobby.expect("a");
}

/// All of it is there again.
#[track_caller]
fn find(server: &Server) {
    let mut host = server.guest_from(HOST);
    assert_eq!(host.hello()["u"]["name"], "Clara \u{1f3b5}");
    assert_eq!(host.hello()["u"]["color"], "#123456");
    host.send(json!({"m": "ch", "_id": ROOM, "set": {"color": "#000000"}}));
    let joined = host.joined();
    assert_eq!(joined.settings()["color"], "#654321");
    assert_eq!(joined.settings()["limit"], 7);
    assert_eq!(joined.crown()["userId"], host.id());
    let said = said(&joined);
    let expected: Vec<String> = (8..40).map(|n| format!("line {n}")).collect();
    assert_eq!(said, expected);
    let mut guest = server.guest_from(GUEST);
    guest.send(json!({"m": "ch", "_id": ROOM}));
    let told = guest.expect("notification");
    assert!(told["text"].as_str().expect("text").contains("banned"), "{told}");
    assert_eq!(guest.joined().room(), "test/awkward");
    let mut lobby = server.guest_from("203.0.113.4");
    assert_eq!(said_in(&mut lobby, "lobby"), ["in the lobby"]);
    // The ban can be lifted as before.
    host.send(json!({"m": "unban", "_id": guest.id()}));
    host.expect("notification");
    guest.join(ROOM);
}

fn said(joined: &Joined) -> Vec<String> {
    let said = joined.c["c"].as_array().expect("a list").iter();
    said.map(|message| message["a"].as_str().expect("a text").to_owned()).collect()
}

/// Joins a room: what was said there before?
fn said_in(client: &mut Client, room: &str) -> Vec<String> {
    said(&client.join(room))
}

/// A server on which all of it can be done.
fn kept(plan: Plan) -> Plan {
    plan.production().behind_proxy().set("rate.chat_holder.count", 1_000)
}

fn what_people_leave_survives_a_stop(plan: Plan) {
    let mut server = kept(plan).start();
    live(&server);
    server.restart();
    find(&server);
}

fn what_was_confirmed_survives_a_crash(plan: Plan) {
    let mut server = kept(plan).start();
    live(&server);
    // What nobody was promised is on its way for 50 ms at most.
    std::thread::sleep(Duration::from_millis(300));
    server.crash();
    find(&server);
}

fn nothing_is_kept_with_memory(plan: Plan) {
    let mut server = kept(plan).memory().start();
    let mut host = server.join_from(HOST, ROOM);
    host.send(json!({"m": "userset", "set": {"name": "Clara"}}));
    host.expect_where("p", |p| p["name"] == "Clara");
    host.say("gone");
    host.expect("a");
    drop(host);
    server.restart();
    let mut host = server.guest_from(HOST);
    assert_ne!(host.hello()["u"]["name"], "Clara");
    assert!(said_in(&mut host, ROOM).is_empty());
    let kept: Vec<_> = fs::read_dir(server.dir().join("data")).expect("a folder").collect();
    assert!(kept.is_empty(), "{kept:?}");
}

/// A room to which nobody comes back in time is a fresh one.
#[test]
fn a_room_waits_for_its_people_for_a_while() {
    let mut server = kept(Plan::new(2)).set("storage.restart_ms", 200).start();
    let mut host = server.join_from(HOST, ROOM);
    host.say("long ago");
    host.expect("a");
    drop(host);
    server.restart();
    std::thread::sleep(Duration::from_millis(300));
    let mut other = server.guest_from(GUEST);
    let joined = other.join(ROOM);
    assert_eq!(joined.crown()["userId"], other.id());
    assert!(said(&joined).is_empty());
}

/// What is kept of a room can outlive it.
#[test]
fn a_room_is_kept_for_as_long_as_it_is_set() {
    let plan = kept(Plan::new(2)).set("storage.channel_ms", 60_000).set("channel.empty_ms", 50);
    let server = plan.start();
    let mut host = server.join_from(HOST, ROOM);
    host.say("a while ago");
    host.expect("a");
    host.join("elsewhere");
    // It ends meanwhile.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(said_in(&mut host, ROOM), ["a while ago"]);
}

fn refused(dir: &std::path::Path) -> (Option<i32>, String) {
    let data = dir.to_str().expect("a plain path");
    let output = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--quic",
        "off",
        "--data",
        data,
    ]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A folder serves one server, and the next as soon as that has ended.
#[test]
fn a_second_server_on_the_folder_is_refused() {
    let server = Plan::new(1).start();
    let data = server.dir().join("data");
    let (code, said) = refused(&data);
    assert_eq!(code, Some(1), "{said}");
    let pid = server.pid().as_raw_nonzero().to_string();
    assert!(said.contains("in use by another Tutti") && said.contains(&pid), "{said}");
}

/// A file that is none, and one that is damaged.
#[test]
fn a_damaged_file_is_refused_with_what_to_do() {
    let mut server = Plan::new(1).start();
    server.stop();
    let data = server.dir().join("data");
    fs::write(data.join("tutti.db"), "no database".repeat(1_000)).expect("it can be written");
    let (code, said) = refused(&data);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("is damaged") && said.contains("restore a backup"), "{said}");
}
