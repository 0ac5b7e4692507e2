//! A folder as one file: exact size, exact bytes from every offset, and split right by other people's programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::{
    Config, Mailbox, Mount, Numbers, Scratch, Store, able, mail, python, run, tree, utc,
};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

const ALICE: &str = "alice@example.com";
const DAY: &str = "2026-11-20";

fn setup() -> (Scratch, Store, Mailbox) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    (scratch, store, mailbox)
}

/// The folder's bytes; as many as `stat` says before anything has been read.
fn read(mount: &Mount, folder: &str) -> Vec<u8> {
    let path = mount.join(DAY).join(ALICE).join(format!("{folder}.mbox"));
    let size = fs::metadata(&path).unwrap().len();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, size, "{}: st_size", path.display());
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Messages that are hard to frame, in the order in which they must come out.
fn hard_messages() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        mail("Bob <b@x>", "Plain", "text\n"),
        b"".to_vec(),
        b"\n".to_vec(),
        b"\r\n".to_vec(),
        b"Subject: no final newline\n\nthe end".to_vec(),
        b"Subject: CRLF\r\n\r\nFrom here\r\n>From there\r\nlone \r stays\r\r\n\r\n".to_vec(),
        b"From a Usenet gateway Thu Nov 19 09:32:00 2026\nSubject: a From_ line of its own\n\nFrom me\n".to_vec(),
        b"Subject: quoted\n\nFrom x Thu Nov 19 09:32:00 2026\n>From y\n>>>>From z\n>From\nFrom:\n> From\n>Fromage \n".to_vec(),
        b"Subject: looks like two\n\nfirst\n\nFrom MAILER-DAEMON Thu Nov 19 09:32:00 2026\nSubject: second\n\nx\n".to_vec(),
        b"Subject: length\nContent-Length: 3\n\nFrom longer than it says\nFrom".to_vec(),
        b"Subject: NULs\n\n\0From \0\nFrom \0\n".to_vec(),
        [b"Subject: long line\n\n".as_slice(), &vec![b'>'; 70_000], b"From x\n"].concat(),
        [b"Subject: many\r\n\r\n".as_slice(), &b"From x\r\n".repeat(20_000)].concat(),
        b"Status: RO\nX-Status: AFTD\n D\nstatus: forged\n folded\nSubject: forged\n\nStatus: in the body\n".to_vec(),
    ];
    let mut numbers = Numbers(11);
    let alphabet: [&[u8]; 9] = [
        b"From ", b">", b"\n", b"\r\n", b"\r", b"x", b"From", b" ", b"\n\n",
    ];
    for _ in 0..60 {
        let length = numbers.below(40);
        all.push(
            (0..length)
                .flat_map(|_| alphabet[usize::try_from(numbers.below(9)).unwrap()].to_vec())
                .collect(),
        );
    }
    all
}

fn fill(mailbox: &Mailbox) {
    for (number, bytes) in hard_messages().iter().enumerate() {
        let received = utc("2026-11-19 09:32:10") + i64::try_from(number).unwrap();
        mailbox.put(
            "cur",
            format!("{received}.M{number:04}P1.mx:2,S"),
            bytes,
            received,
        );
    }
}

#[test]
fn without_flags_nothing_is_added_or_dropped() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    let received = utc("2026-11-05 09:02:03");
    mailbox.put(
        "cur",
        "b:2,FRS",
        "Status: O\nX-Status: A\nSubject: 2\n\nFrom x\n>From y\r\nend",
        received,
    );
    // The same time: by store name.
    mailbox.put("new", "a", "Subject: 1\r\n\r\n\r\n", received);
    mailbox.put("cur", "z:2,", "Subject: 0\n\n", utc("1999-12-31 23:59:59"));
    let mount = Mount::new(&Config::new(&scratch, &store).set("mbox.flags", "none"));
    assert_eq!(
        text(&read(&mount, "INBOX")),
        "From MAILER-DAEMON Fri Dec 31 23:59:59 1999\nSubject: 0\n\n\n\
         From MAILER-DAEMON Thu Nov  5 09:02:03 2026\nSubject: 1\n\n\n\n\
         From MAILER-DAEMON Thu Nov  5 09:02:03 2026\nStatus: O\nX-Status: A\nSubject: 2\n\n>From x\n>>From y\nend\n\n"
    );
}

