//! Tests of `index`.

mod cache;

use super::*;
use crate::error::Kind;
use crate::time::Time;
use proptest::prelude::*;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const FILES: [&str; 2] = ["serials.sqlite", "facts.sqlite"];

/// Runs with what is logged by this thread taken down.
/// The bytes of a pack that nothing is added to.
fn whole(pack: Option<Pack>) -> Option<Vec<u8>> {
    pack.map(|pack| {
        assert_eq!(pack.added, []);
        pack.whole.plain().unwrap()
    })
}

fn with_log<T>(run: impl FnOnce() -> T) -> (T, String) {
    crate::fault::tests::with_log(tracing::Level::INFO, run)
}

fn key(identity: &[u8], size: u64) -> FactKey<'_> {
    FactKey {
        identity,
        size,
        mtime: Time {
            secs: -(size as i64),
            nanos: 7,
        },
    }
}

fn fact(index: &Index, mailbox: &[u8], identity: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut facts = index.facts(mailbox, &[key(identity, size)]);
    facts.remove(0).map(Vec::from)
}

fn put(index: &Index, mailbox: &[u8], identity: &[u8], size: u64, value: &[u8]) {
    index.put_facts(mailbox, [(key(identity, size), value)]);
    index.flush();
}

fn number(index: &Index, name: &str, seed: u64) -> u32 {
    index.serial(Table::Folder, name.as_bytes(), seed).unwrap()
}

fn key_of(index: &Index, number: u32) -> Option<String> {
    let key = index.key_of(Table::Folder, number)?;
    Some(String::from_utf8(key.to_vec()).unwrap())
}

/// Some of everything; serials 1, 2, 3 of "a", "b", "c", the last of which wanted 2.
fn filled(dir: &Path) {
    let index = Index::open(dir);
    assert!(index.is_persistent());
    assert_eq!(number(&index, "a", 0), 1);
    assert_eq!(number(&index, "b", 1), 2);
    assert_eq!(number(&index, "c", 1), 3);
    put(&index, b"alice", b"m1", 10, b"sender");
    index.put_pack(b"alice", b"INBOX", b"s1", vec![1, 2, 3]);
}

#[test]
fn what_was_kept_is_there_after_reopening() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let index = Index::open(dir.path());
    assert_eq!(key_of(&index, 3).as_deref(), Some("c"));
    assert_eq!(number(&index, "c", 1), 3);
    assert_eq!(number(&index, "d", 0), 4);
    assert_eq!(
        fact(&index, b"alice", b"m1", 10).as_deref(),
        Some(&b"sender"[..])
    );
    assert_eq!(
        whole(index.pack(b"alice", b"INBOX", b"s1")),
        Some(vec![1, 2, 3])
    );
    assert_eq!(whole(index.pack(b"alice", b"INBOX", b"s2")), None);
    assert_eq!(whole(index.pack(b"bob", b"INBOX", b"s1")), None);
}

#[test]
fn files_are_for_their_user_alone() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path().join("made/with/parents");
    let index = Index::open(&dir);
    put(&index, b"alice", b"m1", 10, b"sender");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn without_a_disk_numbers_work_and_facts_are_absent() {
    let index = Index::in_memory();
    assert!(!index.is_persistent());
    assert_eq!(number(&index, "a", 5), 6);
    assert_eq!(number(&index, "b", 5), 7);
    assert_eq!(number(&index, "a", 5), 6);
    assert_eq!(key_of(&index, 7).as_deref(), Some("b"));
    assert_eq!(key_of(&index, 0), None);
    put(&index, b"alice", b"m1", 10, b"sender");
    assert_eq!(fact(&index, b"alice", b"m1", 10), None);
}

#[test]
fn a_full_table_is_an_error_and_gives_nothing() {
    let index = Index::in_memory();
    let keys: Vec<[u8; 4]> = (0..65_536u32).map(u32::to_le_bytes).collect();
    let wanted: Vec<(&[u8], u64)> = keys.iter().map(|k| (&k[..], 3)).collect();
    let error = index.serials(Table::Snapshot, &wanted).unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    let numbers = index.serials(Table::Snapshot, &wanted[1..]).unwrap();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 65_535);
    let error = index.serial(Table::Snapshot, &keys[0], 3).unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    assert_eq!(index.serial(Table::Snapshot, &keys[1], 9).unwrap(), 4);
}

#[test]
fn a_batch_may_name_a_thing_twice() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    let batch: [(&[u8], u64); 4] = [(b"a", 1), (b"b", 1), (b"a", 1), (b"", 8)];
    assert_eq!(
        index.serials(Table::Snapshot, &batch).unwrap(),
        [2, 3, 2, 9]
    );
    assert_eq!(index.key_of(Table::Snapshot, 9).as_deref(), Some(&b""[..]));
    assert_eq!(index.key_of(Table::Folder, 9), None);
}

