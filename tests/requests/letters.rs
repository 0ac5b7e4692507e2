//! Letters come, whatever the mail server does.

use crate::harness::sink::{Fault, Security, Sink, USER};
use crate::harness::{able, eventually, skipped, within};
use crate::{ALICE, MESSAGES, World};
use mailtm::requests::State;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

fn end(mut worker: Child) -> Duration {
    let start = Instant::now();
    kill_process(Pid::from_child(&worker), Signal::TERM).unwrap();
    let ended = within(Duration::from_secs(15), "the worker's end", move || {
        worker.wait().unwrap()
    });
    assert!(ended.success(), "{ended}");
    start.elapsed()
}

#[test]
fn refused_dropped_and_sent_again() {
    let world = World::new();
    world.sink.fail(&[
        Fault::Later,
        Fault::Silent,
        Fault::Never,
        Fault::Silent,
        Fault::Later,
    ]);
    let id = world.ask();
    world.store().approve(id, "carla@example.com").unwrap();
    let worker = world.start(&["work"]);
    eventually(Duration::from_secs(60), "all letters sent", || {
        let details = world.store().get(id).unwrap();
        details.letters.len() == 3 && details.letters.iter().all(|l| l.sent.is_some())
    });
    end(worker);
    assert!(world.sink.has_failed());
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for letter in world.sink.letters() {
        ids.entry(letter.to[0].clone())
            .or_default()
            .push(letter.id());
    }
    // What came twice is the same letter.
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert_eq!(ids.values().map(Vec::len).sum::<usize>(), 5, "{ids:?}");
    for same in ids.values_mut() {
        same.dedup();
        assert_eq!(same.len(), 1);
    }
}

#[test]
fn a_mail_server_that_hangs_keeps_nobody_waiting() {
    let world = World::new();
    world.sink.fail(&[Fault::Hanging; 10]);
    let id = world.ask();
    let worker = world.start(&["work"]);
    eventually(Duration::from_secs(20), "the first letter tried", || {
        !world.sink.has_failed()
    });
    world.store().approve(id, "carla@example.com").unwrap();
    eventually(Duration::from_secs(20), "the restore", || {
        world.store().get(id).unwrap().request.state == State::Done
    });
    assert_eq!(world.restored().len() as u64, MESSAGES);
    let took = end(worker);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(world.store().letters_waiting().unwrap(), 3);
}

#[test]
fn without_a_mail_server_letters_wait() {
    let mut world = World::new();
    let smtp = format!("smtp://127.0.0.1:{}", world.sink.port);
    world.configure(|config| config.unset("portal.smtp"));
    world.ask();
    let output = world.run(&["approve", "1"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("letters about requests wait"), "{said}");
    assert_eq!(world.store().letters_waiting().unwrap(), 3);
    world.configure(|config| config.set("portal.smtp", smtp));
    world.says(&["work", "--once"], 0);
    assert_eq!(world.sink.letters().len(), 3);
    assert_eq!(world.store().letters_waiting().unwrap(), 0);
}

#[test]
fn a_wrong_template_is_told_at_the_start() {
    let mut world = World::new();
    let templates = world.scratch.subdirectory("templates");
    world.configure(|config| config.set("portal.templates", templates.to_str().unwrap()));
    let file = templates.join("done.it.txt");
    std::fs::write(&file, "Subject: Fatto {mailbox}\n\n{names}\n").unwrap();
    world.ask();
    for args in [&["approve", "1"][..], &["work", "--once"]] {
        let output = world.run(args);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("done.it.txt: line 3") && said.contains("{names}"),
            "{said}"
        );
    }
    assert!(world.restored().is_empty(), "it is not approved");
    std::fs::write(&file, "Subject: Fatto: {mailbox}\n\nSono {created}.\n").unwrap();
    world.says(&["approve", "1"], 0);
    let letters = world.sink.letters();
    let letter = letters.iter().find(|l| l.to == [ALICE]).unwrap();
    assert_eq!(letter.subject(), format!("Fatto: {ALICE}"));
    assert_eq!(letter.text(), format!("Sono {MESSAGES}.\n"));
}

