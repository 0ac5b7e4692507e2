//! A real Samba server over the mount, with the shares of `packaging/samba/smb.conf` as they stand there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod samba {
    pub mod server;
}

use harness::tree::{files, ls, manifest, messages, only, same, sha256};
use harness::{
    Config, Mailbox, Mount, Scratch, Store, Subject, Trace, Users, able, able_to_import,
    eventually, keeping_caches, mail,
};
use samba::server::{Server, names, refusal};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

const DAYS: [&str; 2] = ["2026-11-19", "2026-11-20"];
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const SOON: Duration = Duration::from_secs(20);
const PROGRAMS: [&str; 7] = [
    "smbd",
    "smbpasswd",
    "smbclient",
    "unshare",
    "nsenter",
    "ip",
    "useradd",
];

/// Two mailboxes on two dates; alice's are granted to carla, and to leads by a group that is not their primary one.
struct World {
    alice: Subject,
    bob: Subject,
    carla: Subject,
    lead: Subject,
    config: Config,
    scratch: Scratch,
    store: Store,
    _users: Users,
}

fn world() -> World {
    let mut users = Users::new();
    let leads = users.group("leads");
    let alice = users.user("alice", &[]);
    let bob = users.user("bob", &[]);
    let carla = users.user("carla", &[]);
    let lead = users.user("lead", &[&leads]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for (address, owner) in [(ALICE, &alice), (BOB, &bob)] {
        let mailbox = store.mailbox(DAYS[0], address);
        for number in 0..20 {
            mailbox.number("cur", number);
            mailbox.number("Archive/2024/cur", 100 + number);
        }
        // Larger than one request, and with lines to quote in the mbox.
        let body = "From the beginning\r\nto the end, again and again.\r\n".repeat(30_000);
        mailbox.put(
            "Gr&APY-&AN8-e/cur",
            "1795.M9P9.mx:2,FS",
            format!("From: {address}\r\nSubject: Gr\u{f6}\u{df}e\r\n\r\n{body}"),
            1_795_000_000,
        );
        mailbox.owned_by(owner.uid, owner.gid);
    }
    store.link(DAYS[0], DAYS[1]);
    for (address, owner) in [(ALICE, &alice), (BOB, &bob)] {
        let mailbox = store
            .mailbox(DAYS[1], address)
            .owned_by(owner.uid, owner.gid);
        mailbox.number("cur", 50);
        let gone = mailbox.path.join("cur/1795000000.M0P1.mx:2,S");
        fs::remove_file(gone).unwrap();
    }
    let config =
        Config::new(&scratch, &store).grant(&["alice@*"], &[&carla.name, &format!("@{}", leads.0)]);
    World {
        alice,
        bob,
        carla,
        lead,
        config,
        scratch,
        store,
        _users: users,
    }
}

/// All files below a directory, with their bytes.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        let bytes = fs::read(root.join(&path)).unwrap();
        (path, bytes)
    };
    files(root).into_iter().map(read).collect()
}

