//! Where mailboxes are, as an administrator writes it: `{domain}/{user}/Maildir`.

use super::path::{below, looks_like_domain};
use super::{Layout, Mailboxes};
use crate::disk::{FileKind, Root};
use crate::error::{Error, Kind, Result};

/// A piece of a template's level.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    User,
    Domain,
    Any,
}

/// A path with `{user}`, `{domain}` and `*` in it, each within one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    levels: Vec<Vec<Piece>>,
    /// Directories that it may be below: the first that the snapshot has, or the snapshot's root.
    bases: Vec<Vec<u8>>,
}

/// What the placeholders of a template stand for so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) user: Option<String>,
    pub(super) domain: Option<String>,
    /// How long the path of the directory is whose names they are.
    pub(super) listed: usize,
}

impl Found {
    /// Whether the template itself says what the end of this path is called.
    pub(super) fn is_named(&self, path: &[u8]) -> bool {
        let below = path.get(self.listed + 1..).unwrap_or_default();
        below.contains(&b'/')
    }
}

impl Template {
    /// # Errors
    /// [`Kind::Config`]: says what is wrong with the template.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Err(Error::new(
                Kind::Config,
                format!("mailbox template \"{text}\": {what}"),
            ))
        };
        if text.starts_with('/') {
            return wrong("must be relative to a snapshot's root: leave out the leading \"/\"");
        }
        let mut levels = Vec::new();
        for level in text.split('/').filter(|level| !level.is_empty()) {
            if level == "." || level == ".." {
                return wrong("must not have \".\" or \"..\" in it");
            }
            let mut pieces = Vec::new();
            let mut rest = level;
            while !rest.is_empty() {
                let at = rest.find(['{', '*']).unwrap_or(rest.len());
                let (literal, special) = rest.split_at(at);
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(literal.as_bytes().to_vec()));
                }
                rest = special;
                for (word, piece) in [
                    ("{user}", Piece::User),
                    ("{domain}", Piece::Domain),
                    ("*", Piece::Any),
                ] {
                    if let Some(after) = special.strip_prefix(word) {
                        pieces.push(piece);
                        rest = after;
                        break;
                    }
                }
                if !special.is_empty() && rest.len() == special.len() {
                    return wrong("knows only the placeholders {user}, {domain} and *");
                }
            }
            levels.push(pieces);
        }
        if !levels.iter().flatten().any(|piece| *piece == Piece::User) {
            return wrong("must have {user} in it");
        }
        Ok(Self {
            text: text.into(),
            levels,
            bases: Vec::new(),
        })
    }

    /// The same below the first of some directories that the snapshot has.
    pub(super) fn below(self, bases: &[&str]) -> Self {
        Self {
            bases: bases.iter().map(|base| base.as_bytes().to_vec()).collect(),
            ..self
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn find(&self, root: &Root, out: &mut Mailboxes, layout: &Layout) -> Result<()> {
        let mut base = Vec::new();
        let mut odd = None;
        for candidate in &self.bases {
            match root.stat(candidate) {
                Ok(stat) if stat.kind == FileKind::Directory => {
                    base.clone_from(candidate);
                    break;
                }
                Ok(stat) => odd = odd.or(Some((candidate, stat.kind))),
                Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => {}
                Err(e) => return out.do_without(e),
            }
        }
        if let Some((candidate, kind)) = odd.filter(|_| base.is_empty()) {
            out.add_odd(candidate, 0, kind);
        }
        self.descend(root, &self.levels, base, Found::default(), out, layout)
    }

    fn descend(
        &self,
        root: &Root,
        levels: &[Vec<Piece>],
        path: Vec<u8>,
        found: Found,
        out: &mut Mailboxes,
        layout: &Layout,
    ) -> Result<()> {
        let Some((level, deeper)) = levels.split_first() else {
            return layout.add_found(root, path, found, out);
        };
        if let [Piece::Literal(name)] = level.as_slice() {
            let path = below(&path, name);
            return match root.stat(&path) {
                Ok(stat) if may_be(stat.kind, deeper) => {
                    self.descend(root, deeper, path, found, out, layout)
                }
                Ok(stat) => {
                    if is_odd(stat.kind) || found.user.is_some() {
                        out.add_odd(&path, found.listed, stat.kind);
                    }
                    Ok(())
                }
                Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => Ok(()),
                Err(e) => out.do_without(e),
            };
        }
        let listing = match root.list(&path) {
            Ok(listing) => listing,
            Err(e) if !path.is_empty() => return out.do_without(e),
            Err(e) => return Err(e),
        };
        for entry in listing.iter() {
            if !(may_be(entry.kind, deeper) || is_odd(entry.kind))
                || entry.name.starts_with(b".")
                || entry.name == b"lost+found"
            {
                continue;
            }
            let knew_user = found.user.is_some();
            let mut found = found.clone();
            if !matches(level, entry.name, &mut found) {
                continue;
            }
            found.listed = path.len();
            let at = below(&path, entry.name);
            if !is_odd(entry.kind) {
                self.descend(root, deeper, at, found, out, layout)?;
            } else if found.user.is_some() != knew_user
                || looks_like_domain(&String::from_utf8_lossy(entry.name))
            {
                out.add_odd(&at, path.len(), entry.kind);
            }
        }
        Ok(())
    }
}

/// Whether a mailbox or what is above one can be of this kind: the mailbox itself may be a file.
fn may_be(kind: FileKind, deeper: &[Vec<Piece>]) -> bool {
    kind == FileKind::Directory || (kind == FileKind::File && deeper.is_empty())
}

/// Whether this is nothing that is ever opened.
pub(super) fn is_odd(kind: FileKind) -> bool {
    matches!(kind, FileKind::Symlink | FileKind::Special)
}

/// Matches one level; placeholders take as little as they can and at least one byte.
fn matches(level: &[Piece], name: &[u8], found: &mut Found) -> bool {
    let Some((piece, rest)) = level.split_first() else {
        return name.is_empty();
    };
    if let Piece::Literal(literal) = piece {
        return name
            .strip_prefix(literal.as_slice())
            .is_some_and(|name| matches(rest, name, found));
    }
    let ends = if rest.is_empty() {
        name.len()..=name.len()
    } else {
        1..=name.len()
    };
    for end in ends.filter(|&end| end > 0) {
        let (taken, left) = name.split_at(end);
        let mut found_here = found.clone();
        let text = String::from_utf8_lossy(taken).into_owned();
        let slot = match piece {
            Piece::User => Some(&mut found_here.user),
            Piece::Domain => Some(&mut found_here.domain),
            _ => None,
        };
        if let Some(slot) = slot {
            // The same placeholder twice must stand for the same.
            if slot.as_ref().is_some_and(|before| *before != text) {
                continue;
            }
            *slot = Some(text);
        }
        if matches(rest, left, &mut found_here) {
            *found = found_here;
            return true;
        }
    }
    false
}
