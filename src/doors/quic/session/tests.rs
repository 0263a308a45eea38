//! Sessions over links that are only remembered, with the real core behind them on several shards.
//!
//! The client of these tests writes and reads frames by itself.

mod barred;
mod files;
mod handshake;
mod hot;
mod people;
mod receiver;
mod rooms;
mod streams;
mod swarm;
mod undone;
mod world;
