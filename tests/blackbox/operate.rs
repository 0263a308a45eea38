//! What operators do with `tutti ctl`, seen by those to whom it happens.

use crate::ROOMS;
use rustix::process::Signal;
use serde_json::{Value, json};
use tutti_tests::eventually;
use tutti_tests::server::{Plan, Server};

on_1_2_5_shards! {
    status_and_lists_count_what_is_there,
    operators_say_and_notify,
    a_kicked_user_is_told_and_gone_everywhere,
    one_connection_is_closed_and_the_others_stay,
    a_banned_network_is_refused_and_closed_at_once_and_after_a_restart,
    a_banned_user_is_refused_at_hello,
    bans_end_and_are_lifted,
    proxies_are_never_banned,
    channel_bans_hold_until_they_are_lifted,
    the_muted_are_not_heard,
    a_closed_channel_is_gone_and_its_people_are_in_the_lobby,
    names_and_tags_are_changed,
    panic_levels_do_what_they_say,
    everything_is_in_the_audit_log,
}

const NOBODY: &str = "0123456789abcdef01234567";

fn hidden_rooms(server: &Server) -> u64 {
    server.ctl_json(&["channels", "--hidden"])["channels"].as_array().map_or(0, Vec::len) as u64
}

fn status_and_lists_count_what_is_there(plan: Plan) {
    let server = plan.start();
    let one = server.join(ROOMS[0]);
    let two = server.join(ROOMS[1]);
    let status = server.ctl_json(&["status"]);
    assert_eq!((&status["connections"], &status["shards"]), (&json!(2), &status["answering"]));
    let users = server.ctl_json(&["users"]);
    assert_eq!(users["users"].as_array().map(Vec::len), Some(2));
    let users = server.ctl_json(&["users", &one.id()[..12]]);
    assert_eq!(users["users"][0]["id"], one.id());
    let user = server.ctl_json(&["user", two.id()]);
    assert_eq!(user["channels"][0]["channel"], ROOMS[1]);
    assert_eq!(user["channels"][0]["crown"], true);
    assert_eq!(user["connections"][0]["address"], "127.0.0.1");
    let channels = server.ctl_json(&["channels", "--peopled", "--limit", "1"]);
    assert_eq!(channels["channels"].as_array().map(Vec::len), Some(1));
    let channel = server.ctl_json(&["channel", ROOMS[0]]);
    assert_eq!((&channel["count"], &channel["people"][0]["id"]), (&json!(1), &json!(one.id())));
    let top = server.ctl_json(&["top"]);
    let sum: u64 = top["shard_list"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|shard| shard["connections"].as_u64().expect("a number"))
        .sum();
    assert_eq!(sum, 2);
    assert_eq!(hidden_rooms(&server), 0);
    assert_eq!(server.ctl_refused(&["user", NOBODY]), "no_such_user");
    assert_eq!(server.ctl_refused(&["user", "nobody"]), "bad_user");
    assert_eq!(server.ctl_refused(&["channel", "nowhere"]), "no_such_channel");
    let text = server.ctl(&["status"]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("connections   2"));
}

fn operators_say_and_notify(plan: Plan) {
    let server = plan.start();
    let mut one = server.join(ROOMS[0]);
    let mut two = server.join(ROOMS[2]);
    assert_eq!(server.ctl_json(&["say", ROOMS[0], "hello", "there"])["reached"], 1);
    let said = one.expect("a");
    assert_eq!((&said["a"], &said["p"]["name"]), (&json!("hello there"), &json!("Server")));
    assert_eq!(server.ctl_refused(&["say", "nowhere", "hello"]), "no_such_channel");
    server.ctl_json(&["notice", "--all", "--title", "Soon", "at noon"]);
    for client in [&mut one, &mut two] {
        let notice = client.expect("notification");
        assert_eq!((&notice["title"], &notice["text"]), (&json!("Soon"), &json!("at noon")));
    }
    server.ctl_json(&["notice", "--channel", ROOMS[2], "for you here"]);
    assert_eq!(two.expect("notification")["text"], "for you here");
    let id = one.id().to_owned();
    server.ctl_json(&["notice", "--user", &id, "--for", "5s", "for you"]);
    let notice = one.expect("notification");
    assert_eq!((&notice["text"], &notice["duration"]), (&json!("for you"), &json!(5_000)));
    two.nothing();
    assert_eq!(server.ctl_refused(&["notice", "--user", NOBODY, "for you"]), "no_such_user");
}

