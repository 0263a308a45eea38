//! Settings, in two stages: [`RawConfig`] is what was written and where, [`Config`] is checked and in runtime types.
//!
//! The rest of the program only ever sees [`Config`]. Sources, the weightiest first: command line flags,
//! environment variables, a TOML file, the defaults. The table in [`keys`] is the only list of keys.

pub mod keys;
mod origins;
mod print;
mod quic;
mod raw;
mod relations;
mod reload;
mod salts;
mod sessions;
mod uploads;

pub use origins::Origins;
pub use print::{print_default, print_effective};
pub use raw::{ConfigError, Origin, RawConfig, Value};
pub use reload::{Change, changes, reloaded};
pub use salts::Salts;

use crate::doors::quic::session::SessionRates;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tutti_shards::{CrownOnLeave, Hot, LineConfig, QuotaPreset, Quotas, Rate, Rates};

/// Whether a user is a connection or a network address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Every connection is a user of its own, with a random id.
    Development,
    /// A user is a network address (or a token).
    Production,
}

/// Where state is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// Nowhere: it ends with the process.
    Memory,
    /// In this directory.
    Dir(PathBuf),
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Hidden(text.into())
    }

    /// The text itself, for hashing and comparing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Limits that the driver and the doors keep; those of the core are in [`Config::core`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DoorLimits {
    /// Most connections of the process; `None` for any number.
    pub connections: Option<u32>,
    /// Most connections of one client address; `None` for any number.
    pub connections_per_address: Option<u32>,
    /// Connection attempts of one client address per second; `None` for any number.
    pub accepts_per_second: Option<u32>,
    /// Longest message taken, in bytes; `message_bytes <= core.outbox_bytes_max`.
    pub message_bytes: usize,
    /// Longest user name, in UTF-16 units.
    pub name_length: usize,
    /// Longest chat or direct message, in UTF-16 units.
    pub chat_length: usize,
    /// Longest channel name that may be joined, in UTF-16 units.
    pub channel_name_length: usize,
    /// Longest label of a user, in UTF-16 units.
    pub tag_length: usize,
    /// Longest JSON part of a binary custom message, in bytes.
    pub custom_json_bytes: usize,
    /// Most users that one custom message can name.
    pub custom_targets: usize,
    /// Longest time for which an operator's notification stays, in milliseconds; at least `notice_ms_default`.
    pub notice_ms_max: i32,
    /// How long it stays when nothing else is asked, in milliseconds.
    pub notice_ms_default: i32,
    /// How long a connection may take to finish its HTTP request.
    pub handshake: Duration,
    /// How long a connection that is closed may take to take its last bytes.
    pub last_bytes: Duration,
    /// How long one that took them may take to hang up.
    pub hangup: Duration,
    /// Bytes of its input that are read and thrown away meanwhile.
    pub drain_bytes: usize,
    /// Wrong staff passwords of one address in `guess_window` after which its passwords are ignored.
    pub guesses: u32,
    /// The time in which wrong staff passwords are counted together.
    pub guess_window: Duration,
    /// How long an address's staff passwords are ignored.
    pub guess_lockout: Duration,
    /// Deepest nesting of JSON taken.
    pub json_depth: usize,
}

/// Limits of line chat that its door keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineLimits {
    /// How long a connection may take to say a nick.
    pub nick_timeout: Duration,
    /// How many nicks it may try, at least 1.
    pub nick_attempts: u8,
    /// Longest line taken, in bytes.
    pub line_bytes: usize,
    /// Messages shown to those who enter a room.
    pub history: usize,
    /// Lines of one connection.
    pub lines: Rate,
    /// Whether lines are limited at all.
    pub rates_enforced: bool,
}

/// Line chat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineDoor {
    /// Where it listens; `None` for nowhere.
    pub listen: Option<SocketAddr>,
    /// Most connections; `None` for any number.
    pub connections: Option<u32>,
    /// Most connections of one client address; `None` for any number.
    pub connections_per_address: Option<u32>,
    /// What its door keeps to.
    pub limits: LineLimits,
}

