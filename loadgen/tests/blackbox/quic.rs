//! People over QUIC: what a server did is what the result says.

use crate::quic_server::{QuicServer, Wrong};
use crate::tool::{Ended, number, run, run_scenario};

/// Two rooms of four people, two of whom write 50 messages a second each for a second: 800 deliveries.
const PEOPLE: &[&str] = &[
    "quic-room",
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

fn people(server: &QuicServer, more: &[&str]) -> Ended {
    run(&[PEOPLE, &["--url", &server.url()], more].concat())
}

#[track_caller]
fn check(wrong: Wrong, more: &[&str]) {
    let server = QuicServer::start(wrong.clone());
    let ended = people(&server, more);
    let (result, did) = (ended.result(), server.did());
    assert!(did.due > 400, "{did:?}: {ended:?}");
    let faults = [
        ("lost", did.lost),
        ("repeated", did.repeated),
        ("reordered", did.reordered),
        ("stray", 0),
    ];
    for (name, count) in faults {
        let found = number(&result, &format!("/faults/{name}")) as u64;
        assert_eq!(found, count, "{name} with {wrong:?}: {}", result["faults"]);
    }
    assert_eq!(number(&result, "/faults/corrupted"), 0.0);
    assert_eq!(result["faults"]["closed"], serde_json::json!({}), "{wrong:?}");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn faults_over_quic_are_counted_exactly() {
    check(Wrong::Nothing, &[]);
    check(Wrong::Nothing, &["--set=merge=true", "--set=turn_us=0"]);
    check(Wrong::Lose(7), &[]);
    check(Wrong::Repeat(5), &[]);
    check(Wrong::Reorder(11), &[]);
}

#[test]
fn frames_in_pieces_of_a_stream_are_put_together() {
    check(Wrong::Split, &[]);
}

#[test]
fn two_threads_of_quic_account_as_one_does() {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        check(Wrong::Lose(9), &["--cpus=0,1"]);
    }
}

#[test]
fn refusals_over_quic_are_told_of() {
    let cases = [
        (Wrong::RefuseAuth("no such name"), "no such name"),
        (Wrong::RefuseJoin("the room is full"), "the room is full"),
        (Wrong::Announce(17 << 20), "more than 16 MiB"),
        (Wrong::Mute, "does not answer"),
    ];
    for (wrong, said) in cases {
        let server = QuicServer::start(wrong.clone());
        let ended = people(&server, &[]);
        assert_eq!(ended.code, 3, "{wrong:?}: {ended:?}");
        let why = ended.result()["partial"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains(said), "{wrong:?}: {why}");
    }
}

#[test]
fn pings_by_message_are_answered() {
    let server = QuicServer::start(Wrong::Ping);
    let ended = people(&server, &[]);
    // Eight hear the pings of each message, and all answers are there soon.
    let due = server.did().notes * 8;
    assert_eq!(number(&ended.result(), "/figures/pings_answered") as u64, due);
    assert!(server.did().closed > due / 2, "{:?}", server.did());
}

#[test]
fn a_goodbye_is_no_fault_before_the_connection_ends() {
    let server = QuicServer::start(Wrong::Goodbye(50, "too slow"));
    let result = people(&server, &[]).result();
    assert_eq!(number(&result, "/traffic/connections"), 8.0, "{}", result["faults"]);
}

#[test]
fn who_switches_rooms_or_reconnects_over_quic_misses_nothing() {
    let scenario = "about = \"x\"\ndialect = \"quic\"\nmeasure_s = 1\nwarm_s = 0\nsettle_s = 0\n\
        [[group]]\nname = \"stayers\"\nchannels = 3\nmembers = 2\nchat = { senders = 1, rate = 50 }\n\
        [[group]]\nname = \"switchers\"\nchannels = 3\nmembers = 2\nwith = \"stayers\"\n\
        roams = { every_s = 0.1, how = \"switch\" }\n\
        [[group]]\nname = \"reloaders\"\nchannels = 3\nmembers = 1\nwith = \"stayers\"\n\
        roams = { every_s = 0.2, how = \"reconnect\", pause_s = 0.02 }\n\
        [[group]]\nname = \"known\"\nmembers = 5\nseats = false\n";
    let server = QuicServer::start(Wrong::Nothing);
    let ended = run_scenario("quic", scenario, &server.url());
    let result = ended.result();
    for fault in ["lost", "repeated", "reordered", "corrupted", "stray"] {
        let found = number(&result, &format!("/faults/{fault}"));
        assert_eq!(found, 0.0, "{fault}: {}", result["faults"]);
    }
    assert!(number(&result, "/figures/joins") > 20.0, "{}", result["figures"]);
    assert!(number(&result, "/figures/returns") > 5.0, "{}", result["figures"]);
    // All but those who are just away.
    assert!(number(&result, "/traffic/connections") >= 17.0, "{}", result["traffic"]);
}

#[test]
fn nobody_at_the_port_is_said_at_once() {
    let ended = run(&["quic-room", "--url=quic://127.0.0.1:1", "--wait=0"]);
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("nothing listens on 127.0.0.1:1"), "{}", ended.stderr);
    let ended = run(&["quic-room", "--url=quic://127.0.0.1:1", "--forwarded-for"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}
