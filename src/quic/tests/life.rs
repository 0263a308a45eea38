//! The life of a connection when the network is good.

use super::world::{SERVER, World, admission, settings, shared};
use crate::{
    config::Data,
    quic::{Event, Lost, Shared, StreamId},
};
use quinn_proto::{ConnectionError, Dir, TransportErrorCode};
use std::sync::Arc;

/// Checklist 1 and 2.
#[test]
fn both_names_of_the_protocol_are_taken() {
    for protocol in [&b"garou/1"[..], b"chat"] {
        let mut world = World::new(1, 1);
        let tls = Arc::new(world.client_tls(&[b"h3", protocol]));
        let config = world.client_config(tls);
        let client = world.connect_with("203.0.113.1:1000", config);
        world.run_until(|world| world.clients[client].connected);
        world.hear_echo(client, b"hello");
        let data = world.clients[client].conn.crypto_session().handshake_data().unwrap();
        let data: Box<quinn_proto::crypto::rustls::HandshakeData> = data.downcast().unwrap();
        assert_eq!(data.protocol.as_deref(), Some(protocol));
    }
}

/// Checklist 3: the alert `no_application_protocol` is 120, and QUIC adds it to 0x100.
#[test]
fn another_protocol_is_refused_with_0x178() {
    let mut world = World::new(2, 1);
    let tls = Arc::new(world.client_tls(&[b"h3"]));
    let config = world.client_config(tls);
    let client = world.connect_with("203.0.113.1:1000", config);
    world.run_until(|world| world.clients[client].lost.is_some());
    let Some(ConnectionError::ConnectionClosed(close)) = &world.clients[client].lost else {
        panic!("{:?}", world.clients[client].lost);
    };
    assert_eq!(u64::from(close.error_code), 0x178);
    assert_eq!(world.count(|counts| counts.handshakes_failed), 1);
    world.run_for(5_000_000);
    assert_eq!(world.count(|counts| counts.connections + counts.handshakes_now), 0);
}

