//! The fields of a header, one after the other, and their text.
//!
//! Invariant: no input is refused, and none costs more than in proportion to its length.

use super::encoded_word::{Piece, pieces};
use memchr::memchr;

/// Gives each field of a header, with its name and its folded value; says where the header ends.
pub fn each(message: &[u8], mut give: impl FnMut(&[u8], &[u8])) -> usize {
    let mut give_lines = |lines: &[u8]| {
        if let Some(colon) = memchr(b':', lines) {
            let (name, value) = lines.split_at(colon);
            give(name.trim_ascii_end(), value.get(1..).unwrap_or_default());
        }
    };
    let (mut start, mut at) = (0, 0);
    while let Some(rest) = message.get(at..).filter(|rest| !rest.is_empty()) {
        let len = memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
        let line = rest.get(..len).unwrap_or_default();
        if !matches!(line, [b' ' | b'\t', ..]) {
            give_lines(message.get(start..at).unwrap_or_default());
            start = at;
            if matches!(line, b"\n" | b"\r\n") {
                return at;
            }
        }
        at += len;
    }
    give_lines(message.get(start..).unwrap_or_default());
    message.len()
}

/// The text of a field's value: unfolded and decoded, otherwise as it stands.
pub fn text(value: &[u8]) -> String {
    let lines: Vec<&[u8]> = value
        .trim_ascii()
        .split(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    let mut text = String::new();
    for piece in pieces(&lines.concat()) {
        match piece {
            Piece::Text(part) => text.push_str(&part),
            Piece::Word(word) => text.push_str(&word),
        }
    }
    text
}
