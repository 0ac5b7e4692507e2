//! The Debian package: what is in it, how it installs, upgrades and goes, and whether its unit lets the daemon do its work.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod package {
    pub mod machine;
}

use harness::tree::{ABOUT, messages};
use harness::{Config, Scratch, Store, able, eventually, run, skipped};
use package::machine::Machine;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

const UNIT: &str = include_str!("../packaging/systemd/mailtm.service");
const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const TOOLS: [&str; 4] = ["dpkg-deb", "objdump", "strip", "gzip"];

/// The package of the program under test, made once.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<(Scratch, PathBuf)> = OnceLock::new();
    let (_, path) = PACKAGE.get_or_init(|| {
        let scratch = Scratch::new();
        let path = pack(scratch.path());
        (scratch, path)
    });
    path
}

fn pack(dir: &Path) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/package");
    let said = run(Command::new(script)
        .args(["--program", env!("CARGO_BIN_EXE_mailtm")])
        .arg(dir)
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none"));
    PathBuf::from(String::from_utf8(said).unwrap().trim_end())
}

/// The values of a key of the unit, in their order.
fn unit(key: &str) -> Vec<&'static str> {
    let values = UNIT
        .lines()
        .filter_map(|l| l.strip_prefix(key)?.strip_prefix('='));
    values.collect()
}

#[test]
fn the_package_has_all_that_belongs_to_it() {
    if !able(&TOOLS) {
        return;
    }
    let listing = run(Command::new("dpkg-deb").arg("--contents").arg(package()));
    let listing = String::from_utf8(listing).unwrap();
    let mut files = BTreeMap::new();
    for line in listing.lines() {
        // Mode, owner, size, date, time, path; and the target of a link.
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[1], "root/root", "{line}");
        assert!(
            !fields[0].contains('s')
                && (fields[0].as_bytes()[8] != b'w' || fields[0].starts_with('l')),
            "{line}"
        );
        files.insert(
            fields[5].trim_start_matches('.'),
            (fields[0], fields.get(7).copied()),
        );
    }
    for (path, mode) in [
        ("/usr/bin/mailtm", "-rwxr-xr-x"),
        ("/usr/lib/mailtm/clear-dead-mounts", "-rwxr-xr-x"),
        ("/etc/mailtm/mailtm.toml", "-rw-r--r--"),
        ("/usr/lib/systemd/system/mailtm.service", "-rw-r--r--"),
        (
            "/usr/lib/systemd/system/mailtm-portal.service",
            "-rw-r--r--",
        ),
        ("/usr/lib/systemd/system/mailtm-portal.socket", "-rw-r--r--"),
        ("/usr/lib/sysusers.d/mailtm.conf", "-rw-r--r--"),
        ("/usr/lib/tmpfiles.d/mailtm.conf", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/copyright", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/examples/smb.conf", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/examples/exports", "-rw-r--r--"),
        (
            "/usr/share/doc/mailtm/examples/snapshots/btrbk.conf",
            "-rw-r--r--",
        ),
        (
            "/usr/share/doc/mailtm/examples/portal/nginx.conf",
            "-rw-r--r--",
        ),
        (
            "/usr/share/doc/mailtm/examples/portal/Caddyfile",
            "-rw-r--r--",
        ),
        (
            "/usr/share/bash-completion/completions/mailtm",
            "-rw-r--r--",
        ),
        ("/usr/share/zsh/vendor-completions/_mailtm", "-rw-r--r--"),
        (
            "/usr/share/fish/vendor_completions.d/mailtm.fish",
            "-rw-r--r--",
        ),
        ("/usr/share/man/man1/mailtm.1.gz", "-rw-r--r--"),
        ("/usr/share/man/man1/mailtm-mount.1.gz", "-rw-r--r--"),
        ("/usr/share/man/man5/mailtm.toml.5.gz", "-rw-r--r--"),
        ("/usr/share/man/man7/mailtm-semantics.7.gz", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/sharing.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/security.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/troubleshooting.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/changelog.gz", "-rw-r--r--"),
        ("/usr/share/man/man8/mount.mailtm.8.gz", "-rw-r--r--"),
    ] {
        assert_eq!(files.get(path), Some(&(mode, None)), "{path}:\n{listing}");
    }
    let link = files["/usr/sbin/mount.mailtm"];
    assert_eq!(link, ("lrwxrwxrwx", Some("../bin/mailtm")));

    let show = |part: &str| {
        let info = Command::new("dpkg-deb")
            .arg("--info")
            .arg(package())
            .arg(part)
            .output();
        String::from_utf8(info.unwrap().stdout).unwrap()
    };
    assert_eq!(show("conffiles"), "/etc/mailtm/mailtm.toml\n");
    let control = show("control");
    for line in [
        format!("\nVersion: {}\n", env!("CARGO_PKG_VERSION")),
        "\nDepends: libc6 (>= 2.".to_owned(),
    ] {
        assert!(control.contains(&line), "{control}");
    }
    let dir = tempfile::tempdir().unwrap();
    let again = fs::read(pack(dir.path())).unwrap();
    assert!(again == fs::read(package()).unwrap(), "not reproducible");
}

/// A snapshot of one mailbox that belongs to uid 1900001, and the package, where a machine sees them.
fn store(scratch: &Scratch) -> Store {
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE).owned_by(1_900_001, 1_900_001);
    mailbox.number("cur", 1);
    // Not for others, the daemon's user among them.
    run(Command::new("chmod")
        .arg("-R")
        .arg("go=")
        .arg(mailbox.path.parent().unwrap()));
    fs::copy(package(), scratch.join("mailtm.deb")).unwrap();
    store
}

