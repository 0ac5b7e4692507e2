//! Letters: what people are told of a request, in their language.
//!
//! Each is made of a template and the request as it stands; the templates that come with mailtm are beside this file, and
//! an administrator's own take their place, by the same names: `declined.it.txt`, and `declined.it.html` where the HTML is not to be
//! made of the text.
//!
//! Invariants: a letter's Message-ID and date are fixed by what it is about and by whom it is for, so that one that was
//! delivered twice is recognised. No field of its header is made by people, but for the subject, which is one line and encoded.

mod template;

use super::outbox::{Due, LetterKind};
use super::request::{Details, Request};
use crate::error::{Context, Error, Kind, Result};
use crate::language::Language;
use crate::restore::live::about_name;
use crate::special;
use crate::template::Values;
use crate::time::Zone;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use template::Template;

/// Longest template, in bytes.
const LONGEST_TEMPLATE: u64 = 1 << 18;

/// Names of so many messages that could not be read are told.
const MOST_NAMES: usize = 20;

/// The templates that come with mailtm.
const OWN: [(LetterKind, Language, &str); 16] = {
    use Language::{English, Italian};
    use LetterKind::{Asked, Declined, Done, Failed, FailedAdmin, Lapsed, LapsedAdmin, Partial};
    [
        (Asked, English, include_str!("asked.en.txt")),
        (Asked, Italian, include_str!("asked.it.txt")),
        (Done, English, include_str!("done.en.txt")),
        (Done, Italian, include_str!("done.it.txt")),
        (Partial, English, include_str!("partial.en.txt")),
        (Partial, Italian, include_str!("partial.it.txt")),
        (Failed, English, include_str!("failed.en.txt")),
        (Failed, Italian, include_str!("failed.it.txt")),
        (Declined, English, include_str!("declined.en.txt")),
        (Declined, Italian, include_str!("declined.it.txt")),
        (Lapsed, English, include_str!("lapsed.en.txt")),
        (Lapsed, Italian, include_str!("lapsed.it.txt")),
        (FailedAdmin, English, include_str!("failed-admin.en.txt")),
        (FailedAdmin, Italian, include_str!("failed-admin.it.txt")),
        (LapsedAdmin, English, include_str!("lapsed-admin.en.txt")),
        (LapsedAdmin, Italian, include_str!("lapsed-admin.it.txt")),
    ]
};

/// How letters are written.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// A directory of templates that take the place of mailtm's own.
    pub templates: Option<std::path::PathBuf>,
    /// Who letters are from: an address, or `Name <address>`.
    pub from: Option<String>,
    /// What stands in front of `/requests/ID` in a link; no links if `None`.
    pub url: Option<String>,
    /// In which times are written.
    pub zone: Zone,
}

/// What writes letters.
#[derive(Debug)]
pub(super) struct Writer {
    templates: HashMap<(LetterKind, Language), Template>,
    from: Option<Mailbox>,
    url: Option<String>,
    zone: Zone,
}

