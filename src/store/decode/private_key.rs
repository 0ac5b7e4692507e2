//! The private keys that encrypted messages are opened with.
//!
//! [`Keys`] are an administrator's: elliptic-curve keys (P-256, which `openssl ecparam -name prime256v1` makes and
//! mailcow uses, P-384 and P-521) and RSA keys, each in a PEM file. A key is found by its id, the SHA-256 of the public
//! key in DER (points compressed), which Dovecot writes into each message.
//!
//! Invariants: a key is never printed, nor is anything that it has opened; what is opened has been chosen by whoever
//! could write to a mailbox, and nothing but failure can come of it.
//!
//! Source of the derivation: Dovecot's `lib-dcrypt/istream-decrypt.c`; RFC 8017 for RSA.

use crate::error::{Error, Kind, Result};
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use elliptic_curve::pkcs8::der::asn1::{AnyRef, BitStringRef};
use elliptic_curve::pkcs8::der::{Decode, Encode};
use elliptic_curve::pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use elliptic_curve::pkcs8::{AssociatedOid, PrivateKeyInfoRef};
use elliptic_curve::point::PointCompression;
use elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point, ValidatePublicKey};
use elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey, ecdh::diffie_hellman,
};
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use pkcs1::{RsaPrivateKey, RsaPublicKey};
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Bytes of the secret of a message.
pub(super) const SECRET: usize = 60;

/// An ephemeral point is no longer than this: one of P-521, uncompressed.
pub(super) const EPHEMERAL: usize = 133;

/// A longer file holds no keys.
const LONGEST_FILE: u64 = 64 << 10;

/// Bits of an RSA key.
const RSA_BITS: std::ops::RangeInclusive<usize> = 1024..=16_384;

/// The keys that messages can be opened with; mostly none or one.
#[derive(Default)]
pub struct Keys(Vec<Key>);

/// A private key and its id.
pub(super) struct Key {
    id: [u8; 32],
    kind: Secret,
}

enum Secret {
    P256(SecretKey<NistP256>),
    P384(SecretKey<NistP384>),
    P521(SecretKey<NistP521>),
    Rsa {
        modulus: BoxedMontyParams,
        exponent: BoxedUint,
        /// Bytes of the modulus.
        len: usize,
    },
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Keys {
    /// Reads the keys of all files, which are PEM.
    ///
    /// # Errors
    /// [`Kind::Config`]: says which file cannot be used, why, and what to do.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut keys = Vec::new();
        for file in files {
            let wrong = |what: String| {
                let message = format!("source.mail_crypt_keys: {}: {what}", file.display());
                Error::new(Kind::Config, message)
            };
            let cannot = |e| {
                wrong(format!(
                    "cannot be read ({e}): correct the path, or let mailtm's user read it"
                ))
            };
            let size = std::fs::metadata(file).map_err(cannot)?.len();
            if size > LONGEST_FILE {
                return Err(wrong(
                    "is too long for a private key in PEM: name the file of the key alone".into(),
                ));
            }
            let pem = std::fs::read(file).map_err(cannot)?;
            let found = from_pem(&pem).map_err(|what| wrong(what.to_owned()))?;
            keys.extend(found);
        }
        Ok(Self(keys))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids of the keys in hexadecimal, as Dovecot writes them.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|key| super::hex(&key.id))
    }

    pub(super) fn with_id(&self, id: &[u8]) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

/// The private keys in a PEM file, of which there must be one at least.
fn from_pem(pem: &[u8]) -> Result<Vec<Key>, &'static str> {
    let starts = memchr::memmem::find_iter(pem, b"-----BEGIN ").collect::<Vec<_>>();
    let ends = starts.iter().skip(1).copied().chain([pem.len()]);
    let mut keys = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let block = pem.get(*start..end).unwrap_or_default();
        if memchr::memmem::find(block, b"ENCRYPTED").is_some() {
            return Err(
                "has a passphrase: write the key without it, with \"openssl pkey -in KEY -out FILE\", \
                 and keep that file from others",
            );
        }
        match pem_rfc7468::decode_vec(block.trim_ascii_end()) {
            Ok(("PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY", der)) => {
                keys.push(Key::from_der(&der).ok_or(
                    "has a private key of a kind that is not known: elliptic curves P-256, P-384 and P-521, and RSA are",
                )?);
            }
            Ok(("PUBLIC KEY", _)) => {
                return Err(
                    "has a public key, but it is the private one that opens messages: name the file of that",
                );
            }
            Ok(_) => {}
            Err(_) => {
                return Err(
                    "is damaged: a block of PEM in it cannot be decoded: write the key into it anew",
                );
            }
        }
    }
    if keys.is_empty() {
        return Err("has no private key in it: it should begin with -----BEGIN PRIVATE KEY-----");
    }
    Ok(keys)
}

impl Key {
    /// PKCS #8, or what is within it: SEC 1, PKCS #1.
    fn from_der(der: &[u8]) -> Option<Self> {
        if let Ok(key) = SecretKey::<NistP256>::from_der(der) {
            return Self::elliptic(key, Secret::P256);
        }
        if let Ok(key) = SecretKey::<NistP384>::from_der(der) {
            return Self::elliptic(key, Secret::P384);
        }
        if let Ok(key) = SecretKey::<NistP521>::from_der(der) {
            return Self::elliptic(key, Secret::P521);
        }
        let within = PrivateKeyInfoRef::from_der(der);
        let der = within.map_or(der, |info| info.private_key.as_bytes());
        Self::rsa(&RsaPrivateKey::try_from(der).ok()?)
    }

