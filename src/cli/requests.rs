//! `mailtm requests`: from a shell, what administrators do on the panel: see what people asked for, approve, decline.
//!
//! What is approved is carried out by whoever's turn it is: the portal if it runs, else this command itself. Who decides
//! is noted by the name of his Unix user.
//!
//! Exit code of `approve`: 0 done, 3 if some of it could not be read or put back, 1 if it failed or has no outcome yet. Of all:
//! 1 if there is no such request or it is decided already.
//!
//! # The JSON objects
//!
//! `list` prints a list of objects with the keys of the first table, `show` one with those of both; so do `approve` and
//! `decline`, without `plan`. Times are RFC 3339.
//!
//! | key | what it holds |
//! | --- | --- |
//! | `id`, `state` | its number; `pending`, `approved`, `running`, `done`, `partial`, `failed`, `declined` or `lapsed` |
//! | `mailbox`, `asked_by`, `asked` | whose mail, who asked, when |
//! | `date`, `snapshot_time`, `expires` | the backup, its time, and the last day on which it is shown (or `null`) |
//! | `folder`, `message_count`, `into` | `null`: all folders; 0: all messages; `null`: the folders that they were in |
//! | `note`, `language`, `cost` | what the person wrote, and is written in; the cost as it was shown |
//! | `decided_by`, `decided`, `why`, `ended` | who approved or declined, and when; why it was declined, failed or lapsed; since when nothing changes |
//! | `report` | once it was carried out: `created`, `already_there`, `moved`, `unreadable` (`unread`), `refused` (`refusals`), `losses`, `log` |
//!
//! | key | what it holds |
//! | --- | --- |
//! | `messages` | the IDs that were named |
//! | `events` | every change of state: `at`, `who`, `from`, `to`, `why` |
//! | `letters` | `kind`, `recipient`, `queued`, `sent`, `attempts`, `abandoned`, `trouble` |
//! | `trouble` | what carrying it out has failed of, if it is tried again |
//! | `plan` | of one that is not carried out yet: what would be done, as `mailtm restore` has it; `null` if that is not known |

mod text;

use super::progress::stop_on_signals;
use super::restore::{bar, say};
use super::{Global, PARTLY_DONE, print, usage};
use crate::config::{self, Config};
use crate::error::{Error, Kind, Result};
use crate::requests::{
    Details, Filter, Id, Options, Post, Request, Smtp, State, Step, Store, Style, Turn, Worker,
};
use crate::restore::{Plan, Progress};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often it is looked whether something has changed.
const PULSE: Duration = Duration::from_millis(200);

