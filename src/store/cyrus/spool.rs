//! A spool: whose its directories are, where the folders of a user are, and what is kept elsewhere of them.
//!
//! By names, a user's folders are below the directory of his INBOX: `[domain/<h>/<domain>/][<h>/]user/<name>/<folder>`. By ids
//! (since 3.6) each folder is `uuid/<c>/<c>/<id>`, and its `cyrus.header` alone says which folder of whom it is; it is
//! written anew when the folder is renamed. A spool may have both: folders that were there before 3.6, and new ones.
//!
//! A partition may have its messages, its archived messages or its headers in a partition of their own; there they have the same
//! path. Such a partition is looked for beside the spool, must belong to the spool's owner, and must not have the folder itself.
//!
//! A folder's internal name is `user.<name>.<folder>…`, or `<domain>!user.…`; `^` stands for a dot. Folders that are no
//! user's are shared ones: they are shown as mailboxes of nobody's, by their first level.

use super::super::{SpoolMailbox, SpoolMailboxes, folder_name, join};
use super::{HEADER, INDEX, LONGEST_HEADER, header, index, is_shown_by};
use crate::disk::{FileKind, Listing, Root};
use crate::error::{Error, Kind, Result};
use crate::store::bounds;
use std::collections::BTreeMap;

/// The directory of folders by their ids.
const BY_ID: &[u8] = b"uuid";

/// Where deleted folders are kept for some time.
const DELETED: &str = "DELETED";

/// Folders of a spool at most.
const MOST_FOLDERS: usize = 1 << 22;

/// Partitions beside a spool that are looked into at most.
const MOST_PARTITIONS: usize = 64;

/// A folder by its internal name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub user: String,
    pub domain: Option<String>,
    /// Of the folder, decoded; empty for INBOX.
    pub levels: Vec<String>,
    /// The folder is no user's, and `user` what shared ones are shown as.
    is_shared: bool,
}

impl Name {
    /// `None` if the folder has been deleted.
    fn parse(name: &[u8]) -> Option<Self> {
        let (domain, name) = match memchr::memchr(b'!', name) {
            Some(at) => (name.get(..at), name.get(at + 1..).unwrap_or_default()),
            None => (None, name),
        };
        let mut levels = name.split(|&b| b == b'.').map(level);
        let first = levels.next()?;
        let (user, is_shared) = match first.as_str() {
            DELETED => return None,
            "user" => (levels.next()?, false),
            shared => (shared_name(shared), true),
        };
        Some(Self {
            user,
            domain: domain.map(|domain| String::from_utf8_lossy(domain).into_owned()),
            levels: levels.collect(),
            is_shared,
        })
    }

    /// Whether the header that has this name lets the user in.
    fn admits_its_user(&self, header: &header::Header) -> bool {
        let address = self.domain.as_ref().map(|d| format!("{}@{d}", self.user));
        let is_user = |word: &Vec<u8>| {
            *word == self.user.as_bytes() || address.as_ref().is_some_and(|a| *word == a.as_bytes())
        };
        header.admitted.iter().any(is_user)
    }
}

/// What a mailbox of shared folders is called; nobody can be called so.
fn shared_name(first: &str) -> String {
    format!("{first} (shared)")
}

/// A level of a folder's name as the server keeps it.
pub fn level(stored: &[u8]) -> String {
    let dot = |&byte: &u8| if byte == b'^' { b'.' } else { byte };
    let name: Vec<u8> = stored.iter().map(dot).collect();
    folder_name::decode(&name)
}

/// Whose mailbox a directory is in a spool by names.
pub fn whose(path: &[u8]) -> (String, Option<String>) {
    let (user, top) = match Place::of(path) {
        Some(place) => (level(place.user), place.top),
        None => {
            let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
            (shared_name(&level(last)), path)
        }
    };
    let levels: Vec<&[u8]> = top.split(|&b| b == b'/').collect();
    let domain = match levels.as_slice() {
        [.., b"domain", hash, domain] if hash.len() == 1 => Some(*domain),
        [.., b"domain", domain] => Some(*domain),
        _ => None,
    };
    (
        user,
        domain.map(|d| String::from_utf8_lossy(d).into_owned()),
    )
}

/// Whether a directory is of folders that were deleted.
pub fn is_deleted(path: &[u8]) -> bool {
    path.split(|&b| b == b'/')
        .any(|level| level == DELETED.as_bytes())
}

/// Where a path by names is in its spool.
struct Place<'a> {
    user: &'a [u8],
    /// What is above `user` and its hash: the spool, or the directory of a domain.
    top: &'a [u8],
}

