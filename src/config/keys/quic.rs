//! The keys of the QUIC door's transport.

use super::{
    Key, Kind,
    table::{HOUR_MS, U32, UNLIMITED, key, number, number_or},
};

/// Their table.
pub(super) const QUIC: &[Key] = &[
    key(
        "quic.listen",
        Kind::Text("ADDRESS:PORT, or \"off\""),
        "\"127.0.0.1:4433\"",
        "Where QUIC clients send their datagrams. In production the default stays shut until there is quic.token_secret or quic.token_public_key. Other machines reach a public address only, such as 0.0.0.0:4433 or [::]:4433.",
        "One UDP socket per shard; a public address needs a certificate.",
    ),
    key(
        "quic.connections",
        number_or(UNLIMITED, "connections", 1, U32),
        "10000",
        "Most QUIC connections.",
        "About 25 KiB each; they take no descriptors.",
    ),
    key(
        "quic.connections_per_address",
        number_or(UNLIMITED, "connections", 1, U32),
        "64",
        "Most of them from one client address (IPv6: from one /64), loopback included.",
        "Too low locks out people behind one address; too high lets one person fill the server.",
    ),
    key(
        "quic.certificate",
        Kind::Text("a PEM file, or \"self-signed\""),
        "",
        "The certificate chain, the server's own first. Read again when the process gets SIGHUP. Where there is none, or \"self-signed\", the server makes one for localhost and keeps it in the data directory; without the word it does so for addresses of this machine only.",
        "Clients have nothing to check a made certificate by but its fingerprint, which the start prints.",
    ),
    key("quic.key", Kind::Text("a PEM file"), "", "The private key of quic.certificate.", "None."),
    key(
        "quic.early_data",
        Kind::Bool,
        "true",
        "Whether clients that come back may speak before the handshake is over. What others could notice waits until it is.",
        "Without it each reconnect takes one round trip more.",
    ),
    key(
        "quic.datagrams",
        Kind::Bool,
        "true",
        "Whether typing and presence may travel as datagrams beside the streams.",
        "Without it they wait behind other messages.",
    ),
    key(
        "quic.idle_timeout_ms",
        number("milliseconds", 1_000, 24 * HOUR_MS),
        "300000",
        "How long nothing may be heard from a client, not even an acknowledgement, before its connection is forgotten.",
        "Too long keeps connections of clients that vanished.",
    ),
    key(
        "quic.handshake_ms",
        number("milliseconds", 100, HOUR_MS),
        "10000",
        "How long a handshake may take.",
        "Too short refuses clients on bad networks; too long keeps half-open connections.",
    ),
    key(
        "quic.retry_above",
        number("handshakes", 0, U32),
        "1000",
        "Handshakes of a shard over which a client has to show first that its address is its own; 0 asks it of everybody.",
        "It costs the client one round trip, and the server nothing that it has to keep.",
    ),
    key(
        "quic.ignore_above",
        number("handshakes", 1, U32),
        "4000",
        "Handshakes of a shard over which new ones are not answered.",
        "Each takes about 30 KiB, and 12 KiB more from one who sends ahead of its end.",
    ),
    key(
        "quic.connection_ids",
        Kind::Choice(&["masked", "plain"]),
        "\"masked\"",
        "Whether connection ids hide the shard that they name. Of plain ones it is the first byte, for programs outside the server that steer datagrams by it.",
        "Plain ones let those on the way tell the connections of one shard from those of others, also after a change of address.",
    ),
    key(
        "quic.receive_buffer_bytes",
        number("bytes", 64 << 10, 1 << 30),
        "4194304",
        "What the kernel keeps of datagrams that wait for a shard.",
        "The kernel cuts it to net.core.rmem_max; too small loses datagrams in bursts.",
    ),
    key(
        "quic.send_buffer_bytes",
        number("bytes", 64 << 10, 1 << 30),
        "4194304",
        "What the kernel keeps of datagrams that a shard has sent.",
        "The kernel cuts it to net.core.wmem_max; too small makes shards wait.",
    ),
];
