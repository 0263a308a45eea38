//! The `tutti` command.

use clap::Parser as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tutti::activation::Passed;
use tutti::check::{Report, ThisHost};
use tutti::cli::{Cli, Command, Flags, load};
use tutti::config::{Config, print_default, print_effective};
use tutti::control::{Hooks, LogFilter};
use tutti::{ServeError, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration or the host is not fit (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;
/// The same of a check or a change of the host, as `tutti check` has it.
const EXIT_UNFIT: u8 = 2;
/// It started and could not go on.
const EXIT_FAILURE: u8 = 1;

fn main() -> ExitCode {
    // Ends with exit code 2 on wrong usage, and with 0 after --help and --version.
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => run(&cli.flags),
        Command::Check { json } => check(&cli.flags, json),
        Command::Db(options) => db(&cli.flags, &options),
        Command::Tune(options) => tune(&cli.flags, &options),
        Command::Ctl(options) => match load(&cli.flags) {
            Ok((_, config)) => ExitCode::from(tutti::ctl::run(&options, &config)),
            Err(error) => complain(&error, EXIT_CONFIG),
        },
        Command::Config { default: true } => print(&print_default(), 0),
        Command::Config { default: false } => match load(&cli.flags) {
            Ok((raw, config)) => print(&print_effective(&raw, &config), 0),
            Err(error) => complain(&error, EXIT_CONFIG),
        },
    }
}

fn check(flags: &Flags, json: bool) -> ExitCode {
    let report = match load(flags) {
        Ok((_, config)) => Report::new(&config, &ThisHost::default()),
        Err(error) => Report::of_error(&error),
    };
    print(&if json { report.json() } else { report.to_string() }, report.exit_code())
}

fn tune(flags: &Flags, options: &tutti::tune::Options) -> ExitCode {
    let config = match load(flags) {
        Ok((_, config)) => config,
        Err(error) => return complain(&error, EXIT_CONFIG),
    };
    match tutti::tune::run(options, &config) {
        Ok(outcome) => {
            let text = if options.json { outcome.json() } else { outcome.text(options.action) };
            print(&text, outcome.exit_code())
        }
        Err(error) => complain(&error, EXIT_UNFIT),
    }
}

fn db(flags: &Flags, options: &tutti::storage::tool::Options) -> ExitCode {
    let config = match load(flags) {
        Ok((_, config)) => config,
        Err(error) => return complain(&error, EXIT_CONFIG),
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let done = tutti::storage::tool::run(options, &config, &mut out);
    let _ = out.flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, EXIT_UNFIT),
    }
}

fn run(flags: &Flags) -> ExitCode {
    let (raw, mut config) = match load(flags) {
        Ok(loaded) => loaded,
        Err(error) => return complain(&error, EXIT_CONFIG),
    };
    let passed = match Passed::take() {
        Ok(passed) => passed,
        Err(error) => return complain(&error, EXIT_CONFIG),
    };
    passed.stand_for_listen(&mut config);
    let log = start_logging(&config);
    let flags = flags.clone();
    let load = Box::new(move || flags.gather(std::env::vars_os()));
    // Huge pages would be filled a connection at a time: the process would start at 24 MB instead of 9, and memory
    // would grow by 2 MB steps. They bring nothing measurable here, so a kernel that cannot say no is no harm.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    match serve(config, &passed, raw, Hooks { load, log }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Unfit(_)) => complain(&error, EXIT_CONFIG),
        // Starting again would not help, so the supervisor is told not to.
        Err(ServeError::Storage(error)) if error.lasts() => complain(&error, EXIT_CONFIG),
        Err(error) => complain(&error, EXIT_FAILURE),
    }
}

/// Starts logging, and returns what changes the filter.
fn start_logging(config: &Config) -> LogFilter {
    let builder = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(EnvFilter::new(&config.log))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_filter_reloading();
    let handle = builder.reload_handle();
    builder.init();
    Box::new(move |filter| {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    })
}

/// Writes to standard output; whoever closes it early has read enough.
fn print(text: &str, exit_code: u8) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(exit_code)
}

fn complain(error: &dyn std::error::Error, exit_code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "tutti: {error}");
    ExitCode::from(exit_code)
}
