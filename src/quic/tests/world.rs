//! A server of several shards, its clients, and a network between them that loses, delays, repeats and damages
//! datagrams: all in one thread, in time that only passes when everybody waits.
//!
//! What the network does follows from a seed. Keys and certificates are drawn by TLS for each run, so two runs of one
//! seed see the same fates for different bytes.

use crate::{
    admission::Admission,
    config::{Config, Data, HostCpus, RawConfig},
    quic::{
        Arrival, Batch, ConnKey, Counts, Endpoint, Event, Link, Lost, Read, Settings, Shared,
        Source, StreamId, WriteFault, connection::Clock,
    },
};
use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, EndpointConfig,
    TransportConfig, VarInt, crypto::rustls::QuicClientConfig,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tutti_shards::ShardId;

/// Where the server is.
pub(super) const SERVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4433);

/// What the network does to a datagram, in thousandths and microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) lose: u64,
    pub(super) repeat: u64,
    pub(super) damage: u64,
    /// Each takes this long, and up to `jitter_us` more, so that some overtake others.
    pub(super) delay_us: u64,
    pub(super) jitter_us: u64,
}

impl Fate {
    pub(super) const GOOD: Fate =
        Fate { lose: 0, repeat: 0, damage: 0, delay_us: 5_000, jitter_us: 0 };
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn chance(&mut self, thousandths: u64) -> bool {
        self.next() % 1000 < thousandths
    }

    pub(super) fn seed(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.next() as u8)
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Packet {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What the server's side of a connection has seen and done: it sends back what it reads, on the same stream.
#[derive(Debug, Default)]
pub(super) struct Echo {
    pub(super) events: Vec<Event>,
    /// What was read before the handshake was complete.
    pub(super) early: Vec<u8>,
    pub(super) read: Vec<u8>,
    unsent: BTreeMap<StreamId, Vec<u8>>,
    ended: Vec<StreamId>,
    pub(super) datagrams: Vec<Vec<u8>>,
    /// It reads nothing while this is set.
    pub(super) is_deaf: bool,
}

pub(super) struct Client {
    endpoint: quinn_proto::Endpoint,
    pub(super) conn: quinn_proto::Connection,
    handle: ConnectionHandle,
    pub(super) address: SocketAddr,
    pub(super) connected: bool,
    pub(super) lost: Option<quinn_proto::ConnectionError>,
    pub(super) received: BTreeMap<u64, Vec<u8>>,
    pub(super) finished: Vec<u64>,
    pub(super) datagrams: Vec<Vec<u8>>,
    /// All that it has sent.
    pub(super) sent: Vec<Vec<u8>>,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) now_us: u64,
    pub(super) fate: Fate,
    pub(super) shared: Arc<Shared>,
    pub(super) shards: Vec<Endpoint>,
    pub(super) sessions: Vec<BTreeMap<ConnKey, Echo>>,
    pub(super) clients: Vec<Client>,
    in_flight: BinaryHeap<Reverse<(u64, u64, Packet)>>,
    sequence: u64,
    clock: Clock,
    pub(super) bytes_to_server: u64,
    pub(super) bytes_from_server: u64,
    /// What went to addresses at which there is no client.
    pub(super) strays: Vec<Packet>,
}

pub(super) fn settings() -> Settings {
    Settings {
        listen: SERVER,
        source: Source::Made(Data::Memory),
        early_data: true,
        datagrams: true,
        idle_timeout: Duration::from_secs(300),
        handshake: Duration::from_secs(10),
        retry_above: 1000,
        ignore_above: 4000,
        masked_ids: true,
        receive_buffer: 1 << 20,
        send_buffer: 1 << 20,
    }
}

/// An admission with these lines of a configuration file.
pub(super) fn admission(file: &str) -> Arc<Admission> {
    let mut raw = RawConfig::default();
    raw.add_file("test.toml", file).unwrap();
    let host = HostCpus { allowed: vec![0], parallelism: 1 };
    Arc::new(Admission::new(&Config::new(&raw, &host).unwrap().limits, Arc::default()))
}

pub(super) fn shared(settings: Settings) -> Arc<Shared> {
    Shared::open(settings, &Data::Memory, admission("")).unwrap()
}

impl World {
    pub(super) fn new(seed: u64, shards: u16) -> Self {
        World::with(seed, shards, shared(settings()))
    }

    pub(super) fn with(seed: u64, shards: u16, shared: Arc<Shared>) -> Self {
        let mut world = World {
            random: Random(seed),
            now_us: 1_000_000,
            fate: Fate::GOOD,
            shared,
            shards: Vec::new(),
            sessions: Vec::new(),
            clients: Vec::new(),
            in_flight: BinaryHeap::new(),
            sequence: 0,
            clock: Clock::starting_at(0),
            bytes_to_server: 0,
            bytes_from_server: 0,
            strays: Vec::new(),
        };
        world.start_server(shards);
        world
    }