#[test]
fn everybody_at_once_copies_what_is_theirs_and_sees_no_more() {
    if !able(&PROGRAMS) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    let all = [&w.alice, &w.bob, &w.carla, &w.lead];
    let server = Server::start(&w.scratch, &mount, &all, "");
    std::thread::scope(|scope| {
        for (subject, address) in all.into_iter().zip([ALICE, BOB, ALICE, ALICE]) {
            let (server, mount, scratch) = (&server, &mount, &w.scratch);
            scope.spawn(move || {
                let target = scratch.subdirectory(&format!("copy-{}", subject.name));
                let fetch = format!("recurse; prompt; mget {}; mget {}", DAYS[0], DAYS[1]);
                let said = server.run_in(&target, subject, "backups", &fetch);
                assert!(!said.contains("NT_STATUS"), "{}: {said}", subject.name);
                for day in DAYS {
                    let listed = server.run(subject, "backups", &format!("cd {day}; ls"));
                    assert_eq!(names(&listed), [address], "{}", subject.name);
                    let got = contents(&target.join(day));
                    let want = contents(&mount.join(day).join(address));
                    assert!(want.len() > 40 && want.keys().any(|p| p.ends_with("INBOX.mbox")));
                    let want = want
                        .into_iter()
                        .map(|(path, b)| (Path::new(address).join(path), b));
                    assert!(
                        got == want.collect(),
                        "{}: the copy of {day} differs: {:?}",
                        subject.name,
                        got.keys()
                    );
                }
            });
        }
    });
    // Names are no way round: bob knows where alice's mail is.
    let inbox = format!("{}\\{ALICE}\\INBOX", DAYS[0]);
    let message = &messages(mount.join(DAYS[0]).join(ALICE).join("INBOX"))[0];
    for command in [
        format!("cd {inbox}"),
        format!("ls {inbox}\\*"),
        format!("get \"{inbox}\\{message}\" -"),
        format!("get {inbox}.mbox -"),
    ] {
        let said = server.run(&w.bob, "backups", &command);
        assert!(
            said.contains("NT_STATUS_ACCESS_DENIED"),
            "{command}: {said}"
        );
    }
    // A copy on the desktop is an ordinary file.
    let about = server.run(
        &w.alice,
        "backups",
        &format!("allinfo \"{inbox}\\{message}\""),
    );
    let attributes = about.lines().find(|l| l.starts_with("attributes:"));
    assert!(attributes.is_some_and(|l| !l.contains('R')), "{about}");
}

#[test]
fn samba_hides_what_the_mount_does_not() {
    if !able(&PROGRAMS) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config.clone().set("hide_unreadable", false));
    let all = [&w.alice, &w.bob];
    let server = Server::start(
        &w.scratch,
        &mount,
        &all,
        "[hiding]\ncopy = backups\nhide unreadable = yes\n",
    );
    for (subject, address) in [(&w.alice, ALICE), (&w.bob, BOB)] {
        let list = |share: &str| names(&server.run(subject, share, &format!("cd {}; ls", DAYS[0])));
        assert_eq!(list("backups"), [ALICE, BOB]);
        assert_eq!(list("hiding"), [address]);
    }
}

#[test]
fn every_write_is_refused() {
    if !able(&PROGRAMS) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    // In the second share it is the mount that refuses.
    let server = Server::start(
        &w.scratch,
        &mount,
        &[&w.alice],
        "[writable]\ncopy = backups\nread only = no\n",
    );
    let before = manifest(&mount.path);
    let inbox = format!("{}\\{ALICE}\\INBOX", DAYS[0]);
    let message = &messages(mount.join(DAYS[0]).join(ALICE).join("INBOX"))[0];
    let message = format!("{inbox}\\{message}");
    let times = ["2020:01:01-00:00:00"; 4].join(" ");
    for share in ["backups", "writable"] {
        for command in [
            format!("put /etc/hostname \"{inbox}\\new.txt\""),
            format!("put /etc/hostname \"{message}\""),
            format!("put /etc/hostname {}\\new.txt", DAYS[0]),
            "put /etc/hostname new.txt".to_owned(),
            format!("reput /etc/hostname \"{message}\""),
            format!("mkdir {inbox}\\new"),
            "mkdir new".to_owned(),
            format!("del \"{message}\""),
            format!("rename \"{message}\" {inbox}\\new.eml"),
            format!("rmdir {inbox}"),
            format!("deltree {}\\{ALICE}", DAYS[0]),
            format!("hardlink \"{message}\" {inbox}\\new.eml"),
            format!("setmode \"{message}\" +h"),
            format!("utimes \"{message}\" {times}"),
        ] {
            let said = server.run(&w.alice, share, &command);
            assert!(
                matches!(
                    refusal(&said),
                    Some("NT_STATUS_ACCESS_DENIED" | "NT_STATUS_MEDIA_WRITE_PROTECTED")
                ),
                "[{share}] {command}: {said}"
            );
        }
    }
    same("after the attempts", &before, &manifest(&mount.path));
}

