//! Open-loop load for any Multiplayer Piano server.
//!
//! One thread, one epoll loop, no parser: it has to take several million deliveries a second on one
//! core, or it would measure itself. Every send has an intended time, fixed before the run, that travels
//! in the note's `t`; latency counts from it. Each scenario says how busy the load side was, and above
//! 90 % its figures are a lower bound of what the server can do.
//!
//! Reading order: `pace`, `fleet`, `message`, `notes`, then the other scenarios.

mod burst;
mod cursors;
mod fleet;
mod idle;
mod join;
mod message;
mod notes;
mod outcome;
mod pace;
mod saturate;

use std::net::ToSocketAddrs;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use tutti_perf::process;

use fleet::{Discard, Fleet, Target};
use notes::{Crowd, Plan};
use outcome::Outcome;
use saturate::Steps;

/// Open-loop load for any Multiplayer Piano server.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Args)]
struct Common {
    /// The server.
    #[arg(long, global = true, default_value = "ws://127.0.0.1:8080/")]
    url: String,
    /// The server's process, whose CPU and memory are read from /proc.
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Print one JSON object instead of lines.
    #[arg(long, global = true)]
    json: bool,
    /// Seconds to wait until something listens at the URL's port (loopback only).
    #[arg(long, global = true, default_value_t = 10.0)]
    wait: f64,
    /// Channel names start with this. The default makes test lobbies, which have no capacity.
    #[arg(long, global = true, default_value = "test/perf")]
    prefix: String,
    /// Connect from this many loopback addresses; 0 uses the kernel's choice.
    #[arg(long, global = true, default_value_t = 200)]
    sources: usize,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Notes at a fixed rate, every delivery accounted for.
    Notes {
        #[arg(long, default_value_t = 1)]
        channels: usize,
        #[arg(long, default_value_t = 100)]
        members: usize,
        /// How many members of each channel play.
        #[arg(long, default_value_t = 10)]
        senders: usize,
        /// Messages a second and sender.
        #[arg(long, default_value_t = 20.0)]
        rate: f64,
        #[arg(long, default_value_t = 4.0)]
        seconds: f64,
        #[arg(long, default_value_t = 1.0)]
        warm: f64,
        /// Notes in a message.
        #[arg(long, default_value_t = 1)]
        notes: usize,
        /// Check only each receiver's total, which is cheaper.
        #[arg(long)]
        totals: bool,
    },
    /// Search the highest rate with p99 below 50 ms and nothing lost; everybody plays.
    Saturate {
        #[arg(long, default_value_t = 1)]
        channels: usize,
        #[arg(long, default_value_t = 100)]
        members: usize,
        /// Deliveries a second to start with.
        #[arg(long, default_value_t = 100_000.0)]
        start: f64,
        /// Seconds measured at each rate.
        #[arg(long, default_value_t = 1.5)]
        step: f64,
        /// Microseconds of a turn of the load side: it sends and reads once in each.
        #[arg(long, default_value_t = 500)]
        turn: u64,
        /// Send what one sender owes in a turn in one call, when it owes several messages.
        #[arg(long)]
        merge: bool,
    },
    /// Everybody in one channel moves the cursor.
    Cursors {
        #[arg(long, default_value_t = 60)]
        members: usize,
        /// Moves a second and member.
        #[arg(long, default_value_t = 20.0)]
        rate: f64,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        #[arg(long, default_value_t = 1.0)]
        warm: f64,
    },
    /// Memory and CPU of members who do nothing.
    Idle {
        /// Where to stop and read memory, ascending; CPU is measured at the first.
        #[arg(long, value_delimiter = ',', default_value = "10000,18000")]
        connections: Vec<usize>,
        #[arg(long, default_value_t = 50)]
        per_channel: usize,
        /// Seconds of CPU measurement. The server's ping interval is 30 s, so 30 holds each ping once.
        #[arg(long, default_value_t = 30.0)]
        seconds: f64,
    },
    /// One broadcast at a time: first to last delivery.
    Burst {
        #[arg(long, default_value_t = 1000)]
        members: usize,
        #[arg(long, default_value_t = 100)]
        broadcasts: usize,
    },
    /// Connect, `hi` and join as fast as the server takes it.
    Join {
        #[arg(long, default_value_t = 5000)]
        connections: usize,
        #[arg(long, default_value_t = 50)]
        per_channel: usize,
    },
    /// Memory and threads of the server before anybody has connected.
    Process,
}