/// `setpriv` with the user and the rights that the unit gives.
fn as_the_unit_says() -> Vec<String> {
    let rights = |key: &str| -> String {
        let names = unit(key)[0].split(' ');
        let names = names.map(|n| format!(",+{}", n.strip_prefix("CAP_").unwrap().to_lowercase()));
        format!("-all{}", names.collect::<String>())
    };
    let ambient = rights("AmbientCapabilities");
    assert_eq!(unit("NoNewPrivileges"), ["yes"]);
    [
        "setpriv".into(),
        format!("--reuid={}", unit("User")[0]),
        format!("--regid={}", unit("Group")[0]),
        "--clear-groups".into(),
        format!("--bounding-set={}", rights("CapabilityBoundingSet")),
        format!("--inh-caps={ambient}"),
        format!("--ambient-caps={ambient}"),
        "--no-new-privs".into(),
    ]
    .to_vec()
}

#[test]
fn it_installs_serves_is_upgraded_under_its_users_and_goes() {
    if !able(
        &[
            &TOOLS[..],
            &["unshare", "nsenter", "dpkg", "systemd-analyze"],
        ]
        .concat(),
    ) {
        return;
    }
    let scratch = Scratch::new();
    let store = store(&scratch);
    let Some(machine) = Machine::new(&scratch) else {
        return skipped("needs overlayfs");
    };
    let deb = scratch.join("mailtm.deb");
    let deb = deb.to_str().unwrap();
    machine.run(&["dpkg", "--force-depends", "-i", deb]);
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/var/lib/mailtm"]),
        "mailtm 700\n"
    );
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/backups"]),
        "root 0\n"
    );
    assert!(
        machine
            .run(&["/sbin/mount.mailtm", "--version"])
            .contains(env!("CARGO_PKG_VERSION"))
    );
    for unit in [
        "mailtm.service",
        "mailtm-portal.service",
        "mailtm-portal.socket",
    ] {
        let verified = machine.output(&["systemd-analyze", "verify", "--man=no", unit]);
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(!said.contains("mailtm"), "{said}");
    }

    // An administrator's configuration, and the service as systemd starts it.
    let configure = format!(
        "sed -i 's#^.mountpoint = .*#mountpoint = \"/backups\"#; s#^.snapshots = .*#snapshots = [\"{}\"]#' /etc/mailtm/mailtm.toml",
        store.path.display()
    );
    machine.run(&["sh", "-c", &configure]);
    let socket = UnixDatagram::bind(scratch.join("notify")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    run(Command::new("chmod").arg("777").arg(scratch.join("notify")));
    let daemon = || {
        let mut line = as_the_unit_says();
        line.extend(unit("ExecStart")[0].split(' ').map(str::to_owned));
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let mut daemon = machine.command(&line);
        let daemon = daemon.env("NOTIFY_SOCKET", scratch.join("notify"));
        let child = daemon.stdout(Stdio::null()).spawn().unwrap();
        let mut message = [0; 256];
        let length = socket.recv(&mut message).expect("a message for systemd");
        assert!(message[..length].starts_with(b"READY=1"));
        child
    };
    let mut first = daemon();
    let about = format!("/backups/{DAY}/{ALICE}/{ABOUT}");
    let read_as = |uid: &str| {
        let user = format!("--reuid={uid} --regid={uid} --clear-groups");
        let mut line: Vec<&str> = vec!["setpriv"];
        line.extend(user.split(' ').chain(["cat", &about]));
        machine.output(&line).status.success()
    };
    assert!(read_as("1900001") && !read_as("1900002"));

    // An upgrade leaves the mount and the configuration as they are.
    machine.run(&["dpkg", "--force-depends", "-i", deb]);
    assert!(read_as("1900001"), "after an upgrade");
    assert!(
        machine
            .run(&["cat", "/etc/mailtm/mailtm.toml"])
            .contains("\nmountpoint = \"/backups\"\n")
    );

    // Killed: what it leaves is cleared away, and nobody takes what is below for a backup.
    machine.run(&["sh", "-c", "kill -KILL $(pidof mailtm)"]);
    first.wait().unwrap();
    let stat = ["stat", "-f", "/backups"];
    assert!(!machine.output(&stat).status.success(), "a dead mount");
    for clear in [unit("ExecStartPre")[0], unit("ExecStopPost")[0]] {
        machine.run(&[clear.strip_prefix('+').unwrap()]);
        assert!(machine.output(&stat).status.success());
        assert!(!read_as("1900001"));
    }
    let mut second = daemon();
    machine.run(&["/usr/lib/mailtm/clear-dead-mounts"]);
    assert!(read_as("1900001"), "a mount that lives is left alone");
    machine.run(&["umount", "/backups"]);
    assert!(second.wait().unwrap().success());

    let source = store.path.to_str().unwrap();
    machine.run(&["mount", "-t", "mailtm", source, "/backups"]);
    assert!(read_as("1900001"), "by mount(8)");
    machine.run(&["umount", "/backups"]);

    machine.run(&["dpkg", "-r", "mailtm"]);
    machine.run(&["dpkg", "-P", "mailtm"]);
    for path in [
        "/usr/bin/mailtm",
        "/etc/mailtm",
        "/var/lib/mailtm",
        "/backups",
    ] {
        assert!(
            !machine.output(&["test", "-e", path]).status.success(),
            "{path} is left"
        );
    }
}

