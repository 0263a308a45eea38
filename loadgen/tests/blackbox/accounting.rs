//! What the server did is what the result says.

use crate::server::{Server, Wrong};
use crate::tool::{band, number, run, run_scenario};

#[track_caller]
fn check(wrong: Wrong, more: &[&str]) {
    let server = Server::start(wrong.clone());
    let url = server.url();
    let ended = run(&band(&url, more));
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
    assert_eq!(result["faults"]["errors"], serde_json::json!({}), "{wrong:?}");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn a_server_that_does_well_has_no_faults() {
    check(Wrong::Nothing, &[]);
}

#[test]
fn lost_notes_are_counted_exactly() {
    check(Wrong::Lose(7), &[]);
}

#[test]
fn lost_notes_are_counted_exactly_by_totals() {
    check(Wrong::Lose(7), &["--set=accounting=totals"]);
}

#[test]
fn repeated_notes_are_counted_exactly() {
    check(Wrong::Repeat(5), &[]);
}

#[test]
fn repeated_notes_are_counted_exactly_by_totals() {
    check(Wrong::Repeat(5), &["--set=accounting=totals"]);
}

#[test]
fn reordered_notes_are_counted_exactly() {
    check(Wrong::Reorder(11), &[]);
}

#[test]
fn a_changed_note_is_corrupted_and_not_lost_as_well() {
    check(Wrong::Corrupt(13), &[]);
}

#[test]
fn notes_in_the_wrong_channel_are_strays() {
    check(Wrong::Misplace(9), &[]);
}

#[test]
fn messages_in_one_array_are_all_seen() {
    check(Wrong::Merge(5), &[]);
}

#[test]
fn frames_in_pieces_are_put_together() {
    check(Wrong::Split, &[]);
}

#[test]
fn messages_in_several_frames_are_put_together() {
    check(Wrong::Fragment, &[]);
}

#[test]
fn other_ways_of_printing_json_are_no_fault() {
    check(Wrong::Print, &[]);
}

#[test]
fn the_quick_dialect_is_accounted_for_too() {
    check(Wrong::Nothing, &["--dialect=quick"]);
}

#[test]
fn merged_sends_are_accounted_for_too() {
    check(Wrong::Lose(7), &["--set=merge=true"]);
}

#[test]
fn two_threads_account_as_one_does() {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        check(Wrong::Reorder(7), &["--cpus=0,1"]);
        check(Wrong::Misplace(7), &["--cpus=0,1"]);
    }
}

#[test]
fn chat_cursors_and_pings_are_accounted_for() {
    let more =
        ["--set=band.chat={rate=5}", "--set=band.cursors={rate=20}", "--set=band.pings={rate=5}"];
    let server = Server::start(Wrong::Nothing);
    let url = server.url();
    let result = run(&band(&url, &more)).result();
    assert_eq!(number(&result, "/faults/lost"), 0.0, "{}", result["faults"]);
    // Four a channel write 5 lines, which all four hear: 160; the pings are 40, and the moves 480.
    for (name, of_probes) in [("note", 600.0), ("chat", 160.0), ("cursor", 480.0), ("ping", 40.0)] {
        assert_eq!(number(&result, &format!("/latencies/{name}/count")), of_probes, "{name}");
    }
}

#[test]
fn who_switches_channels_misses_and_strays_nothing() {
    let scenario = "about = \"x\"\nmeasure_s = 1\nwarm_s = 0\nsettle_s = 0\n\
        [[group]]\nname = \"stayers\"\nchannels = 3\nmembers = 2\nnotes = { senders = 1, rate = 50 }\n\
        [[group]]\nname = \"switchers\"\nchannels = 3\nmembers = 2\nwith = \"stayers\"\n\
        roams = { every_s = 0.1, how = \"switch\" }\n\
        [[group]]\nname = \"reloaders\"\nchannels = 3\nmembers = 1\nwith = \"stayers\"\n\
        roams = { every_s = 0.2, how = \"reconnect\", pause_s = 0.02 }\n";
    let server = Server::start(Wrong::Nothing);
    let ended = run_scenario("roamers", scenario, &server.url());
    let result = ended.result();
    for fault in ["lost", "repeated", "reordered", "corrupted", "stray"] {
        assert_eq!(
            number(&result, &format!("/faults/{fault}")),
            0.0,
            "{fault}: {}",
            result["faults"]
        );
    }
    assert!(number(&result, "/figures/joins") > 20.0, "{}", result["figures"]);
    assert!(number(&result, "/figures/returns") > 5.0, "{}", result["figures"]);
    assert!(number(&result, "/latencies/back/count") > 5.0);
}

#[test]
fn slow_readers_who_are_turned_out_are_no_fault_and_are_told_of() {
    let scenario = "about = \"x\"\nmeasure_s = 1\nwarm_s = 0\nsettle_s = 0\nin_flight = 1\n\
        [[group]]\nname = \"band\"\nmembers = 3\nnotes = { senders = 1, rate = 100 }\n\
        [[group]]\nname = \"deaf\"\nmembers = 4\nwith = \"band\"\nreads = \"never\"\n";
    // The server closes who came last, at two of 100 notes; one by one, so that the deaf come last.
    let server = Server::start(Wrong::CloseOne(40));
    let result = run_scenario("deaf", scenario, &server.url()).result();
    assert_eq!(server.did().closed, 2);
    assert_eq!(number(&result, "/figures/turned_out: 4000 enough"), 2.0, "{}", result["figures"]);
    assert_eq!(number(&result, "/faults/lost"), 0.0);
    assert_eq!(result["faults"]["closed"], serde_json::json!({}));
    // Two of three hear the third; what the deaf get counts nowhere.
    assert_eq!(number(&result, "/traffic/expected"), 200.0);
}
