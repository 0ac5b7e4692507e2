//! The whole tree: handles that somebody made up, and a mailbox of any messages in all the forms in which it is shown.

use super::scratch_directory;
use mailtm::access::{OwnerRule, Policy};
use mailtm::fs::browse::When;
use mailtm::fs::{Attr, Caller, Cookie, Fs, MboxListed, NodeId, NodeKind, Options, node};
use mailtm::index::Index;
use mailtm::language::Language;
use mailtm::message::mboxrd::FlagLines;
use mailtm::portal::archive::{Archive, Folder};
use mailtm::snapshot::{self, Catalogue};
use mailtm::store::decode::detect;
use mailtm::time::Zone;
use mailtm::view::mailbox::{Layout, Template};
use mailtm::view::name::{fold, is_safe};
use mailtm::view::{Names, View};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const ANN: &str = "ann@a.example";
const MAILBOX: &str = "a.example/ann/Maildir";
const ROOT: Caller = Caller {
    uid: 0,
    gid: 0,
    thread: 0,
};

/// Snapshots, and a file system of them.
struct World {
    fs: Fs,
    _snapshots: TempDir,
}

/// What there is at a path.
struct Node {
    attr: Attr,
    bytes: Vec<u8>,
}

impl World {
    fn new(fill: impl FnOnce(&Path)) -> Self {
        let snapshots = scratch_directory();
        fill(snapshots.path());
        let zone = Zone::parse("UTC").unwrap();
        let view = View {
            zone,
            names: Names::Readable,
            flags: FlagLines::None,
            layout: Layout {
                templates: vec![Template::parse("{domain}/{user}/Maildir").unwrap()],
                ..Layout::default()
            },
            keys: Arc::default(),
            index: Arc::new(Index::in_memory()),
            told: Arc::default(),
        };
        let policy = Policy::new(OwnerRule::Store, Vec::new(), Vec::new(), false, false);
        let catalogue = Catalogue::open(snapshot::Options {
            dirs: vec![snapshots.path().into()],
            zone,
            ..snapshot::Options::default()
        });
        let options = Options {
            mbox_listed: MboxListed::Always,
            keep_days: None,
            zone_name: "UTC".into(),
            refresh: Duration::from_secs(30),
            listing_bytes: 1 << 20,
            bodies: false,
            language: Language::English,
            about: None,
            live: None,
        };
        Self {
            fs: Fs::new(view, policy, catalogue.unwrap(), options).unwrap(),
            _snapshots: snapshots,
        }
    }

    /// The names in a directory, as a kernel lists them that has room for a few at a time.
    fn names(&self, id: NodeId) -> Vec<String> {
        let (mut names, mut from) = (Vec::new(), Cookie(0));
        loop {
            let directory = self.fs.directory(id, ROOT, from).unwrap();
            let before = names.len();
            directory.entries(from, |entry| {
                if names.len() - before == 7 {
                    return true;
                }
                from = entry.next;
                names.push(entry.name.into_string().unwrap());
                false
            });
            if names.len() == before {
                names.retain(|name| name != "." && name != "..");
                return names;
            }
        }
    }

    /// Reads to the end in pieces; what was read, or none if it cannot be read.
    fn read(&self, attr: &Attr) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.fs.read(attr.id, bytes.len() as u64, 1000).ok()?;
            if piece.is_empty() {
                break;
            }
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes.len() as u64, attr.size, "st_size is exact");
        Some(bytes)
    }

    /// All that there is below a directory, by path.
    fn walk(&self) -> BTreeMap<String, Node> {
        let mut found = BTreeMap::new();
        let mut pending = vec![(String::new(), self.fs.getattr(node::ROOT).unwrap())];
        while let Some((path, attr)) = pending.pop() {
            let mut bytes = Vec::new();
            match attr.kind {
                NodeKind::File => bytes = self.read(&attr).unwrap_or_default(),
                NodeKind::Symlink => bytes = self.fs.readlink(attr.id).unwrap(),
                NodeKind::Directory => {
                    let mut folded = HashSet::new();
                    for name in self.names(attr.id) {
                        let unique = folded.insert(fold(&name));
                        // Names in `.maildir` are the store's.
                        assert!(path.starts_with("/.maildir") || unique, "{path}/{name}");
                        let child = self.fs.lookup(attr.id, name.as_bytes()).unwrap();
                        pending.push((format!("{path}/{name}"), child.unwrap()));
                    }
                }
            }
            found.insert(path, Node { attr, bytes });
        }
        found
    }
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Node ids of nobody's, or near those of somebody's, and offsets and names with them: what is there is answered as it is found
/// by its name, and nothing else is.
pub fn handles(input: &[u8]) {
    thread_local! {
        static WORLD: (World, BTreeMap<NodeId, (Attr, Vec<u8>)>) = {
            let world = World::new(|snapshots| {
                for (day, mailbox, file) in [
                    ("2026-11-20", "ann", "cur/1.a:2,S"),
                    ("2026-11-20", "ann", "cur/2.a:2,"),
                    ("2026-11-20", "bob", "new/1.b"),
                    ("2026-11-21", "ann", "cur/2.a:2,F"),
                    ("2026-11-21", "ann", ".Old.Deep/cur/3.a:2,F"),
                    ("2026-11-21", "bob", "cur/1.b:2,T"),
                ] {
                    let path = format!("{day}/a.example/{mailbox}/Maildir/{file}");
                    put(&snapshots.join(path), format!("Subject: {file}\n\nof {mailbox}\n").as_bytes());
                }
            });
            let nodes = world.walk().into_values();
            let nodes = nodes.map(|node| (node.attr.id, (node.attr, node.bytes))).collect();
            (world, nodes)
        };
    }
    WORLD.with(|(world, nodes)| {
        let known: Vec<NodeId> = nodes.keys().copied().collect();
        for step in input.chunks(12).take(64) {
            let mut bytes = [0; 12];
            bytes[..step.len()].copy_from_slice(step);
            let [how, which, offset, len, number @ ..] = bytes;
            let number = u64::from_le_bytes(number);
            let near = known[usize::from(which) % known.len()];
            let id = match how % 4 {
                0 => NodeId(number),
                1 => near,
                2 => NodeId(near.0 ^ 1 << (number % 64)),
                _ => NodeId(near.0.wrapping_add_signed(number as i8 as i64)),
            };
            let there = nodes.get(&id);
            match (world.fs.getattr(id), there) {
                (Ok(attr), Some((known, _))) => assert_eq!(attr, *known),
                (Ok(attr), None) => panic!("{id:?} was never given out: {attr:?}"),
                (Err(e), Some(_)) => panic!("{id:?}: {e}"),
                (Err(_), None) => {}
            }
            let (offset, len) = (usize::from(offset), usize::from(len));
            if let Ok(read) = world.fs.read(id, offset as u64, len) {
                let (_, whole) = there.expect("what was never given out is read");
                let rest = whole.get(offset..).unwrap_or_default();
                assert_eq!(read, rest[..rest.len().min(len)]);
            }
            let _ = world
                .fs
                .read(id, u64::MAX - number % 3, usize::from(len as u8));
            let _ = world.fs.acl(id);
            if let Ok(directory) = world.fs.directory(id, ROOT, Cookie(number)) {
                assert!(there.is_some());
                directory.entries(Cookie(number), |entry| {
                    assert!(nodes.contains_key(&entry.attr.id), "{entry:?}");
                    false
                });
            }
            if let Ok(Some(found)) = world.fs.lookup(id, step) {
                assert!(there.is_some() && nodes.contains_key(&found.id));
            }
        }
    });
}

