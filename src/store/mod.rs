//! Mail stores: which folders a mailbox has, which messages a folder has, and where their bytes are.
//!
//! The files of a store are somebody else's and any of them may be a trap; what is no mail is left out, counted and
//! warned of, never followed. Invariants:
//!
//! 1. A message's [`identity`](Messages::identity) is what the store itself calls it (the base name in a Maildir), so
//!    it is the same in every snapshot, whatever the message's flags. Two messages of a folder never share one.
//! 2. [`Messages`] are in byte order of their identities: their position is part of a node id.
//! 3. Nothing here opens a message to list a folder.
//!
//! The cast: [`maildir`] reads Maildir++ and `LAYOUT=fs`; [`folder_name`] decodes folder names; [`decode`] undoes
//! compression.

pub mod decode;
pub mod folder_name;
pub mod maildir;

use crate::message::Flags;
use crate::time::Time;

/// A folder of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The folder's directory, relative to the mailbox; empty for a Maildir's own INBOX.
    pub stored: Vec<u8>,
    /// The decoded name, one component for each level; never empty.
    pub path: Vec<String>,
}

/// The folders of a mailbox, and how many things among them are no mail.
#[derive(Debug, Default)]
pub struct Folders {
    pub folders: Vec<Folder>,
    /// Symbolic links, and directories nested too deep to be folders.
    pub oddities: u64,
}

/// What says that a folder has not changed: inode, size, mtime and ctime of each of its directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: Vec<u8>,
    /// The folder's last change.
    pub changed: Time,
}

/// One message as its folder lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    name: u32,
    name_len: u16,
    /// How much of the file name is the base name.
    base_len: u16,
    /// In `new/`, not in `cur/`.
    pub new: bool,
    /// The base name occurs twice with different sizes, and this is the second one.
    pub twin: bool,
    pub flags: Flags,
    /// Size of the stored file in bytes.
    pub size: u64,
    /// mtime of the stored file, which is the message's INTERNALDATE.
    pub mtime: Time,
}

/// The messages of a folder in byte order of their identities.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Messages {
    names: Vec<u8>,
    rows: Vec<Message>,
    /// Symbolic links, FIFOs, devices and directories where a message should be.
    pub oddities: u64,
    /// Names of the first of them, for a warning; not kept when the listing is.
    pub odd_names: Vec<String>,
}

impl Messages {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn get(&self, position: usize) -> Option<&Message> {
        self.rows.get(position)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Message> {
        self.rows.iter()
    }

    /// The name of the stored file.
    pub fn file_name(&self, message: &Message) -> &[u8] {
        let start = message.name as usize;
        self.names
            .get(start..start + usize::from(message.name_len))
            .unwrap_or_default()
    }

    /// The name that the store knows the message by: the Maildir base name.
    pub fn store_name(&self, message: &Message) -> &[u8] {
        self.file_name(message)
            .get(..usize::from(message.base_len))
            .unwrap_or_default()
    }

    /// What the message is called in every snapshot. A twin is told apart by its size, behind a byte that no file
    /// name can have.
    pub fn identity(&self, message: &Message) -> Vec<u8> {
        let mut identity = self.store_name(message).to_vec();
        if message.twin {
            identity.extend_from_slice(format!("/{}", message.size).as_bytes());
        }
        identity
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        self.names.capacity() + self.rows.capacity() * size_of::<Message>()
    }
}

/// Bytes of one message in an encoded listing, its file name left out.
const ENCODED: usize = 26;

impl Messages {
    /// Appends the listing as bytes that [`decode`](Self::decode) reads.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.rows.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.oddities.to_le_bytes());
        for row in &self.rows {
            out.extend_from_slice(&row.name_len.to_le_bytes());
            out.extend_from_slice(&row.base_len.to_le_bytes());
            out.push(u8::from(row.new) | u8::from(row.twin) << 1);
            out.push(row.flags.bits());
            out.extend_from_slice(&row.size.to_le_bytes());
            out.extend_from_slice(&row.mtime.secs.to_le_bytes());
            out.extend_from_slice(&row.mtime.nanos.to_le_bytes());
        }
        for row in &self.rows {
            out.extend_from_slice(self.file_name(row));
        }
    }

    /// Reads what [`encode`](Self::encode) wrote from the front of `bytes`; `None` if that is not what is there.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let count = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
        let oddities = u64::from_le_bytes(take(bytes)?);
        let (mut fixed, mut names) = bytes.split_at_checked(count.checked_mul(ENCODED)?)?;
        let mut rows = Vec::with_capacity(count);
        let (mut start, all) = (0u32, names);
        for _ in 0..count {
            let name_len = u16::from_le_bytes(take(&mut fixed)?);
            let base_len = u16::from_le_bytes(take(&mut fixed)?);
            let [bits, flags] = take(&mut fixed)?;
            let flags = Flags::from_bits(flags);
            let size = u64::from_le_bytes(take(&mut fixed)?);
            let secs = i64::from_le_bytes(take(&mut fixed)?);
            let nanos = u32::from_le_bytes(take(&mut fixed)?);
            let (new, twin) = (bits & 1 != 0, bits & 2 != 0);
            let mtime = Time { secs, nanos };
            rows.push(Message {
                name: start,
                name_len,
                base_len,
                new,
                twin,
                flags,
                size,
                mtime,
            });
            names = names.get(usize::from(name_len)..)?;
            start = start.checked_add(u32::from(name_len))?;
        }
        let used = all.get(..start as usize)?.to_vec();
        *bytes = names;
        Some(Self {
            names: used,
            rows,
            oddities,
            odd_names: Vec::new(),
        })
    }
}

/// Takes a fixed number of bytes from the front.
pub fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}
