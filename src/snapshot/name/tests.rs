//! Names that snapshot programs really write, and hostile ones.

use super::*;
use chrono::DateTime;
use proptest::prelude::*;

fn rome() -> Zone {
    Zone::parse("Europe/Rome").unwrap()
}

fn utc(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp()
}

/// Name, moment, style; Rome is one hour ahead of UTC in November.
const MAKERS: &[(&str, &str, Style)] = &[
    (
        "hourly.2026-11-20_1005",
        "2026-11-20T10:05:00+01:00",
        Style::NetApp,
    ),
    (
        "daily.2026-11-20_0010",
        "2026-11-20T00:10:00+01:00",
        Style::NetApp,
    ),
    (
        "snapmirror.a1b2c3d4-1234-11e9-8aaa-00a098d39e12_2147484680.2026-11-20_100500",
        "2026-11-20T10:05:00+01:00",
        Style::NetApp,
    ),
    (
        "zfs-auto-snap_daily-2026-11-20-0625",
        "2026-11-20T06:25:00+01:00",
        Style::Zfs,
    ),
    (
        "zfs-auto-snap_hourly-2026-11-20-22h17U",
        "2026-11-20T22:17:00Z",
        Style::Zfs,
    ),
    (
        "autosnap_2026-11-20_00:00:01_daily",
        "2026-11-20T00:00:01+01:00",
        Style::Zfs,
    ),
    (
        "zrepl_20261120_101500_000",
        "2026-11-20T10:15:00Z",
        Style::Zfs,
    ),
    (
        "mine_20261120_101500_000",
        "2026-11-20T10:15:00Z",
        Style::Dated,
    ),
    (
        "syncoid_backup_2026-11-20:03:00:00-GMT01:00",
        "2026-11-20T03:00:00+01:00",
        Style::Zfs,
    ),
    (
        "syncoid_backup_2026-11-20:03:00:00-GMT-05:00",
        "2026-11-20T03:00:00-05:00",
        Style::Zfs,
    ),
    (
        "@GMT-2026.11.20-03.00.00",
        "2026-11-20T03:00:00Z",
        Style::PreviousVersions,
    ),
    (
        "GMT+01-2026.11.20-03.00.00",
        "2026-11-20T03:00:00+01:00",
        Style::PreviousVersions,
    ),
    ("mail.20261114", "2026-11-14T00:00:00+01:00", Style::Btrbk),
    ("mail.20261114_1", "2026-11-14T00:00:00+01:00", Style::Btrbk),
    (
        "mail.20261114_10",
        "2026-11-14T00:00:00+01:00",
        Style::Btrbk,
    ),
    (
        "mail.20261114T0300",
        "2026-11-14T03:00:00+01:00",
        Style::Btrbk,
    ),
    (
        "mail.20261114T0300_1",
        "2026-11-14T03:00:00+01:00",
        Style::Btrbk,
    ),
    (
        "mail.20261114T030000+0100",
        "2026-11-14T03:00:00+01:00",
        Style::Btrbk,
    ),
    (
        "mail.20261114T030000-0500",
        "2026-11-14T03:00:00-05:00",
        Style::Btrbk,
    ),
    (
        "mail-20200101.20261114T0300",
        "2026-11-14T03:00:00+01:00",
        Style::Btrbk,
    ),
    (
        "scheduled-2026-11-20-00_00_00_UTC",
        "2026-11-20T00:00:00Z",
        Style::CephFs,
    ),
    (
        "_scheduled-2026-11-20-00_00_00_UTC_1099511627776",
        "2026-11-20T00:00:00Z",
        Style::CephFs,
    ),
    (
        "2026-11-18T03:00:00Z",
        "2026-11-18T03:00:00Z",
        Style::Restic,
    ),
    (
        "2026-11-18T03:00:00-05:00",
        "2026-11-18T03:00:00-05:00",
        Style::Restic,
    ),
    (
        "daily-2026-11-14T03_00_00_000Z",
        "2026-11-14T03:00:00Z",
        Style::Dated,
    ),
    (
        "host-2026-11-14T03:00:00",
        "2026-11-14T03:00:00+01:00",
        Style::Borg,
    ),
    (
        "host-2026-11-14T03:00:00.123456",
        "2026-11-14T03:00:00+01:00",
        Style::Borg,
    ),
    (
        "host-2026-11-14T03:00:00.123456+00:00",
        "2026-11-14T03:00:00Z",
        Style::Borg,
    ),
    ("mail-2026-11-14", "2026-11-14T00:00:00+01:00", Style::Dated),
    (
        "2026-11-20-031500",
        "2026-11-20T03:15:00+01:00",
        Style::TimeMachine,
    ),
    (
        "2026-11-20-031500.backup",
        "2026-11-20T03:15:00+01:00",
        Style::TimeMachine,
    ),
    ("2026-11-20", "2026-11-20T00:00:00+01:00", Style::Dated),
    ("20261120", "2026-11-20T00:00:00+01:00", Style::Dated),
    ("2026.11.20", "2026-11-20T00:00:00+01:00", Style::Dated),
    ("2026_11_20", "2026-11-20T00:00:00+01:00", Style::Dated),
    (
        "2026_11_20_03_15",
        "2026-11-20T03:15:00+01:00",
        Style::Dated,
    ),
    (
        "2026-11-20_03-15-07",
        "2026-11-20T03:15:07+01:00",
        Style::Dated,
    ),
    (
        "2026-11-20 03h15",
        "2026-11-20T03:15:00+01:00",
        Style::Dated,
    ),
    (
        "2026-11-20_03h15m07s",
        "2026-11-20T03:15:07+01:00",
        Style::Dated,
    ),
    ("2026-11-20T03", "2026-11-20T03:00:00+01:00", Style::Dated),
    ("202611200315", "2026-11-20T03:15:00+01:00", Style::Dated),
    (
        "backup_20261120031507.full",
        "2026-11-20T03:15:07+01:00",
        Style::Dated,
    ),
    ("2026-11-20_9999", "2026-11-20T00:00:00+01:00", Style::Dated),
    (
        "2026-11-20_0300_-0500",
        "2026-11-20T03:00:00+01:00",
        Style::Dated,
    ),
    (
        "2026-11-20_235960",
        "2026-11-20T23:59:59+01:00",
        Style::Dated,
    ),
];