/// The checked configuration: every value is usable as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What the shards' core is told.
    pub core: tutti_shards::Config,
    /// Addresses to listen on; at least one, all different.
    pub listen: Vec<SocketAddr>,
    /// Backlog of each listener.
    pub listen_backlog: u32,
    /// Number of shards, at least 1.
    pub shards: u16,
    /// CPUs that shards are pinned to, in turn; at least one. See [`Config::cpu_of`].
    pub cpus: Vec<usize>,
    /// Where secrets and state are kept.
    pub data: Data,
    /// Files served instead of the built-in page; `None` serves the built-in page.
    pub client_dir: Option<PathBuf>,
    /// Whether pages follow their files as they change.
    pub client_live: bool,
    /// Sample packs for the built-in page.
    pub sounds_dir: Option<PathBuf>,
    /// Whether a user is a connection or an address.
    pub mode: Mode,
    /// The greeting, as plain text: doors escape it.
    pub motd: String,
    /// Salts of production ids; `None` for a secret that is made and kept.
    pub salts: Option<Salts>,
    /// Whether users get tokens.
    pub tokens: bool,
    /// Peers whose word about the client address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether trusted proxies may send a PROXY header.
    pub proxy_protocol: bool,
    /// Which pages may open a WebSocket.
    pub origins: Origins,
    /// Line chat.
    pub line: LineDoor,
    /// What is logged, in the form of `RUST_LOG`.
    pub log: String,
    /// Where metrics and health are served; `None` for nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// The password of staff messages; `None` for no staff messages.
    pub admin_password: Option<Hidden>,
    /// The QUIC door; `None` where it stays shut.
    pub quic: Option<crate::quic::Settings>,
    /// Whether it is shut only because nobody could log in there.
    pub quic_waits: bool,
    /// Most connections there; `None` for any number.
    pub quic_connections: Option<u32>,
    /// Most connections of one client address there; `None` for any number.
    pub quic_connections_per_address: Option<u32>,
    /// The settings of its sessions.
    pub sessions: crate::doors::quic::SessionSettings,
    /// Files that people send; `None` where they are not taken.
    pub uploads: Option<crate::uploads::Settings>,
    /// Limits of the doors and the driver.
    pub limits: DoorLimits,
    /// Packets waiting for other shards over which a shard keeps back cursor moves for them.
    pub mesh_backlog_mark: usize,
    /// Packets waiting for other shards over which a shard refuses new connections.
    pub mesh_backlog: usize,
    /// Longest time that a busy shard holds notes back to batch them.
    pub flush_delay_max: Duration,
    /// How long a graceful stop may take.
    pub shutdown_deadline: Duration,
    /// The control socket.
    pub control: crate::control::Settings,
    /// What a panic limits.
    pub panic: Panic,
    /// How what is kept is written.
    pub storage: crate::storage::Settings,
}

/// What a panic limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Panic {
    /// New connections of the process in a second.
    pub connections_per_second: u32,
    /// Whoever was first seen less than this ago is a guest.
    pub guest: Duration,
}

/// What the process may use of the machine's CPUs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostCpus {
    /// CPUs in the process's affinity mask, in rising order; at least one.
    pub allowed: Vec<usize>,
    /// How many of them control groups let it use at once, at least 1.
    pub parallelism: usize,
}

