//! One configured directory: which of its children are snapshots, and what moment each has.
//!
//! A scan is one listing and one look at the root of each snapshot. What a name means is worked out once, when the name
//! is first seen; what is written in `info.xml` once for each root.
//!
//! Invariants: a scan that fails changes nothing; a root that cannot be looked at keeps what was known of it; whatever
//! is no snapshot is remembered with the reason.

use super::name::{self, Style};
use super::pattern::Pattern;
use super::root::{Ground, Signature};
use super::{DatedBy, Granularity, Options, Snapshot};
use crate::error::{Error, Kind, Result};
use crate::time::Zone;
use chrono::Days;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// snapper makes the directory, then the snapshot, then `info.xml`: so long the last is waited for.
const INFO_GRACE: Duration = Duration::from_secs(2);

/// What a configured directory held at its last successful scan.
#[derive(Clone, Debug)]
pub struct Listed {
    pub path: PathBuf,
    /// Who makes snapshots there, such as "snapper", "NetApp" or "dated directories".
    pub kind: &'static str,
    /// Those within `keep_days`, sorted by moment, then name.
    pub snapshots: Vec<Arc<Snapshot>>,
    /// Children that are no snapshots, sorted, and why.
    pub others: Vec<(OsString, &'static str)>,
    /// Why it cannot be read at present.
    pub trouble: Option<Error>,
}

impl Listed {
    /// Snapshots of two series that are of one date, of which only the last is shown: a name of each, and the pattern of the
    /// first. Names alone tell.
    pub fn two_series(&self) -> Option<TwoSeries> {
        let mut by_date: HashMap<&str, (&OsStr, Vec<u8>, String)> = HashMap::new();
        for snapshot in &self.snapshots {
            let DatedBy::Name(style) = snapshot.dated_by else {
                continue;
            };
            let Some((series, pattern)) = name::series(snapshot.name.as_bytes(), style) else {
                continue;
            };
            match by_date.get(snapshot.label.as_str()) {
                Some((first, known, pattern)) if *known != series => {
                    return Some(TwoSeries {
                        date: snapshot.label.clone(),
                        names: [first.to_os_string(), snapshot.name.clone()],
                        pattern: pattern.clone(),
                    });
                }
                Some(_) => {}
                None => {
                    by_date.insert(&snapshot.label, (&snapshot.name, series, pattern));
                }
            }
        }
        None
    }
}

/// Two snapshots of one date that are of different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoSeries {
    pub date: String,
    pub names: [OsString; 2],
    /// Of the names of the first one's series.
    pub pattern: String,
}

impl fmt::Display for TwoSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, last] = &self.names;
        let (date, pattern) = (&self.date, &self.pattern);
        write!(
            f,
            "{first:?} and {last:?} are snapshots of {date} and seem to be of different things; of one date only the last is \
             shown: set name under [source] to how those with the mail are called, such as name = {pattern:?}"
        )
    }
}

/// The options as a scan needs them.
pub(super) struct Rules {
    pub options: Options,
    pattern: Option<Pattern>,
}

impl Rules {
    pub fn new(options: Options) -> Result<Self> {
        let pattern = options.name.as_deref().map(Pattern::parse).transpose()?;
        Ok(Self { options, pattern })
    }

    /// Whether a moment is within `keep_days`. What is dated in the future is.
    pub fn keeps(&self, time: i64, now: i64) -> bool {
        let Some(days) = self.options.keep_days else {
            return true;
        };
        let date = |secs| self.options.zone.local(secs).date();
        date(now)
            .checked_sub_days(Days::new(days.into()))
            .is_none_or(|first| date(time) >= first)
    }

    pub fn label(&self, time: i64) -> String {
        let format = match self.options.granularity {
            Granularity::Day => "%Y-%m-%d",
            Granularity::Snapshot => "%Y-%m-%d_%H%M",
        };
        self.options.zone.local(time).format(format).to_string()
    }

    fn meaning(&self, name: &[u8]) -> Meaning {
        let zone = &self.options.zone;
        if let Some(pattern) = &self.pattern {
            match pattern.moment(name, zone) {
                Some(time) => Meaning::Dated(time, DatedBy::Pattern),
                None => Meaning::Other("does not match the name pattern"),
            }
        } else if let Some(why) = name::set_aside(name) {
            Meaning::Other(why)
        } else if let Some((time, style)) = name::recognise(name, zone) {
            Meaning::Dated(time, DatedBy::Name(style))
        } else if name::is_numbered(name) {
            Meaning::Numbered
        } else {
            Meaning::Undated
        }
    }
}

