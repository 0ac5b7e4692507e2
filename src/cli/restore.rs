//! `mailtm restore`: puts back what a backup has and the mailbox has not any more.
//!
//! Without `--apply` it says what would be done and changes nothing. Exit code: 0 done, 1 if some of it could not be put, 2
//! if there is no such date, mailbox, folder or message, or it isn't configured how to put mail back, 3 if some of the
//! backup could not be read.
//!
//! # The JSON object
//!
//! | key | what it holds |
//! | --- | --- |
//! | `date`, `mailbox`, `method` | what is put back into what, and how: `maildir`, `doveadm` or `imap` |
//! | `create`, `already_there`, `unreadable` | messages; of the last, folders too |
//! | `moved_to` | messages that are in another folder, by its name |
//! | `folders` | the same for each folder of the backup: `folder`, `into`, `create`, `already_there`, `moved_to`, `unreadable` |
//! | `unreadable_names` | `folder`, `message` (`null`: the whole folder), `error` |
//! | `created` | with `--apply`: messages that were put |
//! | `unread` | with `--apply`: messages that turned out unreadable, as in `unreadable_names` |
//! | `refused` | with `--apply`: folders that could not be written: `folder`, `messages`, `error` |
//! | `made`, `losses`, `log` | with `--apply`: folders that were made; what could not be kept; path of the log, or `null` |
//!
//! With `--undo`: `mailbox`, `log`, `remove`, `changed`, `gone`.

