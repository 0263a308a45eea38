//! What an idle QUIC connection costs in memory: everything that the endpoint allocates and keeps, counted by an
//! allocator of this test's own. `cargo test --test quic_memory -- --nocapture` prints of what sizes it is made.

use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, EndpointConfig,
    TransportConfig, crypto::rustls::QuicClientConfig,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tutti::{
    admission::Admission,
    config::{Config, Data, HostCpus, RawConfig},
    quic::{Batch, Endpoint, Event, Link, Read, Settings, Shared, Source},
};
use tutti_shards::ShardId;

/// What a connection may cost, bytes; the limit of the figures is 24 KiB.
const BYTES_MAX: i64 = 15 << 10;
/// Connections measured, after as many that came before.
const CONNECTIONS: usize = 200;

struct Counting;

/// Sizes of allocations that are told apart, in steps of 16 bytes.
const CLASSES: usize = 2048;

thread_local! {
    /// Whether what happens on this thread is the server's doing.
    static IS_SERVER: Cell<bool> = const { Cell::new(false) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static BY_CLASS: RefCell<[i32; CLASSES]> = const { RefCell::new([0; CLASSES]) };
}

fn count(size: usize, sign: i64) {
    if IS_SERVER.get() {
        LIVE.set(LIVE.get() + sign * size as i64);
        BY_CLASS.with_borrow_mut(|classes| {
            if let Some(class) = classes.get_mut(size.div_ceil(16)) {
                *class += sign as i32;
            }
        });
    }
}

// SAFETY: all methods hand their arguments to the system's allocator unchanged. Counting allocates nothing: the cells
// are initialised at compile time and have no destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does something in the server's name. What it returns is kept by the caller, who is not the server.
fn as_server<T>(act: impl FnOnce() -> T) -> T {
    IS_SERVER.set(true);
    let result = act();
    IS_SERVER.set(false);
    result
}

struct Client {
    endpoint: quinn_proto::Endpoint,
    conn: quinn_proto::Connection,
    handle: ConnectionHandle,
    address: SocketAddr,
}

struct Pair {
    server: Endpoint,
    config: ClientConfig,
    address: SocketAddr,
    now_us: u64,
    zero: Instant,
    idle: Vec<Client>,
}

impl Pair {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("tutti-quic-memory-{:x}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let address: SocketAddr = "192.0.2.1:4433".parse().unwrap();
        let settings = Settings {
            listen: address,
            source: Source::Files { certificate, key },
            early_data: true,
            datagrams: true,
            idle_timeout: Duration::from_secs(300),
            handshake: Duration::from_secs(10),
            retry_above: 1000,
            ignore_above: 4000,
            masked_ids: true,
            receive_buffer: 1 << 20,
            send_buffer: 1 << 20,
        };
        let host = HostCpus { allowed: vec![0], parallelism: 1 };
        let mut raw = RawConfig::default();
        raw.add_file("test.toml", "limits.connections_per_address = \"unlimited\"").unwrap();
        let limits = Config::new(&raw, &host).unwrap().limits;
        let admission = Arc::new(Admission::new(&limits, Arc::default()));
        let shared = Shared::open(settings, &Data::Memory, admission).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"garou/1".to_vec()];
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(None);
        config.transport_config(Arc::new(transport));
        let server = as_server(|| Endpoint::new(shared, ShardId(0), 1, 0, [1; 32]));
        let (idle, zero) = (Vec::new(), Instant::now());
        Pair { server, config, address, now_us: 0, zero, idle }
    }

    /// A client comes, says something, hears it back, and says nothing more.
    fn visit(&mut self, n: usize) {
        let address = SocketAddr::from(([203, 0, 113, (n % 200) as u8], 1000 + (n / 200) as u16));
        let config = Arc::new(EndpointConfig::default());
        let mut endpoint = quinn_proto::Endpoint::new(config, None, true, None);
        let now = self.instant();
        let (handle, conn) =
            endpoint.connect(now, self.config.clone(), self.address, "localhost").unwrap();
        let mut client = Client { endpoint, conn, handle, address };
        while client.conn.is_handshaking() {
            self.exchange(&mut client);
        }
        let stream = client.conn.streams().open(Dir::Bi).unwrap();
        client.conn.send_stream(stream).write(&[7; 300]).unwrap();
        client.conn.send_stream(stream).finish().unwrap();
        // Until all that follows from it is acknowledged, probes for longer datagrams among it.
        for _ in 0..100 {
            self.exchange(&mut client);
        }
        self.idle.push(client);
    }

    fn instant(&self) -> Instant {
        self.zero + Duration::from_micros(self.now_us)
    }

    fn exchange(&mut self, client: &mut Client) {
        self.now_us += 1_000;
        let (now, now_us) = (self.instant(), self.now_us);
        if client.conn.poll_timeout().is_some_and(|at| at <= now) {
            client.conn.handle_timeout(now);
        }
        let mut bytes = Vec::new();
        loop {
            client.settle();
            let Some(transmit) = client.conn.poll_transmit(now, 1, &mut bytes) else { break };
            let datagram = &bytes[..transmit.size];
            let ecn = Some(EcnCodepoint::Ect0);
            as_server(|| {
                self.server.handle_datagram(now_us, client.address, None, ecn, datagram);
            });
            bytes.clear();
        }
        as_server(|| {
            self.server.handle_timeout(now_us);
            while let Some((key, event)) = self.server.poll_event(now_us) {
                let Some(mut link) = self.server.link(now_us, key) else { continue };
                if let Event::Readable(stream) = event {
                    let mut bytes = Vec::new();
                    let read = link.read(stream, usize::MAX, &mut bytes);
                    let _ = link.write(stream, &bytes);
                    if read == Read::Finished {
                        link.finish(stream);
                    }
                }
            }
        });
        let mut batch = Batch::default();
        while as_server(|| self.server.transmit(now_us, &mut batch)) {}
        for item in batch.waiting().iter().filter(|item| item.to == client.address) {
            let (mut reply, bytes) = (Vec::new(), item.bytes.as_slice().into());
            let event = client.endpoint.handle(now, self.address, None, None, bytes, &mut reply);
            if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                client.conn.handle_event(event);
            }
        }
        client.settle();
        as_server(|| drop(batch));
    }
}

