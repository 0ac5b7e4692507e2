//! Attacks: handles of other people's mail, stores made to exhaust or to hang, and clients that probe.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{OtherMount, unmount_lazily};
use harness::store::uid_of;
use harness::tree::{messages, walk};
use harness::{
    Config, Layout, Mailbox, Mount, Scratch, Store, Trace, able, drop_caches, ls, mail, run, within,
};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for address in [ALICE, BOB] {
        for number in 0..3 {
            let mailbox = store.mailbox(DAY, address);
            mailbox.number("cur", number);
            mailbox.number("Archive/cur", 10 + number);
        }
    }
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

/// What a server for NFS does with a handle that a client has made up: the node is found by its number alone, without any
/// directory above it, and opened as the user whom the client names.
const FORGE: &str = r#"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
root, uid = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])
nodes = []
for number in (int(n) for n in sys.argv[3:]):
    # A number of 64 bits, its upper half first, and the generation, which is 0.
    data = (number >> 32).to_bytes(4, sys.byteorder) + (number & 0xffffffff).to_bytes(4, sys.byteorder) + bytes(4)
    handle = Handle(12, 0x81)
    ctypes.memmove(handle.data, data, 12)
    fd = libc.open_by_handle_at(root, ctypes.byref(handle), os.O_PATH)
    nodes.append(fd if fd >= 0 else -ctypes.get_errno())
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
for fd in nodes:
    try:
        os.close(os.open(f"/proc/self/fd/{fd}" if fd >= 0 else "/", os.O_RDONLY))
        print("opened" if fd >= 0 else errno.errorcode[-fd])
    except OSError as e:
        print(errno.errorcode[e.errno])
"#;

