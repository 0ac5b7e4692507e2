//! A temporary place for real file systems and snapshot programs, undone when it is dropped.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whether these programs and devices, and the right to mount, are there; says so loudly if not.
pub fn able(test: &str, needs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let present = |need: &str| std::env::split_paths(&path).any(|dir| dir.join(need).exists());
    let mut missing: Vec<&str> = needs
        .iter()
        .copied()
        .filter(|need| !present(need))
        .collect();
    let capabilities = rustix::thread::capabilities(None).unwrap().effective;
    if !capabilities.contains(rustix::thread::CapabilitySet::SYS_ADMIN) {
        missing.push("CAP_SYS_ADMIN");
    }
    if missing.is_empty() {
        return true;
    }
    let line = format!("SKIPPED {test}: needs {}", missing.join(", "));
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
    // Past the capture of test output.
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
    false
}

/// A temporary directory, what is mounted in it, and the programs that serve it.
pub struct World {
    mounts: Vec<PathBuf>,
    servers: Vec<Child>,
    temp: TempDir,
}

impl World {
    pub fn new() -> Self {
        let temp = TempDir::new().unwrap();
        Self {
            mounts: Vec::new(),
            servers: Vec::new(),
            temp,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().canonicalize().unwrap().join(name)
    }

    pub fn make(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn mount(&mut self, arguments: &[&str], target: &Path) {
        run(Command::new("mount").args(arguments).arg(target));
        self.mounts.push(target.to_path_buf());
    }

    /// A btrfs file system with the subvolume `mail`.
    pub fn btrfs(&mut self) -> PathBuf {
        let (image, volume) = (self.path("image"), self.make("vol"));
        fs::File::create(&image)
            .unwrap()
            .set_len(256 << 20)
            .unwrap();
        run(Command::new("mkfs.btrfs").arg("-q").arg(&image));
        self.mount(&["-o", "loop", image.to_str().unwrap()], &volume);
        btrfs(&["create"], &[&volume.join("mail")]);
        volume
    }

    /// Starts a program that serves a mount and waits until it does.
    pub fn serve(&mut self, command: &mut Command, target: &Path) {
        let server = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.servers.push(server);
        self.mounts.push(target.to_path_buf());
        let start = Instant::now();
        while !is_mounted(target) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{command:?} mounts nothing"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: Signal) {
        for server in &self.servers {
            kill_process(Pid::from_child(server), signal).unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for server in &self.servers {
            let _ = kill_process(Pid::from_child(server), Signal::CONT);
        }
        for target in self.mounts.iter().rev().filter(|t| is_mounted(t)) {
            for flag in ["-v", "-l"] {
                let done = Command::new("umount").arg(flag).arg(target).output();
                if done.is_ok_and(|o| o.status.success()) {
                    break;
                }
            }
        }
        for server in &mut self.servers {
            let start = Instant::now();
            while server.try_wait().is_ok_and(|status| status.is_none()) {
                if start.elapsed() > Duration::from_secs(10) {
                    let _ = server.kill();
                    let _ = server.wait();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let left: Vec<_> = self.mounts.iter().filter(|t| is_mounted(t)).collect();
        assert!(
            left.is_empty() || std::thread::panicking(),
            "still mounted: {left:?}"
        );
    }
}

pub fn is_mounted(target: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == target.to_str())
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}

pub fn btrfs(arguments: &[&str], paths: &[&Path]) {
    run(Command::new("btrfs")
        .args(["-q", "subvolume"])
        .args(arguments)
        .args(paths));
}
