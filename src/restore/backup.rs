//! What of a backup is to be put back: a mailbox on a date, some of its folders, some of their messages.

use super::live::{LONGEST_LEVEL, LONGEST_NAME, NO_NAME, Target, too_long};
use super::maildir::name::LETTERS;
use super::{Request, facts};
use crate::disk::Root;
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Dates, Snapshot};
use crate::store::maildir::{Indexed, indexed_keywords, is_named_in_index};
use crate::store::{Folder, Format, Message, Store};
use crate::view::View;
use crate::view::content::{self, Encoding, Learned};
use crate::view::listing::{self, Listing};
use crate::view::mailbox::Mailbox;
use crate::view::name;
use crate::view::tree::{Source, Tree};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is chosen of a mailbox on a date.
pub struct Backup<'a> {
    pub view: &'a View,
    pub store: &'a dyn Store,
    pub folders: Vec<Chosen>,
    /// Folders that cannot be read, with the reason.
    pub unreadable: Vec<(String, Error)>,
}

/// A folder of which messages are chosen.
pub struct Chosen {
    /// The path that it is shown under.
    pub name: String,
    pub stored: Vec<u8>,
    /// The decoded name, with `/` between the levels.
    pub decoded: String,
    pub target: Target,
    pub listing: Listing,
    /// Positions in the listing.
    pub positions: Vec<u32>,
    /// What letters in file names stand for; `None` where no letters stand for keywords.
    letters: Option<Vec<String>>,
    /// Where the folder has more keywords than there are letters.
    indexed: Indexed,
}

/// The snapshot that is shown under a date, or the one of that date and time.
pub fn snapshot(dates: &Dates, date: &str, taken: Option<i64>) -> Result<Arc<Snapshot>> {
    let label = match date {
        "latest" => dates.latest().unwrap_or(date),
        date => date,
    };
    let ends = dates.shown.keys().next().zip(dates.latest());
    let unknown = match dates.is_whole {
        true => "",
        false => "; a directory of snapshots has none at present, or does not answer",
    };
    let cure = || match ends {
        None => "there are no backups".to_owned(),
        Some((first, last)) => {
            format!("name one of the dates that are shown, {first} to {last}, or \"latest\"")
        }
    };
    let shown = dates.shown.get(label);
    let is_meant = |s: &&Arc<Snapshot>| s.label == label && taken.is_none_or(|t| s.time == t);
    let found = shown.filter(is_meant);
    let found = found.or_else(|| dates.all.iter().rev().find(is_meant));
    found
        .cloned()
        .ok_or_else(|| wrong(format!("no backup of \"{date}\": {}{unknown}", cure())))
}

/// The mailbox of a name.
pub fn mailbox(view: &View, root: &Root, wanted: &str, date: &str) -> Result<Mailbox> {
    let found = view.layout.find(root)?;
    let mailbox = found.named(wanted).cloned();
    mailbox.ok_or_else(|| {
        let near = found
            .iter()
            .find(|m| name::fold(&m.name) == name::fold(wanted) || m.user == wanted);
        let cure = match near {
            Some(near) => format!("did you mean \"{}\"?", near.name),
            None => format!(
                "there are {} others; name one as it is shown",
                found.iter().len()
            ),
        };
        wrong(format!(
            "no mailbox \"{wanted}\" in the backup of {date}: {cure}"
        ))
    })
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Config, message)
}

/// An ID as it stands in names, from what somebody typed: in brackets or not, in either case, with letters for digits
/// that look like them.
fn id(typed: &str) -> Result<String> {
    let bare = typed.trim().trim_start_matches('(').trim_end_matches(')');
    let id: String = bare
        .chars()
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        })
        .collect();
    let valid = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase() && c != 'U';
    if !id.chars().all(valid) || !(name::ID_CHARS..=name::MAX_ID_CHARS).contains(&id.len()) {
        return Err(wrong(format!(
            "\"{typed}\" is no message's ID: write the 8 characters in brackets at the end of its file's name, \
             such as K7Q2M4XZ"
        )));
    }
    Ok(id)
}

