//! Mounting: from a configuration to a file system that answers, and back.
//!
//! Invariants: nothing is hidden (a mount point must be there, empty and free, or hold only a dead mount of ours); who is told that it
//! is ready can use it; it ends cleanly on SIGINT, SIGTERM, and when somebody else unmounts it.
//!
//! The cast: [`spawn`] mounts, [`Mounted`] is the mount while it lives, [`run`] is the command. `point` is the mount point,
//! [`mounter`] the process that has the right to mount there, [`probe`] one that finds out which stores answer, [`sandbox`] confines this one. `policy` follows who may enter,
//! `quiet` learns new snapshots, `lateness` warns when they stay away, `watchdog` tells systemd that the mount answers, `memory` gives back what is
//! not needed any more, `metrics` and `status` tell how it goes, `begun` knows a lost index from a new one.

mod begun;
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

pub use live::Following;
pub use policy::{Reload, Reread};

use crate::config::{self, Config};
use crate::disk::lane::Workers;
use crate::error::{Error, Kind, Result};
use crate::fs::{self, Fs, MboxListed};
use crate::fuse::{self, Device, Mail, Session};
use crate::index::Index;
use crate::message::mboxrd::FlagLines;
use crate::restore::imap::transport::has_doveadm;
use crate::restore::{Method, Restorer, Server};
use crate::snapshot::pattern::Pattern;
use crate::snapshot::source::{self, Said, Source};
use crate::snapshot::{self, Catalogue, Dates, Watch};
use crate::store::Format;
use crate::store::decode::Keys;
use crate::view::{self, View, about, mailbox};
use lateness::Lateness;
use metrics::Metrics;
use mounter::{Mounter, Unmounted};
use policy::{Forget, Kernel};
use probe::Silent;
use quiet::Quiet;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watchdog::Watchdog;

/// Bytes for folder listings in memory.
const LISTING_BYTES: usize = 40 << 20;

/// How long the end of a mount waits for requests under way.
const PARTING: Duration = Duration::from_secs(3);

/// How a mount is run.
#[derive(Default)]
pub struct MountOptions {
    /// Whoever started it waits for the line that says that it is ready, and goes.
    pub background: bool,
    /// What SIGHUP reads; without it, SIGHUP does nothing.
    pub reread: Option<Reread>,
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
    _watchdog: Option<Watchdog>,
    _lateness: Lateness,
    _metrics: Option<Metrics>,
    // Declared last: no more is pushed when the session is gone.
    _watch: Watch,
}

/// Mounts and stays until unmounted.
pub fn run(config: Config, options: MountOptions) -> Result<()> {
    let mounted = spawn(config, options.reread)?;
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
    let status = status::line(mounted.fs.catalogue());
    status::notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status(&status),
    ]);
    mounted.wait()
}

/// Restricts this process to what it needs, unless the configuration forbids that.
fn confine(config: &Config, source: &Source, silent: &[Silent]) -> Result<()> {
    if config.sandbox == config::Switch::Off {
        tracing::info!("sandbox: off");
        return Ok(());
    }
    let mut files = config.source.mail_crypt_keys.clone();
    files.extend(config.file.clone());
    let needs = sandbox::Needs {
        stores: stores(config, source, silent)?,
        written: written(config),
        files,
        restores: false,
    };
    enter_sandbox(&needs)
}

/// What is written by whoever keeps an index.
fn written(config: &Config) -> Vec<PathBuf> {
    let index = &config.index.path;
    std::iter::once(index.clone())
        .chain(begun::prepare(index))
        .collect()
}

/// The directories that mail is read from; in the place of one that does not answer, the nearest above it that does.
///
/// # Errors
/// [`Kind::Failed`] if that is `/`, which is too much to let in: another start may find it answering.
fn stores(config: &Config, source: &Source, silent: &[Silent]) -> Result<Vec<PathBuf>> {
    let named = source.snapshots.iter().chain(&config.source.live);
    let reached = named.map(|path| {
        let Some(silent) = silent.iter().find(|silent| silent.path == *path) else {
            return Ok(path.clone());
        };
        silent.reach().map(Path::to_path_buf).ok_or_else(|| {
            let message = format!(
                "{} does not answer, and is on a file system mounted directly below /, so the sandbox cannot let it in: mount \
                 that deeper, such as below /srv, or set sandbox = \"off\"",
                path.display()
            );
            Error::new(Kind::Failed, message)
        })
    });
    reached.collect()
}

