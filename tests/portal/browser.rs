//! In a real browser: the way from signing in to mail that is back, with the keyboard, on a telephone, and for a screen reader.

use crate::chromium::{Chromium, axe};
use crate::harness::imap_server::PASSWORD;
use crate::harness::sink::{Letter, Sink};
use crate::harness::{able, eventually, skipped};
use crate::world::{ADMIN, ALICE, DAYS, Portal, World};
use serde_json::Value;
use std::time::Duration;

const NEEDED: [&str; 4] = ["doveadm", "dovecot", "chromium", "chromedriver"];

/// The browser's window on a desk, by day, and as wide as a telephone, at night.
const WAYS: [(&str, u32, u32, &str); 2] =
    [("wide", 1200, 900, "light"), ("narrow", 390, 844, "dark")];

fn sign_in(browser: &Chromium, portal: &Portal, address: &str) {
    browser.open(&format!("http://{}/sign-in", portal.at));
    browser.write("#address", address);
    browser.write("#password", PASSWORD);
    browser.click("main button");
    browser.see("Sign out");
}

fn ask(browser: &Chromium, portal: &Portal) {
    let query = format!("mailbox={ALICE}&date={}&folder=INBOX", DAYS[0]);
    browser.open(&format!("http://{}/ask?{query}", portal.at));
    browser.write("#note", "I have deleted it by mistake.");
    browser.click("main form button");
    browser.see("Your request was taken");
}

/// Takes pictures of a page in all ways, and finds fault with it.
fn look(browser: &Chromium, name: &str, axe: Option<&str>) {
    for (size, width, height, scheme) in WAYS {
        browser.resize(width, height);
        browser.prefer(scheme);
        // Until that is painted; a frame is not before somebody gets to see it.
        browser.run("document.querySelector('iframe')?.scrollIntoView({ block: 'center' })");
        browser.wait_for("const done = arguments[arguments.length - 1]; setTimeout(() => requestAnimationFrame(() => done(1)), 100)");
        browser.picture(&format!("{name}-{size}"));
        let wider = browser.run("return document.documentElement.scrollWidth > innerWidth");
        assert_eq!(
            wider,
            Value::Bool(false),
            "{name}: wider than the window ({size})"
        );
        let is_dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches");
        assert_eq!(is_dark, Value::Bool(scheme == "dark"));
        let Some(axe) = axe else {
            continue;
        };
        let script = format!(
            "{axe}; const done = arguments[arguments.length - 1]; \
             axe.run().then(r => done(r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + n.failureSummary).join('; '))), \
             e => done([String(e)]))"
        );
        let found = browser.wait_for(&script);
        assert_eq!(found, Value::Array(Vec::new()), "{name} ({size}, {scheme})");
    }
}

