//! Everything at once: clients that read and compare every byte, while snapshots come and go, the policy is read again, the
//! index is damaged, a store hangs and returns, and the daemon is killed.
//!
//! Here for a moment; `scripts/soak` goes on as long as is wanted. In the end all is as the snapshots say, and no
//! descriptor, memory or mount is left over.
//!
//! The cast: [`world`] is the mail, [`clients`] read it, [`chaos`] is what goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chaos;
mod clients;
#[path = "../harness/mod.rs"]
mod harness;
// Parts of them are used here.
#[allow(dead_code)]
#[path = "../nfs/guest.rs"]
mod nfs;
#[allow(dead_code)]
#[path = "../samba/server.rs"]
mod samba;
mod world;

use chaos::Chaos;
use clients::{Roamer, Tally, compare, copy_over_samba, read_all, read_and_compare, spy};
use harness::hanging::Hanging;
use harness::mount::is_mounted;
use harness::tree::{dates, messages};
use harness::{Config, Numbers, Scratch, Store, Subject, Users, able, eventually};
use samba::Server;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use world::{ALICE, BOB, BOBS, day, take_snapshot};

const PROGRAMS: [&str; 5] = ["bindfs", "smbd", "smbclient", "ip", "python3"];
/// How long a client may take to see what is so.
const SOON: Duration = Duration::from_secs(30);

/// How long, and from which start.
fn asked(moment: u64) -> (u64, u64) {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse().unwrap());
    match number("SOAK_SECONDS") {
        // In a guest all processes have the same numbers each time.
        Some(seconds) => (
            seconds,
            number("SOAK_START").unwrap_or(std::process::id().into()),
        ),
        None => (moment, 7),
    }
}

#[test]
fn everything_at_once() {
    if able(&PROGRAMS) {
        let (seconds, start) = asked(8);
        everything(seconds, start, false);
    }
}

#[test]
fn everything_at_once_over_nfs_too() {
    if !able(&PROGRAMS) {
        return;
    }
    let (seconds, start) = asked(8);
    let variables = [("SOAK_SECONDS", seconds), ("SOAK_START", start)];
    let variables = variables.map(|(name, value)| (name, value.to_string()));
    nfs::in_guest_for(seconds, &variables, || everything(seconds, start, true));
}

/// Tells the readers to stop when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether so much was compared that it shows something.
fn enough(tally: &Tally) -> bool {
    let [files, over_samba] = [&tally.files, &tally.samba].map(|n| n.load(Ordering::Relaxed));
    files > 20 && over_samba > 0
}