impl Writer {
    /// # Errors
    /// All that is wrong, of [`Kind::Config`]: with the file and line of a template, or a file that is none.
    pub fn new(style: &Style) -> Result<Self, Vec<Error>> {
        let mut templates = HashMap::new();
        let mut wrong = Vec::new();
        for (kind, language, text) in OWN {
            match Template::parse(text, None) {
                Ok(template) => _ = templates.insert((kind, language), template),
                Err(e) => wrong.push(e),
            }
        }
        if let Some(dir) = &style.templates {
            wrong.extend(read_templates(dir, &mut templates));
        }
        let from = style.from.as_deref().map(|from| {
            from.parse::<Mailbox>().map_err(|e| {
                let cure = "write such as \"Mail Time Machine <mtm@example.com>\"";
                Error::new(
                    Kind::Config,
                    format!("portal.from: \"{from}\": {e}: {cure}"),
                )
            })
        });
        let from = from.transpose().unwrap_or_else(|e| {
            wrong.push(e);
            None
        });
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            templates,
            from,
            url: style.url.clone(),
            zone: style.zone,
        })
    }

    /// Writes a letter; `installation` tells those of this database from others.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if there is no way to send it to its recipient; [`Kind::Config`] if it is not known who it is from.
    pub fn write(&self, due: &Due, request: &Details, installation: &str) -> Result<Message> {
        let from = self.from.clone().ok_or_else(|| {
            let cure = "write from = \"Mail Time Machine <mtm@example.com>\" under [portal]";
            Error::new(Kind::Config, format!("portal.from: missing: {cure}"))
        })?;
        let template = self.templates.get(&(due.kind, due.language));
        let template =
            template.ok_or_else(|| Error::new(Kind::Failed, "there is no template of it"))?;
        let invalid = |e: &dyn std::fmt::Display| {
            Error::new(Kind::Invalid, format!("\"{}\": {e}", due.recipient))
        };
        let to: lettre::Address = due.recipient.parse().map_err(|e| invalid(&e))?;
        let filled = template.fill(&self.values(due, request));
        let mut hash = Sha256::new();
        for part in [installation, due.kind.name(), &due.recipient] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let mut id = format!("<{}.{}.", due.kind.name(), due.request);
        for byte in hash.finalize().iter().take(12) {
            let _ = write!(id, "{byte:02x}");
        }
        let _ = write!(id, "@{}>", from.email.domain());
        let queued = Duration::from_secs(due.queued.unsigned_abs());
        // No holiday reply is wanted.
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        );
        Message::builder()
            .from(from)
            .to(Mailbox::new(None, to))
            .subject(filled.subject)
            .date(UNIX_EPOCH + queued)
            .message_id(Some(id))
            .raw_header(automatic)
            .multipart(MultiPart::alternative_plain_html(filled.text, filled.html))
            .map_err(|e| invalid(&e))
    }

    fn values(&self, due: &Due, details: &Details) -> Values {
        let language = due.language;
        let request = &details.request;
        let date = |secs: i64| language.day(self.zone.local(secs).date());
        let time = self.zone.local(request.snapshot_time).format("%H:%M");
        let line = |text: &str| text.replace(char::is_control, " ");
        let link = self.url.as_ref();
        let mut values = Values::from([
            ("id", request.id.to_string()),
            ("mailbox", line(&request.mailbox)),
            ("user", line(&request.asked_by)),
            ("asked", date(request.asked)),
            ("date", format!("{}, {time}", date(request.snapshot_time))),
            ("what", what(language, request)),
            ("into", line(request.into.as_deref().unwrap_or_default())),
            ("note", block(&request.note)),
            ("cost", line(request.cost.as_deref().unwrap_or_default())),
            (
                "decided_by",
                line(request.decided_by.as_deref().unwrap_or_default()),
            ),
            (
                "reason",
                block(reason(due.kind, request).unwrap_or_default()),
            ),
            (
                "link",
                link.map_or_else(String::new, |url| format!("{url}/requests/{}", request.id)),
            ),
        ]);
        if let Some(day) = request.expires {
            values.insert("expires", language.day(day));
        }
        if let Some(report) = &request.report {
            let some = |count: u64| match count {
                0 => String::new(),
                count => count.to_string(),
            };
            values.insert("created", report.created.to_string());
            values.insert("already_there", some(report.already_there));
            values.insert("moved", some(report.moved));
            values.insert("unreadable", some(report.unreadable));
            values.insert("refused", some(report.refused));
            let names = report.unread.iter().take(MOST_NAMES);
            let mut names: Vec<String> = names
                .map(|unread| match &unread.message {
                    Some(message) => line(&format!("{}/{message}", unread.folder)),
                    None => line(&unread.folder),
                })
                .collect();
            if report.unreadable > names.len() as u64 && !names.is_empty() {
                names.push("…".into());
            }
            values.insert("unread", block(&names.join("\n")));
        }
        values
    }
}

/// Why it came to this, as far as it is for whom the letter is for: what went wrong speaks to administrators, of places on the
/// server, but the name of a folder is of who asked.
fn reason(kind: LetterKind, request: &Request) -> Option<&str> {
    let why = request.why.as_deref()?;
    match kind {
        LetterKind::Failed => about_name(why),
        _ => Some(why),
    }
}

/// Text in a line: as it is if it is one line, else indented below.
fn block(text: &str) -> String {
    let text = text.trim();
    let strange = |c: char| c.is_control() && c != '\n';
    let text = text.replace(strange, " ");
    match text.contains('\n') {
        false => text,
        true => text.lines().map(|line| format!("\n    {line}")).collect(),
    }
}

