//! Bytes in a charset that somebody has named, whatever he calls it.
//!
//! The library knows the names that are registered. Mail programs write others: code pages by their numbers, and names with and without
//! their hyphens. ISO-2022-KR and HZ, which the library does not decode, are 7-bit forms of charsets that it does.

use crate::fault;
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// Text of bytes; `None` if the charset is unknown, or its decoder fails on these bytes.
pub fn decode(charset: &str, bytes: &[u8]) -> Option<String> {
    let plain = plain_name(charset);
    let bytes = match plain.as_str() {
        "iso2022kr" => eight_bit(bytes, b"\x0e", b"\x0f"),
        "hzgb2312" | "hz" => eight_bit(bytes, b"~{", b"~}"),
        _ => Cow::from(bytes),
    };
    let known = match plain.as_str() {
        "iso2022kr" | "uhc" => Some("euc-kr"),
        "hzgb2312" | "hz" => Some("gbk"),
        _ => None,
    };
    let decoder = match known {
        Some(known) => charset_decoder(known.as_bytes()),
        None => charset_decoder(charset.as_bytes())
            .or_else(|| charset_decoder(registered(&plain)?.as_bytes())),
    }?;
    fault::contained("text in a character set", || decoder(&bytes))
}

/// A name without what programs write in different ways: hyphens and the like, capitals, an `x-` in front.
fn plain_name(charset: &str) -> String {
    let letters = charset.bytes().filter(u8::is_ascii_alphanumeric);
    let name: String = letters
        .map(|b| char::from(b.to_ascii_lowercase()))
        .collect();
    match name.strip_prefix('x') {
        Some(rest) => rest.to_owned(),
        None => name,
    }
}

/// The registered name of a charset that a plain name stands for.
fn registered(plain: &str) -> Option<Cow<'static, str>> {
    let name = match plain {
        "eucjp" => "euc-jp",
        "euckr" => "euc-kr",
        "euccn" | "gb231280" => "gbk",
        "koi8r" => "koi8-r",
        "koi8u" => "koi8-u",
        "latin0" | "latin9" => "iso-8859-15",
        "macroman" | "macosroman" => "macintosh",
        "shiftjis" => "shift_jis",
        "unicode11utf7" | "unicode20utf7" => "utf-7",
        _ => {
            let of_iso = plain.strip_prefix("iso8859").or(plain.strip_prefix("8859"));
            if let Some(part) = of_iso.and_then(|part| part.parse::<u8>().ok()) {
                return Some(format!("iso-8859-{part}").into());
            }
            let prefixes = ["windows", "win", "cp", "ms", "mscp", "ibm", "dos", ""];
            let mut pages = prefixes
                .iter()
                .filter_map(|prefix| plain.strip_prefix(prefix));
            return code_page(pages.find_map(|page| page.parse().ok())?);
        }
    };
    Some(name.into())
}

/// The charset of a code page of Windows.
fn code_page(page: u32) -> Option<Cow<'static, str>> {
    let name = match page {
        850 | 858 => "cp850",
        866 => "cp866",
        874 => "windows-874",
        932 => "shift_jis",
        936 => "gbk",
        949 | 51949 => "euc-kr",
        950 => "big5",
        1250..=1258 => return Some(format!("windows-{page}").into()),
        10000 => "macintosh",
        20866 => "koi8-r",
        21866 => "koi8-u",
        28591..=28606 => return Some(format!("iso-8859-{}", page - 28590).into()),
        50220..=50222 => "iso-2022-jp",
        51932 => "euc-jp",
        54936 => "gb18030",
        65000 => "utf-7",
        _ => return None,
    };
    Some(name.into())
}

/// The 8-bit form of text in which two-byte characters stand between `begin` and `end`, in 7 bits. An escape sequence that says which
/// they are is left out, and so is the line's end that HZ has behind a `~`.
fn eight_bit(bytes: &[u8], begin: &[u8], end: &[u8]) -> Cow<'static, [u8]> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut rest, mut shifted) = (bytes, false);
    while let Some((&first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(if shifted { end } else { begin }) {
            (rest, shifted) = (behind, !shifted);
        } else if let Some(behind) = rest.strip_prefix(b"\x1b$)C") {
            rest = behind;
        } else if begin == b"~{" && !shifted && rest.starts_with(b"~") {
            let both = behind.split_first();
            out.extend(both.filter(|(second, _)| **second == b'~').map(|_| b'~'));
            rest = both.map_or(behind, |(_, rest)| rest);
        } else {
            let is_half = shifted && (0x21..0x7f).contains(&first);
            out.push(if is_half { first | 0x80 } else { first });
            rest = behind;
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_programs_write_them() {
        for (names, bytes, text) in [
            (
                &["cp932", "MS932", "windows-31j", "x-ms-cp932", "CP-932"][..],
                b"\x83e\x83X\x83g\x87@".as_slice(),
                "テスト①",
            ),
            (
                &["cp949", "uhc", "euckr", "ks_c_5601-1987"],
                b"\xc7\xd1\xb1\xdb",
                "한글",
            ),
            (
                &["cp950", "windows-950", "big5"],
                b"\xa4\xa4\xa4\xe5",
                "中文",
            ),
            (&["euc-cn", "EUCCN", "cp936"], b"\xd6\xd0\xce\xc4", "中文"),
            (
                &["eucjp", "x-eucjp", "cp51932"],
                b"\xa5\xc6\xa5\xb9",
                "テス",
            ),
            (&["koi8r", "KOI8-R", "cp20866"], b"\xf0\xd2\xc9", "При"),
            (
                &["win-1251", "windows1251", "cp-1251", "1251"],
                b"\xcf\xf0\xe8",
                "При",
            ),
            (
                &["latin9", "iso8859-15", "ISO885915", "8859-15"],
                b"\xa4",
                "€",
            ),
            (&["iso8859-16", "iso-8859-16"], b"\xaa", "Ș"),
            (&["macroman", "x-mac-roman"], b"\x8e", "é"),
            (&["cp858", "IBM850"], b"\x82", "é"),
            (&["unicode-1-1-utf-7", "utf-7"], b"Caff+AOg-", "Caffè"),
            (&["iso-2022-kr"], b"\x1b$)C\x0eGQ1[\x0f ok", "한글 ok"),
            (&["hz-gb-2312"], b"a~~b ~{VPND~} ok", "a~b 中文 ok"),
        ] {
            for name in names {
                assert_eq!(decode(name, bytes).as_deref(), Some(text), "{name}");
            }
        }
        for unknown in ["", "x", "klingon", "cp1", "iso-8859-99", "windows-"] {
            assert_eq!(decode(unknown, b"a"), None, "{unknown}");
        }
    }

    #[test]
    fn seven_bits_end_anywhere() {
        for bytes in [
            b"\x0e".as_slice(),
            b"\x0eG",
            b"\x0f\x0e\x1b$)",
            b"GQ\x0eGQ1\x80",
        ] {
            assert!(decode("iso-2022-kr", bytes).is_some());
        }
        for bytes in [b"~".as_slice(), b"~{", b"~{V", b"~\n~x~}", b"~{~}"] {
            assert!(decode("hz-gb-2312", bytes).is_some());
        }
    }
}
