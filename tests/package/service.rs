//! The service as systemd runs it: started, killed, upgraded under its users, and gone.

use crate::harness::{Scratch, able, eventually, skipped};
use crate::machine::Machine;
use crate::{ALICE, DAY, TOOLS, copied, debian, later, store};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

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
    let programs = ["unshare", "nsenter", "dpkg", "systemctl", "ip"];
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
    let Some(machine) = Machine::with_systemd(&scratch, debian::root()) else {
        return skipped("needs overlayfs");
    };
    machine.install(&copied(&scratch));
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
        machine.run(&["sh", "-c", &format!("kill -{signal} {before}")]);
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
    let protections = include_str!("../../packaging/systemd/mailtm-portal.service")
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
    let ask = "exec 3<> /dev/tcp/127.0.0.1/8025 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && timeout 20 cat <&3";
    let said = machine.output(&["bash", "-c", ask]).stdout;
    let log = machine.output(&["journalctl", "--no-pager"]).stdout;
    let log = String::from_utf8_lossy(&log);
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("\r\n\r\nok"), "{said}{log}");
    assert!(!log.contains("not implemented"), "{log}");

    // An upgrade leaves the daemon, and who reads.
    let before = main();
    let reading = reader(&machine, &inbox);
    machine.install(&later(&scratch, "7.0"));
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
    machine.uninstall("remove");
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/backups"]),
        "root 0\n"
    );
    assert!(!finish(reading), "it is gone");
    let enabled = "/etc/systemd/system/multi-user.target.wants/mailtm.service";
    assert!(!machine.output(&["test", "-L", enabled]).status.success());
    machine.uninstall("purge");
    assert!(!machine.has("/backups"));
}
