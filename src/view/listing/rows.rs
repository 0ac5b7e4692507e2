//! The rows of a listing, in memory and as the index keeps them.

use super::Trace;
use crate::message::mboxrd::BodySize;
use crate::store::{Messages, take};
use crate::view::content::Encoding;
use crate::view::name;
use std::io::{self, Write};

/// One message as it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Where the name begins among all names.
    pub name: u32,
    pub name_len: u16,
    pub encoding: Encoding,
    pub body: BodyForm,
    /// Exact size of what reading gives.
    pub size: u64,
}

/// What a message's body in an mbox is, as far as a byte can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// Not measured, or to be looked up.
    Unknown,
    /// The stored bytes, whatever the flag lines.
    Verbatim,
    /// The stored bytes and a newline, whatever the flag lines.
    Newline,
}

impl BodyForm {
    const ALL: [Self; 3] = [Self::Unknown, Self::Verbatim, Self::Newline];

    pub fn of(body: Option<&BodySize>) -> Self {
        let Some(body) = body else {
            return Self::Unknown;
        };
        let of = |form: Self| form.size(body.stored).as_ref() == Some(body);
        Self::ALL
            .into_iter()
            .find(|form| of(*form))
            .unwrap_or(Self::Unknown)
    }

    /// The sizes of a body of this form.
    pub fn size(self, stored: u64) -> Option<BodySize> {
        let len = match self {
            Self::Unknown => return None,
            Self::Verbatim => stored,
            Self::Newline => stored + 1,
        };
        Some(BodySize {
            stored,
            none: len,
            status: len,
            verbatim_none: true,
            verbatim_status: true,
        })
    }
}

/// What a listing knows of its messages, in the order of their identities.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub messages: Messages,
    pub shown: Vec<Shown>,
    /// The names, end to end.
    pub names: String,
}

impl Rows {
    pub fn name(&self, shown: &Shown) -> &str {
        let start = shown.name as usize;
        self.names
            .get(start..start + usize::from(shown.name_len))
            .unwrap_or_default()
    }

    /// What is shown of the message at this position.
    pub fn trace(&self, at: usize) -> Option<Trace> {
        let (message, shown) = (self.messages.get(at)?, self.shown.get(at)?);
        Some(Trace {
            identity: self.messages.identity(message),
            name: self.name(shown).to_owned(),
            size: shown.size,
            stored: message.size,
            received: message.received,
            encoding: shown.encoding,
            body: shown.body.size(shown.size),
        })
    }

    /// The rows at these positions alone.
    pub fn only(&self, positions: &[u32]) -> Self {
        let mut some = Self {
            messages: self.messages.only(positions),
            ..Self::default()
        };
        for shown in positions.iter().filter_map(|&p| self.shown.get(p as usize)) {
            let name = some.names.len() as u32;
            some.names.push_str(self.name(shown));
            some.shown.push(Shown { name, ..*shown });
        }
        some
    }

    /// Whether a name was made of the message alone, and not longer for a clash.
    pub fn has_plain_name(&self, shown: &Shown) -> bool {
        name::id_in(self.name(shown)).is_some_and(|id| id.len() == name::ID_CHARS)
    }

    /// Whether they hold for every date on which the folder's stamp is the same.
    pub fn is_settled(&self) -> bool {
        !self.messages.provisional
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        self.messages.weight() + self.names.capacity() + self.shown.capacity() * size_of::<Shown>()
    }

    /// Writes the rows as bytes that [`decode`](Self::decode) reads.
    pub fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        self.messages.encode(out)?;
        for shown in &self.shown {
            out.write_all(&shown.name_len.to_le_bytes())?;
            out.write_all(&[shown.encoding.to_byte(), shown.body as u8])?;
            out.write_all(&shown.size.to_le_bytes())?;
        }
        out.write_all(self.names.as_bytes())
    }

    /// `None` if the bytes are not what [`encode`](Self::encode) makes.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let messages = Messages::decode(bytes)?;
        let mut shown = Vec::with_capacity(messages.len());
        let mut start = 0u32;
        for _ in 0..messages.len() {
            let name_len = u16::from_le_bytes(take(bytes)?);
            let [encoding, body] = take(bytes)?;
            let size = u64::from_le_bytes(take(bytes)?);
            shown.push(Shown {
                name: start,
                name_len,
                encoding: Encoding::from_byte(encoding)?,
                body: *BodyForm::ALL.get(usize::from(body))?,
                size,
            });
            start = start.checked_add(u32::from(name_len))?;
        }
        let names = String::from_utf8(bytes.to_vec())
            .ok()
            .filter(|names| names.len() == start as usize)?;
        Some(Self {
            messages,
            shown,
            names,
        })
    }
}