#[test]
fn previous_versions_are_those_of_their_dates() {
    if !able(&PROGRAMS) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    let server = Server::start(&w.scratch, &mount, &[&w.alice, &w.bob], "");
    let get = |subject: &Subject, path: &str| -> (Option<Vec<u8>>, String) {
        let target = tempfile::tempdir_in(w.scratch.path()).unwrap();
        let said = server.run_in(
            target.path(),
            subject,
            "mail",
            &format!("get \"{}\" got", path.replace('/', "\\")),
        );
        (fs::read(target.path().join("got")).ok(), said)
    };
    // INBOX.mbox is another one each day.
    let mbox = format!("{ALICE}/INBOX.mbox");
    let about = server.run(&w.alice, "mail", &format!("allinfo \"{mbox}\""));
    let tokens: Vec<&str> = about.lines().filter(|l| l.starts_with("@GMT-")).collect();
    let [newer, older] = tokens[..] else {
        panic!("two versions are there: {about}");
    };
    assert!(newer > older, "the newest first");
    let contents: Vec<_> = DAYS
        .iter()
        .map(|day| fs::read(mount.join(day).join(&mbox)).unwrap())
        .collect();
    assert_ne!(contents[0], contents[1]);
    for (path, want) in [
        (mbox.clone(), &contents[1]),
        (format!("{newer}/{mbox}"), &contents[1]),
        (format!("{older}/{mbox}"), &contents[0]),
    ] {
        let (got, said) = get(&w.alice, &path);
        assert!(got.as_ref() == Some(want), "{path}: {said}");
    }
    // A message that is gone is found in the folder's older version.
    let gone = &messages(mount.join(DAYS[0]).join(ALICE).join("INBOX"))[0];
    let gone = format!("{ALICE}/INBOX/{gone}");
    assert_eq!(get(&w.alice, &gone).0, None);
    let (got, said) = get(&w.alice, &format!("{older}/{gone}"));
    let want = fs::read(mount.join(DAYS[0]).join(&gone)).unwrap();
    assert_eq!(got, Some(want), "{said}");
    let listed = server.run(
        &w.alice,
        "mail",
        &format!("ls \"{older}\\{ALICE}\\INBOX\\*\""),
    );
    assert_eq!(names(&listed).len(), 20, "{listed}");
    // Versions are no way round either.
    for version in ["", newer, older] {
        let (got, said) = get(&w.bob, format!("{version}/{mbox}").trim_start_matches('/'));
        assert_eq!(got, None, "{version}");
        assert!(
            matches!(
                refusal(&said),
                Some("NT_STATUS_ACCESS_DENIED" | "NT_STATUS_OBJECT_NAME_NOT_FOUND")
            ),
            "{said}"
        );
    }
}

#[test]
fn a_connection_outlives_the_daemon() {
    if !able(&PROGRAMS) {
        return;
    }
    let w = world();
    let mount = Mount::new(&w.config);
    let server = Server::start(&w.scratch, &mount, &[&w.alice], "");
    let target = w.scratch.subdirectory("fetched");
    let mut client = server
        .client(&w.alice, "backups")
        .current_dir(&target)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut fetch = |name: &str| {
        let path = format!("{}\\{ALICE}\\INBOX.mbox", DAYS[0]);
        let line = format!("get {path} {name}\n");
        client
            .stdin
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
        target.join(name)
    };
    let mbox = mount.join(DAYS[0]).join(ALICE).join("INBOX.mbox");
    let want = fs::read(&mbox).unwrap();
    let first = fetch("first");
    let has = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes == want);
    eventually(SOON, "fetched", || has(&first));
    mount.kill();
    let _mount = Mount::new(&w.config).expecting_warnings();
    let mut tries = 0;
    eventually(SOON, "fetched by the same connection", || {
        tries += 1;
        let next = fetch(&format!("next-{tries}"));
        std::thread::sleep(Duration::from_millis(300));
        has(&next)
    });
    drop(client.stdin.take());
    client.wait().unwrap();
}

