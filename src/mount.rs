//! Mounting: from a configuration to a file system that answers, and back.
//!
//! Invariants: nothing is hidden (a mount point must be there, empty and free, or hold only a dead mount of ours); who is told that it
//! is ready can use it; it ends cleanly on SIGINT, SIGTERM, and when somebody else unmounts it.
//!
//! The cast: [`spawn`] mounts, [`Mounted`] is the mount while it lives, [`run`] is the command.

use crate::config::{self, Config};
use crate::disk::lane::Workers;
use crate::error::{Error, Kind, Result};
use crate::fs::{self, Fs, MboxListed};
use crate::fuse::{self, Mail};
use crate::index::Index;
use crate::message::mboxrd::FlagLines;
use crate::snapshot::source::{self, Source};
use crate::snapshot::{self, Catalogue, Watch};
use crate::view::{self, View, mailbox};
use rustix::mount::UnmountFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// Bytes for folder listings in memory.
const LISTING_BYTES: usize = 64 << 20;

/// The kernel reads ahead so much, in KiB, where a file is read in order.
const READ_AHEAD_KIB: &str = "1024";

/// How a mount is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountOptions {
    /// Whoever started it waits for the line that says that it is ready, and goes.
    pub background: bool,
}

/// A mount while it lives.
pub struct Mounted {
    mountpoint: PathBuf,
    fs: Arc<Fs>,
    session: JoinHandle<std::io::Result<()>>,
    ended: mpsc::Receiver<()>,
    signals: Handle,
    // Declared last: no more is pushed when the session is gone.
    _watch: Watch,
}

/// Mounts and stays until unmounted.
pub fn run(config: Config, options: MountOptions) -> Result<()> {
    let mounted = spawn(config)?;
    let dates = mounted.fs.catalogue().dates();
    let line = format!(
        "mailtm: {} is ready: {} dates\n",
        mounted.mountpoint.display(),
        dates.shown.len()
    );
    let mut out = std::io::stdout();
    // A starter that does not listen is no reason to unmount.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    if options.background {
        detach_output();
    }
    if let Err(e) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!("systemd was not told: {e}");
    }
    mounted.wait()
}

/// What a background mount says from now on goes to the log alone.
fn detach_output() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null")
        && let Err(e) = rustix::stdio::dup2_stdout(&null)
    {
        tracing::debug!("standard output stays open: {e}");
    }
}

/// The catalogue and the file system that a configuration means.
pub fn build(config: &Config) -> Result<Fs> {
    let catalogue = catalogue(config, &source(config)?)?;
    let view = View {
        zone: config.timezone,
        names: match config.names {
            config::Names::Readable => view::Names::Readable,
            config::Names::Unique => view::Names::Unique,
        },
        flags: match config.mbox.flags {
            config::MboxFlags::Status => FlagLines::Status,
            config::MboxFlags::None => FlagLines::None,
        },
        layout: layout(config)?,
        index: Arc::new(Index::open(&config.index.path)),
    };
    let options = fs::Options {
        mbox_listed: match config.mbox.listed {
            config::Listed::Always => MboxListed::Always,
            config::Listed::WhenSized => MboxListed::WhenSized,
            config::Listed::Never => MboxListed::Never,
        },
        keep_days: config.keep_days,
        zone_name: config.timezone.name(),
        refresh: config.refresh,
        listing_bytes: LISTING_BYTES,
    };
    Fs::new(view, config.policy(), catalogue, options)
}

/// The snapshots that the directories of a source hold, as the configuration dates and chooses them.
pub fn catalogue(config: &Config, source: &Source) -> Result<Catalogue> {
    Catalogue::open(snapshot::Options {
        dirs: source.snapshots.clone(),
        below: source.below.clone(),
        name: config.source.name.clone(),
        granularity: match config.granularity {
            config::Granularity::Day => snapshot::Granularity::Day,
            config::Granularity::Snapshot => snapshot::Granularity::Snapshot,
        },
        zone: config.timezone,
        keep_days: config.keep_days,
        refresh: config.refresh,
        timeout: config.source.timeout,
    })
}

