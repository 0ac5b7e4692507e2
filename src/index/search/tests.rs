//! Tests of the search index.

use super::*;
use crate::message::words;
use proptest::collection::vec;
use proptest::prelude::*;

const PATH: &[u8] = b"example.com/alice/Maildir";
const NAME: &str = "alice@example.com";

/// Messages by name; the name is also identity, subject and sender. Answers how many were read.
fn learn(
    search: &Search,
    mailbox: &mut Mailbox,
    moment: i64,
    folders: &[(&str, &[&str])],
) -> usize {
    learn_as(false, search, mailbox, moment, folders)
}

/// `by_difference`: from the state before, where that is known.
fn learn_as(
    by_difference: bool,
    search: &Search,
    mailbox: &mut Mailbox,
    moment: i64,
    folders: &[(&str, &[&str])],
) -> usize {
    let mut read = 0;
    let mut look = search.look(mailbox, moment).unwrap();
    for (folder, names) in folders {
        let state = names.join("|");
        let Some(Changed { folder, settled }) = look
            .folder(folder.as_bytes(), folder, state.as_bytes())
            .unwrap()
        else {
            continue;
        };
        let entries: Vec<Entry> = names.iter().map(|name| entry(name)).collect();
        let missing = match settled {
            Some(settled) if by_difference => {
                let before = String::from_utf8(settled).unwrap();
                let before: Vec<&str> = before.split('|').filter(|n| !n.is_empty()).collect();
                let gone = before.iter().filter(|name| !names.contains(name));
                let gone: Vec<Entry> = gone.map(|name| entry(name)).collect();
                let came = names.iter().enumerate();
                let came = came.filter(|(_, name)| !before.contains(name));
                let came: Vec<_> = came.map(|(at, name)| (at, entry(name))).collect();
                look.compare_difference(&folder, &gone, &came)
            }
            _ => look.compare(&folder, &entries),
        };
        let missing = missing.unwrap();
        read += missing.len();
        for missing in missing {
            let name = names[missing.position];
            let entry = entries[missing.position];
            look.add(&folder, missing, &entry, text(name)).unwrap();
        }
        look.settle(&folder, state.as_bytes()).unwrap();
    }
    look.finish(moment * 7, None).unwrap();
    read
}

/// Received a second later for each byte of the name.
fn entry(name: &str) -> Entry {
    Entry {
        identity: number(&[name.as_bytes()]),
        version: 1,
        secs: 1_800_000_000 + name.len() as i64,
        is_read: true,
    }
}

fn text(name: &str) -> Text {
    let words = words::of(name).join(" ");
    Text {
        reading: Reading::Done,
        message_id: Some(u128::from(crc32fast::hash(name.as_bytes()))),
        size: 10,
        name: name.to_owned(),
        sender: name.to_owned(),
        recipients: String::new(),
        subject: name.to_owned(),
        attachments: String::new(),
        words: [
            words.clone(),
            String::new(),
            words,
            String::new(),
            String::new(),
        ],
    }
}

fn query(field: Field, text: &str) -> Query {
    Query {
        terms: vec![Term {
            field,
            words: words::of(text),
            begins: true,
        }],
        ..Query::default()
    }
}

fn found(search: &Search, query: &Query) -> Vec<Row> {
    let mailboxes = search.mailboxes().unwrap();
    let mut rows = Vec::new();
    search
        .find(query, &mailboxes, |_, row| {
            rows.push(row);
            Ok(true)
        })
        .unwrap();
    rows
}

fn one(search: &Search, text: &str) -> Row {
    let mut rows = found(search, &query(Field::Any, text));
    assert_eq!(rows.len(), 1, "{text}: {rows:?}");
    rows.remove(0)
}

fn days(row: &Row) -> Vec<i64> {
    (1..=9).filter(|&moment| row.is_in(moment)).collect()
}

