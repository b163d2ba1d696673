//! The one codec: bincode 2 with a limit on every decode.
//!
//! bincode accepts trailing bytes and several encodings of one integer. Both are refused here, so a value has exactly one
//! encoding: the reader that bincode reads through looks at each number, and calls one that is written longer than it need be. All
//! else is up to the types. What is derived has one encoding, unless there is a map or a set of the standard library in it, which
//! takes its items in any order: there must be none. What is written by hand refuses whatever it would not write. Wherever debug
//! assertions are on, as in all tests, what was decoded is encoded again and compared with what came in.

use bincode::config::{self, Configuration};
use bincode::de::read::Reader;
use bincode::{BorrowDecode, Decode, Encode};

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
    let (value, used, is_shortest) = decode_window(what, bytes.get(..LIMIT).unwrap_or(bytes))?;
    if !is_shortest {
        return Err(DecodeError::NotCanonical { what });
    }
    let again = || bytes.get(..used).is_some_and(|bytes| bytes == encode(&value));
    debug_assert!(again(), "{what}: a type of which some value has several encodings");
    Ok((value, used))
}

/// The number at the front of `bytes` and how many bytes it took, as [`decode_prefix`] reads it. Sooner, for long lists of small ones.
#[inline]
pub fn number(what: &'static str, bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
    match *bytes {
        [small @ 0..=MAX_OF_ONE_BYTE, ..] => Ok((u64::from(small), 1)),
        [TWO_BYTES_FOLLOW, low, high, ..] if !is_long(&[TWO_BYTES_FOLLOW, low, high]) => {
            Ok((u64::from(u16::from_le_bytes([low, high])), 3))
        }
        _ => decode_prefix::<u64, LONGEST>(what, bytes),
    }
}

/// Decodes what this program itself encoded and kept for a while, such as in a temporary file: exactly `bytes`.
pub fn decode_own<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, used, _) = decode_window(what, bytes)?;
    match bytes.len() - used {
        0 => Ok(value),
        extra => Err(DecodeError::Trailing { what, extra }),
    }
}

/// What stands at the front of `bytes`, without a look at whether it is in canonical form: for whoever wants to know what may be passed over.
/// None if it cannot be read, or has lists of more than a megabyte in memory.
pub fn peek<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Option<T> {
    let read = bincode::borrow_decode_from_slice(bytes, CONFIG.with_limit::<0x10_0000>());
    read.ok().map(|(value, _)| value)
}

/// Bytes in the longest number: one that tells its width, and sixteen.
const LONGEST: usize = 17;

/// The bytes that are still to be read, and what was wrong with those before.
///
/// bincode looks at a number with [`Reader::peek_read`], and then takes what it had. Whatever else it takes of more than one byte it
/// [reads](Reader::read). So what is taken tells how a number was written, if bincode can look at each as if there were room for the longest.
struct Strict<'a> {
    rest: &'a [u8],
    /// The last bytes, and zeros after them.
    padded: [u8; LONGEST],
    /// A number was written longer than it need be.
    is_long: bool,
    /// A number went on after the end.
    is_cut: bool,
}

impl Reader for Strict<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), bincode::error::DecodeError> {
        let additional = bytes.len().saturating_sub(self.rest.len());
        let end = bincode::error::DecodeError::UnexpectedEnd { additional };
        let (read, rest) = self.rest.split_at_checked(bytes.len()).ok_or(end)?;
        bytes.copy_from_slice(read);
        self.rest = rest;
        Ok(())
    }

    #[inline]
    fn peek_read(&mut self, most: usize) -> Option<&[u8]> {
        if self.rest.len() >= most || self.rest.is_empty() {
            return self.rest.get(..most);
        }
        self.padded = [0; LONGEST];
        self.padded.iter_mut().zip(self.rest).for_each(|(to, from)| *to = *from);
        self.padded.get(..most)
    }

    #[inline]
    fn consume(&mut self, taken: usize) {
        match self.rest.split_at_checked(taken) {
            Some((number, rest)) => {
                self.is_long |= is_long(number);
                self.rest = rest;
            }
            None => (self.is_cut, self.rest) = (true, &[]),
        }
    }
}

/// True for a number that fits into a narrower form.
fn is_long(number: &[u8]) -> bool {
    match *number {
        [] | [_] => false,
        [_, low, high] => high == 0 && low <= MAX_OF_ONE_BYTE,
        [_, ref bytes @ ..] => bytes.iter().skip(bytes.len() / 2).all(|byte| *byte == 0),
    }
}

/// Greater numbers have a byte in front that tells their width.
const MAX_OF_ONE_BYTE: u8 = 250;
/// That byte, for the narrowest of them.
const TWO_BYTES_FOLLOW: u8 = MAX_OF_ONE_BYTE + 1;

