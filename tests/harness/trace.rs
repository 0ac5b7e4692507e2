//! The system calls of a running daemon, seen by strace.

use super::{Mount, Scratch, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An strace of every thread of a daemon; it lets go when this is dropped.
pub struct Trace {
    child: Child,
    file: PathBuf,
}

impl Trace {
    /// With these options more, such as which calls; descriptors are written with their paths.
    pub fn new(mount: &Mount, scratch: &Scratch, options: &[&str]) -> Self {
        let file = scratch.join(format!("strace-{}", mount.pid()));
        let child = Command::new("strace")
            .args(["-f", "-y", "-qq"])
            .args(options)
            .arg("-o")
            .arg(&file)
            .args(["-p", &mount.pid().to_string()])
            .stdout(Stdio::null())
            .stderr(fs::File::create(scratch.join("strace.log")).unwrap())
            .spawn()
            .unwrap();
        eventually(Duration::from_secs(10), "strace is attached", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", mount.pid())).unwrap();
            tasks
                .map(|task| task.unwrap().path().join("status"))
                .all(|path| {
                    let status = fs::read_to_string(path).unwrap_or_default();
                    !status.lines().any(|line| line == "TracerPid:\t0")
                })
        });
        Self { child, file }
    }

    /// What there is of it by now.
    pub fn so_far(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// How often the daemon has asked the kernel for requests, or answered one, by now.
    pub fn exchanges(&self) -> usize {
        self.so_far().matches("/dev/fuse").count()
    }

    /// Lets go; all that was seen.
    pub fn finish(mut self) -> String {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.child.wait().unwrap();
        self.so_far()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
