//! Tests of the tree as a person reads it.

use super::*;
use crate::fs::NodeId;
use crate::fs::tests::{ANN, World, maildir, message};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn on(label: &str) -> When {
    When::Date(label.into())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn letter(mailbox: &Path, folder: &str, name: &str, from: &str, subject: &str, body: &str) {
    let cur = mailbox.join(folder).join("cur");
    fs::create_dir_all(&cur).unwrap();
    let path = cur.join(name);
    fs::write(
        &path,
        format!("From: {from}\nSubject: {subject}\n\n{body}\n"),
    )
    .unwrap();
    let secs = name.split('.').next().and_then(|secs| secs.parse().ok());
    let when = std::time::UNIX_EPOCH + Duration::from_secs(secs.unwrap());
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(when)
        .unwrap();
}

/// Ann's mailbox on two dates; a message and a folder are gone on the second.
fn world() -> World {
    World::new(|dir| {
        for date in ["2026-11-20", "2026-11-21"] {
            let mailbox = maildir(dir, date);
            letter(
                &mailbox,
                "",
                "1000.a:2,S",
                "Zoe <z@x>",
                "Re: apples",
                "From here\n\n",
            );
            letter(
                &mailbox,
                "",
                "3000.b:2,FR",
                "Änne <a@x>",
                "Aw: Re: Bananas",
                &"b".repeat(700_000),
            );
            letter(&mailbox, "", "2000.c:2,", "bob <b@x>", "apples", "c");
            letter(&mailbox, ".Archive.2024", "1.a:2,Sa", "bob", "old", "o");
        }
        let first = maildir(dir, "2026-11-20");
        letter(&first, "", "2500.d:2,S", "eve", "gone", "d");
        letter(&first, ".Lost", "1.e:2,S", "eve", "with its folder", "e");
    })
}

fn subjects(world: &World, when: &When, path: &str, order: Order) -> Vec<String> {
    let contents = world.fs.contents(ANN, when, path).unwrap().unwrap();
    let page = world.fs.page(&contents, order, 0..100).unwrap();
    assert_eq!(page.total, page.messages.len());
    page.messages.into_iter().map(|m| m.subject).collect()
}

#[test]
fn dates_and_folders() {
    let world = world();
    let labels: Vec<String> = world
        .fs
        .dates()
        .into_iter()
        .map(|date| date.label)
        .collect();
    assert_eq!(labels, ["2026-11-20", "2026-11-21"]);
    let folders = world
        .fs
        .folders(ANN, &on("2026-11-20"), soon())
        .unwrap()
        .unwrap();
    let paths: Vec<&str> = folders.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["Archive", "Archive/2024", "INBOX", "Lost"]);
    let tally = |messages, unread| Some(Tally { messages, unread });
    let tallies: Vec<Option<Tally>> = folders.iter().map(|f| f.tally).collect();
    assert_eq!(tallies, [None, tally(1, 0), tally(4, 2), tally(1, 0)]);
    assert!(
        folders
            .iter()
            .all(|f| f.holds_messages == f.tally.is_some())
    );
    for when in [on("2026-11-22"), on(".."), on("")] {
        assert!(world.fs.folders(ANN, &when, soon()).unwrap().is_none());
    }
    assert!(
        world
            .fs
            .folders("eve@a.example", &on("2026-11-20"), soon())
            .unwrap()
            .is_none()
    );
    assert!(
        world
            .fs
            .folders("nobody", &When::Deleted, soon())
            .unwrap()
            .is_none()
    );
}

#[test]
fn counting_stops_in_time_and_goes_on_another_time() {
    let world = world();
    let when = on("2026-11-20");
    let counted = |until| {
        let folders = world.fs.folders(ANN, &when, until).unwrap().unwrap();
        folders
            .iter()
            .filter(|folder| folder.tally.is_some())
            .count()
    };
    assert_eq!(counted(Instant::now()), 0);
    assert_eq!(counted(soon()), 3);
    assert_eq!(counted(Instant::now()), 3);
}

#[test]
fn orders() {
    let world = world();
    let when = on("2026-11-21");
    let by = |by, descending| subjects(&world, &when, "INBOX", Order { by, descending });
    let (apples, more, bananas) = ("apples", "Re: apples", "Aw: Re: Bananas");
    assert_eq!(by(SortBy::Received, true), [bananas, apples, more]);
    assert_eq!(by(SortBy::Received, false), [more, apples, bananas]);
    assert_eq!(by(SortBy::Sender, false), [bananas, apples, more]);
    assert_eq!(by(SortBy::Subject, false), [more, apples, bananas]);
    assert_eq!(by(SortBy::Size, true), [bananas, more, apples]);
}

#[test]
fn a_page_and_what_is_beside() {
    let world = world();
    let contents = world
        .fs
        .contents(ANN, &on("2026-11-21"), "INBOX")
        .unwrap()
        .unwrap();
    let order = Order::default();
    let page = |places| world.fs.page(&contents, order, places).unwrap();
    assert_eq!(page(1..2).messages, page(0..3).messages[1..2]);
    assert_eq!((page(2..900).messages.len(), page(2..900).total), (1, 3));
    assert_eq!(page(7..9).messages, []);
    let all = page(0..3).messages;
    let middle = world.fs.message(&contents, &all[1].id).unwrap().unwrap();
    assert_eq!(middle, all[1]);
    let [before, after] = world.fs.beside(&contents, order, &all[1].id).unwrap();
    assert_eq!((before.as_ref(), after.as_ref()), (all.first(), all.get(2)));
    let [before, after] = world.fs.beside(&contents, order, &all[0].id).unwrap();
    assert_eq!((before, after.as_ref()), (None, all.get(1)));
    assert!(all[0].flags.answered() && all[0].flags.flagged() && !all[0].flags.seen());
    for id in ["", "00000000", "../../x", &"A".repeat(10_000)] {
        assert!(world.fs.message(&contents, id).unwrap().is_none(), "{id}");
    }
    let path = format!("2026-11-21/{ANN}/INBOX/{}", all[0].name);
    assert_eq!(world.find(&path).unwrap().id, all[0].node);
}

