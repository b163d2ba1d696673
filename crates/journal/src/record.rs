//! What a record can hold, and the codec of its body.
//!
//! `body = kind u8 | bincode of that kind | for kinds with blocks: length table, then the blocks' bytes`. Blocks are
//! decoded without copying: they share the memory of the body.

use crate::error::RecordError;
use bincode::{Decode, Encode};
use bytes::Bytes;
use kappadb_core::codec::{self, DecodeError};
use kappadb_core::limits::{MAX_BLOCK, MAX_RANGES};
use kappadb_core::{
    FeedDefinition, FeedKey, RangeSet, Seq, SignedHead, StoredBlock, decode_blocks, encode_blocks,
};
use kappadb_merkle::{ForkEvidence, Node};

/// Bytes in a record's body. A longer batch of blocks goes into several records.
pub const MAX_BODY: usize = 64 << 20;

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// Consecutive blocks appended on this replica; visible with the [`Record::Head`] that follows.
    Blocks {
        /// The feed.
        feed: FeedKey,
        /// Sequence number of the first block.
        first: Seq,
        /// The blocks, in order.
        blocks: Vec<StoredBlock>,
    },
    /// A signed head: covers every block of the feed before it.
    Head {
        /// The feed.
        feed: FeedKey,
        /// Its head.
        head: SignedHead,
    },
    /// Ranges of a feed fetched from a peer and verified under `head`.
    Fetched {
        /// The feed.
        feed: FeedKey,
        /// The head that they were verified under.
        head: SignedHead,
        /// Sequence numbers of the blocks.
        ranges: RangeSet,
        /// Tree nodes that cannot be computed from the blocks, as (flat-tree index, node).
        nodes: Vec<(u64, Node)>,
        /// One block for each number of `ranges`, ascending.
        blocks: Vec<StoredBlock>,
    },
    /// A feed's statement that it belongs to the database.
    Definition(FeedDefinition),
    /// Proof that a feed's writer signed two histories.
    Fork(ForkEvidence),
    /// Payloads of these blocks, which are held, were cleared.
    Clear {
        /// The feed.
        feed: FeedKey,
        /// Sequence numbers of the blocks.
        ranges: RangeSet,
        /// By how many bytes they are shorter without. A digest may be longer than what it stands for.
        freed: i64,
    },
    /// The feed is not wanted here: nothing of it counts or is taken in.
    Drop(FeedKey),
    /// The feed is wanted again.
    Allow(FeedKey),
    /// So many blocks of a dropped feed were here. They keep their `lseq`s.
    Gone {
        /// The feed.
        feed: FeedKey,
        /// How many.
        blocks: u64,
    },
    /// Payloads of blocks that are held cleared, come again from a peer. The blocks have their `lseq`s already.
    Filled {
        /// The feed.
        feed: FeedKey,
        /// Sequence numbers of the blocks.
        ranges: RangeSet,
        /// One block for each number of `ranges`, ascending.
        blocks: Vec<StoredBlock>,
    },
    /// Damage in the journal was settled: it keeps no feed from going on any more but these.
    Settled {
        /// What was damaged: segment, first byte, end.
        damage: Vec<(u32, u64, u64)>,
        /// Feeds of this replica of which blocks may have been lost.
        given_up: Vec<FeedKey>,
    },
    /// The segment was rewritten, and stands for all that was in it up to this byte. Its last record. Written by the
    /// journal itself.
    Rewritten(u64),
    /// The name of this life of the replica: first in every segment, and new after a tail was cut or lost. Written
    /// by the journal itself.
    Incarnation([u8; 16]),
    /// A clean close. Written by the journal itself.
    Closed,
}

mod kind {
    pub(super) const BLOCKS: u8 = 1;
    pub(super) const HEAD: u8 = 2;
    pub(super) const FETCHED: u8 = 3;
    pub(super) const DEFINITION: u8 = 4;
    pub(super) const FORK: u8 = 5;
    pub(super) const CLEAR: u8 = 6;
    pub(super) const INCARNATION: u8 = 8;
    pub(super) const CLOSED: u8 = 9;
    pub(super) const DROP: u8 = 10;
    pub(super) const ALLOW: u8 = 11;
    pub(super) const GONE: u8 = 12;
    pub(super) const REWRITTEN: u8 = 13;
    pub(super) const FILLED: u8 = 14;
    pub(super) const SETTLED: u8 = 15;
}

const WHAT: &str = "journal record";
/// Bytes that a body may have before its blocks. Its lists take up to twice as much memory, which the decoder counts
/// against [`MAX_BODY`].
const MAX_META: usize = MAX_BODY / 2;

impl Record {
    /// How many `lseq`s the record takes: one for each block in it.
    pub fn block_count(&self) -> u64 {
        match self {
            Record::Blocks { blocks, .. } | Record::Fetched { blocks, .. } => blocks.len() as u64,
            Record::Gone { blocks, .. } => *blocks,
            _ => 0,
        }
    }

