//! HTML put in order before it is cleaned, so that cleaning it costs what it weighs.
//!
//! A browser's parser repairs what is wrongly nested, and HTML can be made for which that takes the square of its length in time or
//! in memory: elements that are never closed, formatting that is opened anew in every paragraph. So elements are closed here in
//! the order in which they were opened, wherever such a parser would do it, and nest no deeper than [`DEEPEST`]; only elements and
//! attributes that are kept anyway come through.
//!
//! What comes out is still hostile: this module makes nothing safe, it only leaves nothing to be repaired.
//!
//! Invariant: the time is linear, whatever is given.

use memchr::{memchr, memmem};

/// Elements that are left out with all that is in them.
pub(super) const EMPTIED: [&str; 12] = [
    "applet", "embed", "iframe", "math", "noscript", "object", "script", "style", "svg",
    "template", "textarea", "title",
];

/// How deep elements nest; of those further down only the text is kept.
const DEEPEST: usize = 150;

/// Character references in one run of text: a parser that puts it together one by one takes the square of them.
const MOST_REFERENCES: usize = 1000;

/// Attributes of one element that are looked at.
const MOST_ATTRIBUTES: usize = 50;

/// Elements that close a paragraph before they begin.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "ul",
    "td",
    "th",
];

const TABLE_PARTS: [&str; 9] = [
    "caption", "col", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr",
];

/// Elements in which only parts of a table may stand.
const TABLE_ROWS: [&str; 6] = ["colgroup", "table", "tbody", "tfoot", "thead", "tr"];

/// Elements that no end within them closes, but that of a part of their table.
const WALLS: [&str; 4] = ["caption", "table", "td", "th"];

const VOID: [&str; 4] = ["br", "col", "hr", "img"];

/// HTML in which everything is closed in its turn. `keeps` says whether an element is kept.
pub fn tidy(html: &str, keeps: &dyn Fn(&str) -> bool) -> String {
    let mut tidy = Tidy {
        out: String::with_capacity(html.len()),
        open: Vec::new(),
        references: 0,
    };
    let mut rest = html;
    while let Some(at) = memchr(b'<', rest.as_bytes()) {
        let (text, tag) = rest.split_at(at);
        tidy.text(text);
        rest = tidy.tag(tag, keeps);
    }
    tidy.text(rest);
    tidy.close_to(0);
    tidy.out
}

struct Tidy {
    out: String,
    /// Names of open elements, the innermost last.
    open: Vec<String>,
    /// Ampersands so far.
    references: usize,
}

impl Tidy {
    fn text(&mut self, text: &str) {
        for (at, run) in text.split('&').enumerate() {
            if at > 0 {
                self.references += 1;
                if self.references.is_multiple_of(MOST_REFERENCES) {
                    self.out.push_str("<wbr>");
                }
                self.out.push('&');
            }
            self.out.push_str(&run.replace('\0', ""));
        }
    }

