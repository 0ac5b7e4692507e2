//! What comes from other places than a mail store: an IMAP server, a browser, our own index and logs.

use super::Target;
use super::texts::{MESSAGE_WORDS, MESSAGES, text};
use mailtm::index::search::{Field, Mailbox, Query, Search, Term};
use mailtm::message::words;
use mailtm::portal::letter::{Letter, Parts, html};
use mailtm::restore::imap::session::{Session, takes_password};
use mailtm::restore::imap::transport::Transport;
use mailtm::restore::journal::{Past, escape, unescape};
use mailtm::store::Messages;
use std::io::{self, Cursor, Read, Write};

/// A server that has its say whatever it is told.
struct Says(Cursor<Vec<u8>>);

impl Read for Says {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // In pieces, as from a network.
        let len = buffer.len().min(1 + self.0.position() as usize % 97);
        self.0.read(&mut buffer[..len])
    }
}

impl Write for Says {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Says {}

pub fn imap() -> Target {
    fn run(input: &[u8]) {
        let says = || Box::new(Says(Cursor::new(input.to_vec())));
        let accepted = takes_password(says(), "alice@example.com", "secret");
        let said_so = input.windows(5).any(|line| line == b"m1 OK");
        assert!(said_so || !accepted.is_ok_and(|accepted| accepted));
        let Ok(mut session) = Session::begin(says(), Some(("alice", "master", "secret"))) else {
            return;
        };
        let Ok(folders) = session.folders() else {
            return;
        };
        for folder in folders {
            if session.open(&folder.name, false).is_err() {
                return;
            }
            let mut literals = 0;
            let _ = session.fetch("1:*", "UID FLAGS", &mut |response| {
                literals += response.literals.iter().map(Vec::len).sum::<usize>();
            });
            assert!(literals <= input.len());
            let mut bytes = 0;
            let _ = session.read(1, &mut |part: &[u8]| bytes += part.len());
            assert!(bytes <= input.len());
        }
    }
    Target {
        name: "imap",
        seeds: &[
            b"* OK ready\r\n+ \r\nm1 OK in\r\n* CAPABILITY IMAP4rev1 UIDPLUS\r\nm2 OK\r\n* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\nm3 OK\r\n* LIST (\\HasNoChildren) \".\" INBOX\r\n* LIST (\\Noselect) \".\" {5}\r\nA&AP-\r\nm4 OK\r\n* 2 EXISTS\r\n* OK [UIDVALIDITY 17] x\r\n* OK [UIDNEXT 3] x\r\nm5 OK\r\n* 1 FETCH (UID 1 FLAGS (\\Seen Work))\r\nm6 OK\r\n* 1 FETCH (UID 1 FLAGS () BODY[] {4}\r\nHi\r\n)\r\nm7 OK\r\n",
            b"* PREAUTH\r\nm1 OK\r\nm2 BAD\r\n* LIST () NIL \"a\\\"b\"\r\nm3 OK\r\n",
            b"* OK\r\n+ \r\n+ \r\nm1 NO [AUTHENTICATIONFAILED]\r\n",
            b"* BYE\r\n",
        ],
        words: &[
            b"\r\n", b"* ", b"+ \r\n", b"m1 OK\r\n", b"m2 OK\r\n", b"m3 OK\r\n", b"m4 OK\r\n", b"m5 OK\r\n", b"{3}\r\n", b"{0}\r\n",
            b"{4294967296}\r\n", b"{18446744073709551615}\r\n", b"\"", b"(", b")", b"FLAGS (", b"UID ", b"NIL", b"BODY[]", b"\0",
        ],
        run,
    }
}

/// Elements that would run something, fetch it, or send something away.
const HARMFUL: [&str; 8] = [
    "script", "iframe", "object", "embed", "form", "meta", "link", "base",
];

pub fn letter() -> Target {
    fn run(input: &[u8]) {
        let letter = Letter::of(input);
        assert!(
            letter
                .attachments
                .iter()
                .all(|a| mailtm::view::name::is_safe(&a.name)),
            "{letter:?}"
        );
        let Some(parts) = Parts::of(input) else {
            return;
        };
        for attachment in &letter.attachments {
            let _ = parts.take(attachment.number);
        }
        if let Some(clean) = parts.clean_html(false) {
            assert_harmless(&clean, false);
        }
    }
    Target {
        name: "letter",
        seeds: MESSAGES,
        words: MESSAGE_WORDS,
        run,
    }
}

/// Fails if a cleaned document has an element or an attribute that does anything, but for pictures if those may come from
/// elsewhere.
fn assert_harmless(clean: &str, remote: bool) {
    // The head is ours. In text and in attributes `<` and `>` are written otherwise.
    let body = clean.split_once("<body").map_or("", |(_, body)| body);
    for tag in body
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
    {
        let mut pieces = tag.split('"');
        let mut name = pieces.next().unwrap();
        let element = name.split(' ').next().unwrap();
        assert!(!HARMFUL.contains(&element), "{clean}");
        // What is between quotes is a value, and what is before it the name of the attribute.
        while let (Some(value), Some(next)) = (pieces.next(), pieces.next()) {
            let attribute = name.rsplit(' ').next().unwrap().trim_end_matches('=');
            let value = value.to_ascii_lowercase();
            let begins = |schemes: &[&str]| schemes.iter().any(|scheme| value.starts_with(scheme));
            match attribute {
                "src" => assert!(
                    begins(&["data:image/"]) || remote && begins(&["http"]),
                    "{clean}"
                ),
                "href" => assert!(
                    begins(&["http", "mailto"]) || !value.contains(':'),
                    "{clean}"
                ),
                "style" => assert!(
                    !value.contains("url(") && !value.contains("expression"),
                    "{clean}"
                ),
                _ => assert!(!attribute.starts_with("on"), "{clean}"),
            }
            name = next;
        }
    }
}

pub fn letter_html() -> Target {
    fn run(input: &[u8]) {
        let whole = text(input);
        let clean = html::clean(&whole, false, html::Pictures::default());
        assert_harmless(&clean, false);
        assert_harmless(&html::clean(&whole, true, html::Pictures::default()), true);
        let _ = html::as_text(&whole);
    }
    Target {
        name: "letter_html",
        seeds: &[
            b"<p style=\"color:red;background:url(http://x/)\">Hi <a href='javascript:x'>there</a><img src=\"http://x/y.png\" onerror=x>",
            b"<svg><style><!--</style><img src=x onerror=alert(1)>--></svg><math><mtext><table><mglyph><style><math href=x>",
            b"<table><tr><td><div><b><i>x</b></i></table><!-- <script>x</script> --><![CDATA[<script>]]>",
            b"<img src=\"cid:1\"><img src='data:image/png;base64,AA=='><base href=http://x><form action=x><input>",
        ],
        words: &[
            b"<", b">", b"</", b"<script>", b"</script>", b"<style>", b"</style>", b"<svg>", b"<math>", b"<template>", b"<noscript>",
            b"<textarea>", b"<title>", b"<table>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"\"", b"'", b" onload=x ", b" style=\"",
            b"url(", b" href=\"", b"javascript:", b"&#106;avascript&colon;", b" src=\"http://x/\"", b"&lt;", b"\0", b"<div>", b"<b>", b"<a ",
            b"<img ", b"<plaintext>", b"<select>", b"<p>",
        ],
        run,
    }
}

/// Words that somebody searches for, against the database that has to understand them.
pub fn search_words() -> Target {
    fn run(input: &[u8]) {
        thread_local! {
            static SEARCH: (Search, Mailbox) = {
                let search = Search::temporary(b"fuzz").unwrap();
                let mailbox = search.mailbox(b"m", "alice@example.com").unwrap();
                (search, mailbox)
            };
        }
        let words = words::of(&text(input));
        if words.is_empty() {
            return;
        }
        let fields = [Field::Any, Field::Sender, Field::Subject];
        let query = Query {
            terms: fields
                .map(|field| Term {
                    field,
                    words: words.clone(),
                    begins: input.len().is_multiple_of(2),
                })
                .to_vec(),
            ..Query::default()
        };
        SEARCH.with(|(search, mailbox)| {
            let found = search.find(&query, std::slice::from_ref(mailbox), |_, _| Ok(true));
            assert!(found.is_ok(), "{words:?}: {found:?}");
            assert!(!search.is_damaged());
        });
    }
    Target {
        name: "search_words",
        seeds: const {
            &[
                b"fattura n. 598/2026",
                b"\"a b\" OR NOT (c*) NEAR(d, 3) subject:e ^f {g}",
                "Caffè Straße 日本語の件名 Ünïcödé".as_bytes(),
                b"bob.rossi+news@example.com",
            ]
        },
        words: const {
            &[
                b"\"",
                b"*",
                b" OR ",
                b" AND ",
                b" NOT ",
                b"NEAR(",
                b":",
                b"^",
                b"+",
                b"-",
                b"{",
                b"}",
                b"(",
                b")",
                b"\0",
                b"'",
                b";",
                "\u{301}".as_bytes(),
                "\u{200d}".as_bytes(),
                "ǅ".as_bytes(),
                "İ".as_bytes(),
                "ﬃ".as_bytes(),
                "ﷺ".as_bytes(),
                "한국".as_bytes(),
            ]
        },
        run,
    }
}

/// A listing as the index keeps it; the index may be damaged.
pub fn listings() -> Target {
    fn run(input: &[u8]) {
        let mut rest = input;
        if let Some(messages) = Messages::decode(&mut rest) {
            for message in messages.iter() {
                let _ = (
                    messages.identity(message),
                    messages.keywords(message).count(),
                );
            }
            let mut encoded = Vec::new();
            messages.encode(&mut encoded).unwrap();
            let again = Messages::decode(&mut encoded.as_slice()).unwrap();
            assert!(messages.equals(&again));
        }
    }
    Target {
        name: "listings",
        seeds: &[
            b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\x03\0\0\x01\0\0\0\0\x07\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0abc",
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ],
        words: &[b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x01\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f"],
        run,
    }
}

/// The log of a restore.
pub fn journal() -> Target {
    fn run(input: &[u8]) {
        assert_eq!(unescape(&escape(input)), input);
        let _ = unescape(&text(input));
        thread_local! {
            static FILE: tempfile::NamedTempFile = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap();
        }
        FILE.with(|file| {
            std::fs::write(file.path(), input).unwrap();
            let _ = Past::read(file.path());
        });
    }
    Target {
        name: "journal",
        seeds: &[
            b"{\"run\":{\"version\":1,\"date\":\"2026-11-20\",\"mailbox\":\"a@b\"}}\n{\"begin\":{\"items\":1}}\n{\"put\":{\"item\":0,\"place\":{\"folder\":\"\",\"digest\":\"x\",\"flags\":\"S\"}}}\n\"end\"\n",
            b"%41%zz%",
        ],
        words: &[b"\n", b"{", b"}", b"\"", b"\"item\":18446744073709551615", b"\"end\"\n", b"%", b"[", b"\\u0000"],
        run,
    }
}
