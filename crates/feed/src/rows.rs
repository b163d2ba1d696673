//! The rows of the one derived tree: keys and values. All of it follows from the journal.
//!
//! | key | value |
//! |---|---|
//! | `0` | [`Cursor`]: how far into the journal the rows go, and the first 8 bytes of its hash; written in one batch with them |
//! | `1`, feed number | [`FeedRow`] |
//! | `2`, feed number, first seq | [`Location`] of a run of blocks |
//! | `3`, first lseq | [`Came`]: a record with visible blocks |
//! | `4`, feed number, index | [`crate::pages::Page`]: what is known of the nodes in a few levels below that of this index |
//! | `5`, feed number | `kappadb_merkle::ForkEvidence` with the lowest seq |
//! | `6`, feed number | [`RangeSet`] of the blocks held without their payload |
//! | `7`, feed 32 | nothing: the feed was dropped |
//! | `8`, feed 32 | [`Forgotten`]: what was held of the feed was compacted away |
//! | `9` | `[(segment, from, to)]`: damage in the journal that was settled |
//!
//! Feed numbers are u32, given in the order of the definitions in the journal. Numbers in keys are big-endian, so that they sort.

use bincode::{Decode, Encode};
use kappadb_core::codec::{self, DecodeError};
use kappadb_core::{
    DatabaseId, FeedDefinition, FeedKey, Lseq, RangeSet, Seq, Signature, SignedHead, blake2b256,
};
use kappadb_journal::Position;

/// The name of the tree.
pub(crate) const TREE: &str = "feeds";
/// Raised whenever a row's meaning changes: older ones are rebuilt.
pub(crate) const FORMAT: u8 = 8;

const MAX_ROW: usize = 64 << 20;
const WHAT: &str = "feed row";

/// How far the rows go.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Cursor {
    /// [`FORMAT`]
    pub format: u8,
    /// Whose rows these are.
    pub database: DatabaseId,
    /// The record after the last one derived from.
    pub at: Position,
    /// Up to where the journal was known to be durable then: what lies behind may be gone after a power cut.
    pub durable: Position,
    /// The first `lseq` not derived from.
    pub lseq: Lseq,
    /// The last record with a signed head and that signature: shows that the rows belong to this journal.
    pub anchor: Option<(Position, Signature)>,
    /// The journal was damaged when it was last looked through, so it is looked through whole again.
    pub damaged: bool,
    /// The segments that were rewritten by then, and how often: places in the journal are of no use with others.
    pub layout: Vec<(u32, u8)>,
}

/// A feed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FeedRow {
    pub definition: FeedDefinition,
    /// The longest head whose roots are at hand.
    pub newest: Option<SignedHead>,
    /// Blocks proved under heads that are not linked to the newest one.
    pub unlinked: Vec<Unlinked>,
    /// Blocks held from the first one on without a gap: opening reads no rows of these.
    pub front: u64,
    /// Blocks held.
    pub held: u64,
    /// Bytes of the blocks held.
    pub bytes: u64,
    /// Blocks appended on this replica.
    pub appended: u64,
    /// The length of the longest head that came from a peer.
    pub seen: u64,
    /// Blocks appended here may have been lost to damage: the feed takes no more.
    pub given_up: bool,
}

/// Blocks under a head that is not linked to the newest one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Unlinked {
    pub head: SignedHead,
    pub ranges: RangeSet,
}

/// Where a run of blocks lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Location {
    /// The record.
    pub at: Position,
    /// Blocks in the record before the run.
    pub skip: u64,
    /// Blocks in the run.
    pub count: u64,
}

/// A record with blocks of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Came {
    pub at: Position,
    /// The feed's number.
    pub feed: u32,
}

/// When all that was held of a feed was last given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forgotten {
    /// Counts how often any feed was forgotten on this replica.
    pub count: u64,
    /// Whatever came before this number is gone.
    pub before: Lseq,
}

