//! A mailbox that lives for a week: what its owner does each day, and what Dovecot says of it then.

use crate::harness::dovecot::{Dovecot, FOLDERS, Fetched};
use crate::harness::store::set_time;
use crate::harness::{Numbers, Scratch, Store, mail, run};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::process::Command;

pub const DAYS: [&str; 7] = [
    "2026-11-14",
    "2026-11-15",
    "2026-11-16",
    "2026-11-17",
    "2026-11-18",
    "2026-11-19",
    "2026-11-20",
];

/// Messages that the mailbox gets altogether, unless MAILTM_MESSAGES says how many.
const FEW: usize = 260;

/// How Dovecot keeps the mailbox.
pub struct Kind {
    /// Its `mail_location`.
    pub location: String,
    /// What its plugins are told.
    pub plugin: String,
    /// Its `zlib_save` on the first day, the second and so on, over again where there are more days.
    pub saving: Vec<String>,
    /// What `mailtm check` calls it.
    pub described: &'static str,
}

impl Kind {
    pub fn new(location: &str, described: &'static str) -> Self {
        Self {
            location: location.to_owned(),
            plugin: String::new(),
            saving: Vec::new(),
            described,
        }
    }

    pub fn saving(self, methods: &[&str]) -> Self {
        Self {
            saving: methods.iter().map(|method| (*method).to_owned()).collect(),
            ..self
        }
    }
}

/// What Dovecot said of a day.
pub struct Day {
    pub date: &'static str,
    pub folders: BTreeSet<String>,
    /// The name of each folder in modified UTF-7.
    pub encoded: BTreeMap<String, String>,
    pub messages: Vec<Fetched>,
}

/// How many messages the mailbox gets altogether.
pub fn messages() -> usize {
    std::env::var("MAILTM_MESSAGES").map_or(FEW, |n| n.parse().unwrap())
}

/// A week, with a snapshot of each day; unchanged files are hard links to those of the day before.
pub fn live(kind: &Kind, scratch: &Scratch, store: &Store) -> Vec<Day> {
    let all = messages();
    let home = scratch.join("live/example.com/alice");
    let dovecot = Dovecot::new(scratch, &home, &kind.location, &kind.plugin);
    // Indexes and logs are written anew often.
    dovecot.set("mail_index_rewrite_min_log_bytes = 512");
    dovecot.set("mail_index_rewrite_max_log_bytes = 1024");
    dovecot.set("mail_index_log_rotate_min_size = 1024");
    dovecot.set("mail_index_log_rotate_max_size = 2048");
    dovecot.set("mail_index_log_rotate_min_age = 0");
    dovecot.set("mdbox_rotate_size = 256k");
    let mut days = Vec::new();
    let mut before = None;
    for (number, date) in DAYS.into_iter().enumerate() {
        if let Some(method) = kind.saving.get(number % kind.saving.len().max(1)) {
            dovecot.set(&format!("plugin {{\n  zlib_save = {method}\n}}"));
        }
        match number {
            0 => first_day(&dovecot, scratch, all * 6 / 10),
            _ => {
                let share = all / 15;
                let from = all * 6 / 10 + (number - 1) * share;
                deliver(&dovecot, scratch, from..from + share);
                pass(&dovecot, number, share, &kind.location);
            }
        }
        let folders = dovecot.selectable();
        let names = folders.iter().map(String::as_str);
        let said = dovecot.adm(
            &["mailbox", "mutf7"]
                .into_iter()
                .chain(names)
                .collect::<Vec<_>>(),
        );
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.lines().count(), folders.len(), "{said}");
        let encoded = said.lines().map(str::to_owned);
        days.push(Day {
            date,
            encoded: folders.iter().cloned().zip(encoded).collect(),
            folders,
            messages: dovecot.fetch(),
        });
        let mut copy = Command::new("rsync");
        copy.args(["-a", "--checksum"]);
        if let Some(before) = before.replace(store.path.join(date)) {
            copy.arg("--link-dest").arg(before);
        }
        run(copy
            .arg(format!("{}/", scratch.join("live").display()))
            .arg(store.path.join(date)));
    }
    days
}

