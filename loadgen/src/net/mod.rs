//! Sockets as a load generator needs them: readiness, receive times from the kernel, RFC 6455, and QUIC.
//!
//! Nothing here knows what a message means, and nothing is shared with the server.

pub(crate) mod clock;
pub(crate) mod poller;
pub(crate) mod quic;
pub(crate) mod socket;
pub mod source;
pub mod target;
mod trust;
pub(crate) mod ws;