/// The value at the front of `window`, how many bytes it took, and whether each number in it is as short as can be.
///
/// bincode counts numbers at their width in memory, which is up to eight times that on the wire; so its own limit,
/// which keeps a claimed length from being allocated, is a step above eight times what is there.
fn decode_window<T: Decode<()>>(what: &'static str, window: &[u8]) -> Result<(T, usize, bool), DecodeError> {
    let mut reader = Strict { rest: window, padded: [0; LONGEST], is_long: false, is_cut: false };
    let from = &mut reader;
    let decoded = match window.len() {
        0..0x200 => bincode::decode_from_reader(from, CONFIG.with_limit::<0x1000>()),
        0x200..0x2000 => bincode::decode_from_reader(from, CONFIG.with_limit::<0x1_0000>()),
        0x2000..0x2_0000 => bincode::decode_from_reader(from, CONFIG.with_limit::<0x10_0000>()),
        0x2_0000..0x20_0000 => bincode::decode_from_reader(from, CONFIG.with_limit::<0x100_0000>()),
        0x20_0000..0x200_0000 => bincode::decode_from_reader(from, CONFIG.with_limit::<0x1000_0000>()),
        // Only rows of our own and the largest features are larger.
        _ => bincode::decode_from_reader(from, CONFIG.with_limit::<0x8000_0000>()),
    };
    let malformed = |reason: String| DecodeError::Malformed { what, reason };
    let value = decoded.map_err(|e: bincode::error::DecodeError| malformed(e.to_string()))?;
    if reader.is_cut {
        return Err(malformed("a number goes on after the end".to_owned()));
    }
    Ok((value, window.len() - reader.rest.len(), !reader.is_long))
}

/// For hand-written `Decode` impls: an error that says what rule was broken.
pub fn refuse<T>(reason: &'static str) -> Result<T, bincode::error::DecodeError> {
    Err(bincode::error::DecodeError::Other(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    /// All that bincode does not read as a number of its own, and numbers of every width among them.
    #[derive(Debug, Clone, PartialEq, Encode, Decode)]
    enum All {
        Nothing,
        Numbers(u8, u16, u32, u64, u128),
        Signed(i8, i16, i32, i64, i128),
        Others { is: bool, letter: char, some: Option<u64>, text: String, bytes: Vec<u8> },
        Lists(Vec<(u16, i64)>, [u8; 3], [u32; 2], Vec<Vec<u8>>),
    }

    fn all() -> impl Strategy<Value = All> {
        let lists = (prop::collection::vec(any::<(u16, i64)>(), 0..4), any::<[u8; 3]>(), any::<[u32; 2]>());
        let small = prop_oneof![0..3u64, 249..253u64, 0xfffe..0x1_0002u64, any::<u64>()];
        prop_oneof![
            Just(All::Nothing),
            any::<(u8, u16, u32, u64, u128)>().prop_map(|(a, b, c, d, e)| All::Numbers(a, b, c, d, e)),
            any::<(i8, i16, i32, i64, i128)>().prop_map(|(a, b, c, d, e)| All::Signed(a, b, c, d, e)),
            (any::<(bool, char)>(), prop::option::of(small), ".{0,4}", any::<Vec<u8>>())
                .prop_map(|((is, letter), some, text, bytes)| All::Others { is, letter, some, text, bytes }),
            (lists, prop::collection::vec(prop::collection::vec(250..=255u8, 0..4), 0..4))
                .prop_map(|((pairs, three, two), bytes)| All::Lists(pairs, three, two, bytes)),
        ]
    }

    /// What bincode makes of bytes when it reads them itself, if that is encoded as just these bytes again.
    fn oracle(bytes: &[u8]) -> Option<All> {
        let decoded = bincode::decode_from_slice::<All, _>(bytes, CONFIG.with_limit::<0x1000>());
        let (value, used) = decoded.ok().filter(|(_, used)| *used == bytes.len())?;
        (used == bytes.len() && encode(&value) == bytes).then_some(value)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_number_alone_is_read_as_any_value_is(
            value in prop_oneof![0..300u64, 0xff00..0x1_0100u64, any::<u64>()],
            noise in prop::collection::vec(prop_oneof![Just(0u8), 249..=255u8, any::<u8>()], 0..12),
        ) {
            for bytes in [[encode(&value), noise.clone()].concat(), noise] {
                prop_assert_eq!(number("x", &bytes), decode_prefix::<u64, 17>("x", &bytes));
            }
        }

        #[test]
        fn what_decodes_is_what_encodes_to_the_same_bytes(
            value in all(),
            cut in 0..24usize,
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(0u8), 249..=255u8, any::<u8>()],
            wider in 0..6u8,
        ) {
            let whole = encode(&value);
            prop_assert_eq!(decode::<All, 4096>("x", &whole), Ok(value));
            let at = at.index(whole.len());
            let mut changed = whole.clone();
            changed[at] = byte;
            let mut longer = whole.clone();
            // A number, mostly, in a wider form.
            let zeros = [0, 1, 3, 7, 15, 2][usize::from(wider)];
            longer.splice(at..at, [250u8 + wider]);
            longer.splice(at + 2..at + 2, vec![0; zeros]);
            let shorter = whole[..whole.len().saturating_sub(cut)].to_vec();
            for bytes in [changed, longer, shorter] {
                prop_assert_eq!(decode::<All, 4096>("x", &bytes).ok(), oracle(&bytes), "{:?}", bytes);
            }
        }

        #[test]
        fn noise_decodes_if_it_is_an_encoding(mut bytes in prop::collection::vec(
            prop_oneof![0..6u8, 249..=255u8, any::<u8>()], 1..30
        )) {
            bytes[0] %= 5;
            prop_assert_eq!(decode::<All, 4096>("x", &bytes).ok(), oracle(&bytes));
        }
    }

    #[test]
    fn a_number_that_is_cut_off_is_none() {
        for bytes in [&[251, 5][..], &[252, 1, 1, 1], &[253, 1, 1, 1, 1, 1, 1, 1], &[251]] {
            assert!(matches!(decode::<u64, 16>("x", bytes), Err(DecodeError::Malformed { .. })), "{bytes:?}");
        }
    }
}
