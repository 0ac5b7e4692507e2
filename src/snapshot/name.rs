//! Dates in snapshot names, as the programs that take snapshots write them.
//!
//! A name is bytes. It may hold a date (`2026-11-20`, `20261120`, `2026.11.20`, `2026_11_20`), after it a time in any
//! usual spelling, after that a zone. Makers put the moment last, so of several dates in a name the last one counts.
//!
//! Invariants: the answer depends on the name and the zone alone; a date without a time is its local midnight; a time
//! is local unless the name (`Z`, `UTC`, `+01:00`, `@GMT-`) or its maker (zrepl, CephFS) says otherwise; what is no
//! real date (month 13, 30 February, year 1066) is no date.
//!
//! [`recognise`] is the whole of it; [`Style`] is which maker's spelling it was.

use crate::time::Zone;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// The maker whose spelling a name, or a directory of names, has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Style {
    Snapper,
    NetApp,
    Zfs,
    Rsnapshot,
    Btrbk,
    Restic,
    Borg,
    CephFs,
    TimeMachine,
    /// `@GMT-2026.11.20-03.00.00`, the name that Windows clients use.
    PreviousVersions,
    Dated,
}

impl Style {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapper => "snapper",
            Self::NetApp => "NetApp",
            Self::Zfs => "ZFS",
            Self::Rsnapshot => "rsnapshot",
            Self::Btrbk => "btrbk",
            Self::Restic => "restic",
            Self::Borg => "borg",
            Self::CephFs => "CephFS",
            Self::TimeMachine => "Time Machine",
            Self::PreviousVersions => "Previous Versions",
            Self::Dated => "dated directories",
        }
    }
}

/// A date and time as written, before it is a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub date: NaiveDate,
    pub time: NaiveTime,
    /// Seconds east of UTC; without it the time is local.
    pub offset: Option<i32>,
}

impl Written {
    /// Seconds since 1970.
    pub fn moment(&self, zone: &Zone) -> i64 {
        let written = NaiveDateTime::new(self.date, self.time);
        match self.offset {
            Some(east) => written.and_utc().timestamp() - i64::from(east),
            None => zone.moment(written),
        }
    }
}

/// A date that a snapshot can have: one of the calendar, in the years 1970 to 2199.
pub(super) fn date(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    let year = i32::try_from(year).ok().filter(|y| plausible(*y))?;
    NaiveDate::from_ymd_opt(year, month, day)
}

pub(super) fn plausible(year: i32) -> bool {
    (1970..2200).contains(&year)
}

/// A time of day; the 60th second of a leap second is the 59th.
pub(super) fn clock(hour: u32, minute: u32, second: u32) -> Option<NaiveTime> {
    let second = if second == 60 { 59 } else { second };
    NaiveTime::from_hms_opt(hour, minute, second)
}

/// The moment in a snapshot's name, in seconds since 1970, and whose spelling it is.
pub fn recognise(name: &[u8], zone: &Zone) -> Option<(i64, Style)> {
    let date = last_date(name)?;
    let time = date.attached.or_else(|| clock_after(name, date.end));
    let end = time.as_ref().map_or(date.end, |t| t.end);
    let prefix = name.get(..date.start)?;
    let suffix = name.get(end..)?;
    let dense = date.separator.is_none() && is_sequence(suffix, 3);
    let offset = match &time {
        Some(time) => {
            let iso = time.seconds && time.lead == Some(b'T');
            offset_around(prefix, suffix, iso).or_else(|| dense.then_some(0))
        }
        None => offset_before(prefix),
    };
    let written = Written {
        date: date.date,
        time: time.as_ref().map_or(NaiveTime::MIN, |t| t.time),
        offset,
    };
    let style = style(prefix, &date, time.as_ref());
    Some((written.moment(zone), style))
}