/// What people write into a subject, and what a folder may be called.
const SUBJECTS: [&str; 9] = [
    "Re: offer 3/4 \"final\" <v2> | ok? * 50% \\o/",
    "ends in dots...",
    "CON",
    "aux.txt: the file",
    "=?utf-8?q?Caf=C3=A9_e=CC=81_=E2=80=AE_gpj=2Eexe?=",
    "=?utf-8?b?5pel5pys6Kqe44Gu5Lu25ZCN?=",
    "UPPER and lower",
    "upper AND LOWER",
    "~$lock.tmp 8~1.3",
];

/// Messages with those subjects, in a folder whose name in the store has what no name may have.
fn put_subjects(w: &World) -> Mailbox {
    let mailbox = w.store.mailbox(DAYS[1], ALICE);
    for (number, subject) in SUBJECTS.iter().enumerate() {
        let received = 1_795_100_000;
        let bytes = mail("Bob: \"R/S\" <bob@example.com>", subject, "Hi\n");
        let name = format!("{received}.M{number}P7.mx:2,S");
        mailbox.put("Nul&AGA-:?/cur", name, bytes, received);
    }
    mailbox.owned_by(w.alice.uid, w.alice.gid)
}

#[test]
fn names_arrive_as_they_are() {
    if !able(&PROGRAMS) {
        return;
    }
    let w = world();
    let mailbox = put_subjects(&w);
    // A family, of which each member is two UTF-16 units.
    let family = "Subject: =?utf-8?b?8J+RqOKAjfCfkanigI3wn5Gn?=\n\nHi\n";
    mailbox.put("Family/cur", "1795.M1P7.mx:2,S", family, 1_795_100_000);
    let mount = Mount::new(&w.config);
    let server = Server::start(&w.scratch, &mount, &[&w.alice], "");
    let top = mount.join(DAYS[1]).join(ALICE);
    // One that Samba had to change would have a tilde and a number.
    let mut directories = vec![top.clone()];
    let mut shown = 0;
    while let Some(directory) = directories.pop() {
        let here = directory.strip_prefix(&mount.path).unwrap();
        let here = here.to_str().unwrap().replace('/', "\\");
        let listed = server.run(&w.alice, "backups", &format!("ls \"{here}\\*\""));
        let local = ls(&directory);
        assert_eq!(names(&listed), local, "{listed}");
        shown += local.len();
        let inner = local.iter().map(|name| directory.join(name));
        directories.extend(inner.filter(|path| path.is_dir()));
    }
    assert!(shown > 50 + SUBJECTS.len(), "{shown}");
    let family = format!("{}\\{ALICE}\\Family\\{}", DAYS[1], only(top.join("Family")));
    assert!(family.contains('\u{1f468}'), "{family}");
    let target = w.scratch.subdirectory("family");
    let said = server.run_in(
        &target,
        &w.alice,
        "backups",
        &format!("get \"{family}\" got"),
    );
    assert!(target.join("got").exists(), "{said}");
}

