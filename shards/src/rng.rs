//! The core's only source of randomness, from a seed that is passed in.

/// SplitMix64: small, fast, and good enough for ids that only have to differ. Never for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `end`, which must not be 0.
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "a number below 0 does not exist");
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// Twelve random bytes.
    pub fn bytes12(&mut self) -> [u8; 12] {
        let (a, b) = (self.next_u64().to_le_bytes(), self.next_u32().to_le_bytes());
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&a);
        bytes[8..].copy_from_slice(&b);
        bytes
    }
}
