//! Whether an index that is found empty is the first one, or was lost.
//!
//! Everything learned is in the directory of the index, and so nothing in there can tell that it was cleared, or that its disk
//! is not mounted. So a small file beside it says that an index has been begun. Where none can be kept, a loss is taken for a
//! beginning; that costs nothing but the warning.
//!
//! The sandbox shuts off what is beside the index: [`prepare`] makes the file before that, empty, and [`note`] writes into it.

use crate::index::Index;
use rustix::fs::OFlags;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

const WORDS: &str = "mailtm has begun an index in the directory beside this file. If that is empty at a start, mailtm warns of it.\n";

/// The file for the index in this directory.
fn mark(index: &Path) -> PathBuf {
    let mut name = OsString::from(index.components().as_path());
    name.push(".begun");
    name.into()
}

/// Makes the file, so that it can be written from inside the sandbox; `None` where that cannot be.
pub(super) fn prepare(index: &Path) -> Option<PathBuf> {
    let mark = mark(index);
    match make(&mark) {
        Ok(()) => Some(mark),
        Err(e) => {
            tracing::debug!("{}: {e}", mark.display());
            None
        }
    }
}

fn make(mark: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = match options.write(true).create_new(true).open(mark) {
        Ok(file) => file,
        Err(_) if fs::symlink_metadata(mark).is_ok_and(|mark| mark.is_file()) => return Ok(()),
        Err(e) => return Err(e),
    };
    // What root makes in the directory of mailtm's own user is that user's.
    let above = mark.parent().unwrap_or(Path::new("/"));
    let owner = fs::metadata(above)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Whether an index has been begun in this directory before. To be asked before it is opened, or another process that
/// begins it at the same time would be taken for the past.
pub(super) fn was_begun(directory: &Path) -> bool {
    fs::symlink_metadata(mark(directory)).is_ok_and(|mark| mark.len() > 0)
}

/// Says that an index is begun; or, where there has been one, that it is lost: one warning.
pub(super) fn note(directory: &Path, index: &Index, was_begun: bool) {
    if !index.is_persistent() {
        return;
    }
    let shown = directory.display();
    match (index.is_new(), was_begun) {
        (true, true) => tracing::warn!(
            "index {shown}: it is empty, and there has been one; made anew; messages are read anew as they are looked at; see \
             that nothing clears that directory, and that the disk mounted there is its own"
        ),
        (true, false) => tracing::info!("index {shown}: a new one is begun"),
        (false, _) => {}
    }
    if !was_begun
        && let Some(mark) = prepare(directory)
        && let Err(e) = write(&mark)
    {
        tracing::debug!("{}: {e}", mark.display());
    }
}

/// Root writes into the directory of another user here: what that user has put in the file's place is left alone.
fn write(mark: &Path) -> io::Result<()> {
    let no_link = OFlags::NOFOLLOW.bits() as i32;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).custom_flags(no_link).open(mark)?;
    file.write_all(WORDS.as_bytes())
}
