//! The bytes of a segment file: its header, and the frame around each record.
//!
//! ```text
//! header = "kappaJ" | version u8 (1) | rewrites u8 | segment u32 | joined u32 | first lseq u64 | nonce 16 | checksum u64
//! record = magic 0x4b 0x52 0xd1 0x0a | body_len u32 | checksum u64 | durable (segment u32, offset u64)
//!        | first_lseq u64 | body
//! ```
//!
//! A record's checksum is seeded with the journal's nonce, its segment and its offset, so bytes of another journal or another
//! place, and records inside a block's content, are never taken for one. All segments of a journal have the same
//! nonce: when one header is lost, the others still give what its records need.

use crate::error::Cause;
use crate::position::Position;
use crate::record::MAX_BODY;
use kappadb_core::Lseq;
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Random bytes that a journal's checksums are bound to.
pub(crate) type Nonce = [u8; 16];

/// Bytes of a segment header.
pub(crate) const HEADER_SIZE: usize = 48;
/// The same, as an offset: where the first record begins.
pub(crate) const HEADER_LEN: u64 = HEADER_SIZE as u64;
/// Bytes of a record before its body.
pub(crate) const HEAD_LEN: usize = 36;
/// First bytes of every record.
pub(crate) const MAGIC: [u8; 4] = [0x4b, 0x52, 0xd1, 0x0a];

const HEADER_MAGIC: &[u8; 6] = b"kappaJ";
const VERSION: u8 = 1;
/// Where the bytes begin that a record's checksum covers.
const COVERED: usize = 16;

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub segment: u32,
    /// For so many segments before it the file stands as well.
    pub joined: u32,
    pub first_lseq: Lseq,
    pub nonce: Nonce,
    /// How often the segment was rewritten; after 255 comes 1.
    pub rewrites: u8,
}

/// How a header was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderState {
    Sound(Header),
    /// One bit was wrong; this is the header without that error.
    Mended(Header),
    /// Of a format that this version does not know.
    Foreign(u8),
    Damaged,
}

pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = [
            HEADER_MAGIC.as_slice(),
            &[VERSION, self.rewrites],
            &self.segment.to_le_bytes(),
            &self.joined.to_le_bytes(),
            &self.first_lseq.to_le_bytes(),
            &self.nonce,
        ]
        .concat();
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The segments that the file stands for: those that were joined, and its own.
    pub(crate) fn segments(&self) -> RangeInclusive<u32> {
        self.segment.saturating_sub(self.joined)..=self.segment
    }

    fn decode(bytes: &[u8; HEADER_SIZE]) -> Option<Header> {
        let header = Header {
            segment: u32::from_le_bytes(array(bytes, 8)?),
            joined: u32::from_le_bytes(array(bytes, 12)?),
            first_lseq: u64::from_le_bytes(array(bytes, 16)?),
            nonce: array(bytes, 24)?,
            rewrites: *bytes.get(7)?,
        };
        (header.encode() == bytes).then_some(header)
    }
}

impl HeaderState {
    /// Reads the header from the first bytes of the file of `segment`.
    pub(crate) fn read(segment: u32, bytes: &[u8]) -> HeaderState {
        let Some(bytes) = array::<HEADER_SIZE>(bytes, 0) else { return HeaderState::Damaged };
        // A header under another segment's name is not that segment's.
        let is_own = |header: &Header| header.segment == segment;
        if let Some(header) = Header::decode(&bytes).filter(is_own) {
            return HeaderState::Sound(header);
        }
        if let Some(header) = mend(bytes).filter(is_own) {
            return HeaderState::Mended(header);
        }
        match bytes.strip_prefix(HEADER_MAGIC).and_then(|rest| rest.first()) {
            Some(&version) if version != VERSION => HeaderState::Foreign(version),
            _ => HeaderState::Damaged,
        }
    }

    pub(crate) fn header(self) -> Option<Header> {
        match self {
            HeaderState::Sound(header) | HeaderState::Mended(header) => Some(header),
            HeaderState::Foreign(_) | HeaderState::Damaged => None,
        }
    }
}

/// A journal of one segment has its nonce nowhere else, so the commonest damage, one flipped bit, is undone: under a
/// 64-bit checksum no wrong header is found that way.
fn mend(mut bytes: [u8; HEADER_SIZE]) -> Option<Header> {
    for at in 0..bytes.len() {
        for bit in 0..8 {
            *bytes.get_mut(at)? ^= 1 << bit;
            if let Some(header) = Header::decode(&bytes) {
                return Some(header);
            }
            *bytes.get_mut(at)? ^= 1 << bit;
        }
    }
    None
}

/// The fixed part of a record. Trustworthy only once the checksum was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub body_len: usize,
    pub durable: Position,
    pub first_lseq: Lseq,
}

impl Head {
    /// Reads the head of a record that lies at `at`, refusing what cannot be one.
    pub(crate) fn read(bytes: &[u8], at: Position) -> Result<Head, Cause> {
        Self::parse(bytes).filter(|head| head.body_len <= MAX_BODY && head.durable <= at).ok_or(Cause::Record)
    }