/// Where the configuration says mailboxes are, and what they are called.
pub fn layout(config: &Config) -> Result<mailbox::Layout> {
    let templates = config
        .source
        .mailboxes
        .iter()
        .map(|text| mailbox::Template::parse(text));
    Ok(mailbox::Layout {
        templates: templates.collect::<Result<_>>()?,
        name: config.source.mailbox_name.clone(),
    })
}

/// The directories of snapshots that a configuration means, and the path of the mail store inside each snapshot.
pub fn source(config: &Config) -> Result<Source> {
    match config.source.snapshots.as_slice() {
        // One directory may be a live one that has snapshots.
        [one] => source::resolve(one),
        many => Ok(Source {
            snapshots: many.to_vec(),
            below: PathBuf::new(),
            why: "each is named in the configuration".into(),
        }),
    }
}

/// Mounts; returns when the file system answers.
pub fn spawn(config: Config) -> Result<Mounted> {
    let mountpoint = config.mountpoint.clone().ok_or_else(|| {
        Error::new(
            Kind::Config,
            "no mount point: set mountpoint in the configuration or name it after SOURCE",
        )
    })?;
    let mountpoint = free(&mountpoint)?;
    // Before any thread starts, so that none of them takes the signals.
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| failed("waiting for signals", &e))?;
    let fs = Arc::new(build(&config)?);
    let (threads, permits) = fuse::threads();
    let workers = Workers::start(config.source.timeout, permits)
        .map_err(|e| failed("starting threads", &e))?;
    let name = config
        .source
        .snapshots
        .first()
        .map_or_else(|| "mailtm".into(), |p| p.display().to_string());
    let session = fuser::Session::new(
        Mail::new(fs.clone(), workers),
        &mountpoint,
        &fuse::options(&name, threads),
    )
    .map_err(|e| failed(&format!("mounting on {}", mountpoint.display()), &e))
    .map_err(|e| {
        if Path::new("/dev/fuse").exists() {
            e
        } else {
            e.context("there is no /dev/fuse here")
        }
    })?;
    let notifier = session.notifier();
    let (end, ended) = mpsc::channel();
    let by_session = end.clone();
    let session = std::thread::Builder::new()
        .name("mailtm-session".into())
        .spawn(move || {
            let result = session.run();
            // Nobody listens any more if the mount ends by a signal.
            let _ = by_session.send(());
            result
        })
        .map_err(|e| failed("starting threads", &e))?;
    let handle = signals.handle();
    std::thread::Builder::new()
        .name("mailtm-signals".into())
        .spawn(move || {
            for signal in &mut signals {
                if signal != SIGHUP && end.send(()).is_err() {
                    return;
                }
            }
        })
        .map_err(|e| failed("starting threads", &e))?;
    read_ahead(&mountpoint);
    let changing = fs.clone();
    let watch = fs
        .catalogue()
        .watch(move |changes| match changing.update(&changes) {
            Ok(forget) => fuse::notify(&notifier, &forget),
            Err(e) => tracing::warn!("new snapshots are not shown: {e}"),
        })?;
    let preparing = fs.clone();
    let prepare = std::thread::Builder::new()
        .name("mailtm-prepare".into())
        .spawn(move || preparing.prepare());
    if let Err(e) = prepare {
        tracing::debug!("nothing is prepared: {e}");
    }
    Ok(Mounted {
        mountpoint,
        fs,
        session,
        ended,
        signals: handle,
        _watch: watch,
    })
}

impl Mounted {
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    pub fn fs(&self) -> &Fs {
        &self.fs
    }

    /// Waits for SIGINT, SIGTERM or an unmount by somebody else; then unmounts.
    pub fn wait(self) -> Result<()> {
        // An error means that all who could say so have ended.
        let _ = self.ended.recv();
        self.unmount()
    }

