//! The command line, and how it, the environment and the file become a [`Config`].

use crate::config::{Config, ConfigError, HostCpus, Origin, RawConfig, parse_cpus};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A real-time room server: one thread per core, many doors into the same channels.
///
/// Flags stand over environment variables (TUTTI_..., WS_PORT, NODE_ENV, SALT1, SALT2, RUST_LOG), those over the
/// file, and the file over the defaults. Exit codes: 0 well, 2 usage, 78 configuration or host not fit.
#[derive(Parser, Debug)]
#[command(name = "tutti", version)]
pub struct Cli {
    /// Settings, which stand before or after the command.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do; nothing is `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Run the server (the default).
    Serve,
    /// Say whether this host and configuration are fit: exit code 0 well, 1 with warnings, 2 not fit.
    Check {
        /// Write JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Give this host what a server with many connections needs, or take it back: exit code 0 well, 1 when something
    /// needs a person, 2 when something failed.
    Tune(crate::tune::Options),
    /// Look at what is kept, copy it, or forget what is over; all of it while a server runs, too.
    #[command(subcommand)]
    Db(crate::storage::tool::Options),
    /// Moderate and operate a running server over its control socket: exit code 0 done, 1 the server says why not, 69
    /// no server answers.
    Ctl(crate::ctl::Options),
    /// Print the configuration in force as TOML, with where each value came from.
    Config {
        /// Print every key with its default and documentation instead, as a file to start from.
        #[arg(long)]
        default: bool,
    },
}

/// Settings that have a flag.
#[derive(Args, Clone, Default, Debug)]
pub struct Flags {
    /// Address to listen on; may be repeated [default: 0.0.0.0:8080]
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Where people chat with nc or telnet [default: 127.0.0.1:8023]
    #[arg(long, global = true, value_name = "ADDR:PORT|off", value_parser = address_or_off)]
    pub tcp: Option<String>,
    /// Number of shards, or auto for one per CPU [default: auto]
    #[arg(long, global = true, value_name = "N|auto", value_parser = shards)]
    pub shards: Option<String>,
    /// CPUs to pin shards to, for example 0,2-3 [default: all]
    #[arg(long, global = true, value_name = "LIST", value_parser = cpus)]
    pub cpus: Option<String>,
    /// Configuration file, TOML; see `tutti config --default`
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory for secrets and state, or memory for none [default: ./data]
    #[arg(long, global = true, value_name = "DIR|memory")]
    pub data: Option<String>,
    /// Directory of web client files to serve instead of the built-in page
    #[arg(long, global = true, value_name = "DIR")]
    pub client_dir: Option<String>,
    /// Pages follow the files of that directory as they change
    #[arg(long, global = true)]
    pub client_live: bool,
    /// Directory of sample packs for the built-in page
    #[arg(long, global = true, value_name = "DIR")]
    pub sounds: Option<String>,
    /// Whether a user is a connection or an address [default: development]
    #[arg(long, global = true, value_enum)]
    pub mode: Option<ModeFlag>,
    /// Where metrics and health are served [default: 127.0.0.1:9090]
    #[arg(long, global = true, value_name = "ADDR:PORT|off", value_parser = address_or_off)]
    pub admin: Option<String>,
    /// Where QUIC clients send their datagrams [default: 127.0.0.1:4433]
    #[arg(long, global = true, value_name = "ADDR:PORT|off", value_parser = address_or_off)]
    pub quic: Option<String>,
    /// off lifts rates, quotas and counts, for benchmarks on trusted hosts
    #[arg(long, global = true, value_enum)]
    pub limits: Option<LimitsFlag>,
}

/// The values of `--mode`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModeFlag {
    /// Every connection is a user of its own.
    Development,
    /// A user is a network address.
    Production,
}

/// The values of `--limits`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitsFlag {
    /// The limits of the configuration.
    Default,
    /// Message size, outboxes and JSON depth only.
    Off,
}

fn shards(text: &str) -> Result<String, String> {
    match text {
        "auto" => Ok(text.to_owned()),
        _ => match text.parse::<u16>() {
            Ok(1..=256) => Ok(text.to_owned()),
            _ => Err("not a number from 1 to 256, nor auto".to_owned()),
        },
    }
}

fn cpus(text: &str) -> Result<String, String> {
    match parse_cpus(text.split(',').map(str::trim)) {
        Some(_) => Ok(text.to_owned()),
        None => Err("not a list of CPUs such as 0,2-3".to_owned()),
    }
}

fn address_or_off(text: &str) -> Result<String, String> {
    match text {
        "off" => Ok(text.to_owned()),
        _ => match text.parse::<SocketAddr>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("not ADDR:PORT, nor off".to_owned()),
        },
    }
}

