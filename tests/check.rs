//! `mailtm check`: what it says of snapshots, mailboxes, access and damage, and that it changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{OtherMount, is_mounted, mailtm};
use harness::store::{mail, set_time, uid_of};
use harness::{Config, Layout, Mailbox, Mount, Scratch, Store, Subject, able, output, run};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const DAY: &str = "2026-11-20";

/// gzip's first bytes, and then nothing that gzip writes.
const TORN: &[u8] = &[0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

/// Runs `mailtm check` on a configuration; its exit code and standard output.
fn check(config: &Config, more: &[&str]) -> (i32, String) {
    let file = config.write().to_str().unwrap().to_owned();
    let mut args = vec!["check", "--config", &file];
    args.extend(more);
    let output = output(&mut mailtm(&args));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), stdout)
}

fn json(config: &Config, more: &[&str]) -> (i32, Value) {
    let (code, text) = check(config, &[more, &["--json"]].concat());
    let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}:\n{text}"));
    (code, value)
}

fn warnings(report: &Value) -> Vec<&str> {
    let list = report["warnings"].as_array().unwrap();
    list.iter().map(|w| w.as_str().unwrap()).collect()
}

/// Fails unless exactly one warning has all of these words.
fn assert_warns(report: &Value, words: &[&str]) {
    let found: Vec<&str> = warnings(report)
        .into_iter()
        .filter(|w| words.iter().all(|word| w.contains(word)))
        .collect();
    assert_eq!(found.len(), 1, "{words:?} in {:#?}", warnings(report));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The date and time, UTC, so many days before these tests began: the same however often it is asked for.
fn days_ago(days: i64) -> String {
    static BEGAN: LazyLock<chrono::DateTime<chrono::Utc>> =
        LazyLock::new(|| SystemTime::now().into());
    let moment = *BEGAN - chrono::Duration::days(days);
    moment.format("%Y-%m-%d_%H%M").to_string()
}

#[test]
fn a_store_in_order_has_no_warning() {
    let (_scratch, store, config) = setup();
    for days in [3, 2, 1] {
        let name = days_ago(days);
        store.mailbox(&name, ALICE).number("cur", 1);
        store.mailbox(&name, BOB).number("Archive/2024/cur", 2);
    }
    let (code, text) = check(&config, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("warning:"), "{text}");
    for expected in [
        config.path.to_str().unwrap(),
        store.path.to_str().unwrap(),
        &days_ago(3)[..10],
        &days_ago(1)[..10],
        "UTC+00:00",
        "{domain}/{user}/Maildir",
        ALICE,
        BOB,
        "Maildir++",
        &format!("owner {}", uid_of(ALICE)),
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    let (code, report) = json(&config, &["--deep"]);
    assert_eq!(code, 0);
    assert_eq!(warnings(&report), [""; 0]);
    assert_eq!(report["dates"]["labels"].as_array().unwrap().len(), 3);
    assert_eq!(report["dates"]["late"], false);
    assert_eq!(report["contents"]["messages"], 2);
    assert_eq!(report["deep"]["messages"], 2);
}

#[test]
fn nothing_is_mounted_and_nothing_is_written() {
    let (scratch, store, config) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    config.write();
    let tree = || {
        run(Command::new("find")
            .arg(scratch.path())
            .args(["-printf", "%p %T@ %s\n"]))
    };
    // The configuration file itself is written by each check of these tests.
    let before = tree();
    let file = config.path.to_str().unwrap();
    for args in [
        &["check", "--config", file][..],
        &["check", "--config", file, "--deep", "--json"],
    ] {
        assert!(output(&mut mailtm(args)).status.success());
    }
    assert_eq!(
        String::from_utf8_lossy(&tree()),
        String::from_utf8_lossy(&before)
    );
    assert!(!is_mounted(&config.mountpoint));
}

#[test]
fn the_keys_of_the_json_object_are_stable() {
    let (_scratch, store, config) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    let (_, report) = json(&config, &[]);
    let mut keys: Vec<&str> = report
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "access",
            "configuration",
            "contents",
            "dates",
            "deep",
            "directories",
            "index",
            "live",
            "mailboxes",
            "mistakes",
            "mount_point",
            "sandbox",
            "source",
            "timezone",
            "unreadable",
            "unreadable_count",
            "warnings"
        ]
    );
    assert_eq!(report["configuration"], config.path.to_str().unwrap());
    assert_eq!(report["mistakes"], Value::Array(Vec::new()));
    assert_eq!(report["timezone"]["name"], "UTC");
    assert_eq!(report["mount_point"]["state"], "free");
    assert_eq!(report["index"]["state"], "absent");
    assert_eq!(report["deep"], Value::Null);
    assert_eq!(report["directories"][0]["dated_by"][0]["how"], "name");
    assert_eq!(report["mailboxes"]["date"], DAY);
    assert_eq!(report["mailboxes"]["count"], 1);
    assert_eq!(report["mailboxes"]["examples"][0], ALICE);
    assert_eq!(report["mailboxes"]["domains"][0]["name"], "example.com");
}

