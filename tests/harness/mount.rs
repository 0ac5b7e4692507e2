//! A configuration, and the daemon that runs on it.
//!
//! Invariants: [`Mount::new`] returns when the daemon has said that it is ready; when a `Mount` has been dropped, the
//! daemon has ended and nothing is mounted. A warning that the test did not announce fails it.

use super::{Scratch, Store};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use toml::{Table, Value};

/// How long a daemon may take to mount or to end, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration file in the making: UTC, the template of [`super::store`], a refresh of one second, and a mount
/// point and an index of its own.
#[derive(Clone)]
pub struct Config {
    pub path: PathBuf,
    pub mountpoint: PathBuf,
    pub index: PathBuf,
    table: Table,
}

impl Config {
    pub fn new(scratch: &Scratch, store: &Store) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mountpoint = scratch.subdirectory(&format!("mount-{number}"));
        let index = scratch.join(format!("index-{number}"));
        Self {
            path: scratch.join(format!("mailtm-{number}.toml")),
            mountpoint: mountpoint.clone(),
            index: index.clone(),
            table: Table::new(),
        }
        .set("mountpoint", mountpoint.to_str().unwrap())
        .set("timezone", "UTC")
        .set("refresh", "1s")
        .set(
            "source.snapshots",
            vec![store.path.to_str().unwrap().to_owned()],
        )
        .set("source.mailboxes", "{domain}/{user}/Maildir")
        .set("index.path", index.to_str().unwrap())
    }

    /// Sets `key` or `table.key`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let (table, key) = match key.split_once('.') {
            None => (&mut self.table, key),
            Some((name, key)) => {
                let entry = self
                    .table
                    .entry(name)
                    .or_insert_with(|| Value::Table(Table::new()));
                (entry.as_table_mut().unwrap(), key)
            }
        };
        table.insert(key.to_owned(), value.into());
        self
    }

    pub fn unset(mut self, key: &str) -> Self {
        match key.split_once('.') {
            None => self.table.remove(key),
            Some((name, key)) => self.table[name].as_table_mut().unwrap().remove(key),
        };
        self
    }

    /// Adds an `[[access.grant]]`.
    pub fn grant(mut self, mailboxes: &[&str], to: &[&str]) -> Self {
        let strings = |list: &[&str]| {
            Value::Array(
                list.iter()
                    .map(|s| Value::String((*s).to_owned()))
                    .collect(),
            )
        };
        let mut grant = Table::new();
        grant.insert("mailboxes".into(), strings(mailboxes));
        grant.insert("to".into(), strings(to));
        let access = self
            .table
            .entry("access")
            .or_insert_with(|| Value::Table(Table::new()));
        access
            .as_table_mut()
            .unwrap()
            .entry("grant")
            .or_insert_with(|| Value::Array(Vec::new()))
            .as_array_mut()
            .unwrap()
            .push(Value::Table(grant));
        self
    }

    /// Writes the file.
    pub fn write(&self) -> &Path {
        std::fs::write(&self.path, toml::to_string(&self.table).unwrap()).unwrap();
        &self.path
    }
}

/// `mailtm` with these arguments; it neither reads the terminal nor the environment's settings for output.
pub fn mailtm(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtm"));
    command
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// The system's Python, which other users can run as well.
pub fn python() -> Command {
    Command::new(python_path())
}

pub fn python_path() -> &'static str {
    if Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    }
}

/// How a daemon ended that never got ready.
#[derive(Debug)]
pub struct Failure {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Failure {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// A running daemon with its mount.
pub struct Mount {
    pub path: PathBuf,
    child: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
    warnings_expected: bool,
    /// Killed by the test; what it left mounted is the test's.
    killed: bool,
}

impl Mount {
    pub fn new(config: &Config) -> Self {
        Self::start(config).unwrap_or_else(|failure| {
            panic!(
                "mailtm mount ended with {}:\n{}",
                failure.status, failure.stderr
            )
        })
    }

    /// Starts a daemon, and waits for the line that says that it is ready or for its end.
    pub fn start(config: &Config) -> Result<Self, Failure> {
        Self::start_with(config, &[])
    }

