//! A TOML document read key by key, so that every mistake is found and told with its line.
//!
//! A [`Section`] is one table. Each of its getters gives the value if it is there and right; what is wrong goes to
//! the [`Mistakes`], and the caller goes on with the default.

use super::value::absolute_path;
use crate::error::Result;
use std::cell::RefCell;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Every key there is, by table; the top level is the table without a name.
const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "mountpoint",
            "timezone",
            "granularity",
            "keep_days",
            "refresh",
            "names",
            "language",
            "hide_unreadable",
            "sandbox",
            "push",
            "about",
            "source",
            "access",
            "mbox",
            "index",
            "metrics",
            "portal",
            "restore",
        ],
    ),
    ("about", &["template"]),
    (
        "source",
        &[
            "snapshots",
            "name",
            "mailboxes",
            "mailbox_name",
            "format",
            "live",
            "mail_crypt_keys",
            "timeout",
        ],
    ),
    ("access", &["owner", "admins", "audit", "grant"]),
    ("access.grant", &["mailboxes", "to"]),
    ("mbox", &["flags", "listed"]),
    ("index", &["path", "warm", "bodies"]),
    ("metrics", &["listen"]),
    (
        "restore",
        &["method", "imap", "master_user", "password_file", "ca_file"],
    ),
    (
        "portal",
        &[
            "listen",
            "auth",
            "admins",
            "smtp",
            "from",
            "url",
            "cost",
            "ca_file",
            "smtp_user",
            "smtp_password_file",
            "metrics",
            "keep_requests",
            "path",
            "templates",
        ],
    ),
];

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub file: PathBuf,
    /// Counted from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong with which key, and what to write instead.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.message)
    }
}

/// What is wrong so far, by place in the text.
pub(super) struct Mistakes {
    line_starts: Vec<usize>,
    found: RefCell<Vec<(usize, String)>>,
}

impl Mistakes {
    pub(super) fn new(text: &[u8]) -> Self {
        let after_newlines = memchr::memchr_iter(b'\n', text).map(|at| at + 1);
        Self {
            line_starts: std::iter::once(0).chain(after_newlines).collect(),
            found: RefCell::default(),
        }
    }

    /// The number, from 1, of the line of a byte.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub(super) fn add(&self, offset: usize, message: String) {
        self.found
            .borrow_mut()
            .push((self.line(offset).max(1), message));
    }

    /// The lines that have one so far.
    pub(super) fn lines(&self) -> Vec<usize> {
        self.found.borrow().iter().map(|(line, _)| *line).collect()
    }

    /// All of them, in the order of their lines; of the `broken` lines only the first, as what else they say
    /// follows from that one.
    pub(super) fn finish(self, file: &Path, broken: &[usize]) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(line, _)| *line);
        found.dedup_by(|next, first| next.0 == first.0 && broken.contains(&next.0));
        let mistake = |(line, message)| Mistake {
            file: file.to_owned(),
            line,
            message,
        };
        found.into_iter().map(mistake).collect()
    }
}

/// Where values stand, so that what turns out to be wrong later is told with its line, too.
#[derive(Clone, Debug, Default)]
pub struct Lines(Vec<Line>);

#[derive(Clone, Debug)]
struct Line {
    /// With its tables before it.
    key: String,
    /// The value, or an item of it, if that is a string.
    text: String,
    number: usize,
}

impl Lines {
    pub(super) fn of(table: &DeTable<'_>, mistakes: &Mistakes) -> Self {
        let mut lines = Self::default();
        lines.take("", table, mistakes);
        lines
    }

    fn take(&mut self, within: &str, table: &DeTable<'_>, mistakes: &Mistakes) {
        for (name, value) in table {
            let key = format!("{within}{}", name.get_ref());
            if let Some(table) = value.get_ref().as_table() {
                self.0.push(Line {
                    key: key.clone(),
                    text: String::new(),
                    number: mistakes.line(value.span().start),
                });
                self.take(&format!("{key}."), table, mistakes);
                continue;
            }
            let items = value.get_ref().as_array().into_iter();
            for value in std::iter::once(value).chain(items.flat_map(|items| items.iter())) {
                self.0.push(Line {
                    key: key.clone(),
                    text: value.get_ref().as_str().unwrap_or_default().to_owned(),
                    number: mistakes.line(value.span().start),
                });
            }
        }
    }

