//! The state of mailboxes as a snapshot on disk: Maildir++, where what did not change is a hard link to the day
//! before.

use super::compose::base64;
use super::mailbox::{Folder, INBOX, Mailbox, Message};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, FileTimes};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where each message's file was written last, by base name.
pub(super) type Placed = HashMap<String, PathBuf>;

const KEYWORDS: &str = "0 $Forwarded\n1 urgent\n";

/// Writes a snapshot taken at `taken` (seconds since 1970) as the directory `root`.
pub(super) fn write(
    root: &Path,
    mailboxes: &[Mailbox],
    taken: i64,
    placed: &mut Placed,
) -> io::Result<()> {
    for mailbox in mailboxes {
        let (user, domain) = mailbox.account.user_and_domain();
        let domain = root.join(domain);
        fs::create_dir_all(&domain)?;
        let maildir = domain.join(user).join("Maildir");
        for (name, folder) in &mailbox.folders {
            let dir = match name.as_str() {
                INBOX => maildir.clone(),
                _ => maildir.join(directory(name)),
            };
            write_folder(&dir, folder, name == INBOX, placed)?;
        }
    }
    set_time(root, taken)
}

fn private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn write_folder(dir: &Path, folder: &Folder, inbox: bool, placed: &mut Placed) -> io::Result<()> {
    for part in ["cur", "new", "tmp"] {
        private(&dir.join(part))?;
    }
    if !inbox {
        fs::write(dir.join("maildirfolder"), "")?;
    }
    fs::write(dir.join("dovecot-keywords"), KEYWORDS)?;
    for message in &folder.messages {
        let path = dir.join(file_name(message));
        match placed.get(&message.base) {
            Some(before) => fs::hard_link(before, &path)?,
            None => {
                fs::write(&path, &message.content)?;
                set_time(&path, message.received)?;
            }
        }
        placed.insert(message.base.clone(), path);
    }
    for part in ["cur", "new", "tmp"] {
        set_time(&dir.join(part), folder.changed)?;
    }
    Ok(())
}

/// A message's path in its folder.
fn file_name(message: &Message) -> String {
    if message.fresh {
        return format!("new/{}", message.base);
    }
    let flags: String = message.flags.iter().collect();
    format!("cur/{}:2,{flags}", message.base)
}

fn set_time(path: &Path, secs: i64) -> io::Result<()> {
    let secs = Duration::from_secs(secs.unsigned_abs());
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + secs);
    File::open(path)?.set_times(times)
}

/// A folder's directory: a dot before each level, modified UTF-7.
fn directory(folder: &str) -> String {
    format!(".{}", modified_utf7(&folder.replace('/', ".")))
}

/// The encoding of mailbox names in RFC 3501: base64 of UTF-16, between `&` and `-`.
fn modified_utf7(text: &str) -> String {
    fn flush(wide: &mut Vec<u8>, into: &mut String) {
        if !wide.is_empty() {
            into.push('&');
            into.push_str(&base64(wide, false).replace('/', ","));
            into.push('-');
            wide.clear();
        }
    }
    let mut encoded = String::new();
    let mut wide = Vec::new();
    for c in text.chars() {
        if (' '..='~').contains(&c) {
            flush(&mut wide, &mut encoded);
            encoded.push(c);
            if c == '&' {
                encoded.push('-');
            }
        } else {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            wide.extend(units.iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut wide, &mut encoded);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_on_disk() {
        assert_eq!(directory("Entwürfe"), ".Entw&APw-rfe");
        assert_eq!(directory("日本語"), ".&ZeVnLIqe-");
        assert_eq!(directory("Kunden & Partner"), ".Kunden &- Partner");
        assert_eq!(directory("Archive/2025"), ".Archive.2025");
        assert_eq!(modified_utf7("😀"), "&2D3eAA-");
    }
}
