//! Random stores against a reference model that shares no code with the program: `tests/model/reference.py`.
//!
//! Every seed is a store of its own, with a few days. The alphabets are small, so that names, times and contents collide all the
//! time. What the model expects is compared with what lookup, readdir, getattr and read say. A failure names its seed;
//! `MAILTM_SEED=n cargo test --test model` runs that one alone, `MAILTM_STORES=n` runs so many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{ABOUT, sha256, walk, without_id};
use harness::{Config, Mount, Scratch, Store, able, python, run};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const STORES: u64 = 30;
const SCRIPT: &str = include_str!("model/reference.py");

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: not a number: {text}")),
    )
}

/// A path with the IDs left out, and names that were cut down to what is promised of them.
fn normal(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    if !name.ends_with(".eml") {
        return path.to_owned();
    }
    let plain = without_id(name);
    let shown = if plain.contains('…') {
        plain.chars().take(60).chain(['…']).collect()
    } else {
        format!("{plain} (#).eml")
    };
    path.with_file_name(shown)
}

/// What the mount shows, in the model's words.
fn actual(mount: &Mount) -> Vec<String> {
    let mut lines = Vec::new();
    for day in harness::tree::dates(&mount.path) {
        lines.push(format!("{day}\tdirectory\t-\t-\t-\t-"));
        let root = mount.join(&day);
        walk(&root, &mut |path, meta| {
            let shown = normal(&Path::new(&day).join(path));
            let name = path.file_name().unwrap().to_str().unwrap();
            let rest = if meta.is_dir() {
                format!("directory\t{}\t-\t-\t-", meta.uid())
            } else if name == ABOUT {
                format!("file\t{}\t-\t-\t-", meta.uid())
            } else {
                let bytes = fs::read(root.join(path)).unwrap();
                assert_eq!(
                    bytes.len() as u64,
                    meta.len(),
                    "{}: st_size",
                    path.display()
                );
                let mtime = if name.ends_with(".eml") {
                    meta.mtime().to_string()
                } else {
                    "-".into()
                };
                format!(
                    "file\t{}\t{}\t{mtime}\t{}",
                    meta.uid(),
                    meta.len(),
                    sha256(&bytes)
                )
            };
            lines.push(format!("{}\t{rest}", shown.display()));
        });
    }
    lines.sort();
    lines
}

/// Fails with what one side has and the other has not.
fn compare(seed: u64, expected: &[String], actual: &[String]) {
    let (mut left, mut right) = (expected.iter().peekable(), actual.iter().peekable());
    let mut different = Vec::new();
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(l), Some(r)) if l == r => {
                left.next();
                right.next();
            }
            (Some(l), Some(r)) if l < r => {
                different.push(format!("missing:    {}", left.next().unwrap()))
            }
            (Some(_), None) => different.push(format!("missing:    {}", left.next().unwrap())),
            _ => different.push(format!("unexpected: {}", right.next().unwrap())),
        }
    }
    assert!(
        different.is_empty(),
        "MAILTM_SEED={seed}: {} differences\n{}",
        different.len(),
        different
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

fn check(seed: u64) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let said = run(python()
        .args(["-c", SCRIPT, &seed.to_string()])
        .arg(&store.path));
    let said = String::from_utf8(said).unwrap();
    let (first, rest) = said.split_once('\n').unwrap();
    let flags = first.strip_prefix("flags\t").unwrap();
    let mut expected: Vec<String> = rest.lines().map(str::to_owned).collect();
    expected.sort();
    let config = Config::new(&scratch, &store)
        .set("timezone", "Europe/Rome")
        .set("mbox.flags", flags);
    let mount = Mount::new(&config).expecting_warnings();
    let mut shown = actual(&mount);
    // Where the model promises nothing about a file's bytes, neither does the mount.
    for line in &mut shown {
        let path = line.split('\t').next().unwrap();
        let open = expected
            .iter()
            .any(|e| e.starts_with(&format!("{path}\t")) && e.ends_with("\t-\t-\t-"));
        if open && line.contains("\tfile\t") {
            let fields: Vec<&str> = line.split('\t').collect();
            *line = format!("{}\tfile\t{}\t-\t-\t-", fields[0], fields[2]);
        }
    }
    shown.sort();
    compare(seed, &expected, &shown);
    // By name, and not by a listing.
    let mut names = 0;
    for line in &expected {
        let path = mount.join(line.split('\t').next().unwrap());
        if !line.contains("(#)") && !line.contains('…') {
            assert!(
                fs::symlink_metadata(&path).is_ok(),
                "MAILTM_SEED={seed}: {}",
                path.display()
            );
            names += 1;
        }
    }
    assert!(names > 2);
}

#[test]
fn random_stores_are_shown_as_the_model_says() {
    if !able(&["python3"]) {
        return;
    }
    if let Some(seed) = number("MAILTM_SEED") {
        check(seed);
        return;
    }
    for seed in 0..number("MAILTM_STORES").unwrap_or(STORES) {
        // Shown when the test fails, whatever the failure is.
        println!("MAILTM_SEED={seed}");
        check(seed);
    }
}
