//! A copy of this machine to install packages in: its root with a layer in memory above it, in namespaces of its own.
//!
//! Invariant: when a `Machine` has been dropped, none of its processes and nothing of its layer is left.

use crate::harness::{Scratch, eventually, output};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A root directory to change at will.
pub struct Machine {
    child: Child,
    /// The first process of the namespaces.
    first: String,
    root: PathBuf,
}

impl Machine {
    /// Makes one in which the scratch directory is where it is outside, no mailtm is installed, and /dev/fuse is for all,
    /// as udev makes it. None where the kernel has no overlayfs.
    pub fn new(scratch: &Scratch) -> Option<Self> {
        let layer = scratch.subdirectory("machine");
        let root = layer.join("root");
        let script = r#"
            mount -t tmpfs -o mode=755 layer "$0" && mkdir "$0/upper" "$0/work" "$0/root" &&
            mount -t overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" root "$0/root" &&
            mount -t proc proc "$0/root/proc" && mount --rbind /dev "$0/root/dev" && mount --bind /sys "$0/root/sys" &&
            mknod -m 666 "$0/fuse" c 10 229 && mount --bind "$0/fuse" "$0/root/dev/fuse" &&
            rm -rf "$0/root/etc/mailtm" "$0/root/var/lib/mailtm" "$0/root/backups" &&
            mkdir -p "$0/root$1" && mount --bind "$1" "$0/root$1" && touch "$1/machine-is-up" && exec sleep 600"#;
        let child = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                script,
            ])
            .args([layer.as_path(), scratch.path()])
            .stdin(Stdio::null())
            // unshare complains when its child is killed, which is how this ends.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut machine = Self {
            child,
            first: String::new(),
            root,
        };
        eventually(Duration::from_secs(20), "the machine is up", || {
            scratch.join("machine-is-up").exists() || machine.child.try_wait().unwrap().is_some()
        });
        let id = machine.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        machine.first = children.unwrap_or_default().trim().to_owned();
        (!machine.first.is_empty()).then_some(machine)
    }

    /// A program that is run in there by root, with standard input closed.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first, "--mount", "--pid", "chroot"])
            .arg(&self.root)
            .args(args)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        output(&mut self.command(args))
    }

    /// What a program that must succeed writes to standard output.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout);
        assert!(
            output.status.success(),
            "{args:?}: {}\n{said}{}",
            output.status,
            text(&output.stderr)
        );
        said
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With the first process of its namespace every other one ends; unshare waits for that.
        let _ = Command::new("kill").args(["-KILL", &self.first]).status();
        let _ = self.child.wait();
    }
}
