//! What is gone, where there is a live store to say so.

use crate::harness::store::mail;
use crate::harness::{Config, Layout, Mailbox, able, utc};
use crate::{ALICE, DAYS, find, one, run, setup, subjects, week};
use serde_json::Value;
use std::fs;

#[test]
fn with_a_live_store_gone_is_what_is_not_there_now() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    week(&store);
    let live = scratch.subdirectory("live");
    let alice = Mailbox::new(&live, ALICE, Layout::MaildirPlusPlus);
    let put = |place: &str, name: &str, from: &str, subject: &str, received: &str| {
        alice.put(
            place,
            name,
            mail(from, subject, "The body.\n"),
            utc(received),
        )
    };
    let report = |place: &str, name: &str| {
        let received = "2026-11-02 08:00:00";
        put(
            place,
            name,
            "Carla <carla@example.org>",
            "Annual report",
            received,
        )
    };
    let moved = report("Live/cur", "222.moved:2,S");
    let kitchen = (
        "Dora <dora@example.org>",
        "Preventivo cucina",
        "2026-11-03 23:30:00",
    );
    let restored = put("cur", "33.restored:2,", kitchen.0, kitchen.1, kitchen.2);
    put(
        "cur",
        "9.live:2,",
        "x@example.com",
        "Only live",
        "2026-11-21 08:00:00",
    );
    let config = config.set("source.live", live.to_str().unwrap());
    let today = || chrono::Utc::now().format("%Y-%m-%d").to_string();

    let found = one(&config, &["annual"]);
    assert_eq!(
        (&found["folder"], &found["gone_since"]),
        (&"Live".into(), &Value::Null)
    );
    let places = found["places"].as_array().unwrap();
    assert_eq!(places.len(), 2, "no date has it where it is now: {found:#}");
    assert_eq!(found["last_date"], DAYS[3]);
    let found = one(&config, &["cucina"]);
    assert_eq!(
        (&found["folder"], &found["last_date"]),
        (&"INBOX".into(), &DAYS[1].into())
    );
    let found = one(&config, &["caffe"]);
    assert_eq!(
        (&found["folder"], &found["gone_since"]),
        (&Value::Null, &today().into())
    );
    assert!(subjects(&find(&config, &["only live"])).is_empty());
    let gone = |config: &Config| {
        let report = find(config, &["--gone", "--mailbox", ALICE]);
        let mut gone: Vec<String> = subjects(&report).iter().map(|&s| s.to_owned()).collect();
        gone.sort();
        gone
    };
    assert_eq!(
        gone(&config),
        ["Città e caffè", "Re: Preventivo", "会議資料 2026"]
    );
    // What happens there is seen the next time.
    fs::remove_file(restored).unwrap();
    fs::remove_file(moved).unwrap();
    report("cur", "2222.moved:2,S");
    assert_eq!(
        gone(&config),
        [
            "Città e caffè",
            "Preventivo cucina",
            "Re: Preventivo",
            "会議資料 2026"
        ]
    );
    assert_eq!(one(&config, &["annual"])["folder"], "INBOX");
    // A date that comes later is learned after it.
    store.link(DAYS[3], "2026-11-22");
    let found = one(&config, &["caffe"]);
    assert_eq!(
        (&found["last_date"], &found["folder"]),
        (&"2026-11-22".into(), &Value::Null)
    );
    // It is known where it is now, or the answer says that it is not.
    fs::rename(&live, scratch.join("elsewhere")).unwrap();
    fs::create_dir(&live).unwrap();
    let output = run(&config, &["caffe"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("live/alice@example.com"));
}
