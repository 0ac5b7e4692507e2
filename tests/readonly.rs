//! Nothing can be written, by nobody: every system call that would is refused with EROFS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{mount_info, python_path};
use harness::store::uid_of;
use harness::tree::{manifest, messages, same};
use harness::{Config, Mount, Scratch, Store, Subject, able};
use std::os::unix::fs::PermissionsExt;

const ALICE: &str = "alice@example.com";
const DAY: &str = "2026-11-20";
const SCRIPT: &str = include_str!("harness/write_attempts.py");

/// What the kernel refuses for another reason before it looks at the file system, or instead.
fn refused_earlier(attempt: &str, uid: u32) -> &'static [&'static str] {
    match attempt {
        // A descriptor that is open for reading writes nothing anywhere.
        "ftruncate_of_reader" => &["EINVAL"],
        "fallocate_of_reader" | "write_of_reader" => &["EBADF"],
        "move_in" => &["EXDEV"],
        // Not every file system offers these, and the kernel asks about that first.
        "tmpfile" => &["EOPNOTSUPP"],
        "set_inode_flags" => &["ENOTTY", "EOPNOTSUPP", "ENOSYS"],
        // fs.protected_hardlinks, for what one does not own.
        "hard_link" if uid != 0 => &["EPERM"],
        _ => &[],
    }
}

#[test]
fn every_writing_call_gives_erofs() {
    if !able(&["python3"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    for number in 0..3 {
        mailbox.number("cur", number);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    let other = scratch.subdirectory("other");
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o777)).unwrap();
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let message = inbox.join(&messages(&inbox)[0]);
    let mbox = mount.join(DAY).join(ALICE).join("INBOX.mbox");
    let link = mount.join("latest");
    let before = manifest(&mount.path);
    let mut wrong = Vec::new();
    for subject in [Subject::root(), Subject::uid(uid_of(ALICE))] {
        for file in [&message, &mbox] {
            let args = [&inbox, file, &link, &other].map(|p| p.to_str().unwrap());
            let output = subject.run(python_path(), &[&["-c", SCRIPT], args.as_slice()].concat());
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(said.lines().count() > 50, "{said}");
            for line in said.lines() {
                let (attempt, error) = line.split_once(' ').unwrap();
                if error != "EROFS" && !refused_earlier(attempt, subject.uid).contains(&error) {
                    wrong.push(format!("{} {}: {line}", subject.name, file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    same("after all that", &before, &manifest(&mount.path));
}

#[test]
fn the_root_and_the_dates_take_nothing_either() {
    if !able(&["python3"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    store.mailbox(DAY, ALICE).number("cur", 1);
    let mount = Mount::new(&Config::new(&scratch, &store));
    for directory in [
        mount.path.clone(),
        mount.join(DAY),
        mount.join(DAY).join(ALICE),
    ] {
        for result in [
            std::fs::write(directory.join("x"), "x"),
            std::fs::create_dir(directory.join("x")),
            std::fs::remove_dir(directory.join(DAY)),
            std::fs::rename(directory.join("INBOX"), directory.join("x")),
        ] {
            let error = result.unwrap_err().raw_os_error();
            // What is not there can't be removed or renamed; all the rest is EROFS.
            assert!(
                error == Some(libc::EROFS) || error == Some(libc::ENOENT),
                "{}: {error:?}",
                directory.display()
            );
        }
        let written = std::fs::write(directory.join("x"), "x").unwrap_err();
        assert_eq!(
            written.raw_os_error(),
            Some(libc::EROFS),
            "{}",
            directory.display()
        );
    }
}

#[test]
fn the_mount_is_ro_nosuid_nodev_noexec() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    store.mailbox(DAY, ALICE);
    let mount = Mount::new(&Config::new(&scratch, &store));
    let line = mount_info(&mount.path).unwrap();
    let options: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options.contains(&option), "{option} is not in {line}");
    }
    let (_, file_system) = line.split_once(" - ").unwrap();
    let fields: Vec<&str> = file_system.split(' ').collect();
    assert!(fields[0].starts_with("fuse"), "{line}");
    let options: Vec<&str> = fields[2].split(',').collect();
    for option in ["ro", "default_permissions", "allow_other"] {
        assert!(options.contains(&option), "{option} is not in {line}");
    }
}
