//! What the portal shows of mail, and what people ask of it.

use super::{scratch_directory, text};
use mailtm::portal::letter::{Letter, Parts, html};
use mailtm::requests::{Filter, New, Options, Store};
use mailtm::time::Zone;
use std::cell::RefCell;
use tempfile::TempDir;

/// Elements that would run something, fetch it, or send something away.
const HARMFUL: [&str; 8] = [
    "script", "iframe", "object", "embed", "form", "meta", "link", "base",
];

pub fn letter(input: &[u8]) {
    let letter = Letter::of(input);
    assert!(
        letter
            .attachments
            .iter()
            .all(|a| mailtm::view::name::is_safe(&a.name)),
        "{letter:?}"
    );
    let Some(parts) = Parts::of(input) else {
        return;
    };
    for attachment in &letter.attachments {
        let _ = parts.take(attachment.number);
    }
    if let Some(clean) = parts.clean_html(false) {
        assert_harmless(&clean, false);
    }
}

/// Fails if a cleaned document has an element or an attribute that does anything, but for pictures if those may come from
/// elsewhere.
fn assert_harmless(clean: &str, remote: bool) {
    // The head is ours. In text and in attributes `<` and `>` are written otherwise.
    let body = clean.split_once("<body").map_or("", |(_, body)| body);
    for tag in body
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
    {
        let mut pieces = tag.split('"');
        let mut name = pieces.next().unwrap();
        let element = name.split(' ').next().unwrap();
        assert!(!HARMFUL.contains(&element), "{clean}");
        // What is between quotes is a value, and what is before it the name of the attribute.
        while let (Some(value), Some(next)) = (pieces.next(), pieces.next()) {
            let attribute = name.rsplit(' ').next().unwrap().trim_end_matches('=');
            let value = value.to_ascii_lowercase();
            let begins = |schemes: &[&str]| schemes.iter().any(|scheme| value.starts_with(scheme));
            match attribute {
                "src" => assert!(
                    begins(&["data:image/"]) || remote && begins(&["http"]),
                    "{clean}"
                ),
                "href" => assert!(
                    begins(&["http", "mailto"]) || !value.contains(':'),
                    "{clean}"
                ),
                "style" => assert!(
                    !value.contains("url(") && !value.contains("expression"),
                    "{clean}"
                ),
                _ => assert!(!attribute.starts_with("on"), "{clean}"),
            }
            name = next;
        }
    }
}

pub fn letter_html(input: &[u8]) {
    let whole = text(input);
    let clean = html::clean(&whole, false, html::Pictures::default());
    assert_harmless(&clean, false);
    assert_harmless(&html::clean(&whole, true, html::Pictures::default()), true);
    let _ = html::as_text(&whole);
}

/// What somebody asks to be put back, a line for each field: it is kept as it was written, or refused; and no cell of the table
/// for accounting is a formula.
pub fn requests(input: &[u8]) {
    thread_local! {
        static KEPT: RefCell<(u32, Option<(Store, TempDir)>)> = const { RefCell::new((0, None)) };
    }
    let whole = text(input);
    let mut fields = whole.split('\n');
    let mut field = || fields.next().unwrap_or_default().to_owned();
    let new = New {
        // Of the same token and person comes the request that is there.
        token: format!("{}{}", KEPT.with_borrow(|(count, _)| *count), field()),
        mailbox: field(),
        asked_by: field(),
        date: field(),
        folder: Some(field()).filter(|folder| !folder.is_empty()),
        into: Some(field()).filter(|into| !into.is_empty()),
        messages: vec![field(); input.len() % 3],
        note: field().replace('\t', "\n"),
        ..New::default()
    };
    KEPT.with_borrow_mut(|(count, kept)| {
        *count += 1;
        if *count % 500 == 0 {
            *kept = None;
        }
        let (store, _) = kept.get_or_insert_with(|| {
            let dir = scratch_directory();
            let options = Options {
                dir: dir.path().join("portal"),
                cost: Some("=80 EUR".to_owned()),
                zone: Zone::parse("UTC").unwrap(),
                ..Options::default()
            };
            (Store::open(options).unwrap(), dir)
        });
        let Ok(id) = store.make(new.clone()) else {
            return;
        };
        let details = store.get(id).unwrap();
        assert_eq!(details.messages, new.messages);
        let request = details.request;
        assert_eq!(
            (request.mailbox, request.asked_by, request.date),
            (new.mailbox, new.asked_by.clone(), new.date)
        );
        assert_eq!((request.folder, request.into), (new.folder, new.into));
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!request.note.contains(control), "{:?}", request.note);
        let filter = Filter {
            asked_by: Some(new.asked_by),
            ..Filter::default()
        };
        for record in records(&store.csv(&filter).unwrap()) {
            assert_eq!(record.len(), 14, "{record:?}");
            for cell in record {
                let formula = cell.trim_start().starts_with(['=', '+', '-', '@']);
                assert!(!formula, "{cell:?}");
            }
        }
        // Of one person, so many may wait.
        store.decline(id, "root", "no").unwrap();
    });
}

/// The cells of each record of a table by RFC 4180.
fn records(csv: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut rest = csv.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            _ if quoted => cell.push(c),
            ',' => record.push(std::mem::take(&mut cell)),
            '\r' if rest.next_if_eq(&'\n').is_some() => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            _ => cell.push(c),
        }
    }
    assert!(!quoted && record.is_empty() && cell.is_empty(), "{csv:?}");
    records
}
