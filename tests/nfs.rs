//! The kernel's NFS server over the mount, and the kernel's NFS clients, versions 3 and 4.2, with the export of
//! `packaging/nfs/exports` as it stands there.
//!
//! The kernel of the machine need have neither: each test runs in a guest, as `nfs/guest.sh` makes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod nfs {
    pub mod guest;
}

use harness::mount::{python_path, unmount_lazily};
use harness::tree::{ABOUT, messages, walk};
use harness::{Config, Mount, Scratch, Store, Subject, Users, drop_caches, run};
use nfs::guest::{CLIENTS, Server, in_guest};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

/// Two mailboxes of real users; alice's is granted to carla, and to a group that is nobody's primary one.
struct World {
    alice: Subject,
    bob: Subject,
    carla: Subject,
    lead: Subject,
    config: Config,
    _store: Store,
    _scratch: Scratch,
    _users: Users,
}

fn world() -> World {
    let mut users = Users::new();
    let leads = users.group("leads");
    let alice = users.user("alice", &[]);
    let bob = users.user("bob", &[]);
    let carla = users.user("carla", &[]);
    let lead = users.user("lead", &[&leads]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for (address, owner) in [(ALICE, &alice), (BOB, &bob)] {
        let mailbox = store.mailbox("2026-11-19", address);
        for number in 0..6 {
            mailbox.number("cur", number);
            mailbox.number("Archive/2024/cur", 100 + number);
        }
        let body = "From here\r\nto there, again and again.\r\n".repeat(50_000);
        let large = format!("From: {address}\r\nSubject: large\r\n\r\n{body}");
        mailbox.put("Large/cur", "1795.M9P9.mx:2,S", large, 1_795_000_000);
        mailbox.owned_by(owner.uid, owner.gid);
    }
    store.link("2026-11-19", DAY);
    let mut config = Config::new(&scratch, &store)
        .set("mountpoint", "/run/backups")
        // As the sample has it: a client keeps one listing for all its users.
        .set("hide_unreadable", false)
        .grant(&["alice@*"], &[&carla.name, &format!("@{}", leads.0)]);
    config.mountpoint = "/run/backups".into();
    World {
        alice,
        bob,
        carla,
        lead,
        config,
        _store: store,
        _scratch: scratch,
        _users: users,
    }
}

/// Everything that a user can see below a directory: attributes, and digests of what can be read.
fn seen(subject: &Subject, root: &Path) -> String {
    let script = "cd \"$0\" && find . -printf '%y %i %m %U %G %n %s %T@ %p %l\\n' | sort && \
                  find . -type f -exec sha256sum {} + | sort";
    let output = subject.run("sh", &["-c", script, root.to_str().unwrap()]);
    String::from_utf8(output.stdout).unwrap()
}

/// What a squashed root is.
fn nobody() -> Subject {
    Subject::uid(65534)
}

#[test]
fn users_and_groups_see_over_nfs_what_they_see_locally() {
    in_guest(|| {
        let w = world();
        let mount = Mount::new(&w.config);
        let server = Server::start();
        for (subject, mailboxes) in [
            (&w.alice, &[ALICE][..]),
            (&w.bob, &[BOB]),
            (&w.carla, &[ALICE]),
            (&w.lead, &[ALICE]),
            (&nobody(), &[]),
        ] {
            let local = seen(subject, &mount.path);
            for address in [ALICE, BOB] {
                let inside = format!("./{DAY}/{address}/{ABOUT}");
                assert_eq!(
                    local.contains(&inside),
                    mailboxes.contains(&address),
                    "{}: {address}",
                    subject.name
                );
            }
            for client in CLIENTS {
                let remote = seen(subject, Path::new(client));
                same(&format!("{client} as {}", subject.name), &local, &remote);
            }
        }
        for client in CLIENTS {
            // Root of a client is nobody; nor does knowing the name help anybody else.
            let remote = seen(&Subject::root(), Path::new(client));
            same(
                &format!("{client} as root"),
                &seen(&nobody(), &mount.path),
                &remote,
            );
            let top = Path::new(client).join(DAY).join(ALICE);
            for subject in [&w.bob, &Subject::root()] {
                subject.refused(top.join("INBOX"));
                subject.refused(top.join("INBOX.mbox"));
            }
            // A group that the client claims counts for nothing: the server knows its users.
            let claimed = Subject {
                groups: w.lead.groups.clone(),
                ..w.bob.clone()
            };
            claimed.refused(top.join("INBOX.mbox"));
        }
        nothing_can_be_written(&w.alice);
        server.stop();
    });
}

fn nothing_can_be_written(alice: &Subject) {
    for client in CLIENTS {
        let inbox = Path::new(client).join(DAY).join(ALICE).join("INBOX");
        let message = inbox.join(&messages_as(alice, &inbox)[0]);
        let (inbox, message) = (inbox.to_str().unwrap(), message.to_str().unwrap());
        for command in [
            "touch \"$0/new\"",
            "mkdir \"$0/new\"",
            "rm -f \"$1\"",
            "mv \"$1\" \"$0/new\"",
            "ln \"$1\" \"$0/new\"",
            "ln -s x \"$0/new\"",
            "chmod 777 \"$1\"",
            "truncate -s 0 \"$1\"",
            "echo x >> \"$1\"",
        ] {
            let output = alice.run("sh", &["-c", command, inbox, message]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                !output.status.success()
                    && (said.contains("Read-only file system")
                        || said.contains("Permission denied")),
                "{client}: {command}: {said}"
            );
        }
    }
}

fn messages_as(subject: &Subject, inbox: &Path) -> Vec<String> {
    let names = subject.list(inbox).unwrap();
    names.into_iter().filter(|n| n.ends_with(".eml")).collect()
}

/// A program of a user's that has a file open, and its directory as the current one.
struct Reader {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Reader {
    /// Opens the file and reads its beginning.
    fn start(subject: &Subject, path: &Path) -> Self {
        let script = "cd \"${0%/*}\" && exec 3< \"$0\" && head -c 10 <&3 > /dev/null && echo ready && read go && \
                      ls -1 | wc -l && cat <&3 | sha256sum";
        let mut child = Command::new("setpriv")
            .args(["--reuid", &subject.uid.to_string()])
            .args(["--regid", &subject.gid.to_string(), "--clear-groups"])
            .args(["sh", "-c", script])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, output }
    }

    /// Reads on to the end: how many names the current directory has, and the digest of the rest; or what went wrong.
    fn finish(mut self) -> Result<String, String> {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        let mut said = String::new();
        let stderr = self.child.stderr.take().unwrap();
        BufReader::new(stderr).read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        if said.is_empty() { Ok(text) } else { Err(said) }
    }
}

#[test]
fn open_files_outlive_the_caches_and_the_daemon() {
    in_guest(|| {
        let w = world();
        let mount = Mount::new(&w.config);
        let server = Server::start();
        let large = Path::new(DAY).join(ALICE).join("Large");
        let name = &messages(mount.join(&large))[0];
        let large = large.join(name);
        let before = seen(&w.alice, &mount.path);
        let want = Reader::start(&w.alice, &mount.join(&large)).finish();
        assert!(want.is_ok(), "{want:?}");
        for client in CLIENTS {
            let reader = Reader::start(&w.alice, &Path::new(client).join(&large));
            drop_caches();
            assert_eq!(reader.finish(), want, "{client}");
            let after = seen(&w.alice, Path::new(client));
            same(&format!("{client} without caches"), &before, &after);
        }

        let open =
            || CLIENTS.map(|client| Reader::start(&w.alice, &Path::new(client).join(&large)));
        // The server is restarted; clients of version 4 reclaim what they had open.
        let readers = open();
        server.restart();
        for (reader, client) in readers.into_iter().zip(CLIENTS) {
            assert_eq!(reader.finish(), want, "{client} after the server's restart");
        }

        let readers = open();
        mount.kill();
        unmount_lazily(&w.config.mountpoint);
        let _mount = Mount::new(&w.config);
        server.forget();
        drop_caches();
        let [v3, v4] = readers.map(Reader::finish);
        assert_eq!(v3, want, "version 3 goes on");
        // The server itself has it open, on the mount that is dead.
        assert!(
            v4.as_ref().is_err_and(|e| e.contains("Input/output error")) || v4 == want,
            "version 4: {v4:?}"
        );
        for client in CLIENTS {
            let reader = Reader::start(&w.alice, &Path::new(client).join(&large));
            assert_eq!(reader.finish(), want, "{client}: opened again");
            let after = seen(&w.alice, Path::new(client));
            same(&format!("{client} after a restart"), &before, &after);
        }
        server.stop();
    });
}

#[test]
fn a_forged_handle_reads_nobody_else_s_mail() {
    in_guest(|| {
        let w = world();
        let mount = Mount::new(&w.config);
        let server = Server::start();
        let nodes = |address: &str| -> Vec<String> {
            let node = |metadata: &std::fs::Metadata| {
                let kind = if metadata.is_dir() { "d" } else { "f" };
                format!("{kind}:{}", metadata.ino())
            };
            let top = mount.join(DAY).join(address);
            let mut nodes = vec![node(&std::fs::metadata(&top).unwrap())];
            walk(&top, &mut |_, metadata| nodes.push(node(metadata)));
            nodes
        };
        let (hers, his) = (nodes(ALICE), nodes(BOB));
        assert!(hers.len() > 15 && hers.len() == his.len());
        let forge = |subject: &Subject, nodes: &[String]| -> Vec<String> {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nfs/forge.py");
            let mut command = Command::new(python_path());
            command.arg(script).arg(subject.uid.to_string()).args(nodes);
            let said = String::from_utf8(run(&mut command)).unwrap();
            said.lines().map(str::to_owned).collect()
        };
        // What the server has looked up for their owners, and what it has to ask for.
        for cold in [false, true] {
            if cold {
                drop_caches();
            }
            for (subject, nodes, status) in [
                (&w.bob, &his, "0"),
                (&w.bob, &hers, "13"),
                (&w.alice, &hers, "0"),
                (&w.alice, &his, "13"),
                // Root of a client is nobody.
                (&Subject::root(), &hers, "13"),
                (&Subject::uid(1_900_000), &hers, "13"),
            ] {
                let told = forge(subject, nodes);
                assert_eq!(told.len(), nodes.len());
                assert!(
                    told.iter().all(|s| s == status),
                    "{}: {told:?}",
                    subject.name
                );
            }
            // What is nothing is stale.
            let nothing = [
                "f:9223372036854775806".to_owned(),
                "d:4611686018427387904".to_owned(),
            ];
            assert_eq!(forge(&w.bob, &nothing), ["70", "70"]);
        }
        server.stop();
    });
}

/// Fails, showing the first difference, unless two texts are equal.
fn same(what: &str, want: &str, got: &str) {
    let different = want
        .lines()
        .zip(got.lines())
        .find(|(want, got)| want != got);
    assert!(
        want == got,
        "{what}: {different:?}, {} and {} lines",
        want.lines().count(),
        got.lines().count()
    );
}
