//! Which of the directories that mail is read from answer, before anything depends on it.
//!
//! On a file system whose server is dead, whoever looks at a directory waits, perhaps for ever, and nothing can be done with
//! a thread that does. The sandbox is made from directories, and entered while there is no second thread. So a process of its
//! own, this program run anew under the name [`PROGRAM`], looks at them first, each in a thread, and is killed when the time
//! is over. It goes down to each directory from the top: of one that does not answer it is known then which one above it is
//! the last that does.
//!
//! Whether a file system answers is found by asking for its room: attributes and names may be remembered by the kernel.

use super::failed;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::snapshot;
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The name under which this program looks at directories: `PROGRAM DIRECTORY...`.
pub const PROGRAM: &str = "mailtm-probe";

/// The longest that a start waits: systemd gives up after a minute and a half. What answers later is shown later.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a process that was killed is waited for. One that waits for a store may end later.
const DYING: Duration = Duration::from_secs(1);

/// A directory that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    pub path: PathBuf,
    /// The nearest directory above it that answers, links resolved.
    pub above: PathBuf,
}

impl Silent {
    /// The directory that the sandbox lets in for it, so that it is in reach when it answers. None if that were everything.
    pub(super) fn reach(&self) -> Option<&Path> {
        self.above.parent().map(|_| self.above.as_path())
    }
}

/// The directories of snapshots, and the live store, that do not answer within `source.timeout`, or a minute if that is longer.
/// [`Kind::Unreadable`](crate::Kind::Unreadable) if no directory of snapshots does.
pub fn stores(config: &Config) -> Result<Vec<Silent>> {
    let (snapshots, live) = (&config.source.snapshots, &config.source.live);
    let paths: Vec<PathBuf> = snapshots.iter().chain(live).cloned().collect();
    let silent = silent(&paths, config.source.timeout.min(PATIENCE))?;
    let is_silent = |path: &PathBuf| is_among(&silent, path);
    match snapshots.first() {
        Some(first) if snapshots.iter().all(is_silent) => Err(snapshot::unanswered(first)),
        _ => Ok(silent),
    }
}

/// The same for what enters no sandbox: where there is one store, whoever reads it waits no longer and says the same.
pub fn stores_beside_others(config: &Config) -> Result<Vec<Silent>> {
    match config.source.snapshots.len() + usize::from(config.source.live.is_some()) {
        0 | 1 => Ok(Vec::new()),
        _ => stores(config),
    }
}

/// That the live store does not answer, and what to do.
pub fn unanswered_live(live: &Path) -> Error {
    let message = format!(
        "source.live: {} does not answer: see whether its file system's server does",
        live.display()
    );
    Error::new(Kind::Unreadable, message)
}

/// Whether a directory is one of those.
pub fn is_among(silent: &[Silent], path: &Path) -> bool {
    silent.iter().any(|silent| silent.path == path)
}

/// Those of `paths` that do not answer within `timeout`.
fn silent(paths: &[PathBuf], timeout: Duration) -> Result<Vec<Silent>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |e: io::Error| failed("looking whether the mail stores answer", &e);
    let (mut child, socket) = start(paths).map_err(failed)?;
    let heard = listen(socket, paths, timeout);
    let _ = child.kill();
    let end = Instant::now() + DYING;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    heard.map_err(failed)
}

fn start(paths: &[PathBuf]) -> io::Result<(Child, UnixStream)> {
    let (ours, its) = UnixStream::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg0(PROGRAM)
        .args(paths)
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(its))
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

/// What is known of a path.
#[derive(Clone)]
struct Heard {
    above: PathBuf,
    answers: Option<bool>,
}

/// Hears the process until it has told of all paths, or the time is over.
fn listen(socket: UnixStream, paths: &[PathBuf], timeout: Duration) -> io::Result<Vec<Silent>> {
    let end = Instant::now() + timeout;
    let begin = Heard {
        above: PathBuf::from("/"),
        answers: None,
    };
    let mut heard = vec![begin; paths.len()];
    let mut socket = BufReader::new(socket);
    let mut record = Vec::new();
    while heard.iter().any(|heard| heard.answers.is_none()) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.get_ref().set_read_timeout(Some(left))?;
        match socket.read_until(0, &mut record) {
            Ok(_) if record.pop() == Some(0) => {
                note(&record, &mut heard);
                record.clear();
            }
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(e) => return Err(e),
        }
    }
    let told = paths.iter().zip(heard);
    let silent = told.filter(|(_, heard)| heard.answers != Some(true));
    Ok(silent
        .map(|(path, heard)| Silent {
            path: path.clone(),
            above: heard.above,
        })
        .collect())
}

