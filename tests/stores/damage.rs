//! Stores with one file damaged: cut short, emptied, with bits flipped, or with another file's content. Whatever it is, all
//! answers come, nothing is shown that was never there, the rest is as it was, and what is wrong is told.

use crate::cyrus;
use crate::global_key;
use crate::harness::dovecot::{Dovecot, OWNER, fill};
use crate::harness::mount::mailtm;
use crate::harness::tree::walk;
use crate::harness::{Config, Mount, Scratch, Store, able, sha256, within};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOUND: &str = "2025-12-31";
const ALICE: &str = "alice@example.com";

/// How much may be other than it was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// A message, or two that have changed places.
    Messages,
    /// The same where a torn message is shown as it is.
    Plain,
    /// The folder Sent.
    Folder,
    /// The folder Sent and its bytes, which nothing protects.
    FolderBytes,
    /// The bytes of all messages, which nothing protects.
    Bytes,
    /// Every folder: what all have in common.
    Mailbox,
}

/// A file to damage, and one of the same kind that it changes places with; below the mailbox.
struct Target {
    file: PathBuf,
    other: PathBuf,
    reach: Reach,
}

impl Target {
    fn new(file: impl Into<PathBuf>, other: impl Into<PathBuf>, reach: Reach) -> Self {
        Self {
            file: file.into(),
            other: other.into(),
            reach,
        }
    }

    /// The content of each damaged file.
    fn damages(&self, top: &Path) -> Vec<(String, Vec<u8>)> {
        let sound = fs::read(top.join(&self.file)).unwrap();
        let flipped = |at: usize, bits: u8| {
            let mut bytes = sound.clone();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
            bytes
        };
        let middle = sound.len() / 2;
        let mut many = sound.clone();
        many.iter_mut().step_by(29).for_each(|byte| *byte ^= 0x41);
        vec![
            ("cut short".into(), sound[..middle].to_vec()),
            ("cut at its end".into(), sound[..sound.len() - 1].to_vec()),
            ("emptied".into(), Vec::new()),
            ("zeroed".into(), vec![0; sound.len()]),
            ("a bit flipped at the front".into(), flipped(3, 1)),
            ("a bit flipped in the middle".into(), flipped(middle, 0x80)),
            ("many bits flipped".into(), many),
            ("another's".into(), fs::read(top.join(&self.other)).unwrap()),
        ]
    }
}

/// The messages of each folder: their digests, or nothing for one that cannot be read.
type Shown = BTreeMap<String, Vec<Option<String>>>;

fn read(top: &Path) -> Shown {
    let mut shown = Shown::new();
    walk(top, &mut |path, meta| {
        let folder = path.parent().unwrap().to_str().unwrap().to_owned();
        match path.extension().and_then(|e| e.to_str()) {
            Some("eml") => {
                let bytes = fs::read(top.join(path)).ok();
                shown.entry(folder).or_default().push(bytes.map(sha256));
            }
            Some("mbox") => {
                // A whole file, or an error; never another size than was told.
                let bytes = fs::read(top.join(path));
                assert!(bytes.is_err() || bytes.unwrap().len() as u64 == meta.len());
                let folder = path.with_extension("").to_str().unwrap().to_owned();
                shown.entry(folder).or_default();
            }
            _ => {}
        }
    });
    shown.values_mut().for_each(|messages| messages.sort());
    shown
}

