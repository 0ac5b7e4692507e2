//! Doing things as somebody else: numeric users through `setpriv`, named ones made with `useradd` and removed again.

use super::{output, run};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Somebody who looks at a mount: a uid, a primary gid, supplementary groups.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

impl Subject {
    /// A user without a name; its group has the same number.
    pub fn uid(uid: u32) -> Self {
        Self {
            name: uid.to_string(),
            uid,
            gid: uid,
            groups: Vec::new(),
        }
    }

    pub fn root() -> Self {
        Self::uid(0)
    }

    /// Runs a program as this user, in `/`, with the C locale.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.uid.to_string()]);
        command.args(["--regid", &self.gid.to_string()]);
        if self.groups.is_empty() {
            command.arg("--clear-groups");
        } else {
            let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
            command.args(["--groups", &groups.join(",")]);
        }
        command.arg(program).args(args).env("LC_ALL", "C");
        output(command.current_dir("/"))
    }

    /// Does something on a thread that acts as this user, in a process that does not.
    pub fn on_a_thread<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                set_thread_groups(&groups).unwrap();
                set_thread_res_gid(gid, gid, gid).unwrap();
                set_thread_res_uid(uid, uid, uid).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// A file's bytes, or what `cat` says.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, String> {
        answer(self.run("cat", &["--", path.as_ref().to_str().unwrap()]))
    }

    /// A directory's names, sorted, or what `ls` says.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<String>, String> {
        let bytes = answer(self.run("ls", &["-1A", "--", path.as_ref().to_str().unwrap()]))?;
        let text = String::from_utf8(bytes).unwrap();
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Fails unless this user is refused the path, as file and as directory, with EACCES.
    pub fn refused(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        for (what, result) in [
            ("read", self.read(path).map(|_| ())),
            ("list", self.list(path).map(|_| ())),
        ] {
            match result {
                Err(said) if said.contains("Permission denied") => {}
                other => panic!(
                    "{} may not {what} {}, yet: {other:?}",
                    self.name,
                    path.display()
                ),
            }
        }
    }
}

fn answer(output: Output) -> Result<Vec<u8>, String> {
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Users and groups with names, known to the whole machine until this is dropped.
pub struct Users {
    tag: String,
    users: Vec<String>,
    groups: Vec<String>,
}

impl Users {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            tag: format!("{}-{number}", std::process::id()),
            users: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// A group `mtmt-ROLE-…`: its name and gid.
    pub fn group(&mut self, role: &str) -> (String, u32) {
        let name = format!("mtmt-{role}-{}", self.tag);
        account(&["groupadd", &name]);
        self.groups.push(name.clone());
        let entry = String::from_utf8(run(Command::new("getent").args(["group", &name]))).unwrap();
        let gid = entry.split(':').nth(2).unwrap().parse().unwrap();
        (name, gid)
    }

    /// A user, and a group, whose name is a number that is another one than theirs.
    pub fn user_of_digits(&mut self) -> Subject {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = (2_000_000_000 + std::process::id() * 8 + number).to_string();
        account(&[
            "useradd",
            "--badname",
            "--no-create-home",
            "--user-group",
            "--shell",
            "/usr/sbin/nologin",
            &name,
        ]);
        self.users.push(name.clone());
        // Asked for by these digits, getent takes them for a number.
        let entries = String::from_utf8(run(Command::new("getent").arg("passwd"))).unwrap();
        let entry = entries
            .lines()
            .find(|line| line.split(':').next() == Some(&name));
        let number = |field: usize| {
            entry
                .unwrap()
                .split(':')
                .nth(field)
                .unwrap()
                .parse()
                .unwrap()
        };
        Subject {
            uid: number(2),
            gid: number(3),
            groups: Vec::new(),
            name,
        }
    }

    /// A user `mtmt-ROLE-…` with a group of its own and the given supplementary groups.
    pub fn user(&mut self, role: &str, groups: &[&(String, u32)]) -> Subject {
        let name = format!("mtmt-{role}-{}", self.tag);
        let names: Vec<&str> = groups.iter().map(|g| g.0.as_str()).collect();
        account(&[
            "useradd",
            "--no-create-home",
            "--user-group",
            "--shell",
            "/usr/sbin/nologin",
            "--groups",
            &names.join(","),
            &name,
        ]);
        self.users.push(name.clone());
        let entry = String::from_utf8(run(Command::new("getent").args(["passwd", &name]))).unwrap();
        let number = |field: usize| entry.split(':').nth(field).unwrap().parse().unwrap();
        Subject {
            uid: number(2),
            gid: number(3),
            groups: groups.iter().map(|g| g.1).collect(),
            name,
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        for user in &self.users {
            account(&["userdel", user]);
        }
        for group in &self.groups {
            account(&["groupdel", group]);
        }
    }
}

/// Runs a program that changes accounts; other tests do so at the same time and the files are locked.
fn account(command: &[&str]) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let output = output(Command::new(command[0]).args(&command[1..]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return;
        }
        let locked = said.contains("lock");
        if !locked || Instant::now() > end {
            if std::thread::panicking() {
                eprintln!("{command:?}: {said}");
                return;
            }
            panic!("{command:?}: {said}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
