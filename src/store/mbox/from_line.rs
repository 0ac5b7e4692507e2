//! The From_ line that begins each message of an mbox: `From <sender> <date>`.
//!
//! Only a line with a date in it separates messages: text may begin with `From ` too. The date is what `asctime` writes,
//! with or without seconds, with a zone (`+0100`, `CET`) before or behind the year or none; or as in a header
//! (`Thu, 9 Nov 2002 22:33:52`). A zone by name says nothing certain, so that such a time is local.
//!
//! Source of the variants: Dovecot's `lib-mail/mbox-from.c`; RFC 4155.

use chrono::{Duration, NaiveDate, NaiveDateTime};

/// Bytes of a From_ line that are looked at.
pub const LONGEST: usize = 1024;

/// When a message was received, as its From_ line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Seconds since 1970.
    Utc(i64),
    /// By the clock of the server.
    Local(NaiveDateTime),
}

const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// What a line says that begins at the front of `bytes`; `None` if it is no From_ line.
pub fn parse(bytes: &[u8]) -> Option<Received> {
    let rest = bytes.strip_prefix(b"From ")?;
    let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let line = rest.get(..len.min(LONGEST))?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let after = skip_sender(line)?;
    let mut words = after.split(|&b| b == b' ').filter(|word| !word.is_empty());
    // The weekday says nothing that the date does not.
    words.next().filter(|word| (3..=4).contains(&word.len()))?;
    let first = words.next()?;
    let (date, time, mut zone);
    if let Some(month) = month(first) {
        let day = number(words.next()?, 1..=2)?;
        time = clock(words.next()?)?;
        let mut word = words.next()?;
        zone = None;
        if number(word, 4..=4).is_none() {
            zone = offset(word);
            word = words.next()?;
        }
        let year = word.get(..4).and_then(|year| number(year, 4..=4))?;
        date = (year, month, day);
    } else {
        let day = number(first, 1..=2)?;
        let month = month(words.next()?)?;
        let year = number(words.next()?, 4..=4)?;
        time = clock(words.next()?)?;
        zone = None;
        date = (year, month, day);
    }
    zone = zone.or_else(|| words.next().and_then(offset));
    let (year, month, day) = date;
    // The 31st of February is the 2nd or 3rd of March, as for the C library.
    let midnight = NaiveDate::from_ymd_opt(i32::from(year), month, 1)?.and_hms_opt(0, 0, 0)?;
    let days = Duration::days(i64::from(day.max(1)) - 1);
    let at = midnight.checked_add_signed(days + Duration::seconds(time))?;
    Some(match zone {
        Some(offset) => Received::Utc(at.and_utc().timestamp() - offset),
        None => Received::Local(at),
    })
}

/// What follows the sender, which may be quoted, with blanks in it.
fn skip_sender(line: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    if line.first() == Some(&b'"') {
        let mut escaped = false;
        at = 1 + line.get(1..)?.iter().position(|&byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
    }
    let rest = line.get(at..)?;
    rest.get(memchr::memchr(b' ', rest)?..)
}

fn month(word: &[u8]) -> Option<u32> {
    let found = MONTHS.iter().position(|m| word.eq_ignore_ascii_case(*m))?;
    Some(found as u32 + 1)
}

/// A number of so many digits.
fn number(word: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let is = digits.contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    is.then(|| std::str::from_utf8(word).ok()?.parse().ok())?
}

/// Seconds since midnight of `HH:MM` or `HH:MM:SS`.
fn clock(word: &[u8]) -> Option<i64> {
    let mut parts = word.split(|&b| b == b':');
    let mut part = || parts.next().map(|p| number(p, 2..=2));
    let (hours, minutes) = (part()??, part()??);
    let seconds = part().unwrap_or(Some(0))?;
    let more = parts.next().is_some();
    (!more).then_some(i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds))
}

/// Seconds that a zone such as `+0130` is ahead of UTC.
fn offset(word: &[u8]) -> Option<i64> {
    let (sign, digits) = word.split_first()?;
    let number = i64::from(number(digits, 4..=4)?);
    let seconds = number / 100 * 3600 + number % 100 * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn local(text: &str) -> Option<Received> {
        let at = NaiveDateTime::parse_from_str(text, "%F %T").unwrap();
        Some(Received::Local(at))
    }

    #[test]
    fn dates_of_all_kinds() {
        for line in [
            "From bob@example.com Thu Nov  9 22:33:52 2001",
            "From bob@example.com  Thu Nov 09 22:33:52 2001\r\nTo: x",
            "From \"bob \\\" rossi\"@example.com Thu Nov 9 22:33:52 2001",
            "From bob Thu Nov  9 22:33:52 CET 2001",
            "From bob Thu Nov  9 22:33:52 2001 CET",
            "From bob Thu Nov  9 22:33:52 2001 remote from uucp",
            "From bob Thu, 9 Nov 2001 22:33:52",
            "From - thu nov 09 22:33:52 2001",
        ] {
            assert_eq!(
                parse(line.as_bytes()),
                local("2001-11-09 22:33:52"),
                "{line}"
            );
        }
        assert_eq!(
            parse(b"From b Thu Feb 31 22:33 2001"),
            local("2001-03-03 22:33:00")
        );
        let utc = Some(Received::Utc(1_005_345_232));
        assert_eq!(parse(b"From b Thu Nov  9 22:33:52 2001 -0000"), utc);
        assert_eq!(parse(b"From b Fri Nov 10 04:03:52 +0530 2001"), utc);
        assert_eq!(parse(b"From b Thu Nov  9 19:33:52 2001 -0300\n"), utc);
    }

    #[test]
    fn text_that_begins_so() {
        for line in [
            "",
            "From ",
            "From here on",
            "from bob Thu Nov  9 22:33:52 2001",
            "From: bob@example.com",
            "From bob Thu Nov  9 22:33:52",
            "From bob Thu Nov  9 2:33:52 2001",
            "From bob Thu Foo  9 22:33:52 2001",
            "From bob\nThu Nov  9 22:33:52 2001",
            "From \"bob Thu Nov  9 22:33:52 2001",
            ">From bob Thu Nov  9 22:33:52 2001",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in "(From )?[\"\\\\ ]?[ -~]{0,12} (Thu|Thu,)? ?(Nov|9)? ?[0-9: +-]{0,24}") {
            let _ = parse(line.as_bytes());
        }
    }
}
