//! A daemon that is killed, that ends, or that cannot begin.

use crate::harness::mount::{is_mounted, unmount_lazily};
use crate::harness::tree::{dates, manifest, same};
use crate::harness::{Config, Mount, able, drop_caches, eventually, ls};
use crate::{errno, setup};
use std::fs::{self, File};
use std::time::Duration;

#[test]
fn a_new_daemon_mounts_over_a_dead_one() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let before = manifest(&mount.path);
    let held = File::open(mount.join("2026-11-20")).unwrap();
    mount.kill();
    assert_eq!(
        errno(fs::metadata(
            config.mountpoint.join("nobody asked for this yet")
        )),
        Some(libc::ENOTCONN)
    );
    assert!(is_mounted(&config.mountpoint));
    {
        let mount = Mount::new(&config).expecting_warnings();
        same("after the restart", &before, &manifest(&mount.path));
    }
    drop(held);
    unmount_lazily(&config.mountpoint);
}

fn refused(config: &Config, words: &[&str]) {
    let failure = match Mount::start(config) {
        Ok(_) => panic!("mounted on {}", config.mountpoint.display()),
        Err(failure) => failure,
    };
    assert!(matches!(failure.code(), 1 | 2), "{failure:?}");
    for word in words {
        assert!(
            failure.stderr.contains(word),
            "no {word:?} in:\n{}",
            failure.stderr
        );
    }
    assert!(!failure.stderr.contains("panicked"), "{}", failure.stderr);
}

#[test]
fn mount_points_that_are_no_good() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let absent = scratch.join("absent");
    let mut bad = config.clone().set("mountpoint", absent.to_str().unwrap());
    bad.mountpoint = absent.clone();
    refused(&bad, &[absent.to_str().unwrap()]);
    assert!(!absent.exists());

    let file = scratch.join("file");
    fs::write(&file, "x").unwrap();
    let mut bad = config.clone().set("mountpoint", file.to_str().unwrap());
    bad.mountpoint = file.clone();
    refused(&bad, &[file.to_str().unwrap()]);

    let full = scratch.subdirectory("full");
    fs::write(full.join("precious"), "x").unwrap();
    let mut bad = config.clone().set("mountpoint", full.to_str().unwrap());
    bad.mountpoint = full.clone();
    refused(&bad, &[full.to_str().unwrap()]);
    assert_eq!(ls(&full), ["precious"]);

    let mount = Mount::new(&config);
    let second = Config::new(&scratch, &store);
    let mut second = second.set("mountpoint", config.mountpoint.to_str().unwrap());
    second.mountpoint = config.mountpoint.clone();
    refused(&second, &[config.mountpoint.to_str().unwrap()]);
    assert_eq!(
        dates(&mount.path).len(),
        2,
        "the first one is not disturbed"
    );
}

#[test]
fn sources_that_are_no_good() {
    if !able(&[]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let missing = scratch.join("no-such-directory");
    let bad = config.set(
        "source.snapshots",
        vec![missing.to_str().unwrap().to_owned()],
    );
    refused(&bad, &[missing.to_str().unwrap()]);
    assert!(!is_mounted(&bad.mountpoint));
}

#[test]
fn the_daemon_ends_in_order() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    manifest(&mount.path);
    let descriptors = || {
        fs::read_dir(format!("/proc/{}/fd", mount.pid()))
            .unwrap()
            .count()
    };
    let before = descriptors();
    for _ in 0..3 {
        manifest(&mount.path);
        drop_caches();
    }
    eventually(
        Duration::from_secs(40),
        "no descriptor is left over",
        || descriptors() <= before,
    );
    assert!(mount.stop().success());
    assert!(!is_mounted(&config.mountpoint));
}
