//! Which mailboxes the newest date has, and by which rule each was found.

use super::findings::{Counted, EXAMPLES, Findings, Unreadable, counted, printable_bytes};
use super::words::{list, number, things};
use crate::cli::terminal::printable;
use crate::disk::Root;
use crate::snapshot::Snapshot;
use crate::store::Format;
use crate::view::mailbox::{self, Layout, Mailbox};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

#[derive(Debug, Serialize)]
pub struct Mailboxes {
    pub date: String,
    pub count: usize,
    /// Empty: recognised by content.
    pub templates: Vec<String>,
    /// The paths of what was recognised, as templates that would find the same.
    pub shapes: Vec<Counted>,
    /// Without a domain, the name is empty.
    pub domains: Vec<Counted>,
    pub examples: Vec<String>,
    pub renamed: Vec<Renamed>,
}

/// A mailbox whose name another one had already.
#[derive(Debug, Serialize)]
pub struct Renamed {
    pub name: String,
    pub path: String,
}

/// The mailboxes of a snapshot, unless they cannot be read.
pub fn find(
    layout: &Layout,
    snapshot: &Snapshot,
    root: &Root,
    findings: &mut Findings,
) -> Option<mailbox::Mailboxes> {
    match layout.find(root) {
        Ok(found) => Some(found),
        Err(e) => {
            let date = Unreadable {
                date: snapshot.label.clone(),
                ..Unreadable::default()
            };
            findings.failed(date, &e.context("looking for mailboxes"));
            None
        }
    }
}

pub fn facts(layout: &Layout, snapshot: &Snapshot, found: &mailbox::Mailboxes) -> Mailboxes {
    let mut domains = BTreeMap::new();
    for mailbox in found.iter() {
        let domain = printable(mailbox.domain.as_deref().unwrap_or_default());
        *domains.entry(domain).or_insert(0) += 1;
    }
    let templates: Vec<String> = layout.templates.iter().map(|t| t.text().into()).collect();
    Mailboxes {
        date: snapshot.label.clone(),
        count: found.iter().len(),
        shapes: if templates.is_empty() {
            shapes(found.iter())
        } else {
            Vec::new()
        },
        templates,
        domains: counted(domains),
        examples: found
            .iter()
            .take(2 * EXAMPLES)
            .map(|m| m.name.clone())
            .collect(),
        renamed: found
            .renamed()
            .map(|m| Renamed {
                name: m.name.clone(),
                path: printable_bytes(&m.path),
            })
            .collect(),
    }
}

/// Says what is wrong with which mailboxes were found.
pub fn judge(layout: &Layout, root: &Root, found: &mailbox::Mailboxes, findings: &mut Findings) {
    let renamed: Vec<&str> = found.renamed().map(|m| m.name.as_str()).collect();
    if !renamed.is_empty() {
        findings.warn(format!(
            "{} named as another one is already, and shown with an id behind the name ({}): \
             set mailbox_name or a template under [source] that tells them apart",
            things(renamed.len() as u64, "mailbox"),
            list(renamed.iter().copied(), EXAMPLES)
        ));
    }
    for (directory, what) in found.not_shown() {
        let directory = root.path().join(OsStr::from_bytes(directory));
        let directory = printable(&directory.to_string_lossy());
        findings.warn(format!("{directory}: {}", printable(what)));
    }
    if let Some((path, what)) = found.hosted() {
        findings.warn(format!("{}: {what}", printable_bytes(path)));
    }
    if found.iter().len() > 0 {
        return;
    }
    let at = printable(&root.path().to_string_lossy());
    let without = Layout {
        templates: Vec::new(),
        name: layout.name.clone(),
        format: layout.format,
        zone: layout.zone,
    };
    // What the store looks like is no more than advice here.
    let others = match layout.templates.is_empty() {
        true => mailbox::Mailboxes::default(),
        false => without.find(root).unwrap_or_default(),
    };
    if let Some(shape) = shapes(others.iter()).first() {
        findings.warn(format!(
            "no mailbox in {at} is where mailboxes under [source] says; {} are recognised without it: \
             leave it out, or write mailboxes = \"{}\"",
            number(others.iter().len() as u64),
            shape.name
        ));
        return;
    }
    let names: Vec<String> = root.list(b"").map_or_else(
        |_| Vec::new(),
        |listing| listing.iter().map(|e| printable_bytes(e.name)).collect(),
    );
    let holds = match names.len() {
        0 => "is empty".to_owned(),
        _ => format!("holds {}", list(names.iter().map(String::as_str), EXAMPLES)),
    };
    findings.warn(format!(
        "no mailboxes found: {at} {holds}: say where they are with mailboxes under [source], such as \
         \"{{domain}}/{{user}}/Maildir\"; mail stores of these formats are read: {}",
        Format::all().map(Format::name).collect::<Vec<_>>().join(", ")
    ));
}

