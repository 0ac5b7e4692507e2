//! The process that may mount, so that the one that reads mail need not.
//!
//! Mounting and unmounting take CAP_SYS_ADMIN, nearly all the rights of root. The daemon gives it up before it reads the
//! first byte of a store; a second process keeps it, which reads nothing and knows four words: `mount`, `read ahead`,
//! `unmount`, and the end of its input, at which it ends. Where, and what for a device, it is told when it is started, and no more
//! after that: who has taken over the daemon can do no more with it than end the mount.
//!
//! It is this program run anew under the name [`PROGRAM`], with a socket to the daemon as standard input and /dev/fuse as
//! standard output. It closes that once it has mounted: the kernel ends a mount when the last one has closed it, and
//! that is to be the daemon. Signals that end the daemon do not end it, for the daemon has a mount to take away then.
//!
//! A daemon that is killed while one of its threads waits in the kernel for an answer of its own cannot end, and
//! /dev/fuse stays open with it: then the mounter ends the mount by force, and so whatever waits for it.

use super::{failed, point};
use crate::error::{Error, Kind, Result};
use crate::fuse::{self, Device};
use rustix::mount::UnmountFlags;
use rustix::process::Pid;
use rustix::thread::CapabilitySet;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::ffi::{CString, OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Seconds after which a daemon that is dying will not end by itself.
const STUCK: u32 = 3;

/// The name under which this program is the mounter: `PROGRAM MOUNTPOINT DEVICE`.
pub const PROGRAM: &str = "mailtm-mounter";

/// How an unmount went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmounted {
    Gone,
    /// Gone for everybody else, and there until who uses it lets go of it.
    InUse,
    /// Somebody else has unmounted it.
    Absent,
}

/// The process that may mount, from the side of the daemon. Ends when this is dropped.
pub(super) struct Mounter {
    child: Child,
    /// `None` when it is over.
    socket: Option<BufReader<UnixStream>>,
}

impl Mounter {
    /// Starts it, with all the rights that there are here.
    pub fn start(device: &Device, mountpoint: &Path, name: &OsStr) -> Result<Self> {
        let start = || -> std::io::Result<Self> {
            let (ours, its) = UnixStream::pair()?;
            let child = Command::new("/proc/self/exe")
                .arg0(PROGRAM)
                .args([mountpoint.as_os_str(), name])
                .stdin(OwnedFd::from(its))
                .stdout(device.as_fd().try_clone_to_owned()?)
                .stderr(Stdio::null())
                .spawn()?;
            let socket = Some(BufReader::new(ours));
            Ok(Self { child, socket })
        };
        start().map_err(|e| failed("starting the process that mounts", &e))
    }

    /// Mounts; the number of the file system's device, such as `0:52`.
    pub fn mount(&mut self) -> Result<String> {
        self.ask("mount")
    }

    /// Lets the kernel read far ahead in what is mounted. To be called once the kernel and the daemon have agreed how
    /// they talk: what is written before that is cut to what the kernel offered then.
    pub fn read_ahead(&mut self) {
        if let Err(e) = self.ask("read ahead") {
            tracing::debug!("{e}");
        }
    }

    pub fn unmount(&mut self) -> Result<Unmounted> {
        match self.ask("unmount")?.as_str() {
            "absent" => Ok(Unmounted::Absent),
            "in use" => Ok(Unmounted::InUse),
            _ => Ok(Unmounted::Gone),
        }
    }

    fn ask(&mut self, what: &str) -> Result<String> {
        let over = |why: String| {
            let cure = "it ends with mailtm itself, or was killed";
            Error::new(
                Kind::Failed,
                format!("the process that mounts does not answer ({why}): {cure}"),
            )
        };
        let Some(socket) = &mut self.socket else {
            return Err(over("it was not started".into()));
        };
        let mut answer = String::new();
        writeln!(socket.get_mut(), "{what}")
            .and_then(|()| socket.read_line(&mut answer))
            .map_err(|e| over(e.to_string()))?;
        match answer.trim_end().split_once(' ') {
            Some(("done", answer)) => Ok(answer.to_owned()),
            Some((_, why)) => Err(Error::new(Kind::Failed, why)),
            None => Err(over("it has ended".into())),
        }
    }
}

impl Drop for Mounter {
    fn drop(&mut self) {
        self.socket = None;
        if let Err(e) = self.child.wait() {
            tracing::debug!("the process that mounts: {e}");
        }
    }
}

