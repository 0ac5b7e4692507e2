//! Tests of the operations on node ids.

use super::*;
use crate::access::{OwnerRule, Principal};
use crate::error::{Error, Kind};
use crate::message::mboxrd::FlagLines;
use crate::snapshot;
use crate::time::Zone;
use crate::view::Names;
use crate::view::mailbox::{Layout, Template};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(super) const ANN: &str = "ann@a.example";

/// Snapshots in a directory of their own, and a file system of them.
pub(super) struct World {
    dir: TempDir,
    pub(super) fs: Fs,
}

impl World {
    pub(super) fn new(build: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        build(dir.path());
        let fs = Self::mount(dir.path(), Arc::new(Index::in_memory()));
        Self { dir, fs }
    }

    /// The same snapshots and index, with nothing in memory.
    pub(super) fn restarted(self) -> Self {
        let fs = Self::mount(self.dir.path(), self.fs.index.clone());
        Self { fs, ..self }
    }

    fn mount(dir: &Path, index: Arc<Index>) -> Fs {
        let options = snapshot::Options {
            dirs: vec![dir.into()],
            zone: Zone::parse("UTC").unwrap(),
            ..Default::default()
        };
        let view = View {
            zone: options.zone,
            names: Names::Readable,
            flags: FlagLines::Status,
            layout: Layout {
                templates: vec![Template::parse("{domain}/{user}/Maildir").unwrap()],
                ..Layout::default()
            },
            keys: Arc::default(),
            index,
            told: Arc::default(),
        };
        let policy = Policy::new(OwnerRule::Store, Vec::new(), Vec::new(), false, false);
        let catalogue = Catalogue::open(options).unwrap();
        let options = Options {
            mbox_listed: MboxListed::Always,
            keep_days: None,
            zone_name: "UTC".into(),
            refresh: Duration::from_secs(30),
            listing_bytes: 1 << 20,
            bodies: false,
            language: crate::language::Language::English,
            about: None,
            live: None,
        };
        Fs::new(view, policy, catalogue, options).unwrap()
    }

    /// Where the snapshots are.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(super) fn find(&self, path: &str) -> Result<Attr> {
        let start = self.fs.getattr(node::ROOT);
        let missing = || Error::new(Kind::NotFound, "no such name");
        path.split('/').fold(start, |at, name| {
            self.fs.lookup(at?.id, name.as_bytes())?.ok_or_else(missing)
        })
    }

    /// Names as a kernel would list them that has room for so many in a reply.
    fn list(&self, path: &str, room: usize) -> Vec<String> {
        let id = self.find(path).unwrap().id;
        let caller = Caller {
            uid: 0,
            gid: 0,
            thread: 0,
        };
        let (mut names, mut from) = (Vec::new(), Cookie(0));
        loop {
            let directory = self.fs.directory(id, caller, from).unwrap();
            let before = names.len();
            directory.entries(from, |entry| {
                if names.len() - before == room {
                    return true;
                }
                from = entry.next;
                names.push(entry.name.into_string().unwrap());
                false
            });
            if names.len() == before {
                return names;
            }
        }
    }

    pub(super) fn catch_up(&self) -> Vec<Invalidation> {
        let changes = self.fs.catalogue().refresh().unwrap().unwrap();
        self.fs.update(&changes).unwrap()
    }
}

pub(super) fn message(mailbox: &Path, folder: &str, name: &str) {
    let cur = mailbox.join(folder).join("cur");
    fs::create_dir_all(&cur).unwrap();
    fs::write(cur.join(name), format!("Subject: {name}\n\n{name}\n")).unwrap();
}

pub(super) fn maildir(snapshots: &Path, snapshot: &str) -> PathBuf {
    snapshots.join(snapshot).join("a.example/ann/Maildir")
}

#[test]
fn a_long_listing_has_every_name_once() {
    let world = World::new(|dir| {
        let mailbox = maildir(dir, "2026-11-20");
        for i in 0..150 {
            message(&mailbox, &format!(".INBOX.sub{i:03}"), "1");
            message(&mailbox, "", &i.to_string());
        }
    });
    for room in [1, 7, 63, 64, 65, 1000] {
        let mut names = world.list(&format!("2026-11-20/{ANN}/INBOX"), room);
        assert_eq!(names.len(), 2 + 2 * 150 + 150, "{room}");
        for name in &names[2..] {
            world
                .find(&format!("2026-11-20/{ANN}/INBOX/{name}"))
                .unwrap();
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2 + 2 * 150 + 150, "{room}");
    }
}

