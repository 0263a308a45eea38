//! Debian's nginx and HAProxy with the files in `deploy/`, in which only ports, certificates and times are replaced.

use crate::{CLIENTS, Running, Scratch, can_run, deploy, swap};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tutti_tests::mpp::Client;
use tutti_tests::server::{Plan, PortLease, Server, repository, run};
use tutti_tests::ws::{Dial, WebSocket};
use tutti_tests::{eventually, http};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nginx,
    Haproxy,
}

/// A proxy in front of a server, and a way to it for each of [`CLIENTS`].
struct Proxy {
    ways: Vec<SocketAddr>,
    _bridges: Vec<Running>,
    _proxy: Running,
    _port: PortLease,
    _scratch: Scratch,
}

impl Proxy {
    /// `patience` stands in place of the timeout for WebSockets.
    #[track_caller]
    fn start(kind: Kind, server: &Server, patience: Option<&str>) -> Self {
        let scratch = Scratch::new("proxy");
        let port = PortLease::take();
        let listen = port.addr();
        let (certificate, key) = (scratch.at("fullchain.pem"), scratch.at("privkey.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=piano.example.org"])
            .args(["-out", &certificate, "-keyout", &key])
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("openssl runs").success(), "no certificate");
        let upstream = server.addr().to_string();
        let log = fs::File::create(scratch.at("log")).expect("a writable folder");
        let mut command = match kind {
            Kind::Nginx => {
                let text = deploy("nginx/tutti.conf");
                let text = swap(&text, 1, "server 127.0.0.1:8080;", &format!("server {upstream};"));
                let text = swap(&text, 1, "listen 443 ssl;", &format!("listen {listen} ssl;"));
                let text = swap(&text, 1, "/etc/ssl/tutti/fullchain.pem", &certificate);
                let text = swap(&text, 1, "/etc/ssl/tutti/privkey.pem", &key);
                let text = match patience {
                    Some(time) => swap(&text, 2, " 120s;", &format!(" {time};")),
                    None => text,
                };
                let folder = scratch.at("");
                let around = format!(
                    "daemon off; worker_processes 1; pid {folder}pid; error_log {folder}error info;\n\
                     events {{ worker_connections 256; }}\n\
                     http {{ access_log off; client_body_temp_path {folder}b; proxy_temp_path {folder}p;\n\
                     fastcgi_temp_path {folder}f; uwsgi_temp_path {folder}u; scgi_temp_path {folder}s;\n{text}}}\n"
                );
                fs::write(scratch.at("nginx.conf"), around).expect("a writable folder");
                let mut command = Command::new("/usr/sbin/nginx");
                command.args(["-c", &scratch.at("nginx.conf"), "-e", &scratch.at("error")]);
                command
            }
            Kind::Haproxy => {
                let pem = fs::read_to_string(&certificate).expect("made above")
                    + &fs::read_to_string(&key).expect("made above");
                fs::write(scratch.at("tutti.pem"), pem).expect("a writable folder");
                let text = deploy("haproxy/haproxy.cfg");
                let text = swap(&text, 1, "tutti 127.0.0.1:8080", &format!("tutti {upstream}"));
                let text = swap(&text, 1, "bind :443", &format!("bind {listen}"));
                let text = swap(&text, 1, "/etc/haproxy/tutti.pem", &scratch.at("tutti.pem"));
                let text = swap(&text, 2, "maxconn 20000", "maxconn 100");
                let text = match patience {
                    Some(time) => swap(&text, 1, "tunnel 120s", &format!("tunnel {time}")),
                    None => text,
                };
                fs::write(scratch.at("haproxy.cfg"), text).expect("a writable folder");
                let mut command = Command::new("/usr/sbin/haproxy");
                command.args(["-db", "-f", &scratch.at("haproxy.cfg")]);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        let proxy = Running::start(&mut command);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(listen).is_err() {
            let said = fs::read_to_string(scratch.at("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the proxy does not listen\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut bridges = Vec::new();
        let mut ways = Vec::new();
        for address in CLIENTS {
            let script = repository().join("tests/deploy/bridge.mjs");
            let mut command = Command::new("node");
            command.arg(script).args([&listen.port().to_string(), address]);
            let mut bridge = Running::start(command.stdout(Stdio::piped()));
            let mut line = String::new();
            let out = bridge.0.stdout.take().expect("it is piped");
            BufReader::new(out).read_line(&mut line).expect("it prints its port");
            let port: u16 = line.trim().parse().expect("a port");
            ways.push(SocketAddr::from(([127, 0, 0, 1], port)));
            bridges.push(bridge);
        }
        Proxy { ways, _bridges: bridges, _proxy: proxy, _port: port, _scratch: scratch }
    }

    fn socket(&self, client: usize, dial: &Dial) -> WebSocket {
        WebSocket::connect(self.ways[client], dial).unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    fn guest(&self, client: usize) -> Client {
        let mut client = Client::new(self.socket(client, &Dial::default()));
        client.hi();
        client
    }
}

fn needs(kind: Kind) -> bool {
    can_run(&[if kind == Kind::Nginx { "nginx" } else { "haproxy" }, "node", "openssl"])
}

/// People behind the proxy are who they are at their own address, whatever they claim, and meet in rooms.
fn everybody_is_who_they_are(kind: Kind) {
    if !needs(kind) {
        return;
    }
    let server = Plan::new(2).production().start();
    let proxy = Proxy::start(kind, &server, None);
    let (mut a, mut b) = (proxy.guest(0), proxy.guest(1));
    assert_eq!(a.id(), server.guest_from(CLIENTS[0]).id());
    assert_eq!(b.id(), server.guest_from(CLIENTS[1]).id());
    assert_ne!(a.id(), b.id());
    for header in ["X-Forwarded-For", "X-Real-IP", "Forwarded"] {
        let forged = Dial::default().header(header, CLIENTS[1]);
        let mut liar = Client::new(proxy.socket(0, &forged));
        liar.hi();
        assert_eq!(liar.id(), a.id(), "{header}");
    }
    a.join("Quiet corner");
    b.join("Quiet corner");
    a.say("through the proxy");
    assert_eq!(b.expect("a")["a"], "through the proxy");
    let page = http::get(proxy.ways[0], "/Quiet%20corner");
    assert_eq!(page.status, 200);
    assert!(page.text().to_lowercase().contains("<!doctype html>"));
}

/// Limits are those of the people's addresses, not of the proxy's.
fn limits_count_peoples_addresses(kind: Kind) {
    if !needs(kind) {
        return;
    }
    let server = Plan::new(2).production().set("limits.connections_per_address", 3).start();
    let proxy = Proxy::start(kind, &server, None);
    let _there: Vec<Client> = (0..3).map(|_| proxy.guest(0)).collect();
    let refused = WebSocket::connect(proxy.ways[0], &Dial::default()).expect_err("one too many");
    assert_eq!(refused.status, 429);
    proxy.guest(1).barrier();
}

/// The proxy's patience is what has to be longer than the time between two pings.
fn quiet_people_stay(kind: Kind) {
    if !needs(kind) {
        return;
    }
    let server = Plan::new(1).production().set("limits.ping_ms", 500).start();
    let proxy = Proxy::start(kind, &server, Some("2s"));
    let mut quiet = proxy.guest(0);
    quiet.watch(Duration::from_secs(5));
    assert!(!quiet.is_over(), "{}", quiet.account());
    quiet.barrier();
    // Without pings in time the same proxy cuts it off, so it is the pings that keep it.
    let server = Plan::new(1).production().set("limits.ping_ms", 60_000).start();
    let proxy = Proxy::start(kind, &server, Some("2s"));
    let mut quiet = proxy.guest(0);
    let start = Instant::now();
    eventually("the proxy loses patience", || {
        quiet.watch(Duration::from_millis(100));
        quiet.is_over().then_some(())
    });
    assert!(start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn nginx_everybody_is_who_they_are() {
    everybody_is_who_they_are(Kind::Nginx);
}

#[test]
fn haproxy_everybody_is_who_they_are() {
    everybody_is_who_they_are(Kind::Haproxy);
}

#[test]
fn nginx_limits_count_peoples_addresses() {
    limits_count_peoples_addresses(Kind::Nginx);
}

#[test]
fn haproxy_limits_count_peoples_addresses() {
    limits_count_peoples_addresses(Kind::Haproxy);
}

#[test]
fn nginx_quiet_people_stay() {
    quiet_people_stay(Kind::Nginx);
}

#[test]
fn haproxy_quiet_people_stay() {
    quiet_people_stay(Kind::Haproxy);
}

/// The timeouts as they are shipped fit the pings as they are shipped.
#[test]
fn shipped_timeouts_are_longer_than_the_servers() {
    let output = run(&["config", "--default"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let silence = printed.lines().find_map(|line| line.strip_prefix("silence_ms = "));
    let silence: u64 = silence.and_then(|ms| ms.parse().ok()).expect("a number");
    for (file, key) in [
        ("nginx/tutti.conf", "proxy_read_timeout "),
        ("nginx/tutti.conf", "proxy_send_timeout "),
        ("haproxy/haproxy.cfg", "timeout tunnel "),
    ] {
        let text = deploy(file);
        let value = text.lines().find_map(|line| line.trim().strip_prefix(key));
        let seconds = value.and_then(|v| v.trim_end_matches(';').strip_suffix('s')?.parse().ok());
        let seconds: u64 = seconds.unwrap_or_else(|| panic!("no {key} in {file}"));
        assert!(seconds * 1000 > silence, "{file}: {key}{seconds}s");
    }
}
