//! Randomness from one seed, in separate streams.

use tutti_shards::Rng;

/// A stream of random numbers. Each purpose has its own, so that a draw added to one leaves the others as they were.
#[derive(Debug)]
pub struct Draw(Rng);

impl Draw {
    /// The stream that belongs to `seed` and `salt`.
    #[must_use]
    pub fn new(seed: u64, salt: u64) -> Self {
        let mut mixed = Rng::new(seed ^ salt.wrapping_mul(0xa076_1d64_78bd_642f));
        Draw(Rng::new(mixed.next_u64()))
    }

    /// Sixty-four random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low + 1)
    }

    /// Whether something happens that does in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    /// One of `choices`, which is not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}