impl<'a> Backup<'a> {
    /// Chooses what a request asks for.
    pub fn choose(
        view: &'a View,
        store: &'a dyn Store,
        mailbox: &Mailbox,
        request: &Request,
    ) -> Result<Self> {
        let tree = Tree::read(store)?;
        let folders = store.folders()?.folders;
        let decoded: HashMap<&[u8], &Folder> =
            folders.iter().map(|f| (f.stored.as_slice(), f)).collect();
        let ids: Vec<String> = request
            .messages
            .iter()
            .map(|m| id(m))
            .collect::<Result<_>>()?;
        let mut found = vec![false; ids.len()];
        let into = request.into.as_deref().map(target).transpose()?;
        let mut backup = Self {
            view,
            store,
            folders: Vec::new(),
            unreadable: Vec::new(),
        };
        for position in wanted_folders(&tree, request)? {
            let Some(branch) = tree.get(position) else {
                continue;
            };
            let Source::Folder(stored) = &branch.source else {
                continue;
            };
            let name = shown_path(&tree, position);
            let listing = match view.list(store, stored, &tree.taken(position), &[]) {
                Ok(listing) => listing,
                Err(e) if listing::is_for_all(&e) => return Err(e),
                Err(e) => {
                    tracing::warn!("folder {name}: {e}");
                    backup.unreadable.push((name, e));
                    continue;
                }
            };
            let path = decoded.get(stored.as_slice()).map(|f| f.path.clone());
            let path = path.unwrap_or_else(|| name.split('/').map(str::to_owned).collect());
            let letters = letters(store, mailbox, stored)?;
            let indexed = match &letters {
                Some(letters) if letters.len() == LETTERS => indexed(store, stored)?,
                _ => Indexed::new(),
            };
            let positions = choose_messages(&listing, &ids, &mut found);
            backup.folders.push(Chosen {
                name,
                decoded: path.join("/"),
                target: into.clone().unwrap_or_else(|| Target {
                    path,
                    stored: (!is_named_in_index(stored)).then(|| stored.clone()),
                }),
                letters,
                indexed,
                stored: stored.clone(),
                listing,
                positions,
            });
        }
        if let Some((_, missing)) = found.iter().zip(&ids).find(|(found, _)| !**found)
            && backup.unreadable.is_empty()
        {
            let place = request.folder.as_deref().unwrap_or(&request.mailbox);
            return Err(wrong(format!(
                "no message ({missing}) in {place} on {}: look its name up in the backup of that date",
                request.date
            )));
        }
        Ok(backup)
    }

    /// What is known of some messages of a folder, by their positions.
    pub fn learn(&self, folder: &Chosen, positions: &[u32]) -> Result<Vec<Option<Learned>>> {
        let messages = folder.listing.messages();
        let some = positions.iter().filter_map(|&p| messages.get(p as usize));
        let facts = facts::learn(self.view, self.store, &folder.stored, messages, some)?;
        Ok(facts.into_iter().map(facts::Fact::known).collect())
    }

    /// Gives a message's bytes to `take`, in pieces; `take` may refuse them.
    pub fn read(
        &self,
        folder: &Chosen,
        position: u32,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let gone = || Error::new(Kind::Stale, "is no longer listed");
        let item = folder.listing.get(position as usize).ok_or_else(gone)?;
        let stored = self
            .store
            .open(&folder.stored, folder.listing.messages(), item.stored)?;
        let mut refused = Ok(());
        content::read(&stored, item.encoding, &self.view.keys, |bytes| {
            refused = take(bytes);
            refused.is_ok()
        })?;
        refused
    }
}

impl Chosen {
    pub fn message(&self, position: u32) -> Option<&Message> {
        self.listing.messages().get(position as usize)
    }

    pub fn identity(&self, position: u32) -> Vec<u8> {
        let messages = self.listing.messages();
        let identity = self.message(position).map(|m| messages.identity(m));
        identity.unwrap_or_default()
    }

    /// Whether the folder has two messages of this one's store name, so that the name does not tell which of them it is.
    pub fn has_twin(&self, position: u32) -> bool {
        let messages = self.listing.messages();
        let of = |position: u32| self.message(position);
        let is_twin_of = |one: &Message, other: &Message| {
            other.twin && messages.store_name(one) == messages.store_name(other)
        };
        of(position).is_some_and(|message| {
            let next = of(position + 1);
            message.twin || next.is_some_and(|next| is_twin_of(message, next))
        })
    }

