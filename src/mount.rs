//! Mounting: from a configuration to a file system that answers, and back.
//!
//! Invariants: nothing is hidden (a mount point must be there, empty and free, or hold only a dead mount of ours); who is told that it
//! is ready can use it; it ends cleanly on SIGINT, SIGTERM, and when somebody else unmounts it.
//!
//! The cast: [`spawn`] mounts, [`Mounted`] is the mount while it lives, [`run`] is the command. `point` is the mount point,
//! [`mounter`] the process that has the right to mount there, [`probe`] one that finds out which stores answer. `build` makes what a
//! configuration means, for every command; `confine` says what may be reached, and [`sandbox`] sees to it. While it lives, `policy` follows
//! who may enter, `live` what is deleted, `growth` dates that are being filled, `altered` messages that were changed in place; `quiet` learns new snapshots, `lateness` warns when they stay away, `watchdog` tells systemd that
//! the mount answers, `memory` gives back what is not needed any more, `metrics` and `status` tell how it goes, `begun` knows a lost index
//! from a new one.

mod altered;
mod begun;
mod build;
mod confine;
mod growth;
mod lateness;
mod live;
mod memory;
mod metrics;
pub mod mounter;
pub mod point;
mod policy;
pub mod probe;
mod quiet;
pub mod sandbox;
mod status;
mod watchdog;

pub use build::{
    about, build, catalogue, found_source, keys, layout, restorer, restorer_of, source,
};
pub use confine::confine_portal;
pub use growth::Growing;
pub use live::Following;
pub use policy::{Reload, Reread};

use crate::config::{self, Config};
use crate::disk::lane::Workers;
use crate::error::{Error, Kind, Result};
use crate::fs::Fs;
use crate::fuse::{self, Device, Mail, Session};
use crate::snapshot::Watch;
use build::build_from;
use confine::confine_mount;
use lateness::Lateness;
use metrics::Metrics;
use mounter::{Mounter, Unmounted};
use policy::{Forget, Kernel};
use quiet::Quiet;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watchdog::Watchdog;

/// How long the end of a mount waits for requests under way.
const PARTING: Duration = Duration::from_secs(3);

/// How a mount is run.
#[derive(Default)]
pub struct MountOptions {
    /// Whoever started it waits for the line that says that it is ready, and goes.
    pub background: bool,
    /// What SIGHUP reads; without it, SIGHUP does nothing.
    pub reread: Option<Reread>,
    /// The mount's source in /proc/mounts; without it, the first directory of snapshots.
    pub device: Option<OsString>,
}

/// A mount while it lives.
pub struct Mounted {
    mountpoint: PathBuf,
    fs: Arc<Fs>,
    /// Until it has ended.
    session: Option<JoinHandle<std::io::Result<()>>>,
    mounter: Mounter,
    ended: mpsc::Receiver<()>,
    signals: Handle,
    _quiet: Option<Quiet>,
    _following: Following,
    _growing: Growing,
    _watchdog: Option<Watchdog>,
    _lateness: Lateness,
    _metrics: Option<Metrics>,
    // Declared last: no more is pushed when the session is gone.
    _watch: Watch,
}

/// Mounts and stays until unmounted.
pub fn run(config: Config, options: MountOptions) -> Result<()> {
    let background = options.background;
    let mounted = spawn(config, options)?;
    let dates = mounted.fs.catalogue().dates();
    let line = format!(
        "mailtm: {} is ready: {} dates\n",
        mounted.mountpoint.display(),
        dates.shown.len()
    );
    let mut out = std::io::stdout();
    // A starter that does not listen is no reason to unmount.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    if background {
        detach_output();
    }
    let status = status::line(mounted.fs.catalogue());
    status::notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status(&status),
    ]);
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