impl Flags {
    /// Puts together what flags, environment and file say. The file is the one of `--config`, else of
    /// `TUTTI_CONFIG`, else none.
    ///
    /// # Errors
    /// When the file cannot be read, or anything in it or in the environment is wrong.
    pub fn gather(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<RawConfig, ConfigError> {
        // Names and values that are not UTF-8 are not ours, or will be refused as what their lossy text is.
        let environment: Vec<(String, String)> = environment
            .into_iter()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect();
        let mut raw = RawConfig::default();
        let named =
            environment.iter().find(|(name, value)| name == "TUTTI_CONFIG" && !value.is_empty());
        if let Some(path) = self.config.clone().or_else(|| named.map(|(_, path)| path.into())) {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::Unreadable {
                path: shown.clone(),
                reason: error.to_string(),
            })?;
            raw.add_file(&shown, &text)?;
        }
        raw.add_env(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        self.add_to(&mut raw)?;
        Ok(raw)
    }

    fn add_to(&self, raw: &mut RawConfig) -> Result<(), ConfigError> {
        let listen = self.listen.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
        let mode = self.mode.map(|mode| match mode {
            ModeFlag::Development => "development".to_owned(),
            ModeFlag::Production => "production".to_owned(),
        });
        let limits = self.limits.map(|limits| (limits == LimitsFlag::Default).to_string());
        for (flag, key, value) in [
            ("--listen", "listen", (!listen.is_empty()).then_some(listen)),
            ("--tcp", "line.listen", self.tcp.clone()),
            ("--shards", "shards", self.shards.clone()),
            ("--cpus", "cpus", self.cpus.clone()),
            ("--data", "data", self.data.clone()),
            ("--client-dir", "client_dir", self.client_dir.clone()),
            ("--client-live", "client_live", self.client_live.then(|| "true".to_owned())),
            ("--sounds", "sounds_dir", self.sounds.clone()),
            ("--mode", "mode", mode),
            ("--admin", "admin.listen", self.admin.clone()),
            ("--quic", "quic.listen", self.quic.clone()),
            ("--limits", "limits.enabled", limits),
        ] {
            if let Some(value) = value {
                raw.add_text(key, &value, Origin::Flag(flag))?;
            }
        }
        Ok(())
    }
}

/// The configuration in force for this process.
///
/// # Errors
/// When anything in the file, the environment or the flags is wrong.
pub fn load(flags: &Flags) -> Result<(RawConfig, Config), ConfigError> {
    let raw = flags.gather(std::env::vars_os())?;
    let config = Config::new(&raw, &HostCpus::of_this_process())?;
    Ok((raw, config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Data, Mode};
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn config(line: &str, environment: &[(&str, &str)]) -> Config {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let raw = parse(line).unwrap().flags.gather(environment).unwrap();
        Config::new(&raw, &HostCpus { allowed: vec![0, 1], parallelism: 2 }).unwrap()
    }

    #[test]
    fn command_line_is_sound() {
        Cli::command().debug_assert();
        assert_eq!(parse("tutti").unwrap().command, None);
        assert_eq!(parse("tutti serve").unwrap().command, Some(Command::Serve));
        let check = Some(Command::Check { json: true });
        assert_eq!(parse("tutti check --json").unwrap().command, check);
        let db = Some(Command::Db(crate::storage::tool::Options::Check));
        assert_eq!(parse("tutti db check --data x").unwrap().command, db);
        let print = Some(Command::Config { default: true });
        assert_eq!(parse("tutti config --default").unwrap().command, print);
    }

    #[test]
    fn flags_stand_on_either_side_of_the_command() {
        let line = "--listen 127.0.0.1:1 --listen [::1]:2 --tcp 127.0.0.1:3 --shards 3 --cpus 0,1 --data memory --client-dir web \
                    --client-live --sounds packs --mode production --admin off --limits off";
        for line in
            [format!("tutti {line}"), format!("tutti serve {line}"), format!("tutti {line} check")]
        {
            let config = config(&line, &[("TUTTI_SHARDS", "7")]);
            assert_eq!(config.listen.len(), 2);
            assert_eq!(config.line.listen, Some("127.0.0.1:3".parse().unwrap()));
            assert_eq!((config.shards, config.cpus.len()), (3, 2));
            assert_eq!((config.data, config.mode), (Data::Memory, Mode::Production));
            assert_eq!(config.client_dir, Some("web".into()));
            assert_eq!((config.client_live, config.sounds_dir), (true, Some("packs".into())));
            assert_eq!(config.admin_listen, None);
            assert_eq!(config.limits.connections, None);
        }
    }

    #[test]
    fn limits_default_stands_over_the_environment() {
        let off = [("TUTTI_LIMITS_ENABLED", "off")];
        assert_eq!(config("tutti", &off).limits.connections, None);
        assert!(config("tutti --limits default", &off).limits.connections.is_some());
    }

    #[test]
    fn wrong_values_are_usage_errors() {
        for line in [
            "tutti --listen 8080",
            "tutti --listen localhost:80",
            "tutti --shards 0",
            "tutti --shards 257",
            "tutti --shards many",
            "tutti --cpus 3-1",
            "tutti --mode fast",
            "tutti --admin on",
            "tutti --quic 4433",
            "tutti --limits none",
            "tutti --nonsense",
            "tutti nonsense",
            "tutti check --default",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn file_is_named_by_flag_or_variable_and_has_to_be_there() {
        let path = std::env::temp_dir().join(format!("tutti-cli-{}.toml", std::process::id()));
        std::fs::write(&path, "motd = \"from a file\"").unwrap();
        let shown = path.to_str().unwrap();
        assert_eq!(config(&format!("tutti --config {shown}"), &[]).motd, "from a file");
        assert_eq!(config("tutti", &[("TUTTI_CONFIG", shown)]).motd, "from a file");
        std::fs::remove_file(&path).unwrap();
        let gone = parse(&format!("tutti --config {shown}")).unwrap().flags.gather([]);
        assert!(gone.unwrap_err().to_string().contains(shown));
    }
}