fn a_kicked_user_is_told_and_gone_everywhere(plan: Plan) {
    let server = plan.production().start();
    let mut watcher = server.join_from("203.0.113.1", ROOMS[0]);
    let mut here = server.join_from("203.0.113.2", ROOMS[0]);
    let mut there = server.join_from("203.0.113.2", ROOMS[1]);
    watcher.clear();
    let id = here.id().to_owned();
    assert_eq!(server.ctl_json(&["kick", &id, "--reason", "too loud"])["reached"], 2);
    for client in [&mut here, &mut there] {
        let notice = client.expect("notification");
        assert!(notice["text"].as_str().is_some_and(|text| text.contains("too loud")), "{notice}");
        client.closed_with(4010);
    }
    assert_eq!(watcher.expect("bye")["p"], id.as_str());
    assert_eq!(server.ctl_refused(&["kick", &id]), "no_such_user");
    // A kick is no ban.
    server.join_from("203.0.113.2", ROOMS[0]);
}

fn one_connection_is_closed_and_the_others_stay(plan: Plan) {
    let server = plan.production().start();
    let mut one = server.join_from("203.0.113.2", ROOMS[0]);
    let mut two = server.join_from("203.0.113.2", ROOMS[1]);
    let user = server.ctl_json(&["user", one.id()]);
    let connection = user["connections"][0]["connection"].as_str().expect("a name").to_owned();
    server.ctl_json(&["disconnect", &connection]);
    let (closed, stays) = eventually("one of them is closed", || {
        one.watch(std::time::Duration::from_millis(10));
        two.watch(std::time::Duration::from_millis(10));
        (one.is_over() || two.is_over()).then(|| (one.is_over(), two.is_over()))
    });
    assert!(closed != stays, "one of them alone");
    if closed {
        one.closed_with(4010)
    } else {
        two.closed_with(4010)
    }
    let left = server.ctl_json(&["user", one.id()]);
    assert_eq!(left["connections"].as_array().map(Vec::len), Some(1));
    // A shard that it went through may take it for one that is on its way.
    let again = server.ctl(&["--json", "disconnect", &connection]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.contains("no_such_connection") || said.contains("\"reached\":0"), "{said}");
    assert_eq!(server.ctl_refused(&["disconnect", "x"]), "bad_connection");
}

#[track_caller]
fn forbidden(server: &Server, address: &str) {
    let refused = server.socket_with(&server.dial_from(address)).expect_err("it is banned");
    assert_eq!(refused.status, 403, "{refused:?}");
}

fn a_banned_network_is_refused_and_closed_at_once_and_after_a_restart(plan: Plan) {
    let mut server = plan.production().admin().start();
    let mut inside = server.join_from("198.51.100.7", ROOMS[0]);
    let mut v6 = server.join_from("2001:db8:1::7", ROOMS[1]);
    let mut outside = server.join_from("203.0.113.1", ROOMS[0]);
    let ban = server.ctl_json(&["ban", "198.51.100.0/24", "--reason", "flood"]);
    assert_eq!(ban["closed"], 1);
    assert!(
        inside.expect("notification")["text"].as_str().is_some_and(|text| text.contains("flood"))
    );
    inside.closed_with(4008);
    let ban = server.ctl_json(&["ban", "2001:db8:1::/48", "--for", "1h"]);
    assert_eq!(ban["closed"], 1);
    v6.closed_with(4008);
    outside.barrier();
    for _ in 0..2 {
        for banned in ["198.51.100.255", "::ffff:198.51.100.1", "2001:db8:1:ffff::1"] {
            forbidden(&server, banned);
        }
        server.guest_from("198.51.101.1").hang_up();
        server.guest_from("2001:db8:2::1").hang_up();
        let bans = server.ctl_json(&["bans"]);
        assert_eq!(bans["bans"].as_array().map(Vec::len), Some(2), "{bans}");
        let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
        assert!(metrics.contains("tutti_site_bans 2\n"), "{metrics}");
        assert!(!metrics.contains("tutti_banned_refused_total 0\n"), "{metrics}");
        // Killed, not stopped: what was confirmed is on the disk.
        server.do_not_judge();
        server.signal(Signal::KILL);
        server.wait(tutti_tests::WITHIN);
        server.restart();
    }
}

fn a_banned_user_is_refused_at_hello(plan: Plan) {
    let server = plan.production().set("limits.refused_ms", 300).start();
    let mut live = server.join_from("203.0.113.5", ROOMS[0]);
    let id = live.id().to_owned();
    assert_eq!(server.ctl_json(&["ban", &id])["closed"], 1);
    live.closed_with(4008);
    let mut again = server.open_from("203.0.113.5");
    again.send(json!({"m": "hi"}));
    again.expect("notification");
    again.closed_with(4008);
    server.guest_from("203.0.113.6").hang_up();
    server.ctl_json(&["unban", &id]);
    server.guest_from("203.0.113.5").hang_up();
}

