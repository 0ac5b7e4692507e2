//! The fields of a header, one after the other, and their text.
//!
//! Invariant: no input is refused, and none costs more than in proportion to its length.

use super::encoded_word::{Piece, pieces};
use memchr::memchr;

/// What some programs write before the first line.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Gives each field of a header, with its name and its folded value; says where the header ends.
pub fn each(message: &[u8], mut give: impl FnMut(&[u8], &[u8])) -> usize {
    let mut give_lines = |lines: &[u8]| {
        if let Some(colon) = memchr(b':', lines) {
            let (name, value) = lines.split_at(colon);
            give(name.trim_ascii_end(), value.get(1..).unwrap_or_default());
        }
    };
    let mut start = match message.starts_with(BYTE_ORDER_MARK) {
        true => BYTE_ORDER_MARK.len(),
        false => 0,
    };
    let mut at = start;
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

/// Whether there is anything of a text to be seen: spaces of no width and the like are nothing.
pub fn is_visible(text: &str) -> bool {
    let is_seen = |c: char| {
        let is_nothing = matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
        !is_nothing && !c.is_whitespace() && !c.is_control()
    };
    text.chars().any(is_seen)
}
