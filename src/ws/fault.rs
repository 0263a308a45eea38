//! What a peer can do wrong in its WebSocket frames.

use tungstenite::protocol::frame::coding::CloseCode;

/// Why a peer's byte stream cannot be followed any further.
///
/// All of them are the peer's fault except [`Fault::TooBig`], which is our limit.
/// After one the stream is out of step: send a close frame with [`Fault::close_code`], shut the
/// sending side down, drain what still arrives for a moment (or a reset swallows the close frame),
/// close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A bit that only a negotiated extension may set is set (section 5.2).
    #[error("reserved bit set in a frame header")]
    ReservedBits,
    /// A frame type that RFC 6455 keeps for later (section 5.2).
    #[error("reserved frame type {0:#x}")]
    ReservedOpcode(u8),
    /// A frame from a client without a mask (section 5.1).
    #[error("frame is not masked")]
    Unmasked,
    /// A control frame without the final bit (section 5.4).
    #[error("control frame is fragmented")]
    ControlFragmented,
    /// A control frame of more than 125 bytes (section 5.5).
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A continuation frame when no message is open (section 5.4).
    #[error("continuation without a message to continue")]
    NothingToContinue,
    /// A text or binary frame while a fragmented message is open (section 5.4).
    #[error("data frame inside a fragmented message")]
    Interleaved,
    /// A length written in more bytes than it needs (section 5.2).
    #[error("frame length is not in its shortest form")]
    LengthNotMinimal,
    /// A 64-bit length with its highest bit set (section 5.2).
    #[error("frame length has its highest bit set")]
    LengthHighBit,
    /// A close frame whose body is one byte: no room for a code (section 5.5.1).
    #[error("close frame with a body of one byte")]
    CloseBody,
    /// A close code that must not be sent, or that nobody has defined (section 7.4).
    #[error("close code {0} is not allowed")]
    CloseCode(u16),
    /// A text message or close reason that is not UTF-8 (sections 8.1 and 5.5.1).
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A message over [`Limits::message_bytes`](super::Limits::message_bytes), by what its header
    /// announces.
    #[error("message is over the limit of {limit} bytes")]
    TooBig {
        /// The limit that was in force, in bytes.
        limit: usize,
    },
}

impl Fault {
    /// The code for the close frame that answers this fault: 1002, 1007 or 1009 (section 7.4.1).
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            Self::NotUtf8 => CloseCode::Invalid.into(),
            Self::TooBig { .. } => CloseCode::Size.into(),
            _ => CloseCode::Protocol.into(),
        }
    }
}
