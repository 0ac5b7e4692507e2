//! Into a Maildir, as files.

use crate::harness::imap_server::{ALICE, Fetched, OWNER, Server, home};
use crate::harness::{Mailbox, Scratch, Store, able, mail, output, store::Layout};
use crate::{DAY, configure, files, report, restore};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const FOLDERS: [&str; 5] = ["Sent", "Trash", "Entwürfe", "Archive/2024", "日本語"];

/// A mailbox that a server has filled, and its snapshot.
pub struct World {
    pub scratch: Scratch,
    pub config: crate::harness::Config,
    pub server: Server,
    live: std::path::PathBuf,
    pub before: Vec<Fetched>,
}

impl World {
    pub fn new(location: &str, more: &str) -> Self {
        let scratch = Scratch::new();
        let live = scratch.subdirectory("live");
        home(&live);
        let server = Server::start(&scratch, &live, location, more);
        fill(&server, &scratch);
        let before = server.fetch();
        let store = Store::new(scratch.join("snapshots"));
        let config = configure(&scratch, &store, &live);
        let world = Self {
            scratch,
            config,
            server,
            live,
            before,
        };
        world.back_up(DAY);
        world
    }

    /// Another date, which has the mailbox as it is.
    pub fn back_up(&self, date: &str) {
        let snapshot = self
            .scratch
            .join("snapshots")
            .join(date)
            .join("example.com");
        fs::create_dir_all(&snapshot).unwrap();
        let home = self.live.join("example.com/alice");
        let copied = output(Command::new("cp").arg("-a").arg(home).arg(&snapshot));
        assert!(copied.status.success());
    }

    pub fn mailbox(&self) -> std::path::PathBuf {
        self.live.join("example.com/alice")
    }
}

/// Messages with all kinds of flags and keywords in all folders, some of them without Message-ID.
fn fill(server: &Server, scratch: &Scratch) {
    let source = scratch.join("source");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(source.join(part)).unwrap();
    }
    for number in 0..48_i64 {
        let flags =
            ["", "S", "RS", "FS", "S", "DS", "DFRS", "S"][usize::try_from(number % 8).unwrap()];
        let path = source.join("cur").join(format!(
            "{}.M{number}P1.source:2,{flags}",
            1_795_000_000 + number
        ));
        let body = "Line\nFrom here\n".repeat(usize::try_from(number).unwrap());
        let mut bytes = mail("Bob <b@example.com>", &format!("Number {number}"), &body);
        if number % 12 == 7 {
            // One header again and again, and one size.
            bytes = format!("From: scanner@x\nSubject: Scan\n\npage {number:02}\n").into_bytes();
        }
        if number % 6 == 5 {
            let text = String::from_utf8(bytes).unwrap();
            let lines = text
                .split_inclusive('\n')
                .filter(|l| !l.starts_with("Message-ID"));
            bytes = lines.collect::<String>().into_bytes();
        }
        fs::write(&path, bytes).unwrap();
        crate::harness::store::set_time(&path, 1_794_000_000 + number * 3601);
    }
    let owned = output(
        Command::new("chown")
            .arg("-R")
            .arg(OWNER.to_string())
            .arg(&source),
    );
    assert!(owned.status.success());
    for folder in FOLDERS {
        server.adm(&["mailbox", "create", "-s", folder]);
    }
    server.adm(&[
        "import",
        &format!("maildir:{}", source.display()),
        "",
        "all",
    ]);
    for args in [
        &[
            "flags",
            "add",
            "$Label1 project-x",
            "mailbox",
            "INBOX",
            "2:9",
        ][..],
        &["flags", "add", "later", "mailbox", "INBOX", "8:12"],
        &["move", "Sent", "mailbox", "INBOX", "1:8"],
        &["move", "Archive/2024", "mailbox", "INBOX", "9:16"],
        &["move", "日本語", "mailbox", "INBOX", "17:22"],
        &["flags", "add", "from-afar", "mailbox", "日本語", "2:3"],
        &["copy", "Entwürfe", "mailbox", "Sent", "1:3"],
    ] {
        server.adm(args);
    }
}

/// A week passes: things are deleted, moved, flagged, and delivered.
pub fn damage(server: &Server) {
    for args in [
        &["expunge", "mailbox", "INBOX", "1:10"][..],
        &["expunge", "mailbox", "Sent", "4:6"],
        &["move", "Trash", "mailbox", "INBOX", "1:4"],
        &["move", "Trash", "mailbox", "Archive/2024", "1"],
        &["flags", "add", "\\Flagged", "mailbox", "Sent", "1:2"],
        &["mailbox", "delete", "-s", "日本語"],
    ] {
        server.adm(args);
    }
}