fn enter_sandbox(needs: &sandbox::Needs) -> Result<()> {
    let level = sandbox::enter(needs).map_err(|e| {
        let cure = "sandbox = \"off\" in the configuration does without";
        Error::new(e.kind(), format!("{e}: {cure}"))
    })?;
    tracing::info!("sandbox: {level}");
    Ok(())
}

/// Restricts a process that serves pages and puts mail back to what these need, unless the configuration forbids that, or
/// mail may have to be put back by a program that has to be run. `path`: the directory of its databases; `silent`: what does not
/// answer, which must not be the live store if mail is put back there.
pub fn confine_portal(config: &Config, path: &Path, silent: &[Silent]) -> Result<()> {
    if config.sandbox == config::Switch::Off {
        tracing::info!("sandbox: off");
        return Ok(());
    }
    if runs_doveadm(config) {
        tracing::warn!(
            "sandbox: off, since restores may run doveadm as root: name the method under [restore], \"maildir\" or \"imap\""
        );
        return Ok(());
    }
    let source = source(config)?;
    let (portal, restore) = (&config.portal, &config.restore);
    let files = [
        &config.file,
        &portal.ca_file,
        &portal.smtp_password_file,
        &portal.templates,
        &restore.password_file,
        &restore.ca_file,
    ];
    let files = files.into_iter().flatten().cloned();
    let keys = config.source.mail_crypt_keys.iter().cloned();
    let as_files = matches!(restore.method, Method::Auto | Method::Maildir);
    let live = config.source.live.clone().filter(|_| as_files);
    if let Some(live) = live.as_ref().filter(|live| probe::is_among(silent, live)) {
        let cure = "see whether its file system's server does, or set restore.method to \"imap\"";
        let message = format!("source.live: {} does not answer: {cure}", live.display());
        return Err(Error::new(Kind::Unreadable, message));
    }
    let mut written = written(config);
    written.extend([path.to_owned(), logs(config)]);
    written.extend(live.clone());
    enter_sandbox(&sandbox::Needs {
        stores: stores(config, &source, silent)?,
        written,
        files: files.chain(keys).collect(),
        restores: live.is_some(),
    })
}

/// Whether putting mail back may run the Dovecot of this host, which root alone can.
fn runs_doveadm(config: &Config) -> bool {
    let restore = &config.restore;
    match restore.method {
        Method::Doveadm => true,
        Method::Maildir | Method::Imap => false,
        Method::Auto => {
            restore.imap.is_none()
                && config.source.format != Some(Format::MAILDIR)
                && rustix::process::geteuid().is_root()
                && has_doveadm()
        }
    }
}

/// Where the logs of restores are.
fn logs(config: &Config) -> PathBuf {
    let state = config.index.path.parent().unwrap_or(Path::new("/"));
    state.join("restores")
}

/// What a background mount says from now on goes to the log alone.
fn detach_output() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null")
        && let Err(e) = rustix::stdio::dup2_stdout(&null)
    {
        tracing::debug!("standard output stays open: {e}");
    }
}

/// The catalogue and the file system that a configuration means; what is `silent` is waited for later.
pub fn build(config: &Config, silent: &[Silent]) -> Result<Fs> {
    build_from(config, &source(config)?, None, silent)
}

fn build_from(
    config: &Config,
    source: &Source,
    about: Option<about::Template>,
    silent: &[Silent],
) -> Result<Fs> {
    let catalogue = catalogue(config, source, silent)?;
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
        bodies: config.index.bodies,
        language: config.language,
        about,
        live: config.source.live.clone(),
    };
    Fs::new(view(config)?, config.policy(), catalogue, options)
}

fn view(config: &Config) -> Result<View> {
    let was_begun = begun::was_begun(&config.index.path);
    let index = Index::open(&config.index.path);
    begun::note(&config.index.path, &index, was_begun);
    Ok(View {
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
        keys: keys(config)?,
        index: Arc::new(index),
        told: Arc::default(),
    })
}

/// What puts mail back, as a configuration means it, from those directories of snapshots that answer. Its logs are beside the index.
pub fn restorer(config: &Config) -> Result<Restorer> {
    let silent = probe::stores_beside_others(config)?;
    restorer_of(
        config,
        catalogue(config, &source(config)?, &silent)?.dates(),
    )
}

/// The same for dates that are known.
pub fn restorer_of(config: &Config, dates: Arc<Dates>) -> Result<Restorer> {
    let settings = &config.restore;
    let server = match (
        &settings.imap,
        &settings.master_user,
        &settings.password_file,
    ) {
        (None, ..) => None,
        (Some(address), Some(master_user), Some(password_file)) => Some(Server {
            address: address.clone(),
            master_user: master_user.clone(),
            password_file: password_file.clone(),
            ca_file: settings.ca_file.clone(),
        }),
        _ => {
            let message = "restore.imap: master_user and password_file are missing beside it: write them under [restore]";
            return Err(Error::new(Kind::Config, message));
        }
    };
    Ok(Restorer {
        view: view(config)?,
        dates,
        live: config.source.live.clone(),
        method: settings.method,
        server,
        logs: logs(config),
    })
}