    /// Whether what is stored can be read, as far as listing it could tell.
    pub fn is_readable(&self, position: u32) -> bool {
        let item = self.listing.get(position as usize);
        item.is_some_and(|item| matches!(item.encoding, Encoding::Plain | Encoding::Encoded))
    }

    /// The keywords that a message has, and how many letters it has for others that nothing tells the names of.
    pub fn keywords_of(&self, position: u32) -> (Vec<String>, u64) {
        let Some(message) = self.message(position) else {
            return (Vec::new(), 0);
        };
        let messages = self.listing.messages();
        let Some(letters) = &self.letters else {
            let told = messages.keywords(message);
            let told = told.map(|k| String::from_utf8_lossy(k).into_owned());
            return (told.collect(), 0);
        };
        let (mut named, mut nameless) = (Vec::new(), 0);
        for number in super::maildir::name::keyword_numbers(messages.locator(message)) {
            match letters.get(number) {
                Some(keyword) if !keyword.is_empty() => named.push(keyword.clone()),
                _ => nameless += 1,
            }
        }
        let indexed = self.indexed.get(messages.store_name(message));
        for keyword in indexed.into_iter().flatten() {
            let keyword = String::from_utf8_lossy(keyword).into_owned();
            if !letters.iter().any(|k| k.eq_ignore_ascii_case(&keyword)) {
                named.push(keyword);
            }
        }
        (named, nameless)
    }
}

/// The keywords of a Maildir's folder that its server's index has.
fn indexed(store: &dyn Store, folder: &[u8]) -> Result<Indexed> {
    match indexed_keywords(store.root(), store.path(), folder) {
        Err(e) if !listing::is_for_all(&e) => {
            tracing::warn!("keywords without a letter are not known: {e}");
            Ok(Indexed::new())
        }
        found => found,
    }
}

/// What the letters in the file names of a Maildir's folder stand for.
fn letters(store: &dyn Store, mailbox: &Mailbox, folder: &[u8]) -> Result<Option<Vec<String>>> {
    if mailbox.format != Format::MAILDIR {
        return Ok(None);
    }
    match store.keyword_letters(folder) {
        Ok(file) => Ok(Some(super::maildir::keywords::parse(
            &file.unwrap_or_default(),
        ))),
        Err(e) if listing::is_for_all(&e) => Err(e),
        Err(e) => {
            tracing::warn!("keywords are not known: {e}");
            Ok(Some(Vec::new()))
        }
    }
}

/// Whether the folder that `--into` names may be one, in whatever mailbox.
///
/// # Errors
/// [`Kind::Config`] with what to write instead.
pub fn check_into(into: &str) -> Result<()> {
    let target = target(into)?;
    // However it is stored, a character takes a byte at least.
    let is_long = |name: &str, longest: usize| name.chars().count() > longest;
    let has_long_level = target.path.iter().any(|l| is_long(l, LONGEST_LEVEL));
    match has_long_level || is_long(&target.name(), LONGEST_NAME) {
        true => Err(too_long(&target)),
        false => Ok(()),
    }
}

/// The folder that `--into` names.
fn target(into: &str) -> Result<Target> {
    let path: Vec<String> = into
        .trim_matches('/')
        .split('/')
        .map(str::to_owned)
        .collect();
    let odd = |level: &String| {
        let has_no_name = matches!(level.trim(), "" | "." | "..");
        has_no_name || level.contains(char::is_control)
    };
    if path.iter().any(odd) {
        return Err(wrong(format!(
            "\"{}\" {NO_NAME}: write a name, with \"/\" between its levels, without control characters and levels \
             that are empty, \".\" or \"..\"",
            into.escape_debug()
        )));
    }
    Ok(Target { path, stored: None })
}

/// The folders that a request means: one with all below it, or all.
fn wanted_folders(tree: &Tree, request: &Request) -> Result<Vec<u32>> {
    let mut pending: Vec<u32> = match &request.folder {
        None => tree.below(None).to_vec(),
        Some(path) => {
            let mut at = None;
            for level in path.trim_matches('/').split('/') {
                let below = tree.named(at, level);
                at = Some(below.ok_or_else(|| {
                    let names = tree.below(at).iter().take(20);
                    let names: Vec<&str> = names
                        .filter_map(|&p| tree.get(p))
                        .map(|b| b.name.as_str())
                        .collect();
                    wrong(format!(
                        "no folder \"{path}\" in {} on {}: there are {}",
                        request.mailbox,
                        request.date,
                        names.join(", ")
                    ))
                })?);
            }
            at.into_iter().collect()
        }
    };
    pending.reverse();
    let mut found = Vec::new();
    while let Some(position) = pending.pop() {
        found.push(position);
        pending.extend(tree.below(Some(position)).iter().rev());
    }
    Ok(found)
}