    fn elliptic<C>(key: SecretKey<C>, kind: fn(SecretKey<C>) -> Secret) -> Option<Self>
    where
        C: CurveArithmetic + AssociatedOid + PointCompression + ValidatePublicKey,
        FieldBytesSize<C>: ModulusSize,
        AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    {
        let point = key.public_key().to_sec1_point(true);
        let id = id(
            AlgorithmIdentifierRef {
                oid: elliptic_curve::ALGORITHM_OID,
                parameters: Some(AnyRef::from(&C::OID)),
            },
            point.as_bytes(),
        )?;
        Some(Self {
            id,
            kind: kind(key),
        })
    }

    fn rsa(key: &RsaPrivateKey<pkcs1::UintRef<'_>>) -> Option<Self> {
        let (modulus, exponent) = (key.modulus.as_bytes(), key.private_exponent.as_bytes());
        if !RSA_BITS.contains(&(8 * modulus.len())) || exponent.len() > modulus.len() {
            return None;
        }
        let public = RsaPublicKey {
            modulus: key.modulus,
            public_exponent: key.public_exponent,
        };
        let id = id(pkcs1::ALGORITHM_ID, &public.to_der().ok()?)?;
        let bits = 8 * modulus.len() as u32;
        let number = |bytes| BoxedUint::from_be_slice(bytes, bits).ok();
        Some(Self {
            id,
            kind: Secret::Rsa {
                modulus: BoxedMontyParams::new(Odd::new(number(modulus)?).into_option()?),
                exponent: number(exponent)?,
                len: modulus.len(),
            },
        })
    }

    /// Opens the secret of a message. `None` if it was not closed for this key, or was altered; the caller has a hash of
    /// it to see that.
    pub(super) fn open(
        &self,
        ephemeral: &[u8],
        encrypted: &[u8],
        rounds: u32,
    ) -> Option<[u8; SECRET]> {
        let shared = match &self.kind {
            Secret::P256(key) => agree(key, ephemeral)?,
            Secret::P384(key) => agree(key, ephemeral)?,
            Secret::P521(key) => agree(key, ephemeral)?,
            Secret::Rsa {
                modulus,
                exponent,
                len,
            } => {
                let bits = modulus.bits_precision();
                let number = BoxedUint::from_be_slice(encrypted, bits).ok()?;
                if encrypted.len() != *len || number >= *modulus.modulus().as_ref() {
                    return None;
                }
                let power = BoxedMontyForm::new(number, modulus)
                    .pow(exponent)
                    .retrieve();
                let bytes = power.to_be_bytes();
                return unpad(bytes.get(bytes.len().checked_sub(*len)?..)?);
            }
        };
        let mut derived = [0; 48];
        let rounds = NonZeroU32::new(rounds)?;
        pbkdf2::derive(PBKDF2_HMAC_SHA256, rounds, ephemeral, &shared, &mut derived);
        let (key, start) = derived.split_at(32);
        let mut encrypted = encrypted.to_vec();
        cbc::Decryptor::<aes::Aes256>::new_from_slices(key, start)
            .ok()?
            .decrypt_padded::<Pkcs7>(&mut encrypted)
            .ok()?
            .try_into()
            .ok()
    }
}

/// The id of a public key: the SHA-256 of its SubjectPublicKeyInfo.
fn id(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Option<[u8; 32]> {
    let info = SubjectPublicKeyInfoRef {
        algorithm,
        subject_public_key: BitStringRef::from_bytes(key).ok()?,
    };
    Some(Sha256::digest(info.to_der().ok()?).into())
}

/// What the owner of a key and that of an ephemeral one, of which the public point is known, agree on.
fn agree<C>(key: &SecretKey<C>, ephemeral: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    let ephemeral = PublicKey::<C>::from_sec1_bytes(ephemeral).ok()?;
    let shared = diffie_hellman(key.to_nonzero_scalar(), ephemeral.as_affine());
    Some(shared.raw_secret_bytes().to_vec())
}

/// Takes the padding off that RSA needs: OAEP with SHA-1 and an empty label.
fn unpad(padded: &[u8]) -> Option<[u8; SECRET]> {
    const HASH: usize = 20;
    let (first, rest) = padded.split_first()?;
    let (seed, data) = rest.split_at_checked(HASH)?;
    let seed = mask(seed, data);
    let data = mask(data, &seed);
    let (label, data) = data.split_at_checked(HASH)?;
    let at = data.iter().position(|&byte| byte != 0)?;
    let message = data.get(at..)?.strip_prefix(&[1])?;
    let sound = *first == 0 && *label == Sha1::digest([])[..];
    sound.then(|| message.try_into().ok())?
}

/// Exclusive or of some bytes and the mask (MGF1 with SHA-1) that others make.
fn mask(bytes: &[u8], from: &[u8]) -> Vec<u8> {
    let stream = (0u32..).flat_map(|counter| {
        let block = Sha1::new()
            .chain_update(from)
            .chain_update(counter.to_be_bytes());
        block.finalize()
    });
    bytes.iter().zip(stream).map(|(a, b)| a ^ b).collect()
}
