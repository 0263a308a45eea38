//! Runs seeds of the simulator: many at random, or one with a trace.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tutti_sim::run;

const USAGE: &str = "usage: sim [--seeds N] [--from SEED] [--minutes M] | --seed SEED [--quiet]";

fn number(text: Option<String>) -> u64 {
    let text = text.unwrap_or_default();
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| {
        eprintln!("{text:?} is no number\n{USAGE}");
        std::process::exit(2)
    })
}

fn main() {
    let (mut seeds, mut minutes, mut one, mut from, mut quiet) = (None, None, None, None, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => seeds = Some(number(args.next())),
            "--minutes" => minutes = Some(number(args.next())),
            "--seed" => one = Some(number(args.next())),
            "--from" => from = Some(number(args.next())),
            "--quiet" => quiet = true,
            _ => {
                eprintln!("{USAGE}");
                std::process::exit(2);
            }
        }
    }
    if let Some(seed) = one {
        match run(seed, !quiet) {
            Ok(report) => println!("{report:#?}"),
            Err(failure) => {
                eprintln!("{failure}");
                std::process::exit(1);
            }
        }
        return;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let from = from.unwrap_or(since.as_nanos() as u64 & 0xffff_ffff_0000);
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let most = seeds.unwrap_or(if until.is_some() { u64::MAX } else { 1_000 });
    println!("seeds from {from:#x}");
    let (mut n, mut failed) = (0u64, 0u64);
    let mut sum = tutti_sim::Report::default();
    while n < most && until.is_none_or(|until| Instant::now() < until) {
        match run(from + n, false) {
            Ok(report) => {
                sum.steps += report.steps;
                sum.virtual_us += report.virtual_us;
                sum.connections += report.connections;
                sum.received += report.received;
                sum.at_terminals += report.at_terminals;
                sum.handovers += report.handovers;
                sum.promotions += report.promotions;
                sum.demotions += report.demotions;
                sum.closed_backlog += report.closed_backlog;
                sum.cursors_held += report.cursors_held;
                sum.ordered += report.ordered;
                sum.confirmed += report.confirmed;
                sum.seated += report.seated;
                sum.undone += report.undone;
                sum.told += report.told;
                sum.compared += report.compared;
                sum.states_compared += report.states_compared;
            }
            Err(failure) => {
                failed += 1;
                eprintln!("{failure}");
                if failed == 20 {
                    break;
                }
            }
        }
        n += 1;
    }
    println!(
        "{n} seeds, {failed} failed; {:.1} virtual hours, {} steps, {} connections, {} messages received, {} at terminals, \
         {} handovers, {} promotions, {} demotions, {} closed for their backlog, {} ticks of cursors held, {} successions checked, {} acts of moderators confirmed, \
         {} seats taken, {} requests undone, told {} things, {} of them and {} states of rooms compared",
        sum.virtual_us as f64 / 3.6e9,
        sum.steps,
        sum.connections,
        sum.received,
        sum.at_terminals,
        sum.handovers,
        sum.promotions,
        sum.demotions,
        sum.closed_backlog,
        sum.cursors_held,
        sum.ordered,
        sum.confirmed,
        sum.seated,
        sum.undone,
        sum.told,
        sum.compared,
        sum.states_compared,
    );
    if failed > 0 {
        std::process::exit(1);
    }
}
