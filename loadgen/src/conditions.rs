//! The little language of `--find-max` and `--assert`: `p99<20ms,lost=0,delivered>=99.9%`.
//!
//! A condition names a figure of a result, an operator (`<`, `<=`, `>`, `>=`, `=`) and a limit. All of
//! them must hold, and what was not measured does not hold. Parsing and judging are apart, so that a
//! mistake is told before a run, and not after it.
//!
//! | figure | limit | what |
//! | --- | --- | --- |
//! | `p50`, `p99`, `p99.9`, `max`, `mean`, any `pN` | `us`, `ms`, `s` | of the headline latency |
//! | `chat.p99`, `join.max` | `us`, `ms`, `s` | of the latency of that name |
//! | `lost`, `repeated`, `reordered`, `corrupted`, `stray` | a number | deliveries that went wrong |
//! | `refused`, `closed`, `errors` | a number | connections, and what else went wrong |
//! | `faults` | a number | all of these |
//! | `delivered` | 0 to 1, or `%` | of what was to be delivered |
//! | `rate` | a number, `k`, `M` | deliveries a second |
//! | `server_us` | microseconds, or `us`, `ms`, `s` | CPU of the server per delivery |
//! | `server_busy` | cores | CPU of the server |
//! | `load_busy` | 0 to 1, or `%` | the load side's busiest thread |
//! | `rss` | `B`, `KB`, `MB`, `GB`, `KiB`, `MiB`, `GiB` | the server's memory at its peak |
//! | `figure.NAME` | a number | another figure of the scenario |

mod figure;
mod parse;

use std::fmt;

use serde::Serialize;

pub use figure::{Figure, Measured, Plain};
pub use parse::{ParseError, parse};

/// How a figure is held against its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `=`
    Equal,
}

impl Operator {
    /// As it is written. What begins another comes after it.
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        ("<", Self::Below),
        (">=", Self::AtLeast),
        (">", Self::Above),
        ("==", Self::Equal),
        ("=", Self::Equal),
    ];

    fn holds(self, found: f64, limit: f64) -> bool {
        match self {
            Self::Below => found < limit,
            Self::AtMost => found <= limit,
            Self::Above => found > limit,
            Self::AtLeast => found >= limit,
            Self::Equal => found == limit,
        }
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub figure: Figure,
    /// How.
    pub operator: Operator,
    /// In the unit of the figure: microseconds, bytes, parts of one, or a number.
    pub limit: f64,
    /// As it was written.
    pub text: String,
}

/// All that must hold, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// At least one, when they were parsed.
    pub all: Vec<Condition>,
}

impl Conditions {
    /// Looks at a whole run, or at one step of a search.
    #[must_use]
    pub fn evaluate(&self, measured: &impl Measured) -> Vec<Verdict> {
        self.all.iter().map(|condition| condition.evaluate(measured)).collect()
    }

    /// The first condition that cannot be judged of a single step of `--find-max`.
    #[must_use]
    pub fn not_of_a_step(&self) -> Option<&Condition> {
        self.all.iter().find(|condition| !condition.figure.is_of_a_step())
    }
}

impl Condition {
    fn evaluate(&self, measured: &impl Measured) -> Verdict {
        let found = measured.find(&self.figure).filter(|found| found.is_finite());
        Verdict {
            condition: self.text.clone(),
            found,
            shown: found.map_or_else(
                || format!("`{}` was not measured", self.figure),
                |found| self.figure.unit().show(found),
            ),
            // What was not measured is not known to hold.
            held: found.is_some_and(|found| self.operator.holds(found, self.limit)),
        }
    }
}

/// What became of one condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// As it was written.
    pub condition: String,
    /// The value in the unit of the figure; `None` when it was not measured.
    pub found: Option<f64>,
    /// The value for people, or that there is none.
    pub shown: String,
    /// Whether it held.
    pub held: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.held { "held  " } else { "FAILED" };
        write!(f, "{outcome}  {}  ({})", self.condition, self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Step;
    use crate::sample;

    #[test]
    fn a_run_is_judged() {
        // The sample: p99 is below 5 ms, 12 of 1 000 012 lost, 500 MB at most.
        let cases = [
            ("p99<5ms", true),
            ("p99 < 5000 us", true),
            ("p99>0.005s", false),
            ("chat.p50<1s", true),
            ("lost=12", true),
            ("lost==12", true),
            ("lost=0", false),
            ("lost<=12", true),
            ("repeated=0", true),
            ("faults<100", true),
            ("refused=3", true),
            ("closed=2", true),
            ("errors=0", true),
            ("delivered>=99.9%", true),
            ("delivered=100%", false),
            ("delivered>0.999", true),
            ("rate>=90k", true),
            ("rate>0.2M/s", false),
            ("server_us<2", true),
            ("server_us<2us", true),
            ("server_us>1ms", false),
            ("server_busy<=1", true),
            ("load_busy<90%", true),
            ("rss<500MB", true),
            ("rss<1MiB", false),
            ("figure.join_ms<10", true),
            ("figure.nothing<10", false),
            ("ping.p99<1s", false),
            ("p97.5<5ms", true),
        ];
        let run = sample::run("a", 1.0);
        for (text, held) in cases {
            let verdicts = parse(text).unwrap().evaluate(&run);
            assert_eq!(verdicts.len(), 1);
            assert_eq!(verdicts[0].held, held, "{text}: {}", verdicts[0]);
        }
    }

    #[test]
    fn what_was_not_measured_does_not_hold_and_says_so() {
        let mut run = sample::run("a", 1.0);
        run.server = None;
        for text in ["server_us<1", "server_us>1", "rss<1GB", "figure.none=0", "ping.p99<1s"] {
            let verdict = parse(text).unwrap().evaluate(&run).remove(0);
            assert!(!verdict.held && verdict.found.is_none(), "{verdict}");
            assert!(verdict.to_string().contains("was not measured"), "{verdict}");
        }
    }

    #[test]
    fn a_step_is_judged() {
        let step = Step {
            offered_per_s: 1_000.0,
            delivered_per_s: 999.0,
            percentiles_us: [("p99".to_owned(), 19_000.0)].into(),
            lost: 1,
            load_busy: 0.5,
            ..Step::default()
        };
        let conditions = parse("p99<20ms, lost=0, delivered>99%, rate>1k, load_busy<0.9").unwrap();
        assert_eq!(conditions.not_of_a_step(), None);
        let held: Vec<bool> = conditions.evaluate(&step).iter().map(|one| one.held).collect();
        assert_eq!(held, [true, false, true, false, true]);
        let conditions = parse("p99<20ms,stray=0").unwrap();
        assert_eq!(conditions.not_of_a_step().map(|one| &*one.text), Some("stray=0"));
    }

    #[test]
    fn verdicts_read_well() {
        let verdicts = parse("p50<1us,lost=12").unwrap().evaluate(&sample::run("a", 1.0));
        assert!(verdicts[0].to_string().starts_with("FAILED  p50<1us  (0."), "{}", verdicts[0]);
        assert_eq!(verdicts[1].to_string(), "held    lost=12  (12)");
    }
}
