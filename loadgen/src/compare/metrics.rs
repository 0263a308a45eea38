//! The figures that are compared, and what is made of each.

use std::fmt;

use serde::Serialize;

use super::ranks::{independent, mann_whitney, median};
use crate::result::{Limit, RunResult, Slice};
use crate::units::{Unit, float};

/// A difference is not chance when chance makes one like it in fewer than one of a hundred runs.
const P_MAX: f64 = 0.01;
/// Fewer slices than this cannot tell anything apart.
const SLICES_MIN: usize = 8;
/// Rates that differ by more than this part of them put another load on the server.
const OFFERED_DIFFERENCE_MAX: f64 = 0.02;

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Judgement {
    /// A change for the better that is not noise.
    #[serde(rename = "better")]
    Better,
    /// A change for the worse that is not noise.
    #[serde(rename = "worse")]
    Worse,
    /// No change that can be told from noise, or none that matters.
    #[serde(rename = "within noise")]
    WithinNoise,
    /// The two values do not measure the same.
    #[serde(rename = "not comparable")]
    NotComparable,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::WithinNoise => "within noise",
            Self::NotComparable => "not comparable",
        })
    }
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// What it is.
    pub name: String,
    /// Of A: the median of its slices, or the one value of the run. Microseconds, bytes, a rate or a
    /// number.
    pub a: Option<f64>,
    /// Of B.
    pub b: Option<f64>,
    /// A for people.
    pub a_shown: String,
    /// B for people.
    pub b_shown: String,
    /// From A to B, in percent of A.
    pub change_percent: Option<f64>,
    /// How likely such a difference is by chance, where there are slices to tell.
    pub p: Option<f64>,
    /// How many slices of A and of B were looked at.
    pub slices: Option<[usize; 2]>,
    /// What is made of it.
    pub judgement: Judgement,
    /// Why.
    pub why: String,
}

/// How a figure is taken and judged.
struct Kind {
    name: &'static str,
    unit: Unit,
    more_is_better: bool,
    /// The least change that matters, in percent.
    matters: f64,
    /// Whether it tells something about the server only when the load side had room.
    needs_room: bool,
    /// Whether it depends on how much was offered.
    needs_same_load: bool,
    /// Whether it is one of the headline latency.
    of_headline: bool,
    values: Values,
}

/// How the slices of B lie to those of A.
struct Chance {
    /// The share of pairs in which B's is the larger.
    larger: f64,
    /// How likely that is by chance.
    p: f64,
}

enum Values {
    Slices(fn(&Slice) -> Option<f64>),
    One(fn(&RunResult) -> Option<f64>),
}

const LATENCY: Kind = Kind {
    name: "",
    unit: Unit::Micros,
    more_is_better: false,
    matters: 5.0,
    needs_room: true,
    needs_same_load: true,
    of_headline: true,
    values: Values::Slices(|slice| slice.p50_us),
};

/// Most important first. Thresholds are about what two quiet runs of one binary differ by.
const KINDS: &[Kind] = &[
    Kind {
        name: "throughput",
        unit: Unit::PerSecond,
        more_is_better: true,
        matters: 2.0,
        of_headline: false,
        values: Values::Slices(Slice::deliveries_per_s),
        ..LATENCY
    },
    Kind { name: "p50", ..LATENCY },
    Kind { name: "p99", values: Values::Slices(|slice| slice.p99_us), ..LATENCY },
    Kind { name: "p99.9 of the run", matters: 15.0, values: Values::One(tail), ..LATENCY },
    Kind {
        name: "highest rate",
        unit: Unit::PerSecond,
        more_is_better: true,
        needs_same_load: false,
        of_headline: false,
        values: Values::One(highest_rate),
        ..LATENCY
    },
    Kind {
        name: "server CPU per delivery",
        matters: 3.0,
        needs_room: false,
        of_headline: false,
        values: Values::Slices(Slice::server_us_per_delivery),
        ..LATENCY
    },
    Kind {
        name: "server memory",
        unit: Unit::Bytes,
        needs_room: false,
        needs_same_load: false,
        of_headline: false,
        values: Values::One(|run| Some(float(run.server.as_ref()?.rss_peak_bytes))),
        ..LATENCY
    },
    Kind {
        name: "faults",
        unit: Unit::Count,
        matters: 0.0,
        needs_room: false,
        needs_same_load: false,
        of_headline: false,
        values: Values::One(|run| Some(float(run.faults.total()))),
        ..LATENCY
    },
];

fn tail(run: &RunResult) -> Option<f64> {
    run.latencies.get(run.headline.as_ref()?)?.percentile("p99.9")
}

fn highest_rate(run: &RunResult) -> Option<f64> {
    let held = run.steps.iter().filter(|step| step.held);
    held.map(|step| step.delivered_per_s).max_by(f64::total_cmp)
}