    /// A server process, in place of the one that was there.
    pub(super) fn start_server(&mut self, shards: u16) {
        let seeds: Vec<_> = (0..shards).map(|_| self.random.seed()).collect();
        let endpoint = |(n, seed)| {
            let mut endpoint =
                Endpoint::new(self.shared.clone(), ShardId(n), shards, self.now_us, seed);
            endpoint.set_segments_max(10);
            endpoint
        };
        self.shards = (0..shards).zip(seeds).map(endpoint).collect();
        self.sessions = (0..shards).map(|_| BTreeMap::new()).collect();
    }

    /// What clients are told about TLS: this server's certificate, and the protocols that they offer.
    pub(super) fn client_tls(&self, protocols: &[&[u8]]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.shared.certificates().certificate()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        tls.enable_early_data = true;
        tls
    }

    pub(super) fn client_config(&self, tls: Arc<rustls::ClientConfig>) -> ClientConfig {
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(Duration::from_secs(600).try_into().unwrap()));
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport));
        config
    }

    /// A client at `address` that begins to connect.
    pub(super) fn connect(&mut self, address: &str) -> usize {
        let tls = Arc::new(self.client_tls(&[b"garou/1"]));
        let config = self.client_config(tls);
        self.connect_with(address, config)
    }

    pub(super) fn connect_with(&mut self, address: &str, config: ClientConfig) -> usize {
        let mut endpoint_config = EndpointConfig::default();
        endpoint_config.rng_seed(Some(self.random.seed()));
        let mut endpoint = quinn_proto::Endpoint::new(Arc::new(endpoint_config), None, true, None);
        let now = self.clock.instant(self.now_us);
        let (handle, conn) = endpoint.connect(now, config, SERVER, "localhost").unwrap();
        self.clients.push(Client {
            endpoint,
            conn,
            handle,
            address: address.parse().unwrap(),
            connected: false,
            lost: None,
            received: BTreeMap::new(),
            finished: Vec::new(),
            datagrams: Vec::new(),
            sent: Vec::new(),
        });
        self.clients.len() - 1
    }

    /// A client that has connected.
    pub(super) fn connected(&mut self, address: &str) -> usize {
        let client = self.connect(address);
        self.run_until(|world| world.clients[client].connected);
        client
    }

    /// Writes to a new stream of a client, and ends it.
    pub(super) fn say(&mut self, client: usize, dir: Dir, text: &[u8]) -> u64 {
        let conn = &mut self.clients[client].conn;
        let stream = conn.streams().open(dir).unwrap();
        assert_eq!(conn.send_stream(stream).write(text), Ok(text.len()));
        conn.send_stream(stream).finish().unwrap();
        VarInt::from(stream).into_inner()
    }

    /// A client says something, which has to come back.
    pub(super) fn hear_echo(&mut self, client: usize, text: &[u8]) {
        let stream = self.say(client, Dir::Bi, text);
        self.run_until(|world| world.clients[client].finished.contains(&stream));
        assert!(self.clients[client].received[&stream] == text, "what comes back is another text");
    }

    /// The session that talks with a client's current address, or did last.
    pub(super) fn session_at(&self, address: SocketAddr) -> (usize, ConnKey) {
        let is_there = |echo: &Echo| {
            echo.events.iter().any(|event| match event {
                Event::Arrived { address: at } | Event::Moved { address: at } => *at == address,
                _ => false,
            })
        };
        let mut found = self.sessions.iter().enumerate().flat_map(|(shard, sessions)| {
            sessions.iter().filter(|(_, echo)| is_there(echo)).map(move |(key, _)| (shard, *key))
        });
        found.next_back().expect("a session at that address")
    }

    pub(super) fn echo(&self, (shard, key): (usize, ConnKey)) -> &Echo {
        &self.sessions[shard][&key]
    }

    pub(super) fn with_link<T>(
        &mut self,
        (shard, key): (usize, ConnKey),
        act: impl FnOnce(&mut dyn Link) -> T,
    ) -> Option<T> {
        let mut link = self.shards[shard].link(self.now_us, key)?;
        Some(act(&mut link))
    }

    /// Sums over all shards.
    pub(super) fn count(&self, of: fn(Counts) -> u64) -> u64 {
        self.shards.iter().map(|endpoint| of(endpoint.counts())).sum()
    }

    /// Runs until the condition holds.
    #[track_caller]
    pub(super) fn run_until(&mut self, done: impl Fn(&World) -> bool) {
        let started_us = self.now_us;
        while !done(self) {
            let goes_on = self.step();
            assert!(goes_on || done(self), "nothing happens any more");
            assert!(self.now_us < started_us + 120_000_000, "it takes too long");
        }
    }

    pub(super) fn run_for(&mut self, us: u64) {
        let until_us = self.now_us + us;
        self.drive();
        while self.next_us().is_some_and(|at| at <= until_us) {
            self.step();
            self.drive();
        }
        self.now_us = until_us;
    }

    fn next_us(&mut self) -> Option<u64> {
        let flight = self.in_flight.peek().map(|Reverse((at, ..))| *at);
        let servers = self.shards.iter().filter_map(Endpoint::deadline_us);
        let clock = self.clock;
        let clients = self.clients.iter_mut().filter_map(|client| client.conn.poll_timeout());
        let clients = clients.map(|at| clock.us(at));
        let idle = flight.into_iter().chain(servers).chain(clients).min();
        idle.map(|at| at.max(self.now_us))
    }

    /// Lets the next thing happen; whether there was one.
    fn step(&mut self) -> bool {
        self.drive();
        let Some(next) = self.next_us() else { return false };
        self.now_us = next;
        while let Some(Reverse((at, ..))) = self.in_flight.peek() {
            if *at > self.now_us {
                break;
            }
            let Some(Reverse((_, _, packet))) = self.in_flight.pop() else { break };
            self.deliver(packet);
        }
        true
    }

    pub(super) fn drive(&mut self) {
        for client in 0..self.clients.len() {
            self.drive_client(client);
        }
        self.drive_server();
    }

    /// The shard that the kernel gives a datagram to: by its addresses and ports alone.
    pub(super) fn shard_of(&self, from: SocketAddr) -> usize {
        (Random(u64::from(from.port())).next() % self.shards.len() as u64) as usize
    }

    /// The server's socket takes a datagram.
    fn receive(&mut self, packet: &Packet) {
        let shard = self.shard_of(packet.from);
        self.bytes_to_server += packet.bytes.len() as u64;
        let (from, to) = (packet.from, Some(SERVER.ip()));
        let ecn = Some(EcnCodepoint::Ect0);
        self.shards[shard].handle_datagram(self.now_us, from, to, ecn, &packet.bytes);
    }

    pub(super) fn deliver(&mut self, packet: Packet) {
        if packet.to == SERVER {
            self.receive(&packet);
            return self.drive_server();
        }
        let now = self.clock.instant(self.now_us);
        let Some(client) = self.clients.iter_mut().find(|client| client.address == packet.to)
        else {
            return self.strays.push(packet);
        };
        let bytes = packet.bytes.as_slice().into();
        let mut reply = Vec::new();
        let event = client.endpoint.handle(now, packet.from, None, None, bytes, &mut reply);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            client.conn.handle_event(event);
        }
    }

    /// What is on its way to the server arrives in one turn of it.
    pub(super) fn arrive_together(&mut self) {
        let (arriving, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.in_flight)
            .into_sorted_vec()
            .into_iter()
            .rev()
            .partition(|Reverse((_, _, packet))| packet.to == SERVER);
        self.in_flight = rest.into();
        for Reverse((at, _, packet)) in arriving {
            self.now_us = self.now_us.max(at);
            self.receive(&packet);
        }
        self.drive_server();
    }

    pub(super) fn send(&mut self, packet: Packet) {
        let Fate { lose, repeat, damage, delay_us, jitter_us } = self.fate;
        if packet.from == SERVER {
            self.bytes_from_server += packet.bytes.len() as u64;
        }
        if self.random.chance(lose) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(repeat));
        for _ in 0..copies {
            let mut packet = packet.clone();
            if self.random.chance(damage) {
                let bit = self.random.next() as usize % (packet.bytes.len() * 8);
                packet.bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let at = self.now_us + delay_us + self.random.next() % (jitter_us + 1);
            self.sequence += 1;
            self.in_flight.push(Reverse((at, self.sequence, packet)));
        }
    }

    fn drive_server(&mut self) {
        for shard in 0..self.shards.len() {
            self.shards[shard].handle_timeout(self.now_us);
        }
        // Forwarding to a shard that had its turn gives it another.
        while self.shards.iter().any(Endpoint::has_work) {
            for shard in 0..self.shards.len() {
                self.drive_shard(shard);
            }
        }
    }

    fn drive_shard(&mut self, shard: usize) {
        let now_us = self.now_us;
        while let Some((home, arrival)) = self.shards[shard].poll_forward() {
            self.shards[shard].forwarded(true);
            let arrival: Arrival = arrival;
            self.shards[home.index()].handle_forwarded(&arrival);
        }
        while let Some((key, event)) = self.shards[shard].poll_event(now_us) {
            let echo = self.sessions[shard].entry(key).or_default();
            echo.hear(event, self.shards[shard].link(now_us, key).as_mut());
        }
        let mut batch = Batch::default();
        loop {
            let more = self.shards[shard].transmit(now_us, &mut batch);
            let packets: Vec<Packet> = batch
                .waiting()
                .iter()
                .flat_map(|item| {
                    let bytes = &*item.bytes;
                    let to = item.to;
                    bytes.chunks(item.segment.unwrap_or(bytes.len())).map(move |bytes| Packet {
                        from: SERVER,
                        to,
                        bytes: bytes.to_vec(),
                    })
                })
                .collect();
            batch.advance(batch.waiting().len());
            packets.into_iter().for_each(|packet| self.send(packet));
            if !more {
                return;
            }
        }
    }

    fn drive_client(&mut self, n: usize) {
        let now = self.clock.instant(self.now_us);
        let client = &mut self.clients[n];
        if client.conn.poll_timeout().is_some_and(|at| at <= now) {
            client.conn.handle_timeout(now);
        }
        client.poll();
        let mut packets = Vec::new();
        let mut buffer = Vec::new();
        while let Some(transmit) = client.conn.poll_transmit(now, 1, &mut buffer) {
            let bytes = buffer[..transmit.size].to_vec();
            client.sent.push(bytes.clone());
            packets.push(Packet { from: client.address, to: SERVER, bytes });
            buffer.clear();
        }
        client.poll();
        packets.into_iter().for_each(|packet| self.send(packet));
    }
}

