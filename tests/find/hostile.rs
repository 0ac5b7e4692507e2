//! Messages that are hostile, or cannot be read.

use crate::harness::able;
use crate::{ALICE, DAYS, find, run, setup, subjects};

#[test]
fn hostile_messages_are_found_and_change_nothing_on_the_terminal() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAYS[0], ALICE);
    let mut many = b"From: x@example.com\nTo: ".to_vec();
    for number in 0..100_000 {
        many.extend_from_slice(format!("a{number}@example.net,\n ").as_bytes());
    }
    many.extend_from_slice(b"z@example.net\nSubject: many\n\nx\n");
    alice.put("cur", "1.many:2,", many, 1_795_000_000);
    alice.put(
        "cur",
        "2.escape:2,",
        b"From: \"\x1b]0;owned\x07\" <e@example.com>\nSubject: =?utf-8?B?G1syShtbMzFt4oCucmVkIOKAqA==?=\x9b2J end\n\n",
        1_795_000_001,
    );
    alice.put("cur", "3.empty:2,", b"", 1_795_000_002);
    alice.put("cur", "4.zeros:2,", vec![0; 100_000], 1_795_000_003);
    let count = |more: &[&str]| subjects(&find(&config, more)).len();
    assert_eq!(count(&["--to", "a20000@example.net"]), 1);
    assert_eq!(count(&["--since", "2026-11-01"]), 4);
    assert_eq!(count(&["OR"]), 0);
    assert_eq!(count(&["\" OR subject:*"]), 0);
    for more in [&["red", "end"][..], &["red", "end", "--json"]] {
        let output = run(&config, more);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("end"), "{text}");
        let hostile = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c);
        assert!(!text.contains(hostile), "{text:?}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAYS[0], ALICE);
    alice.number("cur", 1);
    let torn = [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    alice.put("cur", "9.torn:2,", torn, 1_795_000_000);
    let output = run(&config, &["message"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("1 messages could not be read")
            && stderr.contains("2026-11-17/alice@example.com/INBOX/"),
        "{stderr}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("Message 1"));
    // What it could not be is no reason.
    assert_eq!(
        run(&config, &["--mailbox", "bob*", "message"])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        run(&config, &["--until", "2020-01-01"]).status.code(),
        Some(0)
    );
}
