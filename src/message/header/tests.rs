//! Tests of `header`.

use super::*;
use proptest::prelude::*;

fn headers(message: impl AsRef<[u8]>) -> Headers {
    match scan(message.as_ref(), true) {
        Scan::Complete(headers) => headers,
        Scan::NeedMore => panic!("there is no more"),
    }
}

fn sender(from: impl AsRef<[u8]>) -> String {
    headers([b"From: ", from.as_ref(), b"\n\n"].concat()).sender
}

fn subject(subject: impl AsRef<[u8]>) -> String {
    headers([b"Subject: ", subject.as_ref(), b"\n\n"].concat()).subject
}

#[test]
fn fields_are_found() {
    let lf = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nReceived: from x\n\tby From: y\nDate: garbage\n\
              fROM : Bob Rossi <bob@example.com>\nSubject:\n Preventivo\n\t2026\n\
              Subject: second\nMessage-Id: <1@x>\nX: y\n\nFrom: body\n";
    let expected = Headers {
        sender: "Bob Rossi".into(),
        subject: "Preventivo\t2026".into(),
        message_id: headers("Message-ID:<1@x>").message_id,
    };
    assert!(expected.message_id.is_some());
    assert_eq!(headers(lf), expected);
    assert_eq!(headers(lf.replace('\n', "\r\n")), expected);
}

#[test]
fn nothing_to_find() {
    let none = Headers::default();
    for message in [
        &b""[..],
        b"\n",
        b"\r\nSubject: body\n",
        b"\0\0\0\0",
        b"From MAILER-DAEMON\n",
        b"text with no header\n\nSubject: body",
        b"Senders: x@y\nFromage: z\nSubjects: t\n",
        b"Message-ID:\nFrom:\nSubject: \n \n\n",
        b"Message-ID: <>\n",
        b" Subject: continues nothing\n",
    ] {
        assert_eq!(
            headers(message),
            none,
            "{:?}",
            message.escape_ascii().to_string()
        );
    }
}

#[test]
fn more_is_asked_for_until_the_header_ends() {
    let message = "Subject: a\r\n b\r\nMessage-ID: <d>\r\n\r\nbody";
    let end = message.find("body").unwrap();
    for n in 0..message.len() {
        let scanned = scan(&message.as_bytes()[..n], false);
        assert_eq!(scanned == Scan::NeedMore, n < end, "{n}");
    }
    // All found: the rest of the header does not matter.
    let all = "Subject: a\nFrom: b@c\nMessage-ID: <d>\nX";
    assert_eq!(scan(all.as_bytes(), false), Scan::NeedMore);
    let all = "Subject: a\nFrom: b@c\nMessage-ID: <d>\nX: \n";
    assert!(matches!(scan(all.as_bytes(), false), Scan::Complete(_)));
}

#[test]
fn without_a_message_id_the_beginning_of_the_body_tells_messages_apart() {
    let id = |message: &str| headers(message).message_id;
    let scan_of = |body: &str| format!("From: scanner@x\nSubject: Scan\n\n{body}");
    assert_ne!(id(&scan_of("body 1\n")), id(&scan_of("body 2\n")));
    assert_eq!(id("X: y\n\nbody"), None);
    // The same, whatever the line ends, and however much is given at first.
    for body in ["body\n", &"\n".repeat(20_000), &"0123456\n".repeat(2000)] {
        let message = scan_of(body);
        let crlf = message.replace('\n', "\r\n");
        assert_eq!(id(&message), id(&crlf));
        for message in [&message, &crlf] {
            for len in [0, 40, FIRST - 1, FIRST, FIRST + 1, 2 * FIRST] {
                let some = &message.as_bytes()[..len.min(message.len())];
                match scan(some, false) {
                    Scan::Complete(found) => assert_eq!(found.message_id, id(message), "{len}"),
                    Scan::NeedMore => assert!(some.len() < FIRST, "{len}"),
                }
            }
        }
    }
    // Of a longer header it is all of that.
    let long = format!("Subject: x\n{}\n", "X: y\n".repeat(10_000));
    assert_eq!(id(&format!("{long}body 1")), id(&format!("{long}body 2")));
    assert_ne!(id(&long), id(&long.replacen("X: y\n\n", "X: z\n\n", 1)));
}