#[test]
fn every_mistake_is_told_missing_directories_included() {
    let (scratch, store, config) = setup();
    let gone = scratch.join("gone");
    let also_gone = scratch.join("also-gone");
    let list = [&store.path, &gone, &also_gone];
    let config = config.set("granularity", "week").set(
        "source.snapshots",
        list.map(|p| p.to_str().unwrap().to_owned()).to_vec(),
    );
    let (code, text) = check(&config, &[]);
    assert_eq!(code, 2, "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    for expected in ["granularity", "/gone", "/also-gone"] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 2);
    assert_eq!(report["mistakes"].as_array().unwrap().len(), 3);
    assert_eq!(report["mistakes"][0]["file"], config.path.to_str().unwrap());
    assert_eq!(report["mistakes"][0]["line"], 1);
    assert_eq!(report["mistakes"][1]["line"], Value::Null);
    assert_eq!(report.get("dates"), None);

    let alone = output(&mut mailtm(&["check", gone.to_str().unwrap()]));
    assert_eq!(alone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&alone.stdout).contains("/gone: there is no such directory"));
}

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
        harness::utc("2026-11-20 18:00:00"),
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

#[test]
fn who_gets_in_is_told() {
    let (_scratch, store, config) = setup();
    store.mailbox(DAY, ALICE);
    let _ = store.mailbox(DAY, BOB).owned_by(0, 0);
    let config = config
        .set(
            "access.admins",
            vec!["4001".to_owned(), "nobody-of-that-name".to_owned()],
        )
        .grant(
            &["alice@*", "*@nowhere.example"],
            &["4002", "@4003", "@no-such-group"],
        );
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    let access = &report["access"];
    assert_eq!(access["entries"][0]["mailbox"], ALICE);
    assert_eq!(access["entries"][0]["owner"], uid_of(ALICE).to_string());
    assert_eq!(
        access["entries"][0]["users"],
        serde_json::json!(["4001", "4002"])
    );
    assert_eq!(access["entries"][0]["groups"], serde_json::json!(["4003"]));
    assert_eq!(access["entries"][1]["users"], serde_json::json!(["4001"]));
    assert_eq!(
        access["unresolved"],
        serde_json::json!(["@no-such-group", "nobody-of-that-name"])
    );
    assert_eq!(access["grants"][0]["patterns"][0]["mailboxes"], 1);
    assert_warns(
        &report,
        &[
            "no such user or group",
            "@no-such-group",
            "nobody-of-that-name",
        ],
    );
    assert_warns(&report, &["\"*@nowhere.example\" matches no mailbox"]);
    assert_warns(
        &report,
        &["nobody but root and the admins", BOB, "set owner"],
    );
    assert_eq!(access["only_admins"]["count"], 1);
}

#[test]
fn a_uid_that_owns_the_mailboxes_of_several_users_is_told_with_the_cure() {
    let (_scratch, store, config) = setup();
    for address in [ALICE, BOB, "carl@example.com"] {
        let _ = store.mailbox(DAY, address).owned_by(5_123, 5_123);
    }
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    assert_warns(
        &report,
        &["3 mailboxes belong to uid 5123", "set owner = \"{user}\""],
    );
    assert_eq!(report["access"]["shared_owners"][0]["count"], 3);

    // No such users on this machine.
    let config = config.set("access.owner", "nobody-of-that-name-{user}");
    let (_, report) = json(&config, &[]);
    assert_warns(
        &report,
        &["the owner of 3 of 3 mailboxes does not resolve", ALICE],
    );
    assert_eq!(report["access"]["owners_unresolved"]["count"], 3);
    assert_eq!(report["access"]["entries"][0]["owner"], Value::Null);
    assert_eq!(report["access"]["only_admins"]["count"], 3);

    // info@ of two domains is one user by this rule.
    store.mailbox(DAY, "root@example.com");
    store.mailbox(DAY, "bin@example.com");
    store.mailbox(DAY, "bin@example.org");
    let (_, report) = json(&config.set("access.owner", "{user}"), &[]);
    assert_warns(&report, &["one user bin", "{user}@{domain}"]);
}

