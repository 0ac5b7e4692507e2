//! `mailtm demo` and `scripts/demo`, as a newcomer uses them: what is printed is done as it stands there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{is_mounted, mailtm, unmount_lazily};
use harness::tree::{only, walk};
use harness::{Scratch, Subject, able, ls, output, run};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long a program may take to get somewhere, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user who exists by number only.
const VISITOR: u32 = 471_100;

/// A program that mounts and stays in the foreground; ended and unmounted when it is dropped.
struct Foreground {
    child: Child,
    lines: Receiver<String>,
    mountpoint: PathBuf,
}

impl Foreground {
    fn new(command: &mut Command, mountpoint: PathBuf) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let _ = send.send(line.unwrap());
            }
        });
        Self {
            child,
            lines,
            mountpoint,
        }
    }

    /// What is printed up to a line that contains `word`.
    fn until(&self, word: &str) -> String {
        let mut text = String::new();
        let end = Instant::now() + PATIENCE;
        while !text.lines().next_back().unwrap_or("").contains(word) {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|e| panic!("no {word:?} after\n{text}\n({e})"));
            text += &(line + "\n");
        }
        text
    }

    /// Ctrl-C. The exit code, and what is printed at the end.
    fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "goes on after SIGINT");
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        unmount_lazily(&self.mountpoint);
    }
}

/// The command that stands, indented, in what was printed.
fn command(printed: &str, word: &str) -> String {
    let mut lines = printed.lines().map(str::trim);
    lines
        .find(|line| line.starts_with(word))
        .unwrap_or_else(|| panic!("no {word:?} in\n{printed}"))
        .to_owned()
}

/// The command with some words in it.
fn line(printed: &str, words: &str) -> String {
    let found = printed.lines().find(|line| line.contains(words));
    found
        .unwrap_or_else(|| panic!("no {words:?} in\n{printed}"))
        .trim()
        .to_owned()
}

fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).stdin(Stdio::null());
    shell
}

