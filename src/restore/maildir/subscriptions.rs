//! `subscriptions`: which folders of a Maildir mail programs show.
//!
//! A folder that is made here is added, for many programs show no other ones. Names are in the order of their levels,
//! each as stored: in the newer form (`V<TAB>2`, an empty line, then a name on each line) with a TAB between levels, in
//! the older one with the separator of the store's directories.
//!
//! Source of the format: Dovecot's `subscription-file.c`.

use crate::error::Result;
use crate::restore::gate::{Dir, Ownership};

pub const FILE: &[u8] = b"subscriptions";
const LOCK: &[u8] = b"subscriptions.lock";
const LARGEST: u64 = 4 << 20;
/// The first line of the newer form.
const NEWER: &[u8] = b"V\t2";

/// Adds a folder, unless the mailbox has no such file. `separator` is the one of the older form.
pub fn add(mailbox: &Dir, like: Ownership, levels: &[Vec<u8>], separator: u8) -> Result<()> {
    if !mailbox.has(FILE)? {
        return Ok(());
    }
    let mut lock = mailbox.lock(LOCK)?;
    let Some(mut bytes) = mailbox.read(FILE, LARGEST)? else {
        return Ok(());
    };
    let newer = bytes.split(|&b| b == b'\n').next() == Some(NEWER);
    let line = levels.join(&if newer { b'\t' } else { separator });
    if bytes.split(|&b| b == b'\n').any(|known| known == line) {
        return Ok(());
    }
    if bytes.last().is_some_and(|&b| b != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(&line);
    bytes.push(b'\n');
    lock.write(&bytes)?;
    lock.seal(like, None)?;
    lock.replace(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::gate::Gate;

    #[test]
    fn both_forms() {
        for (before, after) in [
            ("V\t2", "V\t2\nA\tB\n"),
            ("V\t2\n\nSent\n", "V\t2\n\nSent\nA\tB\n"),
            ("V\t2\n\nA\tB\n", "V\t2\n\nA\tB\n"),
            ("Sent", "Sent\nA.B\n"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("subscriptions");
            let gate = Gate::open(dir.path()).unwrap();
            let mailbox = gate.dir(b"").unwrap();
            let like = mailbox.ownership().unwrap();
            let levels = [b"A".to_vec(), b"B".to_vec()];
            add(&mailbox, like, &levels, b'.').unwrap();
            assert!(!file.exists());
            std::fs::write(&file, before).unwrap();
            add(&mailbox, like, &levels, b'.').unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), after);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }
}
