//! The same questions put to `doveadm search` and to `mailtm find`, about a store that Dovecot has made.

use crate::harness::dovecot::{OWNER, doveadm};
use crate::harness::store::set_time;
use crate::harness::{Config, Scratch, Store, able, run};
use crate::{DAYS, find, subjects};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::Command;

/// doveadm with a configuration of its own, as the owner of the store; no daemon runs.
struct Dovecot {
    conf: PathBuf,
    home: PathBuf,
}

impl Dovecot {
    fn new(scratch: &Scratch, home: &Path, location: &str) -> Self {
        let run = scratch.subdirectory("run");
        fs::create_dir_all(home).unwrap();
        for path in [run.as_path(), home] {
            lchown(path, Some(OWNER), Some(OWNER)).unwrap();
        }
        let conf = scratch.join("dovecot.conf");
        let (run, shown) = (run.display(), home.display());
        fs::write(
            &conf,
            format!(
                "base_dir = {run}\nlog_path = {run}/log\nssl = no\nprotocols =\n\
                 mail_uid = {OWNER}\nmail_gid = {OWNER}\nfirst_valid_uid = 1\n\
                 mail_home = {shown}\nmail_location = {location}\nmail_fsync = never\n\
                 namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n\
                 userdb {{\n  driver = static\n  args = uid={OWNER} gid={OWNER} home={shown}\n}}\n"
            ),
        )
        .unwrap();
        let home = home.to_owned();
        Self { conf, home }
    }

    fn adm(&self, args: &[&str]) -> String {
        let said = doveadm(&self.conf, &self.home, args);
        String::from_utf8(said).unwrap()
    }

    /// The subjects of the messages that have an attachment whose name contains this, as their BODYSTRUCTURE has it. (Its search
    /// by names crashes.)
    fn attached(&self, name: &str) -> BTreeSet<String> {
        let said = self.adm(&[
            "-f",
            "flow",
            "fetch",
            "hdr.subject.utf8 imap.bodystructure",
            "mailbox",
            "*",
            "all",
        ]);
        let messages = said.lines().filter_map(|line| {
            let (subject, structure) = line
                .strip_prefix("hdr.subject.utf8=")?
                .split_once(" imap.bodystructure=")?;
            Some((subject.to_owned(), structure.to_lowercase()))
        });
        let wanted = name.to_lowercase();
        let found = messages.filter(|(_, structure)| structure.contains(&wanted));
        found.map(|(subject, _)| subject).collect()
    }

    /// The subjects of the messages that a query finds in all folders.
    fn search(&self, query: &[&str]) -> BTreeSet<String> {
        let fetch = ["-f", "pager", "fetch", "hdr.subject.utf8", "mailbox", "*"];
        let said = self.adm(&[&fetch, query].concat());
        let subjects = said
            .lines()
            .filter_map(|line| line.strip_prefix("hdr.subject.utf8: "));
        subjects.map(str::to_owned).collect()
    }
}

/// Each message has a subject of its own, and words that are no part of other words.
fn message(number: usize) -> String {
    let pick = |list: &[&'static str], step: usize| list[number / step % list.len()];
    let sender = pick(
        &[
            "Bob Rossi <bob@example.com>",
            "=?utf-8?Q?J=C3=B6rg_M=C3=BCller?= <jm@example.org>",
            "\"Bianchi, Carla\" <carla.bianchi@example.net>",
            "=?utf-8?B?5bGx55Sw5aSq6YOO?= <yamada@example.jp>",
            "root",
        ],
        1,
    );
    let to = pick(
        &[
            "alice@example.com",
            "Team <team@example.com>,\n Dora <dora@example.org>",
        ],
        2,
    );
    let cc = pick(&["", "Cc: Emil <emil@example.org>\n"], 3);
    let subject = pick(
        &[
            "Preventivo cucina",
            "=?iso-8859-1?Q?Citt=E0_e_caff=E8?=",
            "Re: Annual report",
            "=?utf-8?B?5Lya6K2w6LOH5paZ?=",
            "\"OR\" AND (NOT) *",
        ],
        5,
    );
    let body = pick(
        &[
            "The quarterly figures are attached.",
            "Wir sehen uns in M=C3=BCnchen.",
        ],
        7,
    );
    let attachment = pick(
        &[
            "application/pdf; name=\"Fattura 2026.pdf\"",
            "image/png; name=foto.png",
            "application/vnd.ms-excel; name=\"Report final.xlsx\"",
        ],
        4,
    );
    let name = &attachment[attachment.find('=').unwrap() + 1..];
    let text = format!(
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n{body}\n"
    );
    let content = match number % 4 {
        0 => format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n{text}\n--b\nContent-Type: {attachment}\n\
             Content-Disposition: attachment; filename={name}\nContent-Transfer-Encoding: base64\n\n\
             c2VjcmV0bHk=\n--b--\n"
        ),
        1 => "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n\
              PHA+R3LDvMOfZSBhdXMgPGI+VHJpZXN0ZTwvYj48L3A+\n"
            .to_owned(),
        _ => text,
    };
    format!(
        "From: {sender}\nTo: {to}\n{cc}Subject: nr{number} {subject}\nMessage-ID: <{number}@example.com>\n\
         MIME-Version: 1.0\n{content}"
    )
}

#[test]
fn the_same_answers_as_doveadm_search() {
    compare("maildir:~/Maildir");
}

