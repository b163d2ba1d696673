//! A tree that only grows, kept as its roots.

use crate::flat;
use crate::node::{Node, TreeError, byte_length, parent, parents, root_hash};
use kappadb_core::{
    Head,
    limits::{MAX_FEED_BLOCKS, MAX_TREE_BYTES},
};

/// The roots of a tree, to which leaves can be appended: at most 41 nodes, whatever the length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peaks {
    length: u64,
    byte_length: u64,
    roots: Vec<(u64, Node)>,
}

impl Peaks {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of `length` leaves with these roots, left to right.
    pub fn from_roots(length: u64, roots: Vec<(u64, Node)>) -> Result<Self, TreeError> {
        if length > MAX_FEED_BLOCKS || !roots.iter().map(|(index, _)| *index).eq(flat::roots(length)) {
            return Err(TreeError::NotRoots { length });
        }
        Ok(Peaks { length, byte_length: byte_length(&roots)?, roots })
    }

    /// Number of leaves.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Leaf data bytes.
    pub fn byte_length(&self) -> u64 {
        self.byte_length
    }

    /// The roots with their indexes, left to right.
    pub fn roots(&self) -> &[(u64, Node)] {
        &self.roots
    }

    /// Appends a leaf. `on_node` is told of it and of each parent that it completes. An error changes nothing.
    pub fn push(&mut self, leaf: Node, on_node: &mut dyn FnMut(u64, Node)) -> Result<(), TreeError> {
        if self.length >= MAX_FEED_BLOCKS {
            return Err(TreeError::Full);
        }
        // Checked here once: every subtree is smaller than the whole.
        let total = self.byte_length.checked_add(leaf.size).filter(|&total| total <= MAX_TREE_BYTES);
        self.byte_length = total.ok_or(TreeError::TooLarge)?;
        let (mut index, mut node) = (flat::leaf_index(self.length), leaf);
        on_node(index, node);
        while let Some((_, left)) = self.roots.pop_if(|(root, _)| *root == flat::sibling(index)) {
            (index, node) = (flat::parent(index), parent(&left, &node)?);
            on_node(index, node);
        }
        self.roots.push((index, node));
        self.length += 1;
        Ok(())
    }

    /// Appends leaves: [`Peaks::push`] of each, but the parents of one height are hashed together, which is sooner. `on_node` is
    /// told of the same nodes, the lower ones first. An error changes nothing.
    pub fn extend(&mut self, leaves: &[Node], on_node: &mut dyn FnMut(u64, Node)) -> Result<(), TreeError> {
        let length = self.length + leaves.len() as u64;
        if length > MAX_FEED_BLOCKS {
            return Err(TreeError::Full);
        }
        let total = leaves.iter().try_fold(self.byte_length, |total, leaf| total.checked_add(leaf.size));
        self.byte_length = total.filter(|&total| total <= MAX_TREE_BYTES).ok_or(TreeError::TooLarge)?;
        let (mut level, mut first, mut height) = (leaves.to_vec(), self.length, 0);
        let mut roots = Vec::new();
        while !level.is_empty() {
            level.iter().zip(first..).for_each(|(node, offset)| on_node(flat::index(height, offset), *node));
            // An odd first node's left sibling is a root so far.
            if first % 2 == 1
                && let Some((_, left)) = self.roots.pop()
            {
                level.insert(0, left);
            }
            if level.len() % 2 == 1
                && let Some(last) = level.pop()
            {
                roots.push((flat::index(height, (length >> height) - 1), last));
            }
            let pairs: Vec<_> = level.as_chunks().0.iter().map(|[left, right]| (*left, *right)).collect();
            (level, first, height) = (parents(&pairs)?, first / 2, height + 1);
        }
        self.roots.extend(roots.into_iter().rev());
        self.length = length;
        Ok(())
    }

    /// What a head of this tree states.
    pub fn head(&self) -> Head {
        Head { length: self.length, byte_length: self.byte_length, root_hash: root_hash(&self.roots) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf;

    /// The tree's node by its definition.
    fn naive(index: u64) -> Node {
        match flat::children(index) {
            None => leaf(&[&(index / 2).to_le_bytes()]),
            Some((l, r)) => parent(&naive(l), &naive(r)).unwrap(),
        }
    }

    #[test]
    fn grows_as_the_definition_says() {
        let mut peaks = Peaks::new();
        let mut told = std::collections::BTreeMap::new();
        for length in 1..70 {
            peaks.push(naive(2 * (length - 1)), &mut |i, n| assert!(told.insert(i, n).is_none())).unwrap();
            let roots: Vec<_> = flat::roots(length).into_iter().map(|i| (i, naive(i))).collect();
            assert_eq!(peaks.roots(), roots);
            assert_eq!(peaks.head(), Head { length, byte_length: 8 * length, root_hash: root_hash(&roots) });
            assert_eq!(Peaks::from_roots(length, roots), Ok(peaks.clone()));
        }
        assert!(told.iter().all(|(&i, &n)| n == naive(i)));
        assert!((0..138).filter(|&i| flat::in_tree(i, 69)).eq(told.into_keys()));
    }

    #[test]
    fn many_at_once_are_many_one_by_one() {
        let leaves: Vec<Node> = (0..70).map(|seq| naive(2 * seq)).collect();
        for (start, end) in (0..70).flat_map(|start| (start..=70).map(move |end| (start, end))) {
            let (mut one_by_one, mut told) = (Peaks::new(), Vec::new());
            leaves[..start].iter().for_each(|leaf| one_by_one.push(*leaf, &mut |_, _| {}).unwrap());
            let (mut at_once, mut told_at_once) = (one_by_one.clone(), Vec::new());
            for leaf in &leaves[start..end] {
                one_by_one.push(*leaf, &mut |index, node| told.push((index, node))).unwrap();
            }
            at_once.extend(&leaves[start..end], &mut |index, node| told_at_once.push((index, node))).unwrap();
            told.sort_by_key(|(index, _)| (flat::height(*index), *index));
            assert_eq!((at_once, told_at_once), (one_by_one, told), "{start}..{end}");
        }
    }

    #[test]
    fn refuses_what_are_no_roots_and_too_many_bytes() {
        let node = naive(0);
        assert_eq!(Peaks::from_roots(2, vec![(0, node), (2, node)]), Err(TreeError::NotRoots { length: 2 }));
        assert_eq!(Peaks::from_roots(u64::MAX, vec![]), Err(TreeError::NotRoots { length: u64::MAX }));
        let big = Node { size: MAX_TREE_BYTES, ..node };
        let mut peaks = Peaks::from_roots(1, vec![(0, big)]).unwrap();
        let before = peaks.clone();
        assert_eq!(peaks.push(node, &mut |_, _| {}), Err(TreeError::TooLarge));
        assert_eq!(peaks.extend(&[node, node], &mut |_, _| {}), Err(TreeError::TooLarge));
        assert_eq!(peaks, before);
    }
}
