//! Tests of `mboxrd`.

use super::*;
use proptest::prelude::*;

/// The body as the format describes it, on whole lines, with none of the renderer's states.
fn naive(mode: FlagLines, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut in_header = mode == FlagLines::Status;
    let mut dropping = false;
    for line in message.split_inclusive(|&b| b == b'\n') {
        let line = match line.strip_suffix(b"\r\n") {
            Some(text) => [text, b"\n"].concat(),
            None => line.to_vec(),
        };
        in_header &= line != b"\n";
        if in_header {
            let blank = line.starts_with(b" ") || line.starts_with(b"\t");
            let name: Vec<u8> = line.iter().copied().take_while(|&b| b != b':').collect();
            let name = name.to_ascii_lowercase();
            let name = String::from_utf8_lossy(&name);
            let name = name.trim_end_matches([' ', '\t']);
            let field = line.contains(&b':') && (name == "status" || name == "x-status");
            dropping = if blank { dropping } else { field };
            if dropping {
                continue;
            }
        }
        let unquoted = line.iter().position(|&b| b != b'>').unwrap_or(line.len());
        if line[unquoted..].starts_with(b"From ") {
            out.push(b'>');
        }
        out.extend(line);
    }
    if out.last().is_some_and(|&b| b != b'\n') {
        out.push(b'\n');
    }
    out
}

fn render(mode: FlagLines, chunks: &[&[u8]], out: &mut impl Sink) {
    let mut renderer = Renderer::new(mode);
    for chunk in chunks {
        renderer.feed(chunk, out);
    }
    renderer.finish(out);
}

fn body(mode: FlagLines, message: &[u8]) -> String {
    let mut out = Vec::new();
    render(mode, &[message], &mut out);
    String::from_utf8(out).unwrap()
}

fn measure(chunks: &[&[u8]]) -> BodySize {
    let mut measure = Measure::new();
    for chunk in chunks {
        measure.feed(chunk);
    }
    measure.finish()
}

fn cut<'a>(message: &'a [u8], at: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = at.iter().map(|n| n % (message.len() + 1)).collect();
    at.extend([0, message.len()]);
    at.sort_unstable();
    at.windows(2).map(|w| &message[w[0]..w[1]]).collect()
}

