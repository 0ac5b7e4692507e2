//! Dates: which snapshots are shown under which name, and how they come and go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{dates, messages, only, try_walk, without_id};
use harness::{Config, Mount, Scratch, Store, able, eventually, ls, store, utc};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const ALICE: &str = "alice@example.com";
const DAY: &str = "2026-11-20";

fn setup() -> (Scratch, Store) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    (scratch, store)
}

#[test]
fn a_date_for_each_snapshot_and_a_link_to_the_latest() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    for (day, number) in [("2026-11-19", 1), (DAY, 2), ("2026-11-21", 3)] {
        store.mailbox(day, ALICE).number("cur", number);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    assert_eq!(dates(&mount.path), ["2026-11-19", DAY, "2026-11-21"]);
    assert_eq!(
        fs::read_link(mount.join("latest")).unwrap(),
        Path::new("2026-11-21")
    );
    assert!(ls(&mount.path).contains(&"latest".to_owned()));
    for day in dates(&mount.path) {
        assert_eq!(ls(mount.join(&day)), [ALICE]);
        assert_eq!(
            messages(mount.join(&day).join(ALICE).join("INBOX")).len(),
            1
        );
    }
    assert_eq!(
        fs::metadata(mount.join("2026-11-22")).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

#[test]
fn a_date_is_its_last_snapshot() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let first = store
        .mailbox("auto-2026-11-20_0300", ALICE)
        .number("cur", 1);
    let last = store
        .mailbox("auto-2026-11-20_2300", ALICE)
        .number("cur", 2);
    store.snapshot("manual-before-upgrade");
    let config = Config::new(&scratch, &store).set("source.name", "auto-%Y-%m-%d_%H%M");
    {
        let mount = Mount::new(&config);
        assert_eq!(dates(&mount.path), [DAY]);
        let inbox = mount.join("2026-11-20/alice@example.com/INBOX");
        assert_eq!(fs::read(inbox.join(only(&inbox))).unwrap(), last);
        assert_eq!(
            fs::metadata(mount.join(DAY)).unwrap().mtime(),
            utc("2026-11-20 23:00:00")
        );
    }
    let mount = Mount::new(&config.set("granularity", "snapshot"));
    assert_eq!(dates(&mount.path), ["2026-11-20_0300", "2026-11-20_2300"]);
    assert_eq!(
        fs::read_link(mount.join("latest")).unwrap(),
        Path::new("2026-11-20_2300")
    );
    let inbox = mount.join("2026-11-20_0300/alice@example.com/INBOX");
    assert_eq!(fs::read(inbox.join(only(&inbox))).unwrap(), first);
    assert_eq!(
        fs::metadata(mount.join("2026-11-20_0300")).unwrap().mtime(),
        utc("2026-11-20 03:00:00")
    );
}

#[test]
fn a_time_that_says_utc_is_shown_in_the_time_zone() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store
        .mailbox("2026-11-20T23:30:00Z", ALICE)
        .number("cur", 1);
    let config = Config::new(&scratch, &store)
        .set("timezone", "Europe/Rome")
        .set("granularity", "snapshot");
    let mount = Mount::new(&config);
    assert_eq!(dates(&mount.path), ["2026-11-21_0030"]);
    let name = only(mount.join("2026-11-21_0030/alice@example.com/INBOX"));
    let rome = chrono::DateTime::from_timestamp(1_795_000_060 + 3600, 0).unwrap();
    assert_eq!(
        without_id(&name),
        format!("{} Bob Rossi - Message 1", rome.format("%Y-%m-%d %H%M"))
    );
}

#[test]
fn keep_days_shows_today_and_the_days_before() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let today = || chrono::Utc::now().date_naive();
    // Again if midnight falls into it.
    loop {
        let start = today();
        let day = |back: i64| (start - chrono::Duration::days(back)).to_string();
        for back in 0..5 {
            store.mailbox(&day(back), ALICE);
        }
        let mount = Mount::new(&Config::new(&scratch, &store).set("keep_days", 2));
        let shown = dates(&mount.path);
        let hidden = fs::metadata(mount.join(day(3))).map(|_| ());
        if today() == start {
            assert_eq!(shown, [day(2), day(1), day(0)]);
            assert_eq!(hidden.unwrap_err().kind(), std::io::ErrorKind::NotFound);
            return;
        }
    }
}

