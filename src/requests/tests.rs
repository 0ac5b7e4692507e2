//! The database of requests: states, letters, two processes at once.

use super::outbox::LetterKind;
use super::*;
use crate::error::Kind;
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.join("portal"),
        admins: vec!["Post@example.com".into(), "carla@example.com".into()],
        zone: crate::time::Zone::parse("Europe/Rome").unwrap(),
        keep_days: Some(15),
        cost: Some("80 EUR + VAT".into()),
        ..Options::default()
    }
}

fn new(token: &str) -> New {
    New {
        token: token.into(),
        mailbox: "alice@example.com".into(),
        asked_by: "alice@example.com".into(),
        date: "2026-11-20".into(),
        snapshot_time: 1_795_215_600,
        note: "please\r\nsoon\u{202e}\u{7}".into(),
        ..New::default()
    }
}

#[test]
fn what_was_asked_for_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let asked = New {
        folder: Some("Archive/2024".into()),
        messages: vec!["K7Q2M4XZ".into(), "K7Q2M4XY".into()],
        into: Some("Restored".into()),
        language: crate::language::Language::Italian,
        ..new("1")
    };
    let id = store.make(asked.clone()).unwrap();
    drop(store);
    let found = Store::open(options(dir.path())).unwrap().get(id).unwrap();
    assert_eq!(found.messages, asked.messages);
    let request = found.request;
    assert_eq!(request.note, "please\nsoon");
    assert_eq!((request.state, request.message_count), (State::Pending, 2));
    assert_eq!(request.into, asked.into);
    assert_eq!(request.language, asked.language);
    assert_eq!(request.cost.unwrap(), "80 EUR + VAT");
    // 2026-11-21 in Rome, and fifteen days.
    assert_eq!(request.expires.unwrap().to_string(), "2026-12-06");
    let modes = ["", "requests.sqlite"].map(|name| {
        let meta = std::fs::metadata(dir.path().join("portal").join(name)).unwrap();
        meta.permissions().mode() & 0o7777
    });
    assert_eq!(modes, [0o700, 0o600]);
}

#[test]
fn a_form_sent_twice_is_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let first = store.make(new("1")).unwrap();
    assert_eq!(store.make(new("1")).unwrap(), first);
    assert_ne!(store.make(new("2")).unwrap(), first);
    let of_another = New {
        asked_by: "bob@example.com".into(),
        ..new("1")
    };
    assert_ne!(store.make(of_another).unwrap(), first);
    assert_eq!(store.letters_waiting().unwrap(), 6);
}

#[test]
fn limits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for wrong in [
        New {
            note: "x".repeat(LONGEST_NOTE + 1),
            ..new("a")
        },
        New {
            messages: vec!["K7Q2M4XZ".into(); MOST_MESSAGES + 1],
            ..new("a")
        },
        New {
            asked_by: "alice@example.com\r\nBcc: bob@example.com".into(),
            ..new("a")
        },
        New {
            token: String::new(),
            ..new("a")
        },
        New {
            folder: Some(String::new()),
            ..new("a")
        },
    ] {
        assert_eq!(store.make(wrong).unwrap_err().kind(), Kind::Invalid);
    }
    let ids: Vec<Id> = (0..MOST_PENDING)
        .map(|n| store.make(new(&n.to_string())).unwrap())
        .collect();
    let e = store.make(new("one more")).unwrap_err();
    assert_eq!(e.kind(), Kind::Invalid, "{e}");
    store.decline(ids[3], "carla", "no").unwrap();
    store.make(new("one more")).unwrap();
}

