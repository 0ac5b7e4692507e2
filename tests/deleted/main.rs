//! `deleted`: what some date has and the mailbox has no longer; [`model`] makes weeks at random.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;
mod model;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::store::mail;
use harness::tree::try_walk;
use harness::{Config, Layout, Mailbox, Mount, Scratch, Store, Subject, able, eventually, ls};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

/// The messages in a directory of `deleted`: path below it to node number.
fn gone(root: &Path) -> BTreeMap<PathBuf, u64> {
    try_gone(root).unwrap_or_else(|e| panic!("{e}"))
}

/// The same while the tree may be changing.
fn try_gone(root: &Path) -> Result<BTreeMap<PathBuf, u64>, String> {
    let mut found = BTreeMap::new();
    try_walk(root, &mut |path, meta| {
        if meta.is_file() {
            found.insert(path.to_owned(), meta.ino());
        }
    })?;
    Ok(found)
}

/// The folder of each message that is gone, by its subject.
fn subjects(root: &Path) -> BTreeMap<String, String> {
    let subject = |path: &Path| {
        let text = fs::read_to_string(root.join(path)).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("Subject: "))
            .unwrap();
        line["Subject: ".len()..].to_owned()
    };
    let folder = |path: &Path| path.parent().unwrap().to_str().unwrap().to_owned();
    gone(root)
        .keys()
        .map(|path| (subject(path), folder(path)))
        .collect()
}

fn expected(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter()
        .map(|(s, f)| ((*s).to_owned(), (*f).to_owned()))
        .collect()
}

/// A message with a subject and a Message-ID, under a store name of its own.
fn put(mailbox: &Mailbox, place: &str, base: &str, subject: &str) {
    let body = mail("Bob <bob@example.com>", subject, "text\n");
    mailbox.put(place, format!("{base}:2,S"), body, 1_795_000_000);
}

#[test]
fn a_message_is_gone_when_no_folder_has_it() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let first = store.mailbox("2026-11-18", ALICE);
    for (place, base, subject) in [
        ("cur", "1.M1P1.mx", "stays"),
        ("cur", "1.M2P1.mx", "read"),
        ("cur", "1.M3P1.mx", "moved"),
        ("cur", "1.M4P1.mx", "copied"),
        ("cur", "1.M5P1.mx", "lost"),
        ("Old/cur", "1.M6P1.mx", "in a renamed folder"),
        ("Trash/cur", "1.M7P1.mx", "emptied"),
        ("Gone/Deep/cur", "1.M8P1.mx", "with its folder"),
        ("cur", "1.M9P1.mx", "moved and lost"),
    ] {
        put(&first, place, base, subject);
    }
    store.mailbox("2026-11-18", BOB).number("cur", 1);
    let second = store.mailbox("2026-11-19", ALICE);
    for (place, base, subject) in [
        ("cur", "1.M1P1.mx", "stays"),
        ("Archive/cur", "1.M3P1.mx", "moved"),
        ("Archive/cur", "2.M4P1.mx", "copied"),
        ("New/cur", "1.M6P1.mx", "in a renamed folder"),
        ("Trash/cur", "2.M9P1.mx", "moved and lost"),
        ("cur", "2.M1P1.mx", "came and went"),
    ] {
        put(&second, place, base, subject);
    }
    let last = store.mailbox("2026-11-20", ALICE);
    for (place, base, subject) in [
        ("cur", "1.M1P1.mx", "stays"),
        ("Archive/cur", "1.M3P1.mx", "moved"),
        ("Archive/cur", "2.M4P1.mx", "copied"),
        ("New/cur", "1.M6P1.mx", "in a renamed folder"),
        ("cur", "1.M2P1.mx", "read"),
    ] {
        put(&last, place, base, subject);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    assert!(ls(&mount.path).contains(&"deleted".to_owned()));
    assert_eq!(ls(mount.join("deleted")), [ALICE, BOB]);
    let hers = mount.join("deleted").join(ALICE);
    let lost = [
        ("lost", "INBOX"),
        ("emptied", "Trash"),
        ("with its folder", "Gone/Deep"),
        ("moved and lost", "Trash"),
        ("came and went", "INBOX"),
    ];
    assert_eq!(subjects(&hers), expected(&lost));
    assert_eq!(ls(&hers), ["Gone", "INBOX", "Trash"]);
    // A mailbox that vanished is gone as a whole.
    assert_eq!(
        subjects(&mount.join("deleted").join(BOB)),
        expected(&[("Message 1", "INBOX")])
    );
    // Each is the node of the last date that has it, under the same name.
    for (path, ino) in gone(&hers) {
        let last = ["2026-11-19", "2026-11-18"]
            .iter()
            .find_map(|day| fs::metadata(mount.join(day).join(ALICE).join(&path)).ok());
        assert_eq!(last.unwrap().ino(), ino, "{}", path.display());
    }
}

