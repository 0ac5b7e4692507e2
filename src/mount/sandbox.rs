//! What the mount's daemon, and the portal, can no longer do once they read mail, even if some mail takes them over.
//!
//! Three fences, each made by the kernel and for good:
//!
//! 1. **Rights**: of all capabilities only the one to read everybody's mail is kept, and no program that is run can gain
//!    others. Who puts mail back as files keeps those to write it for its owners.
//! 2. **Files** (Landlock): snapshots and the live store can be read, the index's directory written, and beyond that only
//!    what names of users are looked up with can be read. The portal writes its databases too, and, where it puts mail back
//!    as files, the live store.
//! 3. **Calls** (seccomp): no program can be run, nothing mounted or traced, no process or namespace made; a call that the
//!    daemon has no use for gives EPERM. No file is emptied by opening it.
//!
//! They hold for the thread that enters and for those that it starts, so it is entered before any thread is started. What
//! this kernel does not have is done without, and said: [`Level`] tells what is in force.

mod calls;
mod files;

pub use files::Needs;

use super::failed;
use crate::error::Result;
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Whether opened files are those that are needed.
    pub files: bool,
    /// Whether system calls are those that are needed.
    pub calls: bool,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.files, self.calls) {
            (true, true) => "rights, files and system calls are restricted",
            (true, false) => "rights and files are restricted; this kernel has no seccomp filters",
            (false, true) => "rights and system calls are restricted; this kernel has no Landlock",
            (false, false) => {
                "rights are restricted; this kernel has neither Landlock nor seccomp filters"
            }
        })
    }
}

/// Confines this thread and those that it will start.
pub fn enter(needs: &Needs) -> Result<Level> {
    let mut keep = CapabilitySet::DAC_READ_SEARCH;
    let own = &needs.written;
    if !own.iter().all(|directory| belongs_to_us(directory)) || needs.restores {
        // Root that runs by hand what the service's user runs else. Where it may write is for the second fence.
        keep |= CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN;
    }
    if needs.restores {
        keep |= CapabilitySet::FOWNER;
    }
    keep_rights(keep)?;
    Ok(Level {
        files: files::restrict(needs, calls::available())?,
        calls: calls::restrict(needs.restores)?,
    })
}

/// What a mount on this kernel would be confined by, found without confining anything.
pub fn available() -> Level {
    Level {
        files: files::available(),
        calls: calls::available(),
    }
}

/// Gives up, for good, all capabilities but these, of which none is gained.
pub(super) fn keep_rights(keep: CapabilitySet) -> Result<()> {
    let failed = |e: rustix::io::Errno| failed("giving up capabilities", &e.into());
    let has = rustix::thread::capabilities(None).map_err(failed)?;
    let rest = CapabilitySets {
        effective: has.effective & keep,
        permitted: has.permitted & keep,
        inheritable: CapabilitySet::empty(),
    };
    if has.effective.contains(CapabilitySet::SETPCAP) {
        for gone in CapabilitySet::all().difference(keep).iter() {
            // An old kernel lacks the latest ones.
            let _ = rustix::thread::remove_capability_from_bounding_set(gone);
        }
    }
    rustix::thread::clear_ambient_capability_set().map_err(failed)?;
    rustix::thread::set_capabilities(None, rest).map_err(failed)?;
    rustix::thread::set_no_new_privs(true).map_err(failed)
}

/// Whether a directory, or the one above that is there, is of the user that we are.
fn belongs_to_us(directory: &Path) -> bool {
    let found = directory
        .ancestors()
        .find_map(|d| std::fs::metadata(d).ok());
    found.is_none_or(|metadata| metadata.uid() == rustix::process::geteuid().as_raw())
}
