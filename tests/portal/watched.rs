//! What those see who watch the portal, and what the portal can no longer do.

use crate::harness::{Config, able, eventually, mount::Mount};
use crate::http::{Browser, say};
use crate::world::{ALICE, DAYS, World};
use mailtm::mount::sandbox;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];
const SOON: Duration = Duration::from_secs(15);

/// Where metrics are, as the log says.
fn metrics_of(mount: &Mount) -> SocketAddr {
    eventually(SOON, "metrics", || {
        mount.stderr().contains("metrics: http://")
    });
    let log = mount.stderr();
    let at = log.split("metrics: http://").nth(1).unwrap();
    at.split('/').next().unwrap().parse().unwrap()
}

fn value(text: &str, name: &str) -> i64 {
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_mount_tells_how_it_goes() {
    if !able(&[]) {
        return;
    }
    let scratch = crate::harness::Scratch::new();
    let store = crate::harness::Store::new(scratch.join("snapshots"));
    let days = ["2026-11-18", "2026-11-19", DAYS[0]];
    for day in days {
        store.mailbox(day, ALICE).greet(&[""]);
    }
    // Claims to be compressed, and is damaged.
    let damaged = b"\x1f\x8b\x08\0broken";
    let mailbox = store.mailbox(DAYS[0], ALICE);
    mailbox.put("cur", "4.B,S=5000.mx:2,S", damaged, 4000);
    let config = Config::new(&scratch, &store).set("metrics.listen", "127.0.0.1:0");
    let mount = Mount::new(&config).expecting_warnings();
    let at = metrics_of(&mount);
    let told = || Browser::new(at).get("/metrics").text();
    let inbox = mount.join(DAYS[0]).join(ALICE).join("INBOX");
    let names: Vec<_> = std::fs::read_dir(&inbox)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    let before = told();
    assert_eq!(value(&before, "mailtm_mount_dates"), 3);
    assert_eq!(value(&before, "mailtm_mount_mailboxes"), 1);
    assert_eq!(
        value(&before, "mailtm_mount_snapshot_interval_seconds"),
        86_400
    );
    assert!(value(&before, "mailtm_mount_newest_snapshot_age_seconds") > 0);
    // Learning begins a minute after the mount.
    assert_eq!(value(&before, "mailtm_mount_warm_backlog"), 3);
    let unreadable = "mailtm_mount_errors_total{error=\"unreadable\"}";
    let (errors, requests) = (
        value(&before, unreadable),
        value(&before, "mailtm_mount_requests_total"),
    );
    assert!(requests > 0);
    let failed = names
        .iter()
        .filter(|name| std::fs::read(name).is_err())
        .count();
    assert_eq!(failed, 1);
    let after = told();
    assert!(value(&after, unreadable) > errors, "{after}");
    assert!(value(&after, "mailtm_mount_requests_total") > requests);
    for each in ["stale", "timeout"] {
        value(
            &after,
            &format!("mailtm_mount_errors_total{{error=\"{each}\"}}"),
        );
    }
    for line in after.lines() {
        let is_told =
            line.starts_with("# HELP mailtm_mount_") || line.starts_with("# TYPE mailtm_mount_");
        assert!(is_told || line.starts_with("mailtm_mount_"), "{line}");
    }

    // Odd watchers, and those who say nothing, keep nobody waiting for long.
    assert_eq!(Browser::new(at).get("/").status, 404);
    for odd in [
        &b"POST /metrics HTTP/1.1\r\n\r\n"[..],
        b"\r\n\r\n",
        &[b'x'; 20_000],
    ] {
        let said = String::from_utf8(say(at, odd)).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    let silent = TcpStream::connect(at).unwrap();
    let start = Instant::now();
    told();
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(silent);
}

/// The alerts for Prometheus ask for what is told, by the very names and labels.
#[test]
fn alerts_are_about_what_is_told() {
    if !able(&NEEDED) {
        return;
    }
    let mut world = World::new();
    world.config = world.config.clone().set("portal.metrics", "127.0.0.1:0");
    let portal = world.portal();
    let at = portal.line.split("metrics: http://").nth(1).unwrap();
    let at = at.split('/').next().unwrap().parse().unwrap();
    let mut told = Browser::new(at).get("/metrics").text();
    let scratch = crate::harness::Scratch::new();
    let config = Config::new(&scratch, &world.store).set("metrics.listen", "127.0.0.1:0");
    let mount = Mount::new(&config);
    told += &Browser::new(metrics_of(&mount)).get("/metrics").text();

    let rules = include_str!("../../packaging/prometheus/mailtm.rules.yml");
    let mut asked = 0;
    for expression in rules
        .lines()
        .filter_map(|l| l.trim().strip_prefix("expr: "))
    {
        for part in expression.split("mailtm_").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let (name, rest) = part.split_at(end.unwrap_or(part.len()));
            let labels = rest
                .split_inclusive('}')
                .next()
                .filter(|l| l.starts_with('{'));
            let sample = format!("mailtm_{name}{} ", labels.unwrap_or_default());
            let is_told = told.lines().any(|line| line.starts_with(&sample));
            assert!(is_told, "{sample}is asked for by {expression}: {told}");
            let is_counter = told.contains(&format!("# TYPE mailtm_{name} counter"));
            assert_eq!(is_counter, expression.contains("increase("), "{expression}");
            asked += 1;
        }
    }
    assert!(asked >= 12, "{asked}");
}

/// The lines of `/proc/PID/task/TID/status`, of every thread.
fn threads(pid: i32) -> Vec<BTreeMap<String, String>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once(":\t"));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    tasks.map(status).collect()
}

