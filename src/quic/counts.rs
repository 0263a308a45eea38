//! What an endpoint counts.

/// Counters of one shard, and what there is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Connections that QUIC knows of, those that end included.
    pub connections: u64,
    /// Handshakes that are going on.
    pub handshakes_now: u64,
    /// Handshakes begun.
    pub handshakes: u64,
    /// Handshakes completed.
    pub connected: u64,
    /// Handshakes that broke a rule, or that the client gave up.
    pub handshakes_failed: u64,
    /// Handshakes that took too long.
    pub handshakes_slow: u64,
    /// Clients that had to show first that their address is their own.
    pub retries: u64,
    /// Connections refused for a limit.
    pub refused: u64,
    /// First datagrams that were not answered for a limit.
    pub ignored: u64,
    /// Datagrams received from the socket.
    pub datagrams_received: u64,
    /// Datagrams of connections sent.
    pub datagrams_sent: u64,
    /// Datagrams that were not sent because their address had not shown that it hears us, and had sent too little.
    pub datagrams_withheld: u64,
    /// Datagrams that are not of this server's connections.
    pub datagrams_foreign: u64,
    /// Answers without a connection: versions, resets, refusals of broken first datagrams.
    pub replies: u64,
    /// Datagrams sent on to the shard that they belong to.
    pub forwards_sent: u64,
    /// Datagrams that came by another shard.
    pub forwards_received: u64,
    /// Datagrams that were not sent on because too many waited.
    pub forwards_dropped: u64,
    /// Clients that moved to another address.
    pub moves: u64,
}
