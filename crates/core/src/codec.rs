//! The one codec: bincode 2 with a limit on every decode.
//!
//! bincode accepts trailing bytes and several encodings of one integer. Both are refused here: what was decoded is
//! encoded again and compared with what came in, so a value has exactly one encoding. Hashes and signatures are
//! still made over the bytes received, never over the re-encoding.

use bincode::config::{self, Configuration};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{Decode, Encode};

const CONFIG: Configuration = config::standard();

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than this format may have.
    #[error("{what}: {len} bytes are more than the limit of {limit}")]
    TooLong {
        /// The format.
        what: &'static str,
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are not this format.
    #[error("{what}: malformed: {reason}")]
    Malformed {
        /// The format.
        what: &'static str,
        /// What the decoder found.
        reason: String,
    },
    /// Bytes are left over after the value.
    #[error("{what}: {extra} bytes after the end")]
    Trailing {
        /// The format.
        what: &'static str,
        /// Bytes left over.
        extra: usize,
    },
    /// The value has another, canonical encoding.
    #[error("{what}: not in canonical form")]
    NotCanonical {
        /// The format.
        what: &'static str,
    },
}

/// Encodes `value`. Cannot fail for the types of this project: all are finite and in memory.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    // Most rows and messages fit: one allocation instead of one a doubling.
    let mut out = Vec::with_capacity(96);
    encode_into(value, &mut out);
    out
}

/// Appends the encoding of `value` to `out`.
#[expect(
    clippy::expect_used,
    reason = "writing to a Vec fails only for types that refuse to encode; none here does"
)]
pub fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    bincode::encode_into_std_write(value, out, CONFIG).expect("encoding into memory");
}

/// Decodes exactly `bytes` as a `T` of at most `LIMIT` bytes, in canonical form. `what` names the format in errors.
pub fn decode<T: Decode<()> + Encode, const LIMIT: usize>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    let (value, used) = decode_prefix::<T, LIMIT>(what, bytes)?;
    match bytes.len() - used {
        0 => Ok(value),
        extra => Err(DecodeError::Trailing { what, extra }),
    }
}

/// Decodes a `T` from the front of `bytes`; returns it and the number of bytes that it took (at most `LIMIT`).
pub fn decode_prefix<T: Decode<()> + Encode, const LIMIT: usize>(
    what: &'static str,
    bytes: &[u8],
) -> Result<(T, usize), DecodeError> {
    let window = bytes.get(..LIMIT).unwrap_or(bytes);
    let (value, used): (T, usize) =
        decode_window(window).map_err(|e| DecodeError::Malformed { what, reason: e.to_string() })?;
    match bytes.get(..used).is_some_and(|bytes| is_encoding(&value, bytes)) {
        true => Ok((value, used)),
        false => Err(DecodeError::NotCanonical { what }),
    }
}

/// Decodes what this program itself encoded and kept for a while, such as in a temporary file: exactly `bytes`, and without a look at whether
/// it is in canonical form, which costs as much again.
pub fn decode_own<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, used): (T, usize) =
        decode_window(bytes).map_err(|e| DecodeError::Malformed { what, reason: e.to_string() })?;
    match bytes.len() - used {
        0 => Ok(value),
        extra => Err(DecodeError::Trailing { what, extra }),
    }
}

/// True if `value` is encoded as exactly `bytes`. Compares as it encodes: every decode comes by here, so it allocates
/// nothing.
fn is_encoding<T: Encode>(value: &T, bytes: &[u8]) -> bool {
    let mut rest = Expected(bytes);
    bincode::encode_into_writer(value, &mut rest, CONFIG).is_ok() && rest.0.is_empty()
}

/// What an encoding must go on with. Writing anything else fails.
struct Expected<'a>(&'a [u8]);

impl Writer for &mut Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0 = self.0.strip_prefix(bytes).ok_or(EncodeError::Other("other bytes than expected"))?;
        Ok(())
    }
}

/// bincode counts numbers at their width in memory, which is up to eight times that on the wire; so its own limit,
/// which keeps a claimed length from being allocated, is a step above eight times what is there.
fn decode_window<T: Decode<()>>(window: &[u8]) -> Result<(T, usize), bincode::error::DecodeError> {
    match window.len() {
        0..0x200 => bincode::decode_from_slice(window, CONFIG.with_limit::<0x1000>()),
        0x200..0x2000 => bincode::decode_from_slice(window, CONFIG.with_limit::<0x1_0000>()),
        0x2000..0x2_0000 => bincode::decode_from_slice(window, CONFIG.with_limit::<0x10_0000>()),
        0x2_0000..0x20_0000 => bincode::decode_from_slice(window, CONFIG.with_limit::<0x100_0000>()),
        0x20_0000..0x200_0000 => bincode::decode_from_slice(window, CONFIG.with_limit::<0x1000_0000>()),
        // Only rows of our own and the largest features are larger.
        _ => bincode::decode_from_slice(window, CONFIG.with_limit::<0x8000_0000>()),
    }
}

/// For hand-written `Decode` impls: an error that says what rule was broken.
pub fn refuse<T>(reason: &'static str) -> Result<T, bincode::error::DecodeError> {
    Err(bincode::error::DecodeError::Other(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(decode::<u8, 16>("x", &[1, 2]), Err(DecodeError::Trailing { what: "x", extra: 1 }));
    }

    #[test]
    fn a_long_form_of_a_small_integer_is_refused() {
        assert_eq!(decode::<u64, 16>("x", &[251, 5, 0]), Err(DecodeError::NotCanonical { what: "x" }));
        assert_eq!(decode::<u64, 16>("x", &[5]), Ok(5));
    }

    #[test]
    fn an_encoding_is_neither_shorter_nor_longer_nor_another() {
        let bytes = encode(&(7u64, "text"));
        assert!(is_encoding(&(7u64, "text"), &bytes));
        assert!(!is_encoding(&(7u64, "texts"), &bytes) && !is_encoding(&(8u64, "text"), &bytes));
        assert!(!is_encoding(&(7u64, "tex"), &bytes) && !is_encoding(&(7u64, ""), &bytes));
        assert!(!is_encoding(&7u64, &bytes), "bytes are left over");
    }

    #[test]
    fn many_small_numbers_fit_within_the_limit_of_their_bytes() {
        let numbers = vec![1u64; 1_000];
        let bytes = encode(&numbers);
        assert_eq!(decode::<Vec<u64>, 1_003>("x", &bytes), Ok(numbers));
    }

    #[test]
    fn a_claimed_huge_length_is_an_error_not_an_abort() {
        let claim = [253, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(decode::<Vec<u8>, 1024>("x", &claim).is_err());
        assert!(decode::<Vec<u64>, 1024>("x", &claim).is_err());
    }
}