    fn parse(bytes: &[u8]) -> Option<Head> {
        let bytes: [u8; HEAD_LEN] = array(bytes, 0)?;
        let durable = Position {
            segment: u32::from_le_bytes(array(&bytes, 16)?),
            offset: u64::from_le_bytes(array(&bytes, 20)?),
        };
        let body_len = usize::try_from(u32::from_le_bytes(array(&bytes, 4)?)).ok()?;
        let first_lseq = u64::from_le_bytes(array(&bytes, 28)?);
        bytes.starts_with(&MAGIC).then_some(Head { body_len, durable, first_lseq })
    }
}

fn checksum(nonce: &Nonce, at: Position, record: &[u8]) -> Option<u64> {
    let [a, b, c] = [nonce.as_slice(), &at.segment.to_le_bytes(), &at.offset.to_le_bytes()];
    Some(xxh3_64_with_seed(record.get(COVERED..)?, xxh3_64(&[a, b, c].concat())))
}

/// True if the whole record `bytes` was sealed for this journal and this place.
pub(crate) fn is_sealed(nonce: &Nonce, at: Position, record: &[u8]) -> bool {
    checksum(nonce, at, record).is_some_and(|sum| array(record, 8) == Some(sum.to_le_bytes()))
}

/// Fills in the head of `record`, which is [`HEAD_LEN`] bytes of any content and the body.
pub(crate) fn seal(nonce: &Nonce, at: Position, durable: Position, first_lseq: Lseq, record: &mut [u8]) {
    let body_len = u32::try_from(record.len().saturating_sub(HEAD_LEN)).unwrap_or(u32::MAX);
    let covered = [durable.to_bytes().as_slice(), &first_lseq.to_le_bytes()].concat();
    put(record, 0, &[MAGIC, body_len.to_le_bytes()].concat());
    put(record, COVERED, &covered);
    let sum = checksum(nonce, at, record).unwrap_or_default();
    put(record, 8, &sum.to_le_bytes());
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header { segment: 7, joined: 2, first_lseq: 1 << 40, nonce: [3; 16], rewrites: 0 };

    #[test]
    fn a_header_is_laid_out_as_documented() {
        let bytes = HEADER.encode();
        assert_eq!(bytes.len() as u64, HEADER_LEN);
        let fields = *b"kappaJ\x01\x00\x07\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00";
        assert_eq!(bytes[..24], fields);
        assert_eq!(bytes[24..40], [3; 16]);
        assert_eq!(bytes[40..], xxh3_64(&bytes[..40]).to_le_bytes());
        assert_eq!(HEADER.segments(), 5..=7);
    }

    #[test]
    fn any_one_flipped_bit_of_a_header_is_mended() {
        for bit in 0..HEADER_SIZE * 8 {
            let mut bytes = HEADER.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(HeaderState::read(7, &bytes), HeaderState::Mended(HEADER));
        }
    }

    #[test]
    fn a_later_version_is_told_apart_from_damage() {
        let mut bytes = HEADER.encode();
        bytes[6] = 2;
        let sum = xxh3_64(&bytes[..40]).to_le_bytes();
        bytes[40..].copy_from_slice(&sum);
        assert_eq!(HeaderState::read(7, &bytes), HeaderState::Foreign(2));
        bytes[0] = 0;
        assert_eq!(HeaderState::read(7, &bytes), HeaderState::Damaged);
        assert_eq!(HeaderState::read(7, &HEADER.encode()[..47]), HeaderState::Damaged);
        assert_eq!(HeaderState::read(7, &HEADER.encode()), HeaderState::Sound(HEADER));
        assert_eq!(HeaderState::read(8, &HEADER.encode()), HeaderState::Damaged);
    }

    #[test]
    fn a_record_is_laid_out_as_documented() {
        let (at, durable) = (Position { segment: 1, offset: 500 }, Position { segment: 1, offset: 44 });
        let mut record = [[0; HEAD_LEN].as_slice(), b"body"].concat();
        seal(&[3; 16], at, durable, 9, &mut record);
        let seed = xxh3_64(&[[3; 16].as_slice(), &1u32.to_le_bytes(), &500u64.to_le_bytes()].concat());
        let sum = xxh3_64_with_seed(&record[16..], seed).to_le_bytes();
        let covered =
            [1u32.to_le_bytes().as_slice(), &44u64.to_le_bytes(), &9u64.to_le_bytes(), b"body"].concat();
        assert_eq!(record, [MAGIC.as_slice(), &[4, 0, 0, 0], &sum, &covered].concat());
        assert_eq!(Head::read(&record, at), Ok(Head { body_len: 4, durable, first_lseq: 9 }));
        assert_eq!(
            Head::read(&record, Position { offset: 43, ..at }),
            Err(Cause::Record),
            "durable before written"
        );
        assert!(is_sealed(&[3; 16], at, &record));
        assert!(!is_sealed(&[4; 16], at, &record));
        assert!(!is_sealed(&[3; 16], durable, &record));
        assert!(!is_sealed(&[3; 16], Position { segment: 2, ..at }, &record));
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100), magic: bool) {
            let bytes = if magic { [MAGIC.as_slice(), &bytes].concat() } else { bytes };
            let at = Position { segment: 0, offset: 44 };
            let _ = Head::read(&bytes, at);
            prop_assert!(!is_sealed(&[3; 16], at, &bytes));
            prop_assert!(HeaderState::read(7, &bytes).header().is_none());
        }
    }
}
