//! Where the well-known mail hosting systems keep mailboxes, so that one word says it.
//!
//! A snapshot may be of the whole machine or begin anywhere on the way to the mail; the longest way of which the
//! snapshot has all directories is the one.

use super::template::Template;
use crate::error::Result;

/// A hosting system's layout.
struct Hosting {
    name: &'static str,
    /// Directories that hold all mail, from the root of the machine.
    bases: &'static [&'static str],
    /// Templates of mailboxes below that.
    mailboxes: &'static [&'static str],
}

/// As each system sets Dovecot up if nobody changes it.
const ALL: [Hosting; 9] = [
    Hosting {
        name: "cpanel",
        bases: &["home"],
        // Those of domains, and the account's own.
        mailboxes: &["*/mail/{domain}/{user}", "{user}/mail"],
    },
    Hosting {
        name: "directadmin",
        bases: &["home"],
        mailboxes: &["*/imap/{domain}/{user}/Maildir", "{user}/Maildir"],
    },
    Hosting {
        name: "docker-mailserver",
        bases: &["var/mail", "docker-data/dms/mail-data"],
        mailboxes: &["{domain}/{user}"],
    },
    Hosting {
        name: "iredmail",
        bases: &["var/vmail/vmail1"],
        // The directory's name ends in the time at which it was made; by default it lies below the name's letters.
        mailboxes: &[
            "{domain}/*/*/*/{user}-20*/Maildir",
            "{domain}/{user}-20*/Maildir",
            "{domain}/{user}/Maildir",
        ],
    },
    Hosting {
        name: "ispconfig",
        bases: &["var/vmail"],
        mailboxes: &["{domain}/{user}"],
    },
    Hosting {
        name: "mailcow",
        bases: &[
            "var/lib/docker/volumes/mailcowdockerized_vmail-vol-1/_data",
            "var/vmail",
        ],
        mailboxes: &["{domain}/{user}"],
    },
    Hosting {
        name: "mailinabox",
        bases: &["home/user-data/mail/mailboxes"],
        mailboxes: &["{domain}/{user}"],
    },
    Hosting {
        name: "plesk",
        bases: &["var/qmail/mailnames"],
        mailboxes: &["{domain}/{user}/Maildir"],
    },
    Hosting {
        name: "virtualmin",
        bases: &["home"],
        // The path does not say the domain.
        mailboxes: &["*/homes/{user}/Maildir", "{user}/Maildir"],
    },
];

/// The names that stand for layouts.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|hosting| hosting.name)
}

/// The templates that a setting means: those of a hosting system, or the one that is written.
///
/// # Errors
/// [`Kind::Config`](crate::Kind::Config): says what is wrong with the template.
pub fn templates(text: &str) -> Result<Vec<Template>> {
    let Some(hosting) = ALL.iter().find(|hosting| hosting.name == text) else {
        return Ok(vec![Template::parse(text)?]);
    };
    let bases: Vec<&str> = hosting.bases.iter().flat_map(|base| tails(base)).collect();
    let below = |mailboxes: &&str| Ok(Template::parse(mailboxes)?.below(&bases));
    hosting.mailboxes.iter().map(below).collect()
}

/// A path, and what is left of it without its first directories, the longest first.
fn tails(path: &str) -> impl Iterator<Item = &str> {
    let starts = path.match_indices('/').map(|(at, _)| at + 1);
    std::iter::once(0)
        .chain(starts)
        .filter_map(move |at| path.get(at..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::view::mailbox::Layout;

    /// The names of the mailboxes that a hosting system's layout finds in a tree.
    fn found(name: &str, paths: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let layout = Layout {
            templates: templates(name).unwrap(),
            ..Layout::default()
        };
        let found = layout.find(&Root::new(dir.path())).unwrap();
        let mut names: Vec<String> = found.iter().map(|m| m.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn each_in_its_place_wherever_the_snapshot_begins() {
        let trees: [(&str, &str, &[&str]); 9] = [
            (
                "cpanel",
                "home/acct/mail/a.example/ann/cur",
                &["acct", "ann@a.example"],
            ),
            (
                "directadmin",
                "home/acct/imap/a.example/ann/Maildir/cur",
                &["ann@a.example"],
            ),
            (
                "docker-mailserver",
                "var/mail/a.example/ann/cur",
                &["ann@a.example"],
            ),
            (
                "iredmail",
                "var/vmail/vmail1/a.example/m/a/r/mary-ann-2020.01.31.12.00.59/Maildir/cur",
                &["mary-ann@a.example"],
            ),
            (
                "ispconfig",
                "var/vmail/a.example/ann/Maildir/cur",
                &["ann@a.example"],
            ),
            ("mailcow", "var/vmail/a.example/ann/cur", &["ann@a.example"]),
            (
                "mailinabox",
                "home/user-data/mail/mailboxes/a.example/ann/cur",
                &["ann@a.example"],
            ),
            (
                "plesk",
                "var/qmail/mailnames/a.example/ann/Maildir/cur",
                &["ann@a.example"],
            ),
            ("virtualmin", "home/acct/homes/ann/Maildir/cur", &["ann"]),
        ];
        assert!(names().eq(trees.iter().map(|(name, ..)| *name)));
        for (name, path, mailboxes) in trees {
            // What else is in a whole machine, and looks like users of domains.
            let machine = [path, "etc/ssl", "var/empty", "srv/www", "opt/x"];
            assert_eq!(found(name, &machine), mailboxes, "{name}");
            let mut below = path;
            while let Some((first, rest)) = below.split_once('/') {
                if matches!(first, "a.example" | "acct") {
                    break;
                }
                below = rest;
                assert_eq!(found(name, &[below]), mailboxes, "{name}: {below}");
            }
        }
    }

    #[test]
    fn users_of_a_domain_are_no_folders_of_the_account() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["cur", ".Sent/cur", "a.example/ann/cur", "a.example/bob/cur"] {
            std::fs::create_dir_all(dir.path().join("home/acct/mail").join(path)).unwrap();
        }
        let layout = Layout {
            templates: templates("cpanel").unwrap(),
            ..Layout::default()
        };
        let root = Root::new(dir.path());
        let found = layout.find(&root).unwrap();
        let folders = found.named("acct").unwrap().store(&root).folders().unwrap();
        let paths: Vec<String> = folders.folders.iter().map(|f| f.path.join("/")).collect();
        assert_eq!(paths, ["INBOX", "Sent"]);
    }

    #[test]
    fn accounts_beside_the_users_of_their_domains() {
        let paths = [
            "home/acct/mail/cur",
            "home/acct/mail/.Sent/cur",
            "home/acct/mail/a.example/ann/cur",
        ];
        assert_eq!(found("cpanel", &paths), ["acct", "ann@a.example"]);
        let paths = ["home/acct/Maildir/cur", "home/acct/homes/ann/Maildir/cur"];
        assert_eq!(found("virtualmin", &paths), ["acct", "ann"]);
    }
}
