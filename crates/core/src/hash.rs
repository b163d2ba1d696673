use bincode::{Decode, Encode};
use blake2::Blake2b;
use blake2::digest::{Digest, consts::U32};
use data_encoding::HEXLOWER;
use std::fmt;

/// A BLAKE2b-256 digest: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Hash(pub [u8; 32]);

/// BLAKE2b-256 (RFC 7693, unkeyed, 32-byte output) of the concatenation of `parts`.
pub fn blake2b256(parts: &[&[u8]]) -> Hash {
    let mut state = Blake2b::<U32>::new();
    for part in parts {
        state.update(part);
    }
    Hash(state.finalize().into())
}

/// A 32-byte key for one purpose: BLAKE2b-256 of `len(domain) u8 | domain | parts`, so that keys of different
/// domains never meet. `domain` has at most 255 bytes and every part but the last a fixed width.
pub fn derive_key(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let len = [u8::try_from(domain.len()).unwrap_or(u8::MAX)];
    let mut all = vec![len.as_slice(), domain.as_bytes()];
    all.extend_from_slice(parts);
    blake2b256(&all).0
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}
