//! The page `perf/SCALING.md`: what larger hosts carry, derived from measured unit costs.

use std::fmt::Write as _;

use tutti_loadgen::result::RunResult;
use tutti_loadgen::units::Unit;

use crate::figures::{Figures, cpu_us, rss_each};

/// Cores of the hosts that the page is about.
const HOSTS: [f64; 3] = [8.0, 32.0, 64.0];
/// Share of the cores that are shards; the rest is for interrupts of the network card and everything else.
const SHARDS: f64 = 7.0 / 8.0;
/// How busy a shard may be on an evening that is planned for: what is left is for bursts and for two loud channels
/// that hash to one core.
const PLANNED: f64 = 0.5;
/// Bytes of Ethernet, IP and TCP around a segment.
const SEGMENT_BYTES: f64 = 78.0;
/// Bytes a second of a 10 Gbit/s link.
const LINK_BYTES: f64 = 1.25e9;
/// People in the `mixed` scenario.
const WAKEFUL: &str = "mixed";

/// What everything is derived from.
struct Units {
    note_us: f64,
    wide_note_us: f64,
    full_us: f64,
    full_per_s: f64,
    rss: f64,
    slab: f64,
    idle_us: f64,
    join_us: f64,
    person_busy: f64,
    person_bytes: f64,
    person_frames: f64,
    people: f64,
    two_shards: f64,
}

impl Units {
    fn new(figures: &Figures) -> Option<Self> {
        let run = |row: &str| figures.run(row, "tutti");
        let cpu = |run: &RunResult| run.server.as_ref().map(|server| server.cpu_s / run.window_s);
        let (idle, mixed) = (run("idle30s")?, run(WAKEFUL)?);
        let people = mixed.traffic.connections as f64;
        let saturated = run("saturate100")?;
        let shards = cpu_us(figures.run("shards", "tutti-2-cores")?)? / cpu_us(run("shards")?)?;
        Some(Self {
            note_us: cpu_us(run("notes100")?)?,
            wide_note_us: cpu_us(run("notes1000")?)?,
            full_us: saturated.server.as_ref()?.us_per_delivery?,
            full_per_s: saturated.traffic.delivered_per_s,
            rss: rss_each(run("idle18000")?, 18_000)?,
            slab: *run("idle18000")?.figures.get("kernel_slab_per_socket_bytes")?,
            idle_us: cpu(idle)? * 1e6 / idle.traffic.connections as f64,
            join_us: *run("joins")?.figures.get("server_us_per_arrival")?,
            person_busy: cpu(mixed)? / people,
            person_bytes: mixed.traffic.bytes_received as f64 / mixed.window_s / people,
            person_frames: mixed.traffic.frames as f64 / mixed.window_s / people,
            people,
            two_shards: shards.max(1.0),
        })
    }
}

/// The whole page.
#[must_use]
pub fn page(figures: &Figures) -> String {
    let mut text = String::from(
        "# What larger hosts carry\n\nWritten by `perf/run.sh` from the unit costs that it measured on a small machine; nothing \
         here was measured on a large one. The arithmetic is shown, so that it can be done again with other costs.\n\n",
    );
    for line in figures.machine.lines() {
        let _ = writeln!(text, "- {line}");
    }
    let Some(units) = Units::new(figures) else {
        return text
            + "\nThe rows idle, notes100, notes1000, joins, saturate100, shards and mixed have not all been measured.\n";
    };
    unit_costs(&mut text, &units);
    evening(&mut text, &units);
    fan_out(&mut text, &units);
    crowd(&mut text, &units);
    text
}

fn unit_costs(text: &mut String, u: &Units) {
    let us = |value: f64| Unit::Micros.show(value);
    let bytes = |value: f64| Unit::Bytes.show(value);
    let _ = write!(
        text,
        "\n## Unit costs\n\n\
         | what | cost | row |\n| --- | --- | --- |\n\
         | a note delivered when nothing batches, 100 members | {} of a core | notes100 |\n\
         | the same, 1,000 members | {} | notes1000 |\n\
         | a note delivered at saturation | {}, {} on one core | saturate100 |\n\
         | an arrival (connect, upgrade, hi, join) | {} | joins |\n\
         | a connection that says nothing | {} a second, {} of the process, {} of the kernel for its socket | idle30s, idle18000 |\n\
         | a person on a busy evening | {} of a core a second, {}/s in {:.1} frames | mixed |\n\
         | the same work on two shards | {:.2} x the CPU | shards |\n\n\
         Loopback charges the sender with the receiver's half of the network stack. On a host with a network card that half is \
         the client's, and the driver's own work takes its place; so these costs are rather too high.\n",
        us(u.note_us),
        us(u.wide_note_us),
        us(u.full_us),
        Unit::PerSecond.show(u.full_per_s),
        us(u.join_us),
        us(u.idle_us),
        bytes(u.rss),
        bytes(u.slab),
        us(u.person_busy * 1e6),
        bytes(u.person_bytes),
        u.person_frames,
        u.two_shards
    );
}

