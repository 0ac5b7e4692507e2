//! Whose mail somebody may read besides his own, while the policy and the stores change.

use crate::harness::hanging::Hanging;
use crate::harness::store::uid_of;
use crate::harness::{able, eventually};
use crate::http::Browser;
use crate::reading::{ids, list, page};
use crate::world::{ALICE, BOB, DAYS, World};
use rustix::process::{Signal, kill_process};
use std::time::{Duration, Instant};

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];
const ERIN: &str = "erin@example.com";
/// What the log says then.
const TOLD: &str = "opened by another than the mailbox's owner";

const SOON: Duration = Duration::from_secs(15);

/// Every kind of page about alice's mail.
fn pages(id: &str) -> Vec<String> {
    let day = DAYS[0];
    vec![
        format!("/calendar/{ALICE}"),
        format!("/folders/{ALICE}/{day}"),
        list("INBOX"),
        format!("/list/{ALICE}/deleted/INBOX"),
        format!("/message/{ALICE}/{day}/{id}/INBOX"),
        format!("/source/{ALICE}/{day}/{id}/INBOX"),
        format!("/eml/{ALICE}/{day}/{id}/INBOX"),
        format!("/mbox/{ALICE}/{day}/INBOX"),
        format!("/maildir/{ALICE}/{day}"),
        format!("/search/{ALICE}?words=hello"),
        format!("/ask?mailbox={ALICE}&date={day}&folder=INBOX"),
    ]
}

fn id_of_a_message(alice: &mut Browser) -> String {
    ids(&alice.get(&list("INBOX")).text())[0].clone()
}

#[test]
fn a_granted_mailbox_is_read_and_that_is_written_down() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    for day in DAYS {
        world.store.mailbox(day, ERIN).greet(&[""]);
    }
    let bob = uid_of(BOB).to_string();
    world.config = world
        .config
        .clone()
        .set("access.audit", true)
        .grant(&["alice@*"], &[&bob]);
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let id = id_of_a_message(&mut alice);
    let (mut bob, mut erin) = (portal.signed_in(BOB), portal.signed_in(ERIN));
    let start = bob.get("/").text();
    let own = start.find(&format!("/calendar/{BOB}")).unwrap();
    assert!(
        own < start.find(&format!("/calendar/{ALICE}")).unwrap(),
        "his own first"
    );
    for path in pages(&id) {
        let logged = portal.log().lines().count();
        assert_eq!(bob.get(&path).status, 200, "{path}");
        let log = portal.log();
        let told = |line: &&str| line.contains(TOLD) && line.contains(BOB) && line.contains(ALICE);
        // The calendar shows that there are backups, and nothing of what is in them.
        let is_opened = !path.starts_with("/calendar/");
        assert_eq!(
            log.lines().skip(logged).any(|line| told(&line)),
            is_opened,
            "{path}: {log}"
        );
        assert_eq!(erin.get(&path).status, 404, "{path}");
    }
    let logged = portal.log().matches(TOLD).count();
    for path in pages(&id) {
        assert_eq!(alice.get(&path).status, 200, "{path}");
    }
    assert_eq!(
        portal.log().matches(TOLD).count(),
        logged,
        "her own is nobody's business"
    );
    assert!(!erin.get("/").text().contains(ALICE));
}

#[test]
fn a_grant_holds_from_sighup_to_sighup() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let id = id_of_a_message(&mut alice);
    let mut bob = portal.signed_in(BOB);
    let mut let_in = |allowed: bool| {
        let status = if allowed { 200 } else { 404 };
        pages(&id).iter().all(|path| bob.get(path).status == status)
    };
    assert!(let_in(false));
    let granting = world
        .config
        .clone()
        .grant(&[ALICE], &[&uid_of(BOB).to_string()]);
    granting.write();
    assert!(let_in(false), "nobody has said so yet");
    let hang_up = || kill_process(portal.pid(), Signal::HUP).unwrap();
    hang_up();
    eventually(SOON, "the grant", || let_in(true));
    // One with a mistake changes nothing.
    std::fs::write(&world.config.path, "[access]\nadmin = []\n").unwrap();
    hang_up();
    eventually(SOON, "the mistake", || {
        portal.log().contains("is not taken over")
    });
    assert!(let_in(true));
    world.config.write();
    hang_up();
    eventually(SOON, "its end", || let_in(false));
    assert_eq!(alice.get(&list("INBOX")).status, 200);
}

#[test]
fn a_store_that_hangs_keeps_only_its_own_readers_waiting() {
    if !able(&[&NEEDED[..], &["bindfs"]].concat()) {
        return;
    }
    let mut world = World::new();
    let behind = crate::harness::Store::new(world.scratch.join("behind"));
    let day = "2026-11-18";
    behind.mailbox(day, ALICE).greet(&["", "Sent", "Work"]);
    let hanging = Hanging::new(&behind.path, world.scratch.join("hanging"));
    let sources = [&hanging.path, &world.store.path].map(|path| path.to_str().unwrap().to_owned());
    world.config = world
        .config
        .clone()
        .set("source.snapshots", sources.to_vec())
        .set("source.timeout", "2s");
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let hung = |folder: &str| format!("/list/{ALICE}/{day}/{folder}");
    assert_eq!(alice.get(&hung("INBOX")).status, 200);

    hanging.signal(Signal::STOP);
    let cookies = alice.cookies.clone();
    let at = portal.at;
    let waiting = ["Sent", "Work"].map(|folder| {
        let (path, cookies) = (hung(folder), cookies.clone());
        std::thread::spawn(move || {
            let mut browser = Browser::new(at);
            browser.cookies = cookies;
            let start = Instant::now();
            (browser.get(&path).status, start.elapsed())
        })
    });
    std::thread::sleep(Duration::from_millis(200));
    for path in [
        list("INBOX"),
        format!("/folders/{ALICE}/{}", DAYS[1]),
        "/".into(),
    ] {
        let start = Instant::now();
        assert_eq!(alice.get(&path).status, 200, "{path}");
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{path}: {:?}",
            start.elapsed()
        );
    }
    for waiting in waiting {
        let (status, took) = waiting.join().unwrap();
        assert_eq!(status, 503);
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    hanging.signal(Signal::CONT);
    eventually(SOON, "it is back", || {
        alice.get(&hung("Sent")).status == 200
    });

    // A date that was never looked into is told of, though it may not be hers; it keeps nobody from the others.
    drop(portal);
    let portal = world.portal();
    hanging.signal(Signal::STOP);
    let mut alice = portal.signed_in(ALICE);
    for longest in [8, 1] {
        let start = Instant::now();
        let shown = page(&mut alice, "/");
        assert!(start.elapsed() < Duration::from_secs(longest));
        assert!(
            shown.contains(&format!("/folders/{ALICE}/{day}\"")),
            "{shown}"
        );
        assert_eq!(alice.get(&list("INBOX")).status, 200);
    }
    assert_eq!(alice.get(&hung("INBOX")).status, 503);
    hanging.signal(Signal::CONT);
    eventually(SOON, "it is back", || {
        alice.get(&hung("Sent")).status == 200
    });

    // One that hangs when the portal begins keeps it from nothing else either.
    drop(portal);
    hanging.signal(Signal::STOP);
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    assert_eq!(alice.get(&list("INBOX")).status, 200);
    assert_eq!(alice.get(&hung("INBOX")).status, 404);
    hanging.signal(Signal::CONT);
    eventually(SOON, "its date", || alice.get(&hung("INBOX")).status == 200);
}
