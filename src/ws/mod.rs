//! The WebSocket layer, server side: bytes in, messages out, and back. RFC 6455, strictly.
//!
//! It is *not* a connection: no sockets, no clock, no queue. The driver reads into a scratch
//! buffer, asks a [`Decoder`] for one [`Item`] after the other, and writes what [`encode`] put into
//! an outbox.
//!
//! ```text
//! head bytes -> http::Head -> handshake::upgrade -> 101
//! scratch bytes -> Decoder::next -> Text, Binary, Ping, Pong, Close, Fragment | Fault
//! Fault -> encode::close
//! event -> encode::begin, payload, encode::finish -> one frame, shared by all receivers
//! ```
//!
//! **Invariants worth naming**
//! - A connection between two frames owns no memory here: [`Decoder`] is one empty pointer.
//! - Memory follows the bytes received, never the length a header announces.
//! - The items (and the fault that ends them) are the same wherever reads cut the stream.
//! - Extensions are never agreed to, so a reserved bit is always a fault.
//!
//! Reading order: [`handshake`], [`decode`], [`mask`], [`encode`].

pub mod handshake;

pub mod decode;
pub mod encode;
pub mod mask;

#[cfg(test)]
mod tests;

pub use decode::{Decoder, Item, Limits};
pub use fault::Fault;

mod fault;

use serde::{Deserialize, Serialize};

/// Most payload bytes of a control frame (RFC 6455, section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The six frame types that RFC 6455 defines, section 5.2; a reserved one cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message that is open.
    Continue = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// A question whether the peer is there.
    Ping = 9,
    /// The answer to a ping, or an unasked sign of life.
    Pong = 10,
}

impl Opcode {
    /// The frame type of the low four bits of a frame's first byte; `None` when it is reserved.
    #[must_use]
    pub const fn new(nibble: u8) -> Option<Self> {
        match nibble {
            0 => Some(Self::Continue),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether this is a close, ping or pong frame.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}
