//! Terminals: what a server of the line chat did is what the result says.

use crate::chat_server::{ChatServer, Wrong};
use crate::tool::{Ended, number, run, run_scenario};

/// Two rooms of four terminals, two of which write 50 lines a second each for a second: 800 deliveries.
const TERMINALS: &[&str] = &[
    "tcp-chat",
    "--json=-",
    "--channels=2",
    "--members=4",
    "--senders=2",
    "--rate=50",
    "--seconds=1",
    "--set=warm_s=0",
    "--set=settle_s=0",
    "--wait=0",
];

fn terminals(server: &ChatServer, more: &[&str]) -> Ended {
    run(&[TERMINALS, &["--url", &server.url()], more].concat())
}

#[track_caller]
fn check(wrong: Wrong, more: &[&str]) {
    let server = ChatServer::start(wrong.clone());
    let ended = terminals(&server, more);
    let (result, did) = (ended.result(), server.did());
    println!("{wrong:?}: {did:?}");
    println!("{}", result["faults"]);
    assert!(did.due > 400, "{did:?}");
    let faults = [
        ("lost", did.lost),
        ("repeated", did.repeated),
        ("reordered", did.reordered),
        ("corrupted", did.corrupted),
        ("stray", did.stray),
    ];
    for (name, count) in faults {
        let found = number(&result, &format!("/faults/{name}")) as u64;
        assert_eq!(found, count, "{name} with {wrong:?}: {}", result["faults"]);
    }
    assert_eq!(result["faults"]["closed"], serde_json::json!({}), "{wrong:?}");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn a_chat_that_does_well_has_no_faults() {
    check(Wrong::Nothing, &[]);
    check(Wrong::Nothing, &["--set=merge=true"]);
    check(Wrong::Nothing, &["--set=accounting=totals"]);
}

#[test]
fn faults_of_lines_are_counted_exactly() {
    check(Wrong::Lose(7), &[]);
    check(Wrong::Repeat(5), &[]);
    check(Wrong::Reorder(11), &[]);
    check(Wrong::Misplace(9), &[]);
}

#[test]
fn lines_that_were_changed_are_corrupted_and_what_they_were_is_lost() {
    check(Wrong::Corrupt(13), &[]);
    check(Wrong::Misname(13), &[]);
}

#[test]
fn lines_in_pieces_are_put_together() {
    check(Wrong::Split, &[]);
}

#[test]
fn lines_over_a_limit_are_lost_and_the_limit_is_named() {
    let server = ChatServer::start(Wrong::Limit(10));
    let ended = terminals(&server, &[]);
    let (result, did) = (ended.result(), server.did());
    assert_eq!(number(&result, "/faults/lost") as u64, did.lost);
    assert_eq!(number(&result, "/figures/notifications") as u64, did.notes / 10);
    let remarks = result["remarks"].to_string();
    assert!(remarks.contains("You are sending too fast"), "{remarks}");
}

#[test]
fn refusals_of_terminals_say_what_helps() {
    let cases = [
        (Wrong::Refuse("Registration failed: Server is full"), "line.connections_per_address"),
        (Wrong::RefuseNick("Registration failed: Nickname already taken"), "already taken"),
        (Wrong::RefuseNick("Invalid nickname: Nickname is reserved"), "is reserved"),
        (Wrong::RefuseJoin("ERROR: #x is full"), "#x is full"),
        (Wrong::RefuseJoin("You joined #elsewhere"), "another channel"),
        (Wrong::Endless(100 << 10), "more than 64 KiB"),
    ];
    for (wrong, said) in cases {
        let server = ChatServer::start(wrong.clone());
        let ended = terminals(&server, &[]);
        assert_eq!(ended.code, 3, "{wrong:?}: {ended:?}");
        let why = ended.result()["partial"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains(said), "{wrong:?}: {why}");
    }
}

#[test]
fn a_chat_that_says_nothing_or_hangs_up_is_told_of() {
    let silent = ChatServer::start(Wrong::Mute);
    let ended = terminals(&silent, &[]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let why = ended.result()["partial"].to_string();
    assert!(why.contains("does not answer"), "{why}");

    let dying = ChatServer::start(Wrong::Die(40));
    let ended = terminals(&dying, &["--set=measure_s=30"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.result()["partial"].to_string().contains("closed all connections"));
}

#[test]
fn terminals_that_are_closed_are_counted_by_the_last_complaint() {
    let server = ChatServer::start(Wrong::CloseOne(90));
    let result = terminals(&server, &[]).result();
    let closed = number(&result, "/faults/closed/ERROR: Flooding") as u64;
    assert!(closed > 0, "{}", result["faults"]);
    assert_eq!(closed, server.did().closed);
}

#[test]
fn a_chat_that_babbles_ends_nothing_but_its_own_connections() {
    for seed in [1, 2, 3] {
        let server = ChatServer::start(Wrong::Babble(seed));
        let ended = terminals(&server, &[]);
        println!("seed {seed}: {}", ended.result()["faults"]);
        assert!([0, 3].contains(&ended.code), "seed {seed}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "seed {seed}: {ended:?}");
    }
}

#[test]
fn history_is_no_delivery_and_who_switches_rooms_misses_nothing() {
    let scenario = "about = \"x\"\ndialect = \"line\"\nmeasure_s = 1\nwarm_s = 0\nsettle_s = 0\n\
        [[group]]\nname = \"stayers\"\nchannels = 3\nmembers = 2\nchat = { senders = 1, rate = 50 }\n\
        [[group]]\nname = \"switchers\"\nchannels = 3\nmembers = 2\nwith = \"stayers\"\n\
        roams = { every_s = 0.1, how = \"switch\" }\n\
        [[group]]\nname = \"reloaders\"\nchannels = 3\nmembers = 1\nwith = \"stayers\"\n\
        roams = { every_s = 0.2, how = \"reconnect\", pause_s = 0.02 }\n";
    let server = ChatServer::start(Wrong::Nothing);
    let ended = run_scenario("terminals", scenario, &server.url());
    let result = ended.result();
    for fault in ["lost", "repeated", "reordered", "corrupted", "stray"] {
        let found = number(&result, &format!("/faults/{fault}"));
        assert_eq!(found, 0.0, "{fault}: {}", result["faults"]);
    }
    assert!(number(&result, "/figures/joins") > 20.0, "{}", result["figures"]);
    assert!(number(&result, "/figures/returns") > 5.0, "{}", result["figures"]);
}

#[test]
fn terminals_claim_addresses_by_a_proxy_header() {
    let server = ChatServer::start(Wrong::Nothing);
    let ended = terminals(&server, &["--forwarded-for"]);
    assert_eq!(number(&ended.result(), "/faults/lost"), 0.0, "{ended:?}");
    let mut claims = server.claims();
    claims.sort();
    claims.dedup();
    assert_eq!(claims.len(), 8, "one for each");
    assert!(claims.iter().all(|header| header.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c")));
}

#[test]
fn the_url_has_to_fit_what_the_scenario_speaks() {
    let ended = run(&["tcp-chat", "--url=ws://127.0.0.1:1/"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("tcp://127.0.0.1:8023"), "{}", ended.stderr);
    let ended = run(&["canonical", "--url=tcp://127.0.0.1:1"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}
