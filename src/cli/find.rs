//! `mailtm find`: which messages there are on any date, since when they are gone, and the path to open.
//!
//! What is searched is an index of all dates. What it does not have yet is learned first, so the first search of a store
//! takes as long as `mailtm warm`, and the first one after a new snapshot as long as what changed. The caller, as his real
//! user and groups, finds what is in mailboxes that he may enter.
//!
//! Exit code: 0 also if nothing was found, 3 if some mail that might have been meant could not be read.
//!
//! # The JSON object
//!
//! | key | what it holds |
//! | --- | --- |
//! | `mailboxes` | how many were searched |
//! | `found` | messages, the newest first; each with the keys below |
//! | `more` | whether there are more than `--limit` |
//! | `unreadable` | `count` of messages that could not be read, and so not searched, and `examples` of their paths |
//! | `incomplete` | `count` of mailboxes on a date not all of which could be read, and `examples` (`date/mailbox`) |
//! | `silent` | directories of snapshots that do not answer, whose dates were not searched, and the live store if it does not |
//! | `behind` | whether another process is learning new dates, which are not all searched yet |
//!
//! | key of a message | what it holds |
//! | --- | --- |
//! | `mailbox` | its name |
//! | `from`, `to`, `subject` | text; `to` is To, Cc and Bcc; the first 500 characters of each |
//! | `attachments` | file names |
//! | `received` | INTERNALDATE in local time, RFC 3339 |
//! | `size` | bytes |
//! | `first_date`, `last_date` | the first and the last date that have it |
//! | `folder` | the one that it is in now, in the live store or else on the newest date; `null`: it is gone |
//! | `gone_since` | the first date that no longer has it in any folder, or that of the look at the live store; `null`: it is still there |
//! | `path` | of the message on the last date that has it, below the mount point if there is one, else below the root of the tree |
//! | `places` | where it stood, the last one last: `folder`, `name`, `first_date`, `last_date`, how many `dates`, whether it is `present`, `path` |

mod report;

use super::progress::{Bar, stop_on_signals};
use super::{Global, PARTLY_DONE, failed, print, usage, use_source};
use crate::config::{self, Config};
use crate::error::{Error, Kind, Result};
use crate::fs::search::{Answer, Asker, Request};
use crate::index::search::{Field, Query, Term};
use crate::message::words;
use crate::mount::probe;
use chrono::{Days, NaiveDate, NaiveTime};
use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use report::Report;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Find messages on all dates: which there are, since when they are gone, and the path to open
///
/// Words are found in senders, recipients, subjects and names of attachments, whatever their capitals and accents, also as
/// the beginning of a longer word. Words in one argument ("annual report") stand side by side. All that is asked for must
/// hold.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of snapshots, or a live directory that has one
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Mailboxes by name; `*` and `?` stand for other characters
    #[arg(short, long, value_name = "NAME")]
    mailbox: Vec<String>,
    /// Folder as it is shown, such as Archive/2024, with the folders below it
    #[arg(short = 'F', long)]
    folder: Option<String>,
    /// Words in From
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    from: Vec<String>,
    /// Words in To, Cc or Bcc
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    to: Vec<String>,
    /// Words in the subject
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    subject: Vec<String>,
    /// Words in the file name of an attachment
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    attachment: Vec<String>,
    /// Words in the text, if the configuration has `bodies = true` under [index]
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    body: Vec<String>,
    /// Received on this date or later
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<NaiveDate>,
    /// Received on this date or earlier
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<NaiveDate>,
    /// Only what is in no folder any more
    #[arg(long)]
    gone: bool,
    /// Whole words only
    #[arg(short, long)]
    whole_words: bool,
    /// At most so many messages, the newest; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
    /// Words anywhere in sender, recipients, subject, attachments' names (and text, if that is in the index)
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<ExitCode> {
    let mut config = config::load(arguments.config.as_deref())?;
    use_source(&mut config, arguments.source.as_deref())?;
    config.require_snapshots()?;
    let request = arguments.request(&config)?;
    let silent = probe::stores_beside_others(&config)?;
    let fs = crate::mount::build(&config, &silent)?;
    let live = config.source.live.clone();
    let live = live.filter(|live| probe::is_among(&silent, live));
    if let Some(live) = &live {
        let e = probe::unanswered_live(live);
        tracing::warn!(
            "{e}; until then it is not known what has been deleted since the newest date"
        );
        fs.leave_out_live();
    }
    let stop = stop_on_signals()?;
    let mut groups = vec![rustix::process::getgid().as_raw()];
    let others =
        rustix::process::getgroups().map_err(|e| failed(&e.into(), "asking for groups"))?;
    groups.extend(others.iter().map(|gid| gid.as_raw()));
    let caller = Asker {
        uid: rustix::process::getuid().as_raw(),
        groups,
    };
    let bar = Bar::new(global);
    let answer = fs.find(&request, &caller, &mut |learning| {
        bar.show(learning.done, learning.mailboxes, learning.messages);
        !stop.load(Ordering::Relaxed)
    });
    bar.clear();
    let answer = answer?;
    if answer.stopped {
        let stopped = "stopped before all dates were known; what has been learned is kept, and another search goes on from there";
        return Err(Error::new(Kind::Failed, stopped));
    }
    let mut silent = fs.catalogue().unreadable();
    silent.extend(live);
    let report = Report::new(&answer, &silent, &config);
    print(if arguments.json {
        let json = serde_json::to_string(&report);
        json.map_err(|e| failed(&io::Error::from(e), "writing JSON"))? + "\n"
    } else {
        report.table(super::terminal::columns())
    })?;
    let concluded = conclude(&answer, arguments.limit);
    // It was warned of each when the search began.
    Ok(match silent.is_empty() {
        true => concluded,
        false => ExitCode::from(PARTLY_DONE),
    })
}

