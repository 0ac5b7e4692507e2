//! Dovecot without a daemon: doveadm fills a store, and says what is in it.

use super::tree::{ABOUT, messages, sha256, walk};
use super::{Scratch, mail, run, store, utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whose the stores are.
pub const OWNER: u32 = 1_700_001;

/// The folders that [`fill`] makes, beside [`Dovecot::deeper`].
pub const FOLDERS: [&str; 7] = [
    "Sent",
    "Trash",
    "Entwürfe",
    "日本語",
    "Empty",
    "A & B",
    "Archive/2024/März",
];

/// What doveadm says with a configuration, as the owner of the stores.
pub fn doveadm(conf: &Path, home: &Path, args: &[&str]) -> Vec<u8> {
    let owner = OWNER.to_string();
    run(Command::new("setpriv")
        .args(["--reuid", &owner, "--regid", &owner, "--clear-groups"])
        .args(["doveadm", "-c", conf.to_str().unwrap()])
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("USER", "alice")
        .env("TZ", "UTC")
        .current_dir("/"))
}

/// doveadm with a configuration of its own, as the owner of the store.
pub struct Dovecot {
    conf: PathBuf,
    home: PathBuf,
    /// A folder in another one, where there can be one.
    pub deeper: &'static str,
}

impl Dovecot {
    pub fn new(scratch: &Scratch, home: &Path, location: &str, plugin: &str) -> Self {
        let run = scratch.subdirectory("run");
        fs::create_dir_all(home).unwrap();
        for path in [run.as_path(), home] {
            lchown(path, Some(OWNER), Some(OWNER)).unwrap();
        }
        let conf = scratch.join("dovecot.conf");
        let (run, home_text) = (run.display(), home.display());
        let encrypts = if plugin.contains("mail_crypt") {
            "mail_crypt"
        } else {
            ""
        };
        fs::write(
            &conf,
            format!(
                "base_dir = {run}\nlog_path = {run}/log\nssl = no\nprotocols =\n\
                 mail_plugins = zlib {encrypts}\nmail_uid = {OWNER}\nmail_gid = {OWNER}\nfirst_valid_uid = 1\n\
                 mail_home = {home_text}\nmail_location = {location}\nmail_fsync = never\n\
                 namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n\
                 userdb {{\n  driver = static\n  args = uid={OWNER} gid={OWNER} home={home_text}\n}}\n\
                 plugin {{\n  {plugin}\n}}\n"
            ),
        )
        .unwrap();
        let deeper = match location.starts_with("mbox") {
            true => "Archive/2024/deeper",
            false => "Archive/2024/März/deeper",
        };
        Self {
            conf,
            home: home.to_owned(),
            deeper,
        }
    }

    pub fn adm(&self, args: &[&str]) -> Vec<u8> {
        doveadm(&self.conf, &self.home, args)
    }

    /// Every message as Dovecot gives it out.
    pub fn fetch(&self) -> Vec<Fetched> {
        let fields = "mailbox guid flags date.received size.physical text";
        let all = self.adm(&["-f", "pager", "fetch", fields, "all"]);
        let mut rest = all.as_slice();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let mut field = |name: &str| {
                let end = rest.iter().position(|&b| b == b'\n').unwrap();
                let line = std::str::from_utf8(&rest[..end]).unwrap();
                rest = &rest[end + 1..];
                line.strip_prefix(name)
                    .unwrap_or_else(|| panic!("{line}"))
                    .trim()
                    .to_owned()
            };
            let (folder, guid) = (field("mailbox:"), field("guid:"));
            let (flags, date) = (field("flags:"), field("date.received:"));
            let size: usize = field("size.physical:").parse().unwrap();
            field("text:");
            let (bytes, after) = rest.split_at(size);
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            rest = rest.strip_prefix(b"\x0c\n").unwrap_or(rest);
            found.push(Fetched {
                folder,
                guid,
                flags: flags.split(' ').map(str::to_owned).collect(),
                received: utc(&date[..19]),
                bytes: bytes.to_vec(),
            });
        }
        found
    }

    /// Takes in the messages of a Maildir, which is Dovecot's then.
    pub fn import(&self, maildir: &Path) {
        run(Command::new("chown")
            .arg("-R")
            .arg(OWNER.to_string())
            .arg(maildir));
        let from = format!("maildir:{}", maildir.display());
        self.adm(&["import", &from, "", "all"]);
    }

    /// Appends a line to the configuration.
    pub fn set(&self, line: &str) {
        let conf = fs::read_to_string(&self.conf).unwrap();
        fs::write(&self.conf, format!("{conf}{line}\n")).unwrap();
    }

    /// The folders that hold messages, or may.
    pub fn selectable(&self) -> BTreeSet<String> {
        let said = self.adm(&["-f", "tab", "mailbox", "status", "messages", "*"]);
        let said = String::from_utf8(said).unwrap();
        let lines = said.lines().skip(1);
        lines
            .map(|l| l.split_once('\t').unwrap().0.to_owned())
            .collect()
    }

    pub fn folders(&self) -> BTreeSet<String> {
        let said = String::from_utf8(self.adm(&["mailbox", "list"])).unwrap();
        said.lines().map(str::to_owned).collect()
    }
}

