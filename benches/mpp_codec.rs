//! What one Multiplayer Piano message costs to decode and to encode: nanoseconds and allocations.
//!
//! `cargo bench -p tutti --bench mpp_codec`. "parser" is the path that every other message takes; the short cut has to
//! win by more than half to be worth its lines.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::VecDeque,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tutti::doors::mpp::{Auth, Decoder, Limits, MppWire};
use tutti_shards::{Command, Event, Format, Position, UserId, Wire};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: both methods hand their arguments to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Anyone;

impl Auth for Anyone {
    fn hello(&self, _: Option<&str>) -> (Option<UserId>, Option<Box<str>>) {
        (None, None)
    }

    fn password(&self, _: &str) -> bool {
        false
    }
}

/// Runs `step` for a while and prints the best of several rounds, which is the least disturbed.
fn measure(name: &str, mut step: impl FnMut()) {
    const ROUNDS: u32 = 15;
    const STEPS: u32 = 20_000;
    // `cargo test` runs benchmarks without this flag, only to see that they work.
    if !std::env::args().any(|argument| argument == "--bench") {
        return step();
    }
    for _ in 0..STEPS {
        step();
    }
    let before = ALLOCATIONS.load(Relaxed);
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..STEPS {
            step();
        }
        best = best.min(start.elapsed());
    }
    let allocations = (ALLOCATIONS.load(Relaxed) - before) as f64 / f64::from(ROUNDS * STEPS);
    let ns = best.as_nanos() as f64 / f64::from(STEPS);
    println!("{name:<28} {ns:8.1} ns {allocations:6.2} allocations");
}

fn batch(notes: usize) -> String {
    let note = |i| match i % 2 {
        0 => r#"{"n":"c4","v":0.62}"#.to_owned(),
        _ => format!(r#"{{"n":"gs5","d":{},"s":1}}"#, 10 * i),
    };
    let notes: Vec<String> = (0..notes).map(note).collect();
    format!(r#"[{{"m":"n","t":1761000000420,"n":[{}]}}]"#, notes.join(","))
}

fn main() {
    let frames = [
        ("cursor", r#"[{"m":"m","x":"41.20","y":"73.05"}]"#.to_owned()),
        ("1 note", batch(1)),
        ("3 notes", batch(3)),
        ("20 notes", batch(20)),
        ("chat", r#"[{"m":"a","message":"hello there"}]"#.to_owned()),
    ];
    let mut decoder = Decoder::new(Limits::default());
    let mut format = Format::MPP_TEXT;
    let mut out = VecDeque::with_capacity(4);
    let mut payload = Vec::with_capacity(4096);
    for (name, frame) in &frames {
        measure(&format!("decode {name}"), || {
            payload.clear();
            payload.extend_from_slice(frame.as_bytes());
            decoder.text(black_box(&mut payload), &mut format, &Anyone, &mut out);
            black_box(&mut out).clear();
        });
        measure(&format!("decode {name}, parser"), || {
            payload.clear();
            payload.extend_from_slice(frame.as_bytes());
            decoder.text_by_parser(black_box(&mut payload), &mut format, &Anyone, &mut out);
            black_box(&mut out).clear();
        });
    }

    let wire = MppWire::new("");
    let user = UserId([7; 12]);
    let mut bytes = Vec::with_capacity(1 << 16);
    for (name, frame) in frames.iter().skip(1).take(3) {
        let mut commands = VecDeque::new();
        decoder.text(&mut frame.clone().into_bytes(), &mut format, &Anyone, &mut commands);
        let Some(Command::Play(batch)) = commands.pop_front() else { unreachable!("a note batch") };
        let event = Event::Notes { user, at_ms: batch.at_ms, notes: &batch.notes };
        for (form, format) in [("text", Format::MPP_TEXT), ("quick", Format::MPP_QUICK)] {
            measure(&format!("encode {name}, {form}"), || {
                bytes.clear();
                wire.encode(format, black_box(&[event]), &mut bytes);
                black_box(&bytes);
            });
        }
    }
    let cursors = [Event::Cursor { user, position: Position { x: 4_120, y: 7_305 } }; 60];
    measure("encode cursor, text", || {
        bytes.clear();
        wire.encode(Format::MPP_TEXT, black_box(&cursors[..1]), &mut bytes);
        black_box(&bytes);
    });
    measure("encode 60 cursors, text", || {
        bytes.clear();
        wire.encode(Format::MPP_TEXT, black_box(&cursors), &mut bytes);
        black_box(&bytes);
    });
}
