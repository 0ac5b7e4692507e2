//! What the running daemon can still do, and what it can't.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{OtherMount, is_mounted, unmount_lazily};
use harness::tree::{manifest, messages, same};
use harness::{Config, Mount, Scratch, Store, able, eventually, within};
use mailtm::mount::sandbox::{self, Needs};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const SOON: Duration = Duration::from_secs(20);

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for number in 0..5 {
        store.mailbox(DAY, ALICE).number("cur", number);
    }
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

/// Whether this kernel has what the test is about.
fn confines() -> bool {
    let level = sandbox::available();
    if !(level.files && level.calls) {
        harness::skipped("needs a kernel with Landlock and seccomp");
    }
    level.files && level.calls
}

fn denied<T: std::fmt::Debug>(what: &str, result: std::io::Result<T>) {
    match result {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
        other => panic!("{what}: {other:?}"),
    }
}

/// The fences hold for a thread, so the thread of a test enters them and tries, with all the rights of root.
#[test]
fn who_is_inside_opens_nothing_outside_and_runs_nothing() {
    if !able(&[]) || !confines() {
        return;
    }
    let scratch = Scratch::new();
    let dir = |name: &str| scratch.subdirectory(name);
    let (snapshots, index, outside) = (dir("snapshots"), dir("index"), dir("outside"));
    let message = snapshots.join("message");
    let secret = outside.join("secret");
    let config = scratch.join("mailtm.toml");
    for file in [&message, &secret, &config] {
        fs::write(file, "x").unwrap();
    }
    let mine = dir("mine");
    within(SOON, "the thread inside", move || {
        let needs = Needs {
            stores: vec![snapshots.clone()],
            written: vec![index.clone()],
            files: vec![config.clone()],
            restores: false,
        };
        // An opened file stays open, whatever is allowed.
        let opened = File::open(&secret).unwrap();
        let level = sandbox::enter(&needs).unwrap();
        assert!(level.files && level.calls);
        assert_eq!(opened.metadata().unwrap().len(), 1);

        // What it is there for.
        assert_eq!(fs::read(&message).unwrap(), b"x");
        assert_eq!(fs::read_dir(&snapshots).unwrap().count(), 1);
        fs::read(&config).unwrap();
        let mut facts = File::create_new(index.join("facts")).unwrap();
        facts.write_all(b"1").unwrap();
        facts.set_len(0).unwrap();
        fs::rename(index.join("facts"), index.join("facts.damaged")).unwrap();
        fs::remove_file(index.join("facts.damaged")).unwrap();
        assert_eq!(uzers::get_user_by_name("root").unwrap().uid(), 0);
        assert!(uzers::get_user_by_name("nobody of that name").is_none());
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
        UnixDatagram::pair().unwrap();

        // Files.
        denied("a file", fs::read(&secret));
        denied("a directory", fs::read_dir(&outside));
        denied("a link to a file", {
            rustix::fs::symlink(&secret, index.join("link")).map_err(std::io::Error::from)
        });
        denied("a device", OpenOptions::new().read(true).open("/dev/kmsg"));
        denied("home", fs::read_dir("/root"));
        let mut reading = OpenOptions::new();
        reading.read(true);
        denied("writing mail", fs::write(&message, "y"));
        denied("changing mail", reading.clone().write(true).open(&message));
        let emptying = reading.custom_flags(libc::O_TRUNC);
        denied("emptying mail", emptying.open(&message));
        for flags in [OFlags::RDONLY, OFlags::RDONLY | OFlags::TRUNC] {
            // What it asks for no filter can see.
            let unseen = openat2(CWD, &message, flags, Mode::empty(), ResolveFlags::empty());
            assert_eq!(unseen.err(), Some(Errno::NOSYS));
        }
        denied("new mail", File::create(snapshots.join("new")));
        denied("removing mail", fs::remove_file(&message));
        denied("writing the configuration", fs::write(&config, "y"));
        denied("writing elsewhere", File::create(outside.join("new")));
        denied("a hard link", fs::hard_link(&message, index.join("hard")));
        denied(
            "giving away",
            std::os::unix::fs::chown(&message, Some(1), None),
        );

        // Calls.
        denied("running a program", Command::new("/bin/true").status());
        let nothing = rustix::mount::MountFlags::empty();
        let mounting = rustix::mount::mount("none", &mine, "tmpfs", nothing, None);
        denied("mounting", mounting.map_err(Into::into));
        let unmount = rustix::mount::unmount("/proc", rustix::mount::UnmountFlags::empty());
        denied("unmounting", unmount.map_err(Into::into));
        let kill = rustix::process::kill_process(rustix::process::getpid(), Signal::CONT);
        denied("a signal", kill.map_err(Into::into));
        denied("another root", std::os::unix::fs::chroot(&mine));
        for thread in [false, true] {
            // Nor does a thread of its own.
            let secret = secret.clone();
            let read = move || fs::read(secret);
            denied(
                "a file, later",
                if thread {
                    std::thread::spawn(read).join().unwrap()
                } else {
                    read()
                },
            );
        }
    });
    assert_eq!(fs::read(scratch.join("snapshots/message")).unwrap(), b"x");
}

