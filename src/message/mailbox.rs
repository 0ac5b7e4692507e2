//! The first mailbox of an address field (RFC 5322): what it is called.
//!
//! What encoded words hide is text, whatever it looks like. What opens and is not closed is text, too.
//!
//! Invariants: no input is refused; the time is linear.

use super::encoded_word::{Piece, pieces};
use super::field::is_visible;

/// The display name of the first mailbox that has one or an address, else its address; of an empty group, the group's name. An
/// address stands without its route.
pub fn called(field: &[u8]) -> Option<String> {
    let text = characters(field);
    let mut reader = Reader {
        text: &text,
        at: 0,
        no_quotes: false,
        no_comments: false,
    };
    let mut group = None;
    loop {
        let (found, end) = reader.mailbox();
        if end == Some(':') {
            group = group.or(Some(found.phrase()));
            continue;
        }
        if let Some(called) = found.called() {
            return Some(called);
        }
        if end.is_none() {
            return group.filter(|name| is_visible(name));
        }
    }
}

/// The characters of a field, decoded, and whether each may be syntax.
fn characters(field: &[u8]) -> Vec<(char, bool)> {
    let mut text: Vec<(char, bool)> = Vec::new();
    for piece in pieces(field) {
        match piece {
            Piece::Text(part) => text.extend(part.chars().map(|c| (c, true))),
            Piece::Word(word) => {
                let is_apart = |(c, _): &(char, bool)| " \t\"(<,".contains(*c);
                if !text.last().is_none_or(is_apart) {
                    text.push((' ', true));
                }
                text.extend(word.chars().map(|c| (c, false)));
            }
        }
    }
    text
}

/// A mailbox, as far as it has been read.
#[derive(Default)]
struct Mailbox {
    words: Vec<Word>,
    comments: Vec<String>,
    /// What stood in angle brackets.
    address: Option<String>,
}

/// A word of a name, or a part of an address.
#[derive(Default)]
struct Word {
    text: String,
    is_quoted: bool,
    /// White space stood before it.
    is_apart: bool,
    /// It has an `@` that is syntax.
    has_at: bool,
}

impl Mailbox {
    /// Its words, with a blank between them.
    fn phrase(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.text.as_str()).collect();
        words.join(" ").trim().to_owned()
    }

    /// Its words as an address without angle brackets, where blanks around `@` and dots mean nothing.
    fn bare(&self) -> String {
        let mut address = String::new();
        for word in &self.words {
            let is_joined = address.ends_with(['@', '.']) || word.text.starts_with(['@', '.']);
            if word.is_apart && !is_joined && !address.is_empty() {
                address.push(' ');
            }
            match word.is_quoted {
                true => {
                    let quoted = word.text.replace('\\', "\\\\").replace('"', "\\\"");
                    address.push_str(&format!("\"{quoted}\""));
                }
                false => address.push_str(&word.text),
            }
        }
        address
    }

    fn called(self) -> Option<String> {
        let comment = self.comments.join(" ").trim().to_owned();
        let is_bare = self.address.is_none() && self.words.iter().any(|word| word.has_at);
        let names = match &self.address {
            _ if is_bare => [comment, self.bare(), String::new()],
            Some(address) => [self.phrase(), comment, address.clone()],
            None => [self.phrase(), comment, String::new()],
        };
        names.into_iter().find(|name| is_visible(name))
    }
}

struct Reader<'a> {
    text: &'a [(char, bool)],
    at: usize,
    /// Behind here nothing closes a quoted string, or a comment.
    no_quotes: bool,
    no_comments: bool,
}

