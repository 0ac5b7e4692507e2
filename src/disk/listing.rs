//! The names in a directory.

use super::FileKind;
use crate::error::{Error, Kind, Result};

/// The names in a directory, in the order of the disk, without `.` and `..`.
#[derive(Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    rows: Vec<Row>,
}

/// Where its name begins and how long it is, and what stands behind it.
type Row = (u32, u16, FileKind, u64);

/// One name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub name: &'a [u8],
    pub kind: FileKind,
    pub ino: u64,
}

impl Listing {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn get(&self, at: usize) -> Option<Entry<'_>> {
        self.rows.get(at).map(|row| self.entry(row))
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.rows.iter().map(|row| self.entry(row))
    }

    fn entry(&self, &(start, len, kind, ino): &Row) -> Entry<'_> {
        let start = start as usize;
        let name = self
            .names
            .get(start..start + usize::from(len))
            .unwrap_or_default();
        Entry { name, kind, ino }
    }

    /// Makes it as if it were new, but for the memory that it has.
    pub fn clear(&mut self) {
        self.names.clear();
        self.rows.clear();
    }

    pub fn push(&mut self, name: &[u8], kind: FileKind, ino: u64) -> Result<()> {
        let too_large = |_| {
            Error::new(
                Kind::Unreadable,
                "a directory with more than 4 GiB of names",
            )
        };
        let start = u32::try_from(self.names.len()).map_err(too_large)?;
        self.names.extend_from_slice(name);
        self.rows.push((start, name.len() as u16, kind, ino));
        Ok(())
    }
}
