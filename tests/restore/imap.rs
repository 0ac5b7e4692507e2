//! Through a mail server, whatever its store is.

use crate::harness::certificate::certificate;
use crate::harness::imap_server::ALICE;
use crate::harness::{able, output};
use crate::maildir::{World, comes_back_in};
use crate::{DAY, files, report, restore};
use serde_json::json;
use std::fs;
use std::process::Command;

fn through_dovecot(location: &str, place: &str) {
    if !able(&["doveadm", "dovecot"]) {
        return;
    }
    let mut world = World::new(location, "");
    let template = format!("{{domain}}/{{user}}/{place}");
    world.config = world.config.clone().set("source.mailboxes", template);
    comes_back_in(&world);
}

#[test]
fn sdbox() {
    through_dovecot("sdbox:~/sdbox", "sdbox");
}

#[test]
fn mdbox() {
    through_dovecot("mdbox:~/mdbox", "mdbox");
}

/// Its folders are directories that are called by their GUIDs: no directory that somebody else makes is one.
#[test]
fn maildir_with_an_index_of_its_folders() {
    if !able(&["doveadm", "dovecot"]) {
        return;
    }
    let mut world = World::new("maildir:~/Maildir:LAYOUT=index", "");
    let auto = world.config.clone();
    world.config = auto.clone().set("restore.method", "maildir");
    let before = files(&world.mailbox());
    for apply in [&[][..], &["--apply"]] {
        let args = [&["--date", DAY, "--mailbox", ALICE][..], apply].concat();
        let refused = restore(&world.config, &args);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        for part in ["LAYOUT=index", "doveadm", "imap"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert_eq!(files(&world.mailbox()), before);
    world.config = auto;
    let plan = report(&world.config, &["--date", DAY, "--mailbox", ALICE], 0);
    assert_eq!(plan["method"], "doveadm");
    comes_back_in(&world);
}

/// The layout of the mail server has changed since the backup.
#[test]
fn from_a_maildir_with_an_index_into_one_without() {
    if !able(&["doveadm", "dovecot"]) {
        return;
    }
    let world = World::new("maildir:~/Maildir:LAYOUT=index", "");
    let now = World::new("maildir:~/Maildir", "");
    now.server.adm(&["mailbox", "delete", "-s", "Sent"]);
    for folder in ["INBOX", "Entwürfe"] {
        now.server.adm(&["expunge", "mailbox", folder, "all"]);
    }
    let live = now.scratch.join("live");
    let config = world
        .config
        .clone()
        .set("source.live", live.to_str().unwrap());
    let done = report(&config, &["--date", DAY, "--mailbox", ALICE, "--apply"], 0);
    assert_eq!(done["method"], "maildir");
    assert_eq!(done["made"], json!(["Sent"]), "{done}");
    let all = |world: &World| -> Vec<_> {
        let mut all: Vec<_> = world.server.fetch().iter().map(|m| m.same()).collect();
        all.sort();
        all
    };
    assert_eq!(all(&now), all(&world));
}

/// A Maildir has letters for 26 keywords of a folder; the others are in the index alone.
#[test]
fn keywords_without_letters() {
    if !able(&["doveadm", "dovecot"]) {
        return;
    }
    for location in [
        "maildir:~/Maildir:LAYOUT=index",
        "maildir:~/Maildir:INDEX=~/idx:CONTROL=~/ctl",
    ] {
        let mut world = World::new(location, "");
        let keywords = (1..=30).map(|n| format!("word-{n:02}")).collect::<Vec<_>>();
        for half in keywords.chunks(15) {
            let words = half.join(" ");
            world
                .server
                .adm(&["flags", "add", &words, "mailbox", "INBOX", "1:2"]);
        }
        world.back_up("2026-11-21");
        let all = |world: &World| -> Vec<_> {
            let mut all: Vec<_> = world.server.fetch().iter().map(|m| m.same()).collect();
            all.sort();
            all
        };
        let before = all(&world);
        let files = !location.contains("LAYOUT=index");
        if files {
            world.config = world.config.clone().set("restore.method", "maildir");
        }
        world.server.adm(&["expunge", "mailbox", "INBOX", "1:2"]);
        let apply = ["--date", "2026-11-21", "--mailbox", ALICE, "--apply"];
        let done = report(&world.config, &apply, 0);
        assert_eq!(done["created"], 2, "{done}");
        let lost = done["losses"][0].as_str().unwrap_or_default();
        match files {
            // INBOX has three others.
            true => assert!(lost.starts_with("14 keywords could not be kept"), "{lost}"),
            false => {
                assert_eq!(done["losses"], json!([]));
                assert_eq!(all(&world), before);
            }
        }
    }
}

/// A server with TLS, a certificate of its own, and a master user; and where the certificate is.
pub fn behind_tls() -> (crate::harness::Scratch, World) {
    let scratch = crate::harness::Scratch::new();
    let (key, cert) = certificate(&scratch.subdirectory("tls"), &[]);
    let users = scratch.join("users");
    fs::write(&users, "restorer:{PLAIN}master word\n").unwrap();
    let (key_text, cert_text, users) = (key.display(), cert.display(), users.display());
    let more = format!(
        "ssl = yes\nssl_cert = <{cert_text}\nssl_key = <{key_text}\n\
         passdb {{\n  driver = passwd-file\n  args = {users}\n  master = yes\n}}\n"
    );
    let mut world = World::new("maildir:~/Maildir", &more);
    let password = world.scratch.join("password");
    fs::write(&password, "master word\n").unwrap();
    let address = format!("imaps://localhost:{}", world.server.tls_port);
    world.config = world
        .config
        .clone()
        .set("restore.method", "imap")
        .set("restore.imap", address)
        .set("restore.master_user", "restorer")
        .set("restore.password_file", password.to_str().unwrap())
        .set("restore.ca_file", cert.to_str().unwrap());
    (scratch, world)
}

#[test]
fn over_tls_as_a_master_user() {
    if !able(&["doveadm", "dovecot", "openssl"]) {
        return;
    }
    let (_scratch, mut world) = behind_tls();
    let password = world.scratch.join("password");
    let trusting = world.config.clone();
    world.config = trusting.clone().unset("restore.ca_file");
    let plan = ["--date", DAY, "--mailbox", ALICE];
    // Its certificate is known to nobody.
    let refused = restore(&world.config, &plan);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("certificate"), "{said}");
    world.config = trusting;
    comes_back_in(&world);
    fs::write(&password, "wrong\n").unwrap();
    let refused = restore(&world.config, &plan);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("master_user"), "{said}");
}

