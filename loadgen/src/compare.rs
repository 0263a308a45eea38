//! Two results against each other: what changed, and whether that is more than noise.
//!
//! The slices of a run are its samples. Two runs are told apart by a rank test on them, which asks
//! nothing of their distribution, together with a least change that matters: with enough slices any
//! trifle is significant. Slices that resemble their neighbours count for less. What differs between two
//! runs of one program (the layout of memory, the hour) is in neither of them, so a small change is only
//! to be believed when it is seen again.

mod metrics;
mod ranks;
mod setting;

use std::fmt;

use serde::Serialize;

pub use metrics::{Judgement, Metric};
pub use ranks::{Ranks, independent, mann_whitney, median};

use crate::facts;
use crate::result::RunResult;

/// What became of B, seen from A.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The older or the reference.
    pub a: Side,
    /// The newer or the candidate.
    pub b: Side,
    /// What makes the two less comparable, worst first. Empty is how it should be.
    pub warnings: Vec<String>,
    /// The figures, most important first.
    pub metrics: Vec<Metric>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Name or address of the server.
    pub name: String,
    /// The scenario.
    pub scenario: String,
    /// Commit of the working tree.
    pub commit: Option<String>,
    /// Start of the run, Unix time.
    pub started_unix_s: f64,
}

impl Side {
    fn of(run: &RunResult) -> Self {
        Self {
            name: facts::name(run),
            scenario: facts::printable(&run.scenario),
            commit: run.environment.commit.as_deref().map(facts::printable),
            started_unix_s: run.environment.started_unix_s,
        }
    }
}

impl Comparison {
    /// Whether anything became worse: a reason for an exit code.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.metrics.iter().any(|metric| metric.judgement == Judgement::Worse)
    }
}

