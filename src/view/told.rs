//! What was warned of: each message and each folder once, on however many dates it is met and however often somebody tries
//! to read it.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// So many are remembered; then all are forgotten, and may be warned of again.
const MOST: usize = 1 << 16;

/// What was warned of since the start.
#[derive(Default)]
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
}
