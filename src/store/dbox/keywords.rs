//! The keywords of a folder while its index is read: few names, and few different sets of them.
//!
//! Messages have numbers of sets, so that a folder whose owner has invented a thousand keywords costs no thousand bits for
//! each message, and a change of one keyword on a whole folder is looked up once for each set.

use super::index::{damaged, field};
use crate::error::Result;
use crate::store::messages::Keywords;
use std::collections::HashMap;

/// Names at most; servers stop at some hundreds.
const MOST_NAMES: usize = 4096;

/// Bytes of all sets at most.
const MOST_BYTES: usize = 32 << 20;

#[derive(Debug, Default)]
pub struct KeywordTable {
    keywords: Keywords,
    by_name: HashMap<Vec<u8>, usize>,
    by_bits: HashMap<Box<[u8]>, u32>,
    bytes: usize,
    /// The name that is being added or removed.
    chosen: usize,
    /// Where that leads from a set.
    led: HashMap<(u32, bool), u32>,
}

impl KeywordTable {
    /// Reads the extension header of an index: a count, for each name eight bytes of which the last four are its offset,
    /// then the names, each ended by a NUL.
    pub fn read_header(&mut self, header: &[u8]) -> Result<()> {
        let count = field(header, 0) as usize;
        let names = 4 + count.saturating_mul(8);
        for number in 0..count.min(MOST_NAMES + 1) {
            let start = names.saturating_add(field(header, 4 + number * 8 + 4) as usize);
            let rest = header.get(start..).unwrap_or_default();
            let end = rest.iter().position(|&byte| byte == 0);
            let name = end.and_then(|end| rest.get(..end)).unwrap_or_default();
            if name.is_empty() || self.add(name)? != number {
                return Err(damaged("damaged names of keywords"));
            }
        }
        Ok(())
    }

    /// The position of a name, which is made known; names differ by more than case.
    fn add(&mut self, name: &[u8]) -> Result<usize> {
        let next = self.keywords.names.len();
        let known = self.by_name.entry(name.to_ascii_lowercase());
        let at = *known.or_insert(next);
        if at == next {
            if next >= MOST_NAMES {
                return Err(damaged("more keywords than a folder can have here"));
            }
            self.keywords.names.push(name.to_vec());
        }
        Ok(at)
    }

    /// Makes a name the one that [`changed`](Self::changed) adds or removes.
    pub fn choose(&mut self, name: &[u8]) -> Result<()> {
        self.chosen = self.add(name)?;
        self.led.clear();
        Ok(())
    }

    /// The set that a set becomes by adding or removing the chosen name.
    pub fn changed(&mut self, set: u32, add: bool) -> Result<u32> {
        if let Some(&led) = self.led.get(&(set, add)) {
            return Ok(led);
        }
        let at = (set as usize).checked_sub(1);
        let bits = at.and_then(|at| self.keywords.sets.get(at));
        let mut bits = bits.map(|bits| bits.to_vec()).unwrap_or_default();
        let (byte, bit) = (self.chosen / 8, 1 << (self.chosen % 8));
        if bits.len() <= byte {
            bits.resize(byte + 1, 0);
        }
        if let Some(byte) = bits.get_mut(byte) {
            *byte = if add { *byte | bit } else { *byte & !bit };
        }
        let led = self.set(&bits)?;
        self.led.insert((set, add), led);
        Ok(led)
    }

    /// The number of a set.
    pub fn set(&mut self, bits: &[u8]) -> Result<u32> {
        let len = bits
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |at| at + 1);
        let bits = bits.get(..len).unwrap_or_default();
        if bits.is_empty() {
            return Ok(0);
        }
        if let Some(&set) = self.by_bits.get(bits) {
            return Ok(set);
        }
        self.bytes += bits.len() + 64;
        if self.bytes > MOST_BYTES {
            return Err(damaged("more sets of keywords than a folder can have here"));
        }
        self.keywords.sets.push(bits.into());
        let set = self.keywords.sets.len() as u32;
        self.by_bits.insert(bits.into(), set);
        Ok(set)
    }

    pub fn finish(self) -> Keywords {
        self.keywords
    }
}