/// Checklist 4.
#[test]
fn a_version_that_nobody_speaks_is_answered_with_those_that_we_do() {
    let mut world = World::new(3, 1);
    let from = "203.0.113.1:1000".parse().unwrap();
    let mut bytes = vec![0xc0, 0xff, 0, 0, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 9];
    bytes.resize(1200, 0);
    world.send(super::world::Packet { from, to: SERVER, bytes });
    world.run_for(100_000);
    let [answer] = &world.strays[..] else { panic!("{} answers", world.strays.len()) };
    assert_eq!(answer.to, from);
    let (head, versions) = answer.bytes.split_at(1 + 4 + 1 + 2 + 1 + 8);
    assert!(head[0] & 0x80 != 0);
    assert_eq!(head[1..], [0, 0, 0, 0, 2, 9, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(versions.chunks(4).any(|version| version == [0, 0, 0, 1]));
    assert!(!versions.chunks(4).any(|version| version[0] == 0xff), "no drafts");
}

#[test]
fn a_connection_says_what_happens_to_it_in_order() {
    let mut world = World::new(4, 1);
    let client = world.connected("203.0.113.1:1000");
    world.hear_echo(client, &[7; 100_000]);
    let address = world.clients[client].address;
    let at = world.session_at(address);
    let now = world.now_us;
    let conn = &mut world.clients[client].conn;
    conn.close(quinn_now(now), 5u32.into(), b"bye"[..].into());
    world.run_until(|world| world.echo(at).lost().is_some());
    let events = &world.echo(at).events;
    assert_eq!(events[0], Event::Arrived { address });
    assert_eq!(events[1], Event::Connected);
    let stream = StreamId(0);
    let place = |event: &Event| events.iter().position(|seen| seen == event);
    assert!(place(&Event::Opened(stream)) < place(&Event::Readable(stream)));
    assert!(place(&Event::Delivered(stream)).is_some());
    assert_eq!(events.last(), Some(&Event::Lost(Lost::ByPeer(5))));
    assert!(world.with_link(at, |_| ()).is_none(), "what is lost has no link");
    world.run_for(5_000_000);
    assert_eq!(world.count(|counts| counts.connections), 0);
}

/// The instants of clients have nothing to do with ours; closing does not look at them.
fn quinn_now(us: u64) -> std::time::Instant {
    std::time::Instant::now() + std::time::Duration::from_micros(us)
}

#[test]
fn streams_to_the_client_arrive_with_their_end() {
    let mut world = World::new(5, 2);
    let client = world.connected("203.0.113.1:1000");
    let at = world.session_at(world.clients[client].address);
    let streams = world.with_link(at, |link| {
        [b"one", b"two"].map(|text| {
            let stream = link.open_one_way().unwrap();
            link.set_priority(stream, 200);
            assert_eq!(link.write(stream, text), Ok(3));
            link.finish(stream);
            assert!(link.write(stream, text).is_err(), "nothing follows the end");
            stream.0
        })
    });
    let streams = streams.unwrap();
    assert_eq!(streams, [3, 7]);
    world.run_until(|world| world.clients[client].finished.len() == 2);
    assert_eq!(world.clients[client].received[&3], b"one");
    assert_eq!(world.clients[client].received[&7], b"two");
}

#[test]
fn datagrams_go_both_ways() {
    let mut world = World::new(6, 1);
    let client = world.connected("203.0.113.1:1000");
    let conn = &mut world.clients[client].conn;
    conn.datagrams().send(b"typing"[..].into(), true).unwrap();
    world.run_until(|world| !world.clients[client].datagrams.is_empty());
    assert_eq!(world.clients[client].datagrams, [b"typing"]);
    let at = world.session_at(world.clients[client].address);
    let max = world.with_link(at, |link| link.datagram_bytes_max()).unwrap().unwrap();
    assert!((1100..1500).contains(&max), "{max}");
    let too_long = vec![0; max + 1];
    assert_eq!(world.with_link(at, |link| link.send_datagram(&too_long)), Some(false));
}

#[test]
fn what_is_not_read_is_held_back_at_the_client() {
    let mut world = World::new(7, 1);
    let client = world.connected("203.0.113.1:1000");
    let at = world.session_at(world.clients[client].address);
    world.sessions[at.0].get_mut(&at.1).unwrap().is_deaf = true;
    let conn = &mut world.clients[client].conn;
    let stream = conn.streams().open(Dir::Uni).unwrap();
    let taken = conn.send_stream(stream).write(&vec![1; 4 << 20]).unwrap();
    assert_eq!(taken, 256 << 10, "a stream's window");
    world.run_for(1_000_000);
    let mut bytes = Vec::new();
    let number = StreamId(quinn_proto::VarInt::from(stream).into_inner());
    world.with_link(at, |link| link.read(number, usize::MAX, &mut bytes)).unwrap();
    assert_eq!(bytes.len(), 256 << 10);
    world.run_for(1_000_000);
    let conn = &mut world.clients[client].conn;
    assert_eq!(conn.send_stream(stream).write(&vec![1; 4 << 20]), Ok(256 << 10));
}

/// Checklist 96, as far as the transport goes.
#[test]
fn a_last_word_arrives_before_the_end() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1);
        let client = world.connected("203.0.113.1:1000");
        let at = world.session_at(world.clients[client].address);
        world.hear_echo(client, b"hello");
        world.fate.lose = 200;
        let stream = world.with_link(at, |link| {
            let stream = link.open_one_way().unwrap();
            assert_eq!(link.write(stream, b"goodbye"), Ok(7));
            link.close_after(stream, 0x0a);
            stream.0
        });
        let stream = stream.unwrap();
        world.run_until(|world| world.echo(at).lost().is_some());
        assert_eq!(world.echo(at).lost(), Some(Lost::ByUs));
        assert_eq!(world.clients[client].received[&stream], b"goodbye", "seed {seed}");
        world.fate.lose = 0;
        let conn = &mut world.clients[client].conn;
        conn.ping();
        world.run_until(|world| world.clients[client].lost.is_some());
        let Some(ConnectionError::ApplicationClosed(close)) = &world.clients[client].lost else {
            panic!("seed {seed}: {:?}", world.clients[client].lost);
        };
        assert_eq!(u64::from(close.error_code), 0x0a);
    }
}

