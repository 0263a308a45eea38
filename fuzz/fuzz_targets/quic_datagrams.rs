//! Any datagrams from anywhere, at any time: no panic, nothing that stays behind when the handshakes' time is over, and
//! never more than three times as many bytes back as came.
//!
//! Input: datagrams, each as its kind (a byte), its sender (a byte), how long after the one before it comes (a byte, in
//! units of 16 ms), its length (two bytes) and its bytes. Those of odd kind are changes to a true first datagram of a
//! client: pairs of a place and what to add there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tutti::{
    admission::Admission,
    config::{Config, Data, HostCpus, RawConfig},
    quic::{Batch, Endpoint, Settings, Shared, Source},
};
use tutti_shards::ShardId;

/// Two shards, so that some ids lead elsewhere.
const SHARDS: u16 = 2;
const HANDSHAKE: Duration = Duration::from_secs(10);

fuzz_target!(|data: &[u8]| {
    let shared = shared();
    let mut endpoint = Endpoint::new(shared.clone(), ShardId(0), SHARDS, 0, [3; 32]);
    let (mut now_us, mut came, mut went) = (0u64, 0, 0);
    let mut rest = data;
    while let [kind, sender, delay, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (given, after) = after.split_at(length);
        rest = after;
        now_us += u64::from(*delay) * 16_000;
        let bytes = if kind & 1 == 0 { given.to_vec() } else { changed(given) };
        let from = SocketAddr::from(([203, 0, 113, *sender], 1000));
        endpoint.handle_timeout(now_us);
        endpoint.handle_datagram(now_us, from, None, None, &bytes);
        came += bytes.len();
        went += turn(&mut endpoint, now_us);
        assert!(went <= 3 * came, "{went} bytes for {came}");
        assert!(endpoint.len() <= data.len());
    }
    // Everything that began is over after the time of a handshake, and what ended is forgotten soon after.
    for _ in 0..100 {
        now_us += HANDSHAKE.as_micros() as u64 / 10;
        endpoint.handle_timeout(now_us);
        turn(&mut endpoint, now_us);
    }
    assert_eq!((endpoint.len(), endpoint.counts().handshakes_now), (0, 0));
    assert_eq!(endpoint.timer_us(), None);
});

/// Takes everything out that the endpoint has; how many bytes it sends.
fn turn(endpoint: &mut Endpoint, now_us: u64) -> usize {
    let (mut batch, mut went) = (Batch::default(), 0);
    while endpoint.has_work() {
        while endpoint.poll_forward().is_some() {
            endpoint.forwarded(true);
        }
        while endpoint.poll_event(now_us).is_some() {}
        endpoint.transmit(now_us, &mut batch);
        went += batch.waiting().iter().map(|item| item.bytes.len()).sum::<usize>();
        batch.advance(batch.waiting().len());
    }
    went
}

fn shared() -> &'static Arc<Shared> {
    static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();
    SHARED.get_or_init(|| {
        let settings = Settings {
            listen: SocketAddr::from(([192, 0, 2, 1], 4433)),
            source: Source::Made(Data::Memory),
            early_data: true,
            datagrams: true,
            idle_timeout: Duration::from_secs(300),
            handshake: HANDSHAKE,
            retry_above: 2,
            ignore_above: 4,
            masked_ids: true,
            receive_buffer: 1 << 20,
            send_buffer: 1 << 20,
        };
        let host = HostCpus { allowed: vec![0], parallelism: 1 };
        let limits = Config::new(&RawConfig::default(), &host).expect("the defaults fit").limits;
        let admission = Arc::new(Admission::new(&limits, Arc::default()));
        Shared::open(settings, &Data::Memory, admission).expect("nothing has to be read")
    })
}

/// A client's first datagram with changes.
fn changed(changes: &[u8]) -> Vec<u8> {
    static FIRST: OnceLock<Vec<u8>> = OnceLock::new();
    let mut bytes = FIRST.get_or_init(first).clone();
    for change in changes.chunks_exact(3) {
        let [high, low, more] = change else { continue };
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
        bytes[at] = bytes[at].wrapping_add(*more);
    }
    bytes
}

fn first() -> Vec<u8> {
    use quinn_proto::{ClientConfig, EndpointConfig, crypto::rustls::QuicClientConfig};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider speaks it")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"garou/1".to_vec()];
    let tls = QuicClientConfig::try_from(tls).expect("the provider has the first cipher");
    let config = Arc::new(EndpointConfig::default());
    let mut endpoint = quinn_proto::Endpoint::new(config, None, true, Some([5; 32]));
    let server = SocketAddr::from(([192, 0, 2, 1], 4433));
    let now = Instant::now();
    let config = ClientConfig::new(Arc::new(tls));
    let (_, mut conn) = endpoint.connect(now, config, server, "localhost").expect("it may");
    let mut bytes = Vec::new();
    let transmit = conn.poll_transmit(now, 1, &mut bytes).expect("a first datagram");
    bytes.truncate(transmit.size);
    bytes
}
