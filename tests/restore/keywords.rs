//! Keywords of a Maildir, wherever Dovecot says what they are called.

use crate::harness::{Scratch, Store, mail};
use crate::maildir::in_cur;
use crate::{DAY, configure, report};
use serde_json::Value;
use std::fs;

/// A message with two keywords, the second of which has no name; and where the letters stand for their names, in the backup
/// and in the mailbox. Gives the text of the live file, the name that the message has then, and what is lost.
fn keyword_from(backup: &str, live: &str) -> (String, String, Value) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let now = scratch.subdirectory("live");
    for (home, place, text) in [
        (store.snapshot(DAY).join("u"), backup, "0 projekt-x\n"),
        (now.join("u"), live, "0 other\n"),
    ] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(home.join("Maildir").join(part)).unwrap();
        }
        fs::create_dir_all(home.join(place)).unwrap();
        fs::write(home.join(place).join("dovecot-keywords"), text).unwrap();
        fs::write(home.join(place).join("dovecot-uidlist"), "3 V1 N1\n").unwrap();
    }
    let message = store
        .snapshot(DAY)
        .join("u/Maildir/cur/1795000001.M1P1.mx:2,Sab");
    fs::write(message, mail("Bob <b@example.com>", "Plan", "x")).unwrap();
    let config = configure(&scratch, &store, &now).set("source.mailboxes", "{user}");
    let done = report(&config, &["--date", DAY, "--mailbox", "u", "--apply"], 0);
    let keywords = fs::read_to_string(now.join("u").join(live).join("dovecot-keywords"));
    let names = in_cur(&now.join("u/Maildir"), "");
    assert_eq!(names.len(), 1, "{names:?}");
    let flags = names[0].rsplit(',').next().unwrap().to_owned();
    (keywords.unwrap(), flags, done["losses"].clone())
}

#[test]
fn keywords_are_found_and_kept_where_control_files_are() {
    for backup in ["ctl", "ctl/.INBOX", "ctl/INBOX", "Maildir"] {
        for live in ["ctl", "ctl/.INBOX", "ctl/INBOX", "Maildir"] {
            let (keywords, flags, losses) = keyword_from(backup, live);
            assert_eq!(keywords, "0 other\n1 projekt-x\n", "{backup} {live}");
            assert_eq!(flags, "Sb", "{backup} {live}");
            let told = losses[0].as_str().unwrap();
            assert!(
                told.starts_with("1 keywords could not be kept: the backup"),
                "{told}"
            );
        }
    }
}
