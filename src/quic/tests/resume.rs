//! Clients that come back: resumption, early data, and what somebody who recorded it can do with it.

use super::world::{Packet, SERVER, World, settings, shared};
use crate::config::Data;
use crate::quic::{Lost, Settings, Source};
use quinn_proto::Dir;
use std::{net::SocketAddr, sync::Arc};

/// A client that has been there, and its way to come back.
fn visited(world: &mut World) -> Arc<rustls::ClientConfig> {
    let tls = Arc::new(world.client_tls(&[b"garou/1"]));
    let config = world.client_config(tls.clone());
    let client = world.connect_with("203.0.113.1:1000", config);
    world.run_until(|world| world.clients[client].connected);
    world.hear_echo(client, b"first visit");
    world.run_for(1_000_000);
    tls
}

/// Checklist 101 and 105, as far as the transport goes: whichever shard it comes back to.
#[test]
fn who_comes_back_speaks_at_once_and_is_heard_early() {
    for port in 2000..2008 {
        let mut world = World::new(30, 4);
        let tls = visited(&mut world);
        let config = world.client_config(tls);
        let client = world.connect_with(&format!("203.0.113.1:{port}"), config);
        assert!(world.clients[client].conn.has_0rtt());
        let stream = world.say(client, Dir::Bi, b"early");
        // One way is 5 ms: the answer to what was said first is there after one round trip.
        world.run_for(11_000);
        assert_eq!(world.clients[client].received[&stream], b"early");
        world.run_until(|world| world.clients[client].connected);
        assert!(world.clients[client].conn.accepted_0rtt());
        world.hear_echo(client, b"later");
        let at = world.session_at(world.clients[client].address);
        assert_eq!(world.echo(at).early, b"early");
        assert_eq!(world.echo(at).read, b"later");
    }
}

/// Checklist 103, as far as the transport goes: what is replayed stays early for ever, and is forgotten.
#[test]
fn a_recorded_first_flight_never_becomes_a_connection() {
    let mut world = World::new(31, 2);
    let tls = visited(&mut world);
    let config = world.client_config(tls);
    let client = world.connect_with("203.0.113.1:2000", config);
    world.say(client, Dir::Bi, b"do it once");
    world.run_until(|world| world.clients[client].connected);
    let flight: Vec<_> = world.clients[client].sent.iter().take(2).cloned().collect();
    let thief: SocketAddr = "203.0.113.66:6".parse().unwrap();
    // The client's first ids end with its handshake; while they live, the same bytes are the same connection's.
    world.run_for(20_000_000);
    for bytes in flight {
        world.send(Packet { from: thief, to: SERVER, bytes });
    }
    world.run_for(5_000_000);
    let copies: Vec<_> = world
        .sessions
        .iter()
        .flatten()
        .filter(|(_, echo)| {
            echo.events.first() == Some(&crate::quic::Event::Arrived { address: thief })
        })
        .map(|(_, echo)| echo)
        .collect();
    assert!(copies.len() <= 1);
    for copy in copies {
        assert!(!copy.is_connected());
        assert_eq!(copy.early, b"", "a session is resumed once, so the copy cannot even be read");
        assert_eq!(copy.read, b"");
    }
    world.run_for(10_000_000);
    assert_eq!(world.count(|counts| counts.handshakes_now), 0);
    let at = world.session_at(world.clients[client].address);
    assert_eq!(world.echo(at).early, b"do it once");
}

/// The copy overtakes the original: then it is the copy that is read early, and nothing follows from it.
#[test]
fn a_copy_that_arrives_first_is_read_early_and_goes_no_further() {
    let mut world = World::new(32, 1);
    let tls = visited(&mut world);
    let config = world.client_config(tls);
    let client = world.connect_with("203.0.113.1:2000", config);
    world.say(client, Dir::Uni, b"do it once");
    world.fate.lose = 1000;
    world.run_for(1_000);
    world.fate.lose = 0;
    let thief: SocketAddr = "203.0.113.66:6".parse().unwrap();
    let flight: Vec<_> = world.clients[client].sent.clone();
    assert!(!flight.is_empty());
    // The original stays away.
    world.clients[client].address = "203.0.113.1:9".parse().unwrap();
    let conn_sent = world.clients.remove(client);
    drop(conn_sent);
    for bytes in flight {
        world.send(Packet { from: thief, to: SERVER, bytes });
    }
    world.run_for(9_000_000);
    let at = world.session_at(thief);
    assert_eq!(world.echo(at).early, b"do it once");
    assert!(!world.echo(at).is_connected());
    world.run_for(2_000_000);
    assert_eq!(world.echo(at).lost(), Some(Lost::Silence), "the handshake has its time");
    assert_eq!(world.echo(at).read, b"");
}

