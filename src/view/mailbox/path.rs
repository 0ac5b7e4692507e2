//! Whose a mailbox is, as far as its path says.

use crate::store::beside::{STORE_NAMES, home};

/// What a mailbox that was recognised by content is called: its directory's name, or the name above a `Maildir`; and
/// the nearest directory above that looks like a domain.
pub(super) fn whose(path: &[u8]) -> (String, Option<String>) {
    let all = levels(path);
    let is_store = |level: &String| STORE_NAMES.contains(&level.as_str());
    let end = all.iter().rposition(|level| !is_store(level));
    user_at(all.get(..end.map_or(0, |end| end + 1)).unwrap_or_default())
}

/// The directory of the user whose mailbox is at a path: the home, where there is one.
pub(super) fn user_of(mailbox: &[u8]) -> &[u8] {
    home(mailbox).unwrap_or(mailbox)
}

/// The directory in which something is.
pub(super) fn above(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|&b| b == b'/') {
        Some(end) => path.get(..end),
        None => (!path.is_empty()).then_some(b""),
    }
}

/// The names in a path.
pub(super) fn levels(path: &[u8]) -> Vec<String> {
    path.split(|&b| b == b'/')
        .map(|level| String::from_utf8_lossy(level).into_owned())
        .filter(|level| !level.is_empty())
        .collect()
}

/// The user whose directory is at the end of these levels.
pub(super) fn user_at(levels: &[String]) -> (String, Option<String>) {
    match levels.split_last() {
        None => ("mailbox".into(), None),
        Some((user, _)) if user.contains('@') => split_address(user.clone(), None),
        Some((user, above)) => {
            let mut above = above.iter().rev();
            let domain = above.find(|level| looks_like_domain(level));
            (user.clone(), domain.cloned())
        }
    }
}

pub(super) fn looks_like_domain(level: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.chars()
                .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    level.contains('.') && level.split('.').all(label)
}

/// `user@domain` in one level is both.
pub(super) fn split_address(user: String, domain: Option<String>) -> (String, Option<String>) {
    match (domain, user.rsplit_once('@')) {
        (None, Some((local, domain))) if !local.is_empty() && !domain.is_empty() => {
            (local.to_owned(), Some(domain.to_owned()))
        }
        (domain, _) => (user, domain),
    }
}

/// The path of what a directory has under a name.
pub(super) fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}
