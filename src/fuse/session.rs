//! Mounting, and telling the kernel what changed.

use super::Mail;
use crate::error::{Error, Kind, Result};
use crate::fs::{Invalidation, NodeId};
use fuser::{INodeNo, Notifier, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use std::ffi::{CString, OsStr};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The type of the file system, as /proc/mounts has it.
pub const TYPE: &str = "fuse.mailtm";

/// Threads that receive requests, and how many of them may wait for a disk at once.
pub fn threads() -> (usize, usize) {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let threads = cores.max(4);
    (threads, threads - 2)
}

/// An opened /dev/fuse.
pub struct Device(OwnedFd);

impl Device {
    pub fn open() -> Result<Self> {
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        device
            .map(Self)
            .map_err(|e| failed("opening /dev/fuse", e.into()))
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Mounts what is served at `device`. `name` is what is shown as the device.
///
/// mount(2) is called here and not by the library, which cannot set the type of the file system.
pub fn mount(device: BorrowedFd<'_>, mountpoint: &Path, name: &OsStr) -> Result<()> {
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
        .map_err(|e| failed(&format!("mounting on {}", mountpoint.display()), e.into()))
}

fn failed(doing: &str, e: std::io::Error) -> Error {
    let cure = match e.kind() {
        std::io::ErrorKind::NotFound => " (is the kernel module fuse loaded? modprobe fuse)",
        std::io::ErrorKind::PermissionDenied => " (mounting takes root)",
        _ => "",
    };
    Error::new(Kind::Failed, format!("{doing}: {e}{cure}"))
}

/// A mounted file system that waits to be served.
pub struct Session {
    session: fuser::Session<Mail>,
}

impl Session {
    /// Greets the kernel at a device that is mounted.
    pub fn new(mail: Mail, device: Device) -> Result<Self> {
        let mut config = fuser::Config::default();
        config.n_threads = Some(threads().0);
        let (fs, ahead) = (mail.fs.clone(), mail.ahead.clone());
        let pages = device.0.try_clone().map(Pages);
        let session = fuser::Session::from_fd(mail, device.0, SessionACL::All, config)
            .map_err(|e| failed("talking to the kernel", e))?;
        if let Some(ahead) = ahead
            && let Err(e) = pages.and_then(|pages| ahead.start(&fs, &Arc::new(pages)))
        {
            tracing::warn!("messages are not pushed ahead of those who read them: {e}");
        }
        Ok(Self { session })
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

/// The pages that the kernel keeps of files.
pub(super) struct Pages(OwnedFd);

impl Pages {
    /// Stores a whole file of at most 4 GiB. `ENOENT`: the kernel does not know the node, or not yet.
    ///
    /// `fuse_out_header` and `fuse_notify_store_out` of <linux/fuse.h>; the library's own call does not tell of `ENOENT`.
    pub(super) fn store(&self, id: NodeId, bytes: &[u8]) -> rustix::io::Result<()> {
        const NOTIFY_STORE: u32 = 4;
        const HEADERS: u32 = 16 + 24;
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let headers = [
            &HEADERS.saturating_add(size).to_ne_bytes()[..],
            &NOTIFY_STORE.to_ne_bytes(),
            &[0; 8],
            &id.0.to_ne_bytes(),
            &[0; 8],
            &size.to_ne_bytes(),
            &[0; 4],
        ]
        .concat();
        let parts = [IoSlice::new(&headers), IoSlice::new(bytes)];
        rustix::io::writev(&self.0, &parts).map(drop)
    }
}

fn notify(notifier: &Notifier, changes: &[Invalidation]) {
    for change in changes {
        let sent = match change {
            Invalidation::Name(parent, name) => {
                notifier.inval_entry(INodeNo(parent.0), OsStr::new(name))
            }
            Invalidation::Node(id) => notifier.inval_inode(INodeNo(id.0), 0, 0),
            // An offset below 0 leaves the pages alone, and so does not wait for a READ that has locked one.
            Invalidation::Attributes(id) => notifier.inval_inode(INodeNo(id.0), -1, 0),
        };
        if let Err(e) = sent {
            tracing::debug!("the kernel was not told of {change:?}: {e}");
        }
    }
}