impl HostCpus {
    /// Asks the system. Where it gives no answer, CPU 0 alone.
    #[must_use]
    pub fn of_this_process() -> Self {
        let allowed: Vec<usize> = rustix::thread::sched_getaffinity(None)
            .map(|set| {
                (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
            })
            .unwrap_or_default();
        let allowed = if allowed.is_empty() { vec![0] } else { allowed };
        let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
        HostCpus { allowed, parallelism }
    }
}

impl Config {
    /// Checks what was written and turns it into runtime types.
    ///
    /// # Errors
    /// When a value is not of the form that its key takes, or two values cannot stand together; the error names the
    /// keys and where they were written.
    pub fn new(raw: &RawConfig, host: &HostCpus) -> Result<Config, ConfigError> {
        let read = Reader { raw };
        relations::check(raw)?;
        let mode = match read.text("mode").as_str() {
            "production" => Mode::Production,
            _ => Mode::Development,
        };
        let cpus = cpus(&read)?.unwrap_or_else(|| host.allowed.clone());
        let shards =
            read.number("shards").unwrap_or_else(|| cpus.len().min(host.parallelism) as u64);
        let mut config = Config {
            core: core(&read),
            listen: read.list(
                "listen",
                "ADDRESS:PORT such as 0.0.0.0:8080 or [::]:8080",
                parsed,
            )?,
            listen_backlog: read.u32("listen_backlog"),
            shards: u16::try_from(shards.clamp(1, 256)).expect("at most 256 shards"),
            cpus,
            data: match read.text("data") {
                word if word == "memory" => Data::Memory,
                dir => Data::Dir(dir.into()),
            },
            client_dir: read.optional("client_dir").map(PathBuf::from),
            client_live: read.flag("client_live"),
            sounds_dir: read.optional("sounds_dir").map(PathBuf::from),
            mode,
            motd: read.text("motd"),
            salts: salts::read(&read, mode)?,
            tokens: match read.value("tokens") {
                Value::Bool(on) => on,
                _ => mode == Mode::Production,
            },
            trusted_proxies: read.list("trusted_proxies", "ADDRESS or ADDRESS/BITS", network)?,
            proxy_protocol: read.flag("proxy_protocol"),
            origins: Origins::new(read.list("origins", "an origin", |text| Some(text.to_owned()))?),
            line: line(&read)?,
            log: log(&read)?,
            admin_listen: read.off_or("admin.listen", "ADDRESS:PORT or \"off\"")?,
            admin_password: read.optional("admin.password").map(Hidden::new),
            quic: None,
            uploads: None,
            quic_waits: false,
            quic_connections: read.capacity("quic.connections"),
            quic_connections_per_address: read.capacity("quic.connections_per_address"),
            sessions: sessions::read(&read, mode, false)?,
            limits: DoorLimits {
                connections: read.capacity("limits.connections"),
                connections_per_address: read.capacity("limits.connections_per_address"),
                accepts_per_second: read.capacity("limits.accepts_per_second"),
                message_bytes: read.length("limits.message_bytes"),
                name_length: read.length("limits.name_length"),
                chat_length: read.length("limits.chat_length"),
                channel_name_length: read.length("limits.channel_name_length"),
                tag_length: read.length("limits.tag_length"),
                custom_json_bytes: read.length("limits.custom_json_bytes"),
                custom_targets: read.length("limits.custom_targets"),
                notice_ms_max: read.i32("notice.max_ms"),
                notice_ms_default: read.i32("notice.default_ms"),
                handshake: read.ms("limits.handshake_ms"),
                last_bytes: read.ms("limits.last_bytes_ms"),
                hangup: read.ms("limits.hangup_ms"),
                drain_bytes: read.length("limits.drain_bytes"),
                guesses: read.u32("admin.guesses"),
                guess_window: read.ms("admin.guess_window_ms"),
                guess_lockout: read.ms("admin.lockout_ms"),
                json_depth: read.length("limits.json_depth"),
            },
            mesh_backlog_mark: read.length("mesh.backlog_mark"),
            mesh_backlog: read.length("mesh.backlog"),
            flush_delay_max: read.ms("flush.delay_max_ms"),
            shutdown_deadline: read.ms("shutdown.deadline_ms"),
            control: crate::control::Settings {
                socket: match read.text("control.socket").as_str() {
                    "off" => None,
                    "auto" => match read.text("data").as_str() {
                        "memory" => None,
                        dir => Some(PathBuf::from(dir).join(crate::control::FILE)),
                    },
                    path => Some(path.into()),
                },
                peers: read.length("control.peers"),
                line_bytes: read.length("control.line_bytes"),
            },
            panic: Panic {
                connections_per_second: read.u32("panic.connections_per_second"),
                guest: read.ms("panic.guest_ms"),
            },
            storage: crate::storage::Settings {
                queue: read.length("storage.queue"),
                commit: read.ms("storage.commit_ms"),
                retention: crate::storage::Retention {
                    history_messages: read.u32("storage.history_messages"),
                    history: read.days("storage.history_days"),
                    users: read.days("storage.user_days"),
                    audit: read.days("storage.audit_days"),
                    channel: read.ms("storage.channel_ms"),
                    restart: read.ms("storage.restart_ms"),
                },
            },
        };
        config.quic = quic::read(&read, &config.data, config.sessions.can_log_in())?;
        config.quic_waits = config.quic.is_none() && read.text("quic.listen") != "off";
        config.sessions = sessions::read(&read, config.mode, config.quic.is_some())?;
        config.uploads = uploads::read(&read, &config.data)?.filter(|_| config.quic.is_some());
        config.check_addresses(&read)?;
        if !read.flag("limits.enabled") {
            config.core = config.core.without_limits();
            config.limits.connections = None;
            config.limits.connections_per_address = None;
            config.limits.accepts_per_second = None;
            config.line.connections = None;
            config.line.connections_per_address = None;
            config.line.limits.rates_enforced = false;
            config.quic_connections = None;
            config.quic_connections_per_address = None;
            config.sessions.rates = SessionRates::UNLIMITED;
            if let Some(uploads) = &mut config.uploads {
                // The size of a file stays, and so does what protects the disk.
                uploads.user_bytes_max = u64::MAX;
                uploads.at_once_max = usize::MAX;
            }
        }
        Ok(config)
    }

