//! Flat-tree numbering: leaf `n` is node `2n`, and a parent's number lies between those of its children.
//!
//! ```text
//!        3
//!    1       5
//!  0   2   4   6   8      a tree of 5 leaves; its roots are 3 and 8
//! ```
//!
//! All indexes are below [`END`]; lengths are at most [`MAX_FEED_BLOCKS`]. Ask [`in_tree`] first about an index that
//! came from elsewhere.

use kappadb_core::limits::MAX_FEED_BLOCKS;
use std::ops::Range;

/// No tree has a node of this index.
pub const END: u64 = 2 * MAX_FEED_BLOCKS;

/// The node of this height that has `offset` others of it to its left.
pub fn index(height: u32, offset: u64) -> u64 {
    (offset << (height + 1)) | ((1 << height) - 1)
}

/// The node of leaf `seq`.
pub fn leaf_index(seq: u64) -> u64 {
    2 * seq
}

/// Distance from the leaves: 0 for a leaf.
pub fn height(index: u64) -> u32 {
    index.trailing_ones()
}

/// The node above.
pub fn parent(index: u64) -> u64 {
    let bit = 1 << height(index);
    (index | bit) & !(bit << 1)
}

/// The other child of the node above.
pub fn sibling(index: u64) -> u64 {
    index ^ (2 << height(index))
}

/// The two nodes below, or `None` for a leaf.
pub fn children(index: u64) -> Option<(u64, u64)> {
    let half = 1 << height(index).checked_sub(1)?;
    Some((index - half, index + half))
}

/// The leaves below a node (for a leaf, itself).
pub fn leaf_span(index: u64) -> Range<u64> {
    let count = 1 << height(index);
    let first = (index + 1 - count) / 2;
    first..first + count
}

/// True if the tree of `length` leaves has this node: all leaves below it exist. Safe for any numbers.
pub fn in_tree(index: u64, length: u64) -> bool {
    let length = length.min(MAX_FEED_BLOCKS);
    index < 2 * length && leaf_span(index).end <= length
}

/// True if the node is one of [`roots`] of `length`. Safe for any numbers.
pub fn is_root(index: u64, length: u64) -> bool {
    in_tree(index, length) && !in_tree(parent(index), length)
}

/// The roots of the tree of `length` leaves, left to right: one for each bit set in `length`.
pub fn roots(length: u64) -> Vec<u64> {
    let mut rest = length.min(MAX_FEED_BLOCKS);
    let mut first = 0;
    let mut roots = Vec::new();
    while rest > 0 {
        let count = 1 << rest.ilog2();
        roots.push(2 * first + count - 1);
        first += count;
        rest -= count;
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_picture_above() {
        assert_eq!(roots(5), [3, 8]);
        assert_eq!(roots(0), [0; 0]);
        assert_eq!((parent(0), parent(2), parent(1), parent(5)), (1, 1, 3, 3));
        assert_eq!((sibling(0), sibling(5), children(3), children(4)), (2, 1, Some((1, 5)), None));
        assert_eq!((leaf_span(3), leaf_span(5), leaf_span(8)), (0..4, 2..4, 4..5));
        assert!(in_tree(8, 5) && !in_tree(9, 5) && !in_tree(7, 5) && is_root(8, 5) && !is_root(1, 5));
    }

    #[test]
    fn the_greatest_tree_ends_at_end() {
        let last = leaf_index(MAX_FEED_BLOCKS - 1);
        assert_eq!(last, END - 2);
        assert_eq!(roots(MAX_FEED_BLOCKS), [END / 2 - 1]);
        assert!(in_tree(last, MAX_FEED_BLOCKS) && !in_tree(END, u64::MAX) && !in_tree(END - 1, u64::MAX));
    }

    proptest! {
        #[test]
        fn the_family_is_consistent(index in 0u64..END / 2) {
            prop_assert_eq!(parent(index), parent(sibling(index)));
            let (left, right) = children(parent(index)).unwrap();
            prop_assert!([left, right].contains(&index) && [left, right].contains(&sibling(index)));
            prop_assert_eq!(leaf_span(left).end, leaf_span(right).start);
            prop_assert_eq!(leaf_span(parent(index)), leaf_span(left).start..leaf_span(right).end);
        }

        #[test]
        fn roots_cover_all_leaves_once(length in 0u64..MAX_FEED_BLOCKS) {
            let mut next = 0;
            for root in roots(length) {
                prop_assert_eq!(leaf_span(root).start, next);
                prop_assert!(is_root(root, length));
                next = leaf_span(root).end;
            }
            prop_assert_eq!(next, length);
        }

        #[test]
        fn any_numbers_are_safe(index in any::<u64>(), length in any::<u64>()) {
            prop_assert!(!is_root(index, length) || in_tree(index, length));
            prop_assert!(roots(length).len() <= 41);
        }
    }
}