/// What is in a mailbox after a restore: all there was just before it, unchanged, and what the backup's day had and the
/// mailbox had nowhere any more.
fn check(world: &World, just_before: &[Fetched]) {
    let after = world.server.fetch();
    for message in just_before {
        assert!(after.contains(message), "changed or gone: {message:?}");
    }
    let had: BTreeSet<&str> = just_before.iter().map(|m| m.digest.as_str()).collect();
    let mut wanted: Vec<Fetched> = world
        .before
        .iter()
        .filter(|m| !had.contains(m.digest.as_str()))
        .map(Fetched::same)
        .collect();
    let mut added: Vec<Fetched> = after
        .iter()
        .filter(|m| !just_before.contains(m))
        .map(Fetched::same)
        .collect();
    wanted.sort();
    added.sort();
    assert!(wanted.len() > 15, "{}", wanted.len());
    assert_eq!(added, wanted);
}

fn comes_back(location: &str, more: &str) {
    if able(&["doveadm", "dovecot"]) {
        comes_back_in(&World::new(location, more));
    }
}

/// Deletes and moves things in a mailbox, puts back what is missing, and compares.
pub fn comes_back_in(world: &World) {
    assert!(world.before.len() > 45, "{}", world.before.len());
    let nothing = report(&world.config, &["--date", DAY, "--mailbox", ALICE], 0);
    assert_eq!(nothing["create"], 0, "{nothing}");
    assert_eq!(nothing["already_there"], json!(world.before.len()));

    damage(&world.server);
    let just_before = world.server.fetch();
    let on_disk = files(&world.mailbox());
    let plan = report(&world.config, &["--date", DAY, "--mailbox", ALICE], 0);
    assert_eq!(files(&world.mailbox()), on_disk, "a plan changes nothing");
    assert_eq!(plan["moved_to"]["Trash"], 5, "{plan}");

    let done = report(
        &world.config,
        &["--date", "latest", "--mailbox", ALICE, "--apply"],
        0,
    );
    assert_eq!(done["created"], plan["create"]);
    assert_eq!(done["unread"], json!([]));
    assert_eq!(done["losses"], json!([]));
    assert!(Path::new(done["log"].as_str().unwrap()).is_file());
    check(world, &just_before);
    let subscribed = String::from_utf8(world.server.adm(&["mailbox", "list", "-s"])).unwrap();
    assert!(subscribed.contains("日本語"), "{subscribed}");

    let again = report(
        &world.config,
        &["--date", DAY, "--mailbox", ALICE, "--apply"],
        0,
    );
    assert_eq!(
        (&again["created"], &again["log"]),
        (&json!(0), &Value::Null),
        "{again}"
    );
    let into = [
        "--date",
        DAY,
        "--mailbox",
        ALICE,
        "--into",
        "Elsewhere",
        "--apply",
    ];
    assert_eq!(report(&world.config, &into, 0)["created"], 0);
    assert_eq!(world.server.complaints(), "");
}

#[test]
fn maildir_plus_plus() {
    comes_back("maildir:~/Maildir", "");
}

#[test]
fn layout_fs() {
    comes_back("maildir:~/Maildir:LAYOUT=fs", "");
}

#[test]
fn utf8_names() {
    comes_back("maildir:~/Maildir:UTF-8", "");
}

#[test]
fn control_files_elsewhere() {
    comes_back("maildir:~/Maildir:INDEX=~/idx:CONTROL=~/ctl", "");
}

#[test]
fn control_files_elsewhere_in_layout_fs() {
    comes_back("maildir:~/Maildir:LAYOUT=fs:CONTROL=~/ctl", "");
}

#[test]
fn compressed() {
    comes_back(
        "maildir:~/Maildir",
        "mail_plugins = zlib\nplugin {\n  zlib_save = gz\n}",
    );
}

/// A store without a server: messages 1 to 6 in INBOX and two folders of the backup, and what `live` leaves of them.
pub fn small(live: impl FnOnce(&Mailbox)) -> (Scratch, crate::harness::Config, std::path::PathBuf) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let backup = store.mailbox(DAY, ALICE);
    for number in 1..=3 {
        backup.number("cur", number);
    }
    backup.number(".Work/cur".trim_start_matches('.'), 4);
    backup.number("Work/2024/cur", 5);
    let path = scratch.subdirectory("live");
    live(&Mailbox::new(&path, ALICE, Layout::MaildirPlusPlus));
    let config = configure(&scratch, &store, &path);
    (scratch, config, path.join("example.com/alice/Maildir"))
}

pub fn in_cur(mailbox: &Path, folder: &str) -> Vec<String> {
    let names = crate::harness::tree::ls(mailbox.join(folder).join("cur"));
    names.into_iter().collect()
}

