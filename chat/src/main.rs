//! `tutti-chat`: a terminal client of the QUIC door, interactive and for scripts.

mod args;
mod script;
mod tui;

use anyhow::{Context, Result, bail};
use args::{Args, Do};
use clap::Parser;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tutti_chat::session::{Dialer, NoSession};
use tutti_chat::trust::{Distrust, Trust, remember};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("cannot start").and_then(|runtime| {
        let result = runtime.block_on(run(&args));
        // A thread may still wait for a key or a line.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("tutti-chat: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let rooms = match &args.command {
        None => Vec::new(),
        Some(Do::Open { rooms }) => rooms.clone(),
        Some(script) => return script::run(args.target(true)?, script).await,
    };
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        bail!(
            "the interactive client needs a terminal; `tutti-chat --help` shows the commands for scripts"
        );
    }
    let target = args.target(false)?;
    let dialer = Dialer::new(target.clone())?;
    // The first connection is made before the screen is taken, so that questions and refusals stay readable.
    match dialer.connect(&[]).await {
        Ok((session, _events)) => session.goodbye("").await,
        Err(NoSession::Distrust(Distrust::Unknown { server, found })) => {
            let Trust::Known { file, .. } = &target.trust else { bail!("{server} is not known") };
            println!("{server} is not known yet. Its certificate has the fingerprint");
            println!("    {found}");
            println!("Compare it with the one that the server prints when it starts.");
            print!("Is it the same? [y/N] ");
            std::io::stdout().flush()?;
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer)?;
            if !matches!(answer.trim(), "y" | "Y" | "yes") {
                bail!("not connected");
            }
            remember(file, &server, found)?;
        }
        Err(e) => return Err(e.into()),
    }
    tui::run(dialer, rooms).await
}
