//! Text of header fields: encoded words (RFC 2047) and bytes of unknown charset.
//!
//! Mail programs label charsets wrongly, cut characters in two at the end of a word, and send 8-bit text with no label
//! at all. What cannot be decoded stays as it is, or is guessed at: text for people, never an error.
//!
//! Invariant: the time is linear, apart from what the charset's decoder does.

use super::charset;
use memchr::{memchr, memmem};
use std::borrow::Cow;

/// A part of a field's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that is not encoded; its charset is guessed at.
    Text(Cow<'a, str>),
    /// The text of one or more adjacent encoded words.
    Word(String),
}

/// Text of bytes whose charset nobody names: UTF-8 if it is or mostly is, ISO-2022-JP if it has its escapes, else
/// windows-1252.
pub fn guess(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if memmem::find(bytes, b"\x1b$").is_some()
            && let Some(japanese) = charset::decode("iso-2022-jp", bytes)
        {
            return japanese.into();
        }
        return text.into();
    }
    let (mut good, mut bad) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    if good > bad {
        return String::from_utf8_lossy(bytes);
    }
    charset::decode("windows-1252", bytes).map_or_else(|| String::from_utf8_lossy(bytes), Cow::from)
}

/// Splits an unfolded field at its encoded words, and decodes it. White space between encoded words is no part of the
/// text; 8-bit bytes within one are of its charset.
pub fn pieces(field: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    // Bytes of a run of adjacent words of one charset: a character may be cut in two between them.
    let mut run: Option<(&str, Vec<u8>)> = None;
    let mut done = 0;
    let mut at = 0;
    while let Some(n) = memmem::find(&field[at..], b"=?") {
        let start = at + n;
        let word = match Word::parse(&field[start..]) {
            Parsed::Word(word) => word,
            Parsed::NoWord => {
                at = start + 2;
                continue;
            }
            Parsed::NoMoreWords => break,
        };
        let between = &field[done..start];
        if run.is_none() || !between.trim_ascii().is_empty() {
            end_run(&mut run, &mut pieces);
            if !between.is_empty() {
                pieces.push(Piece::Text(guess(between)));
            }
        }
        match &mut run {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) => {
                word.decode_into(bytes);
            }
            _ => {
                end_run(&mut run, &mut pieces);
                let mut bytes = Vec::new();
                word.decode_into(&mut bytes);
                run = Some((word.charset, bytes));
            }
        }
        at = start + word.len;
        done = at;
    }
    end_run(&mut run, &mut pieces);
    if done < field.len() {
        pieces.push(Piece::Text(guess(&field[done..])));
    }
    pieces
}

fn end_run(run: &mut Option<(&str, Vec<u8>)>, pieces: &mut Vec<Piece<'_>>) {
    if let Some((charset, bytes)) = run.take() {
        let text = labelled(charset, &bytes);
        match pieces.last_mut() {
            Some(Piece::Word(word)) => word.push_str(&text),
            _ => pieces.push(Piece::Word(text)),
        }
    }
}

/// `=?charset*language?encoding?payload?=`
struct Word<'a> {
    charset: &'a str,
    base64: bool,
    payload: &'a [u8],
    /// Of the whole word, in bytes.
    len: usize,
}

enum Parsed<'a> {
    Word(Word<'a>),
    NoWord,
    /// The field has no end of an encoded word any more.
    NoMoreWords,
}

impl<'a> Word<'a> {
    /// Parses what starts with `=?`.
    fn parse(field: &'a [u8]) -> Parsed<'a> {
        let Some(end) = memchr(b'?', &field[2..]) else {
            return Parsed::NoMoreWords;
        };
        let (label, rest) = field[2..].split_at(end);
        let charset = label.split(|&b| b == b'*').next().unwrap_or_default();
        let token = charset.iter().all(u8::is_ascii_graphic);
        let charset = match std::str::from_utf8(charset) {
            Ok(charset) if token && (1..=45).contains(&charset.len()) => charset,
            _ => return Parsed::NoWord,
        };
        let (base64, rest) = match rest {
            [_, b'b' | b'B', b'?', rest @ ..] => (true, rest),
            [_, b'q' | b'Q', b'?', rest @ ..] => (false, rest),
            _ => return Parsed::NoWord,
        };
        let Some(end) = memmem::find(rest, b"?=") else {
            return Parsed::NoMoreWords;
        };
        Parsed::Word(Self {
            charset,
            base64,
            payload: &rest[..end],
            len: field.len() - rest.len() + end + 2,
        })
    }

    fn decode_into(&self, out: &mut Vec<u8>) {
        if self.base64 {
            base64(self.payload, out);
        } else {
            quoted_printable(self.payload, out);
        }
    }
}

/// What is not of the alphabet is passed over; `=` ends the data.
fn base64(payload: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u32, 0);
    for &byte in payload {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
}

/// A `=` without two hexadecimal digits stands for itself.
fn quoted_printable(payload: &[u8], out: &mut Vec<u8>) {
    let mut rest = payload;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'='),
            },
            _ => out.push(*byte),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Text of bytes with a charset's name on them, which may be unknown or a lie.