#[test]
fn a_new_owner_is_told_of_everything_the_old_one_could_open() {
    let world = World::new(|dir| message(&maildir(dir, "2026-11-20"), "", "1"));
    let mailbox = world.find(&format!("2026-11-20/{ANN}")).unwrap();
    let inbox = world.find(&format!("2026-11-20/{ANN}/INBOX")).unwrap();
    world.list(&format!("2026-11-20/{ANN}/INBOX"), 9);
    let new = maildir(world.dir.path(), "2026-11-21");
    message(&new, "", "1");
    if std::os::unix::fs::chown(&new, Some(mailbox.uid + 4242), None).is_err() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    world.catch_up();
    let mut forget = Vec::new();
    world.fs.review(|change| forget.push(change)).unwrap();
    let date = world.find("2026-11-20").unwrap();
    for change in [
        Invalidation::Name(date.id, ANN.into()),
        Invalidation::Attributes(mailbox.id),
        Invalidation::Attributes(mailbox.id.with_ordinal(1)),
        Invalidation::Attributes(inbox.id),
        Invalidation::Attributes(inbox.id.with_ordinal(1)),
        Invalidation::Attributes(inbox.id.with_ordinal(node::FIRST_MESSAGE)),
    ] {
        assert!(forget.contains(&change), "{change:?} in {forget:?}");
    }
    assert_eq!(world.fs.getattr(inbox.id).unwrap().uid, mailbox.uid + 4242);
    let mut again = Vec::new();
    world.fs.review(|change| again.push(change)).unwrap();
    assert_eq!(again.len(), forget.len(), "for answers that were under way");
    again.clear();
    world.fs.review(|change| again.push(change)).unwrap();
    assert_eq!(again, [], "and then no more");
}

#[test]
fn a_new_policy_is_told_of_where_it_says_something_else() {
    let world = World::new(|dir| message(&maildir(dir, "2026-11-20"), "", "1"));
    let inbox = world.find(&format!("2026-11-20/{ANN}/INBOX")).unwrap();
    let policy = |admins: &[&str]| {
        let admins = admins.iter().map(|name| Principal::parse(name).unwrap());
        Policy::new(OwnerRule::Store, admins.collect(), Vec::new(), false, false)
    };
    world.fs.set_policy(policy(&[]));
    world.fs.review(|change| panic!("{change:?}")).unwrap();
    world.fs.set_policy(policy(&["@4242"]));
    let mut forget = Vec::new();
    world.fs.review(|change| forget.push(change)).unwrap();
    assert!(
        forget.contains(&Invalidation::Attributes(inbox.id)),
        "{forget:?}"
    );
    let attr = world.fs.getattr(inbox.id).unwrap();
    assert_eq!((attr.gid, attr.mode), (4242, 0o550));
}

#[test]
fn an_owner_who_stays_is_not_invalidated() {
    let world = World::new(|dir| message(&maildir(dir, "2026-11-20"), "", "1"));
    world.find(&format!("2026-11-20/{ANN}")).unwrap();
    message(&maildir(world.dir.path(), "2026-11-21"), "", "1");
    world.catch_up();
    world.fs.review(|change| panic!("{change:?}")).unwrap();
}

#[test]
fn a_rotation_never_shows_one_snapshot_as_another() {
    let world = World::new(|dir| {
        message(&maildir(dir, "daily.0"), "", "old");
        let time = std::time::SystemTime::now() - Duration::from_secs(90_000);
        fs::File::open(dir.join("daily.0"))
            .unwrap()
            .set_modified(time)
            .unwrap();
    });
    let label = world.fs.catalogue().dates().latest().unwrap().to_owned();
    let date = world.find(&label).unwrap();
    fs::rename(world.path("daily.0"), world.path("daily.1")).unwrap();
    message(&maildir(world.dir.path(), "daily.0"), "", "new");
    let path = format!("{label}/{ANN}/INBOX");
    let kind = |result: Result<Attr>| result.unwrap_err().kind();
    assert_eq!(kind(world.find(&path)), Kind::Stale, "not the new one's");
    world.catch_up();
    assert_eq!(world.find(&label).unwrap().id, date.id);
    let names = world.list(&path, 99);
    assert!(names.iter().any(|name| name.contains("old")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("new")), "{names:?}");
}

#[test]
fn what_vanishes_with_its_snapshot_is_not_remembered_as_absent() {
    let world = World::new(|dir| message(&maildir(dir, "2026-11-20"), ".Sent", "1"));
    let sent = world.find(&format!("2026-11-20/{ANN}/Sent")).unwrap();
    fs::remove_dir_all(maildir(world.dir.path(), "2026-11-20").join(".Sent")).unwrap();
    let name = world.fs.lookup(sent.id, b"x.eml").unwrap_err();
    assert_eq!(name.kind(), Kind::Stale);
}

#[test]
fn nobody_is_in_deleted_where_there_is_no_date() {
    let world = World::new(|_| {});
    assert_eq!(world.fs.lookup(node::DELETED, b"ann").unwrap(), None);
}

/// A program that copies makes a directory first, and then fills it.
#[test]
fn a_date_that_appears_while_it_is_filled_is_looked_at_again() {
    let world = World::new(|root| fs::create_dir(root.join("2026-11-19")).unwrap());
    let mailbox = |user: &str| world.path(&format!("2026-11-20/a.example/{user}/Maildir"));
    message(&mailbox("ann"), "", "1.a:2,S");
    world.catch_up();
    world.fs.prepare();
    assert_eq!(world.list("2026-11-20", 9)[2..], [ANN]);
    let few = world.list(&format!("2026-11-20/{ANN}"), 9).len();
    message(&mailbox("bob"), "", "1.b:2,S");
    message(&mailbox("ann"), ".Sent", "2.a:2,S");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(world.list("2026-11-20", 9)[2..], [ANN, "bob@a.example"]);
    let more = world.list(&format!("2026-11-20/{ANN}"), 9).len();
    assert_eq!(more, few + 2, "the folder and its mbox");
}