/// A mail server with TLS that wants a password, and the file of that.
fn safe(at_once: bool) -> World {
    let mut world =
        World::with(|scratch| Sink::start_with(Some(Security::new(scratch.path(), at_once))));
    let file = world.scratch.join("password");
    std::fs::write(&file, format!("{}\nmore\n", USER.1)).unwrap();
    let scheme = if at_once { "smtps" } else { "smtp" };
    let server = format!("{scheme}://localhost:{}", world.sink.port);
    let authority = world.sink.certificate().unwrap().to_owned();
    world.configure(|config| {
        config
            .set("portal.smtp", server)
            .set("portal.smtp_user", USER.0)
            .set("portal.smtp_password_file", file.to_str().unwrap())
            .set("portal.ca_file", authority.to_str().unwrap())
    });
    world
}

/// Has the letters of a request sent; how many came, and why the others did not.
fn sent(world: &World) -> (usize, String) {
    let id = world.ask();
    world.says(&["work", "--once"], 0);
    let letters = world.store().get(id).unwrap().letters;
    let trouble = letters.into_iter().find_map(|letter| letter.trouble);
    (world.sink.letters().len(), trouble.unwrap_or_default())
}

#[test]
fn over_tls_with_a_password() {
    if !able(&["openssl"]) {
        return;
    }
    for at_once in [true, false] {
        let world = safe(at_once);
        assert_eq!(sent(&world), (2, String::new()), "{at_once}");
        assert!(world.sink.said_openly().is_empty());

        let mut world = safe(at_once);
        std::fs::write(world.scratch.join("password"), "another\n").unwrap();
        let (come, trouble) = sent(&world);
        assert!(come == 0 && trouble.contains("5.7.8"), "{trouble}");

        // Another authority's certificate.
        let other = world.scratch.subdirectory("other");
        let other = Security::new(&other, at_once).certificate;
        world.configure(|config| config.set("portal.ca_file", other.to_str().unwrap()));
        let id = world.store().make(world.asked("2")).unwrap();
        world.says(&["work", "--once"], 0);
        assert!(world.sink.letters().is_empty());
        let letters = world.store().get(id).unwrap().letters;
        let trouble = letters[0].trouble.clone().unwrap();
        assert!(trouble.contains("ertificate"), "{trouble}");
        assert!(world.sink.said_openly().is_empty());
    }
}

/// On this host a certificate that nobody knows does no harm: many mail servers offer TLS with one.
#[test]
fn on_this_host_a_certificate_of_its_own_is_good_enough() {
    if !able(&["openssl"]) {
        return;
    }
    let mut world = safe(false);
    world.configure(|config| config.unset("portal.ca_file"));
    assert_eq!(sent(&world), (2, String::new()));
}

/// What is not known to be this host is another one.
#[test]
fn nothing_goes_to_another_host_without_tls() {
    let mut world = World::new();
    let name = rustix::system::uname();
    let name = name.nodename().to_str().unwrap();
    let address = format!("{name}:{}", world.sink.port);
    let reached = std::net::ToSocketAddrs::to_socket_addrs(&address);
    if !reached.is_ok_and(|mut all| all.any(|at| at.ip().is_loopback())) {
        return skipped("needs the name of this host to lead to 127.0.0.1");
    }
    let file = world.scratch.join("password");
    std::fs::write(&file, USER.1).unwrap();
    world.configure(|config| {
        config
            .set("portal.smtp", format!("smtp://{address}"))
            .set("portal.smtp_user", USER.0)
            .set("portal.smtp_password_file", file.to_str().unwrap())
    });
    let (come, trouble) = sent(&world);
    assert_eq!(come, 0);
    assert!(trouble.contains("STARTTLS"), "{trouble}");
}
