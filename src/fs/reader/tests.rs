//! Tests of who may read what, over real directories with real owners.

use super::*;
use crate::access::{Grant, OwnerRule, Policy, Principal};
use crate::fs::{MboxListed, Options};
use crate::index::Index;
use crate::message::mboxrd::FlagLines;
use crate::snapshot::{self, Catalogue};
use crate::time::Zone;
use crate::view::mailbox::{Layout, Template};
use crate::view::{Names, View};
use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const DAYS: [&str; 2] = ["2026-11-20", "2026-11-21"];

/// Mailboxes `(day, path, owner)`, and a file system of them where `granted` may be read by these Unix users.
fn world(mailboxes: &[(&str, &str, u32)], granted: &str, to: &[u32]) -> Option<(TempDir, Fs)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give mailboxes to others");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    for (day, path, owner) in mailboxes {
        let path = dir.path().join(day).join(path).join("Maildir");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(path.join(part)).unwrap();
        }
        lchown(&path, Some(*owner), None).unwrap();
    }
    let grant = [granted.to_owned()];
    let to: Vec<Principal> = to
        .iter()
        .map(|id| Principal::User(id.to_string()))
        .collect();
    let grants = match to.is_empty() {
        true => Vec::new(),
        false => vec![Grant::new(&grant, to).unwrap()],
    };
    let policy = Policy::new(OwnerRule::Store, Vec::new(), grants, false, true);
    Some(open(dir, policy))
}

fn open(dir: TempDir, policy: Policy) -> (TempDir, Fs) {
    let options = snapshot::Options {
        dirs: vec![dir.path().into()],
        zone: Zone::parse("UTC").unwrap(),
        ..Default::default()
    };
    let template = |text| Template::parse(text).unwrap();
    let view = View {
        zone: options.zone,
        names: Names::Readable,
        flags: FlagLines::Status,
        layout: Layout {
            templates: vec![
                template("{domain}/{user}/Maildir"),
                template("old/{domain}/{user}/Maildir"),
            ],
            ..Layout::default()
        },
        keys: Arc::default(),
        index: Arc::new(Index::in_memory()),
        told: Arc::default(),
    };
    let catalogue = Catalogue::open(options).unwrap();
    let options = Options {
        mbox_listed: MboxListed::Always,
        keep_days: None,
        zone_name: "UTC".into(),
        refresh: Duration::from_secs(30),
        listing_bytes: 1 << 20,
        bodies: false,
        language: crate::language::Language::English,
        about: None,
        live: None,
    };
    let fs = Fs::new(view, policy, catalogue, options).unwrap();
    (dir, fs)
}

fn uid(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).unwrap().uid()
}

#[test]
fn everybody_reads_his_own_and_nothing_else() {
    let mailboxes = [
        (DAYS[0], "a.example/ann", 5001),
        (DAYS[1], "a.example/ann", 5001),
        (DAYS[1], "a.example/bob", 5002),
        (DAYS[0], "a.example/old", 5003),
    ];
    let Some((dir, fs)) = world(&mailboxes, "*", &[]) else {
        return;
    };
    assert_eq!(
        uid(&dir.path().join(DAYS[1]).join("a.example/ann/Maildir")),
        5001
    );
    let ann = fs.reader("ann@a.example").unwrap().unwrap();
    assert_eq!(fs.reader("ANN@A.Example").unwrap().unwrap(), ann);
    assert_eq!(fs.readable(&ann, None).unwrap(), ["ann@a.example"]);
    let may = |mailbox: &str, date| fs.may_read(&ann, mailbox, date).unwrap();
    assert!(may("ann@a.example", None) && may("ann@a.example", Some(DAYS[0])));
    for other in [
        "bob@a.example",
        "old@a.example",
        "",
        "ANN@a.example",
        "nobody",
    ] {
        assert!(!may(other, None) && !may(other, Some(DAYS[1])), "{other}");
    }
    assert!(!may("ann@a.example", Some("2026-11-22")));
    // One that is on an older date alone is somebody's still.
    assert!(fs.reader("old@a.example").unwrap().is_some());
    for nobody in [
        "",
        "ann",
        "ann@a.example ",
        "eve@a.example",
        "ann@a.ex\u{212a}mple",
    ] {
        assert_eq!(fs.reader(nobody).unwrap(), None, "{nobody}");
    }
}

