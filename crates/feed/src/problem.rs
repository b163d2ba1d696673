//! What a check of everything can find.

use kappadb_core::{EntryId, FeedKey};
use kappadb_journal::Damage;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The journal is damaged.
    #[error("journal: {0}")]
    Damage(Damage),
    /// A record speaks of a feed that no record defines.
    #[error("feed {0} has records and no definition")]
    Undefined(FeedKey),
    /// A definition, head or fork evidence is not signed as it must be.
    #[error("feed {0}: a signature does not hold")]
    Signature(FeedKey),
    /// A record's blocks or nodes lie outside of the tree of any head.
    #[error("feed {0}: a record speaks of blocks beyond its head")]
    Beyond(FeedKey),
    /// A head does not state the hash of the blocks before it.
    #[error("feed {feed}: the head of length {length} is not that of its blocks")]
    Head {
        /// The feed.
        feed: FeedKey,
        /// The head's length.
        length: u64,
    },
    /// A block is not proved by the nodes and heads held.
    #[error("block {0} is not proved")]
    Unproved(EntryId),
    /// A block cannot be read or split.
    #[error("block {id}: {reason}")]
    Block {
        /// The block.
        id: EntryId,
        /// Why.
        reason: String,
    },
    /// A derived row is missing.
    #[error("derived state lacks the row {0}")]
    RowMissing(String),
    /// A derived row differs from what the journal gives.
    #[error("derived state has a wrong row {0}")]
    RowWrong(String),
    /// Derived state cannot be read.
    #[error("derived state: {0}")]
    Derived(String),
}
