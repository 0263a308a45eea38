//! Those who begin and never finish, and those who pretend.

use super::world::{Packet, SERVER, World, settings, shared};
use crate::quic::Settings;
use std::{net::SocketAddr, time::Duration};

/// The first flight of a client that says nothing more, from an address where nobody hears the answer.
fn begin(world: &mut World, n: u32) {
    let from = SocketAddr::new([198, 18, (n >> 8) as u8, n as u8].into(), 1000);
    let client = world.connect("203.0.113.77:1");
    world.clients[client].address = from;
    world.run_for(100);
    world.clients.truncate(client);
}

#[test]
fn half_open_handshakes_are_bounded_and_end() {
    let limits = Settings { retry_above: 1_000_000, ignore_above: 50, ..settings() };
    let mut world = World::with(40, 1, shared(limits));
    let honest = world.connected("203.0.113.1:1000");
    for n in 0..500 {
        begin(&mut world, n);
    }
    world.run_for(50_000);
    assert_eq!(world.count(|counts| counts.handshakes_now), 50);
    assert_eq!(world.count(|counts| counts.connections), 51);
    assert_eq!(world.count(|counts| counts.ignored), 450);
    world.hear_echo(honest, b"not impressed");
    world.run_for(10_000_000);
    assert_eq!(world.count(|counts| counts.handshakes_now), 0);
    assert_eq!(world.count(|counts| counts.handshakes_slow), 50);
    assert_eq!(world.count(|counts| counts.connections), 1);
    world.connected("203.0.113.2:1000");
}

/// Checklist 113.
#[test]
fn under_load_a_client_shows_first_that_its_address_is_its_own() {
    for port in 1000..1008 {
        let mut world = World::with(41, 4, shared(Settings { retry_above: 0, ..settings() }));
        let client = world.connected(&format!("203.0.113.1:{port}"));
        assert_eq!(world.count(|counts| counts.retries), 1);
        world.hear_echo(client, b"let in");
        assert_eq!(world.count(|counts| counts.connected), 1);
    }
}

#[test]
fn a_retry_holds_nothing() {
    let mut world = World::with(42, 1, shared(Settings { retry_above: 0, ..settings() }));
    for n in 0..200 {
        begin(&mut world, n);
    }
    world.run_for(50_000);
    assert_eq!(world.count(|counts| counts.retries), 200);
    assert_eq!(world.count(|counts| counts.connections + counts.handshakes_now), 0);
}

/// RFC 9000, section 8.1: three times what came, until the client has answered.
#[test]
fn nobody_is_sent_more_than_three_times_what_came_in_its_name() {
    // Long enough for all that is sent again when nobody answers.
    let patient = Settings { handshake: Duration::from_secs(100), ..settings() };
    let mut world = World::with(43, 1, shared(patient));
    begin(&mut world, 7);
    world.run_for(110_000_000);
    let (came, went) = (world.bytes_to_server, world.bytes_from_server);
    assert!(came >= 1200 && went > 0 && went <= 3 * came, "{went} for {came}");
}

#[test]
fn noise_is_dropped() {
    let mut world = World::new(44, 2);
    let honest = world.connected("203.0.113.1:1000");
    let sample = world.clients[honest].sent.clone();
    for n in 0..5_000u32 {
        let length = world.random.next() as usize % 1500;
        let mut bytes: Vec<u8> = (0..length).map(|_| world.random.next() as u8).collect();
        if n % 3 == 0 {
            // Something that was a datagram of QUIC once.
            bytes = sample[n as usize % sample.len()].clone();
            let at = world.random.next() as usize % bytes.len();
            bytes[at] ^= world.random.next() as u8;
        }
        let from = SocketAddr::new([198, 18, (n >> 8) as u8, n as u8].into(), 1000);
        world.send(Packet { from, to: SERVER, bytes });
        world.run_for(100);
    }
    world.hear_echo(honest, b"not impressed");
    world.run_for(20_000_000);
    assert_eq!(world.count(|counts| counts.handshakes_now), 0);
    assert_eq!(world.count(|counts| counts.connections), 1);
}
