//! The control socket itself: who may use it, what it makes of nonsense, and how the server is reloaded and drained.

use crate::ROOMS;
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tutti_tests::server::{Plan, Server, run};
use tutti_tests::{WITHIN, eventually};

on_1_2_5_shards! {
    a_reload_takes_up_what_it_can,
    a_drain_waits_for_people_and_ends,
    a_drain_has_an_end,
}

fn change(server: &Server, from: &str, to: &str) {
    let path = server.dir().join("tutti.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration is there");
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).expect("the folder is writable");
}

fn keys(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter().map(|change| change["key"].as_str().expect("a name")).collect()
}

fn a_reload_takes_up_what_it_can(plan: Plan) {
    let server = plan
        .production()
        .set("motd", "\"first\"")
        .set("limits.chat_length", 100)
        .set("limits.connections_per_address", 1)
        .set("lobby.capacity", 20)
        .set("tokens", "true")
        .start();
    let dial = server.dial_from("203.0.113.1");
    let mut one = server.join_from("203.0.113.1", "lobby");
    assert_eq!(one.hello()["motd"], "first");
    assert!(server.socket_with(&dial).is_err(), "one connection an address");
    one.say(&"x".repeat(50));
    assert_eq!(one.expect("a")["a"].as_str().map(str::len), Some(50));
    for (from, to) in [
        ("motd = \"first\"", "motd = \"second\""),
        ("limits.chat_length = 100", "limits.chat_length = 10"),
        ("limits.connections_per_address = 1", "limits.connections_per_address = 2"),
        ("lobby.capacity = 20", "lobby.capacity = 1"),
        ("tokens = true", "tokens = false"),
    ] {
        change(&server, from, to);
    }
    let done = server.ctl_json(&["reload"]);
    let live = ["motd", "lobby.capacity", "limits.connections_per_address", "limits.chat_length"];
    assert_eq!(keys(&done["changed"]), live, "{done}");
    assert_eq!(keys(&done["needs_restart"]), ["tokens"]);
    // A channel of its own rate, so that the first words do not count.
    one.clear();
    one.say(&"y".repeat(50));
    one.say("short");
    assert_eq!(one.expect("a")["a"], "short");
    let mut two = server.open_from("203.0.113.1");
    let hello = two.hi();
    assert_eq!(hello["motd"], "second");
    assert!(hello["token"].is_string(), "tokens wait for a restart");
    assert!(server.socket_with(&dial).is_err(), "two connections an address");
    let mut other = server.guest_from("203.0.113.9");
    assert_eq!(other.enter(json!({"m": "ch", "_id": "lobby"})).room(), "lobby2");
    // What is not taken up is still said the next time; the rest is not.
    let done = server.ctl_json(&["reload"]);
    assert_eq!((keys(&done["changed"]).len(), keys(&done["needs_restart"])), (0, vec!["tokens"]));

    change(&server, "motd = \"second\"", "motd = \"third\"\nlimits.chat_lenght = 5");
    assert_eq!(server.ctl_refused(&["reload"]), "bad_configuration");
    let output = server.ctl(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("limits.chat_length") && said.contains("nothing was changed"), "{said}");
    let log = server.ctl_json(&["audit", "--limit", "3"])["entries"].clone();
    let entry = |n: usize| (log[n]["what"].clone(), log[n]["details"].clone());
    let failed = (json!("reload"), json!("failed: bad_configuration"));
    assert_eq!((entry(0), entry(1)), (failed.clone(), failed), "both are in the audit log");
    assert_eq!(entry(2).0, "reload");
    assert_ne!(entry(2).1, "failed: bad_configuration", "{log}");
    other.hang_up();
    let mut other = server.open_from("203.0.113.9");
    assert_eq!(other.hi()["motd"], "second", "a broken file changes nothing");
    other.hang_up();
    change(&server, "\nlimits.chat_lenght = 5", "");
    server.signal(Signal::HUP);
    eventually("a signal reloads", || {
        let mut other = server.open_from("203.0.113.9");
        let motd = other.hi()["motd"].clone();
        other.hang_up();
        (motd == "third").then_some(())
    });
}

