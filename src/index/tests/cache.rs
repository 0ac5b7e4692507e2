//! Facts and folder packs.

use super::*;

#[test]
fn facts_keep_to_their_mailbox_size_and_time() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    put(&index, b"alice", b"m1", 10, b"one");
    put(&index, b"alice", b"m1", 11, b"two");
    put(&index, b"alice", b"m1", u64::MAX, b"three");
    put(&index, b"bob", b"m1", 10, b"");
    assert_eq!(
        fact(&index, b"alice", b"m1", 10).as_deref(),
        Some(&b"one"[..])
    );
    assert_eq!(
        fact(&index, b"alice", b"m1", 11).as_deref(),
        Some(&b"two"[..])
    );
    assert_eq!(
        fact(&index, b"alice", b"m1", u64::MAX).as_deref(),
        Some(&b"three"[..])
    );
    assert_eq!(fact(&index, b"bob", b"m1", 10).as_deref(), Some(&b""[..]));
    assert_eq!(fact(&index, b"bob", b"m1", 11), None);
    let mut later = key(b"m1", 10);
    later.mtime.nanos += 1;
    assert_eq!(index.facts(b"alice", &[later]), [None]);

    // Damage that gives one mailbox's rows to another.
    drop(index);
    let file = Connection::open(dir.path().join("facts.sqlite")).unwrap();
    file.execute_batch(
        "UPDATE mailbox SET key = X'00' WHERE key = CAST('bob' AS BLOB);
         UPDATE mailbox SET key = CAST('bob' AS BLOB) WHERE key = CAST('alice' AS BLOB);",
    )
    .unwrap();
    drop(file);
    let index = Index::open(dir.path());
    for size in [10, 11, u64::MAX] {
        assert_eq!(fact(&index, b"bob", b"m1", size), None);
    }
}

#[test]
fn an_altered_value_is_absent_until_it_is_put_again() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let file = Connection::open(dir.path().join("facts.sqlite")).unwrap();
    file.execute_batch("UPDATE fact SET value = 'sendes'; UPDATE listing SET content = X'010204'")
        .unwrap();
    drop(file);
    let index = Index::open(dir.path());
    assert_eq!(fact(&index, b"alice", b"m1", 10), None);
    assert_eq!(whole(index.pack(b"alice", b"INBOX", b"s1")), None);
    put(&index, b"alice", b"m1", 10, b"sender");
    assert!(fact(&index, b"alice", b"m1", 10).is_some());
}

#[test]
fn a_file_spoilt_while_in_use_is_replaced() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let index = Index::open(dir.path());
    let path = dir.path().join("facts.sqlite");
    let size = fs::metadata(&path).unwrap().len() as usize;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0x5a; size - 100], 100).unwrap();
    let (found, log) = with_log(|| fact(&index, b"alice", b"m1", 10));
    assert_eq!(found, None);
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    index.flush();
    put(&index, b"alice", b"m1", 10, b"again");
    assert_eq!(
        fact(&index, b"alice", b"m1", 10).as_deref(),
        Some(&b"again"[..])
    );
    assert!(dir.path().join("facts.sqlite.damaged").exists());
}

#[test]
fn the_oldest_states_of_a_folder_go() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    for state in 0..40u8 {
        index.put_pack(b"alice", b"INBOX", &[state], vec![state]);
    }
    index.put_pack(b"alice", b"Sent", b"s", vec![7]);
    index.flush();
    let file = Connection::open(dir.path().join("facts.sqlite")).unwrap();
    file.execute("UPDATE pack SET used = used - 24", [])
        .unwrap();
    assert_eq!(whole(index.pack(b"alice", b"INBOX", &[0])), Some(vec![0]));
    index.flush();
    for state in 40..42u8 {
        index.put_pack(b"alice", b"INBOX", &[state], vec![state]);
    }
    index.flush();
    let kept: Vec<u8> = (0..42)
        .filter(|state| index.pack(b"alice", b"INBOX", &[*state]).is_some())
        .collect();
    assert!(kept.iter().copied().eq([0].into_iter().chain(3..42)));
    assert_eq!(whole(index.pack(b"alice", b"Sent", b"s")), Some(vec![7]));
    let listings: i64 = file
        .query_row("SELECT count(*) FROM listing", [], |row| row.get(0))
        .unwrap();
    assert_eq!(listings, 41);
}

