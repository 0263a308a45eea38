//! The command line.

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use tutti_chat::session::{Credentials, Target};
use tutti_chat::trust::{Fingerprint, Trust, authorities};

/// Port of the QUIC door where none is given.
const PORT: u16 = 4433;

/// Talk in the rooms of a Tutti server, over QUIC.
///
/// Without a command it opens an interactive client.
///
/// A server that makes its own certificate is known by its fingerprint from the first visit on; compare that with
/// the one that the server prints when it starts.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// The server: HOST, HOST:PORT, ADDRESS:PORT or [IPV6]:PORT.
    #[arg(long, short, env = "TUTTI_CHAT_SERVER", default_value = "127.0.0.1:4433", global = true)]
    pub(crate) server: String,
    /// Your name, where the server lets people pick one.
    #[arg(long, env = "TUTTI_CHAT_NAME", global = true)]
    name: Option<String>,
    /// Your token (a JWT).
    #[arg(
        long,
        env = "TUTTI_CHAT_TOKEN",
        hide_env_values = true,
        global = true,
        conflicts_with = "name"
    )]
    token: Option<String>,
    /// A file that holds your token; other users of this machine can see the arguments of a program.
    #[arg(long, value_name = "FILE", global = true, conflicts_with_all = ["name", "token"])]
    token_file: Option<PathBuf>,
    /// Trust servers whose certificates lead to an authority of this PEM file, and are for the server's name.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Trust exactly this certificate: its SHA-256, as the server prints it.
    #[arg(long, value_name = "HEX", global = true, conflicts_with = "ca")]
    fingerprint: Option<Fingerprint>,
    /// Trust anybody who answers. Others may read along and speak for you.
    #[arg(long, global = true, conflicts_with_all = ["ca", "fingerprint"])]
    insecure: bool,
    /// Where fingerprints of known servers are kept [default: ~/.config/tutti-chat/known_servers].
    #[arg(long, value_name = "FILE", global = true)]
    known: Option<PathBuf>,
    /// Wait for the handshake before logging in, also when the server is known already.
    #[arg(long, global = true)]
    no_early_data: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Do>,
}

/// What to do. ROOM is a name, with or without `#`; `id:NUMBER`; or `user:NUMBER` for the direct room with somebody.
#[derive(Debug, Subcommand)]
pub(crate) enum Do {
    /// Open the interactive client (the default).
    Open {
        /// Rooms to enter besides the lobby.
        rooms: Vec<String>,
    },
    /// Say something, and wait until the server has taken it.
    Send {
        /// Where.
        room: String,
        /// What; `-` says each line of the standard input.
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// The number of the message that it answers.
        #[arg(long, value_name = "MESSAGE")]
        reply_to: Option<u64>,
        /// An action, as `/me`.
        #[arg(long)]
        action: bool,
        /// Print the acknowledgement as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what is said, as it comes, until interrupted.
    Tail {
        /// Where.
        room: String,
        /// One JSON object a line, for everything that happens in the room.
        #[arg(long)]
        json: bool,
        /// How many earlier messages come first, at most those that a newcomer gets.
        #[arg(long, short = 'n', default_value_t = 10)]
        history: usize,
        /// End after this many new messages; 0 ends after the earlier ones.
        #[arg(long)]
        count: Option<usize>,
    },
    /// Send a file, and show it in the room.
    Upload {
        /// Where.
        room: String,
        /// Which.
        file: PathBuf,
        /// What the message says [default: the file's name].
        #[arg(long)]
        text: Option<String>,
    },
    /// Fetch a file of a room that you are in.
    Download {
        /// The room that it was shown in.
        room: String,
        /// Its address, or its number.
        address: String,
        /// The folder or the new file that it goes to.
        #[arg(long, short, default_value = ".")]
        output: PathBuf,
        /// Replace a file that is there already.
        #[arg(long)]
        force: bool,
    },
    /// List the rooms that everybody can see.
    Rooms {
        /// Only those whose name has this in it.
        filter: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// List the people in a room. You are in it meanwhile.
    Who {
        /// Where.
        room: String,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Splits `HOST:PORT`; the port may be left out, and an IPv6 address has brackets then.
fn host_and_port(server: &str) -> Result<(String, u16)> {
    if let Ok(address) = server.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    if let Ok(ip) = server.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return Ok((ip.to_string(), PORT));
    }
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().with_context(|| format!("`{port}` in --server is no port"))?;
            (host, port)
        }
        None => (server, PORT),
    };
    if host.is_empty() || host.contains(':') {
        bail!("--server {server} is not HOST, HOST:PORT or [IPV6]:PORT");
    }
    Ok((host.to_owned(), port))
}

impl Args {
    /// Finds the server and who one is. Unknown servers are accepted if `accept_new`.
    pub(crate) fn target(&self, accept_new: bool) -> Result<Target> {
        let (host, port) = host_and_port(&self.server)?;
        let found = (host.as_str(), port)
            .to_socket_addrs()
            .with_context(|| format!("cannot find the server {host} (--server)"))?;
        let addresses: Vec<SocketAddr> = found.collect();
        let trust = if self.insecure {
            Trust::Anything
        } else if let Some(fingerprint) = self.fingerprint {
            Trust::Fingerprint(fingerprint)
        } else if let Some(ca) = &self.ca {
            Trust::Authorities(authorities(ca).map_err(anyhow::Error::msg).context("--ca")?)
        } else {
            Trust::Known { file: self.known_servers()?, accept_new }
        };
        let known_as =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let wanted = ["chat", "presence", "typing", "hot", "receipts", "uploads"];
        Ok(Target {
            addresses,
            name: host,
            known_as,
            trust,
            credentials: self.credentials()?,
            capabilities: wanted.map(str::to_owned).to_vec(),
            early_data: !self.no_early_data,
        })
    }

    fn known_servers(&self) -> Result<PathBuf> {
        if let Some(file) = &self.known {
            return Ok(file.clone());
        }
        let folder = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
        let config = config
            .context("there is no home folder to remember servers in; name a file with --known")?;
        Ok(config.join("tutti-chat/known_servers"))
    }

    fn credentials(&self) -> Result<Credentials> {
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file)
                .with_context(|| format!("--token-file {}", file.display()))?;
            return Ok(Credentials::Token(token.trim().to_owned()));
        }
        if let Some(token) = &self.token {
            return Ok(Credentials::Token(token.trim().to_owned()));
        }
        let name = self.name.clone().or_else(|| std::env::var("USER").ok());
        let name = name.filter(|name| !name.trim().is_empty());
        Ok(Credentials::Name(name.unwrap_or_else(|| {
            // Names of live connections are unique.
            format!("guest-{:04x}", getrandom::u32().unwrap_or_default() & 0xFFFF)
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_server_is_named_in_many_ways() {
        for (text, host, port) in [
            ("example.org", "example.org", 4433),
            ("example.org:9", "example.org", 9),
            ("127.0.0.1", "127.0.0.1", 4433),
            ("127.0.0.1:9", "127.0.0.1", 9),
            ("::1", "::1", 4433),
            ("[::1]", "::1", 4433),
            ("[::1]:9", "::1", 9),
        ] {
            assert_eq!(host_and_port(text).unwrap(), (host.to_owned(), port), "{text}");
        }
        for bad in ["", ":9", "a:b", "a:99999", "a:b:9"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
