//! Reading: the calendar, folders, lists, searching, and whose mail it is.

use crate::harness::store::mail;
use crate::harness::{able, utc};
use crate::hostile::HOSTILE;
use crate::http::Browser;
use crate::world::{ADMIN, ALICE, BOB, DAYS, World};
use std::fs;
use std::time::Instant;

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];

/// Alice has 63 messages, a hostile one among them, a bin, something that is gone since, and something damaged.
pub fn world() -> World {
    let world = World::new();
    for day in DAYS {
        let mailbox = world.store.mailbox(day, ALICE);
        for number in 1..=60 {
            mailbox.number("cur", number);
        }
        mailbox.put(
            "cur",
            "1796000000.H1.mx:2,F",
            HOSTILE,
            utc("2026-11-19 10:00:00"),
        );
        mailbox.put(
            "Cestino/cur",
            "1.T.mx:2,Sa",
            mail("Eve <e@x>", "From the bin", "From here\n>From there\n"),
            1000,
        );
        mailbox.put(
            "Cestino/new",
            "2.T.mx",
            mail("Eve <e@x>", "New in the bin", "x"),
            2000,
        );
        for (name, subject) in [("6.G.mx:2,S", "Gone too"), ("7.G.mx:2,S", "Gone as well")] {
            let gone = mail("Alice <a@x>", subject, "t\n");
            mailbox.put("Sent/cur", name, gone, 3001);
        }
        fs::write(
            mailbox.folder("Cestino").join("dovecot-keywords"),
            "0 blue\n",
        )
        .unwrap();
    }
    let first = world.store.mailbox(DAYS[0], ALICE);
    first.put(
        "Sent/cur",
        "3.G.mx:2,S",
        mail("Alice <a@x>", "Gone since", "g\n"),
        3000,
    );
    // Claims to be compressed, and is damaged.
    first.put(
        "Broken/cur",
        "4.B,S=5000.mx:2,S",
        b"\x1f\x8b\x08\0broken",
        4000,
    );
    first.put(
        "Broken/cur",
        "5.B.mx:2,S",
        mail("Alice <a@x>", "Whole", "w\n"),
        5000,
    );
    // The mail server makes her mailbox, empty, when it is first looked into.
    assert!(world.server.fetch().is_empty());
    world
}

