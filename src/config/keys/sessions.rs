//! The keys of the QUIC door's sessions.

use super::{
    Key, Kind,
    table::{HOUR_MS, key, number},
};

/// Their table.
pub(super) const SESSIONS: &[Key] = &[
    Key {
        secret: true,
        ..key(
            "quic.token_secret",
            Kind::Text("at least 32 bytes"),
            "",
            "The secret that tokens (JWT, HS256) are signed with, shared with whoever issues them.",
            "Whoever knows it can come in as anybody.",
        )
    },
    key(
        "quic.token_public_key",
        Kind::Text("a PEM file"),
        "",
        "The public key that tokens (JWT, RS256 or EdDSA) are checked with, in place of quic.token_secret, which then does not count.",
        "None.",
    ),
    key(
        "quic.token_issuer",
        Kind::Text("the iss of tokens"),
        "",
        "Who has to have issued a token. Without it anybody who can sign one may.",
        "None.",
    ),
    key(
        "quic.token_audience",
        Kind::Text("the aud of tokens"),
        "",
        "For whom a token has to be. Without it tokens for others are taken as well.",
        "None.",
    ),
    key(
        "quic.names",
        Kind::BoolOr("auto"),
        "\"auto\"",
        "Whether people may come in with a name and no token. \"auto\" is true in development and false in production.",
        "Nobody is who they say, and a name belongs to whoever has it at the moment.",
    ),
    key(
        "quic.lanes",
        number("streams", 1, 64),
        "8",
        "Streams of each connection over which its rooms are spread: one that is held up delays only the rooms on it.",
        "More cost memory in each connection, and clients have to allow so many.",
    ),
    key(
        "quic.rooms",
        number("rooms", 1, 10_000),
        "64",
        "Rooms of one connection at once.",
        "Each costs a seat on its shard and a member of the room.",
    ),
    key(
        "quic.hot_rooms",
        number("rooms", 0, 1_000),
        "10",
        "Busy rooms of one connection at once that have a stream of their own.",
        "A busy room without one delays the others on its lane.",
    ),
    key(
        "quic.auth_ms",
        number("ms", 100, HOUR_MS),
        "10000",
        "How long a client may take to log in.",
        "Connections of those who do not are held so long.",
    ),
    key(
        "quic.ping_ms",
        number("ms", 100, HOUR_MS),
        "25000",
        "How often a client is pinged. Many routers forget a silent client after 30 s.",
        "Each ping costs a datagram both ways.",
    ),
    key(
        "quic.dead_ms",
        number("ms", 100, HOUR_MS),
        "90000",
        "After what silence, acknowledgements included, a client is given up.",
        "Too short loses people in tunnels, too long lists people who are gone.",
    ),
    key(
        "quic.outbox_bytes",
        number("bytes", 65_536, 1 << 30),
        "1048576",
        "Bytes that may wait for one connection before it is closed as too slow.",
        "Each slow client can cost so much memory.",
    ),
];
