//! The bytes of one message: its header, what it is searched by, and its place in an mbox.

use super::text;
use mailtm::message::encoded_word::{self, Piece};
use mailtm::message::facts::Facts;
use mailtm::message::mboxrd::{Count, FlagLines, Measure, Renderer, Window};
use mailtm::message::searchable::Searchable;
use mailtm::message::{header, words};

pub fn headers(input: &[u8]) {
    let header::Scan::Complete(all) = header::scan(input, true) else {
        panic!("all there is, and more is wanted");
    };
    for text in [&all.sender, &all.subject] {
        assert!(text.chars().count() <= header::TEXT_CAP);
    }
    // What a part of the message settles, more of it does not change.
    let (part, _) = input.split_at(input.len() / 2);
    if let header::Scan::Complete(early) = header::scan(part, false) {
        assert_eq!(early, all);
    }
}

pub fn searchable(input: &[u8]) {
    for bodies in [false, true] {
        let _ = Searchable::of(input, bodies);
    }
    let _ = words::of(&text(input));
}

pub fn facts(input: &[u8]) {
    if let Some(facts) = Facts::decode(input) {
        let mut again = Vec::new();
        facts.encode(&mut again);
        assert_eq!(again, input, "{facts:?}");
    }
}

pub fn mboxrd(input: &[u8]) {
    let mut measure = Measure::new();
    for chunk in input.chunks(7) {
        measure.feed(chunk);
    }
    let size = measure.finish();
    for mode in [FlagLines::None, FlagLines::Status] {
        let mut whole = Vec::new();
        let mut renderer = Renderer::new(mode);
        renderer.feed(input, &mut whole);
        renderer.finish(&mut whole);
        assert_eq!(whole.len() as u64, size.len(mode));
        assert!(mode == FlagLines::Status || whole == as_mboxrd(input));
        if size.verbatim(mode) {
            // But for the final newline.
            let added = whole.strip_prefix(input);
            assert!(added.is_some_and(|added| added.is_empty() || added == b"\n"));
        }
        assert!(whole.is_empty() || whole.ends_with(b"\n"));
        assert!(!whole.starts_with(b"From "));
        assert!(!whole.windows(6).any(|w| w == b"\nFrom "));
        // Any range, cut anywhere.
        let (from, to) = (whole.len() / 3, whole.len() - whole.len() / 4);
        let mut window = Window::new(from as u64, to as u64);
        let mut count = Count::default();
        let mut renderer = Renderer::new(mode);
        let mut counter = Renderer::new(mode);
        for chunk in input.chunks(1 + input.len() % 11) {
            renderer.feed(chunk, &mut window);
            counter.feed(chunk, &mut count);
        }
        renderer.finish(&mut window);
        counter.finish(&mut count);
        assert!(window.into_bytes() == whole[from..to.max(from)]);
        assert_eq!(count.0, whole.len() as u64);
    }
}

/// Encoded words: what was encoded comes back, also where a character was cut in two; and text that is none stays as it is.
pub fn encoded_words(input: &[u8]) {
    let joined = |pieces: &[Piece<'_>]| -> String {
        let texts = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_ref(),
            Piece::Word(word) => word,
        });
        texts.collect()
    };
    let decoded = joined(&encoded_word::pieces(input));
    assert!(decoded.chars().count() <= input.len());
    let is_plain = input.is_ascii() && !input.contains(&0x1b);
    if is_plain && !input.windows(2).any(|two| two == b"=?") {
        assert_eq!(decoded.as_bytes(), input);
    }
    let whole = text(input);
    let (front, back) = whole.as_bytes().split_at(whole.len() / 2);
    let word = |part: &[u8]| -> String {
        let digits = part.iter().map(|byte| format!("={byte:02X}"));
        format!("=?UTF-8?q?{}?=", digits.collect::<String>())
    };
    let field = format!("{} {}", word(front), word(back));
    assert_eq!(joined(&encoded_word::pieces(field.as_bytes())), whole);
}

/// A message in mboxrd form, made line by line.
fn as_mboxrd(message: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    for line in message.split_inclusive(|&b| b == b'\n') {
        let ended = line.strip_suffix(b"\n");
        let line = ended.map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let quotes = line.iter().take_while(|&&b| b == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            whole.push(b'>');
        }
        whole.extend_from_slice(line);
        whole.push(b'\n');
    }
    whole
}