/// What a name says by itself.
#[derive(Clone, Copy)]
enum Meaning {
    Dated(i64, DatedBy),
    /// snapper's, if there is `snapshot` in it.
    Numbered,
    Undated,
    Other(&'static str),
}

struct Child {
    meaning: Meaning,
    /// Of the root when it was last looked at.
    signature: Option<Signature>,
    snapshot: Option<Arc<Snapshot>>,
    /// Whether it was warned that its root cannot be looked at.
    warned: bool,
}

impl Child {
    fn forget(&mut self) {
        self.signature = None;
        self.snapshot = None;
    }
}

/// One configured directory and what is known of it.
pub(super) struct Directory {
    path: PathBuf,
    children: HashMap<OsString, Child>,
    /// Of the directory itself at the last successful scan.
    device: Option<u64>,
    /// Whether a numbered child with `snapshot` in it was ever seen.
    snapper: bool,
}

impl Directory {
    pub fn new(path: PathBuf) -> Self {
        let snapper = path.file_name() == Some(OsStr::new(".snapshots"));
        Self {
            path,
            children: HashMap::new(),
            device: None,
            snapper,
        }
    }

    /// Lists the directory and looks at each snapshot's root.
    pub fn scan(&mut self, rules: &Rules, now: i64) -> Result<Listed> {
        let failed = |error: std::io::Error| unreadable(&self.path, &error);
        let ground = Ground::open(&self.path).map_err(failed)?;
        let mut others = Vec::new();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => names.push(entry.file_name()),
                Ok(kind) if kind.is_symlink() => {
                    others.push((entry.file_name(), "is a symbolic link"))
                }
                Ok(_) => others.push((entry.file_name(), "is no directory")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let unmounted = self.device.is_some_and(|d| d != ground.device) && names.is_empty();
        if unmounted && self.children.values().any(|c| c.snapshot.is_some()) {
            return Err(Error::new(
                Kind::Unreadable,
                format!(
                    "the snapshot directory {} is empty and on another file system than before: is it mounted?",
                    self.path.display()
                ),
            ));
        }
        self.device = Some(ground.device);
        self.look_at_all(&ground, names, rules, now, &mut others);
        others.sort();
        Ok(self.listed(&ground, others, rules, now))
    }

    fn look_at_all(
        &mut self,
        ground: &Ground,
        names: Vec<OsString>,
        rules: &Rules,
        now: i64,
        others: &mut Vec<(OsString, &'static str)>,
    ) {
        let mut known = std::mem::take(&mut self.children);
        let mut children = HashMap::with_capacity(names.len());
        let mut bare = Vec::new();
        for name in names {
            let mut child = known.remove(&name).unwrap_or_else(|| {
                let meaning = rules.meaning(name.as_bytes());
                if let Meaning::Other(why) = meaning {
                    let path = self.path.join(&name);
                    tracing::debug!("no snapshot: {}: {why}", path.display());
                }
                Child {
                    meaning,
                    signature: None,
                    snapshot: None,
                    warned: false,
                }
            });
            let mut look = Look {
                path: &self.path,
                ground,
                rules,
                name: &name,
                child: &mut child,
            };
            match look.child.meaning {
                Meaning::Dated(time, by) if rules.keeps(time, now) => look.plain(Some((time, by))),
                Meaning::Dated(..) => child.forget(),
                Meaning::Undated => look.plain(None),
                Meaning::Numbered => match look.numbered() {
                    true => self.snapper = true,
                    false => bare.push(name.clone()),
                },
                Meaning::Other(why) => others.push((name.clone(), why)),
            }
            children.insert(name, child);
        }
        for name in bare {
            let Some(child) = children.get_mut(&name) else {
                continue;
            };
            if self.snapper {
                child.forget();
                others.push((name, "has no directory \"snapshot\" in it"));
            } else {
                Look {
                    path: &self.path,
                    ground,
                    rules,
                    name: &name,
                    child,
                }
                .plain(None);
            }
        }
        self.children = children;
    }

    fn listed(
        &self,
        ground: &Ground,
        others: Vec<(OsString, &'static str)>,
        rules: &Rules,
        now: i64,
    ) -> Listed {
        let known = self.children.values().filter_map(|c| c.snapshot.clone());
        let mut snapshots: Vec<_> = known.filter(|s| rules.keeps(s.time, now)).collect();
        snapshots.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| natural(&a.name, &b.name)));
        Listed {
            path: self.path.clone(),
            kind: self.style(ground.is_fuse()).as_str(),
            snapshots,
            others,
            trouble: None,
        }
    }

    /// The commonest style of the names; where they say nothing, the well-known name of the directory.
    fn style(&self, fuse: bool) -> Style {
        if self.path.ends_with(".zfs/snapshot") {
            return Style::Zfs;
        }
        let mut votes = BTreeMap::new();
        for (name, child) in &self.children {
            let style = match (child.meaning, &child.snapshot) {
                (Meaning::Dated(_, DatedBy::Name(Style::Dated)), _)
                    if fuse && !name.as_bytes().first().is_some_and(u8::is_ascii_digit) =>
                {
                    Style::Borg
                }
                (Meaning::Dated(_, DatedBy::Name(style)), _) => style,
                (Meaning::Numbered, Some(_)) if self.snapper => Style::Snapper,
                (Meaning::Undated, _) if name::is_rotated(name.as_bytes()) => Style::Rsnapshot,
                _ => continue,
            };
            *votes.entry(style).or_insert(0usize) += 1;
        }
        let most = votes
            .into_iter()
            .max_by_key(|(_, votes)| *votes)
            .map(|(style, _)| style);
        match (most, self.path.file_name().map(OsStr::as_bytes)) {
            (None | Some(Style::Dated), Some(b".snapshot")) => Style::NetApp,
            (None | Some(Style::Dated), Some(b".snap")) => Style::CephFs,
            (None, Some(b".snapshots")) => Style::Snapper,
            (most, _) => most.unwrap_or(Style::Dated),
        }
    }
}

/// One child in one scan.
struct Look<'a> {
    path: &'a Path,
    ground: &'a Ground,
    rules: &'a Rules,
    name: &'a OsStr,
    child: &'a mut Child,
}

impl Look<'_> {
    /// A child that is the snapshot's root itself. What is known of one that cannot be looked at, or is just being
    /// removed, stays until a listing lacks it.
    fn plain(&mut self, dated: Option<(i64, DatedBy)>) {
        let Some(signature) = self.look(Path::new(self.name)) else {
            return;
        };
        if self.child.signature != Some(signature) {
            let (time, by) = dated.unwrap_or((signature.mtime.0, DatedBy::RootTime));
            self.enter(Path::new(self.name), signature, time, by);
        }
    }

