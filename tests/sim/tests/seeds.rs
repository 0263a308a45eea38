//! A few thousand seeds in each test run, and those that once failed.

use tutti_sim::run;

fn check(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        if let Err(failure) = run(seed, false) {
            panic!("{failure}");
        }
    }
}

#[test]
fn the_first_thousand_seeds() {
    check(0..1_000);
}

#[test]
fn the_second_thousand_seeds() {
    check(1_000..2_000);
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in [1, 7, 0xbeef, 0x5eed] {
        let (first, second) = (run(seed, false).unwrap(), run(seed, false).unwrap());
        assert_eq!((first.trace, first.steps), (second.trace, second.steps), "seed {seed:#x}");
        assert_ne!(first.trace, run(seed + 1, false).unwrap().trace);
    }
}
