//! What a refresh finds: new, gone, renamed, made again, unreadable.

use super::*;

#[test]
fn nothing_changes_without_a_change() {
    let store = Store::new();
    store.make("2026-11-20");
    let catalogue = store.open(store.options());
    let before = catalogue.dates();
    assert_eq!(catalogue.refresh().unwrap(), None);
    assert!(Arc::ptr_eq(&before, &catalogue.dates()));
    assert!(Arc::ptr_eq(&before.all[0], &catalogue.dates().all[0]));
}

#[test]
fn snapshots_appear_and_vanish() {
    let store = Store::new();
    let old = store.make("2026-11-19");
    store.make("2026-11-20_0100");
    let catalogue = store.open(store.options());
    let gone = Arc::clone(&catalogue.dates().all[0]);

    fs::remove_dir(old).unwrap();
    store.make("2026-11-21");
    store.make("2026-11-20_0200");
    store.make("2026-11-20_0030");
    let changes = catalogue.refresh().unwrap().unwrap();
    assert_eq!(
        changes,
        Changes {
            appeared: vec!["2026-11-21".into()],
            vanished: vec!["2026-11-19".into()],
            replaced: vec!["2026-11-20".into()],
            moved: vec![],
            gone: vec![gone],
        }
    );
    assert_eq!(catalogue.dates().generation, 2);
    assert_eq!(catalogue.refresh().unwrap(), None);
}

#[test]
fn a_snapshot_made_again_under_its_name_is_another() {
    let store = Store::new();
    let path = store.make("2026-11-20");
    let catalogue = store.open(store.options());
    let before = Arc::clone(&catalogue.dates().all[0]);

    // Content that still arrives.
    fs::create_dir(path.join("more")).unwrap();
    let changes = catalogue.refresh().unwrap().unwrap();
    assert_eq!(
        (changes.replaced, &changes.gone),
        (vec!["2026-11-20".into()], &vec![Arc::clone(&before)])
    );
    let between = Arc::clone(&catalogue.dates().all[0]);
    assert_ne!(before.key, between.key);
    assert_eq!(before.seed, between.seed);

    // Removed and made again, even within one interval.
    fs::remove_dir_all(&path).unwrap();
    touch(&store.make("2026-11-20"), "2026-11-20 03:00");
    assert_eq!(
        catalogue.refresh().unwrap().unwrap().replaced,
        ["2026-11-20"]
    );
    assert_ne!(catalogue.dates().all[0].key, between.key);
}

#[test]
fn a_rotated_snapshot_stays_the_same() {
    let store = Store::new();
    touch(&store.make("daily.1"), "2026-11-19 03:00");
    touch(&store.make("daily.0"), "2026-11-20 03:00");
    store.make(".sync");
    store.make("_delete.4711");
    let catalogue = store.open(store.options());
    let before = catalogue.dates();
    assert_eq!(labels(&before), ["2026-11-19", "2026-11-20"]);
    assert_eq!(before.all[0].dated_by, DatedBy::RootTime);

    fs::rename(store.path().join("daily.1"), store.path().join("daily.2")).unwrap();
    fs::rename(store.path().join("daily.0"), store.path().join("daily.1")).unwrap();
    touch(&store.make("daily.0"), "2026-11-21 03:00");
    let changes = catalogue.refresh().unwrap().unwrap();
    let after = catalogue.dates();
    assert_eq!(
        changes,
        Changes {
            appeared: vec!["2026-11-21".into()],
            moved: vec!["2026-11-19".into(), "2026-11-20".into()],
            ..Changes::default()
        }
    );
    for label in ["2026-11-19", "2026-11-20"] {
        let (before, after) = (&before.shown[label], &after.shown[label]);
        assert_eq!((&before.key, before.seed), (&after.key, after.seed));
        assert_ne!(before.root, after.root);
    }
    assert_eq!(after.shown["2026-11-20"].root, store.path().join("daily.1"));
    assert_eq!(catalogue.directories()[0].kind, "rsnapshot");
}

