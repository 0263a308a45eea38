//! What else differs between two runs than what is to be compared.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::facts;
use crate::result::{Environment, Limit, RunResult};
use crate::units::{Unit, float};

/// Waiting for a core for more than this part of the time moves latencies.
const WAITED_MAX: f64 = 0.05;
/// Settings that are named one by one.
const SETTINGS_SHOWN: usize = 8;

/// Sentences, worst first.
pub(super) fn warnings(a: &RunResult, b: &RunResult) -> Vec<String> {
    let mut found = Vec::new();
    differ(&mut found, "scenario", &a.scenario, &b.scenario);
    differ(&mut found, "kind of scenario", &a.kind, &b.kind);
    differ(&mut found, "dialect", &a.target.dialect, &b.target.dialect);
    for (letter, run) in [("A", a), ("B", b)] {
        found.extend(trouble(letter, run));
    }
    settings(&mut found, &a.settings, &b.settings);
    environments(&mut found, a, b);
    if (a.window_s - b.window_s).abs() > 0.1 * a.window_s.max(b.window_s) {
        let [of_a, of_b] = [a, b].map(|run| Unit::Seconds.show(run.window_s));
        differ(&mut found, "window", &of_a, &of_b);
    }
    found
}

fn differ(found: &mut Vec<String>, what: &str, a: &str, b: &str) {
    if a != b {
        found.push(facts::printable(&format!("{what}: {a} in A, {b} in B")));
    }
}

fn environments(found: &mut Vec<String>, a: &RunResult, b: &RunResult) {
    let pinned = |cpus: &[usize]| match cpus {
        [] => "any".to_owned(),
        cpus => format!("{cpus:?}"),
    };
    let mut each = |what: &str, text: &dyn Fn(&Environment) -> String| {
        differ(found, what, &text(&a.environment), &text(&b.environment));
    };
    each("kernel", &|of| of.kernel.clone());
    each("CPU", &|of| of.cpu.clone());
    each("CPUs online", &|of| of.cpus.to_string());
    each("load side's CPUs", &|of| pinned(&of.load_cpus));
    if a.server.is_some() && b.server.is_some() {
        each("server's CPUs", &|of| of.server_cpus.as_deref().map_or("unknown".into(), pinned));
    }
    each("joined processes", &|of| of.processes.to_string());
    each("congestion control", &|of| of.congestion_control.clone().unwrap_or("unknown".into()));
    each("load generator", &|of| of.version.clone());
    // What the kernel takes for itself differs a little from boot to boot.
    each("memory", &|of| format!("{:.0} GB", float(of.memory_bytes) / 1e9));
}

/// What makes one of them doubtful by itself.
fn trouble(letter: &str, run: &RunResult) -> Option<String> {
    let server = run.server.as_ref().map_or(0.0, |server| server.waited);
    let waited = run.load.waited.max(server);
    if let Some(why) = &run.partial {
        return Some(format!("{letter} ended early: {}", facts::printable(why)));
    }
    match run.limit {
        Limit::Load => Some(format!(
            "the load side was the limit in {letter}: its figures are lower bounds for the server"
        )),
        Limit::Machine => {
            Some(format!("{letter} was disturbed: the machine took cores away, measure it again"))
        }
        _ if waited > WAITED_MAX => {
            let share = Unit::Share.show(waited);
            Some(format!(
                "{letter} was disturbed: threads waited for their core {share} of the time"
            ))
        }
        _ => None,
    }
}

/// Names each setting that differs.
fn settings(found: &mut Vec<String>, a: &Value, b: &Value) {
    let (mut of_a, mut of_b) = (BTreeMap::new(), BTreeMap::new());
    flatten(&mut of_a, String::new(), a);
    flatten(&mut of_b, String::new(), b);
    let mut keys: Vec<&String> = of_a.keys().chain(of_b.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| of_a.get(*key) != of_b.get(*key));
    for key in keys.iter().take(SETTINGS_SHOWN) {
        let shown =
            |of: &BTreeMap<String, String>| of.get(*key).map_or("unset".into(), String::clone);
        let text = format!("setting {key}: {} in A, {} in B", shown(&of_a), shown(&of_b));
        found.push(facts::printable(&text));
    }
    if keys.len() > SETTINGS_SHOWN {
        found.push(format!("{} more settings differ", keys.len() - SETTINGS_SHOWN));
    }
}

/// Settings by their path, as in `cursors.rate`. The depth is bounded by the reader of the JSON.
fn flatten(into: &mut BTreeMap<String, String>, path: String, value: &Value) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(into, format!("{path}{dot}{key}"), value);
            }
        }
        value => {
            into.insert(path, value.to_string());
        }
    }
}
