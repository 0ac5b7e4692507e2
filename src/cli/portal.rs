//! `mailtm portal`: the same mail as pages in a browser.

use super::{failed, requests, usage};
use crate::config::{self, Config};
use crate::error::{Error, Kind, Result};
use crate::mount::{Following, Growing, Reload, probe};
use crate::portal::{self, Asked, Options, Sockets, State};
use crate::requests::Worker;
use clap::Args;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use sd_notify::NotifyState;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Serve the backups as pages in a browser; stay in the foreground
///
/// People sign in with the address and password of their mailbox, which the mail server of `auth` under [portal] checks. Listens on
/// `listen`, or on the sockets that systemd hands over. TLS is the business of the proxy in front.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = config::load(arguments.config.as_deref())?;
    config.require_snapshots()?;
    let options = options(&config)?;
    let post = requests::post(&config)?;
    let metrics = options.metrics.map(listen).transpose()?;
    let sockets = Sockets {
        portal: sockets(config.portal.listen)?,
        metrics,
    };
    // Before any store is read, and any thread started.
    let silent = probe::stores(&config)?;
    crate::mount::confine_portal(&config, &options.path, &silent)?;
    let fs = Arc::new(crate::mount::build(&config, &silent)?);
    let following = fs.clone();
    let _watch = fs.catalogue().watch(move |changes| {
        if let Err(e) = following.update(&changes) {
            tracing::warn!("new snapshots are not shown: {e}");
        }
    })?;
    // There is no kernel here that remembers anything.
    let _following = Following::start(fs.clone(), Arc::new(|_| ()), config.refresh)
        .map_err(|e| failed(&e, "starting threads"))?;
    let _growing = Growing::start(fs.clone(), Arc::new(|_| ()), || ())
        .map_err(|e| failed(&e, "starting threads"))?;
    let preparing = fs.clone();
    std::thread::Builder::new()
        .name("mailtm-prepare".into())
        .spawn(move || preparing.prepare())
        .map_err(|e| failed(&e, "starting threads"))?;
    let dates = fs.catalogue().dates().shown.len();
    let store = Arc::new(requests::store(&config)?);
    let file = config.file.clone();
    let reload = Mutex::new(Reload {
        fs: fs.clone(),
        config: config.clone(),
        reread: Box::new(move || config::load(file.as_deref())),
        kernel: None,
    });
    let reload = move || reload.lock().unwrap_or_else(PoisonError::into_inner).run();
    let config = Arc::new(config);
    let restorers = || {
        let (config, fs) = (config.clone(), fs.clone());
        Box::new(move || crate::mount::restorer_of(&config, fs.catalogue().dates()))
    };
    let worker = Arc::new(Worker::start(store.clone(), post, restorers())?);
    let told = worker.clone();
    let asked = Asked {
        requests: store,
        restorers: restorers(),
        decided: Box::new(move || told.nudge()),
    };
    let state = Arc::new(State::new(fs, asked, Box::new(reload), options)?);
    let at: Vec<String> = sockets.portal.iter().filter_map(address).collect();
    let metrics = sockets.metrics.iter().filter_map(address);
    let metrics: Vec<String> = metrics
        .map(|at| format!("; metrics: {at}/metrics"))
        .collect();
    portal::serve(&state, sockets, || {
        let line = format!(
            "mailtm: portal is ready: {}{}; {dates} dates\n",
            at.join(" "),
            metrics.concat()
        );
        let mut out = io::stdout();
        // A starter that does not listen is no reason to stop.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        let ready = [NotifyState::Ready, NotifyState::Status("Serving")];
        if let Err(e) = sd_notify::notify(&ready) {
            tracing::debug!("systemd was not told: {e}");
        }
    })?;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    Ok(ExitCode::SUCCESS)
}

/// What the configuration tells the portal.
fn options(config: &Config) -> Result<Options> {
    let portal = &config.portal;
    let Some(auth) = portal.auth.clone() else {
        let message = "portal.auth: missing: write auth = \"imaps://mail.example.com\" under [portal], the mail server that \
                       knows the passwords";
        return usage(config.mistake(message).to_string());
    };
    Ok(Options {
        metrics: portal.metrics,
        auth,
        ca_file: portal.ca_file.clone(),
        admins: portal.admins.clone(),
        url: portal.url.clone(),
        cost: portal.cost.clone(),
        path: requests::directory(config),
        language: config.language,
        timeout: config.source.timeout,
    })
}

/// The sockets that systemd hands over, or else one of our own.
fn sockets(listen_at: SocketAddr) -> Result<Vec<TcpListener>> {
    let wrong = |e: &io::Error| {
        let cure = "see the unit mailtm-portal.socket";
        Error::new(Kind::Failed, format!("a socket of systemd's: {e}: {cure}"))
    };
    let given = sd_notify::listen_fds().map_err(|e| wrong(&e))?;
    if given.len() == 0 {
        return Ok(vec![listen(listen_at)?]);
    }
    let this = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|e| wrong(&e.into()))?;
    given
        .map(|fd| {
            let fd = pidfd_getfd(&this, fd, PidfdGetfdFlags::empty());
            let socket = TcpListener::from(fd.map_err(|e| wrong(&e.into()))?);
            socket.local_addr().map_err(|e| wrong(&e))?;
            Ok(socket)
        })
        .collect()
}

fn listen(at: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(at).map_err(|e| {
        let cure = "set another listen or metrics under [portal], or stop what listens there";
        Error::new(
            Kind::Failed,
            format!("portal: listening on {at}: {e}: {cure}"),
        )
    })
}

fn address(socket: &TcpListener) -> Option<String> {
    let at = socket.local_addr().ok()?;
    Some(format!("http://{at}"))
}
