//! The command line of `tutti ctl`.

use crate::control::{Do, NoticeTo};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Moderate and operate a running server.
///
/// Exit codes: 0 done, 1 the server says why not, 2 usage, 69 no server answers, 78 configuration not fit.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The server's control socket [default: ctl.sock in the data directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub socket: Option<PathBuf>,
    /// Write JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// On whose behalf, for the audit log
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub on_behalf: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "clap takes the docs of variants and arguments as help")]
pub enum Command {
    /// How the server is
    Status,
    /// Shards, channels, connections and slow readers, renewed every second; q quits
    Top {
        /// Show it once and end, as when this is no terminal
        #[arg(long)]
        once: bool,
        /// Most channels and slow readers
        #[arg(long, default_value_t = 10)]
        limit: u32,
    },
    /// List users, or those whose name or id has TEXT in it
    Users {
        text: Option<String>,
        /// Also those who are away and remembered
        #[arg(long)]
        absent: bool,
        /// Only those who are muted everywhere
        #[arg(long)]
        muted: bool,
        /// Most users
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show one user: connections with their addresses, and where they are
    User { id: String },
    /// List channels, or those whose name has TEXT in it
    Channels {
        text: Option<String>,
        /// Only those that are not in the public list
        #[arg(long)]
        hidden: bool,
        /// Only those with people in them
        #[arg(long)]
        peopled: bool,
        /// Most channels
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show one channel: people, settings, bans, mutes
    Channel { name: String },
    /// Say something in a channel as the server
    Say {
        channel: String,
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Show a notification to everyone, a channel or a user
    #[command(group = clap::ArgGroup::new("to").required(true))]
    Notice {
        #[arg(long, group = "to")]
        all: bool,
        #[arg(long, group = "to", value_name = "NAME")]
        channel: Option<String>,
        #[arg(long, group = "to", value_name = "ID")]
        user: Option<String>,
        #[arg(long)]
        title: Option<String>,
        /// How long it stays, for example 30s [default: notice.default_ms]
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Option<u64>,
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Close a user's connections, or send the user out of one channel
    Kick {
        #[arg(value_name = "USER")]
        user: String,
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Close one connection, as `tutti ctl user` shows it: SHARD.NUMBER
    Disconnect {
        connection: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Ban a user id, an address or a network from the server, or a user from a channel
    Ban {
        /// User id, ADDRESS or ADDRESS/BITS; for IPv6 mostly the /64
        target: String,
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// For how long: 90s, 30m, 12h, 7d, 4w [default: for ever]
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Option<u64>,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Lift a ban
    Unban {
        target: String,
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
    },
    /// List the bans of the server, or of a channel
    Bans {
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
    },
    /// Refuse what a user says, everywhere or in one channel
    Mute {
        user: String,
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// For how long: 90s, 30m, 12h, 7d
        #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "10m")]
        time: u64,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a muted user be heard again
    Unmute {
        user: String,
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
    },
    /// Send everyone in a channel to the lobby and end it
    Close {
        channel: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Give a user another name
    Rename { user: String, name: String },
    /// Put a tag beside a user's name, or take it away
    Tag {
        user: String,
        /// Nothing takes the tag away
        text: Option<String>,
        #[arg(long, value_name = "#RRGGBB")]
        color: Option<String>,
    },
    /// Show or set the panic level: 0 normal, 1 limits new connections, 2 mutes guests, 3 lets nobody in
    Panic {
        #[arg(value_parser = clap::value_parser!(u8).range(0..=3))]
        level: Option<u8>,
    },
    /// Read the configuration anew; says what changed and what needs a restart
    Reload,
    /// Let nobody new in, tell people, wait until they are gone, then stop the server
    Drain {
        /// How long to wait at most
        #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "60s")]
        time: u64,
        /// What people are told
        text: Vec<String>,
    },
    /// Show or set what is logged, in the form of RUST_LOG, until the next start
    Log { filter: Option<String> },
    /// Show the audit log, newest first
    Audit {
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Only entries before this number
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
    },
}

/// Reads a time: a number with s, m, h, d or w; seconds without.
fn time(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        Some((at, 'w')) => (&text[..at], 604_800),
        _ => (text, 1),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| "not a time such as 90s, 30m, 12h, 7d or 4w".to_owned())
}

impl Command {
    /// Whether it was asked for once.
    pub(super) fn is_once(&self) -> bool {
        matches!(self, Command::Top { once: true, .. })
    }

    /// As it is asked.
    pub(super) fn request(&self) -> Do {
        match self.clone() {
            Command::Status => Do::Status {},
            Command::Top { limit, .. } => Do::Top { limit },
            Command::Users { text, absent, muted, limit } => {
                Do::Users { text, absent, muted, limit }
            }
            Command::User { id } => Do::User { id },
            Command::Channels { text, hidden, peopled, limit } => {
                Do::Channels { text, hidden, peopled, limit }
            }
            Command::Channel { name } => Do::Channel { name },
            Command::Say { channel, text } => Do::Say { channel, text: text.join(" ") },
            Command::Notice { all: _, channel, user, title, time, text } => Do::Notice {
                to: match (channel, user) {
                    (Some(channel), _) => NoticeTo::Channel(channel),
                    (None, Some(user)) => NoticeTo::User(user),
                    (None, None) => NoticeTo::All,
                },
                text: text.join(" "),
                title,
                seconds: time.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
            },
            Command::Kick { user, channel, reason } => Do::Kick { user, channel, reason },
            Command::Disconnect { connection, reason } => Do::Disconnect { connection, reason },
            Command::Ban { target, channel, time, reason } => {
                Do::Ban { target, channel, seconds: time, reason }
            }
            Command::Unban { target, channel } => Do::Unban { target, channel },
            Command::Bans { channel } => Do::Bans { channel },
            Command::Mute { user, channel, time, reason } => {
                Do::Mute { user, channel, seconds: time, reason }
            }
            Command::Unmute { user, channel } => Do::Unmute { user, channel },
            Command::Close { channel, reason } => Do::Close { channel, reason },
            Command::Rename { user, name } => Do::Rename { user, name },
            Command::Tag { user, text, color } => Do::Tag { user, text, color },
            Command::Panic { level } => Do::Panic { level },
            Command::Reload => Do::Reload {},
            Command::Drain { time, text } => {
                Do::Drain { seconds: time, text: (!text.is_empty()).then(|| text.join(" ")) }
            }
            Command::Log { filter } => Do::Log { filter },
            Command::Audit { limit, before } => Do::Audit { limit, before },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("30m", 1_800),
            ("12h", 43_200),
            ("7d", 604_800),
            ("1w", 604_800),
        ] {
            assert_eq!(time(text), Ok(seconds), "{text}");
        }
        for text in ["", "0", "m", "-1s", "1y", "99999999999999999999d", "99999999999999999d", "1é"]
        {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