/// Damages each of the files in every way, each on a date of its own, and looks at all of them. `mailbox`: where the store is
/// below a snapshot, whose sound one is there.
fn damage(store: &Store, mailbox: &str, targets: &[Target], config: Config) {
    let sound = store.path.join(SOUND);
    let mut dates = Vec::new();
    for target in targets {
        for (what, bytes) in target.damages(&sound.join(mailbox)) {
            let number = dates.len();
            let date = format!("2026-{:02}-{:02}", 1 + number / 28, 1 + number % 28);
            let path = store.link(SOUND, &date).join(mailbox).join(&target.file);
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            lchown(&path, Some(OWNER), Some(OWNER)).unwrap();
            dates.push((date, what, target));
        }
    }
    let mount = Mount::new(&config).expecting_warnings();
    let look = |date: &str| {
        let top = mount.join(date).join(ALICE);
        within(Duration::from_secs(60), date, move || read(&top))
    };
    let sound = look(SOUND);
    let known: BTreeSet<&String> = sound.values().flatten().flatten().collect();
    assert!(sound.values().flatten().all(Option::is_some) && known.len() > 15);
    for (date, what, target) in &dates {
        let what = format!("{date}: {} {what}", target.file.display());
        let now = look(date);
        for digest in now.values().flatten().flatten() {
            let may_differ = matches!(
                target.reach,
                Reach::Messages | Reach::Plain | Reach::FolderBytes | Reach::Bytes
            );
            let fine = may_differ || known.contains(digest);
            assert!(fine, "{what}: a message that there never was");
        }
        if !matches!(target.reach, Reach::Mailbox | Reach::Bytes) {
            let others = |shown: &Shown| {
                let mut shown = shown.clone();
                shown.remove("Sent");
                shown
            };
            assert!(others(&now) == others(&sound), "{what}: other folders");
        }
        assert!(
            target.reach != Reach::FolderBytes || now.contains_key("Sent"),
            "{what}: the folder is gone"
        );
        if matches!(target.reach, Reach::Messages | Reach::Plain) {
            let (before, after) = (&sound["Sent"], &now["Sent"]);
            let same = after.iter().filter(|one| before.contains(one)).count();
            assert!(
                same >= before.len() - 2,
                "{what}: {same} of {}",
                before.len()
            );
            assert_eq!(after.len(), before.len(), "{what}");
        }
    }
    let said = mount.stderr();
    assert!(
        !said.contains("panicked") && !said.contains("a fault in mailtm"),
        "{said}"
    );
    assert!(!mount.warnings().is_empty(), "nobody is told");
    drop(mount);
    // Where there is nothing but the damaged one.
    let alone = store.path.with_extension("alone");
    let damaged = dates
        .iter()
        .find(|(_, what, target)| target.reach == Reach::Messages && what == "cut short");
    if let Some((date, ..)) = damaged {
        fs::create_dir(&alone).unwrap();
        fs::rename(store.path.join(date), alone.join(date)).unwrap();
        let alone = vec![alone.to_str().unwrap().to_owned()];
        let file = config.set("source.snapshots", alone);
        let file = file.write().to_str().unwrap().to_owned();
        let check = within(Duration::from_secs(60), "check", move || {
            let arguments = ["check", "--deep", "--json", "--config", &file];
            mailtm(&arguments).output().unwrap()
        });
        let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
        let found = (check.status.code(), report["unreadable_count"].as_u64());
        assert_eq!(found, (Some(3), Some(1)), "{}", report["unreadable"]);
    }
}

fn files(top: &Path, is_one: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(top, &mut |path, meta| {
        if meta.is_file() && is_one(path) {
            found.push(path.to_owned());
        }
    });
    found
}

/// A store as Dovecot fills it; `targets` finds the files in it.
fn damage_dovecot(location: &str, plugin: &str, targets: impl Fn(&Path) -> Vec<Target>) {
    if able(&["doveadm"]) {
        damage_dovecot_in(&Scratch::new(), location, plugin, targets, |config| config);
    }
}

fn damage_dovecot_in(
    scratch: &Scratch,
    location: &str,
    plugin: &str,
    targets: impl Fn(&Path) -> Vec<Target>,
    configure: impl FnOnce(Config) -> Config,
) {
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = "example.com/alice";
    let home = store.snapshot(SOUND).join(mailbox);
    let dovecot = Dovecot::new(scratch, &home, location, plugin);
    fill(&dovecot, scratch);
    let config = configure(Config::new(scratch, &store).unset("source.mailboxes"));
    damage(&store, mailbox, &targets(&home), config);
}

/// Two messages of Sent.
fn of_sent(home: &Path) -> Vec<Target> {
    let messages = files(home, |path| path.parent().unwrap().ends_with(".Sent/cur"));
    vec![Target::new(&messages[0], &messages[1], Reach::Messages)]
}

fn damage_maildir(method: &str) {
    let plugin = format!("zlib_save = {method}");
    damage_dovecot("maildir:~/Maildir", &plugin, of_sent);
}

#[test]
fn maildir_gzip() {
    damage_maildir("gz");
}

#[test]
fn maildir_bzip2() {
    damage_maildir("bz2");
}

#[test]
fn maildir_zstd() {
    damage_maildir("zstd");
}

#[test]
fn maildir_lz4() {
    damage_maildir("lz4");
}