    /// The CPU that a shard is pinned to.
    #[must_use]
    pub fn cpu_of(&self, shard: tutti_shards::ShardId) -> usize {
        self.cpus.get(shard.index() % self.cpus.len().max(1)).copied().unwrap_or(0)
    }

    /// The addresses listened on that other machines may reach.
    pub fn public_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listen
            .iter()
            .chain(&self.line.listen)
            .copied()
            .filter(|address| !address.ip().to_canonical().is_loopback())
    }

    /// What an operator should know before the start, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.mode == Mode::Development
            && let Some(address) = self.public_addresses().next()
        {
            warnings.push(format!(
                "development mode on the public address {address}: every connection is a new user, so bans do not \
                 hold; set mode = \"production\" (--mode production)"
            ));
        }
        if let Some(admin) =
            self.admin_listen.filter(|admin| !admin.ip().to_canonical().is_loopback())
        {
            warnings.push(format!(
                "admin.listen {admin} can be reached from elsewhere and is not protected; listen on 127.0.0.1 or a \
                 private network"
            ));
        }
        if let Some(all) = self.trusted_proxies.iter().find(|network| network.prefix_len() == 0) {
            warnings.push(format!(
                "trusted_proxies {all} lets every client claim any address; name your proxies"
            ));
        }
        if self.mode == Mode::Production && self.salts.is_none() && self.data == Data::Memory {
            warnings.push(
                "production without salts and with data = \"memory\": user ids change at each start; set salt1 and \
                 salt2 or a data directory"
                    .to_owned(),
            );
        }
        if self.tokens && self.data == Data::Memory {
            warnings.push(
                "tokens with data = \"memory\": tokens handed out now end with this process"
                    .to_owned(),
            );
        }
        let short = |salt: &Hidden| salt.expose().chars().count() < 16;
        if let (Mode::Production, Some(salts)) = (self.mode, &self.salts)
            && (short(&salts.before) || short(&salts.after))
        {
            warnings.push(
                "a salt shorter than 16 characters may be guessed, and user ids then tell addresses".to_owned(),
            );
        }
        warnings
    }

    fn check_addresses(&self, read: &Reader<'_>) -> Result<(), ConfigError> {
        let refuse = |expected: &str| {
            let value = read.value("listen");
            Err(read.refuse("listen", expected, value.to_string()))
        };
        if self.listen.is_empty() {
            return refuse("at least one ADDRESS:PORT");
        }
        let taken = |address: &SocketAddr, others: &[SocketAddr]| {
            address.port() != 0 && others.contains(address)
        };
        for (at, address) in self.listen.iter().enumerate() {
            if taken(address, &self.listen[..at]) {
                return refuse("different addresses");
            }
        }
        if let Some(line) = self.line.listen.filter(|line| taken(line, &self.listen)) {
            let expected = "an address that `listen` has not";
            return Err(read.refuse("line.listen", expected, line.to_string()));
        }
        match self.admin_listen {
            Some(admin) if self.line.listen.is_some_and(|line| taken(&admin, &[line])) => Err(read
                .refuse(
                    "admin.listen",
                    "an address that `line.listen` has not",
                    admin.to_string(),
                )),
            Some(admin) if taken(&admin, &self.listen) => Err(read.refuse(
                "admin.listen",
                "an address that `listen` has not",
                admin.to_string(),
            )),
            _ => Ok(()),
        }
    }
}

/// Reads values that the table of keys has already checked for kind and range.
struct Reader<'a> {
    raw: &'a RawConfig,
}

