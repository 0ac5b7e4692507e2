//! What `mailtm check` says of what cannot be read.

use crate::harness::store::mail;
use crate::harness::{Subject, able, run};
use crate::{ALICE, BOB, DAY, TORN, check, gzip, json, setup};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

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