use super::progress::stop_on_signals;
use super::terminal::printable_line as printable;
use super::{Global, PARTLY_DONE, failed, print, usage};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::restore::{FolderPlan, Outcome, Plan, Progress, Request, Undone, Unreadable};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Put back what a backup has and the mailbox has not any more; without --apply, only say what would be done
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Date of the backup as it is shown, or "latest"
    #[arg(long, value_name = "DATE", required_unless_present = "undo")]
    date: Option<String>,
    /// Mailbox as it is shown
    #[arg(long, value_name = "MAILBOX", required_unless_present = "undo")]
    mailbox: Option<String>,
    /// Folder as it is shown, such as Archive/2024, with all below it [default: all]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<String>,
    /// ID in the brackets of a message's name; may be given several times [default: all messages]
    #[arg(long, value_name = "ID")]
    message: Vec<String>,
    /// Put everything into this folder [default: the folders that the messages were in]
    #[arg(long, value_name = "FOLDER")]
    into: Option<String>,
    /// Take away again what the run of this log has put, if nobody has changed it
    #[arg(long, value_name = "LOG", conflicts_with_all = ["date", "mailbox", "folder", "message", "into"])]
    undo: Option<PathBuf>,
    /// Do it
    #[arg(long)]
    apply: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<ExitCode> {
    let config = config::load(arguments.config.as_deref())?;
    config.require_snapshots()?;
    let restorer = crate::mount::restorer(&config)?;
    if let Some(log) = &arguments.undo {
        let undone = restorer.undo(log, arguments.apply)?;
        say(arguments.json, &undone, |undone| {
            undone_text(undone, arguments.apply)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(date), Some(mailbox)) = (&arguments.date, &arguments.mailbox) else {
        return usage("--date and --mailbox are needed");
    };
    let plan = restorer.plan(&Request {
        date: date.clone(),
        taken: None,
        mailbox: mailbox.clone(),
        folder: arguments.folder.clone(),
        messages: arguments.message.clone(),
        into: arguments.into.clone(),
    })?;
    if !arguments.apply {
        say(arguments.json, &plan, |plan| {
            let cure = match plan.create {
                0 => "Nothing is missing.\n",
                _ => "Nothing was changed; with --apply, this is done.\n",
            };
            plan_text(plan) + cure
        })?;
        return Ok(match plan.unreadable {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(PARTLY_DONE),
        });
    }
    let stop = stop_on_signals()?;
    let bar = bar(global.quiet == 0 && io::stderr().is_terminal());
    let outcome = restorer.apply(&plan, |progress: &Progress| {
        bar.set_length(progress.messages);
        bar.set_position(progress.done);
        !stop.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    let outcome = outcome?;
    say(arguments.json, &outcome, outcome_text)?;
    if !outcome.refused.is_empty() {
        let messages: u64 = outcome.refused.iter().map(|refused| refused.messages).sum();
        let message = format!(
            "{messages} messages were not put back, as said above; set that right, and run this again"
        );
        return Err(Error::new(Kind::Failed, message));
    }
    Ok(match outcome.is_partial() {
        false => ExitCode::SUCCESS,
        true => ExitCode::from(PARTLY_DONE),
    })
}

/// A progress bar over messages.
pub(super) fn bar(shown: bool) -> ProgressBar {
    let target = match shown {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} messages, {per_sec}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(0), target);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Prints a result as JSON or as text.
pub(super) fn say<T: Serialize>(
    json: bool,
    result: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    if !json {
        return print(text(result));
    }
    let json = serde_json::to_string(result);
    print(json.map_err(|e| failed(&io::Error::from(e), "writing JSON"))? + "\n")
}

pub(super) fn plan_text(plan: &Plan) -> String {
    let mut text = format!(
        "{}, as of {}, by {}\n",
        printable(&plan.mailbox),
        plan.date,
        plan.method
    );
    for folder in &plan.folders {
        let _ = writeln!(text, "  {}", folder_text(folder));
    }
    for unreadable in &plan.unreadable_names {
        let _ = writeln!(text, "  unreadable: {}", unreadable_text(unreadable));
    }
    let sum = FolderPlan {
        create: plan.create,
        already_there: plan.already_there,
        moved_to: plan.moved_to.clone(),
        unreadable: plan.unreadable,
        ..FolderPlan::default()
    };
    let _ = writeln!(text, "In all: {}", counts(&sum));
    text
}

fn folder_text(folder: &FolderPlan) -> String {
    let into = match folder.folder == folder.into {
        true => String::new(),
        false => format!(" into {}", printable(&folder.into)),
    };
    format!("{}{into}: {}", printable(&folder.folder), counts(folder))
}

fn counts(folder: &FolderPlan) -> String {
    let mut parts = vec![
        format!("{} to create", folder.create),
        format!("{} already there", folder.already_there),
    ];
    for (to, count) in &folder.moved_to {
        parts.push(format!("{count} moved to {}", printable(to)));
    }
    if folder.unreadable > 0 {
        parts.push(format!("{} unreadable", folder.unreadable));
    }
    parts.join(", ")
}

fn unreadable_text(unreadable: &Unreadable) -> String {
    let message = unreadable.message.as_deref().unwrap_or("the whole folder");
    format!(
        "{}/{}: {}",
        printable(&unreadable.folder),
        printable(message),
        printable(&unreadable.error)
    )
}

fn outcome_text(outcome: &Outcome) -> String {
    let mut text = plan_text(&outcome.plan);
    for folder in &outcome.made {
        let _ = writeln!(text, "new folder: {}", printable(folder));
    }
    for unread in &outcome.unread {
        let _ = writeln!(text, "unreadable: {}", unreadable_text(unread));
    }
    for refused in &outcome.refused {
        let _ = writeln!(
            text,
            "not written: {}: {}",
            printable(&refused.folder),
            printable(&refused.error)
        );
    }
    for loss in &outcome.losses {
        let _ = writeln!(text, "not kept: {loss}");
    }
    let _ = writeln!(text, "Done: {} created", outcome.created);
    if let Some(log) = &outcome.log {
        let log = log.display();
        let _ = writeln!(
            text,
            "Log: {log}\nThe way back: mailtm restore --undo {log} --apply"
        );
    }
    text
}

fn undone_text(undone: &Undone, done: bool) -> String {
    let removed = match done {
        true => "removed",
        false => "to remove; with --apply, this is done",
    };
    let mut text = format!(
        "{}: {} {removed}\n",
        printable(&undone.mailbox),
        undone.remove
    );
    if undone.changed > 0 {
        let _ = writeln!(
            text,
            "{} stay, for they have been changed since",
            undone.changed
        );
    }
    if undone.gone > 0 {
        let _ = writeln!(text, "{} are not where they were put", undone.gone);
    }
    text
}
