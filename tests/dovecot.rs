//! Stores that Dovecot's own tools have made, compared with what Dovecot says is in them. No daemon of its runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{ABOUT, messages, sha256, walk};
use harness::{Config, Mount, Scratch, Store, able, mail, run};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

const OWNER: u32 = 1_700_001;
const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const FOLDERS: [&str; 7] = [
    "Sent",
    "Trash",
    "Entwürfe",
    "日本語",
    "Empty",
    "A & B",
    "Archive/2024/März",
];

/// doveadm with a configuration of its own, as the owner of the store.
struct Dovecot {
    conf: PathBuf,
    home: PathBuf,
    /// A folder in another one, where there can be one.
    deeper: &'static str,
}

impl Dovecot {
    fn new(scratch: &Scratch, home: &Path, location: &str, plugin: &str) -> Self {
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

    fn adm(&self, args: &[&str]) -> Vec<u8> {
        let owner = OWNER.to_string();
        run(Command::new("setpriv")
            .args(["--reuid", &owner, "--regid", &owner, "--clear-groups"])
            .args(["doveadm", "-c", self.conf.to_str().unwrap()])
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &self.home)
            .env("USER", "alice")
            .env("TZ", "UTC")
            .current_dir("/"))
    }

    /// Every message as Dovecot gives it out.
    fn fetch(&self) -> Vec<Fetched> {
        let fields = "mailbox flags date.received size.physical text";
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
            let (folder, flags, date) =
                (field("mailbox:"), field("flags:"), field("date.received:"));
            let size: usize = field("size.physical:").parse().unwrap();
            field("text:");
            let (bytes, after) = rest.split_at(size);
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            rest = rest.strip_prefix(b"\x0c\n").unwrap_or(rest);
            found.push(Fetched {
                folder,
                flags: flags.split(' ').map(str::to_owned).collect(),
                received: harness::utc(&date[..19]),
                bytes: bytes.to_vec(),
            });
        }
        found
    }

    fn folders(&self) -> BTreeSet<String> {
        let said = String::from_utf8(self.adm(&["mailbox", "list"])).unwrap();
        said.lines().map(str::to_owned).collect()
    }
}

struct Fetched {
    folder: String,
    flags: BTreeSet<String>,
    received: i64,
    bytes: Vec<u8>,
}

