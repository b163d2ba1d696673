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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_a_head_knows_its_roots_even_without_leaves() {
        assert!(Known::default().is_empty() && !Known::default().contains(0));
        let known = Known { length: 5, leaves: RangeSet::new() };
        assert!(!known.is_empty());
        assert!((0..20).filter(|&index| known.contains(index)).eq(flat::roots(5)));
    }

    #[test]
    fn who_verified_a_leaf_knows_its_path_and_what_lies_beside_it() {
        let known = Known { length: 9, leaves: std::iter::once(3u64).collect() };
        // The leaf is node 6; 7 and 16 are the roots.
        assert!((0..20).filter(|&index| known.contains(index)).eq([1, 3, 4, 5, 6, 7, 11, 16]));
    }

    #[test]
    fn a_tree_ends_within_a_node_that_has_leaves_on_both_sides_of_its_end() {
        let known = Known { length: 4, leaves: RangeSet::new() };
        // 3 is the whole tree, 11 lies behind it; 7 spans both.
        assert!(
            known.ends_within(7) && !known.ends_within(3) && !known.ends_within(11) && !known.ends_within(8)
        );
        assert!(!Known::default().ends_within(7));
    }
}
