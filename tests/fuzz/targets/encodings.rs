//! Compressed and encrypted messages.

use super::with_file;
use mailtm::store::decode::{Decoder, Keys, Terms, detect};

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
