//! The command line: exit codes, where output goes, and errors that say what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{OtherMount, is_mounted, mailtm};
use harness::{Config, Scratch, Store, able, output, python};
use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

const ALICE: &str = "alice@example.com";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn run(args: &[&str]) -> Output {
    let output = output(&mut mailtm(args));
    assert!(
        !stderr(&output).contains("panicked"),
        "{args:?}:\n{}",
        stderr(&output)
    );
    output
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for day in ["2026-11-19", "2026-11-20"] {
        store.mailbox(day, ALICE).number("cur", 1);
        store.mailbox(day, "bob@example.com");
    }
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

#[test]
fn help_and_version_are_results() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["mount", "--help"],
        &["check", "--help"],
        &["help"],
    ] {
        let output = run(args);
        assert_eq!(code(&output), 0, "{args:?}");
        assert!(
            stdout(&output).contains("mailtm"),
            "{args:?}: {}",
            stdout(&output)
        );
        assert_eq!(stderr(&output), "", "{args:?}");
    }
    let version = stdout(&run(&["--version"]));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let help = stdout(&run(&["--help"]));
    for command in ["mount", "check", "completions", "man"] {
        assert!(help.contains(command), "{help}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &[][..],
        &["no-such-command"],
        &["mount", "--no-such-option"],
        &["check", "--config"],
        &["completions", "no-such-shell"],
        &["check", "one", "two", "three"],
    ] {
        let output = run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{args:?}");
        assert_ne!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn packagers_get_completions_and_a_manual() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(stdout(&output).contains("mailtm"), "{shell}");
    }
    let output = run(&["man"]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains(".TH"), "{}", stdout(&output));
}