pub fn page(browser: &mut Browser, path: &str) -> String {
    let answer = browser.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert!(
        answer
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    let text = answer.text();
    for harm in ["<script>alert", "onclick=alert", "javascript:alert"] {
        assert!(!text.contains(harm), "{path}: {text}");
    }
    text
}

/// The first address in a page that begins like this.
pub fn link(page: &str, begins: &str) -> String {
    let begins = format!("\"{begins}");
    let at = page
        .find(&begins)
        .unwrap_or_else(|| panic!("no {begins}: {page}"));
    page[at + 1..]
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&")
}

/// All values of the boxes that choose messages.
pub fn ids(page: &str) -> Vec<String> {
    let parts = page.split("name=\"id\" value=\"").skip(1);
    parts
        .map(|part| part.split('"').next().unwrap().to_owned())
        .collect()
}

pub fn list(folder: &str) -> String {
    format!("/list/{ALICE}/{}/{folder}", DAYS[0])
}

#[test]
fn pages_show_what_the_backups_have() {
    if !able(&NEEDED) {
        return;
    }
    let world = world();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);

    let calendar = page(&mut alice, &format!("/calendar/{ALICE}"));
    for day in DAYS {
        assert!(
            calendar.contains(&format!("/folders/{ALICE}/{day}")),
            "{calendar}"
        );
    }
    assert_eq!(
        page(&mut alice, "/"),
        calendar.replace(&format!("/calendar/{ALICE}"), "/")
    );
    let latest = alice.get(&format!("/folders/{ALICE}/latest"));
    assert_eq!(
        (latest.status, latest.location()),
        (303, format!("/folders/{ALICE}/{}", DAYS[1]).as_str())
    );

    let folders = page(&mut alice, &format!("/folders/{ALICE}/{}", DAYS[0]));
    let at = |what: &str| {
        folders
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {folders}"))
    };
    assert!(
        at(">Inbox<") < at(">Sent<")
            && at(">Sent<") < at(">Trash<")
            && at(">Trash<") < at(">Broken<")
    );
    assert!(
        folders.contains("(<bdi>Cestino</bdi>)")
            && folders.contains("1 unread")
            && folders.contains("62 messages")
    );

    let first = page(&mut alice, &list("INBOX"));
    assert_eq!(ids(&first).len(), 50);
    assert!(first.contains("1–50 of 62"), "{first}");
    let second = page(
        &mut alice,
        &link(
            &first,
            &format!("{}?sort=received&#38;order=down&#38;page=2", list("INBOX")),
        ),
    );
    assert_eq!(ids(&second).len(), 12);
    let by_size = page(
        &mut alice,
        &format!("{}?sort=size&order=down", list("INBOX")),
    );
    assert!(by_size.contains("aria-sort=\"descending\""));
    let largest = by_size.find("&#60;script&#62;alert(2)").unwrap();
    assert!(largest < by_size.find("Message 5").unwrap());
    for odd in [
        "?page=0",
        "?page=99999999999999999999",
        "?page=-1&sort=%3Cscript%3E&order='",
        "?page=3",
    ] {
        page(&mut alice, &format!("{}{odd}", list("INBOX")));
    }

    // The same folder on another date; and one that is not there.
    let switched = alice.get(&format!(
        "/switch/{ALICE}/{}/Broken?time={}",
        DAYS[0], DAYS[1]
    ));
    assert_eq!(switched.status, 303);
    let elsewhere = page(&mut alice, switched.location());
    assert!(
        elsewhere.contains("The folder Broken is not in this backup."),
        "{elsewhere}"
    );
    let switched = alice.get(&format!(
        "/switch/{ALICE}/{}/INBOX?time={}",
        DAYS[0], DAYS[1]
    ));
    assert_eq!(
        switched.location(),
        format!("/list/{ALICE}/{}/INBOX", DAYS[1])
    );

    // What cannot be read is listed, and said to be so.
    let broken = page(&mut alice, &list("Broken"));
    assert_eq!(ids(&broken).len(), 2);
    assert_eq!(broken.matches("Cannot be read").count(), 1);
    let damaged = ids(&broken).into_iter().find(|id| {
        let path = format!("/message/{ALICE}/{}/{id}/Broken", DAYS[0]);
        page(&mut alice, &path).contains("Cannot be read")
    });
    let eml = alice.get(&format!(
        "/eml/{ALICE}/{}/{}/Broken",
        DAYS[0],
        damaged.unwrap()
    ));
    assert_eq!(eml.status, 503);

    // What is gone: the live mailbox is empty, so all of it is.
    let gone = page(&mut alice, &format!("/folders/{ALICE}/deleted"));
    assert!(gone.contains("Deleted mail") && gone.contains(&format!("/list/{ALICE}/deleted/Sent")));
    let gone = page(&mut alice, &format!("/list/{ALICE}/deleted/Sent"));
    let message = page(
        &mut alice,
        &link(&gone, &format!("/message/{ALICE}/deleted/")),
    );
    assert!(
        message.contains("<h1><bdi>Gone ") || message.contains("Hello"),
        "{message}"
    );
}

