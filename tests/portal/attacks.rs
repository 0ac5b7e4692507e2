//! What nobody should be able to do, over plain HTTP.

use crate::harness::imap_server::PASSWORD;
use crate::harness::{able, eventually};
use crate::http::{encode, parse, say};
use crate::reading::{link, list, page};
use crate::world::{ALICE, BOB, DAYS, World};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];

#[test]
fn every_answer_has_its_headers() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut browser = portal.signed_in(ALICE);
    let start = browser.get("/");
    let style = start.text();
    let style = style.split("href=\"/assets/").nth(1).unwrap();
    let style = format!("/assets/{}", style.split('"').next().unwrap());
    let mut visitor = portal.browser();
    for answer in [
        &start,
        &browser.get("/nothing"),
        &browser.get("/health"),
        &browser.get(&style),
        &browser.post("/sign-out", &[]),
        &visitor.get("/"),
        &visitor.get("/sign-in"),
        &visitor.request("DELETE", "/", None),
    ] {
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{answer:?}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.contains("form-action 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert!(!answer.header("cache-control").is_empty());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            !text.contains("style=\"") && !text.contains("<script>"),
            "{text}"
        );
    }
    assert_eq!(start.header("cache-control"), "no-store");
    let asset = browser.get(&style);
    assert_eq!(asset.header("content-type"), "text/css; charset=utf-8");
    assert!(asset.header("cache-control").contains("immutable"));
    for path in [
        "/assets/style.css",
        "/assets/x-style.css",
        "/assets/../health",
    ] {
        assert_eq!(browser.get(path).status, 404, "{path}");
    }
    assert!(browser.get("/health").text().starts_with("ok"));
}

#[test]
fn cookies_are_for_this_host_alone() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    let portal = world.portal();
    let set = portal.browser().sign_in(ALICE, PASSWORD);
    let cookie = set.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("mailtm=") && cookie.contains("Path=/"),
        "{cookie}"
    );
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    drop(portal);
    world.config = world
        .config
        .clone()
        .set("portal.url", "https://mtm.example.com");
    let portal = world.portal();
    let mut browser = portal.browser();
    let set = browser.sign_in(ALICE, PASSWORD);
    let cookie = set.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("__Host-mailtm=") && cookie.contains("Secure"),
        "{cookie}"
    );
    assert!(!set.header("strict-transport-security").is_empty());
    assert_eq!(browser.get("/").status, 200);
}

#[test]
fn a_forged_or_stolen_half_of_a_session_opens_nothing() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let token = alice.token();
    let cookie = alice.cookies["mailtm"].clone();
    let stored = std::fs::read(world.scratch.join("portal/sessions.sqlite")).unwrap();
    let wal = std::fs::read(world.scratch.join("portal/sessions.sqlite-wal")).unwrap_or_default();
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    for bytes in [&stored, &wal] {
        assert!(!holds(bytes, cookie.as_bytes()) && !holds(bytes, PASSWORD.as_bytes()));
    }
    let forged = [
        String::new(),
        "0".repeat(64),
        cookie[..63].to_owned(),
        format!(
            "{}{}",
            &cookie[..63],
            if cookie.ends_with('0') { '1' } else { '0' }
        ),
        token.clone(),
        format!("{cookie}%00"),
        "' OR 1=1 --".to_owned(),
    ];
    for forged in forged {
        let mut browser = portal.browser();
        browser.cookies.insert("mailtm".into(), forged.clone());
        assert_eq!(browser.get("/").status, 303, "{forged}");
        let fields = [("token", token.as_str())];
        assert_eq!(browser.post("/sign-out", &fields).status, 303);
    }
    // Another one's token, and from pages of others.
    let bobs = portal.signed_in(BOB).token();
    let with = |name: &str, value: &str| {
        let mut browser = portal.browser().with(name, value);
        browser.cookies = alice.cookies.clone();
        browser.post("/sign-out", &[("token", &token)]).status
    };
    let mut browser = portal.browser();
    browser.cookies = alice.cookies.clone();
    for wrong in [bobs.as_str(), "", &token[1..]] {
        assert_eq!(browser.post("/sign-out", &[("token", wrong)]).status, 403);
    }
    assert_eq!(with("Origin", "https://evil.example"), 403);
    assert_eq!(with("Origin", "null"), 403);
    assert_eq!(with("Sec-Fetch-Site", "cross-site"), 403);
    assert_eq!(with("Sec-Fetch-Site", "same-site"), 403);
    assert_eq!(browser.get("/").status, 200, "none of that signed her out");
    assert_eq!(with("Origin", &format!("http://{}", portal.at)), 303);
    assert_eq!(browser.get("/").status, 303);
}

