//! Everything at once: clients that read and compare every byte, while snapshots come and go, the policy is read again, the
//! index is damaged, a store hangs and returns, and the daemon is killed.
//!
//! Here for a moment; `scripts/soak` goes on as long as is wanted. What a client is told may be an error while something is
//! wrong; it is never a wrong byte, and never mail of somebody else. In the end all is as the snapshots say, and no
//! descriptor, memory or mount is left over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
// A part of it is used here.
#[allow(dead_code)]
mod samba {
    pub mod server;
}

use harness::hanging::Hanging;
use harness::mount::is_mounted;
use harness::tree::{dates, messages};
use harness::{Config, Mount, Numbers, Scratch, Store, Subject, Users, able, eventually, mail};
use rustix::process::Signal;
use samba::server::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
/// Bob's messages have numbers from here on, and alice's are below.
const BOBS: u32 = 100_000;
const PROGRAMS: [&str; 5] = ["bindfs", "smbd", "smbclient", "ip", "python3"];

/// What happened, for the line at the end.
#[derive(Default)]
struct Tally {
    bytes: AtomicU64,
    files: AtomicU64,
    errors: AtomicU64,
    samba: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u32>>,
}

fn expected(number: u32) -> Vec<u8> {
    mail(
        "Bob Rossi <bob@example.com>",
        &format!("Message {number}"),
        &format!("Line of message {number}.\n"),
    )
}

/// The number in a message's name.
fn number_in(name: &str) -> u32 {
    let after = name
        .split("Message ")
        .nth(1)
        .unwrap_or_else(|| panic!("{name}"));
    after.split(' ').next().unwrap().parse().unwrap()
}

/// Days of a year of their own, the first one 0.
fn day(number: u32) -> String {
    let first = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    (first + chrono::Days::new(number.into())).to_string()
}

/// The next day's snapshot, made elsewhere and then there at once: one message more in each mailbox, and one less.
fn take_snapshot(scratch: &Scratch, store: &Store, number: u32) {
    let making = Store::new(scratch.join("making"));
    let name = day(number);
    if number > 0 {
        let from = store.path.join(day(number - 1));
        harness::run(
            Command::new("cp")
                .arg("-al")
                .arg(from)
                .arg(making.path.join(&name)),
        );
    }
    for (address, base) in [(ALICE, 0), (BOB, BOBS)] {
        let mailbox = making.mailbox(&name, address);
        let inbox = fs::read_dir(mailbox.path.join("cur")).unwrap();
        if let Some(oldest) = inbox
            .map(|e| e.unwrap().path())
            .min()
            .filter(|_| number > 3)
        {
            fs::remove_file(oldest).unwrap();
        }
        mailbox.number("cur", base + number);
        mailbox.number("Archive/cur", base + 50_000 + number);
    }
    fs::rename(making.path.join(&name), store.path.join(&name)).unwrap();
}

/// Whether an error is one that somebody may be told while something is wrong.
fn is_expected(e: &std::io::Error) -> bool {
    let expected = [
        libc::ENOENT,
        libc::EIO,
        libc::ESTALE,
        libc::ENOTCONN,
        libc::ECONNABORTED,
    ];
    e.raw_os_error()
        .is_some_and(|errno| expected.contains(&errno))
}