#[test]
fn flags_follow_the_from_line() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    let start = utc("2026-11-05 09:02:03");
    for (number, (name, bytes)) in [
        ("a:2,", "Subject: unseen\n\n"),
        ("b:2,S", "Subject: seen\n\n"),
        ("c:2,DFRST", "Subject: all\n\n"),
        (
            "d:2,F",
            "Status: RO\nX-Status: D\n folded\nSubject: forged\nSTATUS: x\n\nStatus: body\n",
        ),
        ("e:2,abP", "Subject: keywords\n\n"),
        ("f", "X-Status-Of: kept\nStatus : odd\nSubject: in new\n\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let place = if name == "f" { "new" } else { "cur" };
        mailbox.put(place, name, bytes, start + i64::try_from(number).unwrap());
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    let bytes = text(&read(&mount, "INBOX"));
    for expected in [
        "From MAILER-DAEMON Thu Nov  5 09:02:03 2026\nStatus: O\nSubject: unseen\n\n\n",
        "From MAILER-DAEMON Thu Nov  5 09:02:04 2026\nStatus: RO\nSubject: seen\n\n\n",
        "From MAILER-DAEMON Thu Nov  5 09:02:05 2026\nStatus: RO\nX-Status: AFTD\nSubject: all\n\n\n",
        "From MAILER-DAEMON Thu Nov  5 09:02:06 2026\nStatus: O\nX-Status: F\nSubject: forged\n\nStatus: body\n\n",
        "From MAILER-DAEMON Thu Nov  5 09:02:07 2026\nStatus: O\nSubject: keywords\n\n\n",
        "From MAILER-DAEMON Thu Nov  5 09:02:08 2026\nStatus: O\nX-Status-Of: kept\n",
    ] {
        assert!(bytes.contains(expected), "{expected:?} is not in\n{bytes}");
    }
}

#[test]
fn any_range_in_any_order() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    fill(&mailbox);
    for flags in ["status", "none"] {
        let config = Config::new(&scratch, &store).set("mbox.flags", flags);
        let whole = read(&Mount::new(&config), "INBOX");
        // A fresh mount, so that the kernel has no page of it.
        let mount = Mount::new(&config);
        let path = mount.join(DAY).join(ALICE).join("INBOX.mbox");
        let file = File::open(&path).unwrap();
        let mut numbers = Numbers(5);
        for _ in 0..2000 {
            let start = usize::try_from(numbers.below(whole.len() as u64 + 10)).unwrap();
            let length = usize::try_from(match numbers.below(3) {
                0 => numbers.below(10),
                1 => numbers.below(5000),
                _ => numbers.below(whole.len() as u64),
            })
            .unwrap();
            let mut buffer = vec![0; length];
            let mut got = 0;
            while let n @ 1.. = file
                .read_at(&mut buffer[got..], (start + got) as u64)
                .unwrap()
            {
                got += n;
            }
            let expected = whole.get(start..).unwrap_or_default();
            let expected = &expected[..expected.len().min(length)];
            assert!(
                buffer[..got] == *expected,
                "{flags}: {length} bytes from {start}"
            );
        }
        // Page by page from the end, past every cache and read-ahead.
        let direct = File::open(&path).unwrap();
        let _ = rustix::fs::fadvise(&direct, 0, None, rustix::fs::Advice::Random);
        harness::drop_caches();
        for page in (0..whole.len().div_ceil(4096)).rev() {
            let mut buffer = vec![0; 4096.min(whole.len() - page * 4096)];
            direct
                .read_exact_at(&mut buffer, page as u64 * 4096)
                .unwrap();
            assert!(
                buffer == whole[page * 4096..][..buffer.len()],
                "{flags}: page {page}"
            );
        }
    }
}

