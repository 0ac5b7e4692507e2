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
        ("/usr/lib/mailtm/read-ahead", "-rwxr-xr-x"),
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
        ("/usr/share/man/man8/mailtm.8.gz", "-rw-r--r--"),
        ("/usr/share/man/man8/mailtm-mount.8.gz", "-rw-r--r--"),
        ("/usr/share/man/man5/mailtm.toml.5.gz", "-rw-r--r--"),
        ("/usr/share/man/man7/mailtm-semantics.7.gz", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/sharing.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/security.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/sizing.md", "-rw-r--r--"),
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

/// Keeps one thread of a process from ending, whatever kills it; until the end of standard input.
const HOLD: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
pid = int(sys.argv[1])
thread = max(int(t) for t in os.listdir(f"/proc/{pid}/task") if int(t) != pid)
SEIZE, TRACE_EXIT = 0x4206, 0x40
if libc.ptrace(SEIZE, thread, 0, TRACE_EXIT):
    raise OSError(ctypes.get_errno(), "ptrace")
print("held", flush=True)
sys.stdin.read()
"#;

/// A daemon that is stopped may go on; one that was killed while the kernel kept a thread of it never answers, and cannot end
/// until its mount does.
#[test]
fn a_mount_that_hangs_is_ended_if_its_daemon_was_killed_and_not_if_it_was_stopped() {
    let programs = ["unshare", "nsenter", "findmnt", "timeout", "python3"];
    if !able(&programs) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    store.mailbox(DAY, ALICE).number("cur", 1);
    let config = Config::new(&scratch, &store);
    let Some(machine) = Machine::new(&scratch) else {
        return skipped("needs overlayfs");
    };
    let (file, at) = (
        config.write().to_str().unwrap(),
        config.mountpoint.to_str().unwrap(),
    );
    let start = || {
        let line = [env!("CARGO_BIN_EXE_mailtm"), "mount", "--config", file];
        let mut daemon = machine.command(&line);
        let mut daemon = daemon.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 6];
        std::io::Read::read_exact(daemon.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(&said, b"mailtm");
        daemon
    };
    let clear = || {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/packaging/systemd/clear-dead-mounts"
        );
        let cleared = machine.output(&[script]);
        assert!(cleared.status.success(), "{cleared:?}");
        String::from_utf8(cleared.stderr).unwrap()
    };
    // What answers may take its time on a busy machine.
    let answers_within = |seconds: &str| {
        let line = [
            "timeout",
            seconds,
            "stat",
            "--file-system",
            "--format=%T",
            at,
        ];
        let said = machine.output(&line);
        String::from_utf8_lossy(&said.stdout).starts_with("fuse")
    };

    let mut stopped = start();
    assert!(answers_within("60"));
    let daemon = machine.run(&["pidof", "-s", "mailtm"]);
    let daemon = daemon.trim().to_owned();
    machine.run(&["kill", "-STOP", &daemon]);
    assert!(!answers_within("2"));
    assert_eq!(clear(), "");
    machine.run(&["kill", "-CONT", &daemon]);
    // nsenter stops with what it started.
    run(Command::new("kill").args(["-CONT", &stopped.id().to_string()]));
    assert!(answers_within("60"), "it goes on");

    let mut hold = machine.command(&["python3", "-c", HOLD, &daemon]);
    let mut hold = hold
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 5];
    std::io::Read::read_exact(hold.stdout.as_mut().unwrap(), &mut said).unwrap();
    // Somebody stands in there, until a line comes.
    let stand = ["sh", "-c", "cd \"$0\" && echo in && read go", at];
    let mut stand = machine.command(&stand);
    let mut stand = stand
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 2];
    std::io::Read::read_exact(stand.stdout.as_mut().unwrap(), &mut said).unwrap();
    // All of them, as systemd does: the mounter would see to it.
    let mounter = machine.run(&["pidof", "-s", "mailtm-mounter"]);
    machine.run(&["kill", "-KILL", mounter.trim(), &daemon]);
    let soon = Duration::from_secs(10);
    eventually(soon, "it was killed and is not gone", || {
        let status = machine.run(&["cat", &format!("/proc/{daemon}/status")]);
        status.contains("State:\tZ (zombie)")
    });
    assert!(!answers_within("2"));
    let said = clear();
    assert!(said.contains("cannot end") && said.contains(at), "{said}");
    assert!(said.contains("unmounting"), "{said}");
    let mounts = machine.output(&["findmnt", "-rn", "-o", "TARGET", "-t", "fuse.mailtm"]);
    assert!(mounts.stdout.is_empty(), "{mounts:?}");
    assert_eq!(clear(), "", "nothing is left to be done");
    // The next one takes its place though the first has not ended.
    let mut next = start();
    assert!(answers_within("60"));
    machine.run(&["umount", at]);
    assert!(next.wait().unwrap().success());
    drop(stand.stdin.take());
    let _ = stand.wait();
    drop(hold.stdin.take());
    assert!(hold.wait().unwrap().success());
    assert!(!stopped.wait().unwrap().success());
}