/// Reads at random places, as root, and compares.
fn read_and_compare(root: &Path, seed: u64, tally: &Tally, stop: &AtomicBool) {
    let mut numbers = Numbers(seed);
    while !stop.load(Ordering::Relaxed) {
        if let Err(e) = visit(root, &mut numbers, tally) {
            assert!(is_expected(&e), "{e:?}");
            tally.errors.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn visit(root: &Path, numbers: &mut Numbers, tally: &Tally) -> std::io::Result<()> {
    let listed = |path: &Path| -> std::io::Result<Vec<String>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().into_string().unwrap()))
            .collect()
    };
    let mut dates = listed(root)?;
    dates.retain(|name| name.starts_with("20"));
    let Some(date) = dates.get(numbers.below(dates.len() as u64) as usize) else {
        return Ok(());
    };
    let (address, is_his) = [(ALICE, false), (BOB, true)][numbers.below(2) as usize];
    let folder = root
        .join(date)
        .join(address)
        .join(["INBOX", "Archive"][numbers.below(2) as usize]);
    if numbers.below(4) == 0 {
        let mut file = File::open(folder.with_extension("mbox"))?;
        let size = file.metadata()?.len();
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        assert_eq!(text.len() as u64, size, "{}", folder.display());
        for entry in text.split("\nSubject: Message ").skip(1) {
            let number = entry.split('\n').next().unwrap();
            assert!(
                entry.contains(&format!("\nLine of message {number}.\n")),
                "{entry}"
            );
            assert_eq!(
                number.parse::<u32>().unwrap() >= BOBS,
                is_his,
                "{}",
                folder.display()
            );
        }
        tally.bytes.fetch_add(size, Ordering::Relaxed);
        tally.files.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    for name in listed(&folder)?
        .iter()
        .filter(|name| name.ends_with(".eml"))
    {
        let bytes = fs::read(folder.join(name))?;
        compare(name, &bytes, is_his);
        tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        tally.files.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn compare(name: &str, bytes: &[u8], is_his: bool) {
    let number = number_in(name);
    assert!(bytes == expected(number), "{name}: other bytes");
    assert_eq!(number >= BOBS, is_his, "{name}: of somebody else");
}

/// Copies a date over Samba as alice, again and again, and compares what has come.
fn copy_over_samba(
    server: &Server,
    alice: &Subject,
    scratch: &Scratch,
    root: &Path,
    tally: &Tally,
    stop: &AtomicBool,
) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let found: Vec<String> = fs::read_dir(root)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("20"))
            .collect();
        let Some(date) = found.get(round % found.len().max(1)) else {
            continue;
        };
        let target = scratch.subdirectory(&format!("copy-{round}"));
        let said = server.run_in(
            &target,
            alice,
            "backups",
            &format!("recurse; prompt; mget {date}"),
        );
        let whole = !said.contains("NT_STATUS") && !said.contains("ERR");
        let mut todo = vec![target.clone()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    assert_ne!(name, BOB, "alice has a copy of his");
                    todo.push(path);
                } else if name.ends_with(".eml") {
                    let (bytes, number) = (fs::read(&path).unwrap(), number_in(&name));
                    assert!(number < BOBS, "{name}: of somebody else");
                    let right = expected(number);
                    let is_right = if whole {
                        bytes == right
                    } else {
                        right.starts_with(&bytes)
                    };
                    assert!(is_right, "{name}: other bytes over Samba");
                    tally.samba.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        fs::remove_dir_all(&target).unwrap();
    }
}

/// Tries to read bob's mail as alice; says so if it ever can.
const SPY: &str = r#"
import os, sys
root, tried = sys.argv[1], 0
while not os.path.exists(sys.argv[2]):
    try:
        for date in os.listdir(root):
            for path in ("", "/INBOX", "/INBOX.mbox", "/Archive"):
                try:
                    where = f"{root}/{date}/bob@example.com{path}"
                    os.close(os.open(where, os.O_RDONLY))
                    print("LEAK", where)
                except OSError:
                    tried += 1
    except OSError:
        pass
print(tried)
"#;

/// The daemon, and what is done to it.
struct Chaos<'a> {
    scratch: &'a Scratch,
    store: &'a Store,
    hanging: &'a Hanging,
    config: Config,
    mount: Option<Mount>,
    /// Days from the first to before the last are there.
    days: (u32, u32),
    tally: &'a Tally,
}