impl Fetched {
    /// The lines that an mbox has for its flags.
    fn status(&self) -> String {
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

/// Messages with all kinds of flags, copied, moved, expunged and filed by Dovecot.
fn fill(dovecot: &Dovecot, scratch: &Scratch) {
    let source = scratch.join("source");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(source.join(part)).unwrap();
    }
    for number in 0..40_i64 {
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
        harness::store::set_time(&path, 1_794_000_000 + number * 3601);
    }
    run(Command::new("chown")
        .arg("-R")
        .arg(OWNER.to_string())
        .arg(&source));
    dovecot.adm(&[&["mailbox", "create"][..], &FOLDERS, &[dovecot.deeper]].concat());
    let from = format!("maildir:{}", source.display());
    dovecot.adm(&["import", &from, "", "all"]);
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

fn compare(location: &str, plugin: &str) {
    if able(&["doveadm"]) {
        compare_changed(&Scratch::new(), location, plugin, |_| {}, |config| config);
    }
}

fn compare_dbox(location: &str, plugin: &str) {
    if able(&["doveadm"]) {
        let configure = |config: Config| config.set("source.mailboxes", "{domain}/{user}");
        compare_changed(&Scratch::new(), location, plugin, |_| {}, configure);
    }
}

/// With something done to the store before either looks at it, and something in the configuration.
fn compare_changed(
    scratch: &Scratch,
    location: &str,
    plugin: &str,
    change: impl FnOnce(&Path),
    configure: impl FnOnce(Config) -> Config,
) {
    let store = Store::new(scratch.join("snapshots"));
    let home = store.snapshot(DAY).join("example.com/alice");
    let dovecot = Dovecot::new(scratch, &home, location, plugin);
    fill(&dovecot, scratch);
    change(&home);
    let truth = dovecot.fetch();
    assert!(truth.len() > 40, "{}", truth.len());
    let wanted: BTreeSet<String> = FOLDERS
        .iter()
        .copied()
        .chain(["INBOX", dovecot.deeper])
        .map(str::to_owned)
        .collect();
    let listed = dovecot.folders();
    assert!(wanted.is_subset(&listed), "{listed:?}");

    let mount = Mount::new(&configure(Config::new(scratch, &store)));
    let top = mount.join(DAY).join(ALICE);
    // A folder is what has an mbox beside it.
    let mut folders = BTreeSet::new();
    walk(&top, &mut |path, meta| {
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
    assert_eq!(folders, wanted);

    let mut expected: BTreeMap<&str, Vec<(String, i64)>> = BTreeMap::new();
    for message in &truth {
        let entry = (sha256(&message.bytes), message.received);
        expected.entry(&message.folder).or_default().push(entry);
    }
    for folder in &wanted {
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
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{folder}: bytes and INTERNALDATE");

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
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{folder}: flags in the mbox");
    }
    assert!(expected.is_empty(), "{expected:?}");
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

#[test]
fn maildir_plus_plus() {
    compare("maildir:~/Maildir", "");
}

#[test]
fn layout_fs() {
    compare("maildir:~/Maildir:LAYOUT=fs", "");
}

/// Indexes, control files and INBOX in places of their own.
#[test]
fn control_files_elsewhere() {
    compare(
        "maildir:~/Maildir:INDEX=~/index:CONTROL=~/control:INBOX=~/Maildir/.INBOX",
        "",
    );
}

#[test]
fn utf8_names() {
    compare("maildir:~/Maildir:UTF-8", "");
}

#[test]
fn compressed_with_gzip() {
    compare("maildir:~/Maildir", "zlib_save = gz");
}

#[test]
fn compressed_with_zstd() {
    compare("maildir:~/Maildir", "zlib_save = zstd");
}

#[test]
fn compressed_with_bzip2() {
    compare("maildir:~/Maildir", "zlib_save = bz2");
}

#[test]
fn compressed_with_lz4() {
    compare("maildir:~/Maildir", "zlib_save = lz4");
}

/// Dovecot reads xz and writes none. Half of the files stay as they are.
#[test]
fn compressed_with_xz_in_part() {
    if !able(&["doveadm", "xz"]) {
        return;
    }
    let pack = |home: &Path| {
        let mut number = 0;
        walk(home, &mut |path, meta| {
            let of_message = path.parent().is_some_and(|p| p.ends_with("cur"));
            number += 1;
            if !meta.is_file() || !of_message || number % 2 == 0 {
                return;
            }
            let path = home.join(path);
            let packed = run(Command::new("xz").arg("-c").arg(&path));
            fs::write(&path, packed).unwrap();
            harness::store::set_time(&path, meta.mtime());
        });
        assert!(number > 80, "{number}");
    };
    compare_changed(&Scratch::new(), "maildir:~/Maildir", "", pack, |c| c);
}

/// A pair of keys made by OpenSSL, and what Dovecot wants to be told of them.
fn key_pair(scratch: &Scratch, generate: &[&str]) -> (PathBuf, String) {
    let keys = scratch.subdirectory("keys");
    let (private, public) = (keys.join("private.pem"), keys.join("public.pem"));
    let key = run(Command::new("openssl").args(generate));
    fs::write(&private, key).unwrap();
    let of = Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(&private)
        .output()
        .unwrap();
    fs::write(&public, of.stdout).unwrap();
    let settings = format!(
        "mail_crypt_save_version = 2\n  mail_crypt_global_private_key = <{}\n  mail_crypt_global_public_key = <{}\n",
        private.display(),
        public.display()
    );
    (private, settings)
}

fn encrypted(generate: &[&str], plugin: &str) {
    if !able(&["doveadm", "openssl"]) {
        return;
    }
    let scratch = Scratch::new();
    let (key, settings) = key_pair(&scratch, generate);
    let files = vec![key.to_str().unwrap().to_owned()];
    compare_changed(
        &scratch,
        "maildir:~/Maildir",
        &format!("{settings}  {plugin}"),
        |_| {},
        |config| config.set("source.mail_crypt_keys", files),
    );
}

/// What makes a key on an elliptic curve.
fn elliptic(curve: &str) -> Vec<&str> {
    vec!["genpkey", "-algorithm", "EC", "-pkeyopt", curve]
}

const P256: &str = "ec_paramgen_curve:prime256v1";

/// As mailcow has it.
#[test]
fn encrypted_for_p256_and_compressed() {
    encrypted(&elliptic(P256), "zlib_save = lz4");
}

#[test]
fn encrypted_for_p521() {
    encrypted(&elliptic("ec_paramgen_curve:secp521r1"), "");
}

#[test]
fn encrypted_for_p384_and_compressed() {
    encrypted(&elliptic("ec_paramgen_curve:secp384r1"), "zlib_save = zstd");
}

#[test]
fn encrypted_for_rsa() {
    let rsa = ["genpkey", "-algorithm", "RSA", "-pkeyopt"];
    encrypted(&[&rsa[..], &["rsa_keygen_bits:2048"]].concat(), "");
}

/// Listed with date and size, and with their names once there is the key.
#[test]
fn encrypted_and_no_key() {
    if !able(&["doveadm", "openssl"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let home = store.snapshot(DAY).join("example.com/alice");
    let (key, settings) = key_pair(&scratch, &elliptic(P256));
    let dovecot = Dovecot::new(&scratch, &home, "maildir:~/Maildir", &settings);
    fill(&dovecot, &scratch);
    let mut received: Vec<i64> = dovecot.fetch().iter().map(|m| m.received).collect();
    received.sort_unstable();

    let config = Config::new(&scratch, &store);
    let inbox = |mount: &Mount| mount.join(DAY).join(ALICE).join("INBOX");
    {
        let mount = Mount::new(&config).expecting_warnings();
        let mut seen = Vec::new();
        walk(&mount.join(DAY).join(ALICE), &mut |path, meta| {
            if path.extension().is_some_and(|e| e == "eml") {
                seen.push(meta.mtime());
                assert!(meta.len() > 0);
                let error = fs::read(mount.join(DAY).join(ALICE).join(path)).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(5));
            }
        });
        seen.sort_unstable();
        assert_eq!(seen, received);
        let mbox = fs::read_to_string(inbox(&mount).with_extension("mbox")).unwrap();
        let unreadable = mbox.matches("X-Mailtm-Unreadable:").count();
        assert_eq!(unreadable, messages(inbox(&mount)).len());
    }
    let check = |config: &Config| {
        let path = config.write().to_str().unwrap().to_owned();
        let said = harness::mount::mailtm(&["check", "--config", &path])
            .output()
            .unwrap();
        let text = String::from_utf8(said.stdout).unwrap();
        (said.status.code(), text)
    };
    let (code, text) = check(&config);
    assert!(
        code == Some(3) && text.contains("mail_crypt_keys"),
        "{text}"
    );

    let files = vec![key.to_str().unwrap().to_owned()];
    let config = config.set("source.mail_crypt_keys", files);
    let mount = Mount::new(&config);
    for name in messages(inbox(&mount)) {
        assert!(name.contains("Bob - Number "), "{name}");
        assert!(fs::read(inbox(&mount).join(name)).is_ok());
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = check(&config);
    assert!(code == Some(0) && text.contains("chmod 600"), "{text}");
    fs::remove_file(&key).unwrap();
    let (code, text) = check(&config);
    assert!(
        code == Some(2) && text.contains("mail_crypt_keys"),
        "{text}"
    );
}

#[test]
fn sdbox() {
    compare_dbox("sdbox:~/sdbox", "");
}

#[test]
fn sdbox_by_guid() {
    compare_dbox("sdbox:~/sdbox:LAYOUT=index", "");
}

#[test]
fn sdbox_compressed() {
    compare_dbox("sdbox:~/sdbox", "zlib_save = zstd");
}

#[test]
fn mdbox() {
    compare_dbox("mdbox:~/mdbox", "");
}

#[test]
fn mdbox_by_guid() {
    compare_dbox("mdbox:~/mdbox:LAYOUT=index", "");
}

#[test]
fn mdbox_compressed() {
    compare_dbox("mdbox:~/mdbox", "zlib_save = lz4");
}

fn compare_mbox(location: &str, templates: &[&str]) {
    if able(&["doveadm"]) {
        let templates: Vec<String> = templates.iter().map(|t| (*t).to_owned()).collect();
        let configure = |config: Config| config.set("source.mailboxes", templates);
        compare_changed(&Scratch::new(), location, "", |_| {}, configure);
    }
}

#[test]
fn mbox() {
    compare_mbox("mbox:~/mail:INBOX=~/mail/inbox", &["{domain}/{user}"]);
}

#[test]
fn mbox_with_the_inbox_elsewhere() {
    let templates = ["{domain}/{user}/mail", "{domain}/{user}/spool"];
    compare_mbox("mbox:~/mail:INBOX=~/spool:INDEX=~/index", &templates);
}
