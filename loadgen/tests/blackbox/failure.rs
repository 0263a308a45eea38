//! Servers and people that end a run early.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Server, Wrong, frame};
use crate::tool::{Ended, band, command, number, run, wait};

#[track_caller]
fn check(wrong: Wrong, more: &[&str], code: i32, said: &str) -> Ended {
    let server = Server::start(wrong.clone());
    let url = server.url();
    let ended = run(&band(&url, more));
    assert_eq!(ended.code, code, "{wrong:?}: {ended:?}");
    let why = ended.result()["partial"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains(said), "{wrong:?}: {why}");
    ended
}

#[test]
fn refusals_say_what_helps() {
    let ended = check(Wrong::Refuse("429 Too Many Requests"), &[], 3, "--sources");
    assert_eq!(number(&ended.result(), "/faults/refused/HTTP 429 Too Many Requests"), 8.0);
    check(Wrong::Refuse("503 Service Unavailable"), &[], 3, "raise its limit");
}

#[test]
fn a_server_that_dies_leaves_what_there_was() {
    let ended = check(Wrong::Die(40), &["--seconds=30"], 3, "closed all connections");
    let result = ended.result();
    assert!(number(&result, "/window_s") < 30.0);
    assert_eq!(number(&result, "/traffic/connections"), 0.0);
}

#[test]
fn a_server_that_freezes_shows_in_the_losses() {
    let server = Server::start(Wrong::Freeze(40));
    let url = server.url();
    let ended = run(&band(&url, &["--assert=lost=0"]));
    let (result, did) = (ended.result(), server.did());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(number(&result, "/faults/lost") as u64, (did.notes - 40) * 3);
}

#[test]
fn connections_that_are_closed_are_counted_by_their_code() {
    let server = Server::start(Wrong::CloseOne(50));
    let url = server.url();
    let result = run(&band(&url, &[])).result();
    let closed = number(&result, "/faults/closed/4000 enough") as u64;
    assert_eq!(closed, server.did().closed);
    assert_eq!(number(&result, "/traffic/connections") as u64, 8 - closed);
}

#[test]
fn a_seat_in_another_channel_is_refused() {
    check(Wrong::Seat("lobby"), &[], 3, "another channel");
}

#[test]
fn nonsense_of_a_server_is_named_and_harms_nobody() {
    let huge = [0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0];
    let cases: [(&[u8], &str); 5] = [
        (&huge, "16 MiB"),
        (&[0x81, 0x80, 0, 0, 0, 0], "masked"),
        (&[0xc1, 0], "extension"),
        (&[0x8b, 0], "no known kind"),
        (&[0x80, 0], "out of order"),
    ];
    for (bytes, said) in cases {
        check(Wrong::Say(bytes.to_vec()), &[], 3, said);
    }
    let texts: [&[u8]; 6] = [
        b"",
        b"[",
        b"[{\"m\":\"ch\",\"p\":\"",
        b"[{\"m\":\"n\",\"t\":99999999999999999999999,\"p\":\"x\",\"n\":[{\"n\":\"c4\",\"v\":1e400}]}]",
        b"[{\"m\":\"m\",\"id\":\"x\",\"x\":\"184467440737095516.15\",\"y\":\"184467440737095516.15\"}]",
        b"\xff\xfe",
    ];
    let all = texts.map(|text| [frame(0x81, text), frame(0x82, text)].concat()).concat();
    let server = Server::start(Wrong::Say(all));
    let url = server.url();
    let ended = run(&band(&url, &[]));
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_server_that_babbles_ends_nothing_but_its_own_connections() {
    for seed in [1, 2, 3] {
        let server = Server::start(Wrong::Babble(seed));
        let url = server.url();
        let ended = run(&band(&url, &[]));
        println!("seed {seed}: {}", ended.result()["faults"]);
        assert!([0, 3].contains(&ended.code), "seed {seed}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "seed {seed}: {ended:?}");
    }
}

#[test]
fn nothing_that_listens_is_said_at_once() {
    let ended = run(&band("ws://127.0.0.1:1/", &[]));
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("nothing listens on 127.0.0.1:1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--url, --wait"), "{}", ended.stderr);
}

/// Interrupts a run once the server has seen `notes` notes, and says how it ended.
fn interrupted(notes: u64, wrong: Wrong, more: &[&str]) -> Ended {
    let server = Server::start(wrong);
    let url = server.url();
    let child = command(&band(&url, more)).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    // Without notes to wait for, the first connection says that it has begun.
    while server.did().notes < notes || server.n_connections() == 0 {
        assert!(Instant::now() < deadline, "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it is there");
    let begun = Instant::now();
    let ended = wait(child);
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    ended
}

#[test]
fn an_interrupt_ends_every_phase_with_the_report_so_far() {
    let phases: [(u64, Wrong, &[&str]); 4] = [
        (0, Wrong::Mute, &[]),
        (20, Wrong::Nothing, &["--set=warm_s=60"]),
        (150, Wrong::Nothing, &["--seconds=60"]),
        (150, Wrong::Nothing, &["--seconds=0.3", "--find-max=p99<10s"]),
    ];
    for (notes, wrong, more) in phases {
        let ended = interrupted(notes, wrong, more);
        assert_eq!(ended.code, 130, "{more:?}: {ended:?}");
        let result = ended.result();
        assert_eq!(result["partial"], "interrupted", "{more:?}");
        assert_eq!(
            number(&result, "/faults/lost"),
            0.0,
            "what was on the way is no loss: {more:?}"
        );
    }
}

#[test]
fn an_interrupt_ends_the_wait_for_a_server() {
    let child = command(&band("ws://127.0.0.1:1/", &["--wait=60"])).spawn().expect("it starts");
    let pid = Pid::from_child(&child);
    let status = format!("/proc/{}/status", child.id());
    // Once it has a handler for SIGINT (bit 1 of the mask of caught signals), it is not killed by it.
    let deadline = Instant::now() + Duration::from_secs(10);
    let catches = |text: String| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & 2 != 0)
    };
    while !std::fs::read_to_string(&status).is_ok_and(catches) {
        assert!(Instant::now() < deadline, "it never gets ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(pid, Signal::INT).expect("it is there");
    assert_eq!(wait(child).code, 130);
}
