//! The files that can be opened, by Landlock.
//!
//! A rule holds for a directory and all that is below it, other file systems that are mounted there included: so a
//! snapshot that appears later is reached, and one that the kernel mounts when somebody looks at it (ZFS, NetApp). But it
//! holds for the directory that it was made for. A store that is mounted anew under the same name is another one; to be
//! reached then, the rule is for the directory that it is mounted in, unless that is the root of all.

use super::super::{failed, point};
use crate::error::Result;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What looking up users and groups may read: the configuration of the name service, its modules, the databases that
/// some of them share; and what the C library and the time zone come from. Sockets are no files here.
const NAME_SERVICE: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/run/systemd/userdb",
    "/var/lib/extrausers",
    "/var/lib/sss",
    "/dev/urandom",
];

/// What is known of this process and the machine: how many processors it may use, what is mounted; and of the threads that
/// wait for an answer, which appear at any time: in which groups they are.
const MACHINE: &[&str] = &["/proc", "/sys/fs/cgroup"];

/// What the daemon needs of its own.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Directories of snapshots, and the live store; to be read.
    pub stores: Vec<PathBuf>,
    /// Directories to be written, made if they are not there; and files that are there.
    pub written: Vec<PathBuf>,
    /// Single files to be read: the configuration, which SIGHUP reads again, and the keys that it names.
    pub files: Vec<PathBuf>,
    /// Mail is put back as files of its owners.
    pub restores: bool,
}

/// The latest version whose rights are all known here; the kernel may know fewer.
const KNOWN: ABI = ABI::V5;

/// Restricts this thread; `false` if this kernel can't. `calls`: system calls will be restricted, too.
pub(super) fn restrict(needs: &Needs, calls: bool) -> Result<bool> {
    // A rule needs the directory.
    for directory in needs.written.iter().filter(|path| !path.exists()) {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        if let Err(e) = made {
            tracing::debug!("{}: {e}", directory.display());
        }
    }
    let status = rule(needs, calls)
        .map_err(|e| failed("restricting what can be opened", &std::io::Error::other(e)))?;
    Ok(status != RulesetStatus::NotEnforced)
}

fn rule(needs: &Needs, calls: bool) -> std::result::Result<RulesetStatus, RulesetError> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    // With every opening the kernel looks for the right to truncate, and where it is not given goes up to the root of all.
    // Who has it, and may read, can empty a file with O_TRUNC alone: so it is given only where no call has that.
    let mail = match calls {
        true => read | AccessFs::Truncate,
        false => read,
    };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::Signal)?
        .create()?;
    let stores = needs.stores.iter().flat_map(|store| reach(store));
    let shared = NAME_SERVICE.iter().chain(MACHINE).map(PathBuf::from);
    let shared = shared.chain(needs.files.clone());
    let readable = shared.map(|path| (path, read));
    let readable = stores.map(|path| (path, mail)).chain(readable);
    let write = AccessFs::from_all(KNOWN) & !AccessFs::Execute;
    let written = needs.written.iter().map(|path| (path.clone(), write));
    let null = (PathBuf::from("/dev/null"), read | AccessFs::WriteFile);
    for (path, access) in readable.chain(written).chain([null]) {
        // What is not there now is nothing to be allowed.
        let Ok(opened) = PathFd::new(&path) else {
            continue;
        };
        let access = if path.is_dir() {
            access
        } else {
            access & AccessFs::from_file(KNOWN)
        };
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// The directories that a rule is needed for, so that a store stays in reach when it is mounted anew.
fn reach(store: &Path) -> Vec<PathBuf> {
    let mut reach = vec![store.to_path_buf()];
    let store = std::fs::canonicalize(store).unwrap_or_else(|_| store.to_path_buf());
    let mounts = point::mounted_paths().unwrap_or_default();
    let mounts = mounts.iter().map(|path| Path::new(OsStr::from_bytes(path)));
    let holding = mounts
        .filter(|mount| store.starts_with(mount))
        .max_by_key(|mount| mount.as_os_str().len());
    let above = holding.and_then(Path::parent);
    reach.extend(
        above
            .filter(|above| above.parent().is_some())
            .map(Path::to_path_buf),
    );
    reach
}

/// Whether this kernel can do it.
pub(super) fn available() -> bool {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create);
    ruleset.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_in_reach_where_it_is_mounted_but_never_everything() {
        let proc = reach(Path::new("/proc/self/task"));
        assert_eq!(proc.len(), 1, "{proc:?}");
        let mounts = point::mounted_paths().unwrap();
        let mounts = mounts
            .iter()
            .map(|path| PathBuf::from(OsStr::from_bytes(path)));
        for mount in mounts.filter(|path| path.is_dir()) {
            for directory in reach(&mount).into_iter().skip(1) {
                assert!(directory.parent().is_some(), "{mount:?}: everything");
                assert_eq!(Some(directory.as_path()), mount.parent());
            }
        }
    }
}
