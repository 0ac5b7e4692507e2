//! What the index of words learns, forgets, and has made anew.

use crate::harness::mount::mailtm;
use crate::harness::store::mail;
use crate::harness::{able, output, utc};
use crate::{ALICE, DAYS, find, one, setup, subjects, week};
use std::fs;

#[test]
fn what_is_new_is_learned_and_what_has_vanished_is_forgotten() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    week(&store);
    assert_eq!(subjects(&find(&config, &["preventivo"])).len(), 3);
    // A day on which all is as before but for a message, and one that comes later and lies earlier.
    store.link(DAYS[3], "2026-11-21");
    let alice = store.mailbox("2026-11-21", ALICE);
    alice.put(
        "cur",
        "6.new:2,",
        mail("x@example.com", "Preventivo nuovo", ""),
        utc("2026-11-20 20:00:00"),
    );
    let new = one(&config, &["nuovo"]);
    assert_eq!(
        (&new["first_date"], &new["last_date"]),
        (&"2026-11-21".into(), &"2026-11-21".into())
    );
    let early = store.mailbox("2026-11-10", ALICE);
    early.put(
        "cur",
        "0.early:2,",
        mail("x@example.com", "Preventivo vecchio", ""),
        utc("2026-11-09 20:00:00"),
    );
    let old = one(&config, &["vecchio"]);
    assert_eq!(
        (&old["last_date"], &old["gone_since"]),
        (&"2026-11-10".into(), &DAYS[0].into())
    );
    let deleted = one(&config, &["cucina"]);
    assert_eq!(
        (&deleted["first_date"], &deleted["gone_since"]),
        (&DAYS[0].into(), &DAYS[2].into())
    );
    // The dates on which it was are rotated away.
    for day in ["2026-11-10", DAYS[0], DAYS[1]] {
        fs::remove_dir_all(store.path.join(day)).unwrap();
    }
    assert!(subjects(&find(&config, &["vecchio"])).is_empty());
    assert!(subjects(&find(&config, &["cucina"])).is_empty());
    assert_eq!(subjects(&find(&config, &["preventivo"])).len(), 3);
    // A mailbox that is removed is gone since then.
    fs::remove_dir_all(store.path.join("2026-11-21/example.com/bob")).unwrap();
    let again = store.path.join("2026-11-22");
    fs::rename(store.path.join("2026-11-21"), again).unwrap();
    assert_eq!(one(&config, &["bagno"])["gone_since"], "2026-11-22");
}

#[test]
fn a_damaged_index_is_made_anew() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    week(&store);
    assert_eq!(subjects(&find(&config, &["preventivo"])).len(), 3);
    let file = config.index.join("search.sqlite");
    let size = fs::metadata(&file).unwrap().len();
    for damage in ["garbage", "", "zeros"] {
        match damage {
            "zeros" => {
                let mut bytes = fs::read(&file).unwrap();
                bytes[4096..].fill(0);
                fs::write(&file, bytes).unwrap();
            }
            text => fs::write(&file, text).unwrap(),
        }
        for rest in ["-wal", "-shm"] {
            let _ = fs::remove_file(config.index.join(format!("search.sqlite{rest}")));
        }
        assert_eq!(
            subjects(&find(&config, &["preventivo"])).len(),
            3,
            "{damage}"
        );
        assert!(fs::metadata(&file).unwrap().len() >= size / 2);
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn what_warm_has_learned_is_not_read_again() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    week(&store);
    let file = config.write().to_str().unwrap().to_owned();
    let warmed = output(&mut mailtm(&["warm", "--config", &file]));
    assert_eq!(warmed.status.code(), Some(0));
    // The time of a folder is as before, and what is in it is not.
    for day in DAYS {
        for entry in
            fs::read_dir(store.path.join(day).join("example.com/alice/Maildir/cur")).unwrap()
        {
            fs::write(entry.unwrap().path(), "").unwrap();
        }
    }
    assert_eq!(subjects(&find(&config, &["cucina"])), ["Preventivo cucina"]);
}
