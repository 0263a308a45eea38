//! Clients whose address changes, and datagrams that come to another shard than their connection's.

use super::world::{Fate, Packet, SERVER, World};
use crate::{
    quic::Event,
    storage::{Ban, BanTarget},
};
use quinn_proto::{ConnectionError, Dir};
use std::net::SocketAddr;

/// Checklist 109: the session sees one move and nothing else, whichever shard the datagrams come to.
#[test]
fn a_new_port_leads_to_the_same_session() {
    for shards in [1, 2, 4] {
        let mut world = World::new(20, shards);
        let client = world.connected("203.0.113.1:1000");
        let at = world.session_at(world.clients[client].address);
        for port in 2000..2010 {
            let address = SocketAddr::new(world.clients[client].address.ip(), port);
            world.say(client, Dir::Bi, &[9; 50_000]);
            world.run_for(7_000);
            world.clients[client].address = address;
            world.hear_echo(client, &[port as u8; 50_000]);
            world.run_until(|world| world.echo(at).events.contains(&Event::Moved { address }));
        }
        let events = &world.echo(at).events;
        let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
        assert_eq!(count(|event| matches!(event, Event::Moved { .. })), 10);
        assert_eq!(count(|event| matches!(event, Event::Arrived { .. } | Event::Lost(_))), 1);
        assert_eq!(world.count(|counts| counts.connected), 1);
        assert_eq!(world.count(|counts| counts.moves), 10);
        assert_eq!(world.count(|counts| counts.forwards_sent) > 0, shards > 1);
    }
}

/// The client's next packet comes from another address, where nobody hears what is sent; how many bytes it has.
fn speaks_from(world: &mut World, client: usize, address: SocketAddr) -> usize {
    world.clients[client].conn.ping();
    let before = world.clients[client].sent.len();
    let home = std::mem::replace(&mut world.clients[client].address, address);
    world.run_for(1_000);
    world.clients[client].address = home;
    world.clients[client].sent[before..].iter().map(Vec::len).sum()
}

fn bytes_to(world: &World, address: SocketAddr) -> usize {
    let there = world.strays.iter().filter(|packet| packet.to == address);
    there.map(|packet| packet.bytes.len()).sum()
}

/// Checklist 110: whether or not there is something to send when it comes.
#[test]
fn a_new_address_gets_three_times_what_it_sent_until_it_answers() {
    for waiting in [0, 200_000] {
        let mut world = World::new(21, 2);
        let client = world.connected("203.0.113.1:1000");
        let at = world.session_at(world.clients[client].address);
        world.hear_echo(client, &[1; 100_000]);
        world.run_for(1_000_000);
        let stream = world.with_link(at, |link| link.open_one_way().unwrap()).unwrap();
        let victim: SocketAddr = "203.0.113.99:7".parse().unwrap();
        let sent = speaks_from(&mut world, client, victim);
        // Nothing of the client's arrives any more: the server believes that it is at the other address.
        let home = world.clients[client].address;
        world.clients[client].address = "203.0.113.98:7".parse().unwrap();
        world.with_link(at, |link| link.write(stream, &vec![5; waiting])).unwrap().unwrap();
        world.run_for(20_000);
        world.with_link(at, |link| link.write(stream, &[5; 60_000])).unwrap().unwrap();
        world.run_for(3_000_000);
        let to_victim = bytes_to(&world, victim);
        assert!(sent > 0 && to_victim <= 3 * sent, "{to_victim} for {sent}");
        assert!(to_victim > 0 || waiting > 0, "it is asked whether it hears");
        assert_eq!(world.count(|counts| counts.moves), 0);
        // The client was never away.
        world.clients[client].address = home;
        world.hear_echo(client, b"still here");
        assert_eq!(world.count(|counts| counts.moves), 0);
    }
}

/// A client that has moved and says little is soon believed, whatever keys it has come to.
#[test]
fn a_client_that_has_moved_is_believed_within_few_round_trips() {
    let mut world = World::new(26, 2);
    let client = world.connected("203.0.113.1:1000");
    world.hear_echo(client, &[1; 10_000]);
    for n in 2..6 {
        world.run_for(1_000_000);
        if n > 3 {
            world.clients[client].conn.force_key_update();
            world.hear_echo(client, b"other keys");
            world.run_for(1_000_000);
        }
        let address = SocketAddr::new([203, 0, 113, n].into(), 1000);
        world.clients[client].address = address;
        world.clients[client].conn.ping();
        let started_us = world.now_us;
        let moves = u64::from(n) - 1;
        world.run_until(|world| world.count(|counts| counts.moves) == moves);
        // A round trip takes 10 ms, and an acknowledgement may wait for 25 ms.
        let took_us = world.now_us - started_us;
        assert!(took_us < 100_000, "{took_us} us");
        world.hear_echo(client, &[n; 100_000]);
    }
    // What probes how long datagrams may be is as long as that, and waits.
    assert!(world.count(|counts| counts.datagrams_withheld) <= 4);
}