#[test]
fn messages_come_go_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let search = Search::open(dir.path(), b"1").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    assert_eq!(
        learn(&search, &mut mailbox, 1, &[("INBOX", &["Anna", "Berta"])]),
        2
    );
    assert_eq!(
        learn(
            &search,
            &mut mailbox,
            2,
            &[("INBOX", &["Anna"]), ("Sent", &["Carla"])]
        ),
        1
    );
    assert_eq!(learn(&search, &mut mailbox, 3, &[("INBOX", &["Anna"])]), 0);
    assert_eq!(
        learn(
            &search,
            &mut mailbox,
            4,
            &[("INBOX", &["Anna", "Berta"]), ("Sent", &["Carla"])]
        ),
        0
    );
    assert_eq!(days(&one(&search, "anna")), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(days(&one(&search, "berta")), [1, 4, 5, 6, 7, 8, 9]);
    assert_eq!(days(&one(&search, "carla")), [2, 4, 5, 6, 7, 8, 9]);
    drop(search);
    // It is as it was for the next process.
    let search = Search::open(dir.path(), b"1").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    let moments: Vec<i64> = mailbox
        .learned()
        .iter()
        .map(|learned| learned.moment)
        .collect();
    assert_eq!(moments, [1, 2, 3, 4]);
    assert_eq!(learn(&search, &mut mailbox, 5, &[]), 0);
    assert_eq!(days(&one(&search, "anna")), [1, 2, 3, 4]);
    // Dates that are not shown any more take what only they had with them.
    assert_eq!(learn(&search, &mut mailbox, 6, &[("INBOX", &["Berta"])]), 0);
    search.tidy(&mut mailbox, 6).unwrap();
    assert_eq!(found(&search, &query(Field::Any, "anna")).len(), 0);
    assert_eq!(mailbox.learned().len(), 1);
    assert_eq!(days(&one(&search, "berta"))[0], 1);
}

#[test]
fn starting_over_reads_nothing_again() {
    let search = Search::temporary(b"").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    learn(&search, &mut mailbox, 3, &[("INBOX", &["Anna", "Berta"])]);
    search.start_over(&mut mailbox).unwrap();
    assert!(days(&one(&search, "anna")).is_empty());
    assert_eq!(learn(&search, &mut mailbox, 2, &[("INBOX", &["Anna"])]), 0);
    assert_eq!(learn(&search, &mut mailbox, 3, &[("INBOX", &["Anna"])]), 0);
    search.tidy(&mut mailbox, 2).unwrap();
    assert_eq!(days(&one(&search, "anna"))[0], 2);
    assert!(found(&search, &query(Field::Any, "berta")).is_empty());
}

#[test]
fn by_difference_or_by_all_that_is_there() {
    const NAMES: [&str; 6] = ["Anna", "Berta", "Carla", "Dora", "Emilia", "Frida"];
    proptest!(ProptestConfig::with_cases(60), |(weeks in vec(any::<[u8; 2]>(), 1..9))| {
        let [one, other] = [false, true].map(|by_difference| {
            let search = Search::temporary(b"").unwrap();
            let mut mailbox = search.mailbox(PATH, NAME).unwrap();
            let mut read = 0;
            for (moment, sets) in (1..).zip(&weeks) {
                let of = |set: u8| {
                    let names = NAMES.iter().enumerate();
                    names.filter(|(at, _)| set >> at & 1 != 0).map(|(_, name)| *name).collect()
                };
                let [inbox, sent]: [Vec<&str>; 2] = [of(sets[0]), of(sets[1])];
                let folders = [("INBOX", inbox.as_slice()), ("Sent", sent.as_slice())];
                read += learn_as(by_difference, &search, &mut mailbox, moment, &folders);
            }
            let mut rows: Vec<_> = NAMES
                .iter()
                .flat_map(|name| found(&search, &query(Field::Any, name)))
                .map(|row| (row.folder, row.name.clone(), days(&row), row.until))
                .collect();
            rows.sort();
            (read, rows)
        });
        prop_assert_eq!(one, other);
    });
}

