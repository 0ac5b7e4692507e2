//! `mailtm check`: what it says of [`snapshots`], [`mailboxes`] and who gets in, and [`damage`]; of everything around them, and that
//! it changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;
#[path = "../harness/mod.rs"]
mod harness;
mod mailboxes;
mod snapshots;

use harness::mount::{OtherMount, is_mounted, mailtm};
use harness::store::uid_of;
use harness::{Config, Mount, Scratch, Store, able, output, run};
use serde_json::Value;
use std::fs;
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
    let text = fs::read_to_string(&config.path).unwrap();
    for (at, name) in [(1, "/gone\""), (2, "/also-gone\"")] {
        let line = text.lines().position(|line| line.contains(name));
        assert_eq!(report["mistakes"][at]["line"], line.unwrap() + 1, "{text}");
    }
    assert_eq!(report.get("dates"), None);

    let alone = output(&mut mailtm(&["check", gone.to_str().unwrap()]));
    assert_eq!(alone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&alone.stdout).contains("/gone: there is no such directory"));
}

#[test]
fn no_mistake_hides_another() {
    let (scratch, store, config) = setup();
    store.mailbox(DAY, ALICE);
    // Files without certificates, and what is no directory.
    let file = scratch.join("file");
    fs::write(&file, "x\n").unwrap();
    let file = file.to_str().unwrap();
    let config = config
        .unset("source.snapshots")
        .set("source.timeout", "5s")
        .set("source.live", file)
        .set(
            "source.mail_crypt_keys",
            vec!["k".to_owned(), "/none/k".to_owned()],
        )
        .set("granularity", "week")
        .set("about.template", "/none/about")
        .set("portal.smtp", "smtp://localhost")
        .set("portal.smtp_user", "mailtm")
        .set("portal.ca_file", file)
        .set("portal.path", file)
        .set("portal.templates", "/none/templates");
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 2, "{report:#}");
    let told = report["mistakes"].as_array().unwrap();
    let keys = [
        ("source.snapshots", "missing: write"),
        ("source.live", "not a directory: name"),
        ("source.mail_crypt_keys", "relative path: write"),
        ("source.mail_crypt_keys", "/none/k: cannot be read"),
        ("granularity", "write one of"),
        ("about.template", "(os error 2): name a file of text"),
        ("portal.from", "missing beside smtp: write"),
        (
            "portal.smtp_password_file",
            "missing beside smtp_user: write",
        ),
        ("portal.ca_file", ": name a file of certificates"),
        ("portal.path", "not a directory: name"),
        ("portal.templates", "(os error 2): make the directory"),
    ];
    for (key, words) in keys {
        let is_told = |mistake: &&Value| {
            let message = mistake["message"].as_str().unwrap();
            message.starts_with(&format!("{key}: ")) && message.contains(words)
        };
        assert_eq!(told.iter().filter(is_told).count(), 1, "{key}: {report:#}");
    }
    assert_eq!(told.len(), keys.len(), "{report:#}");
    let lines: Vec<_> = told.iter().map(|it| it["line"].as_u64().unwrap()).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn a_directory_without_snapshots_is_told_beside_other_mistakes() {
    let (scratch, _, config) = setup();
    fs::create_dir(scratch.join("bare")).unwrap();
    fs::write(scratch.join("bare/file"), "").unwrap();
    let bare = scratch.join("bare").to_str().unwrap().to_owned();
    let config = config
        .set("source.snapshots", vec![bare])
        .set("granularity", "week");
    let (code, text) = check(&config, &[]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("granularity") && text.contains("found no snapshots"),
        "{text}"
    );
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
    let dangling = scratch.join("dangling");
    std::os::unix::fs::symlink(scratch.join("nowhere"), &dangling).unwrap();
    let config = config.set("source.live", scratch.join("no-live").to_str().unwrap());
    for (path, why) in [
        (file.clone(), "is not a directory"),
        (file.join("below/it"), "Not a directory"),
        (dangling, "cannot be made"),
        ("/proc/nope/idx".into(), "cannot be made"),
        ("/sys/nope".into(), "cannot be made"),
    ] {
        let config = config.clone().set("index.path", path.to_str().unwrap());
        let (code, report) = json(&config, &[]);
        assert_eq!(code, 0);
        assert_eq!(report["index"]["state"], "unusable", "{path:?}");
        assert_warns(&report, &["index", path.to_str().unwrap(), why]);
    }
    // What is not there may be mounted later; where a file is, no directory can be.
    let (code, report) = json(&config, &[]);
    assert_eq!((code, &report["live"]["present"]), (0, &Value::Bool(false)));
    assert_warns(&report, &["live store", "no-live"]);
    let (code, text) = check(&config.set("source.live", file.to_str().unwrap()), &[]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("source.live: ") && text.contains("not a directory: name"),
        "{text}"
    );
}

#[test]
fn what_the_configuration_names_and_is_not_there_is_said_with_its_line() {
    let (scratch, store, config) = setup();
    store.mailbox(DAY, ALICE);
    let password = scratch.join("password");
    fs::write(&password, "a word\n").unwrap();
    let imap = config
        .clone()
        .set("restore.imap", "imaps://mail.example.com")
        .set("restore.master_user", "restorer")
        .set("restore.password_file", password.to_str().unwrap());
    assert_eq!(json(&imap, &[]).0, 0);
    for key in [
        "about.template",
        "restore.ca_file",
        "restore.password_file",
        "source.mail_crypt_keys",
    ] {
        let config = match key {
            "source.mail_crypt_keys" => imap.clone().set(key, vec!["/none/x".to_owned()]),
            _ => imap.clone().set(key, "/none/x"),
        };
        let (code, report) = json(&config, &[]);
        assert_eq!(code, 2, "{report}");
        let [mistake] = report["mistakes"].as_array().unwrap().as_slice() else {
            panic!("{report}");
        };
        let text = fs::read_to_string(&config.path).unwrap();
        let line = text.lines().position(|line| line.contains("/none/x"));
        assert_eq!(mistake["line"], line.unwrap() + 1, "{mistake}");
        assert_eq!(mistake["file"], config.path.to_str().unwrap());
        let message = mistake["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("{key}: /none/x: ")),
            "{message}"
        );
    }
    let nobody = config
        .set("portal.smtp", "smtp://localhost:25")
        .set("portal.from", "nobody");
    let (_, report) = json(&nobody, &[]);
    assert_eq!(report["mistakes"].as_array().unwrap().len(), 1, "{report}");
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
