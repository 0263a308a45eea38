//! Line chat: people with `nc` or `telnet` (`docs/protocol/tcp-chat.md`).
//!
//! Bytes become lines ([`Framer`]), lines become commands (`command`), events become lines ([`LineWire`]). Until it
//! has a nick, a connection is at the prompt (`prompt`), first before the core knows it, and afterwards while the nicks
//! that it tries are taken. Rates of lines are kept here; who may do what in a room is the core's.
//!
//! Reading order: `framing`, `command`, `prompt`, `door` (what a connection is), `encode` and `time`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod command;
mod door;
mod encode;
mod framing;
mod prompt;
mod time;

#[doc(hidden)]
pub mod check;

pub use door::{Door, Greeting, Session, Shared};
pub use encode::LineWire;
pub use framing::{Framer, Line};

/// Appends a line of ours with the line end that the peer wants.
fn put_line(out: &mut Vec<u8>, crlf: bool, text: &str) {
    out.extend_from_slice(text.as_bytes());
    put_end(out, crlf);
}

fn put_end(out: &mut Vec<u8>, crlf: bool) {
    out.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
}