#[test]
fn folders_messages_and_another_folder() {
    let (_scratch, config, mailbox) = small(|_| {});
    let plan = report(&config, &["--date", DAY, "--mailbox", ALICE], 0);
    assert_eq!(plan["create"], 5, "{plan}");
    let folder = ["--date", DAY, "--mailbox", ALICE, "--folder", "Work"];
    assert_eq!(report(&config, &folder, 0)["create"], 2);
    let below = [
        "--date",
        DAY,
        "--mailbox",
        ALICE,
        "--folder",
        "Work/2024",
        "--apply",
    ];
    assert_eq!(report(&config, &below, 0)["created"], 1);
    assert_eq!(in_cur(&mailbox, ".Work.2024").len(), 1);
    assert!(mailbox.join(".Work.2024/maildirfolder").is_file());
    assert!(!mailbox.join(".Work").exists());

    // The ID that stands in the name of message 1.
    let identity = "1795000060.M1P1.mx";
    let id = mailtm::view::name::id(identity.as_bytes(), 8);
    let one = [
        "--date",
        DAY,
        "--mailbox",
        ALICE,
        "--message",
        &id,
        "--into",
        "Restored 2026-11-20",
    ];
    let done = report(&config, &[&one[..], &["--apply"]].concat(), 0);
    assert_eq!((&done["create"], &done["created"]), (&json!(1), &json!(1)));
    assert_eq!(done["made"], json!(["Restored 2026-11-20"]));
    assert_eq!(in_cur(&mailbox, ".Restored 2026-11-20").len(), 1);
    let moved = report(
        &config,
        &["--date", DAY, "--mailbox", ALICE, "--folder", "INBOX"],
        0,
    );
    assert_eq!(
        moved["moved_to"],
        json!({"Restored 2026-11-20": 1}),
        "{moved}"
    );
    assert_eq!(moved["create"], 2);
    assert_eq!(report(&config, &one, 0)["already_there"], 1);
}

/// The mailbox has still the other one of that name.
#[test]
fn a_name_that_two_messages_have_does_not_tell_which_is_there() {
    let name = "1795000001.M1P1.mx:2,S";
    let texts = ["Short", "A longer one"].map(|text| mail("Bob <b@example.com>", text, text));
    for there in 0..2 {
        let scratch = Scratch::new();
        let store = Store::new(scratch.join("snapshots"));
        let backup = store.mailbox(DAY, ALICE);
        let path = scratch.subdirectory("live");
        let live = Mailbox::new(&path, ALICE, Layout::MaildirPlusPlus);
        backup.put("cur", name, &texts[0], 1_795_000_001);
        backup.put("new", &name[..18], &texts[1], 1_795_000_001);
        live.put("cur", name, &texts[there], 1_795_000_001);
        let config = configure(&scratch, &store, &path);
        let apply = ["--date", DAY, "--mailbox", ALICE, "--apply"];
        assert_eq!(report(&config, &apply, 0)["created"], 1, "{there}");
        let mailbox = path.join("example.com/alice/Maildir");
        let mut now: Vec<_> = ["cur", "new"]
            .iter()
            .flat_map(|part| fs::read_dir(mailbox.join(part)).unwrap())
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect();
        now.sort();
        let mut wanted = texts.to_vec();
        wanted.sort();
        assert_eq!(now, wanted, "{there}");
        assert_eq!(report(&config, &apply, 0)["created"], 0, "{there}");
    }
}

#[test]
fn what_is_put_is_like_its_neighbours() {
    let (_scratch, config, mailbox) = small(|live| drop(live.number("cur", 9)));
    let before = files(&mailbox);
    report(&config, &["--date", DAY, "--mailbox", ALICE, "--apply"], 0);
    let uid = crate::harness::store::uid_of(ALICE);
    let mut added = 0;
    for (path, (size, time, owner, mode)) in files(&mailbox) {
        if before.contains_key(&path) {
            continue;
        }
        assert_eq!(owner, uid, "{}", path.display());
        assert_eq!(mode & 0o111, 0, "{}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        if name != "maildirfolder" {
            assert!(
                name.contains(&format!(",S={size},W=")) && name.ends_with(":2,S"),
                "{name}"
            );
            assert!((1_795_000_000..1_795_000_999).contains(&time));
            added += 1;
        }
    }
    assert_eq!(added, 5);
    for (path, was) in before {
        assert_eq!(files(&mailbox).get(&path), Some(&was), "{}", path.display());
    }
    assert!(
        in_cur(&mailbox, "")
            .iter()
            .all(|n| !mailbox.join("tmp").join(n).exists())
    );
}

