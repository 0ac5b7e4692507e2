//! HTML put in order before it is cleaned, so that cleaning it costs what it weighs.
//!
//! A browser's parser repairs what is wrongly nested, and HTML can be made for which that takes the square of its length in time or
//! in memory: elements that are never closed, formatting that is opened anew in every paragraph. So elements are closed here in
//! the order in which they were opened, wherever such a parser would do it, and nest no deeper than [`DEEPEST`]; only elements and
//! attributes that are kept anyway come through.
//!
//! What comes out is still hostile: this module makes nothing safe, it only leaves nothing to be repaired.
//!
//! What has no end takes nothing with it that people would read: an element of [`EMPTIED`] loses its tag alone then. Behind code,
//! comments and tags without an end nobody can tell what is what; that is left out, and said to be ([`Tidied::is_cut`]).
//!
//! Invariant: the time is linear, whatever is given.

use memchr::{memchr, memmem};

/// Elements that are left out with all that is in them, up to their end.
pub(super) const EMPTIED: [&str; 10] = [
    "applet", "iframe", "math", "noscript", "script", "style", "svg", "template", "textarea",
    "title",
];

/// Those of them that end with their tag if it says so.
const FOREIGN: [&str; 2] = ["math", "svg"];

/// Those of them that nobody reads.
const CODE: [&str; 2] = ["script", "style"];

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

/// HTML in which everything is closed in its turn.
pub struct Tidied {
    pub html: String,
    /// Something without an end is left out, with what is behind it.
    pub is_cut: bool,
}

/// Closes everything in its turn. `keeps` says whether an element is kept.
pub fn tidy(html: &str, keeps: &dyn Fn(&str) -> bool) -> Tidied {
    let mut tidy = Tidy {
        out: String::with_capacity(html.len()),
        open: Vec::new(),
        endless: Vec::new(),
        references: 0,
        is_cut: false,
    };
    let mut rest = html;
    while let Some(at) = memchr(b'<', rest.as_bytes()) {
        let (text, tag) = rest.split_at(at);
        tidy.text(text);
        rest = tidy.tag(tag, keeps);
    }
    tidy.text(rest);
    tidy.close_to(0);
    Tidied {
        html: tidy.out,
        is_cut: tidy.is_cut,
    }
}

struct Tidy {
    out: String,
    /// Names of open elements, the innermost last.
    open: Vec<String>,
    /// Names of [`EMPTIED`] that end nowhere from here on.
    endless: Vec<String>,
    /// Ampersands so far.
    references: usize,
    is_cut: bool,
}

/// What follows a tag's name.
struct Tag<'a> {
    attributes: Vec<(&'a str, &'a str)>,
    /// It ends with `/>`.
    is_self_closed: bool,
    /// What is behind it; `None`: it has no end.
    behind: Option<&'a str>,
}

/// How an element goes on that has just begun.
enum Ending<'a> {
    /// It ends; what is behind.
    Ends(&'a str),
    /// Another one of its name begins before that, so that nobody can tell which of the two ends there.
    BeginsAnew,
    Never,
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
        if let Some(comment) = tag.strip_prefix("<!--") {
            let empty = comment
                .strip_prefix('>')
                .or_else(|| comment.strip_prefix("->"));
            return empty.unwrap_or_else(|| self.behind(comment, "-->"));
        }
        let closes = tag.starts_with("</");
        let inner = tag.get(if closes { 2 } else { 1 }..).unwrap_or_default();
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic()) {
            if closes || inner.starts_with(['!', '?']) {
                return self.behind(inner, ">");
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
        let tag = Tag::of(rest);
        let Some(behind) = tag.behind else {
            self.is_cut = true;
            return "";
        };
        if closes {
            self.close(&name);
        } else if EMPTIED.contains(&name.as_str()) {
            let ended = tag.is_self_closed && FOREIGN.contains(&name.as_str());
            return if ended {
                behind
            } else {
                self.behind_element(behind, &name)
            };
        } else if keeps(&name) {
            self.begin(&name, &tag.attributes);
        }
        behind
    }

    /// What is behind the next `end`.
    fn behind<'a>(&mut self, text: &'a str, end: &str) -> &'a str {
        let at = memmem::find(text.as_bytes(), end.as_bytes());
        self.is_cut |= at.is_none();
        at.and_then(|at| text.get(at + end.len()..))
            .unwrap_or_default()
    }

    /// What is behind an element of [`EMPTIED`] that has just begun, or behind its tag.
    fn behind_element<'a>(&mut self, inside: &'a str, name: &str) -> &'a str {
        if !self.endless.iter().any(|endless| endless == name) {
            match ending(inside, name) {
                Ending::Ends(behind) => return behind,
                Ending::BeginsAnew => {}
                Ending::Never => self.endless.push(name.to_owned()),
            }
        }
        if CODE.contains(&name) {
            self.is_cut |= !inside.trim().is_empty();
            return "";
        }
        inside
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

impl<'a> Tag<'a> {
    fn of(text: &'a str) -> Self {
        let mut tag = Self {
            attributes: Vec::new(),
            is_self_closed: false,
            behind: None,
        };
        let mut rest = text;
        loop {
            let next = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            let Some(first) = next.chars().next() else {
                return tag;
            };
            if first == '>' {
                let between = rest.strip_suffix(next).unwrap_or_default();
                tag.is_self_closed = between.ends_with('/');
                tag.behind = next.get(1..);
                return tag;
            }
            let (name, value, behind) = attribute(next, first);
            rest = behind;
            let plain =
                name.len() <= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if plain && tag.attributes.len() < MOST_ATTRIBUTES {
                tag.attributes.push((name, value));
            }
        }
    }
}

/// The name and the value of an attribute, which begins with `first`, and what is behind it.
fn attribute(text: &str, first: char) -> (&str, &str, &str) {
    let after_first = first.len_utf8();
    let tail = text.get(after_first..).unwrap_or_default();
    let end = tail.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='));
    let (name, tail) = text.split_at(after_first + end.unwrap_or(tail.len()));
    let given = tail.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let Some(given) = given.strip_prefix('=') else {
        return (name, "", tail);
    };
    let given = given.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let (value, behind) = match given.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        Some(quote) => {
            let given = given.get(1..).unwrap_or_default();
            given.split_once(quote).unwrap_or((given, ""))
        }
        None => {
            let end = given.find(|c: char| c.is_ascii_whitespace() || c == '>');
            given.split_at(end.unwrap_or(given.len()))
        }
    };
    (name, value, behind)
}

/// How an element goes on that has just begun.
fn ending<'a>(html: &'a str, name: &str) -> Ending<'a> {
    let mut rest = html;
    while let Some(at) = memchr(b'<', rest.as_bytes()) {
        let tag = rest.get(at + 1..).unwrap_or_default();
        let end = tag.strip_prefix('/');
        rest = end.unwrap_or(tag);
        let begins = rest.get(..name.len());
        let is_it = begins.is_some_and(|begins| begins.eq_ignore_ascii_case(name));
        let after = rest.as_bytes().get(name.len());
        if !is_it || after.is_some_and(|b| !b.is_ascii_whitespace() && !b"/>".contains(b)) {
            continue;
        }
        if end.is_some() {
            let end = memchr(b'>', rest.as_bytes()).map_or(rest.len(), |end| end + 1);
            return Ending::Ends(rest.get(end..).unwrap_or_default());
        }
        if !CODE.contains(&name) {
            return Ending::BeginsAnew;
        }
    }
    Ending::Never
}

/// An attribute's value between double quotes; entities stay what they are.
fn quoted(value: &str) -> String {
    value
        .replace('\0', "")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
