//! What a verifier says that it knows already.

use crate::flat;
use bincode::{Decode, Encode};
use kappadb_core::RangeSet;

/// The nodes that a verifier holds, said in few words: those on and beside the paths of the leaves that it has verified
/// under a head of the feed, and that head's roots.
///
/// Precisely, node `s` is known if it is a root of the tree of `length`, or if its parent lies in that tree and has one of
/// `leaves` below it. So of two siblings in the tree both are known or none is, and below an unknown node nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Known {
    /// Length of the tree under which `leaves` were verified; 0 if nothing is known.
    pub length: u64,
    /// The leaves.
    pub leaves: RangeSet,
}

impl Known {
    /// True if no node is known.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// True if the verifier holds this node. Safe for any number.
    pub fn contains(&self, index: u64) -> bool {
        flat::in_tree(index, self.length) && {
            let above = flat::parent(index);
            !flat::in_tree(above, self.length) || self.has_leaf_below(above)
        }
    }

    /// True if a known leaf lies below this node of the tree.
    pub(crate) fn has_leaf_below(&self, index: u64) -> bool {
        self.leaves.intersects(&flat::leaf_span(index))
    }

    /// True if the tree of `length` ends within this node: it is not part of that tree, but some of its leaves are.
    pub(crate) fn ends_within(&self, index: u64) -> bool {
        let span = flat::leaf_span(index);
        span.start < self.length && self.length < span.end
    }
}
