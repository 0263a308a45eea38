//! What the note path allocates once it is warm: nothing for a delivery, and a bounded few for a message that comes in.
//!
//! From masked WebSocket frames to the slices that a socket is given, with the parts that the server puts together:
//! the frame decoder, the message decoder, the core and its wire. It has a process of its own, because it counts with
//! the process's allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::VecDeque,
    io::IoSlice,
    sync::Arc,
};
use tutti::{
    doors::mpp::{Auth, Decoder, Limits, MppWire},
    ws,
};
use tutti_shards::{
    Command, Config, Flow, Format, Key, Now, Seeds, Sent, Shard, ShardId, Transport, UserId,
};

struct Counting;

thread_local! {
    /// Of this thread alone: the test runner allocates on others.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all methods hand their arguments to the system's allocator unchanged. Counting allocates nothing: the cell
// is initialised at compile time and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(step: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    step();
    ALLOCATIONS.get() - before
}

struct Anyone;

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
struct Takers {
    sends: u64,
    bytes: u64,
}

impl Transport for Takers {
    fn send(&mut self, _: Key, slices: &[IoSlice<'_>]) -> Sent {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        self.sends += 1;
        self.bytes += bytes as u64;
        Sent::Bytes(bytes)
    }
}

struct Peer {
    key: Key,
    frames: ws::Decoder,
}

/// One shard with one room, and all that stands between it and the sockets.
struct Room {
    shard: Shard<MppWire>,
    decoder: Decoder,
    commands: VecDeque<Command>,
    peers: Vec<Peer>,
    sockets: Takers,
    now: Now,
}

impl Room {
    /// A room with so many members, of whom every tenth speaks the binary dialect.
    fn new(members: usize) -> Self {
        let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
        let config = Arc::new(Config::default().without_limits());
        let mut room = Room {
            shard: Shard::new(ShardId(0), 1, config, seeds, MppWire::new("")),
            decoder: Decoder::new(Limits::default()),
            commands: VecDeque::new(),
            peers: Vec::new(),
            sockets: Takers::default(),
            now: Now { mono_us: 1_000_000, wall_ms: 1_761_000_000_000 },
        };
        for n in 0..members {
            let (key, _) = room.shard.open(room.now, Format::MPP_TEXT, b"");
            room.peers.push(Peer { key, frames: ws::Decoder::default() });
            room.says(n, &mut frame(0x81, br#"[{"m":"hi"},{"m":"ch","_id":"a quiet room"}]"#));
            if n % 10 == 9 {
                room.says(n, &mut frame(0x82, &[0x0f, 0, 0, 2, 0, 0]));
            }
            room.flush();
        }
        let gauges = room.shard.gauges();
        assert_eq!(gauges.members, members as u64);
        room
    }

    /// What the driver does with bytes from a socket.
    fn says(&mut self, peer: usize, mut input: &mut [u8]) {
        let Peer { key, frames } = &mut self.peers[peer];
        let limits = ws::Limits::default();
        assert_eq!(self.shard.charge(self.now, *key, input.len(), 0), Flow::Continue);
        while let Some(item) = frames.next(&limits, &mut input).expect("good frames") {
            let mut format = self.shard.format(*key).expect("the peer is there");
            let (decoder, commands) = (&mut self.decoder, &mut self.commands);
            let messages = match item {
                ws::Item::Text(payload) => decoder.text(payload, &mut format, &Anyone, commands),
                ws::Item::Binary(payload) => {
                    decoder.binary(payload, &mut format, &Anyone, commands)
                }
                other => panic!("not a message: {other:?}"),
            };
            assert_eq!(self.shard.charge(self.now, *key, 0, messages), Flow::Continue);
            while let Some(command) = self.commands.pop_front() {
                let flow = self.shard.handle_command(self.now, *key, command);
                assert_eq!(flow, Flow::Continue);
            }
        }
    }

    fn flush(&mut self) {
        self.shard.flush(self.now, &mut self.sockets, false);
        assert!(self.shard.poll_output().is_none(), "nobody is closed or sent away");
    }

    /// A millisecond goes by.
    fn wait(&mut self) {
        self.now.mono_us += 1_000;
        self.now.wall_ms += 1;
        if self.shard.next_deadline_us().is_some_and(|at| at <= self.now.mono_us) {
            self.shard.handle_timeout(self.now);
        }
    }
}

/// A masked frame, as clients send it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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

/// A batch of so many notes, as people play them: starts and stops in turn.
fn batch(notes: usize) -> Vec<u8> {
    let note = |i: usize| match i % 2 {
        0 => r#"{"n":"c4","v":0.62}"#.to_owned(),
        _ => format!(r#"{{"n":"gs5","d":{},"s":1}}"#, 10 * i),
    };
    let notes: Vec<String> = (0..notes).map(note).collect();
    let text = format!(r#"[{{"m":"n","t":1761000000420,"n":[{}]}}]"#, notes.join(","));
    frame(0x81, text.as_bytes())
}

/// What turns of a room allocate in which `players` people play once each.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    messages: u64,
    deliveries: u64,
    taking_in: u64,
    sending_out: u64,
}

fn cost(members: usize, players: usize, notes: usize) -> Cost {
    const WARM_UP: usize = 100;
    const TURNS: usize = 300;
    let mut room = Room::new(members);
    let frames: Vec<Vec<u8>> = (0..players).map(|_| batch(notes)).collect();
    let mut cost = Cost { messages: 0, deliveries: 0, taking_in: 0, sending_out: 0 };
    for turn in 0..WARM_UP + TURNS {
        room.wait();
        let delivered_before = room.shard.stats().messages_sent;
        // Decoding unmasks in place, so each turn has frames of its own, made before the counting.
        let mut input = frames.clone();
        let taking_in = allocations_of(|| {
            for (n, bytes) in input.iter_mut().enumerate() {
                room.says((turn + n) % members, bytes);
            }
        });
        let sending_out = allocations_of(|| room.flush());
        if turn >= WARM_UP {
            cost.messages += players as u64;
            cost.deliveries += room.shard.stats().messages_sent - delivered_before;
            cost.taking_in += taking_in;
            cost.sending_out += sending_out;
        }
    }
    assert_eq!(cost.deliveries, cost.messages * (members as u64 - 1), "all the others got it");
    assert!(room.sockets.sends > 0 && room.sockets.bytes > cost.deliveries * 40);
    cost
}

#[test]
fn counting_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations_of(|| ()), 0);
}

#[test]
fn delivering_notes_allocates_nothing() {
    // One plays at a time, and all play in the same turn.
    for (players, notes) in [(1, 1), (1, 20), (100, 3)] {
        let cost = cost(100, players, notes);
        assert_eq!(cost.sending_out, 0, "{players} players, {notes} notes: {cost:?}");
    }
}

#[test]
fn taking_notes_in_allocates_a_bounded_few() {
    // A batch of up to three notes needs no memory of its own; a longer one grows by doubling.
    for (notes, most) in [(1, 0), (3, 0), (4, 1), (16, 1), (40, 3), (200, 5)] {
        let few = cost(2, 1, notes);
        let many = cost(100, 1, notes);
        assert!(many.taking_in <= most * many.messages, "{notes} notes: {many:?}");
        assert_eq!(few.taking_in, many.taking_in, "{notes} notes: members cost nothing");
    }
}
