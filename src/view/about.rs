//! The text of `ABOUT THIS BACKUP.txt`, which stands in every mailbox of every date: mailtm's own, or a [`Template`] that the
//! administrator has written.
//!
//! Invariant: the text depends on its arguments alone, so it is the same at every look.

use crate::error::{Error, Kind, Result};
use crate::language::Language;
use crate::template::{self, Line, Values};
use chrono::{NaiveDate, NaiveDateTime};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Its name in every mailbox.
pub const FILE_NAME: &str = "ABOUT THIS BACKUP.txt";

/// The names that can stand in braces in an administrator's own text.
pub const FIELDS: [&str; 7] = [
    "date", "expires", "folders", "label", "mailbox", "taken", "zone",
];

/// What stands in an administrator's own text for the rest of mailtm's.
const STANDARD: &str = "{standard}";

/// A longer text is none that anybody reads.
const LONGEST: u64 = 64 << 10;

/// A mailbox's backup, as far as the text says something of it.
#[derive(Clone, Debug)]
pub struct Backup<'a> {
    pub mailbox: &'a str,
    /// The name of the date's directory.
    pub label: &'a str,
    pub taken_local: NaiveDateTime,
    /// Of the time zone of `taken_local`; empty if it is the system's, which need not have one.
    pub zone_name: &'a str,
    /// The last day on which the backup is shown.
    pub expires: Option<NaiveDate>,
    pub folders: usize,
}

/// An administrator's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Lines, and in between the places where mailtm's own text goes.
    parts: Vec<Vec<Line>>,
}

impl Template {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`Kind::Config`]: what is wrong with it, and in which line.
    pub fn read(path: &Path) -> Result<Self> {
        let at = |why: &dyn std::fmt::Display| {
            Error::new(Kind::Config, format!("{}: {why}", path.display()))
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let cure = "name a file of text, or leave it out for mailtm's own text";
        let no_file = |why: &dyn std::fmt::Display| at(&format!("{why}: {cure}"));
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| no_file(&e))?;
        let file = File::from(file);
        if !file.metadata().map_err(|e| no_file(&e))?.is_file() {
            return Err(no_file(&"not a file"));
        }
        let mut bytes = Vec::new();
        let read = file.take(LONGEST + 1).read_to_end(&mut bytes);
        read.map_err(|e| no_file(&e))?;
        if bytes.len() as u64 > LONGEST {
            return Err(at(&format!("more than {} KiB: shorten it", LONGEST >> 10)));
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let before = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
            let line = before.filter(|b| **b == b'\n').count() + 1;
            at(&format!("line {line}: not UTF-8: save it as UTF-8"))
        })?;
        Self::parse(&text).map_err(|e| at(&e))
    }

    /// Reads a text.
    fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut parts = vec![Vec::new()];
        let names: Vec<&'static str> = FIELDS.into_iter().chain(["standard"]).collect();
        for (line, number) in text.lines().zip(1..) {
            if line.trim() == STANDARD {
                parts.push(Vec::new());
            } else if line.contains(STANDARD) {
                let why = format!("{STANDARD} is many lines: write it on a line of its own");
                return Err(template::wrong(number, &why));
            } else if let Some(c) = line.chars().find(|c| c.is_control() && *c != '\t') {
                let why = format!("the control character {}", c.escape_unicode());
                return Err(template::wrong(number, &why));
            } else if let Some(part) = parts.last_mut() {
                part.push(Line::parse(line, number, &names)?);
            }
        }
        if text.trim().is_empty() {
            return Err(template::wrong(1, "there is no text"));
        }
        Ok(Self { parts })
    }

    fn fill(&self, language: Language, backup: &Backup<'_>) -> String {
        let expires = backup.expires.map(|day| language.day(day));
        let values = Values::from([
            ("date", language.day(backup.taken_local.date())),
            ("expires", expires.unwrap_or_default()),
            ("folders", backup.folders.to_string()),
            ("label", backup.label.to_owned()),
            ("mailbox", backup.mailbox.to_owned()),
            ("taken", backup.taken_local.format("%H:%M").to_string()),
            ("zone", backup.zone_name.to_owned()),
        ]);
        let parts = self.parts.iter();
        let filled = parts.map(|part| template::fill(part, &values, str::to_owned));
        let parts: Vec<String> = filled.map(|part| part.trim_end().to_owned()).collect();
        let between = format!("\n\n{}\n\n", rest(language).trim());
        parts.join(&between).trim_matches('\n').to_owned() + "\n"
    }
}

