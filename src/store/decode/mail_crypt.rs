//! Messages that Dovecot's mail_crypt has encrypted.
//!
//! [`Decryption`] is the plain text of one: what was encrypted, which may be compressed. Format version 2, as the plugin
//! writes it, is read: AES-256-GCM under a key that the header carries, encrypted for a public key. Numbers are
//! big-endian:
//!
//! ```text
//! "CRYPTED\x03\x07", u8 version, u32 flags, u32 length of the header with all of this
//! OID of the cipher, OID of the hash, u32 rounds, u32 length of what follows in the header
//! u8 number of recipients, and for each:
//!     u8 kind of key (1 RSA, 2 elliptic curve), SHA-256 of the public key
//!     three fields, each after its u32 length: ephemeral point (EC only), encrypted secret, hash of the secret
//! cipher text, tag of 16 bytes
//! ```
//!
//! The secret is the key (32 bytes), the nonce (12) and the additional data (16) of the cipher.
//!
//! Invariants: the work that a header can ask for is bounded; the end of the plain text is told only after the tag has
//! proved all of it; a short message is proved before any of it is given out.
//!
//! Source of the format: Dovecot's `lib-dcrypt/istream-decrypt.c`; NIST SP 800-38D for GCM.

use super::private_key::{EPHEMERAL, Keys, SECRET};
use crate::error::{Error, Kind};
use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, array};
use ctr::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use sha2::{Digest, Sha256};
use std::io::{self, Read};

pub(super) const MAGIC: &[u8; 9] = b"CRYPTED\x03\x07";

/// Magic, version, flags and length of the header.
const FIXED: usize = MAGIC.len() + 1 + 4 + 4;

/// A longer header is none: each recipient takes some 200 bytes, or 600 with RSA.
const LONGEST_HEADER: usize = 64 << 10;

/// Dovecot asks for 2048.
const MOST_ROUNDS: u32 = 1 << 16;

/// The flag that says AES-GCM with its tag behind the cipher text, and no other.
const AEAD: u32 = 2;

const AES_256_GCM: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e";
const SHA_256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";

const TAG: usize = 16;

/// Bytes decrypted at once; whole blocks of the cipher.
const CHUNK: usize = 64 << 10;

/// The plain text of an encrypted message.
pub(super) struct Decryption<R> {
    source: R,
    cipher: Ctr32BE<Aes256>,
    hash: GHash,
    /// The first counter block, encrypted, which hides the hash in the tag.
    mask: [u8; TAG],
    /// Bytes of cipher text so far.
    len: u64,
    /// Plain text from `given` to `plain`, and behind it what may be the tag.
    buffer: Vec<u8>,
    given: usize,
    plain: usize,
    ended: bool,
}

impl<R: Read> Decryption<R> {
    /// Reads the header and finds the message's secret.
    ///
    /// # Errors
    /// What the source says, and else what is wrong with the message or that there is no key for it.
    pub(super) fn new(mut source: R, keys: &Keys) -> io::Result<Self> {
        let secret = secret(&header(&mut source)?, keys)?;
        let (key, rest) = secret.split_at(32);
        let (nonce, additional) = rest.split_at(12);
        let key: [u8; 32] = key.try_into().map_err(io::Error::other)?;
        let aes = Aes256::new(&Array(key));
        let encrypt = |counter: u32| {
            let mut block = Array([0; 16]);
            block[..12].copy_from_slice(nonce);
            block[12..].copy_from_slice(&counter.to_be_bytes());
            block
        };
        let (mut hash_key, mut mask) = (Array([0; 16]), encrypt(1));
        aes.encrypt_block(&mut hash_key);
        aes.encrypt_block(&mut mask);
        let mut hash = GHash::new(&hash_key);
        hash.update_padded(additional);
        let core = ctr::CtrCore::inner_iv_init(aes, &encrypt(2));
        Ok(Self {
            source,
            cipher: Ctr32BE::from_core(core),
            hash,
            mask: mask.into(),
            len: 0,
            buffer: Vec::new(),
            given: 0,
            plain: 0,
            ended: false,
        })
    }

    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// The beginning of the plain text, before any of it is read: all of it if that is short; and then its size.
    pub(super) fn peek(&mut self) -> io::Result<(&[u8], Option<u64>)> {
        self.fill()?;
        let start = &self.buffer[self.given..self.plain];
        Ok((start, self.ended.then_some(self.len)))
    }