#[test]
fn no_directive_of_the_unit_hides_the_mount() {
    for line in UNIT.lines().filter(|l| !l.starts_with('#')) {
        let key = line.split('=').next().unwrap();
        let makes_a_namespace = [
            "Protect",
            "Private",
            "ReadWrite",
            "ReadOnly",
            "Inaccessible",
            "NoExec",
            "Temporary",
            "Bind",
            "Root",
            "Mount",
            "DynamicUser",
            "ProcSubset",
            "LoadCredential",
            "SetCredential",
            "LogNamespace",
            "IPCNamespace",
            "NetworkNamespace",
            "ExtensionImages",
        ];
        assert!(
            !makes_a_namespace.iter().any(|start| key.starts_with(start)),
            "{line}"
        );
    }
}

#[test]
fn the_unit_allows_every_system_call_that_is_made() {
    if !able(&["strace", "systemd-analyze"]) {
        return;
    }
    let allowed = allowed_calls();
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    for number in 0..40 {
        mailbox.number("cur", number);
    }
    let config = Config::new(&scratch, &store);
    let log = scratch.join("strace");
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args([env!("CARGO_BIN_EXE_mailtm"), "mount", "--config"])
        .arg(config.write())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually(Duration::from_secs(60), "mounted", || {
        harness::mount::is_mounted(&config.mountpoint)
    });
    let inbox = config.mountpoint.join(DAY).join(ALICE).join("INBOX");
    for name in messages(&inbox) {
        fs::read(inbox.join(name)).unwrap();
    }
    fs::read(inbox.with_extension("mbox")).unwrap();
    // A new snapshot is seen and learned; then it ends by itself.
    store.link(DAY, "2026-11-21");
    eventually(Duration::from_secs(30), "the new date", || {
        config.mountpoint.join("2026-11-21").exists()
    });
    run(Command::new("umount").arg(&config.mountpoint));
    assert!(child.wait().unwrap().success());
    let log = fs::read_to_string(log).unwrap();
    let made: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| {
            let name = line.split_once(' ')?.1.trim_start().split_once('(')?.0;
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                .then_some(name)
        })
        .collect();
    assert!(
        made.contains("mount") && made.contains("openat2"),
        "{made:?}"
    );
    let refused: Vec<_> = made
        .iter()
        .filter(|name| !allowed.contains(**name))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// The system calls in the groups that the unit names.
fn allowed_calls() -> BTreeSet<String> {
    let said = run(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]));
    let said = String::from_utf8(said).unwrap();
    // A group, and below it, indented, a description and its members.
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut group = "";
    for line in said.lines().filter(|l| !l.trim().is_empty()) {
        if line.starts_with(' ') {
            groups.entry(group).or_default().push(line.trim());
        } else {
            group = line;
        }
    }
    let mut allowed = BTreeSet::new();
    let mut wanted: Vec<&str> = unit("SystemCallFilter")[0].split(' ').collect();
    while let Some(name) = wanted.pop() {
        match groups.get(name) {
            Some(members) => wanted.extend(members.iter().filter(|m| !m.starts_with('#'))),
            None => drop(allowed.insert(name.to_owned())),
        }
    }
    allowed
}
