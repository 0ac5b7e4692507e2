//! Text with places to be filled in, as an administrator writes it.
//!
//! `{name}` stands for what is known by that name; other braces are text. A line with a name that there is nothing to say
//! of is left out, so that one template serves whether there is something or not. What is filled in is not looked at for
//! names once more.

use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;

/// What is filled in, by name; a name that is missing or empty has nothing to say.
pub type Values = BTreeMap<&'static str, String>;

/// A line: text, and names of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(&'static str),
}

impl Piece {
    fn fill<'a>(&'a self, values: &'a Values) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Field(name) => values.get(name).map_or("", String::as_str),
        }
    }
}

/// What is wrong with a line, for who has written it.
pub fn wrong(line: usize, what: &str) -> Error {
    Error::new(Kind::Config, format!("line {line}: {what}"))
}

/// Reads lines, of which the first has this number, with these names.
///
/// # Errors
/// [`Kind::Config`]: a name that is not among them, and its line.
pub fn parse<'a>(
    lines: impl Iterator<Item = &'a str>,
    first: usize,
    names: &[&'static str],
) -> Result<Vec<Line>> {
    let numbered = lines.zip(first..);
    numbered
        .map(|(line, number)| Line::parse(line, number, names))
        .collect()
}

/// The lines that have something to say, never more than one empty line in a row. `written` makes text of a value.
pub fn fill(lines: &[Line], values: &Values, written: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for line in lines {
        let says_nothing =
            |piece: &Piece| matches!(piece, Piece::Field(_)) && piece.fill(values).is_empty();
        if line.0.iter().any(says_nothing) {
            continue;
        }
        let start = out.len();
        for piece in &line.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(_) => out.push_str(&written(piece.fill(values))),
            }
        }
        if out.len() == start && (out.is_empty() || out.ends_with("\n\n")) {
            continue;
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

impl Line {
    /// Reads the line of a number.
    pub fn parse(line: &str, number: usize, names: &[&'static str]) -> Result<Self> {
        let mut found = Vec::new();
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let is_name = |name: &&str| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            };
            let name = after.split_once('}').filter(|(name, _)| is_name(name));
            let Some((name, behind)) = name else {
                text.push('{');
                rest = after;
                continue;
            };
            let Some(field) = names.iter().find(|field| **field == name) else {
                let all: Vec<String> = names.iter().map(|field| format!("{{{field}}}")).collect();
                let all = all.join(", ");
                return Err(wrong(
                    number,
                    &format!("nothing is known as {{{name}}}: there are {all}"),
                ));
            };
            found.push(Piece::Text(std::mem::take(&mut text)));
            found.push(Piece::Field(field));
            rest = behind;
        }
        text.push_str(rest);
        found.push(Piece::Text(text));
        Ok(Self(found))
    }

    /// The line filled in, whether or not there is something to say.
    pub fn fill(&self, values: &Values) -> String {
        let pieces = self.0.iter();
        pieces.map(|piece| piece.fill(values)).collect()
    }
}
