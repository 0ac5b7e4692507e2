//! Messages as mail programs write them: RFC 5322 headers, encoded words, MIME parts. Lines end in LF, as mail
//! servers on Unix store them.

use super::letters::Language;
use chrono::{DateTime, FixedOffset};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::fmt::Write as _;
use std::io::Write as _;

/// A name and an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) address: &'static str,
}

/// How a letter's text is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// UTF-8 as it is; subjects in base64.
    Utf8,
    /// UTF-8 as it is; subjects in quoted-printable.
    Utf8Quoted,
    /// ISO-8859-1, quoted-printable throughout. What it lacks becomes a question mark.
    Latin1,
}

/// What a message is made of.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) language: Language,
    pub(super) from: Person,
    pub(super) to: Person,
    pub(super) subject: String,
    pub(super) charset: Charset,
    pub(super) body: Body,
    /// Message-IDs of the thread so far, without brackets, the answered one last.
    pub(super) thread: Vec<String>,
    pub(super) attachment: Option<Attachment>,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Text(String),
    /// A newsletter: text, HTML and the list's id.
    Newsletter {
        text: String,
        html: String,
        list: &'static str,
    },
    /// A subject and a text encoded already, both in ISO-2022-JP.
    Japanese {
        subject: &'static str,
        text: &'static [u8],
    },
}

#[derive(Clone, Debug)]
pub(super) enum Attachment {
    /// One page with a line of text.
    Pdf { name: String, line: String },
    /// A picture of so many pixels in both directions.
    Png { name: String, size: u32 },
}

/// The whole message; `id` is its Message-ID without brackets.
pub(super) fn compose(letter: &Letter, id: &str, date: DateTime<FixedOffset>) -> Vec<u8> {
    let mut header = format!(
        "Return-Path: <{}>\nDelivered-To: {}\nDate: {}\nFrom: {}\nTo: {}\n",
        letter.from.address,
        letter.to.address,
        date.to_rfc2822(),
        mailbox(letter.from, letter.charset),
        mailbox(letter.to, letter.charset),
    );
    let subject = match &letter.body {
        Body::Japanese { subject, .. } => (*subject).to_owned(),
        _ => encoded_words(&letter.subject, letter.charset),
    };
    let _ = write!(header, "Message-ID: <{id}>\nSubject: {subject}\n");
    if let Some(parent) = letter.thread.last() {
        let references: Vec<String> = letter.thread.iter().map(|id| format!("<{id}>")).collect();
        let _ = write!(
            header,
            "In-Reply-To: <{parent}>\nReferences: {}\n",
            references.join("\n ")
        );
    }
    header.push_str("MIME-Version: 1.0\n");

    let content = content(letter, id);
    let content = match &letter.attachment {
        None => content,
        Some(attachment) => multipart("mixed", id, &[content, attached(attachment)]),
    };
    [header.into_bytes(), content].concat()
}

/// The fields of the content and the content.
fn content(letter: &Letter, id: &str) -> Vec<u8> {
    match &letter.body {
        Body::Text(text) => text_part("plain", text, letter.charset),
        Body::Newsletter { text, html, list } => {
            let domain = list.split_once('.').map_or(*list, |(_, domain)| domain);
            let fields = format!(
                "List-Id: <{list}>\nList-Unsubscribe: <mailto:leave@{domain}>\nPrecedence: bulk\n"
            );
            let parts = [
                text_part("plain", text, letter.charset),
                text_part("html", html, letter.charset),
            ];
            [fields.into_bytes(), multipart("alternative", id, &parts)].concat()
        }
        Body::Japanese { text, .. } => {
            let fields = "Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n\n";
            [fields.as_bytes(), text].concat()
        }
    }
}

fn text_part(subtype: &str, text: &str, charset: Charset) -> Vec<u8> {
    let (charset, encoding, content) = match charset {
        Charset::Latin1 => {
            let content = quoted_printable(&latin1(text)).into_bytes();
            ("iso-8859-1", "quoted-printable", content)
        }
        _ if text.is_ascii() => ("us-ascii", "7bit", text.as_bytes().to_vec()),
        _ => ("utf-8", "8bit", text.as_bytes().to_vec()),
    };
    let fields = format!(
        "Content-Type: text/{subtype}; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
    );
    [fields.into_bytes(), content].concat()
}