/// Scanners and the like send one header again and again, without a Message-ID.
#[test]
fn messages_of_one_header_and_size_are_not_each_other() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let scan = |page: u32| format!("From: scanner@x\nSubject: Scan\n\npage {page}\n");
    let put = |mailbox: &Mailbox, place: &str, base: &str, page: u32| {
        mailbox.put(place, format!("{base}:2,S"), scan(page), 1_795_000_000);
    };
    let first = store.mailbox("2026-11-18", ALICE);
    for page in 1..=4 {
        put(&first, "cur", &format!("1.M{page}P1.mx"), page);
    }
    let last = store.mailbox("2026-11-19", ALICE);
    put(&last, "cur", "1.M1P1.mx", 1);
    // Moved, and compressed since.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(scan(2).as_bytes()).unwrap();
    let name = format!("2.M2P1.mx,S={}:2,S", scan(2).len());
    last.put("Archive/cur", name, gzip.finish().unwrap(), 1_795_000_000);
    let mount = Mount::new(&Config::new(&scratch, &store));
    let hers = mount.join("deleted").join(ALICE).join("INBOX");
    let mut pages: Vec<String> = ls(&hers)
        .iter()
        .map(|name| fs::read_to_string(hers.join(name)).unwrap())
        .collect();
    pages.sort();
    assert_eq!(pages, [scan(3), scan(4)]);
}

/// What the listing of a directory is believed by over NFS: while its time of change stays, so does the listing.
fn stamps(directories: &[&Path]) -> Vec<(i64, i64)> {
    let stamp = |path: &&Path| {
        let meta = fs::metadata(path).unwrap();
        (meta.mtime(), meta.mtime_nsec())
    };
    directories.iter().map(stamp).collect()
}

#[test]
fn up_to_date_within_a_refresh() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let live = scratch.subdirectory("live");
    let now = Mailbox::new(&live, ALICE, Layout::MaildirPlusPlus);
    for (day, subjects) in [
        ("2026-11-17", &["oldest", "stays"][..]),
        ("2026-11-18", &["deleted", "stays"]),
    ] {
        for subject in subjects {
            let base = format!("{subject}.mx");
            put(&store.mailbox(day, ALICE), "cur", &base, subject);
        }
    }
    store.mailbox("2026-11-17", BOB).number("cur", 1);
    for subject in ["deleted", "stays"] {
        put(&now, "cur", &format!("{subject}.mx"), subject);
    }
    let without = Config::new(&scratch, &store);
    let with = Config::new(&scratch, &store).set("source.live", live.to_str().unwrap());
    let (without, with) = (Mount::new(&without), Mount::new(&with));
    let refreshed = |what: &str, lost: [&[(&str, &str)]; 2], others: &[&str]| {
        // The refresh is a second; the rest is for a machine that is busy.
        for (mount, lost) in [&without, &with].into_iter().zip(lost) {
            let top = mount.join("deleted");
            eventually(Duration::from_secs(5), what, || {
                try_gone(&top.join(ALICE)).is_ok_and(|gone| gone.len() == lost.len())
                    && ls(&top) == others
            });
            assert_eq!(subjects(&top.join(ALICE)), expected(lost), "{what}");
        }
    };
    let tops = [without.join("deleted"), with.join("deleted")];
    let hers = tops.clone().map(|top| top.join(ALICE));
    let inboxes = hers.clone().map(|hers| hers.join("INBOX"));
    let all: Vec<&Path> = [&tops, &hers, &inboxes]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let (oldest, deleted) = (("oldest", "INBOX"), ("deleted", "INBOX"));
    refreshed("at first", [&[oldest], &[oldest]], &[ALICE, BOB]);

    let before = stamps(&all);
    fs::remove_file(now.path.join("cur/deleted.mx:2,S")).unwrap();
    refreshed(
        "deleted now",
        [&[oldest], &[oldest, deleted]],
        &[ALICE, BOB],
    );
    let after = stamps(&all);
    let same: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a == b).collect();
    // Without a live store nothing is new, and of the other one the mailbox alone.
    assert_eq!(same, [true, true, true, false, true, false]);

    put(
        &store.mailbox("2026-11-19", ALICE),
        "cur",
        "stays.mx",
        "stays",
    );
    refreshed("a new date", [&[oldest, deleted]; 2], &[ALICE, BOB]);
    let newer = other_stamps(&all, &after);

    // The newest date stays; what the oldest alone had goes with it.
    fs::rename(store.path.join("2026-11-17"), scratch.join("removed")).unwrap();
    refreshed("a date less", [&[deleted]; 2], &[ALICE]);
    other_stamps(&all, &newer);
}

