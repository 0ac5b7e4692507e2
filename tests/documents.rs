//! The documents say what is so: every key, every test that a sentence rests on, every log line and every link is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The files below a directory whose names end so.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![root().join(directory)]);
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn the_manual_page_of_the_configuration_has_every_key() {
    let keys = |text: &str, key: fn(&str) -> Option<&str>| -> BTreeSet<String> {
        text.lines().filter_map(key).map(str::to_owned).collect()
    };
    let sample = keys(&read("packaging/mailtm.toml"), |line| {
        let key = line.trim_start_matches('#').split_once(" = ")?.0;
        key.bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'_')
            .then_some(key)
    });
    let manual = keys(&read("packaging/doc/mailtm.toml.5"), |line| {
        Some(line.strip_prefix(".BR ")?.split_once(" \" = ")?.0)
    });
    assert!(sample.len() > 20);
    assert_eq!(manual, sample);
    let page = read("packaging/doc/mailtm.toml.5");
    for line in read("packaging/mailtm.toml").lines() {
        let table = line.trim_start_matches('#');
        if table.starts_with('[') {
            assert!(page.contains(table), "{table}");
        }
    }
}

/// In the source of the page a sentence ends with its line, and the tests that prove it stand below.
#[test]
fn every_sentence_of_the_semantics_rests_on_tests_that_are_there() {
    let page = read("packaging/doc/mailtm-semantics.7");
    let described = page.split(".SH TENETS").nth(1).unwrap();
    let described = described.split(".SH \"SEE ALSO\"").next().unwrap();
    let (mut sentence, mut proved, mut sentences) = (String::new(), true, 0);
    let mut lines = described.lines();
    while let Some(line) = lines.next() {
        if let Some(test) = line.strip_prefix(".\\\" ") {
            assert!(proved || ends(&sentence), "a test within: {sentence}");
            let (file, name) = test.split_once(": ").unwrap();
            // In a module of its own it is indented.
            let is_there = read(file)
                .split("#[test]\n")
                .skip(1)
                .any(|rest| rest.trim_start().starts_with(&format!("fn {name}() {{")));
            assert!(is_there, "{file} has no test {name}");
            proved = true;
            continue;
        }
        if line.is_empty() || line == ".PP" || line == ".TP" || line.starts_with(".SH") {
            assert!(proved, "no test for: {sentence}");
            if line == ".TP" {
                // Its heading.
                lines.next();
            }
            continue;
        }
        assert!(proved || !ends(&sentence), "no test for: {sentence}");
        if proved {
            (sentence, proved) = (String::new(), false);
            sentences += 1;
        }
        let is_next = |rest: &str| rest.starts_with(|c: char| c.is_uppercase());
        let within = line.split(". ").skip(1).any(is_next);
        assert!(!within, "a sentence begins within: {line}");
        sentence = format!("{sentence} {line}");
    }
    assert!(proved, "no test for: {sentence}");
    assert!(sentences > 80, "{sentences}");
}

fn ends(sentence: &str) -> bool {
    sentence.ends_with('.')
}

#[test]
fn log_lines_that_are_explained_are_those_that_are_written() {
    let mut sources = String::new();
    for file in files("src", ".rs") {
        sources.push_str(&fs::read_to_string(file).unwrap());
    }
    // Strings that go on in the next line.
    let mut joined = String::new();
    for (number, part) in sources.split("\\\n").enumerate() {
        joined.push_str(if number == 0 { part } else { part.trim_start() });
    }
    let page = read("packaging/doc/troubleshooting.md");
    let mut lines = 0;
    for row in page.lines().filter(|l| l.starts_with("| ")).skip(2) {
        let Some(log) = row.split(" | ").nth(1) else {
            panic!("{row}");
        };
        for quoted in log.split('*').skip(1).step_by(2) {
            for part in quoted.split(['…', '"', ',']).map(str::trim) {
                let fixed = part.trim_end_matches(':').trim();
                // That one is the system's.
                if fixed.len() > 5 && fixed != "Permission denied" {
                    assert!(joined.contains(fixed), "never logged: {fixed:?} in {row}");
                    lines += 1;
                }
            }
        }
    }
    assert!(lines > 10, "{lines}");
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for file in files("packaging", ".md")
        .into_iter()
        .chain([root().join("README.md")])
    {
        let text = fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.starts_with("http") || target.is_empty() {
                continue;
            }
            links += 1;
            let path = file.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {target}", file.display());
        }
    }
    assert!(links > 5);
}

#[test]
fn manual_pages_are_set_without_a_warning() {
    if !harness::able(&["groff"]) {
        return;
    }
    for section in ["5", "7"] {
        for page in files("packaging/doc", &format!(".{section}")) {
            let set = Command::new("groff")
                .args(["-man", "-ww", "-z", "-Tutf8"])
                .arg(&page)
                .output();
            let said = String::from_utf8(set.unwrap().stderr).unwrap();
            assert!(said.is_empty(), "{said}");
        }
    }
}