#[test]
fn snapshots_come_and_go_without_a_remount() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store.mailbox("2026-11-19", ALICE).number("cur", 1);
    store.mailbox(DAY, ALICE).number("cur", 2);
    let staging = Store::new(scratch.join("staging"));
    staging.mailbox("2026-11-21", ALICE).number("cur", 3);
    let mount = Mount::new(&Config::new(&scratch, &store));
    assert_eq!(dates(&mount.path), ["2026-11-19", DAY]);
    let gone = fs::metadata(mount.join("2026-11-21"));
    assert!(gone.is_err(), "asked for before it is there");

    fs::rename(
        staging.path.join("2026-11-21"),
        store.path.join("2026-11-21"),
    )
    .unwrap();
    eventually(Duration::from_secs(5), "a new date", || {
        dates(&mount.path) == ["2026-11-19", DAY, "2026-11-21"]
    });
    assert_eq!(
        fs::read_link(mount.join("latest")).unwrap(),
        Path::new("2026-11-21")
    );
    let inbox = mount.join("latest/alice@example.com/INBOX");
    assert!(without_id(&only(&inbox)).ends_with("Message 3"));

    for day in ["2026-11-21", "2026-11-19"] {
        fs::rename(store.path.join(day), staging.path.join(day)).unwrap();
    }
    eventually(Duration::from_secs(5), "removed dates", || {
        dates(&mount.path) == [DAY]
    });
    // The kernel is told to forget it a moment after it can be listed.
    eventually(Duration::from_secs(1), "the link", || {
        fs::read_link(mount.join("latest")).unwrap() == Path::new(DAY)
    });
    assert_eq!(
        fs::metadata(mount.join("2026-11-19")).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

#[test]
fn an_empty_directory_of_snapshots_mounts_empty_with_a_warning() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    assert_eq!(dates(&mount.path), Vec::<String>::new());
    assert!(fs::read_link(mount.join("latest")).is_err());
    mount.wait_for_warning(&[store.path.to_str().unwrap()]);
}

#[test]
fn a_directory_without_a_date_among_those_with_one_is_warned_of() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    store.snapshot("unpacked");
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    assert_eq!(dates(&mount.path).len(), 2);
    mount.wait_for_warning(&["1 of 2", "unpacked", "set name"]);
}

#[test]
fn a_live_directory_shows_the_snapshots_that_it_has() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    for (number, snapshots) in [".snapshot", ".zfs/snapshot"].into_iter().enumerate() {
        let live = scratch.subdirectory(&format!("live-{number}"));
        let store = Store::new(live.join(snapshots));
        store.mailbox(DAY, ALICE).number("cur", 1);
        fs::create_dir(live.join("example.com")).unwrap();
        let config = Config::new(&scratch, &store);
        let named = vec![live.to_str().unwrap().to_owned()];
        let mount = Mount::new(&config.set("source.snapshots", named));
        assert_eq!(dates(&mount.path), [DAY]);
        assert_eq!(ls(mount.join(DAY)), [ALICE]);
    }
}

#[test]
fn a_pattern_finds_names_that_no_tool_gives_and_heeds_utc_in_them() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store
        .mailbox("vmail-20.11.26-2330Z", ALICE)
        .number("cur", 1);
    store.snapshot("old");
    let config = Config::new(&scratch, &store)
        .set("timezone", "Europe/Rome")
        .set("source.name", "vmail-%d.%m.%y-%H%MZ");
    let mount = Mount::new(&config);
    assert_eq!(dates(&mount.path), ["2026-11-21"]);
}