#[test]
fn git_splits_it_into_exactly_the_messages() {
    if !able(&["git"]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    fill(&mailbox);
    let mount = Mount::new(&Config::new(&scratch, &store).set("mbox.flags", "none"));
    let split = tree::mailsplit(&mount.join(DAY).join(ALICE).join("INBOX.mbox"), &scratch);
    let expected: Vec<Vec<u8>> = hard_messages().iter().map(|m| tree::unix(m)).collect();
    assert_eq!(split.len(), expected.len());
    for (number, (got, expected)) in split.iter().zip(&expected).enumerate() {
        assert!(
            got == expected,
            "message {number}:\n{:?}\n{:?}",
            text(got),
            text(expected)
        );
    }
}

#[test]
fn python_counts_the_same_messages() {
    if !able(&["python3"]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    fill(&mailbox);
    for flags in ["status", "none"] {
        let mount = Mount::new(&Config::new(&scratch, &store).set("mbox.flags", flags));
        let script =
            "import mailbox, sys\nbox = mailbox.mbox(sys.argv[1], create=False)\nprint(len(box))";
        let path = mount.join(DAY).join(ALICE).join("INBOX.mbox");
        let count = run(python().args(["-c", script]).arg(path));
        assert_eq!(
            text(&count).trim(),
            hard_messages().len().to_string(),
            "{flags}"
        );
    }
}

#[test]
fn order_is_by_received_time_then_store_name() {
    if !able(&["git"]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    let mut numbers = Numbers(3);
    let mut expected = Vec::new();
    for number in 0..200_u32 {
        let received = utc("2026-11-01 00:00:00") + i64::try_from(numbers.below(40)).unwrap();
        let name = format!("{}.M{number}P1.mx", numbers.below(1 << 40));
        let bytes = mail("Bob <b@x>", &number.to_string(), "x\n");
        let place = ["cur", "new"][usize::try_from(numbers.below(2)).unwrap()];
        mailbox.put(place, format!("{name}:2,S"), &bytes, received);
        expected.push(((received, name), bytes));
    }
    expected.sort();
    let mount = Mount::new(&Config::new(&scratch, &store).set("mbox.flags", "none"));
    let split = tree::mailsplit(&mount.join(DAY).join(ALICE).join("INBOX.mbox"), &scratch);
    assert!(split.iter().eq(expected.iter().map(|(_, bytes)| bytes)));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_message_that_cannot_be_decoded_stops_nobody() {
    if !able(&["git"]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    let good = mail("Bob <b@x>", "Compressed", &"text\n".repeat(2000));
    let size = good.len();
    let packed = gzip(&good);
    let at = utc("2026-11-19 09:00:00");
    let flags = [
        ("whole", packed.clone(), size),
        ("torn", packed[..packed.len() / 2].to_vec(), size),
        // More than it claims.
        ("lying", packed.clone(), size - 1),
    ];
    for (number, (name, bytes, size)) in flags.iter().enumerate() {
        let at = at + i64::try_from(number).unwrap();
        mailbox.put("cur", format!("{name},S={size}:2,S"), bytes, at);
    }
    mailbox.put("cur", "last:2,S", "Subject: last\n\nbody\n", at + 9);
    let config = Config::new(&scratch, &store)
        .set("mbox.flags", "none")
        .set("names", "unique");
    let mount = Mount::new(&config).expecting_warnings();
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let eml = |name: &str| {
        let found = tree::messages(&inbox);
        let file = found.iter().find(|n| n.starts_with(name)).unwrap();
        fs::read(inbox.join(file))
    };
    assert_eq!(eml("whole").unwrap(), good);
    for name in ["torn", "lying"] {
        assert_eq!(
            eml(name).unwrap_err().raw_os_error(),
            Some(libc::EIO),
            "{name}"
        );
    }
    let whole = read(&mount, "INBOX");
    assert_eq!(text(&whole).matches("\nX-Mailtm-Unreadable:").count(), 2);
    let split = tree::mailsplit(&mount.join(DAY).join(ALICE).join("INBOX.mbox"), &scratch);
    assert_eq!(split.len(), 4);
    assert_eq!(split[0], good);
    assert_eq!(split[3], b"Subject: last\n\nbody\n");
    for placeholder in &split[1..3] {
        let said = text(placeholder);
        assert!(said.contains("X-Mailtm-Unreadable:"), "{said}");
        assert!(
            said.contains("\nSubject: ") || said.starts_with("Subject: "),
            "{said}"
        );
    }
    mount.wait_for_warning(&["torn"]);
}

#[test]
fn a_plain_message_that_looks_compressed_is_shown_as_it_is() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, mailbox) = setup();
    let looks = gzip(b"Subject: an attachment, delivered as a whole message\n\n");
    let name = format!("looks,S={}:2,S", looks.len());
    mailbox.put("cur", name, &looks, utc("2026-11-19 09:00:00"));
    let mount = Mount::new(&Config::new(&scratch, &store));
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let shown = tree::messages(&inbox);
    assert_eq!(fs::read(inbox.join(&shown[0])).unwrap(), looks);
}
