//! Command line, configuration and signals.

use crate::ROOMS;
use rustix::process::Signal;
use serde_json::json;
use std::time::{Duration, Instant};
use tutti_tests::mpp::Client;
use tutti_tests::server::{Plan, run};
use tutti_tests::ws::Dial;

on_1_2_5_shards!(
    sigterm_ends_it_quickly,
    sigint_is_the_same,
    a_second_signal_ends_it_at_once,
    it_starts_again_on_the_same_port,
);

fn sigterm_ends_it_quickly(plan: Plan) {
    let mut server = plan.start();
    let mut clients: Vec<Client> = ROOMS.map(|room| server.join(room)).into();
    let start = Instant::now();
    server.signal(Signal::TERM);
    for client in &mut clients {
        client.closed_with(4000);
    }
    let status = server.wait(Duration::from_secs(10)).expect("the server ends");
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    assert_eq!(server.socket_with(&Dial::default()).expect_err("nobody is there").status, 0);
}

fn sigint_is_the_same(plan: Plan) {
    let mut server = plan.start();
    let mut a = server.join(ROOMS[0]);
    server.signal(Signal::INT);
    a.closed_with(4000);
    assert_eq!(server.wait(Duration::from_secs(10)).and_then(|status| status.code()), Some(0));
}

/// A peer that takes nothing keeps the first signal waiting for its deadline; a second one does not wait.
fn a_second_signal_ends_it_at_once(plan: Plan) {
    let mut server = plan.unlimited().start();
    let mut a = server.join(ROOMS[0]);
    let ws = server.socket_with(&Dial::default().recv_buffer(4096)).expect("an upgrade");
    let mut stuck = Client::new(ws);
    stuck.hi();
    stuck.join(ROOMS[0]);
    for i in 0..300 {
        a.say(&format!("{i} {}", "x".repeat(500)));
    }
    a.barrier();
    server.do_not_judge();
    server.signal(Signal::TERM);
    // The first may already have ended it: then there is nothing left to hurry.
    if server.wait(Duration::from_millis(30)).is_none() {
        let start = Instant::now();
        server.signal(Signal::TERM);
        assert!(server.wait(Duration::from_secs(10)).is_some(), "it does not end");
        assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
    }
}