impl Client {
    fn poll(&mut self) {
        loop {
            while let Some(event) = self.conn.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                    self.conn.handle_event(event);
                }
            }
            let Some(event) = self.conn.poll() else { return };
            match event {
                quinn_proto::Event::Connected => self.connected = true,
                quinn_proto::Event::ConnectionLost { reason } => self.lost = Some(reason),
                quinn_proto::Event::Stream(quinn_proto::StreamEvent::Readable { id }) => {
                    self.read(id);
                }
                quinn_proto::Event::Stream(quinn_proto::StreamEvent::Opened { dir }) => {
                    while let Some(id) = self.conn.streams().accept(dir) {
                        self.read(id);
                    }
                }
                quinn_proto::Event::DatagramReceived => {
                    while let Some(datagram) = self.conn.datagrams().recv() {
                        self.datagrams.push(datagram.to_vec());
                    }
                }
                _ => {}
            }
        }
    }

    fn read(&mut self, id: quinn_proto::StreamId) {
        let number = VarInt::from(id).into_inner();
        let mut stream = self.conn.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        let into = self.received.entry(number).or_default();
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => into.extend_from_slice(&chunk.bytes),
                Ok(None) => {
                    self.finished.push(number);
                    break;
                }
                Err(_) => break,
            }
        }
        let _ = chunks.finalize();
    }
}

