//! The mount point: whether it is free, and what is mounted on it.
//!
//! Invariant: nothing is hidden. A mount point must be there and empty; a dead mount of ours is cleared away, any
//! other mount is left alone.

use super::failed;
use crate::error::{Error, Kind, Result};
use crate::fuse::TYPE;
use rustix::mount::UnmountFlags;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel reads ahead so much, in KiB, where a file is read in order.
const READ_AHEAD_KIB: &str = "4096";

/// A mount point that can be mounted on: a dead mount that was left behind is cleared away.
pub(super) fn free(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let wrong = |what: String| Err(Error::new(Kind::Config, what));
    for MountLine { kind, .. } in mounts_on(path)?.into_iter().rev() {
        if kind != TYPE || !is_dead(path) {
            return Err(Error::new(
                Kind::Failed,
                format!(
                    "{shown}: something is mounted there already ({kind}): unmount it or choose another mount point"
                ),
            ));
        }
        tracing::warn!(
            "{shown}: a mount was left behind by a mailtm that was killed; it is cleared away"
        );
        rustix::mount::unmount(path, UnmountFlags::DETACH)
            .map_err(|e| failed(&format!("unmounting what was left on {shown}"), &e.into()))?;
    }
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return wrong(format!(
                "mount point {shown} is not there: make it with: mkdir -m 0000 {shown}"
            ));
        }
        Err(e) => return Err(failed(&format!("mount point {shown}"), &e)),
        Ok(metadata) if !metadata.is_dir() => {
            return wrong(format!("mount point {shown} is not a directory"));
        }
        Ok(_) => {}
    }
    let mut entries =
        std::fs::read_dir(path).map_err(|e| failed(&format!("mount point {shown}"), &e))?;
    if entries.next().is_some() {
        return wrong(format!(
            "mount point {shown} is not empty, and mounting would hide what is in it: empty it or choose another one"
        ));
    }
    std::fs::canonicalize(path).map_err(|e| failed(&format!("mount point {shown}"), &e))
}

/// Whether a mount is one that no daemon answers for. The kernel may still know attributes; the room it always asks for.
fn is_dead(path: &Path) -> bool {
    rustix::fs::statfs(path).is_err_and(|e| e == rustix::io::Errno::NOTCONN)
}

/// One line of /proc/self/mountinfo.
pub struct MountLine {
    pub path: Vec<u8>,
    pub kind: String,
    /// As the one who mounted named it.
    pub source: Vec<u8>,
    device: String,
}

fn mount_lines() -> Result<Vec<MountLine>> {
    let text = std::fs::read("/proc/self/mountinfo")
        .map_err(|e| failed("reading /proc/self/mountinfo", &e))?;
    let lines = text.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.split(|&b| b == b' ');
        let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
        let path = unescape(fields.nth(1)?);
        let mut after = fields.skip_while(|&field| field != b"-").skip(1);
        let kind = String::from_utf8_lossy(after.next()?).into_owned();
        let source = unescape(after.next()?);
        Some(MountLine {
            path,
            kind,
            source,
            device,
        })
    });
    Ok(lines.collect())
}

/// Blanks and backslashes are `\ooo` there.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match octal
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
            .filter(|_| byte == b'\\')
        {
            Some(value) => {
                out.push(value);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// What is mounted on a path, the topmost last. A dead mount can't be resolved, so its parent is; nothing is asked of
/// what is mounted there.
pub fn mounts_on(path: &Path) -> Result<Vec<MountLine>> {
    let parent = path
        .parent()
        .and_then(|parent| std::fs::canonicalize(parent).ok());
    let resolved = match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_path_buf(),
    };
    let mut lines = mount_lines()?;
    lines.retain(|line| OsStr::from_bytes(&line.path) == resolved.as_os_str());
    Ok(lines)
}

/// Where something is mounted, unescaped.
pub(super) fn mounted_paths() -> Result<Vec<Vec<u8>>> {
    Ok(mount_lines()?.into_iter().map(|line| line.path).collect())
}

/// The device of what is on top on a mount point, such as `0:52`: it tells one mount from another.
pub(super) fn device(mountpoint: &Path) -> Result<Option<String>> {
    Ok(mounts_on(mountpoint)?.pop().map(|line| line.device))
}

/// Lets the kernel read far ahead. Not possible without the right to write there, and nothing depends on it.
pub(super) fn read_ahead(device: &str) -> Result<()> {
    let path = format!("/sys/class/bdi/{device}/read_ahead_kb");
    std::fs::write(path, READ_AHEAD_KIB)
        .map_err(|e| failed("the kernel reads ahead as much as it likes", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_mount_table() {
        assert_eq!(unescape(b"/a\\040b\\134c"), b"/a b\\c");
        assert_eq!(unescape(b"\\0"), b"\\0");
        assert_eq!(unescape(b"\\777x\\"), b"\\777x\\");
    }

    #[test]
    fn what_is_mounted_is_found_without_entering_it() {
        let proc = mounts_on(Path::new("/proc")).unwrap().pop().unwrap();
        assert_eq!(proc.kind, "proc");
        assert!(mounts_on(Path::new("/proc/self/fd")).unwrap().is_empty());
    }
}
