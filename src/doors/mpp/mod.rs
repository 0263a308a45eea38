//! The Multiplayer Piano door: JSON text frames, the quick binary dialect and binary custom messages
//! (`docs/protocol/mpp.md`).
//!
//! Bytes come in through [`Decoder`], which never fails: what is not understood is ignored, as the protocol page
//! decides. Events go out through [`MppWire`] as complete WebSocket frames. Quotas, rates and permissions are the
//! core's.
//!
//! Reading order: `decode` (frames and JSON messages), `rules` (limits of single messages), `scan` (the short
//! cut for notes and cursor moves), `quick`
//! (the binary dialect, both ways), `encode` (frames and JSON events), `notice` (what notifications say). `json` and
//! `write` are the reading and writing of JSON values, `keys` the names of the piano's keys. Frames are written by
//! [`crate::ws::encode`].
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod door;
mod link;

mod decode;
mod rules;
mod scan;

mod encode;
mod notice;
mod quick;

mod json;
mod keys;
mod write;

#[doc(hidden)]
pub mod check;

pub use decode::{Auth, Decoder};
pub use door::{Door, Greeting, Session, Shared};
pub use encode::MppWire;
pub use link::{Link, Opening};
pub use rules::Limits;
