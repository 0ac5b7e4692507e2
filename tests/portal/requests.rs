//! Asking for a restore, and deciding on it.

use crate::harness::{able, eventually};
use crate::http::{Browser, encode};
use crate::world::{ADMIN, ALICE, BOB, DAYS, Portal, World};
use std::time::Duration;

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];

/// Asks for alice's folder, with the form that was shown; where the answer leads.
fn ask(alice: &mut Browser, more: &[(&str, &str)]) -> String {
    let what = [("mailbox", ALICE), ("date", DAYS[0]), ("folder", "INBOX")];
    let form = alice.get(&format!("/ask?{}", encode(&what)));
    assert_eq!(form.status, 200);
    let (token, nonce) = (form.field("token"), form.field("nonce"));
    let of_form = [
        ("token", token.as_str()),
        ("nonce", nonce.as_str()),
        ("where", "same"),
    ];
    let fields = [&what[..], more, &of_form].concat();
    let first = alice.post("/ask/send", &fields);
    assert_eq!(first.status, 303, "{}", first.text());
    let again = alice.post("/ask/send", &fields);
    assert_eq!(again.location(), first.location(), "sent twice, asked once");
    first.location().to_owned()
}

fn admin(portal: &Portal) -> Browser {
    portal.signed_in(ADMIN)
}

#[test]
fn a_request_is_made_seen_and_decided() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    world.config = world.config.clone().set("portal.cost", "80 EUR + <VAT>");
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    assert!(
        alice
            .get("/requests")
            .text()
            .contains("not asked for anything")
    );
    let note = "<script>alert(1)</script> =cmd()";
    let at = ask(&mut alice, &[("note", note)]);
    assert_eq!(at, "/requests/1?new=1");
    let page = alice.get(&at).text();
    assert!(
        page.contains("&#60;script&#62;alert(1)") && !page.contains("<script>"),
        "{page}"
    );
    assert!(page.contains("80 EUR + &#60;VAT&#62;") && page.contains("Waiting for a decision"));
    assert!(!page.contains("/approve"), "she does not decide");
    assert!(alice.get("/requests").text().contains("/requests/1"));

    // It is there for her and for administrators.
    let mut bob = portal.signed_in(BOB);
    assert_eq!(bob.get("/requests/1").status, 404);
    assert!(!bob.get("/requests").text().contains("/requests/1"));
    for path in ["/requests/1/approve", "/requests/1/decline"] {
        for browser in [&mut alice, &mut bob] {
            let token = browser.token();
            let fields = [("token", token.as_str()), ("reason", "x")];
            assert_eq!(browser.post(path, &fields).status, 404, "{path}");
        }
    }

    let mut admin = admin(&portal);
    assert!(admin.get("/panel").text().contains("/requests/1"));
    let page = admin.get("/requests/1").text();
    assert!(page.contains("What would be done"), "{page}");
    let token = admin.token();
    let decide = |admin: &mut Browser, path: &str, reason: &str| {
        let fields = [("token", token.as_str()), ("reason", reason)];
        admin.post(path, &fields).location().to_owned()
    };
    let none = decide(&mut admin, "/requests/1/decline", "  ");
    assert_eq!(none, "/requests/1?mistake=reason");
    let done = decide(&mut admin, "/requests/1/decline", "Not now & \"later\"");
    assert_eq!(done, "/requests/1");
    let late = decide(&mut admin, "/requests/1/approve", "");
    assert_eq!(late, "/requests/1?mistake=late");
    let page = alice.get("/requests/1").text();
    assert!(
        page.contains("Declined") && page.contains("Not now &#38; &#34;later&#34;"),
        "{page}"
    );

    let csv = admin.get("/panel/requests.csv");
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert!(csv.header("content-disposition").starts_with("attachment"));
    assert!(csv.text().contains(ALICE), "{}", csv.text());
    assert!(
        admin
            .get("/panel?state=declined")
            .text()
            .contains("/requests/1")
    );
    assert!(
        !admin
            .get("/panel?state=pending")
            .text()
            .contains("/requests/1")
    );
    // Deciding gives an administrator nobody's mail.
    let path = format!("/ask?{}", encode(&[("mailbox", ALICE), ("date", DAYS[0])]));
    assert_eq!(admin.get(&path).status, 404);
}

#[test]
fn folders_are_called_what_people_call_them() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    // The mail server makes her mailbox, without which there is no plan.
    assert!(world.server.fetch().is_empty());
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    alice.post("/language", &[("to", "it"), ("back", "/")]);
    let list = alice.get(&format!("/list/{ALICE}/{}/Sent", DAYS[0])).text();
    assert!(
        list.contains(&format!("<title>Inviati – {} – ", DAYS[0])),
        "{list}"
    );
    let what = [("mailbox", ALICE), ("date", DAYS[0]), ("folder", "INBOX")];
    let form = alice.get(&format!("/ask?{}", encode(&what))).text();
    assert!(form.contains("La cartella Ricevuti"), "{form}");
    assert!(form.contains("name=\"folder\" value=\"INBOX\""), "{form}");
    let at = ask(&mut alice, &[]);
    for path in [at.as_str(), "/requests"] {
        let page = alice.get(path).text();
        assert!(page.contains("La cartella Ricevuti"), "{page}");
    }
    let mut admin = admin(&portal);
    let page = admin.get("/requests/1").text();
    assert!(page.contains("<td>Inbox</td>"), "{page}");
}

