//! A Dovecot of the test's own: IMAP on the loopback, over live mailboxes in a scratch directory.

use super::{Scratch, eventually, python, run};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const ALICE: &str = "alice@example.com";
pub const OWNER: u32 = 1_700_001;
pub const PASSWORD: &str = "one-word";

/// Prints every message of a mailbox as IMAP gives it out.
const FETCH: &str = r#"
import datetime, hashlib, imaplib, json, re, sys
port, user, password = sys.argv[1:4]
server = imaplib.IMAP4('127.0.0.1', int(port))
server.login(user, password)
found = []
for line in server.list()[1]:
    if not line:
        continue
    if isinstance(line, tuple):
        folder = line[1].decode()
    else:
        folder = re.match(rb'\(.*?\) "[^"]*" "?(.*?)"?$', line).group(1).decode()
        folder = re.sub(r'\\(.)', r'\1', folder)
    status, said = server.select('"' + re.sub(r'(["\\])', r'\\\1', folder) + '"', readonly=True)
    if status != 'OK' or said[0] == b'0':
        continue
    for part in server.uid('fetch', '1:*', '(FLAGS INTERNALDATE BODY.PEEK[])')[1]:
        if not isinstance(part, tuple):
            continue
        date = re.search(rb'INTERNALDATE "([^"]*)"', part[0]).group(1).decode()
        date = datetime.datetime.strptime(date.strip(), '%d-%b-%Y %H:%M:%S %z')
        flags = {flag.decode() for flag in imaplib.ParseFlags(part[0])} - {'\\Recent'}
        found.append(dict(folder=folder, flags=sorted(flags), received=int(date.timestamp()),
                          digest=hashlib.sha256(part[1]).hexdigest(), uid=int(re.search(rb'UID (\d+)', part[0]).group(1))))
print(json.dumps(found))
"#;

/// A message as IMAP gives it out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Fetched {
    /// In modified UTF-7.
    pub folder: String,
    pub digest: String,
    /// With the keywords.
    pub flags: BTreeSet<String>,
    pub received: i64,
    pub uid: u32,
}

impl Fetched {
    /// All but what the server numbers anew.
    pub fn same(&self) -> Self {
        Self {
            uid: 0,
            ..self.clone()
        }
    }
}

/// The server, until it is dropped.
pub struct Server {
    conf: PathBuf,
    pub port: u16,
    pub tls_port: u16,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Mailboxes are `<live>/<domain>/<user>/<place>`, where `location` begins with the driver, such as `maildir:~/Maildir`.
    pub fn start(scratch: &Scratch, live: &Path, location: &str, more: &str) -> Self {
        let run = scratch.subdirectory("dovecot");
        let conf = run.join("dovecot.conf");
        let log = run.join("log");
        let port = free_port();
        let tls_port = free_port();
        let tls = if more.contains("ssl_cert") {
            "    ssl = yes\n"
        } else {
            ""
        };
        let (at, home) = (run.display(), live.join("%d/%n"));
        let home = home.display();
        let text = format!(
            "base_dir = {at}/run\nstate_dir = {at}/lib\ninstance_name = mailtm-{port}\nlog_path = {at}/log\n\
             listen = 127.0.0.1\nprotocols = imap\nssl = no\ndisable_plaintext_auth = no\nfirst_valid_uid = 1\n\
             auth_mechanisms = plain login\nmail_location = {location}\nmail_fsync = never\n\
             default_login_user = nobody\ndefault_internal_user = nobody\n\
             namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n\
             passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
             userdb {{\n  driver = static\n  args = uid={OWNER} gid={OWNER} home={home}\n}}\n\
             service imap-login {{\n  inet_listener imap {{\n    port = {port}\n  }}\n\
             \x20 inet_listener imaps {{\n    port = {tls_port}\n{tls}  }}\n}}\n\
             service stats {{\n  unix_listener stats-writer {{\n    mode = 0666\n  }}\n}}\n{more}\n"
        );
        fs::write(&conf, text).unwrap();
        let child = Command::new("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(&conf)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .stdout(Stdio::null())
            .stderr(fs::File::create(run.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let server = Self {
            conf,
            port,
            tls_port,
            child,
            log,
        };
        eventually(Duration::from_secs(30), "Dovecot answers", || {
            server.answers()
        });
        server
    }

    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        line.starts_with("* OK")
    }

    /// Its configuration; doveadm takes it from the environment variable `CONFIG_FILE`.
    pub fn conf(&self) -> &Path {
        &self.conf
    }

    pub fn adm(&self, args: &[&str]) -> Vec<u8> {
        let (command, rest) = args.split_first().unwrap();
        // `mailbox create` is one command in two words.
        let words = if matches!(*command, "mailbox" | "flags" | "quota") {
            2
        } else {
            1
        };
        let (command, rest) = (
            [&[*command], &rest[..words - 1]].concat(),
            &rest[words - 1..],
        );
        run(Command::new("doveadm")
            .arg("-c")
            .arg(&self.conf)
            .args(command)
            .args(["-u", ALICE])
            .args(rest)
            .env("TZ", "UTC"))
    }

    /// Every message as IMAP gives it out, sorted.
    pub fn fetch(&self) -> Vec<Fetched> {
        let said = run(python()
            .args(["-c", FETCH])
            .arg(self.port.to_string())
            .args([ALICE, PASSWORD])
            .env("TZ", "UTC"));
        let mut found: Vec<Fetched> = serde_json::from_slice(&said).unwrap();
        found.sort();
        found
    }

    /// What the server says in its log besides who has come and gone.
    pub fn complaints(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let odd = |line: &&str| {
            ["Error", "Panic", "Fatal", "Warning"]
                .iter()
                .any(|w| line.contains(w))
        };
        log.lines().filter(odd).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A home for alice's mailbox, hers.
pub fn home(live: &Path) -> PathBuf {
    let home = live.join("example.com/alice");
    fs::create_dir_all(&home).unwrap();
    lchown(&home, Some(OWNER), Some(OWNER)).unwrap();
    home
}
