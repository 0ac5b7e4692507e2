//! NFS-Ganesha, the server in user space: it asks for everything as root, and judges for itself by owner, group and mode.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{ls, messages};
use harness::{
    Config, Mount, Scratch, Store, Subject, Users, able, drop_caches, eventually, output,
};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const PROGRAMS: [&str; 6] = [
    "ganesha.nfsd",
    "rpcbind",
    "nfs-ls",
    "nfs-cat",
    "nfs-cp",
    "ip",
];

/// A Ganesha with network, processes and /run of its own; none of them is left when it is dropped.
struct Server {
    child: Child,
    /// The first process of its namespaces.
    first: String,
}

/// Where Debian has the module for file systems.
fn modules() -> String {
    let listed = harness::run(Command::new("dpkg").args(["-L", "nfs-ganesha-vfs"]));
    let listed = String::from_utf8(listed).unwrap();
    let module = listed.lines().find(|l| l.ends_with("/libfsalvfs.so"));
    let module = Path::new(module.expect("the module for file systems"));
    module.parent().unwrap().to_str().unwrap().to_owned()
}

impl Server {
    fn start(scratch: &Scratch, mount: &Mount) -> Self {
        let dir = scratch.subdirectory("ganesha");
        for name in ["run", "run/rpcbind", "run/lock", "run/ganesha", "recovery"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let (modules, path) = (modules(), mount.path.display());
        let recovery = dir.join("recovery");
        let configuration = format!(
            "NFS_CORE_PARAM {{ NFS_Protocols = 3,4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;\n\
             mount_path_pseudo = true; Plugins_Dir = {modules}; }}\n\
             NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = {}; Minor_Versions = 0,1,2; }}\n\
             EXPORT {{ Export_Id = 1; Path = {path}; Pseudo = /mail; Filesystem_Id = 4242.1; Protocols = 3,4;\n\
             Transports = TCP; Access_Type = RO; Squash = root_squash; Manage_Gids = true; SecType = sys;\n\
             FSAL {{ Name = VFS; }} }}\n",
            recovery.display()
        );
        fs::write(dir.join("conf"), configuration).unwrap();
        let script = r#"
            ip link set lo up && mount --bind "$0/run" /run && mount -t tmpfs none /var/lib/nfs &&
            mkdir -p /var/lib/nfs/ganesha && { rpcbind -w -f & } && sleep 0.3 &&
            ganesha.nfsd -F -f "$0/conf" -L "$0/log" -p "$0/pid"; exit"#;
        let child = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", script])
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let id = child.id();
        let mut server = Self {
            child,
            first: String::new(),
        };
        eventually(Duration::from_secs(10), "its first process", || {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            server.first = children.unwrap_or_default().trim().to_owned();
            !server.first.is_empty()
        });
        eventually(Duration::from_secs(40), "Ganesha answers", || {
            server.ask("nfs-ls", 3, &Subject::uid(65534), "").is_ok()
        });
        server
    }

    fn url(version: u8, subject: &Subject, path: &str) -> String {
        let (uid, gid) = (subject.uid, subject.gid);
        format!("nfs://127.0.0.1/mail/{path}?version={version}&uid={uid}&gid={gid}")
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--net", program]);
        command
    }

    /// What a client writes to standard output, or says.
    fn ask(
        &self,
        program: &str,
        version: u8,
        subject: &Subject,
        path: &str,
    ) -> Result<Vec<u8>, String> {
        let asked = output(self.client(program).arg(Self::url(version, subject, path)));
        match asked.status.success() {
            true => Ok(asked.stdout),
            false => Err(String::from_utf8_lossy(&asked.stderr).into_owned()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.first]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn owners_and_one_group_read_over_ganesha_and_others_do_not() {
    if !able(&PROGRAMS) {
        return;
    }
    let mut users = Users::new();
    let leads = users.group("leads");
    let (alice, bob) = (users.user("alice", &[]), users.user("bob", &[]));
    let lead = users.user("lead", &[&leads]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for (address, owner) in [(ALICE, &alice), (BOB, &bob)] {
        let mailbox = store.mailbox(DAY, address).owned_by(owner.uid, owner.gid);
        for number in 0..12 {
            mailbox.number("cur", number);
        }
    }
    // One group says it all: it is the group of the files, which Ganesha heeds.
    let config = Config::new(&scratch, &store).grant(&[ALICE], &[&format!("@{}", leads.0)]);
    let mount = Mount::new(&config).expecting_warnings();
    let server = Server::start(&scratch, &mount);
    let inbox = |address: &str| format!("{DAY}/{address}/INBOX");
    let names = messages(mount.join(inbox(ALICE)));
    for (version, some) in [(3, &names[..4]), (4, &names[4..8])] {
        for cold in [false, true] {
            if cold {
                drop_caches();
            }
            for (subject, address) in [(&alice, ALICE), (&bob, BOB), (&lead, ALICE)] {
                for name in some {
                    let path = format!("{}/{name}", inbox(address));
                    let bytes = server.ask("nfs-cat", version, subject, &path);
                    let who = format!("{} by version {version}", subject.name);
                    let bytes = bytes.unwrap_or_else(|e| panic!("{who}: {path}: {e}"));
                    assert!(
                        bytes == fs::read(mount.join(&path)).unwrap(),
                        "{who}: {path}"
                    );
                }
                let listed = server
                    .ask("nfs-ls", version, subject, &inbox(address))
                    .unwrap();
                let count = String::from_utf8(listed).unwrap().lines().count();
                assert_eq!(count, ls(mount.join(inbox(address))).len());
            }
            let root = Subject::root();
            for (subject, address) in [(&bob, ALICE), (&alice, BOB), (&lead, BOB), (&root, ALICE)] {
                let path = format!("{}/{}", inbox(address), some[0]);
                let read = server.ask("nfs-cat", version, subject, &path);
                assert!(
                    !read.as_ref().is_ok_and(|bytes| !bytes.is_empty()),
                    "{} reads mail of {address} by version {version}",
                    subject.name
                );
            }
        }
        let target = Server::url(version, &alice, &format!("{}/new.eml", inbox(ALICE)));
        let written = output(server.client("nfs-cp").args(["/etc/hostname", &target]));
        assert!(!written.status.success(), "something was written");
    }
}