/// Somebody who has a message open and stands in its folder, and reads on when he is told to.
fn reader(machine: &Machine, inbox: &str) -> std::process::Child {
    let script = "cd \"$0\" && exec 3< \"$(ls | head -n 1)\" && head -c 5 <&3 > /dev/null && echo ready && read go && \
                  cat <&3 > /dev/null && ls > /dev/null";
    let mut line = vec![
        "setpriv",
        "--reuid=1900001",
        "--regid=1900001",
        "--clear-groups",
    ];
    line.extend(["sh", "-c", script, inbox]);
    let mut command = machine.command(&line);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut said = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!(&said, b"ready\n");
    child
}

/// Whether he could read on.
fn finish(mut reader: std::process::Child) -> bool {
    let mut input = reader.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"\n").unwrap();
    drop(input);
    reader.wait().unwrap().success()
}

/// With systemd itself as the first process of the machine.
#[test]
fn systemd_starts_it_brings_it_back_and_ends_it() {
    let programs = ["unshare", "nsenter", "dpkg", "systemctl", "findmnt"];
    if !able(&[&TOOLS[..], &programs].concat()) {
        return;
    }
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
        && !Path::new("/sys/fs/cgroup/systemd").exists()
    {
        return skipped("needs the control groups of systemd");
    }
    let scratch = Scratch::new();
    let store = store(&scratch);
    let Some(machine) = Machine::with_systemd(&scratch) else {
        return skipped("needs overlayfs");
    };
    let deb = scratch.join("mailtm.deb");
    let deb = deb.to_str().unwrap();
    machine.run(&["dpkg", "--force-depends", "-i", deb]);
    let configure = |admins: &str| {
        let text = format!(
            "mountpoint = \"/backups\"\n[source]\nsnapshots = [\"{}\"]\n[access]\nadmins = [{admins}]\n",
            store.path.display()
        );
        machine.run(&[
            "sh",
            "-c",
            "printf %s \"$0\" > /etc/mailtm/mailtm.toml",
            &text,
        ]);
    };
    configure("");
    // Signs of life every second, so that it need not be waited for minutes.
    let quicker = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\nLimitCORE=0\n";
    let write = "mkdir -p /etc/systemd/system/mailtm.service.d && printf \"$0\" > /etc/systemd/system/mailtm.service.d/x.conf";
    machine.run(&["sh", "-c", write, quicker]);
    machine.run(&["systemctl", "daemon-reload"]);

    let inbox = format!("/backups/{DAY}/{ALICE}/INBOX");
    let reads_as = |uid: &str| {
        let user = format!("--reuid={uid} --regid={uid} --clear-groups");
        let mut line: Vec<&str> = vec!["timeout", "10", "setpriv"];
        line.extend(user.split(' '));
        line.extend(["sh", "-c", "cat \"$0\"/*.eml", &inbox]);
        machine.output(&line).status.success()
    };
    let main = || machine.run(&["systemctl", "show", "--value", "-p", "MainPID", "mailtm"]);
    let inode = || machine.run(&["stat", "-c", "%i", &inbox]);
    let soon = Duration::from_secs(30);
    assert!(!reads_as("1900001"));
    machine.run(&["systemctl", "enable", "--now", "mailtm"]);
    if !reads_as("1900001") {
        let said = machine.output(&["journalctl", "--no-pager", "-u", "mailtm"]);
        panic!("{}", String::from_utf8_lossy(&said.stdout));
    }
    assert!(!reads_as("1900002"));
    let number = inode();

    // Another policy is taken over without a restart.
    let first = main();
    configure("\"1900002\"");
    machine.run(&["systemctl", "reload", "mailtm"]);
    eventually(soon, "the new policy", || reads_as("1900002"));
    assert_eq!(main(), first);

    // Killed, and hanging: back by itself, with the same numbers.
    for signal in ["KILL", "STOP"] {
        let before = main();
        machine.run(&["kill", &format!("-{signal}"), before.trim()]);
        eventually(soon, &format!("back after SIG{signal}"), || {
            main() != before && reads_as("1900001")
        });
        assert_eq!(inode(), number);
    }
    // One mount, and none that is dead below it.
    let mounts = machine.run(&["findmnt", "-rn", "-o", "TARGET", "-t", "fuse.mailtm"]);
    assert_eq!(mounts, "/backups\n");

    // The portal, which systemd starts when it is asked for; without a mount namespace, which there is none of in here.
    let portal = "printf '[portal]\\nauth = \"imaps://127.0.0.1\"\\nurl = \"https://mtm.example.com\"\\n' >> /etc/mailtm/mailtm.toml";
    machine.run(&["sh", "-c", portal]);
    let protections = include_str!("../packaging/systemd/mailtm-portal.service")
        .lines()
        .filter(|line| line.starts_with("Protect") || line.starts_with("Private"))
        .filter_map(|line| Some(format!("{}=no\n", line.split_once('=')?.0)));
    let drop_in = format!(
        "[Service]\n{}ProtectProc=default\n",
        protections.collect::<String>()
    );
    let write = "mkdir -p /etc/systemd/system/mailtm-portal.service.d && printf %s \"$0\" > /etc/systemd/system/mailtm-portal.service.d/x.conf";
    machine.run(&["sh", "-c", write, &drop_in]);
    machine.run(&["systemctl", "daemon-reload"]);
    machine.run(&["systemctl", "start", "mailtm-portal.socket"]);
    let ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8025/health', timeout=20).read())";
    let said = machine.output(&["python3", "-c", ask]).stdout;
    let log = machine.output(&["journalctl", "--no-pager"]).stdout;
    let log = String::from_utf8_lossy(&log);
    assert!(said.starts_with(b"b'ok"), "{log}");
    assert!(!log.contains("not implemented"), "{log}");

    // An upgrade leaves the daemon, and who reads.
    let before = main();
    let reading = reader(&machine, &inbox);
    machine.run(&["dpkg", "--force-depends", "-i", deb]);
    assert_eq!(main(), before);
    assert!(finish(reading), "after an upgrade");

    // A configuration with a mistake is not tried again and again.
    configure("\"1900002\"]]");
    assert!(
        !machine
            .output(&["systemctl", "restart", "mailtm"])
            .status
            .success()
    );
    let state = machine.output(&["systemctl", "is-failed", "mailtm"]).stdout;
    assert_eq!(String::from_utf8_lossy(&state), "failed\n");
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/backups"]),
        "root 0\n"
    );
    configure("");
    machine.run(&["systemctl", "restart", "mailtm"]);

    // Removed under its users: nothing is left mounted, and nothing is taken for a backup.
    let reading = reader(&machine, &inbox);
    machine.run(&["dpkg", "-r", "mailtm"]);
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/backups"]),
        "root 0\n"
    );
    assert!(!finish(reading), "it is gone");
    machine.run(&["dpkg", "-P", "mailtm"]);
    assert!(!machine.output(&["test", "-e", "/backups"]).status.success());
}

/// Their programs are tried by `tests/recipes.rs`.
#[test]
fn systemd_understands_the_timer_of_the_recipes() {
    if !able(&["systemd-analyze", "btrbk"]) {
        return;
    }
    let units = ["timer", "service"].map(|kind| {
        let root = env!("CARGO_MANIFEST_DIR");
        format!("{root}/packaging/snapshots/mail-snapshot.{kind}")
    });
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(
        verified.status.success() && !said.contains("mail-snapshot"),
        "{said}"
    );
}

/// systemd takes openat2 away with this one, since it cannot look into it.
#[test]
fn no_directive_takes_away_what_reads_mail() {
    let portal = include_str!("../packaging/systemd/mailtm-portal.service");
    for line in [UNIT, portal].iter().flat_map(|unit| unit.lines()) {
        assert!(!line.starts_with("RestrictSUIDSGID"), "{line}");
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
