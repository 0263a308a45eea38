//! The keys of files that people send.

use super::{
    Key, Kind,
    table::{HOUR_MS, key, number},
};

/// Most bytes of a file, and of what is kept, that can be set.
const GIB: u64 = 1 << 30;

/// Their table.
pub(super) const UPLOADS: &[Key] = &[
    key(
        "uploads.enabled",
        Kind::Bool,
        "true",
        "Whether people may send files through the QUIC door. Without a data folder (data = \"memory\") they may not.",
        "Disk space up to uploads.total_bytes, and a thread.",
    ),
    key(
        "uploads.folder",
        Kind::Text("a folder"),
        "",
        "Where the files are; without it, the folder uploads in the data folder. Files in it whose names are those of uploads are taken to be uploads.",
        "On another disk a full one does not touch the database.",
    ),
    key(
        "uploads.file_bytes",
        number("bytes", 1, GIB),
        "26214400",
        "Most bytes of one file.",
        "Larger ones fill the disk sooner.",
    ),
    key(
        "uploads.user_bytes",
        number("bytes", 1, 1 << 20 << 20),
        "104857600",
        "Most bytes that one user may send in 24 hours. A file counts as at least 4096.",
        "Without accounts (quic.names) anybody is a new user with each name; uploads.total_bytes holds for all.",
    ),
    key(
        "uploads.total_bytes",
        number("bytes", 1, 1 << 20 << 20),
        "1073741824",
        "Most bytes of all files. Over it the oldest that no message shows go first, and then nothing more is taken.",
        "So much disk space, and some 300 bytes of memory for each file.",
    ),
    key(
        "uploads.at_once",
        number("uploads", 1, 10_000),
        "256",
        "Most uploads that are on their way at once, of all people.",
        "Each holds up to half a MiB of memory and a descriptor.",
    ),
    key(
        "uploads.per_connection",
        number("uploads", 1, 10),
        "2",
        "Most uploads of one connection at once.",
        "Each waits for the disk with a piece of up to 256 KiB.",
    ),
    key(
        "uploads.stall_ms",
        number("ms", 1_000, HOUR_MS),
        "30000",
        "How long an upload may bring nothing, or a download be taken nothing of, before it ends; over HTTP it is counted by pieces of 64 KiB.",
        "Longer holds the places of those who have vanished.",
    ),
    key(
        "uploads.unattached_ms",
        number("ms", 1_000, 24 * HOUR_MS),
        "600000",
        "How long a file is kept that no message shows, and how long an interrupted upload can be gone on with.",
        "Longer keeps more that nobody sees.",
    ),
    key(
        "uploads.attached_ms",
        number("ms", 1_000, 400 * 24 * HOUR_MS),
        "86400000",
        "How long a file is kept that a message shows. It goes with its message or its room, if these go first.",
        "Longer needs more disk space.",
    ),
    key(
        "uploads.public_url",
        Kind::Text("https://HOST"),
        "",
        "What the addresses of files on the web begin with: that of this server as the world reaches it, such as https://piano.example.org. A file that a message shows is then at /u/NUMBER-SECRET/NAME there, for everybody who has the address, and pianos and terminals are shown it. Without it files are fetched over QUIC alone, and shown as garou:u/NUMBER.",
        "Who has the address can pass it on. A proxy in front of the server has to pass /u/ on to it as it is.",
    ),
];
