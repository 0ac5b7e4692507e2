//! A real file manager, used with mouse and keyboard as a user would who looks for a lost message.
//!
//! `SCREENSHOTS=DIR` keeps pictures of what it shows, which needs ImageMagick.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod filemanager {
    pub mod desktop;
}

use filemanager::desktop::Desktop;
use harness::tree::{files, manifest, messages, same};
use harness::{Config, Mount, Scratch, Store, Users, able, eventually};
use std::fs;
use std::path::Path;
use std::time::Duration;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const SOON: Duration = Duration::from_secs(30);
const PROGRAMS: [&str; 6] = [
    "Xvfb",
    "openbox",
    "pcmanfm",
    "xdotool",
    "xclip",
    "dbus-launch",
];

#[test]
fn a_message_and_a_folder_come_out_by_drag_and_drop_and_nothing_goes_in() {
    if !able(&PROGRAMS) {
        return;
    }
    let mut users = Users::new();
    let alice = users.user("alice", &[]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE).owned_by(alice.uid, alice.gid);
    for number in 0..8 {
        mailbox.number("cur", number);
        mailbox.number("Caff&AOg-/cur", 100 + number);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    let before = manifest(&mount.path);
    let top = mount.join(DAY).join(ALICE);
    let target = scratch.subdirectory("Desktop");
    std::os::unix::fs::chown(&target, Some(alice.uid), Some(alice.gid)).unwrap();
    let mut desktop = Desktop::start(&scratch, &alice);
    let elsewhere = desktop.open(&target, true);

    // The first message of the folder.
    let inbox = desktop.open(&top.join("INBOX"), false);
    desktop.picture("folder");
    let wanted = &messages(top.join("INBOX"))[0];
    desktop.drag_until(&inbox, &elsewhere, || target.join(wanted).exists());
    let bytes = |path: &Path| fs::read(path).unwrap();
    let whole = |at: &Path, from: &Path| {
        eventually(SOON, "all of it", || {
            at.is_file() && at.metadata().unwrap().len() == from.metadata().unwrap().len()
        });
        assert!(bytes(at) == bytes(from), "{}", at.display());
    };
    whole(&target.join(wanted), &top.join("INBOX").join(wanted));

    // Deleted: asked twice, tried, and refused with a reason.
    desktop.keys(&inbox, &["Home", "Delete"]);
    desktop.confirm("Confirm");
    desktop.confirm("Confirm");
    let said = desktop.complaint();
    assert!(said.contains("Read-only file system"), "{said:?}");

    // Dropped in, and pasted in.
    fs::remove_file(target.join(wanted)).unwrap();
    fs::write(target.join("new.eml"), "Subject: mine\n\n").unwrap();
    desktop.settled();
    desktop.drag(&elsewhere, &inbox);
    desktop.settled();
    desktop.picture("dropped in");
    desktop.keys(&elsewhere, &["ctrl+a", "ctrl+c"]);
    desktop.keys(&inbox, &["ctrl+v"]);
    let said = desktop.complaint();
    assert!(said.contains("Read-only file system"), "{said:?}");
    fs::remove_file(target.join("new.eml")).unwrap();
    desktop.close(inbox);

    // A folder: directories come first, in the order of their names.
    let mailbox = desktop.open(&top, false);
    desktop.drag_until(&mailbox, &elsewhere, || target.join("Caffè").is_dir());
    desktop.picture("folder dragged out");
    let folder = top.join("Caffè");
    assert_eq!(messages(&folder).len(), 8);
    for file in files(&folder) {
        whole(&target.join("Caffè").join(&file), &folder.join(&file));
    }
    same("after all that", &before, &manifest(&mount.path));
}