fn check(message: &[u8], chunks: &[&[u8]]) {
    let size = measure(chunks);
    assert_eq!(size.stored, message.len() as u64);
    for mode in [FlagLines::None, FlagLines::Status] {
        let expected = naive(mode, message);
        let mut out = Vec::new();
        render(mode, chunks, &mut out);
        assert_eq!(
            out.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        assert_eq!(size.len(mode), expected.len() as u64);
        let unended = message.last().is_some_and(|&b| b != b'\n');
        let ended = [message, if unended { b"\n" } else { b"" }].concat();
        assert_eq!(size.verbatim(mode), expected == ended);
    }
}

/// Messages made of what the renderer looks at.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("From "),
        Just("From"),
        Just("F"),
        Just(">"),
        Just(">>>"),
        Just("\n"),
        Just("\r\n"),
        Just("\r"),
        Just("\n\n"),
        Just("\nStatus: RO\n"),
        Just("\nsTATUS \t: x"),
        Just("\nX-Status"),
        Just("X-StatuS:"),
        Just("Status"),
        Just("X-S"),
        Just(":"),
        Just(" "),
        Just("\t"),
        Just("\n folded"),
        Just("\0"),
        Just("text"),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn same_as_naive(message in message(), at in prop::collection::vec(0usize..200, 0..20)) {
        check(&message, &cut(&message, &at));
    }

    #[test]
    fn same_as_naive_byte_by_byte(message in message()) {
        check(&message, &message.chunks(1).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes(message in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&message, &[&message]);
    }

    #[test]
    fn windows(message in message(), from in 0u64..250, len in 0u64..250) {
        let whole = naive(FlagLines::Status, &message);
        let mut window = Window::new(from, from + len);
        render(FlagLines::Status, &[&message], &mut window);
        let end = whole.len() as u64;
        let expected = &whole[from.min(end) as usize..(from + len).min(end) as usize];
        prop_assert_eq!(window.is_full(), len == 0 || from + len <= end);
        prop_assert_eq!(window.into_bytes(), expected);
    }

    /// What a reader of mboxrd makes of the entry is the message, with LF, and an end to its last line.
    #[test]
    fn unquoted_it_is_the_message(message in message()) {
        let rendered = naive(FlagLines::None, &message);
        let mut out = Vec::new();
        render(FlagLines::None, &[&message], &mut out);
        prop_assert_eq!(&out, &rendered);
        let mut read = Vec::<u8>::new();
        for line in out.split_inclusive(|&b| b == b'\n') {
            let from = line.iter().position(|&b| b != b'>').unwrap_or(0);
            prop_assert!(!line.starts_with(b"From "), "a line that splits the message");
            let quoted = from > 0 && line[from..].starts_with(b"From ");
            read.extend(&line[usize::from(quoted)..]);
        }
        let mut stored = Vec::new();
        for line in message.split_inclusive(|&b| b == b'\n') {
            match line.strip_suffix(b"\r\n") {
                Some(text) => stored.extend([text, b"\n"].concat()),
                None => stored.extend(line),
            }
        }
        if stored.last().is_some_and(|&b| b != b'\n') {
            stored.push(b'\n');
        }
        prop_assert_eq!(read, stored);
    }

    /// A clone goes on where the original was.
    #[test]
    fn clones_go_on(message in message(), at in 0usize..200) {
        let (first, second) = message.split_at(at.min(message.len()));
        let mut renderer = Renderer::new(FlagLines::Status);
        let mut out = Vec::new();
        renderer.feed(first, &mut out);
        let mut clone = renderer.clone();
        clone.feed(second, &mut out);
        clone.finish(&mut out);
        prop_assert_eq!(out, naive(FlagLines::Status, &message));
    }

    #[test]
    fn head_has_its_length(secs in any::<i64>(), letters in "[DFPRST]{0,6}") {
        let flags = Flags::from_maildir_info(format!("2,{letters}").as_bytes());
        for mode in [FlagLines::None, FlagLines::Status] {
            prop_assert_eq!(head(mode, secs, flags).len() as u64, head_len(mode, flags));
        }
    }
}

#[test]
fn heads() {
    let text = |mode, secs, flags| String::from_utf8(head(mode, secs, flags)).unwrap();
    let none = Flags::default();
    assert_eq!(
        text(FlagLines::None, 0, none),
        "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
    );
    assert_eq!(
        text(FlagLines::Status, 1_795_080_720, none),
        "From MAILER-DAEMON Thu Nov 19 09:32:00 2026\nStatus: O\n"
    );
    let all = Flags::from_maildir_info(b"2,DFPRST");
    assert_eq!(
        text(FlagLines::Status, -1, all),
        "From MAILER-DAEMON Wed Dec 31 23:59:59 1969\nStatus: RO\nX-Status: AFTD\n"
    );
    assert_eq!(
        text(FlagLines::Status, 0, Flags::DELETED | Flags::ANSWERED),
        "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nStatus: O\nX-Status: AD\n"
    );
    assert_eq!(
        text(FlagLines::None, i64::MIN, none),
        "From MAILER-DAEMON Wed Jan  1 00:00:00 1000\n"
    );
    assert_eq!(
        text(FlagLines::None, i64::MAX, none),
        "From MAILER-DAEMON Fri Dec 31 23:59:59 9999\n"
    );
}

#[test]
fn empty_message() {
    let size = measure(&[]);
    assert_eq!((size.none, size.status, size.stored), (0, 0, 0));
    assert!(size.verbatim_none && size.verbatim_status);
    assert_eq!(size.entry_len(FlagLines::None, Flags::default()), 45);
}

#[test]
fn line_ends() {
    let body = |message: &str| body(FlagLines::None, message.as_bytes());
    assert_eq!(body("a\r\nb"), "a\nb\n");
    assert_eq!(body("a\r\r\nb\rc\r"), "a\r\nb\rc\r\n");
    assert_eq!(body("\r"), "\r\n");
    assert_eq!(body("\r\n"), "\n");
}

#[test]
fn from_lines() {
    let body = |message: &str| body(FlagLines::None, message.as_bytes());
    assert_eq!(
        body("From x\nFrom: y\n\nFrom"),
        ">From x\nFrom: y\n\nFrom\n"
    );
    assert_eq!(
        body(">From \r\n>>>From x\n> From\nxFrom "),
        ">>From \n>>>>From x\n> From\nxFrom \n"
    );
    assert_eq!(body("\rFrom x\r\nFrom\r\n"), "\rFrom x\nFrom\n");
}

#[test]
fn flag_fields_of_the_header_are_dropped() {
    let message = "Status: RO\nA: b\nX-STATUS\t : D\n more\n\tmore\nStatus-Code: 1\nXStatus: 2\n c\n\nStatus: body\n";
    let expected = "A: b\nStatus-Code: 1\nXStatus: 2\n c\n\nStatus: body\n";
    assert_eq!(body(FlagLines::Status, message.as_bytes()), expected);
    assert_eq!(body(FlagLines::None, message.as_bytes()), message);
    assert_eq!(body(FlagLines::Status, b"Status: RO"), "");
    assert_eq!(body(FlagLines::Status, b"A: b\nStatus"), "A: b\nStatus\n");
    assert_eq!(
        body(FlagLines::Status, b"\r\nStatus: RO\r\n"),
        "\nStatus: RO\n"
    );
}

#[test]
fn only_so_much_of_a_line_is_held() {
    for blanks in [0, 1, 998, 999, 100_000] {
        let message = format!("Status{}: RO\n\n", " ".repeat(blanks)).into_bytes();
        for size in [1, 7, 1000, message.len()] {
            let mut renderer = Renderer::new(FlagLines::Status);
            let mut out = Vec::new();
            for chunk in message.chunks(size) {
                renderer.feed(chunk, &mut out);
                let held = renderer.header.as_ref().map_or(0, |h| h.held.len());
                assert!(held <= LONGEST_UNDECIDED);
            }
            renderer.finish(&mut out);
            let dropped = blanks <= 998;
            assert_eq!(out, if dropped { b"\n" } else { &message[..] });
        }
    }
}

#[test]
fn placeholders_need_no_change() {
    for reason in [
        "damaged gzip data",
        "",
        "a\r\nBcc: x\n\nFrom y\u{202e}",
        &"x".repeat(9999),
    ] {
        let message = placeholder(reason);
        let size = measure(&[&message]);
        assert!(size.verbatim_none && size.verbatim_status);
        assert_eq!(size.none, message.len() as u64);
        assert!(message.len() < 1000 && message.is_ascii());
        let text = String::from_utf8(message).unwrap();
        let (header, _) = text.split_once("\n\n").unwrap();
        let names: Vec<_> = header.lines().map(|l| l.split(':').next()).collect();
        let expected = ["From", "Subject", "X-Mailtm-Unreadable"].map(Some);
        assert_eq!(names, expected);
    }
}