/// Checklist 111: every datagram that went to the wrong shard is handled once, at its home.
#[test]
fn a_datagram_is_forwarded_once_and_never_loops() {
    let mut world = World::new(22, 4);
    let client = world.connected("203.0.113.1:1000");
    let home = world.session_at(world.clients[client].address).0;
    let before = world.count(|counts| counts.datagrams_received);
    let mut sent = 0;
    for n in 0..200u16 {
        world.clients[client].conn.ping();
        world.clients[client].address.set_port(3000 + n);
        sent += u64::from(world.shard_of(world.clients[client].address) != home);
        world.run_for(1_000);
    }
    world.run_for(1_000_000);
    let received = world.count(|counts| counts.datagrams_received) - before;
    let forwarded = world.count(|counts| counts.forwards_sent);
    assert!(sent > 100 && forwarded >= sent && forwarded <= received, "{sent} {forwarded}");
    assert_eq!(world.count(|counts| counts.forwards_received), forwarded);
    assert_eq!(world.shards[home].counts().forwards_sent, 0);
    world.hear_echo(client, b"unimpressed");
}

/// Checklist 112.
#[test]
fn foreign_ids_get_no_answer_and_ids_of_the_dead_get_a_reset() {
    let mut world = World::new(23, 2);
    let client = world.connected("203.0.113.1:1000");
    world.hear_echo(client, b"hello");
    world.run_for(1_000_000);
    let from: SocketAddr = "203.0.113.50:5".parse().unwrap();
    let mut bytes = world.clients[client].sent.last().unwrap().clone();
    bytes.resize(100, 0);
    let ours = bytes.clone();
    bytes[3] ^= 1;
    world.send(Packet { from, to: SERVER, bytes });
    world.run_for(100_000);
    assert_eq!(world.count(|counts| counts.datagrams_foreign), 1);
    assert!(world.strays.is_empty());
    // The process starts again, with the same secrets. The id leads to its home, which knows nothing of it.
    world.start_server(2);
    world.send(Packet { from, to: SERVER, bytes: ours });
    world.run_for(100_000);
    assert_eq!(world.strays.len(), 1);
    assert!(world.strays[0].bytes.len() < 100, "smaller than what caused it");
    world.run_for(100_000);
    world.clients[client].conn.ping();
    world.run_until(|world| world.clients[client].lost.is_some());
    assert_eq!(world.clients[client].lost, Some(ConnectionError::Reset));
}

/// Checklist 114: QUIC repairs what a full queue between shards drops.
#[test]
fn forwards_that_are_dropped_are_made_up_for() {
    let mut world = World::new(24, 2);
    let client = world.connected("203.0.113.1:1000");
    let home = world.session_at(world.clients[client].address).0;
    let port = (2000..).find(|port| {
        world.shard_of(SocketAddr::new(world.clients[client].address.ip(), *port)) != home
    });
    world.clients[client].address.set_port(port.unwrap());
    let stream = world.say(client, Dir::Bi, &[3; 100_000]);
    for _ in 0..200 {
        world.run_for(500);
        while world.shards[1 - home].poll_forward().is_some() {
            world.shards[1 - home].forwarded(false);
        }
    }
    world.run_until(|world| world.clients[client].finished.contains(&stream));
    assert_eq!(world.clients[client].received[&stream], [3; 100_000]);
}

#[test]
fn moving_and_losing_together_lose_nothing() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3);
        let client = world.connected("203.0.113.1:1000");
        world.fate = Fate { lose: 30, repeat: 30, damage: 5, delay_us: 10_000, jitter_us: 10_000 };
        let stream = world.say(client, Dir::Bi, &[seed as u8; 150_000]);
        for port in 4000..4020 {
            world.run_for(150_000);
            world.clients[client].address.set_port(port);
            // A client that only waits would not be heard from its new address, and nobody could reach it there.
            world.clients[client].conn.ping();
        }
        while !world.clients[client].finished.contains(&stream) {
            assert!(world.now_us < 120_000_000, "seed {seed}");
            world.clients[client].conn.ping();
            world.run_for(1_000_000);
        }
        assert_eq!(world.clients[client].received[&stream], vec![seed as u8; 150_000]);
        assert_eq!(world.count(|counts| counts.connected), 1);
    }
}

/// Whoever is banned is not let in. Those who are there are the sessions' to send away.
#[test]
fn who_is_banned_is_not_let_in() {
    let mut world = World::new(25, 2);
    let free = world.connected("203.0.113.4:1000");
    let gate = world.shared.admission.gate().clone();
    let ban = |target: &str| Ban {
        channel: None,
        target: BanTarget::Address(target.parse().unwrap()),
        reason: String::new(),
        moderator: "test".to_owned(),
        since_ms: 0,
        until_ms: None,
    };
    gate.set_bans(vec![ban("203.0.113.3")]);
    let late = world.connect("203.0.113.3:1000");
    world.run_until(|world| world.clients[late].lost.is_some());
    world.hear_echo(free, b"still here");
}
