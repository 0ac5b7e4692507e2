//! What letters say, and that nobody's words break out of them.

use super::super::request::{Id, Report, Unread};
use super::super::state::State;
use super::*;
use mail_parser::{MessageParser, MimeHeaders};

fn style() -> Style {
    Style {
        from: Some("Mail Time Machine <mtm@example.com>".into()),
        url: Some("https://mtm.example.com".into()),
        zone: Zone::parse("Europe/Rome").unwrap(),
        templates: None,
    }
}

fn details() -> Details {
    Details {
        request: Request {
            id: Id(17),
            state: State::Partial,
            mailbox: "alice@example.com".into(),
            asked_by: "alice@example.com".into(),
            asked: 1_795_302_000,
            date: "2026-11-20".into(),
            snapshot_time: 1_795_215_600,
            folder: Some("Entwürfe".into()),
            message_count: 2,
            into: Some("Restored".into()),
            note: "please\nsoon".into(),
            language: Language::English,
            expires: "2026-12-05".parse().ok(),
            cost: Some("80 EUR + VAT".into()),
            decided_by: Some("carla".into()),
            decided: Some(1_795_302_001),
            why: Some("perché è già lì".into()),
            ended: Some(1_795_302_002),
            report: Some(Report {
                created: 3,
                moved: 1,
                unreadable: 2,
                unread: vec![Unread {
                    folder: "INBOX".into(),
                    message: Some("2026-11-19 0932 Bob - Hi (K7Q2M4XZ).eml".into()),
                    error: "/srv/vmail/secret: torn".into(),
                }],
                ..Report::default()
            }),
        },
        messages: Vec::new(),
        events: Vec::new(),
        letters: Vec::new(),
        trouble: None,
    }
}

fn due(kind: LetterKind, language: Language) -> Due {
    Due {
        row: 1,
        request: Id(17),
        kind,
        recipient: "alice@example.com".into(),
        language,
        queued: 1_795_302_003,
        attempts: 0,
        tried: None,
    }
}

fn written(writer: &Writer, due: &Due, details: &Details) -> Vec<u8> {
    writer
        .write(due, details, "installation")
        .unwrap()
        .formatted()
}

/// Subject, text and HTML, as a mail program has them.
fn read(bytes: &[u8]) -> (String, String, String) {
    let parsed = MessageParser::default().parse(bytes).unwrap();
    assert_eq!(
        parsed.content_type().unwrap().subtype(),
        Some("alternative")
    );
    (
        parsed.subject().unwrap().to_owned(),
        parsed.body_text(0).unwrap().replace("\r\n", "\n"),
        parsed.body_html(0).unwrap().into_owned(),
    )
}

#[test]
fn all_of_them_are_written_in_both_languages() {
    let writer = Writer::new(&style()).unwrap();
    let mut subjects = std::collections::HashSet::new();
    for kind in LetterKind::ALL {
        for language in [Language::English, Language::Italian] {
            let bytes = written(&writer, &due(kind, language), &details());
            let (subject, text, html) = read(&bytes);
            assert!(subject.contains("alice@example.com"), "{subject}");
            assert!(subject.contains("17"), "{subject}");
            for place in [&text, &html] {
                assert!(
                    place.contains("https://mtm.example.com/requests/17"),
                    "{place}"
                );
                assert!(!place.contains("secret"), "{place}");
                assert!(!place.contains(['{', '}']), "{place}");
            }
            let date = match language {
                Language::English => "Saturday 21 November 2026, 00:00",
                Language::Italian => "sabato 21 novembre 2026, 00:00",
            };
            assert!(text.contains(date), "{text}");
            assert!(subjects.insert(subject));
        }
    }
}

#[test]
fn the_letters_say_what_they_must() {
    let writer = Writer::new(&style()).unwrap();
    let text = |kind, language| read(&written(&writer, &due(kind, language), &details())).1;
    let partial = text(LetterKind::Partial, Language::English);
    for words in [
        "Messages put back: 3\n",
        "in another folder: 1\n",
        "Not readable in this backup: 2\n",
        "INBOX/2026-11-19 0932 Bob - Hi (K7Q2M4XZ).eml\n    …\n",
        "2 messages of the folder Drafts",
    ] {
        assert!(partial.contains(words), "{words}: {partial}");
    }
    assert!(!partial.contains("there already: "), "{partial}");
    let declined = text(LetterKind::Declined, Language::Italian);
    assert!(declined.contains("Motivo: perché è già lì\n"), "{declined}");
    let failed = |why: &str, kind| {
        let mut details = details();
        details.request.why = Some(why.into());
        read(&written(&writer, &due(kind, Language::English), &details)).1
    };
    let secret = "/srv/vmail/secret: no Maildir is there now";
    assert!(failed(secret, LetterKind::FailedAdmin).contains(secret));
    let text_of_failed = failed(secret, LetterKind::Failed);
    assert!(!text_of_failed.contains("Reason"), "{text_of_failed}");
    let name = "\"cur\" cannot name a folder of this mailbox: choose another name";
    let text_of_failed = failed(&format!("/srv/vmail/secret: {name}"), LetterKind::Failed);
    let reason = format!("\nReason: {name}\n");
    assert!(text_of_failed.contains(&reason), "{text_of_failed}");
    assert!(!text_of_failed.contains("secret"), "{text_of_failed}");
    let asked = text(LetterKind::Asked, Language::English);
    for words in [
        "Cost: 80 EUR + VAT\n",
        "Note: \n    please\n    soon\n",
        "the end of Saturday 5 December 2026",
        "\n\nhttps://mtm.example.com/requests/17\n\n",
    ] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
}

