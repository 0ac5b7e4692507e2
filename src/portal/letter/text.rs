//! Plain text, with what can be followed in it.
//!
//! Invariant: a link leads to `http:`, `https:` or `mailto:` alone, and its text is its address; put together, the pieces are the text.

/// A piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Plain(&'a str),
    /// An address to be followed; hostile.
    Link(&'a str),
}

/// What an address that can be followed begins with.
const SCHEMES: [&str; 3] = ["https://", "http://", "mailto:"];

/// Longest address that is made a link, in bytes.
const LONGEST: usize = 2000;

/// The pieces of a text, in order.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    // Up to where the text is in `pieces`, and from where on it is looked at.
    let (mut done, mut at) = (0, 0);
    while let Some(colon) = text.get(at..).and_then(|rest| rest.find(':')) {
        let colon = at + colon;
        at = colon + 1;
        let Some(start) = start(text, done, colon) else {
            continue;
        };
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.find(ends).unwrap_or(rest.len());
        let link = rest.get(..end).unwrap_or_default();
        let link = trimmed(link);
        let scheme = text.get(start..).and_then(scheme).unwrap_or_default();
        if link.len() > scheme.len() && link.len() <= LONGEST {
            pieces.extend(
                text.get(done..start)
                    .filter(|t| !t.is_empty())
                    .map(Piece::Plain),
            );
            pieces.push(Piece::Link(link));
            done = start + link.len();
        }
        at = at.max(start + end);
    }
    pieces.extend(text.get(done..).filter(|t| !t.is_empty()).map(Piece::Plain));
    pieces
}

/// Where an address starts whose scheme ends with the colon at a position.
fn start(text: &str, done: usize, colon: usize) -> Option<usize> {
    let lengths = ["https".len(), "http".len(), "mailto".len()];
    lengths.into_iter().find_map(|len| {
        let start = colon.checked_sub(len).filter(|start| *start >= done)?;
        scheme(text.get(start..)?)?;
        let before = text.get(..start)?.chars().next_back();
        (!before.is_some_and(char::is_alphanumeric)).then_some(start)
    })
}

fn scheme(text: &str) -> Option<&'static str> {
    let is = |scheme: &&&str| {
        let begins = text.get(..scheme.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(scheme))
    };
    SCHEMES.iter().find(is).copied()
}

/// Whether a character ends an address.
fn ends(c: char) -> bool {
    let direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_whitespace() || c.is_control() || direction || "<>\"'`{}|\\^".contains(c)
}

/// An address without what rather belongs to the sentence around it.
fn trimmed(link: &str) -> &str {
    let link = link.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']);
    let closes = |open: char, close: char| {
        link.ends_with(close) && link.matches(close).count() > link.matches(open).count()
    };
    if closes('(', ')') || closes('[', ']') {
        return link.get(..link.len() - 1).unwrap_or(link);
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(text: &str) -> Vec<&str> {
        let pieces = pieces(text);
        let whole = pieces.iter().map(|piece| match piece {
            Piece::Plain(text) | Piece::Link(text) => *text,
        });
        assert_eq!(whole.collect::<String>(), text);
        let link = |piece: &Piece<'_>| match piece {
            Piece::Link(link) => Some(link.len()),
            Piece::Plain(_) => None,
        };
        let mut at = 0;
        let mut found = Vec::new();
        for piece in &pieces {
            let len = link(piece).unwrap_or(match piece {
                Piece::Plain(text) => text.len(),
                Piece::Link(_) => 0,
            });
            if link(piece).is_some() {
                found.push(&text[at..at + len]);
            }
            at += len;
        }
        found
    }

    #[test]
    fn links_that_people_write() {
        for (text, expected) in [
            (
                "see https://example.com/a?b=c#d.",
                "https://example.com/a?b=c#d",
            ),
            ("(http://example.com/x_(y))", "http://example.com/x_(y)"),
            ("<mailto:bob@example.com>", "mailto:bob@example.com"),
            ("HTTPS://EXAMPLE.COM!", "HTTPS://EXAMPLE.COM"),
            ("https://exämple.com/ü\u{202e}x", "https://exämple.com/ü"),
        ] {
            assert_eq!(links(text), [expected], "{text}");
        }
        assert_eq!(links("http://a http://b\nmailto:c").len(), 3);
    }

    #[test]
    fn nothing_else_is_a_link() {
        for text in [
            "javascript:alert(1)",
            "data:text/html,<script>",
            "xhttp://example.com",
            "http://",
            "mailto:",
            "http: //x",
            "ftp://x",
            "a:b:c:::",
            "",
            "ü:ü",
        ] {
            assert_eq!(links(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn hostile_text_costs_what_it_weighs() {
        let start = std::time::Instant::now();
        for text in [
            "http://".repeat(150_000),
            ":".repeat(1 << 20),
            "http://a(".repeat(100_000),
            "mailto:a ".repeat(100_000),
        ] {
            links(&text);
        }
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