#[test]
fn seeds_do_not_depend_on_paths() {
    let (here, there) = (Store::new(), Store::new());
    for store in [&here, &there] {
        store.make("autosnap_2026-11-20_00:00:01_daily");
        touch(&store.make("before-upgrade"), "2026-11-18 03:00");
    }
    let seeds = |store: &Store| -> Vec<u64> {
        let dates = store.open(store.options()).dates();
        dates.all.iter().map(|s| s.seed).collect()
    };
    assert_eq!(seeds(&here), seeds(&there));
    assert_ne!(seeds(&here)[0], seeds(&here)[1]);
}

#[test]
fn keys_are_unique_even_where_only_the_path_differs() {
    let store = Store::new();
    touch(&store.make("a"), "2026-11-18 03:00");
    let snapshot = Arc::clone(&store.open(store.options()).dates().all[0]);
    let twin = Arc::new(Snapshot {
        name: "b".into(),
        ..Snapshot::clone(&snapshot)
    });
    let merged = Dates::merge(
        vec![vec![Arc::clone(&snapshot)], vec![twin]],
        |_| true,
        None,
    );
    assert_ne!(merged.all[0].key, merged.all[1].key);
    let alone = Dates::merge(vec![vec![Arc::clone(&snapshot)]], |_| true, None);
    assert_eq!(alone.all[0].key, snapshot.key);
}

#[test]
fn dates_expire_at_local_midnight() {
    let store = Store::new();
    for day in 15..=21 {
        store.make(&format!("daily.2026-11-{day}_2359"));
    }
    let set = |text| store.now.store(utc(text), Ordering::Relaxed);
    set("2026-11-21T22:59:59Z");
    let catalogue = store.open(Options {
        keep_days: Some(2),
        ..store.options()
    });
    assert_eq!(
        labels(&catalogue.dates()),
        ["2026-11-19", "2026-11-20", "2026-11-21"]
    );
    assert_eq!(catalogue.dates().all.len(), 3);
    set("2026-11-21T23:00:00Z");
    let changes = catalogue.refresh().unwrap().unwrap();
    assert_eq!(changes.vanished, ["2026-11-19"]);
    assert_eq!(changes.gone.len(), 1);
    // A clock put right brings it back.
    set("2026-11-21T22:00:00Z");
    assert_eq!(
        catalogue.refresh().unwrap().unwrap().appeared,
        ["2026-11-19"]
    );
}

#[test]
fn dates_expire_while_a_directory_cannot_be_read() {
    let store = Store::new();
    let dir = store.make("snapshots");
    store.make("snapshots/2026-11-20");
    store.make("snapshots/2026-11-21");
    let catalogue = store.open(Options {
        dirs: vec![dir.clone()],
        keep_days: Some(1),
        ..store.options()
    });
    fs::rename(&dir, store.path().join("away")).unwrap();
    store.now.fetch_add(86_400, Ordering::Relaxed);
    assert_eq!(
        catalogue.refresh().unwrap().unwrap().vanished,
        ["2026-11-20"]
    );
}

#[test]
fn a_missing_directory_is_an_error_at_first() {
    let store = Store::new();
    let missing = store.path().join("missing");
    let error = Catalogue::open(Options {
        dirs: vec![missing.clone()],
        ..store.options()
    })
    .err()
    .unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error.to_string().contains(missing.to_str().unwrap()),
        "{error}"
    );
    assert!(
        Catalogue::open(Options {
            dirs: vec![],
            ..store.options()
        })
        .is_err()
    );

    let empty = store.open(store.options());
    assert_eq!(
        (empty.dates().generation, empty.dates().latest()),
        (0, None)
    );
    assert_eq!(empty.dates().newest_age(0), None);
}

