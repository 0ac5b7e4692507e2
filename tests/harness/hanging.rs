//! A store behind a file system whose daemon can be stopped, as one whose server does not answer.

use super::eventually;
use super::mount::{is_mounted, unmount_lazily};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The file system; goes on and is unmounted at the end.
pub struct Hanging {
    pub path: PathBuf,
    child: Child,
}

impl Hanging {
    pub fn new(source: &Path, path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        let child = Command::new("bindfs")
            .args(["-f", "-r", "-o", "attr_timeout=0,entry_timeout=0,direct_io"])
            .arg(source)
            .arg(&path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually(Duration::from_secs(10), "bindfs is mounted", || {
            is_mounted(&path)
        });
        Self { path, child }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        if signal == Signal::STOP {
            // A request that one of its threads has taken before it stops cannot be given up by whoever waits for it.
            eventually(Duration::from_secs(10), "bindfs has stopped", || {
                self.has_stopped()
            });
        }
    }

    fn has_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let stats = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
        stats.flatten().all(|stat| stat.contains(") T "))
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        unmount_lazily(&self.path);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
