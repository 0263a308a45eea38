//! The built server as a child process: its own port, data folder and configuration for every test.
//!
//! A [`Plan`] says how to start it, a [`Server`] is the running process. Dropping the server sends SIGTERM and
//! checks that it exits with 0 and that nothing panicked inside; a failing test prints what the server logged.

use crate::mpp::Client;
use crate::ws::{Dial, Refused, WebSocket};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a start or a stop may take before the test fails.
const LIFE_STEP: Duration = Duration::from_secs(30);

/// The server binary: `TUTTI_BIN`, else the one of this build, built once per test process.
///
/// # Panics
/// When the build fails.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("TUTTI_BIN") {
            return PathBuf::from(path);
        }
        // Test executables live in `<target>/<profile>/deps`, the server in `<target>/<profile>`.
        let exe = std::env::current_exe().expect("a process knows its executable");
        let profile_dir =
            exe.ancestors().nth(2).expect("test executables are two folders deep").to_owned();
        let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let target_dir = profile_dir.parent().expect("a profile folder is in a target folder");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "-p", "tutti", "--bin", "tutti", "--profile", profile])
            .arg("--target-dir")
            .arg(target_dir)
            .current_dir(repository())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the server does not build");
        profile_dir.join("tutti")
    })
}

/// The folder of the workspace.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

/// Runs `tutti` with these arguments to its end, with no settings from this process's environment.
///
/// # Panics
/// When it does not end within the time that a start may take.
#[track_caller]
pub fn run(args: &[&str]) -> Output {
    let mut command = bare_command();
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the server binary starts");
    if wait(&mut child, LIFE_STEP).is_none() {
        let _ = child.kill();
        panic!("`tutti {}` did not end; {:?}", args.join(" "), child.wait_with_output());
    }
    child.wait_with_output().expect("an ended child has output")
}

fn bare_command() -> Command {
    let mut command = Command::new(binary());
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        let known = ["SALT1", "SALT2", "NODE_ENV", "WS_PORT", "RUST_LOG"];
        if name.starts_with("TUTTI_") || known.contains(&name.as_ref()) {
            command.env_remove(&key);
        }
    }
    command
}

/// A TCP port of 127.0.0.1 that no other test uses for as long as this lives.
///
/// Ports come from below the range for outgoing connections, so that no client socket can sit on one. The
/// lease is an abstract Unix socket: servers listen with `SO_REUSEPORT`, so two of them on one port would both
/// start and share its clients.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lease: UnixListener,
}

impl PortLease {
    /// Takes a free port.
    ///
    /// # Panics
    /// When none of the whole range is free.
    pub fn take() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        const FIRST: u32 = 10_000;
        const COUNT: u32 = 20_000;
        let start = std::process::id().wrapping_mul(997);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = (FIRST + start.wrapping_add(step) % COUNT) as u16;
            let name = UnixAddr::from_abstract_name(format!("tutti-test-port-{port}"))
                .expect("a short name is a valid abstract address");
            let Ok(lease) = UnixListener::bind_addr(&name) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self { port, _lease: lease };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// The address 127.0.0.1 with this port.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

/// How to start a server. Methods add to it; [`Plan::start`] runs it.
#[derive(Debug, Clone)]
pub struct Plan {
    shards: u32,
    toml: BTreeMap<String, String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    admin: bool,
    line: bool,
    production: bool,
    activated: bool,
    memory: bool,
}

impl Plan {
    /// Development identity, default limits, with `shards` shards.
    ///
    /// The one setting that differs from the defaults is the rate of `t`: tests use it as a barrier.
    pub fn new(shards: u32) -> Self {
        let plan = Self {
            shards,
            toml: BTreeMap::new(),
            args: Vec::new(),
            env: Vec::new(),
            admin: false,
            line: false,
            production: false,
            activated: false,
            memory: false,
        };
        plan.set("rate.time", "{ count = 100000, per_ms = 1000 }")
    }

    /// How many shards the server will have.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Sets a key of the configuration file to a TOML value.
    pub fn set(mut self, key: &str, toml: impl ToString) -> Self {
        self.toml.insert(key.to_owned(), toml.to_string());
        self
    }

    /// Leaves a key that this plan has set to the server's default.
    pub fn unset(mut self, key: &str) -> Self {
        self.toml.remove(key);
        self
    }

    /// Adds an argument to the command line.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable to the server's environment.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Identity from the client address, with the salts of the protocol page's test vectors; 127.0.0.1 is a
    /// trusted proxy, so that [`Server::dial_from`] can be anybody.
    pub fn production(self) -> Self {
        self.production_without_salts().env("SALT1", "alpha").env("SALT2", "beta")
    }

