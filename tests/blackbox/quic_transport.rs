//! The QUIC door's socket and its certificate, as an operator sees them. What clients say through it has tests of its
//! own.

use crate::ROOMS;
use rustix::process::Signal;
use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use tutti_tests::server::{Plan, Server, run};

on_1_2_5_shards!(
    every_shard_answers_versions_that_nobody_speaks,
    the_made_certificate_stays,
    a_certificate_is_read_again_and_a_broken_one_changes_nothing,
);

fn open(plan: Plan) -> Server {
    plan.set("quic.listen", "\"127.0.0.1:0\"").start()
}

/// What the newest log line that begins with `words` goes on with.
fn after(server: &Server, words: &str) -> Option<String> {
    let log = server.log();
    let line = log.lines().rfind(|line| line.contains(words))?;
    Some(line.split_once(words)?.1.to_owned())
}

/// The address and the fingerprint that the start prints.
fn door(server: &Server) -> (SocketAddr, String) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let line = loop {
        match after(server, "QUIC on ") {
            Some(line) => break line,
            None => assert!(Instant::now() < deadline, "{}", server.log()),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (address, fingerprint) = line.split_once(", certificate SHA-256 ").expect("both");
    let fingerprint = fingerprint.trim().to_owned();
    let pairs: Vec<&str> = fingerprint.split(':').collect();
    assert!(pairs.len() == 32 && pairs.iter().all(|pair| pair.len() == 2), "{fingerprint}");
    (address.parse().expect("an address"), fingerprint)
}

/// Checklist 4. From many ports, so that each shard has its share.
fn every_shard_answers_versions_that_nobody_speaks(plan: Plan) {
    let server = open(plan);
    let (address, _) = door(&server);
    let mut first = vec![0xc0, 0x0f, 0xf0, 0, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 9];
    first.resize(1200, 0);
    for _ in 0..20 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send_to(&first, address).unwrap();
        let mut answer = [0; 1500];
        let (length, from) = socket.recv_from(&mut answer).expect("an answer");
        assert_eq!(from, address);
        assert_eq!(answer[1..5], [0; 4], "version negotiation");
        assert_eq!(answer[5..17], [2, 9, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8], "for this client");
        let versions: Vec<&[u8]> = answer[17..length].chunks(4).collect();
        assert!(versions.contains(&&[0, 0, 0, 1][..]), "{versions:?}");
    }
    // Noise gets none, and costs nobody anything.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in 0..1400 {
        socket.send_to(&vec![length as u8; length], address).unwrap();
    }
    server.join(ROOMS[0]).barrier();
}

fn the_made_certificate_stays(plan: Plan) {
    let mut server = open(plan);
    let (_, first) = door(&server);
    server.restart();
    assert_eq!(door(&server).1, first);
}

/// Checklist 107, as far as an operator sees it.
fn a_certificate_is_read_again_and_a_broken_one_changes_nothing(plan: Plan) {
    let server = open(plan);
    let (_, made) = door(&server);
    let mut a = server.join(ROOMS[0]);
    let file = find(server.dir(), "quic_certificate.pem").expect("it is kept");
    let whole = std::fs::read(&file).unwrap();
    let told = |words: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        server.signal(Signal::HUP);
        while after(&server, words).is_none() {
            assert!(Instant::now() < deadline, "{words}: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    std::fs::write(&file, "nonsense").unwrap();
    told("no usable certificate");
    std::fs::write(&file, whole).unwrap();
    told("configuration reloaded");
    assert_eq!(after(&server, " certificate SHA-256 ").unwrap().trim(), made);
    a.barrier();
}

fn find(dir: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}

/// Checklist 106.
#[test]
fn a_public_address_without_a_certificate_is_refused_at_the_start() {
    let output = run(&["--quic", "0.0.0.0:0", "--listen", "127.0.0.1:0", "--data", "memory"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("quic.certificate") && text.contains("self-signed"), "{text}");
}

#[test]
fn a_port_that_another_server_has_is_refused_at_the_start() {
    let server = open(Plan::new(2));
    let address = door(&server).0.to_string();
    let args =
        ["--quic", &address, "--listen", "127.0.0.1:0", "--admin", "off", "--data", "memory"];
    let output = run(&[&args[..], &["--tcp", "off"]].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(&address) && text.contains("quic.listen"), "{text}");
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let dir = std::env::temp_dir().join(format!("tutti-no-certificate-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (config, file) = (dir.join("t.toml"), dir.join("chain.pem"));
    let toml = format!(
        "listen = \"127.0.0.1:0\"\ndata = \"memory\"\nadmin.listen = \"off\"\n[quic]\nlisten = \"127.0.0.1:0\"\n\
         certificate = {file:?}\nkey = {file:?}\n"
    );
    std::fs::write(&config, toml).unwrap();
    for (content, words) in [(None, "cannot read"), (Some("nonsense"), "no usable certificate")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let output = run(&["--config", config.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0));
        assert!(text.contains(words) && text.contains("chain.pem"), "{text}");
        assert!(text.contains("quic.certificate"), "{text}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
