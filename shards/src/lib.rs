//! The sharded core of Tutti: a deterministic state machine without I/O.
//!
//! A [`Shard`] is told what happens, with the time, and says what should happen. It opens no socket, reads no clock,
//! draws no randomness of its own, and knows no wire format: a [`Wire`] turns its events into bytes, a [`Transport`]
//! takes them. So the same code runs in production, where each shard is a pinned thread, and in the simulator,
//! where thousands of connections over many shards run in one thread and a failing run replays exactly.
//!
//! Reading order: [`Command`] and [`Event`] (what goes in and out), [`Shard`] (who routes it), then the small
//! machines that it is made of.
#![forbid(unsafe_code)]

mod attachment;
mod channel;
mod command;
mod config;
mod conn;
mod directory;
mod event;
mod fan_out;
mod handle;
mod ids;
mod line;
mod mesh;
mod note_quota;
mod now;
mod operate;
mod outbox;
mod place_index;
mod places;
mod private;
mod rate;
mod rng;
mod room;
mod room_state;
mod settings;
mod shard;
mod stats;
mod storage;
mod text;
mod timers;
mod users;

pub use attachment::*;
pub use command::*;
pub use config::*;
pub use conn::{Bundle, ChannelRef};
pub use event::*;
pub use fan_out::Class;
pub use handle::{line_name, write_line_name};
pub use ids::*;
pub use line::*;
pub use mesh::MeshMessage;
pub use note_quota::NoteQuota;
pub use now::*;
pub use operate::*;
pub use places::Places;
pub use private::*;
pub use rate::Bucket;
pub use rng::Rng;
pub use room::*;
pub use settings::*;
pub use shard::*;
pub use stats::*;
pub use storage::*;
pub use text::*;