/// The first byte of a key.
pub(crate) mod tag {
    pub(crate) const CURSOR: u8 = 0;
    pub(crate) const FEED: u8 = 1;
    pub(crate) const LOCATION: u8 = 2;
    pub(crate) const ARRIVAL: u8 = 3;
    pub(crate) const NODES: u8 = 4;
    pub(crate) const FORK: u8 = 5;
    pub(crate) const CLEARED: u8 = 6;
    pub(crate) const DROPPED: u8 = 7;
    pub(crate) const FORGOTTEN: u8 = 8;
    pub(crate) const SETTLED: u8 = 9;
}

pub(crate) fn cursor_key() -> Vec<u8> {
    vec![tag::CURSOR]
}

pub(crate) fn feed_key(number: u32) -> Vec<u8> {
    numbered(tag::FEED, number)
}

pub(crate) fn location_key(number: u32, first: Seq) -> [u8; 13] {
    at_index(tag::LOCATION, number, first)
}

pub(crate) fn arrival_key(first: Lseq) -> Vec<u8> {
    [&[tag::ARRIVAL], first.to_be_bytes().as_slice()].concat()
}

pub(crate) fn page_key(number: u32, page: u64) -> [u8; 13] {
    at_index(tag::NODES, number, page)
}

pub(crate) fn fork_key(number: u32) -> Vec<u8> {
    numbered(tag::FORK, number)
}

pub(crate) fn cleared_key(number: u32) -> Vec<u8> {
    numbered(tag::CLEARED, number)
}

pub(crate) fn dropped_key(feed: &FeedKey) -> Vec<u8> {
    [&[tag::DROPPED], feed.0.as_slice()].concat()
}

pub(crate) fn forgotten_key(feed: &FeedKey) -> Vec<u8> {
    [&[tag::FORGOTTEN], feed.0.as_slice()].concat()
}

pub(crate) fn settled_key() -> Vec<u8> {
    vec![tag::SETTLED]
}

/// What all rows of this kind about this feed begin with.
pub(crate) fn all_of(tag: u8, number: u32) -> Vec<u8> {
    numbered(tag, number)
}

/// Without going through the heap: these keys are made by the thousand.
fn at_index(tag: u8, number: u32, index: u64) -> [u8; 13] {
    let mut key = [tag; 13];
    let (_, rest) = key.split_at_mut(1);
    let (feed, at) = rest.split_at_mut(4);
    feed.copy_from_slice(&number.to_be_bytes());
    at.copy_from_slice(&index.to_be_bytes());
    key
}

fn numbered(tag: u8, number: u32) -> Vec<u8> {
    [&[tag], number.to_be_bytes().as_slice()].concat()
}

/// The last 8 bytes of a key, as the number that they are.
pub(crate) fn number_at_end(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The feed number in a key.
pub(crate) fn feed_number(key: &[u8]) -> Option<u32> {
    key.get(1..5)?.try_into().ok().map(u32::from_be_bytes)
}

/// The cursor's row. It says which bytes of the journal were durable, so a wrong one would make damage of what never was: it is
/// believed only as a whole.
pub(crate) fn cursor_row(cursor: &Cursor) -> Vec<u8> {
    let mut row = codec::encode(cursor);
    let check = check(&row);
    row.extend_from_slice(&check);
    row
}

/// Reads it; none if it is not as it was written.
pub(crate) fn read_cursor(row: &[u8]) -> Option<Cursor> {
    let (cursor, found) = row.split_last_chunk::<8>()?;
    decode(cursor).ok().filter(|_| *found == check(cursor))
}

fn check(row: &[u8]) -> [u8; 8] {
    blake2b256(&[row]).0.first_chunk().copied().unwrap_or_default()
}

pub(crate) fn decode<T: Decode<()> + Encode>(value: &[u8]) -> Result<T, DecodeError> {
    codec::decode::<T, MAX_ROW>(WHAT, value)
}

/// The feed that a key ends with.
pub(crate) fn feed_at_end(key: &[u8]) -> Option<FeedKey> {
    key.last_chunk().copied().map(FeedKey)
}