/// A level of a mailbox's path, as far as mailboxes of one shape share it.
#[derive(PartialEq, Eq, Hash)]
enum Level {
    Fixed(String),
    /// Something else in each mailbox, perhaps.
    Any,
}

/// The paths of mailboxes, with what names the mailbox and what differs replaced as in a template.
fn shapes<'a>(mailboxes: impl Iterator<Item = &'a Mailbox>) -> Vec<Counted> {
    let mut known: HashMap<Vec<Level>, (u64, Vec<Option<String>>)> = HashMap::new();
    for mailbox in mailboxes {
        let (shape, literals) = shape(mailbox);
        let (count, common) = known
            .entry(shape)
            .or_insert_with(|| (0, literals.iter().cloned().map(Some).collect()));
        *count += 1;
        for (common, literal) in common.iter_mut().zip(&literals) {
            if common.as_ref() != Some(literal) {
                *common = None;
            }
        }
    }
    let mut counts = BTreeMap::new();
    for (shape, (count, common)) in known {
        let levels = shape
            .into_iter()
            .zip(common)
            .map(|(level, literal)| match level {
                Level::Fixed(text) => text,
                Level::Any => literal.unwrap_or_else(|| "*".to_owned()),
            });
        let path: Vec<String> = levels.collect();
        *counts.entry(path.join("/")).or_insert(0) += count;
    }
    counted(counts)
}

fn shape(mailbox: &Mailbox) -> (Vec<Level>, Vec<String>) {
    let levels: Vec<String> = mailbox
        .path
        .split(|&b| b == b'/')
        .map(printable_bytes)
        .collect();
    let domain = mailbox.domain.as_deref();
    let address = domain.map(|domain| format!("{}@{domain}", mailbox.user));
    let last = levels.len().saturating_sub(1);
    let level = |(position, text): (usize, &String)| {
        if Some(text) == address.as_ref() {
            Level::Fixed("{user}@{domain}".into())
        } else if *text == mailbox.user {
            Level::Fixed("{user}".into())
        } else if Some(text.as_str()) == domain {
            Level::Fixed("{domain}".into())
        } else if position == last {
            Level::Fixed(text.clone())
        } else {
            Level::Any
        }
    };
    (levels.iter().enumerate().map(level).collect(), levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes_of(paths: &[&str]) -> Vec<(String, u64)> {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            std::fs::create_dir_all(dir.path().join(path).join("cur")).unwrap();
        }
        let found = Layout::default().find(&Root::new(dir.path())).unwrap();
        shapes(found.iter())
            .into_iter()
            .map(|shape| (shape.name, shape.count))
            .collect()
    }

    #[test]
    fn shapes_are_templates() {
        assert_eq!(
            shapes_of(&[
                "vmail/a.example/ann/Maildir",
                "vmail/b.example/bob/Maildir",
                "home/carl/Maildir",
            ]),
            [
                ("vmail/{domain}/{user}/Maildir".to_owned(), 2),
                ("home/{user}/Maildir".to_owned(), 1)
            ]
        );
        assert_eq!(
            shapes_of(&["a/ann@a.example", "b/bob@b.example"]),
            [("*/{user}@{domain}".to_owned(), 2)]
        );
    }

    #[test]
    fn a_template_that_finds_nothing_is_told_with_the_one_that_would() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a.example/ann/Maildir/cur")).unwrap();
        let root = Root::new(dir.path());
        let layout = Layout {
            templates: vec![mailbox::Template::parse("mail/{user}").unwrap()],
            ..Layout::default()
        };
        let mut findings = Findings::default();
        judge(&layout, &root, &layout.find(&root).unwrap(), &mut findings);
        assert_eq!(findings.warnings.len(), 1);
        assert!(
            findings.warnings[0].contains("mailboxes = \"{domain}/{user}/Maildir\""),
            "{findings:?}"
        );
    }
}
