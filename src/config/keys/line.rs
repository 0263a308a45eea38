//! The keys of line chat.

use super::{
    Key, Kind,
    table::{HOUR_MS, U32, UNLIMITED, key, number, number_or},
};

/// All of them.
pub(super) const LINE: &[Key] = &[
    key(
        "line.listen",
        Kind::Text("ADDRESS:PORT, or \"off\""),
        "\"127.0.0.1:8023\"",
        "Where people chat with nc or telnet, without encryption. Every shard accepts there.",
        "None.",
    ),
    key(
        "line.connections",
        number_or(UNLIMITED, "connections", 1, U32),
        "1000",
        "Most connections of line chat.",
        "About 1 KB each, and a descriptor, which limits.connections does not count.",
    ),
    key(
        "line.connections_per_address",
        number_or(UNLIMITED, "connections", 1, U32),
        "20",
        "Most of them from one client address (IPv6: from one /64).",
        "Too low locks out people behind one address; too high lets one person fill the server.",
    ),
    key(
        "line.nick_timeout_ms",
        number("milliseconds", 1, HOUR_MS),
        "60000",
        "How long a connection may take to say a nick that is free.",
        "None.",
    ),
    key(
        "line.nick_attempts",
        number("nicks", 1, 100),
        "3",
        "How many nicks a connection may try before it is closed.",
        "None.",
    ),
    key(
        "line.line_bytes",
        number("bytes", 64, 1 << 16),
        "2048",
        "Longest line taken, without its end. The rest of a longer one is thrown away.",
        "A line that is not complete is kept for each connection.",
    ),
    key(
        "line.history",
        number("messages", 0, 50),
        "10",
        "Messages of a room that are shown to those who enter it.",
        "Their bytes, at each join.",
    ),
    key(
        "line.rate",
        number("lines a second", 1, 10_000),
        "10",
        "Lines that one connection may send a second on average.",
        "Too low drops lines of people who paste.",
    ),
    key(
        "line.burst",
        number("lines", 1, 10_000),
        "20",
        "Lines that one connection may send at once.",
        "None.",
    ),
    key(
        "line.outbox_mark_bytes",
        number("bytes", 1 << 12, 1 << 30),
        "131072",
        "Bytes waiting for one connection over which it is not told who joins and leaves.",
        "None.",
    ),
    key(
        "line.outbox_bytes",
        number("bytes", 1 << 12, 1 << 30),
        "524288",
        "Most bytes that may wait for one connection before it is closed.",
        "Slow readers hold as much each.",
    ),
    key(
        "line.stalled_ms",
        number("milliseconds", 100, HOUR_MS),
        "30000",
        "A connection that takes nothing of what waits for it for so long is closed.",
        "None.",
    ),
    key(
        "line.idle_ms",
        number_or(Some("off"), "milliseconds", 100, U32),
        "\"off\"",
        "A connection that says nothing for so long is closed, after a warning a minute before.",
        "People who only read are closed.",
    ),
];
