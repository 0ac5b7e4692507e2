//! The whole portal is killed, again and again, while somebody asks for a restore, an administrator confirms it, it is carried out
//! into the mailbox of a real mail server, and letters are sent.
//!
//! Those who use it do what people do: what got no answer they send again.

use crate::harness::sink::Sink;
use crate::harness::{Numbers, able};
use crate::http::{Answer, Browser, encode, try_parse, try_say};
use crate::world::{ADMIN, ALICE, BOB, DAYS, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];

/// How often it is killed, unless PORTAL_KILLS says otherwise.
const KILLS: u64 = 8;

/// How long the life of a request may take, killings included.
const LIMIT: Duration = Duration::from_secs(60);

/// Somebody who sends again what got no answer.
struct Patient {
    browser: Browser,
    end: Instant,
}

impl Patient {
    fn request(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = encode(fields);
        let body = (method == "POST").then_some(body.as_str());
        loop {
            let said = self.browser.words(method, path, body);
            let answer =
                try_say(self.browser.at, said.as_bytes()).and_then(|bytes| try_parse(&bytes));
            // Starting, it may not have its databases open yet.
            match answer.filter(|answer| answer.status < 500) {
                Some(answer) => return answer,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
            assert!(Instant::now() < self.end, "{method} {path}: no answer");
        }
    }

    fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }
}

