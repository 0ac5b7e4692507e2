//! The catalogue on trees that real snapshot programs made: btrfs with snapper's layout, btrbk, rsnapshot, restic, borg,
//! and a NetApp-like `.snapshot`.
//!
//! Most need root and a program each. What is missing skips the test with a line on standard error, or fails it if the
//! environment says `CI=true`. Everything is made in a temporary directory and undone when the test ends, however.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use mailtm::snapshot::{Catalogue, DatedBy, Dates, Options, source};
use mailtm::time::Zone;
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use world::{World, able, btrfs, run};

const DAYS: [&str; 3] = ["2026-11-14", "2026-11-15", "2026-11-16"];
const MESSAGE: &str = "example.com/alice/Maildir/cur/1:2,S";

/// A mail store as it was on a day.
fn store(dir: &Path, day: &str) {
    let message = dir.join(MESSAGE);
    fs::create_dir_all(message.parent().unwrap()).unwrap();
    fs::write(message, format!("Subject: {day}\n")).unwrap();
}

fn options(dirs: Vec<PathBuf>) -> Options {
    Options {
        dirs,
        zone: Zone::parse("Europe/Rome").unwrap(),
        ..Options::default()
    }
}

fn labels(dates: &Dates) -> Vec<&str> {
    dates.shown.keys().map(String::as_str).collect()
}