fn multipart(subtype: &str, id: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let name = id.split('@').next().unwrap_or_default();
    let boundary = format!("=_{subtype}_{name}");
    let mut whole = format!("Content-Type: multipart/{subtype};\n boundary=\"{boundary}\"\n\n");
    whole.push_str("This is a message in MIME format.\n");
    let mut whole = whole.into_bytes();
    for part in parts {
        whole.extend(format!("\n--{boundary}\n").bytes());
        whole.extend(part);
    }
    whole.extend(format!("\n--{boundary}--\n").bytes());
    whole
}

fn attached(attachment: &Attachment) -> Vec<u8> {
    let (kind, name, bytes) = match attachment {
        Attachment::Pdf { name, line } => ("application/pdf", name, pdf(line)),
        Attachment::Png { name, size } => ("image/png", name, png(*size)),
    };
    let mut part = format!(
        "Content-Type: {kind}; name=\"{name}\"\nContent-Disposition: attachment; filename=\"{name}\"\n\
         Content-Transfer-Encoding: base64\n\n"
    );
    for line in base64(&bytes, true).as_bytes().chunks(76) {
        part.extend(line.iter().map(|b| char::from(*b)));
        part.push('\n');
    }
    part.into_bytes()
}

fn mailbox(person: Person, charset: Charset) -> String {
    if person.name.is_empty() {
        return person.address.to_owned();
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || " '-".contains(c);
    let name = if person.name.chars().all(plain) {
        person.name.to_owned()
    } else if person.name.is_ascii() {
        format!("\"{}\"", person.name)
    } else {
        encoded_words(person.name, charset)
    };
    format!("{name} <{}>", person.address)
}

/// A header's text in encoded words of RFC 2047, each short enough for its line; ASCII stays as it is.
fn encoded_words(text: &str, charset: Charset) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(30);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        words.push(match charset {
            Charset::Utf8 => format!("=?UTF-8?B?{}?=", base64(piece.as_bytes(), true)),
            Charset::Utf8Quoted => format!("=?UTF-8?Q?{}?=", quoted_word(piece.as_bytes())),
            Charset::Latin1 => format!("=?ISO-8859-1?Q?{}?=", quoted_word(&latin1(piece))),
        });
    }
    words.join("\n ")
}

fn quoted_word(bytes: &[u8]) -> String {
    let quote = |b: &u8| match b {
        b' ' => "_".to_owned(),
        b if b.is_ascii_alphanumeric() => char::from(*b).to_string(),
        b => format!("={b:02X}"),
    };
    bytes.iter().map(quote).collect()
}

fn quoted_printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for b in bytes {
        if *b == b'\n' {
            text.push('\n');
            column = 0;
            continue;
        }
        let plain = (b' '..=b'~').contains(b) && *b != b'=';
        if column > 70 {
            text.push_str("=\n");
            column = 0;
        }
        if plain {
            text.push(char::from(*b));
            column += 1;
        } else {
            let _ = write!(text, "={b:02X}");
            column += 3;
        }
    }
    text
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

/// Base64, with `=` at its end if `padded`.
pub(super) fn base64(bytes: &[u8], padded: bool) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| group.get(i).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            if digit <= group.len() {
                text.push(char::from(DIGITS[value as usize]));
            } else if padded {
                text.push('=');
            }
        }
    }
    text
}