#[test]
fn everywhere_means_every_session_of_hers() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut browsers = [portal.signed_in(ALICE), portal.signed_in(ALICE)];
    let mut bob = portal.signed_in(BOB);
    let token = browsers[0].token();
    let out = browsers[0].post("/sign-out-everywhere", &[("token", &token)]);
    assert_eq!(out.status, 303);
    assert_eq!(browsers[1].get("/").status, 303);
    assert_eq!(bob.get("/").status, 200);
    // Sessions survive a restart.
    let cookies = bob.cookies.clone();
    drop(portal);
    let portal = world.portal();
    let mut bob = portal.browser();
    bob.cookies = cookies;
    assert_eq!(bob.get("/").status, 200);
}

#[test]
fn guesses_are_slowed_down() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let guess = |from: &str, address: &str, password: &str| {
        let mut browser = portal.browser().with("X-Forwarded-For", from);
        browser.post("/sign-in", &[("address", address), ("password", password)])
    };
    for n in 0..7 {
        // From everywhere.
        let answer = guess(&format!("198.51.100.{n}"), ALICE, "wrong");
        if n < 5 {
            assert_eq!(answer.status, 403, "{n}");
        } else if answer.status == 429 {
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=600).contains(&wait));
        }
    }
    let refused = guess("198.51.100.99", "ALICE@EXAMPLE.COM", PASSWORD);
    assert_eq!(refused.status, 429, "even the right one has to wait");
    assert_eq!(guess("198.51.100.99", BOB, PASSWORD).status, 303);
    // One place with many names.
    let mut last = 0;
    for n in 0..40 {
        last = guess(
            "203.0.113.1, 203.0.113.9",
            &format!("u{n}@example.com"),
            "x",
        )
        .status;
    }
    assert_eq!(last, 429);
    assert_eq!(guess("203.0.113.8", BOB, PASSWORD).status, 303);
    drop(portal);
    let portal = world.portal();
    let mut browser = portal.browser();
    let fields = [("address", ALICE), ("password", PASSWORD)];
    let after = browser.post("/sign-in", &fields).status;
    assert!([429, 303].contains(&after), "{after}");
}

#[test]
fn a_mail_server_that_does_not_answer_is_said_to_be() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    world.config = world
        .config
        .clone()
        .set("portal.auth", "imap://127.0.0.1:1");
    let portal = world.portal();
    for _ in 0..8 {
        let fields = [("address", ALICE), ("password", PASSWORD)];
        let answer = portal.browser().post("/sign-in", &fields);
        assert_eq!(answer.status, 503, "and it is nobody's wrong guess");
        assert!(answer.text().contains("does not answer"));
    }
    assert!(portal.log().contains("127.0.0.1:1"), "{}", portal.log());
    assert!(!portal.log().contains(PASSWORD));
}

#[test]
fn odd_and_slow_clients_hold_up_nobody() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let slow: Vec<TcpStream> = (0..200)
        .map(|n| {
            let mut stream = TcpStream::connect(portal.at).unwrap();
            let some: &[u8] = match n % 3 {
                0 => b"",
                1 => b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
                _ => b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                       Content-Length: 100\r\n\r\na=",
            };
            stream.write_all(some).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    assert_eq!(alice.get("/").status, 200);
    assert!(start.elapsed() < Duration::from_secs(2));

    let long = "x".repeat(2 << 20);
    let body = encode(&[("address", &long), ("password", "x")]);
    let answer = alice.request("POST", "/sign-in", Some(&body));
    assert_eq!(answer.status, 400, "a form of 2 MiB");
    let header = format!("GET / HTTP/1.1\r\nHost: x\r\nX-A: {long}\r\n\r\n");
    let answer = parse(&say(portal.at, header.as_bytes()));
    assert_eq!(answer.status, 431);
    for odd in [
        "GET /%00%ff/.. HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET //evil.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /requests/99999999999999999999 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        "rubbish\r\n\r\n",
    ] {
        let status = parse(&say(portal.at, odd.as_bytes())).status;
        assert!((300..500).contains(&status), "{odd}: {status}");
    }
    // Those that never said anything are hung up on.
    let mut silent = slow.into_iter().next().unwrap();
    let limit = Duration::from_secs(25);
    silent.set_read_timeout(Some(limit)).unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).unwrap();
    let (took, status) = portal.stop();
    assert!(
        status.success() && took < Duration::from_secs(6),
        "{took:?}"
    );
}