impl Reader<'_> {
    fn value(&self, name: &str) -> Value {
        self.raw.value(name).expect("the key has a default")
    }

    fn flag(&self, name: &str) -> bool {
        self.value(name) == Value::Bool(true)
    }

    fn text(&self, name: &str) -> String {
        self.optional(name).expect("the key has a default")
    }

    fn optional(&self, name: &str) -> Option<String> {
        match self.raw.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The number, or `None` for the word that stands instead of one.
    fn number(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn u64(&self, name: &str) -> u64 {
        self.number(name).expect("the key takes numbers only")
    }

    fn u32(&self, name: &str) -> u32 {
        u32::try_from(self.u64(name)).expect("the key's range is that of u32")
    }

    fn i32(&self, name: &str) -> i32 {
        i32::try_from(self.u64(name)).expect("the key's range is that of i32")
    }

    fn length(&self, name: &str) -> usize {
        usize::try_from(self.u64(name)).expect("the key's range is that of usize")
    }

    fn capacity(&self, name: &str) -> Option<u32> {
        self.number(name)
            .map(|number| u32::try_from(number).expect("the key's range is that of u32"))
    }

    fn ms(&self, name: &str) -> Duration {
        Duration::from_millis(self.u64(name))
    }

    /// So many days, or `None` for the word that stands instead of a number.
    fn days(&self, name: &str) -> Option<Duration> {
        self.number(name).map(|days| Duration::from_secs(days * 86_400))
    }

    fn rate(&self, count: &str, per_ms: &str) -> Rate {
        match self.capacity(count) {
            Some(count) => Rate::new(count, self.u64(per_ms)),
            None => Rate::UNLIMITED,
        }
    }

    fn list<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ConfigError> {
        let Value::List(items) = self.value(name) else { return Ok(Vec::new()) };
        let each = items.iter().map(|item| {
            parse(item).ok_or_else(|| self.refuse(name, expected, format!("{item:?}")))
        });
        each.collect()
    }

    fn off_or<T: std::str::FromStr>(
        &self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, ConfigError> {
        match self.text(name).as_str() {
            "off" => Ok(None),
            text => match text.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.refuse(name, expected, format!("{text:?}"))),
            },
        }
    }

    fn refuse(&self, key: &'static str, expected: &str, found: String) -> ConfigError {
        let origin = self.raw.origin(key);
        ConfigError::Value { key, origin, expected: expected.to_owned(), found }
    }
}