#[test]
fn a_look_that_was_given_up_is_gone_on_with() {
    let search = Search::temporary(b"").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    learn(&search, &mut mailbox, 1, &[("INBOX", &["Anna", "Berta"])]);
    {
        let mut look = search.look(&mut mailbox, 2).unwrap();
        let folder = look.folder(b"INBOX", "INBOX", b"new").unwrap().unwrap();
        let folder = folder.folder;
        let entries = [entry("Berta"), entry("Carla"), entry("Dora")];
        let mut missing = look.compare(&folder, &entries).unwrap();
        let first = missing.remove(0);
        let at = first.position;
        look.add(
            &folder,
            first,
            &entries[at],
            text(["Berta", "Carla", "Dora"][at]),
        )
        .unwrap();
    }
    assert_eq!(
        learn(
            &search,
            &mut mailbox,
            2,
            &[("INBOX", &["Berta", "Carla", "Dora"])]
        ),
        1
    );
    assert_eq!(days(&one(&search, "anna")), [1]);
    assert_eq!(days(&one(&search, "carla"))[0], 2);
    assert_eq!(found(&search, &Query::default()).len(), 4);
}

#[test]
fn words_of_the_query_language_are_words() {
    let search = Search::temporary(b"").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    let names = [
        "Annual report",
        "report OR not",
        "Near (x) AND \"y\"",
        "sender : col*",
    ];
    learn(&search, &mut mailbox, 1, &[("INBOX", &names)]);
    let count = |text: &str| found(&search, &query(Field::Any, text)).len();
    assert_eq!(count("report"), 2);
    assert_eq!(count("rep"), 2);
    assert_eq!(count("annual report"), 1);
    assert_eq!(count("report annual"), 0);
    assert_eq!(count("report OR"), 1);
    assert_eq!(count("OR"), 1);
    assert_eq!(count("\" OR \""), 1);
    assert_eq!(count("NEAR(x"), 1);
    assert_eq!(count("sender:col*"), 1);
    assert_eq!(found(&search, &query(Field::Recipients, "report")).len(), 0);
    assert_eq!(found(&search, &query(Field::Sender, "report")).len(), 2);
    let mut whole = query(Field::Subject, "repo");
    whole.terms[0].begins = false;
    assert_eq!(found(&search, &whole).len(), 0);
}

#[test]
fn many_messages_of_one_second_and_of_absurd_ones() {
    let search = Search::temporary(b"").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    let mut look = search.look(&mut mailbox, 1).unwrap();
    let folder = look.folder(b"", "INBOX", b"1").unwrap().unwrap().folder;
    let absurd = [i64::MIN, -1, 0, 1 << 32, i64::MAX];
    let times: Vec<i64> = std::iter::repeat_n(1_800_000_000, 1000)
        .chain(absurd)
        .collect();
    let entries: Vec<Entry> = (0..times.len())
        .map(|i| Entry {
            identity: i as i64,
            secs: times[i],
            ..entry("x")
        })
        .collect();
    for missing in look.compare(&folder, &entries).unwrap() {
        let at = missing.position;
        look.add(&folder, missing, &entries[at], text("same"))
            .unwrap();
    }
    look.finish(1, None).unwrap();
    let between = |since: Option<i64>, until: Option<i64>| {
        for terms in [Vec::new(), query(Field::Any, "same").terms] {
            let query = Query {
                terms,
                since,
                until,
                gone: false,
            };
            let rows = found(&search, &query);
            let expected = times.iter().filter(|&&t| {
                since.is_none_or(|since| t >= since) && until.is_none_or(|until| t < until)
            });
            assert_eq!(rows.len(), expected.count(), "{since:?} {until:?}");
        }
    };
    let edges = [
        None,
        Some(i64::MIN),
        Some(0),
        Some(1_800_000_000),
        Some(1_800_000_001),
        Some(i64::MAX),
    ];
    for since in edges {
        for until in edges {
            between(since, until);
        }
    }
}