/// The snapshots that the directories of a source hold, as the configuration dates and chooses them. All of them have to
/// answer, but for those that are `silent`.
pub fn catalogue(config: &Config, source: &Source, silent: &[Silent]) -> Result<Catalogue> {
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
        silent: silent.iter().map(|silent| silent.path.clone()).collect(),
        timeout: config.source.timeout,
    })
}

/// Where the configuration says mailboxes are, and what they are called.
pub fn layout(config: &Config) -> Result<mailbox::Layout> {
    let templates = config
        .source
        .mailboxes
        .iter()
        .map(|text| mailbox::hosting::templates(text));
    Ok(mailbox::Layout {
        templates: templates.collect::<Result<Vec<_>>>()?.concat(),
        name: config.source.mailbox_name.clone(),
        format: config.source.format,
        zone: config.timezone,
    })
}

/// The keys that the configuration names.
pub fn keys(config: &Config) -> Result<Keys> {
    Keys::read(&config.source.mail_crypt_keys)
}

/// The administrator's words for the text in each mailbox.
pub fn about(config: &Config) -> Result<Option<about::Template>> {
    let read = config.about.as_deref().map(about::Template::read);
    read.transpose()
        .map_err(|e| Error::new(e.kind(), format!("about.template: {e}")))
}

/// The directories of snapshots that a configuration means, and the path of the mail store inside each snapshot.
pub fn source(config: &Config) -> Result<Source> {
    match config.source.snapshots.as_slice() {
        // One directory may be a live one that has snapshots.
        [one] => source::resolve(one, &said(config)?),
        many => Ok(Source {
            snapshots: many.to_vec(),
            below: PathBuf::new(),
            why: "each is named in the configuration".into(),
        }),
    }
}

/// What the configuration says of its snapshot directories.
pub fn said(config: &Config) -> Result<Said> {
    let name = config.source.name.as_deref().map(Pattern::parse);
    Ok(Said {
        snapshots: !config.source.typed,
        name: name.transpose()?,
    })
}

/// Mounts; returns when the file system answers. SIGHUP takes over the access policy of what `reread` gives.
pub fn spawn(config: Config, reread: Option<Reread>) -> Result<Mounted> {
    let mountpoint = config.mountpoint.clone().ok_or_else(|| {
        Error::new(
            Kind::Config,
            "no mount point: set mountpoint in the configuration or name it after SOURCE",
        )
    })?;
    let mountpoint = point::free(&mountpoint)?;
    // Before any thread starts, so that none of them takes the signals.
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| failed("waiting for signals", &e))?;
    let name = config.source.snapshots.first();
    let name = name.map_or(OsStr::new("mailtm"), |path| path.as_os_str());
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
    confine(&config, &source, &silent)?;
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
    let by_session = end.clone();
    let session = std::thread::Builder::new()
        .name("mailtm-session".into())
        .spawn(move || {
            let result = session.serve();
            // Nobody listens any more if the mount ends by a signal.
            let _ = by_session.send(());
            result
        })
        .map_err(|e| failed("starting threads", &e))?;
    let (review, changes) = mpsc::channel();
    let forget: Forget = Arc::new(move |change| push_owners(&[change]));
    let mut reload = reread.map(|reread| Reload {
        fs: fs.clone(),
        config: config.clone(),
        reread,
        kernel: Some(Kernel {
            forget: forget.clone(),
            review: review.clone(),
        }),
    });
    let handle = signals.handle();
    std::thread::Builder::new()
        .name("mailtm-signals".into())
        .spawn(move || {
            for signal in &mut signals {
                if signal == SIGHUP {
                    if let Some(reload) = &mut reload {
                        reload.run();
                    }
                } else if end.send(()).is_err() {
                    return;
                }
            }
        })
        .map_err(|e| failed("starting threads", &e))?;
    let (quiet, new_snapshots) = match config.index.warm {
        config::Switch::Auto => {
            let started = Quiet::start(fs.clone()).map_err(|e| failed("starting threads", &e))?;
            (Some(started.0), Some(started.1))
        }
        config::Switch::Off => (None, None),
    };
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
        _watchdog: watchdog,
        _lateness: lateness,
        _metrics: metrics,
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
