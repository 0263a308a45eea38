//! `tutti ctl`: asks a running server over its control socket and shows what it answers.
//!
//! It knows nothing of the server but what `docs/ctl.md` says of the socket.

mod args;
mod link;
mod show;
mod top;

pub use args::Options;

use crate::{
    config::Config,
    control::{Do, Request},
};
use link::{Link, LinkError};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

/// It is done.
pub const EXIT_DONE: u8 = 0;
/// The server says why not.
pub const EXIT_REFUSED: u8 = 1;
/// No server answers (`EX_UNAVAILABLE` of sysexits.h).
pub const EXIT_UNAVAILABLE: u8 = 69;

/// Does it, writes to the standard streams, and returns the exit code.
#[must_use]
pub fn run(options: &Options, config: &Config) -> u8 {
    let Some(path) = options.socket.clone().or_else(|| config.control.socket.clone()) else {
        complain(
            "no control socket: name it with --socket, or the server's data directory with --data",
        );
        return EXIT_UNAVAILABLE;
    };
    match converse(options, &path) {
        Ok(()) => EXIT_DONE,
        Err(LinkError::Refused(failure)) => {
            if options.json {
                print(&serde_json::json!({ "error": failure }).to_string());
            }
            complain(&failure.text);
            EXIT_REFUSED
        }
        Err(error) => {
            complain(&error.to_string());
            EXIT_UNAVAILABLE
        }
    }
}

fn converse(options: &Options, path: &Path) -> Result<(), LinkError> {
    let mut link = Link::open(path)?;
    let what = options.command.request();
    if let Do::Top { .. } = what
        && !options.command.is_once()
        && std::io::stdout().is_terminal()
        && std::io::stdin().is_terminal()
    {
        return top::watch(&mut link, &what, options.on_behalf.as_deref());
    }
    let request = Request { id: None, on_behalf: options.on_behalf.clone(), what };
    let json = options.json;
    let done = link.ask(&request, &mut |progress| {
        if json {
            print(&serde_json::json!({ "progress": progress }).to_string());
        } else {
            print(show::progress(progress).trim_end());
        }
    })?;
    if json {
        print(&done.to_string());
    } else {
        print(show::done(&request.what, &done).trim_end());
        if let Some(warning) = done["warning"].as_str() {
            complain(warning);
        }
    }
    Ok(())
}

/// Whoever closes the stream early has read enough.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "tutti ctl: {}", show::plain(text));
}
