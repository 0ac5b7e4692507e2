//! What becomes of a request, and that everybody is told.

use crate::harness::{eventually, within};
use crate::{ADMINS, ALICE, DAY, MESSAGES, World};
use mailtm::requests::{New, State};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// Kinds of the letters that have come, with their recipients.
fn come(world: &World) -> Vec<(String, String)> {
    let letters = world.sink.letters();
    let mut come: Vec<_> = letters
        .iter()
        .map(|letter| {
            assert_eq!(letter.to.len(), 1);
            let kind = letter.id().split('.').next().unwrap().to_owned();
            (kind, letter.to[0].clone())
        })
        .collect();
    come.sort();
    come
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = expected.iter();
    let mut owned: Vec<_> = owned
        .map(|(kind, to)| ((*kind).to_owned(), (*to).to_owned()))
        .collect();
    owned.sort();
    owned
}

#[test]
fn approved_from_a_shell() {
    let world = World::new();
    let id = world.ask();
    let listed = world.says(&["list"], 0);
    assert!(
        listed.contains("pending") && listed.contains(ALICE),
        "{listed}"
    );
    let shown = world.json(&["show", "1"], 0);
    assert_eq!(shown["plan"]["create"], MESSAGES, "{shown}");
    assert_eq!(shown["state"], "pending");
    assert!(
        world.restored().is_empty(),
        "nothing is done before it is approved"
    );

    let done = world.json(&["approve", "1"], 0);
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["report"]["created"], MESSAGES);
    assert_eq!(done["decided_by"], "root");
    assert_eq!(world.restored().len() as u64, MESSAGES);
    let expected = [("asked", ADMINS[0]), ("asked", ADMINS[1]), ("done", ALICE)];
    assert_eq!(come(&world), pairs(&expected));
    for letter in world.sink.letters() {
        assert_eq!(letter.from, "mtm@example.com");
        let (subject, text) = (letter.subject(), letter.text());
        if letter.to[0] == ALICE {
            assert!(subject.contains("di nuovo al suo posto"), "{subject}");
            let count = format!("Messaggi rimessi a posto: {MESSAGES}\n");
            assert!(text.contains(&count), "{text}");
            assert!(text.contains("venerdì 20 novembre 2026"), "{text}");
        } else {
            assert!(text.contains(&format!("https://mtm.example.com/requests/{id}")));
            assert!(
                text.contains("80 EUR + VAT") && text.contains("please"),
                "{text}"
            );
        }
    }

    // A second decision is none, and no letter goes out twice.
    for again in [&["approve", "1"][..], &["decline", "1", "--reason", "no"]] {
        let output = world.run(again);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("already done") && said.contains("root"),
            "{said}"
        );
    }
    world.says(&["work", "--once"], 0);
    assert_eq!(come(&world).len(), 3);
    assert_eq!(world.restored().len() as u64, MESSAGES);
    let shown = world.json(&["show", "1"], 0);
    assert_eq!(shown["plan"], json!(null));
    let states: Vec<&str> = shown["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["to"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["pending", "approved", "running", "done"]);
}

#[test]
fn declined_with_a_reason() {
    let world = World::new();
    world.ask();
    let reason = "perché è già lì\r\nBcc: eve@example.com";
    let declined = world.json(&["decline", "1", "--reason", reason], 0);
    assert_eq!(declined["state"], "declined");
    assert!(world.restored().is_empty());
    let letters = world.sink.letters();
    let letter = letters.iter().find(|l| l.to == [ALICE]).unwrap();
    assert!(
        letter
            .text()
            .contains("perché è già lì\n    Bcc: eve@example.com\n")
    );
    let bytes = String::from_utf8(letter.bytes.clone()).unwrap();
    let head = bytes.split("\r\n\r\n").next().unwrap();
    assert!(!head.contains("eve"), "{head}");
    let csv = world.says(&["list", "--csv", "--state", "declined"], 0);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.contains("declined") && csv.contains("80 EUR + VAT") && csv.contains("root"));
    assert_eq!(world.json(&["list", "--state", "pending"], 0), json!([]));
}

