//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::net::source::Sources;
use crate::scenario::Setting;
use crate::scenario::presets;
use crate::watch::machine::parse_cpus;

/// Open-loop load for any Multiplayer Piano server, for the TCP line chat, and for the QUIC door.
///
/// Without arguments it runs the canonical scenario against a server on this machine and prints two lines:
/// throughput, and latency from the intended send time. Every delivery is accounted for.
#[derive(Debug, Parser)]
#[command(version, after_help = help_of_scenarios(), max_term_width = 120)]
pub struct Cli {
    /// A preset, or a TOML file
    #[arg(value_name = "SCENARIO", conflicts_with_all = ["compare", "join", "render"])]
    pub scenario: Option<String>,

    /// The server [default: by the scenario's dialect, ws://127.0.0.1:8080/, tcp://127.0.0.1:8023 or
    /// quic://127.0.0.1:4433]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The server's name in tables and plots
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Seconds to wait until the server listens
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub wait: f64,

    /// Watch the server's process; found by itself when it listens on this machine and may be seen
    #[arg(long, value_name = "PID", help_heading = "Watching the server")]
    pub pid: Option<u32>,
    /// Watch a control group instead, for servers of several processes
    #[arg(long, value_name = "DIR", help_heading = "Watching the server")]
    pub cgroup: Option<PathBuf>,
    /// Read its metrics before and after, for example http://127.0.0.1:9090/metrics
    #[arg(long, value_name = "URL", help_heading = "Watching the server")]
    pub metrics: Option<String>,

    /// CPUs of the load side, a thread each, for example 1 or 4-7; default: those that the server is not pinned to
    #[arg(long, value_name = "LIST", value_parser = cpus, help_heading = "The load side")]
    pub cpus: Option<CpuList>,
    /// Where connections come from: a number of loopback addresses, a list of addresses, or `kernel`
    #[arg(long, value_name = "N|LIST", default_value = "200", help_heading = "The load side")]
    pub sources: Sources,
    /// Claim an address of its own for each connection (X-Forwarded-For, or a PROXY header in the line chat), for
    /// servers that trust this machine as a proxy
    #[arg(long, help_heading = "The load side")]
    pub forwarded_for: bool,
    /// Channel names start with this; the default makes test lobbies, which have no capacity
    #[arg(long, value_name = "TEXT", default_value = "test/load", value_parser = prefix, help_heading = "The load side")]
    pub prefix: String,

    /// Set any key of the scenario, as KEY=VALUE or GROUP.KEY=VALUE; may be repeated
    #[arg(long, value_name = "SETTING", help_heading = "Changing the scenario")]
    pub set: Vec<Setting>,
    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", help_heading = "Changing the scenario")]
    pub seconds: Option<f64>,
    /// Channels of the first group
    #[arg(long, value_name = "N", help_heading = "Changing the scenario")]
    pub channels: Option<usize>,
    /// Members of each channel of the first group
    #[arg(long, value_name = "N", help_heading = "Changing the scenario")]
    pub members: Option<usize>,
    /// Members of each channel of the first group who send
    #[arg(long, value_name = "N", help_heading = "Changing the scenario")]
    pub senders: Option<usize>,
    /// Messages a second of each who sends
    #[arg(long, value_name = "RATE", help_heading = "Changing the scenario")]
    pub rate: Option<f64>,
    /// `text`, `quick` for the binary dialect, `line` for the TCP line chat, or `quic`
    #[arg(long, value_name = "DIALECT", help_heading = "Changing the scenario")]
    pub dialect: Option<String>,

    /// Search the highest rate at which these hold, for example "p99<20ms,lost=0"
    #[arg(long, value_name = "CONDITIONS", help_heading = "Judging")]
    pub find_max: Option<String>,
    /// End with 1 unless these hold; may be repeated
    #[arg(long, value_name = "CONDITIONS", help_heading = "Judging")]
    pub assert: Vec<String>,
    /// Say what changed from one result to another, and whether it is noise
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], help_heading = "Judging")]
    pub compare: Vec<PathBuf>,

    /// Write the result as JSON; `-` is standard output
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub json: Option<PathBuf>,
    /// Write a report with plots, one file that needs no other
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub html: Option<PathBuf>,
    /// Put results of processes that ran at the same time together
    #[arg(long, num_args = 2.., value_name = "RESULT.json", help_heading = "Results")]
    pub join: Vec<PathBuf>,
    /// Show earlier results again, side by side in the report of --html
    #[arg(long, num_args = 1.., value_name = "RESULT.json", help_heading = "Results", conflicts_with = "join")]
    pub render: Vec<PathBuf>,
    /// No progress
    #[arg(long, short, help_heading = "Results")]
    pub quiet: bool,
    /// Print a scenario's file, to make another from it
    #[arg(long, value_name = "SCENARIO", help_heading = "Results")]
    pub print: Option<String>,
}

impl Cli {
    /// Everything that changes the scenario, the shorthands first.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let number = |n: usize| toml::Value::Integer(n as i64);
        let mut all = Vec::new();
        if let Some(seconds) = self.seconds {
            all.push(Setting::of_scenario("measure_s", seconds));
        }
        if let Some(dialect) = &self.dialect {
            all.push(Setting::of_scenario("dialect", dialect.as_str()));
        }
        if let Some(n) = self.channels {
            all.push(Setting::of_first_group(&["channels"], number(n)));
        }
        if let Some(n) = self.members {
            all.push(Setting::of_first_group(&["members"], number(n)));
        }
        if let Some(n) = self.senders {
            all.push(Setting::of_first_stream("senders", number(n)));
        }
        if let Some(rate) = self.rate {
            all.push(Setting::of_first_stream("rate", rate));
        }
        all.extend(self.set.iter().cloned());
        all
    }

    /// How long to wait for the server.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::try_from_secs_f64(self.wait).unwrap_or_default()
    }
}

/// CPUs by number. A name of its own, because clap takes a `Vec` for an argument that is repeated.
pub type CpuList = Vec<usize>;

fn cpus(text: &str) -> Result<CpuList, String> {
    match parse_cpus(text) {
        list if list.is_empty() => Err("a list of CPUs looks like 1 or 0,2-3".to_owned()),
        list => Ok(list),
    }
}

/// A prefix is put between quotes as it is.
fn prefix(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_alphanumeric() || "-_/. ".contains(c);
    if text.is_empty() || text.len() > 200 || !text.chars().all(fine) {
        return Err("1 to 200 letters, digits, spaces and -_/.".to_owned());
    }
    Ok(text.to_owned())
}

fn help_of_scenarios() -> String {
    let mut text = "Scenarios (--print shows the file of one):\n".to_owned();
    for name in presets::names() {
        let about = presets::about(name).unwrap_or_default();
        text += &format!("  {name:<16} {about}\n");
    }
    text + "\nExit codes: 0 well, 1 a condition of --assert did not hold, 2 wrong usage or scenario, 3 the run could not begin \
            or ended early (what there is was kept), 130 interrupted"
}
