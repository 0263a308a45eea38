//! An open-loop load generator for any Multiplayer Piano server.
//!
//! It shares no code with the server that it measures.
//!
//! ```text
//!   scenario (TOML) ──▶ run: main thread ── orders ─▶ worker: one pinned thread a CPU, its sockets, its books
//!                        │ watches the server ◀─ news ──┘
//!                        ▼
//!                      result ──▶ table, HTML page, comparison, conditions
//! ```
//!
//! Invariants worth naming:
//! - every send has an intended time, fixed before the run, and latency counts from it;
//! - latency ends when the kernel of this side has the message, so reading in turns costs no accuracy;
//! - a figure that was not measured is absent, never zero.
//!
//! Reading order: [`scenario`] is what is run, [`run`] runs it, [`result`] is what it leaves behind, and
//! everything that shows, compares or judges runs works on that alone.

pub mod cli;

pub mod scenario;

mod books;
pub mod run;
mod schedule;
mod wire;
mod worker;

pub mod net;
pub mod progress;
mod watch;

pub mod result;
mod slice;

pub mod units;

pub mod histogram;

pub mod conditions;

pub mod join;

pub mod compare;

pub mod facts;

pub mod table;

pub mod plots;

pub mod html;

#[cfg(test)]
mod sample;
