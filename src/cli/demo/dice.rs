//! Chance that comes out the same every time.

/// A linear congruential generator (Knuth's constants), of which the upper half is used.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A number from `low` to below `high`.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.next() % (high - low).max(1)
    }

    /// True in so many cases out of a hundred.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.between(0, 100) < percent
    }

    /// One of several, of which there must be one.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }
}
