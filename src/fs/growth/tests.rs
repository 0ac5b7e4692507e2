//! Tests of `growth`.

use super::super::tests::{ANN, World, maildir, message};
use super::super::{Caller, Cookie};
use super::*;
use std::fs;
use std::sync::Arc;

const DAY: &str = "2026-11-21";

/// A date that appears, with a message, and is looked at.
fn looked_at() -> (World, Arc<Open>) {
    let world = World::new(|dir| message(&maildir(dir, "2026-11-20"), "", "1"));
    message(&maildir(world.dir(), DAY), "", "1");
    world.catch_up();
    std::thread::sleep(2 * TICK);
    assert_eq!(names(&world, "INBOX"), 1);
    let open = world.fs.shown().by_label[DAY].clone();
    (world, open)
}

/// How many messages a folder has.
fn names(world: &World, folder: &str) -> usize {
    let id = world.find(&format!("{DAY}/{ANN}/{folder}")).unwrap().id;
    let caller = Caller {
        uid: 0,
        gid: 0,
        thread: 0,
    };
    let directory = world.fs.directory(id, caller, Cookie(0)).unwrap();
    let mut names = 0;
    directory.entries(Cookie(0), |entry| {
        names += usize::from(entry.name.to_string_lossy().ends_with(".eml"));
        false
    });
    names
}

#[test]
fn what_is_added_to_a_date_after_a_look_makes_it_another() {
    let (world, open) = looked_at();
    assert_eq!(world.fs.may_grow().len(), 1);
    assert_eq!(world.fs.look_for_growth(&open).unwrap(), Found::Nothing);
    let before = world.find(&format!("{DAY}/{ANN}/INBOX")).unwrap().id;
    std::thread::sleep(2 * TICK);
    let mailbox = maildir(world.dir(), DAY);
    message(&mailbox, "", "0");
    message(&mailbox, ".Sent", "2");
    message(
        &world.dir().join(DAY).join("a.example/bob/Maildir"),
        "",
        "3",
    );
    assert_eq!(names(&world, "INBOX"), 1, "it is believed");

    assert_eq!(world.fs.look_for_growth(&open).unwrap(), Found::Grown);
    let forget = world.fs.show_grown(&open).unwrap();
    assert!(forget.contains(&Invalidation::Name(
        super::super::node::ROOT,
        DAY.to_owned()
    )));
    assert_eq!((names(&world, "INBOX"), names(&world, "Sent")), (2, 1));
    world.find(&format!("{DAY}/bob@a.example")).unwrap();
    let after = world.find(&format!("{DAY}/{ANN}/INBOX")).unwrap().id;
    assert_ne!(before, after);
    assert!(world.fs.getattr(before).is_err());
    let again = world.restarted();
    let id = again.find(&format!("{DAY}/{ANN}/INBOX")).unwrap().id;
    assert_eq!(id, after, "after a restart");
}

#[test]
fn a_snapshot_that_is_only_renamed_or_linked_to_has_not_grown() {
    let (world, open) = looked_at();
    std::thread::sleep(2 * TICK);
    let root = world.dir().join(DAY);
    let aside = world.dir().join("aside");
    fs::rename(&root, &aside).unwrap();
    fs::rename(&aside, &root).unwrap();
    let cur = maildir(world.dir(), DAY).join("cur");
    fs::hard_link(cur.join("1"), world.dir().join("link")).unwrap();
    assert_eq!(world.fs.look_for_growth(&open).unwrap(), Found::Nothing);
}

#[test]
fn what_is_written_to_all_the_time_is_shown_anew_so_many_times() {
    let (world, _) = looked_at();
    for _ in 0..MOST_TIMES {
        let open = world.fs.shown().by_label[DAY].clone();
        assert!(!world.fs.show_grown(&open).unwrap().is_empty());
    }
    let open = world.fs.shown().by_label[DAY].clone();
    assert!(world.fs.show_grown(&open).unwrap().is_empty());
    assert!(world.fs.may_grow().is_empty());
    assert_eq!(names(&world, "INBOX"), 1);
    message(&maildir(world.dir(), "2026-11-22"), "", "1");
    world.catch_up();
    assert_eq!(world.fs.shown().by_label[DAY].serial, open.serial);
}
