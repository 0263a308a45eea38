//! The QUIC transport with nothing on it but an echo, for tests with other implementations of QUIC.
//!
//! ```text
//! cargo run --example quic_echo -- 127.0.0.1:4433 2 /tmp/quic-echo [SETTING=VALUE ...]
//! ```
//!
//! listens with so many shards, all in this thread, and keeps its secrets and its certificate in the folder, from where
//! clients can take what to trust. What comes on a two-way stream goes back on it, on a one-way stream to a new one of
//! ours, and a datagram as a datagram. Settings: `retry_above`, `ignore_above`, `early_data`, `idle_ms`,
//! `handshake_ms`. On the end of its input it prints what it has counted and ends.
#![deny(unsafe_code)]

use anyhow::{Context as _, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    time::{ClockId, clock_gettime},
};
use std::{collections::HashMap, io::Read as _, path::PathBuf, sync::Arc, time::Duration};
use tutti::{
    admission::Admission,
    config::{Config, Data, HostCpus, RawConfig},
    quic::{
        Batch, ConnKey, Endpoint, Event, Link, Read, Settings, Shared, Source, StreamId, UdpSocket,
    },
};
use tutti_shards::ShardId;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is known of a connection.
#[derive(Default)]
struct Echo {
    /// What waits to be sent back, and whether nothing follows it.
    waiting: HashMap<StreamId, (Vec<u8>, bool)>,
}

struct Shard {
    endpoint: Endpoint,
    socket: UdpSocket,
    batch: Batch,
    echoes: HashMap<ConnKey, Echo>,
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(shards), Some(dir)) = (args.next(), args.next(), args.next()) else {
        bail!("usage: quic_echo ADDRESS:PORT SHARDS FOLDER [SETTING=VALUE ...]");
    };
    let shards: u16 = shards.parse().context("a number of shards")?;
    let data = Data::Dir(PathBuf::from(dir));
    let mut settings = Settings {
        listen: address.parse().context("an address and a port")?,
        source: Source::Made(data.clone()),
        early_data: true,
        datagrams: true,
        idle_timeout: Duration::from_secs(300),
        handshake: Duration::from_secs(10),
        retry_above: 1000,
        ignore_above: 4000,
        masked_ids: true,
        receive_buffer: 4 << 20,
        send_buffer: 4 << 20,
    };
    for setting in args {
        let (name, value) = setting.split_once('=').context("a setting and its value")?;
        let number: u32 = value.parse().with_context(|| format!("{name} is a number"))?;
        match name {
            "retry_above" => settings.retry_above = number,
            "ignore_above" => settings.ignore_above = number,
            "early_data" => settings.early_data = number != 0,
            "idle_ms" => settings.idle_timeout = Duration::from_millis(number.into()),
            "handshake_ms" => settings.handshake = Duration::from_millis(number.into()),
            _ => bail!("there is no setting {name}"),
        }
    }
    let host = HostCpus::of_this_process();
    let limits = Config::new(&RawConfig::default(), &host).expect("the defaults fit").limits;
    let shared = Shared::open(settings, &data, Arc::new(Admission::new(&limits, Arc::default())))?;
    let mut all = Vec::new();
    let mut listen = shared.settings().listen;
    for id in 0..shards {
        let (receive, send) = (shared.settings().receive_buffer, shared.settings().send_buffer);
        let socket = UdpSocket::bind(listen, receive, send)?;
        listen = socket.local_address()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        let mut endpoint = Endpoint::new(shared.clone(), ShardId(id), shards, now_us(), seed);
        endpoint.set_segments_max(socket.segments_max());
        let (batch, echoes) = (Batch::default(), HashMap::new());
        all.push(Shard { endpoint, socket, batch, echoes });
    }
    println!("listening on {listen}, certificate {}", shared.certificates().fingerprint());
    run(&mut all)?;
    for (id, shard) in all.iter().enumerate() {
        println!("shard {id}: {:?} {:?}", shard.endpoint.counts(), shard.socket.counts());
    }
    Ok(())
}

fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

fn run(all: &mut [Shard]) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    loop {
        let deadline = all.iter().filter_map(|shard| shard.endpoint.deadline_us()).min();
        let wait = deadline.map(|at| Duration::from_micros(at.saturating_sub(now_us())));
        let wait = wait.map(TryInto::try_into).transpose()?;
        let mut fds: Vec<PollFd<'_>> =
            all.iter().map(|shard| PollFd::new(&shard.socket, PollFlags::IN)).collect();
        fds.push(PollFd::new(&stdin, PollFlags::IN));
        poll(&mut fds, wait.as_ref())?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.last() == Some(&true) && stdin.lock().read(&mut [0; 64])? == 0 {
            return Ok(());
        }
        let now = now_us();
        for at in 0..all.len() {
            let shard = &mut all[at];
            if ready[at] {
                shard.socket.receive(now, &mut shard.endpoint)?;
            }
            while let Some((home, arrival)) = all[at].endpoint.poll_forward() {
                all[at].endpoint.forwarded(true);
                all[home.index()].endpoint.handle_forwarded(&arrival);
            }
        }
        for shard in &mut *all {
            shard.turn(now);
        }
    }
}

impl Shard {
    fn turn(&mut self, now: u64) {
        self.endpoint.handle_timeout(now);
        while let Some((key, event)) = self.endpoint.poll_event(now) {
            if let Event::Lost(_) = event {
                self.echoes.remove(&key);
            } else if let Some(mut link) = self.endpoint.link(now, key) {
                self.echoes.entry(key).or_default().hear(&event, &mut link);
            }
        }
        loop {
            let has_more = self.endpoint.transmit(now, &mut self.batch);
            if !self.socket.send(now, &mut self.batch) || !has_more {
                return;
            }
        }
    }
}

impl Echo {
    fn hear(&mut self, event: &Event, link: &mut impl Link) {
        match *event {
            Event::Readable(stream) => {
                let mut bytes = Vec::new();
                let ended = loop {
                    match link.read(stream, 64 << 10, &mut bytes) {
                        Read::More => {}
                        Read::Blocked => break false,
                        Read::Finished => break true,
                        Read::Reset(_) | Read::Gone => return,
                    }
                };
                let back = if stream.is_one_way() { link.open_one_way() } else { Some(stream) };
                let Some(back) = back else { return };
                let (waiting, is_all) = self.waiting.entry(back).or_default();
                waiting.extend_from_slice(&bytes);
                *is_all |= ended;
                self.write(back, link);
            }
            Event::Writable(stream) => self.write(stream, link),
            Event::Datagrams => {
                let mut datagram = Vec::new();
                while link.receive_datagram(&mut datagram) {
                    link.send_datagram(&datagram);
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, stream: StreamId, link: &mut impl Link) {
        let Some((waiting, is_all)) = self.waiting.get_mut(&stream) else { return };
        match link.write(stream, waiting) {
            Ok(written) => drop(waiting.drain(..written)),
            Err(_) => waiting.clear(),
        }
        if waiting.is_empty() {
            if *is_all {
                link.finish(stream);
            }
            self.waiting.remove(&stream);
        }
    }
}