/// Each day is shown, with what the store held that day.
fn assert_days(dates: &Dates, inside: &str, message: &str) {
    assert_eq!(labels(dates), DAYS);
    for day in DAYS {
        let root = dates.shown[day].root.join(inside);
        assert_eq!(
            fs::read_to_string(root.join(message)).unwrap(),
            format!("Subject: {day}\n")
        );
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .try_into()
        .unwrap()
}

#[test]
fn btrfs_with_snapper() {
    if !able(
        "btrfs_with_snapper",
        &["mkfs.btrfs", "btrfs", "mount", "/dev/loop-control"],
    ) {
        return;
    }
    let mut world = World::new();
    let live = world.btrfs().join("mail");
    let snapshots = live.join(".snapshots");
    btrfs(&["create"], &[&snapshots]);
    let take = |number: usize, day: &str| {
        let dir = snapshots.join(number.to_string());
        fs::create_dir_all(&dir).unwrap();
        store(&live, day);
        btrfs(&["snapshot", "-r"], &[&live, &dir.join("snapshot")]);
        let info = format!(
            "<?xml version=\"1.0\"?>\n<snapshot>\n  <date>{day} 03:00:01</date>\n</snapshot>\n"
        );
        fs::write(dir.join("info.xml"), info).unwrap();
    };
    for (number, day) in (1..).zip(DAYS) {
        take(number, day);
    }

    let found = source::resolve(&live, &source::Said::default()).unwrap();
    assert_eq!(found.snapshots, std::slice::from_ref(&snapshots));
    let catalogue = Catalogue::open(options(found.snapshots)).unwrap();
    let before = catalogue.dates();
    assert_days(&before, "", MESSAGE);
    assert!(before.all.iter().all(|s| s.dated_by == DatedBy::InfoXml));
    assert_eq!(catalogue.directories()[0].kind, "snapper");
    assert_eq!(catalogue.refresh().unwrap(), None);

    // Made again under its number: same name, time, inode number and modification time, other content.
    btrfs(&["delete"], &[&snapshots.join("2/snapshot")]);
    take(2, DAYS[1]);
    let changes = catalogue.refresh().unwrap().unwrap();
    assert_eq!(changes.replaced, [DAYS[1]]);
    assert_eq!(
        before.shown[DAYS[1]].seed,
        catalogue.dates().shown[DAYS[1]].seed
    );

    btrfs(&["delete"], &[&snapshots.join("2/snapshot")]);
    assert_eq!(catalogue.refresh().unwrap().unwrap().vanished, [DAYS[1]]);

    // From a directory inside the file system.
    let found = source::resolve(&live.join("example.com"), &source::Said::default()).unwrap();
    assert_eq!(
        (&found.snapshots, found.below.to_str()),
        (&vec![snapshots], Some("example.com"))
    );
    let below = Catalogue::open(Options {
        below: found.below,
        ..options(found.snapshots)
    })
    .unwrap();
    assert!(
        below.dates().shown[DAYS[0]]
            .root
            .ends_with("1/snapshot/example.com")
    );
}

#[test]
fn a_restart_and_a_remount_keep_keys() {
    if !able(
        "a_restart_and_a_remount_keep_keys",
        &["mkfs.btrfs", "btrfs", "mount", "/dev/loop-control"],
    ) {
        return;
    }
    let mut world = World::new();
    let volume = world.btrfs();
    for day in DAYS {
        store(&volume.join("mail"), day);
        btrfs(
            &["snapshot", "-r"],
            &[
                &volume.join("mail"),
                &volume.join(format!("mail.{}", day.replace('-', ""))),
            ],
        );
    }
    let keys = |dir: &Path| -> Vec<Vec<u8>> {
        let dates = Catalogue::open(options(vec![dir.to_path_buf()]))
            .unwrap()
            .dates();
        dates
            .all
            .iter()
            .filter(|s| s.name != "mail")
            .map(|s| s.key.clone())
            .collect()
    };
    let before = keys(&volume);
    assert_eq!(before.len(), 3);
    run(Command::new("umount").arg(&volume));
    let (elsewhere, image) = (world.make("elsewhere"), world.path("image"));
    world.mount(&["-o", "loop", image.to_str().unwrap()], &elsewhere);
    assert_eq!(keys(&elsewhere), before);
}

#[test]
fn btrbk() {
    if !able(
        "btrbk",
        &["mkfs.btrfs", "btrfs", "mount", "/dev/loop-control", "btrbk"],
    ) {
        return;
    }
    let mut world = World::new();
    let volume = world.btrfs();
    fs::create_dir(volume.join("_btrbk")).unwrap();
    for day in DAYS {
        store(&volume.join("mail"), day);
        let name = format!("_btrbk/mail.{}T0300", day.replace('-', ""));
        btrfs(
            &["snapshot", "-r"],
            &[&volume.join("mail"), &volume.join(name)],
        );
    }
    let found = source::resolve(&volume, &source::Said::default()).unwrap();
    assert_eq!(found.snapshots, [volume.join("_btrbk")]);
    let catalogue = Catalogue::open(options(found.snapshots.clone())).unwrap();
    assert_days(&catalogue.dates(), "", MESSAGE);
    assert_eq!(catalogue.directories()[0].kind, "btrbk");

    // One that btrbk takes itself, now.
    let configuration = world.path("btrbk.conf");
    let text = format!(
        "timestamp_format long-iso\nsnapshot_preserve_min all\nsnapshot_dir _btrbk\nlockfile {}\nvolume {}\n subvolume mail\n",
        world.path("lock").display(),
        volume.display()
    );
    fs::write(&configuration, text).unwrap();
    let before = catalogue.dates();
    run(Command::new("btrbk")
        .arg("-q")
        .arg("-c")
        .arg(&configuration)
        .arg("snapshot"));
    let _ = catalogue.refresh().unwrap().unwrap();
    let dates = catalogue.dates();
    let new = dates.all.iter().find(|s| !before.all.contains(s)).unwrap();
    assert!((now() - new.time).abs() < 300, "{new:?}");
}

#[test]
fn rsnapshot() {
    if !able("rsnapshot", &["rsnapshot", "rsync"]) {
        return;
    }
    let world = World::new();
    let (live, root) = (world.make("live"), world.make("snap"));
    let configuration = world.path("rsnapshot.conf");
    let text = format!(
        "config_version\t1.2\nsnapshot_root\t{}/\ncmd_cp\t/bin/cp\ncmd_rm\t/bin/rm\ncmd_rsync\t/usr/bin/rsync\n\
         rsync_long_args\t--delete --numeric-ids --relative --delete-excluded --checksum\nretain\tdaily\t3\nlink_dest\t1\nlockfile\t{}\nbackup\t{}/\tmailsrv/\n",
        root.display(),
        world.path("pid").display(),
        live.display()
    );
    fs::write(&configuration, text).unwrap();
    let take = |day: &str| {
        store(&live, day);
        run(Command::new("rsnapshot")
            .arg("-q")
            .arg("-c")
            .arg(&configuration)
            .arg("daily"));
        run(Command::new("touch")
            .env("TZ", "Europe/Rome")
            .args(["-d", &format!("{day} 03:00:00")])
            .arg(root.join("daily.0")));
    };
    DAYS.into_iter().for_each(take);

    let found = source::resolve(&root, &source::Said::default()).unwrap();
    assert_eq!(found.snapshots, std::slice::from_ref(&root));
    let catalogue = Catalogue::open(options(found.snapshots)).unwrap();
    let before = catalogue.dates();
    let inside = format!("mailsrv{}", live.display());
    assert_days(&before, &inside, MESSAGE);
    assert_eq!(catalogue.directories()[0].kind, "rsnapshot");

    take("2026-11-17");
    let changes = catalogue.refresh().unwrap().unwrap();
    assert_eq!(changes.appeared, ["2026-11-17"]);
    assert_eq!(changes.vanished, ["2026-11-14"]);
    assert_eq!(changes.moved, ["2026-11-15", "2026-11-16"]);
    assert_eq!((changes.replaced.len(), changes.gone.len()), (0, 1));
    let after = catalogue.dates();
    assert_eq!(
        before.shown["2026-11-15"].key,
        after.shown["2026-11-15"].key
    );
    assert_eq!(after.shown["2026-11-15"].name, "daily.2");
}

#[test]
fn restic_and_a_mount_that_hangs() {
    if !able(
        "restic_and_a_mount_that_hangs",
        &["restic", "fusermount3", "/dev/fuse"],
    ) {
        return;
    }
    let mut world = World::new();
    let (live, mount, other) = (world.make("live"), world.make("mount"), world.make("other"));
    let restic = || {
        let mut command = Command::new("restic");
        command
            .env("RESTIC_PASSWORD", "test")
            .env("RESTIC_REPOSITORY", world.path("repository"));
        command
            .env("RESTIC_CACHE_DIR", world.path("cache"))
            .env("TZ", "Europe/Rome")
            .current_dir(&live);
        command
    };
    run(restic().args(["init", "-q"]));
    for day in DAYS {
        store(&live, day);
        run(restic().args([
            "backup",
            "-q",
            "--host",
            "mailsrv",
            "--time",
            &format!("{day} 03:00:00"),
            ".",
        ]));
    }
    let mut serve = restic();
    world.serve(serve.arg("mount").arg(&mount), &mount);

    let found = source::resolve(&mount, &source::Said::default()).unwrap();
    assert_eq!(found.snapshots, [mount.join("snapshots")]);
    let dirs = vec![mount.join("snapshots"), other.clone()];
    let (timeout, refresh) = (Duration::from_secs(1), Duration::from_millis(100));
    let catalogue = Catalogue::open(Options {
        timeout,
        refresh,
        ..options(dirs)
    })
    .unwrap();
    assert_days(&catalogue.dates(), "", MESSAGE);
    let listed = &catalogue.directories()[0];
    assert_eq!(
        (listed.kind, &listed.others),
        ("restic", &vec![("latest".into(), "is a symbolic link")])
    );

    world.signal(Signal::STOP);
    // What the kernel remembers of the mount.
    std::thread::sleep(Duration::from_millis(1500));
    let (sender, receiver) = mpsc::channel();
    let watch = catalogue
        .watch(move |changes| sender.send(changes).unwrap())
        .unwrap();
    fs::create_dir(other.join("2026-11-17")).unwrap();
    let changes = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(
        (changes.appeared, changes.vanished.len()),
        (vec!["2026-11-17".into()], 0)
    );
    let start = Instant::now();
    assert_eq!(catalogue.refresh().unwrap(), None);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(catalogue.directories()[0].trouble.is_some());
    drop(watch);
    world.signal(Signal::CONT);
    let start = Instant::now();
    while catalogue.directories()[0].trouble.is_some() {
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(catalogue.refresh().unwrap(), None);
    }
    assert_eq!(catalogue.dates().shown.len(), 4);
}

#[test]
fn borg() {
    if !able("borg", &["borg", "fusermount3", "/dev/fuse"]) {
        return;
    }
    let mut world = World::new();
    let (live, mount) = (world.make("live"), world.make("mount"));
    let repository = world.path("repository");
    let borg = || {
        let mut command = Command::new("borg");
        command
            .env("BORG_BASE_DIR", world.path("base"))
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command.current_dir(&live);
        command
    };
    run(borg().args(["init", "-e", "none"]).arg(&repository));
    for day in DAYS {
        store(&live, day);
        let archive = format!("{}::mail-{day}", repository.display());
        run(borg().args([
            "create",
            "--timestamp",
            &format!("{day}T03:00:00"),
            &archive,
            ".",
        ]));
    }
    let mut serve = borg();
    serve
        .args(["mount", "-f", "-o", "ignore_permissions"])
        .arg(&repository)
        .arg(&mount);
    world.serve(&mut serve, &mount);

    let found = source::resolve(&mount, &source::Said::default()).unwrap();
    assert_eq!(found.snapshots, std::slice::from_ref(&mount));
    let catalogue = Catalogue::open(options(found.snapshots)).unwrap();
    assert_days(&catalogue.dates(), "", MESSAGE);
    assert_eq!(catalogue.directories()[0].kind, "borg");

    // Not mounted any more: an empty directory, but nothing was removed.
    run(Command::new("umount").arg(&mount));
    assert_eq!(catalogue.refresh().unwrap(), None);
    let trouble = catalogue.directories()[0].trouble.clone().unwrap();
    assert!(trouble.to_string().contains("is it mounted?"), "{trouble}");
}

#[test]
fn a_netapp_like_directory() {
    if !able("a_netapp_like_directory", &["mount"]) {
        return;
    }
    let mut world = World::new();
    let volume = world.make("vol");
    store(&volume, "2026-11-17");
    for day in DAYS {
        let (kept, shown) = (
            world.make(day),
            world.make(&format!("vol/.snapshot/daily.{day}_0010")),
        );
        store(&kept, day);
        world.mount(&["--bind", kept.to_str().unwrap()], &shown);
        run(Command::new("mount")
            .args(["-o", "remount,bind,ro"])
            .arg(&shown));
    }
    let found = source::resolve(&volume, &source::Said::default()).unwrap();
    assert_eq!(found.snapshots, [volume.join(".snapshot")]);
    let catalogue = Catalogue::open(options(found.snapshots)).unwrap();
    assert_days(&catalogue.dates(), "", MESSAGE);
    assert_eq!(catalogue.directories()[0].kind, "NetApp");
    let oldest = volume.join(".snapshot/daily.2026-11-14_0010");
    run(Command::new("umount").arg(&oldest));
    fs::remove_dir(&oldest).unwrap();
    assert_eq!(catalogue.refresh().unwrap().unwrap().vanished, [DAYS[0]]);
}

/// Everything that was logged in this process, with the level.
fn log() -> Arc<Mutex<Vec<u8>>> {
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::fmt()
            .with_writer(Arc::new(Log(Arc::clone(&log))))
            .with_ansi(false);
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        log
    });
    Arc::clone(log)
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_read_is_warned_of_once_until_it_recovers() {
    let log = log();
    let world = World::new();
    let dir = world.make("snapshots");
    world.make("snapshots/2026-11-20");
    let catalogue = Catalogue::open(options(vec![dir.clone()])).unwrap();
    let warnings = || {
        let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        let ours = text.lines().filter(|l| l.contains(dir.to_str().unwrap()));
        ours.filter(|l| l.contains("WARN")).count()
    };
    for round in 1..=2 {
        fs::rename(&dir, world.path("away")).unwrap();
        for _ in 0..3 {
            assert_eq!(catalogue.refresh().unwrap(), None);
        }
        assert_eq!(warnings(), round);
        fs::rename(world.path("away"), &dir).unwrap();
        assert_eq!(catalogue.refresh().unwrap(), None);
    }
    let empty = world.make("empty");
    let _ = Catalogue::open(options(vec![empty.clone()])).unwrap();
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    assert!(
        text.lines()
            .any(|l| l.contains("WARN") && l.contains(empty.to_str().unwrap()))
    );
}
