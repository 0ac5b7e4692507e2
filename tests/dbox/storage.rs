//! The files that the folders of a mailbox share, and those on slower disks.

use crate::harness::dovecot::assert_shows;
use crate::harness::tree::messages;
use crate::harness::{Config, Mount, Scratch, run};
use crate::{ALICE, DATE, files, one_day, read};
use std::fs;
use std::process::Command;

#[test]
fn what_was_purged_while_the_mailbox_was_copied_is_not_looked_for_in_all_files() {
    let scratch = Scratch::new();
    let Some((store, dovecot, _)) = one_day(&scratch, "mdbox:~/mdbox") else {
        return;
    };
    let snapshot = store.path.join(DATE);
    let top = snapshot.join("example.com/alice/mdbox");
    let before = read(&snapshot, "mdbox", "Sent").unwrap();
    assert!(before.iter().all(Option::is_some));
    let copied = scratch.join("mailboxes");
    run(Command::new("cp")
        .arg("-a")
        .arg(top.join("mailboxes"))
        .arg(&copied));
    let file = fs::read(top.join("storage/m.1")).unwrap();
    dovecot.adm(&["expunge", "mailbox", "Sent", "1:*"]);
    dovecot.adm(&["purge"]);
    fs::remove_dir_all(top.join("mailboxes")).unwrap();
    fs::rename(copied, top.join("mailboxes")).unwrap();
    // Who looks into all files finds the messages in this one.
    fs::write(top.join("storage/m.999"), file).unwrap();
    let now = read(&snapshot, "mdbox", "Sent").unwrap();
    assert_eq!(now.len(), before.len());
    assert!(now.iter().any(Option::is_none));
    let others = now.iter().flatten();
    assert!(
        others
            .map(|text| Some(text.clone()))
            .all(|text| before.contains(&text))
    );
}

#[test]
fn alternative_storage() {
    for driver in ["sdbox", "mdbox"] {
        let scratch = Scratch::new();
        let location = format!("{driver}:~/{driver}:ALT=~/old");
        let Some((store, dovecot, truth)) = one_day(&scratch, &location) else {
            return;
        };
        dovecot.adm(&[
            "altmove", "mailbox", "Sent", "or", "(", "mailbox", "INBOX", "flagged", ")",
        ]);
        let home = store.path.join(DATE).join("example.com/alice");
        let moved = files(&home.join("old"), &|name| {
            name.starts_with("m.") || name.starts_with("u.")
        });
        assert!(!moved.is_empty());
        let folders = dovecot.selectable();
        let config = Config::new(&scratch, &store).set("source.mailboxes", "{domain}/{user}");
        let mount = Mount::new(&config);
        assert_shows(&mount.join(DATE).join(ALICE), &folders, &truth);
        drop(mount);
        // Somebody else's directory is nobody's alternative storage.
        std::os::unix::fs::lchown(home.join("old"), Some(1_700_002), None).unwrap();
        let mount =
            Mount::new(&config.set("index.path", scratch.join("another").to_str().unwrap()))
                .expecting_warnings();
        let sent = mount.join(DATE).join(ALICE).join("Sent");
        let names = messages(&sent);
        assert_eq!(
            names.len(),
            truth.iter().filter(|m| m.folder == "Sent").count()
        );
        // What is in another folder too has stayed where it was.
        let unreadable = names
            .iter()
            .filter(|name| fs::read(sent.join(name)).is_err());
        assert!(unreadable.count() >= 3, "{driver}");
        mount.wait_for_warning(&["alternative storage"]);
    }
}