#[test]
fn states_change_along_their_lines_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let mut legal = 0;
    for path in [
        &[][..],
        &[State::Approved],
        &[State::Approved, State::Running],
        &[State::Approved, State::Running, State::Done],
        &[State::Approved, State::Running, State::Partial],
        &[State::Approved, State::Running, State::Failed],
        &[State::Declined],
        &[State::Lapsed],
    ] {
        for to in State::ALL {
            let id = store
                .make(New {
                    asked_by: format!("{path:?}{to}"),
                    ..new("1")
                })
                .unwrap();
            let step = |to: State| {
                store.lock().change("testing", |transaction| {
                    store.advance(transaction, id, to, "carla", Some("why"))
                })
            };
            for to in path {
                step(*to).unwrap();
            }
            let before = store.get(id).unwrap();
            match step(to) {
                Ok(()) => legal += 1,
                Err(e) => {
                    assert_eq!(e.kind(), Kind::Invalid);
                    assert!(e.to_string().contains("already"), "{e}");
                    let after = store.get(id).unwrap();
                    assert_eq!(after.events, before.events);
                    assert_eq!(after.request, before.request);
                    assert_eq!(after.letters, before.letters);
                }
            }
        }
    }
    assert_eq!(legal, 7);
}

#[test]
fn deciding_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let id = store.make(new("1")).unwrap();
    assert_eq!(
        store.decline(id, "carla", " \n").unwrap_err().kind(),
        Kind::Invalid
    );
    store.approve(id, "carla").unwrap();
    for e in [store.approve(id, "post"), store.decline(id, "post", "no")] {
        let e = e.unwrap_err().to_string();
        assert!(e.contains("already approved") && e.contains("carla"), "{e}");
    }
    let missing = store.approve(Id(99), "carla").unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    let found = store.get(id).unwrap();
    let states: Vec<State> = found.events.iter().map(|e| e.to).collect();
    assert_eq!(states, [State::Pending, State::Approved]);
    assert_eq!(found.request.decided_by.as_deref(), Some("carla"));
}

/// Many decide at the same time, each by a connection of his own: one of them does.
#[test]
fn one_of_many_decides() {
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<Id> = {
        let store = Store::open(options(dir.path())).unwrap();
        (0..10)
            .map(|n| store.make(new(&n.to_string())).unwrap())
            .collect()
    };
    let won: usize = std::thread::scope(|scope| {
        let deciding = |who: usize| {
            let (ids, path) = (&ids, dir.path());
            scope.spawn(move || {
                let store = Store::open(options(path)).unwrap();
                let decide = |&id: &Id| match who % 2 {
                    0 => store.approve(id, "a"),
                    _ => store.decline(id, "d", "no"),
                };
                ids.iter().filter(|id| decide(id).is_ok()).count()
            })
        };
        let all: Vec<_> = (0..6).map(deciding).collect();
        all.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(won, ids.len());
    let store = Store::open(options(dir.path())).unwrap();
    for id in ids {
        assert_eq!(store.get(id).unwrap().events.len(), 2);
    }
}

#[test]
fn letters_are_queued_with_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let to = |id: Id| -> HashSet<(LetterKind, String)> {
        let letters = store.get(id).unwrap().letters;
        letters.into_iter().map(|l| (l.kind, l.recipient)).collect()
    };
    let asked = |kinds: &[(LetterKind, &str)]| -> HashSet<(LetterKind, String)> {
        let admins = ["post@example.com", "carla@example.com"];
        let asked = admins.map(|admin| (LetterKind::Asked, admin));
        let all = asked.into_iter().chain(kinds.iter().copied());
        all.map(|(kind, to)| (kind, to.to_owned())).collect()
    };
    let alice = "alice@example.com";
    let declined = store.make(new("1")).unwrap();
    store.decline(declined, "carla", "no").unwrap();
    assert_eq!(to(declined), asked(&[(LetterKind::Declined, alice)]));
    let failed = store
        .make(New {
            asked_by: "Carla@example.com".into(),
            ..new("2")
        })
        .unwrap();
    store.approve(failed, "post").unwrap();
    assert_eq!(to(failed), asked(&[]));
    assert_eq!(store.next_to_carry_out().unwrap(), Some(failed));
    store.begin(failed).unwrap();
    store.begin(failed).unwrap();
    store.end(failed, State::Failed, Some("why"), None).unwrap();
    assert!(store.end(failed, State::Done, None, None).is_err());
    assert_eq!(
        to(failed),
        asked(&[
            (LetterKind::Failed, "Carla@example.com"),
            (LetterKind::FailedAdmin, "post@example.com"),
        ])
    );
}

fn now() -> i64 {
    store::now()
}

#[test]
fn letters_wait_until_they_are_sent() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    store.make(new("1")).unwrap();
    let now = now() + 1;
    let first = store.due_letter(now).unwrap().unwrap();
    store
        .letter_refused(&first, "server down", now, Some(now + 60))
        .unwrap();
    let second = store.due_letter(now).unwrap().unwrap();
    assert_ne!(first.recipient, second.recipient);
    store.letter_sent(&second, now).unwrap();
    assert_eq!(store.due_letter(now).unwrap(), None);
    assert_eq!(store.letters_waiting().unwrap(), 1);
    let again = store.due_letter(now + 60).unwrap().unwrap();
    assert_eq!((again.row, again.attempts), (first.row, 1));
    assert_eq!(again.tried, Some(now));
    store
        .letter_refused(&again, "no such user", now + 60, None)
        .unwrap();
    assert_eq!(store.due_letter(i64::MAX).unwrap(), None);
}

