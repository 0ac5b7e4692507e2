//! What it brings where it is installed, how it serves without systemd, and what is left of it.

use crate::harness::tree::ABOUT;
use crate::harness::{Scratch, able, run, skipped};
use crate::machine::Machine;
use crate::{ALICE, DAY, TOOLS, copied, debian, later, store, unit};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

const CONFIGURATION: &str = "/etc/mailtm/mailtm.toml";

fn able_to_install() -> bool {
    able(&[&TOOLS[..], &["unshare", "nsenter", "dpkg", "ip"]].concat())
}

#[test]
fn a_clean_debian_gets_all_that_a_newcomer_looks_for() {
    let Some(debian) = able_to_install().then(debian::root).flatten() else {
        return;
    };
    let scratch = Scratch::new();
    let Some(machine) = Machine::new(&scratch, Some(debian)) else {
        return skipped("needs overlayfs");
    };
    machine.install(&copied(&scratch));
    assert_eq!(machine.run(&["dpkg", "--audit"]), "");
    assert_eq!(machine.run(&["dpkg", "--verify", "mailtm"]), "");
    for program in ["mailtm", "mount.mailtm"] {
        let said = machine.run(&[program, "--version"]);
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
    for (section, page, word) in [
        ("8", "mailtm", "SUBCOMMANDS"),
        ("8", "mailtm-mount", "--background"),
        ("8", "mount.mailtm", "--background"),
        ("5", "mailtm.toml", "mountpoint"),
        ("7", "mailtm-semantics", "TENETS"),
    ] {
        let shown = machine.output(&["man", section, page]);
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(text.contains(word), "{page}({section}): {text}");
        let faults = String::from_utf8_lossy(&shown.stderr);
        assert_eq!(faults, "", "{page}({section})");
    }
    let complete = ". /usr/share/bash-completion/completions/mailtm && complete -p mailtm";
    machine.run(&["bash", "-c", complete]);

    let user = machine.run(&["getent", "passwd", "mailtm"]);
    let fields: Vec<&str> = user.trim().split(':').collect();
    let number: u32 = fields[2].parse().unwrap();
    assert!(number < 1000, "{user}");
    assert_eq!(
        fields[4..],
        ["Mail Time Machine", "/var/lib/mailtm", "/usr/sbin/nologin"]
    );
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/backups"]),
        "root 0\n"
    );
    // Where the mail is has to be said first.
    for unit in ["mailtm.service", "mailtm-portal.socket"] {
        let enabled = machine.output(&["systemctl", "--root=/", "is-enabled", unit]);
        assert_eq!(enabled.stdout, b"disabled\n", "{unit}");
    }
    let checked = machine.output(&["mailtm", "check"]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    assert!(said.contains("source.snapshots: missing"), "{said}");

    // A configuration that nobody has touched follows the package; one that somebody has written does not.
    let configuration = || machine.run(&["cat", CONFIGURATION]);
    machine.install(&later(&scratch, "7.0"));
    assert!(configuration().ends_with("# as of 7.0\n"));
    let own = "snapshots = [\"/srv\"]\n";
    machine.run(&["sh", "-c", "printf %s \"$0\" > \"$1\"", own, CONFIGURATION]);
    machine.install(&later(&scratch, "8.0"));
    assert!(machine.run(&["dpkg", "-s", "mailtm"]).contains("8.0"));
    assert_eq!(configuration(), own);
    let beside = machine.run(&["cat", &format!("{CONFIGURATION}.dpkg-dist")]);
    assert!(beside.ends_with("# as of 8.0\n"));

    let kept = "/var/lib/mailtm/index";
    machine.run(&["mkdir", kept]);
    machine.uninstall("remove");
    assert!(!machine.has("/usr/bin/mailtm") && !machine.has("/usr/lib/mailtm"));
    assert_eq!(configuration(), own);
    assert!(machine.has(kept) && machine.has("/backups"));
    machine.uninstall("purge");
    for path in ["/etc/mailtm", "/var/lib/mailtm", "/backups"] {
        assert!(!machine.has(path), "{path} is left");
    }
    // Its number is never to be somebody else's.
    assert_eq!(machine.run(&["getent", "passwd", "mailtm"]), user);
}

#[test]
fn it_needs_no_systemd() {
    let Some(debian) = able_to_install().then(debian::root).flatten() else {
        return;
    };
    let scratch = Scratch::new();
    let Some(machine) = Machine::new(&scratch, Some(debian)) else {
        return skipped("needs overlayfs");
    };
    machine.run(&["apt-get", "purge", "--yes", "systemd", "systemd-sysv"]);
    assert!(!machine.has("/usr/bin/systemctl") && !machine.has("/usr/bin/systemd-sysusers"));
    machine.install(&copied(&scratch));
    machine.run(&["mailtm", "--version"]);
    for (path, is) in [
        ("/var/lib/mailtm", "mailtm 700\n"),
        ("/backups", "root 0\n"),
    ] {
        assert_eq!(machine.run(&["stat", "-c", "%U %a", path]), is, "{path}");
    }
    machine.uninstall("purge");
    assert!(!machine.has("/backups") && !machine.has("/var/lib/mailtm"));
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
    if !able_to_install() {
        return;
    }
    let scratch = Scratch::new();
    let store = store(&scratch);
    let Some(machine) = Machine::new(&scratch, debian::root()) else {
        return skipped("needs overlayfs");
    };
    machine.install(&copied(&scratch));
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/var/lib/mailtm"]),
        "mailtm 700\n"
    );
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/backups"]),
        "root 0\n"
    );
    // Root cannot put anything into it either, where the file system can do that.
    let probe = "mkdir /probe && chattr +i /probe && chattr -i /probe";
    if machine.output(&["sh", "-c", probe]).status.success() {
        let put = machine.output(&["touch", "/backups/x"]);
        assert!(!put.status.success(), "it is not immutable");
    } else {
        eprintln!("not tried: this file system has no immutable files");
    }
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
    machine.install(&later(&scratch, "7.0"));
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

    machine.uninstall("remove");
    machine.uninstall("purge");
    for path in [
        "/usr/bin/mailtm",
        "/etc/mailtm",
        "/var/lib/mailtm",
        "/backups",
    ] {
        assert!(!machine.has(path), "{path} is left");
    }
}
