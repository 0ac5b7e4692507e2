//! Stores that Dovecot's own tools have made, compared with what Dovecot says is in them. No daemon of its runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::dovecot::{Dovecot, FOLDERS, OWNER, assert_shows, deliver, fill};
use harness::tree::{messages, walk};
use harness::{Config, Mount, Scratch, Store, able, run};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";

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
    assert_shows(&top, &wanted, &truth);
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
    drop(mount);
    // What was known of the mbox without the key is no help with it, on this date or on one that differs a little.
    store.link(DAY, "2026-11-25");
    let cur = store
        .snapshot("2026-11-25")
        .join("example.com/alice/Maildir/cur");
    let one = fs::read_dir(cur).unwrap().next().unwrap().unwrap();
    fs::remove_file(one.path()).unwrap();
    let warm = ["warm", "--config", config.write().to_str().unwrap()];
    harness::run(&mut harness::mount::mailtm(&warm));
    let mount = Mount::new(&config);
    for date in [DAY, "2026-11-25"] {
        let mbox = mount.join(date).join(ALICE).join("INBOX.mbox");
        let text = fs::read_to_string(&mbox).unwrap();
        assert_eq!(text.len() as u64, fs::metadata(&mbox).unwrap().len());
        assert!(!text.contains("X-Mailtm-Unreadable:"), "{date}");
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

/// With a key pair of each user and folder, which his password may protect.
#[test]
fn encrypted_for_users() {
    if !able(&["doveadm", "openssl"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let home = store.snapshot(DAY).join("example.com/alice");
    let own = "mail_crypt_curve = prime256v1\n  mail_crypt_save_version = 2";
    let dovecot = Dovecot::new(&scratch, &home, "maildir:~/Maildir", own);
    dovecot.set("mail_attribute_dict = file:%h/attributes");
    fill(&dovecot, &scratch);
    let truth = dovecot.fetch();
    let wanted = truth.iter().filter(|m| m.folder == "INBOX").count();
    // Nor does another key help.
    let (key, _) = key_pair(&scratch, &elliptic(P256));
    let files = vec![key.to_str().unwrap().to_owned()];
    let config = Config::new(&scratch, &store);
    let configs = [
        (config.clone(), "names no key"),
        (config.set("source.mail_crypt_keys", files), "keys of users"),
    ];
    for (config, words) in configs {
        let mount = Mount::new(&config).expecting_warnings();
        let inbox = mount.join(DAY).join(ALICE).join("INBOX");
        let names = messages(&inbox);
        assert_eq!(names.len(), wanted);
        for name in names {
            let error = fs::read(inbox.join(name)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(5));
        }
        mount.wait_for_warning(&["folder INBOX", "mail_crypt", words]);
        let told = mount.warnings();
        let told = told.iter().filter(|w| w.contains("folder INBOX"));
        assert_eq!(told.count(), 1, "once for the folder");
    }
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

/// What holds the messages of a folder has another name than `dbox-Mails`.
fn compare_dirname(location: &str) {
    compare_dbox(location, "");
    let driver = location.split(':').next().unwrap().to_owned();
    if able(&["doveadm"]) {
        let configure = |config: Config| {
            let config = config.set("source.mailboxes", format!("{{domain}}/{{user}}/{driver}"));
            config.set("source.format", driver)
        };
        compare_changed(&Scratch::new(), location, "", |_| {}, configure);
    }
}

#[test]
fn sdbox_dirname() {
    compare_dirname("sdbox:~/sdbox:DIRNAME=dm");
}

#[test]
fn mdbox_dirname() {
    compare_dirname("mdbox:~/mdbox:DIRNAME=dm");
}

#[test]
fn sdbox_dirname_index_elsewhere() {
    compare_dbox("sdbox:~/sdbox:DIRNAME=dm:INDEX=~/index", "");
    compare_dbox("sdbox:~/sdbox:FULLDIRNAME=dm:INDEX=~/index", "");
}

/// Headers that no empty line ends: as Dovecot gives them out where it cannot write, and once it has put an empty line there.
#[test]
fn mbox_headers_alone() {
    if !able(&["doveadm"]) {
        return;
    }
    for writes in [false, true] {
        let scratch = Scratch::new();
        let store = Store::new(scratch.join("snapshots"));
        let home = store.snapshot(DAY).join("example.com/alice");
        let dovecot = Dovecot::new(&scratch, &home, "mbox:~/mail:INBOX=~/mail/inbox", "");
        dovecot.adm(&["mailbox", "create", "Sent"]);
        let from = "From a@b Mon Nov 16 11:55:59 2026\n";
        let texts = [
            "one\nX: y\n",
            "two\n\nbody\n",
            "three\n\n",
            "four\n\n\n",
            "five\nX: z\n",
        ];
        let inbox = home.join("mail/inbox");
        let mbox = texts.map(|text| format!("{from}Subject: {text}")).concat();
        fs::write(&inbox, mbox).unwrap();
        if writes {
            lchown(&inbox, Some(OWNER), Some(OWNER)).unwrap();
        }
        let truth = dovecot.fetch();
        assert_eq!(truth.len(), texts.len());
        assert_eq!(truth[0].bytes.ends_with(b"y\n"), writes);
        let config = Config::new(&scratch, &store).set("source.mailboxes", "{domain}/{user}");
        let mount = Mount::new(&config);
        let shown = mount.join(DAY).join(ALICE).join("INBOX");
        let mut shown: Vec<Vec<u8>> = messages(&shown)
            .iter()
            .map(|name| fs::read(shown.join(name)).unwrap())
            .collect();
        let mut wanted: Vec<Vec<u8>> = truth.into_iter().map(|m| m.bytes).collect();
        shown.sort();
        wanted.sort();
        assert_eq!(shown, wanted);
    }
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

/// Names that begin with a dot, and those that are a server's files mostly: what Dovecot lists is what is shown.
#[test]
fn mbox_folders_of_doubtful_names() {
    if !able(&["doveadm"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let home = store.snapshot(DAY).join("example.com/alice");
    let location = "mbox:~/mail:INBOX=~/mail/inbox";
    let dovecot = Dovecot::new(&scratch, &home, location, "");
    let names = [
        "Sent",
        ".hidden",
        ".empty",
        ".deep/inner",
        "Sub/.inner",
        "dovecot-users",
        "dovecot.org/list",
        "lost+found/found",
        "subscriptions",
    ];
    dovecot.adm(&[&["mailbox", "create"][..], &names].concat());
    dovecot.adm(&["mailbox", "subscribe", "Sent", ".hidden"]);
    deliver(&dovecot, &scratch, 0..6);
    for name in names.iter().filter(|name| **name != ".empty") {
        dovecot.adm(&["copy", name, "mailbox", "INBOX", "2:4"]);
    }
    let mail = home.join("mail");
    for name in [".nfs00000001", "Sent.lock"] {
        fs::copy(mail.join("Sent"), mail.join(name)).unwrap();
    }
    let (folders, truth) = (dovecot.selectable(), dovecot.fetch());
    assert_eq!(folders.len(), names.len() + 1, "{folders:?}");
    // Dovecot lists these as well, and can open none of them.
    for name in [".bashrc", "dovecot-acl", ".cache/thumbnail"] {
        fs::create_dir_all(mail.join(name).parent().unwrap()).unwrap();
        fs::write(mail.join(name), "no mail\n").unwrap();
    }
    let config = Config::new(&scratch, &store).set("source.mailboxes", "{domain}/{user}");
    let mount = Mount::new(&config);
    assert_shows(&mount.join(DAY).join(ALICE), &folders, &truth);
}