#[test]
fn makers_names() {
    for (name, moment, style) in MAKERS {
        assert_eq!(
            recognise(name.as_bytes(), &rome()),
            Some((utc(moment), *style)),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_date() {
    for name in [
        "daily.0",
        "7",
        "latest",
        "",
        "2026-13-01",
        "2026-02-30",
        "20261301",
        "1066-10-14",
        "2200-01-01",
        "12026-11-20",
        "2026-11-201",
        "2026-11.20",
        "2026-1-2",
        "before-upgrade",
        "123456789",
        "2026",
    ] {
        assert_eq!(recognise(name.as_bytes(), &rome()), None, "{name}");
    }
    assert!(recognise(b"\xff\xfe2026-11-20\x80", &rome()).is_some());
}

#[test]
fn daylight_saving() {
    let at = |name: &str| recognise(name.as_bytes(), &rome()).unwrap().0;
    assert_eq!(at("2026-07-01_0300"), utc("2026-07-01T01:00:00Z"));
    // The hour that winter time repeats: its first occurrence, unless the name says which.
    assert_eq!(at("2026-10-25_0230"), utc("2026-10-25T00:30:00Z"));
    assert_eq!(at("2026-10-25T02:30:00+01:00"), utc("2026-10-25T01:30:00Z"));
    // The hour that summer time skips.
    assert_eq!(at("2026-03-29_0230"), utc("2026-03-29T01:30:00Z"));
    assert_eq!(at("2026-03-29"), utc("2026-03-28T23:00:00Z"));
}

#[test]
fn rotated_numbered_and_set_aside() {
    assert!(is_rotated(b"daily.0") && is_rotated(b"my-weekly_2.13"));
    assert!(
        !is_rotated(b".0")
            && !is_rotated(b"daily.")
            && !is_rotated(b"daily")
            && !is_rotated(b"a.b")
    );
    assert!(is_numbered(b"7") && is_numbered(b"12345"));
    assert!(!is_numbered(b"20261120") && !is_numbered(b"") && !is_numbered(b"7a"));
    for name in [
        ".sync",
        "_delete.123",
        "lost+found",
        "2026-11-20.inProgress",
        "x.tmp",
    ] {
        assert!(set_aside(name.as_bytes()).is_some(), "{name}");
    }
    assert_eq!(set_aside(b"daily.0"), None);
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(name in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = recognise(&name, &rome());
        let _ = (is_rotated(&name), is_numbered(&name), set_aside(&name));
    }

    #[test]
    fn names_made_of_pieces_have_an_answer(
        pieces in proptest::collection::vec("[0-9]{1,6}|2026|11|20|[-_.:T@+Z]|UTC|GMT", 0..16)
    ) {
        let _ = recognise(pieces.concat().as_bytes(), &rome());
    }

    #[test]
    fn what_was_written_is_read(
        secs in 0i64..7_258_118_400,
        spelling in prop::sample::select(vec![
            "%Y-%m-%d_%H%M%S", "x.%Y%m%dT%H%M%SZ", "%Y.%m.%d-%H.%M.%S", "a-%Y-%m-%dT%H:%M:%S.%f", "%Y%m%d%H%M%S",
            "%Y_%m_%d_%H_%M_%S_UTC", "%Y-%m-%d-%H%M%S.backup", "%Y-%m-%d %Hh%Mm%S",
        ]),
    ) {
        let name = DateTime::from_timestamp(secs, 0).unwrap().format(spelling).to_string();
        let found = recognise(name.as_bytes(), &Zone::Named(chrono_tz::UTC));
        prop_assert_eq!(found.map(|f| f.0), Some(secs), "{}", name);
    }
}
