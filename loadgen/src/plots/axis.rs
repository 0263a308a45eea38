//! Scales: where a value lies, how far an axis reaches, and where its ticks stand.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::style::RGBColor;

use super::ink;
use super::{Series, Style};
use crate::units::Unit;

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their logarithm.
    Log,
    /// Quantiles from 0 to 1 by their nines: 90 %, 99 % and 99.9 % lie evenly.
    Nines,
}

/// One axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// What its values count: it decides how ticks are written.
    pub unit: Unit,
    /// How values are spread.
    pub scale: Scale,
    /// Whether it begins at zero, whatever the values are. A logarithmic one never does.
    pub from_zero: bool,
}

impl Axis {
    /// A linear axis that begins near the smallest value.
    #[must_use]
    pub fn new(label: impl Into<String>, unit: Unit) -> Self {
        Self { label: label.into(), unit, ..Self::default() }
    }

    /// On a logarithmic scale.
    #[must_use]
    pub fn log(self) -> Self {
        Self { scale: Scale::Log, ..self }
    }

    /// On a scale of nines, for quantiles.
    #[must_use]
    pub fn nines(self) -> Self {
        Self { scale: Scale::Nines, ..self }
    }

    /// Beginning at zero.
    #[must_use]
    pub fn from_zero(self) -> Self {
        Self { from_zero: true, ..self }
    }

    /// Where a value lies, in the axis' own measure; `None` when it has no place.
    fn place(&self, value: f64) -> Option<f64> {
        let at = match self.scale {
            Scale::Linear => value,
            Scale::Log if value > 0.0 => value.log10(),
            Scale::Nines if (0.0..1.0).contains(&value) => -(1.0 - value).log10(),
            Scale::Log | Scale::Nines => return None,
        };
        // Beyond this, ranges are no longer finite; nothing that is measured is near it.
        (at.is_finite() && at.abs() < 1e15).then_some(at)
    }

    /// The text of a tick.
    pub(super) fn tick(&self, at: f64) -> String {
        match self.scale {
            Scale::Linear => self.unit.tick(at),
            Scale::Log => self.unit.tick(10f64.powf(at)),
            Scale::Nines => {
                let decimals = (at - 2.0).round().max(0.0) as usize;
                format!("{:.decimals$} %", 100.0 * (1.0 - 10f64.powf(-at)))
            }
        }
    }

    /// Where ticks stand, in the axis' own measure.
    pub(super) fn ticks(&self, span: &Span) -> Vec<f64> {
        let inside = |at: &f64| *at >= span.low - 1e-9 && *at <= span.high + 1e-9;
        match self.scale {
            Scale::Linear => {
                let first = (span.low / span.step - 1e-6).ceil();
                let count = ((span.high - span.low) / span.step).round() as i32 + 1;
                let ticks = (0..count).map(|n| (first + f64::from(n)) * span.step);
                ticks.filter(|at| *at <= span.high + span.step * 1e-6).collect()
            }
            Scale::Log => {
                let decades = span.high - span.low;
                let steps: &[f64] = match decades {
                    _ if decades < 1.0 => &[1.0, 2.0, 3.0, 5.0, 7.0],
                    _ if decades < 2.7 => &[1.0, 2.0, 5.0],
                    _ => &[1.0],
                };
                // At most eight, however many decades there are.
                let every = (decades / 8.0).ceil().max(1.0);
                let decades = (span.low / every).floor() as i32..=(span.high / every).ceil() as i32;
                let each = decades.flat_map(|n| {
                    steps.iter().map(move |step| f64::from(n) * every + step.log10())
                });
                each.filter(inside).collect()
            }
            Scale::Nines => {
                let half = 2f64.log10();
                let nines = (1..=span.high.floor().clamp(1.0, 15.0) as i32).map(f64::from);
                [half].into_iter().chain(nines).filter(inside).collect()
            }
        }
    }
}

/// What may lie at an axis' ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rim {
    /// The values themselves.
    Lines,
    /// A little more than the values.
    Dots,
    /// Ticks, so that values lie between two of them.
    Ticks,
}

/// From where to where an axis reaches, in its own measure.
pub(super) struct Span {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Between ticks of a linear axis.
    step: f64,
}