fn shown_path(tree: &Tree, position: u32) -> String {
    let mut levels = Vec::new();
    let mut at = Some(position);
    while let Some(branch) = at.and_then(|p| tree.get(p)) {
        levels.push(branch.name.as_str());
        at = branch.above;
    }
    levels.reverse();
    levels.join("/")
}

/// Positions of the messages with these IDs, or of all.
fn choose_messages(listing: &Listing, ids: &[String], found: &mut [bool]) -> Vec<u32> {
    let all = 0..listing.len() as u32;
    if ids.is_empty() {
        return all.collect();
    }
    let messages = listing.messages();
    let mut by_length: BTreeMap<usize, HashMap<&str, Vec<usize>>> = BTreeMap::new();
    for (number, id) in ids.iter().enumerate() {
        let same = by_length.entry(id.len()).or_default();
        same.entry(id).or_default().push(number);
    }
    let longest = by_length.keys().next_back().copied().unwrap_or_default();
    all.filter(|&position| {
        let Some(message) = messages.get(position as usize) else {
            return false;
        };
        let has = name::id(&messages.identity(message), longest);
        let mut chosen = false;
        for (length, ids) in &by_length {
            let numbers = has.get(..*length).and_then(|start| ids.get(start));
            for &number in numbers.into_iter().flatten() {
                chosen = true;
                if let Some(found) = found.get_mut(number) {
                    *found = true;
                }
            }
        }
        chosen
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_people_type_them() {
        for typed in ["K7Q2M4X0", "(k7q2m4xo)", " K7Q2M4XO "] {
            assert_eq!(id(typed).unwrap(), "K7Q2M4X0");
        }
        for wrong in ["", "K7Q2M4X", "K7Q2M4X!", "U7Q2M4XZ"] {
            assert_eq!(id(wrong).unwrap_err().kind(), Kind::Config, "{wrong}");
        }
    }

    #[test]
    fn a_date_may_have_several_snapshots() {
        let snapshot = |time: i64| {
            Arc::new(Snapshot {
                label: "2026-11-20".into(),
                time,
                dir: "/s".into(),
                name: time.to_string().into(),
                root: format!("/s/{time}").into(),
                key: time.to_le_bytes().to_vec(),
                seed: 0,
                dated_by: crate::snapshot::DatedBy::RootTime,
            })
        };
        let all = vec![snapshot(1), snapshot(2), snapshot(3)];
        let dates = Dates {
            generation: 0,
            shown: [("2026-11-20".into(), all[2].clone())].into(),
            all,
            is_whole: true,
        };
        let found = |date, taken| snapshot_time(&dates, date, taken);
        assert_eq!(found("2026-11-20", None), Some(3));
        assert_eq!(found("latest", None), Some(3));
        assert_eq!(found("2026-11-20", Some(2)), Some(2));
        assert_eq!(found("2026-11-20", Some(4)), None);
        assert_eq!(found("2026-11-19", Some(2)), None);
    }

    fn snapshot_time(dates: &Dates, date: &str, taken: Option<i64>) -> Option<i64> {
        snapshot(dates, date, taken).ok().map(|s| s.time)
    }

    #[test]
    fn folders_to_put_into() {
        assert_eq!(target("A/B").unwrap().path, ["A", "B"]);
        for wrong in ["", "/", "A//B", "A\nB", "A/..", "./A", " "] {
            assert!(target(wrong).is_err(), "{wrong}");
            assert!(check_into(wrong).is_err(), "{wrong}");
        }
        assert!(check_into("/A/B/").is_ok());
        for long in ["a".repeat(201), "a/".repeat(121)] {
            assert!(check_into(&long).is_err());
            assert!(check_into(&long[2..]).is_ok());
        }
    }
}