/// Messages, one behind the other with a NUL between: each is shown once, as it is, whatever it says, on the date that has it; and
/// so is it in the mbox, in `.maildir`, in `deleted` and in an archive.
pub fn shown(input: &[u8]) {
    let messages: Vec<&[u8]> = input.split(|&b| b == 0).take(8).collect();
    let world = World::new(|snapshots| {
        for (number, message) in messages.iter().enumerate() {
            let name = format!("{number}.M1.mx:2,S");
            let mailbox = snapshots.join("2026-11-20").join(MAILBOX);
            put(&mailbox.join("cur").join(&name), message);
            // All but the first are still there on the next day.
            let mailbox = snapshots.join("2026-11-21").join(MAILBOX);
            let folder = if number == 0 { ".Other/cur" } else { "cur" };
            put(&mailbox.join(folder).join(&name), message);
        }
    });
    let nodes = world.walk();
    let below = |directory: &str| -> Vec<(&str, &Node)> {
        let files = nodes.iter().filter_map(|(path, node)| {
            let name = path.strip_prefix(directory)?.strip_prefix('/')?;
            (!name.contains('/')).then_some((name, node))
        });
        files.collect()
    };
    let plain = |message: &&[u8]| detect(message).is_none();
    let mut wanted: Vec<&[u8]> = messages.iter().copied().filter(plain).collect();
    wanted.sort_unstable();
    // One that looks compressed is shown as what it decodes to, or cannot be read.
    let is_sure = wanted.len() == messages.len();
    let assert_are_wanted = |mut found: Vec<&[u8]>| {
        found.sort_unstable();
        assert!(!is_sure || found == wanted, "{found:?} {wanted:?}");
    };

    let inbox = format!("/2026-11-20/{ANN}/INBOX");
    let emls = below(&inbox);
    assert_eq!(emls.len(), messages.len());
    for (name, _) in &emls {
        assert!(is_safe(name) && name.ends_with(".eml"), "{name:?}");
    }
    assert_are_wanted(emls.iter().map(|(_, node)| &node.bytes[..]).collect());
    let maildir = below(&format!("/.maildir/2026-11-20/{ANN}/cur"));
    assert_are_wanted(maildir.iter().map(|(_, node)| &node.bytes[..]).collect());

    // Every line that begins like a From_ line is quoted but for the first of each message.
    let mbox = &nodes[&format!("{inbox}.mbox")].bytes;
    let entries = mbox.split(|&b| b == b'\n');
    let entries = entries.filter(|line| line.starts_with(b"From MAILER-DAEMON "));
    assert_eq!(entries.count(), messages.len());

    let folder = Folder {
        directory: Vec::new(),
        path: "INBOX".to_owned(),
        chosen: None,
    };
    let when = When::Date("2026-11-20".to_owned());
    let mut archive = Archive::new(ANN.to_owned(), when, "mail", vec![folder]);
    let mut bytes = Vec::new();
    while let Some(piece) = archive.next(&world.fs).unwrap() {
        bytes.extend_from_slice(&piece);
    }
    let mut archived = Vec::new();
    for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path_bytes().into_owned();
        if !path.starts_with(b"mail/cur/") || path.ends_with(b"/") {
            continue;
        }
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        archived.push(content);
    }
    assert_eq!(archived.len(), messages.len());
    assert_are_wanted(archived.iter().map(Vec::as_slice).collect());
}
