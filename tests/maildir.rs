//! `.maildir`: the same mail as mail programs read it, compared with the store itself and opened by them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::store::mail;
use harness::tree::walk;
use harness::{Config, Layout, Mailbox, Mount, Scratch, Store, Subject, able, python, run};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const KEYWORDS: &str = "0 $Forwarded\n1 urgent\n";

fn letter(number: u32) -> Vec<u8> {
    mail(
        "Bob Rossi <bob@example.com>",
        &format!("Message {number}"),
        "Text.\n",
    )
}

fn setup() -> (Scratch, Store, Mount) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let hers = store.mailbox(DAY, ALICE);
    let received = 1_795_000_000;
    let put = |place: &str, name: &[u8], number: u32| {
        hers.put(place, name, letter(number), received + i64::from(number));
    };
    put("cur", b"1.M1P1.mx:2,S", 1);
    put("cur", b"2.M1P1.mx:2,FRSab", 2);
    put("cur", b"3.M1P1.mx;2,S", 3);
    put("cur", b"4.M1P1.mx", 4);
    put("new", b"5.M1P1.mx", 5);
    put("cur", b"6.M1\xffP1.mx:2,", 6);
    put("Sent/cur", b"7.M1P1.mx:2,S", 7);
    put("Archive/2024/new", b"8.M1P1.mx", 8);
    put("Entw&APw-rfe/cur", b"9.M1P1.mx:2,DS", 9);
    fs::write(hers.path.join("dovecot-keywords"), KEYWORDS).unwrap();
    let plain = letter(10);
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(&plain).unwrap();
    let name = format!("10.M1P1.mx,S={}:2,SZ", plain.len());
    hers.put("cur", name, gz.finish().unwrap(), received + 10);
    let nested = Mailbox::new(&store.snapshot(DAY), CAROL, Layout::Fs);
    for (place, number) in [("cur", 1), ("Lists/v1.2/cur", 2), ("Entw&APw-rfe/cur", 3)] {
        nested.put(
            place,
            format!("{number}.M2P1.mx:2,S"),
            letter(number),
            received,
        );
    }
    store.mailbox(DAY, BOB).number("cur", 1);
    let mount = Mount::new(&Config::new(&scratch, &store));
    (scratch, store, mount)
}

/// Everything below a directory: path to bytes, of files.
fn contents(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    walk(root, &mut |path, meta| {
        let bytes = meta.is_file().then(|| fs::read(root.join(path)).unwrap());
        found.insert(path.to_owned(), bytes);
    });
    found
}

#[test]
fn it_is_the_store_with_its_names_in_order_and_its_messages_decoded() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, mount) = setup();
    assert!(harness::ls(&mount.path).contains(&".maildir".to_owned()));
    let stored = store.path.join(DAY).join("example.com/alice/Maildir");
    let mut expected = BTreeMap::new();
    for (path, bytes) in contents(&stored) {
        let name = path.file_name().unwrap().as_bytes().to_vec();
        let new = path.parent().is_some_and(|place| place.ends_with("new"));
        let name = match (name.as_slice(), new) {
            (b"maildirfolder", _) => continue,
            (b"3.M1P1.mx;2,S", _) => b"3.M1P1.mx:2,S".to_vec(),
            (b"4.M1P1.mx", _) => b"4.M1P1.mx:2,".to_vec(),
            _ => name,
        };
        let bytes = bytes.map(|bytes| {
            if name.ends_with(b"Z") {
                letter(10)
            } else {
                bytes
            }
        });
        expected.insert(path.with_file_name(OsStr::from_bytes(&name)), bytes);
    }
    let shown = mount.join(".maildir").join(DAY).join(ALICE);
    assert_eq!(contents(&shown), expected);
    // The same nodes as by date.
    let by_date = mount.join(DAY).join(ALICE).join("Sent");
    let name = harness::tree::only(&by_date);
    let ino = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(
        ino(by_date.join(name)),
        ino(shown.join(".Sent/cur/7.M1P1.mx:2,S"))
    );
    for missing in [
        "cur/1.M1P1.mx",
        "cur/1.M1P1.mx:2,F",
        "new/1.M1P1.mx:2,S",
        "tmp/x",
        ".Nope",
        "INBOX",
    ] {
        assert!(
            fs::symlink_metadata(shown.join(missing)).is_err(),
            "{missing}"
        );
    }
}

#[test]
fn nested_folders_get_names_of_their_own() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, mount) = setup();
    let shown = mount.join(".maildir").join(DAY).join(CAROL);
    let names = harness::ls(&shown);
    assert_eq!(names, [".Entw&APw-rfe", ".Lists.v1_2", "cur", "new", "tmp"]);
    assert_eq!(
        fs::read(shown.join("cur/1.M2P1.mx:2,S")).unwrap(),
        letter(1)
    );
    assert_eq!(
        fs::read(shown.join(".Lists.v1_2/cur/2.M2P1.mx:2,S")).unwrap(),
        letter(2)
    );
}

