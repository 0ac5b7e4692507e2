//! Signing in, sessions, and whose mail they open.

use crate::harness::imap_server::PASSWORD;
use crate::harness::mount::mailtm;
use crate::harness::{able, eventually, output};
use crate::http::Browser;
use crate::world::{ADMIN, ALICE, BOB, World};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

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
    let kept = std::fs::read_dir(world.scratch.join("portal")).unwrap();
    let kept = kept.map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| path.is_file()).collect();
    assert!(!kept.is_empty());
    for path in kept {
        let bytes = std::fs::read(&path).unwrap();
        let found = memchr::memmem::find(&bytes, PASSWORD.as_bytes());
        assert!(found.is_none(), "{}", path.display());
    }
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

#[test]
fn systemd_hands_over_the_socket() {
    if !able(&[&NEEDED[..], &["systemd-socket-activate"]].concat()) {
        return;
    }
    let world = World::new();
    let file = world.config.write();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let mut portal = Command::new("systemd-socket-activate")
        .args(["-l", &at.to_string(), env!("CARGO_BIN_EXE_mailtm")])
        .args(["portal", "--config", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually(Duration::from_secs(10), "the socket is there", || {
        TcpStream::connect(at).is_ok()
    });
    assert!(Browser::new(at).get("/health").text().starts_with("ok"));
    kill_process(Pid::from_child(&portal), Signal::TERM).unwrap();
    assert!(portal.wait().unwrap().success());
}

#[test]
fn what_is_missing_in_the_configuration_is_said_with_a_cure() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    for (key, cure) in [
        ("portal.auth", "write auth = "),
        ("source.snapshots", "snapshots"),
    ] {
        let config = world.config.clone().unset(key);
        let file = config.write().to_str().unwrap().to_owned();
        let said = output(&mut mailtm(&["portal", "--config", &file]));
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(2), "{text}");
        assert!(text.contains(cure), "{text}");
    }
}
