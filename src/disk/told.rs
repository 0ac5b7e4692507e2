//! What was warned of: each thing once in each state that it is in, on however many dates it is met and however often
//! somebody looks at it.
//!
//! All snapshots of a mail store have one [`Told`]. Who reads the log learns from a warning on which date a thing was met
//! first; and is warned again when it has changed since.

use crate::time::Time;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// So many are remembered; then all are forgotten, and may be warned of again.
const MOST: usize = 1 << 16;

/// What was warned of since the start.
#[derive(Debug, Default)]
pub struct Told {
    things: Mutex<HashSet<u64>>,
}

impl Told {
    /// Whether something is to be warned of, which it is once. `mailbox` is the mailbox's path inside a snapshot, `name` the
    /// message's name in the store, or whatever else tells the thing from others.
    pub fn is_news(&self, mailbox: &[u8], name: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        (mailbox, name).hash(&mut hasher);
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        if things.len() >= MOST {
            things.clear();
        }
        things.insert(hasher.finish())
    }

    /// Warns of what is at a path below the root of a snapshot. `changed`: when that last changed, as far as it is known.
    pub(super) fn warn(&self, root: &Path, path: &[u8], changed: Time, what: impl Display) {
        let root = root.display().to_string();
        let what = what.to_string();
        // The same on another date.
        let elsewhere = what.replace(&root, "");
        let name = format!("{} {} {elsewhere}", changed.secs, changed.nanos);
        if self.is_news(path, name.as_bytes()) {
            tracing::warn!("{root}: {}: {what}", String::from_utf8_lossy(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_news_once() {
        let told = Told::default();
        assert!(told.is_news(b"a", b"1"));
        assert!(!told.is_news(b"a", b"1"));
        assert!(told.is_news(b"a", b"2"));
        assert!(told.is_news(b"b", b"1"));
        for number in 0..=MOST {
            told.is_news(b"c", &number.to_le_bytes());
        }
        assert!(told.things.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn each_state_is_told_once() {
        let told = Told::default();
        let warn = |root: &str, path: &[u8], secs, what: &str| {
            told.warn(Path::new(root), path, Time::from_secs(secs), what);
            told.things.lock().unwrap().len()
        };
        assert_eq!(warn("/s/1", b"a", 1, "/s/1/a/index: cut short"), 1);
        assert_eq!(warn("/s/2", b"a", 1, "/s/2/a/index: cut short"), 1);
        assert_eq!(warn("/s/2", b"a", 2, "/s/2/a/index: cut short"), 2);
        assert_eq!(warn("/s/2", b"b", 2, "/s/2/a/index: cut short"), 3);
        assert_eq!(warn("/s/2", b"b", 2, "/s/2/a/index: damaged"), 4);
    }
}
