//! What a run leaves behind: one JSON object that the table, the pages, comparisons and assertions
//! read, and nothing else.
//!
//! Every duration is in the unit that its name ends with. A field is absent (`None`) when it was not
//! or could not be measured, never zero in its place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The layout of the file; raised when a reader of the old one would misread the new one.
pub const SCHEMA: u32 = 1;

/// One scenario against one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The scenario's name: that of the preset, or of the file without its ending.
    pub scenario: String,
    /// The kind of the scenario (`fanout`, `idle`, ...): what its figures mean.
    pub kind: String,
    /// Every key of the scenario as it was run, defaults included.
    pub settings: serde_json::Value,
    /// Why the run ended early; `None` when it is whole. The figures hold for the part that ran.
    pub partial: Option<String>,
    /// Where and how it was run.
    pub environment: Environment,
    /// The server.
    pub target: Target,
    /// Length of the measured window, without warm-up and draining.
    pub window_s: f64,
    /// What was sent and what arrived in the window.
    pub traffic: Traffic,
    /// What went wrong, counted over the whole run.
    pub faults: Faults,
    /// From the intended time to the receipt, by what was measured: `note`, `chat`, `cursor`, `ping`, `arrival`,
    /// `join`, `back`, `list`, and `spread` from the first to the last receiver of one message. The first to look at
    /// is [`RunResult::headline`].
    pub latencies: BTreeMap<String, Latency>,
    /// The key of [`RunResult::latencies`] that `p99` alone means in an assertion.
    pub headline: Option<String>,
    /// How late the load side itself sent, intended against actual time.
    pub send_lag: Option<Latency>,
    /// The window in slices, oldest first.
    pub timeline: Vec<Slice>,
    /// What the load side cost.
    pub load: LoadSide,
    /// What the server cost, where it could be watched.
    pub server: Option<ServerSide>,
    /// What held the rate down.
    pub limit: Limit,
    /// The steps of `--find-max`, in the order in which they were tried.
    pub steps: Vec<Step>,
    /// Memory of the server at rising numbers of connections.
    pub memory_curve: Vec<MemoryPoint>,
    /// Other figures of the scenario, by a name that ends with the unit.
    pub figures: BTreeMap<String, f64>,
    /// Sentences for the reader: what limits these figures, what was left out.
    pub remarks: Vec<String>,
}

/// Where and how a run was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the load generator.
    pub version: String,
    /// Commit of the working tree that the run was started in, with `+` when it had changes.
    pub commit: Option<String>,
    /// Start of the run, Unix time.
    pub started_unix_s: f64,
    /// System, release and machine of the kernel.
    pub kernel: String,
    /// Model of the CPU.
    pub cpu: String,
    /// CPUs online.
    pub cpus: usize,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// TCP congestion control in force.
    pub congestion_control: Option<String>,
    /// CPUs that the load side's threads are pinned to; empty when they are not.
    pub load_cpus: Vec<usize>,
    /// CPUs that the server may run on, where it is watched.
    pub server_cpus: Option<Vec<usize>>,
    /// The command line of the load generator.
    pub command: Vec<String>,
    /// How many processes were joined into this result.
    pub processes: usize,
}

/// The server of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The URL as given.
    pub url: String,
    /// A name for tables and plots (`--name`).
    pub name: Option<String>,
    /// `text`, `quick` or `line`.
    pub dialect: String,
    /// Command line of the watched process.
    pub command: Option<Vec<String>>,
}

/// What was sent and what arrived in the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections that were open at the end of the window.
    pub connections: u64,
    /// Messages sent.
    pub sent: u64,
    /// Deliveries that the messages sent in the window should cause.
    pub expected: u64,
    /// Marked messages received: one that reaches ten members counts ten.
    pub deliveries: u64,
    /// Messages that should be delivered a second.
    pub offered_per_s: f64,
    /// Deliveries a second.
    pub delivered_per_s: f64,
    /// WebSocket frames received, or lines.
    pub frames: u64,
    /// Bytes received, frame headers included.
    pub bytes_received: u64,
    /// Bytes sent, frame headers included.
    pub bytes_sent: u64,
    /// Reads from sockets that returned something.
    pub reads: u64,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// Deliveries that had not come when the scenario's `drain_s` after the last send were over.
    pub lost: u64,
    /// Deliveries that came more than once.
    pub repeated: u64,
    /// Deliveries that came after a later one of the same sender.
    pub reordered: u64,
    /// Deliveries whose mark does not fit their content. One whose number can still be read is not lost as well.
    pub corrupted: u64,
    /// Deliveries to a connection that should not have had them (other channel, after leaving).
    pub stray: u64,
    /// Connections that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Connections that ended although they were wanted, by close code or reason.
    pub closed: BTreeMap<String, u64>,
    /// Other errors by text.
    pub errors: BTreeMap<String, u64>,
}