    /// Checks what decoding would refuse, so that nothing is written that cannot be read again.
    fn check(&self) -> Result<(), RecordError> {
        match self {
            Record::Blocks { first, blocks, .. } => {
                first.checked_add(blocks.len() as u64).ok_or(RecordError::SeqOverflow)?;
                check_blocks(blocks)
            }
            Record::Fetched { ranges, blocks, .. } | Record::Filled { ranges, blocks, .. } => {
                let (ranges, count) = (check_ranges(ranges)?, blocks.len() as u64);
                if ranges.count() != count {
                    return Err(RecordError::Count { ranges: ranges.count(), blocks: count });
                }
                check_blocks(blocks)
            }
            Record::Clear { ranges, .. } => check_ranges(ranges).map(drop),
            _ => Ok(()),
        }
    }

    /// Appends the body's encoding, at most [`MAX_BODY`] bytes, to `out`. After an error `out` may hold part of it.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.check()?;
        let start = out.len();
        self.encode_meta(out);
        let meta = out.len() - start;
        if let Record::Blocks { blocks, .. }
        | Record::Fetched { blocks, .. }
        | Record::Filled { blocks, .. } = self
        {
            encode_blocks(blocks.iter(), out);
        }
        match out.len() - start {
            len if len > MAX_BODY || meta > MAX_META => Err(RecordError::TooLarge { len }),
            _ => Ok(()),
        }
    }

    fn encode_meta(&self, out: &mut Vec<u8>) {
        match self {
            Record::Blocks { feed, first, .. } => put(kind::BLOCKS, &(feed, first), out),
            Record::Head { feed, head } => put(kind::HEAD, &(feed, head), out),
            Record::Fetched { feed, head, ranges, nodes, .. } => {
                put(kind::FETCHED, &(feed, head, ranges, nodes), out);
            }
            Record::Definition(definition) => put(kind::DEFINITION, definition, out),
            Record::Fork(evidence) => put(kind::FORK, evidence, out),
            Record::Clear { feed, ranges, freed } => put(kind::CLEAR, &(feed, ranges, freed), out),
            Record::Drop(feed) => put(kind::DROP, feed, out),
            Record::Allow(feed) => put(kind::ALLOW, feed, out),
            Record::Gone { feed, blocks } => put(kind::GONE, &(feed, blocks), out),
            Record::Rewritten(end) => put(kind::REWRITTEN, end, out),
            Record::Filled { feed, ranges, .. } => put(kind::FILLED, &(feed, ranges), out),
            Record::Settled { damage, given_up } => put(kind::SETTLED, &(damage, given_up), out),
            Record::Incarnation(name) => put(kind::INCARNATION, name, out),
            Record::Closed => put(kind::CLOSED, &(), out),
        }
    }

    /// Decodes a body, all of it, in canonical form. Blocks share the memory of `body`.
    pub fn decode(body: &Bytes) -> Result<Record, RecordError> {
        let (&kind, rest) = body.split_first().ok_or(RecordError::Empty)?;
        let record = match kind {
            kind::BLOCKS => {
                let ((feed, first), used) = prefix(rest)?;
                Record::Blocks { feed, first, blocks: decode_blocks(body.slice(1 + used..))? }
            }
            kind::FETCHED => {
                let ((feed, head, ranges, nodes), used) = prefix(rest)?;
                Record::Fetched { feed, head, ranges, nodes, blocks: decode_blocks(body.slice(1 + used..))? }
            }
            kind::FILLED => {
                let ((feed, ranges), used) = prefix(rest)?;
                Record::Filled { feed, ranges, blocks: decode_blocks(body.slice(1 + used..))? }
            }
            kind::HEAD => whole(rest).map(|(feed, head)| Record::Head { feed, head })?,
            kind::DEFINITION => whole(rest).map(Record::Definition)?,
            kind::FORK => whole(rest).map(Record::Fork)?,
            kind::CLEAR => whole(rest).map(|(feed, ranges, freed)| Record::Clear { feed, ranges, freed })?,
            kind::DROP => whole(rest).map(Record::Drop)?,
            kind::ALLOW => whole(rest).map(Record::Allow)?,
            kind::GONE => whole(rest).map(|(feed, blocks)| Record::Gone { feed, blocks })?,
            kind::REWRITTEN => whole(rest).map(Record::Rewritten)?,
            kind::SETTLED => whole(rest).map(|(damage, given_up)| Record::Settled { damage, given_up })?,
            kind::INCARNATION => whole(rest).map(Record::Incarnation)?,
            kind::CLOSED => whole(rest).map(|()| Record::Closed)?,
            unknown => return Err(RecordError::UnknownKind(unknown)),
        };
        record.check().map(|()| record)
    }
}

fn put<T: Encode>(kind: u8, value: &T, out: &mut Vec<u8>) {
    out.push(kind);
    codec::encode_into(value, out);
}

fn whole<T: Decode<()> + Encode>(bytes: &[u8]) -> Result<T, DecodeError> {
    codec::decode::<T, MAX_BODY>(WHAT, bytes)
}

fn prefix<T: Decode<()> + Encode>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    codec::decode_prefix::<T, MAX_BODY>(WHAT, bytes)
}

fn check_ranges(ranges: &RangeSet) -> Result<&RangeSet, RecordError> {
    match ranges.ranges().len() {
        count if count > MAX_RANGES => Err(RecordError::Ranges { count }),
        _ => Ok(ranges),
    }
}

fn check_blocks(blocks: &[StoredBlock]) -> Result<(), RecordError> {
    match blocks.iter().map(|block| block.bytes.len()).find(|&len| len > MAX_BLOCK) {
        Some(len) => Err(RecordError::Block { len }),
        None => Ok(()),
    }
}
