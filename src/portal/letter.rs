//! A message for people: its fields, its text, its HTML made harmless, its attachments.
//!
//! A message is hostile bytes. Whatever comes out of here is text that a template escapes, HTML that has been through an
//! allow-list ([`html`]), or bytes to be saved under a name that is safe.
//!
//! Invariants: no input is refused, none panics; at most [`LARGEST`] bytes are taken apart, at most so many containers of them,
//! and what is left out is said; an attachment's bytes are those that were sent.
//!
//! The cast: [`Letter`] is what a page shows, [`Attachment`] one part to be taken, [`Parts`] the message taken apart; [`text`] finds
//! links in text, [`html`] cleans HTML, `tidy` puts it in order
//! first.

pub mod html;
pub mod text;
mod tidy;

use crate::fault;
use crate::html::escaped;
use crate::message::{field, searchable};
use crate::view::name;
use html::Pictures;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use std::borrow::Cow;

/// Longest message that is taken apart, in bytes; a longer one can be taken as a whole.
pub const LARGEST: u64 = 64 << 20;

/// How deep messages within messages are looked into.
pub const DEEPEST: usize = 8;

/// Attachments that are listed.
const MOST_ATTACHMENTS: usize = 1000;

/// Characters of a field that are shown.
const FIELD_CHARS: usize = 4000;

/// Bytes of text, and of HTML, that are shown.
const MOST_TEXT: usize = 2 << 20;

/// What a page shows of a message. Every text in it is hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    pub fields: Fields,
    /// What to read: the plain text, or that of the HTML.
    pub text: String,
    /// There is HTML to be shown in a frame.
    pub has_html: bool,
    /// The HTML wants to fetch pictures from elsewhere.
    pub has_remote: bool,
    pub attachments: Vec<Attachment>,
    /// Not all of the message is in here.
    pub is_cut: bool,
}

/// The fields that people look at, decoded; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub from: String,
    pub to: String,
    pub cc: String,
    pub reply_to: String,
    /// As the sender wrote it.
    pub date: String,
    pub subject: String,
}

/// A part of a message that can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Which part it is: what it is asked for by.
    pub number: u32,
    /// Safe as a file's name.
    pub name: String,
    /// Such as `application/pdf`, as the sender says.
    pub kind: String,
    /// In bytes.
    pub size: usize,
    pub form: Form,
}

/// How an attachment can be shown in a browser without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A picture, by what it begins with; its media type.
    Picture(&'static str),
    /// Plain text.
    Text,
    /// Another message.
    Message,
    /// Not at all.
    File,
}

/// A message taken apart.
pub struct Parts<'a> {
    message: Message<'a>,
    is_cut: bool,
}

impl<'a> Parts<'a> {
    /// `None` if it has not even a header.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let whole = searchable::shallow(bytes);
        // It is somebody else's parser, and somebody else's message.
        let parse = || MessageParser::default().parse(whole);
        let message = fault::contained("a message with its parts", parse).flatten()?;
        Some(Self {
            message,
            is_cut: whole.len() < bytes.len(),
        })
    }

    fn part(&self, number: u32) -> Option<&MessagePart<'a>> {
        self.message.parts.get(number as usize)
    }

    /// The HTML to be shown; that of several parts one after the other, plain text between them as text. `None` if all of it
    /// is plain.
    fn html(&self) -> Option<String> {
        let parts = || self.message.html_body.iter().filter_map(|n| self.part(*n));
        if !parts().any(|part| matches!(part.body, PartType::Html(_))) {
            return None;
        }
        let mut html = String::new();
        for part in parts() {
            match &part.body {
                PartType::Html(text) => html.push_str(text),
                PartType::Text(text) => {
                    html.push_str("<pre>");
                    html.push_str(&escaped(text));
                    html.push_str("</pre>");
                }
                _ => continue,
            }
            html.push('\n');
        }
        Some(html)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for part in self.message.text_body.iter().filter_map(|n| self.part(*n)) {
            match &part.body {
                PartType::Text(part) => text.push_str(part),
                PartType::Html(part) => text.push_str(&html::as_text(cut(part).0)),
                _ => continue,
            }
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        text.replace("\r\n", "\n")
    }

    /// The HTML, harmless, with the pictures that came with it. `remote`: with those from elsewhere too.
    pub fn clean_html(&self, remote: bool) -> Option<String> {
        let html = self.html()?;
        let mut pictures = Pictures::default();
        for part in &self.message.parts {
            if let Some(id) = part.content_id()
                && let Some(kind) = picture_kind(part.contents())
            {
                pictures.add(id.trim_matches(['<', '>']), kind, part.contents());
            }
        }
        Some(html::clean(cut(&html).0, remote, pictures))
    }

    /// What can be taken.
    fn attachments(&self) -> Vec<Attachment> {
        let numbers = self.message.attachments.iter().copied();
        let numbers = numbers.take(MOST_ATTACHMENTS);
        numbers.filter_map(|n| self.attachment(n)).collect()
    }

    fn attachment(&self, number: u32) -> Option<Attachment> {
        let part = self.part(number)?;
        let bytes = self.bytes_of(part);
        let kind = part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        });
        let kind = kind.unwrap_or_default().to_lowercase();
        let form = match (&part.body, picture_kind(&bytes)) {
            (PartType::Multipart(_), _) => return None,
            (PartType::Message(_), _) => Form::Message,
            (_, Some(picture)) => Form::Picture(picture),
            (PartType::Text(_), _) if kind == "text/plain" || kind.is_empty() => Form::Text,
            _ => Form::File,
        };
        let given = part.attachment_name().map(str::trim);
        let name = match given.filter(|name| !name.is_empty()) {
            Some(given) => name::component(given),
            None => unnamed(number, form, &kind),
        };
        Some(Attachment {
            number,
            name,
            kind: capped(&kind, 100),
            size: bytes.len(),
            form,
        })
    }

    /// An attachment and its bytes.
    pub fn take(&self, number: u32) -> Option<(Attachment, Vec<u8>)> {
        if !self.message.attachments.contains(&number) {
            return None;
        }
        let attachment = self.attachment(number)?;
        let bytes = self.bytes_of(self.part(number)?).into_owned();
        Some((attachment, bytes))
    }

    /// The bytes that were sent as a part: those of text in the character set that it was sent in.
    fn bytes_of<'b>(&'b self, part: &'b MessagePart<'a>) -> Cow<'b, [u8]> {
        let raw = || {
            let range = part.offset_body as usize..part.offset_end as usize;
            self.message.raw_message.get(range).unwrap_or_default()
        };
        match (&part.body, part.encoding) {
            (PartType::Message(inner), Encoding::Base64 | Encoding::QuotedPrintable) => {
                inner.raw_message.as_ref().into()
            }
            (PartType::Message(_), Encoding::None) => raw().into(),
            (PartType::Text(_) | PartType::Html(_), Encoding::None) => raw().into(),
            (PartType::Text(text) | PartType::Html(text), encoding) => {
                let decoded = match encoding {
                    Encoding::Base64 => base64_decode(raw()),
                    _ => quoted_printable_decode(raw()),
                };
                decoded.map_or(text.as_bytes().into(), Cow::Owned)
            }
            _ => part.contents().into(),
        }
    }
}

