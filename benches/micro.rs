//! What the parts cost: nanoseconds and allocations of each case.
//!
//! `cargo bench -p tutti --bench micro`, or `... --bench micro -- decode` for those whose name contains a word.

mod cases;

use cases::CASES;

// What the server allocates with.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler<mimalloc::MiMalloc> =
    divan::AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

#[divan::bench(args = CASES.iter().map(|case| case.name))]
fn cost(bencher: divan::Bencher<'_, '_>, name: &str) {
    let case = CASES.iter().find(|case| case.name == name).expect("a name of the list");
    let mut step = (case.step)();
    // Buffers have their size after a few times.
    (0..5).for_each(|_| step());
    bencher.bench_local(step);
}