fn first_day(dovecot: &Dovecot, scratch: &Scratch, all: usize) {
    dovecot.adm(&[&["mailbox", "create"][..], &FOLDERS, &[dovecot.deeper]].concat());
    deliver(dovecot, scratch, 0..all);
    let (some, few) = (format!("1:{}", all / 5), format!("2:{}", all / 30));
    for args in [
        &["move", "Sent", "mailbox", "INBOX", &some][..],
        &["move", "Archive/2024/März", "mailbox", "INBOX", &some],
        &["copy", dovecot.deeper, "mailbox", "Archive/2024/März", &few],
        &["copy", "日本語", "mailbox", "Sent", &few],
        &["copy", "Entwürfe", "mailbox", "INBOX", &few],
        &["move", "A & B", "mailbox", "INBOX", &few],
        &["expunge", "mailbox", "INBOX", "3:5"],
        &[
            "flags",
            "add",
            "\\Flagged \\Answered $Label1 project-x",
            "mailbox",
            "INBOX",
            &few,
        ],
        &["flags", "remove", "\\Seen", "mailbox", "Sent", &few],
        &["flags", "add", "\\Draft", "mailbox", "Entwürfe", "1"],
    ] {
        dovecot.adm(args);
    }
}

/// What happens on a day but the first, to about so many messages.
fn pass(dovecot: &Dovecot, day: usize, share: usize, location: &str) {
    let keyword = format!("day-{day}");
    let read = format!("1:{}", day * share);
    let some = format!("3:{}", 3 + share / 2);
    let few = format!("2:{}", 2 + share / 4);
    let mut done: Vec<Vec<&str>> = vec![
        vec!["flags", "add", "\\Seen", "mailbox", "INBOX", &read],
        vec!["flags", "add", &keyword, "mailbox", "INBOX", &some],
        vec![
            "flags",
            "remove",
            "\\Flagged project-x",
            "mailbox",
            "INBOX",
            &few,
        ],
        vec!["flags", "add", "\\Deleted NonJunk", "mailbox", "Sent", &few],
        vec!["move", "Trash", "mailbox", "INBOX", &few],
        vec!["copy", "Archive/2024/März", "mailbox", "INBOX", &some],
        // A copy in its own folder.
        vec!["copy", "Sent", "mailbox", "Sent", "1"],
    ];
    match day {
        2 => {
            done.push(vec!["expunge", "mailbox", "Trash", &few]);
            done.push(vec!["mailbox", "create", "New & other"]);
            done.push(vec!["copy", "New & other", "mailbox", "Sent", &few]);
        }
        3 if location.contains(":ALT=") => {
            let old = [
                "altmove", "mailbox", "Sent", "or", "(", "mailbox", "INBOX", "flagged", ")",
            ];
            done.push(old.to_vec());
        }
        3 | 6 if location.starts_with("mdbox") => done.push(vec!["purge"]),
        4 => {
            done.push(vec!["mailbox", "rename", "日本語", "日本"]);
            done.push(vec![
                "flags",
                "add",
                "in-a-renamed-folder",
                "mailbox",
                "日本",
                "1",
            ]);
        }
        5 => {
            done.push(vec!["mailbox", "delete", "Entwürfe"]);
            done.push(vec!["expunge", "mailbox", "Archive/2024/März", &some]);
        }
        _ => {}
    }
    for args in done {
        dovecot.adm(&args);
    }
}

/// New messages in INBOX, with all kinds of flags; one of many is large.
fn deliver(dovecot: &Dovecot, scratch: &Scratch, numbers: Range<usize>) {
    let source = scratch.join(format!("source-{}", numbers.start));
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(source.join(part)).unwrap();
    }
    for number in numbers {
        let flags = ["", "S", "RS", "FS", "T", "DS", "DFRST", "S"][number % 8];
        let name = format!("{}.M{number}P1.source:2,{flags}", 1_780_000_000 + number);
        let path = source.join("cur").join(name);
        let subject = format!("Number {number}");
        fs::write(&path, mail("Bob <b@example.com>", &subject, &body(number))).unwrap();
        set_time(&path, 1_780_000_000 + 613 * i64::try_from(number).unwrap());
    }
    dovecot.import(&source);
    fs::remove_dir_all(source).unwrap();
}

/// Text that compresses, with lines that an mbox quotes, and something that does not compress.
fn body(number: usize) -> String {
    let mut numbers = Numbers(number as u64);
    let mut text = "From here on\n>From there\nÄ\n".repeat(numbers.below(8) as usize);
    for _ in 0..numbers.below(60) {
        text.push_str(
            ["der ", "Vertrag ", "ist ", "il ", "preventivo\n", "seen "][numbers.below(6) as usize],
        );
    }
    text.push('\n');
    let lines = if number % 40 == 7 {
        1500
    } else {
        numbers.below(60)
    };
    for _ in 0..lines {
        let line = [(); 4]
            .map(|()| format!("{:016x}", numbers.below(u64::MAX)))
            .concat();
        text.push_str(&line);
        text.push('\n');
    }
    text
}