#[test]
fn only_real_paths_lead_to_folders() {
    let world = world();
    let there = |path: &str| {
        world
            .fs
            .contents(ANN, &on("2026-11-20"), path)
            .unwrap()
            .is_some()
    };
    assert!(there("INBOX") && there("Archive/2024"));
    for path in [
        "",
        "/",
        "Archive",
        "Archive/",
        "/INBOX",
        "INBOX/",
        "INBOX/..",
        "../INBOX",
        "INBOX.mbox",
        "inbox",
        "a\0",
    ] {
        assert!(!there(path), "{path:?}");
    }
}

#[test]
fn what_is_gone_is_there_once() {
    let world = world();
    let folders = world
        .fs
        .folders(ANN, &When::Deleted, soon())
        .unwrap()
        .unwrap();
    let paths: Vec<&str> = folders.iter().map(|folder| folder.path.as_str()).collect();
    assert_eq!(paths, ["INBOX", "Lost"]);
    assert_eq!(
        subjects(&world, &When::Deleted, "INBOX", Order::default()),
        ["gone"]
    );
    let contents = world
        .fs
        .contents(ANN, &When::Deleted, "INBOX")
        .unwrap()
        .unwrap();
    let page = world.fs.page(&contents, Order::default(), 0..9).unwrap();
    let gone = &page.messages[0];
    assert_eq!(gone.date, "2026-11-20");
    assert!(world.fs.read(gone.node, 0, 99).unwrap().ends_with(b"\nd\n"));
    assert_eq!(contents.mbox(), None);
    let told = world
        .find(&format!("deleted/{ANN}/INBOX/{}", gone.name))
        .unwrap();
    assert_eq!(told.id, gone.node);
}

fn whole(world: &World, id: NodeId) -> Vec<u8> {
    let size = world.fs.getattr(id).unwrap().size;
    world.fs.read(id, 0, size as usize).unwrap()
}

fn mbox(world: &World, contents: &Contents) -> (Vec<u8>, usize) {
    let positions: Vec<u32> = (0..contents.len() as u32).collect();
    let summaries = world.fs.summaries(contents, &positions).unwrap();
    let names = positions
        .iter()
        .map(|p| contents.store_name(*p).unwrap().to_vec());
    let mut mbox = export::Mbox::of(names.zip(summaries).collect());
    let mut bytes = Vec::new();
    while let Some(piece) = mbox.next(&world.fs).unwrap() {
        assert!(piece.len() <= 2 * export::PIECE);
        bytes.extend(piece);
    }
    (bytes, mbox.unreadable())
}

#[test]
fn chosen_messages_make_the_mbox_of_the_mount() {
    let world = world();
    let contents = world
        .fs
        .contents(ANN, &on("2026-11-20"), "INBOX")
        .unwrap()
        .unwrap();
    let (bytes, unreadable) = mbox(&world, &contents);
    assert_eq!(unreadable, 0);
    assert!(bytes == whole(&world, contents.mbox().unwrap()));
    assert!(bytes.windows(12).any(|w| w == b"\n>From here\n"));
}

#[test]
fn what_cannot_be_read_is_told_of() {
    let world = World::new(|dir| {
        let mailbox = maildir(dir, "2026-11-20");
        message(&mailbox, "", "1.a:2,S");
        // Claims to be larger than it is, and begins like something compressed.
        fs::write(mailbox.join("cur/2.b,S=5000:2,S"), b"\x1f\x8b\x08\0broken").unwrap();
    });
    let contents = world
        .fs
        .contents(ANN, &on("2026-11-20"), "INBOX")
        .unwrap()
        .unwrap();
    let page = world.fs.page(&contents, Order::default(), 0..9).unwrap();
    let readable: Vec<bool> = page.messages.iter().map(|m| m.is_readable).collect();
    assert_eq!(readable.iter().filter(|is| **is).count(), 1, "{page:?}");
    let (bytes, unreadable) = mbox(&world, &contents);
    assert_eq!(unreadable, 1);
    assert!(bytes == whole(&world, contents.mbox().unwrap()));
}

#[test]
fn as_a_maildir() {
    let world = world();
    let folders = world
        .fs
        .maildir_folders(ANN, &on("2026-11-20"))
        .unwrap()
        .unwrap();
    let names: Vec<(&[u8], &str)> = folders
        .iter()
        .map(|f| (f.directory.as_slice(), f.path.as_str()))
        .collect();
    let expected: [(&[u8], &str); 3] = [
        (b"", "INBOX"),
        (b".Archive.2024", "Archive/2024"),
        (b".Lost", "Lost"),
    ];
    assert_eq!(names, expected);
    let contents = world
        .fs
        .contents(ANN, &on("2026-11-20"), "Archive/2024")
        .unwrap()
        .unwrap();
    assert_eq!(
        contents.maildir_name(0),
        Some((b"1.a:2,Sa".to_vec(), false))
    );
    assert_eq!(contents.maildir_name(1), None);
    assert_eq!(world.fs.maildir_keywords(&contents).unwrap(), None);
}