#[test]
fn a_forged_handle_opens_nobody_else_s_mail() {
    if !able(&["python3"]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let numbers = |address: &str| -> Vec<String> {
        let top = mount.join(DAY).join(address);
        let number = |metadata: &fs::Metadata| metadata.ino().to_string();
        let mut numbers = vec![number(&fs::metadata(&top).unwrap())];
        walk(&top, &mut |_, metadata| numbers.push(number(metadata)));
        numbers
    };
    let (hers, his) = (numbers(ALICE), numbers(BOB));
    assert!(hers.len() > 10);
    // Warm, when the kernel knows the nodes from their owner, and cold, when it has to ask.
    for warm in [true, false] {
        if !warm {
            drop_caches();
        }
        let open = |numbers: &[String]| {
            let said = run(harness::python()
                .args(["-c", FORGE, mount.path.to_str().unwrap()])
                .arg(uid_of(BOB).to_string())
                .args(numbers));
            let said = String::from_utf8(said).unwrap();
            assert_eq!(said.lines().count(), numbers.len());
            said
        };
        let said = open(&hers);
        assert!(said.lines().all(|line| line == "EACCES"), "{said}");
        let said = open(&his);
        assert!(said.lines().all(|line| line == "opened"), "{said}");
        // Numbers that are nothing.
        let said = open(&["9223372036854775807".into(), "18446744073709551615".into()]);
        assert!(said.lines().all(|line| line == "ESTALE"), "{said}");
    }
}

/// Kilobytes of memory that the daemon has in use.
fn resident(mount: &Mount) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", mount.pid())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// As many as `ATTACK_FOLDERS` says.
#[test]
fn a_hundred_thousand_folders() {
    if !able(&["python3"]) {
        return;
    }
    let asked = std::env::var("ATTACK_FOLDERS").ok();
    let folders: usize = asked.map_or(100_000, |number| number.parse().unwrap());
    // For each hundred thousand of them.
    let share = folders.div_ceil(100_000) as u32;
    let scratch = Scratch::new();
    // In memory, so that making and removing them is no work for a disk.
    let volume = OtherMount::new(
        &["-t", "tmpfs", "-o", "nr_inodes=0", "none"],
        scratch.join("volume"),
    );
    let store = Store {
        path: volume.0.clone(),
    };
    let mailbox = store.mailbox(DAY, ALICE);
    mailbox.number("cur", 1);
    let make = "import os, sys\nfor n in range(int(sys.argv[2])):\n p = f'{sys.argv[1]}/.f{n}'\n os.mkdir(p)\n os.mkdir(p + '/cur')";
    run(harness::python()
        .args(["-c", make, mailbox.path.to_str().unwrap()])
        .arg(folders.to_string()));
    store.mailbox(DAY, BOB).number("cur", 1);
    let mount = Mount::new(&Config::new(&scratch, &store).set("index.warm", "off"));
    let begun = Instant::now();
    let listed = ls(mount.join(DAY).join(ALICE));
    // A directory and an mbox for each and for INBOX, and the file about the backup.
    assert_eq!(listed.len(), 2 * (folders + 1) + 1);
    assert!(
        begun.elapsed() < share * Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    let used = resident(&mount);
    println!(
        "{folders} folders listed in {:?}, {used} KiB",
        begun.elapsed()
    );
    assert!(
        used < (200 << 10) + (100 << 10) * u64::from(share),
        "{used} KiB"
    );
    // The neighbour notices nothing.
    let begun = Instant::now();
    assert_eq!(messages(mount.join(DAY).join(BOB).join("INBOX")).len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn directories_nested_a_hundred_thousand_deep_and_headers_without_an_end() {
    if !able(&["python3"]) {
        return;
    }
    let scratch = Scratch::new();
    let volume = OtherMount::new(
        &["-t", "tmpfs", "-o", "nr_inodes=0", "none"],
        scratch.join("volume"),
    );
    let snapshot = volume.0.join(DAY);
    fs::create_dir(&snapshot).unwrap();
    let mailbox = Mailbox::new(&snapshot, ALICE, Layout::Fs);
    mailbox.number("cur", 1);
    let dig = "import os, sys\nos.chdir(sys.argv[1])\nfor n in range(100000):\n os.mkdir('d')\n os.chdir('d')";
    run(harness::python().args(["-c", dig, mailbox.path.to_str().unwrap()]));
    // A folder of its own at the top of the pit, so that it is looked into.
    mailbox.folder("d");
    let long = "x".repeat(64 << 10);
    let hostile = [
        mail("a@example.com", &long, "Hi\n"),
        mail(&long, "no end", "Hi\n"),
        format!(
            "Subject: {}\n\nHi\n",
            "=?utf-8?q?=F0=9F=98=80?= ".repeat(5000)
        )
        .into_bytes(),
        format!("Subject: a\n {}\n\nHi\n", "b\n ".repeat(30_000)).into_bytes(),
        format!(
            "From: {}a@b{}\n\nHi\n",
            "(".repeat(50_000),
            ")".repeat(50_000)
        )
        .into_bytes(),
        // A header alone, and one line alone.
        format!("{}: {long}", "y".repeat(1 << 20)).into_bytes(),
        [
            &b"Content-Type: message/rfc822\n\n"[..].repeat(100_000),
            &b"Subject: at last\n\n"[..],
        ]
        .concat(),
    ];
    for (number, bytes) in hostile.iter().enumerate() {
        mailbox.put("cur", format!("{number}.M1P1.mx:2,"), bytes, 1_795_000_000);
    }
    let store = Store {
        path: volume.0.clone(),
    };
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    let top = mount.join(DAY).join(ALICE);
    let begun = Instant::now();
    let names = messages(top.join("INBOX"));
    assert_eq!(names.len(), hostile.len() + 1);
    let read: Vec<Vec<u8>> = names
        .iter()
        .map(|name| fs::read(top.join("INBOX").join(name)).unwrap())
        .collect();
    for bytes in &hostile {
        assert!(read.contains(bytes), "{} bytes are lost", bytes.len());
    }
    let size = fs::metadata(top.join("INBOX.mbox")).unwrap().len();
    let mbox = fs::read(top.join("INBOX.mbox")).unwrap();
    assert_eq!(mbox.len() as u64, size);
    let _ = fs::read_dir(&top).unwrap().count();
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert!(resident(&mount) < 300 << 10, "{} KiB", resident(&mount));
    drop(mount);
}

/// What Explorer, Finder and desktops ask for in every folder.
const PROBES: [&str; 8] = [
    "desktop.ini",
    "Desktop.ini",
    ".DS_Store",
    "._INBOX",
    ".hidden",
    ".directory",
    ".metadata_never_index",
    "Thumbs.db",
];

/// Messages of a terabyte that take no room, in many folders, and somebody who asks for the sizes of all their mboxes.
#[test]
fn sizes_that_take_for_ever_keep_nobody_else_waiting() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    let folders: Vec<String> = (0..40).map(|number| format!("F{number}")).collect();
    for folder in &folders {
        mailbox.put(
            &format!("{folder}/cur"),
            "1.x:2,S",
            b"Subject: s\n\n",
            1_790_000_000,
        );
        let path = mailbox.folder(folder).join("cur/1.x:2,S");
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(1 << 40).unwrap();
    }
    let config = config.set("index.warm", "off").set("source.timeout", "5s");
    let mount = Mount::new(&config).expecting_warnings();
    let (hers, his) = (mount.join(DAY).join(ALICE), mount.join(DAY).join(BOB));
    let asking: Vec<_> = folders
        .iter()
        .map(|folder| hers.join(format!("{folder}.mbox")))
        .map(|path| std::thread::spawn(move || fs::metadata(path).is_err()))
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    within(Duration::from_secs(30), "another mailbox", move || {
        for folder in ["INBOX", "Archive"] {
            let names = messages(his.join(folder));
            assert_eq!(names.len(), 3);
            for name in names {
                fs::read(his.join(folder).join(name)).unwrap();
            }
            assert!(
                fs::metadata(his.join(format!("{folder}.mbox")))
                    .unwrap()
                    .len()
                    > 0
            );
        }
    });
    // Who asks waits as long as something is measured, which is as long as there is the mount.
    assert!(!asking.iter().any(|asking| asking.is_finished()));
    let dead = mount.path.clone();
    mount.kill();
    unmount_lazily(&dead);
    assert!(asking.into_iter().all(|asking| asking.join().unwrap()));
}

#[test]
fn probes_for_what_desktops_leave_behind_reach_no_disk() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let config = config.set("refresh", "1h").set("index.warm", "off");
    let mount = Mount::new(&config);
    let top = mount.join(DAY).join(ALICE);
    let directories = [top.clone(), top.join("INBOX"), top.join("Archive")];
    for directory in &directories {
        let _ = ls(directory);
    }
    let trace = Trace::new(&mount, &scratch, &["-e", "trace=%file,%desc"]);
    let probe = |at: &Path| {
        for name in PROBES {
            let asked = fs::symlink_metadata(at.join(name)).unwrap_err();
            assert_eq!(asked.kind(), std::io::ErrorKind::NotFound, "{name}");
        }
    };
    directories.iter().for_each(|directory| probe(directory));
    // The daemon was asked, and the trace has that.
    let asked = trace.exchanges();
    assert!(asked > PROBES.len(), "{asked} requests");
    // A second time not even the daemon is asked.
    directories.iter().for_each(|directory| probe(directory));
    let again = trace.exchanges() - asked;
    assert!(again < PROBES.len(), "{again} requests more");
    let said = trace.finish();
    let store = scratch.join("snapshots");
    let touched: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(store.to_str().unwrap()))
        .collect();
    assert!(touched.is_empty(), "{touched:#?}");
}
