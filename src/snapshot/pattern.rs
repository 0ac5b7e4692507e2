//! The pattern that an administrator gives for snapshot names: strftime's fields and literal text.
//!
//! Invariants: a name matches as a whole or not at all; a field matches what strftime would write for it (two digits
//! for `%d`, with the `-` flag one or two); a pattern that compiles always yields a date; the years are 1970 to 2199.

use super::name::{self, Written, number};
use crate::error::{Error, Kind, Result};
use crate::time::Zone;
use chrono::{Datelike, NaiveDate, NaiveTime};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Literal(u8),
    Field(Field, Width),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    YearOfCentury,
    Month,
    MonthName,
    Day,
    DayOfYear,
    Hour,
    Hour12,
    Half,
    Minute,
    Second,
    Fraction,
    Epoch,
    WeekdayName,
    WeekdayNumber,
    Offset,
    ZoneName,
}

/// How a number shorter than its field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Zeros,
    Spaces,
    Short,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

impl Pattern {
    /// Compiles a pattern such as `autosnap_%Y-%m-%d_%H:%M:%S_daily`.
    pub fn parse(pattern: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(
                Kind::Config,
                format!("the name pattern \"{pattern}\" of the snapshots is wrong: {why}"),
            )
        };
        let mut items = Vec::new();
        let mut bytes = pattern.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'/' => {
                    return Err(bad(
                        "a name holds no \"/\"; name the directory in snapshots instead",
                    ));
                }
                b'%' => {
                    let mut letter = bytes.next();
                    let width = match letter {
                        Some(b'-') => Some(Width::Short),
                        Some(b'_') => Some(Width::Spaces),
                        Some(b'0') => Some(Width::Zeros),
                        _ => None,
                    };
                    if width.is_some() {
                        letter = bytes.next();
                    }
                    let Some(letter) = letter else {
                        return Err(bad(
                            "it ends in the middle of a field; write \"%%\" for a per cent sign",
                        ));
                    };
                    if !push(&mut items, letter, width) {
                        return Err(bad(&format!(
                            "it has no field \"%{}\"; the fields are %Y %y %m %b %B %d %e %j %H %k %I %l %p %M %S %f %s %F %T \
                             %R %a %A %u %w %z %Z and %%",
                            char::from(letter).escape_default()
                        )));
                    }
                }
                byte => items.push(Item::Literal(byte)),
            }
        }
        let has = |field: Field| {
            items
                .iter()
                .any(|i| matches!(i, Item::Field(f, _) if *f == field))
        };
        let year = has(Field::Year) || has(Field::YearOfCentury);
        let month = has(Field::Month) || has(Field::MonthName);
        if !has(Field::Epoch) && !(year && (month && has(Field::Day) || has(Field::DayOfYear))) {
            return Err(bad(
                "it holds no complete date; it needs %Y-%m-%d, %Y%m%d, %F, %Y-%j or %s",
            ));
        }
        Ok(Self { items })
    }

    /// The moment in a name, in seconds since 1970; `None` if the name does not match. An offset (`%z`) counts, and a
    /// zone's name (`%Z`) if it is UTC, GMT or Z; without them, what the text around the fields says, as in a name that is
    /// recognised (`@GMT-…`, `…Z`); else the time is local. Without a time it is local midnight.
    pub fn moment(&self, name: &[u8], zone: &Zone) -> Option<i64> {
        let mut read = Read::default();
        let mut rest = name;
        let mut before = None;
        let mut after = None;
        for item in &self.items {
            rest = match item {
                Item::Literal(byte) => rest.strip_prefix(&[*byte])?,
                Item::Field(field, width) => {
                    before.get_or_insert(name.len() - rest.len());
                    let rest = read.field(*field, *width, rest)?;
                    if field.is_of_day() {
                        after = Some(rest);
                    }
                    rest
                }
            };
        }
        if !rest.is_empty() {
            return None;
        }
        if let (None, Some(before), Some(after)) = (read.offset, before, after) {
            read.offset = name::offset_around(name.get(..before)?, after, false);
        }
        read.moment(zone)
    }
}

impl Field {
    /// Whether it belongs to the time of day.
    fn is_of_day(self) -> bool {
        matches!(
            self,
            Self::Hour | Self::Hour12 | Self::Half | Self::Minute | Self::Second | Self::Fraction
        )
    }
}

