//! What comes from a mail store or an administrator, mutated at random, thrown at what reads it.
//!
//! Each target says what must hold for every input; that it ends soon, and without a panic, holds for all. Mutation is blind: a
//! few seeds, a dictionary, no coverage. Here each target runs for a moment, from a fixed start. `scripts/fuzz` runs
//! them as long as is wanted, from another start each time, and tells how many inputs were tried; an input that fails
//! is written to `target/fuzz/`, from where it goes into the target's seeds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod mutate;
mod services;
mod stores;
mod texts;

use mutate::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// What is thrown at what, and what must hold.
pub struct Target {
    pub name: &'static str,
    pub seeds: &'static [&'static [u8]],
    /// What is put in here and there.
    pub words: &'static [&'static [u8]],
    pub run: fn(&[u8]),
}

/// How long a target runs where nothing is said.
const MOMENT: Duration = Duration::from_millis(700);

/// How long one input may take, without optimisation and on a machine that is busy with other things.
const SLOW: Duration = Duration::from_secs(5);

/// Runs a target; the number of inputs.
fn fuzz(target: &Target) -> u64 {
    let asked = std::env::var("FUZZ_SECONDS").ok();
    let (time, start) = match asked.map(|text| text.parse().expect("FUZZ_SECONDS is a number")) {
        Some(seconds) => (
            Duration::from_secs(seconds),
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64,
        ),
        None => (MOMENT, 1),
    };
    let mut mutator = Mutator::new(start, target.seeds, target.words);
    let mut tried = 0;
    let end = Instant::now() + time;
    for seed in target.seeds {
        attempt(target, seed);
    }
    while Instant::now() < end {
        attempt(target, &mutator.input());
        tried += 1;
    }
    println!("{}: {tried} inputs", target.name);
    tried
}

fn attempt(target: &Target, input: &[u8]) {
    let begun = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = begun.elapsed();
    if result.is_ok() && took < SLOW {
        return;
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    std::fs::create_dir_all(&place).unwrap();
    let file = place.join(format!("{}-{:08x}", target.name, crc32fast::hash(input)));
    std::fs::write(&file, input).unwrap();
    panic!(
        "{}: {} bytes failed after {took:?}; they are in {}: \"{}\"",
        target.name,
        input.len(),
        file.display(),
        input[..input.len().min(200)].escape_ascii()
    );
}

macro_rules! targets {
    ($module:ident: $($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            assert!(fuzz(&$module::$name()) > 0);
        })*
    };
}

targets!(
    texts: configuration,
    decode,
    facts,
    folder_names,
    headers,
    mboxrd,
    names,
    searchable,
    snapshot_names,
    templates,
);

targets!(
    stores: cyrus_header,
    cyrus_index,
    dovecot_index,
    dovecot_index_log,
    mail_crypt,
    maildir_keywords,
    maildir_uidlist,
    mbox_folder,
    mdbox_folder,
    mdbox_map,
    mdbox_messages,
    sdbox_message,
);

targets!(services: imap, journal, letter, letter_html, listings, search_words);
