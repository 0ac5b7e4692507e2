//! `mailtm find`: what it finds on which dates, for whom, and that what it says can be opened; [`doveadm`] compares it with
//! Dovecot's own search, [`learning`] is about its index, [`live`] about a live store, [`hostile`] about mail that is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod doveadm;
#[path = "../harness/mod.rs"]
mod harness;
mod hostile;
mod learning;
mod live;

use harness::mount::mailtm;
use harness::store::{mail, uid_of};
use harness::{Config, Mount, Scratch, Store, Subject, able, ls, output, utc};
use serde_json::Value;
use std::fs;
use std::process::Output;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const DAYS: [&str; 4] = ["2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20"];

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

/// Runs `mailtm find`; its output, which is no panic's.
fn run(config: &Config, more: &[&str]) -> Output {
    let file = config.write().to_str().unwrap().to_owned();
    let mut args = vec!["find", "--config", &file];
    args.extend(more);
    let output = output(&mut mailtm(&args));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    output
}

/// What it says as JSON, having done all that was asked.
fn find(config: &Config, more: &[&str]) -> Value {
    let output = run(config, &[more, &["--json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{more:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"))
}

fn subjects(report: &Value) -> Vec<&str> {
    let found = report["found"].as_array().unwrap();
    found
        .iter()
        .map(|f| f["subject"].as_str().unwrap())
        .collect()
}

/// The one message that is found.
fn one(config: &Config, more: &[&str]) -> Value {
    let mut report = find(config, more);
    assert_eq!(subjects(&report).len(), 1, "{more:?}: {report:#}");
    report["found"][0].take()
}

/// A store of four days: a message that stays, one that is moved, one that is copied, one that is deleted, one that comes.
fn week(store: &Store) {
    let time = |text: &str| utc(text);
    for (at, day) in DAYS.into_iter().enumerate() {
        let alice = store.mailbox(day, ALICE);
        let put = |place: &str, name: &str, from: &str, subject: &str, received: &str| {
            alice.put(
                place,
                name,
                mail(from, subject, "The body.\n"),
                time(received),
            );
        };
        put(
            "cur",
            "1.stays:2,S",
            "Bob Rossi <bob@example.com>",
            "=?utf-8?Q?Citt=C3=A0_e_caff=C3=A8?=",
            "2026-11-01 08:00:00",
        );
        // Moved as a server does it: under another store name.
        match at {
            0 | 1 => put(
                "cur",
                "2.moved:2,S",
                "Carla <carla@example.org>",
                "Annual report",
                "2026-11-02 08:00:00",
            ),
            _ => put(
                "Archive/2024/cur",
                "22.moved:2,S",
                "Carla <carla@example.org>",
                "Annual report",
                "2026-11-02 08:00:00",
            ),
        }
        if at < 2 {
            put(
                "cur",
                "3.deleted:2,",
                "Dora <dora@example.org>",
                "Preventivo cucina",
                "2026-11-03 23:30:00",
            );
        }
        if at >= 2 {
            put("new", "4.comes", "", "会議資料 2026", "2026-11-19 00:30:00");
        }
        // Only its flags change.
        let flags = ["", "S", "RS", "FRS"][at];
        put(
            "Sent/cur",
            &format!("5.flags:2,{flags}"),
            "Alice <alice@example.com>",
            "Re: Preventivo",
            "2026-11-05 08:00:00",
        );
        let bob = store.mailbox(day, BOB);
        bob.put(
            "cur",
            "1.bob:2,S",
            mail("Dora <dora@example.org>", "Preventivo bagno", ""),
            time("2026-11-04 08:00:00"),
        );
    }
}

#[test]
fn where_a_message_is_or_since_when_it_is_gone() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    week(&store);
    let stays = one(&config, &["citta", "CAFFE"]);
    assert_eq!(stays["subject"], "Città e caffè");
    assert_eq!(stays["from"], "Bob Rossi <bob@example.com>");
    assert_eq!(stays["to"], ALICE);
    assert_eq!(stays["mailbox"], ALICE);
    assert_eq!(stays["received"], "2026-11-01T08:00:00+00:00");
    assert_eq!(stays["gone_since"], Value::Null);
    assert_eq!(
        (&stays["first_date"], &stays["last_date"]),
        (&DAYS[0].into(), &DAYS[3].into())
    );
    assert_eq!(stays["places"].as_array().unwrap().len(), 1);
    assert_eq!(stays["places"][0]["dates"], 4);

    let moved = one(&config, &["--subject", "annual report"]);
    assert_eq!(moved["gone_since"], Value::Null);
    let places = moved["places"].as_array().unwrap();
    let folders: Vec<&str> = places
        .iter()
        .map(|p| p["folder"].as_str().unwrap())
        .collect();
    assert_eq!(folders, ["INBOX", "Archive/2024"]);
    assert_eq!(
        (&places[0]["last_date"], &places[0]["present"]),
        (&DAYS[1].into(), &false.into())
    );
    assert_eq!(
        (&places[1]["first_date"], &places[1]["present"]),
        (&DAYS[2].into(), &true.into())
    );

    let deleted = one(&config, &["--mailbox", ALICE, "--from", "dora"]);
    assert_eq!(
        (&deleted["last_date"], &deleted["gone_since"]),
        (&DAYS[1].into(), &DAYS[2].into())
    );
    assert_eq!(subjects(&find(&config, &["--gone"])), ["Preventivo cucina"]);

    let comes = one(&config, &["資料"]);
    assert_eq!(comes["first_date"], DAYS[2]);
    let flags = one(&config, &["--subject", "re preventivo"]);
    assert_eq!(flags["places"][0]["dates"], 4);

    // What it says can be opened, also where a date of its own tells the name.
    let mount = Mount::new(&config);
    for message in [&stays, &moved, &deleted, &comes, &flags] {
        for path in [&message["path"], &message["places"][0]["path"]] {
            let path = path.as_str().unwrap();
            assert!(
                path.starts_with(config.mountpoint.to_str().unwrap()),
                "{path}"
            );
            let bytes = fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(bytes.len() as u64, message["size"].as_u64().unwrap());
        }
    }
    // And `deleted` shows the same.
    let name = deleted["places"][0]["name"].as_str().unwrap();
    let shown = config.mountpoint.join("deleted").join(ALICE);
    assert_eq!(ls(shown.join("INBOX")), [name]);
    drop(mount);
}

