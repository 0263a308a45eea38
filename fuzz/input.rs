//! What decides a run of a target that takes steps.

/// The bytes that decide; when they are used up, all further ones are 0.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    pub fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.next()) % end
    }

    pub fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }
}
