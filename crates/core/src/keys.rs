use crate::id::{ParseIdError, parse_hex32};
use bincode::{Decode, Encode};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::str::FromStr;

/// The public Ed25519 key that names a feed (or a peer). Any 32 bytes can be held; only real, strong keys verify.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct FeedKey(pub [u8; 32]);

/// The first 12 bytes of a feed's key: enough to tell it from every other where thousands are listed. Who wants a key that
/// begins like another's, and its secret, has to make some 2^96 keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct FeedName(pub [u8; 12]);

/// An Ed25519 signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Signature(pub [u8; 64]);

/// The secret half of a [`FeedKey`]. Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// Characters in a group of a fingerprint.
const GROUP: usize = 4;

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a point of the curve, or one of small order, under which anybody could sign.
    #[error("key {0} is not a valid Ed25519 key")]
    WeakKey(FeedKey),
    /// The signature is not this key's over these bytes, or not in canonical form.
    #[error("the signature was not made by key {0}")]
    BadSignature(FeedKey),
}

impl SecretKey {
    /// The key whose seed (RFC 8032) is `seed`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        SecretKey(SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed, for storing the key in its own file.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> FeedKey {
        FeedKey(self.0.verifying_key().to_bytes())
    }

    /// The X25519 secret key of the same secret, 32 bytes: the scalar that the signing key stands for (RFC 8032, 5.1.5), clamped
    /// by whoever uses it. Its public key is [`FeedKey::x25519`].
    pub fn x25519(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_scalar_bytes())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl FeedKey {
    /// What the feed is called in contexts.
    pub fn name(&self) -> FeedName {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.0;
        FeedName([a, b, c, d, e, f, g, h, i, j, k, l])
    }

    /// What people are shown of it: its first 80 bits, base32 in lower case, in four groups of four. It never changes, and who wants a key with the
    /// same one has to make some 2^80 keys.
    pub fn fingerprint(&self) -> String {
        let text = self.base32();
        let groups = text.as_bytes().chunks(GROUP).map(String::from_utf8_lossy);
        groups.collect::<Vec<_>>().join("-")
    }

    fn base32(&self) -> String {
        let [a, b, c, d, e, f, g, h, i, j, ..] = self.0;
        BASE32_NOPAD.encode(&[a, b, c, d, e, f, g, h, i, j]).to_ascii_lowercase()
    }

    /// True if `text` is the key in hex, its fingerprint with or without hyphens, or the beginning of one of them, whatever the case. Nothing begins
    /// with an empty text.
    pub fn begins_with(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let letters = text.replace('-', "");
        let hex = letters.len() == text.len() && self.to_string().starts_with(&text);
        !letters.is_empty() && (hex || self.base32().starts_with(&letters))
    }

    /// The X25519 public key of the same secret: the point's u-coordinate on the Montgomery curve (RFC 7748, 4.1).
    ///
    /// # Errors
    /// [`KeyError::WeakKey`]: whatever is agreed on with one, everybody knows.
    pub fn x25519(&self) -> Result<[u8; 32], KeyError> {
        Ok(self.point()?.to_montgomery().to_bytes())
    }

    fn point(&self) -> Result<VerifyingKey, KeyError> {
        let key = VerifyingKey::from_bytes(&self.0).ok().filter(|key| !key.is_weak());
        key.ok_or(KeyError::WeakKey(*self))
    }

    /// Checks `signature` over `message` strictly: weak keys and non-canonical signatures are refused, so that
    /// every implementation agrees on what is valid (ed25519-dalek, `verify_strict`).
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        self.point()?
            .verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0))
            .map_err(|_| KeyError::BadSignature(*self))
    }
}

impl FromStr for FeedKey {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex32(text, "a feed key (64 hex digits)").map(FeedKey)
    }
}

impl fmt::Display for FeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for FeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedKey({:.12})", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedName({:.12})", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:.12})", HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifies_its_own_and_refuses_changes() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let mut signature = secret.sign(b"block");
        assert_eq!(secret.public().verify(b"block", &signature), Ok(()));
        assert_eq!(
            secret.public().verify(b"blocc", &signature),
            Err(KeyError::BadSignature(secret.public()))
        );
        // s + L is the classic second form of a signature; here any set top bit stands for it.
        signature.0[63] |= 0xe0;
        assert_eq!(
            secret.public().verify(b"block", &signature),
            Err(KeyError::BadSignature(secret.public()))
        );
    }

    #[test]
    fn a_fingerprint_is_80_bits_that_stay_and_its_beginning_names_the_key() {
        // "foobarfoob" in the vectors of RFC 4648 begins so.
        let mut key = FeedKey([0xff; 32]);
        key.0[..10].copy_from_slice(b"foobarfoob");
        assert_eq!(key.fingerprint(), "mzxw-6ytb-ojtg-633c");
        let hex = key.to_string();
        for text in ["mzxw-6ytb-ojtg-633c", "MZXW6YTBOJTG633C", "mzxw-6", "m", "666f6f", "666F6f", &hex] {
            assert!(key.begins_with(text), "{text}");
        }
        for text in ["", "-", "zxw", "66-6f", "mzxw-6ytb-ojtg-633ca", &format!("{hex}0"), "x"] {
            assert!(!key.begins_with(text), "{text}");
        }
    }

    #[test]
    fn refuses_small_order_keys() {
        // The identity point: with it, R = sB verifies under the permissive rules for any message.
        let mut identity = [0; 32];
        identity[0] = 1;
        let key = FeedKey(identity);
        assert_eq!(key.verify(b"anything", &Signature([0; 64])), Err(KeyError::WeakKey(key)));
    }
}
