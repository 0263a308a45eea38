//! The simulator: the shard core under load, delay, loss of peers and full queues, all of it drawn from one seed.
//!
//! A run builds a [`World`] of 1 to 6 shards and up to a thousand peers in one thread, with virtual time. Everything
//! random comes from the seed, so a run that fails replays exactly: the failure names the seed, the step and the
//! command. It is *not* a test of the driver: its own small driver keeps the contract that the core documents.
//!
//! Reading order: [`Setup`] (what a run is like), [`World`] (what happens), [`Script`] (what peers say), [`View`]
//! (what a peer may be told, the independent model), [`check`] (what must hold).
#![forbid(unsafe_code)]

pub mod check;
mod draw;
mod script;
mod setup;
mod view;
pub mod wire;
mod world;

pub use draw::Draw;
pub use script::Script;
pub use setup::{Op, Setup};
pub use view::{Ledger, Room, Stream, View};
pub use world::{Node, Peer, Place, Report, Socket, World};

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs one seed; with `traced`, everything that happens is written to standard error.
///
/// # Errors
/// Says what did not hold, with the seed, the step and the command that replays it.
pub fn run(seed: u64, traced: bool) -> Result<Report, String> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let setup = Setup::draw(seed);
        if traced {
            eprintln!("{setup:#?}");
        }
        World::new(seed, setup, traced).run()
    }));
    result.map_err(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!(
            "seed {seed:#x}, step {}: {}\nreplay: scripts/sim --seed {seed:#x}",
            world::current_step(),
            what.unwrap_or_default()
        )
    })
}
