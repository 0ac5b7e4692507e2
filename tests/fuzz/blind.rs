//! Inputs at random, made from seeds and from words of a dictionary.

use std::fs;
use std::path::Path;

/// Longest input, in bytes.
const LONGEST: usize = 1 << 16;

pub struct Mutator {
    state: u64,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

/// The files of a directory, in order of their names: the same each time.
pub fn seeds(directory: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", directory.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The words of a dictionary in libFuzzer's form: a line for each, in quotation marks, with `\\`, `\"` and `\xAB`.
pub fn words(dictionary: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(dictionary).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let quoted = |line: &str| -> Option<Vec<u8>> {
        let mut rest = line.strip_prefix('"')?.strip_suffix('"')?.bytes();
        let mut word = Vec::new();
        while let Some(byte) = rest.next() {
            word.push(match byte {
                b'\\' => match rest.next()? {
                    b'x' => {
                        let digits = [rest.next()?, rest.next()?];
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                    }
                    same => same,
                },
                byte => byte,
            });
        }
        Some(word)
    };
    let words = lines
        .map(|line| quoted(line).unwrap_or_else(|| panic!("{}: {line}", dictionary.display())));
    words.collect()
}

impl Mutator {
    pub fn new(start: u64, seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        Self {
            state: start,
            seeds,
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
                let word = self.below(self.words.len());
                input.splice(at..end, self.words[word].iter().copied());
            }
            _ => input.insert(at, self.below(256) as u8),
        }
    }
}