fn a_drain_waits_for_people_and_ends(plan: Plan) {
    let mut server = plan.admin().start();
    let mut one = server.join(ROOMS[0]);
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| server.ctl(&["--json", "drain", "--for", "60s", "see you"]));
        assert_eq!(one.expect("notification")["text"], "see you");
        eventually("nobody new is let in", || {
            std::net::TcpStream::connect(server.addr()).is_err().then_some(())
        });
        assert_eq!(tutti_tests::http::get(server.admin(), "/readyz").status, 503);
        assert_eq!(server.ctl_refused(&["drain"]), "draining");
        // Those who are there go on.
        one.say("still here");
        one.expect("a");
        one.hang_up();
        let output = drained.join().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("progress") && text.contains("\"closed\":0"), "{text}");
    });
    assert_eq!(server.wait(WITHIN).and_then(|status| status.code()), Some(0), "{}", server.log());
    assert!(!server.ctl_socket().exists());
    assert_eq!(server.ctl(&["status"]).status.code(), Some(69));
}

fn a_drain_has_an_end(plan: Plan) {
    let mut server = plan.start();
    let mut one = server.join(ROOMS[0]);
    let begun = Instant::now();
    assert_eq!(server.ctl_json(&["drain", "--for", "1s"])["closed"], 1);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    one.closed_with(4000);
    assert_eq!(server.wait(WITHIN).and_then(|status| status.code()), Some(0), "{}", server.log());
}

#[test]
fn the_socket_is_for_its_owner_and_one_server() {
    let mut server = Plan::new(1).start();
    let path = server.ctl_socket();
    let found = std::fs::metadata(&path).expect("the socket is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let data = server.dir().join("data");
    let second = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--quic",
        "off",
        "--shards",
        "1",
        "--data",
        data.to_str().expect("a plain name"),
    ]);
    assert_ne!(second.status.code(), Some(0));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("--data"), "{said}");
    server.ctl_json(&["status"]);
    // One that is killed leaves its socket behind, which is replaced.
    server.do_not_judge();
    server.signal(Signal::KILL);
    server.wait(WITHIN);
    assert!(path.exists());
    assert_eq!(server.ctl(&["status"]).status.code(), Some(69));
    server.restart();
    server.ctl_json(&["status"]);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn nonsense_is_answered_and_costs_nobody_else() {
    let server = Plan::new(2).set("control.line_bytes", 1_024).admin().start();
    let code = |bytes: &[u8]| {
        let answers = server.ctl_raw(bytes);
        let last = answers.last().expect("an answer");
        last["error"]["code"].as_str().expect("a failure").to_owned()
    };
    for bad in [
        "{}",
        "[]",
        "null",
        "{\"do\":{}}",
        "{\"do\":{\"dance\":{}}}",
        "{\"do\":{\"status\":{\"x\":1}}}",
        "{\"do\":{\"kick\":{}}}",
        "{\"do\":{\"mute\":{\"user\":\"x\",\"seconds\":-1}}}",
        "{\"do\":{\"status\":{}},\"x\":1}",
        "{\"do\":{\"status\":{}}",
        "GET / HTTP/1.1\r",
        "\u{0}\u{1}\u{2}",
    ] {
        assert_eq!(code(format!("{bad}\n").as_bytes()), "bad_request", "{bad}");
    }
    assert_eq!(code(b"\xff\xfe\x00\n"), "bad_request");
    assert_eq!(
        code(&[b'['; 1_000].map(|_| b'[').iter().chain(b"\n").copied().collect::<Vec<_>>()),
        "bad_request"
    );
    assert_eq!(code(&vec![b'x'; 1 << 20]), "line_too_long");
    // Two in one write, the second without its end: that one is never asked.
    let answers = server.ctl_raw(b"\n{\"id\":7,\"do\":{\"status\":{}}}\n{\"id\":8,\"do\"");
    assert_eq!(answers.len(), 1);
    assert_eq!((&answers[0]["id"], answers[0]["ok"].is_object()), (&json!(7), true));
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(metrics.contains("tutti_control_long_lines_total 1\n"), "{metrics}");
}