/// Which series of snapshots a name is of, and the pattern of that series' names: of programs that keep those of several things in one
/// directory, what stands before the date. How often one is taken tells none from another.
pub fn series(name: &[u8], style: Style) -> Option<(Vec<u8>, String)> {
    if !matches!(style, Style::Btrbk | Style::Borg | Style::Dated) {
        return None;
    }
    let date = last_date(name)?;
    let time = date.attached.or_else(|| clock_after(name, date.end));
    let end = time.as_ref().map_or(date.end, |t| t.end);
    let prefix = name.get(..date.start)?;
    let mut what = String::from_utf8_lossy(prefix).to_lowercase();
    for often in OFTEN {
        what = what.replace(often, "");
    }
    let literal = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('%', "%%");
    let separator = date.separator.map(char::from).map(String::from);
    let separator = separator.unwrap_or_default();
    let mut pattern = format!("{}%Y{separator}%m{separator}%d", literal(prefix));
    if let Some(time) = time {
        let lead = time.lead.map(char::from).map(String::from);
        let between = time.separator.map(char::from).map(String::from);
        let between = between.unwrap_or_default();
        pattern += &lead.unwrap_or_default();
        pattern += &format!("%H{between}%M");
        if time.seconds {
            pattern += &format!("{between}%S");
        }
    }
    pattern += &literal(name.get(end..)?);
    Some((what.into_bytes(), pattern))
}

/// How often a snapshot is taken, in its name.
const OFTEN: [&str; 10] = [
    "frequently",
    "frequent",
    "hourly",
    "nightly",
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "manual",
    "auto",
];

/// Why a name without a pattern to match is set aside: what snapshot programs leave beside their snapshots.
pub fn set_aside(name: &[u8]) -> Option<&'static str> {
    const UNFINISHED: [&[u8]; 4] = [b".tmp", b".partial", b".incomplete", b".inprogress"];
    if name.starts_with(b".") {
        Some("hidden")
    } else if name.starts_with(b"_delete.") {
        Some("being deleted by rsnapshot")
    } else if name == b"lost+found" {
        Some("belongs to the file system")
    } else if UNFINISHED
        .iter()
        .any(|end| ends_with_ignoring_case(name, end))
    {
        Some("not finished")
    } else {
        None
    }
}

/// `daily.0`: the name of a snapshot that moves on to `daily.1`.
pub fn is_rotated(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|b| *b == b'.') else {
        return false;
    };
    let (word, number) = (name.get(..dot), name.get(dot + 1..));
    word.is_some_and(|w| {
        !w.is_empty()
            && w.iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-')
    }) && number.is_some_and(|n| (1..=5).contains(&n.len()) && n.iter().all(u8::is_ascii_digit))
}

/// `7`: the name of a snapper snapshot's directory; a date such as `20261120` is not meant.
pub fn is_numbered(name: &[u8]) -> bool {
    (1..=18).contains(&name.len())
        && name.iter().all(u8::is_ascii_digit)
        && last_date(name).is_none()
}

struct Date {
    start: usize,
    end: usize,
    date: NaiveDate,
    /// `None`: `20261120`.
    separator: Option<u8>,
    /// The time of `20261120031500`.
    attached: Option<Clock>,
}

#[derive(Clone, Copy)]
struct Clock {
    end: usize,
    time: NaiveTime,
    /// What stands before it; `None` if it is attached to the date.
    lead: Option<u8>,
    /// What stands between hours and minutes; `None`: `0315`.
    separator: Option<u8>,
    seconds: bool,
}

fn last_date(name: &[u8]) -> Option<Date> {
    let (mut at, mut found) = (0, None);
    while at < name.len() {
        let length = digits(name, at);
        if let Some(date) = date_at(name, at, length) {
            at = date.end;
            found = Some(date);
        } else {
            at += length.max(1);
        }
    }
    found
}

/// The date that starts with the `length` digits at `start`.
fn date_at(name: &[u8], start: usize, length: usize) -> Option<Date> {
    if length == 4 {
        let separator = one_of(name, start + 4, b"-._")?;
        let same = name.get(start + 7) == Some(&separator);
        if !same || digits(name, start + 5) != 2 || digits(name, start + 8) != 2 {
            return None;
        }
        let date = date(
            number(name, start, 4)?,
            number(name, start + 5, 2)?,
            number(name, start + 8, 2)?,
        )?;
        let (end, separator) = (start + 10, Some(separator));
        return Some(Date {
            start,
            end,
            date,
            separator,
            attached: None,
        });
    }
    if !matches!(length, 8 | 12 | 14) {
        return None;
    }
    let date = date(
        number(name, start, 4)?,
        number(name, start + 4, 2)?,
        number(name, start + 6, 2)?,
    )?;
    let attached = match length {
        8 => None,
        _ => Some(packed_clock(name, start + 8, length - 8, None)?),
    };
    let end = start + length;
    Some(Date {
        start,
        end,
        date,
        separator: None,
        attached,
    })
}