    /// Unmounts; at once, also if it is in use: who still uses it keeps what it has open until he lets go of it.
    pub fn unmount(self) -> Result<()> {
        self.signals.close();
        if !self.session.is_finished() {
            let path = &self.mountpoint;
            match rustix::mount::unmount(path, UnmountFlags::empty()) {
                Ok(()) => {}
                Err(rustix::io::Errno::BUSY) => {
                    tracing::info!(
                        "{} is in use; it is gone for everybody else",
                        path.display()
                    );
                    rustix::mount::unmount(path, UnmountFlags::DETACH).map_err(|e| {
                        failed(&format!("unmounting {}", path.display()), &e.into())
                    })?;
                    // The session goes on until the last one lets go, and nobody waits for that.
                    return Ok(());
                }
                // Somebody else was faster.
                Err(rustix::io::Errno::INVAL) => {}
                Err(e) => return Err(failed(&format!("unmounting {}", path.display()), &e.into())),
            }
        }
        match self.session.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(failed("serving the mount", &e)),
            Err(_) => Err(Error::new(
                Kind::Failed,
                "serving the mount: a fault in mailtm itself",
            )),
        }
    }
}

fn failed(doing: &str, e: &std::io::Error) -> Error {
    Error::new(Kind::Failed, format!("{doing}: {e}"))
}

/// A mount point that can be mounted on: a dead mount that was left behind is cleared away.
fn free(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let wrong = |what: String| Err(Error::new(Kind::Config, what));
    for mount in mounts_on(path)? {
        if mount != "fuse.mailtm" || !is_dead(path) {
            return Err(Error::new(
                Kind::Failed,
                format!(
                    "{shown}: something is mounted there already ({mount}): unmount it or choose another mount point"
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

/// Whether a mount is one that no daemon answers for.
fn is_dead(path: &Path) -> bool {
    const ENOTCONN: i32 = 107;
    std::fs::metadata(path).is_err_and(|e| e.raw_os_error() == Some(ENOTCONN))
}

/// One line of /proc/self/mountinfo: where, of which type, and as which device.
struct MountLine {
    path: Vec<u8>,
    kind: String,
    device: String,
}

fn mount_lines() -> Result<Vec<MountLine>> {
    let text = std::fs::read("/proc/self/mountinfo")
        .map_err(|e| failed("reading /proc/self/mountinfo", &e))?;
    let lines = text.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.split(|&b| b == b' ');
        let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
        let path = unescape(fields.nth(1)?);
        let kind = String::from_utf8_lossy(fields.skip_while(|&f| f != b"-").nth(1)?).into_owned();
        Some(MountLine { path, kind, device })
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

/// The types of what is mounted on a path, the topmost first. A dead mount can't be resolved, so the parent is.
fn mounts_on(path: &Path) -> Result<Vec<String>> {
    let resolved = match (
        path.parent()
            .and_then(|parent| std::fs::canonicalize(parent).ok()),
        path.file_name(),
    ) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_path_buf(),
    };
    let here = mount_lines()?
        .into_iter()
        .filter(|line| OsStr::from_bytes(&line.path) == resolved.as_os_str());
    Ok(here.map(|line| line.kind).rev().collect())
}

/// Long reads in few requests. Not possible without the right to write there, and nothing depends on it.
fn read_ahead(mountpoint: &Path) {
    let device = mount_lines().ok().and_then(|lines| {
        let ours = lines
            .into_iter()
            .rfind(|line| OsStr::from_bytes(&line.path) == mountpoint.as_os_str());
        ours.map(|line| line.device)
    });
    let Some(device) = device else { return };
    if let Err(e) = std::fs::write(
        format!("/sys/class/bdi/{device}/read_ahead_kb"),
        READ_AHEAD_KIB,
    ) {
        tracing::debug!("the kernel reads ahead as much as it likes: {e}");
    }
}