/// Waits until all directories have another time of change than before.
fn other_stamps(directories: &[&Path], before: &[(i64, i64)]) -> Vec<(i64, i64)> {
    eventually(Duration::from_secs(5), "other times of change", || {
        let now = stamps(directories);
        now.iter().zip(before).all(|(now, before)| now != before)
    });
    stamps(directories)
}

#[test]
fn a_live_store_that_is_not_there_leaves_nothing_out() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    put(
        &store.mailbox("2026-11-20", ALICE),
        "cur",
        "1.M1P1.mx",
        "one",
    );
    let live = scratch.join("live");
    let config = Config::new(&scratch, &store).set("source.live", live.to_str().unwrap());
    let mount = Mount::new(&config).expecting_warnings();
    let asked = fs::read_dir(mount.join("deleted").join(ALICE)).map(Iterator::count);
    assert_eq!(asked.unwrap_err().raw_os_error(), Some(5));
    mount.wait_for_warning(&["the live mail store"]);
}

#[test]
fn names_that_differ_in_case_alone_are_told_apart() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    put(
        &store.mailbox("2026-11-18", ALICE),
        "cur",
        "1.M1P1.mx",
        "one",
    );
    put(
        &store.mailbox("2026-11-19", ALICE),
        "cur",
        "1.m1p1.mx",
        "two",
    );
    store.mailbox("2026-11-20", ALICE);
    let mount = Mount::new(&Config::new(&scratch, &store).set("names", "unique"));
    let names = ls(mount.join("deleted").join(ALICE).join("INBOX"));
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[1], "1.m1p1.mx.eml");
    assert!(
        names[0].starts_with("1.M1P1.mx (") && names[0].ends_with(").eml"),
        "{names:?}"
    );
    assert_eq!(subjects(&mount.join("deleted").join(ALICE)).len(), 2);
}

#[test]
fn nobody_sees_what_is_gone_from_others() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for (address, uid) in [(ALICE, 1_900_001), (BOB, 1_900_002)] {
        let first = store.mailbox("2026-11-18", address).owned_by(uid, uid);
        put(&first, "Sent/cur", "1.M1P1.mx", "lost");
        store.mailbox("2026-11-20", address).owned_by(uid, uid);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    let top = mount.join("deleted");
    // Root goes first, and fills every cache with what nobody else may see.
    let lost: Vec<PathBuf> = gone(&top).into_keys().collect();
    assert_eq!(lost.len(), 2);
    for (address, uid) in [(ALICE, 1_900_001), (BOB, 1_900_002)] {
        assert_eq!(Subject::uid(uid).list(&top).unwrap(), [address]);
        for path in &lost {
            let (file, mailbox) = (top.join(path), path.iter().next().unwrap());
            if mailbox == address {
                Subject::uid(uid).read(&file).unwrap();
            } else {
                Subject::uid(uid).refused(&file);
                Subject::uid(uid).refused(file.parent().unwrap());
                Subject::uid(uid).refused(top.join(mailbox));
            }
        }
    }
    assert_eq!(Subject::uid(1_900_009).list(&top).unwrap(), [""; 0]);
}

#[test]
fn whoever_lists_does_not_wait_for_what_the_kernel_is_told() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let live = scratch.subdirectory("live");
    let hers = Mailbox::new(&live, ALICE, Layout::MaildirPlusPlus);
    let first = store.mailbox("2026-11-18", ALICE);
    for number in 0..40 {
        put(
            &first,
            &format!("F{number}/cur"),
            &format!("{number}.x"),
            &format!("number {number:06}"),
        );
    }
    let config = Config::new(&scratch, &store)
        .set("source.live", live.to_str().unwrap())
        .set("source.timeout", "4s");
    let mount = Mount::new(&config);
    let root = mount.join("deleted").join(ALICE);
    let end = Instant::now() + Duration::from_secs(6);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if Instant::now() > end {
                    break;
                }
                put(&hers, "cur", &format!("{number}.new"), "new");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for reader in 0..4 {
            let root = &root;
            scope.spawn(move || {
                while Instant::now() < end {
                    let began = Instant::now();
                    for folder in (0..40).map(|number| (number * 7 + reader * 11) % 40) {
                        let _ = fs::metadata(root.join(format!("F{folder}")));
                    }
                    let _ = fs::read_dir(root).map(Iterator::count);
                    let took = began.elapsed();
                    assert!(took < Duration::from_secs(3), "{took:?}");
                }
            });
        }
    });
}