#[test]
fn two_indexes_on_one_directory_agree() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (Index::open(dir.path()), Index::open(dir.path()));
    assert_eq!(number(&one, "a", 0), 1);
    assert_eq!(number(&two, "b", 0), 2);
    assert_eq!(number(&two, "a", 0), 1);
    assert_eq!(number(&one, "c", 0), 3);
    assert_eq!(key_of(&one, 2).as_deref(), Some("b"));
    assert_eq!(key_of(&two, 3).as_deref(), Some("c"));
    put(&one, b"alice", b"m1", 10, b"sender");
    assert!(fact(&two, b"alice", b"m1", 10).is_some());
}

#[test]
fn many_threads_and_two_indexes_never_share_a_number() {
    let dir = TempDir::new().unwrap();
    let indexes = [Index::open(dir.path()), Index::open(dir.path())];
    let given = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (index, given) = (&indexes[thread % 2], &given);
            scope.spawn(move || {
                for i in 0..20 {
                    let name = format!("folder {}", (i * 7 + thread * 3) % 40);
                    let number = number(index, &name, i as u64 % 5);
                    let before = given.lock().unwrap().insert(name.clone(), number);
                    assert!(before.is_none_or(|n| n == number), "{name}");
                    index.put_facts(b"box", [(key(name.as_bytes(), 1), name.as_bytes())]);
                    let fact = fact(index, b"box", name.as_bytes(), 1);
                    assert!(fact.is_none_or(|f| f == name.as_bytes()));
                }
            });
        }
    });
    let given = given.into_inner().unwrap();
    let numbers: BTreeSet<_> = given.values().collect();
    assert_eq!(numbers.len(), given.len());
    drop(indexes);
    let index = Index::open(dir.path());
    for (name, number) in given {
        assert_eq!(key_of(&index, number), Some(name.clone()));
        assert!(fact(&index, b"box", name.as_bytes(), 1).is_some());
    }
}

/// Spoils both files, and checks that each is set aside with one warning, and that what comes after works.
fn survives(spoil: impl Fn(&Path)) {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    for file in FILES {
        spoil(&dir.path().join(file));
    }
    let (index, log) = with_log(|| Index::open(dir.path()));
    assert_eq!(log.matches("WARN").count(), 2, "{log}");
    for file in FILES {
        assert!(log.contains(&format!("{file}.damaged")), "{log}");
        assert!(dir.path().join(format!("{file}.damaged")).exists());
    }
    assert!(index.is_persistent());
    assert_eq!(number(&index, "a", 0), 1);
    assert_eq!(number(&index, "b", 1), 2);
    let found = fact(&index, b"alice", b"m1", 10);
    assert!(found.is_none_or(|f| f == b"sender"));
    put(&index, b"alice", b"m1", 10, b"again");
    drop(index);
    let (index, log) = with_log(|| Index::open(dir.path()));
    assert_eq!(log, "");
    assert_eq!(key_of(&index, 2).as_deref(), Some("b"));
    assert_eq!(
        fact(&index, b"alice", b"m1", 10).as_deref(),
        Some(&b"again"[..])
    );
}

#[test]
fn garbage_is_set_aside() {
    survives(|file| fs::write(file, b"this is no database\n".repeat(1000)).unwrap());
}

#[test]
fn a_cut_file_is_set_aside() {
    survives(|file| {
        let file = fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(4096 + 100).unwrap();
    });
}

#[test]
fn another_programs_database_is_set_aside() {
    survives(|file| {
        fs::remove_file(file).unwrap();
        let other = Connection::open(file).unwrap();
        other
            .execute_batch("CREATE TABLE photograph (album TEXT); PRAGMA user_version = 1")
            .unwrap();
    });
}

#[test]
fn another_versions_file_is_set_aside() {
    survives(|file| {
        let other = Connection::open(file).unwrap();
        other.pragma_update(None, "user_version", 99).unwrap();
    });
}

#[test]
fn a_file_without_its_tables_is_set_aside() {
    survives(|file| {
        let other = Connection::open(file).unwrap();
        let table = if file.ends_with("facts.sqlite") {
            "fact"
        } else {
            "serial"
        };
        other.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    });
}

#[test]
fn an_empty_file_is_filled() {
    let dir = TempDir::new().unwrap();
    for file in FILES {
        fs::write(dir.path().join(file), b"").unwrap();
    }
    let (index, log) = with_log(|| Index::open(dir.path()));
    assert!(index.is_persistent());
    assert_eq!(log, "");
}

#[test]
fn one_file_without_the_other_is_warned_of_and_a_new_index_is_not() {
    for lost in FILES {
        let dir = TempDir::new().unwrap();
        let (index, log) = with_log(|| Index::open(dir.path()));
        assert!(index.is_new() && log.is_empty(), "{log}");
        drop(index);
        // Nothing was in either.
        fs::remove_file(dir.path().join(lost)).unwrap();
        let (index, log) = with_log(|| Index::open(dir.path()));
        assert!(!index.is_new() && log.is_empty(), "{log}");
        drop(index);
        filled(dir.path());
        fs::remove_file(dir.path().join(lost)).unwrap();
        let (index, log) = with_log(|| Index::open(dir.path()));
        assert!(!index.is_new());
        assert_eq!(log.matches("WARN").count(), 1, "{log}");
        assert!(log.contains(lost) && log.contains("made anew"), "{log}");
        drop(index);
        let (_, log) = with_log(|| Index::open(dir.path()));
        assert_eq!(log, "");
    }
}

