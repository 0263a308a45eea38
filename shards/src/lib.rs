//! The sharded core of Tutti: a deterministic state machine without I/O.
#![forbid(unsafe_code)]

mod command;
mod config;
mod event;
mod ids;
mod now;
mod settings;
mod text;

pub use command::*;
pub use config::*;
pub use event::*;
pub use ids::*;
pub use now::*;
pub use settings::*;
pub use text::*;