impl Echo {
    fn hear<L: Link>(&mut self, event: Event, link: Option<&mut L>) {
        self.events.push(event.clone());
        let Some(link) = link else { return };
        match event {
            Event::Readable(stream) if !self.is_deaf => self.read(stream, link),
            Event::Writable(stream) => self.write(stream, link),
            Event::Datagrams => {
                let mut datagram = Vec::new();
                while link.receive_datagram(&mut datagram) {
                    self.datagrams.push(datagram.clone());
                    assert!(link.send_datagram(&datagram));
                }
            }
            _ => {}
        }
    }

    fn read<L: Link>(&mut self, stream: StreamId, link: &mut L) {
        let mut bytes = Vec::new();
        let ended = loop {
            match link.read(stream, 1000, &mut bytes) {
                Read::More => {}
                Read::Blocked => break false,
                Read::Finished => break true,
                Read::Reset(_) | Read::Gone => return,
            }
        };
        let seen = if link.is_connected() { &mut self.read } else { &mut self.early };
        seen.extend_from_slice(&bytes);
        if stream.is_one_way() {
            return;
        }
        self.unsent.entry(stream).or_default().extend_from_slice(&bytes);
        if ended {
            self.ended.push(stream);
        }
        self.write(stream, link);
    }

    fn write<L: Link>(&mut self, stream: StreamId, link: &mut L) {
        let Some(unsent) = self.unsent.get_mut(&stream) else { return };
        match link.write(stream, unsent) {
            Ok(written) => drop(unsent.drain(..written)),
            Err(WriteFault::Gone | WriteFault::Stopped(_)) => unsent.clear(),
        }
        if unsent.is_empty() && self.ended.contains(&stream) {
            self.unsent.remove(&stream);
            link.finish(stream);
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.events.contains(&Event::Connected)
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        self.events.iter().find_map(|event| match event {
            Event::Lost(lost) => Some(*lost),
            _ => None,
        })
    }
}
