//! `cyrus.header`: which folder it is, and the names of its keywords, in the order of their bits.
//!
//! After three lines that are always the same, one of two forms: since 3.6 a list of keys and values in parentheses
//! (`%(A %(ann lrswipkxtecdan) I "…" N "user.ann" U ($Label1 project))`); before, a line with the quota root and an id,
//! and a line with the keywords.
//!
//! Source: Cyrus IMAP's `mailbox_read_header`, `lib/dlist.c`.

const MAGIC: &[u8] = b"\xa1\x02\x8b\x0dCyrus mailbox header\n";

/// Keywords at most: the bits of a record.
const MOST: usize = 8 * super::index::KEYWORD_BYTES;

/// Lists within one another at most; there are three.
const DEEPEST: usize = 16;

/// What a header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The folder's internal name; the older form has none.
    pub name: Option<Vec<u8>>,
    /// The folder's id; the older form has another one, which is of no use.
    pub id: Option<Vec<u8>>,
    /// Who may do something in the folder.
    pub admitted: Vec<Vec<u8>>,
    /// An empty name stands for a bit that is not used.
    pub keywords: Vec<Vec<u8>>,
}

/// `None` if these bytes are no header.
pub fn parse(bytes: &[u8]) -> Option<Header> {
    bytes.strip_prefix(MAGIC)?;
    let mut lines = bytes.split(|&b| b == b'\n').skip(3);
    let first = lines.next()?;
    if first.starts_with(b"%") {
        let at = memchr::memmem::find(bytes, b"\n%(")?;
        return of_list(bytes.get(at + 3..)?);
    }
    let keywords = lines.next()?.split(|&b| b == b' ');
    let keywords = keywords.filter(|name| !name.is_empty()).take(MOST);
    Some(Header {
        keywords: keywords.map(<[u8]>::to_vec).collect(),
        ..Header::default()
    })
}

/// A piece of a list.
enum Token<'a> {
    Open,
    Close,
    Word(&'a [u8]),
    Quoted(Vec<u8>),
}

fn of_list(mut bytes: &[u8]) -> Option<Header> {
    let mut depth = 1;
    let mut is_key = true;
    let mut key = Vec::new();
    let mut header = Header::default();
    while depth > 0 {
        let word = match token(&mut bytes)? {
            Token::Open if depth == DEEPEST => return None,
            Token::Open => {
                depth += 1;
                continue;
            }
            Token::Close => {
                depth -= 1;
                if depth == 1 {
                    is_key = true;
                    key.clear();
                }
                continue;
            }
            // What is not used.
            Token::Word(b"NIL") => Vec::new(),
            Token::Word(word) => word.to_vec(),
            Token::Quoted(word) => word,
        };
        match (depth, key.as_slice()) {
            (1, _) if is_key => key = word,
            (1, b"N") => header.name = Some(word),
            (1, b"I") => header.id = Some(word),
            // With their rights among them.
            (2, b"A") => header.admitted.push(word),
            (2, b"U") if header.keywords.len() < MOST => header.keywords.push(word),
            _ => {}
        }
        if depth == 1 {
            is_key = !is_key;
        }
    }
    Some(header)
}

fn token<'a>(bytes: &mut &'a [u8]) -> Option<Token<'a>> {
    let rest = bytes.trim_ascii_start();
    let rest = rest
        .strip_prefix(b"%")
        .filter(|r| r.starts_with(b"("))
        .unwrap_or(rest);
    let (token, after) = match rest.first()? {
        b'(' => (Token::Open, rest.get(1..)?),
        b')' => (Token::Close, rest.get(1..)?),
        b'"' => {
            let mut word = Vec::new();
            let mut inside = rest.get(1..)?;
            loop {
                let (&byte, more) = inside.split_first()?;
                inside = more;
                match byte {
                    b'"' => break,
                    b'\\' => {
                        let (&byte, more) = inside.split_first()?;
                        inside = more;
                        word.push(byte);
                    }
                    byte => word.push(byte),
                }
            }
            (Token::Quoted(word), inside)
        }
        b'{' => {
            let end = memchr::memchr(b'}', rest)?;
            let digits = std::str::from_utf8(rest.get(1..end)?).ok()?;
            let len: usize = digits.trim_end_matches('+').parse().ok()?;
            let inside = rest.get(end + 1..)?;
            let inside = inside
                .strip_prefix(b"\r\n")
                .or(inside.strip_prefix(b"\n"))?;
            let (word, after) = inside.split_at_checked(len)?;
            (Token::Quoted(word.to_vec()), after)
        }
        _ => {
            let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'(' | b')');
            let len = rest.iter().position(ends).unwrap_or(rest.len());
            let (word, after) = rest.split_at(len);
            (Token::Word(word), after)
        }
    };
    *bytes = after;
    Some(token)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header that says this after the lines that are always the same.
    pub fn encode(text: &str) -> Vec<u8> {
        let quote = "\"The best thing about this system was that it had lots of goals.\"\n\t--Jim Morris on Andrew\n";
        [MAGIC, quote.as_bytes(), text.as_bytes()].concat()
    }

    fn names(text: &str) -> Option<Vec<String>> {
        let header = parse(&encode(text))?;
        let text = |name: Vec<u8>| String::from_utf8(name).unwrap();
        Some(header.keywords.into_iter().map(text).collect())
    }

    #[test]
    fn both_forms() {
        let wanted = Some(vec!["$Label1".to_owned(), "project".to_owned()]);
        let old = "user.ann\t1a2b3c\n$Label1 project\nann\tlrs\t\n";
        assert_eq!(names(old), wanted);
        let new = "%(A %(ann lrs U x) I U N user.ann Q NIL T e U ($Label1 project))\n";
        assert_eq!(names(new), wanted);
        let new = "%(A %() I \"a\\\"b\" N {8}\r\nuser.(nn U (\"$Label1\" {7+}\r\nproject))\n";
        assert_eq!(names(new), wanted);
        assert_eq!(names("%(I x U (a NIL b))\n").unwrap(), ["a", "", "b"]);
        assert_eq!(names("%(I x)\n"), Some(Vec::new()));
        assert_eq!(names("%(U (a b\n"), None);
        assert_eq!(parse(b"no header"), None);
        let header = parse(&encode("%(T e N \"user.ann.a b\" I x A %(N no) U (N n))\n")).unwrap();
        assert_eq!(header.name.unwrap(), b"user.ann.a b");
        assert_eq!(header.keywords, [b"N".to_vec(), b"n".to_vec()]);
    }

    proptest! {
        #[test]
        fn any_text(text in "[%(){}\" \\\\a-cU0-9\r\n]{0,80}") {
            let _ = names(&format!("%({text}"));
            let _ = names(&text);
        }
    }
}