/// As mailcow has it.
#[test]
fn maildir_encrypted() {
    if able(&["doveadm", "openssl"]) {
        let scratch = Scratch::new();
        let (plugin, key) = global_key(&scratch);
        let plugin = format!("{plugin}\n  zlib_save = lz4");
        damage_dovecot_in(&scratch, "maildir:~/Maildir", &plugin, of_sent, |config| {
            config.set("source.mail_crypt_keys", vec![key])
        });
    }
}

#[test]
fn maildir_layout_index() {
    damage_dovecot("maildir:~/Maildir:LAYOUT=index", "zlib_save = gz", |home| {
        let message = files(home, |path| path.parent().unwrap().ends_with("cur")).remove(0);
        let list = "Maildir/dovecot.list.index.log";
        vec![Target::new(list, message, Reach::Mailbox)]
    });
}

#[test]
fn sdbox() {
    damage_dovecot("sdbox:~/sdbox", "zlib_save = zstd", |_| {
        let sent = "sdbox/mailboxes/Sent/dbox-Mails";
        let other = "sdbox/mailboxes/A &- B/dbox-Mails";
        let index = "dovecot.index.log";
        vec![
            Target::new(
                format!("{sent}/u.1"),
                format!("{sent}/u.2"),
                Reach::Messages,
            ),
            Target::new(
                format!("{sent}/{index}"),
                format!("{other}/{index}"),
                Reach::Folder,
            ),
        ]
    });
}

#[test]
fn mdbox() {
    damage_dovecot("mdbox:~/mdbox", "", |_| {
        let sent = "mdbox/mailboxes/Sent/dbox-Mails/dovecot.index.log";
        let other = "mdbox/mailboxes/A &- B/dbox-Mails/dovecot.index.log";
        let map = "mdbox/storage/dovecot.map.index.log";
        vec![
            Target::new("mdbox/storage/m.1", map, Reach::Bytes),
            Target::new(map, sent, Reach::Mailbox),
            Target::new(sent, other, Reach::Folder),
        ]
    });
}

#[test]
fn mdbox_layout_index() {
    damage_dovecot("mdbox:~/mdbox:LAYOUT=index", "", |_| {
        let (list, map) = (
            "mdbox/dovecot.list.index.log",
            "mdbox/storage/dovecot.map.index.log",
        );
        vec![
            Target::new("mdbox/storage/m.1", map, Reach::Bytes),
            Target::new(list, map, Reach::Mailbox),
        ]
    });
}

#[test]
fn mbox() {
    damage_dovecot("mbox:~/mail:INBOX=~/mail/inbox", "", |_| {
        let (sent, other) = ("mail/Sent", "mail/.imap/Sent/dovecot.index.log");
        vec![Target::new(sent, other, Reach::FolderBytes)]
    });
}

fn damage_cyrus(settings: &'static str) {
    if !able(&["rsync", "python3"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let kind = cyrus::Kind {
        settings,
        archives: false,
    };
    let top = store.path.join(SOUND);
    if cyrus::one_day(&kind, &scratch, &top, 60).is_none() {
        return;
    }
    let folder = |name: &str| {
        let headers = files(&top, |path| path.ends_with("cyrus.header"));
        let is_it = |path: &&PathBuf| {
            let text = fs::read(top.join(path)).unwrap();
            let wanted = format!("N user.alice.{name} ");
            memchr::memmem::find(&text, wanted.as_bytes()).is_some()
        };
        headers
            .iter()
            .find(is_it)
            .unwrap()
            .parent()
            .unwrap()
            .to_owned()
    };
    let (sent, other) = (folder("Sent"), folder("Trash"));
    // A header says whose its folder is: without one it is in no mailbox.
    let header = match settings.is_empty() {
        true => Reach::Mailbox,
        false => Reach::Folder,
    };
    let targets = [
        Target::new(sent.join("1."), sent.join("2."), Reach::Plain),
        Target::new(
            sent.join("cyrus.index"),
            other.join("cyrus.index"),
            Reach::Folder,
        ),
        Target::new(sent.join("cyrus.header"), other.join("cyrus.index"), header),
    ];
    let config = Config::new(&scratch, &store)
        .unset("source.mailboxes")
        .set("source.mailbox_name", "{user}@example.com");
    damage(&store, "", &targets, config);
}

#[test]
fn cyrus_by_names() {
    damage_cyrus("mailbox_legacy_dirs: yes\n");
}

#[test]
fn cyrus_by_ids() {
    damage_cyrus("");
}