#[test]
fn python_reads_it() {
    if !able(&["python3"]) {
        return;
    }
    let (_scratch, _store, mount) = setup();
    let script = "
import mailbox, sys
def tell(box, name):
    for key, message in box.iteritems():
        print(name, message['Subject'], message.get_flags(), message.get_subdir(), int(message.get_date()), sep='|')
box = mailbox.Maildir(sys.argv[1], create=False)
tell(box, 'INBOX')
for name in box.list_folders():
    tell(box.get_folder(name), name)
";
    let shown = mount.join(".maildir").join(DAY).join(ALICE);
    let told = String::from_utf8(run(python().args(["-c", script]).arg(&shown))).unwrap();
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    let expected = [
        "Archive.2024|Message 8||new|1795000008",
        "Entw&APw-rfe|Message 9|DS|cur|1795000009",
        "INBOX|Message 10|SZ|cur|1795000010",
        "INBOX|Message 1|S|cur|1795000001",
        "INBOX|Message 2|FRSab|cur|1795000002",
        "INBOX|Message 3|S|cur|1795000003",
        "INBOX|Message 4||cur|1795000004",
        "INBOX|Message 5||new|1795000005",
        "INBOX|Message 6||cur|1795000006",
        "Sent|Message 7|S|cur|1795000007",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn mutt_opens_it() {
    if !able(&["mutt", "script"]) {
        return;
    }
    let (scratch, _store, mount) = setup();
    let shown = mount.join(".maildir").join(DAY).join(ALICE);
    // Shows its list of messages, copies them all into an mbox, and ends.
    let copy = scratch.join("copied");
    let rc = scratch.join("muttrc");
    let text = format!(
        "set mbox_type=mbox\nset confirmappend=no\nset confirmcreate=no\nset copy=yes\nset quit=yes\nset auto_tag=yes\n\
         set move=no\npush '<tag-pattern>~A<enter><copy-message><kill-line>{}<enter><quit>'\n",
        copy.display()
    );
    fs::write(&rc, text).unwrap();
    let mutt = format!("mutt -n -F {} -R -f {}", rc.display(), shown.display());
    let mut terminal = Command::new("timeout");
    terminal
        .args(["30", "script", "-qec", &mutt, "/dev/null"])
        .env("TERM", "vt100")
        .env("HOME", scratch.path());
    // At the end of its input it would end too.
    let mut child = terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let typed = child.stdin.take();
    let said = child.wait_with_output().unwrap();
    drop(typed);
    let screen = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(screen.contains("Msgs:7 New:1 Old:2"), "{screen}");
    for number in [1, 2, 3, 4, 5, 6, 10] {
        assert!(
            screen.contains(&format!("Message {number}")),
            "{number}: {screen}"
        );
    }
    let copied = fs::read_to_string(&copy).unwrap_or_else(|e| panic!("{e}: {screen}"));
    assert!(
        copied.contains("Subject: Message 5\n") && copied.contains("Text."),
        "{copied}"
    );
}

#[test]
fn notmuch_indexes_it() {
    if !able(&["notmuch"]) {
        return;
    }
    let (scratch, _store, mount) = setup();
    let shown = mount.join(".maildir").join(DAY).join(ALICE);
    let config = scratch.join("notmuch");
    let text = format!(
        "[database]\npath={}\nmail_root={}\n[user]\nname=Alice\nprimary_email={ALICE}\n\
         [new]\ntags=unread\nignore=maildirfolder;dovecot-keywords;subscriptions\n[maildir]\nsynchronize_flags=true\n",
        scratch.subdirectory("database").display(),
        shown.display()
    );
    fs::write(&config, text).unwrap();
    let notmuch = |args: &[&str]| {
        let mut command = Command::new("notmuch");
        let said = run(command.arg("--config").arg(&config).args(args));
        String::from_utf8(said).unwrap().trim().to_owned()
    };
    notmuch(&["new", "--quiet"]);
    for (query, count) in [
        ("*", 10),
        ("tag:unread", 4),
        ("tag:flagged", 1),
        ("tag:replied", 1),
        ("tag:draft", 1),
        ("folder:.Sent", 1),
        ("subject:Message", 10),
    ] {
        let found = notmuch(&["count", query]);
        assert_eq!(found, count.to_string(), "{query}");
    }
}

#[test]
fn doveadm_imports_it() {
    if !able(&["doveadm"]) {
        return;
    }
    let (scratch, _store, mount) = setup();
    let conf = scratch.join("dovecot.conf");
    let target = scratch.subdirectory("target");
    let shown = mount.join(".maildir").join(DAY).join(ALICE);
    let owner = fs::metadata(&shown).unwrap().uid();
    let text = format!(
        "mail_home = {0}\nmail_location = maildir:{0}/Maildir\nmail_uid = {1}\nmail_gid = {1}\nfirst_valid_uid = 1\n\
         log_path = /dev/stderr\nbase_dir = {0}/run\nssl = no\n",
        target.display(),
        owner
    );
    fs::write(&conf, text).unwrap();
    let control = scratch.subdirectory("control");
    for directory in [&target, &control] {
        std::os::unix::fs::chown(directory, Some(owner), Some(owner)).unwrap();
    }
    let source = format!(
        "maildir:{}:INDEX=MEMORY:CONTROL={}",
        shown.display(),
        control.display()
    );
    let doveadm = |args: &[&str]| {
        let mut command = Command::new("doveadm");
        command
            .arg("-c")
            .arg(&conf)
            .args(args)
            .env("HOME", &target)
            .env("USER", "alice");
        String::from_utf8(run(&mut command)).unwrap()
    };
    // Dovecot looks for the names of keywords where it keeps files of its own.
    for place in ["", ".INBOX"] {
        let place = control.join(place);
        fs::create_dir_all(&place).unwrap();
        fs::copy(
            shown.join("dovecot-keywords"),
            place.join("dovecot-keywords"),
        )
        .unwrap();
    }
    run(Command::new("chown")
        .args(["-R", &owner.to_string()])
        .arg(&control));
    doveadm(&["import", &source, "", "all"]);
    let told = doveadm(&[
        "-f",
        "flow",
        "fetch",
        "mailbox flags hdr.subject date.received.unixtime",
        "all",
    ]);
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in told.lines() {
        let field = |name: &str| {
            let rest = line
                .split_once(&format!("{name}="))
                .map_or("", |(_, rest)| rest);
            let end = [
                " mailbox=",
                " flags=",
                " hdr.subject=",
                " date.received.unixtime=",
            ];
            let end = end
                .iter()
                .filter_map(|end| rest.find(end))
                .min()
                .unwrap_or(rest.len());
            rest[..end].trim().to_owned()
        };
        let mut flags: Vec<String> = field("flags").split(' ').map(str::to_owned).collect();
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        found.push((
            field("hdr.subject"),
            field("mailbox"),
            flags.join(" ").trim().to_owned(),
        ));
    }
    found.sort();
    let expected = [
        ("Message 1", "INBOX", "\\Seen"),
        ("Message 10", "INBOX", "\\Seen"),
        (
            "Message 2",
            "INBOX",
            "$Forwarded \\Answered \\Flagged \\Seen urgent",
        ),
        ("Message 3", "INBOX", "\\Seen"),
        ("Message 4", "INBOX", ""),
        ("Message 5", "INBOX", ""),
        ("Message 6", "INBOX", ""),
        ("Message 7", "Sent", "\\Seen"),
        ("Message 8", "Archive.2024", ""),
        ("Message 9", "Entwürfe", "\\Draft \\Seen"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(found, expected, "{told}");
}

#[test]
fn nobody_else_gets_in_and_nobody_writes() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, mount) = setup();
    let date = mount.join(".maildir").join(DAY);
    let owner =
        |address: &str| Subject::uid(fs::metadata(mount.join(DAY).join(address)).unwrap().uid());
    let (alice, bob, stranger) = (owner(ALICE), owner(BOB), Subject::uid(1_900_009));
    assert_eq!(alice.list(&date).unwrap(), [ALICE]);
    assert_eq!(stranger.list(&date).unwrap(), [""; 0]);
    assert_eq!(stranger.list(mount.join(".maildir")).unwrap(), [DAY]);
    let hers = date.join(ALICE);
    alice.read(hers.join(".Sent/cur/7.M1P1.mx:2,S")).unwrap();
    for path in [
        "",
        "cur",
        "cur/1.M1P1.mx:2,S",
        ".Sent",
        ".Sent/cur",
        "dovecot-keywords",
    ] {
        for subject in [&bob, &stranger] {
            subject.refused(hers.join(path));
        }
        let meta = fs::metadata(hers.join(path)).unwrap();
        assert_eq!(meta.uid(), alice.uid, "{path}");
        assert_eq!(meta.mode() & 0o077, 0, "{path}");
    }
    let error = fs::write(hers.join("tmp/x"), "x").unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        Some(rustix::io::Errno::ROFS.raw_os_error())
    );
    let from = hers.join("new/5.M1P1.mx");
    let error = fs::rename(&from, hers.join("cur/5.M1P1.mx:2,S")).unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        Some(rustix::io::Errno::ROFS.raw_os_error())
    );
    let odd = hers
        .join("cur")
        .join(std::ffi::OsString::from_vec(b"6.M1\xffP1.mx:2,".to_vec()));
    assert_eq!(fs::read(odd).unwrap(), letter(6));
}
