//! Latency is what it should be by the intended times.

use std::time::Duration;

use serde_json::Value;

use crate::server::{Server, Wrong};
use crate::tool::{band, number, run};

/// What a busy machine may add, in microseconds.
const NOISE_US: f64 = 40_000.0;
/// Noise only ever adds, so one run in so many without much of it is enough.
const ATTEMPTS: usize = 4;

/// Percentiles of notes, with what they should be in microseconds: never less, and about that on a quiet machine.
#[track_caller]
fn check(wrong: &Wrong, more: &[&str], expected: &[(&str, f64)]) {
    let quiet = (0..ATTEMPTS).any(|_| {
        let server = Server::start(wrong.clone());
        let url = server.url();
        let result: Value = run(&band(&url, more)).result();
        assert_eq!(number(&result, "/faults/lost"), 0.0, "{}", result["faults"]);
        println!("{}", result["latencies"]["note"]["percentiles_us"]);
        expected.iter().all(|(name, us)| {
            let found = number(&result, &format!("/latencies/note/percentiles_us/{name}"));
            // Histograms keep three digits, and a message may be sent in the turn before.
            assert!(found > us * 0.99 - 1_000.0, "{name}: {found} us, not {us}");
            found < us + NOISE_US
        })
    });
    assert!(quiet, "{wrong:?}: always far above {expected:?}");
}

#[test]
fn a_delay_of_the_server_is_the_latency() {
    let delay = Wrong::Delay(Duration::from_millis(80));
    check(&delay, &[], &[("p50", 80_000.0), ("p90", 80_000.0)]);
}

#[test]
fn a_delay_is_the_latency_for_those_read_in_rounds_too() {
    // With so few probes nearly everybody is read from seldom; the figures are of the prompt ones.
    let more = ["--members=30", "--channels=1", "--rate=10", "--set=probes=0.1"];
    check(&Wrong::Delay(Duration::from_millis(80)), &more, &[("p50", 80_000.0)]);
}

#[test]
fn reading_seldom_hides_nothing_and_adds_nothing() {
    for turn in ["--set=turn_us=0", "--set=turn_us=20000"] {
        check(&Wrong::Nothing, &[turn], &[("p50", 0.0)]);
    }
}

/// A stop of S in a window of W seconds holds up the messages meant for it: the quantile q waits for S - (1 - q) W.
/// With coordinated omission there would be one late message a sender.
#[test]
fn a_stall_is_seen_by_everything_that_was_meant_for_it() {
    let stall = Wrong::Stall(60, Duration::from_millis(400));
    let expected = [
        ("p50", 0.0),
        ("p90", 400_000.0 - 0.10 * 2e6),
        ("p99", 400_000.0 - 0.01 * 2e6),
        ("max", 400_000.0 - 10_000.0),
    ];
    check(&stall, &["--seconds=2"], &expected);
}
