//! The text of a letter with places to be filled in.
//!
//! The first line is `Subject:` and the subject; after an empty line the text follows. [`FIELDS`] are the names in braces.
//!
//! The HTML is made of the text: the same words, escaped; only the address of the request's page becomes a link. Or a
//! file beside the text has it, and there what is filled in is escaped.

use crate::error::Result;
use crate::html::escaped;
use crate::template::{self, Line, Values, wrong};
use std::fmt::Write as _;

/// The names that can stand in braces.
pub const FIELDS: [&str; 19] = [
    "already_there",
    "asked",
    "cost",
    "created",
    "date",
    "decided_by",
    "expires",
    "id",
    "into",
    "link",
    "mailbox",
    "moved",
    "note",
    "reason",
    "refused",
    "unread",
    "unreadable",
    "user",
    "what",
];

/// Characters of a subject; a longer one could make a line that mail servers do not take.
const LONGEST_SUBJECT: usize = 250;

/// The template of a letter.
#[derive(Clone, Debug)]
pub struct Template {
    subject: Line,
    text: Vec<Line>,
    html: Option<Vec<Line>>,
}

/// A template filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Template {
    /// Reads a template, and its HTML if there is a file of that too.
    ///
    /// # Errors
    /// [`Kind::Config`]: what is wrong in which line, for who has written it.
    pub fn parse(text: &str, html: Option<&str>) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines();
        let subject = lines.next().and_then(|line| line.strip_prefix("Subject:"));
        let Some(subject) = subject.map(str::trim).filter(|s| !s.is_empty()) else {
            return Err(wrong(1, "it is not \"Subject: \" and a subject"));
        };
        if lines.next().is_some_and(|line| !line.trim().is_empty()) {
            return Err(wrong(
                2,
                "it is not empty, as the line after the subject is",
            ));
        }
        Ok(Self {
            subject: Line::parse(subject, 1, &FIELDS)?,
            text: template::parse(lines, 3, &FIELDS)?,
            html: html
                .map(|html| template::parse(html.lines(), 1, &FIELDS))
                .transpose()?,
        })
    }

    pub fn fill(&self, values: &Values) -> Filled {
        let subject = self.subject.fill(values).replace(char::is_control, " ");
        let subject: String = subject.chars().take(LONGEST_SUBJECT).collect();
        let text = template::fill(&self.text, values, str::to_owned);
        let html = match &self.html {
            Some(html) => {
                template::fill(html, values, |value| escaped(value).replace('\n', "<br>\n"))
            }
            None => as_html(&subject, &text, values.get("link").map(String::as_str)),
        };
        Filled {
            subject,
            text,
            html,
        }
    }
}

/// A page with the same words.
fn as_html(subject: &str, text: &str, link: Option<&str>) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body style=\"font-family: sans-serif; line-height: 1.5; max-width: 40em\">\n",
        escaped(subject)
    );
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.trim_matches('\n');
        let shown = escaped(paragraph);
        let _ = match link {
            Some(link) if link == paragraph => {
                writeln!(out, "<p><a href=\"{shown}\">{shown}</a></p>")
            }
            _ => writeln!(out, "<p style=\"white-space: pre-wrap\">{shown}</p>"),
        };
    }
    out.push_str("</body>\n</html>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn values(pairs: &[(&'static str, &str)]) -> Values {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_there_is_nothing_to_say_of_is_left_out() {
        let template = "Subject: Of {mailbox}\n\nHello {user}\n\nCost: {cost}\nNote: {note}\n\n\n{link}\n\n{ body }{\n";
        let template = Template::parse(template, None).unwrap();
        let filled = template.fill(&values(&[("mailbox", "a"), ("user", "b"), ("note", "c")]));
        assert_eq!(filled.subject, "Of a");
        assert_eq!(filled.text, "Hello b\n\nNote: c\n\n{ body }{\n");
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line) in [
            ("", "line 1"),
            ("Hello\n\ntext", "line 1"),
            ("Subject:  \n\ntext", "line 1"),
            ("Subject: a\ntext", "line 2"),
            ("Subject: {who}\n\ntext", "line 1"),
            ("Subject: a\n\ntext\nmore {mailboxes}", "line 4"),
        ] {
            let e = Template::parse(text, None).unwrap_err();
            assert_eq!(e.kind(), Kind::Config);
            assert!(e.to_string().starts_with(line), "{text:?}: {e}");
        }
        let e = Template::parse("Subject: a\n\nb", Some("<p>\n{nobody}")).unwrap_err();
        assert!(e.to_string().starts_with("line 2"), "{e}");
    }

    #[test]
    fn what_people_write_is_text() {
        let hostile = "<script>alert(\"1\")</script>\r\nBcc: x@example.com {link} https://evil.example\n\n<b>";
        let known = values(&[
            ("note", hostile),
            (
                "mailbox",
                &format!("a\r\nBcc: {}@example.com", "b".repeat(5000)),
            ),
            ("link", "https://mtm.example.com/requests/1"),
        ]);
        let text = "Subject: {mailbox}\n\nNote: {note}\n\n{link}\n";
        let own = "<style>p {color: red}</style>\n<a href=\"{link}\" title=\"{note}\">";
        for html in [None, Some(own)] {
            let filled = Template::parse(text, html).unwrap().fill(&known);
            assert!(!filled.subject.contains(char::is_control));
            assert_eq!(filled.subject.chars().count(), LONGEST_SUBJECT);
            assert!(!filled.html.contains("<script") && !filled.html.contains("<b>"));
            assert_eq!(filled.html.matches("href").count(), 1, "{}", filled.html);
            assert!(
                filled
                    .html
                    .contains("href=\"https://mtm.example.com/requests/1\"")
            );
            // What was filled in is not looked at for names once more.
            assert!(filled.text.contains("{link} https://evil"));
        }
    }
}