#[test]
fn a_parent_that_is_no_folder_shows_what_is_below_it() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let mailbox = world.store.mailbox(DAYS[0], ALICE);
    for folder in ["Archive/2024/cur", "Work/Rossi/Old/cur"] {
        mailbox.put(folder, "1.A.mx:2,S", mail("a@x", "Put away", "x"), 1000);
    }
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let leaf = page(&mut alice, &list("Archive/2024"));
    let parent = page(&mut alice, &link(&leaf, &list("Archive\"")));
    assert!(parent.contains("<h1><bdi>Archive</bdi></h1>"), "{parent}");
    assert!(
        !parent.contains("Rossi") && parent.contains("1 message"),
        "{parent}"
    );
    assert_eq!(link(&parent, &list("Archive/")), list("Archive/2024"));
    let work = page(&mut alice, &list("Work"));
    assert!(
        work.contains("<bdi>Rossi</bdi>") && !work.contains(">Work/"),
        "{work}"
    );
    assert_eq!(link(&work, &list("Work/")), list("Work/Rossi/Old"));

    // The same on another date, if it is there.
    let switch = |time: &str| format!("/switch/{ALICE}/{}/Archive?time={time}", DAYS[0]);
    assert_eq!(alice.get(&switch(DAYS[0])).location(), list("Archive"));
    let other = alice.get(&switch(DAYS[1])).location().to_owned();
    assert!(page(&mut alice, &other).contains("The folder Archive is not in this backup."));
    for nowhere in ["Arch", "Archive/20", "Archive/2024/1", "Wor"] {
        assert_eq!(alice.get(&list(nowhere)).status, 404, "{nowhere}");
    }
    assert_eq!(alice.get(&format!("/list/{ALICE}/{}", DAYS[0])).status, 404);
}

#[test]
fn nobody_reads_what_is_not_his() {
    if !able(&NEEDED) {
        return;
    }
    let world = world();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let shown = page(&mut alice, &list("INBOX"));
    let id = &ids(&shown)[0];
    let day = DAYS[0];
    let paths = [
        format!("/calendar/{ALICE}"),
        format!("/folders/{ALICE}/{day}"),
        format!("/folders/{ALICE}/deleted"),
        format!("/folders/{ALICE}/latest"),
        list("INBOX"),
        format!("/list/{ALICE}/deleted/INBOX"),
        format!("/switch/{ALICE}/{day}/INBOX?time={day}"),
        format!("/message/{ALICE}/{day}/{id}/INBOX"),
        format!("/frame/{ALICE}/{day}/{id}/INBOX"),
        format!("/source/{ALICE}/{day}/{id}/INBOX"),
        format!("/attachment/{ALICE}/{day}/{id}/1/INBOX"),
        format!("/eml/{ALICE}/{day}/{id}/INBOX"),
        format!("/mbox/{ALICE}/{day}/INBOX"),
        format!("/maildir/{ALICE}/{day}/INBOX"),
        format!("/maildir/{ALICE}/{day}"),
        format!("/search/{ALICE}?words=hello"),
    ];
    for reader in [BOB, ADMIN] {
        let mut other = portal.signed_in(reader);
        for path in &paths {
            assert_eq!(other.get(path).status, 404, "{reader}: {path}");
        }
        let token = other.token();
        for path in ["/take/mbox", "/take/maildir"] {
            let fields = [
                ("token", token.as_str()),
                ("mailbox", ALICE),
                ("date", day),
                ("folder", "INBOX"),
                ("id", id),
            ];
            assert_eq!(other.post(path, &fields).status, 404, "{reader}: {path}");
        }
    }
    let mut nobody = portal.browser();
    for path in &paths {
        let answer = nobody.get(path);
        assert!(
            answer.status == 303 && answer.location().starts_with("/sign-in?back="),
            "{path}"
        );
    }
    // Tricks with paths lead nowhere, whoever asks.
    for path in [
        format!("/list/{ALICE}/{day}/../{day}/INBOX"),
        format!("/list/{ALICE}/{day}/%2e%2e/INBOX"),
        format!("/list/{BOB}%2f..%2f{ALICE}/{day}/INBOX"),
        format!("/list/{ALICE}/{day}/INBOX%00"),
        format!("/list/{ALICE}/{day}/INBOX/"),
        format!("/list/{ALICE}/{day}/inbox"),
        format!("/list/{ALICE}/{day}/Cestino%2fcur"),
        format!("/list/{ALICE}/{day}/INBOX.mbox"),
        format!("/list/{ALICE}/{day}/{}", "a".repeat(5000)),
        format!("/list/{ALICE}/{day}{}", "/a".repeat(2000)),
        format!("/folders/{ALICE}/{day}/INBOX"),
        format!("/message/{ALICE}/{day}/00000000/INBOX"),
        format!("/message/{ALICE}/{day}/{id}/Sent"),
        format!("/message/{ALICE}/{day}/{id}/INBOX?in=1"),
        format!("/message/{ALICE}/{day}/{id}/INBOX?in=x"),
        format!("/attachment/{ALICE}/{day}/{id}/99999999999/INBOX"),
        format!("/mbox/{ALICE}/1999-01-01/INBOX"),
        format!("/mbox/{ALICE}/{day}"),
    ] {
        assert_eq!(alice.get(&path).status, 404, "{path}");
    }
    // A form without the token of the session takes nothing.
    let fields = [
        ("token", "x"),
        ("mailbox", ALICE),
        ("date", day),
        ("folder", "INBOX"),
        ("id", id),
    ];
    assert_eq!(alice.post("/take/mbox", &fields).status, 403);
}

