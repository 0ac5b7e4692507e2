//! What a message is searched by: its correspondents, its subject, the names of its attachments, the text of its body.
//!
//! Only the start of a message is looked at ([`START`] bytes at most are to be given), so that a large one costs no
//! more than others: an attachment whose own header comes later is not known by name.
//!
//! Invariant: no input is refused, and none costs more than in proportion to its length.

use super::field;
use super::header::{message_id, unnumbered};
use crate::fault;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use memchr::memchr_iter;

/// Bytes of a message that are worth giving.
pub const START: usize = 1 << 20;

/// Attachments whose names are taken.
const MOST_ATTACHMENTS: usize = 1000;

/// Messages and multiparts within a message that are looked into; one inside the other, each takes some of the stack.
const MOST_CONTAINERS: usize = 300;

/// Text to be reduced to words; the fields decoded, otherwise as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searchable {
    /// From; Sender, if that is empty.
    pub sender: String,
    /// To, Cc and Bcc.
    pub recipients: String,
    pub subject: String,
    /// As in [`Headers`](super::header::Headers).
    pub message_id: Option<u128>,
    /// File names of attachments.
    pub attachments: Vec<String>,
    /// Text of the body, that of HTML without its tags. Empty unless asked for.
    pub body: String,
}

impl Searchable {
    /// What the start of a message has to be searched by.
    pub fn of(message: &[u8], with_body: bool) -> Self {
        let mut found = Self::default();
        let mut in_place = String::new();
        let end = field::each(message, |name, value| {
            let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
            if is("From") {
                add(&mut found.sender, value);
            } else if is("Sender") {
                add(&mut in_place, value);
            } else if is("To") || is("Cc") || is("Bcc") {
                add(&mut found.recipients, value);
            } else if is("Subject") && found.subject.is_empty() {
                add(&mut found.subject, value);
            } else if is("Message-ID") && found.message_id.is_none() {
                found.message_id = message_id(value);
            }
        });
        let header = message.get(..end).unwrap_or(message);
        let is_named = !found.sender.is_empty() || !found.subject.trim().is_empty();
        found.message_id = found
            .message_id
            .or_else(|| unnumbered(message, end, is_named));
        if !field::is_visible(&found.sender) {
            found.sender = in_place;
        }
        if with_body || may_have_names(header) {
            // It is somebody else's parser, and somebody else's message.
            let parse = || {
                if let Some(parsed) = MessageParser::default().parse(shallow(message)) {
                    found.look_into(&parsed, with_body);
                }
            };
            // What was found until then stays.
            let _ = fault::contained("a message with its parts", parse);
        }
        found
    }

    fn look_into(&mut self, message: &Message<'_>, with_body: bool) {
        let mut pending = vec![message];
        while let Some(message) = pending.pop() {
            for part in &message.parts {
                if let Some(name) = part.attachment_name()
                    && self.attachments.len() < MOST_ATTACHMENTS
                {
                    self.attachments.push(name.to_owned());
                }
                if let PartType::Message(inner) = &part.body {
                    pending.push(inner);
                }
            }
            if with_body {
                for position in 0..message.text_body.len() {
                    if let Some(text) = message.body_text(position) {
                        self.body.push_str(&text);
                        self.body.push('\n');
                    }
                }
            }
        }
    }
}

/// Whether a message with this header may have attachments: it has parts, or is one file with a name.
fn may_have_names(header: &[u8]) -> bool {
    let has = |what: &[u8]| {
        header
            .windows(what.len())
            .any(|w| w.eq_ignore_ascii_case(what))
    };
    has(b"multipart/") || has(b"message/") || has(b"name")
}

/// As much of a message as has no more than [`MOST_CONTAINERS`] in it.
pub fn shallow(message: &[u8]) -> &[u8] {
    let is_container = |&slash: &usize| {
        let before = message.get(..slash).unwrap_or_default();
        [&b"message"[..], b"multipart"].iter().any(|kind| {
            let start = before.len().saturating_sub(kind.len());
            before
                .get(start..)
                .is_some_and(|end| end.eq_ignore_ascii_case(kind))
        })
    };
    memchr_iter(b'/', message)
        .filter(is_container)
        .nth(MOST_CONTAINERS)
        .and_then(|slash| message.get(..slash))
        .unwrap_or(message)
}