impl<'a> Place<'a> {
    fn of(path: &'a [u8]) -> Option<Self> {
        let starts = memchr::memmem::find_iter(path, b"user/");
        let at = starts
            .filter(|&at| at == 0 || path.get(at - 1) == Some(&b'/'))
            .last()?;
        let below = path.get(at + 5..)?;
        let user = below.split(|&b| b == b'/').next()?;
        let above = path.get(..at.saturating_sub(1))?;
        Some(Self {
            user,
            top: without_hash(above),
        })
    }
}

/// A path without its last level, if that is a single letter.
fn without_hash(path: &[u8]) -> &[u8] {
    match path {
        [_] => b"",
        [above @ .., b'/', _] => above,
        path => path,
    }
}

/// The spool that a folder's directory is in, and the path below that.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let levels: Vec<usize> = memchr::memchr_iter(b'/', path).collect();
    // uuid/<c>/<c>/<id>
    let by_id = match levels.as_slice() {
        [.., top, _, _, _] => Some(top + 1),
        [_, _, _] => Some(0),
        _ => None,
    };
    let by_id = by_id.filter(|&at| {
        path.get(at..)
            .is_some_and(|below| below.starts_with(b"uuid/"))
    });
    let at = match by_id {
        Some(at) => at,
        None => {
            let top = Place::of(path)?.top;
            let levels: Vec<&[u8]> = top.split(|&b| b == b'/').collect();
            let above = match levels.as_slice() {
                [above @ .., b"domain", hash, _] if hash.len() == 1 => above.join(&b'/').len(),
                [above @ .., b"domain", _] => above.join(&b'/').len(),
                _ => top.len(),
            };
            if above == 0 { 0 } else { above + 1 }
        }
    };
    Some((path.get(..at.saturating_sub(1))?, path.get(at..)?))
}

