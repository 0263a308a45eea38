//! What a scenario hands back: named figures, as lines for people or one JSON object for programs.

use hdrhistogram::Histogram;
use serde_json::{Map, Value};

pub(crate) struct Outcome(Map<String, Value>);

impl Outcome {
    pub(crate) fn new(scenario: &str) -> Self {
        let mut figures = Map::new();
        figures.insert("scenario".into(), scenario.into());
        Self(figures)
    }

    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// A figure with as many digits as mean something.
    pub(crate) fn put_rounded(&mut self, name: &str, value: f64, digits: i32) {
        let scale = 10_f64.powi(digits);
        self.put(name, (value * scale).round() / scale);
    }

    /// Percentiles of a histogram of microseconds, in milliseconds.
    pub(crate) fn put_latency(&mut self, name: &str, latency_us: &Histogram<u64>) {
        for (label, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            let value = latency_us.value_at_quantile(quantile) as f64 / 1000.0;
            self.put_rounded(&format!("{name}_{label}_ms"), value, 3);
        }
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", Value::Object(self.0.clone()));
            return;
        }
        for (name, value) in &self.0 {
            println!("{name:>32}  {value}");
        }
    }
}

/// A histogram of microseconds: 1 us to 100 s, three digits.
pub(crate) fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 100_000_000, 3).expect("the bounds are constant and valid")
}
