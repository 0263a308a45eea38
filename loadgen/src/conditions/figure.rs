//! The figures that a condition can name, and where a run or a step has them.

use std::fmt;

use crate::histogram;
use crate::result::{Latency, RunResult, Step};
use crate::units::{Unit, float};

/// A figure of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// `p99`, `max` or `mean` of one latency, or of the headline.
    Latency {
        /// Key of [`RunResult::latencies`]; `None` for the headline.
        of: Option<String>,
        /// `p` and a number, `max` or `mean`.
        statistic: String,
    },
    /// One that has a name of its own.
    Plain(Plain),
    /// One of [`RunResult::figures`].
    Named(String),
}

/// Figures with names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Deliveries that never came.
    Lost,
    /// Deliveries that came again.
    Repeated,
    /// Deliveries out of order.
    Reordered,
    /// Deliveries with a wrong content.
    Corrupted,
    /// Deliveries to the wrong connection.
    Stray,
    /// Connections that were refused.
    Refused,
    /// Connections that ended.
    Closed,
    /// Other errors.
    Errors,
    /// All of these.
    Faults,
    /// Deliveries as a share of what was to be delivered.
    Delivered,
    /// Deliveries a second.
    Rate,
    /// CPU of the server per delivery.
    ServerUs,
    /// Cores that the server used.
    ServerBusy,
    /// The load side's busiest thread.
    LoadBusy,
    /// The largest resident memory of the server.
    Rss,
}

impl Plain {
    pub(super) const ALL: [(&'static str, Self, Unit); 15] = [
        ("lost", Self::Lost, Unit::Count),
        ("repeated", Self::Repeated, Unit::Count),
        ("reordered", Self::Reordered, Unit::Count),
        ("corrupted", Self::Corrupted, Unit::Count),
        ("stray", Self::Stray, Unit::Count),
        ("refused", Self::Refused, Unit::Count),
        ("closed", Self::Closed, Unit::Count),
        ("errors", Self::Errors, Unit::Count),
        ("faults", Self::Faults, Unit::Count),
        ("delivered", Self::Delivered, Unit::Share),
        ("rate", Self::Rate, Unit::PerSecond),
        ("server_us", Self::ServerUs, Unit::Micros),
        ("server_busy", Self::ServerBusy, Unit::Cores),
        ("load_busy", Self::LoadBusy, Unit::Share),
        ("rss", Self::Rss, Unit::Bytes),
    ];

    fn entry(self) -> &'static (&'static str, Self, Unit) {
        Self::ALL.iter().find(|entry| entry.1 == self).expect("each figure is in the table once")
    }
}

impl Figure {
    /// The figure of that name, if there is one.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(entry) = Plain::ALL.iter().find(|entry| entry.0 == name) {
            return Some(Self::Plain(entry.1));
        }
        if let Some(figure) = name.strip_prefix("figure.").filter(|figure| !figure.is_empty()) {
            return Some(Self::Named(figure.to_owned()));
        }
        if is_statistic(name) {
            return Some(Self::Latency { of: None, statistic: name.to_owned() });
        }
        // The statistic can hold a dot (`chat.p99.9`), and it begins after the first that fits.
        name.match_indices('.').find_map(|(dot, _)| {
            let (of, statistic) = (&name[..dot], &name[dot + 1..]);
            (!of.is_empty() && is_statistic(statistic))
                .then(|| Self::Latency { of: Some(of.to_owned()), statistic: statistic.to_owned() })
        })
    }

    /// What its limit is written in.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Self::Latency { .. } => Unit::Micros,
            Self::Plain(plain) => plain.entry().2,
            Self::Named(_) => Unit::Count,
        }
    }

    /// Whether a single step of a search has it.
    pub(super) fn is_of_a_step(&self) -> bool {
        match self {
            Self::Latency { of, statistic } => {
                of.is_none() && histogram::PERCENTILES.iter().any(|entry| entry.0 == statistic)
            }
            Self::Plain(plain) => matches!(
                plain,
                Plain::Lost
                    | Plain::Delivered
                    | Plain::Rate
                    | Plain::ServerUs
                    | Plain::ServerBusy
                    | Plain::LoadBusy
            ),
            Self::Named(_) => false,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency { of: None, statistic } => write!(f, "{statistic}"),
            Self::Latency { of: Some(of), statistic } => write!(f, "{of}.{statistic}"),
            Self::Plain(plain) => write!(f, "{}", plain.entry().0),
            Self::Named(name) => write!(f, "figure.{name}"),
        }
    }
}

