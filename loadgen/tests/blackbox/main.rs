//! The built load generator against a small server that does wrong on purpose, and says what it did.
//!
//! - [`server`]: that server; it shares no code with the load generator.
//! - [`chat_server`]: the same for the line chat.
//! - [`quic_server`]: the same for the QUIC door.
//! - [`tool`]: runs the binary and reads its result.
//! - [`accounting`]: what the server lost, repeated, mixed up, changed or misplaced is what the result says.
//! - [`chat`]: the same of terminals, and what refuses them.
//! - [`quic`]: the same of people over QUIC.
//! - [`latency`]: a known delay is the latency, and a stall is seen by all who had to wait.
//! - [`failure`]: servers that refuse, die, stall or lie; interrupts; what is kept and which code is returned.
//! - [`usage`]: wrong flags and scenarios, hosts that do not allow a run, joined and shown results.

mod accounting;
mod chat;
mod chat_server;
mod failure;
mod latency;
mod quic;
mod quic_server;
mod server;
mod tool;
mod usage;