/// A document of one page.
fn pdf(line: &str) -> Vec<u8> {
    let line: String = line.chars().filter(|c| !r"()\".contains(*c)).collect();
    let stream = format!("BT /F1 16 Tf 72 770 Td ({line}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!(
            "<< /Length {} >>\nstream\n{stream}\nendstream",
            stream.len()
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut offsets = String::new();
    for (i, object) in objects.iter().enumerate() {
        let _ = writeln!(offsets, "{:010} 00000 n ", file.len());
        let _ = write!(file, "{} 0 obj\n{object}\nendobj\n", i + 1);
    }
    let table = file.len();
    let count = objects.len() + 1;
    let _ = write!(
        file,
        "xref\n0 {count}\n0000000000 65535 f \n{offsets}trailer\n<< /Size {count} /Root 1 0 R >>\n\
         startxref\n{table}\n%%EOF\n"
    );
    file.into_bytes()
}

/// A square picture of a colour gradient.
fn png(size: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..size {
        rows.push(0);
        for x in 0..size {
            let shade = |part: u32| u8::try_from(part * 255 / size.max(1)).unwrap_or(u8::MAX);
            rows.extend([shade(x), shade(y), shade((x ^ y) % size)]);
        }
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _ = packed.write_all(&rows);
    let packed = packed.finish().unwrap_or_default();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], content: &[u8]| {
        file.extend(u32::try_from(content.len()).unwrap_or(0).to_be_bytes());
        let start = file.len();
        file.extend(kind);
        file.extend(content);
        let sum = crc32fast::hash(file.get(start..).unwrap_or_default());
        file.extend(sum.to_be_bytes());
    };
    let dimensions = [size.to_be_bytes(), size.to_be_bytes()].concat();
    chunk(b"IHDR", &[dimensions, vec![8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", &packed);
    chunk(b"IEND", &[]);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    const ANNA: Person = Person {
        name: "Anna Però",
        address: "anna@x.example",
    };

    fn letter(charset: Charset) -> Letter {
        Letter {
            language: Language::Italian,
            from: ANNA,
            to: ANNA,
            subject: "Così è: un oggetto piuttosto lungo, più di una riga, e già accentato".into(),
            charset,
            body: Body::Text("Ciao,\nà presto = più tardi\n".into()),
            thread: vec!["a@x.example".into(), "b@x.example".into()],
            attachment: Some(Attachment::Png {
                name: "foto.png".into(),
                size: 40,
            }),
        }
    }

    fn date() -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339("2026-11-19T09:32:00+01:00").unwrap()
    }

    /// Another program's reader sees what was put in, whatever the encoding.
    #[test]
    fn read_back() {
        for charset in [Charset::Utf8, Charset::Utf8Quoted, Charset::Latin1] {
            let letter = letter(charset);
            let bytes = compose(&letter, "c@x.example", date());
            let message = MessageParser::default().parse(&bytes).unwrap();
            assert_eq!(message.subject(), Some(letter.subject.as_str()));
            assert_eq!(
                message.from().unwrap().first().unwrap().name(),
                Some(ANNA.name)
            );
            assert_eq!(message.message_id(), Some("c@x.example"));
            assert_eq!(message.in_reply_to().as_text(), Some("b@x.example"));
            assert!(
                message
                    .body_text(0)
                    .unwrap()
                    .starts_with("Ciao,\nà presto = più tardi\n")
            );
            let attached = message.attachment(0).unwrap();
            assert_eq!(attached.attachment_name(), Some("foto.png"));
            assert_eq!(attached.contents(), png(40));
            for line in bytes.split(|b| *b == b'\n') {
                assert!(line.len() <= 100 && !line.contains(&b'\r'));
            }
        }
    }

    #[test]
    fn base64_as_in_its_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes(), true), text);
            assert_eq!(base64(bytes.as_bytes(), false), text.trim_end_matches('='));
        }
    }

    #[test]
    fn a_pdfs_table_points_at_its_objects() {
        let file = String::from_utf8(pdf("Fattura (118)")).unwrap();
        let table: usize = file.lines().rev().nth(1).unwrap().parse().unwrap();
        assert!(file[table..].starts_with("xref\n"));
        for (i, entry) in file[table..].lines().skip(3).take(5).enumerate() {
            let at: usize = entry[..10].parse().unwrap();
            assert!(file[at..].starts_with(&format!("{} 0 obj", i + 1)));
        }
    }
}