fn main() -> Result<()> {
    let options = Options::parse();
    prepare_process()?;
    let common = &options.common;
    let target = target(common)?;
    wait_for_listener(&target, common.wait)?;
    if matches!(options.scenario, Scenario::Process) {
        let pid = common.pid.context("`process` needs --pid")?;
        std::thread::sleep(Duration::from_millis(1500));
        let memory = process::memory(pid)?;
        let mut outcome = Outcome::new("process");
        outcome.put("rss_bytes", memory.rss);
        outcome.put("anon_bytes", memory.anon);
        outcome.put("threads", process::threads(pid)?);
        outcome.print(common.json);
        return Ok(());
    }
    let mut fleet = Fleet::new(target)?;
    let mut outcome = run(&options.scenario, &mut fleet, common.pid)?;
    if let Some(pid) = common.pid {
        outcome.put("server_rss_bytes", process::memory(pid)?.rss);
    }
    outcome.print(common.json);
    Ok(())
}

fn run(scenario: &Scenario, fleet: &mut Fleet, pid: Option<u32>) -> Result<Outcome> {
    match *scenario {
        Scenario::Notes { channels, members, senders, rate, seconds, warm, notes, totals } => {
            ensure!(senders >= 1 && senders <= members && members >= 2, "1 <= senders <= members");
            let crowd = Crowd { channels, members, senders };
            gather(fleet, crowd)?;
            let plan = Plan {
                rate,
                warm_s: warm,
                measure_s: seconds,
                drain_s: 3.0,
                exact: !totals,
                notes_per_message: notes,
                turn_us: 0,
                merge: false,
            };
            let figures = notes::run(fleet, crowd, &plan, pid)?;
            let mut outcome = Outcome::new("notes");
            for (name, value) in
                [("channels", channels), ("members", members), ("senders", senders)]
            {
                outcome.put(name, value);
            }
            outcome.put("rate", rate);
            figures.put(&mut outcome);
            outcome.put("clean", figures.is_clean());
            Ok(outcome)
        }
        Scenario::Saturate { channels, members, start, step, turn, merge } => {
            ensure!(members >= 2, "a note needs a receiver: --members 2 or more");
            let crowd = Crowd { channels, members, senders: members };
            saturate::search(fleet, crowd, start, Steps { step_s: step, turn_us: turn, merge }, pid)
        }
        Scenario::Cursors { members, rate, seconds, warm } => {
            gather(fleet, Crowd { channels: 1, members, senders: members })?;
            cursors::run(fleet, members, rate, (warm, seconds), pid)
        }
        Scenario::Idle { ref connections, per_channel, seconds } => {
            let pid = pid.context("`idle` needs --pid")?;
            idle::run(fleet, connections, per_channel, seconds, pid)
        }
        Scenario::Burst { members, broadcasts } => {
            ensure!(members >= 2, "a note needs a receiver: --members 2 or more");
            gather(fleet, Crowd { channels: 1, members, senders: 1 })?;
            burst::run(fleet, members, broadcasts)
        }
        Scenario::Join { connections, per_channel } => {
            join::run(fleet, connections, per_channel, pid)
        }
        Scenario::Process => bail!("`process` connects to nothing"),
    }
}

/// Connects the crowd and lets the traffic of the joins pass.
fn gather(fleet: &mut Fleet, crowd: Crowd) -> Result<()> {
    fleet.grow(crowd.total(), |peer| crowd.channel_of(peer), &mut Discard)?;
    fleet.linger(0.3, &mut Discard)?;
    debug_assert_eq!(fleet.n_peers(), crowd.total());
    Ok(())
}

/// As many descriptors as allowed, and timers that fire when they should.
fn prepare_process() -> Result<()> {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    Ok(())
}

fn target(common: &Common) -> Result<Target> {
    let rest = common.url.strip_prefix("ws://").context("the URL must start with ws://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address = with_port.to_socket_addrs()?.next().context("the host has no address")?;
    Ok(Target {
        address,
        host: host.to_owned(),
        path: format!("/{path}"),
        sources: common.sources,
        prefix: common.prefix.clone(),
    })
}

fn wait_for_listener(target: &Target, seconds: f64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    while target.address.ip().is_loopback() && !process::is_listening(target.address.port())? {
        ensure!(Instant::now() < deadline, "nothing listens at {}", target.address);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