    /// That of the value which a message is about: the message begins with its key, and names the item of a list. Of a key
    /// that is not there, that of its table.
    pub(super) fn about(&self, message: &str) -> Option<usize> {
        let (key, why) = message.split_once(": ")?;
        let of = |key: &str| {
            let named = |line: &&Line| line.key == key && why.contains(&line.text);
            let lines = self.0.iter().filter(named);
            lines
                .max_by_key(|line| line.text.len())
                .map(|line| line.number)
        };
        of(key).or_else(|| of(key.rsplit_once('.')?.0))
    }

    /// Whether nothing of the file could be made out.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A table of the document.
pub(super) struct Section<'a> {
    name: &'static str,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    mistakes: &'a Mistakes,
}

impl<'a> Section<'a> {
    pub(super) fn top(table: &'a Spanned<DeTable<'a>>, mistakes: &'a Mistakes) -> Self {
        let section = Self {
            name: "",
            table: table.get_ref(),
            span: table.span(),
            mistakes,
        };
        section.refuse_unknown_keys();
        section
    }

    /// Says what is wrong with a key's value.
    fn wrong(&self, key: &str, at: &Range<usize>, why: impl fmt::Display) {
        let dot = if self.name.is_empty() { "" } else { "." };
        let message = format!("{}{dot}{key}: {why}", self.name);
        self.mistakes.add(at.start, message);
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    /// A value of one type, picked out of the document by `pick`.
    fn typed<T>(
        &self,
        key: &str,
        wanted: &str,
        example: &str,
        pick: impl Fn(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<(T, Range<usize>)> {
        let value = self.get(key)?;
        let picked = pick(value.get_ref());
        if picked.is_none() {
            let is = value.get_ref().type_str();
            let why = format!(
                "this is {} {is}, not {wanted}: write {key} = {example}",
                article(is)
            );
            self.wrong(key, &value.span(), why);
        }
        Some((picked?, value.span()))
    }

    /// A string, made into what it means.
    pub(super) fn string<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Option<T> {
        let (text, span) = self.typed(key, "a string", example, DeValue::as_str)?;
        parse(text).map_err(|e| self.wrong(key, &span, e)).ok()
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", "true", DeValue::as_bool)
            .map(|(value, _)| value)
    }

    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let example = "15";
        let (integer, span) = self.typed(key, "a number", example, DeValue::as_integer)?;
        let value = i64::from_str_radix(integer.as_str(), integer.radix());
        let value = value.ok().and_then(|n| u32::try_from(n).ok());
        let value = value.filter(|n| range.contains(n));
        if value.is_none() {
            let why = format!(
                "{} is out of range: write a number from {} to {}",
                integer.as_str(),
                range.start(),
                range.end()
            );
            self.wrong(key, &span, why);
        }
        value
    }

    /// A list of strings, each made into what it means.
    pub(super) fn list<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Option<Vec<T>> {
        let (values, all_right) = self.items(key, example, parse)?;
        all_right.then_some(values)
    }

    /// The same of paths: those that are right, whatever others are, so that it is seen whether they are there.
    pub(super) fn paths(&self, key: &str, example: &str) -> Vec<PathBuf> {
        let found = self.items(key, example, absolute_path);
        found.map(|(paths, _)| paths).unwrap_or_default()
    }

    /// The items that are right, and whether all are.
    fn items<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Option<(Vec<T>, bool)> {
        let (items, _) = self.typed(key, "a list", example, DeValue::as_array)?;
        let mut values = Vec::new();
        let mut all_right = true;
        for item in items.iter() {
            let Some(text) = item.get_ref().as_str() else {
                let is = item.get_ref().type_str();
                let why = format!("its items are strings, not {is}s: write {key} = {example}");
                self.wrong(key, &item.span(), why);
                all_right = false;
                continue;
            };
            match parse(text) {
                Ok(value) => values.push(value),
                Err(e) => {
                    self.wrong(key, &item.span(), e);
                    all_right = false;
                }
            }
        }
        Some((values, all_right))
    }

    /// Says what is wrong with a list that has no items.
    pub(super) fn refuse_empty(&self, key: &str, why: impl fmt::Display) {
        let items = self.get(key).and_then(|value| value.get_ref().as_array());
        if items.is_some_and(|items| items.is_empty()) {
            self.refuse(key, format!("is empty{why}"));
        }
    }

    /// A list of strings, or one string that stands for a list of one.
    pub(super) fn string_or_list<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Option<Vec<T>> {
        if self.get(key)?.get_ref().is_array() {
            self.list(key, example, parse)
        } else {
            self.string(key, example, parse).map(|value| vec![value])
        }
    }

    /// Says that a key is missing, unless it is there.
    pub(super) fn require(&self, key: &str, example: &str) {
        if self.get(key).is_none() {
            let why = format!("missing: write {key} = {example}");
            self.wrong(key, &self.span, why);
        }
    }

    /// Says that a key is missing that goes with another one, if that is there and it is not.
    pub(super) fn require_beside(&self, key: &str, other: &str, example: &str) {
        if let (None, Some(value)) = (self.get(key), self.get(other)) {
            let why = format!(
                "missing beside {other}: write {key} = {example} under {}",
                place(self.name)
            );
            self.wrong(key, &value.span(), why);
        }
    }

    /// Whether a key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Says what is wrong with a key that is there.
    pub(super) fn refuse(&self, key: &str, why: impl fmt::Display) {
        if let Some(value) = self.get(key) {
            self.wrong(key, &value.span(), why);
        }
    }

    /// A table below this one; `name` is its whole name.
    pub(super) fn table(&self, name: &'static str) -> Option<Section<'a>> {
        let key = last_part(name);
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(self.below(name, table, value.span())),
            None => {
                let is = value.get_ref().type_str();
                let why = format!(
                    "this is {} {is}, not a table: write [{name}] on a line of its own",
                    article(is)
                );
                self.wrong(key, &value.span(), why);
                None
            }
        }
    }

    /// The tables `[[name]]` below this one.
    pub(super) fn tables(&self, name: &'static str) -> Vec<Section<'a>> {
        let key = last_part(name);
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        let mut all_tables = value.get_ref().is_array();
        for item in value
            .get_ref()
            .as_array()
            .into_iter()
            .flat_map(|a| a.iter())
        {
            match item.get_ref().as_table() {
                Some(table) => sections.push(self.below(name, table, item.span())),
                None => all_tables = false,
            }
        }
        if !all_tables {
            let why = format!("there may be several of these: write [[{name}]], with two brackets");
            self.wrong(key, &value.span(), why);
        }
        sections
    }

    fn below(&self, name: &'static str, table: &'a DeTable<'a>, span: Range<usize>) -> Section<'a> {
        let section = Section {
            name,
            table,
            span,
            mistakes: self.mistakes,
        };
        section.refuse_unknown_keys();
        section
    }

    fn refuse_unknown_keys(&self) {
        let known = KEYS
            .iter()
            .find(|(name, _)| *name == self.name)
            .map_or(&[][..], |(_, keys)| keys);
        for (key, _) in self.table {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if !known.contains(&name) {
                let message = format!(
                    "unknown key {name:?} in {}: {}",
                    place(self.name),
                    cure(name, self.name, known)
                );
                self.mistakes.add(at, message);
            }
        }
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// A table as people see it.
fn place(name: &str) -> String {
    match name {
        "" => "the top level".to_owned(),
        "access.grant" => format!("[[{name}]]"),
        _ => format!("[{name}]"),
    }
}

/// What to do about an unknown key.
fn cure(key: &str, section: &str, known: &[&str]) -> String {
    let elsewhere = KEYS
        .iter()
        .find(|(name, keys)| *name != section && keys.contains(&key));
    match elsewhere {
        Some(("", _)) => return "move it to the top, above the first [table]".to_owned(),
        Some((name, _)) => return format!("move it to {}", place(name)),
        None => {}
    }
    let near = known
        .iter()
        .map(|candidate| (distance(key, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min();
    match near {
        Some((_, candidate)) => format!("did you mean \"{candidate}\"?"),
        None => format!("remove it; the keys there are {}", known.join(", ")),
    }
}

/// Insertions, deletions and replacements of characters that make one word of the other; of very long words, only
/// the beginning counts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("granularty", "granularity"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn lines() {
        let mistakes = Mistakes::new(b"one\ntwo\n\nfour");
        let lines = [0, 3, 4, 8, 9, 12, 99].map(|offset| mistakes.line(offset));
        assert_eq!(lines, [1, 1, 2, 3, 4, 4, 4]);
    }
}