#[test]
fn formats_empty_mailboxes_and_what_is_no_mail_are_counted() {
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAY, ALICE);
    alice.number("cur", 1);
    let message = mail("Bob <bob@example.com>", "Zipped", "Hi\n");
    let name = format!("1795000001.M1P1.mx,S={}:2,S", message.len());
    alice.put("Sent/cur", &name, gzip(&message), 1_795_000_001);
    store.mailbox(DAY, BOB);
    let nested = Mailbox::new(&store.snapshot(DAY), "carl@example.org", Layout::Fs);
    nested.number("Lists/rust/cur", 2);
    symlink("/etc/passwd", alice.path.join("cur/1.link:2,S")).unwrap();
    fs::create_dir(alice.path.join("cur/2.directory:2,S")).unwrap();
    let fifo = alice.folder("Sent").join("new/3.fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();

    for more in [&[][..], &["--deep"]] {
        let (code, report) = json(&config, more);
        assert_eq!(code, 0, "{report:#}");
        let contents = &report["contents"];
        assert_eq!(contents["mailboxes"], 3);
        assert_eq!(contents["messages"], 3);
        assert_eq!(contents["folders"], 5);
        assert_eq!(contents["empty"]["count"], 1);
        assert_eq!(contents["empty"]["examples"][0], BOB);
        assert_eq!(contents["oddities"]["count"], 3);
        assert_eq!(
            contents["oddities"]["examples"],
            serde_json::json!(["alice@example.com INBOX", "alice@example.com Sent"])
        );
        let formats: Vec<&str> = contents["formats"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["name"].as_str().unwrap())
            .collect();
        assert_eq!(formats, ["Maildir", "Maildir++", "Maildir, LAYOUT=fs"]);
        let from = if more.is_empty() {
            contents
        } else {
            &report["deep"]
        };
        assert_eq!(
            from["compressions"],
            serde_json::json!([{"name": "gzip", "count": 1}])
        );
    }
}

#[test]
fn deep_names_each_message_that_cannot_be_read_once() {
    let (_scratch, store, config) = setup();
    let alice = store.mailbox("2026-11-19", ALICE);
    for number in 0..5 {
        alice.number("cur", number);
    }
    alice.put("Sent/cur", "1795.torn,S=5000:2,S", TORN, 1_795_000_000);
    let message = mail("Bob <bob@example.com>", "Short", "Hi\n");
    alice.put(
        "cur",
        "1796.claims,S=9999:2,S",
        gzip(&message),
        1_795_000_000,
    );
    // A plain file is what it is, whatever its name claims.
    alice.put("cur", "1797.plain,S=9999:2,S", &message, 1_795_000_000);
    store.link("2026-11-19", DAY);
    // What only an older date has is read too.
    alice.put("cur", "1798.gone,S=1:2,S", TORN, 1_795_000_000);

    let (code, text) = check(&config, &[]);
    assert_eq!(code, 0, "{text}");
    let (code, report) = json(&config, &["--deep"]);
    assert_eq!(code, 3);
    let told: Vec<_> = report["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| ["date", "mailbox", "folder", "message"].map(|key| u[key].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ["2026-11-19", ALICE, "INBOX", "1798.gone,S=1:2,S"],
            [DAY, ALICE, "INBOX", "1796.claims,S=9999:2,S"],
            [DAY, ALICE, "Sent", "1795.torn,S=5000:2,S"],
        ]
    );
    assert_eq!(report["unreadable_count"], 3);
    assert_eq!(report["deep"]["messages"], 6);
    assert_eq!(report["deep"]["dates"], 2);
    let (code, text) = check(&config, &["--deep"]);
    assert_eq!(code, 3);
    assert!(
        text.contains(&format!(
            "cannot be read: {DAY} {ALICE} Sent 1795.torn,S=5000:2,S: "
        )),
        "{text}"
    );
}

