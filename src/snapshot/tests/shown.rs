//! What is a snapshot, what date it has, and which of a date is shown.

use super::*;

#[test]
fn the_last_snapshot_of_a_local_date_is_shown() {
    let store = Store::new();
    for name in [
        "hourly.2026-11-20_1005",
        "hourly.2026-11-20_2305",
        "hourly.2026-11-21_0005",
        "x_20261119_233000_000",
    ] {
        store.make(name);
    }
    let catalogue = store.open(store.options());
    let dates = catalogue.dates();
    // The zrepl-like name is UTC: half past midnight in Rome.
    assert_eq!(labels(&dates), ["2026-11-20", "2026-11-21"]);
    assert_eq!(
        names(&dates),
        ["hourly.2026-11-20_2305", "hourly.2026-11-21_0005"]
    );
    assert_eq!(dates.all.len(), 4);
    assert_eq!(dates.latest(), Some("2026-11-21"));
    assert_eq!(dates.generation, 1);
    let first = &dates.all[0];
    assert_eq!(
        (first.label.as_str(), first.time),
        ("2026-11-20", utc("2026-11-19T23:30:00Z"))
    );
    assert_eq!(first.root, store.path().join("x_20261119_233000_000"));
    let newest_first: Vec<_> = dates.newest_first().map(|s| s.label.as_str()).collect();
    assert_eq!(newest_first, ["2026-11-21", "2026-11-20"]);
}

/// Snapshots of these names, each with a label of its own.
fn each(names: &[&str]) -> (Store, Catalogue) {
    let store = Store::new();
    for name in names {
        store.make(name);
    }
    let catalogue = store.open(Options {
        granularity: Granularity::Snapshot,
        ..store.options()
    });
    (store, catalogue)
}

#[test]
fn every_snapshot_can_have_its_own_label() {
    let (_store, catalogue) = each(&[
        "hourly.2026-11-20_1005",
        "daily.2026-11-20_1005",
        "hourly.2026-11-20_1105",
    ]);
    let dates = catalogue.dates();
    assert_eq!(
        labels(&dates),
        ["2026-11-20_1005", "2026-11-20_1006", "2026-11-20_1105"]
    );
    assert_eq!(
        names(&dates),
        [
            "daily.2026-11-20_1005",
            "hourly.2026-11-20_1005",
            "hourly.2026-11-20_1105"
        ]
    );
}

#[test]
fn snapshots_of_one_minute_get_labels_of_their_own() {
    let (store, catalogue) = each(&[
        "s.2026-11-20_100501",
        "s.2026-11-20_100502",
        "t.2026-11-20_100502",
        "s.2026-11-20_100503",
        "s.2026-11-20_100600",
    ]);
    let dates = catalogue.dates();
    assert_eq!(
        labels(&dates),
        [
            "2026-11-20_1005",
            "2026-11-20_1006",
            "2026-11-20_1007",
            "2026-11-20_1008",
            "2026-11-20_1009"
        ]
    );
    assert_eq!(
        names(&dates),
        [
            "s.2026-11-20_100501",
            "s.2026-11-20_100600",
            "s.2026-11-20_100502",
            "t.2026-11-20_100502",
            "s.2026-11-20_100503"
        ]
    );
    assert_eq!(dates.latest(), Some("2026-11-20_1006"));
    let newest_first: Vec<_> = dates.newest_first().map(|s| s.time).collect();
    assert!(newest_first.is_sorted_by(|a, b| a >= b), "{newest_first:?}");

    // The name that was in the way is free again.
    fs::remove_dir(store.path().join("s.2026-11-20_100501")).unwrap();
    catalogue.refresh().unwrap();
    assert_eq!(names(&catalogue.dates())[0], "s.2026-11-20_100502");
}

