//! Benchmarks of Tutti, and the floor that they are held against.
//!
//! Three programs, joined by `run.sh`:
//! - `floor`: the least that a server can do and still be driven by the same load. It parses next to
//!   nothing and sends the same bytes to as many sockets, so its cost is the cost of the kernel.
//! - `load`: an open-loop load tool for any Multiplayer Piano server. Latency counts from the
//!   *intended* send time, so a server that stalls cannot hide behind a generator that waits for it.
//! - `report`: puts the figures of one run into one table.
//!
//! Nothing here uses the server's code: a mistake made twice the same way would never be seen.
//!
//! Reading order: [`ws`], [`poller`], [`process`], then the programs.

pub mod poller;
pub mod process;
pub mod ws;