#[test]
fn senders() {
    assert_eq!(sender("bob@example.com"), "bob@example.com");
    assert_eq!(sender("<bob@example.com>"), "bob@example.com");
    assert_eq!(sender("Bob Rossi <bob@example.com>"), "Bob Rossi");
    assert_eq!(sender("\"Rossi, Bob\" <bob@example.com>"), "Rossi, Bob");
    assert_eq!(sender("\"Bob \\\"B\\\" Rossi\" <b@e>"), "Bob \"B\" Rossi");
    assert_eq!(sender("\"\" <bob@example.com>"), "bob@example.com");
    assert_eq!(sender("\" \" <bob@example.com>"), "bob@example.com");
    assert_eq!(sender("bob@example.com (Bob Rossi)"), "Bob Rossi");
    assert_eq!(sender("a@x, b@x"), "a@x");
    assert_eq!(sender("Staff: Anna <a@x>, b@x;"), "Anna");
    assert_eq!(sender("undisclosed:;"), "undisclosed");
    assert_eq!(sender("Bob"), "Bob");
    assert_eq!(
        sender("\"bob@example.com\" <bob@example.com>"),
        "bob@example.com"
    );
    assert_eq!(sender(""), "");
    assert_eq!(sender("<>"), "");
}

#[test]
fn who_sent_it_in_the_place_of_who_wrote_it() {
    for (header, expected) in [
        ("Sender: Ann <a@x>\nFrom: b@x", "b@x"),
        ("Sender: Ann <a@x>\nFrom: <>", "Ann"),
        (
            "From: \nSubject: s\nMessage-ID: <1@x>\nSender: Ann <a@x>",
            "Ann",
        ),
        ("From: \u{200b}\nsender : a@x", "a@x"),
        ("Sender: a@x", "a@x"),
        ("Sender:", ""),
        ("\u{feff}From: b@x\nSubject: s", "b@x"),
        ("\u{feff}Sender: a@x", "a@x"),
    ] {
        let message = format!("{header}\n\nbody");
        assert_eq!(headers(&message).sender, expected, "{header}");
        assert_eq!(headers(message.replace('\n', "\r\n")).sender, expected);
    }
}

#[test]
fn encoded_senders() {
    assert_eq!(sender("=?utf-8?Q?Bj=C3=B6rn?= <b@e>"), "Björn");
    assert_eq!(
        sender("=?utf-8?Q?M=C3=BCller=2C_J=C3=B6rg_=3Cx=40y=3E?= <b@e>"),
        "Müller, Jörg <x@y>"
    );
    assert_eq!(
        sender("\"=?utf-8?Q?M=C3=BCller=2C_J=22?=\" <b@e>"),
        "Müller, J\""
    );
    assert_eq!(
        sender("=?utf-8?B?w?= =?utf-8?Q?=C3?=\n =?utf-8?Q?=B6?= <b@e>"),
        "ö"
    );
    assert_eq!(sender("=?iso-8859-1?Q?J=F6rg?= Rossi <b@e>"), "Jörg Rossi");
    assert_eq!(sender("Jörg Müller <b@e>"), "Jörg Müller");
    assert_eq!(sender(b"J\xf6rg <b@e>"), "Jörg");
    assert_eq!(sender(b"\"J\xf6rg, M\" <b@e>"), "Jörg, M");
}