/// Adds the items of `%letter`; says whether there is such a field.
fn push(items: &mut Vec<Item>, letter: u8, width: Option<Width>) -> bool {
    let whole = match letter {
        b'F' => Some("Y-m-d"),
        b'T' => Some("H:M:S"),
        b'R' => Some("H:M"),
        _ => None,
    };
    if let Some(whole) = whole {
        return whole.bytes().all(|b| match b {
            b'-' | b':' => {
                items.push(Item::Literal(b));
                true
            }
            b => push(items, b, None),
        });
    }
    let (field, usual) = match letter {
        b'%' => {
            items.push(Item::Literal(b'%'));
            return true;
        }
        b'Y' => (Field::Year, Width::Zeros),
        b'y' => (Field::YearOfCentury, Width::Zeros),
        b'm' => (Field::Month, Width::Zeros),
        b'b' | b'B' | b'h' => (Field::MonthName, Width::Zeros),
        b'd' => (Field::Day, Width::Zeros),
        b'e' => (Field::Day, Width::Spaces),
        b'j' => (Field::DayOfYear, Width::Zeros),
        b'H' => (Field::Hour, Width::Zeros),
        b'k' => (Field::Hour, Width::Spaces),
        b'I' => (Field::Hour12, Width::Zeros),
        b'l' => (Field::Hour12, Width::Spaces),
        b'p' | b'P' => (Field::Half, Width::Zeros),
        b'M' => (Field::Minute, Width::Zeros),
        b'S' => (Field::Second, Width::Zeros),
        b'f' | b'N' => (Field::Fraction, Width::Zeros),
        b's' => (Field::Epoch, Width::Short),
        b'a' | b'A' => (Field::WeekdayName, Width::Zeros),
        b'u' | b'w' => (Field::WeekdayNumber, Width::Zeros),
        b'z' => (Field::Offset, Width::Zeros),
        b'Z' => (Field::ZoneName, Width::Zeros),
        _ => return false,
    };
    items.push(Item::Field(field, width.unwrap_or(usual)));
    true
}

/// The fields of one name.
#[derive(Default)]
struct Read {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    afternoon: Option<u32>,
    minute: Option<u32>,
    second: Option<u32>,
    epoch: Option<i64>,
    offset: Option<i32>,
}

impl Read {
    /// Reads a field at the start of `text` and returns what follows it.
    fn field<'a>(&mut self, field: Field, width: Width, text: &'a [u8]) -> Option<&'a [u8]> {
        match field {
            Field::Year => numeric(&mut self.year, text, 4, width),
            Field::YearOfCentury => {
                let mut of_century = None;
                let rest = numeric(&mut of_century, text, 2, width)?;
                let of_century = of_century?;
                let century = if of_century < 69 { 2000 } else { 1900 };
                store(&mut self.year, century + of_century)?;
                Some(rest)
            }
            Field::Month => numeric(&mut self.month, text, 2, width),
            Field::MonthName => {
                let (index, rest) = word(text, &MONTHS)?;
                store(&mut self.month, index + 1)?;
                Some(rest)
            }
            Field::Day => numeric(&mut self.day, text, 2, width),
            Field::DayOfYear => numeric(&mut self.day_of_year, text, 3, width),
            Field::Hour => numeric(&mut self.hour, text, 2, width),
            Field::Hour12 => numeric(&mut self.hour12, text, 2, width),
            Field::Half => {
                let (index, rest) = word(text, &["AM", "PM"])?;
                store(&mut self.afternoon, index)?;
                Some(rest)
            }
            Field::Minute => numeric(&mut self.minute, text, 2, width),
            Field::Second => numeric(&mut self.second, text, 2, width),
            Field::Fraction => {
                let length = digits(text, 9);
                text.get(length..).filter(|_| length > 0)
            }
            Field::Epoch => {
                let length = digits(text, 12);
                let digits = text.get(..length).filter(|d| !d.is_empty())?;
                let secs = digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
                store(&mut self.epoch, secs)?;
                text.get(length..)
            }
            Field::WeekdayName => word(text, &DAYS).map(|(_, rest)| rest),
            Field::WeekdayNumber => numeric(&mut None, text, 1, width),
            Field::Offset => {
                let (east, length) = match text.first()? {
                    b'Z' => (0, 1),
                    b'+' | b'-' => name::offset_at(text)?,
                    _ => return None,
                };
                store(&mut self.offset, east)?;
                text.get(length..)
            }
            Field::ZoneName => {
                let length = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
                let zone = text.get(..length).filter(|z| !z.is_empty())?;
                if [&b"UTC"[..], b"GMT", b"Z"].contains(&zone) {
                    store(&mut self.offset, 0)?;
                }
                text.get(length..)
            }
        }
    }

    fn moment(&self, zone: &Zone) -> Option<i64> {
        if let Some(secs) = self.epoch {
            let year = Zone::Named(chrono_tz::UTC).local(secs).year();
            return name::plausible(year).then_some(secs);
        }
        let date = match (self.month, self.day) {
            (Some(month), Some(day)) => name::date(self.year?, month, day)?,
            _ => self.date_by_day_of_year()?,
        };
        if self.day_of_year.is_some() && self.date_by_day_of_year() != Some(date) {
            return None;
        }
        Some(
            Written {
                date,
                time: self.time()?,
                offset: self.offset,
            }
            .moment(zone),
        )
    }

    fn date_by_day_of_year(&self) -> Option<NaiveDate> {
        let year = i32::try_from(self.year?)
            .ok()
            .filter(|y| name::plausible(*y))?;
        NaiveDate::from_yo_opt(year, self.day_of_year?)
    }

    fn time(&self) -> Option<NaiveTime> {
        let hour = match (self.hour, self.hour12) {
            (Some(hour), _) => hour,
            (None, Some(hour @ 1..=12)) => hour % 12 + 12 * self.afternoon.unwrap_or(0),
            (None, Some(_)) => return None,
            (None, None) => 0,
        };
        name::clock(hour, self.minute.unwrap_or(0), self.second.unwrap_or(0))
    }
}

