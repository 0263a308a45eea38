//! Results that were made up, for the tests of what shows and judges results.

use serde_json::json;

use crate::histogram;
use crate::result::*;

/// Pseudo-random numbers between 0 and 1, the same ones for a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The next one (a 64-bit linear congruential generator; its upper half is good enough here).
    pub(crate) fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from((self.0 >> 32) as u32) / f64::from(u32::MAX)
    }
}

/// A heavy tail around `median` microseconds.
pub(crate) fn latency(dice: &mut Dice, count: u64, median: f64) -> Latency {
    let mut histogram = histogram::empty();
    for _ in 0..count {
        let spread = (1.0 / (1.0 - dice.next() * 0.99998)).ln();
        histogram.saturating_record((median * (0.35 + spread * 0.9)) as u64);
    }
    Latency::from_histogram(&histogram)
}

fn slices(dice: &mut Dice, slower: f64) -> Vec<Slice> {
    let mut around = |value: f64| value * (0.97 + 0.06 * dice.next());
    (1..=20)
        .map(|n| Slice {
            at_s: 0.5 * f64::from(n),
            length_s: 0.5,
            connections: 1_000,
            sent: 500,
            deliveries: around(50_000.0) as u64,
            faults: u64::from(n == 13) * 17,
            p50_us: Some(around(400.0 * slower)),
            p99_us: Some(around(2_000.0 * slower)),
            max_us: Some(around(6_000.0 * slower) * if n == 13 { 9.0 } else { 1.0 }),
            server_busy: Some(around(0.16 * slower)),
            server_rss_bytes: Some(around(48e6) as u64),
        })
        .collect()
}

fn steps() -> Vec<Step> {
    [0.25, 0.5, 1.0, 2.0, 1.5, 1.75]
        .map(|m| {
            let load = f64::min(m / 1.9, 0.98);
            let held = m < 1.7;
            Step {
                offered_per_s: m * 1e6,
                delivered_per_s: m.min(1.8) * 1e6,
                percentiles_us: [("p50", 0.2), ("p99", 1.1), ("max", 4.0)]
                    .map(|(name, factor)| (name.to_owned(), 900.0 * factor / (1.0 - load)))
                    .into(),
                lost: if held { 0 } else { 1_200 },
                server_us_per_delivery: Some(1.1),
                server_busy: Some(load * 2.0),
                load_busy: load * 0.4,
                waited: 0.01,
                held,
                reason: (!held).then(|| "p99<20ms".to_owned()),
            }
        })
        .into()
}

/// A run of 10 s with everything in it; `slower` scales latencies and CPU.
pub(crate) fn run(name: &str, slower: f64) -> RunResult {
    let mut dice = Dice(name.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte)));
    let timeline = slices(&mut dice, slower);
    RunResult {
        schema: SCHEMA,
        scenario: "fanout".into(),
        kind: "fanout".into(),
        settings: json!({"channels": 10, "members": 100, "senders": 10, "rate_per_s": 10.0}),
        partial: None,
        environment: Environment {
            version: "0.1.0".into(),
            commit: Some("0123456789abcdef".into()),
            started_unix_s: 1_790_000_000.0,
            kernel: "Linux 6.1.0-18-amd64 x86_64".into(),
            cpu: "A CPU at 3 GHz".into(),
            cpus: 2,
            memory_bytes: 8_000_000_000,
            congestion_control: Some("cubic".into()),
            load_cpus: vec![1],
            server_cpus: Some(vec![0]),
            command: ["tutti-loadgen", "fanout", "--cpus", "1"].map(str::to_owned).into(),
            processes: 1,
        },
        target: Target {
            url: "ws://127.0.0.1:8443".into(),
            name: Some(name.into()),
            dialect: "text".into(),
            command: Some(vec!["tutti".into(), "serve".into()]),
        },
        window_s: 10.0,
        traffic: Traffic {
            connections: 1_000,
            sent: 10_000,
            expected: 1_000_012,
            deliveries: 1_000_000,
            offered_per_s: 100_001.2,
            delivered_per_s: 100_000.0,
            frames: 250_000,
            bytes_received: 123_000_000,
            bytes_sent: 1_200_000,
            reads: 200_000,
        },
        faults: Faults {
            lost: 12,
            refused: [("503 Service Unavailable".to_owned(), 3)].into(),
            closed: [("1006".to_owned(), 2)].into(),
            ..Faults::default()
        },
        latencies: [("note", 400.0, 20_000), ("chat", 700.0, 900), ("join", 3_000.0, 1_000)]
            .map(|(name, median, count)| {
                (name.to_owned(), latency(&mut dice, count, median * slower))
            })
            .into(),
        headline: Some("note".into()),
        send_lag: Some(latency(&mut dice, 10_000, 30.0)),
        timeline,
        load: LoadSide {
            cpu_s: 3.1,
            busiest_thread: 0.31,
            threads: 1,
            us_per_delivery: Some(0.31),
            share_of_server: Some(0.194),
            waited: 0.004,
        },
        server: Some(ServerSide {
            pid: Some(4242),
            cpu_s: 1.6 * slower,
            busy: 0.16 * slower,
            waited: 0.002,
            us_per_delivery: Some(1.6 * slower),
            us_per_delivery_median: Some(1.58 * slower),
            rss_start_bytes: Some(12_000_000),
            rss_peak_bytes: 49_000_000,
            rss_end_bytes: 48_000_000,
            anon_end_bytes: 40_000_000,
            threads: 4,
            descriptors: Some(1_020),
            voluntary_switches: 12_345,
            involuntary_switches: 67,
            metrics: [("tutti_turns_total".to_owned(), 123_456.0)].into(),
            ..ServerSide::default()
        }),
        limit: Limit::Neither,
        steps: steps(),
        memory_curve: (0..=18)
            .map(|n| MemoryPoint {
                connections: n * 1_000,
                rss_bytes: 12_000_000 + n * 1_350_000 + (n % 3) * 150_000,
                anon_bytes: 5_000_000 + n * 1_150_000,
                slab_bytes: Some(n * 2_900_000),
            })
            .collect(),
        figures: [("join_ms".to_owned(), 4.2)].into(),
        remarks: vec!["The kernel's socket buffers are not part of the server's memory.".into()],
    }
}