#[test]
fn links_that_the_owner_plants_are_refused() {
    let outside = Scratch::new();
    let target = outside.subdirectory("target");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(target.join(part)).unwrap();
    }
    for place in ["tmp", ".Work", "cur", "subscriptions", "dovecot-keywords"] {
        let (_scratch, config, mailbox) = small(|live| {
            let at = live.path.join(place);
            if at.is_dir() {
                fs::remove_dir_all(&at).unwrap();
            }
            std::os::unix::fs::symlink(&target, &at).unwrap();
        });
        let output = restore(&config, &["--date", DAY, "--mailbox", ALICE, "--apply"]);
        let found = files(outside.path());
        assert!(found.is_empty(), "{place}: {found:?}");
        if place != "subscriptions" && place != "dovecot-keywords" {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{place}: {said}");
            assert!(said.contains("not followed"), "{place}: {said}");
        }
        // The other folders are not held up by it.
        if place == ".Work" {
            assert_eq!(in_cur(&mailbox, "").len(), 3);
        }
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let (scratch, config, mailbox) = small(|_| {});
    let damaged = scratch
        .join("snapshots")
        .join(DAY)
        .join("example.com/alice/Maildir/cur");
    let file = damaged.join("1795000009.M9P1.mx,S=500:2,S");
    fs::write(&file, b"\x1f\x8b\x08\x00 and no more").unwrap();
    let plan = report(&config, &["--date", DAY, "--mailbox", ALICE], 3);
    assert_eq!(
        (&plan["create"], &plan["unreadable"]),
        (&json!(5), &json!(1)),
        "{plan}"
    );
    let done = report(&config, &["--date", DAY, "--mailbox", ALICE, "--apply"], 3);
    assert_eq!(done["created"], 5);
    assert_eq!(in_cur(&mailbox, "").len(), 3);
    let text = restore(&config, &["--date", DAY, "--mailbox", ALICE]);
    let text = String::from_utf8(text.stdout).unwrap();
    for part in ["0 to create", "5 already there", "1 unreadable"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_the_cure() {
    let (_scratch, config, mailbox) = small(|_| {});
    let before = files(&mailbox);
    for (args, cure) in [
        (&["--date", "2020-01-01", "--mailbox", ALICE][..], DAY),
        (
            &["--date", DAY, "--mailbox", "alise@example.com"],
            "1 others",
        ),
        (
            &["--date", DAY, "--mailbox", ALICE, "--folder", "Wrok"],
            "INBOX, Work",
        ),
        (
            &["--date", DAY, "--mailbox", ALICE, "--message", "abc"],
            "8 characters",
        ),
        (
            &["--date", DAY, "--mailbox", ALICE, "--message", "ZZZZZZZZ"],
            "ZZZZZZZZ",
        ),
        (
            &[
                "--date",
                DAY,
                "--mailbox",
                ALICE,
                "--into",
                "a.b",
                "--apply",
            ],
            "another name",
        ),
        (&["--date", DAY], "--mailbox"),
        (&["--undo", "/dev/null"], "no log"),
    ] {
        let output = restore(&config, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(cure), "{args:?}: {said}");
    }
    let without = config.clone().unset("source.live");
    let output = restore(&without, &["--date", DAY, "--mailbox", ALICE]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("live ="), "{said}");
    assert_eq!(files(&mailbox), before);
}

#[test]
fn the_way_back() {
    let (_scratch, config, mailbox) = small(|live| drop(live.number("cur", 9)));
    let before = files(&mailbox);
    let done = report(
        &config,
        &[
            "--date",
            DAY,
            "--mailbox",
            ALICE,
            "--folder",
            "INBOX",
            "--apply",
        ],
        0,
    );
    let log = done["log"].as_str().unwrap();
    // Somebody has marked one of them since.
    let cur = mailbox.join("cur");
    let new: Vec<String> = in_cur(&mailbox, "")
        .into_iter()
        .filter(|n| n.contains("Q"))
        .collect();
    assert_eq!(new.len(), 3);
    fs::rename(cur.join(&new[0]), cur.join(new[0].replace(":2,S", ":2,FS"))).unwrap();
    let plan = report(&config, &["--undo", log], 0);
    assert_eq!((&plan["remove"], &plan["changed"]), (&json!(2), &json!(1)));
    assert_eq!(in_cur(&mailbox, "").len(), 4);
    report(&config, &["--undo", log, "--apply"], 0);
    let left = files(&mailbox);
    assert_eq!(left.len(), before.len() + 1);
    assert!(before.iter().all(|(path, was)| left.get(path) == Some(was)));
    let again = report(&config, &["--undo", log, "--apply"], 0);
    assert_eq!(
        (&again["remove"], &again["changed"]),
        (&json!(0), &json!(1))
    );
}