#[test]
fn lists_and_exports() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let ids: Vec<Id> = (0..5)
        .map(|n| {
            let note = format!("=cmd|{n}, \"x\"");
            store
                .make(New {
                    note,
                    ..new(&n.to_string())
                })
                .unwrap()
        })
        .collect();
    store.approve(ids[1], "carla@example.com").unwrap();
    let listed = |filter: Filter| -> Vec<Id> {
        let found = store.list(&filter).unwrap();
        found.into_iter().map(|request| request.id).collect()
    };
    assert_eq!(
        listed(Filter::default()),
        [ids[4], ids[3], ids[2], ids[1], ids[0]]
    );
    assert_eq!(
        listed(Filter {
            state: Some(State::Pending),
            before: Some(ids[3]),
            limit: Some(1),
            ..Filter::default()
        }),
        [ids[2]]
    );
    assert_eq!(
        listed(Filter {
            asked_by: Some("bob@example.com".into()),
            ..Filter::default()
        }),
        []
    );
    assert_eq!(store.counts().unwrap()[&State::Pending], 4);
    let csv = store.csv(&Filter::default()).unwrap();
    assert_eq!(csv.lines().count(), 6);
    assert!(
        csv.contains(",80 EUR + VAT,\"'=cmd|4, \"\"x\"\"\"\r\n"),
        "{csv}"
    );
}

#[test]
fn a_file_of_others_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    drop(Store::open(options.clone()).unwrap());
    let path = options.dir.join("requests.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let e = Store::open(options.clone()).unwrap_err();
    assert_eq!(e.kind(), Kind::Config, "{e}");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    std::fs::write(&path, "not a database, but something that somebody needs").unwrap();
    let e = Store::open(options.clone()).unwrap_err().to_string();
    assert!(e.contains("not a database") && e.contains("backup"), "{e}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"not a"));
}

#[test]
fn what_ended_long_ago_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options {
        keep_requests: Some(30),
        ..options(dir.path())
    })
    .unwrap();
    let turn = Turn::take(&dir.path().join("portal")).unwrap().unwrap();
    let ids: Vec<Id> = (0..4)
        .map(|n| store.make(new(&n.to_string())).unwrap())
        .collect();
    for id in &ids[..3] {
        store.decline(*id, "carla@example.com", "no").unwrap();
    }
    let change = |sql: &str| {
        store
            .lock()
            .change("a test", |transaction| Ok(transaction.execute_batch(sql)?))
            .unwrap();
    };
    // The first two ended long ago, as did the beginning of all; of the second a letter still waits.
    change("UPDATE event SET at = at - 31 * 86400 WHERE request IN (1, 2) OR to_state = 'pending'");
    change("UPDATE letter SET sent = queued WHERE NOT (request = 2 AND kind = 'declined')");
    assert_eq!(store.forget_old(&turn).unwrap(), 1);
    let left: Vec<Id> = store
        .list(&Filter::default())
        .unwrap()
        .iter()
        .map(|request| request.id)
        .collect();
    assert_eq!(left, [ids[3], ids[2], ids[1]]);
    assert!(store.get(ids[0]).is_err());
    // Its number is not given again, so that no letter is taken for one about another request.
    assert_eq!(store.make(new("again")).unwrap(), Id(5));
}
