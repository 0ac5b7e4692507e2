//! Taking mail away: what comes is what the mount gives, byte by byte.

use crate::harness::mount::{Config, Mount};
use crate::harness::{able, run};
use crate::http::{Answer, Browser};
use crate::reading::{ids, list, page, world};
use crate::world::{ALICE, DAYS, World};
use std::fs;
use std::process::Command;

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];

/// The messages in an mbox.
fn split(mbox: &[u8]) -> usize {
    let text = String::from_utf8_lossy(mbox);
    text.matches("From MAILER-DAEMON ").count()
}

#[test]
fn what_is_taken_away_is_what_the_mount_gives() {
    if !able(&NEEDED) {
        return;
    }
    let world = world();
    let config = Config::new(&world.scratch, &world.store);
    let mount = Mount::new(&config).expecting_warnings();
    let there = mount.join(DAYS[0]).join(ALICE);
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);

    for folder in ["INBOX", "Cestino", "Broken"] {
        let expected = fs::read(there.join(format!("{folder}.mbox"))).unwrap();
        let path = format!("/mbox/{ALICE}/{}/{folder}", DAYS[0]);
        let whole = alice.get(&path);
        assert_eq!(whole.header("content-length"), expected.len().to_string());
        assert!(whole.body == expected, "{folder}");
        let mut part = portal.browser().with("Range", "bytes=10-109");
        part.cookies = alice.cookies.clone();
        let part = part.get(&path);
        assert_eq!(
            (part.status, part.body.as_slice()),
            (206, &expected[10..110])
        );
        assert_eq!(
            part.header("content-range"),
            format!("bytes 10-109/{}", expected.len())
        );
        // Chosen one by one, they make the same file.
        let shown = page(&mut alice, &list(folder));
        if ids(&shown).len() < 50 {
            let taken = take(&mut alice, "/take/mbox", folder, &ids(&shown));
            assert!(taken.body == expected, "{folder}");
        }
    }
    let shown = page(&mut alice, &list("INBOX"));
    let some: Vec<String> = ids(&shown).into_iter().take(20).collect();
    let taken = take(&mut alice, "/take/mbox", "INBOX", &some);
    assert_eq!(split(&taken.body), 20);
    assert_eq!(
        take(&mut alice, "/take/mbox", "INBOX", &["00000000".into()]).status,
        404
    );
    assert!(
        take(&mut alice, "/take/mbox", "INBOX", &[])
            .text()
            .contains("Nothing was chosen")
    );
    let gone = alice.get(&format!("/mbox/{ALICE}/deleted/Cestino"));
    assert_eq!(split(&gone.body), 2);
    // Of what is gone several can be chosen, too, though they are of several dates.
    let shown = page(&mut alice, &format!("/list/{ALICE}/deleted/Sent"));
    let lost = ids(&shown);
    assert!(lost.len() > 2, "{shown}");
    let taken = take_on(&mut alice, "/take/mbox", "deleted", "Sent", &lost[..2]);
    assert_eq!(split(&taken.body), 2);
    let taken = take_on(&mut alice, "/take/maildir", "deleted", "Sent", &lost);
    let unpacked = unpack(&world, "lost", &taken);
    let files = run(Command::new("find").arg(unpacked).args(["-type", "f"]));
    let files = String::from_utf8(files).unwrap();
    assert_eq!(files.lines().count(), lost.len(), "{files}");

    // Unpacked, an archive is the Maildir that the mount shows.
    let archive = alice.get(&format!("/maildir/{ALICE}/{}", DAYS[0]));
    let unpacked = unpack(&world, "all", &archive);
    let name = format!("{ALICE} {}", DAYS[0]);
    let expected = mount.join(".maildir").join(DAYS[0]).join(ALICE);
    let both = [unpacked.join(&name), expected];
    let differ = run(Command::new("sh")
        .arg("-c")
        .arg("diff -r -x '4.B,S=5000*' \"$1\" \"$2\"; true")
        .arg("x")
        .args(&both));
    let differ = String::from_utf8_lossy(&differ);
    let only = format!("Only in {}: UNREADABLE.txt\n", both[0].display());
    assert_eq!(differ, only);
    let note = fs::read_to_string(both[0].join("UNREADABLE.txt")).unwrap();
    assert!(
        note.contains("Broken/") && note.lines().count() == 3,
        "{note}"
    );
    let modified = fs::metadata(both[0].join(".Cestino/cur/1.T.mx:2,Sa"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(
        modified
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        1000
    );

    let chosen = take(&mut alice, "/take/maildir", "INBOX", &some);
    let unpacked = unpack(&world, "some", &chosen);
    let files = run(Command::new("find").arg(unpacked).args(["-type", "f"]));
    assert_eq!(String::from_utf8(files).unwrap().lines().count(), 20);
}

fn take(browser: &mut Browser, path: &str, folder: &str, ids: &[String]) -> Answer {
    take_on(browser, path, DAYS[0], folder, ids)
}

fn take_on(browser: &mut Browser, path: &str, date: &str, folder: &str, ids: &[String]) -> Answer {
    let token = browser.token();
    let mut fields = vec![
        ("token", token.as_str()),
        ("mailbox", ALICE),
        ("date", date),
        ("folder", folder),
    ];
    fields.extend(ids.iter().map(|id| ("id", id.as_str())));
    browser.post(path, &fields)
}

fn unpack(world: &World, name: &str, archive: &Answer) -> std::path::PathBuf {
    assert_eq!(
        (archive.status, archive.header("content-type")),
        (200, "application/x-tar")
    );
    let dir = world.scratch.subdirectory(name);
    let file = dir.join("a.tar");
    fs::write(&file, &archive.body).unwrap();
    run(Command::new("tar")
        .arg("-xf")
        .arg(&file)
        .arg("-C")
        .arg(&dir));
    fs::remove_file(&file).unwrap();
    dir
}
