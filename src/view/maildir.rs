//! A mailbox as a Maildir++, whatever its store is: what mail programs find in `.maildir`.
//!
//! The mailbox's directory is INBOX and holds a directory for each other folder, beside `cur`, `new` and `tmp`: `.Sent`,
//! `.Archive.2024`. A folder of a Maildir++ keeps the name that it is stored under; any other gets one of its decoded
//! name, each level in modified UTF-7, with `_` for what has a meaning there. A message is called
//! `<store name>:2,<flags>`, however its store separates the two; one in `new` that has no flags has its store name alone.
//!
//! Invariants: all is a function of the folder or message alone, except where two would have one name; then the second has
//! an id or, as a message, its size behind its store name. A name here is any bytes but `/` and NUL.
//!
//! Source of the format: <https://cr.yp.to/proto/maildir.html>, Courier's Maildir++, Dovecot's `maildir-keywords.c`.

use super::name;
use super::tree::{Source, Tree};
use crate::message::Flags;
use crate::store::{Format, Message, Messages, folder_name};
use std::collections::HashSet;

/// The file that says which letter is which keyword.
pub const KEYWORDS: &str = "dovecot-keywords";

/// Letters for keywords: `a` to `z`.
const LETTERS: usize = 26;

/// Longest name of a directory, in bytes, as on most file systems that it may be copied to.
const LONGEST: usize = 255;

/// A mailbox's folders as directories of a Maildir++. Positions are those of the mailbox's tree.
#[derive(Debug, Default)]
pub struct Folders {
    /// The folder that the mailbox's own directory is.
    pub inbox: Option<u32>,
    /// The others, in order of their names.
    directories: Vec<(Vec<u8>, u32)>,
}

impl Folders {
    pub fn of(tree: &Tree, format: Format) -> Self {
        let stored = |position: u32| match &tree.get(position)?.source {
            Source::Folder(stored) => Some(stored.as_slice()),
            Source::Parent(_) => None,
        };
        let all = || (0..tree.iter().len() as u32).filter_map(|p| Some((p, stored(p)?)));
        let is_inbox = |position: u32| {
            let path = tree.decoded_path(position);
            matches!(path.as_slice(), [one] if one.eq_ignore_ascii_case("INBOX"))
        };
        let own = all().find(|(_, stored)| stored.is_empty());
        let inbox = own.or_else(|| all().find(|(position, _)| is_inbox(*position)));
        let inbox = inbox.map(|(position, _)| position);
        let mut taken = HashSet::new();
        let mut directories = Vec::new();
        let is_plain = |stored: &[u8]| {
            format == Format::MAILDIR && stored.starts_with(b".") && !stored.contains(&b'/')
        };
        let (plain, others): (Vec<_>, Vec<_>) = all()
            .filter(|(position, _)| inbox != Some(*position))
            .partition(|(_, stored)| is_plain(stored));
        for (position, stored) in plain {
            taken.insert(stored.to_vec());
            directories.push((stored.to_vec(), position));
        }
        for (position, stored) in others {
            let directory = directory(&tree.decoded_path(position), stored, &mut taken);
            directories.push((directory, position));
        }
        directories.sort();
        Self { inbox, directories }
    }

    pub fn len(&self) -> usize {
        self.directories.len()
    }

    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }

    /// Name and position of each folder but INBOX.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        let directories = self.directories.iter();
        directories.map(|(name, position)| (name.as_slice(), *position))
    }

    /// The folder whose directory is called so.
    pub fn named(&self, name: &[u8]) -> Option<u32> {
        let at = |(other, _): &(Vec<u8>, u32)| other.as_slice().cmp(name);
        let found = self.directories.binary_search_by(at).ok()?;
        self.directories.get(found).map(|(_, position)| *position)
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        let directories = self.directories.iter();
        directories.map(|(name, _)| name.len() + 48).sum()
    }
}

