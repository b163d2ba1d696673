//! Blocks of one feed with the one proof that covers them: what peers send each other.

use crate::EntryError;
use crate::block::leaf_nodes_or_index;
use kappadb_core::{DatabaseId, FeedKey, HeadError, RangeSet, Seq, SignedHead, StoredBlock};
use kappadb_merkle::{self as merkle, Known, Node, ProofError, Verified};

/// Blocks of a feed and the tree nodes that prove them under a signed head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The feed.
    pub feed: FeedKey,
    /// What the blocks are proved under.
    pub head: SignedHead,
    /// Which blocks these are.
    pub ranges: RangeSet,
    /// The blocks, ascending: as many as `ranges` has numbers.
    pub blocks: Vec<StoredBlock>,
    /// What the receiver was taken to know already.
    pub known: Known,
    /// The nodes that the receiver can neither compute nor know, in the order of [`merkle::needed`].
    pub proof: Vec<Node>,
}

/// Why a bundle was refused. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The head is not the feed's.
    #[error("head: {0}")]
    Head(#[from] HeadError),
    /// Ranges and blocks do not fit each other.
    #[error("{blocks} blocks for ranges that name {named}")]
    Count {
        /// Blocks given.
        blocks: usize,
        /// Blocks that the ranges name.
        named: u64,
    },
    /// The ranges reach beyond the head.
    #[error("ranges up to block {end} under a head of {length} blocks")]
    BeyondHead {
        /// One more than the greatest number in the ranges.
        end: Seq,
        /// Blocks under the head.
        length: u64,
    },
    /// A block is not even cut like one.
    #[error("block {seq}: {error}")]
    Block {
        /// Its place in the feed.
        seq: Seq,
        /// What is wrong with it.
        #[source]
        error: EntryError,
    },
    /// The proof does not lead from the blocks to the head.
    #[error("proof: {0}")]
    Proof(#[from] ProofError),
}

impl Bundle {
    /// Checks everything: the head's signature, that the blocks are those of the ranges, and the proof. `lookup`
    /// gives the receiver's own node for an index of `known`.
    ///
    /// The work is bounded by what the bundle holds.
    pub fn verify(
        &self,
        database: &DatabaseId,
        lookup: &mut dyn FnMut(u64) -> Option<Node>,
    ) -> Result<Verified, BundleError> {
        let (named, end, length) = (self.ranges.count(), self.ranges.end(), self.head.head.length);
        if named != self.blocks.len() as u64 {
            return Err(BundleError::Count { blocks: self.blocks.len(), named });
        }
        if end > length {
            return Err(BundleError::BeyondHead { end, length });
        }
        self.head.verify(database, &self.feed)?;
        let leaves = leaf_nodes_or_index(&self.blocks).map_err(|(i, error)| self.bad_block(i, error))?;
        Ok(merkle::verify(&self.ranges, &leaves, &self.head.head, &self.known, &self.proof, lookup)?)
    }

    fn bad_block(&self, index: usize, error: EntryError) -> BundleError {
        BundleError::Block { seq: self.ranges.iter().nth(index).unwrap_or_default(), error }
    }
}
