//! Networks that lose, reorder, repeat and damage what they carry.

use super::world::{Fate, World, settings, shared};
use crate::quic::Settings;
use std::time::Duration;

/// Runs a case with many seeds, and says which one failed.
fn each_seed(seeds: std::ops::Range<u64>, case: impl Fn(u64)) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(seed)));
        if let Err(reason) = outcome {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(reason);
        }
    }
}

#[test]
fn handshakes_survive_a_third_lost() {
    each_seed(0..40, |seed| {
        // Four of ten first flights in a row get lost now and then, and they come ever more seldom.
        let patient = Settings { handshake: Duration::from_secs(60), ..settings() };
        let mut world = World::with(seed, 2, shared(patient));
        world.fate = Fate { lose: 300, ..Fate::GOOD };
        let client = world.connect("203.0.113.1:1000");
        world.run_until(|world| world.clients[client].connected);
        let at = world.session_at(world.clients[client].address);
        world.run_until(|world| world.echo(at).is_connected());
    });
}

/// A client whose handshake is complete for itself, while its end is on the way to the server.
fn half_connected(seed: u64, shards: u16) -> (World, usize) {
    let mut world = World::new(seed, shards);
    let client = world.connect("203.0.113.1:1000");
    world.run_for(2 * Fate::GOOD.delay_us);
    let at = world.session_at(world.clients[client].address);
    assert!(world.clients[client].connected && !world.echo(at).is_connected());
    (world, client)
}

/// The same, where what the client says from now on overtakes it.
fn ahead_of_its_handshake(seed: u64) -> (World, usize) {
    let (mut world, client) = half_connected(seed, 2);
    world.fate.delay_us = Fate::GOOD.delay_us / 5;
    (world, client)
}

#[test]
fn what_overtakes_the_end_of_the_handshake_is_kept_for_it() {
    let (mut world, client) = ahead_of_its_handshake(90);
    let connected_us = world.now_us;
    world.hear_echo(client, b"first");
    assert!(world.now_us < connected_us + 2 * Fate::GOOD.delay_us, "it has to be said twice");
}

/// More of it than is kept.
#[test]
fn much_that_overtakes_the_end_of_the_handshake_arrives_too() {
    let (mut world, client) = ahead_of_its_handshake(91);
    world.hear_echo(client, &[7; 100_000]);
}

/// What comes in one turn with the end of the handshake, behind it, has its keys.
#[test]
fn nothing_of_a_burst_behind_the_handshake_is_dropped() {
    let (mut world, client) = half_connected(92, 1);
    let at = world.session_at(world.clients[client].address);
    let sent = world.clients[client].sent.len();
    let stream = world.clients[client].conn.streams().open(quinn_proto::Dir::Uni).unwrap();
    for _ in 0..20 {
        world.clients[client].conn.send_stream(stream).write(&[7; 100]).unwrap();
        world.drive();
    }
    assert_eq!(world.clients[client].sent.len() - sent, 20, "one datagram each");
    world.arrive_together();
    assert!(world.echo(at).is_connected());
    assert_eq!(world.echo(at).read.len(), 2_000);
}

#[test]
fn what_is_said_arrives_whole_whatever_the_network_does() {
    each_seed(100..130, |seed| {
        let mut world = World::new(seed, 4);
        let client = world.connected("203.0.113.1:1000");
        world.fate = Fate { lose: 20, repeat: 50, damage: 20, delay_us: 10_000, jitter_us: 20_000 };
        let text: Vec<u8> = (0..200_000u32).map(|n| (n / 7) as u8).collect();
        world.hear_echo(client, &text);
        assert_eq!(world.clients[client].lost, None);
    });
}

#[test]
fn a_dark_time_only_delays() {
    each_seed(200..210, |seed| {
        let mut world = World::new(seed, 2);
        let client = world.connected("203.0.113.1:1000");
        world.say(client, quinn_proto::Dir::Bi, &[1; 100_000]);
        world.run_for(15_000);
        world.fate.lose = 1000;
        world.run_for(5_000_000);
        world.fate.lose = 0;
        world.hear_echo(client, &[2; 100_000]);
    });
}