/// The mounter itself, with its command line.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut args = args.skip(1);
    let (Some(mountpoint), Some(name)) = (args.next(), args.next()) else {
        return ExitCode::from(2);
    };
    if let Ok(name) = CString::new(PROGRAM) {
        let _ = rustix::thread::set_name(&name);
    }
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // Caught and passed over.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let keep = CapabilitySet::SYS_ADMIN | CapabilitySet::DAC_READ_SEARCH;
    if super::sandbox::keep_rights(keep).is_err() {
        return ExitCode::FAILURE;
    }
    let mut mount = Mount {
        mountpoint: PathBuf::from(mountpoint),
        name,
        device: None,
    };
    let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let mut daemon = BufReader::new(UnixStream::from(input));
    let mut line = String::new();
    loop {
        wait_for_word(&mut daemon, &mount);
        if !daemon.read_line(&mut line).is_ok_and(|n| n > 0) {
            break;
        }
        let answer = match line.trim_end() {
            "mount" => mount.mount(),
            "read ahead" => mount.read_ahead(),
            "unmount" => mount.unmount(),
            _ => Err(Error::new(Kind::Invalid, "no such word")),
        };
        let answer = match answer {
            Ok(answer) => format!("done {answer}"),
            Err(e) => format!("failed {}", e.to_string().replace('\n', " ")),
        };
        if writeln!(daemon.get_mut(), "{answer}").is_err() {
            break;
        }
        line.clear();
    }
    ExitCode::SUCCESS
}

/// Waits until there is something to read, or nothing will come any more. Meanwhile the mount is ended by force if the daemon has
/// been killed and cannot end.
fn wait_for_word(daemon: &mut BufReader<UnixStream>, mount: &Mount) {
    let pid = Pid::as_raw(rustix::process::getppid());
    let stat = format!("/proc/{pid}/stat");
    let timeout = |daemon: &BufReader<UnixStream>, limit| daemon.get_ref().set_read_timeout(limit);
    if timeout(daemon, Some(Duration::from_secs(1))).is_err() {
        return;
    }
    let mut dying = 0;
    while let Err(e) = daemon.fill_buf() {
        match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
            ErrorKind::Interrupted => continue,
            _ => break,
        }
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        dying = if is_dying(&stat) { dying + 1 } else { 0 };
        if dying == STUCK {
            mount.end_by_force();
        }
    }
    let _ = timeout(daemon, None);
}

/// Whether a line of proc(5)'s `stat` is of a process whose first thread has ended, and another has not.
fn is_dying(stat: &str) -> bool {
    let fields = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace());
    let Some(mut fields) = fields else {
        return false;
    };
    let state = fields.next();
    // num_threads is the 20th field, and state the third.
    let threads = fields
        .nth(16)
        .and_then(|threads| threads.parse::<u32>().ok());
    state == Some("Z") && threads.is_some_and(|threads| threads > 1)
}

struct Mount {
    mountpoint: PathBuf,
    name: OsString,
    /// What tells this mount from another one on the same mount point.
    device: Option<String>,
}

impl Mount {
    fn mount(&mut self) -> Result<String> {
        let mounted = fuse::mount(std::io::stdout().as_fd(), &self.mountpoint, &self.name);
        // In any case it is the daemon's alone from now on.
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
        null.and_then(|null| Ok(rustix::stdio::dup2_stdout(&null)?))
            .map_err(|e| failed("leaving /dev/fuse to the daemon", &e))?;
        mounted?;
        let device = point::device(&self.mountpoint)?.unwrap_or_default();
        self.device = Some(device.clone());
        Ok(device)
    }

    fn read_ahead(&self) -> Result<String> {
        let device = self.device.as_deref().unwrap_or_default();
        point::read_ahead(device)?;
        Ok(device.to_owned())
    }

    /// Whether it is what is mounted there: somebody else may have unmounted it, and even mounted another one since.
    fn is_there(&self) -> Result<bool> {
        Ok(self.device.is_some() && point::device(&self.mountpoint)? == self.device)
    }

    /// Aborts whatever waits for it.
    fn end_by_force(&self) {
        if self.is_there().unwrap_or(false) {
            let _ = rustix::mount::unmount(&self.mountpoint, UnmountFlags::FORCE);
        }
    }

    /// Unmounts; at once, also if it is in use.
    fn unmount(&mut self) -> Result<String> {
        let path = &self.mountpoint;
        if !self.is_there()? {
            return Ok("absent".into());
        }
        let doing = || format!("unmounting {}", path.display());
        match rustix::mount::unmount(path, UnmountFlags::empty()) {
            Ok(()) => Ok("gone".into()),
            Err(rustix::io::Errno::BUSY) => {
                rustix::mount::unmount(path, UnmountFlags::DETACH)
                    .map_err(|e| failed(&doing(), &e.into()))?;
                Ok("in use".into())
            }
            Err(e) => Err(failed(&doing(), &e.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_dying() {
        let stat = |state: &str, threads: u32| {
            let before = "1 1 1 0 -1 4194304 1 0 0 0 5 6 0 0 20 0";
            format!("77 (a ) Z (b) {state} {before} {threads} 0 12345 0")
        };
        assert!(is_dying(&stat("Z", 2)));
        assert!(!is_dying(&stat("Z", 1)), "nobody has asked how it ended");
        assert!(!is_dying(&stat("S", 9)) && !is_dying("") && !is_dying("77 (x"));
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(!is_dying(&own));
        assert!(
            is_dying(&own.replacen(") R ", ") Z ", 1).replacen(") S ", ") Z ", 1)),
            "{own}"
        );
    }
}