#[test]
fn an_address_of_several_mailboxes_is_nobodys() {
    let mailboxes = [
        (DAYS[1], "a.example/ann", 5001),
        (DAYS[1], "old/a.example/ann", 5002),
        (DAYS[1], "a.example/Bob", 5003),
        (DAYS[1], "a.example/bob", 5004),
        // Made safe, this is called as the next one is.
        (DAYS[1], "a.example/e:e", 5005),
        (DAYS[1], "a.example/e_e", 5006),
    ];
    let Some((_dir, fs)) = world(&mailboxes, "*", &[]) else {
        return;
    };
    assert_eq!(fs.reader("ann@a.example").unwrap(), None);
    let own = |address: &str| fs.reader(address).unwrap().map(|reader| reader.path);
    assert_eq!(own("Bob@a.example").unwrap(), b"a.example/Bob/Maildir");
    assert_eq!(own("bob@a.example").unwrap(), b"a.example/bob/Maildir");
    assert_eq!(own("BOB@a.example"), None);
    assert_eq!(own("e_e@a.example").unwrap(), b"a.example/e_e/Maildir");
    assert_eq!(own("e:e@a.example").unwrap(), b"a.example/e:e/Maildir");
}

#[test]
fn a_name_that_means_another_mailbox_on_a_date_opens_nothing_there() {
    let mailboxes = [
        (DAYS[0], "old/a.example/ann", 5002),
        (DAYS[1], "a.example/ann", 5001),
    ];
    let Some((_dir, fs)) = world(&mailboxes, "*", &[]) else {
        return;
    };
    let ann = fs.reader("ann@a.example").unwrap().unwrap();
    assert!(fs.may_read(&ann, "ann@a.example", Some(DAYS[1])).unwrap());
    assert!(!fs.may_read(&ann, "ann@a.example", Some(DAYS[0])).unwrap());
    assert!(!fs.may_read(&ann, "ann@a.example", None).unwrap());
}

#[test]
fn grants_are_for_unix_users_who_own_one_mailbox() {
    let mailboxes = [
        (DAYS[1], "a.example/ann", 5001),
        (DAYS[1], "a.example/bob", 5002),
        (DAYS[1], "a.example/one", 5003),
        (DAYS[1], "a.example/two", 5003),
        (DAYS[1], "a.example/root", 0),
    ];
    let Some((_dir, fs)) = world(&mailboxes, "bob@*", &[5001, 5003, 0]) else {
        return;
    };
    let readable = |address: &str| {
        let reader = fs.reader(address).unwrap().unwrap();
        fs.readable(&reader, None).unwrap()
    };
    assert_eq!(
        readable("ann@a.example"),
        ["ann@a.example", "bob@a.example"]
    );
    for alone in [
        "bob@a.example",
        "one@a.example",
        "two@a.example",
        "root@a.example",
    ] {
        assert_eq!(readable(alone), [alone]);
    }
    let ann = fs.reader("ann@a.example").unwrap().unwrap();
    assert!(fs.may_read(&ann, "bob@a.example", None).unwrap());
    assert!(!fs.may_read(&ann, "one@a.example", None).unwrap());
    // The policy of the moment decides.
    fs.set_policy(Policy::new(
        OwnerRule::Store,
        Vec::new(),
        Vec::new(),
        false,
        true,
    ));
    assert!(!fs.may_read(&ann, "bob@a.example", None).unwrap());
}