/// All figures that at least one of the two has.
pub(super) fn all(a: &RunResult, b: &RunResult) -> Vec<Metric> {
    KINDS.iter().filter_map(|kind| kind.compare(a, b)).collect()
}

impl Kind {
    fn compare(&self, a: &RunResult, b: &RunResult) -> Option<Metric> {
        let take = |run: &RunResult| match self.values {
            Values::One(value) => value(run).into_iter().collect::<Vec<_>>(),
            Values::Slices(value) => run.timeline.iter().filter_map(value).collect(),
        };
        let (mut of_a, mut of_b) = (take(a), take(b));
        of_a.retain(|value| value.is_finite());
        of_b.retain(|value| value.is_finite());
        let (middle_a, middle_b) = (median(&of_a), median(&of_b));
        if middle_a.is_none() && middle_b.is_none() {
            return None;
        }
        let change = middle_a.zip(middle_b).and_then(|(a, b)| match (a, b) {
            _ if a == b => Some(0.0),
            _ => (a != 0.0).then(|| (b - a) / a * 100.0),
        });
        let shown =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| self.unit.show(value));
        let sampled = matches!(self.values, Values::Slices(_));
        let ranks = mann_whitney(&of_a, &of_b).filter(|_| sampled).map(|ranks| Chance {
            larger: ranks.larger,
            p: ranks.p(independent(&of_a).min(independent(&of_b))),
        });
        let (judgement, why) = match self.obstacle(a, b, &of_a, &of_b) {
            Some(why) => (Judgement::NotComparable, why),
            None => self.judge(middle_b > middle_a, change, ranks.as_ref()),
        };
        Some(Metric {
            name: self.name.to_owned(),
            a: middle_a,
            b: middle_b,
            a_shown: shown(middle_a),
            b_shown: shown(middle_b),
            change_percent: change,
            p: ranks.map(|chance| chance.p),
            slices: sampled.then_some([of_a.len(), of_b.len()]),
            judgement,
            why,
        })
    }

    /// What is made of values that can be held against each other. `chance` is `None` of a single
    /// value a run, and `change` of one that was zero before.
    fn judge(
        &self,
        larger: bool,
        change: Option<f64>,
        chance: Option<&Chance>,
    ) -> (Judgement, String) {
        let least = self.matters;
        let changed =
            if larger == self.more_is_better { Judgement::Better } else { Judgement::Worse };
        if let Some(Chance { p, .. }) = chance.filter(|chance| chance.p >= P_MAX) {
            return (Judgement::WithinNoise, format!("no difference beyond chance (p = {p:.2})"));
        }
        if change.is_some_and(|change| change.abs() <= least) {
            let why = match least {
                0.0 => "no change".to_owned(),
                least => format!("below the {least} % that matter"),
            };
            return (Judgement::WithinNoise, why);
        }
        let why = match chance {
            Some(Chance { larger, p }) => {
                let p = if *p < 1e-4 { "< 0.0001".to_owned() } else { format!("= {p:.4}") };
                let share = Unit::Share.show(*larger);
                format!("B is larger in {share} of all pairs of slices (p {p})")
            }
            None if least == 0.0 => "counted over the whole run".to_owned(),
            None => "one value a run: believe it when it is seen again".to_owned(),
        };
        (changed, why)
    }

    /// Why the two cannot be held against each other.
    fn obstacle(&self, a: &RunResult, b: &RunResult, of_a: &[f64], of_b: &[f64]) -> Option<String> {
        if (&a.scenario, &a.kind) != (&b.scenario, &b.kind) {
            return Some("different scenarios".to_owned());
        }
        for (letter, values) in [("A", of_a), ("B", of_b)] {
            if values.is_empty() {
                return Some(format!("not measured in {letter}"));
            }
            if matches!(self.values, Values::Slices(_)) && values.len() < SLICES_MIN {
                let slices = values.len();
                return Some(format!("{letter} has {slices} slices, {SLICES_MIN} are needed"));
            }
        }
        if self.of_headline && a.headline != b.headline {
            return Some("different latencies are the headline".to_owned());
        }
        for (letter, run) in [("A", a), ("B", b)] {
            if self.needs_room && run.limit == Limit::Load {
                return Some(format!("the load side was the limit in {letter}"));
            }
        }
        let (offered_a, offered_b) = (a.traffic.offered_per_s, b.traffic.offered_per_s);
        let most = offered_a.max(offered_b) * OFFERED_DIFFERENCE_MAX;
        if self.needs_same_load && (offered_a - offered_b).abs() > most {
            let [a, b] = [offered_a, offered_b].map(|rate| Unit::PerSecond.show(rate));
            return Some(format!("A was offered {a}, B {b}"));
        }
        None
    }
}
