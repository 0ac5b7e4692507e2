//! `mailtm mount`, and the same as `mount.mailtm`, as mount(8) calls it for `mount -t mailtm` and fstab.

mod background;
mod options;

use super::{Global, absolute, logging, usage, use_source};
use crate::config::{self, Config};
use crate::error::Result;
use crate::mount::MountOptions;
use clap::{Args, ColorChoice, Parser};
use options::Options;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Mount the backups; stay in the foreground until unmounted
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Mount options, separated by commas: config=FILE; granularity=, timezone=, keep_days=, refresh=, names= and
    /// hide_unreadable= as in the configuration; the usual ones of mount(8)
    #[arg(short, value_name = "OPTS")]
    options: Vec<String>,
    /// Return when the mount is ready
    #[arg(long)]
    background: bool,
    /// Be the process that stays when `--background` returns
    #[arg(long, hide = true, conflicts_with = "background")]
    detached: bool,
    /// Where to mount, if no SOURCE stands before it
    #[arg(long, hide = true, value_name = "MOUNTPOINT", conflicts_with_all = ["source", "mountpoint"])]
    at: Option<PathBuf>,
    /// What mount(8) calls the device
    #[arg(
        long,
        hide = true,
        value_name = "DEVICE",
        requires = "detached",
        allow_hyphen_values = true
    )]
    device: Option<OsString>,
    /// Directory of snapshots, or a live directory that has one
    #[arg(value_name = "SOURCE")]
    source: Option<PathBuf>,
    /// Where to mount
    #[arg(value_name = "MOUNTPOINT")]
    mountpoint: Option<PathBuf>,
}

/// Mount a mail server's snapshots as backups by date, as mount(8) asks for it
#[derive(Debug, Parser)]
#[command(name = "mount.mailtm", version, max_term_width = 100)]
pub(super) struct Helper {
    /// Directory of snapshots, or a configuration file; "none" or "mailtm" for the configured snapshots
    source: PathBuf,
    /// Where to mount
    mountpoint: PathBuf,
    /// Pass over unknown mount options
    #[arg(short)]
    sloppy: bool,
    /// Do everything but mount
    #[arg(short)]
    fake: bool,
    /// Do not write /etc/mtab; there is none to write
    #[arg(short)]
    no_mtab: bool,
    /// Say more
    #[arg(short)]
    verbose: bool,
    /// Mount options, separated by commas
    #[arg(short = 'o', value_name = "OPTS")]
    options: Vec<String>,
    /// Type of the file system
    #[arg(short = 't', value_name = "TYPE")]
    kind: Option<String>,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let unknown = match self.detached {
            // Whoever started it has judged them.
            true => |_: &Options| Ok(()),
            false => Options::refuse_unknown,
        };
        let (config, settled) = self.settle(unknown)?;
        if settled.background {
            return background::start(&settled, global, true);
        }
        if settled.detached {
            background::detach()?;
        }
        let (background, device) = (settled.detached, settled.device.clone());
        let file = config.file.clone();
        let reread = move || settled.configure(file.as_deref());
        let options = MountOptions {
            background,
            reread: Some(Box::new(reread)),
            device,
        };
        crate::mount::run(config, options)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The configuration that these arguments mean; and the arguments with every path absolute, so that they mean
    /// the same in another process.
    fn settle(mut self, unknown: impl FnOnce(&Options) -> Result<()>) -> Result<(Config, Self)> {
        let options = Options::parse(&self.options);
        unknown(&options)?;
        self.mountpoint = self.mountpoint.or(self.at.take());
        for path in [&mut self.config, &mut self.source, &mut self.mountpoint] {
            *path = path.as_deref().map(absolute).transpose()?;
        }
        let file = match (&self.config, &options.config) {
            (Some(_), Some(_)) => {
                return usage(
                    "the configuration file is named twice, by --config and by -o config=",
                );
            }
            (Some(file), None) => Some(file.clone()),
            (None, Some(file)) => Some(absolute(file)?),
            (None, None) => None,
        };
        let config = self.configure(file.as_deref())?;
        if config.mountpoint.is_none() {
            return usage(match &self.source {
                Some(source) => format!(
                    "where to mount {}? Name the mount point after it, or set mountpoint in the configuration",
                    source.display()
                ),
                None => "where to mount? Name SOURCE and MOUNTPOINT, or set mountpoint in the configuration".to_owned(),
            });
        }
        config.require_snapshots()?;
        Ok((config, self))
    }

    /// The configuration file, and what the command line says instead.
    fn configure(&self, file: Option<&Path>) -> Result<Config> {
        let mut config = config::load(file)?;
        Options::parse(&self.options).apply(&mut config)?;
        use_source(&mut config, self.source.as_deref())?;
        if let Some(mountpoint) = &self.mountpoint {
            config.mountpoint = Some(mountpoint.clone());
        }
        Ok(config)
    }
}

/// Whether what mount(8) calls the device names nothing.
pub(super) fn is_word(device: &Path) -> bool {
    [Path::new("none"), Path::new("mailtm")].contains(&device)
}

impl Helper {
    pub(super) fn global(&self) -> Global {
        Global {
            verbose: u8::from(self.verbose),
            quiet: 0,
            log: logging::Format::Text,
            color: ColorChoice::Auto,
        }
    }

    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let (sloppy, fake, verbose) = (self.sloppy, self.fake, self.verbose);
        let (_, settled) = self.arguments().settle(|options| {
            if sloppy {
                options.warn_of_unknown();
                return Ok(());
            }
            options.refuse_unknown()
        })?;
        if fake {
            return Ok(ExitCode::SUCCESS);
        }
        background::start(&settled, global, verbose)
    }

    /// The same said to `mailtm mount`. What mount(8) calls the device is snapshots or a configuration.
    fn arguments(self) -> Arguments {
        let is_word = is_word(&self.source);
        // What /proc/mounts has must be what fstab has, or mount(8) would not know that it is mounted.
        let device = Some(self.source.clone().into());
        let is_config =
            self.source.extension().is_some_and(|e| e == "toml") || self.source.is_file();
        let (config, source) = match (is_word, is_config) {
            (true, _) => (None, None),
            (false, true) => (Some(self.source), None),
            (false, false) => (None, Some(self.source)),
        };
        Arguments {
            config,
            options: self.options,
            background: true,
            detached: false,
            at: None,
            device,
            source,
            mountpoint: Some(self.mountpoint),
        }
    }
}

#[cfg(test)]
mod tests;
