//! The UDP socket, over loopback.

use super::world::shared;
use crate::quic::{Batch, Endpoint, Settings, UdpSocket, tests::world::settings};
use quinn_proto::{EcnCodepoint, Transmit};
use std::{
    net::{IpAddr, SocketAddr, UdpSocket as Plain},
    time::{Duration, Instant},
};
use tutti_shards::ShardId;

fn bind(address: &str) -> UdpSocket {
    UdpSocket::bind(address.parse().unwrap(), 1 << 20, 1 << 20).unwrap()
}

fn peer(address: &str) -> Plain {
    let socket = Plain::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn transmit(to: SocketAddr, from: Option<IpAddr>, size: usize) -> Transmit {
    let ecn = Some(EcnCodepoint::Ect0);
    Transmit { destination: to, ecn, size, segment_size: None, src_ip: from }
}

fn receive(peer: &Plain) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2000];
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

#[test]
fn datagrams_to_many_go_out_in_one_call() {
    let mut socket = bind("127.0.0.1:0");
    let peers: Vec<Plain> = (0..60).map(|_| peer("127.0.0.1:0")).collect();
    let mut batch = Batch::default();
    for (n, peer) in peers.iter().enumerate() {
        batch.push(&transmit(peer.local_addr().unwrap(), None, 100), vec![n as u8; 100]);
    }
    assert!(socket.send(0, &mut batch));
    assert!(batch.is_empty());
    assert_eq!(socket.counts().send_calls, 1);
    for (n, peer) in peers.iter().enumerate() {
        assert_eq!(receive(peer), (vec![n as u8; 100], socket.local_address().unwrap()));
    }
}

