//! Tests of `decode`.

mod encrypted;

use super::*;
use proptest::prelude::*;
use std::io::Write;

const ALL: [Encoding; 6] = [
    Encoding::Gzip,
    Encoding::Bzip2,
    Encoding::Zstd,
    Encoding::Lz4,
    Encoding::Xz,
    Encoding::MailCrypt,
];

fn encode(encoding: Encoding, message: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(message).unwrap();
            out.finish().unwrap()
        }
        Encoding::Bzip2 => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(message).unwrap();
            out.finish().unwrap()
        }
        Encoding::Zstd => {
            let mut out = zstd::Encoder::new(Vec::new(), 3).unwrap();
            out.include_checksum(true).unwrap();
            out.write_all(message).unwrap();
            out.finish().unwrap()
        }
        Encoding::Lz4 => {
            let mut out = [LZ4_MAGIC, &65536u32.to_be_bytes()[..]].concat();
            for block in message.chunks(65536) {
                let block = lz4_flex::block::compress(block);
                out.extend((block.len() as u32).to_be_bytes());
                out.extend(block);
            }
            out
        }
        Encoding::Xz => encode_xz(message, 1 << 20),
        Encoding::MailCrypt => encrypted::encrypt(message),
    }
}

fn encode_xz(message: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(1);
    options.lzma_options.dict_size = dictionary;
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    out.write_all(message).unwrap();
    out.finish().unwrap()
}

fn terms(expected: Option<u64>, limit: u64) -> Terms<'static> {
    Terms {
        expected,
        limit,
        keys: encrypted::keys(),
        only_encrypted: false,
    }
}

fn decode(encoding: Encoding, stored: &[u8]) -> Result<Vec<u8>> {
    decode_all(encoding, stored, &terms(None, 1 << 20))
}

fn undecodable(result: Result<Vec<u8>>) {
    assert_eq!(result.unwrap_err().kind(), Kind::Undecodable);
}

fn message() -> Vec<u8> {
    let lines = (0..9000).map(|n| format!("Line {n} {}\r\n", n * n % 9973));
    lines.collect::<String>().into_bytes()
}

#[test]
fn detected() {
    for encoding in ALL {
        assert_eq!(
            detect(&encode(encoding, b"From: x\n\n")[..DETECT_LEN]),
            Some(encoding)
        );
    }
    for plain in [
        &b""[..],
        b"\x1f",
        b"BZh0",
        b"BZh9 is how my subject begins",
        b"\x1f\x8bgzip has another method",
        b"Dovecot-LZ4",
        b"Return-Path: <x>",
        &[0; 16],
    ] {
        assert_eq!(detect(plain), None);
    }
    assert_eq!(detect(b"\x1f\x8b"), Some(Encoding::Gzip));
    assert_eq!(detect(b"BZh91AY"), Some(Encoding::Bzip2));
}

#[test]
fn decoded() {
    for encoding in ALL {
        for message in [&b""[..], b"x", &message()] {
            let stored = encode(encoding, message);
            assert_eq!(decode(encoding, &stored).unwrap(), message, "{encoding}");
            let len = message.len() as u64;
            assert!(decode_all(encoding, &stored[..], &terms(Some(len), len)).is_ok());
            undecodable(decode_all(
                encoding,
                &stored[..],
                &terms(Some(len + 1), 1 << 20),
            ));
            if len > 0 {
                undecodable(decode_all(
                    encoding,
                    &stored[..],
                    &terms(Some(len - 1), 1 << 20),
                ));
                undecodable(decode_all(encoding, &stored[..], &terms(None, len - 1)));
            }
        }
    }
}

#[test]
fn members_follow_one_another() {
    for encoding in [
        Encoding::Gzip,
        Encoding::Bzip2,
        Encoding::Zstd,
        Encoding::Xz,
    ] {
        let stored = [encode(encoding, b"first "), encode(encoding, b"second")].concat();
        assert_eq!(decode(encoding, &stored).unwrap(), b"first second");
    }
}

