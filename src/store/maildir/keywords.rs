//! Keywords: which letter in the names of a folder's messages is which (`dovecot-keywords`), in the folder or where the server
//! keeps its control files (`CONTROL=`).

use super::is_folder;
use crate::disk::Root;
use crate::error::{Kind, Result};
use crate::store::bounds::is_of_one;
use crate::store::{beside, join};
use crate::time::Time;

/// A folder has 26 keywords with letters at most; a longer file is none of Dovecot's.
const LARGEST: u64 = 64 << 10;

/// What INBOX's directory is called in one of control files; the last is that one itself.
pub const INBOX_CONTROLS: [&[u8]; 3] = [b".INBOX", b"INBOX", b""];

/// The file of keywords of a folder.
pub(super) fn letters(root: &Root, mailbox: &[u8], folder: &[u8]) -> Result<Option<Vec<u8>>> {
    let own = letters_in(root, &join(mailbox, folder))?;
    if own.is_some() {
        return Ok(own);
    }
    for control in controls_beside(root, mailbox, folder)? {
        let letters = letters_in(root, &control)?;
        if letters.is_some() {
            return Ok(letters);
        }
    }
    Ok(None)
}

/// The directories beside a mailbox that may have a folder's control files, relative to the root; what has messages is a
/// mailbox of its own.
fn controls_beside(root: &Root, mailbox: &[u8], folder: &[u8]) -> Result<Vec<Vec<u8>>> {
    let names: &[&[u8]] = match folder {
        b"" => &INBOX_CONTROLS,
        folder => &[folder],
    };
    let mut found = Vec::new();
    for control in beside::directories(root, mailbox)? {
        for name in names {
            let path = join(&control, name);
            match root.dir(&path).and_then(|dir| is_folder(&dir)) {
                Ok(false) => found.push(path),
                Ok(true) => {}
                Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => {}
                Err(e) if is_of_one(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(found)
}

/// The file of keywords in a directory.
fn letters_in(root: &Root, directory: &[u8]) -> Result<Option<Vec<u8>>> {
    let file = match root.open(&join(directory, b"dovecot-keywords")) {
        Ok(file) if file.stat().size <= LARGEST => file,
        Ok(file) => {
            let what = "dovecot-keywords is too long for a file of keywords: not shown";
            root.warn(directory, file.stat().mtime, what);
            return Ok(None);
        }
        Err(e) if e.kind() == Kind::NotFound => return Ok(None),
        Err(e) if is_of_one(&e) => {
            let what = format_args!("keywords cannot be read: {e}");
            root.warn(directory, Time::default(), what);
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let mut letters = vec![0; usize::try_from(file.stat().size).unwrap_or(0)];
    let len = file.read_at(&mut letters, 0)?;
    letters.truncate(len);
    Ok(Some(letters))
}