    /// A child that is snapper's if there is `snapshot` in it; says whether there is.
    fn numbered(&mut self) -> bool {
        let root = Path::new(self.name).join("snapshot");
        let signature = match self.ground.look(&root) {
            Ok(Some(signature)) => signature,
            Ok(None) => return false,
            Err(error) => {
                self.warn(&error);
                return true;
            }
        };
        self.child.warned = false;
        let dated = |c: &Child| {
            c.snapshot
                .as_ref()
                .is_some_and(|s| s.dated_by == DatedBy::InfoXml)
        };
        if self.child.signature == Some(signature) && dated(self.child) {
            return true;
        }
        match self.ground.read(&Path::new(self.name).join("info.xml")) {
            Err(error) => self.warn(&error),
            Ok(info) => match info.as_deref().and_then(info_date) {
                Some(time) => self.enter(&root, signature, time, DatedBy::InfoXml),
                None if self.is_fresh() => self.child.forget(),
                None => self.enter(&root, signature, signature.mtime.0, DatedBy::RootTime),
            },
        }
        true
    }

    fn look(&mut self, root: &Path) -> Option<Signature> {
        match self.ground.look(root) {
            Ok(found) => {
                self.child.warned = false;
                found
            }
            Err(error) => {
                self.warn(&error);
                None
            }
        }
    }