#[test]
fn the_same_answers_of_mdbox() {
    compare("mdbox:~/mdbox");
}

fn compare(location: &str) {
    if !able(&["doveadm"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let home = store.snapshot(DAYS[0]).join("example.com/alice");
    let dovecot = Dovecot::new(&scratch, &home, location);
    let source = scratch.join("source");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(source.join(part)).unwrap();
    }
    for number in 0..200 {
        let name = format!("{}.M{number}P1.source:2,S", 1_795_000_000 + number);
        let path = source.join("cur").join(name);
        fs::write(&path, message(number)).unwrap();
        set_time(&path, 1_793_000_000 + number as i64 * 7200);
    }
    run(Command::new("chown")
        .arg("-R")
        .arg(OWNER.to_string())
        .arg(&source));
    dovecot.adm(&["mailbox", "create", "Sent", "Archive/2024", "日本語"]);
    dovecot.adm(&[
        "import",
        &format!("maildir:{}", source.display()),
        "",
        "all",
    ]);
    for args in [
        &["move", "Archive/2024", "mailbox", "INBOX", "1:40"][..],
        &["move", "日本語", "mailbox", "INBOX", "1:20"],
        &["copy", "Sent", "mailbox", "INBOX", "1:10"],
        &["expunge", "mailbox", "INBOX", "20:25"],
    ] {
        dovecot.adm(args);
    }
    let config = Config::new(&scratch, &store)
        .set("source.mailboxes", "{domain}/{user}")
        .set("index.bodies", true);
    let mut found = 0;
    for (query, more) in [
        (&["all"][..], &["--since", "1990-01-01"][..]),
        (&["from", "rossi"], &["--from", "rossi"]),
        (&["from", "ROSSI"], &["--from", "ROSSI"]),
        (&["from", "example.org"], &["--from", "example.org"]),
        (&["from", "Bianchi"], &["--from", "bianchi"]),
        (
            &["from", "carla.bianchi@example.net"],
            &["--from", "carla.bianchi@example.net"],
        ),
        (&["from", "Müller"], &["--from", "Müller"]),
        (&["from", "山田"], &["--from", "山田"]),
        (&["from", "太郎"], &["--from", "太郎"]),
        (&["from", "root"], &["--from", "root"]),
        (
            &["(", "to", "dora", "or", "cc", "dora", ")"],
            &["--to", "dora"],
        ),
        (
            &["(", "to", "emil", "or", "cc", "emil", ")"],
            &["--to", "emil"],
        ),
        (&["subject", "preventivo"], &["--subject", "preventivo"]),
        (&["subject", "cuci"], &["--subject", "cuci"]),
        (
            &["subject", "Città e caffè"],
            &["--subject", "Città e caffè"],
        ),
        (
            &["subject", "annual report"],
            &["--subject", "annual report"],
        ),
        (
            &["subject", "report", "from", "rossi"],
            &["--subject", "report", "--from", "rossi"],
        ),
        (&["subject", "資料"], &["--subject", "資料"]),
        (&["subject", "\"OR\" AND"], &["--subject", "\"OR\" AND"]),
        (&["subject", "nothing"], &["--subject", "nothing"]),
        (&["body", "quarterly"], &["--body", "quarterly"]),
        (&["body", "münchen"], &["--body", "münchen"]),
        (&["body", "figures are"], &["--body", "figures are"]),
        (&["body", "grüße aus"], &["--body", "grüße aus"]),
        (&["body", "trieste"], &["--body", "trieste"]),
        // What is in an attachment that is no text is looked through by neither.
        (&["body", "secretly"], &["--body", "secretly"]),
        (&["text", "müller"], &["müller"]),
        (&["since", "2026-10-30"], &["--since", "2026-10-30"]),
        (&["before", "2026-10-30"], &["--until", "2026-10-29"]),
        (
            &["since", "2026-10-28", "before", "2026-10-30", "from", "bob"],
            &[
                "--since",
                "2026-10-28",
                "--until",
                "2026-10-29",
                "--from",
                "bob",
            ],
        ),
    ] {
        let truth = dovecot.search(query);
        let report = find(&config, &[more, &["--limit", "0"]].concat());
        let answer: BTreeSet<String> = subjects(&report).iter().map(|&s| s.to_owned()).collect();
        assert_eq!(answer, truth, "{query:?}");
        // A copy is the same message.
        assert_eq!(subjects(&report).len(), answer.len(), "{query:?}");
        found += truth.len();
    }
    assert!(found > 1000, "{found}");
    for name in ["fattura 2026", "PNG", "final.xlsx", "docx"] {
        let truth = dovecot.attached(name);
        let report = find(&config, &["--attachment", name, "--limit", "0"]);
        let answer: BTreeSet<String> = subjects(&report).iter().map(|&s| s.to_owned()).collect();
        assert_eq!(answer, truth, "{name}");
        assert_eq!(answer.is_empty(), name == "docx", "{name}");
    }
    for (folder, shown) in [
        ("Archive/2024", "Archive/2024"),
        ("日本語", "日本語"),
        ("INBOX", "INBOX"),
    ] {
        let said = dovecot.adm(&["-f", "flow", "mailbox", "status", "messages", folder]);
        let count: usize = said.trim().rsplit('=').next().unwrap().parse().unwrap();
        let report = find(&config, &["--folder", shown, "-n", "0"]);
        assert_eq!(subjects(&report).len(), count, "{folder}: {said}");
    }
}
