//! What a result says, in words: the same labels and figures for the table in a terminal and the page.

use std::collections::BTreeMap;

use crate::conditions::{Figure, Measured as _, Plain};
use crate::result::{Limit, RunResult};
use crate::scenario::Dialect;
use crate::units::{Unit, float, grouped};

/// A figure with its label. Both are plain text, free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// What was found.
    pub value: String,
    /// Whether it is bad news.
    pub bad: bool,
}

fn fact(label: impl Into<String>, value: impl AsRef<str>) -> Fact {
    Fact { label: label.into(), value: printable(value.as_ref()), bad: false }
}

fn bad(label: impl Into<String>, value: impl AsRef<str>, bad: bool) -> Fact {
    Fact { bad, ..fact(label, value) }
}

/// Text that a server or a file chose, without what would move a terminal's cursor.
#[must_use]
pub fn printable(text: &str) -> String {
    let invisible = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    text.chars().map(|c| if invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// How the server is called: its name, or its address.
#[must_use]
pub fn name(run: &RunResult) -> String {
    printable(run.target.name.as_ref().unwrap_or(&run.target.url))
}

/// Deliveries a second, against what was offered.
#[must_use]
pub fn throughput(run: &RunResult) -> String {
    let traffic = &run.traffic;
    if traffic.expected == 0 && traffic.deliveries == 0 {
        if let (Some("arrival"), Some(per_s)) =
            (run.headline.as_deref(), run.figures.get("arrivals_per_s"))
        {
            return format!("{} arrivals, {} a second", grouped(traffic.connections), rate(*per_s));
        }
        return format!("{} connections, nothing to deliver", grouped(traffic.connections));
    }
    let mut text = format!("{} deliveries/s", rate(traffic.delivered_per_s));
    if let Some(share) = run.find(&Figure::Plain(Plain::Delivered)) {
        let offered = rate(traffic.offered_per_s);
        text += &format!(" of {offered}/s offered ({})", Unit::Share.show(share));
    }
    text
}

fn rate(per_s: f64) -> String {
    let text = Unit::PerSecond.show(per_s);
    text.trim_end_matches("/s").trim_end().to_owned()
}

/// What was sent and received.
#[must_use]
pub fn traffic(run: &RunResult) -> Vec<Fact> {
    let traffic = &run.traffic;
    let mut facts = vec![
        fact("connections", grouped(traffic.connections)),
        fact("sent", grouped(traffic.sent)),
        fact("deliveries", grouped(traffic.deliveries)),
    ];
    if traffic.expected == 0 && traffic.deliveries == 0 {
        facts.truncate(1);
    } else if traffic.frames > 0 && run.target.dialect != Dialect::Line.name() {
        let each = float(traffic.deliveries) / float(traffic.frames);
        facts.push(fact("deliveries per frame", format!("{each:.2}")));
    }
    facts.push(fact("received", Unit::Bytes.show(float(traffic.bytes_received))));
    facts
}

/// What went wrong; nothing when nothing did.
#[must_use]
pub fn faults(run: &RunResult) -> Vec<Fact> {
    let faults = &run.faults;
    let counts = [
        ("lost", faults.lost),
        ("repeated", faults.repeated),
        ("reordered", faults.reordered),
        ("corrupted", faults.corrupted),
        ("stray", faults.stray),
    ];
    let mut facts: Vec<Fact> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(label, count)| bad(label, grouped(count), true))
        .collect();
    for (label, reasons) in
        [("refused", &faults.refused), ("closed", &faults.closed), ("errors", &faults.errors)]
    {
        if !reasons.is_empty() {
            facts.push(bad(label, by_reason(reasons), true));
        }
    }
    facts
}

/// The most frequent reasons; the others as a number of them.
fn by_reason(reasons: &BTreeMap<String, u64>) -> String {
    const SHOWN: usize = 3;
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown = sorted.iter().take(SHOWN);
    let mut texts: Vec<String> =
        shown.map(|(reason, count)| format!("{} × {reason}", grouped(**count))).collect();
    if sorted.len() > SHOWN {
        texts.push(format!("{} other reasons", sorted.len() - SHOWN));
    }
    texts.join(", ")
}

/// What the server cost; nothing when it could not be watched.
#[must_use]
pub fn server(run: &RunResult) -> Vec<Fact> {
    let Some(server) = &run.server else { return Vec::new() };
    let mut facts = Vec::new();
    if let Some(us) = server.us_per_delivery {
        let median = server.us_per_delivery_median.map(|us| Unit::Micros.show(us));
        let median = median.map(|us| format!(" (median {us})")).unwrap_or_default();
        facts.push(fact("CPU per delivery", Unit::Micros.show(us) + &median));
    }
    facts.push(fact("cores busy", Unit::Cores.show(server.busy)));
    let bytes = |bytes: u64| Unit::Bytes.show(float(bytes));
    let peak = bytes(server.rss_peak_bytes);
    facts.push(fact("memory", format!("{} (peak {peak})", bytes(server.rss_end_bytes))));
    facts.push(bad("waited for its core", Unit::Share.show(server.waited), server.waited > 0.05));
    facts.push(fact("threads", server.threads.to_string()));
    if let Some(descriptors) = server.descriptors {
        facts.push(fact("descriptors", grouped(descriptors)));
    }
    let (by_itself, taken) = (server.voluntary_switches, server.involuntary_switches);
    facts.push(fact("switches", format!("{} + {} forced", grouped(by_itself), grouped(taken))));
    facts
}

/// What the load side cost.
#[must_use]
pub fn load(run: &RunResult) -> Vec<Fact> {
    let load = &run.load;
    let mut facts = Vec::new();
    if let Some(us) = load.us_per_delivery {
        let share = load.share_of_server.map(|share| Unit::Share.show(share));
        let share = share.map(|share| format!(" ({share} of the server's)")).unwrap_or_default();
        facts.push(fact("CPU per delivery", Unit::Micros.show(us) + &share));
    }
    let busy = Unit::Share.show(load.busiest_thread);
    facts.push(bad("busiest thread", busy, load.busiest_thread > 0.9));
    facts.push(fact("threads", load.threads.to_string()));
    facts.push(bad("waited for its core", Unit::Share.show(load.waited), load.waited > 0.05));
    if let Some(late) = run.send_lag.as_ref().and_then(|lag| lag.percentile("p99")) {
        facts.push(fact("sent late by (p99)", Unit::Micros.show(late)));
    }
    facts
}

/// Who was the limit, as a sentence, and whether the figures suffer from it.
#[must_use]
pub fn limit(run: &RunResult) -> (&'static str, bool) {
    match run.limit {
        Limit::Neither => ("neither side: what was offered was carried, with room left", false),
        Limit::Load => ("the load side: the figures are lower bounds for the server", true),
        Limit::Server => ("the server: the load side had room left", false),
        Limit::Machine => ("the machine: it took cores away, measure again on a quiet one", true),
    }
}

/// Other figures of the scenario.
#[must_use]
pub fn figures(run: &RunResult) -> Vec<Fact> {
    let units = [
        ("_us", Unit::Micros),
        ("_ms", Unit::Micros),
        ("_per_s", Unit::PerSecond),
        ("_s", Unit::Seconds),
        ("_bytes", Unit::Bytes),
        ("_share", Unit::Share),
    ];
    let show = |name: &str, value: f64| {
        let found = units.iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, end, unit)));
        let Some((label, end, unit)) = found else {
            return fact(printable(name), Unit::Count.show(value));
        };
        let value = if *end == "_ms" { value * 1e3 } else { value };
        fact(printable(&label.replace('_', " ")), unit.show(value))
    };
    let others = run.figures.iter().filter(|(name, _)| !name.starts_with(ABUSE));
    others.map(|(name, value)| show(name, *value)).collect()
}

