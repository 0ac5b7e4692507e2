//! The bytes that a store keeps of one message.

use crate::disk::File;
use crate::error::{Error, Kind, Result};
use std::rc::Rc;

/// The bytes that a store keeps of one message: a file, or a part of one. They may be compressed or encrypted.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    /// What is before the bytes of the file.
    head: Vec<u8>,
    file: Rc<File<'a>>,
    start: u64,
    size: u64,
    claimed: Option<u64>,
    is_plain: bool,
}

impl<'a> Stored<'a> {
    /// A message that is a file of its own. `claimed` as in [`claimed_size`](Self::claimed_size).
    pub fn whole(file: File<'a>, claimed: Option<u64>) -> Self {
        Self {
            head: Vec::new(),
            start: 0,
            size: file.stat().size,
            file: Rc::new(file),
            claimed,
            is_plain: false,
        }
    }

    /// A message that is `size` bytes of a file from `start` on.
    ///
    /// # Errors
    /// [`Kind::Unreadable`] if the file ends before that.
    pub fn part(file: Rc<File<'a>>, start: u64, size: u64, claimed: Option<u64>) -> Result<Self> {
        let end = start.checked_add(size);
        if end.is_none_or(|end| end > file.stat().size) {
            let message = format!(
                "{}: ends before the message of {size} bytes at {start} does",
                file.name()
            );
            return Err(Error::new(Kind::Unreadable, message));
        }
        Ok(Self {
            head: Vec::new(),
            file,
            start,
            size,
            claimed,
            is_plain: false,
        })
    }

    /// The same of a store that encodes no messages: the bytes are the message itself, whatever they begin like.
    #[must_use]
    pub fn plain(self) -> Self {
        Self {
            claimed: Some(self.size),
            is_plain: true,
            ..self
        }
    }

    /// A plain message of which the store's own fields have been taken out: its header, and `len` bytes of a file from
    /// `start` on.
    ///
    /// # Errors
    /// As for [`part`](Self::part).
    pub fn headed(head: Vec<u8>, file: Rc<File<'a>>, start: u64, len: u64) -> Result<Self> {
        let size = head.len() as u64 + len;
        Ok(Self {
            head,
            size,
            ..Self::part(file, start, len, None)?
        }
        .plain())
    }

    /// In bytes, as stored.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size that the store claims for the message once it is decoded. It may be that of the stored bytes by chance.
    pub fn claimed_size(&self) -> Option<u64> {
        self.claimed
    }

    /// Which bytes of the disk these are, and since when: where this is the same on two dates, the disk has them once, or has
    /// not changed them in between.
    pub fn state(&self) -> [u64; 6] {
        let stat = self.file.stat();
        let since = (stat.ctime.secs.cast_unsigned(), u64::from(stat.ctime.nanos));
        [stat.ino, stat.size, since.0, since.1, self.start, self.size]
    }

    /// Tells the disk that the first `len` bytes will be read soon.
    pub fn will_need(&self, len: u64) -> Result<()> {
        self.file.will_need(self.start, len.min(self.size))
    }

    /// Whether the store encodes no messages.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Reads from `offset` on until the buffer is full or the message ends; returns how many bytes.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        let head = usize::try_from(offset).ok();
        let head = head
            .and_then(|offset| self.head.get(offset..))
            .unwrap_or_default();
        let (front, rest) = buffer.split_at_mut(head.len().min(len));
        front.copy_from_slice(head.get(..front.len()).unwrap_or_default());
        let at = offset
            .saturating_add(front.len() as u64)
            .saturating_sub(self.head.len() as u64);
        let n = match rest {
            [] => 0,
            rest => self.file.read_at(rest, self.start.saturating_add(at))?,
        };
        Ok(front.len() + n)
    }
}