impl Chaos<'_> {
    fn strike(&mut self, numbers: &mut Numbers) {
        let what = match numbers.below(8) {
            0 | 1 => {
                take_snapshot(self.scratch, self.store, self.days.1);
                self.days.1 += 1;
                "snapshots taken"
            }
            2 if self.days.1 - self.days.0 > 3 => {
                // As the tools do it: out of sight first.
                let gone = self.scratch.join("gone");
                fs::rename(self.store.path.join(day(self.days.0)), &gone).unwrap();
                fs::remove_dir_all(gone).unwrap();
                self.days.0 += 1;
                "snapshots removed"
            }
            3 | 4 => {
                let admins: &[&str] =
                    [&["4242"][..], &["4242", "@4243"]][numbers.below(2) as usize];
                self.config = self.config.clone().set("access.admins", admins.to_vec());
                self.config.write();
                self.mount.as_ref().unwrap().signal(Signal::HUP);
                "policies reloaded"
            }
            5 => {
                for name in ["facts.sqlite", "serials.sqlite", "facts.sqlite-wal"] {
                    use std::os::unix::fs::FileExt;
                    let Ok(file) = File::options()
                        .write(true)
                        .open(self.config.index.join(name))
                    else {
                        continue;
                    };
                    let length = file.metadata().unwrap().len();
                    let noise: Vec<u8> = (0..512).map(|_| numbers.below(256) as u8).collect();
                    if length > 1024 {
                        file.write_at(&noise, numbers.below(length - 512)).unwrap();
                    }
                }
                "indexes damaged"
            }
            6 => {
                self.hanging.signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(1500));
                self.hanging.signal(Signal::CONT);
                "stores hung"
            }
            _ => {
                self.mount.take().unwrap().kill();
                self.mount = Some(Mount::new(&self.config).expecting_warnings());
                "daemons killed"
            }
        };
        *self.tally.faults.lock().unwrap().entry(what).or_default() += 1;
    }
}

fn spy(alice: &Subject, root: &Path, stop: &Path) -> Child {
    Command::new("setpriv")
        .args([
            format!("--reuid={}", alice.uid),
            format!("--regid={}", alice.gid),
        ])
        .args(["--clear-groups", harness::mount::python_path(), "-c", SPY])
        .args([root, stop])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn everything_at_once() {
    if !able(&PROGRAMS) {
        return;
    }
    let asked = std::env::var("SOAK_SECONDS")
        .ok()
        .map(|text| text.parse().unwrap());
    let (seconds, seed) = match asked {
        Some(seconds) => (seconds, u64::from(std::process::id())),
        None => (8, 7),
    };
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
        harness::run(Command::new("usermod").args(["--uid", &uid.to_string(), &owner.name]));
    }
    let alice = Subject {
        uid: harness::store::uid_of(ALICE),
        ..alice
    };
    let hanging = Hanging::new(&behind.path, scratch.join("hanging"));
    let sources = [&store.path, &hanging.path].map(|path| path.to_str().unwrap().to_owned());
    let config = Config::new(&scratch, &store)
        .set("source.snapshots", sources.to_vec())
        .set("source.timeout", "1s");
    let mount = Mount::new(&config).expecting_warnings();
    let root = mount.path.clone();
    let server = Server::start(&scratch, &mount, &[&alice], "");
    let (tally, stop, over) = (
        Tally::default(),
        AtomicBool::new(false),
        scratch.join("over"),
    );
    let spy = spy(&alice, &root, &over);
    let mut chaos = Chaos {
        scratch: &scratch,
        store: &store,
        hanging: &hanging,
        config,
        mount: Some(mount),
        days: (0, 4),
        tally: &tally,
    };
    std::thread::scope(|scope| {
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
        stop.store(true, Ordering::Relaxed);
    });
    fs::write(&over, "").unwrap();
    let spied = String::from_utf8(spy.wait_with_output().unwrap().stdout).unwrap();
    assert!(!spied.contains("LEAK"), "{spied}");
    assert!(spied.trim().parse::<u64>().unwrap() > 10, "{spied}");

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
    eventually(Duration::from_secs(20), "every date", || {
        dates(&root).into_iter().collect::<BTreeSet<_>>() == want
    });
    let stored = |path: PathBuf| fs::read_dir(path).unwrap().count();
    for date in &want {
        for (address, is_his) in [(ALICE, false), (BOB, true)] {
            let inbox = root.join(date).join(address).join("INBOX");
            eventually(Duration::from_secs(20), "every message", || {
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
    // The index, twelve databases and pipes at most, threads' none.
    eventually(Duration::from_secs(20), "no descriptor left over", || {
        fs::read_dir(format!("/proc/{}/fd", mount.pid()))
            .unwrap()
            .count()
            < 40
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
        "{files} files ({compared} bytes) and {over_samba} over Samba compared, {errors} errors told, {} tries to \
         read what is another's; {:?}; {kilobytes} KiB resident",
        spied.trim(),
        tally.faults.lock().unwrap()
    );
    assert!(files > 20 && over_samba > 0);
    drop(server);
    drop(mount);
    assert!(!is_mounted(&config.mountpoint));
}
