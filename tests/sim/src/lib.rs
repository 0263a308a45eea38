//! The simulator: the shard core under load, delay, loss of peers and full queues, all of it drawn from one seed.
//!
//! A run builds a [`World`] of 1 to 6 shards and up to a thousand peers in one thread, with virtual time. Everything
//! random comes from the seed, so a run that fails replays exactly: the failure names the seed, the step and the
//! command. It is *not* a test of the driver: its own small driver keeps the contract that the core documents.
//!
//! Reading order: [`Setup`] (what a run is like), [`World`] (what happens), [`Script`] (what peers say), [`View`]
//! (what a peer may be told, the independent model), `sessions` and `room_view` (the same for those who sit in many
//! rooms), `terminals` (for those who read lines), [`check`] (what must hold).
#![forbid(unsafe_code)]

pub mod check;
mod draw;
mod operator;
mod report;
mod room_view;
mod room_wire;
mod script;
mod sessions;
mod setup;
mod storage;
mod terminals;
mod view;
pub mod wire;
mod world;

pub use draw::Draw;
pub use report::Report;
pub use script::Script;
pub use setup::{Op, Setup};
pub use storage::{Kept, Kind, State, Storage};
pub use terminals::Terminal;
pub use view::{Ledger, Room, Stream, View};
pub use world::{Node, Peer, Place, Socket, World};

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    /// Where the last panic of this thread was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether this thread is in a run, whose panics are caught.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs one seed; with `traced`, everything that happens is written to standard error.
///
/// # Errors
/// Says what did not hold, with the seed, the step and the command that replays it.
pub fn run(seed: u64, traced: bool) -> Result<Report, String> {
    // The failure is reported once, with all that is needed to replay it.
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            // Those of a test that tells of a failed seed are not ours to keep quiet.
            if !RUNNING.get() {
                return others(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            if std::thread::panicking() && std::env::var_os("SIM_BACKTRACE").is_some() {
                eprintln!("{}", std::backtrace::Backtrace::force_capture());
            }
            let text = info.payload_as_str().unwrap_or_default().to_owned();
            PLACE.set(format!("{place}: {text}"));
        }));
    });
    RUNNING.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let setup = Setup::draw(seed);
        if traced {
            eprintln!("{setup:#?}");
        }
        World::new(seed, setup, traced).run()
    }));
    RUNNING.set(false);
    result.map_err(|_| {
        let what = PLACE.take();
        let step = world::current_step();
        format!("seed {seed:#x}, step {step}: {what}\nreplay: scripts/sim --seed {seed:#x}")
    })
}