/// Every stored message of a date: its base name and its bytes.
fn stored(dir: &Path, date: &str) -> Vec<(String, Vec<u8>)> {
    let root = dir.join("snapshots").join(date);
    let mut found = Vec::new();
    walk(&root, &mut |path, meta| {
        let folder = path.parent().and_then(Path::file_name);
        if meta.is_file() && folder.is_some_and(|name| name == "cur" || name == "new") {
            let name = path.file_name().unwrap().to_str().unwrap();
            let base = name.split(":2,").next().unwrap().to_owned();
            found.push((base, fs::read(root.join(path)).unwrap()));
        }
    });
    found
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_tour_leads_to_the_message() {
    if !able(&["sh", "cp"]) {
        return;
    }
    let scratch = Scratch::new();
    let dir = scratch.join("a demo");
    let mountpoint = dir.join("mountpoint");
    let demo = Foreground::new(mailtm(&["demo"]).arg(&dir), mountpoint.clone());
    let printed = demo.until("Ctrl-C");
    assert!(is_mounted(&mountpoint), "{printed}");
    assert!(printed.contains("INBOX.mbox"), "{printed}");

    let home = scratch.subdirectory("home");
    run(shell(&command(&printed, "cp ")).env("HOME", &home));
    assert_eq!(ls(&home).len(), 1);
    let copy = fs::read(home.join(only(&home))).unwrap();

    let dates = ls(dir.join("snapshots"));
    let first = stored(&dir, &dates[0]);
    let originals: Vec<_> = first.iter().filter(|(_, bytes)| *bytes == copy).collect();
    assert_eq!(originals.len(), 1, "the copy is not what is stored");
    let last = stored(&dir, dates.last().unwrap());
    assert!(
        last.iter().all(|(base, _)| *base != originals[0].0),
        "it is still there on the last date"
    );

    // It is among what is deleted, and found.
    let lost = String::from_utf8(run(&mut shell(&command(&printed, "ls ")))).unwrap();
    assert!(lost.lines().any(|line| line == only(&home)), "{lost}");
    let find = printed
        .lines()
        .find(|line| line.contains(" find --config "));
    let found = String::from_utf8(run(&mut shell(find.unwrap()))).unwrap();
    assert!(found.contains("gone since"), "{found}");

    let (code, printed) = demo.interrupt();
    assert_eq!(code, Some(0));
    assert!(!is_mounted(&mountpoint), "{printed}");
    run(&mut shell(&command(&printed, "rm -r ")));
    assert!(!dir.exists());
}

/// Who called sudo may look around in another terminal; and keeps nobody from ending the demo.
#[test]
fn a_visitor_in_another_terminal() {
    if !able(&["sleep"]) {
        return;
    }
    let scratch = Scratch::new();
    let dir = scratch.join("demo");
    let mountpoint = dir.join("mountpoint");
    let mut command = mailtm(&["demo"]);
    command.arg(&dir).env("SUDO_USER", "anna");
    command.env("SUDO_UID", VISITOR.to_string());
    let demo = Foreground::new(&mut command, mountpoint.clone());
    let printed = demo.until("Ctrl-C");
    assert!(printed.contains("as anna or root"), "{printed}");
    let latest = mountpoint.join("latest/");
    assert!(Subject::uid(VISITOR).list(&latest).unwrap().len() > 4);
    assert_eq!(Subject::uid(VISITOR + 1).list(&latest).unwrap(), [""; 0]);

    let mut visitor = Command::new("sleep");
    let mut visitor = visitor.arg("600").current_dir(&mountpoint).spawn().unwrap();
    let (code, _) = demo.interrupt();
    visitor.kill().unwrap();
    visitor.wait().unwrap();
    assert_eq!(code, Some(0));
    assert!(!is_mounted(&mountpoint));
}

#[test]
fn without_a_mount_it_says_how_to_mount() {
    let scratch = Scratch::new();
    let dir = scratch.join("it's a demo");
    let mountpoint = dir.join("mountpoint");
    let made = run(mailtm(&["demo", "--no-mount"]).arg(&dir));
    let made = String::from_utf8(made).unwrap();
    assert!(!is_mounted(&mountpoint), "{made}");
    assert!(dir.join("snapshots").is_dir());
    if !able(&["sh"]) {
        return;
    }
    // The shell becomes the program, so that the signal reaches that.
    let line = format!("exec {}", line(&made, " mount --config "));
    let mount = Foreground::new(&mut shell(&line), mountpoint.clone());
    let _ = mount.until("ready");
    assert!(is_mounted(&mountpoint));
    assert_eq!(mount.interrupt().0, Some(0));
    assert!(!is_mounted(&mountpoint));
}

#[test]
fn a_directory_in_use_is_refused() {
    let scratch = Scratch::new();
    fs::write(scratch.join("thesis.txt"), "mine").unwrap();
    let output = output(mailtm(&["demo", "--no-mount"]).arg(scratch.path()));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    let said = stderr(&output);
    assert!(
        said.contains("not empty") && said.contains(scratch.path().to_str().unwrap()),
        "{said}"
    );
    assert_eq!(ls(scratch.path()), ["thesis.txt"]);
}

/// `scripts/demo` in a repository whose cargo and id are stand-ins.
struct Script {
    scratch: Scratch,
}

impl Script {
    fn new() -> Self {
        let scratch = Scratch::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        scratch.subdirectory("repository/scripts");
        for file in ["scripts/demo", "Cargo.toml"] {
            fs::copy(root.join(file), scratch.join("repository").join(file)).unwrap();
        }
        let programs = scratch.subdirectory("programs");
        for name in ["bash", "dirname", "readlink", "sed", "sort", "head"] {
            let found = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name));
            let found = found.iter().find(|path| path.exists()).unwrap();
            std::os::unix::fs::symlink(found, programs.join(name)).unwrap();
        }
        let script = Self { scratch };
        script.program("cc", "");
        script.program("make", "");
        script.program("id", "echo 0");
        script.cargo("99.0.0");
        script
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.scratch.join("programs").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A cargo whose builds give a program that says where and how it was called.
    fn cargo(&self, version: &str) {
        let target = self.scratch.join("repository/target/release");
        self.program(
            "cargo",
            &format!(
                r#"if [ "$1" = --version ]; then echo "cargo {version} (abc 2026-01-01)"; exit; fi
/bin/mkdir -p "{0}"
printf '#!/bin/sh\necho "$PWD: $*"\n' > "{0}/mailtm"
/bin/chmod +x "{0}/mailtm""#,
                target.display()
            ),
        );
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.scratch.join("programs").join(name)).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let script = self.scratch.join("repository/scripts/demo");
        let elsewhere = self.scratch.subdirectory("else where");
        output(
            Command::new("/bin/bash")
                .arg(script)
                .args(args)
                .env("PATH", self.scratch.join("programs"))
                .current_dir(elsewhere),
        )
    }

    /// It fails, and says all of `words`.
    fn fails(&self, words: &[&str]) {
        let output = self.run(&[]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        for word in words {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    }
}

#[test]
fn the_script_works_from_anywhere() {
    let script = Script::new();
    let output = script.run(&["--no-mount", "new demo"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let elsewhere = script.scratch.join("else where");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{}: demo --no-mount new demo\n", elsewhere.display())
    );
}

#[test]
fn the_script_says_what_is_missing() {
    let script = Script::new();
    script.program("id", "echo 1000");
    if Path::new("/dev/fuse").exists() {
        script.fails(&["root", "--no-mount"]);
        script.program("sudo", r#"exec "$@""#);
        let output = script.run(&[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("sudo may ask"));
    } else {
        script.fails(&["/dev/fuse", "--no-mount"]);
    }
    script.cargo("1.63.0");
    script.fails(&["1.63.0", "rustup"]);
    script.remove("make");
    script.fails(&["apt-get install make"]);
    script.remove("cc");
    script.fails(&["C compiler", "apt-get install gcc libc6-dev make"]);
    // As root it is installed.
    script.program("id", "echo 0");
    script.cargo("99.0.0");
    let programs = script.scratch.join("programs");
    script.program(
        "apt-get",
        &format!(
            "[ $1 = update ] || for p in cc make; do /bin/cp {0}/id {0}/$p; done",
            programs.display()
        ),
    );
    let output = script.run(&["--no-mount"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("installing gcc libc6-dev make"));
    script.remove("cargo");
    script.fails(&["cargo", "rustup"]);
}
