//! What a server keeps of a mailbox beside it: indexes (Dovecot's `INDEX=`) and control files (`CONTROL=`).
//!
//! They are looked for in the home directory of the mailbox alone, that is, where the mailbox's directory bears a store's
//! name (`alice/Maildir`): what is beside `example.com/alice` is another's. They must belong to the mailbox's owner, and be no
//! Maildirs: those beside `example.com/mail` are other users'.

use super::{bounds, join};
use crate::disk::{FileKind, Root};
use crate::error::{Kind, Result};

/// Directories that hold a mailbox for the directory above them, which bears its name.
pub const STORE_NAMES: [&str; 9] = [
    "Maildir", "maildir", ".maildir", ".Maildir", "Mail", "mail", "mdbox", "sdbox", "dbox",
];

/// Whether a name is one of those.
pub fn is_store_name(name: &[u8]) -> bool {
    STORE_NAMES.iter().any(|store| store.as_bytes() == name)
}

/// Directories of a home that are looked into at most.
const MOST: usize = 64;

/// The directory above one that bears a store's name.
pub fn home(mailbox: &[u8]) -> Option<&[u8]> {
    let end = mailbox.iter().rposition(|&b| b == b'/')?;
    let (home, name) = (mailbox.get(..end)?, mailbox.get(end + 1..)?);
    is_store_name(name).then_some(home)
}

/// The directories beside a mailbox in its home.
pub fn directories(root: &Root, mailbox: &[u8]) -> Result<Vec<Vec<u8>>> {
    let Some(home) = home(mailbox) else {
        return Ok(Vec::new());
    };
    let listing = match root.list(home) {
        Ok(listing) => listing,
        Err(e) if bounds::is_of_one(&e) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let owner = root.stat(mailbox)?.uid;
    let mut found = Vec::new();
    let directories = listing.iter().filter(|e| e.kind == FileKind::Directory);
    for entry in directories.take(MOST) {
        let path = join(home, entry.name);
        match root.stat(&path) {
            Ok(stat) if stat.uid == owner && path != mailbox && !is_maildir(root, &path)? => {
                found.push(path);
            }
            Ok(_) => {}
            Err(e) if bounds::is_of_one(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

fn is_maildir(root: &Root, path: &[u8]) -> Result<bool> {
    match root.stat(&join(path, b"cur")) {
        Ok(stat) => Ok(stat.kind == FileKind::Directory),
        Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => Ok(false),
        // Then nothing in it is to be had either.
        Err(e) if bounds::is_of_one(&e) => Ok(true),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_a_user_called_mail_is_another_users() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "a.example/mail/cur",
            "a.example/bob/cur",
            "a.example/control/.Sent",
        ] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let found = directories(&Root::new(dir.path()), b"a.example/mail").unwrap();
        assert_eq!(found, [b"a.example/control".to_vec()]);
    }
}