/// Appends a field's text behind what is there.
fn add(out: &mut String, value: &[u8]) {
    let text = field::text(value);
    if !out.is_empty() && !text.is_empty() {
        out.push_str(", ");
    }
    out.push_str(&text);
}

#[cfg(test)]
mod tests {
    use super::super::header::{FIRST, Scan, scan};
    use super::*;

    #[test]
    fn fields_are_decoded_and_unfolded() {
        let message = b"From someone Thu Jan  1 00:00:00 1970\nfrom: =?utf-8?Q?J=C3=B6rg?= <j@example.com>\r\n\
            TO: a@example.com,\r\n\tb@example.com\r\nCc: c@example.com\r\nSubject : caf\xe9\r\nSubject: no\r\n\r\nTo: x\r\n";
        let found = Searchable::of(message, false);
        assert_eq!(found.sender, "Jörg <j@example.com>");
        assert_eq!(
            found.recipients,
            "a@example.com,\tb@example.com, c@example.com"
        );
        assert_eq!(found.subject, "café");
        assert_eq!(found.body, "");
        let found = Searchable::of(b"\xef\xbb\xbfSender: a@x\nFrom: \n\n", false);
        assert_eq!((found.sender.as_str(), found.message_id), ("a@x", None));
    }

    /// Messages are told apart by the same here and where they are named.
    #[test]
    fn what_stands_for_a_message_id_is_what_the_header_says() {
        let body = "0123456\n".repeat(4000);
        for message in [
            format!("From: a@b\nSubject: x\n\n{body}"),
            format!("Subject: x\nX: y\n\n{body}").replace('\n', "\r\n"),
            format!("Subject: x\nMessage-ID: <1@x>\n\n{body}"),
            "From: a@b\n".into(),
            format!("X: y\n\n{body}"),
            format!("\u{feff}From: a@b\n\n{body}"),
            format!("Sender: a@b\n\n{body}"),
            format!("Subject: \u{200b}\n\n{body}"),
        ] {
            let start = message
                .as_bytes()
                .get(..FIRST)
                .unwrap_or(message.as_bytes());
            let Scan::Complete(headers) = scan(start, start.len() < FIRST) else {
                panic!("more is wanted of {}", start.len());
            };
            let found = Searchable::of(message.as_bytes(), false);
            assert_eq!(found.message_id, headers.message_id);
        }
    }

    #[test]
    fn attachments_and_bodies() {
        let message = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
            Content-Type: text/html; charset=iso-8859-1\r\n\r\n<p>H\xe4user</p>\r\n--b\r\n\
            Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''Angebot%20%C3%BC.pdf\r\n\r\n%PDF\r\n--b\r\n\
            Content-Type: message/rfc822\r\n\r\nContent-Type: image/png; name=\"inner.png\"\r\n\r\nx\r\n--b--\r\n";
        let found = Searchable::of(message, true);
        assert_eq!(found.attachments, ["Angebot ü.pdf", "inner.png"]);
        assert!(found.body.contains("Häuser"), "{:?}", found.body);
        assert!(!found.body.contains("<p>"), "{:?}", found.body);
        assert_eq!(Searchable::of(message, false).body, "");
    }

    #[test]
    fn hostile_messages_cost_what_they_weigh() {
        let start = std::time::Instant::now();
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(30_000);
        let addresses = format!("To: {}\r\n\r\n", "a@example.com, ".repeat(60_000));
        let parts = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
            "--b\r\nContent-Type: a/b; name=x\r\n\r\n".repeat(25_000)
        );
        let words = format!("Subject: {}\r\n\r\n", "=?a?b?c".repeat(100_000));
        let html = format!(
            "Content-Type: text/html\r\n\r\n{}",
            "<a href=\"".repeat(100_000)
        );
        for message in [nested, addresses, parts, words, html] {
            let found = Searchable::of(message.as_bytes(), true);
            assert!(found.attachments.len() <= MOST_ATTACHMENTS);
        }
        for message in [&b""[..], b"\n", b":", b"From", b"To:\n\n", b"\0\xff"] {
            Searchable::of(message, true);
        }
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