#[test]
fn every_thread_of_the_portal_is_confined() {
    if !able(&NEEDED) {
        return;
    }
    let level = sandbox::available();
    if !(level.files && level.calls) {
        return crate::harness::skipped("needs a kernel with Landlock and seccomp");
    }
    // Restores through a server, files to nobody but itself; as files; and with a program that has to be run.
    for (method, rights) in [
        ("imap", Some("0000000000000004")),
        ("maildir", Some("000000000000000f")),
        ("doveadm", None),
    ] {
        let mut world = World::new();
        let password = world.scratch.join("password");
        std::fs::write(&password, "a word\n").unwrap();
        world.config = world
            .config
            .clone()
            .set("restore.imap", "imaps://mail.example.com")
            .set("restore.master_user", "restorer")
            .set("restore.password_file", password.to_str().unwrap())
            .set("restore.method", method);
        let portal = world.portal();
        let mut alice = portal.signed_in(ALICE);
        assert_eq!(alice.get(&crate::reading::list("INBOX")).status, 200);
        let threads = threads(portal.pid().as_raw_nonzero().get());
        assert!(threads.len() > 4, "{threads:?}");
        for thread in threads {
            let name = &thread["Name"];
            assert_eq!(
                thread["Seccomp"],
                if rights.is_some() { "2" } else { "0" },
                "{method} {name}"
            );
            if let Some(rights) = rights {
                assert_eq!(thread["CapEff"], rights, "{method} {name}");
                assert_eq!(thread["CapBnd"], rights, "{method} {name}");
                assert_eq!(thread["NoNewPrivs"], "1", "{method} {name}");
            }
        }
    }
}

/// What SIGHUP reads shows what it can open.
#[test]
fn the_portal_opens_nothing_outside() {
    if !able(&NEEDED) {
        return;
    }
    let level = sandbox::available();
    if !level.files {
        return crate::harness::skipped("needs a kernel with Landlock");
    }
    let world = World::new();
    let portal = world.portal();
    let outside = world.scratch.subdirectory("outside").join("mailtm.toml");
    std::fs::write(&outside, "nonsense").unwrap();
    let path = &world.config.path;
    let inside = world.live.join("mailtm.toml");
    std::fs::write(&inside, "nonsense").unwrap();
    for (target, said) in [(&outside, "Permission denied"), (&inside, "not TOML")] {
        std::fs::remove_file(path).unwrap();
        symlink(target, path).unwrap();
        rustix::process::kill_process(portal.pid(), rustix::process::Signal::HUP).unwrap();
        eventually(SOON, said, || portal.log().contains(said));
    }
}