impl Faults {
    /// Deliveries that were not as they should be.
    #[must_use]
    pub fn wrong_deliveries(&self) -> u64 {
        self.lost + self.repeated + self.reordered + self.corrupted + self.stray
    }

    /// Everything that went wrong.
    #[must_use]
    pub fn total(&self) -> u64 {
        let sum = |of: &BTreeMap<String, u64>| of.values().sum::<u64>();
        self.wrong_deliveries() + sum(&self.refused) + sum(&self.closed) + sum(&self.errors)
    }
}

/// A distribution of durations in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// By percentile: `p50`, `p90`, `p99`, `p99.9`, `p99.99`, `max`, in microseconds.
    pub percentiles_us: BTreeMap<String, f64>,
    /// The whole histogram in the V2 format of HdrHistogram, base64, so that results can be joined
    /// and curves drawn.
    pub histogram: String,
}

/// A part of the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Its end, from the start of the window.
    pub at_s: f64,
    /// Its length.
    pub length_s: f64,
    /// Open connections at its end.
    pub connections: u64,
    /// Messages sent in it.
    pub sent: u64,
    /// Deliveries in it.
    pub deliveries: u64,
    /// Everything of [`Faults`] that was noticed in it.
    pub faults: u64,
    /// Headline latency in it.
    pub p50_us: Option<f64>,
    /// Headline latency in it.
    pub p99_us: Option<f64>,
    /// Headline latency in it.
    pub max_us: Option<f64>,
    /// CPU time of the server in it, in cores.
    pub server_busy: Option<f64>,
    /// Resident memory of the server at its end.
    pub server_rss_bytes: Option<u64>,
}

/// What the load side cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSide {
    /// CPU time used in the window.
    pub cpu_s: f64,
    /// The busiest thread's share of its core, 0 to 1.
    pub busiest_thread: f64,
    /// Threads that drove connections.
    pub threads: usize,
    /// CPU per delivery.
    pub us_per_delivery: Option<f64>,
    /// The load side's CPU per delivery as a share of the server's.
    pub share_of_server: Option<f64>,
    /// Share of the window in which a thread was ready to run but something else had its core.
    pub waited: f64,
}

/// What the server cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSide {
    /// Its process.
    pub pid: Option<u32>,
    /// Its control group, when that was watched instead.
    pub cgroup: Option<String>,
    /// CPU time used in the window.
    pub cpu_s: f64,
    /// The same in cores.
    pub busy: f64,
    /// Share of the window in which a thread was ready to run but something else had its core.
    pub waited: f64,
    /// CPU per delivery over the window.
    pub us_per_delivery: Option<f64>,
    /// CPU per delivery in the middle slice: a moment of disturbance does not move it.
    pub us_per_delivery_median: Option<f64>,
    /// Resident memory before the first connection.
    pub rss_start_bytes: Option<u64>,
    /// The largest resident memory seen.
    pub rss_peak_bytes: u64,
    /// Resident memory at the end of the window.
    pub rss_end_bytes: u64,
    /// The anonymous part of it.
    pub anon_end_bytes: u64,
    /// Threads at the end of the window.
    pub threads: usize,
    /// File descriptors at the end of the window.
    pub descriptors: Option<u64>,
    /// Times that a thread gave up its core by itself in the window.
    pub voluntary_switches: u64,
    /// Times that a thread lost its core in the window.
    pub involuntary_switches: u64,
    /// Growth of each counter of its `/metrics` over the window, and the last value of each gauge.
    pub metrics: BTreeMap<String, f64>,
}

/// What held the rate down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Nothing: what was offered was delivered, with room left on both sides.
    #[default]
    Neither,
    /// The load side was busy more than 90 %: the figures are lower bounds for the server.
    Load,
    /// The server used its cores up, or did not keep up while the load side had room.
    Server,
    /// The machine took the cores away from either side.
    Machine,
}

/// One rate that `--find-max` tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Deliveries a second that were asked for.
    pub offered_per_s: f64,
    /// Deliveries a second that came.
    pub delivered_per_s: f64,
    /// Headline percentiles as in [`Latency::percentiles_us`].
    pub percentiles_us: BTreeMap<String, f64>,
    /// Deliveries that never came.
    pub lost: u64,
    /// CPU per delivery of the server.
    pub server_us_per_delivery: Option<f64>,
    /// Cores that the server used.
    pub server_busy: Option<f64>,
    /// The load side's busiest thread.
    pub load_busy: f64,
    /// Share of the time that either side waited for its core.
    pub waited: f64,
    /// Whether the conditions held.
    pub held: bool,
    /// Which condition failed.
    pub reason: Option<String>,
}

/// Memory at one number of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryPoint {
    /// Connections that had joined.
    pub connections: u64,
    /// Resident memory of the server.
    pub rss_bytes: u64,
    /// Its anonymous part.
    pub anon_bytes: u64,
    /// Slab memory of the kernel above what there was before the first connection, machine-wide.
    pub slab_bytes: Option<u64>,
}