#[test]
fn what_was_confirmed_is_in_the_mailbox() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let before = world.server.fetch().len();
    ask(&mut alice, &[]);
    let mut admin = admin(&portal);
    let token = admin.token();
    let done = admin.post("/requests/1/approve", &[("token", &token)]);
    assert_eq!(done.location(), "/requests/1");
    eventually(Duration::from_secs(20), "it is carried out", || {
        alice.get("/requests/1").text().contains(">Done<")
    });
    let after = world.server.fetch().len();
    assert!(after > before, "{before} messages before, {after} after");
    let (took, status) = portal.stop();
    assert!(
        status.success() && took < Duration::from_secs(8),
        "{took:?}"
    );
}

/// What is gone was last seen in several backups: each has a request of its own, all of them or none.
#[test]
fn several_deleted_messages_come_back_from_several_backups() {
    if !able(&NEEDED) {
        return;
    }
    let world = crate::reading::world();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let before = world.server.fetch().len();
    let shown = alice.get(&format!("/list/{ALICE}/deleted/Sent"));
    let chosen = crate::reading::ids(&shown.text());
    let token = alice.token();
    let mut fields = vec![
        ("token", token.as_str()),
        ("mailbox", ALICE),
        ("date", "deleted"),
        ("folder", "Sent"),
    ];
    fields.extend(chosen.iter().map(|id| ("id", id.as_str())));
    let form = alice.post("/ask", &fields);
    assert_eq!(form.status, 200, "{}", form.text());
    assert!(
        form.text().contains("They are in 2 backups"),
        "{}",
        form.text()
    );
    let nonce = form.field("nonce");
    fields.extend([("nonce", nonce.as_str()), ("where", "same")]);
    for _ in 0..2 {
        let sent = alice.post("/ask/send", &fields);
        assert_eq!((sent.status, sent.location()), (303, "/requests?new=1"));
    }
    let mine = alice.get("/requests?new=1").text();
    assert!(
        mine.contains("/requests/1") && mine.contains("/requests/2"),
        "{mine}"
    );
    assert!(mine.contains("Your requests were taken") && !mine.contains("/requests/3"));
    // A part of it that is not there: nothing is asked for.
    let more = [&fields[..], &[("id", "00000000")]].concat();
    assert_eq!(alice.post("/ask/send", &more).status, 404);
    let mut bob = portal.signed_in(BOB);
    let token = bob.token();
    fields[0] = ("token", token.as_str());
    assert_eq!(bob.post("/ask/send", &fields).status, 404);

    let mut admin = admin(&portal);
    let token = admin.token();
    for id in [1, 2] {
        admin.post(&format!("/requests/{id}/approve"), &[("token", &token)]);
        eventually(Duration::from_secs(20), "it is carried out", || {
            let page = alice.get(&format!("/requests/{id}")).text();
            page.contains(">Done<")
        });
    }
    assert_eq!(world.server.fetch().len(), before + chosen.len());
}

#[test]
fn a_form_that_lacks_something_keeps_what_was_written() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let what = [("mailbox", ALICE), ("date", "latest")];
    let form = alice.get(&format!("/ask?{}", encode(&what)));
    let (token, nonce) = (form.field("token"), form.field("nonce"));
    let fields = [
        &what[..],
        &[
            ("token", &token),
            ("nonce", &nonce),
            ("where", "one"),
            ("note", "Please!"),
        ],
    ]
    .concat();
    let again = alice.post("/ask/send", &fields);
    assert_eq!(again.status, 422);
    assert!(again.text().contains("Please!") && again.text().contains("role=\"alert\""));
    assert_eq!(again.field("nonce"), nonce);
    let long = "a".repeat(600);
    for into in ["../../etc", ".", "a//b", "a\r\nb", "a\0b", &long] {
        let fields = [&fields[..], &[("into", into)]].concat();
        let again = alice.post("/ask/send", &fields);
        assert_eq!(again.status, 422, "{into:?}");
        assert!(again.text().contains("cannot name a folder"), "{into:?}");
        assert_eq!(again.field("nonce"), nonce);
    }
    for nonce in ["", "x", "../../../../../../../../../../../"] {
        let fields = [&what[..], &[("token", token.as_str()), ("nonce", nonce)]].concat();
        assert_eq!(alice.post("/ask/send", &fields).status, 400);
    }
}

#[test]
fn metrics_are_on_a_listener_of_their_own() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    world.config = world.config.clone().set("portal.metrics", "127.0.0.1:0");
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    ask(&mut alice, &[]);
    assert_eq!(alice.get("/metrics").status, 404);
    let at = portal.line.split("metrics: http://").nth(1).unwrap();
    let at = at.split('/').next().unwrap().parse().unwrap();
    let text = Browser::new(at).get("/metrics").text();
    for line in [
        "mailtm_portal_dates 2",
        "mailtm_portal_mailboxes 2",
        "mailtm_portal_sessions 1",
        "mailtm_portal_requests{state=\"pending\"} 1",
        "mailtm_portal_letters_waiting 1",
        "mailtm_portal_sign_ins_total{outcome=\"right\"} 1",
        "mailtm_portal_answers_total{class=\"5xx\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
}
