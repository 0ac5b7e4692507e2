//! Folder names as mail stores keep them: modified UTF-7 (RFC 3501) or raw UTF-8.
//!
//! A store says nowhere which of the two it uses. A byte of 0x80 or more is only in the second; a name of ASCII alone is
//! taken for the first if encoding what it decodes to gives the same name again, and for plain text otherwise. So
//! two names of ASCII alone decode to the same only if one of them (`&`) is what no server would write, and is shown as it
//! is, and the other (`&-`) stands for just that text. Who shows both tells them apart.

/// Decodes one level of a stored folder name, for people. Bytes that are not UTF-8 are replaced (U+FFFD).
pub fn decode(stored: &[u8]) -> String {
    let text = String::from_utf8_lossy(stored);
    if !stored.is_ascii() {
        return text.into_owned();
    }
    decode_utf7(&text)
        .filter(|decoded| encode(decoded) == stored)
        .unwrap_or_else(|| text.into_owned())
}

/// Encodes one level of a folder name in modified UTF-7.
pub fn encode(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut shifted = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            end_shift(&mut shifted, &mut out);
            out.push(c as u8);
            if c == '&' {
                out.push(b'-');
            }
        } else {
            shifted.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }
    end_shift(&mut shifted, &mut out);
    out
}

/// Base64 with `,` for `/`, which is the hierarchy separator of many servers.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Writes a run of UTF-16 units as `&…-`, and empties it.
fn end_shift(units: &mut Vec<u16>, out: &mut Vec<u8>) {
    if units.is_empty() {
        return;
    }
    out.push(b'&');
    let (mut bits, mut count) = (0u32, 0);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(digit(bits >> count));
        }
    }
    if count > 0 {
        out.push(digit(bits << (6 - count)));
    }
    out.push(b'-');
}

fn digit(bits: u32) -> u8 {
    DIGITS[(bits & 63) as usize]
}

/// None if a run is not ended, or is no base64 of UTF-16.
fn decode_utf7(stored: &str) -> Option<String> {
    let mut out = String::with_capacity(stored.len());
    let mut rest = stored;
    while let Some((plain, run)) = rest.split_once('&') {
        out.push_str(plain);
        let (run, after) = run.split_once('-')?;
        if run.is_empty() {
            out.push('&');
        } else {
            out.push_str(&String::from_utf16(&units(run)?).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// UTF-16 units of a run; bits that are left over are for the comparison with the canonical form to judge.
fn units(run: &str) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(run.len() * 6 / 16);
    let (mut bits, mut count) = (0u32, 0);
    for byte in run.bytes() {
        let value = DIGITS.iter().position(|&digit| digit == byte)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count) as u16);
        }
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn modified_utf7() {
        for (stored, name) in [
            ("INBOX", "INBOX"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("M&APw-ll", "Müll"),
            ("A &- B", "A & B"),
            ("&Jjo-!", "☺!"),
            ("&U,BTFw-", "台北"),
            ("&2D3eAA-", "😀"),
            ("&ZeVnLIqe-", "日本語"),
            ("&AAk-", "\t"),
            ("", ""),
        ] {
            assert_eq!(decode(stored.as_bytes()), name);
            assert_eq!(encode(name), stored.as_bytes());
        }
    }

    #[test]
    fn what_is_not_canonical_stays_as_it_is() {
        for stored in [
            "R&D",
            "&",
            "a&b-",
            "&APw",
            "&APx-",
            "&AGE-",
            "&APwA-",
            "&2D0-",
            "&3gA-",
            "&AP/-",
            "&APw-&APw-",
            "a\tb",
            "&APw=-",
            "& -",
        ] {
            assert_eq!(decode(stored.as_bytes()), stored);
        }
    }

    #[test]
    fn raw_utf8() {
        assert_eq!(decode("Entwürfe &- &APw-".as_bytes()), "Entwürfe &- &APw-");
        assert_eq!(decode(b"Entw\xfcrfe"), "Entw\u{fffd}rfe");
    }

    proptest! {
        #[test]
        fn encoded_names_come_back(name: String) {
            let stored = encode(&name);
            prop_assert!(stored.is_ascii());
            prop_assert_eq!(decode(&stored), name);
        }

        #[test]
        fn different_names_stay_different(a in "[&a-zA-Z0-9+,-]{0,10}", b in "[&a-zA-Z0-9+,-]{0,10}") {
            let is_written_so = |name: &str| encode(&decode(name.as_bytes())) == name.as_bytes();
            if a != b && is_written_so(&a) == is_written_so(&b) {
                prop_assert_ne!(decode(a.as_bytes()), decode(b.as_bytes()));
            }
        }

        #[test]
        fn any_bytes(stored in prop::collection::vec(any::<u8>(), 0..60)) {
            decode(&stored);
        }
    }
}