impl Span {
    /// Holds all places.
    pub(super) fn of(axis: &Axis, places: impl Iterator<Item = f64>, rim: Rim) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for at in places {
            (low, high) = (low.min(at), high.max(at));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        match axis.scale {
            Scale::Linear => {
                if axis.from_zero {
                    (low, high) = (low.min(0.0), high.max(0.0));
                }
                if high - low < high.abs().max(low.abs()) * 1e-9 || high == low {
                    let room = if high == 0.0 { 1.0 } else { high.abs() * 0.5 };
                    (low, high) = (if axis.from_zero { low } else { low - room }, high + room);
                }
                let step = even_step((high - low) / 5.0);
                if rim == Rim::Dots {
                    high += (high - low) * 0.03;
                }
                if rim == Rim::Ticks {
                    low = (low / step + 1e-6).floor() * step;
                    high = (high / step - 1e-6).ceil() * step;
                }
                Self { low, high, step }
            }
            Scale::Log => {
                if rim != Rim::Lines || high - low < 0.1 {
                    (low, high) = (low - 0.05, high + 0.05);
                }
                // A range below half a decade would make noise look like change.
                let short = (0.5 - (high - low)).max(0.0) / 2.0;
                Self { low: low - short, high: high + short, step: 1.0 }
            }
            Scale::Nines => Self { low: 0.0, high: high.max(1.0), step: 1.0 },
        }
    }
}

/// What the drawing library asks where a place lies on paper.
#[derive(Clone)]
pub(super) struct Ruler {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ruler {
    pub(super) fn new(span: &Span, ticks: Vec<f64>) -> Self {
        Self { range: span.low..span.high, ticks }
    }
}

impl Ranged for Ruler {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, at: &f64, limit: (i32, i32)) -> i32 {
        let part = (at - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// The next of 1, 2, 5, 10, ... that is not below.
fn even_step(least: f64) -> f64 {
    let decade = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * decade >= least * 0.999);
    step.unwrap_or(10.0) * decade
}

/// A series whose points are where its axes place them.
pub(super) struct Placed<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) style: Style,
    pub(super) colour: RGBColor,
}

impl<'a> Placed<'a> {
    pub(super) fn new(n: usize, series: &'a Series, x: &Axis, y: &Axis) -> Self {
        let points = series.points.iter();
        Self {
            name: &series.name,
            points: points
                .filter_map(|point| Some((x.place(point.0)?, y.place(point.1)?)))
                .collect(),
            style: series.style,
            colour: ink::colour(series.colour.unwrap_or(n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis, values: &[f64], rim: Rim) -> Vec<String> {
        let span = Span::of(axis, values.iter().filter_map(|value| axis.place(*value)), rim);
        axis.ticks(&span).into_iter().map(|at| axis.tick(at)).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        let rate = Axis::new("", Unit::PerSecond).from_zero();
        assert_eq!(
            texts(&rate, &[430_000.0, 960_000.0], Rim::Ticks),
            ["0", "200 k", "400 k", "600 k", "800 k", "1 M"]
        );
        let seconds = Axis::new("", Unit::Seconds);
        assert_eq!(
            texts(&seconds, &[0.0, 10.0], Rim::Lines),
            ["0", "2 s", "4 s", "6 s", "8 s", "10 s"]
        );
        let latency = Axis::new("", Unit::Micros).log();
        assert_eq!(
            texts(&latency, &[90.0, 11_000.0], Rim::Ticks),
            ["0.1 ms", "0.2 ms", "0.5 ms", "1 ms", "2 ms", "5 ms", "10 ms"]
        );
        assert_eq!(texts(&latency, &[1.0, 1e7], Rim::Ticks).len(), 8);
        let quantile = Axis::new("", Unit::Share).nines();
        assert_eq!(
            texts(&quantile, &[0.0, 0.99995], Rim::Lines),
            ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
    }

    #[test]
    fn steps_are_even() {
        for (least, step) in [(0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (6.0, 10.0)] {
            assert!((even_step(least) - step).abs() < 1e-9, "{least}");
            assert!((even_step(least * 1e6) - step * 1e6).abs() < 1e-3, "{least} M");
        }
    }
}
