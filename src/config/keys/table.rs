//! The keys themselves. The order is that of the printed file, so the keys of a table stand together.

use super::{ANY_TEXT, Key, Kind};

pub(super) const UNLIMITED: Option<&str> = Some("unlimited");
pub(super) const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
pub(super) const U32: u64 = u32::MAX as u64;

pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    what: &'static str,
    cost: &'static str,
) -> Key {
    Key { name, kind, default, what, cost, secret: false }
}

const fn secret(name: &'static str, what: &'static str, cost: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Text("a text that is not empty"),
        default: "",
        what,
        cost,
        secret: true,
    }
}

pub(super) const fn number(unit: &'static str, min: u64, max: u64) -> Kind {
    Kind::Number { min, max, unit, word: None }
}

pub(super) const fn number_or(
    word: Option<&'static str>,
    unit: &'static str,
    min: u64,
    max: u64,
) -> Kind {
    Kind::Number { min, max, unit, word }
}

const fn count(name: &'static str, default: &'static str, what: &'static str) -> Key {
    const COST: &str =
        "Too low makes well-behaved clients look broken; \"unlimited\" trusts every client.";
    key(name, number_or(UNLIMITED, "messages", 1, 1_000_000), default, what, COST)
}

const fn per(name: &'static str, default: &'static str) -> Key {
    const WHAT: &str = "The time in which the whole count is refilled, evenly.";
    key(name, number("milliseconds", 1, HOUR_MS), default, WHAT, "None.")
}

/// Every key, table by table.
pub const KEYS: &[Key] = &join(MAIN, super::line::KEYS);

const MAIN_COUNT: usize = 123;
const ALL: usize = MAIN_COUNT + super::line::KEYS.len();

/// Puts two tables behind each other.
const fn join<const A: usize, const B: usize>(first: [Key; A], second: [Key; B]) -> [Key; ALL] {
    assert!(A + B == ALL, "every key is in the table");
    let (mut all, mut n) = ([first[0]; ALL], 0);
    while n < ALL {
        all[n] = if n < A { first[n] } else { second[n - A] };
        n += 1;
    }
    all
}