fn log(read: &Reader<'_>) -> Result<String, ConfigError> {
    let text = read.text("log");
    match tracing_subscriber::EnvFilter::try_new(&text) {
        Ok(_) => Ok(text),
        Err(_) => {
            Err(read.refuse("log", "levels such as \"info,tutti=debug\"", format!("{text:?}")))
        }
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Reads a list of CPUs and ranges of CPUs, for example `0`, `2-3`; `None` when it is not one.
#[must_use]
pub fn parse_cpus<'a>(items: impl IntoIterator<Item = &'a str>) -> Option<Vec<usize>> {
    const CPU_MAX: usize = 4095;
    let mut cpus = Vec::new();
    for item in items {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > CPU_MAX {
            return None;
        }
        for cpu in first..=last {
            if !cpus.contains(&cpu) {
                cpus.push(cpu);
            }
        }
    }
    Some(cpus)
}

fn cpus(read: &Reader<'_>) -> Result<Option<Vec<usize>>, ConfigError> {
    let Value::List(items) = read.value("cpus") else { return Ok(None) };
    let cpus = parse_cpus(items.iter().map(String::as_str)).ok_or_else(|| {
        read.refuse("cpus", "a list of CPUs such as 0,2-3", read.value("cpus").to_string())
    })?;
    Ok((!cpus.is_empty()).then_some(cpus))
}

fn core(read: &Reader<'_>) -> tutti_shards::Config {
    let preset =
        |allowance, max| QuotaPreset { allowance: read.u32(allowance), max: read.u32(max) };
    tutti_shards::Config {
        crown_on_leave: match read.text("crown.on_leave").as_str() {
            "drop" => CrownOnLeave::Drop,
            _ => CrownOnLeave::Transfer,
        },
        crown_pickup: read.ms("crown.pickup_ms"),
        lobby_capacity: read.capacity("lobby.capacity"),
        lobby_overflows_max: u16::try_from(read.u64("lobby.overflows"))
            .expect("the key's range is that of u16"),
        channel_limits: read.flag("channel.limits"),
        channel_empty: read.ms("channel.empty_ms"),
        channels_max: read.u32("channel.max"),
        line: LineConfig {
            nick_deadline: read.ms("line.nick_timeout_ms"),
            outbox_bytes_mark: read.u32("line.outbox_mark_bytes"),
            outbox_bytes_max: read.u32("line.outbox_bytes"),
            stalled_max: read.ms("line.stalled_ms"),
            idle_max: read.number("line.idle_ms").map(Duration::from_millis),
        },
        storage: (read.text("data") != "memory").then(|| read.ms("storage.patience_ms")),
        chat_history: read.u32("chat.history"),
        ring_messages: read.u32("quic.ring_messages"),
        init_messages: read.u32("quic.init_messages"),
        busy: sessions::busy(read),
        // It comes from the data folder.
        number_key: tutti_shards::NumberKey::default(),
        bans_max: read.u32("ban.per_channel"),
        ban_max: read.ms("ban.max_ms"),
        quotas: Quotas {
            enforced: read.flag("quota.enforced"),
            tick: read.ms("quota.tick_ms"),
            lobby: preset("quota.lobby.allowance", "quota.lobby.max"),
            normal: preset("quota.normal.allowance", "quota.normal.max"),
            crown: preset("quota.crown.allowance", "quota.crown.max"),
        },
        too_fast_told_every: read.ms("quota.notice_ms"),
        note_time_off_max: read.ms("notes.time_off_ms"),
        rates: rates(read),
        connections_per_user: read.capacity("limits.connections_per_user"),
        refused_kept: read.ms("limits.refused_ms"),
        profiles_max: read.u32("limits.profiles"),
        hello_deadline: read.ms("limits.hello_ms"),
        ping_after: read.ms("limits.ping_ms"),
        silence_max: read.ms("limits.silence_ms"),
        cursor_tick: read.ms("cursor.tick_ms"),
        directory_tick: read.ms("directory.tick_ms"),
        list_chunk: read.u32("directory.chunk"),
        outbox_bytes_max: read.u32("limits.outbox_bytes"),
        outbox_bytes_mark: read.u32("limits.outbox_mark_bytes"),
        outbox_bytes_total: read.u64("limits.outbox_total_bytes"),
        hot: Hot {
            promote_rate: read.u32("hot.promote_rate"),
            promote_members: read.u32("hot.promote_members"),
            demote_rate: read.u32("hot.demote_rate"),
            demote_after: Duration::from_secs(read.u64("hot.demote_after_s")),
            max: read.u32("hot.max"),
        },
    }
}

fn line(read: &Reader<'_>) -> Result<LineDoor, ConfigError> {
    let (rate, burst) = (read.u64("line.rate"), read.u32("line.burst"));
    Ok(LineDoor {
        listen: read.off_or("line.listen", "ADDRESS:PORT or \"off\"")?,
        connections: read.capacity("line.connections"),
        connections_per_address: read.capacity("line.connections_per_address"),
        limits: LineLimits {
            nick_timeout: read.ms("line.nick_timeout_ms"),
            nick_attempts: u8::try_from(read.u64("line.nick_attempts"))
                .expect("the key's range is that of u8"),
            line_bytes: read.length("line.line_bytes"),
            history: read.length("line.history"),
            lines: Rate::new(burst, u64::from(burst) * 1_000 / rate),
            rates_enforced: true,
        },
    })
}

fn rates(read: &Reader<'_>) -> Rates {
    let rate =
        |name: &str| read.rate(&format!("rate.{name}.count"), &format!("rate.{name}.per_ms"));
    Rates {
        chat: rate("chat"),
        chat_holder: rate("chat_holder"),
        room: rate("room"),
        join: rate("join"),
        settings: rate("settings"),
        crown: rate("crown"),
        profile: rate("profile"),
        look: rate("quic_profile"),
        ban: rate("ban"),
        time: rate("time"),
        list: rate("list"),
        custom_toggle: rate("custom_toggle"),
        custom_bytes: read.rate("limits.custom_bytes", "limits.custom_per_ms"),
        hello: rate("hello"),
        bytes_in: read.rate("limits.bytes_in", "limits.bytes_in_per_ms"),
        messages_in: read.rate("limits.messages_in", "limits.messages_in_per_ms"),
    }
}

#[cfg(test)]
mod tests;