#[test]
fn check_says_what_would_be_shown() {
    let (_scratch, _store, config) = setup();
    let file = config.write().to_str().unwrap().to_owned();
    let output = run(&["check", "--config", &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for expected in ["2026-11-19", "2026-11-20", ALICE, "bob@example.com"] {
        assert!(
            stdout(&output).contains(expected),
            "no {expected} in\n{}",
            stdout(&output)
        );
    }
    assert!(
        stdout(&output).to_lowercase().contains("maildir"),
        "{}",
        stdout(&output)
    );
    let deep = run(&["check", "--config", &file, "--deep"]);
    assert_eq!(code(&deep), 0, "{}", stderr(&deep));
    assert!(!harness::mount::is_mounted(&config.mountpoint));
}

#[test]
fn check_takes_a_directory_without_a_configuration() {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    store.mailbox("2026-11-20", ALICE).number("cur", 1);
    let output = run(&["check", store.path.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stdout(&output).contains("2026-11-20"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn what_cannot_be_read_makes_check_3() {
    let (scratch, store, config) = setup();
    store.mailbox("2026-11-20", ALICE).put(
        "cur",
        "1795.M9P1.mx,S=5000:2,S",
        [&[0x1f, 0x8b, 8, 0][..], &[0; 100]].concat(),
        1_795_000_000,
    );
    let file = config.write().to_str().unwrap().to_owned();
    let output = run(&["check", "--config", &file, "--deep"]);
    assert_eq!(code(&output), 3, "{}{}", stdout(&output), stderr(&output));
    let said = stdout(&output) + &stderr(&output);
    assert!(said.contains("1795.M9P1.mx"), "{said}");
    drop(scratch);
}

#[test]
fn json_output_parses() {
    if !able(&["python3"]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let file = config.write().to_str().unwrap().to_owned();
    let output = run(&["check", "--config", &file, "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let script = "import json, sys\ntext = json.dumps(json.load(sys.stdin))\nprint(text)";
    let mut parser = python()
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    parser
        .stdin
        .take()
        .unwrap()
        .write_all(&output.stdout)
        .unwrap();
    let parsed = parser.wait_with_output().unwrap();
    assert!(parsed.status.success(), "{}", stdout(&output));
    for expected in ["2026-11-19", "2026-11-20", ALICE] {
        assert!(
            stdout(&parsed).contains(expected),
            "no {expected} in {}",
            stdout(&parsed)
        );
    }
}

#[test]
fn a_missing_configuration_is_named() {
    let scratch = Scratch::new();
    let missing = scratch.join("missing.toml");
    for command in ["check", "mount"] {
        let output = run(&[command, "--config", missing.to_str().unwrap()]);
        assert!(
            matches!(code(&output), 1 | 2),
            "{command}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(missing.to_str().unwrap()),
            "{}",
            stderr(&output)
        );
    }
}

/// Mistakes, each with its line, its key and a word of the cure.
#[test]
fn mistakes_in_the_configuration_name_line_key_and_cure() {
    let (scratch, store, _) = setup();
    let snapshots = store.path.to_str().unwrap().to_owned();
    let source = format!("[source]\nsnapshots = [\"{snapshots}\"]\n");
    let mount = scratch.subdirectory("mnt").to_str().unwrap().to_owned();
    let cases: Vec<(String, usize, &str, &str)> = vec![
        (
            format!("mountpoint = \"{mount}\"\ncolour = \"red\"\n{source}"),
            2,
            "colour",
            "",
        ),
        (
            format!("granularity = \"week\"\n{source}"),
            1,
            "granularity",
            "snapshot",
        ),
        (format!("names = \"short\"\n{source}"), 1, "names", "unique"),
        (format!("refresh = \"soon\"\n{source}"), 1, "refresh", "30s"),
        (format!("keep_days = -1\n{source}"), 1, "keep_days", ""),
        (format!("keep_days = \"15\"\n{source}"), 1, "keep_days", ""),
        (
            format!("timezone = \"Europe/Roma\"\n{source}"),
            1,
            "timezone",
            "Europe/Rome",
        ),
        (
            format!("{source}format = \"exchange\"\n"),
            3,
            "format",
            "maildir",
        ),
        (format!("{source}timeout = \"30\"\n"), 3, "timeout", "30s"),
        (
            format!("{source}snapshot = \"x\"\n"),
            3,
            "snapshot",
            "snapshots",
        ),
        (
            format!("{source}[mbox]\nflags = \"yes\"\n"),
            4,
            "flags",
            "status",
        ),
        (
            format!("{source}[mbox]\nlisted = \"sometimes\"\n"),
            4,
            "listed",
            "always",
        ),
        (
            format!("{source}[index]\nwarm = \"hot\"\n"),
            4,
            "warm",
            "auto",
        ),
        (
            format!("{source}[access]\n\n[[access.grant]]\nmailboxes = [\"*\"]\nfor = [\"x\"]\n"),
            7,
            "for",
            "to",
        ),
        (format!("{source}[access\n"), 3, "", ""),
        (
            format!("{source}name = \"%G-W%V-%u\"\n"),
            3,
            "source.name",
            "%Y",
        ),
        (
            format!("{source}mail_crypt_keys = [\n\"/nonexist\"]\n"),
            4,
            "source.mail_crypt_keys: /nonexist",
            "correct the path",
        ),
        (
            "[source]\nsnapshots = [\"/nonexist\"]\n".to_owned(),
            2,
            "source.snapshots",
            "",
        ),
        (
            format!("{source}[access]\n[[access.grant]]\nmailboxes = []\nto = [\"x\"]\n"),
            5,
            "access.grant.mailboxes",
            "mailboxes = [",
        ),
        (
            format!("{source}[access]\n[[access.grant]]\nmailboxes = [\"*\"]\nto = []\n"),
            6,
            "access.grant.to",
            "to = [",
        ),
        (
            format!("{source}[restore]\nmethod = \"imap\"\n"),
            3,
            "restore.imap",
            "imaps://",
        ),
        (
            format!("{source}[restore]\nimap = \"imaps://h\"\nmaster_user = \"m\"\n"),
            3,
            "restore.password_file",
            "password_file =",
        ),
        (
            format!("{source}[portal]\nurl = \"https://h/sub/\"\n"),
            4,
            "portal.url",
            "https://mtm.example.com",
        ),
    ];
    for (number, (text, line, key, cure)) in cases.iter().enumerate() {
        let path = scratch.join(format!("{number}.toml"));
        fs::write(&path, text).unwrap();
        let output = run(&["check", "--config", path.to_str().unwrap()]);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 2, "{text}\n{said}");
        let place = format!("{}:{line}", path.display());
        assert!(said.contains(&place), "no {place} in\n{said}\nfor\n{text}");
        assert!(said.contains(key), "no {key} in\n{said}");
        assert!(said.contains(cure), "no {cure} in\n{said}");
        let at = scratch.subdirectory("at").to_str().unwrap().to_owned();
        let mount = run(&["mount", "--config", path.to_str().unwrap(), "--at", &at]);
        assert_eq!(code(&mount), 2, "{text}");
        let said = stderr(&mount);
        assert!(said.contains(&place), "no {place} in\n{said}\nfor\n{text}");
    }
}

#[test]
fn every_key_of_the_manual_is_known() {
    let (scratch, store, _) = setup();
    let path = scratch.join("full.toml");
    let text = format!(
        r#"
mountpoint  = "{mount}"
timezone    = "Europe/Rome"
granularity = "day"
keep_days   = 15
refresh     = "30s"
names       = "readable"
hide_unreadable = true

[source]
snapshots = ["{snapshots}"]
name      = "%Y-%m-%d"
mailboxes = "{{domain}}/{{user}}/Maildir"
mailbox_name = "{{user}}@{{domain}}"
format    = "auto"
live      = "{snapshots}/2026-11-20"
timeout   = "30s"

[access]
owner  = "store"
admins = ["root", "@root"]
audit  = false
[[access.grant]]
mailboxes = ["*@sales.example.com"]
to        = ["root"]

[mbox]
flags  = "status"
listed = "always"

[index]
path = "{index}"
warm = "auto"
"#,
        mount = scratch.subdirectory("mnt").display(),
        snapshots = store.path.display(),
        index = scratch.join("index").display(),
    );
    fs::write(&path, text).unwrap();
    let output = run(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn a_reader_that_goes_away_causes_no_panic() {
    let (_scratch, _store, config) = setup();
    let file = config.write().to_str().unwrap().to_owned();
    // Into a pipe that nobody reads: an end, not a panic.
    let mut child = mailtm(&["check", "--config", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

/// What mount(8) runs for a line of fstab that names a configuration: it says where, whatever the configuration says.
#[test]
fn fstab_may_name_a_configuration() {
    if !able(&[]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let file = config.write();
    let helper = scratch.join("mount.mailtm");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mailtm"), &helper).unwrap();
    let there = OtherMount(scratch.subdirectory("backups"));
    let mounted = Command::new(&helper)
        .arg(file)
        .arg(&there.0)
        .args(["-o", "rw,nofail"])
        .output()
        .unwrap();
    assert_eq!(code(&mounted), 0, "{}", stderr(&mounted));
    assert!(is_mounted(&there.0));
    assert!(!is_mounted(&config.mountpoint));
    assert!(there.0.join("2026-11-20").join(ALICE).is_dir());

    // Neither would find anything to do if it did not know the mount again.
    let fstab = scratch.join("fstab");
    let (file, at) = (file.display(), there.0.display());
    std::fs::write(&fstab, format!("{file} {at} mailtm _netdev 0 0\n")).unwrap();
    let all = output(Command::new("mount").arg("-a").arg("-T").arg(&fstab));
    assert_eq!(code(&all), 0, "{}", stderr(&all));
    let report = output(
        mailtm(&["check", "--json", "--config"]).arg(
            config
                .clone()
                .set("mountpoint", there.0.to_str().unwrap())
                .write(),
        ),
    );
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["mount_point"]["state"], "mounted");
}
