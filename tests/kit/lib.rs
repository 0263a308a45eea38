//! What the tests share: starting the server, and clients that know nothing of its code.
//!
//! - [`server`]: the built binary with its own port, data folder and configuration; stopped and judged on drop.
//! - [`ws`]: a blocking WebSocket client that can also misbehave on purpose.
//! - [`mpp`]: JSON messages, expectations and barriers on top of it.
//! - [`mod@line`]: a person at a terminal.
//! - [`http`]: plain requests, for the page and the admin listener.
//!
//! Everything here panics with a full account of what was seen when an expectation fails: callers are tests.

pub mod ctl;
pub mod http;
pub mod line;
pub mod mpp;
pub mod server;
pub mod ws;

use std::time::{Duration, Instant};

/// How long an expected thing may take. The protocol page says one second; loaded test machines need more,
/// and the time is only spent when a test fails.
pub const WITHIN: Duration = Duration::from_secs(6);

/// How long "gets nothing" is watched where no barrier can prove it.
pub const QUIET: Duration = Duration::from_millis(350);

/// Polls `condition` every few milliseconds until it yields a value or [`WITHIN`] has passed.
///
/// # Panics
/// When time is up; `what` says what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