#[test]
fn two_states_share_a_listing_until_the_last_one_goes() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    let states = |index: &Index| [1, 2, 3].map(|s: u8| whole(index.pack(b"alice", b"INBOX", &[s])));
    index.put_pack(b"alice", b"INBOX", &[1], vec![7; 50]);
    index.put_pack_as(b"alice", b"INBOX", &[2], &[1]);
    index.put_pack_as(b"alice", b"INBOX", &[3], b"a state that nobody knows");
    index.put_pack_as(b"bob", b"INBOX", &[2], &[1]);
    index.flush();
    assert_eq!(states(&index), [Some(vec![7; 50]), Some(vec![7; 50]), None]);
    assert!(index.has_pack(b"alice", b"INBOX", &[2]) && !index.has_pack(b"alice", b"INBOX", &[3]));
    assert_eq!(whole(index.pack(b"bob", b"INBOX", &[2])), None);
    let file = Connection::open(dir.path().join("facts.sqlite")).unwrap();
    let listings = || -> i64 {
        file.query_row("SELECT count(*) FROM listing", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(listings(), 1);
    // A new listing for the first state leaves the second its own.
    index.put_pack(b"alice", b"INBOX", &[1], vec![8]);
    index.flush();
    assert_eq!(states(&index), [Some(vec![8]), Some(vec![7; 50]), None]);
    assert_eq!(listings(), 2);
    index.put_pack_as(b"alice", b"INBOX", &[2], &[1]);
    index.flush();
    assert_eq!(states(&index), [Some(vec![8]), Some(vec![8]), None]);
    assert_eq!(listings(), 1);
    // A row that points to another state's listing is not believed.
    index.put_pack(b"alice", b"INBOX", &[3], vec![9]);
    index.flush();
    file.execute(
        "UPDATE pack SET listing = (SELECT max(id) FROM listing) WHERE stamp = ?",
        [vec![2u8]],
    )
    .unwrap();
    assert_eq!(states(&index), [Some(vec![8]), None, Some(vec![9])]);
}

#[test]
fn what_is_added_to_a_listing_keeps_it() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    let file = || Connection::open(dir.path().join("facts.sqlite")).unwrap();
    let listings = |file: &Connection| -> i64 {
        file.query_row("SELECT count(*) FROM listing", [], |row| row.get(0))
            .unwrap()
    };
    let add = |state: u8, other: u8, added: Vec<u8>| {
        let whole = move |out: &mut dyn std::io::Write| out.write_all(&[state; 3]);
        index.put_pack_since(b"alice", b"INBOX", &[state], (&[other], added), 9, whole);
        index.flush();
    };
    let pack = |state: u8| {
        let pack = index.pack(b"alice", b"INBOX", &[state]);
        let plain = |part: &Part| part.plain().unwrap();
        pack.map(|pack| {
            (
                plain(&pack.whole),
                pack.added.iter().map(plain).collect::<Vec<_>>(),
            )
        })
    };
    index.put_pack(b"alice", b"INBOX", &[1], vec![1]);
    let large = vec![7; 2 << 20];
    add(2, 1, vec![2]);
    add(3, 2, large.clone());
    // Of a listing that nobody knows.
    add(4, 99, vec![4]);
    assert_eq!(pack(2), Some((vec![1], vec![vec![2]])));
    assert_eq!(pack(3), Some((vec![1], vec![vec![2], large])));
    assert_eq!(pack(4), Some((vec![4; 3], vec![])));
    // Not without end.
    for state in 5..40 {
        add(state, state - 1, vec![state]);
    }
    let most = (4..40).map(|state| pack(state).unwrap().1.len()).max();
    assert_eq!(most, Some(12));
    assert_eq!(pack(39).unwrap().1.last(), Some(&vec![39]));
    // When the others are replaced, what they were stays as long as it is needed.
    let before = pack(3);
    for state in [1, 2] {
        index.put_pack(b"alice", b"INBOX", &[state], vec![8]);
    }
    index.flush();
    assert_eq!((pack(3), pack(2)), (before, Some((vec![8], vec![]))));
    let count = listings(&file());
    index.put_pack(b"alice", b"INBOX", &[3], vec![9]);
    index.flush();
    assert_eq!(
        (pack(3), listings(&file())),
        (Some((vec![9], vec![])), count - 2)
    );
    // Nothing is put together of what does not belong together.
    let swap = "UPDATE listing SET base = (SELECT max(id) FROM listing WHERE base IS NULL) WHERE bases = 1";
    assert!(file().execute(swap, []).unwrap() > 0);
    assert_eq!((pack(5), pack(6)), (None, None));
    file()
        .execute("UPDATE listing SET base = id WHERE bases = 2", [])
        .unwrap();
    assert_eq!(pack(6), None);
}

