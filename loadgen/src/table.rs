//! The closing table for people in a terminal: what matters most first.

use crate::facts::{self, Fact};
use crate::result::{Latency, RunResult};
use crate::units::{Unit, grouped};

/// Columns of text after which a line of facts goes on below.
const COLUMNS_MAX: usize = 96;
/// Those of [`crate::histogram::PERCENTILES`] that fit into a terminal; the page has all.
const PERCENTILES: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
/// Columns of the headings at the left.
const HEADING: usize = 13;

/// Writes in colour, or does not.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }
}

/// The table, each line with its end.
#[must_use]
pub fn render(run: &RunResult, colour: bool) -> String {
    let paint = Paint(colour);
    let mut text = String::new();
    let head = format!(
        "{} against {}  ({}, {} measured)",
        facts::printable(&run.scenario),
        facts::name(run),
        facts::printable(&run.target.dialect),
        Unit::Seconds.show(run.window_s)
    );
    text += &format!("{}\n", paint.strong(&head));
    if let Some(why) = &run.partial {
        let warning = format!("ended early: {}", facts::printable(why));
        text += &format!("{}\n", paint.bad(&warning));
    }

    text += &format!("\n{}{}\n", heading("Throughput"), paint.strong(&facts::throughput(run)));
    lines(&mut text, paint, "", &facts::traffic(run));
    if !run.latencies.is_empty() {
        text.push('\n');
        latencies(&mut text, paint, run);
    }

    text.push('\n');
    match &facts::faults(run)[..] {
        [] => text += &format!("{}{}\n", heading("Faults"), paint.good("none")),
        faults => lines(&mut text, paint, "Faults", faults),
    }
    match &facts::server(run)[..] {
        [] => {
            let how = "not watched; --pid or --cgroup names it, when it runs on this machine";
            text += &format!("{}{}\n", heading("Server"), paint.faint(how));
        }
        server => lines(&mut text, paint, "Server", server),
    }
    lines(&mut text, paint, "Load side", &facts::load(run));
    let (limit, hurts) = facts::limit(run);
    let limit = if hurts { paint.bad(limit) } else { limit.to_owned() };
    text += &format!("{}{limit}\n", heading("Limit"));
    lines(&mut text, paint, "Figures", &facts::figures(run));
    search(&mut text, paint, run);
    if !run.remarks.is_empty() {
        text.push('\n');
    }
    for remark in &run.remarks {
        text += &format!("- {}\n", facts::printable(remark));
    }
    text
}

/// The result in two lines without an end: throughput, then latency.
#[must_use]
pub fn two_lines(run: &RunResult) -> String {
    let mut first = format!("{}{}", heading("throughput"), facts::throughput(run));
    if let Some(us) = run.server.as_ref().and_then(|server| server.us_per_delivery) {
        first += &format!(", {} of server CPU each", Unit::Micros.show(us));
    }
    match run.faults.total() {
        0 => first += ", no faults",
        faults => first += &format!(", {} FAULTS", grouped(faults)),
    }
    if let Some(why) = &run.partial {
        first += &format!(", ENDED EARLY: {}", facts::printable(why));
    }
    let headline = run.headline.as_ref().and_then(|name| run.latencies.get_key_value(name));
    let mut second = heading("latency");
    match headline {
        Some((name, latency)) if latency.count > 0 => {
            for of in ["p50", "p99", "p99.9", "p99.99", "max"] {
                second += &format!("{of} {}, ", shown(latency, of));
            }
            second += &format!("{} from the intended send time", facts::printable(name));
        }
        _ => second += "nothing was measured",
    }
    if let (limit, true) = facts::limit(run) {
        second += &format!("; limited by {limit}");
    }
    format!("{first}\n{second}")
}

fn heading(text: &str) -> String {
    format!("{text:<HEADING$}")
}

/// Facts side by side, as many as fit into a line.
fn lines(text: &mut String, paint: Paint, title: &str, facts: &[Fact]) {
    let mut column = 0;
    for (n, fact) in facts.iter().enumerate() {
        let width = fact.label.chars().count() + fact.value.chars().count() + 1;
        if n == 0 {
            *text += &heading(title);
            column = HEADING;
        } else if column + 3 + width > COLUMNS_MAX {
            *text += &format!("\n{}", heading(""));
            column = HEADING;
        } else {
            *text += "   ";
            column += 3;
        }
        let value = if fact.bad { paint.bad(&fact.value) } else { fact.value.clone() };
        *text += &format!("{} {value}", paint.faint(&fact.label));
        column += width;
    }
    if !facts.is_empty() {
        text.push('\n');
    }
}

fn shown(latency: &Latency, percentile: &str) -> String {
    latency.percentile(percentile).map_or_else(|| "-".to_owned(), |us| Unit::Micros.show(us))
}

