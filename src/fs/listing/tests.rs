//! Tests of going through a large folder.

use super::super::tests::{ANN, World, maildir, message};
use super::super::{Caller, Cookie, Fs, NodeId};
use crate::view::listing::PART;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

const DATE: &str = "2026-11-20";
const MESSAGES: usize = 2 * PART + 900;
const ROOM: usize = 100;

fn name(number: usize) -> String {
    format!("{number:07}.x:2,S")
}

/// Messages that came at the same moment in every world, since their names tell it.
fn fill(mailbox: &Path, folder: &str) {
    for number in 0..MESSAGES {
        message(mailbox, folder, &name(number));
        let file = fs::File::open(mailbox.join(folder).join("cur").join(name(number))).unwrap();
        let received = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000 + number as u64);
        file.set_modified(received).unwrap();
    }
}

/// A large folder with another one in it.
fn large(dir: &Path) {
    let mailbox = maildir(dir, DATE);
    fill(&mailbox, "");
    message(&mailbox, ".INBOX.Inner", "1.x:2,");
}

fn inbox(world: &World) -> NodeId {
    world.find(&format!("{DATE}/{ANN}/INBOX")).unwrap().id
}

/// The names from a cookie on, with where to go on after each; as many as one reply has room for.
fn some(fs: &Fs, inbox: NodeId, from: Cookie) -> Vec<(String, Cookie, u64)> {
    let caller = Caller {
        uid: 0,
        gid: 0,
        thread: 0,
    };
    let mut entries = Vec::new();
    let directory = fs.directory(inbox, caller, from).unwrap();
    directory.entries(from, |entry| {
        if entries.len() < ROOM {
            let name = entry.name.into_string().unwrap();
            entries.push((name, entry.next, entry.attr.id.0));
        }
        entries.len() >= ROOM
    });
    entries
}

/// All that there is from a cookie on.
fn rest(fs: &Fs, inbox: NodeId, mut from: Cookie) -> Vec<(String, Cookie, u64)> {
    let mut all = Vec::new();
    loop {
        let more = some(fs, inbox, from);
        let Some((_, next, _)) = more.last() else {
            return all;
        };
        from = *next;
        all.extend(more);
    }
}

#[test]
fn what_is_told_in_parts_is_what_is_told_at_once() {
    let (parts, once) = (World::new(large), World::new(large));
    let in_parts = rest(&parts.fs, inbox(&parts), Cookie(0));
    // A look-up needs all of it.
    let at = inbox(&once);
    once.fs.lookup(at, b"nothing.eml").unwrap();
    let at_once = rest(&once.fs, at, Cookie(0));
    assert_eq!(in_parts.len(), MESSAGES + 4);
    assert_eq!(in_parts, at_once);
}

#[test]
fn the_first_names_wait_for_the_first_messages_only() {
    let world = World::new(large);
    let at = inbox(&world);
    let first = some(&world.fs, at, Cookie(0));
    assert_eq!(first.len(), ROOM);
    // Nobody has opened it yet.
    let cur = maildir(world.dir(), DATE).join("cur");
    fs::remove_file(cur.join(name(MESSAGES - 1))).unwrap();
    let (_, from, _) = first.last().unwrap();
    let all = rest(&world.fs, at, *from);
    let (last, ..) = all.last().unwrap();
    assert!(last.contains("cannot be read"), "{last}");
    assert_eq!(first.len() + all.len(), MESSAGES + 4);
    // And so it is called as long as it is not looked for again.
    let found = world.fs.lookup(at, last.as_bytes()).unwrap();
    assert!(found.is_some());
}

#[test]
fn the_next_part_is_made_while_the_caller_looks_at_this_one() {
    let world = World::new(large);
    let at = inbox(&world);
    let cur = maildir(world.dir(), DATE).join("cur");
    let caller = Caller {
        uid: 0,
        gid: 0,
        thread: 0,
    };
    let prepare = |from| {
        let directory = world.fs.directory(at, caller, from).unwrap();
        world.fs.prepare_next(&directory, from).unwrap();
    };
    let unreadable = |from| {
        let all = rest(&world.fs, at, from);
        let names = all
            .iter()
            .filter(|(name, ..)| name.contains("cannot be read"));
        names.count()
    };
    let first = some(&world.fs, at, Cookie(0));
    // Who has only begun may have seen enough; who goes on has the second part made, and no more of it.
    prepare(Cookie(0));
    fs::remove_file(cur.join(name(PART))).unwrap();
    let (_, from, _) = *first.last().unwrap();
    prepare(from);
    fs::remove_file(cur.join(name(PART + 1))).unwrap();
    fs::remove_file(cur.join(name(2 * PART))).unwrap();
    prepare(from);
    assert_eq!(unreadable(from), 2);
}

#[test]
fn somebody_who_needs_all_of_it_has_the_rest_made() {
    let world = World::new(large);
    let at = inbox(&world);
    let mut told = some(&world.fs, at, Cookie(0));
    let (_, from, _) = *told.last().unwrap();
    let last = World::new(large);
    let (last, ..) = rest(&last.fs, inbox(&last), Cookie(0)).pop().unwrap();
    assert!(world.fs.lookup(at, last.as_bytes()).unwrap().is_some());
    told.extend(rest(&world.fs, at, from));
    assert_eq!(told, rest(&world.fs, at, Cookie(0)));
}

#[test]
fn names_that_may_not_be_final_wait_for_all() {
    let world = World::new(|dir| {
        // LAYOUT=fs: a folder can be called like a message.
        let mailbox = maildir(dir, DATE);
        message(&mailbox, "", "1.x:2,");
        fill(&mailbox, "Large");
        message(&mailbox, "Large/a (K7Q2M4XZ).eml", "1.x:2,");
    });
    let at = world.find(&format!("{DATE}/{ANN}/Large")).unwrap().id;
    let first = some(&world.fs, at, Cookie(0));
    assert!(first[2].0.contains("K7Q2M4XZ"), "{:?}", first[2]);
    let cur = maildir(world.dir(), DATE).join("Large/cur");
    fs::remove_file(cur.join(name(MESSAGES - 1))).unwrap();
    let (_, from, _) = first.last().unwrap();
    let (last, ..) = rest(&world.fs, at, *from).pop().unwrap();
    assert!(last.contains(&name(MESSAGES - 1)[..7]), "{last}");
}
