//! A machine to install packages in: the root of a Debian, or of this machine, with a layer in memory above it, in namespaces
//! of its own and without a network.
//!
//! Invariant: when a `Machine` has been dropped, none of its processes, nothing of its layer and no control group is left.

use crate::harness::{Scratch, eventually, output};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Makes the root, and runs its first process in it. Arguments: the layer, the scratch directory, which is where it is
/// outside, the first process, and what is below the layer. No mailtm is installed; /dev/fuse is for all, as udev makes it; what the kernel is told
/// through /proc/sys and /sys is not for the machine to say.
const MAKE: &str = r#"
    set -e
    mount -t tmpfs -o mode=755 layer "$0"
    mkdir "$0/upper" "$0/work" "$0/root"
    mount -t overlay -o "lowerdir=$3,upperdir=$0/upper,workdir=$0/work" root "$0/root"
    cd "$0/root"
    mount -t proc proc proc
    mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
    mount --bind /sys sys && mount -o remount,bind,ro sys
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
      mount -t cgroup2 cgroup sys/fs/cgroup
    elif [ -e /sys/fs/cgroup/systemd ]; then
      mount -t tmpfs cgroup sys/fs/cgroup && mkdir sys/fs/cgroup/systemd
      mount -t cgroup -o none,name=systemd,xattr cgroup sys/fs/cgroup/systemd
    fi
    mount -t tmpfs -o mode=755 dev dev
    for device in null zero full random urandom tty; do
      touch dev/$device && mount --bind /dev/$device dev/$device
    done
    mkdir dev/pts dev/shm
    ln -s /proc/self/fd dev/fd
    mknod -m 666 dev/fuse c 10 229
    mount -t tmpfs -o mode=755 run run
    mount -t tmpfs -o mode=1777 tmp tmp
    rm -rf etc/mailtm var/lib/mailtm backups
    mkdir -p "./$1" mnt
    mount --bind "$1" "./$1"
    # Nothing is started but what is asked for, and what looks after hardware and the network not at all.
    printf '[Unit]\nDefaultDependencies=no\n' > etc/systemd/system/nothing.target
    for unit in systemd-{tmpfiles-setup,udevd,udev-trigger,sysctl,modules-load}.service network-online.target; do
      ln -sf /dev/null etc/systemd/system/$unit
    done
    ip link set lo up
    touch "$1/machine-is-up"
    pivot_root . mnt
    exec chroot . sh -c 'umount -l /mnt; exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' sh $2"#;

/// A root directory to change at will.
pub struct Machine {
    child: Child,
    /// The first process of the namespaces.
    first: String,
    group: PathBuf,
    /// Whether apt can say what packages need: on a copy of this machine it might find fault with others.
    is_clean: bool,
}

impl Machine {
    /// A machine in which nothing runs, like this one unless it is to be a Debian. None where the kernel has no overlayfs.
    pub fn new(scratch: &Scratch, debian: Option<&Path>) -> Option<Self> {
        Self::start(scratch, debian, "sleep 600")
    }

    /// A machine that systemd runs, and in which it runs nothing yet.
    pub fn with_systemd(scratch: &Scratch, debian: Option<&Path>) -> Option<Self> {
        let machine = Self::start(
            scratch,
            debian,
            "/lib/systemd/systemd --system --unit=nothing.target --log-target=null --show-status=no",
        )?;
        eventually(Duration::from_secs(30), "systemd answers", || {
            let said = machine.output(&["systemctl", "is-active", "nothing.target"]);
            said.stdout == b"active\n"
        });
        Some(machine)
    }

    fn start(scratch: &Scratch, debian: Option<&Path>, first: &str) -> Option<Self> {
        let layer = scratch.subdirectory("machine");
        let group = group();
        let enter = format!(
            "echo $$ > '{}/cgroup.procs'; exec unshare \"$@\"",
            group.display()
        );
        let child = Command::new("sh")
            .args(["-c", &enter, "sh"])
            .args(["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net"])
            .args(["--fork", "--kill-child", "bash", "-c", MAKE])
            .args([layer.as_path(), scratch.path(), Path::new(first)])
            .arg(debian.unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            // unshare complains when its child is killed, which is how this ends.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut machine = Self {
            child,
            first: String::new(),
            group,
            is_clean: debian.is_some(),
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
            .args(["--target", &self.first, "--mount", "--pid", "--cgroup"])
            .args(["--uts", "--ipc", "--net", "--wd"])
            .args(args)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        command
    }

    /// Installs a package, or a later version over an earlier one; a configuration that was changed stays.
    pub fn install(&self, package: &Path) {
        let package = package.to_str().unwrap();
        let keep = "--force-confold";
        if self.is_clean {
            let option = format!("--option=Dpkg::Options::={keep}");
            self.run(&["apt-get", "install", "--yes", &option, package]);
        } else {
            self.run(&["dpkg", "--force-depends", keep, "--install", package]);
        }
    }

    /// Takes the package away; `how`: `remove` leaves the configuration and what it keeps, `purge` does not.
    pub fn uninstall(&self, how: &str) {
        if self.is_clean {
            self.run(&["apt-get", how, "--yes", "mailtm"]);
        } else {
            self.run(&["dpkg", &format!("--{how}"), "mailtm"]);
        }
    }

    /// Whether there is something at a path.
    pub fn has(&self, path: &str) -> bool {
        self.output(&["test", "-e", path]).status.success()
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
        let _ = Command::new("find")
            .arg(&self.group)
            .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
            .stderr(Stdio::null())
            .status();
    }
}

/// A new control group of systemd's hierarchy, if there is one: all that a machine has of them is below it.
fn group() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let top = Path::new("/sys/fs/cgroup");
    let top = match top.join("cgroup.controllers").exists() {
        true => top.to_owned(),
        false => top.join("systemd"),
    };
    let group = top.join(format!("mailtm-test-{}-{number}", std::process::id()));
    let _ = fs::create_dir(&group);
    group
}
