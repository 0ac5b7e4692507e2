//! A Samba server of the test's own: network and process namespace, directories and passwords are its own, and the
//! shares are those of the sample with its paths put in place.
//!
//! Invariant: when a `Server` has been dropped, none of its processes is left.

use crate::harness::mount::python_path;
use crate::harness::{Mount, Scratch, Subject, eventually, output, run};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SAMPLE: &str = include_str!("../../packaging/samba/smb.conf");
const PASSWORD: &str = "pw1";

/// A running smbd.
pub struct Server {
    /// `unshare`, which waits for the first process of the namespaces.
    child: Child,
    conf: PathBuf,
}

impl Server {
    /// Starts smbd for these users; returns when it answers. `more` is added to the configuration.
    pub fn start(scratch: &Scratch, mount: &Mount, users: &[&Subject], more: &str) -> Self {
        let dir = scratch.subdirectory("samba");
        let conf = dir.join("smb.conf");
        fs::write(&conf, configuration(&dir, mount, more)).unwrap();
        for user in users {
            add_password(&conf, user);
        }
        let script = "ip link set lo up && smbd -F --no-process-group -s \"$0\" -l \"$1\"; exit";
        let child = Command::new("unshare")
            .args([
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                script,
            ])
            .args([&conf, &dir])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { child, conf };
        eventually(Duration::from_secs(30), "smbd answers", || {
            refusal(&server.run(users[0], "backups", "quit")).is_none()
        });
        server
    }

    /// What the other client writes, `client.py`: which command, on which path of a share.
    pub fn ask(&self, user: &Subject, share: &str, command: &str, path: &str) -> String {
        let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samba/client.py");
        let said = run(Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", self.child.id()))
            .args([python_path(), client, "127.0.0.1", &user.name, PASSWORD])
            .args([share, command, path])
            .env("LC_ALL", "C.UTF-8"));
        String::from_utf8(said).unwrap()
    }

    /// What smbclient says to commands on a share.
    pub fn run(&self, user: &Subject, share: &str, commands: &str) -> String {
        self.run_in(Path::new("/"), user, share, commands)
    }

    /// The same with a directory into which files are fetched.
    pub fn run_in(&self, dir: &Path, user: &Subject, share: &str, commands: &str) -> String {
        let mut client = self.client(user, share);
        let output = output(client.args(["-c", commands]).current_dir(dir));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// smbclient, which does what it reads if it is told nothing else.
    pub fn client(&self, user: &Subject, share: &str) -> Command {
        let mut client = Command::new("nsenter");
        client
            .arg(format!("--net=/proc/{}/ns/net", self.child.id()))
            .args(["smbclient", "-s"])
            .arg(&self.conf)
            .args(["-U", &format!("{}%{PASSWORD}", user.name)])
            .arg(format!("//127.0.0.1/{share}"))
            .env("LC_ALL", "C.UTF-8");
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        // The end of its first process ends a process namespace; unshare waits for it.
        let first = children.unwrap_or_default();
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(first.split_whitespace())
            .status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let dir = self.conf.parent().unwrap();
            for log in ["stderr", "log.smbd"] {
                let text = fs::read(dir.join(log)).unwrap_or_default();
                eprintln!("--- {log} ---\n{}", String::from_utf8_lossy(&text));
            }
        }
    }
}

/// The `[global]` of the test and the shares of the sample.
fn configuration(dir: &Path, mount: &Mount, more: &str) -> String {
    let shown = dir.display();
    let mut text = String::from(
        "[global]\nserver role = standalone server\ninterfaces = lo\nbind interfaces only = yes\n\
         disable netbios = yes\nsmb ports = 445\nload printers = no\ndisable spoolss = yes\nmap to guest = never\n",
    );
    for (key, name) in [
        ("private dir", "private"),
        ("lock directory", "lock"),
        ("state directory", "state"),
        ("cache directory", "cache"),
        ("pid directory", "run"),
        ("ncalrpc dir", "ncalrpc"),
    ] {
        fs::create_dir_all(dir.join(name)).unwrap();
        text += &format!("{key} = {shown}/{name}\n");
    }
    text += &format!("passdb backend = tdbsam:{shown}/private/passdb.tdb\n");
    text += &format!("log file = {shown}/log.smbd\n");
    let versions = dir.join("versions");
    std::os::unix::fs::symlink(&mount.path, &versions).unwrap();
    assert!(SAMPLE.contains("path = /backups\n") && SAMPLE.contains(" = /srv/mail-versions\n"));
    text += &SAMPLE
        .replace(" = /backups", &format!(" = {}", mount.path.display()))
        .replace(
            " = /srv/mail-versions",
            &format!(" = {}", versions.display()),
        );
    text + more
}

fn add_password(conf: &Path, user: &Subject) {
    let mut child = Command::new("smbpasswd")
        .arg("-c")
        .arg(conf)
        .args(["-s", "-a", &user.name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let twice = format!("{PASSWORD}\n{PASSWORD}\n");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(twice.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// The last status in what smbclient says.
pub fn refusal(said: &str) -> Option<&str> {
    let status = &said[said.rfind("NT_STATUS_")?..];
    status
        .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .next()
}

/// The names in a listing of smbclient, sorted, without `.` and `..`: lines of name, attributes, size and time.
pub fn names(listing: &str) -> Vec<String> {
    let mut names: Vec<String> = listing
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("  ")?;
            // Weekday, month, day, time, year; before them the size, and letters if there are attributes.
            let mut words: Vec<&str> = rest.split_whitespace().rev().skip(5).collect();
            words.reverse();
            words.pop()?.parse::<u64>().ok()?;
            if words.last()?.bytes().all(|b| b"DAHNRS".contains(&b)) {
                words.pop();
            }
            Some(words.join(" "))
        })
        .filter(|name| name != "." && name != "..")
        .collect();
    names.sort();
    names
}
