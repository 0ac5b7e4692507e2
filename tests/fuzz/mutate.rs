//! Inputs at random, made from seeds.

/// Longest input, in bytes.
const LONGEST: usize = 1 << 16;

pub struct Mutator {
    state: u64,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static [u8]],
}

impl Mutator {
    pub fn new(start: u64, seeds: &[&[u8]], words: &'static [&'static [u8]]) -> Self {
        Self {
            state: start,
            seeds: seeds.iter().map(|seed| seed.to_vec()).collect(),
            words,
        }
    }

    /// splitmix64
    fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds[at].clone()
    }

    pub fn input(&mut self) -> Vec<u8> {
        let mut input = match self.below(16) {
            0 => (0..self.below(200))
                .map(|_| self.below(256) as u8)
                .collect(),
            _ => self.seed(),
        };
        for _ in 0..=self.below(8) {
            self.mutate(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.below(256) as u8,
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            // Long runs of the same find what is not linear.
            4 => {
                let part = input[at..end].to_vec();
                let times = 1 << self.below(11);
                input.splice(at..at, part.repeat(times).into_iter().take(LONGEST));
            }
            5 => {
                let other = self.seed();
                let from = self.below(other.len() + 1);
                input.splice(at..end, other[from..].iter().copied());
            }
            _ if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                input.splice(at..end, word.iter().copied());
            }
            _ => input.insert(at, self.below(256) as u8),
        }
    }
}
