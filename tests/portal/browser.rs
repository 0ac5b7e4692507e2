//! In a real browser: the way from signing in to mail that is back, with the keyboard, on a telephone, and for a screen reader.

use crate::chromium::{Chromium, axe};
use crate::harness::imap_server::PASSWORD;
use crate::harness::{able, skipped};
use crate::world::{ADMIN, ALICE, DAYS, Portal, World};
use serde_json::Value;

const NEEDED: [&str; 4] = ["doveadm", "dovecot", "chromium", "chromedriver"];

/// The browser's window on a desk, and as wide as a telephone.
const SIZES: [(&str, u32, u32); 2] = [("wide", 1200, 900), ("narrow", 390, 844)];

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

/// Takes pictures of a page in all sizes, and finds fault with it.
fn look(browser: &Chromium, name: &str, axe: Option<&str>) {
    for (size, width, height) in SIZES {
        browser.resize(width, height);
        browser.picture(&format!("{name}-{size}"));
        let wider = browser.run("return document.documentElement.scrollWidth > innerWidth");
        assert_eq!(
            wider,
            Value::Bool(false),
            "{name}: wider than the window ({size})"
        );
        // Once is enough: the pages are the same.
        let Some(axe) = axe.filter(|_| size == "wide") else {
            continue;
        };
        let script = format!(
            "{axe}; const done = arguments[arguments.length - 1]; \
             axe.run().then(r => done(r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + n.failureSummary).join('; '))), \
             e => done([String(e)]))"
        );
        let found = browser.wait_for(&script);
        assert_eq!(found, Value::Array(Vec::new()), "{name} ({size})");
    }
}

#[test]
fn a_request_by_way_of_the_pages() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    world.config = world.config.clone().set("portal.cost", "80 EUR + VAT");
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
    browser.click("main a[href^='/folders/']");
    browser.see("Sent");
    look(&browser, "folders", axe);
    browser.click("main a[href^='/list/']");
    browser.see("Message 60");
    look(&browser, "list", axe);
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
    browser.open(&format!("http://{}/list/{ALICE}/deleted/Sent", portal.at));
    look(&browser, "gone", axe);
}