/// One line a host.
fn table(text: &mut String, head: &[&str], row: impl Fn(f64) -> Vec<String>) {
    let _ = writeln!(text, "\n| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
    for cores in HOSTS {
        let _ = writeln!(text, "| {cores:.0} cores | {} |", row(cores).join(" | "));
    }
    text.push('\n');
}

fn evening(text: &mut String, u: &Units) {
    let _ = write!(
        text,
        "\n## A busy evening\n\n\
         The `mixed` scenario with {:.0} people kept {:.3} of a core busy: {:.1} us a second and person. With {SHARDS} of the \
         cores as shards, each {:.0} % busy at most, and the factor for several shards:\n\n\
         ```text\n\
         people   = cores x {SHARDS} x {PLANNED} / ({:.1} us/s x {:.2})\n\
         memory   = people x ({} + {})\n\
         network  = people x ({} + {:.1} frames x {SEGMENT_BYTES:.0} B of headers)\n\
         arrivals = the seconds in which all of them come back at once: people x {:.0} us / (cores x {SHARDS})\n\
         ```\n",
        u.people,
        u.person_busy * u.people,
        u.person_busy * 1e6,
        PLANNED * 100.0,
        u.person_busy * 1e6,
        u.two_shards,
        Unit::Bytes.show(u.rss),
        Unit::Bytes.show(u.slab),
        Unit::Bytes.show(u.person_bytes),
        u.person_frames,
        u.join_us
    );
    let people = |cores: f64| cores * SHARDS * PLANNED / (u.person_busy * u.two_shards);
    let network = u.person_bytes + u.person_frames * SEGMENT_BYTES;
    table(
        text,
        &["host", "people", "memory", "network", "of 10 Gbit/s", "all back within"],
        |cores| {
            let n = people(cores);
            vec![
                Unit::Count.show(n),
                Unit::Bytes.show(n * (u.rss + u.slab)),
                format!("{}/s", Unit::Bytes.show(n * network)),
                Unit::Share.show(n * network / LINK_BYTES),
                Unit::Seconds.show(n * u.join_us / 1e6 / (cores * SHARDS)),
            ]
        },
    );
    let at_link = LINK_BYTES / network;
    let _ = writeln!(
        text,
        "A 10 Gbit/s link is full at {} people, so it is the limit from {:.0} cores on. Memory is not: a million people need {}. \
         `limits.connections` and the limit of descriptors have to be raised to these numbers (`tutti tune check --conns N`).",
        Unit::Count.show(at_link),
        (at_link * u.person_busy * u.two_shards / (SHARDS * PLANNED)).ceil(),
        Unit::Bytes.show(1e6 * (u.rss + u.slab))
    );
}

fn fan_out(text: &mut String, u: &Units) {
    let _ = write!(
        text,
        "\n## Deliveries\n\n\
         A delivery costs between {} (nothing batches) and {} (saturation). Which it is follows from the load itself: messages \
         wait for each other only while a shard is busy.\n\n\
         ```text\n\
         without batching = cores x {SHARDS} x {PLANNED} / {:.2} us\n\
         at saturation    = cores x {SHARDS} x {}\n\
         ```\n",
        Unit::Micros.show(u.note_us),
        Unit::Micros.show(u.full_us),
        u.note_us,
        Unit::PerSecond.show(u.full_per_s)
    );
    table(text, &["host", "without batching", "at saturation"], |cores| {
        vec![
            Unit::PerSecond.show(cores * SHARDS * PLANNED * 1e6 / u.note_us),
            Unit::PerSecond.show(cores * SHARDS * u.full_per_s),
        ]
    });
    let _ = writeln!(
        text,
        "At saturation the network card is the limit long before the cores: a note is some 95 bytes on the wire, so 10 Gbit/s are \
         {} even without any header of TCP.",
        Unit::PerSecond.show(LINK_BYTES / 95.0)
    );
}

fn crowd(text: &mut String, u: &Units) {
    // A player's client flushes its notes every 200 ms.
    const FLUSHES: f64 = 5.0;
    let one = 1e6 * PLANNED / (u.wide_note_us * FLUSHES);
    let _ = write!(
        text,
        "\n## One hot channel\n\n\
         A channel lives on one core. With one player, whose client flushes {FLUSHES:.0} times a second, and {} a delivery in a \
         large channel, one core at {:.0} % serves\n\n\
         ```text\n\
         {PLANNED} / ({FLUSHES:.0} x {:.2} us) = {} listeners\n\
         ```\n\n\
         and each further player takes its share of that. Beyond it the channel is promoted (`hot.*`): its members are spread \
         over all shards, the owner sends each message once a shard, and the fan-out has all cores.\n",
        Unit::Micros.show(u.wide_note_us),
        PLANNED * 100.0,
        u.wide_note_us,
        Unit::Count.show(one)
    );
    table(text, &["host", "listeners of one player", "listeners of ten players"], |cores| {
        let spread = one * cores * SHARDS / u.two_shards;
        vec![Unit::Count.show(spread), Unit::Count.show(spread / 10.0)]
    });
    text.push_str(
        "These count every flush by itself; with several players what they flush within `flush.delay_max_ms` goes out together, \
         and the listeners grow accordingly. What does not spread is the owner's own work, one message in and one out to each \
         shard, which is that of a channel with as many members as there are shards.\n",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_derived_from_nothing() {
        let text = page(&Figures::default());
        assert!(text.contains("have not all been measured"), "{text}");
        assert!(!text.contains("| 8 cores"), "{text}");
    }
}
