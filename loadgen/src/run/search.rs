//! `--find-max`: the highest rate at which conditions hold.

use anyhow::{Result, bail};

use super::Run;
use crate::conditions::{Conditions, Verdict};
use crate::result::{Limit, RunResult, Step};
use crate::worker::Order;

/// The search ends when the highest rate that holds and the lowest that does not are this close.
const CLOSE_ENOUGH: f64 = 1.05;
/// Most rates that are tried.
const STEPS_MAX: usize = 30;
/// A rate that fails is tried so often before it counts as failed, because a virtual machine that is paused
/// for a moment looks the same as a server that cannot keep up.
const ATTEMPTS: usize = 2;
/// The same when the machine took the cores away.
const ATTEMPTS_DISTURBED: usize = 4;
/// With less than this share delivered a rate is hopeless, and is not tried again.
const HOPELESS: f64 = 0.6;
/// With less than this share delivered within the window a rate does not hold, whatever else does: what is
/// late by the length of the window is not counted by percentiles of what came.
const DELIVERED_MIN: f64 = 0.97;

impl Run<'_> {
    /// Doubles the rates until they fail (halves them when the first ones do), then closes in.
    pub(super) fn search(&mut self, conditions: &Conditions) -> Result<RunResult> {
        if crate::books::Line::all(&self.scenario).is_empty() {
            bail!("--find-max raises the rates of messages, and the scenario has none");
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut best: Option<RunResult> = None;
        let mut last: Option<RunResult> = None;
        let (mut holds, mut fails) = (0.0_f64, f64::INFINITY);
        let (mut factor, mut attempts) = (1.0, 0);
        let mut arrivals = self.arrive()?;
        while steps.len() < STEPS_MAX && fails / holds.max(1e-9) > CLOSE_ENOUGH {
            if arrivals.failure.is_some() || self.crew.is_interrupted() {
                let mut result = self.unplayed(arrivals);
                result.steps = steps;
                return Ok(best.map(|best| interrupted(best, &result)).unwrap_or(result));
            }
            let played = self.play(&arrivals, factor)?;
            let mut result = self.result(&arrivals, played, factor);
            let verdicts = conditions.evaluate(&result);
            let (held, reason) = judge(&result, &verdicts);
            let step = step_of(&result, held, reason);
            self.setup.progress.step(&step);
            steps.push(step);
            if result.partial.is_some() {
                result.steps = steps;
                return Ok(best.map(|best| interrupted(best, &result)).unwrap_or(result));
            }
            if held {
                (attempts, holds) = (0, factor);
                best = Some(result);
            } else {
                let delivered =
                    result.traffic.delivered_per_s / result.traffic.offered_per_s.max(1e-9);
                let disturbed = result.limit == Limit::Machine;
                last = Some(result);
                // What is still queued belongs to a rate that failed: the next one starts clean.
                self.crew.order_all(|| Order::Reset);
                self.pause(0.3);
                arrivals = self.arrive()?;
                attempts += 1;
                let again = if disturbed { ATTEMPTS_DISTURBED } else { ATTEMPTS };
                if attempts < again && (disturbed || delivered > HOPELESS) {
                    continue;
                }
                (attempts, fails) = (0, factor);
            }
            factor = match (holds > 0.0, fails.is_finite()) {
                (true, false) => holds * 2.0,
                (false, _) => fails / 2.0,
                (true, true) => (holds * fails).sqrt(),
            };
            if factor < 1e-3 {
                break;
            }
        }
        let Some(mut result) = best.or(last) else { bail!("no rate could be tried") };
        if holds == 0.0 {
            result.remarks.push(
                "the conditions held at no rate that was tried; this is the last one".to_owned(),
            );
        }
        result.steps = steps;
        Ok(result)
    }
}

/// The best result so far, with why there is no better one.
fn interrupted(mut best: RunResult, last: &RunResult) -> RunResult {
    best.partial.clone_from(&last.partial);
    best.steps.clone_from(&last.steps);
    best
}

fn judge(result: &RunResult, verdicts: &[Verdict]) -> (bool, Option<String>) {
    if let Some(failed) = verdicts.iter().find(|verdict| !verdict.held) {
        return (false, Some(format!("{}: {}", failed.condition, failed.shown)));
    }
    let traffic = &result.traffic;
    let merged = result.headline.as_deref() == Some("cursor");
    if !merged && traffic.delivered_per_s < DELIVERED_MIN * traffic.offered_per_s {
        let share = traffic.delivered_per_s / traffic.offered_per_s * 100.0;
        return (false, Some(format!("{share:.1} % delivered within the window")));
    }
    (true, None)
}

fn step_of(result: &RunResult, held: bool, reason: Option<String>) -> Step {
    let headline = result.headline.as_ref().and_then(|name| result.latencies.get(name));
    let server = result.server.as_ref();
    Step {
        offered_per_s: result.traffic.offered_per_s,
        delivered_per_s: result.traffic.delivered_per_s,
        percentiles_us: headline.map(|latency| latency.percentiles_us.clone()).unwrap_or_default(),
        lost: result.faults.lost,
        server_us_per_delivery: server.and_then(|server| server.us_per_delivery),
        server_busy: server.map(|server| server.busy),
        load_busy: result.load.busiest_thread,
        waited: server.map_or(0.0, |server| server.waited).max(result.load.waited),
        held,
        reason,
    }
}