#[test]
fn snapshots_of_the_last_minute_stay_on_their_date() {
    let (_store, catalogue) = each(&[
        "s.2026-11-20_235800",
        "s.2026-11-20_235901",
        "s.2026-11-20_235959",
        "s.2026-11-21_000000",
    ]);
    let dates = catalogue.dates();
    assert_eq!(
        labels(&dates),
        [
            "2026-11-20_2357",
            "2026-11-20_2358",
            "2026-11-20_2359",
            "2026-11-21_0000"
        ]
    );
    assert_eq!(names(&dates)[0], "s.2026-11-20_235959");
    assert_eq!(dates.latest(), Some("2026-11-21_0000"));
}

#[test]
fn equal_moments_are_settled_by_directory_then_name() {
    let (first, second) = (Store::new(), Store::new());
    for name in ["mail.20261114_9", "mail.20261114_10", "mail.20261114"] {
        first.make(name);
    }
    let catalogue = first.open(first.options());
    assert_eq!(names(&catalogue.dates()), ["mail.20261114_10"]);
    second.make("a.20261114");
    let dirs = vec![first.path().into(), second.path().into()];
    let both = first.open(Options {
        dirs,
        ..first.options()
    });
    assert_eq!(names(&both.dates()), ["a.20261114"]);
}

#[test]
fn daylight_saving_changes() {
    let store = Store::new();
    // 02:30 twice, and the last minute of a day of 25 hours.
    for name in [
        "s-2026-10-25T02:30:00+02:00",
        "s-2026-10-25T02:30:00+01:00",
        "daily.2026-10-25_2359",
    ] {
        store.make(name);
    }
    let each = Options {
        granularity: Granularity::Snapshot,
        ..store.options()
    };
    let dates = store.open(each).dates();
    assert_eq!(
        labels(&dates),
        ["2026-10-25_0230", "2026-10-25_0231", "2026-10-25_2359"]
    );
    assert_eq!(names(&dates)[1], "s-2026-10-25T02:30:00+01:00");
    assert_eq!(labels(&store.open(store.options()).dates()), ["2026-10-25"]);

    // A day of 23 hours: the moments either side of midnight, in UTC names.
    let spring = Store::new();
    for name in [
        "@GMT-2026.03.28-22.59.59",
        "@GMT-2026.03.28-23.00.00",
        "@GMT-2026.03.29-21.59.59",
        "@GMT-2026.03.29-22.00.00",
    ] {
        spring.make(name);
    }
    let dates = spring.open(spring.options()).dates();
    assert_eq!(labels(&dates), ["2026-03-28", "2026-03-29", "2026-03-30"]);
    assert_eq!(names(&dates)[1], "@GMT-2026.03.29-21.59.59");
    // keep_days counts dates, not days of 24 hours.
    spring
        .now
        .store(utc("2026-03-30T21:59:59Z"), Ordering::Relaxed);
    let kept = spring
        .open(Options {
            keep_days: Some(1),
            ..spring.options()
        })
        .dates();
    assert_eq!(labels(&kept), ["2026-03-29", "2026-03-30"]);
}

fn snapper(store: &Store, number: u32, date: &str) -> PathBuf {
    let root = store.make(&format!("{number}/snapshot"));
    let info = format!(
        "<?xml version=\"1.0\"?>\n<snapshot>\n  <num>{number}</num>\n  <date>{date}</date>\n</snapshot>\n"
    );
    fs::write(root.with_file_name("info.xml"), info).unwrap();
    root
}

