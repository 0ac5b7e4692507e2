//! A mailbox's folders, nested as directories.
//!
//! A folder is a directory of its messages and of the folders below it, with its `.mbox` beside it; a parent that is
//! no folder itself is a directory with no `.mbox`. Sibling directories and mboxes never share a name, ignoring case:
//! where they would, the first keeps its name (one that had to be made safe gives way to one that is as its owner
//! wrote it) and the others get an id.

use super::{about, name};
use crate::error::Result;
use crate::store::{Folder, Store};
use std::collections::{BTreeMap, HashSet};

/// What a directory of the tree is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder: what its store knows it by.
    Folder(Vec<u8>),
    /// No folder: the decoded name, one component for each level.
    Parent(Vec<String>),
}

/// A directory of the tree.
#[derive(Debug)]
pub struct Branch {
    pub source: Source,
    /// Safe, and unique among its siblings together with `name` + `.mbox`.
    pub name: String,
    /// The name as its owner wrote it, where that is another one.
    decoded: Option<Box<str>>,
    /// Position of the directory above; `None` right below the mailbox.
    pub above: Option<u32>,
    /// Positions of the directories below, in order of their names.
    pub below: Vec<u32>,
}

impl Branch {
    pub fn is_folder(&self) -> bool {
        matches!(self.source, Source::Folder(_))
    }

    pub fn mbox_name(&self) -> String {
        format!("{}.mbox", self.name)
    }
}

/// All directories of a mailbox.
#[derive(Debug, Default)]
pub struct Tree {
    branches: Vec<Branch>,
    top: Vec<u32>,
    /// What is among the folders and is no mail.
    pub oddities: u64,
}

/// A level of the tree while it is built: decoded component to what is below.
#[derive(Default)]
struct Level {
    /// The folders of this name: more than one if stored names differ and decode alike.
    folders: Vec<Vec<u8>>,
    below: BTreeMap<String, Level>,
}

impl Tree {
    pub fn read(store: &dyn Store) -> Result<Self> {
        let found = store.folders()?;
        Ok(Self {
            oddities: found.oddities,
            ..Self::of(found.folders)
        })
    }

    /// The tree of these folders.
    pub fn of(folders: Vec<Folder>) -> Self {
        let mut top = Level::default();
        for folder in folders {
            let level = folder
                .path
                .into_iter()
                .fold(&mut top, |level, name| level.below.entry(name).or_default());
            level.folders.push(folder.stored);
        }
        let mut tree = Self::default();
        tree.top = tree.grow(top.below, None, &mut Vec::new());
        tree
    }

    /// Depth of the recursion: that of the folders, which the store bounds.
    fn grow(
        &mut self,
        level: BTreeMap<String, Level>,
        above: Option<u32>,
        path: &mut Vec<String>,
    ) -> Vec<u32> {
        let mut named = Vec::new();
        for (decoded, mut level) in level {
            path.push(decoded.clone());
            level.folders.sort();
            let mut folders = level.folders.into_iter();
            // The directories below hang on the first folder of the name.
            let first = folders
                .next()
                .map_or_else(|| Source::Parent(path.clone()), Source::Folder);
            named.push((decoded.clone(), first, level.below, path.clone()));
            named.extend(folders.map(|f| {
                (
                    decoded.clone(),
                    Source::Folder(f),
                    BTreeMap::new(),
                    path.clone(),
                )
            }));
            path.pop();
        }
        // Names that are safe as they stand choose first; then in byte order.
        named.sort_by_cached_key(|(decoded, ..)| {
            (name::component(decoded) != *decoded, decoded.clone())
        });
        let mut taken = HashSet::new();
        if above.is_none() {
            taken.insert(name::fold(about::FILE_NAME));
        }
        let mut positions = Vec::new();
        for (decoded, source, below, mut path) in named {
            let identity = match &source {
                Source::Folder(stored) => stored.clone(),
                Source::Parent(path) => path.join("/").into_bytes(),
            };
            let name = choose(&decoded, &identity, &mut taken);
            let position = self.branches.len() as u32;
            let decoded = (name != decoded).then(|| decoded.into());
            self.branches.push(Branch {
                source,
                name,
                decoded,
                above,
                below: Vec::new(),
            });
            let below = self.grow(below, Some(position), &mut path);
            if let Some(branch) = self.branches.get_mut(position as usize) {
                branch.below = below;
            }
            positions.push(position);
        }
        positions.sort_by_cached_key(|&p| self.get(p).map(|b| b.name.clone()));
        positions
    }

    pub fn get(&self, position: u32) -> Option<&Branch> {
        self.branches.get(position as usize)
    }

