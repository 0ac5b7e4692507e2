//! A mount whose daemon hangs: ended if it was killed, left alone if it may go on.

use crate::harness::{Config, Scratch, Store, able, eventually, run, skipped};
use crate::machine::Machine;
use crate::{ALICE, DAY};
use std::process::{Command, Stdio};
use std::time::Duration;

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
    let Some(machine) = Machine::new(&scratch, None) else {
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