pub struct Fetched {
    pub folder: String,
    pub guid: String,
    pub flags: BTreeSet<String>,
    pub received: i64,
    pub bytes: Vec<u8>,
}

impl Fetched {
    /// The lines that an mbox has for its flags.
    pub fn status(&self) -> String {
        let seen = if self.flags.contains("\\Seen") {
            "Status: RO\n"
        } else {
            "Status: O\n"
        };
        let letters: String = [
            ("\\Answered", 'A'),
            ("\\Flagged", 'F'),
            ("\\Draft", 'T'),
            ("\\Deleted", 'D'),
        ]
        .into_iter()
        .filter(|(flag, _)| self.flags.contains(*flag))
        .map(|(_, letter)| letter)
        .collect();
        if letters.is_empty() {
            seen.to_owned()
        } else {
            format!("{seen}X-Status: {letters}\n")
        }
    }
}

/// New messages with these numbers in INBOX, with all kinds of flags.
pub fn deliver(dovecot: &Dovecot, scratch: &Scratch, numbers: std::ops::Range<i64>) {
    let source = scratch.join(format!("source-{}", numbers.start));
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(source.join(part)).unwrap();
    }
    for number in numbers {
        let flags =
            ["", "S", "RS", "FS", "T", "DS", "DFRST", "S"][usize::try_from(number % 8).unwrap()];
        let body = "From here on\r\n>From there\r\nÄ\r\n"
            .repeat(usize::try_from(number * 7 % 50).unwrap());
        let path = source.join("cur").join(format!(
            "{}.M{number}P1.source:2,{flags}",
            1_795_000_000 + number
        ));
        fs::write(
            &path,
            mail("Bob <b@example.com>", &format!("Number {number}"), &body),
        )
        .unwrap();
        store::set_time(&path, 1_794_000_000 + number * 3601);
    }
    dovecot.import(&source);
}

/// Messages with all kinds of flags, copied, moved, expunged and filed by Dovecot.
pub fn fill(dovecot: &Dovecot, scratch: &Scratch) {
    dovecot.adm(&[&["mailbox", "create"][..], &FOLDERS, &[dovecot.deeper]].concat());
    deliver(dovecot, scratch, 0..40);
    for args in [
        &["move", "Sent", "mailbox", "INBOX", "1:6"][..],
        &["move", "Archive/2024/März", "mailbox", "INBOX", "1:5"],
        &[
            "copy",
            dovecot.deeper,
            "mailbox",
            "Archive/2024/März",
            "1:3",
        ],
        &["copy", "日本語", "mailbox", "Sent", "2:4"],
        &["copy", "Entwürfe", "mailbox", "INBOX", "2:3"],
        &["move", "A & B", "mailbox", "INBOX", "4:6"],
        &["expunge", "mailbox", "INBOX", "3"],
        &[
            "flags",
            "add",
            "\\Flagged \\Answered $Label1 project-x",
            "mailbox",
            "INBOX",
            "2:4",
        ],
        &["flags", "remove", "\\Seen", "mailbox", "Sent", "1:2"],
        &["flags", "add", "\\Draft", "mailbox", "Entwürfe", "1"],
    ] {
        dovecot.adm(args);
    }
}