    fn warn(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.child.warned, true) {
            let path = self.path.join(self.name);
            tracing::warn!(
                "cannot look at the snapshot {}: {error}; looking again at every refresh",
                path.display()
            );
        }
    }

    fn is_fresh(&self) -> bool {
        let changed =
            std::fs::symlink_metadata(self.path.join(self.name)).and_then(|m| m.modified());
        changed.is_ok_and(|t| t.elapsed().is_ok_and(|age| age < INFO_GRACE))
    }

    /// Makes the child a snapshot, if what is to be shown of it is there.
    fn enter(&mut self, root: &Path, signature: Signature, time: i64, dated_by: DatedBy) {
        let below = &self.rules.options.below;
        let mut shown = self.path.join(root);
        if !below.as_os_str().is_empty() {
            shown.push(below);
            match self.ground.look(&root.join(below)) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    tracing::debug!("the snapshot has no {} and is not shown", shown.display());
                    self.child.signature = Some(signature);
                    self.child.snapshot = None;
                    return;
                }
                Err(error) => return self.warn(&error),
            }
        }
        let snapshot = Snapshot {
            label: self.rules.label(time),
            time,
            dir: self.path.to_path_buf(),
            name: self.name.to_os_string(),
            root: shown,
            key: key(
                &self.ground.signature,
                &signature,
                time,
                self.lasting_name(dated_by),
            ),
            seed: seed(time, self.lasting_name(dated_by)),
            dated_by,
        };
        if self.child.snapshot.as_deref() != Some(&snapshot) {
            self.child.snapshot = Some(Arc::new(snapshot));
        }
        self.child.signature = Some(signature);
    }

    /// The name, as far as it belongs to the snapshot: what is dated by its root's time may be renamed.
    fn lasting_name(&self, dated_by: DatedBy) -> Option<&[u8]> {
        (dated_by != DatedBy::RootTime).then_some(self.name.as_bytes())
    }
}

/// Full identity: 1 byte whether named, 8 time, 8 inode of the directory, 8 + 8 + 8 + 8 signature of the root, the name.
fn key(dir: &Signature, root: &Signature, time: i64, name: Option<&[u8]>) -> Vec<u8> {
    let mut key = vec![u8::from(name.is_some())];
    key.extend(time.to_be_bytes());
    key.extend(dir.inode.to_be_bytes());
    key.extend(root.inode.to_be_bytes());
    key.extend(root.mtime.0.to_be_bytes());
    key.extend(root.mtime.1.to_be_bytes());
    key.extend(root.volume.to_be_bytes());
    key.extend(name.unwrap_or_default());
    key
}

fn seed(time: i64, name: Option<&[u8]>) -> u64 {
    let mut hash = Sha256::new();
    hash.update([u8::from(name.is_some())]);
    hash.update(time.to_be_bytes());
    hash.update(name.unwrap_or_default());
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// The moment in snapper's info.xml, which is UTC.
fn info_date(xml: &[u8]) -> Option<i64> {
    let text = String::from_utf8_lossy(xml);
    let (_, rest) = text.split_once("<date>")?;
    let (date, _) = rest.split_once("</date>")?;
    name::recognise(date.trim().as_bytes(), &Zone::Named(chrono_tz::UTC)).map(|(time, _)| time)
}

/// Orders names as people do: `x_9` before `x_10`.
pub(super) fn natural(a: &OsStr, b: &OsStr) -> std::cmp::Ordering {
    let runs = |name: &OsStr| -> Vec<(usize, Vec<u8>)> {
        let digit = |b: &u8| b.is_ascii_digit();
        let pieces = name.as_bytes().chunk_by(|a, b| digit(a) && digit(b));
        pieces
            .map(|piece| {
                let zeros = piece.iter().take_while(|b| **b == b'0').count();
                let number = piece.get(zeros..).unwrap_or_default();
                if piece.first().is_some_and(digit) {
                    (number.len(), number.to_vec())
                } else {
                    (0, piece.to_vec())
                }
            })
            .collect()
    };
    runs(a).cmp(&runs(b)).then_with(|| a.cmp(b))
}

/// Of a directory that keeps whoever looks at it waiting.
pub fn unanswered(path: &Path) -> Error {
    Error::new(
        Kind::Unreadable,
        format!(
            "the snapshot directory {} does not answer: see whether its file system's server does",
            path.display()
        ),
    )
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind as E;
    let (kind, cure) = match error.kind() {
        E::NotFound => (
            Kind::Config,
            "create or mount it, or correct snapshots in the configuration",
        ),
        E::NotADirectory => (
            Kind::Config,
            "snapshots must name directories whose children are snapshots",
        ),
        E::PermissionDenied => (
            Kind::Unreadable,
            "let the user that mailtm runs as read it; where another directory has taken its place, restart mailtm: its sandbox \
             lets in the one that was there",
        ),
        _ => (
            Kind::Unreadable,
            "see whether its file system is mounted and its server answers",
        ),
    };
    Error::new(
        kind,
        format!(
            "cannot read the snapshot directory {}: {error}; {cure}",
            path.display()
        ),
    )
}