/// `0315` or `031500` at `at`.
fn packed_clock(name: &[u8], at: usize, length: usize, lead: Option<u8>) -> Option<Clock> {
    let second = if length == 6 {
        number(name, at + 4, 2)?
    } else {
        0
    };
    Some(Clock {
        end: at + length,
        time: clock(number(name, at, 2)?, number(name, at + 2, 2)?, second)?,
        lead,
        separator: None,
        seconds: length == 6,
    })
}

/// The time that stands after a date: `T0315`, `_03-15-00`, `-03:15:00.123`, ` 03h15`. Two digits alone are an hour
/// only after `T`: `_10` is the tenth snapshot of a day.
fn clock_after(name: &[u8], date_end: usize) -> Option<Clock> {
    let lead = one_of(name, date_end, b"Tt_-.: @,")?;
    let at = date_end + 1;
    let length = digits(name, at);
    if matches!(length, 4 | 6) {
        return packed_clock(name, at, length, Some(lead));
    }
    if length != 2 {
        return None;
    }
    let hour = number(name, at, 2)?;
    let separator = one_of(name, at + 2, b":.-_h").filter(|_| digits(name, at + 3) == 2);
    let Some(separator) = separator else {
        let time = clock(hour, 0, 0).filter(|_| lead == b'T')?;
        let end = at + 2;
        return Some(Clock {
            end,
            time,
            lead: Some(lead),
            separator: None,
            seconds: false,
        });
    };
    let minute = number(name, at + 3, 2)?;
    let between = if separator == b'h' { b'm' } else { separator };
    let seconds = name.get(at + 5) == Some(&between) && digits(name, at + 6) == 2;
    let second = if seconds { number(name, at + 6, 2)? } else { 0 };
    let mut end = if seconds { at + 8 } else { at + 5 };
    if seconds {
        let fraction = match (name.get(end), digits(name, end + 1)) {
            (Some(b'.' | b','), length) => length,
            (Some(point), 3) if *point == separator => 3,
            _ => 0,
        };
        end += if fraction > 0 { 1 + fraction } else { 0 };
    }
    let time = clock(hour, minute, second)?;
    Some(Clock {
        end,
        time,
        lead: Some(lead),
        separator: Some(separator),
        seconds,
    })
}

/// The zone of `@GMT-2026.11.20-03.00.00` and of `GMT+01-2026.11.20-03.00.00`.
fn offset_before(prefix: &[u8]) -> Option<i32> {
    let start = prefix.windows(3).rposition(|w| w == b"GMT")?;
    let zone = prefix.get(start + 3..)?;
    if zone == b"-" {
        return Some(0);
    }
    let (east, length) = offset_at(zone)?;
    (zone.get(length..) == Some(b"-")).then_some(east)
}

/// The zone of a time by what stands before its date and after it, or by the maker's habit: seconds east of UTC. `iso` says
/// that the time is written as in `…T03:00:00`.
pub(super) fn offset_around(prefix: &[u8], suffix: &[u8], iso: bool) -> Option<i32> {
    offset_before(prefix)
        .or_else(|| offset_after(suffix, iso))
        .or_else(|| prefix.starts_with(b"zrepl").then_some(0))
        // zfstools
        .or_else(|| (prefix.starts_with(b"zfs-auto-snap") && suffix == b"U").then_some(0))
}

