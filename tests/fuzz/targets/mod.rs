//! What is fuzzed: each target is given bytes, has them read as mailtm would, and panics if what must hold for every input does
//! not.
//!
//! That reading ends soon, in little memory and without a panic holds for all of them, and [`check`] sees to it. Beyond that each
//! target compares with something that is known otherwise wherever there is such a thing: what was written, read again; a
//! plain and slow way to the same result; a size that was told with the bytes that come.
//!
//! Nothing here knows who makes the inputs: the tests do so blindly, and libFuzzer by what it sees of the code that runs.

pub mod encodings;
pub mod index;
mod mailbox;
pub mod messages;
pub mod names;
pub mod portal;
pub mod restore;
pub mod settings;
pub mod stores;
pub mod tree;

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::{NamedTempFile, TempDir};

/// How long one input may keep its thread busy, without optimisation.
const SLOW: Duration = Duration::from_secs(5);

/// How long it may take on a machine that is busy with other things.
const STUCK: Duration = Duration::from_secs(60);

/// Much memory takes longer than this to be filled.
const MEMORABLE: Duration = Duration::from_millis(20);

/// Bytes of memory that a process may have taken up at most, with all that the inputs before have left in its caches.
const MOST_MEMORY: u64 = 1 << 30;

/// Runs a target on an input.
///
/// # Panics
/// If something does not hold that must, or if it takes too much time or memory.
pub fn check(target: fn(&[u8]), input: &[u8]) {
    let (begun, before) = (Instant::now(), busy());
    target(input);
    let (took, worked) = (begun.elapsed(), busy() - before);
    assert!(
        worked < SLOW && took < STUCK,
        "it took {took:?}, of them {worked:?} of work"
    );
    if took > MEMORABLE {
        let peak = peak_memory();
        assert!(
            peak < MOST_MEMORY,
            "{peak} bytes of memory were taken up, by this input or by others at the same time"
        );
    }
}

/// How long this thread has worked.
fn busy() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// The most memory that this process has ever taken up, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = peak
        .and_then(|peak| peak.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .unwrap();
    kibibytes << 10
}

fn text(input: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(input)
}

/// Two parts of an input: what stands before the first NUL, and what stands after it.
fn two(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|&b| b == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => input.split_at(input.len() / 2),
    }
}

/// Where files are made: in memory. libFuzzer ends without cleaning up, so `scripts/fuzz` names a place that it clears away.
fn scratch() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| "/dev/shm".into(), PathBuf::from)
}

fn scratch_directory() -> TempDir {
    tempfile::tempdir_in(scratch()).unwrap()
}

/// Gives a target the path of a file that has the input in it.
fn with_file<T>(input: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FILE: NamedTempFile = NamedTempFile::new_in(scratch()).unwrap();
    }
    FILE.with(|file| {
        let mut opened = std::fs::File::create(file.path()).unwrap();
        opened.write_all(input).unwrap();
        drop(opened);
        read(file.path())
    })
}