#[test]
fn big_listings_come_back_whole() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    let even: Vec<u8> = (0..3 << 20).map(|i| (i / 100) as u8).collect();
    let mut odd = vec![0u8; 3 << 20];
    let mut state = 1u64;
    for byte in &mut odd {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    for (stamp, listing) in [(b"even", &even), (b"odd!", &odd)] {
        index.put_pack(b"alice", b"INBOX", stamp, listing.clone());
        index.put_pack(b"alice", b"INBOX", stamp, listing.clone());
        index.flush();
        assert!(whole(index.pack(b"alice", b"INBOX", stamp)).as_ref() == Some(listing));
    }
}

#[test]
fn a_full_queue_leaves_out_and_does_not_wait() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    let other = Connection::open(dir.path().join("facts.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begin = Instant::now();
    for state in 0..20u8 {
        index.put_pack(b"alice", b"INBOX", &[state], vec![0; 10 << 20]);
    }
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_hundred_thousand_facts_are_quick() {
    let dir = TempDir::new().unwrap();
    let index = Index::open(dir.path());
    let names: Vec<String> = (0..100_000)
        .map(|i| {
            format!(
                "17{i:08}.M{}P{}.mail.example.com,S=1234,W=1300",
                i * 7 % 999_983,
                i % 700
            )
        })
        .collect();
    let value = [b'x'; 200];
    let keys: Vec<_> = names.iter().map(|n| key(n.as_bytes(), 5)).collect();
    index.put_facts(b"alice", keys.iter().map(|k| (*k, &value[..])));
    index.flush();
    let begin = Instant::now();
    let found = index.facts(b"alice", &keys);
    let whole = begin.elapsed();
    assert_eq!(found.iter().flatten().count(), keys.len());
    let few: Vec<_> = keys.iter().step_by(1000).copied().collect();
    let begin = Instant::now();
    assert!(index.facts(b"alice", &few).iter().all(Option::is_some));
    eprintln!("100,000 keys {whole:?}, 100 keys {:?}", begin.elapsed());
    assert!(whole < Duration::from_secs(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn facts_are_what_was_put_last(
        put in proptest::collection::vec(("[ab]{0,4}", 0u64..3, "[xyz]{0,3}"), 0..80),
        asked in proptest::collection::vec(("[ab]{0,4}", 0u64..3), 0..80),
    ) {
        let dir = TempDir::new().unwrap();
        let index = Index::open(dir.path());
        index.put_facts(b"m", put.iter().map(|(i, s, v)| (key(i.as_bytes(), *s), v.as_bytes())));
        index.flush();
        let model: BTreeMap<_, _> = put.iter().map(|(i, s, v)| ((i, s), v.as_bytes())).collect();
        let keys: Vec<_> = asked.iter().map(|(i, s)| key(i.as_bytes(), *s)).collect();
        let found = index.facts(b"m", &keys);
        for ((identity, size), found) in asked.iter().zip(&found) {
            prop_assert_eq!(found.as_deref(), model.get(&(identity, size)).copied());
        }
    }
}