    /// Takes a tag or what looks like one; returns what is behind it.
    fn tag<'a>(&mut self, tag: &'a str, keeps: &dyn Fn(&str) -> bool) -> &'a str {
        let behind = |text: &'a str, end: &str| match memmem::find(text.as_bytes(), end.as_bytes())
        {
            Some(at) => text.get(at + end.len()..).unwrap_or_default(),
            None => "",
        };
        if let Some(comment) = tag.strip_prefix("<!--") {
            let empty = comment
                .strip_prefix('>')
                .or_else(|| comment.strip_prefix("->"));
            return empty.unwrap_or_else(|| behind(comment, "-->"));
        }
        let closes = tag.starts_with("</");
        let inner = tag.get(if closes { 2 } else { 1 }..).unwrap_or_default();
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic()) {
            if closes || inner.starts_with(['!', '?']) {
                return behind(inner, ">");
            }
            self.out.push_str("&lt;");
            return inner;
        }
        let end = inner.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
        let (name, rest) = inner.split_at(end.unwrap_or(inner.len()));
        let name = match name.len() {
            ..=20 => name.to_ascii_lowercase(),
            _ => String::new(),
        };
        let (attributes, rest) = attributes(rest);
        if closes {
            self.close(&name);
        } else if EMPTIED.contains(&name.as_str()) {
            return behind_element(rest, &name);
        } else if keeps(&name) {
            self.begin(&name, &attributes);
        }
        rest
    }

    fn begin(&mut self, name: &str, attributes: &[(&str, &str)]) {
        if self.open.len() >= DEEPEST {
            return;
        }
        let is_part = TABLE_PARTS.contains(&name);
        let innermost = self.open.last().map(String::as_str).unwrap_or_default();
        if is_part {
            if !self.open.iter().any(|open| open == "table") {
                return;
            }
        } else if TABLE_ROWS.contains(&innermost) {
            return;
        }
        if BLOCKS.contains(&name) && !is_part {
            self.close_nearest(&["p"], &WALLS);
        }
        let _closed = match name {
            "a" => self.close_nearest(&["a"], &["caption", "td", "th"]),
            "li" => self.close_nearest(&["li"], &["caption", "ol", "table", "td", "th", "ul"]),
            "dd" | "dt" => {
                self.close_nearest(&["dd", "dt"], &["caption", "dl", "table", "td", "th"])
            }
            "td" | "th" => self.close_nearest(&["caption", "colgroup", "td", "th"], &["table"]),
            "tr" => self.close_nearest(&["caption", "colgroup", "tr"], &["table"]),
            "col" => self.close_nearest(&["caption", "tbody", "tfoot", "thead"], &["table"]),
            "caption" | "colgroup" | "tbody" | "tfoot" | "thead" => {
                let groups = ["caption", "colgroup", "tbody", "tfoot", "thead", "tr"];
                while self.close_nearest(&groups, &["table"]) {}
                true
            }
            _ => false,
        };
        if is_part && name != "col" {
            // What is open in a table besides its parts would be moved out of it.
            let wall = self.open.iter().rposition(|open| {
                TABLE_ROWS.contains(&open.as_str()) || WALLS.contains(&open.as_str())
            });
            self.close_to(wall.map_or(0, |wall| wall + 1));
        }
        self.out.push('<');
        self.out.push_str(name);
        for (attribute, value) in attributes {
            self.out
                .push_str(&format!(" {attribute}=\"{}\"", quoted(value)));
        }
        self.out.push('>');
        if !VOID.contains(&name) {
            self.open.push(name.to_owned());
        }
    }

    /// Takes the end of an element: of the nearest of that name, if no table is between.
    fn close(&mut self, name: &str) {
        let walls: &[&str] = match name {
            "table" => &[],
            name if TABLE_PARTS.contains(&name) => &["table"],
            _ => &WALLS,
        };
        self.close_nearest(&[name], walls);
    }

    fn close_nearest(&mut self, names: &[&str], walls: &[&str]) -> bool {
        for (at, open) in self.open.iter().enumerate().rev() {
            if names.contains(&open.as_str()) {
                self.close_to(at);
                return true;
            }
            if walls.contains(&open.as_str()) {
                return false;
            }
        }
        false
    }

    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            if let Some(name) = self.open.pop() {
                self.out.push_str(&format!("</{name}>"));
            }
        }
    }
}

/// The attributes of a tag, each with its value, and what is behind the tag.
fn attributes(tag: &str) -> (Vec<(&str, &str)>, &str) {
    let mut found = Vec::new();
    let mut rest = tag;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let Some(first) = rest.chars().next() else {
            return (found, "");
        };
        if first == '>' {
            return (found, rest.get(1..).unwrap_or_default());
        }
        let after_first = first.len_utf8();
        let tail = rest.get(after_first..).unwrap_or_default();
        let end = tail.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='));
        let (name, tail) = rest.split_at(after_first + end.unwrap_or(tail.len()));
        let mut value = "";
        rest = tail;
        if let Some(given) = tail
            .trim_start_matches(|c: char| c.is_ascii_whitespace())
            .strip_prefix('=')
        {
            let given = given.trim_start_matches(|c: char| c.is_ascii_whitespace());
            let quote = given.chars().next().filter(|c| matches!(c, '"' | '\''));
            (value, rest) = match quote {
                Some(quote) => {
                    let given = given.get(1..).unwrap_or_default();
                    match memchr(quote as u8, given.as_bytes()) {
                        Some(end) => (
                            given.get(..end).unwrap_or_default(),
                            given.get(end + 1..).unwrap_or_default(),
                        ),
                        None => (given, ""),
                    }
                }
                None => {
                    let end = given.find(|c: char| c.is_ascii_whitespace() || c == '>');
                    given.split_at(end.unwrap_or(given.len()))
                }
            };
        }
        let plain =
            name.len() <= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if plain && found.len() < MOST_ATTRIBUTES {
            found.push((name, value));
        }
    }
}

/// What is behind the end of an element that has just begun.
fn behind_element<'a>(html: &'a str, name: &str) -> &'a str {
    let mut rest = html;
    while let Some(at) = memmem::find(rest.as_bytes(), b"</") {
        rest = rest.get(at + 2..).unwrap_or_default();
        let begins = rest.get(..name.len());
        if begins.is_some_and(|begins| begins.eq_ignore_ascii_case(name)) {
            let end = memchr(b'>', rest.as_bytes()).map_or(rest.len(), |end| end + 1);
            return rest.get(end..).unwrap_or_default();
        }
    }
    ""
}

/// An attribute's value between double quotes; entities stay what they are.
fn quoted(value: &str) -> String {
    value
        .replace('\0', "")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
