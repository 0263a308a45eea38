//! Latency is what it should be by the intended times.

use std::time::Duration;

use crate::server::{Server, Wrong};
use crate::tool::{band, number, run};

/// What a busy machine may add, in microseconds.
const NOISE_US: f64 = 60_000.0;

#[track_caller]
fn percentiles(wrong: Wrong, more: &[&str]) -> impl Fn(&str) -> f64 {
    let server = Server::start(wrong);
    let url = server.url();
    let result = run(&band(&url, more)).result();
    assert_eq!(number(&result, "/faults/lost"), 0.0, "{}", result["faults"]);
    println!("{}", result["latencies"]["note"]["percentiles_us"]);
    move |name| number(&result, &format!("/latencies/note/percentiles_us/{name}"))
}

#[track_caller]
fn about(us: f64, expected_us: f64) {
    // Histograms keep three digits; a scheduler may only add.
    let range = expected_us * 0.99 - 1_000.0..expected_us + NOISE_US;
    assert!(range.contains(&us), "{us} us, not {expected_us}");
}

#[test]
fn a_delay_of_the_server_is_the_latency() {
    let at = percentiles(Wrong::Delay(Duration::from_millis(80)), &[]);
    about(at("p50"), 80_000.0);
    about(at("p90"), 80_000.0);
}

#[test]
fn a_delay_is_the_latency_for_those_read_in_rounds_too() {
    // With so few probes nearly everybody is read from seldom; the figures are of the prompt ones.
    let more = ["--members=30", "--channels=1", "--rate=10", "--set=probes=0.1"];
    about(percentiles(Wrong::Delay(Duration::from_millis(80)), &more)("p50"), 80_000.0);
}

/// A stop of S in a window of W seconds holds up the messages meant for it: the quantile q waits for S - (1 - q) W.
/// With coordinated omission there would be one late message a sender.
#[test]
fn a_stall_is_seen_by_everything_that_was_meant_for_it() {
    let stall = Wrong::Stall(60, Duration::from_millis(400));
    let at = percentiles(stall, &["--seconds=2"]);
    about(at("p99"), 400_000.0 - 0.01 * 2e6);
    about(at("p90"), 400_000.0 - 0.10 * 2e6);
    about(at("max"), 400_000.0 - 10_000.0);
    assert!(at("p50") < NOISE_US, "{}", at("p50"));
}
