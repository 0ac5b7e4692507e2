//! Time zones: which local date and time a moment has, and which moment a local time names.
//!
//! Invariant: the same answer for every caller and for ever; the zone is read once. In the hour that a change to
//! winter time repeats, a local time means its first occurrence; in the hour that summer time skips, the moment
//! that a clock not yet put forward would show.

use crate::error::{Error, Kind, Result};
use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone, Utc};

/// A moment as a file system stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Seconds since 1970, UTC; may be negative.
    pub secs: i64,
    /// 0..1_000_000_000
    pub nanos: u32,
}

impl Time {
    pub fn from_secs(secs: i64) -> Self {
        Self { secs, nanos: 0 }
    }
}

/// The zone in which dates are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// The system's: `TZ` or `/etc/localtime`.
    #[default]
    System,
    Named(chrono_tz::Tz),
}

/// Seconds of the years 0001 to 9999; what lies outside is shown as their end, so that names keep their length.
const FIRST: i64 = -62_135_510_400;
const LAST: i64 = 253_402_214_400;

impl Zone {
    /// Parses an IANA name such as `Europe/Rome`.
    pub fn parse(name: &str) -> Result<Self> {
        name.parse().map(Self::Named).map_err(|_| {
            Error::new(
                Kind::Config,
                format!("unknown time zone \"{name}\": use an IANA name such as \"Europe/Rome\" or \"UTC\""),
            )
        })
    }

    /// Its IANA name; empty for the system's, which need not have one.
    pub fn name(&self) -> String {
        match self {
            Self::System => String::new(),
            Self::Named(tz) => tz.name().into(),
        }
    }

    /// Local date and time of a moment.
    pub fn local(&self, secs: i64) -> NaiveDateTime {
        let utc = DateTime::<Utc>::from_timestamp(secs.clamp(FIRST, LAST), 0).unwrap_or_default();
        match self {
            Self::System => utc.with_timezone(&chrono::Local).naive_local(),
            Self::Named(tz) => utc.with_timezone(tz).naive_local(),
        }
    }

    /// The moment that a local time names, in seconds since 1970.
    pub fn moment(&self, local: NaiveDateTime) -> i64 {
        match self {
            Self::System => earliest(&chrono::Local, local),
            Self::Named(tz) => earliest(tz, local),
        }
    }
}

fn earliest<T: TimeZone>(zone: &T, local: NaiveDateTime) -> i64 {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => t.timestamp(),
        LocalResult::None => match zone.from_local_datetime(&(local - Duration::hours(1))) {
            LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => t.timestamp() + 3600,
            LocalResult::None => local.and_utc().timestamp(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    fn at(y: i32, m: u32, d: u32, h: u32, min: u32) -> NaiveDateTime {
        NaiveDate::from_ymd_opt(y, m, d)
            .unwrap()
            .and_hms_opt(h, min, 0)
            .unwrap()
    }

    #[test]
    fn daylight_saving() {
        let rome = Zone::parse("Europe/Rome").unwrap();
        assert_eq!(
            rome.local(rome.moment(at(2026, 7, 1, 3, 0))),
            at(2026, 7, 1, 3, 0)
        );
        assert_eq!(
            rome.moment(at(2026, 7, 1, 3, 0)),
            at(2026, 7, 1, 1, 0).and_utc().timestamp()
        );
        // 02:30 occurs twice on 2026-10-25: the first one, still summer time.
        assert_eq!(
            rome.moment(at(2026, 10, 25, 2, 30)),
            at(2026, 10, 25, 0, 30).and_utc().timestamp()
        );
        // 02:30 does not occur on 2026-03-29: a clock not yet put forward shows it at 01:30 UTC.
        assert_eq!(
            rome.moment(at(2026, 3, 29, 2, 30)),
            at(2026, 3, 29, 1, 30).and_utc().timestamp()
        );
    }

    #[test]
    fn absurd_moments_keep_four_digit_years() {
        let utc = Zone::parse("UTC").unwrap();
        assert_eq!(utc.local(i64::MIN).format("%Y").to_string(), "0001");
        assert_eq!(utc.local(i64::MAX).format("%Y").to_string(), "9999");
    }
}