/// How figures of nuisances begin: then comes the group, and what was counted.
const ABUSE: &str = "abuse: ";

/// What nuisances did and what became of them, one a group.
#[must_use]
pub fn nuisances(run: &RunResult) -> Vec<Fact> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &run.figures {
        let Some((group, what)) = name.strip_prefix(ABUSE).and_then(|name| name.split_once(": "))
        else {
            continue;
        };
        let count = Unit::Count.show(*value);
        let said = match what {
            "acts" | "connections" => format!("{count} {what}"),
            _ => format!("{count} × {what}"),
        };
        groups.entry(group).or_default().push(said);
    }
    groups.into_iter().map(|(group, all)| fact(printable(group), all.join(", "))).collect()
}

/// Where and how it was run.
#[must_use]
pub fn environment(run: &RunResult) -> Vec<Fact> {
    let (env, target) = (&run.environment, &run.target);
    let cpus = |cpus: &[usize]| match cpus {
        [] => "not pinned".to_owned(),
        cpus => cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut facts = vec![
        fact("server", &target.url),
        fact("dialect", &target.dialect),
        fact("started", crate::units::date(env.started_unix_s)),
        fact("commit", env.commit.as_deref().unwrap_or("unknown")),
        fact("kernel", &env.kernel),
        fact("CPU", format!("{} × {}", env.cpus, env.cpu)),
        fact("memory", Unit::Bytes.show(float(env.memory_bytes))),
        fact("load side's CPUs", cpus(&env.load_cpus)),
        fact("server's CPUs", env.server_cpus.as_deref().map_or("unknown".to_owned(), cpus)),
        fact("load generator", &env.version),
    ];
    if let Some(control) = &env.congestion_control {
        facts.push(fact("congestion control", control));
    }
    if env.processes > 1 {
        facts.push(fact("joined processes", env.processes.to_string()));
    }
    facts
}

/// A command line as it can be typed.
#[must_use]
pub fn command(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_=./:,@%+".contains(c))
    };
    let quoted = words.iter().map(|word| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    printable(&quoted.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn command_lines_can_be_typed() {
        let words = ["tutti-loadgen", "--assert", "p99<20ms,lost=0", "it's"].map(str::to_owned);
        assert_eq!(command(&words), r"tutti-loadgen --assert 'p99<20ms,lost=0' 'it'\''s'");
    }

    #[test]
    fn terminals_are_safe_from_what_servers_say() {
        let mut run = sample::run("\u{1b}[2J", 1.0);
        run.faults.closed.insert("\u{1b}]0;x\u{7}".into(), 1);
        for fact in faults(&run) {
            assert!(!fact.value.contains('\u{1b}'), "{fact:?}");
        }
        assert!(!name(&run).contains('\u{1b}'));
    }

    #[test]
    fn nuisances_have_a_line_each() {
        let mut run = sample::run("a", 1.0);
        run.figures = [("abuse: deaf: acts", 7.0), ("abuse: deaf: 1009", 2.0), ("joins", 1.0)]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        let facts = nuisances(&run);
        assert_eq!(facts.len(), 1);
        assert_eq!((&*facts[0].label, &*facts[0].value), ("deaf", "2 × 1009, 7 acts"));
        assert_eq!(figures(&run).len(), 1);
    }

    #[test]
    fn figures_are_shown_in_the_unit_of_their_name() {
        let mut run = sample::run("a", 1.0);
        run.figures = [("join_ms", 4.2), ("rate_per_s", 2e6), ("channels", 7.0)]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        let shown = figures(&run).into_iter().map(|fact| format!("{} {}", fact.label, fact.value));
        assert_eq!(shown.collect::<Vec<_>>(), ["channels 7", "join 4.20 ms", "rate 2.00 M/s"]);
    }
}
