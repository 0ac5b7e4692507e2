//! What is told of a folder whose index or files are damaged.

use super::index::{Index, IndexState};
use super::{Alternative, Dbox, INDEX};
use crate::disk::Dir;
use crate::error::{Error, Result};
use crate::store::join;

/// What is wrong with the index of a folder, if something is, and what comes of it. `more`: how many messages are shown that it
/// does not tell of; `all`: there can be no others.
pub fn of_index(index: &Result<Option<Index>>, more: usize, all: bool) -> Option<String> {
    let why = match index {
        Ok(Some(index)) if index.unknown_from().is_none() => return None,
        Ok(Some(_)) if more == 0 && all => return None,
        Ok(None) if more == 0 => return None,
        Ok(Some(_)) => "its index is cut short".to_owned(),
        Ok(None) => "it has no index".to_owned(),
        Err(e) => format!("its index cannot be read ({e})"),
    };
    Some(format!(
        "{why}; {more} messages that it does not tell of are shown, without flags"
    ))
}

impl Dbox<'_> {
    /// Tells, once, what is wrong with the index of a folder, which is in `dir`; and of its messages that cannot be read.
    pub(super) fn tell(
        &self,
        folder: &[u8],
        dir: &Dir<'_>,
        damage: Option<&str>,
        troubles: &[Error],
    ) {
        let path = join(self.path, folder);
        let state = IndexState::of(dir, INDEX).unwrap_or_default();
        let changed = state.changed.unwrap_or_default();
        if let Some(damage) = damage {
            self.root.warn(&path, changed, damage);
        }
        if let Some(first) = troubles.first() {
            let elsewhere = match self.alternative.get() {
                Some(Alternative::Elsewhere(target)) => format!(
                    "; its alternative storage, {}, is not in the snapshot, or not its owner's",
                    String::from_utf8_lossy(target)
                ),
                _ => String::new(),
            };
            let count = troubles.len();
            let what = format_args!(
                "{count} messages cannot be read; they are listed, and reading them is an error; the first of them: {first}{elsewhere}"
            );
            self.root.warn(&path, changed, what);
        }
    }
}