#[test]
fn an_altered_row_costs_its_number_and_no_other() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let file = Connection::open(dir.path().join("serials.sqlite")).unwrap();
    file.execute("UPDATE serial SET number = 9 WHERE id = 1", [])
        .unwrap();
    drop(file);
    let (index, log) = with_log(|| Index::open(dir.path()));
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains("2 numbers"), "{log}");
    assert_eq!(key_of(&index, 9), None);
    assert_eq!(key_of(&index, 3).as_deref(), Some("c"));
    assert_eq!(number(&index, "a", 0), 1);
    drop(index);
    let (index, log) = with_log(|| Index::open(dir.path()));
    assert_eq!(log, "");
    assert_eq!(key_of(&index, 1).as_deref(), Some("a"));
}

#[test]
fn a_directory_that_cannot_be_is_done_without() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let (index, log) = with_log(|| Index::open(&file.join("index")));
    assert!(!index.is_persistent());
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(
        log.contains("file/index") && log.contains("[index] path"),
        "{log}"
    );
    assert_eq!(number(&index, "a", 0), 1);
}

#[test]
fn directories_in_place_of_the_files_are_done_without() {
    let dir = TempDir::new().unwrap();
    for file in FILES {
        fs::create_dir(dir.path().join(file)).unwrap();
    }
    let (index, log) = with_log(|| Index::open(dir.path()));
    assert!(!index.is_persistent());
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert_eq!(number(&index, "a", 0), 1);
    put(&index, b"alice", b"m1", 10, b"sender");
}

fn lock_for_ever(file: PathBuf) -> Connection {
    let other = Connection::open(file).unwrap();
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    other
}

#[test]
fn locked_files_are_done_without_soon() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let _others = FILES.map(|file| lock_for_ever(dir.path().join(file)));
    let begin = Instant::now();
    let (index, log) = with_log(|| Index::open(dir.path()));
    assert!(begin.elapsed() < Duration::from_millis(1500));
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains("locked"), "{log}");
    assert!(!index.is_persistent());
    assert_eq!(number(&index, "b", 1), 2);
    assert_eq!(fact(&index, b"alice", b"m1", 10), None);
}

#[test]
fn numbers_given_while_the_file_is_locked_are_saved_later() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    assert_eq!(number(&index, "a", 0), 1);
    let other = lock_for_ever(dir.path().join("serials.sqlite"));
    let begin = Instant::now();
    let (_, log) = with_log(|| {
        for i in 0..100 {
            assert_eq!(number(&index, &format!("new {i}"), 0), 2 + i);
        }
    });
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "only the first waits"
    );
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert_eq!(number(&index, "a", 0), 1);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    drop(index);
    let index = Index::open(dir.path());
    assert_eq!(key_of(&index, 1).as_deref(), Some("a"));
    assert_eq!(key_of(&index, 101).as_deref(), Some("new 99"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn flipped_bits_make_nothing_wrong(
        flips in proptest::collection::vec((any::<bool>(), any::<u32>(), 0u8..8), 1..6),
    ) {
        let dir = TempDir::new().unwrap();
        let names: Vec<String> = (0..400).map(|i| format!("name {i} {}", "x".repeat(i % 90))).collect();
        let wanted: Vec<(&[u8], u64)> =
            names.iter().zip(0..).map(|(n, i)| (n.as_bytes(), i * 1000)).collect();
        {
            let index = Index::open(dir.path());
            index.serials(Table::Folder, &wanted).unwrap();
            index.put_facts(b"m", names.iter().map(|n| (key(n.as_bytes(), 1), n.as_bytes())));
            for name in &names[..50] {
                index.put_pack(b"m", name.as_bytes(), b"s", name.as_bytes().repeat(100));
            }
        }
        for (which, place, bit) in flips {
            let path = dir.path().join(FILES[usize::from(which)]);
            let mut bytes = fs::read(&path).unwrap();
            let place = place as usize % bytes.len();
            bytes[place] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
        }
        let index = Index::open(dir.path());
        for (name, (_, seed)) in names.iter().zip(&wanted) {
            let number = 1 + *seed as u32;
            prop_assert!(key_of(&index, number).is_none_or(|k| k == *name));
        }
        let numbers = index.serials(Table::Folder, &wanted).unwrap();
        for (number, (_, seed)) in numbers.iter().zip(&wanted) {
            prop_assert_eq!(*number, 1 + *seed as u32);
        }
        let keys: Vec<_> = names.iter().map(|n| key(n.as_bytes(), 1)).collect();
        for (name, found) in names.iter().zip(index.facts(b"m", &keys)) {
            prop_assert!(found.is_none_or(|f| *f == *name.as_bytes()));
            let found = whole(index.pack(b"m", name.as_bytes(), b"s"));
            prop_assert!(found.is_none_or(|f| f == name.as_bytes().repeat(100)));
        }
    }
}
