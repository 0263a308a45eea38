//! What people see while it runs: one line that changes on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::result::Step;
use crate::units::Unit;

/// Between two lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Between two changes of the line on a terminal.
const LIVE_EVERY: Duration = Duration::from_millis(150);

/// Where progress is shown.
pub struct Progress {
    shown: Shown,
    last: Option<Instant>,
    /// Whether a line is open that the next one replaces.
    open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Not,
    Plain,
    Live,
}

/// One moment of a run.
pub(crate) struct Moment<'a> {
    pub(crate) at_s: f64,
    pub(crate) of_s: f64,
    pub(crate) per_s: f64,
    pub(crate) latency_us: &'a Histogram<u64>,
    pub(crate) faults: u64,
    pub(crate) connections: u64,
    pub(crate) server_busy: Option<f64>,
    pub(crate) server_rss: Option<u64>,
    pub(crate) load_busy: f64,
}

impl Progress {
    /// On standard error, unless `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let shown = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Shown::Not,
            (false, true) => Shown::Live,
            (false, false) => Shown::Plain,
        };
        Self { shown, last: None, open: false }
    }

    pub(crate) fn arriving(&mut self, seated: u64, of: u64) {
        self.say(false, || format!("arriving   {seated} of {of}"));
    }

    pub(crate) fn warming(&mut self, left_s: f64) {
        self.say(false, || format!("warming up {left_s:.1} s left"));
    }

    pub(crate) fn playing(&mut self, moment: &Moment<'_>) {
        let is_last = moment.at_s >= moment.of_s - 1e-3;
        self.say(is_last, || {
            let mut line = format!(
                "{:>5.1} of {:.0} s  {:>9}",
                moment.at_s,
                moment.of_s,
                Unit::PerSecond.show(moment.per_s)
            );
            if !moment.latency_us.is_empty() {
                let at = |q: f64| Unit::Micros.show(moment.latency_us.value_at_quantile(q) as f64);
                line += &format!("  p50 {}  p99 {}  max {}", at(0.5), at(0.99), at(1.0));
            }
            line += &format!("  faults {}  connections {}", moment.faults, moment.connections);
            if let Some(busy) = moment.server_busy {
                line += &format!("  server {:.0} %", busy * 100.0);
            }
            if let Some(rss) = moment.server_rss {
                line += &format!(" {}", Unit::Bytes.show(rss as f64));
            }
            line + &format!("  load {:.0} %", moment.load_busy * 100.0)
        });
    }

    /// A step of a search stays on the screen.
    pub(crate) fn step(&mut self, step: &Step) {
        if self.shown == Shown::Not {
            return;
        }
        self.end();
        let p99 = step
            .percentiles_us
            .get("p99")
            .map_or_else(String::new, |us| format!("  p99 {:>9}", Unit::Micros.show(*us)));
        eprintln!(
            "offered {:>10}  delivered {:>10}{p99}  lost {:<6} load {:>3.0} %  waited {:>2.0} %  {}",
            Unit::PerSecond.show(step.offered_per_s),
            Unit::PerSecond.show(step.delivered_per_s),
            step.lost,
            step.load_busy * 100.0,
            step.waited * 100.0,
            match &step.reason {
                None => "holds".to_owned(),
                Some(reason) => format!("fails ({reason})"),
            }
        );
    }

    /// Leaves the line as it is.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            eprintln!();
        }
    }

    fn say(&mut self, always: bool, line: impl FnOnce() -> String) {
        let every = match self.shown {
            Shown::Not => return,
            Shown::Plain => PLAIN_EVERY,
            Shown::Live => LIVE_EVERY,
        };
        if !always && self.last.is_some_and(|last| last.elapsed() < every) {
            return;
        }
        self.last = Some(Instant::now());
        if self.shown == Shown::Plain {
            return eprintln!("{}", line());
        }
        // Whoever closed the terminal does not want to see it.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", line());
        self.open = true;
    }
}
