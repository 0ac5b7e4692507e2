//! What a mount needs around it: the time zone, a free mount point, room for the index, the live store.
//!
//! Nothing is made or changed to find that out; and what is mounted on the mount point is not asked anything that could
//! hang, but for a mount of our own.

use super::findings::{Findings, printable_bytes};
use crate::cli::mount::is_word;
use crate::cli::terminal::printable;
use crate::config::{self, Config};
use crate::error::Result;
use crate::fuse::TYPE;
use crate::mount::point::{MountLine, mounts_on};
use crate::mount::probe::{self, Silent};
use crate::mount::sandbox;
use rustix::fs::{Access, AtFlags, CWD, FsWord, PROC_SUPER_MAGIC, accessat};
use rustix::io::Errno;
use serde::Serialize;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Of `linux/magic.h`.
const SYSFS_MAGIC: FsWord = 0x6265_6572;

#[derive(Debug, Default, Serialize)]
pub struct Timezone {
    /// Empty: the system's.
    pub name: String,
    pub utc_offset_minutes: i64,
}

#[derive(Debug, Serialize)]
pub struct MountPoint {
    pub path: String,
    pub state: MountState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountState {
    Free,
    /// By us, and it answers.
    Mounted,
    /// Left behind by a process that is no more.
    Dead,
    /// By something else.
    Occupied,
    Missing,
    NotEmpty,
    Unusable,
}

#[derive(Debug, Default, Serialize)]
pub struct Index {
    pub path: String,
    pub state: IndexState,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexState {
    Usable,
    /// The first mount makes it.
    #[default]
    Absent,
    Unusable,
}

#[derive(Debug, Serialize)]
pub struct Live {
    pub path: String,
    pub present: bool,
}

/// What a mount gives up before it reads mail.
#[derive(Debug, Default, Serialize)]
pub struct Sandbox {
    pub wanted: bool,
    pub files: bool,
    pub calls: bool,
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

pub fn timezone(config: &Config) -> Timezone {
    let now = now();
    let offset = config.timezone.local(now).and_utc().timestamp() - now;
    Timezone {
        name: config.timezone.name(),
        utc_offset_minutes: offset / 60,
    }
}

/// The configured mount point, if there is one.
pub fn mount_point(config: &Config, findings: &mut Findings) -> Result<Option<MountPoint>> {
    let Some(path) = &config.mountpoint else {
        return Ok(None);
    };
    let shown = printable(&path.to_string_lossy());
    let state = match mounts_on(path)?.pop() {
        Some(mounted) if is_of(&mounted, config) => match rustix::fs::statfs(path) {
            Err(Errno::NOTCONN) => MountState::Dead,
            _ => MountState::Mounted,
        },
        Some(mounted) => {
            findings.warn(format!(
                "mount point {shown}: something else is mounted there ({} of type {}): unmount it, or choose another \
                 mountpoint",
                printable_bytes(&mounted.source),
                printable(&mounted.kind)
            ));
            MountState::Occupied
        }
        None => unmounted(path, &shown, findings),
    };
    Ok(Some(MountPoint { path: shown, state }))
}

/// Whether a mount shows the configured snapshots: one of ours bears the name of their first directory, or, from fstab, that
/// of the configuration or one that names nothing.
fn is_of(mounted: &MountLine, config: &Config) -> bool {
    let source = Path::new(OsStr::from_bytes(&mounted.source));
    let first = config.source.snapshots.first();
    let file = config
        .file
        .as_ref()
        .and_then(|file| file.canonicalize().ok());
    let is_named = [first, config.file.as_ref(), file.as_ref()]
        .into_iter()
        .flatten()
        .any(|name| name == source);
    mounted.kind == TYPE && (is_named || is_word(source))
}

fn unmounted(path: &Path, shown: &str, findings: &mut Findings) -> MountState {
    let mut listed = match std::fs::read_dir(path) {
        Ok(listed) => listed,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            findings.warn(format!(
                "mount point {shown} is not there: make it with: mkdir -m 0000 {shown}"
            ));
            return MountState::Missing;
        }
        Err(e) => {
            findings.warn(format!(
                "mount point {shown}: {e}: name a directory that the user who mounts can open"
            ));
            return MountState::Unusable;
        }
    };
    if listed.next().is_some() {
        findings.warn(format!(
            "mount point {shown} is not empty, and mounting would hide what is in it: empty it or choose another one"
        ));
        return MountState::NotEmpty;
    }
    MountState::Free
}

/// Where the index is, or would be.
pub fn index(config: &Config, findings: &mut Findings) -> Index {
    let path = &config.index.path;
    let shown = printable(&path.to_string_lossy());
    let mut unusable = |why: String| {
        findings.warn(format!(
            "index {shown}: {why}: everything is shown without it, only later, and node ids do not outlive a restart; \
             let mailtm's user write there, or set another path under [index]"
        ));
        IndexState::Unusable
    };
    let mut bytes = 0;
    let state = match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => unusable("is not a directory".to_owned()),
        Ok(_) => {
            let files = std::fs::read_dir(path).into_iter().flatten().flatten();
            bytes = files
                .filter_map(|f| f.metadata().ok())
                .map(|m| m.len())
                .sum();
            match can_write(path) {
                Ok(()) => IndexState::Usable,
                Err(e) => unusable(format!("cannot be written ({e})")),
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let above = path.ancestors().find(|a| a.symlink_metadata().is_ok());
            match above.map_or(Ok(()), can_be_made_in) {
                Ok(()) => IndexState::Absent,
                Err(e) => unusable(format!("cannot be made ({e})")),
            }
        }
        Err(e) => unusable(e.to_string()),
    };
    Index {
        path: shown,
        state,
        bytes,
    }
}

fn can_be_made_in(directory: &Path) -> rustix::io::Result<()> {
    can_write(directory)?;
    // Root may write where the kernel takes no new names.
    match rustix::fs::statfs(directory)?.f_type {
        PROC_SUPER_MAGIC | SYSFS_MAGIC => Err(Errno::PERM),
        _ => Ok(()),
    }
}

fn can_write(directory: &Path) -> rustix::io::Result<()> {
    accessat(
        CWD,
        directory,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
}

/// Whoever reads the keys of encrypted messages reads everybody's mail, if he gets at the store.
pub fn keys(config: &Config, findings: &mut Findings) {
    for file in &config.source.mail_crypt_keys {
        let shown = printable(&file.to_string_lossy());
        let Ok(metadata) = std::fs::metadata(file) else {
            continue;
        };
        if metadata.mode() & 0o004 != 0 {
            findings.warn(format!(
                "the key {shown} can be read by everybody on this machine (mode {:o}), and whoever has it reads all \
                 encrypted mail that he gets hold of: chmod 600 {shown}",
                metadata.mode() & 0o7777
            ));
        }
    }
}

/// The live store, if one is configured.
pub fn live(config: &Config, silent: &[Silent], findings: &mut Findings) -> Option<Live> {
    let path = config.source.live.as_ref()?;
    let shown = printable(&path.to_string_lossy());
    let is_silent = probe::is_among(silent, path);
    let present = !is_silent && path.is_dir();
    if is_silent {
        findings.warn(format!(
            "the live store {shown} does not answer: see whether its file system's server does"
        ));
    } else if !present {
        findings.warn(format!(
            "the live store {shown} is no directory: mount it, or correct live under [source]"
        ));
    }
    Some(Live {
        path: shown,
        present,
    })
}

/// What a mount on this kernel would be confined by.
pub fn sandbox(config: &Config, findings: &mut Findings) -> Sandbox {
    let available = sandbox::available();
    let wanted = config.sandbox == config::Switch::Auto;
    if wanted && !(available.files && available.calls) {
        findings.warn(format!(
            "sandbox: {available}: mail is read with less protection than a kernel with Landlock (5.13) and seccomp gives"
        ));
    }
    Sandbox {
        wanted,
        files: available.files,
        calls: available.calls,
    }
}
