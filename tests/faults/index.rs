//! An index that is damaged, foreign, locked, read-only or gone.

use crate::harness::mount::OtherMount;
use crate::harness::tree::{dates, manifest, same};
use crate::harness::{Config, Mount, Numbers, able, eventually};
use crate::{ALICE, setup};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything below the index path, files and their bytes.
fn index_files(config: &Config) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![config.index.clone()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if path.is_file() {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "no index at {}", config.index.display());
    found
}

#[test]
fn an_index_that_is_no_good_changes_nothing_that_is_shown() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let truth = manifest(&Mount::new(&config).path);
    type Damage = fn(&Path, Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("random bytes", |path, bytes| {
            let mut numbers = Numbers(9);
            let noise =
                (0..bytes.len().max(10_000)).map(|_| u8::try_from(numbers.below(256)).unwrap());
            fs::write(path, noise.collect::<Vec<u8>>()).unwrap();
        }),
        ("the middle overwritten", |path, mut bytes| {
            let (start, end) = (bytes.len() / 4, bytes.len() * 3 / 4);
            bytes[start..end].fill(0xa5);
            fs::write(path, bytes).unwrap();
        }),
        ("torn", |path, bytes| {
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap()
        }),
        ("emptied", |path, _| fs::write(path, "").unwrap()),
        ("another program's", |path, _| {
            fs::write(path, "key = value\n".repeat(1000)).unwrap()
        }),
    ];
    for (what, damage) in damages {
        for path in index_files(&config) {
            let bytes = fs::read(&path).unwrap();
            damage(&path, bytes);
        }
        let mount = Mount::new(&config).expecting_warnings();
        same(what, &truth, &manifest(&mount.path));
        mount.wait_for_warning(&["index"]);
        drop(mount);
        let mount = Mount::new(&config);
        same(&format!("{what}, rebuilt"), &truth, &manifest(&mount.path));
    }
}

#[test]
fn an_index_that_vanishes_changes_nothing_that_is_shown() {
    if !able(&[]) {
        return;
    }
    // What is cleared away while it is in use: the files alone, or the directory too.
    for whole in [false, true] {
        let (scratch, store, config) = setup();
        let mount = Mount::new(&config).expecting_warnings();
        let truth = manifest(&mount.path);
        if whole {
            fs::remove_dir_all(&config.index).unwrap();
        } else {
            index_files(&config)
                .iter()
                .for_each(|file| fs::remove_file(file).unwrap());
        }
        same("in use", &truth, &manifest(&mount.path));
        // What is new is learned, and gets numbers.
        store.link("2026-11-20", "2026-11-21");
        let hers = store.mailbox("2026-11-21", ALICE);
        hers.number("cur", 50);
        hers.number("New/cur", 51);
        eventually(Duration::from_secs(10), "the new date", || {
            dates(&mount.path).contains(&"2026-11-21".to_owned())
        });
        let newer = manifest(&mount.path);
        mount.wait_for_warning(&["index", "removed while it was in use"]);
        same(
            "another index",
            &newer,
            &manifest(&Mount::new(&Config::new(&scratch, &store)).path),
        );
        assert_eq!(mount.warnings().len(), 1, "{:?}", mount.warnings());
        if !whole {
            for file in ["facts.sqlite", "serials.sqlite"] {
                assert!(
                    config.index.join(file).is_file(),
                    "{file} was not made anew"
                );
            }
        }
        drop(mount);
        // Numbers and all come out the same. The sandbox cannot make a directory beside it anew: that is for the next one.
        let mount = Mount::new(&config).expecting_warnings();
        same("after a restart", &newer, &manifest(&mount.path));
        assert_eq!(mount.warnings().len(), usize::from(whole));
    }
}

#[test]
fn an_index_that_is_in_use_or_cannot_be_written_is_done_without() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let first = Mount::new(&config);
    let truth = manifest(&first.path);
    let index = |path: &Path| {
        let mut config = Config::new(&scratch, &store).set("index.path", path.to_str().unwrap());
        config.index = path.to_owned();
        config
    };
    {
        // Several daemons may use one index.
        let second = Mount::new(&index(&config.index));
        same("an index in use", &truth, &manifest(&second.path));
    }
    drop(first);

    let read_only = OtherMount::new(
        &["-t", "tmpfs", "-o", "ro", "none"],
        scratch.join("read-only"),
    );
    {
        let mount = Mount::new(&index(&read_only.0.join("index"))).expecting_warnings();
        same("a read-only directory", &truth, &manifest(&mount.path));
        mount.wait_for_warning(&["index"]);
    }
    let full = OtherMount::new(
        &["-t", "tmpfs", "-o", "size=8k", "none"],
        scratch.join("disk-full"),
    );
    fs::write(full.0.join("ballast"), vec![0; 4096]).unwrap();
    {
        let mount = Mount::new(&index(&full.0.join("index"))).expecting_warnings();
        same("a full disk", &truth, &manifest(&mount.path));
        mount.wait_for_warning(&["index"]);
    }
    fs::write(scratch.join("plain-file"), "x").unwrap();
    let mount = Mount::new(&index(&scratch.join("plain-file/index"))).expecting_warnings();
    same("below a file", &truth, &manifest(&mount.path));
    mount.wait_for_warning(&["index"]);
}
