//! Who may see what: real users, groups and ACLs, and the kernel as the judge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{self, ABOUT, messages};
use harness::{Config, Mount, Scratch, Store, Subject, Users, able, ls, run};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

/// Everybody that a rule speaks of, two mailboxes of real users, and a mount with the usual grants.
struct World {
    alice: Subject,
    bob: Subject,
    carla: Subject,
    /// In the granted group, which is not the primary one.
    lead: Subject,
    admin: Subject,
    stranger: Subject,
    leads: (String, u32),
    config: Config,
    _store: Store,
    _scratch: Scratch,
    _users: Users,
}

fn world() -> World {
    let mut users = Users::new();
    let leads = users.group("leads");
    let admins = users.group("admins");
    let alice = users.user("alice", &[]);
    let bob = users.user("bob", &[]);
    let carla = users.user("carla", &[]);
    let lead = users.user("lead", &[&leads]);
    let admin = users.user("admin", &[&admins]);
    let stranger = users.user("mallory", &[]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for (address, owner) in [(ALICE, &alice), (BOB, &bob)] {
        let mailbox = store.mailbox(DAY, address).owned_by(owner.uid, owner.gid);
        for number in 0..3 {
            mailbox.number("cur", number);
            mailbox.number("Archive/2024/cur", 10 + number);
        }
    }
    let config = Config::new(&scratch, &store)
        .set(
            "access.admins",
            vec!["root".to_owned(), format!("@{}", admins.0)],
        )
        .grant(&["alice@*"], &[&carla.name, &format!("@{}", leads.0)]);
    World {
        alice,
        bob,
        carla,
        lead,
        admin,
        stranger,
        leads,
        config,
        _store: store,
        _scratch: scratch,
        _users: users,
    }
}

/// One of everything in a mailbox.
fn samples(mount: &Mount, address: &str) -> Vec<PathBuf> {
    let top = mount.join(DAY).join(address);
    let inbox = top.join("INBOX");
    let message = messages(&inbox)[0].clone();
    let mut samples = vec![top.join(ABOUT), top.join("INBOX.mbox"), inbox.join(message)];
    samples.extend(Some(top.join("Archive/2024.mbox")).filter(|mbox| mbox.exists()));
    samples
}

fn assert_reads(subject: &Subject, mount: &Mount, address: &str) {
    let top = mount.join(DAY).join(address);
    let listed = subject
        .list(&top)
        .unwrap_or_else(|e| panic!("{}: {e}", subject.name));
    assert_eq!(listed, ls(&top));
    for path in samples(mount, address) {
        let bytes = subject
            .read(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", subject.name));
        assert_eq!(
            bytes,
            fs::read(&path).unwrap(),
            "{}: {}",
            subject.name,
            path.display()
        );
    }
}

fn assert_refused(subject: &Subject, mount: &Mount, address: &str) {
    let top = mount.join(DAY).join(address);
    subject.refused(&top);
    subject.refused(top.join("INBOX"));
    for path in samples(mount, address) {
        subject.refused(path);
    }
}

#[test]
fn everybody_sees_what_is_theirs_and_nothing_else() {
    if !able(&["useradd", "groupadd", "getfacl"]) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    // Root goes first, and fills every cache with what nobody else may see.
    tree::manifest(&mount.path);
    let root = Subject::root();
    let may = [
        (&w.alice, vec![ALICE]),
        (&w.bob, vec![BOB]),
        (&w.carla, vec![ALICE]),
        (&w.lead, vec![ALICE]),
        (&w.admin, vec![ALICE, BOB]),
        (&root, vec![ALICE, BOB]),
        (&w.stranger, vec![]),
    ];
    for (subject, allowed) in &may {
        assert_eq!(
            subject.list(mount.join(DAY)).unwrap(),
            *allowed,
            "what {} is shown",
            subject.name
        );
        for address in [ALICE, BOB] {
            if allowed.contains(&address) {
                assert_reads(subject, &mount, address);
            } else {
                assert_refused(subject, &mount, address);
            }
        }
    }
    // The group counts, not the user: the same uid without it is a stranger.
    let former = Subject {
        groups: Vec::new(),
        ..w.lead.clone()
    };
    assert_refused(&former, &mount, ALICE);
}

#[test]
fn what_is_left_out_for_nobody_is_listed_for_all_alike() {
    if !able(&["useradd", "groupadd", "getfacl"]) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    let list = |subject: &Subject, path: &Path| subject.list(path).unwrap();
    let root = Subject::root();
    for subject in [&w.alice, &w.bob, &w.carla, &w.admin, &w.stranger] {
        assert_eq!(list(subject, &mount.path), list(&root, &mount.path));
    }
    let mailbox = mount.join(DAY).join(ALICE);
    for path in [mailbox.join("INBOX"), mailbox] {
        let all = list(&root, &path);
        assert!(!all.is_empty());
        for subject in [&w.alice, &w.carla, &w.lead, &w.admin] {
            assert_eq!(list(subject, &path), all, "{}", subject.name);
        }
    }
}

#[test]
fn a_stranger_finds_nothing_in_the_caches_that_the_owner_filled() {
    if !able(&["useradd"]) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    let top = mount.join(DAY).join(ALICE);
    let walked = w.alice.run(
        "sh",
        &[
            "-c",
            "find \"$0\" -type f -exec cat {} + | wc -c; ls -lR \"$0\"",
            top.to_str().unwrap(),
        ],
    );
    assert!(walked.status.success());
    assert_refused(&w.stranger, &mount, ALICE);
    assert_refused(&w.bob, &mount, ALICE);
    assert_eq!(
        w.stranger.list(mount.join(DAY)).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(w.alice.list(mount.join(DAY)).unwrap(), [ALICE]);
}

#[test]
fn everything_in_a_mailbox_carries_its_acl() {
    if !able(&["useradd", "getfacl", "getfattr"]) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    let acl = |path: &Path| {
        let bytes = run(Command::new("getfacl").args(["-c", "-p", "-E"]).arg(path));
        String::from_utf8(bytes).unwrap()
    };
    let top = mount.join(DAY).join(ALICE);
    let mut paths: Vec<PathBuf> = vec![top.clone()];
    tree::walk(&top, &mut |path, _| paths.push(top.join(path)));
    for path in paths {
        let meta = fs::metadata(&path).unwrap();
        let may = if meta.is_dir() { "r-x" } else { "r--" };
        let lines = acl(&path);
        for entry in [
            format!("user::{may}"),
            format!("user:{}:{may}", w.carla.name),
            format!("group:{}:{may}", w.leads.0),
            "other::---".to_owned(),
        ] {
            assert!(
                lines.lines().any(|l| l == entry),
                "{}: no {entry} in\n{lines}",
                path.display()
            );
        }
        assert_eq!(meta.uid(), w.alice.uid);
    }
    let raw = run(Command::new("getfattr")
        .args([
            "-n",
            "system.posix_acl_access",
            "-e",
            "hex",
            "--only-values",
            "--absolute-names",
        ])
        .arg(&top));
    assert!(raw.starts_with(&2_u32.to_le_bytes()), "{raw:?}");
    // What nobody else may enter has none.
    let none = Command::new("getfattr")
        .args(["-n", "system.posix_acl_access", "--absolute-names"])
        .arg(mount.join("latest/"))
        .output()
        .unwrap();
    assert!(!none.status.success());
}

#[test]
fn one_group_alone_is_the_group_of_the_files() {
    if !able(&["useradd", "getfattr"]) {
        return;
    }
    let mut w = world();
    w.config = w
        .config
        .unset("access.admins")
        .unset("access.grant")
        .grant(&[ALICE], &[&format!("@{}", w.leads.0)]);
    let mount = Mount::new(&w.config);
    let top = mount.join(DAY).join(ALICE);
    tree::walk(&top, &mut |path, meta| {
        let mode = if meta.is_dir() { 0o550 } else { 0o440 };
        assert_eq!(
            (meta.gid(), meta.mode() & 0o7777),
            (w.leads.1, mode),
            "{}",
            path.display()
        );
        let acl = rustix::fs::getxattr(top.join(path), "system.posix_acl_access", &mut [0_u8; 512]);
        assert_eq!(
            acl.unwrap_err(),
            rustix::io::Errno::NODATA,
            "{}",
            path.display()
        );
    });
    assert_reads(&w.lead, &mount, ALICE);
    assert_refused(&w.lead, &mount, BOB);
    assert_refused(&w.carla, &mount, ALICE);
    assert_reads(&w.alice, &mount, ALICE);
}

#[test]
fn nothing_is_open_to_others_or_to_a_group_nobody_named() {
    if !able(&["useradd"]) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    for address in [ALICE, BOB] {
        tree::walk(&mount.join(DAY).join(address), &mut |path, meta| {
            assert_eq!(meta.mode() & 0o007, 0, "{}", path.display());
        });
    }
    // In the owner's primary group, and no more than that.
    let colleague = Subject {
        gid: w.alice.gid,
        ..w.stranger.clone()
    };
    assert_refused(&colleague, &mount, ALICE);
    // What is above the mailboxes can be walked by all, and says nothing.
    assert!(
        w.stranger
            .list(&mount.path)
            .unwrap()
            .contains(&DAY.to_owned())
    );
}

#[test]
fn without_hiding_all_names_are_shown_and_still_nobody_gets_in() {
    if !able(&["useradd"]) {
        return;
    }
    let mut w = world();
    w.config = w.config.set("hide_unreadable", false);
    let mount = Mount::new(&w.config);
    for subject in [&w.stranger, &w.alice, &w.admin] {
        assert_eq!(
            subject.list(mount.join(DAY)).unwrap(),
            [ALICE, BOB],
            "{}",
            subject.name
        );
    }
    assert_refused(&w.stranger, &mount, ALICE);
    assert_refused(&w.alice, &mount, BOB);
}

#[test]
fn a_shared_uid_opens_no_mailbox_to_anybody_else() {
    if !able(&["useradd"]) {
        return;
    }
    let mut users = Users::new();
    let vmail = users.user("vmail", &[]);
    let stranger = users.user("mallory", &[]);
    let support = users.user("support", &[]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for address in [ALICE, BOB] {
        store
            .mailbox(DAY, address)
            .owned_by(vmail.uid, vmail.gid)
            .number("cur", 1);
    }
    let mount = Mount::new(&Config::new(&scratch, &store).grant(&[BOB], &[&support.name]))
        .expecting_warnings();
    let member = Subject {
        gid: vmail.gid,
        ..stranger.clone()
    };
    for address in [ALICE, BOB] {
        assert_reads(&vmail, &mount, address);
        assert_refused(&stranger, &mount, address);
        assert_refused(&member, &mount, address);
    }
    assert_reads(&support, &mount, BOB);
    assert_refused(&support, &mount, ALICE);
}

#[test]
fn the_owner_by_template() {
    if !able(&["useradd"]) {
        return;
    }
    let mut users = Users::new();
    let dora = users.user("dora", &[]);
    let admin = users.user("admin", &[]);
    let vmail = users.user("vmail", &[]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let hers = format!("{}@example.com", dora.name);
    for address in [hers.as_str(), "nobody-of-that-name@example.com"] {
        store
            .mailbox(DAY, address)
            .owned_by(vmail.uid, vmail.gid)
            .number("cur", 1);
    }
    let config = Config::new(&scratch, &store)
        .set("access.owner", "{user}")
        .set("access.admins", vec![admin.name.clone()]);
    let mount = Mount::new(&config).expecting_warnings();
    assert_reads(&dora, &mount, &hers);
    assert_reads(&admin, &mount, &hers);
    // An owner that does not resolve is nobody, and not the uid in the store.
    let lost = "nobody-of-that-name@example.com";
    assert_reads(&admin, &mount, lost);
    for subject in [&dora, &vmail, &Subject::uid(65534)] {
        assert_refused(subject, &mount, lost);
        assert!(
            !subject
                .list(mount.join(DAY))
                .unwrap()
                .contains(&lost.to_owned())
        );
    }
    assert_refused(&vmail, &mount, &hers);
}

/// Any process may take the uid that such files have, and an NFS client name it.
#[test]
fn nobodys_uid_opens_nothing() {
    if !able(&["useradd", "getfacl"]) {
        return;
    }
    const LOST: &str = "nobody-of-that-name@example.com";
    let mut users = Users::new();
    let admins = users.group("admins");
    let admin = users.user("admin", &[&admins]);
    let carla = users.user("carla", &[]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for (day, numbers) in [("2026-11-19", 0..3), (DAY, 0..1)] {
        for number in numbers {
            store.mailbox(day, LOST).number("cur", number);
            store.mailbox(day, LOST).number("Old/cur", 10 + number);
        }
    }
    let config = Config::new(&scratch, &store).set("access.owner", "{user}");
    let one_group = config
        .clone()
        .set("access.admins", vec![format!("@{}", admins.0)]);
    let several = one_group.clone().grant(&["*"], &[&carla.name]);
    for (config, group, has_acl) in [
        (config, 0, false),
        (one_group, 5, false),
        (several, 5, true),
    ] {
        let mount = Mount::new(&config);
        let mut paths: Vec<(PathBuf, fs::Metadata)> = Vec::new();
        tree::walk(&mount.path, &mut |path, meta| {
            if path.iter().any(|part| part == LOST) {
                paths.push((mount.join(path), meta.clone()));
            }
        });
        // Each of its shapes is there.
        for part in ["deleted/", ".maildir/", ".mbox", ".eml", ABOUT] {
            let has = |path: &Path| path.to_str().unwrap().contains(part);
            assert!(paths.iter().any(|(path, _)| has(path)), "{part}");
        }
        let nobody = Subject::uid(paths[0].1.uid());
        for (path, meta) in &paths {
            let may = if meta.is_dir() { group } else { group & 4 };
            let name = path.display();
            assert_eq!(
                (meta.uid(), meta.mode() & 0o7777),
                (nobody.uid, may << 3),
                "{name}"
            );
            if has_acl {
                let acl = run(Command::new("getfacl").args(["-cpE"]).arg(path));
                let acl = String::from_utf8(acl).unwrap();
                let rwx = if meta.is_dir() { "r-x" } else { "r--" };
                let expected = format!(
                    "user::---\nuser:{}:{rwx}\ngroup::---\ngroup:{}:{rwx}\nmask::{rwx}\nother::---\n\n",
                    carla.name, admins.0
                );
                assert_eq!(acl, expected, "{name}");
            }
        }
        let tops = [DAY, ".maildir/2026-11-20", "deleted"];
        let in_group = |subject: &Subject| Subject {
            groups: vec![admins.1],
            ..subject.clone()
        };
        for nobody in [in_group(&nobody), nobody] {
            for top in tops {
                assert_eq!(nobody.list(mount.join(top)).unwrap(), [""; 0], "{top}");
                nobody.refused(mount.join(top).join(LOST));
            }
            for path in samples(&mount, LOST) {
                nobody.refused(path);
            }
        }
        let root = Subject::root();
        for (subject, may) in [(&root, true), (&admin, group > 0), (&carla, has_acl)] {
            if !may {
                assert_refused(subject, &mount, LOST);
                continue;
            }
            assert_reads(subject, &mount, LOST);
            for top in tops {
                assert_eq!(subject.list(mount.join(top)).unwrap(), [LOST], "{top}");
            }
            for (path, meta) in paths.iter().filter(|_| subject.uid != 0) {
                let seen = match meta.is_dir() {
                    true => subject.list(path).map(drop),
                    false => subject.read(path).map(drop),
                };
                seen.unwrap_or_else(|e| panic!("{}: {e}", subject.name));
            }
        }
    }
}

#[test]
fn a_grant_to_a_name_that_does_not_resolve_is_warned_of() {
    if !able(&["useradd"]) {
        return;
    }
    let w = world();
    let config = w
        .config
        .grant(&["*"], &["no-such-user-here", "@no-such-group-here"]);
    let mount = Mount::new(&config).expecting_warnings();
    assert_reads(&w.carla, &mount, ALICE);
    assert_refused(&w.stranger, &mount, ALICE);
    for name in ["no-such-user-here", "no-such-group-here"] {
        mount.wait_for_warning(&[name]);
    }
}

#[test]
fn the_owner_is_the_one_of_the_newest_snapshot() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    store
        .mailbox("2026-11-19", ALICE)
        .owned_by(1_900_001, 1_900_001)
        .number("cur", 1);
    store
        .mailbox("2026-11-20", ALICE)
        .owned_by(1_900_002, 1_900_002)
        .number("cur", 1);
    let mount = Mount::new(&Config::new(&scratch, &store));
    for day in ["2026-11-19", "2026-11-20"] {
        let top = mount.join(day).join(ALICE);
        assert!(Subject::uid(1_900_002).list(&top).is_ok(), "{day}");
        Subject::uid(1_900_001).refused(&top);
    }
}

#[test]
fn the_audit_log_names_whoever_is_not_the_owner() {
    if !able(&["useradd"]) {
        return;
    }
    let mut w = world();
    w.config = w.config.set("access.audit", true);
    let mount = Mount::new(&w.config);
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let names = messages(&inbox);
    w.alice.read(inbox.join(&names[0])).unwrap();
    w.admin.read(inbox.join(&names[1])).unwrap();
    w.admin.read(inbox.join(&names[1])).unwrap();
    let lines = || -> Vec<String> {
        let said = mount.stderr();
        let lines = said.lines().filter(|l| l.contains("INBOX"));
        lines.map(str::to_owned).collect()
    };
    harness::eventually(
        std::time::Duration::from_secs(5),
        "two lines in the audit log",
        || lines().iter().filter(|l| l.contains(&names[1])).count() == 2,
    );
    for line in lines().iter().filter(|l| l.contains(&names[1])) {
        assert!(
            line.contains(&w.admin.uid.to_string()) && line.contains(&w.admin.name),
            "{line}"
        );
        assert!(line.contains(ALICE) && line.contains(DAY), "{line}");
    }
    assert!(
        !lines().iter().any(|l| l.contains(&names[0])),
        "{:?}",
        lines()
    );
}