#[test]
fn a_message_without_a_message_id_is_followed_when_it_is_moved() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    let mail = b"From: Bob <bob@example.com>\nSubject: no number\n\nThe body.\n";
    for (day, folder, name) in [
        (DAYS[0], "cur", "1.moved:2,S"),
        (DAYS[1], "Archive/cur", "11.moved:2,S"),
    ] {
        let alice = store.mailbox(day, ALICE);
        alice.put(folder, name, mail, utc("2026-11-01 08:00:00"));
    }
    let moved = one(&config, &["number"]);
    assert_eq!(moved["gone_since"], Value::Null);
    assert_eq!(moved["places"].as_array().map(Vec::len), Some(2));
    assert_eq!(subjects(&find(&config, &["--gone"])), [""; 0]);
}

#[test]
fn what_is_asked_for_must_hold_all_of_it() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    week(&store);
    let count = |more: &[&str]| subjects(&find(&config, more)).len();
    assert_eq!(count(&["preventivo"]), 3);
    assert_eq!(count(&["prev"]), 3);
    assert_eq!(count(&["--whole-words", "prev"]), 0);
    assert_eq!(count(&["preventivo", "cucina"]), 1);
    assert_eq!(count(&["cucina preventivo"]), 0);
    assert_eq!(count(&["preventivo", "--from", "dora"]), 2);
    assert_eq!(count(&["preventivo", "--mailbox", "bob*"]), 1);
    assert_eq!(count(&["preventivo", "--mailbox", "nobody"]), 0);
    assert_eq!(count(&["--folder", "sent"]), 1);
    assert_eq!(count(&["--folder", "Archive"]), 1);
    assert_eq!(count(&["--folder", "Arch"]), 0);
    assert_eq!(count(&["--to", "alice@example.com", "--mailbox", ALICE]), 5);
    assert_eq!(count(&["--since", "2026-11-19"]), 1);
    assert_eq!(
        count(&["--since", "2026-11-03", "--until", "2026-11-04"]),
        2
    );
    assert_eq!(count(&["--until", "2026-11-03"]), 3);
    // The date is the local one.
    let rome = config.clone().set("timezone", "Europe/Rome");
    let local = |more: &[&str]| subjects(&find(&rome, more)).len();
    assert_eq!(
        local(&["--since", "2026-11-04", "--until", "2026-11-04"]),
        2
    );
    let report = find(&config, &["--limit", "2", "preventivo"]);
    assert_eq!(subjects(&report), ["Re: Preventivo", "Preventivo bagno"]);
    assert_eq!(report["more"], true);
    assert_eq!(find(&config, &["-n", "0", "preventivo"])["more"], false);
}

