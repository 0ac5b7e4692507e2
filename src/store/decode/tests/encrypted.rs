//! Tests of encrypted messages. What Dovecot itself has encrypted is compared in `tests/dovecot.rs`.

use super::*;
use crate::store::decode::private_key::SECRET;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{
    Array, BlockCipherEncrypt, BlockModeEncrypt, InnerIvInit, KeyInit, KeyIvInit, StreamCipher,
};
use elliptic_curve::pkcs8::EncodePrivateKey;
use elliptic_curve::pkcs8::spki::EncodePublicKey;
use elliptic_curve::sec1::ToSec1Point;
use ghash::universal_hash::UniversalHash;
use p256::SecretKey;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::OnceLock;

fn secret_key() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
}

fn private_pem() -> String {
    let der = secret_key().to_pkcs8_der().unwrap();
    pem("PRIVATE KEY", der.as_bytes())
}

fn read(text: &str) -> Result<Keys> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    std::fs::write(&file, text).unwrap();
    Keys::read(&[file])
}

pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| read(&private_pem()).unwrap())
}

/// The header of a message, for the key of the tests.
fn header(secret: &[u8; SECRET], rounds: u32) -> Vec<u8> {
    let ephemeral = SecretKey::from_slice(&[9; 32]).unwrap();
    let point = ephemeral.public_key().to_sec1_point(true);
    let to = secret_key();
    let shared = elliptic_curve::ecdh::diffie_hellman(
        ephemeral.to_nonzero_scalar(),
        to.public_key().as_affine(),
    );
    let mut derived = [0; 48];
    let shared = shared.raw_secret_bytes();
    pbkdf2::pbkdf2_hmac::<Sha256>(shared, point.as_bytes(), rounds.min(9999), &mut derived);
    let mut closed = [&secret[..], &[0; 16]].concat();
    let closed = cbc::Encryptor::<aes::Aes256>::new_from_slices(&derived[..32], &derived[32..])
        .unwrap()
        .encrypt_padded::<Pkcs7>(&mut closed, SECRET)
        .unwrap();
    let mut hash = Sha256::digest(secret);
    for round in 1u32..2049 {
        hash = Sha256::digest([&hash[..], &round.to_be_bytes()].concat());
    }
    // The uncompressed point of the key, in DER, would give another id.
    let mut der = to.public_key().to_public_key_der().unwrap().into_vec();
    let compressed = to.public_key().to_sec1_point(true);
    der.truncate(der.len() - 65);
    der.extend(compressed.as_bytes());
    // The lengths of the whole and of the point.
    for at in [1, 24] {
        der[at] -= 32;
    }
    let id = Sha256::digest(der);
    let mut rest = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e".to_vec();
    rest.extend(b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01");
    rest.extend(rounds.to_be_bytes());
    rest.extend(300u32.to_be_bytes());
    rest.extend([1, 2]);
    rest.extend(id);
    for field in [point.as_bytes(), closed, &hash] {
        rest.extend((field.len() as u32).to_be_bytes());
        rest.extend(field);
    }
    let mut header = b"CRYPTED\x03\x07\x02\0\0\0\x02".to_vec();
    header.extend((rest.len() as u32 + 18).to_be_bytes());
    header.extend(rest);
    header
}

pub(super) fn encrypt(message: &[u8]) -> Vec<u8> {
    let secret: [u8; SECRET] = std::array::from_fn(|n| n as u8);
    let aes = aes::Aes256::new_from_slice(&secret[..32]).unwrap();
    let counter = |n: u8| {
        let mut block = Array([0; 16]);
        block[..12].copy_from_slice(&secret[32..44]);
        block[15] = n;
        block
    };
    let (mut hash_key, mut mask) = (Array([0; 16]), counter(1));
    aes.encrypt_block(&mut hash_key);
    aes.encrypt_block(&mut mask);
    let mut text = message.to_vec();
    let core = ctr::CtrCore::inner_iv_init(aes, &counter(2));
    ctr::Ctr32BE::<aes::Aes256>::from_core(core).apply_keystream(&mut text);
    let mut hash = ghash::GHash::new(&hash_key);
    hash.update_padded(&secret[44..]);
    hash.update_padded(&text);
    let bits = [16u64 * 8, text.len() as u64 * 8].map(u64::to_be_bytes);
    hash.update_padded(bits.as_flattened());
    let tag = hash.finalize();
    text.extend(tag.iter().zip(mask).map(|(a, b)| a ^ b));
    [header(&secret, 2048), text].concat()
}

#[test]
fn compressed_within() {
    let message = message();
    for compression in ALL {
        let stored = encrypt(&encode(compression, &message));
        let decoded = decode(Encoding::MailCrypt, &stored).unwrap();
        if compression == Encoding::MailCrypt {
            assert_eq!(decoded, encrypt(&message), "nobody encrypts twice");
            continue;
        }
        assert_eq!(decoded, message, "{compression}");
        let short = terms(Some(message.len() as u64 - 1), 1 << 20);
        undecodable(decode_all(Encoding::MailCrypt, &stored[..], &short));
        undecodable(decode(Encoding::MailCrypt, &stored[..stored.len() - 1]));
    }
    // A message that begins like a compressed one, and has the size that its name claims.
    let stored = encrypt(b"BZh91AY&SY begins this message!");
    let claimed = terms(Some(31), 1 << 20);
    let decoder = Decoder::new(Encoding::MailCrypt, &stored[..], &claimed).unwrap();
    assert!(decoder.is_in_doubt());
    undecodable(decode_all(Encoding::MailCrypt, &stored[..], &claimed));
    let claimed = Terms {
        only_encrypted: true,
        ..claimed
    };
    assert!(decode_all(Encoding::MailCrypt, &stored[..], &claimed).is_ok());
    undecodable(decode(Encoding::MailCrypt, &stored));
}

#[test]
fn sizes_around_a_chunk() {
    for len in [65519, 65520, 65535, 65536, 65537, 131_072, 131_088] {
        let message = vec![b'x'; len];
        let decoded = decode(Encoding::MailCrypt, &encrypt(&message)).unwrap();
        assert_eq!(decoded.len(), len);
    }
}

#[test]
fn no_key() {
    let stored = encrypt(b"x");
    let none = Keys::default();
    let terms = Terms {
        keys: &none,
        only_encrypted: false,
        ..terms(None, 9)
    };
    let error = decode_all(Encoding::MailCrypt, &stored[..], &terms).unwrap_err();
    assert_eq!(error.kind(), Kind::NoKey);
    let other = SecretKey::from_slice(&[8; 32]).unwrap();
    let other = read(&pem("EC PRIVATE KEY", &other.to_sec1_der().unwrap())).unwrap();
    let terms = Terms {
        keys: &other,
        only_encrypted: false,
        ..terms
    };
    let error = decode_all(Encoding::MailCrypt, &stored[..], &terms).unwrap_err();
    assert_eq!(error.kind(), Kind::NoKey);
    let id = keys().ids().next().unwrap();
    assert!(error.to_string().contains(&id[..8]), "{error}");
}

#[test]
fn headers_that_ask_for_too_much() {
    let start = std::time::Instant::now();
    for rounds in [0, u32::MAX] {
        let stored = header(&[1; SECRET], rounds);
        undecodable(decode(Encoding::MailCrypt, &stored));
    }
    let mut stored = encrypt(b"x");
    stored[14..18].copy_from_slice(&u32::MAX.to_be_bytes());
    undecodable(decode(Encoding::MailCrypt, &stored));
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn key_files() {
    let good = private_pem();
    let with_parameters = format!("{}{good}", pem("EC PARAMETERS", b"\x06\x01\x2a"));
    for text in [&good, &with_parameters, &format!("{good}\n{good}")] {
        let keys = read(text).unwrap();
        assert_eq!(keys.ids().next(), self::keys().ids().next());
    }
    assert!(!format!("{:?}", keys()).contains("0707"));
    for (text, told) in [
        (String::new(), "no private key"),
        (good.replace("PRIVATE", "PUBLIC"), "public"),
        (
            good.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE"),
            "passphrase",
        ),
        (good.replace("MI", "!!"), "damaged"),
        (pem("PRIVATE KEY", b"\x30\x00"), "not known"),
        ("x".repeat(70_000), "too long"),
    ] {
        let error = read(&text).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    assert!(Keys::read(&[PathBuf::from("/nowhere/key.pem")]).is_err());
}

proptest! {
    // Each opens a message, which is meant to be slow.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_changed_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
        let mut stored = encrypt(&message()[..3000]);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        match decode(Encoding::MailCrypt, &stored) {
            // In a length that says nothing new, or the kind of the key, which the key itself tells.
            Ok(decoded) => {
                prop_assert_eq!(decoded, &message()[..3000]);
                prop_assert!((44..50).contains(&at), "{at}");
            }
            Err(error) => prop_assert!(matches!(error.kind(), Kind::Undecodable | Kind::NoKey)),
        }
    }

    #[test]
    fn garbage_in_a_header(garbage in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..400) {
        let mut stored = encrypt(b"From: someone\n\n");
        let at = at.min(stored.len());
        let end = stored.len().min(at + garbage.len());
        stored.splice(at..end, garbage);
        if let Err(error) = decode(Encoding::MailCrypt, &stored) {
            prop_assert!(matches!(error.kind(), Kind::Undecodable | Kind::NoKey));
        }
    }

    #[test]
    fn key_files_of_any_kind(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut text = private_pem().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        text.truncate(cut.index(text.len()).max(at));
        let _ = read(&String::from_utf8_lossy(&text));
    }
}