fn bans_end_and_are_lifted(plan: Plan) {
    let server = plan.production().start();
    server.ctl_json(&["ban", "203.0.113.7", "--for", "1s"]);
    server.ctl_json(&["ban", "203.0.113.8"]);
    forbidden(&server, "203.0.113.7");
    eventually("the ban ends", || {
        server.socket_with(&server.dial_from("203.0.113.7")).ok().map(drop)
    });
    forbidden(&server, "203.0.113.8");
    // However it is written.
    server.ctl_json(&["unban", "::ffff:203.0.113.8/128"]);
    server.guest_from("203.0.113.8").hang_up();
    assert_eq!(server.ctl_refused(&["unban", "203.0.113.8"]), "nothing_to_lift");
    for bad in ["0.0.0.0/0", "::/0", "nobody", "203.0.113.0/33", ""] {
        assert_eq!(server.ctl_refused(&["ban", bad]), "bad_target", "{bad}");
    }
}

fn proxies_are_never_banned(plan: Plan) {
    let server = plan.production().start();
    assert_eq!(server.ctl_refused(&["ban", "127.0.0.1"]), "bad_target");
    server.ctl_json(&["ban", "127.0.0.0/8"]);
    server.guest_from("203.0.113.8").hang_up();
    server.guest().hang_up();
    forbidden(&server, "127.0.0.2");
}

fn channel_bans_hold_until_they_are_lifted(plan: Plan) {
    let server = plan.production().start();
    for room in ROOMS {
        let mut stays = server.join_from("203.0.113.1", room);
        let mut goes = server.join_from("203.0.113.2", room);
        let id = goes.id().to_owned();
        server.ctl_json(&["ban", &id, "--channel", room, "--for", "10m"]);
        goes.expect("notification");
        assert_eq!(goes.joined().room(), "test/awkward");
        let bans = server.ctl_json(&["bans", "--channel", room]);
        assert_eq!(bans["bans"][0]["user"], id.as_str());
        goes.send(json!({"m": "ch", "_id": room}));
        assert_eq!(goes.joined().room(), "test/awkward");
        server.ctl_json(&["unban", &id, "--channel", room]);
        assert_eq!(goes.enter(json!({"m": "ch", "_id": room})).room(), room);
        server.ctl_json(&["kick", &id, "--channel", room]);
        assert_eq!(goes.joined().room(), "test/awkward");
        assert_eq!(server.ctl_refused(&["unban", &id, "--channel", room]), "nothing_to_lift");
        assert_eq!(server.ctl_refused(&["ban", &id, "--channel", "lobby"]), "lobby");
        goes.hang_up();
        stays.barrier();
    }
}

fn text_of(notice: &Value) -> &str {
    notice["text"].as_str().expect("a notice has a text")
}

fn the_muted_are_not_heard(plan: Plan) {
    let server = plan.production().admin().start();
    for room in ROOMS {
        let mut hears = server.join_from("203.0.113.1", room);
        let mut talks = server.join_from("203.0.113.2", room);
        let id = talks.id().to_owned();
        hears.clear();
        server.ctl_json(&["mute", &id, "--for", "10m", "--reason", "noise"]);
        assert_eq!(text_of(&talks.expect("notification")), "You are muted for 10 minutes.");
        talks.barrier();
        talks.say("one");
        assert_eq!(text_of(&talks.expect("notification")), "You are muted for 10 minutes more.");
        talks.send(json!({"m": "dm", "_id": hears.id(), "message": "two"}));
        talks.expect("notification");
        hears.barrier();
        hears.lacks("a");
        hears.lacks("dm");
        assert!(server.ctl_json(&["user", &id])["muted_until_ms"].is_number());
        server.ctl_json(&["unmute", &id]);
        talks.expect("notification");
        assert_eq!(server.ctl_refused(&["unmute", &id]), "nothing_to_lift");
        server.ctl_json(&["mute", &id, "--channel", room, "--for", "60s"]);
        assert_eq!(text_of(&talks.expect("notification")), "You are muted for 60 seconds.");
        talks.say("three");
        talks.expect("notification");
        let channel = server.ctl_json(&["channel", room]);
        assert_eq!(channel["muted"][0]["user"], id.as_str());
        server.ctl_json(&["unmute", &id, "--channel", room]);
        talks.expect("notification");
        hears.clear();
        talks.say("four");
        assert_eq!(hears.expect("a")["a"], "four");
        talks.hang_up();
        hears.hang_up();
    }
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(metrics.contains("tutti_mutes_total 6\n"), "{metrics}");
    assert_eq!(server.ctl_refused(&["mute", NOBODY]), "no_such_user");
}