    /// The names of a directory and of those above it, from the mailbox down, with slashes between.
    pub fn path(&self, position: u32) -> String {
        let branch = |position: u32| self.get(position);
        let up = std::iter::successors(branch(position), |at| at.above.and_then(branch));
        let mut names: Vec<&str> = up.map(|branch| branch.name.as_str()).collect();
        names.reverse();
        names.join("/")
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Branch> {
        self.branches.iter()
    }

    /// The directories right below one, or right below the mailbox.
    pub fn below(&self, position: Option<u32>) -> &[u32] {
        match position {
            None => &self.top,
            Some(position) => self
                .get(position)
                .map(|b| b.below.as_slice())
                .unwrap_or_default(),
        }
    }

    /// The directory of this name right below one, or right below the mailbox.
    pub fn named(&self, above: Option<u32>, name: &str) -> Option<u32> {
        let below = self.below(above);
        let at = |&p: &u32| self.get(p).map_or("", |b| b.name.as_str()).cmp(name);
        let found = below.binary_search_by(at).ok()?;
        below.get(found).copied()
    }

    pub fn find(&self, source: &Source) -> Option<u32> {
        self.branches
            .iter()
            .position(|b| b.source == *source)
            .map(|p| p as u32)
    }

    /// The decoded name of a directory, one component for each level.
    pub fn decoded_path(&self, position: u32) -> Vec<String> {
        let above = |branch: &&Branch| branch.above.and_then(|position| self.get(position));
        let mut path: Vec<String> = std::iter::successors(self.get(position), above)
            .map(|branch| branch.decoded.as_deref().unwrap_or(&branch.name).to_owned())
            .collect();
        path.reverse();
        path
    }

    /// The positions of all directories, each before those below it, siblings in order of their names.
    pub fn in_order(&self) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.branches.len());
        let mut pending: Vec<u32> = self.top.iter().rev().copied().collect();
        while let Some(position) = pending.pop() {
            order.push(position);
            pending.extend(self.below(Some(position)).iter().rev());
        }
        order
    }

    /// The names right below a directory, folded: what a message there must not be called.
    pub fn taken(&self, position: u32) -> HashSet<String> {
        let below = self
            .below(Some(position))
            .iter()
            .filter_map(|&p| self.get(p));
        below
            .flat_map(|b| [name::fold(&b.name), name::fold(&b.mbox_name())])
            .collect()
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        self.branches
            .iter()
            .map(|b| size_of::<Branch>() + 2 * b.name.len() + b.below.len() * 4 + 32)
            .sum()
    }
}

/// Takes a name of which neither the directory nor the mbox clashes with one taken before.
fn choose(decoded: &str, identity: &[u8], taken: &mut HashSet<String>) -> String {
    let plain = name::component(decoded);
    let with_id = (1..=6).map(|n| {
        name::component(&format!(
            "{plain} ({})",
            name::id(identity, n * name::ID_CHARS)
        ))
    });
    let mut candidates = std::iter::once(plain.clone()).chain(with_id).peekable();
    while let Some(candidate) = candidates.next() {
        let keys = [
            name::fold(&candidate),
            name::fold(&format!("{candidate}.mbox")),
        ];
        if keys.iter().all(|key| !taken.contains(key)) || candidates.peek().is_none() {
            taken.extend(keys);
            return candidate;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::store::Format;
    use std::fs;

    fn tree(folders: &[&str]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(dir.path().join(folder).join("cur")).unwrap();
        }
        let tree = Tree::read(
            &*Format::MAILDIR.open(&Root::new(dir.path()), crate::store::Place::new(b"")),
        )
        .unwrap();
        (dir, tree)
    }

    fn names(tree: &Tree, position: Option<u32>) -> Vec<String> {
        tree.below(position)
            .iter()
            .map(|&p| tree.get(p).unwrap().name.clone())
            .collect()
    }

    #[test]
    fn parents_that_are_no_folders() {
        let (_dir, tree) = tree(&["", ".A.B", ".A.B.C"]);
        assert_eq!(names(&tree, None), ["A", "INBOX"]);
        let paths: Vec<String> = tree
            .in_order()
            .into_iter()
            .map(|p| tree.decoded_path(p).join("/"))
            .collect();
        assert_eq!(paths, ["A", "A/B", "A/B/C", "INBOX"]);
        let a = tree.find(&Source::Parent(vec!["A".into()])).unwrap();
        assert_eq!(names(&tree, Some(a)), ["B"]);
        let b = tree.find(&Source::Folder(b".A.B".to_vec())).unwrap();
        assert_eq!(
            (tree.get(b).unwrap().above, names(&tree, Some(b))),
            (Some(a), vec!["C".into()])
        );
    }

    #[test]
    fn a_folder_named_like_the_text_beside_it() {
        let (_dir, tree) = tree(&["About this backup.txt", "Lists/About this backup.txt"]);
        let top = names(&tree, None);
        assert!(top[0].starts_with("About this backup.txt ("), "{top:?}");
        let lists = tree.named(None, "Lists");
        assert_eq!(names(&tree, lists), ["About this backup.txt"]);
    }

    #[test]
    fn names_that_clash() {
        let (_dir, tree) = tree(&[".Sent", ".sent", ".Sent.mbox", ".x?", ".x_", ".INBOX", ""]);
        let top = names(&tree, None);
        let mut folded: Vec<_> = top
            .iter()
            .flat_map(|n| [name::fold(n), name::fold(&format!("{n}.mbox"))])
            .collect();
        folded.sort();
        let all = folded.len();
        folded.dedup();
        assert_eq!(folded.len(), all, "{top:?}");
        let question = tree.find(&Source::Folder(b".x?".to_vec())).unwrap();
        assert_eq!(tree.decoded_path(question), ["x?"]);
        assert!(
            top.contains(&"Sent".into())
                && top.contains(&"x_".into())
                && top.contains(&"INBOX".into())
        );
    }
}