/// The lines of `/proc/PID/task/TID/status` that tell of rights, of every thread.
fn rights(pid: u32) -> Vec<BTreeMap<String, String>> {
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).unwrap();
        let pairs = text.lines().filter_map(|l| l.split_once(":\t"));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| status(task.unwrap())).collect()
}

/// The process that mounts for a daemon.
fn mounter(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().expect("one child")
}

const READ_SEARCH: &str = "0000000000000004";

#[test]
fn every_thread_of_the_daemon_has_one_right_and_the_mounter_two() {
    if !able(&[]) || !confines() {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    manifest(&mount.path);
    mount.wait_for_line(&["sandbox", "rights, files and system calls"]);
    let threads = rights(mount.pid());
    assert!(threads.len() > 6, "{}", threads.len());
    for thread in threads {
        let name = &thread["Name"];
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(thread[set], READ_SEARCH, "{name} {set}");
        }
        assert_eq!(thread["CapInh"], thread["CapAmb"], "{name}");
        assert_eq!(thread["NoNewPrivs"], "1", "{name}");
        assert_eq!(thread["Seccomp"], "2", "{name}");
    }
    let mounter = rights(mounter(mount.pid()));
    assert_eq!(mounter.len(), 1);
    assert_eq!(mounter[0]["CapEff"], "0000000000200004");
    assert_eq!(mounter[0]["NoNewPrivs"], "1");
}

#[test]
fn it_can_be_switched_off() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config.set("sandbox", "off"));
    mount.wait_for_line(&["sandbox: off"]);
    for thread in rights(mount.pid()) {
        assert_eq!(thread["Seccomp"], "0");
        assert_ne!(thread["CapEff"], READ_SEARCH);
    }
    assert_eq!(messages(mount.join(DAY).join(ALICE).join("INBOX")).len(), 5);
}

/// The configuration is a file that the daemon opens again when it is told to: here it shows what it may open.
#[test]
fn the_daemon_itself_opens_nothing_outside() {
    if !able(&[]) || !confines() {
        return;
    }
    let (scratch, store, config) = setup();
    let mount = Mount::new(&config).expecting_warnings();
    let refused = || mount.stderr().matches("Permission denied").count();
    let try_opening = |target: &Path| {
        let before = refused();
        let _ = fs::remove_file(&config.path);
        std::os::unix::fs::symlink(target, &config.path).unwrap();
        mount.signal(Signal::HUP);
        before
    };
    let outside = scratch.subdirectory("outside").join("mailtm.toml");
    for target in [
        &outside,
        Path::new("/root/mailtm-test.toml"),
        Path::new("/dev/zero"),
    ] {
        if !target.exists() {
            fs::write(target, "").unwrap();
        }
        let before = try_opening(target);
        eventually(SOON, "refused", || refused() > before);
    }
    fs::remove_file("/root/mailtm-test.toml").unwrap();
    // What lies among the snapshots it can open, and says that it is no configuration.
    let inside = store.path.join("mailtm.toml");
    fs::write(&inside, "nonsense").unwrap();
    let before = try_opening(&inside);
    mount.wait_for_line(&["ERROR", "not TOML"]);
    assert_eq!(refused(), before);
}