    /// Decrypts the next chunk, if all before it has been given out.
    fn fill(&mut self) -> io::Result<()> {
        if self.given < self.plain || self.ended {
            return Ok(());
        }
        // What may be the tag, until something comes behind it.
        self.buffer.drain(..self.plain);
        (self.given, self.plain) = (0, 0);
        let room = CHUNK + TAG - self.buffer.len();
        (&mut self.source)
            .take(room as u64)
            .read_to_end(&mut self.buffer)?;
        self.ended = self.buffer.len() < CHUNK + TAG;
        let Some(plain) = self.buffer.len().checked_sub(TAG) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let (text, tag) = self.buffer.split_at_mut(plain);
        self.len += plain as u64;
        self.hash.update_padded(text);
        self.cipher
            .try_apply_keystream(text)
            .map_err(|_| io::Error::other("longer than the cipher allows"))?;
        if self.ended {
            let mut lengths = [0; 16];
            lengths[..8].copy_from_slice(&(8 * ADDITIONAL as u64).to_be_bytes());
            lengths[8..].copy_from_slice(&(8 * self.len).to_be_bytes());
            let mut hash = self.hash.clone();
            hash.update(&[Array(lengths)]);
            let expected = hash.finalize();
            let pairs = expected.iter().zip(&self.mask).zip(tag.iter());
            if pairs.fold(0, |differ, ((a, b), c)| differ | (a ^ b ^ c)) != 0 {
                return Err(io::Error::other(
                    "the tag does not fit: cut short, or altered",
                ));
            }
        }
        self.plain = plain;
        Ok(())
    }
}

impl<R: Read> Read for Decryption<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let ready = &self.buffer[self.given..self.plain];
        let n = ready.len().min(buffer.len());
        buffer[..n].copy_from_slice(&ready[..n]);
        self.given += n;
        Ok(n)
    }
}

/// Bytes of additional data.
const ADDITIONAL: usize = SECRET - 32 - 12;

/// Reads the header; what follows its fixed part.
fn header(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut fixed = [0; FIXED];
    source.read_exact(&mut fixed)?;
    let (magic, rest) = fixed.split_at(MAGIC.len());
    let mut fields = Fields(rest);
    let (version, flags, len) = (fields.byte()?, fields.number()?, fields.number()?);
    if magic != MAGIC {
        return Err(io::Error::other("unknown header"));
    }
    if version != 2 || flags != AEAD {
        return Err(io::Error::other(format!(
            "of a kind that is not read here: version {version}, flags {flags}"
        )));
    }
    let more = (len as usize)
        .checked_sub(FIXED)
        .filter(|_| len as usize <= LONGEST_HEADER)
        .ok_or_else(|| io::Error::other(format!("a header of {len} bytes")))?;
    let mut header = vec![0; more];
    source.read_exact(&mut header)?;
    Ok(header)
}

/// The message's secret, out of the header.
fn secret(header: &[u8], keys: &Keys) -> io::Result<[u8; SECRET]> {
    let mut fields = Fields(header);
    if !fields.skip(AES_256_GCM) || !fields.skip(SHA_256) {
        return Err(io::Error::other(
            "encrypted otherwise than with aes-256-gcm-sha256",
        ));
    }
    let rounds = fields.number()?;
    if !(1..=MOST_ROUNDS).contains(&rounds) {
        return Err(io::Error::other(format!("{rounds} rounds")));
    }
    fields.number()?;
    let mut wanted = Vec::new();
    for _ in 0..fields.byte()? {
        // The kind is the key's own, which its hash names.
        fields.byte()?;
        let id = fields.take(32)?;
        let (ephemeral, encrypted, hash) = (fields.field()?, fields.field()?, fields.field()?);
        let Some(key) = keys.with_id(id) else {
            wanted.push(super::hex(&id[..4]));
            continue;
        };
        if ephemeral.len() > EPHEMERAL {
            return Err(io::Error::other("an ephemeral key that is too long"));
        }
        let secret = key
            .open(ephemeral, encrypted, rounds)
            .filter(|secret| hash_of(secret)[..] == *hash)
            .ok_or_else(|| io::Error::other("the secret in its header is altered"))?;
        return Ok(secret);
    }
    wanted.truncate(3);
    let message = if keys.is_empty() {
        "the message is encrypted (mail_crypt), and [source] mail_crypt_keys names no key".into()
    } else {
        let wanted = wanted.join("…, ");
        format!(
            "the message is encrypted (mail_crypt) for the key {wanted}…, which is not in [source] mail_crypt_keys"
        )
    };
    Err(io::Error::other(Error::new(Kind::NoKey, message)))
}

/// The hash of a secret that Dovecot keeps beside it.
fn hash_of(secret: &[u8]) -> array::Array<u8, array::sizes::U32> {
    let mut hash = Sha256::digest(secret);
    for round in 1u32..2049 {
        hash = Sha256::new()
            .chain_update(hash)
            .chain_update(round.to_be_bytes())
            .finalize();
    }
    hash
}

/// Takes a header to pieces.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| io::Error::other("a header that is too short for its fields"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?.try_into().map_err(io::Error::other)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// A field after its length.
    fn field(&mut self) -> io::Result<&'a [u8]> {
        let len = self.number()?;
        self.take(len as usize)
    }

    fn skip(&mut self, expected: &[u8]) -> bool {
        let rest = self.0.strip_prefix(expected);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}