/// Checklist 104.
#[test]
fn a_server_that_wants_no_early_data_gets_none() {
    let mut world = World::with(33, 1, shared(Settings { early_data: false, ..settings() }));
    let tls = visited(&mut world);
    let config = world.client_config(tls);
    let client = world.connect_with("203.0.113.1:2000", config);
    assert!(!world.clients[client].conn.has_0rtt());
    world.run_until(|world| world.clients[client].connected);
    world.hear_echo(client, b"no hurry");
}

#[test]
fn datagrams_that_come_early_are_dropped() {
    let mut world = World::new(34, 1);
    let tls = visited(&mut world);
    let config = world.client_config(tls);
    let client = world.connect_with("203.0.113.1:2000", config);
    world.clients[client].conn.datagrams().send(b"early"[..].into(), true).unwrap();
    world.run_until(|world| world.clients[client].connected);
    world.run_for(100_000);
    let at = world.session_at(world.clients[client].address);
    assert!(world.echo(at).datagrams.is_empty());
    world.clients[client].conn.datagrams().send(b"later"[..].into(), true).unwrap();
    world.run_until(|world| !world.clients[client].datagrams.is_empty());
    assert_eq!(world.echo(at).datagrams, [b"later"]);
}

/// Checklist 107: who is there stays, who comes is shown the new one, and a broken file changes nothing.
#[test]
fn a_certificate_is_replaced_under_way() {
    let dir = std::env::temp_dir().join(format!("tutti-quic-{:x}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let write = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    };
    write();
    let source = Source::Files { certificate: certificate.clone(), key: key.clone() };
    let mut world = World::with(35, 2, shared(Settings { source, ..settings() }));
    let first = world.shared.certificates().fingerprint();
    let client = world.connected("203.0.113.1:1000");
    std::fs::write(&key, "nonsense").unwrap();
    let error = world.shared.certificates().reload().unwrap_err().to_string();
    assert!(error.contains("quic.key") && error.contains("key.pem"), "{error}");
    assert_eq!(world.shared.certificates().fingerprint(), first);
    world.connected("203.0.113.1:1001");
    write();
    world.shared.certificates().reload().unwrap();
    assert_ne!(world.shared.certificates().fingerprint(), first);
    world.hear_echo(client, b"still here");
    // It trusts nothing but the new one.
    world.connected("203.0.113.1:1002");
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(world.shared.certificates().reload().is_err());
    world.connected("203.0.113.1:1003");
}

#[test]
fn secrets_and_a_made_certificate_are_kept() {
    let dir = std::env::temp_dir().join(format!("tutti-quic-kept-{:x}", std::process::id()));
    let data = Data::Dir(dir.clone());
    let open = || {
        let settings = Settings { source: Source::Made(data.clone()), ..settings() };
        crate::quic::Shared::open(settings, &data, super::world::admission("")).unwrap()
    };
    let first = open();
    let mut world = World::with(36, 2, first.clone());
    let client = world.connected("203.0.113.1:1000");
    world.hear_echo(client, b"hello");
    // Another process, with what the folder holds.
    world.shared = open();
    assert_eq!(world.shared.certificates().fingerprint(), first.certificates().fingerprint());
    world.start_server(2);
    world.clients[client].conn.ping();
    world.run_until(|world| world.clients[client].lost.is_some());
    assert_eq!(world.clients[client].lost, Some(quinn_proto::ConnectionError::Reset));
    std::fs::remove_dir_all(&dir).unwrap();
}
