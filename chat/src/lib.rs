//! A client of Tutti's QUIC door, as a library.
//!
//! It is made from the protocol's page alone and shares no code with the server, so a mistake of the server is not
//! repeated here. Tests and load generators may use it as an independent client.
//!
//! ```text
//!              frame  header and payload of frames
//!              wire   the payloads: what is sent, what comes
//!  no I/O      order  puts each room's frames in order, whatever stream they came on
//!              model  rooms, messages and people as a person sees them
//!  ----------------------------------------------------------------------------------
//!  QUIC        trust    which certificates are believed
//!              session  one connection: streams, requests and their answers
//!              link     sessions one after the other: reconnects, rejoins, sends again
//!              files    uploads and downloads
//! ```
//!
//! Invariants worth naming:
//! - Every server stream is read all the time, also while its frames have to wait for another stream's.
//! - A message keeps its nonce until the server has acknowledged it, also over a reconnect, so it is said once.
//! - What is held back or waits is bounded, and going over a bound ends the session with a reason.

pub mod files;
pub mod frame;
pub mod link;
pub mod model;
pub mod order;
pub mod session;
pub mod trust;
pub mod wire;
