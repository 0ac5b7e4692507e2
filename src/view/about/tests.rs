//! Tests of `about`.

use super::*;

fn backup(zone_name: &str, expires: Option<NaiveDate>) -> Backup<'_> {
    let taken = NaiveDate::from_ymd_opt(2026, 11, 20).and_then(|d| d.and_hms_opt(23, 59, 30));
    Backup {
        mailbox: "alice@example.com",
        label: "2026-11-20",
        taken_local: taken.unwrap(),
        zone_name,
        expires,
        folders: 7,
    }
}

fn last_day() -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(2026, 12, 5)
}

fn fits(text: &str) {
    assert!(text.ends_with("\r\n"));
    for line in text.split_terminator("\r\n") {
        assert!(line.chars().count() <= 76, "{line:?}");
        assert!(!line.contains(['\r', '\n', '\t']), "{line:?}");
    }
}

#[test]
fn in_italian() {
    let text = text(Language::Italian, None, &backup("", last_day()));
    assert!(
        text.contains("Preso:    venerdì 20 novembre 2026, 23:59\r\n"),
        "{text}"
    );
    assert!(text.contains("fino alla fine di sabato 5 dicembre 2026\r\n") && text.contains("POP3"));
    fits(&text);
}

#[test]
fn says_which_when_and_how_long() {
    let zoned = backup("Europe/Rome", last_day());
    let told = text(Language::English, None, &zoned);
    for line in [
        "Mailbox:  alice@example.com\r\n",
        "Backup:   2026-11-20\r\n",
        "Taken:    Friday 20 November 2026, 23:59\r\n          (Europe/Rome)\r\n",
        "Kept:     to the end of Saturday 5 December 2026\r\n",
    ] {
        assert!(told.contains(line), "{line:?} in {told}");
    }
    let told = text(Language::English, None, &backup("", None));
    assert!(told.contains("2026, 23:59\r\n"));
    assert!(told.contains("your administrator decides"));
    assert!(told.contains("POP3"));
}

#[test]
fn fits_a_plain_editor() {
    let long = backup("America/Argentina/ComodRivadavia", None);
    fits(&text(Language::English, None, &long));
}

#[test]
fn in_the_administrators_words() {
    let own = "Studio Rossi\n\nPosta di {mailbox} del {date}, {taken}\nFino a {expires}\n({zone})\n{folders} cartelle\n\n\
               {standard}\n\nChiedere a Carla { int. 12 }\n";
    let own = Template::parse(own).unwrap();
    let told = text(Language::Italian, Some(&own), &backup("", last_day()));
    assert!(
        told.starts_with(
            "Studio Rossi\r\n\r\nPosta di alice@example.com del venerdì 20 novembre 2026, 23:59\r\n\
             Fino a sabato 5 dicembre 2026\r\n7 cartelle\r\n\r\nCHE COS'È\r\n"
        ),
        "{told}"
    );
    assert!(
        told.ends_with("avvisa l'amministratore.\r\n\r\nChiedere a Carla { int. 12 }\r\n"),
        "{told}"
    );
    // What there is nothing to say of is left out.
    let told = text(Language::English, Some(&own), &backup("Europe/Rome", None));
    assert!(!told.contains("Fino a") && told.contains("(Europe/Rome)\r\n"));
    // A mailbox's name is a name, whatever it looks like.
    let hostile = Backup {
        mailbox: "{standard}{date}",
        ..backup("", None)
    };
    let told = text(Language::English, Some(&own), &hostile);
    assert!(told.contains("Posta di {standard}{date} del"), "{told}");
}

#[test]
fn mistakes_are_told_with_their_line() {
    for (text, wrong) in [
        ("", "line 1: there is no text"),
        ("a\n{mailboxes}", "line 2: nothing is known as {mailboxes}"),
        ("a\n\nb {standard}", "line 3: {standard} is many lines"),
        ("a\nb\u{1b}[31m", "line 2: the control character"),
    ] {
        let e = Template::parse(text).unwrap_err();
        assert_eq!(e.kind(), Kind::Config);
        assert!(e.to_string().starts_with(wrong), "{text:?}: {e}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("about.txt");
    for (bytes, wrong) in [
        (b"a\nb\xff".to_vec(), "line 2: not UTF-8"),
        (vec![b'a'; 70_000], "more than 64 KiB"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let e = Template::read(&path).unwrap_err();
        assert!(e.to_string().contains(wrong), "{e}");
    }
    assert!(Template::read(dir.path()).is_err());
    assert!(Template::read(&dir.path().join("none")).is_err());
}