/// `max`, `mean`, or a percentile between 0 and 100 without either.
fn is_statistic(name: &str) -> bool {
    matches!(name, "max" | "mean") || quantile(name).is_some()
}

/// `p99.9` as 0.999.
fn quantile(name: &str) -> Option<f64> {
    let digits = name.strip_prefix('p')?;
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && !digits.ends_with('.');
    let percent: f64 = digits.parse().ok().filter(|_| plain)?;
    (percent > 0.0 && percent < 100.0).then_some(percent / 100.0)
}

/// Something that has figures.
pub trait Measured {
    /// The figure in its unit; `None` when it was not measured.
    fn find(&self, figure: &Figure) -> Option<f64>;
}

impl Measured for RunResult {
    fn find(&self, figure: &Figure) -> Option<f64> {
        match figure {
            Figure::Latency { of, statistic } => {
                let of = of.as_ref().or(self.headline.as_ref())?;
                statistic_of(self.latencies.get(of)?, statistic)
            }
            Figure::Named(name) => self.figures.get(name).copied(),
            Figure::Plain(plain) => self.plain(*plain),
        }
    }
}

impl RunResult {
    fn plain(&self, plain: Plain) -> Option<f64> {
        let faults = &self.faults;
        let (traffic, server) = (&self.traffic, self.server.as_ref());
        Some(match plain {
            Plain::Lost => float(faults.lost),
            Plain::Repeated => float(faults.repeated),
            Plain::Reordered => float(faults.reordered),
            Plain::Corrupted => float(faults.corrupted),
            Plain::Stray => float(faults.stray),
            Plain::Refused => float(faults.refused.values().sum()),
            Plain::Closed => float(faults.closed.values().sum()),
            Plain::Errors => float(faults.errors.values().sum()),
            Plain::Faults => float(faults.total()),
            Plain::Delivered if traffic.expected == 0 => return None,
            Plain::Delivered => float(traffic.deliveries) / float(traffic.expected),
            Plain::Rate => traffic.delivered_per_s,
            Plain::ServerUs => server?.us_per_delivery?,
            Plain::ServerBusy => server?.busy,
            Plain::LoadBusy => self.load.busiest_thread,
            Plain::Rss => float(server?.rss_peak_bytes),
        })
    }
}

impl Measured for Step {
    fn find(&self, figure: &Figure) -> Option<f64> {
        match figure {
            Figure::Latency { of: None, statistic } => self.percentiles_us.get(statistic).copied(),
            Figure::Plain(plain) => match plain {
                Plain::Lost => Some(float(self.lost)),
                Plain::Delivered => {
                    (self.offered_per_s > 0.0).then(|| self.delivered_per_s / self.offered_per_s)
                }
                Plain::Rate => Some(self.delivered_per_s),
                Plain::ServerUs => self.server_us_per_delivery,
                Plain::ServerBusy => self.server_busy,
                Plain::LoadBusy => Some(self.load_busy),
                _ => None,
            },
            Figure::Latency { .. } | Figure::Named(_) => None,
        }
    }
}

fn statistic_of(latency: &Latency, statistic: &str) -> Option<f64> {
    if latency.count == 0 {
        return None;
    }
    if statistic == "mean" {
        return Some(latency.mean_us);
    }
    latency.percentile(statistic).or_else(|| {
        // One that no result lists is read off the histogram.
        let histogram = latency.to_histogram().ok().filter(|histogram| !histogram.is_empty())?;
        Some(histogram::at(&histogram, quantile(statistic)?))
    })
}
