//! From a configuration to what it means: snapshots, the file system of them, what puts mail back.

use super::begun;
use super::probe::{self, Silent};
use crate::config::{self, Config};
use crate::error::{Error, Kind, Result};
use crate::fs::{self, Fs, MboxListed};
use crate::index::Index;
use crate::message::mboxrd::FlagLines;
use crate::restore::{Method, Restorer, Server};
use crate::snapshot::pattern::Pattern;
use crate::snapshot::source::{self, Said, Source};
use crate::snapshot::{self, Catalogue, Dates};
use crate::store::decode::Keys;
use crate::view::{self, View, about, mailbox};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes for folder listings in memory.
const LISTING_BYTES: usize = 40 << 20;

/// The catalogue and the file system that a configuration means; what is `silent` is waited for later.
pub fn build(config: &Config, silent: &[Silent]) -> Result<Fs> {
    build_from(config, &source(config)?, None, silent)
}

/// The same from directories that were found, with the administrator's words for the text in each mailbox.
pub(super) fn build_from(
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
        keys: Arc::new(keys(config)?),
        index: Arc::new(index),
        told: Arc::default(),
    })
}

/// What puts mail back, as a configuration means it, from those directories of snapshots that answer. Its logs are beside the index.
pub fn restorer(config: &Config) -> Result<Restorer> {
    let silent = probe::stores_beside_others(config)?;
    let as_files = matches!(config.restore.method, Method::Auto | Method::Maildir);
    let live = config.source.live.as_ref().filter(|_| as_files);
    if let Some(live) = live.filter(|live| probe::is_among(&silent, live)) {
        return Err(probe::unanswered_live(live));
    }
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
    Keys::read(&config.source.mail_crypt_keys).map_err(|e| config.placed(&e))
}

/// The administrator's words for the text in each mailbox.
pub fn about(config: &Config) -> Result<Option<about::Template>> {
    let read = config.about.as_deref().map(about::Template::read);
    read.transpose()
        .map_err(|e| config.placed(&e.context("about.template")))
}

/// The directories of snapshots that a configuration means, and the path of the mail store inside each snapshot.
pub fn source(config: &Config) -> Result<Source> {
    found_source(config).map_err(|e| match config.source.typed {
        true => e,
        false => config.placed(&e.context("source.snapshots")),
    })
}

/// The same, with an error that says nothing of the configuration.
pub fn found_source(config: &Config) -> Result<Source> {
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

/// Where the logs of restores are.
pub(super) fn logs(config: &Config) -> PathBuf {
    let state = config.index.path.parent().unwrap_or(Path::new("/"));
    state.join("restores")
}
