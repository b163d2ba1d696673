//! The words of this crate's interface.

use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, Lseq, Seq, StoredBlock, Timestamp};

/// A feed in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedInfo {
    /// The feed.
    pub feed: FeedKey,
    /// When its writer made it.
    pub created: Timestamp,
    /// Blocks under the newest head known.
    pub length: u64,
    /// Blocks held.
    pub held: u64,
    /// True if all of it that counts is held, under one head.
    pub whole: bool,
    /// Bytes of the blocks held.
    pub bytes: u64,
    /// Of the blocks held, those whose payload was cleared.
    pub cleared: u64,
    /// True if this replica appends to it.
    pub writable: bool,
    /// True if its secret key is here, and a peer has shown a longer history than was written here: this replica was restored from an older
    /// copy, or another copy of it writes. It takes no more appends.
    pub behind: bool,
    /// True if its secret key is here, and it was given up ([`crate::Feeds::give_up`], [`crate::Feeds::settle_damage`]): it takes no more
    /// appends.
    pub given_up: bool,
    /// True if the feed is not wanted here: nothing of it counts or is taken in.
    pub dropped: bool,
    /// The feed that this one goes on for, as its writer says.
    pub continues: Option<FeedKey>,
    /// From where on the feed is not trusted, because its writer signed two histories.
    pub fork: Option<Seq>,
}

/// Blocks to append to a feed.
#[derive(Debug, Clone)]
pub struct Append {
    /// A feed whose secret key lies here.
    pub feed: FeedKey,
    /// Encoded entries, whole.
    pub blocks: Vec<Bytes>,
}

/// What storing a bundle changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// Blocks that were not held before.
    pub stored: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that were held without their payload, and have it again.
    pub filled: u64,
    /// Set if the bundle contradicts what is held: its writer forked, and this is from where it is not trusted. Of the bundle only
    /// what lies below was stored, and the evidence.
    pub fork: Option<Seq>,
    /// Blocks below the fork that could not be stored, for nodes that link them to the history held are not at hand.
    pub contradicted: u64,
}

/// A block in the order in which it came here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its place in that order.
    pub lseq: Lseq,
    /// Its name.
    pub id: EntryId,
    /// Its bytes.
    pub block: StoredBlock,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// The journal's segments.
    pub journal: u64,
    /// Derived state, of views too.
    pub derived: u64,
}

/// What was cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Blocks that lost their payload.
    pub blocks: u64,
    /// By how many bytes they are shorter. The disk gives them back at the next compaction.
    pub bytes: u64,
}

/// What a compaction gained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the journal before.
    pub before: u64,
    /// And after.
    pub after: u64,
    /// Files of the journal before.
    pub files_before: u64,
    /// And after.
    pub files_after: u64,
    /// Files that stay as they are because the disk has no room for what is left of them.
    pub lacking: u64,
}