/// The zone after a time: `Z`, `_UTC`, `-GMT01:00`, `+0100`. A bare `-0500` is one only after `…T03:00:00`, for
/// elsewhere it may be anything.
fn offset_after(suffix: &[u8], iso: bool) -> Option<i32> {
    if suffix.first() == Some(&b'Z') && !continues(suffix, 1) {
        return Some(0);
    }
    let word = usize::from(one_of(suffix, 0, b"_-. ").is_some());
    let named = suffix.get(word..word + 3);
    if named.is_some_and(|w| w.eq_ignore_ascii_case(b"UTC") || w.eq_ignore_ascii_case(b"GMT")) {
        let zone = suffix.get(word + 3..)?;
        return match offset_at(zone) {
            Some((east, length)) => (!continues(zone, length)).then_some(east),
            None => (!continues(zone, 0)).then_some(0),
        };
    }
    let (east, length) = offset_at(suffix)?;
    let meant = match suffix.first() {
        Some(b'+') => true,
        Some(b'-') => length >= 5 && iso,
        _ => false,
    };
    (meant && !continues(suffix, length)).then_some(east)
}

/// `+01:00`, `-0500`, `+01`, `01:00` at the start: seconds east of UTC, and its length.
pub(super) fn offset_at(text: &[u8]) -> Option<(i32, usize)> {
    let sign = one_of(text, 0, b"+-");
    let at = usize::from(sign.is_some());
    let (minutes_at, end) = match (digits(text, at), text.get(at + 2)) {
        (4, _) => (Some(at + 2), at + 4),
        (2, Some(b':')) if digits(text, at + 3) == 2 => (Some(at + 3), at + 5),
        (2, _) => (None, at + 2),
        _ => return None,
    };
    let hours = number(text, at, 2)?;
    let minutes = minutes_at.map_or(Some(0), |m| number(text, m, 2))?;
    if hours > 14 || minutes > 59 {
        return None;
    }
    let east = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some((if sign == Some(b'-') { -east } else { east }, end))
}

fn style(prefix: &[u8], date: &Date, time: Option<&Clock>) -> Style {
    let starts = |words: &[&[u8]]| words.iter().any(|w| prefix.starts_with(w));
    let dashed = date.separator == Some(b'-');
    let iso = time.is_some_and(|t| t.lead == Some(b'T') && t.separator == Some(b':') && t.seconds);
    let packed = time.is_some_and(|t| t.separator.is_none());
    if starts(&[b"zfs-auto-snap", b"autosnap_", b"zrepl", b"syncoid_"]) {
        Style::Zfs
    } else if starts(&[b"@GMT", b"GMT"]) {
        Style::PreviousVersions
    } else if starts(&[b"scheduled-", b"_scheduled-"]) {
        Style::CephFs
    } else if prefix.ends_with(b".") && dashed && packed {
        Style::NetApp
    } else if prefix.ends_with(b".") && date.separator.is_none() && (packed || time.is_none()) {
        Style::Btrbk
    } else if iso && dashed && prefix.is_empty() {
        Style::Restic
    } else if iso && dashed {
        Style::Borg
    } else if dashed
        && prefix.is_empty()
        && packed
        && time.is_some_and(|t| t.seconds && t.lead == Some(b'-'))
    {
        Style::TimeMachine
    } else {
        Style::Dated
    }
}

/// How many digits stand at `at`.
fn digits(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The number of exactly `length` digits at `at`.
pub(super) fn number(text: &[u8], at: usize, length: usize) -> Option<u32> {
    let digits = text.get(at..at.checked_add(length)?)?;
    digits.iter().try_fold(0u32, |n, b| {
        let digit = char::from(*b).to_digit(10)?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

fn one_of(text: &[u8], at: usize, set: &[u8]) -> Option<u8> {
    text.get(at).copied().filter(|b| set.contains(b))
}

/// Whether a word goes on at `at`.
fn continues(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

/// `_000` of `length` digits and nothing else.
fn is_sequence(text: &[u8], length: usize) -> bool {
    text.first() == Some(&b'_') && text.len() == length + 1 && digits(text, 1) == length
}

fn ends_with_ignoring_case(name: &[u8], end: &[u8]) -> bool {
    let tail = name
        .len()
        .checked_sub(end.len())
        .and_then(|at| name.get(at..));
    tail.is_some_and(|t| t.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests;
