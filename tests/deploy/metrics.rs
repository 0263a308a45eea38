//! Alerts and the dashboard name only what `/metrics` has.

use crate::{can_run, deploy};
use std::collections::BTreeSet;
use std::process::Command;
use tutti_tests::http;
use tutti_tests::server::{Plan, repository};

/// Names of metrics in a text, without what a histogram adds to its name.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|word| word.starts_with("tutti_"));
    let plain = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let base = ends.iter().find_map(|end| word.strip_suffix(end));
        base.unwrap_or(word).to_owned()
    };
    metrics.map(plain).collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let server = Plan::new(2).admin().start();
    let text = http::get(server.admin(), "/metrics").text();
    let known: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let dashboard = deploy("grafana/tutti.json");
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    assert!(parsed["panels"].as_array().is_some_and(|panels| panels.len() > 10));
    for (file, text) in [("alerts.yml", deploy("prometheus/alerts.yml")), ("tutti.json", dashboard)]
    {
        let named = named(&text);
        assert!(named.len() > 7, "{file}: {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !known.contains(name.as_str())).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
}

/// Rules and scrape configuration are sound, and what the server says is what Prometheus reads.
#[test]
fn promtool_is_content() {
    if !can_run(&["promtool"]) {
        return;
    }
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(repository().join("deploy/prometheus"))
            .output()
            .expect("promtool runs");
        assert!(output.status.success(), "promtool {arguments:?}: {output:?}");
    }
    let server = Plan::new(2).admin().start();
    let text = http::get(server.admin(), "/metrics").text();
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut input = check.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, text.as_bytes()).expect("it reads");
    drop(input);
    let output = check.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
}