#[test]
fn snapper_is_dated_by_info_xml() {
    let store = Store::new();
    let root = snapper(&store, 7, "2026-11-14 23:30:01");
    store.make("8");
    let catalogue = store.open(store.options());
    let dates = catalogue.dates();
    assert_eq!(labels(&dates), ["2026-11-15"]);
    assert_eq!(
        (&dates.all[0].root, dates.all[0].dated_by),
        (&root, DatedBy::InfoXml)
    );
    let listed = &catalogue.directories()[0];
    assert_eq!((listed.kind, listed.others.len()), ("snapper", 1));

    // A number used again, and one without info.xml once snapper had its time to write it.
    fs::remove_dir_all(store.path().join("7")).unwrap();
    snapper(&store, 7, "2026-11-16 23:30:01");
    touch(&store.make("8/snapshot"), "2026-11-10 00:00");
    let changes = catalogue.refresh().unwrap().unwrap();
    assert_eq!(
        (changes.appeared, changes.vanished),
        (vec!["2026-11-17".into()], vec!["2026-11-15".into()])
    );
    touch(&store.path().join("8"), "2026-11-20 00:00");
    assert_eq!(
        catalogue.refresh().unwrap().unwrap().appeared,
        ["2026-11-10"]
    );

    // The directory stays, the snapshot goes.
    fs::remove_dir(store.path().join("8/snapshot")).unwrap();
    assert_eq!(
        catalogue.refresh().unwrap().unwrap().vanished,
        ["2026-11-10"]
    );
}

#[test]
fn hostile_info_xml() {
    let store = Store::new();
    for (number, info) in [
        (1, &b"<date>\xff\xfe</date>"[..]),
        (2, b"<date>2026-11-14 03:00:01"),
        (3, &[b'<'; 200_000]),
    ] {
        let root = store.make(&format!("{number}/snapshot"));
        fs::write(root.with_file_name("info.xml"), info).unwrap();
        touch(&root, "2026-11-11 00:00");
        touch(root.parent().unwrap(), "2026-11-11 00:00");
    }
    let root = store.make("4/snapshot");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.with_file_name("info.xml"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    touch(&root, "2026-11-11 00:00");
    touch(root.parent().unwrap(), "2026-11-11 00:00");
    let dates = store.open(store.options()).dates();
    assert_eq!(labels(&dates), ["2026-11-11"]);
    assert!(dates.all.iter().all(|s| s.dated_by == DatedBy::RootTime));
    assert_eq!(dates.all.len(), 4);
}

#[test]
fn numbers_without_snapper_are_names_without_a_date() {
    let store = Store::new();
    touch(&store.make("1"), "2026-11-18 03:00");
    assert_eq!(labels(&store.open(store.options()).dates()), ["2026-11-18"]);
}

#[test]
fn a_pattern_decides_alone() {
    let store = Store::new();
    for name in ["keep-2026-11-20", "2026-11-19", "daily.0", ".x-2026-11-18"] {
        store.make(name);
    }
    let with = |pattern: &str| Options {
        name: Some(pattern.into()),
        ..store.options()
    };
    let catalogue = store.open(with("keep-%Y-%m-%d"));
    assert_eq!(names(&catalogue.dates()), ["keep-2026-11-20"]);
    assert_eq!(catalogue.dates().all[0].dated_by, DatedBy::Pattern);
    assert_eq!(catalogue.directories()[0].others.len(), 3);
    assert_eq!(names(&store.open(with(".x-%F")).dates()), [".x-2026-11-18"]);
    let error = Catalogue::open(with("%Y-%Q")).err().unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("\"%Y-%Q\""));
}

#[test]
fn links_and_files_are_no_snapshots() {
    let store = Store::new();
    let real = store.make("2026-11-20");
    std::os::unix::fs::symlink(&real, store.path().join("2026-11-21")).unwrap();
    fs::write(store.path().join("2026-11-19"), "").unwrap();
    let number = store.make("7");
    std::os::unix::fs::symlink(&real, number.join("snapshot")).unwrap();
    touch(&number, "2026-11-20 00:00");
    let catalogue = store.open(store.options());
    assert_eq!(labels(&catalogue.dates()), ["2026-11-20"]);
    assert!(
        catalogue
            .dates()
            .all
            .iter()
            .all(|s| s.root != number.join("snapshot"))
    );
    assert_eq!(
        catalogue.directories()[0].others,
        [
            ("2026-11-19".into(), "is no directory"),
            ("2026-11-21".into(), "is a symbolic link")
        ]
    );
}

