//! Text: headers and bodies of messages, names, templates, the configuration.

use super::Target;
use mailtm::access::{Grant, Principal};
use mailtm::config;
use mailtm::message::facts::Facts;
use mailtm::message::mboxrd::{Count, FlagLines, Measure, Renderer, Window};
use mailtm::message::searchable::Searchable;
use mailtm::message::{header, words};
use mailtm::snapshot::name as snapshot_name;
use mailtm::snapshot::pattern::Pattern;
use mailtm::store::decode::{Decoder, Keys, Terms, detect};
use mailtm::store::folder_name;
use mailtm::time::Zone;
use mailtm::view::mailbox::Template;
use mailtm::view::name;
use std::borrow::Cow;

pub fn text(input: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(input)
}

/// Two parts of an input: what stands before the first NUL, and what stands after it.
fn two(input: &[u8]) -> (&[u8], &[u8]) {
    let at = input
        .iter()
        .position(|&b| b == 0)
        .unwrap_or(input.len() / 2);
    input.split_at(at)
}

pub const MESSAGES: &[&[u8]] = &[
    b"From: =?utf-8?q?B=C3=B6b?= Rossi <bob@example.com>\nSubject: =?utf-8?b?Q2nDoG8=?=\n  folded\nMessage-ID: <1@x>\n\nFrom here\n>From there\n",
    b"From bob Thu Nov 19 09:32:00 2026\r\nFROM: \"Rossi, Bob\" (home) <bob@[127.0.0.1]>, c@d\r\nStatus: RO\r\n\tmore\r\nX-Status : AF\r\n\r\nbody\r\n",
    b"Subject: =?ISO-2022-JP?B?GyRCJUYlOSVIGyhC?= =?x?q?_=_?=\nDate: x\n\n",
    b"Content-Type: multipart/mixed; boundary=\"b\"\nSubject: parts\n\n--b\nContent-Type: text/html; charset=utf-7\nContent-Transfer-Encoding: base64\n\nPGI+aGk8L2I+\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\n--b--\n",
    b"",
];

pub const MESSAGE_WORDS: &[&[u8]] = &[
    b"From ",
    b"\nFrom ",
    b">From ",
    b"\r\n",
    b"\n\n",
    b"\r",
    b"Status:",
    b"X-Status: ",
    b"\nsubject:",
    b"\nFrom:",
    b"=?utf-8?q?",
    b"=?utf-8?b?",
    b"?=",
    b"=?gb18030?b?",
    b"\xe2\x80\xae",
    b"<",
    b">",
    b"(",
    b")",
    b"\"",
    b"\\",
    b",",
    b";",
    b":",
    b"\0",
    b"--b",
    b"Content-Type: multipart/mixed; boundary=b\n",
    b"Content-Transfer-Encoding: quoted-printable\n",
];