#[test]
fn moments_that_share_a_minute_are_all_shown() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let first = store
        .mailbox("2026-10-25T00:30:00Z", ALICE)
        .number("cur", 1);
    let second = store
        .mailbox("2026-10-25T01:30:00Z", ALICE)
        .number("cur", 2);
    let config = Config::new(&scratch, &store)
        .set("timezone", "Europe/Rome")
        .set("granularity", "snapshot");
    let mount = Mount::new(&config);
    assert_eq!(dates(&mount.path), ["2026-10-25_0230", "2026-10-25_0231"]);
    for (date, mail) in [("2026-10-25_0230", first), ("2026-10-25_0231", second)] {
        let inbox = mount.join(date).join(ALICE).join("INBOX");
        assert_eq!(fs::read(inbox.join(only(&inbox))).unwrap(), mail);
    }
}

#[test]
fn latest_is_the_one_taken_last_whatever_its_name() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    for (snapshot, messages) in [
        ("2026-11-20T10:05:01", 1),
        ("2026-11-20T10:05:02", 2),
        ("2026-11-20T10:06:00", 3),
    ] {
        let alice = store.mailbox(snapshot, ALICE);
        (0..messages).for_each(|number| drop(alice.number("cur", number)));
    }
    let config = Config::new(&scratch, &store).set("granularity", "snapshot");
    let mount = Mount::new(&config);
    let shown = ["2026-11-20_1005", "2026-11-20_1006", "2026-11-20_1007"];
    assert_eq!(dates(&mount.path), shown);
    for (date, messages) in shown.into_iter().chain(["latest"]).zip([1, 3, 2, 3]) {
        let inbox = mount.join(date).join(ALICE).join("INBOX");
        assert_eq!(ls(inbox).len(), messages, "{date}");
    }
    assert_eq!(
        fs::read_link(mount.join("latest")).unwrap().to_str(),
        Some("2026-11-20_1006")
    );
}

#[test]
fn a_date_that_is_filled_while_somebody_looks_is_shown_whole_in_the_end() {
    if !able(&[]) {
        return;
    }
    const NEW: &str = "2026-11-21";
    let (scratch, store) = setup();
    let fill = |snapshot: &str, numbers: std::ops::Range<u32>| {
        for address in [ALICE, "bob@example.com"] {
            let mailbox = store.mailbox(snapshot, address);
            for number in numbers.clone() {
                mailbox.number(["cur", "Sent/cur"][number as usize % 2], number);
            }
        }
    };
    fill("2026-11-20", 0..12);
    let mount = Mount::new(&Config::new(&scratch, &store));
    store.mailbox(NEW, ALICE).number("cur", 6);
    // As rsync does: the root gets its time at the beginning.
    let root = store.path.join(NEW);
    store::set_time(&root, utc("2026-11-21 03:00:00"));
    let top = mount.join(NEW).join(ALICE);
    let limit = Duration::from_secs(20);
    eventually(limit, "the date appears", || top.exists());
    let before = std::collections::BTreeSet::from_iter(ls(top.join("INBOX")));
    assert!(before.len() <= 1, "{before:?}");
    fs::read(top.join("INBOX.mbox")).unwrap();
    fill(NEW, 0..12);
    store::set_time(&root, utc("2026-11-21 03:00:00"));
    // It may become another snapshot at any moment.
    let shown = |date: &str| -> Result<Vec<_>, String> {
        let (top, mut all) = (mount.join(date), Vec::new());
        try_walk(&top, &mut |path, told| {
            let read = fs::read(top.join(path)).unwrap_or_default();
            if told.is_file() && !path.ends_with("ABOUT THIS BACKUP.txt") {
                all.push((path.to_owned(), told.len() == read.len() as u64, read));
            }
        })?;
        Ok(all)
    };
    let whole = shown("2026-11-20");
    assert_eq!(whole.as_ref().map(Vec::len), Ok(2 * (12 + 2)));
    eventually(Duration::from_secs(60), "all of it is shown", || {
        shown(NEW) == whole
    });
    eventually(limit, "nothing is deleted", || {
        try_walk(&mount.join("deleted"), &mut |path, told| {
            assert!(told.is_dir(), "{}", path.display());
        })
        .is_ok()
    });
}