#[test]
fn thousands_of_connections_are_turned_away_and_leave_nothing() {
    let server = Plan::new(1).set("control.peers", 4).admin().start();
    let held: Vec<UnixStream> = (0..4)
        .map(|_| UnixStream::connect(server.ctl_socket()).expect("the socket is there"))
        .collect();
    eventually("the fifth is turned away", || {
        let answers = server.ctl_raw(b"{\"do\":{\"status\":{}}}\n");
        (answers.first()?["error"]["code"] == "busy").then_some(())
    });
    for _ in 0..3_000 {
        let _ = UnixStream::connect(server.ctl_socket());
    }
    let one = server.join(ROOMS[0]);
    drop(held);
    eventually("there is room again", || server.ctl(&["status"]).status.success().then_some(()));
    let metrics = tutti_tests::http::get(server.admin(), "/metrics").text();
    assert!(!metrics.contains("tutti_control_peers_refused_total 0\n"), "{metrics}");
    one.hang_up();
}

#[test]
fn the_log_filter_is_changed_while_it_runs() {
    let server = Plan::new(1).start();
    server.guest().hang_up();
    assert!(!server.log().contains("DEBUG"), "{}", server.log());
    assert_eq!(server.ctl_json(&["log", "debug"])["filter"], "debug");
    eventually("more is logged", || {
        server.guest().hang_up();
        server.log().contains("DEBUG").then_some(())
    });
    assert_eq!(server.ctl_refused(&["log", "tutti=loud"]), "bad_filter");
    assert_eq!(server.ctl_json(&["log"])["filter"], "debug");
}

#[test]
fn exit_codes_tell_who_is_at_fault() {
    let output = run(&["ctl", "--data", "memory", "status"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--socket"));
    assert_eq!(run(&["ctl", "dance"]).status.code(), Some(2));
    assert_eq!(run(&["ctl", "notice", "to nobody"]).status.code(), Some(2));
}

/// The disk refuses for a while: whoever is banned meanwhile is out all the same, and the ban is kept when it can be.
#[test]
fn a_ban_holds_while_the_disk_refuses() {
    const BANNED: &str = "203.0.113.9";
    let mut server = Plan::new(2).production().behind_proxy().start();
    let mut loud = server.join_from(BANNED, ROOMS[0]);
    server.ctl_json(&["ban", "203.0.113.10"]);
    // Whoever has a lock of the index of the log keeps SQLite from writing. It goes with the descriptor.
    let index = server.dir().join("data/tutti.db-shm");
    let index = OpenOptions::new().read(true).write(true).open(index).expect("it is there");
    rustix::fs::fcntl_lock(&index, FlockOperation::NonBlockingLockShared).expect("nobody writes");
    let done = server.ctl_json(&["ban", BANNED]);
    assert_eq!(done["closed"], 1);
    assert!(done["warning"].as_str().is_some_and(|text| text.contains("storage")), "{done}");
    loud.closed_with(4008);
    let done = server.ctl_json(&["unban", "203.0.113.10"]);
    assert!(done["warning"].is_string(), "{done}");
    server.guest_from("203.0.113.10").hang_up();
    drop(index);
    let bans = || {
        let bans = server.ctl_json(&["bans"])["bans"].take();
        let list = bans.as_array().expect("a list").iter();
        list.map(|ban| ban["target"].as_str().expect("a target").to_owned()).collect::<Vec<_>>()
    };
    eventually("storage works again", || {
        let audit = server.ctl_json(&["audit"]);
        audit["entries"].as_array().filter(|entries| entries.len() == 3).map(|_| ())
    });
    assert_eq!(bans(), [BANNED]);
    server.do_not_judge();
    server.crash();
    let refused = server.socket_with(&server.dial_from(BANNED)).expect_err("it is banned");
    assert_eq!(refused.status, 403, "{refused:?}");
}