/// See what people asked to be put back, and approve or decline it
///
/// Users ask on the pages of the portal. What they ask for waits until an administrator approves or declines it, there or
/// here; they get the outcome by e-mail.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List requests, the newest first
    List {
        /// Those in this state: pending, approved, running, done, partial, failed, declined or lapsed [default: all]
        #[arg(long, value_name = "STATE", value_parser = |name: &str| State::named(name))]
        state: Option<State>,
        /// As a table for accounting: who asked, who decided, what it costs
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a request, what has become of it, and what carrying it out would do
    Show {
        /// Its number
        #[arg(value_name = "ID")]
        id: Id,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Approve a request: put back what it asks for, and tell who asked
    Approve {
        /// Its number
        #[arg(value_name = "ID")]
        id: Id,
        /// How long to wait for the outcome; it is carried out in any case
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        timeout: u64,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Decline a request, and tell who asked
    Decline {
        /// Its number
        #[arg(value_name = "ID")]
        id: Id,
        /// Why; who asked gets to read it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Carry out what is approved and send letters until stopped, where no portal does
    Work {
        /// Do what there is to do now, and end
        #[arg(long)]
        once: bool,
    },
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<ExitCode> {
    let config = config::load(arguments.config.as_deref())?;
    let store = store(&config)?;
    match &arguments.action {
        Action::List { state, csv, json } => {
            let filter = Filter {
                state: *state,
                ..Filter::default()
            };
            if *csv {
                print(store.csv(&filter)?)?;
            } else {
                let found = store.list(&filter)?;
                say(*json, &found, |found: &Vec<Request>| {
                    text::table(found, config.timezone)
                })?;
            }
        }
        Action::Show { id, json } => show(&config, &store, *id, *json)?,
        Action::Approve { id, timeout, json } => {
            let post = post(&config)?;
            config.require_snapshots()?;
            let patience = Duration::from_secs(*timeout);
            let details = approve(&config, &store, &post, *id, patience, global)?;
            say(*json, &details, |details| {
                text::request(details, config.timezone)
            })?;
            return match details.request.state {
                State::Done => Ok(ExitCode::SUCCESS),
                State::Partial => Ok(ExitCode::from(PARTLY_DONE)),
                state => {
                    let why = details.request.why.unwrap_or_default();
                    let message = format!("request {id} is {state}: {why}");
                    Err(Error::new(Kind::Failed, message))
                }
            };
        }
        Action::Decline { id, reason, json } => {
            if reason.trim().is_empty() {
                return usage("--reason: is empty: write why, as who asked gets to read it");
            }
            let post = post(&config)?;
            let stop = stop_on_signals()?;
            store.decline(*id, &who()?, reason)?;
            if let Some(turn) = Turn::take(&store.options().dir)? {
                post.deliver(&store, &turn, || stop.load(Ordering::Relaxed))?;
            }
            say(*json, &store.get(*id)?, |details| {
                text::request(details, config.timezone)
            })?;
        }
        Action::Work { once } => {
            let post = post(&config)?;
            config.require_snapshots()?;
            let stop = stop_on_signals()?;
            match once {
                true => work_once(&config, &store, &post, &stop)?,
                false => work(config, store, post, &stop)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the portal keeps what it has to keep: sessions, and requests.
pub(super) fn directory(config: &Config) -> PathBuf {
    let beside = || {
        let above = config.index.path.parent().unwrap_or(Path::new("/"));
        above.join("portal")
    };
    config.portal.path.clone().unwrap_or_else(beside)
}

/// The database of requests that a configuration means.
pub(super) fn store(config: &Config) -> Result<Store> {
    Store::open(Options {
        dir: directory(config),
        admins: config.portal.admins.clone(),
        language: config.language,
        zone: config.timezone,
        keep_days: config.keep_days,
        cost: config.portal.cost.clone(),
        keep_requests: Some(config.portal.keep_requests),
    })
}

/// What writes and sends letters, as a configuration says.
pub(super) fn post(config: &Config) -> Result<Post> {
    post_or_mistakes(config).or_else(|wrong| {
        let told = wrong.iter().map(|e| config.placed(e).to_string());
        usage(told.collect::<Vec<_>>().join("\n"))
    })
}

/// The same, or all that is wrong with it.
pub(super) fn post_or_mistakes(config: &Config) -> Result<Post, Vec<Error>> {
    let portal = &config.portal;
    let style = Style {
        templates: portal.templates.clone(),
        from: portal.from.clone(),
        url: portal.url.clone(),
        zone: config.timezone,
    };
    let smtp = portal.smtp.clone().map(|server| Smtp {
        server,
        user: portal.smtp_user.clone(),
        password_file: portal.smtp_password_file.clone(),
        ca_file: portal.ca_file.clone(),
    });
    Post::new(&style, smtp)
}

/// The name of the Unix user who runs this.
fn who() -> Result<String> {
    let name = uzers::get_current_username();
    let name = name.ok_or_else(|| {
        let uid = uzers::get_current_uid();
        let message = format!(
            "uid {uid} has no name: decide as a user with one, for it is noted who has decided"
        );
        Error::new(Kind::Failed, message)
    })?;
    Ok(name.to_string_lossy().into_owned())
}

/// A request, and what would be done.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    details: &'a Details,
    plan: Option<Plan>,
}

fn show(config: &Config, store: &Store, id: Id, json: bool) -> Result<()> {
    let details = store.get(id)?;
    let mut plan = None;
    if !details.request.state.is_final() {
        let planned = config
            .require_snapshots()
            .and_then(|()| crate::mount::restorer(config))
            .and_then(|restorer| store.plan(id, &restorer));
        match planned {
            Ok(found) => plan = Some(found),
            Err(e) => tracing::warn!("what would be done is not known: {e}"),
        }
    }
    let shown = Shown {
        details: &details,
        plan,
    };
    say(json, &shown, |shown| {
        let mut text = text::request(shown.details, config.timezone);
        if let Some(plan) = &shown.plan {
            text.push_str(&text::plan(plan));
        }
        text
    })
}

/// Approves a request and waits for the outcome; carries it out if nobody else does.
fn approve(
    config: &Config,
    store: &Store,
    post: &Post,
    id: Id,
    patience: Duration,
    global: &Global,
) -> Result<Details> {
    let stop = stop_on_signals()?;
    let is_stopped = || stop.load(Ordering::Relaxed);
    let dir = &store.options().dir;
    let mut turn = Turn::take(dir)?;
    if let Some(turn) = &turn {
        // What has expired this minute is not approved any more.
        store.lapse(turn, &crate::mount::restorer(config)?.dates)?;
    }
    store.approve(id, &who()?)?;
    let shown = global.quiet == 0 && io::stderr().is_terminal();
    let start = Instant::now();
    let mut wait = Duration::ZERO;
    let details = loop {
        let details = store.get(id)?;
        if details.request.state.is_final() {
            break details;
        }
        if is_stopped() || start.elapsed() > patience {
            return Err(Error::new(
                Kind::Failed,
                format!(
                    "request {id} is approved and has no outcome yet: the portal goes on with it, or `mailtm requests \
                     work`; `mailtm requests show {id}` says how far it is"
                ),
            ));
        }
        std::thread::sleep(wait.min(PULSE));
        wait = wait.saturating_sub(PULSE);
        if turn.is_none() {
            turn = Turn::take(dir)?;
            wait = wait.max(PULSE);
        }
        let Some(turn) = turn.as_ref().filter(|_| wait.is_zero()) else {
            continue;
        };
        let bar = bar(shown);
        let restorer = || crate::mount::restorer(config);
        let step = store.carry_out(id, turn, restorer, |progress: &Progress| {
            bar.set_length(progress.messages);
            bar.set_position(progress.done);
            !is_stopped()
        });
        bar.finish_and_clear();
        if let Step::Again { seconds } = step? {
            wait = Duration::from_secs(seconds);
        }
    };
    if let Some(turn) = &turn {
        post.deliver(store, turn, is_stopped)?;
    }
    // With what became of the letters.
    store.get(id).or(Ok(details))
}

fn work_once(config: &Config, store: &Store, post: &Post, stop: &AtomicBool) -> Result<()> {
    let Some(turn) = Turn::take(&store.options().dir)? else {
        tracing::info!("another process works on requests: nothing is left to do here");
        return Ok(());
    };
    let is_stopped = || stop.load(Ordering::Relaxed);
    store.lapse(&turn, &crate::mount::restorer(config)?.dates)?;
    store.forget_old(&turn)?;
    while let Some(id) = store.next_to_carry_out()? {
        let restorer = || crate::mount::restorer(config);
        if store.carry_out(id, &turn, restorer, |_| !is_stopped())? == Step::Stopped {
            return Ok(());
        }
    }
    post.deliver(store, &turn, is_stopped)?;
    Ok(())
}

fn work(config: Config, store: Store, post: Post, stop: &AtomicBool) -> Result<()> {
    let restorers = Box::new(move || crate::mount::restorer(&config));
    let worker = Worker::start(Arc::new(store), post, restorers)?;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(PULSE);
    }
    drop(worker);
    Ok(())
}
