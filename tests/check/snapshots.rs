//! What `mailtm check` says of snapshots and dates.

use crate::harness::store::set_time;
use crate::harness::{Store, utc};
use crate::{ALICE, BOB, DAY, assert_warns, check, days_ago, json, setup, warnings};
use serde_json::Value;
use std::fs;

#[test]
fn a_live_directory_is_told_with_its_snapshots() {
    let (scratch, _, config) = setup();
    let live = scratch.subdirectory("vmail");
    let snapshots = Store::new(live.join(".snapshot"));
    snapshots.mailbox("nightly.2026-11-20_0010", ALICE);
    let config = config.set("source.snapshots", vec![live.to_str().unwrap().to_owned()]);
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    assert!(report["source"]["why"].as_str().unwrap().contains("NetApp"));
    assert_eq!(report["directories"][0]["kind"], "NetApp");
    assert_eq!(
        report["directories"][0]["path"],
        snapshots.path.to_str().unwrap()
    );

    // One of several is taken as it stands.
    let other = Store::new(scratch.join("other"));
    other.mailbox(DAY, BOB);
    let list = [&live, &other.path].map(|p| p.to_str().unwrap().to_owned());
    let (_, report) = json(&config.set("source.snapshots", list.to_vec()), &[]);
    assert_warns(&report, &["vmail is taken for a directory", ".snapshot"]);
}

#[test]
fn what_is_no_snapshot_and_what_has_no_date_is_told() {
    let (_scratch, store, config) = setup();
    for name in ["2026-11-18", "2026-11-19", DAY] {
        store.mailbox(name, ALICE);
    }
    store.mailbox("before-upgrade", ALICE);
    set_time(
        &store.snapshot("before-upgrade"),
        utc("2026-11-20 18:00:00"),
    );
    store.snapshot(".zfs-tmp");
    fs::write(store.path.join("README"), "").unwrap();
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    assert_warns(
        &report,
        &[
            "1 of 4 snapshots",
            "before-upgrade hides another of 2026-11-20",
            "set name",
        ],
    );
    let others = report["directories"][0]["not_snapshots"]
        .as_array()
        .unwrap();
    let names: Vec<&str> = others.iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, [".zfs-tmp", "README"]);
    let ways = report["directories"][0]["dated_by"].as_array().unwrap();
    let counts: Vec<_> = ways
        .iter()
        .map(|w| (w["how"].as_str().unwrap(), w["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [("name", 3), ("root_time", 1)]);

    let config = config.set("source.name", "%Y-%m-%d");
    let (_, report) = json(&config, &[]);
    assert!(
        !warnings(&report)
            .iter()
            .any(|w| w.contains("before-upgrade"))
    );
    let (_, text) = check(&config, &[]);
    assert!(
        text.contains("does not match the name pattern: .zfs-tmp, before-upgrade"),
        "{text}"
    );

    let (code, report) = json(&config.set("source.name", "daily-%Y-%m-%d"), &[]);
    assert_eq!(code, 0);
    assert_warns(&report, &["no snapshots", "daily-%Y-%m-%d"]);
    assert_eq!(report["mailboxes"], Value::Null);
}

#[test]
fn a_late_snapshot_is_told_and_two_of_one_moment_are_shown() {
    let (_scratch, store, config) = setup();
    for days in [9, 8, 7, 6] {
        store.mailbox(&days_ago(days), ALICE);
    }
    let twin = format!("manual-{}", days_ago(7));
    store.mailbox(&twin, ALICE);
    let (_, report) = json(&config, &[]);
    assert_warns(&report, &["the newest snapshot is 6 days old", "24 hours"]);
    assert_eq!(report["dates"]["late"], true);
    assert_eq!(report["dates"]["labels"].as_array().map(Vec::len), Some(4));
    let (_, report) = json(&config.set("granularity", "snapshot"), &[]);
    assert_eq!(report["dates"]["labels"].as_array().map(Vec::len), Some(5));
}
