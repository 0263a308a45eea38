//! One or more shards with members, and what stands between them and the sockets, in one thread.

use std::{collections::VecDeque, io::IoSlice, sync::Arc, time::Duration};
use tutti::{
    doors::mpp::{Auth, Decoder, Limits, MppWire},
    ws,
};
use tutti_shards::{
    ChannelName, Command, Config, Flow, Format, JoinTarget, Key, Now, Output, Seeds, Sent, Shard,
    ShardId, Transport, UserId,
};

/// Everyone is who they say, and nobody has a password.
pub(crate) struct Anyone;

impl Auth for Anyone {
    fn hello(&self, _: Option<&str>) -> (Option<UserId>, Option<Box<str>>) {
        (None, None)
    }

    fn password(&self, _: &str) -> bool {
        false
    }
}

/// Sockets that take everything.
#[derive(Default)]
pub(crate) struct Takers {
    pub(crate) sends: u64,
    pub(crate) bytes: u64,
}

impl Transport for Takers {
    fn send(&mut self, _: Key, slices: &[IoSlice<'_>]) -> Sent {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        self.sends += 1;
        self.bytes += bytes as u64;
        Sent::Bytes(bytes)
    }
}

/// A connection: on which shard it is, and what its door remembers of it.
pub(crate) struct Peer {
    pub(crate) shard: usize,
    pub(crate) key: Key,
    frames: ws::Decoder,
}

/// The shards of a process without limits on what peers do, or on how long they are silent.
pub(crate) struct Room {
    pub(crate) shards: Vec<Shard<MppWire>>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) sockets: Takers,
    pub(crate) now: Now,
    decoder: Decoder,
    commands: VecDeque<Command>,
}