/// The directory of a folder that is not stored in a Maildir++.
fn directory(path: &[String], stored: &[u8], taken: &mut HashSet<Vec<u8>>) -> Vec<u8> {
    let mut plain = Vec::new();
    for component in path {
        // Levels are told apart by dots, and names may not contain what paths are made of.
        let safe = component.replace(['.', '/', '\0'], "_");
        plain.push(b'.');
        plain.extend(folder_name::encode(&safe));
    }
    let mut name = plain.clone();
    let mut chars = name::ID_CHARS;
    while name.len() > LONGEST || matches!(name.as_slice(), b"." | b"..") || taken.contains(&name) {
        let id = name::id(stored, chars);
        name.clone_from(&plain);
        // Not within a run of modified UTF-7, which then would be none.
        name.truncate(LONGEST - 1 - id.len());
        if name.len() < plain.len() {
            let run = name.iter().rposition(|&b| b == b'&');
            let ended = name.iter().rposition(|&b| b == b'-');
            if let Some(run) = run.filter(|run| ended < Some(*run)) {
                name.truncate(run);
            }
        }
        name.extend(format!("_{id}").into_bytes());
        if chars >= name::MAX_ID_CHARS {
            break;
        }
        chars += name::ID_CHARS;
    }
    taken.insert(name.clone());
    name
}

/// The file name of a message.
pub fn file_name(messages: &Messages, message: &Message, format: Format) -> Vec<u8> {
    let mut name = base(messages, message);
    let letters = letters(messages, message, format);
    if !message.new || !letters.is_empty() {
        name.extend_from_slice(b":2,");
        name.extend(letters);
    }
    name
}

/// The position of the message with this file name, wherever it is.
pub fn find(messages: &Messages, name: &[u8], format: Format) -> Option<usize> {
    let is = |position: &usize| {
        let message = messages.get(*position);
        message.is_some_and(|message| file_name(messages, message, format) == name)
    };
    let base = match name.windows(3).rposition(|w| w == b":2,") {
        Some(at) => name.get(..at)?,
        None => name,
    };
    let twin = || {
        let dot = base.iter().rposition(|&b| b == b'.')?;
        let mut identity = base.to_vec();
        *identity.get_mut(dot)? = b'/';
        messages.position(&identity)
    };
    messages
        .position(base)
        .filter(is)
        .or_else(|| twin().filter(is))
}

fn base(messages: &Messages, message: &Message) -> Vec<u8> {
    let mut base = messages.store_name(message).to_vec();
    for byte in base.iter_mut().filter(|byte| matches!(byte, b'/' | 0)) {
        *byte = b'_';
    }
    if message.twin {
        base.extend_from_slice(format!(".{}", message.size).as_bytes());
    }
    base
}

/// The letters of a message's flags and keywords, sorted.
fn letters(messages: &Messages, message: &Message, format: Format) -> Vec<u8> {
    if format == Format::MAILDIR {
        // As they are stored: what a letter means is not known here.
        let name = messages.locator(message);
        let info = name.get(messages.store_name(message).len()..);
        let info = info.and_then(|info| info.get(3..)).unwrap_or_default();
        let mut letters: Vec<u8> = info.iter().copied().take_while(|&b| b != b',').collect();
        letters.retain(u8::is_ascii_alphabetic);
        letters.sort_unstable();
        letters.dedup();
        return letters;
    }
    let flags = [
        (Flags::draft as fn(Flags) -> bool, b'D'),
        (Flags::flagged, b'F'),
        (Flags::passed, b'P'),
        (Flags::answered, b'R'),
        (Flags::seen, b'S'),
        (Flags::deleted, b'T'),
    ];
    let set = flags.iter().filter(|(is_set, _)| is_set(message.flags));
    let mut letters: Vec<u8> = set.map(|(_, letter)| *letter).collect();
    let numbers = messages
        .keyword_numbers(message)
        .filter(|number| *number < LETTERS);
    letters.extend(numbers.map(|number| b'a' + number as u8));
    letters
}

