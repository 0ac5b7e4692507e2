//! The folders that everybody has, by the names that mail programs give them.
//!
//! A backup knows no attributes of folders, so they are recognised by their names, in the languages that are common; only right
//! below the mailbox or below INBOX, where servers put them.

use crate::language::Language;

/// What a folder is for; in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    Inbox,
    Drafts,
    Sent,
    Archive,
    Spam,
    Trash,
}

const NAMES: [(Use, &[&str]); 6] = [
    (Use::Inbox, &["inbox"]),
    (
        Use::Drafts,
        &[
            "drafts",
            "draft",
            "bozze",
            "entwürfe",
            "brouillons",
            "borradores",
            "rascunhos",
            "concepten",
        ],
    ),
    (
        Use::Sent,
        &[
            "sent",
            "sent items",
            "sent messages",
            "sent mail",
            "inviati",
            "posta inviata",
            "inviata",
            "elementi inviati",
            "messaggi inviati",
            "gesendet",
            "gesendete objekte",
            "gesendete elemente",
            "envoyés",
            "éléments envoyés",
            "enviados",
            "elementos enviados",
            "itens enviados",
            "verzonden",
            "verzonden items",
        ],
    ),
    (
        Use::Archive,
        &[
            "archive", "archives", "archivio", "archiv", "archivo", "arquivo", "archief",
        ],
    ),
    (
        Use::Spam,
        &[
            "junk",
            "spam",
            "junk e-mail",
            "junk email",
            "junk mail",
            "bulk mail",
            "posta indesiderata",
            "indesiderata",
            "junk-e-mail",
            "courrier indésirable",
            "indésirables",
            "correo no deseado",
            "lixo eletrônico",
            "ongewenste e-mail",
        ],
    ),
    (
        Use::Trash,
        &[
            "trash",
            "deleted",
            "deleted items",
            "deleted messages",
            "bin",
            "cestino",
            "posta eliminata",
            "elementi eliminati",
            "papierkorb",
            "gelöschte objekte",
            "gelöschte elemente",
            "corbeille",
            "éléments supprimés",
            "papelera",
            "elementos eliminados",
            "lixeira",
            "prullenbak",
            "verwijderde items",
        ],
    ),
];

/// What the folder of a decoded name is for, if everybody has one.
pub fn use_of(decoded: &[String]) -> Option<Use> {
    let name = match decoded {
        [name] => name,
        [inbox, name] if inbox.eq_ignore_ascii_case("INBOX") => name,
        _ => return None,
    };
    let name = name.to_lowercase();
    let found = NAMES
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()));
    let found = found.map(|(found, _)| *found);
    // INBOX within INBOX is somebody's own folder.
    found.filter(|found| *found != Use::Inbox || decoded.len() == 1)
}

/// What people call the last folder of a path; `None` if the path is empty.
pub fn name(path: &[String], language: Language) -> Option<String> {
    let known = use_of(path).map(|known| known.name(language).to_owned());
    known.or_else(|| path.last().cloned())
}

/// A path with slashes between the folders, each as people call it.
pub fn called(path: &str, language: Language) -> String {
    let path: Vec<String> = path.split('/').map(str::to_owned).collect();
    let names = (1..=path.len()).filter_map(|levels| name(path.get(..levels)?, language));
    names.collect::<Vec<_>>().join("/")
}

impl Use {
    /// What people call it.
    pub fn name(self, language: Language) -> &'static str {
        let (english, italian) = match self {
            Self::Inbox => ("Inbox", "Ricevuti"),
            Self::Drafts => ("Drafts", "Bozze"),
            Self::Sent => ("Sent", "Inviati"),
            Self::Archive => ("Archive", "Archivio"),
            Self::Spam => ("Spam", "Spam"),
            Self::Trash => ("Trash", "Cestino"),
        };
        match language {
            Language::English => english,
            Language::Italian => italian,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &[&str]) -> Option<Use> {
        use_of(
            &path
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn paths_as_people_call_them() {
        for (path, expected) in [
            ("INBOX", "Ricevuti"),
            ("INBOX/Trash/2024", "Ricevuti/Cestino/2024"),
            ("Work/Sent", "Work/Sent"),
            ("", ""),
        ] {
            assert_eq!(called(path, Language::Italian), expected);
        }
    }

    #[test]
    fn folders_that_everybody_has() {
        assert_eq!(found(&["INBOX"]), Some(Use::Inbox));
        assert_eq!(found(&["Posta inviata"]), Some(Use::Sent));
        assert_eq!(found(&["INBOX", "Entwürfe"]), Some(Use::Drafts));
        assert_eq!(found(&["Cestino"]), Some(Use::Trash));
        for other in [
            &["Archive", "2024"][..],
            &["INBOX", "INBOX"],
            &["Work", "Sent"],
            &["Sent", "INBOX"],
            &[],
        ] {
            assert_eq!(found(other), None, "{other:?}");
        }
    }
}