    /// The same in an environment with these variables.
    pub fn start_with(config: &Config, variables: &[(&str, &str)]) -> Result<Self, Failure> {
        let file = config.write();
        let mut child = mailtm(&["mount", "--config", file.to_str().unwrap()])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let collector = collect(child.stderr.take().unwrap(), Arc::clone(&stderr));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = send.send(line);
            // The pipe stays open as long as the daemon lives: it must not die of a line more.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let line = receive.recv_timeout(PATIENCE);
        let mut mount = Self {
            path: config.mountpoint.clone(),
            child,
            stderr,
            warnings_expected: false,
            killed: false,
        };
        match line {
            Ok(line) if !line.is_empty() => {
                assert!(
                    is_mounted(&mount.path),
                    "said to be ready ({line:?}), yet nothing is mounted"
                );
                Ok(mount)
            }
            Ok(_) => {
                let status = mount.child.wait().unwrap();
                let _ = collector.join();
                let stderr = mount.stderr();
                mount.killed = true;
                Err(Failure { status, stderr })
            }
            Err(_) => panic!(
                "mailtm mount not ready after {PATIENCE:?}:\n{}",
                mount.stderr()
            ),
        }
    }

    /// A path below the mount point.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the daemon has written to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// The lines of standard error that are warnings or errors; but not that no new snapshots come, as those of tests are of
    /// the past.
    pub fn warnings(&self) -> Vec<String> {
        self.stderr()
            .lines()
            .filter(|l| l.contains("WARN") || l.contains("ERROR"))
            .filter(|l| !l.contains("the newest snapshot is"))
            .map(str::to_owned)
            .collect()
    }

    /// Announces that this mount warns of something; otherwise a warning fails the test at the end.
    pub fn expecting_warnings(mut self) -> Self {
        self.warnings_expected = true;
        self
    }

    /// Waits until a warning contains all of `words`.
    pub fn wait_for_warning(&self, words: &[&str]) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let warnings = self.warnings();
            if warnings
                .iter()
                .any(|w| words.iter().all(|word| w.contains(word)))
            {
                return;
            }
            assert!(
                Instant::now() < end,
                "no warning with {words:?} in:\n{}",
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until its log has a line with all of `words`.
    pub fn wait_for_line(&self, words: &[&str]) {
        super::eventually(PATIENCE, &format!("a line with {words:?}"), || {
            let said = self.stderr();
            said.lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
        });
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills the daemon outright; its mount stays, and answers nobody any more.
    pub fn kill(mut self) {
        self.killed = true;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the daemon to end; how it did.
    pub fn stop(mut self) -> ExitStatus {
        self.terminate()
    }

    /// The same; what it leaves mounted is the test's.
    pub fn abandon(mut self) -> ExitStatus {
        self.killed = true;
        self.terminate()
    }

    fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let end = Instant::now() + PATIENCE;
        if self.child.try_wait().unwrap().is_none() {
            let _ = kill_process(pid, Signal::TERM);
        }
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > end {
                let _ = self.child.kill();
                return self.child.wait().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.killed {
            return;
        }
        let status = self.terminate();
        let left = is_mounted(&self.path);
        if left {
            unmount_lazily(&self.path);
        }
        if std::thread::panicking() {
            eprintln!("--- standard error of mailtm ---\n{}", self.stderr());
            return;
        }
        assert!(!left, "still mounted after the daemon's end");
        assert!(
            status.success(),
            "mailtm ended with {status} (signal {:?}):\n{}",
            status.signal(),
            self.stderr()
        );
        let warnings = self.warnings();
        assert!(
            self.warnings_expected || warnings.is_empty(),
            "unexpected warnings:\n{}",
            warnings.join("\n")
        );
    }
}

fn collect(
    mut from: impl Read + Send + 'static,
    to: Arc<Mutex<Vec<u8>>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            to.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
    })
}

/// The line of `/proc/self/mountinfo` for the topmost mount on a directory.
pub fn mount_info(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let escaped = path.to_str().unwrap().replace(' ', "\\040");
    text.lines()
        .rfind(|line| line.split(' ').nth(4) == Some(&escaped))
        .map(str::to_owned)
}

pub fn is_mounted(path: &Path) -> bool {
    mount_info(path).is_some()
}

/// Takes away every mount on a directory, in use or not.
pub fn unmount_lazily(path: &Path) {
    for _ in 0..8 {
        if !is_mounted(path) {
            break;
        }
        let _ = Command::new("umount").arg("-l").arg(path).status();
    }
}

/// Something mounted by the test itself; unmounted at the end.
pub struct OtherMount(pub PathBuf);

impl OtherMount {
    /// `mount ARGS… PATH`
    pub fn new(args: &[&str], path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        super::run(Command::new("mount").args(args).arg(&path));
        Self(path)
    }
}

impl Drop for OtherMount {
    fn drop(&mut self) {
        unmount_lazily(&self.0);
    }
}
