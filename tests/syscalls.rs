//! What the daemon asks of the store and the kernel of the daemon, counted by strace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::store::mail;
use harness::tree::{dates, manifest, messages, walk};
use harness::{Config, Mount, Scratch, Store, Trace, able, keeping_caches};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

const ALICE: &str = "alice@example.com";
const DAYS: [&str; 3] = ["2026-11-18", "2026-11-19", "2026-11-20"];
const MESSAGES: u32 = 60;

/// A store that is the same on three days but for one new message a day.
fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAYS[0], ALICE);
    for number in 0..MESSAGES {
        mailbox.number(["cur", "Archive/2024/cur"][number as usize % 2], number);
    }
    for (number, day) in (1_u32..).zip(&DAYS[1..]) {
        store.link(DAYS[number as usize - 1], day);
        store.mailbox(day, ALICE).number("cur", 1000 + number);
    }
    // Nothing is learned but what is asked for, and no date grows old while it is counted.
    let config = Config::new(&scratch, &store)
        .set("index.warm", "off")
        .set("refresh", "1h");
    (scratch, store, config)
}

/// An strace of these calls, in which strings stand whole and as bytes.
fn watch(mount: &Mount, scratch: &Scratch, calls: &str) -> Trace {
    Trace::new(
        mount,
        scratch,
        &["-xx", "-s", "512", "-e", &format!("trace={calls}")],
    )
}

/// Detaches, and gives the calls.
fn lines(trace: Trace) -> Vec<String> {
    whole_calls(&trace.finish())
}

/// One line for each call: strace breaks a call in two when another thread's comes between.
fn whole_calls(text: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or(("", line));
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, start);
        } else if let Some((_, end)) = call
            .split_once(" resumed>")
            .filter(|_| call.starts_with("<..."))
        {
            calls.push(format!("{}{end}", begun.remove(thread).unwrap_or_default()));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// The bytes of the first string of a line, which strace has written as `\xNN`.
fn first_string(line: &str) -> Vec<u8> {
    let start = line.find("\"\\x").map_or(line.len(), |at| at + 1);
    let text = line[start..].split('"').next().unwrap_or_default();
    text.split("\\x")
        .skip(1)
        .filter_map(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok())
        .collect()
}

/// How often each message's file was opened, by store name.
fn opened(lines: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines
        .iter()
        .filter(|l| l.contains("open") && !l.contains("ENOENT"))
    {
        let path = String::from_utf8_lossy(&first_string(line)).into_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.contains("P1.mx") {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    counts
}

const OPENS: &str = "open,openat,openat2";

fn list(root: &Path) -> usize {
    let mut files = 0;
    walk(root, &mut |path, _| {
        files += usize::from(path.extension().is_some_and(|e| e == "eml"));
    });
    files
}

#[test]
fn a_message_is_opened_once_for_all_its_dates() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let config = config.set("mbox.listed", "never");
    let mount = Mount::new(&config);
    let trace = watch(&mount, &scratch, OPENS);
    assert_eq!(list(&mount.join(DAYS[0])), MESSAGES as usize);
    let first = opened(&lines(trace));
    assert_eq!(first.len(), MESSAGES as usize, "{first:?}");
    assert!(first.values().all(|&n| n == 1), "{first:?}");

    let trace = watch(&mount, &scratch, OPENS);
    for day in &DAYS[1..] {
        assert!(list(&mount.join(day)) > MESSAGES as usize);
    }
    let later = opened(&lines(trace));
    assert_eq!(later.len(), 2, "only the new one of each day: {later:?}");
    assert!(later.values().all(|&n| n == 1), "{later:?}");
}

#[test]
fn with_a_warm_index_listing_opens_no_message() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let before = manifest(&Mount::new(&config).path);
    let mount = Mount::new(&config);
    let trace = watch(&mount, &scratch, OPENS);
    for day in dates(&mount.path) {
        list(&mount.join(day));
    }
    let opened = opened(&lines(trace));
    assert!(opened.is_empty(), "{opened:?}");
    harness::tree::same("after it", &before, &manifest(&mount.path));
}

#[test]
fn a_mailbox_that_changed_costs_what_changed() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, store, config) = setup();
    list(&Mount::new(&config).path);
    // A flag changes, which changes no fact; a message arrives.
    let next = "2026-11-21";
    store.link(DAYS[2], next);
    let inbox = store.path.join(next).join("example.com/alice/Maildir/cur");
    let mut names: Vec<_> = fs::read_dir(&inbox)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    let flagged = names[0].to_str().unwrap().replace(":2,S", ":2,FS");
    fs::rename(&names[0], flagged).unwrap();
    store.mailbox(next, ALICE).number("cur", 2000);
    let mount = Mount::new(&config);
    let trace = watch(&mount, &scratch, OPENS);
    list(&mount.join(next));
    let opened = opened(&lines(trace));
    assert!(opened.len() <= 1, "one message is new: {opened:?}");
}

