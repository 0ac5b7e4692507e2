//! What a message is recognised by, beside its store identity: its size and a digest of its bytes.
//!
//! A mail server that is handed a message over IMAP may keep other line ends than it had, so the two are counted with
//! every line end as CRLF there ([`Basis::Crlf`]); where files are compared with files, the bytes count as they are.

use sha2::{Digest as _, Sha256};

/// Of all bytes of a message.
pub type Digest = [u8; 32];

/// Which bytes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Those of the message.
    Stored,
    /// Those that IMAP transfers: LF without CR before it is CRLF.
    Crlf,
}

/// Takes the measure of a message that is given in pieces.
pub struct Measure {
    basis: Basis,
    hash: Sha256,
    size: u64,
    /// LFs without CR before them.
    bare: u64,
    after_cr: bool,
    buffer: Vec<u8>,
}

/// The measure of a whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// In bytes, as it is.
    pub size: u64,
    /// In bytes, with CRLF line ends.
    pub crlf_size: u64,
    /// On the basis that was asked for.
    pub digest: Digest,
}

impl Measured {
    pub fn size_on(&self, basis: Basis) -> u64 {
        match basis {
            Basis::Stored => self.size,
            Basis::Crlf => self.crlf_size,
        }
    }
}

impl Measure {
    pub fn new(basis: Basis) -> Self {
        Self {
            basis,
            hash: Sha256::new(),
            size: 0,
            bare: 0,
            after_cr: false,
            buffer: Vec::new(),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        let mut ends = Ends {
            after_cr: self.after_cr,
        };
        self.buffer.clear();
        let added = ends.convert(bytes, &mut self.buffer);
        self.after_cr = ends.after_cr;
        self.bare += added;
        match self.basis {
            Basis::Stored => self.hash.update(bytes),
            Basis::Crlf => self.hash.update(&self.buffer),
        }
    }

    pub fn finish(self) -> Measured {
        Measured {
            size: self.size,
            crlf_size: self.size + self.bare,
            digest: self.hash.finalize().into(),
        }
    }
}

/// Makes every line end CRLF, piece by piece.
#[derive(Debug, Default)]
pub struct Ends {
    after_cr: bool,
}

impl Ends {
    /// Appends the bytes so converted; how many were added.
    pub fn convert(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> u64 {
        let mut added = 0;
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            let cr = match at.checked_sub(1).and_then(|before| bytes.get(before)) {
                Some(&before) => before == b'\r',
                None => self.after_cr,
            };
            if !cr {
                out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
                out.push(b'\r');
                from = at;
                added += 1;
            }
        }
        out.extend_from_slice(bytes.get(from..).unwrap_or_default());
        if let Some(&last) = bytes.last() {
            self.after_cr = last == b'\r';
        }
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn converted(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, &b) in bytes.iter().enumerate() {
            if b == b'\n' && (at == 0 || bytes[at - 1] != b'\r') {
                out.push(b'\r');
            }
            out.push(b);
        }
        out
    }

    proptest! {
        #[test]
        fn pieces_are_the_whole(bytes in proptest::collection::vec(proptest::sample::select(b"\r\nab".to_vec()), 0..60), step in 1_usize..7) {
            let whole = converted(&bytes);
            let (mut ends, mut out) = (Ends::default(), Vec::new());
            let mut measure = Measure::new(Basis::Crlf);
            for piece in bytes.chunks(step) {
                ends.convert(piece, &mut out);
                measure.feed(piece);
            }
            prop_assert_eq!(&out, &whole);
            let measured = measure.finish();
            let digest: Digest = Sha256::digest(&whole).into();
            prop_assert_eq!(measured, Measured { size: bytes.len() as u64, crlf_size: whole.len() as u64, digest });
        }
    }
}