#[test]
fn wrong_usage_says_what_to_do() {
    let (_scratch, store, config) = setup();
    store.mailbox(DAYS[0], ALICE);
    for (more, words) in [
        (&[][..], "what to look for"),
        (&["---"], ""),
        (&["--", "---"], "letter or digit"),
        (&["--body", "x"], "bodies = true"),
        (&["--since", "yesterday"], "--since"),
        (&["--mailbox", "a[", "x"], "pattern"),
    ] {
        let output = run(&config, more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {stderr}");
        assert!(stderr.contains(words), "{more:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn each_finds_what_he_may_enter() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    week(&store);
    let config = config.grant(&["bob@*"], &["4294000001", "@4294000009"]);
    let find_by = |who: &Subject| -> Vec<String> {
        // The configuration is root's, and readable by all; the index is nobody else's.
        let file = config.write().to_str().unwrap().to_owned();
        let program = env!("CARGO_BIN_EXE_mailtm");
        let copy = scratch.join("mailtm");
        if !copy.exists() {
            // By another process: one that another test starts meanwhile would hold this one's copy open for writing, and
            // what is being written cannot be run.
            let mut cp = std::process::Command::new("cp");
            assert!(cp.arg(program).arg(&copy).status().unwrap().success());
        }
        let args = ["find", "--config", &file, "--json", "preventivo"];
        let output = who.run(copy.to_str().unwrap(), &args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        subjects(&report).iter().map(|&s| s.to_owned()).collect()
    };
    let find_as = |uid: u32| find_by(&Subject::uid(uid));
    let member = Subject {
        groups: vec![4_294_000_009],
        ..Subject::uid(4_294_000_003)
    };
    let alices = ["Re: Preventivo", "Preventivo cucina"];
    let bobs = ["Preventivo bagno"];
    // Before and after root has had an index made.
    for _ in 0..2 {
        assert_eq!(find_as(uid_of(ALICE)), alices);
        assert_eq!(find_as(uid_of(BOB)), bobs);
        assert_eq!(find_as(4_294_000_001), bobs);
        assert_eq!(find_by(&member), bobs);
        assert!(find_as(4_294_000_002).is_empty());
        assert_eq!(subjects(&find(&config, &["preventivo"])).len(), 3);
    }
}

#[test]
fn attachments_and_bodies() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAYS[0], ALICE);
    let message = b"From: a@example.com\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
        Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZSBhdXMgTcO8bmNoZW4=\n--b\n\
        Content-Type: application/pdf; name=\"=?utf-8?Q?Rechnung_M=C3=A4rz.pdf?=\"\n\n%PDF secret\n--b--\n";
    alice.put("cur", "1.x:2,", message, utc("2026-11-01 08:00:00"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(
        &mut gzip,
        &mail("z@example.com", "Compressed", "hidden words\n"),
    )
    .unwrap();
    alice.put(
        "cur",
        "2.z:2,",
        gzip.finish().unwrap(),
        utc("2026-11-02 08:00:00"),
    );
    let count = |config: &Config, more: &[&str]| subjects(&find(config, more)).len();
    let found = one(&config, &["--attachment", "rechnung marz pdf"]);
    assert_eq!(found["attachments"][0], "Rechnung März.pdf");
    assert_eq!(count(&config, &["rechnung"]), 1);
    assert_eq!(count(&config, &["munchen"]), 0);
    assert_eq!(count(&config, &["compressed"]), 1);
    let bodies = config.clone().set("index.bodies", true);
    assert_eq!(count(&bodies, &["grüße aus münchen"]), 1);
    assert_eq!(count(&bodies, &["--body", "MUNCHEN"]), 1);
    assert_eq!(count(&bodies, &["--subject", "munchen"]), 0);
    assert_eq!(count(&bodies, &["--body", "hidden words"]), 1);
    assert_eq!(count(&bodies, &["secret"]), 0);
    assert_eq!(count(&config, &["munchen"]), 0);
}

#[test]
fn the_table_for_people() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    week(&store);
    let output = run(&config, &["--mailbox", ALICE, "--since", "2026-11-01"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 11, "{text}");
    assert!(lines[0].starts_with("RECEIVED          FROM"), "{text}");
    assert!(lines[1].starts_with("2026-11-19 00:30  unknown"), "{text}");
    assert!(text.contains("gone since 2026-11-19"), "{text}");
    assert!(text.contains("in Archive/2024"), "{text}");
    assert!(text.contains("2026-11-17 – 2026-11-20"), "{text}");
    let output = run(&config, &["nothing-of-the-kind"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing found in 2 mailboxes"));
}