#[test]
fn what_everybody_shares_is_not_in_the_mailbox() {
    if !able(&["doveadm", "dovecot"]) {
        return;
    }
    let public = "namespace public {\n  type = public\n  prefix = Public/\n  separator = /\n  list = yes\n\
                  \x20 subscriptions = no\n  location = sdbox:~/public\n}\n";
    let mut world = World::new("sdbox:~/sdbox", public);
    world.config = world
        .config
        .clone()
        .set("source.mailboxes", "{domain}/{user}/sdbox");
    for args in [
        &["mailbox", "create", "Public/List"][..],
        &["copy", "Public/List", "mailbox", "INBOX", "1:3"],
        &["expunge", "mailbox", "INBOX", "1:3"],
    ] {
        world.server.adm(args);
    }
    let call = ["--date", DAY, "--mailbox", ALICE];
    let plan = report(&world.config, &call, 0);
    assert_eq!(
        (&plan["create"], &plan["moved_to"]),
        (&json!(3), &json!({}))
    );
    let done = report(&world.config, &[&call[..], &["--apply"]].concat(), 0);
    assert_eq!(done["created"], 3, "{done}");
    assert_eq!(report(&world.config, &call, 0)["create"], 0);
}

#[test]
fn killed_and_gone_back() {
    if !able(&["doveadm", "dovecot", "strace"]) {
        return;
    }
    let mut world = World::new("sdbox:~/sdbox", "");
    world.config = world
        .config
        .clone()
        .set("source.mailboxes", "{domain}/{user}/sdbox");
    let same = |world: &World| {
        let mut all: Vec<_> = world.server.fetch().iter().map(|m| m.same()).collect();
        all.sort();
        all
    };
    let full = same(&world);
    let apply = [
        "--date",
        DAY,
        "--mailbox",
        ALICE,
        "--folder",
        "Archive",
        "--apply",
    ];
    let dovecot = world
        .config
        .path
        .with_file_name("dovecot")
        .join("dovecot.conf");
    for time in [8, 11, 14, 19, 24] {
        world
            .server
            .adm(&["expunge", "mailbox", "Archive/2024", "all"]);
        let inject = format!("inject=write:signal=KILL:when={time}");
        let _ = output(
            Command::new("strace")
                .args(["-qq", "-o", "/dev/null", "-e", "trace=write", "-e", &inject])
                .arg(env!("CARGO_BIN_EXE_mailtm"))
                .args([
                    "restore",
                    "--config",
                    world.config.write().to_str().unwrap(),
                ])
                .args(apply)
                .env("CONFIG_FILE", &dovecot),
        );
        let done = report(&world.config, &apply, 0);
        assert_eq!(same(&world), full, "{time}: {done}");
        assert_eq!(
            report(&world.config, &apply, 0)["created"],
            json!(0),
            "{time}"
        );
    }
    world
        .server
        .adm(&["expunge", "mailbox", "Archive/2024", "all"]);
    let before = same(&world);
    let done = report(&world.config, &apply, 0);
    let log = done["log"].as_str().unwrap();
    let undone = report(&world.config, &["--undo", log, "--apply"], 0);
    assert_eq!(undone["remove"], done["created"]);
    assert_eq!(same(&world), before);
}