fn a_closed_channel_is_gone_and_its_people_are_in_the_lobby(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut one = server.join(room);
        let mut two = server.join(room);
        one.say("remember me");
        two.expect("a");
        one.clear();
        two.clear();
        assert_eq!(server.ctl_json(&["close", room, "--reason", "over"])["reached"], 2);
        for client in [&mut one, &mut two] {
            assert!(text_of(&client.expect("notification")).contains("over"));
            assert!(client.joined().room().starts_with("lobby"));
        }
        assert_eq!(server.ctl_refused(&["channel", room]), "no_such_channel");
        one.clear();
        // A new one of the same name remembers nothing.
        one.send(json!({"m": "ch", "_id": room}));
        assert_eq!(one.expect("c")["c"], json!([]));
        one.hang_up();
        two.hang_up();
    }
    assert_eq!(server.ctl_refused(&["close", "lobby"]), "permanent");
    assert_eq!(server.ctl_refused(&["close", "nowhere"]), "no_such_channel");
}

fn names_and_tags_are_changed(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut one = server.join(room);
        let id = one.id().to_owned();
        server.ctl_json(&["rename", &id, "Ada"]);
        assert_eq!(one.expect("p")["name"], "Ada");
        server.ctl_json(&["tag", &id, "MOD", "--color", "#112233"]);
        let shown = one.expect("p");
        assert_eq!(shown["tag"], json!({"text": "MOD", "color": "#112233"}));
        server.ctl_json(&["tag", &id]);
        assert!(one.expect("p").get("tag").is_none());
        assert_eq!(server.ctl_refused(&["rename", &id, ""]), "bad_name");
        assert_eq!(server.ctl_refused(&["tag", &id, "x", "--color", "red"]), "bad_color");
        one.hang_up();
    }
    assert_eq!(server.ctl_refused(&["rename", NOBODY, "Ada"]), "no_such_user");
}

fn panic_levels_do_what_they_say(plan: Plan) {
    let server = plan
        .production()
        .set("panic.connections_per_second", 0)
        .set("panic.guest_ms", 3_600_000)
        .start();
    let mut one = server.join_from("203.0.113.1", ROOMS[1]);
    let mut two = server.join_from("203.0.113.2", ROOMS[1]);
    two.clear();
    assert_eq!(server.ctl_json(&["panic"])["level"], 0);
    server.ctl_json(&["panic", "1"]);
    assert!(server.socket_with(&server.dial_from("203.0.113.3")).is_err());
    one.say("heard");
    assert_eq!(two.expect("a")["a"], "heard");
    server.ctl_json(&["panic", "2"]);
    one.clear();
    one.say("not heard");
    assert!(text_of(&one.expect("notification")).starts_with("You are muted for"));
    two.barrier();
    two.lacks("a");
    server.ctl_json(&["panic", "3"]);
    let refused = server.socket_with(&server.dial_from("203.0.113.3"));
    assert_eq!(refused.expect_err("nobody is let in").status, 503);
    server.ctl_json(&["panic", "0"]);
    server.guest_from("203.0.113.3").hang_up();
    two.clear();
    one.say("heard again");
    assert_eq!(two.expect("a")["a"], "heard again");
}

fn everything_is_in_the_audit_log(plan: Plan) {
    let mut server = plan.set("admin.password", "\"hush\"").start();
    let mut staff = server.join(ROOMS[0]);
    let id = staff.id().to_owned();
    server.ctl_json(&["--as", "mira", "ban", "203.0.113.7", "--reason", "flood", "--for", "1h"]);
    server.ctl_refused(&["kick", NOBODY]);
    server.ctl_json(&["panic", "1"]);
    server.ctl_json(&["panic", "0"]);
    staff.send(json!({"m": "admin message", "password": "hush", "msg": {"m": "clear_chat"}}));
    staff.barrier();
    let log = eventually("what staff did is written", || {
        let log = server.ctl_json(&["audit"])["entries"].clone();
        log.as_array().filter(|log| log.len() == 5).cloned()
    });
    let column = |key: &str| log.iter().map(|entry| entry[key].clone()).collect::<Vec<Value>>();
    assert_eq!(column("what"), ["clear", "panic", "panic", "kick", "ban"]);
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(column("who")[0], format!("staff {id}"));
    assert_eq!(column("who")[3], format!("uid {uid}"));
    assert_eq!(column("who")[4], format!("uid {uid} as mira"));
    assert_eq!(column("reason")[4], "flood");
    assert!(column("details")[3].as_str().is_some_and(|text| text.contains("no_such_user")));
    server.restart();
    let again = server.ctl_json(&["audit", "--limit", "2"]);
    assert_eq!(again["entries"], json!(log[..2]));
}