#[test]
fn a_request_by_way_of_the_pages() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    let sink = Sink::start();
    world.config = world
        .config
        .clone()
        .set("portal.cost", "80 EUR + VAT")
        .set("portal.smtp", format!("smtp://127.0.0.1:{}", sink.port))
        .set("portal.from", "Mail Time Machine <mtm@example.com>")
        .set("portal.url", "https://mtm.example.com");
    let portal = world.portal();
    // The mail server makes her mailbox when it is first looked into.
    let before = world.server.fetch().len();
    let axe = axe(&world.scratch);
    if axe.is_none() {
        skipped("axe-core cannot be fetched with npm, so pages are not searched for barriers");
    }
    let axe = axe.as_deref();
    let browser = Chromium::start(&world.scratch);
    browser.open(&format!("http://{}/requests", portal.at));
    browser.see("E-mail address");
    look(&browser, "sign-in", axe);
    browser.write("#address", ALICE);
    browser.write("#password", "wrong");
    browser.click("main button");
    browser.see("not right");
    look(&browser, "sign-in-wrong", axe);
    // With the keyboard alone, from where the page puts the focus.
    browser.press(&format!("{PASSWORD}\u{e007}"));
    browser.see("You have not asked for anything yet");
    assert!(
        browser.address().ends_with("/requests"),
        "back to where she was"
    );
    look(&browser, "none", axe);
    let query = format!("mailbox={ALICE}&date={}&folder=INBOX", DAYS[0]);
    browser.open(&format!("http://{}/ask?{query}", portal.at));
    look(&browser, "ask", axe);
    ask(&browser, &portal);
    look(&browser, "request", axe);
    let letter = a_letter(&sink, ADMIN);
    assert!(
        letter.text().contains("https://mtm.example.com/requests/1"),
        "{}",
        letter.text()
    );
    assert!(letter.text().contains("I have deleted it by mistake."));
    browser.click(".top form[action='/language'] button");
    browser.see("In attesa di decisione");
    assert_eq!(browser.run("return document.documentElement.lang"), "it");
    look(&browser, "request-it", axe);
    browser.click(".top form[action='/language'] button");
    browser.see("Waiting for a decision");
    browser.open(&format!("http://{}/nothing", portal.at));
    look(&browser, "not-found", axe);
    browser.click(".top form[action='/sign-out'] button");
    browser.see("You are signed out");

    sign_in(&browser, &portal, ADMIN);
    browser.click("nav a[href='/panel']");
    browser.see("Export as CSV");
    look(&browser, "panel", axe);
    browser.click("main td a");
    browser.see("What would be done");
    look(&browser, "decide", axe);
    browser.click("main form[action$='/approve'] button");
    browser.see("Request 1");
    for _ in 0..40 {
        if browser.text().contains("Put back") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
        browser.open(&format!("http://{}/requests/1", portal.at));
    }
    browser.see("Put back");
    look(&browser, "done", axe);
    assert!(world.server.fetch().len() > before);
    a_letter(&sink, ALICE);
    browser.click(".top form[action='/sign-out'] button");

    // Another one is declined, and one is left until its backup is gone.
    sign_in(&browser, &portal, ALICE);
    ask(&browser, &portal);
    ask(&browser, &portal);
    browser.click(".top form[action='/sign-out'] button");
    a_letter(&sink, ADMIN);
    a_letter(&sink, ADMIN);
    sign_in(&browser, &portal, ADMIN);
    browser.open(&format!("http://{}/requests/2", portal.at));
    browser.write("#reason", "It is in your Trash.");
    browser.click("main form[action$='/decline'] button");
    browser.see("Declined");
    look(&browser, "declined", axe);
    assert!(
        a_letter(&sink, ALICE)
            .text()
            .contains("It is in your Trash.")
    );
    drop(portal);
    std::fs::remove_dir_all(world.store.path.join(DAYS[0])).unwrap();
    let portal = world.portal();
    for person in [ALICE, ADMIN] {
        a_letter(&sink, person);
    }
    browser.open(&format!("http://{}/requests/3", portal.at));
    browser.see("Lapsed");
    look(&browser, "lapsed", axe);
    assert!(sink.letters().is_empty(), "nothing was told twice");
}