pub fn headers() -> Target {
    fn run(input: &[u8]) {
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
    Target {
        name: "headers",
        seeds: MESSAGES,
        words: MESSAGE_WORDS,
        run,
    }
}

pub fn searchable() -> Target {
    fn run(input: &[u8]) {
        for bodies in [false, true] {
            let _ = Searchable::of(input, bodies);
        }
        let _ = words::of(&text(input));
    }
    Target {
        name: "searchable",
        seeds: MESSAGES,
        words: MESSAGE_WORDS,
        run,
    }
}

pub fn mboxrd() -> Target {
    fn run(input: &[u8]) {
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
    Target {
        name: "mboxrd",
        seeds: MESSAGES,
        words: MESSAGE_WORDS,
        run,
    }
}

pub fn names() -> Target {
    fn run(input: &[u8]) {
        let (sender, subject) = two(input);
        let id = name::id(input, name::ID_CHARS);
        let time = Zone::parse("Europe/Rome")
            .unwrap()
            .local(input.len() as i64 * 12_345_678);
        let message = name::message_name(time, &text(sender), &text(subject), &id);
        assert_eq!(name::id_in(&message), Some(id.as_str()), "{message:?}");
        let whole = text(input);
        for made in [
            message,
            name::store_name(input),
            name::store_name_with_id(input, 16),
            name::component(&whole),
            name::component_with_id(&whole, 16),
            name::component(&whole) + ".mbox",
        ] {
            assert!(name::is_safe(&made), "{made:?}");
            assert!(
                made.len() <= 240 && made.encode_utf16().count() <= 120,
                "{made:?}"
            );
        }
        // One safe name leaves another one as it is.
        let once = name::component(&whole);
        assert_eq!(name::component(&once), once);
        let _ = name::fold(&whole);
    }
    Target {
        name: "names",
        seeds: const {
            &[
                b"Bob Rossi\0Preventivo",
                b"CON\0aux.txt",
                "\u{202e}gpj.exe\0e\u{301}\u{301}\u{301} …".as_bytes(),
                "👨‍👩‍👧‍👦👨‍👩‍👧‍👦\0日本語のとても長い件名".as_bytes(),
                b"1795.M1P1.mx,S=12:2,S\0..",
            ]
        },
        words: const {
            &[
                b"\0",
                b".",
                b" ",
                b"/",
                b"\\",
                b":",
                b"COM1",
                b"nul",
                b"~",
                "\u{301}".as_bytes(),
                "\u{200d}".as_bytes(),
                "\u{fe0f}".as_bytes(),
                "ß".as_bytes(),
                "İ".as_bytes(),
                "\u{1f468}".as_bytes(),
                "\u{2066}".as_bytes(),
                "\u{a0}".as_bytes(),
                ".mbox".as_bytes(),
                ".eml".as_bytes(),
                "…".as_bytes(),
            ]
        },
        run,
    }
}

pub fn folder_names() -> Target {
    fn run(input: &[u8]) {
        let decoded = folder_name::decode(input);
        if input.is_ascii() && folder_name::encode(&decoded) != input {
            // Not modified UTF-7: shown as it stands.
            assert_eq!(decoded.as_bytes(), input);
        }
        let whole = text(input);
        assert_eq!(folder_name::decode(&folder_name::encode(&whole)), whole);
    }
    Target {
        name: "folder_names",
        seeds: const {
            &[
                b"Entw&APw-rfe",
                b"&ZeVnLIqe-",
                b"A & B",
                "Entwürfe".as_bytes(),
                b"&2D3eCg-",
                b"&-&-",
            ]
        },
        words: const { &[b"&", b"-", b"&AP", b"&2D0-", b",", b"\xff", "😀".as_bytes()] },
        run,
    }
}

pub fn facts() -> Target {
    fn run(input: &[u8]) {
        if let Some(facts) = Facts::decode(input) {
            let mut again = Vec::new();
            facts.encode(&mut again);
            assert_eq!(again, input, "{facts:?}");
        }
    }
    Target {
        name: "facts",
        seeds: &[
            b"\x01\x00\x03bob\x05Hello",
            b"\x02\x00\x00\x00",
            b"\x01\x01aaaaaaaaaaaaaaaa\x00\x00",
            b"\x03\x0f\x80\x01\x80\x01\x80\x01\x00\x00",
        ],
        words: &[b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80", b"\0"],
        run,
    }
}

pub fn decode() -> Target {
    fn run(input: &[u8]) {
        const LIMIT: u64 = 1 << 20;
        let Some(encoding) = detect(input) else {
            return;
        };
        let keys = Keys::default();
        for expected in [None, Some(5)] {
            let terms = Terms {
                expected,
                limit: LIMIT,
                keys: &keys,
                only_encrypted: false,
            };
            let Ok(mut decoder) = Decoder::new(encoding, input, &terms) else {
                continue;
            };
            let (mut buffer, mut total) = ([0; 4096], 0);
            loop {
                match decoder.read(&mut buffer) {
                    Ok(0) => {
                        assert!(expected.is_none_or(|size| size == total));
                        break;
                    }
                    Ok(n) => total += n as u64,
                    Err(_) => break,
                }
                assert!(total <= LIMIT);
            }
        }
    }
    Target {
        name: "decode",
        seeds: &[
            // "Hello" as gzip, bzip2, zstd, xz; then the beginnings of Dovecot's own.
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xf3H\xcd\xc9\xc9\x07\x00\x82\x89\xd1\xf7\x05\x00\x00\x00",
            b"BZh91AY&SY\x1a\xd9\xa7\x8d\x00\x00\x00\x01\x80\x02@\x04\x00 \x00!\x98\x19\x84aw$S\x85\t\x01\xad\x9a\x78\xd0",
            b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00Hello",
            b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01\x16\x00\x00\x00t/\xe5\xa3\x01\x00\x04Hello\x00\x00\x00\x00\x00\x00\x00\x01\x19\x05\x00\x00\x00\x00\x00",
            b"Dovecot-LZ4\x0d\x2a\x9b\xc5\x00\x00\x10\x00\x00\x00\x00\x06\x50Hello",
            b"CRYPTED\x03\x07\x02\x00\x00\x00\x01\x00\x00\x00\x40\x00\x00\x08\x00\x00\x00\x00\x10",
        ],
        words: &[b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"],
        run,
    }
}

pub fn snapshot_names() -> Target {
    fn run(input: &[u8]) {
        let zone = Zone::parse("Europe/Rome").unwrap();
        if let Some((moment, _)) = snapshot_name::recognise(input, &zone) {
            // From the year 0 to the year 10000.
            assert!(
                (-62_200_000_000..253_500_000_000).contains(&moment),
                "{moment}"
            );
        }
        let _ = (
            snapshot_name::set_aside(input),
            snapshot_name::is_rotated(input),
            snapshot_name::is_numbered(input),
        );
        let (pattern, name) = two(input);
        if let Ok(pattern) = Pattern::parse(&text(pattern)) {
            let _ = pattern.moment(name, &zone);
            let _ = pattern.moment(name.get(1..).unwrap_or_default(), &zone);
        }
    }
    Target {
        name: "snapshot_names",
        seeds: &[
            b"autosnap_%Y-%m-%d_%H:%M:%S_daily\0autosnap_2026-11-20_00:00:01_daily",
            b"vmail.%Y%m%dT%H%M%S%z\0vmail.20261120T030000+0100",
            b"2026-11-20T03:00:00Z",
            b"hourly.2026-11-20_1005",
            b"@GMT-2026.11.20-03.00.00",
            b"daily.0",
            b"%s\x001795000000",
        ],
        words: &[
            b"%Y", b"%m", b"%d", b"%s", b"%z", b"%Z", b"%%", b"%", b"9999", b"0000", b"-02-30",
            b"T", b"Z", b"_",
        ],
        run,
    }
}

pub fn templates() -> Target {
    fn run(input: &[u8]) {
        let whole = text(input);
        if let Ok(template) = Template::parse(&whole) {
            assert_eq!(template.text(), whole);
        }
        if let Ok(principal) = Principal::parse(&whole) {
            assert_eq!(Principal::parse(&principal.to_string()).unwrap(), principal);
        }
        let (pattern, name) = two(input);
        if let Ok(grant) = Grant::new(&[text(pattern).into_owned()], Vec::new()) {
            let _ = grant.matching(&text(name));
        }
    }
    Target {
        name: "templates",
        seeds: &[
            b"{domain}/{user}/Maildir",
            b"*/{user}",
            b"@mail-admins",
            b"*@sales.{a,b}[!x-z]?\0x@sales.a",
            b"4242",
        ],
        words: &[
            b"{user}",
            b"{domain}",
            b"*",
            b"**",
            b"/",
            b"//",
            b"..",
            b"{",
            b"}",
            b"[",
            b"]",
            b"?",
            b",",
            b"@",
            b"\\",
        ],
        run,
    }
}

pub fn configuration() -> Target {
    fn run(input: &[u8]) {
        thread_local! {
            static FILE: tempfile::NamedTempFile = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap();
        }
        FILE.with(|file| {
            std::fs::write(file.path(), input).unwrap();
            let (config, mistakes) = config::examine(Some(file.path())).unwrap();
            let _ = config.policy();
            let lines = input.split(|&b| b == b'\n').count();
            for mistake in mistakes {
                assert!(mistake.line <= lines + 1, "{mistake}");
                assert!(!mistake.message.is_empty());
            }
        });
    }
    Target {
        name: "configuration",
        seeds: &[
            include_bytes!("../../packaging/mailtm.toml"),
            b"mountpoint = \"/backups\"\nkeep_days = 15\n[source]\nsnapshots = [\"/srv\"]\nmailboxes = \"{domain}/{user}\"\n[access]\nowner = \"{user}\"\nadmins = [\"root\", \"@x\"]\n[[access.grant]]\nmailboxes = [\"*\"]\nto = [\"a\"]\n",
        ],
        words: &[
            b"#", b"\n", b"[", b"]", b"[[", b"]]", b"\"", b"'''", b"=", b"{", b"}", b",", b"\\u0000", b"1e999", b"-1", b"true",
            b"30s", b"99999999999999999999", b"[access]", b"[[access.grant]]", b"\xff", b"refresh", b"{user}",
        ],
        run,
    }
}