/// The directories beside the spool of a folder's directory in which the rest of the folder may be.
pub fn elsewhere(root: &Root, folder: &[u8]) -> Result<Vec<Vec<u8>>> {
    let Some((spool, below)) = split(folder).filter(|(spool, _)| !spool.is_empty()) else {
        return Ok(Vec::new());
    };
    let (above, own) = match spool.iter().rposition(|&b| b == b'/') {
        Some(at) => spool.split_at(at + 1),
        None => (b"".as_slice(), spool),
    };
    let above = above.strip_suffix(b"/").unwrap_or(above);
    let owner = root.stat(folder)?.uid;
    let mut found = Vec::new();
    let listing = root.list(above)?;
    let beside = listing
        .iter()
        .filter(|e| e.kind == FileKind::Directory && e.name != own);
    for entry in beside.take(MOST_PARTITIONS) {
        let path = join(&join(above, entry.name), below);
        let stat = match root.stat(&path) {
            Ok(stat) => stat,
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => continue,
            Err(e) if bounds::is_of_one(&e) => continue,
            Err(e) => return Err(e),
        };
        if stat.kind == FileKind::Directory && stat.uid == owner && !is_shown_by(&root.list(&path)?)
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// The mailboxes of a spool by ids; `None` if a directory with these names is none.
pub fn mailboxes(root: &Root, path: &[u8], names: &Listing) -> Result<Option<SpoolMailboxes>> {
    let mut directories = names.iter().filter(|e| e.kind == FileKind::Directory);
    if !directories.any(|e| e.name == BY_ID) {
        return Ok(None);
    }
    let mut spool = Spool::default();
    let top = join(path, BY_ID);
    for first in single_letters(&root.list(&top)?) {
        let first = join(&top, &first);
        let second = spool.list(root, &first)?;
        for second in second.iter().flat_map(single_letters) {
            let second = join(&first, &second);
            let Some(ids) = spool.list(root, &second)? else {
                continue;
            };
            for id in ids.iter().filter(|e| e.kind == FileKind::Directory) {
                spool.add(root, join(&second, id.name))?;
            }
        }
    }
    if spool.count == 0 {
        return Ok(None);
    }
    let mut found = SpoolMailboxes {
        except: BY_ID.to_vec(),
        mailboxes: Vec::new(),
        unread: spool.unread,
    };
    for ((domain, user), mut folders) in spool.folders {
        folders.sort();
        // A folder that is older than the ids may be by its name still.
        let inbox = folders
            .iter()
            .position(|(levels, _)| levels.is_empty())
            .map(|at| folders.remove(at).1);
        let inbox = match inbox {
            Some(inbox) => Some(inbox),
            None => by_name(root, path, &user, domain.as_deref())?,
        };
        let mut parts: Vec<Vec<u8>> = folders.into_iter().map(|(_, path)| path).collect();
        parts.sort();
        let path = match inbox {
            Some(inbox) => inbox,
            None if parts.is_empty() => continue,
            None => parts.remove(0),
        };
        found.mailboxes.push(SpoolMailbox {
            path,
            user,
            domain,
            parts,
        });
    }
    Ok(Some(found))
}

/// The directory of a user's INBOX in a spool by names, if it is there.
fn by_name(root: &Root, spool: &[u8], user: &str, domain: Option<&str>) -> Result<Option<Vec<u8>>> {
    let first = |text: &str| text.chars().next().unwrap_or('a').to_ascii_lowercase();
    let mut tops = vec![spool.to_vec()];
    if let Some(domain) = domain {
        let hashed = format!("domain/{}/{domain}", first(domain));
        tops = [hashed, format!("domain/{domain}")]
            .map(|below| join(spool, below.as_bytes()))
            .to_vec();
    }
    let user = String::from_utf8(folder_name::encode(user)).unwrap_or_default();
    let user = user.replace('.', "^");
    for top in tops {
        for below in [
            format!("user/{user}"),
            format!("{}/user/{user}", first(&user)),
        ] {
            let path = join(&top, below.as_bytes());
            match root.list(&path) {
                Ok(names) if is_shown_by(&names) => return Ok(Some(path)),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => {}
                Err(e) if bounds::is_of_one(&e) => return Ok(Some(path)),
                Err(e) => return Err(e),
            }
        }
    }
    Ok(None)
}

/// The directories that are called by a single letter.
fn single_letters(names: &Listing) -> Vec<Vec<u8>> {
    let directories = names.iter().filter(|e| e.kind == FileKind::Directory);
    let single = directories.filter(|e| e.name.len() == 1);
    single.map(|e| e.name.to_vec()).collect()
}

/// Whether a directory is a folder's by its id.
pub fn is_by_id(directory: &[u8]) -> bool {
    let mut levels = directory.rsplit(|&b| b == b'/').skip(1);
    let letters = levels.by_ref().take(2).all(|level| level.len() == 1);
    letters && levels.next() == Some(BY_ID)
}

/// Whether a header says that it is this folder's, `folder` being its directory below that of the mailbox.
pub fn is_of(header: &header::Header, mailbox: &[u8], folder: &[u8], directory: &[u8]) -> bool {
    if is_by_id(directory) {
        return header.id.is_some() && header.id.as_deref() == last_level(directory);
    }
    let Some(name) = header.name.as_deref().and_then(Name::parse) else {
        return false;
    };
    let levels = folder.split(|&b| b == b'/').map(level);
    let levels: Vec<String> = levels.filter(|level| !level.is_empty()).collect();
    (name.user, name.domain) == whose(mailbox) && name.levels == levels
}

/// The folder that a directory by its id is, as its header says; `None` if it has been deleted.
///
/// A header that is damaged must give nobody's folder to somebody else: it must be of this id, and what it calls a user's must
/// either be as the index knows it or admit that user. The server replaces the header first and has the index follow, so
/// that a header which the index does not know is mostly a newer one.
///
/// # Errors
/// [`Kind::NotFound`] if there is no header; [`Kind::Unreadable`] also if it may be damaged.
pub fn name_of(root: &Root, directory: &[u8]) -> Result<Option<Name>> {
    let file = root.open(&join(directory, HEADER))?;
    let size = file.stat().size.min(LONGEST_HEADER);
    let mut bytes = vec![0; size as usize];
    let len = file.read_at(&mut bytes, 0)?;
    bytes.truncate(len);
    let unreadable = |what: &str| {
        let message = format!("{}: {what}", file.name());
        Error::new(Kind::Unreadable, message)
    };
    let header = header::parse(&bytes).unwrap_or_default();
    let (Some(name), true) = (&header.name, header.id.as_deref() == last_level(directory)) else {
        return Err(unreadable("does not say which folder it is of"));
    };
    let name = Name::parse(name);
    let is_fine = |name: &Name| name.is_shared || name.admits_its_user(&header);
    if name.as_ref().is_none_or(is_fine) {
        return Ok(name);
    }
    let beside = root.open(&join(directory, INDEX));
    match beside.and_then(|index| index::beside(&index)) {
        Ok(Some(sum)) if sum == crc32fast::hash(&bytes) => Ok(name),
        Err(e) if e.kind() != Kind::NotFound && !bounds::is_of_one(&e) => Err(e),
        _ => Err(unreadable(
            "is not known to be sound: the index beside it does not vouch for it, and it does not admit the user whose folder it \
             says it is; it may be somebody else's",
        )),
    }
}

fn last_level(path: &[u8]) -> Option<&[u8]> {
    path.rsplit(|&b| b == b'/').next()
}

/// The domain and user of a mailbox.
type Whose = (Option<String>, String);

/// The levels of a folder's name, and its directory.
type Directory = (Vec<String>, Vec<u8>);

/// The directories of each mailbox of a spool.
#[derive(Default)]
struct Spool {
    folders: BTreeMap<Whose, Vec<Directory>>,
    count: usize,
    unread: Vec<Error>,
}

impl Spool {
    fn list(&mut self, root: &Root, path: &[u8]) -> Result<Option<Listing>> {
        match root.list(path) {
            Ok(listing) => Ok(Some(listing)),
            Err(e) if bounds::is_of_one(&e) => {
                self.unread.push(e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn add(&mut self, root: &Root, directory: Vec<u8>) -> Result<()> {
        self.count += 1;
        if self.count > MOST_FOLDERS {
            let message = "a spool with more than 4 million folders";
            return Err(Error::new(Kind::Unreadable, message));
        }
        match name_of(root, &directory) {
            Ok(Some(name)) => {
                let key = (name.domain, name.user);
                let folder = (name.levels, directory);
                self.folders.entry(key).or_default().push(folder);
            }
            Ok(None) => {}
            Err(e) if e.kind() == Kind::NotFound => {
                // What is archived of a folder elsewhere has no index either.
                match root.stat(&join(&directory, INDEX)) {
                    Err(e) if e.kind() == Kind::NotFound => {}
                    _ => self
                        .unread
                        .push(e.context("a folder of Cyrus's without a header")),
                }
            }
            Err(e) if bounds::is_of_one(&e) => self.unread.push(e),
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Option<(String, Option<String>, String)> {
        let name = Name::parse(text.as_bytes())?;
        Some((name.user, name.domain, name.levels.join("/")))
    }

    #[test]
    fn internal_names() {
        let ann = |levels: &str| Some(("ann".to_owned(), None, levels.to_owned()));
        assert_eq!(name("user.ann"), ann(""));
        assert_eq!(name("user.ann.v1^2 &- x.M&AOQ-rz"), ann("v1.2 & x/März"));
        let domain = Some("a.example".to_owned());
        let wanted = ("j.doe".to_owned(), domain, "Sent".to_owned());
        assert_eq!(name("a.example!user.j^doe.Sent"), Some(wanted));
        let shared = ("lists (shared)".to_owned(), None, "all".to_owned());
        assert_eq!(name("lists.all"), Some(shared));
        assert_eq!(name("DELETED.user.ann.Trash.6B02AD60"), None);
        assert_eq!(name("user"), None);
    }

    #[test]
    fn paths() {
        let whose = |path: &str| {
            let (user, domain) = whose(path.as_bytes());
            format!("{user}@{}", domain.unwrap_or_default())
        };
        assert_eq!(whose("mail/user/ann"), "ann@");
        assert_eq!(whose("mail/j/user/j^doe"), "j.doe@");
        assert_eq!(
            whose("mail/domain/a/a.example/j/user/j^doe"),
            "j.doe@a.example"
        );
        assert_eq!(whose("mail/domain/a.example/user/ann"), "ann@a.example");
        assert_eq!(whose("mail/lists"), "lists (shared)@");
        let split = |path: &'static str| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            split(path.as_bytes()).map(|(spool, below)| (text(spool), text(below)))
        };
        let wanted = |spool: &str, below: &str| Some((spool.to_owned(), below.to_owned()));
        for below in [
            "uuid/a/b/abcd",
            "user/ann",
            "j/user/j^doe/Sent",
            "domain/a/a.example/j/user/j^doe",
            "domain/a.example/user/ann",
        ] {
            let path: &'static str = format!("spool/mail/{below}").leak();
            assert_eq!(split(path), wanted("spool/mail", below), "{path}");
            assert_eq!(split(below.to_owned().leak()), wanted("", below), "{below}");
        }
        assert_eq!(split("mail/lists/all"), None);
    }

    proptest! {
        #[test]
        fn any_path(path in "(user|uuid|domain|a|ab|/|\\.|\\^|!){0,12}") {
            let _ = (whose(path.as_bytes()), split(path.as_bytes()), Name::parse(path.as_bytes()));
        }
    }
}