#[test]
fn wrong_usage_and_unknown_numbers() {
    let world = World::new();
    for (args, code) in [
        (&["show", "7"][..], 1),
        (&["approve", "7"], 1),
        (&["decline", "7", "--reason", "no"], 1),
        (&["decline", "7"], 2),
        (&["show", "seven"], 2),
        (&["list", "--state", "lost"], 2),
        (&["list", "--csv", "--json"], 2),
        (&["decline", "7", "--reason", " "], 2),
        (&["decline", "7", "--reason", ""], 2),
    ] {
        let output = world.run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(world.says(&["list"], 0), "");
}

#[test]
fn some_messages_of_a_folder_into_another_one() {
    let world = World::new();
    let config = world.config.path.to_str().unwrap();
    let found = crate::harness::run(&mut crate::harness::mount::mailtm(&[
        "find", "--config", config, "--json", "Number",
    ]));
    let found: serde_json::Value = serde_json::from_slice(&found).unwrap();
    let ids: Vec<String> = found["found"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["places"][0]["folder"] == "Work")
        .map(|message| {
            let path = message["path"].as_str().unwrap();
            let id = path.rsplit_once('(').unwrap().1;
            id.split(')').next().unwrap().to_owned()
        })
        .take(2)
        .collect();
    assert_eq!(ids.len(), 2, "{found}");
    let new = New {
        folder: Some("Work".into()),
        messages: ids,
        into: Some("Restored".into()),
        ..world.asked("some")
    };
    world.store().make(new).unwrap();
    let done = world.json(&["approve", "1"], 0);
    assert_eq!(done["report"]["created"], 2, "{done}");
    assert_eq!(world.restored().len(), 2);
    assert!(world.mailbox().join(".Restored/cur").is_dir());
}

#[test]
fn what_cannot_be_read_is_told_of() {
    let world = World::new();
    let backup = world.snapshots.mailbox(DAY, ALICE);
    backup.put(
        "cur",
        "torn,S=100:2,S",
        b"\x1f\x8b\x08\x00torn",
        1_795_000_000,
    );
    world.ask();
    let partial = world.json(&["approve", "1"], 3);
    assert_eq!(partial["state"], "partial", "{partial}");
    assert_eq!(partial["report"]["created"], MESSAGES);
    assert_eq!(partial["report"]["unreadable"], 1);
    let letters = world.sink.letters();
    let letter = letters.iter().find(|l| l.to == [ALICE]).unwrap();
    assert!(
        letter.text().contains("Illeggibili in questo backup: 1\n"),
        "{}",
        letter.text()
    );
}

#[test]
fn a_trouble_that_passes_is_waited_for() {
    let world = World::new();
    let home = world.scratch.join("live/example.com/alice");
    let away = world.scratch.join("away");
    fs::rename(&home, &away).unwrap();
    let id = world.ask();
    let mut approving = world.start(&["approve", "1"]);
    eventually(Duration::from_secs(20), "a first try", || {
        world.store().get(id).unwrap().trouble.is_some()
    });
    assert_eq!(world.store().get(id).unwrap().request.state, State::Running);
    fs::rename(&away, &home).unwrap();
    let code = within(Duration::from_secs(30), "approving", move || {
        approving.wait().unwrap().code()
    });
    assert_eq!(code, Some(0));
    assert_eq!(world.restored().len() as u64, MESSAGES);
    assert_eq!(world.store().get(id).unwrap().trouble, None);
}

#[test]
fn a_backup_that_is_gone_after_the_approval() {
    let world = World::new();
    let id = world.ask();
    world.snapshots.mailbox("2026-11-21", ALICE);
    world.store().approve(id, "carla@example.com").unwrap();
    fs::remove_dir_all(world.snapshots.path.join(DAY)).unwrap();
    world.says(&["work", "--once"], 0);
    let details = world.store().get(id).unwrap();
    assert_eq!(details.request.state, State::Failed);
    assert!(details.request.why.unwrap().contains(DAY));
    let expected = [
        ("asked", ADMINS[0]),
        ("asked", ADMINS[1]),
        ("failed", ALICE),
        ("failed-admin", ADMINS[0]),
        ("failed-admin", ADMINS[1]),
    ];
    assert_eq!(come(&world), pairs(&expected));
}

#[test]
fn nobody_decided_in_time() {
    let world = World::new();
    let id = world.ask();
    // Snapshots that are not mounted are no reason.
    let away = world.scratch.join("away");
    fs::rename(world.snapshots.path.join(DAY), &away).unwrap();
    world.says(&["work", "--once"], 0);
    assert_eq!(world.store().get(id).unwrap().request.state, State::Pending);
    world.snapshots.mailbox("2026-11-21", ALICE);
    world.says(&["work", "--once"], 0);
    assert_eq!(world.store().get(id).unwrap().request.state, State::Lapsed);
    let expected = [
        ("asked", ADMINS[0]),
        ("asked", ADMINS[1]),
        ("lapsed", ALICE),
        ("lapsed-admin", ADMINS[0]),
        ("lapsed-admin", ADMINS[1]),
    ];
    assert_eq!(come(&world), pairs(&expected));
    let output = world.run(&["approve", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("already lapsed")
    );
}

/// A file system that is not mounted is an empty directory: what it has is not gone.
#[test]
fn an_empty_directory_beside_another_lapses_nothing() {
    let mut world = World::new();
    let other = crate::harness::Store::new(world.scratch.join("other"));
    other.mailbox("2026-11-21", ALICE).number("cur", 1);
    let both = [&world.snapshots.path, &other.path].map(|p| p.to_str().unwrap().to_owned());
    world.configure(|config| config.set("source.snapshots", both.to_vec()));
    world.ask();
    let aside = world.scratch.join("aside");
    std::fs::rename(&world.snapshots.path, &aside).unwrap();
    std::fs::create_dir(&world.snapshots.path).unwrap();
    world.says(&["work", "--once"], 0);
    assert_eq!(world.json(&["show", "1"], 0)["state"], "pending");
    // It is mounted again, and has lost that snapshot.
    std::fs::remove_dir(&world.snapshots.path).unwrap();
    std::fs::rename(&aside, &world.snapshots.path).unwrap();
    let kept = world.snapshots.path.join("2026-11-19");
    std::fs::rename(world.snapshots.path.join(crate::DAY), kept).unwrap();
    world.says(&["work", "--once"], 0);
    assert_eq!(world.json(&["show", "1"], 0)["state"], "lapsed");
}

/// With `granularity = "day"`, a date shows its last snapshot: what is put back is what was seen.
#[test]
fn the_snapshot_that_was_seen_is_restored() {
    let world = World::new();
    world.ask();
    let later = world.snapshots.mailbox("2026-11-20_1200", ALICE);
    later.number("cur", 99);
    let shown = world.json(&["show", "1"], 0);
    assert_eq!(shown["plan"]["create"], MESSAGES);
    world.json(&["approve", "1"], 0);
    assert_eq!(world.restored().len() as u64, MESSAGES);
}

#[test]
fn another_process_that_works_is_waited_for() {
    let world = World::new();
    world.ask();
    let mut working = world.start(&["work"]);
    eventually(Duration::from_secs(20), "letters", || {
        world.sink.letters().len() == 2
    });
    let done = world.json(&["approve", "1"], 0);
    assert_eq!(done["state"], "done");
    eventually(Duration::from_secs(20), "the outcome", || {
        world.sink.letters().len() == 3
    });
    let pid = rustix::process::Pid::from_child(&working);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = within(Duration::from_secs(10), "the worker's end", move || {
        working.wait().unwrap().code()
    });
    assert_eq!(code, Some(0));
}

/// The portal runs as a user of its own; root decides from a shell, and leaves nothing that the portal cannot use.
#[test]
fn what_root_makes_belongs_to_the_user_of_the_portal() {
    let world = World::new();
    let dir = world.scratch.subdirectory("portal");
    let owner = 64_123;
    std::os::unix::fs::chown(&dir, Some(owner), Some(owner)).unwrap();
    world.ask();
    let mut working = world.start(&["work"]);
    eventually(Duration::from_secs(20), "letters", || {
        world.sink.letters().len() == 2
    });
    let mut seen = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let of = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        assert_eq!(of, (owner, owner, 0o600), "{entry:?}");
        seen.push(entry.file_name().into_string().unwrap());
    }
    working.kill().unwrap();
    working.wait().unwrap();
    seen.sort();
    let expected = [
        "requests.sqlite",
        "requests.sqlite-shm",
        "requests.sqlite-wal",
        "worker.lock",
    ];
    assert_eq!(seen, expected);
}