#[test]
fn a_second_client_finds_the_same() {
    if !able(&PROGRAMS) || !able_to_import("impacket") {
        return;
    }
    let w = world();
    put_subjects(&w);
    let mount = Mount::new(&w.config);
    let server = Server::start(&w.scratch, &mount, &[&w.alice, &w.bob], "");
    let top = mount.join(DAYS[1]).join(ALICE);
    let said = server.ask(&w.alice, "backups", "walk", DAYS[1]);
    let mut remote: Vec<&str> = said.lines().collect();
    remote.sort_unstable();
    let mut local: Vec<String> = contents(&top)
        .into_iter()
        .map(|(path, bytes)| {
            let path = Path::new(DAYS[1]).join(ALICE).join(path);
            format!("{}\t{}\t{}", path.display(), bytes.len(), sha256(&bytes))
        })
        .collect();
    local.sort_unstable();
    assert_eq!(remote, local);
    let said = server.ask(&w.bob, "backups", "walk", DAYS[1]);
    assert!(said.contains(BOB) && !said.contains(ALICE), "{said}");

    // It can write nothing either, and the versions that it finds are those of their dates.
    let message = &messages(top.join("INBOX"))[0];
    let path = format!("{}\\{ALICE}\\INBOX\\{message}", DAYS[1]);
    let said = server.ask(&w.alice, "backups", "writes", &path);
    assert_eq!(said.lines().count(), 6);
    for line in said.lines() {
        let refused = line.ends_with("STATUS_ACCESS_DENIED")
            || line.ends_with("STATUS_MEDIA_WRITE_PROTECTED");
        assert!(refused, "{line}");
    }
    let said = server.ask(
        &w.alice,
        "mail",
        "versions",
        &format!("{ALICE}\\INBOX.mbox"),
    );
    let want: Vec<String> = DAYS
        .iter()
        .rev()
        .map(|day| {
            let bytes = fs::read(mount.join(day).join(ALICE).join("INBOX.mbox")).unwrap();
            format!("{}\t{}", bytes.len(), sha256(&bytes))
        })
        .collect();
    let got: Vec<&str> = said
        .lines()
        .map(|line| line.split_once('\t').unwrap().1)
        .collect();
    assert_eq!(got, want, "{said}");

    // Explorer and Finder show what is free: nothing, of as much as the store has.
    let said = server.run(&w.alice, "backups", "du");
    let line = said
        .lines()
        .find(|l| l.contains("blocks available"))
        .unwrap();
    let numbers: Vec<u64> = line
        .split(' ')
        .filter_map(|w| w.trim().parse().ok())
        .collect();
    assert!(numbers[0] > 0 && numbers.last() == Some(&0), "{line}");
}

/// What Explorer and Finder ask for in every folder.
const PROBES: [&str; 8] = [
    "desktop.ini",
    "Desktop.ini",
    "Thumbs.db",
    ".DS_Store",
    "._INBOX",
    "._.",
    ".metadata_never_index",
    ".hidden",
];

#[test]
fn what_explorer_and_finder_ask_for_costs_nothing_the_second_time() {
    if !able(&PROGRAMS) || !able(&["strace"]) {
        return;
    }
    let w = world();
    let config = w
        .config
        .clone()
        .set("refresh", "1h")
        .set("index.warm", "off");
    let mount = Mount::new(&config);
    let server = Server::start(&w.scratch, &mount, &[&w.alice], "");
    let folders = ["", "\\INBOX", "\\Archive", "\\Archive\\2024"];
    let _keeping = keeping_caches();
    let mut probes = String::new();
    for folder in folders {
        for name in PROBES {
            probes += &format!("allinfo \"{}\\{ALICE}{folder}\\{name}\"; ", DAYS[1]);
        }
    }
    let trace = Trace::new(&mount, &w.scratch, &["-e", "trace=%desc"]);
    let during = |commands: &str| {
        let before = trace.exchanges();
        let said = server.run(&w.alice, "backups", commands);
        (trace.exchanges() - before, said)
    };
    let (first, said) = during(&probes);
    assert_eq!(
        said.matches("NT_STATUS_OBJECT_").count(),
        folders.len() * PROBES.len(),
        "{said}"
    );
    let (second, _) = during(&probes);
    let (nothing, _) = during("quit");
    println!(
        "{first} exchanges for the probes, {second} for the same again, {nothing} for a connection alone"
    );
    assert!(first > nothing + 2 * folders.len(), "{first} {nothing}");
    assert!(second <= nothing + folders.len(), "{second} {nothing}");
}
