//! What this process is confined to: what a configuration names, and nothing else.

use super::build::{logs, source};
use super::probe::{self, Silent};
use super::{begun, sandbox};
use crate::config::{self, Config};
use crate::error::{Error, Kind, Result};
use crate::restore::Method;
use crate::restore::imap::transport::has_doveadm;
use crate::snapshot::source::Source;
use crate::store::Format;
use std::path::{Path, PathBuf};

/// Restricts this process to what it needs, unless the configuration forbids that.
pub(super) fn confine_mount(config: &Config, source: &Source, silent: &[Silent]) -> Result<()> {
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
