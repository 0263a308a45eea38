//! What the hot paths allocate once they are warm: nothing for a delivery, a bounded few for a message that comes in,
//! and for a join or a handover a bounded few that do not depend on how many are there.
//!
//! From masked WebSocket frames to the slices that a socket is given, with the parts that the server puts together:
//! the frame decoder, the message decoder, the core and its wire. It has a process of its own, because it counts with
//! the process's allocator.

// Shared with the benchmarks.
#[path = "../benches/cases/room.rs"]
mod room;

use room::{Room, batch, frame};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use tutti_shards::{Command, Note, NoteBatch, Position};

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
    let frames: Vec<Vec<u8>> = (0..players).map(|_| frame(0x81, batch(notes).as_bytes())).collect();
    let mut cost = Cost { messages: 0, deliveries: 0, taking_in: 0, sending_out: 0 };
    for turn in 0..WARM_UP + TURNS {
        room.wait(1);
        let delivered_before = room.shards[0].stats().messages_sent;
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
            cost.deliveries += room.shards[0].stats().messages_sent - delivered_before;
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

const STEPS: usize = 400;

/// The most that one of many steps allocated, after a warm-up. Some seconds pass before each.
fn most(room: &mut Room, step: impl Fn(&mut Room, usize)) -> u64 {
    const WARM_UP: usize = 100;
    let count = |n| {
        // The channel list is published meanwhile.
        room.wait(5_000);
        room.flush();
        allocations_of(|| step(room, n))
    };
    let counts: Vec<u64> = (0..STEPS).map(count).collect();
    *counts[WARM_UP..].iter().max().expect("there are steps")
}

#[test]
fn the_core_alone_allocates_nothing_for_notes() {
    let mut room = Room::new(100);
    let played = Note { key: 40, stop: false, velocity: None, delay_ms: None };
    let count = most(&mut room, |room, n| {
        let at_ms = room.now.wall_ms as f64;
        let batch = NoteBatch { at_ms, sent: 3, notes: [played; 3].into_iter().collect() };
        room.does(n % 100, Command::Play(batch));
        room.flush();
    });
    assert_eq!(count, 0);
    assert!(
        room.sockets.sends >= STEPS as u64 * 99 && room.sockets.bytes > room.sockets.sends * 40
    );
}

#[test]
fn cursor_moves_allocate_nothing() {
    let mut room = Room::new(100);
    let count = most(&mut room, |room, n| {
        // Some go out at once, most are gathered, and all of them are out after the channel's tick.
        for peer in 0..10 {
            let position = Position { x: n as i32, y: peer as i32 };
            room.does((n + peer) % 100, Command::Move(position));
        }
        room.wait(50);
        room.flush();
    });
    assert_eq!(count, 0);
    assert!(
        room.shards[0].stats().messages_sent > STEPS as u64 * 10 * 99 / 2,
        "they were delivered"
    );
}

/// The most that going to a channel and back allocates, with so many members in each.
fn journey(shards: u16, members: usize) -> u64 {
    let mut room = Room::empty(shards);
    let here = room.channel_of(0, 0);
    let there = room.channel_of(usize::from(shards) - 1, 1_000);
    for _ in 0..members {
        room.enter(&here);
        room.enter(&there);
        room.flush();
    }
    let wanderer = room.enter(&here);
    let count = most(&mut room, |room, _| {
        room.goes(wanderer, &there);
        room.flush();
        room.goes(wanderer, &here);
        room.flush();
    });
    let handed_over: u64 = room.shards.iter().map(|shard| shard.stats().handed_over).sum();
    assert!(
        shards == 1 || handed_over >= 2 * STEPS as u64,
        "a channel elsewhere is reached by handover"
    );
    count
}

#[test]
fn a_join_allocates_a_bounded_few() {
    let (few, many) = (journey(1, 10), journey(1, 100));
    assert!(many <= 4, "{many} allocations for two joins");
    assert!(many <= few + 2, "{few} with 10 members, {many} with 100: they cost nothing");
}

#[test]
fn a_handover_allocates_a_bounded_few() {
    let (few, many) = (journey(2, 10), journey(2, 100));
    assert!(many <= 14, "{many} allocations for two handovers");
    assert!(many <= few + 2, "{few} with 10 members, {many} with 100: they cost nothing");
}
