//! Tests of `split`.

use super::*;
use crate::disk::Root;
use proptest::prelude::*;

const FROM: &str = "From b Thu Nov  9 22:33:52 2001\n";

/// The messages in a file with these bytes, each as its header without the store's fields and its body.
fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mbox"), bytes).unwrap();
    let root = Root::new(dir.path());
    let file = root.open(b"mbox").unwrap();
    let mut found = Vec::new();
    split(&file, |part| {
        let (body, end) = (part.body as usize, part.end as usize);
        let message = [&part.own.header[..], &bytes[body..end]].concat();
        assert_eq!(message.len() as u64, part.size);
        assert_eq!(Sha256::digest(&message)[..], part.hash);
        let header = &bytes[part.header as usize..body];
        assert_eq!(strip(header).header, part.own.header);
        found.push(message);
        Ok(())
    })
    .unwrap();
    found
}

fn texts(text: &str) -> Vec<String> {
    let found = messages(text.as_bytes());
    found
        .into_iter()
        .map(|m| String::from_utf8(m).unwrap())
        .collect()
}

#[test]
fn one_after_the_other() {
    let mbox =
        format!("{FROM}A: 1\n\none\n\n{FROM}A: 2\nStatus: RO\n\ntwo\nFrom here\n>From there\n\n");
    let wanted = ["A: 1\n\none\n", "A: 2\n\ntwo\nFrom here\n>From there\n"];
    assert_eq!(texts(&mbox), wanted);
    // Without the last newlines, and without the empty line between.
    assert_eq!(texts(mbox.trim_end()).last().unwrap(), wanted[1].trim_end());
    assert_eq!(texts(&mbox.replace("one\n\n", "one\n"))[0], "A: 1\n\none");
    let crlf = mbox.replace('\n', "\r\n");
    let wanted = wanted.map(|m| m.replace('\n', "\r\n"));
    assert_eq!(texts(&crlf), wanted);
}

#[test]
fn hardly_any_message() {
    assert!(texts("").is_empty());
    assert!(texts("\n\r\n\n").is_empty());
    assert_eq!(texts(FROM), [""]);
    assert_eq!(texts(FROM.trim_end()), [""]);
    assert_eq!(texts(&format!("{FROM}\n{FROM}\n\n")), ["", "\n"]);
    let mbox = format!("{FROM}A: 1\n{FROM}A: 2\n\n{FROM}Status: R\n{FROM}A: 3\r\n\r\n");
    assert_eq!(texts(&mbox), ["A: 1", "A: 2\n", "", "A: 3\r\n"]);
}

#[test]
fn what_is_before_the_first_from_line_is_a_message() {
    let mbox = format!("Fr\0m b\nStatus: R\n\ntorn\n\n{FROM}A: 2\n\ntwo\n");
    assert_eq!(
        texts(&mbox),
        ["Fr\0m b\nStatus: R\n\ntorn\n", "A: 2\n\ntwo"]
    );
    assert!(is_mbox(mbox.as_bytes()) && is_mbox(b"") && is_mbox(b"\n"));
    assert!(!is_mbox(b"To do:\nFrom now on\n"));
}

#[test]
fn content_length_where_it_is_true() {
    let inner = format!("one\n\n{FROM}B: 1\n\nforwarded\n");
    let mbox =
        |len: usize| format!("{FROM}A: 1\nContent-Length: {len}\n\n{inner}\n{FROM}A: 2\n\ntwo\n");
    let whole = [format!("A: 1\n\n{inner}"), "A: 2\n\ntwo".into()];
    assert_eq!(texts(&mbox(inner.len())), whole);
    for lie in [0, 3, inner.len() - 1, inner.len() + 1, 9999, usize::MAX] {
        assert_eq!(texts(&mbox(lie))[0], "A: 1\n\none\n", "{lie}");
    }
    let last = format!("{FROM}A: 1\nContent-Length: 4\n\none\n");
    assert_eq!(texts(&last), ["A: 1\n\none\n"]);
}

#[test]
fn messages_and_headers_across_chunks() {
    for len in (CHUNK - 1100..CHUNK + 50).step_by(7) {
        let body = "x".repeat(len);
        let mbox = format!("{FROM}A: 1\n\n{body}\r\n\r\n{FROM}A: 2\n\ntwo");
        let wanted = [format!("A: 1\n\n{body}\r\n"), "A: 2\n\ntwo".into()];
        assert_eq!(texts(&mbox), wanted, "{len}");
        let mbox = format!("{FROM}A: {body}\n{FROM}A: 2\n\ntwo\n\n");
        assert_eq!(texts(&mbox), [format!("A: {body}"), "A: 2\n\ntwo\n".into()]);
    }
}

#[test]
fn headers_without_an_end() {
    let start = std::time::Instant::now();
    for line in ["x".repeat(3 << 20), "A: b\n".repeat(600_000)] {
        let mbox = format!("{FROM}{line}\n\n{FROM}A: 2\n\n");
        let found = texts(&mbox);
        assert_eq!((found.len(), found[0].len()), (2, line.len() + 1));
    }
    let many = "From b Thu Nov  9 22:33:52 2001\nContent-Length: 7\n\n\n".repeat(50_000);
    assert_eq!(texts(&many).len(), 50_000);
    assert!(start.elapsed().as_secs() < 20);
}

proptest! {
    #[test]
    fn every_byte_is_in_some_message(
        pieces in prop::collection::vec(prop_oneof![
            Just("From b Thu Nov  9 22:33:52 2001\n".to_owned()),
            Just("From b Thu Nov  9 22:33:52 2001\r\n".to_owned()),
            Just("\n".to_owned()),
            Just("\r\n".to_owned()),
            Just("From me\n".to_owned()),
            Just("A: b\n".to_owned()),
            "Content-Length: [0-9]{1,2}\n",
            "[xF\0]{0,40}",
        ], 0..30),
    ) {
        let mbox = pieces.concat();
        let found: usize = messages(mbox.as_bytes()).iter().map(Vec::len).sum();
        let own = mbox.split_inclusive('\n').filter(|l| l.contains("Content-Length"));
        let from = mbox.matches("From b").count() * (FROM.len() + 3);
        let own: usize = own.map(str::len).sum();
        prop_assert!(found <= mbox.len());
        prop_assert!(found + own + from + 4 + newlines(&mbox) >= mbox.len(), "{found} of {mbox:?}");
    }
}

fn newlines(text: &str) -> usize {
    let start = text.len() - text.trim_start_matches(['\r', '\n']).len();
    start + 2 * text.matches('\n').count()
}