/// Snapshots that share nothing: a copy can go bad alone.
#[test]
fn deep_reads_each_date_s_own_copy() {
    let (_scratch, store, config) = setup();
    let message = gzip(&mail("Bob <bob@example.com>", "Short", "Hi\n"));
    let mut bad = message.clone();
    bad[message.len() - 9] ^= 1;
    let name = "1796.mail:2,S";
    for (date, bytes) in [("2026-11-19", bad), (DAY, message)] {
        let alice = store.mailbox(date, ALICE);
        alice.put("cur", name, bytes, 1_795_000_000);
    }
    let (code, report) = json(&config, &["--deep"]);
    let told = &report["unreadable"][0];
    assert_eq!(
        (code, &told["date"], &told["message"]),
        (3, &"2026-11-19".into(), &name.into()),
        "{report}"
    );
    assert_eq!(
        (&report["unreadable_count"], &report["deep"]["messages"]),
        (&1.into(), &1.into())
    );
}

/// A folder that the user who runs it may not open, told once, however thoroughly it is looked for.
#[test]
fn what_may_not_be_read_is_told_once_and_the_rest_all_the_same() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let alice = store.mailbox(DAY, ALICE);
    alice.number("Sent/cur", 1);
    store.mailbox(DAY, BOB).number("cur", 2);
    let closed = alice.folder("Sent").join("cur");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // Where every user can run it; copied by another process, as what this one has open for writing the processes
    // that other tests start may inherit, and then it cannot be run.
    let program = scratch.join("mailtm");
    run(Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_mailtm"))
        .arg(&program));
    let file = config.write().to_str().unwrap();
    for args in [
        &["check", "--config", file, "--json"][..],
        &["check", "--config", file, "--json", "--deep"],
    ] {
        let output = Subject::uid(4_444).run(program.to_str().unwrap(), args);
        assert_eq!(output.status.code(), Some(3));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["unreadable_count"], 1, "{report:#}");
        assert_eq!(report["unreadable"][0]["mailbox"], ALICE);
        assert_eq!(report["unreadable"][0]["folder"], "Sent");
        assert_eq!(report["unreadable"][0]["message"], Value::Null);
        assert_eq!(report["contents"]["messages"], 1);
    }
}