#[test]
fn the_same_letter_has_the_same_message_id_and_date() {
    let writer = Writer::new(&style()).unwrap();
    let headers = |due: &Due, installation: &str| {
        let letter = writer.write(due, &details(), installation).unwrap();
        let get = |name| letter.headers().get_raw(name).unwrap().to_owned();
        (get("Message-ID"), get("Date"))
    };
    let first = due(LetterKind::Done, Language::English);
    assert_eq!(headers(&first, "a"), headers(&first, "a"));
    assert!(headers(&first, "a").0.ends_with("@example.com>"));
    let others = [
        (first.clone(), "b"),
        (due(LetterKind::Failed, Language::English), "a"),
        (
            Due {
                recipient: "bob@example.com".into(),
                ..first.clone()
            },
            "a",
        ),
        (
            Due {
                request: Id(18),
                ..first.clone()
            },
            "a",
        ),
    ];
    for (other, installation) in others {
        assert_ne!(headers(&other, installation).0, headers(&first, "a").0);
    }
}

#[test]
fn nobody_s_words_become_a_header_field() {
    let writer = Writer::new(&style()).unwrap();
    let mut hostile = details();
    let words = "x\r\nBcc: bob@example.com\r\n\r\n<script>alert(1)</script>é";
    hostile.request.mailbox = words.into();
    hostile.request.asked_by = words.into();
    hostile.request.note = words.into();
    hostile.request.why = Some(words.into());
    hostile.request.folder = Some(words.into());
    for kind in LetterKind::ALL {
        let bytes = written(&writer, &due(kind, Language::English), &hostile);
        let head = String::from_utf8(bytes.clone()).unwrap();
        let head = head.split("\r\n\r\n").next().unwrap();
        assert!(!head.contains("\nBcc"), "{head}");
        assert!(head.is_ascii());
        assert!(
            head.split("\r\n")
                .all(|line| line.len() < 200 && !line.contains('\n'))
        );
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        let to = parsed.to().unwrap().clone().into_list();
        assert_eq!(to.len(), 1);
        assert!(parsed.bcc().is_none());
        assert!(!read(&bytes).2.contains("<script"));
    }
    let nowhere = Due {
        recipient: "x\r\nBcc: bob@example.com".into(),
        ..due(LetterKind::Done, Language::English)
    };
    let e = writer.write(&nowhere, &details(), "").unwrap_err();
    assert_eq!(e.kind(), Kind::Invalid);
}

#[test]
fn templates_of_an_administrator() {
    let dir = tempfile::tempdir().unwrap();
    let style = Style {
        templates: Some(dir.path().to_owned()),
        ..style()
    };
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    file("README", "not a letter");
    file(
        "declined.it.txt",
        "Subject: No: {mailbox}\n\nMotivo {reason}\n",
    );
    file("declined.it.html", "<b>{reason}</b>");
    let writer = Writer::new(&style).unwrap();
    let bytes = written(
        &writer,
        &due(LetterKind::Declined, Language::Italian),
        &details(),
    );
    let (subject, text, html) = read(&bytes);
    assert_eq!(subject, "No: alice@example.com");
    assert_eq!(text, "Motivo perché è già lì\n");
    assert_eq!(html.trim(), "<b>perché è già lì</b>");

    file("declined.it.html", "<b>\n{raison}</b>");
    file("done.en.txt", "Subject: {nothing}\n\nx\n");
    file("decline.it.txt", "Subject: typo\n\n");
    let wrong = Writer::new(&style).unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    for words in [
        ["declined.it.html: line 2", "{reason}"],
        ["done.en.txt: line 1", "{nothing}"],
        ["decline.it.txt", "declined.it"],
    ] {
        let is_told = |e: &Error| words.iter().all(|word| e.to_string().contains(word));
        assert!(wrong.iter().any(is_told), "{words:?}: {wrong:?}");
    }
    assert!(wrong.iter().all(|e| e.kind() == Kind::Config));

    let style = Style {
        templates: Some(dir.path().join("none")),
        ..style
    };
    let wrong = Writer::new(&style).unwrap_err();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(
        wrong[0].to_string().contains("make the directory"),
        "{wrong:?}"
    );
}