/// Asks, confirms, and waits for the outcome; the path of the request.
fn live(alice: &mut Patient, admin: &mut Patient) -> String {
    let what = [("mailbox", ALICE), ("date", DAYS[0]), ("folder", "INBOX")];
    let form = alice.get(&format!("/ask?{}", encode(&what)));
    let (token, nonce) = (form.field("token"), form.field("nonce"));
    let of_form = [
        ("token", token.as_str()),
        ("nonce", &nonce),
        ("where", "same"),
    ];
    let sent = alice.request("POST", "/ask/send", &[&what[..], &of_form].concat());
    assert_eq!(sent.status, 303, "{}", sent.text());
    let at = sent.location().split('?').next().unwrap().to_owned();
    let token = admin.get("/panel").field("token");
    let decided = admin.request("POST", &format!("{at}/approve"), &[("token", &token)]);
    // Sent again after it was noted, it is told to be decided.
    let expected = [at.clone(), format!("{at}?mistake=late")];
    assert!(
        expected.contains(&decided.location().to_owned()),
        "{decided:?}"
    );
    loop {
        let page = alice.get(&at).text();
        if page.contains(">Done<") {
            return at;
        }
        assert!(
            !page.contains(">Failed<") && !page.contains(">Done in part<"),
            "{page}"
        );
        assert!(Instant::now() < alice.end, "no outcome: {page}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The letters there are: how many different ones each person has got about each request.
fn letters(sink: &Sink) -> BTreeMap<(String, String), usize> {
    let mut ids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for letter in sink.letters() {
        let subject = letter.subject();
        ids.entry((letter.to[0].clone(), subject))
            .or_default()
            .insert(letter.id());
    }
    ids.into_iter().map(|(key, ids)| (key, ids.len())).collect()
}

#[test]
fn the_portal_is_killed_at_random_moments() {
    if !able(&NEEDED) {
        return;
    }
    let kills = std::env::var("PORTAL_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let seed = std::env::var("PORTAL_SEED").map_or(20_261_122, |n| n.parse().unwrap());
    let mut numbers = Numbers(seed);
    let mut world = World::new();
    for day in DAYS {
        let mailbox = world.store.mailbox(day, ALICE);
        for number in 0..30 {
            mailbox.number("cur", number);
        }
    }
    world.store.mailbox(DAYS[0], BOB);
    let sink = Sink::start();
    // The same address from one life to the next.
    let at: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    world.config = world
        .config
        .clone()
        .set("portal.listen", at.to_string())
        .set("portal.smtp", format!("smtp://127.0.0.1:{}", sink.port))
        .set("portal.from", "Mail Time Machine <mtm@example.com>")
        .set("portal.url", "https://mtm.example.com");
    assert!(world.server.fetch().is_empty());
    let portal = world.portal();
    let browsers = [ALICE, ADMIN].map(|who| portal.signed_in(who));
    let cookies = browsers.map(|browser| browser.cookies);
    let [mut alice, mut admin] = cookies.map(|cookies| {
        let mut browser = Browser::new(at);
        browser.cookies = cookies;
        Patient {
            browser,
            end: Instant::now() + LIMIT,
        }
    });
    let start = Instant::now();
    live(&mut alice, &mut admin);
    let undisturbed = start.elapsed();
    let expected = world.server.fetch().len();
    assert!(expected >= 30);
    drop(portal);

    let (mut killed, mut rounds, mut whole) = (0, 0, Vec::new());
    while killed < kills {
        rounds += 1;
        world.server.adm(&["expunge", "mailbox", "*", "all"]);
        assert!(world.server.fetch().is_empty());
        let limit = Instant::now() + LIMIT;
        (alice.end, admin.end) = (limit, limit);
        let done = AtomicBool::new(false);
        let moments: Vec<u64> = (0..3)
            .map(|_| numbers.below(u64::try_from(undisturbed.as_micros()).unwrap()))
            .collect();
        let what = format!("round {rounds}, killed after {moments:?} us");
        std::thread::scope(|scope| {
            let living = scope.spawn(|| {
                // However it ends, whoever kills ends with it.
                struct Done<'a>(&'a AtomicBool);
                impl Drop for Done<'_> {
                    fn drop(&mut self) {
                        self.0.store(true, Ordering::Relaxed);
                    }
                }
                let _done = Done(&done);
                live(&mut alice, &mut admin)
            });
            // Killed a few times, and then left alone.
            let mut moments = moments.iter();
            while !done.load(Ordering::Relaxed) {
                let portal = world.portal();
                match moments.next() {
                    Some(moment) => {
                        std::thread::sleep(Duration::from_micros(*moment));
                        if !done.load(Ordering::Relaxed) {
                            killed += 1;
                        }
                        portal.kill();
                    }
                    None => {
                        while !done.load(Ordering::Relaxed) {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        // Letters may still be on their way: the next round's first life sends them.
                        portal.kill();
                    }
                }
            }
            whole.push(living.join().unwrap_or_else(|_| panic!("{what}")));
        });
        // Once each, wherever it ended.
        let found = world.server.fetch();
        let distinct: BTreeSet<&str> = found.iter().map(|m| m.digest.as_str()).collect();
        assert_eq!(
            (found.len(), distinct.len()),
            (expected, expected),
            "{what}"
        );
    }
    // Letters that were left to be sent are sent.
    let portal = world.portal();
    let requests = rounds + 1;
    let come = || letters(&sink).values().sum::<usize>() as u64;
    let (mut before, mut end) = (0, Instant::now() + LIMIT);
    while come() < 2 * requests && Instant::now() < end {
        if come() > before {
            // As long as they come, more may.
            (before, end) = (come(), Instant::now() + LIMIT);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(portal);
    // Of every request the administrator has one letter and she has one: as many numbers as rounds, and none twice.
    let all: BTreeSet<&String> = whole.iter().collect();
    assert_eq!(all.len() as u64, rounds, "{whole:?}");
    let letters = letters(&sink);
    assert_eq!(
        letters.values().sum::<usize>() as u64,
        2 * requests,
        "{letters:#?}"
    );
    for person in [ALICE, ADMIN] {
        let theirs = letters.iter().filter(|((to, _), _)| to == person);
        assert_eq!(
            theirs.map(|(_, n)| n).sum::<usize>() as u64,
            requests,
            "{person}"
        );
    }
    println!("{rounds} requests, the portal killed {killed} times; a life takes {undisturbed:?}");
}
