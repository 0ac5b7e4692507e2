//! Compressed and encrypted messages.

use super::with_file;
use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use mailtm::store::decode::{Decoder, Keys, Terms, decode_all, detect};
use std::io::Write;

/// The key that the seed of `mail_crypt` is encrypted for; it protects nothing else.
const KEY: &[u8] = include_bytes!("../mailboxes/encrypted.pem");

pub fn decode(input: &[u8]) {
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

/// Encrypted by mail_crypt, and there is the key.
pub fn mail_crypt(input: &[u8]) {
    thread_local! {
        static KEYS: Keys = with_file(KEY, |file| Keys::read(&[file.into()]).unwrap());
    }
    KEYS.with(|keys| {
        let Some(encoding) = detect(input) else {
            return;
        };
        let terms = Terms {
            expected: None,
            limit: 1 << 20,
            keys,
            only_encrypted: false,
        };
        let Ok(mut decoder) = Decoder::new(encoding, input, &terms) else {
            return;
        };
        let (mut buffer, mut plain) = ([0; 4096], Vec::new());
        let whole = loop {
            match decoder.read(&mut buffer) {
                Ok(0) => break true,
                Ok(n) => plain.extend_from_slice(&buffer[..n]),
                Err(_) => break false,
            }
        };
        // What is told to be whole is what was encrypted: nobody else can make such a message.
        let is_the_one = plain == b"From: bob@example.com\nSubject: number 3\n\nHi\n";
        assert!(
            is_the_one || !whole || !input.starts_with(b"CRYPTED"),
            "{plain:?}"
        );
    });
}

/// What was compressed comes back, and no part of it does: the first byte says how it is compressed, the second where it is cut.
pub fn compressed(input: &[u8]) {
    let [how, cut, plain @ ..] = input else {
        return;
    };
    let mut stored = Vec::new();
    match how % 4 {
        0 => {
            let mut gzip = GzEncoder::new(&mut stored, flate2::Compression::fast());
            gzip.write_all(plain).unwrap();
            gzip.finish().unwrap();
        }
        1 => {
            let mut bzip2 = BzEncoder::new(&mut stored, bzip2::Compression::fast());
            bzip2.write_all(plain).unwrap();
            bzip2.finish().unwrap();
        }
        2 => stored = zstd::encode_all(plain, 1).unwrap(),
        // Dovecot's: the longest block, and then blocks with their lengths in front.
        _ => {
            stored.extend_from_slice(b"Dovecot-LZ4\x0d\x2a\x9b\xc5\x00\x00\x10\x00");
            for block in plain.chunks(4096) {
                let block = lz4_flex::block::compress(block);
                stored.extend_from_slice(&(block.len() as u32).to_be_bytes());
                stored.extend_from_slice(&block);
            }
        }
    }
    let size = plain.len() as u64;
    let decoded = |stored: &[u8], expected: u64, limit: u64| -> Option<Vec<u8>> {
        let keys = Keys::default();
        let terms = Terms {
            expected: Some(expected),
            limit,
            keys: &keys,
            only_encrypted: false,
        };
        decode_all(detect(stored)?, stored, &terms).ok()
    };
    assert_eq!(decoded(&stored, size, size).as_deref(), Some(plain));
    assert_eq!(decoded(&stored, size + 1, size + 1), None);
    if size > 0 {
        assert_eq!(decoded(&stored, size, size - 1), None);
        let cut = stored.len() * usize::from(*cut) / 256;
        assert_eq!(decoded(&stored[..cut], size, size), None);
    }
    stored.push(b'\n');
    assert_eq!(decoded(&stored, size, size), None, "something follows");
}

/// A file that is to have private keys in it.
pub fn private_keys(input: &[u8]) {
    let Ok(keys) = with_file(input, |file| Keys::read(&[file.into()])) else {
        return;
    };
    assert!(!keys.is_empty());
    for id in keys.ids() {
        assert!(
            id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
    }
}