/// Compares B with A.
#[must_use]
pub fn compare(a: &RunResult, b: &RunResult) -> Comparison {
    Comparison {
        a: Side::of(a),
        b: Side::of(b),
        warnings: setting::warnings(a, b),
        metrics: metrics::all(a, b),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, side) in [("A", &self.a), ("B", &self.b)] {
            let commit = side.commit.as_deref().unwrap_or("unknown");
            let date = crate::units::date(side.started_unix_s);
            writeln!(
                f,
                "{letter}  {} against {}, commit {commit}, {date}",
                side.scenario, side.name
            )?;
        }
        if !self.warnings.is_empty() {
            writeln!(f, "\nCAUTION: these runs differ in more than what was to be compared")?;
            for warning in &self.warnings {
                writeln!(f, "  ! {warning}")?;
            }
        }
        writeln!(f, "\n{:<24}{:>11}{:>11}{:>10}", "", "A", "B", "change")?;
        for metric in &self.metrics {
            let change = match metric.change_percent {
                Some(percent) => format!("{percent:+.1} %"),
                None => "-".to_owned(),
            };
            let [a, b] = [&metric.a_shown, &metric.b_shown];
            let judgement = metric.judgement.to_string();
            let why = &metric.why;
            writeln!(f, "{:<24}{a:>11}{b:>11}{change:>10}   {judgement:<15}{why}", metric.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Limit;
    use crate::sample;

    fn judgement(comparison: &Comparison, name: &str) -> Judgement {
        let metric = comparison.metrics.iter().find(|metric| metric.name == name);
        metric.unwrap_or_else(|| panic!("{name} is missing in\n{comparison}")).judgement
    }

    type Change = fn(&mut RunResult);

    const SAMPLED: [&str; 4] = ["throughput", "p50", "p99", "server CPU per delivery"];

    #[test]
    fn two_runs_of_the_same_are_within_noise() {
        // Seeds of their own, so that no two runs are equal.
        for (a, b) in [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h"), ("same", "same")] {
            let comparison = compare(&sample::run(a, 1.0), &sample::run(b, 1.0));
            for name in SAMPLED {
                let found = judgement(&comparison, name);
                assert_eq!(found, Judgement::WithinNoise, "{name} in\n{comparison}");
            }
            assert!(comparison.warnings.is_empty(), "{comparison}");
            assert!(!comparison.is_worse(), "{comparison}");
        }
    }

    #[test]
    fn a_shift_is_seen_in_both_directions() {
        let (fast, slow) = (sample::run("a", 1.0), sample::run("b", 1.2));
        let slower = compare(&fast, &slow);
        println!("{slower}");
        for name in ["p50", "p99", "server CPU per delivery"] {
            assert_eq!(judgement(&slower, name), Judgement::Worse, "{slower}");
            assert_eq!(judgement(&compare(&slow, &fast), name), Judgement::Better, "{slower}");
        }
        assert_eq!(judgement(&slower, "throughput"), Judgement::WithinNoise, "{slower}");
        assert!(slower.is_worse());
        let p99 = slower.metrics.iter().find(|metric| metric.name == "p99").unwrap();
        assert!((p99.change_percent.unwrap() - 20.0).abs() < 3.0, "{slower}");
        assert!(p99.p.unwrap() < 1e-4 && p99.slices == Some([20, 20]), "{slower}");
    }

    #[test]
    fn fewer_deliveries_are_worse() {
        let (a, mut b) = (sample::run("a", 1.0), sample::run("b", 1.0));
        b.timeline.iter_mut().for_each(|slice| slice.deliveries = slice.deliveries * 8 / 10);
        assert_eq!(judgement(&compare(&a, &b), "throughput"), Judgement::Worse);
        b.faults.lost += 5;
        assert_eq!(judgement(&compare(&a, &b), "faults"), Judgement::Worse);
        assert_eq!(judgement(&compare(&b, &a), "faults"), Judgement::Better);
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let a = sample::run("a", 1.0);
        let cases: [(&str, &str, Change); 6] = [
            ("p99", "different scenarios", |run| run.scenario = "chat".into()),
            ("p99", "8 are needed", |run| run.timeline.truncate(7)),
            ("p99", "different latencies", |run| run.headline = Some("chat".into())),
            ("throughput", "load side was the limit in B", |run| run.limit = Limit::Load),
            ("throughput", "offered", |run| run.traffic.offered_per_s *= 2.0),
            ("server memory", "not measured in B", |run| run.server = None),
        ];
        for (name, why, change) in cases {
            let mut b = sample::run("b", 1.0);
            change(&mut b);
            let comparison = compare(&a, &b);
            assert_eq!(judgement(&comparison, name), Judgement::NotComparable, "{comparison}");
            let metric = comparison.metrics.iter().find(|metric| metric.name == name).unwrap();
            assert!(metric.why.contains(why), "{}", metric.why);
        }
    }

    #[test]
    fn differences_around_the_runs_are_told() {
        let a = sample::run("a", 1.0);
        let cases: [(&str, Change); 9] = [
            ("kernel", |run| run.environment.kernel = "Linux 6.12".into()),
            ("CPU", |run| run.environment.cpu = "another".into()),
            ("load side's CPUs", |run| run.environment.load_cpus = vec![0]),
            ("server's CPUs", |run| run.environment.server_cpus = Some(vec![0, 1])),
            ("setting members", |run| run.settings["members"] = 200.into()),
            ("setting cursors.rate", |run| {
                run.settings["cursors"] = serde_json::json!({"rate": 1});
            }),
            ("ended early", |run| run.partial = Some("stopped".into())),
            ("load side was the limit in B", |run| run.limit = Limit::Load),
            ("B was disturbed", |run| run.limit = Limit::Machine),
        ];
        for (said, change) in cases {
            let mut b = sample::run("b", 1.0);
            change(&mut b);
            let comparison = compare(&a, &b);
            assert_eq!(comparison.warnings.len(), 1, "{comparison}");
            assert!(comparison.warnings[0].contains(said), "{comparison}");
            assert!(comparison.to_string().contains("CAUTION"));
        }
        let mut b = sample::run("b", 1.0);
        b.environment.commit = Some("fedcba".into());
        assert!(compare(&a, &b).warnings.is_empty(), "another commit is what is compared");
    }

    #[test]
    fn machines_can_read_it() {
        let comparison = compare(&sample::run("a", 1.0), &sample::run("b", 1.2));
        let json = serde_json::to_value(&comparison).unwrap();
        assert_eq!(json["metrics"][2]["name"], "p99");
        assert_eq!(json["metrics"][2]["judgement"], "worse");
        assert_eq!(json["metrics"][0]["judgement"], "within noise");
    }
}