impl Room {
    /// So many shards with nobody on them.
    pub(crate) fn empty(shards: u16) -> Self {
        let (ping_after, silence_max) =
            (Duration::from_secs(1 << 24), Duration::from_secs(1 << 25));
        let config = Config { ping_after, silence_max, ..Config::default().without_limits() };
        let config = Arc::new(config);
        let shard = |id: u16| {
            let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 + u64::from(id) };
            Shard::new(ShardId(id), shards, config.clone(), seeds, MppWire::new(""))
        };
        Room {
            shards: (0..shards).map(shard).collect(),
            peers: Vec::new(),
            sockets: Takers::default(),
            now: Now { mono_us: 1_000_000, wall_ms: 1_761_000_000_000 },
            decoder: Decoder::new(Limits::default()),
            commands: VecDeque::new(),
        }
    }

    /// One shard with so many members of one channel, of whom every tenth speaks the binary dialect.
    pub(crate) fn new(members: usize) -> Self {
        let mut room = Room::empty(1);
        for n in 0..members {
            let peer = room.enter("a quiet room");
            if n % 10 == 9 {
                room.says(peer, &mut frame(0x82, &[0x0f, 0, 0, 2, 0, 0]));
            }
            room.flush();
        }
        assert_eq!(room.shards[0].gauges().members, members as u64);
        room
    }

    /// Somebody connects to the first shard and joins a channel, wherever that is.
    pub(crate) fn enter(&mut self, channel: &str) -> usize {
        let (key, _) = self.shards[0].open(self.now, Format::MPP_TEXT, b"");
        self.peers.push(Peer { shard: 0, key, frames: ws::Decoder::default() });
        let peer = self.peers.len() - 1;
        self.does(peer, Command::Hello { user: None, token: None });
        self.goes(peer, channel);
        peer
    }

    /// The first name of a channel, numbered from `from`, that a shard owns.
    pub(crate) fn channel_of(&self, shard: usize, from: usize) -> String {
        let owned = |name: &String| {
            let name = ChannelName::parse(name).expect("a good name");
            self.shards[0].owner(&name).index() == shard
        };
        (from..).map(|n| format!("room {n}")).find(owned).expect("each shard owns some")
    }

    pub(crate) fn goes(&mut self, peer: usize, channel: &str) {
        let name = ChannelName::parse(channel).expect("a good name");
        self.does(peer, Command::Join { target: JoinTarget::Named(name), set: None });
    }

    /// A command that the door has made.
    pub(crate) fn does(&mut self, peer: usize, command: Command) {
        let Peer { shard, key, .. } = self.peers[peer];
        let flow = self.shards[shard].handle_command(self.now, key, command);
        assert_ne!(flow, Flow::Pause, "nobody has to be asked");
        self.act();
    }

    /// What the driver does with bytes from a socket.
    pub(crate) fn says(&mut self, peer: usize, mut input: &mut [u8]) {
        let Peer { key, frames, shard } = &mut self.peers[peer];
        let (limits, shard) = (ws::Limits::default(), &mut self.shards[*shard]);
        assert_eq!(shard.charge(self.now, *key, input.len(), 0), Flow::Continue);
        while let Some(item) = frames.next(&limits, &mut input).expect("good frames") {
            let mut format = shard.format(*key).expect("the peer is there");
            let (decoder, commands) = (&mut self.decoder, &mut self.commands);
            let messages = match item {
                ws::Item::Text(payload) => decoder.text(payload, &mut format, &Anyone, commands),
                ws::Item::Binary(payload) => {
                    decoder.binary(payload, &mut format, &Anyone, commands)
                }
                other => panic!("not a message: {other:?}"),
            };
            assert_eq!(shard.charge(self.now, *key, 0, messages), Flow::Continue);
            while let Some(command) = self.commands.pop_front() {
                assert_eq!(shard.handle_command(self.now, *key, command), Flow::Continue);
            }
        }
    }

    /// Does what the shards have put out, until there is no more of it.
    pub(crate) fn act(&mut self) {
        while let Some((from, output)) = self.next_output() {
            match output {
                Output::Mesh { to, message } => {
                    let from = ShardId(from as u16);
                    self.shards[to.index()].handle_mesh(self.now, from, message);
                }
                Output::Handover { key, to, bundle } => {
                    let adopted =
                        self.shards[to.index()].adopt(self.now, ShardId(from as u16), *bundle);
                    let peer =
                        self.peers.iter_mut().find(|peer| peer.shard == from && peer.key == key);
                    let peer = peer.expect("whoever is handed over is here");
                    (peer.shard, peer.key) = (to.index(), adopted);
                }
                Output::Resume { .. } => {}
                Output::Store(_) => unreachable!("nothing is kept"),
                Output::Attachments(_) => {}
                Output::SeatEnded { .. } => unreachable!("nobody has sessions"),
                Output::Close { reason, .. } => panic!("nobody is closed: {reason:?}"),
            }
        }
    }

    fn next_output(&mut self) -> Option<(usize, Output)> {
        let mut shards = self.shards.iter_mut().enumerate();
        shards.find_map(|(n, shard)| shard.poll_output().map(|output| (n, output)))
    }

    pub(crate) fn flush(&mut self) {
        for shard in &mut self.shards {
            shard.flush(self.now, &mut self.sockets, false);
        }
        self.act();
    }

    /// A while goes by.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now.mono_us += 1_000 * ms;
        self.now.wall_ms += ms;
        for shard in &mut self.shards {
            if shard.next_deadline_us().is_some_and(|at| at <= self.now.mono_us) {
                shard.handle_timeout(self.now);
            }
        }
        self.act();
    }
}

/// A masked frame, as clients send it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match u16::try_from(payload.len()).expect("a short message") {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&long.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A message with so many notes, as people play them: starts and stops in turn.
pub(crate) fn batch(notes: usize) -> String {
    let note = |i: usize| match i % 2 {
        0 => r#"{"n":"c4","v":0.62}"#.to_owned(),
        _ => format!(r#"{{"n":"gs5","d":{},"s":1}}"#, 10 * i),
    };
    let notes: Vec<String> = (0..notes).map(note).collect();
    format!(r#"[{{"m":"n","t":1761000000420,"n":[{}]}}]"#, notes.join(","))
}
