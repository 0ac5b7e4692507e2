//! The text of `ABOUT THIS BACKUP.txt`, which stands in every mailbox of every date.
//!
//! Invariant: the text depends on its arguments alone, so it is the same at every look.

use crate::language::Language;
use chrono::{NaiveDate, NaiveDateTime};

/// Its name in every mailbox.
pub const FILE_NAME: &str = "ABOUT THIS BACKUP.txt";

/// What a mailbox's backup is, how to take mail out of it, and what it cannot contain.
///
/// `label` is the name of the date's directory, `zone_name` that of the time zone of `taken_local` (empty if it is
/// the system's, which need not have one), `expires` the last day on which the backup is shown. UTF-8, lines of at
/// most 76 characters (but for the mailbox's own name) that end in CRLF, as every text editor understands.
pub fn text(
    language: Language,
    mailbox: &str,
    label: &str,
    taken_local: NaiveDateTime,
    zone_name: &str,
    expires: Option<NaiveDate>,
) -> String {
    let taken = format!(
        "{}, {}",
        language.day(taken_local.date()),
        taken_local.format("%H:%M")
    );
    let zone = match zone_name {
        "" => String::new(),
        name => format!("\n          ({name})"),
    };
    let text = match language {
        Language::English => {
            let kept = match expires {
                Some(day) => format!("to the end of {}", language.day(day)),
                None => "for as long as your administrator decides".to_owned(),
            };
            format!(
                "ABOUT THIS BACKUP\n\nMailbox:  {mailbox}\nBackup:   {label}\nTaken:    {taken}{zone}\n\
                 Kept:     {kept}\n{REST}"
            )
        }
        Language::Italian => {
            let kept = match expires {
                Some(day) => format!("fino alla fine di {}", language.day(day)),
                None => "per il tempo deciso dall'amministratore".to_owned(),
            };
            format!(
                "INFORMAZIONI SU QUESTO BACKUP\n\nCasella:  {mailbox}\nBackup:   {label}\nPreso:    {taken}{zone}\n\
                 Tenuto:   {kept}\n{RESTO}"
            )
        }
    };
    text.replace('\n', "\r\n")
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
mod tests {
    use super::*;

    fn sample(zone: &str, expires: Option<NaiveDate>) -> String {
        let taken = NaiveDate::from_ymd_opt(2026, 11, 20)
            .and_then(|d| d.and_hms_opt(23, 59, 30))
            .unwrap();
        let language = Language::English;
        text(
            language,
            "alice@example.com",
            "2026-11-20",
            taken,
            zone,
            expires,
        )
    }

    #[test]
    fn in_italian() {
        let taken = NaiveDate::from_ymd_opt(2026, 11, 20).and_then(|d| d.and_hms_opt(9, 5, 0));
        let last = NaiveDate::from_ymd_opt(2026, 12, 5);
        let text = text(
            Language::Italian,
            "a",
            "2026-11-20",
            taken.unwrap(),
            "",
            last,
        );
        assert!(
            text.contains("Preso:    venerdì 20 novembre 2026, 09:05\r\n"),
            "{text}"
        );
        assert!(
            text.contains("fino alla fine di sabato 5 dicembre 2026\r\n") && text.contains("POP3")
        );
        for line in text.split_terminator("\r\n") {
            assert!(
                line.chars().count() <= 76 && !line.contains(['\r', '\n']),
                "{line:?}"
            );
        }
    }

    #[test]
    fn says_which_when_and_how_long() {
        let last = NaiveDate::from_ymd_opt(2026, 12, 5);
        let text = sample("Europe/Rome", last);
        for line in [
            "Mailbox:  alice@example.com\r\n",
            "Backup:   2026-11-20\r\n",
            "Taken:    Friday 20 November 2026, 23:59\r\n          (Europe/Rome)\r\n",
            "Kept:     to the end of Saturday 5 December 2026\r\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        let text = sample("", None);
        assert!(text.contains("2026, 23:59\r\n"));
        assert!(text.contains("your administrator decides"));
        assert!(text.contains("POP3"));
    }

    #[test]
    fn fits_a_plain_editor() {
        let text = sample("America/Argentina/ComodRivadavia", None);
        assert!(text.ends_with("\r\n"));
        for line in text.split_terminator("\r\n") {
            assert!(line.chars().count() <= 76, "{line:?}");
            assert!(!line.contains(['\r', '\n', '\t']), "{line:?}");
        }
    }
}
