//! What an IMAP server answers, taken apart as far as it is needed.
//!
//! Nothing here relies on answers being well formed: what is not understood is not there.

/// An answer or a part of one: its text without literals, and those.
#[derive(Debug, Default)]
pub struct Response {
    pub text: Vec<u8>,
    pub literals: Vec<Vec<u8>>,
}

pub fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, word)
}

pub fn tagged<'a>(text: &'a [u8], tag: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(tag)?.strip_prefix(b" ")
}

/// Whether what a server says begins with these words, and not with longer ones.
pub fn says(text: &[u8], words: &[u8]) -> bool {
    let rest = text.strip_prefix(words);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

pub fn is_fetch(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"* ").unwrap_or_default();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0
        && rest
            .get(digits..)
            .is_some_and(|rest| rest.starts_with(b" FETCH ("))
}

/// The number at the beginning.
pub fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

/// The number that follows some words.
pub fn after(text: &[u8], words: &[u8]) -> Option<u32> {
    let found = memchr::memmem::find_iter(text, words);
    let mut numbers = found.filter_map(|at| number(text.get(at + words.len()..)?));
    numbers.next()
}

/// The flags that an answer tells, sorted, `\Recent` left out.
pub fn flags(text: &[u8]) -> Option<Vec<u8>> {
    let at = find(text, b"FLAGS (")? + b"FLAGS (".len();
    let rest = text.get(at..)?;
    let end = rest.iter().position(|&b| b == b')')?;
    let mut flags: Vec<&[u8]> = rest.get(..end)?.split(|&b| b == b' ').collect();
    flags.retain(|flag| !flag.is_empty() && !flag.eq_ignore_ascii_case(b"\\Recent"));
    flags.sort_unstable();
    Some(flags.join(&b' '))
}

/// Where a literal is announced at the end of a text, and its size.
pub fn literal(text: &[u8]) -> Option<(usize, u64)> {
    let inner = text.strip_suffix(b"}")?;
    let start = inner.iter().rposition(|&b| b == b'{')?;
    let digits = std::str::from_utf8(inner.get(start + 1..)?).ok()?;
    Some((start, digits.trim_end_matches('+').parse().ok()?))
}

/// A part of an answer.
enum Token {
    Open,
    Close,
    /// A string: quoted, literal or bare. `NIL` is empty.
    Text(Vec<u8>),
}

fn tokens(response: &Response) -> impl Iterator<Item = Token> {
    let mut literals = response.literals.iter();
    let mut bytes = response.text.iter().copied().peekable();
    // What is before the first bracket is no string.
    if response.text.starts_with(b"* ") {
        while bytes.next_if(|&b| b != b'(').is_some() {}
    }
    std::iter::from_fn(move || {
        while bytes.next_if_eq(&b' ').is_some() {}
        let mut text = Vec::new();
        match bytes.next()? {
            b'(' => return Some(Token::Open),
            b')' => return Some(Token::Close),
            0 => text = literals.next().cloned().unwrap_or_default(),
            b'"' => {
                while let Some(b) = bytes.next() {
                    match b {
                        b'"' => break,
                        b'\\' => text.extend(bytes.next()),
                        b => text.push(b),
                    }
                }
            }
            first => {
                text.push(first);
                while let Some(b) = bytes.next_if(|b| !b" ()".contains(b)) {
                    text.push(b);
                }
                if text.eq_ignore_ascii_case(b"NIL") {
                    text.clear();
                }
            }
        }
        Some(Token::Text(text))
    })
}

/// The first strings of an answer.
pub fn strings(response: &Response, most: usize) -> Vec<Vec<u8>> {
    let texts = tokens(response).filter_map(|token| match token {
        Token::Text(text) => Some(text),
        Token::Open | Token::Close => None,
    });
    texts.take(most).collect()
}

/// The prefixes of namespaces, of what follows `* NAMESPACE `: the user's own ones, those of other users, and shared ones.
pub fn namespaces(response: &Response) -> [Vec<Vec<u8>>; 3] {
    let mut found = [const { Vec::new() }; 3];
    let (mut depth, mut group, mut is_first) = (0_usize, 0_usize, false);
    for token in tokens(response) {
        match token {
            Token::Open => {
                depth += 1;
                is_first = true;
            }
            Token::Close => {
                depth = depth.saturating_sub(1);
                group += usize::from(depth == 0);
            }
            // There is none of this kind.
            Token::Text(_) if depth == 0 => group += 1,
            Token::Text(prefix) if depth == 2 && is_first => {
                is_first = false;
                found.get_mut(group).into_iter().for_each(|of_kind| {
                    of_kind.push(prefix.clone());
                });
            }
            Token::Text(_) => {}
        }
    }
    found
}

/// A name as a quoted string; names are modified UTF-7, in which there is nothing else to be quoted.
pub fn quoted(name: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for &b in name {
        if matches!(b, b'"' | b'\\') {
            text.push(b'\\');
        }
        if !matches!(b, b'\r' | b'\n' | 0) {
            text.push(b);
        }
    }
    text.push(b'"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_answers() {
        let text = b"* 3 FETCH (UID 7 FLAGS (\\Seen b \\Recent a) RFC822.SIZE 12)";
        assert!(is_fetch(text) && !is_fetch(b"* 3 EXISTS"));
        assert_eq!(
            (after(text, b"UID "), after(text, b"RFC822.SIZE ")),
            (Some(7), Some(12))
        );
        assert!(says(b"OK", b"OK") && says(b"OK [X] y", b"OK"));
        assert!(!says(b"OKAY", b"OK") && !says(b"OK\tx", b"OK") && !says(b"O", b"OK"));
        assert_eq!(flags(text).unwrap(), b"\\Seen a b");
        assert_eq!(literal(b"x {12}"), Some((2, 12)));
        assert_eq!(literal(b"x {12} "), None);
    }

    #[test]
    fn namespaces_of_each_kind() {
        let of = |text: &[u8], literals: &[&[u8]]| {
            namespaces(&Response {
                text: text.to_vec(),
                literals: literals.iter().map(|l| l.to_vec()).collect(),
            })
        };
        let [own, others, shared] = of(
            b"((\"\" \"/\")(\"Old/\" \"/\")) ((\0 \".\" \"X-PARAM\" (\"FLAG1\"))) ((\"a \\\"b/\" \"/\") (\"#news.\" NIL))",
            &[b"user."],
        );
        assert_eq!(own, [&b""[..], b"Old/"]);
        assert_eq!(others, [b"user."]);
        assert_eq!(shared, [&b"a \"b/"[..], b"#news."]);
        assert_eq!(of(b"NIL NIL ((\"s/\" \"/\"))", &[])[2], [b"s/"]);
        for rubbish in [&b""[..], b")))((((", b"NIL NIL NIL NIL ((\"x\"))", b"\""] {
            assert!(of(rubbish, &[]).iter().all(Vec::is_empty), "{rubbish:?}");
        }
    }
}