impl Reader<'_> {
    /// The next mailbox, and what ends it: `,`, `;` or, where it is the name of a group, `:`.
    fn mailbox(&mut self) -> (Mailbox, Option<char>) {
        let mut found = Mailbox::default();
        let mut word = Word::default();
        let mut is_apart = false;
        let mut in_literal = false;
        while let Some(&(c, is_syntax)) = self.text.get(self.at) {
            self.at += 1;
            let begun = Word {
                is_apart,
                ..Word::default()
            };
            match c {
                _ if !is_syntax => {}
                ']' if in_literal => in_literal = false,
                _ if in_literal => {}
                // The address of a host, with its colons.
                '[' if word.text.ends_with('@') => in_literal = true,
                '"' => {
                    if let Some(text) = self.quoted() {
                        found.end(&mut word);
                        found.words.push(Word {
                            text,
                            is_quoted: true,
                            ..begun
                        });
                        is_apart = false;
                        continue;
                    }
                }
                '(' => {
                    if let Some(comment) = self.comment() {
                        found.end(&mut word);
                        found.comments.push(comment);
                        is_apart = true;
                        continue;
                    }
                }
                '<' => {
                    found.end(&mut word);
                    let address = self.angle(&mut found.comments);
                    found.address.get_or_insert(address);
                    is_apart = true;
                    continue;
                }
                // One too many.
                '>' if found.address.is_some() => continue,
                ',' | ';' => {
                    found.end(&mut word);
                    return (found, Some(c));
                }
                ':' if found.address.is_none() => {
                    found.end(&mut word);
                    return (found, Some(c));
                }
                _ if c.is_whitespace() => {
                    found.end(&mut word);
                    is_apart = true;
                    continue;
                }
                _ => {}
            }
            if word.text.is_empty() {
                word = begun;
                is_apart = false;
            }
            word.has_at |= is_syntax && c == '@';
            word.text.push(c);
        }
        found.end(&mut word);
        (found, None)
    }

    /// What stands between here and the next quotation mark, which is passed.
    fn quoted(&mut self) -> Option<String> {
        if self.no_quotes {
            return None;
        }
        let mut text = String::new();
        let mut at = self.at;
        while let Some(&(c, is_syntax)) = self.text.get(at) {
            at += 1;
            match c {
                '"' if is_syntax => {
                    self.at = at;
                    return Some(text);
                }
                '\\' if is_syntax => {
                    text.extend(self.text.get(at).map(|(c, _)| c));
                    at += 1;
                }
                _ => text.push(c),
            }
        }
        self.no_quotes = true;
        None
    }

    /// What stands between here and the bracket that closes the comment, which is passed.
    fn comment(&mut self) -> Option<String> {
        if self.no_comments {
            return None;
        }
        let mut text = String::new();
        let (mut at, mut depth) = (self.at, 1);
        while let Some(&(c, is_syntax)) = self.text.get(at) {
            at += 1;
            match c {
                '(' if is_syntax => depth += 1,
                ')' if is_syntax => depth -= 1,
                '\\' if is_syntax => {
                    text.extend(self.text.get(at).map(|(c, _)| c));
                    at += 1;
                    continue;
                }
                _ => {}
            }
            if depth == 0 {
                self.at = at;
                return Some(text);
            }
            text.push(c);
        }
        self.no_comments = true;
        None
    }

    /// The address between here and the closing bracket, which is passed, or the end.
    fn angle(&mut self, comments: &mut Vec<String>) -> String {
        let mut address = String::new();
        while let Some(&(c, is_syntax)) = self.text.get(self.at) {
            self.at += 1;
            match c {
                '>' if is_syntax => break,
                '<' if is_syntax => {}
                '(' if is_syntax => match self.comment() {
                    Some(comment) => comments.push(comment),
                    None => address.push(c),
                },
                '"' if is_syntax => match self.quoted() {
                    Some(text) => address.push_str(&format!("\"{text}\"")),
                    None => address.push(c),
                },
                _ if c.is_whitespace() => {}
                _ => address.push(c),
            }
        }
        match address.split_once(':') {
            Some((route, rest)) if route.starts_with('@') => rest.to_owned(),
            _ => address,
        }
    }
}