/// A record: the position of the path, what is the matter with it, and perhaps a directory.
fn note(record: &[u8], heard: &mut [Heard]) {
    let mut fields = record.splitn(3, |&b| b == b' ');
    let position = fields
        .next()
        .and_then(|field| std::str::from_utf8(field).ok());
    let position: Option<usize> = position.and_then(|field| field.parse().ok());
    let Some(heard) = position.and_then(|position| heard.get_mut(position)) else {
        return;
    };
    match (fields.next(), fields.next()) {
        (Some(b"below"), Some(above)) => heard.above = PathBuf::from(OsStr::from_bytes(above)),
        (Some(b"answers"), _) => heard.answers = Some(true),
        (Some(b"silent"), _) => heard.answers = Some(false),
        _ => {}
    }
}

/// The process itself, with its command line.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    if let Ok(name) = CString::new(PROGRAM) {
        let _ = rustix::thread::set_name(&name);
    }
    if super::sandbox::keep_rights(CapabilitySet::DAC_READ_SEARCH).is_err() {
        return ExitCode::FAILURE;
    }
    let looks = args.skip(1).map(PathBuf::from).enumerate();
    let looks: Vec<_> = looks
        .map(|(position, path)| std::thread::spawn(move || look(position, &path)))
        .collect();
    for look in looks {
        let _ = look.join();
    }
    ExitCode::SUCCESS
}

/// Goes down to a directory.
fn look(position: usize, path: &Path) {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    for directory in above {
        match std::fs::canonicalize(directory).and_then(|path| answer(&path).map(|()| path)) {
            Ok(path) => say(position, b"below", path.as_os_str().as_bytes()),
            Err(_) => break,
        }
    }
    match answer(path) {
        Err(e) if is_of_the_server(&e) => say(position, b"silent", b""),
        // What else is the matter is said by whoever reads it.
        _ => say(position, b"answers", b""),
    }
}

/// Asks a directory for what its file system has to be asked.
fn answer(path: &Path) -> io::Result<()> {
    rustix::fs::statfs(path)?;
    let first = std::fs::read_dir(path)?.next();
    first.transpose().map(drop)
}

/// Whether an error is what a file system says whose server does not answer.
fn is_of_the_server(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let of_the_server = [
        Errno::IO,
        Errno::NOTCONN,
        Errno::STALE,
        Errno::TIMEDOUT,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::REMOTEIO,
    ];
    errno.is_some_and(|errno| of_the_server.contains(&errno))
}

fn say(position: usize, word: &[u8], directory: &[u8]) {
    let mut record = format!("{position} ").into_bytes();
    record.extend_from_slice(word);
    record.push(b' ');
    record.extend_from_slice(directory);
    record.push(0);
    let mut out = io::stdout().lock();
    // Nobody listens any more when the time is over.
    let _ = out.write_all(&record).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_and_what_was_not() {
        let (ours, its) = UnixStream::pair().unwrap();
        let paths = ["/srv/a", "/srv/b/c", "/d", "/srv/e"].map(PathBuf::from);
        let told = b"0 below /\x001 below /srv\x000 answers \x001 below /srv/x y\x003 silent \x009 odd\x00";
        (&its).write_all(told).unwrap();
        let silent = listen(ours, &paths, Duration::from_millis(50)).unwrap();
        let expected = [("/srv/b/c", "/srv/x y"), ("/d", "/"), ("/srv/e", "/")];
        let expected = expected.map(|(path, above)| Silent {
            path: path.into(),
            above: above.into(),
        });
        assert_eq!(silent, expected);
        assert_eq!(silent[0].reach(), Some(Path::new("/srv/x y")));
        assert_eq!(silent[1].reach(), None);

        let (ours, its) = UnixStream::pair().unwrap();
        drop(its);
        assert!(listen(ours, &paths, Duration::from_secs(9)).is_err());
    }

    #[test]
    fn a_server_that_is_gone_and_a_mistake() {
        let error = |errno: Errno| io::Error::from(errno);
        assert!(is_of_the_server(&error(Errno::NOTCONN)));
        assert!(is_of_the_server(&error(Errno::STALE)));
        assert!(!is_of_the_server(&error(Errno::NOENT)));
        assert!(!is_of_the_server(&error(Errno::ACCESS)));
        assert!(answer(Path::new("/proc/self/fd")).is_ok());
        assert!(answer(Path::new("/proc/version")).is_err());
    }
}