/// The next letter to somebody.
fn a_letter(sink: &Sink, to: &str) -> Letter {
    let mut found = None;
    eventually(Duration::from_secs(20), "a letter", || {
        found = sink.take_one(to);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn reading_by_way_of_the_pages() {
    if !able(&NEEDED) {
        return;
    }
    let world = crate::reading::world();
    let portal = world.portal();
    let axe = axe(&world.scratch);
    let axe = axe.as_deref();
    let browser = Chromium::start(&world.scratch);
    sign_in(&browser, &portal, ALICE);
    browser.see("2026");
    look(&browser, "calendar", axe);
    // Another day than the one that is offered.
    browser.click(&format!(".month a[href$='/{}']", DAYS[0]));
    browser.see("20 November 2026");
    browser.see("Broken");
    browser.click(&format!(".dates a[href$='time={}']", DAYS[1]));
    browser.see("21 November 2026");
    browser.see("Sent");
    look(&browser, "folders", axe);
    browser.click("main a[href^='/list/']");
    browser.see("Message 60");
    look(&browser, "list", axe);

    for button in ["button:not([formaction])", "button[formaction='/ask']"] {
        browser.click(&format!("form[action='/take/mbox'] .actions {button}"));
        browser.see("Nothing was chosen");
        browser.run("history.back()");
        browser.see("Message 60");
    }

    // Twenty messages, and the folder: what a browser saves is what the mount has, which plain HTTP is compared with.
    let mut plain = portal.signed_in(ALICE);
    let chosen = browser.run(
        "const some = [...document.querySelectorAll('input[name=id]')].slice(0, 20);
         for (const box of some) box.checked = true;
         return some.map(box => box.value)",
    );
    let chosen: Vec<&str> = chosen
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    let token = plain.token();
    let mut fields = vec![
        ("token", token.as_str()),
        ("mailbox", ALICE),
        ("date", DAYS[1]),
        ("folder", "INBOX"),
    ];
    fields.extend(chosen.iter().map(|id| ("id", *id)));
    let (name, bytes) =
        browser.download("form[action='/take/mbox'] .actions button:not([formaction])");
    assert_eq!(name, format!("{ALICE} {} INBOX.mbox", DAYS[1]));
    assert!(
        bytes == plain.post("/take/mbox", &fields).body,
        "twenty messages"
    );
    assert_eq!(
        bytes
            .windows(19)
            .filter(|w| w == b"From MAILER-DAEMON ")
            .count(),
        20
    );
    let (name, bytes) = browser.download("main a[href^='/maildir/']");
    assert_eq!(name, format!("{ALICE} {} INBOX.tar", DAYS[1]));
    let folder = plain.get(&format!("/maildir/{ALICE}/{}/INBOX", DAYS[1]));
    assert!(bytes == folder.body, "a folder");

    browser.click("main a[href^='/message/']");
    look(&browser, "message", axe);
    let source = "main a[href^='/source/']";
    assert_eq!(
        browser.run(&format!(
            "return document.querySelectorAll(\"{source}\").length"
        )),
        1
    );
    browser.click("a[href^='/search/'], form[action^='/search/'] button");
    look(&browser, "search", axe);
    browser.write("#subject", "gone since\u{e007}");
    browser.see("Found: 1");
    look(&browser, "found", axe);
    browser.click("td.subject a");
    browser.see("Gone since");
    browser.open(&format!("http://{}/list/{ALICE}/deleted/Sent", portal.at));
    look(&browser, "gone", axe);
    let chosen =
        "for (const box of document.querySelectorAll('input[name=id]')) box.checked = true";
    browser.run(chosen);
    browser.click("button[formaction='/ask']");
    browser.see("a request is made for each");
    look(&browser, "ask-gone", axe);
    // The same in the other language.
    browser.click(".top form[action='/language'] button");
    browser.see("Esci");
    let hostile = format!("http://{}/search/{ALICE}?words=alert", portal.at);
    for (name, path) in [
        ("calendar-it", "/".to_owned()),
        ("folders-it", format!("/folders/{ALICE}/{}", DAYS[1])),
        ("list-it", crate::reading::list("INBOX")),
        ("gone-it", format!("/list/{ALICE}/deleted/Sent")),
        ("search-it", format!("/search/{ALICE}?words=message")),
    ] {
        browser.open(&format!("http://{}{path}", portal.at));
        assert_eq!(browser.run("return document.documentElement.lang"), "it");
        look(&browser, name, None);
    }
    browser.open(&hostile);
    browser.click("td.subject a");
    look(&browser, "message-it", axe);
    // With its umlauts, its HTML in a frame, and its attachments.
    browser.see("Grüße");
    let frame = browser.run("return document.querySelector('iframe').getAttribute('sandbox')");
    assert_eq!(frame, "allow-popups allow-popups-to-escape-sandbox");
    assert!(
        browser.text().contains("alert(6)"),
        "the name of an attachment"
    );
    let (name, bytes) = browser.download("main a[href^='/eml/']");
    assert!(
        name.starts_with("2026-11-19 1000 ") && name.ends_with(".eml"),
        "{name}"
    );
    assert_eq!(bytes, crate::hostile::HOSTILE.as_bytes());
}
