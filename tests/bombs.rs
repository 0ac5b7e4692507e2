//! Messages that take far more memory than room on disk, many at a time; and file names that lie about them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::messages;
use harness::{Config, Mount, Scratch, Store, able, mail};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

const ALICE: &str = "alice@example.com";
const DAY: &str = "2026-11-20";

/// A message of so many MiB, compressed to next to nothing.
fn bomb(megabytes: usize) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(&mail("Bob <b@x>", "Large", "")).unwrap();
    let zeros = vec![b'0'; 1 << 20];
    for _ in 0..megabytes {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

/// The most memory that the daemon ever had, in MiB.
fn peak(mount: &Mount) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", mount.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

#[test]
fn many_at_a_time_do_not_add_up() {
    if !able(&[]) {
        return;
    }
    const BOMBS: usize = 8;
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    let packed = bomb(400);
    for number in 0..BOMBS {
        let at = 1_790_000_000 + number as i64;
        mailbox.put("cur", format!("{at}.M{number}P1.mx:2,S"), &packed, at);
    }
    let whole = bomb(600);
    mailbox.put("cur", "1790000100.M1P1.mx:2,S", &whole, 1_790_000_100);
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let names = messages(&inbox);
    assert_eq!(names.len(), BOMBS + 1);
    let sizes = std::thread::scope(|scope| {
        let read = names.iter().map(|name| {
            let path = inbox.join(name);
            scope.spawn(move || {
                let file = File::open(&path).unwrap();
                let size = file.metadata().unwrap().len();
                let mut end = [0; 4096];
                file.read_at(&mut end, size.saturating_sub(4096))
                    .map(|n| (size, end[..n].to_vec()))
            })
        });
        let read: Vec<_> = read.collect();
        read.into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    let (read, refused): (Vec<_>, Vec<_>) = sizes.into_iter().partition(Result::is_ok);
    assert_eq!((read.len(), refused.len()), (BOMBS, 1), "{refused:?}");
    for one in read {
        let (size, end) = one.unwrap();
        assert!(size > 400 << 20 && end.iter().all(|&b| b == b'0'));
    }
    let peak = peak(&mount);
    assert!(peak < 2048, "{peak} MiB");
}

/// A file: its base name, what that claims, its bytes; and what reading it gives.
type Case<'a> = (&'a str, String, &'a [u8], Result<&'a [u8], i32>);

#[test]
fn sizes_that_names_claim() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    let plain = mail(
        "Bob <b@x>",
        "Compressed",
        &"text and more of it\n".repeat(300),
    );
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    // A compressed message that has the size of the plain one: gzip's header may hold a comment of any length.
    let same_size = {
        let comment = vec![b'x'; plain.len() - packed.len() - 1];
        let mut bytes = packed.clone();
        bytes[3] |= 1 << 4;
        bytes.splice(10..10, comment.into_iter().chain([0]));
        bytes
    };
    assert_eq!(same_size.len(), plain.len());
    let (size, packed_size) = (plain.len(), packed.len());
    let files: [Case<'_>; 9] = [
        ("true", format!("S={size}"), &packed, Ok(&plain)),
        ("same", format!("S={size}"), &same_size, Ok(&plain)),
        ("none", "W=1".into(), &packed, Ok(&plain)),
        ("more", format!("S={}", size + 1), &packed, Err(libc::EIO)),
        ("fewer", format!("S={}", size - 1), &packed, Err(libc::EIO)),
        ("huge", "S=99999999999999999999".into(), &packed, Ok(&plain)),
        // Plain, and it merely begins so.
        (
            "looks",
            format!("S={packed_size}"),
            &packed[..packed_size],
            Ok(&packed),
        ),
        // What is plain is shown as it is, whatever is claimed.
        ("plain", "S=7".into(), &plain, Ok(&plain)),
        ("empty", "S=7".into(), b"", Ok(b"")),
    ];
    for (at, (name, claim, bytes, _)) in (1_790_000_000..).zip(&files) {
        mailbox.put("cur", format!("{name},{claim}:2,S"), bytes, at);
    }
    for names in ["readable", "unique"] {
        let config = Config::new(&scratch, &store).set("names", names);
        let mount = Mount::new(&config).expecting_warnings();
        let top = mount.join(".maildir").join(DAY).join(ALICE).join("cur");
        for (name, claim, _, expected) in &files {
            let path = top.join(format!("{name},{claim}:2,S"));
            let got = fs::read(&path).map_err(|e| e.raw_os_error().unwrap());
            let expected = expected.map(<[u8]>::to_vec);
            assert!(
                got == expected,
                "{names}: {name}: {:?}",
                got.map(|b| b.len())
            );
            if let Ok(bytes) = expected {
                assert_eq!(fs::metadata(&path).unwrap().len(), bytes.len() as u64);
            }
        }
    }
}
