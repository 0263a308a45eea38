//! The QUIC transport: what is below the QUIC door, and nothing of what its streams say.
//!
//! ```text
//!   UDP socket a shard ── datagrams ──▶ endpoint ── events ──▶ session (the door)
//!          ▲                               │  ▲                    │
//!          └──────────── transmits ────────┘  └─────── link ───────┘
//! ```
//!
//! This file is where the two meet: a session is told [`Event`]s in order, and acts on its connection through a
//! [`Link`]. It reads when it wants to: what it leaves unread is held back by flow control, at the client. So a session
//! that waits for somebody simply does not read.
//!
//! Reading order: this file, `endpoint` (all connections of a shard), `connection` (one), `cid` (which shard a datagram
//! belongs to), `tls`, `resumption`, `handshake` and `secrets` (what all shards share), `udp` and `batch` (the socket).
//!
//! **Early data.** What is readable before [`Event::Connected`] is 0-RTT data by definition (RFC 9001, section 4.6):
//! anybody who recorded it can send it again, but nobody else can finish the handshake. A session answers it where the
//! answer changes nothing, and holds everything else until [`Event::Connected`].

mod batch;
mod cid;
mod connection;
mod counts;
mod endpoint;
mod handshake;
mod resumption;
mod secrets;
mod settings;
mod slots;
mod timers;
mod tls;
mod trim;
mod udp;

pub use batch::{Batch, Item};
pub use connection::{ConnKey, EndpointLink};
pub use counts::Counts;
pub use endpoint::{Arrival, Endpoint};
pub use settings::{Settings, SetupError, Shared};
pub use tls::{Certificates, PROTOCOLS, Source, TlsError};
pub use udp::{UdpCounts, UdpSocket};

use bytes::Bytes;
use std::net::SocketAddr;

/// A stream, by the number that it has on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

impl StreamId {
    /// Whether the client opened it.
    #[must_use]
    pub const fn is_of_client(self) -> bool {
        self.0 & 1 == 0
    }

    /// Whether only one side sends on it.
    #[must_use]
    pub const fn is_one_way(self) -> bool {
        self.0 & 2 != 0
    }
}

/// What happened to a connection. One connection's events come in order; nothing follows [`Event::Lost`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A client is there: the first event of each connection. Its streams can be read and written from now on, but
    /// everything that it says is early data, and its address may be somebody else's.
    Arrived {
        /// Where it writes from, IPv4 never as mapped IPv6.
        address: SocketAddr,
    },
    /// The handshake is complete: the client is who sent what was read so far, and the address is its own.
    Connected,
    /// The client has opened a stream. [`Event::Readable`] follows if there is something on it.
    Opened(StreamId),
    /// A stream that was read until [`Read::Blocked`] has something again: bytes, its end or its reset. One that was
    /// left at [`Read::More`] is not told about again.
    Readable(StreamId),
    /// A stream that did not take all of a write takes some again.
    Writable(StreamId),
    /// Everything on a stream that was finished has arrived, its end included; or the client did not want the rest.
    Delivered(StreamId),
    /// The client does not want what is sent on a stream.
    Stopped {
        /// Which.
        stream: StreamId,
        /// Why, in the client's words.
        code: u64,
    },
    /// [`Link::open_one_way`] that answered `None` may find room now.
    Credit,
    /// There are datagrams to take.
    Datagrams,
    /// The client writes from another address, and has shown that it hears us there.
    Moved {
        /// Where it is now.
        address: SocketAddr,
    },
    /// The connection has ended; its [`Link`] is gone.
    Lost(Lost),
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The client closed it, with this code of the door's protocol.
    ByPeer(u64),
    /// We closed it, through [`Link::close`] or [`Link::close_after`].
    ByUs,
    /// Nothing was heard for the idle time.
    Silence,
    /// The client's side does not know it any more.
    Reset,
    /// Somebody broke QUIC or TLS, or the handshake failed; the code is QUIC's.
    Transport(u64),
}

