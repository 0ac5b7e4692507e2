//! What is learned once about a message, and its form on disk.
//!
//! The form is for the index, which is rebuilt when it is not understood: so it has a version, and reading it accepts
//! only what writing it gives. Damage shows as `None`, never as other facts that could not have been.
//!
//! ```text
//! version  1 byte
//! which    1 byte: 1 Message-ID, 2 sizes, 4 verbatim_none, 8 verbatim_status
//! id       16 bytes, big-endian, if there is one
//! sizes    stored, none, status: LEB128 each, if known
//! sender   length (LEB128), UTF-8
//! subject  the same
//! ```

use super::header::{Headers, TEXT_CAP};
use super::mboxrd::BodySize;

/// Everything known about a message but its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// As in [`Headers`].
    pub sender: String,
    /// As in [`Headers`].
    pub subject: String,
    /// As in [`Headers`].
    pub message_id: Option<u128>,
    /// None as long as only the header has been read.
    pub body: Option<BodySize>,
}

impl From<Headers> for Facts {
    fn from(headers: Headers) -> Self {
        Self {
            sender: headers.sender,
            subject: headers.subject,
            message_id: headers.message_id,
            body: None,
        }
    }
}

const VERSION: u8 = 4;

const HAS_ID: u8 = 1;
const HAS_SIZES: u8 = 2;
const VERBATIM_NONE: u8 = 4;
const VERBATIM_STATUS: u8 = 8;
const KNOWN: u8 = HAS_ID | HAS_SIZES | VERBATIM_NONE | VERBATIM_STATUS;

impl Facts {
    /// Appends the form on disk. Sender and subject must be no longer than [`TEXT_CAP`], or it can't be read again.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let body = self.body.unwrap_or_default();
        out.push(VERSION);
        out.push(
            bit(self.message_id.is_some(), HAS_ID)
                | bit(self.body.is_some(), HAS_SIZES)
                | bit(body.verbatim_none, VERBATIM_NONE)
                | bit(body.verbatim_status, VERBATIM_STATUS),
        );
        if let Some(id) = self.message_id {
            out.extend_from_slice(&id.to_be_bytes());
        }
        if self.body.is_some() {
            for size in [body.stored, body.none, body.status] {
                put_number(size, out);
            }
        }
        for text in [&self.sender, &self.subject] {
            put_number(text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
    }

    /// Reads the form on disk. None if it is not exactly what [`Facts::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [VERSION, which, rest @ ..] = bytes else {
            return None;
        };
        let mut rest = rest;
        let has = |bit: u8| which & bit != 0;
        if which & !KNOWN != 0 {
            return None;
        }
        let message_id = if has(HAS_ID) {
            let (id, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u128::from_be_bytes(*id))
        } else {
            None
        };
        let body = if has(HAS_SIZES) {
            let body = BodySize {
                stored: take_number(&mut rest)?,
                none: take_number(&mut rest)?,
                status: take_number(&mut rest)?,
                verbatim_none: has(VERBATIM_NONE),
                verbatim_status: has(VERBATIM_STATUS),
            };
            Some(body).filter(possible)
        } else {
            None
        };
        if body.is_none() && which & !HAS_ID != 0 {
            return None;
        }
        let sender = take_text(&mut rest)?;
        let subject = take_text(&mut rest)?;
        rest.is_empty().then_some(Self {
            sender,
            subject,
            message_id,
            body,
        })
    }
}

/// Some message has these sizes.
fn possible(size: &BodySize) -> bool {
    let ended = size.stored.checked_add(1);
    let fits = |len: u64, verbatim: bool| {
        !verbatim || len == size.stored || (len > 1 && Some(len) == ended)
    };
    // Each quoted line has six bytes or more, each dropped CR two.
    let most = size.stored.saturating_add(size.stored / 5 + 1);
    size.none <= most
        && size.status <= size.none
        && size.none >= size.stored / 2
        && fits(size.none, size.verbatim_none)
        && fits(size.status, size.verbatim_status)
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part || (byte == 0 && shift > 0) {
            return None;
        }
        number |= part << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(take_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    let text = std::str::from_utf8(text).ok()?;
    (text.chars().nth(TEXT_CAP).is_none()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::mboxrd::Measure;
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = Facts> {
        let body = prop_oneof!["\\PC{0,40}", "(>|From |\r|\n|x|Status:){0,30}"];
        (
            any::<(String, String, Option<u128>)>(),
            prop::option::of(body),
        )
            .prop_map(|((sender, subject, message_id), body)| Facts {
                sender,
                subject,
                message_id,
                body: body.map(|body: String| {
                    let mut measure = Measure::new();
                    measure.feed(body.as_bytes());
                    measure.finish()
                }),
            })
    }

    fn encoded(facts: &Facts) -> Vec<u8> {
        let mut bytes = Vec::new();
        facts.encode(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn comes_back(facts in facts()) {
            prop_assert_eq!(Facts::decode(&encoded(&facts)), Some(facts));
        }

        #[test]
        fn only_what_is_written_is_read(facts in facts(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = encoded(&facts);
            let at = at.index(bytes.len());
            prop_assert_eq!(Facts::decode(&bytes[..at]), None);
            bytes[at] = byte;
            if let Some(other) = Facts::decode(&bytes) {
                prop_assert_eq!(encoded(&other), bytes);
            }
        }

        #[test]
        fn garbage(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let bytes = [&[VERSION][..], &bytes].concat();
            if let Some(facts) = Facts::decode(&bytes) {
                prop_assert_eq!(encoded(&facts), bytes);
            }
        }

        #[test]
        fn numbers(number: u64) {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            prop_assert_eq!(take_number(&mut &bytes[..]), Some(number));
        }
    }

    #[test]
    fn strict() {
        let bytes = encoded(&Facts::default());
        assert_eq!(bytes, [VERSION, 0, 0, 0]);
        assert_eq!(Facts::decode(&[1, 0, 0, 0]), None);
        assert_eq!(Facts::decode(&[VERSION, 0, 0, 0, 0]), None);
        assert_eq!(Facts::decode(&[VERSION, 16, 0, 0]), None);
        assert_eq!(Facts::decode(&[VERSION, VERBATIM_NONE, 0, 0]), None);
        assert_eq!(Facts::decode(&[VERSION, 0, 0x80, 0, 0]), None);
        assert_eq!(take_number(&mut &[0xff; 10][..]), None);
        let long = Facts {
            sender: "x".repeat(TEXT_CAP + 1),
            ..Facts::default()
        };
        assert_eq!(Facts::decode(&encoded(&long)), None);
    }
}
