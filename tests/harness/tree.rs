//! What a mount shows: listings, manifests, and the rules that every name obeys.

use super::{Scratch, run};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const ABOUT: &str = "ABOUT THIS BACKUP.txt";

pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes.as_ref())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// A directory's names, sorted. Every one must be UTF-8, and none may occur twice.
pub fn ls(directory: impl AsRef<Path>) -> Vec<String> {
    let directory = directory.as_ref();
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let before = names.len();
    names.dedup();
    assert_eq!(
        before,
        names.len(),
        "{}: a name twice in a listing",
        directory.display()
    );
    names
}

/// The names in a mount's root that are dates.
pub fn dates(root: impl AsRef<Path>) -> Vec<String> {
    ls(root)
        .into_iter()
        .filter(|n| n.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// The messages of a folder's listing.
pub fn messages(directory: impl AsRef<Path>) -> Vec<String> {
    ls(directory)
        .into_iter()
        .filter(|n| n.ends_with(".eml"))
        .collect()
}

/// A folder's one message.
pub fn only(directory: impl AsRef<Path>) -> String {
    let mut names = messages(&directory);
    assert_eq!(
        names.len(),
        1,
        "{}: {names:?}",
        directory.as_ref().display()
    );
    names.remove(0)
}

/// Calls `visit` for everything below a directory, with the path relative to it. Symlinks are not followed.
/// On the way: the node id in the listing is the one in the attributes.
pub fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &Metadata)) {
    try_walk(root, visit).unwrap_or_else(|e| panic!("{e}"));
}

/// The same in a tree that may change meanwhile, for a test that then looks again.
///
/// # Errors
/// What could not be read, or was not as it had been listed.
pub fn try_walk(root: &Path, visit: &mut dyn FnMut(&Path, &Metadata)) -> Result<(), String> {
    fn descend(
        root: &Path,
        at: &Path,
        visit: &mut dyn FnMut(&Path, &Metadata),
    ) -> Result<(), String> {
        let directory = root.join(at);
        let unread = |e| format!("{}: {e}", directory.display());
        let mut entries = fs::read_dir(&directory)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(unread)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let meta =
                fs::symlink_metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let (listed, told) = (entry.ino(), meta.ino());
            if listed != told {
                let path = path.display();
                return Err(format!("{path}: d_ino {listed}, st_ino {told}"));
            }
            let relative = at.join(entry.file_name());
            visit(&relative, &meta);
            if meta.is_dir() {
                descend(root, &relative, visit)?;
            }
        }
        Ok(())
    }
    descend(root, Path::new(""), visit)
}

/// All files below a directory, relative to it.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root, &mut |path, meta| {
        if meta.is_file() {
            found.push(path.to_owned());
        }
    });
    found
}

/// One line for everything below a directory: path → node id, kind, and size and digest or errno or target.
/// Every file that can be read must be as long as its attributes said beforehand.
pub fn manifest(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut lines = BTreeMap::new();
    walk(root, &mut |path, meta| {
        let full = root.join(path);
        let what = if meta.is_symlink() {
            format!("link {}", fs::read_link(&full).unwrap().display())
        } else if meta.is_dir() {
            "directory".to_owned()
        } else {
            match fs::read(&full) {
                Ok(bytes) => {
                    assert_eq!(
                        bytes.len() as u64,
                        meta.len(),
                        "{}: st_size",
                        full.display()
                    );
                    format!("file {} {}", meta.len(), sha256(&bytes))
                }
                Err(e) => format!("unreadable {} {:?}", meta.len(), e.raw_os_error()),
            }
        };
        lines.insert(path.to_owned(), format!("{} {what}", meta.ino()));
    });
    lines
}

/// Fails, showing the first differences, unless two manifests are equal.
pub fn same(what: &str, left: &BTreeMap<PathBuf, String>, right: &BTreeMap<PathBuf, String>) {
    let paths: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let different: Vec<String> = paths
        .into_iter()
        .filter(|p| left.get(*p) != right.get(*p))
        .take(10)
        .map(|p| format!("{}\n  {:?}\n  {:?}", p.display(), left.get(p), right.get(p)))
        .collect();
    assert!(different.is_empty(), "{what}:\n{}", different.join("\n"));
}

/// An mbox as `git mailsplit` sees it: the messages, unquoted, without From_ line and without the empty line behind.
pub fn mailsplit(mbox: &Path, scratch: &Scratch) -> Vec<Vec<u8>> {
    let out = tempfile::tempdir_in(scratch.path()).unwrap();
    run(Command::new("git")
        .args(["mailsplit", "--mboxrd", "--keep-cr", "-d8"])
        .arg(format!("-o{}", out.path().display()))
        .arg("--")
        .arg(mbox));
    let mut names: Vec<_> = fs::read_dir(out.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    names
        .iter()
        .map(|path| {
            let bytes = fs::read(path).unwrap();
            let start = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
            assert!(bytes.starts_with(b"From MAILER-DAEMON "));
            let message = &bytes[start..];
            message.strip_suffix(b"\n").unwrap_or(message).to_vec()
        })
        .collect()
}

/// A message as it comes out of an mbox reader: CRLF as LF, and a last line that ends.
pub fn unix(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1);
    for (at, &byte) in bytes.iter().enumerate() {
        if !(byte == b'\r' && bytes.get(at + 1) == Some(&b'\n')) {
            out.push(byte);
        }
    }
    if !out.is_empty() && out.last() != Some(&b'\n') {
        out.push(b'\n');
    }
    out
}

/// A message's name without its ID: `2026-11-19 0932 Bob Rossi - Preventivo`. Fails unless the rest is ` (ID).eml`.
pub fn without_id(name: &str) -> &str {
    let (rest, id) = name
        .strip_suffix(").eml")
        .and_then(|n| n.rsplit_once(" ("))
        .unwrap_or_else(|| panic!("not a message's name: {name}"));
    assert!(
        id.len() >= 8
            && id
                .bytes()
                .all(|b| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b)),
        "not an ID of Crockford base32: {name}"
    );
    rest
}

/// Fails unless a name may stand on Windows, Samba and Linux alike.
pub fn assert_safe(name: &str) {
    let bad = name.chars().find(|&c| {
        c.is_control()
            || "<>:\"/\\|?*".contains(c)
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
    });
    assert_eq!(bad, None, "{name:?}: unsafe character");
    assert!(!name.is_empty(), "an empty name");
    assert!(
        !name.ends_with(['.', ' ']),
        "{name:?}: ends in a dot or a space"
    );
    let utf16 = name.encode_utf16().count();
    assert!(
        utf16 <= 120 && name.len() <= 240,
        "{name:?}: {utf16} UTF-16 units, {} bytes",
        name.len()
    );
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|n| {
            n.chars().count() == 1
                && n.chars()
                    .all(|c| ('1'..='9').contains(&c) || "¹²³".contains(c))
        })
    };
    assert!(
        !["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
            && !numbered("COM")
            && !numbered("LPT"),
        "{name:?}: a device name"
    );
    use unicode_normalization::UnicodeNormalization;
    assert!(name.nfc().eq(name.chars()), "{name:?}: not NFC");
}

/// Fails unless every name below a directory is safe and unique in its directory ignoring case.
pub fn assert_all_safe(root: &Path) {
    let mut seen = BTreeSet::new();
    walk(root, &mut |path, _| {
        assert_safe(path.file_name().unwrap().to_str().unwrap());
        assert!(
            seen.insert(path.to_str().unwrap().to_lowercase()),
            "{}: the same name but for case",
            path.display()
        );
    });
}
