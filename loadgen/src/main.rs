//! The `tutti-loadgen` command.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Parser as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use tutti_loadgen::cli::Cli;
use tutti_loadgen::conditions::{self, Conditions};
use tutti_loadgen::net::target::Endpoint;
use tutti_loadgen::progress::Progress;
use tutti_loadgen::result::RunResult;
use tutti_loadgen::run::{Setup, run};
use tutti_loadgen::{compare, html, join, scenario, table};

/// A condition of `--assert` did not hold.
const EXIT_FAILED: u8 = 1;
/// Wrong usage, or a scenario that is none.
const EXIT_USAGE: u8 = 2;
/// The run could not begin, or ended early.
const EXIT_PARTIAL: u8 = 3;
/// Ended from outside: what shells report for it.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = if let Some(name) = &cli.print {
        print_scenario(name)
    } else if let [a, b] = &cli.compare[..] {
        show_comparison(&cli, a, b)
    } else if !cli.join.is_empty() {
        show_joined(&cli)
    } else if !cli.render.is_empty() {
        show_again(&cli)
    } else {
        measure(&cli)
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => complain(&error, EXIT_PARTIAL),
    }
}

fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "tutti-loadgen: {error:#}");
    ExitCode::from(code)
}

fn usage(error: impl std::fmt::Display) -> u8 {
    let _ = writeln!(std::io::stderr(), "tutti-loadgen: {error:#}");
    EXIT_USAGE
}

fn measure(cli: &Cli) -> Result<u8> {
    let name = cli.scenario.as_deref().unwrap_or("canonical");
    let (name, scenario) = match scenario::load(name, &cli.settings()) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(usage(error)),
    };
    let find_max = match cli.find_max.as_deref().map(conditions::parse).transpose() {
        Ok(conditions) => conditions,
        Err(error) => return Ok(usage(format!("--find-max {error}"))),
    };
    let asserted = cli.assert.iter().map(|text| conditions::parse(text));
    let asserted: Vec<Conditions> = match asserted.collect() {
        Ok(all) => all,
        Err(error) => return Ok(usage(format!("--assert {error}"))),
    };
    let dialect = scenario.dialect;
    let url = cli.url.as_deref().unwrap_or(Endpoint::usual_url(dialect));
    let endpoint = match Endpoint::new(url, dialect, cli.sources.clone(), cli.forwarded_for) {
        Ok(endpoint) => endpoint,
        Err(error) => return Ok(usage(format!("--url {error:#}"))),
    };
    // A result that cannot be kept is not worth the run.
    for path in [&cli.json, &cli.html].into_iter().flatten().filter(|path| *path != Path::new("-"))
    {
        if let Err(error) = try_to_write(path) {
            return Ok(usage(format!("cannot write {}: {error}", path.display())));
        }
    }
    let interrupt = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the process at once.
        let code = i32::from(EXIT_INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, code, interrupt.clone())?;
        signal_hook::flag::register(signal, interrupt.clone())?;
    }
    let stopped = interrupt.clone();
    let result = run(Setup {
        name,
        scenario,
        endpoint,
        label: cli.name.clone(),
        pid: cli.pid,
        cgroup: cli.cgroup.clone(),
        metrics: cli.metrics.clone(),
        cpus: cli.cpus.clone().unwrap_or_default(),
        prefix: cli.prefix.clone(),
        patience: cli.patience(),
        find_max,
        progress: Progress::new(cli.quiet),
        interrupt,
    });
    let result = match result {
        Err(_) if stopped.load(Ordering::Relaxed) => return Ok(EXIT_INTERRUPTED),
        result => result?,
    };
    let brief = cli.scenario.is_none() && cli.settings().is_empty() && result.partial.is_none();
    show(cli, std::slice::from_ref(&result), brief)?;
    let mut held = true;
    for verdict in asserted.iter().flat_map(|conditions| conditions.evaluate(&result)) {
        held &= verdict.held;
        let _ = writeln!(std::io::stderr(), "{verdict}");
    }
    Ok(match result.partial.as_deref() {
        Some("interrupted") => EXIT_INTERRUPTED,
        Some(_) => EXIT_PARTIAL,
        None if !held => EXIT_FAILED,
        None => 0,
    })
}

/// Prints results, and writes the files that were asked for.
fn show(cli: &Cli, results: &[RunResult], brief: bool) -> Result<()> {
    let to_stdout = cli.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &cli.json {
        let text = match results {
            [one] => serde_json::to_string(one)?,
            all => serde_json::to_string(all)?,
        };
        if to_stdout {
            print(&format!("{text}\n"));
        } else {
            write(path, &text)?;
        }
    }
    if let Some(path) = &cli.html {
        write(path, &html::render(results))?;
    }
    if to_stdout {
        return Ok(());
    }
    for result in results {
        if brief {
            print(&format!("{}\n", table::two_lines(result)));
        } else {
            print(&table::render(result, std::io::stdout().is_terminal()));
        }
    }
    Ok(())
}

fn show_comparison(cli: &Cli, a: &Path, b: &Path) -> Result<u8> {
    let (a, b) = match (read(a), read(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(error), _) | (_, Err(error)) => return Ok(usage(format!("{error:#}"))),
    };
    let comparison = compare::compare(&a, &b);
    match &cli.json {
        Some(path) if path == Path::new("-") => {
            print(&format!("{}\n", serde_json::to_string(&comparison)?));
        }
        Some(path) => {
            write(path, &serde_json::to_string(&comparison)?)?;
            print(&comparison.to_string());
        }
        None => print(&comparison.to_string()),
    }
    Ok(0)
}

fn show_joined(cli: &Cli) -> Result<u8> {
    let results = match read_all(&cli.join) {
        Ok(results) => results,
        Err(error) => return Ok(usage(format!("{error:#}"))),
    };
    let joined = match join::join(results) {
        Ok(joined) => joined,
        Err(error) => return Ok(usage(format!("--join: {error}"))),
    };
    show(cli, std::slice::from_ref(&joined), false)?;
    Ok(0)
}

fn show_again(cli: &Cli) -> Result<u8> {
    let results = match read_all(&cli.render) {
        Ok(results) => results,
        Err(error) => return Ok(usage(format!("{error:#}"))),
    };
    show(cli, &results, false)?;
    Ok(0)
}

fn print_scenario(name: &str) -> Result<u8> {
    match scenario::presets::text(name) {
        Some(text) => {
            print(text);
            Ok(0)
        }
        None => {
            let names: Vec<_> = scenario::presets::names().collect();
            Ok(usage(format!("there is no scenario `{name}`; these are: {}", names.join(", "))))
        }
    }
}

fn read(path: &Path) -> Result<RunResult> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text)
        .with_context(|| format!("{}: not a result of tutti-loadgen", path.display()))
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<RunResult>> {
    paths.iter().map(|path| read(path)).collect()
}

/// Whether `path` can be written, leaving it as it was.
fn try_to_write(path: &Path) -> std::io::Result<()> {
    let was_there = path.exists();
    std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    if was_there { Ok(()) } else { std::fs::remove_file(path) }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes to standard output; whoever closes it early has read enough.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