#[test]
fn what_is_searched_for_is_found() {
    if !able(&NEEDED) {
        return;
    }
    let world = world();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let mut search = |query: &str| page(&mut alice, &format!("/search/{ALICE}{query}"));
    assert!(search("").contains("<form") && !search("").contains("Found"));
    assert!(search("").contains("the text of messages is not"));
    let attached = search("?words=alert");
    assert!(attached.contains("Attached: "), "{attached}");
    assert!(search("?words=+").contains("Say what to look for"));
    assert!(search("?since=yesterday").contains("A date is not understood"));
    let all = search("?subject=gone+since");
    assert!(
        all.contains("Found: 1<") && all.contains(&format!("/message/{ALICE}/{}/", DAYS[0])),
        "{all}"
    );
    assert!(search(&format!("?subject=gone+since&on={}", DAYS[1])).contains("Nothing was found"));
    assert!(search(&format!("?subject=gone+since&on={}", DAYS[0])).contains("Found: 1<"));
    assert!(search("?from=eve").contains("Found: 2<"));
    assert!(search("?words=message+17").contains("Message 17"));
    assert!(search("?words=hello&since=2026-11-19&till=2026-11-19").contains("Found: "));
    assert!(search("?words=%22+OR+*+NEAR(&from=%27--").contains("Nothing was found"));
}

/// A folder of 100,000 messages: figures to be looked at.
#[test]
#[ignore = "a measurement"]
fn a_large_folder() {
    let world = World::new();
    let mailbox = world.store.mailbox(DAYS[1], ALICE);
    for number in 0..100_000 {
        mailbox.number("Large/cur", number);
    }
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let path = format!("/list/{ALICE}/{}/Large", DAYS[1]);
    for what in [
        "",
        "",
        "?page=1000",
        "?sort=sender",
        "?sort=sender&page=900",
        "?sort=subject",
        "?sort=subject",
        "?sort=size",
    ] {
        let start = Instant::now();
        let shown = page(&mut alice, &format!("{path}{what}"));
        println!("{what}: {:?}", start.elapsed());
        assert_eq!(ids(&shown).len(), 50);
    }
    let shown = page(&mut alice, &path);
    let start = Instant::now();
    page(&mut alice, &link(&shown, "/message/"));
    println!("a message: {:?}", start.elapsed());
    let start = Instant::now();
    page(&mut alice, &format!("/folders/{ALICE}/{}", DAYS[1]));
    println!("folders: {:?}", start.elapsed());
}
