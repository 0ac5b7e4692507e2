//! From a path that somebody typed to directories of snapshots.
//!
//! The path is a directory of snapshots, or a live directory that has one. What a file system or a program is known to
//! do decides, in this order: every directory in it is a snapshot by its name; it has a well-known snapshot
//! directory (asked for by name, as NetApp's and ZFS's are not listed); some of its children are snapshots by their name;
//! it is empty; a directory above it on the same file system has `.zfs/snapshot` or `.snapshots`; or else whoever named it
//! says that its children are snapshots ([`Said`]).

use super::name;
use super::pattern::Pattern;
use crate::error::{Error, Kind, Result};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Well-known snapshot directories of a live directory, and whose they are.
const BESIDE: [(&str, &str); 7] = [
    (".zfs/snapshot", "ZFS"),
    (".snapshot", "NetApp"),
    (".snapshots", "snapper"),
    (".snap", "CephFS"),
    (".btrbk", "btrbk"),
    ("_btrbk", "btrbk"),
    ("btrbk_snapshots", "btrbk"),
];

/// Those that hold the snapshots of everything below them.
const ABOVE: [(&str, &str); 2] = [(".zfs/snapshot", "ZFS"), (".snapshots", "snapper")];

/// Where the snapshots of a path are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Directories whose children are snapshots.
    pub snapshots: Vec<PathBuf>,
    /// What corresponds to the path inside each snapshot, relative; empty: the snapshot's root.
    pub below: PathBuf,
    /// How they were found, for people.
    pub why: String,
}

/// What else was said of the path.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Where it was named, a directory of snapshots is asked for: its children are snapshots, whatever they are called.
    pub snapshots: bool,
    /// What the names of its snapshots look like.
    pub name: Option<Pattern>,
}

/// Finds the snapshots of `path`. [`Kind::Config`] if there is no such directory, or none are found.
pub fn resolve(path: &Path, said: &Said) -> Result<Source> {
    let failed = |e: io::Error| {
        let kind = match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::Config,
            _ => Kind::Unreadable,
        };
        let what = "give a directory of snapshots, or a live directory that has one";
        Error::new(kind, format!("cannot read {}: {e}; {what}", path.display()))
    };
    let path = path.canonicalize().map_err(failed)?;
    let children = Children::of(&path, said.name.as_ref()).map_err(failed)?;
    let shown = path.display();
    let itself = |why: String| Source {
        snapshots: vec![path.clone()],
        below: PathBuf::new(),
        why,
    };

    if let Some((name, whose)) = BESIDE.iter().find(|(name, _)| path.ends_with(name)) {
        return Ok(itself(format!("{shown} is {whose}'s {name}")));
    }
    if children.directories > 0 && children.snapshots == children.directories {
        return Ok(itself(format!(
            "the directories in {shown} are snapshots by their names"
        )));
    }
    let found = beside(&path);
    if !found.is_empty() {
        let names: Vec<_> = found
            .iter()
            .map(|(name, whose)| format!("{name} ({whose})"))
            .collect();
        return Ok(Source {
            snapshots: found.iter().map(|(name, _)| path.join(name)).collect(),
            below: PathBuf::new(),
            why: format!("{shown} has {}", names.join(" and ")),
        });
    }
    if children.snapshots > 0 {
        let (some, all) = (children.snapshots, children.directories);
        return Ok(itself(format!(
            "{some} of the {all} directories in {shown} are snapshots by their names"
        )));
    }
    if children.entries == 0 {
        return Ok(itself(format!("{shown} is empty: no snapshots yet")));
    }
    if let Some(found) = above(&path).map_err(failed)? {
        return Ok(found);
    }
    if said.name.is_some() {
        return Ok(itself(format!(
            "{shown} is named as a directory of snapshots, and no name in it matches the pattern"
        )));
    }
    if said.snapshots && children.directories > 0 {
        return Ok(itself(format!(
            "{shown} is named as a directory of snapshots; no name in it has a date"
        )));
    }
    Err(nothing(&path))
}

/// The well-known snapshot directories that a live directory, or a mount of restic's, has.
fn beside(path: &Path) -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<_> = BESIDE
        .into_iter()
        .filter(|(name, _)| is_directory(&path.join(name)))
        .collect();
    let restic = ["ids", "hosts", "tags"]
        .iter()
        .all(|name| is_directory(&path.join(name)));
    let snapshots = path.join("snapshots");
    if is_directory(&snapshots)
        && (restic
            || Children::of(&snapshots, None)
                .is_ok_and(|c| c.directories > 0 && c.snapshots == c.directories))
    {
        found.push((
            "snapshots",
            if restic {
                "restic"
            } else {
                "dated directories"
            },
        ));
    }
    found
}

/// Looks in the directories above, up to the root of the file system.
fn above(path: &Path) -> io::Result<Option<Source>> {
    let device = path.symlink_metadata()?.dev();
    for parent in path.ancestors().skip(1) {
        if parent.symlink_metadata()?.dev() != device {
            break;
        }
        let Some((name, whose)) = ABOVE
            .into_iter()
            .find(|(name, _)| is_directory(&parent.join(name)))
        else {
            continue;
        };
        let snapshots = parent.join(name);
        return Ok(Some(Source {
            why: format!(
                "{} holds {whose}'s snapshots of the file system that {} is on",
                snapshots.display(),
                path.display()
            ),
            snapshots: vec![snapshots],
            below: path
                .strip_prefix(parent)
                .unwrap_or(Path::new(""))
                .to_path_buf(),
        }));
    }
    Ok(None)
}

fn nothing(path: &Path) -> Error {
    let names: Vec<_> = BESIDE.iter().map(|(name, _)| *name).collect();
    Error::new(
        Kind::Config,
        format!(
            "found no snapshots of {}: none of its directories has a date in its name or is like daily.0, it has no {} or \
             snapshots, and no directory above it on its file system has .zfs/snapshot or .snapshots; give the directory \
             that holds the snapshots",
            path.display(),
            names.join(", ")
        ),
    )
}

/// What the children of a directory look like. Those that a file system or a snapshot program has for itself do not
/// count.
#[derive(Default)]
struct Children {
    entries: usize,
    directories: usize,
    /// Directories that are snapshots by their names, or snapper's.
    snapshots: usize,
}

impl Children {
    fn of(path: &Path, pattern: Option<&Pattern>) -> io::Result<Self> {
        let utc = crate::time::Zone::Named(chrono_tz::UTC);
        let mut children = Self::default();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let bytes = name.as_bytes();
            if name::set_aside(bytes).is_some() {
                continue;
            }
            children.entries += 1;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            children.directories += 1;
            let snapshot = match pattern {
                Some(pattern) => pattern.moment(bytes, &utc).is_some(),
                None => {
                    name::recognise(bytes, &utc).is_some()
                        || name::is_rotated(bytes)
                        || name::is_numbered(bytes) && is_directory(&entry.path().join("snapshot"))
                }
            };
            children.snapshots += usize::from(snapshot);
        }
        Ok(children)
    }
}

/// Whether there is a directory, not a link to one.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_dir())
}
