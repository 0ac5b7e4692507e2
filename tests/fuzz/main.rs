//! What comes from a mail store, a network or an administrator, mutated at random, thrown at what reads it.
//!
//! What is tried is in `targets`, and each target's seeds are the files in `corpus/TARGET`; `dictionaries/TARGET.dict` has what
//! is put in here and there, in libFuzzer's form. Here every file of the corpus is tried, and then mutations of them: blindly,
//! for a moment, from a fixed start, with nothing but stable Rust. `scripts/fuzz` has libFuzzer try the same targets for as long as is
//! wanted, guided by the code that runs (`guided.rs` and `fuzz_targets/`, a package of its own). An input that fails is
//! written to `target/fuzz/failed/`, from where it goes into the corpus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blind;
mod targets;

use blind::Mutator;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a target runs where nothing is said.
const MOMENT: Duration = Duration::from_millis(400);

/// What the repository holds of the corpus, in bytes: all of it, and one file of it.
const LARGEST_CORPUS: u64 = 300 << 10;
const LARGEST_FILE: u64 = 8 << 10;

/// Runs a target.
fn fuzz(name: &str, target: fn(&[u8])) {
    let asked = std::env::var("FUZZ_SECONDS").ok();
    let (time, start) = match asked.map(|text| text.parse().expect("FUZZ_SECONDS is a number")) {
        Some(seconds) => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            (
                Duration::from_secs(seconds),
                since.unwrap().as_nanos() as u64,
            )
        }
        None => (MOMENT, 1),
    };
    let seeds = blind::seeds(&here().join("corpus").join(name));
    for seed in &seeds {
        attempt(name, target, seed);
    }
    let words = blind::words(&here().join("dictionaries").join(format!("{name}.dict")));
    let mut mutator = Mutator::new(start, seeds, words);
    let end = Instant::now() + time;
    let mut tried = 0;
    while Instant::now() < end {
        attempt(name, target, &mutator.input());
        tried += 1;
    }
    println!("{name}: {tried} inputs");
    assert!(tried > 0, "one input takes too long");
}

fn attempt(name: &str, target: fn(&[u8]), input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| targets::check(target, input))).is_ok() {
        return;
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz/failed");
    fs::create_dir_all(&place).unwrap();
    let file = place.join(format!("{name}-{:08x}", crc32fast::hash(input)));
    fs::write(&file, input).unwrap();
    panic!(
        "{name}: {} bytes failed; they are in {}: \"{}\"",
        input.len(),
        file.display(),
        input[..input.len().min(200)].escape_ascii()
    );
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// A test for each target, and the names of all of them.
macro_rules! targets {
    ($($module:ident: $($name:ident),+;)+) => {
        const NAMES: &[&str] = &[$($(stringify!($name)),+),+];
        $($(#[test]
        fn $name() {
            fuzz(stringify!($name), targets::$module::$name);
        })+)+
    };
}

targets! {
    encodings: compressed, decode, mail_crypt, private_keys;
    index: listings, places, search_words;
    messages: encoded_words, facts, headers, mboxrd, searchable;
    names: folder_names, folders, names;
    portal: letter, letter_html, requests;
    restore: imap, journal, subscriptions;
    settings: about_text, configuration, filled_text, snapper_info, snapshot_names, templates;
    stores: cyrus_header, cyrus_index, dovecot_index, dovecot_index_log, dovecot_list_index, maildir_keywords, maildir_names,
        maildir_uidlist, mbox_folder, mdbox_folder, mdbox_index, mdbox_map, mdbox_map_index, mdbox_messages, sdbox_message;
    tree: handles, shown;
}

/// The names of the files in a directory.
fn files(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(here().join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn each_target_is_there_for_libfuzzer_too() {
    let with = |ending: &str| -> BTreeSet<String> {
        NAMES.iter().map(|name| format!("{name}{ending}")).collect()
    };
    assert_eq!(files("fuzz_targets"), with(".rs"));
    assert_eq!(files("dictionaries"), with(".dict"));
    assert_eq!(files("corpus"), with(""));
    let package = fs::read_to_string(here().join("Cargo.toml")).unwrap();
    for name in NAMES {
        let line = format!("{{ name = \"{name}\", path = \"fuzz_targets/{name}.rs\" }},");
        assert!(package.contains(&line), "{line} is not in Cargo.toml");
        let main = format!("fuzz_targets/{name}.rs");
        let main = fs::read_to_string(here().join(main)).unwrap();
        assert!(main.contains(&format!("::{name});")), "{name}: {main}");
    }
}

#[test]
fn the_corpus_is_small() {
    let mut total = 0;
    for name in NAMES {
        for entry in fs::read_dir(here().join("corpus").join(name)).unwrap() {
            let entry = entry.unwrap();
            let len = entry.metadata().unwrap().len();
            assert!(len <= LARGEST_FILE, "{}", entry.path().display());
            total += len;
        }
    }
    assert!(total <= LARGEST_CORPUS, "{total} bytes");
}