#[test]
fn a_last_word_waits_half_a_second_at_most() {
    let mut world = World::new(9, 1);
    let client = world.connected("203.0.113.1:1000");
    let at = world.session_at(world.clients[client].address);
    world.run_for(1_000_000);
    world.fate.lose = 1000;
    world.with_link(at, |link| {
        let stream = link.open_one_way().unwrap();
        assert_eq!(link.write(stream, b"goodbye"), Ok(7));
        link.close_after(stream, 1);
    });
    world.run_for(499_000);
    assert_eq!(world.echo(at).lost(), None);
    world.run_for(2_000);
    assert_eq!(world.echo(at).lost(), Some(Lost::ByUs));
}

#[test]
fn a_client_that_vanishes_is_missed_after_the_idle_time() {
    let mut world = World::new(10, 1);
    let client = world.connected("203.0.113.1:1000");
    let at = world.session_at(world.clients[client].address);
    world.run_for(1_000_000);
    let heard = world.with_link(at, |link| link.heard_us()).unwrap();
    assert!(heard <= world.now_us - 500_000);
    world.fate.lose = 1000;
    world.run_for(290_000_000);
    assert_eq!(world.echo(at).lost(), None);
    world.run_for(20_000_000);
    assert_eq!(world.echo(at).lost(), Some(Lost::Silence));
    assert_eq!(world.count(|counts| counts.connections), 0);
}

#[test]
fn keys_can_change_at_any_time() {
    let mut world = World::new(11, 1);
    let client = world.connected("203.0.113.1:1000");
    for round in 0..5u8 {
        world.hear_echo(client, &[round; 20_000]);
        world.clients[client].conn.force_key_update();
        world.hear_echo(client, &[round; 20_000]);
        world.run_for(2_000_000);
    }
    assert_eq!(world.clients[client].lost, None);
}

/// Checklist 100, as far as the transport goes.
#[test]
fn the_last_that_an_address_may_have_is_the_last() {
    let limits = "limits.connections = 4\nlimits.connections_per_address = 2";
    let shared = Shared::open(settings(), &Data::Memory, admission(limits)).unwrap();
    let mut world = World::with(12, 2, shared);
    let one = world.connected("203.0.113.1:1000");
    let two = world.connected("203.0.113.1:1001");
    let three = world.connect("203.0.113.1:1002");
    world.run_until(|world| world.clients[three].lost.is_some());
    assert_refused(&world, three);
    let other = world.connected("203.0.113.2:1000");
    world.connected("203.0.113.3:1000");
    let full = world.connect("203.0.113.4:1000");
    world.run_until(|world| world.clients[full].lost.is_some());
    assert_refused(&world, full);
    for client in [one, two, other] {
        world.hear_echo(client, b"still here");
    }
    let now = world.now_us;
    world.clients[two].conn.close(quinn_now(now), 0u32.into(), b""[..].into());
    world.run_for(5_000_000);
    world.connected("203.0.113.1:1003");
}

#[track_caller]
fn assert_refused(world: &World, client: usize) {
    let Some(ConnectionError::ConnectionClosed(close)) = &world.clients[client].lost else {
        panic!("{:?}", world.clients[client].lost);
    };
    assert_eq!(close.error_code, TransportErrorCode::CONNECTION_REFUSED);
}

#[test]
fn a_server_that_stops_lets_nobody_in_and_keeps_who_is_there() {
    let mut world = World::with(13, 1, shared(settings()));
    let client = world.connected("203.0.113.1:1000");
    world.connect("203.0.113.1:1001");
    world.run_for(6_000);
    assert_eq!(world.count(|counts| counts.handshakes_now), 1);
    world.shards[0].stop();
    assert_eq!(world.count(|counts| counts.handshakes_now), 0);
    let late = world.connect("203.0.113.1:1002");
    world.run_until(|world| world.clients[late].lost.is_some());
    assert_refused(&world, late);
    world.hear_echo(client, b"still here");
    // Whoever is told to go is forgotten at once: a server that stops waits for nothing that comes late.
    let at = world.session_at(world.clients[client].address);
    world.with_link(at, |link| link.close(1, "stopping"));
    world.run_for(0);
    assert_eq!(world.count(|counts| counts.connections), 0);
    world.run_until(|world| world.clients[client].lost.is_some());
}