#[test]
fn subjects() {
    assert_eq!(subject("Preventivo"), "Preventivo");
    assert_eq!(
        subject("=?utf-8?Q?Caff=C3?=\r\n\t=?utf-8?Q?=A8?= e=\n te"),
        "Caffè e= te"
    );
    assert_eq!(subject("Grüße"), "Grüße");
    assert_eq!(subject(b"Gr\xfc\xdfe"), "Grüße");
    assert_eq!(subject("a  b"), "a  b");
    // Of which nothing is to be seen.
    assert_eq!(subject("\u{200b}\u{ad} \u{feff}"), "");
    assert_eq!(subject("=?utf-8?B?4oCL?="), "");
    assert_eq!(subject("\u{200b}a"), "\u{200b}a");
}

#[test]
fn long_fields_are_cut() {
    assert_eq!(subject("é".repeat(1_000_000)), "é".repeat(TEXT_CAP));
    assert_eq!(sender("é".repeat(1_000_000)), "é".repeat(TEXT_CAP));
    assert_eq!(subject("=?a?q?é".repeat(100_000)).chars().count(), TEXT_CAP);
    assert!(sender("=?a?q?".repeat(100_000)).len() <= TEXT_CAP);
    assert!(sender("(".repeat(100_000)).len() <= TEXT_CAP);
    assert_eq!(
        sender(format!("{}<a@b>", "\"x\" ".repeat(100_000))).len(),
        TEXT_CAP
    );
}

#[test]
fn message_ids() {
    let id = |value: &str| headers(format!("Message-ID:{value}\n\n")).message_id;
    assert_eq!(id(" <a@b>"), id("\r\n\t<a@b> \r"));
    assert_ne!(id("<a@b>"), id("<a@c>"));
    assert_eq!(id(" < > "), None);
    // Without one the whole header and the beginning of the body stand for it, if the header says anything.
    let id_of = |header: &str| headers(format!("{header}\n\nbody\n")).message_id;
    let plain = id_of("Subject: a\nDate: 1");
    assert!(plain.is_some());
    assert_ne!(plain, headers("Subject: a\nDate: 1\n\nother\n").message_id);
    assert_ne!(plain, id_of("Subject: a\nDate: 2"));
    assert_ne!(plain, id_of("Message-ID: <>\nSubject: a\nDate: 1"));
    assert_eq!(id_of("Date: 1"), None);
    // The whole of a long one counts.
    let long = "x".repeat(FIELD_CAP);
    assert_ne!(id(&format!("<{long}1>")), id(&format!("<{long}2>")));
}

proptest! {
    #[test]
    fn no_input_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        headers(&bytes);
        sender(&bytes);
        subject(&bytes);
    }

    #[test]
    fn syntax_in_any_order(pieces in prop::collection::vec(
        prop::sample::select(&[
            "\"", "\\", "(", ")", "<", ">", ",", ";", ":", "@", " ", "=?utf-8?q?=C3?=", "=?", "?=", "\r\n ", "é", "a",
        ][..]), 0..30,
    )) {
        let text = pieces.concat();
        prop_assert!(sender(&text).chars().count() <= TEXT_CAP);
    }

    /// The quick way of reading a sender agrees with the parser.
    #[test]
    fn plain_mailboxes(text in "[\"]?[a-zé. ]{0,8}[\"]?[ ]?<?[a-z]{0,3}@?[a-z.]{0,3}>?") {
        let text = text.trim();
        if let Some(plain) = plain_mailbox(text) {
            prop_assert_eq!(Some(plain.to_owned()), mailbox::called(text.as_bytes()));
        }
    }

    /// What is found does not depend on how much is read at first.
    #[test]
    fn more_bytes_change_nothing(
        lines in prop::collection::vec("\u{feff}?(From|Sender|Subject|Message-ID|X| )[:]?[a-z@< ]{0,5}\r?\n|\r?\n", 0..8),
        at in 0usize..100,
    ) {
        let message = lines.concat().into_bytes();
        if let Scan::Complete(first) = scan(&message[..at.min(message.len())], false) {
            prop_assert_eq!(first, headers(&message));
        }
    }
}