impl Client {
    fn settle(&mut self) {
        while let Some(event) = self.conn.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.conn.handle_event(event);
            }
        }
        while let Some(event) = self.conn.poll() {
            if let quinn_proto::Event::Stream(quinn_proto::StreamEvent::Readable { id }) = event {
                let mut stream = self.conn.recv_stream(id);
                let mut chunks = stream.read(true).unwrap();
                while let Ok(Some(_)) = chunks.next(usize::MAX) {}
                let _ = chunks.finalize();
            }
        }
    }
}

#[test]
fn an_idle_connection_stays_within_its_budget() {
    let mut pair = Pair::new();
    (0..CONNECTIONS).for_each(|n| pair.visit(n));
    let before = (LIVE.get(), BY_CLASS.with_borrow(|classes| *classes));
    (CONNECTIONS..2 * CONNECTIONS).for_each(|n| pair.visit(n));
    assert_eq!(pair.server.len(), 2 * CONNECTIONS);
    let after = (LIVE.get(), BY_CLASS.with_borrow(|classes| *classes));
    let each = (after.0 - before.0) / CONNECTIONS as i64;
    let sizes: BTreeMap<usize, String> = (0..CLASSES)
        .map(|class| (class * 16, f64::from(after.1[class] - before.1[class])))
        .filter(|(_, count)| *count > 1.0)
        .map(|(size, count)| (size, format!("{:.2}", count / CONNECTIONS as f64)))
        .collect();
    println!("{each} bytes each, of these sizes (up to): {sizes:#?}");
    assert!(each > 1000 && each <= BYTES_MAX, "{each} bytes a connection");
}