/// Compares what is shown of a mailbox with what Dovecot says is in it.
pub fn assert_shows(top: &Path, wanted: &BTreeSet<String>, truth: &[Fetched]) {
    // A folder is what has an mbox beside it.
    let mut folders = BTreeSet::new();
    walk(top, &mut |path, meta| {
        if meta.is_file() && path.extension().is_some_and(|e| e == "mbox") {
            folders.insert(path.with_extension("").to_str().unwrap().to_owned());
        }
        let about = path == Path::new(ABOUT);
        assert_eq!(meta.uid(), OWNER, "{}", path.display());
        assert!(
            about || meta.is_dir() || path.extension().is_some(),
            "{}",
            path.display()
        );
    });
    assert_eq!(&folders, wanted, "{}", top.display());

    let mut expected: BTreeMap<&str, Vec<(String, i64)>> = BTreeMap::new();
    for message in truth {
        let entry = (sha256(&message.bytes), message.received);
        expected.entry(&message.folder).or_default().push(entry);
    }
    for folder in wanted {
        let directory = top.join(folder);
        let mut got: Vec<(String, i64)> = messages(&directory)
            .iter()
            .map(|name| directory.join(name))
            .map(|path| {
                (
                    sha256(fs::read(&path).unwrap()),
                    fs::metadata(&path).unwrap().mtime(),
                )
            })
            .collect();
        let mut expected = expected.remove(folder.as_str()).unwrap_or_default();
        assert_same(
            &format!("{folder}: bytes and INTERNALDATE"),
            &mut got,
            &mut expected,
        );

        let mbox = fs::read_to_string(top.join(format!("{folder}.mbox"))).unwrap();
        let mut entries: Vec<String> = Vec::new();
        for line in mbox.split_inclusive('\n') {
            if line.starts_with("From ") {
                entries.push(String::new());
            }
            entries.last_mut().unwrap().push_str(line);
        }
        let mut got: Vec<(String, String)> = entries.iter().map(|e| flags_and_subject(e)).collect();
        let mut expected: Vec<(String, String)> = truth
            .iter()
            .filter(|m| m.folder == *folder)
            .map(|m| (m.status(), subject(std::str::from_utf8(&m.bytes).unwrap())))
            .collect();
        assert_same(
            &format!("{folder}: flags in the mbox"),
            &mut got,
            &mut expected,
        );
    }
    assert!(expected.is_empty(), "{expected:?}");
}

/// Fails, showing what only one of them has, unless two lists have the same things.
pub fn assert_same<T: Ord + std::fmt::Debug>(what: &str, got: &mut [T], expected: &mut [T]) {
    got.sort();
    expected.sort();
    if got != expected {
        let more: Vec<&T> = got.iter().filter(|one| !expected.contains(one)).collect();
        let missing: Vec<&T> = expected.iter().filter(|one| !got.contains(one)).collect();
        panic!(
            "{what}: {} for {}, {} too many {:?}, {} missing {:?}",
            got.len(),
            expected.len(),
            more.len(),
            more.iter().take(5).collect::<Vec<_>>(),
            missing.len(),
            missing.iter().take(5).collect::<Vec<_>>()
        );
    }
}

fn subject(message: &str) -> String {
    message
        .lines()
        .find(|l| l.starts_with("Subject: "))
        .unwrap()
        .trim_end()
        .to_owned()
}

/// The lines between the From_ line and the message, and which message it is.
fn flags_and_subject(entry: &str) -> (String, String) {
    let lines = entry.split_inclusive('\n').skip(1);
    let flags = lines.take_while(|l| l.starts_with("Status: ") || l.starts_with("X-Status: "));
    (flags.collect(), subject(entry))
}