#[test]
fn unique_names_open_nothing_to_list() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let mount = Mount::new(&config.set("names", "unique").set("mbox.listed", "never"));
    let trace = watch(&mount, &scratch, OPENS);
    for day in DAYS {
        let inbox = mount.join(day).join(ALICE).join("INBOX");
        assert!(messages(&inbox).len() >= 30);
    }
    let opened = opened(&lines(trace));
    assert!(opened.is_empty(), "{opened:?}");
}

/// A message is opened whose size is not what its name says, once; one beside it that is what its name says is not.
#[test]
fn unique_names_open_what_their_sizes_leave_in_doubt() {
    if !able(&["strace"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAYS[0], ALICE);
    let text = |number: usize| format!("Subject: {number}\n\n{}\n", "x".repeat(100 + number));
    for number in 0..40 {
        let (text, at) = (text(number), 1_790_000_000 + number as i64);
        let name = format!("{at}.M{number}P1.mx,S={}:2,S", text.len());
        if number == 7 {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            mailbox.put("cur", name, packed.finish().unwrap(), at);
        } else {
            mailbox.put("cur", name, text.as_bytes(), at);
        }
    }
    store.link(DAYS[0], DAYS[1]);
    let config = Config::new(&scratch, &store)
        .set("index.warm", "off")
        .set("names", "unique")
        .set("mbox.listed", "never");
    for (day, most) in [(DAYS[0], 1), (DAYS[1], 0)] {
        let mount = Mount::new(&config);
        let trace = watch(&mount, &scratch, OPENS);
        let inbox = mount.join(day).join(ALICE).join("INBOX");
        let names = messages(&inbox);
        let opened = opened(&lines(trace));
        assert!(opened.len() <= most, "{day}: {opened:?}");
        for (number, name) in names.iter().enumerate() {
            assert_eq!(fs::read(inbox.join(name)).unwrap(), text(number).as_bytes());
        }
    }
}

/// The operations that the kernel asked for: the second word of each request that was read from the device.
fn requests(lines: &[String]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let device: String = "/dev/fuse".bytes().map(|b| format!("\\x{b:02x}")).collect();
    for line in lines {
        if !line.contains(&device) && !line.contains("/dev/fuse") {
            continue;
        }
        let request = first_string(line);
        let Some(&[a, b, c, d]) = request.get(4..8) else {
            continue;
        };
        let name = match u32::from_le_bytes([a, b, c, d]) {
            1 => "LOOKUP",
            // Housekeeping of the kernel's memory that nobody waits for.
            2 | 42 => continue,
            3 => "GETATTR",
            5 => "READLINK",
            14 => "OPEN",
            15 => "READ",
            17 => "STATFS",
            18 => "RELEASE",
            22 => "GETXATTR",
            27 => "OPENDIR",
            28 | 44 => "READDIR",
            29 => "RELEASEDIR",
            _ => "another",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// What a second pass asks for. A system may empty the kernel's caches at any moment, and what was in them is then asked
/// for again; so several passes are made, until one has no more than what is `allowed`. What is not cached is asked for in
/// every one of them.
fn second_pass(hide_unreadable: bool, allowed: &[&str]) -> BTreeMap<&'static str, usize> {
    const PASSES: usize = 6;
    let (scratch, _store, config) = setup();
    let _caches = keeping_caches();
    let mount = Mount::new(&config.set("hide_unreadable", hide_unreadable));
    let first = manifest(&mount.path);
    let mut counts = BTreeMap::new();
    for _ in 0..PASSES {
        let trace = watch(&mount, &scratch, "read,readv");
        let again = manifest(&mount.path);
        counts = requests(&lines(trace));
        harness::tree::same("again", &first, &again);
        counts.retain(|name, _| !allowed.contains(name));
        if counts.is_empty() {
            break;
        }
    }
    counts
}

#[test]
fn calls_are_put_together_again() {
    let text = "10 read(5<\\x2f>, <unfinished ...>\n11 openat(3, \"\\x61\\x62\") = 4\n10 <... read resumed>\"\\x63\", 9) = 1\n";
    let calls = whole_calls(text);
    assert_eq!(
        calls,
        [
            "openat(3, \"\\x61\\x62\") = 4",
            "read(5<\\x2f>, \"\\x63\", 9) = 1"
        ]
    );
    assert_eq!(first_string(&calls[1]), b"c");
}

#[test]
fn requests_are_seen_by_this_test() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let trace = watch(&mount, &scratch, "read,readv");
    manifest(&mount.path);
    let counts = requests(&lines(trace));
    assert!(
        counts.contains_key("LOOKUP") && counts.get("READ").is_some_and(|&n| n > 50),
        "{counts:?}"
    );
}

#[test]
fn a_second_pass_asks_only_for_listings_that_differ_by_caller() {
    if !able(&["strace"]) {
        return;
    }
    let counts = second_pass(true, &["OPENDIR", "READDIR", "RELEASEDIR"]);
    assert!(counts.is_empty(), "{counts:?}");
}

#[test]
fn a_second_pass_asks_for_nothing_if_nothing_is_hidden() {
    if !able(&["strace"]) {
        return;
    }
    let counts = second_pass(false, &[]);
    assert!(counts.is_empty(), "{counts:?}");
}

#[test]
fn a_file_that_is_read_in_order_is_asked_for_in_large_pieces() {
    const MESSAGES: u32 = 64;
    const BODY: usize = 256 << 10;
    if !able(&["strace"]) {
        return;
    }
    let (scratch, store, config) = setup();
    let mailbox = store.mailbox(DAYS[0], "bob@example.com");
    let body = "All work and no play makes Jack a dull boy.\n".repeat(BODY / 44);
    for number in 0..MESSAGES {
        let text = mail("Bob <bob@example.com>", &format!("Long {number}"), &body);
        mailbox.put(
            "cur",
            format!("{number}.M1.host:2,S"),
            &text,
            i64::from(number),
        );
    }
    let mount = Mount::new(&config);
    let mbox = mount.path.join(DAYS[0]).join("bob@example.com/INBOX.mbox");
    let size = fs::metadata(&mbox).unwrap().len();
    assert!(size > 16_000_000, "{size}");
    let trace = watch(&mount, &scratch, "read,readv");
    let mut file = fs::File::open(&mbox).unwrap();
    assert_eq!(
        std::io::copy(&mut file, &mut std::io::sink()).unwrap(),
        size
    );
    let reads = requests(&lines(trace)).get("READ").copied().unwrap_or(0);
    // The first pieces are small; the kernel's own measure is 128 KiB.
    let expected = size / (1 << 20);
    assert!(
        (1..expected * 2).contains(&(reads as u64)),
        "{reads} for {expected} MiB"
    );
}
