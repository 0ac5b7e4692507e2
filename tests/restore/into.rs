//! `--into` with names that a store has to write otherwise than people do, by each of the ways into a mailbox.

use crate::harness::able;
use crate::harness::imap_server::ALICE;
use crate::maildir::World;
use crate::{DAY, report, restore};
use mailtm::store::folder_name;
use serde_json::json;

/// Puts the oldest message of INBOX, deleted before, into each of these folders, and nothing into those that cannot be.
fn into_odd_names(world: &World, method: &str, refused: &[&str]) {
    let base = ["--date", DAY, "--mailbox", ALICE, "--folder", "INBOX"];
    let lose_one = || {
        world.server.adm(&["expunge", "mailbox", "INBOX", "1"]);
    };
    for name in [
        "Ripristinato & città",
        "Restored/日本語/20-11-2026",
        "Übung \"x\" \\ 100% *?<>|:",
    ] {
        lose_one();
        let before = world.server.fetch();
        let into = [&base[..], &["--into", name, "--apply"]].concat();
        let done = report(&world.config, &into, 0);
        assert_eq!(done["method"], method);
        assert_eq!(done["created"], 1, "{name:?}: {done}");
        assert_eq!(done["made"], json!([name]));
        // The server has one message more, in a folder of that very name; all else is as it was.
        let after = world.server.fetch();
        let news: Vec<_> = after.iter().filter(|m| !before.contains(m)).collect();
        assert_eq!(news.len(), 1, "{name:?}: {news:?}");
        assert_eq!(folder_name::decode(news[0].folder.as_bytes()), name);
        assert!(before.iter().all(|m| after.contains(m)), "{name:?}");
        assert_eq!(report(&world.config, &into, 0)["created"], 0, "{name:?}");
    }
    lose_one();
    let before = world.server.fetch();
    let long = "è".repeat(100);
    let nowhere = [
        "",
        "/",
        "a//b",
        "tab\there",
        "line\nend",
        "../x",
        "x/..",
        "a/./b",
        &long,
    ];
    for name in [&nowhere, refused].concat() {
        // The plan says so before anybody counts on it.
        for apply in [&[][..], &["--apply"]] {
            let line = [&base[..], &["--into", name], apply].concat();
            let output = restore(&world.config, &line);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name:?}: {said}");
            assert!(output.stdout.is_empty(), "{name:?}: {said}");
            assert!(
                said.contains("cannot name a folder") || said.contains("too long"),
                "{name:?}: {said}"
            );
            assert!(
                said.contains("another name")
                    || said.contains("write a name")
                    || said.contains("shorter")
            );
        }
    }
    assert!(world.server.fetch() == before);
    // What was refused stands in the way of nothing.
    let done = report(&world.config, &[&base[..], &["--apply"]].concat(), 0);
    assert_eq!(done["created"], 1, "{done}");
}

/// Levels that fit one by one, and not as the name of one directory.
fn deep() -> String {
    [(); 3].map(|()| "x".repeat(100)).join("/")
}

#[test]
fn files() {
    if able(&["doveadm", "dovecot"]) {
        let world = World::new("maildir:~/Maildir", "");
        into_odd_names(
            &world,
            "maildir",
            &["a.b", ".hidden", "~home", "cur", &deep()],
        );
    }
}

#[test]
fn doveadm() {
    if able(&["doveadm", "dovecot"]) {
        let mut world = World::new("sdbox:~/sdbox", "");
        let place = "{domain}/{user}/sdbox";
        world.config = world.config.clone().set("source.mailboxes", place);
        into_odd_names(
            &world,
            "doveadm",
            &["dbox-Mails", "~home", "a/dbox-Mails", &deep()],
        );
    }
}

#[test]
fn imap() {
    if able(&["doveadm", "dovecot", "openssl"]) {
        let (_scratch, world) = crate::imap::behind_tls();
        into_odd_names(&world, "imap", &["a.b", "~home", &deep()]);
    }
}
