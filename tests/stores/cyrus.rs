//! A Cyrus of the test's own: IMAP on the loopback, over a spool in a scratch directory. What happens each day is done through
//! IMAP, and what is in the mailbox is what IMAP says.

use crate::harness::dovecot::{Fetched, OWNER};
use crate::harness::{Scratch, Store, python, run, sha256, skipped};
use crate::life::{DAYS, Day};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Under whom it runs: a user that every Debian has.
const RUNS_AS: &str = "mail";

const PASSWORD: &str = "one-word";

/// How Cyrus keeps the mailbox.
pub struct Kind {
    /// Lines of `imapd.conf`.
    pub settings: &'static str,
    /// Whether old messages are moved into the archive partition.
    pub archives: bool,
}

/// The user's day, and what the mailbox holds afterwards.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores/cyrus.py");

/// The server, until it is dropped.
pub struct Cyrus {
    /// The directory with its programs; another one than the system's where they were only unpacked.
    root: PathBuf,
    conf: PathBuf,
    port: u16,
    master: Option<Child>,
}

impl Cyrus {
    /// The programs of the system, or those that scripts/test has unpacked.
    fn root() -> Option<PathBuf> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cyrus");
        let roots = [PathBuf::from("/"), unpacked];
        roots
            .into_iter()
            .find(|root| root.join("usr/lib/cyrus/bin/master").exists())
    }

    /// `None`, having said so, if there are no programs.
    pub fn start(scratch: &Scratch, live: &Path, kind: &Kind) -> Option<Self> {
        let Some(root) = Self::root() else {
            skipped("needs the programs of Cyrus IMAP");
            return None;
        };
        for part in ["lib", "mail", "archive"] {
            fs::create_dir(live.join(part)).unwrap();
        }
        let (own, live) = (scratch.subdirectory("cyrus"), live.display());
        let conf = own.join("imapd.conf");
        let settings = format!(
            "configdirectory: {live}/lib\ndefaultpartition: default\npartition-default: {live}/mail\n\
             archivepartition-default: {live}/archive\ncyrus_user: {RUNS_AS}\ncyrus_group: {RUNS_AS}\n\
             admins: admin\nsasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\n\
             sasl_sasldb_path: {own}/sasldb2\nsasl_mech_list: PLAIN\nallowplaintext: yes\n\
             unixhierarchysep: yes\naltnamespace: yes\nautocreate_quota: 0\nservername: mail.example.com\n\
             proc_path: {own}/proc\nmboxname_lockpath: {own}/lock\nduplicate_db_path: {own}/deliver.db\n\
             tls_sessions_db_path: {own}/tls.db\nexpunge_mode: delayed\ndelete_mode: delayed\n{}",
            kind.settings,
            own = own.display(),
        );
        fs::write(&conf, settings).unwrap();
        let mut cyrus = Self {
            root,
            conf,
            port: 0,
            master: None,
        };
        for user in ["admin", "alice"] {
            let mut command = cyrus.command("usr/sbin/saslpasswd2");
            let shell = command.args(["-p", "-c", "-u", "mail.example.com", "-f"]);
            let mut child = shell
                .arg(own.join("sasldb2"))
                .arg(user)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(child.stdin.as_mut().unwrap(), PASSWORD.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success());
        }
        let chown = |path: &str| run(Command::new("chown").arg("-R").arg(RUNS_AS).arg(path));
        chown(own.to_str().unwrap());
        chown(&live.to_string());
        // Between finding a free port and listening there somebody else may take it.
        let answers = (0..4).any(|_| cyrus.listen(&own));
        assert!(answers, "Cyrus answers");
        Some(cyrus)
    }

    /// Starts the master on a port that is free; false if it does not come to listen there.
    fn listen(&mut self, own: &Path) -> bool {
        self.end();
        let port = free_port();
        let services = format!(
            "START {{\n  recover cmd=\"{}\"\n}}\nSERVICES {{\n  imap cmd=\"{}\" listen=\"127.0.0.1:{port}\" prefork=0\n}}\n",
            self.line("ctl_cyrusdb", "-r"),
            self.line("imapd", "-U 1"),
        );
        fs::write(own.join("cyrus.conf"), services).unwrap();
        self.port = port;
        let log = fs::File::create(own.join("log")).unwrap();
        let mut master = self.command("usr/lib/cyrus/bin/master");
        master
            .arg("-C")
            .arg(&self.conf)
            .arg("-M")
            .arg(own.join("cyrus.conf"));
        master
            .arg("-p")
            .arg(own.join("pid"))
            .args(["-D", "-L", "/dev/null"]);
        // When it ends, it ends all processes of its user in its group.
        master.process_group(0);
        master
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let master = self.master.insert(master.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(120);
        while Instant::now() < until && master.try_wait().unwrap().is_none() {
            if let Some(socket) = listener(port) {
                return has_open(master.id(), &socket);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn end(&mut self) {
        if let Some(mut master) = self.master.take() {
            if let Some(pid) = i32::try_from(master.id()).ok().and_then(Pid::from_raw)
                && matches!(master.try_wait(), Ok(None))
            {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = master.wait();
        }
    }

    fn line(&self, program: &str, arguments: &str) -> String {
        let program = self.root.join("usr/lib/cyrus/bin").join(program);
        format!(
            "{} -C {} {arguments}",
            program.display(),
            self.conf.display()
        )
    }

    /// One of Cyrus's programs, with the libraries that were unpacked beside it.
    fn command(&self, program: &str) -> Command {
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
        let libraries = libraries.map(|dir| self.root.join(dir).display().to_string());
        let mut command = Command::new(self.root.join(program));
        if self.root != Path::new("/") {
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
        }
        command
    }

    /// One of Cyrus's tools, as Cyrus's user.
    fn tool(&self, program: &str, arguments: &[&str]) {
        let tool = self.command(&format!("usr/lib/cyrus/bin/{program}"));
        let mut command = Command::new("setpriv");
        command.args(["--reuid", RUNS_AS, "--regid", RUNS_AS, "--clear-groups"]);
        command.envs(
            tool.get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        run(command
            .arg(tool.get_program())
            .arg("-C")
            .arg(&self.conf)
            .args(arguments));
    }

    /// What the user does on a day, and what IMAP says of the mailbox afterwards.
    pub fn day(&self, number: usize, all: usize) -> Vec<Said> {
        let arguments = [
            self.port.to_string(),
            PASSWORD.into(),
            number.to_string(),
            all.to_string(),
        ];
        let said = run(python().arg(SCRIPT).args(arguments));
        serde_json::from_slice(&said).unwrap()
    }
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        self.end();
    }
}

/// The socket that listens on a port of the loopback, whose ever it is.
fn listener(port: u16) -> Option<String> {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)? == &format!("0100007F:{port:04X}") && fields.get(3)? == &"0A";
        is_it.then(|| format!("socket:[{}]", fields[9]))
    })
}

fn has_open(process: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    let mut links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    links.any(|link| link == Path::new(socket))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A folder as IMAP gives it out.
#[derive(Deserialize)]
pub struct Said {
    /// In modified UTF-7.
    folder: String,
    decoded: String,
    messages: Vec<SaidMessage>,
}

#[derive(Deserialize)]
struct SaidMessage {
    flags: BTreeSet<String>,
    received: i64,
    text: String,
}

/// A snapshot of the first day, of so many messages; `None` if Cyrus is not here.
pub fn one_day(kind: &Kind, scratch: &Scratch, snapshot: &Path, all: usize) -> Option<()> {
    let live = scratch.subdirectory("live");
    let cyrus = Cyrus::start(scratch, &live, kind)?;
    cyrus.day(0, all);
    // A snapshot of a server at rest: what it writes only when it ends is there.
    drop(cyrus);
    let mut copy = Command::new("rsync");
    copy.args(["-a", &format!("--chown={OWNER}:{OWNER}")]);
    run(copy.arg(format!("{}/", live.display())).arg(snapshot));
    Some(())
}

/// A week, with a snapshot of each day; `None` if Cyrus is not here.
pub fn live(kind: &Kind, scratch: &Scratch, store: &Store, all: usize) -> Option<Vec<Day>> {
    let live = scratch.subdirectory("live");
    let cyrus = Cyrus::start(scratch, &live, kind)?;
    let mut days = Vec::new();
    let mut before = None;
    for (number, date) in DAYS.into_iter().enumerate() {
        let said = cyrus.day(number, all);
        if kind.archives && number % 3 == 2 {
            cyrus.tool("cyr_expire", &["-E", "30", "-A", "0d"]);
        }
        if number == 4 {
            // What was expunged and what was deleted goes for good.
            cyrus.tool("cyr_expire", &["-E", "1", "-X", "0", "-D", "0"]);
        }
        let message = |folder: &Said, message: &SaidMessage| Fetched {
            folder: folder.decoded.clone(),
            guid: sha256(&message.text),
            flags: message.flags.clone(),
            received: message.received,
            bytes: message.text.clone().into_bytes(),
        };
        days.push(Day {
            date,
            folders: said.iter().map(|f| f.decoded.clone()).collect(),
            encoded: said
                .iter()
                .map(|f| (f.decoded.clone(), f.folder.replace('.', "_")))
                .collect(),
            messages: said
                .iter()
                .flat_map(|f| f.messages.iter().map(|m| message(f, m)))
                .collect(),
        });
        let mut copy = Command::new("rsync");
        copy.args(["-a", "--checksum", &format!("--chown={OWNER}:{OWNER}")]);
        if let Some(before) = before.replace(store.path.join(date)) {
            copy.arg("--link-dest").arg(before);
        }
        run(copy
            .arg(format!("{}/", live.display()))
            .arg(store.path.join(date)));
    }
    Some(days)
}
