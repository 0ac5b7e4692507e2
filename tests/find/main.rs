//! `mailtm find`: what it finds on which dates, for whom, and that what it says can be opened; [`doveadm`] compares it with
//! Dovecot's own search.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

mod doveadm;

use harness::mount::mailtm;
use harness::store::{mail, uid_of};
use harness::{Config, Layout, Mailbox, Mount, Scratch, Store, Subject, able, ls, output, utc};
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
fn hostile_messages_are_found_and_change_nothing_on_the_terminal() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAYS[0], ALICE);
    let mut many = b"From: x@example.com\nTo: ".to_vec();
    for number in 0..100_000 {
        many.extend_from_slice(format!("a{number}@example.net,\n ").as_bytes());
    }
    many.extend_from_slice(b"z@example.net\nSubject: many\n\nx\n");
    alice.put("cur", "1.many:2,", many, 1_795_000_000);
    alice.put(
        "cur",
        "2.escape:2,",
        b"From: \"\x1b]0;owned\x07\" <e@example.com>\nSubject: =?utf-8?B?G1syShtbMzFt4oCucmVkIOKAqA==?=\x9b2J end\n\n",
        1_795_000_001,
    );
    alice.put("cur", "3.empty:2,", b"", 1_795_000_002);
    alice.put("cur", "4.zeros:2,", vec![0; 100_000], 1_795_000_003);
    let count = |more: &[&str]| subjects(&find(&config, more)).len();
    assert_eq!(count(&["--to", "a20000@example.net"]), 1);
    assert_eq!(count(&["--since", "2026-11-01"]), 4);
    assert_eq!(count(&["OR"]), 0);
    assert_eq!(count(&["\" OR subject:*"]), 0);
    for more in [&["red", "end"][..], &["red", "end", "--json"]] {
        let output = run(&config, more);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("end"), "{text}");
        let hostile = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c);
        assert!(!text.contains(hostile), "{text:?}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAYS[0], ALICE);
    alice.number("cur", 1);
    let torn = [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    alice.put("cur", "9.torn:2,", torn, 1_795_000_000);
    let output = run(&config, &["message"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("1 messages could not be read")
            && stderr.contains("2026-11-17/alice@example.com/INBOX/"),
        "{stderr}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("Message 1"));
    // What it could not be is no reason.
    assert_eq!(
        run(&config, &["--mailbox", "bob*", "message"])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        run(&config, &["--until", "2020-01-01"]).status.code(),
        Some(0)
    );
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