#[test]
fn the_newest_come_first_in_one_mailbox_and_in_many() {
    let search = Search::temporary(b"").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    learn(
        &search,
        &mut mailbox,
        1,
        &[("INBOX", &["x 1", "x 333", "x 55555"])],
    );
    let lengths = |search: &Search, text: &str| -> Vec<usize> {
        let rows = found(search, &query(Field::Any, text));
        rows.iter().map(|row| row.name.len() - 2).collect()
    };
    assert_eq!(lengths(&search, "x"), [5, 3, 1]);
    let mut other = search
        .mailbox(b"example.com/bob/Maildir", "bob@example.com")
        .unwrap();
    learn(&search, &mut other, 1, &[("INBOX", &["x 22", "x 4444"])]);
    assert_eq!(lengths(&search, "x"), [5, 4, 3, 2, 1]);
    // Who may not enter a mailbox finds nothing of it.
    let mailboxes = search.mailboxes().unwrap();
    let mut seen = Vec::new();
    search
        .find(&query(Field::Any, "x"), &mailboxes[1..], |mailbox, row| {
            seen.push((mailbox.name.clone(), row.name));
            Ok(true)
        })
        .unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(mailbox, _)| mailbox == "bob@example.com"));
    let gone = Query {
        gone: true,
        ..Query::default()
    };
    assert_eq!(found(&search, &gone).len(), 0);
    learn(&search, &mut other, 2, &[("INBOX", &["x 22"])]);
    assert_eq!(found(&search, &gone).len(), 1);
    search.forget(&other).unwrap();
    assert_eq!(lengths(&search, "x"), [5, 3, 1]);
}

#[test]
fn damage_is_noticed_and_the_way_out_is_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("search.sqlite");
    for damage in [
        "UPDATE message SET subject = 'other'",
        "UPDATE message SET id = id + (1 << 40); UPDATE mailbox SET id = id + 1; UPDATE folder SET mailbox = mailbox + 1",
        "UPDATE folder SET shown = 'Sent'",
        "UPDATE mailbox SET name = 'bob@example.com'",
        "DELETE FROM folder",
        "DROP TABLE message",
    ] {
        let search = Search::open(dir.path(), b"").unwrap();
        let mut mailbox = search.mailbox(PATH, NAME).unwrap();
        learn(&search, &mut mailbox, 1, &[("INBOX", &["Anna"])]);
        let ask = |search: &Search| -> Result<usize> {
            let mut count = 0;
            let mailboxes = search.mailboxes()?;
            search.find(&query(Field::Any, "anna"), &mailboxes, |mailbox, row| {
                search.folder(mailbox, &row)?;
                count += 1;
                Ok(true)
            })?;
            Ok(count)
        };
        assert_eq!(ask(&search).unwrap(), 1, "{damage}");
        let other = Connection::open(&path).unwrap();
        other.busy_timeout(WAIT).unwrap();
        other.execute_batch(damage).unwrap();
        drop(other);
        let e = ask(&search).unwrap_err();
        assert!(search.is_damaged(), "{damage}: {e}");
        let search = search.renewed().unwrap();
        assert_eq!(ask(&search).unwrap(), 0, "{damage}");
    }
    std::fs::write(&path, "garbage").unwrap();
    assert!(
        Search::open(dir.path(), b"")
            .unwrap()
            .mailboxes()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn another_fingerprint_empties_it() {
    let dir = tempfile::tempdir().unwrap();
    let search = Search::open(dir.path(), b"1").unwrap();
    let mut mailbox = search.mailbox(PATH, NAME).unwrap();
    learn(&search, &mut mailbox, 1, &[("INBOX", &["Anna"])]);
    search.set_complete(&[(1, 2)]).unwrap();
    let search = Search::open(dir.path(), b"1").unwrap();
    assert_eq!(search.complete().unwrap(), [(1, 2)]);
    let search = Search::open(dir.path(), b"2").unwrap();
    assert!(search.complete().unwrap().is_empty());
    assert!(search.mailboxes().unwrap().is_empty());
    search.mailbox(PATH, NAME).unwrap();
    assert!(found(&search, &query(Field::Any, "anna")).is_empty());
}

#[test]
fn one_learns_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (
        Search::open(dir.path(), b"").unwrap(),
        Search::open(dir.path(), b"").unwrap(),
    );
    let lock = one.lock(Duration::ZERO).unwrap();
    assert!(lock.is_some());
    assert!(other.lock(Duration::from_millis(50)).unwrap().is_none());
    drop(lock);
    assert!(other.lock(Duration::ZERO).unwrap().is_some());
}

#[test]
fn what_root_makes_is_the_users_whose_directory_it_is() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(4_242_424), Some(4_242_424)).unwrap();
    let search = Search::open(dir.path(), b"").unwrap();
    search.mailbox(PATH, NAME).unwrap();
    let _lock = search.lock(Duration::ZERO).unwrap();
    let files: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|f| f.unwrap())
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().uid(), 4_242_424, "{file:?}");
    }
}
