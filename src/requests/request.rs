//! A request: what is asked for, by whom, and what has become of it.

use super::outbox::Letter;
use super::state::State;
use crate::error::{Error, Kind, Result};
use crate::language::Language;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// So many requests of one person may wait for a decision.
pub const MOST_PENDING: u64 = 20;

/// Characters of a note, or of the reason for a decision.
pub const LONGEST_NOTE: usize = 2000;

/// Messages that one request can name; whoever wants more asks for the folder.
pub const MOST_MESSAGES: usize = 10_000;

/// Bytes of the name of a mailbox, a date or a folder.
const LONGEST_NAME: usize = 4096;

/// Bytes of a message's ID, and of a token.
const LONGEST_WORD: usize = 128;

/// What could not be read is told of so many messages; the rest is counted.
const MOST_UNREAD: usize = 100;

/// The number of a request, by which people speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub i64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.strip_prefix('#').unwrap_or(text).parse();
        number.map(Self).map_err(|_| {
            let message = format!("\"{text}\" is no number of a request: write such as 17");
            Error::new(Kind::Config, message)
        })
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// Anything that is the same when the same form is sent again, and another one for every other form: of one person,
    /// one request comes of it.
    pub token: String,
    /// As it is shown.
    pub mailbox: String,
    /// The address of who asks; letters go there.
    pub asked_by: String,
    /// The backup's date as it is shown.
    pub date: String,
    /// The time of its snapshot, in seconds since 1970: what is put back is what was seen, though the date may show a later
    /// snapshot by then.
    pub snapshot_time: i64,
    /// A folder as it is shown, with all below it; `None`: all folders.
    pub folder: Option<String>,
    /// IDs as they stand in the names of messages; empty: all messages.
    pub messages: Vec<String>,
    /// The folder to put everything into; `None`: the folders that the messages were in.
    pub into: Option<String>,
    /// What the person wants the administrators to know.
    pub note: String,
    /// Of the letters to the person.
    pub language: Language,
}

impl New {
    /// The same with its texts cleaned.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if it is not to be kept.
    pub(super) fn checked(mut self) -> Result<Self> {
        self.note = clean(&self.note);
        check_length("the note", &self.note)?;
        let names = [
            ("the mailbox", Some(&self.mailbox), LONGEST_NAME),
            ("who asks", Some(&self.asked_by), LONGEST_NAME),
            ("the date", Some(&self.date), LONGEST_NAME),
            ("the folder", self.folder.as_ref(), LONGEST_NAME),
            ("the folder to put into", self.into.as_ref(), LONGEST_NAME),
            ("the token", Some(&self.token), LONGEST_WORD),
        ];
        let words = self.messages.iter();
        let words = words.map(|id| ("a message's ID", Some(id), LONGEST_WORD));
        for (what, text, longest) in names.into_iter().chain(words) {
            let Some(text) = text else {
                continue;
            };
            if text.is_empty() || text.len() > longest || text.contains(char::is_control) {
                return Err(invalid(format!(
                    "{what} is empty, too long, or has a control character in it: nothing was asked for"
                )));
            }
        }
        if self.messages.len() > MOST_MESSAGES {
            return Err(invalid(format!(
                "{} messages are too many for one request: ask for the folder, or for {MOST_MESSAGES} at most",
                self.messages.len()
            )));
        }
        Ok(self)
    }
}

