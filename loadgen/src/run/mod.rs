//! A run from beginning to end: people arrive, play, and what came of it is put into a result.
//!
//! Reading order: `crew` (the threads), this file (the order of things), `play` (one run), `result` (what
//! is made of it), `search` (`--find-max`), `limits` (what the host has to allow).

mod crew;
mod limits;
mod play;
mod result;
mod search;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::books::Directory;
use crate::conditions::Conditions;
use crate::histogram;
use crate::net::target::Endpoint;
use crate::progress::Progress;
use crate::result::{MemoryPoint, RunResult};
use crate::scenario::Scenario;
use crate::watch::server::{Sample, Watched};
use crate::watch::{machine, process};
use crate::worker::{News, Order, Tallies};
use crew::Crew;

/// Everything that a run needs to know.
pub struct Setup {
    /// Name of the scenario.
    pub name: String,
    /// What is run.
    pub scenario: Scenario,
    /// The server.
    pub endpoint: Endpoint,
    /// The server's name in tables.
    pub label: Option<String>,
    /// The server's process.
    pub pid: Option<u32>,
    /// The server's control group.
    pub cgroup: Option<PathBuf>,
    /// The server's metrics.
    pub metrics: Option<String>,
    /// CPUs of the load side, one thread each; chosen when empty.
    pub cpus: Vec<usize>,
    /// Channel names start with this.
    pub prefix: String,
    /// How long to wait for the server to listen.
    pub patience: Duration,
    /// Search the highest rate at which these hold.
    pub find_max: Option<Conditions>,
    /// Where progress is shown.
    pub progress: Progress,
    /// Set from outside when the run is to end now.
    pub interrupt: Arc<AtomicBool>,
}

/// What is known once everybody has arrived.
#[derive(Default)]
struct Arrivals {
    /// Seconds from the first connect to the last seat, pauses left out.
    seconds: f64,
    /// People who arrived.
    people: u64,
    /// CPU of the server meanwhile.
    server_cpu_ns: Option<u64>,
    /// From the intended connect to the seat.
    latency_us: Option<Histogram<u64>>,
    memory: Vec<MemoryPoint>,
    tallies: Tallies,
    directory: Directory,
    failure: Option<String>,
}

/// A run under way.
struct Run<'a> {
    setup: &'a mut Setup,
    scenario: Arc<Scenario>,
    watched: Watched,
    cpus: Vec<usize>,
    crew: Crew,
    /// The server before the first connection.
    at_start: Option<Sample>,
    slab_at_start: Option<u64>,
}

/// Runs the scenario. A run that ended early is a result as well: `partial` says why.
///
/// # Errors
/// When it could not begin: no server, a host that does not allow it.
pub fn run(mut setup: Setup) -> Result<RunResult> {
    let scenario = Arc::new(setup.scenario.clone());
    limits::check(&scenario, &setup.endpoint)?;
    setup.endpoint.wait(setup.patience, &setup.interrupt)?;
    let watched = watch(&setup);
    let cpus = choose_cpus(&setup, watched.pid, scenario.total());
    let at_start = watched.sample()?;
    let slab_at_start = process::slab_bytes().ok();
    let crew = Crew::start(&setup, &scenario, &cpus)?;
    let mut run = Run { setup: &mut setup, scenario, watched, cpus, crew, at_start, slab_at_start };
    let result = run.go();
    run.setup.progress.end();
    run.crew.end();
    result
}

fn watch(setup: &Setup) -> Watched {
    let mut watched =
        Watched { pid: setup.pid, cgroup: setup.cgroup.clone(), metrics: setup.metrics.clone() };
    if !watched.is_readable() {
        watched.pid = setup.endpoint.listener();
    }
    watched
}

/// The CPUs that were asked for, or those that the server does not have to itself.
fn choose_cpus(setup: &Setup, server: Option<u32>, people: usize) -> Vec<usize> {
    if !setup.cpus.is_empty() {
        return setup.cpus.clone();
    }
    let own = machine::allowed_cpus(std::process::id()).unwrap_or_else(|| vec![0]);
    let servers = server.and_then(machine::server_cpus).unwrap_or_default();
    let free: Vec<usize> = own.iter().copied().filter(|cpu| !servers.contains(cpu)).collect();
    let mut cpus = if free.is_empty() { own } else { free };
    // More threads than people would only wake each other.
    cpus.truncate(people.div_ceil(50).max(1));
    cpus
}