/// Stores a field; a field that stands twice must say the same twice.
fn store<T: Copy + PartialEq>(slot: &mut Option<T>, value: T) -> Option<()> {
    (*slot.get_or_insert(value) == value).then_some(())
}

/// A number of `size` digits, or fewer where the width allows it.
fn numeric<'a>(
    slot: &mut Option<u32>,
    text: &'a [u8],
    size: usize,
    width: Width,
) -> Option<&'a [u8]> {
    let spaces = match width {
        Width::Spaces => text
            .iter()
            .take(size - 1)
            .take_while(|b| **b == b' ')
            .count(),
        Width::Zeros | Width::Short => 0,
    };
    let length = match width {
        Width::Zeros => size,
        Width::Spaces => size - spaces,
        Width::Short => digits(text, size).max(1),
    };
    store(slot, number(text, spaces, length)?)?;
    text.get(spaces + length..)
}

/// Which of the words, whole or its first three letters, stands at the start of `text`, whatever its case.
fn word<'a>(text: &'a [u8], words: &[&str]) -> Option<(u32, &'a [u8])> {
    let starts = |w: &[u8]| {
        text.get(..w.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(w))
    };
    (0..).zip(words).find_map(|(index, word)| {
        let whole = word.as_bytes();
        let short = whole.get(..3).unwrap_or(whole);
        let length = [whole, short].into_iter().find(|w| starts(w))?.len();
        Some((index, text.get(length..)?))
    })
}