/// What is asked for.
fn what(language: Language, request: &Request) -> String {
    let folder = request.folder.as_deref();
    let called = |name| special::called(name, language);
    let folder = folder.map(|name| called(name).replace(char::is_control, " "));
    match (language, request.message_count, folder) {
        (Language::English, 0, None) => "the whole mailbox".into(),
        (Language::English, 0, Some(name)) => format!("the folder {name}, with all below it"),
        (Language::English, 1, None) => "one message".into(),
        (Language::English, 1, Some(name)) => format!("one message of the folder {name}"),
        (Language::English, count, None) => format!("{count} messages"),
        (Language::English, count, Some(name)) => format!("{count} messages of the folder {name}"),
        (Language::Italian, 0, None) => "tutta la casella".into(),
        (Language::Italian, 0, Some(name)) => {
            format!("la cartella {name}, con tutte quelle al suo interno")
        }
        (Language::Italian, 1, None) => "un messaggio".into(),
        (Language::Italian, 1, Some(name)) => format!("un messaggio della cartella {name}"),
        (Language::Italian, count, None) => format!("{count} messaggi"),
        (Language::Italian, count, Some(name)) => {
            format!("{count} messaggi della cartella {name}")
        }
    }
}

/// Puts an administrator's own templates in the place of mailtm's; what is wrong with them.
fn read_templates(
    dir: &Path,
    templates: &mut HashMap<(LetterKind, Language), Template>,
) -> Vec<Error> {
    let at = |path: &Path, why: &dyn std::fmt::Display| {
        Error::new(
            Kind::Config,
            format!("portal.templates: {}: {why}", path.display()),
        )
    };
    let listed = dir
        .read_dir()
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let listed = match listed {
        Ok(listed) => listed,
        Err(e) => {
            let cure = "make the directory, or leave it out for mailtm's own letters";
            return vec![at(dir, &format!("{e}: {cure}"))];
        }
    };
    let read = |path: &Path| -> Result<Option<String>> {
        let cure = "let mailtm's user read it, as UTF-8 text, or take it away";
        let size = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(at(path, &format!("{e}: {cure}"))),
        };
        if size > LONGEST_TEMPLATE {
            return Err(at(path, &"it is too long for a letter: shorten it"));
        }
        let text = std::fs::read_to_string(path).map(Some);
        text.map_err(|e| at(path, &format!("{e}: {cure}")))
    };
    let mut wrong = Vec::new();
    let mut letters: HashMap<String, (LetterKind, Language)> = HashMap::new();
    for (kind, language, own) in OWN {
        let name = format!("{}.{}", kind.name(), language.code());
        let text_file = dir.join(format!("{name}.txt"));
        let html_file = dir.join(format!("{name}.html"));
        letters.insert(name, (kind, language));
        // A mistake is in the one file or in the other.
        let text = read(&text_file).and_then(|text| {
            let text = text.unwrap_or_else(|| own.to_owned());
            let parsed = Template::parse(&text, None);
            parsed.context(|| format!("portal.templates: {}", text_file.display()))?;
            Ok(text)
        });
        let template = read(&html_file).and_then(|html| {
            let text = text.as_deref().unwrap_or(own);
            let parsed = Template::parse(text, html.as_deref());
            parsed.context(|| format!("portal.templates: {}", html_file.display()))
        });
        wrong.extend(text.err());
        match template {
            Ok(template) => _ = templates.insert((kind, language), template),
            Err(e) => wrong.push(e),
        }
    }
    for path in listed.iter().map(std::fs::DirEntry::path) {
        let is_letter = path.extension().is_some_and(|e| e == "txt" || e == "html");
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if is_letter && !name.is_some_and(|name| letters.contains_key(name)) {
            let mut known: Vec<&str> = letters.keys().map(String::as_str).collect();
            known.sort_unstable();
            let why = format!("no letter is called so: there are {}", known.join(", "));
            wrong.push(at(&path, &why));
        }
    }
    wrong
}

/// What a letter is about, for logs.
pub(super) fn about(due: &Due) -> String {
    format!(
        "letter \"{}\" about request {} to {}",
        due.kind.name(),
        due.request,
        due.recipient
    )
}

#[cfg(test)]
mod tests;
