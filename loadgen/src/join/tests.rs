use super::*;
use crate::sample;

/// As of a process that ran beside others: without a search.
fn run(name: &str) -> RunResult {
    let mut run = sample::run(name, 1.0);
    run.steps.clear();
    run
}

#[test]
fn traffic_and_faults_add_up() {
    let joined = join(vec![run("a"), run("b"), run("c")]).unwrap();
    assert_eq!(joined.traffic.deliveries, 3_000_000);
    assert_eq!(joined.traffic.connections, 3_000);
    assert!((joined.traffic.delivered_per_s - 300_000.0).abs() < 1e-6);
    assert_eq!(joined.faults.lost, 36);
    assert_eq!(joined.faults.refused["503 Service Unavailable"], 9);
    assert_eq!(joined.environment.processes, 3);
    assert_eq!(joined.load.threads, 3);
    assert!((joined.load.cpu_s - 9.3).abs() < 1e-9);
    assert!((joined.load.us_per_delivery.unwrap() - 3.1).abs() < 1e-9);
}

#[test]
fn distributions_are_merged() {
    let (a, b) = (run("a"), run("b"));
    let [of_a, of_b] = [&a, &b].map(|run| run.latencies["note"].to_histogram().unwrap());
    let mut both = of_a;
    both.add(of_b).unwrap();
    let joined = join(vec![a, b]).unwrap();
    assert_eq!(joined.latencies["note"], Latency::from_histogram(&both));
    assert_eq!(joined.send_lag.unwrap().count, 20_000);
}

#[test]
fn a_server_that_all_watched_is_counted_once() {
    let joined = join(vec![run("a"), run("b")]).unwrap();
    let server = joined.server.unwrap();
    assert_eq!((server.pid, server.rss_peak_bytes), (Some(4242), 49_000_000));
    assert!((server.busy - 0.16).abs() < 1e-9);
    // 0.16 cores for 200 000 deliveries a second.
    assert!((server.us_per_delivery.unwrap() - 0.8).abs() < 1e-9);
    let median = server.us_per_delivery_median.unwrap();
    assert!((median - 0.8).abs() < 0.05, "{median}");
    let share = joined.load.share_of_server.unwrap();
    assert!((share - 3.1 / 0.8).abs() < 1e-9, "{share}");
    assert!(joined.timeline.iter().all(|slice| slice.server_busy.unwrap() < 0.2));
}

#[test]
fn different_servers_add_up() {
    let (a, mut b) = (run("a"), run("b"));
    b.server.as_mut().unwrap().pid = Some(4343);
    let joined = join(vec![a, b]).unwrap();
    let server = joined.server.unwrap();
    assert_eq!((server.pid, server.rss_peak_bytes, server.threads), (None, 98_000_000, 8));
    assert!((server.us_per_delivery.unwrap() - 1.6).abs() < 1e-9);
    assert!(joined.timeline.iter().all(|slice| slice.server_busy.unwrap() > 0.28));
}

#[test]
fn one_process_that_watched_is_enough() {
    let (a, mut b) = (run("a"), run("b"));
    b.server = None;
    b.timeline
        .iter_mut()
        .for_each(|slice| (slice.server_busy, slice.server_rss_bytes) = (None, None));
    let joined = join(vec![b, a]).unwrap();
    assert!(joined.server.is_some());
    assert!(joined.timeline.iter().all(|slice| slice.server_busy.is_some()));
}

#[test]
fn slices_are_joined_by_their_time() {
    let (a, mut b) = (run("a"), run("b"));
    // B began two slices later and ran as long: the first and the last two have no partner.
    b.environment.started_unix_s += 1.02;
    let deliveries = a.timeline[2].deliveries + b.timeline[0].deliveries;
    let joined = join(vec![a, b]).unwrap();
    assert_eq!(joined.timeline.len(), 18);
    assert_eq!(joined.timeline[0].deliveries, deliveries);
    assert!((joined.timeline[0].at_s - 1.5).abs() < 1e-9);
    assert_eq!(joined.timeline[0].connections, 2_000);
    assert!(joined.remarks.iter().any(|remark| remark.contains("weighted")));
}

#[test]
fn figures_keep_their_worst_and_rates_add_up() {
    let (mut a, mut b) = (run("a"), run("b"));
    a.figures = [("join_ms".to_owned(), 4.0), ("join_per_s".to_owned(), 10.0)].into();
    b.figures = [("join_ms".to_owned(), 7.0), ("join_per_s".to_owned(), 11.0)].into();
    let joined = join(vec![a, b]).unwrap();
    assert_eq!(joined.figures["join_ms"], 7.0);
    assert_eq!(joined.figures["join_per_s"], 21.0);
}

#[test]
fn what_spoils_one_spoils_all() {
    let (mut a, mut b) = (run("a"), run("b"));
    a.limit = Limit::Server;
    b.limit = Limit::Load;
    b.partial = Some("stopped".into());
    let joined = join(vec![a, b]).unwrap();
    assert_eq!(joined.limit, Limit::Load);
    assert_eq!(joined.partial.as_deref(), Some("process 2: stopped"));
}

#[test]
fn one_result_stays_as_it_is() {
    let run = sample::run("a", 1.0);
    assert_eq!(join(vec![run.clone()]).unwrap(), run);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    type Change = fn(&mut RunResult);
    let cases: [(&str, Change); 8] = [
        ("result 2 has schema 99", |run| run.schema = 99),
        ("another scenario than the first: chat, not fanout", |run| run.scenario = "chat".into()),
        ("another kind of scenario", |run| run.kind = "chat".into()),
        ("another dialect than the first: quick", |run| run.target.dialect = "quick".into()),
        ("another headline", |run| run.headline = None),
        ("began 12.0 s after the first", |run| run.environment.started_unix_s += 12.0),
        ("search for the highest rate", |run| run.steps = sample::run("a", 1.0).steps),
        ("latency `note`: the histogram is not base64", |run| {
            run.latencies.get_mut("note").unwrap().histogram = "?".into();
        }),
    ];
    for (said, change) in cases {
        let mut other = run("b");
        change(&mut other);
        let error = join(vec![run("a"), other]).expect_err(said).to_string();
        assert!(error.contains(said), "`{error}` does not say `{said}`");
    }
    assert!(matches!(join(Vec::new()), Err(JoinError::Nothing)));
}