#[test]
fn snapshots_that_come_later_and_stores_that_are_mounted_anew_are_reached() {
    if !able(&[]) {
        return;
    }
    let (scratch, plain, _) = setup();
    // A file system of its own, two levels down.
    let above = scratch.subdirectory("srv");
    let volume = |path: &Path| OtherMount::new(&["-t", "tmpfs", "none"], path.to_owned());
    let fill = |path: &Path, days: &[&str]| {
        for day in days {
            let from = plain.path.join(DAY);
            harness::run(Command::new("cp").arg("-a").arg(from).arg(path.join(day)));
        }
    };
    let first = volume(&above.join("vmail"));
    fill(&first.0, &["2026-11-18", "2026-11-19"]);
    let store = Store {
        path: first.0.clone(),
    };
    let config = Config::new(&scratch, &store);
    let mount = Mount::new(&config).expecting_warnings();
    let readable = |day: &str| {
        let inbox: PathBuf = mount.join(day).join(ALICE).join("INBOX");
        fs::read(inbox.with_extension("mbox")).is_ok_and(|bytes| !bytes.is_empty())
    };
    assert!(readable("2026-11-18"));
    // A snapshot that is a file system of its own, as those of ZFS and NetApp are.
    let later = volume(&store.path.join("2026-11-20"));
    harness::run(
        Command::new("cp")
            .args(["-aT", plain.path.join(DAY).to_str().unwrap()])
            .arg(&later.0),
    );
    eventually(SOON, "a snapshot mounted later", || readable("2026-11-20"));
    drop(later);
    // The whole store goes, and comes back on another file system.
    drop(first);
    let again = volume(&above.join("vmail"));
    fill(&again.0, &["2026-11-19", "2026-11-21"]);
    eventually(SOON, "the store mounted anew", || {
        readable("2026-11-21") && readable("2026-11-19")
    });
    drop(mount);
    drop(again);
}

#[test]
fn a_mounter_that_is_killed_takes_nothing_with_it_but_the_unmounting() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config).expecting_warnings();
    let truth = manifest(&mount.path);
    let mounter = i32::try_from(mounter(mount.pid())).unwrap();
    let mounter = rustix::process::Pid::from_raw(mounter).unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        rustix::process::kill_process(mounter, signal).unwrap();
    }
    assert!(rustix::process::test_kill_process(mounter).is_ok());
    rustix::process::kill_process(mounter, Signal::KILL).unwrap();
    same("without a mounter", &truth, &manifest(&mount.path));
    // It ends, says what it could not do, and the next one clears that away.
    assert!(!mount.abandon().success());
    assert!(is_mounted(&config.mountpoint));
    let next = Mount::new(&config).expecting_warnings();
    same("the next one", &truth, &manifest(&next.path));
    drop(next);
    unmount_lazily(&config.mountpoint);
}

/// Who looks for a refused call finds it with the command that the documents give. The test is its own daemon here: it starts
/// itself once more, inside the fences.
#[test]
fn the_command_for_refused_calls_shows_them() {
    const INSIDE: &str = "MAILTM_TEST_INSIDE";
    if let Ok(index) = std::env::var(INSIDE) {
        let needs = Needs {
            stores: Vec::new(),
            written: vec![index.into()],
            files: Vec::new(),
            restores: false,
        };
        assert!(sandbox::enter(&needs).unwrap().calls);
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        denied("running a program", Command::new("/bin/true").status());
        return;
    }
    if !able(&["strace"]) || !confines() {
        return;
    }
    let page = include_str!("../packaging/doc/troubleshooting.md");
    let command = page.split('`').find(|text| text.starts_with("strace "));
    let command = command.expect("a command with strace").replace("\\|", "|");
    let of_systemd = "\"$(systemctl show --value -p MainPID mailtm)\"";
    assert!(command.contains(of_systemd), "{command}");
    let scratch = Scratch::new();
    let mut inside = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_command_for_refused_calls_shows_them"])
        .env(INSIDE, scratch.subdirectory("index"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let seen = scratch.join("seen");
    let mut watching = Command::new("sh")
        .args(["-c", &command.replace(of_systemd, &inside.id().to_string())])
        .stdout(File::create(&seen).unwrap())
        .spawn()
        .unwrap();
    let tracer = format!("/proc/{}/status", inside.id());
    eventually(SOON, "strace is attached", || {
        let status = fs::read_to_string(&tracer).unwrap();
        !status.contains("TracerPid:\t0\n")
    });
    inside.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(inside.wait().unwrap().success());
    watching.wait().unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    let refused =
        |line: &str| line.contains("EPERM") && (line.contains("clone") || line.contains("vfork"));
    assert!(seen.lines().any(refused), "{seen}");
}