/// How many digits, `most` at most, `text` starts with.
fn digits(text: &[u8], most: usize) -> usize {
    text.iter()
        .take(most)
        .take_while(|b| b.is_ascii_digit())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use proptest::prelude::*;

    fn moment(pattern: &str, name: &str) -> Option<String> {
        let rome = Zone::parse("Europe/Rome").unwrap();
        let secs = Pattern::parse(pattern)
            .unwrap()
            .moment(name.as_bytes(), &rome)?;
        Some(
            DateTime::from_timestamp(secs, 0)
                .unwrap()
                .format("%F %T")
                .to_string(),
        )
    }

    #[test]
    fn fields_and_literals() {
        for (pattern, name, expected) in [
            (
                "autosnap_%Y-%m-%d_%H:%M:%S_daily",
                "autosnap_2026-11-20_03:04:05_daily",
                "2026-11-20 02:04:05",
            ),
            ("%F", "2026-11-20", "2026-11-19 23:00:00"),
            ("%FT%T%z", "2026-11-20T03:00:00-0500", "2026-11-20 08:00:00"),
            ("%FT%T%z", "2026-11-20T03:00:00Z", "2026-11-20 03:00:00"),
            ("%F_%R_%Z", "2026-11-20_03:00_UTC", "2026-11-20 03:00:00"),
            ("%F_%R_%Z", "2026-11-20_03:00_CET", "2026-11-20 02:00:00"),
            ("%FT%TZ", "2026-11-20T03:00:00Z", "2026-11-20 03:00:00"),
            (
                "@GMT-%Y.%m.%d-%H.%M.%S",
                "@GMT-2026.11.20-03.00.00",
                "2026-11-20 03:00:00",
            ),
            (
                "%Y%m%d_%H%M_UTC_daily",
                "20261120_0300_UTC_daily",
                "2026-11-20 03:00:00",
            ),
            (
                "zrepl_%Y%m%d_%H%M%S_000",
                "zrepl_20261120_030000_000",
                "2026-11-20 03:00:00",
            ),
            (
                "%F_%H%M_Zero",
                "2026-11-20_0300_Zero",
                "2026-11-20 02:00:00",
            ),
            ("100%%_%y%m%d", "100%_261120", "2026-11-19 23:00:00"),
            ("%Y-%j", "2026-324", "2026-11-19 23:00:00"),
            ("s%s", "s1763600000", "2025-11-20 00:53:20"),
            ("%d. %B %Y", "20. november 2026", "2026-11-19 23:00:00"),
            (
                "%a %-d %b %Y %-I%p",
                "Fri 6 Nov 2026 3PM",
                "2026-11-06 14:00:00",
            ),
            ("%Y%m%e", "202611 6", "2026-11-05 23:00:00"),
            (
                "%F %T.%f",
                "2026-11-20 03:00:00.123456",
                "2026-11-20 02:00:00",
            ),
        ] {
            assert_eq!(
                moment(pattern, name).as_deref(),
                Some(expected),
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn what_does_not_match() {
        for (pattern, name) in [
            ("daily-%F", "weekly-2026-11-20"),
            ("daily-%F", "daily-2026-11-20_1"),
            ("daily-%F", "daily-2026-11-2"),
            ("%F", "2026-13-01"),
            ("%F", "2026-02-29"),
            ("%F", "1066-10-14"),
            ("%F", " 2026-11-20"),
            ("%F %H", "2026-11-20 24"),
            ("%Y-%m-%d %j", "2026-11-20 001"),
            ("%F_%F", "2026-11-20_2026-11-21"),
            ("%F%z", "2026-11-2001"),
            ("%s", "99999999999"),
            ("%F", ""),
        ] {
            assert_eq!(moment(pattern, name), None, "{pattern} {name}");
        }
    }

    #[test]
    fn a_wrong_pattern_is_quoted() {
        for pattern in ["%F %", "%Q%F", "daily-%H%M", "", "%Y-%m", "%F/x", "%m-%d"] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(
                error.to_string().contains(&format!("\"{pattern}\"")),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_pattern_and_name_have_an_answer(pattern in "(%[-_0]?[a-zA-Z%]|.){0,12}", name in any::<Vec<u8>>()) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.moment(&name, &Zone::Named(chrono_tz::UTC));
            }
        }

        #[test]
        fn what_strftime_wrote_is_read(
            secs in 0i64..3_100_000_000,
            pattern in prop::sample::select(vec![
                "%Y%m%d%H%M%S", "%y-%j-%T", "x%s", "%-d.%-m.%Y %-H:%-M:%-S", "%e %B %Y %k %M %S", "%b%d%Y%I%M%S%p",
                "%A %FT%T%z", "%u%w%F %T %Z",
            ]),
        ) {
            let name = DateTime::from_timestamp(secs, 0).unwrap().format(pattern).to_string();
            let found = Pattern::parse(pattern).unwrap().moment(name.as_bytes(), &Zone::parse("Asia/Tokyo").unwrap());
            let local = if pattern.contains("%z") || pattern.contains("%Z") || pattern.contains("%s") { 0 } else { 9 * 3600 };
            // Japan had summer time until 1951 only.
            prop_assert_eq!(found, Some(secs - local), "{}", name);
        }
    }
}