/// Says what the result does not.
fn conclude(answer: &Answer, limit: usize) -> ExitCode {
    use super::terminal::printable;
    if answer.found.is_empty() {
        match answer.mailboxes {
            0 => tracing::info!("nothing found: there is no such mailbox that you may enter"),
            1 => tracing::info!("nothing found in 1 mailbox"),
            n => tracing::info!("nothing found in {n} mailboxes"),
        }
    }
    if answer.more {
        tracing::info!("there are more than these {limit}: narrow the search, or raise --limit");
    }
    let examples = |examples: &[String]| printable(&examples.join(", "));
    if answer.unread > 0 {
        tracing::warn!(
            "{} messages could not be read, and were not searched, such as {}",
            answer.unread,
            examples(&answer.unread_examples)
        );
    }
    if answer.failed > 0 {
        tracing::warn!(
            "not all of these could be read, and was searched: {}{}; it is tried again in an hour",
            examples(&answer.failed_examples),
            if answer.failed > answer.failed_examples.len() as u64 {
                " …"
            } else {
                ""
            }
        );
    }
    if answer.is_behind {
        tracing::warn!(
            "another mailtm is learning what is new: not all of that was searched; try again in a while"
        );
    }
    if answer.unread > 0 || answer.failed > 0 || answer.is_behind {
        ExitCode::from(PARTLY_DONE)
    } else {
        ExitCode::SUCCESS
    }
}

impl Arguments {
    fn request(&self, config: &Config) -> Result<Request> {
        if !self.body.is_empty() && !config.index.bodies {
            return usage(
                "--body: the text of messages is not in the index: set bodies = true under [index]",
            );
        }
        let fields = [
            (Field::Any, &self.words),
            (Field::Sender, &self.from),
            (Field::Recipients, &self.to),
            (Field::Subject, &self.subject),
            (Field::Attachments, &self.attachment),
            (Field::Body, &self.body),
        ];
        let mut terms = Vec::new();
        for (field, texts) in fields {
            for text in texts {
                let words = words::of(text);
                if words.is_empty() {
                    return usage(format!("\"{text}\" has no letter or digit to search for"));
                }
                let begins = !self.whole_words;
                terms.push(Term {
                    field,
                    words,
                    begins,
                });
            }
        }
        let midnight = |date: NaiveDate| config.timezone.moment(date.and_time(NaiveTime::MIN));
        let after = self
            .until
            .and_then(|date| date.checked_add_days(Days::new(1)));
        let query = Query {
            terms,
            since: self.since.map(midnight),
            until: after.map(midnight),
            gone: self.gone,
        };
        let anything = !query.terms.is_empty()
            || self.since.or(self.until).is_some()
            || query.gone
            || self.folder.is_some()
            || !self.mailbox.is_empty();
        if !anything {
            return usage(
                "say what to look for: words, or an option such as --from, --since or --gone",
            );
        }
        Ok(Request {
            query,
            mailboxes: self
                .mailbox
                .iter()
                .map(|name| pattern(name))
                .collect::<Result<_>>()?,
            folder: self
                .folder
                .as_deref()
                .map(|folder| folder.trim_matches('/').to_owned()),
            on: None,
            limit: if self.limit == 0 {
                usize::MAX
            } else {
                self.limit
            },
        })
    }
}

fn pattern(name: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(name).case_insensitive(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| {
        Error::new(
            Kind::Config,
            format!(
                "--mailbox {name}: no pattern for names ({}): write one such as \"*@example.com\"",
                e.kind()
            ),
        )
    })
}

#[cfg(test)]
mod tests;
