//! `dovecot-keywords`: which letter in file names stands for which keyword, in each folder of a Maildir.
//!
//! Lines of a number, a blank and a keyword; 0 is the letter `a`. It is changed under the lock of the folder's
//! `dovecot-uidlist`, by a new file in its place, as Dovecot itself does; keywords only ever get added here.
//!
//! Source of the format: Dovecot's `maildir-keywords.c`.

use super::name::LETTERS;
use crate::error::Result;
use crate::restore::gate::{Dir, Ownership};

pub const FILE: &[u8] = b"dovecot-keywords";

/// Longest file of keywords that is read, in bytes.
pub const LARGEST: u64 = 1 << 20;

/// The lock under which Dovecot changes the keywords of a folder.
const LOCK: &[u8] = b"dovecot-uidlist.lock";

/// What is to take the place of the file, while it is written.
const NEW_FILE: &[u8] = b"dovecot-keywords.lock";

/// A folder's keywords by their numbers; a number that none has is empty.
pub fn parse(bytes: &[u8]) -> Vec<String> {
    let mut keywords = vec![String::new(); LETTERS];
    for line in bytes.split(|&b| b == b'\n') {
        let line = String::from_utf8_lossy(line);
        let Some((number, keyword)) = line.split_once(' ') else {
            continue;
        };
        if let Ok(number) = number.parse::<usize>()
            && let Some(slot) = keywords.get_mut(number)
        {
            *slot = keyword.trim_end_matches('\r').to_owned();
        }
    }
    while keywords.last().is_some_and(String::is_empty) {
        keywords.pop();
    }
    keywords
}

/// Whether a keyword can stand on a line of the file, and be an IMAP keyword at all.
fn is_keyword(keyword: &str) -> bool {
    !keyword.is_empty()
        && keyword.len() <= 255
        && keyword
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
}

/// The keywords of a live folder, which are in a directory: the folder, or that of its control files.
#[derive(Debug)]
pub struct Keywords {
    dir: Dir,
    like: Ownership,
    known: Vec<String>,
}

impl Keywords {
    pub fn read(dir: Dir, like: Ownership) -> Result<Self> {
        let bytes = dir.read(FILE, LARGEST)?.unwrap_or_default();
        Ok(Self {
            dir,
            like,
            known: parse(&bytes),
        })
    }

    fn number(&self, keyword: &str) -> Option<usize> {
        let same = |known: &String| known.eq_ignore_ascii_case(keyword);
        self.known.iter().position(same)
    }

    /// The numbers of keywords, new ones added to the folder's file; and how many there is no letter left for.
    pub fn numbers(&mut self, wanted: &[String]) -> Result<(Vec<usize>, usize)> {
        let wanted: Vec<&String> = wanted.iter().filter(|k| is_keyword(k)).collect();
        if wanted.iter().any(|k| self.number(k).is_none()) {
            self.add(&wanted)?;
        }
        let numbers: Vec<usize> = wanted.iter().filter_map(|k| self.number(k)).collect();
        let left_off = wanted.len() - numbers.len();
        Ok((numbers, left_off))
    }

    fn add(&mut self, wanted: &[&String]) -> Result<()> {
        let _lock = self.dir.lock(LOCK)?;
        let before = self.dir.read(FILE, LARGEST)?.unwrap_or_default();
        self.known = parse(&before);
        let had = self.known.len();
        for keyword in wanted {
            if self.number(keyword).is_none() && self.known.len() < LETTERS {
                self.known.push((*keyword).clone());
            }
        }
        if self.known.len() == had {
            return Ok(());
        }
        let mut bytes = before;
        if bytes.last().is_some_and(|&b| b != b'\n') {
            bytes.push(b'\n');
        }
        for (number, keyword) in self.known.iter().enumerate().skip(had) {
            bytes.extend_from_slice(format!("{number} {keyword}\n").as_bytes());
        }
        let mut file = self.dir.lock(NEW_FILE)?;
        file.write(&bytes)?;
        file.seal(self.like, None)?;
        file.replace(FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::gate::Gate;

    #[test]
    fn files_of_keywords() {
        assert_eq!(
            parse(b"0 $Label1\n2 Work\r\nx y\n99 far\n\n"),
            ["$Label1", "", "Work"]
        );
        assert!(parse(b"").is_empty());
        assert!(parse(&[0xff; 100]).is_empty());
    }

    #[test]
    fn keywords_are_added_and_never_changed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dovecot-keywords"), "0 One\n1 Two").unwrap();
        let gate = Gate::open(dir.path()).unwrap();
        let folder = gate.dir(b"").unwrap();
        let like = folder.ownership().unwrap();
        let mut keywords = Keywords::read(folder, like).unwrap();
        let wanted = ["two", "Three", "not one", ""].map(str::to_owned);
        assert_eq!(keywords.numbers(&wanted).unwrap(), (vec![1, 2], 0));
        let text = std::fs::read_to_string(dir.path().join("dovecot-keywords")).unwrap();
        assert_eq!(text, "0 One\n1 Two\n2 Three\n");
        let many: Vec<String> = (0..30).map(|n| format!("k{n}")).collect();
        let (numbers, left_off) = keywords.numbers(&many).unwrap();
        assert_eq!((numbers.len(), left_off), (23, 7));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no lock");
    }
}
