//! The conformance checklist of the protocol page (section 13, statements 1 to 160, with section 13a above it),
//! against the built server over real sockets, with 1, 2 and 5 shards each.
//!
//! | module | statements | what |
//! | --- | --- | --- |
//! | `transport` | 1-18 | upgrade, frames, close codes |
//! | `hello` | 19-30 | `hi`, identity, tokens |
//! | `channels` | 31-50 | joining, leaving, lobbies |
//! | `chat` | 51-62 | `a`, `c` |
//! | `notes` | 63-75 | `n`, the note quota |
//! | `cursor` | 76-86 | `m`, `userset` |
//! | `crown` | 87-98 | `chown`, what happens when the holder leaves |
//! | `settings` | 99-107 | `chset` |
//! | `bans` | 108-116 | `kickban`, `unban` |
//! | `list` | 117-122 | `ls` |
//! | `time` | 123-127 | `t`, `bye`, `devices` |
//! | `direct` | 128-136 | `dm`, `custom` |
//! | `connections` | 137-141 | several connections of one user |
//! | `binary` | 142-155 | the quick dialect, binary `custom` |
//! | `limits` | 156-160 | admission, staff, shutdown, the soak |
//! | `abuse` | - | handshakes, frames and JSON that break the rules |
//! | `pages` | - | the HTTP side and the admin listener |
//! | `process` | - | command line, configuration, signals |
//! | `quic_transport` | - | the socket and the certificate of the QUIC door |
//! | `service` | - | the service manager: readiness, watchdog, sockets handed over |
//! | `handover` | - | pipelined input and wandering connections |
//! | `operate` | - | what operators do with `tutti ctl` |
//! | `operate_limits` | - | the control socket itself: bad input, permissions, reload, drain |
//! | `keys` | - | configuration keys that no statement turns |
//! | `line` | - | line chat: its own checklist, bytes, lines and nicks |
//! | `line_commands` | - | line chat: commands |
//! | `line_limits` | - | line chat: history, limits, leaving, real `nc` and `telnet` |
//! | `line_doors` | - | line chat: terminals and pianos in one room |
//! | `storage` | - | what survives a restart and a crash, and what is refused at the start |
//! | `crash` | - | killed at any moment, a full disk, `tutti db` |
//! | `hot` | - | channels that change temperature under load |
//!
//! A test function takes a [`Plan`](tutti_tests::server::Plan) with the number of shards set, and its doc names
//! its statements; `statements_are_all_here` below checks that none is missing.

/// Makes three tests of each function: with 1, 2 and 5 shards.
macro_rules! on_1_2_5_shards {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn on_1_shard() {
                super::$name(tutti_tests::server::Plan::new(1));
            }
            #[test]
            fn on_2_shards() {
                super::$name(tutti_tests::server::Plan::new(2));
            }
            #[test]
            fn on_5_shards() {
                super::$name(tutti_tests::server::Plan::new(5));
            }
        }
    )+};
}

mod abuse;
mod bans;
mod binary;
mod channels;
mod chat;
mod connections;
mod crash;
mod crown;
mod cursor;
mod direct;
mod handover;
mod hello;
mod hot;
mod keys;
mod limits;
mod line;
mod line_commands;
mod line_doors;
mod line_limits;
mod list;
mod notes;
mod operate;
mod operate_limits;
mod pages;
mod process;
mod quic_transport;
mod service;
mod settings;
mod storage;
mod time;
mod transport;

/// Rooms whose owners differ with some luck, since names are spread over the shards by a key of each start.
const ROOMS: [&str; 3] = ["Quiet corner", "The \u{1f3b9} hall", "room three"];

/// The numbers and ranges that stand right behind `/// Statement` or `/// Statements` of each doc line.
fn statements_of(source: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for line in source.lines() {
        let Some(rest) = line.trim_start().strip_prefix("/// Statement") else { continue };
        let parts = rest.trim_start_matches('s').split([',', ' ', '.', ';', ':']);
        for part in parts.filter(|part| !part.is_empty() && *part != "and") {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse()) else { break };
            found.extend(first..=last);
        }
    }
    found
}

#[test]
fn statements_are_all_here() {
    let sources = [
        (1..=18, include_str!("transport.rs")),
        (19..=30, include_str!("hello.rs")),
        (31..=50, include_str!("channels.rs")),
        (51..=62, include_str!("chat.rs")),
        (63..=75, include_str!("notes.rs")),
        (76..=86, include_str!("cursor.rs")),
        (87..=98, include_str!("crown.rs")),
        (99..=107, include_str!("settings.rs")),
        (108..=116, include_str!("bans.rs")),
        (117..=122, include_str!("list.rs")),
        (123..=127, include_str!("time.rs")),
        (128..=136, include_str!("direct.rs")),
        (137..=141, include_str!("connections.rs")),
        (142..=155, include_str!("binary.rs")),
        (156..=160, include_str!("limits.rs")),
    ];
    let mut covered = Vec::new();
    for (range, source) in sources {
        let mut found = statements_of(source);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, range.clone().collect::<Vec<_>>(), "the module of {range:?}");
        covered.extend(found);
    }
    assert_eq!(covered, (1..=160).collect::<Vec<_>>());
    let sources = [
        (1..=24, include_str!("line.rs")),
        (25..=47, include_str!("line_commands.rs")),
        (48..=60, include_str!("line_limits.rs")),
        (61..=82, include_str!("line_doors.rs")),
    ];
    // These need a client of QUIC alone.
    let of_quic = [68, 69, 70, 71, 72, 74, 80, 81];
    for (range, source) in sources {
        let mut found = statements_of(&source.replace("Line chat's s", "S"));
        found.sort_unstable();
        found.dedup();
        let expected: Vec<u32> = range.clone().filter(|n| !of_quic.contains(n)).collect();
        assert_eq!(found, expected, "line chat's module of {range:?}");
    }
    assert_eq!(
        statements_of("/// Statements 7, 9-11 and 13. Not 5.\n// Statement 1."),
        [7, 9, 10, 11, 13]
    );
}