#[test]
fn who_takes_slowly_takes_up_little() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let attached = "0123456789abcdef0123456789abcdef0123456789abcdef\r\n".repeat(480 << 10);
    let message = format!(
        "From: x@example.com\r\nSubject: Large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: application/x-y\r\nContent-Transfer-Encoding: binary\r\n\
         Content-Disposition: attachment; filename=y\r\n\r\n{attached}\r\n--b--\r\n"
    );
    let mailbox = world.store.mailbox(DAYS[0], ALICE);
    mailbox.put("Large/cur", "1.L.mx:2,S", &message, 1000);
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let shown = page(&mut alice, &list("Large"));
    let shown = page(&mut alice, &link(&shown, "/message/"));
    let path = link(&shown, "/attachment/");
    let words = alice.words("GET", &path, None);
    let status = |words: &str| {
        let mut stream = TcpStream::connect(portal.at).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        (stream, String::from_utf8_lossy(&first[9..]).into_owned())
    };
    // What one person may take up at a time has room for three of them, and what is taken further is taken whole.
    let taken: Vec<_> = (0..5).map(|_| status(&words)).collect();
    let of = |status: &str| taken.iter().filter(|(_, s)| s == status).count();
    assert_eq!((of("200"), of("503")), (3, 2));
    assert_eq!(status(&words).1, "503");
    assert_eq!(alice.get("/").status, 200, "pages are short");
    assert_eq!(portal.signed_in(BOB).get("/").status, 200);
    drop(taken);
    eventually(Duration::from_secs(10), "room", || {
        alice.get(&path).status == 200
    });
    assert!(alice.get(&path).body == attached.as_bytes());

    // A field of two bytes takes up fifty.
    let token = alice.token();
    let many = |fields: usize| format!("token={token}{}", "&a".repeat(fields));
    for (fields, status) in [(100, 404), (50_000, 400)] {
        let answer = alice.request("POST", "/take/mbox", Some(&many(fields)));
        assert_eq!(answer.status, status, "{fields} fields");
    }
    let answer = portal
        .browser()
        .request("POST", "/sign-in", Some(&"a".repeat(20_000)));
    assert_eq!(answer.status, 400, "a long form of a visitor");
}

#[test]
fn what_is_not_hers_does_not_exist() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    for (mailbox, folder) in [
        (BOB, ""),
        ("BOB@example.com", ""),
        ("nobody@example.com", ""),
        ("", ""),
        ("..", ""),
        (ALICE, "Nothing"),
        (ALICE, "../bob"),
        (ALICE, "INBOX/../INBOX"),
        (ALICE, "INBOX\0"),
    ] {
        let fields = [("mailbox", mailbox), ("date", DAYS[0]), ("folder", folder)];
        let path = format!("/ask?{}", encode(&fields));
        assert_eq!(alice.get(&path).status, 404, "{path}");
    }
    for date in ["2026-11-19", "..", "2026-11-20/../2026-11-21", ""] {
        let path = format!("/ask?{}", encode(&[("mailbox", ALICE), ("date", date)]));
        assert_eq!(alice.get(&path).status, 404, "{path}");
    }
    for path in [
        "/panel",
        "/panel/requests.csv",
        "/requests/1",
        "/requests/x",
        "/requests/-1",
    ] {
        assert_eq!(alice.get(path).status, 404, "{path}");
    }
}
