//! The highest rate of notes at which everything arrives in time: p99 below 50 ms, nothing lost.

use anyhow::Result;
use serde_json::{Value, json};

use crate::fleet::{Discard, Fleet};
use crate::notes::{self, Crowd, Figures, Plan};
use crate::outcome::Outcome;

/// A rate holds when its p99 is below this, in milliseconds.
const P99_MS_MAX: f64 = 50.0;
/// A rate holds when this share of the offered deliveries came within the window.
const DELIVERED_MIN: f64 = 0.97;
/// The search ends when the highest rate that holds and the lowest that does not are this close.
const CLOSE_ENOUGH: f64 = 1.06;

/// A step in which a side waited longer than this share of the time for its core is tried more often.
const DISTURBED: f64 = 0.05;

/// How each rate is tried: measured seconds, and the load side's turns (see [`Plan`]).
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) step_s: f64,
    pub(crate) turn_us: u64,
    pub(crate) merge: bool,
}

/// Doubles the offered deliveries per second from `start` until a rate fails (halves when the first
/// one does), then bisects. A rate that fails is tried twice before it counts as failed, because a
/// virtual machine that is paused for a moment looks the same as a server that cannot keep up.
pub(crate) fn search(
    fleet: &mut Fleet,
    crowd: Crowd,
    start: f64,
    Steps { step_s, turn_us, merge }: Steps,
    pid: Option<u32>,
) -> Result<Outcome> {
    let per_input = (crowd.members - 1) as f64;
    let mut steps = Vec::new();
    let mut best: Option<Figures> = None;
    let (mut holds, mut fails) = (0.0_f64, f64::INFINITY);
    let mut offered = start;
    let mut limited_by_load = false;
    let mut attempts = 0;
    while steps.len() < 30 && fails / holds.max(1.0) > CLOSE_ENOUGH {
        let rate = offered / per_input / crowd.n_senders() as f64;
        fleet.grow(crowd.total(), |peer| crowd.channel_of(peer), &mut Discard)?;
        fleet.linger(0.05, &mut Discard)?;
        let plan = Plan {
            rate,
            warm_s: step_s * 0.4,
            measure_s: step_s,
            drain_s: 1.0,
            exact: false,
            notes_per_message: 1,
            turn_us,
            merge,
        };
        let figures = notes::run(fleet, crowd, &plan, pid)?;
        let held = figures.is_clean()
            && figures.p99_ms() < P99_MS_MAX
            && figures.delivered_per_s >= DELIVERED_MIN * figures.offered_per_s;
        eprintln!(
            "  offered {:>9.0}/s  delivered {:>9.0}/s  p99 {:>8.2} ms  lost {:<6} load {:>3.0} %  waited {:>2.0} %  {}",
            figures.offered_per_s,
            figures.delivered_per_s,
            figures.p99_ms(),
            figures.lost,
            figures.load_busy() * 100.0,
            figures.server_wait_ns.max(figures.load_wait_ns) as f64 / 1e7 / figures.window_s,
            if held { "holds" } else { "fails" }
        );
        steps.push(json!({
            "offered_per_s": figures.offered_per_s.round(),
            "delivered_per_s": figures.delivered_per_s.round(),
            "p99_ms": figures.p99_ms(),
            "lost": figures.lost,
            "load_busy": (figures.load_busy() * 1000.0).round() / 1000.0,
            "server_waited_s": figures.server_wait_ns as f64 / 1e9,
            "load_waited_s": figures.load_wait_ns as f64 / 1e9,
            "held": held,
        }));
        if held {
            attempts = 0;
            holds = offered;
            best = Some(figures);
        } else {
            limited_by_load = figures.load_busy() > 0.9;
            // What is still queued belongs to a rate that failed: start the next one clean.
            fleet.reset();
            std::thread::sleep(std::time::Duration::from_millis(200));
            attempts += 1;
            // Far over the limit is no hiccup; a core that was taken away is one for certain.
            let hopeless = figures.delivered_per_s < 0.6 * figures.offered_per_s;
            let waited_ns = figures.server_wait_ns.max(figures.load_wait_ns);
            let disturbed = waited_ns as f64 / 1e9 > DISTURBED * figures.window_s;
            let again = if disturbed { 4 } else { 2 };
            if attempts < again && (disturbed || !hopeless || fails.is_finite()) {
                continue;
            }
            attempts = 0;
            fails = offered;
        }
        offered = match (holds > 0.0, fails.is_finite()) {
            (true, false) => holds * 2.0,
            (false, _) => fails / 2.0,
            (true, true) => (holds * fails).sqrt(),
        };
        if offered < 100.0 {
            break;
        }
    }
    let mut outcome = Outcome::new("saturate");
    outcome.put("channels", crowd.channels);
    outcome.put("members", crowd.members);
    match &best {
        Some(figures) => figures.put(&mut outcome),
        None => outcome.put("deliveries_per_s", 0),
    }
    outcome.put("load_was_the_limit", limited_by_load);
    outcome.put("steps", Value::Array(steps));
    Ok(outcome)
}