#[test]
fn cut_short() {
    for encoding in ALL {
        let message = &message()[..2000];
        let stored = encode(encoding, message);
        // To open an encrypted one is meant to be slow.
        let step = if encoding == Encoding::MailCrypt {
            31
        } else {
            1
        };
        for n in (0..stored.len()).step_by(step) {
            // Between two blocks of lz4, only the expected size tells.
            let result = decode_all(encoding, &stored[..n], &terms(Some(2000), 1 << 20));
            assert_eq!(
                result.unwrap_err().kind(),
                Kind::Undecodable,
                "{encoding} {n}"
            );
        }
    }
}

#[test]
fn followed_by_something() {
    for encoding in ALL {
        for more in [
            &b"\0"[..],
            b"garbage that is no block",
            // Of zeros in fours, xz makes nothing of them.
            &[0; 99],
            b"\xff\xff\xff\xff",
        ] {
            let stored = [&encode(encoding, b"x"), more].concat();
            undecodable(decode(encoding, &stored));
        }
    }
}

#[test]
fn bombs() {
    for encoding in ALL {
        let stored = encode(encoding, &vec![0; 50 << 20]);
        let mut decoder = Decoder::new(encoding, &stored[..], &terms(None, 1 << 20)).unwrap();
        let mut buffer = vec![0; 4096];
        let mut out = 0;
        let error = loop {
            match decoder.read(&mut buffer) {
                Ok(n) => out += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), Kind::Undecodable);
        assert_eq!(out, 1 << 20);
    }
    // A block that claims to be of 4 GiB.
    let header = [LZ4_MAGIC, &u32::MAX.to_be_bytes()[..]].concat();
    undecodable(decode(Encoding::Lz4, &header));
}

#[test]
fn xz_that_wants_too_much_memory() {
    assert!(decode(Encoding::Xz, &encode_xz(b"x", 64 << 20)).is_ok());
    let mut stored = encode_xz(b"x", 64 << 20);
    // The size of the dictionary in the block header, and the checksum behind it.
    let (size, header) = (16, 12..20);
    assert_eq!(stored[size], 28);
    stored[size] = 30;
    let sum = crc32fast::hash(&stored[header.clone()]).to_le_bytes();
    stored[header.end..][..4].copy_from_slice(&sum);
    let error = decode(Encoding::Xz, &stored).unwrap_err();
    assert_eq!(error.kind(), Kind::Undecodable);
    assert!(error.to_string().contains("memory"), "{error}");
}

/// Fails after its bytes.
struct Failing<'a>(&'a [u8], fn() -> io::Error);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(self.1()),
            n => Ok(n),
        }
    }
}

#[test]
fn a_failing_source_is_no_damaged_message() {
    for encoding in ALL {
        let stored = encode(encoding, &message());
        for n in [0, 1, 10, 20, 1000] {
            let source = Failing(&stored[..n], || io::Error::from_raw_os_error(5));
            let error = decode_all(encoding, source, &terms(None, 1 << 20)).unwrap_err();
            assert_eq!(error.kind(), Kind::Unreadable, "{encoding}");
            let source = Failing(&stored[..n], || {
                io::Error::other(Error::new(Kind::Stale, "gone"))
            });
            let error = decode_all(encoding, source, &terms(None, 1 << 20)).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (Kind::Stale, "gone")
            );
        }
    }
}

proptest! {
    #[test]
    fn a_changed_bit_is_noticed_or_harmless(at: prop::sample::Index, bit in 0u8..8) {
        let message = &message()[..3000];
        for encoding in [Encoding::Gzip, Encoding::Bzip2, Encoding::Zstd, Encoding::Xz] {
            let mut stored = encode(encoding, message);
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
            match decode(encoding, &stored) {
                Ok(decoded) => prop_assert_eq!(decoded, message),
                Err(error) => prop_assert_eq!(error.kind(), Kind::Undecodable),
            }
        }
    }

    #[test]
    fn garbage(stored in prop::collection::vec(any::<u8>(), 0..200), keep in 0usize..30) {
        for encoding in ALL {
            let start = encode(encoding, b"From: someone\n\n");
            let stored = [&start[..keep.min(start.len())], &stored].concat();
            if let Err(error) = decode(encoding, &stored) {
                prop_assert_eq!(error.kind(), Kind::Undecodable);
            }
        }
    }
}