/// One row a latency, the headline first.
fn latencies(text: &mut String, paint: Paint, run: &RunResult) {
    let first = run.headline.iter().filter_map(|name| run.latencies.get_key_value(name));
    let others = run.latencies.iter().filter(|(name, _)| run.headline.as_ref() != Some(name));
    let rows: Vec<(String, &Latency)> =
        first.chain(others).map(|(name, latency)| (facts::printable(name), latency)).collect();
    let longest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let width = longest.max(HEADING);
    let mut head = format!("{:<width$}", "Latency");
    for name in PERCENTILES {
        head += &format!("{name:>10}");
    }
    *text += &format!("{}\n", paint.faint(&format!("{head}{:>12}", "count")));
    for (n, (name, latency)) in rows.iter().enumerate() {
        let mut row = format!("{name:<width$}");
        for percentile in PERCENTILES {
            row += &format!("{:>10}", shown(latency, percentile));
        }
        row += &format!("{:>12}", grouped(latency.count));
        let is_headline = n == 0 && run.headline.is_some();
        *text += &format!("{}\n", if is_headline { paint.strong(&row) } else { row });
    }
}

/// The steps of a search for the highest rate, and what was found.
fn search(text: &mut String, paint: Paint, run: &RunResult) {
    if run.steps.is_empty() {
        return;
    }
    let columns = ["offered", "delivered", "p50", "p99", "lost", "CPU each", "load busy"];
    let mut head = heading("Search");
    for name in columns {
        head += &format!("{name:>11}");
    }
    *text += &format!("\n{}\n", paint.faint(&head));
    for step in &run.steps {
        let percentile = |name| step.percentiles_us.get(name).copied();
        let us = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| Unit::Micros.show(us));
        let row = [
            Unit::PerSecond.show(step.offered_per_s),
            Unit::PerSecond.show(step.delivered_per_s),
            us(percentile("p50")),
            us(percentile("p99")),
            grouped(step.lost),
            us(step.server_us_per_delivery),
            Unit::Share.show(step.load_busy),
        ];
        *text += &heading("");
        for cell in row {
            *text += &format!("{cell:>11}");
        }
        let reason = step.reason.as_deref().map(facts::printable).unwrap_or_default();
        let outcome = if step.held {
            paint.good("held")
        } else {
            paint.bad(format!("failed {reason}").trim())
        };
        *text += &format!("  {outcome}\n");
    }
    let best = run.steps.iter().filter(|step| step.held).map(|step| step.delivered_per_s);
    let best = best.max_by(f64::total_cmp).map(|rate| Unit::PerSecond.show(rate));
    let best = best.unwrap_or_else(|| "none of the rates that were tried".to_owned());
    *text += &format!("{}{}\n", heading("Highest rate"), paint.strong(&best));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Limit;
    use crate::sample;

    #[test]
    fn what_matters_is_there_and_fits() {
        let text = render(&sample::run("Tutti", 1.0), false);
        println!("{text}");
        for part in [
            "fanout against Tutti  (text, 10.0 s measured)",
            "100 k deliveries/s of 100 k/s offered (99.999 %)",
            "lost 12",
            "3 × 503 Service Unavailable",
            "CPU per delivery 1.60 µs (median 1.58 µs)",
            "CPU per delivery 0.31 µs (19 % of the server's)",
            "Limit        neither side",
            "Highest rate 1.50 M/s",
            "- The kernel's socket buffers",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
        for line in text.lines() {
            let columns = line.chars().count();
            assert!(columns <= 110, "{columns} columns: {line}");
            assert!(!line.contains('\u{1b}'), "{line}");
            assert_eq!(line.trim_end(), line);
        }
    }

    #[test]
    fn the_headline_is_first() {
        let mut run = sample::run("a", 1.0);
        let join = run.latencies.remove("join").unwrap();
        run.latencies.insert("join after a storm".into(), join);
        let text = render(&run, false);
        let rows: Vec<&str> =
            text.lines().skip_while(|line| !line.starts_with("Latency")).collect();
        let names = rows[1..4].iter().map(|row| row.split(' ').next().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["note", "chat", "join"]);
        assert!(rows[1..4].iter().all(|row| row.chars().count() == rows[0].chars().count()));
    }

    #[test]
    fn colour_only_when_asked_for() {
        let run = sample::run("a", 1.0);
        let coloured = render(&run, true);
        assert!(coloured.contains("\u{1b}[1;31m12\u{1b}[0m"), "{coloured}");
        let mut plain = coloured;
        for code in ["1;31", "32", "1", "2", "0"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(plain, render(&run, false));
    }

    #[test]
    fn two_lines_hold_throughput_and_latency() {
        let mut run = sample::run("a", 1.0);
        let text = two_lines(&run);
        let [first, second] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(first.starts_with("throughput   100 k deliveries/s of"), "{first}");
        assert!(first.ends_with("1.60 µs of server CPU each, 17 FAULTS"), "{first}");
        assert!(second.starts_with("latency      p50 0.") && second.contains(", p99 "), "{second}");
        assert!(second.ends_with("note from the intended send time"), "{second}");
        run.limit = Limit::Load;
        run.headline = None;
        run.faults = Default::default();
        run.partial = Some("stopped".into());
        let text = two_lines(&run);
        for part in ["no faults", "ENDED EARLY: stopped", "nothing was measured", "lower bounds"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_server_that_is_not_watched_says_how_to() {
        let mut run = sample::run("a", 1.0);
        run.server = None;
        run.latencies.clear();
        run.faults = Default::default();
        let text = render(&run, false);
        assert!(text.contains("Server       not watched; --pid"), "{text}");
        assert!(text.contains("Faults       none"), "{text}");
    }
}