/// What a mailbox's backup is, how to take mail out of it, and what it cannot contain; in the words of `own`, if there are any.
///
/// UTF-8, lines that end in CRLF, as every text editor understands; mailtm's own of at most 76 characters, but for the
/// mailbox's name.
pub fn text(language: Language, own: Option<&Template>, backup: &Backup<'_>) -> String {
    let text = match own {
        Some(template) => template.fill(language, backup),
        None => head(language, backup) + rest(language),
    };
    text.replace('\n', "\r\n")
}

/// Which backup it is.
fn head(language: Language, backup: &Backup<'_>) -> String {
    let Backup { mailbox, label, .. } = backup;
    let taken = format!(
        "{}, {}",
        language.day(backup.taken_local.date()),
        backup.taken_local.format("%H:%M")
    );
    let zone = match backup.zone_name {
        "" => String::new(),
        name => format!("\n          ({name})"),
    };
    match language {
        Language::English => {
            let kept = match backup.expires {
                Some(day) => format!("to the end of {}", language.day(day)),
                None => "for as long as your administrator decides".to_owned(),
            };
            format!(
                "ABOUT THIS BACKUP\n\nMailbox:  {mailbox}\nBackup:   {label}\nTaken:    {taken}{zone}\n\
                 Kept:     {kept}\n"
            )
        }
        Language::Italian => {
            let kept = match backup.expires {
                Some(day) => format!("fino alla fine di {}", language.day(day)),
                None => "per il tempo deciso dall'amministratore".to_owned(),
            };
            format!(
                "INFORMAZIONI SU QUESTO BACKUP\n\nCasella:  {mailbox}\nBackup:   {label}\nPreso:    {taken}{zone}\n\
                 Tenuto:   {kept}\n"
            )
        }
    }
}

/// What is the same in all backups.
fn rest(language: Language) -> &'static str {
    match language {
        Language::English => REST,
        Language::Italian => RESTO,
    }
}

const REST: &str = r#"

WHAT THIS IS

Here is the mail of this mailbox as the mail server held it at the moment
above: every folder, and every message as a file of its own. It can be read
and copied, not changed: nothing that you do here alters the backup or your
mailbox, and nothing can be deleted by mistake.


GETTING MAIL BACK

A message: each .eml file is one message. Double-click it to read it. To put
it back, drag it into a folder of your mail program, or copy it to your
computer and import it there.

A whole folder: the .mbox file beside a folder has its name and holds all of
its messages. Copy it to your computer and import it into your mail program
(in Thunderbird and Apple Mail: Import). What is in the folders below it is
in .mbox files of their own.

What is gone: the directory "deleted", beside the dates, has the messages
that are in some backup and in your mailbox no longer, not even in Trash.


WHAT IS NOT HERE

Mail that came and was deleted again between two backups is in neither of
them, nor in "deleted": a backup shows one moment, not what happened in
between.

Mail that was not on the server cannot be in a backup of the server. A mail
program that fetches mail by POP3 and leaves no copies on the server takes
it away from there. If this is how you read your mail, this backup is empty
although nothing is wrong; to change that, tell your mail program to leave
messages on the server, or use IMAP.

A message that opens with an error could not be read from the backup. Look
at another date, and tell your administrator.
"#;

const RESTO: &str = r#"

CHE COS'È

Qui c'è la posta di questa casella come era sul server nel momento indicato
sopra: tutte le cartelle, e ogni messaggio in un file suo. Si può leggere e
copiare, non cambiare: nulla di ciò che fai qui altera il backup o la tua
casella, e nulla può essere cancellato per sbaglio.


RECUPERARE LA POSTA

Un messaggio: ogni file .eml è un messaggio. Aprilo con un doppio clic per
leggerlo. Per rimetterlo a posto, trascinalo in una cartella del programma
di posta, o copialo sul tuo computer e importalo da lì.

Una cartella intera: il file .mbox accanto a una cartella ha il suo nome e
contiene tutti i suoi messaggi. Copialo sul tuo computer e importalo nel
programma di posta (in Thunderbird e Apple Mail: Importa). Ciò che sta nelle
sottocartelle è in file .mbox a parte.

Ciò che non c'è più: la directory "deleted", accanto alle date, ha i
messaggi che sono in qualche backup e non più nella tua casella, neanche nel
Cestino.


CHE COSA MANCA

La posta arrivata e cancellata fra un backup e l'altro non è in nessuno dei
due, né in "deleted": un backup mostra un momento, non ciò che è successo
nel frattempo.

La posta che non era sul server non può essere in un backup del server. Un
programma che scarica la posta con POP3 senza lasciarne copia sul server la
porta via. Se leggi così la tua posta, questo backup è vuoto anche se tutto
funziona; per cambiare, imposta il programma perché lasci i messaggi sul
server, o usa IMAP.

Un messaggio che si apre con un errore non si è potuto leggere dal backup.
Guarda in un'altra data, e avvisa l'amministratore.
"#;

#[cfg(test)]
mod tests;
