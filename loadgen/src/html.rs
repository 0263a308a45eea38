//! One HTML page of one or several results: without scripts, and without anything to load from elsewhere.

mod charts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::conditions::{Figure, Measured as _, Plain};
use crate::facts::{self, Fact};
use crate::histogram::PERCENTILES;
use crate::result::{Latency, RunResult};
use crate::units::{Unit, float, grouped};

const STYLE: &str = include_str!("html/page.css");

/// The page. Several results are first shown side by side, then each by itself.
#[must_use]
pub fn render(runs: &[RunResult]) -> String {
    let title = match runs {
        [run] => format!("{} against {}", facts::printable(&run.scenario), facts::name(run)),
        runs => format!("{} runs", runs.len()),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "tutti-loadgen " (env!("CARGO_PKG_VERSION")) };
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                @if let [run] = runs {
                    (single(run, &title))
                } @else {
                    h1 { (title) }
                    (overview(runs))
                    (plots(runs))
                    @for (n, run) in runs.iter().enumerate() {
                        section { (single(run, &charts::label(runs, n))) }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// Everything of one result.
fn single(run: &RunResult, title: &str) -> Markup {
    let (limit, hurts) = facts::limit(run);
    html! {
        h1 { (title) }
        p.under {
            (facts::printable(&run.kind)) " · " (facts::printable(&run.target.dialect)) " dialect · "
            (Unit::Seconds.show(run.window_s)) " measured · "
            (crate::units::date(run.environment.started_unix_s))
        }
        @if let Some(why) = &run.partial {
            p.warn { "This run ended early: " (facts::printable(why)) }
        }
        @if hurts { p.warn { "Limited by " (limit) "." } }
        (cards(run))
        @if !hurts { p.under { "Limit: " (limit) "." } }
        @if !run.remarks.is_empty() {
            ul { @for remark in &run.remarks { li { (facts::printable(remark)) } } }
        }
        (plots(std::slice::from_ref(run)))
        @if !run.latencies.is_empty() { h3 { "Latency" } (latencies(run)) }
        h3 { "Traffic" } (list(&facts::traffic(run)))
        @let faults = facts::faults(run);
        @if !faults.is_empty() { h3 { "Faults" } (list(&faults)) }
        @let server = facts::server(run);
        @if !server.is_empty() { h3 { "Server" } (list(&server)) }
        h3 { "Load side" } (list(&facts::load(run)))
        @let figures = facts::figures(run);
        @if !figures.is_empty() { h3 { "Other figures" } (list(&figures)) }
        @if !run.steps.is_empty() { h3 { "Rates that were tried" } (steps(run)) }
        h3 { "Environment" } (list(&facts::environment(run)))
        h3 { "Command" } pre { (facts::command(&run.environment.command)) }
        @if let Some(command) = &run.target.command { h3 { "Server's command" } pre { (facts::command(command)) } }
        details {
            summary { "Settings of the scenario" }
            pre { (serde_json::to_string_pretty(&run.settings).unwrap_or_default()) }
        }
        @if let Some(server) = run.server.as_ref().filter(|server| !server.metrics.is_empty()) {
            details {
                summary { "The server's metrics: growth of counters, last value of gauges" }
                div.wide { table { @for (name, value) in &server.metrics {
                    tr { td { (name) } td { (value) } }
                } } }
            }
        }
    }
}

/// The figures that people ask for first.
fn cards(run: &RunResult) -> Markup {
    let (traffic, server) = (&run.traffic, run.server.as_ref());
    let headline = run.headline.as_ref().and_then(|name| run.latencies.get(name));
    let faults = run.faults.total();
    let share = run.find(&Figure::Plain(Plain::Delivered)).map(|share| Unit::Share.show(share));
    let best = run.steps.iter().filter(|step| step.held).map(|step| step.delivered_per_s);
    let name = run.headline.as_deref().map(facts::printable).unwrap_or_default();
    let card = |label: &str, value: String, note: String, class: &str| {
        html! { div.card { span { (label) } b class=(class) { (value) } small { (note) } } }
    };
    html! { div.cards {
        @if let Some(best) = best.max_by(f64::total_cmp) {
            (card("highest rate", Unit::PerSecond.show(best), "that held".into(), ""))
        }
        @if traffic.expected > 0 {
            (card("deliveries", Unit::PerSecond.show(traffic.delivered_per_s),
                share.map(|share| format!("{share} of offered")).unwrap_or_default(), ""))
        } @else {
            (card("connections", grouped(traffic.connections), "at the end".into(), ""))
        }
        @for of in ["p50", "p99", "p99.9"] {
            @if let Some(us) = headline.and_then(|latency| latency.percentile(of)) {
                (card(of, Unit::Micros.show(us), name.clone(), ""))
            }
        }
        (card("faults", grouped(faults), if faults == 0 { "nothing went wrong" } else { "see below" }.into(),
            if faults == 0 { "good" } else { "bad" }))
        @if let Some(server) = server {
            @if let Some(us) = server.us_per_delivery {
                (card("server CPU", Unit::Micros.show(us), "a delivery".into(), ""))
            }
            (card("server memory", Unit::Bytes.show(float(server.rss_peak_bytes)), "at its peak".into(), ""))
        }
    } }
}

fn plots(runs: &[RunResult]) -> Markup {
    html! { div.plots { @for chart in charts::all(runs) {
        figure {
            // Drawn here, from names that the drawing library escapes.
            (PreEscaped(chart.svg))
            @if !chart.note.is_empty() { figcaption { (chart.note) } }
        }
    } } }
}

fn list(facts: &[Fact]) -> Markup {
    html! { dl.facts { @for fact in facts {
        div { dt { (fact.label) } dd.bad[fact.bad] { (fact.value) } }
    } } }
}

fn micros(us: Option<f64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| Unit::Micros.show(us))
}

fn latencies(run: &RunResult) -> Markup {
    let row = |name: &str, latency: &Latency| {
        html! { tr {
            td { (facts::printable(name)) }
            @for (percentile, _) in PERCENTILES { td { (micros(latency.percentile(percentile))) } }
            td { (micros((latency.count > 0).then_some(latency.mean_us))) }
            td { (grouped(latency.count)) }
        } }
    };
    html! { div.wide { table {
        tr { th {} @for (name, _) in PERCENTILES { th { (name) } } th { "mean" } th { "count" } }
        @for (name, latency) in &run.latencies { (row(name, latency)) }
        @if let Some(lag) = &run.send_lag { (row("sent late by", lag)) }
    } } }
}

fn steps(run: &RunResult) -> Markup {
    html! { div.wide { table {
        tr { @for name in ["offered", "delivered", "p50", "p99", "max", "lost", "server CPU each",
            "server's cores", "load side busy", "waited", "outcome"] { th { (name) } } }
        @for step in &run.steps { tr {
            td { (Unit::PerSecond.show(step.offered_per_s)) }
            td { (Unit::PerSecond.show(step.delivered_per_s)) }
            @for of in ["p50", "p99", "max"] { td { (micros(step.percentiles_us.get(of).copied())) } }
            td { (grouped(step.lost)) }
            td { (micros(step.server_us_per_delivery)) }
            td { (step.server_busy.map_or_else(|| "-".to_owned(), |busy| Unit::Cores.show(busy))) }
            td { (Unit::Share.show(step.load_busy)) }
            td { (Unit::Share.show(step.waited)) }
            td.good[step.held].bad[!step.held] {
                @if step.held { "held" }
                @else { "failed " (facts::printable(step.reason.as_deref().unwrap_or_default())) }
            }
        } }
    } } }
}

/// Several results, a row each.
fn overview(runs: &[RunResult]) -> Markup {
    html! { div.wide { table {
        tr { @for name in ["", "scenario", "deliveries", "delivered", "p50", "p99", "p99.9", "max", "faults",
            "server CPU each", "cores busy", "memory", "load side busy"] { th { (name) } } }
        @for (n, run) in runs.iter().enumerate() { tr {
            td { (charts::label(runs, n)) @if run.partial.is_some() { " (ended early)" } }
            td { (facts::printable(&run.scenario)) }
            td { (Unit::PerSecond.show(run.traffic.delivered_per_s)) }
            td { (run.find(&Figure::Plain(Plain::Delivered)).map_or_else(|| "-".into(), |s| Unit::Share.show(s))) }
            @let headline = run.headline.as_ref().and_then(|name| run.latencies.get(name));
            @for of in ["p50", "p99", "p99.9", "max"] {
                td { (micros(headline.and_then(|latency| latency.percentile(of)))) }
            }
            @let faults = run.faults.total();
            td.good[faults == 0].bad[faults > 0] { (grouped(faults)) }
            @let server = run.server.as_ref();
            td { (micros(server.and_then(|server| server.us_per_delivery))) }
            td { (server.map_or_else(|| "-".to_owned(), |server| Unit::Cores.show(server.busy))) }
            td { (server.map_or_else(|| "-".into(), |server| Unit::Bytes.show(float(server.rss_peak_bytes)))) }
            td { (Unit::Share.show(run.load.busiest_thread)) }
        } }
    } } }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::result::{Limit, MemoryPoint};
    use crate::sample;

    /// Beside the test binaries, for people to look at.
    fn keep(name: &str, page: &str) {
        let binary = std::env::current_exe().expect("a test is a file");
        let folder = binary.ancestors().nth(2).expect("it lies in target/PROFILE/deps");
        fs::write(folder.join(name), page).expect("the target folder can be written to");
    }

    #[test]
    fn a_page_stands_alone() {
        let page = render(&[sample::run("Tutti", 1.0)]);
        keep("sample-report.html", &page);
        for no in ["<script", "<link", "<img", "@import", "url(", "src=", "href="] {
            assert!(!page.contains(no), "{no}");
        }
        assert_eq!(page.matches("<svg").count(), 7, "one for each plot");
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    }

    #[test]
    fn several_results_share_their_plots() {
        let mut runs = [("Tutti", 1.0), ("tokio", 2.2), ("Node", 6.0), ("Bun", 1.5)]
            .map(|(name, slower)| sample::run(name, slower));
        runs[2].limit = Limit::Load;
        runs[2].partial = Some("the server closed all connections".into());
        let page = render(&runs);
        keep("sample-comparison.html", &page);
        assert_eq!(page.matches("<svg").count(), 5 * 7, "together and each by itself");
        for name in ["Tutti", "tokio", "Node", "Bun"] {
            assert!(page.matches(name).count() > 5, "{name}");
        }
    }

    /// Every text of a result that a server or a person chose.
    #[test]
    fn texts_of_results_are_never_markup() {
        let evil = "<script>alert('1')</script>\"&";
        let evil = || evil.to_owned();
        let mut run = sample::run("", 1.0);
        run.scenario = evil();
        run.kind = evil();
        run.settings = serde_json::json!({evil(): evil()});
        run.partial = Some(evil());
        run.target.url = evil();
        run.target.name = Some(evil());
        run.target.dialect = evil();
        run.target.command = Some(vec![evil()]);
        run.environment.version = evil();
        run.environment.commit = Some(evil());
        run.environment.kernel = evil();
        run.environment.cpu = evil();
        run.environment.congestion_control = Some(evil());
        run.environment.command = vec![evil()];
        for map in [&mut run.faults.refused, &mut run.faults.closed, &mut run.faults.errors] {
            map.insert(evil(), 1);
        }
        let latency = run.latencies["note"].clone();
        run.latencies.insert(evil(), latency);
        run.headline = Some(evil());
        run.steps[3].reason = Some(evil());
        run.figures.insert(evil(), 1.0);
        run.remarks.push(evil());
        run.server.as_mut().unwrap().metrics.insert(evil(), 1.0);
        for page in [render(&[run.clone()]), render(&[run.clone(), run])] {
            assert!(!page.contains("<script"), "a text became markup");
            assert!(page.matches("&lt;script&gt;").count() > 20);
        }
    }

    #[test]
    fn a_result_with_nothing_in_it_is_a_page() {
        let mut run = sample::run("", 1.0);
        run.latencies.clear();
        run.timeline.clear();
        run.steps.clear();
        run.memory_curve.clear();
        (run.server, run.send_lag, run.headline) = (None, None, None);
        assert!(!render(&[run]).contains("<svg"));
        assert!(render(&[]).contains("0 runs"));
    }

    #[test]
    fn a_connection_has_its_price() {
        let mut run = sample::run("", 1.0);
        run.memory_curve = (0..5)
            .map(|n| MemoryPoint {
                connections: n * 100,
                rss_bytes: 5_000 + n * 120_000,
                ..MemoryPoint::default()
            })
            .collect();
        assert!(render(&[run]).contains("resident, 1200 B each"));
        assert_eq!(charts::slope(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