impl Run<'_> {
    fn go(&mut self) -> Result<RunResult> {
        match self.setup.find_max.clone() {
            Some(conditions) => self.search(&conditions),
            None => {
                let arrivals = self.arrive()?;
                if arrivals.failure.is_some() || self.crew.is_interrupted() {
                    return Ok(self.unplayed(arrivals));
                }
                let played = self.play(&arrivals, 1.0)?;
                Ok(self.result(&arrivals, played, 1.0))
            }
        }
    }

    /// Lets everybody arrive, stopping where memory is to be read.
    fn arrive(&mut self) -> Result<Arrivals> {
        let mut arrivals = Arrivals::default();
        let total = self.scenario.total();
        let before = self.watched.sample()?;
        let mut stops = self.scenario.memory_at.clone();
        if stops.last() != Some(&total) {
            stops.push(total);
        }
        for stop in stops {
            let begun = Instant::now();
            self.crew.order_all(|| Order::Arrive { until: stop });
            self.gather_arrivals(&mut arrivals)?;
            arrivals.seconds += begun.elapsed().as_secs_f64();
            arrivals.people = self.crew.shared.seated();
            if arrivals.failure.is_some() || self.crew.is_interrupted() {
                break;
            }
            let after = match self.watched.sample() {
                Ok(after) => after,
                Err(error) => {
                    arrivals.failure = Some(format!("the server has ended ({error:#})"));
                    break;
                }
            };
            arrivals.server_cpu_ns =
                before.zip(after).map(|(from, to)| to.cpu_ns.saturating_sub(from.cpu_ns));
            self.pause(self.scenario.settle_s);
            if !self.scenario.memory_at.is_empty() {
                self.read_memory(&mut arrivals);
            }
        }
        Ok(arrivals)
    }

    fn gather_arrivals(&mut self, arrivals: &mut Arrivals) -> Result<()> {
        let mut latency_us = histogram::empty();
        arrivals.tallies = Tallies::default();
        arrivals.directory.clear();
        let mut twice = None;
        let mut missing = self.crew.threads();
        while missing > 0 {
            let seated = self.crew.shared.seated();
            self.setup.progress.arriving(seated, self.scenario.honest() as u64);
            let Some(news) = self.crew.news(Duration::from_millis(100))? else { continue };
            let News::Arrived { ids, tallies, arrival_us, failure } = news else { continue };
            missing -= 1;
            for (id, person) in ids {
                if let Some(other) = arrivals.directory.insert(id, person)
                    && other != person
                {
                    twice = Some(other);
                }
            }
            arrivals.tallies.add(&tallies);
            latency_us += &arrival_us;
            if arrivals.failure.is_none() {
                arrivals.failure = failure.map(|text| format!("{text}{}", help(&text)));
            }
        }
        if twice.is_some() && arrivals.failure.is_none() {
            arrivals.failure = Some(
                "the server gave two connections the same participant id: it takes people of one address for one \
                 person; use more addresses (--sources, --forwarded-for) or a mode in which connections count"
                    .to_owned(),
            );
        }
        arrivals.latency_us = Some(latency_us);
        Ok(())
    }

    /// Waits, unless the run is interrupted.
    fn pause(&self, seconds: f64) {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < until && !self.crew.is_interrupted() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn read_memory(&mut self, arrivals: &mut Arrivals) {
        // That it is gone shows in the run.
        if let Ok(Some(sample)) = self.watched.sample() {
            let slab = process::slab_bytes().ok().zip(self.slab_at_start);
            arrivals.memory.push(MemoryPoint {
                connections: self.crew.shared.seated(),
                rss_bytes: sample.rss,
                anon_bytes: sample.anon,
                slab_bytes: slab.map(|(now, before)| now.saturating_sub(before)),
            });
        }
    }
}

/// What helps against the usual refusals.
fn help(failure: &str) -> &'static str {
    if failure.contains("HTTP 429") {
        "; the server limits connections of one address: use more (--sources N, --forwarded-for), or lift its limits"
    } else if failure.contains("HTTP 503") {
        "; the server is full: raise its limit of connections and of descriptors"
    } else if failure.contains("Server is full") {
        "; the server is full, or takes no more connections of one address: raise its limits for terminals (tutti: \
         line.connections, line.connections_per_address, or --limits off), or use more addresses (--sources N, \
         --forwarded-for)"
    } else if failure.contains("no local port") {
        "; use more source addresses (--sources), or widen net.ipv4.ip_local_port_range"
    } else {
        ""
    }
}