/// Mounts; returns when the file system answers. SIGHUP takes over the access policy of what `reread` gives.
pub fn spawn(config: Config, options: MountOptions) -> Result<Mounted> {
    let mountpoint = config.mountpoint.clone().ok_or_else(|| {
        Error::new(
            Kind::Config,
            "no mount point: set mountpoint in the configuration or name it after SOURCE",
        )
    })?;
    let mountpoint = point::free(&mountpoint)?;
    // Before any thread starts, so that none of them takes the signals.
    let signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| failed("waiting for signals", &e))?;
    let first = config.source.snapshots.first();
    let first = first.map_or(OsStr::new("mailtm"), |path| path.as_os_str());
    let name = options.device.as_deref().unwrap_or(first);
    let device = Device::open()?;
    let mut mounter = Mounter::start(&device, &mountpoint, name)?;
    let silent = probe::stores(&config)?;
    if let Some(live) = &config.source.live
        && probe::is_among(&silent, live)
    {
        tracing::warn!(
            "source.live: {} does not answer: see whether its file system's server does; until then it is not known what is deleted",
            live.display()
        );
    }
    // A live directory is looked at from outside: inside, its snapshots alone are in reach.
    let source = source(&config)?;
    let metrics = config.metrics.map(metrics::bind).transpose()?;
    let about = about(&config)?;
    // Before any store is read, and any thread started.
    confine_mount(&config, &source, &silent)?;
    memory::give_back();
    let fs = Arc::new(build_from(&config, &source, about, &silent)?);
    let (_, permits) = fuse::threads();
    let workers = Workers::start(config.source.timeout, permits)
        .map_err(|e| failed("starting threads", &e))?;
    mounter.mount()?;
    let mail = Mail::new(fs.clone(), workers, config.push == config::Switch::Auto);
    let told = metrics::Told {
        fs: fs.clone(),
        counts: mail.counts(),
        warms: config.index.warm == config::Switch::Auto,
    };
    let session = Session::new(mail, device).inspect_err(|_| {
        // Nobody will answer for it.
        let _ = mounter.unmount();
    })?;
    mounter.read_ahead();
    let (push, push_owners) = (session.push(), session.push());
    let (end, ended) = mpsc::channel();
    let altered = fs.altered();
    let session = serve(session, end.clone())?;
    let (review, changes) = mpsc::channel();
    let forget: Forget = Arc::new(move |change| push_owners(&[change]));
    let reload = options.reread.map(|reread| Reload {
        fs: fs.clone(),
        config: config.clone(),
        reread,
        kernel: Some(Kernel {
            forget: forget.clone(),
            review: review.clone(),
        }),
    });
    let handle = signals.handle();
    obey(signals, reload, end)?;
    let (quiet, new_snapshots) = match config.index.warm {
        config::Switch::Auto => {
            let started = Quiet::start(fs.clone()).map_err(|e| failed("starting threads", &e))?;
            (Some(started.0), Some(started.1))
        }
        config::Switch::Off => (None, None),
    };
    let (again, warm_again) = (review.clone(), new_snapshots.clone());
    let grown = move || {
        // Who does not listen has ended with the mount.
        let _ = again.send(());
        if let Some(tell) = &warm_again {
            let _ = tell.send(());
        }
    };
    let growing = Growing::start(fs.clone(), forget.clone(), grown)
        .map_err(|e| failed("starting threads", &e))?;
    let changing = fs.clone();
    let watch = fs.catalogue().watch(move |changes| {
        match changing.update(&changes) {
            Ok(forget) => push(&forget),
            Err(e) => tracing::warn!("new snapshots are not shown: {e}"),
        }
        status::tell(changing.catalogue());
        // Who does not listen has ended with the mount.
        let _ = review.send(());
        if let Some(tell) = &new_snapshots {
            let _ = tell.send(());
        }
    })?;
    altered::follow(&fs, altered, forget.clone()).map_err(|e| failed("starting threads", &e))?;
    let (reviewed, refresh) = (fs.clone(), config.refresh);
    let following = Following::start(fs.clone(), forget.clone(), refresh)
        .map_err(|e| failed("starting threads", &e))?;
    std::thread::Builder::new()
        .name("mailtm-owners".into())
        .spawn(move || policy::follow(&reviewed, &forget, &changes, refresh))
        .map_err(|e| failed("starting threads", &e))?;
    let watchdog = Watchdog::start(&mountpoint).map_err(|e| failed("starting threads", &e))?;
    let lateness = Lateness::watch(fs.clone()).map_err(|e| failed("starting threads", &e))?;
    let metrics = metrics.map(|socket| Metrics::serve(socket, told));
    let metrics = metrics
        .transpose()
        .map_err(|e| failed("starting threads", &e))?;
    Ok(Mounted {
        mountpoint,
        fs,
        session: Some(session),
        mounter,
        ended,
        signals: handle,
        _quiet: quiet,
        _following: following,
        _growing: growing,
        _watchdog: watchdog,
        _lateness: lateness,
        _metrics: metrics,
        _watch: watch,
    })
}

/// Answers the kernel, on a thread of its own; tells `end` when the mount has ended.
fn serve(session: Session, end: Sender<()>) -> Result<JoinHandle<std::io::Result<()>>> {
    let serving = move || {
        let result = session.serve();
        // Nobody listens any more if the mount ends by a signal.
        let _ = end.send(());
        result
    };
    std::thread::Builder::new()
        .name("mailtm-session".into())
        .spawn(serving)
        .map_err(|e| failed("starting threads", &e))
}

/// Does what signals say, on a thread of its own: SIGHUP reads the policy again, the others tell `end`.
fn obey(mut signals: Signals, mut reload: Option<Reload>, end: Sender<()>) -> Result<()> {
    let obeying = move || {
        for signal in &mut signals {
            if signal == SIGHUP {
                if let Some(reload) = &mut reload {
                    reload.run();
                }
            } else if end.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("mailtm-signals".into())
        .spawn(obeying)
        .map(drop)
        .map_err(|e| failed("starting threads", &e))
}

impl Mounted {
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    pub fn fs(&self) -> &Fs {
        &self.fs
    }

    /// Waits for SIGINT, SIGTERM or an unmount by somebody else; then unmounts.
    pub fn wait(mut self) -> Result<()> {
        // An error means that all who could say so have ended.
        let _ = self.ended.recv();
        self.end()
    }

    /// Unmounts; at once, also if it is in use: who still uses it keeps what he has open until he lets go of it.
    fn end(&mut self) -> Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        self.signals.close();
        if self.mounter.unmount()? == Unmounted::InUse {
            let path = self.mountpoint.display();
            tracing::info!("{path} is in use, and gone for everybody else");
            // The session goes on until the last one lets go, and nobody waits for that.
            return Ok(());
        }
        // It has ended when this ends; a thread of it that waits for a store that hangs never does, and nobody waits for
        // that either.
        let end = Instant::now() + PARTING;
        while !session.is_finished() && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            let _ = self.ended.recv_timeout(left);
        }
        if !session.is_finished() {
            tracing::info!("requests that wait for a store that hangs are left behind");
            return Ok(());
        }
        match session.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(failed("serving the mount", &e)),
            Err(_) => Err(Error::new(
                Kind::Failed,
                "serving the mount: a fault in mailtm itself",
            )),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            tracing::warn!("{e}");
        }
    }
}

fn failed(doing: &str, e: &std::io::Error) -> Error {
    Error::new(Kind::Failed, format!("{doing}: {e}"))
}