    /// Like [`Plan::production`], with the secret that the server makes for itself.
    pub fn production_without_salts(mut self) -> Self {
        self.production = true;
        self.behind_proxy()
    }

    /// Trusts `X-Forwarded-For` from 127.0.0.1.
    pub fn behind_proxy(self) -> Self {
        self.set("trusted_proxies", "[\"127.0.0.1\"]")
    }

    /// Opens the admin listener; see [`Server::admin`].
    pub fn admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// Opens the door of line chat; see [`Server::line_addr`].
    pub fn line(mut self) -> Self {
        self.line = true;
        self
    }

    /// Hands the server a listener that the test has opened, as a service manager does.
    pub fn activated(mut self) -> Self {
        self.activated = true;
        self
    }

    /// Keeps nothing.
    pub fn memory(mut self) -> Self {
        self.memory = true;
        self
    }

    /// Switches off rates, quotas, capacities and connection counts.
    pub fn unlimited(self) -> Self {
        self.arg("--limits").arg("off")
    }

    /// The classic rule of a dropped crown when its holder leaves.
    pub fn crown_drops(self) -> Self {
        self.set("crown.on_leave", "\"drop\"")
    }

    /// Starts the server and waits until it accepts connections.
    ///
    /// # Panics
    /// When it ends or does not accept in time, with what it logged.
    #[track_caller]
    pub fn start(self) -> Server {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tutti-test-{}-{n}", std::process::id()));
        std::fs::create_dir_all(dir.join("data")).expect("the temporary folder is writable");
        let port = PortLease::take();
        let admin = self.admin.then(PortLease::take);
        let line = self.line.then(PortLease::take);
        let listener = self
            .activated
            .then(|| TcpListener::bind(port.addr()).expect("the port is leased, so it is free"));
        let mut server =
            Server { plan: self, dir, port, admin, line, listener, child: None, judged: true };
        server.launch();
        server
    }
}

/// A running server. Dropping it stops it and fails the test when it did not stop well.
#[derive(Debug)]
pub struct Server {
    plan: Plan,
    dir: PathBuf,
    port: PortLease,
    admin: Option<PortLease>,
    line: Option<PortLease>,
    /// What an activated server is handed, for as long as the test keeps it.
    listener: Option<TcpListener>,
    child: Option<Child>,
    judged: bool,
}

impl Server {
    fn launch(&mut self) {
        let config = self.dir.join("tutti.toml");
        let toml: String = self.plan.toml.iter().map(|(k, v)| format!("{k} = {v}\n")).collect();
        std::fs::write(&config, toml).expect("the temporary folder is writable");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the temporary folder is writable");
        let mut command = bare_command();
        let stdin = match &self.listener {
            Some(listener) => {
                // The shell is given the listener as its input, moves it to descriptor 3, and becomes the server, so
                // that its own process id is the server's.
                let program = command.get_program().to_owned();
                let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 0</dev/null";
                let mut shell = Command::new("sh");
                shell.args(["-c", script, "sh"]).arg(program);
                for (key, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
                    shell.env_remove(key);
                }
                command = shell;
                Stdio::from(OwnedFd::from(listener.try_clone().expect("a socket can be doubled")))
            }
            None => Stdio::null(),
        };
        command
            .arg("serve")
            .args(["--listen", &self.port.addr().to_string()])
            .args(["--shards", &self.plan.shards.to_string()])
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(if self.plan.memory { "memory".into() } else { self.dir.join("data") })
            .args(["--mode", if self.plan.production { "production" } else { "development" }]);
        match &self.admin {
            Some(lease) => command.args(["--admin", &lease.addr().to_string()]),
            None => command.args(["--admin", "off"]),
        };
        match &self.line {
            Some(lease) => command.args(["--tcp", &lease.addr().to_string()]),
            None => command.args(["--tcp", "off"]),
        };
        if !self.plan.toml.contains_key("quic.listen") {
            command.args(["--quic", "off"]);
        }
        command
            .args(&self.plan.args)
            .envs(self.plan.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.dir)
            .stdin(stdin)
            .stdout(log.try_clone().expect("a log handle can be doubled"))
            .stderr(log);
        // SAFETY: the closure runs between fork and exec and makes a single async-signal-safe system call;
        // it touches no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                // A test process that is killed must not leave its servers behind.
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                Ok(())
            });
        }
        self.child = Some(command.spawn().expect("the server binary starts"));
        let deadline = Instant::now() + LIFE_STEP;
        loop {
            let child = self.child.as_mut().expect("just started");
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                self.child = None;
                panic!("the server ended with {status} at start\n{}", self.log());
            }
            let mut addresses =
                std::iter::once(self.addr()).chain(self.line.as_ref().map(PortLease::addr));
            if addresses.all(|addr| TcpStream::connect(addr).is_ok()) {
                return;
            }
            assert!(Instant::now() < deadline, "the server does not accept\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// What the server has written to its standard output and error so far.
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// What the server has in memory, KiB.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number.and_then(|number| number.trim().parse().ok()).expect("a process has a size")
    }

    /// Where people chat in lines.
    ///
    /// # Panics
    /// When the plan has no such door.
    pub fn line_addr(&self) -> SocketAddr {
        self.line.as_ref().expect("the plan has a door for lines").addr()
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Where the admin listener is.
    ///
    /// # Panics
    /// When the plan did not ask for [`Plan::admin`].
    pub fn admin(&self) -> SocketAddr {
        self.admin.as_ref().expect("the plan opens the admin listener").addr()
    }

    /// The temporary folder of this server: `data/`, `tutti.toml`, `server.log`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the server runs"))
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the server runs");
    }

    /// Waits for the process to end by itself; `None` when it still runs after `within`.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let status = wait(self.child.as_mut()?, within)?;
        self.child = None;
        Some(status)
    }

    /// Stops the server with SIGTERM and expects exit code 0.
    ///
    /// # Panics
    /// When it exits otherwise, not at all, or has logged a panic.
    #[track_caller]
    pub fn stop(&mut self) {
        if self.child.is_none() {
            return;
        }
        self.signal(Signal::TERM);
        match self.wait(LIFE_STEP) {
            Some(status) => {
                assert_eq!(status.code(), Some(0), "{status}\n{}", self.log());
                assert!(!self.log().contains("panicked at"), "{}", self.log());
            }
            None => panic!("the server does not stop\n{}", self.log()),
        }
    }

    /// Starts the server again on the same port with the same data folder.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// Kills the server, which is told nothing, and starts it again on the same port with the same data folder.
    #[track_caller]
    pub fn crash(&mut self) {
        self.signal(Signal::KILL);
        self.wait(LIFE_STEP).expect("what is killed ends");
        self.launch();
    }

    /// Does not judge the exit of this server when it is dropped (the test kills it).
    pub fn do_not_judge(&mut self) {
        self.judged = false;
    }

    /// An upgraded connection on `/` that nothing was read from.
    #[track_caller]
    pub fn socket(&self) -> WebSocket {
        self.socket_with(&Dial::default()).unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// An upgraded connection, dialled as `dial` says.
    ///
    /// # Errors
    /// [`Refused`] when the server does not upgrade.
    pub fn socket_with(&self, dial: &Dial) -> Result<WebSocket, Refused> {
        WebSocket::connect(self.addr(), dial)
    }

    /// A client that has read its `b` and said nothing yet.
    #[track_caller]
    pub fn open(&self) -> Client {
        Client::new(self.socket())
    }

    /// A dial whose client address is `address`, for servers behind a trusted proxy.
    pub fn dial_from(&self, address: &str) -> Dial {
        Dial::default().header("X-Forwarded-For", address)
    }

    /// Like [`Server::open`], from that address.
    #[track_caller]
    pub fn open_from(&self, address: &str) -> Client {
        let socket = self.socket_with(&self.dial_from(address));
        Client::new(socket.unwrap_or_else(|refused| panic!("{refused:?}")))
    }

    /// A client that has said `hi`.
    #[track_caller]
    pub fn guest(&self) -> Client {
        let mut client = self.open();
        client.hi();
        client
    }

    /// Like [`Server::guest`], from that address.
    #[track_caller]
    pub fn guest_from(&self, address: &str) -> Client {
        let mut client = self.open_from(address);
        client.hi();
        client
    }

    /// A client that has said `hi` and is in `room`, with an empty inbox.
    #[track_caller]
    pub fn join(&self, room: &str) -> Client {
        let mut client = self.guest();
        client.join(room);
        client
    }

    /// Like [`Server::join`], from that address.
    #[track_caller]
    pub fn join_from(&self, address: &str, room: &str) -> Client {
        let mut client = self.guest_from(address);
        client.join(room);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        if failing || !self.judged {
            if failing {
                let log = self.log();
                let tail = log.len().saturating_sub(8 * 1024);
                let tail = (tail..log.len()).find(|i| log.is_char_boundary(*i)).unwrap_or(0);
                eprintln!("--- server log ({:?})\n{}---", self.plan, &log[tail..]);
            }
            if let Some(child) = &mut self.child {
                let _ = child.kill();
                let _ = child.wait();
            }
        } else {
            self.stop();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn wait(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_name_one_port_twice() {
        let leases: Vec<_> = (0..50).map(|_| PortLease::take()).collect();
        let mut ports: Vec<_> = leases.iter().map(|lease| lease.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), leases.len());
    }
}