#[test]
fn what_is_below_is_shown() {
    let store = Store::new();
    store.make("2026-11-20/srv/vmail");
    store.make("2026-11-21/srv");
    store.make("elsewhere");
    std::os::unix::fs::symlink("../elsewhere", store.make("2026-11-19/srv").join("vmail")).unwrap();
    let catalogue = store.open(Options {
        below: "srv/vmail".into(),
        ..store.options()
    });
    assert_eq!(labels(&catalogue.dates()), ["2026-11-20"]);
    assert_eq!(
        catalogue.dates().all[0].root,
        store.path().join("2026-11-20/srv/vmail")
    );
}

#[test]
fn the_newest_is_late_after_one_and_a_half_intervals() {
    let store = Store::new();
    for day in 15..=20 {
        store.make(&format!("daily.2026-11-{day}_0300"));
    }
    store.make("extra-2026-11-18_1200");
    let dates = store.open(store.options()).dates();
    let age = |text| dates.newest_age(utc(text)).unwrap();
    assert_eq!(
        age("2026-11-21T02:00:00Z"),
        NewestAge {
            age: 86_400,
            interval: Some(86_400)
        }
    );
    assert!(!age("2026-11-21T14:00:00Z").is_late());
    assert!(age("2026-11-21T14:00:01Z").is_late());
}

#[test]
fn series_of_snapshots_of_different_things_are_told_from_names() {
    let pattern = |names: &[&str]| {
        let store = Store::new();
        for name in names {
            store.make(name);
        }
        let catalogue = store.open(store.options());
        let two = catalogue.directories()[0].two_series();
        two.map(|two| two.pattern)
    };
    let two = ["vmail.20261120T0300", "www.20261120T0301"];
    assert_eq!(pattern(&two).as_deref(), Some("vmail.%Y%m%dT%H%M"));
    let two = ["mail-2026-11-20T03:00:00", "www-2026-11-20T03:10:00"];
    assert_eq!(pattern(&two).as_deref(), Some("mail-%Y-%m-%dT%H:%M:%S"));
    for one in [
        ["vmail.20261120T0300", "vmail.20261120T0400"],
        ["vmail.20261120T0300", "www.20261119T0300"],
        ["hourly.2026-11-20_1005", "daily.2026-11-20_0005"],
        [
            "vmail-daily-2026-11-20-0100",
            "vmail-hourly-2026-11-20-0200",
        ],
        [
            "autosnap_2026-11-20_00:00:01_daily",
            "syncoid_host_2026-11-20_01:00:01",
        ],
        ["2026-11-20-0300", "2026-11-20-0400"],
    ] {
        assert_eq!(pattern(&one), None, "{one:?}");
    }
}

#[test]
fn kinds_are_told_from_names() {
    for (kind, example) in [
        ("NetApp", "hourly.2026-11-20_1005"),
        ("ZFS", "autosnap_2026-11-20_00:00:01_daily"),
        ("btrbk", "mail.20261114T0300"),
        ("restic", "2026-11-18T03:00:00Z"),
        ("borg", "host-2026-11-14T03:00:00"),
        ("CephFS", "scheduled-2026-11-20-00_00_00_UTC"),
        ("Time Machine", "2026-11-20-031500.backup"),
        ("dated directories", "2026-11-20"),
        ("dated directories", "before-upgrade"),
    ] {
        let store = Store::new();
        store.make(example);
        assert_eq!(
            store.open(store.options()).directories()[0].kind,
            kind,
            "{example}"
        );
    }
    let store = Store::new();
    let dir = store.make(".snapshot");
    assert_eq!(
        store
            .open(Options {
                dirs: vec![dir],
                ..store.options()
            })
            .directories()[0]
            .kind,
        "NetApp"
    );
}