/// Everything for so long, with an NFS server and its clients or without; where there is one, we are in a guest.
fn everything(seconds: u64, seed: u64, with_nfs: bool) {
    let mut users = Users::new();
    let (alice, bob) = (users.user("alice", &[]), users.user("bob", &[]));
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for number in 0..4 {
        take_snapshot(&scratch, &store, number);
    }
    let behind = Store::new(scratch.join("behind"));
    for (address, base) in [(ALICE, 0), (BOB, BOBS)] {
        for number in 0..20 {
            behind
                .mailbox("2025-12-31", address)
                .number("cur", base + 90_000 + number);
        }
    }
    // By name, so that snapshots that are linked later need not be given away.
    for (address, owner) in [(ALICE, &alice), (BOB, &bob)] {
        let uid = harness::store::uid_of(address);
        harness::run(Command::new("usermod").args([
            "--non-unique",
            "--uid",
            &uid.to_string(),
            &owner.name,
        ]));
    }
    let [alice, bob] = [(alice, ALICE), (bob, BOB)].map(|(subject, address)| Subject {
        uid: harness::store::uid_of(address),
        ..subject
    });
    let hanging = Hanging::new(&behind.path, scratch.join("hanging"));
    let sources = [&store.path, &hanging.path].map(|path| path.to_str().unwrap().to_owned());
    let mut config = Config::new(&scratch, &store)
        .set("source.snapshots", sources.to_vec())
        .set("source.timeout", "1s");
    if with_nfs {
        // As the samples have it.
        config.mountpoint = "/run/backups".into();
        config = config
            .set("mountpoint", "/run/backups")
            .set("hide_unreadable", false);
    }
    let tally = Tally::default();
    let mount = chaos::start(&config, &tally);
    let root = mount.path.clone();
    let server = Server::start(&scratch, &mount, &[&alice], "");
    let exports = with_nfs.then(|| nfs::Server::start_with("actimeo=1"));
    let clients: &[&str] = if with_nfs { &nfs::CLIENTS } else { &[] };
    let (stop, over) = (AtomicBool::new(false), scratch.join("over"));
    let spy = spy(&alice, &root, &over);
    let each = || {
        clients
            .iter()
            .flat_map(|client| [(client, &alice, ALICE), (client, &bob, BOB)])
    };
    let roamers: Vec<Roamer> = each()
        .map(|(client, subject, address)| Roamer::start(subject, address, Path::new(client), &over))
        .collect();
    let mut chaos = Chaos {
        scratch: &scratch,
        store: &store,
        hanging: &hanging,
        config,
        mount: Some(mount),
        days: (0, 4),
        tally: &tally,
        exports: exports.as_ref(),
    };
    std::thread::scope(|scope| {
        // Also if a fault cannot be made: who reads would go on for ever.
        let _end = Ending(&stop);
        for seed in 0..3 {
            let (root, tally, stop) = (&root, &tally, &stop);
            scope.spawn(move || read_and_compare(root, seed, tally, stop));
        }
        let (server, alice, scratch) = (&server, &alice, &scratch);
        let (root, tally, stop) = (&root, &tally, &stop);
        scope.spawn(move || copy_over_samba(server, alice, scratch, root, tally, stop));
        let mut numbers = Numbers(seed);
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            chaos.strike(&mut numbers);
            std::thread::sleep(Duration::from_millis(numbers.below(400)));
        }
        // On a busy machine faults take the time away from those who read: they have theirs now that nothing is wrong.
        let end = Instant::now() + SOON;
        while !enough(tally) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    fs::write(&over, "").unwrap();
    let spied = String::from_utf8(spy.wait_with_output().unwrap().stdout).unwrap();
    assert!(!spied.contains("LEAK"), "{spied}");
    let spied: u64 = spied.trim().parse().unwrap();
    assert!(spied > 10, "{spied}");

    let mut over_nfs = [0; 4];
    for roamer in roamers {
        for (sum, number) in over_nfs.iter_mut().zip(roamer.finish()) {
            *sum += number;
        }
    }

    // Now that all is well, all is there.
    let Chaos {
        mount,
        config,
        days,
        ..
    } = chaos;
    let mount = mount.unwrap();
    let mut want: BTreeSet<String> = (days.0..days.1).map(day).collect();
    want.insert("2025-12-31".into());
    eventually(SOON, "every date", || {
        dates(&root).into_iter().collect::<BTreeSet<_>>() == want
    });
    let stored = |path: PathBuf| fs::read_dir(path).unwrap().count();
    for date in &want {
        for (address, is_his) in [(ALICE, false), (BOB, true)] {
            let inbox = root.join(date).join(address).join("INBOX");
            eventually(SOON, "every message", || {
                messages(&inbox)
                    .iter()
                    .all(|name| fs::read(inbox.join(name)).is_ok())
            });
            let names = messages(&inbox);
            let source = [&store.path, &behind.path]
                .map(|path| {
                    path.join(date)
                        .join("example.com")
                        .join(&address[..address.len() - 12])
                })
                .into_iter()
                .find(|path| path.exists())
                .unwrap();
            assert_eq!(
                names.len(),
                stored(source.join("Maildir/cur")),
                "{date} {address}"
            );
            for name in &names {
                compare(name, &fs::read(inbox.join(name)).unwrap(), is_his);
            }
        }
    }
    for (client, subject, address) in each() {
        eventually(SOON, "every date over NFS", || {
            let all = read_all(subject, address, Path::new(client));
            all == Ok(want.len())
        });
    }
    // The index, twelve databases and pipes at most, threads' none.
    let mut descriptors = 0;
    eventually(SOON, "no descriptor left over", || {
        descriptors = fs::read_dir(format!("/proc/{}/fd", mount.pid()))
            .unwrap()
            .count();
        descriptors < 40
    });
    let status = fs::read_to_string(format!("/proc/{}/status", mount.pid())).unwrap();
    let resident = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = resident.trim().split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 200 << 10, "{kilobytes} KiB");
    let counts = [&tally.bytes, &tally.files, &tally.errors, &tally.samba];
    let [compared, files, errors, over_samba] = counts.map(|n| n.load(Ordering::Relaxed));
    println!(
        "{files} files ({compared} bytes) and {over_samba} over Samba compared, {errors} errors told; over NFS {} files ({} \
         bytes), {} errors; {} tries to read what is another's; {:?}; {descriptors} descriptors, {kilobytes} KiB resident",
        over_nfs[0],
        over_nfs[1],
        over_nfs[2],
        spied + over_nfs[3],
        tally.faults.lock().unwrap()
    );
    assert!(enough(&tally));
    assert!(!with_nfs || over_nfs[0] > 20, "{over_nfs:?}");
    drop(server);
    if let Some(exports) = exports {
        exports.stop();
    }
    drop(mount);
    assert!(!is_mounted(&config.mountpoint));
}
