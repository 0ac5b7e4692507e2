//! Tests of `serials`.

use super::*;
use tempfile::TempDir;

fn number(serials: &Serials, key: &str) -> u32 {
    serials
        .assign(Table::Folder, &[(key.as_bytes(), 6)])
        .unwrap()[0]
}

#[test]
fn numbers_given_while_the_disk_is_full_are_saved_later() {
    let dir = TempDir::new().unwrap();
    let notices = Arc::new(Notices::default());
    let serials = Serials::open(dir.path(), Arc::clone(&notices));
    assert_eq!(number(&serials, "before"), 7);
    let set_limit = |pages: u32| {
        let log = lock(&serials.log);
        let connection = log.connection.as_ref().unwrap();
        let set = format!("PRAGMA max_page_count = {pages}");
        connection.query_row(&set, [], |_| Ok(())).unwrap();
    };
    set_limit(1);
    let long = "x".repeat(10_000);
    assert_eq!(number(&serials, &long), 8);
    assert_eq!(number(&serials, "resting"), 9);
    assert_eq!(number(&serials, &long), 8);
    set_limit(1000);
    lock(&serials.log).state.rest = Rest::default();
    assert_eq!(number(&serials, "after"), 10);
    let again = Serials::open(dir.path(), notices);
    for (number, key) in [(7, "before"), (8, &long), (9, "resting"), (10, "after")] {
        let kept = again.key_of(Table::Folder, number);
        assert_eq!(kept.as_deref(), Some(key.as_bytes()));
    }
}

#[test]
fn what_was_given_from_memory_stands_against_the_file() {
    let dir = TempDir::new().unwrap();
    let notices = Arc::new(Notices::default());
    let one = Serials::open(dir.path(), Arc::clone(&notices));
    let two = Serials::open(dir.path(), Arc::clone(&notices));
    lock(&one.log).state.rest.begin();
    assert_eq!(number(&one, "a"), 7);
    assert_eq!(number(&two, "b"), 7);
    lock(&one.log).state.rest = Rest::default();
    assert_eq!(number(&one, "b"), 8);
    assert_eq!(number(&one, "a"), 7);
    assert_eq!(one.key_of(Table::Folder, 7).as_deref(), Some(&b"a"[..]));
    drop((one, two));
    let again = Serials::open(dir.path(), notices);
    assert_eq!(again.key_of(Table::Folder, 7).as_deref(), Some(&b"b"[..]));
}

/// `cargo test --lib -- --ignored --nocapture many_folders`
#[test]
#[ignore = "a measurement"]
fn many_folders() {
    let dir = TempDir::new().unwrap();
    let keys: Vec<String> = (0..300_000)
        .map(|i| format!("user{i:06}@example.com/Archive/2024/{i}"))
        .collect();
    let wanted: Vec<(&[u8], u64)> = keys
        .iter()
        .zip(0u64..)
        .map(|(k, i)| (k.as_bytes(), i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20))
        .collect();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
        line.to_owned()
    };
    let serials = Serials::open(dir.path(), Arc::default());
    for part in [&wanted[..10_000], &wanted] {
        let begin = std::time::Instant::now();
        serials.assign(Table::Folder, part).unwrap();
        eprintln!("{} assigned: {:?}", part.len(), begin.elapsed());
    }
    drop(serials);
    let before = resident();
    let begin = std::time::Instant::now();
    let serials = Serials::open(dir.path(), Arc::default());
    eprintln!(
        "opened: {:?}; before {before}, after {}",
        begin.elapsed(),
        resident()
    );
    assert_eq!(number(&serials, &keys[7]), number(&serials, &keys[7]));
}
