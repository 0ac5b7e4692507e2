//! What is read in other ways than from front to back: what each way gives is the same for every file and every user.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::python_path;
use harness::store::uid_of;
use harness::tree::messages;
use harness::{Config, Mount, Scratch, Store, Subject, able};
use std::os::unix::fs::PermissionsExt;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const SCRIPT: &str = include_str!("harness/other_reads.py");

/// The ways that give an error; all others give what plain reading gives.
const REFUSED: [(&str, &str); 13] = [
    ("stat_of_what_is_not_there", "ENOENT"),
    ("open_in_capitals", "ENOENT"),
    ("open_file_as_directory", "ENOTDIR"),
    ("read_directory", "EISDIR"),
    ("list_file", "ENOTDIR"),
    ("readlink_of_file", "EINVAL"),
    ("seek_data_at_the_end", "ENXIO"),
    ("map_to_write", "EACCES"),
    ("map_to_run", "EPERM"),
    ("run", "EACCES"),
    ("getxattr", "ENODATA"),
    ("get_default_acl", "ENODATA"),
    ("inode_flags", "ENOTTY"),
];
/// It takes a descriptor that can write.
const LOCK: (&str, &str) = ("lock_range_to_write", "EBADF");

#[test]
fn every_way_to_read_gives_the_same_bytes_or_its_error() {
    if !able(&["python3"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for number in 0..3 {
        store.mailbox(DAY, ALICE).number("cur", number);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    let other = scratch.subdirectory("other");
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o777)).unwrap();
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let message = inbox.join(&messages(&inbox)[0]);
    let mbox = inbox.with_extension("mbox");
    let link = mount.join("latest");
    for subject in [Subject::root(), Subject::uid(uid_of(ALICE))] {
        for file in [&message, &mbox] {
            let args = [&inbox, file, &link, &other].map(|path| path.to_str().unwrap());
            let output = subject.run(python_path(), &[&["-c", SCRIPT], args.as_slice()].concat());
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(said.lines().count() > 25, "{said}");
            for line in said.lines() {
                let (way, gave) = line.split_once(' ').unwrap();
                let refused = REFUSED.iter().chain([&LOCK]).find(|(name, _)| *name == way);
                let want = refused.map_or("ok", |(_, errno)| errno);
                assert_eq!(gave, want, "{} {}: {way}", subject.name, file.display());
            }
        }
    }
}
