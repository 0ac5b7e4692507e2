//! The names of a folder's messages: each made of the message alone, longer where two would clash.

use super::Known;
use super::rows::{BodyForm, Rows, Shown};
use crate::error::{Error, Kind, Result};
use crate::store::Messages;
use crate::view::content::Encoding;
use crate::view::{Names, View, name};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

impl View {
    /// Gives every message its name. `None` if a name that was kept clashes now: what it was made of is not kept with it.
    pub(super) fn name_all(
        &self,
        messages: &Messages,
        known: &[Known],
        before: &Rows,
        taken: &HashSet<String>,
    ) -> Option<(Vec<Shown>, String)> {
        let kept = |position: usize| match known.get(position) {
            Some(Known::Same(at)) => before.shown.get(*at).map(|shown| before.name(shown)),
            _ => None,
        };
        let mut names: Vec<Cow<'_, str>> = (0..messages.len())
            .map(|position| match kept(position) {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(self.label(messages, known, position, name::ID_CHARS)),
            })
            .collect();
        // All that clash get a longer id, until none does.
        for id_len in (2..=6).map(|n| n * name::ID_CHARS) {
            let is_new = |at: usize| !matches!(known.get(at), Some(Known::Same(_)));
            let clashing = clashes(&names, &is_new, taken, self.names);
            if clashing.is_empty() {
                break;
            }
            for position in clashing {
                if matches!(known.get(position), Some(Known::Same(_))) {
                    return None;
                }
                if let Some(name) = names.get_mut(position) {
                    *name = Cow::Owned(self.label(messages, known, position, id_len));
                }
            }
        }
        let mut all = String::with_capacity(names.iter().map(|name| name.len()).sum());
        let mut shown = Vec::with_capacity(names.len());
        for ((name, message), known) in names.iter().zip(messages.iter()).zip(known) {
            let (encoding, size, body) = match known {
                Known::Learned(learned) => {
                    let body = learned.facts.body.as_ref();
                    let body = BodyForm::of(body.filter(|body| body.stored == learned.size));
                    (learned.encoding, learned.size, body)
                }
                Known::Same(at) => match before.shown.get(*at) {
                    Some(shown) => (shown.encoding, shown.size, shown.body),
                    None => (Encoding::Unread, message.size, BodyForm::Unknown),
                },
                Known::Unread => (Encoding::Unread, message.size, BodyForm::Unknown),
            };
            shown.push(Shown {
                name: all.len() as u32,
                name_len: name.len() as u16,
                encoding,
                body,
                size,
            });
            all.push_str(name);
        }
        Some((shown, all))
    }

    /// The same where nothing was kept.
    pub(super) fn name_alone(
        &self,
        messages: &Messages,
        known: &[Known],
        taken: &HashSet<String>,
    ) -> Result<(Vec<Shown>, String)> {
        let named = self.name_all(messages, known, &Rows::default(), taken);
        named.ok_or_else(|| Error::new(Kind::Unreadable, "names that can't be told apart"))
    }

    /// The name of a message with an ID of so many characters.
    fn label(
        &self,
        messages: &Messages,
        known: &[Known],
        position: usize,
        id_len: usize,
    ) -> String {
        let Some(message) = messages.get(position) else {
            return String::new();
        };
        if self.names == Names::Unique {
            return match id_len {
                name::ID_CHARS => name::store_name(messages.store_name(message)),
                _ => name::store_name_with_id(&messages.identity(message), id_len),
            };
        }
        let local = self.zone.local(message.received.secs);
        let id = name::id(&messages.identity(message), id_len);
        match known.get(position) {
            Some(Known::Learned(learned)) => {
                name::message_name(local, &learned.facts.sender, &learned.facts.subject, &id)
            }
            _ => name::message_name(local, "", "cannot be read", &id),
        }
    }
}

/// Positions of names that equal another or one that is taken, ignoring case. No two clash that are both not new.
fn clashes(
    names: &[Cow<'_, str>],
    is_new: &dyn Fn(usize) -> bool,
    taken: &HashSet<String>,
    kind: Names,
) -> Vec<usize> {
    if kind == Names::Readable
        && ids_differ(names, is_new)
        && !taken.iter().any(|name| name.ends_with(".eml"))
    {
        return Vec::new();
    }
    let mut first: HashMap<String, usize> = HashMap::with_capacity(names.len());
    let mut clashing = HashSet::new();
    for (position, name) in names.iter().enumerate() {
        let folded = name::fold(name);
        if taken.contains(&folded) {
            clashing.insert(position);
        }
        if let Some(&other) = first.get(&folded) {
            clashing.extend([other, position]);
        } else {
            first.insert(folded, position);
        }
    }
    clashing.into_iter().collect()
}

/// Whether all names have an ID in them, and each new one another than all others: then no two are the same.
fn ids_differ(names: &[Cow<'_, str>], is_new: &dyn Fn(usize) -> bool) -> bool {
    let mut new = HashSet::new();
    for (_, name) in names.iter().enumerate().filter(|(at, _)| is_new(*at)) {
        if name::id_in(name).is_none_or(|id| !new.insert(id)) {
            return false;
        }
    }
    let mut old = names.iter().enumerate().filter(|(at, _)| !is_new(*at));
    old.all(|(_, name)| name::id_in(name).is_some_and(|id| !new.contains(id)))
}