pub(super) fn check_length(what: &str, text: &str) -> Result<()> {
    let characters = text.chars().count();
    if characters > LONGEST_NOTE {
        return Err(invalid(format!(
            "{what} has {characters} characters, and may have {LONGEST_NOTE}: shorten it"
        )));
    }
    Ok(())
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

/// What somebody has written, with line ends as `\n`, and without other control characters and those that turn the direction
/// of writing.
pub(super) fn clean(text: &str) -> String {
    let unwanted = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.replace(unwanted, "").trim().to_owned()
}

/// A request as it stands. Times are seconds since 1970; in JSON, RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    pub id: Id,
    pub state: State,
    pub mailbox: String,
    pub asked_by: String,
    #[serde(serialize_with = "moment")]
    pub asked: i64,
    /// As it is shown.
    pub date: String,
    #[serde(serialize_with = "moment")]
    pub snapshot_time: i64,
    /// As it is shown; `None`: all folders.
    pub folder: Option<String>,
    /// How many messages are named; 0: all.
    pub message_count: u64,
    pub into: Option<String>,
    pub note: String,
    #[serde(serialize_with = "code")]
    pub language: Language,
    /// The last day on which the backup is shown, as it was when this was asked for.
    #[serde(serialize_with = "day")]
    pub expires: Option<NaiveDate>,
    /// What it costs, as it was shown then.
    pub cost: Option<String>,
    /// Who approved or declined.
    pub decided_by: Option<String>,
    #[serde(serialize_with = "moment_if_any")]
    pub decided: Option<i64>,
    /// Why it was declined, why it failed, or why it lapsed.
    pub why: Option<String>,
    /// Since when nothing changes any more.
    #[serde(serialize_with = "moment_if_any")]
    pub ended: Option<i64>,
    /// What has been put back.
    pub report: Option<Report>,
}

/// A request with all that is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct Details {
    #[serde(flatten)]
    pub request: Request,
    /// The IDs that were named; empty: all messages.
    pub messages: Vec<String>,
    /// Oldest first.
    pub events: Vec<Event>,
    pub letters: Vec<Letter>,
    /// What carrying it out has failed of so far, if it is tried again.
    pub trouble: Option<String>,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    #[serde(serialize_with = "moment")]
    pub at: i64,
    /// An address, the name of a Unix user, or `mailtm`.
    pub who: String,
    /// `None`: the request was made.
    pub from: Option<State>,
    pub to: State,
    pub why: Option<String>,
}

/// Messages by what is to be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub create: u64,
    pub already_there: u64,
    /// In another folder than that of the backup.
    pub moved: u64,
    /// Not to be read in the backup.
    pub unreadable: u64,
}

/// What carrying a request out has come to, however often it was interrupted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Messages that were put back.
    pub created: u64,
    /// Messages that were in the mailbox before, in their folder.
    pub already_there: u64,
    /// Messages that were in the mailbox before, in another folder.
    pub moved: u64,
    /// Messages and folders of the backup that cannot be read.
    pub unreadable: u64,
    /// Which those are: the first hundred.
    pub unread: Vec<Unread>,
    /// Messages that the mailbox did not take.
    pub refused: u64,
    /// Why, folder by folder.
    pub refusals: Vec<Unread>,
    /// What could not be kept of the messages.
    pub losses: Vec<String>,
    /// The log of the restore.
    pub log: Option<PathBuf>,
}

/// A message or a folder that something is wrong with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    pub folder: String,
    /// `None`: the folder as a whole.
    pub message: Option<String>,
    pub error: String,
}

impl Report {
    /// Adds what cannot be read, as far as there is room.
    pub(super) fn name(&mut self, unread: impl IntoIterator<Item = Unread>) {
        let room = MOST_UNREAD.saturating_sub(self.unread.len());
        self.unread.extend(unread.into_iter().take(room));
    }

    /// Adds what was not taken, as far as there is room.
    pub(super) fn refuse(&mut self, refusals: impl IntoIterator<Item = Unread>) {
        let room = MOST_UNREAD.saturating_sub(self.refusals.len());
        self.refusals.extend(refusals.into_iter().take(room));
    }
}

/// Which requests are wanted; all if nothing is said. The newest come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub state: Option<State>,
    pub asked_by: Option<String>,
    pub mailbox: Option<String>,
    /// Those made before this one.
    pub before: Option<Id>,
    /// So many at most.
    pub limit: Option<u32>,
}

/// Seconds since 1970 as RFC 3339.
pub(super) fn rfc3339(secs: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp(secs, 0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn moment<S: Serializer>(secs: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*secs))
}

pub(super) fn moment_if_any<S: Serializer>(
    secs: &Option<i64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secs {
        Some(secs) => moment(secs, serializer),
        None => serializer.serialize_none(),
    }
}

fn day<S: Serializer>(day: &Option<NaiveDate>, serializer: S) -> Result<S::Ok, S::Error> {
    match day {
        Some(day) => serializer.collect_str(day),
        None => serializer.serialize_none(),
    }
}

fn code<S: Serializer>(language: &Language, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(language.code())
}