/// The mark that a datagram came with, as the kernel of the one who receives it tells.
fn receive_mark(peer: &Plain) -> u8 {
    let state = quinn_udp::UdpSocketState::new(peer.into()).unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2000];
    let mut metas = [quinn_udp::RecvMeta::default()];
    for _ in 0..500 {
        let mut slices = [std::io::IoSliceMut::new(&mut buffer)];
        match state.recv(peer.into(), &mut slices, &mut metas) {
            Ok(_) => return metas[0].ecn.map_or(0, |mark| mark as u8),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    panic!("nothing came");
}

#[test]
fn datagrams_of_two_marks_go_out_in_two_calls_with_their_marks() {
    for wildcard in ["127.0.0.1:0", "[::]:0"] {
        let mut socket = bind(wildcard);
        let peers: Vec<Plain> = (0..40).map(|_| peer("127.0.0.1:0")).collect();
        // Whoever receives has to ask for the marks before they come.
        let _states: Vec<_> =
            peers.iter().map(|peer| quinn_udp::UdpSocketState::new(peer.into()).unwrap()).collect();
        let mut batch = Batch::default();
        let mark = |n: usize| (n.is_multiple_of(2)).then_some(EcnCodepoint::Ect0);
        for _ in 0..2 {
            for (n, peer) in peers.iter().enumerate() {
                let to = peer.local_addr().unwrap();
                batch.push(
                    &Transmit { ecn: mark(n), ..transmit(to, None, 100) },
                    vec![n as u8; 100],
                );
            }
            let before = socket.counts().send_calls;
            assert!(socket.send(0, &mut batch));
            assert_eq!(socket.counts().send_calls - before, 2);
            for (n, peer) in peers.iter().enumerate() {
                assert_eq!(receive_mark(peer), mark(n).map_or(0, |mark| mark as u8), "the {n}th");
            }
        }
        assert_eq!(socket.counts().send_failures, 0);
    }
}

#[test]
fn datagrams_to_one_go_out_as_one() {
    let mut socket = bind("127.0.0.1:0");
    let one = peer("127.0.0.1:0");
    let mut batch = Batch::default();
    let mut many = transmit(one.local_addr().unwrap(), None, 9_500);
    many.segment_size = Some(1000);
    let bytes: Vec<u8> = (0..9_500u32).map(|n| (n / 1000) as u8).collect();
    batch.push(&many, bytes.clone());
    assert!(socket.send(0, &mut batch));
    assert_eq!((socket.counts().send_calls, socket.counts().send_failures), (1, 0));
    for (n, datagram) in bytes.chunks(1000).enumerate() {
        assert_eq!(receive(&one).0, datagram, "the {n}th");
    }
}

/// A peer takes answers only from the address that it wrote to.
#[test]
fn who_listens_everywhere_answers_from_where_it_was_asked() {
    let mut socket = bind("0.0.0.0:0");
    let (one, two) = (peer("127.0.0.1:0"), peer("127.0.0.1:0"));
    let mut batch = Batch::default();
    let others = [("127.0.0.1", &one), ("127.0.0.2", &one), ("127.0.0.3", &two)];
    let natural = [("127.0.0.1", &one), ("127.0.0.1", &two), ("127.0.0.1", &two)];
    for (from, peer) in others.iter().chain(&natural) {
        let from = Some(from.parse().unwrap());
        batch.push(&transmit(peer.local_addr().unwrap(), from, 4), b"text".to_vec());
    }
    assert!(socket.send(0, &mut batch));
    let from = |peer: &Plain| receive(peer).1.ip().to_string();
    assert_eq!([0; 3].map(|_| from(&one)), ["127.0.0.1", "127.0.0.2", "127.0.0.1"]);
    assert_eq!([0; 3].map(|_| from(&two)), ["127.0.0.3", "127.0.0.1", "127.0.0.1"]);
    // Three that name no address go out together, the others alone.
    assert_eq!(socket.counts().send_calls, 4);
}

#[test]
fn the_wildcard_of_ipv6_serves_both_families() {
    let mut socket = bind("[::]:0");
    let port = socket.local_address().unwrap().port();
    let (four, six) = (peer("127.0.0.1:0"), peer("[::1]:0"));
    let mut batch = Batch::default();
    for peer in [&four, &six] {
        let to = peer.local_addr().unwrap();
        batch.push(&transmit(to, Some(to.ip()), 4), b"text".to_vec());
    }
    assert!(socket.send(0, &mut batch));
    assert_eq!(receive(&four).1, SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(receive(&six).1.port(), port);
    four.send_to(&[0xc0; 50], ("127.0.0.1", port)).unwrap();
    six.send_to(&[0xc0; 50], ("::1", port)).unwrap();
    let shared = shared(Settings { ..settings() });
    let mut endpoint = Endpoint::new(shared, ShardId(0), 1, 0, [0; 32]);
    let (mut received, start) = (0, Instant::now());
    while received < 2 && start.elapsed() < Duration::from_secs(5) {
        received += socket.receive(0, &mut endpoint).unwrap();
    }
    assert_eq!(endpoint.counts().datagrams_received, 2);
}

/// The kernel joins them on the way (GRO), and they are told apart again.
#[test]
fn a_burst_is_received_in_few_calls_and_whole() {
    let mut sender = bind("127.0.0.1:0");
    let mut socket = bind("127.0.0.1:0");
    let mut batch = Batch::default();
    let mut many = transmit(socket.local_address().unwrap(), None, 20_000);
    many.segment_size = Some(1000);
    batch.push(&many, vec![0x40; 20_000]);
    assert!(sender.send(0, &mut batch));
    let mut endpoint = Endpoint::new(shared(settings()), ShardId(0), 1, 0, [0; 32]);
    let (mut received, start) = (0, Instant::now());
    while received < 20 && start.elapsed() < Duration::from_secs(5) {
        received += socket.receive(0, &mut endpoint).unwrap();
    }
    assert_eq!(endpoint.counts().datagrams_received, 20);
    assert_eq!(endpoint.counts().datagrams_foreign, 20);
}
