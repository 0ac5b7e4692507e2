//! Keywords: which letter in the names of a folder's messages is which (`dovecot-keywords`), in the folder or where the server
//! keeps its control files (`CONTROL=`). For 26 of them there are letters; what messages have of others is in Dovecot's index
//! alone.

use super::{is_folder, split};
use crate::disk::Root;
use crate::error::{Kind, Result};
use crate::store::bounds::is_of_one;
use crate::store::{beside, dbox, join};
use crate::time::Time;
use std::collections::HashMap;

/// A folder has 26 keywords with letters at most; a longer file is none of Dovecot's.
const LARGEST: u64 = 64 << 10;

/// Longest file of the numbers of messages that is read, in bytes.
const LARGEST_UIDS: u64 = 64 << 20;

/// Keywords of messages by their store names.
pub type Indexed = HashMap<Vec<u8>, Vec<Vec<u8>>>;

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

/// All keywords of a folder's messages, by their store names, as Dovecot's index has them: also those for which there is no
/// letter. Empty where there is no index.
pub fn indexed(root: &Root, mailbox: &[u8], folder: &[u8]) -> Result<Indexed> {
    let mut places = vec![join(mailbox, folder)];
    places.extend(controls_beside(root, mailbox, folder)?);
    let (mut by_uid, mut uids) = (None, None);
    for place in &places {
        if by_uid.is_none() {
            by_uid = dbox::keywords_by_uid(&root.dir(place)?)?;
        }
        if uids.is_none() {
            uids = read(root, place, b"dovecot-uidlist", LARGEST_UIDS)?;
        }
    }
    let (mut by_uid, uids) = (by_uid.unwrap_or_default(), uids.unwrap_or_default());
    let mut found = Indexed::new();
    // `<UID> <more about it> :<name>` after a line about the folder.
    for line in uids.split(|&b| b == b'\n').skip(1) {
        let uid = line.split(|&b| b == b' ').next().unwrap_or_default();
        let uid = std::str::from_utf8(uid)
            .ok()
            .and_then(|uid| uid.parse().ok());
        let name = line.windows(2).position(|w| w == b" :");
        if let Some(name) = name.and_then(|at| line.get(at + 2..))
            && let Some(keywords) = uid.and_then(|uid: u32| by_uid.remove(&uid))
        {
            let base = name.get(..split(name).0).unwrap_or(name);
            found.insert(base.to_vec(), keywords);
        }
    }
    Ok(found)
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
    read(root, directory, b"dovecot-keywords", LARGEST)
}

/// A file that says something of keywords; `None` also for one that cannot be read or is too long to be Dovecot's.
fn read(root: &Root, directory: &[u8], name: &[u8], largest: u64) -> Result<Option<Vec<u8>>> {
    let file = match root.open(&join(directory, name)) {
        Ok(file) if file.stat().size <= largest => file,
        Ok(file) => {
            let name = String::from_utf8_lossy(name);
            let what = format_args!("{name} is too long: keywords are not shown");
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
    let mut bytes = vec![0; usize::try_from(file.stat().size).unwrap_or(0)];
    let len = file.read_at(&mut bytes, 0)?;
    bytes.truncate(len);
    Ok(Some(bytes))
}
