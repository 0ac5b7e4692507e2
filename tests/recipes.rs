//! The recipes of `packaging/snapshots`, run as they stand there but for their paths: what they leave is what is shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use chrono::{DateTime, Days, Utc};
use harness::mount::OtherMount;
use harness::tree::{dates, only};
use harness::{Config, Layout, Mailbox, Mount, Scratch, Store, able, mail, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ALICE: &str = "alice@example.com";
/// How many days there are in the end: more than are kept.
const DAYS: u64 = 20;
/// Today and the 15 days before.
const KEPT: u64 = 16;

/// A recipe with its paths put in place; each must be in it.
fn recipe(text: &str, replacements: &[(&str, String)]) -> String {
    let mut text = text.to_owned();
    for (path, own) in replacements {
        assert!(text.contains(path), "{path}");
        text = text.replace(path, own);
    }
    text
}

/// Midnight, so many days ago.
fn midnight(days_ago: u64) -> DateTime<Utc> {
    let day = Utc::now()
        .date_naive()
        .checked_sub_days(Days::new(days_ago));
    day.unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc()
}

fn label(days_ago: u64) -> String {
    midnight(days_ago).format("%Y-%m-%d").to_string()
}

/// The store as it was on a day: one message, which says so.
fn fill(store: &Path, days_ago: u64) {
    let mailbox = Mailbox::new(store, ALICE, Layout::MaildirPlusPlus);
    for old in fs::read_dir(mailbox.folder("").join("cur")).unwrap() {
        fs::remove_file(old.unwrap().path()).unwrap();
    }
    let day = label(days_ago);
    let received = midnight(days_ago).timestamp() - 3600;
    let bytes = mail("Bob Rossi <bob@example.com>", &day, "Hi\n");
    mailbox.put("cur", format!("{received}.M1P1.mx:2,S"), bytes, received);
}

/// Fails unless the mount of these snapshots shows the days that are kept, each with its message.
fn assert_shown(scratch: &Scratch, snapshots: PathBuf, mailboxes: &str) {
    let store = Store { path: snapshots };
    let config = Config::new(scratch, &store).set("source.mailboxes", mailboxes);
    let mount = Mount::new(&config);
    let mut want: Vec<String> = (0..KEPT).map(label).collect();
    want.sort();
    assert_eq!(dates(&mount.path), want);
    for day in want {
        let name = only(mount.join(&day).join(ALICE).join("INBOX"));
        assert!(name.contains(&day), "{day}: {name}");
    }
}

#[test]
fn btrbk() {
    if !able(&["btrbk", "mkfs.btrfs", "btrfs"]) {
        return;
    }
    let scratch = Scratch::new();
    let image = scratch.join("image");
    fs::File::create(&image)
        .unwrap()
        .set_len(256 << 20)
        .unwrap();
    run(Command::new("mkfs.btrfs").arg("-q").arg(&image));
    let volume = OtherMount::new(
        &["-o", "loop", image.to_str().unwrap()],
        scratch.join("srv"),
    );
    let live = volume.0.join("vmail");
    let snapshots = volume.0.join(".snapshots-vmail");
    let subvolume = |args: &[&str], paths: &[&Path]| {
        run(Command::new("btrfs")
            .args(["-q", "subvolume"])
            .args(args)
            .args(paths));
    };
    subvolume(&["create"], &[&live]);
    fs::create_dir(&snapshots).unwrap();
    // The days that have passed, as btrbk names them.
    for days_ago in (1..DAYS).rev() {
        fill(&live, days_ago);
        let name = midnight(days_ago)
            .format("vmail.%Y%m%dT%H%M%S%z")
            .to_string();
        subvolume(&["snapshot", "-r"], &[&live, &snapshots.join(name)]);
    }
    fill(&live, 0);
    let file = scratch.join("btrbk.conf");
    let text = recipe(
        include_str!("../packaging/snapshots/btrbk.conf"),
        &[(
            "\nvolume /srv\n",
            format!("\nvolume {}\n", volume.0.display()),
        )],
    );
    fs::write(
        &file,
        format!("lockfile {}\n{text}", scratch.join("lock").display()),
    )
    .unwrap();
    let run_it = || {
        run(Command::new("btrbk")
            .arg("--quiet")
            .arg("--config")
            .arg(&file)
            .arg("run")
            .env("TZ", "UTC"));
    };
    run_it();
    assert_shown(&scratch, snapshots.clone(), "{domain}/{user}/Maildir");
    // Once more in a day does no harm.
    fill(&live, 0);
    run_it();
    assert_shown(&scratch, snapshots, "{domain}/{user}/Maildir");
}

#[test]
fn rsnapshot() {
    if !able(&["rsnapshot", "rsync"]) {
        return;
    }
    let scratch = Scratch::new();
    let (live, root) = (scratch.subdirectory("vmail"), scratch.join("backups"));
    let file = scratch.join("rsnapshot.conf");
    let text = recipe(
        include_str!("../packaging/snapshots/rsnapshot.conf"),
        &[
            ("\t/var/backups/vmail/", format!("\t{}/", root.display())),
            ("\t/srv/vmail/", format!("\t{}/", live.display())),
            (
                "\t/run/rsnapshot.pid",
                format!("\t{}", scratch.join("lock").display()),
            ),
        ],
    );
    fs::write(&file, text).unwrap();
    for days_ago in (0..DAYS).rev() {
        fill(&live, days_ago);
        run(Command::new("rsnapshot")
            .arg("-q")
            .arg("-c")
            .arg(&file)
            .arg("daily"));
        // It was midnight then.
        let then = format!("@{}", midnight(days_ago).timestamp());
        run(Command::new("touch")
            .args(["-d", &then])
            .arg(root.join("daily.0")));
    }
    assert_shown(&scratch, root, "vmail/{domain}/{user}/Maildir");
}
