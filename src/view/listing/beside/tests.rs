//! Dates of a folder, each listed beside the one before it.

use super::*;
use crate::disk::Root;
use crate::index::Index;
use crate::message::mboxrd::FlagLines;
use crate::store::maildir::Maildir;
use crate::view::mailbox::Layout;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const DATES: usize = 24;

/// A message that cannot be decoded, on some of the dates: those are looked at as a whole.
const DAMAGED: &str = "75.damaged:2,";

fn view(index: Index) -> View {
    View {
        zone: crate::time::Zone::parse("UTC").unwrap(),
        names: Names::Readable,
        flags: FlagLines::Status,
        layout: Layout::default(),
        keys: Arc::default(),
        index: Arc::new(index),
        told: Arc::default(),
    }
}

/// All that is told of a folder on a date.
fn told(listing: &Listing) -> Vec<String> {
    let told = listing.iter().map(|item| {
        let stored = item.stored;
        let locator = listing.messages().locator(stored).escape_ascii();
        format!(
            "{} {} {:?} {:?} {locator} {:?} {} {:?}",
            item.name,
            item.size,
            item.encoding,
            item.body,
            stored.flags,
            stored.size,
            stored.received
        )
    });
    let oddities = format!("and {} others", listing.messages().oddities);
    told.chain([oddities]).collect()
}

/// A mailbox on a date.
fn date(number: usize) -> String {
    format!("{number:02}/box")
}

fn told_difference(difference: &Difference) -> String {
    let Difference { from, gone, came } = difference;
    format!("{} {gone:?} {came:?}", from.escape_ascii())
}

fn write(path: &Path, number: usize) {
    let text = format!(
        "From: S{number} <s@example.org>\nSubject: {number}\n\nFrom me\n{}",
        "x".repeat(number)
    );
    fs::write(path, text).unwrap();
}

/// A date that differs a little from the one before: messages come, go, are read, come back, get another text or a twin.
fn next_date(dir: &Path, number: usize) {
    let (old, new) = (
        dir.join(date(number - 1)).join("cur"),
        dir.join(date(number)).join("cur"),
    );
    fs::create_dir_all(&new).unwrap();
    let entries = fs::read_dir(&old).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<_> = files
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    names.sort();
    for (at, name) in names.iter().enumerate() {
        if name == DAMAGED {
            if number < 10 {
                fs::hard_link(old.join(name), new.join(name)).unwrap();
            }
            continue;
        }
        let read = format!("{}:2,S", name.split(':').next().unwrap());
        match (at + 7 * number) % 29 {
            3 => {}
            5 => fs::hard_link(old.join(name), new.join(read)).unwrap(),
            11 if number.is_multiple_of(3) => write(&new.join(name), at + 1000),
            _ => fs::hard_link(old.join(name), new.join(name)).unwrap(),
        }
    }
    for more in 0..4 {
        write(
            &new.join(format!("{}.{number}:2,", (number * 31 + more * 57) % 200)),
            300 + more,
        );
    }
    for odd in 0..number % 4 {
        fs::create_dir(new.join(format!("odd{odd}"))).unwrap();
    }
    if number == 8 {
        fs::create_dir_all(dir.join(date(number)).join("new")).unwrap();
        write(&dir.join(date(number)).join("new/100.0"), 5000);
    }
}

#[test]
fn every_date_is_told_as_if_it_were_the_only_one() {
    let dir = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(date(0)).join("cur")).unwrap();
    for number in 0..150 {
        write(
            &dir.path().join(date(0)).join(format!("cur/{number}.0:2,")),
            number,
        );
    }
    fs::write(
        dir.path().join(date(0)).join("cur").join(DAMAGED),
        b"\x1f\x8b\x08\0nothing that is compressed",
    )
    .unwrap();
    for number in 1..DATES {
        next_date(dir.path(), number);
    }
    let root = |number: usize| Root::new(dir.path().join(format!("{number:02}")));
    let roots: Vec<Root> = (0..DATES).map(root).collect();
    let store = |at: usize| Maildir::new(&roots[at], b"box");
    let taken = HashSet::new();
    let alone = |at| {
        told(
            &view(Index::in_memory())
                .list(&store(at), b"", &taken, &[])
                .unwrap(),
        )
    };
    let alone: Vec<Vec<String>> = (0..DATES).map(alone).collect();
    let beside = |view: &View, at: usize, other: usize, listing, is_reachable| {
        let neighbour = Neighbour {
            store: Box::new(store(other)),
            listing,
            is_reachable,
        };
        let listing = view.list(&store(at), b"", &taken, &[neighbour]);
        view.index.flush();
        Arc::new(listing.unwrap())
    };
    // The listing before at hand or from the index; and at hand where its disk is not to be asked, so that all is looked at.
    for (with_memory, is_reachable) in [(true, true), (false, true), (true, false)] {
        for backward in [false, true] {
            let how = format!("{with_memory} {is_reachable} {backward}");
            let index = kept.path().join(&how);
            let first = view(Index::open(&index));
            let mut differences = HashMap::new();
            let mut last: Option<(usize, Option<Arc<Listing>>)> = None;
            for step in 0..DATES {
                let at = if backward { DATES - 1 - step } else { step };
                let (other, listing) = last.take().unwrap_or((at, None));
                let listing = beside(&first, at, other, listing, is_reachable);
                assert_eq!(told(&listing), alone[at], "{at} {how}");
                differences.insert(at, listing.difference().map(told_difference));
                last = Some((at, Some(listing).filter(|_| with_memory)));
            }
            drop(first);
            // As another process finds them.
            let again = view(Index::open(&index));
            let mut added = 0;
            for (at, alone) in alone.iter().enumerate() {
                let key = [again.shape(&taken), store(at).stamp(b"").unwrap().bytes].concat();
                let pack = again.index.pack(b"box", b"", &key).unwrap();
                added += usize::from(!pack.added.is_empty());
                let (rows, difference) = Rows::decode(&pack).unwrap();
                let listing = Listing::of(Arc::new(rows), key, Time::default());
                assert_eq!(&told(&listing), alone, "{at} {how}, kept");
                let difference = difference.as_ref().map(told_difference);
                assert!(difference.is_none() || Some(&difference) == differences.get(&at));
            }
            // Some are kept as a whole for the first time after others.
            assert!((DATES / 2..DATES - 1).contains(&added), "{added} {how}");
        }
    }
}