fn labelled(label: &str, bytes: &[u8]) -> String {
    let is = |name: &&str| label.eq_ignore_ascii_case(name);
    if ["utf-8", "utf8"].iter().any(is) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if ["us-ascii", "ascii"].iter().any(is) {
        return guess(bytes).into_owned();
    }
    charset::decode(label, bytes).unwrap_or_else(|| guess(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(field: impl AsRef<[u8]>) -> String {
        let text = |piece| match piece {
            Piece::Text(text) => text.into_owned(),
            Piece::Word(word) => word,
        };
        pieces(field.as_ref()).into_iter().map(text).collect()
    }

    #[test]
    fn words() {
        assert_eq!(text("plain =?x"), "plain =?x");
        assert_eq!(text("=?utf-8?Q?Caff=C3=A8_=E2=82=AC?="), "Caffè €");
        assert_eq!(text("a =?ISO-8859-1?B?/Pbk?= b"), "a üöä b");
        assert_eq!(text("=?iso-8859-15*de?q?=A4=FC?="), "€ü");
        assert_eq!(text("=?koi8-r?B?8NLJ18XU?="), "Привет");
        assert_eq!(text("=?gb2312?B?xOO6ww==?="), "你好");
        assert_eq!(
            text("=?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?="),
            "こんにちは"
        );
        assert_eq!(text("Re:=?utf-8?q?x?=y"), "Re:xy");
        assert_eq!(text("=?utf-8?q?100=_=zz=?="), "100= =zz=");
        assert_eq!(text("=?utf-8?q??="), "");
    }

    #[test]
    fn white_space_between_words_is_dropped() {
        assert_eq!(
            text("=?utf-8?q?a?= \t =?utf-8?q?b?= c =?utf-8?q?d?="),
            "ab c d"
        );
        assert_eq!(text("=?utf-8?q?=C3=A8?= =?latin1?q?=E8?="), "èè");
    }

    #[test]
    fn characters_cut_in_two() {
        assert_eq!(
            text("=?utf-8?Q?=C3?= =?UTF-8?Q?=A8_=E2=82?=  =?utf-8?b?rA==?="),
            "è €"
        );
        // The middle of a two-byte sequence, within one shifted state.
        assert_eq!(
            text("=?iso-2022-jp?Q?=1B$B$3$s$?= =?iso-2022-jp?Q?K$A$O=1B(B?="),
            "こんにちは"
        );
    }

    #[test]
    fn lies_stay_readable() {
        assert_eq!(text(b"\xe8 =?iso-8859-5?Q?\xbf=E0\xd8?= \xe8"), "è При è");
        assert_eq!(text("è =?utf-8?Q?è=C3=A8?="), "è èè");
        assert_eq!(text("=?us-ascii?Q?Caff=C3=A8?="), "Caffè");
        assert_eq!(text("=?x-klingon?Q?Caff=E8?="), "Caffè");
        assert_eq!(text("=?unknown-8bit?Q?Caff=C3=A8?="), "Caffè");
        assert_eq!(text("=?utf-8?X?abc?="), "=?utf-8?X?abc?=");
        assert_eq!(text("=??Q?abc?="), "=??Q?abc?=");
    }

    #[test]
    fn bytes_without_a_label() {
        assert_eq!(guess("Grüße".as_bytes()), "Grüße");
        assert_eq!(guess(b"Gr\xfc\xdfe \x80"), "Grüße €");
        assert_eq!(guess(b"\x1b$B$3$s$K$A$O\x1b(B"), "こんにちは");
        assert_eq!(
            guess(
                "Grüße aus Österreic\u{fc}"
                    .as_bytes()
                    .split_last()
                    .unwrap()
                    .1
            ),
            "Grüße aus Österreic\u{fffd}"
        );
        assert_eq!(guess(b""), "");
    }

    #[test]
    fn half_words_take_no_more_than_linear_time() {
        for half in ["=?a?q? ", "=? ", "=?a", "=?a?x?"] {
            let field = half.repeat(300_000);
            assert!(text(&field) == field, "{half}");
        }
        text("=?a?q?".repeat(300_000));
        assert!(text("=?a?q?x?= ".repeat(100_000)).trim_end() == "x".repeat(100_000));
    }

    proptest! {
        #[test]
        fn utf8_comes_back_however_it_is_cut(original in "\\PC{0,30}", width in 1usize..8) {
            let encoded: Vec<String> = original
                .as_bytes()
                .chunks(width)
                .map(|bytes| bytes.iter().map(|b| format!("={b:02X}")).collect::<String>())
                .map(|payload| format!("=?utf-8?q?{payload}?="))
                .collect();
            prop_assert_eq!(text(encoded.join(" ")), original);
        }

        #[test]
        fn no_input_is_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            charset in "(utf-7|utf-16|utf-8|iso-2022-jp|big5|shift_jis|euc-kr|gb18030|koi8-r|x|iso-8859-8)",
        ) {
            guess(&bytes);
            let payload: String = bytes.iter().map(|b| format!("={b:02X}")).collect();
            text(format!("=?{charset}?q?{payload}?="));
            text(&bytes);
        }
    }
}
