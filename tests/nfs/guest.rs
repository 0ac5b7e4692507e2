//! A guest kernel that runs a test again, inside; and the NFS server in there.

use crate::harness::{Scratch, able, output, run, skipped};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAMS: [&str; 10] = [
    "linux.uml",
    "modprobe",
    "ip",
    "rpcbind",
    "rpc.mountd",
    "rpc.nfsd",
    "exportfs",
    "mount.nfs",
    "useradd",
    "timeout",
];
const SAMPLE: &str = include_str!("../../packaging/nfs/exports");
/// Where the guest mounts the export, by version.
pub const CLIENTS: [&str; 2] = ["/run/v3", "/run/v4"];
/// Seconds after which a guest is taken for lost.
const PATIENCE: u64 = 300;

/// Runs `body` where there is an NFS server: in a guest, in which this test is started once more.
pub fn in_guest(body: impl FnOnce()) {
    in_guest_for(0, &[], body);
}

/// The same for a test that takes so many seconds more, with these variables in its environment.
pub fn in_guest_for(seconds: u64, variables: &[(&str, String)], body: impl FnOnce()) {
    if std::env::var_os("MAILTM_TEST_GUEST").is_some() {
        return body();
    }
    if !able(&PROGRAMS) {
        return;
    }
    if !Path::new("/usr/lib/uml/modules").exists() {
        return skipped("needs the modules of user-mode-linux");
    }
    let scratch = Scratch::new();
    let thread = std::thread::current();
    let init = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nfs/guest.sh");
    let console = scratch.join("console");
    let status = Command::new("timeout")
        .args(["--kill-after=5", &(PATIENCE + seconds).to_string()])
        .args(["linux.uml", "mem=768M"])
        .args([
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "quiet",
            "loglevel=3",
        ])
        .args(["con=null", "con0=null,fd:1", "ssl=null", "umid=guest"])
        .arg(format!("uml_dir={}/", scratch.path().display()))
        .arg(format!("init={init}"))
        .arg(format!(
            "TEST_PROGRAM={}",
            std::env::current_exe().unwrap().display()
        ))
        .arg(format!("TEST_NAME={}", thread.name().unwrap()))
        .arg(format!("EXPORTS={}", export()))
        .args(
            variables
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        )
        .env("TMPDIR", "/dev/shm")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&console).unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let said = fs::read(&console).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.lines().any(|line| line.trim_end() == "RESULT 0"),
        "{status}; the guest said:\n{said}"
    );
    println!("{said}");
}

/// The line of the sample, for the guest's mount point and for itself. The root of the guest is of a kind that can't be
/// exported, which version 4 does to lead to an export; so this one is its root.
fn export() -> String {
    let line = SAMPLE.lines().find(|l| l.starts_with("/backups "));
    let mut line = line.expect("an export of /backups").to_owned();
    for (of_sample, of_guest) in [
        ("/backups ", "/run/backups "),
        ("192.0.2.0/24(", "127.0.0.1(insecure,"),
        ("fsid=4242", "fsid=0"),
    ] {
        assert!(line.contains(of_sample), "{line}: {of_sample}");
        line = line.replace(of_sample, of_guest);
    }
    // The kernel splits its command line at blanks, unless they are quoted.
    format!("\"{line}\"")
}

/// The kernel's NFS server, with the clients of both versions mounted.
pub struct Server(());

impl Server {
    pub fn start() -> Self {
        Self::start_with("rw")
    }

    /// The same with clients that are mounted with these options more.
    pub fn start_with(options: &str) -> Self {
        let all: &[&[&str]] = &[
            &["rpcbind", "-w"],
            &["rpc.mountd", "--manage-gids", "--no-udp"],
            &["exportfs", "-a"],
            &["rpc.nfsd", "--grace-time", "10", "--lease-time", "10", "4"],
        ];
        for command in all {
            run(Command::new(command[0])
                .args(&command[1..])
                .stdin(Stdio::null()));
        }
        let server = Self(());
        server.end_grace();
        // Writable, so that it is the server who refuses.
        for ((source, version), at) in [
            ("127.0.0.1:/run/backups", "vers=3,nolock,tcp"),
            ("127.0.0.1:/", "vers=4.2"),
        ]
        .into_iter()
        .zip(CLIENTS)
        {
            let options = format!("{version},{options}");
            run(Command::new("mount.nfs").args([source, at, "-o", &options]));
        }
        server
    }

    /// Stops the server and starts it again, with clients and what they have open as they are.
    pub fn restart(&self) {
        run(Command::new("rpc.nfsd").arg("0"));
        run(Command::new("rpc.nfsd").args(["--grace-time", "10", "--lease-time", "10", "4"]));
    }

    /// Waits for no client that might reclaim what it had open.
    pub fn end_grace(&self) {
        let _ = fs::write("/proc/fs/nfsd/v4_end_grace", "Y");
    }

    /// Makes the server look for the export anew.
    pub fn forget(&self) {
        run(Command::new("exportfs").arg("-f"));
    }

    /// Lets go of the export.
    pub fn stop(self) {
        for client in CLIENTS {
            run(Command::new("umount").arg("-l").arg(client));
        }
        let _ = output(Command::new("rpc.nfsd").arg("0"));
        run(Command::new("exportfs").args(["-a", "-u"]));
        self.forget();
    }
}