impl Mailbox {
    /// Takes a word that has come to its end, if there is one.
    fn end(&mut self, word: &mut Word) {
        if !word.text.is_empty() {
            self.words.push(std::mem::take(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mostly as Python's `email.utils.parseaddr` has it, the name or else the address; where that gives up, what people would
    /// take for the sender.
    #[test]
    fn odd_fields() {
        for (field, expected) in [
            ("\"A\" \"B\" C <a@x>", "A B C"),
            ("A\"B\"C <a@x>", "A B C"),
            ("J. R. Smith <a@x>", "J. R. Smith"),
            ("A   B <x@y>", "A B"),
            ("\"Bob\"<b@x>", "Bob"),
            ("Bob<b@x>", "Bob"),
            ("\"Bob \\\"B\\\" Rossi\" <b@e>", "Bob \"B\" Rossi"),
            ("\"x\" (c) \"y\" <a@b>", "x y"),
            // Addresses without a name.
            ("\"quoted local\"@x", "\"quoted local\"@x"),
            ("\"a\\\"b\"@x", "\"a\\\"b\"@x"),
            ("bob @ example.com", "bob@example.com"),
            ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
            ("bob@[IPv6:::1], a@x", "bob@[IPv6:::1]"),
            ("Bob Rossi bob@x", "Bob Rossi bob@x"),
            ("< b@x >", "b@x"),
            ("<\"quo>ted\"@x>", "\"quo>ted\"@x"),
            ("\"a@b\" <c@d>", "a@b"),
            ("a@b <c@d>", "a@b"),
            // Routes.
            ("<@r.a:b@c>", "b@c"),
            ("<@r.a,@r.b:b@c>", "b@c"),
            ("Bob <@r.a:b@c>", "Bob"),
            // Comments.
            ("bob@example.com (Bob Rossi)", "Bob Rossi"),
            ("(Bob Rossi) bob@x", "Bob Rossi"),
            ("(Bob) <bob@x>", "Bob"),
            ("Bob (the boss) Rossi <b@x>", "Bob Rossi"),
            ("Bob (a (nested) b) <b@x>", "Bob"),
            ("bob@x (a (nested\\) b) c)", "a (nested) b) c"),
            ("Bob <b@x> (work)", "Bob"),
            ("Bob () <b@x>", "Bob"),
            ("bob@x ()", "bob@x"),
            ("<b@x (c)>", "c"),
            // Several, and groups.
            ("<a@x>, Bob <b@x>", "a@x"),
            (",, a@x", "a@x"),
            (" ;b@x", "b@x"),
            ("Staff: Anna <a@x>, b@x;", "Anna"),
            ("Staff: a@x, b@x;", "a@x"),
            ("A:;, b@x", "b@x"),
            ("undisclosed:;", "undisclosed"),
            ("Re: Bob <b@x>", "Bob"),
            ("\"Rossi, Bob\" <bob@x>", "Rossi, Bob"),
            // What is not closed.
            ("Bob Rossi <bob@x", "Bob Rossi"),
            ("Bob \"B Rossi <b@x>", "Bob \"B Rossi"),
            ("Bob :-( <b@x>", "-("),
            ("Bob <<b@x>>", "Bob"),
            // Encoded words hide syntax.
            ("=?utf-8?Q?J=C3=B6rg?= Rossi <a@x>", "Jörg Rossi"),
            ("bob@x (=?utf-8?Q?J=C3=B6rg=29?=)", "Jörg)"),
            ("=?utf-8?Q?a=2Cb=40c=3Cd=3A?= <a@x>", "a,b@c<d:"),
            ("=?utf-8?Q?a=22b?= \"c\" <a@x>", "a\"b c"),
            // What nobody sees is no name.
            ("\u{200b} <b@x>", "b@x"),
            ("\"\u{feff}\u{ad}\" <b@x>", "b@x"),
            ("=?utf-8?B?4oCL?= <b@x>", "b@x"),
        ] {
            assert_eq!(
                called(field.as_bytes()).as_deref(),
                Some(expected),
                "{field}"
            );
        }
        for nobody in [
            "",
            " ",
            "<>",
            "\"\"",
            "()",
            ",",
            ":;",
            "\u{200b}",
            "\" \" <>",
            "<\u{200b}>",
        ] {
            assert_eq!(called(nobody.as_bytes()), None, "{nobody}");
        }
    }
}