impl Letter {
    /// What a page shows of a message.
    pub fn of(bytes: &[u8]) -> Self {
        let fields = Fields::of(bytes);
        let Some(parts) = Parts::of(bytes) else {
            return Self {
                fields,
                ..Self::default()
            };
        };
        let whole = parts.text();
        let (text, is_text_cut) = cut(&whole);
        let html = parts.html().unwrap_or_default();
        let (html, is_html_cut) = cut(&html);
        let attachments = parts.attachments();
        Self {
            fields,
            text: text.to_owned(),
            has_html: !html.is_empty(),
            has_remote: html::has_remote(html),
            is_cut: parts.is_cut
                || is_text_cut
                || is_html_cut
                || html::is_cut(html)
                || parts.message.attachments.len() > MOST_ATTACHMENTS,
            attachments,
        }
    }
}

impl Fields {
    /// Those of a header; of each the first one, but all recipients.
    pub fn of(message: &[u8]) -> Self {
        let mut fields = Self::default();
        field::each(message, |name, value| {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            let (field, several) = if is("From") {
                (&mut fields.from, false)
            } else if is("To") {
                (&mut fields.to, true)
            } else if is("Cc") {
                (&mut fields.cc, true)
            } else if is("Reply-To") {
                (&mut fields.reply_to, false)
            } else if is("Date") {
                (&mut fields.date, false)
            } else if is("Subject") {
                (&mut fields.subject, false)
            } else {
                return;
            };
            let room = FIELD_CHARS.saturating_sub(field.len());
            if room == 0 || !several && !field.is_empty() {
                return;
            }
            // Decoded text is no longer than three times what it is made of.
            let value = value.get(..4 * FIELD_CHARS).unwrap_or(value);
            let text = capped(&field::text(value), room);
            if !field.is_empty() && !text.is_empty() {
                field.push_str(", ");
            }
            field.push_str(&text);
        });
        fields
    }
}

/// The message within a message that the numbers of parts lead to, from the outside in; itself if there are none.
pub fn within<'a>(bytes: &'a [u8], numbers: &[u32]) -> Option<Cow<'a, [u8]>> {
    if numbers.len() > DEEPEST {
        return None;
    }
    let mut message = Cow::Borrowed(bytes);
    for &number in numbers {
        let inner = {
            let parts = Parts::of(&message)?;
            let (attachment, bytes) = parts.take(number)?;
            (attachment.form == Form::Message).then_some(bytes)?
        };
        message = Cow::Owned(inner);
    }
    Some(message)
}

/// The media type of a picture that browsers show and that can do no harm, by what it begins with.
fn picture_kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

/// What a part is called that has no name.
fn unnamed(number: u32, form: Form, kind: &str) -> String {
    let extension = match (form, kind) {
        (Form::Picture(kind), _) => kind.split('/').next_back().unwrap_or("bin"),
        (Form::Text, _) => "txt",
        (Form::Message, _) => "eml",
        (_, "text/html") => "html",
        (_, "text/calendar") => "ics",
        (_, "application/pdf") => "pdf",
        _ => "bin",
    };
    format!("{number}.{extension}")
}

fn capped(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// As much of a text as is shown, and whether that is less than all.
fn cut(text: &str) -> (&str, bool) {
    let mut end = MOST_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text.get(..end).unwrap_or_default(), end < text.len())
}

#[cfg(test)]
mod tests;