fn it_starts_again_on_the_same_port(plan: Plan) {
    let mut server = plan.start();
    for _ in 0..3 {
        let mut a = server.join(ROOMS[0]);
        a.say("round");
        a.expect("a");
        server.restart();
        a.closed_with(4000);
    }
    server.guest().barrier();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn default_configuration_parses_and_is_accepted() {
    let output = run(&["config", "--default"]);
    assert!(output.status.success(), "{output:?}");
    let printed = text(&output.stdout);
    let parsed: toml::Table = printed.parse().expect("TOML");
    assert!(!printed.trim().is_empty());
    let commented = printed.lines().filter(|line| line.trim_start().starts_with('#')).count();
    assert!(commented > 20, "every key has a comment: {printed}");
    let has = |path: &str| {
        let mut at = Some(toml::Value::Table(parsed.clone()));
        for key in path.split('.') {
            at = at.and_then(|value| value.get(key).cloned());
        }
        // A key whose default is "not set" may stand in a comment.
        at.is_some() || printed.contains(path.rsplit('.').next().unwrap_or(path))
    };
    for key in [
        "crown.on_leave",
        "crown.pickup_ms",
        "trusted_proxies",
        "origins",
        "tokens",
        "admin.password",
        "lobby.capacity",
        "channel.empty_ms",
        "chat.history",
        "quota.tick_ms",
        "quota.lobby.allowance",
        "quota.normal.max",
        "quota.crown.max",
        "limits.connections",
        "limits.connections_per_address",
        "limits.connections_per_user",
        "limits.message_bytes",
        "limits.bytes_in",
        "limits.messages_in",
        "limits.outbox_bytes",
        "limits.name_length",
        "limits.chat_length",
        "limits.handshake_ms",
        "limits.hello_ms",
        "limits.ping_ms",
        "limits.silence_ms",
        "limits.json_depth",
        "cursor.tick_ms",
        "flush.delay_max_ms",
        "hot.promote_rate",
        "hot.promote_members",
        "hot.demote_rate",
        "hot.demote_after_s",
        "hot.max",
        "rate.chat",
        "rate.chat_holder",
        "rate.join",
        "rate.time",
    ] {
        assert!(has(key), "{key} is not in\n{printed}");
    }
    // What it prints can be given back to it.
    let file = std::env::temp_dir().join(format!("tutti-default-{}.toml", std::process::id()));
    std::fs::write(&file, &printed).expect("a writable folder");
    let path = file.to_string_lossy().into_owned();
    let output = run(&["config", "--config", &path]);
    std::fs::remove_file(&file).expect("the file was ours");
    assert!(output.status.success(), "{output:?}");
}

/// The configuration page promises these values.
#[test]
fn defaults_are_those_of_the_protocol_page() {
    let output = run(&["config", "--default"]);
    // Keys whose defaults stand in comments count as well.
    let printed: String = text(&output.stdout)
        .lines()
        .map(|line| {
            line.trim_start()
                .strip_prefix("# ")
                .filter(|l| l.contains(" = "))
                .unwrap_or(line)
                .to_owned()
                + "\n"
        })
        .collect();
    for wanted in [
        "pickup_ms = 15000",
        "on_leave = \"transfer\"",
        "tick_ms = 2000",
        "empty_ms = 3000",
        "history = 32",
        "ping_ms = 30000",
        "silence_ms = 90000",
        "handshake_ms = 10000",
        "hello_ms = 30000",
        "message_bytes = 131072",
        "outbox_bytes = 1048576",
        "name_length = 40",
        "chat_length = 512",
        "capacity = 20",
        "promote_rate = 100",
        "promote_members = 64",
        "demote_rate = 20",
        "demote_after_s = 60",
        "connections_per_user = 8",
        "connections_per_address = 16",
    ] {
        let plain: String = printed.replace('_', "");
        assert!(plain.contains(&wanted.replace('_', "")), "no `{wanted}` in\n{printed}");
    }
}

#[test]
fn unknown_keys_name_the_nearest() {
    let file = std::env::temp_dir().join(format!("tutti-unknown-{}.toml", std::process::id()));
    for (line, nearest) in [
        ("limits.mesage_bytes = 1", "message_bytes"),
        ("crown.on_leav = \"drop\"", "on_leave"),
        ("trusted_proxy = []", "trusted_proxies"),
        ("[quota.loby]\nmax = 1", "lobby"),
    ] {
        std::fs::write(&file, line).expect("a writable folder");
        let output = run(&["config", "--config", &file.to_string_lossy()]);
        assert!(!output.status.success(), "{line} is accepted");
        let said = text(&output.stderr);
        assert!(said.contains(nearest), "{line}: {said}");
    }
    for line in [
        "crown.on_leave = \"maybe\"",
        "limits.ping_ms = \"x\"",
        "limits.ping_ms = -1",
        "not toml at all [",
    ] {
        std::fs::write(&file, line).expect("a writable folder");
        let output = run(&["config", "--config", &file.to_string_lossy()]);
        assert!(!output.status.success(), "{line} is accepted");
        assert!(!output.stderr.is_empty());
    }
    std::fs::remove_file(&file).expect("the file was ours");
}

#[test]
fn flags_over_environment_over_file_over_defaults() {
    let plan = Plan::new(1).set("limits.name_length", 10);
    let server = plan.clone().start();
    let mut a = server.join(ROOMS[0]);
    a.send(json!({"m": "userset", "set": {"name": "x".repeat(11)}}));
    a.nothing();
    a.send(json!({"m": "userset", "set": {"name": "x".repeat(10)}}));
    a.expect("p");
    // `NODE_ENV` would make it production, but the flag says development.
    let server =
        plan.env("NODE_ENV", "production").env("SALT1", "alpha").env("SALT2", "beta").start();
    assert_ne!(server.guest().id(), server.guest().id());
}

#[test]
fn check_says_whether_the_host_is_fit() {
    let output = run(&["check", "--json"]);
    assert!(matches!(output.status.code(), Some(0..=2)), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(report.to_string().contains("io_uring"), "{report}");
    let output = run(&["check"]);
    assert!(text(&output.stdout).contains("io_uring"), "{output:?}");
}

#[test]
fn a_start_that_cannot_work_says_why() {
    let server = Plan::new(1).start();
    let taken = server.addr().to_string();
    for args in [
        vec!["serve", "--listen", "not an address", "--data", "memory"],
        vec!["serve", "--config", "/nonexistent/tutti.toml", "--data", "memory"],
        vec!["serve", "--mode", "banana", "--data", "memory"],
        vec!["serve", "--listen", "127.0.0.1:0", "--shards", "0", "--data", "memory"],
        vec!["serve", "--listen", "192.0.2.1:1", "--data", "memory", "--admin", "off"],
        vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            &taken,
            "--quic",
            "off",
            "--data",
            "memory",
        ],
        vec!["frobnicate"],
    ] {
        let output = run(&args);
        assert!(!output.status.success(), "{args:?}");
        let said = text(&output.stderr);
        assert!(!said.trim().is_empty() && !said.contains("panicked"), "{args:?}: {said}");
    }
}