const MAIN: [Key; MAIN_COUNT] = [
    key(
        "listen",
        Kind::List("ADDRESS:PORT"),
        r#"["0.0.0.0:8080"]"#,
        "The addresses that clients connect to. Every shard accepts on each of them.",
        "One listening socket per address and shard.",
    ),
    key(
        "listen_backlog",
        number("connections", 1, 1 << 20),
        "4096",
        "How many connections may wait to be accepted on each listener.",
        "The kernel cuts it to net.core.somaxconn; too small drops connections when many arrive at once.",
    ),
    key(
        "shards",
        number_or(Some("auto"), "threads", 1, 256),
        "\"auto\"",
        "How many shards run; \"auto\" is one per usable CPU.",
        "Each costs a thread, an io_uring instance and about 2 MB; more than CPUs take turns on them.",
    ),
    key(
        "cpus",
        Kind::List("a CPU number or a range such as 2-5"),
        "[]",
        "The CPUs that shards are pinned to, in turn; empty means all that the process may use.",
        "None.",
    ),
    key(
        "data",
        Kind::Text("a directory, or \"memory\""),
        "\"./data\"",
        "Where secrets and stored state are kept; \"memory\" keeps nothing across restarts.",
        "With \"memory\" production ids and tokens change at each start unless salts are set.",
    ),
    key(
        "client_dir",
        Kind::Text("a directory"),
        "",
        "A directory of web client files that is served instead of the built-in page.",
        "None.",
    ),
    key(
        "client_live",
        Kind::Bool,
        "false",
        "Whether pages follow the files of client_dir (in a debug build also those of the built-in page) as they change.",
        "For those who work on a page: a thread looks at all files three times a second.",
    ),
    key(
        "sounds_dir",
        Kind::Text("a directory"),
        "",
        "A directory of sample packs for the built-in page, one folder each, with files named after their keys.",
        "All of it is kept in memory.",
    ),
    key(
        "mode",
        Kind::Choice(&["development", "production"]),
        "\"development\"",
        "In development every connection is a user of its own; in production a user is a network address.",
        "Development lets anybody shed a ban by reconnecting; do not put it on a public address.",
    ),
    key(
        "motd",
        Kind::Text(ANY_TEXT),
        "\"Welcome\"",
        "The greeting in the first reply. Clients show it as HTML, so it is sent escaped.",
        "Its length, once per connection.",
    ),
    secret(
        "salt1",
        "Production: goes before the address when a user id is made. Set both salts or none.",
        "Changing it changes every user's id. At least 4 characters; 16 or more cannot be guessed.",
    ),
    secret(
        "salt2",
        "Production: goes after the address when a user id is made. Set both salts or none.",
        "Changing it changes every user's id. At least 4 characters; 16 or more cannot be guessed.",
    ),
    key(
        "trusted_proxies",
        Kind::List("an address or a network such as 10.0.0.0/8"),
        "[]",
        "Peers whose word about the client address is taken (X-Forwarded-For, X-Real-IP, PROXY).",
        "A network listed here by mistake can claim any client address.",
    ),
    key(
        "proxy_protocol",
        Kind::Bool,
        "true",
        "Whether a PROXY header (version 1 or 2) is understood when a trusted proxy sends one.",
        "None; other peers' bytes are never read as a PROXY header.",
    ),
    key(
        "origins",
        Kind::List("an origin such as https://example.org"),
        "[]",
        "The Origin headers that may open a WebSocket; empty allows every one, and none at all.",
        "With a list, bots that send no or a foreign Origin are refused with HTTP 403.",
    ),
    key(
        "tokens",
        Kind::BoolOr("auto"),
        "\"auto\"",
        "Whether users get a token that names them wherever they connect from; \"auto\" is on in production.",
        "One HMAC per hello.",
    ),
    key(
        "log",
        Kind::Text("levels as RUST_LOG takes them"),
        "\"info\"",
        "What is logged, for example \"warn\" or \"info,tutti::driver=debug\".",
        "debug writes a line for each connection.",
    ),
    key(
        "admin.listen",
        Kind::Text("ADDRESS:PORT, or \"off\""),
        "\"127.0.0.1:9090\"",
        "Where /metrics, /healthz and /readyz are served.",
        "They are not protected; keep the address private.",
    ),
    secret(
        "admin.password",
        "The password of staff messages. Without one staff messages do not exist.",
        "Whoever knows it can rename, move and notify anybody.",
    ),
    key(
        "admin.guesses",
        number("passwords", 1, 1_000_000),
        "3",
        "Wrong passwords of one address in admin.guess_window_ms after which its passwords are ignored.",
        "Too many let a short password be guessed.",
    ),
    key(
        "admin.guess_window_ms",
        number("milliseconds", 1, DAY_MS),
        "60000",
        "The time in which wrong passwords of one address are counted together.",
        "None.",
    ),
    key(
        "admin.lockout_ms",
        number("milliseconds", 0, DAY_MS),
        "600000",
        "How long an address's passwords are ignored, right ones too.",
        "Staff who mistyped wait as long.",
    ),
    key(
        "crown.on_leave",
        Kind::Choice(&["transfer", "drop"]),
        "\"transfer\"",
        "When the holder leaves: the crown goes to whoever is there longest, or it lies on the ground.",
        "None.",
    ),
    key(
        "crown.pickup_ms",
        number("milliseconds", 0, DAY_MS),
        "15000",
        "How long a lying crown is its last holder's alone.",
        "Clients show 15000 whatever stands here.",
    ),
    key(
        "lobby.capacity",
        number_or(UNLIMITED, "participants", 1, 1_000_000),
        "20",
        "Most participants of one lobby; the next one overflows into the next lobby.",
        "Traffic in a lobby grows with the square of its members.",
    ),
    key(
        "lobby.overflows",
        number("lobbies", 0, 60_000),
        "10000",
        "Most full lobbies that a join passes before it leads to test/awkward.",
        "Too few send people to test/awkward when many come at once.",
    ),
    key(
        "channel.empty_ms",
        number("milliseconds", 0, DAY_MS),
        "3000",
        "How long an empty channel keeps its settings, history and bans.",
        "The memory of that many empty channels.",
    ),
    key(
        "channel.max",
        number("channels", 1, 100_000_000),
        "100000",
        "Most channels that one shard owns; a join that would make one more leads to test/awkward.",
        "About 2 KiB each plus the chat history.",
    ),
    key(
        "channel.limits",
        Kind::Bool,
        "true",
        "Whether the participant limits that holders set on their channels are enforced.",
        "None.",
    ),
    key(
        "chat.history",
        number("messages", 0, 10_000),
        "32",
        "Chat messages that a channel keeps for those who join.",
        "All of them are sent at each join and must fit limits.outbox_bytes.",
    ),
    key(
        "ban.max_ms",
        number("milliseconds", 0, 365 * DAY_MS),
        "3600000",
        "Longest ban that a holder can give.",
        "None.",
    ),
    key(
        "ban.per_channel",
        number("bans", 1, 1_000_000),
        "1000",
        "Most bans of one channel; the one that ends first makes room.",
        "About 32 bytes each.",
    ),
    key(
        "quota.tick_ms",
        number("milliseconds", 1, HOUR_MS),
        "2000",
        "How often each note quota gets its allowance.",
        "Clients count with 2000 whatever stands here.",
    ),
    key(
        "quota.notice_ms",
        number("milliseconds", 0, HOUR_MS),
        "10000",
        "How often at most a participant whose notes are refused is told so.",
        "A notification each time covers the piano.",
    ),
    key(
        "quota.enforced",
        Kind::Bool,
        "true",
        "Whether note quotas are enforced; they are announced either way.",
        "Without it one client can flood its channel with notes.",
    ),
    key(
        "quota.lobby.allowance",
        number("notes", 0, 1_000_000),
        "200",
        "Notes added to the quota at each tick, in any lobby.",
        "Each note goes to every member.",
    ),
    key(
        "quota.lobby.max",
        number("notes", 0, 10_000_000),
        "600",
        "Most notes saved up, in any lobby.",
        "The largest burst that every member receives.",
    ),
    key(
        "quota.normal.allowance",
        number("notes", 0, 1_000_000),
        "400",
        "Notes added to the quota at each tick, in other channels.",
        "Each note goes to every member.",
    ),
    key(
        "quota.normal.max",
        number("notes", 0, 10_000_000),
        "1200",
        "Most notes saved up, in other channels.",
        "The largest burst that every member receives.",
    ),
    key(
        "quota.crown.allowance",
        number("notes", 0, 1_000_000),
        "600",
        "Notes added to the quota at each tick, for the holder of the crown.",
        "Each note goes to every member.",
    ),
    key(
        "quota.crown.max",
        number("notes", 0, 10_000_000),
        "1800",
        "Most notes saved up, for the holder of the crown.",
        "The largest burst that every member receives.",
    ),
    key(
        "limits.enabled",
        Kind::Bool,
        "true",
        "false lifts rates, quotas, capacities and connection counts (the flag --limits off).",
        "For benchmarks on trusted hosts only. Message size, outbox and JSON depth limits stay.",
    ),
    key(
        "limits.connections",
        number_or(UNLIMITED, "connections", 1, 100_000_000),
        "50000",
        "Most connections of the whole process; more are refused with HTTP 503.",
        "About 2 KiB and one file descriptor each; the hard limit of RLIMIT_NOFILE must allow them.",
    ),
    key(
        "limits.connections_per_address",
        number_or(UNLIMITED, "connections", 1, 100_000_000),
        "16",
        "Most connections of one client address (IPv6: of one /64); loopback is exempt.",
        "Too low shuts out schools and offices behind one address.",
    ),
    key(
        "limits.connections_per_user",
        number_or(UNLIMITED, "connections", 1, 1_000_000),
        "8",
        "Most connections of one user; one more is told so and closed with 4009.",
        "Each gets everything that the user receives.",
    ),
    key(
        "limits.refused_ms",
        number("milliseconds", 0, HOUR_MS),
        "3000",
        "How long a connection over limits.connections_per_user has to read why, before close 4009.",
        "Old clients reconnect 50 ms after a close, so a short time makes them a storm.",
    ),
    key(
        "limits.accepts_per_second",
        number_or(UNLIMITED, "attempts", 1, 1_000_000),
        "200",
        "Connection attempts of one client address per second, over it HTTP 429; loopback is exempt.",
        "The first visit of the built-in page takes some 50, each later one 3; and old clients reconnect up to 19 \
         times a second when they are closed at once.",
    ),
    key(
        "limits.message_bytes",
        number("bytes", 1024, 64 << 20),
        "131072",
        "Longest message taken; a longer one closes the connection with 1009.",
        "Memory of one unfinished message per connection. The longest legal burst of notes is 60 KiB.",
    ),
    key(
        "limits.bytes_in",
        number_or(UNLIMITED, "bytes", 1024, U32),
        "1048576",
        "Bytes taken from one connection in limits.bytes_in_per_ms, over it close 4002.",
        "CPU time that one client can take.",
    ),
    key(
        "limits.bytes_in_per_ms",
        number("milliseconds", 1, HOUR_MS),
        "10000",
        "The time in which limits.bytes_in is refilled, evenly.",
        "None.",
    ),
    key(
        "limits.messages_in",
        number_or(UNLIMITED, "messages", 1, U32),
        "1200",
        "Messages taken from one connection in limits.messages_in_per_ms, over it close 4007.",
        "CPU time that one client can take. Each element of an array counts, ignored ones too.",
    ),
    key(
        "limits.messages_in_per_ms",
        number("milliseconds", 1, HOUR_MS),
        "6000",
        "The time in which limits.messages_in is refilled, evenly.",
        "None.",
    ),
    key(
        "limits.outbox_bytes",
        number("bytes", 4096, 1 << 30),
        "1048576",
        "Most bytes that may wait for one slow reader before it is closed with 4003.",
        "Memory per slow reader; too small cuts off people on bad networks.",
    ),
    key(
        "limits.outbox_mark_bytes",
        number("bytes", 1024, 1 << 30),
        "65536",
        "Bytes waiting for one connection over which its cursor moves are left out.",
        "None.",
    ),
    key(
        "limits.outbox_total_bytes",
        number("bytes", 65_536, 1 << 44),
        "1073741824",
        "Bytes waiting for all connections of a shard over which each one's limit is the mark.",
        "Memory per shard when very many readers are slow at once.",
    ),
    key(
        "limits.name_length",
        number("UTF-16 units", 1, 1024),
        "40",
        "Longest user name taken.",
        "Names are repeated in every member list.",
    ),
    key(
        "limits.chat_length",
        number("UTF-16 units", 1, 65_536),
        "512",
        "Longest chat or direct message taken.",
        "Times chat.history, in each channel.",
    ),
    key(
        "limits.channel_name_length",
        number("UTF-16 units", 16, 512),
        "512",
        "Longest channel name that can be joined; a longer one leads to the lobby.",
        "Names are repeated in the channel list.",
    ),
    key(
        "limits.tag_length",
        number("UTF-16 units", 1, 1024),
        "50",
        "Longest label that staff can give a user.",
        "Labels are repeated in every member list.",
    ),
    key(
        "limits.handshake_ms",
        number("milliseconds", 100, HOUR_MS),
        "10000",
        "How long a connection may take to finish its HTTP request.",
        "Too long lets half-open connections pile up.",
    ),
    key(
        "limits.last_bytes_ms",
        number("milliseconds", 1, HOUR_MS),
        "5000",
        "How long a connection that is closed may take to take what it is sent last.",
        "Too short loses the reason on slow networks; too long keeps sockets of peers that are gone.",
    ),
    key(
        "limits.hangup_ms",
        number("milliseconds", 1, HOUR_MS),
        "1000",
        "How long a connection that took its last bytes may take to hang up.",
        "Closing at once, with input unread, resets the connection and swallows those bytes.",
    ),
    key(
        "limits.drain_bytes",
        number("bytes", 0, 1 << 40),
        "16777216",
        "Bytes of a closed connection's input that are read and thrown away until it hangs up.",
        "CPU time that a flood takes after its close.",
    ),
    key(
        "limits.hello_ms",
        number("milliseconds", 100, HOUR_MS),
        "30000",
        "How long a connection may take to say hello, then close 4004.",
        "Too long lets silent connections pile up.",
    ),
    key(
        "limits.ping_ms",
        number("milliseconds", 100, HOUR_MS),
        "30000",
        "A connection that was silent for so long is pinged.",
        "One small frame per silent connection.",
    ),
    key(
        "limits.silence_ms",
        number("milliseconds", 200, HOUR_MS),
        "90000",
        "A connection that was silent for so long, pongs included, is closed with 4004.",
        "Too long keeps ghosts of vanished clients in channels.",
    ),
    key(
        "limits.json_depth",
        number("levels", 4, 128),
        "32",
        "Deepest nesting of JSON taken; a deeper frame is ignored.",
        "Stack and time of the decoder.",
    ),
    key(
        "limits.custom_bytes",
        number_or(UNLIMITED, "bytes", 1, U32),
        "16384",
        "Bytes of custom messages per user in limits.custom_per_ms; more are dropped.",
        "Each byte goes to every subscriber.",
    ),
    key(
        "limits.custom_per_ms",
        number("milliseconds", 1, HOUR_MS),
        "10000",
        "The time in which limits.custom_bytes is refilled, evenly.",
        "None.",
    ),
    key(
        "limits.custom_json_bytes",
        number("bytes", 64, (1 << 24) - 1),
        "16384",
        "Longest JSON part of a binary custom message; a longer one is ignored.",
        "Time of the decoder.",
    ),
    key(
        "limits.custom_targets",
        number("users", 1, 1024),
        "32",
        "Most users that one custom message can name; one with more is ignored.",
        "A look-up, and perhaps a message to another shard, for each.",
    ),
    key(
        "limits.profiles",
        number("users", 1, 100_000_000),
        "100000",
        "Most users whose name and colour one shard remembers while they are away.",
        "About 100 bytes each.",
    ),
    key(
        "cursor.tick_ms",
        number("milliseconds", 1, 10_000),
        "40",
        "How often the cursor moves gathered in a channel go out.",
        "Shorter costs a send per member and tick; longer makes cursors jump.",
    ),
    key(
        "notes.time_off_ms",
        number("milliseconds", 0, HOUR_MS),
        "10000",
        "Notes whose time is further from the server's than this sound now instead.",
        "Clients queue what is to sound later; too long lets one fill their queues.",
    ),
    key(
        "notice.default_ms",
        number("milliseconds", 1, HOUR_MS),
        "7000",
        "How long a staff notification stays that does not say how long.",
        "None.",
    ),
    key(
        "notice.max_ms",
        number("milliseconds", 1, HOUR_MS),
        "60000",
        "Longest time for which a staff notification can stay.",
        "It covers what is below.",
    ),
    key(
        "directory.tick_ms",
        number("milliseconds", 1, 60_000),
        "100",
        "How often changes of the channel list go out.",
        "A batch to every shard and list subscriber per tick.",
    ),
    key(
        "directory.chunk",
        number("channels", 1, 100_000),
        "100",
        "Most channels in one message of the channel list; more follow as the receiver takes them.",
        "About 300 bytes each; a message must fit limits.outbox_bytes.",
    ),
    key(
        "mesh.backlog_mark",
        number("packets", 0, U32),
        "4096",
        "Packets waiting for other shards over which a shard keeps back cursor moves for them.",
        "Too few makes cursors of hot channels jump.",
    ),
    key(
        "mesh.backlog",
        number("packets", 0, U32),
        "65536",
        "Packets waiting for other shards over which a shard refuses new connections with HTTP 503.",
        "Memory of what waits, mostly some 100 bytes each, when a shard is overloaded.",
    ),
    key(
        "flush.delay_max_ms",
        number("milliseconds", 0, 1_000),
        "10",
        "Longest time that a busy shard holds notes back to send more of them at once; 0 never waits.",
        "Latency under load, against many times the throughput. Idle shards never wait.",
    ),
    key(
        "hot.promote_rate",
        number("messages per second", 1, U32),
        "100",
        "Messages per second at which a channel's fan-out is spread over the shards.",
        "Too low moves connections about for nothing.",
    ),
    key(
        "hot.promote_members",
        number("members", 1, U32),
        "64",
        "Fewest members for which spreading pays.",
        "Too low moves connections about for nothing.",
    ),
    key(
        "hot.demote_rate",
        number("messages per second", 0, U32),
        "20",
        "Messages per second under which a hot channel cools.",
        "Close to hot.promote_rate a channel keeps changing.",
    ),
    key(
        "hot.demote_after_s",
        number("seconds", 1, 86_400),
        "60",
        "How long a hot channel has to be cool before its members are called home.",
        "Too short makes a channel keep changing.",
    ),
    key(
        "hot.max",
        number("channels", 0, U32),
        "10",
        "Most hot channels that one shard owns at a time; 0 never spreads any.",
        "Each hot message crosses to every shard.",
    ),
    count("rate.chat.count", "4", "Chat and direct messages of a participant."),
    per("rate.chat.per_ms", "4000"),
    count("rate.chat_holder.count", "10", "Chat and direct messages of the holder of the crown."),
    per("rate.chat_holder.per_ms", "4000"),
    count("rate.join.count", "5", "Channel changes of a connection; the latest one over it waits."),
    per("rate.join.per_ms", "2000"),
    count("rate.settings.count", "10", "Changes of channel settings (chset)."),
    per("rate.settings.per_ms", "2000"),
    count("rate.crown.count", "10", "Crown moves (chown)."),
    per("rate.crown.per_ms", "5000"),
    count("rate.profile.count", "10", "Changes of name and colour (userset)."),
    per("rate.profile.per_ms", "10000"),
    count("rate.ban.count", "4", "Bans and their removal (kickban, unban)."),
    per("rate.ban.per_ms", "2000"),
    count("rate.time.count", "10", "Clock requests (t)."),
    per("rate.time.per_ms", "5000"),
    count("rate.list.count", "10", "Channel list subscriptions (+ls, -ls)."),
    per("rate.list.per_ms", "5000"),
    count("rate.custom_toggle.count", "10", "Subscriptions to custom messages (+custom, -custom)."),
    per("rate.custom_toggle.per_ms", "5000"),
    count("rate.hello.count", "10", "Hellos (hi) of a connection after its first."),
    per("rate.hello.per_ms", "10000"),
    key(
        "storage.queue",
        number("jobs", 64, 1 << 20),
        "16384",
        "Most writes and questions that wait for the storage thread, and as many again while the disk refuses.",
        "Some 300 bytes each while they wait; what finds no room is not kept (storage_dropped_total).",
    ),
    key(
        "storage.commit_ms",
        number("milliseconds", 1, 1_000),
        "50",
        "How long writes are gathered for one transaction. Bans and what operators do never wait.",
        "What a crash or a power failure can lose of everything else; each transaction is one write to the disk.",
    ),
    key(
        "storage.patience_ms",
        number("milliseconds", 10, 60_000),
        "2000",
        "How long those wait who depend on an answer of the storage, before life goes on as if nothing had been kept.",
        "Too short: on a slow disk names and rooms come late. Too long: people wait for a disk that hangs.",
    ),
    key(
        "storage.restart_ms",
        number("milliseconds", 0, 30 * DAY_MS),
        "3600000",
        "How long after a start a channel that was there when the server ended comes back as it was.",
        "Longer, and whoever comes first finds settings and chat of people who have gone.",
    ),
    key(
        "storage.channel_ms",
        number("milliseconds", 0, 3_650 * DAY_MS),
        "0",
        "How long what is kept of a channel outlives it, once it ended because nobody was there.",
        "With 0 whoever opens it again gets a fresh room, as on other servers.",
    ),
    key(
        "storage.history_messages",
        number("messages", 1, 10_000_000),
        "1000",
        "Most chat messages kept of each channel; a few more until the next look.",
        "About 400 bytes each on the disk.",
    ),
    key(
        "storage.history_days",
        number_or(UNLIMITED, "days", 1, 36_500),
        "30",
        "Age at which chat messages are forgotten.",
        "Disk, and what people said long ago.",
    ),
    key(
        "storage.user_days",
        number_or(UNLIMITED, "days", 1, 36_500),
        "365",
        "How long a user who does not come is remembered.",
        "About 200 bytes each on the disk.",
    ),
    key(
        "storage.audit_days",
        number_or(UNLIMITED, "days", 1, 36_500),
        "730",
        "Age at which entries of the audit log are forgotten.",
        "About 200 bytes each on the disk.",
    ),
    key(
        "control.socket",
        Kind::Text("a file, \"auto\" or \"off\""),
        "\"auto\"",
        "The Unix socket of `tutti ctl`; \"auto\" is ctl.sock in the data directory, and none with data = \"memory\".",
        "Whoever may write to it can do everything; it is made for its owner alone. At most 107 bytes long.",
    ),
    key(
        "control.peers",
        number("connections", 1, 1_000),
        "16",
        "Most connections to the control socket at a time.",
        "Each costs a thread; those over it are told and closed.",
    ),
    key(
        "control.line_bytes",
        number("bytes", 1_024, 1 << 20),
        "65536",
        "Longest request line on the control socket.",
        "Too short refuses long notices.",
    ),
    key(
        "panic.connections_per_second",
        number("connections", 0, 1_000_000),
        "10",
        "New connections of the whole process in a second, pages too, at panic levels 1 and 2.",
        "Too many let a flood in, too few keep people out; 0 lets in nobody.",
    ),
    key(
        "panic.guest_ms",
        number("milliseconds", 1_000, 366 * DAY_MS),
        "600000",
        "At panic levels 2 and 3 those are muted who were first seen less than this ago.",
        "Too short lets floods talk soon, too long mutes people.",
    ),
    key(
        "shutdown.deadline_ms",
        number("milliseconds", 0, 600_000),
        "5000",
        "How long a graceful stop may take to send what is waiting.",
        "Supervisors kill after their own time-out, often 10 s or 90 s; stay below it.",
    ),
];