/// How far reading from a stream got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// As much as was asked for. More may be there.
    More,
    /// All that is there. [`Event::Readable`] tells when there is more.
    Blocked,
    /// All there will be.
    Finished,
    /// The client gave the stream up, for this reason. What was not read is lost.
    Reset(u64),
    /// There is no such stream, or it has ended before, or the connection has.
    Gone,
}

/// Writing to a stream that does not take anything any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WriteFault {
    /// The client does not want it.
    #[error("the client stopped the stream with {0:#x}")]
    Stopped(u64),
    /// There is no such stream, or it was finished or reset, or the connection has ended.
    #[error("the stream is closed")]
    Gone,
}

/// One connection, as a session acts on it. Nothing here waits or fails loudly: what cannot be done any more is left
/// undone, and an event has told why or will.
pub trait Link {
    /// Appends at most `max` bytes of what a stream has to `into`.
    fn read(&mut self, stream: StreamId, max: usize, into: &mut Vec<u8>) -> Read;

    /// Gives a stream bytes to send; how many of them it took. When it did not take all, [`Event::Writable`] follows
    /// once it takes more.
    ///
    /// # Errors
    /// When it never will.
    fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Result<usize, WriteFault>;

    /// The same for bytes that others may be given, too: they are not copied.
    ///
    /// # Errors
    /// When it never will take any.
    fn write_shared(&mut self, stream: StreamId, bytes: &Bytes) -> Result<usize, WriteFault>;

    /// Opens a stream to the client; `None` while the client allows no more.
    fn open_one_way(&mut self) -> Option<StreamId>;

    /// Says that nothing follows what was written. [`Event::Delivered`] tells when all of it has arrived.
    fn finish(&mut self, stream: StreamId);

    /// Gives a stream up: what was not delivered is not sent again.
    fn reset(&mut self, stream: StreamId, code: u32);

    /// Tells the client that what it sends on a stream is not wanted, and reads it no more.
    fn stop(&mut self, stream: StreamId, code: u32);

    /// Ranks what is sent: higher goes first. A new stream has 0.
    fn set_priority(&mut self, stream: StreamId, priority: u8);

    /// Sends a datagram, dropping the oldest that wait when there are too many; whether it may arrive. It never does
    /// when it is longer than [`Link::datagram_bytes_max`].
    fn send_datagram(&mut self, bytes: &[u8]) -> bool;

    /// The longest datagram that can be sent at the moment; `None` if the client takes none.
    fn datagram_bytes_max(&self) -> Option<usize>;

    /// Takes the next datagram that has come, in place of what is in `into`; whether there was one.
    fn receive_datagram(&mut self, into: &mut Vec<u8>) -> bool;

    /// Ends the connection at once: what was not delivered never is.
    fn close(&mut self, code: u32, reason: &str);

    /// Finishes a stream, and ends the connection when everything on it has arrived, at the latest after
    /// [`FLUSH_US_MAX`]. So a last word that is written before arrives (protocol page, section 14.3). Nothing more is
    /// told about the connection until [`Event::Lost`].
    fn close_after(&mut self, stream: StreamId, code: u32);

    /// Whether [`Event::Connected`] has been told, so that what is read now is no early data.
    fn is_connected(&self) -> bool;

    /// Where the client is.
    fn address(&self) -> SocketAddr;

    /// When the client was last heard, microseconds on the monotonic clock. Acknowledgements count, so a client that
    /// says nothing but lives can be told from one that is gone.
    fn heard_us(&self) -> u64;
}

/// The code of connections that are closed for a limit of the transport (protocol page, section 14.2).
const CLOSE_LIMIT: u32 = 0x08;

/// How long the last word of a connection may take to arrive, microseconds.
pub const FLUSH_US_MAX: u64 = 500_000;

#[cfg(test)]
mod tests;
