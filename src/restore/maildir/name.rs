//! Names of messages in a Maildir: `<unique>,S=<size>,W=<size>:2,<flags>`.
//!
//! A message that is put back gets a new unique name, for the mail server may remember the old one as expunged. `S` is
//! the size of the message in bytes, `W` its size with CRLF line ends.
//!
//! Source of the format: <https://cr.yp.to/proto/maildir.html>; the sizes are Maildir++'s and Dovecot's.

use crate::message::Flags;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most keywords that a folder of a Maildir can have: a letter each.
pub const LETTERS: usize = 26;

/// Makes unique names; no other process of this host makes them, nor has made them.
#[derive(Debug)]
pub struct Names {
    /// `<seconds>.M<microseconds>P<process>`
    start: String,
    host: String,
    count: u64,
}

impl Names {
    /// Those of this moment.
    pub fn now() -> Self {
        let now = SystemTime::now();
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let host = rustix::system::uname().nodename().to_bytes().to_vec();
        let safe = |&b: &u8| match b {
            b'.' | b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(b),
            _ => '_',
        };
        let host: String = host.iter().take(64).map(safe).collect();
        Self {
            start: format!(
                "{}.M{}P{}",
                now.as_secs(),
                now.subsec_micros(),
                std::process::id()
            ),
            host: if host.is_empty() {
                "localhost".into()
            } else {
                host
            },
            count: 0,
        }
    }

    /// The next name; without sizes and flags.
    pub fn draw(&mut self) -> String {
        self.count += 1;
        format!("{}Q{}.{}", self.start, self.count, self.host)
    }
}

/// The size of a message that its file's name says.
pub fn size(file: &[u8]) -> Option<u64> {
    let fields = file.split(|&b| b == b',' || b == b':');
    let mut sizes = fields.filter_map(|field| field.strip_prefix(b"S="));
    sizes.find_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
}

/// The name of a file in `cur`.
pub fn in_cur(unique: &str, size: u64, crlf_size: u64, flags: &str) -> String {
    format!("{unique},S={size},W={crlf_size}:2,{flags}")
}

/// The unique part of a base name or a file name.
pub fn unique(name: &[u8]) -> &[u8] {
    let end = name.iter().position(|b| matches!(b, b',' | b':'));
    name.get(..end.unwrap_or(name.len())).unwrap_or_default()
}

/// Flags as letters, in their order; then those of the keywords, numbered from 0.
pub fn letters(flags: Flags, keywords: &[usize]) -> String {
    let known = [
        (flags.draft(), 'D'),
        (flags.flagged(), 'F'),
        (flags.passed(), 'P'),
        (flags.answered(), 'R'),
        (flags.seen(), 'S'),
        (flags.deleted(), 'T'),
    ];
    let mut numbers: Vec<u8> = keywords
        .iter()
        .filter(|number| **number < LETTERS)
        .map(|number| *number as u8)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let flags = known.iter().filter(|(set, _)| *set).map(|(_, c)| *c);
    let keywords = numbers.into_iter().map(|number| char::from(b'a' + number));
    flags.chain(keywords).collect()
}

/// Numbers of the keywords that a file name has letters for.
pub fn keyword_numbers(file_name: &[u8]) -> impl Iterator<Item = usize> {
    let info = file_name
        .windows(3)
        .rposition(|w| matches!(w, b":2," | b";2," | b"!2,"));
    let letters = info.and_then(|at| file_name.get(at + 3..));
    letters
        .unwrap_or_default()
        .iter()
        .take_while(|&&b| b != b',')
        .filter(|b| b.is_ascii_lowercase())
        .map(|b| usize::from(b - b'a'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_split_again() {
        let mut names = Names::now();
        let (a, b) = (names.draw(), names.draw());
        assert_ne!(a, b);
        let file = in_cur(&a, 12, 14, "FS");
        assert_eq!(unique(file.as_bytes()), a.as_bytes());
        assert!(file.ends_with(",S=12,W=14:2,FS"), "{file}");
        assert_eq!(
            a.split('.').next().unwrap().parse::<u64>().map(|_| ()),
            Ok(())
        );
    }

    #[test]
    fn flags_and_keywords() {
        let flags = Flags::SEEN | Flags::FLAGGED | Flags::PASSED;
        assert_eq!(letters(flags, &[2, 0, 2, 99]), "FPSac");
        let numbers: Vec<usize> = keyword_numbers(b"1.x,S=1:2,FSac,b").collect();
        assert_eq!(numbers, [0, 2]);
        assert_eq!(keyword_numbers(b"abc").count(), 0);
    }
}