/// The file [`KEYWORDS`] of a folder whose store has none; `None` if no message of it has a keyword.
pub fn keywords(messages: &Messages) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    for (number, keyword) in messages.keyword_names().iter().enumerate().take(LETTERS) {
        file.extend_from_slice(format!("{number} ").as_bytes());
        file.extend(keyword.iter().copied().filter(|b| !b.is_ascii_control()));
        file.push(b'\n');
    }
    (!file.is_empty()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::store::Place;
    use std::fs;

    fn tree(folders: &[&str]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(dir.path().join(folder).join("cur")).unwrap();
        }
        let root = Root::new(dir.path());
        let tree = Tree::read(&*Format::MAILDIR.open(&root, Place::new(b""))).unwrap();
        (dir, tree)
    }

    fn names(folders: &[&str]) -> Vec<String> {
        let (_dir, tree) = tree(folders);
        let folders = Folders::of(&tree, Format::MAILDIR);
        for (name, position) in folders.iter() {
            assert_eq!(folders.named(name), Some(position));
        }
        let name = |(name, _): (&[u8], u32)| String::from_utf8_lossy(name).into_owned();
        folders.iter().map(name).collect()
    }

    #[test]
    fn stored_names_stay_and_others_are_made() {
        let stored = ["", ".Sent", ".Archive.2024", ".Entw&APw-rfe", ".Entwürfe"];
        let mut sorted = stored[1..].to_vec();
        sorted.sort_unstable();
        assert_eq!(names(&stored), sorted);
        let nested = [
            "INBOX",
            "Sent",
            "Archive/2024",
            "Archive/v1.2",
            "Archive/v1_2",
            "Entwürfe",
        ];
        let names = names(&nested);
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(
            [".Archive.2024", ".Archive.v1_2", ".Entw&APw-rfe", ".Sent"]
                .iter()
                .all(|name| names.contains(&(*name).to_owned()))
        );
        assert!(
            names.iter().any(|name| name.starts_with(".Archive.v1_2_")),
            "{names:?}"
        );
    }

    #[test]
    fn a_long_name_is_cut_between_runs() {
        let path: Vec<String> = vec!["日本".repeat(60), "語".repeat(40)];
        let mut taken = HashSet::new();
        let name = directory(&path, b"x", &mut taken);
        assert!(name.len() <= LONGEST && taken.contains(&name));
        let text = String::from_utf8(name).unwrap();
        assert_eq!(
            text.matches('&').count(),
            text.matches('-').count(),
            "{text}"
        );
    }

    #[test]
    fn messages_are_found_by_their_names() {
        let (dir, tree) = tree(&[""]);
        fs::create_dir_all(dir.path().join("new")).unwrap();
        for (place, len) in [
            ("cur/1.M1P1.mx:2,FSa", 1),
            ("cur/2.M1P1.mx,S=5;2,S", 2),
            ("cur/3.M1P1.mx", 3),
            ("new/4.M1P1.mx", 4),
            ("new/1.M1P1.mx", 5),
            ("cur/5.M1P1.mx!2,SFS", 6),
        ] {
            fs::write(dir.path().join(place), "x".repeat(len)).unwrap();
        }
        let root = Root::new(dir.path());
        let store = Format::MAILDIR.open(&root, Place::new(b""));
        assert!(tree.iter().len() == 1);
        let messages = store.messages(b"", &Messages::default()).unwrap();
        let mut names: Vec<String> = Vec::new();
        for (position, message) in messages.iter().enumerate() {
            let name = file_name(&messages, message, Format::MAILDIR);
            assert_eq!(find(&messages, &name, Format::MAILDIR), Some(position));
            names.push(String::from_utf8(name).unwrap());
        }
        let expected = [
            "1.M1P1.mx.5",
            "1.M1P1.mx:2,FSa",
            "2.M1P1.mx,S=5:2,S",
            "3.M1P1.mx:2,",
            "4.M1P1.mx",
            "5.M1P1.mx:2,FS",
        ];
        names.sort();
        assert_eq!(names, expected);
        for missing in ["1.M1P1.mx", "1.M1P1.mx:2,F", "3.M1P1.mx", "6", ""] {
            assert_eq!(
                find(&messages, missing.as_bytes(), Format::MAILDIR),
                None,
                "{missing}"
            );
        }
    }
}