#[test]
fn a_directory_that_cannot_be_read_keeps_what_was_known() {
    let store = Store::new();
    let (one, two) = (store.make("one"), store.make("two"));
    store.make("one/2026-11-19");
    store.make("two/2026-11-20");
    let catalogue = store.open(Options {
        dirs: vec![one.clone(), two],
        ..store.options()
    });
    fs::rename(&one, store.path().join("away")).unwrap();
    fs::write(&one, "no directory").unwrap();
    store.make("two/2026-11-21");
    for _ in 0..2 {
        let _ = catalogue.refresh().unwrap();
        assert_eq!(
            labels(&catalogue.dates()),
            ["2026-11-19", "2026-11-20", "2026-11-21"]
        );
        let trouble = catalogue.directories()[0].trouble.clone().unwrap();
        assert!(
            trouble.to_string().contains(one.to_str().unwrap()),
            "{trouble}"
        );
    }
    fs::remove_file(&one).unwrap();
    fs::rename(store.path().join("away"), &one).unwrap();
    fs::remove_dir(one.join("2026-11-19")).unwrap();
    assert_eq!(
        catalogue.refresh().unwrap().unwrap().vanished,
        ["2026-11-19"]
    );
    assert!(catalogue.directories()[0].trouble.is_none());
}

#[test]
fn a_directory_that_is_known_to_be_silent_is_waited_for_later() {
    let store = Store::new();
    let (one, two) = (store.path().join("one"), store.make("two"));
    store.make("two/2026-11-20");
    let options = |silent: &[PathBuf]| Options {
        dirs: vec![one.clone(), two.clone()],
        silent: silent.to_vec(),
        ..store.options()
    };
    assert!(Catalogue::open(options(&[])).is_err());
    assert!(Catalogue::open(options(std::slice::from_ref(&two))).is_err());
    let catalogue = store.open(options(std::slice::from_ref(&one)));
    assert_eq!(labels(&catalogue.dates()), ["2026-11-20"]);
    assert_eq!(catalogue.unreadable(), std::slice::from_ref(&one));
    assert!(!catalogue.dates().is_whole);
    store.make("one/2026-11-19");
    let changes = catalogue.refresh().unwrap().unwrap();
    assert_eq!(changes.appeared, ["2026-11-19"]);
    assert!(catalogue.unreadable().is_empty() && catalogue.dates().is_whole);
}

#[test]
fn a_directory_that_hangs_holds_up_no_other() {
    let store = Store::new();
    let (one, two) = (store.make("one"), store.make("two"));
    store.make("one/2026-11-19");
    let timeout = Duration::from_millis(100);
    let catalogue = store.open(Options {
        dirs: vec![one, two],
        timeout,
        refresh: timeout / 4,
        ..store.options()
    });
    // The scan of the first directory waits for as long as this is held.
    let hung = catalogue.hang(0);
    let (sender, receiver) = mpsc::channel();
    let watch = catalogue
        .watch(move |changes| sender.send(changes).unwrap())
        .unwrap();
    store.make("two/2026-11-20");
    let changes = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(changes.appeared, ["2026-11-20"]);
    for _ in 0..5 {
        assert_eq!(catalogue.refresh().unwrap(), None);
    }
    assert_eq!(labels(&catalogue.dates()), ["2026-11-19", "2026-11-20"]);
    assert!(catalogue.directories()[0].trouble.is_some());
    let start = Instant::now();
    drop(watch);
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(hung);
    let _ = catalogue.refresh().unwrap();
    assert!(catalogue.directories()[0].trouble.is_none());
}

#[test]
fn a_watch_tells_of_every_change_until_it_is_dropped() {
    let store = Store::new();
    let catalogue = store.open(Options {
        refresh: Duration::from_millis(20),
        ..store.options()
    });
    let (sender, receiver) = mpsc::channel();
    let watch = catalogue
        .watch(move |changes| sender.send(changes).unwrap())
        .unwrap();
    for day in ["2026-11-19", "2026-11-20"] {
        store.make(day);
        // Whoever finds it first, the watch hears of it.
        let _ = catalogue.refresh().unwrap();
        let changes = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(changes.appeared, [day]);
    }
    drop(watch);
    // The channel closes when the last thread has gone.
    while receiver.recv_timeout(Duration::from_secs(20)).is_ok() {}
    assert_eq!(receiver.recv(), Err(mpsc::RecvError));
}
