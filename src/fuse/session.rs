//! Mounting, and telling the kernel what changed.

use super::Mail;
use crate::error::{Error, Kind, Result};
use crate::fs::Invalidation;
use fuser::{INodeNo, Notifier, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::{CString, OsStr};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The type of the file system, as /proc/mounts has it.
pub const TYPE: &str = "fuse.mailtm";

/// Threads that receive requests, and how many of them may wait for a disk at once.
pub fn threads() -> (usize, usize) {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let threads = cores.max(4);
    (threads, threads - 2)
}

/// A mounted file system that waits to be served.
pub struct Session {
    session: fuser::Session<Mail>,
    mountpoint: PathBuf,
}

impl Session {
    /// Mounts. `name` is what is shown as the device.
    ///
    /// mount(2) is called here and not by the library, which cannot set the type of the file system.
    pub fn mount(mail: Mail, mountpoint: &Path, name: &OsStr) -> Result<Self> {
        let doing = |what: &str, e: std::io::Error| {
            let cure = match e.kind() {
                std::io::ErrorKind::NotFound => {
                    " (is the kernel module fuse loaded? modprobe fuse)"
                }
                std::io::ErrorKind::PermissionDenied => " (mounting takes root)",
                _ => "",
            };
            Error::new(Kind::Failed, format!("{what}: {e}{cure}"))
        };
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| doing("opening /dev/fuse", e.into()))?;
        let options = format!(
            "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
            device.as_raw_fd(),
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw()
        );
        let options = CString::new(options).unwrap_or_default();
        let flags = MountFlags::RDONLY
            | MountFlags::NODEV
            | MountFlags::NOSUID
            | MountFlags::NOEXEC
            | MountFlags::NOATIME;
        rustix::mount::mount(name, mountpoint, TYPE, flags, options.as_c_str())
            .map_err(|e| doing(&format!("mounting on {}", mountpoint.display()), e.into()))?;
        let mut config = fuser::Config::default();
        config.n_threads = Some(threads().0);
        let (fs, ahead) = (mail.fs.clone(), mail.ahead.clone());
        let session = fuser::Session::from_fd(mail, device, SessionACL::All, config);
        let session = session.map_err(|e| {
            // Nobody will answer for it.
            let _ = rustix::mount::unmount(mountpoint, UnmountFlags::DETACH);
            doing("talking to the kernel", e)
        })?;
        if let Err(e) = ahead.start(&fs, &session.notifier()) {
            tracing::warn!("messages are not pushed ahead of those who read them: {e}");
        }
        Ok(Self {
            session,
            mountpoint: mountpoint.to_path_buf(),
        })
    }

    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// What pushes changes to the kernel. To be called from a thread that answers no requests.
    pub fn push(&self) -> impl Fn(&[Invalidation]) + Send + Sync + use<> {
        let notifier = self.session.notifier();
        move |changes| notify(&notifier, changes)
    }

    /// Answers requests until it is unmounted.
    pub fn serve(self) -> std::io::Result<()> {
        self.session.run()
    }
}

fn notify(notifier: &Notifier, changes: &[Invalidation]) {
    for change in changes {
        let sent = match change {
            Invalidation::Name(parent, name) => {
                notifier.inval_entry(INodeNo(parent.0), OsStr::new(name))
            }
            Invalidation::Node(id) => notifier.inval_inode(INodeNo(id.0), 0, 0),
        };
        if let Err(e) = sent {
            tracing::debug!("the kernel was not told of {change:?}: {e}");
        }
    }
}