#[test]
fn hostile_names_reach_no_terminal() {
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAY, ALICE);
    alice.put("cur", b"1.\x1b[2J\n\xff,S=9:2,S", TORN, 1_795_000_000);
    store.snapshot("20\x1b[31m");
    let (code, text) = check(&config, &["--deep"]);
    assert_eq!(code, 3);
    assert!(text.contains("1.\\u{1b}[2J\\n\u{fffd},S=9:2,S"), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn mailboxes_that_are_elsewhere_are_told_with_the_cure() {
    let (_scratch, store, config) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    let config = config.set("source.mailboxes", "home/{user}/Maildir");
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    assert_eq!(report["mailboxes"]["count"], 0);
    assert_warns(
        &report,
        &["1 are recognised without it", "\"{domain}/{user}/Maildir\""],
    );
    let (_, report) = json(&config.unset("source.mailboxes"), &[]);
    assert_eq!(
        report["mailboxes"]["shapes"],
        serde_json::json!([{"name": "{domain}/{user}/Maildir", "count": 1}])
    );
}

#[test]
fn names_that_clash_are_told() {
    let (_scratch, store, config) = setup();
    for disk in ["disk1", "disk2"] {
        let mailbox = store.path.join(DAY).join(disk).join("ann/Maildir/cur");
        fs::create_dir_all(mailbox).unwrap();
    }
    let config = config.set("source.mailboxes", "*/{user}/Maildir");
    let (_, report) = json(&config, &[]);
    assert_eq!(report["mailboxes"]["count"], 2);
    assert_eq!(
        report["mailboxes"]["renamed"][0]["path"],
        "disk2/ann/Maildir"
    );
    assert_warns(&report, &["named as another one", "ann ("]);
}

#[test]
fn the_mount_point_is_looked_at() {
    let (scratch, store, config) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    let state = |config: &Config| {
        let (code, report) = json(config, &[]);
        assert_eq!(code, 0, "{report:#}");
        report["mount_point"]["state"].as_str().unwrap().to_owned()
    };
    let at = |path: &Path| config.clone().set("mountpoint", path.to_str().unwrap());
    assert_eq!(state(&at(&scratch.join("missing"))), "missing");
    assert_eq!(state(&at(&store.path)), "not_empty");
    assert_eq!(state(&at(&config.path)), "unusable");
    let (_, report) = json(&config.clone().unset("mountpoint"), &[]);
    assert_eq!(report["mount_point"], Value::Null);
    if !able(&[]) {
        return;
    }
    let other = OtherMount::new(&["-t", "tmpfs", "none"], scratch.join("other"));
    assert_eq!(state(&at(&other.0)), "occupied");
    let mount = Mount::new(&config);
    assert_eq!(state(&config), "mounted");
    let (_, report) = json(&config, &[]);
    assert_eq!(report["index"]["state"], "usable");
    mount.kill();
    assert_eq!(state(&config), "dead");
    harness::mount::unmount_lazily(&config.mountpoint);
}

#[test]
fn an_index_that_cannot_be_kept_and_a_live_store_that_is_not_there_are_told() {
    let (scratch, store, config) = setup();
    store.mailbox(DAY, ALICE);
    let file = scratch.join("file");
    fs::write(&file, "").unwrap();
    let config = config
        .set("index.path", file.to_str().unwrap())
        .set("source.live", scratch.join("no-live").to_str().unwrap());
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    assert_eq!(report["index"]["state"], "unusable");
    assert_eq!(report["live"]["present"], false);
    assert_warns(&report, &["index", "is not a directory"]);
    assert_warns(&report, &["live store", "no-live"]);
}

#[test]
fn what_is_wrong_with_the_portal_is_said_before_it_starts() {
    let (scratch, store, config) = setup();
    store.mailbox(&days_ago(1), ALICE).number("cur", 1);
    let templates = scratch.subdirectory("templates");
    let password = scratch.join("password");
    std::fs::write(&password, "a word\n").unwrap();
    let good = config
        .set("portal.auth", "imaps://mail.example.com")
        .set("portal.admins", vec!["post@example.com".to_owned()])
        .set("portal.smtp", "smtp://localhost:25")
        .set("portal.from", "mtm@example.com")
        .set("portal.url", "https://mtm.example.com")
        .set("portal.templates", templates.to_str().unwrap())
        .set("portal.smtp_user", "mailtm")
        .set("portal.smtp_password_file", password.to_str().unwrap());
    let warned = |config: &Config| {
        let (code, report) = json(config, &[]);
        assert_eq!(code, 0, "{report}");
        let warnings = warnings(&report).into_iter().map(str::to_owned);
        warnings
            .filter(|w| w.starts_with("portal: "))
            .collect::<Vec<_>>()
    };
    // The password of the post is for its user alone.
    assert_eq!(warned(&good).len(), 1);
    std::fs::set_permissions(
        &password,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    assert!(warned(&good).is_empty(), "{:?}", warned(&good));
    for (key, word) in [
        ("portal.auth", "nobody can sign in"),
        ("portal.admins", "nobody is told"),
        ("portal.smtp", "letters wait"),
        ("portal.url", "no links"),
    ] {
        let found = warned(&good.clone().unset(key));
        assert!(
            found.len() == 1 && found[0].contains(word),
            "{key}: {found:?}"
        );
    }
    let found = warned(&good.clone().set("portal.url", "http://mtm.example.com"));
    assert!(
        found.len() == 1 && found[0].contains("is not https"),
        "{found:?}"
    );

    std::fs::write(templates.join("done.en.txt"), "Subject: {nothing}\n\nx\n").unwrap();
    let nothing = scratch.join("nothing.pem");
    std::fs::write(&nothing, "no certificate\n").unwrap();
    for (key, value, words) in [
        (
            "portal.templates",
            templates.to_str().unwrap(),
            "done.en.txt: line 1",
        ),
        (
            "portal.ca_file",
            nothing.to_str().unwrap(),
            "no certificates in PEM",
        ),
        ("portal.ca_file", "/nonexistent", "portal.ca_file: "),
        (
            "portal.smtp_password_file",
            "/nonexistent",
            "portal.smtp_password_file: ",
        ),
        ("portal.smtp", "smtp://localhost:x", "portal.smtp: "),
        (
            "portal.smtp",
            "mail.example.com",
            "is no address of a server",
        ),
        (
            "portal.url",
            "mtm.example.com",
            "is no address of a web site",
        ),
        (
            "portal.auth",
            "mail.example.com",
            "is no address of a server",
        ),
    ] {
        let wrong = match key {
            "portal.templates" => good.clone(),
            _ => good.clone().unset("portal.templates"),
        };
        let (code, text) = check(&wrong.set(key, value), &[]);
        assert_eq!(code, 2, "{key} = {value}: {text}");
        assert!(text.contains(words), "{key} = {value}: {text}");
    }
}
