//! Signing in, sessions, and whose mail they open.

use crate::harness::able;
use crate::server::PASSWORD;
use crate::world::{ADMIN, ALICE, BOB, World};

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];

#[test]
fn somebody_signs_in_and_out() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    assert!(portal.line.contains("portal is ready"), "{}", portal.line);
    let mut browser = portal.browser();
    let away = browser.get("/");
    assert_eq!((away.status, away.location()), (303, "/sign-in?back=%2F"));
    let form = browser.get(away.location());
    assert_eq!(form.status, 200);
    let back = "<input type=\"hidden\" name=\"back\" value=\"/\">";
    assert!(form.text().contains(back), "{}", form.text());

    let wrong = browser.post("/sign-in", &[("address", ALICE), ("password", "wrong")]);
    let unknown = browser.post(
        "/sign-in",
        &[("address", "nobody@example.com"), ("password", "wrong")],
    );
    assert_eq!((wrong.status, unknown.status), (403, 403));
    assert_eq!(
        wrong.text().replace(ALICE, ""),
        unknown.text().replace("nobody@example.com", "")
    );
    assert!(wrong.header("set-cookie").is_empty());

    browser.sign_in("ALICE@example.com", PASSWORD);
    let start = browser.get("/");
    assert_eq!(start.status, 200);
    assert!(start.text().contains(ALICE) && !start.text().contains(BOB));
    let token = start.field("token");
    assert_eq!(browser.post("/sign-out", &[("token", "wrong")]).status, 403);
    assert_eq!(browser.get("/").status, 200);
    let cookies = browser.cookies.clone();
    let out = browser.post("/sign-out", &[("token", &token)]);
    assert_eq!((out.status, out.location()), (303, "/sign-in?out=1"));
    browser.cookies = cookies;
    assert_eq!(browser.get("/").status, 303, "the session has ended");

    let log = portal.log();
    assert!(!log.contains(PASSWORD), "{log}");
    let (took, status) = portal.stop();
    assert!(status.success() && took.as_secs() < 5, "{took:?} {status}");
}

#[test]
fn who_has_no_mailbox_and_decides_nothing_is_told_so() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut browser = portal.browser();
    let fields = [("address", "carol@example.com"), ("password", PASSWORD)];
    let told = browser.post("/sign-in", &fields);
    assert_eq!(told.status, 403);
    assert!(told.text().contains("No backup of this mailbox"));
    assert!(browser.cookies.is_empty());
    let mut admin = portal.signed_in(ADMIN);
    let start = admin.get("/").text();
    assert!(!start.contains(ALICE), "{start}");
}
